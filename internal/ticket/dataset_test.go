package ticket_test

import (
	"bytes"
	"testing"

	"github.com/xuri/excelize/v2"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/ticket"
)

func TestBookDataset(t *testing.T) {
	book := write(t, workbook(t), []ticket.Row{{Record: "r1", Values: record(t, "H1", "An", "1990-01-01"), Rule: "children.range", Field: "children"}})
	of := func(data []byte, limit int64) (lienthong.DatasetID, error) {
		return ticket.BookDataset(bytes.NewReader(data), int64(len(data)), limit)
	}
	if got, err := of(book, 0); err != nil || got != person {
		t.Errorf("%v, %v", got, err)
	}
	// People save it with other programs: the hidden sheet goes with it.
	if got, err := of(edit(t, book, func(f *excelize.File) error { return f.SetCellStr(sheet, correctColumn+"3", "2") }), 0); err != nil || got != person {
		t.Errorf("after it was filled in: %v, %v", got, err)
	}
	for name, data := range map[string][]byte{
		"no workbook":     []byte("record,key\n"),
		"empty":           nil,
		"another dataset": edit(t, book, func(f *excelize.File) error { return f.SetCellStr("lienthong", "B2", "no dataset") }),
		"another form":    edit(t, book, func(f *excelize.File) error { return f.SetCellStr("lienthong", "B1", "other-1") }),
		"without a form":  edit(t, book, func(f *excelize.File) error { return f.DeleteSheet("lienthong") }),
	} {
		if got, err := of(data, 0); lienthong.ErrorCode(err) != "ticket.workbook" {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := of(book, 100); err == nil {
		t.Error("a workbook larger than allowed is read")
	}
}
