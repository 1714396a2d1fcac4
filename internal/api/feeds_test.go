package api

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/feed"
)

// call makes one request and returns the answer with its whole body.
func (h *hub) call(method, path, key string, header http.Header, body string) (*http.Response, []byte) {
	h.c.tb.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(context.Background(), method, h.url()+path, strings.NewReader(body))
	check(h.c.tb, err)
	for name, values := range header {
		request.Header[name] = values
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	answer, err := client.Do(request)
	check(h.c.tb, err)
	defer func() { _ = answer.Body.Close() }()
	all, err := io.ReadAll(answer.Body)
	check(h.c.tb, err)
	return answer, all
}

func (h *hub) refused(method, path, key, body string, status int, code string) {
	h.c.tb.Helper()
	answer, text := h.call(method, path, key, nil, body)
	var got refusal
	if err := json.Unmarshal(text, &got); err != nil || answer.StatusCode != status || got.Code != code || got.Vi == "" || got.En == "" {
		h.c.tb.Errorf("%s %s: %s %.300s, want %d %s", method, path, answer.Status, text, status, code)
	}
}

func TestFeeds_RefusesInWords(t *testing.T) {
	c := onSQLite(t)
	clock := &atomic.Int64{}
	start := time.Now()
	h := newHub(c, func(f *feed.Config, a *FeedsConfig) {
		f.Now = func() time.Time { return start.Add(time.Duration(clock.Load())) }
		f.May = func(_ context.Context, _ feed.Consumer, _ lienthong.DatasetID, fields []string) error {
			if fields[0] == "income" {
				return &lienthong.Error{Code: "agreement.none", Vi: "chưa có thoả thuận", En: "no agreement"}
			}
			return nil
		}
		a.PerMinute, a.WrongPerMinute, a.Streams = 14, 8, 1
		a.Now = f.Now
	})
	mine := h.add(feed.Subscription{ID: "mine", Deliveries: []feed.Delivery{feed.Pull, feed.Events}, ValidUntil: start.Add(time.Hour)})
	other := h.add(feed.Subscription{ID: "other"})
	c.live(50)

	h.refused("GET", "/feeds/v1/mine", "", "", 401, "feed.key")
	h.refused("GET", "/feeds/v1/mine", other.Key, "", 401, "feed.key")
	h.refused("GET", "/feeds/v1/nobody", mine.Key, "", 401, "feed.key")
	h.refused("GET", "/feeds/v1/mine/files", mine.Key, "", 403, "feed.delivery")
	h.refused("GET", "/feeds/v1/mine/changes", mine.Key, "", 400, "feed.after")
	h.refused("GET", "/feeds/v1/mine/changes?after=-1", mine.Key, "", 400, "feed.after")
	h.refused("GET", "/feeds/v1/mine/changes?after=999999", mine.Key, "", 410, "feed.gone")
	h.refused("GET", "/feeds/v1/mine/events?after=999999", mine.Key, "", 410, "feed.gone")
	h.refused("POST", "/feeds/v1/other/files", other.Key, `{"format":"xls"}`, 400, "feed.format")
	h.refused("POST", "/feeds/v1/other/files", other.Key, `<xml>`, 400, "feed.request")
	h.refused("GET", "/feeds/v1/other/files/..%2f..%2fstore.db", other.Key, "", 404, "feed.file")
	h.refused("GET", "/feeds/v2/other", other.Key, "", 404, "api.path")

	open := h.stream("mine", mine.Key, "after=0", "")
	h.refused("GET", "/feeds/v1/mine/events?after=0", mine.Key, "", 429, "feed.streams")
	_ = open.Body.Close()

	for range 20 {
		h.call("GET", "/feeds/v1/mine", mine.Key, nil, "")
	}
	h.refused("GET", "/feeds/v1/mine", mine.Key, "", 429, "api.rate")
	if answer, _ := h.call("GET", "/feeds/v1/other", other.Key, nil, ""); answer.StatusCode != http.StatusOK {
		t.Errorf("a neighbour's haste made %s", answer.Status)
	}
	clock.Store(int64(2 * time.Hour))
	h.refused("GET", "/feeds/v1/mine", mine.Key, "", 403, "feed.expired")
	for range 10 {
		h.call("GET", "/feeds/v1/mine", "wrong", nil, "")
	}
	h.refused("GET", "/feeds/v1/other", other.Key, "", 429, "api.rate")

	_, err := h.feeds.Add(context.Background(), feed.Subscription{
		ID: "x", Dataset: residents, Consumer: feed.Consumer{Name: "X", Member: "G33"}, CreatedBy: "test", Fields: []string{"income"},
	})
	wantCode(t, err, "agreement.none")
}

func TestFeeds_DraftsAreChecked(t *testing.T) {
	c := onSQLite(t)
	h := newHub(c, nil)
	h.add(feed.Subscription{ID: "taken"})
	for name, test := range map[string]struct {
		code   string
		change func(*feed.Subscription)
	}{
		"id":                  {"feed.id", func(s *feed.Subscription) { s.ID = "../x" }},
		"taken":               {"feed.exists", func(s *feed.Subscription) { s.ID = "taken" }},
		"consumer":            {"feed.consumer", func(s *feed.Subscription) { s.Consumer.Name = " " }},
		"member":              {"member.code", func(s *feed.Subscription) { s.Consumer.Member = "@@" }},
		"maker":               {"feed.created_by", func(s *feed.Subscription) { s.CreatedBy = "" }},
		"no field":            {"feed.fields", func(s *feed.Subscription) { s.Fields = nil }},
		"field twice":         {"feed.fields", func(s *feed.Subscription) { s.Fields = []string{"number", "number"} }},
		"unknown field":       {"feed.field", func(s *feed.Subscription) { s.Fields = []string{"salary"} }},
		"unknown dataset":     {"feed.dataset", func(s *feed.Subscription) { s.Dataset.Name = "nothing" }},
		"past":                {"feed.valid_until", func(s *feed.Subscription) { s.ValidUntil = time.Unix(1, 0) }},
		"delivery":            {"feed.delivery", func(s *feed.Subscription) { s.Deliveries = []feed.Delivery{"fax"} }},
		"rows without choice": {"feed.rows", func(s *feed.Subscription) { s.Rows = &feed.Rows{Field: "commune"} }},
		"rows with two": {"feed.rows", func(s *feed.Subscription) {
			s.Rows = &feed.Rows{Field: "commune", Prefix: "3", In: []string{"4"}}
		}},
		"rows by a date":      {"feed.rows", func(s *feed.Subscription) { s.Rows = &feed.Rows{Field: "born", Prefix: "3"} }},
		"rows by no field":    {"feed.field", func(s *feed.Subscription) { s.Rows = &feed.Rows{Field: "village", Prefix: "3"} }},
		"no such province":    {"feed.province", func(s *feed.Subscription) { s.Rows = &feed.Rows{Field: "commune", Province: "00"} }},
		"webhook in clear":    {"feed.webhook", func(s *feed.Subscription) { s.Webhook = "http://example.vn/x" }},
		"webhook with secret": {"feed.webhook", func(s *feed.Subscription) { s.Webhook = "https://user:pass@example.vn/x" }},
		"webhook by file":     {"feed.webhook", func(s *feed.Subscription) { s.Webhook = "file:///etc/passwd" }},
		"webhook without URL": {"feed.webhook", func(s *feed.Subscription) { s.Deliveries = []feed.Delivery{feed.Webhook} }},
	} {
		s := feed.Subscription{ID: "ok", Dataset: residents, Consumer: feed.Consumer{Name: "X", Member: "G33"}, CreatedBy: "test", Fields: []string{"number"}}
		test.change(&s)
		_, err := h.feeds.Add(context.Background(), s)
		if lienthong.ErrorCode(err) != test.code {
			t.Errorf("%s: %v, want %s", name, err, test.code)
		}
	}
	if all := h.feeds.List(); len(all) != 1 || all[0].KeyHash != "" {
		t.Errorf("what is listed: %+v", all)
	}
}

// stream opens an event stream.
func (h *hub) stream(id, key, query, last string) *http.Response {
	h.c.tb.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, h.url()+"/feeds/v1/"+id+"/events?"+query, nil)
	check(h.c.tb, err)
	request.Header.Set("Authorization", "Bearer "+key)
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	check(h.c.tb, err)
	h.c.tb.Cleanup(func() { _ = answer.Body.Close() })
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		h.c.tb.Fatalf("the stream begins with %s", answer.Status)
	}
	return answer
}

