package linkage

import (
	"bytes"
	"strings"
)

// legalForm is the form of an enterprise.
type legalForm uint8

const (
	formUnknown     legalForm = iota
	formLimited               // công ty trách nhiệm hữu hạn, with one member or more
	formShares                // công ty cổ phần
	formPrivate               // doanh nghiệp tư nhân
	formCooperative           // hợp tác xã
	formHousehold             // hộ kinh doanh
	formPartnership           // công ty hợp danh
)

// firm is what a name says.
type firm struct {
	core       uint32 // the proper name, in the lexicon
	activities uint32 // a bit for each activity
	form       legalForm
	branch     bool
}

// phrase is words that say something about a firm and are not its own name.
type phrase struct {
	form     legalForm
	activity uint8 // + 1
	branch   bool
	noise    bool
	words    string // instead of them: "viet nam" for "vietnam"
}

// forms lists legal forms as people write them, without diacritics.
func forms() map[legalForm]string {
	return map[legalForm]string{
		formLimited: `cong ty trach nhiem huu han, cty trach nhiem huu han, trach nhiem huu han, cong ty tnhh, cty tnhh, ct tnhh, tnhh,
			company limited, co ltd, limited liability company, limited company, llc, ltd, limited`,
		formShares:      `cong ty co phan, cty co phan, cong ty cp, cty cp, ct cp, ctcp, co phan, cp, joint stock company, joint stock co, jsc, jsco`,
		formPrivate:     `doanh nghiep tu nhan, dn tu nhan, dntn, private enterprise`,
		formCooperative: `hop tac xa, htx, cooperative`,
		formHousehold:   `ho kinh doanh ca the, ho kinh doanh, hkd, household business, business household`,
		formPartnership: `cong ty hop danh, hop danh, partnership`,
	}
}

// activities lists what firms do, one activity a line: full, abbreviated, English.
func activities() []string {
	return []string{
		`thuong mai, tm, trading, commerce, commercial, trade`,
		`dich vu, dv, services, service`,
		`xay dung, xd, construction`,
		`san xuat, sx, manufacturing, production, manufacture`,
		`xuat nhap khau, xnk, import export, export import, import and export`,
		`dau tu, dt, investment, invest`,
		`phat trien, pt, development`,
		`van tai, vt, transport, transportation`,
		`tu van, tv, consulting, consultant, consultancy`,
		`cong nghe, technology, tech`,
		`du lich, dl, tourism, travel`,
		`bat dong san, bds, real estate`,
		`co khi, mechanical`,
		`noi that, furniture, interior`,
		`ky thuat, kt, engineering, technical`,
		`quang cao, qc, advertising`,
		`thiet bi, tb, equipment`,
		`vat lieu xay dung, vlxd, building materials`,
		`thuc pham, tp, food, foods`,
		`may mac, garment`,
		`nong nghiep, agriculture, agricultural`,
		`thuy san, seafood`,
		`duoc pham, pharmaceutical, pharma`,
		`van chuyen, logistics`,
		`giao duc, education`,
		`kinh doanh, kd, business`,
		`truyen thong, media, communication`,
		`kien truc, architecture`,
	}
}

// firmParser takes the names of firms apart. It knows the longest phrase that begins at a
// word, by the numbers of the words in the lexicon.
type firmParser struct {
	lexicon *lexicon
	next    map[uint64]uint32 // node and plain word -> node
	ends    map[uint32]phrase
	nodes   uint32
	core    []byte // words of the proper name, as numbers
	spare   []byte // words of activities, which are the name of a firm that has no other
}

func newFirmParser(l *lexicon) *firmParser {
	p := &firmParser{lexicon: l, next: map[uint64]uint32{}, ends: map[uint32]phrase{}}
	add := func(list string, what phrase) {
		for words := range strings.SplitSeq(list, ",") {
			if words = strings.TrimSpace(words); words != "" {
				p.learn(words, what)
			}
		}
	}
	for form, list := range forms() {
		add(list, phrase{form: form})
	}
	for i, list := range activities() {
		add(list, phrase{activity: uint8(i) + 1})
	}
	add(`chi nhanh, branch, van phong dai dien, vpdd, representative office, dia diem kinh doanh`, phrase{branch: true})
	add(`cong ty, cty, company, corporation, corp, inc, doanh nghiep, mot thanh vien, 1 thanh vien, mtv, hai thanh vien tro len, hai thanh vien,
		one member, va, and, of, the, tai, tap doan, group, tong cong ty, tct`, phrase{noise: true})
	add(`vietnam, vn`, phrase{words: "viet nam"})
	return p
}

