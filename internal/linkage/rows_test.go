package linkage

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

func text(s string) lienthong.Value {
	return lienthong.Value{State: lienthong.Present, Bytes: []byte(s)}
}

func TestPersonRows(t *testing.T) {
	shape := &lienthong.Shape{Fields: []lienthong.Field{
		{Element: "record.key", Name: "record_key"},
		{Element: "person.full_name", Name: "full_name"},
		{Element: "person.birth_date", Name: "birth_date", Kind: lienthong.Date},
		{Element: "person.sex", Name: "sex"},
		{Element: "person.number", Name: "personal_number"},
		{Element: "person.phone", Name: "phone", Handling: "mask"},
		{Element: "address.commune", Name: "commune"},
		{Element: "person.father_number", Name: "father_number"},
		{Element: "person.mother_name", Name: "mother_name"},
	}}
	rows, ok := NewPersonRows(shape)
	if !ok {
		t.Fatal("a shape of persons is none")
	}
	row := []lienthong.Value{
		text("K1"), text("Lê Thị Khuê"),
		{State: lienthong.Present, Int: 7378},
		text("F"), text("001190123456"), text("09********"),
		{},
		text("001060012345"), text("Trần Thị Hoa"),
	}
	var got Person
	rows.Read("population.person/K1", row, &got)
	want := Person{
		ID: "population.person/K1", Name: "Lê Thị Khuê", Birth: Date{1990, 3, 15}, Sex: "F", Number: "001190123456",
		Father: Parent{Number: "001060012345"}, Mother: Parent{Name: "Trần Thị Hoa"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	copy(row[1].Bytes, "XX")
	if got.Name != want.Name {
		t.Error("the person points into the row's buffer")
	}
	if allocations := testing.AllocsPerRun(100, func() { rows.Read("x", row, &got) }); allocations > 1 {
		t.Errorf("a row costs %g allocations, want one", allocations)
	}
	if _, ok := NewPersonRows(&lienthong.Shape{Fields: []lienthong.Field{{Element: "parcel.area"}}}); ok {
		t.Error("parcels are persons")
	}
	if _, ok := NewPersonRows(&lienthong.Shape{Fields: []lienthong.Field{{Element: "person.full_name", Handling: "hash"}, {Element: "person.number"}}}); ok {
		t.Error("hashed names were taken for names")
	}
}

func TestOrganisationRows(t *testing.T) {
	shape := &lienthong.Shape{Fields: []lienthong.Field{
		{Element: "enterprise.name"},
		{Element: "enterprise.code"},
		{Element: "enterprise.registered_on", Kind: lienthong.Timestamp},
		{Element: "enterprise.commune"},
	}}
	rows, ok := NewOrganisationRows(shape)
	if !ok {
		t.Fatal("a shape of enterprises is none")
	}
	var got Organisation
	// 17:30 UTC on 14 March is 15 March in Vietnam.
	rows.Read("e1", []lienthong.Value{text("Công ty TNHH Minh Phát"), text("0101234569"), {State: lienthong.Present, Int: (7377*86400 + 63000) * 1_000_000}, text("00004")}, &got)
	want := Organisation{ID: "e1", Name: "Công ty TNHH Minh Phát", TaxCode: "0101234569", Founded: Date{1990, 3, 15}, Commune: "00004"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The elements that rows are read by exist in the dictionary.
func TestRows_ElementsExist(t *testing.T) {
	d, err := dictionary.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{
		"person.full_name", "person.sex", "person.number", "person.old_identity_number", "person.phone", "person.birth_date",
		"person.mother_number", "person.father_number", "person.mother_name", "person.father_name", "address.commune", "address.commune_before",
		"enterprise.name", "business.name", "organisation.name", "tax.payer_name", "tax.code", "enterprise.code", "business.code",
		"organisation.phone", "enterprise.commune", "organisation.founded_on", "enterprise.registered_on", "business.started_on", "tax.registered_on",
	} {
		if _, found := d.Element(id); !found {
			t.Errorf("the dictionary has no element %s", id)
		}
	}
	successors := Successors(d)
	split, whole := 0, 0
	for _, link := range d.Links() {
		for _, old := range link.Candidates() {
			switch today := successors(old); len(today) {
			case 0:
				t.Fatalf("%s has no successor", old)
			case 1:
				whole++
			default:
				split++
			}
		}
	}
	if split == 0 || whole == 0 {
		t.Errorf("%d links of split communes, %d of whole ones", split, whole)
	}
}
