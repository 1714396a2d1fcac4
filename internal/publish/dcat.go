package publish

import (
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/catalog"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/quality"
)

// Registered is a database of the register, and what the hub knows about it.
type Registered struct {
	Entry    catalog.Entry // the approved one
	Issued   int64         // when it was first approved, microseconds since 1970 UTC; 0: not known
	Modified int64         // when it was last changed
	// Shapes are those of the datasets that the hub has, by name. Without one the fields of a
	// dataset are not known, so it counts as personal data.
	Shapes map[string]*lienthong.Shape
	// Changed tells when a dataset last changed, by name.
	Changed map[string]int64
}

// Page selects a part of the catalogue.
type Page struct {
	Number int // from 1; 0 means 1
	Size   int // datasets a page; 0 means 100, at most 1000
}

func (p Page) bounds() Page {
	if p.Number < 1 {
		p.Number = 1
	}
	switch {
	case p.Size < 1:
		p.Size = 100
	case p.Size > 1000:
		p.Size = 1000
	}
	return p
}

// Catalogue writes a page of the DCAT-AP 3 feed as Turtle; datasets are in order of their identifiers.
// A dataset is in it when its owner calls it open, or shared and shareable, and never when it is a
// state secret. Where fields hold personal data, or are not known, there is only metadata.
func (e *Exports) Catalogue(w io.Writer, entries []Registered, page Page) error {
	return writeTurtle(w, e.catalogueGraph(entries, page, "ttl"))
}

// CatalogueJSON writes the same statements as JSON-LD.
func (e *Exports) CatalogueJSON(w io.Writer, entries []Registered, page Page) error {
	return writeJSONLD(w, e.catalogueGraph(entries, page, "jsonld"))
}

// listing is a dataset that may be known.
type listing struct {
	id         lienthong.DatasetID
	registered *Registered
	dataset    *catalog.Dataset
	shape      *lienthong.Shape
	personal   bool
}

// listings are the datasets that may be known, in order.
func (e *Exports) listings(entries []Registered) []listing {
	var all []listing
	for i := range entries {
		entry := &entries[i].Entry
		for j := range entry.Datasets {
			d := &entry.Datasets[j]
			if !listed(d) {
				continue
			}
			l := listing{
				id: lienthong.DatasetID{Database: entry.Code, Name: d.Name}, registered: &entries[i],
				dataset: d, shape: entries[i].Shapes[d.Name],
			}
			l.personal = e.personal(entry, &l)
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b listing) int { return strings.Compare(a.id.String(), b.id.String()) })
	return all
}

// listed is the rule for what may be in the feed at all.
func listed(d *catalog.Dataset) bool {
	switch {
	case d.StateSecret, d.Name == "":
		return false
	case d.Access == catalog.OpenAccess:
		return true
	}
	return d.Access == catalog.SharedAccess && d.Shareable
}

// personal reports whether a dataset holds personal data, or may: whoever does not know the
// fields cannot rule it out.
func (e *Exports) personal(entry *catalog.Entry, l *listing) bool {
	for i := range entry.Objects {
		if o := &entry.Objects[i]; o.Name == l.dataset.Object && (o.Personal || o.Sensitive) {
			return true
		}
	}
	if l.shape == nil {
		shape := l.dataset.Shape
		return shape == nil || len(shape.Columns) == 0 || slices.ContainsFunc(shape.Columns, func(c catalog.RegisteredColumn) bool {
			element, found := e.config.Dictionary.Element(c.Element)
			return !found || element.Personal || element.Sensitive
		})
	}
	return slices.ContainsFunc(l.shape.Fields, func(f lienthong.Field) bool {
		element, found := e.config.Dictionary.Element(f.Element)
		return f.Personal || found && (element.Personal || element.Sensitive)
	})
}

const authority = "http://publications.europa.eu/resource/authority/"

func (e *Exports) catalogueURL() string           { return e.base + "/catalogue" }
func (e *Exports) databaseURL(code string) string { return e.catalogueURL() + "/" + segment(code) }
func (e *Exports) datasetURL(id lienthong.DatasetID) string {
	return e.databaseURL(id.Database) + "/" + segment(id.Name)
}

