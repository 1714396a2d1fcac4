package catalog

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
)

func ids(nodes []Node) []string {
	var list []string
	for _, n := range nodes {
		list = append(list, n.ID)
	}
	slices.Sort(list)
	return list
}

func lineage(t *testing.T) *Graph {
	t.Helper()
	person := lienthong.DatasetID{Database: "population", Name: "person"}
	return NewGraph(builtin(t), parse(t, populationYAML, healthYAML), []Observed{livePopulation(), {
		Dataset: lienthong.DatasetID{Database: "health_record", Name: "patient"}, Columns: []lienthong.Column{{Name: "cccd"}, {Name: "ho_ten"}, {Name: "nhom_mau"}},
	}}, []Consumer{
		{ID: "feed/all", Name: say("Cổng dịch vụ", "Portal"), Dataset: person},
		{ID: "feed/names", Name: say("Thuế", "Tax"), Dataset: person, Fields: []string{"full_name", "personal_number"}},
		{ID: "feed/new", Name: say("Mới", "New"), Dataset: lienthong.DatasetID{Database: "land", Name: "parcel"}},
	})
}

func TestGraph_UpAndDown(t *testing.T) {
	g := lineage(t)
	for _, tt := range []struct {
		name string
		got  []Node
		want []string
	}{
		{"down from one of two columns", g.Down("column:population.person:ho_dem"), []string{
			"consumer:feed/all", "consumer:feed/names", "dataset:population.person", "element:person.full_name", "field:population.person:full_name", "step:population.person:full_name",
		}},
		{"down from a column that one consumer does not get", g.Down("column:population.person:ngay_sinh"), []string{
			"consumer:feed/all", "dataset:population.person", "element:person.birth_date", "field:population.person:birth_date", "step:population.person:birth_date",
		}},
		{"down from a column that flows as it is", g.Down("column:population.person:ghi_chu"), []string{
			"consumer:feed/all", "dataset:population.person", "field:population.person:ghi_chu",
		}},
		{"down from a column that stays at home", g.Down("column:health_record.patient:nhom_mau"), nil},
		{"down from a dataset", g.Down("dataset:population.person"), []string{"consumer:feed/all", "consumer:feed/names"}},
		{"down from an element", g.Down("element:person.birth_date"), []string{
			"consumer:feed/all", "dataset:health_record.patient", "dataset:population.person", "field:health_record.patient:birth_date", "field:population.person:birth_date",
		}},
		{"up from a field", g.Up("field:population.person:full_name"), []string{
			"column:population.person:ho_dem", "column:population.person:ten", "step:population.person:full_name",
		}},
		{"up from an element: everything that carries it, and not its neighbours", g.Up("element:person.full_name"), []string{
			"column:health_record.patient:ho_ten", "column:population.person:ho_dem", "column:population.person:ten",
			"field:health_record.patient:full_name", "field:population.person:full_name", "step:population.person:full_name",
		}},
		{"up from a consumer of some fields", g.Up("consumer:feed/names"), []string{
			"column:population.person:ho_dem", "column:population.person:so_dinh_danh", "column:population.person:ten", "dataset:population.person",
			"field:population.person:full_name", "field:population.person:personal_number", "step:population.person:full_name", "step:population.person:personal_number",
		}},
		{"up from a consumer of what is not mapped", g.Up("consumer:feed/new"), []string{"dataset:land.parcel"}},
		{"up from a column", g.Up("column:population.person:ten"), nil},
		{"nothing", g.Up("column:nothing"), nil},
	} {
		if diff := cmp.Diff(tt.want, ids(tt.got)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	if all := g.Up("consumer:feed/all"); len(all) != 16 {
		t.Errorf("everything above the consumer of all fields: %d nodes %v", len(all), ids(all))
	}
}

func TestGraph_Nodes(t *testing.T) {
	g := lineage(t)
	node := func(id string) Node {
		t.Helper()
		n, found := g.Node(id)
		if !found {
			t.Fatalf("no node %s", id)
		}
		return n
	}
	if n := node("column:health_record.patient:ngay_sinh"); !n.Missing {
		t.Error("a column that the source does not have is not marked")
	}
	if n := node("column:population.person:ghi_chu"); !n.Unused || n.Missing {
		t.Errorf("a column that nobody maps: %+v", n)
	}
	if n := node("step:population.person:phone"); n.Name != "mask" {
		t.Errorf("the step of a masked field is %q", n.Name)
	}
	if n := node("step:population.person:full_name"); n.Name != "join → collapse" {
		t.Errorf("the steps of a joined field are %q", n.Name)
	}
	if n := node("element:person.full_name"); n.Label.Vi == "" || n.Label.Vi == n.Label.En {
		t.Errorf("the element's name: %+v", n.Label)
	}
	if !slices.IsSortedFunc(g.Nodes, func(a, b Node) int { return cmpStrings(a.ID, b.ID) }) {
		t.Error("nodes are not in order")
	}
	part := g.Of("health_record")
	for _, n := range part.Nodes {
		if n.Dataset.Database != "health_record" && n.Kind != ElementNode {
			t.Errorf("%s is not of the database", n.ID)
		}
	}
	if diff := cmp.Diff(ids(g.Down("column:health_record.patient:cccd")), ids(part.Down("column:health_record.patient:cccd"))); diff != "" {
		t.Error(diff)
	}
	if _, found := part.Node("column:health_record.patient:nhom_mau"); !found {
		t.Error("a column without a way is not in the part")
	}
}

func cmpStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestOverlaps(t *testing.T) {
	d := builtin(t)
	definitions := parse(t, populationYAML, healthYAML, schoolYAML)
	entries := []Entry{
		{Code: "population", Owner: "G01", Authority: []string{"person.*"}}, {Code: "health_record", Owner: "G18"}, {Code: "school", Owner: "G03"},
	}
	find := func(list []Overlap, element string) Overlap {
		t.Helper()
		i := slices.IndexFunc(list, func(o Overlap) bool { return o.Element == element })
		if i < 0 {
			t.Fatalf("no overlap of %s", element)
		}
		return list[i]
	}
	list := Overlaps(d, entries, definitions)
	name := find(list, "person.full_name")
	if diff := cmp.Diff([]string{"school"}, name.Repeated); diff != "" {
		t.Errorf("the name is collected again: %s", diff) // health takes it over
	}
	if diff := cmp.Diff([]string{"population"}, name.Authority); diff != "" {
		t.Error(diff)
	}
	birth := find(list, "person.birth_date")
	if diff := cmp.Diff([]string{"health_record", "school"}, birth.Repeated); diff != "" {
		t.Error(diff)
	}
	if birth.Vi != "2 CSDL thu thập lại thông tin đã có tại population: health_record, school" {
		t.Errorf("%q", birth.Vi)
	}
	if number := find(list, "person.number"); !number.Identifier || len(number.Repeated) != 0 || len(number.Holders) != 3 {
		t.Errorf("the key: %+v", number)
	}
	if list[0].Element != "person.birth_date" {
		t.Errorf("%s stands first", list[0].Element)
	}
	if slices.ContainsFunc(list, func(o Overlap) bool { return o.Element == "person.phone" }) {
		t.Error("what one database holds is an overlap")
	}
	// Nobody, or more than one, says to be the source.
	entries[0].Authority = nil
	if o := find(Overlaps(d, entries, definitions), "person.birth_date"); len(o.Authority) != 0 || len(o.Repeated) != 3 {
		t.Errorf("without an authority: %+v", o)
	}
	entries[0].Authority, entries[1].Authority = []string{"person.*"}, []string{"person.*"}
	if o := find(Overlaps(d, entries, definitions), "person.birth_date"); len(o.Authority) != 2 || o.En != "2 databases declare to be the single source: population, health_record" {
		t.Errorf("a dispute: %+v", o)
	}
	// One element by name wins over the whole prefix.
	entries[1].Authority = []string{"person.birth_date"}
	if o := find(Overlaps(d, entries, definitions), "person.birth_date"); !slices.Equal(o.Authority, []string{"health_record"}) || !slices.Equal(o.Repeated, []string{"population", "school"}) {
		t.Errorf("one element: %+v", o)
	}
}

func TestRegister_GraphAndOverlaps(t *testing.T) {
	w := newWorld(t)
	w.consumers = []Consumer{{ID: "feed/1", Dataset: livePopulation().Dataset}}
	if err := w.register.Observe(w.ctx, livePopulation()); err != nil {
		t.Fatal(err)
	}
	g, err := w.register.Graph(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if down := g.Down("column:population.person:ghi_chu"); len(down) != 3 {
		t.Errorf("the live column goes to %v", ids(down))
	}
	list, err := w.register.Overlaps(w.ctx)
	if err != nil || len(list) == 0 || !slices.Equal(list[0].Authority, []string{"population"}) {
		t.Errorf("overlaps of the register: %+v %v", list, err)
	}
}
