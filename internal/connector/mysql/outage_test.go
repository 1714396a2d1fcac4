package mysql_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/mysql"
)

// code waits until Stream ends by itself and returns the code of its error.
func (w *world) code(source *mysql.Source, pos lienthong.Position, sink *tape) (string, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	err := source.Stream(ctx, pos, sink)
	return lienthong.ErrorCode(err), err
}

func TestStatementInTheLog(t *testing.T) {
	w := newWorld(t, server)
	w.exec("CREATE TABLE a (id int PRIMARY KEY, v varchar(20))", "INSERT INTO a VALUES (1, 'a')")
	source := w.open()
	pos, sink := w.start(source, "a")
	w.exec("SET SESSION binlog_format = STATEMENT", "UPDATE a SET v = 'Nguyễn Văn Bí Mật'", "SET SESSION binlog_format = ROW")
	code, err := w.code(source, pos, sink)
	if code != "mysql.statement" || !strings.Contains(err.Error(), "UPDATE") || !strings.Contains(err.Error(), w.name+".a") {
		t.Errorf("Stream: %v", err)
	}
	if strings.Contains(err.Error(), "Bí Mật") {
		t.Errorf("a value of a record is in the error: %v", err)
	}
	// Released and started again, reading goes on.
	if err := source.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, sink := w.start(source, "a")
	if !pos.Before(again) {
		t.Errorf("the position after Release is %d, not after %d", again.Order, pos.Order)
	}
	if got := w.after(source, again, sink); len(got) != 0 {
		t.Errorf("what arrives: %q", got)
	}
}

// purge has the server purge all files of its log but the newest. It keeps those that a
// reader is just leaving.
func (w *world) purge(statement string) {
	w.t.Helper()
	for range 200 {
		var files []string
		rows, err := w.db.QueryContext(w.t.Context(), "SHOW BINARY LOGS")
		if err != nil {
			w.t.Fatal(err)
		}
		for rows.Next() {
			var name string
			var size int
			if err := rows.Scan(&name, &size); err != nil {
				w.t.Fatal(err)
			}
			files = append(files, name)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			w.t.Fatal(err)
		}
		if len(files) == 1 {
			return
		}
		w.exec(fmt.Sprintf(statement, files[len(files)-1]))
		time.Sleep(50 * time.Millisecond)
	}
	w.t.Fatal("the server does not purge its log")
}

func TestLogPurgedAndReset(t *testing.T) {
	s := own(t)
	for _, test := range []struct{ name, statement, code string }{
		{"purged", "PURGE BINARY LOGS TO '%s'", "mysql.binlog_purged"},
		{"begun anew", "RESET MASTER", "mysql.binlog_reset"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, s)
			w.exec("CREATE TABLE a (id int PRIMARY KEY, v varchar(20))")
			source := w.open()
			pos, sink := w.start(source, "a")
			view, err := source.View(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			version := view.Version()
			_ = view.Close()
			w.exec("INSERT INTO a VALUES (1, 'lost')", "FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
			if strings.Contains(test.statement, "%s") {
				w.purge(test.statement)
			} else {
				w.exec(test.statement)
			}
			for i := range 40 {
				w.exec(fmt.Sprintf("INSERT INTO a VALUES (%d, 'sau')", 100+i)) // so that the old offset is there again
			}
			if code, err := w.code(source, pos, sink); code != test.code {
				t.Fatalf("Stream: %v, want %s", err, test.code)
			}
			if h, err := source.Health(t.Context()); err != nil || h.OK || h.Code != test.code && h.Code != "mysql.binlog_reset" {
				t.Errorf("health: %+v, %v", h, err)
			}
			_ = source.Close()
			source = w.open()
			again, sink := w.start(source, "a")
			if !pos.Before(again) {
				t.Errorf("Start is at %d, not after %d", again.Order, pos.Order)
			}
			if got := w.after(source, again, sink); len(got) != 0 {
				t.Errorf("what arrives: %q", got)
			}
			if sink.version <= version {
				t.Errorf("the new log's version %d is not above %d of the old", sink.version, version)
			}
			if h, err := source.Health(t.Context()); err != nil || h.OK || h.Code != test.code {
				t.Errorf("health after Start: %+v, %v", h, err)
			}
		})
	}
}

