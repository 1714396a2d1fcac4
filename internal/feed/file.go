package feed

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/durable"
	"github.com/lienthong/lienthong/internal/store"
)

// Format is the format of a bulk file.
type Format string

// The formats.
const (
	Parquet Format = "parquet" // logical types, zstd
	CSV     Format = "csv"     // RFC 4180, UTF-8, a header, CRLF; null is an empty field without quotes
	NDJSON  Format = "ndjson"  // one record a line, as in events
)

// FileState is how far a bulk file is.
type FileState string

// The states.
const (
	Building FileState = "building"
	Ready    FileState = "ready"
	Broken   FileState = "failed"
)

// FileField describes a column of a bulk file.
type FileField struct {
	Name string         `json:"name"`
	Kind lienthong.Kind `json:"kind"`
}

// File is the manifest of a bulk file.
type File struct {
	Name     string              `json:"name"`
	Dataset  lienthong.DatasetID `json:"dataset"`
	Format   Format              `json:"format"`
	State    FileState           `json:"state"`
	Sequence uint64              `json:"sequence"` // to go on from with changes
	Rows     int64               `json:"rows"`
	Bytes    int64               `json:"bytes"`
	SHA256   string              `json:"sha256,omitempty"`
	Fields   []FileField         `json:"fields"`
	Created  time.Time           `json:"created"`
	Expires  time.Time           `json:"expires"`
	Code     string              `json:"code,omitempty"` // of what went wrong

	subscription string
}

// maxFiles is how many files a subscription may have at a time.
const maxFiles = 4

// Build begins to write a bulk file in the background and returns its manifest.
func (r *Reader) Build(ctx context.Context, format Format) (*File, error) {
	f := r.feeds
	if !slices.Contains([]Format{Parquet, CSV, NDJSON}, format) {
		return nil, problem("feed.format", string(format), "không có định dạng này", "no such format", "parquet, csv, ndjson")
	}
	now := f.config.Now().UTC()
	unique := make([]byte, 8)
	_, _ = rand.Read(unique) // never fails
	file := &File{
		Name:    r.reader.ID + "." + hex.EncodeToString(unique) + "." + string(format),
		Dataset: r.reader.Dataset, Format: format, State: Building, Fields: r.reader.fileFields(), Created: now, Expires: now.Add(f.config.FileLifetime),
		subscription: r.reader.ID,
	}
	f.removeFiles(ctx, func(old *File) bool { return old.State != Building && now.After(old.Expires) })
	f.mu.Lock()
	have := 0
	for _, other := range f.files {
		if other.subscription == r.reader.ID && other.State != Broken {
			have++
		}
	}
	if have >= maxFiles {
		f.mu.Unlock()
		return nil, problem("feed.files", r.reader.ID, "đã có đủ số tệp cho đăng ký này", "the subscription has as many files as it may",
			"xoá tệp cũ hoặc chờ hết hạn / delete an old file, or wait until one expires")
	}
	f.files[file.Name] = file
	manifest := *file
	f.mu.Unlock()
	reader := &Reader{feeds: f, reader: r.reader, delivery: r.delivery}
	f.background(ctx, func(ctx context.Context) { reader.build(ctx, file) })
	return &manifest, nil
}

func (r *reader) fileFields() []FileField {
	fields := []FileField{{"_id", lienthong.Text}, {"_version", lienthong.Integer}, {"_at", lienthong.Timestamp}}
	for i, name := range r.Fields {
		fields = append(fields, FileField{name, r.view.Fields[i].Kind})
	}
	return fields
}

// build writes the file and then its manifest: a file without one is nobody's.
func (r *Reader) build(ctx context.Context, file *File) {
	f := r.feeds
	done := *file
	result, err := r.writeSnapshot(ctx, filepath.Join(f.dir(file.subscription), file.Name), file.Format)
	if err == nil {
		done.State, done.Sequence, done.Rows, done.Bytes, done.SHA256 = Ready, result.sequence, result.rows, result.bytes, result.sum
		var body []byte
		if body, err = json.Marshal(done); err == nil {
			err = durable.WriteFile(filepath.Join(f.dir(file.subscription), file.Name+".json"), body, 0o600)
		}
	}
	if err != nil {
		done.State, done.Code = Broken, lienthong.ErrorCode(err)
		f.config.Log.WarnContext(ctx, "feed: bulk file not built", slog.String("subscription", file.subscription), slog.Any("error", err))
		_ = os.Remove(filepath.Join(f.dir(file.subscription), file.Name))
	}
	f.mu.Lock()
	if f.files[file.Name] != nil {
		f.files[file.Name] = &done
	}
	f.mu.Unlock()
}

// Files lists the manifests of the subscription's files, newest first.
func (r *Reader) Files() []File {
	f := r.feeds
	f.mu.Lock()
	defer f.mu.Unlock()
	files := []File{}
	for _, file := range f.files {
		if file.subscription == r.reader.ID {
			files = append(files, *file)
		}
	}
	slices.SortFunc(files, func(a, b File) int {
		if n := b.Created.Compare(a.Created); n != 0 {
			return n
		}
		return strings.Compare(a.Name, b.Name)
	})
	return files
}

