// Package audit is the log that nobody can rewrite: an append-only Merkle tree
// on the file system (Tessera, in the C2SP tlog-tiles format), whose head is
// signed at short intervals.
//
// A leaf says that something happened: who, what, when, and the digest of the
// thing itself. It never holds a record, a name or any other personal value.
//
// Invariants:
//
//   - Append returns after the entry is on the disk and in the tree.
//   - Entries have numbers, No, that strictly increase with their place in the log.
//   - The head is signed with an Ed25519 key of the log's own, as the tlog
//     formats ask, and countersigned with the node's ES256 key, which is the
//     signature that counts in law. A head without countersignature is not
//     published when one is configured.
//   - Anyone with the files and the public key can check everything offline: Verify.
package audit

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/durable"
	"github.com/transparency-dev/tessera"
	"golang.org/x/mod/sumdb/note"
)

// Kind is what happened.
type Kind string

// The kinds of entry.
const (
	BatchSealed    Kind = "batch.sealed"
	BatchLanded    Kind = "batch.landed"
	Receipt        Kind = "receipt"
	Quarantine     Kind = "quarantine"
	Configuration  Kind = "configuration"
	Login          Kind = "login"
	Enrolment      Kind = "enrolment"
	Refusal        Kind = "refusal"
	Reconciliation Kind = "reconciliation"
	Bundle         Kind = "bundle"     // made or taken in, to be carried by hand
	Disclosure     Kind = "disclosure" // records with personal fields were handed to a consumer
)

// Entry is one leaf.
type Entry struct {
	No       uint64            `json:"no"` // set by the log
	At       int64             `json:"at"` // microseconds since 1970; set by the log when 0
	Kind     Kind              `json:"kind"`
	Actor    string            `json:"actor,omitempty"` // who: a component, or the account of an official
	Node     string            `json:"node,omitempty"`
	Dataset  string            `json:"dataset,omitempty"`
	Sequence uint64            `json:"sequence,omitempty"`
	Digest   string            `json:"digest,omitempty"` // SHA-256 of the thing itself, hexadecimal
	Detail   map[string]string `json:"detail,omitempty"` // codes and counts, never personal values
}

// Config is what a log needs.
type Config struct {
	// Dir holds the log. Everything in it is public. The keys are beside it:
	// Dir.key (secret) and Dir.pub.
	Dir string
	// Origin names the log in its heads and keys: "lienthong/G01/hub". It must not change.
	Origin string
	// Countersign makes the ES256 signature over each head; trust.Identity.Sign
	// serves. nil: heads have the log's own signature only.
	Countersign func(head []byte) (string, error)
	// Linger is how long an entry may wait for others to share its flush. 0: 100 ms.
	Linger time.Duration
	// Batch is the number of waiting entries that are written without lingering. 0: 256.
	Batch int
	// Queue is how many entries may wait; beyond it Append blocks. 0: 4096.
	Queue int
	// HeadInterval is the shortest time between two signed heads. 0: 1 second; at
	// least 100 ms.
	HeadInterval time.Duration
	// Now is the clock. nil: time.Now.
	Now func() time.Time
	// Log hears of failures. nil: slog.Default.
	Log *slog.Logger
}

// maxEntry bounds a leaf.
const maxEntry = 16 << 10

// maxGroup bounds how many waiting entries are written together.
const maxGroup = 1024

// closeTimeout bounds how long Close waits for the last head.
const closeTimeout = 30 * time.Second

// Log is an open log. It is safe for concurrent use.
type Log struct {
	config   Config
	lock     *durable.DirectoryLock
	verifier note.Verifier
	key      string // verifier key, text
	add      tessera.AddFn
	reader   tessera.LogReader
	stop     context.CancelFunc // ends Tessera's goroutines

	mu     sync.RWMutex // senders hold it shared, Close alone
	closed bool
	queue  chan *waiting
	done   chan struct{} // closed when the writer has ended

	next   uint64        // number of the next entry; owned by the writer
	size   atomic.Uint64 // entries that are in the tree
	signed atomic.Pointer[signedAt]

	closing  sync.Once
	closeErr error
}

