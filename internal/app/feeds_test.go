package app

import (
	"context"
	"crypto/tls"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	changefeed "github.com/lienthong/lienthong/internal/feed"
	"github.com/lienthong/lienthong/internal/store"
)

// feedHub is a hub with feeds and one record.
func feedHub(t *testing.T, data string, feeds *FeedsConfig) *Hub {
	t.Helper()
	config := &HubConfig{
		Name: "hub", Member: "G01", Data: data, Links: "127.0.0.1:0", Enrol: "127.0.0.1:0", Console: "off", Feeds: feeds,
	}
	h, err := StartHub(context.Background(), config, HubParts{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

var citizens = &lienthong.Shape{
	Dataset: lienthong.DatasetID{Database: "population", Name: "citizen"}, Version: 1, Identity: []int{0},
	Fields: []lienthong.Field{
		{Name: "number", Kind: lienthong.Text, Personal: true}, {Name: "commune", Kind: lienthong.Text},
	},
}

type oneRow struct {
	change lienthong.Change
	given  bool
}

func (r *oneRow) Next(c *lienthong.Change) bool {
	if r.given {
		return false
	}
	*c, r.given = r.change, true
	return true
}

func (r *oneRow) Err() error { return nil }

func landOne(t *testing.T, h *Hub, sequence uint64, number, commune string) {
	t.Helper()
	digest := func(n uint64) string {
		if n == 0 {
			return ""
		}
		return strings.Repeat("0", 62) + string([]byte{'0' + byte(n/10), '0' + byte(n%10)})
	}
	text := func(s string) lienthong.Value { return lienthong.Value{State: lienthong.Present, Bytes: []byte(s)} }
	_, err := h.store.Apply(context.Background(), []store.Item{{
		Header: lienthong.BatchHeader{
			Stream: lienthong.Stream{Node: "g01", Dataset: citizens.Dataset}, Sequence: sequence, Kind: lienthong.ChangesBatch, ShapeVersion: 1,
			Count: 1, Previous: digest(sequence - 1),
		},
		Digest: digest(sequence), Shape: citizens,
		Rows: &oneRow{change: lienthong.Change{ID: []byte(number), Version: int64(sequence), At: 1, Values: []lienthong.Value{text(number), text(commune)}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestHub_FeedsFromCommandToConsumer(t *testing.T) {
	data := filepath.Join(t.TempDir(), "hub")
	// Off loopback the door speaks TLS; 0.0.0.0 stands for that here.
	h := feedHub(t, data, &FeedsConfig{Listen: "0.0.0.0:0", NATS: "127.0.0.1:0"})
	if err := h.store.DefineShape(context.Background(), citizens); err != nil {
		t.Fatal(err)
	}
	door, err := DialLocal(data)
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	do := func(method, path string, in, out any) error {
		return door.Do(context.Background(), method, path, in, out)
	}
	var issued changefeed.Issued
	err = do("POST", "/feeds", changefeed.Subscription{
		ID: "bhxh", Consumer: changefeed.Consumer{Name: "BHXH", Member: "G33"}, Dataset: citizens.Dataset, Fields: []string{"number"}, CreatedBy: "root",
		Rows: &changefeed.Rows{Field: "commune", Province: "96"},
	}, &issued)
	if err != nil || !strings.HasPrefix(issued.Key, "ltf_") || len(issued.Key) != 47 || len(issued.Subscription.Rows.Codes) < 60 {
		t.Fatalf("%+v %v", issued, err)
	}
	landOne(t, h, 1, "096200000001", "31825")
	landOne(t, h, 2, "001200000001", "00004")
	_, port, _ := strings.Cut(h.FeedsAddr(), "]:")
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}, DisableKeepAlives: true,
	}}
	get := func(path, key string) (int, string) {
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://127.0.0.1:"+port+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+key)
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
	status, body := get("/feeds/v1/bhxh/snapshot", issued.Key)
	if status != 200 || !strings.Contains(body, `"fields":{"number":"096200000001"}`) || strings.Contains(body, "001200000001") {
		t.Errorf("%d %s", status, body)
	}
	var list []changefeed.Subscription
	if err := do("GET", "/feeds", nil, &list); err != nil || len(list) != 1 || list[0].KeyHash != "" {
		t.Errorf("%+v %v", list, err)
	}
	var second changefeed.Issued
	if err := do("POST", "/feeds/bhxh/key", nil, &second); err != nil {
		t.Fatal(err)
	}
	if status, _ := get("/feeds/v1/bhxh", issued.Key); status != 401 {
		t.Errorf("the old key gives %d", status)
	}
	if err := do("POST", "/feeds/bhxh/resume", nil, nil); lienthong.ErrorCode(err) != "feed.webhook" {
		t.Errorf("resume: %v", err)
	}
	// An open stream does not hold the hub back when it stops.
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://127.0.0.1:"+port+"/feeds/v1/bhxh/events?after=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+second.Key)
	stream, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	h.Close()
	rest, err := io.ReadAll(stream.Body)
	_ = stream.Body.Close()
	if err != nil || !strings.Contains(string(rest), "feed.closing") || time.Since(begun) > 10*time.Second {
		t.Errorf("the stream ended after %s with %v: %s", time.Since(begun), err, rest)
	}

	// Without the option the log is still trimmed, and nothing is handed out.
	h = feedHub(t, data, nil)
	off, err := DialLocal(data)
	if err != nil {
		t.Fatal(err)
	}
	defer off.Close()
	if err := off.Do(context.Background(), "GET", "/feeds", nil, &list); lienthong.ErrorCode(err) != "feed.off" {
		t.Errorf("a hub without feeds answers %v", err)
	}
	h.Close()

	// It is in the audit log, without a value.
	report, err := VerifyLog(context.Background(), data)
	if err != nil || !report.Verified {
		t.Fatalf("%+v %v", report, err)
	}
	found := false
	err = filepath.WalkDir(filepath.Join(data, "audit"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), "096200000001") || strings.Contains(string(text), issued.Key) {
			t.Errorf("%s holds a secret", path)
		}
		found = found || strings.Contains(string(text), `"kind":"disclosure","actor":"G33/BHXH","dataset":"population.citizen","sequence":2`)
		return err
	})
	if err != nil || !found {
		t.Errorf("the read is not in the audit log: %v", err)
	}
}

func TestCommunesOf(t *testing.T) {
	words, err := dictionary.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	seen := map[string]string{}
	for _, province := range words.Provinces(now) {
		codes, known := communesOf(words, province.Code, now)
		if !known || len(codes) == 0 {
			t.Errorf("%s has no communes", province.Code)
		}
		for _, code := range codes {
			if other, twice := seen[code]; twice {
				t.Errorf("%s is in %s and in %s", code, other, province.Code)
			}
			seen[code] = province.Code
		}
	}
	for _, unit := range words.Communes(now) {
		if seen[unit.Code] != unit.Province {
			t.Errorf("%s is in %q, want %s", unit.Code, seen[unit.Code], unit.Province)
		}
	}
	if _, known := communesOf(words, "00", now); known {
		t.Error("there is no province 00")
	}
}

func TestHubConfig_Feeds(t *testing.T) {
	for text, want := range map[string]string{
		"feeds: {listen: 127.0.0.1:7424, retention: 168h}": "",
		"feeds: {}":                             "feeds",
		"feeds: {listen: nowhere}":              "feeds.listen",
		"feeds: {nats: nowhere}":                "feeds.nats",
		"feeds: {nats: ':4333', retention: 1s}": "feeds.retention",
	} {
		path := filepath.Join(t.TempDir(), "hub.yaml")
		if err := os.WriteFile(path, []byte("name: hub\nmember: G01\ndata: data\n"+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadHubConfig(path)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
