package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/quality"
)

// setFindings is how many records of a set rule are listed; all are counted.
const setFindings = 50

// Rules over many records read whole tables. They run after a comparison, when the
// records they look at have changed: at once the first time, then so seldom that all
// of them together take one part in rulesRest of a core.
const (
	rulesPause = 3 * time.Second
	rulesRest  = 20
)

// judgement is the last run of a dataset's rules.
type judgement struct {
	generation int64 // what generation returned before it
	rules      int   // how many could run
	took       time.Duration
	ended      time.Time
}

// runSetRules judges the landed records by the rules over many records.
func (m *monitor) runSetRules(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.dirty:
		}
		for _, d := range m.definitions {
			switch changed, due := m.changedSinceJudged(d); {
			case changed && due:
				m.judge(ctx, d)
			case changed:
				m.touchRules() // it is looked at again after the pause
			}
		}
		timer := time.NewTimer(rulesPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// judgeAll runs every rule now.
func (m *monitor) judgeAll(ctx context.Context) {
	for _, d := range m.definitions {
		if len(d.SetRules) > 0 {
			m.judge(ctx, d)
		}
	}
}

// changedSinceJudged reports whether the rules of a definition may say something
// else than at their last run, and whether it is time to run them again.
func (m *monitor) changedSinceJudged(d *dictionary.Definition) (changed, due bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rules := len(m.runnable(d))
	last, before := m.judged[d.Dataset]
	if rules == 0 || before && last.generation == m.generation(d) {
		return false, false
	}
	if !before || rules > last.rules {
		return true, true
	}
	var all time.Duration
	for _, j := range m.judged {
		all += j.took
	}
	return true, m.now().Sub(last.ended) >= rulesRest*all
}

// generation grows with every row that lands in a dataset that the rules of a
// definition look at, its own and those that it is compared with, and when one of
// them is loaded. Called with mu held.
func (m *monitor) generation(d *dictionary.Definition) int64 {
	looksAt := map[lienthong.DatasetID]bool{d.Dataset: true}
	for _, rule := range d.SetRules {
		if rule.Reference != nil {
			looksAt[rule.Reference.Dataset] = true
		}
		if rule.Match != nil {
			looksAt[rule.Match.Dataset] = true
		}
	}
	var generation int64
	for dataset := range looksAt {
		if m.loaded(dataset) {
			generation++
		}
	}
	for _, v := range m.streams {
		if looksAt[v.stream.Dataset] {
			generation += v.landed
		}
	}
	return generation
}

// loaded reports whether the first load of a dataset has been compared. Before, half
// of what refers to it would look as if it referred to nothing. Called with mu held.
func (m *monitor) loaded(dataset lienthong.DatasetID) bool {
	for _, v := range m.streams {
		if v.stream.Dataset == dataset && v.last != nil && v.last.SourceRows > 0 {
			return true
		}
	}
	return false
}

// runnable are the rules whose datasets are all loaded. Called with mu held.
func (m *monitor) runnable(d *dictionary.Definition) []dictionary.SetRule {
	if !m.loaded(d.Dataset) {
		return nil
	}
	var rules []dictionary.SetRule
	for _, rule := range d.SetRules {
		if rule.Reference != nil && !m.loaded(rule.Reference.Dataset) || rule.Match != nil && !m.loaded(rule.Match.Dataset) {
			continue
		}
		rules = append(rules, rule)
	}
	return rules
}

func (m *monitor) judge(ctx context.Context, d *dictionary.Definition) {
	m.mu.Lock()
	generation := m.generation(d) // before the rules look: what lands meanwhile is for the next time
	rules := m.runnable(d)
	m.mu.Unlock()
	began := m.now()
	var views []setView
	whole := true
	for _, rule := range rules {
		result, err := m.hub.store.RunSetRule(ctx, d.Dataset, rule, setFindings)
		if err != nil {
			if ctx.Err() == nil {
				m.hub.log.DebugContext(ctx, "set rule not run", slog.String("rule", rule.Code), slog.Any("error", err))
			}
			whole = false
			continue
		}
		views = append(views, setView{
			counter:  quality.NewSetCounter(rule, false, result.Checked, result.Failed),
			findings: result.Findings, at: m.now(),
		})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sets[d.Dataset] = views
	delete(m.judged, d.Dataset)
	if whole {
		m.judged[d.Dataset] = judgement{generation: generation, rules: len(rules), took: m.now().Sub(began), ended: m.now()}
	}
	m.changed()
}
