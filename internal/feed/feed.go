// Package feed gives consumers the records of a dataset and every change after:
// the hub's way out, as landing is its way in.
//
// A subscription names a dataset, the fields that the consumer may have, and the
// rows; an operator makes it. Its reader takes a snapshot as of a known sequence and then the
// changes after that sequence, by whatever delivery it likes: pull, server-sent
// events, NATS, webhook or bulk file. The promises, the same for all of them:
//
//   - A snapshot and the changes after its sequence give the dataset as the hub has it.
//   - Every event names the event before it, so that a consumer notices a gap.
//   - Events carry the record as it is now, not as it was: several changes of one record
//     may be seen as the last of them. Order and final state are right.
//   - A record that leaves the subscription's rows is deleted for its consumer.
//   - Whoever falls behind the retention of the log is told so, and takes a new snapshot.
//   - Delivery is at least once; events are idempotent.
//
// Keys are kept as hashes. What a consumer reads of personal fields is counted and
// reported to Config.Audit; values are in no log, error or address.
package feed

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/store"
)

// Access is a read of records, for the audit log: who and how many, never what.
type Access struct {
	Subscription string
	Consumer     string
	Member       lienthong.MemberCode
	Dataset      lienthong.DatasetID
	Delivery     Delivery
	Records      int    // whose personal fields were handed out
	From, To     uint64 // the sequences that were read: after From up to To
}

