package console

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/calendar"
	"github.com/lienthong/lienthong/internal/catalog"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/stewardship"
	"github.com/lienthong/lienthong/internal/store"
)

// testDefinition maps a dataset to elements whose use the pages must show.
const testDefinition = `
dataset: population.person
title_vi: Công dân
title_en: Citizens
table: cong_dan
identity: [personal_number]
columns:
  - {column: so_dinh_danh, element: person.number}
  - {column: ho_ten, element: person.full_name}
  - {column: ngay_sinh, element: person.birth_date}
`

// people are those who work in the tests, by session.
func people() map[string]User {
	person := func(account string, member lienthong.MemberCode, roles ...string) User {
		return User{Name: account, Account: account, Member: member, Roles: roles, Role: Text{"Tài khoản thử", "Test account"}}
	}
	return map[string]User{
		"steward":  person("an.steward", "G01", "steward"),
		"reviewer": person("binh.reviewer", "G01", "reviewer"),
		"approver": person("chi.approver", "G01", "approver"),
		"owner":    person("dung.owner", "G01", "owner"),
		"engineer": person("hoa.engineer", "G01", "engineer"),
		"other":    person("giang.steward", "G12", "steward", "owner"),
		"viewer":   person("viet.viewer", "G02", "viewer"),
	}
}

// newWorkplace is a workplace on a store of its own, with real services. Areas add theirs.
func newWorkplace(t *testing.T) (*Workplace, *store.Store) {
	t.Helper()
	if testing.Short() {
		t.Skip("works with a store: in full only") // the race detector makes it slow, and what meets there is tested in its own package
	}
	records, err := store.OpenSQLite(t.Context(), t.TempDir(), store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = records.Close() })
	words, err := dictionary.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	definition, err := dictionary.ParseDefinition("person.yaml", []byte(testDefinition))
	if err != nil {
		t.Fatal(err)
	}
	definitions := func() []*dictionary.Definition { return []*dictionary.Definition{definition} }
	editions := stewardship.NewEditions(words, definitions)
	register, err := catalog.NewRegister(catalog.Config{Documents: records, Dictionary: editions.Current, Definitions: definitions})
	if err != nil {
		t.Fatal(err)
	}
	days, err := calendar.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	desk, err := stewardship.New(stewardship.Config{
		Documents: records, Kinds: append(editions.Kinds(), register.Kind()),
		Deadline: func(from time.Time, n int) (time.Time, error) {
			due, err := days.Deadline(from, n)
			return due.At, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &Workplace{Dictionary: editions.Current, Definitions: definitions, Editions: editions, Desk: desk, Register: register}, records
}

// workplaceServer serves a console with a workplace. The query "?as=" makes the browser another
// person, as if somebody else had signed in.
func workplaceServer(t *testing.T, place *Workplace) *httptest.Server {
	t.Helper()
	return workplaceServerAt(t, place, time.Now)
}

// workplaceServerAt is a workplaceServer with a clock of its own.
func workplaceServerAt(t *testing.T, place *Workplace, now func() time.Time) *httptest.Server {
	t.Helper()
	book := newStorybook(busyOverview(), busyDatabase())
	for session, user := range people() {
		book.sessions[session] = user
	}
	c, err := New(Config{Source: book, Gate: book, Workplace: place, Now: now, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if as := r.URL.Query().Get("as"); as != "" {
			http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: as, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
			query := r.URL.Query()
			query.Del("as")
			r.URL.RawQuery = query.Encode()
			http.Redirect(w, r, r.URL.RequestURI(), http.StatusSeeOther)
			return
		}
		c.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(c.Close)
	return server
}
