package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// The tables that Start leaves in the source.
const (
	changesTable = "_lienthong_changes"
	layoutsTable = "_lienthong_layouts"
	stateTable   = "_lienthong_state"
)

// What a row of the change table says.
const (
	opUpsert   = 0
	opDelete   = 1
	opProbe    = 2 // a row that INSERT OR REPLACE may be about to remove; becomes opDelete when it does
	opSchema   = 3 // the table has the row's layout from here on
	opTruncate = 4 // the table was rebuilt: forget its rows, they follow
)

// microsecondsNow is spelled so that old SQLite versions inside applications
// understand it too: triggers run in the writer's library.
const microsecondsNow = "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"

// layout is the columns of a table at some time.
type layout struct {
	ID      int64              `json:"-"`
	Table   string             `json:"-"`
	Columns []lienthong.Column `json:"columns"`
	Key     []int              `json:"key"`

	// Unique are further unique indexes, as column indexes; REPLACE can remove
	// rows by them. RowIDKey: the key is the row number, which never changes by itself.
	Unique   [][]int `json:"unique,omitempty"`
	RowIDKey bool    `json:"rowid_key,omitempty"`
}

func (l *layout) table() connector.Table {
	return connector.Table{
		Name: l.Table, Columns: slices.Clone(l.Columns), Key: slices.Clone(l.Key), EstimatedRows: -1,
	}
}

func (l *layout) same(other *layout) bool {
	return slices.Equal(l.Columns, other.Columns) && slices.Equal(l.Key, other.Key) &&
		l.RowIDKey == other.RowIDKey && slices.EqualFunc(l.Unique, other.Unique, slices.Equal[[]int])
}

func (l *layout) isKey(column int) bool { return slices.Contains(l.Key, column) }

