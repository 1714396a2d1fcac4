package store

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/quality"
)

// recheckShape has a field of each kind that rules look at.
func recheckShape() *lienthong.Shape {
	shape := &lienthong.Shape{Dataset: people, Version: 1, Identity: []int{0}}
	for _, f := range []struct {
		name string
		kind lienthong.Kind
	}{
		{"id", lienthong.Text},
		{"number", lienthong.Text},
		{"name", lienthong.Text},
		{"sex", lienthong.Text},
		{"commune", lienthong.Text},
		{"members", lienthong.Integer},
		{"rooms", lienthong.Integer},
		{"area", lienthong.Decimal},
		{"cost", lienthong.Decimal},
		{"ratio", lienthong.Real},
		{"share", lienthong.Real},
		{"alive", lienthong.Boolean},
		{"birth", lienthong.Date},
		{"death", lienthong.Date},
		{"seen", lienthong.Timestamp},
		{"made", lienthong.Timestamp},
		{"secret", lienthong.Text},
	} {
		shape.Fields = append(shape.Fields, lienthong.Field{Name: f.name, Kind: f.kind, LabelVi: f.name, LabelEn: f.name, Required: f.name == "commune"})
	}
	shape.Fields[2].MaxLength = 12
	shape.Fields[16].Handling = "hash"
	return shape
}

// recheckRules has every check in several forms. say is whether each engine's SQL must be
// able to say it: "sp" both, "p" PostgreSQL only, "" neither.
func recheckRules() (rules []dictionary.Rule, say map[string]string) {
	say = map[string]string{}
	add := func(engines, code, field string, check dictionary.Check) {
		rules = append(rules, dictionary.Rule{Code: code, Field: field, Check: check})
		say[code] = engines
	}
	add("sp", "digits", "number", dictionary.Check{Digits: 12})
	add("p", "pattern", "number", dictionary.Check{Pattern: `0[0-9]{2}[^\s.]*|x(y|z)+?\.?`})
	add("p", "pattern.any", "name", dictionary.Check{Pattern: `.+ .+`})
	add("", "pattern.fold", "name", dictionary.Check{Pattern: `(?i)lê.*`})
	add("", "pattern.word", "name", dictionary.Check{Pattern: `.*\bAn`})
	add("sp", "length", "name", dictionary.Check{MinLength: 3, MaxLength: 8})
	add("sp", "short", "name", dictionary.Check{MinLength: 2})
	add("sp", "list", "commune", dictionary.Check{CodeList: "commune"})
	add("", "list.dated", "commune", dictionary.Check{CodeList: "commune", AsOf: "birth"})
	add("sp", "one", "sex", dictionary.Check{OneOf: []string{"M", "F", "it's"}})
	add("sp", "one.number", "members", dictionary.Check{OneOf: []string{"1", "2", "30"}})
	add("sp", "range.number", "members", dictionary.Check{Min: "1", Max: "30"})
	add("p", "range.decimal", "area", dictionary.Check{Min: "0.50", Max: "100"})
	add("sp", "range.real", "ratio", dictionary.Check{Min: "-0.5", Max: "1.5"})
	add("sp", "range.real.low", "share", dictionary.Check{Min: "0"})
	add("sp", "range.date", "birth", dictionary.Check{Min: "1900-01-01", Max: "now"})
	add("sp", "range.date.moving", "birth", dictionary.Check{Min: "now-100y1mo"})
	add("sp", "range.time", "seen", dictionary.Check{Min: "2020-01-01", Max: "now+1d"})
	add("sp", "range.time.exact", "seen", dictionary.Check{Max: "2026-06-30T12:00:00+07:00"})
	add("", "range.far", "birth", dictionary.Check{Min: "0001-01-01"})
	add("", "person", "name", dictionary.Check{PersonName: true})
	add("p", "nfc", "name", dictionary.Check{NFC: true})
	add("sp", "tidy", "name", dictionary.Check{Tidy: true})
	add("sp", "age", "seen", dictionary.Check{MaxAge: "720h"})
	add("sp", "age.date", "birth", dictionary.Check{MaxAge: "30y"})
	add("sp", "structure", "number", dictionary.Check{PersonNumber: &dictionary.PersonNumberCheck{BirthDate: "birth", Sex: "sex"}})
	add("sp", "structure.sex", "number", dictionary.Check{PersonNumber: &dictionary.PersonNumberCheck{Sex: "sex"}})
	add("", "structure.time", "number", dictionary.Check{PersonNumber: &dictionary.PersonNumberCheck{BirthDate: "seen"}})
	add("sp", "order.date", "death", dictionary.Check{NotBefore: "birth"})
	add("sp", "order.number", "members", dictionary.Check{NotBefore: "rooms"})
	add("sp", "order.time", "seen", dictionary.Check{NotBefore: "made"})
	add("sp", "order.real", "ratio", dictionary.Check{NotBefore: "share"})
	add("p", "order.decimal", "area", dictionary.Check{NotBefore: "cost"})
	add("", "order.mixed", "seen", dictionary.Check{NotBefore: "birth"})
	add("", "cel", "name", dictionary.Check{CEL: `sex != "M" || members > rooms`})
	add("sp", "required", "name", dictionary.Check{Required: true})
	add("sp", "required.date", "death", dictionary.Check{Required: true})
	return rules, say
}

