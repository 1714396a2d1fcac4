package catalog

import (
	"cmp"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Consumer is who receives a dataset: a feed's subscription, a service, a file.
type Consumer struct {
	ID       string // unique: "feed/7"
	Type     string // "feed", "service", "file"
	Name     Word
	Member   lienthong.MemberCode
	Dataset  lienthong.DatasetID
	Fields   []string // empty: all
	Purpose  string
	Contract string // number of the agreement
}

// NodeKind is what a node of the lineage is.
type NodeKind string

// The kinds of nodes, from the source to the consumer.
const (
	ColumnNode   NodeKind = "column"
	StepNode     NodeKind = "step" // transformations between columns and a field
	FieldNode    NodeKind = "field"
	ElementNode  NodeKind = "element"
	DatasetNode  NodeKind = "dataset"
	ConsumerNode NodeKind = "consumer"
)

// Node is one node of the lineage.
type Node struct {
	ID      string // "column:population.person:ho_ten"
	Kind    NodeKind
	Dataset lienthong.DatasetID // zero for elements
	Name    string              // of the column, field, element …
	Label   Word
	Missing bool // a column that a definition names and the source does not have
	Unused  bool // a column that no definition names
}

// Edge says that a value goes from one node to another, or that a field means an element.
type Edge struct {
	From, To string
	Means    bool     // from a field to its element
	Fields   []string // to a consumer: the fields that it gets; empty: all
}

// Graph is where values come from and where they go. It does not change and is safe for any
// number of goroutines.
type Graph struct {
	Nodes []Node // by identifier
	Edges []Edge
	index map[string]int
	from  map[string][]int // edges by their beginning
	to    map[string][]int // edges by their end
}

// NewGraph builds the lineage of the definitions. What is seen at the sources adds columns that no definition
// names; it may be missing.
func NewGraph(d *dictionary.Dictionary, definitions []*dictionary.Definition, seen []Observed, consumers []Consumer) *Graph {
	g := &Graph{index: map[string]int{}, from: map[string][]int{}, to: map[string][]int{}}
	live := map[lienthong.DatasetID]*Observed{}
	for i := range seen {
		live[seen[i].Dataset] = &seen[i]
	}
	for _, def := range definitions {
		g.addDefinition(d, def, live[def.Dataset])
	}
	for i := range consumers {
		c := &consumers[i]
		dataset := nodeID(DatasetNode, c.Dataset.String())
		if _, there := g.index[dataset]; !there {
			g.node(Node{ID: dataset, Kind: DatasetNode, Dataset: c.Dataset, Name: c.Dataset.String()})
		}
		id := nodeID(ConsumerNode, c.ID)
		g.node(Node{ID: id, Kind: ConsumerNode, Dataset: c.Dataset, Name: c.ID, Label: c.Name})
		g.edge(Edge{From: dataset, To: id, Fields: c.Fields})
	}
	g.sort()
	return g
}

func nodeID(kind NodeKind, parts ...string) string {
	return string(kind) + ":" + strings.Join(parts, ":")
}

func (g *Graph) addDefinition(d *dictionary.Dictionary, def *dictionary.Definition, live *Observed) {
	dataset := nodeID(DatasetNode, def.Dataset.String())
	g.node(Node{ID: dataset, Kind: DatasetNode, Dataset: def.Dataset, Name: def.Dataset.String(), Label: Word{Vi: def.TitleVi, En: def.TitleEn}})
	named := map[string]bool{}
	for i := range def.Columns {
		m := &def.Columns[i]
		element, known := d.Element(m.Element)
		name, label := fieldName(d, m), Word{Vi: m.Field, En: m.Field}
		if known {
			label = Word{Vi: element.NameVi, En: element.NameEn}
		}
		if m.Handling == "drop" {
			name = ""
		}
		for _, column := range columnsOf(m) {
			named[column] = true
			g.column(def.Dataset, column, live)
		}
		if name == "" {
			continue // its values stay at the node
		}
		field := nodeID(FieldNode, def.Dataset.String(), name)
		g.node(Node{ID: field, Kind: FieldNode, Dataset: def.Dataset, Name: name, Label: label})
		g.edge(Edge{From: field, To: dataset})
		if known {
			id := nodeID(ElementNode, m.Element)
			g.node(Node{ID: id, Kind: ElementNode, Name: m.Element, Label: label})
			g.edge(Edge{From: field, To: id, Means: true})
		}
		target := field
		if steps := steps(m); len(steps) > 0 {
			target = nodeID(StepNode, def.Dataset.String(), name)
			text := strings.Join(steps, " → ")
			g.node(Node{ID: target, Kind: StepNode, Dataset: def.Dataset, Name: text, Label: Word{Vi: text, En: text}})
			g.edge(Edge{From: target, To: field})
		}
		for _, column := range columnsOf(m) {
			g.edge(Edge{From: nodeID(ColumnNode, def.Dataset.String(), column), To: target})
		}
	}
	if live == nil {
		return
	}
	for _, c := range live.Columns {
		if named[c.Name] {
			continue
		}
		g.column(def.Dataset, c.Name, live)
		id := nodeID(ColumnNode, def.Dataset.String(), c.Name)
		g.Nodes[g.index[id]].Unused = true
		if def.Others == "keep" { // it flows as it is
			field := nodeID(FieldNode, def.Dataset.String(), c.Name)
			g.node(Node{ID: field, Kind: FieldNode, Dataset: def.Dataset, Name: c.Name, Label: Word{Vi: c.Name, En: c.Name}})
			g.edge(Edge{From: id, To: field})
			g.edge(Edge{From: field, To: dataset})
		}
	}
}

// fieldName is the name of a mapping's field in the shape.
func fieldName(d *dictionary.Dictionary, m *dictionary.ColumnMapping) string {
	if m.Field != "" {
		return m.Field
	}
	if element, known := d.Element(m.Element); known {
		return element.Name
	}
	return ""
}

// steps are what happens to a value on its way into the field.
func steps(m *dictionary.ColumnMapping) []string {
	var list []string
	if len(m.Columns) > 1 {
		list = append(list, "join")
	}
	list = append(list, m.Transforms...)
	if m.Handling != "" && m.Handling != "keep" {
		list = append(list, m.Handling)
	}
	return list
}

func (g *Graph) column(dataset lienthong.DatasetID, name string, live *Observed) {
	n := Node{ID: nodeID(ColumnNode, dataset.String(), name), Kind: ColumnNode, Dataset: dataset, Name: name, Label: Word{Vi: name, En: name}}
	if live != nil {
		i := slices.IndexFunc(live.Columns, func(c lienthong.Column) bool { return c.Name == name })
		n.Missing = i < 0
		if i >= 0 {
			n.Label = Word{Vi: name + " " + live.Columns[i].SourceType, En: name + " " + live.Columns[i].SourceType}
		}
	}
	g.node(n)
}

func (g *Graph) node(n Node) {
	if _, twice := g.index[n.ID]; twice {
		return
	}
	g.index[n.ID] = len(g.Nodes)
	g.Nodes = append(g.Nodes, n)
}

func (g *Graph) edge(e Edge) {
	if slices.ContainsFunc(g.from[e.From], func(i int) bool { return g.Edges[i].To == e.To }) {
		return
	}
	g.Edges = append(g.Edges, e)
	g.from[e.From] = append(g.from[e.From], len(g.Edges)-1)
	g.to[e.To] = append(g.to[e.To], len(g.Edges)-1)
}

func (g *Graph) sort() {
	slices.SortFunc(g.Nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	for i := range g.Nodes {
		g.index[g.Nodes[i].ID] = i
	}
}

// Node finds a node.
func (g *Graph) Node(id string) (Node, bool) {
	i, found := g.index[id]
	if !found {
		return Node{}, false
	}
	return g.Nodes[i], true
}

// Of is the part of the graph that belongs to one database, elements and consumers included.
func (g *Graph) Of(database string) *Graph {
	part := &Graph{index: map[string]int{}, from: map[string][]int{}, to: map[string][]int{}}
	inside := func(id string) bool {
		n, _ := g.Node(id)
		return n.Dataset.Database == database
	}
	for _, e := range g.Edges {
		if !inside(e.From) {
			continue
		}
		for _, id := range []string{e.From, e.To} {
			n, _ := g.Node(id)
			part.node(n)
		}
		part.edge(e)
	}
	for _, n := range g.Nodes {
		if n.Dataset.Database == database {
			part.node(n)
		}
	}
	part.sort()
	return part
}

// Up lists where the values of a node come from, the nearest first: of an element, everything that carries it.
func (g *Graph) Up(id string) []Node { return g.follow(id, true) }

// Down lists where the values of a node go, the nearest first: of an element, the datasets that hold it and
// who receives them. Of a dataset's consumers only those are listed that receive the value.
func (g *Graph) Down(id string) []Node { return g.follow(id, false) }

// follow walks breadth first. It knows through which fields it came into a dataset, or which a consumer gets, so
// that it does not mistake neighbours in the same row for the value's own way.
func (g *Graph) follow(id string, up bool) []Node {
	start, found := g.Node(id)
	if !found {
		return nil
	}
	reached, order := map[string]bool{id: true}, []string{id}
	visit := func(next string) {
		if !reached[next] {
			reached[next] = true
			order = append(order, next)
		}
	}
	if start.Kind == ElementNode {
		for _, i := range g.to[id] {
			visit(g.Edges[i].From)
		}
	}
	for at := 0; at < len(order); at++ {
		here, _ := g.Node(order[at])
		if up {
			for _, i := range g.to[here.ID] {
				e := &g.Edges[i]
				if !e.Means && g.gets(here, e, start) {
					visit(e.From)
				}
			}
			continue
		}
		for _, i := range g.from[here.ID] {
			e := &g.Edges[i]
			if here.Kind == DatasetNode && start.ID != here.ID && len(e.Fields) > 0 &&
				!slices.ContainsFunc(e.Fields, func(f string) bool { return reached[nodeID(FieldNode, here.Dataset.String(), f)] }) {
				continue
			}
			visit(e.To)
		}
	}
	nodes := make([]Node, 0, len(order)-1)
	for _, next := range order[1:] {
		n, _ := g.Node(next)
		nodes = append(nodes, n)
	}
	return nodes
}

// gets tells whether, on the way up, a consumer that began the walk receives the field.
func (g *Graph) gets(here Node, e *Edge, start Node) bool {
	if start.Kind != ConsumerNode || here.Kind != DatasetNode {
		return true
	}
	for _, i := range g.to[start.ID] {
		if c := &g.Edges[i]; c.From == here.ID && len(c.Fields) > 0 {
			from, _ := g.Node(e.From)
			return slices.Contains(c.Fields, from.Name)
		}
	}
	return true
}