// within finds each column of l, with the same kind, in a later layout.
func (l *layout) within(later *layout) ([]int, bool) {
	columns := make([]int, len(l.Columns))
	for i := range l.Columns {
		columns[i] = slices.IndexFunc(later.Columns, func(c lienthong.Column) bool {
			return c.Name == l.Columns[i].Name && c.Kind == l.Columns[i].Kind
		})
		if columns[i] < 0 {
			return nil, false
		}
	}
	return columns, true
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func tableNames(ctx context.Context, conn *sql.Conn) ([]string, error) {
	return scanStrings(ctx, conn, `SELECT name FROM pragma_table_list
		WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
		AND name NOT LIKE '\_lienthong\_%' ESCAPE '\' ORDER BY name`)
}

func hasTable(ctx context.Context, conn *sql.Conn, name string) (bool, error) {
	n, err := scanInt(ctx, conn, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE", name)
	return n > 0, err
}

// introspect reads the present layout of a table. A table that is not there has
// no columns.
func introspect(ctx context.Context, conn *sql.Conn, table string) (*layout, error) {
	l := &layout{Table: table}
	rows, err := conn.QueryContext(ctx, `SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid`, table)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	type part struct{ rank, column int }
	var parts []part
	for rows.Next() {
		var column lienthong.Column
		var notNull bool
		var rank int
		if err := rows.Scan(&column.Name, &column.SourceType, &notNull, &rank); err != nil {
			return nil, err
		}
		column.Kind, column.Nullable = kindOf(column.SourceType), !notNull
		if rank > 0 {
			parts = append(parts, part{rank, len(l.Columns)})
		}
		l.Columns = append(l.Columns, column)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(parts, func(a, b part) int { return a.rank - b.rank })
	for _, p := range parts {
		l.Key = append(l.Key, p.column)
	}
	if len(l.Key) == 1 && strings.EqualFold(l.Columns[l.Key[0]].SourceType, "INTEGER") {
		// INTEGER PRIMARY KEY is the row number and can hold nothing else. The one
		// exception, DESC or WITHOUT ROWID, has an index of origin pk.
		n, err := scanInt(ctx, conn, "SELECT count(*) FROM pragma_index_list(?) WHERE origin = 'pk'", table)
		if err != nil {
			return nil, err
		}
		if l.RowIDKey = n == 0; l.RowIDKey {
			l.Columns[l.Key[0]].Nullable = false
		}
	}
	return l, l.readIndexes(ctx, conn)
}

// readIndexes collects the unique indexes, and takes one as the key when the
// table has no primary key and the index admits no null.
func (l *layout) readIndexes(ctx context.Context, conn *sql.Conn) error {
	names, err := scanStrings(ctx, conn,
		`SELECT name FROM pragma_index_list(?) WHERE "unique" = 1 AND partial = 0 AND origin <> 'pk' ORDER BY seq DESC`, l.Table)
	if err != nil {
		return err
	}
	for _, name := range names {
		columns, err := scanStrings(ctx, conn, "SELECT coalesce(name, '') FROM pragma_index_info(?) ORDER BY seqno", name)
		if err != nil {
			return err
		}
		var indexes []int
		plain, notNull := true, true
		for _, column := range columns {
			i := slices.IndexFunc(l.Columns, func(c lienthong.Column) bool { return c.Name == column })
			if i < 0 {
				plain = false
				break
			}
			notNull = notNull && !l.Columns[i].Nullable
			indexes = append(indexes, i)
		}
		if !plain {
			continue // over an expression
		}
		if len(l.Key) == 0 && notNull {
			l.Key = indexes
			continue
		}
		l.Unique = append(l.Unique, indexes)
	}
	return nil
}

// estimatedRows is what ANALYZE found; else the highest row number, which costs one
// step down the tree and is right until many rows are deleted; else -1.
func estimatedRows(ctx context.Context, conn *sql.Conn, table string) int64 {
	if known, err := hasTable(ctx, conn, "sqlite_stat1"); err == nil && known {
		found, err := scanStrings(ctx, conn, "SELECT stat FROM sqlite_stat1 WHERE tbl = ? LIMIT 1", table)
		if err == nil && len(found) > 0 {
			first, _, _ := strings.Cut(found[0], " ")
			if n, err := strconv.ParseInt(first, 10, 64); err == nil {
				return n
			}
		}
	}
	n, err := scanInt(ctx, conn, "SELECT coalesce(max(_rowid_), 0) FROM "+quote(table))
	if err != nil || n < 0 {
		return -1 // a table without row numbers
	}
	return n
}

// createTables makes our tables unless they are there.
func (s *Source) createTables(ctx context.Context, conn *sql.Conn) (bool, error) {
	if there, err := hasTable(ctx, conn, changesTable); err != nil || there {
		return false, err
	}
	base := max(s.config.Now().UnixMicro(), 1)
	for _, statement := range []string{
		"CREATE TABLE " + changesTable + " (no INTEGER PRIMARY KEY, layout INTEGER NOT NULL, op INTEGER NOT NULL, at INTEGER NOT NULL, c0)",
		// Empty except inside an INSERT OR REPLACE.
		"CREATE INDEX _lienthong_probes ON " + changesTable + " (layout) WHERE op = 2",
		"CREATE TABLE " + layoutsTable + " (id INTEGER PRIMARY KEY, tbl TEXT NOT NULL, body TEXT NOT NULL)",
		"CREATE TABLE " + stateTable + " (one INTEGER PRIMARY KEY CHECK (one = 1), acknowledged INTEGER NOT NULL)",
	} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return false, err
		}
	}
	if _, err := conn.ExecContext(ctx, "INSERT INTO "+changesTable+" VALUES (?, 0, ?, ?, NULL)", base, opSchema, base); err != nil {
		return false, err
	}
	_, err := conn.ExecContext(ctx, "INSERT INTO "+stateTable+" VALUES (1, ?)", base)
	return true, err
}

func acknowledgedPosition(ctx context.Context, conn *sql.Conn) (int64, error) {
	return scanInt(ctx, conn, "SELECT acknowledged FROM "+stateTable)
}

func schemaVersion(ctx context.Context, conn *sql.Conn) (int64, error) {
	return scanInt(ctx, conn, "PRAGMA schema_version")
}

// refresh brings layouts and triggers of all captured tables in line with the
// database, inside a write transaction. The caller holds s.mu.
func (s *Source) refresh(ctx context.Context, conn *sql.Conn) error {
	if err := s.loadLayouts(ctx, conn); err != nil {
		return err
	}
	for _, name := range s.captured {
		if err := s.refreshTable(ctx, conn, name); err != nil {
			return err
		}
	}
	version, err := schemaVersion(ctx, conn)
	if err != nil {
		return err
	}
	s.schema = version
	return nil
}

func (s *Source) loadLayouts(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, "SELECT id, tbl, body FROM "+layoutsTable+" ORDER BY id")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	s.layouts, s.current = map[int64]*layout{}, map[string]*layout{}
	for rows.Next() {
		var l layout
		var body string
		if err := rows.Scan(&l.ID, &l.Table, &body); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(body), &l); err != nil {
			return fmt.Errorf("layout %d: %w", l.ID, err)
		}
		s.layouts[l.ID], s.current[l.Table] = &l, &l
	}
	if err := rows.Err(); err != nil {
		return err
	}
	width, err := scanInt(ctx, conn, "SELECT count(*) - 4 FROM pragma_table_xinfo(?)", changesTable)
	s.width = int(width)
	return err
}

