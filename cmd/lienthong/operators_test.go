package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lienthong/lienthong/internal/app"
)

const (
	docs     = "../../docs/"
	handbook = docs + "operators.md"
	examples = "../../docs/examples"
)

// patience is how long a command of the handbook may take to say what it should.
const patience = 60 * time.Second

// copyExamples copies docs/examples as an operator does, with addresses that are
// free here, and comparisons more often than people want them.
func copyExamples(t *testing.T) (dir string, addresses map[string]string) {
	t.Helper()
	dir = t.TempDir()
	addresses = map[string]string{}
	address := regexp.MustCompile(`127\.0\.0\.1:\d+`)
	var held []net.Listener // until every port is chosen, so that none is chosen twice
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	err := fs.WalkDir(os.DirFS(examples), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dir, path)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		data, err := os.ReadFile(filepath.Join(examples, path))
		if err != nil {
			return err
		}
		data = address.ReplaceAllFunc(data, func(was []byte) []byte {
			if _, known := addresses[string(was)]; !known {
				l, listenErr := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
				if listenErr != nil {
					err = listenErr
					return was
				}
				held = append(held, l)
				addresses[string(was)] = l.Addr().String()
			}
			return []byte(addresses[string(was)])
		})
		data = bytes.ReplaceAll(data, []byte("reconcile_every: 15m"), []byte("reconcile_every: 2s"))
		if err == nil {
			err = os.WriteFile(target, data, 0o600)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir, addresses
}

// step is a command of the handbook that is to be run.
type step struct {
	line       int
	command    string
	until      string // what it has to print; run again until it does
	background bool
}

// stepsOf reads the sh blocks that a comment marks:
//
//	<!-- run -->                       it ends with 0
//	<!-- run: until "text" -->         run again until it prints the text
//	<!-- run: background until "x" --> it goes on, and prints the text soon
func stepsOf(t *testing.T, path string) []step {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	mark := regexp.MustCompile(`^<!-- run(?:: (background )?until (".*"))? -->$`)
	var steps []step
	var next *step
	inside := false
	scanner := bufio.NewScanner(file)
	for number := 1; scanner.Scan(); number++ {
		line := scanner.Text()
		found := mark.FindStringSubmatch(line)
		switch {
		case inside && line == "```":
			inside = false
			if next != nil {
				steps, next = append(steps, *next), nil
			}
		case inside && next != nil:
			next.command += line + "\n"
		case inside:
		case found != nil:
			next = &step{line: number + 1, background: found[1] != ""}
			if found[2] != "" {
				if next.until, err = strconv.Unquote(found[2]); err != nil {
					t.Fatalf("line %d: %v", number, err)
				}
			}
		case strings.HasPrefix(line, "```"):
			inside = true
			if next != nil && line != "```sh" {
				t.Errorf("line %d: a block that is to be run is not sh", number)
			}
		case strings.HasPrefix(line, "<!-- run"):
			t.Errorf("line %d: a mark that nobody understands", number)
		}
	}
	if err := scanner.Err(); err != nil || inside || next != nil {
		t.Fatalf("the handbook ends inside a block or after a mark: %v", err)
	}
	return steps
}

// process is a command that goes on.
type process struct {
	cmd    *exec.Cmd
	output *watched
	ended  chan error
}

// watched is output that can be waited for.
type watched struct {
	mu      sync.Mutex
	text    []byte
	changed chan struct{} // closed when more has come
}

func newWatched() *watched { return &watched{changed: make(chan struct{})} }

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	close(w.changed)
	w.changed = make(chan struct{})
	return len(p), nil
}

func (w *watched) now() (string, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text), w.changed
}

// start runs a command in the background and waits until it prints the text.
func start(t *testing.T, dir, command, until string) *process {
	t.Helper()
	p := &process{output: newWatched(), ended: make(chan error, 1)}
	// Without a shell between, so that a signal reaches the program.
	words := strings.Fields(command)
	p.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), words[0], words[1:]...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, p.output, p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() { p.stop(t) })
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		text, changed := p.output.now()
		if strings.Contains(text, until) {
			return p
		}
		select {
		case <-changed:
		case err := <-p.ended:
			p.ended <- err
			t.Fatalf("%s ended: %v\n%s", strings.TrimSpace(command), err, text)
		case <-deadline.C:
			t.Fatalf("%s does not print %q:\n%s", strings.TrimSpace(command), until, text)
		}
	}
}

