package app

import (
	"context"
	"crypto/ecdh"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/audit"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/bundle"
	"github.com/lienthong/lienthong/internal/bus"
	"github.com/lienthong/lienthong/internal/durable"
	"github.com/lienthong/lienthong/internal/trust"
)

// ExportOrder says what a bundle is to hold.
type ExportOrder struct {
	To    string `json:"to,omitempty"`    // empty: the hub of a node
	Limit int64  `json:"limit,omitempty"` // bytes; 0: none
	Part  int    `json:"part"`            // 1, 2, 3 …
	After uint64 `json:"after,omitempty"` // the place in the spool where the part before ended
}

// ExportReport says what a bundle holds.
type ExportReport struct {
	Bundle   string      `json:"bundle"`
	Kind     bundle.Kind `json:"kind"`
	From     string      `json:"from"`
	To       string      `json:"to"`
	Batches  int         `json:"batches"`
	Receipts int         `json:"receipts"`
	Bytes    int64       `json:"bytes"`
	More     bool        `json:"more"`           // batches are left for another part
	Last     uint64      `json:"last,omitempty"` // place in the spool, for the next part
	File     string      `json:"file,omitempty"`
}

// ImportReport says what became of a bundle.
type ImportReport struct {
	Bundle   string         `json:"bundle"`
	Kind     bundle.Kind    `json:"kind"`
	From     string         `json:"from"`
	Batches  int            `json:"batches"`
	Receipts int            `json:"receipts"` // good ones that told something new
	Streams  []ImportStream `json:"streams,omitempty"`
	Refused  int            `json:"refused"` // streams of which not everything landed
	Waiting  int            `json:"waiting"` // of a node: batches that have no receipt yet
}

// ImportStream is one stream of a bundle.
type ImportStream struct {
	Stream string `json:"stream"`
	First  uint64 `json:"first"`
	Last   uint64 `json:"last"`
	Landed uint64 `json:"landed"` // the last batch that has landed
}

// carrier is what a node, and a hub towards the hub above it, bring to a bundle of batches.
type carrier struct {
	name      string
	above     string // the receiver
	identity  *trust.Identity
	directory *trust.Directory
	bus       *bus.Node
	answered  func(context.Context) (string, error)
	nodes     func() ([]byte, error) // nil at a node
}

// hubKey is the encryption key of the hub above: from its list of keys, or from the day of
// enrolment.
func (c *carrier) hubKey() []byte {
	for _, hub := range c.directory.Hubs() {
		if hub.Node.Node == c.above {
			return hub.Encryption
		}
	}
	return nil
}

// export writes one bundle of what the spool holds. Nothing leaves the spool by it.
func (c *carrier) export(ctx context.Context, w io.Writer, order ExportOrder, config bundle.WriterConfig) (ExportReport, error) {
	report := ExportReport{Kind: bundle.Batches, From: c.name, To: c.above}
	if order.To != "" && order.To != c.above {
		return report, &lienthong.Error{
			Code: "bundle.receiver", Where: order.To, Vi: "không xuất gói cho nơi này được", En: "no bundle can be made for this place",
			Hint: "--to " + c.above,
		}
	}
	answered, err := c.answered(ctx)
	if err != nil {
		return report, err
	}
	about := bundle.About{Part: max(order.Part, 1), ReplyKey: c.identity.EncryptionKey(), Answered: answered}
	for stream, sequence := range c.bus.Oldest() {
		about.Oldest = append(about.Oldest, bundle.Oldest{Stream: stream, Sequence: sequence})
	}
	slices.SortFunc(about.Oldest, func(a, b bundle.Oldest) int { return strings.Compare(a.Stream.String(), b.Stream.String()) })
	if c.nodes != nil {
		if about.Nodes, err = c.nodes(); err != nil {
			return report, err
		}
	}
	config.Kind, config.From, config.To, config.Key, config.Signer, config.About = bundle.Batches, c.name, c.above, c.hubKey(), c.identity, about
	b, err := bundle.NewWriter(w, config)
	if err != nil {
		return report, err
	}
	err = c.bus.Each(ctx, order.After, func(place uint64, s *batch.Sealed) error {
		if batches, _ := b.Counts(); order.Limit > 0 && batches > 0 && b.Size()+int64(len(s.Payload))+bundle.Overhead > order.Limit {
			return errFull
		}
		report.Last = place
		return b.Batch(s)
	})
	if report.More = errors.Is(err, errFull); err != nil && !report.More {
		return report, err
	}
	if err := b.Close(); err != nil {
		return report, err
	}
	report.Bundle, report.Bytes = b.ID(), b.Size()
	report.Batches, _ = b.Counts()
	return report, nil
}