// File returns the manifest of one of the subscription's files.
func (r *Reader) File(name string) (*File, error) {
	f := r.feeds
	f.mu.Lock()
	defer f.mu.Unlock()
	file := f.files[name]
	if file == nil || file.subscription != r.reader.ID || file.State != Building && f.config.Now().After(file.Expires) {
		return nil, problem("feed.file", "", "không có tệp này, hoặc tệp đã hết hạn", "no such file, or it has expired",
			"tạo tệp mới: POST …/files / make a new one: POST …/files")
	}
	manifest := *file
	return &manifest, nil
}

// Open opens a file that is ready. The read of its records is reported here, once for each opening
// at its beginning.
func (r *Reader) Open(ctx context.Context, name string, fromStart bool) (*os.File, *File, error) {
	manifest, err := r.File(name)
	if err != nil {
		return nil, nil, err
	}
	if manifest.State != Ready {
		return nil, nil, problem("feed.building", "", "tệp chưa sẵn sàng", "the file is not ready", "hỏi lại manifest sau ít giây / ask for the manifest again in some seconds")
	}
	opened, err := os.Open(filepath.Join(r.feeds.dir(r.reader.ID), name))
	if err != nil {
		return nil, nil, fmt.Errorf("feed: open file: %w", err)
	}
	if fromStart {
		r.read(ctx, int(manifest.Rows), 0, manifest.Sequence)
	}
	return opened, manifest, nil
}

// RemoveFile removes one of the subscription's files.
func (r *Reader) RemoveFile(ctx context.Context, name string) error {
	if _, err := r.File(name); err != nil {
		return err
	}
	r.feeds.removeFiles(ctx, func(file *File) bool { return file.Name == name })
	return nil
}

func (f *Feeds) removeFiles(ctx context.Context, which func(*File) bool) {
	f.mu.Lock()
	var paths []string
	for name, file := range f.files {
		if which(file) {
			delete(f.files, name)
			paths = append(paths, filepath.Join(f.dir(file.subscription), name))
		}
	}
	f.mu.Unlock()
	for _, path := range paths {
		// The manifest goes first: what is left by a crash between the two is nobody's.
		for _, p := range []string{path + ".json", path} {
			if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
				f.config.Log.WarnContext(ctx, "feed: file not removed", slog.Any("error", err))
			}
		}
	}
}

// loadFiles finds the files of before that are whole, and removes the others.
func (f *Feeds) loadFiles(ctx context.Context) {
	paths, _ := filepath.Glob(filepath.Join(f.config.Dir, "*", "*")) // the pattern is right
	for _, path := range paths {
		if strings.HasSuffix(path, ".json") {
			continue
		}
		id := filepath.Base(filepath.Dir(path))
		if strings.HasPrefix(filepath.Base(path), webhookSnapshot) && f.active[id] != nil {
			continue // its sender goes on from it
		}
		file := &File{subscription: id}
		body, err := os.ReadFile(path + ".json")
		if err == nil {
			err = json.Unmarshal(body, file)
		}
		info, statErr := os.Stat(path)
		if err == nil && statErr == nil && f.active[id] != nil && file.Name == filepath.Base(path) && file.Bytes == info.Size() {
			f.files[file.Name] = file
			continue
		}
		f.config.Log.DebugContext(ctx, "feed: unfinished file removed", slog.String("subscription", id))
		_ = os.Remove(path + ".json")
		_ = os.Remove(path)
	}
}

// Snapshot is all records of a subscription as of one sequence, one JSON object a
// line. It lies in a file, so that a slow consumer keeps no view of the store open. Close removes it.
type Snapshot struct {
	Sequence uint64
	Rows     int64
	Size     int64 // bytes
	file     *os.File
	in       *bufio.Reader
}

// Snapshot writes one. It reports the read.
func (r *Reader) Snapshot(ctx context.Context) (*Snapshot, error) {
	unique := make([]byte, 8)
	_, _ = rand.Read(unique) // never fails
	path := filepath.Join(r.feeds.dir(r.reader.ID), "snapshot."+hex.EncodeToString(unique))
	result, err := r.writeSnapshot(ctx, path, NDJSON)
	if err != nil {
		_ = os.Remove(path)
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("feed: open snapshot: %w", err)
	}
	r.read(ctx, int(result.rows), 0, result.sequence)
	return &Snapshot{Sequence: result.sequence, Rows: result.rows, Size: result.bytes, file: file, in: bufio.NewReaderSize(file, 64<<10)}, nil
}

// Read implements io.Reader.
func (s *Snapshot) Read(p []byte) (int, error) { return s.in.Read(p) }

// Line returns the next record's JSON, io.EOF after the last.
func (s *Snapshot) Line() ([]byte, error) {
	line, err := s.in.ReadBytes('\n')
	return bytes.TrimSuffix(line, []byte("\n")), err
}

// Close implements io.Closer.
func (s *Snapshot) Close() error {
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}