// blocks reads so many blocks of an event stream, heartbeats apart.
func blocks(tb testing.TB, in *bufio.Reader, n int) []map[string]string {
	tb.Helper()
	var all []map[string]string
	block := map[string]string{}
	for len(all) < n {
		line, err := in.ReadString('\n')
		if err != nil {
			tb.Fatalf("the stream ends after %d of %d events: %v", len(all), n, err)
		}
		line = strings.TrimSuffix(line, "\n")
		switch name, value, found := strings.Cut(line, ": "); {
		case line == "" && len(block) > 0:
			all = append(all, block)
			block = map[string]string{}
		case found && name != "":
			block[name] = value
		}
	}
	return all
}

func TestEvents_SnapshotThenChangesThenResume(t *testing.T) {
	c := onSQLite(t)
	h := newHub(c, nil)
	issued := h.add(feed.Subscription{Fields: []string{"number", "commune", "income"}, Rows: &feed.Rows{Field: "commune", In: []string{"31825"}}})
	ch := c.chains[0]
	c.apply(ch, c.resident(ch, 1, "31825"), c.resident(ch, 2, "26734"))
	in := bufio.NewReader(h.stream("bhxh", issued.Key, "", "").Body)
	got := blocks(t, in, 3)
	if got[0]["event"] != "snapshot" || got[1]["event"] != "record" || got[1]["id"] != "" || got[2]["event"] != "complete" || got[2]["id"] != "2" {
		t.Fatalf("the snapshot is %v", got)
	}
	var record feed.Record
	check(t, json.Unmarshal([]byte(got[1]["data"]), &record))
	if string(record.Fields["number"]) != `"000000000001"` || string(record.Fields["income"]) != `"1.50"` || len(record.Fields) != 3 || record.Version != 1 ||
		strings.Contains(record.ID, "0000") {
		t.Errorf("the record is %s", got[1]["data"])
	}
	// In, out, not ours at all, and gone.
	c.apply(ch, c.resident(ch, 2, "31825"))
	c.apply(ch, c.resident(ch, 1, "00004"))
	c.apply(ch, c.resident(ch, 3, "00004"))
	c.apply(ch, c.gone(ch, 2))
	type event struct {
		Sequence, Previous uint64
		Op, ID             string
	}
	read := func(in *bufio.Reader, n int) (events []event) {
		t.Helper()
		for _, b := range blocks(t, in, n) {
			var e event
			check(t, json.Unmarshal([]byte(b["data"]), &e))
			if b["id"] != strconv.FormatUint(e.Sequence, 10) {
				t.Errorf("id %s of event %+v", b["id"], e)
			}
			if b["event"] == "position" {
				e.Op = "position"
			}
			events = append(events, e)
		}
		return events
	}
	// The stream may have been asleep for several of them: then it says less.
	var last event
	for last.Sequence < 6 {
		e := read(in, 1)[0]
		if last.Sequence != 0 && e.Previous != last.Sequence || last.Sequence == 0 && e.Previous != 2 {
			t.Fatalf("%+v follows %+v", e, last)
		}
		last = e
	}
	// All of it again, now as it is: the record that came and went is deleted.
	again := read(bufio.NewReader(h.stream("bhxh", issued.Key, "after=999", "2").Body), 3)
	other := again[0].ID
	want := []event{{3, 2, "delete", other}, {4, 3, "delete", record.ID}, {6, 4, "position", ""}}
	if diff := cmp.Diff(want, again); diff != "" {
		t.Errorf("events after 2 (-want +got):\n%s", diff)
	}
	head := h.head()
	page := h.page(issued, 0, 2)
	if page.Sequence >= head || !page.More || len(page.Events) != 2 {
		t.Errorf("a page of two is %+v", page)
	}
}

