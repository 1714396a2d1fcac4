package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/catalog"
)

// fieldKind is how a field of the register's form is written.
type fieldKind string

const (
	textField    fieldKind = "text"
	areaField    fieldKind = "area"
	numberField  fieldKind = "number"
	dateField    fieldKind = "date"
	choiceField  fieldKind = "choice" // one of a list
	levelField   fieldKind = "level"  // one of a list, kept as a number
	checkField   fieldKind = "check"
	linesField   fieldKind = "lines"   // one entry a line
	severalField fieldKind = "several" // boxes
)

// entryField is a field of an entry: where it stands in the content, and how people write it.
type entryField struct {
	name    string // "scope.territory"; in a group, the name in its row
	kind    fieldKind
	label   Text
	choices string // of entryChoices
	suggest string // likewise, but anything may be written
	help    Text
}

// entryGroup is a list in an entry, of which each row has the same fields.
type entryGroup struct {
	name   string
	label  Text
	key    string // the field that tells rows apart; a row keeps what the form does not show by it
	where  string // the field that a problem of the whole row stands beside
	preset string // a field that alone makes no row
	fields []entryField
}

// entrySection is a part of the form. Its id is that of the completeness; also names a second one.
type entrySection struct {
	id, also string
	title    Text
	fields   []entryField
	groups   []entryGroup
}

