package trust

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
)

// TokenRecord is what the hub keeps of a one-time token. The token itself is
// nowhere: Hash is the SHA-256 of its secret in hexadecimal.
type TokenRecord struct {
	Hash      string
	Node      NodeID // whom it admits
	Role      Role   // as what: a hub may bring batches of nodes behind it. Empty: RoleNode
	ExpiresAt time.Time
	UsedAt    time.Time // zero: not used
	UsedBy    string    // thumbprint of the signing key that used it
}

// NodeRecord is an admitted node.
type NodeRecord struct {
	Node        NodeID
	Key         []byte // public signing key, JWK
	KeyID       string // its thumbprint
	Certificate string // PEM, the latest
	EnrolledAt  time.Time
	RetiredAt   time.Time // zero: in use
	Role        Role      // RoleHub: it may bring batches of nodes behind it. Empty: RoleNode
	Via         string    // the hub below through which it is reached; empty: its own link
}

// Registry keeps tokens and nodes durably. Package store implements it.
type Registry interface {
	// SaveToken keeps a new token.
	SaveToken(ctx context.Context, token TokenRecord) error
	// FindToken looks a token up; false when there is none.
	FindToken(ctx context.Context, hash string) (TokenRecord, bool, error)
	// Redeem marks the token used by node.KeyID at node.EnrolledAt and inserts or
	// replaces the node under its name, in one transaction. When another key has
	// used the token it changes nothing and returns false; when the same key has
	// used it already, it succeeds again, because the answer may have got lost.
	Redeem(ctx context.Context, hash string, node NodeRecord) (bool, error)
	// Renewed replaces the certificate of an admitted node.
	Renewed(ctx context.Context, node NodeID, certificate string) error
	// Nodes lists every admitted node.
	Nodes(ctx context.Context) ([]NodeRecord, error)
	// TakeNodes inserts or replaces nodes behind a hub below and keeps the version of their
	// list, in one transaction. A version that is not newer than the one it has changes nothing;
	// it returns the one that it has now. A name of a node that is not behind this hub stays as it is.
	TakeNodes(ctx context.Context, hub string, version uint64, nodes []NodeRecord) (kept uint64, err error)
}

// EnrolmentEvent is something that belongs in the audit log. It holds no secret.
type EnrolmentEvent struct {
	Code  string // "enrolled", "renewed", "invited" or the code of the refusal
	Node  NodeID // zero when it is not known
	KeyID string
}

// EnrolmentConfig is what a hub needs to admit nodes.
type EnrolmentConfig struct {
	Authority *Authority
	Registry  Registry
	Directory *Directory // nodes are registered here as they are admitted
	Hub       *Identity  // installed, see Authority.Install
	// TokenLifetime is the longest life of a token. 0: 24 hours.
	TokenLifetime time.Duration
	// AttemptsPerMinute bounds requests of one address. 0: 20.
	AttemptsPerMinute int
	// Observe hears of every invitation, admission, renewal and refusal. nil: nobody does.
	Observe func(context.Context, EnrolmentEvent)
	// Now is the clock. nil: time.Now.
	Now func() time.Time
	// Log hears of failures that are not the caller's. nil: slog.Default.
	Log *slog.Logger
}

// Enrolment admits nodes to a hub.
type Enrolment struct {
	config EnrolmentConfig
	limits *limiter

	taking sync.Mutex // one list of nodes at a time
	mu     sync.Mutex
	hubs   map[string]bool // names of nodes that are hubs
}

// maxEnrolmentBody bounds a request: a certificate request, a key, a signature.
const maxEnrolmentBody = 16 << 10

