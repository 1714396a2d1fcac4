package dictionary

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/lienthong/lienthong"
)

// vietnameseLetters have a mark that English does not know.
func vietnameseLetters(s string) bool {
	return strings.ContainsFunc(norm.NFD.String(s), func(r rune) bool {
		return r == 'đ' || r == 'Đ' || strings.ContainsRune(toneMarks+shapeMarks, r)
	})
}

// barePattern finds words that Vietnamese never writes without marks.
func barePattern() *regexp.Regexp {
	return regexp.MustCompile(`(?i)(^|[^\pL\pM])(so dinh|so dien|so nha|so hieu|duoc|nguoi|cua|ngay|ten|loai|truong|quoc|cap|thoi|dia|hoac|khong|nuoc|viec|thue|dat|nha|giay|chu ho|ho ten)($|[^\pL\pM])`)
}

func TestContent_IsWrittenForPeople(t *testing.T) {
	d := load(t)
	bare := barePattern()
	vietnamese := func(where, s string) {
		if !norm.NFC.IsNormalString(s) || strings.TrimSpace(s) != s || strings.Contains(s, "  ") {
			t.Errorf("%s: %q is not tidy", where, s)
		}
		if found := bare.FindString(s); found != "" {
			t.Errorf("%s: %q has %q without diacritics", where, s, strings.TrimSpace(found))
		}
		if utf8.RuneCountInString(s) > 14 && !vietnameseLetters(s) {
			t.Errorf("%s: %q has no diacritics at all", where, s)
		}
	}
	english := func(where, s string) {
		if vietnameseLetters(strings.ReplaceAll(s, "“Hộ kinh doanh”", "")) || strings.TrimSpace(s) != s || strings.Contains(s, "  ") {
			t.Errorf("%s: %q is not English", where, s)
		}
	}
	for i := range d.Elements() {
		e := &d.Elements()[i]
		for _, s := range []string{e.NameVi, e.DefinitionVi, e.ContextVi, e.ObjectVi, e.PropertyVi} {
			vietnamese(e.ID, s)
		}
		for _, s := range []string{e.NameEn, e.DefinitionEn, e.ContextEn, e.ObjectEn, e.PropertyEn} {
			english(e.ID, s)
		}
		for _, pair := range [][2]string{{e.NameVi, e.DefinitionVi}, {e.NameEn, e.DefinitionEn}} {
			if n := utf8.RuneCountInString(pair[1]); n < 15 || n > 300 || !strings.HasSuffix(pair[1], ".") || MatchKey(pair[0]) == MatchKey(pair[1]) {
				t.Errorf("%s: %q is no definition", e.ID, pair[1])
			}
			if first, _ := utf8.DecodeRuneInString(pair[0]); !unicode.IsUpper(first) {
				t.Errorf("%s: name %q", e.ID, pair[0])
			}
		}
		vi, en := e.formatWords()
		if e.Format != "" && (vi == "" || en == "") {
			t.Errorf("%s: format %q", e.ID, e.Format)
		}
		for _, r := range e.Rules {
			vietnamese(r.Code, r.Vi)
			english(r.Code, r.En)
			if r.Vi == "" || r.En == "" || strings.HasSuffix(r.Vi, ".") {
				t.Errorf("%s: %q, %q", r.Code, r.Vi, r.En)
			}
		}
	}
	for _, domain := range d.Domains() {
		vietnamese(domain.ID, domain.NameVi)
		vietnamese(domain.ID, domain.DefinitionVi)
		english(domain.ID, domain.NameEn)
		english(domain.ID, domain.DefinitionEn)
	}
	for _, list := range d.CodeLists() {
		vietnamese(list.ID, list.NameVi)
		english(list.ID, list.NameEn)
		if list.reference {
			continue
		}
		for _, code := range list.Codes() {
			vietnamese(list.ID+" "+code.Code, code.NameVi)
			english(list.ID+" "+code.Code, code.NameEn)
			if code.NameEn == "" {
				t.Errorf("%s: code %s has no English name", list.ID, code.Code)
			}
		}
	}
}

