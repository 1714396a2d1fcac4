package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lienthong/lienthong"
)

func TestNewLogger(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log, err := NewLogger(LogConfig{Level: "warn", Format: format, Writer: &out})
		if err != nil {
			t.Fatal(err)
		}
		log.Info("quiet")
		coded := &lienthong.Error{Code: "batch.forged", En: "forged", Vi: "giả mạo"}
		log.Warn("refused", slog.Any("error", fmt.Errorf("land: %w", coded)),
			slog.Any("password", Secret("hunter2")), slog.Any("other", errors.New("plain")))
		text := out.String()
		if strings.Contains(text, "quiet") || strings.Contains(text, "hunter2") {
			t.Fatalf("%s: %s", format, text)
		}
		for _, want := range []string{"batch.forged", "plain", hidden, "refused"} {
			if !strings.Contains(text, want) {
				t.Fatalf("%s: no %q in %s", format, want, text)
			}
		}
		if format == "json" && !json.Valid(out.Bytes()) {
			t.Fatalf("not JSON: %s", text)
		}
	}
	_, err := NewLogger(LogConfig{Level: "loud", Format: "xml"})
	if err == nil || !strings.Contains(err.Error(), "telemetry.level") ||
		!strings.Contains(err.Error(), "telemetry.format") || !strings.Contains(err.Error(), "no writer") {
		t.Fatalf("not every problem at once: %v", err)
	}
}

func TestSecret_NeverPrinted(t *testing.T) {
	const value = "s3cr3t-dsn"
	secret := Secret(value)
	holder := struct {
		Password Secret            `json:"password"`
		ByName   map[string]Secret `json:"by_name"`
	}{secret, map[string]Secret{"a": secret}}
	inJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	printed := []string{string(inJSON)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
		printed = append(printed, fmt.Sprintf(verb, secret), fmt.Sprintf(verb, holder), fmt.Sprintf(verb, &holder))
	}
	for _, text := range printed {
		if strings.Contains(text, value) || strings.Contains(text, fmt.Sprintf("%x", value)) {
			t.Errorf("printed: %s", text)
		}
	}
	if secret.Reveal() != value || fmt.Sprint(Secret("")) != "" {
		t.Fatal("Reveal or the empty secret")
	}
	var read Secret
	if err := json.Unmarshal([]byte(`"abc"`), &read); err != nil || read.Reveal() != "abc" {
		t.Fatalf("%q, %v", read.Reveal(), err)
	}
	if err := json.Unmarshal([]byte(`{"`+value+`":1}`), &read); err == nil || strings.Contains(err.Error(), value) {
		t.Fatal(err)
	}
}

func TestHealth(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	health := NewHealth(func() time.Time { return now })
	get := func() (int, string) {
		recorder := httptest.NewRecorder()
		health.Handler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", nil))
		return recorder.Code, recorder.Body.String()
	}
	if code, body := get(); code != 200 || body != `{"status":"ok","parts":[]}` {
		t.Fatalf("%d %s", code, body)
	}
	health.Set("spool", OK, "", "", "")
	health.Set("population", Degraded, "postgres.slot_behind", "khe sao chép bị chậm", "the slot is behind")
	if code, _ := get(); code != 200 {
		t.Fatalf("degraded answers %d", code)
	}
	now = now.Add(time.Minute)
	health.Set("population", Degraded, "postgres.slot_behind", "khe sao chép bị chậm hơn", "the slot is further behind")
	health.Set("store", Failed, "store.down", "mất kết nối", "no connection")
	worst, states := health.Summary()
	want := []State{
		{"store", Failed, "store.down", "mất kết nối", "no connection", now},
		{"population", Degraded, "postgres.slot_behind", "khe sao chép bị chậm hơn", "the slot is further behind", now.Add(-time.Minute)},
		{"spool", OK, "", "", "", now.Add(-time.Minute)},
	}
	if diff := cmp.Diff(want, states); diff != "" || worst != Failed {
		t.Fatalf("%v %s", worst, diff)
	}
	if code, body := get(); code != 503 || !strings.Contains(body, `"status":"failed"`) || !strings.Contains(body, "mất kết nối") {
		t.Fatalf("%d %s", code, body)
	}
	health.Clear("store")
	if code, _ := get(); code != 200 {
		t.Fatal("a removed part still counts")
	}
}

