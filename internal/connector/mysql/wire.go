package mysql

import (
	"encoding/binary"
	"io"

	"github.com/lienthong/lienthong"
)

// Types of events of the binary log that mean something to us. MySQL's numbers end
// below 100; MariaDB's own begin at 160.
const (
	eventQuery              = 2
	eventRotate             = 4
	eventFormat             = 15
	eventXID                = 16
	eventExecuteLoad        = 18
	eventTableMap           = 19
	eventWriteV1            = 23
	eventUpdateV1           = 24
	eventDeleteV1           = 25
	eventIncident           = 26
	eventHeartbeat          = 27
	eventWriteV2            = 30
	eventUpdateV2           = 31
	eventDeleteV2           = 32
	eventGTID               = 33
	eventAnonymousGTID      = 34
	eventPreviousGTIDs      = 35
	eventXAPrepare          = 38
	eventPartialUpdate      = 39
	eventPayload            = 40
	eventHeartbeatV2        = 41
	eventTaggedGTID         = 42
	eventMariaGTID          = 162
	eventMariaGTIDList      = 163
	eventQueryCompressed    = 165
	eventWriteCompressedV1  = 166
	eventUpdateCompressedV1 = 167
	eventDeleteCompressedV1 = 168
	eventWriteCompressed    = 169
	eventUpdateCompressed   = 170
	eventDeleteCompressed   = 171
)

const (
	eventHeaderSize   = 19
	flagArtificial    = 0x20
	mariaStandalone   = 0x01
	mariaPreparedXA   = 0x40
	sqlModeAnsiQuotes = 0x4
	sqlModeNoEscapes  = 0x100000
)

// Types of columns in the binary log.
const (
	typeDecimalOld     = 0
	typeTiny           = 1
	typeShort          = 2
	typeLong           = 3
	typeFloat          = 4
	typeDouble         = 5
	typeNull           = 6
	typeTimestamp      = 7
	typeLongLong       = 8
	typeInt24          = 9
	typeDate           = 10
	typeTime           = 11
	typeDatetime       = 12
	typeYear           = 13
	typeVarchar        = 15
	typeBit            = 16
	typeTimestamp2     = 17
	typeDatetime2      = 18
	typeTime2          = 19
	typeBlobPacked     = 140 // MariaDB, COMPRESSED
	typeVarcharPacked  = 141 // MariaDB, COMPRESSED
	typeVector         = 242
	typeJSON           = 245
	typeNewDecimal     = 246
	typeEnum           = 247
	typeSet            = 248
	typeBlob           = 252
	typeVarString      = 253
	typeString         = 254
	typeGeometry       = 255
	collationBinary    = 63
	longestIdentifier  = 255
	mostColumns        = 4096
	longestEnumeration = 65535
)

// cut reads a message from its front. After the first read beyond its end all reads
// give nothing, and bad is set: callers check once.
type cut struct {
	rest []byte
	bad  bool
}

func (c *cut) bytes(n int) []byte {
	if n < 0 || n > len(c.rest) {
		c.bad, c.rest = true, nil
		return nil
	}
	part := c.rest[:n:n]
	c.rest = c.rest[n:]
	return part
}