// TestServerRestarts: rotation, a clean stop and a power cut of the server; the position
// leads on, and a change has the same version whenever it is read.
func TestServerRestarts(t *testing.T) {
	s := own(t, "sync-binlog=1", "innodb-flush-log-at-trx-commit=1")
	w := newWorld(t, s)
	w.exec("CREATE TABLE a (id int PRIMARY KEY, v varchar(20))")
	source := w.open()
	pos, sink := w.start(source, "a")
	w.exec("INSERT INTO a VALUES (1, 'một')", "FLUSH BINARY LOGS", "INSERT INTO a VALUES (2, 'hai')")
	end, done := w.stream(source, pos, sink)
	sink.until(t, "upsert 0 2,hai")
	s.Stop()
	<-done
	if err := end(); lienthong.ErrorCode(err) != "mysql.connection" {
		t.Fatalf("Stream when the server stopped: %v", err)
	}
	if err := s.Restart("sync-binlog=1"); err != nil {
		t.Fatal(err)
	}
	_, middle := sink.taken()
	if err := source.Acknowledge(t.Context(), middle); err != nil {
		t.Fatal(err)
	}
	w.exec("INSERT INTO a VALUES (3, 'ba')")
	s.Kill()
	if err := s.Restart("sync-binlog=1"); err != nil {
		t.Fatal(err)
	}
	w.exec("INSERT INTO a VALUES (4, 'bốn')", "FLUSH BINARY LOGS", "INSERT INTO a VALUES (5, 'năm')")
	_ = source.Close()
	source = w.open()
	from, sink := w.start(source, "a")
	if from.Before(middle) {
		t.Errorf("Start returned %d, though %d was acknowledged", from.Order, middle.Order)
	}
	first := w.after(source, from, sink)
	if diff := cmp.Diff([]string{"upsert 0 3,ba", "upsert 0 4,bốn", "upsert 0 5,năm"}, first); diff != "" {
		t.Errorf("what arrives after the restarts: %s", diff)
	}
	// All of it once more, from the beginning, by a process that knows only the first position.
	again := newTape()
	again.columns = sink.columns
	all := w.after(source, pos, again)
	if again.version <= sink.version || len(all) < 5 {
		t.Errorf("%d lines %q, version %d then %d", len(all), all, again.version, sink.version)
	}
}

// TestAnotherServerTakesOver: a replica with the same transactions is promoted. Reading
// goes on after those that we have, and positions and versions still rise.
func TestAnotherServerTakesOver(t *testing.T) {
	first := own(t)
	second := own(t, "log-slave-updates=ON", "gtid-domain-id=0")
	w := newWorld(t, first)
	second.Admin(t, fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%d, MASTER_USER='replica', MASTER_PASSWORD='replica', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1", first.Port))
	first.Admin(t, "CREATE USER replica@'127.0.0.1' IDENTIFIED BY 'replica'", "GRANT REPLICATION SLAVE ON *.* TO replica@'127.0.0.1'")
	second.Admin(t, "RESET MASTER", "SET GLOBAL gtid_slave_pos=''", "START SLAVE")
	w.exec("CREATE TABLE a (id int PRIMARY KEY, v varchar(20))")
	source := w.open()
	pos, sink := w.start(source, "a")
	end, _ := w.stream(source, pos, sink)
	w.exec("INSERT INTO a VALUES (1, 'một')", "INSERT INTO a VALUES (2, 'hai')")
	sink.until(t, "upsert 0 2,hai")
	_, acknowledged := sink.taken()
	version := sink.version
	if err := source.Acknowledge(t.Context(), acknowledged); err != nil {
		t.Fatal(err)
	}
	w.exec("INSERT INTO a VALUES (3, 'ba')")
	sink.until(t, "upsert 0 3,ba")
	_ = end()
	_ = source.Close()

	// The replica has it all, and takes over.
	other := connectTo(t, second.DSN(""))
	deadline := time.Now().Add(20 * time.Second)
	for n := 0; n != 3; {
		_ = other.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+w.name+".a").Scan(&n)
		if time.Now().After(deadline) {
			t.Fatal("the replica does not follow")
		}
	}
	exec(t, other, "STOP SLAVE", "INSERT INTO "+w.name+".a VALUES (4, 'bốn')")
	w.dsn, w.db = second.DSN(w.name), connectTo(t, second.DSN(w.name))
	w.db.SetMaxOpenConns(1)
	source = w.open()
	from, sink := w.start(source, "a")
	if from.Before(acknowledged) {
		t.Errorf("Start is at %d, before the acknowledged %d", from.Order, acknowledged.Order)
	}
	want := []string{"upsert 0 3,ba", "upsert 0 4,bốn"}
	if diff := cmp.Diff(want, w.after(source, from, sink)); diff != "" {
		t.Errorf("what arrives from the other server: %s", diff)
	}
	if sink.version <= version {
		t.Errorf("version %d is not above %d", sink.version, version)
	}
	// From a position of the first server, without Start in between.
	again := newTape()
	again.columns = sink.columns
	if diff := cmp.Diff(want, w.after(source, acknowledged, again)); diff != "" {
		t.Errorf("what arrives from a position of the first server: %s", diff)
	}
	view, err := source.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = view.Close() }()
	if _, at := again.taken(); view.Position().Before(at) || view.Version() < again.version {
		t.Errorf("the view is at %d with version %d, the stream at %d with version %d", view.Position().Order, view.Version(), at.Order, again.version)
	}
}

