package file_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/file"
)

// childVariable makes this test binary a process that imports, so that its memory can be
// measured and it can be killed.
const childVariable = "LIENTHONG_FILE_CHILD"

type order struct {
	Root, State string
	KillStage   string // die in this stage
	KillRows    int64  // after so many rows
}

type outcome struct {
	Reports  int
	First    file.Progress // of the first report
	Upserts  int
	Wrong    int
	Position lienthong.Position
	Peak     int64 // bytes of memory
}

// counter is a sink that only counts.
type counter struct {
	out   outcome
	ended context.CancelFunc
}

func (c *counter) Begin(lienthong.Position, int64) error { return nil }

func (c *counter) Change(row *connector.Row) error {
	if row.Op != lienthong.Upsert || len(row.Values) < 12 || row.Values[1].State != lienthong.Present {
		c.out.Wrong++
	}
	c.out.Upserts++
	return nil
}

func (c *counter) Truncate(int, int64, int64) error    { return nil }
func (c *counter) Schema(int, connector.Table) error   { return nil }
func (c *counter) Commit(pos lienthong.Position) error { c.out.Position = pos; return nil }
func (c *counter) Idle() error                         { c.ended(); return nil }

func child(text string) int {
	if err := importAll(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func importAll(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	debug.SetMemoryLimit(80 << 20) // as a node does
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := &counter{ended: cancel}
	source, err := file.Open(ctx, file.Config{
		Root: o.Root, StateDir: o.State, Tables: []file.Table{households()}, Interval: time.Millisecond, Settle: 1,
		Progress: func(p file.Progress) {
			if c.out.Reports++; c.out.Reports == 1 {
				c.out.First = p
			}
			if o.KillStage == p.Stage && p.Rows >= o.KillRows {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		},
	})
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	pos, err := source.Start(ctx, []string{"ho_dan"})
	if err != nil {
		return err
	}
	if err := source.Stream(ctx, pos, c); ctx.Err() == nil {
		return err
	}
	if err := source.Acknowledge(context.Background(), c.out.Position); err != nil {
		return err
	}
	c.out.Peak = peakMemory()
	return json.NewEncoder(os.Stdout).Encode(c.out)
}

// peakMemory is the most memory that this process has had. What the parent is told of a child
// is no measure: it begins with the parent's own.
func peakMemory() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kilobytes int64
	if _, err := fmt.Sscan(after, &kilobytes); err != nil {
		return 0
	}
	return kilobytes << 10
}

// spawn runs a child and returns what it says and its processor time.
func spawn(t *testing.T, o order) (outcome, time.Duration, error) {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	var done outcome
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &done)
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, said.String())
	}
	return done, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), err
}

func millionRows(t *testing.T) int {
	if testing.Short() || raceEnabled {
		return 100_000
	}
	return 1_000_000
}

func writeCSV(w io.Writer, rows int) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "Mã hộ;Họ tên;Ngày sinh;Giới tính;Tỉnh;Xã;Địa chỉ;Dân tộc;Điện thoại;Trạng thái;Cập nhật;Số")
	for i := range rows {
		fmt.Fprintf(b, "%012d;Nguyễn Thị Ánh;1990-02-03;Nữ;96;31825;Số %d, khóm 3;Kinh;0912345678;A;2026-11-23;%d\n", i, i, i)
	}
	return b.Flush()
}

func writeXLSX(w io.Writer, rows int) error {
	book := excelize.NewFile()
	defer func() { _ = book.Close() }()
	stream, err := book.NewStreamWriter("Sheet1")
	if err != nil {
		return err
	}
	row := make([]any, 12)
	for i := range rows {
		copy(row, []any{fmt.Sprintf("%012d", i), "Nguyễn Thị Ánh", "1990-02-03", "Nữ", "96", "31825", fmt.Sprintf("Số %d, khóm 3", i), "Kinh", "0912345678", "A", "2026-11-23", i})
		if i == 0 {
			copy(row, people(0)[0])
		}
		if err := stream.SetRow(fmt.Sprintf("A%d", i+1), row); err != nil {
			return err
		}
	}
	if err := stream.Flush(); err != nil {
		return err
	}
	_, err = book.WriteTo(w)
	return err
}

