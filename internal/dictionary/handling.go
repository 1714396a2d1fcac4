package dictionary

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"unicode/utf8"

	"github.com/lienthong/lienthong"
)

// What may happen to the values of a column before they leave the node.
const (
	KeepValue  = "keep"
	DropValue  = "drop"  // the field does not exist outside; its rules still run
	MaskValue  = "mask"  // a few characters stay, in a text of fixed width
	HashValue  = "hash"  // a keyed hash: equal values stay equal, nobody gets them back
	TokenValue = "token" // deterministic encryption: equal values stay equal, the node can get them back
)

// WholeRow as the only identity field names a record by all values of its row.
const WholeRow = "*"

// rowField is the field that holds the identity of a record without a key.
const rowField = "row_id"

const (
	maskFill    = "********" // the same for every value, so that its length is not told
	maxMaskPart = 8
	minKeyBytes = 16
	hashBytes   = 20 // 160 bits: two equal hashes of different values are not to be expected
	// rowBytes: the whole SHA-256, because whoever can write rows could look for two that collide.
	rowBytes = sha256.Size
)

func valueEncoding() *base32.Encoding { return base32.StdEncoding.WithPadding(base32.NoPadding) }

// treatment is how one field of the wire is made from a checked one.
type treatment struct {
	how         string // MaskValue, HashValue, TokenValue; anything else: as it is
	from        int    // index into the checked row
	kind        lienthong.Kind
	key         string
	first, last int
	secret      *secret
	mac         hash.Hash // this mapper's own
}

// secret is what a key of the node is expanded to. It is shared between mappers.
type secret struct {
	hashKey, tokenKey []byte
	block             cipher.Block
}

func newSecret(key []byte) (*secret, error) {
	derive := func(purpose string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte("lienthong field " + purpose))
		return mac.Sum(nil)
	}
	block, err := aes.NewCipher(derive("token encryption"))
	if err != nil {
		return nil, fmt.Errorf("expand a field key: %w", err)
	}
	return &secret{hashKey: derive("hash"), tokenKey: derive("token"), block: block}, nil
}

// Checked is the shape of the rows that Map makes and rules are about. It differs from
// Shape, the one that travels, when some field is dropped, masked, hashed or tokenised.
func (m *Mapper) Checked() *lienthong.Shape {
	if m.checked == nil {
		return m.Shape
	}
	return m.checked
}

// Handled reports whether values of a field do not leave the node as they are, so that
// nothing of them may be shown elsewhere either.
func (m *Mapper) Handled(field string) bool {
	if m.checked == nil {
		return false
	}
	i := m.Shape.FieldIndex(field)
	return i < 0 || m.Shape.Fields[i].Handling != ""
}

// Keyed lists the names of the keys that the definition needs.
func (m *Mapper) Keyed() []string {
	var names []string
	for i := range m.treatments {
		if key := m.treatments[i].key; key != "" && !slices.Contains(names, key) {
			names = append(names, key)
		}
	}
	return names
}

// Keys gives the mapper the node's keys by name. It must be called before Handle when
// Keyed is not empty.
func (m *Mapper) Keys(keys func(name string) ([]byte, error)) error {
	known := map[string]*secret{}
	for _, name := range m.Keyed() {
		missing := func(err error) error {
			return &lienthong.Error{
				Code: "handling.key", Where: m.Shape.Dataset.String() + ": " + name, Err: err,
				Vi: "nút không có khoá để băm hoặc mã hoá trường", En: "the node lacks the key that hashes or tokenises fields",
				Hint: fmt.Sprintf("tạo khoá %q, ít nhất %d byte / create key %q of at least %d bytes", name, minKeyBytes, name, minKeyBytes),
			}
		}
		if keys == nil {
			return missing(nil)
		}
		key, err := keys(name)
		if err != nil || len(key) < minKeyBytes {
			return missing(err)
		}
		if known[name], err = newSecret(key); err != nil {
			return err
		}
	}
	for i := range m.treatments {
		m.treatments[i].bind(known[m.treatments[i].key])
	}
	return nil
}

func (t *treatment) bind(s *secret) {
	t.secret = s
	switch {
	case s == nil:
	case t.how == HashValue:
		t.mac = hmac.New(sha256.New, s.hashKey)
	case t.how == TokenValue:
		t.mac = hmac.New(sha256.New, s.tokenKey)
	}
}

