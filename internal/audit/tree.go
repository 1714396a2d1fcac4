package audit

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/durable"
	"github.com/lienthong/lienthong/internal/trust"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
	"k8s.io/klog/v2"
)

const (
	checkpointFile  = layout.CheckpointPath
	countersignFile = checkpointFile + ".jws"
	stateFile       = ".state/treeState"

	tileWidth = layout.TileWidth

	// flushAge is how long Tessera waits for more of a group that is not full. Our
	// writer hands a group over in one go, so this is only latency.
	flushAge = 2 * time.Millisecond
	// cleanInterval is how often partial tiles that have filled up are removed.
	cleanInterval = time.Minute
)

// openTree starts Tessera on the directory.
//
// It asks the driver for its appender directly, as tessera.NewAppender does,
// and leaves out what that adds: a goroutine that reads the state file ten times
// a second for a latency metric, and a shutdown that Log.Close does itself.
func openTree(ctx context.Context, config Config, signer note.Signer) (tessera.AddFn, tessera.LogReader, error) {
	if err := quiet(); err != nil {
		return nil, nil, err
	}
	driver, err := posix.New(ctx, posix.Config{Path: config.Dir})
	if err != nil {
		return nil, nil, err
	}
	storage, ok := driver.(*posix.Storage)
	if !ok {
		return nil, nil, fmt.Errorf("unexpected driver %T", driver)
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithBatching(maxGroup, flushAge).
		WithCheckpointInterval(config.HeadInterval).
		WithCheckpointRepublishInterval(0). // an unchanged head is not signed again
		WithGarbageCollectionInterval(cleanInterval)
	appender, reader, err := storage.Appender(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	return appender.Add, reader, nil
}

// quietOnce guards settings that klog, Tessera's logging library, has only once
// for the whole process and does not guard itself.
var quietOnce sync.Once //nolint:gochecknoglobals // see above

// quiet keeps klog from writing to standard error. What it would say reaches us
// as errors: a failed write through Append, a failed head through headSigner and
// Close.
func quiet() (err error) {
	quietOnce.Do(func() {
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		klog.InitFlags(flags)
		err = flags.Set("stderrthreshold", "FATAL")
		klog.SetOutput(io.Discard)
		klog.LogToStderr(false)
	})
	return err
}

// headSigner signs heads for Tessera. It countersigns first, so that no head is
// published without.
type headSigner struct {
	note.Signer
	log *Log
}

func (s headSigner) Sign(text []byte) ([]byte, error) {
	signature, err := s.sign(text)
	if err != nil {
		s.log.config.Log.Error("audit head not signed",
			slog.String("dir", s.log.config.Dir), slog.String("error", err.Error()))
	}
	return signature, err
}

func (s headSigner) sign(text []byte) ([]byte, error) {
	if countersign := s.log.config.Countersign; countersign != nil {
		signature, err := countersign(text)
		if err != nil {
			return nil, fmt.Errorf("countersign head: %w", err)
		}
		signed, err := trust.Attach(text, signature)
		if err != nil {
			return nil, fmt.Errorf("countersign head: %w", err)
		}
		if err := durable.WriteFile(filepath.Join(s.log.config.Dir, countersignFile), signed, 0o644); err != nil {
			return nil, fmt.Errorf("countersign head: %w", err)
		}
	}
	signature, err := s.Signer.Sign(text)
	if err != nil {
		return nil, err
	}
	s.log.signed.Store(&signedAt{text: string(text), at: s.log.config.Now()})
	return signature, nil
}

// hash is a node of the tree.
type hash = [sha256.Size]byte

// treeHead is a size and the root at that size.
type treeHead struct {
	origin string
	size   uint64
	root   hash
}

// openHead verifies a signed head. It accepts one spelling only, so that no
// bit of the file can be changed unseen.
func openHead(data []byte, verifier note.Verifier) (*note.Note, treeHead, error) {
	opened, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return nil, treeHead{}, err
	}
	for _, signature := range append(append([]note.Signature(nil), opened.Sigs...), opened.UnverifiedSigs...) {
		if _, err := base64.StdEncoding.Strict().DecodeString(signature.Base64); err != nil {
			return nil, treeHead{}, errors.New("a signature is not in canonical base64")
		}
	}
	if len(opened.UnverifiedSigs) > 0 {
		return nil, treeHead{}, errors.New("a signature of an unknown key")
	}
	head, err := parseHead(opened.Text)
	if err == nil && head.origin != verifier.Name() {
		err = fmt.Errorf("the head of another log, %s", head.origin)
	}
	return opened, head, err
}

// parseHead reads the text of a C2SP checkpoint: origin, size, root.
func parseHead(text string) (treeHead, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[len(lines)-1] != "" {
		return treeHead{}, errors.New("not the text of a head")
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return treeHead{}, errors.New("the head's size is not a number")
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != sha256.Size {
		return treeHead{}, errors.New("the head's root is not a digest")
	}
	return treeHead{origin: lines[0], size: size, root: hash(root)}, nil
}

// treeState is how far the tree reaches on disk, which may be further than the
// signed head.
func readState(dir string) (treeHead, error) {
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return treeHead{}, err
	}
	var state struct {
		Size uint64 `json:"size"`
		Root []byte `json:"root"`
	}
	if err := json.Unmarshal(data, &state); err != nil {
		return treeHead{}, fmt.Errorf("tree state: %w", err)
	}
	if len(state.Root) != sha256.Size {
		return treeHead{}, errors.New("tree state: the root is not a digest")
	}
	return treeHead{size: state.Size, root: hash(state.Root)}, nil
}

// recover makes sure that an existing log is whole enough to go on, before
// Tessera, which would quietly begin anew, sees it. It removes what a crash in
// the middle of a write has left beyond the end of the tree.
func (l *Log) recover() error {
	dir := l.config.Dir
	var head treeHead
	data, err := os.ReadFile(filepath.Join(dir, checkpointFile))
	switch {
	case errors.Is(err, fs.ErrNotExist): // a crash before the first head
	case err != nil:
		return fmt.Errorf("open audit log: %w", err)
	default:
		if _, head, err = openHead(data, l.verifier); err != nil {
			return damaged(filepath.Join(dir, checkpointFile), err)
		}
	}
	state, err := readState(dir)
	if err != nil {
		return damaged(filepath.Join(dir, stateFile), err)
	}
	if state.size < head.size || state.size == head.size && head.size > 0 && state.root != head.root {
		return damaged(filepath.Join(dir, stateFile),
			fmt.Errorf("the tree has %d entries and the signed head %d", state.size, head.size))
	}
	for _, path := range beyond(state.size) {
		if err := durable.Remove(filepath.Join(dir, path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := removePartials(dir, state.size); err != nil {
		return err
	}
	return removeTemporary(dir, state.size)
}

// removeTemporary removes what Tessera had not yet renamed when it was killed:
// files whose names are those of the final ones with a number after them.
func removeTemporary(dir string, size uint64) error {
	unfinished := map[string][]string{ // directory -> names of the final files; none: tiles, three digits
		"": {checkpointFile}, filepath.Dir(stateFile): {filepath.Base(stateFile), "gcState", "version"},
	}
	for _, path := range beyond(size) {
		unfinished[filepath.Dir(path)] = nil
	}
	for directory, finals := range unfinished {
		entries, err := os.ReadDir(filepath.Join(dir, directory))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("clean audit log: %w", err)
		}
		for _, entry := range entries {
			if !entry.IsDir() && temporary(entry.Name(), finals) {
				if err := durable.Remove(filepath.Join(dir, directory, entry.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func temporary(name string, finals []string) bool {
	if len(finals) == 0 {
		return len(name) > 3 && digits(name)
	}
	for _, final := range finals {
		if number, ok := strings.CutPrefix(name, final); ok && digits(number) {
			return true
		}
	}
	return false
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// beyond lists the full tiles and bundles that an interrupted group may have
// written past the end of a tree of the size.
func beyond(size uint64) []string {
	var paths []string
	const reach = maxGroup/tileWidth + 1
	for index := size / tileWidth; index <= size/tileWidth+reach; index++ {
		paths = append(paths, layout.EntriesPath(index, 0))
	}
	for level, width := uint64(0), size; level < 8; level, width = level+1, width/tileWidth {
		for index := width / tileWidth; index <= width/tileWidth+reach; index++ {
			paths = append(paths, layout.TilePath(level, index, 0))
		}
	}
	return paths
}

// removePartials removes partial tiles and bundles at the right edge that hold
// more than the tree of the size does.
func removePartials(dir string, size uint64) error {
	drop := func(full string, have uint64) error {
		entries, err := os.ReadDir(filepath.Join(dir, full+".p"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("clean audit log: %w", err)
		}
		for _, entry := range entries {
			partial, err := strconv.ParseUint(entry.Name(), 10, 8)
			if err != nil || partial > have { // err: a temporary file
				if err := durable.Remove(filepath.Join(dir, full+".p", entry.Name())); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for offset := range uint64(maxGroup/tileWidth + 2) {
		index := size/tileWidth + offset
		have := uint64(0)
		if offset == 0 {
			have = size % tileWidth
		}
		if err := drop(layout.EntriesPath(index, 0), have); err != nil {
			return err
		}
		for level, width := uint64(0), size; level < 8; level, width = level+1, width/tileWidth {
			have := uint64(0)
			if offset == 0 {
				have = width % tileWidth
			}
			if err := drop(layout.TilePath(level, width/tileWidth+offset, 0), have); err != nil {
				return err
			}
		}
	}
	return nil
}

func damaged(where string, cause error) error {
	return &lienthong.Error{
		Code: "audit.damaged", Where: where,
		Vi: "nhật ký kiểm toán bị hỏng hoặc bị sửa", En: "the audit log is damaged or has been changed",
		Hint: "chạy lienthong audit verify, rồi khôi phục thư mục từ bản sao lưu / run lienthong audit verify, then restore the directory from the backup",
		Err:  cause,
	}
}

// Record is an entry with its place.
type Record struct {
	Index uint64
	Entry Entry
}

// Read returns up to limit entries from the place on, oldest first.
func (l *Log) Read(ctx context.Context, from uint64, limit int) ([]Record, error) {
	size, err := l.reader.IntegratedSize(ctx) // partial bundles exist for the sizes that the state file had
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	var records []Record
	for from < size && len(records) < limit {
		index := from / tileWidth
		data, err := l.reader.ReadEntryBundle(ctx, index, layout.PartialTileSize(0, index, size))
		if err != nil {
			return nil, fmt.Errorf("read audit log: %w", err)
		}
		var bundle api.EntryBundle
		if err := bundle.UnmarshalText(data); err != nil {
			return nil, fmt.Errorf("read audit log: %w", err)
		}
		start := from
		for _, leaf := range bundle.Entries[min(from%tileWidth, uint64(len(bundle.Entries))):] {
			if from >= size || len(records) == limit {
				break
			}
			var entry Entry
			if err := json.Unmarshal(leaf, &entry); err != nil {
				return nil, fmt.Errorf("read audit log: %w", err)
			}
			records = append(records, Record{Index: from, Entry: entry})
			from++
		}
		if from == start {
			return nil, fmt.Errorf("read audit log: bundle %d ends before entry %d", index, from)
		}
	}
	return records, nil
}