// NewEnrolment makes the hub's side of enrolment, and registers the hub and the
// nodes of the registry in the directory.
func NewEnrolment(ctx context.Context, config EnrolmentConfig) (*Enrolment, error) {
	if config.TokenLifetime == 0 {
		config.TokenLifetime = 24 * time.Hour
	}
	if config.AttemptsPerMinute == 0 {
		config.AttemptsPerMinute = 20
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	if config.Observe == nil {
		config.Observe = func(context.Context, EnrolmentEvent) {}
	}
	hub, ok := config.Hub.Membership()
	if !ok {
		return nil, config.Hub.notEnrolled()
	}
	if _, err := config.Directory.Register(Registration{Node: hub.Node, Role: RoleHub, Key: config.Hub.PublicKey(), Encryption: config.Hub.EncryptionKey()}); err != nil {
		return nil, err
	}
	nodes, err := config.Registry.Nodes(ctx)
	if err != nil {
		return nil, fmt.Errorf("load nodes: %w", err)
	}
	hubs := map[string]bool{}
	for _, node := range nodes {
		hubs[node.Node.Node] = node.Role == RoleHub
		registration := node.registration()
		if _, err := config.Directory.Register(registration); err != nil {
			return nil, fmt.Errorf("load node %s: %w", node.Node, err)
		}
	}
	return &Enrolment{config: config, limits: newLimiter(config.AttemptsPerMinute), hubs: hubs}, nil
}

func (n NodeRecord) registration() Registration {
	r := Registration{Node: n.Node, Role: RoleNode, Key: n.Key, Since: n.EnrolledAt.UnixMicro(), Via: n.Via}
	if !n.RetiredAt.IsZero() {
		r.Retired = n.RetiredAt.UnixMicro()
	}
	return r
}

// Invite makes a one-time token that admits the node. The token is shown once
// and cannot be shown again. A lifetime of 0 is the longest allowed.
func (e *Enrolment) Invite(ctx context.Context, node NodeID, lifetime time.Duration) (string, error) {
	return e.invite(ctx, node, RoleNode, lifetime)
}

// InviteHub is Invite for a hub below this one: it may bring batches of nodes that it
// has admitted itself.
func (e *Enrolment) InviteHub(ctx context.Context, node NodeID, lifetime time.Duration) (string, error) {
	return e.invite(ctx, node, RoleHub, lifetime)
}

func (e *Enrolment) invite(ctx context.Context, node NodeID, role Role, lifetime time.Duration) (string, error) {
	if err := node.Validate(); err != nil {
		return "", err
	}
	if e.taken(node.Node, "") {
		return "", nameTaken(node)
	}
	if lifetime <= 0 || lifetime > e.config.TokenLifetime {
		lifetime = e.config.TokenLifetime
	}
	expires := e.config.Now().Add(lifetime).Truncate(time.Second)
	made, err := newToken(e.config.Authority.fingerprint(), expires)
	if err != nil {
		return "", err
	}
	if err := e.config.Registry.SaveToken(ctx, TokenRecord{Hash: made.hash(), Node: node, Role: role, ExpiresAt: expires}); err != nil {
		return "", fmt.Errorf("invite %s: %w", node, err)
	}
	e.config.Observe(ctx, EnrolmentEvent{Code: "invited", Node: node})
	return made.encode(), nil
}

// enrolRequest is what a node sends, signed with the key in it: who asks shows
// that it holds the key, and nobody on the way can put another in its place.
type enrolRequest struct {
	Token string          `json:"token"`
	Node  string          `json:"node"`
	Key   json.RawMessage `json:"key"`
	CSR   []byte          `json:"csr"`
}

// renewRequest goes over a connection that the old certificate has opened.
type renewRequest struct {
	CSR []byte `json:"csr"`
}

// refusal is the body of an error.
type refusal struct {
	Code string `json:"code"`
	Vi   string `json:"vi"`
	En   string `json:"en"`
	Hint string `json:"hint,omitempty"`
}

// Handler serves POST /enrol (no client certificate), POST /renew and POST /nodes
// (with one) and GET /directory, the signed list of keys.
func (e *Enrolment) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /enrol", e.serve(maxEnrolmentBody, func(r *http.Request, body []byte) (any, NodeID, error) { return e.enrol(r.Context(), body) }))
	mux.HandleFunc("POST /renew", e.serve(maxEnrolmentBody, e.renew))
	mux.HandleFunc("POST /nodes", e.serve(maxAnswer, e.nodes))
	mux.HandleFunc("GET /directory", e.directory)
	return mux
}