// Handle makes the row that travels from the checked row: dst has one value per field of
// Shape. What it returns is valid until the next Handle and as long as the checked row is.
func (m *Mapper) Handle(checked, dst []lienthong.Value) {
	if m.checked == nil {
		copy(dst, checked)
		return
	}
	m.handled = m.handled[:0]
	for i := range m.treatments {
		t := &m.treatments[i]
		v := &checked[t.from]
		if t.how == KeepValue || v.State == lienthong.Null || v.State == lienthong.Unchanged {
			dst[i] = *v
			continue
		}
		if v.State == lienthong.Malformed {
			// It is not a value of the field, and its text must not travel.
			dst[i] = lienthong.Value{State: lienthong.Malformed}
			continue
		}
		start := len(m.handled)
		switch t.how {
		case MaskValue:
			m.mask(t, v)
		case HashValue:
			m.hash(t, v)
		case TokenValue:
			m.token(t, v)
		}
		dst[i] = lienthong.Value{State: lienthong.Present, Bytes: m.handled[start:len(m.handled):len(m.handled)]}
	}
}

// plain appends the value's canonical text to the buffer and returns it.
func (m *Mapper) plain(t *treatment, v *lienthong.Value) []byte {
	m.text1 = v.AppendText(m.text1[:0], t.kind)
	return m.text1
}

// mask shows at most half of the value. The result is as wide for every value.
func (m *Mapper) mask(t *treatment, v *lienthong.Value) {
	text := m.plain(t, v)
	length := utf8.RuneCount(text)
	shown := min(t.first+t.last, length/2)
	gap := t.first + t.last - shown
	if t.last > 0 {
		m.handled = append(m.handled, maskFill...)
		for range gap {
			m.handled = append(m.handled, '*')
		}
		for range length - shown {
			_, size := utf8.DecodeRune(text)
			text = text[size:]
		}
		m.handled = append(m.handled, text...)
		return
	}
	for range shown {
		_, size := utf8.DecodeRune(text)
		m.handled = append(m.handled, text[:size]...)
		text = text[size:]
	}
	for range gap {
		m.handled = append(m.handled, '*')
	}
	m.handled = append(m.handled, maskFill...)
}

func (m *Mapper) hash(t *treatment, v *lienthong.Value) {
	t.mac.Reset()
	t.mac.Write(m.plain(t, v))
	m.sum = t.mac.Sum(m.sum[:0])
	m.handled = valueEncoding().AppendEncode(m.handled, m.sum[:hashBytes])
}

// token is deterministic authenticated encryption: a keyed hash of the value is the
// beginning of the token and starts the cipher's counter (the construction of RFC 5297
// with HMAC-SHA-256 in place of CMAC). Values are padded to whole blocks, so that the
// token tells their length only in steps of 16 bytes.
func (m *Mapper) token(t *treatment, v *lienthong.Value) {
	text := append(m.plain(t, v), 0x80)
	for len(text)%aes.BlockSize != 0 {
		text = append(text, 0)
	}
	m.text1 = text
	t.mac.Reset()
	t.mac.Write(text)
	m.sum = t.mac.Sum(m.sum[:0])
	iv := m.sum[:aes.BlockSize]
	counterMode(t.secret.block, iv, text)
	m.packed = append(append(m.packed[:0], iv...), text...)
	m.handled = valueEncoding().AppendEncode(m.handled, m.packed)
}

// counterMode encrypts or decrypts whole blocks in place.
func counterMode(block cipher.Block, iv, text []byte) {
	var counter, stream [aes.BlockSize]byte
	copy(counter[:], iv)
	for len(text) > 0 {
		block.Encrypt(stream[:], counter[:])
		for i := range stream {
			text[i] ^= stream[i]
		}
		text = text[aes.BlockSize:]
		for i := len(counter) - 1; i >= 0; i-- {
			if counter[i]++; counter[i] != 0 {
				break
			}
		}
	}
}

// Detokenise gets a value back from its token: the canonical text. Only a node that has
// the key can do it. A token that was altered, or made with another key, is refused.
func Detokenise(key []byte, token string) (string, error) {
	refused := func(err error) error {
		return &lienthong.Error{
			Code: "token.refused", Err: err,
			Vi: "mã thay thế không đúng, hoặc được tạo bằng khoá khác", En: "not a token, or made with another key",
			Hint: "kiểm tra tên khoá của trường / check the name of the field's key",
		}
	}
	packed, err := valueEncoding().DecodeString(token)
	if err != nil || len(packed) < 2*aes.BlockSize || len(packed)%aes.BlockSize != 0 {
		return "", refused(err)
	}
	s, err := newSecret(key)
	if err != nil {
		return "", err
	}
	iv, text := packed[:aes.BlockSize], packed[aes.BlockSize:]
	counterMode(s.block, iv, text)
	mac := hmac.New(sha256.New, s.tokenKey)
	mac.Write(text)
	end := len(text) - 1
	for end >= 0 && text[end] == 0 {
		end--
	}
	if !hmac.Equal(mac.Sum(nil)[:aes.BlockSize], iv) || end < 0 || text[end] != 0x80 {
		return "", refused(nil)
	}
	return string(text[:end]), nil
}

