package feed

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/lienthong/lienthong"
)

// Bus is a message bus on which consumers listen.
type Bus interface {
	// Listening reports whether somebody hears what is published for the subscription.
	Listening(id string) bool
	Publish(id string, body []byte) error
	// Expel ends the connections of a subscription whose key is no longer good.
	Expel(id string)
}

// Live publishes changes as they happen to the subscriptions that allow it, until ctx
// ends. What is published while nobody listens is not kept: a consumer closes the gap by asking.
func (f *Feeds) Live(ctx context.Context, bus Bus) {
	type running struct {
		generation int
		stop       context.CancelFunc
		done       <-chan struct{}
	}
	runs := map[string]running{}
	defer func() {
		for _, r := range runs {
			r.stop()
			<-r.done
		}
	}()
	for {
		changed := f.Changed()
		wanted := map[string]*reader{}
		f.mu.Lock()
		for id, r := range f.active {
			if slices.Contains(r.Deliveries, NATS) {
				wanted[id] = r
			}
		}
		f.mu.Unlock()
		for id, run := range runs {
			if r := wanted[id]; r == nil || r.Generation != run.generation {
				run.stop()
				<-run.done
				delete(runs, id)
				bus.Expel(id)
			}
		}
		for id, r := range wanted {
			if _, there := runs[id]; !there {
				reader := &Reader{feeds: f, reader: r, delivery: NATS}
				stop, done := f.background(ctx, func(ctx context.Context) { reader.publish(ctx, bus) })
				runs[id] = running{r.Generation, stop, done}
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// interestEvery is how often to look whether somebody listens.
const interestEvery = time.Second

func (r *Reader) publish(ctx context.Context, bus Bus) {
	id := r.reader.ID
	defer func() { r.Done(context.WithoutCancel(ctx)) }()
	at, told, listening := uint64(0), uint64(0), false
	for ctx.Err() == nil {
		if err := r.Current(ctx); err != nil {
			bus.Expel(id)
			if !r.pause(ctx, nil, r.Heartbeat()) {
				return
			}
			listening = false
			continue
		}
		if !bus.Listening(id) {
			listening = false
			r.Done(ctx)
			if !r.pause(ctx, nil, interestEvery) {
				return
			}
			continue
		}
		changed := r.Changed()
		var err error
		if !listening {
			if at, err = r.Head(ctx); err == nil {
				listening, told = true, at
			}
		}
		var page *Page
		if err == nil {
			page, err = r.changes(ctx, at, told, liveEvents)
		}
		if err != nil {
			listening = false // begin again at the head
			if ctx.Err() == nil {
				r.feeds.config.Log.WarnContext(ctx, "feed: changes not published", slog.String("subscription", id), slog.Any("error", err))
			}
			if !r.pause(ctx, nil, interestEvery) {
				return
			}
			continue
		}
		at = page.Sequence
		if len(page.Events) > 0 {
			r.read(ctx, page.upserts, page.Previous, page.Sequence)
			if err := bus.Publish(id, page.AppendJSON(nil, id)); err != nil {
				listening = false // the consumer sees the gap and asks
				continue
			}
			told = page.Sequence
		}
		if !page.More && !r.pause(ctx, changed, interestEvery) {
			return
		}
	}
}

const liveEvents = 200

// pause waits for a signal or so long; false when ctx has ended.
func (r *Reader) pause(ctx context.Context, signal <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-signal:
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// MayConnect reports whether a consumer may connect to the bus.
func (f *Feeds) MayConnect(ctx context.Context, id, key string) error {
	_, err := f.Authorise(ctx, id, key, NATS)
	return err
}

// question is what a consumer asks over the bus.
type question struct {
	After  uint64 `json:"after"`
	Limit  int    `json:"limit"`
	Format Format `json:"format"`
	Name   string `json:"name"`
	Offset *int64 `json:"offset"`
}

// filePiece is how much of a file one answer over the bus has.
const filePiece = 1 << 20

// Answer answers a request of a connected consumer: "pull" with a page of changes; "file"
// with a new bulk file's manifest, a manifest, or a piece of a file's bytes.
func (f *Feeds) Answer(ctx context.Context, id, verb string, body []byte) []byte {
	answer, err := f.answer(ctx, id, verb, body)
	if err == nil {
		return answer
	}
	var coded *lienthong.Error
	if !errors.As(err, &coded) {
		f.config.Log.WarnContext(ctx, "feed: request failed", slog.String("subscription", id), slog.Any("error", err))
		coded = problem("internal", "", "lỗi bên trong", "an internal error", "thử lại sau / try again later")
	}
	refused, _ := json.Marshal(map[string]any{"error": map[string]string{"code": coded.Code, "vi": coded.Vi, "en": coded.En, "hint": coded.Hint}}) // strings never fail
	return refused
}

func (f *Feeds) answer(ctx context.Context, id, verb string, body []byte) ([]byte, error) {
	registered, found := f.find(id)
	if !found {
		return nil, unknown(id)
	}
	r, err := f.authorised(ctx, registered, NATS)
	if err != nil {
		return nil, err
	}
	defer r.Done(ctx)
	var q question
	if len(body) > 0 {
		if err := json.Unmarshal(body, &q); err != nil {
			return nil, problem("feed.request", "", "yêu cầu không phải JSON đúng dạng", "the request is not JSON of the right form", `{"after":0,"limit":100}`)
		}
	}
	switch {
	case verb == "pull":
		if q.Limit == 0 {
			q.Limit = liveEvents
		}
		page, err := r.Changes(ctx, q.After, q.Limit)
		if err != nil {
			return nil, err
		}
		return page.AppendJSON(nil, id), nil
	case verb == "file" && q.Name == "":
		if q.Format == "" {
			q.Format = NDJSON
		}
		manifest, err := r.Build(ctx, q.Format)
		if err != nil {
			return nil, err
		}
		return json.Marshal(manifest)
	case verb == "file" && q.Offset == nil:
		manifest, err := r.File(q.Name)
		if err != nil {
			return nil, err
		}
		return json.Marshal(manifest)
	case verb == "file":
		file, _, err := r.Open(ctx, q.Name, *q.Offset == 0)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		piece := make([]byte, filePiece)
		n, err := file.ReadAt(piece, max(*q.Offset, 0))
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return piece[:n], nil
	}
	return nil, problem("feed.request", verb, "không có yêu cầu này", "no such request", "pull, file")
}

// Ended is closed when the feeds end: streams end with it.
func (f *Feeds) Ended() <-chan struct{} { return f.ended }