type page struct {
	Previous, Sequence uint64
	More               bool
	Events             []struct {
		Sequence, Previous uint64
		Op, ID             string
		Version            int64
		At                 string
		Fields             map[string]json.RawMessage
	}
}

func (h *hub) page(issued *feed.Issued, after uint64, limit int) (p page) {
	h.c.tb.Helper()
	answer, body := h.call("GET", fmt.Sprintf("/feeds/v1/%s/changes?after=%d&limit=%d", issued.Subscription.ID, after, limit), issued.Key, nil, "")
	if answer.StatusCode != http.StatusOK {
		h.c.tb.Fatalf("%s: %s", answer.Status, body)
	}
	check(h.c.tb, json.Unmarshal(body, &p))
	return p
}

func TestChanges_PagesChainAndAreBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, c *country) {
		h := newHub(c, nil)
		issued := h.add(feed.Subscription{Rows: &feed.Rows{Field: "commune", In: []string{"31828"}}})
		ch := c.chains[0]
		var all []lienthong.Change
		for n := range 900 {
			all = append(all, c.resident(ch, n, communes[n%4]))
		}
		c.apply(ch, all...)
		// Records of 1 MiB: a page ends by size, and a chunk is read in smaller pieces.
		huge := c.resident(ch, 1000, "31828")
		huge.Values[1] = text(strings.Repeat("ặ", 400_000))
		for n := range 30 {
			big := c.resident(ch, 1001+n, "31828")
			big.Values[1] = huge.Values[1]
			c.apply(ch, big)
		}
		at, seen, biggest := uint64(0), 0, 0
		for {
			p := h.page(issued, at, 100)
			if p.Previous != at {
				t.Fatalf("page after %d says %d", at, p.Previous)
			}
			last, size := at, 0
			for _, e := range p.Events {
				if e.Previous != last || e.Sequence <= last || e.Sequence > p.Sequence || e.Op != "upsert" {
					t.Fatalf("event %d %d %s follows %d", e.Previous, e.Sequence, e.Op, last)
				}
				last = e.Sequence
				size += len(e.Fields["full_name"])
			}
			biggest = max(biggest, size)
			seen += len(p.Events)
			at = p.Sequence
			if !p.More {
				break
			}
		}
		if seen != 225+30 || at != 930 || biggest > 7<<20 {
			t.Errorf("%d events up to %d, the largest page has %d bytes", seen, at, biggest)
		}
	})
}

