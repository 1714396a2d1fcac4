package capture_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/connector/conntest"
)

// people is the table that the alterations of a harness act on.
func people(name string) *conntest.Table {
	return &conntest.Table{Name: name, Columns: []conntest.Column{
		{Name: "id", Kind: lienthong.Text, Key: true},
		{Name: "full_name", Kind: lienthong.Text},
		{Name: "note", Kind: lienthong.Text},
		{Name: "counter", Kind: lienthong.Integer},
	}}
}

const peopleDataset = "sim.people"

// peopleDefinition maps every column; note to household.head_name, which takes any text.
func peopleDefinition(table string) string {
	return fmt.Sprintf(`
dataset: %s
title_vi: Người
table: %s
identity: [record_key]
others: keep
columns:
  - {column: id, element: record.key}
  - {column: note, element: household.head_name, field: note}
`, peopleDataset, table)
}

func insertPerson(table *conntest.Table, id int) conntest.Write {
	row := []conntest.Cell{conntest.Has(fmt.Sprintf("p%04d", id)), conntest.Has(fmt.Sprintf("Tên %d", id)), conntest.Has(fmt.Sprintf("Ghi chú %d", id)), conntest.Has(fmt.Sprint(id))}
	for len(row) < len(table.Columns) {
		row = append(row, conntest.Cell{})
	}
	return conntest.Write{Verb: conntest.Insert, Table: table, Row: row[:len(table.Columns)]}
}

func setCell(table *conntest.Table, id, column int, text string) conntest.Write {
	row := make([]conntest.Cell, len(table.Columns))
	for i := range row {
		row[i] = conntest.Keep()
	}
	row[column] = conntest.Has(text)
	return conntest.Write{Verb: conntest.Update, Table: table, Key: []conntest.Cell{conntest.Has(fmt.Sprintf("p%04d", id))}, Row: row}
}

func removePerson(table *conntest.Table, id int) conntest.Write {
	return conntest.Write{Verb: conntest.Delete, Table: table, Key: []conntest.Cell{conntest.Has(fmt.Sprintf("p%04d", id))}}
}

// peopleRoad is a road with people 1 to 60 landed, and a neighbour that must never stop.
func peopleRoad(t *testing.T, h conntest.Harness, config capture.Config) (r *road, table, neighbour *conntest.Table) {
	t.Helper()
	r = newRoad(t, h, config)
	table, neighbour = r.create(people("people")), r.create(people("others"))
	r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", peopleDefinition(table.Name)),
		parse(t, "others.yaml", strings.Replace(peopleDefinition(neighbour.Name), peopleDataset, "sim.others", 1)))
	for id := 1; id <= 60; id++ {
		r.apply(insertPerson(table, id), insertPerson(neighbour, id))
	}
	r.start()
	if config.ReconcileEvery < 0 {
		r.await("the first loads", func() bool {
			s := r.capture.Snapshots()
			return len(s) == 2 && s[0].State == "done" && s[1].State == "done"
		})
		r.reconcile(peopleDataset)
		return r, table, neighbour
	}
	r.loaded(peopleDataset)
	r.loaded("sim.others")
	return r, table, neighbour
}

func alter(t *testing.T, h conntest.Harness, how conntest.Alteration, table *conntest.Table) {
	t.Helper()
	change, can := h.Alter[how]
	if !can {
		t.Skipf("the engine has no alteration %s", how)
	}
	if err := change(context.Background(), table); err != nil {
		t.Fatal(err)
	}
	for i := range table.Columns {
		if how == conntest.RenameColumn && table.Columns[i].Name == "note" {
			table.Columns[i].Name = "remark"
		}
		if how == conntest.WidenColumn && table.Columns[i].Name == "counter" {
			table.Columns[i].Kind = lienthong.Text
		}
	}
	if how == conntest.DropColumn {
		table.Columns = slicesWithout(table.Columns, "note")
	}
}

// snapshots is how many snapshot batches have travelled: a dataset that is released must not
// need any.
func (r *road) snapshots() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kinds[lienthong.SnapshotBatch]
}

