package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// view is a snapshot that one idle transaction holds and others import.
type view struct {
	source   *Source
	tables   []*table
	position lienthong.Position
	version  int64
	at       int64
	snapshot string

	mu     sync.Mutex // guards what follows
	holder *pgx.Conn  // used by Chunks, under mu
	idle   []*pgconn.PgConn
	closed bool
}

// View opens a snapshot whose position is exact. Making the temporary slot waits
// for transactions that are writing at that moment.
func (s *Source) View(ctx context.Context) (connector.View, error) {
	tables, err := s.started()
	if err != nil {
		return nil, err
	}
	s.viewing.Lock()
	defer s.viewing.Unlock()
	exporter, err := s.connectReplication(ctx, nil, nil)
	if err != nil {
		return nil, err
	}
	defer closeConn(exporter) // and with it goes the slot
	var unique [6]byte
	_, _ = rand.Read(unique[:])
	patience := time.AfterFunc(10*time.Second, func() {
		s.cfg.Log.WarnContext(ctx, "postgres: the view waits for transactions that are still writing; see pg_stat_activity",
			slog.String("source", s.cfg.Name))
	})
	slot, err := pglogrepl.CreateReplicationSlot(ctx, exporter, s.slot+"_"+hex.EncodeToString(unique[:]), "pgoutput",
		pglogrepl.CreateReplicationSlotOptions{Temporary: true, SnapshotAction: "EXPORT_SNAPSHOT", Mode: pglogrepl.LogicalReplication})
	patience.Stop()
	if err != nil {
		return nil, s.explain(ctx, err)
	}
	point, err := pglogrepl.ParseLSN(slot.ConsistentPoint)
	if err != nil {
		return nil, damaged("CREATE_REPLICATION_SLOT")
	}
	holder, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	v := &view{
		source: s, tables: tables, holder: holder,
		position: lienthong.Position{Order: uint64(point)}, version: viewVersion(uint64(point)),
		at: s.cfg.Now().UnixMicro(),
	}
	err = importSnapshot(ctx, holder.PgConn(), slot.SnapshotName)
	if err == nil {
		v.tables, err = asShown(ctx, holder, tables)
	}
	if err == nil {
		err = holder.QueryRow(ctx, "SELECT pg_export_snapshot()").Scan(&v.snapshot)
	}
	if err != nil {
		closeConn(holder)
		return nil, s.explain(ctx, err)
	}
	s.shown = v
	return v, nil
}

// importSnapshot begins a transaction that sees what the snapshot sees.
func importSnapshot(ctx context.Context, conn *pgconn.PgConn, snapshot string) error {
	// The name comes from the server; the quotes are for form.
	return conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '"+
		strings.ReplaceAll(snapshot, "'", "''")+"'").Close()
}

// asShown describes the tables as the snapshot of the connection has them: since
// Start named them, columns may have come and gone. One that the snapshot does not have
// stays as it was, and reading it says so.
func asShown(ctx context.Context, conn *pgx.Conn, started []*table) ([]*table, error) {
	all, err := catalog(ctx, conn)
	if err != nil {
		return nil, err
	}
	shown := slices.Clone(started)
	for i, t := range started {
		if at := slices.IndexFunc(all, func(now *table) bool { return now.oid == t.oid }); at >= 0 {
			shown[i] = all[at]
		}
	}
	return shown, nil
}

// Table implements connector.Describer.
func (v *view) Table(index int) connector.Table { return v.tables[index].Table }

// Partial implements connector.Partial.
func (v *view) Partial(index int) bool { return v.source.replay.open(index, v.position.Order) }

func (v *view) Position() lienthong.Position { return v.position }
func (v *view) Version() int64               { return v.version }

// part is a range of blocks of one file: a chunk, read from its text.
type part struct {
	relation uint32 // the table, or one partition of it
	file     uint32 // changes when rows are moved about without a change of theirs
	from     uint32
	to       uint32 // 0: no end
}

func (p part) chunk() connector.Chunk {
	return connector.Chunk(fmt.Sprintf("%d.%d.%d.%d", p.relation, p.file, p.from, p.to))
}

