package bundle

import (
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/lienthong/lienthong/internal/batch"
)

// WriterConfig says from whom, for whom and what.
type WriterConfig struct {
	Kind    Kind
	From    string
	To      string
	Key     []byte       // the receiver's public encryption key, a P-256 point
	Signer  batch.Signer // of From
	Created time.Time
	About   About
}

// Writer writes a bundle to its end. A file is whole only after Close.
type Writer struct {
	out     io.Writer
	sender  *hpke.Sender
	signer  batch.Signer
	binding []byte // of every chunk to the header
	id      string
	plain   []byte
	content hash.Hash
	size    int64

	batches, receipts int
}

// NewWriter begins a bundle.
func NewWriter(w io.Writer, config WriterConfig) (*Writer, error) {
	public, err := receiverKey(config.Key)
	if err != nil {
		return nil, err
	}
	secret, sender, err := hpke.NewSender(public, kdf(), aead(), []byte(context))
	if err != nil {
		return nil, fmt.Errorf("bundle: agree on a key: %w", err)
	}
	header := Header{
		Version: Version, ID: hex.EncodeToString(random(16)), Kind: config.Kind, From: config.From, To: config.To,
		ToKey: keyName(config.Key), Created: config.Created.UnixMicro(), Secret: secret,
	}
	raw, err := json.Marshal(&header) //nolint:gosec // the encapsulated key is public
	if err != nil {
		return nil, fmt.Errorf("bundle: write header: %w", err)
	}
	signature, err := config.Signer.Sign(raw)
	if err != nil {
		return nil, fmt.Errorf("bundle: sign header: %w", err)
	}
	sum := sha256.Sum256(raw)
	b := &Writer{
		out: w, sender: sender, signer: config.Signer, binding: sum[:], id: header.ID,
		plain: make([]byte, 1, chunkSize+1), content: sha256.New(),
	}
	front := append([]byte(magic), Version)
	front = appendLong(front, raw)
	front = appendShort(front, []byte(signature))
	if err := b.raw(front); err != nil {
		return nil, err
	}
	about, err := json.Marshal(&config.About)
	if err != nil {
		return nil, fmt.Errorf("bundle: write header: %w", err)
	}
	if len(about) > maxDocument {
		return nil, errors.New("bundle: too much is said of the bundle itself")
	}
	return b, b.record(appendLong([]byte{aboutRecord}, about))
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

func appendLong(to, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(to, uint32(len(b))), b...)
}

func appendShort(to, b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(to, uint16(len(b))), b...)
}

// ID is the bundle's number.
func (b *Writer) ID() string { return b.id }

// Size is how many bytes the bundle has so far.
func (b *Writer) Size() int64 { return b.size + int64(len(b.plain)) }

// Batch adds a batch.
func (b *Writer) Batch(s *batch.Sealed) error {
	record := appendLong([]byte{batchRecord}, s.HeaderBytes)
	record = appendShort(record, []byte(s.Signature))
	b.batches++
	if err := b.record(record); err != nil {
		return err
	}
	return b.record(appendLong(nil, s.Payload))
}

// Receipt adds a receipt.
func (b *Writer) Receipt(r Receipt) error {
	record := appendLong([]byte{receiptRecord}, []byte(r.Body))
	b.receipts++
	return b.record(appendShort(record, []byte(r.Signature)))
}

// Counts is how many batches and receipts have been added.
func (b *Writer) Counts() (batches, receipts int) { return b.batches, b.receipts }

// Close ends the bundle. It does not close what it writes to.
func (b *Writer) Close() error {
	raw, err := json.Marshal(&manifest{
		Bundle: b.id, Batches: b.batches, Receipts: b.receipts, Content: hex.EncodeToString(b.content.Sum(nil)),
	})
	if err != nil {
		return fmt.Errorf("bundle: write manifest: %w", err)
	}
	signature, err := b.signer.Sign(raw)
	if err != nil {
		return fmt.Errorf("bundle: sign manifest: %w", err)
	}
	end := appendLong([]byte{manifestRecord}, raw)
	if err := b.record(appendShort(end, []byte(signature))); err != nil {
		return err
	}
	b.plain[0] = lastChunk
	return b.chunk()
}

// record adds plain bytes to the content.
func (b *Writer) record(r []byte) error {
	_, _ = b.content.Write(r) // never fails
	for len(r) > 0 {
		n := min(len(r), chunkSize+1-len(b.plain))
		b.plain = append(b.plain, r[:n]...)
		r = r[n:]
		// A full chunk is kept until more comes: it may be the last.
		if len(r) > 0 {
			b.plain[0] = moreFollow
			if err := b.chunk(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Writer) chunk() error {
	sealed, err := b.sender.Seal(b.binding, b.plain)
	if err != nil {
		return fmt.Errorf("bundle: seal: %w", err)
	}
	b.plain = b.plain[:1]
	return b.raw(appendLong(nil, sealed))
}

func (b *Writer) raw(p []byte) error {
	n, err := b.out.Write(p)
	b.size += int64(n)
	if err != nil {
		return fmt.Errorf("bundle: write: %w", err)
	}
	return nil
}
