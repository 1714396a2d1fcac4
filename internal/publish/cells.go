package publish

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong/internal/dictionary"
	"go.yaml.in/yaml/v3"
)

// form is how a value of an element stands in one cell.
type form uint8

const (
	textForm form = iota
	numberForm
	flagForm       // có / không
	wordForm       // one of a fixed set: the word itself, or its name in either language
	linesForm      // one text a line
	notesForm      // one note a line: vi / en
	relationsForm  // one a line: type target
	alignmentsForm // one a line: kind scheme term
	jsonForm       // a list of objects as JSON
)

// column is a column of the table of elements. An attribute of the 25 that is written in two languages or
// has several parts takes several columns.
type column struct {
	attribute int    // 1 to 25
	key       string // of the element's YAML form
	vi, en    string // header
	form      form
}

// columns are those of the table, in the order of the attributes. The key is understood as a header too.
func columns() []column {
	return []column{
		{1, "id", "Mã phần tử dữ liệu", "Identifier", textForm},
		{2, "name_vi", "Tên tiếng Việt", "Name in Vietnamese", textForm},
		{2, "name_en", "Tên tiếng Anh", "Name in English", textForm},
		{3, "definition_vi", "Định nghĩa", "Definition in Vietnamese", textForm},
		{3, "definition_en", "Định nghĩa tiếng Anh", "Definition in English", textForm},
		{4, "context_vi", "Ngữ cảnh sử dụng", "Usage context in Vietnamese", textForm},
		{4, "context_en", "Ngữ cảnh sử dụng tiếng Anh", "Usage context in English", textForm},
		{5, "group", "Nhóm dữ liệu", "Group", textForm},
		{5, "class", "Lớp dữ liệu", "Class", wordForm},
		{6, "object_vi", "Thực thể", "Object class in Vietnamese", textForm},
		{6, "object_en", "Thực thể tiếng Anh", "Object class in English", textForm},
		{6, "property_vi", "Thuộc tính của thực thể", "Property in Vietnamese", textForm},
		{6, "property_en", "Thuộc tính của thực thể tiếng Anh", "Property in English", textForm},
		{7, "creator", "Đơn vị tạo lập", "Creating unit", textForm},
		{8, "owner", "Đơn vị chủ quản", "Owning unit", textForm},
		{9, "language", "Ngôn ngữ", "Language", textForm},
		{10, "version", "Phiên bản", "Version", textForm},
		{10, "status", "Trạng thái", "Status", wordForm},
		{11, "source", "Căn cứ pháp lý", "Legal basis", textForm},
		{11, "documents", "Văn bản liên quan", "Related documents", linesForm},
		{12, "synonyms", "Từ đồng nghĩa", "Synonyms", linesForm},
		{13, "related", "Thuật ngữ liên quan", "Related terms", linesForm},
		{14, "personal", "Dữ liệu cá nhân", "Personal data", flagForm},
		{14, "sensitive", "Dữ liệu cá nhân nhạy cảm", "Sensitive personal data", flagForm},
		{14, "required", "Bắt buộc", "Required", flagForm},
		{14, "identifier", "Định danh", "Identifying", flagForm},
		{14, "business", "Thuộc tính nghiệp vụ", "Business attributes", notesForm},
		{15, "name", "Tên kỹ thuật", "Technical name", textForm},
		{16, "kind", "Kiểu dữ liệu", "Data type", wordForm},
		{17, "format", "Định dạng", "Format", textForm},
		{17, "max_length", "Độ dài tối đa", "Longest length", numberForm},
		{17, "unit", "Đơn vị đo", "Unit of measure", textForm},
		{18, "rdf", "Kiểu RDF/OWL", "RDF or OWL type", textForm},
		{19, "relations", "Quan hệ với trường dữ liệu khác", "Relation to other elements", relationsForm},
		{20, "technical", "Thuộc tính kỹ thuật", "Technical attributes", notesForm},
		{21, "code_list", "Danh sách giá trị", "Value list", textForm},
		{22, "normalise", "Quy tắc chuẩn hóa", "Normalisation rule", linesForm},
		{23, "access", "API truy cập", "Access", textForm},
		{24, "alignments", "Ánh xạ quốc tế", "International mapping", alignmentsForm},
		{25, "rules", "Quy tắc kiểm tra", "Validation rule", jsonForm},
	}
}

// A cell that a spreadsheet would take for a formula gets an apostrophe in front, and loses it again when it
// is read. Texts that begin with apostrophes before such a character get one more, so that nothing is lost.

// defuse makes a text harmless for spreadsheets.
func defuse(cell string) string {
	if dangerous(cell) {
		return "'" + cell
	}
	return cell
}

// restore undoes defuse.
func restore(cell string) string {
	if rest, quoted := strings.CutPrefix(cell, "'"); quoted && dangerous(rest) {
		return rest
	}
	return cell
}