func parseChunk(chunk connector.Chunk) (part, error) {
	var numbers [4]uint32
	fields := strings.Split(string(chunk), ".")
	ok := len(fields) == len(numbers)
	for i := 0; ok && i < len(numbers); i++ {
		n, err := strconv.ParseUint(fields[i], 10, 32)
		numbers[i], ok = uint32(n), err == nil && strconv.FormatUint(n, 10) == fields[i]
	}
	p := part{relation: numbers[0], file: numbers[1], from: numbers[2], to: numbers[3]}
	if !ok || (p.to != 0 && p.to <= p.from) {
		return part{}, &lienthong.Error{
			Code: "postgres.chunk", Where: string(chunk),
			Vi: "đoạn không đúng dạng", En: "not a chunk of this source", Hint: "chia lại bảng / divide the table again",
		}
	}
	return p, nil
}

// Chunks divides by blocks, from the size that the table has now. The last
// chunk has no end.
func (v *view) Chunks(ctx context.Context, index, rows int) ([]connector.Chunk, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed || index < 0 || index >= len(v.tables) {
		return nil, v.gone()
	}
	// The storage functions look at the present, not at the snapshot, which is what
	// is wanted: a table that has grown since has more blocks, not other ones.
	found, err := v.holder.Query(ctx, `
SELECT c.oid, COALESCE(pg_relation_filenode(c.oid), 0::oid),
       COALESCE(pg_relation_size(c.oid), 0) / current_setting('block_size')::int,
       CASE WHEN c.reltuples > 0 AND c.relpages > 0 THEN c.reltuples / c.relpages ELSE 50 END::float8
FROM pg_class c
WHERE c.oid = $1 AND c.relkind = 'r'
   OR c.oid IN (SELECT p.relid FROM pg_partition_tree($1) p WHERE p.isleaf) AND c.relkind = 'r'
ORDER BY 1`, v.tables[index].oid)
	if err != nil {
		return nil, v.source.explain(ctx, err)
	}
	defer found.Close()
	var chunks []connector.Chunk
	for found.Next() {
		var p part
		var blocks int64
		var density float64
		if err := found.Scan(&p.relation, &p.file, &blocks, &density); err != nil {
			return nil, v.source.explain(ctx, err)
		}
		step := max(1, int64(float64(max(rows, 1))/max(density, 0.01)))
		step = min(step, max(blocks, 1))
		for from := int64(0); from == 0 || from < blocks; from += step {
			p.from, p.to = uint32(from), uint32(from+step)
			if from+step >= blocks {
				p.to = 0
			}
			chunks = append(chunks, p.chunk())
		}
	}
	return chunks, v.source.explain(ctx, found.Err())
}

func (v *view) gone() error {
	return &lienthong.Error{
		Code: "postgres.view_closed", Where: v.source.cfg.Name,
		Vi: "bản chụp đã đóng hoặc không có bảng này", En: "the view is closed or has no such table",
		Hint: "mở bản chụp mới / open a new view",
	}
}

