package postgres

import (
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// handbook reads the statements of docs/connectors/postgres.md between markers,
// so that what people are told to run is what is tested.
func handbook(t *testing.T, section string) []string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/connectors/postgres.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(page), "<!-- "+section+" -->\n```sql\n")
	block, _, ended := strings.Cut(after, "```")
	if !found || !ended {
		t.Fatalf("docs/connectors/postgres.md has no section %q", section)
	}
	var statements []string
	for statement := range strings.SplitSeq(block, ";\n") {
		if strings.TrimSpace(statement) != "" {
			statements = append(statements, statement)
		}
	}
	return statements
}

// TestLeastPrivilege runs the documented statements, and then everything that the
// connector does, as that account.
func TestLeastPrivilege(t *testing.T) {
	server := own(t)
	dsn := server.Database(t)
	admin := connectTo(t, dsn)
	exec(t, admin, "CREATE SCHEMA dancu", "CREATE TABLE dancu.congdan (id text PRIMARY KEY, ho_ten text)",
		"CREATE TABLE dancu.ho (id text PRIMARY KEY)", "INSERT INTO dancu.congdan VALUES ('1', 'A')")
	exec(t, admin, handbook(t, "account")...)
	account := strings.Replace(dsn, "postgres@", "lienthong_reader@", 1)
	s, err := Open(Config{DSN: account, Name: "dancu"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	names := []string{"dancu.congdan", "dancu.ho"}
	if _, err := s.Start(t.Context(), names); lienthong.ErrorCode(err) != "postgres.publication_privilege" ||
		!strings.Contains(err.Error(), "CREATE PUBLICATION") {
		t.Fatalf("without a publication Start must name the statement: %v", err)
	}
	exec(t, admin, handbook(t, "publication")...)
	pos, err := s.Start(t.Context(), names)
	if err != nil {
		t.Fatal(err)
	}
	view, err := s.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	chunks, err := view.Chunks(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	if err := view.Read(t.Context(), 0, chunks[0], func(*connector.Row) error { rows++; return nil }); err != nil || rows != 1 {
		t.Fatalf("%d rows, %v", rows, err)
	}
	if err := view.Close(); err != nil {
		t.Fatal(err)
	}
	exec(t, admin, "UPDATE dancu.congdan SET id = '2'", "INSERT INTO dancu.congdan VALUES ('stop')")
	sink := &seen{kinds: []lienthong.Kind{lienthong.Text, lienthong.Text}}
	streamUntilStop(t, s, pos, sink)
	if err := s.Acknowledge(t.Context(), lienthong.Position{Order: pos.Order + 1}); err != nil {
		t.Fatal(err)
	}
	if health, err := s.Health(t.Context()); err != nil || health.RetainedBytes < 0 || health.Code != "postgres.slot_idle" {
		t.Errorf("health %+v, %v", health, err)
	}
	err = s.with(t.Context(), func(conn *pgx.Conn) error {
		_, err := conn.Exec(t.Context(), "SELECT pg_logical_emit_message(false, 'lienthong', '')")
		return err
	})
	if err != nil {
		t.Errorf("heartbeat: %v", err)
	}
}

// TestRefusals: what an administrator must put right is named.
func TestRefusals(t *testing.T) {
	server := own(t, "wal_level=replica")
	dsn := server.Database(t)
	conn := connectTo(t, dsn)
	exec(t, conn, "CREATE TABLE t (id int PRIMARY KEY)", "CREATE ROLE plain LOGIN", "GRANT SELECT ON t TO plain")
	start := func(dsn string) string {
		_, err := openSource(t, dsn).Start(t.Context(), []string{"public.t"})
		return lienthong.ErrorCode(err)
	}
	if code := start(dsn); code != "postgres.wal_level" {
		t.Errorf("wal_level: %s", code)
	}
	if err := server.Restart("max_replication_slots=1"); err != nil {
		t.Fatal(err)
	}
	if code := start(strings.Replace(dsn, "postgres@", "plain@", 1)); code != "postgres.replication" {
		t.Errorf("replication: %s", code)
	}
	conn = connectTo(t, dsn)
	exec(t, conn, "SELECT pg_create_logical_replication_slot('taken', 'pgoutput')")
	if code := start(dsn); code != "postgres.slots_exhausted" {
		t.Errorf("slots: %s", code)
	}
	exec(t, conn, "SELECT pg_drop_replication_slot('taken')")
	if code := start(dsn); code != "" {
		t.Errorf("start: %s", code)
	}
	exec(t, conn, "DROP PUBLICATION lienthong_promise")
	if code := start(dsn); code != "postgres.publication_missing" {
		t.Errorf("publication: %s", code)
	}
	if code := start("postgres://nobody:secret@127.0.0.1:1/x"); code != "postgres.connection" {
		t.Errorf("connection: %s", code)
	}
	_, err := openSource(t, "postgres://nobody:secret@127.0.0.1:1/x").Start(t.Context(), []string{"public.t"})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the error shows the password: %v", err)
	}
	exec(t, conn, "SELECT pg_drop_replication_slot('lienthong_promise')")
}
