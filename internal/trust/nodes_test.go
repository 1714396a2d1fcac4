package trust

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
)

// below is a hub that is enrolled at the hub under test, with an authority of its own.
type below struct {
	*hubUnderTest
	up *Identity // at the hub above
}

func hubBelow(t *testing.T, above *hubUnderTest, name string, invite func(NodeID) (string, error)) *below {
	t.Helper()
	b := &below{hubUnderTest: startHub(t, 0)}
	var err error
	if b.up, err = OpenIdentity(t.TempDir(), name, Options{Now: above.clock.Now}); err != nil {
		t.Fatal(err)
	}
	token, err := invite(NodeID{Bloc: lienthong.Government, Member: "H12", Node: name})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Enrol(t.Context(), above.url, token, b.up); err != nil {
		t.Fatal(err)
	}
	return b
}

// enrolled enrols a node at a hub.
func (h *hubUnderTest) enrolled(t *testing.T, name string) *Identity {
	t.Helper()
	node, err := OpenIdentity(t.TempDir(), name, Options{Now: h.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	id := NodeID{Bloc: lienthong.Government, Member: "H12", Node: name}
	if _, err := Enrol(t.Context(), h.url, h.invite(t, id, time.Hour), node); err != nil {
		t.Fatal(err)
	}
	return node
}

func (b *below) list(t *testing.T, version uint64) []byte {
	t.Helper()
	signed, err := b.config.Directory.SignedNodes(b.up, version)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func codesOf(refused []RefusedNode) []string {
	var codes []string
	for _, r := range refused {
		codes = append(codes, r.Node.Node+" "+r.Code)
	}
	return codes
}

func TestNodes_BehindAHubBelow(t *testing.T) {
	nation := startHub(t, 0)
	asHub := func(id NodeID) (string, error) { return nation.InviteHub(t.Context(), id, time.Hour) }
	asNode := func(id NodeID) (string, error) { return nation.Invite(t.Context(), id, time.Hour) }
	direct := nation.enrolled(t, "agency")
	h12, h13 := hubBelow(t, nation, "h12", asHub), hubBelow(t, nation, "h13", asHub)
	commune := h12.enrolled(t, "xa-a")
	h12.enrolled(t, "agency") // a name that is taken above
	h12.enrolled(t, "hub2")
	h13.enrolled(t, "xa-a") // another province was first

	refused, err := h12.up.SendNodes(t.Context(), nation.secure, h12.list(t, 10))
	if err != nil || !slices.Equal(codesOf(refused), []string{"agency trust.name_taken"}) {
		t.Fatalf("%v, %v", refused, err)
	}
	refused, err = h13.up.SendNodes(t.Context(), nation.secure, h13.list(t, 10))
	if err != nil || !slices.Equal(codesOf(refused), []string{"xa-a trust.name_taken"}) {
		t.Fatalf("%v, %v", refused, err)
	}
	directory := nation.config.Directory
	if via, known := directory.Route("xa-a"); via != "h12" || !known {
		t.Errorf("xa-a is reached by %q, %t", via, known)
	}
	if via, known := directory.Route("agency"); via != "" || !known {
		t.Errorf("agency is reached by %q, %t", via, known)
	}
	body := []byte("batch")
	signature, err := commune.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	if signer, err := directory.Verify(body, signature); err != nil || signer.Node.Node != "xa-a" || signer.Role != RoleNode {
		t.Errorf("%+v, %v", signer, err)
	}

	// Who is behind a hub is not told to its neighbours.
	signed, err := nation.SignedDirectory()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(signed, []byte("xa-a")) || !bytes.Contains(signed, []byte("agency")) {
		t.Error("the nation's list for its nodes is not of its own nodes")
	}
	// A name that is behind a hub cannot be had directly.
	if _, err := nation.Invite(t.Context(), NodeID{Bloc: lienthong.Government, Member: "H12", Node: "xa-a"}, 0); lienthong.ErrorCode(err) != "trust.name_taken" {
		t.Errorf("invited beside the one behind h12: %v", err)
	}

	for _, c := range []struct {
		name string
		send func() error
		code string
	}{
		{"the same list again: the answer got lost", func() error {
			_, err := h12.up.SendNodes(t.Context(), nation.secure, h12.list(t, 10))
			return err
		}, ""},
		{"an older list", func() error {
			_, err := h12.up.SendNodes(t.Context(), nation.secure, h12.list(t, 9))
			return err
		}, "trust.directory_stale"},
		{"of a hub below, by another's link", func() error {
			_, err := h13.up.SendNodes(t.Context(), nation.secure, h12.list(t, 20))
			return err
		}, "trust.not_a_hub"},
		{"by a node that was not invited as a hub", func() error {
			_, err := hubBelow(t, nation, "h14", asNode).up.SendNodes(t.Context(), nation.secure, hubBelow(t, nation, "h15", asNode).list(t, 1))
			return err
		}, "trust.not_a_hub"},
		{"signed by an ordinary node in its own name", func() error {
			list, err := h12.config.Directory.SignedNodes(direct, 30)
			if err != nil {
				return err
			}
			_, err = direct.SendNodes(t.Context(), nation.secure, list)
			return err
		}, "trust.not_a_hub"},
		{"changed on the way", func() error {
			list := bytes.Replace(h12.list(t, 40), []byte("hub2"), []byte("hub3"), 1)
			_, err := h12.up.SendNodes(t.Context(), nation.secure, list)
			return err
		}, "trust.forged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.send(); c.code == "" && err != nil || c.code != "" && lienthong.ErrorCode(err) != c.code {
				t.Errorf("%v, want %q", err, c.code)
			}
		})
	}
}

// A node that is retired below sends nothing new above; what it had sealed before is
// still on its way.
func TestNodes_RetirementIsKept(t *testing.T) {
	nation := startHub(t, 0)
	h12 := hubBelow(t, nation, "h12", func(id NodeID) (string, error) { return nation.InviteHub(t.Context(), id, time.Hour) })
	commune := h12.enrolled(t, "xa-a")
	at := time.Now()
	h12.config.Directory.Retire(NodeID{Bloc: lienthong.Government, Member: "H12", Node: "xa-a"}, at)
	if refused, err := h12.up.SendNodes(t.Context(), nation.secure, h12.list(t, 1)); err != nil || len(refused) > 0 {
		t.Fatal(refused, err)
	}
	body := []byte("batch")
	signature, err := commune.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	directory := nation.config.Directory
	for sealed, code := range map[int64]string{at.UnixMicro() - 1: "", at.UnixMicro(): "trust.retired_signer", at.UnixMicro() + 1: "trust.retired_signer"} {
		if _, err := directory.VerifySealed(body, signature, sealed); code == "" && err != nil || code != "" && lienthong.ErrorCode(err) != code {
			t.Errorf("sealed at %d: %v, want %q", sealed-at.UnixMicro(), err, code)
		}
	}
	// Without a hub between that says when it came, its date is its own word.
	if _, err := h12.config.Directory.VerifySealed(body, signature, at.UnixMicro()-1); lienthong.ErrorCode(err) != "trust.retired_signer" {
		t.Errorf("at its own hub: %v", err)
	}
}

// A node believes its own hub's list of keys and no other's, and learns from it the keys
// of the hubs above and where to seal what is carried by hand.
func TestDirectory_HubsOfThePath(t *testing.T) {
	nation, province := startHub(t, 0), startHub(t, 0)
	commune := province.enrolled(t, "xa-a")
	above := nation.config.Directory.Hubs()[0]
	above.Node.Node = "ndc"
	if _, err := province.config.Directory.Register(above); err != nil {
		t.Fatal(err)
	}
	directory, err := commune.HubDirectory()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := commune.FetchDirectory(t.Context(), province.url, directory); err != nil {
		t.Fatal(err)
	}
	hubs := directory.Hubs()
	if len(hubs) != 2 || !bytes.Equal(hubs[0].Encryption, province.identity.EncryptionKey()) && !bytes.Equal(hubs[1].Encryption, province.identity.EncryptionKey()) {
		t.Fatalf("%d hubs", len(hubs))
	}
	body := []byte(`{"hub":"ndc"}`)
	signature, err := nation.identity.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	if signer, err := directory.Verify(body, signature); err != nil || signer.Role != RoleHub || signer.Node.Node != "ndc" {
		t.Errorf("%+v, %v", signer, err)
	}
	membership, _ := commune.Membership()
	if !bytes.Equal(membership.HubEncryption, province.identity.EncryptionKey()) {
		t.Error("the membership lacks the hub's encryption key")
	}
	// The nation is believed in its receipts, not in lists of keys.
	payload := []byte(fmt.Sprintf(`{"version":%d,"issued":0,"expires":%d,"keys":%s}`, time.Now().UnixMicro()*2, time.Now().Add(time.Hour).UnixMicro(), mustJSON(t, directory.Registrations())))
	signature, err = nation.identity.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := Attach(payload, signature)
	if err != nil {
		t.Fatal(err)
	}
	if err := commune.ImportDirectory(forged, directory); lienthong.ErrorCode(err) != "trust.wrong_hub" {
		t.Errorf("a list of keys that the hub above signed: %v", err)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
