package demo

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // the driver of OpenSQLite
)

// OpenSQLite opens or creates an SQLite source as an agency's application would:
// with a write-ahead log, and patient when another process writes.
func OpenSQLite(path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		return nil, fmt.Errorf("demo: open %s: %w", path, err)
	}
	db.SetMaxOpenConns(2)
	return db, nil
}

// ScratchDatabases makes two empty databases on the server of the DSN, one for
// the population source and one for a hub's records, and returns their DSNs. remove drops
// them, with replication slots that the demo left. The role of the DSN must be allowed to create databases.
func ScratchDatabases(ctx context.Context, dsn string) (source, hub string, remove func(context.Context) error, err error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return "", "", nil, fmt.Errorf("demo: PostgreSQL address: %w", err)
	}
	var suffix [4]byte
	if _, err := rand.Read(suffix[:]); err != nil {
		return "", "", nil, fmt.Errorf("demo: %w", err)
	}
	names := [2]string{"lienthong_source_" + hex.EncodeToString(suffix[:]), "lienthong_hub_" + hex.EncodeToString(suffix[:])}
	run := func(ctx context.Context, statements ...string) error {
		conn, err := pgx.ConnectConfig(ctx, config.Copy())
		if err != nil {
			return fmt.Errorf("demo: connect to PostgreSQL: %w", err)
		}
		defer func() { _ = conn.Close(ctx) }()
		var problems []error
		for _, statement := range statements {
			if _, err := conn.Exec(ctx, statement); err != nil {
				problems = append(problems, fmt.Errorf("demo: %w", err))
			}
		}
		return errors.Join(problems...)
	}
	remove = func(ctx context.Context) error {
		return run(ctx,
			"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ('"+names[0]+"', '"+names[1]+"')",
			"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '"+names[0]+"' AND NOT active",
			"DROP DATABASE IF EXISTS "+names[0]+" WITH (FORCE)", "DROP DATABASE IF EXISTS "+names[1]+" WITH (FORCE)")
	}
	if err := run(ctx, "CREATE DATABASE "+names[0], "CREATE DATABASE "+names[1]); err != nil {
		return "", "", nil, errors.Join(err, remove(ctx))
	}
	// A connection string names its database in several ways; the last word wins in
	// the key-value form that every driver reads.
	return withDatabase(config, names[0]), withDatabase(config, names[1]), remove, nil
}

func withDatabase(config *pgx.ConnConfig, name string) string {
	quote := func(s string) string {
		out := []byte{'\''}
		for i := range len(s) {
			if s[i] == '\'' || s[i] == '\\' {
				out = append(out, '\\')
			}
			out = append(out, s[i])
		}
		return string(append(out, '\''))
	}
	dsn := fmt.Sprintf("host=%s port=%d user=%s dbname=%s", quote(config.Host), config.Port, quote(config.User), quote(name))
	if config.Password != "" {
		dsn += " password=" + quote(config.Password)
	}
	if config.TLSConfig == nil {
		dsn += " sslmode=disable"
	}
	return dsn
}
