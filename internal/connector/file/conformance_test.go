package file_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/conntest"
	"github.com/lienthong/lienthong/internal/connector/file"
)

func TestMain(m *testing.M) {
	if order := os.Getenv(childVariable); order != "" {
		os.Exit(child(order))
	}
	goleak.VerifyTestMain(m)
}

// office is a commune office that keeps lists and hands them in as CSV.
type office struct {
	mu     sync.Mutex
	root   string
	state  string
	mode   file.Mode
	tables []*conntest.Table
	rows   map[string]map[string][]conntest.Cell
	sent   int

	clerk  *file.Source // accepts what is sent
	clerks int          // tables that it knows
}

func (o *office) config() file.Config {
	c := file.Config{Root: o.root, StateDir: o.state, Interval: 2 * time.Millisecond, Settle: 1}
	declare := func(name string, columns []conntest.Column) {
		t := file.Table{Name: name, Pattern: "xa-*/" + name + "-*.csv", Mode: o.mode, AllowEmpty: true}
		for _, column := range columns {
			if column.Key {
				t.Key = append(t.Key, column.Name)
			}
			if o.mode == file.Delta {
				t.Columns = append(t.Columns, lienthong.Column{Name: column.Name, Kind: column.Kind, Nullable: !column.Key})
			}
		}
		if o.mode == file.Delta {
			t.Operation = "thao_tac"
		}
		c.Tables = append(c.Tables, t)
	}
	for _, table := range o.tables {
		declare(table.Name, table.Columns)
	}
	if !slices.ContainsFunc(o.tables, func(t *conntest.Table) bool { return t.Name == "two" }) && len(o.tables) > 0 {
		declare("two", o.tables[0].Columns)
	}
	return c
}

func csv(cells []string) string {
	for i := range cells {
		cells[i] = `"` + strings.ReplaceAll(cells[i], `"`, `""`) + `"`
	}
	return strings.Join(cells, ";") + "\n"
}

// send puts a file in place and has it accepted, which is the commit of a drop folder.
func (o *office) send(ctx context.Context, commune, name, content string) error {
	folder := filepath.Join(o.root, commune)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	o.sent++
	unfinished := filepath.Join(folder, ".writing")
	if err := os.WriteFile(unfinished, []byte(content), 0o600); err != nil {
		return err
	}
	if err := os.Rename(unfinished, filepath.Join(folder, fmt.Sprintf("%s-%06d.csv", name, o.sent))); err != nil {
		return err
	}
	if o.clerk == nil || o.clerks != len(o.tables) {
		if err := o.close(); err != nil {
			return err
		}
		var err error
		if o.clerk, err = file.Open(ctx, o.config()); err != nil {
			return err
		}
		o.clerks = len(o.tables)
	}
	_, err := o.clerk.Accept(ctx)
	return err
}

func (o *office) close() error {
	if o.clerk == nil {
		return nil
	}
	return o.clerk.Close()
}

// communeOf spreads the rows of full files over communes, each with a file of its own.
func (o *office) communeOf(key string) string {
	if o.mode == file.Delta {
		return "xa-1"
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return fmt.Sprintf("xa-%d", h.Sum32()%8)
}

func header(table *conntest.Table) []string {
	var names []string
	for _, c := range table.Columns {
		names = append(names, c.Name)
	}
	return names
}

func cells(row []conntest.Cell) []string {
	var texts []string
	for _, c := range row {
		texts = append(texts, c.Text)
	}
	return texts
}

func keyOf(table *conntest.Table, row []conntest.Cell) string {
	key := ""
	for i, c := range table.Columns {
		if c.Key {
			key += row[i].Text + "\x00"
		}
	}
	return key
}

func (o *office) apply(ctx context.Context, writes ...conntest.Write) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	type target struct {
		table   *conntest.Table
		commune string
	}
	var touched []target
	deltas := map[string]string{}
	for _, w := range writes {
		name := w.Table.Name
		touch := func(key string) {
			if at := (target{w.Table, o.communeOf(key)}); !slices.Contains(touched, at) {
				touched = append(touched, at)
			}
		}
		if o.rows[name] == nil {
			o.rows[name] = map[string][]conntest.Cell{}
		}
		rows := o.rows[name]
		forget := func(key string) {
			if row, ok := rows[key]; ok {
				touch(key)
				deltas[name] += csv(append(cells(row), "xoá"))
				delete(rows, key)
			}
		}
		put := func(row []conntest.Cell) {
			for i := range row {
				if row[i].Text == "" {
					row[i] = conntest.Cell{} // an empty cell and none are the same
				}
			}
			touch(keyOf(w.Table, row))
			rows[keyOf(w.Table, row)] = row
			deltas[name] += csv(append(cells(row), "ghi"))
		}
		key := ""
		for _, c := range w.Key {
			key += c.Text + "\x00"
		}
		switch w.Verb {
		case conntest.Insert:
			put(slices.Clone(w.Row))
		case conntest.Update:
			row := slices.Clone(rows[key])
			for i, c := range w.Row {
				if c.State != lienthong.Unchanged && row != nil {
					row[i] = c
				}
			}
			if row == nil {
				continue
			}
			if keyOf(w.Table, row) != key {
				forget(key)
			}
			put(row)
		case conntest.Delete:
			forget(key)
		case conntest.Truncate:
			for key := range rows {
				forget(key)
			}
		}
	}
	for _, at := range touched {
		table := at.table
		content := csv(append(header(table), "thao_tac")) + deltas[table.Name]
		if o.mode == file.Full {
			content = csv(header(table))
			for key, row := range o.rows[table.Name] {
				if o.communeOf(key) == at.commune {
					content += csv(cells(row))
				}
			}
		}
		if err := o.send(ctx, at.commune, table.Name, content); err != nil {
			return err
		}
	}
	return nil
}

