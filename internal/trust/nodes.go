package trust

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lienthong/lienthong"
)

// nodeList is what a hub tells the hub above of the nodes that it has admitted and of
// those behind hubs below it.
type nodeList struct {
	Hub     NodeID         `json:"hub"`
	Version uint64         `json:"version"` // strictly increases
	Nodes   []Registration `json:"nodes"`
}

// RefusedNode is a node of such a list that the hub above does not take.
type RefusedNode struct {
	Node NodeID `json:"node"`
	Code string `json:"code"` // trust.name_taken, trust.key_taken, trust.key …
}

type nodesAnswer struct {
	Refused []RefusedNode `json:"refused,omitempty"`
}

// SignedNodes is the list of the nodes that are reached through this hub, signed by
// its identity at the hub above. The version must be greater than that of the list before; the
// time in microseconds serves.
func (d *Directory) SignedNodes(by *Identity, version uint64) ([]byte, error) {
	membership, ok := by.Membership()
	if !ok {
		return nil, by.notEnrolled()
	}
	list := nodeList{Hub: membership.Node, Version: version, Nodes: []Registration{}}
	for _, r := range d.Registrations() {
		if r.Role == RoleNode {
			r.Via, r.Encryption = "", nil // the hub above sees one road: ours
			list.Nodes = append(list.Nodes, r)
		}
	}
	payload, err := json.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("write list of nodes: %w", err)
	}
	signature, err := by.Sign(payload)
	if err != nil {
		return nil, err
	}
	return Attach(payload, signature)
}

// Relays reports whether the node was admitted as a hub.
func (e *Enrolment) Relays(node string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.hubs[node]
}

// nodes takes a list over a connection that the hub's certificate has opened.
func (e *Enrolment) nodes(r *http.Request, body []byte) (any, NodeID, error) {
	if r.TLS == nil {
		return nil, NodeID{}, peerError("", errors.New("no certificate"))
	}
	peer, err := Peer(*r.TLS)
	if err != nil {
		return nil, NodeID{}, err
	}
	refused, err := e.TakeNodes(r.Context(), peer.Node, body)
	return nodesAnswer{Refused: refused}, peer, err
}

// TakeNodes takes in what a hub below says of the nodes behind it, whichever way it came:
// the signature counts. A list that is older than the newest one is refused; the newest one may
// come again. A node whose name or key is taken is refused, and the others are taken.
func (e *Enrolment) TakeNodes(ctx context.Context, hub string, signed []byte) ([]RefusedNode, error) {
	payload, signature, err := Detach(signed)
	if err != nil {
		return nil, err
	}
	signer, err := e.config.Directory.Verify(payload, signature)
	if err != nil {
		return nil, err
	}
	if via, known := e.config.Directory.Route(hub); signer.Node.Node != hub || signer.Role != RoleNode || !known || via != "" || !e.Relays(hub) {
		return nil, &lienthong.Error{
			Code: "trust.not_a_hub", Where: signer.Node.String(),
			Vi: "chỉ trung tâm được mời với vai trò trung tâm mới có nút phía sau", En: "only what was invited as a hub has nodes behind it",
			Hint: "cấp mã lại với --hub / make its token again with --hub",
		}
	}
	var list nodeList
	if err := json.Unmarshal(payload, &list); err != nil {
		return nil, malformed(err)
	}
	if list.Hub != signer.Node {
		return nil, peerError(list.Hub.String(), errors.New("the list is of another hub"))
	}
	e.taking.Lock()
	defer e.taking.Unlock()
	var refused []RefusedNode
	var taken []NodeRecord
	for _, r := range list.Nodes {
		record, err := e.behind(hub, r)
		if err != nil {
			refused = append(refused, RefusedNode{Node: r.Node, Code: lienthong.ErrorCode(err)})
			continue
		}
		taken = append(taken, record)
	}
	kept, err := e.config.Registry.TakeNodes(ctx, hub, list.Version, taken)
	if err != nil {
		return nil, fmt.Errorf("take nodes behind %s: %w", hub, err)
	}
	if kept > list.Version {
		return nil, &lienthong.Error{
			Code: "trust.directory_stale", Where: signer.Node.String(),
			Vi: "danh bạ cũ hơn danh bạ đang dùng", En: "the directory is older than the one in use",
			Hint: "kiểm tra đồng hồ của trung tâm gửi / check the clock of the hub that sends it",
		}
	}
	for _, record := range taken {
		if _, err := e.config.Directory.Register(record.registration()); err != nil {
			return nil, err
		}
	}
	for _, r := range refused {
		e.config.Observe(ctx, EnrolmentEvent{Code: r.Code, Node: r.Node})
	}
	e.config.Observe(ctx, EnrolmentEvent{Code: "nodes", Node: signer.Node, KeyID: signer.KeyID})
	return refused, nil
}

// behind checks one node of a list.
func (e *Enrolment) behind(hub string, r Registration) (NodeRecord, error) {
	if r.Role != RoleNode {
		return NodeRecord{}, wrongRole(r.Node)
	}
	r.Via = hub
	_, keyID, err := parseKey(r.Key)
	if err != nil {
		return NodeRecord{}, err
	}
	if e.taken(r.Node.Node, hub) {
		return NodeRecord{}, nameTaken(r.Node)
	}
	if err := e.config.Directory.mayRegister(r); err != nil {
		return NodeRecord{}, err
	}
	record := NodeRecord{Node: r.Node, Key: r.Key, KeyID: keyID, EnrolledAt: time.UnixMicro(r.Since), Via: hub}
	if r.Retired != 0 {
		record.RetiredAt = time.UnixMicro(r.Retired)
	}
	return record, nil
}

// taken reports whether a name belongs to a hub, or to a node that is reached by another
// way: chains of batches and tables of records go by the name alone.
func (e *Enrolment) taken(name, via string) bool {
	for _, hub := range e.config.Directory.Hubs() {
		if hub.Node.Node == name {
			return true
		}
	}
	other, known := e.config.Directory.Route(name)
	return known && other != via
}

func nameTaken(node NodeID) error {
	return &lienthong.Error{
		Code: "trust.name_taken", Where: node.String(),
		Vi: "tên nút đã dùng cho một nút hoặc trung tâm khác", En: "the name is that of another node or hub",
		Hint: "đăng ký lại nút với tên khác, ví dụ thêm mã địa phương / enrol the node with another name, for instance with its place's code",
	}
}