func TestContent_IsComplete(t *testing.T) {
	d := load(t)
	if n := len(d.Elements()); n < 190 {
		t.Errorf("%d elements", n)
	}
	column := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	perDomain := map[string]int{}
	owners := map[string]map[string]string{} // by domain: synonym -> element
	for i := range d.Elements() {
		e := &d.Elements()[i]
		perDomain[e.Group]++
		if owners[e.Group] == nil {
			owners[e.Group] = map[string]string{}
		}
		for _, synonym := range e.Synonyms {
			if !column.MatchString(synonym) {
				t.Errorf("%s: synonym %q is not written as columns are", e.ID, synonym)
			}
			if other := owners[e.Group][synonym]; other != "" {
				t.Errorf("%s and %s both are called %q", other, e.ID, synonym)
			}
			owners[e.Group][synonym] = e.ID
		}
		if e.ContextVi == "" || e.ContextEn == "" || e.ObjectVi == "" || e.ObjectEn == "" || e.Class == "" || e.Creator == "" || e.Owner == "" {
			t.Errorf("%s lacks context, object, class, creator or owner", e.ID)
		}
		if e.Status != Published || e.Version != (Version{Major: 1}) || e.Language != "vi" {
			t.Errorf("%s: %s %s %s", e.ID, e.Status, e.Version, e.Language)
		}
		if !regexp.MustCompile(`[0-9]|Hiến pháp|nền tảng|Các nghị quyết`).MatchString(e.Source) {
			t.Errorf("%s: source %q names no document", e.ID, e.Source)
		}
		if e.Sensitive && !e.Personal {
			t.Errorf("%s is sensitive but not personal", e.ID)
		}
		if e.Kind == lienthong.Decimal && e.Unit == "" && e.ID != "household.income" {
			t.Errorf("%s is a measure without a unit", e.ID)
		}
		checkTransforms(t, d, e)
	}
	for _, domain := range d.Domains() {
		if domain.Core && perDomain[domain.ID] < 12 {
			t.Errorf("%s has only %d elements", domain.ID, perDomain[domain.ID])
		}
		for _, prefix := range domain.Prefixes {
			if !slices.ContainsFunc(d.Elements(), func(e Element) bool { return e.Domain() == prefix.ID }) {
				t.Errorf("%s: no element begins with %q", domain.ID, prefix.ID)
			}
		}
	}
	used := map[string]bool{"organisation": true} // looked up by identifier and date, by people and reports
	for i := range d.Elements() {
		for _, id := range d.Elements()[i].lists() {
			used[id] = true
		}
	}
	for _, list := range d.CodeLists() {
		if !used[list.ID] {
			t.Errorf("no element uses the code list %s", list.ID)
		}
	}
}

// checkTransforms: a mapping that takes the element's normalisation as it is compiles.
func checkTransforms(t *testing.T, d *Dictionary, e *Element) {
	t.Helper()
	m := ColumnMapping{Column: "c", Element: e.ID, Transforms: e.Normalise}
	def := &Definition{Dataset: lienthong.DatasetID{Database: "a", Name: "b"}, Columns: []ColumnMapping{m}, Identity: []string{e.Name}}
	if _, err := d.Compile(def, []lienthong.Column{{Name: "c", Kind: lienthong.Text}}, 1); err != nil {
		t.Errorf("%s: normalisation %v: %v", e.ID, e.Normalise, err)
	}
}

// Values that are right pass, values that are wrong do not, through normalisation and
// pattern together. Rules are compiled in package quality; here only their patterns run.
func TestContent_PatternsTakeWhatIsRight(t *testing.T) {
	d := load(t)
	tests := []struct {
		element      string
		right, wrong []string
	}{
		{"tax.code", []string{"0100109106", "0100109106-001", "001085000011"}, []string{"010010910", "0100109106001", "0100109106-01", "MST0100109106"}},
		{"enterprise.code", []string{"0100109106", "0100109106-001"}, []string{"001085000011", "01001091"}},
		{"business.code", []string{"8001234567", "001085000011", "8001234567-001"}, []string{"41A8001234"}},
		{"insurance.social_number", []string{"7916123456", "001085000011"}, []string{"791612345", "79161234567"}},
		{"insurance.health_card", []string{"DN4797912345678", "7916123456", "001085000011"}, []string{"DN47979123456", "D14797912345678"}},
		{"insurance.facility_code", []string{"79025", "01A01"}, []string{"7902", "790255"}},
		{"person.old_identity_number", []string{"012345678"}, []string{"001085000011", "12345678"}},
		{"person.passport_number", []string{"C1234567", "K0123456", "AB123456789"}, []string{"C12", "c1234567", "C 1234567"}},
		{"person.nationality", []string{"VN", "LA"}, []string{"VNM", "Việt Nam"}},
		{"vehicle.plate", []string{"30A12345", "29LD01234", "NN01123", "59X112345"}, []string{"30A-123.45", "30a12345"}},
		{"vehicle.chassis_number", []string{"RLMHC1210FY012345", "MD2A11CZ"}, []string{"RL", "rlmhc1210fy012345"}},
		{"health.diagnosis", []string{"A00", "I10", "E11.9", "J45.0", "A17†", "G01*"}, []string{"E119", "e11", "Tăng huyết áp"}},
		{"education.school_year", []string{"2025-2026"}, []string{"2025", "25-26", "2025/2026"}},
		{"address.postcode", []string{"10000", "700000"}, []string{"1000", "HN100"}},
		{"address.country", []string{"VN"}, []string{"84"}},
		{"organisation.phone", []string{"02438224111", "0912345678", "19001009", "113"}, []string{"+84 24", "12"}},
		{"organisation.parent_code", []string{"G09.20", "H49"}, []string{"000.00.00.H49"}},
		{"organisation.website", []string{"https://moj.gov.vn", "http://hanoi.gov.vn/a?b=1"}, []string{"moj.gov.vn", "https://a b"}},
		{"document.procedure_code", []string{"1.000656", "2.000488.000.00.00.H29"}, []string{"1000656", "1.00065"}},
		{"enterprise.industry", []string{"A", "01", "4711", "G4711", "62010"}, []string{"W", "471123", "g4711"}},
		{"parcel.boundary", []string{"POLYGON ((0 0, 1 0, 1 1, 0 0))", "MULTIPOLYGON(((0 0, 1 0, 1 1, 0 0)))"}, []string{"POINT (1 2)", "0 0, 1 1"}},
	}
	for _, tt := range tests {
		e, found := d.Element(tt.element)
		if !found {
			t.Errorf("no element %s", tt.element)
			continue
		}
		fits := func(v string) bool {
			for i := range e.Rules {
				check := &e.Rules[i].Check
				switch {
				case check.Pattern != "":
					return regexp.MustCompile(check.Pattern).MatchString(v)
				case check.Digits > 0:
					return len(v) == check.Digits && allASCIIDigits([]byte(v))
				}
			}
			t.Fatalf("%s has no pattern", tt.element)
			return false
		}
		for _, v := range tt.right {
			if !fits(v) {
				t.Errorf("%s refuses %q", tt.element, v)
			}
		}
		for _, v := range tt.wrong {
			if fits(v) {
				t.Errorf("%s takes %q", tt.element, v)
			}
		}
	}
}

