package dictionary

import (
	"math"
	"slices"
	"strings"
)

// Code is one entry of a code list.
type Code struct {
	Code    string
	NameVi  string
	NameEn  string
	From    int64    // first instant of validity, microseconds since 1970 UTC; math.MinInt64: always was
	To      int64    // first instant after it; math.MaxInt64: still is
	Parent  string   // the code above it, in a list with levels
	Aliases []string // other ways to write it
}

// CodeList is a list of codes by date (danh mục). The same code may stand in it
// several times with different dates and names.
type CodeList struct {
	ID      string
	NameVi  string
	NameEn  string
	Source  string // legal basis or origin
	Version string
	From    int64 // validity of the list itself, as of its codes
	To      int64
	codes   []Code           // sorted by code, then by From
	index   map[string]int32 // of the first entry of a code
	links   []CodeLink       // sorted by From and instant
	// linksBack are indexes into links, sorted by To and instant.
	linksBack []int32
	reference bool // made from the dated reference data, not written by hand
}

// newCodeList sorts the codes and builds the index.
func newCodeList(id, nameVi, nameEn, source, version string, codes []Code) *CodeList {
	slices.SortFunc(codes, func(a, b Code) int {
		if order := strings.Compare(a.Code, b.Code); order != 0 {
			return order
		}
		switch {
		case a.From < b.From:
			return -1
		case a.From > b.From:
			return 1
		}
		return 0
	})
	list := &CodeList{ID: id, NameVi: nameVi, NameEn: nameEn, Source: source, Version: version, From: always, To: forever, codes: codes}
	list.index = make(map[string]int32, len(codes))
	for i := len(codes) - 1; i >= 0; i-- {
		list.index[codes[i].Code] = int32(i)
	}
	return list
}

// Codes returns the entries in order of code and date. Callers do not change them.
func (l *CodeList) Codes() []Code { return l.codes }

// Valid reports whether the code was valid at the instant (microseconds since
// 1970 UTC). It does not allocate.
func (l *CodeList) Valid(code []byte, at int64) bool {
	i, found := l.index[string(code)]
	if !found {
		return false
	}
	for ; int(i) < len(l.codes) && l.codes[i].Code == string(code); i++ {
		if l.codes[i].From <= at && at < l.codes[i].To {
			return true
		}
	}
	return false
}

// Lookup returns the entry of the code that was valid at the instant.
func (l *CodeList) Lookup(code string, at int64) (Code, bool) {
	i, found := l.index[code]
	if !found {
		return Code{}, false
	}
	for ; int(i) < len(l.codes) && l.codes[i].Code == code; i++ {
		if l.codes[i].From <= at && at < l.codes[i].To {
			return l.codes[i], true
		}
	}
	return Code{}, false
}

const (
	always  = math.MinInt64
	forever = math.MaxInt64
)

// translation turns what a source writes into a code. Exact spellings win; then
// names and aliases whatever their case and accents, where these name one code only.
type translation struct {
	exact  map[string][]byte
	match  map[string][]byte
	plain  map[string][]byte
	folded bool
}

// translationOf makes the table of a code list: codes, names and aliases.
func translationOf(list *CodeList) *translation {
	t := &translation{exact: map[string][]byte{}, match: map[string][]byte{}, plain: map[string][]byte{}, folded: true}
	for _, code := range list.codes {
		for _, spelling := range append([]string{code.Code, code.NameVi, code.NameEn}, code.Aliases...) {
			addSpelling(t.exact, spelling, code.Code)
			addSpelling(t.match, MatchKey(spelling), code.Code)
			addSpelling(t.plain, PlainKey(spelling), code.Code)
		}
	}
	// A code is always itself, whatever name of another code looks like it.
	for _, code := range list.codes {
		t.exact[code.Code] = []byte(code.Code)
	}
	return t
}

// addSpelling leaves nil where a spelling means two codes.
func addSpelling(table map[string][]byte, spelling, code string) {
	if spelling == "" {
		return
	}
	if known, found := table[spelling]; found && string(known) != code {
		table[spelling] = nil
		return
	}
	table[spelling] = []byte(code)
}

// translationTable makes the exact table that a definition spells out.
func translationTable(codes map[string]string) *translation {
	t := &translation{exact: make(map[string][]byte, len(codes))}
	for from, to := range codes {
		t.exact[from] = []byte(to)
	}
	return t
}

// translate returns the code for b, or b itself when the table does not know it.
// scratch is used for folding and returned, possibly grown.
func (t *translation) translate(b, scratch []byte) (result, grown []byte) {
	if code := t.exact[string(b)]; code != nil {
		return code, scratch
	}
	if !t.folded {
		return b, scratch
	}
	start := len(scratch)
	scratch = appendKey(scratch, b, true)
	if code := t.match[string(scratch[start:])]; code != nil {
		return code, scratch[:start]
	}
	scratch = appendKey(scratch[:start], b, false)
	if code := t.plain[string(scratch[start:])]; code != nil {
		return code, scratch[:start]
	}
	return b, scratch[:start]
}
