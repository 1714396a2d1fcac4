package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/bus"
	"github.com/lienthong/lienthong/internal/feed"
)

// door is the NATS side of a hub.
type door struct {
	*bus.Feeds
	stop func()
}

func openDoor(h *hub, listen string) *door {
	h.c.tb.Helper()
	b, err := bus.StartFeeds(context.Background(), bus.FeedsConfig{
		Name: "hub", Listen: listen, Authorise: h.feeds.MayConnect, Answer: h.feeds.Answer, Log: slog.New(slog.DiscardHandler),
	})
	check(h.c.tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	var live sync.WaitGroup
	live.Go(func() { h.feeds.Live(ctx, b) })
	return &door{b, sync.OnceFunc(func() { cancel(); live.Wait(); b.Close() })}
}

// natsConsumer does what the handbook tells a consumer on NATS to do.
type natsConsumer struct {
	shelf
	tb   testing.TB
	id   string
	conn *nats.Conn
}

func dial(tb testing.TB, addr, id, key string) (*nats.Conn, error) {
	tb.Helper()
	return nats.Connect("nats://"+addr, nats.UserInfo(id, key), nats.CustomInboxPrefix("_INBOX."+id), nats.MaxReconnects(-1),
		nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0))
}

func (n *natsConsumer) ask(verb, question string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	m, err := n.conn.RequestWithContext(ctx, "feed."+n.id+"."+verb, []byte(question))
	if err != nil {
		return nil, err
	}
	var refused struct{ Error refusal }
	if json.Unmarshal(m.Data, &refused) == nil && refused.Error.Code != "" {
		return nil, &lienthong.Error{Code: refused.Error.Code, En: refused.Error.En}
	}
	return m.Data, nil
}

func (n *natsConsumer) snapshot() {
	n.tb.Helper()
	answer, err := n.ask("file", `{"format":"ndjson"}`)
	check(n.tb, err)
	var file feed.File
	check(n.tb, json.Unmarshal(answer, &file))
	eventually(n.tb, "the file is built", func() bool {
		answer, err := n.ask("file", `{"name":"`+file.Name+`"}`)
		check(n.tb, err)
		check(n.tb, json.Unmarshal(answer, &file))
		return file.State == feed.Ready
	})
	var body []byte
	for int64(len(body)) < file.Bytes {
		question, err := json.Marshal(map[string]any{"name": file.Name, "offset": len(body)})
		check(n.tb, err)
		piece, err := n.ask("file", string(question))
		check(n.tb, err)
		body = append(body, piece...)
	}
	check(n.tb, n.Reset(context.Background()))
	in := json.NewDecoder(bytes.NewReader(body))
	for {
		var r feed.Record
		err := in.Decode(&r)
		if errors.Is(err, io.EOF) {
			break
		}
		check(n.tb, err)
		check(n.tb, n.Put(context.Background(), &r))
	}
	check(n.tb, n.Moved(context.Background(), file.Sequence))
}

// take applies a page if it continues what the consumer has.
func (n *natsConsumer) take(body []byte) bool {
	var p page
	if err := json.Unmarshal(body, &p); err != nil {
		n.tb.Error(err)
		return false
	}
	if p.Previous > n.position() {
		return false
	}
	for _, e := range p.Events {
		if e.Op == "delete" {
			check(n.tb, n.Delete(context.Background(), e.ID))
		} else {
			check(n.tb, n.Put(context.Background(), &feed.Record{ID: e.ID, Fields: e.Fields}))
		}
	}
	if p.Sequence > n.position() {
		check(n.tb, n.Moved(context.Background(), p.Sequence))
	}
	return true
}

// pull closes the gap.
func (n *natsConsumer) pull() error {
	for {
		question, err := json.Marshal(map[string]any{"after": n.position(), "limit": 50})
		check(n.tb, err)
		answer, err := n.ask("pull", string(question))
		if err != nil {
			return err
		}
		if !n.take(answer) {
			n.tb.Error("an answer does not continue what was asked for")
		}
		var p page
		check(n.tb, json.Unmarshal(answer, &p))
		if !p.More {
			return nil
		}
	}
}

