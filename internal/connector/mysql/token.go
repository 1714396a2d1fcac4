package mysql

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
)

// token is where to resume, in words of the server: what the order of a position does
// not say.
type token struct {
	file   string // empty: only the transactions' identifiers say where
	pos    uint64 // offset of the next event
	base   uint64 // place of the file's first byte on our line; without a file, of the file to come
	made   uint32 // when the server made the file, seconds: one of the same name may be another
	server uint32 // server_id
	at     uint32 // when the last transaction happened, seconds
	gtids  gtids  // all transactions before, when the server has identifiers
	// prepared are XA transactions before this place whose rows wait for their commit.
	prepared []preparedXA
}

// preparedXA is a transaction that was prepared and neither committed nor rolled back.
type preparedXA struct {
	id    string // as the log spells it: "X'666f6f',X'',1"
	file  string
	start uint64
}

// write makes the text: seven fields and, for each prepared transaction, three more,
// separated by blanks, with names escaped.
func (t *token) write() string {
	b := make([]byte, 0, 128)
	b = append(b, escape(t.file)...)
	for _, n := range [...]uint64{t.pos, t.base, uint64(t.made), uint64(t.server), uint64(t.at)} {
		b = append(b, ' ')
		b = strconv.AppendUint(b, n, 10)
	}
	b = append(b, ' ')
	b = t.gtids.appendText(b)
	for _, p := range t.prepared {
		b = append(b, ' ')
		b = append(b, escape(p.id)...)
		b = append(b, ' ')
		b = append(b, escape(p.file)...)
		b = append(b, ' ')
		b = strconv.AppendUint(b, p.start, 10)
	}
	return string(b)
}

// escape leaves the plain names of files as they are.
func escape(name string) string {
	for i := range len(name) {
		c := name[i]
		if c != '.' && c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return url.QueryEscape(name)
		}
	}
	return name
}

func parseToken(text string) (token, error) {
	bad := func() (token, error) {
		return token{}, &lienthong.Error{
			Code: "mysql.position", Where: text,
			Vi: "vị trí không do nguồn MySQL này ghi", En: "not a position of a MySQL source",
			Hint: "khởi động lại nguồn / start the source again",
		}
	}
	fields := strings.Split(text, " ")
	if len(fields) < 7 || (len(fields)-7)%3 != 0 {
		return bad()
	}
	var t token
	var ok [7]bool
	t.file, ok[0] = unescape(fields[0])
	t.pos, ok[1] = plainNumber(fields[1], 64)
	t.base, ok[2] = plainNumber(fields[2], 63)
	small := func(field string) (uint32, bool) {
		n, ok := plainNumber(field, 32)
		return uint32(n), ok
	}
	t.made, ok[3] = small(fields[3])
	t.server, ok[4] = small(fields[4])
	t.at, ok[5] = small(fields[5])
	t.gtids, ok[6] = parseGTIDs(fields[6])
	if slices.Contains(ok[:], false) || t.pos > 1<<48 || t.gtids.String() != fields[6] {
		return bad()
	}
	for rest := fields[7:]; len(rest) > 0; rest = rest[3:] {
		id, ok1 := unescape(rest[0])
		file, ok2 := unescape(rest[1])
		start, ok3 := plainNumber(rest[2], 48)
		if !ok1 || !ok2 || !ok3 || id == "" || file == "" {
			return bad()
		}
		t.prepared = append(t.prepared, preparedXA{id, file, start})
	}
	return t, nil
}

func unescape(text string) (string, bool) {
	name, err := url.QueryUnescape(text)
	return name, err == nil && escape(name) == text
}

// plainNumber reads a number as we write it: only digits, and none in front in vain.
func plainNumber(text string, bits int) (uint64, bool) {
	n, err := strconv.ParseUint(text, 10, bits)
	return n, err == nil && strconv.FormatUint(n, 10) == text
}
