package publish

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// xmlWriter writes indented XML from constants of ours and escaped values.
type xmlWriter struct {
	b     strings.Builder
	stack []string
}

// open begins an element; attributes are pairs of name and value, of which empty values are left out.
func (x *xmlWriter) open(name string, attributes ...string) {
	x.start(name, attributes)
	x.b.WriteString(">\n")
	x.stack = append(x.stack, name)
}

func (x *xmlWriter) start(name string, attributes []string) {
	x.indent()
	x.b.WriteString("<" + name)
	for i := 0; i+1 < len(attributes); i += 2 {
		if attributes[i+1] != "" {
			x.b.WriteString(" " + attributes[i] + `="` + escapeXML(attributes[i+1]) + `"`)
		}
	}
}

func (x *xmlWriter) indent() { x.b.WriteString(strings.Repeat("  ", len(x.stack))) }

// close ends the element that was opened last.
func (x *xmlWriter) close() {
	name := x.stack[len(x.stack)-1]
	x.stack = x.stack[:len(x.stack)-1]
	x.indent()
	x.b.WriteString("</" + name + ">\n")
}

// empty writes an element without content.
func (x *xmlWriter) empty(name string, attributes ...string) {
	x.start(name, attributes)
	x.b.WriteString("/>\n")
}

// text writes an element with text in it, unless the text is empty.
func (x *xmlWriter) text(name, text string, attributes ...string) {
	if text == "" {
		return
	}
	x.start(name, attributes)
	x.b.WriteString(">" + escapeXML(text) + "</" + name + ">\n")
}

func (x *xmlWriter) writeTo(w io.Writer) error {
	if _, err := io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+x.b.String()); err != nil {
		return fmt.Errorf("write XML: %w", err)
	}
	return nil
}

// escapeXML writes text so that it stays itself in content and in attributes. What XML
// cannot hold becomes U+FFFD.
func escapeXML(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '"':
			b.WriteString("&quot;")
		case !xmlChar(r):
			b.WriteRune('\ufffd')
		case r < ' ', r >= 0x7f && r <= 0xa0, r == 0x1680, r >= 0x2000 && r <= 0x206f, r == 0x3000:
			b.WriteString("&#x" + strconv.FormatInt(int64(r), 16) + ";")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
