package address

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// DocumentKind is the kind of the documents that hold questions and their rulings.
const DocumentKind = "address_question"

// Steward is the role that answers questions.
const Steward = "steward"

// The states of a question.
const (
	StateOpen          = "open"
	StateAnswered      = "answered"
	StateNotResolvable = "not_resolvable"
)

// Documents is where questions are kept.
type Documents interface {
	SaveDocuments(ctx context.Context, docs ...lienthong.Document) ([]lienthong.Document, error)
	Document(ctx context.Context, kind, id string) (lienthong.Document, bool, error)
	Documents(ctx context.Context, kind, state string) ([]lienthong.Document, error)
	DocumentHistory(ctx context.Context, kind, id string) ([]lienthong.Document, error)
}

// Units is the list of today that rulings are held to; a Standardiser is one.
type Units interface {
	Unit(code string) (Candidate, bool)
	ListVersion() string
}

// Person is somebody who acts on the queue.
type Person struct {
	Name   string
	Member lienthong.MemberCode
	Roles  []string
}

// Ruling is what a steward decided about one question.
type Ruling struct {
	Key           string               `json:"key"`
	Unit          string               `json:"unit,omitempty"` // code of a unit of today
	UnitName      string               `json:"unit_name,omitempty"`
	NotResolvable bool                 `json:"not_resolvable,omitempty"`
	By            string               `json:"by"`
	Member        lienthong.MemberCode `json:"member,omitempty"`
	Note          string               `json:"note,omitempty"`
	At            int64                `json:"at"`
	ListVersion   string               `json:"list_version"`
}

// Answer is what a steward says: a unit, or that nobody can know.
type Answer struct {
	Unit          string
	NotResolvable bool
	Note          string
}

// Count says how many records of a dataset wait for the answer.
type Count struct {
	Dataset lienthong.DatasetID `json:"dataset"`
	Records int64               `json:"records"`
	At      int64               `json:"at"` // when it was counted last
}

// Asked is a question with the number of records of one dataset that ask it.
type Asked struct {
	Question Question
	Dataset  lienthong.DatasetID
	Records  int64
}

// Item is a question in the queue.
type Item struct {
	ID       string   `json:"-"`
	Revision int64    `json:"-"`
	State    string   `json:"-"`
	Question Question `json:"question"`
	Datasets []Count  `json:"datasets,omitempty"`
	First    int64    `json:"first"`
	Ruling   *Ruling  `json:"ruling,omitempty"`
}

// Records is how many records wait for the answer, or follow it.
func (i *Item) Records() int64 {
	total := int64(0)
	for _, c := range i.Datasets {
		total += c.Records
	}
	return total
}

// Revision is one step in the history of a question.
type Revision struct {
	Item
	Actor string
	Note  string
	At    int64
}

// QueueConfig sets up a Queue.
type QueueConfig struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Queue keeps the questions that only people can answer.
type Queue struct {
	documents Documents
	units     Units
	now       func() time.Time
}

// NewQueue opens the queue in a store of documents.
func NewQueue(documents Documents, units Units, config QueueConfig) *Queue {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Queue{documents: documents, units: units, now: config.Now}
}

const (
	chunk    = 200 // questions in one transaction
	attempts = 8   // before a conflict with other writers is given up
)

// Ask puts questions into the queue. The same question is kept once; for each dataset the
// latest count holds, so asking again after another pass counts nothing twice. A question
// that has a ruling keeps it. It returns how many were new.
func (q *Queue) Ask(ctx context.Context, asked ...Asked) (int, error) {
	asked = together(asked)
	added := 0
	for part := range slices.Chunk(asked, chunk) {
		n, err := q.askChunk(ctx, part)
		added += n
		if err != nil {
			return added, fmt.Errorf("ask %d questions about addresses: %w", len(part), err)
		}
	}
	return added, nil
}

