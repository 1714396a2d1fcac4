package oracle

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sijms/go-ora/v2/network"
	"go.uber.org/goleak"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/conntest"
	"github.com/lienthong/lienthong/internal/connector/polling"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func opened(t *testing.T, s *server, state string, tables ...Table) *Source {
	t.Helper()
	source, err := open(t.Context(), Config{Name: "hr", StateDir: state, Every: 2 * time.Millisecond, Tables: tables}, s.connect())
	must(t, err)
	t.Cleanup(func() { _ = source.Close() })
	return source
}

// TestConformance runs the suite against the stand-in for a server, see server.
func TestConformance(t *testing.T) {
	for _, coarse := range []bool{false, true} {
		t.Run(fmt.Sprintf("coarse %v", coarse), func(t *testing.T) {
			conntest.Run(t, func(t *testing.T) conntest.Harness {
				s, state := newServer(t), t.TempDir()
				s.coarse = coarse
				sweep := []Table{{Name: "HR.people", KeySweepEvery: 1}, {Name: "HR.one", KeySweepEvery: 1}, {Name: "HR.two", KeySweepEvery: 1}, {Name: "HR.neighbour", KeySweepEvery: 1}}
				return conntest.Harness{
					Open: func() (connector.Source, error) {
						config := Config{Name: "hr", StateDir: state, Every: 2 * time.Millisecond, Tables: sweep}
						return open(t.Context(), config, s.connect())
					},
					Create: func(_ context.Context, table *conntest.Table) (string, error) {
						s.create(table.Name, table.Columns)
						name := "HR." + table.Name
						for _, known := range sweep {
							if known.Name == name {
								return name, nil
							}
						}
						sweep = append(sweep, Table{Name: name, KeySweepEvery: 1})
						return name, nil
					},
					Apply: s.apply,
					Rows:  s.truth,
					Capabilities: conntest.Capabilities{
						Kinds:   []lienthong.Kind{lienthong.Text, lienthong.Decimal, lienthong.Real, lienthong.Timestamp, lienthong.Binary},
						Deletes: true, Truncate: true, ConcurrentWriters: true, Keyless: true,
					},
				}
			})
		})
	}
}

// counter is a Sink that counts, and ends the stream when it is drained.
type counter struct {
	upserts, deletes int
	schema           []string
	pos              lienthong.Position
	ended            func()
}

func (c *counter) Begin(lienthong.Position, int64) error { return nil }

func (c *counter) Change(row *connector.Row) error {
	if row.Op == lienthong.Delete {
		c.deletes++
	} else {
		c.upserts++
	}
	return nil
}
func (c *counter) Truncate(int, int64, int64) error { return nil }

func (c *counter) Schema(_ int, now connector.Table) error {
	names := ""
	for _, column := range now.Columns {
		names += column.Name + " "
	}
	c.schema = append(c.schema, strings.TrimSpace(names))
	return nil
}

func (c *counter) Commit(pos lienthong.Position) error { c.pos = pos; return nil }
func (c *counter) Idle() error                         { c.ended(); return nil }

func drain(t *testing.T, s *Source, after lienthong.Position) (*counter, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := &counter{pos: after}
	done := false
	c.ended = func() { done = true; cancel() }
	if err := s.Stream(ctx, after, c); !done {
		return c, err
	}
	return c, nil
}

func people() *conntest.Table {
	return &conntest.Table{Name: "HR.people", Columns: []conntest.Column{
		{Name: "id", Kind: lienthong.Text, Key: true}, {Name: "name", Kind: lienthong.Text},
	}}
}

func insert(t *conntest.Table, id int) conntest.Write {
	return conntest.Write{Verb: conntest.Insert, Table: t, Row: []conntest.Cell{conntest.Has(fmt.Sprint(id)), conntest.Has("a")}}
}

func rename(t *conntest.Table, id int) conntest.Write {
	return conntest.Write{
		Verb: conntest.Update, Table: t, Key: []conntest.Cell{conntest.Has(fmt.Sprint(id))},
		Row: []conntest.Cell{conntest.Keep(), conntest.Has("b")},
	}
}

