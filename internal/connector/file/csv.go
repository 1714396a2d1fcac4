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

// fault is why a cell cannot be read, whatever its column wants.
type fault uint8

const (
	faultNone     fault = iota
	faultError          // an error value of a formula: #N/A, #REF!
	faultNoResult       // a formula that was never calculated
	faultEncoding       // bytes that are no text in the file's encoding
)

// cell is one cell of a file as text. An empty cell has no text. Bytes are
// valid until the next row is read.
type cell struct {
	text  []byte
	fault fault
	code  textCode // how the letters are written, if font is set
	font  bool
	// number is set for a cell that holds a number, of which text is the plain form.
	number bool
}

// rowReader reads the rows of a sheet or text in order.
type rowReader interface {
	// next returns the cells and the number of the row, counted as the person who
	// opens the file sees it. It returns io.EOF after the last.
	next() ([]cell, int, error)
	close() error
}

var errTooLarge = errors.New("the file is larger than allowed")

const (
	sampleBytes    = 64 << 10
	maxColumns     = 16384 // of a spreadsheet
	maxNamed       = 1024  // columns of a table
	utf8Mark       = "\xef\xbb\xbf"
	csvDelimiters  = ",;\t|^~"
	headerDistance = 30  // rows in which the header is looked for
	earlyRows      = 200 // rows by which the encoding of a column is judged
)

// csvReader splits text into rows. Unlike encoding/csv it keeps line ends
// inside quotes as they are, forgives stray quotes, and counts rows, which is
// what a spreadsheet shows.
type csvReader struct {
	in        *bufio.Reader
	closer    io.Closer
	delimiter byte
	maxCell   int
	number    int
	buffer    []byte
	ends      []int
	cells     []cell
}

func newCSVReader(in io.Reader, delimiter byte, maxCell int) *csvReader {
	buffered, ok := in.(*bufio.Reader)
	if !ok {
		buffered = bufio.NewReaderSize(in, 256<<10)
	}
	return &csvReader{in: buffered, delimiter: delimiter, maxCell: maxCell}
}

func (r *csvReader) close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

func (r *csvReader) next() ([]cell, int, error) {
	for {
		holds, err := r.record()
		if err != nil {
			return nil, 0, err
		}
		r.number++
		if !holds {
			continue // an empty line
		}
		r.cells = r.cells[:0]
		start := 0
		for _, end := range r.ends {
			r.cells = append(r.cells, cell{text: r.buffer[start:end:end]})
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
		// What needs no look at each byte is taken at once.
		if ahead, _ := r.in.Peek(max(1, r.in.Buffered())); len(ahead) > 0 {
			n := 0
			if quoted {
				if n = bytes.IndexByte(ahead, '"'); n < 0 {
					n = len(ahead)
				}
			} else {
				for n < len(ahead) && ahead[n] != r.delimiter && ahead[n] != '\n' && ahead[n] != '\r' && ahead[n] != '"' {
					n++
				}
			}
			if n > 0 {
				read = true
				if len(r.buffer)-start+n > r.maxCell {
					return false, errTooLarge
				}
				r.buffer = append(r.buffer, ahead[:n]...)
				_, _ = r.in.Discard(n)
				continue
			}
		}
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

// unmarked removes the byte order mark and turns UTF-16 into UTF-8. Without a wish it
// looks at the bytes.
func unmarked(in io.Reader, wish Encoding) (io.Reader, Encoding) {
	buffered := bufio.NewReaderSize(in, sampleBytes)
	head, _ := buffered.Peek(sampleBytes)
	utf16 := func(order binary.ByteOrder) (io.Reader, Encoding) {
		return &utf16Reader{in: buffered, order: order}, EncodingUTF16
	}
	switch {
	case bytes.HasPrefix(head, []byte(utf8Mark)):
		_, _ = buffered.Discard(len(utf8Mark))
		return buffered, EncodingUTF8
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}):
		_, _ = buffered.Discard(2)
		return utf16(binary.LittleEndian)
	case bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		_, _ = buffered.Discard(2)
		return utf16(binary.BigEndian)
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
	case odd > len(head)/8 && odd > even, wish == EncodingUTF16 && even == 0:
		return utf16(binary.LittleEndian)
	case even > len(head)/8:
		return utf16(binary.BigEndian)
	}
	return buffered, EncodingAuto
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

// textForm is how a text file is written.
type textForm struct {
	encoding  Encoding // auto: bytes of an old code, to be found out column by column
	delimiter byte
}

// openText opens a text as rows. The delimiter is the wish, what a first line "sep=;" says,
// or that with which the header is found, or the one that cuts most rows alike.
func openText(in io.ReadCloser, wish textForm, wanted func([][]string) (int, bool), maxCell int) (*csvReader, textForm) {
	decoded, encoding := unmarked(in, wish.encoding)
	text := bufio.NewReaderSize(decoded, 4*sampleBytes)
	sample, _ := text.Peek(sampleBytes)
	form := textForm{encoding: encoding, delimiter: wish.delimiter}
	skipped := 0
	if first, _, _ := bytes.Cut(sample, []byte("\n")); bytes.HasPrefix(first, []byte("sep=")) && len(bytes.TrimSpace(first)) <= 5 && len(first) >= 5 {
		if form.delimiter == 0 {
			form.delimiter = first[4]
		}
		_, _ = text.Discard(min(len(first)+1, len(sample)))
		sample = sample[min(len(first)+1, len(sample)):]
		skipped = 1
	}
	if form.delimiter == 0 {
		form.delimiter = findDelimiter(sample, wanted, maxCell)
	}
	r := newCSVReader(text, form.delimiter, maxCell)
	r.closer, r.number = in, skipped
	return r, form
}

func findDelimiter(sample []byte, wanted func([][]string) (int, bool), maxCell int) byte {
	best, most, alike := csvDelimiters[0], 0, 0.0
	byHeader := false
	for i := range len(csvDelimiters) {
		reader := newCSVReader(bytes.NewReader(sample), csvDelimiters[i], maxCell)
		var rows [][]string
		widths := map[int]int{}
		for len(rows) < 2*headerDistance {
			cells, _, err := reader.next()
			if err != nil {
				break
			}
			rows = append(rows, texts(cells))
			widths[len(cells)]++
		}
		if width, found := wanted(rows); found && (!byHeader || width > most) {
			best, most, byHeader = csvDelimiters[i], width, true
		}
		for width, n := range widths {
			if share := float64(n) / float64(len(rows)); !byHeader && width > 1 && share*float64(width) > alike {
				best, alike = csvDelimiters[i], share*float64(width)
			}
		}
	}
	return best
}

func texts(cells []cell) []string {
	row := make([]string, len(cells))
	for i := range cells {
		row[i] = string(cells[i].text)
	}
	return row
}
