package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// QuarantineOrder is what a person decides about one held record, or about all that are old.
type QuarantineOrder struct {
	Dataset string `json:"dataset"`
	ID      string `json:"id,omitempty"`
	By      string `json:"by"`
	Reason  string `json:"reason,omitempty"`
	Before  int64  `json:"before,omitempty"` // microseconds
}

// QuarantineDone is what came of it.
type QuarantineDone struct {
	Records int `json:"records"`
}

// SnapshotOrder asks for a table, or a range of its keys, again.
type SnapshotOrder struct {
	Dataset string           `json:"dataset"`
	Keys    capture.KeyRange `json:"keys"`
}

// stewardCommands let the commands of the same machine decide about datasets and records.
// Record values and identities never leave the machine this way: the socket is the owner's.
func (n *Node) stewardCommands() {
	n.local.handle("GET /quarantine", func(ctx context.Context, r *http.Request) (any, error) {
		filter, one, err := n.quarantineFilter(r)
		if err != nil {
			return nil, err
		}
		if one != nil {
			return one.capture.ListQuarantine(ctx, filter)
		}
		return n.quarantineOfAll(ctx, filter)
	})
	n.local.handle("GET /quarantine/record", func(ctx context.Context, r *http.Request) (any, error) {
		id, one, err := n.datasetOf(r.URL.Query().Get("dataset"))
		if err != nil {
			return nil, err
		}
		return one.capture.ExplainQuarantine(ctx, id, r.URL.Query().Get("id"))
	})
	n.local.handle("POST /quarantine/release", func(ctx context.Context, r *http.Request) (any, error) {
		var o QuarantineOrder
		id, one, err := n.orderFor(r, &o, func() string { return o.Dataset })
		if err != nil {
			return nil, err
		}
		return QuarantineDone{1}, one.capture.ReleaseQuarantine(ctx, id, o.ID, o.By, o.Reason)
	})
	n.local.handle("POST /quarantine/expire", func(ctx context.Context, r *http.Request) (any, error) {
		var o QuarantineOrder
		id, one, err := n.orderFor(r, &o, func() string { return o.Dataset })
		if err != nil {
			return nil, err
		}
		records, err := one.capture.ExpireQuarantine(ctx, id, o.Before, o.By)
		return QuarantineDone{records}, err
	})
	n.local.handle("GET /snapshot", func(context.Context, *http.Request) (any, error) {
		all := []capture.SnapshotStatus{}
		for _, one := range n.sources.all() {
			all = append(all, one.capture.Snapshots()...)
		}
		return all, nil
	})
	n.local.handle("POST /snapshot", func(ctx context.Context, r *http.Request) (any, error) {
		var o SnapshotOrder
		id, one, err := n.orderFor(r, &o, func() string { return o.Dataset })
		if err != nil {
			return nil, err
		}
		return nil, one.capture.Resnapshot(ctx, id, o.Keys)
	})
	n.local.handle("GET /dataset", func(_ context.Context, r *http.Request) (any, error) {
		id, one, err := n.datasetOf(r.URL.Query().Get("dataset"))
		if err != nil {
			return nil, err
		}
		for _, s := range one.capture.Statuses() {
			if s.Dataset == id {
				return s, nil
			}
		}
		return capture.Status{Dataset: id}, nil
	})
	n.local.handle("POST /dataset/release", func(ctx context.Context, r *http.Request) (any, error) {
		id, one, err := n.datasetOf(r.URL.Query().Get("dataset"))
		if err != nil {
			return nil, err
		}
		return nil, n.releaseDataset(ctx, id, one)
	})
}

func (n *Node) datasetOf(name string) (lienthong.DatasetID, *source, error) {
	id, err := lienthong.ParseDatasetID(name)
	if err != nil {
		return id, nil, err
	}
	one, err := n.sources.find(id)
	return id, one, err
}

// orderFor reads an order and finds the source of its dataset.
func (n *Node) orderFor(r *http.Request, order any, dataset func() string) (lienthong.DatasetID, *source, error) {
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20)).Decode(order); err != nil {
		return lienthong.DatasetID{}, nil, fmt.Errorf("read the order: %w", err)
	}
	return n.datasetOf(dataset())
}

func (n *Node) quarantineFilter(r *http.Request) (capture.QuarantineFilter, *source, error) {
	query := r.URL.Query()
	filter := capture.QuarantineFilter{Rule: query.Get("rule"), After: query.Get("after")}
	filter.Limit, _ = strconv.Atoi(query.Get("limit"))
	for _, word := range query["state"] {
		state := capture.QuarantineState(word)
		if !slices.Contains(capture.QuarantineStates(), state) {
			return filter, nil, &lienthong.Error{
				Code: "quarantine.state", Where: word, Vi: "không có trạng thái này", En: "no such state",
				Hint: "held, expired, released, fixed, gone",
			}
		}
		filter.States = append(filter.States, state)
	}
	if query.Get("dataset") == "" {
		return filter, nil, nil
	}
	id, one, err := n.datasetOf(query.Get("dataset"))
	filter.Dataset = &id
	return filter, one, err
}

// quarantineOfAll lists what is held of every source: their state is one.
func (n *Node) quarantineOfAll(ctx context.Context, filter capture.QuarantineFilter) (capture.QuarantinePage, error) {
	for _, one := range n.sources.all() {
		return one.capture.ListQuarantine(ctx, filter)
	}
	return capture.QuarantinePage{}, nil
}

// releaseDataset lets a dataset that stands still go on with its definition as it is written
// now.
func (n *Node) releaseDataset(ctx context.Context, id lienthong.DatasetID, one *source) error {
	for i, d := range n.sources.definitions(one) {
		if d.Dataset != id {
			continue
		}
		text, err := os.ReadFile(d.File)
		if err != nil {
			return &lienthong.Error{
				Code: "definition.file", Where: d.File, Vi: "không đọc được định nghĩa tập dữ liệu", En: "the dataset's definition cannot be read",
				Hint: "kiểm tra tệp và quyền đọc / check the file and the right to read it", Err: err,
			}
		}
		now, err := dictionary.ParseDefinition(d.File, text)
		if err != nil {
			return err
		}
		if now.Dataset != id {
			return &lienthong.Error{
				Code: "definition.dataset", Where: d.File, Vi: "tệp định nghĩa nay là của tập dữ liệu khác", En: "the file now defines another dataset",
				Hint: id.String(),
			}
		}
		if err := one.capture.Redefine(ctx, now); err != nil {
			return err
		}
		n.sources.mu.Lock()
		one.defined = slices.Clone(one.defined)
		one.defined[i] = now
		n.sources.mu.Unlock()
		return nil
	}
	return nil
}
