package file

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// cleanName brings a header to one line, without the mark of mandatory columns.
func cleanName(name string) string {
	name = strings.Join(strings.Fields(name), " ")
	for _, mark := range []string{"(*)", "*"} {
		name = strings.TrimSpace(strings.TrimSuffix(name, mark))
	}
	return name
}

func sameName(a, b string) bool { return strings.EqualFold(cleanName(a), cleanName(b)) }

// header is where a file's columns are.
type header struct {
	names []string // by column of the file; empty where there is none
	rows  int      // how many of the rows that were looked at come before the data
}

// findHeader looks for the row that names all required columns. Titles may
// stand above it. A merged cell has its text only in its first place: where a
// row has nothing, the name comes from the row above, and below a group
// heading from the row under it.
func findHeader(rows [][]string, required []string) (header, bool) {
	for i := range rows {
		names := make([]string, len(rows[i]))
		for c := range rows[i] {
			names[c] = cleanName(rows[i][c])
			for up := i - 1; names[c] == "" && up >= 0 && up >= i-2; up-- {
				if c < len(rows[up]) && filled(rows[up]) > 1 { // one cell alone is a title
					names[c] = cleanName(rows[up][c])
				}
			}
		}
		if i > 0 {
			names = fromAbove(names, rows[i-1], required)
		}
		if !containsAll(names, required) {
			continue
		}
		h := header{names: names, rows: i + 1}
		if i+1 < len(rows) {
			h.addSubHeader(rows[i+1], required)
		}
		if h.rows < len(rows) && isNumbering(rows[h.rows]) {
			h.rows++
		}
		if i > 0 {
			separateTwins(h.names, rows[i-1])
		}
		return h, true
	}
	return header{}, false
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

// fromAbove takes names that the row above has beyond the end of this one.
func fromAbove(names, above, required []string) []string {
	if containsAll(names, required) {
		return names
	}
	longer := slices.Clone(names)
	for c := len(names); c < len(above); c++ {
		longer = append(longer, cleanName(above[c]))
	}
	if containsAll(longer, required) {
		return longer
	}
	return names
}

func containsAll(names, required []string) bool {
	for _, wanted := range required {
		if !slices.ContainsFunc(names, func(name string) bool { return sameName(name, wanted) }) {
			return false
		}
	}
	return len(required) > 0
}

// addSubHeader joins a second row of headings: one that has text where the
// first has gaps, and nothing in the key columns, which are merged downwards.
func (h *header) addSubHeader(below, required []string) {
	gaps := false
	for c, name := range below {
		if cleanName(name) == "" {
			continue
		}
		if c >= len(h.names) || h.names[c] == "" {
			gaps = true
			continue
		}
		if slices.ContainsFunc(required, func(r string) bool { return sameName(r, h.names[c]) }) {
			return // a key column has a value: this is data
		}
	}
	if !gaps {
		return
	}
	groups := slices.Clone(h.names)
	for c, name := range below {
		for c >= len(h.names) {
			h.names = append(h.names, "")
		}
		if name = cleanName(name); name != "" {
			h.names[c] = name
		}
	}
	h.rows++
	group := ""
	seen := map[string]int{}
	for _, name := range h.names {
		seen[strings.ToLower(name)]++
	}
	for c := range h.names {
		if c < len(groups) && groups[c] != "" {
			group = groups[c]
		}
		if h.names[c] != "" && seen[strings.ToLower(h.names[c])] > 1 && !sameName(group, h.names[c]) {
			h.names[c] = group + " / " + h.names[c]
		}
	}
}

// separateTwins is for a header whose group row stands above the row that was
// found: names that occur twice get their group in front.
func separateTwins(names, above []string) {
	seen := map[string]int{}
	for _, name := range names {
		seen[strings.ToLower(name)]++
	}
	group := ""
	for c := range names {
		if c < len(above) && cleanName(above[c]) != "" {
			group = cleanName(above[c])
		}
		if names[c] != "" && seen[strings.ToLower(names[c])] > 1 && group != "" && !sameName(group, names[c]) {
			names[c] = group + " / " + names[c]
		}
	}
}

// isNumbering recognises the row under many official headers that only numbers
// the columns: 1 2 3 or (1) (2) (3).
func isNumbering(row []string) bool {
	pattern := regexp.MustCompile(`^\(?(\d+)\)?$`)
	for c, text := range row {
		match := pattern.FindStringSubmatch(strings.TrimSpace(text))
		if match == nil || match[1] != strconv.Itoa(c+1) {
			return false
		}
	}
	return len(row) >= 3
}