// stop ends the process as a service manager does. It has to end well and soon.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if p.cmd.ProcessState != nil {
		return
	}
	select {
	case err := <-p.ended:
		p.ended <- err
		if err != nil {
			text, _ := p.output.now()
			t.Errorf("%v ended by itself: %v\n%s", p.cmd.Args, err, text)
		}
		return
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	select {
	case err := <-p.ended:
		p.ended <- err
		if err != nil {
			text, _ := p.output.now()
			t.Errorf("%v: %v\n%s", p.cmd.Args, err, text)
		}
	case <-deadline.C:
		_ = p.cmd.Process.Kill()
		<-p.ended
		t.Errorf("%v does not stop", p.cmd.Args)
	}
}

// shell runs a command until it prints the text.
func shell(t *testing.T, dir, command, until string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		cmd := exec.CommandContext(ctx, "sh", "-e", "-c", command)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err == nil && strings.Contains(string(out), until) {
			return string(out)
		}
		if until == "" && err != nil {
			t.Fatalf("%s: %v\n%s", strings.TrimSpace(command), err, out)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s does not print %q, but (%v)\n%s", strings.TrimSpace(command), until, err, out)
		}
	}
}

// TestHandbook runs the commands of the handbook's pages on the files of docs/examples, as
// processes of their own: operators.md from the first key to a khớp.
func TestHandbook(t *testing.T) {
	for page, commands := range map[string]int{"operators.md": 15, "onboarding.md": 9, "feeds.md": 16} {
		t.Run(page, func(t *testing.T) {
			steps := stepsOf(t, docs+page)
			if len(steps) < commands {
				t.Fatalf("%d commands on the page: their marks are not understood", len(steps))
			}
			dir, _ := copyExamples(t)
			for _, s := range steps {
				t.Logf("line %d: %s", s.line, strings.TrimSpace(s.command))
				if s.background {
					start(t, dir, s.command, s.until)
					continue
				}
				shell(t, dir, s.command, s.until)
			}
			logged := shell(t, dir, "cat *-data/audit/tile/entries/*/*", `"kind":"`)
			for _, value := range personalValues() {
				if strings.Contains(logged, value) {
					t.Error("an audit log holds a personal value")
				}
			}
		})
	}
}

// personalValues are some of those in docs/examples, the one that is wrong at first among them.
func personalValues() []string {
	return []string{"09608500003", "Phạm Thử", "0900000009", "0900000011", "Lê Thử Hai"}
}

// TestNodeWithoutHub starts an enrolled node while its hub is away: it captures into its
// spool, says so, and delivers when the hub is back.
func TestNodeWithoutHub(t *testing.T) {
	dir, addresses := copyExamples(t)
	hub := start(t, dir, "lienthong hub --config hub.yaml", "links ")
	shell(t, dir, "lienthong enrol --config hub.yaml --member G01 --node g01 > token-g01; sqlite3 population.db < population.sql", "")
	node := start(t, dir, "lienthong node --config node-population.yaml", "node g01: running")
	landed := `sqlite3 -readonly hub-data/records/store.db "SELECT phone FROM records_population_person WHERE _id = 'P0001'"`
	shell(t, dir, landed, "0900000001")
	node.stop(t)
	hub.stop(t)

	if err := os.Remove(filepath.Join(dir, "token-g01")); err != nil { // as the handbook allows
		t.Fatal(err)
	}
	start(t, dir, "lienthong node --config node-population.yaml", "node g01: running")
	shell(t, dir, `sqlite3 population.db "UPDATE cong_dan SET so_dien_thoai = '0900000007' WHERE ma_ban_ghi = 'P0001'"`, "")
	spooled := regexp.MustCompile(`lienthong_spool_batches\{[^}]*population\.person[^}]*\} [1-9]`)
	poll(t, "the change is in the spool", func() bool {
		return spooled.Match(get(t, addresses["127.0.0.1:9465"], "/metrics"))
	})
	if phone := shell(t, dir, landed, ""); strings.Contains(phone, "0900000007") {
		t.Fatal("the change is at a hub that does not run")
	}
	start(t, dir, "lienthong hub --config hub.yaml", "lienthong signin --config hub.yaml")
	shell(t, dir, landed, "0900000007")
}

