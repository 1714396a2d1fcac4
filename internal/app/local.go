package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/durable"
)

// local is the door for commands on the same machine: HTTP over a Unix socket in
// the data directory. Who may open the file may give the command; nothing listens
// on the network.
type local struct {
	mux *http.ServeMux
	log *slog.Logger
}

func newLocal(log *slog.Logger) *local { return &local{mux: http.NewServeMux(), log: log} }

// handle registers a command: "POST /bundle/export". A nil answer is 204, any other is
// written as JSON; an error is written as a refusal that DialLocal's client turns back.
func (l *local) handle(pattern string, command func(ctx context.Context, r *http.Request) (any, error)) {
	l.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		answer, err := command(r.Context(), r)
		switch {
		case err != nil:
			l.log.WarnContext(r.Context(), "command refused", slog.String("command", r.Pattern), slog.Any("error", err))
			writeLocal(w, http.StatusUnprocessableEntity, refusalOf(err))
		case answer == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			writeLocal(w, http.StatusOK, answer)
		}
	})
}

// handleRaw registers a command that writes its own answer, such as a file or a stream.
func (l *local) handleRaw(pattern string, handler http.HandlerFunc) {
	l.mux.HandleFunc(pattern, handler)
}

func writeLocal(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the command at the other end has gone if this fails
}

// localRefusal is an error on its way through the socket.
type localRefusal struct {
	Code  string `json:"code"`
	Vi    string `json:"vi"`
	En    string `json:"en"`
	Where string `json:"where,omitempty"`
	Hint  string `json:"hint,omitempty"`
	Cause string `json:"cause,omitempty"`
}

func refusalOf(err error) localRefusal {
	var coded *lienthong.Error
	if !errors.As(err, &coded) {
		return localRefusal{Code: "internal", Vi: "lỗi bên trong", En: "an internal error", Cause: err.Error()}
	}
	refusal := localRefusal{Code: coded.Code, Vi: coded.Vi, En: coded.En, Where: coded.Where, Hint: coded.Hint}
	if coded.Err != nil {
		refusal.Cause = coded.Err.Error()
	}
	return refusal
}

func (r localRefusal) error() error {
	coded := &lienthong.Error{Code: r.Code, Vi: r.Vi, En: r.En, Where: r.Where, Hint: r.Hint}
	if r.Cause != "" {
		coded.Err = errors.New(r.Cause)
	}
	return coded
}

const (
	socketName = "control.sock"
	// A Unix address holds 108 bytes. A data directory with a longer path has its socket
	// elsewhere and says here where.
	socketPointer = "control.path"
	socketLimit   = 100
)

// open listens in the data directory. Stop removes the socket.
func (l *local) open(ctx context.Context, data string) (stop func(), err error) {
	path := filepath.Join(data, socketName)
	elsewhere := ""
	if len(path) > socketLimit {
		if elsewhere, err = os.MkdirTemp("", "lienthong-"); err != nil {
			return nil, fmt.Errorf("control socket: %w", err)
		}
		path = filepath.Join(elsewhere, socketName)
		if err := durable.WriteFile(filepath.Join(data, socketPointer), []byte(path), 0o600); err != nil {
			return nil, err
		}
	}
	// The directory is locked: a socket that is there was left by a process that died.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	server := &http.Server{
		Handler: l.mux, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // returns when it is closed
	}()
	return func() {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(stopCtx) != nil {
			_ = server.Close()
		}
		<-done
		if elsewhere != "" {
			_ = os.RemoveAll(elsewhere)
			_ = os.Remove(filepath.Join(data, socketPointer))
		}
	}, nil
}

// Local speaks to a running hub or node over its control socket.
type Local struct {
	client *http.Client
	where  string
}

// DialLocal finds the control socket of a data directory. Its error has the code
// "local.not_running" when no process has the directory open.
func DialLocal(data string) (*Local, error) {
	path := filepath.Join(data, socketName)
	if pointed, err := os.ReadFile(filepath.Join(data, socketPointer)); err == nil && len(path) > socketLimit {
		path = strings.TrimSpace(string(pointed))
	}
	if _, err := os.Stat(path); err != nil {
		return nil, notRunning(data, err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", path)
		if err != nil {
			return nil, notRunning(data, err)
		}
		return conn, nil
	}}
	return &Local{client: &http.Client{Transport: transport}, where: data}, nil
}

func notRunning(data string, err error) error {
	return &lienthong.Error{
		Code: "local.not_running", Where: data, Vi: "không có nút hoặc trung tâm nào đang chạy trên thư mục này",
		En: "no node or hub is running on this data directory", Hint: "khởi động rồi thử lại / start it and try again", Err: err,
	}
}

// Close lets go of idle connections.
func (l *Local) Close() { l.client.CloseIdleConnections() }

// Do gives a command: in is sent as JSON unless it is nil or an io.Reader, which is
// sent as it is; the answer is decoded into out unless that is nil.
func (l *Local) Do(ctx context.Context, method, path string, in, out any) error {
	body, err := l.Stream(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(body).Decode(out); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("answer of %s %s: %w", method, path, err)
	}
	return nil
}

// Stream gives a command and returns the answer's body, which the caller closes.
func (l *Local) Stream(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	var body io.Reader
	switch in := in.(type) {
	case nil:
	case io.Reader:
		body = in
	default:
		encoded, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("command %s %s: %w", method, path, err)
		}
		body = strings.NewReader(string(encoded))
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://local"+path, body)
	if err != nil {
		return nil, fmt.Errorf("command %s %s: %w", method, path, err)
	}
	response, err := l.client.Do(request)
	if err != nil {
		var coded *lienthong.Error
		if errors.As(err, &coded) {
			return nil, coded
		}
		return nil, fmt.Errorf("command %s %s: %w", method, path, err)
	}
	if response.StatusCode < 300 {
		return response.Body, nil
	}
	defer func() { _ = response.Body.Close() }()
	var refusal localRefusal
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&refusal); err != nil || refusal.Code == "" {
		return nil, &lienthong.Error{
			Code: "local.refused", Where: method + " " + path, Vi: "tiến trình đang chạy không hiểu lệnh này",
			En:   "the running process does not know this command: " + response.Status,
			Hint: "dùng cùng phiên bản cho lệnh và tiến trình / use one version for the command and the process", Err: err,
		}
	}
	return nil, refusal.error()
}
