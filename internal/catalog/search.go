package catalog

import (
	"cmp"
	"context"
	"math"
	"math/bits"
	"slices"
	"strings"

	"github.com/lienthong/lienthong/internal/dictionary"
)

// Place is where in a record a text was found.
type Place string

// Places lists them, with the weightiest first.
func Places() []Choice[Place] {
	return []Choice[Place]{
		{"code", Word{Vi: "mã", En: "code"}},
		{"name_vi", Word{Vi: "tên", En: "name"}},
		{"name_en", Word{Vi: "tên tiếng Anh", En: "English name"}},
		{"owner", Word{Vi: "chủ quản", En: "owner"}},
		{"dataset", Word{Vi: "tập dữ liệu", En: "dataset"}},
		{"object", Word{Vi: "đối tượng dữ liệu", En: "data object"}},
		{"element", Word{Vi: "phần tử dữ liệu", En: "data element"}},
		{"legal", Word{Vi: "căn cứ pháp lý", En: "legal basis"}},
		{"purpose", Word{Vi: "mục đích", En: "purpose"}},
		{"column", Word{Vi: "cột", En: "column"}},
	}
}

// weight is how much a place says about what a database is.
func (p Place) weight() float64 {
	switch p {
	case "code", "name_vi":
		return 10
	case "name_en":
		return 9
	case "owner", "dataset":
		return 6
	case "object":
		return 4
	case "element", "legal", "column":
		return 3
	}
	return 2
}

// Match is a text that was found.
type Match struct {
	Place Place
	Text  string
	Marks [][2]int // bytes of the text that were found, from and to
}

// Hit is a database that was found.
type Hit struct {
	Record  *Record // of the register: callers do not change it
	Score   float64
	Partial bool    // not every word of the question was found
	Matches []Match // the best first, at most 4
}

// index is an inverted index of the records. It never changes.
type index struct {
	records []Record
	fields  []field
	first   []int32 // of each record: its first field
	terms   []string
	posts   [][]posting // by term
	exacts  []string    // words with their diacritics
}

type field struct {
	record int32
	place  Place
	text   string
	words  []indexed
	length float64 // words that are not filler
}

type indexed struct {
	term       int32
	exact      int32 // into exacts
	start, end int32
}

// posting is one word of one field, with what a search needs to know of it, so that it need not look at the field.
type posting struct {
	field, record int32
	weight        float32
}

// newIndex reads all texts.
func newIndex(d *dictionary.Dictionary, records []Record) *index {
	x := &index{records: records, first: make([]int32, 0, len(records)+1)}
	b := indexBuilder{index: x, byTerm: map[string]int32{}, byExact: map[string]int32{}, dictionary: d}
	for i := range records {
		x.first = append(x.first, int32(len(x.fields)))
		b.addRecord(int32(i), &records[i])
	}
	x.first = append(x.first, int32(len(x.fields)))
	b.sortTerms()
	return x
}

type indexBuilder struct {
	*index
	byTerm     map[string]int32
	byExact    map[string]int32
	dictionary *dictionary.Dictionary
	seen       map[string]bool // texts of the record that is being read
}

func (b *indexBuilder) addRecord(n int32, r *Record) {
	b.seen = map[string]bool{}
	b.add(n, "code", r.Code, true)
	b.add(n, "name_vi", r.NameVi, false)
	b.add(n, "name_en", r.NameEn, false)
	for _, code := range []string{string(r.Owner), string(r.Manager), r.Operator} {
		b.add(n, "owner", code, false)
		if member, known := b.dictionary.Member(code); known {
			b.add(n, "owner", member.NameVi, true)
			b.add(n, "owner", member.NameEn, false)
		}
	}
	b.add(n, "purpose", r.PurposeVi, false)
	b.add(n, "purpose", r.PurposeEn, false)
	for _, l := range r.LegalBases {
		b.add(n, "legal", strings.TrimSpace(l.Number+" "+l.TitleVi), false)
	}
	for i := range r.Objects {
		b.add(n, "object", r.Objects[i].NameVi, false)
		b.add(n, "object", r.Objects[i].NameEn, false)
	}
	for i := range r.Views {
		b.addView(n, &r.Views[i])
	}
}

