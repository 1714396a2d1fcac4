package sim

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/app"
	"github.com/lienthong/lienthong/internal/mariadbtest"
	"github.com/lienthong/lienthong/internal/telemetry"
)

// sampleEngine is where the sample databases live.
type sampleEngine struct {
	name    string
	driver  string
	dialect dialect
	// database makes an empty one: how an application reaches it, and how a node does.
	database func(t *testing.T) (address, dsn string)
	// read writes a column as canonical text.
	read func(quoted, kind string) string
}

func postgresSamples() sampleEngine {
	return sampleEngine{
		name: "postgres", driver: "pgx",
		dialect: dialect{
			quote: `"`, before: []string{`CREATE TYPE rating AS ENUM ('G', 'PG', 'PG-13', 'R', 'NC-17')`, `CREATE DOMAIN year AS integer CHECK (VALUE BETWEEN 1901 AND 2155)`},
			types: map[string]string{"int": "integer", "timestamp": "timestamp", "bool": "boolean", "blob": "bytea", "features": "text[]"},
			after: []string{
				`CREATE VIEW customer_list AS SELECT customer_id, first_name || ' ' || last_name AS name FROM customer`,
				`CREATE TABLE payment_p (payment_id int, at date NOT NULL, amount numeric(5,2), PRIMARY KEY (payment_id, at)) PARTITION BY RANGE (at)`,
				`CREATE TABLE payment_p_2024 PARTITION OF payment_p FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')`,
				`CREATE TABLE payment_p_2025 PARTITION OF payment_p FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')`,
				`INSERT INTO payment_p SELECT n, date '2024-06-01' + n, n / 7.0 FROM generate_series(1, 300) n`,
				`CREATE TABLE audit_trail (what text, at timestamp)`,
			},
			literal: func(kind, text string) string {
				switch kind {
				case "blob":
					return `'\x` + hex.EncodeToString([]byte(text)) + `'`
				case "features":
					return `string_to_array('` + text + `', ',')`
				}
				return "'" + strings.ReplaceAll(text, "'", "''") + "'"
			},
		},
		database: func(t *testing.T) (string, string) { dsn := server.Database(t); return dsn, dsn },
		read:     postgresText,
	}
}

// postgresText writes a column of PostgreSQL, a source or the hub's store, as canonical text.
func postgresText(quoted, kind string) string {
	switch {
	case kind == "blob":
		return "encode(" + quoted + ", 'hex')"
	case strings.HasPrefix(kind, "decimal"):
		return "trim_scale(" + quoted + ")::text"
	case kind == "real":
		return quoted + "::float8::text"
	case kind == "timestamp":
		return "to_char(" + quoted + ", 'YYYY-MM-DD HH24:MI:SS')"
	case strings.HasPrefix(kind, "char("):
		return "rtrim(" + quoted + "::text)"
	}
	return quoted + "::text"
}

