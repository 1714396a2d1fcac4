package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lienthong/lienthong"
)

// OpenPostgres opens a store in a PostgreSQL database, 15 or newer, and brings its
// tables to this program's version. The account needs CREATE and TEMPORARY on the database
// and CREATE on the schema that is first in its search path.
func OpenPostgres(ctx context.Context, dsn string, config Config) (*Store, error) {
	config = config.withDefaults()
	poolConfig, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		// The cause would quote the DSN, and with it a password.
		return nil, &lienthong.Error{
			Code: "store.dsn", Vi: "chuỗi kết nối PostgreSQL không đúng", En: "not a PostgreSQL connection string",
			Hint: "postgres://tài_khoản@máy:5432/csdl / postgres://user@host:5432/database",
		}
	}
	poolConfig.MaxConns = int32(min(config.Readers, 1000))
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	if err != nil {
		return nil, fmt.Errorf("store: open PostgreSQL: %w", err)
	}
	e := &postgres{pool: pool, slots: make(chan *pgWriter, config.Writers), closed: make(chan struct{})}
	for range config.Writers {
		e.slots <- &pgWriter{config: poolConfig.ConnConfig}
	}
	return open(ctx, e, config)
}

type postgres struct {
	pool   *pgxpool.Pool
	slots  chan *pgWriter // a writer without a connection connects when it is taken
	closed chan struct{}
	once   sync.Once
}

func (e *postgres) name() string { return "postgres" }

func (e *postgres) types() typeNames {
	return typeNames{
		kinds: [...]string{
			"text", "bigint", "numeric", "double precision", "boolean", "date", "timestamp with time zone", "bytea",
		},
		// Byte order is the fastest, and the same wherever the database was made.
		id: `text COLLATE "C"`, flag: "boolean", at: "timestamp with time zone",
		// Room in each page lets an update stay on it and leave the index alone.
		tableOptions:  " WITH (fillfactor = 90)",
		migrationLock: "SELECT pg_advisory_xact_lock(7165065861129302);",
		lockRow:       " FOR UPDATE",
		keyTable:      "unnest(?::text[]) k(value)",
		keyList:       func(ids []string) any { return ids },
	}
}

func (e *postgres) reader() session { return pgSession{e.pool} }

