package bundle

import (
	"bufio"
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"slices"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
)

// ReaderConfig says who reads and whom it believes.
type ReaderConfig struct {
	Keys []ecdh.KeyExchanger // the reader's encryption keys: it may be several places in one
	// Sender knows the keys of those who may send a kind of bundle.
	Sender func(kind Kind) batch.Verifier
}

// Reader reads a bundle from front to end. Nothing of it is to be used before Next
// has returned io.EOF: only then the end was seen and the whole is what the sender signed.
type Reader struct {
	Header Header
	About  About

	in        *bufio.Reader
	recipient *hpke.Recipient
	sender    batch.Verifier
	binding   []byte
	plain     []byte // of the chunk, what was not read yet
	last      bool
	content   hash.Hash
	batches   int
	receipts  int
	err       error
}

// Record is one of the two.
type Record struct {
	Batch   *batch.Sealed // not verified: that is for whoever lands it
	Receipt *Receipt
}

// Open reads the front of a bundle and checks whom it is from and for whom.
func Open(r io.Reader, config ReaderConfig) (*Reader, error) {
	b := &Reader{in: bufio.NewReaderSize(r, chunkSize), content: sha256.New()}
	front := make([]byte, len(magic)+1)
	if _, err := io.ReadFull(b.in, front); err != nil || string(front[:len(magic)]) != magic {
		return nil, &lienthong.Error{
			Code: "bundle.format", Vi: "không phải tệp gói của Liên thông", En: "not a bundle",
			Hint: "chọn tệp do lienthong bundle export tạo ra / choose a file that lienthong bundle export has made", Err: err,
		}
	}
	if version := int(front[len(magic)]); version != Version {
		return nil, otherVersion(version)
	}
	raw, err := b.outer(4, maxHeader)
	if err != nil {
		return nil, err
	}
	signature, err := b.outer(2, maxSignature)
	if err != nil {
		return nil, err
	}
	if b.Header, err = parseHeader(raw); err != nil {
		return nil, err
	}
	b.sender = config.Sender(b.Header.Kind)
	at := slices.IndexFunc(config.Keys, func(k ecdh.KeyExchanger) bool { return b.Header.ToKey == keyName(k.PublicKey().Bytes()) })
	if at < 0 {
		return nil, &lienthong.Error{
			Code: "bundle.wrong_receiver", Where: b.Header.Name() + " → " + b.Header.To,
			Vi: "gói được niêm phong cho nơi khác", En: "the bundle is sealed for another receiver",
			Hint: "nhập gói tại " + b.Header.To + "; nếu đúng nơi, xuất lại gói / import it at " + b.Header.To + "; if this is the place, export it again",
		}
	}
	if err := b.from(raw, string(signature)); err != nil {
		return nil, err
	}
	key, err := hpke.NewDHKEMPrivateKey(config.Keys[at])
	if err != nil {
		return nil, damaged("key", err)
	}
	if b.recipient, err = hpke.NewRecipient(b.Header.Secret, key, kdf(), aead(), []byte(context)); err != nil {
		return nil, damaged(b.Header.Name(), err)
	}
	sum := sha256.Sum256(raw)
	b.binding = sum[:]
	if kind, err := b.inner(1); err != nil || kind[0] != aboutRecord {
		return nil, b.wrong(err)
	}
	about, err := b.field(4, maxDocument)
	if err != nil {
		return nil, b.wrong(err)
	}
	if err := json.Unmarshal(about, &b.About); err != nil {
		return nil, damaged(b.Header.Name(), err)
	}
	return b, nil
}

// from checks that the named sender has signed.
func (b *Reader) from(signed []byte, signature string) error {
	node, err := b.sender.VerifyNode(signed, signature)
	switch code := lienthong.ErrorCode(err); {
	case err == nil && node == b.Header.From:
		return nil
	case code == "trust.unknown_signer" || code == "trust.retired_signer":
		return &lienthong.Error{
			Code: "bundle.unknown_sender", Where: b.Header.Name(),
			Vi: "gói của một nơi gửi chưa đăng ký hoặc đã thu hồi", En: "the sender of the bundle is not enrolled, or has been retired",
			Hint: "đăng ký nút trước khi nhập gói / enrol the node before its bundle is imported", Err: err,
		}
	}
	return &lienthong.Error{
		Code: "bundle.forged", Where: b.Header.Name(),
		Vi: "chữ ký của gói không phải của nơi gửi", En: "the bundle is not signed by the sender that it names",
		Hint: "từ chối; báo người quản trị / refused; tell the administrator", Err: err,
	}
}

// Next returns the next record; io.EOF after the last one, when all of the bundle has
// been seen and verified.
func (b *Reader) Next() (Record, error) {
	if b.err != nil {
		return Record{}, b.err
	}
	record, err := b.next()
	if err != nil {
		if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = b.wrong(err)
		}
		b.err = err
	}
	return record, err
}

