package assessment

import (
	"slices"
	"strings"
	"testing"

	"github.com/lienthong/lienthong"
)

func TestRecommendations_EveryRule(t *testing.T) {
	notConnected := func(f *Facts) { f.Connection = Connection{Grade: Measured} }
	rows := []struct {
		rule   string
		change func(*Facts)
		reason string // of the Vietnamese reason: the figure that calls for it
	}{
		{"gate_correct", func(f *Facts) { gate(lienthong.Correct)(f); f.criterion(lienthong.Correct).Broken = 7 }, "1 quy tắc định danh về đúng"},
		{"gate_complete", gate(lienthong.Complete), "ngày thành lập (96 %)"},
		{"gate_clean", gate(lienthong.Clean), "1 quy tắc định danh về sạch"},
		{"differing", func(f *Facts) { f.Connection.Differing = 2 }, "2 tập dữ liệu không khớp"},
		{"breaking", func(f *Facts) { f.Mapping.Drift, f.Mapping.Breaking = 4, 3 }, "3 thay đổi cấu trúc"},
		{"security_dossier", func(f *Facts) { f.Security.Level = 0 }, "cấp 4"},
		{"coverage", func(f *Facts) { f.criterion(lienthong.Live).Coverage = 40 }, "sống 40 %"},
		{"connect", notConnected, "38 ngày"},
		{"finish_building", func(f *Facts) { notConnected(f); f.Register.State, f.Register.Progress = Building, 35 }, "35 %"},
		{"build", func(f *Facts) { notConnected(f); f.Register.State = NotBuilt }, "CSDL quốc gia về đăng ký doanh nghiệp chưa xây dựng"},
		{"connect_rest", func(f *Facts) { f.Connection.Connected = 3 }, "50 %"},
		{"automatic", func(f *Facts) { f.Connection.ByFile = 2 }, "2 trên 6"},
		{"uptime", func(f *Facts) { f.Connection.Uptime = 91.5 }, "91,5 %"},
		{"say_state", func(f *Facts) { f.Register.State = "" }, "không nói thuộc nhóm"},
		{"confirm_register", func(f *Facts) { f.Register.ConfirmedAt = 0 }, "96 %"},
		{"complete_register", func(f *Facts) { f.Register.Completeness = 55 }, "55 %"},
		{"confirm_again", func(f *Facts) { f.Register.ConfirmedAt = noon - 400*microsPerDay }, "400 ngày"},
		{"verify_name", func(f *Facts) { f.Database.Confidence, f.Register.Verified = "C", false }, "CSDL quốc gia về đăng ký doanh nghiệp"},
		{"owner_code", func(f *Facts) { f.Owner.Official = false }, "Bộ Tài chính"},
		{"legal_basis", func(f *Facts) { f.Database.LegalBasis = "" }, "căn cứ pháp lý"},
		{"map_columns", func(f *Facts) { f.Mapping.Mapped = 20 }, "25 % của 80 cột"},
		{"code_lists", func(f *Facts) { f.Mapping.CodedCurrent = 7 }, "70 %"},
		{"drift", func(f *Facts) { f.Mapping.Drift = 6 }, "6 khác biệt"},
		{"correct", value(lienthong.Correct, 71.2), "71,2 %"},
		{"complete", value(lienthong.Complete, 62), "62 %"},
		{"clean", value(lienthong.Clean, 88), "88 %"},
		{"stale", func(f *Facts) { f.Connection.LastChange = noon - 3*microsPerDay }, "300 %"},
		{"slow", func(f *Facts) { f.Connection.LagP99 = 90e9 }, "90 giây"},
		{"interval", func(f *Facts) { f.Connection.Interval = 0 }, "chưa khai chu kỳ"},
		{"quarantine", func(f *Facts) { f.Connection.Quarantined = 4000 }, "4.000 bản ghi (0,2 %)"},
		{"overdue", func(f *Facts) { f.Tickets.Open, f.Tickets.Overdue = 9, 4 }, "4 trên 9"},
		{"tickets", func(f *Facts) { f.Tickets.Open, f.Tickets.Records = 3, 120 }, "120 bản ghi"},
		{"reopened", func(f *Facts) { f.Tickets.Reopened = 16 }, "40 %"},
		{"service", func(f *Facts) { f.Sharing.Services = 0 }, "2.000.000 bản ghi"},
		{"consumer", func(f *Facts) { f.Sharing.Consumers = 0 }, "3 dịch vụ"},
		{"certificate", func(f *Facts) { f.Security.CertificateUntil = noon + 12*microsPerDay }, "12 ngày"},
		{"key", func(f *Facts) { f.Security.KeySince = noon - 500*microsPerDay }, "500 ngày"},
		{"seal", func(f *Facts) { f.Security.SealedFields = 1 }, "25 %"},
		{"backup", func(f *Facts) { f.Security.BackupAt = noon - 21*microsPerDay }, "21 ngày"},
		{"verify_answers", func(f *Facts) {
			f.Answers = []Answer{{Question: "4", Verdict: Yes, State: Answered, At: noon - 1}, {Question: "5", Verdict: Yes, State: Answered, At: noon - 1}}
		}, "2 câu trả lời"},
		{"renew_answers", func(f *Facts) {
			f.Answers = []Answer{{Question: "4", Verdict: Yes, State: Verified, At: noon - 320*microsPerDay}, {Question: "5", Verdict: Yes, State: Verified, At: noon}}
		}, "1 câu trả lời"},
		{"returned_answers", func(f *Facts) { f.Answers = []Answer{{Question: "4", Verdict: Yes, State: Returned, At: noon - 1}} }, "1 câu trả lời"},
	}
	m, _ := method(t)
	find := func(f *Facts, id string) (Recommendation, bool) {
		list := m.Assess(f, noon).Recommendations
		i := slices.IndexFunc(list, func(r Recommendation) bool { return r.ID == id })
		if i < 0 {
			return Recommendation{}, false
		}
		return list[i], true
	}
	covered := map[string]bool{}
	for _, row := range rows {
		covered[row.rule] = true
		f := fine()
		if r, found := find(&f, row.rule); found {
			t.Errorf("%s: the fine database gets it, because %q", row.rule, r.Why.En)
		}
		row.change(&f)
		r, found := find(&f, row.rule)
		switch {
		case !found:
			t.Errorf("%s: missing", row.rule)
		case !strings.Contains(r.Why.Vi, row.reason):
			t.Errorf("%s: the reason %q does not name %q", row.rule, r.Why.Vi, row.reason)
		case r.Do.Vi == r.Do.En || r.Why.Vi == r.Why.En || strings.Contains(r.Why.En+r.Do.En, "{"):
			t.Errorf("%s: %q / %q", row.rule, r.Do, r.Why)
		case r.Task == "" || r.TaskWords.En == "":
			t.Errorf("%s: no task", row.rule)
		}
	}
	for _, rule := range m.rules {
		if !covered[rule.ID] {
			t.Errorf("rule %s has no row in the table", rule.ID)
		}
	}
}