func begun(t *testing.T, rows int, tables ...Table) (*server, *Source, *conntest.Table, lienthong.Position) {
	t.Helper()
	s, table := newServer(t), people()
	s.create("people", table.Columns)
	for id := range rows {
		must(t, s.apply(t.Context(), insert(table, id)))
	}
	source := opened(t, s, t.TempDir(), tables...)
	pos, err := source.Start(t.Context(), []string{"HR.people"})
	must(t, err)
	return s, source, table, pos
}

// TestRowSCN: a poll reads the rows that were committed since, or their blocks, and not the table.
func TestRowSCN(t *testing.T) {
	for _, test := range []struct {
		coarse bool
		atMost int64
	}{{false, 6}, {true, 300}} {
		s, source, table, pos := begun(t, 100)
		s.mu.Lock()
		s.coarse, s.rows = test.coarse, 0
		s.mu.Unlock()
		must(t, s.apply(t.Context(), rename(table, 7), insert(table, 1000)))
		c, err := drain(t, source, pos)
		must(t, err)
		if c.upserts != 2 || c.deletes != 0 {
			t.Errorf("coarse %v: %d upserts, %d deletes, want 2 and none", test.coarse, c.upserts, c.deletes)
		}
		if !strings.HasPrefix(c.pos.Token, "scn:1000") {
			t.Errorf("the position does not name the SCN: %+v", c.pos)
		}
		// The very next commit is above the mark.
		must(t, s.apply(t.Context(), rename(table, 8)))
		if c, err = drain(t, source, c.pos); err != nil || c.upserts != 1 {
			t.Errorf("coarse %v: %d upserts, %v, want the one of the next commit", test.coarse, c.upserts, err)
		}
		s.mu.Lock()
		if s.rows < 2 || s.rows > test.atMost {
			t.Errorf("coarse %v: %d rows were read, want at most %d", test.coarse, s.rows, test.atMost)
		}
		s.mu.Unlock()
	}
}

// TestDeletesByKeySweep: they come with the next sweep of the keys, and a time of 0 means an hour.
func TestDeletesByKeySweep(t *testing.T) {
	remove := func(table *conntest.Table) conntest.Write {
		return conntest.Write{Verb: conntest.Delete, Table: table, Key: []conntest.Cell{conntest.Has("7")}}
	}
	for _, test := range []struct {
		every time.Duration
		want  int
	}{{1, 1}, {0, 0}, {-1, 0}} {
		s, source, table, pos := begun(t, 20, Table{Name: "HR.people", KeySweepEvery: test.every})
		must(t, s.apply(t.Context(), remove(table)))
		c, err := drain(t, source, pos)
		must(t, err)
		if c.deletes != test.want {
			t.Errorf("sweep every %d: %d deletes, want %d", test.every, c.deletes, test.want)
		}
	}
}

// TestUndoTooShort: a moment that can no longer be read is exchanged for a new one; when that does not help, a person is told what to do.
func TestUndoTooShort(t *testing.T) {
	for _, code := range []int{1555, 8181, 1466} {
		s, source, table, pos := begun(t, 10, Table{Name: "HR.people", Monotonic: Whole})
		must(t, s.apply(t.Context(), rename(table, 3)))
		var moments []string
		always := false
		s.mu.Lock()
		s.fail = func(_ int, statement string) error {
			at := tableAt.FindStringSubmatch(statement)
			if at == nil || at[2] == "" {
				return nil
			}
			moments = append(moments, at[3])
			if len(moments) == 1 || always {
				s.mu.Lock()
				s.scn += 10
				s.mu.Unlock()
				return network.NewOracleError(code)
			}
			return nil
		}
		s.mu.Unlock()
		c, err := drain(t, source, pos)
		must(t, err)
		if c.upserts != 1 || len(moments) < 2 || moments[0] == moments[1] {
			t.Errorf("ORA-%05d: %d upserts at moments %v", code, c.upserts, moments)
		}
		always = true
		_, err = source.View(t.Context())
		var coded *lienthong.Error
		if !errors.As(err, &coded) || coded.Code != "oracle.undo_short" || !strings.Contains(coded.Hint, "UNDO_RETENTION") {
			t.Errorf("ORA-%05d for good: %v", code, err)
		}
	}
}