// learn adds one phrase.
func (p *firmParser) learn(words string, what phrase) {
	p.lexicon.folder.fold(words)
	node, from, fromMarked := uint32(0), 0, 0
	for _, w := range p.lexicon.folder.words {
		n := p.lexicon.word(p.lexicon.folder.marked[fromMarked:w.marked], p.lexicon.folder.plain[from:w.plain])
		from, fromMarked = w.plain, w.marked
		step := uint64(node)<<32 | uint64(p.lexicon.plainOf[n])
		if p.next[step] == 0 {
			p.nodes++
			p.next[step] = p.nodes
		}
		node = p.next[step]
	}
	p.ends[node] = what
}

// parse takes a name apart.
func (p *firmParser) parse(text string) firm {
	if text == "" {
		return firm{}
	}
	l := p.lexicon
	l.folder.fold(strings.ReplaceAll(text, "&", " va "))
	var words [maxWords]uint32
	var marks [maxWords]bool
	count, from, fromMarked := 0, 0, 0
	for i, w := range l.folder.words {
		words[i] = l.word(l.folder.marked[fromMarked:w.marked], l.folder.plain[from:w.plain])
		marks[i] = w.hasMarks
		from, fromMarked = w.plain, w.marked
		count++
	}
	var f firm
	p.core, p.spare = p.core[:0], p.spare[:0]
	coreMarks, spareMarks := false, false
	for at := 0; at < count; {
		what, length := p.longest(words[at:count])
		switch {
		case length == 0:
			if glued := p.glued(l.plainSet.bytes(l.plainOf[words[at]])); glued != 0 {
				f.activities |= glued
				p.spare = appendNumber(p.spare, words[at])
				at++
				continue
			}
			p.core, coreMarks = appendNumber(p.core, words[at]), coreMarks || marks[at]
			at++
			continue
		case what.words != "":
			for word := range strings.FieldsSeq(what.words) {
				p.core = appendNumber(p.core, l.word([]byte(word), []byte(word)))
			}
		case what.form != formUnknown && f.form == formUnknown:
			f.form = what.form
		case what.activity != 0:
			f.activities |= 1 << (what.activity - 1)
			for i := at; i < at+length; i++ {
				p.spare, spareMarks = appendNumber(p.spare, words[i]), spareMarks || marks[i]
			}
		case what.branch:
			f.branch = true
		}
		at += length
	}
	if len(p.core) == 0 {
		p.core, coreMarks = append(p.core, p.spare...), spareMarks
		f.activities = 0
	}
	if len(p.core) == 0 {
		return f
	}
	l.key = append(l.key[:0], p.core...)
	f.core = l.internWords(coreMarks)
	return f
}

// glued reads abbreviations that are written as one word: TMDV is TM and DV. It returns
// their activities, 0 when the word is anything else. No syllable is without a vowel.
func (p *firmParser) glued(word []byte) uint32 {
	if len(word) < 4 || bytes.ContainsAny(word, "aeiouy") {
		return 0
	}
	found := uint32(0)
	for len(word) > 0 {
		length := min(3, len(word))
		for ; length >= 2; length-- {
			n, known, _ := p.lexicon.plainSet.find(word[:length], hashBytes(word[:length]))
			if !known {
				continue
			}
			if what := p.ends[p.next[uint64(n)]]; what.activity != 0 {
				found |= 1 << (what.activity - 1)
				break
			}
		}
		if length < 2 {
			return 0
		}
		word = word[length:]
	}
	return found
}

// longest finds the longest phrase that the words begin with.
func (p *firmParser) longest(words []uint32) (what phrase, length int) {
	node := uint32(0)
	for i, w := range words {
		node = p.next[uint64(node)<<32|uint64(p.lexicon.plainOf[w])]
		if node == 0 {
			break
		}
		if found, ends := p.ends[node]; ends {
			what, length = found, i+1
		}
	}
	return what, length
}