// together adds up what is asked twice, in the order of the keys.
func together(asked []Asked) []Asked {
	list := slices.Clone(asked)
	slices.SortStableFunc(list, func(a, b Asked) int {
		return cmp.Or(cmp.Compare(a.Question.Key, b.Question.Key), cmp.Compare(a.Dataset.String(), b.Dataset.String()))
	})
	merged := list[:0]
	for _, a := range list {
		if n := len(merged); n > 0 && merged[n-1].Question.Key == a.Question.Key && merged[n-1].Dataset == a.Dataset {
			merged[n-1].Records += a.Records
			continue
		}
		merged = append(merged, a)
	}
	return merged
}

func (q *Queue) askChunk(ctx context.Context, asked []Asked) (int, error) {
	for attempt := 1; ; attempt++ {
		now := q.now().UnixMicro()
		var docs []lienthong.Document
		added := 0
		for i := 0; i < len(asked); {
			end := i + 1
			for end < len(asked) && asked[end].Question.Key == asked[i].Question.Key {
				end++
			}
			item, found, err := q.load(ctx, asked[i].Question.Key)
			if err != nil {
				return 0, err
			}
			if !found {
				added++
				item = Item{ID: asked[i].Question.Key, State: StateOpen, First: now}
			}
			if count(&item, asked[i:end], now) || !found {
				doc, err := document(&item, "platform", "", now)
				if err != nil {
					return 0, err
				}
				docs = append(docs, doc)
			}
			i = end
		}
		if len(docs) == 0 {
			return 0, nil
		}
		_, err := q.documents.SaveDocuments(ctx, docs...)
		if err == nil {
			return added, nil
		}
		if lienthong.ErrorCode(err) != lienthong.CodeDocumentConflict || attempt == attempts {
			return 0, fmt.Errorf("save: %w", err)
		}
	}
}

// count takes the counts over and says whether anything changed.
func count(item *Item, asked []Asked, now int64) bool {
	changed := false
	if item.Ruling == nil {
		item.Question = asked[0].Question
	}
	for _, a := range asked {
		i := slices.IndexFunc(item.Datasets, func(c Count) bool { return c.Dataset == a.Dataset })
		switch {
		case i < 0:
			item.Datasets = append(item.Datasets, Count{Dataset: a.Dataset, Records: a.Records, At: now})
		case item.Datasets[i].Records != a.Records:
			item.Datasets[i].Records, item.Datasets[i].At = a.Records, now
		default:
			continue
		}
		changed = true
	}
	return changed
}

func document(item *Item, actor, note string, at int64) (lienthong.Document, error) {
	body, err := json.Marshal(item)
	if err != nil {
		return lienthong.Document{}, fmt.Errorf("write the question %s: %w", item.ID, err)
	}
	return lienthong.Document{
		Kind: DocumentKind, ID: item.ID, Revision: item.Revision, State: item.State,
		Actor: actor, Note: note, At: at, Body: body,
	}, nil
}

func parse(doc *lienthong.Document) (Item, error) {
	var item Item
	if err := json.Unmarshal(doc.Body, &item); err != nil {
		return Item{}, fmt.Errorf("read the question %s: %w", doc.ID, err)
	}
	item.ID, item.Revision, item.State = doc.ID, doc.Revision, doc.State
	return item, nil
}

func (q *Queue) load(ctx context.Context, id string) (Item, bool, error) {
	doc, found, err := q.documents.Document(ctx, DocumentKind, id)
	if err != nil || !found {
		if err != nil {
			err = fmt.Errorf("load the question %s: %w", id, err)
		}
		return Item{}, false, err
	}
	item, err := parse(&doc)
	return item, err == nil, err
}

// Item returns one question.
func (q *Queue) Item(ctx context.Context, id string) (Item, error) {
	item, found, err := q.load(ctx, id)
	if err == nil && !found {
		err = &lienthong.Error{
			Code: "address.question", Where: id,
			Vi: "không có câu hỏi này", En: "there is no such question",
		}
	}
	return item, err
}

