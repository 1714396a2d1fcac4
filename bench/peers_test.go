package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lienthong/lienthong/internal/pgtest"
)

// fakePeer makes this test binary one of the peers, when it is started by such a name:
// conduit copies and follows, pgstream fails, pgcopydb hangs and will not end, ingestr copies
// what there is and ends. Each finds its databases where its real one would.
func fakePeer(name string, args []string) (isPeer bool, failure error) {
	version := slices.ContainsFunc(args, func(a string) bool { return a == "version" || a == "--version" })
	switch {
	case !slices.Contains([]string{"conduit", "pgstream", "pgcopydb", "ingestr"}, name):
		return false, nil
	case version:
		fmt.Println(name, "v1.2.3")
		return true, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	switch name {
	case "conduit":
		at := slices.Index(args, "--pipelines.path") + 1
		urls, err := urlsIn(filepath.Join(args[at], "citizen.yaml"))
		if err != nil {
			return true, err
		}
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
		defer stop()
		for ctx.Err() == nil {
			if err := copyTable(ctx, urls[0], urls[1]); err != nil && ctx.Err() == nil {
				return true, err
			}
		}
		return true, nil
	case "pgstream":
		if args[0] == "init" {
			urls, err := urlsIn(args[2])
			if err != nil || len(urls) != 2 {
				return true, fmt.Errorf("configuration: %v %w", urls, err)
			}
			return true, nil
		}
		return true, errors.New("wal2json is not installed")
	case "pgcopydb":
		signal.Ignore(syscall.SIGTERM)
		// A child too: it must not outlive its parent.
		child := exec.Command("sleep", "600")
		if err := child.Start(); err != nil {
			return true, err
		}
		at := slices.Index(args, "--dir") + 1
		pids := fmt.Sprintf("%d %d", os.Getpid(), child.Process.Pid)
		if err := os.WriteFile(filepath.Join(filepath.Dir(args[at]), "pids"), []byte(pids), 0o600); err != nil {
			return true, err
		}
		<-ctx.Done()
		return true, child.Wait()
	default:
		source := strings.Replace(args[slices.Index(args, "--source-uri")+1], "postgres+cdc", "postgres", 1)
		source, _, _ = strings.Cut(source, "&slot=")
		target := args[slices.Index(args, "--dest-uri")+1]
		return true, markAndCopy(ctx, source, target)
	}
}

func urlsIn(path string) ([]string, error) {
	content, err := os.ReadFile(path)
	var urls []string
	for _, m := range regexp.MustCompile(`\burl: "(postgres:[^"]+)"`).FindAllStringSubmatch(string(content), -1) {
		urls = append(urls, m[1])
	}
	return urls, err
}

// copyTable makes the target's table the same as the source's, in one transaction.
func copyTable(ctx context.Context, from, to string) error {
	source, err := pgx.Connect(ctx, from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close(context.WithoutCancel(ctx)) }()
	target, err := pgx.Connect(ctx, to)
	if err != nil {
		return err
	}
	defer func() { _ = target.Close(context.WithoutCancel(ctx)) }()
	var content bytes.Buffer
	if _, err := source.PgConn().CopyTo(ctx, &content, "COPY citizen ("+strings.Join(columns(), ", ")+") TO STDOUT"); err != nil {
		return err
	}
	tx, err := target.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, "DELETE FROM citizen"); err != nil {
		return err
	}
	if _, err := target.PgConn().CopyFrom(ctx, &content, "COPY citizen ("+strings.Join(columns(), ", ")+") FROM STDIN"); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// markAndCopy makes the table itself and keeps a row that is marked as deleted.
func markAndCopy(ctx context.Context, from, to string) error {
	target, err := pgx.Connect(ctx, to)
	if err != nil {
		return err
	}
	defer func() { _ = target.Close(ctx) }()
	if _, err := target.Exec(ctx, strings.Replace(tableDDL, "CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1)+
		"; ALTER TABLE citizen ADD COLUMN IF NOT EXISTS _cdc_deleted boolean"); err != nil {
		return err
	}
	if err := copyTable(ctx, from, to); err != nil {
		return err
	}
	_, err = target.Exec(ctx, "INSERT INTO citizen SELECT -1, personal_number, full_name, birth_date, sex, ethnicity, birth_province, phone, address_line, commune, verified_at, updated_at, true FROM citizen LIMIT 1")
	return err
}

// Programs on PATH are found, configured and measured; one that fails or hangs gets a
// line that says so, is ended with all that it started, and the others go on.
func TestPeers_AreMeasuredOrSayWhyNot(t *testing.T) {
	if testing.Short() {
		t.Skip("starts two database clusters and several processes")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin, dir := t.TempDir(), t.TempDir()
	for _, p := range peers() {
		if err := os.Symlink(self, filepath.Join(bin, p.binary)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var out bytes.Buffer
	err = runSync(ctx, syncConfig{
		rows: 3000, changes: 300, fileRows: 1, lagSeconds: 0, only: "snapshot,stream", peers: true, peerBudget: 15 * time.Second,
		dir: dir, logLevel: "error", out: newPrinter(&out), progress: t.Output(),
	})
	if errors.Is(err, pgtest.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]line{}
	for decoder := json.NewDecoder(&out); decoder.More(); {
		var l line
		if err := decoder.Decode(&l); err != nil {
			t.Fatal(err)
		}
		lines[l.Name] = l
	}
	for _, name := range []string{"peer_conduit_snapshot", "peer_conduit_stream", "peer_ingestr_snapshot", "peer_ingestr_stream"} {
		l, measured := lines[name]
		if !measured || l.Error != "" || l.Equal == nil || !*l.Equal || l.Version == "" || l.CPU <= 0 || l.PeakRSS <= 0 {
			t.Errorf("%s: %+v", name, l)
		}
	}
	for name, why := range map[string]string{"peer_pgstream_snapshot": "wal2json is not installed", "peer_pgcopydb_snapshot": "not finished within 15s"} {
		if l := lines[name]; !strings.Contains(l.Error, why) || l.CPU != 0 {
			t.Errorf("%s: %+v", name, l)
		}
	}
	for _, name := range []string{"peer_pgstream_stream", "peer_pgcopydb_stream"} {
		if l, measured := lines[name]; measured {
			t.Errorf("a stream was measured of a peer whose first load failed: %+v", l)
		}
	}
	content, err := os.ReadFile(filepath.Join(dir, "peer-pgcopydb", "pids"))
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range strings.Fields(string(content)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		if running := alive(pid); running {
			t.Errorf("process %d of the program that hung still runs", pid)
		}
	}
}

// alive reports whether a process runs; one that has ended and that nobody has waited
// for does not.
func alive(pid int) bool {
	content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(content), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// A peer that is not there is no line and no failure.
func TestPeers_NotOnPathAreLeftOut(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var progress bytes.Buffer
	s := &syncRun{platform: platform{syncConfig: syncConfig{progress: &progress}}}
	found, err := s.peerSnapshots(t.Context(), nil)
	if err != nil || len(found) != 0 {
		t.Fatalf("found %v, %v", found, err)
	}
	if got := strings.Count(progress.String(), "is not on PATH"); got != len(peers()) {
		t.Errorf("%d of %d are named", got, len(peers()))
	}
}

func TestLastInsert(t *testing.T) {
	s := &syncRun{platform: platform{syncConfig: syncConfig{rows: 1000}}}
	for before, want := range map[int64]int64{10: 1018, 9: 1018, 8: 1015, 3: 1012, 13: 1022} {
		if got := s.lastInsert(before); got != want {
			t.Errorf("before %d: %d, want %d", before, got, want)
		}
	}
}

func TestTail_KeepsTheEnd(t *testing.T) {
	var kept tail
	for i := range 100 {
		fmt.Fprintf(&kept, "line %d of what it says\n", i)
	}
	if s := kept.String(); len(s) != tailBytes || !strings.HasSuffix(s, "line 99 of what it says\n") {
		t.Errorf("%d bytes: %q", len(s), s)
	}
}

// Writers that are too slow are said so; the rate that was offered is the one measured.
func TestPaced_SaysWhetherTheRateWasHeld(t *testing.T) {
	for _, c := range []struct {
		name string
		each time.Duration
		held bool
	}{{"fast", 0, true}, {"slow", 40 * time.Millisecond, false}} {
		t.Run(c.name, func(t *testing.T) {
			open := func(context.Context) (commit, func(), error) {
				return func(ctx context.Context, _ int64) error { return wait(ctx, c.each) }, func() {}, nil
			}
			p, err := paced(t.Context(), open, 0, 400, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			var l line
			p.into(&l)
			if l.Held == nil || *l.Held != c.held || (l.Note == "") != c.held {
				t.Errorf("%+v", l)
			}
			if !c.held && (l.Offered < 20 || l.Offered > 250) { // eight writers, 25 a second each
				t.Errorf("offered %v a second", l.Offered)
			}
		})
	}
}