// An additive change flows: the next shape, its rows, and values that no change tells of.
func TestSchema_AddedColumnFlows(t *testing.T) {
	each(t, func(t *testing.T, h conntest.Harness) {
		r, table, _ := peopleRoad(t, h, capture.Config{})
		snapshots := r.snapshots()
		column := conntest.Column{Name: "phone", Kind: lienthong.Text}
		if err := h.AddColumn(context.Background(), table, column); err != nil {
			t.Fatal(err)
		}
		table.Columns = append(table.Columns, column)
		r.apply(setCell(table, 1, 4, "0912"))
		r.same(peopleDataset, table, "record_key", "full_name", "note", "counter", "phone")
		if s := r.status(peopleDataset); s.Stopped != "" || s.ShapeVersion != 2 {
			t.Errorf("status %+v", s)
		}
		// Both ends are compared by themselves, because the column may have come with a default.
		r.await("the comparison", func() bool { s := r.status(peopleDataset); return s.Gap == nil && len(r.results) > 2 })
		if r.snapshots() != snapshots {
			t.Error("an added column loads the dataset again")
		}
	})
}

// A column that no mapping needs can go.
func TestSchema_DroppedUnmappedColumnFlows(t *testing.T) {
	each(t, func(t *testing.T, h conntest.Harness) {
		r, table, _ := peopleRoad(t, h, capture.Config{})
		free := strings.Replace(peopleDefinition(table.Name), "  - {column: note, element: household.head_name, field: note}\n", "", 1)
		if err := r.capture.Redefine(t.Context(), parse(t, "people.yaml", free)); err != nil {
			t.Fatal(err)
		}
		r.reconcile(peopleDataset)
		alter(t, h, conntest.DropColumn, table)
		r.apply(insertPerson(&conntest.Table{Name: table.Name, Columns: people("").Columns[:2]}, 61))
		r.same(peopleDataset, table, "record_key", "full_name", "counter")
		r.reconcile(peopleDataset)
		if s := r.status(peopleDataset); s.Stopped != "" {
			t.Errorf("status %+v", s)
		}
	})
}

// An optional column's field comes and goes with it.
func TestSchema_DroppedOptionalColumnFlows(t *testing.T) {
	each(t, func(t *testing.T, h conntest.Harness) {
		r := newRoad(t, h, capture.Config{})
		table := r.create(people("people"))
		r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", strings.Replace(peopleDefinition(table.Name), "field: note}", "field: note, optional: true}", 1)))
		r.apply(insertPerson(table, 1))
		r.start()
		r.loaded(peopleDataset)
		alter(t, h, conntest.DropColumn, table)
		r.apply(insertPerson(&conntest.Table{Name: table.Name, Columns: people("").Columns[:2]}, 2))
		r.same(peopleDataset, table, "record_key", "full_name", "counter")
		if s := r.status(peopleDataset); s.Stopped != "" || s.ShapeVersion != 2 {
			t.Errorf("status %+v", s)
		}
	})
}

// stopByRename renames the mapped column and waits until the dataset stands still.
func stopByRename(t *testing.T, r *road, h conntest.Harness, table *conntest.Table) capture.Status {
	t.Helper()
	alter(t, h, conntest.RenameColumn, table)
	r.apply(setCell(table, 1, 1, "đổi"))
	var status capture.Status
	r.await("the dataset to stand still", func() bool {
		status = r.status(peopleDataset)
		return status.Stopped != ""
	})
	return status
}

func checkRenamed(t *testing.T, status capture.Status) {
	t.Helper()
	d := status.Difference
	if status.Stopped != "schema.column_gone" || d == nil {
		t.Fatalf("stopped by %q, difference %+v", status.Stopped, d)
	}
	if want := []capture.MappingChange{{Field: "note", Old: "note", New: "remark"}}; !slices.Equal(d.Proposal, want) {
		t.Errorf("proposal %+v, want %+v", d.Proposal, want)
	}
	for _, words := range []string{d.Vi, d.En, d.DoVi, d.DoEn} {
		if words == "" {
			t.Errorf("no words: %+v", d)
		}
	}
	if !strings.Contains(d.En, "remark looks like it") || !strings.Contains(d.Vi, "remark trông giống nó") || !strings.Contains(d.DoEn, "column: note -> column: remark") {
		t.Errorf("words %q / %q / %q", d.En, d.Vi, d.DoEn)
	}
	if status.Gap == nil || status.Gap.Code != capture.GapStopped || status.Gap.Since == 0 {
		t.Errorf("gap %+v", status.Gap)
	}
}

