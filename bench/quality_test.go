package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/lienthong/lienthong/internal/pgtest"
	"github.com/lienthong/lienthong/internal/quality"
)

// TestQualityOnASmallFile measures 20,000 rows in PostgreSQL and here: the counts must be the
// same, and every rule must be broken by some.
func TestQualityOnASmallFile(t *testing.T) {
	communes, err := communesOf(checkedAt)
	if err != nil || len(communes) < 3000 {
		t.Fatalf("%d communes, %v", len(communes), err)
	}
	people, err := newPeople(7, communes)
	if err != nil {
		t.Fatal(err)
	}
	var file, again bytes.Buffer
	if err := people.write(&file, 20_000); err != nil {
		t.Fatal(err)
	}
	if people, err = newPeople(7, communes); err == nil {
		err = people.write(&again, 20_000)
	}
	if err != nil || !bytes.Equal(file.Bytes(), again.Bytes()) {
		t.Fatalf("the same seed gives another file, %v", err)
	}
	checker, indexes, err := peopleChecker(30)
	if err != nil {
		t.Fatal(err)
	}
	found, err := checker.CheckFile(t.Context(), &file, quality.FileConfig{})
	if err != nil || found.Rows != 20_000 || found.Unreadable != 0 {
		t.Fatalf("%d rows, %d unreadable, %v", found.Rows, found.Unreadable, err)
	}
	for i, at := range indexes {
		if failed := found.Failed[at]; failed < 20 || failed > 10_000 {
			t.Errorf("%s is broken by %d rows", peopleRules(communeList)[i].rule.Code, failed)
		}
	}
	var out bytes.Buffer
	dir := t.TempDir()
	b := &qualityBench{
		qualityConfig: qualityConfig{rows: 20_000, postgresRows: 20_000, workers: 2, rounds: 1, duckdb: "none", dir: dir, out: &out, progress: new(bytes.Buffer)},
		csv:           dir + "/people.csv", encoder: json.NewEncoder(&out),
	}
	ctx := context.Background()
	if err := b.prepare(ctx); err != nil {
		t.Fatal(err)
	}
	reader, err := checker.CheckFile(ctx, bytes.NewReader(again.Bytes()), quality.FileConfig{})
	if err != nil || reader.Rows != 20_000 {
		t.Fatal(reader.Rows, err)
	}
	for _, n := range []int{20, 30} {
		result, err := inProcess(ctx, b.csv, n)
		if err != nil {
			t.Fatal(err)
		}
		b.found[n] = result.Counts
	}
	err = b.postgres(ctx)
	if errors.Is(err, pgtest.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if strings.Count(out.String(), `"equal":true`) != 2 {
		t.Error(out.String())
	}
	b.found[20][3]++ // one rule counts otherwise
	if err := b.print(&qualityLine{Name: "x", Rules: 20}, []engineResult{{Counts: append([]int64{20_000}, b.found[30][1:21]...)}}); err == nil || !strings.Contains(err.Error(), "number number.province") {
		t.Errorf("another count goes unnoticed: %v", err)
	}
}
