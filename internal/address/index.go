package address

import (
	"slices"
	"strings"
	"time"

	"github.com/lienthong/lienthong/internal/dictionary"
)

// provinceSet is a set of provinces: those of before first, then those of today.
type provinceSet [2]uint64

func (s provinceSet) has(i int32) bool               { return s[i>>6]&(1<<(i&63)) != 0 }
func (s provinceSet) meets(other provinceSet) bool   { return s[0]&other[0]|s[1]&other[1] != 0 }
func (s provinceSet) with(o provinceSet) provinceSet { return provinceSet{s[0] | o[0], s[1] | o[1]} }
func (s provinceSet) empty() bool                    { return s[0]|s[1] == 0 }

// fate says what the links know of a unit of before.
type fate uint8

const (
	fateToday     fate = iota // a unit of today is its own answer
	fateWhole                 // it went as a whole to one unit
	fateSplit                 // to several
	fatePartial               // the rest went somewhere that the links do not say
	fateAmbiguous             // a link may mean it or another unit of the same name
	fateUnmatched             // the links name it, but its code is not known
)

// unit is a unit of the commune tier of one period.
type unit struct {
	today     bool
	kind      kind // 0: the name does not say it
	fate      fate
	narrowed  bool        // the words of the resolution named its district
	strict    provinceSet // where it is
	loose     provinceSet // where it is in the other period
	districts []int32     // where it is or was; nil: not known
	now       []int32     // units of today, the likeliest first
	shown     []Candidate // the unit itself
	then      []Candidate // the same for a unit of before, as part of the answer
	answer    []Candidate // units of today, with their shares
	name      int32
	squeezed  string
	letters   letters
}

type district struct {
	province int32
	kind     kind
	squeezed string
	letters  letters
	name     int32
	communes []int32
}

// alone is the set of one province.
func alone(i int32) provinceSet {
	var s provinceSet
	s[i>>6] = 1 << (i & 63)
	return s
}

// entry is one spelling of one thing that a name may mean. The signatures of its words
// begin at signatures[at].
type entry struct {
	target int32
	at     int32
}

// name is a sequence of words with all that it may mean.
type name struct {
	length    int32
	number    bool // a numbered ward: understood only with a type word before it
	provinces provinceSet
	cities    provinceSet // those of them that are centrally run
	spelling  []entry     // of provinces
	districts []entry
	communes  []entry
}

// index is the gazetteer of both periods. It never changes once it is built.
type index struct {
	folder     *folder
	words      map[string]int32
	types      []typeEntry // by word
	edges      map[uint64]int32
	nodes      []int32 // name of a node, -1 for none
	names      []name
	signatures []uint64
	units      []unit
	districts  []district
	provinces  []province
	today      map[string]int32 // code -> unit
	before     map[string]int32
	country    map[int32]bool // words of the country's name that may stand alone at an end
	viet, nam  int32
	former     int32 // "cũ"
	road       map[int32]bool
	locality   map[int32]bool
	numbered   map[int32]bool
	hamlet     map[int32]uint64
	person     map[int32]uint64 // with its signature
	version    string
	reform     int64
}

type province struct {
	code, name string
	today      bool
	city       bool
	squeezed   string
	name32     int32
	merged     []string // of a province of today: codes of before
	communes   []int32
	districts  []int32
}

type typeEntry struct {
	known     bool
	kind      kind
	before    int32
	pair      kind
	full      bool
	english   bool
	digits    bool
	signature uint64
	first     uint64 // signature of the word before
}

// builder fills an index.
type builder struct {
	*index
	reader reader
	exact  map[string]int32 // district key -> district
}

func buildIndex(d *dictionary.Dictionary, now time.Time) *index {
	ix := &index{
		folder: newFolder(), words: map[string]int32{"": 0}, edges: map[uint64]int32{}, nodes: []int32{-1},
		today: map[string]int32{}, before: map[string]int32{}, version: d.ReferenceVersion(), reform: dictionary.Reorganised(),
	}
	b := &builder{index: ix, reader: reader{folder: ix.folder, words: ix.words}, exact: map[string]int32{}}
	reform := time.UnixMicro(ix.reform)
	if now.Before(reform) {
		now = reform
	}
	b.typeWords()
	b.smallWords()
	b.addProvinces(d.Provinces(reform.Add(-time.Second)), false)
	b.addProvinces(d.Provinces(now), true)
	b.aliases()
	b.unitsOfToday(d.Communes(reform))
	b.unitsOfBefore(d)
	b.follow(d)
	b.scopes()
	return ix
}

// cut tokenises and interns every word.
func (b *builder) cut(text string) []token {
	b.reader.tokenise(text)
	for i := range b.reader.tokens {
		t := &b.reader.tokens[i]
		if t.word == 0 {
			plain := string(b.reader.plain[t.from:t.to])
			id, known := b.words[plain]
			if !known {
				id = int32(len(b.words))
				b.words[plain] = id
			}
			t.word = id
		}
	}
	return b.reader.tokens
}

