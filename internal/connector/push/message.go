package push

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Event is what happened to a record at its owner.
type Event string

// The events of the circular. NEW and UPDATE both carry the whole record; CANCEL ends it.
const (
	New    Event = "NEW"
	Update Event = "UPDATE"
	Cancel Event = "CANCEL"
)

// nodeKind is what a part of a message is.
type nodeKind uint8

const (
	absentNode nodeKind = iota
	nullNode
	textNode    // a JSON string, or the text of an XML element
	literalNode // a JSON number, true or false
	objectNode
	arrayNode
)

// node is a part of a message, the same for JSON and XML. XML has no numbers and no
// arrays: everything is text, and repeated elements are members with the same name.
type node struct {
	name    string // of a member of an object
	kind    nodeKind
	text    string
	members []node
}

// member finds a member by name, whatever the case of its letters. The second result
// reports that there are two.
func (n *node) member(name string) (found *node, twice bool) {
	for i := range n.members {
		if strings.EqualFold(n.members[i].name, name) {
			if found != nil {
				return found, true
			}
			found = &n.members[i]
		}
	}
	return found, false
}

// appendJSON writes the node as JSON, members in the order they came. Repeated members
// become one array, which is what they mean in XML.
func (n *node) appendJSON(dst []byte) []byte {
	switch n.kind {
	case absentNode, nullNode:
		return append(dst, "null"...)
	case literalNode:
		return append(dst, n.text...)
	case textNode:
		return appendJSONText(dst, n.text)
	case arrayNode:
		dst = append(dst, '[')
		for i := range n.members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = n.members[i].appendJSON(dst)
		}
		return append(dst, ']')
	case objectNode:
	}
	dst = append(dst, '{')
	first := true
	for i := range n.members {
		name := n.members[i].name
		same, earlier := 0, false
		for j := range n.members {
			if n.members[j].name == name {
				same++
				earlier = earlier || j < i
			}
		}
		if earlier {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(appendJSONText(dst, name), ':')
		if same == 1 {
			dst = n.members[i].appendJSON(dst)
			continue
		}
		dst = append(dst, '[')
		for j, comma := i, false; j < len(n.members); j++ {
			if n.members[j].name != name {
				continue
			}
			if comma {
				dst = append(dst, ',')
			}
			comma = true
			dst = n.members[j].appendJSON(dst)
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// appendJSONText writes a JSON string without escaping what need not be.
func appendJSONText(dst []byte, text string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"', c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// Message is one record as its owner sent it.
type Message struct {
	Type    string // MaLoaiDuLieu
	Source  string // IdNguonDuLieu
	ID      string // IdBanGhi
	Code    string // MaDinhDanhDuLieu
	Event   Event
	Version int64
	Updated time.Time // ThoiGianCapNhat, to the microsecond, UTC

	fields []node // members of DuLieuTiepNhan without those above
	files  []node // PhanPhoi
}

// Distribution is a file that belongs to a record.
type Distribution struct {
	ID       string `json:"Id"`
	Name     string `json:"TenTep"`
	Type     string `json:"MaLoaiDuLieu"`
	Version  string `json:"PhienBan"`
	Checksum string `json:"MaKiemTra"`
	URL      string `json:"DuongDanTaiXuong"`
}

const maxIdentifier = 512 // bytes of IdBanGhi and the other identifiers

// messageOf reads the envelope of a record. The type may come from the request's header.
// What is wrong is said with the member's path, never with its value.
func messageOf(root *node, headerType string) (Message, *refusal) {
	var m Message
	if root.kind == objectNode && len(root.members) == 1 && strings.EqualFold(root.members[0].name, "Root") {
		root = &root.members[0]
	}
	if root.kind != objectNode {
		return m, refuse("push.envelope", "Root")
	}
	var parts [3]*node
	for i, name := range [...]string{"NguonDuLieu", "DuLieuTiepNhan", "TrangThaiDuLieu"} {
		part, twice := root.member(name)
		if twice {
			return m, refuse("push.field_twice", name)
		}
		if part != nil && part.kind != objectNode {
			// An empty XML element is an empty object.
			if part.kind != textNode || part.text != "" {
				return m, refuse("push.envelope", name)
			}
		}
		if part == nil && (i > 0 || headerType == "") {
			return m, refuse("push.envelope", name)
		}
		parts[i] = part
	}
	for i := range root.members {
		known := false
		for _, part := range parts {
			known = known || part == &root.members[i]
		}
		if !known {
			return m, refuse("push.field_unknown", safeName(root.members[i].name))
		}
	}
	if r := m.readState(parts[2]); r != nil {
		m.ID = looseID(parts[1])
		return m, r
	}
	if r := m.readData(parts[1]); r != nil {
		return m, r
	}
	if parts[0] != nil {
		if r := m.readSource(parts[0]); r != nil {
			return m, r
		}
	}
	switch {
	case m.Type == "":
		m.Type = headerType
	case headerType != "" && m.Type != headerType:
		return m, refuse("push.type_conflict", "NguonDuLieu.MaLoaiDuLieu")
	}
	if m.Type == "" {
		return m, refuse("push.field_required", "NguonDuLieu.MaLoaiDuLieu")
	}
	return m, nil
}

// looseID is the identifier of a message that is refused, so that its sender knows which.
func looseID(data *node) string {
	if n, twice := data.member(columnKey); n != nil && !twice && len(n.text) <= maxIdentifier && n.kind != objectNode && n.kind != arrayNode {
		return n.text
	}
	return ""
}

// identifierText reads a short text that JSON may hold as a number.
func identifierText(n *node, path string) (string, *refusal) {
	switch n.kind {
	case absentNode, nullNode:
		return "", nil
	case objectNode, arrayNode:
		return "", refuse("push.field_type", path)
	case textNode, literalNode:
	}
	if len(n.text) > maxIdentifier {
		return "", refuse("push.field_long", path)
	}
	if !cleanText(n.text) {
		return "", refuse("push.field_character", path)
	}
	return n.text, nil
}

func (m *Message) readSource(source *node) *refusal {
	for i := range source.members {
		n := &source.members[i]
		var into *string
		switch {
		case strings.EqualFold(n.name, "MaLoaiDuLieu"):
			into = &m.Type
		case strings.EqualFold(n.name, columnSource):
			into = &m.Source
		default:
			return refuse("push.field_unknown", "NguonDuLieu."+safeName(n.name))
		}
		text, r := identifierText(n, "NguonDuLieu."+n.name)
		if r != nil {
			return r
		}
		if *into != "" {
			return refuse("push.field_twice", "NguonDuLieu."+n.name)
		}
		*into = text
	}
	return nil
}

func (m *Message) readData(data *node) *refusal {
	var id, code *node
	for i := range data.members {
		n := &data.members[i]
		switch {
		case strings.EqualFold(n.name, columnKey):
			if id != nil {
				return refuse("push.field_twice", columnKey)
			}
			id = n
		case strings.EqualFold(n.name, columnCode):
			if code != nil {
				return refuse("push.field_twice", columnCode)
			}
			code = n
		case strings.EqualFold(n.name, columnDistribution):
			switch n.kind {
			case arrayNode:
				m.files = append(m.files, n.members...)
			case objectNode:
				m.files = append(m.files, *n)
			case absentNode, nullNode:
			case textNode, literalNode:
				if n.text != "" {
					return refuse("push.field_type", columnDistribution)
				}
			}
		default:
			m.fields = append(m.fields, *n)
		}
	}
	var r *refusal
	if code != nil {
		if m.Code, r = identifierText(code, columnCode); r != nil {
			return r
		}
	}
	if id == nil {
		return refuse("push.field_required", columnKey)
	}
	if m.ID, r = identifierText(id, columnKey); r != nil {
		return r
	}
	if m.ID == "" {
		return refuse("push.field_required", columnKey)
	}
	return nil
}

func (m *Message) readState(state *node) *refusal {
	const path = "TrangThaiDuLieu."
	var seen [3]bool
	for i := range state.members {
		n := &state.members[i]
		if n.kind == objectNode || n.kind == arrayNode {
			return refuse("push.field_type", path+safeName(n.name))
		}
		var at int
		switch {
		case strings.EqualFold(n.name, "SuKien"):
			at = 0
			m.Event = Event(strings.ToUpper(n.text))
			if m.Event != New && m.Event != Update && m.Event != Cancel {
				return refuse("push.event", path+"SuKien")
			}
		case strings.EqualFold(n.name, columnVersion):
			at = 1
			version, err := strconv.ParseInt(n.text, 10, 64)
			if err != nil || version == 0 {
				return refuse("push.version", path+columnVersion)
			}
			m.Version = version
		case strings.EqualFold(n.name, columnUpdated):
			at = 2
			updated, ok := parseTime(n.text)
			if !ok {
				return refuse("push.time", path+columnUpdated)
			}
			m.Updated = updated
		default:
			return refuse("push.field_unknown", path+safeName(n.name))
		}
		if seen[at] {
			return refuse("push.field_twice", path+n.name)
		}
		seen[at] = true
	}
	for i, name := range [...]string{"SuKien", columnVersion, columnUpdated} {
		if !seen[i] {
			return refuse("push.field_required", path+name)
		}
	}
	return nil
}

// distributions are the files of the record.
func (m *Message) distributions() ([]Distribution, *refusal) {
	files := make([]Distribution, 0, len(m.files))
	for i := range m.files {
		path := columnDistribution + "[" + strconv.Itoa(i) + "]"
		if m.files[i].kind != objectNode {
			return nil, refuse("push.field_type", path)
		}
		var d Distribution
		for j := range m.files[i].members {
			n := &m.files[i].members[j]
			into, of := &d.ID, n
			switch fold(n.name) {
			case "id":
			case "tentep":
				into = &d.Name
			case "maloaidulieu":
				into = &d.Type
			case "phienban":
				into = &d.Version
			case "duongdantaixuong":
				into = &d.URL
			case "makiemtra", "makiemtra.giatri":
				into = &d.Checksum
				if n.kind == objectNode {
					value, twice := n.member("GiaTri")
					if twice || value == nil || len(n.members) > 1 {
						return nil, refuse("push.field_type", path+".MaKiemTra")
					}
					of = value
				}
			default:
				return nil, refuse("push.field_unknown", path+"."+safeName(n.name))
			}
			if *into != "" {
				return nil, refuse("push.field_twice", path+"."+safeName(n.name))
			}
			if of.kind == objectNode || of.kind == arrayNode {
				return nil, refuse("push.field_type", path+"."+safeName(n.name))
			}
			if !cleanText(of.text) {
				return nil, refuse("push.field_character", path+"."+safeName(n.name))
			}
			*into = of.text
		}
		files = append(files, d)
	}
	return files, nil
}

func encodeDistributions(files []Distribution) (string, error) {
	body, err := json.Marshal(files)
	return string(body), err
}

// parseTime reads 2006-01-02T15:04:05, which is Vietnam's time, and RFC 3339. Digits
// beyond microseconds vanish.
func parseTime(text string) (time.Time, bool) {
	const vietnam = 7 * 60 * 60
	at, err := time.ParseInLocation("2006-01-02T15:04:05", text, time.FixedZone("+07", vietnam))
	if err != nil {
		at, err = time.Parse(time.RFC3339, text)
	}
	at = at.UTC().Truncate(time.Microsecond)
	if err != nil || at.Year() < 1 || at.Year() > 9999 {
		return time.Time{}, false
	}
	return at, true
}

// appendTime is the form in which the inbox keeps times.
func appendTime(dst []byte, at time.Time) []byte {
	return at.UTC().AppendFormat(dst, "2006-01-02T15:04:05.999999Z07:00")
}

// cleanText: what every engine behind us can hold.
func cleanText(text string) bool {
	return utf8.ValidString(text) && strings.IndexByte(text, 0) < 0
}

// safeName is a name as a sender wrote it, for an answer. What does not look like a name
// may be a value at the wrong place, and is not repeated.
func safeName(name string) string {
	if len(name) == 0 || len(name) > 64 {
		return "?"
	}
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '.') {
			return "?"
		}
	}
	return name
}
