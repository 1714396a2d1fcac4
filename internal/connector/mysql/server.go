package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong/internal/connector"
)

// server is what a server says of itself.
type server struct {
	maria    bool
	version  string
	major    int
	minor    int
	patch    int
	id       uint32
	settings map[string]string // global variables, in lower case
}

// parseVersion reads "10.11.19-MariaDB-0+deb12u1-log", "5.5.5-10.6.5-MariaDB" or "8.0.36-28".
func parseVersion(version string) server {
	s := server{version: version, maria: strings.Contains(strings.ToLower(version), "mariadb")}
	text := version
	if s.maria {
		text = strings.TrimPrefix(text, "5.5.5-") // for clients that know no version above 9
	}
	number := func() int {
		end := 0
		for end < len(text) && end < 6 && text[end] >= '0' && text[end] <= '9' {
			end++
		}
		n, _ := strconv.Atoi(text[:end])
		text = strings.TrimPrefix(text[end:], ".")
		return n
	}
	s.major, s.minor, s.patch = number(), number(), number()
	return s
}

func (s *server) least(major, minor, patch int) bool {
	if s.major != major {
		return s.major > major
	}
	if s.minor != minor {
		return s.minor > minor
	}
	return s.patch >= patch
}

// supported: MySQL 8 and MariaDB 10.5 are the first whose log can name its columns.
func (s *server) supported() bool {
	if s.maria {
		return s.least(10, 5, 0)
	}
	return s.least(8, 0, 1)
}

func (s *server) name() string {
	short := fmt.Sprintf("%d.%d.%d", s.major, s.minor, s.patch)
	if s.maria {
		return "MariaDB " + short
	}
	return "MySQL " + short
}

// masterStatus is the statement that tells the end of the binary log.
func (s *server) masterStatus() string {
	if !s.maria && s.least(8, 2, 0) {
		return "SHOW BINARY LOG STATUS"
	}
	return "SHOW MASTER STATUS"
}

func (s *server) flavor() string {
	if s.maria {
		return "mariadb"
	}
	return "mysql"
}

func (s *server) on(setting string) bool {
	value := strings.ToUpper(s.settings[setting])
	return value == "ON" || value == "1"
}

const settingsQuery = `SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'version_comment', 'server_id', 'log_bin',
'binlog_format', 'binlog_row_image', 'binlog_row_metadata', 'binlog_row_value_options', 'gtid_mode', 'lower_case_table_names',
'binlog_expire_logs_seconds', 'expire_logs_days', 'log_slave_updates', 'log_replica_updates', 'binlog_transaction_compression')`

// ask reads what the server says of itself.
func ask(ctx context.Context, db querier) (*server, error) {
	settings := map[string]string{}
	err := each(ctx, db, settingsQuery, func(row *sql.Rows) error {
		var name, value string
		if err := row.Scan(&name, &value); err != nil {
			return err
		}
		settings[strings.ToLower(name)] = value
		return nil
	})
	if err != nil {
		return nil, err
	}
	s := parseVersion(settings["version"])
	if !s.maria && strings.Contains(strings.ToLower(settings["version_comment"]), "mariadb") {
		s.maria = true
	}
	id, _ := strconv.ParseUint(settings["server_id"], 10, 32)
	s.id, s.settings = uint32(id), settings
	return &s, nil
}

// keptSeconds is for how long the server keeps its binary log; 0 when without limit.
func (s *server) keptSeconds() int64 {
	if n, err := strconv.ParseFloat(s.settings["binlog_expire_logs_seconds"], 64); err == nil && n > 0 {
		return int64(n)
	}
	if n, err := strconv.ParseFloat(s.settings["expire_logs_days"], 64); err == nil && n > 0 {
		return int64(n * 86400)
	}
	return 0
}

