package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
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
	if isPeer, err := fakePeer(filepath.Base(os.Args[0]), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	} else if isPeer {
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
		rows: 10_000, changes: 1000, fileRows: 2000, lagSeconds: 1, binary: true, dir: t.TempDir(), logLevel: "error",
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
		if l.Error != "" {
			t.Errorf("%s: %s", l.Name, l.Error)
		}
	}
	want := []string{
		"snapshot_pg_pg", "native_snapshot", "stream_pg_pg", "native_stream", "native_stream_binary",
		"lag_300", "native_lag_300", "lag_2000", "native_lag_2000", "reconcile_pg_pg",
	}
	if _, err := exec.LookPath("mariadb-dump"); err == nil {
		want = append(want, "snapshot_maria_pg", "native_maria_snapshot", "stream_maria_pg", "native_maria_stream", "lag_maria_300")
	}
	want = append(want, "file_import_csv", "native_copy_csv", "file_import_xlsx", "total")
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

// Memory and CPU of children count, and so does what they started in turn.
func TestTree_HasDescendants(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "sleep 60 & wait")
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	for deadline := time.Now().Add(time.Minute); ; {
		found, err := tree(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		_, child := found[cmd.Process.Pid]
		if below := len(found) >= 3; child && below {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("found %v", found)
		}
	}
	if _, err := cpuOfTree(cmd.Process.Pid); err != nil {
		t.Error(err)
	}
	if _, err := tree(-1); err == nil {
		t.Error("no such process, and no failure")
	}
}

func TestCheck_RefusesUnknownParts(t *testing.T) {
	c := syncConfig{rows: 10_000, changes: 100, only: "snapshot, files"}
	if err := c.check(); err != nil {
		t.Error(err)
	}
	if c.only = "snapshto"; c.check() == nil {
		t.Error("an unknown part is taken")
	}
	if c = (syncConfig{rows: 1000, changes: 1000}); c.check() == nil {
		t.Error("more deletes than rows are taken")
	}
}