func (s *Source) refreshTable(ctx context.Context, conn *sql.Conn, name string) error {
	now, err := introspect(ctx, conn, name)
	if err != nil {
		return err
	}
	before := s.current[name]
	if len(now.Columns) == 0 && before == nil {
		return &lienthong.Error{
			Code: "sqlite.no_table", Where: name,
			Vi: "không có bảng này", En: "there is no such table",
			Hint: "kiểm tra tên bảng / check the table's name",
		}
	}
	if len(now.Key) == 0 && len(now.Columns) > 0 {
		return &lienthong.Error{
			Code: "sqlite.no_key", Where: name,
			Vi:   "bảng không có khoá chính, không phân biệt được các bản ghi",
			En:   "the table has no primary key, its records cannot be told apart",
			Hint: "thêm PRIMARY KEY hoặc chỉ mục UNIQUE trên các cột NOT NULL / add a PRIMARY KEY or a UNIQUE index on NOT NULL columns",
		}
	}
	changed := before == nil || !before.same(now)
	if changed {
		if err := s.addLayout(ctx, conn, now); err != nil {
			return err
		}
	} else {
		now = before
	}
	if len(now.Columns) == 0 {
		return nil // dropped; its triggers went with it
	}
	installed, err := s.installTriggers(ctx, conn, now)
	if err != nil {
		return err
	}
	switch {
	case before == nil:
		return nil
	case installed == triggersMissing:
		// The table was dropped and built again, and rows may have changed unseen.
		return s.replayTable(ctx, conn, now)
	case changed:
		// Rows written between ALTER TABLE and now were captured in the old layout.
		return s.replayChanged(ctx, conn, before, now)
	}
	return nil
}

func (s *Source) addLayout(ctx context.Context, conn *sql.Conn, l *layout) error {
	body, err := json.Marshal(l)
	if err != nil {
		return err
	}
	result, err := conn.ExecContext(ctx, "INSERT INTO "+layoutsTable+" (tbl, body) VALUES (?, ?)", l.Table, string(body))
	if err != nil {
		return err
	}
	if l.ID, err = result.LastInsertId(); err != nil {
		return err
	}
	for ; s.width < len(l.Columns); s.width++ {
		if _, err := conn.ExecContext(ctx, fmt.Sprintf("ALTER TABLE %s ADD COLUMN c%d", changesTable, s.width)); err != nil {
			return err
		}
	}
	if s.current[l.Table] != nil {
		if _, err := conn.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (layout, op, at) VALUES (?, ?, %s)",
			changesTable, microsecondsNow), l.ID, opSchema); err != nil {
			return err
		}
	}
	s.layouts[l.ID], s.current[l.Table] = l, l
	return nil
}

type triggerState int

const (
	triggersStood triggerState = iota
	triggersRewritten
	triggersMissing
)

