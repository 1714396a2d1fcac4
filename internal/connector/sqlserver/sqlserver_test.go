package sqlserver

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mssql "github.com/microsoft/go-mssqldb"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/conntest"
	"github.com/lienthong/lienthong/internal/connector/polling"
)

// lines is a Sink that writes down what it gets, and ends the stream when it is drained.
type lines struct {
	tables []connector.Table
	got    []string
	state  map[string]string
	pos    lienthong.Position
	ended  func()
}

func (l *lines) Begin(pos lienthong.Position, _ int64) error {
	l.pos = pos
	l.got = append(l.got, "begin")
	return nil
}

func (l *lines) Change(row *connector.Row) error {
	text := row.Op.String()
	key := fmt.Sprint(row.Table)
	for i := range row.Values {
		v := &row.Values[i]
		cell := map[lienthong.State]string{lienthong.Null: "∅", lienthong.Unchanged: "=", lienthong.Malformed: "!" + string(v.Bytes)}[v.State]
		if v.State == lienthong.Present {
			cell = string(v.AppendText(nil, l.tables[row.Table].Columns[i].Kind))
		}
		if len(cell) > 20 {
			cell = fmt.Sprintf("%d bytes", len(cell))
		}
		if i == 0 {
			key += cell
		}
		text += " " + cell
	}
	l.got = append(l.got, text)
	if row.Op == lienthong.Delete {
		delete(l.state, key)
	} else {
		l.state[key] = text
	}
	return nil
}

func (l *lines) Truncate(int, int64, int64) error { return errors.New("not expected") }

func (l *lines) Schema(table int, now connector.Table) error {
	l.tables[table] = now
	names := "schema"
	for _, c := range now.Columns {
		names += " " + c.Name
	}
	l.got = append(l.got, names)
	return nil
}

func (l *lines) Commit(pos lienthong.Position) error {
	if l.pos == pos {
		l.got = append(l.got, "commit")
	}
	l.pos = pos
	return nil
}

func (l *lines) Idle() error { l.ended(); return nil }

// drain streams until nothing is waiting.
func drain(t *testing.T, s *Source, after lienthong.Position, l *lines) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := false
	l.ended = func() { done = true; cancel() }
	listed, err := s.Tables(t.Context())
	if err != nil {
		return err
	}
	l.tables = nil
	for _, captured := range s.captured {
		for _, table := range listed {
			if table.Name == captured.name {
				l.tables = append(l.tables, table)
			}
		}
	}
	if l.state == nil {
		l.state = map[string]string{}
	}
	if err := s.Stream(ctx, after, l); !done {
		return err
	}
	return nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func people() *conntest.Table {
	return &conntest.Table{Name: "dbo.people", Columns: []conntest.Column{
		{Name: "id", Kind: lienthong.Integer, Key: true}, {Name: "name", Kind: lienthong.Text},
	}}
}

func insert(t *conntest.Table, id int, name string) conntest.Write {
	return conntest.Write{Verb: conntest.Insert, Table: t, Row: []conntest.Cell{conntest.Has(fmt.Sprint(id)), conntest.Has(name)}}
}

func update(t *conntest.Table, id, to int, name conntest.Cell) conntest.Write {
	return conntest.Write{
		Verb: conntest.Update, Table: t, Key: []conntest.Cell{conntest.Has(fmt.Sprint(id))},
		Row: []conntest.Cell{conntest.Has(fmt.Sprint(to)), name},
	}
}

func remove(t *conntest.Table, id int) conntest.Write {
	return conntest.Write{Verb: conntest.Delete, Table: t, Key: []conntest.Cell{conntest.Has(fmt.Sprint(id))}}
}

// begun is a server with the table of people, and a source that has started.
func begun(t *testing.T) (*server, *Source, *conntest.Table, lienthong.Position) {
	t.Helper()
	s, table := newServer(t), people()
	must(t, s.create("people", columnsOf(table)))
	source := opened(t, s, t.TempDir())
	pos, err := source.Start(t.Context(), []string{"dbo.people"})
	must(t, err)
	return s, source, table, pos
}

func opened(t *testing.T, s *server, state string) *Source {
	t.Helper()
	source, err := s.source(state)
	must(t, err)
	t.Cleanup(func() { _ = source.Close() })
	return source
}

