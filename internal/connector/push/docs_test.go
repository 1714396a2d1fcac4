package push_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/lienthong/lienthong/internal/connector/push"
)

func exampleContext() context.Context { return context.Background() }

// blocks are the code blocks of a language in a page; only those after the mark, if there is one.
func blocks(page, language, mark string) []string {
	var found []string
	for _, part := range strings.Split(page, mark+"```"+language+"\n")[1:] {
		code, _, _ := strings.Cut(part, "\n```")
		found = append(found, code)
	}
	return found
}

// TestHandbook runs the commands of docs/connectors/push.md, in order, against a node with the
// record type of the page, over TLS.
func TestHandbook(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "openssl", "python3", "gzip", "od", "sha256sum", "base64"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	raw, err := os.ReadFile("../../../docs/connectors/push.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	var schema push.Schema
	if declared := blocks(page, "yaml", ""); len(declared) != 1 {
		t.Fatalf("%d declarations", len(declared))
	} else if err := yaml.Unmarshal([]byte(declared[0]), &schema); err != nil {
		t.Fatal(err)
	}
	n := start(t, []push.Schema{schema})
	server := httptest.NewTLSServer(n.source.Handler())
	defer server.Close()
	dir := t.TempDir()
	key, err := x509.MarshalPKIXPublicKey(&n.signer.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: server.Certificate().Raw}, "node.pem": {Type: "PUBLIC KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What the comment at the end of each block promises.
	want := [][]string{
		{`"code":"accepted"`, `"acceptance":{"payload":`},
		{"<code>accepted</code>", "<signature>"},
		{`"accepted":2`, `"refused":0`},
		{"<accepted>1</accepted>", "<refused>1</refused>", "<IdBanGhi>KB-3</IdBanGhi>", "push.field_type", "<where>ChiPhi</where>"},
		{"Verified OK", "the record is the one that was sent"},
	}
	commands := blocks(page, "sh", "<!-- run -->\n")
	if len(commands) != len(want) {
		t.Fatalf("%d blocks of commands, expected %d", len(commands), len(want))
	}
	for i, command := range commands {
		shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", command)
		shell.Dir = dir
		shell.Env = append(os.Environ(), "PUSH="+server.URL, "KEY="+n.key, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
		out, err := shell.CombinedOutput()
		if err != nil {
			t.Fatalf("block %d: %v\n%s\n%s", i, err, command, out)
		}
		for _, text := range want[i] {
			if !strings.Contains(string(out), text) {
				t.Errorf("block %d does not print %s:\n%s", i, text, out)
			}
		}
	}
	for _, route := range push.RoutesForTest() {
		_, path, _ := strings.Cut(route, " ")
		path, _, _ = strings.Cut(path, "{")
		if !strings.Contains(page, strings.TrimSuffix(path, "/")) {
			t.Errorf("the page does not name %s", path)
		}
	}
}