func TestRecommendations_PointsAreWhatIsRegained(t *testing.T) {
	m, _ := method(t)
	broken := fine()
	broken.Mapping.Mapped = 20
	broken.criterion(lienthong.Unified).Value = 40
	before := m.Assess(&broken, noon)
	i := slices.IndexFunc(before.Recommendations, func(r Recommendation) bool { return r.ID == "map_columns" })
	r := before.Recommendations[i]
	mended := broken
	mended.Mapping.Mapped = 80
	mended.Quality = Quality{Grade: Measured, Index: 97, Known: true, Criteria: slices.Clone(broken.Quality.Criteria)}
	mended.criterion(lienthong.Unified).Value = 100
	reread := m.Assess(&mended, noon)
	gained := part(reread, "criterion:thong_nhat").Points - part(before, "criterion:thong_nhat").Points +
		part(reread, "item:A05").Points - part(before, "item:A05").Points
	if !approximately(gained, r.Points) || gained <= 0 {
		t.Errorf("promised %v, regained %v", r.Points, gained)
	}
	if !approximately(r.PerDay, r.Points/((r.From+r.To)/2)) {
		t.Errorf("%v points in %v-%v days are not %v a day", r.Points, r.From, r.To, r.PerDay)
	}
	// More columns are more work.
	wide := broken
	wide.Mapping.Columns, wide.Mapping.Mapped = 400, 100
	other := m.Assess(&wide, noon).Recommendations
	j := slices.IndexFunc(other, func(r Recommendation) bool { return r.ID == "map_columns" })
	if other[j].To <= r.To || other[j].Why == r.Why {
		t.Errorf("60 columns: %v days, 300 columns: %v days", r.To, other[j].To)
	}
}

func part(a *Assessment, id string) Part {
	for _, p := range a.Parts {
		if p.ID == id {
			return p
		}
	}
	return Part{}
}

func TestRecommendations_Order(t *testing.T) {
	f := worst()
	list := assess(t, f).Recommendations
	firsts := true
	for i, r := range list {
		if r.First && !firsts {
			t.Errorf("%s opens a gate and stands behind others", r.ID)
		}
		firsts = firsts && r.First
		if i > 0 && list[i-1].First == r.First && list[i-1].PerDay < r.PerDay {
			t.Errorf("%s regains %v a day and stands behind %v", r.ID, r.PerDay, list[i-1].PerDay)
		}
	}
	if !list[0].First {
		t.Errorf("the worst database begins with %s", list[0].ID)
	}
	// A dossier is first where it holds the band down, and waits its turn where other things do.
	good := fine()
	m, _ := method(t)
	answeredAll(m, &good)
	good.Security.LevelDocument = ""
	good.Answers = slices.DeleteFunc(good.Answers, func(a Answer) bool { return a.Question == "14" })
	if first := assess(t, good).Recommendations[0]; first.ID != "security_dossier" || !first.First {
		t.Errorf("a good database without a dossier begins with %s", first.ID)
	}
	poor := fine()
	bare(&poor)
	for _, r := range assess(t, poor).Recommendations {
		if r.ID == "security_dossier" && r.First {
			t.Error("an unknown database begins with its dossier")
		}
	}
}

func TestRecommendations_CloseEveryGap(t *testing.T) {
	m, d := method(t)
	all := []Facts{fine(), worst()}
	for _, database := range d.Databases() {
		all = append(all, m.Seed(d, database, noon))
	}
	for i := range all {
		a := m.Assess(&all[i], noon)
		closed := map[string]bool{}
		for _, r := range a.Recommendations {
			for _, part := range r.Closes {
				if rule := slices.IndexFunc(m.rules, func(rule Rule) bool { return rule.ID == r.ID }); rule >= 0 {
					for _, opened := range m.rules[rule].Opens {
						closed[opened] = true
					}
				}
				closed[part] = true
			}
		}
		for _, q := range a.Questions {
			copied, _ := m.Question(q.ID)
			if q.Applies && copied.SameAs == "" && q.Verdict != Yes && !closed[q.Part()] {
				t.Errorf("%s: nothing is recommended for %s (%s)", all[i].Database.Code, q.ID, q.Verdict)
			}
		}
	}
}
