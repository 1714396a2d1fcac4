package push

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// decoder delivers the records of one request, one after another. The bytes are the
// record exactly as it was sent; both results are valid until the next call. At the end
// the error is io.EOF; any other ends the request.
type decoder interface {
	next() (*node, []byte, error)
	// batch reports whether the request is a batch. It is known after the first next.
	batch() bool
}

var (
	errSyntax   = errors.New("not well-formed")
	errRecord   = errors.New("the record is too large")
	errCount    = errors.New("totalRecords is not the number of records")
	errEncoding = errors.New("not UTF-8")
	errMarkup   = errors.New("document type, entity or processing instruction")
	errBody     = errors.New("the body is too large")
)

// allowance lets so many bytes pass and is filled up again for each record, so that a
// decoder behind it can never collect more.
type allowance struct {
	in   io.Reader
	left int
}

func (a *allowance) Read(p []byte) (int, error) {
	if a.left <= 0 {
		return 0, errRecord
	}
	if len(p) > a.left {
		p = p[:a.left]
	}
	n, err := a.in.Read(p)
	a.left -= n
	return n, err
}

// readAhead is what the decoders may hold beside one record.
const readAhead = 64 << 10

// jsonDecoder reads one message, a list of messages, or {totalRecords, data[]}.
type jsonDecoder struct {
	in        *allowance
	maxRecord int
	tokens    *json.Decoder
	whole     []byte // a single message
	single    bool
	started   bool
	object    bool // {totalRecords, data[]}, not a list
	ended     bool
	count     int64
	total     int64 // as announced; -1: not
	raw       json.RawMessage
	walker    jsonWalker
}

func newJSONDecoder(body io.Reader, maxRecord int) *jsonDecoder {
	return &jsonDecoder{in: &allowance{in: body}, maxRecord: maxRecord, total: -1}
}

func (d *jsonDecoder) batch() bool { return !d.single }

func (d *jsonDecoder) next() (*node, []byte, error) {
	d.in.left = d.maxRecord + readAhead
	if !d.started {
		if err := d.start(); err != nil {
			return nil, nil, err
		}
	}
	if d.ended {
		return nil, nil, io.EOF
	}
	if d.single {
		d.ended = true
		return d.record(d.whole)
	}
	if !d.tokens.More() {
		d.ended = true
		return nil, nil, d.finish()
	}
	d.raw = d.raw[:0]
	if err := d.tokens.Decode(&d.raw); err != nil {
		return nil, nil, jsonFailure(err)
	}
	d.count++
	return d.record(d.raw)
}

func (d *jsonDecoder) record(raw []byte) (*node, []byte, error) {
	if len(raw) > d.maxRecord {
		return nil, nil, errRecord
	}
	if !utf8.Valid(raw) {
		return nil, nil, errEncoding
	}
	root, err := d.walker.walk(raw)
	return root, raw, err
}

// start looks at the beginning of the body to see which form it has.
func (d *jsonDecoder) start() error {
	d.started = true
	head := make([]byte, 4096)
	n, err := io.ReadFull(d.in, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return jsonFailure(err)
	}
	head = head[:n]
	head = bytes.TrimPrefix(head, []byte("\ufeff"))
	body := io.MultiReader(bytes.NewReader(head), d.in)
	form := strings.TrimLeft(string(head), " \t\r\n")
	if form == "" {
		return errSyntax
	}
	d.object = batchObject(form)
	if form[0] != '[' && !d.object {
		return d.readSingle(body)
	}
	d.tokens = json.NewDecoder(body)
	if _, err := d.tokens.Token(); err != nil { // [ or {
		return jsonFailure(err)
	}
	if d.object {
		return d.members(true)
	}
	return nil
}

// batchObject reports whether the text begins with an object whose first member is one of a batch's.
func batchObject(form string) bool {
	rest, ok := strings.CutPrefix(form, "{")
	if !ok {
		return false
	}
	rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " \t\r\n"), `"`)
	if !ok {
		return false
	}
	name, _, ok := strings.Cut(rest, `"`)
	return ok && (strings.EqualFold(name, "totalRecords") || strings.EqualFold(name, "data"))
}

func (d *jsonDecoder) readSingle(body io.Reader) error {
	d.single = true
	whole, err := io.ReadAll(body) // the allowance bounds it
	if err != nil {
		return jsonFailure(err)
	}
	d.whole = bytes.Trim(whole, " \t\r\n")
	if len(d.whole) > d.maxRecord {
		return errRecord
	}
	if !json.Valid(d.whole) {
		return errSyntax
	}
	return nil
}

// members reads the members of the batch object up to the list, or after it to the end.
func (d *jsonDecoder) members(before bool) error {
	for d.tokens.More() {
		token, err := d.tokens.Token()
		if err != nil {
			return jsonFailure(err)
		}
		name, isName := token.(string)
		switch {
		case isName && strings.EqualFold(name, "totalRecords") && d.total < 0:
			if err := d.tokens.Decode(&d.total); err != nil || d.total < 0 {
				return jsonFailure(errors.Join(errSyntax, err))
			}
		case isName && strings.EqualFold(name, "data") && before:
			open, err := d.tokens.Token()
			if err != nil || open != json.Delim('[') {
				return jsonFailure(errors.Join(errSyntax, err))
			}
			return nil
		default:
			return errSyntax
		}
	}
	if before {
		return errSyntax // no data
	}
	if _, err := d.tokens.Token(); err != nil { // }
		return jsonFailure(err)
	}
	return nil
}

