package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

func openWith(t testing.TB, cfg Config) *Source {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func startAt(t testing.TB, s *Source, tables ...string) lienthong.Position {
	t.Helper()
	pos, err := s.Start(t.Context(), tables)
	if err != nil {
		t.Fatal(err)
	}
	return pos
}

// TestHistoryLost: a slot that is gone is told as such, by whoever remembers it, and only
// Release makes a new beginning.
func TestHistoryLost(t *testing.T) {
	server := own(t)
	dsn := server.Database(t)
	conn := connectTo(t, dsn)
	exec(t, conn, "CREATE TABLE t (id text PRIMARY KEY)", "CREATE ROLE plain LOGIN REPLICATION", "GRANT SELECT ON t TO plain")
	const drop = "SELECT pg_drop_replication_slot('lienthong_promise')"
	start := func(cfg Config) (*Source, string) {
		t.Helper()
		cfg.Name = "promise"
		s := openWith(t, cfg)
		_, err := s.Start(t.Context(), []string{"public.t"})
		return s, lienthong.ErrorCode(err)
	}
	s, code := start(Config{DSN: dsn})
	if code != "" {
		t.Fatal(code)
	}
	exec(t, conn, drop)
	if _, err := s.Start(t.Context(), []string{"public.t"}); lienthong.ErrorCode(err) != "postgres.history_lost" {
		t.Errorf("the same process: %v", err)
	}
	if err := s.Stream(t.Context(), lienthong.Position{Order: 1}, &seen{}); lienthong.ErrorCode(err) != "postgres.history_lost" {
		t.Errorf("a stream without its slot: %v", err)
	}
	s, code = start(Config{DSN: dsn})
	if code != "postgres.history_lost" {
		t.Errorf("another process that owns the publication: %q", code)
	}
	if err := s.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h, err := s.Health(t.Context()); err != nil || h.Code != "postgres.released" || h.OK {
		t.Errorf("health after Release: %+v, %v", h, err)
	}
	if _, code = start(Config{DSN: dsn}); code != "" {
		t.Errorf("after Release: %q", code)
	}
	var marks int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE '%_released'").Scan(&marks); err != nil || marks != 0 {
		t.Errorf("%d marks stay after Start, %v", marks, err)
	}
	// Once: the mark was for one Start only.
	exec(t, conn, drop)
	if _, code = start(Config{DSN: dsn}); code != "postgres.history_lost" {
		t.Errorf("lost again after a release: %q", code)
	}
	// An account that does not own the publication cannot write on it: its caller remembers.
	exec(t, conn, "COMMENT ON PUBLICATION lienthong_promise IS NULL")
	plain := strings.Replace(dsn, "postgres@", "plain@", 1)
	if _, code = start(Config{DSN: plain, Continues: true}); code != "postgres.history_lost" {
		t.Errorf("the caller remembers: %q", code)
	}
	if _, code = start(Config{DSN: plain}); code != "" {
		t.Errorf("nobody remembers, which is a beginning: %q", code)
	}
	// A dump that is restored elsewhere brings the publication along, with the words on it.
	exec(t, conn, "COMMENT ON PUBLICATION lienthong_promise IS '"+noteHead+"1'")
	if s, code = start(Config{DSN: dsn}); code != "postgres.another_server" {
		t.Errorf("another server: %q", code)
	}
	if err := s.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, code = start(Config{DSN: dsn}); code != "" {
		t.Errorf("after Destroy: %q", code)
	}
}

