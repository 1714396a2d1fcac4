package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong/internal/mariadbtest"
	"github.com/lienthong/lienthong/internal/pgtest"
)

// mariaRun reads the same table from MariaDB: the platform lands it in PostgreSQL, and
// the reference is a second MariaDB, filled by mariadb-dump and then a replica.
type mariaRun struct {
	platform
	source, replica     *mariadbtest.Server
	atSource, atReplica *sql.DB
	churned             int64
}

// mariaName is the database at both MariaDB servers.
const mariaName = "bench"

// mariaSettings are those of the PostgreSQL clusters, as far as there are such. The
// replica does not wait for the disk, as PostgreSQL's subscriber does not.
func mariaSettings(durable bool) []string {
	flush := "0"
	if durable {
		flush = "1"
	}
	return []string{
		"innodb-buffer-pool-size=256M", "innodb-log-file-size=512M", "innodb-flush-log-at-trx-commit=" + flush, "sync-binlog=" + flush,
		"transaction-isolation=READ-COMMITTED", "default-time-zone=+00:00",
	}
}

const mariaTableDDL = `
CREATE TABLE citizen (
	id bigint PRIMARY KEY,
	personal_number varchar(12) NOT NULL,
	full_name varchar(100) NOT NULL,
	birth_date date NOT NULL,
	sex varchar(1) NOT NULL,
	ethnicity varchar(2) NOT NULL,
	birth_province varchar(3) NOT NULL,
	phone varchar(20),
	address_line text NOT NULL,
	commune varchar(5) NOT NULL,
	verified_at timestamp(6) NULL,
	updated_at timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
) DEFAULT CHARACTER SET utf8mb4`

// mariaChurn is churnDDL in MariaDB's words.
func mariaChurn() []string {
	return []string{
		`CREATE PROCEDURE churn_one(i bigint, total bigint)
BEGIN
	DECLARE turn bigint DEFAULT i DIV 10;
	DECLARE like_id bigint DEFAULT (((i * 104729) % (total DIV 10)) * 10) + 1 + (i % 9);
	CASE
	WHEN i % 10 = 9 THEN
		DELETE FROM citizen WHERE id = (((turn * 7919) % (total DIV 10)) + 1) * 10;
	WHEN i % 10 IN (2, 5, 8) THEN
		INSERT INTO citizen SELECT total + 10 + i, personal_number, full_name, birth_date, sex, ethnicity, birth_province,
			CONCAT('09', LPAD(i % 100000000, 8, '0')), address_line, commune, verified_at, SYSDATE(6)
			FROM citizen WHERE id = like_id;
	ELSE
		UPDATE citizen SET phone = CONCAT('03', LPAD(i % 100000000, 8, '0')),
			address_line = CONCAT('Số ', i % 500, SUBSTRING(address_line, LOCATE(',', address_line))), updated_at = SYSDATE(6)
			WHERE id = like_id;
	END CASE;
END`,
		`CREATE PROCEDURE churn(first bigint, n bigint, total bigint)
BEGIN
	DECLARE i bigint DEFAULT first;
	WHILE i < first + n DO
		CALL churn_one(i, total);
		SET i = i + 1;
	END WHILE;
END`,
	}
}

// The same count and hash of the content in the words of either engine.
const (
	mariaHash = `SELECT COUNT(*), CAST(COALESCE(SUM(CAST(CONV(LEFT(MD5(CONCAT_WS('|', id, personal_number, full_name,
	birth_date, sex, ethnicity, birth_province, phone, address_line, commune,
	DATE_FORMAT(verified_at, '%Y-%m-%d %H:%i:%s.%f'), DATE_FORMAT(updated_at, '%Y-%m-%d %H:%i:%s.%f'))), 15), 16, 10) AS UNSIGNED)), 0) AS CHAR) FROM citizen`
	hubHash = `SELECT count(*), COALESCE(sum(('x' || left(md5(concat_ws('|', _id::text, personal_number, full_name,
	birth_date::text, sex, ethnicity, birth_province, phone, address_line, commune,
	to_char(verified_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'))), 15))::bit(60)::bigint), 0)::text FROM ` + hubLive
)

