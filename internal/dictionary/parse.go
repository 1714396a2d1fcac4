package dictionary

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// The two things that can happen to columns that no mapping names.
const (
	KeepOthers = "keep"
	DropOthers = "drop"
)

// ParseDefinition reads one definition. name stands in messages, normally the
// file's name. Everything that can be seen without the dictionary and the source is
// checked here; Dictionary.Compile checks the rest. The error joins one *lienthong.Error
// for each problem.
func ParseDefinition(name string, data []byte) (*Definition, error) {
	p := &problems{file: name}
	def := &Definition{File: name}
	decodeStrict(p, data, def)
	if len(p.list) > 0 {
		return nil, p.err() // what could not be read would only be reported again as missing
	}
	def.File = name
	def.check(p)
	if len(p.list) > 0 {
		return nil, p.err()
	}
	if def.Others == "" {
		def.Others = DropOthers
	}
	return def, nil
}

func (def *Definition) check(p *problems) {
	missing := func(key string) {
		p.add(0, "definition.missing", fmt.Sprintf("thiếu khoá %q", key), fmt.Sprintf("key %q is missing", key), "")
	}
	if def.Dataset == (lienthong.DatasetID{}) {
		missing("dataset")
	}
	if strings.TrimSpace(def.TitleVi) == "" {
		missing("title_vi")
	}
	if strings.TrimSpace(def.Table) == "" {
		missing("table")
	}
	if len(def.Identity) == 0 {
		missing("identity")
	}
	if len(def.Columns) == 0 && def.Others != KeepOthers {
		missing("columns")
	}
	if def.Others != "" && def.Others != KeepOthers && def.Others != DropOthers {
		p.add(0, "definition.others", "others phải là keep hoặc drop", "others must be keep or drop", "")
	}
	if def.Declared < 0 {
		p.add(0, "definition.declared", "declared không được âm", "declared must not be negative", "")
	}
	if def.Interval != "" && !validAge(def.Interval) {
		p.add(0, "definition.interval", "interval không đúng dạng", "interval is not a length of time", "ví dụ / such as 30m, 24h, 7d")
	}
	for i := range def.Columns {
		def.Columns[i].check(p, def.Codes)
	}
	if slices.Contains(def.Identity, WholeRow) && !def.NamesWholeRows() {
		p.add(0, "definition.identity", "identity là * hoặc tên các trường, không phải cả hai", "identity is either * or names of fields", "")
	}
	for i := range def.Rows {
		def.Rows[i].check(p)
	}
	codes := map[string]bool{}
	for i := range def.Rules {
		rule := &def.Rules[i]
		rule.check(p, rule.Line)
		if rule.Field == "" && rule.Check.CEL == "" {
			p.add(rule.Line, "rule.field", "quy tắc chưa nói về trường nào", "the rule names no field", "field: ten_truong")
		}
		uniqueCode(p, codes, rule.Code, rule.Line)
	}
	for i := range def.SetRules {
		rule := &def.SetRules[i]
		rule.check(p)
		uniqueCode(p, codes, rule.Code, rule.Line)
	}
}

func uniqueCode(p *problems, codes map[string]bool, code string, line int) {
	if code != "" && codes[code] {
		p.add(line, "rule.code", fmt.Sprintf("mã quy tắc %q viết hai lần", code), fmt.Sprintf("rule code %q stands twice", code), "")
	}
	codes[code] = true
}

