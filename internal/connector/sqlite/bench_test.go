package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

const wideTable = `CREATE TABLE people (id TEXT PRIMARY KEY, full_name TEXT, born DATE, sex INTEGER, province TEXT,
	commune TEXT, address TEXT, ethnic TEXT, phone TEXT, status TEXT, updated TIMESTAMP, counter INTEGER)`

func fillPeople(b *testing.B, db *sql.DB, from, count int) {
	b.Helper()
	tx, err := db.BeginTx(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	_, err = tx.ExecContext(b.Context(), `WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
		INSERT INTO people SELECT printf('%012d', i), 'Nguyễn Thị Ánh ' || i, '1990-02-03', i % 2, '96', '31825', 'Số ' || i || ', khóm 3',
		'01', '0912345678', 'A', '2026-11-23 10:11:12', i FROM n`, from, from+count-1)
	if err != nil {
		b.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
}

type counter struct {
	rows int
	want int
}

var errEnough = errors.New("enough")

func (*counter) Begin(lienthong.Position, int64) error { return nil }
func (c *counter) Change(*connector.Row) error         { c.rows++; return nil }
func (*counter) Truncate(int, int64, int64) error      { return nil }
func (*counter) Schema(int, connector.Table) error     { return nil }
func (*counter) Commit(lienthong.Position) error       { return nil }
func (c *counter) Idle() error {
	if c.rows >= c.want {
		return errEnough
	}
	return nil
}

func BenchmarkStream(b *testing.B) {
	path, db := application(b)
	exec(b, db, wideTable)
	source := open(b, path)
	pos := start(b, source, "people")
	fillPeople(b, db, 0, b.N)
	b.ReportAllocs()
	b.ResetTimer()
	if err := source.Stream(context.Background(), pos, &counter{want: b.N}); !errors.Is(err, errEnough) {
		b.Fatal(err)
	}
}

func BenchmarkView(b *testing.B) {
	path, db := application(b)
	exec(b, db, wideTable)
	fillPeople(b, db, 0, b.N)
	source := open(b, path)
	start(b, source, "people")
	view, err := source.View(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	chunks, err := view.Chunks(b.Context(), 0, 50_000)
	if err != nil {
		b.Fatal(err)
	}
	rows := 0
	for _, chunk := range chunks {
		if err := view.Read(b.Context(), 0, chunk, func(*connector.Row) error { rows++; return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if rows != b.N {
		b.Fatalf("%d rows, want %d", rows, b.N)
	}
	if err := view.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkWriter is what a write costs the application, without and with our triggers.
func BenchmarkWriter(b *testing.B) {
	for _, captured := range []bool{false, true} {
		name := "plain"
		if captured {
			name = "captured"
		}
		b.Run(name, func(b *testing.B) {
			path, db := application(b)
			exec(b, db, wideTable)
			if captured {
				start(b, open(b, path), "people")
			}
			b.ResetTimer()
			fillPeople(b, db, 0, b.N)
		})
	}
}