// TestFaultAtEachStep cuts the connection at every statement in turn, and goes on.
func TestFaultAtEachStep(t *testing.T) {
	for n := 1; ; n++ {
		s, source, table, pos := begun(t, 30, Table{Name: "HR.people", KeySweepEvery: 1})
		must(t, s.apply(t.Context(), rename(table, 1), insert(table, 100)))
		must(t, s.apply(t.Context(), conntest.Write{Verb: conntest.Delete, Table: table, Key: []conntest.Cell{conntest.Has("2")}}))
		failed := false
		s.mu.Lock()
		s.seen = 0
		s.fail = func(at int, _ string) error {
			if at == n {
				failed = true
				return errCut
			}
			return nil
		}
		s.mu.Unlock()
		upserts, deletes, at := 0, 0, pos
		for attempt := 0; ; attempt++ {
			c, err := drain(t, source, at)
			upserts, deletes, at = upserts+c.upserts, deletes+c.deletes, c.pos
			if err == nil {
				break
			}
			if attempt > 2 {
				t.Fatalf("step %d: %v", n, err)
			}
		}
		if upserts != 2 || deletes != 1 {
			t.Fatalf("step %d: %d upserts and %d deletes, want 2 and 1", n, upserts, deletes)
		}
		var view connector.View
		for attempt := 0; ; attempt++ {
			var err error
			if view, err = source.View(t.Context()); err == nil {
				break
			}
			if attempt > 2 {
				t.Fatalf("step %d: %v", n, err)
			}
		}
		rows := 0
		must(t, view.Read(t.Context(), 0, "0..", func(*connector.Row) error { rows++; return nil }))
		must(t, view.Close())
		if rows != 30 {
			t.Fatalf("step %d: the view has %d rows", n, rows)
		}
		if !failed {
			if n < 6 {
				t.Fatalf("only %d steps", n)
			}
			return
		}
	}
}

// TestColumnAdded: the columns are looked up when a statement fails, when a view opens, and now and then.
func TestColumnAdded(t *testing.T) {
	s, source, table, pos := begun(t, 3)
	s.addColumn("HR.people", conntest.Column{Name: "phone", Kind: lienthong.Text})
	view, err := source.View(t.Context())
	must(t, err)
	describer, ok := view.(connector.Describer)
	if !ok || len(describer.Table(0).Columns) != 3 {
		t.Error("the view does not show the new column")
	}
	must(t, view.Close())
	wide := people()
	wide.Columns = append(wide.Columns, conntest.Column{Name: "phone", Kind: lienthong.Text})
	w := insert(table, 50)
	w.Table = wide
	w.Row = append(w.Row, conntest.Has("090"))
	must(t, s.apply(t.Context(), w))
	c, err := drain(t, source, pos)
	must(t, err)
	if c.upserts != 1 {
		t.Errorf("%d upserts, want 1: a column that is added empty changes no row", c.upserts)
	}
}

func TestInspect(t *testing.T) {
	s, source, _, _ := begun(t, 1)
	found, err := source.Inspect(t.Context())
	must(t, err)
	state := map[string]string{}
	for _, r := range found.Required {
		state[r.Code] = fmt.Sprint(r.OK, " ", r.Statement)
	}
	want := map[string]string{"polling.select": "true ", "oracle.scn": "true ", "oracle.undo_retention": "true ", "oracle.rowdependencies": "true "}
	if diff := cmp.Diff(want, state); diff != "" {
		t.Error(diff)
	}
	s.exec("UPDATE _database SET undo = 300, coarse = 0")
	s.mu.Lock()
	s.fail = func(_ int, statement string) error {
		if statement == scnQuery {
			return network.NewOracleError(904)
		}
		return nil
	}
	s.mu.Unlock()
	found, err = source.Inspect(t.Context())
	must(t, err)
	state = map[string]string{}
	for _, r := range found.Required {
		state[r.Code] = fmt.Sprint(r.OK, " ", r.Statement)
	}
	want = map[string]string{
		"polling.select":        `false GRANT SELECT, FLASHBACK ON "HR"."people" TO LIENTHONG_READER;`,
		"oracle.scn":            "false GRANT EXECUTE ON SYS.DBMS_FLASHBACK TO LIENTHONG_READER;",
		"oracle.undo_retention": "false ALTER SYSTEM SET UNDO_RETENTION = 10800;",
	}
	if diff := cmp.Diff(want, state); diff != "" {
		t.Error(diff)
	}
}

