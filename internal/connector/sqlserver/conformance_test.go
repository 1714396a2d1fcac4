package sqlserver

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/conntest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func typed(c conntest.Column) column {
	types := [...]string{"nvarchar(max)", "bigint", "decimal(38,10)", "float", "bit", "date", "datetime2(6)", "varbinary(max)"}
	t := column{c, types[c.Kind]}
	if c.Key && c.Kind == lienthong.Text {
		t.sourceType = "nvarchar(450)"
	}
	return t
}

func columnsOf(table *conntest.Table) []column {
	var columns []column
	for _, c := range table.Columns {
		columns = append(columns, typed(c))
	}
	return columns
}

// truth reads the table past the package.
func (s *server) truth(ctx context.Context, table *conntest.Table) ([][]conntest.Cell, error) {
	var names []string
	for _, c := range table.Columns {
		names = append(names, "+"+quote(c.Name))
	}
	rows, err := s.db.QueryContext(ctx, "SELECT "+strings.Join(names, ", ")+" FROM "+quote(table.Name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var found [][]conntest.Cell
	for rows.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		cells := make([]conntest.Cell, len(names))
		for i, v := range values {
			switch v := v.(type) {
			case int64:
				cells[i] = conntest.Has(strconv.FormatInt(v, 10))
				if table.Columns[i].Kind == lienthong.Boolean {
					cells[i] = conntest.Has(strconv.FormatBool(v == 1))
				}
			case float64:
				cells[i] = conntest.Has(strconv.FormatFloat(v, 'g', -1, 64))
			case []byte:
				cells[i] = conntest.Has(conntest.HexLiteral(string(v)))
			case string:
				cells[i] = conntest.Has(v)
			}
		}
		found = append(found, cells)
	}
	return found, rows.Err()
}

func (s *server) source(state string) (*Source, error) {
	return open(Config{
		Name: "dancu", StateDir: state, PollInterval: 2 * time.Millisecond, InstancesEvery: time.Millisecond,
		ViewPatience: 20 * time.Second, WindowCommits: 8, WindowBytes: 1 << 20,
	}, s.connect())
}

// TestConformance runs the suite against the stand-in for a server, see server.
func TestConformance(t *testing.T) {
	conntest.Run(t, func(t *testing.T) conntest.Harness {
		s, state := newServer(t), t.TempDir()
		stop := make(chan struct{})
		t.Cleanup(func() { close(stop) })
		go func() { // the capture job of a database in which others work too
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				s.idle()
			}
		}()
		return conntest.Harness{
			Open: func() (connector.Source, error) { return s.source(state) },
			Create: func(_ context.Context, table *conntest.Table) (string, error) {
				return "dbo." + table.Name, s.create(table.Name, columnsOf(table))
			},
			Apply: s.apply,
			Rows:  s.truth,
			AddColumn: func(_ context.Context, table *conntest.Table, c conntest.Column) error {
				name := strings.TrimPrefix(table.Name, "dbo.")
				s.addColumn(name, typed(c))
				s.enable(name, fmt.Sprintf("dbo_%s_2", name))
				return nil
			},
			Capabilities: conntest.Capabilities{
				Kinds: []lienthong.Kind{
					lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Real, lienthong.Boolean,
					lienthong.Date, lienthong.Timestamp, lienthong.Binary,
				},
				// TRUNCATE is forbidden on tables with change data capture.
				Deletes: true, Nulls: true, Transactions: true, EveryChange: true, ConcurrentWriters: true, Keyless: true,
			},
		}
	})
}

// idle notes the capture job's place, as far as it has come.
func (s *server) idle() {
	s.writing.Lock()
	defer s.writing.Unlock()
	tx, err := s.db.BeginTx(context.Background(), nil)
	if err != nil {
		return
	}
	defer func() { _ = tx.Rollback() }()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lag {
		return
	}
	l := s.next()
	if _, err := tx.Exec("DELETE FROM _mapping WHERE dummy = 1 AND start_lsn < (SELECT max(start_lsn) FROM _mapping)"); err != nil {
		return
	}
	if _, err := tx.Exec("INSERT INTO _mapping VALUES (?, ?, 1)", lsnArg(l), s.tick()); err != nil {
		return
	}
	_ = tx.Commit()
}