// runMaria measures the parts from MariaDB. Without its programs the parts are left out,
// and that is said.
func runMaria(ctx context.Context, config syncConfig, target *pgtest.Server) (err error) {
	s := &mariaRun{platform: platform{
		syncConfig: config, name: "maria", target: target,
		definition: strings.Replace(definition, "table: public.citizen", "table: "+mariaName+".citizen", 1),
	}}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	for _, one := range []struct {
		server  **mariadbtest.Server
		at      **sql.DB
		name    string
		durable bool
	}{{&s.source, &s.atSource, "maria-source", true}, {&s.replica, &s.atReplica, "maria-replica", false}} {
		dir := filepath.Join(s.dir, one.name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		server, err := mariadbtest.Start(dir, mariaSettings(one.durable)...)
		if errors.Is(err, mariadbtest.ErrNotInstalled) {
			return s.out.print(&line{Name: "snapshot_maria_pg", Error: err.Error()})
		}
		if err != nil {
			return err
		}
		*one.server = server
		if *one.at, err = sql.Open("mysql", server.DSN("")); err != nil {
			return err
		}
		if _, err := (*one.at).ExecContext(ctx, "CREATE DATABASE "+mariaName); err != nil {
			return err
		}
		_ = (*one.at).Close()
		if *one.at, err = sql.Open("mysql", server.DSN(mariaName)); err != nil {
			return err
		}
	}
	s.from = fmt.Sprintf("mysql: mysql://root@127.0.0.1:%d/%s", s.source.Port, mariaName)
	if err := s.prepare(ctx); err != nil {
		return err
	}
	return s.measure(ctx)
}

func (s *mariaRun) close(ctx context.Context) error {
	s.disconnect(ctx)
	var problems []error
	for _, db := range []*sql.DB{s.atSource, s.atReplica} {
		if db != nil {
			problems = append(problems, db.Close())
		}
	}
	for _, server := range []*mariadbtest.Server{s.source, s.replica} {
		if server != nil {
			server.Close()
		}
	}
	return errors.Join(problems...)
}

// prepare fills the source, from a file, so that the binary log begins with the changes.
func (s *mariaRun) prepare(ctx context.Context) error {
	if err := s.platform.prepare(ctx); err != nil {
		return err
	}
	s.say("filling MariaDB: %d rows", s.rows)
	path := filepath.Join(s.source.Dir, "fill.tsv")
	if err := writePeople(path, s.rows); err != nil {
		return err
	}
	defer func() { _ = os.Remove(path) }()
	conn, err := s.atSource.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	for _, statement := range append([]string{mariaTableDDL}, mariaChurn()...) {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("prepare MariaDB: %w", err)
		}
	}
	for _, statement := range []string{
		"SET SESSION sql_log_bin = 0", "SET SESSION time_zone = '+00:00'",
		"LOAD DATA INFILE '" + path + "' INTO TABLE citizen CHARACTER SET utf8mb4", "SET SESSION sql_log_bin = 1", "ANALYZE TABLE citizen",
	} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("fill MariaDB: %w", err)
		}
	}
	return nil
}

// writePeople writes the rows as text with tabs. The values hold none, nor backslashes.
func writePeople(path string, rows int64) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(file, 1<<20)
	r := rand.New(rand.NewPCG(214, 1))
	for id := int64(1); id <= rows; id++ {
		for i, v := range person(r, id) {
			if i > 0 {
				_ = out.WriteByte('\t')
			}
			_, _ = out.WriteString(text(i, v, "2006-01-02 15:04:05.000000"))
		}
		_ = out.WriteByte('\n')
	}
	return errors.Join(out.Flush(), file.Close())
}

// text is a value of a person as text. The fourth is a date.
func text(at int, v any, moment string) string {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case string:
		return v
	case time.Time:
		if at == 3 {
			return v.Format(time.DateOnly)
		}
		return v.Format(moment)
	default:
		return fmt.Sprint(v)
	}
}

func (s *mariaRun) ourParties() []party {
	return []party{mariaParty("source_maria", s.source), clusterParty("target_pg", s.target)}
}

func mariaParty(name string, server *mariadbtest.Server) party {
	return party{name, func() (time.Duration, error) { return cpuOf(server.PID()) }}
}

func (s *mariaRun) measure(ctx context.Context) error {
	native := true
	s.say("snapshot from MariaDB through the platform")
	ours, err := s.firstLoad(ctx, load{name: "snapshot_maria_pg", phase: "maria-snapshot", rows: s.rows, parties: s.ourParties(), settle: s.settle})
	if err != nil {
		return err
	}
	if ours.Equal, err = s.equal(ctx); err != nil {
		return err
	}
	var reference *line
	if native {
		if reference, err = s.nativeSnapshot(ctx); err != nil {
			return err
		}
	}
	if err := s.printPair(ours, reference); err != nil {
		return err
	}
	if err := s.stream(ctx, native); err != nil {
		return err
	}
	return s.lag(ctx)
}

