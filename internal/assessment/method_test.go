package assessment

import (
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lienthong/lienthong"
)

func TestMethod_HoldsTheLawAsData(t *testing.T) {
	m, d := method(t)
	checks, items := 0, 0
	for _, q := range m.Questions() {
		switch q.Kind {
		case Readiness:
			checks++
		case Architecture:
			items++
			if !strings.ContainsAny(q.Source, "0123456789") {
				t.Errorf("%s: source %q names no document", q.ID, q.Source)
			}
		}
		if q.Vi == q.En || q.Do.Vi == q.Do.En {
			t.Errorf("%s: the two languages say the same text", q.ID)
		}
	}
	if checks != len(d.Readiness()) || checks != 27 {
		t.Errorf("%d checks, want the %d of the reference data", checks, len(d.Readiness()))
	}
	if items < 40 {
		t.Errorf("%d requirements, want at least 40", items)
	}
	for _, official := range d.Readiness() {
		q, found := m.Question(strconv.Itoa(official.ID))
		if !found || q.Vi != official.QuestionVi || q.Section != official.Group {
			t.Errorf("check %d: wording or group is not that of the reference data", official.ID)
		}
	}
	groups := map[int]bool{}
	for _, g := range m.groups {
		groups[g.ID] = true
	}
	for id := range 5 {
		if !groups[id] {
			t.Errorf("status group %d is missing", id)
		}
	}
	if len(m.Sections(Readiness)) != 6 || len(m.Sections(Architecture)) != 5 {
		t.Error("want six groups of checks and five frameworks")
	}
}

func TestMethod_EveryFigureIsUsed(t *testing.T) {
	m, _ := method(t)
	var all strings.Builder
	for _, name := range []string{"method", "groups", "readiness", "architecture", "recommendations", "ranking"} {
		data, err := builtin.ReadFile("data/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	shown := []string{"connected_days", "nodes", "rows", "answers_expired", "calls", "owner_person", "index", "lowest", "tickets_identifier", "gate_song", "gate_thong_nhat", "gate_dung_chung", "coverage_dung_chung"}
	for _, f := range m.figures {
		if !strings.Contains(all.String(), f.name) && !slices.Contains(shown, f.name) {
			t.Errorf("fact %s is read and never used", f.name)
		}
	}
}

func TestLoad_NamesWhatIsWrong(t *testing.T) {
	_, d := method(t)
	base := fstest.MapFS{}
	names, err := fs.Glob(builtin, "data/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := builtin.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		base[strings.TrimPrefix(name, "data/")] = &fstest.MapFile{Data: data}
	}
	if _, err := Load(base, d); err != nil {
		t.Fatalf("the built-in files: %v", err)
	}
	for _, test := range []struct{ name, file, old, new, want string }{
		{"weights", "method.yaml", "id: quality, weight: 35", "id: quality, weight: 36", "add up to 100"},
		{"bands", "method.yaml", "id: 3, from: 54.6", "id: 3, from: 94.6", "bands must go down"},
		{"credits", "method.yaml", "    D: 0.29", "    D: 0.95", "a declaration must earn less"},
		{"deadline", "method.yaml", `"2026-12-31"`, `"soon"`, "not a date"},
		{"unknown key", "method.yaml", "evidence: 80", "evidenze: 80", "evidenze"},
		{"unknown fact in a gate", "method.yaml", "fact: gates,", "fact: gatez,", "there is no fact gatez"},
		{"unknown fact in a check", "readiness.yaml", "fact: legal_basis", "fact: legal_bases", "there is no fact legal_bases"},
		{"unknown fact in a text", "readiness.yaml", "(mới có {shaped})", "(mới có {shapes})", "there is no fact shapes"},
		{"check without an answer", "readiness.yaml", `  - id: "27"`, `  - id: "28"`, "nothing says how to answer"},
		{"words of one language", "architecture.yaml", `en: "Uses the edition of the dictionary in force"`, `en: ""`, "words are missing"},
		{"task", "recommendations.yaml", "task: T08", "task: T99", "there is no task T99"},
		{"part", "recommendations.yaml", `closes: ["check:8"]`, `closes: ["check:88"]`, "there is no part check:88"},
		{"gate", "recommendations.yaml", "gate: differing", "gate: nothing", "there is no gate nothing"},
		{"bound", "groups.yaml", "{fact: state_building, at_least: 1}", "{fact: state_building}", "a condition has no bound"},
		{"database", "published.yaml", "database: land", "database: moon", "there is no such database"},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := fstest.MapFS{}
			for name, file := range base {
				files[name] = file
			}
			changed := strings.Replace(string(base[test.file].Data), test.old, test.new, 1)
			if changed == string(base[test.file].Data) {
				t.Fatalf("%q is not in %s", test.old, test.file)
			}
			files[test.file] = &fstest.MapFile{Data: []byte(changed)}
			_, err := Load(files, d)
			if err == nil || !strings.Contains(err.Error(), test.want) || lienthong.ErrorCode(err) != "assessment.method" {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestUnit_WritesAsPeopleDo(t *testing.T) {
	for _, test := range []struct {
		unit   Unit
		value  float64
		vi, en string
	}{
		{Count, 61234567, "61.234.567", "61,234,567"},
		{Count, 0, "0", "0"},
		{Count, 999, "999", "999"},
		{Percent, 93.14, "93,1 %", "93.1 %"},
		{Percent, 99.99996, "99,9 %", "99.9 %"}, // never rounded up to all
		{Percent, 100, "100 %", "100 %"},
		{Seconds, 0.123, "0,12 giây", "0.12 s"},
		{Seconds, 18000, "18.000 giây", "18,000 s"},
		{Days, 1.9, "1 ngày", "1 day"},
		{Days, -2.5, "−3 ngày", "−3 days"},
		{Hours, 36.4, "36 giờ", "36 hours"},
		{Hours, 960, "40 ngày", "40 days"},
		{Months, 12, "12 tháng", "12 months"},
		{YesNo, 1, "có", "yes"},
		{YesNo, 0, "không", "no"},
		{Level, 4, "cấp 4", "level 4"},
	} {
		if vi, en := test.unit.write(test.value, "vi"), test.unit.write(test.value, "en"); vi != test.vi || en != test.en {
			t.Errorf("%s %v: %q, %q; want %q, %q", test.unit, test.value, vi, en, test.vi, test.en)
		}
	}
}
