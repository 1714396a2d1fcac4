package demo

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/pgtest"
)

// later is a clock that goes on by a minute every time it is asked.
func later() func() time.Time {
	now := noon()
	return func() time.Time {
		now = now.Add(time.Minute)
		return now
	}
}

// TestLifeGoesOn runs many steps, and compares every row, and what the rules find,
// with the world afterwards.
func TestLifeGoesOn(t *testing.T) {
	for name, live := range map[string]float64{"no new defects": 0, "new defects": 0.5} {
		t.Run(name, func(t *testing.T) {
			w := small(t, func(c *Config) {
				c.SchemaChange = 300
				c.LiveDefects = live
			})
			s := write(t, w)
			planted := w.Truth()
			w.config.Now = later()
			c := w.Changer(Targets{Population: s.population, CivilStatus: s.civil, Communes: s.communes, FileEvery: 60})
			before := map[lienthong.DatasetID]int{population(): w.Rows(population()), birthsID(): w.Rows(birthsID())}
			for range 1500 {
				if err := c.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			compareSQLite(t, s)
			s.agree(t)
			if got := w.Rows(population()); got <= before[population()] {
				t.Errorf("the population went from %d to %d: nobody was born", before[population()], got)
			}
			if got := w.Rows(birthsID()); got <= before[birthsID()] {
				t.Errorf("the births went from %d to %d", before[birthsID()], got)
			}
			left := w.Truth()
			if live == 0 && len(left) >= len(planted) {
				t.Errorf("%d defects, %d at the start: none was put right", len(left), len(planted))
			}
			isNew := func(p Planted) bool { return !slices.Contains(planted, p) }
			if slices.ContainsFunc(left, isNew) != (live > 0) {
				t.Errorf("new defects: %t, asked for: %t", live == 0, live > 0)
			}
			cong := query(t, s.population, "cong_dan")
			column := slices.Index(cong.columns, "nghe_nghiep")
			if column < 0 {
				t.Fatal("the column was not added")
			}
			filled := 0
			for _, row := range cong.rows {
				if row[column] != "" {
					filled++
				}
			}
			if filled < 20 {
				t.Errorf("%d people have an occupation", filled)
			}
			for _, pattern := range []string{"*/ho_dan*.xlsx", "*/thua_dat*.csv"} {
				files, err := filepath.Glob(filepath.Join(s.communes, pattern))
				if err != nil || len(files) < 8 {
					t.Errorf("%d files of %s (%v)", len(files), pattern, err)
				}
			}
		})
	}
}

// compareSQLite compares every row of the databases with the world's.
func compareSQLite(t *testing.T, s *sources) {
	t.Helper()
	w := s.world
	for _, table := range append(w.civilTables(), w.populationTable()) {
		want := map[string]string{}
		for i := range table.rows {
			if !table.skip(i) {
				row := table.row(nil, i)
				want[row[0]] = strings.Join(row, "|")
			}
		}
		db := s.civil
		if table.name == "cong_dan" {
			db = s.population
		}
		got := map[string]string{}
		for _, row := range query(t, db, table.name).rows {
			got[row[0]] = strings.Join(row[:len(table.columns)], "|")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the world (-) and the source (+) differ:\n%.1500s", table.name, diff)
		}
	}
}

// TestRefusedChangesLeaveTheWorld takes a database away in the middle: what it
// refuses must not have happened in the world either.
func TestRefusedChangesLeaveTheWorld(t *testing.T) {
	refuse := func(name string) string {
		return "CREATE TRIGGER refuse_" + name + " BEFORE INSERT ON " + name + " BEGIN SELECT RAISE(ABORT, 'refused'); END"
	}
	for name, tc := range map[string]struct{ population, civil []string }{
		"population": {population: []string{"cong_dan"}},
		"civil":      {civil: []string{"khai_sinh", "ket_hon", "khai_tu"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := small(t, func(c *Config) { c.Persons = 4000 })
			s := write(t, w)
			for _, table := range tc.population {
				if _, err := s.population.ExecContext(t.Context(), refuse(table)); err != nil {
					t.Fatal(err)
				}
			}
			for _, table := range tc.civil {
				if _, err := s.civil.ExecContext(t.Context(), refuse(table)); err != nil {
					t.Fatal(err)
				}
			}
			c := w.Changer(Targets{Population: s.population, CivilStatus: s.civil})
			refused := 0
			for range 300 {
				if err := c.Step(t.Context()); err != nil {
					refused++
				}
			}
			if refused == 0 {
				t.Fatal("nothing was refused")
			}
			compareSQLite(t, s)
			s.agree(t)
		})
	}
}

func TestStepStopsWithItsContext(t *testing.T) {
	w := small(t, func(c *Config) { c.Persons = 2000 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := w.Changer(Targets{Population: openSQLite(t)})
	if err := c.Step(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
	if c.Steps() != 0 {
		t.Errorf("%d steps done", c.Steps())
	}
}

func TestLifeGoesOnInPostgres(t *testing.T) {
	if server == nil {
		t.Skip(pgtest.ErrNotInstalled)
	}
	w := small(t, func(c *Config) {
		c.Persons = 4000
		c.SchemaChange = 100
	})
	dsn := server.Database(t)
	if err := w.WritePopulationPostgres(t.Context(), dsn, nil); err != nil {
		t.Fatal(err)
	}
	civil := openSQLite(t)
	if err := w.WriteCivilStatus(t.Context(), civil, nil); err != nil {
		t.Fatal(err)
	}
	db, err := OpenPostgres(dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	w.config.Now = later()
	c := w.Changer(Targets{Population: db, Postgres: true, CivilStatus: civil})
	for range 400 {
		if err := c.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var filled int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM cong_dan WHERE nghe_nghiep IS NOT NULL").Scan(&filled); err != nil || filled == 0 {
		t.Errorf("%d people have an occupation (%v)", filled, err)
	}
	comparePostgres(t, w, dsn)
}

// TestDefinitions compiles every definition against the columns that the sources
// have, for both engines.
func TestDefinitions(t *testing.T) {
	d, err := dictionary.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	list, err := Definitions()
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]bool{"required": true}
	for _, def := range list {
		if member, known := d.Member(string(Owner(def.Dataset))); !known || member.NameVi == "" {
			t.Errorf("%s: nobody is %s", def.Dataset, Owner(def.Dataset))
		}
		for _, rule := range def.SetRules {
			rules[rule.Code] = true
		}
		if def.Dataset != population() {
			continue
		}
		columns := make([]lienthong.Column, len(personColumns()))
		for i, name := range personColumns() {
			columns[i] = lienthong.Column{Name: name, Kind: lienthong.Text}
		}
		columns[columnBorn].Kind = lienthong.Date
		columns[columnVerified].Kind, columns[columnUpdated].Kind = lienthong.Timestamp, lienthong.Timestamp
		pg := ForPostgres(def)
		if pg.Table != "public.cong_dan" || def.Table != "cong_dan" {
			t.Errorf("tables %q and %q", pg.Table, def.Table)
		}
		mapper, err := d.Compile(pg, columns, 1)
		if err != nil {
			t.Fatal(err)
		}
		if mapped, total := mapper.Mapped(); mapped != total {
			t.Errorf("%d of %d columns are mapped", mapped, total)
		}
		for _, rule := range mapper.Rules() {
			rules[rule.Code] = true
		}
	}
	if len(list) != 8 {
		t.Errorf("%d definitions, want 8", len(list))
	}
	for _, k := range kinds() {
		if k.dataset == population() && !rules[k.rule] {
			t.Errorf("no rule is called %s", k.rule)
		}
	}
}