func (b *builder) typeWords() {
	list := typeWords()
	b.types = make([]typeEntry, 2*len(list)+2)
	for _, w := range list {
		t := b.cut(w.word)[0]
		e := typeEntry{known: true, kind: w.kind, pair: w.pair, full: w.full, english: w.english, digits: w.digits, signature: t.signature}
		if w.before != "" {
			first := b.cut(w.before)[0]
			e.before, e.first = first.word, first.signature
		}
		b.types[t.word] = e
	}
}

func (b *builder) set(words ...string) map[int32]bool {
	set := map[int32]bool{}
	for _, w := range words {
		set[b.cut(w)[0].word] = true
	}
	return set
}

func (b *builder) signed(words ...string) map[int32]uint64 {
	set := map[int32]uint64{}
	for _, w := range words {
		t := b.cut(w)[0]
		set[t.word] = t.signature
	}
	return set
}

func (b *builder) smallWords() {
	tokens := b.cut("việt nam cũ")
	b.viet, b.nam, b.former = tokens[0].word, tokens[1].word, tokens[2].word
	b.country = b.set("vietnam", "vn")
	b.road = b.set(roadWords()...)
	words, numbers := localityWords()
	b.locality, b.numbered = b.set(words...), b.set(numbers...)
	b.person = b.signed("ông", "bà", "anh", "chị", "nhà", "chủ", "hộ", "sđt", "đt", "tel", "mr", "ms", "mrs")
	b.hamlet = b.signed("thôn", "ấp", "bản", "buôn", "làng", "xóm", "khóm", "đường", "phố", "plei", "đội")
}

// base returns the words of a name without the type, and the type.
func (b *builder) base(full string) ([]token, kind) {
	tokens := b.cut(full)
	if len(tokens) < 2 {
		return tokens, 0
	}
	if e := b.typeOf(tokens[0].word); e.known && e.full && e.kind != 0 && e.signature == tokens[0].signature {
		return tokens[1:], e.kind
	}
	if e := b.typeOf(tokens[1].word); len(tokens) > 2 && e.known && e.pair != 0 && e.before == tokens[0].word && e.first == tokens[0].signature && e.signature == tokens[1].signature {
		return tokens[2:], e.pair
	}
	return tokens, 0
}

func (ix *index) typeOf(word int32) *typeEntry {
	if int(word) < len(ix.types) {
		return &ix.types[word]
	}
	return &ix.types[0]
}

// spell puts the words into the tree of names and returns the name and where the
// signatures of this spelling are.
func (b *builder) spell(tokens []token) (id, at int32) {
	node := int32(0)
	at = int32(len(b.signatures))
	for _, t := range tokens {
		key := uint64(node)<<32 | uint64(t.word)
		next, known := b.edges[key]
		if !known {
			next = int32(len(b.nodes))
			b.nodes = append(b.nodes, -1)
			b.edges[key] = next
		}
		node = next
		b.signatures = append(b.signatures, t.signature)
	}
	if b.nodes[node] < 0 {
		b.nodes[node] = int32(len(b.names))
		b.names = append(b.names, name{length: int32(len(tokens)), number: len(tokens) == 1 && tokens[0].number})
	}
	return b.nodes[node], at
}

func (b *builder) squeeze(tokens []token) string {
	var s strings.Builder
	for _, t := range tokens {
		s.Write(b.reader.plain[t.from:t.to])
	}
	return s.String()
}

func (b *builder) addProvinces(list []dictionary.Province, today bool) {
	for i := range list {
		p := &list[i]
		tokens, _ := b.base(p.NameVi)
		at := int32(len(b.provinces))
		b.provinces = append(b.provinces, province{code: p.Code, name: p.NameVi, today: today, city: p.City, squeezed: b.squeeze(tokens), merged: p.MergedFrom})
		b.provinces[at].name32 = b.addProvinceName(tokens, at)
		squeezed := b.provinces[at].squeezed
		b.addProvinceName(b.cut(squeezed), at)
	}
}

func (b *builder) addProvinceName(tokens []token, target int32) int32 {
	id, at := b.spell(tokens)
	n := &b.names[id]
	n.provinces = n.provinces.with(alone(target))
	if b.provinces[target].city {
		n.cities = n.cities.with(alone(target))
	}
	n.spelling = append(n.spelling, entry{target: target, at: at})
	return id
}

func (b *builder) aliases() {
	for _, a := range provinceAliases() {
		for _, wanted := range a.names {
			key := b.squeeze(b.cut(wanted))
			for i := range b.provinces {
				if b.provinces[i].squeezed == key {
					b.addProvinceName(b.cut(a.alias), int32(i))
				}
			}
		}
	}
}

func (b *builder) provinceIndex(code string, today bool) int32 {
	for i := range b.provinces {
		if b.provinces[i].code == code && b.provinces[i].today == today {
			return int32(i)
		}
	}
	return -1
}

func (b *builder) addUnit(u unit, fullName string) int32 {
	tokens, k := b.base(fullName)
	u.kind = k
	u.squeezed = b.squeeze(tokens)
	u.letters = lettersOf(u.squeezed)
	id := int32(len(b.units))
	u.name = b.addCommuneName(tokens, id)
	b.units = append(b.units, u)
	return id
}