func (e *Exports) pageURL(format string, number, size int) string {
	return e.base + "/catalog." + format + "?page=" + strconv.Itoa(number) + "&size=" + strconv.Itoa(size)
}

func (e *Exports) catalogueGraph(entries []Registered, page Page, format string) *graph {
	g := &graph{}
	page = page.bounds()
	all := e.listings(entries)
	from := min((page.Number-1)*page.Size, len(all))
	shown := all[from:min(from+page.Size, len(all))]

	c := g.about(e.catalogueURL(), "dcat:Catalog", "hydra:Collection")
	c.said("dct:title", e.config.TitleVi, e.config.TitleEn)
	c.said("dct:description", "Các tập dữ liệu mở và dùng chung đã được chủ quản đăng ký và phê duyệt.", "The open and shared datasets that their owners have registered and that were approved.")
	c.add("dct:publisher", e.publisher(g))
	e.languages(g, c)
	c.add("dct:spatial", e.country(g))
	c.add("foaf:homepage", e.document(g, e.base+"/"))
	c.add("dcat:themeTaxonomy", e.taxonomy(g))
	c.add("hydra:totalItems", typed(strconv.Itoa(len(all)), "xsd:integer"))
	e.paging(g, c, page, len(all), format)

	service := e.service(g)
	c.add("dcat:service", link(service.iri))
	modified := int64(0)
	for i := range shown {
		r := e.datasetResource(g, &shown[i], service)
		c.add("dcat:dataset", link(r.iri))
		modified = max(modified, shown[i].registered.Modified)
	}
	c.add("dct:modified", moment(modified))
	return g
}

// paging links the pages with each other.
func (e *Exports) paging(g *graph, c *resource, page Page, total int, format string) {
	last := max((total+page.Size-1)/page.Size, 1)
	view := g.about(e.pageURL(format, page.Number, page.Size), "hydra:PartialCollectionView")
	c.add("hydra:view", link(view.iri))
	view.add("hydra:first", link(e.pageURL(format, 1, page.Size)))
	if page.Number > 1 {
		view.add("hydra:previous", link(e.pageURL(format, min(page.Number-1, last), page.Size)))
	}
	if page.Number < last {
		view.add("hydra:next", link(e.pageURL(format, page.Number+1, page.Size)))
	}
	view.add("hydra:last", link(e.pageURL(format, last, page.Size)))
}

// service is the way in which datasets are asked for.
func (e *Exports) service(g *graph) *resource {
	r := g.about(e.base+"/services/feeds", "dcat:DataService")
	r.said("dct:title", "Dịch vụ nhận dữ liệu và thay đổi", "Data and change feeds")
	r.said("dct:description", "Bản chụp, thay đổi theo thứ tự và tệp của từng tập dữ liệu, theo thoả thuận chia sẻ.", "Snapshots, ordered changes and files of each dataset, under a sharing agreement.")
	r.add("dcat:endpointURL", link(e.base+"/feeds/v1"))
	r.add("dcat:endpointDescription", e.document(g, e.base+"/feeds/v1/openapi.json"))
	r.add("dct:publisher", e.publisher(g))
	r.add("dct:accessRights", e.rights(g, "RESTRICTED"))
	r.add("dcat:landingPage", link(e.catalogueURL()))
	return r
}

