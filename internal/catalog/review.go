package catalog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// Section is a part of an entry with what is missing in it.
type Section struct {
	ID string
	Word
	Answered int
	Asked    int
	Missing  []*lienthong.Error // in the order of the form
}

// Completeness is how much of what is asked has been answered.
type Completeness struct {
	Percent  int // of all questions; 100 only when nothing is missing
	Sections []Section
}

// Missing lists everything that is missing.
func (c *Completeness) Missing() []*lienthong.Error {
	var all []*lienthong.Error
	for i := range c.Sections {
		all = append(all, c.Sections[i].Missing...)
	}
	return all
}

// questions collects the answers of a section.
type questions struct{ Section }

// ask counts one question.
func (q *questions) ask(answered bool, where, vi, en string) {
	q.Asked++
	if answered {
		q.Answered++
		return
	}
	q.Missing = append(q.Missing, &lienthong.Error{Code: "catalog.missing", Where: where, Vi: vi, En: en})
}

// Completeness asks everything that the register wants to know. What does not
// exist yet is not asked: a database that is not built has no engine.
func (e *Entry) Completeness() Completeness {
	sections := []questions{
		e.askIdentity(), e.askBasis(), e.askData(), e.askClassification(), e.askSecurity(), e.askPeople(), e.askTechnical(), e.askStatus(),
	}
	var c Completeness
	answered, asked := 0, 0
	for i := range sections {
		c.Sections = append(c.Sections, sections[i].Section)
		answered, asked = answered+sections[i].Answered, asked+sections[i].Asked
	}
	c.Percent = 100 * answered / asked
	return c
}

func section(id, vi, en string) questions {
	return questions{Section{ID: id, Word: Word{Vi: vi, En: en}}}
}

func (e *Entry) askIdentity() questions {
	q := section("identity", "Tên và cơ quan", "Name and organisations")
	q.ask(e.NameVi != "", "name_vi", "chưa có tên tiếng Việt", "no Vietnamese name")
	q.ask(e.NameEn != "", "name_en", "chưa có tên tiếng Anh", "no English name")
	q.ask(e.Class != "", "class", "chưa chọn loại: quốc gia, chuyên ngành, địa phương, hệ thống chính trị", "no class: national, specialised, local, political system")
	q.ask(len(e.Domains) > 0, "domains", "chưa chọn miền dữ liệu", "no data domain")
	q.ask(e.Owner != "", "owner", "chưa có cơ quan chủ quản", "no owning organisation")
	q.ask(e.Manager != "", "manager", "chưa có đơn vị quản lý", "no managing organisation")
	q.ask(e.Operator != "", "operator", "chưa có đơn vị vận hành", "no operating organisation")
	return q
}

func (e *Entry) askBasis() questions {
	q := section("basis", "Căn cứ, mục đích, phạm vi", "Basis, purpose, scope")
	q.ask(len(e.LegalBases) > 0, "legal_bases", "chưa có căn cứ pháp lý", "no legal basis")
	q.ask(slices.ContainsFunc(e.LegalBases, func(b LegalBasis) bool { return b.Article != "" }), "legal_bases.article", "căn cứ pháp lý chưa nêu điều, khoản", "no legal basis names its article")
	q.ask(e.PurposeVi != "", "purpose_vi", "chưa nêu mục đích", "no purpose")
	q.ask(e.Scope.Territory != "", "scope.territory", "chưa nêu phạm vi địa bàn", "no territory")
	q.ask(e.Scope.SubjectVi != "", "scope.subject_vi", "chưa nêu đối tượng quản lý", "no subject")
	q.ask(e.Scope.Objects > 0, "scope.objects", "chưa có tổng số đối tượng phải quản lý", "the number of managed objects is not stated")
	q.ask(len(e.Collection) > 0, "collection", "chưa nêu phương thức thu thập", "no way of collection")
	return q
}