func (b *builder) addCommuneName(tokens []token, target int32) int32 {
	id, at := b.spell(tokens)
	n := &b.names[id]
	for _, e := range n.communes {
		if e.target == target && slices.Equal(b.signatures[e.at:e.at+n.length], b.signatures[at:at+n.length]) {
			b.signatures = b.signatures[:at]
			return id
		}
	}
	n.communes = append(n.communes, entry{target: target, at: at})
	return id
}

func (b *builder) unitsOfToday(list []dictionary.Unit) {
	for i := range list {
		u := &list[i]
		p := b.provinceIndex(u.Province, true)
		var set provinceSet
		set = set.with(alone(p))
		shown := []Candidate{{Code: u.Code, Name: u.Name, Province: u.Province, ProvinceName: b.provinces[p].name, Share: 1}}
		id := b.addUnit(unit{today: true, strict: set, fate: fateToday, shown: shown, then: shown, answer: shown}, u.Name)
		b.units[id].now = []int32{id}
		b.today[u.Code] = id
	}
}

// unitsOfBefore adds the units whose codes the links know, and those that they only name.
func (b *builder) unitsOfBefore(d *dictionary.Dictionary) {
	before := d.Communes(time.UnixMicro(b.reform).Add(-time.Second))
	where := map[string]provinceSet{} // of a district's name
	for i := range before {
		if u := &before[i]; u.Province != "" {
			set := where[u.District]
			set = set.with(alone(b.provinceIndex(u.Province, false)))
			where[u.District] = set
		}
	}
	links := d.Links()
	possible := map[string]provinceSet{} // of a code whose province its link leaves open
	for i := range links {
		if codes := strings.Split(links[i].OldProvince, "|"); len(codes) > 1 {
			var set provinceSet
			for _, code := range codes {
				set = set.with(alone(b.provinceIndex(code, false)))
			}
			for _, code := range links[i].Candidates() {
				possible[code] = set
			}
		}
	}
	for i := range before {
		u := &before[i]
		var set provinceSet
		if u.Province != "" {
			set = set.with(alone(b.provinceIndex(u.Province, false)))
		} else {
			open, known := possible[u.Code], where[u.District]
			set = provinceSet{open[0] & known[0], open[1] & known[1]}
			if set.empty() {
				set = open
			}
		}
		shown := Candidate{Code: u.Code, Name: u.Name, District: u.District, Share: 1}
		var districts []int32
		for p := range b.provinces {
			if set.has(int32(p)) {
				districts = append(districts, b.district(u.District, int32(p)))
				shown.Province, shown.ProvinceName = b.provinces[p].code, b.provinces[p].name
			}
		}
		if len(districts) > 1 {
			shown.Province, shown.ProvinceName = "", ""
		}
		one := []Candidate{shown}
		b.before[u.Code] = b.addUnit(unit{strict: set, districts: districts, shown: one, then: one}, u.Name)
	}
	for i := range links { // other spellings of the same unit
		if l := &links[i]; l.Match == dictionary.ExactMatch {
			tokens, _ := b.base(l.OldName)
			b.addCommuneName(tokens, b.before[l.OldCode])
			b.district(l.OldDistrict, b.provinceIndex(l.OldProvince, false))
		}
	}
}

// district returns the district of the name in a province of before.
func (b *builder) district(full string, p int32) int32 {
	tokens, k := b.base(full)
	squeezed := b.squeeze(tokens)
	key := squeezed + "|" + string(rune(k)) + "|" + b.provinces[p].code
	id, known := b.exact[key]
	if !known {
		id = int32(len(b.districts))
		b.exact[key] = id
		b.districts = append(b.districts, district{province: p, kind: k, squeezed: squeezed, letters: lettersOf(squeezed)})
	}
	nameID, at := b.spell(tokens)
	n := &b.names[nameID]
	for _, e := range n.districts {
		if e.target == id && slices.Equal(b.signatures[e.at:e.at+n.length], b.signatures[at:at+n.length]) {
			b.signatures = b.signatures[:at]
			return id
		}
	}
	n.districts = append(n.districts, entry{target: id, at: at})
	b.districts[id].name = nameID
	return id
}

// scopes lists what a known province or district holds, for names with typing errors.
func (b *builder) scopes() {
	for i := range b.units {
		u := &b.units[i]
		both := u.strict.with(u.loose)
		for p := range b.provinces {
			if both.has(int32(p)) {
				b.provinces[p].communes = append(b.provinces[p].communes, int32(i))
			}
		}
		for _, d := range u.districts {
			b.districts[d].communes = append(b.districts[d].communes, int32(i))
		}
	}
	for i := range b.districts {
		p := &b.provinces[b.districts[i].province]
		p.districts = append(p.districts, int32(i))
		for j := range b.provinces {
			if slices.Contains(b.provinces[j].merged, p.code) {
				b.provinces[j].districts = append(b.provinces[j].districts, int32(i))
			}
		}
	}
}
