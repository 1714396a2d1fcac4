package app

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/quality"
	"github.com/lienthong/lienthong/internal/ticket"
)

// keptRows are the records that a workbook corrects, as the source has them now. They wait in a
// file of the node's own directory: memory holds only where each begins.
type keptRows struct {
	file   *os.File
	out    *bufio.Writer
	asked  map[string]struct{}
	places map[string]keptPlace
	fields int
	end    int64
	buffer []byte
}

type keptPlace struct {
	offset int64
	length int
}

// keptRow is one of them.
type keptRow struct {
	values, source []lienthong.Value
	failed         []int // rules that it breaks now
}

func newKeptRows(dir string, asked map[string]struct{}, fields int) (*keptRows, error) {
	file, err := os.CreateTemp(dir, "rows-*")
	if err != nil {
		return nil, fmt.Errorf("make a file for rows: %w", err)
	}
	return &keptRows{file: file, out: bufio.NewWriter(file), asked: asked, places: make(map[string]keptPlace, len(asked)), fields: fields}, nil
}

func (k *keptRows) close() {
	_ = k.file.Close()
	_ = os.Remove(k.file.Name())
}

func (k *keptRows) put(now *capture.RowNow) error {
	b := binary.AppendUvarint(k.buffer[:0], uint64(len(now.Failed)))
	for _, rule := range now.Failed {
		b = binary.AppendUvarint(b, uint64(rule))
	}
	b = appendKept(appendKept(b, now.Values), now.Source)
	k.buffer = b
	if _, err := k.out.Write(b); err != nil {
		return fmt.Errorf("keep a row: %w", err)
	}
	k.places[now.Record] = keptPlace{k.end, len(b)}
	k.end += int64(len(b))
	return nil
}

func appendKept(b []byte, values []lienthong.Value) []byte {
	b = binary.AppendUvarint(b, uint64(len(values)))
	for i := range values {
		v := &values[i]
		b = append(b, byte(v.State))
		b = binary.AppendVarint(b, v.Int)
		b = binary.AppendUvarint(b, uint64(len(v.Bytes)))
		b = append(b, v.Bytes...)
	}
	return b
}

// get reads a row back. It is false for a record that the source does not have.
func (k *keptRows) get(record string) (keptRow, bool, error) {
	place, found := k.places[record]
	if !found {
		return keptRow{}, false, nil
	}
	if err := k.out.Flush(); err != nil {
		return keptRow{}, false, fmt.Errorf("keep a row: %w", err)
	}
	raw := make([]byte, place.length)
	if _, err := k.file.ReadAt(raw, place.offset); err != nil {
		return keptRow{}, false, fmt.Errorf("read a row back: %w", err)
	}
	var row keptRow
	r := keptReader{raw: raw}
	for range r.count() {
		row.failed = append(row.failed, r.count())
	}
	row.values, row.source = r.values(), r.values()
	if r.bad || len(r.raw) > 0 {
		return keptRow{}, false, errors.New("read a row back: not as it was written")
	}
	return row, true, nil
}

type keptReader struct {
	raw []byte
	bad bool
}

// count reads a number that is not larger than what follows it can be.
func (r *keptReader) count() int {
	v, n := binary.Uvarint(r.raw)
	if n <= 0 || v > 1<<31 {
		r.bad, r.raw = true, nil
		return 0
	}
	r.raw = r.raw[n:]
	return int(v)
}

func (r *keptReader) values() []lienthong.Value {
	n := r.count()
	if n > len(r.raw) {
		r.bad = true
		return nil
	}
	out := make([]lienthong.Value, n)
	for i := range out {
		if len(r.raw) == 0 {
			r.bad = true
			return nil
		}
		out[i].State, r.raw = lienthong.State(r.raw[0]), r.raw[1:]
		number, used := binary.Varint(r.raw)
		if used <= 0 {
			r.bad = true
			return nil
		}
		out[i].Int, r.raw = number, r.raw[used:]
		length := r.count()
		if length > len(r.raw) {
			r.bad = true
			return nil
		}
		if length > 0 {
			out[i].Bytes, r.raw = r.raw[:length:length], r.raw[length:]
		}
	}
	return out
}

// current is ticket.Workbook.Current. A record that nothing can be taken of was not asked for: of
// it nothing is known, and what is written is judged by itself.
func (k *keptRows) current(_ context.Context, record string) ([]lienthong.Value, bool, error) {
	if _, asked := k.asked[record]; !asked {
		values := make([]lienthong.Value, k.fields)
		for i := range values {
			values[i].State = lienthong.Unchanged
		}
		return values, true, nil
	}
	row, found, err := k.get(record)
	return row.values, found, err
}

// unsettled leaves out what the source has put right since the workbook was made: no rule of the
// field fails any more, so an old correction has nothing to say about the value that is there now.
func (k *keptRows) unsettled(checker *quality.Checker, list []ticket.Correction) ([]ticket.Correction, error) {
	rules := checker.Rules()
	var left []ticket.Correction
	for i := range list {
		row, _, err := k.get(list[i].Record)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(row.failed, func(rule int) bool { return rules[rule].Field == list[i].Field }) {
			left = append(left, list[i])
		}
	}
	return left, nil
}