// entrySections is the whole form, in order. The page of an entry shows the same.
func entrySections() []entrySection {
	organisation := func(name, vi, en string) entryField {
		return entryField{name: name, kind: choiceField, label: Text{vi, en}, choices: "member"}
	}
	text := func(name, vi, en string) entryField {
		return entryField{name: name, kind: textField, label: Text{vi, en}}
	}
	long := func(name, vi, en string) entryField {
		return entryField{name: name, kind: areaField, label: Text{vi, en}}
	}
	count := func(name, vi, en string) entryField {
		return entryField{name: name, kind: numberField, label: Text{vi, en}}
	}
	day := func(name, vi, en string) entryField {
		return entryField{name: name, kind: dateField, label: Text{vi, en}}
	}
	box := func(name, vi, en string) entryField {
		return entryField{name: name, kind: checkField, label: Text{vi, en}}
	}
	choice := func(name, choices, vi, en string) entryField {
		return entryField{name: name, kind: choiceField, label: Text{vi, en}, choices: choices}
	}
	return []entrySection{
		{id: "identity", title: Text{"Tên và cơ quan", "Name and organisations"}, fields: []entryField{
			text("name_vi", "Tên tiếng Việt", "Vietnamese name"), text("name_en", "Tên tiếng Anh", "English name"), choice("class", "class", "Loại", "Class"),
			organisation("owner", "Cơ quan chủ quản", "Owning organisation"), organisation("manager", "Đơn vị quản lý", "Managing organisation"),
			{name: "operator", kind: textField, label: Text{"Đơn vị vận hành", "Operating organisation"}, suggest: "member", help: Text{"mã hoặc tên cơ quan", "code or name of the organisation"}},
			{name: "domains", kind: severalField, label: Text{"Miền dữ liệu", "Data domains"}, choices: "domain"},
		}},
		{id: "basis", title: Text{"Căn cứ, mục đích, phạm vi", "Basis, purpose, scope"}, fields: []entryField{
			long("purpose_vi", "Mục đích", "Purpose, in Vietnamese"), long("purpose_en", "Mục đích, tiếng Anh", "Purpose, in English"),
			{name: "scope.territory", kind: textField, label: Text{"Phạm vi địa bàn", "Territory"}, help: Text{"toàn quốc, hoặc mã tỉnh", "the whole country, or codes of provinces"}},
			count("scope.objects", "Tổng số đối tượng phải quản lý", "Number of managed objects in all"),
			text("scope.subject_vi", "Đối tượng quản lý", "Subject, in Vietnamese"), text("scope.subject_en", "Đối tượng quản lý, tiếng Anh", "Subject, in English"),
			text("scope.since", "Dữ liệu có từ năm", "Oldest data"),
		}, groups: []entryGroup{
			{name: "legal_bases", label: Text{"Căn cứ pháp lý", "Legal bases"}, key: "number", where: "number", preset: "type", fields: []entryField{
				choice("type", "legal", "Loại văn bản", "Type of document"), text("number", "Số văn bản", "Number"), text("article", "Điều, khoản", "Article"),
				text("title_vi", "Trích yếu", "Title"), day("date", "Ngày ban hành", "Date"),
			}},
			{name: "collection", label: Text{"Phương thức thu thập", "Ways of collection"}, key: "method", where: "method", fields: []entryField{
				choice("method", "method", "Phương thức", "Method"), text("from", "Từ ai, hệ thống nào", "From whom, which system"), text("note", "Ghi chú", "Note"),
			}},
		}},
		{id: "data", also: "classification", title: Text{"Dữ liệu và phân loại", "Data and classification"}, fields: []entryField{
			{name: "authority", kind: linesField, label: Text{"Là nguồn duy nhất của", "Single source of"}, help: Text{"phần tử của từ điển, mỗi dòng một: person.number hoặc person.*", "elements of the dictionary, one a line: person.number or person.*"}},
		}, groups: []entryGroup{
			{name: "objects", label: Text{"Đối tượng dữ liệu chính", "Main data objects"}, key: "name", where: "name", fields: []entryField{
				text("name", "Tên kỹ thuật", "Technical name"), text("name_vi", "Tên tiếng Việt", "Vietnamese name"), text("name_en", "Tên tiếng Anh", "English name"),
				text("description_vi", "Mô tả", "Description"), text("parent", "Thuộc đối tượng", "Part of object"),
				box("personal", "Dữ liệu cá nhân", "Personal data"), box("sensitive", "Dữ liệu cá nhân nhạy cảm", "Sensitive personal data"),
				box("master", "Dữ liệu chủ", "Master data"), box("open", "Dữ liệu mở", "Open data"),
			}},
			{name: "datasets", label: Text{"Tập dữ liệu", "Datasets"}, key: "name", where: "name", fields: []entryField{
				text("name", "Tên kỹ thuật", "Technical name"), text("title_vi", "Tên tiếng Việt", "Vietnamese title"), text("title_en", "Tên tiếng Anh", "English title"),
				text("object", "Đối tượng dữ liệu", "Data object"), choice("access", "access", "Truy cập", "Access"), choice("importance", "importance", "Mức quan trọng", "Importance"),
				{name: "updated", kind: textField, label: Text{"Chu kỳ cập nhật", "Update interval"}, help: Text{"viết như 24h", "write it like 24h"}},
				count("rows", "Số bản ghi kê khai", "Records, declared"),
				count("retention.years", "Lưu giữ, số năm", "Kept, years"), text("retention.basis", "Căn cứ lưu giữ", "Basis of the retention"), text("retention.then", "Hết hạn thì", "Afterwards"),
				text("conditions", "Điều kiện khai thác", "Conditions of use"),
				{name: "share_via", kind: severalField, label: Text{"Chia sẻ qua", "Shared by"}, choices: "share"},
				box("retention.forever", "Lưu vĩnh viễn", "Kept for ever"), box("shareable", "Chia sẻ được", "May be shared"), box("state_secret", "Bí mật nhà nước", "State secret"),
			}},
		}},
		{id: "security", title: Text{"An toàn thông tin", "Security"}, fields: []entryField{
			{name: "security.level", kind: levelField, label: Text{"Cấp độ an toàn", "Security level"}, choices: "level"},
			text("security.document", "Văn bản phê duyệt cấp độ", "Approval of the level"), day("security.date", "Ngày phê duyệt", "Date of the approval"), text("security.approver", "Cơ quan phê duyệt", "Approved by"),
		}},
		{id: "people", title: Text{"Người phụ trách", "People in charge"}, groups: []entryGroup{
			{name: "people", label: Text{"Người phụ trách và liên hệ công vụ", "People with their contacts at work"}, key: "duty", where: "name", preset: "duty", fields: []entryField{
				choice("duty", "duty", "Vai trò", "Duty"), text("name", "Họ và tên", "Name"), text("position", "Chức vụ", "Position"),
				text("phone", "Điện thoại", "Phone"), text("email", "Thư điện tử", "Email"), day("since", "Từ ngày", "Since"),
			}},
		}},
		{id: "technical", title: Text{"Kỹ thuật", "Technical profile"}, fields: []entryField{
			{name: "technical.engine", kind: textField, label: Text{"Hệ quản trị CSDL", "Database engine"}, suggest: "engine"},
			text("technical.version", "Phiên bản của hệ quản trị", "Engine version"), count("technical.rows", "Tổng số bản ghi", "Records in all"), count("technical.size_bytes", "Dung lượng, byte", "Size, bytes"),
			text("technical.location", "Nơi đặt hệ thống", "Where it runs"), text("technical.hosting", "Hình thức đặt", "Hosting"), text("technical.software", "Phần mềm nghiệp vụ", "Business software"),
			text("technical.backup.every", "Sao lưu mỗi", "Backed up every"), text("technical.backup.kept", "Bản sao giữ trong", "Copies kept for"),
			text("technical.backup.where", "Nơi giữ bản sao", "Where copies are kept"), day("technical.backup.tested_on", "Lần khôi phục thử gần nhất", "Last restore test"),
		}},
		{id: "status", title: Text{"Hiện trạng", "How far it is"}, fields: []entryField{
			choice("status.group", "status", "Nhóm theo Nghị quyết 214/NQ-CP", "Group of Resolution 214/NQ-CP"), count("status.progress", "Tiến độ, %", "Progress, %"),
			day("status.since", "Kể từ ngày", "In this state since"), day("status.due", "Thời hạn hoàn thành", "Due date"), text("status.note", "Ghi chú hiện trạng", "Note on the state"),
		}},
		{id: "relations", title: Text{"Quan hệ với CSDL khác", "Relations to other databases"}, groups: []entryGroup{
			{name: "relations", label: Text{"Quan hệ", "Relations"}, key: "code", where: "code", preset: "type", fields: []entryField{
				choice("type", "relation", "Quan hệ", "Relation"), {name: "code", kind: textField, label: Text{"Mã CSDL kia", "Code of the other"}, suggest: "database"}, text("note", "Ghi chú", "Note"),
			}},
		}},
	}
}

