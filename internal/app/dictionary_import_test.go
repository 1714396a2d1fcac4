package app

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/stewardship"
	"github.com/lienthong/lienthong/internal/store"
)

// A file of proposals becomes drafts of whoever brings it: rows that change nothing are left out, rows that are
// wrong are told, and a second time nothing happens.
func TestImportElements(t *testing.T) {
	records, err := store.OpenSQLite(t.Context(), t.TempDir(), store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = records.Close() }()
	words, err := dictionary.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	editions := stewardship.NewEditions(words, nil)
	desk, err := stewardship.New(stewardship.Config{Documents: records, Kinds: editions.Kinds()})
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	if err := WriteDictionary(&table, "csv"); err != nil {
		t.Fatal(err)
	}
	by := stewardship.Person{Name: "lan.nguyen", Member: "G01", Roles: []stewardship.Role{stewardship.Steward}}
	all, err := importElements(t.Context(), desk, editions, by, "tu-dien.csv", bytes.NewReader(table.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Unchanged) != len(words.Elements()) || len(all.Drafted)+len(all.Problems)+len(all.Refused) > 0 {
		t.Errorf("the dictionary itself: %d unchanged of %d, %v drafted, problems %v, refused %v", len(all.Unchanged), len(words.Elements()), all.Drafted, all.Problems, all.Refused)
	}
	changed := strings.Replace(table.String(), "Ngày sinh theo dương lịch", "Ngày sinh dương lịch", 1) + "khong_co_mien,,,,\n"
	for _, again := range []bool{false, true} {
		report, err := importElements(t.Context(), desk, editions, by, "tu-dien.csv", strings.NewReader(changed))
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Drafted) != 1 || len(report.Problems) == 0 || report.Problems[0].Row == 0 || report.Problems[0].Vi == "" {
			t.Errorf("again %v: drafted %v, problems %v, refused %v", again, report.Drafted, report.Problems, report.Refused)
		}
	}
	history, err := desk.History(t.Context(), stewardship.ElementKind, "person.birth_date")
	if err != nil || len(history) != 1 {
		t.Errorf("%d steps of the changed element, want 1: %v", len(history), err)
	}
	viewer := stewardship.Person{Name: "viet", Member: "G02", Roles: []stewardship.Role{stewardship.Viewer}}
	refused, err := importElements(t.Context(), desk, editions, viewer, "tu-dien.csv", strings.NewReader(strings.Replace(table.String(), "Nhóm máu", "Nhóm máu người", 1)))
	if err != nil || len(refused.Drafted) > 0 || len(refused.Refused) == 0 {
		t.Errorf("somebody who may only look: %+v, %v", refused, err)
	}
	if err := WriteDictionary(&table, "docx"); lienthong.ErrorCode(err) != "dictionary.format" {
		t.Errorf("an unknown format: %v", err)
	}
}
