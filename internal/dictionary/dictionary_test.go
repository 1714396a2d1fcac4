package dictionary

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lienthong/lienthong"
)

// shared is one dictionary for all tests: none of them may change it.
var shared = sync.OnceValues(Builtin)

func load(t testing.TB) *Dictionary {
	t.Helper()
	d, err := shared()
	if err != nil {
		t.Fatalf("Builtin: %v", err)
	}
	return d
}

// codes lists the codes of joined errors.
func codes(err error) []string {
	var list []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			list = append(list, lienthong.ErrorCode(one))
		}
	} else if err != nil {
		list = append(list, lienthong.ErrorCode(err))
	}
	return list
}

func TestElementsThatOthersRelyOn(t *testing.T) {
	d := load(t)
	const personal, open = true, false
	tests := []struct {
		id       string
		kind     lienthong.Kind
		personal bool
		codeList string
	}{
		{"person.number", lienthong.Text, personal, ""},
		{"person.full_name", lienthong.Text, personal, ""},
		{"person.birth_date", lienthong.Date, personal, ""},
		{"person.sex", lienthong.Text, personal, "sex"},
		{"person.ethnicity", lienthong.Text, personal, "ethnicity"},
		{"person.birth_province", lienthong.Text, personal, "birth_province"},
		{"person.marital_status", lienthong.Text, personal, "marital_status"},
		{"person.phone", lienthong.Text, personal, ""},
		{"person.email", lienthong.Text, personal, ""},
		{"person.father_number", lienthong.Text, personal, ""},
		{"person.mother_number", lienthong.Text, personal, ""},
		{"person.verified_at", lienthong.Timestamp, open, ""},
		{"address.commune", lienthong.Text, personal, "commune"},
		{"address.commune_before", lienthong.Text, personal, "commune_before"},
		{"address.line", lienthong.Text, personal, ""},
		{"record.key", lienthong.Text, open, ""},
		{"record.updated_at", lienthong.Timestamp, open, ""},
		{"civil.event_date", lienthong.Date, personal, ""},
		{"civil.registered_at", lienthong.Date, personal, ""},
		{"civil.book_number", lienthong.Text, personal, ""},
		{"civil.child_number", lienthong.Text, personal, ""},
		{"civil.child_name", lienthong.Text, personal, ""},
		{"civil.child_birth_date", lienthong.Date, personal, ""},
		{"civil.child_sex", lienthong.Text, personal, "sex"},
		{"civil.mother_number", lienthong.Text, personal, ""},
		{"civil.father_number", lienthong.Text, personal, ""},
		{"civil.husband_number", lienthong.Text, personal, ""},
		{"civil.wife_number", lienthong.Text, personal, ""},
		{"civil.deceased_number", lienthong.Text, personal, ""},
		{"civil.deceased_name", lienthong.Text, personal, ""},
		{"civil.death_date", lienthong.Date, personal, ""},
		{"civil.cause", lienthong.Text, personal, ""},
		{"household.number", lienthong.Text, personal, ""},
		{"household.head_number", lienthong.Text, personal, ""},
		{"household.head_name", lienthong.Text, personal, ""},
		{"household.members", lienthong.Integer, personal, ""},
		{"household.poverty", lienthong.Text, personal, "poverty"},
		{"parcel.number", lienthong.Text, open, ""},
		{"parcel.sheet", lienthong.Text, open, ""},
		{"parcel.area", lienthong.Decimal, open, ""},
		{"parcel.purpose", lienthong.Text, open, "land_use"},
		{"parcel.owner_number", lienthong.Text, personal, ""},
		{"parcel.owner_name", lienthong.Text, personal, ""},
		{"parcel.certificate_number", lienthong.Text, personal, ""},
		{"parcel.certificate_date", lienthong.Date, open, ""},
		{"organisation.code", lienthong.Text, open, ""},
		{"organisation.name", lienthong.Text, open, ""},
		{"unit.code", lienthong.Text, open, ""},
		{"unit.name", lienthong.Text, open, ""},
		{"unit.type", lienthong.Text, open, "unit_type"},
		{"unit.province", lienthong.Text, open, "province"},
		{"unit.province_name", lienthong.Text, open, ""},
		{"link.new_code", lienthong.Text, open, "commune"},
		{"link.old_code", lienthong.Text, open, ""},
		{"link.old_name", lienthong.Text, open, ""},
		{"link.old_district", lienthong.Text, open, ""},
		{"link.old_province", lienthong.Text, open, ""},
		{"link.partial", lienthong.Boolean, open, ""},
		{"link.match", lienthong.Text, open, "link_match"},
	}
	for _, tt := range tests {
		e, found := d.Element(tt.id)
		if !found {
			t.Errorf("%s: missing", tt.id)
			continue
		}
		if e.Kind != tt.kind || e.Personal != tt.personal || e.CodeList != tt.codeList {
			t.Errorf("%s: kind %v personal %v list %q, want %v %v %q", tt.id, e.Kind, e.Personal, e.CodeList, tt.kind, tt.personal, tt.codeList)
		}
	}
}