type signedAt struct {
	text string
	at   time.Time
}

// waiting is an entry on its way to the disk.
type waiting struct {
	entry Entry
	group *group
	index uint64
	err   error
}

// group is what one call waits for.
type group struct {
	left atomic.Int64
	done chan struct{}
}

func (g *group) finish() {
	if g.left.Add(-1) == 0 {
		close(g.done)
	}
}

// Open opens the log, and makes it and its keys at the first start.
func Open(ctx context.Context, config Config) (_ *Log, err error) {
	config.setDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	lock, err := durable.LockDirectory(config.Dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Release())
		}
	}()
	if err := os.Chmod(config.Dir, 0o755); err != nil { //nolint:gosec // the log is public
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	headThere, headErr := exists(filepath.Join(config.Dir, checkpointFile))
	stateThere, stateErr := exists(filepath.Join(config.Dir, stateFile))
	if err := errors.Join(headErr, stateErr); err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	started := headThere || stateThere
	signer, key, err := openKeys(config.Dir, config.Origin, !started)
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return nil, keyBroken(config.Dir+publicKeySuffix, err)
	}
	l := &Log{
		config: config, lock: lock, verifier: verifier, key: key,
		queue: make(chan *waiting, config.Queue), done: make(chan struct{}),
	}
	if started {
		if err := l.recover(); err != nil {
			return nil, err
		}
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			stop()
		}
	}()
	l.stop = stop
	if l.add, l.reader, err = openTree(background, config, headSigner{signer, l}); err != nil {
		return nil, fmt.Errorf("open audit log %s: %w", config.Dir, err)
	}
	size, err := l.reader.IntegratedSize(ctx)
	if err != nil {
		return nil, fmt.Errorf("open audit log %s: %w", config.Dir, err)
	}
	l.size.Store(size)
	l.next = 1
	if size > 0 {
		last, err := l.Read(ctx, size-1, 1)
		if err != nil {
			return nil, err
		}
		l.next = last[0].Entry.No + 1
	}
	go l.write(background)
	return l, nil
}