var errFull = errors.New("the bundle is full")

// take gives a bundle of receipts to the ordinary way of receipts.
func (c *carrier) take(ctx context.Context, r *bundle.Reader, keep keepDirectory, log *slog.Logger) (ImportReport, error) {
	report := ImportReport{Bundle: r.Header.ID, Kind: r.Header.Kind, From: r.Header.From}
	if r.Header.From != c.above {
		return report, &lienthong.Error{
			Code: "bundle.unknown_sender", Where: r.Header.Name(), Vi: "gói không phải của trung tâm của nơi này",
			En: "the bundle is not from the hub of this place", Hint: "nhập gói do " + c.above + " xuất / import one that " + c.above + " has exported",
		}
	}
	if len(r.About.Directory) > 0 {
		// First: a receipt of a hub above may be signed by a key that came with it.
		if err := keep.take(r.About.Directory); err != nil && lienthong.ErrorCode(err) != "trust.directory_stale" {
			log.WarnContext(ctx, "directory in the bundle not used", slog.String("code", lienthong.ErrorCode(err)), slog.Any("error", err))
		}
	}
	var group []bus.SignedReceipt
	accept := func() error {
		n, err := c.bus.Accept(ctx, group)
		report.Receipts += n
		group = group[:0]
		return err
	}
	for {
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			err = accept()
			report.Waiting, _ = c.bus.Depth()
			return report, err
		}
		if err != nil {
			return report, err
		}
		if record.Receipt == nil {
			return report, mixed(r)
		}
		group = append(group, bus.SignedReceipt{Body: record.Receipt.Body, Signature: record.Receipt.Signature})
		if len(group) == acceptGroup {
			if err := accept(); err != nil {
				return report, err
			}
		}
	}
}

const acceptGroup = 500

func mixed(r *bundle.Reader) error {
	return &lienthong.Error{
		Code: "bundle.kind", Where: r.Header.Name(), Vi: "gói chứa thứ không thuộc loại của nó", En: "the bundle holds what its kind does not have",
		Hint: "xuất lại gói bằng phiên bản hiện tại / export it again with a present version",
	}
}

func imported(r *bundle.Reader) error {
	return &lienthong.Error{
		Code: "bundle.imported", Where: r.Header.Name(), Vi: "gói này đã nhập rồi", En: "the bundle has been imported already",
		Hint: "không cần làm gì; cần biên nhận thì xuất lại tại trung tâm / nothing to do; receipts can be exported again at the hub",
	}
}

// arrival is a bundle on this machine's disk, read through to its end once: it is whole,
// from whom it says, and for us.
type arrival struct {
	file   *os.File
	config bundle.ReaderConfig
}

// receive keeps the stream in a file of the data directory and reads it through. each hears
// of every record; nothing may be done with them yet.
func receive(data string, body io.Reader, config bundle.ReaderConfig, each func(*bundle.Reader, bundle.Record) error) (*arrival, error) {
	dir := filepath.Join(data, "bundles")
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(dir, "in-*")
	if err != nil {
		return nil, fmt.Errorf("keep bundle: %w", err)
	}
	a := &arrival{file: file, config: config}
	if _, err := io.Copy(file, body); err != nil {
		a.close()
		return nil, fmt.Errorf("keep bundle: %w", err)
	}
	r, err := a.open()
	for err == nil {
		var record bundle.Record
		if record, err = r.Next(); err == nil {
			err = each(r, record)
		}
	}
	if !errors.Is(err, io.EOF) {
		a.close()
		return nil, err
	}
	return a, nil
}

// open reads from the front.
func (a *arrival) open() (*bundle.Reader, error) {
	if _, err := a.file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	return bundle.Open(a.file, a.config)
}

func (a *arrival) close() {
	_ = a.file.Close()
	_ = os.Remove(a.file.Name())
}

// A bundle goes through the control socket in frames, so that a command knows the end of
// one from a process that died: length and bytes, length and bytes, a length of 0, the report.
func frames(w io.Writer, write func(io.Writer) (ExportReport, error)) error {
	report, err := write(frameWriter{w})
	if err != nil {
		return err
	}
	if _, err := w.Write(make([]byte, 4)); err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(report)
}

type frameWriter struct{ to io.Writer }

func (f frameWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if _, err := f.to.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p)))); err != nil {
		return 0, err
	}
	return f.to.Write(p)
}

