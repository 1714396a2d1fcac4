package dictionary

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/lienthong/lienthong"
)

// ColumnSample is what is known of a source column when a mapping is proposed.
type ColumnSample struct {
	lienthong.Column
	// Values are some dozens of its values as text, nulls left out. They are looked at and
	// forgotten: no proposal, message or log holds one.
	Values []string
}

// Proposal is what the dictionary makes of one column. A person confirms it.
type Proposal struct {
	Column     string
	Element    string // empty: no element fits, the column flows as it is, unmapped
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

// proposeFrom is the confidence from which a proposal names an element. Below it a
// wrong mapping would do more harm, by holding back good rows, than a missing one.
const proposeFrom = 0.6

// Propose names an element for every column where one fits: by the column's name in
// Vietnamese or English, abbreviated or without diacritics; by its kind; and by whether its
// values pass the element's own checks. An element is proposed once in a table.
func (d *Dictionary) Propose(table string, columns []ColumnSample) []Proposal {
	p := proposer{dictionary: d, now: time.Now().UnixMicro(), tableWords: words(table)}
	type scored struct {
		column, element int
		fit
	}
	var all []scored
	for c, column := range columns {
		for e, element := range d.elements {
			if f, possible := p.fit(&column, &element); possible {
				all = append(all, scored{c, e, f})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b scored) int { return cmp.Compare(b.confidence, a.confidence) })
	proposals := make([]Proposal, len(columns))
	for c := range columns {
		proposals[c] = Proposal{Column: columns[c].Name, ReasonVi: "không phần tử nào hợp với tên và giá trị", ReasonEn: "no element fits the name and the values"}
	}
	taken := map[int]bool{}
	for _, s := range all {
		proposal := &proposals[s.column]
		switch {
		case proposal.Element == "" && !taken[s.element] && s.confidence >= proposeFrom:
			taken[s.element] = true
			proposal.Element, proposal.Confidence, proposal.Transforms = d.elements[s.element].ID, s.confidence, s.transforms
			proposal.ReasonVi, proposal.ReasonEn = s.reasonVi, s.reasonEn
		case len(proposal.Candidates) < 3:
			proposal.Candidates = append(proposal.Candidates, Candidate{d.elements[s.element].ID, s.confidence})
			if proposal.Element == "" {
				proposal.Confidence = max(proposal.Confidence, s.confidence)
			}
		}
	}
	return proposals
}

type proposer struct {
	dictionary *Dictionary
	now        int64
	tableWords []string
}

// fit is how well an element suits a column.
type fit struct {
	confidence         float64
	transforms         []string
	reasonVi, reasonEn string
}

const (
	enoughValues  = 5   // from so many on, values can refuse a name
	valuesRefuse  = 0.6 // a smaller share of fitting values refuses the element
	plainNames    = 0.9 // of a name's score, for an element whose values nothing distinguishes
	withoutValues = 0.85
)

func (p *proposer) fit(column *ColumnSample, element *Element) (fit, bool) {
	name, called := p.nameScore(column.Name, element)
	if name < 0.4 || routeBetween(column.Kind, element.Kind) == routeNone {
		return fit{}, false
	}
	share, transforms, telling := p.valueShare(column, element)
	f := fit{transforms: transforms}
	f.reasonVi, f.reasonEn = fmt.Sprintf("tên giống %q", called), fmt.Sprintf("named like %q", called)
	switch {
	case len(column.Values) == 0:
		f.confidence = name * withoutValues
		f.reasonVi, f.reasonEn = f.reasonVi+", chưa có giá trị để so", f.reasonEn+", no values to compare"
	case !telling:
		f.confidence = name * plainNames
	case len(column.Values) >= enoughValues && share < valuesRefuse:
		return fit{}, false
	default:
		f.confidence = 0.55*name + 0.45*share
		f.reasonVi += fmt.Sprintf("; %.0f %% giá trị mẫu hợp với phần tử", 100*share)
		f.reasonEn += fmt.Sprintf("; %.0f %% of sampled values fit the element", 100*share)
	}
	return f, true
}

// nameScore compares a column's name with all names of an element, 0 to 1, and says
// with which it agrees best.
func (p *proposer) nameScore(column string, element *Element) (best float64, called string) {
	own := words(column)
	for _, name := range append([]string{element.Name, element.NameVi, element.NameEn}, element.Synonyms...) {
		if score := similar(own, words(name)); score > best {
			best, called = score, name
		}
	}
	// A table that is called after the element's domain makes its names likelier.
	if best > 0 && best < 1 && slices.ContainsFunc(p.tableWords, func(w string) bool { return strings.HasPrefix(w, element.Domain()) }) {
		best = min(1, best+0.05)
	}
	return best, called
}

// words takes a name apart: at every character that is no letter or digit, and where
// small letters are followed by a capital. Case and diacritics do not count.
func words(name string) []string {
	var spaced strings.Builder
	small := false
	for _, r := range name {
		if small && unicode.IsUpper(r) {
			spaced.WriteByte(' ')
		}
		small = unicode.IsLower(r) || unicode.IsDigit(r)
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Mn, r) {
			r = ' '
		}
		spaced.WriteRune(r)
	}
	return strings.Fields(PlainKey(spaced.String()))
}

// qualifiers change whose or which value a name means: "ngày sinh" is not "ngày sinh của cha".
func qualifier(word string) bool {
	switch word {
	case "cha", "bo", "me", "vo", "chong", "con", "chu", "nguoi", "father", "mother", "wife", "husband", "child", "spouse", "head", "owner",
		"cu", "old", "before", "truoc", "moi", "new", "count", "id", "fk", "type", "loai", "status":
		return true
	}
	return false
}

// similar compares two names by their words, 0 to 1.
func similar(a, b []string) float64 {
	if len(a) == 0 || len(b) == 0 {
		return 0
	}
	x, y := strings.Join(a, ""), strings.Join(b, "")
	if x == y {
		return 1
	}
	if len(x) >= 6 && len(y) >= 6 && editDistance(x, y) <= 1 {
		return 0.85
	}
	common := 0
	for _, word := range b {
		if slices.Contains(a, word) {
			common++
		}
	}
	if common < len(b) {
		return 0.8 * float64(common) / float64(max(len(a), len(b)))
	}
	// Every word of the element's name is there, and others beside them.
	score := 0.55 + 0.35*float64(len(b))/float64(len(a))
	if len(b) == 1 && len(b[0]) < 4 {
		score -= 0.2 // short words mean many things
	}
	for _, word := range a {
		if qualifier(word) && !slices.Contains(b, word) {
			score *= 0.6
			break
		}
	}
	return score
}

// valueShare tells which share of the values fits the element, through which
// transformations, and whether the element has anything that tells values apart.
func (p *proposer) valueShare(column *ColumnSample, element *Element) (share float64, transforms []string, telling bool) {
	if column.Kind != lienthong.Text && column.Kind != lienthong.Integer {
		return 1, nil, column.Kind == element.Kind && (element.Kind == lienthong.Date || element.Kind == lienthong.Timestamp)
	}
	values := column.Values
	if column.Kind == lienthong.Text {
		if slices.ContainsFunc(values, func(v string) bool { return v != strings.TrimSpace(v) }) {
			transforms = append(transforms, "trim")
		}
		if slices.ContainsFunc(values, func(v string) bool { return strings.Contains(strings.TrimSpace(v), "  ") }) {
			transforms = []string{"collapse"}
		}
	}
	trimmed := make([]string, 0, len(values))
	for _, v := range values {
		if v = strings.TrimSpace(v); v != "" {
			trimmed = append(trimmed, v)
		}
	}
	if len(trimmed) == 0 {
		return 0, transforms, false
	}
	fits, more := p.fitsOf(column, element, trimmed)
	if fits == nil {
		return 1, transforms, false
	}
	n := 0
	for _, v := range trimmed {
		if fits(v) {
			n++
		}
	}
	return float64(n) / float64(len(trimmed)), append(transforms, more...), true
}

// fitsOf makes the test of one value, and the transformations that it assumes. A nil
// test: any value would do.
func (p *proposer) fitsOf(column *ColumnSample, element *Element, values []string) (fits func(string) bool, transforms []string) {
	if element.CodeList != "" {
		return p.codeFits(element.CodeList, values)
	}
	if element.Kind == lienthong.Date || element.Kind == lienthong.Timestamp {
		return layoutFits(element.Kind, values)
	}
	if element.Kind == lienthong.Integer || element.Kind == lienthong.Decimal || element.Kind == lienthong.Real {
		return func(v string) bool { return plainNumber([]byte(v)) }, nil
	}
	for i := range element.Rules {
		check := &element.Rules[i].Check
		switch {
		case check.Digits > 0:
			if column.Kind == lienthong.Integer {
				transforms = append(transforms, fmt.Sprintf("pad:%d", check.Digits))
			}
			return func(v string) bool {
				short := len(v) <= check.Digits && len(v) >= check.Digits-2 && column.Kind == lienthong.Integer
				return (short || len(v) == check.Digits) && allASCIIDigits([]byte(v))
			}, transforms
		case check.Pattern != "":
			if pattern, err := regexp.Compile(check.Pattern); err == nil {
				return pattern.MatchString, nil
			}
		case check.PersonName:
			return func(v string) bool {
				return len(strings.Fields(v)) >= 2 && strings.IndexFunc(v, func(r rune) bool {
					return !unicode.IsLetter(r) && !unicode.IsSpace(r) && !unicode.Is(unicode.Mn, r) && !strings.ContainsRune("'’-.", r)
				}) < 0
			}, nil
		}
	}
	return nil, nil
}

func (p *proposer) codeFits(id string, values []string) (func(string) bool, []string) {
	list := p.dictionary.listByID[id]
	table := p.dictionary.translations[id]
	if list == nil {
		return nil, nil
	}
	is := func(v string) bool { return list.Valid([]byte(v), p.now) }
	if table == nil || !slices.ContainsFunc(values, func(v string) bool { return !is(v) }) {
		return is, nil
	}
	return func(v string) bool {
		code, _ := table.translate([]byte(v), nil)
		return is(string(code))
	}, []string{"code:" + id}
}

// commonLayouts are the ways in which dates are written in Vietnam, likeliest first: day
// before month.
func commonLayouts(kind lienthong.Kind) []string {
	dates := []string{"2006-01-02", "02/01/2006", "2/1/2006", "02-01-2006", "2-1-2006", "02.01.2006", "20060102", "2006/01/02"}
	if kind == lienthong.Date {
		return append(dates, "02/01/2006 15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02T15:04:05Z07:00")
	}
	return append([]string{
		"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02T15:04:05",
		"02/01/2006 15:04:05", "02/01/2006 15:04", "2/1/2006 15:04", "2006-01-02 15:04",
	}, dates...)
}

// layoutFits picks the layouts that the values need, the one that reads most of them
// first.
func layoutFits(kind lienthong.Kind, values []string) (func(string) bool, []string) {
	prefix := "date:"
	if kind == lienthong.Timestamp {
		prefix = "timestamp:"
	}
	var chosen []layout
	var transforms []string
	reads := func(v string) bool {
		return slices.ContainsFunc(chosen, func(l layout) bool { _, ok := l.parse([]byte(v)); return ok })
	}
	for range 3 {
		best, gain := layout{}, 0
		for _, text := range commonLayouts(kind) {
			l, err := compileLayout(text)
			if err != nil {
				continue
			}
			n := 0
			for _, v := range values {
				if _, ok := l.parse([]byte(v)); ok && !reads(v) {
					n++
				}
			}
			if n > gain {
				best, gain = l, n
			}
		}
		if gain == 0 {
			break
		}
		chosen = append(chosen, best)
		transforms = append(transforms, prefix+best.text)
	}
	if len(transforms) == 1 && slices.Contains(defaultLayouts(kind), chosen[0].text) {
		transforms = nil // is tried anyway
	}
	return reads, transforms
}