func (e *Exports) datasetResource(g *graph, l *listing, service *resource) *resource {
	entry, d := &l.registered.Entry, l.dataset
	r := g.about(e.datasetURL(l.id), "dcat:Dataset")
	titleVi := d.TitleVi
	if titleVi == "" {
		titleVi = l.id.String()
	}
	r.said("dct:title", titleVi, d.TitleEn)
	r.said("dct:description", e.description(entry, titleVi, entry.NameVi, entry.PurposeVi), e.description(entry, d.TitleEn, entry.NameEn, entry.PurposeEn))
	r.add("dct:identifier", text(l.id.String(), ""))
	r.add("dct:publisher", e.member(g, string(entry.Owner)))
	r.add("dct:creator", e.member(g, string(entry.Manager)))
	e.contact(g, r, entry)
	e.themes(g, r, entry)
	e.keywords(r, entry, l)
	e.languages(g, r)
	e.spatial(g, r, entry.Scope.Territory)
	e.temporal(g, r, entry.Scope.Since)
	r.add("dct:accrualPeriodicity", e.frequency(g, d.Updated))
	e.legislation(g, r, entry)
	r.add("dcat:landingPage", link(r.iri))
	r.add("dct:issued", moment(l.registered.Issued))
	r.add("dct:modified", moment(max(l.registered.Modified, l.registered.Changed[d.Name])))
	open := d.Access == catalog.OpenAccess && !l.personal
	right := "RESTRICTED"
	if open {
		right = "PUBLIC"
	}
	r.add("dct:accessRights", e.rights(g, right))
	r.add("dct:rights", e.conditions(g, r.iri, d.Conditions))
	r.add("dcat:inSeries", link(e.series(g, l).iri))
	if l.shape != nil {
		r.add("dcat:version", text(strconv.Itoa(l.shape.Version), ""))
		standard := g.about(e.schemaURL(l.id), "dct:Standard")
		standard.said("dct:title", "Lược đồ JSON của "+titleVi, "JSON Schema of "+l.id.String())
		r.add("dct:conformsTo", link(standard.iri))
		service.add("dcat:servesDataset", link(r.iri))
	}
	if !l.personal { // of personal data there is metadata only
		e.distributions(g, r, l, service)
	}
	return r
}

func (e *Exports) description(entry *catalog.Entry, title, database, purpose string) string {
	var parts []string
	for _, part := range []string{title, database, purpose} {
		if part != "" && !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		return entry.Code
	}
	return strings.Join(parts, ". ")
}

// series is the database that the dataset belongs to.
func (e *Exports) series(g *graph, l *listing) *resource {
	entry := &l.registered.Entry
	r := g.about(e.databaseURL(entry.Code), "dcat:DatasetSeries")
	title := entry.NameVi
	if title == "" {
		title = entry.Code
	}
	r.said("dct:title", title, entry.NameEn)
	r.said("dct:description", e.description(entry, title, "", entry.PurposeVi), e.description(entry, entry.NameEn, "", entry.PurposeEn))
	r.add("dct:publisher", e.member(g, string(entry.Owner)))
	return r
}

// distributions are the forms in which the data can be had. They need a key of the data service, so there
// is an address of access and none of download.
func (e *Exports) distributions(g *graph, r *resource, l *listing, service *resource) {
	for _, form := range []struct{ name, kind, media string }{
		{"csv", "CSV", "text/csv"},
		{"ndjson", "JSON", "application/x-ndjson"},
		{"parquet", "PARQUET", "application/vnd.apache.parquet"},
	} {
		d := g.about(r.iri+"/"+form.name, "dcat:Distribution")
		d.add("dct:title", text(form.name, ""))
		d.add("dcat:accessURL", link(r.iri))
		d.add("dcat:accessService", link(service.iri))
		kind := g.about(authority+"file-type/"+form.kind, "dct:MediaTypeOrExtent")
		d.add("dct:format", link(kind.iri))
		media := g.about("https://www.iana.org/assignments/media-types/"+form.media, "dct:MediaType")
		d.add("dcat:mediaType", link(media.iri))
		d.add("dct:conformsTo", link(e.schemaURL(l.id)))
		d.add("dct:modified", moment(l.registered.Changed[l.dataset.Name]))
		r.add("dcat:distribution", link(d.iri))
	}
}

// contact is the organisation and the address at work of its steward; names of people are nobody's business.
func (e *Exports) contact(g *graph, r *resource, entry *catalog.Entry) {
	name, found := e.memberName(string(entry.Owner))
	if !found {
		return
	}
	c := g.about(e.databaseURL(entry.Code)+"/contact", "vcard:Organization")
	c.said("vcard:fn", name.Vi, name.En)
	for _, person := range entry.People {
		if person.Duty != catalog.StewardDuty {
			continue
		}
		if strings.Contains(person.Email, "@") {
			c.add("vcard:hasEmail", link(absolute("mailto:"+person.Email)))
		}
		number := strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' || r == '+' {
				return r
			}
			return -1
		}, person.Phone)
		if number != "" {
			c.add("vcard:hasTelephone", link("tel:"+number))
		}
	}
	r.add("dcat:contactPoint", link(c.iri))
}

