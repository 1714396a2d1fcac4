package dictionary

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// ColumnSample is what is known of a source column when a mapping is proposed.
type ColumnSample struct {
	lienthong.Column
	// Values are some dozens of its values as text, nulls left out. They are counted and
	// forgotten: no proposal, message or log holds one.
	Values []string
}

// Proposal is what the dictionary makes of one column. A person confirms it.
type Proposal struct {
	Column     string
	Element    string // empty: no element fits, the column flows as it is, unmapped
	Kind       MappingRelation
	Transforms []string
	Confidence float64 // 0 to 1; of the element, or of the best one that was not good enough
	ReasonVi   string
	ReasonEn   string
	Candidates []Candidate // the next best, best first
}

// Candidate is an element that could be meant.
type Candidate struct {
	Element    string
	Confidence float64
}

// MappingRelation says how a column stands to the element that it is mapped to.
type MappingRelation string

// The relations.
const (
	ExactMapping    MappingRelation = "exact"
	NarrowerMapping MappingRelation = "narrower" // the column means less: the element of somebody in a role
	BroaderMapping  MappingRelation = "broader"  // the column also has values that the element does not admit
	DerivedMapping  MappingRelation = "derived"  // the values become the element's by translation
	NoMapping       MappingRelation = "none"
)

// MappingRelations lists them.
func MappingRelations() []MappingRelation {
	return []MappingRelation{ExactMapping, NarrowerMapping, BroaderMapping, DerivedMapping, NoMapping}
}

// Words name a relation for people.
func (r MappingRelation) Words() (vi, en string) {
	switch r {
	case ExactMapping:
		return "đúng phần tử", "exact"
	case NarrowerMapping:
		return "hẹp hơn phần tử", "narrower"
	case BroaderMapping:
		return "rộng hơn phần tử", "broader"
	case DerivedMapping:
		return "suy ra bằng chuyển đổi", "derived"
	case NoMapping:
		return "không ánh xạ", "none"
	}
	return string(r), string(r)
}

const (
	// proposeFrom is the confidence from which a proposal names an element. Below it a
	// wrong mapping would do more harm, by holding back good rows, than a missing one.
	proposeFrom  = 0.6
	enoughValues = 5    // from so many on, values can refuse a name
	valuesRefuse = 0.6  // a smaller share of fitting values refuses the element
	admits       = 0.95 // a smaller share: the column means more than the element
	worthNaming  = 0.3  // as a candidate
	clearly      = 0.04 // by so much the best must lead where its name is not the element's own
	nearBest     = 0.15 // a column takes no element that is so much less likely than its best
)

// Propose names an element for every column where one fits: by the column's name in
// Vietnamese or English, abbreviated, run together or without diacritics; by what the table and
// the columns before are about; by its kind and length; and by whether its values pass the
// element's own checks. An element is proposed once in a table.
func (d *Dictionary) Propose(table string, columns []ColumnSample) []Proposal {
	p := proposer{dictionary: d, index: d.nameIndex(), now: time.Now().UnixMicro()}
	if _, plain, has := strings.Cut(table, "."); has {
		table = plain
	}
	for _, reading := range p.index.columnReadings(table) {
		p.table = append(p.table, reading...)
	}
	p.table = append(p.table, p.index.repeated(columns)...)
	fits := make([][]fit, len(columns))
	values := make([]*columnValues, len(columns))
	var before []string
	for c := range columns {
		values[c] = d.look(&columns[c], p.now)
		readings := p.index.columnReadings(columns[c].Name)
		var surroundings []string
		if len(before) > 0 && slices.ContainsFunc(readings, dependent) {
			surroundings = before
		}
		fits[c] = p.fits(&columns[c], readings, surroundings, values[c])
		for _, reading := range readings {
			if slices.ContainsFunc(reading, documentWord) {
				before = slices.DeleteFunc(slices.Clone(reading), func(w string) bool { return !documentWord(w) })
			}
		}
	}
	p.favour(fits)
	return p.choose(columns, values, fits)
}

type proposer struct {
	dictionary *Dictionary
	index      *nameIndex
	now        int64
	table      []string // what the table is about
}

// documentWord is what a later "date of issue" may belong to.
func documentWord(word string) bool {
	switch word {
	case "@dinhdanh", "@cmnd", "@gcn", "@mst", "phep", "@hochieu", "@vanbang", "quyet", "@hopdong":
		return true
	}
	return false
}

// dependent names say something of what was named before them.
func dependent(reading []string) bool {
	return !slices.ContainsFunc(reading, func(w string) bool {
		switch w {
		case "@ngaycap", "@noicap", "ngay", "noi", "cap", "het", "han", "co", "quan":
			return false
		}
		return true
	})
}

