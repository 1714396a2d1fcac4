package file

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// cleanName brings a header to one line in NFC, without the mark of mandatory columns.
func cleanName(name string) string {
	name = strings.Join(strings.Fields(norm.NFC.String(name)), " ")
	for _, mark := range []string{"(*)", "*"} {
		name = strings.TrimSpace(strings.TrimSuffix(name, mark))
	}
	return name
}

func sameName(a, b string) bool { return strings.EqualFold(cleanName(a), cleanName(b)) }

// header is where a file's columns are.
type header struct {
	// names by column of the file; empty where there is none. A heading that spans columns
	// stands before the heading under it: "Chủ hộ / Năm sinh".
	names []string
	// leaves are the lowest headings alone: "Năm sinh".
	leaves []string
	first  int // where the headings begin in the rows that were looked at
	rows   int // how many of the rows that were looked at come before the data

	places map[string]int // of names and lowest headings by nameKey; -1 when there are several
}

const maxHeaderRows = 3

// nameKey is what names have in common that sameName calls the same.
func nameKey(name string) string { return strings.ToLower(cleanName(name)) }

// column finds the column of a name: by its whole name, or by its lowest heading
// when no other column has the same.
func (h *header) column(name string) int {
	if h.places == nil {
		h.places = make(map[string]int, 2*len(h.names))
		for i := range h.leaves {
			key := nameKey(h.leaves[i])
			if _, taken := h.places[key]; taken {
				h.places[key] = -1
			} else {
				h.places[key] = i
			}
		}
		for i := len(h.names) - 1; i >= 0; i-- { // the first of several
			if key := nameKey(h.names[i]); key != nameKey(h.leaves[i]) || h.places[key] < 0 {
				h.places[key] = i
			}
		}
	}
	if at, known := h.places[nameKey(name)]; known && name != "" {
		return at
	}
	return -1
}

func (h *header) has(required []string) bool {
	for _, name := range required {
		if h.column(name) < 0 {
			return false
		}
	}
	return len(required) > 0
}

// cleanRows cleans all names once.
func cleanRows(rows [][]string) [][]string {
	clean := make([][]string, len(rows))
	for i, row := range rows {
		clean[i] = make([]string, len(row))
		for c := range row {
			clean[i][c] = cleanName(row[c])
		}
	}
	return clean
}

// findHeader looks for the rows that name all required columns. Titles may
// stand above them, and a row of column numbers below. Headings may span two or three rows with
// merged cells, of which only the first place has text.
func findHeader(rows [][]string, required []string) (header, bool) {
	rows = cleanRows(rows)
	for height := 1; height <= maxHeaderRows; height++ {
		for i := 0; i+height <= len(rows) && i < headerDistance; i++ {
			h := flatten(rows, i, height)
			if !h.has(required) {
				continue
			}
			return h.extend(rows, required), true
		}
	}
	return header{}, false
}

// guessHeader looks for a header without knowing any name: the first row that is about
// as wide as the table and holds only words, all different.
func guessHeader(rows [][]string) (header, bool) {
	rows = cleanRows(rows)
	widest := 0
	for _, row := range rows {
		widest = max(widest, filled(row))
	}
	for i := 0; i < len(rows) && i < headerDistance; i++ {
		n := filled(rows[i])
		if n*10 < widest*6 || n < min(2, widest) || !onlyWords(rows[i], 2) {
			continue
		}
		if i+1 == len(rows) && i > 0 {
			break
		}
		h := flatten(rows, i, 1)
		return h.extend(rows, nil), true
	}
	return header{}, false
}

// onlyWords reports whether all cells are words, and no word comes too often.
func onlyWords(row []string, most int) bool {
	seen := map[string]bool{}
	for _, text := range row {
		text = strings.ToLower(text)
		if text == "" {
			continue
		}
		letters := 0
		for _, r := range text {
			if unicode.IsLetter(r) {
				letters++
			}
		}
		if letters == 0 || utf8.RuneCountInString(text) > 120 {
			return false
		}
		seen[text] = true
	}
	return len(seen)*most >= filled(row)
}

// extend adds headings below and above, and leaves out a row of column numbers.
func (h *header) extend(rows [][]string, required []string) header {
	height := h.rows - h.first
	for height < maxHeaderRows && h.first+height < len(rows) && isSubHeader(rows[h.first:h.first+height], rows[h.first+height], required) {
		height++
	}
	first := h.first
	for first > 0 && h.first+height-first < maxHeaderRows && isGroupRow(rows[first-1], rows[first]) {
		first--
	}
	whole := flatten(rows, first, h.first+height-first)
	if whole.rows < len(rows) && isNumbering(rows[whole.rows]) {
		whole.rows++
	}
	return whole
}

