package app

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/audit"
	"github.com/lienthong/lienthong/internal/console"
	"github.com/lienthong/lienthong/internal/store"
)

const (
	signInLifetime  = 15 * time.Minute
	sessionLifetime = 12 * time.Hour
	administrator   = "administrator" // whom one-time links are for
)

// gate lets people in by one-time links. Sign-ins are entries of the audit log.
type gate struct {
	store *store.Store
	hub   *Hub
}

// SignIn implements console.Gate.
func (g *gate) SignIn(ctx context.Context, token string) (string, error) {
	session := rand.Text() + rand.Text()
	subject, ok, err := g.store.RedeemSignInToken(ctx, hashOf(token), hashOf(session), g.hub.now().Add(sessionLifetime))
	if err != nil {
		return "", err
	}
	outcome := "accepted"
	if !ok {
		outcome = "refused"
	}
	g.hub.note(ctx, audit.Entry{Kind: audit.Login, Actor: subject, Detail: map[string]string{"outcome": outcome}})
	if !ok {
		return "", &lienthong.Error{
			Code: "signin.link", Vi: "liên kết đăng nhập đã dùng hoặc hết hạn", En: "the sign-in link was used or has expired",
			Hint: "tạo liên kết mới: lienthong signin / make a new one: lienthong signin",
		}
	}
	return session, nil
}

// Session implements console.Gate.
func (g *gate) Session(ctx context.Context, session string) (console.User, bool) {
	subject, ok, err := g.store.Session(ctx, hashOf(session))
	if err != nil || !ok {
		return console.User{}, false
	}
	if subject == administrator {
		// A role, not a person: shown in the reader's language. It decides nothing that needs a person's name.
		return console.User{Role: console.Text{Vi: "Quản trị", En: "Administrator"}}, true
	}
	account, found := g.hub.account(ctx, subject)
	if !found {
		return console.User{}, false
	}
	return account.user(), true
}

// SignOut implements console.Gate.
func (g *gate) SignOut(ctx context.Context, session string) error {
	return g.store.EndSession(ctx, hashOf(session))
}