// entryChoice is a value with its name.
type entryChoice struct {
	Value string
	Name  Text
}

func choicesOf[T ~string](list []catalog.Choice[T]) []entryChoice {
	choices := make([]entryChoice, 0, len(list))
	for _, one := range list {
		choices = append(choices, entryChoice{string(one.Value), textOf(one.Word)})
	}
	return choices
}

// entryChoices are the lists of the form by name.
func (c *Console) entryChoices(r *http.Request) map[string][]entryChoice {
	known, texts := c.config.Workplace.Dictionary(), c.words(r).texts
	lists := map[string][]entryChoice{
		"legal": choicesOf(catalog.LegalTypes()), "method": choicesOf(catalog.CollectionMethods()), "access": choicesOf(catalog.Accesses()),
		"importance": choicesOf(catalog.Importances()), "duty": choicesOf(catalog.Duties()), "status": choicesOf(catalog.StatusGroups()),
		"share": {{"feed", Text{"luồng dữ liệu", "data feed"}}, {"service", Text{"dịch vụ", "service"}}, {"file", Text{"tệp", "file"}}},
	}
	for _, class := range []lienthong.DatabaseClass{lienthong.NationalDatabase, lienthong.SpecialisedDatabase, lienthong.PoliticalDatabase, lienthong.LocalDatabase} {
		lists["class"] = append(lists["class"], entryChoice{string(class), texts["class."+string(class)]})
	}
	for _, relation := range catalog.RelationTypes() {
		if slices.Contains([]catalog.RelationType{catalog.Uses, catalog.PartOf, catalog.Replaces}, relation.Value) {
			lists["relation"] = append(lists["relation"], entryChoice{string(relation.Value), textOf(relation.Word)})
		}
	}
	for level := 1; level <= 5; level++ {
		n := strconv.Itoa(level)
		lists["level"] = append(lists["level"], entryChoice{n, Text{"Cấp độ " + n, "Level " + n}})
	}
	for _, member := range known.Members() {
		lists["member"] = append(lists["member"], entryChoice{string(member.Code), Text{member.NameVi, member.NameEn}})
	}
	for _, domain := range known.Domains() {
		lists["domain"] = append(lists["domain"], entryChoice{domain.ID, Text{domain.NameVi, domain.NameEn}})
	}
	for _, engine := range []string{"PostgreSQL", "Oracle", "SQL Server", "MariaDB", "MySQL"} {
		lists["engine"] = append(lists["engine"], entryChoice{engine, Text{engine, engine}})
	}
	return lists
}

