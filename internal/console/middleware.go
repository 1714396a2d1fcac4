package console

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
)

// contentPolicy lets a page use our own files and nothing else.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; " +
	"img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// maxForm is more than any form of ours needs: a register entry with hundreds of datasets, of which each letter
// may take nine characters on its way.
const maxForm = 1 << 20

// secureHeaders sets what every answer carries, whoever asks.
func (c *Console) secureHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin") // a sign-in link must not reach another site
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store") // assets set their own
		if c.config.Secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// recoverPanics turns a mistake of ours into a page that a person can report,
// and keeps the server running.
func (c *Console) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if cause == http.ErrAbortHandler { //nolint:errorlint // the documented way to compare it
				panic(cause)
			}
			reference := newReference()
			c.config.Log.ErrorContext(r.Context(), "console: a page failed",
				slog.String("reference", reference), slog.String("path", r.URL.Path),
				slog.Any("cause", cause), slog.String("stack", string(debug.Stack())))
			c.fail(w, r, http.StatusInternalServerError, failure{Reference: reference})
		}()
		next.ServeHTTP(w, r)
	})
}

// chooseLanguage reads the person's choice: ?lang= sets it and leaves the
// address as it was, a cookie remembers it, and Vietnamese is the default.
func (c *Console) chooseLanguage(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if query := r.URL.Query(); r.Method == http.MethodGet && query.Has("lang") {
			if language, ok := parseLanguage(query.Get("lang")); ok {
				http.SetCookie(w, c.cookie(languageCookie, string(language), 365*24*3600))
			}
			query.Del("lang")
			// Only the path and what is left of the query: a redirect never leaves the site.
			target := url.URL{Path: "/" + trimSlashes(r.URL.Path), RawQuery: query.Encode()}
			http.Redirect(w, r, target.String(), http.StatusSeeOther)
			return
		}
		language := Vietnamese
		if cookie, err := r.Cookie(c.cookieName(languageCookie)); err == nil {
			if chosen, ok := parseLanguage(cookie.Value); ok {
				language = chosen
			}
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), languageKey, language)))
	})
}

// trimSlashes keeps "//elsewhere" from becoming an address of another host.
func trimSlashes(path string) string {
	for len(path) > 0 && (path[0] == '/' || path[0] == '\\') {
		path = path[1:]
	}
	return path
}

// member lets in only people with a session. A page sends the others to the
// sign-in page; the event stream just refuses.
func (c *Console) member(page func(http.ResponseWriter, *http.Request, User)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, ok := c.config.Gate.Session(r.Context(), c.session(r))
		switch {
		case ok:
			page(w, r, user)
		case r.URL.Path == "/events":
			http.Error(w, http.StatusText(http.StatusUnauthorized), http.StatusUnauthorized)
		default:
			http.Redirect(w, r, "/signin", http.StatusSeeOther)
		}
	})
}

// form accepts a POST only from our own pages: the browser must not say that
// another site sent it, and the form must carry the token made for this browser.
func (c *Console) form(action http.HandlerFunc) http.Handler {
	refuse := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.fail(w, r, http.StatusForbidden, failure{})
	})
	checked := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			c.fail(w, r, http.StatusBadRequest, failure{})
			return
		}
		cookie, err := r.Cookie(c.cookieName(formCookie))
		if err != nil || !hmac.Equal([]byte(r.PostForm.Get("form")), []byte(c.formToken(cookie.Value))) {
			refuse(w, r)
			return
		}
		action(w, r)
	})
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(refuse)
	return protection.Handler(checked)
}

// formTokenFor returns the token for a page's forms, giving the browser its
// secret first if it has none.
func (c *Console) formTokenFor(w http.ResponseWriter, r *http.Request) string {
	if cookie, err := r.Cookie(c.cookieName(formCookie)); err == nil && len(cookie.Value) == formSecretLength {
		return c.formToken(cookie.Value)
	}
	secret := randomText()
	http.SetCookie(w, c.cookie(formCookie, secret, 0))
	return c.formToken(secret)
}

// formToken cannot be made from the cookie without our key, so planting a cookie
// is not enough to forge a form.
func (c *Console) formToken(secret string) string {
	mac := hmac.New(sha256.New, c.formKey)
	mac.Write([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// The cookies. Over TLS their names get the prefix that binds them to the host.
const (
	sessionCookie  = "lienthong_session"
	formCookie     = "lienthong_form"
	languageCookie = "lienthong_lang"

	formSecretLength = 32 // base64 of 24 bytes
)

func (c *Console) cookieName(name string) string {
	if c.config.Secure {
		return "__Host-" + name
	}
	return name
}

// cookie makes a cookie that scripts cannot read and other sites cannot send.
// seconds 0: until the browser closes; negative: delete.
func (c *Console) cookie(name, value string, seconds int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure is set wherever people come over TLS; on loopback it would lock them out
		Name: c.cookieName(name), Value: value, Path: "/", MaxAge: seconds,
		HttpOnly: true, Secure: c.config.Secure, SameSite: http.SameSiteStrictMode,
	}
}

// session is what the browser presents; empty when it has none.
func (c *Console) session(r *http.Request) string {
	cookie, err := r.Cookie(c.cookieName(sessionCookie))
	if err != nil {
		return ""
	}
	return cookie.Value
}

// randomText is 24 random bytes as 32 characters.
func randomText() string {
	var raw [24]byte
	_, _ = rand.Read(raw[:]) // never fails: the runtime stops the program instead
	return base64.RawURLEncoding.EncodeToString(raw[:])
}