// datedCommunes is a list that shows its codes, with one that ended and one that began.
type datedCommunes struct{ codes []dictionary.Code }

func (l datedCommunes) Codes() []dictionary.Code { return l.codes }

func (l datedCommunes) Valid(code []byte, at int64) bool {
	for _, c := range l.codes {
		if c.Code == string(code) && c.From <= at && at < c.To {
			return true
		}
	}
	return false
}

func recheckLists() quality.CodeLists {
	began := time.Date(2025, 7, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	list := datedCommunes{[]dictionary.Code{
		{Code: "00004", From: math.MinInt64, To: math.MaxInt64},
		{Code: "00013", From: math.MinInt64, To: began},
		{Code: "00025", From: began, To: math.MaxInt64},
		{Code: "123456789", From: math.MinInt64, To: math.MaxInt64},
	}}
	return quality.CodeListsFunc(func(string) (quality.CodeList, bool) { return list, true })
}

func recheckRow(random *rand.Rand, shape *lienthong.Shape, id string) []lienthong.Value {
	pick := func(values ...lienthong.Value) lienthong.Value { return values[random.IntN(len(values))] }
	words := func(words ...string) lienthong.Value { return text(words[random.IntN(len(words))]) }
	day := func(text string) lienthong.Value {
		d, _ := time.Parse(time.DateOnly, text)
		return number(d.Unix() / 86400)
	}
	const hour = 3_600_000_000
	row := make([]lienthong.Value, len(shape.Fields))
	for i := range row {
		if random.IntN(8) == 0 && i > 0 {
			continue // null
		}
		switch name := shape.Fields[i].Name; name {
		case "id":
			row[i] = text(id)
		case "number":
			row[i] = words("001095012345", "001195012345", "001295012345", "001395012345", "0912345678", "00109501234x", "0912345678\n", "001200012345", "xyzy.", "xyz", " ", "٠٠١٠٩٥٠١٢٣٤٥", "099.", "001099012345")
		case "name":
			row[i] = words("A", "Lê", "Lê An", " An", "An ", "A  B", "Nguyễn Văn", "Nguyễn Văn Anh Tuấn", "Ng\tAn", "a\n\nb", "", "  ", "\u00a0", "Le\u0302 An", "lê An", "An\u2003\u3000B", "A1 B", "a\\b c", "\u2028x y", "aan An")
		case "sex":
			row[i] = words("M", "F", "m", "f", "X", "MF", "it's", "")
		case "commune":
			row[i] = words("00004", "00013", "00025", "99999", "123456789", "  ")
		case "members", "rooms":
			row[i] = pick(number(0), number(1), number(2), number(30), number(31), number(-5), number(math.MaxInt64))
		case "area", "cost":
			row[i] = words("0.5", "0.49", "100", "100.00", "100.01", "-3", "0", "12.25", "NaN", "99999999999999999999.5")
		case "ratio", "share":
			row[i] = pick(realValue(0), realValue(1.5), realValue(-0.5), realValue(-0.51), realValue(math.NaN()), realValue(math.Inf(1)), realValue(math.Inf(-1)))
		case "alive":
			row[i] = number(random.Int64N(2))
		case "birth", "death":
			row[i] = pick(day("1900-01-01"), day("1899-12-31"), day("1926-06-01"), day("1926-05-31"), day("1995-02-28"), day("1996-07-01"), day("1996-06-30"),
				day("2000-02-29"), day("2026-07-01"), day("2026-07-02"), day("9999-12-31"), number(3_000_000), number(-800_000))
		case "seen", "made":
			at := clock.UnixMicro()
			row[i] = number(at + []int64{0, 1, -1, -720 * hour, -720*hour - 1, 24 * hour, 24*hour + 1, -40 * 24 * hour, -20 * 365 * 24 * hour}[random.IntN(9)])
		case "secret":
			row[i] = words("a", "b")
		}
	}
	return row
}

func TestRecheckCountsWhatIsThereNow(t *testing.T) {
	ctx := context.Background()
	rules, say := recheckRules()
	given := append(rules,
		dictionary.Rule{Code: "hidden", Field: "secret", Check: dictionary.Check{Digits: 12}},
		dictionary.Rule{Code: "hidden.cel", Field: "name", Check: dictionary.Check{CEL: `secret == "a" || name != ""`}},
		dictionary.Rule{Code: "gone", Field: "left_at_home", Check: dictionary.Check{NFC: true}},
		dictionary.Rule{Code: "gone.other", Field: "death", Check: dictionary.Check{NotBefore: "left_at_home"}},
		dictionary.Rule{Code: "gone.cel", Field: "name", Check: dictionary.Check{CEL: `left_at_home == name`}})
	skipped := map[string]string{"hidden": "handled", "hidden.cel": "handled", "gone": "absent", "gone.other": "absent", "gone.cel": "absent"}
	onBoth(t, func(t *testing.T, s *Store) {
		shape := recheckShape()
		p, second := newSender(t, s, shape, "n"), newSender(t, s, shape, "m")
		checker, err := quality.Compile(shape, rules, recheckLists(), config().Now)
		check(t, err)
		random := rand.New(rand.NewPCG(20, 26))
		open := map[string][]int{} // by record: the rules it breaks, as a node keeps them
		version := int64(0)
		var verdict quality.Verdict
		counts := func() map[string]int64 {
			all := map[string]int64{}
			for _, failed := range open {
				for _, rule := range failed {
					all[checker.Rules()[rule].Code+" "+checker.Rules()[rule].Field]++
				}
			}
			return all
		}
		for round := range 4 {
			for _, to := range []*sender{p, second} {
				var changes []lienthong.Change
				for range 250 {
					version++
					id := to.stream.Node + strconv.Itoa(random.IntN(150+100*round))
					if random.IntN(10) == 0 {
						changes = append(changes, remove(id, version))
						delete(open, id)
						continue
					}
					row := recheckRow(random, shape, id)
					changes = append(changes, upsert(id, version, row...))
					checker.Check(row, clock.UnixMicro(), &verdict)
					open[id] = append([]int(nil), verdict.Failed...)
				}
				to.apply(lienthong.ChangesBatch, changes...)
			}
			want := counts()
			for _, by := range []RecheckBy{RecheckCheapest, RecheckSQL, RecheckRows} {
				found, err := s.Recheck(ctx, people, given, RecheckConfig{Lists: recheckLists(), By: by})
				check(t, err)
				if found.Rows != int64(len(open)) {
					t.Fatalf("%d rows, want %d", found.Rows, len(open))
				}
				got := map[string]int64{}
				for _, rule := range found.Rules {
					if rule.Failed > 0 {
						got[rule.Code+" "+rule.Field] = rule.Failed
					}
					if engines, written := say[rule.Code]; written {
						if can := strings.Contains(engines, s.Engine()[:1]); rule.BySQL != (can && by == RecheckSQL) {
							t.Errorf("%s: by SQL %v", rule.Code, rule.BySQL)
						}
					}
				}
				equal(t, got, want)
				why := map[string]string{}
				for _, rule := range found.Skipped {
					why[rule.Code] = rule.Reason
				}
				equal(t, why, skipped)
			}
		}
		want := counts()
		for code := range say {
			broken := int64(0)
			for _, rule := range rules {
				broken += want[code+" "+rule.Field]
			}
			if broken == 0 || broken == int64(len(open)) {
				t.Errorf("%s is broken by %d of %d records: the rows do not try it", code, broken, len(open))
			}
		}
	})
}

// TestRecheckFindsADriftedState: what the hub counts itself is held against what nodes say.
func TestRecheckFindsADriftedState(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		shape := small(1)
		p := newSender(t, s, shape, "n")
		rules := []dictionary.Rule{
			{Code: "a", Field: "a", Check: dictionary.Check{Digits: 2}},
			{Code: "b", Field: "b", Check: dictionary.Check{Digits: 2}},
			{Code: "id", Field: "id", Check: dictionary.Check{Digits: 1}},
			{Code: "new", Field: "b", Check: dictionary.Check{Tidy: true}},
		}
		p.apply(lienthong.ChangesBatch, row("1", 1, text("x"), text("x")), row("2", 2, text("12"), text("x")), row("3", 3, text("12"), text("34")), hold("4", 4))
		found, err := s.Recheck(context.Background(), people, rules, RecheckConfig{})
		check(t, err)
		counters := quality.Counters{Dataset: people, Rows: 4, Quarantined: 1}
		for _, rule := range found.Rules {
			if rule.Code != "new" {
				counters.Rules = append(counters.Rules, quality.RuleCounter{Code: rule.Code, Field: rule.Field, Open: rule.Failed})
			}
		}
		set := func(code string, open int64) {
			if !counters.SetOpen(code, code, open) {
				t.Fatal("no rule", code)
			}
		}
		reasons := func() map[string]string {
			why := map[string]string{}
			for _, d := range found.Compare(&counters) {
				why[d.Code] = fmt.Sprintf("%s %d/%d", d.Why, d.Incremental, d.Rechecked)
			}
			return why
		}
		equal(t, reasons(), map[string]string{"new": "unknown 0/0"})
		set("a", 2) // the one that is held
		set("b", 1) // fewer than there are
		set("id", 2)
		equal(t, reasons(), map[string]string{"new": "unknown 0/0", "a": "held 2/1", "b": "differs 1/2", "id": "differs 2/0"})
		if all := found.Rules[len(found.Rules)-1]; all.BySQL != (s.Engine() == "postgres") {
			t.Errorf("SQL can say every rule, and %s counted %s", s.Engine(), all.Code)
		}
		_, err = s.Recheck(context.Background(), lienthong.DatasetID{Database: "d", Name: "none"}, rules, RecheckConfig{})
		wantCode(t, err, "shape.unknown")
		_, err = s.Recheck(context.Background(), people, []dictionary.Rule{{Code: "a", Field: "a", Check: dictionary.Check{Pattern: "("}}}, RecheckConfig{})
		wantCode(t, err, "quality.pattern")
	})
}

