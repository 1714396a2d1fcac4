package sqlserver

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lienthong/lienthong/internal/connector"
)

// The capture job notes its place at least every 5 minutes, also when nothing happens. Silence
// for twice as long means that it does not run.
const jobSilence = 10 * time.Minute

const healthQuery = `SELECT DATEDIFF(SECOND, MAX(m.tran_end_time), GETDATE()),
 (SELECT d.log_reuse_wait_desc FROM sys.databases d WHERE d.database_id = DB_ID()),
 DATEDIFF(SECOND, sys.fn_cdc_map_lsn_to_time(@p1), GETDATE()),
 COUNT(*)
FROM cdc.lsn_time_mapping m`

// The retention of the cleanup job in minutes, and log that is in use; each needs a right that the account may lack.
const (
	retentionQuery = "SELECT j.retention FROM msdb.dbo.cdc_jobs j WHERE j.database_id = DB_ID() AND j.job_type = N'cleanup'"
	logQuery       = "SELECT used_log_space_in_bytes FROM sys.dm_db_log_space_usage"
)

// standardRetention is what the cleanup job is made with: three days, in minutes.
const standardRetention = 4320

// Health tells whether the capture job runs, and whether the cleanup job comes closer to us.
func (s *Source) Health(ctx context.Context) (connector.Health, error) {
	s.mu.Lock()
	captured, at, name := s.captured, s.streamed, s.config.Name
	s.mu.Unlock()
	health := connector.Health{RetainedBytes: -1} // change tables are kept by age, not for us
	say := func(code, vi, en string) (connector.Health, error) {
		health.Code, health.Vi, health.En = code, vi, en
		return health, nil
	}
	if captured == nil {
		return say("sqlserver.not_started", "chưa theo dõi thay đổi", "changes are not captured yet")
	}
	var silent, behind, places sql.NullInt64
	var wait sql.NullString
	if err := s.db.QueryRowContext(ctx, healthQuery, at.argument()).Scan(&silent, &wait, &behind, &places); err != nil {
		return health, fmt.Errorf("sqlserver: health: %w", explain(err))
	}
	now, err := s.capturing(ctx)
	if err != nil {
		return health, fmt.Errorf("sqlserver: health: %w", explain(err))
	}
	kept := ""
	var used sql.NullInt64
	if s.db.QueryRowContext(ctx, logQuery).Scan(&used) == nil && used.Valid {
		kept = fmt.Sprintf("%.1f GB", float64(used.Int64)/1e9)
	}
	for _, t := range captured {
		instances := now.of(t.name)
		if len(instances) == 0 {
			return say("sqlserver.table_not_captured",
				"bảng "+t.name+" không còn bật CDC; chạy: "+enableTable(t.name, ""),
				"change data capture is no longer enabled for table "+t.name+"; run: "+enableTable(t.name, ""))
		}
	}
	if age := time.Duration(silent.Int64) * time.Second; places.Int64 == 0 || age > jobSilence {
		vi := fmt.Sprintf("tác vụ thu thập CDC của %s im lặng %s nên không thấy thay đổi nào; ", name, age)
		en := fmt.Sprintf("the CDC capture job of %s has been silent for %s, so no change is seen; ", name, age)
		if places.Int64 == 0 {
			vi, en = "tác vụ thu thập CDC của "+name+" chưa chạy lần nào; ", "the CDC capture job of "+name+" has never run; "
		}
		if wait.String == "REPLICATION" {
			vi += "nhật ký không cắt được vì chờ tác vụ này"
			en += "the log cannot be truncated because it waits for this job"
			if kept != "" {
				vi += " (đang dùng " + kept + ")"
				en += " (" + kept + " are in use)"
			}
			vi, en = vi+"; ", en+"; "
		}
		const start = "EXEC sys.sp_cdc_start_job @job_type = N'capture';"
		return say("sqlserver.capture_stopped", vi+"kiểm tra SQL Server Agent, rồi chạy: "+start, en+"look at SQL Server Agent, then run: "+start)
	}
	if now.max.less(at) {
		return say("sqlserver.position_ahead",
			"vị trí đã đọc đứng trước nhật ký của máy chủ: cơ sở dữ liệu có thể đã được khôi phục từ bản sao lưu; cần nạp lại",
			"the position that was read is ahead of the server's log: the database may have been restored from a backup; load it anew")
	}
	var retention sql.NullInt64
	if s.db.QueryRowContext(ctx, retentionQuery).Scan(&retention) != nil || !retention.Valid {
		retention.Int64 = standardRetention
	}
	limit := time.Duration(retention.Int64) * time.Minute
	if lag := time.Duration(behind.Int64) * time.Second; behind.Valid && lag > limit/2 {
		return say("sqlserver.cleanup_near",
			fmt.Sprintf("đọc chậm %s; CDC chỉ giữ thay đổi %s rồi xoá. Tăng thời gian lưu: EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = %d;", lag, limit, 2*retention.Int64),
			fmt.Sprintf("reading is %s behind; CDC keeps changes for %s and then removes them. Keep them longer: EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = %d;", lag, limit, 2*retention.Int64))
	}
	var done []string
	for _, t := range captured {
		if instances := now.of(t.name); len(instances) > 1 && !at.less(instances[len(instances)-1].start) {
			done = append(done, "EXEC sys.sp_cdc_disable_table @source_schema = "+literal(t.live.schema)+", @source_name = "+literal(t.live.plain)+
				", @capture_instance = "+literal(instances[0].name)+";")
		}
	}
	vi := fmt.Sprintf("tác vụ thu thập CDC ghi nhận lần cuối cách đây %ds, thay đổi được giữ %s", silent.Int64, limit)
	en := fmt.Sprintf("the CDC capture job noted its place %ds ago, changes are kept for %s", silent.Int64, limit)
	if len(done) > 0 {
		vi += "; phiên bản CDC cũ đã đọc hết, có thể bỏ: " + strings.Join(done, " ")
		en += "; old capture instances are read to their end and can be dropped: " + strings.Join(done, " ")
	}
	health.OK = true
	return say("sqlserver.ok", vi, en)
}

