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
	"github.com/lienthong/lienthong/internal/store"
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

// bundleCommands registers what a hub does for lienthong bundle.
func (h *Hub) bundleCommands() {
	h.local.handle("GET /alive", alive)
	h.local.handleRaw("POST /bundle/export", exporter(h.log, func(ctx context.Context, w io.Writer, order ExportOrder) (ExportReport, error) {
		export := h.answerBundle
		if u := h.upstream; u != nil && (order.To == u.above || order.To == "") {
			export = func(ctx context.Context, w io.Writer, order ExportOrder) (ExportReport, error) {
				return u.carrier().export(ctx, w, order, bundle.WriterConfig{Created: h.now()})
			}
		}
		report, err := export(ctx, w, order)
		if err == nil {
			h.note(ctx, exportLeaf(report))
		}
		return report, err
	}))
	h.local.handle("POST /bundle/import", func(ctx context.Context, r *http.Request) (any, error) {
		report, err := h.importBundle(ctx, r.Body)
		if err != nil {
			return nil, err
		}
		h.note(ctx, importLeaf(report))
		return report, nil
	})
}

// carrier is the hub as a node of the hub above.
func (u *upstream) carrier() *carrier {
	return &carrier{
		name: u.hub.config.Name, above: u.above, identity: u.identity, directory: u.directory, bus: u.bus, nodes: u.nodeList,
		answered: func(ctx context.Context) (string, error) {
			b, _, err := u.hub.store.LastBundle(ctx, u.above)
			return b.ID, err
		},
	}
}

// answerBundle writes the receipts of what a node has brought, and those of the hubs above.
// It begins where the node said that its receipts end, so that a lost answer is made again.
func (h *Hub) answerBundle(ctx context.Context, w io.Writer, order ExportOrder) (ExportReport, error) {
	report := ExportReport{Kind: bundle.Receipts, From: h.config.Name, To: order.To}
	last, found, err := h.store.LastBundle(ctx, order.To)
	if err != nil {
		return report, err
	}
	if !found {
		return report, &lienthong.Error{
			Code: "bundle.no_request", Where: order.To, Vi: "chưa nhập gói nào của nút này", En: "no bundle of this node has been imported",
			Hint: "nhập gói của nút trước / import a bundle of the node first",
		}
	}
	var about bundle.About
	if err := json.Unmarshal([]byte(last.About), &about); err != nil {
		return report, fmt.Errorf("read what the bundle said: %w", err)
	}
	signed, err := h.enrolment.SignedDirectory()
	if err != nil {
		return report, err
	}
	b, err := bundle.NewWriter(w, bundle.WriterConfig{
		Kind: bundle.Receipts, From: h.config.Name, To: order.To, Key: about.ReplyKey, Signer: h.identity, Created: h.now(),
		About: bundle.About{Directory: signed},
	})
	if err != nil {
		return report, err
	}
	nodes := map[string]bool{order.To: true}
	for _, from := range about.Oldest {
		if h.route(from.Stream.Node) != order.To {
			continue
		}
		nodes[from.Stream.Node] = true
		err := h.store.Landed(ctx, from.Stream, from.Sequence, func(l store.LandedBatch) error {
			body, err := json.Marshal(&lienthong.Receipt{
				Stream: from.Stream, Hub: h.config.Name, Sequence: l.Sequence, Digest: l.Digest, Landed: l.Landed, Ignored: l.Ignored, Applied: l.AppliedAt,
			})
			if err != nil {
				return fmt.Errorf("encode receipt: %w", err)
			}
			jws, err := h.identity.Sign(body)
			if err != nil {
				return err
			}
			return b.Receipt(bundle.Receipt{Body: string(body), Signature: jws})
		})
		if err != nil {
			return report, err
		}
	}
	for _, r := range h.directory.Registrations() {
		if r.Via == order.To {
			nodes[r.Node.Node] = true
		}
	}
	passed, err := h.store.PassedFor(ctx, sortedKeys(nodes), b.ID())
	if err != nil {
		return report, err
	}
	for _, r := range passed {
		if err := b.Receipt(bundle.Receipt{Body: r.Body, Signature: r.Signature}); err != nil {
			return report, err
		}
	}
	if err := b.Close(); err != nil {
		return report, err
	}
	report.Bundle, report.Bytes = b.ID(), b.Size()
	_, report.Receipts = b.Counts()
	return report, nil
}

// linkVerifier believes those who have a link of their own here.
type linkVerifier struct{ hub *Hub }

// VerifyNode implements batch.Verifier.
func (v linkVerifier) VerifyNode(payload []byte, jws string) (string, error) {
	name, err := batchVerifier{v.hub.directory}.VerifyNode(payload, jws)
	if err == nil && v.hub.route(name) != name {
		err = v.hub.admit(name, "bundle")
	}
	return name, err
}

