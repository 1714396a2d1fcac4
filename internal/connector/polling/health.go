package polling

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lienthong/lienthong/internal/connector"
)

// Health says when the last poll was, what waits, and what no poll can see.
func (s *Source) Health(ctx context.Context) (connector.Health, error) {
	s.mu.Lock()
	captured, r := s.captured, s.report
	var twice string
	var duplicates int64
	for name, n := range r.duplicates {
		if n > duplicates {
			twice, duplicates = name, n
		}
	}
	s.mu.Unlock()
	health := connector.Health{RetainedBytes: -1} // the source keeps nothing for us
	say := func(code, vi, en string) (connector.Health, error) {
		health.Code, health.Vi, health.En = code, vi, en
		return health, nil
	}
	var waiting int64
	if err := s.state.QueryRowContext(ctx, "SELECT count(*) FROM changes").Scan(&waiting); err != nil {
		return health, fmt.Errorf("polling: health: %w", err)
	}
	age := s.config.Now().Sub(r.polled).Round(time.Second)
	switch {
	case captured == nil:
		return say("polling.not_started", "chưa theo dõi thay đổi", "changes are not captured yet")
	case len(r.gone) > 0:
		return say("polling.table_missing",
			"không còn đọc được bảng: "+strings.Join(r.gone, ", "), "these tables cannot be read any more: "+strings.Join(r.gone, ", "))
	case duplicates > 0:
		return say("polling.key_not_unique",
			fmt.Sprintf("bảng %s có %d dòng trùng khoá đã khai; các dòng đó không được đọc. Khai thêm cột vào khoá", twice, duplicates),
			fmt.Sprintf("table %s has %d rows whose declared key another row has too; they are not read. Add a column to the key", twice, duplicates))
	case r.paused:
		return say("polling.paused",
			fmt.Sprintf("tạm ngừng đọc: %d thay đổi chờ xác nhận, giới hạn là %d", waiting, s.config.MaxPending),
			fmt.Sprintf("reading has paused: %d changes wait for acknowledgement, the limit is %d", waiting, s.config.MaxPending))
	case r.polled.IsZero():
		return say("polling.not_polled", "chưa đọc được lần nào", "nothing has been read yet")
	case age > 10*s.config.Every+10*time.Minute && age > 3*r.took:
		return say("polling.late",
			fmt.Sprintf("lần đọc gần nhất cách đây %s, chu kỳ là %s", age, s.config.Every),
			fmt.Sprintf("the last poll was %s ago, the interval is %s", age, s.config.Every))
	}
	whole := 0
	for _, t := range captured {
		if t.whole {
			whole++
		}
	}
	health.OK = true
	return say("polling.ok",
		fmt.Sprintf("lần đọc gần nhất cách đây %s, mất %s, %d dòng; %d thay đổi chờ xác nhận; %d bảng phải đọc toàn bộ mỗi lần",
			age, r.took.Round(time.Millisecond), r.read, waiting, whole),
		fmt.Sprintf("the last poll was %s ago, took %s and read %d rows; %d changes wait for acknowledgement; %d tables are read whole at each poll",
			age, r.took.Round(time.Millisecond), r.read, waiting, whole))
}

// Inspect looks at what there is and whether it can be read.
func (s *Source) Inspect(ctx context.Context) (connector.Inspection, error) {
	found := connector.Inspection{Engine: s.dialect.Name}
	if s.dialect.Version != "" {
		// The version may be hidden from the account; that is no harm.
		if s.db.QueryRowContext(ctx, s.dialect.Version).Scan(&found.Engine) != nil && s.db.PingContext(ctx) != nil {
			found.Required = append(found.Required, connector.Requirement{
				Code: "polling.connect", Vi: "phải kết nối được tới cơ sở dữ liệu", En: "the database must be reachable",
			})
			return found, nil
		}
	}
	described, err := s.describeAll(ctx)
	if err != nil {
		return found, fmt.Errorf("polling: inspect: %w", err)
	}
	for i := range described {
		d := &described[i]
		switch {
		case !d.readable():
			found.LeftOut = append(found.LeftOut, connector.LeftOut{
				Name: d.name, Code: d.kind,
				Vi: "không phải bảng; khai khoá nếu muốn đọc", En: "not a table; declare its key to have it read",
			})
			continue
		case len(d.key) == 0:
			found.LeftOut = append(found.LeftOut, connector.LeftOut{
				Name: d.name, Code: "no_key",
				Vi: "bảng không có khoá chính; khai các cột phân biệt từng dòng", En: "no primary key; declare the columns that tell rows apart",
			})
		}
		found.Tables = append(found.Tables, d.table())
		for _, name := range d.declared.Skip {
			found.LeftOut = append(found.LeftOut, connector.LeftOut{
				Name: d.name + "." + name, Code: "skipped", Vi: "không đọc theo khai báo", En: "declared not to be read",
			})
		}
		right := connector.Requirement{Code: "polling.select", OK: true, Vi: "đọc được bảng " + d.name, En: "table " + d.name + " can be read"}
		if err := s.probe(ctx, d); err != nil {
			if ctx.Err() != nil {
				return found, ctx.Err()
			}
			right.OK, right.Statement = false, s.dialect.grant(d.from)
			right.Vi, right.En = "tài khoản phải được đọc bảng "+d.name, "the account must be allowed to read table "+d.name
		}
		found.Required = append(found.Required, right)
		for _, name := range d.unknown {
			found.Required = append(found.Required, connector.Requirement{
				Code: "polling.column_missing", Vi: "bảng " + d.name + " phải có cột " + name + " như đã khai", En: "table " + d.name + " must have the declared column " + name,
			})
		}
	}
	return found, nil
}

// probe asks for the columns of a table and no row.
func (s *Source) probe(ctx context.Context, d *description) error {
	suffix := ""
	if s.dialect.AsOf != nil {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			return err
		}
		suffix, _, err = s.dialect.AsOf(ctx, conn)
		if err = errors.Join(err, conn.Close()); err != nil {
			return err
		}
	}
	query := "SELECT "
	for i := range d.columns {
		if i > 0 {
			query += ", "
		}
		query += s.dialect.column(&d.columns[i])
	}
	rows, err := s.db.QueryContext(ctx, query+" FROM "+d.from+suffix+" WHERE 1 = 0")
	if err != nil {
		return err
	}
	_ = rows.Next()
	err = rows.Err()
	if closed := rows.Close(); err == nil {
		err = closed
	}
	return err
}
