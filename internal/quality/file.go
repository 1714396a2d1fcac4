package quality

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"sync"

	"github.com/lienthong/lienthong"
)

// FileConfig says how CheckFile works. The zero value fits a file of the platform's own.
type FileConfig struct {
	// Workers is how many goroutines check. Default: the processors of the machine.
	Workers int
	// Block is how many bytes one of them takes at a time. Default: 256 KiB. A record that is
	// longer makes the block grow, up to 64 of them.
	Block int
	// At is the time of the check in microseconds. Default: the checker's clock.
	At int64
	// Broken is called for each record that breaks a rule, by one goroutine at a time and
	// in no particular order. Row and verdict are valid during the call.
	Broken func(row []lienthong.Value, verdict *Verdict)
}

const (
	defaultBlock = 256 << 10
	maxGrowth    = 64 // blocks that one record may fill
)

// FileResult is what a file's check found. Rows of the tally and Unreadable together are
// the records of the file.
type FileResult struct {
	Tally
	Unreadable int64 // records with another number of cells than the header
}

// Merge adds the result of another part.
func (r *FileResult) Merge(other *FileResult) {
	r.Tally.Merge(&other.Tally)
	r.Unreadable += other.Unreadable
}

// CheckFile checks every record of a CSV file as the platform writes them (RFC 4180,
// UTF-8, a header with the names of the fields, values in their canonical text, null as an
// empty cell without quotes, binary in base64). Columns that are no field of the shape
// are left alone; a field without a column makes the file unfit. The file is read once,
// and memory depends on Workers and Block, not on its size.
//
// A value that is not of its field's kind is Malformed, and breaks the rule "type". Quotes
// that are not as RFC 4180 has them end the check with an error, because nobody
// can say where the record ends; everything else is counted and the check goes on.
func (c *Checker) CheckFile(ctx context.Context, in io.Reader, config FileConfig) (FileResult, error) {
	if config.Workers <= 0 {
		config.Workers = runtime.GOMAXPROCS(0)
	}
	if config.Block <= 0 {
		config.Block = defaultBlock
	}
	if config.At == 0 {
		config.At = c.now().UnixMicro()
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	cut := newCutter(in, config)
	first, err := cut.header()
	if err != nil {
		return FileResult{}, err
	}
	plan, err := c.columns(first)
	if err != nil {
		return FileResult{}, err
	}

	var (
		wait   sync.WaitGroup
		turn   sync.Mutex // of Broken and of total
		total  FileResult
		blocks = make(chan block, config.Workers)
	)
	for range config.Workers {
		w := &fileWorker{
			checker: c.Clone(), plan: plan, at: config.At,
			row: make([]lienthong.Value, len(c.shape.Fields)), cells: make([][]byte, 0, len(plan)),
		}
		w.result.Failed = make([]int64, len(c.rules))
		if config.Broken != nil {
			w.broken = func(row []lienthong.Value, verdict *Verdict) {
				turn.Lock()
				defer turn.Unlock()
				config.Broken(row, verdict)
			}
		}
		wait.Go(func() {
			for b := range blocks {
				if ctx.Err() == nil {
					if err := w.check(b); err != nil {
						stop(err)
					}
				}
				cut.free <- b.data
			}
			turn.Lock()
			defer turn.Unlock()
			total.Merge(&w.result)
		})
	}
	for ctx.Err() == nil {
		b, err := cut.next(ctx)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				stop(err)
			}
			break
		}
		blocks <- b
	}
	close(blocks)
	wait.Wait()
	return total, context.Cause(ctx)
}

// block is a piece of the file that begins and ends between two records.
type block struct {
	data   []byte
	offset int64 // of its first byte in the file
}

// cutter reads a file in blocks. The buffers go round: free gives back what next gave out.
type cutter struct {
	in     io.Reader
	size   int
	free   chan []byte
	rest   []byte // bytes after the last record of the block before
	offset int64  // of rest
	ended  bool
}

func newCutter(in io.Reader, config FileConfig) *cutter {
	cut := &cutter{in: in, size: config.Block, free: make(chan []byte, 2*config.Workers+1)}
	for range cap(cut.free) {
		cut.free <- nil // made when it is needed
	}
	return cut
}

