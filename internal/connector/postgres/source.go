package postgres

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// Config says which database to read. DSN and Name are required.
type Config struct {
	// DSN names the database and the account. Connect to the server itself: a pooler
	// does not carry replication.
	DSN string
	// Name makes the names of slot and publication, "lienthong_" + Name: 1-40 of
	// [a-z0-9_]. One name is one reader.
	Name string
	// Heartbeat is how often an idle database is made to move its log, so that other
	// databases of the server cannot make our slot retain theirs. Default 10 s,
	// negative: never.
	Heartbeat time.Duration
	// Status is how often the server hears from us at least, and is asked for its
	// position. Default 10 s; keep it well below wal_sender_timeout.
	Status time.Duration
	// Silence is how long the server may say nothing before the connection counts as
	// dead. Default 2 min.
	Silence time.Duration
	// RetainedLimit is the log that the slot may retain before Health reports it.
	// Default 4 GiB.
	RetainedLimit int64
	// Watch is how often the catalog is asked whether the tables are still those that are
	// read: one that was dropped and made again is handed over anew. Default 5 s.
	Watch time.Duration
	// Continues says that this source has been read before, as the caller remembers: a slot
	// that is not there is then history lost, not a beginning. Without it the source tells by what it
	// has written on the publication, which needs to be its own.
	Continues bool
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log receives what an operator should know. Default: discarded.
	Log *slog.Logger
}

// LogValue keeps the DSN, which can hold a password, out of logs.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", c.Name), slog.Duration("heartbeat", c.Heartbeat))
}

// oldestServer is the first version that can publish partitions through their root.
const oldestServer = 130000

// Source is a PostgreSQL database.
type Source struct {
	cfg  Config
	sql  *pgx.ConnConfig
	slot string // also the publication's name

	acked         atomic.Uint64
	told          atomic.Uint64 // what the server has been told of acked: see flushed
	streaming     atomic.Bool
	wake          chan struct{} // an acknowledgement waits to be sent
	sequenceLimit uint32
	delivering    moment // of the row that Stream is handing to the sink; owned by Stream

	viewing sync.Mutex // a view is being opened, or a row completed, and not both
	shown   *view      // the newest open view; guarded by viewing

	mu     sync.Mutex // guards what follows, held for the length of one statement
	admin  *pgx.Conn
	tables []*table         // as given to Start
	names  []string         // likewise
	system string           // which server this is, since Start
	fault  *lienthong.Error // why a table cannot be followed any more, for Health
	closed bool

	replay replays
	heard  moments // when what happened last, for Health
}

var (
	_ connector.Source         = (*Source)(nil)
	_ connector.HealthReporter = (*Source)(nil)
	_ connector.Destroyer      = (*Source)(nil)
	_ connector.Releaser       = (*Source)(nil)
	_ connector.Inspector      = (*Source)(nil)
)

// Open checks the configuration. It does not connect.
func Open(cfg Config) (*Source, error) {
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, 10*time.Second)
	cfg.Status = cmp.Or(cfg.Status, 10*time.Second)
	cfg.Silence = cmp.Or(cfg.Silence, 2*time.Minute)
	cfg.Watch = cmp.Or(cfg.Watch, 5*time.Second)
	cfg.RetainedLimit = cmp.Or(cfg.RetainedLimit, 4<<30)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if !plainName(cfg.Name) {
		return nil, &lienthong.Error{
			Code: "postgres.name", Where: cfg.Name,
			Vi: "tên kết nối không đúng dạng", En: "not a name for a slot",
			Hint: "1-40 ký tự a-z, 0-9, _ / 1-40 of a-z, 0-9, _",
		}
	}
	parsed, err := pgx.ParseConfig(cfg.DSN)
	if err != nil {
		return nil, &lienthong.Error{
			Code: "postgres.dsn", Where: cfg.Name,
			Vi: "chuỗi kết nối PostgreSQL không đọc được", En: "the PostgreSQL connection string cannot be read",
			Hint: "postgres://user@host:5432/database?sslmode=verify-full",
			Err:  err, // the parser redacts passwords
		}
	}
	for _, setting := range sessionSettings() {
		parsed.RuntimeParams[setting[0]] = setting[1]
	}
	parsed.DefaultQueryExecMode = pgx.QueryExecModeExec
	parsed.BuildFrontend = buildFrontend(nil)
	return &Source{
		cfg: cfg, sql: parsed, slot: "lienthong_" + cfg.Name,
		wake: make(chan struct{}, 1), sequenceLimit: sequenceLimit,
	}, nil
}

