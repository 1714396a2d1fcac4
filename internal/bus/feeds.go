package bus

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/lienthong/lienthong"
)

// FeedsConfig configures the door for consumers of change feeds.
type FeedsConfig struct {
	Name   string
	Listen string      // host:port; port 0 picks a free one
	TLS    *tls.Config // required off loopback
	// Authorise says whether a consumer may connect with its subscription as the user and
	// its key as the password.
	Authorise func(ctx context.Context, id, key string) error
	// Answer answers what a consumer asks on feed.<id>.<verb>.
	Answer func(ctx context.Context, id, verb string, body []byte) []byte
	Log    *slog.Logger
}

// Feeds is a NATS server of its own for consumers: nothing that nodes send passes
// through it, and it keeps nothing. A consumer hears feed.<id>.live, asks on feed.<id>.pull
// and feed.<id>.file, and gets answers in inboxes below _INBOX.<id>; it can reach no other subject.
type Feeds struct {
	config FeedsConfig
	server *server.Server
	conn   *nats.Conn
	stop   context.CancelFunc
	work   sync.WaitGroup
}

const (
	feedAnswers = 4        // requests that are answered at once
	feedPayload = 32 << 20 // a page with one very large record
	feedHub     = "_hub"   // user of the hub's own connection; no subscription can have this id
)

// StartFeeds listens for consumers. Close ends it.
func StartFeeds(ctx context.Context, config FeedsConfig) (*Feeds, error) {
	host, port, err := splitHostPort(config.Listen)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); config.TLS == nil && (ip == nil || !ip.IsLoopback()) {
		return nil, &lienthong.Error{
			Code: "listen.tls", Where: config.Listen, Vi: "ngoài máy này thì phải dùng TLS", En: "off this machine TLS is required", Hint: "127.0.0.1:4333",
		}
	}
	if err := free(ctx, config.Listen); err != nil {
		return nil, err
	}
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	guard := &feedGuard{authorise: func(id, key string) error { return config.Authorise(runCtx, id, key) }, own: rand.Text()}
	s, err := server.NewServer(&server.Options{
		ServerName: config.Name + "-feeds", Host: host, Port: port, NoSigs: true, NoLog: true, NoSystemAccount: true,
		TLSConfig: config.TLS, TLSTimeout: 10, AuthTimeout: 10, MaxPayload: feedPayload, MaxPending: 2 * feedPayload, MaxControlLine: 4 << 10,
		MaxConn: 1024, MaxSubs: 64, WriteDeadline: 30 * time.Second, PingInterval: 10 * time.Second, MaxPingsOut: 2,
		CustomClientAuthentication: guard,
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("bus: open feeds: %w", err)
	}
	s.SetLoggerV2(&natsLogger{ctx: context.WithoutCancel(ctx), log: config.Log}, false, false, false)
	f := &Feeds{config: config, server: s, stop: cancel}
	s.Start()
	if !s.ReadyForConnections(startTimeout) {
		f.Close()
		return nil, fmt.Errorf("bus: feeds are not ready after %s", startTimeout)
	}
	if f.conn, err = nats.Connect("", nats.InProcessServer(s), nats.UserInfo(feedHub, guard.own), nats.MaxReconnects(-1), nats.NoEcho()); err != nil {
		f.Close()
		return nil, fmt.Errorf("bus: connect to feeds: %w", err)
	}
	requests := make(chan *nats.Msg, 256)
	for _, verb := range []string{"pull", "file"} {
		if _, err := f.conn.ChanSubscribe("feed.*."+verb, requests); err != nil {
			f.Close()
			return nil, fmt.Errorf("bus: subscribe: %w", err)
		}
	}
	// A consumer that asks at once must find somebody who answers.
	if err := f.conn.FlushTimeout(startTimeout); err != nil {
		f.Close()
		return nil, fmt.Errorf("bus: subscribe: %w", err)
	}
	for range feedAnswers {
		f.work.Go(func() {
			for {
				select {
				case m := <-requests:
					f.answer(runCtx, m)
				case <-runCtx.Done():
					return
				}
			}
		})
	}
	return f, nil
}

// answer serves one request. The reply goes to the consumer's own inbox and nowhere
// else: another subject could be another consumer's.
func (f *Feeds) answer(ctx context.Context, m *nats.Msg) {
	parts := strings.Split(m.Subject, ".")
	if len(parts) != 3 || !strings.HasPrefix(m.Reply, "_INBOX."+parts[1]+".") {
		return
	}
	if err := f.conn.Publish(m.Reply, f.config.Answer(ctx, parts[1], parts[2], m.Data)); err != nil {
		f.config.Log.WarnContext(ctx, "feed answer not sent", slog.String("subscription", parts[1]), slog.Any("error", err))
	}
}

// feedGuard lets a consumer reach what is its own.
type feedGuard struct {
	authorise func(id, key string) error
	own       string // the password of the hub's own connection
}

// Check implements server.Authentication.
func (g *feedGuard) Check(c server.ClientAuthentication) bool {
	given := c.GetOpts()
	if c.Kind() != server.CLIENT {
		return false
	}
	id := given.Username
	if subtle.ConstantTimeCompare([]byte(given.Password), []byte(g.own)) == 1 {
		c.RegisterUser(&server.User{Username: feedHub})
		return true
	}
	if !NodeName(id) || g.authorise(id, given.Password) != nil {
		return false
	}
	c.RegisterUser(&server.User{Username: id, Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{"feed." + id + ".pull", "feed." + id + ".file"}},
		Subscribe: &server.SubjectPermission{Allow: []string{"feed." + id + ".live", "_INBOX." + id + ".>"}},
	}})
	return true
}

// Addr is the address that consumers connect to.
func (f *Feeds) Addr() string { return f.server.Addr().String() }

// Listening reports whether a consumer hears the subscription's live changes.
func (f *Feeds) Listening(id string) bool {
	return f.server.GlobalAccount().SubscriptionInterest("feed." + id + ".live")
}

// Publish sends live changes of a subscription.
func (f *Feeds) Publish(id string, body []byte) error {
	if err := f.conn.Publish("feed."+id+".live", body); err != nil {
		return fmt.Errorf("bus: publish changes of %s: %w", id, err)
	}
	return nil
}

// Expel ends the connections of a subscription.
func (f *Feeds) Expel(id string) {
	const page = 1024
	connections, err := f.server.Connz(&server.ConnzOptions{Username: true, Limit: page})
	if err != nil {
		return // the server is closing
	}
	for _, c := range connections.Conns {
		if c.AuthorizedUser == id {
			_ = f.server.DisconnectClientByID(c.Cid) // it may have gone by itself
		}
	}
}

// Close ends all connections.
func (f *Feeds) Close() {
	f.stop()
	f.work.Wait()
	if f.conn != nil {
		f.conn.Close()
	}
	f.server.Shutdown()
	f.server.WaitForShutdown()
}