func TestMeters(t *testing.T) {
	ctx := t.Context()
	meters, err := NewMeters()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewMeters(); err != nil {
		t.Fatalf("a second instance: %v", err)
	}
	stream := meters.Stream(lienthong.Stream{Node: "population", Dataset: lienthong.DatasetID{Database: "population", Name: "person"}})
	stream.Read(ctx, 500)
	stream.Read(ctx, 1)
	stream.Quarantined(ctx, 3)
	stream.Found(ctx, lienthong.Duplicate, 2)
	stream.Sealed(ctx, 4096)
	stream.Landed(ctx, 4096, 490, 8)
	stream.Acknowledged(ctx)
	stream.Lag(ctx, 45*time.Millisecond)
	stream.Lag(ctx, -time.Second) // a clock that is ahead
	stream.Spool(ctx, 2, 8192)
	stream.Reconciled(ctx, lienthong.Matches)
	meters.Refused(ctx, "batch.forged")
	meters.Audited(ctx, 7)
	page := scrape(t, meters)
	labels := `dataset="population.person",node="population"`
	for _, want := range []string{
		`lienthong_rows_read_total{` + labels + `} 501`,
		`lienthong_rows_landed_total{` + labels + `} 490`,
		`lienthong_rows_ignored_total{` + labels + `} 8`,
		`lienthong_rows_quarantined_total{` + labels + `} 3`,
		`lienthong_batches_total{` + labels + `,stage="sealed"} 1`,
		`lienthong_batches_total{` + labels + `,stage="acknowledged"} 1`,
		`lienthong_batch_bytes_total{` + labels + `,stage="landed"} 4096`,
		`lienthong_findings_total{dataset="population.person",group="duplicate",node="population"} 2`,
		`lienthong_lag_seconds_bucket{` + labels + `,le="0.06"} 2`,
		`lienthong_lag_seconds_count{` + labels + `} 2`,
		`lienthong_spool_bytes{` + labels + `} 8192`,
		`lienthong_spool_batches{` + labels + `} 2`,
		`lienthong_reconciliations_total{` + labels + `,result="matches"} 1`,
		`lienthong_refusals_total{code="batch.forged"} 1`,
		`lienthong_audit_entries_total 7`,
		`go_goroutines`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in\n%s", want, only(page))
		}
	}
	if err := meters.Close(context.WithoutCancel(ctx)); err != nil {
		t.Fatal(err)
	}
}

func TestMeters_Cheap(t *testing.T) {
	meters, err := NewMeters()
	if err != nil {
		t.Fatal(err)
	}
	stream := meters.Stream(lienthong.Stream{Node: "n", Dataset: lienthong.DatasetID{Database: "d", Name: "t"}})
	ctx := t.Context()
	stream.Read(ctx, 1)
	if allocations := testing.AllocsPerRun(100, func() { stream.Read(ctx, 1) }); allocations > 2 {
		t.Fatalf("%v allocations for counting", allocations)
	}
}

func scrape(t *testing.T, meters *Meters) string {
	t.Helper()
	recorder := httptest.NewRecorder()
	meters.Handler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if recorder.Code != http.StatusOK {
		t.Fatalf("status %d: %s", recorder.Code, recorder.Body)
	}
	return recorder.Body.String()
}

// only is the part of the page that is ours.
func only(page string) string {
	var ours []string
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "lienthong") {
			ours = append(ours, line)
		}
	}
	return strings.Join(ours, "")
}

func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	if Stopped(ctx, context.Canceled) {
		t.Fatal("nobody has stopped it")
	}
	cause := errors.New("shutting down")
	cancel(cause)
	if !Stopped(ctx, fmt.Errorf("x: %w", cause)) || !Stopped(ctx, fmt.Errorf("x: %w", context.Canceled)) || Stopped(ctx, errors.New("disk")) {
		t.Fatal("not told apart")
	}
}