func (e *postgres) acquire(ctx context.Context) (writer, error) {
	select {
	case <-e.closed:
		return nil, closedError()
	default:
	}
	select {
	case w := <-e.slots:
		if err := w.connect(ctx); err != nil {
			e.slots <- w
			return nil, fmt.Errorf("store: connect to PostgreSQL: %w", err)
		}
		return w, nil
	case <-e.closed:
		return nil, closedError()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func closedError() error {
	return &lienthong.Error{Code: "store.closed", Vi: "kho dữ liệu đã đóng", En: "the store is closed"}
}

func (e *postgres) release(w writer) {
	if pw, ok := w.(*pgWriter); ok {
		if pw.conn != nil && (pw.conn.IsClosed() || pw.conn.PgConn().TxStatus() != 'I') {
			pw.drop()
		}
		e.slots <- pw
	}
}

func (e *postgres) close() error {
	e.once.Do(func() {
		close(e.closed)
		for range cap(e.slots) {
			(<-e.slots).drop()
		}
		e.pool.Close()
	})
	return nil
}

// rebind writes parameters as PostgreSQL does.
func rebind(query string) string {
	if !strings.Contains(query, "?") {
		return query
	}
	var b strings.Builder
	b.Grow(len(query) + 16)
	quoted, n := byte(0), 0
	for i := range len(query) {
		c := query[i]
		switch {
		case quoted != 0:
			if c == quoted {
				quoted = 0
			}
		case c == '\'' || c == '"':
			quoted = c
		case c == '?':
			n++
			fmt.Fprintf(&b, "$%d", n)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

type pgQuerier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// pgSession runs portable SQL on a connection, a pool or a transaction.
type pgSession struct{ in pgQuerier }

func (s pgSession) exec(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := s.in.Exec(ctx, rebind(query), args...)
	return tag.RowsAffected(), err
}

func (s pgSession) each(ctx context.Context, query string, args []any, row func(scanFunc) error) error {
	rows, err := s.in.Query(ctx, rebind(query), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// freeze holds a connection of the pool in a read-only transaction.
func (e *postgres) freeze(ctx context.Context) (frozen, error) {
	conn, err := e.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err == nil {
		// The view begins with the first statement, not with BEGIN.
		_, err = tx.Exec(ctx, "SELECT 1")
	}
	if err != nil {
		conn.Release()
		return nil, err
	}
	return &pgFrozen{pgSession: pgSession{tx}, conn: conn, tx: tx}, nil
}

type pgFrozen struct {
	pgSession
	conn *pgxpool.Conn
	tx   pgx.Tx
}

func (f *pgFrozen) close() error {
	err := f.tx.Rollback(context.Background()) //nolint:forbidigo // the view ends even when its reader gave up
	f.conn.Release()
	if errors.Is(err, pgx.ErrTxClosed) {
		return nil
	}
	return err
}

func (f *pgFrozen) live(ctx context.Context, l *layout, stream int64, row func(id []byte, values []lienthong.Value) error) error {
	query := fmt.Sprintf("COPY (SELECT _id, %s FROM %s WHERE _stream = %d AND NOT _deleted AND NOT _held) TO STDOUT (FORMAT binary)",
		strings.Join(l.columns, ", "), l.table, stream)
	reader := &copyParser{shape: l.shape, values: make([]lienthong.Value, len(l.columns)), row: row}
	if _, err := f.conn.Conn().PgConn().CopyTo(ctx, reader, query); err != nil {
		return errors.Join(reader.err, err)
	}
	if !reader.ended {
		return errBinary
	}
	return nil
}

// copyParser takes the bytes of a binary COPY in pieces of any size and delivers rows.
type copyParser struct {
	shape   *lienthong.Shape
	values  []lienthong.Value
	row     func(id []byte, values []lienthong.Value) error
	held    []byte // the beginning of a row whose end has not come
	scratch []byte
	begun   bool
	ended   bool
	err     error
}

func (p *copyParser) Write(b []byte) (int, error) {
	all := b
	if len(p.held) > 0 {
		p.held = append(p.held, b...)
		all = p.held
	}
	if !p.begun {
		if len(all) < len(copySignature()) {
			p.held = append(p.held[:0], all...)
			return len(b), nil
		}
		p.begun = true
		all = all[len(copySignature()):]
	}
	for len(all) > 0 && !p.ended {
		n, err := p.parse(all)
		if err != nil {
			p.err = err
			return 0, err
		}
		if n == 0 {
			break
		}
		all = all[n:]
	}
	p.held = append(p.held[:0], all...)
	return len(b), nil
}

// parse delivers the first row of b and returns its size; 0 when it is not complete.
func (p *copyParser) parse(b []byte) (int, error) {
	if len(b) < 2 {
		return 0, nil
	}
	fields := int(int16(binary.BigEndian.Uint16(b)))
	if fields == -1 {
		p.ended = true
		return 2, nil
	}
	if fields != len(p.values)+1 {
		return 0, errBinary
	}
	at := 2
	var id []byte
	p.scratch = p.scratch[:0]
	for i := range fields {
		if len(b) < at+4 {
			return 0, nil
		}
		size := int(int32(binary.BigEndian.Uint32(b[at:])))
		at += 4
		if size < 0 {
			if i == 0 {
				return 0, errBinary
			}
			p.values[i-1] = lienthong.Value{}
			continue
		}
		if len(b) < at+size {
			return 0, nil
		}
		cell := b[at : at+size]
		at += size
		if i == 0 {
			id = cell
			continue
		}
		var err error
		// Scratch may move when it grows; what was read before keeps the old array.
		p.values[i-1], p.scratch, err = readValue(p.shape.Fields[i-1].Kind, cell, p.scratch)
		if err != nil {
			return 0, err
		}
	}
	return at, p.row(id, p.values)
}
