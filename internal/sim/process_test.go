package sim

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/app"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/pgtest"
	"github.com/lienthong/lienthong/internal/telemetry"
)

// server is the PostgreSQL of all scenarios.
var server *pgtest.Server

// orderVariable names the file that makes this program a hub or a node.
const orderVariable = "LIENTHONG_SIM_ORDER"

func TestMain(m *testing.M) {
	if path := os.Getenv(orderVariable); path != "" {
		os.Exit(serve(path))
	}
	flag.Parse()
	// Every scenario is several processes; more than two at a time only makes them slow.
	if err := flag.Set("test.parallel", "2"); err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "lienthong-sim-")
	if err != nil {
		panic(err)
	}
	if server, err = pgtest.Start(dir, "max_replication_slots=60", "max_wal_senders=60", "max_connections=200", "fsync=off"); err != nil {
		fmt.Fprintln(os.Stderr, "PostgreSQL:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m,
		goleak.Cleanup(func(code int) {
			server.Close()
			_ = os.RemoveAll(dir)
			os.Exit(code)
		}),
		goleak.IgnoreCurrent(), // PostgreSQL's waiter
		// nats-server keeps one process-wide clock goroutine per embedded server generation.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}

// reconcileEvery is short, so that both ends are compared in the middle of a
// scenario, too.
const reconcileEvery = 1500 * time.Millisecond

// order is what a child process is told: one of Hub and Node.
type order struct {
	Hub  *hubOrder  `json:",omitempty"`
	Node *nodeOrder `json:",omitempty"`
	// Kill ends the process with SIGKILL at the Nth time that it reaches Point.
	Kill *kill `json:",omitempty"`
}

type kill struct {
	Point string
	Nth   int64
}

type hubOrder struct {
	Data, Postgres string
	Invite         []string // names of nodes that get an enrolment token
}

type nodeOrder struct {
	Name, Data, Links, Enrol, Token string
	SQLite, Postgres, Slot          string
	Definitions                     string
	SpoolMB, ReserveMB              int64
	AcknowledgeEarly                bool
	Sealed                          string // a file that takes every sealed batch, a line of JSON each
}

// answer is a line that a child says.
type answer struct {
	Ready      bool              `json:"ready,omitempty"`
	Links      string            `json:"links,omitempty"`
	Enrol      string            `json:"enrol,omitempty"`
	Tokens     map[string]string `json:"tokens,omitempty"`
	Reconciled bool              `json:"reconciled,omitempty"`
	Spooled    int               `json:"spooled,omitempty"` // batches without a receipt
	Error      string            `json:"error,omitempty"`
}

// member owns the nodes of all scenarios.
const member = lienthong.MemberCode("H12")

// serve is the child: it runs until its standard input ends.
func serve(path string) int {
	body, err := os.ReadFile(path)
	if err != nil {
		return fail(err)
	}
	var o order
	if err := json.Unmarshal(body, &o); err != nil {
		return fail(err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	ctx := context.Background()
	if o.Hub != nil {
		return serveHub(ctx, &o, log)
	}
	return serveNode(ctx, &o, log)
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "failed:", err)
	return 1
}

func say(a answer) {
	line, err := json.Marshal(a)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

// step returns the hook that ends this process.
func (k *kill) step() func(string) {
	if k == nil {
		return nil
	}
	var reached atomic.Int64
	return func(point string) {
		if point == k.Point && reached.Add(1) == k.Nth {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal may take a moment; nothing may happen after the point
		}
	}
}

func serveHub(ctx context.Context, o *order, log *slog.Logger) int {
	h, err := app.StartHub(ctx, &app.HubConfig{
		Name: "hub", Member: "G01", Data: o.Hub.Data, Postgres: telemetry.Secret(o.Hub.Postgres),
		Links: "127.0.0.1:0", Enrol: "127.0.0.1:0", Console: "off",
	}, app.HubParts{Log: log, Step: o.Kill.step()})
	if err != nil {
		return fail(err)
	}
	defer h.Close()
	a := answer{Ready: true, Links: h.LinksAddr(), Enrol: h.EnrolURL(), Tokens: map[string]string{}}
	for _, name := range o.Hub.Invite {
		if a.Tokens[name], err = h.Invite(ctx, lienthong.Government, member, name); err != nil {
			return fail(err)
		}
	}
	say(a)
	return listen(h.Failed(), func(string) {})
}

func serveNode(ctx context.Context, o *order, log *slog.Logger) int {
	n := o.Node
	parts := app.NodeParts{Log: log, Step: o.Kill.step(), AcknowledgeEarly: n.AcknowledgeEarly}
	if n.Sealed != "" {
		file, err := os.OpenFile(n.Sealed, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return fail(err)
		}
		defer func() { _ = file.Close() }()
		encoder := json.NewEncoder(file)
		parts.Sealed = func(s *batch.Sealed) { _ = encoder.Encode(s) }
	}
	started, err := app.StartNode(ctx, &app.NodeConfig{
		Name: n.Name, Data: n.Data, Hub: app.HubAddress{Links: n.Links, Enrol: n.Enrol}, Token: telemetry.Secret(n.Token),
		SpoolMB: n.SpoolMB, ReserveMB: n.ReserveMB, ReconcileEvery: app.Duration(reconcileEvery),
		Sources: []app.SourceConfig{{SQLite: n.SQLite, Postgres: telemetry.Secret(n.Postgres), Slot: n.Slot, Definitions: []string{n.Definitions}}},
	}, parts)
	if err != nil {
		return fail(err)
	}
	defer started.Close()
	say(answer{Ready: true})
	return listen(started.Failed(), func(command string) {
		if command == "spooled" {
			batches, _ := started.Spooled()
			say(answer{Spooled: batches})
			return
		}
		commandCtx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := started.Reconcile(commandCtx); err != nil {
			say(answer{Error: err.Error()})
			return
		}
		say(answer{Reconciled: true})
	})
}

// listen obeys until standard input ends, which it also does when the parent dies.
func listen(failed <-chan error, obey func(command string)) int {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			obey(lines.Text())
		}
	}()
	select {
	case err := <-failed:
		return fail(err)
	case <-ended:
		return 0
	}
}

// process is a child seen from the parent.
type process struct {
	name    string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	answers chan answer   // closed when its output ends
	done    chan struct{} // closed when it has ended
	err     error         // of Wait
}

// start runs a child. It does not wait for it to be ready.
func start(t *testing.T, name, dir string, o order) *process {
	t.Helper()
	body, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name+".order.json")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	logFile, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{name: name, answers: make(chan answer, 16), done: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), orderVariable+"="+path)
	p.cmd.Stderr = logFile
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan error)
	go func() {
		// The death signal follows the thread that forked, so that thread must live on.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			var a answer
			if json.Unmarshal(lines.Bytes(), &a) == nil {
				p.answers <- a
			}
		}
		close(p.answers)
		p.err = p.cmd.Wait()
		_ = logFile.Close()
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	return p
}

// next waits for what the child says; false: it has ended instead.
func (p *process) next(t *testing.T) (answer, bool) {
	t.Helper()
	select {
	case a, ok := <-p.answers:
		return a, ok
	case <-time.After(patience):
		t.Fatalf("%s says nothing for %s", p.name, patience)
		return answer{}, false
	}
}

// kill ends the child at once.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.done
}

// killed waits until the child has ended by SIGKILL.
func (p *process) killed(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("%s was not killed within %s: it never reached the point", p.name, patience)
	}
	var exit *exec.ExitError
	if !errors.As(p.err, &exit) {
		t.Fatalf("%s ended by itself: %v", p.name, p.err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Fatalf("%s ended by itself: %v", p.name, p.err)
	}
}

// stop ends the child in an orderly way.
func (p *process) stop(t *testing.T) {
	t.Helper()
	_ = p.stdin.Close()
	select {
	case <-p.done:
		if p.err != nil {
			t.Errorf("%s did not end well: %v", p.name, p.err)
		}
	case <-time.After(patience):
		t.Errorf("%s does not end", p.name)
		p.kill()
	}
}

// tail is the end of the child's log.
func tail(dir, name string) string {
	body, err := os.ReadFile(filepath.Join(dir, name+".log"))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(body)), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}
