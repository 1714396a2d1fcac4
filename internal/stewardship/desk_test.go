package stewardship

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
)

// The people of these tests.
func people() map[string]Person {
	return map[string]Person{
		"lan":   {Name: "lan", Member: "G01", Roles: []Role{Steward}},
		"minh":  {Name: "minh", Member: "G01", Roles: []Role{Owner}},
		"khoa":  {Name: "khoa", Member: "G12", Roles: []Role{Owner, Engineer}},
		"thu":   {Name: "thu", Member: "G06", Roles: []Role{Reviewer}},
		"hoà":   {Name: "hoà", Member: "G06", Roles: []Role{Approver, Steward}},
		"duong": {Name: "duong", Member: "G06", Roles: []Role{Reviewer, Approver, Steward}},
		"an":    {Name: "an", Member: "H49", Roles: []Role{Viewer}},
	}
}

// thing is the content of the items of these tests.
type thing struct {
	Name   string `json:"name,omitempty"`
	Length int    `json:"length,omitempty"`
}

// things is a kind whose content is complete with a name, and breaks when it becomes shorter.
func things() Kind {
	return Kind{
		Name: "thing", Title: Word{"mục thử", "thing"},
		Validate: func(s Subject) []*lienthong.Error {
			var t thing
			if err := json.Unmarshal(s.After, &t); err != nil || t.Name == "" {
				return []*lienthong.Error{{Code: "thing.name", Where: "name", Vi: "chưa có tên", En: "no name"}}
			}
			return nil
		},
		Compare: func(s Subject) []Change {
			changes := CompareJSON(s.Before, s.After)
			var a, b thing
			if json.Unmarshal(s.Before, &a) == nil && json.Unmarshal(s.After, &b) == nil && b.Length < a.Length {
				for i := range changes {
					changes[i].Breaking = changes[i].Where == "length"
				}
			}
			return changes
		},
	}
}

type fixture struct {
	t    *testing.T
	ctx  context.Context
	desk *Desk
	now  time.Time
	who  map[string]Person
	item Item
}