// installTriggers creates what is missing and rewrites what differs.
func (s *Source) installTriggers(ctx context.Context, conn *sql.Conn, l *layout) (triggerState, error) {
	state, found := triggersStood, 0
	wanted := l.triggers()
	for _, t := range wanted {
		have, err := scanStrings(ctx, conn, "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ? AND tbl_name = ? COLLATE NOCASE", t.name, l.Table)
		if err != nil {
			return state, err
		}
		if len(have) > 0 {
			found++
			if have[0] == t.statement {
				continue
			}
		}
		state = triggersRewritten
		if _, err := conn.ExecContext(ctx, "DROP TRIGGER IF EXISTS "+quote(t.name)); err != nil {
			return state, err
		}
		if _, err := conn.ExecContext(ctx, t.statement); err != nil {
			return state, err
		}
	}
	// Triggers of an earlier layout that this one does not need.
	have, err := scanStrings(ctx, conn, `SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE
		AND name LIKE '\_lienthong\_%' ESCAPE '\'`, l.Table)
	if err != nil {
		return state, err
	}
	for _, name := range have {
		if !slices.ContainsFunc(wanted, func(t trigger) bool { return t.name == name }) {
			if _, err := conn.ExecContext(ctx, "DROP TRIGGER "+quote(name)); err != nil {
				return state, err
			}
		}
	}
	if found == 0 {
		state = triggersMissing
	}
	return state, nil
}

// replayTable streams the table from the beginning: a truncate and every row.
func (s *Source) replayTable(ctx context.Context, conn *sql.Conn, l *layout) error {
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (layout, op, at) VALUES (?, ?, %s)",
		changesTable, microsecondsNow), l.ID, opTruncate); err != nil {
		return err
	}
	_, err := conn.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (layout, op, at, %s) SELECT %d, %d, %s, %s FROM %s",
		changesTable, l.slots(), l.ID, opUpsert, microsecondsNow, l.selection(""), quote(l.Table)))
	return err
}

// replayChanged streams again, in the new layout, every row that still waits in
// the old one.
func (s *Source) replayChanged(ctx context.Context, conn *sql.Conn, before, now *layout) error {
	if len(before.Key) != len(now.Key) || len(before.Key) == 0 {
		return s.replayTable(ctx, conn, now)
	}
	keys := make([]string, len(before.Key))
	on := make([]string, len(before.Key))
	for i, column := range before.Key {
		keys[i] = fmt.Sprintf("c%d", column)
		on[i] = fmt.Sprintf("t.%s = w.c%d", quote(now.Columns[now.Key[i]].Name), column)
	}
	_, err := conn.ExecContext(ctx, fmt.Sprintf(
		"INSERT INTO %s (layout, op, at, %s) SELECT %d, %d, %s, %s FROM (SELECT DISTINCT %s FROM %s WHERE layout = %d AND op = %d) w CROSS JOIN %s t ON %s",
		changesTable, now.slots(), now.ID, opUpsert, microsecondsNow, now.selection("t."),
		strings.Join(keys, ", "), changesTable, before.ID, opUpsert, quote(now.Table), strings.Join(on, " AND ")))
	return err
}

// slots lists the value columns of the change table: "c0, c1, c2".
func (l *layout) slots() string {
	var b strings.Builder
	for i := range l.Columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('c')
		b.WriteString(strconv.Itoa(i))
	}
	return b.String()
}

// selection lists the table's columns with a prefix: "NEW.a, NEW.b".
func (l *layout) selection(prefix string) string {
	var b strings.Builder
	for i := range l.Columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(prefix)
		b.WriteString(quote(l.Columns[i].Name))
	}
	return b.String()
}

type trigger struct{ name, statement string }