// Items lists the questions of a state, "" for all, those of most records first.
func (q *Queue) Items(ctx context.Context, state string) ([]Item, error) {
	docs, err := q.documents.Documents(ctx, DocumentKind, state)
	if err != nil {
		return nil, fmt.Errorf("list the questions about addresses: %w", err)
	}
	items := make([]Item, len(docs))
	for i := range docs {
		if items[i], err = parse(&docs[i]); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(items, func(a, b Item) int {
		return cmp.Or(cmp.Compare(b.Records(), a.Records()), cmp.Compare(a.ID, b.ID))
	})
	return items, nil
}

// History returns all that happened to a question, the oldest first.
func (q *Queue) History(ctx context.Context, id string) ([]Revision, error) {
	docs, err := q.documents.DocumentHistory(ctx, DocumentKind, id)
	if err != nil {
		return nil, fmt.Errorf("history of the question %s: %w", id, err)
	}
	history := make([]Revision, len(docs))
	for i := range docs {
		item, err := parse(&docs[i])
		if err != nil {
			return nil, err
		}
		history[i] = Revision{Item: item, Actor: docs[i].Actor, Note: docs[i].Note, At: docs[i].At}
	}
	return history, nil
}

// Answer rules on a question that the steward saw in the given revision. An earlier ruling is
// replaced and stays in the history. From the next call of UseRulings on, the same text is
// answered by the ruling.
func (q *Queue) Answer(ctx context.Context, who Person, id string, revision int64, answer Answer) (Item, error) {
	item, err := q.forSteward(ctx, who, id, revision)
	if err != nil {
		return Item{}, err
	}
	answer.Note = strings.TrimSpace(answer.Note)
	ruling := Ruling{
		Key: id, Unit: answer.Unit, NotResolvable: answer.NotResolvable, By: who.Name, Member: who.Member,
		Note: answer.Note, At: q.now().UnixMicro(), ListVersion: q.units.ListVersion(),
	}
	if answer.NotResolvable == (answer.Unit != "") {
		return Item{}, &lienthong.Error{
			Code: "address.answer", Where: id,
			Vi: "phải chọn một đơn vị hoặc ghi không xác định được", En: "choose a unit, or say that it cannot be resolved",
		}
	}
	if answer.NotResolvable {
		item.State = StateNotResolvable
		if answer.Note == "" {
			return Item{}, noteMissing(id)
		}
	} else {
		unit, known := q.units.Unit(answer.Unit)
		if !known {
			return Item{}, &lienthong.Error{
				Code: "address.unit", Where: answer.Unit,
				Vi: "không phải mã đơn vị cấp xã hiện nay", En: "not the code of a unit of today",
				Hint: "chọn trong danh mục hiện hành / choose from the list of today",
			}
		}
		if item.Question.Doubt == DoubtUnreadable {
			return Item{}, &lienthong.Error{
				Code: "address.unreadable", Where: id,
				Vi: "câu hỏi này gộp mọi địa chỉ không có phần hành chính, không thể trả lời bằng một đơn vị", En: "this question stands for all addresses without an administrative part; no unit can answer it",
				Hint: "sửa tại nguồn, hoặc ghi không xác định được / correct them at the source, or say that it cannot be resolved",
			}
		}
		if answer.Note == "" && !slices.ContainsFunc(item.Question.Now, func(c Candidate) bool { return c.Code == unit.Code }) {
			return Item{}, noteMissing(id)
		}
		ruling.UnitName = unit.Name
		item.State = StateAnswered
	}
	item.Ruling = &ruling
	return q.save(ctx, item, who, answer.Note)
}

func noteMissing(id string) error {
	return &lienthong.Error{
		Code: "address.note", Where: id,
		Vi: "cần ghi lý do", En: "say why",
		Hint: "cần lý do khi chọn đơn vị ngoài gợi ý hoặc khi không xác định được / a reason is needed for a unit that was not proposed, and for what cannot be resolved",
	}
}

// Withdraw takes a ruling back: the question is open again, and the ruling stays in the history.
func (q *Queue) Withdraw(ctx context.Context, who Person, id string, revision int64, note string) (Item, error) {
	item, err := q.forSteward(ctx, who, id, revision)
	if err != nil {
		return Item{}, err
	}
	if item.Ruling == nil {
		return Item{}, &lienthong.Error{
			Code: "address.open", Where: id,
			Vi: "câu hỏi chưa có quyết định để rút lại", En: "the question has no ruling to withdraw",
		}
	}
	note = strings.TrimSpace(note)
	if note == "" {
		return Item{}, noteMissing(id)
	}
	item.Ruling, item.State = nil, StateOpen
	return q.save(ctx, item, who, note)
}

// forSteward loads a question for somebody who may rule and has seen its latest revision.
func (q *Queue) forSteward(ctx context.Context, who Person, id string, revision int64) (Item, error) {
	if !slices.Contains(who.Roles, Steward) || who.Name == "" {
		return Item{}, &lienthong.Error{
			Code: "address.role", Where: id,
			Vi: "chỉ người quản trị dữ liệu được quyết định", En: "only a data steward may rule",
		}
	}
	item, err := q.Item(ctx, id)
	if err != nil {
		return Item{}, err
	}
	// New counts are no reason to refuse; another ruling is.
	if item.Revision != revision {
		seen, err := q.seen(ctx, id, revision)
		if err != nil {
			return Item{}, err
		}
		if !seen {
			return Item{}, &lienthong.Error{
				Code: lienthong.CodeDocumentConflict, Where: id,
				Vi: "người khác vừa quyết định câu hỏi này", En: "somebody else has ruled on this question meanwhile",
				Hint: "tải lại trang / load the page again",
			}
		}
	}
	return item, nil
}

// seen says whether nobody has ruled or withdrawn since the revision.
func (q *Queue) seen(ctx context.Context, id string, revision int64) (bool, error) {
	history, err := q.History(ctx, id)
	if err != nil {
		return false, err
	}
	for i := range history {
		if r := &history[i]; r.Revision == revision {
			for j := range history[i+1:] {
				if !sameRuling(r.Ruling, history[i+1+j].Ruling) {
					return false, nil
				}
			}
			return true, nil
		}
	}
	return false, nil
}

func sameRuling(a, b *Ruling) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }

func (q *Queue) save(ctx context.Context, item Item, who Person, note string) (Item, error) {
	doc, err := document(&item, who.Name, note, q.now().UnixMicro())
	if err != nil {
		return Item{}, err
	}
	saved, err := q.documents.SaveDocuments(ctx, doc)
	if err != nil {
		return Item{}, fmt.Errorf("save the question %s: %w", item.ID, err)
	}
	if len(saved) != 1 {
		return Item{}, errors.New("the store did not return the saved question")
	}
	item.Revision = saved[0].Revision
	return item, nil
}

// Rulings returns all rulings in force, for Standardiser.UseRulings.
func (q *Queue) Rulings(ctx context.Context) ([]Ruling, error) {
	var list []Ruling
	for _, state := range [...]string{StateAnswered, StateNotResolvable} {
		items, err := q.Items(ctx, state)
		if err != nil {
			return nil, err
		}
		for i := range items {
			if items[i].Ruling != nil {
				list = append(list, *items[i].Ruling)
			}
		}
	}
	return list, nil
}

// Tally collects the questions of one pass over a dataset. It is for one goroutine.
type Tally struct {
	dataset lienthong.DatasetID
	asked   map[string]*Asked
}

// NewTally begins a pass.
func NewTally(dataset lienthong.DatasetID) *Tally {
	return &Tally{dataset: dataset, asked: map[string]*Asked{}}
}

// Add counts one result; answers are no questions.
func (t *Tally) Add(result *Standardised) {
	if result.Question == nil {
		return
	}
	if a, known := t.asked[result.Question.Key]; known {
		a.Records++
		return
	}
	t.asked[result.Question.Key] = &Asked{Question: *result.Question, Dataset: t.dataset, Records: 1}
}

// Asked is what the pass asked, for Queue.Ask.
func (t *Tally) Asked() []Asked {
	list := make([]Asked, 0, len(t.asked))
	for _, a := range t.asked {
		list = append(list, *a)
	}
	return together(list)
}