func newFixture(t *testing.T, kinds ...Kind) *fixture {
	t.Helper()
	f := &fixture{t: t, ctx: t.Context(), now: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC), who: people()}
	if len(kinds) == 0 {
		kinds = []Kind{things()}
	}
	desk, err := New(Config{
		Documents: openDocuments(t), Kinds: kinds, Now: func() time.Time { return f.now },
		Deadline: func(from time.Time, days int) (time.Time, error) { return from.AddDate(0, 0, days), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	f.desk = desk
	return f
}

// do takes a step on the latest revision, written "minh submit" or "thu return: wrong length".
func (f *fixture) do(step string) error {
	f.t.Helper()
	f.now = f.now.Add(time.Minute)
	order, note, _ := strings.Cut(step, ": ")
	name, action, _ := strings.Cut(order, " ")
	by, known := f.who[name]
	if !known {
		f.t.Fatalf("nobody is called %s", name)
	}
	o := Order{Kind: "thing", ID: "t1", Revision: f.item.Revision, Action: Action(action), Note: note}
	p := Proposal{Kind: o.Kind, ID: o.ID, Revision: o.Revision, Body: json.RawMessage(`{"name":"a","length":9}`)}
	if strings.HasPrefix(note, "{") {
		p.Body = json.RawMessage(note)
	}
	var item Item
	var err error
	switch o.Action {
	case ToDraft:
		item, err = f.desk.Draft(f.ctx, by, p)
	case ToEdit:
		item, err = f.desk.Edit(f.ctx, by, p)
	case ToSubmit:
		item, err = f.desk.Submit(f.ctx, by, o)
	case ToPublish:
		item, err = f.desk.Publish(f.ctx, by, o)
	case ToWithdraw:
		item, err = f.desk.Withdraw(f.ctx, by, o)
	case ToConsult:
		o.Days = 5
		item, err = f.desk.Decide(f.ctx, by, o)
	case ToComment:
		item, err = f.desk.Comment(f.ctx, by, "thing", "t1", Remark{Text: note})
	default:
		item, err = f.desk.Decide(f.ctx, by, o)
	}
	if err == nil {
		f.item = item
	}
	return err
}

// must takes steps that succeed.
func (f *fixture) must(steps ...string) {
	f.t.Helper()
	for _, step := range steps {
		if err := f.do(step); err != nil {
			f.t.Fatalf("%s: %v", step, err)
		}
	}
}

// refused takes a step that is refused, and changes nothing.
func (f *fixture) refused(step, code string) *lienthong.Error {
	f.t.Helper()
	before := f.item.Revision
	err := f.do(step)
	if got := lienthong.ErrorCode(err); got != code {
		f.t.Fatalf("%s: got %q (%v), want %q", step, got, err, code)
	}
	if before != 0 {
		if v, err := f.desk.Load(f.ctx, "thing", "t1"); err != nil || v.Revision != before {
			f.t.Fatalf("%s: revision %d after a refusal, was %d (%v)", step, v.Revision, before, err)
		}
	}
	var coded *lienthong.Error
	if !errors.As(err, &coded) || coded.Vi == "" || coded.En == "" {
		f.t.Fatalf("%s: %v is not said in both languages", step, err)
	}
	return coded
}

func (f *fixture) comment(name string, r Remark) error {
	f.t.Helper()
	item, err := f.desk.Comment(f.ctx, f.who[name], "thing", "t1", r)
	if err == nil {
		f.item = item
	}
	return err
}

func TestDesk_Paths(t *testing.T) {
	tests := []struct {
		name  string
		steps []string
		last  string // refused with code, or empty
		code  string
		state State
	}{
		{"straight on", []string{"lan draft", "lan submit", "thu review", "hoà approve", "hoà publish"}, "", "", Published},
		{"a colleague submits", []string{"lan draft", "minh submit"}, "", "", Proposed},
		{"returned and submitted again", []string{"lan draft", "lan submit", "thu return: thiếu tên", "lan edit", "lan submit"}, "", "", Proposed},
		{"returned without a reason", []string{"lan draft", "lan submit"}, "thu return", "stewardship.reason", Proposed},
		{"rejected", []string{"lan draft", "lan submit", "thu review", "hoà reject: trùng"}, "", "", Rejected},
		{"rejected without a reason", []string{"lan draft", "lan submit", "thu review"}, "hoà reject", "stewardship.reason", Review},
		{"rejected by the wrong role", []string{"lan draft", "lan submit", "thu review"}, "thu reject: trùng", "stewardship.role", Review},
		{"withdrawn", []string{"lan draft", "lan submit", "minh withdraw: làm lại"}, "", "", Withdrawn},
		{"withdrawn by others", []string{"lan draft", "lan submit"}, "khoa withdraw: sai", "stewardship.own", Proposed},
		{"begun anew after a rejection", []string{"lan draft", "lan submit", "thu review", "hoà reject: trùng", "khoa draft"}, "", "", Draft},
		{"others edit", []string{"lan draft"}, "khoa edit", "stewardship.own", Draft},
		{"others submit", []string{"lan draft"}, "khoa submit", "stewardship.own", Draft},
		{"a viewer drafts", nil, "an draft", "stewardship.role", ""},
		{"a reviewer drafts", nil, "thu draft", "stewardship.role", ""},
		{"drafted twice", []string{"lan draft"}, "khoa draft", "stewardship.open", Draft},
		{"approved without review", []string{"lan draft", "lan submit"}, "hoà approve", "stewardship.transition", Proposed},
		{"published without approval", []string{"lan draft", "lan submit", "thu review"}, "hoà publish", "stewardship.transition", Review},
		{"edited under review", []string{"lan draft", "lan submit", "thu review"}, "lan edit", "stewardship.transition", Review},
		{"edited after approval", []string{"lan draft", "lan submit", "thu review", "hoà approve"}, "lan edit", "stewardship.transition", Approved},
		{"returned after approval", []string{"lan draft", "lan submit", "thu review", "hoà approve", "hoà return: lỗi chính tả"}, "", "", Draft},
		{"published by a reviewer", []string{"lan draft", "lan submit", "thu review", "hoà approve"}, "thu publish", "stewardship.role", Approved},
		{"the author publishes what another approved", []string{"lan draft", "lan submit", "thu review", "hoà approve", "lan publish"}, "", "", Published},
		{"the drafter approves", []string{"duong draft", "duong submit", "thu review"}, "duong approve", "stewardship.four_eyes", Review},
		{"the drafter rejects", []string{"duong draft", "duong submit", "thu review"}, "duong reject: không", "stewardship.four_eyes", Review},
		{"the drafter takes it for review", []string{"duong draft", "duong submit"}, "duong review", "stewardship.four_eyes", Proposed},
		{"who edited a part approves", []string{"hoà draft", "duong edit", "hoà submit", "thu review"}, "duong approve", "stewardship.four_eyes", Review},
		{"who only submitted approves", []string{"hoà draft", "duong submit", "thu review"}, "duong approve", "stewardship.four_eyes", Review},
		{"retired", []string{"lan draft", "lan submit", "thu review", "hoà approve", "hoà publish", "hoà retire: không dùng"}, "", "", Retired},
		{"retired by the owner", []string{"lan draft", "lan submit", "thu review", "hoà approve", "hoà publish"}, "minh retire: không dùng", "stewardship.role", Published},
		{"superseded by hand", []string{"lan draft", "lan submit", "thu review", "hoà approve", "hoà publish"}, "hoà supersede: x", "stewardship.action", Published},
		{"reviewed after publication", []string{"lan draft", "lan submit", "thu review", "hoà approve", "hoà publish"}, "thu review", "stewardship.transition", Published},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			f.must(tt.steps...)
			if tt.last != "" {
				f.refused(tt.last, tt.code)
			}
			if f.item.State != tt.state {
				t.Errorf("state %q, want %q", f.item.State, tt.state)
			}
		})
	}
}

