package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// Observe takes what connectors see. The form of a dataset is kept when it changes; figures are kept in memory,
// because connectors say them again.
func (r *Register) Observe(ctx context.Context, seen ...Observed) error {
	if err := r.loadSeen(ctx); err != nil {
		return err
	}
	for i := range seen {
		o := seen[i]
		r.mu.Lock()
		before := r.seen[o.Dataset]
		same := before != nil && before.sameForm(&o)
		if same {
			r.seen[o.Dataset] = &o
		}
		r.mu.Unlock()
		if same {
			continue
		}
		if err := r.keep(ctx, &o); err != nil {
			return err
		}
		r.mu.Lock()
		r.seen[o.Dataset] = &o
		r.age++
		r.mu.Unlock()
	}
	return nil
}

// keep saves a sighting.
func (r *Register) keep(ctx context.Context, o *Observed) error {
	id := o.Dataset.String()
	body, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("write what is seen of %s: %w", id, err)
	}
	for {
		before, _, err := r.config.Documents.Document(ctx, kindObserved, id)
		if err != nil {
			return fmt.Errorf("load what was seen of %s: %w", id, err)
		}
		_, err = r.config.Documents.SaveDocuments(ctx, lienthong.Document{
			Kind: kindObserved, ID: id, Revision: before.Revision, State: "seen", Actor: "platform",
			At: r.config.Now().UnixMicro(), Body: body,
		})
		switch {
		case err == nil:
			return nil
		case lienthong.ErrorCode(err) != lienthong.CodeDocumentConflict || ctx.Err() != nil:
			return fmt.Errorf("save what is seen of %s: %w", id, err)
		}
	}
}

// loadSeen reads once what was seen before this process began.
func (r *Register) loadSeen(ctx context.Context) error {
	r.mu.Lock()
	loaded := r.seen != nil
	r.mu.Unlock()
	if loaded {
		return nil
	}
	docs, err := r.config.Documents.Documents(ctx, kindObserved, "")
	if err != nil {
		return fmt.Errorf("list what was seen of datasets: %w", err)
	}
	seen := make(map[lienthong.DatasetID]*Observed, len(docs))
	for _, doc := range docs {
		var o Observed
		if err := json.Unmarshal(doc.Body, &o); err != nil {
			return fmt.Errorf("read what was seen of %s: %w", doc.ID, err)
		}
		seen[o.Dataset] = &o
	}
	r.mu.Lock()
	if r.seen == nil {
		r.seen = seen
	}
	r.mu.Unlock()
	return nil
}

// observed lists what is seen, by dataset.
func (r *Register) observed() []Observed {
	r.mu.Lock()
	list := make([]Observed, 0, len(r.seen))
	for _, o := range r.seen {
		list = append(list, *o)
	}
	r.mu.Unlock()
	slices.SortFunc(list, func(a, b Observed) int { return strings.Compare(a.Dataset.String(), b.Dataset.String()) })
	return list
}

// Attest records that the owner has looked through the published entry and it still holds.
func (r *Register) Attest(ctx context.Context, by stewardship.Person, code, note string) error {
	rec, err := r.Load(ctx, code)
	if err != nil {
		return err
	}
	switch {
	case rec.Origin != FromOwner:
		return &lienthong.Error{
			Code: "catalog.unpublished", Where: code,
			Vi: "mục đăng ký chưa được công bố nên chưa có gì để xác nhận", En: "the entry is not published: there is nothing to confirm",
			Hint: "soạn và gửi mục đăng ký / draft the entry and submit it",
		}
	case !by.Has(stewardship.Owner) || by.Member != rec.Owner && by.Member != rec.Manager:
		return &lienthong.Error{
			Code: "catalog.attest", Where: code,
			Vi: "chỉ chủ quản của cơ sở dữ liệu được xác nhận hằng năm", En: "only the owner of the database may confirm it for another year",
		}
	}
	before, _, err := r.config.Documents.Document(ctx, kindAttestation, code)
	if err != nil {
		return fmt.Errorf("load the confirmation of %s: %w", code, err)
	}
	body, err := json.Marshal(attestation{rec.Version})
	if err != nil {
		return fmt.Errorf("write the confirmation of %s: %w", code, err)
	}
	_, err = r.config.Documents.SaveDocuments(ctx, lienthong.Document{
		Kind: kindAttestation, ID: code, Revision: before.Revision, State: "attested", Actor: by.Name, Note: strings.TrimSpace(note),
		At: r.config.Now().UnixMicro(), Body: body,
	})
	if err != nil {
		return fmt.Errorf("save the confirmation of %s: %w", code, err)
	}
	r.Changed()
	return nil
}

