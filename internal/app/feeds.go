package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/api"
	"github.com/lienthong/lienthong/internal/audit"
	"github.com/lienthong/lienthong/internal/bus"
	"github.com/lienthong/lienthong/internal/dictionary"
	changefeed "github.com/lienthong/lienthong/internal/feed"
)

// FeedsConfig opens the change feeds of a hub: docs/feeds.md.
type FeedsConfig struct {
	// Listen is the address for consumers over HTTP: plain on loopback, HTTPS with the hub's own
	// certificate elsewhere. Default: off.
	Listen string `yaml:"listen"`
	// NATS is the address for consumers over NATS, TLS off loopback. Default: off.
	NATS string `yaml:"nats"`
	// Retention is how long changes are kept: "168h". Default: 168h.
	Retention Duration `yaml:"retention"`
	// Keep is how many changes of a dataset are kept at most. Default: 20000000.
	Keep uint64 `yaml:"keep"`
}

func (c *FeedsConfig) check(p *problems) {
	if c.Listen == "" && c.NATS == "" {
		p.add("feeds", "cần listen hoặc nats", "needs listen or nats", "listen: 127.0.0.1:7424")
	}
	if c.Listen != "" {
		p.address("feeds.listen", c.Listen)
	}
	if c.NATS != "" {
		p.address("feeds.nats", c.NATS)
	}
	if c.Retention < 0 || c.Retention > 0 && time.Duration(c.Retention) < time.Minute {
		p.add("feeds.retention", "phải từ 1 phút trở lên", "must be a minute or more", "168h")
	}
}

// openFeeds starts what consumers follow. Without the option only housekeeping runs:
// what subscriptions of before have logged is trimmed, and nothing is handed out.
func (h *Hub) openFeeds(ctx context.Context, words *dictionary.Dictionary) error {
	key, err := h.secret(ctx, "feed_key")
	if err != nil {
		return err
	}
	config := changefeed.Config{
		Store: h.store, Dir: filepath.Join(h.config.Data, "feeds"), Key: key, Sign: h.identity.Sign, Now: h.now, Log: h.log,
		Under: func(province string) ([]string, bool) { return communesOf(words, province, h.now()) },
		Audit: h.feedRead, Notice: h.feedNotice, Webhooks: h.config.Feeds != nil,
	}
	if h.config.Feeds != nil {
		config.Retention, config.Keep = time.Duration(h.config.Feeds.Retention), h.config.Feeds.Keep
	}
	feeds, err := changefeed.Start(ctx, config)
	if err != nil {
		return err
	}
	if h.config.Feeds != nil {
		err = h.openFeedDoors(ctx, feeds)
	}
	// Registered after the doors, so that streams are told to end before their server waits for them.
	h.closers.add(feeds.Close)
	h.feedCommands(feeds)
	return err
}

func (h *Hub) openFeedDoors(ctx context.Context, feeds *changefeed.Feeds) error {
	serverTLS := func(address string) (*tls.Config, error) {
		if loopback(address) {
			return nil, nil
		}
		return h.identity.EnrolmentTLS()
	}
	if address := h.config.Feeds.Listen; address != "" {
		secure, err := serverTLS(address)
		if err != nil {
			return err
		}
		h.feedsAddr, err = h.serve(ctx, address, api.Feeds(api.FeedsConfig{Feeds: feeds, Log: h.log, Now: h.now}), secure)
		if err != nil {
			return err
		}
	}
	address := h.config.Feeds.NATS
	if address == "" {
		return nil
	}
	secure, err := serverTLS(address)
	if err != nil {
		return err
	}
	door, err := bus.StartFeeds(ctx, bus.FeedsConfig{
		Name: h.config.Name, Listen: address, TLS: secure, Authorise: feeds.MayConnect, Answer: feeds.Answer, Log: h.log,
	})
	if err != nil {
		return err
	}
	h.feedsNATS = door.Addr()
	liveCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var live sync.WaitGroup
	live.Go(func() { feeds.Live(liveCtx, door) })
	h.closers.add(func() { cancel(); live.Wait(); door.Close() })
	return nil
}

// FeedsAddr is where consumers connect to over HTTP; empty when that is off.
func (h *Hub) FeedsAddr() string { return h.feedsAddr }

// FeedsNATSAddr is where consumers connect to over NATS; empty when that is off.
func (h *Hub) FeedsNATSAddr() string { return h.feedsNATS }

func (h *Hub) feedRead(ctx context.Context, a changefeed.Access) {
	delivery := string(a.Delivery)
	if delivery == "" {
		delivery = "snapshot"
	}
	h.note(context.WithoutCancel(ctx), audit.Entry{
		Kind: audit.Disclosure, Actor: string(a.Member) + "/" + a.Consumer, Dataset: a.Dataset.String(), Sequence: a.To,
		Detail: map[string]string{
			"subscription": a.Subscription, "delivery": delivery, "records": strconv.Itoa(a.Records), "after": strconv.FormatUint(a.From, 10),
		},
	})
}