func TestDesk_AnotherSpellingIsTheSamePerson(t *testing.T) {
	f := newFixture(t)
	f.who["hòa"] = Person{Name: "Hòa", Member: "G06", Roles: []Role{Approver}}
	f.who["nfd"] = Person{Name: "hoa\u0300 ", Member: "G06", Roles: []Role{Approver}}
	f.must("hoà draft", "hoà submit", "thu review")
	f.refused("hòa approve", "stewardship.four_eyes")
	f.refused("nfd approve", "stewardship.four_eyes")
	f.must("duong approve")
}

func TestDesk_IncompleteDraftIsSavedAndSubmittedLater(t *testing.T) {
	f := newFixture(t)
	f.must("minh draft: {}")
	v, err := f.desk.Load(f.ctx, "thing", "t1")
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Problems) != 1 || v.Problems[0].Where != "name" {
		t.Errorf("problems of the draft: %v", v.Problems)
	}
	if err := f.refused("minh submit", "stewardship.incomplete"); !errors.Is(err, &lienthong.Error{Code: "thing.name"}) {
		t.Errorf("%v does not name what is missing", err)
	}
	f.must(`minh edit: {"length":3}`)
	f.refused("minh submit", "stewardship.incomplete")
	f.must(`minh edit: {"name":"họ và tên"}`, "minh submit")
	if v, err = f.desk.Load(f.ctx, "thing", "t1"); err != nil || len(v.Problems) != 0 {
		t.Errorf("problems of the proposal: %v, %v", v.Problems, err)
	}
}

func TestDesk_ContentThatCannotBeStored(t *testing.T) {
	f := newFixture(t)
	for _, tt := range []struct{ id, body, code string }{
		{"t1", `{"name":`, "stewardship.json"},
		{"t1", ``, "stewardship.json"},
		{"", `{}`, "stewardship.id"},
		{"T1", `{}`, "stewardship.id"},
		{"t 1", `{}`, "stewardship.id"},
		{strings.Repeat("a", 121), `{}`, "stewardship.id"},
		{"t1", `"` + strings.Repeat("a", 1<<20) + `"`, "stewardship.size"},
	} {
		_, err := f.desk.Draft(f.ctx, f.who["lan"], Proposal{Kind: "thing", ID: tt.id, Body: json.RawMessage(tt.body)})
		if lienthong.ErrorCode(err) != tt.code {
			t.Errorf("id %.10q body %.10q: %v, want %s", tt.id, tt.body, err, tt.code)
		}
	}
	if _, err := f.desk.Draft(f.ctx, f.who["lan"], Proposal{Kind: "nothing", ID: "t1", Body: json.RawMessage(`{}`)}); lienthong.ErrorCode(err) != "stewardship.kind" {
		t.Errorf("unknown kind: %v", err)
	}
	if _, err := f.desk.Submit(f.ctx, f.who["lan"], Order{Kind: "thing", ID: "t1"}); lienthong.ErrorCode(err) != "stewardship.unknown" {
		t.Errorf("unknown item: %v", err)
	}
}

