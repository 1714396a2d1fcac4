package mysql

import (
	"cmp"
	"context"
	"crypto/tls"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-sql-driver/mysql"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/durable"
)

// Config says which database to read. DSN, Name and StateDir are required.
type Config struct {
	// DSN names the server, the account and the database: "user:password@tcp(host:3306)/dancu".
	// Without a database, all that the account can read are listed. "?tls=true" encrypts.
	// Connect to the server itself: a proxy does not carry the binary log.
	DSN string
	// Name is the source's own, 1-40 of [a-z0-9_]. One name is one reader.
	Name string
	// StateDir is where the position that was acknowledged last is kept: two small files.
	StateDir string
	// ServerID is what the server knows us by among its replicas; it must be like no other.
	// 0: made from Name, StateDir and the host's name.
	ServerID uint32
	// TLS encrypts instead of what the DSN says, with certificates of your own.
	TLS *tls.Config
	// Heartbeat is how often the server speaks when there is nothing to say. Default 10 s.
	Heartbeat time.Duration
	// Silence is how long the server may say nothing before the connection counts as
	// dead. Default 1 min.
	Silence time.Duration
	// ViewReaders is how many chunks of a View can be read at the same time. Default 2.
	ViewReaders int
	// LockWait is how long, on MySQL, beginning a View may wait for a transaction that has
	// written its tables before it steps back and tries again. Default 1 s.
	LockWait time.Duration
	// LagLimit is the log behind which Health reports. Default 4 GiB.
	LagLimit uint64
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log receives what an operator should know. Default: discarded.
	Log *slog.Logger
}

// LogValue keeps the DSN, which can hold a password, out of logs.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", c.Name), slog.String("state", c.StateDir))
}

// Source is a MySQL or MariaDB database.
type Source struct {
	cfg  Config
	dsn  *mysql.Config
	tls  *tls.Config // for the binary log; nil for none
	db   *sql.DB
	sets *charsets

	streaming atomic.Bool
	sides     atomic.Uint32
	reached   atomic.Uint64 // the place that Stream has passed on
	current   *layout       // of the row that Stream is handing to the sink; owned by Stream

	lineMu sync.Mutex
	line   lineOf

	stateMu sync.Mutex // guards state and history, and their files
	state   state
	history history

	ackMu    sync.Mutex // guards what follows
	acked    lienthong.Position
	released bool          // until the next Start nothing is acknowledged
	saved    uint64        // order of the acknowledgement that is in the file
	wake     chan struct{} // an acknowledgement waits to be saved

	mu        sync.Mutex // guards what follows
	server    *server
	tables    []*described // as given to Start
	layouts   []*layout    // of tables, as Start found them
	announced []*layout    // what a sink was told last; nil when it was told nothing
	lost      string       // why the last Start began at the present; for Health
	replaced  map[int]string
}

var (
	_ connector.Source         = (*Source)(nil)
	_ connector.HealthReporter = (*Source)(nil)
	_ connector.Inspector      = (*Source)(nil)
	_ connector.Releaser       = (*Source)(nil)
	_ connector.Destroyer      = (*Source)(nil)
	_ connector.Completer      = (*Source)(nil)
)

// Open checks the configuration. It does not connect.
func Open(cfg Config) (*Source, error) {
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, 10*time.Second)
	cfg.Silence = cmp.Or(cfg.Silence, time.Minute)
	cfg.ViewReaders = cmp.Or(cfg.ViewReaders, 2)
	cfg.LockWait = cmp.Or(cfg.LockWait, time.Second)
	cfg.LagLimit = cmp.Or(cfg.LagLimit, 4<<30)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = discardLog()
	}
	if !plainName(cfg.Name) {
		return nil, &lienthong.Error{
			Code: "mysql.name", Where: cfg.Name,
			Vi: "tên nguồn không đúng dạng", En: "not a name for a source",
			Hint: "1-40 ký tự a-z, 0-9, _ / 1-40 of a-z, 0-9, _",
		}
	}
	if cfg.StateDir == "" {
		return nil, &lienthong.Error{
			Code: "mysql.state_dir", Where: cfg.Name,
			Vi: "chưa nói nơi ghi nhớ vị trí đã đọc", En: "nowhere to remember the position",
			Hint: "đặt StateDir / set StateDir",
		}
	}
	dsn, err := mysql.ParseDSN(cfg.DSN)
	if err != nil {
		return nil, &lienthong.Error{
			Code: "mysql.dsn", Where: cfg.Name,
			Vi: "chuỗi kết nối MySQL không đọc được", En: "the MySQL connection string cannot be read",
			Hint: "user:password@tcp(host:3306)/database?tls=true",
		}
	}
	if cfg.ServerID == 0 {
		cfg.ServerID = serverID(cfg)
	}
	s := &Source{cfg: cfg, dsn: dsn, wake: make(chan struct{}, 1), replaced: map[int]string{}}
	s.prepareDSN()
	connect, err := mysql.NewConnector(s.dsn)
	if err != nil {
		return nil, &lienthong.Error{
			Code: "mysql.dsn", Where: cfg.Name, Err: err,
			Vi: "chuỗi kết nối MySQL không dùng được", En: "the MySQL connection string cannot be used",
			Hint: "user:password@tcp(host:3306)/database?tls=true",
		}
	}
	s.db = sql.OpenDB(connect)
	s.db.SetMaxIdleConns(2)
	s.db.SetConnMaxIdleTime(time.Minute)
	s.sets = newCharsets(s.convert)
	return s, nil
}

