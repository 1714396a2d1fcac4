package trust

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// maxAnswer bounds what a node reads from a hub: a directory of some 10,000 keys.
const maxAnswer = 8 << 20

// answerTimeout bounds one exchange with the hub.
const answerTimeout = 30 * time.Second

// Enrol redeems a one-time token at the hub and keeps the membership durably in
// the identity's directory. The hub must show a certificate of the authority
// whose fingerprint is in the token. Plain http is for loopback only. Calling
// it again with the same token and identity is safe: an answer that got lost is
// given again.
func Enrol(ctx context.Context, hubURL, tokenText string, identity *Identity) (Membership, error) {
	pinned, err := parseToken(tokenText)
	if err != nil {
		return Membership{}, err
	}
	if identity.now().Unix() >= pinned.expires {
		return Membership{}, tokenExpired()
	}
	endpoint, err := hubEndpoint(hubURL, "enrol")
	if err != nil {
		return Membership{}, err
	}
	key, request, err := newRequest()
	if err != nil {
		return Membership{}, err
	}
	payload, err := json.Marshal(enrolRequest{
		Token: pinned.encode(), Node: identity.name, Key: identity.publicKey, CSR: request,
	})
	if err != nil {
		return Membership{}, fmt.Errorf("enrol: %w", err)
	}
	signature, err := identity.Sign(payload)
	if err != nil {
		return Membership{}, err
	}
	body, err := Attach(payload, signature)
	if err != nil {
		return Membership{}, err
	}
	var membership Membership
	if err := exchange(ctx, pinnedTLS(pinned.fingerprint), http.MethodPost, endpoint, body, &membership); err != nil {
		return Membership{}, err
	}
	authority, err := parseCertificate([]byte(membership.CA))
	if err != nil || sha256.Sum256(authority.Raw) != pinned.fingerprint {
		return Membership{}, wrongHub()
	}
	if err := identity.join(membership, key); err != nil {
		return Membership{}, err
	}
	return membership, nil
}

// Renew gets a new certificate for a new key, over a connection that the
// current certificate opens.
func (i *Identity) Renew(ctx context.Context, hubURL string) error {
	current, ok := i.Membership()
	if !ok {
		return i.notEnrolled()
	}
	endpoint, err := hubEndpoint(hubURL, "renew")
	if err != nil {
		return err
	}
	config, err := i.ClientTLS(current.Hub)
	if err != nil {
		return err
	}
	key, request, err := newRequest()
	if err != nil {
		return err
	}
	body, err := json.Marshal(renewRequest{CSR: request})
	if err != nil {
		return fmt.Errorf("renew: %w", err)
	}
	var membership Membership
	if err := exchange(ctx, config, http.MethodPost, endpoint, body, &membership); err != nil {
		return err
	}
	if membership.Node != current.Node || membership.CA != current.CA {
		return wrongHub()
	}
	// A hub that has changed its signing key says so here, over the connection that
	// its authority vouches for.
	return i.join(membership, key)
}

// FetchDirectory gets the hub's signed list of keys, takes it into the directory and
// returns it as it came, to be kept.
func (i *Identity) FetchDirectory(ctx context.Context, hubURL string, directory *Directory) ([]byte, error) {
	current, ok := i.Membership()
	if !ok {
		return nil, i.notEnrolled()
	}
	endpoint, err := hubEndpoint(hubURL, "directory")
	if err != nil {
		return nil, err
	}
	config, err := i.ClientTLS(current.Hub)
	if err != nil {
		return nil, err
	}
	var signed json.RawMessage
	if err := exchange(ctx, config, http.MethodGet, endpoint, nil, &signed); err != nil {
		return nil, err
	}
	return signed, i.ImportDirectory(signed, directory)
}

// ImportDirectory takes a list in that came by any way. Only the node's own hub may
// have signed it: of the hubs above, a node knows what its hub says of them.
func (i *Identity) ImportDirectory(signed []byte, directory *Directory) error {
	current, ok := i.Membership()
	if !ok {
		return i.notEnrolled()
	}
	payload, signature, err := Detach(signed)
	if err != nil {
		return err
	}
	signer, err := directory.Verify(payload, signature)
	if err != nil {
		return err
	}
	if signer.Node != current.Hub {
		return wrongHub()
	}
	return directory.Import(signed, i.now())
}

