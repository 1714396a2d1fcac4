package push

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// xmlDecoder reads <Root>…</Root>, or any number of them in <DanhSach>. Nothing but
// elements, text, comments and the declaration is accepted: no document type, so no
// entities; and attributes only to name namespaces and nulls.
type xmlDecoder struct {
	in        *xmlBytes
	maxRecord int
	tokens    *xml.Decoder
	single    bool
	started   bool
	ended     bool
}

// xmlBytes feeds the XML decoder byte by byte, as it asks for them, and keeps those of the
// record that is being read.
type xmlBytes struct {
	in   *bufio.Reader
	held []byte
	base int64 // offset of held[0]
	left int   // bytes that may still be held
}

func (x *xmlBytes) ReadByte() (byte, error) {
	if x.left <= 0 {
		return 0, errRecord
	}
	x.left--
	c, err := x.in.ReadByte()
	if err == nil {
		x.held = append(x.held, c)
	}
	return c, err
}

// Read is never called: the XML decoder uses ReadByte.
func (x *xmlBytes) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c, err := x.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = c
	return 1, nil
}

// forget drops what was held before an offset.
func (x *xmlBytes) forget(offset int64, allowed int) {
	n := copy(x.held, x.held[offset-x.base:])
	x.held, x.base, x.left = x.held[:n], offset, allowed
}

func newXMLDecoder(body io.Reader, maxRecord int) *xmlDecoder {
	in := &xmlBytes{in: bufio.NewReaderSize(body, readAhead), left: maxRecord}
	if mark, err := in.in.Peek(3); err == nil && bytes.Equal(mark, []byte("\ufeff")) {
		_, _ = in.in.Discard(3)
	}
	d := &xmlDecoder{in: in, maxRecord: maxRecord, tokens: xml.NewDecoder(in)}
	d.tokens.Strict = true
	d.tokens.CharsetReader = func(string, io.Reader) (io.Reader, error) { return nil, errEncoding }
	return d
}

func (d *xmlDecoder) batch() bool { return !d.single }

func (d *xmlDecoder) next() (*node, []byte, error) {
	for {
		if d.ended {
			return nil, nil, io.EOF
		}
		start := d.tokens.InputOffset()
		d.in.forget(start, d.maxRecord)
		token, err := d.tokens.Token()
		if errors.Is(err, io.EOF) {
			if !d.started {
				return nil, nil, errSyntax
			}
			d.ended = true
			return nil, nil, io.EOF
		}
		if err != nil {
			return nil, nil, xmlFailure(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			name := t.Name.Local
			switch {
			case !d.started && strings.EqualFold(name, "DanhSach"):
				d.started = true
				if _, err := attributes(t); err != nil {
					return nil, nil, err
				}
				continue
			case !d.started && strings.EqualFold(name, "Root"):
				d.started, d.single = true, true
			case d.single || !strings.EqualFold(name, "Root"):
				return nil, nil, errSyntax
			}
			var root node
			if err := d.element(t, &root, 0); err != nil {
				return nil, nil, err
			}
			if root.kind == textNode && root.text == "" {
				root.kind = objectNode
			}
			return &root, d.in.held[:d.tokens.InputOffset()-start], nil
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return nil, nil, errSyntax
			}
		case xml.ProcInst:
			if t.Target != "xml" {
				return nil, nil, errMarkup
			}
		case xml.Directive:
			return nil, nil, errMarkup
		case xml.EndElement, xml.Comment:
		}
	}
}

// attributes refuses those that would carry data, and reports whether the element is null.
func attributes(t xml.StartElement) (null bool, err error) {
	for _, a := range t.Attr {
		switch {
		case a.Name.Space == "xmlns", a.Name.Space == "" && a.Name.Local == "xmlns":
		case strings.HasSuffix(a.Name.Space, "XMLSchema-instance"), a.Name.Space == "xsi":
			null = null || a.Name.Local == "nil" && (a.Value == "true" || a.Value == "1")
		default:
			return false, errMarkup
		}
	}
	return null, nil
}

// element reads the rest of an element: either text, or elements.
func (d *xmlDecoder) element(start xml.StartElement, n *node, depth int) error {
	if depth > maxDepth {
		return errSyntax
	}
	n.name = start.Name.Local
	null, err := attributes(start)
	if err != nil {
		return err
	}
	var text []byte
	for {
		token, err := d.tokens.Token()
		if err != nil {
			return xmlFailure(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			var member node
			if err := d.element(t, &member, depth+1); err != nil {
				return err
			}
			n.members = append(n.members, member)
		case xml.CharData:
			text = append(text, t...)
		case xml.EndElement:
			switch {
			case len(n.members) > 0:
				n.kind = objectNode
				if len(bytes.TrimSpace(text)) > 0 {
					return errSyntax
				}
			case null:
				n.kind = nullNode
			default:
				n.kind, n.text = textNode, string(text)
			}
			return nil
		case xml.ProcInst, xml.Directive:
			return errMarkup
		case xml.Comment:
		}
	}
}

func xmlFailure(err error) error {
	for _, known := range [...]error{errRecord, errBody, errEncoding} {
		if errors.Is(err, known) {
			return known
		}
	}
	return errors.Join(errSyntax, err)
}
