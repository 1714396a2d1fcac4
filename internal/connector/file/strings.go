package file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// stringTable is the shared strings of a workbook. A large one does not fit the
// memory of a node: what is beyond the first groups goes to a scratch file.
type stringTable struct {
	dir    string
	budget int // bytes that stay in memory

	groups  []stringGroup
	open    []byte // the group that is being filled
	count   int
	held    int
	file    *os.File
	written int64
	cache   []cachedGroup
}

const (
	groupStrings = 32
	cachedGroups = 2048
)

// stringGroup is 32 strings, each a number (length<<3 | code) and the text.
type stringGroup struct {
	data   []byte // nil when it is in the file
	offset int64
	size   int
}

type cachedGroup struct {
	number int // of the group, plus one
	data   []byte
}

var errNoString = errors.New("a shared string that is not there")

// fontOfCell as the code of a stored string: the font of the cell that uses it decides.
const fontOfCell textCode = 7

func (t *stringTable) add(text []byte, code textCode) error {
	t.open = binary.AppendUvarint(t.open, uint64(len(text))<<3|uint64(code))
	t.open = append(t.open, text...)
	t.count++
	if t.count%groupStrings == 0 {
		return t.endGroup()
	}
	return nil
}

func (t *stringTable) endGroup() error {
	if len(t.open) == 0 {
		return nil
	}
	g := stringGroup{size: len(t.open)}
	if t.held+len(t.open) <= t.budget {
		g.data = append(make([]byte, 0, len(t.open)), t.open...)
		t.held += len(t.open)
	} else {
		if t.file == nil {
			var err error
			if t.file, err = os.CreateTemp(t.dir, "strings-*.tmp"); err != nil {
				return fmt.Errorf("file: scratch for shared strings: %w", err)
			}
			t.cache = make([]cachedGroup, cachedGroups)
		}
		g.offset = t.written
		n, err := t.file.Write(t.open)
		t.written += int64(n)
		if err != nil {
			return fmt.Errorf("file: scratch for shared strings: %w", err)
		}
	}
	t.groups = append(t.groups, g)
	t.open = t.open[:0]
	return nil
}

// get returns a string, valid until the next call.
func (t *stringTable) get(n int) ([]byte, textCode, error) {
	if n < 0 || n >= t.count {
		return nil, 0, errNoString
	}
	data := t.open
	if g := n / groupStrings; g < len(t.groups) {
		var err error
		if data, err = t.group(g); err != nil {
			return nil, 0, err
		}
	}
	for range n % groupStrings {
		head, size := binary.Uvarint(data)
		data = data[size+int(head>>3):]
	}
	head, size := binary.Uvarint(data)
	return data[size : size+int(head>>3)], textCode(head & 7), nil
}

func (t *stringTable) group(n int) ([]byte, error) {
	g := &t.groups[n]
	if g.data != nil {
		return g.data, nil
	}
	cached := &t.cache[n%cachedGroups]
	if cached.number != n+1 {
		if cap(cached.data) < g.size {
			cached.data = make([]byte, g.size)
		}
		cached.data, cached.number = cached.data[:g.size], n+1
		if _, err := t.file.ReadAt(cached.data, g.offset); err != nil && !errors.Is(err, io.EOF) {
			cached.number = 0
			return nil, fmt.Errorf("file: read shared strings: %w", err)
		}
	}
	return cached.data, nil
}

func (t *stringTable) close() error {
	if t.file == nil {
		return nil
	}
	return errors.Join(t.file.Close(), os.Remove(t.file.Name()))
}
