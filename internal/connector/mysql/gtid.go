package mysql

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// gtids is a set of global transaction identifiers: in MariaDB the last of each
// domain, in MySQL ranges of numbers by source. It is a value: changing one that was copied
// changes only that one.
type gtids struct {
	maria []mariaGTID
	mysql []sourceRanges
}

type mariaGTID struct {
	domain, server uint32
	sequence       uint64
}

type sourceRanges struct {
	source string // the server's UUID, with ":tag" where there is one
	ranges []gtidRange
}

// gtidRange is first..last, both included.
type gtidRange struct{ first, last uint64 }

func (g *gtids) empty() bool { return len(g.maria) == 0 && len(g.mysql) == 0 }

// addMaria says that a transaction of a domain is the last.
func (g *gtids) addMaria(next mariaGTID) {
	at, found := slices.BinarySearchFunc(g.maria, next, func(a, b mariaGTID) int { return int(int64(a.domain) - int64(b.domain)) })
	if !found {
		g.maria = slices.Insert(slices.Clone(g.maria), at, next)
		return
	}
	g.maria[at] = next
}

// addMySQL says that a transaction of a source is in the set.
func (g *gtids) addMySQL(source string, number uint64) {
	at, found := slices.BinarySearchFunc(g.mysql, source, func(a sourceRanges, b string) int { return strings.Compare(a.source, b) })
	if !found {
		g.mysql = slices.Insert(g.mysql, at, sourceRanges{source: source, ranges: []gtidRange{{number, number}}})
		return
	}
	s := &g.mysql[at]
	n, _ := slices.BinarySearchFunc(s.ranges, number, func(r gtidRange, n uint64) int {
		switch {
		case r.last < n:
			return -1
		case r.first > n:
			return 1
		}
		return 0
	})
	switch {
	case n < len(s.ranges) && s.ranges[n].first <= number:
		return // it is in already
	case n > 0 && s.ranges[n-1].last+1 == number:
		s.ranges[n-1].last = number
		if n < len(s.ranges) && s.ranges[n].first == number+1 {
			s.ranges[n-1].last = s.ranges[n].last
			s.ranges = slices.Delete(s.ranges, n, n+1)
		}
	case n < len(s.ranges) && s.ranges[n].first == number+1:
		s.ranges[n].first = number
	default:
		s.ranges = slices.Insert(s.ranges, n, gtidRange{number, number})
	}
}

// appendText writes the set as the server does.
func (g *gtids) appendText(dst []byte) []byte {
	for i, m := range g.maria {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(m.domain), 10)
		dst = append(dst, '-')
		dst = strconv.AppendUint(dst, uint64(m.server), 10)
		dst = append(dst, '-')
		dst = strconv.AppendUint(dst, m.sequence, 10)
	}
	for i, s := range g.mysql {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, s.source...)
		for _, r := range s.ranges {
			dst = append(dst, ':')
			dst = strconv.AppendUint(dst, r.first, 10)
			if r.last != r.first {
				dst = append(dst, '-')
				dst = strconv.AppendUint(dst, r.last, 10)
			}
		}
	}
	return dst
}

// parseGTIDs reads what a server writes of itself: "0-1-77,2-1-5" or
// "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7,…", perhaps with line ends.
func parseGTIDs(text string) (gtids, bool) {
	var g gtids
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if strings.Contains(part, ":") {
			if !g.parseMySQL(part) {
				return gtids{}, false
			}
			continue
		}
		fields := strings.Split(part, "-")
		if len(fields) != 3 {
			return gtids{}, false
		}
		domain, err1 := strconv.ParseUint(fields[0], 10, 32)
		server, err2 := strconv.ParseUint(fields[1], 10, 32)
		sequence, err3 := strconv.ParseUint(fields[2], 10, 64)
		if err1 != nil || err2 != nil || err3 != nil {
			return gtids{}, false
		}
		g.addMaria(mariaGTID{uint32(domain), uint32(server), sequence})
	}
	if len(g.maria) > 0 && len(g.mysql) > 0 {
		return gtids{}, false
	}
	return g, true
}