// themes are our domains, and the European themes that harvesters group by.
func (e *Exports) themes(g *graph, r *resource, entry *catalog.Entry) {
	for _, id := range entry.Domains {
		domain, found := e.config.Dictionary.DomainByID(id)
		if !found {
			continue
		}
		own := g.about(e.domainURL(id), "skos:Concept")
		own.said("skos:prefLabel", domain.NameVi, domain.NameEn)
		own.add("skos:inScheme", e.taxonomy(g))
		r.add("dcat:theme", link(own.iri))
		for _, theme := range europeanThemes(id) {
			their := g.about(authority+"data-theme/"+theme.code, "skos:Concept")
			their.said("skos:prefLabel", theme.vi, theme.en)
			r.add("dcat:theme", link(their.iri))
		}
	}
}

type theme struct{ code, vi, en string }

func europeanThemes(domain string) []theme {
	government := theme{"GOVE", "Chính quyền và khu vực công", "Government and public sector"}
	regions := theme{"REGI", "Vùng và đô thị", "Regions and cities"}
	switch domain {
	case "DOM-HUMAN":
		return []theme{{"SOCI", "Dân số và xã hội", "Population and society"}}
	case "DOM-ORG":
		return []theme{government, {"ECON", "Kinh tế và tài chính", "Economy and finance"}}
	case "DOM-ASSET":
		return []theme{government}
	case "DOM-CADASTRAL", "DOM-ADDRESS", "DOM-GEO":
		return []theme{regions}
	}
	return nil
}

func (e *Exports) keywords(r *resource, entry *catalog.Entry, l *listing) {
	for i := range entry.Objects {
		if o := &entry.Objects[i]; o.Name == l.dataset.Object {
			r.said("dcat:keyword", o.NameVi, o.NameEn)
		}
	}
	for _, id := range entry.Domains {
		if domain, found := e.config.Dictionary.DomainByID(id); found {
			r.said("dcat:keyword", domain.NameVi, domain.NameEn)
		}
	}
	class := map[lienthong.DatabaseClass][2]string{
		lienthong.NationalDatabase:    {"cơ sở dữ liệu quốc gia", "national database"},
		lienthong.SpecialisedDatabase: {"cơ sở dữ liệu chuyên ngành", "specialised database"},
		lienthong.PoliticalDatabase:   {"cơ sở dữ liệu của hệ thống chính trị", "database of the political system"},
		lienthong.LocalDatabase:       {"cơ sở dữ liệu địa phương", "local database"},
	}[entry.Class]
	r.said("dcat:keyword", class[0], class[1])
}

func (e *Exports) languages(g *graph, r *resource) {
	for _, language := range [...]string{"VIE", "ENG"} {
		r.add("dct:language", link(g.about(authority+"language/"+language, "dct:LinguisticSystem").iri))
	}
}

func (e *Exports) country(g *graph) term {
	r := g.about(authority+"country/VNM", "dct:Location")
	r.said("rdfs:label", "Việt Nam", "Viet Nam")
	return link(r.iri)
}

// spatial is the territory: provinces by their codes, or the country.
func (e *Exports) spatial(g *graph, r *resource, territory string) {
	found := false
	for _, code := range strings.FieldsFunc(territory, func(c rune) bool { return c < '0' || c > '9' }) {
		province, known := e.config.Dictionary.Province(code, e.config.Now())
		if !known {
			continue
		}
		place := g.about(e.codeURL("province", code), "dct:Location")
		place.said("rdfs:label", province.NameVi, province.NameEn)
		r.add("dct:spatial", link(place.iri))
		found = true
	}
	if !found {
		r.add("dct:spatial", e.country(g))
	}
}

// temporal is the time that the data begin at: a year or a day.
func (e *Exports) temporal(g *graph, r *resource, since string) {
	datatype := ""
	if _, err := time.Parse(time.DateOnly, since); err == nil {
		datatype = "xsd:date"
	} else if _, err := time.Parse("2006", since); err == nil {
		datatype = "xsd:gYear"
	}
	if datatype == "" {
		return
	}
	period := g.about(r.iri+"/period", "dct:PeriodOfTime")
	period.add("dcat:startDate", typed(since, datatype))
	r.add("dct:temporal", link(period.iri))
}