func (e *Enrolment) serve(most int64, answer func(*http.Request, []byte) (any, NodeID, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		address, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			address = r.RemoteAddr
		}
		if !e.limits.allow(address, e.config.Now()) {
			w.Header().Set("Retry-After", "60")
			e.refuse(w, r, NodeID{}, &lienthong.Error{
				Code: "trust.too_many",
				Vi:   "quá nhiều yêu cầu đăng ký", En: "too many enrolment requests",
				Hint: "thử lại sau một phút / try again in a minute",
			})
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
		if err != nil {
			e.refuse(w, r, NodeID{}, badRequest(err))
			return
		}
		result, node, err := answer(r, body)
		if err != nil {
			e.refuse(w, r, node, err)
			return
		}
		e.reply(w, r, http.StatusOK, result)
	}
}

func (e *Enrolment) enrol(ctx context.Context, body []byte) (any, NodeID, error) {
	payload, signature, err := Detach(body)
	if err != nil {
		return nil, NodeID{}, err
	}
	var request enrolRequest
	if err := json.Unmarshal(payload, &request); err != nil {
		return nil, NodeID{}, badRequest(err)
	}
	key, keyID, err := parseKey(request.Key)
	if err != nil {
		return nil, NodeID{}, err
	}
	parsed, err := parseSignature(payload, signature)
	if err != nil {
		return nil, NodeID{}, err
	}
	if parsed.keyID != keyID {
		return nil, NodeID{}, badRequest(errors.New("signed with another key than the one in it"))
	}
	if err := parsed.check(payload, key, ""); err != nil {
		return nil, NodeID{}, err
	}
	presented, err := parseToken(request.Token)
	if err != nil {
		return nil, NodeID{}, err
	}
	record, found, err := e.config.Registry.FindToken(ctx, presented.hash())
	if err != nil {
		return nil, NodeID{}, fmt.Errorf("find token: %w", err)
	}
	if !found {
		return nil, NodeID{}, &lienthong.Error{
			Code: "trust.token_unknown",
			Vi:   "trung tâm không có mã đăng ký này", En: "the hub does not know this enrolment token",
			Hint: "xin trung tâm cấp mã mới / ask the hub for a new one",
		}
	}
	now := e.config.Now()
	switch {
	case !record.UsedAt.IsZero() && (record.UsedBy != keyID || !e.config.Directory.Active(record.Node)):
		return nil, record.Node, tokenUsed()
	case !now.Before(record.ExpiresAt):
		return nil, record.Node, tokenExpired()
	case request.Node != record.Node.Node:
		return nil, record.Node, &lienthong.Error{
			Code: "trust.wrong_node",
			Vi:   "mã đăng ký được cấp cho một nút khác", En: "the enrolment token is for another node",
			Hint: "dùng đúng tên nút ghi khi cấp mã / use the node name that the token was made for",
		}
	}
	certificate, err := e.config.Authority.Issue(request.CSR, record.Node)
	if err != nil {
		return nil, record.Node, err
	}
	if e.taken(record.Node.Node, "") {
		return nil, record.Node, nameTaken(record.Node)
	}
	node := NodeRecord{
		Node: record.Node, Key: request.Key, KeyID: keyID, Certificate: certificate, EnrolledAt: now, Role: record.Role,
	}
	registration := Registration{Node: node.Node, Role: RoleNode, Key: node.Key, Since: now.UnixMicro()}
	if err := e.config.Directory.mayRegister(registration); err != nil {
		return nil, record.Node, err
	}
	redeemed, err := e.config.Registry.Redeem(ctx, record.Hash, node)
	if err != nil {
		return nil, record.Node, fmt.Errorf("redeem token: %w", err)
	}
	if !redeemed {
		return nil, record.Node, tokenUsed()
	}
	if _, err := e.config.Directory.Register(registration); err != nil {
		return nil, record.Node, err
	}
	e.mu.Lock()
	e.hubs[node.Node.Node] = node.Role == RoleHub
	e.mu.Unlock()
	e.config.Observe(ctx, EnrolmentEvent{Code: "enrolled", Node: node.Node, KeyID: keyID})
	return e.membership(node.Node, certificate), node.Node, nil
}

func (e *Enrolment) membership(node NodeID, certificate string) Membership {
	hub, _ := e.config.Hub.Membership()
	return Membership{
		Node: node, Hub: hub.Node, HubName: hub.HubName, HubKey: e.config.Hub.PublicKey(),
		CA: e.config.Authority.Certificate(), Certificate: certificate, HubEncryption: e.config.Hub.EncryptionKey(),
	}
}