func dangerous(cell string) bool {
	rest := strings.TrimLeft(cell, "'")
	if rest == "" {
		return false
	}
	for _, first := range []string{"=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠"} {
		if strings.HasPrefix(rest, first) {
			return true
		}
	}
	return false
}

// plainCell reports whether a text survives a table as it is: trimming, other line ends and a look at
// its first character change nothing.
func plainCell(value string) bool {
	return strings.TrimSpace(value) == value && !strings.HasPrefix(value, `"`) && !strings.HasPrefix(value, "[") &&
		!strings.ContainsFunc(value, func(r rune) bool {
			return r < ' ' && r != '\n' && r != '\t' || r == '\ufffd' || r == '\ufeff' || r == '\ufffe' || r == '\uffff' || r == '\u0085' || r == '\u2028'
		})
}

// textCell writes a text; one that would not survive is written as a JSON string.
func textCell(value string) string {
	if value == "" || plainCell(value) {
		return value
	}
	return jsonText(value)
}

func jsonText(value string) string {
	var b strings.Builder
	appendJSONText(&b, value)
	return b.String()
}

// linesCell writes one text a line, or a JSON list when that would not survive.
func linesCell(values []string) string {
	for _, value := range values {
		if value == "" || !plainCell(value) || strings.ContainsAny(value, "\n") {
			made := make([]string, len(values))
			for i := range values {
				made[i] = jsonText(values[i])
			}
			return "[" + strings.Join(made, ", ") + "]"
		}
	}
	return strings.Join(values, "\n")
}