// A renamed column stops its dataset alone. The source goes on and is not held back; what
// happens meanwhile is found when the steward releases it, and nothing is loaded anew.
func TestSchema_RenamedColumnStopsAndIsReleased(t *testing.T) {
	each(t, func(t *testing.T, h conntest.Harness) {
		r, table, neighbour := peopleRoad(t, h, capture.Config{})
		checkRenamed(t, stopByRename(t, r, h, table))
		// Changes, deletes and inserts that the dataset does not take.
		r.apply(setCell(table, 2, 2, "trong lúc dừng"), removePerson(table, 3), insertPerson(table, 70))
		r.apply(insertPerson(neighbour, 61))
		r.same("sim.others", neighbour, "record_key", "full_name", "note", "counter")
		r.await("the source to be let go", func() bool { return r.status("sim.others").Failure == "" })
		landed := r.landed(peopleDataset, "note")
		if len(landed) != 60 || strings.Contains(landed["p0002"], "dừng") {
			t.Errorf("changes were taken while the dataset stands still: %d rows, %s", len(landed), landed["p0002"])
		}
		// It stands still after a restart too, for the same reason.
		r.restart()
		var status capture.Status
		r.await("the same stop after a restart", func() bool { status = r.status(peopleDataset); return status.Stopped != "" })
		checkRenamed(t, status)

		snapshots := r.snapshots()
		wrong := parse(t, "people.yaml", strings.Replace(peopleDefinition(table.Name), "column: note", "column: nowhere", 1))
		if err := r.capture.Redefine(t.Context(), wrong); lienthong.ErrorCode(err) != "mapping.column" {
			t.Errorf("a mapping that does not fit is taken: %v", err)
		}
		right := parse(t, "people.yaml", strings.Replace(peopleDefinition(table.Name), "column: note", "column: remark", 1))
		if err := r.capture.Redefine(t.Context(), right); err != nil {
			t.Fatal(err)
		}
		r.same(peopleDataset, table, "record_key", "full_name", "note", "counter")
		r.await("the gap to end", func() bool { return r.status(peopleDataset).Gap == nil })
		if r.snapshots() != snapshots {
			t.Error("the release loads the dataset again")
		}
		for _, code := range []string{capture.GapStopped, "dataset.resumed", "dataset.compared"} {
			r.await("word of "+code, func() bool { return r.notified(code) > 0 })
		}
		r.apply(setCell(table, 5, 2, "sau khi chạy lại"))
		r.same(peopleDataset, table, "record_key", "full_name", "note", "counter")
	})
}

// A table whose column is put back runs again by itself.
func TestSchema_RunsAgainWhenTheSourceIsPutBack(t *testing.T) {
	each(t, func(t *testing.T, h conntest.Harness) {
		r, table, _ := peopleRoad(t, h, capture.Config{HealthTick: make(chan tick)}) // not by looking from time to time
		stopByRename(t, r, h, table)
		r.apply(insertPerson(table, 70))
		alter(t, h, renameBack, table)
		table.Columns[2].Name = "note"
		r.apply(insertPerson(table, 71)) // by which PostgreSQL tells of the columns
		r.await("the dataset to run again", func() bool { return r.status(peopleDataset).Stopped == "" })
		r.same(peopleDataset, table, "record_key", "full_name", "note", "counter")
		r.await("the gap to end", func() bool { return r.status(peopleDataset).Gap == nil })
	})
}

// A schema that changes while the node is away gives the same stop.
func TestSchema_ChangedWhileTheNodeWasAway(t *testing.T) {
	each(t, func(t *testing.T, h conntest.Harness) {
		r, table, neighbour := peopleRoad(t, h, capture.Config{})
		r.halt()
		alter(t, h, conntest.RenameColumn, table)
		r.apply(setCell(table, 2, 2, "khi vắng"), insertPerson(neighbour, 61))
		r.start()
		var status capture.Status
		r.await("the stop", func() bool { status = r.status(peopleDataset); return status.Stopped != "" })
		checkRenamed(t, status)
		r.same("sim.others", neighbour, "record_key", "full_name", "note", "counter")
		right := parse(t, "people.yaml", strings.Replace(peopleDefinition(table.Name), "column: note", "column: remark", 1))
		if err := r.capture.Redefine(t.Context(), right); err != nil {
			t.Fatal(err)
		}
		r.same(peopleDataset, table, "record_key", "full_name", "note", "counter")
	})
}

