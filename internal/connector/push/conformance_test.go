package push_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/conntest"
	"github.com/lienthong/lienthong/internal/connector/push"
)

// sender is a system that keeps its own records and pushes each change of them: whole rows,
// with versions of its own.
type sender struct {
	n     *node
	asXML bool

	mu       sync.Mutex
	rows     map[string]map[string][]conntest.Cell // type, record
	versions map[string]int64
}

func formatOf(kind lienthong.Kind) push.Format {
	switch kind {
	case lienthong.Integer:
		return push.Long
	case lienthong.Real:
		return push.Double
	case lienthong.Boolean:
		return push.Boolean
	case lienthong.Date:
		return push.Date
	case lienthong.Timestamp:
		return push.DateTime
	case lienthong.Text, lienthong.Decimal, lienthong.Binary:
	}
	return push.String
}

func schemaOf(table *conntest.Table) push.Schema {
	schema := push.Schema{Type: table.Name, Bare: true}
	for _, c := range table.Columns {
		if c.Key {
			schema.Key = c.Name
			continue
		}
		schema.Fields = append(schema.Fields, push.Field{Name: c.Name, Format: formatOf(c.Kind)})
	}
	if len(schema.Fields) == 0 {
		schema.Fields = []push.Field{{Name: "unused", Format: push.String}}
	}
	return schema
}

func (s *sender) message(table *conntest.Table, event string, id string, row []conntest.Cell) message {
	s.versions[table.Name+"/"+id]++
	m := message{Type: table.Name, ID: id, Event: event, Version: s.versions[table.Name+"/"+id]}
	if event == "CANCEL" {
		return m
	}
	for i, c := range table.Columns {
		switch {
		case c.Key:
		case row[i].State == lienthong.Null:
			m.Fields = append(m.Fields, null(c.Name))
		case c.Kind == lienthong.Integer, c.Kind == lienthong.Real, c.Kind == lienthong.Boolean:
			m.Fields = append(m.Fields, literal(c.Name, row[i].Text))
		default:
			m.Fields = append(m.Fields, text(c.Name, row[i].Text))
		}
	}
	return m
}

// apply makes the writes and pushes them as one batch, or one by one.
func (s *sender) apply(ctx context.Context, writes ...conntest.Write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var messages []message
	for _, w := range writes {
		rows := s.rows[w.Table.Name]
		if rows == nil {
			rows = map[string][]conntest.Cell{}
			s.rows[w.Table.Name] = rows
		}
		switch w.Verb {
		case conntest.Insert:
			id := w.Row[0].Text
			rows[id] = append([]conntest.Cell(nil), w.Row...)
			messages = append(messages, s.message(w.Table, "NEW", id, rows[id]))
		case conntest.Update:
			id := w.Key[0].Text
			old, there := rows[id]
			if !there {
				continue
			}
			row := append([]conntest.Cell(nil), old...)
			for i, cell := range w.Row {
				if cell.State != lienthong.Unchanged {
					row[i] = cell
				}
			}
			if moved := row[0].Text; moved != id {
				delete(rows, id)
				rows[moved] = row
				messages = append(messages, s.message(w.Table, "CANCEL", id, nil), s.message(w.Table, "NEW", moved, row))
				continue
			}
			rows[id] = row
			messages = append(messages, s.message(w.Table, "UPDATE", id, row))
		case conntest.Delete:
			id := w.Key[0].Text
			if _, there := rows[id]; there {
				delete(rows, id)
				messages = append(messages, s.message(w.Table, "CANCEL", id, nil))
			}
		case conntest.Truncate:
			for id := range rows {
				messages = append(messages, s.message(w.Table, "CANCEL", id, nil))
			}
			clear(rows)
		}
	}
	return s.push(ctx, messages)
}

func (s *sender) push(ctx context.Context, messages []message) error {
	if len(messages) == 0 {
		return nil
	}
	contentType, body := "application/json", batchJSON(messages...)
	if s.asXML {
		contentType, body = "application/xml", batchXML(messages...)
	}
	if len(messages) == 1 {
		body = messages[0].JSON()
		if s.asXML {
			body = messages[0].XML()
		}
	}
	got, err := s.n.request(ctx, "POST", "/push/v1/messages", contentType, body)
	if err != nil {
		return err
	}
	if got.status != 201 && got.status != 200 || len(messages) > 1 && got.Accepted != len(messages) {
		return fmt.Errorf("status %d: %.1000s", got.status, got.raw)
	}
	return nil
}

