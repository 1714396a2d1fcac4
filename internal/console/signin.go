package console

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
)

// signInView is the landing of a one-time link.
type signInView struct {
	chrome
	Token   string
	Refused Text
	Hint    string
	Limited bool
}

// signInPage shows a button and burns nothing: mail programs and chat previews
// open links too.
func (c *Console) signInPage(w http.ResponseWriter, r *http.Request) {
	c.writeSignIn(w, r, http.StatusOK, signInView{Token: r.URL.Query().Get("token")})
}

// signIn exchanges the token for a session.
func (c *Console) signIn(w http.ResponseWriter, r *http.Request) {
	if !c.limiter.allow(addressOf(r)) {
		w.Header().Set("Retry-After", "60")
		c.writeSignIn(w, r, http.StatusTooManyRequests, signInView{Limited: true})
		return
	}
	session, err := c.config.Gate.SignIn(r.Context(), r.PostForm.Get("token"))
	if err != nil {
		view := signInView{}
		var coded *lienthong.Error
		if errors.As(err, &coded) {
			view.Refused, view.Hint = Text{Vi: coded.Vi, En: coded.En}, coded.Hint
		} else {
			view.Refused = catalogue()["signin.refused"]
		}
		// The code only: a cause may quote the token.
		c.config.Log.WarnContext(r.Context(), "console: sign-in refused",
			slog.String("code", lienthong.ErrorCode(err)))
		c.writeSignIn(w, r, http.StatusForbidden, view)
		return
	}
	// A session that the browser brought along must not live on beside the new one.
	if old := c.session(r); old != "" && old != session {
		if err := c.config.Gate.SignOut(r.Context(), old); err != nil {
			c.config.Log.WarnContext(r.Context(), "console: the former session could not be ended", slog.Any("error", err))
		}
	}
	http.SetCookie(w, c.cookie(sessionCookie, session, 0))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// signOut ends the session here and at the gate.
func (c *Console) signOut(w http.ResponseWriter, r *http.Request) {
	if err := c.config.Gate.SignOut(r.Context(), c.session(r)); err != nil {
		c.failWith(w, r, err)
		return
	}
	http.SetCookie(w, c.cookie(sessionCookie, "", -1))
	http.Redirect(w, r, "/signin", http.StatusSeeOther)
}

func (c *Console) writeSignIn(w http.ResponseWriter, r *http.Request, status int, view signInView) {
	view.chrome = c.chromeFor(w, r, nil)
	view.Page = "signin"
	c.write(w, r, status, view)
}

// addressOf is who asks, as far as counting attempts goes. An IPv6 client owns
// at least a /64, so that is what is counted.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	address = address.Unmap().WithZone("")
	if address.Is4() {
		return address.String()
	}
	prefix, err := address.Prefix(64)
	if err != nil {
		return address.String()
	}
	return prefix.String()
}

// maxAddresses bounds the limiter's memory. When it is full of addresses that
// are all within their minute, newcomers wait: guessing from many addresses is
// the case the limit is for.
const maxAddresses = 10_000

// limiter counts attempts per address and minute.
type limiter struct {
	perMinute int
	now       func() time.Time

	mu       sync.Mutex
	attempts map[string]attempt
}

type attempt struct {
	since time.Time
	count int
}

func newLimiter(perMinute int, now func() time.Time) *limiter {
	return &limiter{perMinute: perMinute, now: now, attempts: make(map[string]attempt)}
}

// allow counts an attempt and reports whether it is within the limit.
func (l *limiter) allow(address string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	seen, known := l.attempts[address]
	if !known && len(l.attempts) >= maxAddresses {
		for other, a := range l.attempts {
			if now.Sub(a.since) >= time.Minute {
				delete(l.attempts, other)
			}
		}
		if len(l.attempts) >= maxAddresses {
			return false
		}
	}
	if !known || now.Sub(seen.since) >= time.Minute {
		seen = attempt{since: now}
	}
	seen.count++
	l.attempts[address] = seen
	return seen.count <= l.perMinute
}