func (s *mariaRun) settle(ctx context.Context) error {
	_, err := s.hubDB.Exec(ctx, "CHECKPOINT")
	return err
}

func (s *mariaRun) hashAt(ctx context.Context, db *sql.DB) (hash string, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, "SET SESSION time_zone = '+00:00'"); err != nil {
		return "", err
	}
	var count int64
	err = conn.QueryRowContext(ctx, mariaHash).Scan(&count, &hash)
	return fmt.Sprintf("%d rows %s", count, hash), err
}

func (s *mariaRun) compare(there, here string) *bool {
	same := there == here
	if !same {
		s.say("NOT EQUAL: %s at the source, %s in the copy", there, here)
	}
	return &same
}

func (s *mariaRun) equal(ctx context.Context) (*bool, error) {
	there, err := s.hashAt(ctx, s.atSource)
	if err != nil {
		return nil, err
	}
	var count int64
	var hash string
	if err := s.hubDB.QueryRow(ctx, hubHash).Scan(&count, &hash); err != nil {
		return nil, err
	}
	return s.compare(there, fmt.Sprintf("%d rows %s", count, hash)), nil
}

func (s *mariaRun) equalReplica(ctx context.Context) (*bool, error) {
	there, err := s.hashAt(ctx, s.atSource)
	if err != nil {
		return nil, err
	}
	here, err := s.hashAt(ctx, s.atReplica)
	if err != nil {
		return nil, err
	}
	return s.compare(there, here), nil
}

// nativeSnapshot measures mariadb-dump into mariadb, which also tells the replica where
// to go on from.
func (s *mariaRun) nativeSnapshot(ctx context.Context) (*line, error) {
	s.say("snapshot by mariadb-dump")
	account := func(server *mariadbtest.Server) []string {
		return []string{"--no-defaults", "--host=127.0.0.1", "--user=root", "--port=" + strconv.Itoa(server.Port)}
	}
	dump := exec.CommandContext(ctx, "mariadb-dump", append(account(s.source),
		"--single-transaction", "--quick", "--gtid", "--master-data=1", "--default-character-set=utf8mb4", mariaName, "citizen")...)
	apply := exec.CommandContext(ctx, "mariadb", append(account(s.replica), "--default-character-set=utf8mb4", mariaName)...)
	var problems [2]bytes.Buffer
	dump.Stderr, apply.Stderr = &problems[0], &problems[1]
	parties := []party{mariaParty("source_maria", s.source), mariaParty("replica_maria", s.replica)}
	from, err := usageOf(parties)
	if err != nil {
		return nil, err
	}
	if apply.Stdin, err = dump.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := dump.Start(); err != nil {
		return nil, err
	}
	applied := apply.Run()
	if err := errors.Join(applied, dump.Wait()); err != nil {
		return nil, fmt.Errorf("mariadb-dump: %w: %s%s", err, &problems[0], &problems[1])
	}
	to, err := usageOf(parties)
	if err != nil {
		return nil, err
	}
	for name, c := range map[string]*exec.Cmd{"dump": dump, "client": apply} {
		to.cpu[name] = c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	}
	l := lineOf("native_maria_snapshot", s.rows, from, to)
	if l.Equal, err = s.equalReplica(ctx); err != nil {
		return nil, err
	}
	// It fetches nothing until it is started.
	_, err = s.atReplica.ExecContext(ctx, fmt.Sprintf("CHANGE MASTER TO master_host='127.0.0.1', master_port=%d, master_user='root', master_use_gtid=slave_pos", s.source.Port))
	return l, err
}

func (s *mariaRun) stream(ctx context.Context, native bool) error {
	s.say("backlog of %d transactions at MariaDB", s.changes)
	if err := s.churn(ctx, s.changes); err != nil {
		return err
	}
	if _, err := s.hubDB.Exec(ctx, "VACUUM ANALYZE"); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	s.say("drain from MariaDB through the platform")
	ours, err := s.drain(ctx, load{name: "stream_maria_pg", phase: "maria-stream", rows: s.changes, parties: s.ourParties()}, s.churned)
	if err != nil {
		return err
	}
	if ours.Equal, err = s.equal(ctx); err != nil {
		return err
	}
	var reference *line
	if native {
		if reference, err = s.nativeStream(ctx); err != nil {
			return err
		}
	}
	return s.printPair(ours, reference)
}

