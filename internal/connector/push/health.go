package push

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/lienthong/lienthong/internal/connector"
)

// measure counts the changes that capture has not taken yet. Change numbers have no gaps,
// so the difference is the count.
func (s *Source) measure(ctx context.Context) error {
	var captured bool
	if err := s.db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = '_lienthong_changes'").Scan(&captured); err != nil {
		return fmt.Errorf("push: measure the inbox: %w", err)
	}
	var waiting int64
	if captured {
		if err := s.db.QueryRowContext(ctx, `SELECT coalesce((SELECT max(no) FROM _lienthong_changes), 0) -
			coalesce((SELECT max(acknowledged) FROM _lienthong_state), 0)`).Scan(&waiting); err != nil {
			return fmt.Errorf("push: measure the inbox: %w", err)
		}
	}
	s.waiting.Store(max(waiting, 0))
	return nil
}

// figures are how full the inbox is.
type figures struct {
	waiting, size, free int64
}

func (s *Source) figures() figures {
	f := figures{waiting: s.waiting.Load(), free: -1}
	for _, name := range []string{s.path, s.path + "-wal"} {
		if info, err := os.Stat(name); err == nil {
			f.size += info.Size()
		} else if !errors.Is(err, fs.ErrNotExist) {
			f.size = -1
			break
		}
	}
	if free, err := freeSpace(s.config.StateDir); err == nil {
		f.free = free
	}
	return f
}

// full reports whether the inbox must not take more now.
func (s *Source) full(ctx context.Context) bool {
	limits, f := &s.config.Limits, s.figures()
	if f.waiting >= limits.WaitingChanges {
		// Capture may run in another process: look before refusing.
		if err := s.measure(ctx); err != nil {
			return true
		}
		f.waiting = s.waiting.Load()
	}
	return f.waiting >= limits.WaitingChanges || limits.InboxBytes > 0 && f.size >= limits.InboxBytes ||
		f.free >= 0 && f.free < limits.FreeBytes
}

// Health explains how full the inbox is and whether capture takes what comes in.
func (s *Source) Health(ctx context.Context) (connector.Health, error) {
	health, err := s.inner.Health(ctx)
	if err != nil {
		return health, err
	}
	if err := s.measure(ctx); err != nil {
		return health, err
	}
	limits, f := &s.config.Limits, s.figures()
	health.RetainedBytes = f.size
	switch {
	case f.free >= 0 && f.free < limits.FreeBytes:
		health.OK, health.Code = false, "push.disk"
		health.Vi = fmt.Sprintf("đĩa của hộp nhận chỉ còn trống %s, dưới mức %s: đang từ chối bản ghi mới (503), bên gửi sẽ gửi lại", bytesVi(f.free), bytesVi(limits.FreeBytes))
		health.En = fmt.Sprintf("the inbox's disk has only %s free, less than %s: new records are refused (503) and will be sent again", bytesEn(f.free), bytesEn(limits.FreeBytes))
	case f.waiting >= limits.WaitingChanges:
		health.OK, health.Code = false, "push.waiting"
		health.Vi = fmt.Sprintf("%d thay đổi chưa được nút đọc, đến giới hạn %d: đang từ chối bản ghi mới (503); kiểm tra đường truyền về trung tâm", f.waiting, limits.WaitingChanges)
		health.En = fmt.Sprintf("%d changes wait to be read by the node, the limit is %d: new records are refused (503); check the line to the hub", f.waiting, limits.WaitingChanges)
	case limits.InboxBytes > 0 && f.size >= limits.InboxBytes:
		health.OK, health.Code = false, "push.size"
		health.Vi = fmt.Sprintf("hộp nhận đã chiếm %s, đến giới hạn %s: đang từ chối bản ghi mới (503)", bytesVi(f.size), bytesVi(limits.InboxBytes))
		health.En = fmt.Sprintf("the inbox takes %s, the limit is %s: new records are refused (503)", bytesEn(f.size), bytesEn(limits.InboxBytes))
	case health.Code == "sqlite.not_started":
		health.Code = "push.not_started"
		health.Vi = "đang nhận bản ghi, nhưng nút chưa bắt đầu đọc hộp nhận"
		health.En = "records are accepted, but the node has not begun to read the inbox"
	case health.OK:
		health.Code = "push.ok"
		health.Vi = fmt.Sprintf("%d thay đổi chờ nút đọc; hộp nhận %s", f.waiting, bytesVi(f.size))
		health.En = fmt.Sprintf("%d changes wait to be read by the node; the inbox takes %s", f.waiting, bytesEn(f.size))
	}
	return health, nil
}

func bytesEn(n int64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// bytesVi has the decimal comma.
func bytesVi(n int64) string {
	text := []byte(bytesEn(n))
	for i := range text {
		if text[i] == '.' {
			text[i] = ','
		}
	}
	return string(text)
}

// Inspect says what is needed before records can come.
func (s *Source) Inspect(ctx context.Context) (connector.Inspection, error) {
	tables, err := s.inner.Tables(ctx)
	if err != nil {
		return connector.Inspection{}, err
	}
	clients, err := s.clients.Clients(ctx)
	if err != nil {
		return connector.Inspection{}, err
	}
	f := s.figures()
	inspection := connector.Inspection{Engine: "Push inbox (SQLite)", Tables: tables}
	require := func(code string, ok bool, vi, en, statement string) {
		if ok {
			statement = ""
		}
		inspection.Required = append(inspection.Required, connector.Requirement{Code: code, OK: ok, Vi: vi, En: en, Statement: statement})
	}
	require("push.types", len(tables) > 0,
		fmt.Sprintf("cần ít nhất một loại dữ liệu được khai báo; hiện có %d", len(tables)),
		fmt.Sprintf("at least one record type must be declared; there are %d", len(tables)),
		"khai báo trong cấu hình hoặc nhập tệp xlsx / declare it in the configuration, or import its xlsx")
	require("push.clients", len(clients) > 0,
		fmt.Sprintf("cần ít nhất một hệ thống được phép gửi; hiện có %d", len(clients)),
		fmt.Sprintf("at least one client must be allowed to send; there are %d", len(clients)),
		"thêm hệ thống gửi và trao khoá cho đơn vị / add a client and hand its key to its operator")
	require("push.disk", f.free < 0 || f.free >= s.config.Limits.FreeBytes,
		fmt.Sprintf("đĩa cần trống ít nhất %s; hiện trống %s", bytesVi(s.config.Limits.FreeBytes), bytesVi(f.free)),
		fmt.Sprintf("the disk must have %s free; it has %s", bytesEn(s.config.Limits.FreeBytes), bytesEn(f.free)),
		"giải phóng dung lượng / free some space")
	return inspection, nil
}
