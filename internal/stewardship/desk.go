package stewardship

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// Documents is where items are kept.
type Documents interface {
	SaveDocuments(ctx context.Context, docs ...lienthong.Document) ([]lienthong.Document, error)
	Document(ctx context.Context, kind, id string) (lienthong.Document, bool, error)
	Documents(ctx context.Context, kind, state string) ([]lienthong.Document, error)
	DocumentHistory(ctx context.Context, kind, id string) ([]lienthong.Document, error)
}

// Config is what a Desk needs.
type Config struct {
	Documents Documents
	Kinds     []Kind // what is administered here
	// Deadline is the end of the n-th working day after the instant. Consultations need it: without it
	// they cannot be opened.
	Deadline func(from time.Time, days int) (time.Time, error)
	Now      func() time.Time // default time.Now
	MaxBody  int              // bytes of content; default 1 MiB
}

// Desk is where items are proposed, reviewed and published. It is safe for several goroutines and, because
// every step names the revision that it was decided on, for several processes.
type Desk struct {
	config Config
	kinds  map[string]*Kind
}

// New makes a desk.
func New(config Config) (*Desk, error) {
	if config.Documents == nil {
		return nil, errors.New("a desk needs documents")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.MaxBody == 0 {
		config.MaxBody = 1 << 20
	}
	d := &Desk{config: config, kinds: make(map[string]*Kind, len(config.Kinds))}
	for i := range config.Kinds {
		k := &config.Kinds[i]
		if _, twice := d.kinds[k.Name]; twice || k.Name == "" {
			return nil, fmt.Errorf("kind %q of items has no name or stands twice", k.Name)
		}
		d.kinds[k.Name] = k
	}
	return d, nil
}

// Kinds lists what is administered here.
func (d *Desk) Kinds() []Kind { return d.config.Kinds }

// Order is one step of one item.
type Order struct {
	Kind     string
	ID       string
	Revision int64 // that the person saw; the step is refused when there is a later one
	Action   Action
	Note     string                 // why
	Days     int                    // with ToConsult: working days until it closes
	Invited  []lienthong.MemberCode // with ToConsult: whose opinion is asked; empty: everybody's
}

// Proposal is a draft as its author saves it.
type Proposal struct {
	Kind     string
	ID       string
	Revision int64 // that the person saw; 0 for what is new
	Note     string
	Body     json.RawMessage
	Major    bool // ask for a new major version although nothing breaks
}

// Draft begins a version: of something new, or the next one of something that nobody works on.
func (d *Desk) Draft(ctx context.Context, by Person, p Proposal) (Item, error) {
	k, err := d.kind(p.Kind)
	if err != nil {
		return Item{}, err
	}
	if err := d.content(&p); err != nil {
		return Item{}, err
	}
	item, found, err := d.find(ctx, p.Kind, p.ID)
	if err != nil {
		return Item{}, err
	}
	if !found {
		item = Item{Kind: p.Kind, ID: p.ID}
	}
	if err := sameRevision(&item, p.Revision); err != nil {
		return Item{}, err
	}
	if item.State.Open() {
		word := item.State.Word()
		return Item{}, &lienthong.Error{
			Code: "stewardship.open", Where: p.Kind + " " + p.ID,
			Vi:   fmt.Sprintf("đã có đề xuất phiên bản %s, %s", item.Version, word.Vi),
			En:   fmt.Sprintf("version %s is already being worked on: %s", item.Version, word.En),
			Hint: "góp ý vào đề xuất đó, hoặc chờ đến khi kết thúc / comment on that proposal, or wait until it is over",
		}
	}
	role, err := allowed(&item, by, ToDraft, p.Note)
	if err != nil {
		return Item{}, err
	}
	item.Member, item.Body, item.Major = by.Member, p.Body, p.Major
	item.Authors, item.ApprovedBy, item.Submission = nil, "", 0
	item.Cycle++
	if err := k.permit(by, &item); err != nil {
		return Item{}, err
	}
	item.addAuthor(by, role)
	item.State = Draft
	d.number(k, &item)
	return d.save(ctx, k, item, by.Name, role, ToDraft, p.Note)
}

// Edit saves a draft. What is missing or wrong in it is no reason to refuse.
func (d *Desk) Edit(ctx context.Context, by Person, p Proposal) (Item, error) {
	if err := d.content(&p); err != nil {
		return Item{}, err
	}
	return d.step(ctx, by, Order{Kind: p.Kind, ID: p.ID, Revision: p.Revision, Action: ToEdit, Note: p.Note},
		func(k *Kind, item *Item, role Role) error {
			item.Body, item.Major = p.Body, p.Major
			if err := k.permit(by, item); err != nil {
				return err
			}
			item.addAuthor(by, role)
			d.number(k, item)
			return nil
		})
}

// Save goes on with the draft that is there, or begins a version.
func (d *Desk) Save(ctx context.Context, by Person, p Proposal) (Item, error) {
	if _, err := d.kind(p.Kind); err != nil {
		return Item{}, err
	}
	item, found, err := d.find(ctx, p.Kind, p.ID)
	if err != nil {
		return Item{}, err
	}
	if found && item.State == Draft {
		return d.Edit(ctx, by, p)
	}
	return d.Draft(ctx, by, p)
}

// Submit proposes a draft. It must be complete.
func (d *Desk) Submit(ctx context.Context, by Person, o Order) (Item, error) {
	o.Action = ToSubmit
	return d.step(ctx, by, o, func(k *Kind, item *Item, role Role) error {
		if err := k.permit(by, item); err != nil {
			return err
		}
		if err := complete(k, item); err != nil {
			return err
		}
		item.Submission++
		item.ApprovedBy = ""
		item.addAuthor(by, role)
		return nil
	})
}

// Decide takes a step of review: ToReview, ToReturn, ToConsult, ToConclude, ToApprove, ToReject or ToRetire.
func (d *Desk) Decide(ctx context.Context, by Person, o Order) (Item, error) {
	switch o.Action {
	case ToReview, ToReturn, ToReject:
		return d.step(ctx, by, o, d.endRound)
	case ToConsult:
		return d.step(ctx, by, o, func(_ *Kind, item *Item, _ Role) error { return d.openRound(item, by, &o) })
	case ToConclude:
		return d.step(ctx, by, o, func(k *Kind, item *Item, role Role) error {
			if err := d.roundOver(item); err != nil {
				return err
			}
			return d.endRound(k, item, role)
		})
	case ToApprove:
		return d.step(ctx, by, o, func(k *Kind, item *Item, role Role) error {
			if err := d.approvable(k, item, o.Note); err != nil {
				return err
			}
			item.ApprovedBy = by.Name
			return d.endRound(k, item, role)
		})
	case ToRetire:
		return d.retire(ctx, by, o)
	case ToDraft, ToEdit, ToSubmit, ToPublish, ToWithdraw, ToSupersede, ToComment, ToResolve, ToOpine:
	}
	return Item{}, &lienthong.Error{
		Code: "stewardship.action", Where: string(o.Action),
		Vi: "đây không phải một bước thẩm định", En: "this is not a step of the review",
		Hint: "review, return, consult, conclude, approve, reject, retire",
	}
}

// Withdraw takes a proposal back. The version in force stays in force.
func (d *Desk) Withdraw(ctx context.Context, by Person, o Order) (Item, error) {
	o.Action = ToWithdraw
	return d.step(ctx, by, o, d.endRound)
}

// Publish puts an approved version in force; the one before is superseded.
func (d *Desk) Publish(ctx context.Context, by Person, o Order) (Item, error) {
	o.Action = ToPublish
	item, err := d.step(ctx, by, o, func(k *Kind, item *Item, _ Role) error {
		if err := complete(k, item); err != nil { // what it refers to may have changed since
			return err
		}
		changes := d.number(k, item)
		item.closeRelease(Superseded, d.now())
		item.Releases = append(item.Releases, Release{
			Version: item.Version, State: Published, Revision: item.Revision + 1, At: d.now(), By: by.Name,
			Approved: item.ApprovedBy, Note: o.Note, Changes: changes, Authors: item.Authors,
		})
		item.InForce, item.InForceVersion = item.Body, item.Version
		return nil
	})
	if err != nil {
		return item, err
	}
	return item, d.published(ctx, &item, Subject{Kind: item.Kind, ID: item.ID, After: item.InForce})
}

func (d *Desk) retire(ctx context.Context, by Person, o Order) (Item, error) {
	item, err := d.step(ctx, by, o, func(k *Kind, item *Item, _ Role) error {
		impact, err := k.impact(ctx, Subject{Kind: item.Kind, ID: item.ID, Before: item.InForce})
		if err != nil {
			return err
		}
		if len(impact.Uses) > 0 {
			words := impact.Sentence()
			return &lienthong.Error{
				Code: "stewardship.in_use", Where: item.Kind + " " + item.ID,
				Vi: "chưa thể cho ngừng hiệu lực: " + words.Vi, En: "cannot be retired: " + words.En,
				Hint: "chuyển các nơi sử dụng sang mục khác trước / move its users to another item first",
			}
		}
		item.closeRelease(Retired, d.now())
		item.InForce, item.InForceVersion = nil, Version{}
		return nil
	})
	if err != nil {
		return item, err
	}
	return item, d.published(ctx, &item, Subject{Kind: item.Kind, ID: item.ID})
}

// closeRelease ends the release in force.
func (i *Item) closeRelease(as State, at int64) {
	for n := range i.Releases {
		if i.Releases[n].State == Published {
			i.Releases[n].State, i.Releases[n].Until = as, at
		}
	}
}

func (i *Item) addAuthor(by Person, role Role) {
	if !i.WrittenBy(by.Name) {
		i.Authors = append(i.Authors, Account{Name: by.Name, Member: by.Member, Role: role})
	}
}

func (d *Desk) published(ctx context.Context, item *Item, s Subject) error {
	k, err := d.kind(item.Kind)
	if err != nil || k.Published == nil {
		return err
	}
	if err := k.Published(ctx, s, item.InForceVersion); err != nil {
		return fmt.Errorf("put %s %s %s into use: %w", item.Kind, item.ID, item.InForceVersion, err)
	}
	return nil
}

// number says which version the draft will be, and what it changes.
func (d *Desk) number(k *Kind, item *Item) []Change {
	base := item.InForceVersion
	if base.IsZero() && len(item.Releases) > 0 { // retired: numbers are not used twice
		base = item.Releases[len(item.Releases)-1].Version
	}
	changes := k.compare(item.subject())
	item.Version = base.next(item.Major || breaking(changes))
	return changes
}

func (k *Kind) permit(by Person, item *Item) error {
	if k.Permit == nil {
		return nil
	}
	return k.Permit(by, item.subject())
}

// complete refuses content with problems; all of them are in the error.
func complete(k *Kind, item *Item) error {
	problems := k.validate(item.subject())
	if len(problems) == 0 {
		return nil
	}
	all := make([]error, len(problems))
	for i, p := range problems {
		all[i] = p
	}
	return &lienthong.Error{
		Code: "stewardship.incomplete", Where: item.Kind + " " + item.ID,
		Vi:   fmt.Sprintf("bản nháp còn %d chỗ thiếu hoặc sai", len(problems)),
		En:   fmt.Sprintf("the draft lacks %s, or has them wrong", count(len(problems), "thing")),
		Hint: "xem danh sách cạnh bản nháp / see the list beside the draft",
		Err:  errors.Join(all...),
	}
}

// step does what all steps have in common.
func (d *Desk) step(ctx context.Context, by Person, o Order, change func(*Kind, *Item, Role) error) (Item, error) {
	k, err := d.kind(o.Kind)
	if err != nil {
		return Item{}, err
	}
	item, err := d.load(ctx, o.Kind, o.ID)
	if err != nil {
		return Item{}, err
	}
	if err := sameRevision(&item, o.Revision); err != nil {
		return Item{}, err
	}
	role, err := allowed(&item, by, o.Action, o.Note)
	if err != nil {
		return Item{}, err
	}
	row, _ := find(item.State, o.Action)
	if err := change(k, &item, role); err != nil {
		return Item{}, err
	}
	item.State = row.To
	return d.save(ctx, k, item, by.Name, role, o.Action, o.Note)
}

// save writes the next revision.
func (d *Desk) save(ctx context.Context, k *Kind, item Item, actor string, role Role, action Action, note string) (Item, error) {
	item.Actor, item.Role, item.Action, item.Note, item.At = actor, role, action, strings.TrimSpace(note), d.now()
	doc, err := item.document()
	if err != nil {
		return Item{}, err
	}
	saved, err := d.config.Documents.SaveDocuments(ctx, doc)
	if err != nil {
		return Item{}, fmt.Errorf("save %s %s: %w", item.Kind, item.ID, err)
	}
	item.Revision = saved[0].Revision
	if k.Changed != nil {
		k.Changed(item.ID)
	}
	return item, nil
}

func (d *Desk) now() int64 { return d.config.Now().UnixMicro() }

func (d *Desk) kind(name string) (*Kind, error) {
	k, known := d.kinds[name]
	if !known {
		return nil, &lienthong.Error{
			Code: "stewardship.kind", Where: name,
			Vi: "không quản lý loại mục này ở đây", En: "no such kind of item is administered here",
		}
	}
	return k, nil
}

func (d *Desk) find(ctx context.Context, kind, id string) (Item, bool, error) {
	doc, found, err := d.config.Documents.Document(ctx, kind, id)
	if err != nil {
		return Item{}, false, fmt.Errorf("load %s %s: %w", kind, id, err)
	}
	if !found {
		item, existing := d.existing(kind, id)
		return item, existing, nil
	}
	item, err := ItemOf(doc)
	return item, err == nil, err
}

// existing is an item that is in force without ever having been saved.
func (d *Desk) existing(kind, id string) (Item, bool) {
	k := d.kinds[kind]
	if k == nil || k.Existing == nil {
		return Item{}, false
	}
	body, version, found := k.Existing(id)
	if !found {
		return Item{}, false
	}
	return Item{
		Kind: kind, ID: id, State: Published, Actor: platform, Version: version, Body: body, InForce: body, InForceVersion: version,
		Releases: []Release{{Version: version, State: Published, By: platform}},
	}, true
}

// platform is the actor where there was no person.
const platform = "platform"

func (d *Desk) load(ctx context.Context, kind, id string) (Item, error) {
	item, found, err := d.find(ctx, kind, id)
	if err != nil {
		return Item{}, err
	}
	if !found {
		return Item{}, &lienthong.Error{
			Code: "stewardship.unknown", Where: kind + " " + id,
			Vi: "chưa có mục này", En: "there is no such item", Hint: "soạn bản nháp trước / write a draft first",
		}
	}
	return item, nil
}

// content looks at what can be stored at all.
func (d *Desk) content(p *Proposal) error {
	where := p.Kind + " " + p.ID
	switch {
	case !plainID(p.ID):
		return &lienthong.Error{
			Code: "stewardship.id", Where: p.Kind,
			Vi: "mã của mục không đúng dạng", En: "not an identifier of an item",
			Hint: "a-z 0-9 . _ -, tối đa 120 ký tự, bắt đầu bằng chữ / a-z 0-9 . _ -, up to 120 characters, a letter first",
		}
	case len(p.Body) > d.config.MaxBody:
		return &lienthong.Error{
			Code: "stewardship.size", Where: where,
			Vi: fmt.Sprintf("nội dung dài hơn %d byte", d.config.MaxBody),
			En: fmt.Sprintf("the content is longer than %d bytes", d.config.MaxBody),
		}
	case !json.Valid(p.Body):
		return &lienthong.Error{
			Code: "stewardship.json", Where: where,
			Vi: "nội dung không phải JSON", En: "the content is not JSON",
		}
	}
	return nil
}

func plainID(id string) bool {
	if id == "" || len(id) > 120 || id[0] < 'a' || id[0] > 'z' {
		return false
	}
	return !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !slices.Contains([]rune("._-"), r)
	})
}