// rowsOf reads the inbox past the connector.
func rowsOf(ctx context.Context, db *sql.DB, table *conntest.Table) ([][]conntest.Cell, error) {
	var columns []string
	for _, c := range table.Columns {
		columns = append(columns, `+"`+c.Name+`"`)
	}
	rows, err := db.QueryContext(ctx, "SELECT "+strings.Join(columns, ", ")+` FROM "`+table.Name+`"`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var found [][]conntest.Cell
	for rows.Next() {
		stored := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range stored {
			into[i] = &stored[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		cells := make([]conntest.Cell, len(columns))
		for i := range stored {
			if cells[i], err = cellOf(stored[i], table.Columns[i].Kind); err != nil {
				return nil, err
			}
		}
		found = append(found, cells)
	}
	return found, rows.Err()
}

func cellOf(stored any, kind lienthong.Kind) (conntest.Cell, error) {
	switch v := stored.(type) {
	case nil:
		return conntest.Cell{}, nil
	case int64:
		if kind == lienthong.Boolean {
			return conntest.Has(strconv.FormatBool(v == 1)), nil
		}
		return conntest.Has(strconv.FormatInt(v, 10)), nil
	case float64:
		return conntest.Has(strconv.FormatFloat(v, 'g', -1, 64)), nil
	case string:
		if kind == lienthong.Timestamp {
			at, err := time.Parse(time.RFC3339, v)
			return conntest.Has(at.UTC().Format("2006-01-02T15:04:05.000000Z")), err
		}
		return conntest.Has(v), nil
	}
	return conntest.Cell{}, errors.New("another storage class")
}

func harness(asXML bool) func(t *testing.T) conntest.Harness {
	return func(t *testing.T) conntest.Harness {
		n := start(t, nil)
		s := &sender{n: n, asXML: asXML, rows: map[string]map[string][]conntest.Cell{}, versions: map[string]int64{}}
		db, err := sql.Open("sqlite", "file:"+filepath.Join(n.dir, "inbox.db")+"?_pragma=busy_timeout(30000)")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return conntest.Harness{
			Open: func() (connector.Source, error) {
				return push.Open(t.Context(), push.Config{
					StateDir: n.dir, Signer: n.signer, PollInterval: 2 * time.Millisecond, Limits: push.Limits{FreeBytes: 1},
				})
			},
			Create: func(ctx context.Context, table *conntest.Table) (string, error) {
				return table.Name, n.source.Declare(ctx, schemaOf(table))
			},
			Apply: s.apply,
			Rows: func(ctx context.Context, table *conntest.Table) ([][]conntest.Cell, error) {
				return rowsOf(ctx, db, table)
			},
			AddColumn: func(ctx context.Context, table *conntest.Table, c conntest.Column) error {
				s.mu.Lock()
				defer s.mu.Unlock()
				for id, row := range s.rows[table.Name] {
					s.rows[table.Name][id] = append(row, conntest.Cell{})
				}
				for _, schema := range n.source.Schemas() {
					if schema.Type == table.Name {
						schema.Fields = append(schema.Fields, push.Field{Name: c.Name, Format: formatOf(c.Kind)})
						return n.source.Declare(ctx, schema)
					}
				}
				return fmt.Errorf("no type %s", table.Name)
			},
			Capabilities: conntest.Capabilities{
				Kinds: []lienthong.Kind{
					lienthong.Text, lienthong.Integer, lienthong.Real, lienthong.Boolean, lienthong.Date, lienthong.Timestamp,
				},
				Deletes: true, Truncate: true, Nulls: true, EveryChange: true, ConcurrentWriters: true,
			},
		}
	}
}

func TestConformanceJSON(t *testing.T) { conntest.Run(t, harness(false)) }

func TestConformanceXML(t *testing.T) { conntest.Run(t, harness(true)) }
