// Package batch is a batch on the wire: rows in Avro binary in one zstd frame,
// described by a header that is signed and chained to the batch before it.
//
// The signature covers the header's exact bytes; the header holds the SHA-256 of
// the payload as sent. A batch's digest is the SHA-256 of its header bytes, and the
// next header names it, so that (node, dataset) is one hash chain: nothing can be
// dropped, repeated, reordered or changed without being found. docs/wire/batch.md
// is the specification.
package batch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/lienthong/lienthong"
)

// Limits of one batch. A batch beyond them is refused on both sides.
const (
	MaxPayload = 8 << 20   // bytes as sent
	MaxRaw     = 64 << 20  // bytes after decompression
	MaxRows    = 1_000_000 // rows
)

// Signer signs exact bytes with a detached JWS.
type Signer interface {
	Sign(payload []byte) (jws string, err error)
}

// Verifier checks a detached JWS over exact bytes and names the node whose key
// made it.
type Verifier interface {
	VerifyNode(payload []byte, jws string) (node string, err error)
}

// Sealed is a batch ready to travel.
type Sealed struct {
	Header      lienthong.BatchHeader
	HeaderBytes []byte // canonical JSON; what the signature covers
	Signature   string // detached JWS, ES256
	Payload     []byte
}

// Digest is the batch's place in the chain: hex SHA-256 of its header bytes.
func (s *Sealed) Digest() string { return hexSum(s.HeaderBytes) }

// Sealer compresses, chains and signs the batches of one node. It is for one
// goroutine at a time.
type Sealer struct {
	signer  Signer
	encoder *zstd.Encoder
}

// Compression is how hard a node tries to make its batches small.
type Compression int

// The levels. On 12-column rows Fastest compresses to a quarter at well over 200 MB/s, and
// the line is rarely the bottleneck; the others are for lines where it is.
const (
	Fastest Compression = iota
	Default
	Better
	Best
)

// ParseCompression reads fastest, default, better or best; empty is fastest.
func ParseCompression(text string) (Compression, bool) {
	switch text {
	case "", "fastest":
		return Fastest, true
	case "default":
		return Default, true
	case "better":
		return Better, true
	case "best":
		return Best, true
	}
	return Fastest, false
}

// NewSealer returns a sealer that signs with the node's key and compresses fast.
func NewSealer(signer Signer) (*Sealer, error) { return NewSealerAt(signer, Fastest) }

// NewSealerAt returns a sealer that compresses so hard.
func NewSealerAt(signer Signer, compression Compression) (*Sealer, error) {
	level, window := zstd.SpeedFastest, 1<<18
	switch compression {
	case Default:
		level = zstd.SpeedDefault
	case Better:
		level, window = zstd.SpeedBetterCompression, 1<<20
	case Best:
		level, window = zstd.SpeedBestCompression, 1<<20
	case Fastest:
	}
	// One goroutine: a node does more than this.
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(window))
	if err != nil {
		return nil, fmt.Errorf("batch: open zstd: %w", err)
	}
	return &Sealer{signer: signer, encoder: encoder}, nil
}

// Seal fills in the header's payload hash, signs it and returns the batch. The
// caller has set everything else in the header, Sequence and Previous included.
func (s *Sealer) Seal(header lienthong.BatchHeader, raw []byte) (*Sealed, error) {
	payload := s.encoder.EncodeAll(raw, make([]byte, 0, len(raw)/3+64))
	if len(payload) > MaxPayload || len(raw) > MaxRaw || header.Count > MaxRows {
		return nil, tooLarge(header.Stream, header.Sequence)
	}
	header.PayloadHash = hexSum(payload)
	headerBytes, err := json.Marshal(&header)
	if err != nil {
		return nil, fmt.Errorf("batch: encode header of %s: %w", header.Stream, err)
	}
	signature, err := s.signer.Sign(headerBytes)
	if err != nil {
		return nil, fmt.Errorf("batch: sign %s %d: %w", header.Stream, header.Sequence, err)
	}
	return &Sealed{Header: header, HeaderBytes: headerBytes, Signature: signature, Payload: payload}, nil
}

