package postgres

import (
	"encoding/binary"

	"github.com/lienthong/lienthong/internal/connector"
)

// copyParser reads the binary COPY format as it arrives. The server sends a row
// a message, and such rows are read in place; a row that is spread over messages
// is gathered first.
type copyParser struct {
	columns []column
	row     connector.Row
	deliver func(*connector.Row) error
	name    string

	arena   []byte
	carry   []byte
	begun   bool
	ended   bool
	failure error // what deliver returned
}

// copyHeader is the signature, without the flags that follow it.
const copyHeader = "PGCOPY\n\xff\r\n\x00"

// Write takes the next bytes of the copy.
func (c *copyParser) Write(p []byte) (int, error) {
	data := p
	if len(c.carry) > 0 {
		c.carry = append(c.carry, p...)
		data = c.carry
	}
	rest, err := c.parse(data)
	if err != nil {
		return 0, err
	}
	c.carry = append(c.carry[:0], rest...)
	return len(p), nil
}

// parse reads whole rows and returns what is left over.
func (c *copyParser) parse(data []byte) ([]byte, error) {
	if !c.begun {
		if len(data) < len(copyHeader)+8 {
			return data, nil
		}
		extension := int(binary.BigEndian.Uint32(data[len(copyHeader)+4:]))
		if string(data[:len(copyHeader)]) != copyHeader || binary.BigEndian.Uint32(data[len(copyHeader):])>>16 != 0 {
			return nil, damaged(c.name)
		}
		if len(data) < len(copyHeader)+8+extension {
			return data, nil
		}
		data = data[len(copyHeader)+8+extension:]
		c.begun = true
	}
	for len(data) > 0 {
		size, err := c.one(data)
		if err != nil {
			return nil, err
		}
		if size == 0 {
			return data, nil
		}
		data = data[size:]
	}
	return nil, nil
}

// one reads a row and returns its length, or 0 when it is not whole yet.
func (c *copyParser) one(data []byte) (int, error) {
	if c.ended {
		return 0, damaged(c.name)
	}
	if len(data) < 2 {
		return 0, nil
	}
	count := binary.BigEndian.Uint16(data)
	if count == 0xffff {
		c.ended = true
		return 2, nil
	}
	if int(count) != len(c.columns) {
		return 0, damaged(c.name)
	}
	c.arena = c.arena[:0]
	at := 2
	for i := range c.columns {
		if len(data)-at < 4 {
			return 0, nil
		}
		size := int(int32(binary.BigEndian.Uint32(data[at:])))
		at += 4
		v := &c.row.Values[i]
		if size < 0 {
			v.State, v.Int, v.Bytes = 0, 0, nil
			continue
		}
		if len(data)-at < size {
			return 0, nil
		}
		var ok bool
		if c.arena, ok = decodeBinary(c.columns[i].codec, data[at:at+size:at+size], v, c.arena); !ok {
			return 0, damaged(c.name)
		}
		at += size
	}
	if err := c.deliver(&c.row); err != nil {
		c.failure = err
		return 0, err
	}
	return at, nil
}