type snapshotResult struct {
	sequence uint64
	rows     int64
	bytes    int64
	sum      string
}

// writeSnapshot writes the subscription's records as of one moment. Memory does not
// depend on their number.
func (r *Reader) writeSnapshot(ctx context.Context, path string, format Format) (result snapshotResult, err error) {
	f := r.feeds
	select {
	case f.frozen <- struct{}{}:
		defer func() { <-f.frozen }()
	case <-ctx.Done():
		return result, ctx.Err()
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return result, fmt.Errorf("feed: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return result, fmt.Errorf("feed: make file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	view, err := f.config.Store.Freeze(ctx)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	head, err := view.FeedHead(ctx, r.reader.Dataset)
	if err != nil {
		return result, err
	}
	result.sequence = head.Sequence
	sum := &summed{out: bufio.NewWriterSize(file, 256<<10), hash: sha256.New()}
	var rows rowWriter
	switch format {
	case Parquet:
		rows = newParquetFile(r.reader, sum)
	case CSV:
		rows, err = newCSVFile(r.reader, sum)
	case NDJSON:
		rows = &ndjsonFile{reader: r.reader, out: sum}
	}
	if err != nil {
		return result, err
	}
	err = view.FeedRecords(ctx, r.reader.view, func(rec *store.FeedRecord) error {
		if r.reader.rows != nil && !r.reader.rows.matches(rec.Values) {
			return nil
		}
		result.rows++
		return rows.write(rec)
	})
	if err == nil {
		err = rows.close()
	}
	if err == nil {
		err = sum.out.Flush()
	}
	if err == nil {
		err = file.Sync()
	}
	result.bytes, result.sum = sum.bytes, hex.EncodeToString(sum.hash.Sum(nil))
	return result, err
}

type rowWriter interface {
	write(rec *store.FeedRecord) error
	close() error
}

type summed struct {
	out   *bufio.Writer
	hash  hash.Hash
	bytes int64
}

func (s *summed) Write(p []byte) (int, error) {
	n, err := s.out.Write(p)
	s.hash.Write(p[:n])
	s.bytes += int64(n)
	return n, err
}

type ndjsonFile struct {
	reader *reader
	out    io.Writer
	line   []byte
}

func (f *ndjsonFile) write(rec *store.FeedRecord) error {
	f.line = append(f.line[:0], '{')
	f.line = f.reader.appendRecord(f.line, rec, false)
	f.line = append(f.line, '}', '\n')
	_, err := f.out.Write(f.line)
	return err
}

func (f *ndjsonFile) close() error { return nil }

// csvFile writes values in their canonical text; binary in base64. An empty text is
// told from null by its quotes, which encoding/csv would not write.
type csvFile struct {
	reader *reader
	out    io.Writer
	line   []byte
	text   []byte
}

func newCSVFile(r *reader, out io.Writer) (*csvFile, error) {
	header := csv.NewWriter(out)
	header.UseCRLF = true
	if err := header.Write(slices.Concat(bookColumns(), r.Fields)); err != nil {
		return nil, fmt.Errorf("feed: write CSV: %w", err)
	}
	header.Flush()
	return &csvFile{reader: r, out: out}, header.Error()
}

func (f *csvFile) write(rec *store.FeedRecord) error {
	f.line = append(f.line[:0], f.reader.recordID(rec.Stream, rec.ID)...)
	f.line = append(f.line, ',')
	f.line = strconv.AppendInt(f.line, rec.Version, 10)
	f.line = append(f.line, ',')
	f.line = append(f.line, strings.Trim(string(appendMoment(nil, rec.At)), `"`)...)
	for i := range f.reader.Fields {
		f.line = append(f.line, ',')
		v := &rec.Values[i]
		if v.State != lienthong.Present {
			continue
		}
		switch kind := f.reader.view.Fields[i].Kind; kind {
		case lienthong.Text:
			f.line = appendCSV(f.line, v.Bytes)
		case lienthong.Date, lienthong.Timestamp, lienthong.Binary, lienthong.Real:
			f.text = appendValue(f.text[:0], kind, v)
			text := strings.Trim(string(f.text), `"`)
			if text == "" {
				text = `""`
			}
			f.line = append(f.line, text...)
		case lienthong.Integer, lienthong.Decimal, lienthong.Boolean:
			f.line = v.AppendText(f.line, kind)
		}
	}
	f.line = append(f.line, '\r', '\n')
	_, err := f.out.Write(f.line)
	return err
}

func appendCSV(b, text []byte) []byte {
	plain := len(text) > 0
	for _, c := range text {
		if c == ',' || c == '"' || c == '\r' || c == '\n' {
			plain = false
			break
		}
	}
	if plain && text[0] != ' ' && text[len(text)-1] != ' ' {
		return append(b, text...)
	}
	b = append(b, '"')
	for _, c := range text {
		if c == '"' {
			b = append(b, '"')
		}
		b = append(b, c)
	}
	return append(b, '"')
}

func (f *csvFile) close() error { return nil }
