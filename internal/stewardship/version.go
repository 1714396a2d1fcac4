package stewardship

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
)

// Version is major.minor: the major part rises when those who use the item must change something.
type Version struct {
	Major int
	Minor int
}

// String is "1.2".
func (v Version) String() string { return strconv.Itoa(v.Major) + "." + strconv.Itoa(v.Minor) }

// IsZero tells that there is no version yet.
func (v Version) IsZero() bool { return v == Version{} }

// MarshalText writes "1.2".
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (v *Version) UnmarshalText(text []byte) error {
	major, minor, found := strings.Cut(string(text), ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	if !found || errA != nil || errB != nil || a < 0 || b < 0 {
		return &lienthong.Error{
			Code: "stewardship.version", Where: string(text),
			Vi: "phiên bản không đúng dạng", En: "not a version", Hint: "1.2",
		}
	}
	v.Major, v.Minor = a, b
	return nil
}

// next is the version after v.
func (v Version) next(major bool) Version {
	if major || v.IsZero() {
		return Version{Major: v.Major + 1}
	}
	return Version{Major: v.Major, Minor: v.Minor + 1}
}

// Change is one difference between two contents of an item.
type Change struct {
	Where    string `json:"where"` // the place in the content: "datasets.person.columns"
	Before   string `json:"before,omitempty"`
	After    string `json:"after,omitempty"`
	Breaking bool   `json:"breaking,omitempty"`
	Vi       string `json:"vi"`
	En       string `json:"en"`
}

// Release is one published version.
type Release struct {
	Version  Version   `json:"version"`
	State    State     `json:"state"` // published, superseded or retired
	Revision int64     `json:"revision"`
	At       int64     `json:"at"` // published, microseconds since 1970 UTC
	Until    int64     `json:"until,omitempty"`
	By       string    `json:"by"`
	Approved string    `json:"approved_by"`
	Note     string    `json:"note,omitempty"`
	Changes  []Change  `json:"changes,omitempty"`
	Authors  []Account `json:"authors,omitempty"`
}

// Use is one place that uses an item: a field of a dataset, or a whole dataset or database.
type Use struct {
	Dataset  lienthong.DatasetID  `json:"dataset,omitzero"`
	Database string               `json:"database"`
	Owner    lienthong.MemberCode `json:"owner,omitempty"`
	Field    string               `json:"field,omitempty"`
	Columns  []string             `json:"columns,omitempty"` // of the source
	Breaking bool                 `json:"breaking,omitempty"`
	Vi       string               `json:"vi,omitempty"` // what it means for this place
	En       string               `json:"en,omitempty"`
}

// Impact is what a proposal touches.
type Impact struct {
	Uses     []Use `json:"uses"`
	Breaking bool  `json:"breaking,omitempty"` // some users must change something
}

// Sentence says it in one line.
func (i Impact) Sentence() Word {
	datasets, databases, breaking := map[lienthong.DatasetID]bool{}, map[string]bool{}, map[string]bool{}
	for _, use := range i.Uses {
		if use.Dataset.Name != "" {
			datasets[use.Dataset] = true
		}
		databases[use.Database] = true
		if use.Breaking {
			breaking[use.Database] = true
		}
	}
	if len(i.Uses) == 0 {
		return Word{"Chưa có nơi nào sử dụng.", "Nothing uses it yet."}
	}
	w := Word{
		fmt.Sprintf("%d tập dữ liệu của %d cơ sở dữ liệu sử dụng.", len(datasets), len(databases)),
		fmt.Sprintf("Used by %s of %s.", count(len(datasets), "dataset"), count(len(databases), "database")),
	}
	if len(datasets) == 0 {
		w = Word{
			fmt.Sprintf("%d cơ sở dữ liệu sử dụng.", len(databases)),
			fmt.Sprintf("Used by %s.", count(len(databases), "database")),
		}
	}
	if len(breaking) > 0 {
		w.Vi += fmt.Sprintf(" %d cơ sở dữ liệu phải thay đổi.", len(breaking))
		w.En += fmt.Sprintf(" %s must change something.", count(len(breaking), "database"))
	}
	return w
}

// count writes "1 dataset", "7 datasets".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