func TestEvents_ASlowConsumerIsEnded(t *testing.T) {
	c := onSQLite(t)
	h := newHub(c, func(_ *feed.Config, a *FeedsConfig) { a.Stall, a.Streams = 200*time.Millisecond, 1 })
	issued := h.add(feed.Subscription{})
	ch := c.chains[0]
	for n := range 64 {
		big := c.resident(ch, n, "31825")
		big.Values[1] = text(strings.Repeat("x", 1<<20))
		c.apply(ch, big)
	}
	// A consumer that asks and then never reads.
	conn, err := net.Dial("tcp", h.addr)
	check(t, err)
	defer func() { _ = conn.Close() }()
	check(t, conn.(*net.TCPConn).SetReadBuffer(4096))
	_, err = fmt.Fprintf(conn, "GET /feeds/v1/bhxh/events?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", issued.Key)
	check(t, err)
	taken := false
	eventually(t, "its place is free again", func() bool {
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, h.url()+"/feeds/v1/bhxh/events?after=64", nil)
		check(t, err)
		request.Header.Set("Authorization", "Bearer "+issued.Key)
		answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
		check(t, err)
		_ = answer.Body.Close()
		taken = taken || answer.StatusCode == http.StatusTooManyRequests
		return taken && answer.StatusCode == http.StatusOK
	})
}