func (c *cut) byte() byte {
	if b := c.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// little reads an integer of n bytes, least byte first.
func (c *cut) little(n int) uint64 {
	v := uint64(0)
	for i, b := range c.bytes(n) {
		v |= uint64(b) << (8 * i)
	}
	return v
}

// length reads the protocol's packed integer.
func (c *cut) length() int {
	switch first := c.byte(); first {
	case 0xfc:
		return int(c.little(2))
	case 0xfd:
		return int(c.little(3))
	case 0xfe:
		n := c.little(8)
		if n > 1<<40 {
			c.bad = true
			return 0
		}
		return int(n)
	case 0xfb, 0xff:
		c.bad = true
		return 0
	default:
		return int(first)
	}
}

// big reads an integer, greatest byte first.
func big(b []byte) uint64 {
	v := uint64(0)
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

// damaged is an event that does not follow the format.
func damaged(where string) error {
	return &lienthong.Error{
		Code: "mysql.protocol", Where: where,
		Vi: "nhật ký nhị phân không đúng định dạng đã biết", En: "the binary log does not follow the known format",
		Hint: "kiểm tra phiên bản máy chủ và thiết bị trung gian / check the server's version and anything in between",
		Err:  io.ErrUnexpectedEOF,
	}
}

// query is what a QUERY event says.
type query struct {
	schema string
	text   []byte
	modes  uint64 // sql_mode of the session
}

// parseQuery reads a QUERY event without its header.
func parseQuery(body []byte, inflate func([]byte) ([]byte, error)) (query, bool) {
	c := cut{rest: body}
	c.bytes(8)
	schemaLength := int(c.byte())
	c.bytes(2)
	status := cut{rest: c.bytes(int(c.little(2)))}
	q := query{schema: string(c.bytes(schemaLength))}
	c.bytes(1)
	q.text = c.rest
	if c.bad {
		return q, false
	}
	// The first two status variables are always flags and sql_mode; no more is needed.
	if len(status.rest) >= 5 && status.rest[0] == 0 {
		status.bytes(5)
	}
	if len(status.rest) >= 9 && status.rest[0] == 1 {
		q.modes = binary.LittleEndian.Uint64(status.rest[1:])
	}
	if inflate != nil {
		text, err := inflate(q.text)
		if err != nil {
			return q, false
		}
		q.text = text
	}
	return q, true
}

// rowsEvent is the head of an event with rows.
type rowsEvent struct {
	table   uint64
	columns int
	before  []byte // which columns the (first) image has
	after   []byte // of an update: which columns the second image has
	images  []byte
}

// parseRowsHead reads the head of a WRITE, UPDATE or DELETE event; what follows are
// the images of its rows.
func parseRowsHead(kind byte, body []byte) (rowsEvent, bool) {
	c := cut{rest: body}
	e := rowsEvent{table: c.little(6)}
	c.bytes(2)
	switch kind {
	case eventWriteV2, eventUpdateV2, eventDeleteV2, eventWriteCompressed, eventUpdateCompressed, eventDeleteCompressed:
		extra := int(c.little(2))
		if extra < 2 {
			return e, false
		}
		c.bytes(extra - 2)
	}
	e.columns = c.length()
	if c.bad || e.columns == 0 || e.columns > mostColumns {
		return e, false
	}
	e.before = c.bytes((e.columns + 7) / 8)
	if isUpdate(kind) {
		e.after = c.bytes((e.columns + 7) / 8)
	}
	e.images = c.rest
	return e, !c.bad
}

func isWrite(kind byte) bool {
	return kind == eventWriteV1 || kind == eventWriteV2 || kind == eventWriteCompressedV1 || kind == eventWriteCompressed
}

func isUpdate(kind byte) bool {
	return kind == eventUpdateV1 || kind == eventUpdateV2 || kind == eventUpdateCompressedV1 || kind == eventUpdateCompressed
}

func isDelete(kind byte) bool {
	return kind == eventDeleteV1 || kind == eventDeleteV2 || kind == eventDeleteCompressedV1 || kind == eventDeleteCompressed
}

func isCompressed(kind byte) bool {
	return kind >= eventWriteCompressedV1 && kind <= eventDeleteCompressed
}

// tableMap is what a TABLE_MAP event says of a table.
type tableMap struct {
	id      uint64
	schema  []byte
	name    []byte
	columns []wireColumn
	named   bool  // the columns have names: binlog_row_metadata=FULL
	signs   bool  // the numbers have signs
	sets    bool  // texts have collations
	key     []int // the primary key, where columns are named; nil when there is none
}

// wireColumn is a column as the binary log has it. What the server does not say is zero.
type wireColumn struct {
	kind      byte // with enum and set told from char
	meta      uint16
	nullable  bool
	name      string
	unsigned  bool
	collation int
	labels    [][]byte // of enum and set, in their own character set
}

func (w *wireColumn) numeric() bool {
	switch w.kind {
	case typeTiny, typeShort, typeInt24, typeLong, typeLongLong, typeDecimalOld, typeNewDecimal, typeFloat, typeDouble, typeYear:
		return true
	}
	return false
}

// character reports whether the column has its place in the list of collations.
// MariaDB counts geometry among them.
func (w *wireColumn) character(maria bool) bool {
	switch w.kind {
	case typeString, typeVarString, typeVarchar, typeBlob, typeBlobPacked, typeVarcharPacked:
		return true
	case typeGeometry:
		return maria
	}
	return false
}

func (w *wireColumn) enumerated() bool { return w.kind == typeEnum || w.kind == typeSet }

// stringMeta tells the real type and the greatest length in bytes of a STRING column:
// lengths above 255 hide their upper bits in the byte of the type.
func stringMeta(meta uint16) (kind byte, length int) {
	first, second := byte(meta>>8), int(meta&0xff)
	if first == 0 {
		return typeString, second
	}
	if first&0x30 != 0x30 {
		return first | 0x30, second | int(first&0x30^0x30)<<4
	}
	return first, second
}

// parseTableMap reads a TABLE_MAP event without its header. The result points into body.
func parseTableMap(body []byte, maria bool) (*tableMap, bool) {
	c := cut{rest: body}
	m := &tableMap{id: c.little(6)}
	c.bytes(2)
	m.schema = c.bytes(int(c.byte()))
	c.bytes(1)
	m.name = c.bytes(int(c.byte()))
	c.bytes(1)
	count := c.length()
	if c.bad || count > mostColumns {
		return nil, false
	}
	kinds := c.bytes(count)
	metas := cut{rest: c.bytes(c.length())}
	nulls := c.bytes((count + 7) / 8)
	if c.bad {
		return nil, false
	}
	m.columns = make([]wireColumn, count)
	for i := range m.columns {
		w := &m.columns[i]
		w.kind = kinds[i]
		w.nullable = nulls[i/8]>>(i%8)&1 == 1
		switch w.kind {
		case typeString, typeNewDecimal, typeEnum, typeSet:
			w.meta = uint16(metas.byte()) << 8
			w.meta |= uint16(metas.byte())
		case typeVarString, typeVarchar, typeBit, typeVarcharPacked:
			w.meta = uint16(metas.little(2))
		case typeBlob, typeDouble, typeFloat, typeGeometry, typeVector, typeJSON, typeTime2, typeDatetime2, typeTimestamp2, typeBlobPacked:
			w.meta = uint16(metas.byte())
		}
		if w.kind == typeString {
			if real, _ := stringMeta(w.meta); real == typeEnum || real == typeSet {
				w.kind = real
			}
		}
	}
	if metas.bad {
		return nil, false
	}
	return m, m.optional(c.rest, maria)
}

// Fields of the optional metadata.
const (
	optionalSigns          = 1
	optionalDefaultCharset = 2
	optionalColumnCharset  = 3
	optionalNames          = 4
	optionalSetLabels      = 5
	optionalEnumLabels     = 6
	optionalKey            = 8
	optionalKeyPrefix      = 9
	optionalEnumDefault    = 10
	optionalEnumCharset    = 11
)

func (m *tableMap) optional(rest []byte, maria bool) bool {
	for c := (cut{rest: rest}); len(c.rest) > 0; {
		field := c.byte()
		part := cut{rest: c.bytes(c.length())}
		if c.bad {
			return false
		}
		switch field {
		case optionalSigns:
			m.signs = true
			n := 0
			for i := range m.columns {
				if m.columns[i].numeric() && n/8 < len(part.rest) {
					m.columns[i].unsigned = part.rest[n/8]<<(n%8)&0x80 != 0
					n++
				}
			}
		case optionalDefaultCharset, optionalEnumDefault:
			m.sets = m.sets || field == optionalDefaultCharset
			m.collate(&part, true, field == optionalEnumDefault, maria)
		case optionalColumnCharset, optionalEnumCharset:
			m.sets = m.sets || field == optionalColumnCharset
			m.collate(&part, false, field == optionalEnumCharset, maria)
		case optionalNames:
			m.named = true
			for i := range m.columns {
				m.columns[i].name = string(part.bytes(part.length()))
			}
		case optionalSetLabels, optionalEnumLabels:
			kind := byte(typeSet)
			if field == optionalEnumLabels {
				kind = typeEnum
			}
			for i := range m.columns {
				if m.columns[i].kind != kind {
					continue
				}
				count := part.length()
				if part.bad || count > longestEnumeration {
					return false
				}
				for range count {
					if part.bad {
						return false
					}
					m.columns[i].labels = append(m.columns[i].labels, part.bytes(part.length()))
				}
			}
		case optionalKey, optionalKeyPrefix:
			for len(part.rest) > 0 {
				i, prefix := part.length(), 0
				if field == optionalKeyPrefix {
					prefix = part.length()
				}
				if i >= len(m.columns) {
					return false
				}
				if prefix > 0 {
					// Part of a column does not name a row to us.
					m.key = nil
					break
				}
				m.key = append(m.key, i)
			}
		}
		if part.bad {
			return false
		}
	}
	return true
}

// collate reads collations: one for all and the exceptions, or one for each.
func (m *tableMap) collate(part *cut, defaults, enumerated, maria bool) {
	belongs := func(w *wireColumn) bool {
		if enumerated {
			return w.enumerated()
		}
		return w.character(maria)
	}
	if !defaults {
		for i := range m.columns {
			if belongs(&m.columns[i]) && len(part.rest) > 0 {
				m.columns[i].collation = part.length()
			}
		}
		return
	}
	common := part.length()
	except := map[int]int{}
	for len(part.rest) > 0 && !part.bad {
		n := part.length()
		except[n] = part.length()
	}
	n := 0
	for i := range m.columns {
		if belongs(&m.columns[i]) {
			m.columns[i].collation = common
			if other, found := except[n]; found {
				m.columns[i].collation = other
			}
			n++
		}
	}
}