// TestFailures_AreTold holds what goes wrong at a start to the promise: a code, both
// languages, and what to do; and it is told within seconds.
func TestFailures_AreTold(t *testing.T) {
	dir, addresses := copyExamples(t)
	busy := func(t *testing.T, address string) {
		t.Helper()
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addresses[address])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
	}
	for _, address := range []string{"127.0.0.1:7422", "127.0.0.1:7423", "127.0.0.1:8080", "127.0.0.1:9464"} {
		t.Run("port in use "+address, func(t *testing.T) {
			busy(t, address)
			refused(t, dir, "lienthong hub --config hub.yaml", "listen: không mở được cổng / ", addresses[address], "chọn cổng khác")
		})
	}
	write := func(name, from string, pairs ...string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.NewReplacer(pairs...).Replace(string(data))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const password = "matkhaubimat"
	write("hub-postgres.yaml", "hub.yaml", "hub-data", "hub-postgres-data", "name: ndc", "name: ndc\npostgres: postgres://u:"+password+"@127.0.0.1:1/d")
	write("hub-dsn.yaml", "hub.yaml", "hub-data", "hub-postgres-data", "name: ndc", "name: ndc\npostgres: postgres://u:"+password+"@127.0.0.1:1/d?sslmode=maybe")
	t.Run("PostgreSQL away", func(t *testing.T) {
		out := refused(t, dir, "lienthong hub --config hub-postgres.yaml", "store.open: không mở được kho dữ liệu", "connection refused", "CREATE")
		if strings.Contains(out, password) {
			t.Error("the password is shown")
		}
	})
	t.Run("wrong DSN", func(t *testing.T) {
		out := refused(t, dir, "lienthong hub --config hub-dsn.yaml", "store.dsn: chuỗi kết nối PostgreSQL không đúng / ", "→ postgres://")
		if strings.Contains(out, password) {
			t.Error("the password is shown")
		}
	})

	start(t, dir, "lienthong hub --config hub.yaml", "/signin?token=")
	shell(t, dir, "sqlite3 population.db < population.sql", "")
	run := "lienthong node --config node-population.yaml"
	t.Run("hub twice", func(t *testing.T) {
		refused(t, dir, "lienthong hub --config hub.yaml", "durable.locked: thư mục dữ liệu đang được một tiến trình khác sử dụng (pid ", "dừng tiến trình kia")
	})
	t.Run("no token", func(t *testing.T) {
		refused(t, dir, run, "node.not_enrolled: nút chưa đăng ký", "→ xin mã đăng ký")
	})
	t.Run("torn token", func(t *testing.T) {
		shell(t, dir, "lienthong enrol --config hub.yaml --member G01 --node g01 | cut -c 1-60 > token-g01", "")
		refused(t, dir, run, "trust.token_malformed: mã đăng ký không đúng dạng", "→ chép lại trọn mã")
	})
	t.Run("token of another node", func(t *testing.T) {
		shell(t, dir, "lienthong enrol --config hub.yaml --member G01 --node other > token-g01", "")
		refused(t, dir, run, "trust.wrong_node: mã đăng ký được cấp cho một nút khác", "→ dùng đúng tên nút")
	})
	t.Run("hub away", func(t *testing.T) {
		write("node-away.yaml", "node-population.yaml", addresses["127.0.0.1:7423"], "127.0.0.1:1")
		shell(t, dir, "lienthong enrol --config hub.yaml --member G01 --node g01 > token-g01", "")
		refused(t, dir, "lienthong node --config node-away.yaml", "trust.hub_unreachable: không liên lạc được với trung tâm", "→ kiểm tra đường truyền")
	})
	t.Run("another service at the address", func(t *testing.T) {
		write("node-other.yaml", "node-population.yaml", addresses["127.0.0.1:7423"], addresses["127.0.0.1:8080"])
		refused(t, dir, "lienthong node --config node-other.yaml", "trust.hub_unreachable", "HTTP response to HTTPS client")
	})
	t.Run("no source", func(t *testing.T) {
		write("node-nowhere.yaml", "node-population.yaml", "sqlite: population.db", "sqlite: nowhere.db")
		refused(t, dir, "lienthong node --config node-nowhere.yaml", "sqlite.open: không mở được tệp cơ sở dữ liệu", "nowhere.db")
	})
	t.Run("source server away", func(t *testing.T) {
		// Not a reason to end: it is tried again, and said once.
		write("node-postgres.yaml", "node-population.yaml", "sqlite: population.db", "postgres: postgres://u:"+password+"@127.0.0.1:1/d", "name: g01", "name: g02",
			"node-population-data", "node-postgres-data", "token-g01", "token-g02", "metrics:", "#")
		shell(t, dir, "lienthong enrol --config hub.yaml --member G01 --node g02 > token-g02", "")
		p := start(t, dir, "lienthong node --config node-postgres.yaml", "code=postgres.connection")
		p.stop(t)
		if text, _ := p.output.now(); strings.Contains(text, password) || strings.Count(text, "level=WARN") != 1 {
			t.Errorf("told so:\n%s", text)
		}
	})
}