func TestFeeds_AuditsWhatIsRead(t *testing.T) {
	c := onSQLite(t)
	h := newHub(c, nil)
	ch := c.chains[0]
	personal := h.add(feed.Subscription{ID: "personal"})
	harmless := h.add(feed.Subscription{ID: "harmless", Fields: []string{"commune", "alive"}})
	c.apply(ch, c.resident(ch, 1, "31825"), c.resident(ch, 2, "31825"))
	c.apply(ch, c.gone(ch, 1))
	h.page(personal, 0, 100)
	h.page(harmless, 0, 100)
	h.call("GET", "/feeds/v1/personal/snapshot", personal.Key, nil, "")
	want := []feed.Access{
		{Subscription: "personal", Consumer: "BHXH Việt Nam", Member: "G33", Dataset: residents, Delivery: feed.Pull, Records: 1, From: 0, To: 3},
		{Subscription: "personal", Consumer: "BHXH Việt Nam", Member: "G33", Dataset: residents, Records: 1, From: 0, To: 3},
	}
	eventually(t, "both reads are told", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.audited) >= 2 })
	h.mu.Lock()
	defer h.mu.Unlock()
	if diff := cmp.Diff(want, h.audited); diff != "" {
		t.Errorf("audited (-want +got):\n%s", diff)
	}
}

// build makes a bulk file and waits for it.
func (h *hub) build(issued *feed.Issued, format feed.Format) feed.File {
	h.c.tb.Helper()
	answer, body := h.call("POST", "/feeds/v1/"+issued.Subscription.ID+"/files", issued.Key, nil, `{"format":"`+string(format)+`"}`)
	if answer.StatusCode != http.StatusAccepted {
		h.c.tb.Fatalf("%s: %s", answer.Status, body)
	}
	var file feed.File
	check(h.c.tb, json.Unmarshal(body, &file))
	eventually(h.c.tb, "the file is built", func() bool {
		_, body := h.call("GET", answer.Header.Get("Location")+"/manifest", issued.Key, nil, "")
		check(h.c.tb, json.Unmarshal(body, &file))
		return file.State != feed.Building
	})
	if file.State != feed.Ready {
		h.c.tb.Fatalf("the file is %+v", file)
	}
	return file
}

func TestFiles_HaveEveryRow(t *testing.T) {
	onBoth(t, func(t *testing.T, c *country) {
		h := newHub(c, nil)
		issued := h.add(feed.Subscription{Rows: &feed.Rows{Field: "commune", In: []string{"31825", "26734"}}})
		for range 40 {
			c.live(300)
		}
		empty := c.resident(c.chains[0], 5000, "31825")
		empty.Values[1], empty.Values[9] = text(""), text("")
		odd := c.resident(c.chains[0], 5001, "31825")
		odd.Values[1], odd.Values[4] = text("a,\"b\"\r\n c"), text("-123456789012345678901234567890.000000001")
		c.apply(c.chains[0], empty, odd)
		want := h.truth(issued.Subscription, func(commune string) bool { return commune == "31825" || commune == "26734" })
		rows := 0
		for _, n := range want {
			rows += n
		}
		for _, format := range []feed.Format{feed.Parquet, feed.CSV, feed.NDJSON} {
			file := h.build(issued, format)
			answer, body := h.call("GET", "/feeds/v1/bhxh/files/"+file.Name, issued.Key, nil, "")
			sum := sha256.Sum256(body)
			if hex.EncodeToString(sum[:]) != file.SHA256 || answer.Header.Get(feed.HeaderSequence) != strconv.FormatUint(file.Sequence, 10) || file.Sequence != h.head() {
				t.Errorf("%s: manifest %+v and file do not agree", format, file)
			}
			var got map[string]int
			switch format {
			case feed.Parquet:
				got = parquetRows(t, body, issued.Subscription.Fields)
			case feed.CSV:
				got = csvRows(t, body)
			case feed.NDJSON:
				got = map[string]int{}
				for line := range strings.Lines(string(body)) {
					var r feed.Record
					check(t, json.Unmarshal([]byte(line), &r))
					row, err := json.Marshal(r.Fields)
					check(t, err)
					got[string(row)]++
				}
			}
			if diff := cmp.Diff(want, got); diff != "" || int(file.Rows) != rows {
				t.Errorf("%s has %d rows, want %d:\n%.1500s", format, file.Rows, rows, diff)
			}
		}
	})
}