// importBundle takes in batches of a node or of a hub below, or receipts of the hub above.
func (h *Hub) importBundle(ctx context.Context, body io.Reader) (ImportReport, error) {
	config := bundle.ReaderConfig{
		Keys:   []ecdh.KeyExchanger{h.identity.Decrypter()},
		Sender: func(bundle.Kind) batch.Verifier { return linkVerifier{h} },
	}
	if u := h.upstream; u != nil {
		config.Keys = append(config.Keys, u.identity.Decrypter())
		config.Sender = func(kind bundle.Kind) batch.Verifier {
			if kind == bundle.Receipts {
				return hubVerifier{u.directory}
			}
			return linkVerifier{h}
		}
	}
	contents := &contents{streams: map[lienthong.Stream]*contained{}}
	a, err := receive(h.config.Data, body, config, contents.add)
	if err != nil {
		return ImportReport{}, err
	}
	defer a.close()
	b, err := a.open()
	if err != nil {
		return ImportReport{}, err
	}
	if _, known, err := h.store.Bundle(ctx, b.Header.ID); err != nil || known {
		return ImportReport{}, errors.Join(err, imported(b))
	}
	about, err := json.Marshal(&bundle.About{Oldest: b.About.Oldest, Part: b.About.Part, ReplyKey: b.About.ReplyKey})
	if err != nil {
		return ImportReport{}, fmt.Errorf("keep what the bundle said: %w", err)
	}
	var report ImportReport
	switch {
	case b.Header.Kind == bundle.Batches:
		report, err = h.takeBatches(ctx, b, contents)
	case h.upstream == nil:
		err = mixed(b)
	default:
		u := h.upstream
		report, err = u.carrier().take(ctx, b, keepDirectory{
			path: filepath.Join(h.config.Data, "upstream", "directory.json"), identity: u.identity, directory: u.directory, log: h.log,
		}, h.log)
		if err == nil {
			err = u.introduce()
		}
	}
	if err != nil {
		return report, err
	}
	return report, h.store.SaveBundle(ctx, store.Bundle{ID: b.Header.ID, Sender: b.Header.From, Created: b.Header.Created, About: string(about)})
}

// contents is what a first reading notes of a bundle.
type contents struct {
	streams map[lienthong.Stream]*contained
	batches int
}

type contained struct {
	first, last uint64
	begins      bool // the first one begins the chain
	digest      string
}

func (c *contents) add(r *bundle.Reader, record bundle.Record) error {
	if (record.Batch == nil) == (r.Header.Kind == bundle.Batches) {
		return mixed(r)
	}
	if record.Batch == nil {
		return nil
	}
	c.batches++
	header := &record.Batch.Header
	in := c.streams[header.Stream]
	if in == nil {
		in = &contained{first: header.Sequence, begins: header.Begins()}
		c.streams[header.Stream] = in
	} else if header.Sequence != in.last+1 {
		return &lienthong.Error{
			Code: "bundle.order", Where: r.Header.Name() + ": " + header.String(),
			Vi: "các lô trong gói không liền nhau", En: "the batches in the bundle do not follow each other",
			Hint: "xuất lại gói / export it again",
		}
	}
	in.last, in.digest = header.Sequence, record.Batch.Digest()
	return nil
}

// takeBatches gives the batches to landing the ordinary way, through the inbox, and waits
// until they have been applied or refused.
func (h *Hub) takeBatches(ctx context.Context, b *bundle.Reader, contents *contents) (ImportReport, error) {
	report := ImportReport{Bundle: b.Header.ID, Kind: b.Header.Kind, From: b.Header.From, Batches: contents.batches}
	heads, err := h.store.Heads(ctx)
	if err != nil {
		return report, err
	}
	for stream, in := range contents.streams {
		if head := heads[stream].Sequence; in.first > head+1 && !in.begins {
			return report, &lienthong.Error{
				Code: "bundle.out_of_order", Where: fmt.Sprintf("%s: %s #%d, %d", b.Header.Name(), stream, in.first, head),
				Vi:   "thiếu gói ở trước: trung tâm chưa có các lô trước đó",
				En:   fmt.Sprintf("a bundle before this one is missing: it begins with batch %d, and %d is the last that has landed", in.first, head),
				Hint: "nhập các phần theo thứ tự, hoặc xuất lại từ nút / import the parts in their order, or export again at the node",
			}
		}
	}
	if len(b.About.Nodes) > 0 {
		refused, err := h.enrolment.TakeNodes(ctx, b.Header.From, b.About.Nodes)
		if err != nil && lienthong.ErrorCode(err) != "trust.directory_stale" {
			return report, err
		}
		for _, r := range refused {
			h.log.WarnContext(ctx, "node behind a hub refused", slog.String("code", r.Code), slog.String("node", r.Node.String()))
		}
	}
	last := uint64(0)
	for {
		record, err := b.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return report, err
		}
		if last, err = h.bus.Deliver(ctx, b.Header.From, record.Batch); err != nil {
			return report, err
		}
	}
	if last > 0 {
		if err := h.bus.Taken(ctx, last); err != nil {
			return report, err
		}
	}
	if heads, err = h.store.Heads(ctx); err != nil {
		return report, err
	}
	for stream, in := range contents.streams {
		head := heads[stream]
		landed := head.Sequence > in.last || head.Sequence == in.last && head.Digest == in.digest
		if !landed {
			report.Refused++
		}
		report.Streams = append(report.Streams, ImportStream{Stream: stream.String(), First: in.first, Last: in.last, Landed: head.Sequence})
	}
	slices.SortFunc(report.Streams, func(a, b ImportStream) int { return strings.Compare(a.Stream, b.Stream) })
	return report, h.store.PassedBy(ctx, b.About.Answered)
}