// fit is how well an element suits a column.
type fit struct {
	element            int
	naming             naming
	confidence         float64
	share              float64
	outcome            outcome
	transforms         []string
	refused            bool
	reasonVi, reasonEn string
}

// fits scores the elements whose names have something in common with the column's, best first.
func (p *proposer) fits(column *ColumnSample, readings [][]string, before []string, values *columnValues) []fit {
	var all []fit
	for e, n := range p.index.match(readings, p.table, before) {
		element := &p.dictionary.elements[e]
		if n.score < worthNaming || routeBetween(column.Kind, element.Kind) == routeNone || tooShort(column, element) {
			continue
		}
		all = append(all, p.fit(element, e, n, values))
	}
	sortFits(all)
	return all
}

func sortFits(fits []fit) {
	slices.SortFunc(fits, func(a, b fit) int {
		return cmp.Or(cmp.Compare(b.confidence, a.confidence), cmp.Compare(b.naming.score, a.naming.score), cmp.Compare(a.element, b.element))
	})
}

// fit weighs the name by the values.
func (p *proposer) fit(element *Element, at int, n naming, values *columnValues) fit {
	f := fit{element: at, naming: n, confidence: n.score}
	f.reasonVi, f.reasonEn = fmt.Sprintf("tên giống %q", n.called), fmt.Sprintf("named like %q", n.called)
	if values.Values == 0 {
		f.share = 1
		f.confidence *= 0.95
		f.reasonVi, f.reasonEn = f.reasonVi+", chưa có giá trị để so", f.reasonEn+", no values to compare"
		return f
	}
	f.outcome = values.test(element)
	f.share = f.outcome.share(values.Values)
	f.transforms = append(values.tidying(), f.outcome.transforms...)
	switch {
	case values.refused(element):
		f.refused = true
	case !f.outcome.telling:
		f.confidence *= 0.97
		return f
	case values.Values >= enoughValues && f.share < valuesRefuse:
		f.refused = true
	case f.outcome.strict:
		f.confidence = f.share * (n.score + (1-n.score)*0.35)
	default:
		f.confidence = f.share * (n.score + (1-n.score)*0.1)
	}
	f.reasonVi += fmt.Sprintf("; %.0f %% giá trị mẫu hợp với phần tử", 100*f.share)
	f.reasonEn += fmt.Sprintf("; %.0f %% of sampled values fit the element", 100*f.share)
	return f
}

// tooShort tells that the column cannot hold the element's values: varchar(9) for twelve digits.
func tooShort(column *ColumnSample, element *Element) bool {
	if column.Kind != lienthong.Text {
		return false
	}
	_, inside, has := strings.Cut(column.SourceType, "(")
	inside, _, _ = strings.Cut(inside, ")")
	length, err := strconv.Atoi(strings.TrimSpace(inside))
	if !has || err != nil || length <= 0 {
		return false
	}
	return slices.ContainsFunc(element.Rules, func(r Rule) bool { return r.Check.Digits > length })
}

// favour prefers, among equals, elements of the domain that the table is about.
func (p *proposer) favour(fits [][]fit) {
	domains := map[string]float64{}
	for _, of := range fits {
		if len(of) == 0 || of[0].refused || of[0].naming.score < 0.9 {
			continue
		}
		tied := 0
		for tied < len(of) && of[tied].confidence > of[0].confidence-0.001 {
			tied++
		}
		for _, f := range of[:tied] {
			domains[p.dictionary.elements[f.element].Domain()] += 1 / float64(tied)
		}
	}
	most := 0.0
	for _, n := range domains {
		most = max(most, n)
	}
	if most == 0 {
		return
	}
	for _, of := range fits {
		for i := range of {
			of[i].confidence += 0.05 * domains[p.dictionary.elements[of[i].element].Domain()] / most * of[i].naming.score
		}
		sortFits(of)
	}
}

// calibrated turns a score into the share of proposals with that score that are right, as measured on the half of
// the labelled set that the assistant was tuned with.
func calibrated(score float64) float64 {
	points := [...][2]float64{{0, 0}, {0.3, 0.05}, {0.5, 0.2}, {0.6, 0.4}, {0.75, 0.7}, {0.9, 0.92}, {1, 0.98}, {1.1, 0.99}}
	for i := 1; i < len(points); i++ {
		if from, to := points[i-1], points[i]; score <= to[0] {
			return from[1] + (to[1]-from[1])*max(0, score-from[0])/(to[0]-from[0])
		}
	}
	return points[len(points)-1][1]
}