// frequency is the European word for the declared interval.
func (e *Exports) frequency(g *graph, interval string) term {
	longest, err := quality.ParseInterval(interval)
	if err != nil || longest <= 0 {
		return term{}
	}
	const day = 24 * time.Hour
	word := "OTHER"
	for _, step := range []struct {
		longest time.Duration
		word    string
	}{
		{30 * time.Minute, "UPDATE_CONT"},
		{time.Hour, "HOURLY"},
		{day, "DAILY"},
		{7 * day, "WEEKLY"},
		{31 * day, "MONTHLY"},
		{92 * day, "QUARTERLY"},
		{183 * day, "ANNUAL_2"},
		{366 * day, "ANNUAL"},
	} {
		if longest <= step.longest {
			word = step.word
			break
		}
	}
	return link(g.about(authority+"frequency/"+word, "dct:Frequency").iri)
}

func (e *Exports) rights(g *graph, word string) term {
	return link(g.about(authority+"access-right/"+word, "dct:RightsStatement").iri)
}

// conditions are the owner's words about the use.
func (e *Exports) conditions(g *graph, dataset, words string) term {
	if words == "" {
		return term{}
	}
	r := g.about(dataset+"/conditions", "dct:RightsStatement")
	r.add("rdfs:label", text(words, "vi"))
	return link(r.iri)
}

func (e *Exports) legislation(g *graph, r *resource, entry *catalog.Entry) {
	for i := range entry.LegalBases {
		basis := &entry.LegalBases[i]
		if basis.Number == "" {
			continue
		}
		law := g.about(e.base+"/legislation/"+segment(basis.Number), "eli:LegalResource")
		title := basis.TitleVi
		if title == "" {
			title = basis.Number
		}
		law.add("dct:title", text(title, "vi"))
		law.add("dct:identifier", text(basis.Number, ""))
		if _, err := time.Parse(time.DateOnly, basis.Date); err == nil {
			law.add("eli:date_document", typed(basis.Date, "xsd:date"))
		}
		r.add("dcatap:applicableLegislation", link(law.iri))
	}
}

func (e *Exports) taxonomy(g *graph) term {
	edition := e.config.Dictionary.Edition()
	r := g.about(e.base+"/dictionary", "skos:ConceptScheme")
	r.said("dct:title", edition.TitleVi, edition.TitleEn)
	return link(r.iri)
}

func (e *Exports) document(g *graph, address string) term {
	return link(g.about(address, "foaf:Document").iri)
}

func (e *Exports) publisher(g *graph) term {
	p := &e.config.Publisher
	r := g.about(e.memberURL(string(p.Code)), "foaf:Agent")
	name := p.NameVi
	if name == "" {
		name = string(p.Code)
	}
	r.said("foaf:name", name, p.NameEn)
	return link(r.iri)
}

func (e *Exports) memberURL(code string) string { return e.base + "/members/" + segment(code) }

// member describes an organisation, or a group of them; nothing for an empty code.
func (e *Exports) member(g *graph, code string) term {
	if code == string(e.config.Publisher.Code) && code != "" {
		return e.publisher(g)
	}
	name, found := e.memberName(code)
	if !found {
		return term{}
	}
	r := g.about(e.memberURL(code), "foaf:Agent")
	r.said("foaf:name", name.Vi, name.En)
	r.add("dct:identifier", text(code, ""))
	return link(r.iri)
}

func (e *Exports) memberName(code string) (dictionary.Note, bool) {
	if code == "" {
		return dictionary.Note{}, false
	}
	if member, found := e.config.Dictionary.Member(code); found {
		return dictionary.Note{Vi: member.NameVi, En: member.NameEn}, true
	}
	words := dictionary.MemberWords(lienthong.MemberCode(code))
	if words.Vi == "" {
		words.Vi = code
	}
	return words, true
}

// moment is an instant, or nothing when it is not known.
func moment(micros int64) term {
	if micros == 0 {
		return term{}
	}
	return typed(time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05Z"), "xsd:dateTime")
}

func itoa(n int) string { return strconv.Itoa(n) }

func trimSlash(path string) string { return strings.TrimLeft(path, "/") }
