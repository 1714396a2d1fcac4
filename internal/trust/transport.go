package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"

	"github.com/lienthong/lienthong"
)

// ServerTLS is for listeners that only members may reach: TLS 1.3, with a
// certificate of the authority on both sides. When allow is not nil it has the
// last word on each connection. A renewed certificate is used at once.
func (i *Identity) ServerTLS(allow func(NodeID) error) (*tls.Config, error) {
	config, err := i.EnrolmentTLS()
	if err != nil {
		return nil, err
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.ClientCAs = i.credential.Load().authorities
	config.VerifyConnection = func(state tls.ConnectionState) error {
		peer, err := Peer(state)
		if err != nil || allow == nil {
			return err
		}
		return allow(peer)
	}
	return config, nil
}

// EnrolmentTLS is for the listener where nodes enrol, and for browsers: TLS
// 1.3, and the client needs no certificate.
func (i *Identity) EnrolmentTLS() (*tls.Config, error) {
	if i.credential.Load() == nil {
		return nil, i.notEnrolled()
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &i.credential.Load().certificate, nil
		},
	}, nil
}

// ClientTLS is for connections to the given node, usually Membership.Hub. The
// server must show a certificate of the authority for exactly that node.
func (i *Identity) ClientTLS(server NodeID) (*tls.Config, error) {
	current := i.credential.Load()
	if current == nil {
		return nil, i.notEnrolled()
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		RootCAs:    current.authorities,
		ServerName: server.serverName(),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &i.credential.Load().certificate, nil
		},
		VerifyConnection: func(state tls.ConnectionState) error {
			peer, err := Peer(state)
			if err != nil {
				return err
			}
			if peer != server {
				return peerError(peer.String(), errors.New("another node answers"))
			}
			return nil
		},
	}, nil
}

// Peer says who is at the other end. It reads the one URI name of a verified
// certificate and nothing else.
func Peer(state tls.ConnectionState) (NodeID, error) {
	if len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return NodeID{}, peerError("", errors.New("no verified certificate"))
	}
	return nodeOf(state.VerifiedChains[0][0])
}

func nodeOf(certificate *x509.Certificate) (NodeID, error) {
	if len(certificate.URIs) != 1 {
		return NodeID{}, peerError("", errors.New("not exactly one URI name"))
	}
	id, err := ParseNodeID(certificate.URIs[0].String())
	if err != nil {
		return NodeID{}, peerError("", err)
	}
	return id, nil
}

func peerError(where string, cause error) error {
	return &lienthong.Error{
		Code: "trust.peer", Where: where,
		Vi: "chứng thư của bên kia không cho biết đó là nút nào", En: "the certificate at the other end does not say which node it is",
		Hint: "đăng ký lại nút đó / enrol that node again", Err: cause,
	}
}

// Expires is when the certificate ends; zero before enrolment.
func (i *Identity) Expires() time.Time {
	current := i.credential.Load()
	if current == nil {
		return time.Time{}
	}
	return current.certificate.Leaf.NotAfter
}

// RenewalTime is when a third of the certificate's life is left; zero before
// enrolment.
func (i *Identity) RenewalTime() time.Time {
	current := i.credential.Load()
	if current == nil {
		return time.Time{}
	}
	leaf := current.certificate.Leaf
	return leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 3)
}

// RenewalDue reports whether it is time to renew the certificate.
func (i *Identity) RenewalDue() bool {
	due := i.RenewalTime()
	return !due.IsZero() && !i.now().Before(due)
}
