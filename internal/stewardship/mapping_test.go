package stewardship

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

func TestMappingKind_FromProposalToDefinition(t *testing.T) {
	words, err := dictionary.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	var published []string
	kind := MappingKind(MappingServices{
		Dictionary: func() *dictionary.Dictionary { return words },
		Readers: func(lienthong.DatasetID) []Use {
			return []Use{{Owner: "G12", Vi: "Cục Thuế nhận", En: "Tax receives it"}}
		},
		Owner: func(string) lienthong.MemberCode { return "G01" },
		Published: func(_ context.Context, id lienthong.DatasetID, def *dictionary.Definition) error {
			said := id.String()
			if def != nil {
				for i := range def.Columns {
					said += " " + def.Columns[i].Column + "=" + def.Columns[i].Element
				}
			}
			published = append(published, said)
			return nil
		},
	})
	desk, err := New(Config{Documents: openDocuments(t), Kinds: []Kind{kind}})
	if err != nil {
		t.Fatal(err)
	}
	column := func(name string) dictionary.ColumnSample {
		return dictionary.ColumnSample{Column: lienthong.Column{Name: name, Kind: lienthong.Text}}
	}
	id := lienthong.DatasetID{Database: "xa", Name: "cong_dan"}
	draft, _, err := words.ProposeMapping(id, "cong_dan", []dictionary.ColumnSample{column("so_cccd"), column("ho_ten"), column("la_lung")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	draft.Key = []string{"so_cccd"}
	who, item := people(), Item{}
	write := func(by string) error {
		t.Helper()
		body, err := json.Marshal(draft)
		if err != nil {
			t.Fatal(err)
		}
		p := Proposal{Kind: MappingKindName, ID: id.String(), Revision: item.Revision, Body: body}
		var next Item
		if item.State == Draft {
			next, err = desk.Edit(t.Context(), who[by], p)
		} else {
			next, err = desk.Draft(t.Context(), who[by], p)
		}
		if err == nil {
			item = next
		}
		return err
	}
	order := func(action Action) Order {
		return Order{Kind: MappingKindName, ID: id.String(), Revision: item.Revision, Action: action}
	}
	problems := func() []string {
		t.Helper()
		view, err := desk.Load(t.Context(), MappingKindName, id.String())
		if err != nil {
			t.Fatal(err)
		}
		var codes []string
		for _, p := range view.Problems {
			codes = append(codes, p.Code)
		}
		return codes
	}
	if err := write("khoa"); lienthong.ErrorCode(err) != "mapping.foreign" {
		t.Errorf("another organisation maps it: %v", err)
	}
	if err := write("lan"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"mapping.unconfirmed"}, problems()); diff != "" {
		t.Error(diff)
	}
	if _, err := desk.Submit(t.Context(), who["lan"], order("")); lienthong.ErrorCode(err) != "stewardship.incomplete" {
		t.Errorf("submitted with proposals that nobody has confirmed: %v", err)
	}
	draft.Columns[0].Confirmed, draft.Columns[1].Confirmed, draft.Key = true, true, nil
	if err := write("lan"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"mapping.key"}, problems()); diff != "" {
		t.Error(diff)
	}
	draft.Key = []string{"so_cccd"}
	publish := func() {
		t.Helper()
		if err := write("lan"); err != nil {
			t.Fatal(err)
		}
		if item, err = desk.Submit(t.Context(), who["lan"], order("")); err != nil {
			t.Fatal(err)
		}
		for _, action := range []Action{ToReview, ToApprove} {
			if item, err = desk.Decide(t.Context(), who["duong"], order(action)); err != nil {
				t.Fatal(err)
			}
		}
		if item, err = desk.Publish(t.Context(), who["duong"], order("")); err != nil {
			t.Fatal(err)
		}
	}
	publish()
	draft.Columns[1].Element = "person.other_name"
	if err := write("lan"); err != nil {
		t.Fatal(err)
	}
	view, err := desk.Load(t.Context(), MappingKindName, id.String())
	if err != nil || len(view.Changes) != 1 || !view.Changes[0].Breaking || !view.Impact.Breaking || view.Version.String() != "2.0" || !strings.Contains(view.Changes[0].Vi, "person.other_name") {
		t.Errorf("another element: %+v %+v %v", view.Changes, view.Impact, err)
	}
	publish()
	if diff := cmp.Diff([]string{
		"xa.cong_dan so_cccd=person.number ho_ten=person.full_name", "xa.cong_dan so_cccd=person.number ho_ten=person.other_name",
	}, published); diff != "" {
		t.Error(diff)
	}
}
