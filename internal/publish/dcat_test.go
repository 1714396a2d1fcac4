package publish

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/catalog"
)

// country is a register in which every reason to be in the feed, or not, occurs.
func country(t testing.TB, e *Exports) []Registered {
	t.Helper()
	shape := func(database, name string, personal bool) *lienthong.Shape {
		return &lienthong.Shape{
			Dataset: lienthong.DatasetID{Database: database, Name: name}, Version: 3, Identity: []int{0},
			Fields: []lienthong.Field{{Name: "unit_code", Element: "unit.code", Kind: lienthong.Text, Personal: personal, Mapped: true}},
		}
	}
	entry := registeredEntry("population", "open", "shared", "personal", "mixed", "unseen", "private", "secret", "unsaid", "unshared")
	set := func(name string, change func(*catalog.Dataset)) {
		d, found := entry.Dataset(name)
		if !found {
			t.Fatal(name)
		}
		change(d)
	}
	set("open", func(d *catalog.Dataset) { d.Access, d.Shareable, d.Object = catalog.OpenAccess, false, "unit" })
	set("personal", func(d *catalog.Dataset) { d.Access, d.Object = catalog.OpenAccess, "man" })
	set("mixed", func(d *catalog.Dataset) { d.Access = catalog.OpenAccess })
	set("unseen", func(d *catalog.Dataset) { d.Access, d.Updated, d.Conditions = catalog.OpenAccess, "7h", "" })
	set("private", func(d *catalog.Dataset) { d.Access = catalog.PrivateAccess })
	set("secret", func(d *catalog.Dataset) { d.Access, d.StateSecret = catalog.OpenAccess, true })
	set("unsaid", func(d *catalog.Dataset) { d.Access = "" })
	set("unshared", func(d *catalog.Dataset) { d.Shareable = false })
	shapes := map[string]*lienthong.Shape{}
	for _, d := range entry.Datasets {
		if d.Name != "unseen" {
			shapes[d.Name] = shape("population", d.Name, d.Name == "mixed")
		}
	}
	// An entry as bare as an owner can leave it, and one with words that break carelessly written RDF.
	bare := catalog.Entry{Code: "bare", Datasets: []catalog.Dataset{{Name: "a", Access: catalog.OpenAccess}}}
	nasty := registeredEntry("nasty", "b")
	nasty.NameVi, nasty.NameEn = `"]; <x> \`, "a\nb"
	nasty.Scope = catalog.Scope{Territory: "01, 96; 999", Since: "2020-01-02"}
	nasty.LegalBases = []catalog.LegalBasis{{Number: `NĐ <47>/"x" y`}, {TitleVi: "không số"}}
	nasty.People[0].Email = `a"b<c>@x y`
	nasty.Domains = []string{"DOM-GEO", "DOM-ORG", "NONE"}
	nasty.Owner, nasty.Manager = "*provinces", "TANDTC"
	nasty.Datasets[0].TitleVi, nasty.Datasets[0].Updated = "\u0001\"\"\"", "không biết"
	return []Registered{
		{Entry: entry, Issued: 1_780_000_000_000_000, Modified: 1_790_000_000_000_000, Shapes: shapes, Changed: map[string]int64{"open": 1_795_000_000_000_000}},
		{Entry: bare},
		{Entry: nasty, Shapes: map[string]*lienthong.Shape{"b": shape("nasty", "b", false)}},
	}
}