func TestElementsAreConsistent(t *testing.T) {
	d := load(t)
	for _, e := range d.Elements() {
		for _, r := range e.Rules {
			if !strings.HasPrefix(r.Code, e.ID+".") || r.Field != "" {
				t.Errorf("%s: rule %q with field %q", e.ID, r.Code, r.Field)
			}
			if r.Blocking && !e.Identifier {
				t.Errorf("%s: rule %q blocks, but the element is no identifier", e.ID, r.Code)
			}
		}
		if e.CodeList != "" && !slices.ContainsFunc(e.Rules, func(r Rule) bool { return r.Check.CodeList == e.CodeList }) {
			t.Errorf("%s: no rule checks its code list", e.ID)
		}
	}
	if !slices.IsSortedFunc(d.Elements(), func(a, b Element) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("elements are not in order")
	}
	if e, _ := d.Element("person.number"); !e.Rules[0].Blocking || e.Rules[0].Check.Digits != 12 || !e.Required {
		t.Error("the personal number must be required and block unless it has 12 digits")
	}
}

func TestCodeLists(t *testing.T) {
	d := load(t)
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC).UnixMicro()
	tests := []struct {
		list, code string
		at         int64
		want       bool
	}{
		{"sex", "M", now, true},
		{"sex", "X", now, false},
		{"sex", "", now, false},
		{"sex", "m", now, false},
		{"ethnicity", "01", now, true},
		{"ethnicity", "54", now, true},
		{"ethnicity", "55", now, true},
		{"ethnicity", "56", now, false},
		{"ethnicity", "00", now, false},
		{"birth_province", "001", now, true},
		{"birth_province", "096", now, true},
		{"birth_province", "003", now, false},
		{"land_use", "ONT", now, true},
		{"land_use", "XYZ", now, false},
		{"land_use", "ONT", civilDays(2000, 1, 1) * day, false},
		{"poverty", "near_poor", now, true},
		{"province", "02", now, false},
		{"province", "02", Reorganised() - 1, true},
		{"province", "96", now, true},
		{"commune", "00004", now, true},
		{"commune", "00013", now, false},
		{"commune", "00013", Reorganised() - 1, true},
		{"commune", "00013", Reorganised(), false},
		{"commune", "99999", now, false},
		{"commune_before", "00013", now, true},
		{"commune_before", "99999", now, false},
	}
	for _, tt := range tests {
		list, found := d.CodeList(tt.list)
		if !found {
			t.Fatalf("no list %s", tt.list)
		}
		if got := list.Valid([]byte(tt.code), tt.at); got != tt.want {
			t.Errorf("%s has %q at %s: %v, want %v", tt.list, tt.code, time.UnixMicro(tt.at).UTC(), got, tt.want)
		}
		if _, got := list.Lookup(tt.code, tt.at); got != tt.want {
			t.Errorf("%s: Lookup(%q) disagrees with Valid", tt.list, tt.code)
		}
	}
	list, _ := d.CodeList("commune")
	code := []byte("31825")
	if n := testing.AllocsPerRun(100, func() { list.Valid(code, now) }); n != 0 {
		t.Errorf("Valid allocates %v times", n)
	}
	if ethnic, _ := d.CodeList("ethnicity"); len(ethnic.Codes()) != 55 {
		t.Errorf("%d ethnic groups, want 54 and foreigners", len(ethnic.Codes()))
	}
}

