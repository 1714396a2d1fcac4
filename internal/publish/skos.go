package publish

import (
	"io"
	"math"
	"time"

	"github.com/lienthong/lienthong/internal/dictionary"
)

// dictionaryGraph is the dictionary as SKOS: the edition and every code list are concept
// schemes, every element and every code is a concept. Elements carry what ISO/IEC 11179 asks for: object
// class, property, value domain, status, version, who made them and who answers for them.
func (e *Exports) dictionaryGraph() *graph {
	g := &graph{}
	known := e.config.Dictionary
	edition := known.Edition()
	scheme := g.about(e.base+"/dictionary", "skos:ConceptScheme")
	scheme.said("dct:title", edition.TitleVi, edition.TitleEn)
	scheme.add("owl:versionInfo", text(edition.Version, ""))
	scheme.add("dct:source", text(edition.Source, ""))
	if edition.ValidFrom != "" {
		scheme.add("dct:valid", typed(edition.ValidFrom, "xsd:date"))
	}
	for _, domain := range known.Domains() {
		scheme.add("skos:hasTopConcept", link(e.domainURL(domain.ID)))
	}
	for _, domain := range known.Domains() {
		r := g.about(e.domainURL(domain.ID), "skos:Concept")
		r.add("skos:topConceptOf", link(scheme.iri))
		r.add("skos:notation", text(domain.ID, ""))
		r.said("skos:prefLabel", domain.NameVi, domain.NameEn)
		r.said("skos:definition", domain.DefinitionVi, domain.DefinitionEn)
	}
	elements := known.Elements()
	for i := range elements {
		e.elementConcept(g, &elements[i])
	}
	for _, codes := range known.CodeLists() {
		e.codeListScheme(g, codes)
	}
	return g
}

func (e *Exports) domainURL(id string) string { return e.base + "/dictionary/domains/" + segment(id) }

func (e *Exports) codeURL(list, code string) string {
	return e.listURL(list) + "/" + segment(code)
}

func (e *Exports) elementConcept(g *graph, element *dictionary.Element) {
	r := g.about(e.elementURL(element.ID), "skos:Concept", "lt:DataElement")
	r.add("skos:inScheme", link(e.base+"/dictionary"))
	r.add("skos:notation", text(element.ID, ""))
	r.add("dct:identifier", text(element.ID, ""))
	r.said("skos:prefLabel", element.NameVi, element.NameEn)
	for _, synonym := range element.Synonyms {
		r.add("skos:hiddenLabel", text(synonym, ""))
	}
	r.said("skos:definition", element.DefinitionVi, element.DefinitionEn)
	r.said("skos:scopeNote", element.ContextVi, element.ContextEn)
	if domain, found := e.config.Dictionary.DomainByID(element.Group); found {
		r.add("skos:broader", link(e.domainURL(domain.ID)))
	} else if domain, found := e.config.Dictionary.DomainOfPrefix(element.Domain()); found {
		r.add("skos:broader", link(e.domainURL(domain.ID)))
	}
	r.said("lt:objectClass", element.ObjectVi, element.ObjectEn)
	r.said("lt:property", element.PropertyVi, element.PropertyEn)
	r.add("lt:technicalName", text(element.Name, ""))
	r.add("lt:kind", text(element.Kind.String(), ""))
	r.add("lt:rdfType", text(element.RDFType(), ""))
	r.add("lt:format", text(element.Format, ""))
	r.add("lt:unit", text(element.Unit, ""))
	if element.MaxLength > 0 {
		r.add("lt:maxLength", typed(itoa(element.MaxLength), "xsd:nonNegativeInteger"))
	}
	for _, flag := range []struct {
		name string
		set  bool
	}{{"lt:personal", element.Personal}, {"lt:sensitive", element.Sensitive}, {"lt:required", element.Required}, {"lt:identifier", element.Identifier}} {
		if flag.set {
			r.add(flag.name, typed("true", "xsd:boolean"))
		}
	}
	if element.CodeList != "" {
		r.add("lt:valueDomain", link(e.listURL(element.CodeList)))
	}
	for i := range element.Rules {
		r.said("lt:rule", element.Rules[i].Code+": "+element.Rules[i].Vi, element.Rules[i].Code+": "+element.Rules[i].En)
	}
	r.add("owl:versionInfo", text(element.Version.String(), ""))
	r.add("adms:status", e.statusTerm(g, element.Status))
	r.add("dct:language", text(element.Language, ""))
	r.add("dct:creator", e.member(g, string(element.Creator)))
	r.add("dct:publisher", e.member(g, string(element.Owner)))
	r.add("dct:source", text(element.Source, "vi"))
	for _, document := range element.Documents {
		r.add("dct:references", text(document, "vi"))
	}
	for _, relation := range element.Relations {
		r.add(relationPredicate(relation.Type), link(e.elementURL(relation.Target)))
	}
	for _, related := range element.Related {
		if _, found := e.config.Dictionary.Element(related); found {
			r.add("skos:related", link(e.elementURL(related)))
		} else {
			r.add("skos:note", text(related, ""))
		}
	}
	for _, alignment := range element.Alignments {
		r.add(alignmentPredicate(alignment.Kind), link(alignment.IRI()))
	}
	if element.Access != "" {
		r.add("rdfs:seeAlso", link(e.base+"/"+trimSlash(element.Access)))
	}
}

