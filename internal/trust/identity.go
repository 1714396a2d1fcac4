package trust

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/lienthong/lienthong"
)

// The files of an identity. Each is written whole or not at all.
const (
	signingFile    = "signing.key"
	membershipFile = "membership.key"
	encryptionFile = "encryption.key"
)

// Options are the settings that every holder of keys has.
type Options struct {
	// Seal encrypts the key files: 16 bytes or more from outside the disk, such as a
	// systemd credential. Empty: the files' mode, 0600, is their only protection.
	Seal []byte
	// Now is the clock. nil: time.Now.
	Now func() time.Time
}

// LogValue keeps the seal out of logs.
func (o Options) LogValue() slog.Value { return slog.GroupValue(slog.Bool("sealed", len(o.Seal) > 0)) }

func (o Options) clock() func() time.Time {
	if o.Now == nil {
		return time.Now
	}
	return o.Now
}

// Identity is a node: its signing key, and after enrolment its certificate. It
// is safe for concurrent use.
type Identity struct {
	vault      vault
	name       string
	now        func() time.Time
	signer     jose.Signer
	keyID      string
	publicKey  []byte
	encryption *ecdh.PrivateKey
	credential atomic.Pointer[credential] // nil before enrolment
}

// Membership is what a node knows after enrolment.
type Membership struct {
	Node        NodeID          `json:"node"`
	Hub         NodeID          `json:"hub"`
	HubName     string          `json:"hub_name"`    // for people
	HubKey      json.RawMessage `json:"hub_key"`     // the hub's public signing key, a JWK
	CA          string          `json:"ca"`          // the hub's authority, PEM
	Certificate string          `json:"certificate"` // the node's, PEM
	// HubEncryption is the hub's public encryption key, a P-256 point. Empty in memberships of
	// before it existed: then the hub's directory has it.
	HubEncryption []byte `json:"hub_encryption,omitempty"`
}

// stored is the membership file. The TLS key is in the same file as its
// certificate, so that no crash can part them.
type stored struct {
	Membership
	TLSKey string `json:"tls_key"` // PKCS #8, PEM
}

// credential is a membership in the form that crypto/tls uses. It never changes.
type credential struct {
	membership  Membership
	certificate tls.Certificate
	authorities *x509.CertPool
}

// OpenIdentity opens the identity in the directory, and makes its keys when it
// is the first start. The name is the node's, as its enrolment token says it.
func OpenIdentity(dir, name string, options Options) (*Identity, error) {
	if !lowerName(name, true) {
		return nil, nodeNameError(name)
	}
	vault, err := openVault(dir, options.Seal)
	if err != nil {
		return nil, err
	}
	enrolled, err := vault.exists(membershipFile)
	if err != nil {
		return nil, fmt.Errorf("open identity %s: %w", dir, err)
	}
	// An enrolled node whose signing key has gone must not quietly sign with a new one.
	key, err := openKey(vault, signingFile, !enrolled)
	if err != nil {
		return nil, err
	}
	raw, keyID, err := publicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	signer, err := newSigner(key, keyID)
	if err != nil {
		return nil, fmt.Errorf("open identity %s: %w", dir, err)
	}
	// Nothing lasting hangs on this key: what was sealed for a lost one is sealed again.
	encryption, err := openKey(vault, encryptionFile, true)
	if err != nil {
		return nil, err
	}
	identity := &Identity{
		vault: vault, name: name, now: options.clock(),
		signer: signer, keyID: keyID, publicKey: raw,
	}
	if identity.encryption, err = encryption.ECDH(); err != nil {
		return nil, brokenKeyFile(dir, encryptionFile, err)
	}
	if !enrolled {
		return identity, nil
	}
	data, err := vault.read(membershipFile)
	if err != nil {
		return nil, err
	}
	var file stored
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, brokenKeyFile(dir, membershipFile, err)
	}
	if file.Node.Node != name {
		return nil, &lienthong.Error{
			Code: "trust.wrong_node", Where: dir,
			Vi:   "thư mục khoá thuộc nút " + file.Node.Node + ", không phải " + name,
			En:   "the key directory belongs to node " + file.Node.Node + ", not " + name,
			Hint: "mỗi nút dùng một thư mục riêng / give each node a directory of its own",
		}
	}
	credential, err := newCredential(file)
	if err != nil {
		return nil, brokenKeyFile(dir, membershipFile, err)
	}
	identity.credential.Store(credential)
	return identity, nil
}

// Name is the node's name.
func (i *Identity) Name() string { return i.name }

// KeyID is the thumbprint of the signing key.
func (i *Identity) KeyID() string { return i.keyID }

// PublicKey is the public half of the signing key, as a JWK.
func (i *Identity) PublicKey() json.RawMessage { return append(json.RawMessage(nil), i.publicKey...) }

// EncryptionKey is the public half of the encryption key, a P-256 point.
func (i *Identity) EncryptionKey() []byte { return i.encryption.PublicKey().Bytes() }

// Decrypter agrees on secrets with the encryption key.
func (i *Identity) Decrypter() ecdh.KeyExchanger { return i.encryption }

// Sign returns a detached JWS over exactly these bytes.
func (i *Identity) Sign(payload []byte) (string, error) {
	object, err := i.signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	signature, err := object.DetachedCompactSerialize()
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return signature, nil
}

