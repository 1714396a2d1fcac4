package lienthong

// ErrorGroup is one of the eight groups of data errors of Official Letter
// 4856/BCA-TTDLQG (14 September 2026), annex 3, part VII.
type ErrorGroup string

// The eight groups.
const (
	MissingMandatory  ErrorGroup = "missing"
	OutOfRange        ErrorGroup = "out_of_range"
	Duplicate         ErrorGroup = "duplicate"
	WrongFormat       ErrorGroup = "wrong_format"
	BrokenReference   ErrorGroup = "broken_reference"
	Contradiction     ErrorGroup = "contradiction"
	Stale             ErrorGroup = "stale"
	ReferenceMismatch ErrorGroup = "reference_mismatch"
)

// ErrorGroups lists the groups in the order of the law.
func ErrorGroups() []ErrorGroup {
	return []ErrorGroup{
		MissingMandatory, OutOfRange, Duplicate, WrongFormat,
		BrokenReference, Contradiction, Stale, ReferenceMismatch,
	}
}

// Criterion is one of the six qualities that the Resolution asks for.
type Criterion string

// The six criteria, with the words of the Resolution as values.
const (
	Correct  Criterion = "dung"       // đúng
	Complete Criterion = "du"         // đủ
	Clean    Criterion = "sach"       // sạch
	Live     Criterion = "song"       // sống
	Unified  Criterion = "thong_nhat" // thống nhất
	Shared   Criterion = "dung_chung" // dùng chung
)

// Criteria lists the six in the order of the Resolution.
func Criteria() []Criterion {
	return []Criterion{Correct, Complete, Clean, Live, Unified, Shared}
}

// Finding is one record that breaks one rule (lỗi dữ liệu). It never holds a
// personal value: Sample is masked, and Record is a keyed digest that only the
// owner can trace back.
type Finding struct {
	Dataset   DatasetID  `json:"dataset"`
	Rule      string     `json:"rule"`
	Group     ErrorGroup `json:"group"`
	Criterion Criterion  `json:"criterion"`
	Field     string     `json:"field"`
	Record    string     `json:"record"`
	Sample    string     `json:"sample,omitempty"`
	Blocking  bool       `json:"blocking,omitempty"` // the record is in quarantine
	At        int64      `json:"at"`
}