func TestErrors(t *testing.T) {
	for code, want := range map[int]string{
		1555: "oracle.undo_short", 8180: "oracle.undo_short", 904: "oracle.denied", 942: "oracle.denied", 1031: "oracle.denied",
		1017: "oracle.login", 28000: "oracle.login", 60: "internal",
	} {
		err := explain(fmt.Errorf("query: %w", network.NewOracleError(code)))
		if got := lienthong.ErrorCode(err); got != want {
			t.Errorf("ORA-%05d: %s, want %s", code, got, want)
		}
		var coded *lienthong.Error
		if errors.As(err, &coded) && (coded.Vi == "" || coded.En == "" || coded.Hint == "") {
			t.Errorf("ORA-%05d: not explained", code)
		}
	}
}

func TestAddress(t *testing.T) {
	for given, want := range map[string]string{
		"oracle://u:p@h:1521/s":                                  "oracle://u:p@h:1521/s?LOB+FETCH=POST&PREFETCH_ROWS=1000",
		"oracle://u:p@h:1521/s?prefetch_rows=5000&LOB FETCH=PRE": "oracle://u:p@h:1521/s?LOB+FETCH=PRE&prefetch_rows=5000",
		"oracle://u:p@h:1521/?SID=ORCL":                          "oracle://u:p@h:1521/?LOB+FETCH=POST&PREFETCH_ROWS=1000&SID=ORCL",
		"oracle://u:p@h:1521":                                    "",
		"postgres://u:p@h/s":                                     "",
		"oracle://u:bí mật%zz@h/s":                               "",
	} {
		got, err := complete(given)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %s %v", given, got, err)
		}
	}
	_, err := Open(t.Context(), Config{DSN: "oracle://u:bí mật%zz@h/s", Name: "hr", StateDir: t.TempDir()})
	if lienthong.ErrorCode(err) != "oracle.dsn" || strings.Contains(err.Error(), "bí mật") {
		t.Errorf("a DSN that is wrong must be refused without its password: %v", err)
	}
}