func TestDesk_VersionsAndReleases(t *testing.T) {
	f := newFixture(t)
	round := []string{"lan submit", "thu review", "hoà approve", "hoà publish"}
	release := func(draft string) {
		f.t.Helper()
		f.must(append([]string{draft}, round...)...)
	}
	release(`lan draft: {"name":"a","length":9}`)
	release(`lan draft: {"name":"b","length":9}`)
	release(`lan draft: {"name":"b","length":4}`) // shorter: breaks
	f.must("hoà retire: bỏ")
	if f.item.InForce != nil {
		t.Error("a retired item is in force")
	}
	release(`lan draft: {"name":"b","length":4}`)
	var got []string
	for _, r := range f.item.Releases {
		got = append(got, fmt.Sprintf("%s %s %d by %s approved %s until=%t", r.Version, r.State, len(r.Changes), r.By, r.Approved, r.Until != 0))
	}
	want := []string{
		"1.0 superseded 2 by hoà approved hoà until=true",
		"1.1 superseded 1 by hoà approved hoà until=true",
		"2.0 retired 1 by hoà approved hoà until=true",
		"2.1 published 2 by hoà approved hoà until=false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if r, ok := f.item.Release(); !ok || r.Version != (Version{2, 1}) || f.item.InForceVersion != r.Version {
		t.Errorf("in force: %v %v, %v", r.Version, ok, f.item.InForceVersion)
	}
}

func TestDesk_MajorOnRequest(t *testing.T) {
	f := newFixture(t)
	f.must("lan draft", "lan submit", "thu review", "hoà approve", "hoà publish")
	item, err := f.desk.Draft(f.ctx, f.who["lan"], Proposal{Kind: "thing", ID: "t1", Revision: f.item.Revision, Major: true, Body: json.RawMessage(`{"name":"b"}`)})
	if err != nil || item.Version != (Version{2, 0}) {
		t.Errorf("version %s, %v", item.Version, err)
	}
}

func TestDesk_InForceWhileTheNextOneFails(t *testing.T) {
	f := newFixture(t)
	f.must("lan draft", "lan submit", "thu review", "hoà approve", "hoà publish")
	f.must(`khoa draft: {"name":"khác"}`, "khoa submit", "thu review", "hoà reject: không cần")
	if r, ok := f.item.Release(); !ok || r.Version != (Version{1, 0}) || !strings.Contains(string(f.item.InForce), `"a"`) {
		t.Errorf("in force after a rejection: %v %s", r, f.item.InForce)
	}
	items, err := f.desk.List(f.ctx, Filter{Kind: "thing", InForce: true})
	if err != nil || len(items) != 1 {
		t.Errorf("in force: %v %v", items, err)
	}
}

func TestDesk_ConflictingSteps(t *testing.T) {
	f := newFixture(t)
	f.must("lan draft")
	seen := f.item.Revision
	f.must(`minh edit: {"name":"b"}`)
	if _, err := f.desk.Edit(f.ctx, f.who["lan"], Proposal{Kind: "thing", ID: "t1", Revision: seen, Body: json.RawMessage(`{}`)}); lienthong.ErrorCode(err) != lienthong.CodeDocumentConflict {
		t.Errorf("edit of an old revision: %v", err)
	}
	if _, err := f.desk.Submit(f.ctx, f.who["lan"], Order{Kind: "thing", ID: "t1", Revision: seen}); lienthong.ErrorCode(err) != lienthong.CodeDocumentConflict {
		t.Errorf("submission of an old revision: %v", err)
	}
	if _, err := f.desk.Draft(f.ctx, f.who["lan"], Proposal{Kind: "thing", ID: "t1", Body: json.RawMessage(`{}`)}); lienthong.ErrorCode(err) != lienthong.CodeDocumentConflict {
		t.Errorf("a second first draft: %v", err)
	}
}

