package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"testing"
)

// askable is a storybook that can be asked to compare.
type askable struct {
	*storybook
	asked []string
}

func (a *askable) Reconcile(_ context.Context, code, asker string) error {
	a.asked = append(a.asked, code+" by "+asker)
	return nil
}

func TestCompareNow(t *testing.T) {
	book := &askable{storybook: newStorybook(busyOverview(), busyDatabase())}
	c, err := New(Config{Source: book, Gate: book})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	token, cookies := formFrom(t, c)
	form := url.Values{"form": {token}}
	if answer := post(c, "/database/population/reconcile", form, cookies); answer.Code != http.StatusSeeOther || len(book.asked) != 0 {
		t.Errorf("without a session: %d, asked %v", answer.Code, book.asked)
	}
	session := &http.Cookie{Name: sessionCookie, Value: "session-1"}
	if answer := post(c, "/database/population/reconcile", url.Values{}, append(cookies, session)); answer.Code != http.StatusForbidden {
		t.Errorf("without a form token: %d", answer.Code)
	}
	if answer := post(c, "/database/nothing/reconcile", form, append(cookies, session)); answer.Code != http.StatusNotFound {
		t.Errorf("an unknown database: %d", answer.Code)
	}
	answer := post(c, "/database/population/reconcile", form, append(cookies, session))
	if answer.Code != http.StatusSeeOther || answer.Header().Get("Location") != "/database/population" {
		t.Errorf("answer %d to %q", answer.Code, answer.Header().Get("Location"))
	}
	if !slices.Equal(book.asked, []string{"population by Nguyễn Thị Ánh"}) {
		t.Errorf("asked %v", book.asked)
	}
}