// contentOf is an entry as names and values, the lists by number.
func contentOf(e *catalog.Entry) (map[string]any, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	content := map[string]any{}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	return content, decoder.Decode(&content)
}

// at finds a value by its name: "scope.territory".
func at(content map[string]any, name string) any {
	for {
		first, rest, more := strings.Cut(name, ".")
		if !more {
			return content[first]
		}
		inner, is := content[first].(map[string]any)
		if !is {
			return nil
		}
		content, name = inner, rest
	}
}

// put writes a value at its name, and takes it away when it is nil.
func put(content map[string]any, name string, value any) {
	first, rest, more := strings.Cut(name, ".")
	if !more {
		if value == nil {
			delete(content, first)
		} else {
			content[first] = value
		}
		return
	}
	inner, is := content[first].(map[string]any)
	if !is {
		inner = map[string]any{}
		content[first] = inner
	}
	put(inner, rest, value)
}

// rowsOf are the rows of a list in an entry.
func rowsOf(content map[string]any, group string) []map[string]any {
	list, _ := content[group].([]any)
	rows := make([]map[string]any, 0, len(list))
	for _, one := range list {
		if row, is := one.(map[string]any); is {
			rows = append(rows, row)
		}
	}
	return rows
}

// write is the value as it stands in the form.
func (f *entryField) write(value any) []string {
	switch v := value.(type) {
	case string:
		return []string{v}
	case json.Number:
		return []string{v.String()}
	case bool:
		return []string{"yes"}
	case []any:
		var list []string
		for _, one := range v {
			if text, is := one.(string); is {
				list = append(list, text)
			}
		}
		if f.kind == linesField {
			return []string{strings.Join(list, "\n")}
		}
		return list
	}
	return nil
}

// read makes content of what was typed; nil: nothing was. A problem says that it cannot be kept.
func (f *entryField) read(typed []string) (any, *lienthong.Error) {
	value := ""
	if len(typed) > 0 {
		value = strings.TrimSpace(strings.ReplaceAll(typed[0], "\r\n", "\n"))
	}
	switch {
	case f.kind == severalField && len(typed) > 0:
		return typed, nil
	case value == "":
		return nil, nil
	case f.kind == checkField:
		return true, nil
	case f.kind == linesField:
		var lines []string
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); line != "" {
				lines = append(lines, line)
			}
		}
		return lines, nil
	case f.kind == numberField || f.kind == levelField:
		number, err := strconv.ParseInt(value, 10, 64)
		if err != nil || number < 0 {
			return nil, &lienthong.Error{Code: "catalog.number", Where: f.name, Vi: "phải là số nguyên không âm, không có dấu ngăn cách", En: "must be a whole number without separators, 0 or more"}
		}
		if number == 0 {
			return nil, nil
		}
		return number, nil
	}
	return value, nil
}

// rowName is the name of a field of a row in the form.
func rowName(group string, row int, field string) string {
	return group + "." + strconv.Itoa(row) + "." + field
}