func (h *Hub) feedNotice(ctx context.Context, id string, problem *lienthong.Error) {
	h.log.WarnContext(ctx, "feed subscription needs an operator", slog.String("subscription", id), slog.String("code", problem.Code), slog.String("hint", problem.Hint))
	h.note(context.WithoutCancel(ctx), audit.Entry{
		Kind: audit.Refusal, Actor: h.config.Name, Detail: map[string]string{"code": problem.Code, "subscription": id},
	})
}

// communesOf lists the codes of a province's communes: those of today, and those of before
// the reorganisation that no other province uses today.
func communesOf(words *dictionary.Dictionary, province string, now time.Time) ([]string, bool) {
	if _, known := words.Province(province, now); !known {
		return nil, false
	}
	before := time.UnixMicro(dictionary.Reorganised() - 1)
	former := map[string]bool{} // provinces of before that are part of it
	for _, p := range words.Provinces(before) {
		if p.MergedInto == province {
			former[p.Code] = true
		}
	}
	var codes []string
	for _, unit := range words.Communes(now) {
		if unit.Province == province {
			codes = append(codes, unit.Code)
		}
	}
	for _, unit := range words.Communes(before) {
		if _, today := words.Commune(unit.Code, now); !today && former[unit.Province] {
			codes = append(codes, unit.Code)
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes), true
}

// feedCommands is what `lienthong feed` asks the running hub for.
func (h *Hub) feedCommands(feeds *changefeed.Feeds) {
	on := func(command func(ctx context.Context, r *http.Request) (any, error)) func(ctx context.Context, r *http.Request) (any, error) {
		return func(ctx context.Context, r *http.Request) (any, error) {
			if h.config.Feeds == nil {
				return nil, &lienthong.Error{
					Code: "feed.off", Where: h.config.path, Vi: "trung tâm này không mở kênh thay đổi", En: "this hub has no change feeds",
					Hint: "đặt feeds: {listen: 127.0.0.1:7424} rồi khởi động lại / set feeds: {listen: 127.0.0.1:7424} and start again",
				}
			}
			return command(ctx, r)
		}
	}
	changed := func(ctx context.Context, event string, s *changefeed.Subscription) {
		detail := map[string]string{"event": event, "subscription": s.ID}
		if s.Consumer.Name != "" {
			detail["consumer"], detail["member"], detail["by"] = s.Consumer.Name, string(s.Consumer.Member), s.CreatedBy
		}
		h.note(ctx, audit.Entry{Kind: audit.Configuration, Actor: h.config.Name, Dataset: s.Dataset.String(), Detail: detail})
	}
	h.local.handle("POST /feeds", on(func(ctx context.Context, r *http.Request) (any, error) {
		var draft changefeed.Subscription
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&draft); err != nil {
			return nil, &lienthong.Error{Code: "feed.request", Vi: "đăng ký không đúng dạng", En: "not a subscription", Err: err}
		}
		issued, err := feeds.Add(ctx, draft)
		if err == nil {
			changed(ctx, "feed.add", &issued.Subscription)
		}
		return issued, err
	}))
	h.local.handle("GET /feeds", on(func(context.Context, *http.Request) (any, error) { return feeds.List(), nil }))
	h.local.handle("GET /feeds/{id}", on(func(ctx context.Context, r *http.Request) (any, error) {
		return feeds.Show(ctx, r.PathValue("id"))
	}))
	h.local.handle("DELETE /feeds/{id}", on(func(ctx context.Context, r *http.Request) (any, error) {
		shown, err := feeds.Show(ctx, r.PathValue("id"))
		if err == nil {
			err = feeds.Remove(ctx, r.PathValue("id"))
		}
		if err == nil {
			changed(ctx, "feed.remove", &shown.Subscription)
		}
		return nil, err
	}))
	h.local.handle("POST /feeds/{id}/key", on(func(ctx context.Context, r *http.Request) (any, error) {
		issued, err := feeds.Rekey(ctx, r.PathValue("id"))
		if err == nil {
			changed(ctx, "feed.key", &issued.Subscription)
		}
		return issued, err
	}))
	h.local.handle("POST /feeds/{id}/resume", on(func(ctx context.Context, r *http.Request) (any, error) {
		shown, err := feeds.Show(ctx, r.PathValue("id"))
		if err == nil {
			err = feeds.Resume(ctx, r.PathValue("id"))
		}
		if err == nil {
			changed(ctx, "feed.resume", &shown.Subscription)
		}
		return nil, err
	}))
}
