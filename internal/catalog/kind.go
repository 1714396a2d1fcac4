package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// Kind is how a desk of package stewardship treats register entries.
func (r *Register) Kind() stewardship.Kind {
	return stewardship.Kind{
		Name: Kind, Title: Word{Vi: "mục đăng ký cơ sở dữ liệu", En: "register entry of a database"},
		Validate: r.validate, Compare: CompareEntries, Impact: r.impact, Permit: r.permit,
		Changed: func(string) { r.Changed() },
	}
}

func (r *Register) validate(s stewardship.Subject) []*lienthong.Error {
	e, err := ParseEntry(s.After)
	if err != nil {
		var coded *lienthong.Error
		if !errors.As(err, &coded) {
			coded = &lienthong.Error{Code: "catalog.json", Where: "JSON", Vi: "không đọc được", En: "cannot be read", Err: err}
		}
		return []*lienthong.Error{coded}
	}
	list := e.Problems()
	if e.Code != s.ID {
		list = append(list, &lienthong.Error{
			Code: "catalog.wrong", Where: "code", Vi: "mã CSDL phải là mã của mục đăng ký", En: "the code must be that of the entry",
		})
	}
	r.mu.Lock()
	current := r.current
	r.mu.Unlock()
	if current == nil {
		return list
	}
	for _, rel := range e.Relations {
		if current.record(rel.Code) == nil {
			list = append(list, &lienthong.Error{
				Code: "catalog.wrong", Where: "relations." + rel.Code, Vi: "không có CSDL này trong danh mục", En: "there is no such database in the register",
			})
		}
	}
	return list
}

// permit lets only the organisation that owns or manages a database write its entry. Who that is, is read from
// what is in force or seeded, not from what somebody would like to save.
func (r *Register) permit(by stewardship.Person, s stewardship.Subject) error {
	var e Entry
	if s.Before != nil {
		if err := json.Unmarshal(s.Before, &e); err != nil {
			return &lienthong.Error{Code: "catalog.json", Where: s.ID, Vi: "không đọc được mục đang có hiệu lực", En: "the entry in force cannot be read", Err: err}
		}
	} else if db, seeded := r.config.Dictionary().Database(s.ID); seeded {
		e.Owner = db.Owner
	}
	if e.Owner == "" && e.Manager == "" { // nobody is known to own it: the draft must say that its author's organisation does
		if err := json.Unmarshal(s.After, &e); err != nil {
			return nil //nolint:nilerr // what is wrong with a draft is listed beside it
		}
		if member := r.seenBy(s.ID); member != "" { // whose node reads it owns it, whatever a draft says
			e.Owner, e.Manager = member, ""
		}
		if e.Owner == "" && e.Manager == "" {
			return nil
		}
	}
	if by.Member != "" && (by.Member == e.Owner || by.Member == e.Manager) {
		return nil
	}
	return &lienthong.Error{
		Code: "catalog.foreign", Where: s.ID,
		Vi:   "chỉ cơ quan chủ quản hoặc quản lý được soạn mục đăng ký này",
		En:   "only the organisation that owns or manages the database may write its entry",
		Hint: "chủ quản / owner: " + string(e.Owner),
	}
}

// seenBy is the organisation whose node reads a database.
func (r *Register) seenBy(code string) lienthong.MemberCode {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, o := range r.seen {
		if id.Database == code && o.Member != "" {
			return o.Member
		}
	}
	return ""
}

// impact lists who uses a database: databases that declare it, and consumers of its datasets.
func (r *Register) impact(ctx context.Context, s stewardship.Subject) (stewardship.Impact, error) {
	state, err := r.state(ctx)
	if err != nil {
		return stewardship.Impact{}, err
	}
	var before, after Entry
	_ = json.Unmarshal(s.Before, &before) // nothing is in force
	_ = json.Unmarshal(s.After, &after)   // an unreadable draft takes nothing away: it cannot be submitted
	var impact stewardship.Impact
	for i := range state.records {
		other := &state.records[i]
		for _, rel := range other.Relations {
			if rel.Code == s.ID && other.Code != s.ID {
				word := WordOf(RelationTypes(), rel.Type)
				impact.Uses = append(impact.Uses, stewardship.Use{Database: other.Code, Owner: other.Owner, Vi: word.Vi + " CSDL này", En: word.En + " this database"})
			}
		}
	}
	definitions := map[lienthong.DatasetID]*dictionary.Definition{}
	for _, def := range r.config.Definitions() {
		definitions[def.Dataset] = def
	}
	for _, c := range r.config.Consumers() {
		if c.Dataset.Database != s.ID {
			continue
		}
		use := stewardship.Use{
			Dataset: c.Dataset, Database: s.ID, Owner: c.Member, Field: strings.Join(c.Fields, ", "),
			Vi: c.Name.Vi + " nhận tập dữ liệu này", En: c.Name.En + " receives this dataset",
		}
		lost := func(column string) bool { return r.receives(&c, definitions[c.Dataset], column) }
		if why, breaks := broken(&before, &after, s.After != nil, c.Dataset.Name, lost); breaks {
			use.Breaking, use.Vi, use.En = true, use.Vi+": "+why.Vi, use.En+": "+why.En
			impact.Breaking = true
		}
		impact.Uses = append(impact.Uses, use)
	}
	return impact, nil
}