// TestLostSlot lets the server throw the slot's log away, as it does beyond
// max_slot_wal_keep_size, and goes on by Release.
func TestLostSlot(t *testing.T) {
	server := own(t, "max_slot_wal_keep_size=16MB", "max_wal_size=32MB", "min_wal_size=32MB")
	dsn := server.Database(t)
	conn := connectTo(t, dsn)
	exec(t, conn, "CREATE TABLE t (id text PRIMARY KEY)", "CREATE TABLE filler (x text)")
	now := time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC)
	s := openWith(t, Config{DSN: dsn, Name: "promise", RetainedLimit: 1 << 20, Now: func() time.Time { return now }})
	pos := startAt(t, s, "public.t")
	if err := s.Acknowledge(t.Context(), pos); err != nil {
		t.Fatal(err)
	}
	now = now.Add(3 * time.Hour)
	health := func() connector.Health {
		t.Helper()
		h, err := s.Health(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	exec(t, conn, "INSERT INTO filler SELECT repeat(md5(g::text), 60) FROM generate_series(1, 3000) g")
	h := health()
	for _, want := range []string{"Slot lienthong_promise holds ", "MB of log because nothing was acknowledged since 14:05", "max_slot_wal_keep_size 16.0 MB"} {
		if h.Code != "postgres.slot_behind" || h.OK || !strings.Contains(h.En, want) {
			t.Fatalf("%s without %q: %s", h.Code, want, h.En)
		}
	}
	if !strings.Contains(h.Vi, "vì từ 14:05 chưa có gì được xác nhận thêm") || h.RetainedBytes < 1<<20 {
		t.Errorf("%d bytes, %s", h.RetainedBytes, h.Vi)
	}
	codes := []string{h.Code}
	for range 8 {
		exec(t, conn, "INSERT INTO filler SELECT repeat(md5(g::text), 60) FROM generate_series(1, 6000) g", "SELECT pg_switch_wal()", "CHECKPOINT")
		if h = health(); h.Code != codes[len(codes)-1] {
			codes = append(codes, h.Code)
		}
	}
	if codes[len(codes)-1] != "postgres.history_lost" {
		t.Errorf("states on the way to the loss: %v", codes)
	}
	if _, err := s.Start(t.Context(), []string{"public.t"}); lienthong.ErrorCode(err) != "postgres.history_lost" {
		t.Errorf("Start: %v", err)
	}
	if err := s.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	pos = startAt(t, s, "public.t")
	exec(t, conn, "INSERT INTO t VALUES ('sau'), ('stop')")
	sink := &seen{kinds: []lienthong.Kind{lienthong.Text}}
	streamUntilStop(t, s, pos, sink)
	if diff := cmp.Diff([]string{"upsert sau"}, sink.rows); diff != "" {
		t.Error(diff)
	}
}

// TestHealthAround: what else holds the log, or was left behind, is named.
func TestHealthAround(t *testing.T) {
	server := own(t, "max_prepared_transactions=4")
	dsn := server.Database(t)
	conn, open := connectTo(t, dsn), connectTo(t, dsn)
	exec(t, conn, "CREATE TABLE t (id text PRIMARY KEY)")
	s := openWith(t, Config{DSN: dsn, Name: "promise"})
	startAt(t, s, "public.t")
	exec(t, conn, "SELECT pg_create_logical_replication_slot('lienthong_forgotten', 'pgoutput')", "CREATE PUBLICATION lienthong_orphan")
	exec(t, open, "BEGIN", "INSERT INTO t VALUES ('x')")
	var r *slotReport
	err := s.with(t.Context(), func(conn *pgx.Conn) (err error) {
		r, err = s.slotReport(t.Context(), conn)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r.clock = r.clock.Add(time.Hour)
	h := s.judge(r)
	for _, want := range []string{"A transaction (process ", "lienthong_forgotten", "SELECT pg_drop_replication_slot('lienthong_forgotten')", "lienthong_orphan"} {
		if !strings.Contains(h.En, want) {
			t.Errorf("no %q in: %s", want, h.En)
		}
	}
	r.left[0].retained, r.active = 5<<30, true
	if h := s.judge(r); h.OK || h.Code != "postgres.slot_left_behind" || !strings.Contains(h.Vi, "5.0 GB") {
		t.Errorf("%+v", h)
	}
	exec(t, open, "ROLLBACK")
	exec(t, conn, "SELECT pg_drop_replication_slot('lienthong_forgotten')")
}

// TestInspectNames: everything that is not read is named with its reason.
func TestInspectNames(t *testing.T) {
	server := own(t)
	dsn := server.Database(t)
	conn := connectTo(t, dsn)
	exec(t, conn, `CREATE TABLE "Dân cư" ("Số ""CCCD""" text, "select" int, full_text text GENERATED ALWAYS AS (upper("Số ""CCCD""")) STORED, PRIMARY KEY ("select", "Số ""CCCD"""))`,
		"CREATE TABLE keyless (w text)", "CREATE TABLE whole (w text, n int)", "ALTER TABLE whole REPLICA IDENTITY FULL",
		"CREATE TABLE by_index (a int NOT NULL UNIQUE, b text)", "ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_a_key",
		"CREATE VIEW v AS SELECT 1", "CREATE MATERIALIZED VIEW mv AS SELECT 1", "CREATE UNLOGGED TABLE fast (id int PRIMARY KEY)", "CREATE TEMP TABLE mine (id int PRIMARY KEY)",
		"CREATE EXTENSION file_fdw", "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw", "CREATE FOREIGN TABLE ft (x text) SERVER files OPTIONS (filename '/dev/null')",
		"CREATE TABLE parent (id int PRIMARY KEY)", "CREATE TABLE child (extra text, PRIMARY KEY (id)) INHERITS (parent)",
		"CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)", "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (9)",
		"SELECT lo_create(0)")
	s := openSource(t, dsn)
	found, err := s.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]string{}
	for _, l := range found.LeftOut {
		name := l.Name
		if l.Code == "temporary" {
			name = "temporary"
		}
		left[name] = l.Code
	}
	want := map[string]string{
		`public."Dân cư".full_text`: "generated", "public.keyless": "no_key", "public.v": "view", "public.mv": "materialized_view",
		"public.fast": "unlogged", "temporary": "temporary", "public.ft": "foreign_table", "pg_largeobject": "large_objects",
	}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Error(diff)
	}
	keys := map[string][]int{}
	for _, table := range found.Tables {
		keys[table.Name] = table.Key
	}
	if diff := cmp.Diff(map[string][]int{
		`public."Dân cư"`: {0, 1}, "public.whole": {0, 1}, "public.by_index": {0}, "public.parent": {0}, "public.child": {0}, "public.parts": {0},
	}, keys); diff != "" {
		t.Error(diff)
	}
	if found.Engine == "PostgreSQL " || !strings.HasPrefix(found.Engine, "PostgreSQL ") {
		t.Errorf("engine %q", found.Engine)
	}
}

// TestInspectStatements: a database that nobody prepared becomes ready by running exactly
// what Inspect says, by an administrator.
func TestInspectStatements(t *testing.T) {
	server := own(t, "max_replication_slots=1", "max_wal_senders=1", "wal_level=replica")
	dsn := server.Database(t)
	exec(t, connectTo(t, dsn), "CREATE SCHEMA dancu", "CREATE TABLE dancu.congdan (id text PRIMARY KEY)", `CREATE TABLE dancu."Hộ" (id int PRIMARY KEY)`,
		"ALTER TABLE dancu.congdan ENABLE ROW LEVEL SECURITY", "CREATE ROLE plain LOGIN")
	account := strings.Replace(dsn, "postgres@", "plain@", 1)
	lacking := func() (codes []string, statements []string) {
		t.Helper()
		found, err := openSource(t, account).Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range found.Required {
			if !r.OK {
				codes, statements = append(codes, r.Code), append(statements, r.Statement)
			}
		}
		return codes, statements
	}
	first, _ := lacking()
	for _, code := range []string{"postgres.wal_level", "postgres.max_replication_slots", "postgres.replication", "postgres.usage", "postgres.select"} {
		if !slices.Contains(first, code) {
			t.Errorf("%s is not among what is lacking: %v", code, first)
		}
	}
	// The server's command line is stronger than ALTER SYSTEM: here the settings are given there.
	for round := 0; ; round++ {
		codes, statements := lacking()
		if len(codes) == 0 {
			break
		}
		if round == 5 {
			t.Fatalf("still lacking after %d rounds: %v", round, codes)
		}
		admin := connectTo(t, dsn)
		var settings []string
		for _, statement := range statements {
			if rest, system := strings.CutPrefix(statement, "ALTER SYSTEM SET "); system {
				name, value, _ := strings.Cut(strings.TrimSuffix(rest, ";"), " = ")
				settings = append(settings, name+"="+strings.Trim(value, "'"))
			}
			exec(t, admin, statement)
		}
		if len(settings) > 0 {
			if err := server.Restart(append(settings, "fsync=off")...); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := openSource(t, account)
	startAt(t, s, "dancu.congdan", `dancu."Hộ"`)
}

// TestWholeRowIdentity: without any key, REPLICA IDENTITY FULL makes the row its own name.
func TestWholeRowIdentity(t *testing.T) {
	dsn := own(t).Database(t)
	conn := connectTo(t, dsn)
	exec(t, conn, "CREATE TABLE t (w text, n int, doc json)", "ALTER TABLE t REPLICA IDENTITY FULL",
		"INSERT INTO t VALUES ('a', 1, '{}'), ('b', NULL, NULL), ('c', 3, '[]')")
	s := openSource(t, dsn)
	pos := startAt(t, s, "public.t")
	exec(t, conn, "UPDATE t SET n = 2 WHERE w = 'a'", "DELETE FROM t WHERE w = 'b'", "UPDATE t SET n = n WHERE w = 'c'",
		"UPDATE t SET w = NULL WHERE w = 'c'", "UPDATE t SET w = '' WHERE w IS NULL", "INSERT INTO t VALUES ('stop')")
	sink := &seen{kinds: []lienthong.Kind{lienthong.Text, lienthong.Integer, lienthong.Text}}
	streamUntilStop(t, s, pos, sink)
	want := []string{
		"delete a 1 {}", "upsert a 2 {}", "delete b ∅ ∅", "upsert c 3 []", "delete c 3 []", "upsert ∅ 3 []", "delete ∅ 3 []", "upsert  3 []",
	}
	if diff := cmp.Diff(want, sink.rows); diff != "" {
		t.Error(diff)
	}
}

// TestTableReplaced: a table that is swapped for another under its name, or taken out of
// the publication, is handed over whole while the stream goes on; and again when that was not
// acknowledged.
func TestTableReplaced(t *testing.T) {
	for _, c := range []struct{ name, change string }{
		{"swap", "CREATE TABLE t_new (id text PRIMARY KEY, more int); INSERT INTO t_new VALUES ('n', 1); ALTER TABLE t RENAME TO t_old; ALTER TABLE t_new RENAME TO t"},
		{"unpublished", "ALTER PUBLICATION lienthong_promise DROP TABLE t; ALTER TABLE t ADD COLUMN more int; DELETE FROM t; INSERT INTO t VALUES ('n', 1)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dsn := own(t).Database(t)
			conn := connectTo(t, dsn)
			exec(t, conn, "CREATE TABLE t (id text PRIMARY KEY)", "INSERT INTO t VALUES ('a')")
			s := openWith(t, Config{DSN: dsn, Name: "promise", Watch: 20 * time.Millisecond, Heartbeat: 50 * time.Millisecond})
			pos := startAt(t, s, "public.t")
			sink := &replaced{heard: make(chan string, 1000)}
			stream := func() func() {
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- s.Stream(ctx, pos, sink) }()
				return func() {
					cancel()
					if err := <-done; !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
				}
			}
			stop := stream()
			exec(t, conn, c.change)
			sink.expect(t, "schema id more", "truncate", "upsert n")
			exec(t, conn, "INSERT INTO t VALUES ('o', 2)")
			sink.expect(t, "upsert o")
			stop()
			// Nothing of it was acknowledged.
			stop = stream()
			sink.expect(t, "truncate", "upsert n", "upsert o")
			stop()
		})
	}
}

// replaced is a Sink that tells what it hears.
type replaced struct{ heard chan string }

func (r *replaced) Begin(lienthong.Position, int64) error { return nil }
func (r *replaced) Commit(lienthong.Position) error       { return nil }
func (r *replaced) Idle() error                           { return nil }
func (r *replaced) Truncate(int, int64, int64) error      { r.heard <- "truncate"; return nil }

func (r *replaced) Change(row *connector.Row) error {
	r.heard <- row.Op.String() + " " + string(row.Values[0].Bytes)
	return nil
}

func (r *replaced) Schema(_ int, now connector.Table) error {
	said := "schema"
	for _, c := range now.Columns {
		said += " " + c.Name
	}
	r.heard <- said
	return nil
}

// expect waits for the words in this order, with others in between.
func (r *replaced) expect(t *testing.T, words ...string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	var all []string
	for len(words) > 0 {
		select {
		case said := <-r.heard:
			if all = append(all, said); said == words[0] {
				words = words[1:]
			}
		case <-deadline:
			t.Fatalf("waiting for %q, heard %q", words[0], all)
		}
	}
}

// TestManyTables reads 500 tables by one publication.
func TestManyTables(t *testing.T) {
	dsn := own(t, "max_locks_per_transaction=1000").Database(t)
	conn := connectTo(t, dsn)
	exec(t, conn, `DO $$ BEGIN FOR i IN 1..500 LOOP EXECUTE format('CREATE TABLE %I (id text PRIMARY KEY, n int)', 'Bảng ' || i);
		EXECUTE format('INSERT INTO %I VALUES (%L, 1)', 'Bảng ' || i, 'v' || i); END LOOP; END $$`)
	s := openSource(t, dsn)
	var names []string
	for i := range 500 {
		names = append(names, fmt.Sprintf(`public."Bảng %d"`, i+1))
	}
	begin := time.Now()
	pos := startAt(t, s, names...)
	started := time.Since(begin)
	view, err := s.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = view.Close() }()
	rows := 0
	for i := range names {
		chunks, err := view.Chunks(t.Context(), i, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, chunk := range chunks {
			if err := view.Read(t.Context(), i, chunk, func(*connector.Row) error { rows++; return nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	exec(t, conn, `DO $$ BEGIN FOR i IN 1..500 LOOP EXECUTE format('UPDATE %I SET n = 2', 'Bảng ' || i); END LOOP; END $$`, `INSERT INTO "Bảng 1" VALUES ('stop')`)
	sink := &seen{kinds: []lienthong.Kind{lienthong.Text, lienthong.Integer}}
	streamUntilStop(t, s, pos, sink)
	if rows != 500 || len(sink.rows) != 500 {
		t.Errorf("%d rows in the view, %d in the stream", rows, len(sink.rows))
	}
	t.Logf("500 tables: Start %s, all %s", started.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
}

func TestDefaultName(t *testing.T) {
	seen := map[string]bool{}
	for _, readable := range []string{"commune-00001", "Nút Tỉnh", "", strings.Repeat("a", 60), strings.Repeat("a", 61)} {
		for _, dsn := range []string{"postgres://u:p@h/dancu", "postgres://u:p@h/hotich", "host=h dbname=dancu2"} {
			name, err := DefaultName(readable, dsn)
			if err != nil || !plainName(name) || seen[name] {
				t.Errorf("%q %q: %q, %v", readable, dsn, name, err)
			}
			if again, _ := DefaultName(readable, dsn); again != name {
				t.Errorf("%q, then %q", name, again)
			}
			seen[name] = true
		}
	}
	if _, err := DefaultName("x", "postgres://u:secret@h:port/d"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a broken DSN: %v", err)
	}
}