// requirements are what settings must be, with the words and statements for a DBA.
func (s *server) requirements() []connector.Requirement {
	is := func(setting string) string {
		if value := s.settings[setting]; value != "" {
			return value
		}
		return "—"
	}
	version := connector.Requirement{
		Code: "mysql.version", OK: s.supported(),
		Vi: "cần MySQL 8.0 hoặc MariaDB 10.5 trở lên; máy chủ là " + s.name(),
		En: "MySQL 8.0 or MariaDB 10.5 or newer is needed; the server is " + s.name(),
	}
	logBin := connector.Requirement{
		Code: "mysql.log_bin", OK: s.on("log_bin"),
		Vi: "nhật ký nhị phân phải bật; log_bin = " + is("log_bin"),
		En: "the binary log must be on; log_bin = " + is("log_bin"),
	}
	if !logBin.OK {
		logBin.Restart = true
		logBin.Statement = "-- my.cnf, [mysqld]\nlog_bin = binlog\nserver_id = 1\nbinlog_format = ROW\nbinlog_row_image = FULL\nbinlog_row_metadata = FULL"
	}
	serverID := connector.Requirement{
		Code: "mysql.server_id", OK: s.id != 0,
		Vi: "máy chủ phải có server_id khác 0; server_id = " + is("server_id"),
		En: "the server needs a server_id other than 0; server_id = " + is("server_id"),
	}
	if !serverID.OK {
		serverID.Statement = "SET GLOBAL server_id = 1;"
	}
	format := connector.Requirement{
		Code: "mysql.binlog_format", OK: strings.EqualFold(s.settings["binlog_format"], "ROW"),
		Vi: "nhật ký phải ghi theo dòng; binlog_format = " + is("binlog_format"),
		En: "the log must be written by row; binlog_format = " + is("binlog_format"),
	}
	if !format.OK {
		format.Statement = "SET GLOBAL binlog_format = 'ROW';"
		format.Vi += "; các phiên đang mở giữ cách cũ tới khi nối lại"
		format.En += "; open sessions keep theirs until they connect again"
	}
	image := connector.Requirement{
		Code: "mysql.binlog_row_image", OK: true,
		Vi: "ảnh dòng đầy đủ giúp đọc không phải hỏi lại; binlog_row_image = " + is("binlog_row_image"),
		En: "full row images save asking the server again; binlog_row_image = " + is("binlog_row_image"),
	}
	if !strings.EqualFold(s.settings["binlog_row_image"], "FULL") {
		image.Vi += ". Đọc được, nhưng nên đặt: SET GLOBAL binlog_row_image = 'FULL';"
		image.En += ". It can be read, but better is: SET GLOBAL binlog_row_image = 'FULL';"
	}
	metadata := connector.Requirement{
		Code: "mysql.binlog_row_metadata", OK: true,
		Vi: "nhật ký tự nói tên cột nếu binlog_row_metadata là FULL; binlog_row_metadata = " + is("binlog_row_metadata"),
		En: "the log names its columns when binlog_row_metadata is FULL; binlog_row_metadata = " + is("binlog_row_metadata"),
	}
	if !strings.EqualFold(s.settings["binlog_row_metadata"], "FULL") {
		metadata.Vi += ". Đọc được, nhưng đổi cấu trúc bảng nhiều lần liền nhau có thể dừng luồng; nên đặt: SET GLOBAL binlog_row_metadata = 'FULL';"
		metadata.En += ". It can be read, but several changes of a table's columns in a row may stop the stream; better is: SET GLOBAL binlog_row_metadata = 'FULL';"
	}
	partial := connector.Requirement{
		Code: "mysql.binlog_row_value_options", OK: s.settings["binlog_row_value_options"] == "",
		Vi: "giá trị JSON phải được ghi trọn; binlog_row_value_options = " + is("binlog_row_value_options"),
		En: "JSON values must be logged whole; binlog_row_value_options = " + is("binlog_row_value_options"),
	}
	if !partial.OK {
		partial.Statement = "SET GLOBAL binlog_row_value_options = '';"
	}
	return []connector.Requirement{version, logBin, serverID, format, image, metadata, partial}
}

// replicationGrant gives the account what reading the log needs.
func (s *server) replicationGrant(account string) string {
	if s.maria {
		return "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO " + account + ";"
	}
	return "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO " + account + ";"
}

// readGrant gives the account what reading a database needs. MySQL has no other way to
// learn the log's end for a snapshot than to hold its tables for a moment.
func (s *server) readGrant(schema, account string) string {
	if s.maria {
		return "GRANT SELECT ON " + quote(schema) + ".* TO " + account + ";"
	}
	return "GRANT SELECT, LOCK TABLES ON " + quote(schema) + ".* TO " + account + ";"
}
