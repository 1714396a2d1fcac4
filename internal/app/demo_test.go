package app

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/lienthong/lienthong"
)

// liveSteps is how many events happen in a test after the first load.
const liveSteps = 400

// engines are the engines that population and hub live in.
func engines() []string { return []string{"sqlite", "postgres"} }

// synced is a buffer that many goroutines log into.
type synced struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (s *synced) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buffer.Write(p)
}

func (s *synced) Bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.buffer.Bytes())
}

// startCountry starts a demo without changes that logs everything into log.
func startCountry(t *testing.T, engine string, log *synced) *Demo {
	t.Helper()
	config := DemoConfig{
		Dir: t.TempDir(), Persons: testPersons, Listen: "127.0.0.1:0", Once: true, LiveDefects: 0.1,
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if engine == "postgres" {
		config.Postgres = postgresDSN(t)
	}
	d, err := StartDemo(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// TestDemo_FindsWhatIsPlanted compares what the platform finds with what the
// generator planted, record by record, after the first load and after live changes
// that plant new defects and put old ones right. The same country then shows that
// nothing personal has got out.
func TestDemo_FindsWhatIsPlanted(t *testing.T) {
	for _, engine := range engines() {
		t.Run(engine, func(t *testing.T) {
			log := &synced{}
			d := startCountry(t, engine, log)
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			if err := d.await(ctx, "first load", func(v *streamView) bool { return v.last != nil && v.last.Result == lienthong.Matches }); err != nil {
				t.Fatal(err)
			}
			t.Run("first load", func(t *testing.T) { compareWithTruth(ctx, t, d) })
			before := truthOf(d)
			for range liveSteps {
				if err := d.changer.Step(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Settle(ctx); err != nil {
				t.Fatal(err)
			}
			t.Run("after live changes", func(t *testing.T) {
				planted, corrected := difference(truthOf(d), before), difference(before, truthOf(d))
				t.Logf("%d changes planted %d defects and put %d right", liveSteps, planted, corrected)
				if planted == 0 || corrected == 0 {
					t.Error("the changes touched no defect, so they prove nothing")
				}
				compareWithTruth(ctx, t, d)
			})
			if engine == "sqlite" {
				t.Run("workplace", func(t *testing.T) { checkWorkplace(ctx, t, d) })
			}
			t.Run("nothing personal gets out", func(t *testing.T) { searchEverywhere(ctx, t, d, log) })
		})
	}
}

// defect is one record that breaks one rule on one field.
type defect struct {
	dataset, key, rule, field string
}

type defects map[defect]lienthong.ErrorGroup

func truthOf(d *Demo) defects {
	truth := defects{}
	for _, p := range d.World.Truth() {
		truth[defect{p.Dataset.String(), p.Key, p.Rule, p.Field}] = p.Group
	}
	return truth
}

// difference counts what is in a and not in b.
func difference(a, b defects) int {
	n := 0
	for key := range a {
		if _, both := b[key]; !both {
			n++
		}
	}
	return n
}

// foundBy collects the open findings of every node, and those of the rules over
// many records at the hub.
func foundBy(ctx context.Context, t *testing.T, d *Demo) defects {
	t.Helper()
	found := defects{}
	for _, definition := range d.Hub.monitor.definitions {
		dataset := definition.Dataset
		for _, n := range d.Nodes {
			err := n.state.EachFinding(ctx, dataset, func(id string, f lienthong.Finding) {
				found[defect{dataset.String(), id, f.Rule, f.Field}] = f.Group
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, rule := range definition.SetRules {
			result, err := d.Hub.store.RunSetRule(ctx, dataset, rule, 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			if int64(len(result.Findings)) != result.Failed {
				t.Errorf("%s: %d findings listed, %d counted", rule.Code, len(result.Findings), result.Failed)
			}
			for _, f := range result.Findings {
				found[defect{dataset.String(), f.RecordID, rule.Code, rule.Field}] = rule.Group
			}
		}
	}
	return found
}

// The promise is recall and precision of at least 99 % in each group.
const promised = 0.99

// score is what became of a group of errors.
type score struct{ planted, found, right int }

func (s score) recall() float64    { return ratio(s.right, s.planted) }
func (s score) precision() float64 { return ratio(s.right, s.found) }

func ratio(part, whole int) float64 {
	if whole == 0 {
		return 1
	}
	return float64(part) / float64(whole)
}

func scoresOf(truth, found defects) map[lienthong.ErrorGroup]*score {
	scores := map[lienthong.ErrorGroup]*score{}
	for _, group := range lienthong.ErrorGroups() {
		scores[group] = &score{}
	}
	for key, group := range truth {
		scores[group].planted++
		if found[key] == group {
			scores[group].right++
		}
	}
	for _, group := range found {
		scores[group].found++
	}
	return scores
}

func compareWithTruth(ctx context.Context, t *testing.T, d *Demo) {
	t.Helper()
	truth, found := truthOf(d), foundBy(ctx, t, d)
	scores := scoresOf(truth, found)
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 2, 4, 2, ' ', tabwriter.AlignRight)
	line := func(format string, args ...any) {
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			t.Fatal(err)
		}
	}
	line("group\tplanted\tfound\tright\trecall\tprecision\t\n")
	for _, group := range lienthong.ErrorGroups() {
		s := scores[group]
		line("%s\t%d\t%d\t%d\t%.2f %%\t%.2f %%\t\n", group, s.planted, s.found, s.right, 100*s.recall(), 100*s.precision())
		if s.planted == 0 {
			t.Errorf("%s: nothing is planted, so nothing is proved", group)
		}
		if s.recall() < promised || s.precision() < promised {
			t.Errorf("%s: recall %.4f, precision %.4f, want at least %.2f of both", group, s.recall(), s.precision(), promised)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", table.String())
	const most = 10
	shown := 0
	for key := range truth {
		if _, ok := found[key]; !ok && shown < most {
			shown++
			t.Logf("missed: %s %s on %s", key.dataset, key.rule, key.field)
		}
	}
	for key := range found {
		if _, ok := truth[key]; !ok && shown < 2*most {
			shown++
			t.Logf("not planted: %s %s on %s", key.dataset, key.rule, key.field)
		}
	}
}

// TestScoresNotice proves that the comparison can fail.
func TestScoresNotice(t *testing.T) {
	truth, found := defects{}, defects{}
	for i := range 200 {
		key := defect{"population.person", fmt.Sprint(i), "required", "address_line"}
		truth[key] = lienthong.MissingMandatory
		if i >= 3 { // three missed, four invented, one in the wrong group
			found[key] = lienthong.MissingMandatory
		}
	}
	for i := range 4 {
		found[defect{"population.person", fmt.Sprint("x", i), "required", "address_line"}] = lienthong.MissingMandatory
	}
	found[defect{"population.person", "199", "required", "address_line"}] = lienthong.Stale
	s := scoresOf(truth, found)[lienthong.MissingMandatory]
	if *s != (score{planted: 200, found: 200, right: 196}) || s.recall() >= promised || s.precision() >= promised {
		t.Errorf("%+v: recall %.3f, precision %.3f", *s, s.recall(), s.precision())
	}
	if s := scoresOf(truth, found)[lienthong.Stale]; s.found != 1 || s.right != 0 {
		t.Errorf("wrong group: %+v", *s)
	}
}

// TestRunDemo_Once is the main job as `demo --once` shows it.
func TestRunDemo_Once(t *testing.T) {
	for _, engine := range engines() {
		t.Run(engine, func(t *testing.T) {
			config := DemoConfig{Dir: t.TempDir(), Persons: 3000, Listen: "127.0.0.1:0", Once: true}
			if engine == "postgres" {
				config.Postgres = postgresDSN(t)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			summary, err := RunDemo(ctx, config)
			if err != nil {
				t.Fatal(err)
			}
			checkSummary(t, summary, engine)
		})
	}
}

func checkSummary(t *testing.T, s *Summary, engine string) {
	t.Helper()
	if len(s.Datasets) < 4 {
		t.Errorf("%d datasets, want at least 4", len(s.Datasets))
	}
	sources := map[string]bool{}
	var held, changes int64
	for _, d := range s.Datasets {
		name := d.Database + "." + d.Dataset
		sources[d.Source] = true
		held += d.QuarantinedRows
		changes += d.Changes
		if d.Reconciled != lienthong.Matches {
			t.Errorf("%s: %s", name, d.Reconciled)
		}
		if d.SourceRows == 0 || d.SourceRows != d.LandedRows+d.QuarantinedRows {
			t.Errorf("%s: %d rows at the source, %d landed, %d held back", name, d.SourceRows, d.LandedRows, d.QuarantinedRows)
		}
		if d.Changes > 0 && (d.LagP50 <= 0 || d.LagP99 < d.LagP50) {
			t.Errorf("%s: %d changes with a lag of %.1f ms p50, %.1f ms p99", name, d.Changes, d.LagP50, d.LagP99)
		}
	}
	if held == 0 || changes == 0 {
		t.Errorf("%d rows held back and %d changes: the demo shows less than it says", held, changes)
	}
	if !sources[engine] || !sources["files"] || !sources["sqlite"] {
		t.Errorf("sources %v, want %s, sqlite and files", sources, engine)
	}
	if !s.Audit.Verified || s.Audit.Entries == 0 || len(s.Audit.Root) != 64 {
		t.Errorf("audit %+v", s.Audit)
	}
	if !s.Reconciled() {
		t.Error("the summary says that it does not reconcile")
	}
	if len(s.Criteria) < 4 {
		t.Errorf("%d databases have criteria, want at least 4", len(s.Criteria))
	}
	for _, c := range s.Criteria {
		for word, value := range map[string]*float64{"đúng": c.Dung, "đủ": c.Du, "sạch": c.Sach, "index": c.Index} {
			if value != nil && (*value < 0 || *value > 100) {
				t.Errorf("%s: %s is %.2f %%", c.Database, word, *value)
			}
		}
		if c.Index == nil {
			t.Errorf("%s has no index", c.Database)
		}
	}
}

// TestSummary_Notices proves that a summary can say no.
func TestSummary_Notices(t *testing.T) {
	good := func() *Summary {
		return &Summary{
			Datasets: []DatasetSummary{{SourceRows: 3, LandedRows: 2, QuarantinedRows: 1, Reconciled: lienthong.Matches}},
			Audit:    AuditSummary{Verified: true},
		}
	}
	if !good().Reconciled() {
		t.Fatal("a good summary is refused")
	}
	for name, spoil := range map[string]func(*Summary){
		"lost row":       func(s *Summary) { s.Datasets[0].LandedRows = 1 },
		"differs":        func(s *Summary) { s.Datasets[0].Reconciled = lienthong.Differs },
		"never compared": func(s *Summary) { s.Datasets[0].Reconciled = "" },
		"altered log":    func(s *Summary) { s.Audit.Verified = false },
		"no datasets":    func(s *Summary) { s.Datasets = nil },
	} {
		s := good()
		if spoil(s); s.Reconciled() {
			t.Errorf("%s goes unnoticed", name)
		}
	}
}