func (b *indexBuilder) addView(n int32, v *DatasetView) {
	b.add(n, "dataset", v.ID.Name, true)
	if v.Declared != nil {
		b.add(n, "dataset", v.Declared.TitleVi, false)
		b.add(n, "dataset", v.Declared.TitleEn, false)
		if v.Declared.Shape != nil {
			for _, c := range v.Declared.Shape.Columns {
				b.add(n, "column", c.Name, true)
				b.addElement(n, c.Element)
			}
		}
	}
	if v.Definition != nil {
		b.add(n, "dataset", v.Definition.TitleVi, false)
		b.add(n, "dataset", v.Definition.TitleEn, false)
		for i := range v.Definition.Columns {
			m := &v.Definition.Columns[i]
			for _, c := range columnsOf(m) {
				b.add(n, "column", c, true)
			}
			b.addElement(n, m.Element)
		}
	}
	if v.Seen != nil {
		for _, c := range v.Seen.Columns {
			b.add(n, "column", c.Name, true)
		}
	}
}

func (b *indexBuilder) addElement(n int32, id string) {
	if id == "" {
		return
	}
	b.add(n, "element", id, true)
	if e, known := b.dictionary.Element(id); known {
		b.add(n, "element", e.NameVi, false)
		b.add(n, "element", e.NameEn, false)
	}
}

// add reads one text. Together: it can also be asked for as one word, or by its initials.
func (b *indexBuilder) add(n int32, place Place, text string, together bool) {
	key := string(place) + "\x00" + text
	if text == "" || b.seen[key] {
		return
	}
	b.seen[key] = true
	words := joinDatabase(split(text))
	f := field{record: n, place: place, text: text}
	for _, w := range words {
		if !filler(w.plain) {
			f.length++
		}
	}
	if together && len(words) > 1 {
		whole := word{start: words[0].start, end: words[len(words)-1].end}
		if place == "owner" {
			whole.plain = initials(words)
		} else {
			for _, w := range words {
				whole.plain += w.plain
			}
		}
		whole.exact = whole.plain
		words = append(words, whole)
	}
	at := int32(len(b.fields))
	for _, w := range words {
		term, known := b.byTerm[w.plain]
		if !known {
			term = int32(len(b.terms))
			b.byTerm[w.plain] = term
			b.terms, b.posts = append(b.terms, w.plain), append(b.posts, nil)
		}
		exact, known := b.byExact[w.exact]
		if !known {
			exact = int32(len(b.exacts))
			b.byExact[w.exact] = exact
			b.exacts = append(b.exacts, w.exact)
		}
		b.posts[term] = append(b.posts[term], posting{field: at, record: n, weight: float32(place.weight())})
		f.words = append(f.words, indexed{term, exact, int32(w.start), int32(w.end)})
	}
	b.fields = append(b.fields, f)
}

// sortTerms brings the terms in order, so that the beginnings of words are found by halving.
func (b *indexBuilder) sortTerms() {
	order := make([]int32, len(b.terms))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(x, y int32) int { return strings.Compare(b.terms[x], b.terms[y]) })
	place := make([]int32, len(order))
	terms, posts := make([]string, len(order)), make([][]posting, len(order))
	for now, old := range order {
		place[old], terms[now], posts[now] = int32(now), b.terms[old], b.posts[old]
	}
	b.terms, b.posts = terms, posts
	for i := range b.fields {
		for j := range b.fields[i].words {
			b.fields[i].words[j].term = place[b.fields[i].words[j].term]
		}
	}
}

const (
	mostWords    = 8 // of a question; the others are ignored
	mostMatches  = 4
	beginning    = 0.75 // a word that begins like the asked one
	misspelt     = 0.5
	others       = 0.3 // of the score: words that stand in several texts
	otherAccents = 0.4 // the letters agree, the diacritics do not, although the question has some
)

