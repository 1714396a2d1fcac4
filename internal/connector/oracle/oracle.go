// Package oracle reads Oracle databases by asking again and again, with what Oracle knows of time.
//
// It is package polling with three things added: every table is read by flashback query as of one system
// change number (SCN), so a reading of hours shows one moment and locks nothing; the pseudo-column
// ORA_ROWSCN, which no application has to keep, says which rows were committed since the last
// poll; and errors of the undo log begin the reading anew, at a new SCN.
//
// Invariants beyond those of polling:
//
//   - The mark of a table is an SCN that was current before the reading began. ORA_ROWSCN is never lower
//     than the SCN of a row's last commit, so no change is passed over; it may be higher, also for
//     neighbours in the block, and what did not change is recognised by its digest.
//   - A position's token names the SCN of the poll ("scn:…"), for a DBA who wants to look.
//   - Numbers and times arrive as text that the server writes: digits and zones are not the driver's guess.
//
// Reading the redo log with LogMiner is not part of it.
package oracle

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	ora "github.com/sijms/go-ora/v2"
	"github.com/sijms/go-ora/v2/network"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/polling"
)

// RowSCN is the monotonic column of a table that has no other.
const RowSCN = "ORA_ROWSCN"

// Whole stands in the place of a monotonic column: the table is read whole at each poll.
const Whole = "-"

// Table declares how one table is read, see polling.Table. Without a Monotonic column it is RowSCN.
type Table = polling.Table

// Config says which database to read and how.
type Config struct {
	// DSN is "oracle://user:password@host:1521/service". PREFETCH_ROWS is raised to 1,000 unless it is given.
	DSN string
	// Name of the source, for messages.
	Name string
	// StateDir holds the state, see polling.Config.
	StateDir string
	Tables   []Table
	// Every is the time between polls. Default 10 s. Each poll reads every block of a table whose mark is
	// ORA_ROWSCN, because no index has it; give large tables more time, or an indexed column.
	Every time.Duration
	// Overlap is how far back times of a monotonic column are read again. Default 5 min.
	Overlap time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log takes what an operator should know, never a value. Default: nothing is logged.
	Log *slog.Logger
}

// Source is an Oracle database.
type Source struct {
	*polling.Source
	db *sql.DB
}

var (
	_ connector.Source         = (*Source)(nil)
	_ connector.HealthReporter = (*Source)(nil)
	_ connector.Inspector      = (*Source)(nil)
	_ connector.Destroyer      = (*Source)(nil)
)

// Open opens the state. The database is reached when it is needed.
func Open(ctx context.Context, config Config) (*Source, error) {
	db, err := OpenDB(config.DSN)
	if err != nil {
		return nil, &lienthong.Error{
			Code: "oracle.dsn", Where: config.Name, // the cause may repeat the password
			Vi: "địa chỉ kết nối không đúng dạng", En: "the connection address is not well formed",
			Hint: "viết theo mẫu / write it like oracle://host:1521/service",
		}
	}
	return open(ctx, config, db)
}