// finish reads what stands behind the last record.
func (d *jsonDecoder) finish() error {
	if _, err := d.tokens.Token(); err != nil { // ]
		return jsonFailure(err)
	}
	if d.object {
		if err := d.members(false); err != nil {
			return err
		}
	}
	if _, err := d.tokens.Token(); !errors.Is(err, io.EOF) {
		return jsonFailure(errors.Join(errSyntax, err))
	}
	if d.total >= 0 && d.total != d.count {
		return errCount
	}
	return io.EOF
}

// jsonFailure keeps the errors that say more than that the text is broken. io.EOF in the
// middle is a broken text.
func jsonFailure(err error) error {
	if errors.Is(err, errRecord) || errors.Is(err, errBody) {
		return err
	}
	return errors.Join(errSyntax, err)
}

// jsonWalker makes nodes of a JSON text that is known to be well-formed. The standard
// decoder would replace what is not a character; here it is refused.
type jsonWalker struct {
	data []byte
	at   int
}

const maxDepth = 32

func (w *jsonWalker) walk(data []byte) (*node, error) {
	w.data, w.at = data, 0
	var root node
	if err := w.value(&root, 0); err != nil {
		return nil, err
	}
	return &root, nil
}

func (w *jsonWalker) space() {
	for w.at < len(w.data) {
		switch w.data[w.at] {
		case ' ', '\t', '\r', '\n':
			w.at++
		default:
			return
		}
	}
}

func (w *jsonWalker) peek() byte {
	w.space()
	if w.at < len(w.data) {
		return w.data[w.at]
	}
	return 0
}

func (w *jsonWalker) value(n *node, depth int) error {
	if depth > maxDepth {
		return errSyntax
	}
	switch c := w.peek(); c {
	case 0:
		return errSyntax
	case '{', '[':
		n.kind = objectNode
		end := byte('}')
		if c == '[' {
			n.kind, end = arrayNode, ']'
		}
		w.at++
		for {
			switch w.peek() {
			case end:
				w.at++
				return nil
			case ',':
				w.at++
				continue
			case 0:
				return errSyntax
			}
			var member node
			if c == '{' {
				name, err := w.text()
				if err != nil {
					return err
				}
				member.name = name
				if w.peek() != ':' {
					return errSyntax
				}
				w.at++
			}
			if err := w.value(&member, depth+1); err != nil {
				return err
			}
			n.members = append(n.members, member)
		}
	case '"':
		text, err := w.text()
		n.kind, n.text = textNode, text
		return err
	}
	start := w.at
	for w.at < len(w.data) && !strings.ContainsRune(" \t\r\n,]}", rune(w.data[w.at])) {
		w.at++
	}
	if w.at == start {
		return errSyntax
	}
	n.kind, n.text = literalNode, string(w.data[start:w.at])
	if n.text == "null" {
		n.kind, n.text = nullNode, ""
	}
	return nil
}

// text reads a string.
func (w *jsonWalker) text() (string, error) {
	if w.peek() != '"' {
		return "", errSyntax
	}
	w.at++
	start := w.at
	for w.at < len(w.data) && w.data[w.at] != '"' && w.data[w.at] != '\\' {
		w.at++
	}
	if w.at < len(w.data) && w.data[w.at] == '"' {
		w.at++
		return string(w.data[start : w.at-1]), nil
	}
	made := append([]byte(nil), w.data[start:w.at]...)
	for w.at < len(w.data) {
		c := w.data[w.at]
		w.at++
		switch {
		case c == '"':
			return string(made), nil
		case c != '\\':
			made = append(made, c)
			continue
		case w.at >= len(w.data):
			return "", errSyntax
		}
		c = w.data[w.at]
		w.at++
		switch c {
		case 'b':
			made = append(made, '\b')
		case 'f':
			made = append(made, '\f')
		case 'n':
			made = append(made, '\n')
		case 'r':
			made = append(made, '\r')
		case 't':
			made = append(made, '\t')
		case 'u':
			r, err := w.escape()
			if err != nil {
				return "", err
			}
			if utf16.IsSurrogate(r) {
				if w.at+1 >= len(w.data) || w.data[w.at] != '\\' || w.data[w.at+1] != 'u' {
					return "", errEncoding
				}
				w.at += 2
				low, err := w.escape()
				if err != nil {
					return "", err
				}
				if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
					return "", errEncoding
				}
			}
			made = utf8.AppendRune(made, r)
		default:
			made = append(made, c) // " \ /
		}
	}
	return "", errSyntax
}

func (w *jsonWalker) escape() (rune, error) {
	if w.at+4 > len(w.data) {
		return 0, errSyntax
	}
	n, err := strconv.ParseUint(string(w.data[w.at:w.at+4]), 16, 16)
	if err != nil {
		return 0, errSyntax
	}
	w.at += 4
	return rune(n), nil
}
