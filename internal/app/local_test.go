package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lienthong/lienthong"
)

func TestLocal_CommandsThroughTheSocket(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"here": t.TempDir(), "too long for a socket": long} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if _, err := DialLocal(data); lienthong.ErrorCode(err) != "local.not_running" {
				t.Fatalf("before the start: %v", err)
			}
			l := newLocal(slog.New(slog.DiscardHandler))
			l.handle("POST /echo", func(_ context.Context, r *http.Request) (any, error) {
				body, err := io.ReadAll(r.Body)
				return map[string]string{"body": string(body)}, err
			})
			l.handle("POST /nothing", func(context.Context, *http.Request) (any, error) { return nil, nil })
			l.handle("POST /refuse", func(context.Context, *http.Request) (any, error) {
				return nil, &lienthong.Error{Code: "some.code", Vi: "không được", En: "no", Where: "there", Hint: "do this", Err: errors.New("cause")}
			})
			stop, err := l.open(ctx, data)
			if err != nil {
				t.Fatal(err)
			}
			client, err := DialLocal(data)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			var answer map[string]string
			if err := client.Do(ctx, "POST", "/echo", map[string]int{"a": 1}, &answer); err != nil || answer["body"] != `{"a":1}` {
				t.Fatalf("%v, %v", answer, err)
			}
			if err := client.Do(ctx, "POST", "/echo", strings.NewReader("as it is"), &answer); err != nil || answer["body"] != "as it is" {
				t.Fatalf("%v, %v", answer, err)
			}
			if err := client.Do(ctx, "POST", "/nothing", nil, &answer); err != nil {
				t.Fatal(err)
			}
			err = client.Do(ctx, "POST", "/refuse", nil, nil)
			var coded *lienthong.Error
			if !errors.As(err, &coded) || coded.Code != "some.code" || coded.Vi != "không được" || coded.Where != "there" || coded.Hint != "do this" || coded.Err.Error() != "cause" {
				t.Fatalf("%+v", err)
			}
			if err := client.Do(ctx, "POST", "/unknown", nil, nil); lienthong.ErrorCode(err) != "local.refused" {
				t.Fatal(err)
			}
			client.Close()
			stop()
			if err := client.Do(ctx, "POST", "/nothing", nil, nil); lienthong.ErrorCode(err) != "local.not_running" {
				t.Fatal(err)
			}
		})
	}
}