// bulk hands in one large file, which whoever streams takes in.
func (o *office) bulk(_ context.Context, table *conntest.Table, first, count int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	folder := filepath.Join(o.root, "xa-0")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(folder, ".writing"))
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	fmt.Fprint(w, csv(append(header(table), "thao_tac")))
	for id := first; id < first+count; id++ {
		fmt.Fprintf(w, "%s;Nguyễn Văn %d;lần 1;%d;ghi\n", conntest.PersonID(id), id, id)
	}
	if err := errors.Join(w.Flush(), out.Close()); err != nil {
		return err
	}
	o.sent++
	return os.Rename(out.Name(), filepath.Join(folder, fmt.Sprintf("%s-%06d.csv", table.Name, o.sent)))
}

func harness(mode file.Mode) func(t *testing.T) conntest.Harness {
	return func(t *testing.T) conntest.Harness {
		if raceEnabled && strings.HasSuffix(t.Name(), "/SnapshotResumes") {
			t.Skip("hundreds of files take minutes under the race detector; the test runs without it")
		}
		o := &office{root: t.TempDir(), state: t.TempDir(), mode: mode, rows: map[string]map[string][]conntest.Cell{}}
		t.Cleanup(func() { _ = o.close() })
		h := conntest.Harness{
			Open: func() (connector.Source, error) {
				o.mu.Lock()
				defer o.mu.Unlock()
				return file.Open(t.Context(), o.config())
			},
			Create: func(ctx context.Context, table *conntest.Table) (string, error) {
				o.mu.Lock()
				defer o.mu.Unlock()
				o.tables = append(o.tables, table)
				if mode == file.Delta {
					return table.Name, nil
				}
				return table.Name, o.send(ctx, "xa-0", table.Name, csv(header(table)))
			},
			Apply: o.apply,
			Rows: func(_ context.Context, table *conntest.Table) ([][]conntest.Cell, error) {
				o.mu.Lock()
				defer o.mu.Unlock()
				var rows [][]conntest.Cell
				for _, row := range o.rows[table.Name] {
					rows = append(rows, slices.Clone(row))
				}
				return rows, nil
			},
			Capabilities: conntest.Capabilities{
				Kinds:   []lienthong.Kind{lienthong.Text},
				Deletes: true, Truncate: true, EveryChange: true, ConcurrentWriters: true,
			},
		}
		// An office drops columns and changes keys by agreement with the hub, not by a file: such
		// a file is refused. What it can do is to hand in an empty list and begin anew.
		h.Alter = map[conntest.Alteration]func(context.Context, *conntest.Table) error{
			conntest.Recreate: func(ctx context.Context, table *conntest.Table) error {
				return o.apply(ctx, conntest.Write{Verb: conntest.Truncate, Table: table})
			},
		}
		h.Bulk = o.bulk
		if mode == file.Delta {
			h.Capabilities.Kinds = []lienthong.Kind{
				lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Real,
				lienthong.Boolean, lienthong.Date, lienthong.Timestamp,
			}
		} else {
			h.AddColumn = func(_ context.Context, table *conntest.Table, _ conntest.Column) error {
				o.mu.Lock()
				defer o.mu.Unlock()
				for key, row := range o.rows[table.Name] {
					o.rows[table.Name][key] = append(row, conntest.Cell{})
				}
				return nil
			}
		}
		return h
	}
}

func TestConformanceFull(t *testing.T) { conntest.Run(t, harness(file.Full)) }

func TestConformanceDelta(t *testing.T) { conntest.Run(t, harness(file.Delta)) }
