package dictionary

import (
	"fmt"
	"strings"

	"github.com/lienthong/lienthong"
)

// AttributeCount is how many attributes an entry of the common dictionary has.
const AttributeCount = 25

// Attribute is one of the 25 attributes of an entry, as people read it. A value
// may be empty: the entry says nothing about it.
type Attribute struct {
	Number  int    // 1 to 25, as Decision 2439/QD-TTg counts them
	Key     string // stable name for columns and documents
	LabelVi string
	LabelEn string
	ValueVi string
	ValueEn string
}

// attributeNames are the keys and labels in order; 1-14 are business, 15-25 technical.
func attributeNames() [AttributeCount]Attribute {
	names := [AttributeCount]Attribute{
		{Key: "id", LabelVi: "Mã phần tử dữ liệu", LabelEn: "Identifier"},
		{Key: "name", LabelVi: "Tên phần tử dữ liệu", LabelEn: "Name"},
		{Key: "definition", LabelVi: "Định nghĩa", LabelEn: "Definition"},
		{Key: "context", LabelVi: "Ngữ cảnh sử dụng", LabelEn: "Usage context"},
		{Key: "group", LabelVi: "Nhóm, lớp dữ liệu", LabelEn: "Group and class"},
		{Key: "object", LabelVi: "Quan hệ với thực thể", LabelEn: "Relation to an entity"},
		{Key: "creator", LabelVi: "Đơn vị tạo lập", LabelEn: "Creating unit"},
		{Key: "owner", LabelVi: "Đơn vị chủ quản", LabelEn: "Owning unit"},
		{Key: "language", LabelVi: "Ngôn ngữ", LabelEn: "Language"},
		{Key: "version", LabelVi: "Phiên bản, trạng thái", LabelEn: "Version and status"},
		{Key: "documents", LabelVi: "Văn bản liên quan", LabelEn: "Related documents"},
		{Key: "synonyms", LabelVi: "Từ đồng nghĩa", LabelEn: "Synonyms"},
		{Key: "related", LabelVi: "Thuật ngữ liên quan", LabelEn: "Related terms"},
		{Key: "business", LabelVi: "Thuộc tính nghiệp vụ", LabelEn: "Business attributes"},
		{Key: "technical_name", LabelVi: "Tên kỹ thuật", LabelEn: "Technical name"},
		{Key: "kind", LabelVi: "Kiểu dữ liệu", LabelEn: "Data type"},
		{Key: "format", LabelVi: "Độ dài, định dạng", LabelEn: "Length and format"},
		{Key: "rdf", LabelVi: "Kiểu RDF/OWL", LabelEn: "RDF or OWL type"},
		{Key: "relations", LabelVi: "Quan hệ với trường dữ liệu khác", LabelEn: "Relation to other elements"},
		{Key: "technical", LabelVi: "Thuộc tính kỹ thuật", LabelEn: "Technical attributes"},
		{Key: "code_list", LabelVi: "Danh sách giá trị", LabelEn: "Value list"},
		{Key: "normalise", LabelVi: "Quy tắc chuẩn hóa", LabelEn: "Normalisation rule"},
		{Key: "access", LabelVi: "API truy cập", LabelEn: "Access"},
		{Key: "alignments", LabelVi: "Ánh xạ quốc tế", LabelEn: "International mapping"},
		{Key: "rules", LabelVi: "Quy tắc kiểm tra", LabelEn: "Validation rule"},
	}
	for i := range names {
		names[i].Number = i + 1
	}
	return names
}

