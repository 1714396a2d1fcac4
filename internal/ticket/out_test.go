package ticket_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/ticket"
)

func target() ticket.Target {
	columns := map[string]string{}
	for _, f := range shape().Fields {
		columns[f.Name] = f.Name + `"x`
	}
	return ticket.Target{Dialect: "postgres", Table: "hotich.cong_dan", Columns: columns}
}

func TestCorrections_Out(t *testing.T) {
	w := workbook(t)
	r := record(t, "O'Neil\\", "Trần Thị B", "1980-01-01")
	data := write(t, w, []ticket.Row{
		{Record: "r1", Values: r, Rule: "x", Field: "commune"},
		{Record: "r1", Values: r, Rule: "x", Field: "birth_date"},
		{Record: "r1", Values: r, Rule: "x", Field: "number"},
		{Record: "r1", Values: r, Rule: "x", Field: "updated"},
	})
	data = edit(t, data, func(b *excelize.File) error { return b.SetCellValue(sheet, "H3", "=1+1") })
	got := read(t, w, fill(t, data, "D'Arc\\'; --", "05/09/1990", "(trống)", "07/06/2025 08:30"))
	if len(got.Problems) != 0 {
		t.Fatal(problems(got))
	}
	const where = ` WHERE "code""x" = 'O''Neil\' AND "commune""x" = '00123';`
	for dialect, want := range map[string][]string{
		"postgres": {
			`UPDATE "hotich"."cong_dan" SET "commune""x" = 'D''Arc\''; --'` + where,
			`UPDATE "hotich"."cong_dan" SET "birth_date""x" = DATE '1990-09-05'` + where,
			`UPDATE "hotich"."cong_dan" SET "number""x" = NULL` + where,
			`UPDATE "hotich"."cong_dan" SET "updated""x" = '2025-06-07 01:30:00.000000+00:00'` + where,
		},
		"mysql":     {"UPDATE `hotich`.`cong_dan` SET `commune\"x` = 'D''Arc\\\\''; --' WHERE `code\"x` = 'O''Neil\\\\' AND `commune\"x` = '00123';"},
		"sqlserver": {`UPDATE [hotich].[cong_dan] SET [commune"x] = N'D''Arc\''; --' WHERE [code"x] = N'O''Neil\' AND [commune"x] = N'00123';`},
	} {
		to := target()
		to.Dialect = dialect
		var out bytes.Buffer
		if err := ticket.WriteSQL(&out, shape(), got.List, to); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(out.String(), "\n")[2:]
		if diff := cmp.Diff(want, lines[:len(want)]); diff != "" {
			t.Errorf("%s: %s", dialect, diff)
		}
	}
	missing := target()
	delete(missing.Columns, "commune")
	if err := ticket.WriteSQL(io.Discard, shape(), got.List, missing); lienthong.ErrorCode(err) != "ticket.sql" {
		t.Error(err)
	}
	if err := ticket.WriteSQL(io.Discard, shape(), got.List, ticket.Target{Dialect: "dbase", Table: "x"}); lienthong.ErrorCode(err) != "ticket.dialect" {
		t.Error(err)
	}

	var machine, people bytes.Buffer
	if err := errors.Join(ticket.WriteCSV(&machine, shape(), got.List, false), ticket.WriteCSV(&people, shape(), got.List, true)); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&machine).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{
		{"record", "code", "commune", "field", "before", "correct", "empty", "remark"},
		{"r1", `O'Neil\`, "00123", "commune", "00123", `D'Arc\'; --`, "false", "=1+1"},
		{"r1", `O'Neil\`, "00123", "birth_date", "01/01/1980", "1990-09-05", "false", ""},
		{"r1", `O'Neil\`, "00123", "number", "1089012345", "", "true", ""},
		{"r1", `O'Neil\`, "00123", "updated", "2025-06-01T03:04:05.000000Z", "2025-06-07T01:30:00.000000Z", "false", ""},
	}, rows); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(people.String(), "'=1+1") {
		t.Error("a formula for people is not defused")
	}
}