// Read copies the chunk out in a transaction of its own, so that the table is
// locked against ALTER no longer than one chunk takes.
func (v *view) Read(ctx context.Context, index int, chunk connector.Chunk, deliver func(*connector.Row) error) error {
	p, err := parseChunk(chunk)
	if err != nil {
		return err
	}
	conn, err := v.borrow(ctx, index)
	if err != nil {
		return err
	}
	failure, err := v.read(ctx, conn, v.tables[index], index, p, deliver)
	if failure != nil {
		closeConn(conn)
		return failure
	}
	if err == nil {
		err = conn.Exec(ctx, "COMMIT").Close()
	}
	if err != nil {
		closeConn(conn)
		return v.source.explain(ctx, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		closeConn(conn)
		return nil
	}
	v.idle = append(v.idle, conn)
	return nil
}

// read returns the caller's own error apart from the server's.
func (v *view) read(ctx context.Context, conn *pgconn.PgConn, t *table, index int, p part, deliver func(*connector.Row) error) (failure, err error) {
	if err := importSnapshot(ctx, conn, v.snapshot); err != nil {
		return nil, err
	}
	// Find the file's table and lock it, then see that it is still the same file.
	name, err := one(ctx, conn, fmt.Sprintf(`
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = %[1]d AND (c.oid = %[2]d OR c.oid IN (SELECT relid FROM pg_partition_tree(%[2]d) WHERE isleaf))`, p.relation, t.oid))
	if err == nil && name != "" {
		err = conn.Exec(ctx, "LOCK TABLE ONLY "+name+" IN ACCESS SHARE MODE").Close()
	}
	file := ""
	if err == nil {
		// The catalog is read as of the view, the function as of now: TRUNCATE empties a table for
		// snapshots from before it, too, and the table may have been divided after it.
		file, err = one(ctx, conn, fmt.Sprintf(
			"SELECT relfilenode FROM pg_class WHERE oid = %[1]d AND relfilenode = pg_relation_filenode(%[1]d)", p.relation))
	}
	var told *pgconn.PgError
	if (err == nil && file != strconv.FormatUint(uint64(p.file), 10)) || (errors.As(err, &told) && told.Code == "42P01") {
		return nil, &lienthong.Error{
			Code: "postgres.table_rewritten", Where: t.Name,
			Vi:   "bảng đã được ghi lại (VACUUM FULL, CLUSTER, TRUNCATE, ALTER TABLE) sau khi chia đoạn",
			En:   "the table was rewritten (VACUUM FULL, CLUSTER, TRUNCATE, ALTER TABLE) after it was divided",
			Hint: "chia và tải lại bảng này / divide and read this table again",
		}
	}
	if err != nil {
		return nil, err
	}
	columns := make([]string, len(t.columns))
	for i := range t.columns {
		columns[i] = t.expression(i)
	}
	query := fmt.Sprintf("COPY (SELECT %s FROM ONLY %s WHERE ctid >= '(%d,0)'::tid", strings.Join(columns, ", "), name, p.from)
	if p.to != 0 {
		query += fmt.Sprintf(" AND ctid < '(%d,0)'::tid", p.to)
	}
	parser := &copyParser{
		columns: t.columns, deliver: deliver, name: t.Name,
		row: connector.Row{
			Table: index, Op: lienthong.Upsert, Version: v.version, At: v.at,
			Values: make([]lienthong.Value, len(t.columns)),
		},
	}
	_, err = conn.CopyTo(ctx, parser, query+") TO STDOUT (FORMAT binary)")
	if parser.failure != nil {
		return parser.failure, nil
	}
	if err == nil && !parser.ended {
		err = damaged(t.Name)
	}
	return nil, err
}

// one returns the first column of the only row, or "".
func one(ctx context.Context, conn *pgconn.PgConn, query string) (string, error) {
	results, err := conn.Exec(ctx, query).ReadAll()
	if err != nil || len(results) == 0 || len(results[0].Rows) == 0 {
		return "", err
	}
	return string(results[0].Rows[0][0]), nil
}

func (v *view) borrow(ctx context.Context, index int) (*pgconn.PgConn, error) {
	v.mu.Lock()
	if v.closed || index < 0 || index >= len(v.tables) {
		v.mu.Unlock()
		return nil, v.gone()
	}
	if n := len(v.idle); n > 0 {
		conn := v.idle[n-1]
		v.idle = v.idle[:n-1]
		v.mu.Unlock()
		return conn, nil
	}
	v.mu.Unlock()
	conn, err := v.source.connect(ctx)
	if err != nil {
		return nil, err
	}
	return conn.PgConn(), nil
}

// Close lets the snapshot go.
func (v *view) Close() error {
	v.source.viewing.Lock()
	if v.source.shown == v {
		v.source.shown = nil
	}
	v.source.viewing.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil
	}
	v.closed = true
	closeConn(v.holder)
	for _, conn := range v.idle {
		closeConn(conn)
	}
	v.idle = nil
	return nil
}