// Of many who decide at once on the same revision exactly one does; all comments arrive.
func TestDesk_ManyAtOnce(t *testing.T) {
	f := newFixture(t)
	f.must("lan draft", "lan submit")
	const each = 6
	var wg sync.WaitGroup
	errs := make(chan error, 2*each)
	for n := range each {
		wg.Go(func() {
			_, err := f.desk.Decide(f.ctx, f.who["thu"], Order{Kind: "thing", ID: "t1", Revision: f.item.Revision, Action: ToReview})
			errs <- err
		})
		wg.Go(func() {
			// Fewer meet than attempts are made: each conflict is a step that somebody else has taken.
			if _, err := f.desk.Comment(f.ctx, f.who["khoa"], "thing", "t1", Remark{Text: fmt.Sprintf("góp ý %d", n)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(errs)
	done := 0
	for err := range errs {
		switch code := lienthong.ErrorCode(err); code {
		case "":
			done++
		case lienthong.CodeDocumentConflict, "stewardship.transition":
		default:
			t.Error(err)
		}
	}
	v, err := f.desk.Load(f.ctx, "thing", "t1")
	if err != nil {
		t.Fatal(err)
	}
	if done > 1 || (done == 1) != (v.State == Review) {
		t.Errorf("%d reviews were taken, state %s", done, v.State)
	}
	if len(v.Comments) != each {
		t.Errorf("%d of %d comments arrived", len(v.Comments), each)
	}
	for i, c := range v.Comments {
		if c.ID != i+1 {
			t.Errorf("comment %d has number %d", i+1, c.ID)
		}
	}
}

func TestDesk_History(t *testing.T) {
	f := newFixture(t)
	f.must(`lan draft: {"name":"a"}`, `minh edit: {"name":"b"}`, "lan submit", "thu return: thiếu định nghĩa", "lan submit", "thu review", "thu comment: được", "hoà approve: đủ", "hoà publish: kỳ tháng 11")
	steps, err := f.desk.History(f.ctx, "thing", "t1")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, s := range steps {
		if s.Revision != int64(i+1) || s.At == 0 {
			t.Errorf("step %d has revision %d at %d", i, s.Revision, s.At)
		}
		got = append(got, fmt.Sprintf("%s(%s) %s: %s>%s %s %d %q", s.Actor, s.Role, s.Action, s.From, s.To, s.Version, len(s.Changes), s.Note))
	}
	want := []string{
		`lan(steward) draft: >draft 1.0 1 ""`,
		`minh(owner) edit: draft>draft 1.0 1 ""`,
		`lan(steward) submit: draft>proposed 1.0 0 ""`,
		`thu(reviewer) return: proposed>draft 1.0 0 "thiếu định nghĩa"`,
		`lan(steward) submit: draft>proposed 1.0 0 ""`,
		`thu(reviewer) review: proposed>review 1.0 0 ""`,
		`thu(reviewer) comment: review>review 1.0 0 ""`,
		`hoà(approver) approve: review>approved 1.0 0 "đủ"`,
		`hoà(approver) publish: approved>published 1.0 0 "kỳ tháng 11"`,
	}
	// The notes of drafts are the content in these tests.
	for i := range got {
		got[i] = strings.NewReplacer(`"{\"name\":\"a\"}"`, `""`, `"{\"name\":\"b\"}"`, `""`).Replace(got[i])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDesk_ImpactAndPermitAndHooks(t *testing.T) {
	uses := []Use{
		{Dataset: lienthong.DatasetID{Database: "population", Name: "person"}, Database: "population", Owner: "G01", Field: "full_name", Columns: []string{"ho_ten"}, Breaking: true},
		{Dataset: lienthong.DatasetID{Database: "health", Name: "patient"}, Database: "health", Owner: "G18", Field: "full_name"},
	}
	var published []string
	changed := 0
	k := things()
	k.Impact = func(context.Context, Subject) (Impact, error) { return Impact{Uses: uses, Breaking: true}, nil }
	k.Permit = func(by Person, s Subject) error {
		if by.Member != "G01" {
			return &lienthong.Error{Code: "thing.foreign", Vi: "của cơ quan khác", En: "of another organisation"}
		}
		return nil
	}
	k.Published = func(_ context.Context, s Subject, v Version) error {
		published = append(published, fmt.Sprintf("%s %s %t", s.ID, v, s.After != nil))
		return nil
	}
	k.Changed = func(string) { changed++ }
	f := newFixture(t, k)
	f.refused("khoa draft", "thing.foreign")
	f.must("lan draft", "lan submit", "thu review", "hoà approve", "hoà publish")
	if changed != 5 {
		t.Errorf("%d steps were announced, want 5", changed)
	}
	v, err := f.desk.Load(f.ctx, "thing", "t1")
	if err != nil {
		t.Fatal(err)
	}
	want := Word{"2 tập dữ liệu của 2 cơ sở dữ liệu sử dụng. 1 cơ sở dữ liệu phải thay đổi.", "Used by 2 datasets of 2 databases. 1 database must change something."}
	if diff := cmp.Diff(want, v.Impact.Sentence()); diff != "" {
		t.Error(diff)
	}
	f.refused("hoà retire: bỏ", "stewardship.in_use")
	uses = nil
	f.must("hoà retire: bỏ")
	if diff := cmp.Diff([]string{"t1 1.0 true", "t1 0.0 false"}, published); diff != "" {
		t.Error(diff)
	}
}

func TestDesk_List(t *testing.T) {
	other := things()
	other.Name = "other"
	f := newFixture(t, things(), other)
	draft := func(who, kind, id string) {
		f.t.Helper()
		f.now = f.now.Add(time.Minute)
		if _, err := f.desk.Draft(f.ctx, f.who[who], Proposal{Kind: kind, ID: id, Body: json.RawMessage(`{"name":"x"}`)}); err != nil {
			t.Fatal(err)
		}
	}
	draft("lan", "thing", "t1")
	draft("khoa", "thing", "t2")
	draft("duong", "other", "t3")
	if _, err := f.desk.Submit(f.ctx, f.who["khoa"], Order{Kind: "thing", ID: "t2", Revision: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.desk.Submit(f.ctx, f.who["duong"], Order{Kind: "other", ID: "t3", Revision: 1}); err != nil {
		t.Fatal(err)
	}
	person := func(name string) *Person { p := f.who[name]; return &p }
	for _, tt := range []struct {
		name string
		f    Filter
		want []string
	}{
		{"all, latest first", Filter{}, []string{"t2", "t3", "t1"}},
		{"kind", Filter{Kind: "other"}, []string{"t3"}},
		{"state", Filter{State: Draft}, []string{"t1"}},
		{"member", Filter{Member: "G12"}, []string{"t2"}},
		{"author", Filter{Author: "LAN"}, []string{"t1"}},
		{"waiting for the reviewer", Filter{Waiting: person("thu")}, []string{"t2", "t3"}},
		{"the author of one of them", Filter{Waiting: person("duong")}, []string{"t2", "t3"}}, // may return t3, not review it
		{"waiting for its author", Filter{Waiting: person("minh")}, []string{"t1"}},
		{"waiting for a viewer", Filter{Waiting: person("an")}, nil},
		{"in force", Filter{InForce: true}, nil},
	} {
		items, err := f.desk.List(f.ctx, tt.f)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range items {
			got = append(got, i.ID)
		}
		slices.Sort(got)
		slices.Sort(tt.want)
		if tt.name == "all, latest first" && items[0].ID == "t1" {
			t.Error("the oldest stands first")
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	if _, err := f.desk.List(f.ctx, Filter{Kind: "nothing"}); lienthong.ErrorCode(err) != "stewardship.kind" {
		t.Errorf("unknown kind: %v", err)
	}
}

// What came with the program is published from the beginning, and its versions go on from there.
func TestDesk_ExistingItems(t *testing.T) {
	k := things()
	k.Existing = func(id string) (json.RawMessage, Version, bool) {
		return json.RawMessage(`{"name":"a","length":9}`), Version{3, 1}, id == "t1"
	}
	f := newFixture(t, k)
	v, err := f.desk.Load(f.ctx, "thing", "t1")
	if err != nil || v.State != Published || v.Revision != 0 || v.InForceVersion != (Version{3, 1}) {
		t.Fatalf("%+v %v", v.Item, err)
	}
	if _, err := f.desk.Load(f.ctx, "thing", "t2"); lienthong.ErrorCode(err) != "stewardship.unknown" {
		t.Errorf("what did not come with it: %v", err)
	}
	f.must(`lan draft: {"name":"b","length":4}`, "lan submit", "thu review", "hoà approve", "hoà publish")
	var got []string
	for _, r := range f.item.Releases {
		got = append(got, fmt.Sprintf("%s %s %s %t", r.Version, r.State, r.By, r.Until != 0))
	}
	if diff := cmp.Diff([]string{"3.1 superseded platform true", "4.0 published hoà false"}, got); diff != "" {
		t.Error(diff)
	}
	f = newFixture(t, k)
	f.must("hoà retire: không dùng")
	if f.item.InForce != nil || f.item.State != Retired {
		t.Errorf("retired: %+v", f.item)
	}
	f = newFixture(t, k)
	if err := f.comment("thu", Remark{Text: "nên ngắn lại"}); err != nil || f.item.State != Published || f.item.Revision != 1 {
		t.Errorf("a comment: %+v %v", f.item, err)
	}
}
