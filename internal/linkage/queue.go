package linkage

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// QuestionKind is the kind of document that a question is kept as.
const QuestionKind = "identity_question"

// Steward is the role that decides.
const Steward = "steward"

// The states of a question.
const (
	Open      = "open"
	Second    = "second" // one person has answered, another must
	Withdrawn = "withdrawn"
	// A question that is decided is in the state of its answer: "same", "different", "unsure".
)

// Documents is where questions are kept.
type Documents interface {
	SaveDocuments(ctx context.Context, docs ...lienthong.Document) ([]lienthong.Document, error)
	Document(ctx context.Context, kind, id string) (lienthong.Document, bool, error)
	Documents(ctx context.Context, kind, state string) ([]lienthong.Document, error)
}

// QueueConfig configures a Queue.
type QueueConfig struct {
	Documents Documents
	// Key makes the fingerprints by which a changed record is noticed: at least 16 bytes, kept
	// secret and kept for good. Without it a fingerprint could be tried out against known people.
	Key []byte
	// TwoPeople asks two different people; what two of them say alike is the answer.
	TwoPeople bool
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Queue is the questions that people decide, and what they have decided.
type Queue struct{ config QueueConfig }

// NewQueue makes a queue.
func NewQueue(config QueueConfig) (*Queue, error) {
	if len(config.Key) < 16 {
		return nil, &lienthong.Error{
			Code: "linkage.key", Vi: "khoá của dấu vân bản ghi phải có ít nhất 16 byte", En: "the key of the records' fingerprints must have 16 bytes at least",
		}
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Queue{config}, nil
}

// Reviewer is the person who acts.
type Reviewer struct {
	Name   string
	Member lienthong.MemberCode
	Roles  []string
}

// Opinion is what one person said.
type Opinion struct {
	Person string               `json:"person"`
	Member lienthong.MemberCode `json:"member,omitempty"`
	Answer Answer               `json:"answer"`
	Note   string               `json:"note,omitempty"`
	At     int64                `json:"at"`
}

// Question asks whether two records are about the same. It names the records and says in
// words how they compare; it holds none of their values.
type Question struct {
	ID           string     `json:"id"`
	Revision     int64      `json:"-"`
	State        string     `json:"-"`
	Register     string     `json:"register"` // "population.person"
	A            string     `json:"a"`
	B            string     `json:"b"`
	FingerprintA string     `json:"fingerprint_a"`
	FingerprintB string     `json:"fingerprint_b"`
	Weight       float64    `json:"weight"`
	Probability  float64    `json:"probability"`
	Reason       Reason     `json:"reason,omitempty"`
	Value        float64    `json:"value"` // what an answer is worth: the most valuable are asked first
	Evidence     []Evidence `json:"evidence"`
	Opinions     []Opinion  `json:"opinions,omitempty"`
	Asked        int64      `json:"asked"`             // microseconds
	Decided      int64      `json:"decided,omitempty"` // microseconds
}

// Disputed reports that people have given different answers.
func (q *Question) Disputed() bool {
	return slices.ContainsFunc(q.Opinions, func(o Opinion) bool { return o.Answer != q.Opinions[0].Answer })
}

// Records is a register as the queue sees it.
type Records interface {
	Fingerprint(id string, key []byte) (string, bool)
}

// Fingerprint is a keyed digest of what identity is judged by: names, dates, numbers, sex,
// parents; not where somebody lives. It changes when one of these does.
func (r *register) Fingerprint(id string, key []byte) (string, bool) {
	slot, found := r.find(id)
	if !found {
		return "", false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(r.kind.material(slot, []byte(r.what)))
	return hex.EncodeToString(mac.Sum(nil)[:16]), true
}

// QuestionID names the question about two records of a register.
func QuestionID(register string, pair PairID) string {
	sum := sha256.Sum256([]byte(register + "\x00" + pair.A + "\x00" + pair.B))
	return hex.EncodeToString(sum[:16])
}

// Offer is what a run or a match found, to be made into questions.
type Offer struct {
	Register string // the register's name, such as the dataset's
	Records  Records
	Model    *Model
	Pairs    []Pair
	// About limits the offer to the pairs of these records. Nil: the pairs are all of the
	// register, and open questions that are no longer among them are withdrawn.
	About []string
}

// Offered says what became of an offer.
type Offered struct {
	New       int // questions that were not there
	Reopened  int // asked again because a record has changed
	Waiting   int // that were open before
	Settled   int // decided before, and nothing has changed since
	Withdrawn int // open questions that no longer stand
}

// Offer makes questions of the pairs that must be asked. What people have decided is not
// asked again unless one of the records has changed in what identity is judged by.
func (q *Queue) Offer(ctx context.Context, offer *Offer) (Offered, error) {
	var counts Offered
	known, err := q.known(ctx, offer.Register)
	if err != nil {
		return counts, err
	}
	now := q.config.Now().UnixMicro()
	var changed []lienthong.Document
	standing := map[string]bool{}
	for i := range offer.Pairs {
		pair := &offer.Pairs[i]
		if pair.Zone != Ask {
			continue
		}
		question, ok := q.ask(offer, pair, now)
		if !ok {
			continue
		}
		standing[question.ID] = true
		old := known[question.ID]
		note := "câu hỏi mới / a new question"
		switch {
		case old == nil:
			counts.New++
		case old.State == Withdrawn || old.FingerprintA != question.FingerprintA || old.FingerprintB != question.FingerprintB:
			question.Revision = old.Revision
			note = "bản ghi đã thay đổi nên hỏi lại / asked again, because a record has changed"
			counts.Reopened++
		case old.State == Open || old.State == Second:
			counts.Waiting++
			continue
		default:
			counts.Settled++
			continue
		}
		doc, err := document(question, Open, "platform", note, now)
		if err != nil {
			return counts, err
		}
		changed = append(changed, doc)
	}
	for _, old := range known {
		if standing[old.ID] || old.State != Open && old.State != Second || !offer.covers(old) {
			continue
		}
		doc, err := document(old, Withdrawn, "platform", "không còn đủ giống để hỏi / no longer alike enough to ask", now)
		if err != nil {
			return counts, err
		}
		counts.Withdrawn++
		changed = append(changed, doc)
	}
	slices.SortFunc(changed, func(a, b lienthong.Document) int { return strings.Compare(a.ID, b.ID) })
	for part := range slices.Chunk(changed, 500) {
		if _, err := q.config.Documents.SaveDocuments(ctx, part...); err != nil {
			return Offered{}, fmt.Errorf("save questions of %s: %w", offer.Register, err)
		}
	}
	return counts, nil
}

// covers reports whether the offer would hold the question if it still stood.
func (o *Offer) covers(q *Question) bool {
	return o.About == nil || slices.Contains(o.About, q.A) || slices.Contains(o.About, q.B)
}

// ask makes the question about a pair. ok is false when a record has gone meanwhile.
func (q *Queue) ask(offer *Offer, pair *Pair, now int64) (*Question, bool) {
	a, okA := offer.Records.Fingerprint(pair.A, q.config.Key)
	b, okB := offer.Records.Fingerprint(pair.B, q.config.Key)
	return &Question{
		ID: QuestionID(offer.Register, pair.ID()), Register: offer.Register, A: pair.A, B: pair.B, FingerprintA: a, FingerprintB: b,
		Weight: pair.Weight, Probability: pair.Probability, Reason: pair.Reason, Value: worth(pair),
		Evidence: offer.Model.Explain(pair), Asked: now,
	}, okA && okB
}

// worth is what the answer about a pair is worth. One number on two names comes first, because
// it is wrong whoever the records are about; then what only a contradiction keeps from
// being the same; and otherwise what is least certain.
func worth(p *Pair) float64 {
	switch p.Reason {
	case SameNumber:
		return 2
	case ByWeight:
		return 4 * p.Probability * (1 - p.Probability)
	default:
		return p.Probability
	}
}

func document(q *Question, state, actor, note string, now int64) (lienthong.Document, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return lienthong.Document{}, fmt.Errorf("write question %s: %w", q.ID, err)
	}
	return lienthong.Document{Kind: QuestionKind, ID: q.ID, Revision: q.Revision, State: state, Actor: actor, Note: note, At: now, Body: body}, nil
}

func parseQuestion(doc *lienthong.Document) (*Question, error) {
	question := &Question{}
	if err := json.Unmarshal(doc.Body, question); err != nil {
		return nil, fmt.Errorf("read question %s: %w", doc.ID, err)
	}
	question.ID, question.Revision, question.State = doc.ID, doc.Revision, doc.State
	return question, nil
}

// known loads all questions of a register.
func (q *Queue) known(ctx context.Context, register string) (map[string]*Question, error) {
	list, err := q.List(ctx, register, "")
	if err != nil {
		return nil, err
	}
	known := make(map[string]*Question, len(list))
	for i := range list {
		known[list[i].ID] = &list[i]
	}
	return known, nil
}

// List returns the questions of a register in a state, "" for all, the most valuable first.
func (q *Queue) List(ctx context.Context, register, state string) ([]Question, error) {
	docs, err := q.config.Documents.Documents(ctx, QuestionKind, state)
	if err != nil {
		return nil, fmt.Errorf("load questions of %s: %w", register, err)
	}
	var list []Question
	for i := range docs {
		question, err := parseQuestion(&docs[i])
		if err != nil {
			return nil, err
		}
		if question.Register == register {
			list = append(list, *question)
		}
	}
	slices.SortFunc(list, func(a, b Question) int {
		return cmp.Or(cmp.Compare(b.Value, a.Value), strings.Compare(a.ID, b.ID))
	})
	return list, nil
}

// Next returns the most valuable questions that the person can answer now.
func (q *Queue) Next(ctx context.Context, register string, person Reviewer, limit int) ([]Question, error) {
	var next []Question
	for _, state := range []string{Second, Open} {
		list, err := q.List(ctx, register, state)
		if err != nil {
			return nil, err
		}
		for i := range list {
			if len(next) < limit && !list[i].heard(person) {
				next = append(next, list[i])
			}
		}
	}
	return next, nil
}

func (q *Question) heard(person Reviewer) bool {
	return slices.ContainsFunc(q.Opinions, func(o Opinion) bool { return o.Person == person.Name })
}

// Question loads one question.
func (q *Queue) Question(ctx context.Context, id string) (*Question, error) {
	doc, found, err := q.config.Documents.Document(ctx, QuestionKind, id)
	if err != nil {
		return nil, fmt.Errorf("load question %s: %w", id, err)
	}
	if !found {
		return nil, &lienthong.Error{Code: "linkage.question.unknown", Where: id, Vi: "không có câu hỏi này", En: "there is no such question"}
	}
	return parseQuestion(&doc)
}

// Decision is what a person says about a question.
type Decision struct {
	ID       string
	Revision int64 // that the person saw; 0: whichever it is now
	Answer   Answer
	Note     string
	Person   Reviewer
}

// Decide records what a person says, and returns the question as it is then.
func (q *Queue) Decide(ctx context.Context, d Decision) (*Question, error) {
	if err := mayDecide(d.Person); err != nil {
		return nil, err
	}
	if d.Answer != AnswerSame && d.Answer != AnswerDifferent && d.Answer != AnswerUnsure {
		return nil, &lienthong.Error{
			Code: "linkage.answer", Where: d.ID, Vi: "câu trả lời phải là trùng, khác hoặc không rõ", En: "the answer must be same, different or unsure",
		}
	}
	question, err := q.Question(ctx, d.ID)
	if err != nil {
		return nil, err
	}
	switch {
	case d.Revision != 0 && d.Revision != question.Revision:
		return nil, &lienthong.Error{
			Code: lienthong.CodeDocumentConflict, Where: d.ID, Vi: "có người vừa trả lời câu hỏi này", En: "somebody has just answered this question",
			Hint: "tải lại rồi quyết định / load it again and decide",
		}
	case question.State != Open && question.State != Second:
		return nil, &lienthong.Error{
			Code: "linkage.question.closed", Where: d.ID, Vi: "câu hỏi đã đóng", En: "the question is closed", Hint: "mở lại nếu câu trả lời sai / reopen it if the answer was wrong",
		}
	case question.heard(d.Person):
		return nil, &lienthong.Error{
			Code: "linkage.question.same_person", Where: d.ID, Vi: "người thứ hai phải là người khác", En: "the second person must be another one",
		}
	}
	now := q.config.Now().UnixMicro()
	question.Opinions = append(question.Opinions, Opinion{Person: d.Person.Name, Member: d.Person.Member, Answer: d.Answer, Note: d.Note, At: now})
	state := Second
	alike := 0
	for _, o := range question.Opinions {
		if o.Answer == d.Answer {
			alike++
		}
	}
	if !q.config.TwoPeople || alike >= 2 {
		state, question.Decided = string(d.Answer), now
	}
	return q.save(ctx, question, state, d.Person.Name, d.Note, now)
}

// Reopen asks a decided question again, because the answer was wrong.
func (q *Queue) Reopen(ctx context.Context, id string, person Reviewer, note string) (*Question, error) {
	if err := mayDecide(person); err != nil {
		return nil, err
	}
	if strings.TrimSpace(note) == "" {
		return nil, &lienthong.Error{Code: "linkage.question.note", Where: id, Vi: "phải ghi lý do mở lại", En: "say why it is asked again"}
	}
	question, err := q.Question(ctx, id)
	if err != nil {
		return nil, err
	}
	if question.State == Open || question.State == Second {
		return question, nil
	}
	question.Opinions, question.Decided = nil, 0
	return q.save(ctx, question, Open, person.Name, note, q.config.Now().UnixMicro())
}

func (q *Queue) save(ctx context.Context, question *Question, state, actor, note string, now int64) (*Question, error) {
	doc, err := document(question, state, actor, note, now)
	if err != nil {
		return nil, err
	}
	saved, err := q.config.Documents.SaveDocuments(ctx, doc)
	if err != nil {
		return nil, fmt.Errorf("save question %s: %w", question.ID, err)
	}
	question.State = state
	if len(saved) == 1 {
		question.Revision = saved[0].Revision
	}
	return question, nil
}

func mayDecide(person Reviewer) error {
	if person.Name == "" || !slices.Contains(person.Roles, Steward) {
		return &lienthong.Error{
			Code: "linkage.role", Vi: "chỉ người quản trị dữ liệu được quyết định hai bản ghi có trùng hay không", En: "only a data steward decides whether two records are the same",
		}
	}
	return nil
}

// Answers are the decisions that still hold: both records are there and have not changed in
// what identity is judged by.
func (q *Queue) Answers(ctx context.Context, register string, records Records) (Answers, error) {
	answers := Answers{}
	for _, answer := range []Answer{AnswerSame, AnswerDifferent, AnswerUnsure} {
		list, err := q.List(ctx, register, string(answer))
		if err != nil {
			return nil, err
		}
		for i := range list {
			a, okA := records.Fingerprint(list[i].A, q.config.Key)
			b, okB := records.Fingerprint(list[i].B, q.config.Key)
			if okA && okB && a == list[i].FingerprintA && b == list[i].FingerprintB {
				answers[PairID{list[i].A, list[i].B}] = answer
			}
		}
	}
	return answers, nil
}
