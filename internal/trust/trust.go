// Package trust says who is who: keys, signatures, certificates and the way a
// new node gets them.
//
// Every node makes three kinds of key for itself, and no private key ever leaves
// the machine that made it:
//
//   - a signing key (ECDSA P-256) for batches and receipts. Its public half is in
//     the hub's Directory; its name is the RFC 7638 thumbprint.
//   - a TLS key, made anew with every certificate.
//   - an encryption key (P-256) for what is carried to it by hand: see package bundle.
//
// Invariants:
//
//   - A signature is a detached JWS, ES256, over the exact bytes (RFC 7797).
//     No other algorithm is ever accepted, and a key is found only by its
//     thumbprint among registered keys, never taken from the message.
//   - Who is at the other end of a connection is read from the URI name of a
//     verified certificate, never from its subject.
//   - A node is admitted by a one-time token that names the node and pins the
//     hub's authority, so the first contact is already mutual.
package trust

import (
	"strings"

	"github.com/lienthong/lienthong"
)

// NodeID names a node in certificates and in the directory. Written out it is a
// URI in the style of SPIFFE: spiffe://government.gov.vn/G01/population.
type NodeID struct {
	Bloc   lienthong.Bloc
	Member lienthong.MemberCode
	Node   string
}

const (
	uriScheme  = "spiffe://"
	uriSuffix  = ".gov.vn"
	dnsSuffix  = ".lienthong.internal"
	maxNameLen = 40
)

// String is the URI.
func (id NodeID) String() string {
	return uriScheme + string(id.Bloc) + uriSuffix + "/" + string(id.Member) + "/" + id.Node
}

// IsZero reports whether the identifier is empty.
func (id NodeID) IsZero() bool { return id == NodeID{} }

// serverName is the DNS name in the node's certificate. It exists so that the
// ordinary verification of crypto/tls applies; it is never looked up.
func (id NodeID) serverName() string {
	return id.Node + "." + strings.ToLower(string(id.Member)) + dnsSuffix
}

// Validate reports what is wrong with the identifier.
func (id NodeID) Validate() error {
	member, err := lienthong.ParseMemberCode(string(id.Member))
	if err != nil {
		return err
	}
	if member != id.Member || !lowerName(string(id.Bloc), false) || !lowerName(id.Node, true) {
		return nodeNameError(id.String())
	}
	return nil
}

// MarshalText writes the URI.
func (id NodeID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (id *NodeID) UnmarshalText(text []byte) error {
	parsed, err := ParseNodeID(string(text))
	*id = parsed
	return err
}

// ParseNodeID reads the URI of a node. It accepts only the one way in which
// String writes it.
func ParseNodeID(uri string) (NodeID, error) {
	rest, ok := strings.CutPrefix(uri, uriScheme)
	if !ok || len(uri) > 200 {
		return NodeID{}, nodeNameError(uri)
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 3 {
		return NodeID{}, nodeNameError(uri)
	}
	bloc, ok := strings.CutSuffix(parts[0], uriSuffix)
	if !ok {
		return NodeID{}, nodeNameError(uri)
	}
	id := NodeID{Bloc: lienthong.Bloc(bloc), Member: lienthong.MemberCode(parts[1]), Node: parts[2]}
	if err := id.Validate(); err != nil {
		return NodeID{}, nodeNameError(uri)
	}
	return id, nil
}

func nodeNameError(where string) error {
	if len(where) > 200 {
		where = where[:200]
	}
	return &lienthong.Error{
		Code: "trust.node_name", Where: where,
		Vi: "không phải tên của một nút", En: "not the name of a node",
		Hint: "tên nút gồm 1-40 ký tự a-z, 0-9, '-' / a node's name is 1-40 characters of a-z, 0-9 and '-'",
	}
}

// lowerName allows what can stand in a DNS label, a URI and a message subject.
func lowerName(s string, digits bool) bool {
	if s == "" || len(s) > maxNameLen || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z'
		if !letter && (!digits || (c < '0' || c > '9') && c != '-') {
			return false
		}
	}
	return true
}