const databaseQuery = `SELECT 'SQL Server ' + CONVERT(varchar(40), SERVERPROPERTY('ProductVersion')) + ' ' + CONVERT(varchar(80), SERVERPROPERTY('Edition')),
 CONVERT(int, d.is_cdc_enabled), CONVERT(int, d.snapshot_isolation_state)
FROM sys.databases d WHERE d.database_id = DB_ID()`

// Inspect tells what a DBA has to do before the database can be read.
func (s *Source) Inspect(ctx context.Context) (connector.Inspection, error) {
	var found connector.Inspection
	var enabled, snapshot int
	need := func(code string, ok bool, vi, en, statement string) {
		r := connector.Requirement{Code: code, OK: ok, Vi: vi, En: en}
		if !ok {
			r.Statement = statement
		}
		found.Required = append(found.Required, r)
	}
	if err := s.db.QueryRowContext(ctx, databaseQuery).Scan(&found.Engine, &enabled, &snapshot); err != nil {
		if ctx.Err() != nil {
			return found, ctx.Err()
		}
		found.Engine = "SQL Server"
		need("sqlserver.connect", false, "phải kết nối và đăng nhập được", "connecting and logging in must be possible", "")
		return found, nil
	}
	need("sqlserver.cdc_off", enabled != 0, "cơ sở dữ liệu phải bật CDC", "change data capture must be enabled for the database", "EXEC sys.sp_cdc_enable_db;")
	need("sqlserver.snapshot_off", snapshot == 1, "cơ sở dữ liệu phải cho phép mức cô lập SNAPSHOT", "the database must allow SNAPSHOT isolation",
		"ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON;")
	all, err := s.catalogRows(ctx, "", "")
	if err != nil {
		return found, fmt.Errorf("sqlserver: inspect: %w", explain(err))
	}
	at := &capture{}
	if enabled != 0 {
		if at, err = s.capturing(ctx); err != nil {
			if ctx.Err() != nil {
				return found, ctx.Err()
			}
			need("sqlserver.denied", false, "tài khoản phải được đọc lược đồ cdc", "the account must be allowed to read the schema cdc",
				"GRANT SELECT ON SCHEMA::cdc TO lienthong_reader;")
			at = &capture{}
		}
	}
	for n := range all {
		live := &all[n]
		if len(live.key) == 0 {
			found.LeftOut = append(found.LeftOut, connector.LeftOut{
				Name: live.name, Code: "no_key", Vi: "bảng không có khoá chính", En: "the table has no primary key",
			})
			found.Tables = append(found.Tables, live.table())
			continue
		}
		instances := at.of(live.name)
		need("sqlserver.table_not_captured", len(instances) > 0, "bảng "+live.name+" phải bật CDC", "change data capture must be enabled for table "+live.name, enableTable(live.name, ""))
		if len(instances) == 0 {
			found.Tables = append(found.Tables, live.table())
			continue
		}
		newest := instances[len(instances)-1]
		if err := s.detail(ctx, newest); err != nil {
			return found, fmt.Errorf("sqlserver: inspect: %w", explain(err))
		}
		shown := newest.shown(live)
		if shown == nil {
			shown = live
		}
		found.Tables = append(found.Tables, shown.table())
		var missing []string
		for _, c := range live.columns {
			if newest.captured[c.Name] == 0 {
				missing = append(missing, c.Name)
				found.LeftOut = append(found.LeftOut, connector.LeftOut{
					Name: live.name + "." + c.Name, Code: "not_captured",
					Vi: "phiên bản CDC được tạo trước khi có cột này", En: "the capture instance is older than this column",
				})
			}
		}
		if len(missing) == 0 {
			continue
		}
		columns := strings.Join(missing, ", ")
		if len(instances) > 1 {
			need("sqlserver.instances_full", false,
				"bảng "+live.name+" có cột mới ("+columns+") nhưng đã đủ hai phiên bản CDC: bỏ phiên bản cũ khi đã đọc hết, rồi tạo phiên bản mới",
				"table "+live.name+" has new columns ("+columns+") but two capture instances already: drop the older when it is read to its end, then make a new one",
				"EXEC sys.sp_cdc_disable_table @source_schema = "+literal(live.schema)+", @source_name = "+literal(live.plain)+", @capture_instance = "+literal(instances[0].name)+"; "+
					enableTable(live.name, freeName(live, instances[1:])))
			continue
		}
		need("sqlserver.columns_not_captured", false,
			"bảng "+live.name+" có cột mới chưa thu thập: "+columns+". Tạo phiên bản CDC thứ hai; luồng sẽ tự chuyển sang",
			"table "+live.name+" has new columns that are not captured: "+columns+". Make a second capture instance; the stream moves over by itself",
			enableTable(live.name, freeName(live, instances)))
	}
	return found, nil
}

// freeName is a name for another capture instance of the table.
func freeName(d *described, instances []*instance) string {
	for n := 2; ; n++ {
		name := fmt.Sprintf("%s_%s_%d", d.schema, d.plain, n)
		if !slices.ContainsFunc(instances, func(i *instance) bool { return i.name == name }) {
			return name
		}
	}
}
