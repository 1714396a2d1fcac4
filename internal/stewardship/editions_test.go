package stewardship

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// office is a desk for the dictionary.
type office struct {
	t        *testing.T
	ctx      context.Context
	desk     *Desk
	editions *Editions
}

func (o *office) element(id string) *dictionary.Element {
	o.t.Helper()
	e, found := o.editions.Current().Element(id)
	if !found {
		o.t.Fatalf("no element %s", id)
	}
	return e
}

const personYAML = `
dataset: population.person
title_vi: Công dân
title_en: Citizens
table: cong_dan
identity: [personal_number]
columns:
  - {column: so_dinh_danh, element: person.number}
  - {columns: [ho_dem, ten], element: person.full_name, transforms: [collapse]}
`

const patientYAML = `
dataset: health_record.patient
title_vi: Người bệnh
title_en: Patients
table: benh_nhan
identity: [personal_number]
columns:
  - {column: cccd, element: person.number}
  - {column: ho_ten, element: person.full_name}
`

// builtin reads the dictionary once for all tests: it never changes.
var builtin = sync.OnceValues(dictionary.Builtin)

func newOffice(t *testing.T) *office {
	t.Helper()
	base, err := builtin()
	if err != nil {
		t.Fatal(err)
	}
	var definitions []*dictionary.Definition
	for _, text := range []string{personYAML, patientYAML} {
		def, err := dictionary.ParseDefinition("x.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		definitions = append(definitions, def)
	}
	o := &office{t: t, ctx: t.Context(), editions: NewEditions(base, func() []*dictionary.Definition { return definitions })}
	now := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	o.desk, err = New(Config{
		Documents: openDocuments(t), Kinds: o.editions.Kinds(), Now: func() time.Time { now = now.AddDate(0, 0, 1); return now },
		Deadline: func(from time.Time, _ int) (time.Time, error) { return from.Add(time.Minute), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func steward(member lienthong.MemberCode) Person {
	return Person{Name: "lan", Member: member, Roles: []Role{Steward}}
}

// draft saves a proposal of an element that a function changes.
func (o *office) draft(kind, id string, change func(map[string]any)) (Item, error) {
	o.t.Helper()
	p := Proposal{Kind: kind, ID: id}
	content := map[string]any{}
	if v, err := o.desk.Load(o.ctx, kind, id); err == nil {
		p.Revision = v.Revision
		if err := json.Unmarshal(v.Body, &content); err != nil {
			o.t.Fatal(err)
		}
	}
	change(content)
	body, err := json.Marshal(content)
	if err != nil {
		o.t.Fatal(err)
	}
	p.Body = body
	return o.desk.Draft(o.ctx, steward("G01"), p)
}

// publish takes a draft through review and consultation.
func (o *office) publish(item Item) Item {
	o.t.Helper()
	other := Person{Name: "thu", Member: "G06", Roles: []Role{Reviewer, Approver}}
	var err error
	order := func(action Action) Order {
		return Order{Kind: item.Kind, ID: item.ID, Revision: item.Revision, Action: action, Days: 1}
	}
	if item, err = o.desk.Submit(o.ctx, steward(item.Member), order("")); err != nil {
		o.t.Fatal(err)
	}
	for _, action := range []Action{ToReview, ToConsult, ToApprove} {
		if item, err = o.desk.Decide(o.ctx, other, order(action)); err != nil {
			o.t.Fatal(err)
		}
	}
	if item, err = o.desk.Publish(o.ctx, other, order("")); err != nil {
		o.t.Fatal(err)
	}
	return item
}

func TestEditions_AnElementFromProposalToEdition(t *testing.T) {
	o := newOffice(t)
	before := o.element("person.full_name")
	item, err := o.draft(ElementKind, "person.full_name", func(c map[string]any) { c["context_vi"] = "Dùng trong mọi thủ tục." })
	if err != nil {
		t.Fatal(err)
	}
	view, err := o.desk.Load(o.ctx, ElementKind, "person.full_name")
	if err != nil {
		t.Fatal(err)
	}
	if len(view.Problems) != 0 || len(view.Changes) != 1 || view.Changes[0].Breaking {
		t.Errorf("problems %v, changes %+v", view.Problems, view.Changes)
	}
	var uses []string
	for _, u := range view.Impact.Uses {
		uses = append(uses, fmt.Sprintf("%s %s %s %s %t", u.Dataset, u.Owner, u.Field, strings.Join(u.Columns, "+"), u.Breaking))
	}
	want := []string{
		"population.person G01 full_name ho_dem+ten false", "health_record.patient G18 full_name ho_ten false",
	}
	if diff := cmp.Diff(want, uses); diff != "" {
		t.Error(diff)
	}
	item = o.publish(item)
	after := o.element("person.full_name")
	if after.ContextVi != "Dùng trong mọi thủ tục." || after.Version.Major != before.Version.Major || after.Version.Minor != before.Version.Minor+1 {
		t.Errorf("in the edition: %q %s, before %s", after.ContextVi, after.Version, before.Version)
	}
	if item.Version.String() != after.Version.String() {
		t.Errorf("the item is %s and the element %s", item.Version, after.Version)
	}

	// A second publication counts on, in the item and in the edition.
	if item, err = o.draft(ElementKind, "person.full_name", func(c map[string]any) { c["context_vi"] = "Dùng khi cấp giấy tờ." }); err != nil {
		t.Fatal(err)
	}
	item = o.publish(item)
	if after = o.element("person.full_name"); item.Version.String() != after.Version.String() || after.Version.Minor != before.Version.Minor+2 {
		t.Errorf("after two publications the item is %s and the element %s", item.Version, after.Version)
	}

	// A hub that starts anew arrives at the same edition.
	base, _ := builtin()
	again := NewEditions(base, nil)
	if unfit, err := again.Load(o.ctx, o.desk); err != nil || len(unfit) > 0 {
		t.Fatal(err)
	}
	if e, _ := again.Current().Element("person.full_name"); e.Version != after.Version || e.ContextVi != after.ContextVi || again.Current().Edition() != o.editions.Current().Edition() {
		t.Errorf("after a restart: %s of %+v", e.Version, again.Current().Edition())
	}

	// What breaks is a major version, and says for whom.
	if _, err = o.draft(ElementKind, "person.full_name", func(c map[string]any) { c["max_length"] = 5 }); err != nil {
		t.Fatal(err)
	}
	if view, err = o.desk.Load(o.ctx, ElementKind, "person.full_name"); err != nil {
		t.Fatal(err)
	}
	if view.Version.Major != before.Version.Major+1 || !view.Impact.Breaking || !view.Impact.Uses[0].Breaking {
		t.Errorf("a shorter element: version %s, %+v", view.Version, view.Impact)
	}
}

func TestEditions_ANewElementAndItsRetirement(t *testing.T) {
	o := newOffice(t)
	item, err := o.draft(ElementKind, "person.shoe_size", func(c map[string]any) { c["id"], c["name"] = "person.shoe_size", "shoe_size" })
	if err != nil {
		t.Fatal(err)
	}
	view, err := o.desk.Load(o.ctx, ElementKind, "person.shoe_size")
	if err != nil || len(view.Problems) == 0 {
		t.Fatalf("an incomplete element has no problems: %v", err)
	}
	if _, err := o.desk.Submit(o.ctx, steward("G01"), Order{Kind: ElementKind, ID: "person.shoe_size", Revision: item.Revision}); lienthong.ErrorCode(err) != "stewardship.incomplete" {
		t.Errorf("it was submitted: %v", err)
	}
	body, err := json.Marshal(map[string]any{
		"id": "person.shoe_size", "name": "shoe_size", "name_vi": "Cỡ giày", "name_en": "Shoe size", "kind": "integer", "source": "Thử nghiệm", "version": "1.0",
		"definition_vi": "Số đo bàn chân của công dân theo hệ cỡ giày.", "definition_en": "The size of a citizen's foot by the scale of shoes.",
	})
	if err != nil {
		t.Fatal(err)
	}
	if item, err = o.desk.Edit(o.ctx, steward("G01"), Proposal{Kind: ElementKind, ID: "person.shoe_size", Revision: item.Revision, Body: body}); err != nil {
		t.Fatal(err)
	}
	item = o.publish(item)
	if _, there := o.editions.Current().Element("person.shoe_size"); !there || item.Version != (Version{Major: 1}) {
		t.Fatalf("version %s is not in the edition", item.Version)
	}
	approver := Person{Name: "thu", Roles: []Role{Approver}}
	if _, err := o.desk.Decide(o.ctx, approver, Order{Kind: ElementKind, ID: item.ID, Revision: item.Revision, Action: ToRetire, Note: "thử xong"}); err != nil {
		t.Fatal(err)
	}
	if _, there := o.editions.Current().Element("person.shoe_size"); there {
		t.Error("it is still in the edition")
	}
	// An element that datasets use cannot be retired.
	order := Order{Kind: ElementKind, ID: "person.full_name", Action: ToRetire, Note: "bỏ"}
	if _, err := o.desk.Decide(o.ctx, approver, order); lienthong.ErrorCode(err) != "stewardship.in_use" {
		t.Errorf("an element in use was retired: %v", err)
	}
}

func TestEditions_CodeList(t *testing.T) {
	o := newOffice(t)
	item, err := o.draft(CodeListKind, "sex", func(c map[string]any) {
		codes, ok := c["codes"].([]any)
		if !ok {
			t.Fatalf("content: %v", c)
		}
		c["codes"] = append(codes, map[string]any{"code": "7", "vi": "Thử", "en": "Trial"})
	})
	if err != nil {
		t.Fatal(err)
	}
	item = o.publish(item)
	list, _ := o.editions.Current().CodeList("sex")
	if _, there := list.Lookup("7", time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC).UnixMicro()); !there || item.Version != (Version{Major: 1, Minor: 1}) {
		t.Errorf("version %s lacks the code", item.Version)
	}
	if _, err := o.draft(CodeListKind, "sex", func(c map[string]any) { c["id"] = "other" }); err != nil {
		t.Fatal(err)
	}
	view, err := o.desk.Load(o.ctx, CodeListKind, "sex")
	if err != nil || len(view.Problems) != 1 || view.Problems[0].Where != "id" {
		t.Errorf("a list of another name: %v %v", view.Problems, err)
	}
}
