package demo

import (
	"context"
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/pgtest"
	"github.com/lienthong/lienthong/internal/quality"
	"github.com/xuri/excelize/v2"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"
)

// server is the PostgreSQL of the tests; nil when the machine has none.
var server *pgtest.Server

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "demo-pg")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server, err = pgtest.Start(dir)
	if err != nil && !errors.Is(err, pgtest.ErrNotInstalled) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if server != nil {
		server.Close()
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func openSQLite(tb testing.TB) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(tb.TempDir(), "nguon.db")+"?_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_pragma=busy_timeout(5000)")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

// sources is a world written out.
type sources struct {
	world             *World
	population, civil *sql.DB
	communes, units   string
}

func write(t *testing.T, w *World) *sources {
	t.Helper()
	s := &sources{world: w, population: openSQLite(t), civil: openSQLite(t), communes: t.TempDir(), units: t.TempDir()}
	progress := map[string]int{}
	track := func(name string) Progress {
		return func(done, total int) {
			if done < progress[name] || done > total {
				t.Errorf("%s: progress %d of %d after %d", name, done, total, progress[name])
			}
			progress[name] = done
		}
	}
	for name, err := range map[string]error{
		"population":   w.WritePopulation(t.Context(), s.population, track("population")),
		"civil status": w.WriteCivilStatus(t.Context(), s.civil, track("civil status")),
		"communes":     w.WriteDropFolders(t.Context(), s.communes, track("communes")),
		"admin units":  w.WriteAdminUnits(t.Context(), s.units, track("admin units")),
	} {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if progress[name] == 0 {
			t.Errorf("%s: no progress reported", name)
		}
	}
	return s
}

// table is what a source holds, read back.
type contents struct {
	columns []string
	rows    [][]string
}

func query(t *testing.T, db *sql.DB, name string) contents {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	c := contents{columns: columns}
	for rows.Next() {
		values, targets := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			t.Fatal(err)
		}
		row := make([]string, len(columns))
		for i := range values {
			if values[i].Valid && values[i].String == "" {
				t.Fatalf("%s: an empty text where there should be no value", name)
			}
			row[i] = values[i].String
		}
		c.rows = append(c.rows, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return c
}

// replay reads the files of a pattern as the connector should: in order of their
// names, each folder by itself.
func replay(t *testing.T, dir string, d Drop) contents {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, d.Pattern))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	folders := map[string]map[string][]string{}
	key := slices.Index(d.Columns, d.Key[0])
	for _, file := range files {
		rows := readFile(t, file)
		if diff := cmp.Diff(d.Columns, rows[0]); diff != "" {
			t.Fatalf("%s: header: %s", filepath.Base(file), diff)
		}
		folder := filepath.Dir(file)
		if folders[folder] == nil || !d.Delta {
			folders[folder] = map[string][]string{}
		}
		for _, row := range rows[1:] {
			for len(row) < len(d.Columns) {
				row = append(row, "")
			}
			if d.Delta && row[slices.Index(d.Columns, d.Operation)] == d.Deleted {
				delete(folders[folder], row[key])
				continue
			}
			folders[folder][row[key]] = row
		}
	}
	c := contents{columns: d.Columns}
	for _, folder := range folders {
		for _, row := range folder {
			c.rows = append(c.rows, row)
		}
	}
	return c
}

