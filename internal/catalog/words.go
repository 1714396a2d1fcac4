package catalog

import (
	"fmt"

	"github.com/lienthong/lienthong/internal/stewardship"
)

// Word is a word in both languages.
type Word = stewardship.Word

// Choice is one of the values of a field, with its name.
type Choice[T ~string] struct {
	Value T
	Word
}

// LegalType is what kind of legal document it is.
type LegalType string

// LegalTypes lists them by rank.
func LegalTypes() []Choice[LegalType] {
	return []Choice[LegalType]{
		{"law", Word{Vi: "Luật", En: "Law"}},
		{"resolution", Word{Vi: "Nghị quyết", En: "Resolution"}},
		{"decree", Word{Vi: "Nghị định", En: "Decree"}},
		{"pm_decision", Word{Vi: "Quyết định của Thủ tướng Chính phủ", En: "Decision of the Prime Minister"}},
		{"circular", Word{Vi: "Thông tư", En: "Circular"}},
		{"decision", Word{Vi: "Quyết định", En: "Decision"}},
		{"plan", Word{Vi: "Kế hoạch", En: "Plan"}},
		{"other", Word{Vi: "Văn bản khác", En: "Other document"}},
	}
}

// CollectionMethod is how data come in.
type CollectionMethod string

// CollectionMethods lists them.
func CollectionMethods() []Choice[CollectionMethod] {
	return []Choice[CollectionMethod]{
		{"procedure", Word{Vi: "từ giải quyết thủ tục hành chính", En: "from administrative procedures"}},
		{"declaration", Word{Vi: "tổ chức, cá nhân kê khai", En: "declared by people and organisations"}},
		{"system", Word{Vi: "đồng bộ từ hệ thống khác", En: "synchronised from another system"}},
		{"digitisation", Word{Vi: "số hóa hồ sơ giấy", En: "digitised from paper"}},
		{"survey", Word{Vi: "điều tra, khảo sát", En: "surveys"}},
		{"sensor", Word{Vi: "thiết bị đo, quan trắc", En: "sensors and measurement"}},
		{"entry", Word{Vi: "cán bộ nhập trực tiếp", En: "entered by officials"}},
	}
}

// Access is who may see a dataset: Data Law 60/2024/QH15, article 13.
type Access string

// The kinds of access.
const (
	OpenAccess    Access = "open"
	SharedAccess  Access = "shared"
	PrivateAccess Access = "private"
)

// Accesses lists them, the strictest last.
func Accesses() []Choice[Access] {
	return []Choice[Access]{
		{OpenAccess, Word{Vi: "dữ liệu mở", En: "open data"}},
		{SharedAccess, Word{Vi: "dữ liệu dùng chung", En: "shared data"}},
		{PrivateAccess, Word{Vi: "dữ liệu dùng riêng", En: "private data"}},
	}
}

// Importance is how important a dataset is: Data Law 60/2024/QH15, article 13.
type Importance string

// The kinds of importance.
const (
	CoreData      Importance = "core"
	ImportantData Importance = "important"
	OtherData     Importance = "other"
)

// Importances lists them, the most important first.
func Importances() []Choice[Importance] {
	return []Choice[Importance]{
		{CoreData, Word{Vi: "dữ liệu cốt lõi", En: "core data"}},
		{ImportantData, Word{Vi: "dữ liệu quan trọng", En: "important data"}},
		{OtherData, Word{Vi: "dữ liệu khác", En: "other data"}},
	}
}

// Duty is what a person is in charge of.
type Duty string

// The duties that every database needs somebody for.
const (
	OwnerDuty            Duty = "owner"
	TechnicalChiefDuty   Duty = "engineer_it"
	ProfessionalHeadDuty Duty = "engineer_business"
	StewardDuty          Duty = "steward"
)

// Duties lists them.
func Duties() []Choice[Duty] {
	return []Choice[Duty]{
		{OwnerDuty, Word{Vi: "người đứng đầu chịu trách nhiệm", En: "accountable owner"}},
		{TechnicalChiefDuty, Word{Vi: "Tổng công trình sư công nghệ thông tin", En: "chief IT engineer"}},
		{ProfessionalHeadDuty, Word{Vi: "Tổng công trình sư nghiệp vụ", En: "chief business engineer"}},
		{StewardDuty, Word{Vi: "quản trị dữ liệu", En: "data steward"}},
	}
}

// StatusGroup is one of the four groups by which Resolution 214/NQ-CP sorts databases.
type StatusGroup string

// The four groups.
const (
	Built    StatusGroup = "built"
	Building StatusGroup = "building"
	Upgrade  StatusGroup = "upgrade"
	NotBuilt StatusGroup = "not_built"
)

// StatusGroups lists them.
func StatusGroups() []Choice[StatusGroup] {
	return []Choice[StatusGroup]{
		{Built, Word{Vi: "đã xây dựng", En: "built"}},
		{Building, Word{Vi: "đang xây dựng", En: "being built"}},
		{Upgrade, Word{Vi: "cần cập nhật, bổ sung, nâng cấp", En: "to be updated, added to or upgraded"}},
		{NotBuilt, Word{Vi: "chưa xây dựng", En: "not built yet"}},
	}
}

// RelationType is how two databases belong together.
type RelationType string

// The relations that are declared, and their opposites, which the register works out.
const (
	Uses       RelationType = "uses"
	PartOf     RelationType = "part_of"
	Replaces   RelationType = "replaces"
	UsedBy     RelationType = "used_by"
	HasPart    RelationType = "has_part"
	ReplacedBy RelationType = "replaced_by"
)

// RelationTypes lists all of them; those that are declared come first.
func RelationTypes() []Choice[RelationType] {
	return []Choice[RelationType]{
		{Uses, Word{Vi: "khai thác", En: "uses"}},
		{PartOf, Word{Vi: "là một phần của", En: "is part of"}},
		{Replaces, Word{Vi: "thay thế", En: "replaces"}},
		{UsedBy, Word{Vi: "được khai thác bởi", En: "is used by"}},
		{HasPart, Word{Vi: "bao gồm", En: "has as a part"}},
		{ReplacedBy, Word{Vi: "được thay thế bởi", En: "is replaced by"}},
	}
}

// Opposite is the relation as the other side has it.
func (r RelationType) Opposite() RelationType {
	switch r {
	case Uses:
		return UsedBy
	case PartOf:
		return HasPart
	case Replaces:
		return ReplacedBy
	case UsedBy:
		return Uses
	case HasPart:
		return PartOf
	case ReplacedBy:
		return Replaces
	}
	return ""
}

// declared tells that an entry may have the relation.
func (r RelationType) declared() bool { return r == Uses || r == PartOf || r == Replaces }

// WordOf is the name of a value, or the value itself when the list does not have it.
func WordOf[T ~string](list []Choice[T], value T) Word {
	if i := rank(list, value); i >= 0 {
		return list[i].Word
	}
	return Word{Vi: string(value), En: string(value)}
}

// rank is the place of a value in its list, -1 when it is not there.
func rank[T ~string](list []Choice[T], value T) int {
	for i := range list {
		if list[i].Value == value {
			return i
		}
	}
	return -1
}

// wordf writes a sentence in both languages with the same arguments.
func wordf(vi, en string, args ...any) Word {
	return Word{Vi: fmt.Sprintf(vi, args...), En: fmt.Sprintf(en, args...)}
}

// say is a text in both languages.
func say(vi, en string) Word { return Word{Vi: vi, En: en} }