// SendNodes tells the hub above which nodes are behind this hub, as SignedNodes wrote
// it, and returns those that the hub does not take.
func (i *Identity) SendNodes(ctx context.Context, hubURL string, signed []byte) ([]RefusedNode, error) {
	current, ok := i.Membership()
	if !ok {
		return nil, i.notEnrolled()
	}
	endpoint, err := hubEndpoint(hubURL, "nodes")
	if err != nil {
		return nil, err
	}
	config, err := i.ClientTLS(current.Hub)
	if err != nil {
		return nil, err
	}
	var answer nodesAnswer
	err = exchange(ctx, config, http.MethodPost, endpoint, signed, &answer)
	return answer.Refused, err
}

// pinnedTLS trusts exactly the authority with the fingerprint, which the server
// has to send along with its own certificate.
func pinnedTLS(fingerprint [sha256.Size]byte) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The authority is not known before the handshake; VerifyConnection checks the
		// chain against the pinned fingerprint instead of a list of roots.
		InsecureSkipVerify: true, //nolint:gosec // see VerifyConnection
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) < 2 {
				return wrongHub()
			}
			authority := state.PeerCertificates[len(state.PeerCertificates)-1]
			sum := sha256.Sum256(authority.Raw)
			if subtle.ConstantTimeCompare(sum[:], fingerprint[:]) != 1 {
				return wrongHub()
			}
			roots := x509.NewCertPool()
			roots.AddCert(authority)
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
				Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			})
			if err != nil {
				return wrongHub()
			}
			return nil
		},
	}
}

func wrongHub() error {
	return &lienthong.Error{
		Code: "trust.wrong_hub",
		Vi:   "máy chủ trả lời không phải trung tâm đã cấp mã", En: "the server that answers is not the hub that made the token",
		Hint: "kiểm tra địa chỉ trung tâm; nếu đúng, có thể có kẻ chen giữa / check the hub's address; if it is right, somebody may sit in between",
	}
}

// hubEndpoint builds the address of a resource, and refuses plain http off loopback.
func hubEndpoint(hubURL, resource string) (string, error) {
	parsed, err := url.Parse(hubURL)
	bad := func(cause error) (string, error) {
		return "", &lienthong.Error{
			Code: "trust.hub_url", Where: hubURL,
			Vi: "địa chỉ trung tâm không hợp lệ", En: "not an address of a hub",
			Hint: "viết https://tên-máy:cổng / write https://host:port", Err: cause,
		}
	}
	if err != nil {
		return bad(err)
	}
	if parsed.User != nil {
		hubURL = parsed.Redacted()
		return bad(errors.New("it holds a password"))
	}
	switch {
	case parsed.Host == "":
		return bad(errors.New("no host"))
	case parsed.Scheme == "https":
	case parsed.Scheme == "http" && loopback(parsed.Hostname()):
	default:
		return bad(errors.New("https is needed off loopback"))
	}
	return parsed.JoinPath(resource).String(), nil
}

func loopback(host string) bool {
	address := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || address != nil && address.IsLoopback()
}

// exchange sends one request and reads one answer into result.
func exchange(ctx context.Context, config *tls.Config, method, endpoint string, body []byte, result any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	transport := &http.Transport{
		TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second,
		DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, method, endpoint, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask the hub: %w", err)
	}
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	response, err := client.Do(request)
	if err != nil {
		var coded *lienthong.Error
		if errors.As(err, &coded) {
			return coded
		}
		return &lienthong.Error{
			Code: "trust.hub_unreachable", Where: endpoint,
			Vi: "không liên lạc được với trung tâm", En: "the hub cannot be reached",
			Hint: "kiểm tra đường truyền và địa chỉ / check the line and the address", Err: err,
		}
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	if len(data) > maxAnswer {
		return fmt.Errorf("read the hub's answer: more than %d bytes", maxAnswer)
	}
	if response.StatusCode != http.StatusOK {
		var refused refusal
		if err := json.Unmarshal(data, &refused); err != nil || refused.Code == "" {
			return fmt.Errorf("ask the hub: status %d", response.StatusCode)
		}
		return &lienthong.Error{Code: refused.Code, Vi: refused.Vi, En: refused.En, Hint: refused.Hint, Where: endpoint}
	}
	if err := json.Unmarshal(data, result); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	return nil
}