func TestPrivileges(t *testing.T) {
	w := newWorld(t, server)
	w.exec("CREATE TABLE a (id int PRIMARY KEY, v varchar(20))")
	account := "doc_" + w.name
	server.Admin(t, "CREATE USER "+account+"@'127.0.0.1' IDENTIFIED BY 'mat-khau'")
	t.Cleanup(func() { server.Admin(t, "DROP USER "+account+"@'127.0.0.1'") })
	var log bytes.Buffer
	open := func() *mysql.Source {
		source, err := mysql.Open(mysql.Config{
			DSN: server.AccountDSN(account, "mat-khau", w.name), Name: "w", StateDir: w.state,
			Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = source.Close() })
		return source
	}
	grant := func(statement string) {
		t.Helper()
		server.Admin(t, statement)
	}
	source := open()
	if _, err := source.Tables(t.Context()); lienthong.ErrorCode(err) != "mysql.privilege" {
		t.Errorf("Tables without any privilege: %v", err)
	}
	grant("GRANT INSERT ON " + w.name + ".* TO " + account + "@'127.0.0.1'")
	name := w.name + ".a"
	// Each refusal's hint is the statement that mends it.
	for range 2 {
		_, err := open().Start(t.Context(), []string{name})
		var coded *lienthong.Error
		if !errors.As(err, &coded) || coded.Code != "mysql.select" && coded.Code != "mysql.replication" {
			t.Fatalf("Start: %v", err)
		}
		inspection, err := open().Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, r := range inspection.Required {
			if !r.OK {
				found = found || r.Statement == coded.Hint
			}
		}
		if !found {
			t.Errorf("Inspect does not name the statement %q: %+v", coded.Hint, inspection.Required)
		}
		grant(coded.Hint)
	}
	source = open()
	pos, sink := w.start(source, "a")
	if got := w.after(source, pos, sink); len(got) != 0 {
		t.Errorf("what arrives: %q", got)
	}
	view, err := source.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = view.Close()
	if _, err := source.Start(t.Context(), []string{w.name + ".none"}); lienthong.ErrorCode(err) != "mysql.table_missing" {
		t.Errorf("a table that is not there: %v", err)
	}
	if strings.Contains(log.String(), "mat-khau") {
		t.Error("the password is in the log")
	}
	bad, err := mysql.Open(mysql.Config{DSN: server.AccountDSN(account, "sai", w.name), Name: "w", StateDir: w.state})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bad.Close() }()
	if _, err := bad.Tables(t.Context()); lienthong.ErrorCode(err) != "mysql.login" {
		t.Errorf("a wrong password: %v", err)
	}
}

