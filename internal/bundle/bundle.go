// Package bundle is a file that carries batches where no line goes, and receipts
// back: on a stick, sealed and signed.
//
// A bundle is encrypted to one receiver (HPKE, RFC 9180) and signed by its sender
// twice: in front, so that a stranger's file is refused before anything in it is opened,
// and at the end over everything that is in it. What it carries are batches as their nodes
// signed them, byte by byte: a bundle adds no trust and takes none away. A reader says
// "whole" only after the end has been verified, so whoever imports one reads it through
// first. docs/wire/bundle.md is the specification.
package bundle

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/lienthong/lienthong"
)

// Kind says what a bundle carries.
type Kind string

// The kinds.
const (
	Batches  Kind = "batches"  // from a node to its hub
	Receipts Kind = "receipts" // from a hub to its node
)

// Version of the format that this package writes. It reads no other.
const Version = 1

const (
	magic        = "LTBUNDLE"
	chunkSize    = 64 << 10 // of plain text
	tagSize      = 16
	maxHeader    = 64 << 10
	maxSignature = 4 << 10
	maxDocument  = 32 << 20 // what a bundle says of itself: lists of nodes are in it
	context      = "lienthong bundle 1"

	// Overhead is more than a batch adds beside its payload.
	Overhead = 8 << 10

	moreFollow = 0
	lastChunk  = 1

	aboutRecord    = 'A'
	batchRecord    = 'B'
	receiptRecord  = 'R'
	manifestRecord = 'M'
)

// Header is the open part of a bundle: enough to know whose it is and for whom. Its
// exact bytes are signed by the sender.
type Header struct {
	Version int    `json:"version"`
	ID      string `json:"id"` // random: no bundle is taken in twice
	Kind    Kind   `json:"kind"`
	From    string `json:"from"`
	To      string `json:"to"`
	ToKey   string `json:"to_key"`  // SHA-256 of the receiver's encryption key, hexadecimal
	Created int64  `json:"created"` // microseconds since 1970 UTC
	Secret  []byte `json:"secret"`  // the encapsulated key of HPKE
}

// About is what a bundle says of itself under the seal.
type About struct {
	// Oldest is the first batch of each stream that the sender has no receipt for, also those
	// that are in other parts: the answer begins there.
	Oldest []Oldest `json:"oldest,omitempty"`
	Part   int      `json:"part,omitempty"` // 1, 2, 3 … when one file was too small
	// ReplyKey is the sender's encryption key, for the answer.
	ReplyKey []byte `json:"reply_key,omitempty"`
	// Answered is the last bundle of receipts that the sender has taken in.
	Answered string `json:"answered,omitempty"`
	// Nodes is a hub's signed list of the nodes behind it.
	Nodes json.RawMessage `json:"nodes,omitempty"`
	// Directory is the signed list of keys of the hub that answers.
	Directory json.RawMessage `json:"directory,omitempty"`
}

// Oldest is the first batch of a stream without a receipt.
type Oldest struct {
	Stream   lienthong.Stream `json:"stream"`
	Sequence uint64           `json:"sequence"`
}

// Receipt is a receipt as its hub signed it.
type Receipt struct {
	Body      string // the exact JSON
	Signature string
}

// manifest ends the content. It is signed.
type manifest struct {
	Bundle   string `json:"bundle"`
	Batches  int    `json:"batches"`
	Receipts int    `json:"receipts"`
	Content  string `json:"content"` // SHA-256 of all records before, hexadecimal
}

func kdf() hpke.KDF   { return hpke.HKDFSHA256() }
func aead() hpke.AEAD { return hpke.AES256GCM() }

func keyName(public []byte) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:])
}

func receiverKey(public []byte) (hpke.PublicKey, error) {
	point, err := ecdh.P256().NewPublicKey(public)
	if err != nil {
		return nil, &lienthong.Error{
			Code: "bundle.no_key", Vi: "không có khoá mã hoá của bên nhận", En: "the receiver's encryption key is not known",
			Hint: "nối nút với trung tâm một lần để lấy danh bạ / link the node with its hub once, so that it gets the directory", Err: err,
		}
	}
	return hpke.NewDHKEMPublicKey(point)
}

// parseHeader accepts the one spelling that this package writes.
func parseHeader(raw []byte) (Header, error) {
	var h Header
	if err := json.Unmarshal(raw, &h); err != nil {
		return h, damaged("header", err)
	}
	if h.Version != Version {
		return h, otherVersion(h.Version)
	}
	again, err := json.Marshal(&h) //nolint:gosec // the encapsulated key is public
	if err != nil || !bytes.Equal(again, raw) || h.ID == "" || h.From == "" || h.To == "" {
		return h, damaged("header", err)
	}
	if h.Kind != Batches && h.Kind != Receipts {
		return h, &lienthong.Error{
			Code: "bundle.kind", Where: h.Name(), Vi: "không biết loại gói", En: "not a kind of bundle that is known",
			Hint: "cập nhật phần mềm / update the software",
		}
	}
	return h, nil
}

// Name is how people call the bundle: sender and the beginning of its number.
func (h *Header) Name() string { return fmt.Sprintf("%s/%.8s", h.From, h.ID) }

func otherVersion(version int) error {
	return &lienthong.Error{
		Code: "bundle.version", Where: strconv.Itoa(version), Vi: "gói theo phiên bản khác", En: "the bundle has another version",
		Hint: "cập nhật phần mềm ở nơi nhập gói / update the software where it is imported",
	}
}

func damaged(where string, err error) error {
	return &lienthong.Error{
		Code: "bundle.damaged", Where: where, Vi: "gói bị hỏng hoặc bị sửa", En: "the bundle is damaged or was changed",
		Hint: "chép lại từ nơi xuất gói, hoặc xuất gói mới / copy it again from where it was exported, or export it again", Err: err,
	}
}

func truncated(err error) error {
	return &lienthong.Error{
		Code: "bundle.truncated", Vi: "gói bị cắt ngắn", En: "the bundle ends too early",
		Hint: "chép lại trọn tệp / copy the whole file again", Err: err,
	}
}
