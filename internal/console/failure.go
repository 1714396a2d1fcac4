package console

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/lienthong/lienthong"
)

// failure is what the page says when there is nothing else to show.
type failure struct {
	chrome
	Status    int
	Code      string // of a coded error
	Text      Text
	Where     string
	Hint      string
	Reference string // ties the page to the log line
}

// notFound answers every address that is not on the list.
func (c *Console) notFound(w http.ResponseWriter, r *http.Request) {
	c.fail(w, r, http.StatusNotFound, failure{})
}

// failWith answers with what the error says to a person, and logs what it says
// to us.
func (c *Console) failWith(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // nobody waits for the answer
	}
	status, page := http.StatusInternalServerError, failure{}
	var coded *lienthong.Error
	if errors.As(err, &coded) {
		page.Code, page.Where, page.Hint = coded.Code, coded.Where, coded.Hint
		page.Text = Text{Vi: coded.Vi, En: coded.En}
		switch coded.Code {
		case CodeUnknownDatabase, "catalog.unknown", "stewardship.unknown":
			status = http.StatusNotFound
		case "catalog.foreign", "catalog.attest":
			status = http.StatusForbidden
		}
	}
	if status == http.StatusInternalServerError {
		page.Reference = newReference()
		c.config.Log.ErrorContext(r.Context(), "console: the source failed",
			slog.String("reference", page.Reference), slog.String("path", r.URL.Path), slog.Any("error", err))
	}
	c.fail(w, r, status, page)
}

// fail answers with a page of the given status.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, status int, page failure) {
	page.Status = status
	page.chrome = c.chromeFor(w, r, nil)
	page.Page = "failure"
	c.write(w, r, status, page)
}

// newReference is short enough to be read out on the telephone.
func newReference() string { return randomText()[:8] }
