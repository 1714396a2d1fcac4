package app

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/audit"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/bus"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// sources are what a node reads. One can be added while the node runs.
type sources struct {
	mu      sync.Mutex
	list    []*source
	start   func(*source) // nil until run and after close
	results map[lienthong.DatasetID]lienthong.Reconciliation
}

// newSources makes an empty list. It is there before the line is: the hub may speak at once.
func newSources() *sources {
	return &sources{results: map[lienthong.DatasetID]lienthong.Reconciliation{}}
}

// source is one database or folder, and its capture.
type source struct {
	name    string
	config  *SourceConfig
	defined []*dictionary.Definition // guarded by sources.mu
	source  connector.Source
	capture *capture.Capture
	address string // of its HTTP interface, when it has one
}

func (s *sources) all() []*source {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list[:len(s.list):len(s.list)]
}

// definitions of a source: a steward may give it others while it runs.
func (s *sources) definitions(one *source) []*dictionary.Definition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return one.defined
}

// add registers a source, and starts it when the others run already.
func (s *sources) add(one *source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, one)
	if s.start != nil {
		s.start(one)
	}
}

// run starts every capture. Those that are added later run until the same ctx ends.
func (s *sources) run(ctx context.Context, running *sync.WaitGroup, failed func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start = func(one *source) {
		running.Go(func() {
			if err := one.capture.Run(ctx); err != nil && ctx.Err() == nil {
				failed(err)
			}
		})
	}
	for _, one := range s.list {
		s.start(one)
	}
}

// stop lets no source start any more.
func (s *sources) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start = nil
}

func (s *sources) close() {
	for _, one := range s.all() {
		_ = one.source.Close()
	}
}

// find returns the source that has the dataset.
func (s *sources) find(dataset lienthong.DatasetID) (*source, error) {
	for _, one := range s.all() {
		for _, d := range s.definitions(one) {
			if d.Dataset == dataset {
				return one, nil
			}
		}
	}
	return nil, &lienthong.Error{
		Code: "dataset.unknown", Where: dataset.String(), Vi: "nút này không có tập dữ liệu đó", En: "this node has no such dataset",
		Hint: "lienthong database status",
	}
}

// reconciled remembers what the hub's last comparison of a dataset found.
func (n *Node) reconciled(r lienthong.Reconciliation) {
	n.sources.mu.Lock()
	n.sources.results[r.Dataset] = r
	n.sources.mu.Unlock()
	one, err := n.sources.find(r.Dataset)
	if err == nil {
		err = one.capture.Reconciled(context.Background(), r) //nolint:forbidigo // called by the bus, which has none
	}
	if err != nil {
		n.log.Warn("result of a comparison not taken in", slog.Any("error", err))
	}
}

// sourceParts is what every source of a node shares.
type sourceParts struct {
	NodeParts
	words     *dictionary.Dictionary
	recordKey []byte
}

// openSources opens those of the configuration and those that were added by command.
func (n *Node) openSources(ctx context.Context, parts NodeParts, words *dictionary.Dictionary, recordKey []byte) error {
	n.closers.add(n.sources.close)
	n.parts = sourceParts{NodeParts: parts, words: words, recordKey: recordKey}
	if parts.Idle {
		return nil
	}
	for i := range n.config.Sources {
		definitions, err := loadDefinitions(n.config.path, n.config.Sources[i].Definitions)
		if err != nil {
			return err
		}
		if i < len(parts.Definitions) {
			definitions = append(definitions, parts.Definitions[i]...)
		}
		if err := n.openSource(ctx, strconv.Itoa(i), &n.config.Sources[i], definitions); err != nil {
			return err
		}
	}
	added, err := addedSources(n.config.Data)
	if err != nil {
		return err
	}
	for _, one := range added {
		if err := n.openSource(ctx, one.name, one.config, one.definitions); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) openSource(ctx context.Context, name string, config *SourceConfig, definitions []*dictionary.Definition) error {
	at := n.connection(name)
	for _, d := range definitions {
		saved, err := n.state.Load(ctx, d.Dataset)
		if err != nil {
			return err
		}
		at.continues = at.continues || saved.Head.Sequence > 0
	}
	opened, err := connect(ctx, config, at)
	if err != nil {
		return err
	}
	compression, _ := batch.ParseCompression(n.config.Compression)
	sealed := n.parts.Sealed
	if config.Push != nil {
		sealed = n.trackPushed(sealed)
	}
	c, err := capture.New(capture.Config{
		Node: n.config.Name, Source: opened, Definitions: definitions, Dictionary: n.parts.words, Signer: n.identity, Compression: compression,
		Spool: n.bus, State: n.state, RecordKey: n.parts.recordKey, ReconcileEvery: time.Duration(n.config.ReconcileEvery),
		SnapshotShare: config.SnapshotShare, SnapshotRowsPerSecond: config.SnapshotRowsPerSecond, RetainBudget: config.RetainMB << 20,
		FieldKeys: n.fieldKey, Notice: n.notice,
		Now: n.parts.Now, Log: n.parts.Log, Step: n.parts.Step, Sealed: sealed, AcknowledgeEarly: n.parts.AcknowledgeEarly,
	})
	if err != nil {
		return errors.Join(err, opened.Close())
	}
	one := &source{name: name, config: config, defined: definitions, source: opened, capture: c}
	n.sources.add(one)
	return n.openDoors(ctx, one)
}

func (n *Node) connection(name string) connection {
	return connection{
		owner: n.config.Name + "_" + name, state: filepath.Join(n.config.Data, "source-"+name), files: filepath.Join(n.config.Data, "files-"+name),
		node: n.config.Name, resolve: n.config.resolve, signer: n.identity, tracker: tracker{n}, parts: n.parts.NodeParts,
	}
}

// notice writes a step that protected a source, or stopped or released a dataset, into the log.
func (n *Node) notice(notice capture.Notice) {
	detail := map[string]string{"code": notice.Code, "text": notice.En}
	for name, figure := range notice.Figures {
		detail[name] = strconv.FormatInt(figure, 10)
	}
	entry := audit.Entry{Kind: audit.Configuration, Actor: n.config.Name, Node: n.config.Name, Detail: detail}
	if notice.Dataset != (lienthong.DatasetID{}) {
		entry.Dataset = notice.Dataset.String()
	}
	ctx := context.Background() //nolint:forbidigo // the step has been taken; nobody waits for its entry
	if err := n.audit.Enqueue(ctx, entry); err != nil {
		n.log.ErrorContext(ctx, "audit entry not written", slog.Any("error", err))
	}
}

// fieldKey is the key by which fields are hashed or tokenised. It is made when it is first
// needed and never leaves the node: values hashed at two nodes are equal only where people
// have given both the same file.
func (n *Node) fieldKey(name string) ([]byte, error) {
	if !bus.NodeName(name) {
		return nil, &lienthong.Error{
			Code: "field.key", Where: name, Vi: "tên khóa không đúng dạng", En: "not the name of a key",
			Hint: "1-32 ký tự a-z, 0-9, - / 1-32 of a-z, 0-9, -",
		}
	}
	return secretFile(filepath.Join(n.config.Data, "keys", "field_"+name))
}