// Attributes lists all 25 attributes in order, those without a value too.
func (e *Element) Attributes() []Attribute {
	all := attributeNames()
	set := func(number int, vi, en string) { all[number-1].ValueVi, all[number-1].ValueEn = vi, en }
	same := func(number int, value string) { set(number, value, value) }
	same(1, e.ID)
	set(2, e.NameVi, e.NameEn)
	set(3, e.DefinitionVi, e.DefinitionEn)
	set(4, e.ContextVi, e.ContextEn)
	layer := layerWords(e.Class)
	set(5, joinWords(e.Group, layer.Vi), joinWords(e.Group, layer.En))
	set(6, objectWords(e.ObjectVi, e.PropertyVi, e.NameVi), objectWords(e.ObjectEn, e.PropertyEn, e.NameEn))
	creator := MemberWords(e.Creator)
	set(7, creator.Vi, creator.En)
	owner := MemberWords(e.Owner)
	set(8, owner.Vi, owner.En)
	set(9, languageWords(e.Language).Vi, languageWords(e.Language).En)
	status := StatusWords(e.Status)
	set(10, joinWords(e.Version.String(), status.Vi), joinWords(e.Version.String(), status.En))
	same(11, joinWords(append([]string{e.Source}, e.Documents...)...))
	same(12, strings.Join(e.Synonyms, ", "))
	same(13, joinWords(e.Related...))
	business := e.businessNotes()
	set(14, noteWords(business, true), noteWords(business, false))
	same(15, e.Name)
	kind := KindWords(e.Kind)
	set(16, kind.Vi, kind.En)
	vi, en := e.formatWords()
	set(17, vi, en)
	same(18, e.RDFType())
	vi, en = e.relationWords()
	set(19, vi, en)
	technical := append(e.technicalNotes(), e.Technical...)
	set(20, noteWords(technical, true), noteWords(technical, false))
	same(21, e.CodeList)
	same(22, strings.Join(e.Normalise, ", "))
	same(23, e.Access)
	alignments := make([]string, len(e.Alignments))
	for i, a := range e.Alignments {
		alignments[i] = string(a.Kind) + " " + a.IRI()
	}
	same(24, joinWords(alignments...))
	vi, en = e.ruleWords()
	set(25, vi, en)
	return all[:]
}

// joinWords joins what is not empty.
func joinWords(words ...string) string {
	var b strings.Builder
	for _, word := range words {
		if word == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(word)
	}
	return b.String()
}

func noteWords(notes []Note, vietnamese bool) string {
	words := make([]string, len(notes))
	for i, note := range notes {
		if words[i] = note.En; vietnamese {
			words[i] = note.Vi
		}
	}
	return joinWords(words...)
}

func objectWords(object, property, name string) string {
	if object == "" {
		return ""
	}
	if property == "" {
		property = name
	}
	return object + " – " + property
}

// MemberWords is how a creating or owning unit is written: its code, or the words
// for a group of units.
func MemberWords(code lienthong.MemberCode) Note {
	switch code {
	case "*all":
		return Note{"mọi cơ quan", "every agency"}
	case "*ministries":
		return Note{"các bộ, ngành", "the ministries"}
	case "*provinces":
		return Note{"ủy ban nhân dân cấp tỉnh", "the People's Committees of provinces"}
	case "*communes":
		return Note{"ủy ban nhân dân cấp xã", "the People's Committees of communes"}
	case "*owners":
		return Note{"cơ quan chủ quản cơ sở dữ liệu", "the owners of databases"}
	case "*companies":
		return Note{"doanh nghiệp", "enterprises"}
	}
	return Note{string(code), string(code)}
}

// memberGroup reports the groups that stand for many units.
func memberGroup(code lienthong.MemberCode) bool {
	return strings.HasPrefix(string(code), "*") && MemberWords(code).Vi != string(code)
}

func languageWords(tag string) Note {
	switch tag {
	case "vi":
		return Note{"tiếng Việt (vi)", "Vietnamese (vi)"}
	case "en":
		return Note{"tiếng Anh (en)", "English (en)"}
	}
	return Note{tag, tag}
}

// StatusWords is a status as people read it.
func StatusWords(status Status) Note {
	switch status {
	case Proposed:
		return Note{"đề xuất", "proposed"}
	case InReview:
		return Note{"đang thẩm định", "in review"}
	case Consulted:
		return Note{"đang lấy ý kiến", "in consultation"}
	case Approved:
		return Note{"đã phê duyệt", "approved"}
	case Published:
		return Note{"đã công bố", "published"}
	case Superseded:
		return Note{"đã được thay thế", "superseded"}
	case Retired:
		return Note{"ngừng sử dụng", "retired"}
	}
	return Note{string(status), string(status)}
}

func layerWords(layer Layer) Note {
	switch layer {
	case MetadataLayer:
		return Note{"dữ liệu đặc tả", "metadata"}
	case ReferenceLayer:
		return Note{"dữ liệu danh mục", "reference data"}
	case MasterLayer:
		return Note{"dữ liệu chủ", "master data"}
	case TransactionLayer:
		return Note{"dữ liệu giao dịch", "transaction data"}
	case BigLayer:
		return Note{"dữ liệu lớn", "big data"}
	case AggregateLayer:
		return Note{"dữ liệu tổng hợp", "aggregate data"}
	case AnalyticLayer:
		return Note{"dữ liệu phân tích", "analytic data"}
	case OpenLayer:
		return Note{"dữ liệu mở", "open data"}
	}
	return Note{string(layer), string(layer)}
}

