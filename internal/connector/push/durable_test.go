package push_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lienthong/lienthong/internal/connector/push"
)

// The test's own process can be asked to be a node that serves until it is killed.
const childVariable = "LIENTHONG_PUSH_TEST_DIR"

func TestChild(t *testing.T) {
	dir := os.Getenv(childVariable)
	if dir == "" {
		t.Skip("runs only as the child of TestKilled")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	source, err := push.Open(t.Context(), push.Config{StateDir: dir, Schemas: []push.Schema{people()}, Signer: &signer{key: key}, Limits: push.Limits{FreeBytes: 1}})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("listening " + listener.Addr().String())
	server := &http.Server{Handler: source.Handler(), ReadHeaderTimeout: time.Minute}
	t.Fatal(server.Serve(listener))
}

// TestKilled: what was answered "accepted" is there after kill -9, and what was not
// answered can be sent again, whatever became of it.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	registry, err := push.OpenRegistry(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := registry.AddClient(t.Context(), push.Client{Name: "he-thong", Types: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Close(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	accepted := map[string]string{} // record -> receipt
	for round := range 4 {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.v")
		child.Env = append(os.Environ(), childVariable+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		address := ""
		lines := bufio.NewScanner(out)
		for address == "" && lines.Scan() {
			if _, rest, found := strings.Cut(lines.Text(), "listening "); found {
				address = rest
			}
		}
		post := func(body string) (string, int) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/push/v1/messages", strings.NewReader(body))
			if err != nil {
				return "", 0
			}
			r.Header.Set("Content-Type", inJSON)
			r.Header.Set("X-Api-Key", key)
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				return "", 0
			}
			defer func() { _ = response.Body.Close() }()
			return response.Header.Get("Location"), response.StatusCode
		}
		// What the last round had answered is still there, with the same receipt.
		mu.Lock()
		for id, receipt := range accepted {
			if location, status := post(person(id, 1).JSON()); status != 200 || location != receipt {
				t.Errorf("%s was accepted as %s and is now %d %s", id, receipt, status, location)
			}
		}
		mu.Unlock()
		enough := make(chan struct{})
		var once sync.Once
		ctx, cancel := context.WithCancel(t.Context())
		var senders sync.WaitGroup
		before := len(accepted)
		for w := range 8 {
			senders.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					id := fmt.Sprintf("%d-%d-%d", round, w, i)
					location, status := post(person(id, 1).JSON())
					if status != 201 {
						return
					}
					mu.Lock()
					accepted[id] = location
					if len(accepted)-before >= 100 {
						once.Do(func() { close(enough) })
					}
					mu.Unlock()
				}
			})
		}
		select {
		case <-enough:
		case <-time.After(30 * time.Second):
			t.Error("the child accepts nothing")
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		senders.Wait()
		cancel()
		_ = child.Wait()
		http.DefaultClient.CloseIdleConnections()
	}
	if len(accepted) < 400 {
		t.Fatalf("only %d records were accepted", len(accepted))
	}
}

// TestRestart: versions, record types and acceptances outlive the process; types that the
// configuration no longer lists stay.
func TestRestart(t *testing.T) {
	n := start(t, []push.Schema{people()})
	first := n.post(inJSON, person("1", 5).JSON())
	if first.status != 201 {
		t.Fatal(first.raw)
	}
	if err := n.source.Close(); err != nil {
		t.Fatal(err)
	}
	if got := n.post(inJSON, person("2", 1).JSON()); got.status < 500 {
		t.Errorf("a closed source answers %d", got.status)
	}
	var err error
	if n.source, err = push.Open(t.Context(), push.Config{StateDir: n.dir, Signer: n.signer, Limits: push.Limits{FreeBytes: 1}}); err != nil {
		t.Fatal(err)
	}
	n.server.Config.Handler = n.source.Handler()
	again := n.post(inXML, person("1", 5).XML())
	if again.status != 200 || again.Receipt != first.Receipt || again.Acceptance != first.Acceptance {
		t.Errorf("%d %s", again.status, again.raw)
	}
	if got := n.post(inJSON, person("1", 4).JSON()); got.status != 409 {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

func TestOpen_NeedsSigner(t *testing.T) {
	if _, err := push.Open(t.Context(), push.Config{StateDir: t.TempDir()}); err == nil {
		t.Error("opened without a signer")
	}
}
