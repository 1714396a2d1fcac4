package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite" // the driver of the sqlite3 command
)

// The commands of scripts and of the handbook. Each runs as a process of its own:
// the test binary under another name.
func TestMain(m *testing.M) {
	testscript.Main(leakless{m}, map[string]func(){
		"lienthong": main,
		"sqlite3":   sqlite3,
	})
}

// leakless fails when tests leave goroutines behind.
type leakless struct{ testscript.TestingM }

func (l leakless) Run() int {
	code := l.TestingM.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "flip": flip},
	})
}

// exits runs a program and wants an exit code: exits 2 lienthong --nonsense.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program [argument ...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		code = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// flip changes one bit in every file of a directory that holds the text: flip DIR TEXT.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip directory text")
	}
	flipped := 0
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		at := strings.Index(string(data), args[1])
		if at < 0 {
			return nil
		}
		flipped++
		data[at] ^= 1
		return os.WriteFile(path, data, 0o600)
	}))
	if flipped == 0 {
		ts.Fatalf("no file in %s holds %q", args[0], args[1])
	}
}

// sqlite3 does what scripts need of the program of that name: it runs the SQL of
// its second argument or of standard input, and prints rows with bars.
func sqlite3() { os.Exit(runSQLite3(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func runSQLite3(args []string, in io.Reader, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fail := func(err error) int {
		_, _ = fmt.Fprintln(errs, "sqlite3:", err)
		return 1
	}
	readOnly := len(args) > 0 && args[0] == "-readonly"
	if readOnly {
		args = args[1:]
	}
	if len(args) == 0 || len(args) > 2 {
		return fail(fmt.Errorf("usage: sqlite3 [-readonly] file [sql]"))
	}
	query := ""
	if len(args) == 2 {
		query = args[1]
	} else {
		text, err := io.ReadAll(in)
		if err != nil {
			return fail(err)
		}
		query = string(text)
	}
	dsn := "file:" + args[0] + "?_pragma=busy_timeout(5000)"
	if readOnly {
		dsn += "&mode=ro"
	}
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = db.Close() }()
	if err := printRows(ctx, db, query, out); err != nil {
		return fail(err)
	}
	return 0
}

func printRows(ctx context.Context, db *sql.DB, query string, out io.Writer) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]sql.NullString, len(columns))
	targets := make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		line := make([]string, len(values))
		for i, v := range values {
			line[i] = v.String
		}
		if _, err := fmt.Fprintln(out, strings.Join(line, "|")); err != nil {
			return err
		}
	}
	return rows.Err()
}