func (c *Config) setDefaults() {
	if c.Linger == 0 {
		c.Linger = 100 * time.Millisecond
	}
	if c.Batch == 0 {
		c.Batch = 256
	}
	if c.Queue == 0 {
		c.Queue = 4096
	}
	if c.HeadInterval == 0 {
		c.HeadInterval = time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
}

func (c *Config) validate() error {
	var problems []error
	if c.Dir == "" {
		problems = append(problems, errors.New("no directory"))
	}
	if c.Origin == "" || bytes.ContainsAny([]byte(c.Origin), "+ \t\r\n") {
		problems = append(problems, errors.New("the origin must be a name without spaces and plus signs"))
	}
	if c.Batch < 1 || c.Batch > maxGroup {
		problems = append(problems, fmt.Errorf("batch must be 1 to %d", maxGroup))
	}
	if c.HeadInterval < 100*time.Millisecond {
		problems = append(problems, errors.New("the head interval must be 100 ms or more"))
	}
	if err := errors.Join(problems...); err != nil {
		return &lienthong.Error{
			Code: "audit.config", Where: c.Dir,
			Vi: "cấu hình nhật ký kiểm toán không hợp lệ", En: "the audit log's configuration is not valid", Err: err,
			Hint: "sửa cấu hình / correct the configuration",
		}
	}
	return nil
}

// VerifierKey is the log's public key, as Verify takes it.
func (l *Log) VerifierKey() string { return l.key }

// Append puts an entry into the log and returns its place. When it returns nil
// error the entry is durable. After an error, ctx's included, the entry may or
// may not be in the log; appending it again is safe.
func (l *Log) Append(ctx context.Context, entry Entry) (uint64, error) {
	indexes, err := l.AppendAll(ctx, []Entry{entry})
	if err != nil {
		return 0, err
	}
	return indexes[0], nil
}

// AppendAll appends the entries in their order, sharing flushes with others. It
// is durable when it returns.
func (l *Log) AppendAll(ctx context.Context, entries []Entry) ([]uint64, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	items, err := l.enqueue(ctx, entries)
	if err != nil {
		return nil, err
	}
	select {
	case <-items[0].group.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("append to audit log: %w", context.Cause(ctx))
	}
	indexes := make([]uint64, len(items))
	for i, item := range items {
		if item.err != nil {
			return nil, item.err
		}
		indexes[i] = item.index
	}
	return indexes, nil
}

// Enqueue hands entries over without waiting for the disk; it blocks only while
// the queue is full. They are durable within about Linger, and after Close. A
// crash before that loses them, and a failed write is told only to Config.Log:
// use it where the fact itself is kept elsewhere.
func (l *Log) Enqueue(ctx context.Context, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	_, err := l.enqueue(ctx, entries)
	return err
}

func (l *Log) enqueue(ctx context.Context, entries []Entry) ([]*waiting, error) {
	for i := range entries {
		if err := entries[i].validate(); err != nil {
			return nil, err
		}
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return nil, closedError(l.config.Dir)
	}
	shared := &group{done: make(chan struct{})}
	shared.left.Store(int64(len(entries)))
	items := make([]*waiting, len(entries))
	for i := range entries {
		items[i] = &waiting{entry: entries[i], group: shared}
		select {
		case l.queue <- items[i]:
		case <-ctx.Done():
			return nil, fmt.Errorf("append to audit log: %w", context.Cause(ctx))
		}
	}
	return items, nil
}

func (e *Entry) validate() error {
	problem := ""
	switch e.Kind {
	case BatchSealed, BatchLanded, Receipt, Quarantine, Configuration, Login, Enrolment, Refusal, Reconciliation, Disclosure, Bundle:
	default:
		problem = "unknown kind"
	}
	length := len(e.Actor) + len(e.Node) + len(e.Dataset) + len(e.Digest)
	for key, value := range e.Detail {
		length += len(key) + len(value)
	}
	if length > maxEntry/8 { // JSON may write one byte as six
		problem = "too long"
	}
	if _, err := hex.DecodeString(e.Digest); err != nil {
		problem = "the digest is not hexadecimal"
	}
	if problem == "" {
		return nil
	}
	return &lienthong.Error{
		Code: "audit.entry", Where: string(e.Kind),
		Vi: "mục nhật ký không hợp lệ", En: "not a valid audit entry: " + problem,
		Hint: "chỉ ghi mã, số đếm và giá trị băm / write codes, counts and digests only",
	}
}

func closedError(dir string) error {
	return &lienthong.Error{
		Code: "audit.closed", Where: dir,
		Vi: "nhật ký kiểm toán đã đóng", En: "the audit log is closed",
		Hint: "khởi động lại nút / restart the node",
	}
}

// write is the one goroutine that adds to the tree. It takes what is waiting,
// lets it linger for company, and writes it as one group.
func (l *Log) write(ctx context.Context) {
	defer close(l.done)
	timer := time.NewTimer(l.config.Linger)
	timer.Stop()
	batch := make([]*waiting, 0, maxGroup)
	for first := range l.queue {
		batch = append(batch[:0], first)
		timer.Reset(l.config.Linger)
		expired := false
		for len(batch) < maxGroup {
			if expired || len(batch) >= l.config.Batch {
				item, ok := l.poll()
				if !ok {
					break
				}
				batch = append(batch, item)
				continue
			}
			select {
			case item, ok := <-l.queue:
				if !ok {
					expired = true // closing: nothing more will come
					continue
				}
				batch = append(batch, item)
			case <-timer.C:
				expired = true
			}
		}
		timer.Stop()
		l.flush(ctx, batch)
	}
}

func (l *Log) poll() (*waiting, bool) {
	select {
	case item, ok := <-l.queue:
		return item, ok
	default:
		return nil, false
	}
}

func (l *Log) flush(ctx context.Context, batch []*waiting) {
	futures := make([]tessera.IndexFuture, len(batch))
	for i, item := range batch {
		item.entry.No = l.next
		l.next++
		if item.entry.At == 0 {
			item.entry.At = l.config.Now().UnixMicro()
		}
		data, err := json.Marshal(&item.entry)
		if err != nil {
			item.err = fmt.Errorf("append to audit log: %w", err)
			continue
		}
		futures[i] = l.add(ctx, tessera.NewEntry(data))
	}
	failed := 0
	var cause error
	for i, item := range batch {
		if futures[i] != nil {
			index, err := futures[i]()
			if err != nil {
				item.err, cause = notWritten(l.config.Dir, err), err
				failed++
			} else {
				item.index = index.Index
				l.size.Store(max(l.size.Load(), index.Index+1))
			}
		}
		item.group.finish()
	}
	if cause != nil {
		l.config.Log.ErrorContext(ctx, "audit entries not written",
			slog.Int("entries", failed), slog.String("dir", l.config.Dir), slog.String("error", cause.Error()))
	}
}

func notWritten(dir string, cause error) error {
	return &lienthong.Error{
		Code: "audit.not_written", Where: dir,
		Vi: "không ghi được nhật ký kiểm toán", En: "the audit log cannot be written",
		Hint: "kiểm tra dung lượng và lỗi đĩa / check the disk for space and errors", Err: cause,
	}
}

// Head is the latest signed head of the log.
type Head struct {
	Size uint64
	Root string // hexadecimal
	At   time.Time
	Note []byte // as signed; give it to others, so that the past cannot be rewritten unseen
}

// Head reads the latest signed head. A log that has none yet gives the zero Head.
func (l *Log) Head(context.Context) (Head, error) {
	path := filepath.Join(l.config.Dir, checkpointFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Head{}, nil
	}
	if err != nil {
		return Head{}, fmt.Errorf("read head: %w", err)
	}
	signed, tree, err := openHead(data, l.verifier)
	if err != nil {
		return Head{}, fmt.Errorf("read head %s: %w", path, err)
	}
	head := Head{Size: tree.size, Root: hex.EncodeToString(tree.root[:]), Note: data}
	if latest := l.signed.Load(); latest != nil && latest.text == signed.Text {
		head.At = latest.at
		return head, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return Head{}, fmt.Errorf("read head: %w", err)
	}
	head.At = info.ModTime()
	return head, nil
}

// Size is the number of entries in the tree, the newest of which may not yet be
// under a signed head.
func (l *Log) Size() uint64 { return l.size.Load() }

// Close writes what is waiting, waits until a signed head covers it, and ends
// everything. Further calls return the same result.
func (l *Log) Close(ctx context.Context) error {
	l.closing.Do(func() { l.closeErr = l.close(ctx) })
	return l.closeErr
}

func (l *Log) close(ctx context.Context) error {
	l.mu.Lock()
	l.closed = true
	close(l.queue)
	l.mu.Unlock()
	<-l.done
	err := l.awaitHead(ctx)
	l.stop()
	return errors.Join(err, l.lock.Release())
}

func (l *Log) awaitHead(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		head, err := l.Head(ctx)
		if err != nil {
			return err
		}
		if head.Size >= l.size.Load() {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return &lienthong.Error{
				Code: "audit.head_missing", Where: l.config.Dir,
				Vi: "các mục cuối của nhật ký chưa có đầu nhật ký được ký", En: "the last audit entries have no signed head yet",
				Hint: "các mục không mất; lần khởi động sau sẽ ký / nothing is lost; the next start will sign it", Err: context.Cause(ctx),
			}
		}
	}
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