func readFile(t *testing.T, path string) [][]string {
	t.Helper()
	if strings.HasSuffix(path, ".xlsx") {
		book, err := excelize.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = book.Close() }()
		rows, err := book.GetRows(book.GetSheetName(0))
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func (s *sources) read(t *testing.T, d *dictionary.Definition) contents {
	t.Helper()
	switch d.Dataset.Database {
	case "population":
		return query(t, s.population, d.Table)
	case "civil_status":
		return query(t, s.civil, d.Table)
	}
	dir := s.communes
	if d.Dataset.Database == "admin_unit" {
		dir = s.units
	}
	for _, drop := range Drops() {
		if drop.Dataset == d.Dataset {
			if drop.Pattern != d.Table {
				t.Errorf("%s: pattern %s, table %s", d.Dataset, drop.Pattern, d.Table)
			}
			return replay(t, dir, drop)
		}
	}
	t.Fatalf("no source for %s", d.Dataset)
	return contents{}
}

type finding struct{ dataset, key, group, rule, field string }

// find maps everything in the sources and runs every rule on it: what the platform
// does, without the platform.
func (s *sources) find(t *testing.T) (found []finding, held map[string]bool) {
	t.Helper()
	d, err := dictionary.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	definitions, err := s.world.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	held = map[string]bool{}
	lists := quality.CodeListsFunc(func(id string) (quality.CodeList, bool) { return d.CodeList(id) })
	tables := map[lienthong.DatasetID]quality.Table{}
	for _, def := range definitions {
		source := s.read(t, def)
		if got, want := len(source.rows), s.world.Rows(def.Dataset); got != want {
			t.Errorf("%s: the source has %d rows, the world %d", def.Dataset, got, want)
		}
		columns := make([]lienthong.Column, len(source.columns))
		for i, name := range source.columns {
			columns[i] = lienthong.Column{Name: name, SourceType: "TEXT", Kind: lienthong.Text, Nullable: true}
		}
		mapper, err := d.Compile(def, columns, 1)
		if err != nil {
			t.Fatal(err)
		}
		checker, err := quality.Compile(mapper.Shape, mapper.Rules(), lists, s.world.config.Now)
		if err != nil {
			t.Fatal(err)
		}
		table := quality.Table{Shape: mapper.Shape}
		in := make([]lienthong.Value, len(columns))
		out := make([]lienthong.Value, len(mapper.Shape.Fields))
		var verdict quality.Verdict
		for _, row := range source.rows {
			for i, text := range row {
				in[i] = lienthong.Value{}
				if text != "" {
					in[i] = lienthong.Value{State: lienthong.Present, Bytes: []byte(text)}
				}
			}
			mapper.Map(in, out)
			id, ok := mapper.Shape.AppendRecordID(nil, out)
			if !ok {
				t.Fatalf("%s: a row without identity", def.Dataset)
			}
			checker.Check(out, s.world.config.Now().UnixMicro(), &verdict)
			for _, f := range checker.Findings(nil, &verdict, out, string(id), 0) {
				found = append(found, finding{def.Dataset.String(), string(id), string(f.Group), f.Rule, f.Field})
			}
			if verdict.Blocked {
				held[def.Dataset.String()+"/"+string(id)] = true
				continue
			}
			values := slices.Clone(out)
			for i := range values {
				values[i].Bytes = slices.Clone(values[i].Bytes)
			}
			table.Rows = append(table.Rows, quality.TableRow{Record: string(id), Values: values})
		}
		tables[def.Dataset] = table
	}
	for _, def := range definitions {
		for _, rule := range def.SetRules {
			var other quality.Table
			switch {
			case rule.Reference != nil:
				other = tables[rule.Reference.Dataset]
			case rule.Match != nil:
				other = tables[rule.Match.Dataset]
			}
			outcome, err := quality.EvaluateSet(rule, tables[def.Dataset], other)
			if err != nil {
				t.Fatalf("%s: %v", rule.Code, err)
			}
			if outcome.Checked == 0 {
				t.Errorf("%s judges no record", rule.Code)
			}
			for _, id := range outcome.Records {
				found = append(found, finding{def.Dataset.String(), id, string(rule.Group), rule.Code, rule.Field})
			}
		}
	}
	return found, held
}

// agree compares what the rules find with the truth: nothing missed, nothing more.
func (s *sources) agree(t *testing.T) {
	t.Helper()
	found, held := s.find(t)
	var truth []finding
	blocked := map[string]bool{}
	for _, p := range s.world.Truth() {
		truth = append(truth, finding{p.Dataset.String(), p.Key, string(p.Group), p.Rule, p.Field})
		if p.Blocking {
			blocked[p.Dataset.String()+"/"+p.Key] = true
		}
	}
	order := func(a, b finding) int {
		return strings.Compare(a.dataset+"/"+a.key+"/"+a.rule, b.dataset+"/"+b.key+"/"+b.rule)
	}
	slices.SortFunc(truth, order)
	slices.SortFunc(found, order)
	options := cmp.AllowUnexported(finding{})
	if diff := cmp.Diff(truth, found, options); diff != "" {
		t.Errorf("truth (-) and findings (+) differ:\n%.3000s", diff)
	}
	if diff := cmp.Diff(blocked, held); diff != "" {
		t.Errorf("quarantine: truth (-) and verdicts (+) differ:\n%.1000s", diff)
	}
}

func TestFindingsAreTheTruth(t *testing.T) {
	for _, seed := range []uint64{7, 8} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := write(t, small(t, func(c *Config) { c.Seed = seed }))
			s.agree(t)
		})
	}
}