// Config is what feeds need. Store, Dir and Key are required.
type Config struct {
	Store *store.Store
	// Dir holds bulk files while they can be fetched. Local disk.
	Dir string
	// Key is 32 secret bytes that stay the same: record ids and webhook secrets are derived from it.
	Key []byte
	// Under lists the codes of the communes of a province, for row filters. nil: such filters are refused.
	Under func(province string) (codes []string, known bool)
	// May decides, beyond the subscription itself, whether the consumer may have these fields
	// now: the place for signed agreements. nil: the subscription decides.
	May func(ctx context.Context, consumer Consumer, dataset lienthong.DatasetID, fields []string) error
	// Audit is told of every read of personal fields. It must not block.
	Audit func(ctx context.Context, access Access)
	// Notice is told what an operator has to know of a subscription. It must not block.
	Notice func(ctx context.Context, subscription string, problem *lienthong.Error)
	// Sign makes the hub's detached signature over the body of a webhook delivery. nil: none is sent.
	Sign func(payload []byte) (string, error)
	// Retention is how long changes are kept. Default: 7 days.
	Retention time.Duration
	// Keep is how many changes of a dataset are kept at most, about 150 bytes each. Default: 20 million.
	Keep uint64
	// FileLifetime is how long a bulk file can be fetched. Default: 24 hours.
	FileLifetime time.Duration
	// SuspendAfter is how long a webhook may fail before it is suspended. Default: 3 days.
	SuspendAfter time.Duration
	// Heartbeat is the longest silence of a stream, and how often the log is looked at in
	// case another process writes it. Default: 15 seconds.
	Heartbeat time.Duration
	// Backoff is the longest first pause between tries of a webhook; it doubles up to 10 minutes.
	// Default: 1 second.
	Backoff time.Duration
	// Webhooks turns their senders on.
	Webhooks bool
	// WebhookRoots are the authorities that receivers' certificates may come from. nil: the system's.
	WebhookRoots *x509.CertPool
	// TrimEvery is the pause between trims. Default: 1 minute.
	TrimEvery time.Duration
	Now       func() time.Time
	Log       *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Retention = cmp.Or(c.Retention, 7*24*time.Hour)
	c.Keep = cmp.Or(c.Keep, 20_000_000)
	c.FileLifetime = cmp.Or(c.FileLifetime, 24*time.Hour)
	c.SuspendAfter = cmp.Or(c.SuspendAfter, 3*24*time.Hour)
	c.Heartbeat = cmp.Or(c.Heartbeat, 15*time.Second)
	c.Backoff = cmp.Or(c.Backoff, time.Second)
	c.TrimEvery = cmp.Or(c.TrimEvery, time.Minute)
	if c.Audit == nil {
		c.Audit = func(context.Context, Access) {}
	}
	if c.Notice == nil {
		c.Notice = func(context.Context, string, *lienthong.Error) {}
	}
	if c.May == nil {
		c.May = func(context.Context, Consumer, lienthong.DatasetID, []string) error { return nil }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Feeds holds the subscriptions of a hub. Its methods are safe for concurrent use.
type Feeds struct {
	config Config
	frozen chan struct{} // tokens: views of the store that may be open at once

	run   context.CancelFunc
	ended <-chan struct{} // closed when everything has to end
	work  sync.WaitGroup

	changing sync.Mutex // one change of the set of subscriptions at a time

	mu     sync.Mutex
	closed bool
	active map[string]*reader
	files  map[string]*File // by name
	watch  chan struct{}    // closed when the set of subscriptions changes
}

// reader is a subscription with everything that reading needs.
type reader struct {
	Subscription
	view     *store.FeedView
	personal bool
	names    [][]byte // `"name":` of each field that is given out
	rows     *rowFilter
	idKey    []byte
	progress progress
	stop     context.CancelFunc // of its webhook
	stopped  <-chan struct{}
}

// maxFrozen bounds the views that are open at once: each holds a reading connection,
// and the engine keeps old rows for it.
const maxFrozen = 2

// Start loads the subscriptions, begins to trim, and starts webhooks. Close ends it. The context
// only bounds starting.
func Start(ctx context.Context, config Config) (*Feeds, error) {
	config = config.withDefaults()
	if len(config.Key) < sha256.Size {
		return nil, fmt.Errorf("feed: the key has %d bytes, want %d", len(config.Key), sha256.Size)
	}
	f := &Feeds{
		config: config, frozen: make(chan struct{}, maxFrozen), active: map[string]*reader{}, files: map[string]*File{}, watch: make(chan struct{}),
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("feed: %w", err)
	}
	saved, err := config.Store.SavedSubscriptions(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range saved {
		var subscription Subscription
		if err := json.Unmarshal(s.Body, &subscription); err != nil {
			return nil, fmt.Errorf("feed: subscription %s: %w", s.ID, err)
		}
		r, err := f.prepare(ctx, subscription)
		if err != nil {
			return nil, fmt.Errorf("feed: subscription %s: %w", s.ID, err)
		}
		if len(s.Progress) > 0 {
			if err := json.Unmarshal(s.Progress, &r.progress); err != nil {
				return nil, fmt.Errorf("feed: progress of subscription %s: %w", s.ID, err)
			}
		}
		f.active[s.ID] = r
	}
	f.loadFiles(ctx)
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f.run, f.ended = cancel, runCtx.Done()
	f.work.Go(func() { f.keepHouse(runCtx) })
	for _, r := range f.active {
		f.startWebhook(ctx, r)
	}
	return f, nil
}

// Close ends everything that runs. Subscriptions and the log stay.
func (f *Feeds) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.run()
	f.work.Wait()
}

// prepare finds what reading needs. It fails when the dataset or a field is not there.
func (f *Feeds) prepare(ctx context.Context, s Subscription) (*reader, error) {
	fields := slices.Clone(s.Fields)
	r := &reader{Subscription: s}
	if s.Rows != nil {
		at := slices.Index(fields, s.Rows.Field)
		if at < 0 {
			at = len(fields)
			fields = append(fields, s.Rows.Field)
		}
		r.rows = newRowFilter(s.Rows, at)
	}
	view, err := f.config.Store.FeedView(ctx, s.Dataset, fields)
	if err != nil {
		return nil, err
	}
	r.view = view
	for i, name := range s.Fields {
		quoted := append(appendString(nil, []byte(name)), ':')
		r.names = append(r.names, quoted)
		r.personal = r.personal || view.Fields[i].Personal
	}
	if r.rows != nil {
		r.rows.kind = view.Fields[r.rows.at].Kind
		if r.rows.kind != lienthong.Text && r.rows.kind != lienthong.Integer {
			return nil, problem("feed.rows", s.Rows.Field, "trường dùng để lọc dòng phải là chữ hoặc số nguyên",
				"the field that rows are chosen by must be text or an integer", "")
		}
	}
	r.idKey = f.derive("record|" + s.ID)
	return r, nil
}

// derive makes a secret of its own for each use.
func (f *Feeds) derive(use string) []byte {
	mac := hmac.New(sha256.New, f.config.Key)
	mac.Write([]byte(use))
	return mac.Sum(nil)
}

// Issued is what an operator hands to a consumer. It is shown once.
type Issued struct {
	Subscription Subscription `json:"subscription"`
	Key          string       `json:"key"`
	// WebhookSecret is the key of the signature of webhook deliveries.
	WebhookSecret string `json:"webhook_secret,omitempty"`
}

// Add makes a subscription from a draft: ID, key and times are set here. From the
// moment it returns, changes of the dataset are logged.
func (f *Feeds) Add(ctx context.Context, draft Subscription) (*Issued, error) {
	if err := f.complete(&draft); err != nil {
		return nil, err
	}
	if err := f.config.May(ctx, draft.Consumer, draft.Dataset, draft.Fields); err != nil {
		return nil, err
	}
	key := newKey()
	draft.KeyHash = hashKey(key)
	draft.CreatedAt = f.config.Now().UTC()
	r, err := f.prepare(ctx, draft)
	if err != nil {
		return nil, err
	}
	f.changing.Lock()
	defer f.changing.Unlock()
	if _, taken := f.find(draft.ID); taken {
		return nil, problem("feed.exists", draft.ID, "đã có đăng ký với mã này", "a subscription of this id exists", "lienthong feed list")
	}
	var watched []string
	if draft.Rows != nil {
		watched = []string{draft.Rows.Field}
	}
	// Saved first: should we end between the two, the next start closes what nobody has.
	if err := f.save(ctx, &r.Subscription); err != nil {
		return nil, err
	}
	if err := f.config.Store.OpenFeed(ctx, draft.Dataset, watched); err != nil {
		return nil, err
	}
	f.put(ctx, r)
	return &Issued{Subscription: r.public(), Key: key, WebhookSecret: f.webhookSecret(r)}, nil
}

func (f *Feeds) save(ctx context.Context, s *Subscription) error {
	body, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("feed: encode subscription: %w", err)
	}
	return f.config.Store.SaveSubscription(ctx, s.ID, body)
}

// put makes the reader the one of its subscription.
func (f *Feeds) put(ctx context.Context, r *reader) {
	f.mu.Lock()
	f.active[r.ID] = r
	close(f.watch)
	f.watch = make(chan struct{})
	f.mu.Unlock()
	f.startWebhook(ctx, r)
}

func (f *Feeds) find(id string) (*reader, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, found := f.active[id]
	return r, found
}

func unknown(id string) error {
	return problem("feed.unknown", id, "không có đăng ký này", "no such subscription", "lienthong feed list")
}

// Status is a subscription and where it stands.
type Status struct {
	Subscription
	Head      uint64     `json:"head"`  // the newest sequence of the dataset's feed
	Floor     uint64     `json:"floor"` // sequences up to here have been trimmed
	Delivered *uint64    `json:"delivered,omitempty"`
	Suspended *time.Time `json:"suspended,omitempty"`
	LastError string     `json:"last_error,omitempty"` // code, of its webhook
	Failing   *time.Time `json:"failing_since,omitempty"`
}

// Show returns a subscription and where it stands.
func (f *Feeds) Show(ctx context.Context, id string) (*Status, error) {
	r, found := f.find(id)
	if !found {
		return nil, unknown(id)
	}
	head, err := f.config.Store.FeedHead(ctx, r.Dataset)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	status := &Status{Subscription: r.public(), Head: head.Sequence, Floor: head.Floor, LastError: r.progress.Code}
	if r.Webhook != "" && r.progress.Snapshot == "" && r.progress.Started {
		delivered := r.progress.Sequence
		status.Delivered = &delivered
	}
	status.Suspended, status.Failing = r.progress.Suspended, r.progress.FailingSince
	return status, nil
}

// List returns all subscriptions by id.
func (f *Feeds) List() []Subscription {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]Subscription, 0, len(f.active))
	for _, r := range f.active {
		all = append(all, r.public())
	}
	slices.SortFunc(all, func(a, b Subscription) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// Remove ends a subscription. When it was the dataset's last, logging ends too.
func (f *Feeds) Remove(ctx context.Context, id string) error {
	f.changing.Lock()
	defer f.changing.Unlock()
	r, found := f.find(id)
	if !found {
		return unknown(id)
	}
	if _, err := f.config.Store.RemoveSubscription(ctx, id); err != nil {
		return err
	}
	f.mu.Lock()
	delete(f.active, id)
	close(f.watch)
	f.watch = make(chan struct{})
	f.mu.Unlock()
	f.stopWebhook(r)
	f.removeFiles(ctx, func(file *File) bool { return file.subscription == id })
	return f.closeUnused(ctx)
}

// closeUnused ends logging for datasets that nobody subscribes to.
func (f *Feeds) closeUnused(ctx context.Context) error {
	open, err := f.config.Store.OpenFeeds(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	for _, r := range f.active {
		delete(open, r.Dataset)
	}
	f.mu.Unlock()
	for dataset, head := range open {
		if head.Open {
			if err := f.config.Store.CloseFeed(ctx, dataset); err != nil {
				return err
			}
		}
	}
	return nil
}

// Rekey replaces the key of a subscription. The old one is worthless at once, for
// streams that run as well.
func (f *Feeds) Rekey(ctx context.Context, id string) (*Issued, error) {
	key := newKey()
	r, err := f.replace(ctx, id, func(s *Subscription) { s.KeyHash, s.Generation = hashKey(key), s.Generation+1 })
	if err != nil {
		return nil, err
	}
	return &Issued{Subscription: r.public(), Key: key, WebhookSecret: f.webhookSecret(r)}, nil
}

// Resume lets a suspended webhook try again.
func (f *Feeds) Resume(ctx context.Context, id string) error {
	r, found := f.find(id)
	if !found {
		return unknown(id)
	}
	if r.Webhook == "" {
		return problem("feed.webhook", id, "đăng ký này không có webhook", "this subscription has no webhook", "")
	}
	f.mu.Lock()
	before := r.progress
	before.Suspended, before.FailingSince, before.Code = nil, nil, ""
	r.progress = before
	f.mu.Unlock()
	if err := f.saveProgress(ctx, r); err != nil {
		return err
	}
	_, err := f.replace(ctx, id, func(*Subscription) {})
	return err
}

func (f *Feeds) replace(ctx context.Context, id string, change func(*Subscription)) (*reader, error) {
	f.changing.Lock()
	defer f.changing.Unlock()
	old, found := f.find(id)
	if !found {
		return nil, unknown(id)
	}
	next := old.Subscription
	change(&next)
	r, err := f.prepare(ctx, next)
	if err != nil {
		return nil, err
	}
	if err := f.save(ctx, &next); err != nil {
		return nil, err
	}
	f.stopWebhook(old)
	f.mu.Lock()
	r.progress = old.progress
	f.mu.Unlock()
	f.put(ctx, r)
	return r, nil
}

// newKey makes an API key of 256 bits.
func newKey() string {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	return "ltf_" + base64.RawURLEncoding.EncodeToString(secret)
}

func hashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// Authorise returns a reader for the subscription when the key is its own, it is
// still valid, and the delivery is one of those that it allows. An unknown subscription
// and a wrong key get the same answer after the same work.
func (f *Feeds) Authorise(ctx context.Context, id, key string, delivery Delivery) (*Reader, error) {
	r, found := f.find(id)
	want := strings.Repeat("0", 2*sha256.Size)
	if found {
		want = r.KeyHash
	}
	if subtle.ConstantTimeCompare([]byte(hashKey(key)), []byte(want)) != 1 || !found {
		return nil, problem("feed.key", "", "mã đăng ký hoặc khoá không đúng", "the subscription or its key is not right",
			"kiểm tra khoá, hoặc xin khoá mới: lienthong feed key / check the key, or ask for a new one: lienthong feed key")
	}
	return f.authorised(ctx, r, delivery)
}

func (f *Feeds) authorised(ctx context.Context, r *reader, delivery Delivery) (*Reader, error) {
	if !r.ValidUntil.IsZero() && !f.config.Now().Before(r.ValidUntil) {
		return nil, problem("feed.expired", r.ID, "đăng ký đã hết hạn", "the subscription has expired", "xin gia hạn / ask for a new one")
	}
	if delivery != "" && !slices.Contains(r.Deliveries, delivery) {
		return nil, problem("feed.delivery", r.ID, "đăng ký không cho phép cách nhận này", "the subscription does not allow this delivery",
			strings.Join(words(r.Deliveries), ", "))
	}
	if err := f.config.May(ctx, r.Consumer, r.Dataset, r.Fields); err != nil {
		return nil, err
	}
	return &Reader{feeds: f, reader: r, delivery: delivery}, nil
}

// keepHouse trims logs and removes old files.
func (f *Feeds) keepHouse(ctx context.Context) {
	tick := time.NewTicker(f.config.TrimEvery)
	defer tick.Stop()
	for {
		if err := f.trim(ctx); err != nil && ctx.Err() == nil {
			f.config.Log.WarnContext(ctx, "feed: logs not trimmed", slog.Any("error", err))
		}
		now := f.config.Now()
		f.removeFiles(ctx, func(file *File) bool { return file.State != Building && now.After(file.Expires) })
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// trimPiece is small, because SQLite's one writer is landing's too.
const trimPiece = 2000

func (f *Feeds) trim(ctx context.Context) error {
	f.changing.Lock()
	err := f.closeUnused(ctx)
	f.changing.Unlock()
	if err != nil {
		return err
	}
	heads, err := f.config.Store.OpenFeeds(ctx)
	if err != nil {
		return err
	}
	before := f.config.Now().Add(-f.config.Retention).UnixMicro()
	for dataset := range heads {
		for {
			n, err := f.config.Store.TrimFeed(ctx, dataset, before, f.config.Keep, trimPiece)
			if err != nil {
				return err
			}
			if n < trimPiece {
				break
			}
		}
	}
	return nil
}

// Trim removes now what has outlived the retention.
func (f *Feeds) Trim(ctx context.Context) error { return f.trim(ctx) }

// Changed returns a channel that is closed when the set of subscriptions changes.
func (f *Feeds) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.watch
}

func (f *Feeds) dir(id string) string { return filepath.Join(f.config.Dir, id) }

func problem(code, where, vi, en, hint string) *lienthong.Error {
	return &lienthong.Error{Code: code, Where: where, Vi: vi, En: en, Hint: hint}
}
