package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// serverState is what the settings of the server and the account's privileges are.
type serverState struct {
	version       string
	number        int
	database      string
	user          string
	level         string
	replication   bool
	slots, inUse  int
	senders, sent int
	ours          bool // our slot is there
	published     []uint32
	publication   bool
	mayCreate     bool // a publication in this database
	bypass        bool // row-level security
	address       string
}

const serverQuery = `
SELECT split_part(current_setting('server_version'), ' ', 1), current_setting('server_version_num')::int, current_database()::text, current_user::text,
       current_setting('wal_level'),
       (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user),
       current_setting('max_replication_slots')::int, (SELECT count(*) FROM pg_replication_slots)::int,
       current_setting('max_wal_senders')::int, (SELECT count(*) FROM pg_stat_replication)::int,
       EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1),
       EXISTS (SELECT FROM pg_publication WHERE pubname = $1),
       COALESCE((SELECT array_agg(t.relid) FROM pg_publication p, pg_get_publication_tables(p.pubname) t WHERE p.pubname = $1), '{}'),
       has_database_privilege(current_database(), 'CREATE'),
       (SELECT rolbypassrls OR rolsuper FROM pg_roles WHERE rolname = current_user),
       COALESCE(host(inet_client_addr()), 'local')`

// leftOutQuery finds what is in the database and is not read, with a code for the reason.
const leftOutQuery = `
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname),
       CASE WHEN c.relpersistence = 't' THEN 'temporary'
            WHEN c.relkind = 'v' THEN 'view' WHEN c.relkind = 'm' THEN 'materialized_view' WHEN c.relkind = 'f' THEN 'foreign_table'
            WHEN c.relpersistence = 'u' THEN 'unlogged'
            ELSE 'no_privilege' END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND (n.nspname NOT LIKE 'pg\_%' OR c.relpersistence = 't' AND n.nspname NOT LIKE 'pg\_toast%') AND n.nspname <> 'information_schema'
  AND (c.relkind IN ('v', 'm', 'f') OR c.relpersistence <> 'p' OR NOT has_table_privilege(c.oid, 'SELECT'))
UNION ALL
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) || '.' || quote_ident(a.attname), 'generated'
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.attgenerated <> '' AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
  AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema' AND has_table_privilege(c.oid, 'SELECT')
UNION ALL
SELECT 'pg_largeobject', 'large_objects' WHERE EXISTS (SELECT FROM pg_largeobject_metadata)
ORDER BY 1`

// Inspect tells what there is, what is left out and what is missing, and changes nothing.
func (s *Source) Inspect(ctx context.Context) (connector.Inspection, error) {
	var found connector.Inspection
	var state serverState
	err := s.with(ctx, func(conn *pgx.Conn) error {
		err := conn.QueryRow(ctx, serverQuery, s.slot).Scan(&state.version, &state.number, &state.database, &state.user, &state.level,
			&state.replication, &state.slots, &state.inUse, &state.senders, &state.sent, &state.ours, &state.publication,
			&state.published, &state.mayCreate, &state.bypass, &state.address)
		if err != nil {
			return err
		}
		tables, err := catalog(ctx, conn)
		if err != nil {
			return err
		}
		rows, err := conn.Query(ctx, leftOutQuery)
		if err != nil {
			return err
		}
		found.LeftOut, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (l connector.LeftOut, err error) {
			if err = row.Scan(&l.Name, &l.Code); err == nil {
				l.Vi, l.En = whyLeftOut(l, state.user)
			}
			return l, err
		})
		if err != nil {
			return err
		}
		unused, err := unusableSchemas(ctx, conn)
		if err != nil {
			return err
		}
		found.Engine = "PostgreSQL " + state.version
		found.Required = state.requirements(s, tables, unused, found.LeftOut)
		for _, t := range tables {
			if len(t.Key) > 0 {
				found.Tables = append(found.Tables, t.Table)
				continue
			}
			l := connector.LeftOut{Name: t.Name, Code: "no_key"}
			l.Vi, l.En = whyLeftOut(l, state.user)
			found.LeftOut = append(found.LeftOut, l)
		}
		return nil
	})
	if err != nil {
		return connector.Inspection{}, err
	}
	if state.replication {
		found.Required = append(found.Required, s.reachable(ctx, &state))
	}
	return found, nil
}