// entryValues is an entry as the form's values. Counts are the rows of each group.
func entryValues(e *catalog.Entry) (values url.Values, counts map[string]int, err error) {
	content, err := contentOf(e)
	if err != nil {
		return nil, nil, err
	}
	values, counts = url.Values{}, map[string]int{}
	for _, section := range entrySections() {
		for _, field := range section.fields {
			if written := field.write(at(content, field.name)); written != nil {
				values[field.name] = written
			}
		}
		for _, group := range section.groups {
			for n, row := range rowsOf(content, group.name) {
				for _, field := range group.fields {
					if written := field.write(at(row, field.name)); written != nil {
						values[rowName(group.name, n, field.name)] = written
					}
				}
				if key, is := row[group.key].(string); is {
					values.Set(rowName(group.name, n, "was"), key)
				}
				counts[group.name] = n + 1
			}
		}
	}
	return values, counts, nil
}

// maxRows is more rows than a list of an entry has.
const maxRows = 400

// typedValues is what a browser sent, without rows that are empty or were taken away.
func typedValues(typed url.Values) (values url.Values, counts map[string]int) {
	values, counts = url.Values{}, map[string]int{}
	for _, section := range entrySections() {
		for _, field := range section.fields {
			if written, there := typed[field.name]; there {
				values[field.name] = written
			}
		}
		for _, group := range section.groups {
			for n := range maxRows {
				row, there, filled := url.Values{}, false, false
				for _, field := range group.fields {
					written, has := typed[rowName(group.name, n, field.name)]
					there = there || has
					if has {
						row[field.name] = written
						filled = filled || field.name != group.preset && strings.TrimSpace(strings.Join(written, "")) != ""
					}
				}
				if !there {
					continue
				}
				if !filled || typed.Get(rowName(group.name, n, "remove")) != "" {
					continue
				}
				for name, written := range row {
					values[rowName(group.name, counts[group.name], name)] = written
				}
				values.Set(rowName(group.name, counts[group.name], "was"), typed.Get(rowName(group.name, n, "was")))
				counts[group.name]++
			}
		}
	}
	return values, counts
}

// entryOf is the entry that the form says. What the form does not show stays as it is in base.
// Problems, by name in the form, say what cannot be kept at all.
func entryOf(base *catalog.Entry, values url.Values, counts map[string]int) (catalog.Entry, map[string]*lienthong.Error, error) {
	content, err := contentOf(base)
	if err != nil {
		return catalog.Entry{}, nil, err
	}
	wrong := map[string]*lienthong.Error{}
	set := func(content map[string]any, field *entryField, name string) {
		value, problem := field.read(values[name])
		if problem != nil {
			wrong[name] = problem
		}
		put(content, field.name, value)
	}
	for _, section := range entrySections() {
		for i := range section.fields {
			set(content, &section.fields[i], section.fields[i].name)
		}
		for _, group := range section.groups {
			before := rowsOf(content, group.name)
			rows := make([]any, 0, counts[group.name])
			for n := range counts[group.name] {
				row := map[string]any{}
				if was := values.Get(rowName(group.name, n, "was")); was != "" {
					if i := slices.IndexFunc(before, func(b map[string]any) bool { return b[group.key] == was }); i >= 0 {
						row = cloneContent(before[i])
					}
				}
				for i := range group.fields {
					set(row, &group.fields[i], rowName(group.name, n, group.fields[i].name))
				}
				rows = append(rows, row)
			}
			if put(content, group.name, nil); len(rows) > 0 {
				put(content, group.name, rows)
			}
		}
	}
	text, err := json.Marshal(content)
	if err != nil {
		return catalog.Entry{}, nil, err
	}
	entry, err := catalog.ParseEntry(text)
	return entry, wrong, err
}

// cloneContent copies content with what is inside it.
func cloneContent(content map[string]any) map[string]any {
	own := make(map[string]any, len(content))
	for name, value := range content {
		if inner, is := value.(map[string]any); is {
			value = cloneContent(inner)
		}
		own[name] = value
	}
	return own
}
