package dictionary

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Difference is one thing in which two editions differ. It is breaking when a value or a
// mapping that was right under the first may be wrong under the second.
type Difference struct {
	Element   string `json:"element,omitempty"`   // identifier of the element,
	CodeList  string `json:"code_list,omitempty"` // or of the code list that it is about
	Attribute string `json:"attribute"`           // key in YAML: "kind"; "" when the whole entry came or went
	Number    int    `json:"number,omitempty"`    // of the 25 attributes; 0 for code lists and whole entries
	Before    string `json:"before,omitempty"`
	After     string `json:"after,omitempty"`
	Breaking  bool   `json:"breaking,omitempty"`
	Vi        string `json:"vi"`
	En        string `json:"en"`
}

// Diff lists what b changes of a: elements first, then code lists, each in order of their
// identifiers. Versions are not compared, they follow from the rest.
func Diff(a, b *Dictionary) []Difference {
	var found []Difference
	for i := range a.elements {
		old := &a.elements[i]
		if now, kept := b.Element(old.ID); kept {
			found = append(found, diffElements(old, now)...)
		} else {
			found = append(found, Difference{
				Element: old.ID, Before: old.NameVi, Breaking: true,
				Vi: fmt.Sprintf("bỏ phần tử %s (%s)", old.ID, old.NameVi), En: fmt.Sprintf("element %s (%s) is gone", old.ID, old.NameEn),
			})
		}
	}
	for i := range b.elements {
		if now := &b.elements[i]; !a.has(now.ID) {
			found = append(found, Difference{
				Element: now.ID, After: now.NameVi,
				Vi: fmt.Sprintf("phần tử mới %s (%s)", now.ID, now.NameVi), En: fmt.Sprintf("new element %s (%s)", now.ID, now.NameEn),
			})
		}
	}
	slices.SortStableFunc(found, func(x, y Difference) int { return strings.Compare(x.Element, y.Element) })
	return append(found, diffLists(a, b)...)
}

// Breaks reports whether any of the differences is breaking.
func Breaks(differences []Difference) bool {
	return slices.ContainsFunc(differences, func(d Difference) bool { return d.Breaking })
}

func (d *Dictionary) has(id string) bool {
	_, found := d.byID[id]
	return found
}

// attributeNumber tells to which of the 25 attributes a key in YAML belongs.
func attributeNumber(key string) int {
	switch key {
	case "id":
		return 1
	case "name_vi", "name_en":
		return 2
	case "definition_vi", "definition_en":
		return 3
	case "context_vi", "context_en":
		return 4
	case "group", "class":
		return 5
	case "object_vi", "object_en", "property_vi", "property_en":
		return 6
	case "creator":
		return 7
	case "owner":
		return 8
	case "language":
		return 9
	case "version", "status":
		return 10
	case "source", "documents":
		return 11
	case "synonyms":
		return 12
	case "related":
		return 13
	case "business", "personal", "sensitive", "required", "identifier":
		return 14
	case "name":
		return 15
	case "kind":
		return 16
	case "format", "max_length", "unit":
		return 17
	case "rdf":
		return 18
	case "relations":
		return 19
	case "technical":
		return 20
	case "code_list":
		return 21
	case "normalise":
		return 22
	case "access":
		return 23
	case "alignments":
		return 24
	}
	return 25
}

// diffElements compares two versions of one element, attribute by attribute.
func diffElements(old, now *Element) []Difference {
	var found []Difference
	labels := attributeNames()
	before, after := reflect.ValueOf(old).Elem(), reflect.ValueOf(now).Elem()
	for i := range before.NumField() {
		key := before.Type().Field(i).Tag.Get("yaml")
		if key == "-" || key == "id" || key == "version" || key == "rules" {
			continue
		}
		x, y := plainText(before.Field(i)), plainText(after.Field(i))
		if x == y {
			continue
		}
		label := labels[attributeNumber(key)-1]
		found = append(found, Difference{
			Element: old.ID, Attribute: key, Number: label.Number, Before: x, After: y, Breaking: breaks(key, old, now),
			Vi: fmt.Sprintf("%s: %s (%s): %s → %s", old.ID, label.LabelVi, key, orNothing(x, "trống"), orNothing(y, "trống")),
			En: fmt.Sprintf("%s: %s (%s): %s → %s", old.ID, label.LabelEn, key, orNothing(x, "empty"), orNothing(y, "empty")),
		})
	}
	return append(found, diffRules(old, now)...)
}

// breaks decides for everything but rules.
func breaks(key string, old, now *Element) bool {
	switch key {
	case "name", "kind", "code_list":
		return true
	case "max_length":
		return now.MaxLength != 0 && (old.MaxLength == 0 || now.MaxLength < old.MaxLength)
	case "required":
		return now.Required
	case "identifier":
		return now.Identifier
	case "unit":
		return old.Unit != "" // the numbers mean something else
	}
	return false
}

func orNothing(s, nothing string) string {
	if s == "" {
		return "(" + nothing + ")"
	}
	return s
}