func TestTranslationsAcceptNamesAndAliases(t *testing.T) {
	d := load(t)
	tests := []struct{ list, in, want string }{
		{"sex", "1", "M"},
		{"sex", "Nam", "M"},
		{"sex", "NỮ", "F"},
		{"sex", "nu", "F"},
		{"sex", "M", "M"},
		{"sex", "khong ro", "khong ro"},
		{"ethnicity", "Khơ-me", "05"},
		{"ethnicity", "khmer", "05"},
		{"ethnicity", "Thổ", "24"},
		{"ethnicity", "Dao", "09"},
		{"marital_status", "Goá", "widowed"},
		{"marital_status", "Góa", "widowed"},
		{"marital_status", "đã kết hôn", "married"},
		{"birth_province", "Thanh Hoá", "038"},
		{"birth_province", "Bạc Liêu", "095"},
		{"province", "Tỉnh Quảng Trị", "Tỉnh Quảng Trị"}, // 45 before, 44 today: not without a date
	}
	for _, tt := range tests {
		got, _ := d.translations[tt.list].translate([]byte(tt.in), nil)
		if string(got) != tt.want {
			t.Errorf("code:%s of %q = %q, want %q", tt.list, tt.in, got, tt.want)
		}
	}
}

// changed is the built-in dictionary with one file replaced.
func changed(t *testing.T, name string, edit func(string) string) fs.FS {
	t.Helper()
	root, err := fs.Sub(builtin, "data")
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	err = fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(root, path)
		if path == name {
			data = []byte(edit(string(data)))
		}
		files[path] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestLoadRefusesBrokenData(t *testing.T) {
	tests := []struct {
		name, file string
		edit       func(string) string
		want       []string
	}{
		{"as it is", "record.yaml", func(s string) string { return s }, nil},
		{"unknown list", "person.yaml", func(s string) string { return strings.Replace(s, "code_list: sex", "code_list: sexe", 1) }, []string{"list.unknown"}},
		{"element twice", "record.yaml", func(s string) string { return strings.Replace(s, "id: record.version", "id: record.key", 1) }, []string{"element.twice"}},
		{"nobody refers to it any more", "record.yaml", func(s string) string { return strings.Replace(s, "id: record.created_at", "id: record.made_at", 1) }, []string{"element.unknown"}},
		{"unknown owner", "tax.yaml", func(s string) string { return strings.Replace(s, "owner: G12", "owner: G99", 1) }, slices.Repeat([]string{"element.unit"}, 6)},
		{"unknown prefix", "domains.yaml", func(s string) string { return strings.Replace(s, "id: tax,", "id: taxes,", 1) }, slices.Repeat([]string{"element.group"}, 6)},
		{"prefix of two domains", "domains.yaml", func(s string) string { return strings.Replace(s, "id: tax,", "id: person,", 1) }, []string{"domain.prefix"}},
		{"code ends and begins twice", "organisations.yaml", func(s string) string {
			return strings.Replace(s, "valid_from: 2025-03-01", "valid_from: 2025-02-01", 1)
		}, []string{"list.overlap"}},
		{"link of a code that goes on", "organisations.yaml", func(s string) string { return strings.Replace(s, "{from: G04, to: G17", "{from: G01, to: G17", 1) }, []string{"list.link"}},
		{"no legal basis", "record.yaml", func(s string) string {
			return strings.Replace(s, "source: Thông tư 08/2025/TT-BCA (IdBanGhi)", "source:", 1)
		}, []string{"element.incomplete"}},
		{"bad kind and unknown key", "record.yaml", func(s string) string {
			return strings.Replace(strings.Replace(s, "kind: text", "kind: string", 1), "max_length", "length", 1)
		}, []string{"kind.unknown", "definition.key"}},
		{"tampered reference", "reference/communes.csv", func(s string) string { return strings.Replace(s, "Ba Đình", "Ba Dinh", 1) }, []string{"reference.digest"}},
		{"missing row", "reference/readiness_criteria.csv", func(s string) string { return s[:strings.LastIndex(strings.TrimRight(s, "\n"), "\n")+1] }, []string{"reference.digest", "reference.rows"}},
		{"windows line ends", "reference/communes.csv", func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(changed(t, tt.file, tt.edit))
			got := codes(err)
			slices.Sort(got)
			slices.Sort(tt.want)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s\n%v", diff, err)
			}
		})
	}
}

func TestErrorsHaveBothLanguages(t *testing.T) {
	_, err := ParseDefinition("x.yaml", []byte("dataset: A\nbogus: 1\nrules: 3\n"))
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("not joined: %v", err)
	}
	for _, one := range joined.Unwrap() {
		var coded *lienthong.Error
		if !errors.As(one, &coded) || coded.Vi == "" || coded.En == "" || !strings.HasPrefix(coded.Where, "x.yaml:") {
			t.Errorf("incomplete: %#v", one)
		}
	}
}