// unusableSchemas are those that hold tables and may not be used by the account.
func unusableSchemas(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, `
SELECT quote_ident(n.nspname) FROM pg_namespace n
WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema' AND NOT has_schema_privilege(n.oid, 'USAGE')
  AND EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p')) ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func whyLeftOut(l connector.LeftOut, user string) (vi, en string) {
	switch l.Code {
	case "view":
		return "khung nhìn (view): đọc các bảng gốc của nó", "a view: read the tables it is made of"
	case "materialized_view":
		return "khung nhìn vật lý hóa: PostgreSQL không ghi thay đổi của nó vào nhật ký logic; đọc các bảng gốc",
			"a materialised view: PostgreSQL does not replicate its changes; read the tables it is made of"
	case "foreign_table":
		return "bảng ngoài (foreign table): đọc tại cơ sở dữ liệu chứa nó", "a foreign table: read it at the database that has it"
	case "unlogged":
		return "bảng UNLOGGED không có nhật ký; ALTER TABLE " + l.Name + " SET LOGGED; nếu cần",
			"an unlogged table has no log; ALTER TABLE " + l.Name + " SET LOGGED; when it is needed"
	case "temporary":
		return "bảng tạm của một phiên làm việc", "a temporary table of one session"
	case "generated":
		return "cột sinh tự động: PostgreSQL không gửi; tính lại từ các cột gốc", "a generated column: PostgreSQL does not send it; compute it from its columns"
	case "large_objects":
		return "đối tượng lớn (large object) không được nhân bản logic; chuyển sang cột bytea nếu cần",
			"large objects are not replicated logically; move them to bytea columns when they are needed"
	case "no_privilege":
		grant := "GRANT SELECT ON " + l.Name + " TO " + pgx.Identifier{user}.Sanitize() + ";"
		return "tài khoản chưa được đọc bảng này: " + grant, "the account may not read the table: " + grant
	case "no_key":
		return "bảng không có khóa để nhận ra từng bản ghi: ALTER TABLE " + l.Name + " ADD PRIMARY KEY (…); hoặc, nếu không thể, REPLICA IDENTITY FULL (cả dòng là khóa)",
			"the table has no key that tells its rows apart: ALTER TABLE " + l.Name + " ADD PRIMARY KEY (…); or, where that cannot be, REPLICA IDENTITY FULL (the whole row is the key)"
	}
	return "không đọc được", "cannot be read"
}

// requirements are what reading needs, in the order in which an administrator meets them.
func (state *serverState) requirements(s *Source, tables []*table, unused []string, left []connector.LeftOut) []connector.Requirement {
	user := pgx.Identifier{state.user}.Sanitize()
	var all []connector.Requirement
	add := func(ok bool, r connector.Requirement) {
		r.OK = ok
		if ok {
			r.Statement, r.Restart = "", false
		}
		all = append(all, r)
	}
	add(state.number >= oldestServer, connector.Requirement{
		Code: "postgres.version", Vi: "PostgreSQL 13 trở lên; đang là " + state.version, En: "PostgreSQL 13 or newer; there is " + state.version,
		Statement: "-- nâng cấp PostgreSQL / upgrade PostgreSQL",
	})
	add(state.level == "logical", connector.Requirement{
		Code: "postgres.wal_level", Vi: "wal_level là logical; đang là " + state.level, En: "wal_level is logical; it is " + state.level,
		Statement: "ALTER SYSTEM SET wal_level = 'logical';", Restart: true,
	})
	// One slot for the stream and, while a view is opened, one more.
	need := state.inUse + 2
	if state.ours {
		need--
	}
	add(state.slots >= need, connector.Requirement{
		Code:      "postgres.max_replication_slots",
		Vi:        fmt.Sprintf("còn replication slot trống cho một luồng và một lần tải đầu; max_replication_slots là %d", state.slots),
		En:        fmt.Sprintf("free replication slots for a stream and a first load; max_replication_slots is %d", state.slots),
		Statement: fmt.Sprintf("ALTER SYSTEM SET max_replication_slots = %d;", need+2), Restart: true,
	})
	add(state.senders >= state.sent+2 || state.ours && state.senders > state.sent, connector.Requirement{
		Code:      "postgres.max_wal_senders",
		Vi:        fmt.Sprintf("còn tiến trình gửi nhật ký cho một luồng và một lần tải đầu; max_wal_senders là %d", state.senders),
		En:        fmt.Sprintf("free WAL senders for a stream and a first load; max_wal_senders is %d", state.senders),
		Statement: fmt.Sprintf("ALTER SYSTEM SET max_wal_senders = %d;", state.sent+4), Restart: true,
	})
	add(state.replication, connector.Requirement{
		Code: "postgres.replication", Vi: "tài khoản " + state.user + " có quyền REPLICATION", En: "account " + state.user + " has the REPLICATION attribute",
		Statement: "ALTER ROLE " + user + " REPLICATION;",
	})
	add(len(unused) == 0 || len(tables) > 0, connector.Requirement{
		Code: "postgres.usage", Vi: "quyền USAGE trên lược đồ có bảng" + listed(unused), En: "USAGE on the schemas that have tables" + listed(unused),
		Statement: "GRANT USAGE ON SCHEMA " + strings.Join(unused, ", ") + " TO " + user + ";",
	})
	add(len(tables) > 0, connector.Requirement{
		Code: "postgres.select", Vi: fmt.Sprintf("quyền SELECT; đọc được %d bảng", len(tables)), En: fmt.Sprintf("SELECT; %d tables can be read", len(tables)),
		Statement: grantSelect(left, user),
	})
	var hidden, foreign []string
	for _, t := range tables {
		if t.hidden {
			hidden = append(hidden, t.Name)
		}
		if len(t.Key) > 0 && !t.owned && !slices.Contains(state.published, t.oid) {
			foreign = append(foreign, t.Name)
		}
	}
	add(len(hidden) == 0, connector.Requirement{
		Code: "postgres.row_security", Vi: "không có chính sách nào giấu dòng khỏi tài khoản" + listed(hidden), En: "no policy hides rows from the account" + listed(hidden),
		Statement: "ALTER ROLE " + user + " BYPASSRLS;",
	})
	if len(tables) > 0 {
		add(len(foreign) == 0 && (state.publication || state.mayCreate) || len(state.published) > 0, state.publicationOf(s, tables, foreign))
	}
	return all
}

// publicationOf says who publishes the tables. A publication that has some of them is a
// choice that an administrator has made.
func (state *serverState) publicationOf(s *Source, tables []*table, foreign []string) connector.Requirement {
	var names []string
	for _, t := range tables {
		if len(t.Key) > 0 {
			names = append(names, t.Name)
		}
	}
	if len(foreign) > 0 {
		names = foreign
	}
	r := connector.Requirement{
		Code: "postgres.publication",
		Vi:   fmt.Sprintf("publication %s: tài khoản sở hữu các bảng, hoặc chủ sở hữu đã tạo (đang có %d bảng)", s.slot, len(state.published)),
		En:   fmt.Sprintf("publication %s: the account owns the tables, or their owner has made it (%d tables are in it)", s.slot, len(state.published)),
	}
	publication := pgx.Identifier{s.slot}.Sanitize()
	if state.publication {
		r.Statement = "ALTER PUBLICATION " + publication + " ADD TABLE " + strings.Join(names, ", ") + ";"
	} else {
		r.Statement = "CREATE PUBLICATION " + publication + " FOR TABLE " + strings.Join(names, ", ") + " WITH (publish_via_partition_root = true);"
	}
	return r
}

func listed(names []string) string {
	if len(names) == 0 {
		return ""
	}
	if len(names) > 10 {
		names = append(names[:10:10], "…")
	}
	return ": " + strings.Join(names, ", ")
}

func grantSelect(left []connector.LeftOut, user string) string {
	var schemas []string
	for _, l := range left {
		schema, _, _ := strings.Cut(l.Name, ".")
		if l.Code == "no_privilege" && !slices.Contains(schemas, schema) {
			schemas = append(schemas, schema)
		}
	}
	if len(schemas) == 0 {
		return "-- chưa có bảng nào trong cơ sở dữ liệu / the database has no table yet"
	}
	return "GRANT SELECT ON ALL TABLES IN SCHEMA " + strings.Join(schemas, ", ") + " TO " + user + ";"
}

// reachable opens a replication connection, which pg_hba.conf can refuse and a pooler
// cannot carry.
func (s *Source) reachable(ctx context.Context, state *serverState) connector.Requirement {
	r := connector.Requirement{
		Code: "postgres.replication_connection", OK: true,
		Vi: "mở được kết nối nhân bản tới chính máy chủ, không qua pgbouncer", En: "a replication connection to the server itself opens, without a pooler",
	}
	conn, err := s.connectReplication(ctx, nil, nil)
	if err == nil {
		_, err = pglogrepl.IdentifySystem(ctx, conn)
		closeConn(conn)
	}
	if err != nil {
		code := lienthong.ErrorCode(s.explain(ctx, err))
		r.OK = false
		r.Vi, r.En = r.Vi+" ("+code+")", r.En+" ("+code+")"
		r.Statement = fmt.Sprintf("-- pg_hba.conf: hostssl %s %s %s/32 scram-sha-256  rồi / then SELECT pg_reload_conf();", state.database, state.user, state.address)
	}
	return r
}