// choose gives every element to the column that it suits best.
func (p *proposer) choose(columns []ColumnSample, values []*columnValues, fits [][]fit) []Proposal {
	type pair struct{ column, rank int }
	var order []pair
	proposals := make([]Proposal, len(columns))
	for c, of := range fits {
		proposals[c] = p.without(columns[c].Name, values[c], of)
		for i := range of {
			if of[i].refused {
				continue
			}
			if i == p.first(of) {
				doubt(of[i:])
				proposals[c].Confidence = calibrated(of[i].confidence)
			}
			order = append(order, pair{c, i})
		}
	}
	slices.SortStableFunc(order, func(a, b pair) int {
		return cmp.Compare(fits[b.column][b.rank].confidence, fits[a.column][a.rank].confidence)
	})
	taken := map[int]int{}
	for _, o := range order {
		f, proposal := &fits[o.column][o.rank], &proposals[o.column]
		if confidence := calibrated(f.confidence); proposal.Element != "" || confidence < proposeFrom || confidence < proposal.Confidence-nearBest {
			continue
		}
		if other, gone := taken[f.element]; gone {
			if o.rank == p.first(fits[o.column]) {
				id := p.dictionary.elements[f.element].ID
				proposal.ReasonVi = fmt.Sprintf("phần tử %s đã hợp với cột %q hơn", id, columns[other].Name)
				proposal.ReasonEn = fmt.Sprintf("element %s suits column %q better", id, columns[other].Name)
			}
			continue
		}
		taken[f.element] = o.column
		p.take(proposal, f)
	}
	for c, of := range fits {
		for i := range of {
			id := p.dictionary.elements[of[i].element].ID
			if !of[i].refused && id != proposals[c].Element && len(proposals[c].Candidates) < 3 {
				proposals[c].Candidates = append(proposals[c].Candidates, Candidate{id, calibrated(of[i].confidence)})
			}
		}
	}
	return proposals
}

// doubt makes the best less likely where others are as likely: elements that share the name, or a name that is none of
// theirs. All of them, so that none is taken in place of another.
func doubt(of []fit) {
	best := of[0]
	within, factor := 1e-6, 0.65
	if best.naming.score < 0.9 {
		within, factor = clearly, 0.8
	}
	n := 0
	for n < len(of) && !of[n].refused && best.confidence-of[n].confidence < within {
		n++
	}
	for i := range of[:n] {
		if n > 1 {
			of[i].confidence *= factor
		}
	}
}

// first is the best fit that the values do not refuse; -1: none.
func (p *proposer) first(of []fit) int {
	return slices.IndexFunc(of, func(f fit) bool { return !f.refused })
}

func (p *proposer) take(proposal *Proposal, f *fit) {
	proposal.Element, proposal.Confidence, proposal.Transforms = p.dictionary.elements[f.element].ID, calibrated(f.confidence), f.transforms
	proposal.ReasonVi, proposal.ReasonEn = f.reasonVi, f.reasonEn
	proposal.Kind = ExactMapping
	switch {
	case f.naming.role:
		proposal.Kind = NarrowerMapping
	case f.outcome.telling && f.share < admits:
		proposal.Kind = BroaderMapping
	case slices.ContainsFunc(f.transforms, func(t string) bool { return strings.HasPrefix(t, "code:") }):
		proposal.Kind = DerivedMapping
	}
}

// without says why a column has no element; it holds until one is chosen.
func (p *proposer) without(column string, values *columnValues, of []fit) Proposal {
	proposal := Proposal{Column: column, Kind: NoMapping}
	switch {
	case len(of) == 0:
		proposal.ReasonVi, proposal.ReasonEn = "không phần tử nào hợp với tên và giá trị", "no element fits the name and the values"
	case of[0].refused && values.Years == values.Values && p.dictionary.elements[of[0].element].Kind == lienthong.Date:
		proposal.ReasonVi, proposal.ReasonEn = "chỉ có năm, không đủ thành ngày", "only a year, which makes no date"
	case of[0].refused && of[0].naming.score >= proposeFrom:
		id := p.dictionary.elements[of[0].element].ID
		proposal.ReasonVi = fmt.Sprintf("tên giống %s, nhưng chỉ %.0f %% giá trị mẫu hợp", id, 100*of[0].share)
		proposal.ReasonEn = fmt.Sprintf("named like %s, but only %.0f %% of sampled values fit", id, 100*of[0].share)
	default:
		proposal.ReasonVi, proposal.ReasonEn = "không phần tử nào đủ chắc chắn", "no element is certain enough"
	}
	return proposal
}