func TestOneCommit(t *testing.T) {
	long := strings.Repeat("x", 9000)
	for name, test := range map[string]struct {
		before []conntest.Write
		commit func(*conntest.Table) []conntest.Write
		want   []string
	}{
		"insert": {
			commit: func(p *conntest.Table) []conntest.Write { return []conntest.Write{insert(p, 1, "a")} },
			want:   []string{"upsert 1 a"},
		},
		"many times is once": {
			commit: func(p *conntest.Table) []conntest.Write {
				return []conntest.Write{insert(p, 1, "a"), update(p, 1, 1, conntest.Has("b")), update(p, 1, 1, conntest.Has("c"))}
			},
			want: []string{"upsert 1 c"},
		},
		"come and gone": {
			commit: func(p *conntest.Table) []conntest.Write { return []conntest.Write{insert(p, 1, "a"), remove(p, 1)} },
			want:   []string{"delete 1 ="},
		},
		"key changes": {
			commit: func(p *conntest.Table) []conntest.Write {
				return []conntest.Write{insert(p, 1, "a"), update(p, 1, 2, conntest.Keep())}
			},
			want: []string{"delete 1 =", "upsert 2 a"},
		},
		"key changes there and back": {
			commit: func(p *conntest.Table) []conntest.Write {
				return []conntest.Write{insert(p, 1, "a"), update(p, 1, 2, conntest.Keep()), update(p, 2, 1, conntest.Has("b"))}
			},
			want: []string{"delete 2 =", "upsert 1 b"},
		},
		"deleted and made again": {
			commit: func(p *conntest.Table) []conntest.Write {
				return []conntest.Write{insert(p, 1, "a"), remove(p, 1), insert(p, 1, "b")}
			},
			want: []string{"upsert 1 b"},
		},
		"large and set": {
			commit: func(p *conntest.Table) []conntest.Write {
				return []conntest.Write{insert(p, 1, "a"), update(p, 1, 1, conntest.Has(long))}
			},
			want: []string{"upsert 1 9000 bytes"},
		},
		"large, and its key moves: asked for": {
			commit: func(p *conntest.Table) []conntest.Write {
				return []conntest.Write{insert(p, 1, long), update(p, 1, 2, conntest.Keep())}
			},
			want: []string{"delete 1 =", "upsert 2 9000 bytes"},
		},
		"large and set to null": {
			commit: func(p *conntest.Table) []conntest.Write {
				return []conntest.Write{insert(p, 1, long), update(p, 1, 1, conntest.Cell{})}
			},
			want: []string{"upsert 1 ∅"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, source, table, pos := begun(t)
			must(t, s.apply(t.Context(), test.commit(table)...))
			l := &lines{}
			must(t, drain(t, source, pos, l))
			want := append(append([]string{"begin"}, test.want...), "commit")
			if diff := cmp.Diff(want, l.got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestLargeValueIsKept: an update that did not write a large value leaves it out, and says so.
func TestLargeValueIsKept(t *testing.T) {
	s, source, _, _ := begun(t)
	wide := &conntest.Table{Name: "dbo.wide", Columns: []conntest.Column{
		{Name: "id", Kind: lienthong.Integer, Key: true}, {Name: "n", Kind: lienthong.Integer}, {Name: "body", Kind: lienthong.Text},
	}}
	must(t, s.create("wide", columnsOf(wide)))
	pos, err := source.Start(t.Context(), []string{"dbo.wide"})
	must(t, err)
	long := strings.Repeat("x", 9000)
	must(t, s.apply(t.Context(), conntest.Write{Verb: conntest.Insert, Table: wide, Row: []conntest.Cell{conntest.Has("1"), conntest.Has("1"), conntest.Has(long)}}))
	touch := conntest.Write{Verb: conntest.Update, Table: wide, Key: []conntest.Cell{conntest.Has("1")}, Row: []conntest.Cell{conntest.Keep(), conntest.Has("2"), conntest.Keep()}}
	must(t, s.apply(t.Context(), touch))
	l := &lines{}
	must(t, drain(t, source, pos, l))
	want := []string{"begin", "upsert 1 1 9000 bytes", "commit", "begin", "upsert 1 2 =", "commit"}
	if diff := cmp.Diff(want, l.got); diff != "" {
		t.Error(diff)
	}
	values := []lienthong.Value{{State: lienthong.Present, Int: 1}, {State: lienthong.Present, Int: 7}, {State: lienthong.Unchanged}}
	must(t, source.Complete(t.Context(), 0, values))
	if string(values[2].Bytes) != long || values[1].Int != 7 {
		t.Error("Complete must fill what is Unchanged, and only that")
	}
	values[0].Int, values[2] = 99, lienthong.Value{State: lienthong.Unchanged}
	must(t, source.Complete(t.Context(), 0, values))
	if values[2].State != lienthong.Null {
		t.Error("a row that is gone has nulls")
	}
}

// TestSecondInstance: the older instance is drained up to where the newer begins. The DBA may
// drop it then, and not before.
func TestSecondInstance(t *testing.T) {
	s, source, table, pos := begun(t)
	must(t, s.apply(t.Context(), insert(table, 1, "a")))
	s.addColumn("people", column{conntest.Column{Name: "phone", Kind: lienthong.Text}, "nvarchar(20)"})
	wide := people()
	wide.Columns = append(wide.Columns, conntest.Column{Name: "phone", Kind: lienthong.Text})
	add := func(id int, phone string) {
		w := insert(wide, id, "b")
		w.Row = append(w.Row, conntest.Has(phone))
		must(t, s.apply(t.Context(), w))
	}
	add(2, "090") // not captured: the instance does not have the column
	s.enable("people", "dbo_people_2")
	add(3, "091")
	health, err := source.Health(t.Context())
	must(t, err)
	if strings.Contains(health.En, "sp_cdc_disable_table") {
		t.Error("the older instance has not been read to its end")
	}
	l := &lines{}
	must(t, drain(t, source, pos, l))
	want := []string{
		"schema id name",
		"begin", "upsert 1 a", "commit", "begin", "upsert 2 b", "commit",
		"schema id name phone",
		"begin", "upsert 3 b 091", "commit",
	}
	if diff := cmp.Diff(want, l.got); diff != "" {
		t.Error(diff)
	}
	health, err = source.Health(t.Context())
	must(t, err)
	const drop = "EXEC sys.sp_cdc_disable_table @source_schema = N'dbo', @source_name = N'people', @capture_instance = N'dbo_people';"
	if !health.OK || !strings.Contains(health.En, drop) || !strings.Contains(health.Vi, drop) {
		t.Errorf("health must say that the older instance can be dropped: %+v", health)
	}
	reached := l.pos
	s.disable("dbo_people")
	add(4, "092")
	l = &lines{}
	must(t, drain(t, source, reached, l))
	if diff := cmp.Diff([]string{"begin", "upsert 4 b 092", "commit"}, l.got); diff != "" {
		t.Error(diff)
	}
	// From before the switch, without the older instance, something would be missing.
	err = drain(t, source, pos, &lines{})
	if lienthong.ErrorCode(err) != "sqlserver.cdc_cleaned" {
		t.Errorf("want sqlserver.cdc_cleaned, got %v", err)
	}
}

func TestCleanedUp(t *testing.T) {
	s, source, table, pos := begun(t)
	for id := range 5 {
		must(t, s.apply(t.Context(), insert(table, id, "a")))
	}
	s.note()
	at, err := source.capturing(t.Context())
	must(t, err)
	// Cleaned up to our very position: nothing is lost.
	first, err := lsnAt(pos)
	must(t, err)
	s.cleanup(first.next())
	l := &lines{}
	must(t, drain(t, source, pos, l))
	if len(l.state) != 5 {
		t.Errorf("%d rows, want 5", len(l.state))
	}
	s.cleanup(at.max)
	err = drain(t, source, pos, &lines{})
	if lienthong.ErrorCode(err) != "sqlserver.cdc_cleaned" || !connector.HistoryLost(err) {
		t.Fatalf("want a lost history with code sqlserver.cdc_cleaned, got %v", err)
	}
	must(t, source.Release(t.Context()))
	if _, err := source.View(t.Context()); !errors.Is(err, errNotStarted) {
		t.Errorf("after Release the source is not started: %v", err)
	}
	again, err := source.Start(t.Context(), []string{"dbo.people"})
	must(t, err)
	if !pos.Before(again) {
		t.Error("after Release reading begins at the present")
	}
	must(t, s.apply(t.Context(), insert(table, 9, "z")))
	l = &lines{}
	must(t, drain(t, source, again, l))
	if diff := cmp.Diff([]string{"begin", "upsert 9 z", "commit"}, l.got); diff != "" {
		t.Error(diff)
	}
}

// TestCleanedUpMeanwhile: the cleanup job comes between the look at its place and the reading.
func TestCleanedUpMeanwhile(t *testing.T) {
	for _, commits := range []int{0, 1, 5} {
		for _, before := range []string{commitsQuery, "_CT]"} {
			s, source, table, pos := begun(t)
			for id := range commits {
				must(t, s.apply(t.Context(), insert(table, id, "a")))
			}
			s.note()
			done := false
			s.mu.Lock()
			s.fail = func(_ int, statement string) error {
				if !done && strings.Contains(statement, before) {
					done = true
					var l lsn
					for i := range l {
						l[i] = 0xff
					}
					l[0] = 0
					s.cleanup(l)
				}
				return nil
			}
			s.mu.Unlock()
			l := &lines{}
			err := drain(t, source, pos, l)
			if commits == 0 && before == "_CT]" {
				must(t, err) // nothing to read
				continue
			}
			if lienthong.ErrorCode(err) != "sqlserver.cdc_cleaned" {
				t.Errorf("%d commits, cleaned before %.20s: %v; %v", commits, before, err, l.got)
			}
			if slices.Contains(l.got, "commit") {
				t.Errorf("%d commits, cleaned before %.20s: something was committed: %v", commits, before, l.got)
			}
		}
	}
}

// TestFaultAtEachStep cuts the connection, or lets the server refuse, at every statement in turn. Whatever has been
// delivered before, going on from the last commit makes the state whole, and a view opens at last.
func TestFaultAtEachStep(t *testing.T) {
	deadlock := mssql.Error{Number: 1205, Message: "was deadlocked on lock resources"}
	for name, failure := range map[string]error{"cut": errCut, "deadlock": deadlock} {
		t.Run(name, func(t *testing.T) {
			step := 1
			if failure == errCut { //nolint:errorlint // the very value
				step = 3
			}
			for n := 1; ; n += step {
				s, source, table, pos := begun(t)
				for id := range 12 { // more than one window
					must(t, s.apply(t.Context(), insert(table, id, "a"), insert(table, 100+id, "b")))
				}
				must(t, s.apply(t.Context(), remove(table, 3), update(table, 4, 5000, conntest.Keep())))
				s.note()
				s.mu.Lock()
				s.seen = 0
				failed := 0
				s.fail = func(at int, _ string) error {
					if at == n {
						failed++
						return failure
					}
					return nil
				}
				s.mu.Unlock()
				l := &lines{state: map[string]string{}, pos: pos}
				attempts := 0
				for ; ; attempts++ {
					if attempts > 4 {
						t.Fatalf("step %d: the stream does not recover", n)
					}
					if err := drain(t, source, l.pos, l); err == nil {
						break
					}
				}
				if len(l.state) != 23 || l.state["05000"] != "upsert 5000 a" {
					t.Fatalf("step %d: %d rows: %v", n, len(l.state), l.state)
				}
				s.note()
				count := 0
				for attempts := 0; ; attempts++ {
					read := make(chan error, 1)
					go func() {
						var err error
						count, err = readView(t.Context(), source)
						read <- err
					}()
					err := waitFor(s, read)
					if err == nil {
						break
					}
					if attempts > 4 {
						t.Fatalf("step %d: the view cannot be read: %v", n, err)
					}
				}
				if count != 23 {
					t.Fatalf("step %d: the view has %d rows", n, count)
				}
				s.mu.Lock()
				over := failed == 0
				s.mu.Unlock()
				if over {
					if n < 20 {
						t.Fatalf("only %d steps", n)
					}
					return
				}
			}
		})
	}
}

func readView(ctx context.Context, source *Source) (count int, err error) {
	view, err := source.View(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	err = view.Read(ctx, 0, "{}", func(*connector.Row) error { count++; return nil })
	return count, err
}

// waitFor lets the capture job note its place until the view is there.
func waitFor(s *server, done chan error) error {
	for {
		select {
		case err := <-done:
			return err
		default:
			s.idle()
		}
	}
}

func TestHealth(t *testing.T) {
	s, source, table, pos := begun(t)
	for _, test := range []struct {
		change, code string
		ok           bool
		says         []string
	}{
		{"silent = 3", "sqlserver.ok", true, []string{"3s", "72h"}},
		{"silent = 299", "sqlserver.ok", true, nil},
		{"silent = 4000, wait = 'REPLICATION'", "sqlserver.capture_stopped", false, []string{"1h6m40s", "3.2 GB", "sp_cdc_start_job", "Agent"}},
		{"silent = 3, wait = 'NOTHING', behind = 200000", "sqlserver.cleanup_near", false, []string{"55h33m20s", "@retention = 8640"}},
	} {
		s.exec("UPDATE _database SET " + test.change)
		health, err := source.Health(t.Context())
		must(t, err)
		if health.Code != test.code || health.OK != test.ok || health.RetainedBytes != -1 {
			t.Errorf("%s: %+v", test.change, health)
		}
		for _, word := range test.says {
			if !strings.Contains(health.En, word) || !strings.Contains(health.Vi, word) {
				t.Errorf("%s: %q is not in %q and %q", test.change, word, health.Vi, health.En)
			}
		}
	}
	s.exec("UPDATE _database SET behind = 1")
	must(t, s.apply(t.Context(), insert(table, 1, "a")))
	must(t, drain(t, source, pos, &lines{}))
	s.exec("DELETE FROM _mapping WHERE start_lsn >= (SELECT max(start_lsn) FROM _mapping)") // restored from a backup
	if health, err := source.Health(t.Context()); err != nil || health.Code != "sqlserver.position_ahead" {
		t.Errorf("%+v %v", health, err)
	}
	s.disable("dbo_people")
	if health, err := source.Health(t.Context()); err != nil || health.Code != "sqlserver.table_not_captured" ||
		!strings.Contains(health.En, "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'people', @role_name = NULL, @supports_net_changes = 0;") {
		t.Errorf("%+v %v", health, err)
	}
}

func TestInspect(t *testing.T) {
	s, source, _, _ := begun(t)
	s.exec("UPDATE _database SET snap = 0")
	s.addColumn("people", column{conntest.Column{Name: "phone", Kind: lienthong.Text}, "nvarchar(20)"})
	must(t, s.create("o'brien", columnsOf(people())))
	s.disable("dbo_o'brien")
	found, err := source.Inspect(t.Context())
	must(t, err)
	statements := map[string]string{}
	for _, r := range found.Required {
		if !r.OK {
			statements[r.Code] = r.Statement
		}
	}
	want := map[string]string{
		"sqlserver.snapshot_off":         "ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON;",
		"sqlserver.table_not_captured":   "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'o''brien', @role_name = NULL, @supports_net_changes = 0;",
		"sqlserver.columns_not_captured": "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'people', @role_name = NULL, @capture_instance = N'dbo_people_2', @supports_net_changes = 0;",
	}
	if diff := cmp.Diff(want, statements); diff != "" {
		t.Error(diff)
	}
	if found.Engine != "SQL Server 16.0.4105.2 Developer Edition (64-bit)" {
		t.Error(found.Engine)
	}
	if len(found.LeftOut) != 1 || found.LeftOut[0].Name != "dbo.people.phone" || found.LeftOut[0].Code != "not_captured" {
		t.Errorf("%+v", found.LeftOut)
	}
	s.enable("people", "dbo_people_2")
	s.addColumn("people", column{conntest.Column{Name: "email", Kind: lienthong.Text}, "nvarchar(20)"})
	found, err = source.Inspect(t.Context())
	must(t, err)
	full := false
	for _, r := range found.Required {
		if r.Code == "sqlserver.instances_full" {
			full = strings.Contains(r.Statement, "@capture_instance = N'dbo_people';") && strings.Contains(r.Statement, "N'dbo_people_3'")
		}
	}
	if !full {
		t.Errorf("two instances are all there can be: %+v", found.Required)
	}
}

// TestViewWaitsForCapture: what the capture job has not read yet is below the view's position all the same.
func TestViewWaitsForCapture(t *testing.T) {
	s, source, table, pos := begun(t)
	s.mu.Lock()
	s.lag = true
	s.mu.Unlock()
	must(t, s.apply(t.Context(), insert(table, 1, "a")))
	source.config.ViewPatience = 30 * time.Millisecond
	_, err := source.View(t.Context())
	if lienthong.ErrorCode(err) != "sqlserver.capture_stopped" {
		t.Fatalf("want sqlserver.capture_stopped, got %v", err)
	}
	source.config.ViewPatience = 20 * time.Second
	type result struct {
		view connector.View
		err  error
	}
	opened := make(chan result, 1)
	locked := make(chan struct{})
	s.mu.Lock()
	s.fail = func(_ int, statement string) error {
		if statement == reachedQuery {
			select {
			case locked <- struct{}{}:
			default:
			}
		}
		return nil
	}
	s.mu.Unlock()
	go func() {
		v, err := source.View(t.Context())
		opened <- result{v, err}
	}()
	<-locked // the snapshot has begun
	must(t, s.apply(t.Context(), insert(table, 2, "after")))
	s.catchUp()
	s.note()
	got := <-opened
	must(t, got.err)
	defer func() { _ = got.view.Close() }()
	var rows []int64
	must(t, got.view.Read(t.Context(), 0, "{}", func(row *connector.Row) error {
		rows = append(rows, row.Values[0].Int)
		return nil
	}))
	if diff := cmp.Diff([]int64{1}, rows); diff != "" {
		t.Error(diff)
	}
	l := &lines{}
	must(t, drain(t, source, got.view.Position(), l))
	if diff := cmp.Diff([]string{"begin", "upsert 2 after", "commit"}, l.got); diff != "" {
		t.Errorf("the stream goes on where the view ends: %s", diff)
	}
	if got.view.Position().Before(pos) {
		t.Error("the view is before the start")
	}
}

// TestWindowTooLarge: a window that does not fit in memory is read in smaller ones, a commit that does not fit, as it comes.
func TestWindowTooLarge(t *testing.T) {
	s, source, table, pos := begun(t)
	source.config.WindowBytes = 2000
	for id := range 20 {
		must(t, s.apply(t.Context(), insert(table, id, strings.Repeat("x", 500))))
	}
	var writes []conntest.Write
	for id := range 50 {
		writes = append(writes, insert(table, 100+id, strings.Repeat("y", 500)))
	}
	must(t, s.apply(t.Context(), writes...))
	l := &lines{}
	must(t, drain(t, source, pos, l))
	if len(l.state) != 70 {
		t.Errorf("%d rows, want 70", len(l.state))
	}
	begins := strings.Count(strings.Join(l.got, "\n"), "begin")
	if begins != 21 {
		t.Errorf("%d transactions, want 21", begins)
	}
}

func TestStatements(t *testing.T) {
	d := &described{
		name: "dbo.Hồ ]sơ", schema: "dbo", plain: "Hồ ]sơ", key: []int{0, 1},
		columns: []lienthong.Column{
			{Name: "Mã", SourceType: "varchar(12)", Kind: lienthong.Text},
			{Name: "lần", SourceType: "datetime2(3)", Kind: lienthong.Timestamp},
			{Name: "nội dung", SourceType: "nvarchar(max)", Kind: lienthong.Text},
			{Name: "tiền", SourceType: "money", Kind: lienthong.Decimal},
		},
	}
	f := &flow{shown: d, instance: &instance{name: "dbo_hs", captured: map[string]int{"Mã": 1, "lần": 2, "nội dung": 4, "tiền": 5}}}
	query, big := changesQuery(f)
	want := `SELECT [__$start_lsn], [__$operation], [__$n], [Mã], [lần], [nội dung], CONVERT(varchar(30), [tiền], 2), [__$own2], [__$any2]
FROM (SELECT f.*, COUNT(*) OVER (PARTITION BY f.[__$start_lsn], f.[Mã] COLLATE Latin1_General_BIN2, f.[lần]) AS [__$n], ROW_NUMBER() OVER (PARTITION BY f.[__$start_lsn], f.[Mã] COLLATE Latin1_General_BIN2, f.[lần] ORDER BY f.[__$command_id] DESC, f.[__$seqval] DESC, f.[__$operation] DESC) AS [__$last], CONVERT(int, sys.fn_cdc_is_bit_set(4, f.[__$update_mask])) AS [__$own2], MAX(CONVERT(int, sys.fn_cdc_is_bit_set(4, f.[__$update_mask]))) OVER (PARTITION BY f.[__$start_lsn], f.[Mã] COLLATE Latin1_General_BIN2, f.[lần]) AS [__$any2]
FROM cdc.[dbo_hs_CT] f WHERE f.[__$start_lsn] >= @p1 AND f.[__$start_lsn] <= @p2) c
WHERE [__$last] = 1 ORDER BY [__$start_lsn], [__$command_id], [__$seqval], [__$operation]`
	if diff := cmp.Diff(want, query); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{2}, big); diff != "" {
		t.Error(diff)
	}
	query, args, err := readQuery(d, `{"from":["A","2024-02-29T01:02:03.004000Z"],"to":["B","2024-03-01T00:00:00.000000Z"]}`)
	must(t, err)
	want = `SELECT [Mã], [lần], [nội dung], CONVERT(varchar(30), [tiền], 2) FROM [dbo].[Hồ ]]sơ] WHERE ` +
		`([Mã] > CAST(@p1 AS varchar(12)) OR [Mã] = CAST(@p1 AS varchar(12)) AND [lần] >= CONVERT(datetime2(3), @p2, 121)) AND ` +
		`([Mã] < CAST(@p3 AS varchar(12)) OR [Mã] = CAST(@p3 AS varchar(12)) AND [lần] < CONVERT(datetime2(3), @p4, 121))`
	if diff := cmp.Diff(want, query); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]any{"A", "2024-02-29 01:02:03.004", "B", "2024-03-01 00:00:00"}, args); diff != "" {
		t.Error(diff)
	}
	for _, chunk := range []connector.Chunk{"", "[]", `{"from":["A"]}`, `{"to":["A","no time"]}`} {
		if _, _, err := readQuery(d, chunk); lienthong.ErrorCode(err) != "sqlserver.chunk" {
			t.Errorf("chunk %q: %v", chunk, err)
		}
	}
}

// TestTypes: how each type is asked for, and what becomes of what the driver returns for it.
func TestTypes(t *testing.T) {
	hanoi := time.FixedZone("", 7*3600)
	for _, test := range []struct {
		sourceType string
		kind       lienthong.Kind
		read       string
		raw        any
		want       string
	}{
		{"bit", lienthong.Boolean, "[v]", true, "true"},
		{"tinyint", lienthong.Integer, "[v]", int64(255), "255"},
		{"bigint", lienthong.Integer, "[v]", int64(math.MinInt64), "-9223372036854775808"},
		{"decimal(38,10)", lienthong.Decimal, "[v]", []byte("-0.0000000001"), "-0.0000000001"},
		{"money", lienthong.Decimal, "CONVERT(varchar(30), [v], 2)", "922337203685477.5807", "922337203685477.5807"},
		{"real", lienthong.Real, "[v]", float64(float32(0.1)), "0.1"},
		{"float", lienthong.Real, "[v]", 1e-300, "1e-300"},
		{"date", lienthong.Date, "[v]", time.Date(1945, 9, 2, 0, 0, 0, 0, time.UTC), "1945-09-02"},
		{"datetime", lienthong.Timestamp, "[v]", time.Date(1753, 1, 1, 0, 0, 0, 3_000_000, time.UTC), "1753-01-01T00:00:00.003000Z"},
		{"datetime2(7)", lienthong.Timestamp, "[v]", time.Date(9999, 12, 31, 23, 59, 59, 999_999_900, time.UTC), "9999-12-31T23:59:59.999999Z"},
		{"smalldatetime", lienthong.Timestamp, "[v]", time.Date(2024, 2, 29, 12, 1, 0, 0, time.UTC), "2024-02-29T12:01:00.000000Z"},
		{"datetimeoffset(7)", lienthong.Timestamp, "[v]", time.Date(2024, 2, 29, 7, 0, 0, 0, hanoi), "2024-02-29T00:00:00.000000Z"},
		{"time(7)", lienthong.Text, "CONVERT(varchar(16), [v], 121)", "23:59:59.9999999", "23:59:59.9999999"},
		{"char(5)", lienthong.Text, "[v]", "ab   ", "ab   "},
		{"nvarchar(max)", lienthong.Text, "[v]", "Nguyễn", "Nguyễn"},
		{"ntext", lienthong.Text, "CONVERT(nvarchar(max), [v])", "Nguyễn", "Nguyễn"},
		{"uniqueidentifier", lienthong.Text, "LOWER(CONVERT(char(36), [v]))", "6f9619ff-8b86-d011-b42d-00c04fc964ff", "6f9619ff-8b86-d011-b42d-00c04fc964ff"},
		{"xml", lienthong.Text, "CONVERT(nvarchar(max), [v])", "<a/>", "<a/>"},
		{"geography", lienthong.Text, "[v].ToString()", "POINT (105.8 21)", "POINT (105.8 21)"},
		{"hierarchyid", lienthong.Text, "[v].ToString()", "/1/2/", "/1/2/"},
		{"rowversion", lienthong.Binary, "[v]", []byte{0, 0, 0, 0, 0, 0, 7, 0xd1}, "00000000000007d1"},
		{"varbinary(max)", lienthong.Binary, "[v]", []byte{}, ""},
		{"nvarchar(10)", lienthong.Text, "[v]", nil, "∅"},
		{"date", lienthong.Date, "[v]", "29/02/2024", "!29/02/2024"},
	} {
		t.Run(test.sourceType, func(t *testing.T) {
			c := lienthong.Column{Name: "v", SourceType: test.sourceType, Kind: polling.SQLServerKind(test.sourceType)}
			if c.Kind != test.kind {
				t.Errorf("kind %s, want %s", c.Kind, test.kind)
			}
			if got := selectList([]lienthong.Column{c}); got != test.read {
				t.Errorf("read by %s, want %s", got, test.read)
			}
			r := newReader(nil, []lienthong.Column{c}, nil)
			must(t, r.scan(scanned{test.raw}))
			v := r.values[0]
			got := string(v.AppendText(nil, c.Kind))
			switch v.State {
			case lienthong.Null:
				got = "∅"
			case lienthong.Malformed:
				got = "!" + string(v.Bytes)
			case lienthong.Present, lienthong.Unchanged:
			}
			if got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
	variant := selectList([]lienthong.Column{{Name: "v", SourceType: "sql_variant", Kind: lienthong.Text}})
	if !strings.HasPrefix(variant, "CASE WHEN CONVERT(sysname, SQL_VARIANT_PROPERTY([v], 'BaseType'))") {
		t.Error(variant)
	}
}

type scanned struct{ raw any }

func (s scanned) Scan(into ...any) error {
	target, ok := into[0].(*any)
	if !ok {
		return errors.New("not a column")
	}
	*target = s.raw
	return nil
}

func TestErrors(t *testing.T) {
	for number, code := range map[int32]string{
		208: "sqlserver.cdc_off", 229: "sqlserver.denied", 916: "sqlserver.denied", 1222: "sqlserver.locked",
		3952: "sqlserver.snapshot_off", 3961: "sqlserver.snapshot_lost", 18456: "sqlserver.login", 1205: "sqlserver.locked", 8152: "internal",
	} {
		err := explain(fmt.Errorf("query: %w", mssql.Error{Number: number}))
		if got := lienthong.ErrorCode(err); got != code {
			t.Errorf("%d: %s, want %s", number, got, code)
		}
		var coded *lienthong.Error
		if errors.As(err, &coded) && (coded.Vi == "" || coded.En == "" || coded.Hint == "") {
			t.Errorf("%d: not explained: %+v", number, coded)
		}
	}
	if _, err := Open(Config{DSN: "sqlserver://sa:bí mật%zz@host", Name: "x", StateDir: t.TempDir()}); err == nil || strings.Contains(err.Error(), "bí mật") {
		t.Errorf("a DSN that is wrong must be refused without its password: %v", err)
	}
	if _, err := Open(Config{DSN: "sqlserver://sa:x@host?database=d"}); lienthong.ErrorCode(err) != "sqlserver.config" {
		t.Errorf("without StateDir: %v", err)
	}
}

func FuzzLSN(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0x28, 0, 0, 1, 0x30, 0, 3}, []byte{0, 0, 0, 0x28, 0, 0, 1, 0x30, 0, 4})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 3, 0xff, 0xff, 0xff, 0x0f, 0xff}, []byte{2, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if len(a) != 10 || len(b) != 10 {
			return
		}
		x, y := lsn(a), lsn(b)
		if back, err := parseLSN(x.String()); err != nil || back != x {
			t.Fatalf("%s: %s %v", x, back, err)
		}
		p, err := x.pack()
		q, other := y.pack()
		if err != nil || other != nil {
			return
		}
		if x.less(y) != (p < q) || p < 0 {
			t.Fatalf("%s %s: %d %d", x, y, p, q)
		}
		if back, err := lsnAt(lienthong.Position{Order: uint64(p)}); err != nil || back != x {
			t.Fatalf("%s: %s %v", x, back, err)
		}
	})
}

func TestLSN(t *testing.T) {
	for from, to := range map[string]string{
		"00000028000001300003": "00000028000001300004", "000000280000ffffffff": "00000028000100000000",
	} {
		l, err := parseLSN(from)
		must(t, err)
		if l.next().String() != to {
			t.Errorf("after %s comes %s, want %s", from, l.next(), to)
		}
	}
	over, err := parseLSN("02000000000000000000")
	must(t, err)
	if _, err := over.position(); lienthong.ErrorCode(err) != "sqlserver.lsn" {
		t.Errorf("an LSN beyond 25 bits of file: %v", err)
	}
	for _, bad := range []string{"", "zz", "0x01", "0000002800000130000300"} {
		if _, err := parseLSN(bad); lienthong.ErrorCode(err) != "sqlserver.position" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
