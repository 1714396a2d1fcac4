package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// Health tells how far we are behind the end of the server's log, and how long the server
// would keep what we have not read. It keeps nothing for our sake.
func (s *Source) Health(ctx context.Context) (connector.Health, error) {
	h := connector.Health{RetainedBytes: 0}
	s.mu.Lock()
	srv, started, lost := s.server, len(s.tables) > 0, s.lost
	replaced := ""
	for _, what := range s.replaced {
		replaced = what
	}
	s.mu.Unlock()
	s.ackMu.Lock()
	acked := s.acked
	s.ackMu.Unlock()
	if !started || srv == nil || acked.Token == "" {
		h.Code = "mysql.not_started"
		h.Vi, h.En = "chưa theo dõi thay đổi", "changes are not read yet"
		return h, nil
	}
	t, err := parseToken(acked.Token)
	if err != nil {
		return h, err
	}
	end, _, err := srv.logEnd(ctx, s.db)
	if err != nil {
		return h, s.explain(ctx, err)
	}
	files, err := binaryLogs(ctx, s.db)
	if err != nil {
		return h, s.explain(ctx, err)
	}
	base, err := s.baseOf(ctx, end.file)
	if err != nil && !errors.Is(err, errOffLine) {
		return h, s.explain(ctx, err)
	}
	kept, oldest := s.kept(srv, &t, files)
	var behind uint64
	if place := base + end.pos; err == nil && place > acked.Order {
		behind = place - acked.Order
	}
	age := s.cfg.Now().Sub(time.Unix(int64(t.at), 0)).Round(time.Minute)
	limit := time.Duration(srv.keptSeconds()) * time.Second
	switch {
	case err != nil:
		h.Code = "mysql.binlog_reset"
		h.Vi, h.En = "nhật ký của máy chủ đã được bắt đầu lại; khởi động lại nguồn", "the server's log was begun anew; start the source again"
	case !kept:
		h.Code = "mysql.binlog_purged"
		h.Vi = "máy chủ đã xóa nhật ký mà nguồn chưa đọc (cần " + t.file + ", còn từ " + oldest + "); khởi động lại nguồn rồi đối soát"
		h.En = "the server has purged log that was not read (" + t.file + " is needed, the oldest is " + oldest + "); start the source again and compare"
	case limit > 0 && behind > 0 && age > limit/2:
		h.Code = "mysql.purge_near"
		h.Vi = fmt.Sprintf("chậm %s nhật ký; vị trí đã đọc từ %s trước, mà máy chủ chỉ giữ nhật ký %s: sắp bị xóa", amount(behind), ageText(age, "giờ", "phút"), ageText(limit, "giờ", "phút"))
		h.En = fmt.Sprintf("%s of log behind; the position is from %s ago and the server keeps its log for %s only: it will soon be purged", amount(behind), ageText(age, "h", "min"), ageText(limit, "h", "min"))
	case behind > s.cfg.LagLimit:
		h.Code = "mysql.behind"
		h.Vi = fmt.Sprintf("chậm %s nhật ký so với máy chủ, vượt giới hạn %s", amount(behind), amount(s.cfg.LagLimit))
		h.En = fmt.Sprintf("%s of log behind the server, more than the limit of %s", amount(behind), amount(s.cfg.LagLimit))
	case lost != "" && replaced != "":
		h.Code = lost
		h.Vi = "đã đọc lại từ hiện tại vì máy chủ không còn nhật ký từ vị trí trước; hãy đối soát hai đầu"
		h.En = "reading began at the present because the server no longer had its log from the position before; compare both ends"
	case replaced != "":
		vi, en, _ := strings.Cut(replaced, "\x00")
		h.Code = "mysql.compare"
		h.Vi, h.En = "bảng "+vi+"; hãy đối soát", "table "+en+"; compare it"
	case !s.streaming.Load():
		h.Code = "mysql.idle"
		h.Vi = "không có ai đọc nhật ký; chậm " + amount(behind)
		h.En = "nobody reads the log; " + amount(behind) + " behind"
	default:
		h.OK, h.Code = true, "mysql.ok"
		h.Vi, h.En = "đang đọc, chậm "+amount(behind)+" nhật ký", "reading, "+amount(behind)+" of log behind"
		if limit > 0 {
			h.Vi += "; máy chủ giữ nhật ký " + ageText(limit, "giờ", "phút")
			h.En += "; the server keeps its log for " + ageText(limit, "h", "min")
		} else {
			h.Vi += "; máy chủ giữ nhật ký không thời hạn"
			h.En += "; the server keeps its log without limit"
		}
	}
	return h, nil
}

// kept reports whether the server still lists the file of the position.
func (s *Source) kept(srv *server, t *token, files []logFile) (bool, string) {
	if t.file == "" || t.server != srv.id || len(files) == 0 {
		return true, ""
	}
	for _, f := range files {
		if f.name == t.file {
			return true, files[0].name
		}
	}
	return false, files[0].name
}