func TestNATS_LiveAndPull(t *testing.T) {
	onBoth(t, func(t *testing.T, c *country) {
		for range 10 {
			c.live(200)
		}
		h := newHub(c, nil)
		in318 := func(commune string) bool { return commune == "31825" || commune == "31828" }
		issued := h.add(feed.Subscription{ID: "so-y-te", Deliveries: []feed.Delivery{feed.NATS}, Rows: &feed.Rows{Field: "commune", Province: "96"}})
		d := openDoor(h, "127.0.0.1:0")
		defer func() { d.stop() }()
		conn, err := dial(t, d.Addr(), "so-y-te", issued.Key)
		check(t, err)
		defer conn.Close()
		n := &natsConsumer{tb: t, id: "so-y-te", conn: conn}
		messages := make(chan *nats.Msg, 1000)
		_, err = conn.ChanSubscribe("feed.so-y-te.live", messages)
		check(t, err)
		check(t, conn.Flush())
		n.snapshot()
		live := 0
		settle := func() {
			t.Helper()
			head := h.head()
			check(t, n.pull())
			for n.position() < head { // what is passed over is not published: ask from time to time
				select {
				case m := <-messages:
					if !n.take(m.Data) {
						check(t, n.pull())
					} else {
						live++
					}
				case <-time.After(200 * time.Millisecond):
					check(t, n.pull())
				}
			}
			want, got := h.truth(issued.Subscription, in318), n.rows()
			if len(want) == 0 || len(want) != len(got) {
				t.Fatalf("%d rows, want %d", len(got), len(want))
			}
			for row := range want {
				if got[row] != want[row] {
					t.Fatal("a row differs")
				}
			}
		}
		settle()
		ch := c.chains[0]
		for live == 0 { // until the publisher has found that somebody listens
			c.apply(ch, c.resident(ch, 1, "31825"))
			select {
			case m := <-messages:
				if n.take(m.Data) {
					live++
				} else {
					check(t, n.pull())
				}
			case <-time.After(100 * time.Millisecond):
			}
		}
		for round := range 6 {
			for range 5 {
				c.live(200)
			}
			if round == 2 || round == 4 { // the door goes, and the consumer comes back by itself
				addr := d.Addr()
				d.stop()
				c.live(200)
				d = openDoor(h, addr)
				eventually(t, "the consumer is back", conn.IsConnected)
			}
			settle()
		}
	})
}

func TestNATS_ReachesOnlyItsOwn(t *testing.T) {
	c := onSQLite(t)
	c.live(50)
	h := newHub(c, nil)
	mine := h.add(feed.Subscription{ID: "mine", Deliveries: []feed.Delivery{feed.NATS}})
	theirs := h.add(feed.Subscription{ID: "theirs", Deliveries: []feed.Delivery{feed.NATS}})
	deaf := h.add(feed.Subscription{ID: "deaf"})
	d := openDoor(h, "127.0.0.1:0")
	defer d.stop()
	for id, key := range map[string]string{"mine": theirs.Key, "nobody": mine.Key, "deaf": deaf.Key, "_hub": "", "": ""} {
		if conn, err := dial(t, d.Addr(), id, key); err == nil {
			conn.Close()
			t.Errorf("%q was let in", id)
		}
	}
	conn, err := dial(t, d.Addr(), "mine", mine.Key)
	check(t, err)
	defer conn.Close()
	refused := make(chan error, 16)
	conn.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })
	ears := 0
	for _, subject := range []string{"feed.theirs.live", ">", "feed.>", "_INBOX.theirs.>", "_INBOX.>", "$SYS.>"} {
		_, err := conn.SubscribeSync(subject)
		check(t, err)
		ears++
	}
	for _, subject := range []string{"feed.theirs.pull", "feed.theirs.live", "feed.mine.live"} {
		check(t, conn.Publish(subject, []byte(`{"after":0}`)))
		ears++
	}
	check(t, conn.Flush())
	for n := range ears {
		select {
		case err := <-refused:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("refusal %d is %v", n, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%d of %d were refused", n, ears)
		}
	}
	// The hub does not carry an answer to where another listens.
	other, err := dial(t, d.Addr(), "theirs", theirs.Key)
	check(t, err)
	defer other.Close()
	heard, err := other.SubscribeSync("feed.theirs.live")
	check(t, err)
	check(t, other.Flush())
	check(t, conn.PublishRequest("feed.mine.pull", "feed.theirs.live", []byte(`{"after":0}`)))
	n := &natsConsumer{tb: t, id: "mine", conn: conn}
	if _, err := n.ask("pull", `{"after":0}`); err != nil { // it came after the forged one
		t.Fatal(err)
	}
	if m, err := heard.NextMsg(50 * time.Millisecond); err == nil {
		t.Errorf("another consumer was told %s", m.Data)
	}
	// A replaced key ends the connection.
	eventually(t, "the publisher runs", func() bool { return !d.Listening("mine") })
	_, err = h.feeds.Rekey(context.Background(), "mine")
	check(t, err)
	eventually(t, "it is expelled", func() bool { return !conn.IsConnected() })
	_, err = bus.StartFeeds(context.Background(), bus.FeedsConfig{Listen: "0.0.0.0:0"})
	wantCode(t, err, "listen.tls")
}
