package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong/internal/pgtest"
)

// TestMain lets the test binary be what the program starts again as hub and node.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "hub" || os.Args[1] == "node") {
		if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A small run of everything: the figures mean nothing, but both ends must be
// equal on every way, and every part must have been measured.
func TestSync_EveryPartRunsAndBothEndsAreEqual(t *testing.T) {
	if testing.Short() {
		t.Skip("starts two database clusters and several processes")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	var out bytes.Buffer
	err := runSync(ctx, syncConfig{
		rows: 10_000, changes: 1000, lagSeconds: 1, binary: true, dir: t.TempDir(), logLevel: "error",
		out: newPrinter(&out), progress: t.Output(),
	})
	if errors.Is(err, pgtest.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for decoder := json.NewDecoder(&out); decoder.More(); {
		var l line
		if err := decoder.Decode(&l); err != nil {
			t.Fatal(err)
		}
		names = append(names, l.Name)
		if l.Equal != nil && !*l.Equal {
			t.Errorf("%s: both ends are not equal", l.Name)
		}
	}
	want := []string{
		"snapshot_pg_pg", "native_snapshot", "stream_pg_pg", "native_stream", "native_stream_binary",
		"lag_300", "native_lag_300", "lag_2000", "native_lag_2000", "reconcile_pg_pg",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

func TestParseStat(t *testing.T) {
	for _, c := range []struct {
		name, content string
		want          processStat
		fails         bool
	}{
		{"plain", "12 (postgres) S 7 1 1 0 -1 0 1 2 3 4 100 20 30 4 20 0 1", processStat{7, 1200 * time.Millisecond, 340 * time.Millisecond}, false},
		{"a name with parentheses and spaces", "12 (a) b (c) S 7 1 1 0 -1 0 1 2 3 4 1 0 0 0 20 0 1", processStat{7, 10 * time.Millisecond, 0}, false},
		{"cut off", "12 (postgres) S 7 1", processStat{}, true},
		{"no name", "12 postgres", processStat{}, true},
		{"not a number", "12 (postgres) S x 1 1 0 -1 0 1 2 3 4 1 0 0 0 20 0 1", processStat{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseStat([]byte(c.content))
			if (err != nil) != c.fails {
				t.Fatalf("error %v", err)
			}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// CPU time that this process uses must show.
func TestCPUOf_GrowsWithWork(t *testing.T) {
	before, err := cpuOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	sum, deadline := 0, time.Now().Add(time.Minute)
	for after := before; after < before+3*tick; {
		for i := range 1_000_000 {
			sum += i
		}
		if after, err = cpuOf(os.Getpid()); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("no CPU time after a minute of work (%d)", sum)
		}
	}
	if memory(os.Getpid(), "VmHWM") < memory(os.Getpid(), "VmRSS")/2 || memory(os.Getpid(), "VmRSS") < 1 {
		t.Error("memory is not read")
	}
}
