package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"

	"github.com/lienthong/lienthong/internal/app"
)

// wrongPeople breaks rules beside P0003 of the example.
const wrongPeople = `INSERT INTO cong_dan VALUES
    ('P0004', '0960850x0044', 'Phạm Thử Tư',  '30/04/1985', '1', '0900000004', 'Ấp 4, xã Thử'),
    ('P0005', '123',          'Phạm Thử Năm', '30/04/1985', '1', '0900000005', 'Ấp 5, xã Thử'),
    ('P''06', '096085000066', 'Phạm Thử Sáu', '31/02/1985', '1', '0900000006', 'Ấp 6, xã Thử')`

// fillIn writes the right values into a workbook, by "key field", and returns the cells that had
// any; every line must be one of them.
func fillIn(t *testing.T, path string, values map[string]string) []string {
	t.Helper()
	book, err := excelize.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = book.Close() }()
	sheet := book.GetSheetName(0)
	lines, err := book.GetRows(sheet)
	if err != nil || len(lines) < 3 {
		t.Fatalf("%d lines in %s: %v", len(lines), path, err)
	}
	at := func(line []string, name string) string {
		if i := slices.Index(lines[0], name); i >= 0 && i < len(line) {
			return line[i]
		}
		return ""
	}
	var filled []string
	for n, line := range lines[2:] {
		key := at(line, "key0") + " " + at(line, "field")
		value, known := values[key]
		if !known {
			t.Errorf("%s has a line for %q", path, key)
			continue
		}
		cell, err := excelize.CoordinatesToCellName(slices.Index(lines[0], "correct")+1, n+3)
		if err == nil {
			err = book.SetCellStr(sheet, cell, value)
		}
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(filled, key) {
			filled = append(filled, key)
		}
	}
	if err := book.Save(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(filled)
	return filled
}