func (b *Reader) next() (Record, error) {
	before := b.content.Sum(nil)
	kind, err := b.inner(1)
	if err != nil {
		return Record{}, err
	}
	switch kind[0] {
	case batchRecord:
		var s batch.Sealed
		if s.HeaderBytes, err = b.field(4, maxHeader); err != nil {
			return Record{}, err
		}
		signature, err := b.field(2, maxSignature)
		if err != nil {
			return Record{}, err
		}
		s.Signature = string(signature)
		if s.Payload, err = b.field(4, batch.MaxPayload); err != nil {
			return Record{}, err
		}
		if s.Header, err = batch.ParseHeader(s.HeaderBytes); err != nil {
			return Record{}, err
		}
		b.batches++
		return Record{Batch: &s}, nil
	case receiptRecord:
		body, err := b.field(4, maxHeader)
		if err != nil {
			return Record{}, err
		}
		signature, err := b.field(2, maxSignature)
		b.receipts++
		return Record{Receipt: &Receipt{Body: string(body), Signature: string(signature)}}, err
	case manifestRecord:
		return Record{}, b.end(before)
	}
	return Record{}, damaged(b.Header.Name(), nil)
}

// end checks the manifest and that nothing follows. It returns io.EOF when all is well.
func (b *Reader) end(content []byte) error {
	raw, err := b.field(4, maxHeader)
	if err != nil {
		return err
	}
	signature, err := b.field(2, maxSignature)
	if err != nil {
		return err
	}
	want, err := json.Marshal(&manifest{
		Bundle: b.Header.ID, Batches: b.batches, Receipts: b.receipts, Content: hex.EncodeToString(content),
	})
	if err != nil || !bytes.Equal(raw, want) {
		return damaged(b.Header.Name(), err)
	}
	if err := b.from(raw, string(signature)); err != nil {
		return err
	}
	if !b.last || len(b.plain) > 0 {
		return damaged(b.Header.Name(), nil)
	}
	if _, err := b.in.ReadByte(); !errors.Is(err, io.EOF) {
		return damaged(b.Header.Name(), err)
	}
	return io.EOF
}

// wrong gives a failed reading its code.
func (b *Reader) wrong(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return truncated(err)
	case lienthong.ErrorCode(err) != "internal":
		return err
	}
	return damaged(b.Header.Name(), err)
}

// outer reads a field of the open front.
func (b *Reader) outer(width, most int) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(b.in, length[4-width:]); err != nil {
		return nil, truncated(err)
	}
	n := int(binary.BigEndian.Uint32(length[:]))
	if n > most {
		return nil, damaged("header", nil)
	}
	field := make([]byte, n)
	if _, err := io.ReadFull(b.in, field); err != nil {
		return nil, truncated(err)
	}
	return field, nil
}

// field reads a length and as many bytes of the content.
func (b *Reader) field(width, most int) ([]byte, error) {
	raw, err := b.inner(width)
	if err != nil {
		return nil, err
	}
	n := 0
	for _, c := range raw {
		n = n<<8 | int(c)
	}
	if n > most {
		return nil, damaged(b.Header.Name(), nil)
	}
	return b.inner(n)
}

// inner reads so many bytes of the content. It takes no memory for what is not there.
func (b *Reader) inner(n int) ([]byte, error) {
	var whole []byte
	for {
		if len(b.plain) >= n-len(whole) {
			part := b.plain[:n-len(whole)]
			b.plain = b.plain[len(part):]
			_, _ = b.content.Write(part) // never fails
			return append(whole, part...), nil
		}
		_, _ = b.content.Write(b.plain)
		whole = append(whole, b.plain...)
		b.plain = nil
		if err := b.chunk(); err != nil {
			return nil, err
		}
	}
}

// chunk opens the next chunk. An end of the file that no last chunk has announced is a
// cut.
func (b *Reader) chunk() error {
	if b.last {
		return damaged(b.Header.Name(), nil)
	}
	var length [4]byte
	if _, err := io.ReadFull(b.in, length[:]); err != nil {
		return io.ErrUnexpectedEOF
	}
	n := int(binary.BigEndian.Uint32(length[:]))
	if n < 1+tagSize || n > chunkSize+1+tagSize {
		return damaged(b.Header.Name(), nil)
	}
	sealed := make([]byte, n)
	if _, err := io.ReadFull(b.in, sealed); err != nil {
		return io.ErrUnexpectedEOF
	}
	plain, err := b.recipient.Open(b.binding, sealed)
	if err != nil {
		return damaged(b.Header.Name(), err)
	}
	if plain[0] != moreFollow && plain[0] != lastChunk {
		return damaged(b.Header.Name(), nil)
	}
	b.last, b.plain = plain[0] == lastChunk, plain[1:]
	return nil
}