// TestPatternsMeanTheSame asks PostgreSQL and RE2 about every short text of an alphabet.
func TestPatternsMeanTheSame(t *testing.T) {
	s := openPG(t, server.Database(t))
	texts, shorter := []string{""}, []string{""}
	for range 4 {
		var longer []string
		for _, text := range shorter {
			for _, c := range []string{"a", "0", "-", "ệ", "\n", "."} {
				longer = append(longer, text+c)
			}
		}
		texts, shorter = append(texts, longer...), longer
	}
	for _, pattern := range []string{
		"", "a", "a*", "a+?", "(a|0)*-?", "[a0]{2,3}", "[^a]+", ".", ".*", "(?s).*", "^a.$", "a|^0$", `\d{2}`, `\w+`, `\S*`, `[\-.]+`, "ệ{1,}", "(a(0(-)?)?)?", "[^\\x00-\\x7f]", "(?:a|)0", "a{0}", "()",
		`[a-z0-9._%+-]+`, "$^", "a**",
	} {
		are, ok := arePattern(pattern)
		if _, err := regexp.Compile(pattern); err != nil {
			continue
		}
		if !ok {
			t.Errorf("%q could not be said", pattern)
			continue
		}
		re2 := regexp.MustCompile(`\A(?:` + pattern + `)\z`)
		err := s.engine.reader().each(context.Background(), "SELECT x, x ~ ? FROM unnest(?::text[]) x", []any{are, texts}, func(scan scanFunc) error {
			var x string
			var matches bool
			if err := scan(&x, &matches); err != nil {
				return err
			}
			if matches != re2.MatchString(x) {
				t.Errorf("%q as %q on %q: %v", pattern, are, x, matches)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%q as %q: %v", pattern, are, err)
		}
	}
	for _, pattern := range []string{"(?i)a", `\ba`, "(?m)^a", "a{300}", "["} {
		if are, ok := arePattern(pattern); ok {
			t.Errorf("%q is said as %q", pattern, are)
		}
	}
}
