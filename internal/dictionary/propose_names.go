package dictionary

import (
	"math"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/lienthong/lienthong"
)

// nameIndex holds every name of every element, taken apart once. It is made when somebody
// first asks for a proposal, and never changes.
type nameIndex struct {
	variants []variant
	postings map[string][]int32 // word -> variants that have it
	weights  map[string]float64 // word -> how much it tells
	unknown  float64            // of words that no element uses
	known    map[string]bool    // what a name without separators may be made of
	phrases  map[string][][2][]string
}

// variant is one name of an element.
type variant struct {
	element int
	called  string
	words   []string
	synonym bool
	open    bool // any text would do: the element is no code
}

// lazyNames is the index of a dictionary, made at most once.
type lazyNames struct {
	once  sync.Once
	index *nameIndex
}

func (d *Dictionary) nameIndex() *nameIndex {
	d.names.once.Do(func() { d.names.index = newNameIndex(d.elements) })
	return d.names.index
}

func newNameIndex(elements []Element) *nameIndex {
	x := &nameIndex{postings: map[string][]int32{}, weights: map[string]float64{}, known: map[string]bool{}, phrases: phraseTable()}
	uses := map[string]map[int]bool{}
	for e := range elements {
		element := &elements[e]
		seen := map[string]bool{}
		for n, called := range append([]string{element.Name, element.NameVi, element.NameEn}, element.Synonyms...) {
			for _, w := range words(called) {
				for _, part := range append(short(w), w) {
					for _, one := range strings.Fields(part) {
						x.known[one] = len(one) > 1 || x.known[one]
					}
				}
			}
			readings := x.readings(words(called))
			key := strings.Join(readings[0], " ")
			if len(readings) > 1 || len(readings[0]) == 0 || seen[key] {
				continue // what can be read in several ways is no name to go by
			}
			seen[key] = true
			for _, w := range readings[0] {
				if uses[w] == nil {
					uses[w] = map[int]bool{}
				}
				uses[w][e] = true
			}
			x.variants = append(x.variants, variant{element: e, called: called, words: readings[0], synonym: n > 2, open: element.Kind == lienthong.Text && !element.Identifier && testName(element) == ""})
		}
	}
	for _, w := range sideWords() {
		x.known[w] = true
	}
	for w, of := range uses {
		x.weights[w] = math.Log(1 + float64(len(elements))/float64(len(of)))
	}
	x.unknown = math.Log(1 + float64(len(elements)))
	for i := range x.variants {
		v := &x.variants[i]
		for _, w := range v.words {
			if n := len(x.postings[w]); n == 0 || x.postings[w][n-1] != int32(i) {
				x.postings[w] = append(x.postings[w], int32(i))
			}
		}
	}
	return x
}

// weightOf is how much a word tells; one that no element uses tells most.
func (x *nameIndex) weightOf(word string) float64 {
	if w, known := x.weights[word]; known {
		return w
	}
	return x.unknown
}

// words takes a name apart: at every character that is no letter or digit, and where
// small letters are followed by a capital. Case and diacritics do not count.
func words(name string) []string {
	var spaced strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) {
			before := runes[i-1]
			next := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			// ngaySinh; CCCDChuHo, but neither CMND nor SoCMND.
			if unicode.IsLower(before) || unicode.IsDigit(before) || unicode.IsUpper(before) && next && i > 1 && unicode.IsUpper(runes[i-2]) {
				spaced.WriteByte(' ')
			}
		}
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Mn, r) {
			r = ' '
		}
		spaced.WriteRune(r)
	}
	return strings.Fields(PlainKey(spaced.String()))
}

// columnReadings are the ways in which a column's or table's name can be read: without prefixes
// and numbers that tools put there, taken apart where words were run together, abbreviations
// spelt out, and equal notions written alike.
func (x *nameIndex) columnReadings(name string) [][]string {
	own := words(name)
	for len(own) > 1 && (len(own[0]) == 1 || toolPrefix(own[0]) || allDigits(own[0])) {
		own = own[1:]
	}
	for len(own) > 1 && allDigits(own[len(own)-1]) {
		own = own[:len(own)-1]
	}
	var apart []string
	for _, w := range own {
		if stem := strings.TrimRight(w, "0123456789"); stem != "" && stem != w && !x.known[w] && stem != "m" {
			w = stem
		}
		apart = append(apart, x.apart(w)...)
	}
	return x.readings(apart)
}