// Draft is the content with which somebody begins to write: what they work on already, or
// the published entry, or the seed.
func (r *Register) Draft(ctx context.Context, code string) (Entry, error) {
	doc, found, err := r.config.Documents.Document(ctx, Kind, code)
	if err != nil {
		return Entry{}, fmt.Errorf("load the register entry %s: %w", code, err)
	}
	if found {
		item, err := stewardship.ItemOf(doc)
		if err != nil {
			return Entry{}, err
		}
		body := item.Body
		if !item.State.Open() && item.InForce != nil {
			body = item.InForce
		}
		return ParseEntry(body)
	}
	rec, err := r.Load(ctx, code)
	if lienthong.ErrorCode(err) == "catalog.unknown" {
		return Entry{Code: code}, nil
	}
	if err != nil {
		return Entry{}, err
	}
	entry := rec.Entry
	entry.Confidence = "" // from now on the owner declares it
	return entry, nil
}

// ConfirmShape writes the live shape of a dataset into a draft of the entry: the drift ends when
// the draft has been approved and published. An entry that is under review is not touched.
func (r *Register) ConfirmShape(ctx context.Context, desk *stewardship.Desk, by stewardship.Person, dataset lienthong.DatasetID, note string) (stewardship.Item, error) {
	rec, err := r.Load(ctx, dataset.Database)
	if err != nil {
		return stewardship.Item{}, err
	}
	i := slices.IndexFunc(rec.Views, func(v DatasetView) bool { return v.ID == dataset })
	if i < 0 || rec.Views[i].Seen == nil {
		return stewardship.Item{}, &lienthong.Error{
			Code: "catalog.unseen", Where: dataset.String(),
			Vi: "chưa có nút nào đọc tập dữ liệu này nên không có cấu trúc để xác nhận", En: "no node reads this dataset: there is no shape to confirm",
		}
	}
	view := &rec.Views[i]
	entry, err := r.Draft(ctx, dataset.Database)
	if err != nil {
		return stewardship.Item{}, err
	}
	declared, there := entry.Dataset(dataset.Name)
	if !there {
		fresh := Dataset{Name: dataset.Name}
		if view.Definition != nil {
			fresh.TitleVi, fresh.TitleEn, fresh.Updated = view.Definition.TitleVi, view.Definition.TitleEn, view.Definition.Interval
		}
		entry.Datasets = append(entry.Datasets, fresh)
		declared = &entry.Datasets[len(entry.Datasets)-1]
	}
	mapping := map[string]string{}
	if view.Definition != nil {
		mapping = Mapping(view.Definition)
	}
	declared.Shape = view.Seen.Confirm(mapping, r.config.Now().UnixMicro())
	body, err := json.Marshal(entry)
	if err != nil {
		return stewardship.Item{}, fmt.Errorf("write the register entry %s: %w", entry.Code, err)
	}
	p := stewardship.Proposal{Kind: Kind, ID: dataset.Database, Revision: rec.Revision, Note: note, Body: body}
	if rec.State.Open() {
		return desk.Edit(ctx, by, p)
	}
	return desk.Draft(ctx, by, p)
}