// exitOf runs a command and returns its exit code and what it prints.
func exitOf(t *testing.T, dir, command string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-e", "-c", command)
	cmd.Dir = dir
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCorrect_FromTheWorkbookToTheClosedFinding runs the commands of docs/tickets.md for owners, on a
// node whose source has wrong rows, with a person who makes one mistake.
func TestCorrect_FromTheWorkbookToTheClosedFinding(t *testing.T) {
	steps := stepsOf(t, docs+"tickets.md")
	if len(steps) != 6 {
		t.Fatalf("%d commands on the page", len(steps))
	}
	dir, _ := copyExamples(t)
	start(t, dir, "lienthong hub --config hub.yaml", "links ")
	shell(t, dir, "lienthong enrol --config hub.yaml --member G01 --node g01 > token-g01; sqlite3 population.db < population.sql", "")
	if err := os.WriteFile(filepath.Join(dir, "wrong.sql"), []byte(wrongPeople), 0o600); err != nil {
		t.Fatal(err)
	}
	shell(t, dir, "sqlite3 population.db < wrong.sql", "")
	start(t, dir, "lienthong node --config node-population.yaml", "node g01: running")
	// Four findings, and at the hub a ticket for each rule.
	shell(t, dir, "lienthong quarantine list --config node-population.yaml", "held 4 ")
	tickets := `sqlite3 -readonly hub-data/records/store.db "SELECT 'tickets ' || count(*) FROM documents WHERE kind = 'ticket' AND latest = 1` +
		` AND (body LIKE '%\"rule\":\"person.number.digits\"%' OR body LIKE '%\"rule\":\"type\",\"field\":\"birth_date\"%')`
	shell(t, dir, tickets+` AND state = 'opened'"`, "tickets 2")
	before := shell(t, dir, `sqlite3 -readonly population.db "SELECT * FROM cong_dan"`, "")

	shell(t, dir, steps[0].command, steps[0].until)
	shell(t, dir, steps[1].command, steps[1].until)
	people := []string{"P'06 birth_date", "P0003 personal_number", "P0004 personal_number", "P0005 personal_number"}
	filled := fillIn(t, filepath.Join(dir, "can_sua.xlsx"), map[string]string{
		people[0]: "28/02/1985", people[1]: "096085000033", people[2]: "096085000044", people[3]: "12",
	})
	if diff := cmp.Diff(people, filled); diff != "" {
		t.Fatalf("lines of the workbook (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(people[1:], fillIn(t, filepath.Join(dir, "so_dinh_danh.xlsx"), map[string]string{people[1]: "", people[2]: "", people[3]: ""})); diff != "" {
		t.Errorf("lines of one rule (-want +got):\n%s", diff)
	}

	// Nothing is taken for right because it came in a workbook.
	code, out, errs := exitOf(t, dir, strings.ReplaceAll(steps[2].command, "import", "import --json"))
	var report app.CorrectImported
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitFailed || errs != "" {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, out, errs)
	}
	if report.Dataset != "population.person" || report.Taken != 3 || report.Rejected < 1 || report.Statements != 3 || report.Unstated != 0 || report.Settled != 0 || report.Empty != 0 {
		t.Errorf("%+v", report)
	}
	for _, p := range report.Problems {
		if p.Field != "personal_number" || p.Code != "ticket.rule" || p.Vi == "" || p.En == "" || p.Vi == p.En {
			t.Errorf("%+v", p)
		}
	}
	if now := shell(t, dir, `sqlite3 -readonly population.db "SELECT * FROM cong_dan"`, ""); now != before {
		t.Error("the source was written to")
	}
	wantSQL := []string{
		`SET "ngay_sinh" = '28/02/1985' WHERE "ma_ban_ghi" = 'P''06';`,
		`SET "so_dinh_danh" = '096085000033' WHERE "ma_ban_ghi" = 'P0003';`,
		`SET "so_dinh_danh" = '096085000044' WHERE "ma_ban_ghi" = 'P0004';`,
	}
	var statements []string
	for line := range strings.Lines(readText(t, filepath.Join(dir, "dung.sql"))) {
		if text, is := strings.CutPrefix(strings.TrimSpace(line), `UPDATE "cong_dan" `); is {
			statements = append(statements, text)
		}
	}
	slices.Sort(statements)
	if diff := cmp.Diff(wantSQL, statements); diff != "" {
		t.Errorf("statements (-want +got):\n%s", diff)
	}
	if list := readText(t, filepath.Join(dir, "dung.csv")); strings.Count(list, "\n") != 4 || !strings.Contains(list, ",P'06,birth_date,") || !strings.Contains(list, ",1985-02-28,false,") {
		t.Errorf("list:\n%s", list)
	}
	for _, name := range []string{"can_sua.xlsx", "tra_loi.xlsx", "dung.csv", "dung.sql"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || name != "can_sua.xlsx" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}

	// The owner runs the statements; the same workbook then has nothing more to say about these.
	shell(t, dir, steps[3].command, steps[3].until)
	shell(t, dir, "lienthong quarantine list --config node-population.yaml", "held 1 ")
	_, out, _ = exitOf(t, dir, "lienthong correct import can_sua.xlsx --answer again.xlsx --sql again.sql --json --config node-population.yaml")
	report = app.CorrectImported{}
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Settled != 3 || report.Taken != 0 || report.Statements != 0 {
		t.Errorf("handed in again: %+v, %v", report, err)
	}

	// The answer holds the one that was wrong, and can be handed in.
	if diff := cmp.Diff(people[3:], fillIn(t, filepath.Join(dir, "tra_loi.xlsx"), map[string]string{people[3]: "096085000055"})); diff != "" {
		t.Errorf("lines of the answer (-want +got):\n%s", diff)
	}
	shell(t, dir, steps[4].command, steps[4].until)
	shell(t, dir, steps[5].command, steps[5].until)
	shell(t, dir, `sqlite3 -readonly hub-data/records/store.db "SELECT 'landed ' || count(*) FROM records_population_person WHERE NOT _deleted AND NOT _held"`, "landed 6")
	if out := shell(t, dir, "lienthong correct export --dataset population.person --out none.xlsx --json --config node-population.yaml", `"lines": `); !strings.Contains(out, `"lines": 0`) {
		t.Errorf("after all was put right: %s", out)
	}
	// The hub has closed what it opened, without a word from anybody.
	shell(t, dir, tickets+` AND state = 'closed'"`, "tickets 2")

	if left, err := os.ReadDir(filepath.Join(dir, "node-population-data", "corrections")); err != nil || len(left) > 0 {
		t.Errorf("left at the node: %v, %v", left, err)
	}
	logged := shell(t, dir, "cat *-data/audit/tile/entries/*/*", "correct.import")
	if !strings.Contains(logged, "correct.export") {
		t.Error("the export is not in the audit log")
	}
	for _, value := range append(personalValues(), "096085000033", "096085000044", "P0003", "1985-02-28", "28/02/1985") {
		if strings.Contains(logged, value) {
			t.Errorf("an audit log holds %q", value)
		}
	}

	for command, want := range map[string]int{
		"lienthong correct export --dataset person --out x.xlsx --config node-population.yaml":                        exitUsage,
		"lienthong correct export --dataset population.person --config node-population.yaml":                          exitUsage,
		"lienthong correct import can_sua.xlsx --config node-population.yaml":                                         exitUsage,
		"lienthong correct export --dataset population.other --out x.xlsx --config node-population.yaml":              exitFailed,
		"lienthong correct export --dataset population.person --rule no --out x.xlsx --config node-population.yaml":   exitFailed,
		"lienthong correct export --dataset population.person --out no/where.xlsx --config node-population.yaml":      exitFailed,
		"lienthong correct import dung.csv --answer x.xlsx --config node-population.yaml":                             exitFailed,
		"lienthong correct import nowhere.xlsx --answer x.xlsx --config node-population.yaml":                         exitFailed,
		"lienthong correct import none.xlsx --answer x2.xlsx --config node-population.yaml":                           exitDone,
		"lienthong correct export --dataset population.person --out x.xlsx --config hub.yaml 2> /dev/null || exit 77": 77,
	} {
		if code, out, errs := exitOf(t, dir, command); code != want || code == exitFailed && (!strings.Contains(errs, " / ") || !strings.Contains(errs, "→")) {
			t.Errorf("%s: exit code %d, want %d\n%s%s", command, code, want, out, errs)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "x.xlsx")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a command that failed left a file: %v", err)
	}
}

// TestCorrect_OfADropFolder: files have no statements, and their wrong rows are there all the same.
func TestCorrect_OfADropFolder(t *testing.T) {
	dir, _ := copyExamples(t)
	start(t, dir, "lienthong hub --config hub.yaml", "links ")
	shell(t, dir, "lienthong enrol --config hub.yaml --member H12 --node h12 > token-h12", "")
	start(t, dir, "lienthong node --config node-files.yaml", "node h12: running")
	wrong := "so_ho,so_dinh_danh_chu_ho,ho_ten_chu_ho,so_nhan_khau,dia_chi\nHK99,096085000011,Trần Thử Một,-3,Ấp 1\n"
	if err := os.WriteFile(filepath.Join(dir, "households", "32002", "ho_dan_sai.csv"), []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	export := "lienthong correct export --dataset household.household --out rows.xlsx --config node-files.yaml"
	shell(t, dir, export, "rows.xlsx: 1 dòng")
	if diff := cmp.Diff([]string{"32002 members"}, fillIn(t, filepath.Join(dir, "rows.xlsx"), map[string]string{"32002 members": "3"})); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	shell(t, dir, "lienthong correct import rows.xlsx --answer answer.xlsx --csv right.csv --config node-files.yaml", "1 nhận / taken, 0 trả lại")
	if list := readText(t, filepath.Join(dir, "right.csv")); !strings.Contains(list, ",32002,HK99,members,-3,3,false,") {
		t.Errorf("list:\n%s", list)
	}
	code, _, errs := exitOf(t, dir, "lienthong correct import rows.xlsx --answer answer.xlsx --sql right.sql --config node-files.yaml")
	if code != exitFailed || !strings.Contains(errs, "correct.no_sql") || !strings.Contains(errs, "--csv") {
		t.Errorf("statements for files: exit code %d\n%s", code, errs)
	}
}
