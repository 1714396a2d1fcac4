// Package app puts the parts together: it is the only package that names
// concrete types on both sides of an interface. Start functions read as the road
// that data take; Close goes back the same way.
package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/audit"
	"github.com/lienthong/lienthong/internal/bus"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/durable"
	"github.com/lienthong/lienthong/internal/trust"
)

// RunHub runs a hub until ctx ends or it cannot go on. started is called once it
// is open; first says that this data directory is new.
func RunHub(ctx context.Context, config *HubConfig, parts HubParts, started func(h *Hub, first bool)) error {
	config.TuneMemory()
	h, err := StartHub(ctx, config, parts)
	if err != nil {
		return err
	}
	defer h.Close()
	// An attempt that failed, or a token made before the first start, does not count.
	opened := filepath.Join(config.Data, "keys", "opened")
	_, err = os.Stat(opened)
	started(h, errors.Is(err, os.ErrNotExist))
	if err := durable.WriteFile(opened, nil, 0o600); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-h.Failed():
		return err
	}
}

// RunNode runs a node until ctx ends or it cannot go on.
func RunNode(ctx context.Context, config *NodeConfig, parts NodeParts, started func()) error {
	config.TuneMemory()
	n, err := StartNode(ctx, config, parts)
	if err != nil {
		return err
	}
	defer n.Close()
	started()
	select {
	case <-ctx.Done():
		return nil
	case err := <-n.Failed():
		return err
	}
}

// Invite makes an enrolment token beside a hub that may be running: it works on
// the hub's store and keys, not on the hub.
func Invite(ctx context.Context, config *HubConfig, bloc, member, node string, lifetime time.Duration) (string, error) {
	return invite(ctx, config, bloc, member, node, lifetime, (*trust.Enrolment).Invite)
}

// InviteHub is Invite for a hub below.
func InviteHub(ctx context.Context, config *HubConfig, bloc, member, node string, lifetime time.Duration) (string, error) {
	return invite(ctx, config, bloc, member, node, lifetime, (*trust.Enrolment).InviteHub)
}

func invite(ctx context.Context, config *HubConfig, bloc, member, node string, lifetime time.Duration,
	token func(*trust.Enrolment, context.Context, trust.NodeID, time.Duration) (string, error),
) (string, error) {
	config.complete()
	code, err := lienthong.ParseMemberCode(member)
	if err != nil {
		return "", err
	}
	if !bus.NodeName(node) {
		return "", &lienthong.Error{
			Code: "node.name", Where: node, Vi: "tên nút không đúng dạng", En: "not a node name",
			Hint: "1-32 ký tự a-z, 0-9, - / 1-32 of a-z, 0-9, -",
		}
	}
	if !slices.Contains(blocs(), lienthong.Bloc(bloc)) {
		return "", &lienthong.Error{
			Code: "member.bloc", Where: bloc, Vi: "không có khối này", En: "no such bloc", Hint: blocHint(),
		}
	}
	records, err := openStore(ctx, config, HubParts{})
	if err != nil {
		return "", err
	}
	defer func() { _ = records.Close() }()
	identity, err := trust.OpenIdentity(filepath.Join(config.Data, "keys"), config.Name, trust.Options{})
	if err != nil {
		return "", err
	}
	authority, err := trust.OpenAuthority(filepath.Join(config.Data, "authority"), trust.AuthorityOptions{Name: config.Title})
	if err != nil {
		return "", err
	}
	hubMember, err := lienthong.ParseMemberCode(config.Member)
	if err != nil {
		return "", err
	}
	self := trust.NodeID{Bloc: lienthong.Bloc(config.Bloc), Member: hubMember, Node: config.Name}
	if err := authority.Install(identity, self, config.Title, config.Hosts...); err != nil {
		return "", err
	}
	enrolment, err := trust.NewEnrolment(ctx, trust.EnrolmentConfig{
		Authority: authority, Registry: records, Directory: trust.NewDirectory(), Hub: identity,
	})
	if err != nil {
		return "", err
	}
	return token(enrolment, ctx, trust.NodeID{Bloc: lienthong.Bloc(bloc), Member: code, Node: node}, lifetime)
}

// SignInLink makes a one-time sign-in link beside a hub that may be running.
func SignInLink(ctx context.Context, config *HubConfig) (string, error) {
	return beside(ctx, config, func(h *Hub) (string, error) { return h.SignInURL(ctx) })
}

// beside does something with the store and the doors of a hub that may be running.
func beside[T any](ctx context.Context, config *HubConfig, do func(*Hub) (T, error)) (T, error) {
	var none T
	config.complete()
	if config.Console == "off" {
		return none, &lienthong.Error{
			Code: "console.off", Where: config.path, Vi: "trung tâm này không mở giao diện web", En: "this hub has no console",
			Hint: "đặt console: 127.0.0.1:8080 rồi khởi động lại / set console: 127.0.0.1:8080 and start again",
		}
	}
	words, err := dictionary.Builtin()
	if err != nil {
		return none, err
	}
	records, err := openStore(ctx, config, HubParts{})
	if err != nil {
		return none, err
	}
	defer func() { _ = records.Close() }()
	return do(&Hub{config: config, store: records, words: words, now: time.Now, consoleAddr: config.Console})
}

// VerifyLog checks the audit log of a data directory offline: from its files and
// public key alone.
func VerifyLog(ctx context.Context, data string) (audit.Report, error) { return verifyLog(ctx, data) }

// Elements lists the dictionary.
func Elements() ([]dictionary.Element, error) {
	d, err := dictionary.Builtin()
	if err != nil {
		return nil, err
	}
	return d.Elements(), nil
}

// Databases lists the national, specialised and political databases.
func Databases() ([]lienthong.Database, error) {
	d, err := dictionary.Builtin()
	if err != nil {
		return nil, err
	}
	return d.Databases(), nil
}