func TestContent_ListsTakeWhatPeopleWrite(t *testing.T) {
	d := load(t)
	for _, tt := range []struct{ list, in, want string }{
		{"relationship", "Vợ", "spouse"},
		{"relationship", "con gái", "child"},
		{"relationship", "CHỦ HỘ", "head"},
		{"qualification", "Đại học", "6"},
		{"qualification", "dai hoc", "6"},
		{"general_education", "THPT", "upper_secondary"},
		{"general_education", "12/12", "upper_secondary"},
		{"religion", "Thiên chúa giáo", "catholic"},
		{"religion", "Hoà Hảo", "hoahao"},
		{"religion", "Không", "none"},
		{"blood_type", "AB+", "AB+"},
		{"blood_type", "O-", "O-"},
		{"enterprise_type", "Công ty TNHH MTV", "llc_one"},
		{"vehicle_kind", "xe máy", "motorcycle"},
		{"identity_document", "Chứng minh nhân dân", "cmnd"},
		{"enterprise_status", "Đang hoạt động", "active"},
		{"map_scale", "1:500", "500"},
		{"coordinate_system", "VN-2000", "VN2000"},
		{"occupation", "Lao động giản đơn", "9"},
		{"organisation_kind", "Uỷ ban nhân dân", "committee"},
	} {
		if got, _ := d.translations[tt.list].translate([]byte(tt.in), nil); string(got) != tt.want {
			t.Errorf("code:%s of %q = %q, want %q", tt.list, tt.in, got, tt.want)
		}
	}
	// A spelling of one code must not be a spelling of another, or neither is understood.
	for _, list := range d.CodeLists() {
		table := d.translations[list.ID]
		if list.reference || table == nil || list.ID == "organisation" {
			continue
		}
		for spelling, code := range table.exact {
			if code == nil {
				t.Errorf("%s: %q means two codes", list.ID, spelling)
			}
		}
	}
}

// What the page shows is what the program reads.
func TestTheDocumentedElementParses(t *testing.T) {
	page, err := os.ReadFile("../../docs/dictionary.md")
	if err != nil {
		t.Fatal(err)
	}
	d := load(t)
	elements, lists := 0, 0
	for i, block := range strings.Split(string(page), "```") {
		text, isYAML := strings.CutPrefix(block, "yaml\n")
		if i%2 == 0 || !isYAML {
			continue
		}
		switch {
		case strings.HasPrefix(text, "defaults:"):
			elements++
			parsed, err := ParseElements("docs/dictionary.md", []byte(text))
			if err != nil || len(parsed) != 1 {
				t.Fatalf("%d elements, %v", len(parsed), err)
			}
			if _, _, err := d.With(ElementChange{Element: &parsed[0]}); err != nil {
				t.Error(err)
			}
		case strings.HasPrefix(text, "lists:"):
			lists++
			p := &problems{file: "docs/dictionary.md"}
			var content file
			decodeStrict(p, []byte(text), &content)
			for i := range content.Lists {
				content.Lists[i].build(p)
			}
			if err := p.err(); err != nil || len(content.Lists) != 1 {
				t.Error(err)
			}
		}
	}
	if elements != 1 || lists != 1 {
		t.Errorf("%d examples of elements and %d of lists", elements, lists)
	}
	if count := fmt.Sprintf("%d elements", len(d.Elements())); !strings.Contains(string(page), count) {
		t.Errorf("the page does not say that there are %s", count)
	}
}