// cells writes an element as a row of the table.
func cells(element *dictionary.Element) ([]string, error) {
	body, err := dictionary.MarshalElement(element)
	if err != nil {
		return nil, err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(body, &node); err != nil {
		return nil, err
	}
	values := map[string]*yaml.Node{}
	for i := 0; i+1 < len(node.Content[0].Content); i += 2 {
		values[node.Content[0].Content[i].Value] = node.Content[0].Content[i+1]
	}
	all := columns()
	row := make([]string, len(all))
	for i := range all {
		value := values[all[i].key]
		if value == nil {
			continue
		}
		row[i] = defuse(all[i].cell(value))
	}
	return row, nil
}

// cell writes a value of the element's YAML form.
func (c *column) cell(value *yaml.Node) string {
	if value.Kind == yaml.ScalarNode {
		if c.form == flagForm && value.Value == "true" {
			return "có"
		}
		return textCell(value.Value)
	}
	lines := make([]string, 0, len(value.Content))
	for _, item := range value.Content {
		switch c.form {
		case linesForm:
			lines = append(lines, item.Value)
		case notesForm:
			note := members(item)
			line := note["vi"] + noteMark + note["en"]
			if strings.Count(line, noteMark) != 1 {
				return jsonCell(value)
			}
			lines = append(lines, line)
		case relationsForm:
			m := members(item)
			lines = append(lines, m["type"]+" "+m["target"])
		case alignmentsForm:
			m := members(item)
			lines = append(lines, m["kind"]+" "+m["scheme"]+" "+m["id"])
		case textForm, numberForm, flagForm, wordForm, jsonForm:
			return jsonCell(value)
		}
	}
	if c.form == linesForm {
		return linesCell(lines)
	}
	for _, line := range lines {
		if !plainCell(line) || strings.Contains(line, "\n") || c.form != notesForm && strings.Count(line, " ") != strings.Count(strings.Join(strings.Fields(line), " "), " ") {
			return jsonCell(value)
		}
	}
	return strings.Join(lines, "\n")
}

const noteMark = " / "

func members(node *yaml.Node) map[string]string {
	made := map[string]string{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		made[node.Content[i].Value] = node.Content[i+1].Value
	}
	return made
}

// jsonCell writes a value as JSON on one line.
func jsonCell(value *yaml.Node) string {
	var b strings.Builder
	appendYAMLAsJSON(&b, value)
	return b.String()
}

func appendYAMLAsJSON(b *strings.Builder, node *yaml.Node) {
	switch node.Kind {
	case yaml.MappingNode:
		b.WriteString("{")
		for i := 0; i+1 < len(node.Content); i += 2 {
			if i > 0 {
				b.WriteString(", ")
			}
			appendJSONText(b, node.Content[i].Value)
			b.WriteString(": ")
			appendYAMLAsJSON(b, node.Content[i+1])
		}
		b.WriteString("}")
	case yaml.SequenceNode:
		b.WriteString("[")
		for i, item := range node.Content {
			if i > 0 {
				b.WriteString(", ")
			}
			appendYAMLAsJSON(b, item)
		}
		b.WriteString("]")
	case yaml.ScalarNode, yaml.DocumentNode, yaml.AliasNode:
		if tag := node.ShortTag(); tag == "!!int" || tag == "!!bool" {
			b.WriteString(node.Value)
			return
		}
		appendJSONText(b, node.Value)
	}
}

// yamlValue makes of a cell what the element's YAML form has for the column, on one line. The second result says
// what is wrong, in both languages.
func (c *column) yamlValue(cell string) (value string, vi, en string) {
	cell = strings.TrimSpace(strings.ReplaceAll(restore(cell), "\r\n", "\n"))
	if strings.HasPrefix(cell, `"`) {
		var plain string
		if json.Unmarshal([]byte(cell), &plain) == nil {
			return jsonText(plain), "", ""
		}
	}
	if strings.HasPrefix(cell, "[") && c.form >= linesForm {
		var items list
		decoder := json.NewDecoder(strings.NewReader(cell))
		decoder.UseNumber()
		if err := decoder.Decode(&items); err != nil || decoder.More() {
			return "", "không phải danh sách JSON đúng cú pháp", "not a well-formed JSON list"
		}
		return flow(items), "", ""
	}
	switch c.form {
	case textForm:
		return jsonText(cell), "", ""
	case numberForm:
		if !onlyDigits(cell) {
			return "", "cần một số nguyên", "a whole number is needed"
		}
		return strings.TrimLeft(cell[:len(cell)-1], "0") + cell[len(cell)-1:], "", ""
	case flagForm:
		switch dictionary.PlainKey(cell) {
		case "co", "yes", "true", "x", "1", "dung":
			return "true", "", ""
		case "khong", "no", "false", "0", "sai":
			return "false", "", ""
		}
		return "", "cần có hoặc không", "yes or no is needed"
	case wordForm:
		return jsonText(c.word(cell)), "", ""
	case linesForm:
		return c.lineValues(cell), "", ""
	case notesForm, relationsForm, alignmentsForm:
		return c.objects(cell)
	case jsonForm:
	}
	return "", "cần danh sách JSON: [{…}]", "a JSON list is needed: [{…}]"
}

// flow writes decoded JSON on one line, which is YAML too: the escapes of JSON that YAML lacks are gone.
func flow(value any) string {
	switch v := value.(type) {
	case list:
		return flow([]any(v))
	case []any:
		items := make([]string, len(v))
		for i := range v {
			items[i] = flow(v[i])
		}
		return "[" + strings.Join(items, ", ") + "]"
	case map[string]any:
		var items []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			items = append(items, jsonText(key)+": "+flow(v[key]))
		}
		return "{" + strings.Join(items, ", ") + "}"
	case string:
		return jsonText(v)
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return "null"
}

// word accepts the names of statuses and kinds as well as their words.
func (c *column) word(cell string) string {
	key := dictionary.PlainKey(cell)
	switch c.key {
	case "status":
		for _, status := range dictionary.Statuses() {
			if words := dictionary.StatusWords(status); key == dictionary.PlainKey(words.Vi) || key == dictionary.PlainKey(words.En) {
				return string(status)
			}
		}
	case "kind":
		for kind := range 8 {
			if words, name := kindWords(kind); key == dictionary.PlainKey(words.Vi) || key == dictionary.PlainKey(words.En) {
				return name
			}
		}
	}
	return cell
}

// lineValues are the texts of a cell. Column names and steps have no commas or semicolons, so these separate them too.
func (c *column) lineValues(cell string) string {
	separators := "\n"
	if c.key == "synonyms" {
		separators = "\n,;"
	}
	var made []string
	for _, line := range strings.FieldsFunc(cell, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		if line = strings.TrimSpace(line); line != "" {
			made = append(made, jsonText(line))
		}
	}
	return "[" + strings.Join(made, ", ") + "]"
}

func (c *column) objects(cell string) (value, vi, en string) {
	var made []string
	for line := range strings.SplitSeq(cell, "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		var keys, parts []string
		switch c.form {
		case notesForm:
			keys, parts = []string{"vi", "en"}, strings.Split(line, noteMark)
			vi, en = "mỗi dòng một ghi chú: tiếng Việt / tiếng Anh", "one note a line: Vietnamese / English"
		case relationsForm:
			keys, parts = []string{"type", "target"}, strings.Fields(line)
			vi, en = "mỗi dòng một quan hệ: part_of person.full_name", "one relation a line: part_of person.full_name"
		default:
			keys, parts = []string{"kind", "scheme", "id"}, strings.Fields(line)
			vi, en = "mỗi dòng một ánh xạ: exact schema.org birthDate", "one mapping a line: exact schema.org birthDate"
		}
		if len(parts) != len(keys) {
			return "", vi, en
		}
		members := make([]string, len(keys))
		for i := range keys {
			members[i] = jsonText(keys[i]) + ": " + jsonText(parts[i])
		}
		made = append(made, "{"+strings.Join(members, ", ")+"}")
	}
	return "[" + strings.Join(made, ", ") + "]", "", ""
}