// amount writes a number of bytes for a person.
func amount(n uint64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

func ageText(d time.Duration, hours, minutes string) string {
	if d >= time.Hour {
		return fmt.Sprintf("%.0f %s", d.Hours(), hours)
	}
	return fmt.Sprintf("%.0f %s", d.Minutes(), minutes)
}

// Inspect tells what there is, what is left out and what is missing. It changes nothing.
func (s *Source) Inspect(ctx context.Context) (connector.Inspection, error) {
	srv, err := s.ready(ctx)
	if err != nil {
		return connector.Inspection{}, err
	}
	found := connector.Inspection{Engine: srv.name(), Required: srv.requirements()}
	all, err := s.catalog(ctx)
	if err != nil {
		return found, err
	}
	account := s.account(ctx)
	schemas, unreadable := []string(nil), map[string]bool{}
	for _, d := range all {
		reason, ok := d.readable()
		if !ok {
			found.LeftOut = append(found.LeftOut, reason)
			continue
		}
		found.Tables = append(found.Tables, d.layoutOf(s.sets).Table)
		found.LeftOut = append(found.LeftOut, d.leftOut()...)
		if len(schemas) == 0 || schemas[len(schemas)-1] != d.Schema {
			schemas = append(schemas, d.Schema)
		}
		if err := s.selectable(ctx, d); err != nil {
			if lienthong.ErrorCode(err) != "mysql.select" {
				return found, err
			}
			unreadable[d.Schema] = true
		}
	}
	for _, schema := range schemas {
		r := connector.Requirement{
			Code: "mysql.select", OK: !unreadable[schema],
			Vi: "tài khoản phải được đọc các bảng của " + schema,
			En: "the account must be allowed to read the tables of " + schema,
		}
		if !r.OK {
			r.Statement = srv.readGrant(schema, account)
		}
		found.Required = append(found.Required, r)
	}
	replication := connector.Requirement{
		Code: "mysql.replication",
		Vi:   "tài khoản phải được đọc nhật ký nhị phân",
		En:   "the account must be allowed to read the binary log",
	}
	end, err := s.logEndOf(ctx, srv)
	if err == nil {
		t := token{file: end.file, pos: end.pos}
		err = s.look(ctx, srv, &t)
	}
	switch code := lienthong.ErrorCode(err); {
	case err == nil:
		replication.OK = true
	case code == "mysql.replication":
		replication.Statement = srv.replicationGrant(account)
	case code == "mysql.log_bin":
		replication.Vi += "; chưa kiểm tra được vì nhật ký chưa bật"
		replication.En += "; it cannot be tried while the log is off"
		replication.Statement = srv.replicationGrant(account)
	default:
		return found, err
	}
	found.Required = append(found.Required, replication, srv.followsPromotion())
	if !srv.maria && len(found.Tables) > 0 {
		if r, err := s.lockable(ctx, srv, all, account); err != nil {
			return found, err
		} else if r.Code != "" {
			found.Required = append(found.Required, r)
		}
	}
	return found, nil
}

// leftOut names what of a table is not read.
func (d *described) leftOut() []connector.LeftOut {
	var out []connector.LeftOut
	if len(d.Key) == 0 {
		out = append(out, connector.LeftOut{
			Name: d.spelled(), Code: "no_key",
			Vi: "không có khóa chính, cũng không có chỉ mục duy nhất trên các cột NOT NULL",
			En: "no primary key, nor a unique index over NOT NULL columns",
		})
	}
	for i := range d.Facts {
		f := &d.Facts[i]
		switch {
		case f.Computed:
			out = append(out, connector.LeftOut{
				Name: d.spelled() + "." + spell(f.Name), Code: "generated",
				Vi: "cột tính từ các cột khác", En: "a column that is computed from others",
			})
		case f.Packed:
			out = append(out, connector.LeftOut{
				Name: d.spelled() + "." + spell(f.Name), Code: "compressed",
				Vi: "cột nén riêng của MariaDB (COMPRESSED) không được đọc", En: "a column that MariaDB keeps COMPRESSED is not read",
			})
		}
	}
	return out
}

// followsPromotion tells whether another server can be followed. Reading does not need it.
func (s *server) followsPromotion() connector.Requirement {
	r := connector.Requirement{Code: "mysql.gtid", OK: true}
	if s.maria || strings.EqualFold(s.settings["gtid_mode"], "ON") {
		r.Vi = "giao dịch có định danh (GTID): khi máy chủ khác lên thay, việc đọc đi tiếp"
		r.En = "transactions have identifiers (GTID): when another server takes over, reading goes on"
		return r
	}
	r.Vi = "gtid_mode chưa bật: đọc được, nhưng khi máy chủ khác lên thay thì phải đọc từ hiện tại và đối soát"
	r.En = "gtid_mode is not on: it can be read, but when another server takes over reading begins at the present and both ends must be compared"
	return r
}

// lockable tells whether the account may do what a View on MySQL does for a moment.
func (s *Source) lockable(ctx context.Context, srv *server, all []*described, account string) (connector.Requirement, error) {
	var first *described
	for _, d := range all {
		if _, ok := d.readable(); ok {
			first = d
			break
		}
	}
	if first == nil {
		return connector.Requirement{}, nil
	}
	r := connector.Requirement{
		Code: "mysql.lock_tables", OK: true,
		Vi: "tài khoản cần quyền LOCK TABLES để chụp nhất quán", En: "the account needs LOCK TABLES to see all tables at one place",
	}
	// Of the whole server, of a database, or of a table: this is what the account can see of itself.
	count := 0
	for _, where := range []string{"USER_PRIVILEGES", "SCHEMA_PRIVILEGES"} {
		var n int
		err := s.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema."+where+" WHERE PRIVILEGE_TYPE = 'LOCK TABLES'").Scan(&n)
		if err != nil {
			return r, s.explain(ctx, err)
		}
		count += n
	}
	if r.OK = count > 0; !r.OK {
		r.Statement = srv.readGrant(first.Schema, account)
	}
	return r, nil
}