// sessionSettings make the text form of values the same on every connection,
// and errors out of what would silently hide rows.
func sessionSettings() [][2]string {
	return [][2]string{
		{"application_name", "lienthong"},
		{"client_encoding", "UTF8"},
		{"datestyle", "ISO, YMD"},
		{"intervalstyle", "iso_8601"},
		{"timezone", "UTC"},
		{"extra_float_digits", "3"},
		{"bytea_output", "hex"},
		{"row_security", "off"},
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"search_path", "pg_catalog"},
	}
}

func plainName(name string) bool {
	return name != "" && len(name) <= 40 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// DefaultName is a Config.Name for the reader of a database, from a readable part such as
// the node's name. Slot names belong to the whole server, so the database is in it too.
func DefaultName(readable, dsn string) (string, error) {
	parsed, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return "", &lienthong.Error{
			Code: "postgres.dsn", Where: readable,
			Vi: "chuỗi kết nối PostgreSQL không đọc được", En: "the PostgreSQL connection string cannot be read",
			Hint: "postgres://user@host:5432/database?sslmode=verify-full",
			Err:  err, // the parser redacts passwords
		}
	}
	plain := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return '_'
	}, strings.ToLower(readable))
	// The whole of the readable part counts, though its end may not fit.
	sum := sha256.Sum256([]byte(readable + "\x00" + parsed.Database))
	return plain[:min(len(plain), 31)] + "_" + hex.EncodeToString(sum[:4]), nil
}

// connect opens a connection for statements.
func (s *Source) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, s.sql.Copy())
	if err != nil {
		return nil, s.explain(ctx, err)
	}
	return conn, nil
}

// connectReplication opens a connection that speaks the replication protocol. One
// that streams reads through g and tells seen of its buffer.
func (s *Source) connectReplication(ctx context.Context, g *gatherer, seen func(*bufio.Reader)) (*pgconn.PgConn, error) {
	cfg := s.sql.Config.Copy()
	cfg.RuntimeParams["replication"] = "database"
	if g != nil {
		dial, build := cfg.DialFunc, buildFrontend(seen)
		cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			if err == nil {
				g.socket, _ = conn.(syscall.Conn)
			}
			return conn, err
		}
		cfg.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
			g.from = r
			return build(g, w)
		}
	}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, s.explain(ctx, err)
	}
	return conn, nil
}

// with lends the one connection for short statements.
func (s *Source) with(ctx context.Context, use func(*pgx.Conn) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.locked(ctx, use)
}

func (s *Source) locked(ctx context.Context, use func(*pgx.Conn) error) error {
	if s.closed {
		return &lienthong.Error{
			Code: "postgres.closed", Where: s.cfg.Name,
			Vi: "nguồn đã đóng", En: "the source is closed", Hint: "mở lại nguồn / open the source again",
		}
	}
	if s.admin != nil && s.admin.IsClosed() {
		s.admin = nil
	}
	if s.admin == nil {
		conn, err := s.connect(ctx)
		if err != nil {
			return err
		}
		s.admin = conn
	}
	err := use(s.admin)
	var told *pgconn.PgError
	if err != nil && !errors.As(err, &told) && lienthong.ErrorCode(err) == "internal" {
		// Not the server's word: the connection itself may be what failed.
		closeConn(s.admin)
		s.admin = nil
	}
	return s.explain(ctx, err)
}

// closeConn says goodbye without waiting long for a server that is gone.
func closeConn(conn interface{ Close(context.Context) error }) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) //nolint:forbidigo // closing has no context of its own
	defer cancel()
	_ = conn.Close(ctx)
}

// Close releases connections. Slot and publication stay.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.admin != nil {
		closeConn(s.admin)
		s.admin = nil
	}
	s.closed = true
	return nil
}