// candidate is a term that a word of the question could mean.
type candidate struct {
	term    int32
	quality float64
}

// meanings finds the terms for a word.
func (x *index) meanings(w word) []candidate {
	at, exact := slices.BinarySearch(x.terms, w.plain)
	var list []candidate
	if exact {
		list = append(list, candidate{int32(at), 1})
		at++
	}
	if len(w.plain) > 1 {
		for ; at < len(x.terms) && strings.HasPrefix(x.terms[at], w.plain); at++ {
			list = append(list, candidate{int32(at), beginning})
		}
	}
	if len(list) > 0 || len(w.plain) < 4 {
		return list
	}
	asked := []rune(w.plain)
	for i, term := range x.terms {
		if difference := len(term) - len(w.plain); difference < -1 || difference > 1 || term[0] != w.plain[0] {
			continue
		}
		if distance(asked, []rune(term)) == 1 {
			list = append(list, candidate{int32(i), misspelt})
		}
	}
	return list
}

// question is a search under way.
type question struct {
	words    []word
	meanings []map[int32]float64 // of each word: terms with their quality
	asked    []uint8             // of each term: the words that it means, as bits
	rarity   []float64           // of each word
	accents  []bool              // of each word: it has diacritics
	required uint                // words that are not filler, as bits
	fields   []uint8             // of each field: the words that it has, as bits
}

// search ranks the records. An empty question finds nothing.
func (x *index) search(text string, limit int) []Hit {
	q := question{words: joinDatabase(split(text)), asked: make([]uint8, len(x.terms)), fields: make([]uint8, len(x.fields))}
	if len(q.words) > mostWords {
		q.words = q.words[:mostWords]
	}
	best := make([][mostWords]float32, len(x.records))
	var all uint
	for i, w := range q.words {
		all |= 1 << i
		if !filler(w.plain) {
			q.required |= 1 << i
		}
		q.accents = append(q.accents, w.exact != w.plain)
		terms := map[int32]float64{}
		candidates := x.meanings(w)
		found := 0
		for _, c := range candidates {
			found += len(x.posts[c.term])
		}
		rarity := math.Log(1 + float64(len(x.fields))/float64(1+found))
		q.rarity = append(q.rarity, rarity)
		for _, c := range candidates {
			terms[c.term] = c.quality
			q.asked[c.term] |= 1 << i
			score := float32(c.quality * rarity)
			for n := range x.posts[c.term] {
				p := &x.posts[c.term][n]
				q.fields[p.field] |= 1 << i
				got := score * p.weight
				if have := &best[p.record][i]; got > *have {
					*have = got
				}
			}
		}
		q.meanings = append(q.meanings, terms)
	}
	if q.required == 0 {
		q.required = all
	}
	found := x.gather(&q, best)
	slices.SortFunc(found, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.record, b.record))
	})
	if limit > 0 && len(found) > limit {
		found = found[:limit]
	}
	var hits []Hit
	for _, f := range found {
		hits = append(hits, Hit{Record: &x.records[f.record], Score: f.score, Partial: f.partial, Matches: x.matches(&q, f.record)})
	}
	return hits
}

// ranked is a record that was found.
type ranked struct {
	score   float64
	record  int32
	partial bool
}

// gather keeps the records that have every word, or, when there are none, those that have most of them.
func (x *index) gather(q *question, best [][mostWords]float32) []ranked {
	var whole, partial []ranked
	for r := range best {
		var have uint
		score, likeness := 0.0, 0.0
		for i := range q.words {
			if best[r][i] > 0 {
				have |= 1 << i
				score += float64(best[r][i])
			}
		}
		have &= q.required
		if have == 0 {
			continue
		}
		h := ranked{record: int32(r)}
		if have == q.required {
			h.score = others * score
			for at := x.first[r]; at < x.first[r+1]; at++ {
				if q.fields[at] != 0 && q.bound(&x.fields[at], q.fields[at]) > likeness {
					likeness = max(likeness, x.likeness(q, &x.fields[at]))
				}
			}
			h.score += likeness
			whole = append(whole, h)
		} else if 2*ones(have) > ones(q.required) {
			h.score, h.partial = score*float64(ones(have))/float64(ones(q.required)), true
			partial = append(partial, h)
		}
	}
	if len(whole) > 0 {
		return whole
	}
	return partial
}