func mariadbSamples() sampleEngine {
	return sampleEngine{
		name: "mariadb", driver: "mysql",
		dialect: dialect{
			quote: "`",
			types: map[string]string{
				"timestamp": "datetime", "bool": "boolean", "blob": "mediumblob", "real": "double",
				"features": "set('Trailers','Commentaries','Deleted Scenes','Behind the Scenes')", "rating": "enum('G','PG','PG-13','R','NC-17')",
			},
			suffix: " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
			after: []string{
				"CREATE VIEW customer_list AS SELECT customer_id, concat(first_name, ' ', last_name) AS name FROM customer",
				"CREATE TABLE payment_p (payment_id int, at date NOT NULL, amount decimal(5,2), PRIMARY KEY (payment_id, at)) PARTITION BY HASH (payment_id) PARTITIONS 4",
				"INSERT INTO payment_p SELECT seq, date '2024-06-01' + interval seq day, seq / 7 FROM seq_1_to_300",
				"CREATE TABLE audit_trail (what text, at datetime)",
			},
			literal: func(kind, text string) string {
				switch kind {
				case "blob":
					return "x'" + hex.EncodeToString([]byte(text)) + "'"
				case "bool":
					return text
				}
				return "'" + strings.NewReplacer("'", "''", `\`, `\\`).Replace(text) + "'"
			},
		},
		database: func(t *testing.T) (string, string) {
			dir, err := os.MkdirTemp("", "lienthong-sim-") // a path that other accounts may enter
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			mariadb, err := mariadbtest.Start(dir)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(mariadb.Close)
			dsn := mariadb.Database(t)
			return dsn, dsn
		},
		read: func(quoted, kind string) string {
			switch {
			case kind == "blob":
				return "lower(hex(" + quoted + "))"
			case strings.HasPrefix(kind, "decimal"):
				return "trim(TRAILING '.' FROM trim(TRAILING '0' FROM cast(" + quoted + " AS char)))"
			case kind == "timestamp":
				return "date_format(" + quoted + ", '%Y-%m-%d %H:%i:%s')"
			case kind == "bool":
				return "if(" + quoted + ", 'true', 'false')"
			case strings.HasPrefix(kind, "char("):
				return "rtrim(" + quoted + ")"
			}
			return "cast(" + quoted + " AS char)"
		},
	}
}

// TestOnboarding_SampleDatabases: a database of a few dozen tables that nobody has
// prepared goes from an empty node to landed, compared tables by one command, and live
// changes follow.
func TestOnboarding_SampleDatabases(t *testing.T) {
	for _, e := range []sampleEngine{postgresSamples(), mariadbSamples()} {
		t.Run(e.name, func(t *testing.T) { onboard(t, e) })
	}
}

func onboard(t *testing.T, e sampleEngine) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	tables := samples(t)
	address, dsn := e.database(t)
	application, err := sql.Open(e.driver, address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = application.Close() }()
	random := rand.New(rand.NewPCG(3, 214))
	exec := func(statement string) {
		t.Helper()
		if _, err := application.ExecContext(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement[:min(len(statement), 300)], err)
		}
	}
	for _, statement := range e.dialect.before {
		exec(statement)
	}
	for i := range tables {
		exec(e.dialect.create(&tables[i]))
		for n := range sampleRows {
			exec(e.dialect.insert(&tables[i], random, n+1))
		}
	}
	for _, statement := range e.dialect.after {
		exec(statement)
	}

	hubDSN := server.Database(t)
	hub, node := emptyNode(t, hubDSN)
	defer hub.Close()
	defer node.Close()
	report, err := node.AddDatabase(ctx, app.DatabaseRequest{DSN: dsn, Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	if !report.Ready() || !report.Added {
		t.Fatalf("not ready: %+v", report.Required)
	}
	for _, table := range tables {
		if datasetOf(report, table.name) == nil {
			t.Errorf("table %s is neither taken nor named: %+v", table.name, report.LeftOut)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	awaitMatching(ctx, t, node, len(report.Datasets))

	// Life goes on.
	next := map[string]int{}
	done := 0
	for range 3000 {
		if _, err := application.ExecContext(ctx, e.dialect.change(tables, random, next)); err == nil {
			done++ // a deletion that a reference forbids is the application's own business
		}
	}
	if done < 2000 {
		t.Fatalf("only %d changes were possible", done)
	}
	records, err := sql.Open("pgx", hubDSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = records.Close() }()
	for i := range tables {
		d := datasetOf(report, tables[i].name)
		source := readSample(ctx, t, application, &e.dialect, e.read, &tables[i])
		if len(source) == 0 {
			t.Errorf("%s is empty at the source", tables[i].name)
		}
		for { // the last changes are on their way
			landed := readLanded(ctx, t, records, &tables[i], d)
			if slices.Equal(source, landed) {
				break
			}
			select {
			case <-ctx.Done():
				t.Fatalf("%s differs: source %d rows, hub %d rows: %s", tables[i].name, len(source), len(landed), firstDifference(source, landed))
			case <-time.After(100 * time.Millisecond): // nothing signals that a row has landed in another database
			}
		}
	}
	if err := node.Reconcile(ctx); err != nil {
		t.Fatal(err)
	}
	status := awaitMatching(ctx, t, node, len(report.Datasets))
	for _, d := range status.Datasets {
		if d.SourceRows != d.LandedRows+d.Quarantined || d.Quarantined != 0 {
			t.Errorf("%s: source %d, landed %d, quarantined %d", d.Dataset, d.SourceRows, d.LandedRows, d.Quarantined)
		}
	}
	if _, err := node.AddDatabase(ctx, app.DatabaseRequest{DSN: dsn, Name: "shop"}); lienthong.ErrorCode(err) != "database.taken" {
		t.Errorf("added twice: %v", err)
	}
}

// emptyNode is a hub and a node that reads nothing yet.
func emptyNode(t *testing.T, hubDSN string) (*app.Hub, *app.Node) {
	t.Helper()
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	hub, err := app.StartHub(t.Context(), &app.HubConfig{
		Name: "h00", Member: "G01", Data: filepath.Join(dir, "hub"), Links: "127.0.0.1:0", Enrol: "127.0.0.1:0", Console: "off",
		Postgres: telemetry.Secret(hubDSN),
	}, app.HubParts{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	token, err := hub.Invite(t.Context(), lienthong.Government, member, nodeName)
	if err != nil {
		hub.Close()
		t.Fatal(err)
	}
	node, err := app.StartNode(t.Context(), &app.NodeConfig{
		Name: nodeName, Data: filepath.Join(dir, "node"), Hub: app.HubAddress{Links: hub.LinksAddr(), Enrol: hub.EnrolURL()},
		Token: telemetry.Secret(token), ReconcileEvery: app.Duration(reconcileEvery),
	}, app.NodeParts{Log: log})
	if err != nil {
		hub.Close()
		t.Fatal(err)
	}
	return hub, node
}

func awaitMatching(ctx context.Context, t *testing.T, node *app.Node, datasets int) app.DatabaseStatus {
	t.Helper()
	for {
		status := node.Databases("shop")
		matching := 0
		for _, d := range status.Datasets {
			if d.Reconciled == string(lienthong.Matches) {
				matching++
			}
			if d.Stopped != "" && d.Stopped != "dataset.columns_moved" {
				t.Fatalf("%s stands still: %s", d.Dataset, d.Stopped)
			}
		}
		if matching == datasets && len(status.Datasets) == datasets {
			return status
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d of %d match: %+v", matching, datasets, status)
		case <-time.After(100 * time.Millisecond): // the status is what people poll, too
		}
	}
}

func datasetOf(report *app.DatabaseReport, table string) *app.DatasetReport {
	for i := range report.Datasets {
		name := report.Datasets[i].Table
		if name == table || strings.HasSuffix(name, "."+table) || strings.HasSuffix(name, `."`+table+`"`) {
			return &report.Datasets[i]
		}
	}
	return nil
}

func readSample(ctx context.Context, t *testing.T, db *sql.DB, d *dialect, read func(string, string) string, table *sampleTable) []string {
	t.Helper()
	columns := make([]string, len(table.columns))
	for i, c := range table.columns {
		columns[i] = read(d.name(c.name), c.kind)
	}
	return readRows(ctx, t, db, "SELECT "+strings.Join(columns, ", ")+" FROM "+d.name(table.name))
}

func readLanded(ctx context.Context, t *testing.T, db *sql.DB, table *sampleTable, d *app.DatasetReport) []string {
	t.Helper()
	columns := make([]string, len(table.columns))
	for i, c := range table.columns {
		at := slices.IndexFunc(d.Columns, func(r app.ColumnReport) bool { return r.Column == c.name })
		if at < 0 {
			t.Fatalf("%s.%s is not in the report", table.name, c.name)
		}
		quoted := `"` + d.Columns[at].Field + `"`
		kind := c.kind
		if kind == "timestamp" {
			quoted += " AT TIME ZONE 'UTC'"
		}
		columns[i] = postgresText(quoted, kind)
		if kind == "bool" { // MariaDB's is a small number
			columns[i] = "CASE " + quoted + "::text WHEN '1' THEN 'true' WHEN '0' THEN 'false' ELSE " + quoted + "::text END"
		}
	}
	return readRows(ctx, t, db, "SELECT "+strings.Join(columns, ", ")+" FROM records_"+strings.ReplaceAll(d.Dataset, ".", "_")+" WHERE NOT _deleted AND NOT _held")
}

// readRows reads rows as sorted texts.
func readRows(ctx context.Context, t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	var all []string
	err := func() error {
		rows, err := db.QueryContext(ctx, query)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		names, err := rows.Columns()
		if err != nil {
			return err
		}
		cells := make([]sql.NullString, len(names))
		into := make([]any, len(names))
		for i := range cells {
			into[i] = &cells[i]
		}
		for rows.Next() {
			if err := rows.Scan(into...); err != nil {
				return err
			}
			var b strings.Builder
			for _, c := range cells {
				if c.Valid {
					fmt.Fprintf(&b, "%q;", c.String)
				} else {
					b.WriteString("∅;")
				}
			}
			all = append(all, b.String())
		}
		return rows.Err()
	}()
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%s: %v", query, err)
	}
	slices.Sort(all)
	return all
}

func firstDifference(a, b []string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[i] + " | " + b[i]
		}
	}
	return "one side has more rows"
}