func parquetRows(t *testing.T, body []byte, fields []string) map[string]int {
	t.Helper()
	path := t.TempDir() + "/x.parquet"
	check(t, os.WriteFile(path, body, 0o600))
	file, err := os.Open(path)
	check(t, err)
	defer func() { _ = file.Close() }()
	opened, err := parquet.OpenFile(file, int64(len(body)))
	check(t, err)
	var names []string
	kinds := map[string]string{}
	for _, f := range opened.Schema().Fields() {
		names = append(names, f.Name())
		kinds[f.Name()] = f.Type().String()
	}
	if diff := cmp.Diff(append([]string{"_id", "_version", "_at"}, fields...), names); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	wantKinds := map[string]string{
		"_id": "STRING", "_version": "INT(64,true)", "_at": "TIMESTAMP(isAdjustedToUTC=true,unit=MICROS)", "number": "STRING", "full_name": "STRING", "commune": "STRING",
		"born": "DATE", "income": "STRING", "score": "DOUBLE", "alive": "BOOLEAN", "household": "INT(64,true)", "updated": "TIMESTAMP(isAdjustedToUTC=true,unit=MICROS)", "photo": "BYTE_ARRAY",
	}
	if diff := cmp.Diff(wantKinds, kinds); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
	got := map[string]int{}
	reader := parquet.NewReader(opened)
	defer func() { _ = reader.Close() }()
	buffer := make([]parquet.Row, 100)
	for {
		n, err := reader.ReadRows(buffer)
		for _, row := range buffer[:n] {
			values := map[string]any{}
			for _, v := range row {
				if v.Column() < 3 {
					continue
				}
				name := fields[v.Column()-3]
				switch {
				case v.IsNull():
					values[name] = nil
				case name == "born":
					values[name] = time.Unix(int64(v.Int32())*86400, 0).UTC().Format(time.DateOnly)
				case name == "updated":
					values[name] = time.UnixMicro(v.Int64()).UTC().Format("2006-01-02T15:04:05.000000Z")
				case name == "household":
					values[name] = v.Int64()
				case name == "alive":
					values[name] = v.Boolean()
				case name == "score":
					values[name] = v.Double()
				case name == "photo":
					values[name] = v.ByteArray()
				default:
					values[name] = string(v.ByteArray())
				}
			}
			body, err := json.Marshal(values)
			check(t, err)
			got[string(body)]++
		}
		if errors.Is(err, io.EOF) {
			return got
		}
		check(t, err)
	}
}

func csvRows(t *testing.T, body []byte) map[string]int {
	t.Helper()
	got := map[string]int{}
	// The reader cannot tell "" from nothing; the files can.
	const nothing = "\x01"
	marked := strings.ReplaceAll(strings.ReplaceAll(string(body), `,"",`, `,`+nothing+`,`), `,""`+"\r\n", `,`+nothing+"\r\n")
	in := csv.NewReader(strings.NewReader(marked))
	header, err := in.Read()
	check(t, err)
	for {
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			return got
		}
		check(t, err)
		row := map[string]any{}
		for i, cell := range cells {
			if i < 3 {
				continue
			}
			switch {
			case cell == "":
				row[header[i]] = nil
			case cell == nothing:
				row[header[i]] = ""
			case header[i] == "household", header[i] == "score":
				row[header[i]] = json.Number(cell)
			case header[i] == "alive":
				row[header[i]] = cell == "true"
			default:
				row[header[i]] = strings.ReplaceAll(cell, "a,\"b\"\n c", "a,\"b\"\r\n c") // encoding/csv folds CRLF inside quotes
			}
		}
		out, err := json.Marshal(row)
		check(t, err)
		got[string(out)]++
	}
}

