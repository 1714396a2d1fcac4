package trust

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
)

const sha256Hash = crypto.SHA256

// Role says what a signer may sign: a hub signs receipts and directories, a node batches.
type Role string

// The roles.
const (
	RoleNode Role = "node"
	RoleHub  Role = "hub"
)

// Signer is whose signature it is.
type Signer struct {
	Node  NodeID
	Role  Role
	KeyID string
}

// Registration is a registered public key. Times are microseconds since 1970.
type Registration struct {
	Node    NodeID          `json:"node"`
	Role    Role            `json:"role"`
	Key     json.RawMessage `json:"key"` // JWK
	Since   int64           `json:"since"`
	Retired int64           `json:"retired,omitempty"` // 0: in use
	// Via is the hub below through which the node is reached; empty: it has a link of its own.
	Via string `json:"via,omitempty"`
	// Encryption is a hub's public encryption key, a P-256 point.
	Encryption []byte `json:"encryption,omitempty"`
}

type registered struct {
	registration Registration
	signer       Signer
	key          *ecdsa.PublicKey
}

// Directory knows the registered signing keys. Keys are parsed once, when they
// are registered. It is safe for concurrent use.
type Directory struct {
	mu      sync.RWMutex
	keys    map[string]*registered // by thumbprint
	routes  map[string]string      // by name of a node: Via. Made from keys
	version uint64                 // of the last signed list that was taken in
}

// NewDirectory returns an empty directory.
func NewDirectory() *Directory {
	return &Directory{keys: make(map[string]*registered), routes: make(map[string]string)}
}

