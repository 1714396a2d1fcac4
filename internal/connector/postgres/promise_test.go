package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/pgtest"
)

// own starts a server for the tests of this file that need one of their own
// settings or privileges.
func own(t testing.TB, settings ...string) *pgtest.Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	server, err := pgtest.Start(dir, append([]string{"fsync=off"}, settings...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close(); _ = os.RemoveAll(dir) })
	return server
}

func connectTo(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec(t testing.TB, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func openSource(t testing.TB, dsn string) *Source {
	t.Helper()
	s, err := Open(Config{DSN: dsn, Name: "promise"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// seen is a Sink that writes down what it hears and stops at the row "stop".
type seen struct {
	rows  []string
	state map[string]int64 // by key: the highest version
	gone  map[string]bool
	kinds []lienthong.Kind
	each  func(*connector.Row)
}

var errStop = errors.New("stop")

func (s *seen) Begin(lienthong.Position, int64) error { return nil }
func (s *seen) Commit(lienthong.Position) error       { return nil }
func (s *seen) Idle() error                           { return nil }
func (s *seen) Truncate(int, int64, int64) error      { return nil }
func (s *seen) Schema(_ int, now connector.Table) error {
	s.kinds = s.kinds[:0]
	for _, c := range now.Columns {
		s.kinds = append(s.kinds, c.Kind)
	}
	return nil
}

func (s *seen) Change(row *connector.Row) error {
	key := string(row.Values[0].AppendText(nil, s.kinds[0]))
	if key == "stop" || key == "999999" {
		return errStop
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s", row.Op)
	for i := range row.Values {
		b.WriteString(" " + show(&row.Values[i], s.kinds[i]))
	}
	s.rows = append(s.rows, b.String())
	if s.state == nil {
		s.state, s.gone = map[string]int64{}, map[string]bool{}
	}
	if last, known := s.state[key]; !known || row.Version > last {
		s.state[key], s.gone[key] = row.Version, row.Op == lienthong.Delete
	}
	if s.each != nil {
		s.each(row)
	}
	return nil
}

func show(v *lienthong.Value, kind lienthong.Kind) string {
	switch v.State {
	case lienthong.Null:
		return "∅"
	case lienthong.Unchanged:
		return "="
	case lienthong.Malformed:
		return "!" + string(v.Bytes)
	case lienthong.Present:
	}
	return string(v.AppendText(nil, kind))
}

func streamUntilStop(t testing.TB, s *Source, after lienthong.Position, sink *seen) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := s.Stream(ctx, after, sink); !errors.Is(err, errStop) {
		t.Fatalf("Stream: %v", err)
	}
}

// TestInsertLoggedBeforeDelete makes the case in which a change's own place in
// the WAL is the wrong order: an INSERT is logged, waits in a first unique index,
// and takes a key that a neighbour deletes and commits meanwhile.
func TestInsertLoggedBeforeDelete(t *testing.T) {
	server := own(t)
	dsn := server.Database(t)
	setup, blocker, inserter := connectTo(t, dsn), connectTo(t, dsn), connectTo(t, dsn)
	// The index on other is made first and is therefore checked first.
	exec(t, setup, "CREATE TABLE t (id text NOT NULL, other text)",
		"CREATE UNIQUE INDEX t_other ON t (other)", "ALTER TABLE t ADD PRIMARY KEY (id)",
		"INSERT INTO t VALUES ('k', 'first')")
	s := openSource(t, dsn)
	pos, err := s.Start(t.Context(), []string{"public.t"})
	if err != nil {
		t.Fatal(err)
	}
	exec(t, blocker, "BEGIN", "INSERT INTO t VALUES ('b', 'wanted')")
	done := make(chan error, 1)
	go func() {
		_, err := inserter.Exec(context.Background(), "INSERT INTO t VALUES ('k', 'wanted')")
		done <- err
	}()
	waitFor(t, setup, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid = $1)", inserter.PgConn().PID())
	exec(t, setup, "DELETE FROM t WHERE id = 'k'")
	exec(t, blocker, "ROLLBACK")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	exec(t, setup, "INSERT INTO t VALUES ('stop')")
	sink := &seen{kinds: []lienthong.Kind{lienthong.Text, lienthong.Text}}
	streamUntilStop(t, s, pos, sink)
	if diff := cmp.Diff([]string{"delete k =", "upsert k wanted"}, sink.rows); diff != "" {
		t.Fatal(diff)
	}
	if sink.gone["k"] {
		t.Error("by version the record is deleted, though the source has it")
	}
}

func waitFor(t testing.TB, conn *pgx.Conn, query string, arguments ...any) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		var holds bool
		if err := conn.QueryRow(t.Context(), query, arguments...).Scan(&holds); err != nil {
			t.Fatal(err)
		}
		if holds {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting: %s", query)
		}
	}
}

// TestManyChangesOfOneRecord: when a record changes more often in a transaction
// than versions can tell, its last state arrives, above all others.
func TestManyChangesOfOneRecord(t *testing.T) {
	server := own(t)
	dsn := server.Database(t)
	conn := connectTo(t, dsn)
	exec(t, conn, "CREATE TABLE t (id text PRIMARY KEY, n int, big text)",
		"ALTER TABLE t ALTER big SET STORAGE EXTERNAL")
	s := openSource(t, dsn)
	s.sequenceLimit = 5
	pos, err := s.Start(t.Context(), []string{"public.t"})
	if err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "BEGIN", "INSERT INTO t VALUES ('a', 0, repeat('x', 9000)), ('b', 0, 'y'), ('c', 0, 'z')")
	for n := range 20 {
		exec(t, conn, fmt.Sprintf("UPDATE t SET n = %d WHERE id = 'a'", n+1))
	}
	exec(t, conn, "UPDATE t SET big = repeat('w', 9000), n = 21 WHERE id = 'a'", "UPDATE t SET n = 22 WHERE id = 'a'")
	for range 20 {
		exec(t, conn, "DELETE FROM t WHERE id = 'c'", "INSERT INTO t VALUES ('c', 1, 'z')")
	}
	exec(t, conn, "DELETE FROM t WHERE id = 'c'", "COMMIT", "INSERT INTO t VALUES ('stop')")
	last := map[string]string{}
	best := map[string]int64{}
	sink := &seen{kinds: []lienthong.Kind{lienthong.Text, lienthong.Integer, lienthong.Text}}
	sink.each = func(row *connector.Row) {
		key := string(row.Values[0].Bytes)
		if row.Version <= best[key] {
			t.Errorf("%s: version %d after %d", key, row.Version, best[key])
		}
		best[key] = row.Version
		last[key] = row.Op.String() + " " + show(&row.Values[1], lienthong.Integer) + " " + fmt.Sprintf("%.1s", show(&row.Values[2], lienthong.Text))
	}
	streamUntilStop(t, s, pos, sink)
	want := map[string]string{"a": "upsert 22 w", "b": "upsert 0 y", "c": "delete = ="}
	if diff := cmp.Diff(want, last); diff != "" {
		t.Error(diff)
	}
}

// TestTypes compares every common type through the view, the binary stream and
// the text stream with what the server itself writes.
func TestTypes(t *testing.T) {
	types := []struct{ name, value, want string }{
		{"smallint", "-32768", "-32768"},
		{"integer", "2147483647", "2147483647"},
		{"oid", "4294967295", "4294967295"},
		{"numeric(12,4)", "12345.6", "12345.6000"},
		{"numeric", "'NaN'", "NaN"},
		{"numeric", "'-Infinity'", "!-Infinity"},
		{"numeric", "0.000000000001234", "0.000000000001234"},
		{"numeric", "-100000000000000000000", "-100000000000000000000"},
		{"real", "0.1", "0.10000000149011612"},
		{"double precision", "'-Infinity'", "-Inf"},
		{"char(5)", "'ab'", "ab   "},
		{"varchar(9)", "'Đà Nẵng'", "Đà Nẵng"},
		{"name", "'n'", "n"},
		{`"char"`, "'c'", "c"},
		{"date", "'0044-03-15 BC'", "-0043-03-15"},
		{"date", "'infinity'", "!infinity"},
		{"date", "'5874897-12-31'", "5874897-12-31"},
		{"timestamp", "'2025-07-01 00:00:00.5'", "2025-07-01T00:00:00.500000Z"},
		{"timestamptz", "'2025-07-01 07:00:00+07'", "2025-07-01T00:00:00.000000Z"},
		{"timestamptz", "'-infinity'", "!-infinity"},
		{"timestamp", "'0044-03-15 12:00:00 BC'", "-0043-03-15T12:00:00.000000Z"},
		{"time", "'23:59:59.120'", "23:59:59.12"},
		{"time", "'24:00:00'", "24:00:00"},
		{"uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"json", `'{"a" :1}'`, `{"a" :1}`},
		{"jsonb", `'{"a" :1}'`, `{"a": 1}`},
		{"bytea", `'\x00ff'`, "00ff"},
		{"mood", "'vui'", "vui"},
		{"positive", "7", "7"},
		{"deep", "8", "8"},
	}
	foreign := []struct{ name, value, want string }{
		{"interval", "'1 year 2 days 03:04:05'", "P1Y2DT3H4M5S"},
		{"inet", "'10.0.0.1'", "10.0.0.1"},
		{"int[]", "'{1,NULL,3}'", "{1,NULL,3}"},
		{"point", "'(1,2)'", "(1,2)"},
		{"xml", "'<a/>'", "<a/>"},
		{"tstzrange", "'[2025-07-01 07:00+07,)'", `["2025-07-01 00:00:00+00",)`},
		{"pair", "ROW(NULL, NULL)", "(,)"},
		{"bit(3)", "B'101'", "101"},
		{"timetz", "'01:02:03+07'", "01:02:03+07"},
	}
	for _, textual := range []bool{false, true} {
		t.Run(fmt.Sprintf("text=%v", textual), func(t *testing.T) {
			all := types
			if textual {
				all = append(all[:len(all):len(all)], foreign...)
			}
			server := own(t)
			dsn := server.Database(t)
			conn := connectTo(t, dsn)
			exec(t, conn, "CREATE TYPE mood AS ENUM ('vui')", "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
				"CREATE DOMAIN deep AS positive", "CREATE TYPE pair AS (a int, b int)")
			columns, values := "", ""
			want := []string{""}
			for i, typ := range all {
				columns += fmt.Sprintf(", c%d %s, n%d %s", i, typ.name, i, typ.name)
				values += ", " + typ.value + ", NULL"
				want = append(want, typ.want, "∅")
			}
			exec(t, conn, "CREATE TABLE t (id text PRIMARY KEY"+columns+", twice int GENERATED ALWAYS AS (1) STORED)",
				"INSERT INTO t VALUES ('view'"+values+")")
			s := openSource(t, dsn)
			pos, err := s.Start(t.Context(), []string{"public.t"})
			if err != nil {
				t.Fatal(err)
			}
			var kinds []lienthong.Kind
			for _, c := range s.tables[0].Columns {
				kinds = append(kinds, c.Kind)
			}
			check := func(row *connector.Row) {
				for i := 1; i < len(row.Values); i++ {
					if got := show(&row.Values[i], kinds[i]); got != want[i] {
						t.Errorf("%s %s: %q, want %q", row.Values[0].Bytes, s.tables[0].Columns[i].SourceType, got, want[i])
					}
				}
			}
			view, err := s.View(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = view.Close() }()
			chunks, err := view.Chunks(t.Context(), 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			rows := 0
			for _, chunk := range chunks {
				if err := view.Read(t.Context(), 0, chunk, func(row *connector.Row) error { rows++; check(row); return nil }); err != nil {
					t.Fatal(err)
				}
			}
			exec(t, conn, "INSERT INTO t VALUES ('stream'"+values+")", "INSERT INTO t VALUES ('stop')")
			sink := &seen{kinds: kinds, each: check}
			streamUntilStop(t, s, pos, sink)
			if rows != 1 || len(sink.rows) != 1 {
				t.Errorf("%d rows in the view, %d in the stream, want 1 and 1", rows, len(sink.rows))
			}
		})
	}
}

// TestRewrittenTable: chunks of a table whose rows have moved without a change
// are refused, so that a snapshot never has a hole.
func TestRewrittenTable(t *testing.T) {
	server := own(t)
	dsn := server.Database(t)
	conn := connectTo(t, dsn)
	exec(t, conn, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t SELECT generate_series(1, 5000)",
		"DELETE FROM t WHERE id < 4000")
	s := openSource(t, dsn)
	if _, err := s.Start(t.Context(), []string{"public.t"}); err != nil {
		t.Fatal(err)
	}
	view, err := s.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = view.Close() }()
	chunks, err := view.Chunks(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "VACUUM FULL t")
	err = view.Read(t.Context(), 0, chunks[len(chunks)-1], func(*connector.Row) error { return nil })
	if lienthong.ErrorCode(err) != "postgres.table_rewritten" {
		t.Errorf("Read of a rewritten table: %v", err)
	}
	if err := view.Read(t.Context(), 0, "1.2.x.4", nil); lienthong.ErrorCode(err) != "postgres.chunk" {
		t.Errorf("Read of a broken chunk: %v", err)
	}
}

// TestPartitions: a partitioned table is one table, whichever partition holds a row.
func TestPartitions(t *testing.T) {
	server := own(t)
	dsn := server.Database(t)
	conn := connectTo(t, dsn)
	exec(t, conn, "CREATE TABLE t (id int PRIMARY KEY, w text) PARTITION BY RANGE (id)",
		"CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (1000)",
		"CREATE TABLE t_2 (w text, id int NOT NULL)", "ALTER TABLE t ATTACH PARTITION t_2 FOR VALUES FROM (1000) TO (9999999)",
		"INSERT INTO t SELECT g, 'w' FROM generate_series(1, 1999) g")
	s := openSource(t, dsn)
	pos, err := s.Start(t.Context(), []string{"public.t"})
	if err != nil {
		t.Fatal(err)
	}
	view, err := s.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = view.Close() }()
	chunks, err := view.Chunks(t.Context(), 0, 200)
	if err != nil {
		t.Fatal(err)
	}
	found := map[int64]bool{}
	for _, chunk := range chunks {
		err := view.Read(t.Context(), 0, chunk, func(row *connector.Row) error {
			found[row.Values[0].Int] = string(row.Values[1].Bytes) == "w"
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) != 1999 || len(chunks) < 4 {
		t.Errorf("%d rows in %d chunks", len(found), len(chunks))
	}
	exec(t, conn, "UPDATE t SET id = 5000 WHERE id = 1", "INSERT INTO t VALUES (999999)")
	sink := &seen{kinds: []lienthong.Kind{lienthong.Integer, lienthong.Text}}
	streamUntilStop(t, s, pos, sink)
	if diff := cmp.Diff([]string{"delete 1 =", "upsert 5000 w"}, sink.rows); diff != "" {
		t.Error(diff)
	}
}

// TestViewDescribesItself adds and drops columns after Start: a view shows the
// columns that its snapshot has, not those that Start saw.
func TestViewDescribesItself(t *testing.T) {
	dsn := own(t).Database(t)
	conn := connectTo(t, dsn)
	exec(t, conn, "CREATE TABLE t (id int PRIMARY KEY, gone text, kept text)", "INSERT INTO t VALUES (1, 'a', 'b')")
	s := openSource(t, dsn)
	if _, err := s.Start(t.Context(), []string{"public.t"}); err != nil {
		t.Fatal(err)
	}
	read := func() (names []string, rows int) {
		t.Helper()
		view, err := s.View(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = view.Close() }()
		describer, ok := view.(connector.Describer)
		if !ok {
			t.Fatal("the view does not describe its tables")
		}
		for _, c := range describer.Table(0).Columns {
			names = append(names, c.Name)
		}
		chunks, err := view.Chunks(t.Context(), 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, chunk := range chunks {
			err := view.Read(t.Context(), 0, chunk, func(row *connector.Row) error {
				rows++
				if len(row.Values) != len(names) {
					t.Errorf("a row of %d values, %d columns described", len(row.Values), len(names))
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return names, rows
	}
	for _, step := range []struct{ change, want string }{
		{"SELECT 1", "id gone kept"},
		{"ALTER TABLE t ADD COLUMN added int DEFAULT 5", "id gone kept added"},
		{"ALTER TABLE t DROP COLUMN gone", "id kept added"},
		{"ALTER TABLE t RENAME COLUMN kept TO renamed", "id renamed added"},
	} {
		exec(t, conn, step.change)
		if names, rows := read(); strings.Join(names, " ") != step.want || rows != 1 {
			t.Errorf("after %s: %d rows with columns %v, want %s", step.change, rows, names, step.want)
		}
	}
}

// TestComplete asks for the large value that an update left alone, as capture does
// where the hub has nothing to leave unchanged.
func TestComplete(t *testing.T) {
	dsn := own(t).Database(t)
	conn := connectTo(t, dsn)
	large := strings.Repeat("đặc biệt ", 800)
	exec(t, conn, "CREATE TABLE t (id text PRIMARY KEY, small text, large text)", "ALTER TABLE t ALTER COLUMN large SET STORAGE EXTERNAL",
		"INSERT INTO t VALUES ('there', 'a', '"+large+"'), ('gone', 'a', '"+large+"')")
	s := openSource(t, dsn)
	pos, err := s.Start(t.Context(), []string{"public.t"})
	if err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "UPDATE t SET small = 'b'", "DELETE FROM t WHERE id = 'gone'", "INSERT INTO t VALUES ('stop')")
	got := map[string]string{}
	sink := &seen{kinds: []lienthong.Kind{lienthong.Text, lienthong.Text, lienthong.Text}}
	sink.each = func(row *connector.Row) {
		if row.Op != lienthong.Upsert {
			return
		}
		if row.Values[2].State != lienthong.Unchanged {
			t.Errorf("the large value of %s was sent although it did not change", row.Values[0].Bytes)
		}
		if err := s.Complete(t.Context(), row.Table, row.Values); err != nil {
			t.Error(err)
		}
		got[string(row.Values[0].Bytes)] = show(&row.Values[1], lienthong.Text) + " " + show(&row.Values[2], lienthong.Text)
	}
	streamUntilStop(t, s, pos, sink)
	if diff := cmp.Diff(map[string]string{"there": "b " + large, "gone": "b ∅"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSees(t *testing.T) {
	for _, c := range []struct {
		snapshot string
		xid      uint32
		want     bool
	}{
		{"100:105:", 104, true},
		{"100:105:", 105, false},
		{"100:105:101,104", 104, false},
		{"100:105:101,104", 103, true},
		{"8589934600:8589934605:8589934601", 9, false}, // 2^33 + 9
		{"8589934600:8589934605:8589934601", 8, true},
		{"4294967290:4294967300:", 4294967295, true}, // 2^32 + 4 comes after 2^32 - 1
		{"4294967290:4294967295:", 3, false},
	} {
		got, err := sees(c.snapshot, c.xid)
		if err != nil || got != c.want {
			t.Errorf("sees(%q, %d) = %t, %v", c.snapshot, c.xid, got, err)
		}
	}
	if _, err := sees("105", 1); err == nil {
		t.Error("a text that is no snapshot was taken for one")
	}
}