// started returns the tables given to Start.
func (s *Source) started() ([]*table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tables) == 0 {
		return nil, &lienthong.Error{
			Code: "postgres.not_started", Where: s.cfg.Name,
			Vi: "nguồn chưa được khởi động", En: "Start has not named any table",
			Hint: "gọi Start trước / call Start first",
		}
	}
	return s.tables, nil
}

// explain turns what the server or the network said into an error that a person
// can act on. Errors that are ours already, and ends of a context, pass through.
func (s *Source) explain(ctx context.Context, err error) error {
	if err == nil || lienthong.ErrorCode(err) != "internal" {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e := &lienthong.Error{Where: s.cfg.Name, Err: err}
	var told *pgconn.PgError
	if !errors.As(err, &told) {
		e.Code, e.Vi, e.En = "postgres.connection", "mất kết nối tới PostgreSQL", "no connection to PostgreSQL"
		e.Hint = "kiểm tra địa chỉ, tường lửa, chứng thư; hệ thống tự nối lại / check address, firewall and certificate; reading resumes where it stopped"
		return e
	}
	// The detail of a server error can quote values: keep its class and message only.
	e.Err = fmt.Errorf("%s (SQLSTATE %s)", told.Message, told.Code)
	switch told.Code {
	case "28000", "28P01":
		e.Code, e.Vi, e.En = "postgres.login", "PostgreSQL từ chối tài khoản", "PostgreSQL refuses the account"
		e.Hint = "kiểm tra mật khẩu, pg_hba.conf và quyền REPLICATION / check password, pg_hba.conf and the REPLICATION attribute"
	case "42501":
		e.Code, e.Vi, e.En = "postgres.privilege", "tài khoản thiếu quyền", "the account lacks a privilege"
		e.Hint = "xem docs/connectors/postgres.md / see docs/connectors/postgres.md"
	case "53300":
		e.Code, e.Vi, e.En = "postgres.connections_exhausted", "PostgreSQL hết kết nối", "PostgreSQL has no free connection"
		e.Hint = "tăng max_connections và max_wal_senders / raise max_connections and max_wal_senders"
	case "53400":
		e.Code, e.Vi, e.En = "postgres.slots_exhausted", "PostgreSQL hết replication slot", "PostgreSQL has no free replication slot"
		e.Hint = "tăng max_replication_slots (cần thêm 2 cho mỗi nguồn) / raise max_replication_slots (2 for each source)"
	case "55006":
		e.Code, e.Vi, e.En = "postgres.slot_busy", "replication slot đang được dùng", "the replication slot is in use"
		e.Hint = "một tiến trình khác đang đọc cùng tên / another process reads under the same name"
	case "42704", "55000", "58P01":
		lost := s.historyLost("PostgreSQL no longer has the slot, the publication or the log that is needed",
			"PostgreSQL không còn slot, publication hoặc nhật ký cần đọc")
		lost.Err = e.Err
		return lost
	case "42703", "42P01":
		e.Code, e.Vi, e.En = "postgres.schema_changed", "bảng hoặc cột không còn như lúc khởi động", "a table or column is not as it was at Start"
		e.Hint = "khởi động lại nguồn / start the source again"
	case "57P01", "57P02", "57P03", "08006", "08003":
		e.Code, e.Vi, e.En = "postgres.connection", "PostgreSQL đang dừng hoặc khởi động lại", "PostgreSQL is stopping or starting"
		e.Hint = "hệ thống tự nối lại / reading resumes where it stopped"
	default:
		e.Code, e.Vi, e.En = "postgres.server", "PostgreSQL báo lỗi", "PostgreSQL reports an error"
		e.Hint = "xem nhật ký của PostgreSQL / see the server's log"
	}
	return e
}

// damaged is a message that does not follow the protocol.
func damaged(where string) error {
	return &lienthong.Error{
		Code: "postgres.protocol", Where: where,
		Vi: "dữ liệu từ PostgreSQL không đúng giao thức", En: "what PostgreSQL sent does not follow its protocol",
		Hint: "kiểm tra phiên bản PostgreSQL và thiết bị trung gian / check the server's version and anything in between",
		Err:  io.ErrUnexpectedEOF,
	}
}
