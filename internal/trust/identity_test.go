package trust

import (
	"bytes"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lienthong/lienthong"
)

func TestOpenIdentity_KeyFiles(t *testing.T) {
	dir := t.TempDir()
	seal := bytes.Repeat([]byte{7}, 32)
	plain, err := OpenIdentity(dir, "a", Options{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, signingFile)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	sealed, err := OpenIdentity(dir, "a", Options{Seal: seal})
	if err != nil || sealed.KeyID() != plain.KeyID() {
		t.Fatalf("sealing an open file: %v", err)
	}
	data, err := os.ReadFile(path)
	if err != nil || bytes.Contains(data, []byte("PRIVATE")) {
		t.Fatalf("the key is readable: %v", err)
	}
	again, err := OpenIdentity(dir, "a", Options{Seal: seal})
	if err != nil || again.KeyID() != plain.KeyID() {
		t.Fatalf("opening the seal: %v", err)
	}
	for name, test := range map[string]struct {
		spoil   func(t *testing.T)
		options Options
		code    string
	}{
		"no seal":      {func(*testing.T) {}, Options{}, "trust.key_sealed"},
		"wrong seal":   {func(*testing.T) {}, Options{Seal: bytes.Repeat([]byte{8}, 32)}, "trust.key_sealed"},
		"short seal":   {func(*testing.T) {}, Options{Seal: []byte("x")}, "trust.seal_short"},
		"flipped byte": {func(t *testing.T) { flip(t, path, len(data)-1) }, Options{Seal: seal}, "trust.key_sealed"},
		"others may read": {func(t *testing.T) {
			t.Helper()
			if err := os.Chmod(path, 0o640); err != nil {
				t.Fatal(err)
			}
		}, Options{Seal: seal}, "trust.key_exposed"},
		"cut off": {func(t *testing.T) {
			t.Helper()
			if err := os.WriteFile(path, data[:len(sealMagic)+3], 0o600); err != nil {
				t.Fatal(err)
			}
		}, Options{Seal: seal}, "trust.key_sealed"},
		"not a key": {func(t *testing.T) {
			t.Helper()
			if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, Options{}, "trust.key_broken"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
			test.spoil(t)
			_, err := OpenIdentity(dir, "a", test.options)
			if lienthong.ErrorCode(err) != test.code {
				t.Fatalf("%v, want %s", err, test.code)
			}
		})
	}
	if _, err := OpenIdentity(dir, "Ủy ban", Options{}); lienthong.ErrorCode(err) != "trust.node_name" {
		t.Fatal(err)
	}
}

func flip(t *testing.T, path string, at int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpenIdentity_AfterEnrolment(t *testing.T) {
	authority, err := OpenAuthority(t.TempDir(), AuthorityOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	hub, err := OpenIdentity(dir, "hub", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := authority.Install(hub, hubID, "Hub"); err != nil {
		t.Fatal(err)
	}
	first, _ := hub.Membership()
	if err := authority.Install(hub, hubID, "Hub"); err != nil {
		t.Fatal(err)
	}
	if second, _ := hub.Membership(); second.Certificate != first.Certificate {
		t.Fatal("a new certificate without need")
	}
	if _, err := OpenIdentity(dir, "other", Options{}); lienthong.ErrorCode(err) != "trust.wrong_node" {
		t.Fatalf("another name: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, signingFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenIdentity(dir, "hub", Options{}); lienthong.ErrorCode(err) != "trust.key_lost" {
		t.Fatalf("the signing key has gone: %v", err)
	}
}

func TestOpenAuthority_Restart(t *testing.T) {
	dir := t.TempDir()
	options := AuthorityOptions{Options: Options{Seal: bytes.Repeat([]byte{9}, 32)}, Name: "Trung tâm"}
	first, err := OpenAuthority(dir, options)
	if err != nil {
		t.Fatal(err)
	}
	second, err := OpenAuthority(dir, options)
	if err != nil || first.Certificate() != second.Certificate() {
		t.Fatalf("another authority after a restart: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, authorityKeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(dir, options); lienthong.ErrorCode(err) != "trust.key_lost" {
		t.Fatalf("the key has gone: %v", err)
	}
}

// handshake connects both ends and says what each of them made of it.
func handshake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error, state tls.ConnectionState) { //nolint:staticcheck // the two errors are the result
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	done := make(chan error, 1)
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			done <- err
			return
		}
		secure := tls.Server(connection, server)
		err = secure.HandshakeContext(t.Context())
		if err == nil {
			state = secure.ConnectionState()
			_, err = secure.Write([]byte("x"))
		}
		_ = connection.Close()
		done <- err
	}()
	connection, err := tls.Dial("tcp", listener.Addr().String(), client)
	if err == nil {
		_, err = connection.Read(make([]byte, 1)) // with TLS 1.3 the server's refusal comes after the handshake
		_ = connection.Close()
	}
	return <-done, err, state
}

func TestTLS(t *testing.T) {
	authority, err := OpenAuthority(t.TempDir(), AuthorityOptions{})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := OpenAuthority(t.TempDir(), AuthorityOptions{})
	if err != nil {
		t.Fatal(err)
	}
	member := func(a *Authority, id NodeID) *Identity {
		identity := openTest(t, id.Node)
		if err := a.Install(identity, id, ""); err != nil {
			t.Fatal(err)
		}
		return identity
	}
	hub, node := member(authority, hubID), member(authority, population)
	impostor, outsider := member(authority, NodeID{hubID.Bloc, hubID.Member, "impostor"}), member(foreign, population)
	serverTLS := func(i *Identity) *tls.Config {
		config, err := i.ServerTLS(nil)
		if err != nil {
			t.Fatal(err)
		}
		return config
	}
	clientTLS := func(i *Identity) *tls.Config {
		config, err := i.ClientTLS(hubID)
		if err != nil {
			t.Fatal(err)
		}
		return config
	}
	old := clientTLS(node)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	anonymous := clientTLS(node)
	anonymous.GetClientCertificate = nil
	for _, test := range []struct {
		name           string
		server, client *tls.Config
		ok             bool
	}{
		{"member", serverTLS(hub), clientTLS(node), true},
		{"TLS 1.2", serverTLS(hub), old, false},
		{"no certificate", serverTLS(hub), anonymous, false},
		{"another node pretends to be the hub", serverTLS(impostor), clientTLS(node), false},
		{"a client of another authority", serverTLS(hub), clientTLS(outsider), false},
		{"a server of another authority", serverTLS(outsider), clientTLS(node), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			serverErr, clientErr, state := handshake(t, test.server, test.client)
			if ok := serverErr == nil && clientErr == nil; ok != test.ok {
				t.Fatalf("server %v, client %v", serverErr, clientErr)
			}
			if !test.ok {
				return
			}
			peer, err := Peer(state)
			if err != nil || peer != population || state.Version != tls.VersionTLS13 {
				t.Fatalf("%v, %v, version %x", peer, err, state.Version)
			}
		})
	}
	if _, err := Peer(tls.ConnectionState{}); lienthong.ErrorCode(err) != "trust.peer" {
		t.Fatal(err)
	}
}

func TestOptions_NotLogged(t *testing.T) {
	options := Options{Seal: []byte("0123456789abcdef")}
	if text := options.LogValue().String(); strings.Contains(text, "0123") {
		t.Fatal(text)
	}
}