// OpenDB connects to the server as this package does.
func OpenDB(dsn string) (*sql.DB, error) {
	address, err := complete(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(ora.NewConnector(address)), nil
}

// complete adds the settings without which reading is slow, or takes the memory of whole values twice.
func complete(dsn string) (string, error) {
	address, err := url.Parse(dsn)
	if err != nil || address.Scheme != "oracle" || address.Host == "" || strings.Trim(address.Path, "/") == "" && !strings.Contains(strings.ToUpper(address.RawQuery), "SID") {
		return "", errors.New("oracle: the connection address is not well formed")
	}
	query := address.Query()
	given := func(name string) bool {
		for key := range query {
			if strings.EqualFold(key, name) {
				return true
			}
		}
		return false
	}
	if !given("PREFETCH_ROWS") {
		query.Set("PREFETCH_ROWS", "1000")
	}
	if !given("LOB FETCH") {
		query.Set("LOB FETCH", "POST")
	}
	address.RawQuery = query.Encode()
	return address.String(), nil
}

func open(ctx context.Context, config Config, db *sql.DB) (*Source, error) {
	dialect := polling.Oracle()
	dialect.Explain, dialect.Again = explain, again
	tables := slices.Clone(config.Tables)
	for i := range tables {
		switch tables[i].Monotonic {
		case "":
			tables[i].Monotonic = RowSCN
		case Whole:
			tables[i].Monotonic = ""
		}
	}
	source, err := polling.Open(ctx, polling.Config{
		DB: db, Dialect: dialect, StateDir: config.StateDir, Tables: tables, Defaults: Table{Monotonic: RowSCN},
		Every: config.Every, Overlap: config.Overlap, SchemaEvery: time.Minute, Now: config.Now, Log: config.Log,
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Source{Source: source, db: db}, nil
}

func number(err error) int {
	var server *network.OracleError
	if errors.As(err, &server) {
		return server.ErrCode
	}
	return 0
}

// again tells errors of a moment that can no longer be read: the undo log does not reach back to it, or
// the table was altered since. A new moment can.
func again(err error) bool {
	switch number(err) {
	case 1466, 1555, 8180, 8181, 22924: // 22924: the same of a LOB
		return true
	}
	return false
}

// explain turns errors of the server into ones that a DBA can act on.
func explain(err error) error {
	e := &lienthong.Error{Err: err}
	switch number(err) {
	case 1466, 1555, 8180, 8181, 22924:
		e.Code = "oracle.undo_short"
		e.Vi, e.En = "nhật ký hoàn tác không giữ đủ lâu để đọc hết bảng tại một thời điểm", "the undo log is not kept long enough to read a table as of one moment"
		e.Hint = "ALTER SYSTEM SET UNDO_RETENTION = 10800; ALTER TABLESPACE UNDOTBS1 RETENTION GUARANTEE;"
	case 904:
		e.Code = "oracle.denied"
		e.Vi, e.En = "tài khoản không được gọi DBMS_FLASHBACK, hoặc một cột không còn", "the account may not call DBMS_FLASHBACK, or a column is no longer there"
		e.Hint = grantSCN
	case 942, 1031:
		e.Code = "oracle.denied"
		e.Vi, e.En = "tài khoản không đủ quyền đọc bảng tại một thời điểm", "the account is not allowed to read a table as of a moment"
		e.Hint = "GRANT SELECT, FLASHBACK ON owner.table TO LIENTHONG_READER;"
	case 1017, 28000, 28001:
		e.Code = "oracle.login"
		e.Vi, e.En = "không đăng nhập được: sai mật khẩu, tài khoản bị khoá hoặc hết hạn", "the login fails: a wrong password, or an account that is locked or has expired"
		e.Hint = "kiểm tra tài khoản trong DBA_USERS / look at the account in DBA_USERS"
	default:
		return err
	}
	return e
}

const grantSCN = "GRANT EXECUTE ON SYS.DBMS_FLASHBACK TO LIENTHONG_READER;"

const (
	scnQuery          = "SELECT DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER FROM DUAL"
	undoQuery         = "SELECT TO_NUMBER(VALUE) FROM V$PARAMETER WHERE NAME = 'undo_retention'"
	dependenciesQuery = "SELECT COUNT(*) FROM ALL_TABLES t JOIN ALL_USERS u ON u.USERNAME = t.OWNER AND u.ORACLE_MAINTAINED = 'N' WHERE t.DEPENDENCIES = 'DISABLED'"
)

// Inspect tells what a DBA has to do before the database can be read, and what would make reading cheaper.
func (s *Source) Inspect(ctx context.Context) (connector.Inspection, error) {
	found, err := s.Source.Inspect(ctx)
	if err != nil {
		return found, err
	}
	var scn any
	right := connector.Requirement{
		Code: "oracle.scn", OK: true,
		Vi: "tài khoản phải gọi được DBMS_FLASHBACK", En: "the account must be allowed to call DBMS_FLASHBACK",
	}
	if s.db.QueryRowContext(ctx, scnQuery).Scan(&scn) != nil {
		right.OK, right.Statement = false, grantSCN
	}
	found.Required = append(found.Required, right)
	var undo int64
	if s.db.QueryRowContext(ctx, undoQuery).Scan(&undo) == nil {
		kept := connector.Requirement{
			Code: "oracle.undo_retention", OK: undo >= 900,
			Vi: fmt.Sprintf("nhật ký hoàn tác phải giữ ít nhất 900 giây, lâu hơn một lượt đọc bảng lớn nhất; hiện là %d", undo),
			En: fmt.Sprintf("undo must be kept for 900 seconds at least, and longer than reading the largest table takes; it is %d", undo),
		}
		if !kept.OK {
			kept.Statement = "ALTER SYSTEM SET UNDO_RETENTION = 10800;"
		}
		found.Required = append(found.Required, kept)
	}
	var coarse int64
	if s.db.QueryRowContext(ctx, dependenciesQuery).Scan(&coarse) == nil && coarse > 0 {
		found.Required = append(found.Required, connector.Requirement{
			Code: "oracle.rowdependencies", OK: true,
			Vi: fmt.Sprintf("%d bảng không có ROWDEPENDENCIES: khi một dòng đổi, cả khối dữ liệu được đọc lại (vẫn đúng, chỉ tốn hơn)", coarse),
			En: fmt.Sprintf("%d tables are without ROWDEPENDENCIES: when one row changes its whole block is read again (right, but dearer)", coarse),
		})
	}
	return found, ctx.Err()
}