// unframe copies the bundle out and returns the report that follows it.
func unframe(w io.Writer, r io.Reader) (report ExportReport, err error) {
	var length [4]byte
	for {
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return report, brokenOff(err)
		}
		n := binary.BigEndian.Uint32(length[:])
		if n == 0 {
			break
		}
		if _, err := io.CopyN(w, r, int64(n)); err != nil {
			return report, brokenOff(err)
		}
	}
	if err := json.NewDecoder(r).Decode(&report); err != nil {
		return report, brokenOff(err)
	}
	return report, nil
}

func brokenOff(err error) error {
	return &lienthong.Error{
		Code: "bundle.broken_off", Vi: "xuất gói bị ngắt giữa chừng", En: "the export broke off",
		Hint: "xem nhật ký của tiến trình, kiểm tra chỗ trống trên đĩa, rồi xuất lại / see the log of the process, check the free disk space, export again", Err: err,
	}
}

// exporter answers POST /bundle/export.
func exporter(log *slog.Logger, export func(context.Context, io.Writer, ExportOrder) (ExportReport, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var order ExportOrder
		begun := &begun{to: w}
		err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&order)
		if err == nil {
			err = frames(begun, func(w io.Writer) (ExportReport, error) { return export(r.Context(), w, order) })
		}
		if err == nil {
			return
		}
		log.WarnContext(r.Context(), "bundle not made", slog.String("code", lienthong.ErrorCode(err)), slog.Any("error", err))
		if begun.bytes {
			panic(http.ErrAbortHandler) // the command sees that it broke off
		}
		writeLocal(w, http.StatusUnprocessableEntity, refusalOf(err))
	}
}

// begun knows whether the answer has begun: after that it can only break off.
type begun struct {
	to    io.Writer
	bytes bool
}

func (b *begun) Write(p []byte) (int, error) {
	b.bytes = true
	return b.to.Write(p)
}

func alive(context.Context, *http.Request) (any, error) { return nil, nil }

// bundleCommands registers what a node does for lienthong bundle.
func (n *Node) bundleCommands() {
	membership, _ := n.identity.Membership()
	c := &carrier{
		name: n.config.Name, above: membership.Hub.Node, identity: n.identity, directory: n.hubKeys, bus: n.bus, answered: n.state.LastBundle,
	}
	n.local.handle("GET /alive", alive)
	n.local.handleRaw("POST /bundle/export", exporter(n.log, func(ctx context.Context, w io.Writer, order ExportOrder) (ExportReport, error) {
		report, err := c.export(ctx, w, order, bundle.WriterConfig{Created: n.now()})
		if err == nil {
			err = n.audit.Enqueue(ctx, exportLeaf(report))
		}
		return report, err
	}))
	n.local.handle("POST /bundle/import", func(ctx context.Context, r *http.Request) (any, error) {
		a, err := receive(n.config.Data, r.Body, bundle.ReaderConfig{
			Keys:   []ecdh.KeyExchanger{n.identity.Decrypter()},
			Sender: func(bundle.Kind) batch.Verifier { return hubVerifier{n.hubKeys} },
		}, func(r *bundle.Reader, record bundle.Record) error {
			if record.Receipt == nil {
				return mixed(r)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		defer a.close()
		b, err := a.open()
		if err != nil {
			return nil, err
		}
		if known, err := n.state.Bundle(ctx, b.Header.ID); err != nil || known {
			return nil, errors.Join(err, imported(b))
		}
		report, err := c.take(ctx, b, n.keptDirectory(), n.log)
		if err != nil {
			return nil, err
		}
		if err := n.state.SaveBundle(ctx, b.Header.ID, n.now().UnixMicro()); err != nil {
			return nil, err
		}
		return report, n.audit.Enqueue(ctx, importLeaf(report))
	})
}

func exportLeaf(r ExportReport) audit.Entry {
	return audit.Entry{Kind: audit.Bundle, Actor: r.From, Node: r.To, Detail: map[string]string{
		"event": "export", "bundle": r.Bundle, "kind": string(r.Kind), "batches": fmt.Sprint(r.Batches), "receipts": fmt.Sprint(r.Receipts),
	}}
}

func importLeaf(r ImportReport) audit.Entry {
	return audit.Entry{Kind: audit.Bundle, Actor: r.From, Detail: map[string]string{
		"event": "import", "bundle": r.Bundle, "kind": string(r.Kind), "batches": fmt.Sprint(r.Batches), "receipts": fmt.Sprint(r.Receipts),
		"refused": fmt.Sprint(r.Refused),
	}}
}
