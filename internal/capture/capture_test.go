package capture_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/sqlite"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/store"
)

type signer struct{}

func (signer) Sign(payload []byte) (string, error) {
	sum := sha256.Sum256(payload)
	return hex.EncodeToString(sum[:]), nil
}

func (s signer) VerifyNode(payload []byte, jws string) (string, error) { return "g01", nil }

// site is a capture of a real SQLite source into a spool that the test holds.
type site struct {
	t       *testing.T
	db      *sql.DB
	capture *capture.Capture
	state   *store.NodeState

	mu      sync.Mutex
	changed chan struct{}
	sealed  []*batch.Sealed
	acks    []ack
	gate    chan struct{} // when not nil, Append waits for it
}

type ack struct {
	order   uint64
	spooled int // batches in the spool at that moment
}

// Append implements capture.Spool.
func (s *site) Append(ctx context.Context, b *batch.Sealed) error {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil && b.Header.Kind == lienthong.ChangesBatch {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.note(func() { s.sealed = append(s.sealed, b) })
	return nil
}

// Tail implements capture.Spool.
func (s *site) Tail(context.Context, lienthong.Stream) (lienthong.BatchHeader, string, bool, error) {
	return lienthong.BatchHeader{}, "", false, nil
}

func (s *site) note(f func()) {
	s.mu.Lock()
	f()
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// watched is the real source, with its acknowledgements seen.
type watched struct {
	connector.Source
	site *site
}

func (w watched) Acknowledge(ctx context.Context, pos lienthong.Position) error {
	w.site.note(func() { w.site.acks = append(w.site.acks, ack{pos.Order, len(w.site.sealed)}) })
	return w.Source.Acknowledge(ctx, pos)
}

func newSite(t *testing.T, ddl string, definitions ...string) *site {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "source.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, db: db, changed: make(chan struct{}, 1)}
	s.exec(ddl)
	source, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, PollInterval: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if s.state, err = store.OpenNodeState(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	words, err := dictionary.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	var parsed []*dictionary.Definition
	for i, text := range definitions {
		d, err := dictionary.ParseDefinition(fmt.Sprintf("definition-%d.yaml", i), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, d)
	}
	if s.capture, err = capture.New(capture.Config{
		Node: "g01", Source: watched{source, s}, Definitions: parsed, Dictionary: words, Signer: signer{}, Spool: s, State: s.state,
		RecordKey: []byte("key"), ReconcileEvery: time.Hour, ReportEvery: 20 * time.Millisecond, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.capture.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = source.Close()
		_ = s.state.Close()
		_ = db.Close()
	})
	return s
}

func (s *site) exec(query string, args ...any) {
	s.t.Helper()
	if _, err := s.db.ExecContext(s.t.Context(), query, args...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) await(what string, condition func() bool) {
	s.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		ok := condition()
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-s.changed:
		case <-deadline:
			var got []string
			for _, b := range s.sealed {
				got = append(got, b.Header.String()+" "+string(b.Header.Kind))
			}
			s.t.Fatalf("waited in vain for %s; spooled %q, statuses %+v", what, got, s.capture.Statuses())
		}
	}
}

// of lists the spooled batches of a kind. Called with mu held.
func (s *site) of(dataset string, kind lienthong.BatchKind) []*batch.Sealed {
	var found []*batch.Sealed
	for _, b := range s.sealed {
		if b.Header.Kind == kind && b.Header.Dataset.String() == dataset {
			found = append(found, b)
		}
	}
	return found
}

// rows opens batches and returns "op id" of each row.
func (s *site) rows(batches []*batch.Sealed, shape *lienthong.Shape) []string {
	opener, err := batch.NewOpener(signer{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer opener.Close()
	var rows []string
	for _, b := range batches {
		raw, err := opener.Raw(b, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		var c lienthong.Change
		r := batch.NewRows(shape, raw, b.Header.Count)
		for r.Next(&c) {
			rows = append(rows, c.Op.String()+" "+string(c.ID))
		}
		if r.Err() != nil {
			s.t.Fatal(r.Err())
		}
	}
	return rows
}

func (s *site) shape(dataset string, version int) *lienthong.Shape {
	opener, err := batch.NewOpener(signer{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer opener.Close()
	for _, b := range s.of(dataset, lienthong.ShapeBatch) {
		if b.Header.ShapeVersion != version {
			continue
		}
		raw, err := opener.Raw(b, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		var shape lienthong.Shape
		if err := json.Unmarshal(raw, &shape); err != nil {
			s.t.Fatal(err)
		}
		return &shape
	}
	return nil
}

const householdTable = `CREATE TABLE ho (ma TEXT PRIMARY KEY, ten TEXT, so_nguoi TEXT);`

const households = `
dataset: household.household
title_vi: Hộ gia đình
title_en: Households
table: ho
identity: [record_key]
others: keep
columns:
  - {column: ma, element: record.key}
  - {column: ten, element: household.head_name}
  - {column: so_nguoi, element: household.members, field: members}
`

func (s *site) loaded(dataset string) {
	s.t.Helper()
	s.await("the first load of "+dataset, func() bool { return len(s.of(dataset, lienthong.DigestBatch)) > 0 })
}

// Promise 1: the source is acknowledged only after the batch is in the spool.
func TestCapture_AcknowledgesAfterTheSpool(t *testing.T) {
	s := newSite(t, householdTable, households)
	s.loaded("household.household")
	gate := make(chan struct{})
	s.mu.Lock()
	s.gate = gate
	acked := len(s.acks)
	s.mu.Unlock()
	s.exec(`INSERT INTO ho VALUES ('a', 'Lê Văn Tám', '3')`)
	// The capture has read the row once a second one piles up behind the closed gate.
	s.exec(`INSERT INTO ho VALUES ('b', 'Trần Thị Bưởi', '4')`)
	deadline := time.After(5 * time.Second)
	for s.capture.Statuses()[0].Changes < 2 {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatal("the changes are not read")
		}
	}
	s.mu.Lock()
	for _, a := range s.acks[acked:] {
		t.Errorf("position %d acknowledged while its batch was not in the spool", a.order)
	}
	s.gate = nil
	s.mu.Unlock()
	close(gate)
	s.await("the acknowledgement", func() bool {
		batches := s.of("household.household", lienthong.ChangesBatch)
		return len(batches) > 0 && len(s.acks) > acked && s.acks[len(s.acks)-1].order >= batches[len(batches)-1].Header.Last.Order
	})
}

// A bad row never stops its neighbours, and the hub is told to hold its record.
func TestCapture_HoldsBadRowsAndPassesTheirNeighbours(t *testing.T) {
	s := newSite(t, householdTable+`INSERT INTO ho VALUES ('good', 'Lê Văn Tám', '3'), ('bad', 'Trần Thị Bưởi', 'ba người')`, households)
	s.loaded("household.household")
	s.exec(`INSERT INTO ho VALUES ('c', 'Ngô Quyền Anh', '5')`)
	s.exec(`UPDATE ho SET so_nguoi = 'nhiều' WHERE ma = 'good'`)
	s.exec(`INSERT INTO ho VALUES ('d', 'Lý Thường Kiệt', '2')`)
	var rows []string
	s.await("the last change", func() bool {
		rows = s.rows(s.of("household.household", lienthong.ChangesBatch), s.shape("household.household", 1))
		return slices.Contains(rows, "upsert d")
	})
	if want := []string{"upsert c", "hold good", "upsert d"}; !slices.Equal(rows, want) {
		t.Errorf("changes %q, want %q", rows, want)
	}
	s.mu.Lock()
	first := s.rows(s.of("household.household", lienthong.SnapshotBatch), s.shape("household.household", 1))
	s.mu.Unlock()
	if want := []string{"upsert good"}; !slices.Equal(first, want) {
		t.Errorf("first load %q, want %q", first, want)
	}
	held := map[string]bool{}
	id, err := lienthong.ParseDatasetID("household.household")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.state.EachFinding(t.Context(), id, func(id string, f lienthong.Finding) { held[id] = f.Blocking }); err != nil {
		t.Fatal(err)
	}
	if !held["bad"] || !held["good"] || len(held) != 2 {
		t.Errorf("findings %v, want bad and good held back", held)
	}
	s.exec(`UPDATE ho SET so_nguoi = '4' WHERE ma = 'bad'`)
	s.await("the corrected row", func() bool {
		return slices.Contains(s.rows(s.of("household.household", lienthong.ChangesBatch), s.shape("household.household", 1)), "upsert bad")
	})
}

func TestCapture_AddedColumnBecomesTheNextShape(t *testing.T) {
	s := newSite(t, householdTable, households)
	s.loaded("household.household")
	s.exec(`ALTER TABLE ho ADD COLUMN ghi_chu TEXT`)
	s.exec(`INSERT INTO ho VALUES ('a', 'Lê Văn Tám', '3', 'mới')`)
	s.await("a batch in the new shape", func() bool {
		batches := s.of("household.household", lienthong.ChangesBatch)
		return len(batches) > 0 && batches[len(batches)-1].Header.ShapeVersion == 2
	})
	// Values that came with the column would be found by a comparison, which is made at once and
	// is open until the hub has answered.
	s.await("the comparison", func() bool {
		gap := s.capture.Statuses()[0].Gap
		return gap != nil && gap.Code == capture.GapSchema && gap.Compared > 0
	})
	s.mu.Lock()
	shape := s.shape("household.household", 2)
	s.mu.Unlock()
	if shape == nil || shape.FieldIndex("ghi_chu") < 0 || shape.Fields[shape.FieldIndex("ghi_chu")].Mapped {
		t.Fatalf("shape 2 is %+v, want it with the unmapped field ghi_chu", shape)
	}
}

const parcels = `
dataset: land.parcel
title_vi: Thửa đất
title_en: Parcels
table: thua
identity: [record_key]
columns:
  - {column: ma, element: record.key}
`

// A vanished column stops its dataset with a code, and nobody else.
func TestCapture_VanishedColumnStopsThatDatasetAlone(t *testing.T) {
	s := newSite(t, householdTable+`CREATE TABLE thua (ma TEXT PRIMARY KEY)`, households, parcels)
	s.loaded("household.household")
	s.loaded("land.parcel")
	s.exec(`DROP TABLE ho`)
	s.exec(`CREATE TABLE ho (ma TEXT PRIMARY KEY, ten TEXT)`)
	s.exec(`INSERT INTO ho (ma, ten) VALUES ('a', 'Lê Văn Tám')`)
	s.exec(`INSERT INTO thua VALUES ('p')`)
	s.await("the other dataset", func() bool { return len(s.of("land.parcel", lienthong.ChangesBatch)) > 0 })
	deadline := time.After(10 * time.Second)
	for {
		statuses := s.capture.Statuses()
		if statuses[0].Stopped != "" && statuses[1].Stopped == "" {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatalf("statuses %+v, want only the first stopped", statuses)
		}
	}
}