func TestSettingsThatWillNotDo(t *testing.T) {
	s := own(t, "skip-log-bin", "binlog-format=MIXED")
	w := newWorld(t, s)
	w.exec("CREATE TABLE a (id int PRIMARY KEY)")
	source := w.open()
	_, err := source.Start(t.Context(), []string{w.name + ".a"})
	var coded *lienthong.Error
	if !errors.As(err, &coded) || coded.Code != "mysql.log_bin" {
		t.Fatalf("Start: %v", err)
	}
	for _, part := range []string{"log_bin", "SET GLOBAL binlog_format = 'ROW';"} {
		if !strings.Contains(coded.Hint, part) {
			t.Errorf("the hint does not name %s: %s", part, coded.Hint)
		}
	}
	inspection, err := source.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	for _, r := range inspection.Required {
		if !r.OK {
			missing = append(missing, r.Code)
		}
	}
	if diff := cmp.Diff([]string{"mysql.log_bin", "mysql.binlog_format", "mysql.replication"}, missing); diff != "" {
		t.Errorf("what is missing: %s", diff)
	}
}

func TestNamesAndWhatIsLeftOut(t *testing.T) {
	w := newWorld(t, server)
	w.exec(
		"CREATE TABLE `order` (`select` int, `Tên Họ` varchar(50), `a``b` int, PRIMARY KEY (`a``b`, `Tên Họ`))",
		"CREATE TABLE `bảng``lạ` (id int PRIMARY KEY)",
		"CREATE TABLE computed (id int PRIMARY KEY, price int, twice int AS (price * 2) VIRTUAL, kept int AS (price * 3) PERSISTENT, note text COMPRESSED, tail varchar(9))",
		"CREATE TABLE old (id int PRIMARY KEY) ENGINE=MyISAM",
		"CREATE TABLE versioned (id int PRIMARY KEY) WITH SYSTEM VERSIONING",
		"CREATE SEQUENCE counter",
		"CREATE VIEW seen AS SELECT * FROM computed",
		"CREATE TABLE keyless (id int)",
		"CREATE TABLE by_index (a int, b varchar(20) NOT NULL, c int NOT NULL, UNIQUE KEY (a), UNIQUE KEY part (b(3)), UNIQUE KEY whole (b, c))",
	)
	source := w.open()
	inspection, err := source.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out, in []string
	for _, left := range inspection.LeftOut {
		out = append(out, strings.TrimPrefix(left.Name, w.name+".")+" "+left.Code)
	}
	for _, table := range inspection.Tables {
		in = append(in, strings.TrimPrefix(table.Name, w.name+"."))
	}
	slices.Sort(out)
	wantOut := []string{"computed.kept generated", "computed.note compressed", "computed.twice generated", "counter sequence", "keyless no_key", "old engine", "seen view", "versioned system_versioned"}
	if diff := cmp.Diff(wantOut, out); diff != "" {
		t.Errorf("left out: %s", diff)
	}
	slices.Sort(in)
	if diff := cmp.Diff([]string{"`bảng``lạ`", "by_index", "computed", "keyless", "order"}, in); diff != "" {
		t.Errorf("tables: %s", diff)
	}
	tables := []string{"order", "`bảng``lạ`", "computed", "by_index"}
	pos, sink := w.start(source, tables...)
	w.exec(
		"INSERT INTO `order` VALUES (1, 'Ánh', 2), (3, '', 4)", "DELETE FROM `order` WHERE `select` = 3", "UPDATE `order` SET `a``b` = 5",
		"INSERT INTO `bảng``lạ` VALUES (7)",
		"INSERT INTO computed (id, price, note, tail) VALUES (1, 10, REPEAT('nén ', 1000), 'đuôi'), (2, 20, 'x', 'y')", "UPDATE computed SET price = 11 WHERE id = 1",
		"INSERT INTO by_index VALUES (NULL, 'abc', 1), (NULL, 'abd', 1)", "UPDATE by_index SET a = 9 WHERE b = 'abd'",
	)
	end, _ := w.stream(source, pos, sink)
	sink.until(t, "upsert 3 9,abd,1")
	_ = end()
	lines, _ := sink.taken()
	want := []string{
		"upsert 0 1,Ánh,2", "upsert 0 3,,4", "delete 0 =,,4", "delete 0 =,Ánh,2", "upsert 0 1,Ánh,5", "upsert 1 7",
		"upsert 2 1,10,đuôi", "upsert 2 2,20,y", "upsert 2 1,11,đuôi", "upsert 3 ∅,abc,1", "upsert 3 ∅,abd,1", "upsert 3 9,abd,1",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("stream: %s", diff)
	}
	view, err := source.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = view.Close() }()
	got := w.readAll(view, sink, len(tables), 1)
	slices.Sort(got)
	if diff := cmp.Diff([]string{"0 1,Ánh,5", "1 7", "2 1,11,đuôi", "2 2,20,y", "3 9,abd,1", "3 ∅,abc,1"}, got); diff != "" {
		t.Errorf("view: %s", diff)
	}
}