// TestAgreementSeesADifference makes sure that agree cannot pass by comparing nothing:
// one more defect in the source, and findings differ from the truth.
func TestAgreementSeesADifference(t *testing.T) {
	s := write(t, small(t, nil))
	before, _ := s.find(t)
	i := slices.IndexFunc(s.world.people, func(p person) bool { return p.defect == clean })
	if _, err := s.population.ExecContext(t.Context(), "UPDATE cong_dan SET ma_xa = '99999' WHERE ma_ban_ghi = ?", personKey(i)); err != nil {
		t.Fatal(err)
	}
	if after, _ := s.find(t); len(after) != len(before)+1 {
		t.Errorf("%d findings became %d", len(before), len(after))
	}
}

func TestPostgresHoldsTheSameRows(t *testing.T) {
	if server == nil {
		t.Skip(pgtest.ErrNotInstalled)
	}
	w := small(t, nil)
	dsn := server.Database(t)
	last := 0
	if err := w.WritePopulationPostgres(t.Context(), dsn, func(done, _ int) { last = done }); err != nil {
		t.Fatal(err)
	}
	if last != len(w.people) {
		t.Errorf("progress ended at %d of %d", last, len(w.people))
	}
	comparePostgres(t, w, dsn)
}

// comparePostgres compares every row of cong_dan with the world's.
func comparePostgres(t *testing.T, w *World, dsn string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	columns := slices.Clone(personColumns())
	columns[columnBorn] = "ngay_sinh::text"
	for _, i := range []int{columnVerified, columnUpdated} {
		columns[i] = `to_char(` + columns[i] + ` AT TIME ZONE 'Asia/Ho_Chi_Minh', 'YYYY-MM-DD"T"HH24:MI:SS"+07:00"')`
	}
	for i := range columns {
		columns[i] = "coalesce(" + columns[i] + ", '')"
	}
	rows, err := conn.Query(t.Context(), "SELECT "+strings.Join(columns, ", ")+" FROM cong_dan")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	row, targets := make([]string, len(columns)), make([]any, len(columns))
	for i := range row {
		targets[i] = &row[i]
	}
	if _, err := pgx.ForEachRow(rows, targets, func() error {
		got[row[0]] = slices.Clone(row)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	for i := range w.people {
		if w.people[i].flags&gone == 0 {
			want[personKey(i)] = slices.Clone(w.personRow(nil, i, time.DateOnly))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the world (-) and PostgreSQL (+) differ:\n%.1500s", diff)
	}
}

// TestNobodyReadsHalfAFile checks that a file that fails leaves nothing behind.
func TestNobodyReadsHalfAFile(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("the pen broke")
	err := place(filepath.Join(dir, "x", "a.csv"), func(w io.Writer) error {
		if _, err := w.Write([]byte("half")); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want the writer's", err)
	}
	if walk := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("%s was left behind", path)
		}
		return err
	}); walk != nil {
		t.Fatal(walk)
	}
}

func BenchmarkWriteSQLite(b *testing.B) {
	w, err := New(Config{Seed: 1, Now: noon})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := w.WritePopulation(b.Context(), openSQLite(b), nil); err != nil {
			b.Fatal(err)
		}
	}
}