// header takes the first record off the file, without its line end.
func (c *cutter) header() ([]byte, error) {
	buffer := make([]byte, 0, c.size)
	for {
		n, err := io.ReadFull(c.in, buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		c.ended = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !c.ended {
			return nil, fmt.Errorf("quality: read file: %w", err)
		}
		end := bytes.IndexByte(buffer, '\n')
		for end >= 0 && bytes.Count(buffer[:end], []byte{'"'})%2 != 0 { // a line end inside quotes
			next := bytes.IndexByte(buffer[end+1:], '\n')
			if next < 0 {
				end = -1
				break
			}
			end += 1 + next
		}
		switch {
		case end >= 0:
			c.rest, c.offset = buffer[end+1:], int64(end+1)
			return bytes.TrimSuffix(buffer[:end:end], []byte{'\r'}), nil
		case c.ended:
			return bytes.TrimSuffix(buffer, []byte{'\r'}), nil
		case cap(buffer) >= maxGrowth*c.size:
			return nil, fileProblem(0, "dòng tiêu đề quá dài", "the header is too long")
		}
		buffer = append(make([]byte, 0, 2*cap(buffer)), buffer...)
	}
}

// next returns the next block, io.EOF after the last.
func (c *cutter) next(ctx context.Context) (block, error) {
	var buffer []byte
	select {
	case buffer = <-c.free:
	case <-ctx.Done():
		return block{}, context.Cause(ctx)
	}
	if need := max(c.size, 2*len(c.rest)); cap(buffer) < need {
		buffer = make([]byte, 0, need)
	}
	buffer = append(buffer[:0], c.rest...)
	for {
		if !c.ended {
			n, err := io.ReadFull(c.in, buffer[len(buffer):cap(buffer)])
			buffer = buffer[:len(buffer)+n]
			c.ended = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
			if err != nil && !c.ended {
				return block{}, fmt.Errorf("quality: read file: %w", err)
			}
		}
		if c.ended {
			c.rest = nil
			if len(buffer) == 0 {
				return block{}, io.EOF
			}
			b := block{data: buffer, offset: c.offset}
			c.offset += int64(len(buffer))
			return b, nil
		}
		if end := lastRecord(buffer); end > 0 {
			// The rest moves to memory of its own: the block is the worker's from here on.
			c.rest = append([]byte(nil), buffer[end:]...)
			b := block{data: buffer[:end], offset: c.offset}
			c.offset += int64(end)
			return b, nil
		}
		if cap(buffer) >= maxGrowth*c.size {
			return block{}, fileProblem(c.offset, "bản ghi quá dài, hoặc thiếu dấu ngoặc kép đóng", "a record is too long, or a quote is not closed")
		}
		buffer = append(make([]byte, 0, 2*cap(buffer)), buffer...)
	}
}

// lastRecord returns where the last whole record of the bytes ends, 0 when there is none.
// The bytes begin with a record, so a line end ends one when the quotes before it are even.
func lastRecord(data []byte) int {
	quotes := bytes.Count(data, []byte{'"'})
	for end := len(data); ; {
		at := bytes.LastIndexByte(data[:end], '\n')
		if at < 0 {
			return 0
		}
		quotes -= bytes.Count(data[at:end], []byte{'"'})
		if quotes%2 == 0 {
			return at + 1
		}
		end = at
	}
}

// fileColumn is what a column of the file is: a field of the shape, or nothing (-1).
type fileColumn struct {
	field int
	kind  lienthong.Kind
}

// columns reads the header.
func (c *Checker) columns(header []byte) ([]fileColumn, error) {
	names, ok := splitQuoted(nil, bytes.Clone(bytes.TrimPrefix(header, []byte("\ufeff"))))
	if !ok {
		return nil, fileProblem(0, "dòng tiêu đề không đúng RFC 4180", "the header is not as RFC 4180 has it")
	}
	plan := make([]fileColumn, len(names))
	seen := make([]bool, len(c.shape.Fields))
	for i, name := range names {
		plan[i].field = -1
		if field := c.shape.FieldIndex(string(name)); field >= 0 && !seen[field] {
			plan[i] = fileColumn{field: field, kind: c.shape.Fields[field].Kind}
			seen[field] = true
		}
	}
	for i, found := range seen {
		if !found {
			name := c.shape.Fields[i].Name
			return nil, &lienthong.Error{
				Code: "quality.column", Where: c.shape.Dataset.String() + ", " + name,
				Vi: "tệp không có cột của trường này", En: "the file has no column for the field",
				Hint: "xuất lại tệp với đủ các trường / export the file with all fields",
			}
		}
	}
	return plan, nil
}

func fileProblem(offset int64, vi, en string) error {
	return &lienthong.Error{Code: "quality.file", Where: "byte " + strconv.FormatInt(offset, 10), Vi: vi, En: en}
}