// rowID names a row by all its values: SHA-256 over the name and text of every column
// that has one, so that a column that is added later and empty changes no name. A row of
// which something is not said cannot be named.
func (m *Mapper) rowID(src []lienthong.Value) lienthong.Value {
	m.rowHash.Reset()
	for i := range m.columns {
		v := &src[i]
		switch v.State {
		case lienthong.Null:
			continue
		case lienthong.Unchanged:
			return lienthong.Value{}
		case lienthong.Present, lienthong.Malformed:
		}
		column := &m.columns[i]
		text := m.text1[:0]
		if v.State == lienthong.Malformed {
			text = append(text, v.Bytes...)
		} else {
			text = v.AppendText(text, column.Kind)
		}
		m.text1 = text
		m.packed = fmt.Appendf(m.packed[:0], "%d:%s%d:%d:", len(column.Name), column.Name, v.State, len(text))
		m.rowHash.Write(m.packed)
		m.rowHash.Write(text)
	}
	m.sum = m.rowHash.Sum(m.sum[:0])
	start := len(m.scratch)
	m.scratch = hex.AppendEncode(m.scratch, m.sum[:rowBytes])
	return lienthong.Value{State: lienthong.Present, Bytes: m.scratch[start:len(m.scratch):len(m.scratch)]}
}

// check verifies what a mapping says about handling by itself.
func (m *ColumnMapping) checkHandling(p *problems) {
	bad := func(vi, en string) {
		p.add(m.Line, "mapping.handling", vi, en, "handling: keep | drop | mask (first: n, last: n) | hash (key: …) | token (key: …)")
	}
	keyed := m.Handling == HashValue || m.Handling == TokenValue
	switch m.Handling {
	case "", KeepValue, DropValue, MaskValue, HashValue, TokenValue:
	default:
		bad(fmt.Sprintf("cách xử lý %q không có", m.Handling), fmt.Sprintf("there is no handling %q", m.Handling))
		return
	}
	if keyed && !plainFieldName(m.Key) {
		bad("hash và token cần key: tên khoá, chữ thường không dấu", "hash and token need key: the name of a key in lower case")
	}
	if !keyed && m.Key != "" {
		bad("key chỉ dùng cho hash và token", "key is for hash and token")
	}
	if m.Handling != MaskValue && (m.First != 0 || m.Last != 0) {
		bad("first và last chỉ dùng cho mask", "first and last are for mask")
	}
	if m.First < 0 || m.Last < 0 || m.First > maxMaskPart || m.Last > maxMaskPart || m.First > 0 && m.Last > 0 {
		bad(fmt.Sprintf("mask giữ first hoặc last, nhiều nhất %d ký tự", maxMaskPart), fmt.Sprintf("mask keeps either first or last, %d characters at most", maxMaskPart))
	}
}

// handling makes the travelling shape from the checked one.
func (c *compiler) handling() {
	m := c.mapper
	if !slices.ContainsFunc(c.handlings, func(t treatment) bool { return t.how != KeepValue }) {
		return
	}
	checked := m.Shape
	wire := &lienthong.Shape{Dataset: checked.Dataset, Version: checked.Version}
	at := make([]int, len(checked.Fields)) // of each checked field, its place on the wire
	for i := range checked.Fields {
		t := c.handlings[i]
		t.from, t.kind = i, checked.Fields[i].Kind
		at[i] = len(wire.Fields)
		if t.how == DropValue {
			at[i] = -1
			continue
		}
		field := checked.Fields[i]
		if t.how != KeepValue {
			field.Kind, field.MaxLength, field.Handling = lienthong.Text, 0, t.how
		}
		wire.Fields = append(wire.Fields, field)
		m.treatments = append(m.treatments, t)
	}
	refuse := func(line int, field int, what string) {
		name, how := checked.Fields[field].Name, c.handlings[field].how
		c.problems.add(line, "mapping.handling", fmt.Sprintf("%s cần giá trị của trường %q, nhưng handling là %s", what, name, how),
			fmt.Sprintf("%s needs the values of field %q, whose handling is %s", what, name, how), "hash hoặc token giữ được phép so sánh / hash and token keep values comparable")
	}
	for _, i := range checked.Identity {
		if c.handlings[i].how == DropValue || c.handlings[i].how == MaskValue {
			refuse(0, i, "identity")
			continue
		}
		wire.Identity = append(wire.Identity, at[i])
	}
	for i := range c.def.SetRules {
		rule := &c.def.SetRules[i]
		for _, name := range rule.fields() {
			if f := checked.FieldIndex(name); f >= 0 && (c.handlings[f].how == DropValue || c.handlings[f].how == MaskValue) {
				refuse(rule.Line, f, "rule "+rule.Code)
			}
		}
	}
	if len(wire.Fields) == 0 {
		c.problems.add(0, "mapping.handling", "không còn trường nào rời khỏi nút", "no field is left to travel", "")
	}
	m.checked, m.Shape = checked, wire
}
