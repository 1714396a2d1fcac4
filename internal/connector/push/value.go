package push

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// record is a message that fits its record type, ready for the inbox.
type record struct {
	of      *recordType
	id      string
	event   Event
	version int64
	values  []any    // as the upsert wants them; nil for CANCEL
	content [32]byte // what makes two messages of one version the same
	exact   [32]byte // of the bytes as they were sent
}

// prepare checks a message against its record type.
func prepare(m *Message, t *recordType, raw []byte) (record, *refusal) {
	r := record{of: t, id: m.ID, event: m.Event, version: m.Version, exact: sha256.Sum256(raw)}
	if m.Event == Cancel {
		// What a cancelled record was is of no interest any more.
		digest := newContent(m)
		digest.sum(&r.content)
		return r, nil
	}
	values := make([]any, 0, len(t.Fields)+6)
	values = append(values, m.ID)
	own := make([]any, len(t.Fields))
	seen := make([]bool, len(t.Fields))
	for i := range m.fields {
		if bad := fill(t, &m.fields[i], "", own, seen); bad != nil {
			return r, bad
		}
	}
	for i := range t.Fields {
		if t.Fields[i].Required && (own[i] == nil || own[i] == "") {
			return r, refuse("push.field_required", t.Fields[i].Column())
		}
	}
	values = append(values, own...)
	files, bad := m.distributions()
	if bad != nil {
		return r, bad
	}
	var distributions any
	if len(files) > 0 {
		text, err := encodeDistributions(files)
		if err != nil {
			return r, refuse("push.field_type", columnDistribution)
		}
		distributions = text
	}
	digest := newContent(m)
	// By name and only what is there: the same message stays the same when fields are added.
	for i, value := range own {
		if value != nil {
			digest.value(t.Fields[i].Column())
			digest.value(value)
		}
	}
	digest.value(distributions)
	digest.sum(&r.content)
	if !t.Bare {
		values = append(values, orNull(m.Code), orNull(m.Source), distributions, m.Version, string(appendTime(nil, m.Updated)))
	}
	r.values = values
	return r, nil
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// fill puts one member of DuLieuTiepNhan into its place. An object with members goes one
// level down.
func fill(t *recordType, n *node, parent string, own []any, seen []bool) *refusal {
	name := n.name
	if parent != "" {
		name = parent + "_" + n.name
	}
	at, known := t.byName[fold(name)]
	if !known {
		if parent == "" && n.kind == objectNode && t.hasParent(n.name) {
			for i := range n.members {
				if bad := fill(t, &n.members[i], n.name, own, seen); bad != nil {
					return bad
				}
			}
			return nil
		}
		if parent == "" && t.hasParent(n.name) && (n.kind == nullNode || n.kind == textNode && n.text == "") {
			return nil // the object is empty
		}
		return refuse("push.field_unknown", safeName(name))
	}
	if seen[at] {
		return refuse("push.field_twice", t.Fields[at].Column())
	}
	seen[at] = true
	value, code := convert(n, &t.Fields[at])
	if code != "" {
		return refuse(code, t.Fields[at].Column())
	}
	own[at] = value
	return nil
}

func (t *recordType) hasParent(name string) bool {
	for i := range t.Fields {
		if t.Fields[i].Parent != "" && fold(t.Fields[i].Parent) == fold(name) {
			return true
		}
	}
	return false
}

// convert makes of a node what the inbox stores. The second result is the code of what is
// wrong. Numbers may be written as texts, since XML has nothing else; texts may not be
// written as numbers, which would lose leading zeros on the way.
func convert(n *node, f *Field) (any, string) {
	if n.kind == nullNode || n.kind == absentNode {
		return nil, ""
	}
	if f.Format == Object {
		text := string(n.appendJSON(nil))
		if !cleanText(text) {
			return nil, "push.field_character"
		}
		if n.kind != objectNode && n.kind != arrayNode {
			return nil, "push.field_type"
		}
		return text, ""
	}
	if n.kind == objectNode || n.kind == arrayNode {
		return nil, "push.field_type"
	}
	if f.Format == String {
		switch {
		case n.kind != textNode:
			return nil, "push.field_text"
		case !cleanText(n.text):
			return nil, "push.field_character"
		case f.Length > 0 && len(n.text) > f.Length && utf8.RuneCountInString(n.text) > f.Length:
			return nil, "push.field_long"
		}
		return n.text, ""
	}
	if n.text == "" {
		return nil, "" // an empty element
	}
	switch f.Format {
	case Int, Long:
		bits := 64
		if f.Format == Int {
			bits = 32
		}
		if v, err := strconv.ParseInt(n.text, 10, bits); err == nil {
			return v, ""
		}
	case Float, Double:
		if v, err := strconv.ParseFloat(n.text, 64); err == nil && !math.IsInf(v, 0) && !math.IsNaN(v) && plainNumber(n.text) {
			return v, ""
		}
	case Boolean:
		switch n.text {
		case "true", "1":
			return int64(1), ""
		case "false", "0":
			return int64(0), ""
		}
	case Date:
		if at, err := time.Parse(time.DateOnly, n.text); n.kind == textNode && err == nil && at.Year() > 0 {
			return n.text, ""
		}
	case DateTime:
		if at, ok := parseTime(n.text); n.kind == textNode && ok {
			return string(appendTime(nil, at)), ""
		}
	case String, Object:
	}
	return nil, "push.field_type"
}

// plainNumber excludes the hexadecimal forms and underscores that Go reads.
func plainNumber(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
		default:
			return false
		}
	}
	return true
}

// contentHash is SHA-256 over the typed content, so that the same record in JSON and in
// XML, however it is spelled, is the same.
type contentHash struct{ hash.Hash }

func newContent(m *Message) contentHash {
	c := contentHash{sha256.New()}
	kind := "upsert"
	if m.Event == Cancel {
		kind = "cancel"
	}
	c.value(kind)
	c.value(m.Updated.UnixMicro())
	if m.Event != Cancel {
		c.value(m.Code)
		c.value(m.Source)
	}
	return c
}

func (c contentHash) value(value any) {
	var head [9]byte
	switch v := value.(type) {
	case nil:
		_, _ = c.Write(head[:1])
	case string:
		head[0] = 1
		binary.BigEndian.PutUint64(head[1:], uint64(len(v)))
		_, _ = c.Write(head[:])
		_, _ = c.Write([]byte(v))
	case int64:
		head[0] = 2
		binary.BigEndian.PutUint64(head[1:], uint64(v))
		_, _ = c.Write(head[:])
	case float64:
		head[0] = 3
		binary.BigEndian.PutUint64(head[1:], math.Float64bits(v))
		_, _ = c.Write(head[:])
	}
}

func (c contentHash) sum(into *[32]byte) { c.Sum(into[:0]) }
