package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/durable"
)

const (
	authorityKeyFile  = "authority.key"
	authorityCertFile = "authority.crt"
	// clockSlack lets a node whose clock is behind use its new certificate.
	clockSlack = 5 * time.Minute
)

// AuthorityOptions are the settings of a hub's certificate authority.
type AuthorityOptions struct {
	Options
	// Name is in the authority's certificate, for people. Empty: "Lienthong".
	Name string
	// Lifetime of the authority's certificate. 0: 10 years.
	Lifetime time.Duration
	// NodeLifetime is that of the certificates it issues. 0: 30 days. A node renews
	// when a third is left, so it may be out of reach for 10 days by default.
	NodeLifetime time.Duration
}

// Authority is a hub's own certificate authority: it issues certificates for
// the nodes that the hub has admitted, and for nothing else.
type Authority struct {
	key          *ecdsa.PrivateKey
	certificate  *x509.Certificate
	encoded      string
	now          func() time.Time
	nodeLifetime time.Duration
}

// OpenAuthority opens the authority in the directory; at the first start it
// makes the key and a self-signed certificate.
func OpenAuthority(dir string, options AuthorityOptions) (*Authority, error) {
	if options.Name == "" {
		options.Name = "Lienthong"
	}
	if options.Lifetime == 0 {
		options.Lifetime = 10 * 365 * 24 * time.Hour
	}
	if options.NodeLifetime == 0 {
		options.NodeLifetime = 30 * 24 * time.Hour
	}
	vault, err := openVault(dir, options.Seal)
	if err != nil {
		return nil, err
	}
	certified, err := vault.exists(authorityCertFile)
	if err != nil {
		return nil, fmt.Errorf("open authority %s: %w", dir, err)
	}
	key, err := openKey(vault, authorityKeyFile, !certified)
	if err != nil {
		return nil, err
	}
	authority := &Authority{key: key, now: options.clock(), nodeLifetime: options.NodeLifetime}
	if certified {
		data, err := os.ReadFile(filepath.Join(dir, authorityCertFile))
		if err != nil {
			return nil, fmt.Errorf("open authority: %w", err)
		}
		if authority.certificate, err = parseCertificate(data); err != nil {
			return nil, brokenKeyFile(dir, authorityCertFile, err)
		}
		if !key.PublicKey.Equal(authority.certificate.PublicKey) {
			return nil, brokenKeyFile(dir, authorityCertFile, errors.New("the certificate is of another key"))
		}
		authority.encoded = encodeCertificate(authority.certificate.Raw)
		return authority, nil
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := authority.now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: options.Name},
		NotBefore: now.Add(-clockSlack), NotAfter: now.Add(options.Lifetime),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:     true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	if authority.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	authority.encoded = encodeCertificate(der)
	if err := durable.WriteFile(filepath.Join(dir, authorityCertFile), []byte(authority.encoded), 0o644); err != nil {
		return nil, err
	}
	return authority, nil
}

// Certificate is the authority's certificate, PEM.
func (a *Authority) Certificate() string { return a.encoded }

func (a *Authority) fingerprint() [sha256.Size]byte { return sha256.Sum256(a.certificate.Raw) }

// Issue certifies the key of a certificate request (PKCS #10, DER) for the
// node. Of the request only the key is used; every name comes from id. Hosts
// are further names and addresses under which a hub is reached.
func (a *Authority) Issue(request []byte, id NodeID, hosts ...string) (string, error) {
	if err := id.Validate(); err != nil {
		return "", err
	}
	parsed, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return "", badRequest(err)
	}
	if err := parsed.CheckSignature(); err != nil {
		return "", badRequest(err)
	}
	key, ok := parsed.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
		return "", badRequest(errors.New("not an ECDSA key of P-256 or P-384"))
	}
	name, err := url.Parse(id.String())
	if err != nil {
		return "", fmt.Errorf("issue certificate: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return "", err
	}
	now := a.now()
	until := now.Add(a.nodeLifetime)
	if until.After(a.certificate.NotAfter) {
		until = a.certificate.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: id.Node},
		NotBefore: now.Add(-clockSlack), NotAfter: until,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{name}, DNSNames: []string{id.serverName()},
	}
	for _, host := range hosts {
		if address := net.ParseIP(host); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key, a.key)
	if err != nil {
		return "", fmt.Errorf("issue certificate: %w", err)
	}
	return encodeCertificate(der), nil
}

// Install gives the hub's own identity a certificate of its authority, when it
// has none or the one it has is due for renewal. A hub calls it at start and
// from time to time.
func (a *Authority) Install(hub *Identity, id NodeID, displayName string, hosts ...string) error {
	if current, ok := hub.Membership(); ok && current.Node == id && current.CA == a.encoded && !hub.RenewalDue() &&
		bytes.Equal(current.HubEncryption, hub.EncryptionKey()) {
		return nil
	}
	key, request, err := newRequest()
	if err != nil {
		return err
	}
	certificate, err := a.Issue(request, id, hosts...)
	if err != nil {
		return err
	}
	return hub.join(Membership{
		Node: id, Hub: id, HubName: displayName, HubKey: hub.PublicKey(),
		CA: a.encoded, Certificate: certificate, HubEncryption: hub.EncryptionKey(),
	}, key)
}

// newRequest makes a key and a request for its certificate.
func newRequest() (*ecdsa.PrivateKey, []byte, error) {
	key, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate request: %w", err)
	}
	return key, request, nil
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

func badRequest(cause error) error {
	return &lienthong.Error{
		Code: "trust.request",
		Vi:   "yêu cầu cấp chứng thư không hợp lệ", En: "not a valid certificate request",
		Hint: "dùng lienthong enrol để tạo yêu cầu / let lienthong enrol make the request", Err: cause,
	}
}