func (e *Entry) askData() questions {
	q := section("data", "Dữ liệu", "Data")
	q.ask(len(e.Objects) > 0, "objects", "chưa có đối tượng dữ liệu chính", "no main data object")
	q.ask(len(e.Datasets) > 0, "datasets", "chưa có tập dữ liệu", "no dataset")
	for i := range e.Datasets {
		d := &e.Datasets[i]
		at := "datasets." + d.Name
		q.ask(d.TitleVi != "", at+".title_vi", "tập dữ liệu "+d.Name+" chưa có tên", "dataset "+d.Name+" has no title")
		q.ask(d.Updated != "", at+".updated", "tập dữ liệu "+d.Name+" chưa nêu chu kỳ cập nhật", "dataset "+d.Name+" does not say how often it is updated")
		if e.Status.Group != NotBuilt {
			q.ask(d.Shape != nil, at+".shape", "cấu trúc của tập dữ liệu "+d.Name+" chưa được xác nhận", "the shape of dataset "+d.Name+" is not confirmed")
		}
	}
	return q
}

func (e *Entry) askClassification() questions {
	q := section("classification", "Phân loại, chia sẻ, lưu giữ", "Classification, sharing, retention")
	if len(e.Datasets) == 0 {
		q.ask(false, "datasets", "chưa có tập dữ liệu để phân loại", "no dataset to classify")
	}
	for i := range e.Datasets {
		d := &e.Datasets[i]
		at := "datasets." + d.Name
		q.ask(d.Access != "", at+".access", "tập dữ liệu "+d.Name+" chưa phân loại mở, dùng chung, dùng riêng", "dataset "+d.Name+" is not classified as open, shared or private")
		q.ask(d.Importance != "", at+".importance", "tập dữ liệu "+d.Name+" chưa phân loại cốt lõi, quan trọng, khác", "dataset "+d.Name+" is not classified as core, important or other")
		q.ask(d.Retention.Stated(), at+".retention", "tập dữ liệu "+d.Name+" chưa có thời hạn lưu giữ", "dataset "+d.Name+" has no retention period")
		if d.Shareable {
			q.ask(len(d.ShareVia) > 0, at+".share_via", "tập dữ liệu "+d.Name+" chưa nêu cách chia sẻ", "dataset "+d.Name+" does not say how it is shared")
		}
	}
	return q
}

func (e *Entry) askSecurity() questions {
	q := section("security", "An toàn", "Security")
	q.ask(e.Security.Level != 0, "security.level", "chưa xác định cấp độ an toàn", "no security level")
	q.ask(e.Security.Document != "", "security.document", "chưa có văn bản phê duyệt cấp độ", "no approval of the level")
	q.ask(e.Security.Date != "", "security.date", "chưa có ngày phê duyệt cấp độ", "no date of the approval")
	return q
}

func (e *Entry) askPeople() questions {
	q := section("people", "Người phụ trách", "People in charge")
	for _, duty := range Duties() {
		i := slices.IndexFunc(e.People, func(c Contact) bool { return c.Duty == duty.Value && c.Name != "" })
		at := "people." + string(duty.Value)
		q.ask(i >= 0, at, "chưa có "+duty.Vi, "no "+duty.En)
		q.ask(i >= 0 && (e.People[i].Phone != "" || e.People[i].Email != ""), at+".contact", "chưa có điện thoại hoặc thư điện tử của "+duty.Vi, "no phone or email of the "+duty.En)
	}
	return q
}

func (e *Entry) askTechnical() questions {
	q := section("technical", "Kỹ thuật", "Technical profile")
	if e.Status.Group == NotBuilt {
		q.ask(e.Technical.Location != "", "technical.location", "chưa nêu nơi sẽ đặt hệ thống", "the place where it will run is not stated")
		return q
	}
	q.ask(e.Technical.Engine != "", "technical.engine", "chưa nêu hệ quản trị cơ sở dữ liệu", "no database engine")
	q.ask(e.Technical.Version != "", "technical.version", "chưa nêu phiên bản hệ quản trị", "no version of the engine")
	q.ask(e.Technical.Rows > 0, "technical.rows", "chưa nêu số bản ghi", "the number of records is not stated")
	q.ask(e.Technical.SizeBytes > 0, "technical.size_bytes", "chưa nêu dung lượng", "the size is not stated")
	q.ask(e.Technical.Location != "", "technical.location", "chưa nêu nơi đặt hệ thống", "the place where it runs is not stated")
	q.ask(e.Technical.Backup.Every != "", "technical.backup.every", "chưa nêu chu kỳ sao lưu", "it is not stated how often it is backed up")
	q.ask(e.Technical.Backup.TestedOn != "", "technical.backup.tested_on", "chưa có lần khôi phục thử nào", "no restore has been tried")
	return q
}