func (s *mariaRun) nativeStream(ctx context.Context) (*line, error) {
	s.say("drain by a MariaDB replica")
	var end string
	if err := s.atSource.QueryRowContext(ctx, "SELECT @@gtid_binlog_pos").Scan(&end); err != nil {
		return nil, err
	}
	parties := []party{mariaParty("source_maria", s.source), mariaParty("replica_maria", s.replica)}
	from, err := usageOf(parties)
	if err != nil {
		return nil, err
	}
	if _, err := s.atReplica.ExecContext(ctx, "START SLAVE"); err != nil {
		return nil, err
	}
	var late int
	if err := s.atReplica.QueryRowContext(ctx, "SELECT MASTER_GTID_WAIT(?, ?)", end, patience.Seconds()).Scan(&late); err != nil {
		return nil, err
	}
	if late != 0 {
		return nil, fmt.Errorf("the replica did not reach %s within %s", end, patience)
	}
	to, err := usageOf(parties)
	if err != nil {
		return nil, err
	}
	l := lineOf("native_maria_stream", s.changes, from, to)
	if l.Equal, err = s.equalReplica(ctx); err != nil {
		return nil, err
	}
	_, err = s.atReplica.ExecContext(ctx, "STOP SLAVE")
	return l, err
}

// churn commits n transactions; the server need not wait for the disk meanwhile.
func (s *mariaRun) churn(ctx context.Context, n int64) error {
	for _, set := range []string{"SET GLOBAL sync_binlog = 0", "SET GLOBAL innodb_flush_log_at_trx_commit = 0"} {
		if _, err := s.atSource.ExecContext(ctx, set); err != nil {
			return err
		}
	}
	err := split(s.churned, n, func(first, n int64) error {
		_, err := s.atSource.ExecContext(ctx, "CALL churn(?, ?, ?)", first, n, s.rows)
		return err
	})
	s.churned += n
	for _, set := range []string{"SET GLOBAL sync_binlog = 1", "SET GLOBAL innodb_flush_log_at_trx_commit = 1"} {
		_, failed := s.atSource.ExecContext(ctx, set)
		err = errors.Join(err, failed)
	}
	return err
}

func (s *mariaRun) writer(ctx context.Context) (commit, func(), error) {
	conn, err := s.atSource.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, i int64) error {
		_, err := conn.ExecContext(ctx, "CALL churn_one(?, ?)", i, s.rows)
		return err
	}, func() { _ = conn.Close() }, nil
}

// lag is measured from the source's clock in the row, because the binary log keeps
// commit times in whole seconds.
func (s *mariaRun) lag(ctx context.Context) error {
	hub, node, err := s.startBoth(ctx, "maria-lag300")
	if err != nil {
		return err
	}
	defer func() { _ = stopAll(node, hub) }()
	if err := s.churn(ctx, warmUp); err != nil {
		return err
	}
	if err := until(ctx, s.hubDB, patience, "SELECT changes >= $1 FROM streams", s.churned); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	start := time.Now()
	s.say("lag at %d transactions a second from MariaDB", slowRate)
	parties := []party{clusterParty("target_pg", s.target)} // the source served the writers too
	from, err := usageOf(parties, hub, node)
	if err != nil {
		return err
	}
	load, err := paced(ctx, s.writer, s.churned, slowRate, time.Duration(s.lagSeconds)*time.Second)
	if err != nil {
		return err
	}
	s.churned += load.n
	if err := until(ctx, s.hubDB, patience, "SELECT changes >= $1 FROM streams", s.churned); err != nil {
		return err
	}
	to, err := usageOf(parties, hub, node)
	if err != nil {
		return err
	}
	l := lineOf(fmt.Sprintf("lag_maria_%d", slowRate), load.n, from, to, hub, node)
	load.into(l)
	err = s.hubDB.QueryRow(ctx, `SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY lag), percentile_cont(0.99) WITHIN GROUP (ORDER BY lag)
		FROM (SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - updated_at)::float8 * 1000 AS lag FROM `+hubLive+` AND updated_at >= $1) l`, start).
		Scan(&l.Samples, &l.P50, &l.P99)
	if err != nil {
		return err
	}
	if l.Equal, err = s.equal(ctx); err != nil {
		return err
	}
	if err := s.out.print(l); err != nil {
		return err
	}
	return stopAll(node, hub)
}