// A column that gets wider flows, whether it is mapped or not; one of another kind gets a
// field of its own, because the hub's column cannot change.
func TestSchema_WidenedAndNarrowedColumnsFlow(t *testing.T) {
	each(t, func(t *testing.T, h conntest.Harness) {
		r, table, _ := peopleRoad(t, h, capture.Config{})
		alter(t, h, conntest.NarrowColumn, table)
		r.apply(setCell(table, 1, 1, "ngắn"))
		r.same(peopleDataset, table, "record_key", "full_name", "note", "counter")
		alter(t, h, conntest.WidenColumn, table)
		r.apply(setCell(table, 1, 3, "không phải số"))
		r.same(peopleDataset, table, "record_key", "full_name", "note", "counter_text")
		r.reconcile(peopleDataset)
		if s := r.status(peopleDataset); s.Stopped != "" {
			t.Errorf("status %+v", s)
		}
	})
}

// Another key stops the dataset until a person confirms that its identity still tells
// records apart.
func TestSchema_ChangedKeyStopsUntilConfirmed(t *testing.T) {
	each(t, func(t *testing.T, h conntest.Harness) {
		r, table, neighbour := peopleRoad(t, h, capture.Config{})
		alter(t, h, conntest.ChangeKey, table)
		r.apply(setCell(&conntest.Table{Name: table.Name, Columns: table.Columns}, 1, 1, "đổi"))
		var status capture.Status
		r.await("the stop", func() bool { status = r.status(peopleDataset); return status.Stopped != "" })
		if status.Stopped != "schema.key" || !strings.Contains(status.Difference.En, "id -> id, counter") {
			t.Errorf("stopped by %q: %+v", status.Stopped, status.Difference)
		}
		r.apply(insertPerson(table, 70), insertPerson(neighbour, 70))
		r.same("sim.others", neighbour, "record_key", "full_name", "note", "counter")
		if err := r.capture.Redefine(t.Context(), parse(t, "people.yaml", peopleDefinition(table.Name))); err != nil {
			t.Fatal(err)
		}
		r.same(peopleDataset, table, "record_key", "full_name", "note", "counter")
		r.await("the gap to end", func() bool { return r.status(peopleDataset).Gap == nil })
		// Once confirmed, it stays confirmed.
		r.restart()
		r.await("a status", func() bool { return len(r.capture.Statuses()) > 0 })
		if s := r.status(peopleDataset); s.Stopped != "" {
			t.Errorf("after a restart: %+v", s.Difference)
		}
	})
}

// A table that is dropped and made again is emptied at the hub and filled with its new rows.
func TestSchema_RecreatedTableIsEmptied(t *testing.T) {
	each(t, func(t *testing.T, h conntest.Harness) {
		r, table, _ := peopleRoad(t, h, capture.Config{})
		alter(t, h, conntest.Recreate, table)
		r.apply(insertPerson(table, 7), insertPerson(table, 99))
		r.same(peopleDataset, table, "record_key", "full_name", "note", "counter")
		if s := r.status(peopleDataset); s.Stopped != "" {
			t.Errorf("status %+v", s)
		}
	})
}

// A field that was sent keeps its kind: the hub's column cannot change, and the hub would
// refuse the shape, which would hold up the whole chain.
func TestRedefine_RefusesWhatTheHubCannotTake(t *testing.T) {
	r, table, _ := peopleRoad(t, sqliteHarness(t), capture.Config{})
	for name, test := range map[string]struct{ from, to, code string }{
		"another kind":     {"household.head_name, field: note", "household.members, field: note", "definition.field_kind"},
		"another identity": {"identity: [record_key]", "identity: [key]", "definition.identity_changed"},
		"no such table":    {"table: people", "table: nowhere", "dataset.table"},
		"no such dataset":  {peopleDataset, "sim.strangers", "dataset.unknown"},
	} {
		text := strings.Replace(peopleDefinition(table.Name), test.from, test.to, 1)
		if name == "another identity" {
			text = strings.Replace(text, "element: record.key", "element: record.key, field: key", 1)
		}
		if err := r.capture.Redefine(t.Context(), parse(t, "people.yaml", text)); lienthong.ErrorCode(err) != test.code {
			t.Errorf("%s: %v, want %s", name, err, test.code)
		}
	}
	if s := r.status(peopleDataset); s.Stopped != "" || s.Gap != nil {
		t.Errorf("a refusal changes something: %+v", s)
	}
}