// plainText writes any member of an element in one line.
func plainText(value reflect.Value) string {
	if custom, ok := value.Interface().(encoding.TextMarshaler); ok {
		if text, err := custom.MarshalText(); err == nil {
			return string(text)
		}
	}
	switch value.Kind() {
	case reflect.String:
		return value.String()
	case reflect.Bool:
		return strconv.FormatBool(value.Bool())
	case reflect.Int, reflect.Int64:
		return strconv.FormatInt(value.Int(), 10)
	case reflect.Pointer:
		if value.IsNil() {
			return ""
		}
		return plainText(value.Elem())
	case reflect.Slice:
		items := make([]string, value.Len())
		for i := range items {
			items[i] = plainText(value.Index(i))
		}
		return strings.Join(items, "; ")
	case reflect.Struct:
		var parts []string
		for i := range value.NumField() {
			if tag := value.Type().Field(i).Tag.Get("yaml"); tag != "" && tag != "-" && !empty(value.Field(i)) {
				parts = append(parts, tag+": "+plainText(value.Field(i)))
			}
		}
		return strings.Join(parts, ", ")
	default:
		return ""
	}
}

func diffRules(old, now *Element) []Difference {
	var found []Difference
	add := func(rule string, before, after *Rule, breaking bool, vi, en string) {
		difference := Difference{
			Element: old.ID, Attribute: "rules", Number: AttributeCount, Breaking: breaking,
			Vi: fmt.Sprintf("%s: quy tắc %s %s", old.ID, rule, vi), En: fmt.Sprintf("%s: rule %s %s", old.ID, rule, en),
		}
		if before != nil {
			difference.Before = plainText(reflect.ValueOf(*before))
		}
		if after != nil {
			difference.After = plainText(reflect.ValueOf(*after))
		}
		found = append(found, difference)
	}
	byCode := func(rules []Rule, code string) *Rule {
		if i := slices.IndexFunc(rules, func(r Rule) bool { return r.Code == code }); i >= 0 {
			return &rules[i]
		}
		return nil
	}
	for i := range old.Rules {
		before := &old.Rules[i]
		after := byCode(now.Rules, before.Code)
		switch {
		case after == nil:
			add(before.Code, before, nil, false, "được bỏ", "is gone")
		case after.Blocking && !before.Blocking:
			add(before.Code, before, after, true, "nay giữ lại bản ghi sai", "now holds wrong records back")
		case !reflect.DeepEqual(before.Check, after.Check) && !looser(&before.Check, &after.Check):
			add(before.Code, before, after, true, "chặt hơn hoặc khác trước", "is stricter, or another")
		case !reflect.DeepEqual(before.Check, after.Check):
			add(before.Code, before, after, false, "rộng hơn trước", "is looser")
		case plainText(reflect.ValueOf(*before)) != plainText(reflect.ValueOf(*after)):
			add(before.Code, before, after, false, "đổi cách diễn đạt hoặc cách tính", "is worded or counted differently")
		}
	}
	for i := range now.Rules {
		if after := &now.Rules[i]; byCode(old.Rules, after.Code) == nil {
			add(after.Code, nil, after, true, "là quy tắc mới", "is new")
		}
	}
	return found
}

// looser reports whether everything that passes one check certainly passes the other.
func looser(old, now *Check) bool {
	a, b := *old, *now
	// What may differ is taken out; the rest must be the same.
	a.MinLength, b.MinLength, a.MaxLength, b.MaxLength = 0, 0, 0, 0
	a.Min, b.Min, a.Max, b.Max = "", "", "", ""
	a.OneOf, b.OneOf, a.MaxAge, b.MaxAge = nil, nil, "", ""
	if !reflect.DeepEqual(a, b) {
		return false
	}
	if now.MinLength > old.MinLength || now.MaxLength != 0 && (old.MaxLength == 0 || now.MaxLength < old.MaxLength) {
		return false
	}
	if !boundWider(old.Min, now.Min, -1) || !boundWider(old.Max, now.Max, 1) {
		return false
	}
	if len(now.OneOf) > 0 && len(old.OneOf) == 0 || slices.ContainsFunc(old.OneOf, func(s string) bool { return !slices.Contains(now.OneOf, s) }) {
		return false
	}
	return now.MaxAge == old.MaxAge || old.MaxAge != "" && now.MaxAge != "" && ageSeconds(now.MaxAge) >= ageSeconds(old.MaxAge)
}

// boundWider reports whether a bound has moved away in the direction, or is gone.
func boundWider(old, now string, direction int) bool {
	switch {
	case now == old || now == "":
		return true
	case old == "":
		return false
	}
	if x, err := time.Parse(time.DateOnly, old); err == nil {
		y, err := time.Parse(time.DateOnly, now)
		return err == nil && y.Compare(x)*direction >= 0
	}
	x, errOld := strconv.ParseFloat(old, 64)
	y, errNow := strconv.ParseFloat(now, 64)
	return errOld == nil && errNow == nil && (y-x)*float64(direction) >= 0
}