// apart takes a word apart that is made of several: "ngaycapgcn".
func (x *nameIndex) apart(word string) []string {
	if x.known[word] || len(word) < 4 || len(word) > 60 || short(word) != nil {
		return []string{word}
	}
	type way struct{ pieces, from, squares int }
	best := make([]way, len(word)+1)
	for i := range best {
		best[i] = way{pieces: math.MaxInt32}
	}
	best[0].pieces = 0
	for end := 2; end <= len(word); end++ {
		for from := max(0, end-12); from <= end-2; from++ {
			if best[from].pieces == math.MaxInt32 || !x.known[word[from:end]] && short(word[from:end]) == nil {
				continue
			}
			w := way{best[from].pieces + 1, from, best[from].squares + (end-from)*(end-from)}
			if w.pieces < best[end].pieces || w.pieces == best[end].pieces && w.squares > best[end].squares {
				best[end] = w
			}
		}
	}
	if best[len(word)].pieces == math.MaxInt32 {
		return []string{x.corrected(word)}
	}
	var pieces []string
	for end := len(word); end > 0; end = best[end].from {
		pieces = append(pieces, word[best[end].from:end])
	}
	slices.Reverse(pieces)
	return pieces
}

// repeated are the words that no element uses and several columns of a table end or begin with: "hoTenTV", "ngaySinhTV". They only
// say what the table is about.
func (x *nameIndex) repeated(columns []ColumnSample) []string {
	counts := map[string]int{}
	for i := range columns {
		reading := x.columnReadings(columns[i].Name)[0]
		if len(reading) < 2 {
			continue
		}
		for _, w := range []string{reading[0], reading[len(reading)-1]} {
			if _, known := x.weights[w]; !known && !roleWord(w) {
				counts[w]++
			}
		}
	}
	var found []string
	for w, n := range counts {
		if n > 1 {
			found = append(found, w)
		}
	}
	slices.Sort(found)
	return found
}

// corrected is the known word that a long one is a letter away from.
func (x *nameIndex) corrected(word string) string {
	if len(word) < 7 {
		return word
	}
	found := word
	for known := range x.known {
		if known[0] == word[0] && len(known) >= len(word)-1 && len(known) <= len(word)+1 && editDistance(known, word) == 1 && (found == word || known < found) {
			found = known
		}
	}
	return found
}

// maxReadings bounds the readings of a name with several ambiguous abbreviations.
const maxReadings = 6

// readings spells abbreviations out, writes equal notions alike and drops words that tell nothing.
func (x *nameIndex) readings(own []string) [][]string {
	all := [][]string{nil}
	for _, w := range own {
		spelt := short(w)
		if spelt == nil {
			for i := range all {
				all[i] = append(all[i], w)
			}
			continue
		}
		var next [][]string
		for _, so := range all {
			for _, s := range spelt {
				if len(next) < maxReadings {
					next = append(next, append(slices.Clone(so), strings.Fields(s)...))
				}
			}
		}
		all = next
	}
	for i := range all {
		all[i] = x.alike(all[i])
	}
	return all
}

// alike replaces the longest phrases that mean a notion by its sign.
func (x *nameIndex) alike(own []string) []string {
	out := make([]string, 0, len(own))
	for i := 0; i < len(own); {
		matched := false
		for _, rule := range x.phrases[own[i]] {
			if from := rule[0]; len(own)-i >= len(from) && slices.Equal(own[i:i+len(from)], from) {
				out = append(out, rule[1]...)
				i += len(from)
				matched = true
				break
			}
		}
		if !matched {
			if !emptyWord(own[i]) {
				out = append(out, own[i])
			}
			i++
		}
	}
	if len(out) == 0 {
		return own
	}
	return out
}

// naming is how well a name fits an element.
type naming struct {
	score  float64
	called string
	role   bool // the column names somebody or something more: it means less than the element
}

// match scores the names of all elements against a name in its surroundings. The result is by
// element; zero: nothing in common.
func (x *nameIndex) match(readings [][]string, table, before []string) map[int]naming {
	found := map[int]naming{}
	for _, own := range readings {
		seen := map[int32]bool{}
		for _, w := range own {
			for _, i := range x.postings[w] {
				if seen[i] {
					continue
				}
				seen[i] = true
				v := &x.variants[i]
				n := x.compare(own, v, table, before)
				if n.score > found[v.element].score {
					found[v.element] = n
				}
			}
		}
	}
	return found
}