func (e *Entry) askStatus() questions {
	q := section("status", "Hiện trạng", "Status")
	q.ask(e.Status.Group != "", "status.group", "chưa chọn nhóm hiện trạng theo Nghị quyết 214/NQ-CP", "no status group of Resolution 214/NQ-CP")
	if e.Status.Group != Built && e.Status.Group != "" {
		q.ask(e.Status.Due != "", "status.due", "chưa có thời hạn hoàn thành", "no due date")
	}
	return q
}

// Problems lists what must be right before an entry may be submitted: what
// the register cannot do without, and everything that is wrong. What is merely missing is in Completeness.
func (e *Entry) Problems() []*lienthong.Error {
	var p problems
	if _, err := lienthong.ParseDatasetID(e.Code + ".x"); err != nil {
		p.add("code", "mã CSDL phải là chữ thường không dấu, số và gạch dưới, tối đa 40 ký tự", "the code must be lower-case letters, digits and underscores, up to 40")
	}
	p.need(e.NameVi != "", "name_vi", "chưa có tên tiếng Việt", "no Vietnamese name")
	p.need(e.Owner != "", "owner", "chưa có cơ quan chủ quản", "no owning organisation")
	for where, code := range map[string]lienthong.MemberCode{"owner": e.Owner, "manager": e.Manager} {
		if code == "" {
			continue
		}
		if _, err := lienthong.ParseMemberCode(string(code)); err != nil {
			p.add(where, "mã định danh điện tử của cơ quan không đúng dạng", "not an electronic identifier of an organisation")
		}
	}
	p.need(e.Status.Group != "", "status.group", "chưa chọn nhóm hiện trạng", "no status group")
	p.need(slices.ContainsFunc(e.People, func(c Contact) bool { return c.Duty == OwnerDuty && c.Name != "" }), "people.owner", "chưa có người đứng đầu chịu trách nhiệm", "no accountable owner")
	classes := []lienthong.DatabaseClass{lienthong.NationalDatabase, lienthong.SpecialisedDatabase, lienthong.PoliticalDatabase, lienthong.LocalDatabase}
	p.need(slices.Contains(classes, e.Class), "class", "chưa chọn loại, hoặc loại không có", "no class, or not one of the classes")
	oneOf(&p, "status.group", StatusGroups(), e.Status.Group)
	if e.Status.Progress < 0 || e.Status.Progress > 100 {
		p.add("status.progress", "tiến độ phải từ 0 đến 100", "progress is 0 to 100")
	}
	if e.Security.Level < 0 || e.Security.Level > 5 {
		p.add("security.level", "cấp độ an toàn từ 1 đến 5", "the security level is 1 to 5")
	}
	p.date("security.date", e.Security.Date)
	p.date("status.since", e.Status.Since)
	p.date("status.due", e.Status.Due)
	p.date("technical.backup.tested_on", e.Technical.Backup.TestedOn)
	e.checkLists(&p)
	slices.SortStableFunc(p.list, func(a, b *lienthong.Error) int { return strings.Compare(a.Where, b.Where) })
	return p.list
}

