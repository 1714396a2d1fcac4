package file

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"unicode/utf8"
)

// xmlScanner reads the XML of workbook parts as a stream of tokens without allocating.
// A sheet of a million rows has a hundred million tokens; a general decoder spends five
// times as long on them as all the rest of an import. What workbooks do not have, document
// type declarations above all, is refused.
type xmlScanner struct {
	in       io.Reader
	buffer   []byte
	pos, end int
	limit    int // bytes of one token
	ended    bool
	closing  bool // the last start tag was empty: its end comes next

	kind  xmlKind
	name  []byte // local name of a tag
	attrs []byte // attributes of a start tag, as written
	text  []byte // character data, as written
	cdata bool   // text is literal
}

type xmlKind uint8

const (
	xmlStart xmlKind = iota
	xmlEnd
	xmlText
)

var errXML = errors.New("not well-formed XML of a workbook")

func newXMLScanner(in io.Reader, limit int) *xmlScanner {
	return &xmlScanner{in: in, buffer: make([]byte, 64<<10), limit: max(limit, 64<<10)}
}

// fill reads more behind the unread bytes, moving them to the front.
func (s *xmlScanner) fill() error {
	if s.ended {
		return io.EOF
	}
	if s.pos > 0 {
		s.end = copy(s.buffer, s.buffer[s.pos:s.end])
		s.pos = 0
	}
	if s.end == len(s.buffer) {
		if len(s.buffer) >= s.limit {
			return errTooLarge
		}
		s.buffer = append(s.buffer, make([]byte, len(s.buffer))...)
	}
	for range 100 {
		n, err := s.in.Read(s.buffer[s.end:])
		s.end += n
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err != nil {
			s.ended = true
		}
		if n > 0 {
			return nil
		}
		if s.ended {
			return io.EOF
		}
	}
	return io.ErrNoProgress
}

// until finds the end of a token that starts at pos: find gets the bytes from pos and returns
// the length of the token, or -1 when it goes on.
func (s *xmlScanner) until(find func([]byte) int) (int, error) {
	for {
		if n := find(s.buffer[s.pos:s.end]); n >= 0 {
			return n, nil
		}
		if err := s.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				err = errXML
			}
			return 0, err
		}
	}
}

// next moves to the next token; io.EOF after the last.
func (s *xmlScanner) next() error {
	if s.closing {
		s.closing = false
		s.kind = xmlEnd
		return nil
	}
	for {
		if s.pos == s.end {
			if err := s.fill(); err != nil {
				return err
			}
		}
		if s.buffer[s.pos] != '<' {
			return s.characters()
		}
		for s.end-s.pos < 9 && !s.ended {
			if err := s.fill(); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
		}
		head := s.buffer[s.pos:s.end]
		switch {
		case bytes.HasPrefix(head, []byte("<?")):
			if err := s.skip("?>"); err != nil {
				return err
			}
		case bytes.HasPrefix(head, []byte("<!--")):
			if err := s.skip("-->"); err != nil {
				return err
			}
		case bytes.HasPrefix(head, []byte("<![CDATA[")):
			n, err := s.until(endOf("]]>"))
			if err != nil {
				return err
			}
			s.kind, s.cdata, s.text = xmlText, true, s.buffer[s.pos+9:s.pos+n-3]
			s.pos += n
			return nil
		case bytes.HasPrefix(head, []byte("<!")):
			return errXML
		default:
			return s.tag()
		}
	}
}

func endOf(mark string) func([]byte) int {
	return func(b []byte) int {
		i := bytes.Index(b, []byte(mark))
		if i < 0 {
			return -1
		}
		return i + len(mark)
	}
}

// skip drops a comment or instruction, however long it is.
func (s *xmlScanner) skip(mark string) error {
	for {
		i := bytes.Index(s.buffer[s.pos:s.end], []byte(mark))
		if i >= 0 {
			s.pos += i + len(mark)
			return nil
		}
		s.pos = max(s.pos, s.end-len(mark)+1)
		if err := s.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				err = errXML
			}
			return err
		}
	}
}

