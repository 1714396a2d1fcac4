package publish

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// member is a member of a JSON object.
type member struct {
	name  string
	value any
}

// object is a JSON object that keeps the order of its members, so that the same
// content is always the same bytes and a reader finds the head first.
type object []member //nolint:recvcheck // add appends to a variable, everything else reads values

func (o *object) add(name string, value any) { *o = append(*o, member{name, value}) }

// some adds a text that is not empty.
func (o *object) some(name, value string) {
	if value != "" {
		o.add(name, value)
	}
}

func (o object) get(name string) (any, bool) {
	for i := range o {
		if o[i].name == name {
			return o[i].value, true
		}
	}
	return nil, false
}

// list is a JSON array; a list of short texts stands on one line.
type list []any

func texts[T ~string](values []T) list {
	made := make(list, len(values))
	for i, value := range values {
		made[i] = string(value)
	}
	return made
}

// writeJSON writes a value as indented JSON with a line end behind it.
func writeJSON(w io.Writer, value any) error {
	var b strings.Builder
	if err := appendJSON(&b, value, "\n"); err != nil {
		return err
	}
	b.WriteString("\n")
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

func appendJSON(b *strings.Builder, value any, newLine string) error {
	inner := newLine + "  "
	switch v := value.(type) {
	case object:
		if len(v) == 0 {
			b.WriteString("{}")
			return nil
		}
		b.WriteString("{")
		for i := range v {
			if i > 0 {
				b.WriteString(",")
			}
			b.WriteString(inner)
			appendJSONText(b, v[i].name)
			b.WriteString(": ")
			if err := appendJSON(b, v[i].value, inner); err != nil {
				return err
			}
		}
		b.WriteString(newLine + "}")
	case list:
		return appendList(b, v, newLine)
	case string:
		appendJSONText(b, v)
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case int:
		b.WriteString(strconv.Itoa(v))
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case nil:
		b.WriteString("null")
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("encode JSON: %w", err)
		}
		b.Write(text)
	}
	return nil
}

func appendList(b *strings.Builder, values list, newLine string) error {
	plain, width := true, 0
	for _, value := range values {
		text, isText := value.(string)
		plain = plain && (isText || value == nil)
		width += len(text) + 4
	}
	separator, inner := ",", newLine+"  "
	if plain && (width <= 100 || len(values) > 64) {
		separator, inner, newLine = ", ", "", ""
	}
	b.WriteString("[")
	for i, value := range values {
		if i > 0 {
			b.WriteString(separator)
		}
		b.WriteString(inner)
		if err := appendJSON(b, value, inner); err != nil {
			return err
		}
	}
	if len(values) > 0 {
		b.WriteString(newLine)
	}
	b.WriteString("]")
	return nil
}

// appendJSONText writes a JSON string. Characters that break lines or that no person
// sees are escaped; < and > are not, since this is no script.
func appendJSONText(b *strings.Builder, text string) {
	const digits = "0123456789abcdef"
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20, r >= 0x7f && r <= 0xa0, r == 0xad, r >= 0x1680 && r <= 0x180e, r >= 0x2000 && r <= 0x206f, r == 0x3000, r == 0xfeff, r == 0xfffe, r == 0xffff:
			b.WriteString(`\u`)
			for shift := 12; shift >= 0; shift -= 4 {
				b.WriteByte(digits[r>>shift&15])
			}
		default:
			b.WriteRune(r) // what is no UTF-8 became U+FFFD
		}
	}
	b.WriteByte('"')
}