func (e *Entry) checkLists(p *problems) {
	for i, b := range e.LegalBases {
		at := "legal_bases." + strconv.Itoa(i+1)
		p.need(b.Number != "", at+".number", "căn cứ pháp lý chưa có số văn bản", "a legal basis has no number")
		oneOf(p, at+".type", LegalTypes(), b.Type)
		p.date(at+".date", b.Date)
	}
	for i, c := range e.Collection {
		oneOf(p, "collection."+strconv.Itoa(i+1)+".method", CollectionMethods(), c.Method)
	}
	names := map[string]bool{}
	for i := range e.Datasets {
		d := &e.Datasets[i]
		at := "datasets." + d.Name
		if _, err := lienthong.ParseDatasetID("x." + d.Name); err != nil {
			p.add("datasets."+strconv.Itoa(i+1)+".name", "tên tập dữ liệu phải là chữ thường không dấu, số và gạch dưới", "the name of a dataset is lower-case letters, digits and underscores")
		}
		if names[d.Name] {
			p.add(at, "tập dữ liệu này có hai lần", "this dataset stands twice")
		}
		names[d.Name] = true
		oneOf(p, at+".access", Accesses(), d.Access)
		oneOf(p, at+".importance", Importances(), d.Importance)
		if d.StateSecret && (d.Shareable || d.Access == OpenAccess) {
			p.add(at+".state_secret", "dữ liệu bí mật nhà nước không được đánh dấu chia sẻ hoặc mở", "a state secret cannot be marked as shareable or open")
		}
		if d.Access == OpenAccess && e.personal(d.Object) {
			p.add(at+".access", "dữ liệu cá nhân không được đánh dấu là dữ liệu mở", "personal data cannot be marked as open data")
		}
		if d.Retention.Years < 0 {
			p.add(at+".retention", "thời hạn lưu giữ không được âm", "a retention period cannot be negative")
		}
		if d.Updated != "" {
			if _, err := time.ParseDuration(d.Updated); err != nil {
				p.add(at+".updated", "chu kỳ cập nhật viết như 24h", "write the update interval like 24h")
			}
		}
	}
	for i, c := range e.People {
		at := fmt.Sprintf("people.%d", i+1)
		oneOf(p, at+".duty", Duties(), c.Duty)
		if c.Email != "" && !plausibleEmail(c.Email) {
			p.add(at+".email", "thư điện tử không đúng dạng", "not an email address")
		}
		if c.Phone != "" && !plausiblePhone(c.Phone) {
			p.add(at+".phone", "số điện thoại không đúng dạng", "not a phone number")
		}
		p.date(at+".since", c.Since)
	}
	for i, r := range e.Relations {
		at := "relations." + strconv.Itoa(i+1)
		p.need(r.Type.declared(), at+".type", "quan hệ phải là khai thác, là một phần của, hoặc thay thế", "a relation is uses, part_of or replaces")
		p.need(r.Code != "" && r.Code != e.Code, at+".code", "quan hệ phải trỏ đến một CSDL khác", "a relation points to another database")
	}
}

// personal tells whether a data object holds personal data.
func (e *Entry) personal(object string) bool {
	return slices.ContainsFunc(e.Objects, func(o DataObject) bool { return o.Name == object && (o.Personal || o.Sensitive) })
}

type problems struct{ list []*lienthong.Error }

func (p *problems) add(where, vi, en string) {
	p.list = append(p.list, &lienthong.Error{Code: "catalog.wrong", Where: where, Vi: vi, En: en})
}

func (p *problems) need(there bool, where, vi, en string) {
	if !there {
		p.list = append(p.list, &lienthong.Error{Code: "catalog.missing", Where: where, Vi: vi, En: en})
	}
}

func (p *problems) date(where, text string) {
	if text == "" {
		return
	}
	if _, err := time.Parse(time.DateOnly, text); err != nil {
		p.add(where, "ngày viết như 2026-11-02", "write a date like 2026-11-02")
	}
}

func oneOf[T ~string](p *problems, where string, list []Choice[T], value T) {
	if value != "" && rank(list, value) < 0 {
		p.add(where, "giá trị không có trong danh mục", "not one of the values of the list")
	}
}

// plausibleEmail is one "@" between a name and a host with a dot.
func plausibleEmail(s string) bool {
	name, host, found := strings.Cut(s, "@")
	return found && name != "" && strings.Contains(strings.Trim(host, "."), ".") && !strings.ContainsAny(s, " \t\r\n,;<>") && !strings.Contains(host, "@")
}

// plausiblePhone is 8 to 12 digits with the usual signs between them.
func plausiblePhone(s string) bool {
	digits := 0
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case !strings.ContainsRune(" .-+()", r):
			return false
		}
	}
	return digits >= 8 && digits <= 12
}