func relationPredicate(kind dictionary.RelationType) string {
	switch kind {
	case dictionary.PartOf:
		return "dct:isPartOf"
	case dictionary.DerivedFrom:
		return "lt:derivedFrom"
	case dictionary.SameAs:
		return "lt:sameAs"
	case dictionary.Broader:
		return "skos:broader"
	case dictionary.SeeAlso:
	}
	return "rdfs:seeAlso"
}

func alignmentPredicate(kind dictionary.AlignmentKind) string {
	switch kind {
	case dictionary.ExactAlignment:
		return "skos:exactMatch"
	case dictionary.BroaderAlignment:
		return "skos:broadMatch"
	case dictionary.NarrowerAlignment:
		return "skos:narrowMatch"
	case dictionary.RelatedAlignment:
	}
	return "skos:relatedMatch"
}

// statusTerm describes a status in the document itself, so that a reader needs no other.
func (e *Exports) statusTerm(g *graph, status dictionary.Status) term {
	if status == "" {
		return term{}
	}
	words := dictionary.StatusWords(status)
	r := g.about(e.base+"/dictionary/statuses/"+segment(string(status)), "skos:Concept")
	r.said("skos:prefLabel", words.Vi, words.En)
	return link(r.iri)
}

// codeListScheme is a code list with all its codes of all times. A code that was used again for
// another thing is a concept for each period.
func (e *Exports) codeListScheme(g *graph, codes *dictionary.CodeList) {
	scheme := g.about(e.listURL(codes.ID), "skos:ConceptScheme")
	scheme.said("dct:title", codes.NameVi, codes.NameEn)
	scheme.add("dct:identifier", text(codes.ID, ""))
	scheme.add("dct:source", text(codes.Source, "vi"))
	scheme.add("owl:versionInfo", text(codes.Version, ""))
	all := codes.Codes()
	at := e.config.Now().UnixMicro()
	address := func(code *dictionary.Code) string {
		iri := e.codeURL(codes.ID, code.Code)
		if code.From != math.MinInt64 {
			iri += "/" + day(code.From)
		}
		return iri
	}
	for i := range all {
		code := &all[i]
		r := g.about(address(code), "skos:Concept")
		r.add("skos:inScheme", link(scheme.iri))
		r.add("skos:notation", text(code.Code, ""))
		r.said("skos:prefLabel", code.NameVi, code.NameEn)
		for _, alias := range code.Aliases {
			r.add("skos:altLabel", text(alias, ""))
		}
		if code.From != math.MinInt64 {
			r.add("lt:validFrom", typed(day(code.From), "xsd:date"))
		}
		if code.To != math.MaxInt64 {
			r.add("lt:validUntil", typed(day(code.To), "xsd:date")) // the first day on which it is not valid
		}
		if code.Parent != "" {
			for _, instant := range []int64{at, code.From} {
				if parent, found := codes.Lookup(code.Parent, instant); found {
					r.add("skos:broader", link(address(&parent)))
					break
				}
			}
		}
	}
}

// day is the day that begins in Viet Nam at the instant.
func day(instant int64) string {
	return time.UnixMicro(instant).UTC().Add(7 * time.Hour).Format(time.DateOnly)
}

// DictionarySKOS writes the dictionary as JSON-LD.
func (e *Exports) DictionarySKOS(w io.Writer) error { return writeJSONLD(w, e.dictionaryGraph()) }

// DictionaryTurtle writes the same statements as Turtle.
func (e *Exports) DictionaryTurtle(w io.Writer) error { return writeTurtle(w, e.dictionaryGraph()) }