// broken tells whether a consumer loses something by the proposal.
func broken(before, after *Entry, stays bool, dataset string, receives func(column string) bool) (Word, bool) {
	if !stays {
		return say("CSDL ngừng hiệu lực", "the database is retired"), true
	}
	was, had := before.Dataset(dataset)
	if !had {
		return Word{}, false
	}
	is, has := after.Dataset(dataset)
	switch {
	case !has:
		return say("tập dữ liệu bị bỏ", "the dataset is dropped"), true
	case is.StateSecret && !was.StateSecret:
		return say("tập dữ liệu thành bí mật nhà nước", "the dataset becomes a state secret"), true
	case is.Access == PrivateAccess && was.Access != PrivateAccess:
		return say("tập dữ liệu chuyển sang dùng riêng", "the dataset becomes private"), true
	case was.Shape == nil || is.Shape == nil:
		return Word{}, false
	}
	for _, column := range was.Shape.Columns {
		i := slices.IndexFunc(is.Shape.Columns, func(n RegisteredColumn) bool { return n.Name == column.Name })
		if (i < 0 || is.Shape.Columns[i].Kind != column.Kind) && receives(column.Name) {
			return wordf("cột %s bị bỏ hoặc đổi kiểu", "column %s is dropped or changes its type", column.Name), true
		}
	}
	return Word{}, false
}

// receives tells whether a column goes into a field that the consumer gets.
func (r *Register) receives(c *Consumer, def *dictionary.Definition, column string) bool {
	if len(c.Fields) == 0 || def == nil {
		return true
	}
	for i := range def.Columns {
		m := &def.Columns[i]
		if slices.Contains(columnsOf(m), column) && slices.Contains(c.Fields, fieldName(r.config.Dictionary(), m)) {
			return true
		}
	}
	return false
}

// CompareEntries lists what a new version of an entry changes. It breaks something when a dataset or a column
// that means something goes or changes its type, or when a dataset is closed to its readers.
func CompareEntries(s stewardship.Subject) []stewardship.Change {
	changes := stewardship.CompareJSON(s.Before, s.After)
	var before, after Entry
	if json.Unmarshal(s.Before, &before) != nil || json.Unmarshal(s.After, &after) != nil {
		return changes
	}
	changes = slices.DeleteFunc(changes, func(c stewardship.Change) bool { return strings.HasSuffix(c.Where, ".shape.confirmed") })
	for i := range changes {
		c := &changes[i]
		name := placeName(c.Where)
		switch {
		case c.Before == "":
			c.Vi, c.En = "thêm "+name.Vi, "added: "+name.En
		case c.After == "":
			c.Vi, c.En = "bỏ "+name.Vi, "removed: "+name.En
		default:
			c.Vi, c.En = "sửa "+name.Vi, "changed: "+name.En
		}
		c.Breaking = breaksReaders(c, &before, &after)
	}
	return changes
}

func breaksReaders(c *stewardship.Change, before, after *Entry) bool {
	parts := strings.Split(c.Where, ".")
	if parts[0] != "datasets" {
		return false
	}
	if len(parts) < 2 {
		return c.Before != ""
	}
	was, had := before.Dataset(parts[1])
	is, has := after.Dataset(parts[1])
	if !had {
		return false
	}
	if !has {
		return true
	}
	switch {
	case len(parts) < 3:
		return false
	case parts[2] == "access":
		return rank(Accesses(), is.Access) > rank(Accesses(), was.Access) && was.Access != ""
	case parts[2] == "state_secret":
		return is.StateSecret
	case parts[2] != "shape" || was.Shape == nil:
		return false
	case is.Shape == nil:
		return true
	case len(parts) < 5 || parts[3] != "columns":
		return false
	}
	i := slices.IndexFunc(was.Shape.Columns, func(n RegisteredColumn) bool { return n.Name == parts[4] })
	if i < 0 || was.Shape.Columns[i].Element == "" {
		return false
	}
	return len(parts) == 5 || parts[5] == "kind" || parts[5] == "element"
}

// placeName is how people call a place in an entry.
func placeName(where string) Word {
	first, rest, _ := strings.Cut(where, ".")
	for _, section := range []Choice[string]{
		{"code", Word{Vi: "mã CSDL", En: "code"}},
		{"name_vi", Word{Vi: "tên tiếng Việt", En: "Vietnamese name"}},
		{"name_en", Word{Vi: "tên tiếng Anh", En: "English name"}},
		{"class", Word{Vi: "loại CSDL", En: "class"}},
		{"domains", Word{Vi: "miền dữ liệu", En: "data domains"}},
		{"owner", Word{Vi: "cơ quan chủ quản", En: "owner"}},
		{"manager", Word{Vi: "đơn vị quản lý", En: "manager"}},
		{"operator", Word{Vi: "đơn vị vận hành", En: "operator"}},
		{"legal_bases", Word{Vi: "căn cứ pháp lý", En: "legal basis"}},
		{"purpose_vi", Word{Vi: "mục đích", En: "purpose"}},
		{"purpose_en", Word{Vi: "mục đích (tiếng Anh)", En: "purpose (English)"}},
		{"scope", Word{Vi: "phạm vi", En: "scope"}},
		{"collection", Word{Vi: "phương thức thu thập", En: "ways of collection"}},
		{"objects", Word{Vi: "đối tượng dữ liệu", En: "data objects"}},
		{"datasets", Word{Vi: "tập dữ liệu", En: "dataset"}},
		{"authority", Word{Vi: "nguồn duy nhất", En: "single source"}},
		{"security", Word{Vi: "cấp độ an toàn", En: "security level"}},
		{"people", Word{Vi: "người phụ trách", En: "people in charge"}},
		{"technical", Word{Vi: "thông tin kỹ thuật", En: "technical profile"}},
		{"status", Word{Vi: "hiện trạng", En: "status"}},
		{"relations", Word{Vi: "quan hệ với CSDL khác", En: "relations to other databases"}},
	} {
		if section.Value == first {
			if rest != "" {
				return Word{Vi: section.Vi + " " + rest, En: section.En + " " + rest}
			}
			return section.Word
		}
	}
	return Word{Vi: where, En: where}
}
