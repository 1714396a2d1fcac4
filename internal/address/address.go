package address

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lienthong/lienthong/internal/dictionary"
)

// Period says when an address was written, as far as it matters for what names mean.
type Period string

// The periods.
const (
	Before  Period = "before"  // before 1 July 2025
	Since   Period = "since"   // since then
	Undated Period = "undated" // not known
)

// Unknown as the time of writing means that nobody knows it.
const Unknown int64 = 0

// Method says how an answer was found.
type Method string

// The methods.
const (
	ByName   Method = "name"   // the names are those of the list, also without diacritics or abbreviated
	ByTypo   Method = "typo"   // a typing error was forgiven
	ByCode   Method = "code"   // by the code of the unit
	ByRuling Method = "ruling" // a person has ruled
	NotFound Method = "none"
)

// Candidate is a unit that an address may mean.
type Candidate struct {
	Code         string  `json:"code"` // empty for a unit of before whose code is not known
	Name         string  `json:"name"`
	District     string  `json:"district,omitempty"` // only before 1 July 2025
	Province     string  `json:"province"`           // code of the province of that time
	ProvinceName string  `json:"province_name"`
	Share        float64 `json:"share"` // how likely among the candidates; together 1
}

// Standardised is what was understood of one address. It is an answer when Question is
// nil and Now has one unit; Then is what the text named at the time.
type Standardised struct {
	Original    string      `json:"original"`
	Detail      string      `json:"detail"` // the part before the commune: house, street, hamlet
	Then        []Candidate `json:"then"`
	Now         []Candidate `json:"now"`
	Method      Method      `json:"method"`
	Confidence  float64     `json:"confidence"` // 0 to 1
	Reasons     Reasons     `json:"reasons"`
	ListVersion string      `json:"list_version"`
	AsOf        int64       `json:"as_of"` // microseconds since 1970 UTC; 0: unknown
	Question    *Question   `json:"question,omitempty"`
}

// Resolved returns the unit of today when there is no doubt left.
func (s Standardised) Resolved() (Candidate, bool) {
	if s.Question != nil || len(s.Now) != 1 {
		return Candidate{}, false
	}
	return s.Now[0], true
}

// Config sets up a Standardiser.
type Config struct {
	// Threshold is the confidence below which a person is asked; 0 means 0.75.
	Threshold float64
	// Now says what today is, for the names of provinces; nil means time.Now.
	Now func() time.Time
}

// Standardiser reads addresses. It is safe for any number of goroutines.
type Standardiser struct {
	index     *index
	threshold float64
	rulings   atomic.Pointer[map[string]Ruling]
	scratch   sync.Pool
}