func (m *ColumnMapping) check(p *problems, tables map[string]map[string]string) {
	switch {
	case m.Column == "" && len(m.Columns) == 0:
		p.add(m.Line, "mapping.column", "thiếu column hoặc columns", "column or columns is missing", "")
	case m.Column != "" && len(m.Columns) > 0:
		p.add(m.Line, "mapping.column", "chỉ dùng column hoặc columns", "use either column or columns", "")
	case slices.Contains(m.Columns, ""):
		p.add(m.Line, "mapping.column", "columns có tên rỗng", "columns has an empty name", "")
	}
	if m.Element == "" {
		p.add(m.Line, "mapping.element", "thiếu element", "element is missing", "lienthong dictionary list")
	}
	if m.Field != "" && (!plainFieldName(m.Field) || reservedField(m.Field)) {
		p.add(m.Line, "mapping.field", fmt.Sprintf("tên trường %q không đúng dạng", m.Field), fmt.Sprintf("%q is not a field name", m.Field),
			"1-40 ký tự a-z 0-9 _, bắt đầu bằng chữ / 1-40 of a-z 0-9 _, starts with a letter; op, id, version, at are taken")
	}
	m.checkHandling(p)
	for _, text := range m.Transforms {
		name, argument, _ := strings.Cut(text, ":")
		if name == "code" && tables[argument] != nil {
			continue
		}
		if _, _, err := parseTransform(text); err != nil {
			p.add(m.Line, "mapping.transform", fmt.Sprintf("phép biến đổi %q không đúng", text), fmt.Sprintf("bad transformation %q: %v", text, err),
				"trim, nfc, upper, lower, collapse, digits, pad:12, date:02/01/2006, timestamp:…, code:…, part:first|middle|last, decimal:comma, utc")
		}
	}
}

// plainFieldName is what may name a field: it stands in table columns, on the
// wire and in expressions without quoting.
func plainFieldName(s string) bool {
	if s == "" || len(s) > 40 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// reservedField reports the names that a row on the wire has beside its fields.
func reservedField(s string) bool { return s == "op" || s == "id" || s == "version" || s == "at" }

func checkHead(p *problems, line int, code, vi, en string, group lienthong.ErrorGroup, criterion lienthong.Criterion) {
	if code == "" {
		p.add(line, "rule.code", "quy tắc thiếu code", "the rule has no code", "")
	}
	if vi == "" || en == "" {
		p.add(line, "rule.text", fmt.Sprintf("quy tắc %q thiếu lời giải thích vi hoặc en", code), fmt.Sprintf("rule %q lacks its text vi or en", code), "")
	}
	if !slices.Contains(lienthong.ErrorGroups(), group) {
		p.add(line, "rule.group", fmt.Sprintf("quy tắc %q: nhóm lỗi không có", code), fmt.Sprintf("rule %q: no such error group", code), joined(lienthong.ErrorGroups()))
	}
	if !slices.Contains(lienthong.Criteria(), criterion) {
		p.add(line, "rule.criterion", fmt.Sprintf("quy tắc %q: tiêu chí không có", code), fmt.Sprintf("rule %q: no such criterion", code), joined(lienthong.Criteria()))
	}
}

func joined[T ~string](values []T) string {
	words := make([]string, len(values))
	for i, value := range values {
		words[i] = string(value)
	}
	return strings.Join(words, ", ")
}

// check verifies what a rule says by itself. Fields and kinds are checked where
// the shape is known.
func (r *Rule) check(p *problems, line int) {
	checkHead(p, line, r.Code, r.Vi, r.En, r.Group, r.Criterion)
	if r.Weight < 0 {
		p.add(line, "rule.weight", fmt.Sprintf("quy tắc %q: trọng số âm", r.Code), fmt.Sprintf("rule %q: negative weight", r.Code), "")
	}
	bad := func(vi, en, hint string) {
		p.add(line, "rule.check", fmt.Sprintf("quy tắc %q: %s", r.Code, vi), fmt.Sprintf("rule %q: %s", r.Code, en), hint)
	}
	c := &r.Check
	kinds := 0
	for _, set := range []bool{
		c.Required, c.Digits != 0, c.Pattern != "", c.MinLength != 0 || c.MaxLength != 0, c.CodeList != "", len(c.OneOf) > 0,
		c.Min != "" || c.Max != "", c.PersonName, c.NFC, c.Tidy, c.MaxAge != "", c.PersonNumber != nil, c.NotBefore != "", c.CEL != "",
	} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		bad(fmt.Sprintf("cần đúng một phép kiểm tra, đang có %d", kinds), fmt.Sprintf("needs exactly one check, has %d", kinds), "")
	}
	if c.Digits < 0 || c.MinLength < 0 || c.MaxLength < 0 || c.MaxLength > 0 && c.MinLength > c.MaxLength {
		bad("độ dài không hợp lý", "the lengths make no sense", "")
	}
	if c.Pattern != "" {
		if _, err := regexp.Compile(c.Pattern); err != nil {
			bad("mẫu không đúng cú pháp RE2", err.Error(), "")
		} else if !strings.HasPrefix(c.Pattern, "^") || !strings.HasSuffix(c.Pattern, "$") {
			bad("mẫu phải bắt đầu bằng ^ và kết thúc bằng $", "the pattern must start with ^ and end with $", "")
		}
	}
	if c.AsOf != "" && c.CodeList == "" {
		bad("as_of chỉ dùng cùng code_list", "as_of needs code_list", "")
	}
	for _, bound := range []string{c.Min, c.Max} {
		if bound != "" && !validBound(bound) {
			bad(fmt.Sprintf("cận %q không phải số, ngày hoặc now", bound), fmt.Sprintf("bound %q is no number, date or now", bound), "12.5, 2006-01-02, now, now-5y")
		}
	}
	if c.MaxAge != "" && !validAge(c.MaxAge) {
		bad("max_age không đúng dạng", "max_age is not a length of time", "720h, 30d, 5y")
	}
	if c.PersonNumber != nil && c.PersonNumber.BirthDate == "" && c.PersonNumber.Sex == "" {
		bad("person_number cần birth_date hoặc sex", "person_number needs birth_date or sex", "")
	}
}