// Opener verifies and decompresses batches. It is for one goroutine at a time.
type Opener struct {
	verifier Verifier
	decoder  *zstd.Decoder
}

// NewOpener returns an opener that trusts the verifier's keys.
func NewOpener(verifier Verifier) (*Opener, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxRaw))
	if err != nil {
		return nil, fmt.Errorf("batch: open zstd: %w", err)
	}
	return &Opener{verifier: verifier, decoder: decoder}, nil
}

// Close releases the decompressor.
func (o *Opener) Close() { o.decoder.Close() }

// ParseHeader reads header bytes without trusting them: for routing only.
func ParseHeader(headerBytes []byte) (lienthong.BatchHeader, error) {
	var header lienthong.BatchHeader
	if err := json.Unmarshal(headerBytes, &header); err != nil {
		return header, &lienthong.Error{
			Code: "batch.header", Vi: "phần đầu lô không đọc được", En: "the batch's header cannot be read",
			Hint: "yêu cầu nút gửi lại / ask the node to send it again", Err: err,
		}
	}
	// One meaning, one spelling: what was signed is exactly what is understood.
	again, err := json.Marshal(&header)
	if err != nil || !bytes.Equal(again, headerBytes) {
		return header, &lienthong.Error{
			Code: "batch.header", Where: header.String(),
			Vi: "phần đầu lô không ở dạng chuẩn", En: "the batch's header is not in canonical form",
			Hint: "cập nhật phần mềm của nút / update the node's software",
		}
	}
	return header, nil
}

// Verify checks that the header was signed by the node that it names and that
// the payload is the one it describes. The error's code tells forged
// ("batch.forged") from truncated or altered ("batch.payload").
func (o *Opener) Verify(headerBytes []byte, signature string, payload []byte) (*Sealed, error) {
	header, err := ParseHeader(headerBytes)
	if err != nil {
		return nil, err
	}
	if len(payload) > MaxPayload || header.Count > MaxRows || header.Count < 0 {
		return nil, tooLarge(header.Stream, header.Sequence)
	}
	node, err := o.verifier.VerifyNode(headerBytes, signature)
	if err != nil || node != header.Node {
		return nil, &lienthong.Error{
			Code: "batch.forged", Where: place(header.Stream, header.Sequence),
			Vi: "chữ ký của lô không phải của nút gửi", En: "the batch is not signed by the node that it names",
			Hint: "lô bị từ chối; nút được yêu cầu gửi lại bản gốc / refused; the node is asked for the genuine one", Err: err,
		}
	}
	if hexSum(payload) != header.PayloadHash {
		return nil, &lienthong.Error{
			Code: "batch.payload", Where: place(header.Stream, header.Sequence),
			Vi: "nội dung lô bị cắt hoặc bị sửa", En: "the batch's payload was cut or changed on the way",
			Hint: "lô bị từ chối; nút được yêu cầu gửi lại / refused; the node is asked to send it again",
		}
	}
	return &Sealed{Header: header, HeaderBytes: headerBytes, Signature: signature, Payload: payload}, nil
}

// Raw decompresses the payload into dst, which may be nil, and returns it.
func (o *Opener) Raw(s *Sealed, dst []byte) ([]byte, error) {
	raw, err := o.decoder.DecodeAll(s.Payload, dst[:0])
	if err != nil {
		return nil, &lienthong.Error{
			Code: "batch.payload", Where: place(s.Header.Stream, s.Header.Sequence),
			Vi: "nội dung lô không giải nén được", En: "the batch's payload cannot be decompressed",
			Hint: "yêu cầu nút gửi lại / ask the node to send it again", Err: err,
		}
	}
	return raw, nil
}

func tooLarge(s lienthong.Stream, sequence uint64) error {
	return &lienthong.Error{
		Code: "batch.too_large", Where: place(s, sequence),
		Vi: "lô vượt quá giới hạn", En: "the batch is over the limits",
		Hint: fmt.Sprintf("tối đa %d dòng, %d MiB / at most %d rows, %d MiB", MaxRows, MaxPayload>>20, MaxRows, MaxPayload>>20),
	}
}

func place(s lienthong.Stream, sequence uint64) string { return fmt.Sprintf("%s #%d", s, sequence) }

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
