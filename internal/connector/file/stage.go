package file

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// A staged file holds the rows of a file that is being imported, checked and in
// stored form, until they are merged into the state. It is appended to, and what is beyond the
// length that the job notes is dropped after a crash.
//
// An entry is its length, and then: a tag, the part's number, the row's number, and for
//
//	row   flags, the key with its length, the stored row
//	note  field, Vietnamese and English text, each with its length
type stagedEntry struct {
	note   bool
	part   int
	number int64
	flags  uint8
	key    []byte
	body   []byte
	text   note
}

const (
	tagRow  = 'R'
	tagNote = 'N'
)

// What a staged row is, other than a row with a key.
const (
	flagBroken uint8 = 1 << iota // without a usable key
	flagDelete                   // a row of a delta that deletes
)

type stageWriter struct {
	file    *os.File
	out     *bufio.Writer
	written int64 // with what is still in out
	entry   []byte
	head    [binary.MaxVarintLen64]byte
}

// openStage opens the staged file for appending after the bytes that count.
func openStage(name string, valid int64) (*stageWriter, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if err = f.Truncate(valid); err == nil {
		_, err = f.Seek(valid, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &stageWriter{file: f, out: bufio.NewWriterSize(f, 256<<10), written: valid}, nil
}

func (w *stageWriter) row(part int, number int64, flags uint8, key, body []byte) error {
	w.entry = append(w.entry[:0], tagRow)
	w.entry = binary.AppendUvarint(w.entry, uint64(part))
	w.entry = binary.AppendUvarint(w.entry, uint64(number))
	w.entry = append(w.entry, flags)
	w.entry = binary.AppendUvarint(w.entry, uint64(len(key)))
	w.entry = append(w.entry, key...)
	w.entry = append(w.entry, body...)
	return w.put()
}

func (w *stageWriter) note(part int, n note) error {
	w.entry = append(w.entry[:0], tagNote)
	w.entry = binary.AppendUvarint(w.entry, uint64(part))
	w.entry = binary.AppendUvarint(w.entry, uint64(n.Row))
	for _, text := range [...]string{n.Field, n.Vi, n.En} {
		w.entry = binary.AppendUvarint(w.entry, uint64(len(text)))
		w.entry = append(w.entry, text...)
	}
	return w.put()
}

func (w *stageWriter) put() error {
	head := binary.AppendUvarint(w.head[:0], uint64(len(w.entry)))
	if _, err := w.out.Write(head); err != nil {
		return err
	}
	_, err := w.out.Write(w.entry)
	w.written += int64(len(head) + len(w.entry))
	return err
}

// sync makes everything durable and returns the length that counts.
func (w *stageWriter) sync() (int64, error) {
	if err := w.out.Flush(); err != nil {
		return 0, err
	}
	return w.written, w.file.Sync()
}

func (w *stageWriter) close() error { return w.file.Close() }

// stageReader reads entries in order.
type stageReader struct {
	file   *os.File
	in     *bufio.Reader
	offset int64 // of the next entry
	buffer []byte
}

func readStage(name string, from, valid int64) (*stageReader, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	section := io.NewSectionReader(f, from, max(0, valid-from))
	return &stageReader{file: f, in: bufio.NewReaderSize(section, 256<<10), offset: from}, nil
}

func (r *stageReader) close() error { return r.file.Close() }

// next reads an entry, valid until the next call. io.EOF after the last.
func (r *stageReader) next(e *stagedEntry) error {
	size, err := binary.ReadUvarint(r.in)
	if err != nil {
		return err
	}
	if size > 1<<31 {
		return errDamaged
	}
	if uint64(cap(r.buffer)) < size {
		r.buffer = make([]byte, size)
	}
	r.buffer = r.buffer[:size]
	if _, err := io.ReadFull(r.in, r.buffer); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	r.offset += int64(len(binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen64), size))) + int64(size)
	return e.parse(r.buffer)
}

// parse reads what row and note write.
func (e *stagedEntry) parse(b []byte) error {
	if len(b) == 0 {
		return errDamaged
	}
	*e = stagedEntry{note: b[0] == tagNote}
	b = b[1:]
	part, n := binary.Uvarint(b)
	if n <= 0 || part > 1<<20 {
		return errDamaged
	}
	b = b[n:]
	number, n := binary.Uvarint(b)
	if n <= 0 || number > rowMask {
		return errDamaged
	}
	b = b[n:]
	e.part, e.number = int(part), int64(number)
	take := func() []byte {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			b = nil
			return nil
		}
		taken := b[n : n+int(size)]
		b = b[n+int(size):]
		return taken
	}
	if e.note {
		e.text = note{Row: e.number, Field: string(take()), Vi: string(take()), En: string(take())}
		if b == nil || len(b) > 0 {
			return errDamaged
		}
		return nil
	}
	if len(b) < 2 {
		return errDamaged
	}
	e.flags = b[0]
	b = b[1:]
	e.key = take()
	if b == nil {
		return errDamaged
	}
	e.body = b
	return nil
}