// ageSeconds is about how long an age is that validAge accepts.
func ageSeconds(age string) int64 {
	units := map[string]int64{"y": 31556952, "mo": 2629746, "w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
	var total, n int64
	for age != "" {
		if age[0] >= '0' && age[0] <= '9' {
			n = 10*n + int64(age[0]-'0')
			age = age[1:]
			continue
		}
		end := strings.IndexAny(age, "0123456789")
		if end < 0 {
			end = len(age)
		}
		total += n * units[age[:end]]
		n, age = 0, age[end:]
	}
	return total
}

// diffLists compares the code lists of two editions.
func diffLists(a, b *Dictionary) []Difference {
	var found []Difference
	for _, old := range a.lists {
		if now := b.listByID[old.ID]; now == nil {
			found = append(found, Difference{
				CodeList: old.ID, Before: old.NameVi, Breaking: true,
				Vi: fmt.Sprintf("bỏ danh mục %s (%s)", old.ID, old.NameVi), En: fmt.Sprintf("code list %s (%s) is gone", old.ID, old.NameEn),
			})
		} else if now != old {
			found = append(found, diffCodes(old, now)...)
		}
	}
	for _, now := range b.lists {
		if a.listByID[now.ID] == nil {
			found = append(found, Difference{
				CodeList: now.ID, After: now.NameVi,
				Vi: fmt.Sprintf("danh mục mới %s (%s)", now.ID, now.NameVi), En: fmt.Sprintf("new code list %s (%s)", now.ID, now.NameEn),
			})
		}
	}
	slices.SortStableFunc(found, func(x, y Difference) int { return strings.Compare(x.CodeList, y.CodeList) })
	return found
}

func diffCodes(old, now *CodeList) []Difference {
	var found []Difference
	add := func(attribute, before, after string, breaking bool, vi, en string) {
		found = append(found, Difference{
			CodeList: old.ID, Attribute: attribute, Before: before, After: after, Breaking: breaking,
			Vi: old.ID + ": " + vi, En: old.ID + ": " + en,
		})
	}
	for _, text := range []struct{ key, before, after string }{
		{"name_vi", old.NameVi, now.NameVi},
		{"name_en", old.NameEn, now.NameEn},
		{"source", old.Source, now.Source},
	} {
		if text.before != text.after {
			add(text.key, text.before, text.after, false, fmt.Sprintf("%s → %s", text.before, text.after), fmt.Sprintf("%s → %s", text.before, text.after))
		}
	}
	type key struct {
		code string
		from int64
	}
	entries := map[key]*Code{}
	for i := range now.codes {
		entries[key{now.codes[i].Code, now.codes[i].From}] = &now.codes[i]
	}
	for i := range old.codes {
		before := &old.codes[i]
		at := key{before.Code, before.From}
		after := entries[at]
		delete(entries, at)
		what := before.Code + " " + before.NameVi
		if after == nil {
			add("codes", what, "", true, "bỏ mã "+what, "code "+what+" is gone")
			continue
		}
		if after.To != before.To {
			add("codes", dateOf(before.To), dateOf(after.To), after.To < before.To,
				fmt.Sprintf("mã %s hết hiệu lực: %s → %s", before.Code, orNothing(dateOf(before.To), "không thời hạn"), orNothing(dateOf(after.To), "không thời hạn")),
				fmt.Sprintf("code %s ends: %s → %s", before.Code, orNothing(dateOf(before.To), "never"), orNothing(dateOf(after.To), "never")))
		}
		if after.NameVi != before.NameVi || after.NameEn != before.NameEn || after.Parent != before.Parent {
			add("codes", joinWords(before.NameVi, before.NameEn, before.Parent), joinWords(after.NameVi, after.NameEn, after.Parent), false,
				fmt.Sprintf("mã %s: %s → %s", before.Code, before.NameVi, after.NameVi), fmt.Sprintf("code %s: %s → %s", before.Code, before.NameEn, after.NameEn))
		}
		lost := slices.ContainsFunc(before.Aliases, func(s string) bool { return !slices.Contains(after.Aliases, s) })
		if lost || len(after.Aliases) != len(before.Aliases) {
			add("codes", strings.Join(before.Aliases, ", "), strings.Join(after.Aliases, ", "), lost,
				fmt.Sprintf("mã %s: đổi cách viết khác", before.Code), fmt.Sprintf("code %s: other spellings changed", before.Code))
		}
	}
	for i := range now.codes {
		after := &now.codes[i]
		if entries[key{after.Code, after.From}] != nil {
			what := after.Code + " " + after.NameVi
			add("codes", "", what, false, "mã mới "+what, "new code "+what)
		}
	}
	if !slices.Equal(old.links, now.links) {
		add("links", strconv.Itoa(len(old.links)), strconv.Itoa(len(now.links)), false, "đổi liên kết giữa các mã", "the links between codes changed")
	}
	return found
}