// Register adds a key. A node has one key in use: registering another one
// retires the one before it at the new one's Since.
func (d *Directory) Register(registration Registration) (Signer, error) {
	entry, err := parseRegistration(registration)
	if err != nil {
		return Signer{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := add(d.keys, entry); err != nil {
		return entry.signer, err
	}
	if registration.Role == RoleNode {
		d.routes[registration.Node.Node] = registration.Via
	}
	return entry.signer, nil
}

func parseRegistration(registration Registration) (*registered, error) {
	if err := registration.Node.Validate(); err != nil {
		return nil, err
	}
	if registration.Role != RoleNode && registration.Role != RoleHub {
		return nil, wrongRole(registration.Node)
	}
	key, keyID, err := parseKey(registration.Key)
	if err != nil {
		return nil, err
	}
	return &registered{
		registration: registration, key: key,
		signer: Signer{Node: registration.Node, Role: registration.Role, KeyID: keyID},
	}, nil
}

func wrongRole(node NodeID) error {
	return &lienthong.Error{
		Code: "trust.role", Where: node.String(),
		Vi: "vai trò của khoá không hợp lệ", En: "the key's role is not one we know",
		Hint: "dùng node hoặc hub / use node or hub",
	}
}

func add(keys map[string]*registered, entry *registered) error {
	if held, ok := keys[entry.signer.KeyID]; ok && held.signer.Node != entry.signer.Node {
		return keyTaken(entry.signer.Node)
	}
	if entry.registration.Retired == 0 {
		for keyID, other := range keys {
			if keyID != entry.signer.KeyID && other.signer.Node == entry.signer.Node && other.registration.Retired == 0 {
				retired := *other
				retired.registration.Retired = max(entry.registration.Since, 1)
				keys[keyID] = &retired
			}
		}
	}
	keys[entry.signer.KeyID] = entry
	return nil
}

// Retire ends the use of every key of the node. Verify refuses them from now on.
func (d *Directory) Retire(node NodeID, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for keyID, entry := range d.keys {
		if entry.signer.Node == node && entry.registration.Retired == 0 {
			retired := *entry
			retired.registration.Retired = at.UnixMicro()
			d.keys[keyID] = &retired
		}
	}
}

// Active reports whether the node has a key in use.
func (d *Directory) Active(node NodeID) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, entry := range d.keys {
		if entry.signer.Node == node && entry.registration.Retired == 0 {
			return true
		}
	}
	return false
}

// Verify says whose detached signature over the payload it is. Its errors are
// coded: trust.malformed, trust.algorithm, trust.unknown_signer,
// trust.retired_signer and trust.forged.
func (d *Directory) Verify(payload []byte, signature string) (Signer, error) {
	signer, retired, err := d.verify(payload, signature)
	if err == nil && retired != 0 {
		return Signer{}, retiredSigner(signer.Node)
	}
	return signer, err
}

// VerifySealed is Verify for what was signed at a known time. A node behind another hub
// may have been retired while its batches were on their way: the hub between took them when the
// key was good, and says by its link that it did. So they hold here, too, if they are older
// than the retirement.
func (d *Directory) VerifySealed(payload []byte, signature string, sealed int64) (Signer, error) {
	signer, retired, err := d.verify(payload, signature)
	if err == nil && retired != 0 {
		if via, _ := d.Route(signer.Node.Node); via == "" || sealed >= retired {
			return Signer{}, retiredSigner(signer.Node)
		}
	}
	return signer, err
}

func retiredSigner(node NodeID) error {
	return &lienthong.Error{
		Code: "trust.retired_signer", Where: node.String(),
		Vi: "chữ ký của một khoá đã thu hồi", En: "signed by a key that has been retired",
		Hint: "đăng ký lại nút / enrol the node again",
	}
}

// Route says through which hub below a node is reached; empty: by its own link. False: no
// such node is registered.
func (d *Directory) Route(node string) (via string, known bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	via, known = d.routes[node]
	return via, known
}

// Hubs lists the hubs whose keys are in use.
func (d *Directory) Hubs() []Registration {
	var hubs []Registration
	for _, registration := range d.Registrations() {
		if registration.Role == RoleHub && registration.Retired == 0 {
			hubs = append(hubs, registration)
		}
	}
	return hubs
}

// verify checks the signature; retired is when its key was retired, 0 if it was not.
func (d *Directory) verify(payload []byte, signature string) (signer Signer, retired int64, err error) {
	parsed, err := parseSignature(payload, signature)
	if err != nil {
		return Signer{}, 0, err
	}
	d.mu.RLock()
	entry := d.keys[parsed.keyID]
	d.mu.RUnlock()
	if entry == nil {
		return Signer{}, 0, &lienthong.Error{
			Code: "trust.unknown_signer", Where: shortKeyID(parsed.keyID),
			Vi: "chữ ký của một khoá chưa đăng ký", En: "signed by a key that is not registered",
			Hint: "đăng ký nút bằng mã một lần / enrol the node with a one-time token",
		}
	}
	if err := parsed.check(payload, entry.key, entry.signer.Node.String()); err != nil {
		return Signer{}, 0, err
	}
	return entry.signer, entry.registration.Retired, nil
}

func shortKeyID(keyID string) string {
	if len(keyID) > 43 {
		keyID = keyID[:43]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, keyID)
}

// Registrations lists every key, in the order of the nodes' names.
func (d *Directory) Registrations() []Registration {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := make([]Registration, 0, len(d.keys))
	for _, entry := range d.keys {
		list = append(list, entry.registration)
	}
	slices.SortFunc(list, func(a, b Registration) int {
		if order := strings.Compare(a.Node.String(), b.Node.String()); order != 0 {
			return order
		}
		if a.Since != b.Since {
			return int(min(max(a.Since-b.Since, -1), 1))
		}
		return strings.Compare(string(a.Key), string(b.Key))
	})
	return list
}

// list is what a hub signs for its nodes.
type list struct {
	Version uint64         `json:"version"` // strictly increases
	Issued  int64          `json:"issued"`
	Expires int64          `json:"expires"`
	Keys    []Registration `json:"keys"`
}

// SignedDirectory is the directory as a document signed by the hub. The version
// must be greater than that of the document before; the time of issue in
// microseconds serves.
func (d *Directory) SignedDirectory(hub *Identity, version uint64, validity time.Duration) ([]byte, error) {
	issued := hub.now()
	// Who is reached through a hub below is that hub's affair.
	keys := slices.DeleteFunc(d.Registrations(), func(r Registration) bool { return r.Via != "" })
	payload, err := json.Marshal(list{
		Version: version, Issued: issued.UnixMicro(), Expires: issued.Add(validity).UnixMicro(),
		Keys: keys,
	})
	if err != nil {
		return nil, fmt.Errorf("write directory: %w", err)
	}
	signature, err := hub.Sign(payload)
	if err != nil {
		return nil, err
	}
	return Attach(payload, signature)
}

// Import replaces the directory by a signed one. The signer must be a hub that
// the directory already knows, and must still be a hub in the new list; the
// version must be newer than the last, and the list must not have expired.
func (d *Directory) Import(signed []byte, now time.Time) error {
	payload, signature, err := Detach(signed)
	if err != nil {
		return err
	}
	signer, err := d.Verify(payload, signature)
	if err != nil {
		return err
	}
	refuse := func(code, vi, en string) error {
		return &lienthong.Error{
			Code: code, Where: signer.Node.String(), Vi: vi, En: en,
			Hint: "lấy lại danh bạ từ trung tâm / fetch the directory from the hub again",
		}
	}
	if signer.Role != RoleHub {
		return refuse("trust.not_a_hub", "danh bạ không do trung tâm ký", "the directory is not signed by a hub")
	}
	var received list
	if err := json.Unmarshal(payload, &received); err != nil {
		return malformed(err)
	}
	if now.UnixMicro() >= received.Expires {
		return refuse("trust.directory_expired", "danh bạ đã hết hạn", "the directory has expired")
	}
	keys := make(map[string]*registered, len(received.Keys))
	for _, registration := range received.Keys {
		entry, err := parseRegistration(registration)
		if err != nil {
			return err
		}
		if err := add(keys, entry); err != nil {
			return err
		}
	}
	if own := keys[signer.KeyID]; own == nil || own.signer != signer || own.registration.Retired != 0 {
		return refuse("trust.directory_incomplete", "danh bạ thiếu chính trung tâm đã ký",
			"the directory lacks the hub that signed it")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if received.Version <= d.version {
		return refuse("trust.directory_stale", "danh bạ cũ hơn danh bạ đang dùng",
			"the directory is older than the one in use")
	}
	d.keys, d.version, d.routes = keys, received.Version, map[string]string{}
	for _, entry := range keys {
		if entry.registration.Role == RoleNode {
			d.routes[entry.signer.Node.Node] = entry.registration.Via
		}
	}
	return nil
}

// mayRegister reports whether Register would succeed now.
func (d *Directory) mayRegister(registration Registration) error {
	entry, err := parseRegistration(registration)
	if err != nil {
		return err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if held, ok := d.keys[entry.signer.KeyID]; ok && held.signer.Node != entry.signer.Node {
		return keyTaken(entry.signer.Node)
	}
	return nil
}

func keyTaken(node NodeID) error {
	return &lienthong.Error{
		Code: "trust.key_taken", Where: node.String(),
		Vi:   "khoá này đã đăng ký cho một nút khác",
		En:   "the key is registered for another node",
		Hint: "tạo khoá riêng cho mỗi nút, không sao chép thư mục khoá / make a key for each node, do not copy key directories",
	}
}
