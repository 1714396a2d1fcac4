package stewardship

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
)

func TestComment_RequestsHoldUpApproval(t *testing.T) {
	f := newFixture(t)
	f.must("lan draft", "lan submit", "thu review")
	for _, tt := range []struct {
		who  string
		r    Remark
		code string
	}{
		{"an", Remark{Text: "xem"}, "stewardship.role"},
		{"khoa", Remark{Text: "  "}, "stewardship.reason"},
		{"khoa", Remark{Text: "sửa đi", Change: true}, "stewardship.role"},
		{"khoa", Remark{Text: "trả lời", Answers: 7}, "stewardship.no_comment"},
		{"khoa", Remark{Text: strings.Repeat("ă", 4001)}, "stewardship.long"},
		{"khoa", Remark{Text: "đồng tình"}, ""},
		{"duong", Remark{Text: "độ dài phải là 12", Where: "length", Change: true}, ""},
		{"lan", Remark{Text: "sẽ sửa", Answers: 2}, ""},
	} {
		if err := f.comment(tt.who, tt.r); lienthong.ErrorCode(err) != tt.code {
			t.Fatalf("%s %.20q: %v, want %q", tt.who, tt.r.Text, err, tt.code)
		}
	}
	f.refused("hoà approve", "stewardship.requests")
	resolve := func(who string, id int, code string) {
		t.Helper()
		item, err := f.desk.Resolve(f.ctx, f.who[who], "thing", "t1", id, "đã sửa")
		if lienthong.ErrorCode(err) != code {
			t.Fatalf("%s resolves %d: %v, want %q", who, id, err, code)
		}
		if err == nil {
			f.item = item
		}
	}
	// The request survives a way through a draft, also when the version's number changes.
	f.must("thu return: xem góp ý", `lan edit: {"name":"a","length":12}`, "lan submit", "thu review")
	f.refused("hoà approve", "stewardship.requests")
	resolve("lan", 2, "stewardship.role")
	resolve("khoa", 2, "stewardship.role")
	resolve("thu", 9, "stewardship.no_comment")
	resolve("thu", 2, "")
	resolve("thu", 2, "stewardship.resolved")
	resolve("khoa", 1, "") // one's own
	f.must("hoà approve", "hoà publish")
	if err := f.comment("thu", Remark{Text: "sửa", Change: true}); lienthong.ErrorCode(err) != "stewardship.transition" {
		t.Errorf("a change was asked of a published version: %v", err)
	}
	// What was asked of one proposal does not hold up the next one.
	f.must(`lan draft: {"name":"b"}`, "lan submit", "thu review")
	if err := f.comment("thu", Remark{Text: "không cần", Change: true}); err != nil {
		t.Fatal(err)
	}
	f.must("hoà reject: không cần", `lan draft: {"name":"c"}`)
	if open := f.item.OpenRequests(); len(open) != 0 {
		t.Errorf("open requests of a new draft: %v", open)
	}
}

func TestComment_RequestSurvivesARisingVersion(t *testing.T) {
	f := newFixture(t)
	f.must("lan draft", "lan submit", "thu review", "hoà approve", "hoà publish", `lan draft: {"name":"b","length":9}`, "lan submit", "thu review")
	if err := f.comment("thu", Remark{Text: "ngắn lại", Change: true}); err != nil {
		t.Fatal(err)
	}
	f.must("thu return: sửa", `lan edit: {"name":"b","length":3}`, "lan submit", "thu review")
	if f.item.Version != (Version{2, 0}) {
		t.Fatalf("version %s", f.item.Version)
	}
	f.refused("hoà approve", "stewardship.requests")
}