const (
	fromTable    = 0.55 // of a word's weight that the table says instead of the column
	initialsTell = 0.35 // of a word's weight, of initials that nobody has explained: "ho_ten_ncc"
	beyondTable  = 0.15 // of a word's weight that only repeats what the table is about
	missingRole  = 0.45 // an element of somebody, and the column does not say whose
	strangeRole  = 0.55 // the column is somebody's, and the element does not say whose
	otherOrder   = 0.98
	bySynonym    = 0.985 // where two elements have the name, it is rather the one that is called so
	missingPower = 1.5
	extraPower   = 0.9
)

func (x *nameIndex) compare(own []string, v *variant, table, before []string) naming {
	common, missing, extra := 0.0, 0.0, 0.0
	factor, role := 1.0, false
	for _, w := range v.words {
		weight := x.weights[w]
		switch {
		case slices.Contains(own, w):
			common += weight
		case slices.Contains(before, w):
			common += weight
		case slices.Contains(table, w):
			common += fromTable * weight
			missing += (1 - fromTable) * weight * 0.35
		case roleWord(w), documentWord(w):
			missing += weight
			factor *= missingRole
		default:
			missing += weight
		}
	}
	for _, w := range own {
		if slices.Contains(v.words, w) {
			continue
		}
		weight := x.weightOf(w)
		switch {
		case slices.Contains(table, w) || w == "lien" || w == "he":
			extra += beyondTable * weight
		case x.initials(w):
			extra += initialsTell * weight
		case v.open && (w == "ma" || w == "code"):
			extra += weight
			factor *= strangeRole
		case roleWord(w), documentWord(w):
			extra += weight
			factor *= strangeRole
			role = true
		default:
			extra += weight
		}
	}
	if common == 0 {
		return naming{}
	}
	if v.synonym {
		factor *= bySynonym
	}
	score := math.Pow(common/(common+missing), missingPower) * math.Pow(common/(common+extra), extraPower) * factor
	if missing == 0 && extra == 0 && !slices.Equal(own, v.words) {
		score *= otherOrder
	}
	return naming{score, v.called, role}
}

// initials are short words without a vowel that no element uses: people abbreviate what the table is about.
func (x *nameIndex) initials(word string) bool {
	_, known := x.weights[word]
	return !known && len(word) <= 4 && !strings.ContainsAny(word, "aeiouy0123456789@")
}

func allDigits(word string) bool {
	return strings.Trim(word, "0123456789") == ""
}

// toolPrefix tells what tools and old habits put in front of names.
func toolPrefix(word string) bool {
	switch word {
	case "tbl", "tb", "fld", "col", "str", "txt", "int", "num", "dtm", "dm", "ds", "td":
		return true
	}
	return false
}

// empty words tell nothing in a name.
func emptyWord(word string) bool {
	switch word {
	case "cua", "va", "theo", "duoc", "the", "of", "to", "a", "an", "in", "on", "by", "hoac", "or", "s", "at", "thong", "tin", "vnd", "m2", "hien", "gan", "nhat", "dtm":
		return true
	}
	return false
}

// roleWord words change whose or which value a name means: "ngày sinh" is not "ngày sinh của cha".
func roleWord(word string) bool {
	switch word {
	case "@cha", "@me", "@vo", "@chong", "@con", "@vochong", "@chuho", "@daidien", "@giamho", "@khai", "@chet", "@chuxe", "@chusd", "@ky", "@hkd", "@coquan", "@thuongtru", "@tamtru", "@hientai", "@nndc",
		"nguoi", "chu", "cu", "moi", "truoc", "sau", "old", "new", "before", "after", "parent", "huynh", "phu", "count", "id", "fk", "type", "loai", "status",
		"quan", "head", "owner", "manager", "ban", "mua", "tam", "khac", "other", "cap", "quy", "hoach", "planned", "lan", "dau", "cuoi", "thay", "doi",
		"insured", "doctor", "hieu", "truong", "nhan", "nop", "vien", "them", "het", "han", "so", "luong", "thuong", "permanent", "temporary", "current", "hientai", "nuoc", "ngoai":
		return true
	}
	return false
}