func (s *xmlScanner) characters() error {
	for {
		if i := bytes.IndexByte(s.buffer[s.pos:s.end], '<'); i >= 0 {
			s.kind, s.cdata, s.text = xmlText, false, s.buffer[s.pos:s.pos+i]
			s.pos += i
			return nil
		}
		err := s.fill()
		if errors.Is(err, io.EOF) {
			s.kind, s.cdata, s.text = xmlText, false, s.buffer[s.pos:s.end]
			s.pos = s.end
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// tagEnd is the length of a tag: up to a > that is not inside quotes.
func tagEnd(b []byte) int {
	quote := byte(0)
	for i, c := range b {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i + 1
		}
	}
	return -1
}

func (s *xmlScanner) tag() error {
	n, err := s.until(tagEnd)
	if err != nil {
		return err
	}
	inner := s.buffer[s.pos+1 : s.pos+n-1]
	s.pos += n
	s.kind = xmlStart
	if len(inner) > 0 && inner[0] == '/' {
		s.kind, inner = xmlEnd, inner[1:]
	} else if len(inner) > 0 && inner[len(inner)-1] == '/' {
		s.closing, inner = true, inner[:len(inner)-1]
	}
	end := 0
	start := 0
	for end < len(inner) && inner[end] > ' ' {
		if inner[end] == ':' {
			start = end + 1
		}
		end++
	}
	if start == end {
		return errXML
	}
	s.name, s.attrs = inner[start:end], inner[end:]
	return nil
}

func (s *xmlScanner) is(kind xmlKind, name string) bool {
	return s.kind == kind && string(s.name) == name
}

// attribute returns the raw value of the attribute with the local name.
func (s *xmlScanner) attribute(local string) []byte {
	rest := s.attrs
	for {
		equals := bytes.IndexByte(rest, '=')
		if equals < 0 {
			return nil
		}
		name := bytes.TrimSpace(rest[:equals])
		if colon := bytes.IndexByte(name, ':'); colon >= 0 {
			name = name[colon+1:]
		}
		rest = bytes.TrimLeft(rest[equals+1:], " \t\r\n")
		if len(rest) == 0 {
			return nil
		}
		end := bytes.IndexByte(rest[1:], rest[0])
		if rest[0] != '"' && rest[0] != '\'' || end < 0 {
			return nil
		}
		if string(name) == local {
			return rest[1 : end+1]
		}
		rest = rest[end+2:]
	}
}

// attributeText is an attribute without entities.
func (s *xmlScanner) attributeText(local string) string {
	return string(appendUnescaped(nil, s.attribute(local)))
}

// appendText appends the character data of the current token.
func (s *xmlScanner) appendText(dst []byte) []byte {
	if s.cdata {
		return append(dst, s.text...)
	}
	return appendUnescaped(dst, s.text)
}

// appendUnescaped replaces entities and brings line ends to \n. What is no entity stays as it is.
func appendUnescaped(dst, text []byte) []byte {
	for {
		i := bytes.IndexAny(text, "&\r")
		if i < 0 {
			return append(dst, text...)
		}
		dst = append(dst, text[:i]...)
		if text[i] == '\r' {
			if i+1 == len(text) || text[i+1] != '\n' {
				dst = append(dst, '\n')
			}
			text = text[i+1:]
			continue
		}
		end := bytes.IndexByte(text[i:min(len(text), i+12)], ';')
		if end < 0 {
			dst = append(dst, '&')
			text = text[i+1:]
			continue
		}
		r, ok := entity(string(text[i+1 : i+end]))
		if !ok {
			dst = append(dst, '&')
			text = text[i+1:]
			continue
		}
		dst = utf8.AppendRune(dst, r)
		text = text[i+end+1:]
	}
}

func entity(name string) (rune, bool) {
	switch name {
	case "amp":
		return '&', true
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	if len(name) < 2 || name[0] != '#' {
		return 0, false
	}
	base, digits := 10, name[1:]
	if digits[0] == 'x' || digits[0] == 'X' {
		base, digits = 16, digits[1:]
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || n == 0 || n > utf8.MaxRune {
		return 0, false
	}
	return rune(n), true
}

// unescapeControls undoes the form in which workbooks write control characters: _x000D_.
func unescapeControls(text []byte) []byte {
	at := bytes.Index(text, []byte("_x"))
	if at < 0 {
		return text
	}
	out := text[:at]
	for at < len(text) {
		if len(text)-at >= 7 && text[at] == '_' && text[at+1] == 'x' && text[at+6] == '_' {
			if n, err := strconv.ParseUint(string(text[at+2:at+6]), 16, 16); err == nil && (n < 0x20 || n == '_') {
				out = append(out, byte(n)) // shorter than what it replaces: out never overtakes at
				at += 7
				continue
			}
		}
		out = append(out, text[at])
		at++
	}
	return out
}
