package mysql

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/lienthong/lienthong"
)

// geometryValue writes a geometry as well-known text, from the form in which the server
// stores it: the number of the reference system, then well-known binary. Snapshot and
// binary log both have that form, so their texts are the same.
func geometryValue(src []byte, a *arena) lienthong.Value {
	if len(src) < 4 {
		return malformed(src)
	}
	var text []byte
	if system := binary.LittleEndian.Uint32(src); system != 0 {
		text = append(text, "SRID="...)
		text = strconv.AppendUint(text, uint64(system), 10)
		text = append(text, ';')
	}
	c := cut{rest: src[4:]}
	text = appendGeometry(text, &c, true, 0)
	if c.bad || len(c.rest) != 0 {
		return malformed(src)
	}
	return presentBytes(a.keep(text))
}

const (
	wkbPoint = 1 + iota
	wkbLine
	wkbPolygon
	wkbMultiPoint
	wkbMultiLine
	wkbMultiPolygon
	wkbCollection
)

// deepestGeometry bounds collections within collections.
const deepestGeometry = 32

// appendGeometry reads one geometry. Inside one of the same kind its name is left out.
func appendGeometry(dst []byte, c *cut, named bool, depth int) []byte {
	if depth > deepestGeometry {
		c.bad = true
		return dst
	}
	var order binary.ByteOrder = binary.BigEndian
	if c.byte() == 1 {
		order = binary.LittleEndian
	}
	number := func() uint32 {
		if b := c.bytes(4); b != nil {
			return order.Uint32(b)
		}
		return 0
	}
	points := func() {
		count := number()
		dst = append(dst, '(')
		for i := uint32(0); i < count && !c.bad; i++ {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendPoint(dst, c, order)
		}
		dst = append(dst, ')')
	}
	// parts reads geometries that have their own heads.
	parts := func(inner bool) {
		count := number()
		dst = append(dst, '(')
		for i := uint32(0); i < count && !c.bad; i++ {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendGeometry(dst, c, inner, depth+1)
		}
		dst = append(dst, ')')
	}
	name := func(text string) {
		if named {
			dst = append(dst, text...)
		}
	}
	switch number() {
	case wkbPoint:
		name("POINT")
		dst = append(dst, '(')
		dst = appendPoint(dst, c, order)
		dst = append(dst, ')')
	case wkbLine:
		name("LINESTRING")
		points()
	case wkbPolygon:
		name("POLYGON")
		rings := number()
		dst = append(dst, '(')
		for i := uint32(0); i < rings && !c.bad; i++ {
			if i > 0 {
				dst = append(dst, ',')
			}
			points()
		}
		dst = append(dst, ')')
	case wkbMultiPoint:
		name("MULTIPOINT")
		parts(false)
	case wkbMultiLine:
		name("MULTILINESTRING")
		parts(false)
	case wkbMultiPolygon:
		name("MULTIPOLYGON")
		parts(false)
	case wkbCollection:
		name("GEOMETRYCOLLECTION")
		parts(true)
	default:
		c.bad = true
	}
	return dst
}

func appendPoint(dst []byte, c *cut, order binary.ByteOrder) []byte {
	b := c.bytes(16)
	if b == nil {
		return dst
	}
	dst = strconv.AppendFloat(dst, math.Float64frombits(order.Uint64(b)), 'g', -1, 64)
	dst = append(dst, ' ')
	return strconv.AppendFloat(dst, math.Float64frombits(order.Uint64(b[8:])), 'g', -1, 64)
}