// sameRevision refuses a step that was decided on another revision than the latest.
func sameRevision(item *Item, seen int64) error {
	if item.Revision == seen {
		return nil
	}
	return &lienthong.Error{
		Code: lienthong.CodeDocumentConflict, Where: item.Kind + " " + item.ID,
		Vi:   "người khác vừa lưu mục này",
		En:   "somebody else has saved this item meanwhile",
		Hint: "tải lại rồi quyết định / load it again, then decide",
	}
}

// allowed tells in which role the person may act, or why not.
func allowed(item *Item, by Person, action Action, note string) (Role, error) {
	where := item.Kind + " " + item.ID
	row, known := find(item.State, action)
	if !known || len(row.Roles) == 0 {
		state, word, next := item.State.Word(), action.Word(), possible(item.State)
		if item.State == "" {
			state = Word{"chưa có", "not there yet"}
		}
		return "", &lienthong.Error{
			Code: "stewardship.transition", Where: where,
			Vi:   fmt.Sprintf("không thể %s khi mục ở trạng thái “%s”", word.Vi, state.Vi),
			En:   fmt.Sprintf("cannot %s what is %q", word.En, state.En),
			Hint: "lúc này có thể: " + next.Vi + " / possible now: " + next.En,
		}
	}
	role := by.as(row.Roles)
	word, roles := action.Word(), roleNames(row.Roles)
	switch {
	case role == "":
		return "", &lienthong.Error{
			Code: "stewardship.role", Where: where,
			Vi: fmt.Sprintf("chỉ %s được %s", roles.Vi, word.Vi), En: fmt.Sprintf("only these may %s: %s", word.En, roles.En),
		}
	case row.Own && by.Member != item.Member:
		return "", &lienthong.Error{
			Code: "stewardship.own", Where: where,
			Vi: fmt.Sprintf("chỉ người của cơ quan đề xuất (%s) được %s", item.Member, word.Vi),
			En: fmt.Sprintf("only people of the organisation that proposes (%s) may %s", item.Member, word.En),
		}
	case row.FourEyes && item.WrittenBy(by.Name):
		return "", &lienthong.Error{
			Code: "stewardship.four_eyes", Where: where,
			Vi:   fmt.Sprintf("người đã soạn hoặc gửi đề xuất không được tự %s", word.Vi),
			En:   fmt.Sprintf("whoever wrote or submitted the proposal may not %s", word.En),
			Hint: "một người khác có vai trò này phải làm: " + roles.Vi + " / somebody else must: " + roles.En,
		}
	case row.Comment && strings.TrimSpace(note) == "":
		return "", &lienthong.Error{
			Code: "stewardship.reason", Where: where,
			Vi: fmt.Sprintf("cần ghi lý do khi %s", word.Vi), En: "a reason must be given to " + word.En,
		}
	}
	return role, nil
}