// TestTypes: how each type is asked for and compared, and what becomes of what comes back.
func TestTypes(t *testing.T) {
	dialect := polling.Oracle()
	for _, test := range []struct {
		sourceType string
		kind       lienthong.Kind
		read       string
		raw        any
		want       string
		compare    string
	}{
		{"NUMBER(10,0)", lienthong.Integer, `TO_CHAR("V", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''')`, "-42", "-42", ":1"},
		{"NUMBER(19,0)", lienthong.Decimal, `TO_CHAR("V", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''')`, "9223372036854775808", "9223372036854775808", ""},
		{"NUMBER(5,2)", lienthong.Decimal, "", ".5", "0.5", ""},
		{"NUMBER", lienthong.Decimal, "", "-1.5E-130", "-0." + strings.Repeat("0", 129) + "15", ""},
		{"FLOAT", lienthong.Decimal, "", "-.25", "-0.25", ""},
		{"BINARY_DOUBLE", lienthong.Real, `"V"`, math.Inf(1), "+Inf", ""},
		{"BINARY_FLOAT", lienthong.Real, `"V"`, float32(0.1), "0.1", ""},
		{"DATE", lienthong.Timestamp, `TO_CHAR("V", 'SYYYY-MM-DD HH24:MI:SS')`, " 2024-02-29 13:14:15", "2024-02-29T13:14:15.000000Z", "TO_DATE(:1, 'YYYY-MM-DD HH24:MI:SS')"},
		{"TIMESTAMP(6)", lienthong.Timestamp, `TO_CHAR("V", 'SYYYY-MM-DD HH24:MI:SS.FF6')`, " 1945-09-02 14:00:00.000001", "1945-09-02T14:00:00.000001Z", "TO_TIMESTAMP(:1, 'YYYY-MM-DD HH24:MI:SS.FF6')"},
		{"TIMESTAMP(6) WITH TIME ZONE", lienthong.Timestamp, `TO_CHAR(SYS_EXTRACT_UTC("V"), 'SYYYY-MM-DD HH24:MI:SS.FF6')`, " 2024-02-29 00:00:00.000000", "2024-02-29T00:00:00.000000Z", "TO_TIMESTAMP_TZ(:1, 'YYYY-MM-DD HH24:MI:SS.FF6 TZH:TZM')"},
		{"TIMESTAMP(6)", lienthong.Timestamp, "", "-0044-03-15 00:00:00.000000", "!-0044-03-15 00:00:00.000000", ""},
		{"INTERVAL DAY(2) TO SECOND(6)", lienthong.Text, `TO_CHAR("V")`, "+01 02:03:04.000000", "+01 02:03:04.000000", ""},
		{"RAW(16)", lienthong.Binary, `"V"`, []byte{0, 255}, "00ff", "HEXTORAW(:1)"},
		{"BLOB", lienthong.Binary, `"V"`, []byte{1}, "01", ""},
		{"CLOB", lienthong.Text, `"V"`, "Nguyễn", "Nguyễn", ""},
		{"VARCHAR2(10)", lienthong.Text, `"V"`, nil, "∅", ":1"}, // '' is null at the server already
		{"XMLTYPE", lienthong.Text, `XMLSERIALIZE(CONTENT "V" AS CLOB)`, "<a/>", "<a/>", ""},
		{"SDO_GEOMETRY", lienthong.Text, `SDO_UTIL.TO_WKTGEOMETRY("V")`, "POINT (105.8 21.0)", "POINT (105.8 21.0)", ""},
		{"ROWID", lienthong.Text, `ROWIDTOCHAR("V")`, "AAAA", "AAAA", ""},
	} {
		c := lienthong.Column{Name: "V", SourceType: test.sourceType, Kind: dialect.Kind(test.sourceType)}
		if c.Kind != test.kind {
			t.Errorf("%s: kind %s, want %s", test.sourceType, c.Kind, test.kind)
		}
		if got := dialect.Select(`"V"`, &c); test.read != "" && got != test.read {
			t.Errorf("%s: read by %s, want %s", test.sourceType, got, test.read)
		}
		if got := dialect.Placeholder(1, &c); test.compare != "" && got != test.compare {
			t.Errorf("%s: compared by %s, want %s", test.sourceType, got, test.compare)
		}
		v := polling.Convert(test.raw, c.Kind)
		got := string(v.AppendText(nil, c.Kind))
		switch v.State {
		case lienthong.Null:
			got = "∅"
		case lienthong.Malformed:
			got = "!" + string(v.Bytes)
		case lienthong.Present, lienthong.Unchanged:
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.sourceType, got, test.want)
		}
	}
	at := lienthong.Value{State: lienthong.Present, Int: 1_709_164_800_000_001}
	for sourceType, want := range map[string]any{
		"DATE": "2024-02-29 00:00:00", "TIMESTAMP(6)": "2024-02-29 00:00:00.000001", "TIMESTAMP(6) WITH TIME ZONE": "2024-02-29 00:00:00.000001 +00:00",
	} {
		if got := dialect.Argument(at, &lienthong.Column{SourceType: sourceType, Kind: lienthong.Timestamp}); got != want {
			t.Errorf("%s: argument %v, want %v", sourceType, got, want)
		}
	}
}
