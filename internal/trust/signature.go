package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/lienthong/lienthong"
)

// maxSignature bounds a signature before anything parses it: the header is some
// 110 bytes, the signature 86.
const maxSignature = 1024

// algorithms is the whole allow-list. ES256 is what the circulars on signing
// software accept; EdDSA is not on their list.
func algorithms() []jose.SignatureAlgorithm { return []jose.SignatureAlgorithm{jose.ES256} }

// newSigner signs detached, over the bytes as they are.
func newSigner(key *ecdsa.PrivateKey, keyID string) (jose.Signer, error) {
	options := (&jose.SignerOptions{}).WithBase64(false) // also makes "b64" critical
	return jose.NewSigner(jose.SigningKey{
		Algorithm: jose.ES256,
		Key:       jose.JSONWebKey{Key: key, KeyID: keyID},
	}, options)
}

// parsedSignature is a signature whose shape is right and whose key is known by name.
type parsedSignature struct {
	object *jose.JSONWebSignature
	keyID  string
}

func parseSignature(payload []byte, signature string) (parsedSignature, error) {
	if len(signature) > maxSignature {
		return parsedSignature{}, malformed(errors.New("too long"))
	}
	if strings.ContainsAny(signature, " \t\r\n") {
		return parsedSignature{}, malformed(errors.New("white space"))
	}
	// A signature has one spelling: without these checks the spare bits of the last
	// letters could be changed.
	header64, value, _ := strings.Cut(signature, "..")
	if _, err := base64.RawURLEncoding.Strict().DecodeString(header64); err != nil {
		return parsedSignature{}, malformed(err)
	}
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(value); err != nil || len(raw) > 2*32 {
		return parsedSignature{}, malformed(errors.New("not 64 bytes in base64url"))
	}
	if payload == nil {
		payload = []byte{}
	}
	object, err := jose.ParseDetached(signature, payload, algorithms())
	if err != nil {
		var unexpected *jose.ErrUnexpectedSignatureAlgorithm
		if errors.As(err, &unexpected) {
			return parsedSignature{}, &lienthong.Error{
				Code: "trust.algorithm",
				Vi:   "thuật toán ký không được phép", En: "the signature algorithm is not allowed",
				Hint: "chỉ ES256 được chấp nhận / only ES256 is accepted", Err: err,
			}
		}
		return parsedSignature{}, malformed(err)
	}
	if len(object.Signatures) != 1 {
		return parsedSignature{}, malformed(errors.New("not exactly one signature"))
	}
	header := object.Signatures[0].Protected
	if b64, ok := header.ExtraHeaders[jose.HeaderKey("b64")].(bool); !ok || b64 {
		return parsedSignature{}, malformed(errors.New("b64 is not false"))
	}
	if header.KeyID == "" {
		return parsedSignature{}, malformed(errors.New("no key is named"))
	}
	return parsedSignature{object: object, keyID: header.KeyID}, nil
}

func (p parsedSignature) check(payload []byte, key *ecdsa.PublicKey, where string) error {
	if err := p.object.DetachedVerify(payload, key); err != nil {
		return &lienthong.Error{
			Code: "trust.forged", Where: where,
			Vi:   "chữ ký không khớp với nội dung: bị giả mạo hoặc bị hỏng",
			En:   "the signature does not match the content: forged or damaged",
			Hint: "từ chối và yêu cầu bên gửi gửi lại / refuse it and ask the sender for it again", Err: err,
		}
	}
	return nil
}

func malformed(cause error) error {
	return &lienthong.Error{
		Code: "trust.malformed",
		Vi:   "chữ ký không đúng dạng", En: "not a signature of the right form",
		Hint: "cần JWS tách rời, ES256, b64=false / a detached JWS, ES256, b64=false is needed", Err: cause,
	}
}

// parseKey reads a public signing key and returns its name, the thumbprint.
func parseKey(raw []byte) (*ecdsa.PublicKey, string, error) {
	bad := func(cause error) (*ecdsa.PublicKey, string, error) {
		return nil, "", &lienthong.Error{
			Code: "trust.key",
			Vi:   "không phải khoá công khai P-256 dạng JWK", En: "not a public P-256 key as a JWK",
			Hint: "gửi khoá công khai mà nút đã tạo / send the public key that the node made", Err: cause,
		}
	}
	if len(raw) > 4096 {
		return bad(errors.New("too long"))
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(raw); err != nil {
		return bad(err)
	}
	key, ok := jwk.Key.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return bad(errors.New("another kind of key"))
	}
	if jwk.Algorithm != "" && jwk.Algorithm != string(jose.ES256) || jwk.Use != "" && jwk.Use != "sig" {
		return bad(errors.New("a key for another purpose"))
	}
	keyID, err := thumbprint(key)
	if err != nil {
		return bad(err)
	}
	if jwk.KeyID != "" && jwk.KeyID != keyID {
		return bad(errors.New("the key's name is not its thumbprint"))
	}
	return key, keyID, nil
}

// publicKey writes a public signing key as a JWK.
func publicKey(key *ecdsa.PublicKey) (raw []byte, keyID string, err error) {
	keyID, err = thumbprint(key)
	if err != nil {
		return nil, "", err
	}
	raw, err = jose.JSONWebKey{Key: key, KeyID: keyID, Algorithm: string(jose.ES256), Use: "sig"}.MarshalJSON()
	if err != nil {
		return nil, "", fmt.Errorf("write public key: %w", err)
	}
	return raw, keyID, nil
}

// thumbprint is the SHA-256 of RFC 7638 over the key's required members, which
// that RFC puts in this order.
func thumbprint(key *ecdsa.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(sha256Hash)
	if err != nil {
		return "", fmt.Errorf("thumbprint: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// document is a payload together with its signature: the flattened JSON form of
// RFC 7515 section 7.2.2 with the unencoded payload of RFC 7797. The payload is
// text, so that the signed bytes can be read in the file.
type document struct {
	Payload   string `json:"payload"`
	Protected string `json:"protected"`
	Signature string `json:"signature"`
}

// Attach puts a payload of UTF-8 text and its detached signature into one JSON
// document, a flattened JWS.
func Attach(payload []byte, signature string) ([]byte, error) {
	protected, rest, found := strings.Cut(signature, ".")
	empty, value, foundTwo := strings.Cut(rest, ".")
	if !found || !foundTwo || empty != "" || !base64url(protected) || !base64url(value) {
		return nil, malformed(errors.New("not detached"))
	}
	if !utf8.Valid(payload) {
		return nil, errors.New("attach signature: the payload is not text")
	}
	return json.Marshal(document{Payload: string(payload), Protected: protected, Signature: value})
}

// Detach takes apart what Attach has put together. It verifies nothing.
func Detach(data []byte) (payload []byte, signature string, err error) {
	var signed document
	if err := json.Unmarshal(data, &signed); err != nil {
		return nil, "", malformed(err)
	}
	if !base64url(signed.Protected) || !base64url(signed.Signature) {
		return nil, "", malformed(errors.New("no signature in the document"))
	}
	return []byte(signed.Payload), signed.Protected + ".." + signed.Signature, nil
}

// base64url reports whether a part of a signature has letters of that alphabet only.
func base64url(part string) bool {
	for i := range len(part) {
		c := part[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return part != ""
}