// Membership is what the node got at enrolment; false before that.
func (i *Identity) Membership() (Membership, bool) {
	current := i.credential.Load()
	if current == nil {
		return Membership{}, false
	}
	return current.membership, true
}

// HubDirectory is a new directory that knows the hub the node has enrolled
// with. Receipts and signed directories are verified with it.
func (i *Identity) HubDirectory() (*Directory, error) {
	current := i.credential.Load()
	if current == nil {
		return nil, i.notEnrolled()
	}
	directory := NewDirectory()
	_, err := directory.Register(Registration{
		Node: current.membership.Hub, Role: RoleHub, Key: current.membership.HubKey, Encryption: current.membership.HubEncryption,
	})
	return directory, err
}

// join keeps a membership durably and uses it from now on.
func (i *Identity) join(membership Membership, key *ecdsa.PrivateKey) error {
	if membership.Node.Node != i.name {
		return &lienthong.Error{
			Code: "trust.wrong_node", Where: membership.Node.String(),
			Vi: "chứng thư của một nút khác", En: "a certificate for another node",
			Hint: "kiểm tra mã đăng ký / check the enrolment token",
		}
	}
	encoded, err := encodeKey(key)
	if err != nil {
		return err
	}
	file := stored{Membership: membership, TLSKey: string(encoded)}
	credential, err := newCredential(file)
	if err != nil {
		return fmt.Errorf("membership: %w", err)
	}
	data, err := json.Marshal(file)
	if err != nil {
		return fmt.Errorf("membership: %w", err)
	}
	if err := i.vault.write(membershipFile, data); err != nil {
		return err
	}
	i.credential.Store(credential)
	return nil
}

func (i *Identity) notEnrolled() error {
	return &lienthong.Error{
		Code: "trust.not_enrolled", Where: i.name,
		Vi: "nút chưa đăng ký với trung tâm", En: "the node has not enrolled with a hub",
		Hint: "xin mã một lần rồi chạy lienthong enrol / get a one-time token and run lienthong enrol",
	}
}

// newCredential checks that key, certificate and authority belong together.
func newCredential(file stored) (*credential, error) {
	certificate, err := tls.X509KeyPair([]byte(file.Certificate), []byte(file.TLSKey))
	if err != nil {
		return nil, err
	}
	authority, err := parseCertificate([]byte(file.CA))
	if err != nil {
		return nil, err
	}
	named, err := nodeOf(certificate.Leaf)
	if err != nil {
		return nil, err
	}
	if named != file.Node {
		return nil, errors.New("the certificate names another node")
	}
	if err := certificate.Leaf.CheckSignatureFrom(authority); err != nil {
		return nil, fmt.Errorf("the certificate is not of this authority: %w", err)
	}
	if _, _, err := parseKey(file.HubKey); err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	// The authority travels along: who enrols knows only its fingerprint.
	certificate.Certificate = append(certificate.Certificate, authority.Raw)
	return &credential{membership: file.Membership, certificate: certificate, authorities: pool}, nil
}

func parseCertificate(data []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" || len(rest) != 0 {
		return nil, errors.New("not one certificate in PEM")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse certificate: %w", err)
	}
	return certificate, nil
}

func encodeCertificate(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return key, nil
}

// openKey reads a P-256 key, or makes and keeps one when there is none and it may.
func openKey(vault vault, name string, mayMake bool) (*ecdsa.PrivateKey, error) {
	there, err := vault.exists(name)
	if err != nil {
		return nil, fmt.Errorf("open key %s: %w", name, err)
	}
	if !there {
		if !mayMake {
			return nil, &lienthong.Error{
				Code: "trust.key_lost", Where: vault.dir + "/" + name,
				Vi: "thiếu tệp khoá mà chứng thư đang dùng cần đến", En: "the key file that goes with the certificate is missing",
				Hint: "khôi phục tệp từ bản sao lưu, hoặc xoá thư mục và đăng ký lại / restore it from the backup, or remove the directory and enrol again",
			}
		}
		key, err := newKey()
		if err != nil {
			return nil, err
		}
		encoded, err := encodeKey(key)
		if err != nil {
			return nil, err
		}
		return key, vault.write(name, encoded)
	}
	data, err := vault.read(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, brokenKeyFile(vault.dir, name, errors.New("no private key in PEM"))
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, brokenKeyFile(vault.dir, name, errors.New("not PKCS #8"))
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, brokenKeyFile(vault.dir, name, errors.New("not a P-256 key"))
	}
	return key, nil
}

func brokenKeyFile(dir, name string, cause error) error {
	return &lienthong.Error{
		Code: "trust.key_broken", Where: dir + "/" + name,
		Vi: "tệp khoá bị hỏng", En: "the key file is damaged",
		Hint: "khôi phục tệp từ bản sao lưu / restore it from the backup", Err: cause,
	}
}

// Fingerprint is the SHA-256 of a certificate in hexadecimal, as people compare it.
func Fingerprint(certificatePEM string) (string, error) {
	certificate, err := parseCertificate([]byte(certificatePEM))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(certificate.Raw)
	return hex.EncodeToString(sum[:]), nil
}
