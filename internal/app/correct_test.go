package app

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/ticket"
)

func TestRowsCommand(t *testing.T) {
	of := func(source, rule, field string) *ticket.Ticket {
		return &ticket.Ticket{ID: "population.person@g01:type:birth_date", Source: source, Dataset: lienthong.DatasetID{Database: "population", Name: "person"}, Rule: rule, Field: field}
	}
	for _, c := range []struct {
		ticket *ticket.Ticket
		want   string
	}{
		{of("g01", "type", "birth_date"), "lienthong correct export --dataset population.person --rule type --field birth_date --ticket population.person@g01:type:birth_date --out rows.xlsx --config node.yaml"},
		{of("g01", "letters@note", "it's; rm"), `lienthong correct export --dataset population.person --rule letters@note --field 'it'\''s; rm' --ticket population.person@g01:type:birth_date --out rows.xlsx --config node.yaml`},
		{of("", "unique", "number"), ""},
	} {
		if got := RowsCommand(c.ticket); got != c.want {
			t.Errorf("%s", got)
		}
	}
}

// A row comes back from the file as it went in, and memory of the caller is not kept.
func TestKeptRows(t *testing.T) {
	kept, err := newKeptRows(t.TempDir(), map[string]struct{}{"a": {}, "gone": {}}, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.close()
	reused := []byte("Trần Thử")
	values := []lienthong.Value{{State: lienthong.Present, Bytes: reused}, {State: lienthong.Present, Int: -1 << 60}, {State: lienthong.Malformed, Bytes: []byte("31/02")}, {}}
	want := slices.Clone(values)
	want[0].Bytes = bytes.Clone(reused)
	for _, record := range []string{"a", "b"} {
		if err := kept.put(&capture.RowNow{Record: record, Values: values, Source: values[1:], Failed: []int{3, 200}}); err != nil {
			t.Fatal(err)
		}
		copy(reused, "XXXX")
	}
	row, found, err := kept.get("a")
	if err != nil || !found {
		t.Fatal(found, err)
	}
	if diff := cmp.Diff([]any{want, want[1:], []int{3, 200}}, []any{row.values, row.source, row.failed}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if row, _, _ := kept.get("b"); !strings.HasPrefix(string(row.values[0].Bytes), "XXXX") {
		t.Error("the second row is the first")
	}
	if _, found, err := kept.current(t.Context(), "gone"); found || err != nil {
		t.Errorf("a record that the source does not have: %t, %v", found, err)
	}
	unasked, found, err := kept.current(t.Context(), "c")
	if !found || err != nil || len(unasked) != 2 || unasked[0].State != lienthong.Unchanged {
		t.Errorf("a record that was not asked for: %v, %t, %v", unasked, found, err)
	}
	name := kept.file.Name()
	kept.close()
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Errorf("the file is left: %v", err)
	}
}

func FuzzKeptReader(f *testing.F) {
	f.Add(appendKept(nil, []lienthong.Value{{State: lienthong.Present, Int: 7, Bytes: []byte("x")}, {}}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := keptReader{raw: raw}
		values := r.values()
		if r.bad {
			return
		}
		again := keptReader{raw: appendKept(nil, values)}
		if diff := cmp.Diff(values, again.values()); diff != "" || again.bad {
			t.Errorf("(-first +again):\n%s", diff)
		}
	})
}

// An answer is whole, or the command says that it is not.
func TestCorrectFiles_WholeOrNotThere(t *testing.T) {
	files := &correctFiles{dir: t.TempDir()}
	for _, part := range [][2]string{{"handed in", "stays"}, {partAnswer, "answer\n{"}, {partCSV, ""}, {partSQL, "UPDATE"}} {
		file, err := files.add(part[0])
		if err == nil {
			_, err = file.WriteString(part[1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var sent bytes.Buffer
	if err := files.send(&sent, CorrectImported{Taken: 3}); err != nil {
		t.Fatal(err)
	}
	files.close()
	if left, err := os.ReadDir(files.dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	receive := func(data []byte) (CorrectImported, [3]string, error) {
		var report CorrectImported
		var answer, csv, sql bytes.Buffer
		err := receiveParts(bytes.NewReader(data), &report, map[string]io.Writer{partAnswer: &answer, partCSV: &csv, partSQL: &sql})
		return report, [3]string{answer.String(), csv.String(), sql.String()}, err
	}
	report, parts, err := receive(sent.Bytes())
	if err != nil || report.Taken != 3 || parts != [3]string{"answer\n{", "", "UPDATE"} {
		t.Fatalf("%+v, %q, %v", report, parts, err)
	}
	for cut := range sent.Len() {
		if _, _, err := receive(sent.Bytes()[:cut]); lienthong.ErrorCode(err) != "correct.broken_off" {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	head, err := json.Marshal(correctHead{Report: json.RawMessage("{}"), Parts: []correctPart{{"other", 0}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := receive(append(head, '\n')); lienthong.ErrorCode(err) != "correct.broken_off" {
		t.Errorf("a part that nobody asked for: %v", err)
	}
}
