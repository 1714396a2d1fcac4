package mysql_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/mysql"
)

// TestChunksOfEveryKey: keys of one and several columns, of every type, with values that
// sort in their own ways, are divided so that each row is read once.
func TestChunksOfEveryKey(t *testing.T) {
	w := newWorld(t, server)
	for name, table := range map[string]struct{ columns, key, rows string }{
		"text_ci":   {"k varchar(30) COLLATE utf8mb4_unicode_ci", "k", "SELECT CONCAT(ELT(1 + seq % 5, 'a', 'Ă', 'đ', 'Z ', '_'), seq) FROM seq_1_to_200"},
		"text_l1":   {"k varchar(30) CHARACTER SET latin1", "k", "SELECT CONCAT(ELT(1 + seq % 3, 'é', 'x''y', '\\\\'), seq) FROM seq_1_to_200"},
		"number":    {"k bigint unsigned", "k", "SELECT 18446744073709551615 - seq * 7 FROM seq_0_to_199"},
		"negative":  {"k int", "k", "SELECT CAST(seq AS SIGNED) - 100 FROM seq_1_to_200"},
		"amount":    {"k decimal(20,5)", "k", "SELECT CAST(seq AS SIGNED) * 1.23456 - 100 FROM seq_1_to_200"},
		"bytes":     {"k varbinary(20)", "k", "SELECT UNHEX(LPAD(HEX(seq * 977), 8, '0')) FROM seq_1_to_200"},
		"day":       {"k date", "k", "SELECT DATE('1999-12-01') + INTERVAL seq DAY FROM seq_1_to_200"},
		"moment":    {"k datetime(6)", "k", "SELECT TIMESTAMP('1999-12-01') + INTERVAL seq * 333333 MICROSECOND FROM seq_1_to_200"},
		"two":       {"k int, l varchar(20)", "k, l", "SELECT seq DIV 20, CONCAT('mã ', seq % 20) FROM seq_1_to_200"},
		"three":     {"k varchar(9), l int, m date", "k, l, m", "SELECT CONCAT('t', seq DIV 60), seq DIV 20, DATE('2020-01-01') + INTERVAL seq % 20 DAY FROM seq_1_to_200"},
		"real_last": {"k int, l double", "k, l", "SELECT seq DIV 4, seq / 3e0 FROM seq_1_to_200"},
		"floating":  {"k double", "k", "SELECT seq / 7e0 FROM seq_1_to_200"},
		"word":      {"k enum('z','y','x','w'), l int", "k, l", "SELECT 1 + seq % 4, seq FROM seq_1_to_200"},
		"same":      {"k int, l int", "k, l", "SELECT 1, seq FROM seq_1_to_200"},
		"identity":  {"k uuid", "k", "SELECT UUID() FROM seq_1_to_200"},
	} {
		t.Run(name, func(t *testing.T) {
			w.exec("CREATE TABLE "+name+" ("+table.columns+", PRIMARY KEY ("+table.key+"))", "INSERT INTO "+name+" "+table.rows)
			source, err := mysql.Open(mysql.Config{DSN: w.dsn, Name: "w", StateDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = source.Close() }()
			_, sink := w.start(source, name)
			for _, rows := range []int{1, 7, 200, 1000} {
				view, err := source.View(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				chunks, err := view.Chunks(t.Context(), 0, rows)
				if err != nil {
					t.Fatal(err)
				}
				if most := 200/rows + 1; len(chunks) > most {
					t.Errorf("%d chunks of %d rows, want at most %d", len(chunks), rows, most)
				}
				_ = view.Close()
				// A later view understands them.
				view, err = source.View(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				seen := map[string]bool{}
				for _, chunk := range chunks {
					err := view.Read(t.Context(), 0, chunk, func(row *connector.Row) error {
						line := text(sink.columns[0], row.Values)
						if seen[line] {
							t.Errorf("%s was read twice", line)
						}
						seen[line] = true
						return nil
					})
					if err != nil {
						t.Fatalf("%s: %v", chunk, err)
					}
				}
				if len(seen) != 200 {
					t.Errorf("chunks of %d rows: %d rows, want 200", rows, len(seen))
				}
				if _, err := view.Chunks(t.Context(), 1, rows); lienthong.ErrorCode(err) != "mysql.view_closed" {
					t.Errorf("a table that is not there: %v", err)
				}
				if err := view.Read(t.Context(), 0, `{"from":["1","2","3","4"]}`, nil); lienthong.ErrorCode(err) != "mysql.chunk" {
					t.Errorf("a chunk that is none: %v", err)
				}
				_ = view.Close()
				if _, err := view.Chunks(t.Context(), 0, rows); lienthong.ErrorCode(err) != "mysql.view_closed" {
					t.Errorf("a closed view: %v", err)
				}
			}
		})
	}
}

// TestViewAndApplication: an open view does not keep the application from altering a table,
// and what the alteration does to the view is an error, never a part of the rows.
func TestViewAndApplication(t *testing.T) {
	for _, test := range []struct{ name, statement string }{
		{"truncate", "TRUNCATE a"},
		{"add", "ALTER TABLE a ADD COLUMN w int DEFAULT 3, ALGORITHM=COPY"},
		{"rebuild", "ALTER TABLE a ENGINE=InnoDB"},
		{"drop", "DROP TABLE a"},
		{"drop column", "ALTER TABLE a DROP COLUMN v"},
		{"holding: truncate", "TRUNCATE a"},
		{"holding: rebuild", "ALTER TABLE a ENGINE=InnoDB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, server)
			w.exec("CREATE TABLE a (id int PRIMARY KEY, v varchar(20))", "INSERT INTO a SELECT seq, 'x' FROM seq_1_to_1000")
			if strings.HasPrefix(test.name, "holding") {
				// An account that may only read cannot let tables go; its view gives way.
				account := "read_" + w.name + "@'127.0.0.1'"
				server.Admin(t, "CREATE USER "+account, "GRANT SELECT ON "+w.name+".* TO "+account, "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO "+account)
				t.Cleanup(func() { server.Admin(t, "DROP USER "+account) })
				w.dsn = server.AccountDSN("read_"+w.name, "", w.name)
			}
			source := w.open()
			w.start(source, "a")
			view, err := source.View(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = view.Close() }()
			chunks, err := view.Chunks(t.Context(), 0, 400)
			if err != nil {
				t.Fatal(err)
			}
			nothing := func(*connector.Row) error { return nil }
			if err := view.Read(t.Context(), 0, chunks[0], nothing); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if _, err := w.db.ExecContext(ctx, test.statement); err != nil {
				t.Fatalf("the application had to wait for the view: %v", err)
			}
			rows := 0
			err = view.Read(t.Context(), 0, chunks[1], func(*connector.Row) error { rows++; return nil })
			if code := lienthong.ErrorCode(err); code != "mysql.table_changed" && code != "mysql.schema_changed" && code != "mysql.view_gave_way" && (err != nil || rows != 400) {
				t.Errorf("reading afterwards: %d rows, %v", rows, err)
			}
		})
	}
}

// TestViewIsLost: the sessions of a view are ended by the server.
func TestViewIsLost(t *testing.T) {
	s := own(t)
	w := newWorld(t, s)
	w.exec("CREATE TABLE a (id int PRIMARY KEY)")
	source := w.open()
	w.start(source, "a")
	view, err := source.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	var codes []string
	for range 3 {
		_, err := view.Chunks(t.Context(), 0, 10)
		codes = append(codes, lienthong.ErrorCode(err))
	}
	if diff := cmp.Diff([]string{"mysql.connection", "mysql.connection", "mysql.view_closed"}, codes); diff != "" {
		t.Errorf("reading when the server restarted: %s", diff)
	}
	if err := view.Close(); err != nil {
		t.Error(err)
	}
}

// TestHealthInFigures: how far behind, and how long the server keeps its log.
func TestHealthInFigures(t *testing.T) {
	s := own(t, "expire-logs-days=2")
	w := newWorld(t, s)
	w.exec("CREATE TABLE a (id int PRIMARY KEY, v longtext)")
	now := time.Now()
	source, err := mysql.Open(mysql.Config{DSN: w.dsn, Name: "w", StateDir: w.state, LagLimit: 1 << 20, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	says := func(code string, parts ...string) {
		t.Helper()
		h, err := source.Health(t.Context())
		if err != nil || h.Code != code {
			t.Fatalf("health: %+v, %v; want %s", h, err, code)
		}
		for _, part := range parts {
			if !strings.Contains(h.Vi+h.En, part) {
				t.Errorf("%s does not say %q: %s / %s", code, part, h.Vi, h.En)
			}
		}
	}
	says("mysql.not_started")
	pos, sink := w.start(source, "a")
	says("mysql.idle", "nobody reads")
	end, _ := w.stream(source, pos, sink)
	w.exec("INSERT INTO a VALUES (1, 'x')")
	sink.until(t, "upsert 0 1,x")
	says("mysql.ok", "48 h", "48 giờ")
	w.exec("INSERT INTO a VALUES (2, REPEAT('y', 3000000))")
	says("mysql.behind", "2.9 MB", "1.0 MB")
	now = now.Add(30 * time.Hour)
	says("mysql.purge_near", "30 h", "48 h")
	now = now.Add(-30 * time.Hour)
	for {
		if _, at := sink.taken(); slices.ContainsFunc(func() []string { l, _ := sink.taken(); return l }(), func(line string) bool { return strings.HasPrefix(line, "upsert 0 2") }) {
			if err := source.Acknowledge(t.Context(), at); err != nil {
				t.Fatal(err)
			}
			if h, _ := source.Health(t.Context()); h.OK {
				break
			}
		}
		select {
		case <-sink.stir:
		case <-time.After(10 * time.Millisecond):
		}
	}
	w.exec("ALTER TABLE a ADD COLUMN w int DEFAULT 5", "INSERT INTO a VALUES (3, 'z', 1)")
	sink.until(t, "upsert 0 3,z,1")
	if _, at := sink.taken(); true {
		if err := source.Acknowledge(t.Context(), at); err != nil {
			t.Fatal(err)
		}
	}
	says("mysql.compare", w.name+".a")
	// A view that reads the table settles it.
	view, err := source.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.readAll(view, sink, 1, 100)
	_ = view.Close()
	says("mysql.ok")
	_ = end()
}

// TestSchemaIsNotGuessed: where the log does not name its columns, two changes that are
// read too late stop the stream; named, they do not.
func TestSchemaIsNotGuessed(t *testing.T) {
	s := own(t, "binlog-row-metadata=NO_LOG")
	run := func(named bool) (*world, *mysql.Source, lienthong.Position, *tape) {
		w := newWorld(t, s)
		w.exec("CREATE TABLE a (id int PRIMARY KEY)")
		source := w.open()
		pos, sink := w.start(source, "a")
		if named {
			w.exec("SET GLOBAL binlog_row_metadata = FULL")
		}
		w.exec("ALTER TABLE a ADD COLUMN first int", "INSERT INTO a VALUES (1, 10)",
			"ALTER TABLE a DROP COLUMN first, ADD COLUMN second int", "INSERT INTO a VALUES (2, 20)")
		return w, source, pos, sink
	}
	w, source, pos, sink := run(false)
	if code, err := w.code(source, pos, sink); code != "mysql.layout_unknown" {
		t.Errorf("Stream: %v", err)
	}
	if lines, _ := sink.taken(); len(lines) != 0 {
		t.Errorf("rows came all the same: %q", lines)
	}
	w, source, pos, sink = run(true)
	want := []string{"schema 0 id integer, first integer", "upsert 0 1,10", "schema 0 id integer, second integer", "upsert 0 2,20"}
	if diff := cmp.Diff(want, w.after(source, pos, sink)); diff != "" {
		t.Errorf("what arrives: %s", diff)
	}
}

// TestLogIsAnotherOfTheSameName: a log that was begun anew and has grown past the old
// position is told from the old by when its file was made.
func TestLogIsAnotherOfTheSameName(t *testing.T) {
	s := own(t)
	w := newWorld(t, s)
	w.exec("RESET MASTER", "CREATE TABLE a (id int PRIMARY KEY, v varchar(20))")
	source := w.open()
	pos, sink := w.start(source, "a")
	w.exec("DO SLEEP(1.1)", "RESET MASTER") // the next second
	for i := range 40 {
		w.exec(fmt.Sprintf("INSERT INTO a VALUES (%d, 'sau')", i))
	}
	if code, err := w.code(source, pos, sink); code != "mysql.binlog_reset" {
		t.Errorf("Stream: %v", err)
	}
	_ = source.Close()
	source = w.open()
	again, _ := w.start(source, "a")
	if !pos.Before(again) {
		t.Errorf("Start is at %d, not after %d", again.Order, pos.Order)
	}
	if h, err := source.Health(t.Context()); err != nil || h.Code != "mysql.binlog_reset" {
		t.Errorf("health: %+v, %v", h, err)
	}
}