// prepareDSN makes the text of values the same on every connection.
func (s *Source) prepareDSN() {
	d := s.dsn
	d.ParseTime, d.InterpolateParams, d.MultiStatements = false, true, false
	d.Logger = quiet{s.cfg.Log}
	_ = d.Apply(mysql.Charset("utf8mb4", ""))
	if d.Timeout == 0 {
		d.Timeout = 10 * time.Second
	}
	if d.Params == nil {
		d.Params = map[string]string{}
	}
	d.Params["time_zone"] = "'+00:00'"
	d.Params["sql_mode"] = "''"
	d.Params["net_write_timeout"] = "3600"
	d.Params["wait_timeout"] = "86400"
	d.Params["lock_wait_timeout"] = "60"
	if s.cfg.TLS != nil {
		d.TLS = s.cfg.TLS.Clone()
		if d.TLS.ServerName == "" && !d.TLS.InsecureSkipVerify {
			d.TLS.ServerName, _, _ = strings.Cut(d.Addr, ":")
		}
	}
	if d.TLS != nil {
		s.tls = d.TLS.Clone()
	}
}

// quiet sends what the driver says by itself to the log's least level.
type quiet struct{ log *slog.Logger }

// Print implements mysql.Logger.
func (q quiet) Print(v ...any) {
	q.log.Debug("mysql: driver", slog.String("says", fmt.Sprint(v...)))
}

func discardLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// serverID makes a number that is the same after a restart, so that the server ends what is
// left of our last connection, and is unlike those that people choose.
func serverID(cfg Config) uint32 {
	host, _ := os.Hostname()
	dir, _ := filepath.Abs(cfg.StateDir)
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%s\x00%s\x00%s", host, dir, cfg.Name)
	return 1<<30 | h.Sum32()>>3
}

// sideID is another number for a second connection to the log.
func (s *Source) sideID() uint32 { return s.cfg.ServerID ^ (1<<29 | s.sides.Add(1)&0xffff<<8) }