// triggers writes the triggers of a table.
//
// INSERT OR REPLACE removes rows that stand in the way without firing delete
// triggers. A row with the same key is covered by the upsert that follows. For
// other unique indexes a BEFORE trigger notes the rows in the way as probes,
// and the AFTER trigger turns into deletes those that are really gone; a probe
// that is left (INSERT OR IGNORE, ON CONFLICT DO UPDATE) means nothing.
func (l *layout) triggers() []trigger {
	table := quote(l.Table)
	keySlots, oldKeys := make([]string, len(l.Key)), make([]string, len(l.Key))
	sameKey := make([]string, len(l.Key))
	for i, column := range l.Key {
		name := quote(l.Columns[column].Name)
		keySlots[i], oldKeys[i] = fmt.Sprintf("c%d", column), "OLD."+name
		sameKey[i] = fmt.Sprintf("OLD.%s COLLATE BINARY IS NEW.%s", name, name)
	}
	// The row is read again, not taken from NEW: a trigger of the application may
	// have changed it in the meantime, and SQLite does not promise whose trigger
	// runs first. So the last change captured is always the row as it stands.
	newKeys := make([]string, len(l.Key))
	for i, column := range l.Key {
		name := quote(l.Columns[column].Name)
		newKeys[i] = fmt.Sprintf("t.%s IS NEW.%s", name, name)
	}
	upsert := fmt.Sprintf("INSERT INTO %s (layout, op, at, %s) SELECT %d, %d, %s, %s FROM %s t WHERE %s;",
		changesTable, l.slots(), l.ID, opUpsert, microsecondsNow, l.selection("t."), table, strings.Join(newKeys, " AND "))
	remove := fmt.Sprintf("INSERT INTO %s (layout, op, at, %s) VALUES (%d, %d, %s, %s);",
		changesTable, strings.Join(keySlots, ", "), l.ID, opDelete, microsecondsNow, strings.Join(oldKeys, ", "))
	unmoved := strings.Join(sameKey, " AND ")

	settle := ""
	if len(l.Unique) > 0 {
		gone := make([]string, len(l.Key))
		for i, column := range l.Key {
			gone[i] = fmt.Sprintf("t.%s = %s.c%d", quote(l.Columns[column].Name), changesTable, column)
		}
		settle = fmt.Sprintf("UPDATE %s SET op = %d WHERE op = %d AND layout = %d AND NOT EXISTS (SELECT 1 FROM %s t WHERE %s); ",
			changesTable, opDelete, opProbe, l.ID, table, strings.Join(gone, " AND "))
	}
	name := func(kind string) string { return "_lienthong_" + l.Table + "_" + kind }
	made := []trigger{
		{name("insert"), fmt.Sprintf("CREATE TRIGGER %s AFTER INSERT ON %s BEGIN %s%s END",
			quote(name("insert")), table, settle, upsert)},
		{name("update"), fmt.Sprintf("CREATE TRIGGER %s AFTER UPDATE ON %s WHEN %s BEGIN %s%s END",
			quote(name("update")), table, unmoved, settle, upsert)},
		{name("rename"), fmt.Sprintf("CREATE TRIGGER %s AFTER UPDATE ON %s WHEN NOT (%s) BEGIN %s%s %s END",
			quote(name("rename")), table, unmoved, settle, remove, upsert)},
		{name("delete"), fmt.Sprintf("CREATE TRIGGER %s AFTER DELETE ON %s BEGIN %s END",
			quote(name("delete")), table, remove)},
	}
	for n, index := range l.Unique {
		var same, touched []string
		for _, column := range index {
			same = append(same, fmt.Sprintf("t.%s = NEW.%s", quote(l.Columns[column].Name), quote(l.Columns[column].Name)))
			touched = append(touched, quote(l.Columns[column].Name))
		}
		tKeys := make([]string, len(l.Key))
		otherNew, otherOld := make([]string, len(l.Key)), make([]string, len(l.Key))
		for i, column := range l.Key {
			key := quote(l.Columns[column].Name)
			tKeys[i] = "t." + key
			otherNew[i] = fmt.Sprintf("t.%s IS NEW.%s", key, key)
			otherOld[i] = fmt.Sprintf("t.%s IS OLD.%s", key, key)
		}
		probe := func(kind, event, except string) trigger {
			trigger := trigger{name: name(kind + strconv.Itoa(n))}
			trigger.statement = fmt.Sprintf(
				"CREATE TRIGGER %s BEFORE %s ON %s BEGIN INSERT INTO %s (layout, op, at, %s) SELECT %d, %d, %s, %s FROM %s t WHERE %s AND NOT (%s); END",
				quote(trigger.name), event, table, changesTable, strings.Join(keySlots, ", "), l.ID, opProbe, microsecondsNow,
				strings.Join(tKeys, ", "), table, strings.Join(same, " AND "), except)
			return trigger
		}
		made = append(made,
			probe("probe_insert", "INSERT", strings.Join(otherNew, " AND ")),
			probe("probe_update", "UPDATE OF "+strings.Join(touched, ", "), strings.Join(otherOld, " AND ")))
	}
	return made
}