func ones(set uint) int { return bits.OnesCount(set) }

// likeness is how well one text answers the question: the words that it has, those that stand side by side, and
// how little else it says.
func (x *index) likeness(q *question, f *field) float64 {
	var have, side uint
	sum, own, last := 0.0, 0.0, -2
	for i := range f.words {
		w := &f.words[i]
		if q.asked[w.term] == 0 {
			continue
		}
		k := q.word(w.term, last)
		if have&(1<<k) == 0 {
			sum += q.meanings[k][w.term] * q.rarity[k] * x.accent(q, k, w.exact)
			if !filler(q.words[k].plain) {
				own++
			}
		}
		have |= 1 << k
		if k == last+1 {
			side |= 1 << k
		}
		last = k
	}
	if have == 0 {
		return 0
	}
	return f.place.weight() * sum * (1 + 0.6*min(1, own/max(1, f.length)) + 0.3*float64(ones(side)))
}

// bound is what the likeness of a text with these words cannot exceed.
func (q *question) bound(f *field, set uint8) float64 {
	sum := 0.0
	for rest := set; rest != 0; rest &= rest - 1 {
		sum += q.rarity[bits.TrailingZeros8(rest)]
	}
	return f.place.weight() * sum * (1.6 + 0.3*float64(bits.OnesCount8(set)))
}

// word is the word of the question that a term means: the one after the last one, if it can be.
func (q *question) word(term int32, last int) int {
	set := q.asked[term]
	if next := last + 1; next >= 0 && next < len(q.words) && set&(1<<next) != 0 {
		return next
	}
	return bits.TrailingZeros8(set)
}

// accent is less than 1 when the question has other diacritics than the text.
func (x *index) accent(q *question, word int, exact int32) float64 {
	if q.accents[word] && !strings.HasPrefix(x.exacts[exact], q.words[word].exact) {
		return otherAccents
	}
	return 1
}

// matches shows where the words stand.
func (x *index) matches(q *question, n int32) []Match {
	type scored struct {
		Match
		score float64
	}
	var list []scored
	for at := x.first[n]; at < x.first[n+1]; at++ {
		f := &x.fields[at]
		m := scored{Match: Match{Place: f.place, Text: f.text}}
		for i := range f.words {
			w := &f.words[i]
			if q.asked[w.term] == 0 {
				continue
			}
			m.Marks = append(m.Marks, [2]int{int(w.start), int(w.end)})
		}
		m.score = x.likeness(q, f)
		if m.score > 0 {
			m.Marks = merge(m.Marks)
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	matches := make([]Match, 0, mostMatches)
	for _, m := range list[:min(len(list), mostMatches)] {
		matches = append(matches, m.Match)
	}
	return matches
}

// merge brings marks in order and joins those that overlap.
func merge(marks [][2]int) [][2]int {
	slices.SortFunc(marks, func(a, b [2]int) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	joined := marks[:0]
	for _, m := range marks {
		if n := len(joined); n > 0 && m[0] <= joined[n-1][1] {
			joined[n-1][1] = max(joined[n-1][1], m[1])
			continue
		}
		joined = append(joined, m)
	}
	return joined
}

// Search finds databases by their names, owners, elements and columns, in either language, with and without
// diacritics. The best stand first; limit 0 means all.
func (r *Register) Search(ctx context.Context, query string, limit int) ([]Hit, error) {
	s, err := r.state(ctx)
	if err != nil {
		return nil, err
	}
	return s.index.search(query, limit), nil
}