func plainName(name string) bool {
	return name != "" && len(name) <= 40 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// Close releases connections. The position stays in its file.
func (s *Source) Close() error {
	err := s.saveAcknowledged()
	return errors.Join(err, s.db.Close())
}

// ready connects and learns what the server is.
func (s *Source) ready(ctx context.Context) (*server, error) {
	srv, err := ask(ctx, s.db)
	if err != nil {
		return nil, s.explain(ctx, err)
	}
	if s.dsn.AllowFallbackToPlaintext && s.tls != nil {
		// "tls=preferred": the log is encrypted when statements are.
		var name, cipher string
		if err := s.db.QueryRowContext(ctx, "SHOW STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher); err == nil && cipher == "" {
			s.tls = nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = srv
	return srv, nil
}

// Tables lists the tables that can be read.
func (s *Source) Tables(ctx context.Context) ([]connector.Table, error) {
	all, err := s.catalog(ctx)
	if err != nil {
		return nil, err
	}
	var tables []connector.Table
	for _, d := range all {
		if _, ok := d.readable(); ok {
			tables = append(tables, d.layoutOf(s.sets).Table)
		}
	}
	return tables, nil
}

func (s *Source) catalog(ctx context.Context) ([]*described, error) {
	all, err := describe(ctx, s.db, s.dsn.DBName, "")
	if err != nil {
		return nil, s.explain(ctx, err)
	}
	return all, nil
}

// convert asks the server for the text of a value in one of the large character sets that
// we do not know.
func (s *Source) convert(name string, src []byte) ([]byte, error) {
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return nil, errOffLine
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) //nolint:forbidigo // deep inside a row, where there is no context
	defer cancel()
	var text []byte
	err := s.db.QueryRowContext(ctx, "SELECT CONVERT(_"+name+" X'"+hex.EncodeToString(src)+"' USING utf8mb4)").Scan(&text)
	return text, err
}

// explain turns what the server or the network said into an error that a person can act
// on. Errors that are ours already, and ends of a context, pass through.
func (s *Source) explain(ctx context.Context, err error) error {
	if err == nil || lienthong.ErrorCode(err) != "internal" {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e := &lienthong.Error{Where: s.cfg.Name, Err: err}
	number, message := serverError(err)
	if number == 0 {
		e.Code, e.Vi, e.En = "mysql.connection", "mất kết nối tới máy chủ", "no connection to the server"
		e.Hint = "kiểm tra địa chỉ, tường lửa, chứng thư; hệ thống tự nối lại / check address, firewall and certificate; reading resumes where it stopped"
		return e
	}
	// A message can quote values: only its number is kept, but for those about the log.
	e.Err = fmt.Errorf("error %d", number)
	switch number {
	case 1236, 1373, 1789, 1790:
		e.Err = fmt.Errorf("error %d: %s", number, message)
		e.Code, e.Vi, e.En = "mysql.binlog_purged", "máy chủ không còn giữ nhật ký từ vị trí cần đọc", "the server no longer has its log from the position to read"
		e.Hint = "khởi động lại nguồn: đọc tiếp từ hiện tại rồi đối soát hai đầu; tăng thời gian giữ nhật ký / start the source again: it goes on from the present and both ends are compared; keep the log longer"
	case 1045, 1698, 1251, 2054, 4151:
		e.Code, e.Vi, e.En = "mysql.login", "máy chủ từ chối tài khoản", "the server refuses the account"
		e.Hint = "kiểm tra tên, mật khẩu và địa chỉ được phép / check name, password and the addresses that are let in"
	case 1044, 1142, 1143, 1227, 1370, 1410:
		e.Code, e.Vi, e.En = "mysql.privilege", "tài khoản thiếu quyền", "the account lacks a privilege"
		e.Hint = "xem docs/connectors/mysql.md / see docs/connectors/mysql.md"
	case 1040, 1203, 1226:
		e.Code, e.Vi, e.En = "mysql.connections_exhausted", "máy chủ hết kết nối cho tài khoản", "the server has no free connection for the account"
		e.Hint = "tăng max_connections hoặc max_user_connections / raise max_connections or max_user_connections"
	case 1049, 1051, 1054, 1146, 1109:
		e.Code, e.Vi, e.En = "mysql.schema_changed", "bảng hoặc cột không còn như lúc khởi động", "a table or column is not as it was at Start"
		e.Hint = "khởi động lại nguồn / start the source again"
	case 1412:
		e.Code, e.Vi, e.En = "mysql.table_changed", "cấu trúc bảng đã đổi sau khi chụp", "the table was altered after the view was opened"
		e.Hint = "mở bản chụp mới và tải lại bảng này / open a new view and read this table again"
	case 1205, 1213, 3024, 1969, 1317:
		e.Code, e.Vi, e.En = "mysql.interrupted", "máy chủ ngắt câu lệnh hoặc phải chờ quá lâu", "the server ended the statement, or it waited too long"
		e.Hint = "hệ thống tự thử lại / it is tried again"
	case 1053, 1077, 1927:
		e.Code, e.Vi, e.En = "mysql.connection", "máy chủ đang dừng hoặc khởi động lại", "the server is stopping or starting"
		e.Hint = "hệ thống tự nối lại / reading resumes where it stopped"
	default:
		e.Code, e.Vi, e.En = "mysql.server", "máy chủ báo lỗi", "the server reports an error"
		e.Hint = "xem nhật ký của máy chủ / see the server's log"
	}
	return e
}

// serverError is the number and text of an error that the server told, of either library.
func serverError(err error) (int, string) {
	var told *mysql.MySQLError
	if errors.As(err, &told) {
		return int(told.Number), told.Message
	}
	var dumped *gomysql.MyError
	if errors.As(err, &dumped) {
		return int(dumped.Code), dumped.Message
	}
	return 0, ""
}

// started returns the server and the tables given to Start.
func (s *Source) started() (*server, []*described, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tables) == 0 || s.server == nil {
		return nil, nil, &lienthong.Error{
			Code: "mysql.not_started", Where: s.cfg.Name,
			Vi: "nguồn chưa được khởi động", En: "Start has not named any table",
			Hint: "gọi Start trước / call Start first",
		}
	}
	return s.server, s.tables, nil
}

// removeState forgets everything that we keep.
func (s *Source) removeState() error {
	return errors.Join(durable.Remove(s.statePath()), durable.Remove(s.layoutPath()))
}