// KindWords is a kind of value as people read it.
func KindWords(kind lienthong.Kind) Note {
	switch kind {
	case lienthong.Text:
		return Note{"chuỗi ký tự", "text"}
	case lienthong.Integer:
		return Note{"số nguyên", "integer"}
	case lienthong.Decimal:
		return Note{"số thập phân", "decimal"}
	case lienthong.Real:
		return Note{"số thực", "real number"}
	case lienthong.Boolean:
		return Note{"đúng/sai", "true or false"}
	case lienthong.Date:
		return Note{"ngày", "date"}
	case lienthong.Timestamp:
		return Note{"thời điểm", "date and time"}
	case lienthong.Binary:
		return Note{"nhị phân", "binary"}
	}
	return Note{kind.String(), kind.String()}
}

func (e *Element) businessNotes() []Note {
	var notes []Note
	for _, flag := range []struct {
		set  bool
		note Note
	}{
		{e.Identifier, Note{"trường định danh, liên kết", "identifies or links"}},
		{e.Required, Note{"bắt buộc", "required"}},
		{e.Personal && !e.Sensitive, Note{"dữ liệu cá nhân", "personal data"}},
		{e.Sensitive, Note{"dữ liệu cá nhân nhạy cảm", "sensitive personal data"}},
	} {
		if flag.set {
			notes = append(notes, flag.note)
		}
	}
	return append(notes, e.Business...)
}

func (e *Element) technicalNotes() []Note {
	switch e.Kind {
	case lienthong.Text:
		return []Note{{"Unicode UTF-8, dạng dựng sẵn (NFC)", "Unicode UTF-8 in NFC"}}
	case lienthong.Date:
		return []Note{{"ISO 8601, dương lịch", "ISO 8601, Gregorian calendar"}}
	case lienthong.Timestamp:
		return []Note{{"ISO 8601, lưu theo UTC, hiển thị theo giờ Việt Nam (UTC+7)", "ISO 8601, kept in UTC, shown in Vietnam time (UTC+7)"}}
	case lienthong.Decimal:
		return []Note{{"dấu chấm thập phân, không dấu phân cách hàng nghìn", "decimal point, no thousands separator"}}
	case lienthong.Integer, lienthong.Real, lienthong.Boolean, lienthong.Binary:
	}
	return nil
}

// formatWords takes the format, which is written "tiếng Việt / English", apart.
func (e *Element) formatWords() (vi, en string) {
	vi, en = e.Format, e.Format
	if left, right, both := strings.Cut(e.Format, " / "); both {
		vi, en = left, right
	}
	if e.MaxLength > 0 {
		vi = joinWords(vi, fmt.Sprintf("tối đa %d ký tự", e.MaxLength))
		en = joinWords(en, fmt.Sprintf("at most %d characters", e.MaxLength))
	}
	if e.Unit != "" {
		vi, en = joinWords(vi, "đơn vị "+e.Unit), joinWords(en, "in "+e.Unit)
	}
	return vi, en
}

func (e *Element) relationWords() (vi, en string) {
	for _, r := range e.Relations {
		word := Note{string(r.Type), string(r.Type)}
		switch r.Type {
		case PartOf:
			word = Note{"là một phần của", "part of"}
		case DerivedFrom:
			word = Note{"suy ra từ", "derived from"}
		case SameAs:
			word = Note{"cùng nghĩa với", "same as"}
		case Broader:
			word = Note{"nghĩa hẹp hơn", "narrower than"}
		case SeeAlso:
			word = Note{"xem thêm", "see also"}
		}
		vi, en = joinWords(vi, word.Vi+" "+r.Target), joinWords(en, word.En+" "+r.Target)
	}
	return vi, en
}

func (e *Element) ruleWords() (vi, en string) {
	for i := range e.Rules {
		rule := &e.Rules[i]
		own := Note{rule.Vi + " (" + rule.Code + ")", rule.En + " (" + rule.Code + ")"}
		if rule.Blocking {
			own.Vi, own.En = own.Vi+", giữ lại bản ghi", own.En+", holds the record back"
		}
		vi, en = joinWords(vi, own.Vi), joinWords(en, own.En)
	}
	return vi, en
}
