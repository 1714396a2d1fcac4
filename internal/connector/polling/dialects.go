package polling

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// MySQL is for MySQL and MariaDB servers without a binary log.
func MySQL() Dialect {
	const catalog = `SELECT '', c.TABLE_NAME, CASE WHEN t.TABLE_TYPE = 'BASE TABLE' THEN 'table' ELSE 'view' END,
 c.COLUMN_NAME, c.COLUMN_TYPE, CASE WHEN c.IS_NULLABLE = 'NO' THEN 0 ELSE 1 END,
 COALESCE(k.SEQ_IN_INDEX, 0), COALESCE(t.TABLE_ROWS, -1)
FROM information_schema.COLUMNS c
JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME
LEFT JOIN information_schema.STATISTICS k ON k.TABLE_SCHEMA = c.TABLE_SCHEMA AND k.TABLE_NAME = c.TABLE_NAME
 AND k.COLUMN_NAME = c.COLUMN_NAME AND k.INDEX_NAME = 'PRIMARY'
WHERE c.TABLE_SCHEMA = DATABASE()`
	return Dialect{
		Name:  "mysql",
		Quote: func(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" },
		Begin: []string{
			"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
			"START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
		},
		End:      []string{"ROLLBACK"},
		Convert:  Float32("float"),
		Version:  "SELECT CONCAT(CASE WHEN VERSION() LIKE '%MariaDB%' THEN '' ELSE 'MySQL ' END, VERSION())",
		Argument: textTime,
		// As text: the server's own form, zero dates included, whatever the driver would make of it.
		Select: func(quoted string, c *lienthong.Column) string {
			switch c.Kind {
			case lienthong.Date, lienthong.Timestamp:
				return "CAST(" + quoted + " AS CHAR)"
			case lienthong.Boolean:
				return quoted + "+0"
			case lienthong.Text:
				if name, _ := kindByWord(c.SourceType, [][2]string{{"geometry", "wkt"}, {"point", "wkt"}, {"linestring", "wkt"}, {"polygon", "wkt"}, {"multi", "wkt"}}); name != "" {
					return "ST_AsText(" + quoted + ")"
				}
			case lienthong.Integer, lienthong.Decimal, lienthong.Real, lienthong.Binary:
			}
			return quoted
		},
		Ceiling: func(c *lienthong.Column) string {
			if c.Kind == lienthong.Timestamp {
				return "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', GREATEST(NOW(6), UTC_TIMESTAMP(6)))"
			}
			return ""
		},
		Kind: func(sourceType string) lienthong.Kind {
			name := strings.ToLower(sourceType)
			switch {
			case strings.HasPrefix(name, "tinyint(1)"), name == "bit(1)":
				return lienthong.Boolean
			case strings.HasPrefix(name, "bigint") && strings.Contains(name, "unsigned"):
				return lienthong.Decimal
			}
			word, _ := kindByWord(name, [][2]string{
				{"tinyint", "integer"},
				{"smallint", "integer"},
				{"mediumint", "integer"},
				{"int", "integer"},
				{"bigint", "integer"},
				{"year", "integer"},
				{"decimal", "decimal"},
				{"numeric", "decimal"},
				{"float", "real"},
				{"double", "real"},
				{"datetime", "timestamp"},
				{"timestamp", "timestamp"},
				{"date", "date"},
				{"binary", "binary"},
				{"varbinary", "binary"},
				{"tinyblob", "binary"},
				{"blob", "binary"},
				{"mediumblob", "binary"},
				{"longblob", "binary"},
				{"bit", "binary"},
			})
			return kindNamed(word)
		},
		Catalog: func(_, table string) (string, []any) {
			if table == "" {
				return catalog + "\nORDER BY c.TABLE_NAME, c.ORDINAL_POSITION", nil
			}
			return catalog + " AND c.TABLE_NAME = ?\nORDER BY c.TABLE_NAME, c.ORDINAL_POSITION", []any{table}
		},
	}
}

// SQLServerKind is the kind of a type of SQL Server.
func SQLServerKind(sourceType string) lienthong.Kind {
	name, _, _ := strings.Cut(strings.ToLower(sourceType), "(")
	switch name {
	case "bit":
		return lienthong.Boolean
	case "tinyint", "smallint", "int", "bigint":
		return lienthong.Integer
	case "decimal", "numeric", "money", "smallmoney":
		return lienthong.Decimal
	case "real", "float":
		return lienthong.Real
	case "date":
		return lienthong.Date
	case "datetime", "datetime2", "smalldatetime", "datetimeoffset":
		return lienthong.Timestamp
	case "binary", "varbinary", "image", "timestamp", "rowversion":
		return lienthong.Binary
	}
	return lienthong.Text // char, text, xml, uniqueidentifier, time, sql_variant, hierarchyid, geography, geometry
}

// SQLServerColumn reads a column of SQL Server in a form that every driver returns alike.
func SQLServerColumn(quoted string, c *lienthong.Column) string {
	name, _, _ := strings.Cut(strings.ToLower(c.SourceType), "(")
	switch name {
	case "geography", "geometry", "hierarchyid":
		return quoted + ".ToString()"
	case "sql_variant":
		return "CASE WHEN CONVERT(sysname, SQL_VARIANT_PROPERTY(" + quoted + ", 'BaseType')) IN ('binary', 'varbinary') THEN CONVERT(nvarchar(max), CONVERT(varbinary(8000), " + quoted + "), 2)" +
			" WHEN CONVERT(sysname, SQL_VARIANT_PROPERTY(" + quoted + ", 'BaseType')) LIKE '%date%' THEN CONVERT(nvarchar(40), " + quoted + ", 126)" +
			" ELSE CONVERT(nvarchar(4000), " + quoted + ") END"
	case "time":
		return "CONVERT(varchar(16), " + quoted + ", 121)"
	case "xml", "ntext":
		return "CONVERT(nvarchar(max), " + quoted + ")"
	case "text":
		return "CONVERT(varchar(max), " + quoted + ")"
	case "uniqueidentifier":
		return "LOWER(CONVERT(char(36), " + quoted + "))"
	case "money", "smallmoney":
		return "CONVERT(varchar(30), " + quoted + ", 2)"
	}
	return quoted
}

// SQLServerArgument is a value as go-mssqldb takes it, and SQLServerPlaceholder compares it in the
// column's own type: a wider type would be compared by other rules and without the index.
func SQLServerArgument(v lienthong.Value, c *lienthong.Column) any {
	switch c.Kind {
	case lienthong.Date, lienthong.Timestamp:
		text, _ := textTime(v, c).(string)
		return text
	case lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Real, lienthong.Boolean, lienthong.Binary:
	}
	return Argument(v, c.Kind)
}

// SQLServerPlaceholder stands for the n-th argument, see SQLServerArgument.
func SQLServerPlaceholder(n int, c *lienthong.Column) string {
	name, _, _ := strings.Cut(strings.ToLower(c.SourceType), "(")
	at := "@p" + strconv.Itoa(n)
	switch name {
	case "date", "datetime", "datetime2", "smalldatetime", "datetimeoffset":
		return "CONVERT(" + c.SourceType + ", " + at + ", 121)"
	case "char", "varchar", "decimal", "numeric", "money", "smallmoney", "uniqueidentifier", "real":
		return "CAST(" + at + " AS " + c.SourceType + ")"
	case "timestamp", "rowversion":
		return "CAST(" + at + " AS binary(8))"
	}
	return at
}

// SQLServerCatalog is the query for columns, see Dialect.Catalog.
func SQLServerCatalog(schema, table string) (string, []any) {
	const catalog = `SELECT s.name, o.name, CASE o.type WHEN 'U' THEN 'table' ELSE 'view' END, c.name,
 CASE WHEN t.name IN ('char', 'varchar', 'binary', 'varbinary') THEN t.name + '(' + CASE c.max_length WHEN -1 THEN 'max' ELSE CONVERT(varchar(5), c.max_length) END + ')'
  WHEN t.name IN ('nchar', 'nvarchar') THEN t.name + '(' + CASE c.max_length WHEN -1 THEN 'max' ELSE CONVERT(varchar(5), c.max_length / 2) END + ')'
  WHEN t.name IN ('decimal', 'numeric') THEN t.name + '(' + CONVERT(varchar(3), c.precision) + ',' + CONVERT(varchar(3), c.scale) + ')'
  WHEN t.name IN ('datetime2', 'datetimeoffset', 'time') THEN t.name + '(' + CONVERT(varchar(3), c.scale) + ')'
  ELSE t.name END,
 CONVERT(int, c.is_nullable), COALESCE(CONVERT(int, k.key_ordinal), 0),
 COALESCE((SELECT SUM(p.rows) FROM sys.partitions p WHERE p.object_id = o.object_id AND p.index_id IN (0, 1)), -1)
FROM sys.objects o
JOIN sys.schemas s ON s.schema_id = o.schema_id
JOIN sys.columns c ON c.object_id = o.object_id
JOIN sys.types t ON t.user_type_id = CASE WHEN c.system_type_id = 240 THEN c.user_type_id ELSE c.system_type_id END
LEFT JOIN sys.indexes i ON i.object_id = o.object_id AND i.is_primary_key = 1
LEFT JOIN sys.index_columns k ON k.object_id = i.object_id AND k.index_id = i.index_id AND k.column_id = c.column_id
WHERE o.type IN ('U', 'V') AND o.is_ms_shipped = 0 AND s.name <> 'cdc' AND c.is_computed = 0`
	if table == "" {
		return catalog + "\nORDER BY s.name, o.name, c.column_id", nil
	}
	return catalog + " AND s.name = @p1 AND o.name = @p2\nORDER BY s.name, o.name, c.column_id", []any{schema, table}
}

// SQLServer is for editions and accounts without change data capture. A rowversion column is the
// best monotonic column: every write moves it.
func SQLServer() Dialect {
	return Dialect{
		Name:        "sqlserver",
		Quote:       func(name string) string { return "[" + strings.ReplaceAll(name, "]", "]]") + "]" },
		Begin:       []string{"SET TRANSACTION ISOLATION LEVEL SNAPSHOT", "BEGIN TRANSACTION"},
		End:         []string{"IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION", "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"},
		Version:     "SELECT 'SQL Server ' + CONVERT(varchar(40), SERVERPROPERTY('ProductVersion')) + ' ' + CONVERT(varchar(80), SERVERPROPERTY('Edition'))",
		Placeholder: SQLServerPlaceholder,
		Argument:    SQLServerArgument,
		Select:      SQLServerColumn,
		Convert:     Float32("real"),
		Kind:        SQLServerKind,
		Catalog:     SQLServerCatalog,
		Ceiling: func(c *lienthong.Column) string {
			name, _, _ := strings.Cut(strings.ToLower(c.SourceType), "(")
			switch {
			case name == "timestamp", name == "rowversion":
				return "SELECT CONVERT(bigint, MIN_ACTIVE_ROWVERSION()) - 1"
			case name == "datetimeoffset":
				return "SELECT DATEDIFF_BIG(MICROSECOND, '1970-01-01', SYSUTCDATETIME())"
			case c.Kind == lienthong.Timestamp:
				return "SELECT CASE WHEN SYSDATETIME() > SYSUTCDATETIME() THEN DATEDIFF_BIG(MICROSECOND, '1970-01-01', SYSDATETIME()) ELSE DATEDIFF_BIG(MICROSECOND, '1970-01-01', SYSUTCDATETIME()) END"
			}
			return ""
		},
	}
}

// OracleKind is the kind of a type of Oracle.
func OracleKind(sourceType string) lienthong.Kind {
	name := strings.ToUpper(sourceType)
	switch {
	case strings.HasPrefix(name, "NUMBER("):
		precision, scale, scaled := strings.Cut(strings.TrimSuffix(name[len("NUMBER("):], ")"), ",")
		if p, err := strconv.Atoi(precision); err == nil && p <= 18 && (!scaled || scale == "0") {
			return lienthong.Integer
		}
		return lienthong.Decimal
	case name == "NUMBER", strings.HasPrefix(name, "FLOAT"):
		return lienthong.Decimal
	case name == "BINARY_FLOAT", name == "BINARY_DOUBLE":
		return lienthong.Real
	case name == "DATE", strings.HasPrefix(name, "TIMESTAMP"):
		return lienthong.Timestamp // DATE has a time of day
	case strings.HasPrefix(name, "RAW"), name == "BLOB", name == "LONG RAW":
		return lienthong.Binary
	case name == "BOOLEAN":
		return lienthong.Boolean
	}
	return lienthong.Text
}

// Oracle reads with flashback: every statement of a poll shows one system change number.
func Oracle() Dialect {
	const catalog = `SELECT c.OWNER, c.TABLE_NAME, CASE WHEN t.TABLE_NAME IS NULL THEN 'view' ELSE 'table' END, c.COLUMN_NAME,
 CASE WHEN c.DATA_TYPE = 'NUMBER' AND c.DATA_PRECISION IS NOT NULL THEN 'NUMBER(' || c.DATA_PRECISION || ',' || NVL(c.DATA_SCALE, 0) || ')'
  WHEN c.DATA_TYPE = 'NUMBER' AND c.DATA_SCALE = 0 THEN 'NUMBER(38,0)'
  WHEN c.DATA_TYPE IN ('VARCHAR2', 'NVARCHAR2', 'CHAR', 'NCHAR') THEN c.DATA_TYPE || '(' || c.CHAR_LENGTH || ')'
  WHEN c.DATA_TYPE = 'RAW' THEN 'RAW(' || c.DATA_LENGTH || ')'
  ELSE c.DATA_TYPE END,
 CASE WHEN c.NULLABLE = 'N' THEN 0 ELSE 1 END, NVL(k.POSITION, 0), NVL(t.NUM_ROWS, -1)
FROM ALL_TAB_COLS c
JOIN ALL_USERS u ON u.USERNAME = c.OWNER AND u.ORACLE_MAINTAINED = 'N'
LEFT JOIN ALL_TABLES t ON t.OWNER = c.OWNER AND t.TABLE_NAME = c.TABLE_NAME AND t.NESTED = 'NO' AND t.TEMPORARY = 'N'
LEFT JOIN (SELECT p.OWNER, p.TABLE_NAME, n.COLUMN_NAME, n.POSITION FROM ALL_CONSTRAINTS p
 JOIN ALL_CONS_COLUMNS n ON n.OWNER = p.OWNER AND n.CONSTRAINT_NAME = p.CONSTRAINT_NAME AND n.TABLE_NAME = p.TABLE_NAME
 WHERE p.CONSTRAINT_TYPE = 'P' AND p.STATUS = 'ENABLED') k
 ON k.OWNER = c.OWNER AND k.TABLE_NAME = c.TABLE_NAME AND k.COLUMN_NAME = c.COLUMN_NAME
WHERE c.HIDDEN_COLUMN = 'NO' AND c.VIRTUAL_COLUMN = 'NO' AND (c.DATA_TYPE_OWNER IS NULL OR c.DATA_TYPE IN ('XMLTYPE', 'SDO_GEOMETRY'))
 AND c.DATA_TYPE <> 'BFILE' AND c.TABLE_NAME NOT LIKE 'BIN$%'`
	return Dialect{
		Name:    "oracle",
		Version: "SELECT BANNER FROM V$VERSION WHERE ROWNUM = 1",
		Grant:   func(from string) string { return "GRANT SELECT, FLASHBACK ON " + from + " TO LIENTHONG_READER;" },
		Pseudo:  []lienthong.Column{{Name: "ORA_ROWSCN", SourceType: "SCN", Kind: lienthong.Integer}},
		Placeholder: func(n int, c *lienthong.Column) string {
			at := ":" + strconv.Itoa(n)
			switch name := strings.ToUpper(c.SourceType); {
			case strings.Contains(name, "WITH TIME ZONE"), strings.Contains(name, "WITH LOCAL TIME ZONE"):
				return "TO_TIMESTAMP_TZ(" + at + ", 'YYYY-MM-DD HH24:MI:SS.FF6 TZH:TZM')"
			case strings.HasPrefix(name, "TIMESTAMP"):
				return "TO_TIMESTAMP(" + at + ", 'YYYY-MM-DD HH24:MI:SS.FF6')"
			case name == "DATE":
				return "TO_DATE(" + at + ", 'YYYY-MM-DD HH24:MI:SS')"
			case c.Kind == lienthong.Decimal:
				return "TO_NUMBER(" + at + ", '" + strings.Repeat("9", 38) + "D" + strings.Repeat("9", 20) + "', 'NLS_NUMERIC_CHARACTERS=''.,''')"
			case c.Kind == lienthong.Binary:
				return "HEXTORAW(" + at + ")"
			}
			return at
		},
		Argument: func(v lienthong.Value, c *lienthong.Column) any {
			switch name := strings.ToUpper(c.SourceType); {
			case strings.Contains(name, "TIME ZONE"):
				return time.UnixMicro(v.Int).UTC().Format("2006-01-02 15:04:05.000000") + " +00:00"
			case strings.HasPrefix(name, "TIMESTAMP"):
				return time.UnixMicro(v.Int).UTC().Format("2006-01-02 15:04:05.000000")
			case name == "DATE":
				return time.UnixMicro(v.Int).UTC().Format(time.DateTime)
			case c.Kind == lienthong.Binary:
				return strings.ToUpper(hex.EncodeToString(v.Bytes))
			}
			return Argument(v, c.Kind)
		},
		Select: oracleColumn,
		Kind:   OracleKind,
		Catalog: func(schema, table string) (string, []any) {
			if table == "" {
				return catalog + "\nORDER BY c.OWNER, c.TABLE_NAME, c.COLUMN_ID", nil
			}
			return catalog + " AND c.OWNER = :1 AND c.TABLE_NAME = :2\nORDER BY c.OWNER, c.TABLE_NAME, c.COLUMN_ID", []any{schema, table}
		},
		AsOf: func(ctx context.Context, conn *sql.Conn) (string, string, error) {
			scn, err := currentSCN(ctx, conn)
			if err != nil {
				return "", "", err
			}
			return fmt.Sprintf(" AS OF SCN %d", scn), "scn:" + strconv.FormatInt(scn, 10), nil
		},
		Ceiling: func(c *lienthong.Column) string {
			switch {
			case c.Name == "ORA_ROWSCN":
				return "SELECT DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER FROM DUAL"
			case strings.Contains(strings.ToUpper(c.SourceType), "TIME ZONE"):
				return "SELECT ROUND((CAST(SYS_EXTRACT_UTC(SYSTIMESTAMP) AS DATE) - DATE '1970-01-01') * 86400) * 1000000 FROM DUAL"
			case c.Kind == lienthong.Timestamp:
				return "SELECT ROUND((GREATEST(SYSDATE, CAST(SYS_EXTRACT_UTC(SYSTIMESTAMP) AS DATE)) - DATE '1970-01-01') * 86400) * 1000000 FROM DUAL"
			}
			return ""
		},
	}
}

func currentSCN(ctx context.Context, conn *sql.Conn) (int64, error) {
	var raw any
	if err := conn.QueryRowContext(ctx, "SELECT DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER FROM DUAL").Scan(&raw); err != nil {
		return 0, err
	}
	return wholeNumber(raw)
}

// oracleColumn asks for numbers and times as text: a NUMBER has more digits than any
// number of a driver, and a driver may shift times by its session's zone.
func oracleColumn(quoted string, c *lienthong.Column) string {
	switch name := strings.ToUpper(c.SourceType); {
	case c.Kind == lienthong.Decimal, c.Kind == lienthong.Integer:
		return "TO_CHAR(" + quoted + ", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''')"
	case strings.Contains(name, "TIME ZONE"):
		return "TO_CHAR(SYS_EXTRACT_UTC(" + quoted + "), 'SYYYY-MM-DD HH24:MI:SS.FF6')"
	case strings.HasPrefix(name, "TIMESTAMP"):
		return "TO_CHAR(" + quoted + ", 'SYYYY-MM-DD HH24:MI:SS.FF6')"
	case name == "DATE":
		return "TO_CHAR(" + quoted + ", 'SYYYY-MM-DD HH24:MI:SS')"
	case strings.HasPrefix(name, "INTERVAL"):
		return "TO_CHAR(" + quoted + ")"
	case name == "JSON":
		return "JSON_SERIALIZE(" + quoted + " RETURNING CLOB)"
	case name == "XMLTYPE":
		return "XMLSERIALIZE(CONTENT " + quoted + " AS CLOB)"
	case name == "SDO_GEOMETRY":
		return "SDO_UTIL.TO_WKTGEOMETRY(" + quoted + ")"
	case name == "ROWID", name == "UROWID":
		return "ROWIDTOCHAR(" + quoted + ")"
	}
	return quoted
}