// refused runs a command that has to end with 1 within seconds and to print every text.
func refused(t *testing.T, dir, command string, texts ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	words := strings.Fields(command)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != exitFailed {
		t.Errorf("%s: %v, want exit code 1", command, err)
	}
	for _, text := range texts {
		if !strings.Contains(string(out), text) {
			t.Errorf("%s does not print %q, but\n%s", command, text, out)
		}
	}
	return string(out)
}

func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		<-tick.C
	}
}

// get reads a page of a process; nothing while it cannot be reached.
func get(t *testing.T, address, path string) []byte {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return nil
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", path, address); err != nil {
		return nil
	}
	var page bytes.Buffer
	_, _ = page.ReadFrom(conn)
	return page.Bytes()
}

// TestHandbook_NamesEveryKey reads the configuration from the code: a key that the
// handbook does not explain does not exist for an operator.
func TestHandbook_NamesEveryKey(t *testing.T) {
	text, err := os.ReadFile(handbook)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(text, []byte("### hub.yaml"))
	hub, node, _ := bytes.Cut(rest, []byte("### node.yaml"))
	node, _, _ = bytes.Cut(node, []byte("\n## "))
	for _, c := range []struct {
		config  any
		chapter []byte
	}{{app.HubConfig{}, hub}, {app.NodeConfig{}, node}} {
		keys := keysOf(reflect.TypeOf(c.config))
		if len(keys) < 8 {
			t.Fatalf("%T has the keys %v", c.config, keys)
		}
		for _, key := range keys {
			if !regexp.MustCompile("(?m)^\\| (\\*\\*)?`" + key + "`(\\*\\*)? \\| [^|]{4,}").Match(c.chapter) {
				t.Errorf("%T: the handbook does not explain %s", c.config, key)
			}
		}
		for _, row := range regexp.MustCompile("(?m)^\\| (?:\\*\\*)?`([a-z_]+)`").FindAllSubmatch(c.chapter, -1) {
			if key := string(row[1]); !slices.Contains(keys, key) {
				t.Errorf("%T: the handbook explains %s, which does not exist", c.config, key)
			}
		}
	}
}

func keysOf(of reflect.Type) []string {
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice:
		return keysOf(of.Elem())
	case reflect.Struct:
		var keys []string
		for i := range of.NumField() {
			f := of.Field(i)
			key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if key != "" {
				keys = append(keys, key)
			}
			if key != "" || options == "inline" {
				keys = append(keys, keysOf(f.Type)...)
			}
		}
		return keys
	default:
		return nil
	}
}

// TestHandbook_CodesExist looks every code that the handbook explains up in the source.
func TestHandbook_CodesExist(t *testing.T) {
	text, err := os.ReadFile(handbook)
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| code | meaning |")
	var source strings.Builder
	err = filepath.WalkDir("../../internal", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		data, err := os.ReadFile(path)
		source.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile("(?m)^\\| (`[^|]+`) \\|").FindAllStringSubmatch(table, -1)
	if len(codes) < 20 {
		t.Fatalf("%d rows of codes", len(codes))
	}
	for _, row := range codes {
		for _, code := range regexp.MustCompile("`([a-z_.]+)`").FindAllStringSubmatch(row[1], -1) {
			if !strings.Contains(source.String(), `"`+code[1]+`"`) {
				t.Errorf("the handbook explains %s, which nothing says", code[1])
			}
		}
	}
}