// New builds the index of the units of both periods, which takes some tens of milliseconds.
func New(d *dictionary.Dictionary, config Config) *Standardiser {
	if config.Threshold == 0 {
		config.Threshold = 0.75
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return newOn(buildIndex(d, config.Now()), config.Threshold)
}

func newOn(ix *index, threshold float64) *Standardiser {
	s := &Standardiser{index: ix, threshold: threshold}
	s.scratch.New = func() any {
		return &scratch{reader: reader{folder: s.index.folder, words: s.index.words}}
	}
	return s
}

// UseRulings replaces what people have ruled; calls after it follow the new rulings.
func (s *Standardiser) UseRulings(rulings []Ruling) {
	byKey := make(map[string]Ruling, len(rulings))
	for _, r := range rulings {
		byKey[r.Key] = r
	}
	s.rulings.Store(&byKey)
}

// ListVersion is the version of the reference data behind every answer.
func (s *Standardiser) ListVersion() string { return s.index.version }

// Unit returns a unit of today by its code.
func (s *Standardiser) Unit(code string) (Candidate, bool) {
	id, known := s.index.today[code]
	if !known {
		return Candidate{}, false
	}
	return s.index.units[id].shown[0], true
}

func (s *Standardiser) period(asOf int64) Period {
	switch {
	case asOf == Unknown:
		return Undated
	case asOf < s.index.reform:
		return Before
	}
	return Since
}

// Standardise reads the text as it was meant at the time: microseconds since 1970 UTC, or
// Unknown.
func (s *Standardiser) Standardise(text string, asOf int64) Standardised {
	w, ok := s.scratch.Get().(*scratch)
	if !ok {
		w = &scratch{reader: reader{folder: s.index.folder, words: s.index.words}}
	}
	defer s.scratch.Put(w)
	period := s.period(asOf)
	s.index.scan(w, text)
	s.index.read(w)
	v := s.decide(w, period, 0)
	if v.doubt == DoubtNotFound || v.doubt == DoubtUnclear {
		if s.index.addTypos(w) {
			s.index.read(w)
			if second := s.decide(w, period, 2); second.doubt == "" || len(v.readings) == 0 {
				v = second
			}
		}
	}
	result := Standardised{Original: text, ListVersion: s.index.version, AsOf: asOf}
	s.answer(w, &v, period, &result)
	return result
}

// answer writes the result of a verdict.
func (s *Standardiser) answer(w *scratch, v *verdict, period Period, result *Standardised) {
	ix := s.index
	result.Method, result.Confidence, result.Reasons = ByName, v.confidence, v.reasons
	if len(v.readings) == 0 {
		result.Method = NotFound
	} else {
		if v.readings[0].typo > 0 {
			result.Method = ByTypo
		}
		result.Detail = ix.detail(w, &v.readings[0], result.Original)
	}
	for i := range v.readings {
		result.Reasons |= ix.fateReason(v.readings[i].unit)
	}
	if len(v.readings) == 1 {
		result.Then = ix.units[v.readings[0].unit].then
	} else {
		result.Then = ix.candidates(v.readings)
	}
	if v.doubt == "" {
		result.Now = ix.units[v.now].answer
		return
	}
	result.Now = ix.possible(v.readings)
	if len(v.readings) == 0 {
		result.Reasons |= ReasonNotFound
	}
	if v.doubt != DoubtUnclear {
		result.Confidence = min(result.Confidence, s.threshold) * 0.6
	}
	q := ix.question(w, v, period, result)
	s.rule(q, result)
}

func (ix *index) fateReason(id int32) Reasons {
	u := &ix.units[id]
	var r Reasons
	if u.narrowed {
		r = ReasonWords
	}
	switch u.fate {
	case fateToday:
		return r | ReasonToday
	case fateWhole:
		return r | ReasonWhole
	case fateSplit:
		return r | ReasonSplit
	case fatePartial:
		return r | ReasonPartial
	case fateAmbiguous:
		return r | ReasonAmbiguous
	case fateUnmatched:
		return r | ReasonUnmatched
	}
	return r
}

// maxCandidates bounds what a question offers.
const maxCandidates = 20

func (ix *index) candidates(readings []reading) []Candidate {
	if len(readings) == 0 {
		return nil
	}
	list := make([]Candidate, 0, min(len(readings), maxCandidates))
	for i := range readings {
		if len(list) == maxCandidates {
			break
		}
		c := ix.units[readings[i].unit].shown[0]
		c.Share = 1
		list = append(list, c)
	}
	for i := range list {
		list[i].Share /= float64(len(list))
	}
	return list
}

// possible lists the units of today that the readings may lead to.
func (ix *index) possible(readings []reading) []Candidate {
	if len(readings) == 0 {
		return nil
	}
	if len(readings) == 1 {
		return ix.units[readings[0].unit].answer
	}
	var list []Candidate
	total := 0.0
	for i := range readings {
		for _, c := range ix.units[readings[i].unit].answer {
			total += addShare(&list, c)
		}
	}
	for i := range list {
		list[i].Share /= total
	}
	return list
}

func addShare(list *[]Candidate, c Candidate) float64 {
	for i := range *list {
		if (*list)[i].Code == c.Code {
			(*list)[i].Share += c.Share
			return c.Share
		}
	}
	if len(*list) == maxCandidates {
		return 0
	}
	*list = append(*list, c)
	return c.Share
}

// bounds are the tokens of the text that the reading uses.
func (w *scratch) bounds(r *reading) (first, last int32) {
	first, last = w.hits[r.commune].left, w.hits[r.commune].right
	for _, i := range [2]int16{r.district, r.province} {
		if i >= 0 {
			first, last = min(first, w.hits[i].left), max(last, w.hits[i].right)
		}
	}
	return first, last
}

// detailTokens are those beside the names: before them, or after them in a text that
// begins with the largest unit.
func (w *scratch) detailTokens(r *reading) (from, to int32) {
	first, last := w.bounds(r)
	if first == w.low && r.reasons&ReasonOrder != 0 {
		return last, w.high
	}
	return w.low, first
}

// detail is the part of the original beside the names. It is cut, never changed.
func (ix *index) detail(w *scratch, r *reading, original string) string {
	from, to := w.detailTokens(r)
	if from >= to {
		return ""
	}
	tokens := w.reader.tokens
	start, end := tokens[from].start, tokens[to-1].end
	if from == w.low && w.low == 0 && len(tokens) < maxTokens {
		start = 0
	}
	return strings.Trim(original[start:end], " \t\r\n,;-–.:(/")
}

// Code reads a commune code as it was meant at the time. A code without a date is
// ambiguous: nearly all codes of today stood for another unit before.
func (s *Standardiser) Code(code string, asOf int64) Standardised {
	ix := s.index
	result := Standardised{Original: code, Method: ByCode, Confidence: 1, Reasons: ReasonCode, ListVersion: ix.version, AsOf: asOf}
	period := s.period(asOf)
	key, padded, readable := codeKey(code)
	if padded {
		result.Reasons |= ReasonZeros
		result.Confidence -= 0.05
	}
	before, knownBefore := ix.before[key]
	today, knownToday := ix.today[key]
	var v verdict
	switch {
	case !readable:
		v.doubt = DoubtUnreadable
	case period == Before && knownBefore, period == Since && !knownToday && knownBefore:
		v.readings = []reading{{unit: before}}
		if period == Since {
			result.Reasons |= ReasonOldNames
		}
	case period == Since && knownToday:
		v.readings = []reading{{unit: today}}
	case period == Before && knownToday:
		v.readings, v.doubt = []reading{{unit: today}}, DoubtPeriod
		result.Reasons |= ReasonNewNames
	case period == Undated && knownBefore && knownToday:
		v.readings = []reading{{unit: before}, {unit: today}}
	case period == Undated && knownBefore:
		v.readings = []reading{{unit: before}}
	case period == Undated && knownToday:
		// The links do not know all codes of before; this one may have been in use for another unit.
		v.readings, v.doubt = []reading{{unit: today}}, DoubtPeriod
	default:
		v.doubt = DoubtNotFound
	}
	if period == Undated {
		result.Reasons |= ReasonUndated
	}
	if v.doubt == "" {
		v.doubt, v.now = s.fate(v.readings)
	}
	for i := range v.readings {
		result.Reasons |= ix.fateReason(v.readings[i].unit)
	}
	if len(v.readings) == 1 {
		result.Then = ix.units[v.readings[0].unit].then
	} else {
		result.Then = ix.candidates(v.readings)
	}
	if v.doubt == "" {
		if len(v.readings) > 1 {
			result.Reasons |= ReasonBothPeriods
		}
		result.Now = ix.units[v.now].answer
		return result
	}
	result.Now = ix.possible(v.readings)
	result.Confidence *= 0.4
	if len(v.readings) == 0 {
		result.Method, result.Confidence = NotFound, 0.05
		result.Reasons |= ReasonNotFound
	}
	s.rule(ix.codeQuestion(key, &v, period, &result), &result)
	return result
}

// codeKey restores the zeros that spreadsheets drop.
func codeKey(code string) (key string, padded, readable bool) {
	key = strings.TrimSpace(code)
	if key == "" || len(key) > 5 {
		return "", false, false
	}
	for i := range len(key) {
		if !isDigit(key[i]) {
			return "", false, false
		}
	}
	if len(key) == 5 {
		return key, false, true
	}
	return strings.Repeat("0", 5-len(key)) + key, true, true
}
