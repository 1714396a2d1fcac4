package feed

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// Record is a record as a consumer gets it.
type Record struct {
	ID      string                     `json:"id"`
	Version int64                      `json:"version"`
	At      string                     `json:"at"`
	Fields  map[string]json.RawMessage `json:"fields"`
}

// Target is where a consumer keeps what it follows. What comes between two calls of
// Moved may come again after a restart: all of it is idempotent.
type Target interface {
	// Reset says that a snapshot begins: what is not in it is not there any more.
	Reset(ctx context.Context) error
	Put(ctx context.Context, record *Record) error
	Delete(ctx context.Context, id string) error
	// Moved says that everything up to the sequence has been delivered. A consumer that keeps
	// its position keeps it here.
	Moved(ctx context.Context, sequence uint64) error
}

// FollowConfig says what to follow.
type FollowConfig struct {
	URL          string // of the hub: https://hub:7424
	Subscription string
	Key          string
	Client       *http.Client // default: http.DefaultClient
	// After is the sequence that Target has reached. nil: begin with a snapshot.
	After  *uint64
	Target Target
	// Pause is how long to wait after a failure. Default: 1 second.
	Pause time.Duration
	// Gap is told of each gap that was found, and closed by reading again.
	Gap func(expected, previous uint64)
	// Resync is told of each new snapshot after the first.
	Resync func()
}

// Follow keeps a target equal to what a subscription shows: snapshot, then changes by
// server-sent events, again after every failure, until ctx ends or the hub says that the key
// is not good. It is the client that the handbook shows, and what a hub uses to follow another.
func Follow(ctx context.Context, config FollowConfig) error {
	if config.Client == nil {
		config.Client = http.DefaultClient
	}
	if config.Pause == 0 {
		config.Pause = time.Second
	}
	f := &following{FollowConfig: config}
	if config.After != nil {
		f.at, f.placed = *config.After, true
	}
	for {
		err := f.round(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch lienthong.ErrorCode(err) {
		case "feed.gone":
			f.placed = false
			if config.Resync != nil {
				config.Resync()
			}
			continue
		case "feed.key", "feed.expired", "feed.delivery", "feed.target":
			return err
		}
		timer := time.NewTimer(config.Pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

type following struct {
	FollowConfig
	at     uint64
	placed bool // at is good
}

func (f *following) round(ctx context.Context) error {
	if !f.placed {
		if err := f.snapshot(ctx); err != nil {
			return err
		}
	}
	return f.events(ctx)
}

func (f *following) get(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(f.URL, "/")+"/feeds/v1/"+f.Subscription+path, nil)
	if err != nil {
		return nil, fmt.Errorf("feed: follow: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+f.Key)
	response, err := f.Client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("feed: follow: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<16)) // what cannot be read is not a refusal
	return nil, refusal(body, response.Status)
}

// refusal reads a coded error as the hub writes it.
func refusal(body []byte, status string) error {
	var coded struct{ Code, Vi, En, Hint string }
	if json.Unmarshal(body, &coded) != nil || coded.Code == "" {
		return fmt.Errorf("feed: follow: the hub answers %s", status)
	}
	return &lienthong.Error{Code: coded.Code, Vi: coded.Vi, En: coded.En, Hint: coded.Hint}
}

// ofTarget marks an error that is the consumer's own.
func ofTarget(err error) error {
	if err == nil {
		return nil
	}
	return &lienthong.Error{Code: "feed.target", Vi: "nơi nhận báo lỗi", En: "the target failed", Err: err}
}

func (f *following) snapshot(ctx context.Context) error {
	response, err := f.get(ctx, "/snapshot")
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	sequence, err := strconv.ParseUint(response.Header.Get(HeaderSequence), 10, 64)
	if err != nil {
		return fmt.Errorf("feed: follow: snapshot without a sequence: %w", err)
	}
	if err := f.Target.Reset(ctx); err != nil {
		return ofTarget(err)
	}
	in := json.NewDecoder(bufio.NewReaderSize(response.Body, 64<<10))
	for {
		var record Record
		err := in.Decode(&record)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("feed: follow: read snapshot: %w", err)
		}
		if err := f.Target.Put(ctx, &record); err != nil {
			return ofTarget(err)
		}
	}
	if err := f.Target.Moved(ctx, sequence); err != nil {
		return ofTarget(err)
	}
	f.at, f.placed = sequence, true
	return nil
}

// HeaderSequence carries the sequence to go on from after a snapshot or a bulk file.
const HeaderSequence = "Lienthong-Sequence"

func (f *following) events(ctx context.Context) error {
	response, err := f.get(ctx, "/events?after="+strconv.FormatUint(f.at, 10))
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	in := bufio.NewReaderSize(response.Body, 64<<10)
	var name string
	var data []byte
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("feed: follow: read events: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0:
			if err := f.event(ctx, name, data); err != nil {
				return err
			}
			name, data = "", nil
		case bytes.HasPrefix(line, []byte("event: ")):
			name = string(line[len("event: "):])
		case bytes.HasPrefix(line, []byte("data: ")):
			data = line[len("data: "):]
		}
	}
}

func (f *following) event(ctx context.Context, name string, data []byte) error {
	switch name {
	case "error":
		return refusal(data, "error")
	case "change", "position":
	default:
		return nil // a heartbeat
	}
	var event struct {
		Record
		Sequence uint64
		Previous uint64
		Op       string
	}
	if err := json.Unmarshal(data, &event); err != nil {
		return fmt.Errorf("feed: follow: read event: %w", err)
	}
	if event.Previous != f.at {
		if f.Gap != nil {
			f.Gap(f.at, event.Previous)
		}
		return problem("feed.gap", strconv.FormatUint(f.at, 10), "thiếu sự kiện ở giữa", "events are missing in between", "")
	}
	var err error
	switch {
	case name == "position":
	case event.Op == "delete":
		err = f.Target.Delete(ctx, event.ID)
	default:
		err = f.Target.Put(ctx, &event.Record)
	}
	if err == nil {
		err = f.Target.Moved(ctx, event.Sequence)
	}
	if err != nil {
		return ofTarget(err)
	}
	f.at = event.Sequence
	return nil
}
