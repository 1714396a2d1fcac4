package telemetry

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Status is how a part is. Higher is worse.
type Status int

// The statuses.
const (
	OK       Status = iota // does its work
	Degraded               // works, and somebody should look
	Failed                 // does not do its work
)

// String is the status in the words of the interface.
func (s Status) String() string {
	switch s {
	case OK:
		return "ok"
	case Degraded:
		return "degraded"
	case Failed:
		return "failed"
	}
	return "unknown"
}

// MarshalText makes the status a word in JSON.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// State is how a part is, in words that carry no personal value.
type State struct {
	Component string    `json:"component"`
	Status    Status    `json:"status"`
	Code      string    `json:"code,omitempty"` // stable: "postgres.slot_behind"
	Vi        string    `json:"vi,omitempty"`
	En        string    `json:"en,omitempty"`
	Since     time.Time `json:"since"` // when it became so
}

// Health collects the state of every part. It is safe for concurrent use.
type Health struct {
	now    func() time.Time
	mu     sync.Mutex
	states map[string]State
}

// NewHealth returns a registry without parts. A nil clock is time.Now.
func NewHealth(now func() time.Time) *Health {
	if now == nil {
		now = time.Now
	}
	return &Health{now: now, states: make(map[string]State)}
}

// Set says how a part is. Since moves only when status or code change.
func (h *Health) Set(component string, status Status, code, vi, en string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, known := h.states[component]
	since := h.now()
	if known && before.Status == status && before.Code == code {
		since = before.Since
	}
	h.states[component] = State{Component: component, Status: status, Code: code, Vi: vi, En: en, Since: since}
}

// Clear forgets a part that has been removed.
func (h *Health) Clear(component string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.states, component)
}

// Summary is the worst status and every state, the worst first.
func (h *Health) Summary() (Status, []State) {
	h.mu.Lock()
	states := make([]State, 0, len(h.states))
	worst := OK
	for _, state := range h.states {
		states = append(states, state)
		worst = max(worst, state.Status)
	}
	h.mu.Unlock()
	slices.SortFunc(states, func(a, b State) int {
		if a.Status != b.Status {
			return int(b.Status - a.Status)
		}
		return strings.Compare(a.Component, b.Component)
	})
	return worst, states
}

// Handler serves the summary as JSON: status 200 while nothing has failed, 503
// otherwise, so that a load balancer needs no parser.
func (h *Health) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		worst, states := h.Summary()
		body, err := json.Marshal(struct {
			Status Status  `json:"status"`
			Parts  []State `json:"parts"`
		}{worst, states})
		if err != nil {
			http.Error(w, "health cannot be written", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if worst == Failed {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write(body) // who has gone away needs no answer
	})
}