func TestFiles_InterruptedDownloadsGoOn(t *testing.T) {
	c := onSQLite(t)
	clock := &atomic.Int64{}
	start := time.Now()
	h := newHub(c, func(f *feed.Config, a *FeedsConfig) {
		f.Now = func() time.Time { return start.Add(time.Duration(clock.Load())) }
		a.Now = f.Now
	})
	issued := h.add(feed.Subscription{})
	other := h.add(feed.Subscription{ID: "other"})
	for range 100 {
		c.live(2000)
	}
	file := h.build(issued, feed.CSV)
	path := "/feeds/v1/bhxh/files/" + file.Name
	h.refused("GET", "/feeds/v1/other/files/"+file.Name, other.Key, "", 404, "feed.file")
	// The line is cut in the middle, and the hub restarts.
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, h.url()+path, nil)
	check(t, err)
	request.Header.Set("Authorization", "Bearer "+issued.Key)
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	check(t, err)
	have := make([]byte, file.Bytes/3)
	_, err = io.ReadFull(answer.Body, have)
	check(t, err)
	_ = answer.Body.Close()
	h.restart()
	rest, body := h.call("GET", path, issued.Key, http.Header{
		"Range": {fmt.Sprintf("bytes=%d-", len(have))}, "If-Range": {answer.Header.Get("ETag")},
	}, "")
	if rest.StatusCode != http.StatusPartialContent {
		t.Fatalf("going on is answered %s", rest.Status)
	}
	sum := sha256.Sum256(append(have, body...))
	if hex.EncodeToString(sum[:]) != answer.Header.Get("Lienthong-Sha256") || answer.Header.Get("Lienthong-Sha256") != file.SHA256 {
		t.Error("the two parts are not the file")
	}
	// Of another file nothing may be glued on.
	if whole, body := h.call("GET", path, issued.Key, http.Header{"Range": {"bytes=10-"}, "If-Range": {`"other"`}}, ""); whole.StatusCode != http.StatusOK || int64(len(body)) != file.Bytes {
		t.Errorf("a range of another file is answered %s with %d bytes", whole.Status, len(body))
	}
	for range 3 {
		h.build(issued, feed.CSV)
	}
	h.refused("POST", "/feeds/v1/bhxh/files", issued.Key, `{"format":"csv"}`, 409, "feed.files")
	if answer, _ := h.call("DELETE", path, issued.Key, nil, ""); answer.StatusCode != http.StatusNoContent {
		t.Errorf("removing is answered %s", answer.Status)
	}
	h.refused("GET", path, issued.Key, "", 404, "feed.file")
	clock.Store(int64(25 * time.Hour))
	_, list := h.call("GET", "/feeds/v1/bhxh/files", issued.Key, nil, "")
	var files struct{ Files []feed.File }
	check(t, json.Unmarshal(list, &files))
	if len(files.Files) != 3 {
		t.Errorf("%d files are listed, want 3", len(files.Files))
	}
	h.refused("GET", "/feeds/v1/bhxh/files/"+files.Files[0].Name, issued.Key, "", 404, "feed.file")
	h.build(issued, feed.CSV) // the expired ones make room
	left, err := os.ReadDir(h.config.Dir + "/bhxh")
	check(t, err)
	if len(left) != 2 {
		t.Errorf("%d files lie on the disk, want one and its manifest", len(left))
	}
}

func TestFeeds_OpenAPIHasEveryRoute(t *testing.T) {
	c := onSQLite(t)
	h := newHub(c, nil)
	answer, body := h.call("GET", "/feeds/v1/openapi.json", "", nil, "")
	var document struct {
		OpenAPI string                                `json:"openapi"`
		Paths   map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(body, &document); err != nil || answer.StatusCode != http.StatusOK || !strings.HasPrefix(document.OpenAPI, "3.1.") {
		t.Fatalf("%s: %v", answer.Status, err)
	}
	described := map[string]bool{}
	for path, operations := range document.Paths {
		for method := range operations {
			if method != "parameters" {
				described[strings.ToUpper(method)+" "+path] = true
			}
		}
	}
	served := map[string]bool{"GET /feeds/v1/openapi.json": true}
	for _, r := range (&feeds{}).routes() {
		served[r.pattern] = true
	}
	if diff := cmp.Diff(served, described); diff != "" {
		t.Errorf("served and described differ:\n%s", diff)
	}
	// Every reference leads somewhere.
	var all any
	check(t, json.Unmarshal(body, &all))
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				at := all
				for _, part := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
					m, _ := at.(map[string]any)
					at = m[part]
				}
				if at == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(all)
}