func (r *SetRule) check(p *problems) {
	checkHead(p, r.Line, r.Code, r.Vi, r.En, r.Group, r.Criterion)
	bad := func(vi, en string) {
		p.add(r.Line, "rule.set", fmt.Sprintf("quy tắc %q: %s", r.Code, vi), fmt.Sprintf("rule %q: %s", r.Code, en), "")
	}
	kinds := 0
	for _, set := range []bool{len(r.Unique) > 0, r.Reference != nil, r.Match != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		bad("cần đúng một trong unique, reference, match", "needs exactly one of unique, reference, match")
	}
	if r.Field == "" && len(r.Unique) != 1 {
		bad("thiếu field", "field is missing")
	}
	if r.Reference != nil && (r.Reference.To == "" || r.Reference.Dataset == (lienthong.DatasetID{})) {
		bad("reference cần dataset và to", "reference needs dataset and to")
	}
	if m := r.Match; m != nil && (m.Key == "" || m.To == "" || len(m.Fields) == 0 || m.Dataset == (lienthong.DatasetID{})) {
		bad("match cần dataset, key, to và fields", "match needs dataset, key, to and fields")
	}
}

// fields lists the fields of its own dataset that a set rule speaks about.
func (r *SetRule) fields() []string {
	names := slices.Clone(r.Unique)
	if r.Field != "" {
		names = append(names, r.Field)
	}
	if r.Match != nil {
		names = append(names, r.Match.Key)
		for own := range r.Match.Fields {
			names = append(names, own)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// validAge accepts numbers with the units y, mo, w, d, h, m and s: "24h", "5y", "1y6mo".
func validAge(s string) bool {
	positive := false
	for s != "" {
		digits := 0
		for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
			positive = positive || s[digits] != '0'
			digits++
		}
		letters := digits
		for letters < len(s) && s[letters] >= 'a' && s[letters] <= 'z' {
			letters++
		}
		if digits == 0 || digits > 6 || !slices.Contains([]string{"y", "mo", "w", "d", "h", "m", "s"}, s[digits:letters]) {
			return false
		}
		s = s[letters:]
	}
	return positive
}

func validBound(s string) bool {
	if rest, found := strings.CutPrefix(s, "now"); found {
		return rest == "" || (rest[0] == '+' || rest[0] == '-') && len(rest) > 1 && validAge(rest[1:])
	}
	if _, err := time.Parse(time.DateOnly, s); err == nil {
		return true
	}
	_, ok := appendDecimal(nil, []byte(s))
	return ok
}
