package publish

import (
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// prefix is an abbreviation of identifiers in RDF.
type prefix struct{ name, namespace string }

// prefixes are those that our documents use.
func prefixes() []prefix {
	return []prefix{
		{"adms", "http://www.w3.org/ns/adms#"},
		{"dcat", "http://www.w3.org/ns/dcat#"},
		{"dcatap", "http://data.europa.eu/r5r/"},
		{"dct", "http://purl.org/dc/terms/"},
		{"eli", "http://data.europa.eu/eli/ontology#"},
		{"foaf", "http://xmlns.com/foaf/0.1/"},
		{"hydra", "http://www.w3.org/ns/hydra/core#"},
		{"lt", "https://github.com/lienthong/lienthong/ns#"},
		{"owl", "http://www.w3.org/2002/07/owl#"},
		{"rdfs", "http://www.w3.org/2000/01/rdf-schema#"},
		{"skos", "http://www.w3.org/2004/02/skos/core#"},
		{"vcard", "http://www.w3.org/2006/vcard/ns#"},
		{"xsd", "http://www.w3.org/2001/XMLSchema#"},
	}
}

// term is the object of a statement. Exactly one of iri and literal counts.
type term struct {
	iri      string // absolute, or abbreviated with one of the prefixes
	literal  string
	language string
	datatype string // abbreviated
}

func link(iri string) term              { return term{iri: safeIRI(iri)} }
func text(value, language string) term  { return term{literal: value, language: language} }
func typed(value, datatype string) term { return term{literal: value, datatype: datatype} }

// statement is a predicate, abbreviated, with its objects.
type statement struct {
	predicate string
	objects   []term
}

// resource is what one document says of one thing. There are no blank nodes: whatever
// is described has an address of its own.
type resource struct {
	iri        string
	types      []string
	statements []statement
}

func (r *resource) add(predicate string, objects ...term) {
	for _, object := range objects {
		if object.iri == "" && object.literal == "" {
			continue // nothing is said
		}
		i := slices.IndexFunc(r.statements, func(s statement) bool { return s.predicate == predicate })
		if i < 0 {
			r.statements = append(r.statements, statement{predicate: predicate})
			i = len(r.statements) - 1
		}
		if !slices.Contains(r.statements[i].objects, object) {
			r.statements[i].objects = append(r.statements[i].objects, object)
		}
	}
}

// said adds a text in both languages.
func (r *resource) said(predicate, vi, en string) {
	r.add(predicate, text(vi, "vi"))
	if en != vi {
		r.add(predicate, text(en, "en"))
	}
}

// graph is a document of RDF: resources in the order in which people should read them.
type graph struct {
	resources []*resource
	known     map[string]*resource
}

// about returns the resource with the address, which it makes when there is none yet.
func (g *graph) about(iri string, types ...string) *resource {
	iri = safeIRI(iri)
	if g.known == nil {
		g.known = map[string]*resource{}
	}
	r := g.known[iri]
	if r == nil {
		r = &resource{iri: iri}
		g.known[iri] = r
		g.resources = append(g.resources, r)
	}
	for _, name := range types {
		if !slices.Contains(r.types, name) {
			r.types = append(r.types, name)
		}
	}
	return r
}

// safeIRI escapes what may not stand in an identifier. Letters outside ASCII are escaped too: not
// every reader takes them.
func safeIRI(iri string) string {
	var b strings.Builder
	for _, r := range iri {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune("<>\"{}|^`\\", r) {
			b.WriteString(url.PathEscape(string(r)))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// absolute takes an address that comes from people: only those of the web, of mail and of
// telephones become identifiers. It returns "" for others.
func absolute(address string) string {
	parsed, err := url.Parse(strings.TrimSpace(address))
	if err != nil {
		return ""
	}
	switch {
	case parsed.Scheme == "http" && parsed.Host != "", parsed.Scheme == "https" && parsed.Host != "":
		return safeIRI(parsed.String())
	case parsed.Scheme == "mailto" || parsed.Scheme == "tel":
		return safeIRI(parsed.String())
	}
	return ""
}

// writeTurtle writes a graph as Turtle 1.1.
func writeTurtle(w io.Writer, g *graph) error {
	var b strings.Builder
	for _, p := range prefixes() {
		b.WriteString("@prefix " + p.name + ": <" + p.namespace + "> .\n")
	}
	for _, r := range g.resources {
		if len(r.types)+len(r.statements) == 0 {
			continue
		}
		b.WriteString("\n" + turtleIRI(r.iri))
		separator := "\n    "
		if len(r.types) > 0 {
			b.WriteString("\n    a " + strings.Join(r.types, ", "))
			separator = " ;\n    "
		}
		for _, s := range r.statements {
			b.WriteString(separator + s.predicate)
			separator = " ;\n    "
			for i, object := range s.objects {
				if i > 0 {
					b.WriteString(" ,")
				}
				b.WriteString(" " + turtleTerm(object))
			}
		}
		b.WriteString(" .\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write Turtle: %w", err)
	}
	return nil
}

// turtleIRI leaves an abbreviated identifier as it is. Those are constants of ours.
func turtleIRI(iri string) string {
	if name, local, found := strings.Cut(iri, ":"); found && isPrefix(name) && plainLocal(local) {
		return iri
	}
	return "<" + iri + ">"
}

func isPrefix(name string) bool {
	return slices.ContainsFunc(prefixes(), func(p prefix) bool { return p.name == name })
}

func plainLocal(local string) bool {
	for i := range len(local) {
		c := local[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return local != ""
}

func turtleTerm(t term) string {
	if t.iri != "" {
		return turtleIRI(t.iri)
	}
	quoted := turtleText(t.literal)
	switch {
	case t.language != "":
		return quoted + "@" + t.language
	case t.datatype != "":
		return quoted + "^^" + t.datatype
	}
	return quoted
}

// turtleText is a literal between quotation marks, in which nothing of the text has a meaning.
func turtleText(value string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range value {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r >= 0x7f && r <= 0xa0 || r >= 0x2000 && r <= 0x206f || r == 0xfeff || r == 0xfffe || r == 0xffff:
			hex := strconv.FormatInt(int64(r), 16)
			b.WriteString(`\u` + strings.Repeat("0", 4-len(hex)) + strings.ToUpper(hex))
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// writeJSONLD writes the same statements as JSON-LD 1.1. The context is in the document:
// nobody has to fetch one.
func writeJSONLD(w io.Writer, g *graph) error {
	var context object
	for _, p := range prefixes() {
		context.add(p.name, p.namespace)
	}
	var nodes list
	for _, r := range g.resources {
		if len(r.types)+len(r.statements) == 0 {
			continue
		}
		node := object{{"@id", r.iri}}
		if len(r.types) > 0 {
			node.add("@type", texts(r.types))
		}
		for _, s := range r.statements {
			values := make(list, len(s.objects))
			for i, t := range s.objects {
				switch {
				case t.iri != "":
					values[i] = object{{"@id", t.iri}}
				case t.language != "":
					values[i] = object{{"@value", t.literal}, {"@language", t.language}}
				case t.datatype != "":
					values[i] = object{{"@value", t.literal}, {"@type", t.datatype}}
				default:
					values[i] = object{{"@value", t.literal}}
				}
			}
			node.add(s.predicate, values)
		}
		nodes = append(nodes, node)
	}
	return writeJSON(w, object{{"@context", context}, {"@graph", nodes}})
}
