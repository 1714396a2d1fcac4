package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/stewardship"
)

func TestMapping_Versions(t *testing.T) {
	consumers := []Consumer{{ID: "feed/1", Name: say("Thuế", "Tax"), Member: "G12", Dataset: lienthong.DatasetID{Database: "school", Name: "pupil"}}}
	published, now := "", start()
	kind := Mappings{
		Dictionary: func() *dictionary.Dictionary { return builtin(t) }, Consumers: func() []Consumer { return consumers },
		Owner: func(string) lienthong.MemberCode { return "G03" },
		Published: func(_ context.Context, dataset string, body *MappingBody) error {
			published = dataset + body.Definition
			return nil
		},
	}.Kind()
	desk, err := stewardship.New(stewardship.Config{Documents: openDocuments(t), Kinds: []stewardship.Kind{kind}, Now: func() time.Time { now = now.Add(time.Hour); return now }})
	if err != nil {
		t.Fatal(err)
	}
	steward := func(member lienthong.MemberCode) stewardship.Person {
		return stewardship.Person{Name: "lan", Member: member, Roles: []stewardship.Role{stewardship.Steward}}
	}
	write := func(by stewardship.Person, revision int64, text string) (stewardship.Item, error) {
		t.Helper()
		body, err := json.Marshal(MappingBody{Definition: text})
		if err != nil {
			t.Fatal(err)
		}
		return desk.Draft(t.Context(), by, stewardship.Proposal{Kind: KindMapping, ID: "school.pupil", Revision: revision, Body: body})
	}
	if _, err := write(steward("G01"), 0, schoolYAML); lienthong.ErrorCode(err) != "catalog.foreign" {
		t.Errorf("another organisation maps it: %v", err)
	}
	item, err := write(steward("G03"), 0, schoolYAML)
	if err != nil {
		t.Fatal(err)
	}
	other := stewardship.Person{Name: "thu", Member: "G06", Roles: []stewardship.Role{stewardship.Reviewer, stewardship.Approver}}
	order := func(action stewardship.Action) stewardship.Order {
		return stewardship.Order{Kind: KindMapping, ID: "school.pupil", Revision: item.Revision, Action: action}
	}
	if item, err = desk.Submit(t.Context(), steward("G03"), order("")); err != nil {
		t.Fatal(err)
	}
	for _, action := range []stewardship.Action{stewardship.ToReview, stewardship.ToApprove} {
		if item, err = desk.Decide(t.Context(), other, order(action)); err != nil {
			t.Fatal(err)
		}
	}
	if item, err = desk.Publish(t.Context(), other, order("")); err != nil || published != "school.pupil"+schoolYAML {
		t.Fatalf("published %q, %v", published, err)
	}
	for _, tt := range []struct {
		name, from, to string
		changes        []string
		next           string
	}{
		{"a transformation", "{column: HoVaTen, element: person.full_name}", "{column: HoVaTen, element: person.full_name, transforms: [trim]}", []string{"definition false"}, "1.1"},
		{"a new column", "  - {column: NgaySinh", "  - {column: DienThoai, element: person.phone}\n  - {column: NgaySinh", []string{"columns.DienThoai false"}, "1.1"},
		{"another element", "{column: HoVaTen, element: person.full_name}", "{column: HoVaTen, element: person.email}", []string{"columns.HoVaTen true"}, "2.0"},
		{"one less", "  - {column: NgaySinh, element: person.birth_date}\n", "", []string{"columns.NgaySinh true"}, "2.0"},
	} {
		item, err = write(steward("G03"), item.Revision, strings.Replace(schoolYAML, tt.from, tt.to, 1))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		view, err := desk.Load(t.Context(), KindMapping, "school.pupil")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range view.Changes {
			got = append(got, fmt.Sprintf("%s %t", c.Where, c.Breaking))
		}
		if diff := cmp.Diff(tt.changes, got); diff != "" || view.Version.String() != tt.next || view.Impact.Breaking != strings.HasPrefix(tt.next, "2") || len(view.Impact.Uses) != 1 {
			t.Errorf("%s: %s version %s impact %+v", tt.name, diff, view.Version, view.Impact)
		}
		if item, err = desk.Withdraw(t.Context(), steward("G03"), stewardship.Order{Kind: KindMapping, ID: "school.pupil", Revision: item.Revision, Note: "tiếp"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err = write(steward("G03"), item.Revision, strings.Replace(schoolYAML, "person.birth_date", "person.nothing", 1)); err != nil {
		t.Fatal(err)
	}
	view, err := desk.Load(t.Context(), KindMapping, "school.pupil")
	if err != nil || len(view.Problems) != 1 || !strings.Contains(view.Problems[0].Vi, "person.nothing") {
		t.Errorf("an unknown element: %v %v", view.Problems, err)
	}
}