func TestTLS(t *testing.T) {
	dir, err := os.MkdirTemp("", "mysql-tls")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // the server's own account reads it
		t.Fatal(err)
	}
	pool := certificate(t, dir)
	s := own(t, "ssl-cert="+filepath.Join(dir, "cert.pem"), "ssl-key="+filepath.Join(dir, "key.pem"))
	w := newWorld(t, s)
	w.exec("CREATE TABLE a (id int PRIMARY KEY, v varchar(20))")
	account := "kin@'127.0.0.1'"
	s.Admin(t, "CREATE USER "+account+" IDENTIFIED BY 'x' REQUIRE SSL", "GRANT ALL ON *.* TO "+account)
	source, err := mysql.Open(mysql.Config{
		DSN: s.AccountDSN("kin", "x", w.name), Name: "w", StateDir: w.state, TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	pos, sink := w.start(source, "a")
	w.exec("INSERT INTO a VALUES (1, 'kín')")
	if diff := cmp.Diff([]string{"upsert 0 1,kín"}, w.after(source, pos, sink)); diff != "" {
		t.Errorf("what arrives: %s", diff)
	}
	plain, err := mysql.Open(mysql.Config{DSN: s.AccountDSN("kin", "x", w.name), Name: "w", StateDir: w.state})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plain.Close() }()
	if _, err := plain.Tables(t.Context()); lienthong.ErrorCode(err) != "mysql.login" {
		t.Errorf("an account that must encrypt, without: %v", err)
	}
}

// certificate writes a certificate for 127.0.0.1 and its key.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mariadb"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: raw}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
	return pool
}

