package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/trust"
	"go.uber.org/goleak"
)

// childVariable makes the test binary play a process of its own.
const childVariable = "LIENTHONG_AUDIT_CHILD"

func TestMain(m *testing.M) {
	if target := os.Getenv(childVariable); target != "" {
		role, dir, _ := strings.Cut(target, "=")
		if err := child(role, dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func child(role, dir string) error {
	ctx := context.Background()
	l, err := Open(ctx, Config{Dir: dir, Origin: "test/log", Linger: time.Millisecond, HeadInterval: 100 * time.Millisecond, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	switch role {
	case "append": // until killed; says which entries are acknowledged
		var mu sync.Mutex
		for writer := range 4 {
			go func() {
				for i := 0; ; i++ {
					entry := testEntry(i)
					entry.Actor = strconv.Itoa(writer)
					index, err := l.Append(ctx, entry)
					mu.Lock()
					fmt.Printf("%d %d %d %v\n", index, writer, i, err)
					mu.Unlock()
				}
			}()
		}
		select {}
	case "obstacle": // a write that fails, which must stay silent
		if err := os.WriteFile(filepath.Join(dir, "tile"), nil, 0o600); err != nil {
			return err
		}
		if _, err := l.Append(ctx, testEntry(0)); lienthong.ErrorCode(err) != "audit.not_written" {
			return fmt.Errorf("got %w", err)
		}
		if err := os.Remove(filepath.Join(dir, "tile")); err != nil {
			return err
		}
		if _, err := l.Append(ctx, testEntry(1)); err != nil {
			return err
		}
		return l.Close(ctx)
	}
	return errors.New("unknown role")
}

func testEntry(i int) Entry {
	return Entry{
		Kind: BatchSealed, Actor: "capture", Node: "population", Dataset: "population.person",
		Sequence: uint64(i), Digest: fmt.Sprintf("%064x", i),
		Detail: map[string]string{"rows": strconv.Itoa(i % 500)},
	}
}

func testConfig(dir string) Config {
	return Config{
		Dir: dir, Origin: "test/log", Linger: 2 * time.Millisecond, HeadInterval: 100 * time.Millisecond,
		Log: slog.New(slog.DiscardHandler),
	}
}

func open(t *testing.T, config Config) *Log {
	t.Helper()
	l, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l
}

func closeLog(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func fill(t *testing.T, l *Log, from, count int) []uint64 {
	t.Helper()
	entries := make([]Entry, count)
	for i := range entries {
		entries[i] = testEntry(from + i)
	}
	indexes, err := l.AppendAll(t.Context(), entries)
	if err != nil {
		t.Fatal(err)
	}
	return indexes
}

func verify(t *testing.T, dir string, options VerifyOptions) Report {
	t.Helper()
	key, err := os.ReadFile(dir + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	report, err := Verify(t.Context(), dir, string(key), options)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func sound(t *testing.T, dir string, entries uint64, options VerifyOptions) Report {
	t.Helper()
	report := verify(t, dir, options)
	if !report.Verified || report.Entries != entries || len(report.Problems) != 0 {
		t.Fatalf("%+v, want %d entries", report, entries)
	}
	return report
}

func TestLog_AppendReopenVerify(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	config := testConfig(dir)
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	config.Now = func() time.Time { return at }
	l := open(t, config)
	if head, err := l.Head(t.Context()); err != nil || head.Size != 0 {
		t.Fatalf("head of a new log: %+v, %v", head, err)
	}
	total := 0
	for _, count := range []int{1, 2, 300, 1500, 255, 1} {
		want := make([]uint64, count)
		for i := range want {
			want[i] = uint64(total + i)
		}
		if diff := cmp.Diff(want, fill(t, l, total, count)); diff != "" {
			t.Fatalf("places: %s", diff)
		}
		total += count
	}
	closeLog(t, l)
	closeLog(t, l)
	report := sound(t, dir, uint64(total), VerifyOptions{})
	if report.Unsigned != 0 || report.Origin != "test/log" {
		t.Fatalf("%+v", report)
	}
	if _, err := l.Append(t.Context(), testEntry(0)); lienthong.ErrorCode(err) != "audit.closed" {
		t.Fatalf("after Close: %v", err)
	}

	l = open(t, config)
	if _, err := Open(t.Context(), config); lienthong.ErrorCode(err) != "durable.locked" {
		t.Fatalf("two owners: %v", err)
	}
	head, err := l.Head(t.Context())
	if err != nil || head.Size != uint64(total) || head.Root != report.Root {
		t.Fatalf("head after a restart: %+v, %v", head, err)
	}
	if index, err := l.Append(t.Context(), testEntry(total)); err != nil || index != uint64(total) {
		t.Fatalf("place %d, %v", index, err)
	}
	records, err := l.Read(t.Context(), 250, 1000)
	if err != nil || len(records) != 1000 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for i, record := range records {
		want := testEntry(250 + i)
		want.No, want.At = uint64(251+i), at.UnixMicro()
		if diff := cmp.Diff(Record{Index: uint64(250 + i), Entry: want}, record); diff != "" {
			t.Fatal(diff)
		}
	}
	if records, err := l.Read(t.Context(), uint64(total)-1, 10); err != nil || len(records) != 2 {
		t.Fatalf("at the end: %d records, %v", len(records), err)
	}
	closeLog(t, l)
	// Signed before, and the log goes on from there.
	sound(t, dir, uint64(total)+1, VerifyOptions{Older: head.Note})
}

func TestLog_Enqueue(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	config := testConfig(dir)
	config.Queue = 8 // far fewer than come
	l := open(t, config)
	for i := range 600 {
		if err := l.Enqueue(t.Context(), testEntry(i)); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	sound(t, dir, 600, VerifyOptions{})
}

func TestLog_QueueFullRespectsContext(t *testing.T) {
	config := testConfig(filepath.Join(t.TempDir(), "audit"))
	config.Queue, config.Linger = 1, time.Hour // the writer takes one and waits
	l := open(t, config)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	done := make(chan error, 1)
	go func() {
		entries := make([]Entry, 2000)
		for i := range entries {
			entries[i] = testEntry(i)
		}
		_, err := l.AppendAll(ctx, entries)
		done <- err
	}()
	// The last group of 2000 lingers for an hour.
	deadline := time.NewTimer(300 * time.Millisecond)
	select {
	case err := <-done:
		t.Fatalf("returned before it was durable: %v", err)
	case <-deadline.C:
	}
	cancel(enough)
	if err := <-done; !errors.Is(err, enough) {
		t.Fatal(err)
	}
}

func TestEntry_Validate(t *testing.T) {
	l := open(t, testConfig(filepath.Join(t.TempDir(), "audit")))
	for name, entry := range map[string]Entry{
		"no kind":       {},
		"unknown kind":  {Kind: "gossip"},
		"not a digest":  {Kind: Login, Digest: "Nguyễn Văn A"},
		"a whole story": {Kind: Login, Detail: map[string]string{"x": strings.Repeat("x", maxEntry)}},
	} {
		if _, err := l.Append(t.Context(), entry); lienthong.ErrorCode(err) != "audit.entry" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if l.Size() != 0 {
		t.Fatal("something got in")
	}
}

func TestLog_Countersigned(t *testing.T) {
	identity, err := trust.OpenIdentity(t.TempDir(), "hub", trust.Options{})
	if err != nil {
		t.Fatal(err)
	}
	id := trust.NodeID{Bloc: lienthong.Government, Member: "G01", Node: "hub"}
	directory := trust.NewDirectory()
	if _, err := directory.Register(trust.Registration{Node: id, Role: trust.RoleHub, Key: identity.PublicKey()}); err != nil {
		t.Fatal(err)
	}
	options := VerifyOptions{Countersignature: func(head []byte, signature string) error {
		_, err := directory.Verify(head, signature)
		return err
	}}
	dir := filepath.Join(t.TempDir(), "audit")
	config := testConfig(dir)
	config.Countersign = identity.Sign
	l := open(t, config)
	fill(t, l, 0, 700)
	closeLog(t, l)
	if report := sound(t, dir, 700, options); !report.Countersigned {
		t.Fatalf("%+v", report)
	}
	flipEvery(t, dir, []string{countersignFile}, 1, options)

	// A head that cannot be countersigned is not published; its entries are kept.
	config.Countersign = func([]byte) (string, error) { return "", errors.New("no key") }
	l = open(t, config)
	fill(t, l, 700, 10)
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	if err := l.Close(ctx); lienthong.ErrorCode(err) != "audit.head_missing" {
		t.Fatalf("closed with %v", err)
	}
	if report := sound(t, dir, 700, options); report.Unsigned != 10 {
		t.Fatalf("%+v", report)
	}
	config.Countersign = identity.Sign
	closeLog(t, open(t, config))
	sound(t, dir, 710, options)

	if err := os.Remove(filepath.Join(dir, countersignFile)); err != nil {
		t.Fatal(err)
	}
	if report := verify(t, dir, options); report.Verified {
		t.Fatal("verified without the countersignature")
	}
}

// evidence lists the files that make up the log.
func evidence(t *testing.T, dir string) []string {
	t.Helper()
	paths := []string{checkpointFile}
	err := filepath.WalkDir(filepath.Join(dir, "tile"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			relative, relErr := filepath.Rel(dir, path)
			paths = append(paths, relative)
			err = relErr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// flipEvery flips one bit at every step'th byte of each file, and expects to be
// told which file it is.
func flipEvery(t *testing.T, dir string, paths []string, step int, options VerifyOptions) {
	t.Helper()
	for _, path := range paths {
		full := filepath.Join(dir, path)
		original, err := os.ReadFile(full)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(original); at += step {
			changed := slices.Clone(original)
			changed[at] ^= 1 << (at % 8)
			if err := os.WriteFile(full, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			report := verify(t, dir, options)
			named := slices.ContainsFunc(report.Problems, func(p Problem) bool { return p.Where == path })
			if report.Verified || !named {
				t.Fatalf("byte %d of %s: %+v", at, path, report)
			}
			at += at / 7 // fewer and fewer towards the end of long files
		}
		if err := os.WriteFile(full, original, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVerify_EveryFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := open(t, testConfig(dir))
	for i, count := range []int{3, 40, 300, 256, 1} { // leaves outgrown partial files behind
		fill(t, l, i*1000, count)
	}
	closeLog(t, l)
	sound(t, dir, 600, VerifyOptions{})
	paths := evidence(t, dir)
	if len(paths) < 10 {
		t.Fatalf("only %v", paths)
	}
	flipEvery(t, dir, paths[:1], 1, VerifyOptions{}) // every byte of the head
	flipEvery(t, dir, paths[1:], 13, VerifyOptions{})
	sound(t, dir, 600, VerifyOptions{})

	needed := 0
	for _, path := range paths {
		full := filepath.Join(dir, path)
		data, err := os.ReadFile(full)
		if err != nil {
			t.Fatal(err)
		}
		for name, spoil := range map[string]func() error{
			"removed": func() error { return os.Remove(full) },
			"cut":     func() error { return os.WriteFile(full, data[:len(data)/2], 0o600) },
			"longer":  func() error { return os.WriteFile(full, append(slices.Clone(data), 0), 0o600) },
		} {
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			report := verify(t, dir, VerifyOptions{})
			named := slices.ContainsFunc(report.Problems, func(p Problem) bool { return p.Where == path })
			if !named && name != "removed" { // an outgrown file may go: it says nothing that others do not
				t.Fatalf("%s %s: %+v", path, name, report)
			}
			if named && name == "removed" {
				needed++
			}
			if err := os.WriteFile(full, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if needed < 7 { // the head, three bundles, three tiles, the tile above
		t.Fatalf("only %d files are needed", needed)
	}
}

func TestVerify_RewrittenHistory(t *testing.T) {
	root := t.TempDir()
	genuine, rewritten := filepath.Join(root, "a"), filepath.Join(root, "b")
	l := open(t, testConfig(genuine))
	fill(t, l, 0, 300)
	closeLog(t, l)
	older, err := os.ReadFile(filepath.Join(genuine, checkpointFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{".key", ".pub"} { // whoever owns the key writes the log anew
		data, err := os.ReadFile(genuine + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(rewritten+suffix, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l = open(t, testConfig(rewritten))
	fill(t, l, 0, 299)
	fill(t, l, 5000, 50)
	closeLog(t, l)
	sound(t, rewritten, 349, VerifyOptions{})
	if report := verify(t, rewritten, VerifyOptions{Older: older}); report.Verified || report.Problems[0].Where != "older head" {
		t.Fatalf("%+v", report)
	}
	if report := verify(t, rewritten, VerifyOptions{Older: older[:len(older)-3]}); report.Verified {
		t.Fatal("took a broken older head")
	}
	shorter := filepath.Join(root, "c")
	for _, suffix := range []string{".key", ".pub"} {
		if err := os.Rename(genuine+suffix, shorter+suffix); err != nil {
			t.Fatal(err)
		}
	}
	l = open(t, testConfig(shorter))
	fill(t, l, 0, 100)
	closeLog(t, l)
	if report := verify(t, shorter, VerifyOptions{Older: older}); report.Verified {
		t.Fatal("a log that lost its end")
	}
}

func TestOpen_RefusesWhatIsNotWhole(t *testing.T) {
	make := func(t *testing.T) string {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "audit")
		l := open(t, testConfig(dir))
		fill(t, l, 0, 300)
		closeLog(t, l)
		return dir
	}
	for name, test := range map[string]struct {
		spoil func(dir string) error
		code  string
	}{
		"key lost":      {func(dir string) error { return os.Remove(dir + ".key") }, "audit.key_lost"},
		"key readable":  {func(dir string) error { return os.Chmod(dir+".key", 0o644) }, "audit.key_exposed"},
		"key of others": {func(dir string) error { return os.WriteFile(dir+".key", []byte("x"), 0o600) }, "audit.key_broken"},
		"state lost":    {func(dir string) error { return os.Remove(filepath.Join(dir, stateFile)) }, "audit.damaged"},
		"state older": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, stateFile), []byte(`{"size":299,"root":"`+strings.Repeat("A", 43)+`="}`), 0o600)
		}, "audit.damaged"},
		"head changed": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, checkpointFile), []byte("test/log\n1\n\n"), 0o600)
		}, "audit.damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := make(t)
			if err := test.spoil(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(t.Context(), testConfig(dir)); lienthong.ErrorCode(err) != test.code {
				t.Fatalf("%v, want %s", err, test.code)
			}
		})
	}
	if _, err := Open(t.Context(), Config{Dir: t.TempDir(), Origin: "a b", Batch: 5000}); lienthong.ErrorCode(err) != "audit.config" {
		t.Fatal(err)
	}
}

func TestLog_WriteFailsSilentlyAndGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), childVariable+"=obstacle="+dir)
	output, err := command.CombinedOutput()
	if err != nil || len(output) != 0 {
		t.Fatalf("%v, output %q", err, output)
	}
	sound(t, dir, 1, VerifyOptions{})
}

func TestOpen_RemovesWhatACrashLeft(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := open(t, testConfig(dir))
	fill(t, l, 0, 300)
	closeLog(t, l)
	head, err := os.ReadFile(filepath.Join(dir, checkpointFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"tile/entries/001.p/60", "tile/entries/001", "tile/entries/002.p/1", // written, but not in the tree
		"tile/0/001.p/255", "tile/0/001", "tile/1/000.p/2",
		"tile/entries/001.p/6012345678", "tile/entries/0019", "tile/0/0011234", "tile/1/000.p/2999", // not yet renamed
		"checkpoint1234", ".state/treeState99",
	} {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte("rest of a write"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if report := sound(t, dir, 300, VerifyOptions{}); report.Unfinished != 10 {
		t.Fatalf("before the restart: %+v", report)
	}
	l = open(t, testConfig(dir))
	if report := sound(t, dir, 300, VerifyOptions{}); report.Unfinished != 0 {
		t.Fatalf("after the restart: %+v", report)
	}
	for _, path := range []string{"checkpoint1234", ".state/treeState99"} {
		if _, err := os.Stat(filepath.Join(dir, path)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	fill(t, l, 300, 700)
	closeLog(t, l)
	sound(t, dir, 1000, VerifyOptions{Older: head})
}

func TestLog_Killed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	type place struct{ writer, i string }
	acknowledged := map[uint64]place{}
	for round := range 8 {
		command := exec.CommandContext(t.Context(), os.Args[0])
		command.Env = append(os.Environ(), childVariable+"=append="+dir)
		command.Stderr = os.Stderr
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for count := 0; lines.Scan(); count++ {
			if count == 20+round*37 {
				if err := command.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			fields := strings.Fields(lines.Text())
			if len(fields) != 4 || !strings.HasSuffix(lines.Text(), "<nil>") {
				continue // the line that the kill cut off
			}
			index, err := strconv.ParseUint(fields[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if held, twice := acknowledged[index]; twice {
				t.Fatalf("place %d was given to %v and again", index, held)
			}
			acknowledged[index] = place{fields[1], fields[2]}
		}
		_ = command.Wait()
		if report := verify(t, dir, VerifyOptions{}); !report.Verified {
			t.Fatalf("round %d, before the restart: %+v", round, report)
		}
	}
	l := open(t, testConfig(dir))
	records, err := l.Read(t.Context(), 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if len(acknowledged) < 8*20 {
		t.Fatalf("only %d acknowledged", len(acknowledged))
	}
	for index, want := range acknowledged {
		if index >= uint64(len(records)) {
			t.Fatalf("acknowledged entry %d of %d is lost", index, len(records))
		}
		entry := records[index].Entry
		if got := (place{entry.Actor, strconv.FormatUint(entry.Sequence, 10)}); got != want {
			t.Fatalf("entry %d is %v, acknowledged was %v", index, got, want)
		}
	}
	closeLog(t, l)
	if report := sound(t, dir, uint64(len(records)), VerifyOptions{}); report.Unfinished != 0 {
		t.Fatalf("left over after a restart: %+v", report)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{256, 1024} {
		b.Run(strconv.Itoa(writers), func(b *testing.B) {
			dir := filepath.Join(b.TempDir(), "audit")
			l, err := Open(b.Context(), Config{Dir: dir, Origin: "bench", Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			entry := testEntry(1)
			entry.Detail["padding"] = strings.Repeat("x", 700)
			b.SetParallelism(writers / 2)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := l.Append(b.Context(), entry); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			if err := l.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "audit")
	l, err := Open(b.Context(), Config{Dir: dir, Origin: "bench", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	const size = 100_000
	entries := make([]Entry, size)
	for i := range entries {
		entries[i] = testEntry(i)
	}
	if _, err := l.AppendAll(b.Context(), entries); err != nil {
		b.Fatal(err)
	}
	if err := l.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		report, err := Verify(b.Context(), dir, l.VerifierKey(), VerifyOptions{})
		if err != nil || !report.Verified || report.Entries != size {
			b.Fatalf("%+v, %v", report, err)
		}
	}
	b.ReportMetric(size*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