func (e *Enrolment) renew(r *http.Request, body []byte) (any, NodeID, error) {
	if r.TLS == nil {
		return nil, NodeID{}, peerError("", errors.New("no certificate"))
	}
	node, err := Peer(*r.TLS)
	if err != nil {
		return nil, NodeID{}, err
	}
	if !e.config.Directory.Active(node) {
		return nil, node, &lienthong.Error{
			Code: "trust.retired_signer", Where: node.String(),
			Vi: "nút đã bị thu hồi", En: "the node has been retired",
			Hint: "đăng ký lại nút / enrol the node again",
		}
	}
	var request renewRequest
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, node, badRequest(err)
	}
	certificate, err := e.config.Authority.Issue(request.CSR, node)
	if err != nil {
		return nil, node, err
	}
	if err := e.config.Registry.Renewed(r.Context(), node, certificate); err != nil {
		return nil, node, fmt.Errorf("renew %s: %w", node, err)
	}
	e.config.Observe(r.Context(), EnrolmentEvent{Code: "renewed", Node: node})
	return e.membership(node, certificate), node, nil
}

// directoryValidity is how long a node may use a signed directory: long enough
// for a commune that is out of reach for days.
const directoryValidity = 7 * 24 * time.Hour

func (e *Enrolment) directory(w http.ResponseWriter, r *http.Request) {
	signed, err := e.SignedDirectory()
	if err != nil {
		e.refuse(w, r, NodeID{}, err)
		return
	}
	e.reply(w, r, http.StatusOK, json.RawMessage(signed))
}

// SignedDirectory is the list of keys as it is now, for nodes that cannot fetch it.
func (e *Enrolment) SignedDirectory() ([]byte, error) {
	return e.config.Directory.SignedDirectory(e.config.Hub, uint64(max(e.config.Now().UnixMicro(), 0)), directoryValidity)
}

func tokenUsed() error {
	return &lienthong.Error{
		Code: "trust.token_used",
		Vi:   "mã đăng ký đã được dùng", En: "the enrolment token has been used",
		Hint: "nếu không phải bạn đã dùng, báo ngay cho trung tâm; xin mã mới / if it was not you, tell the hub at once; ask for a new one",
	}
}

// status is the HTTP status of each code; a code that is not here is our fault.
func status(code string) int {
	switch code {
	case "trust.malformed", "trust.algorithm", "trust.key", "trust.request", "trust.token_malformed", "trust.node_name":
		return http.StatusBadRequest
	case "trust.token_unknown", "trust.forged", "trust.peer":
		return http.StatusUnauthorized
	case "trust.wrong_node", "trust.retired_signer", "trust.not_a_hub":
		return http.StatusForbidden
	case "trust.token_used", "trust.key_taken", "trust.name_taken", "trust.directory_stale":
		return http.StatusConflict
	case "trust.token_expired":
		return http.StatusGone
	case "trust.too_many":
		return http.StatusTooManyRequests
	}
	return http.StatusInternalServerError
}

func (e *Enrolment) refuse(w http.ResponseWriter, r *http.Request, node NodeID, err error) {
	code := lienthong.ErrorCode(err)
	answer := status(code)
	e.config.Observe(r.Context(), EnrolmentEvent{Code: code, Node: node})
	body := refusal{Code: "internal", Vi: "trung tâm gặp sự cố", En: "the hub has a problem", Hint: "thử lại sau / try again later"}
	var coded *lienthong.Error
	switch {
	case answer == http.StatusInternalServerError:
		e.config.Log.ErrorContext(r.Context(), "enrolment failed", slog.String("error", err.Error()))
	case errors.As(err, &coded):
		body = refusal{Code: coded.Code, Vi: coded.Vi, En: coded.En, Hint: coded.Hint}
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		answer = http.StatusRequestEntityTooLarge
	}
	e.reply(w, r, answer, body)
}

func (e *Enrolment) reply(w http.ResponseWriter, r *http.Request, answer int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		e.config.Log.ErrorContext(r.Context(), "enrolment failed", slog.String("error", err.Error()))
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(answer)
	if _, err := w.Write(data); err != nil {
		e.config.Log.DebugContext(r.Context(), "enrolment answer not delivered", slog.String("error", err.Error()))
	}
}
