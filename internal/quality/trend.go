package quality

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/lienthong/lienthong"
)

// DayKind is the kind of the documents that days are kept as. Their identifier is
// "database/2006-01-02", their state "database/2006", so that a year is one list.
const DayKind = "quality_day"

// DayStore keeps documents.
type DayStore interface {
	SaveDocuments(ctx context.Context, docs ...lienthong.Document) ([]lienthong.Document, error)
	Document(ctx context.Context, kind, id string) (lienthong.Document, bool, error)
	Documents(ctx context.Context, kind, state string) ([]lienthong.Document, error)
}

// Trend keeps one Day per database and date.
type Trend struct{ store DayStore }

// NewTrend returns the trend kept in a store.
func NewTrend(store DayStore) *Trend { return &Trend{store: store} }

// recordTries is how often Record tries against others that record the same day.
const recordTries = 5

// Record keeps a day. The last of a date wins: one that is older than what is kept changes
// nothing, and recording the same again does not either. It may be called as often
// as one likes; every change is a revision, so once an hour is plenty.
func (t *Trend) Record(ctx context.Context, day Day) error {
	body, err := json.Marshal(day)
	if err != nil {
		return fmt.Errorf("quality: encode day: %w", err)
	}
	if _, err := time.Parse(time.DateOnly, day.Date); err != nil || day.ID == "" {
		return &lienthong.Error{
			Code: "quality.day", Where: day.ID, Vi: "ngày hoặc mã cơ sở dữ liệu không đúng", En: "the date or the database of the day is not right",
		}
	}
	doc := lienthong.Document{
		Kind: DayKind, ID: day.ID + "/" + day.Date, State: day.ID + "/" + day.Date[:4],
		Actor: "platform", At: day.At, Body: body,
	}
	for range recordTries {
		kept, found, err := t.store.Document(ctx, DayKind, doc.ID)
		if err != nil {
			return fmt.Errorf("quality: read day: %w", err)
		}
		if found && (kept.At > day.At || bytes.Equal(kept.Body, body)) {
			return nil
		}
		doc.Revision = kept.Revision
		if _, err = t.store.SaveDocuments(ctx, doc); err == nil {
			return nil
		}
		if !errors.Is(err, &lienthong.Error{Code: lienthong.CodeDocumentConflict}) {
			return fmt.Errorf("quality: keep day: %w", err)
		}
	}
	return &lienthong.Error{
		Code: lienthong.CodeDocumentConflict, Where: doc.ID,
		Vi: "ngày này đang được nơi khác ghi liên tục", En: "others keep recording this day",
	}
}

// Days returns the days of a database from one date to another, both included, oldest first.
// Days that nobody recorded are not made up.
func (t *Trend) Days(ctx context.Context, id, from, to string) ([]Day, error) {
	first, err1 := time.Parse(time.DateOnly, from)
	last, err2 := time.Parse(time.DateOnly, to)
	if err := cmp.Or(err1, err2); err != nil {
		return nil, &lienthong.Error{Code: "quality.day", Where: from + " – " + to, Vi: "ngày không đúng dạng", En: "not a date", Hint: "2006-01-02", Err: err}
	}
	var days []Day
	for year := first.Year(); year <= last.Year(); year++ {
		docs, err := t.store.Documents(ctx, DayKind, id+"/"+strconv.Itoa(year))
		if err != nil {
			return nil, fmt.Errorf("quality: list days: %w", err)
		}
		for i := range docs {
			var day Day
			if err := json.Unmarshal(docs[i].Body, &day); err != nil {
				return nil, fmt.Errorf("quality: decode day %s: %w", docs[i].ID, err)
			}
			if day.Date >= from && day.Date <= to {
				days = append(days, day)
			}
		}
	}
	slices.SortFunc(days, func(a, b Day) int { return cmp.Compare(a.Date, b.Date) })
	return days, nil
}

// Year returns the days of the twelve months that end with a moment in microseconds.
func (t *Trend) Year(ctx context.Context, id string, until int64) ([]Day, error) {
	day := localDay(until)
	date := func(day int64) string { return time.Unix(day*86400, 0).UTC().Format(time.DateOnly) }
	return t.Days(ctx, id, date(addMonths(day, -12)+1), date(day))
}

// Latest explains what changed to the newest of some days since the one recorded before it,
// which is yesterday unless nobody recorded then. It is false with fewer than two.
func Latest(days []Day) (Change, bool) {
	if len(days) < 2 {
		return Change{}, false
	}
	return Compare(days[len(days)-2], days[len(days)-1]), true
}