func TestResolve_NotByWhoWroteTheProposal(t *testing.T) {
	f := newFixture(t)
	f.must("duong draft", "duong submit", "thu review")
	if err := f.comment("thu", Remark{Text: "sai", Change: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.desk.Resolve(f.ctx, f.who["duong"], "thing", "t1", 1, "xong"); lienthong.ErrorCode(err) != "stewardship.four_eyes" {
		t.Errorf("the author resolved it: %v", err)
	}
}

func TestConsultation(t *testing.T) {
	k := things()
	k.Consult = true
	f := newFixture(t, k)
	f.must("lan draft", "lan submit", "thu review")
	f.refused("hoà approve", "stewardship.consultation_needed")
	opine := func(who string, verdict Verdict, text, code string) {
		t.Helper()
		item, err := f.desk.Opine(f.ctx, f.who[who], "thing", "t1", verdict, text)
		if lienthong.ErrorCode(err) != code {
			t.Fatalf("%s %s: %v, want %q", who, verdict, err, code)
		}
		if err == nil {
			f.item = item
		}
	}
	opine("khoa", Agree, "", "stewardship.no_consultation")
	order := Order{Kind: "thing", ID: "t1", Revision: f.item.Revision, Action: ToConsult, Days: 0}
	if _, err := f.desk.Decide(f.ctx, f.who["thu"], order); lienthong.ErrorCode(err) != "stewardship.days" {
		t.Errorf("a consultation of no days: %v", err)
	}
	order.Days, order.Invited = 5, []lienthong.MemberCode{"G12", "G06", "G12"}
	item, err := f.desk.Decide(f.ctx, f.who["thu"], order)
	if err != nil {
		t.Fatal(err)
	}
	f.item = item
	opine("minh", Agree, "", "stewardship.not_invited")
	opine("an", Agree, "", "stewardship.role")
	opine("khoa", Disagree, "", "stewardship.reason")
	opine("khoa", "maybe", "x", "stewardship.verdict")
	opine("khoa", Disagree, "trùng với mã số thuế", "")
	f.refused("thu conclude", "stewardship.consultation")
	f.refused("hoà approve: đã giải trình", "stewardship.consultation")
	opine("duong", AgreeWithRemarks, "nên thêm định nghĩa", "")
	// Everybody invited has answered: no need to wait for the date.
	f.refused("hoà approve", "stewardship.opposed")
	opine("khoa", Disagree, "vẫn trùng", "")
	round, _ := f.item.Round()
	if len(round.Opinions) != 2 || len(round.Missing()) != 0 {
		t.Errorf("opinions %v, missing %v", round.Opinions, round.Missing())
	}
	f.must("hoà approve: đã giải trình với G12")
	if round, ran := f.item.Round(); !ran || round.EndedAt == 0 {
		t.Errorf("the consultation did not end: %+v", round)
	}
}

func TestConsultation_WaitsForTheDate(t *testing.T) {
	k := things()
	k.Consult = true
	f := newFixture(t, k)
	f.must("lan draft", "lan submit", "thu review", "thu consult")
	f.refused("hoà approve", "stewardship.consultation")
	f.now = f.now.AddDate(0, 0, 6)
	if _, err := f.desk.Opine(f.ctx, f.who["khoa"], "thing", "t1", Agree, ""); lienthong.ErrorCode(err) != "stewardship.consultation_closed" {
		t.Errorf("an opinion after the date: %v", err)
	}
	f.must("thu conclude", "hoà approve")
	// What is submitted anew is consulted anew.
	f.must("hoà return: sai tên", "lan submit", "thu review")
	f.refused("hoà approve", "stewardship.consultation_needed")
}

func TestConsultation_NeedsACalendar(t *testing.T) {
	f := newFixture(t)
	f.desk.config.Deadline = nil
	f.must("lan draft", "lan submit", "thu review")
	f.refused("thu consult", "stewardship.calendar")
}

// The life cycle as it was agreed: who may do what, in every state. A change here is a decision.
func TestAllowed_EveryRoleInEveryState(t *testing.T) {
	authors, readers := []Role{Owner, Steward, Engineer}, []Role{Reviewer, Approver}
	want := map[State]map[Action][]Role{
		"":        {ToDraft: authors},
		Draft:     {ToEdit: authors, ToSubmit: authors, ToWithdraw: authors},
		Proposed:  {ToReview: readers, ToReturn: readers, ToWithdraw: authors},
		Review:    {ToConsult: readers, ToReturn: readers, ToApprove: {Approver}, ToReject: {Approver}, ToWithdraw: authors},
		Consult:   {ToConclude: readers, ToReturn: readers, ToApprove: {Approver}, ToReject: {Approver}, ToWithdraw: authors},
		Approved:  {ToReturn: {Approver}, ToPublish: {Approver, Steward}, ToWithdraw: authors},
		Published: {ToDraft: authors, ToRetire: {Approver}},
		Rejected:  {ToDraft: authors}, Withdrawn: {ToDraft: authors}, Retired: {ToDraft: authors}, Superseded: {},
	}
	states := []State{""}
	for _, s := range States() {
		states = append(states, s.State)
	}
	for _, state := range states {
		for _, action := range Actions() {
			for _, role := range Roles() {
				item := Item{State: state, Member: "G01", Authors: []Account{{Name: "somebody else"}}}
				may := false
				for _, r := range want[state][action.Action] {
					may = may || r == role.Role
				}
				as, err := allowed(&item, Person{Name: "p", Member: "G01", Roles: []Role{role.Role}}, action.Action, "why")
				if (err == nil) != may {
					t.Errorf("%s by %s in %q: %v, want allowed %t", action.Action, role.Role, state, err, may)
				}
				if err == nil && as != role.Role {
					t.Errorf("%s by %s in %q is recorded as %s", action.Action, role.Role, state, as)
				}
			}
		}
	}
	for _, row := range Transitions() {
		if row.Action == ToApprove && !row.FourEyes {
			t.Errorf("approval from %s needs four eyes", row.From)
		}
		if (row.Action == ToReturn || row.Action == ToReject || row.Action == ToWithdraw || row.Action == ToRetire) && !row.Comment {
			t.Errorf("%s from %s needs a reason", row.Action, row.From)
		}
		if (row.Action == ToEdit || row.Action == ToSubmit || row.Action == ToWithdraw) && !row.Own {
			t.Errorf("%s from %s is open to other organisations", row.Action, row.From)
		}
	}
}

func TestOffers(t *testing.T) {
	f := newFixture(t)
	f.must("duong draft", "duong submit", "thu review")
	got := map[Action]string{}
	for _, o := range f.item.Offers(f.who["duong"]) {
		got[o.Action] = "may"
		if o.Refused != nil {
			got[o.Action] = o.Refused.Code
		}
	}
	want := map[Action]string{
		ToConsult: "may", ToReturn: "may", ToWithdraw: "may",
		ToApprove: "stewardship.four_eyes", ToReject: "stewardship.four_eyes",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWords_AreThereInBothLanguages(t *testing.T) {
	var words []Word
	for _, w := range States() {
		words = append(words, w.Word, w.State.Word())
	}
	for _, w := range Actions() {
		words = append(words, w.Word, w.Action.Word())
	}
	for _, w := range Roles() {
		words = append(words, w.Word, w.Role.Word())
	}
	for _, w := range Verdicts() {
		words = append(words, w.Word)
	}
	for _, w := range words {
		if w.Vi == "" || w.En == "" || w.Vi == w.En {
			t.Errorf("%+v lacks a language", w)
		}
	}
	for _, row := range Transitions() {
		if row.Action.Word().Vi == string(row.Action) || row.To.Word().Vi == string(row.To) {
			t.Errorf("%+v has no words", row)
		}
	}
}

func TestCompareJSON(t *testing.T) {
	for _, tt := range []struct {
		name, before, after string
		want                []string
	}{
		{"equal, other order and spaces", `{"a":1,"b":"x"}`, `{ "b":"x", "a":1 }`, nil},
		{"a large number is not rounded", `{"a":9007199254740993}`, `{"a":9007199254740992}`, []string{"a: 9007199254740993 > 9007199254740992"}},
		{"new", ``, `{"a":1,"b":{"c":"d"},"e":[]}`, []string{"a:  > 1", `b:  > {"c":"d"}`}},
		{"inside", `{"a":{"b":1,"c":2}}`, `{"a":{"b":1,"c":3}}`, []string{"a.c: 2 > 3"}},
		{"list by name", `{"d":[{"name":"x","v":1},{"name":"y","v":1}]}`, `{"d":[{"name":"y","v":1},{"name":"x","v":2}]}`, []string{"d.x.v: 1 > 2"}},
		{"list of plain values", `{"d":[1,2]}`, `{"d":[2,1]}`, []string{"d: [1,2] > [2,1]"}},
		{"type", `{"a":{"b":1}}`, `{"a":"b"}`, []string{`a: {"b":1} > b`}},
		{"empty and missing are the same", `{"a":"","b":[],"c":{}}`, `{}`, nil},
	} {
		var got []string
		for _, c := range CompareJSON([]byte(tt.before), []byte(tt.after)) {
			got = append(got, c.Where+": "+c.Before+" > "+c.After)
			if c.Vi == "" || c.En == "" {
				t.Errorf("%s: no words", tt.name)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestVersion(t *testing.T) {
	for _, text := range []string{"0.1", "1.0", "12.34"} {
		var v Version
		if err := v.UnmarshalText([]byte(text)); err != nil || v.String() != text {
			t.Errorf("%s: %s, %v", text, v, err)
		}
	}
	for _, text := range []string{"", "1", "1.", ".1", "-1.0", "1.x", "1.0.0"} {
		var v Version
		if err := v.UnmarshalText([]byte(text)); lienthong.ErrorCode(err) != "stewardship.version" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestRound_Over(t *testing.T) {
	at := time.Date(2026, 11, 9, 17, 0, 0, 0, time.UTC).UnixMicro()
	open := Round{ClosesAt: at, Invited: []lienthong.MemberCode{"G01"}}
	answered := Round{ClosesAt: at, Invited: []lienthong.MemberCode{"G01"}, Opinions: []Opinion{{Member: "G01"}}}
	everybody := Round{ClosesAt: at, Opinions: []Opinion{{Member: "G01"}}}
	for _, tt := range []struct {
		name string
		r    Round
		at   int64
		want bool
	}{
		{"before", open, at - 1, false},
		{"at the date", open, at, true},
		{"answered", answered, at - 1, true},
		{"everybody is asked: never before the date", everybody, at - 1, false},
	} {
		if got := tt.r.Over(tt.at); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

func FuzzVersion(f *testing.F) {
	f.Add("1.0")
	f.Add("0.99")
	f.Add("1.0.0")
	f.Fuzz(func(t *testing.T, text string) {
		var v, again Version
		if v.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(v.String())); err != nil || again != v {
			t.Errorf("%q: %v, %v, %v", text, v, again, err)
		}
	})
}

func FuzzCompareJSON(f *testing.F) {
	f.Add(`{"a":[{"id":"x"}]}`, `{"a":[{"id":"y"}]}`)
	f.Add(`[]`, `{"a":null}`)
	f.Fuzz(func(t *testing.T, a, b string) {
		if same := CompareJSON([]byte(a), []byte(a)); len(same) != 0 {
			t.Errorf("%q differs from itself: %v", a, same)
		}
		there, back := CompareJSON([]byte(a), []byte(b)), CompareJSON([]byte(b), []byte(a))
		if len(there) != len(back) {
			t.Errorf("%q and %q: %d there, %d back", a, b, len(there), len(back))
		}
	})
}
