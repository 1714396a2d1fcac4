package file

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// cell is one cell of a file as text. An empty cell has no text. Bytes are
// valid until the next row is read.
type cell struct {
	text []byte
	bad  bool // not readable: an error value of a formula, bytes that are no text
}

// rowReader reads the rows of a file in order.
type rowReader interface {
	// next returns the cells and the number of the row, counted as the person who
	// opens the file sees it. It returns io.EOF after the last.
	next() ([]cell, int, error)
}

var errTooLarge = errors.New("the file is larger than allowed")

const (
	sampleBytes    = 64 << 10
	maxColumns     = 1024
	utf8Mark       = "\xef\xbb\xbf"
	csvDelimiters  = ",;\t|"
	headerDistance = 20 // rows in which the header is looked for
)

// csvReader splits text into rows. Unlike encoding/csv it keeps line ends
// inside quotes as they are, forgives stray quotes, and counts rows, which is
// what a spreadsheet shows.
type csvReader struct {
	in        *bufio.Reader
	delimiter byte
	maxCell   int
	number    int
	buffer    []byte
	ends      []int
	cells     []cell
}

func newCSVReader(in io.Reader, delimiter byte, maxCell int) *csvReader {
	return &csvReader{in: bufio.NewReaderSize(in, 256<<10), delimiter: delimiter, maxCell: maxCell}
}

func (r *csvReader) next() ([]cell, int, error) {
	for {
		any, err := r.record()
		if err != nil {
			return nil, 0, err
		}
		r.number++
		if !any {
			continue // an empty line
		}
		r.cells = r.cells[:0]
		start := 0
		for _, end := range r.ends {
			text := r.buffer[start:end]
			r.cells = append(r.cells, cell{text: text, bad: !utf8.Valid(text)})
			start = end
		}
		return r.cells, r.number, nil
	}
}

// record reads one record into buffer and ends. It reports whether it holds anything.
func (r *csvReader) record() (bool, error) {
	r.buffer, r.ends = r.buffer[:0], r.ends[:0]
	start, quoted, wasQuoted := 0, false, false
	read := false
	for {
		c, err := r.in.ReadByte()
		if err != nil {
			if !errors.Is(err, io.EOF) || !read {
				return false, err
			}
			r.ends = append(r.ends, len(r.buffer))
			return r.filled(), nil
		}
		read = true
		switch {
		case quoted && c == '"':
			if peek, err := r.in.Peek(1); err == nil && peek[0] == '"' {
				_, _ = r.in.ReadByte()
				r.buffer = append(r.buffer, '"')
				continue
			}
			quoted = false
		case quoted:
			r.buffer = append(r.buffer, c)
		case c == '"' && len(r.buffer) == start && !wasQuoted:
			quoted, wasQuoted = true, true
		case c == r.delimiter:
			r.ends = append(r.ends, len(r.buffer))
			start, wasQuoted = len(r.buffer), false
			if len(r.ends) > maxColumns {
				return false, errTooLarge
			}
		case c == '\n':
			if !wasQuoted {
				r.buffer = r.buffer[:start+len(bytes.TrimSuffix(r.buffer[start:], []byte("\r")))]
			}
			r.ends = append(r.ends, len(r.buffer))
			return r.filled(), nil
		case c == '\r' && wasQuoted: // of the line end after a closing quote
		default:
			r.buffer = append(r.buffer, c)
		}
		if len(r.buffer)-start > r.maxCell {
			return false, errTooLarge
		}
	}
}

func (r *csvReader) filled() bool { return len(r.ends) > 1 || len(r.buffer) > 0 }

// decodeText removes the byte order mark and turns UTF-16 into UTF-8.
func decodeText(in io.Reader) io.Reader {
	buffered := bufio.NewReaderSize(in, sampleBytes)
	head, _ := buffered.Peek(sampleBytes)
	switch {
	case bytes.HasPrefix(head, []byte(utf8Mark)):
		_, _ = buffered.Discard(len(utf8Mark))
		return buffered
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}):
		_, _ = buffered.Discard(2)
		return &utf16Reader{in: buffered, order: binary.LittleEndian}
	case bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		_, _ = buffered.Discard(2)
		return &utf16Reader{in: buffered, order: binary.BigEndian}
	}
	// Without a mark: text in Latin letters has a zero in every second byte.
	even, odd := 0, 0
	for i, c := range head {
		if c == 0 && i%2 == 0 {
			even++
		} else if c == 0 {
			odd++
		}
	}
	switch {
	case odd > len(head)/8 && odd > even:
		return &utf16Reader{in: buffered, order: binary.LittleEndian}
	case even > len(head)/8:
		return &utf16Reader{in: buffered, order: binary.BigEndian}
	}
	return buffered
}

type utf16Reader struct {
	in      *bufio.Reader
	order   binary.ByteOrder
	pending []byte
	high    rune // a surrogate that waits for its other half
}

func (r *utf16Reader) Read(p []byte) (int, error) {
	for len(r.pending) == 0 {
		var unit [2]byte
		if _, err := io.ReadFull(r.in, unit[:]); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = io.EOF // a lone last byte
			}
			if r.high != 0 {
				r.high = 0
				r.pending = utf8.AppendRune(r.pending, utf8.RuneError)
				break
			}
			return 0, err
		}
		c := rune(r.order.Uint16(unit[:]))
		switch {
		case r.high != 0:
			whole := utf16.DecodeRune(r.high, c)
			r.pending = utf8.AppendRune(r.pending, whole)
			if whole == utf8.RuneError && !utf16.IsSurrogate(c) {
				r.pending = utf8.AppendRune(r.pending, c)
			}
			r.high = 0
		case utf16.IsSurrogate(c):
			r.high = c
		default:
			r.pending = utf8.AppendRune(r.pending, c)
		}
	}
	n := copy(p, r.pending)
	r.pending = r.pending[:copy(r.pending, r.pending[n:])]
	return n, nil
}

// openCSV chooses the delimiter with which the header is found; of several, the
// one that makes most columns.
func openCSV(in io.Reader, wanted func([][]string) (int, bool), maxCell int) rowReader {
	text := bufio.NewReaderSize(decodeText(in), sampleBytes)
	sample, _ := text.Peek(sampleBytes)
	best, most := csvDelimiters[0], 0
	for i := range len(csvDelimiters) {
		reader := newCSVReader(bytes.NewReader(sample), csvDelimiters[i], maxCell)
		var rows [][]string
		for len(rows) < headerDistance {
			cells, _, err := reader.next()
			if err != nil {
				break
			}
			rows = append(rows, texts(cells))
		}
		if width, found := wanted(rows); found && width > most {
			best, most = csvDelimiters[i], width
		}
	}
	return newCSVReader(text, best, maxCell)
}

func texts(cells []cell) []string {
	row := make([]string, len(cells))
	for i := range cells {
		row[i] = string(cells[i].text)
	}
	return row
}