// flatten makes names of the headings in some rows, which are clean.
func flatten(rows [][]string, first, height int) header {
	width := 0
	for _, row := range rows[first : first+height] {
		width = max(width, len(row))
	}
	h := header{names: make([]string, width), leaves: make([]string, width), first: first, rows: first + height}
	at := func(r, c int) string {
		if c >= len(rows[first+r]) {
			return ""
		}
		return rows[first+r][c]
	}
	// A heading without text of its own, above one with text, continues its left neighbour's.
	spanned := make([][]string, height)
	for r := range height {
		spanned[r] = make([]string, width)
		group := ""
		for c := range width {
			own, below := at(r, c), false
			for under := r + 1; under < height; under++ {
				below = below || at(under, c) != ""
			}
			// Under another group there is another place.
			if r > 0 && c > 0 && spanned[r-1][c] != spanned[r-1][c-1] {
				group = ""
			}
			switch {
			case own != "":
				group = own
				spanned[r][c] = own
			case below:
				spanned[r][c] = group
			}
		}
	}
	for c := range width {
		var parts []string
		for r := range height {
			if part := spanned[r][c]; part != "" && (len(parts) == 0 || !strings.EqualFold(parts[len(parts)-1], part)) {
				parts = append(parts, part)
			}
		}
		if len(parts) > 0 {
			h.names[c], h.leaves[c] = strings.Join(parts, " / "), parts[len(parts)-1]
		}
	}
	return h
}

func filled(row []string) int {
	n := 0
	for _, text := range row {
		if strings.TrimSpace(text) != "" {
			n++
		}
	}
	return n
}

// isSubHeader recognises a further row of headings: it has words under gaps, and
// nothing under the key columns or at least one heading, which are merged downwards.
func isSubHeader(above [][]string, row []string, required []string) bool {
	heading := func(c int) string {
		for r := len(above) - 1; r >= 0; r-- {
			if c < len(above[r]) && above[r][c] != "" {
				return above[r][c]
			}
		}
		return ""
	}
	gaps, clear := false, false
	width := len(row)
	for _, other := range above {
		width = max(width, len(other))
	}
	for c := range width {
		text, over := "", heading(c)
		if c < len(row) {
			text = row[c]
		}
		switch {
		case text == "" && over != "":
			clear = true
		case text != "" && over == "":
			gaps = true
		case text != "" && slices.ContainsFunc(required, func(r string) bool { return sameName(r, over) }):
			return false // a key column has a value: this is data
		}
		if text != "" && !strings.ContainsFunc(text, unicode.IsLetter) {
			return false
		}
	}
	return gaps && clear && onlyWords(row, 8) // groups repeat their words
}

// isGroupRow recognises a row of headings above the one that was found: fewer than
// below, each over a heading, and no title of the document.
func isGroupRow(row, below []string) bool {
	n := 0
	firstAt := -1
	for c, text := range row {
		if text == "" {
			continue
		}
		if firstAt < 0 {
			firstAt = c
		}
		n++
		if c >= len(below) || strings.TrimSpace(below[c]) == "" && c == 0 || utf8.RuneCountInString(text) > 60 || isTitle(text) {
			return false
		}
	}
	if n == 1 {
		return firstAt > 0 && filled(below) > 2
	}
	return n > 1 && n < filled(below)
}

func isTitle(text string) bool {
	upper := strings.ToUpper(text)
	for _, start := range []string{"CỘNG HOÀ", "CỘNG HÒA", "ĐỘC LẬP", "UBND", "UỶ BAN", "ỦY BAN", "DANH SÁCH", "BIỂU", "BẢNG", "MẪU", "SỔ ", "PHỤ LỤC", "BÁO CÁO", "ĐƠN VỊ TÍNH", "(KÈM", "SỐ LIỆU", "TỈNH ", "HUYỆN ", "XÃ ", "PHƯỜNG "} {
		if strings.HasPrefix(upper, start) {
			return true
		}
	}
	return false
}

// isNumbering recognises the row under many official headers that only numbers
// the columns: 1 2 3, (1) (2) (3), or A B 1 2 3=1+2.
func isNumbering(row []string) bool {
	number, letter, count := 0, 'A', 0
	for _, text := range row {
		text = strings.TrimSpace(text)
		text = strings.TrimSuffix(strings.TrimPrefix(text, "("), ")")
		text, _, _ = strings.Cut(text, "=")
		text = strings.TrimSpace(text)
		switch n, err := strconv.Atoi(text); {
		case err == nil && n == number+1:
			number = n
		case number == 0 && text == string(letter):
			letter++
		default:
			return false
		}
		count++
	}
	return count >= 3
}