// writeShared writes a workbook as Excel does, with every text in the shared strings, most
// of them used once.
func writeShared(w io.Writer, rows int) error {
	return sharedWorkbook(w, rows, func(i int) []string {
		return []string{fmt.Sprintf("%012d", i), "Nguyễn Thị Ánh", "1990-02-03", "Nữ", "96", "31825", fmt.Sprintf("Số %d, khóm 3", i), "Kinh", fmt.Sprintf("09%08d", i), "A", "2026-11-23", fmt.Sprint(i)}
	})
}

// TestMillion: a million rows are imported in bounded memory, with progress.
func TestMillion(t *testing.T) {
	rows := millionRows(t)
	for _, form := range []struct {
		name  string
		write func(io.Writer, int) error
		want  int
	}{
		{"ho_dan.csv", writeCSV, rows},
		{"ho_dan.xlsx", writeXLSX, rows - 1}, // with the header
		{"ho_dan-shared.xlsx", writeShared, rows - 1},
	} {
		t.Run(form.name, func(t *testing.T) {
			o := order{Root: t.TempDir(), State: t.TempDir()}
			putFile(t, filepath.Join(o.Root, "xa1", form.name), func(w io.Writer) error { return form.write(w, rows) })
			done, cpu, err := spawn(t, o)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d rows: %.1f us of processor time a row (import, stream, answer), peak %d MB, %d reports, at the first %d of about %d rows",
				done.Upserts, float64(cpu.Microseconds())/float64(done.Upserts), done.Peak>>20, done.Reports, done.First.Rows, done.First.EstimatedRows)
			if done.Upserts != form.want || done.Wrong != 0 {
				t.Errorf("%d rows, %d of them wrong; want %d", done.Upserts, done.Wrong, form.want)
			}
			if done.Peak == 0 || done.Peak > 200<<20 {
				t.Errorf("peak of memory %d MB, promised 200", done.Peak>>20)
			}
			if done.Reports < rows/100_000 || done.First.EstimatedRows < int64(rows)*7/10 || done.First.EstimatedRows > int64(rows)*13/10 {
				t.Errorf("%d reports, at the first about %d rows were expected", done.Reports, done.First.EstimatedRows)
			}
		})
	}
}

// TestKilled: an import that is killed goes on where it was, and nothing is lost or twice.
func TestKilled(t *testing.T) {
	const rows = 100_000
	for _, stage := range []string{"reading", "storing"} {
		for _, form := range []struct {
			name  string
			write func(io.Writer, int) error
			want  int
		}{{"ho_dan.csv", writeCSV, rows}, {"ho_dan.xlsx", writeXLSX, rows - 1}} {
			t.Run(stage+" "+form.name, func(t *testing.T) {
				o := order{Root: t.TempDir(), State: t.TempDir(), KillStage: stage, KillRows: rows / 2}
				name := filepath.Join(o.Root, "xa1", form.name)
				putFile(t, name, func(w io.Writer) error { return form.write(w, rows) })
				if _, _, err := spawn(t, o); err == nil || !strings.Contains(err.Error(), "killed") {
					t.Fatalf("the child was not killed: %v", err)
				}
				// The owner has taken the file away meanwhile: what was taken in counts.
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
				o.KillStage = ""
				done, _, err := spawn(t, o)
				if err != nil {
					t.Fatal(err)
				}
				if done.Upserts != form.want || done.Wrong != 0 {
					t.Errorf("%d rows, %d of them wrong; want %d", done.Upserts, done.Wrong, form.want)
				}
				if stage == "storing" && done.First.Rows < rows/2 {
					t.Errorf("began again with row %d of %d", done.First.Rows, rows)
				}
				left, err := os.ReadDir(filepath.Join(o.State, "incoming"))
				if err != nil || len(left) > 1 { // the lock
					t.Errorf("left behind: %v, %v", left, err)
				}
			})
		}
	}
}

func putFile(t testing.TB, name string, write func(io.Writer) error) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(name + ".tmp")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(write(out), out.Close(), os.Rename(out.Name(), name)); err != nil {
		t.Fatal(err)
	}
}