// TestXAAcrossRestarts: a transaction that was prepared before a restart, or before the
// first Start, arrives at its commit.
func TestXAAcrossRestarts(t *testing.T) {
	w := newWorld(t, server)
	w.exec("CREATE TABLE a (id int PRIMARY KEY, v varchar(20))")
	prepare := func(id string, statement string) {
		t.Helper()
		db := connectTo(t, w.dsn)
		db.SetMaxOpenConns(1)
		exec(t, db, "XA START '"+id+"'", statement, "XA END '"+id+"'", "XA PREPARE '"+id+"'")
		_ = db.Close()
	}
	commit := func(id string) {
		t.Helper()
		var err error
		for range 200 {
			if _, err = w.db.ExecContext(t.Context(), "XA COMMIT '"+id+"'"); err == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Fatal(err)
	}
	early, late := w.name+"early", w.name+"late"
	prepare(early, "INSERT INTO a VALUES (1, 'trước')")
	source := w.open()
	pos, sink := w.start(source, "a")
	prepare(late, "INSERT INTO a SELECT seq, 'nhiều' FROM seq_1000_to_4000")
	if got := w.after(source, pos, sink); len(got) != 0 {
		t.Fatalf("what was only prepared arrives: %.200q", got)
	}
	_, at := sink.taken()
	if err := source.Acknowledge(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	_ = source.Close()
	w.exec("FLUSH BINARY LOGS", "INSERT INTO a VALUES (2, 'giữa')")
	commit(late)
	commit(early)
	source = w.open()
	pos, sink = w.start(source, "a")
	got := w.after(source, pos, sink)
	if len(got) != 3003 || got[0] != "upsert 0 2,giữa" || got[1] != "upsert 0 1000,nhiều" || got[3002] != "upsert 0 1,trước" {
		t.Errorf("%d rows arrive, from %q to %q", len(got), got[0], got[len(got)-1])
	}
	view, err := source.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = view.Close() }()
	if view.Version() < sink.version {
		t.Errorf("the view shows all and has version %d, below %d", view.Version(), sink.version)
	}
}

// TestLargeRollbackInTheLog: what has been passed on already cannot be taken back; it is
// said instead.
func TestLargeRollbackInTheLog(t *testing.T) {
	w := newWorld(t, server)
	w.exec("CREATE TABLE a (id int PRIMARY KEY, v varchar(2000))", "CREATE TABLE m (id int) ENGINE=MyISAM")
	source := w.open()
	pos, sink := w.start(source, "a")
	w.exec("BEGIN", "SAVEPOINT s", "INSERT INTO a SELECT seq, REPEAT('x', 1000) FROM seq_1_to_1000", "INSERT INTO m VALUES (1)", "ROLLBACK TO s", "COMMIT")
	if code, err := w.code(source, pos, sink); code != "mysql.rolled_back" {
		t.Errorf("Stream: %v", err)
	}
}

// TestKeyIsLost: a table without its key goes on under the key that it had.
func TestKeyIsLost(t *testing.T) {
	w := newWorld(t, server)
	w.exec("CREATE TABLE a (id int PRIMARY KEY, v varchar(20))", "INSERT INTO a VALUES (1, 'a')")
	source := w.open()
	pos, sink := w.start(source, "a")
	w.exec("ALTER TABLE a DROP PRIMARY KEY", "UPDATE a SET v = 'b'", "DELETE FROM a")
	want := []string{"upsert 0 1,b", "delete 0 1,="}
	if diff := cmp.Diff(want, w.after(source, pos, sink)); diff != "" {
		t.Errorf("what arrives: %s", diff)
	}
	w.exec("ALTER TABLE a DROP COLUMN id", "INSERT INTO a VALUES ('c')")
	if code, err := w.code(source, pos, sink); code != "mysql.no_key" {
		t.Errorf("Stream: %v", err)
	}
}

// TestHandbook: the account that the handbook makes can be read with.
func TestHandbook(t *testing.T) {
	page, err := os.ReadFile("../../../docs/connectors/mysql.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "<!-- account mariadb -->\n```sql\n")
	block, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("the handbook has no account for MariaDB")
	}
	w := newWorld(t, server)
	account := "lienthong_reader_" + w.name
	block = strings.NewReplacer("lienthong_reader", account, "dancu", w.name).Replace(block)
	for statement := range strings.SplitSeq(strings.TrimSpace(block), ";\n") {
		server.Admin(t, strings.TrimSuffix(statement, ";"))
	}
	t.Cleanup(func() { server.Admin(t, "DROP USER "+account+"@'%'") })
	w.exec("CREATE TABLE a (id int PRIMARY KEY, v varchar(20))")
	w.dsn = server.AccountDSN(account, "a long password", w.name)
	source := w.open()
	inspection, err := source.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range inspection.Required {
		if !r.OK {
			t.Errorf("%s: %s", r.Code, r.En)
		}
	}
	pos, sink := w.start(source, "a")
	w.exec("INSERT INTO a VALUES (1, 'x')")
	if diff := cmp.Diff([]string{"upsert 0 1,x"}, w.after(source, pos, sink)); diff != "" {
		t.Errorf("what arrives: %s", diff)
	}
}

// TestPanicOfTheSink: it is the caller's, and not a failure of the connection.
func TestPanicOfTheSink(t *testing.T) {
	w := newWorld(t, server)
	w.exec("CREATE TABLE a (id int PRIMARY KEY)")
	source := w.open()
	pos, _ := w.start(source, "a")
	w.exec("INSERT INTO a VALUES (1)")
	defer func() {
		if recover() == nil {
			t.Error("the panic was swallowed")
		}
	}()
	err := source.Stream(t.Context(), pos, panicking{newTape()})
	t.Errorf("Stream: %v", err)
}

type panicking struct{ *tape }

func (panicking) Change(*connector.Row) error { panic("a mistake of the sink") }