func (g *gtids) parseMySQL(part string) bool {
	fields := strings.Split(part, ":")
	server := strings.ToLower(fields[0])
	if raw, err := hex.DecodeString(strings.ReplaceAll(server, "-", "")); err != nil || len(raw) != 16 || len(server) != 36 {
		return false
	}
	source, any := server, false
	for _, field := range fields[1:] {
		field = strings.TrimSpace(field)
		if field == "" {
			return false
		}
		if field[0] < '0' || field[0] > '9' {
			if strings.Trim(field, "abcdefghijklmnopqrstuvwxyz_0123456789") != "" || len(field) > 32 {
				return false
			}
			source = server + ":" + field
			continue
		}
		from, to, isRange := strings.Cut(field, "-")
		first, err := strconv.ParseUint(from, 10, 63)
		last := first
		if err == nil && isRange {
			last, err = strconv.ParseUint(to, 10, 63)
		}
		if err != nil || first == 0 || last < first {
			return false
		}
		g.addRange(source, gtidRange{first, last})
		any = true
	}
	return any
}

// addRange joins a range of a source with those that are there.
func (g *gtids) addRange(source string, next gtidRange) {
	at, found := slices.BinarySearchFunc(g.mysql, source, func(a sourceRanges, b string) int { return strings.Compare(a.source, b) })
	if !found {
		g.mysql = slices.Insert(g.mysql, at, sourceRanges{source: source})
	}
	s := &g.mysql[at]
	s.ranges = append(s.ranges, next)
	slices.SortFunc(s.ranges, func(a, b gtidRange) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	joined := s.ranges[:1]
	for _, r := range s.ranges[1:] {
		if last := &joined[len(joined)-1]; r.first <= last.last+1 {
			last.last = max(last.last, r.last)
		} else {
			joined = append(joined, r)
		}
	}
	s.ranges = joined
}

// clone makes a copy that does not change with the original.
func (g *gtids) clone() gtids {
	other := gtids{maria: slices.Clone(g.maria), mysql: slices.Clone(g.mysql)}
	for i := range other.mysql {
		other.mysql[i].ranges = slices.Clone(other.mysql[i].ranges)
	}
	return other
}

func (g *gtids) String() string { return string(g.appendText(nil)) }

// sourceOf writes a GTID event's 16 bytes as the server's UUID.
func sourceOf(raw []byte) string {
	text := hex.EncodeToString(raw)
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// previousGTIDs reads the set that MySQL writes at the beginning of a file.
func previousGTIDs(body []byte) (gtids, bool) {
	var g gtids
	c := cut{rest: body}
	count := c.little(8)
	if count>>56 != 0 {
		return g, false // with tags: another format
	}
	for range count {
		source := c.bytes(16)
		n := c.little(8)
		if c.bad {
			return g, false
		}
		name := sourceOf(source)
		for range n {
			first, end := c.little(8), c.little(8)
			if c.bad || first == 0 || end <= first {
				return g, false
			}
			g.addRange(name, gtidRange{first, end - 1})
		}
	}
	return g, !c.bad
}

// follow takes what an event says of transactions into the set. It reports false when it
// cannot be read: the set is then not known from there on.
func (g *gtids) follow(ev *logEvent) bool {
	switch ev.kind {
	case eventPreviousGTIDs:
		set, ok := previousGTIDs(ev.body)
		if ok {
			*g = set
		}
		return ok
	case eventGTID:
		c := cut{rest: ev.body}
		c.byte()
		source, number := c.bytes(16), c.little(8)
		if c.bad {
			return false
		}
		g.addMySQL(sourceOf(source), number)
	case eventTaggedGTID:
		return false // another format, which no server of ours has written yet
	case eventMariaGTID:
		c := cut{rest: ev.body}
		sequence, domain := c.little(8), c.little(4)
		if c.bad {
			return false
		}
		g.addMaria(mariaGTID{uint32(domain), ev.server, sequence})
	}
	return true
}
