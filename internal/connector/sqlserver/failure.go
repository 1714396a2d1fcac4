package sqlserver

import (
	"errors"
	"strings"

	"github.com/lienthong/lienthong"
)

// cleaned says that changes are gone that were not read.
type cleaned struct{ coded *lienthong.Error }

func (c *cleaned) Error() string { return c.coded.Error() }

// Lost tells capture that reading can only begin at the present, see connector.HistoryLost.
func (c *cleaned) Lost() bool { return true }

// Unwrap gives the coded error.
func (c *cleaned) Unwrap() error { return c.coded }

func cleanedUp(table string) error {
	return &cleaned{&lienthong.Error{
		Code: "sqlserver.cdc_cleaned", Where: table,
		Vi:   "tác vụ dọn dẹp của CDC đã xoá thay đổi trước khi kịp đọc",
		En:   "the CDC cleanup job removed changes before they were read",
		Hint: "tăng thời gian lưu: / keep changes longer: EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = 10080;",
	}}
}

func noKey(table string) error {
	return &lienthong.Error{
		Code: "sqlserver.no_key", Where: table, Vi: "bảng không có khoá chính", En: "the table has no primary key",
		Hint: "thêm khoá chính cho bảng / add a primary key to the table",
	}
}

func notCaptured(table string) error {
	return &lienthong.Error{
		Code: "sqlserver.table_not_captured", Where: table,
		Vi: "bảng chưa bật CDC, hoặc tài khoản chưa được đọc lược đồ cdc", En: "change data capture is not enabled for the table, or the account may not read the schema cdc",
		Hint: enableTable(table, ""),
	}
}

// enableTable is the statement that captures a table, in a second instance when it is given a name.
func enableTable(table, instance string) string {
	schema, name, _ := strings.Cut(table, ".")
	text := "EXEC sys.sp_cdc_enable_table @source_schema = " + literal(schema) + ", @source_name = " + literal(name) + ", @role_name = NULL"
	if instance != "" {
		text += ", @capture_instance = " + literal(instance)
	}
	return text + ", @supports_net_changes = 0;"
}

func literal(text string) string { return "N'" + strings.ReplaceAll(text, "'", "''") + "'" }

// explain turns errors of the server into ones that a DBA can act on.
func explain(err error) error {
	var coded *lienthong.Error
	var server interface{ SQLErrorNumber() int32 }
	if errors.As(err, &coded) || !errors.As(err, &server) {
		return err
	}
	e := &lienthong.Error{Err: err}
	switch server.SQLErrorNumber() {
	case 208: // invalid object name
		e.Code = "sqlserver.cdc_off"
		e.Vi, e.En = "cơ sở dữ liệu chưa bật CDC, hoặc thiếu một đối tượng của CDC", "change data capture is not enabled for the database, or one of its objects is missing"
		e.Hint = "EXEC sys.sp_cdc_enable_db;"
	case 229, 230, 916:
		e.Code = "sqlserver.denied"
		e.Vi, e.En = "tài khoản không đủ quyền đọc", "the account is not allowed to read"
		e.Hint = "GRANT SELECT ON SCHEMA::cdc TO lienthong_reader; GRANT SELECT ON SCHEMA::dbo TO lienthong_reader;"
	case 1205, 1222: // a deadlock, a lock that did not come in time
		e.Code = "sqlserver.locked"
		e.Vi, e.En = "ứng dụng giữ khoá quá lâu nên chưa mở được ảnh chụp", "the application holds locks for too long, so a view could not be opened"
		e.Hint = "kết thúc giao dịch đang mở, hoặc tăng LockTimeout / end the transaction that is open, or raise LockTimeout"
	case 3952, 3954:
		e.Code = "sqlserver.snapshot_off"
		e.Vi, e.En = "cơ sở dữ liệu chưa cho phép mức cô lập SNAPSHOT", "the database does not allow SNAPSHOT isolation"
		e.Hint = "ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON;"
	case 3957, 3958, 3961, 3966:
		e.Code = "sqlserver.snapshot_lost"
		e.Vi, e.En = "ảnh chụp không dùng được nữa: bảng đã đổi cấu trúc hoặc tempdb hết chỗ cho phiên bản dòng", "the snapshot cannot be used any more: a table's structure changed, or tempdb has no room for row versions"
		e.Hint = "mở lại ảnh chụp; kiểm tra dung lượng tempdb / open the view again; look at the size of tempdb"
	case 4060, 18456:
		e.Code = "sqlserver.login"
		e.Vi, e.En = "không đăng nhập được vào cơ sở dữ liệu", "the login to the database fails"
		e.Hint = "kiểm tra tên, mật khẩu và cơ sở dữ liệu / check name, password and database"
	default:
		return err
	}
	return e
}

func badChunk() error {
	return &lienthong.Error{
		Code: "sqlserver.chunk", Vi: "không đọc được đoạn dữ liệu đã lưu", En: "the stored chunk cannot be read",
		Hint: "nạp lại từ đầu / start the snapshot again",
	}
}