func TestCatalogue_HoldsOnlyWhatMayBeKnown(t *testing.T) {
	e := testExports(t)
	var shown []string
	for _, l := range e.listings(country(t, e)) {
		shown = append(shown, fmt.Sprintf("%s personal=%v", l.id, l.personal))
	}
	want := []string{
		"bare.a personal=true", "nasty.b personal=false", "population.mixed personal=true", "population.open personal=false",
		"population.personal personal=true", "population.shared personal=false", "population.unseen personal=true",
	}
	if !slices.Equal(shown, want) {
		t.Errorf("%q", shown)
	}
	text := string(written(t, func(b *bytes.Buffer) error { return e.Catalogue(b, country(t, e), Page{}) }))
	for _, never := range []string{"population/private", "population/secret", "population/unsaid", "population/unshared", "Nguyễn Thị Quản Trị", "Trần Văn Chủ", "downloadURL"} {
		if strings.Contains(text, never) {
			t.Errorf("%s is in the feed", never)
		}
	}
	g := e.catalogueGraph(country(t, e), Page{}, "ttl")
	for name, distributions := range map[string]int{"open": 3, "shared": 3, "personal": 0, "mixed": 0, "unseen": 0} {
		r := g.about(e.datasetURL(lienthong.DatasetID{Database: "population", Name: name}))
		if got := len(r.objects("dcat:distribution")); got != distributions {
			t.Errorf("%s has %d distributions", name, got)
		}
		right := "RESTRICTED"
		if name == "open" {
			right = "PUBLIC"
		}
		if got := r.objects("dct:accessRights"); len(got) != 1 || !strings.HasSuffix(got[0].iri, right) {
			t.Errorf("%s: rights %v", name, got)
		}
	}
	open := g.about(e.datasetURL(lienthong.DatasetID{Database: "population", Name: "open"}))
	for predicate, want := range map[string]string{
		"dct:accrualPeriodicity":       authority + "frequency/DAILY",
		"dct:spatial":                  authority + "country/VNM",
		"dct:publisher":                testBase + "/members/G01",
		"dct:conformsTo":               testBase + "/schemas/population.open.json",
		"dcatap:applicableLegislation": testBase + "/legislation/47%2F2024%2FN%C4%90-CP",
		"dcat:contactPoint":            testBase + "/catalogue/population/contact",
		"dcat:inSeries":                testBase + "/catalogue/population",
		"dct:temporal":                 testBase + "/catalogue/population/open/period",
	} {
		if !slices.ContainsFunc(open.objects(predicate), func(o term) bool { return o.iri == want }) {
			t.Errorf("%s is %v, not %s", predicate, open.objects(predicate), want)
		}
	}
	contact := g.about(testBase + "/catalogue/population/contact")
	if got := contact.objects("vcard:hasEmail"); len(got) != 1 || got[0].iri != "mailto:du%20lieu@bca.gov.vn" {
		t.Errorf("contact %v", got)
	}
}

// objects are what a resource says under a predicate.
func (r *resource) objects(predicate string) []term {
	for _, s := range r.statements {
		if s.predicate == predicate {
			return s.objects
		}
	}
	return nil
}

// The feed parses as RDF in an independent library, in both forms alike, and every page satisfies
// the published shapes of DCAT-AP.
func TestCatalogue_IsDCATAP(t *testing.T) {
	e := testExports(t)
	dir := t.TempDir()
	entries := country(t, e)
	many := registeredEntry("many")
	for i := range 23 {
		many.Datasets = append(many.Datasets, registeredEntry("many", fmt.Sprintf("d%02d", i)).Datasets...)
	}
	entries = append(entries, Registered{Entry: many})
	work := rdfWork{Shapes: publishedSchemas(t, "dcat-ap-shapes.ttl")}
	for number := 1; number <= 4; number++ {
		work.Documents = append(work.Documents, forms(t, dir, "page"+itoa(number), e.catalogueGraph(entries, Page{number, 10}, "ttl"), true)...)
	}
	work.Documents = append(work.Documents, forms(t, dir, "empty", e.catalogueGraph(nil, Page{}, "ttl"), true)...)
	// The gate must be able to close: a dataset without a title is not valid.
	broken := e.catalogueGraph(entries, Page{}, "ttl")
	r := broken.about(e.datasetURL(lienthong.DatasetID{Database: "population", Name: "open"}))
	r.statements = slices.DeleteFunc(r.statements, func(s statement) bool { return s.predicate == "dct:title" })
	work.Documents = append(work.Documents, forms(t, dir, "broken", broken, true)...)

	answer := ask(t, work)
	seen := map[string]bool{}
	for i := 0; i < len(answer.Documents); i += 2 {
		turtle, jsonLD := answer.Documents[i], answer.Documents[i+1]
		if turtle.Error != "" || jsonLD.Error != "" {
			t.Fatalf("%s: %s %s", turtle.Name, turtle.Error, jsonLD.Error)
		}
		if turtle.NQuads != jsonLD.NQuads {
			t.Errorf("%s: Turtle and JSON-LD differ", turtle.Name)
		}
		for line := range strings.SplitSeq(turtle.NQuads, "\n") {
			if dataset, found := strings.CutPrefix(line, "<"+testBase+"/catalogue> <http://www.w3.org/ns/dcat#dataset> "); found && turtle.Name != "broken.ttl" {
				if seen[dataset] {
					t.Errorf("%s is on two pages", dataset)
				}
				seen[dataset] = true
			}
		}
		if turtle.Name == "broken.ttl" {
			if len(turtle.Violations) != 1 || !strings.Contains(turtle.Violations[0], "title") {
				t.Errorf("a dataset without a title: %q", turtle.Violations)
			}
			continue
		}
		for _, violation := range turtle.Violations {
			t.Errorf("%s: %s", turtle.Name, violation)
		}
	}
	if len(seen) != 7+23 {
		t.Errorf("the pages hold %d datasets", len(seen))
	}
}
