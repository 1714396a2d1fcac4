package app

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/file"
	"github.com/lienthong/lienthong/internal/connector/postgres"
	"github.com/lienthong/lienthong/internal/connector/sqlite"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// sources are what a node reads. One can be added while the node runs.
type sources struct {
	mu      sync.Mutex
	list    []*source
	start   func(*source) // nil until run and after close
	results map[lienthong.DatasetID]lienthong.Reconciliation
}

// source is one database or folder, and its capture.
type source struct {
	name        string
	config      *SourceConfig
	definitions []*dictionary.Definition
	source      connector.Source
	capture     *capture.Capture
}

func (s *sources) all() []*source {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list[:len(s.list):len(s.list)]
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
		for _, d := range one.definitions {
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
	defer n.sources.mu.Unlock()
	n.sources.results[r.Dataset] = r
}

// sourceParts is what every source of a node shares.
type sourceParts struct {
	NodeParts
	words     *dictionary.Dictionary
	recordKey []byte
}

// openSources opens those of the configuration and those that were added by command.
func (n *Node) openSources(ctx context.Context, parts NodeParts, words *dictionary.Dictionary, recordKey []byte) error {
	n.sources = &sources{results: map[lienthong.DatasetID]lienthong.Reconciliation{}}
	n.closers.add(n.sources.close)
	n.parts = sourceParts{NodeParts: parts, words: words, recordKey: recordKey}
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
	opened, err := connect(ctx, config, n.connection(name))
	if err != nil {
		return err
	}
	c, err := capture.New(capture.Config{
		Node: n.config.Name, Source: opened, Definitions: definitions, Dictionary: n.parts.words, Signer: n.identity,
		Spool: n.bus, State: n.state, RecordKey: n.parts.recordKey, ReconcileEvery: time.Duration(n.config.ReconcileEvery),
		Now: n.parts.Now, Log: n.parts.Log, Step: n.parts.Step, Sealed: n.parts.Sealed, AcknowledgeEarly: n.parts.AcknowledgeEarly,
	})
	if err != nil {
		return errors.Join(err, opened.Close())
	}
	n.sources.add(&source{name: name, config: config, definitions: definitions, source: opened, capture: c})
	return nil
}

func (n *Node) connection(name string) connection {
	return connection{
		owner: n.config.Name + "_" + name, state: filepath.Join(n.config.Data, "source-"+name), files: filepath.Join(n.config.Data, "files-"+name),
		resolve: n.config.resolve, parts: n.parts.NodeParts,
	}
}

// connection is what a source needs to know of its place in a node.
type connection struct {
	owner   string // names what is kept at the source for us
	state   string // directory for what the connector must remember
	files   string
	resolve func(string) string
	parts   NodeParts
}

// connect opens the source that the configuration names: the list of technologies.
func connect(ctx context.Context, c *SourceConfig, at connection) (connector.Source, error) {
	switch {
	case c.Postgres != "":
		slot := c.Slot
		if slot == "" {
			slot = "lienthong_" + strings.ReplaceAll(at.owner, "-", "_")
		}
		return postgres.Open(postgres.Config{DSN: string(c.Postgres), Name: slot, Now: at.parts.Now, Log: at.parts.Log})
	case c.SQLite != "":
		return sqlite.Open(ctx, sqlite.Config{Path: at.resolve(c.SQLite), Now: at.parts.Now, Log: at.parts.Log})
	default:
		files := file.Config{Root: at.resolve(c.Files.Root), StateDir: at.files, Now: at.parts.Now, Log: at.parts.Log}
		for i := range c.Files.Tables {
			files.Tables = append(files.Tables, c.Files.Tables[i].table())
		}
		return file.Open(ctx, files)
	}
}
