package assessment

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// Documents is the part of the store that answers and snapshots are kept in.
type Documents interface {
	SaveDocuments(ctx context.Context, docs ...lienthong.Document) ([]lienthong.Document, error)
	Document(ctx context.Context, kind, id string) (lienthong.Document, bool, error)
	Documents(ctx context.Context, kind, state string) ([]lienthong.Document, error)
	DocumentHistory(ctx context.Context, kind, id string) ([]lienthong.Document, error)
}

// AnswerKind is the kind of the documents that hold answers; their identifier is
// "database/question".
const AnswerKind = "answer"

// maxText bounds what people write, in characters.
const maxText = 2000

// DeskConfig is what a Desk needs.
type DeskConfig struct {
	Documents Documents
	Method    *Method
	// Owner tells which agency answers for a database; false for one that does not exist.
	Owner func(database string) (lienthong.MemberCode, bool)
	Now   func() time.Time // default time.Now
}

// Desk is where people answer checks with evidence and reviewers verify the answers. Every
// step is a revision with its actor, so that the history of an answer is complete.
type Desk struct {
	DeskConfig
}

// NewDesk makes a desk.
func NewDesk(config DeskConfig) *Desk {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Desk{config}
}

// step is a row of the table of what may be done with an answer.
type step struct {
	name  string
	from  []State // "" is: no answer yet
	to    State
	roles []stewardship.Role
	own   bool // only people of the agency that answers for the database
	eyes  bool // not the person who answered
	note  bool // a reason is needed
	vi    string
	en    string
}

// steps is the whole life of an answer.
func steps() []step {
	owners := []stewardship.Role{stewardship.Owner, stewardship.Engineer}
	reviewers := []stewardship.Role{stewardship.Reviewer}
	return []step{
		{name: "answer", from: []State{"", Answered, Verified, Returned, Withdrawn}, to: Answered, roles: owners, own: true, vi: "trả lời", en: "answer"},
		{name: "verify", from: []State{Answered}, to: Verified, roles: reviewers, eyes: true, vi: "thẩm định", en: "verify"},
		{name: "return", from: []State{Answered, Verified}, to: Returned, roles: reviewers, eyes: true, note: true, vi: "trả lại", en: "send back"},
		{name: "withdraw", from: []State{Answered, Verified, Returned}, to: Withdrawn, roles: owners, own: true, note: true, vi: "rút lại", en: "withdraw"},
	}
}

// Answer keeps what an owner's person says about a question. It replaces an earlier
// answer, which stays in the history. revision is the one that the person has seen, 0 for none.
func (d *Desk) Answer(ctx context.Context, person stewardship.Person, answer Answer, revision int64) (Answer, error) {
	question, found := d.Method.Question(answer.Question)
	if !found || question.Evidence.Vi == "" {
		return Answer{}, refuse("assessment.question", answer.Question,
			"người không trả lời được câu này", "people cannot answer this question", "nền tảng tự đo, hoặc trả lời ở câu được dẫn / the platform measures it, or another question answers it")
	}
	answer.Evidence.SHA256 = strings.ToLower(strings.TrimSpace(answer.Evidence.SHA256))
	if err := checkAnswer(&answer); err != nil {
		return Answer{}, err
	}
	if answer.Verdict != Partly {
		answer.Percent = 0
	}
	return d.move(ctx, "answer", person, answer.Database, answer.Question, revision, "", func(next *Answer) {
		now := d.Now().UnixMicro()
		*next = Answer{
			Database: answer.Database, Question: answer.Question, Verdict: answer.Verdict, Percent: answer.Percent,
			Evidence: answer.Evidence, Until: answer.Until, By: person.Name, Member: string(person.Member), At: now,
		}
	})
}

// Verify records that a reviewer has seen the evidence; original, that it was compared with the
// original at the office that issued it.
func (d *Desk) Verify(ctx context.Context, person stewardship.Person, database, question string, revision int64, original bool, note string) (Answer, error) {
	return d.move(ctx, "verify", person, database, question, revision, note, func(next *Answer) {
		next.VerifiedBy, next.VerifiedAt, next.Original, next.Note = person.Name, d.Now().UnixMicro(), original, note
	})
}

// Return sends an answer back with a reason.
func (d *Desk) Return(ctx context.Context, person stewardship.Person, database, question string, revision int64, note string) (Answer, error) {
	return d.move(ctx, "return", person, database, question, revision, note, func(next *Answer) {
		next.VerifiedBy, next.VerifiedAt, next.Original, next.Note = person.Name, d.Now().UnixMicro(), false, note
	})
}

// Withdraw takes an answer back.
func (d *Desk) Withdraw(ctx context.Context, person stewardship.Person, database, question string, revision int64, note string) (Answer, error) {
	return d.move(ctx, "withdraw", person, database, question, revision, note, func(next *Answer) { next.Note = note })
}

// Load returns an answer.
func (d *Desk) Load(ctx context.Context, database, question string) (Answer, bool, error) {
	document, found, err := d.Documents.Document(ctx, AnswerKind, answerID(database, question))
	if err != nil || !found {
		return Answer{}, false, err
	}
	answer, err := readAnswer(document)
	return answer, err == nil, err
}

// Answers returns the answers of all databases, by database and question: the input of Facts.
func (d *Desk) Answers(ctx context.Context) (map[string][]Answer, error) {
	documents, err := d.Documents.Documents(ctx, AnswerKind, "")
	if err != nil {
		return nil, fmt.Errorf("list answers: %w", err)
	}
	byDatabase := map[string][]Answer{}
	for _, document := range documents {
		answer, err := readAnswer(document)
		if err != nil {
			return nil, err
		}
		byDatabase[answer.Database] = append(byDatabase[answer.Database], answer)
	}
	return byDatabase, nil
}

// Waiting returns the answers that wait for a reviewer, oldest first.
func (d *Desk) Waiting(ctx context.Context) ([]Answer, error) {
	documents, err := d.Documents.Documents(ctx, AnswerKind, string(Answered))
	if err != nil {
		return nil, fmt.Errorf("list answers: %w", err)
	}
	var waiting []Answer
	for _, document := range documents {
		answer, err := readAnswer(document)
		if err != nil {
			return nil, err
		}
		if !d.Method.expired(&answer, d.Now().UnixMicro()) {
			waiting = append(waiting, answer)
		}
	}
	slices.SortStableFunc(waiting, func(a, b Answer) int { return cmp.Compare(a.At, b.At) })
	return waiting, nil
}

// History returns all revisions of an answer, oldest first.
func (d *Desk) History(ctx context.Context, database, question string) ([]Answer, error) {
	documents, err := d.Documents.DocumentHistory(ctx, AnswerKind, answerID(database, question))
	if err != nil {
		return nil, fmt.Errorf("history of answer %s of %s: %w", question, database, err)
	}
	answers := make([]Answer, 0, len(documents))
	for _, document := range documents {
		answer, err := readAnswer(document)
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// move makes one step of the table.
func (d *Desk) move(ctx context.Context, name string, person stewardship.Person, database, question string, revision int64, note string, change func(*Answer)) (Answer, error) {
	owner, exists := d.Owner(database)
	if !exists {
		return Answer{}, refuse("database.unknown", database, "không có CSDL này", "there is no such database", "")
	}
	list := steps()
	s := &list[slices.IndexFunc(list, func(s step) bool { return s.name == name })]
	current, found, err := d.Load(ctx, database, question)
	if err != nil {
		return Answer{}, err
	}
	if !found {
		current = Answer{Database: database, Question: question}
	}
	where := answerID(database, question)
	switch {
	case !person.Has(s.roles...):
		return Answer{}, refuse("assessment.role", where, "không được "+s.vi+": cần vai "+roleNames(s.roles, "vi"), "you may not "+s.en+": it takes the role "+roleNames(s.roles, "en"), "")
	case s.own && (owner == "" || person.Member != owner):
		return Answer{}, refuse("assessment.member", where, "chỉ người của cơ quan chủ quản được "+s.vi, "only people of the owning agency may "+s.en, "")
	case !slices.Contains(s.from, current.State):
		return Answer{}, refuse("assessment.state", where, "câu trả lời đang ở trạng thái khác, không "+s.vi+" được", "the answer is in another state, you cannot "+s.en+" it", "tải lại trang / load the page again")
	case s.eyes && dictionary.MatchKey(current.By) == dictionary.MatchKey(person.Name):
		return Answer{}, refuse("assessment.four_eyes", where, "người trả lời không được tự "+s.vi, "whoever answered may not "+s.en+" it", "nhờ người thẩm định khác / ask another reviewer")
	case s.note && strings.TrimSpace(note) == "":
		return Answer{}, refuse("assessment.reason", where, "cần ghi lý do để "+s.vi, "give a reason to "+s.en, "")
	case utf8.RuneCountInString(note) > maxText:
		return Answer{}, refuse("assessment.long", where, "lý do quá dài", "the reason is too long", "")
	case revision != current.Revision:
		return Answer{}, &lienthong.Error{
			Code: lienthong.CodeDocumentConflict, Where: where,
			Vi: "người khác vừa thay đổi câu trả lời này", En: "somebody else has just changed this answer",
			Hint: "tải lại và xem lại / load it again and decide anew",
		}
	}
	next := current
	change(&next)
	next.State, next.Revision = s.to, 0
	body, err := json.Marshal(next)
	if err != nil {
		return Answer{}, fmt.Errorf("encode answer %s: %w", where, err)
	}
	saved, err := d.Documents.SaveDocuments(ctx, lienthong.Document{
		Kind: AnswerKind, ID: where, Revision: revision, State: string(s.to), Actor: person.Name,
		Note: cmp.Or(note, s.en), At: d.Now().UnixMicro(), Body: body,
	})
	if err != nil {
		return Answer{}, fmt.Errorf("save answer %s: %w", where, err)
	}
	next.Revision = saved[0].Revision
	return next, nil
}

func answerID(database, question string) string { return database + "/" + question }

func readAnswer(document lienthong.Document) (Answer, error) {
	var answer Answer
	if err := json.Unmarshal(document.Body, &answer); err != nil {
		return Answer{}, fmt.Errorf("read answer %s: %w", document.ID, err)
	}
	answer.Revision = document.Revision
	return answer, nil
}

// checkAnswer refuses what cannot stand as an answer. All problems are returned together.
func checkAnswer(a *Answer) error {
	var all []error
	where := answerID(a.Database, a.Question)
	bad := func(code, vi, en string) { all = append(all, refuse(code, where, vi, en, "")) }
	switch a.Verdict {
	case Yes, No:
	case Partly:
		if !(a.Percent > 0 && a.Percent < 100) {
			bad("assessment.percent", "đạt một phần thì ghi tỷ lệ trên 0 và dưới 100", "partly needs a percentage above 0 and below 100")
		}
	case Unknown:
		fallthrough
	default:
		bad("assessment.verdict", "trả lời có, một phần hoặc không", "answer yes, partly or no")
	}
	e := &a.Evidence
	if a.Verdict != No && strings.TrimSpace(e.Document) == "" && e.SHA256 == "" {
		bad("assessment.evidence", "cần số văn bản hoặc tệp minh chứng", "the number of a document or a file is needed")
	}
	if digest, err := hex.DecodeString(e.SHA256); e.SHA256 != "" && (err != nil || len(digest) != 32) {
		bad("assessment.digest", "mã băm SHA-256 của tệp không đúng dạng", "not a SHA-256 digest in hexadecimal")
	}
	if (e.SHA256 == "") != (e.File == "") {
		bad("assessment.file", "tệp minh chứng cần cả tên và mã băm", "a file needs both its name and its digest")
	}
	for _, text := range []string{e.Document, e.Text, e.File} {
		if utf8.RuneCountInString(text) > maxText || !utf8.ValidString(text) {
			bad("assessment.long", "văn bản quá dài hoặc không phải UTF-8", "a text is too long or not UTF-8")
		}
	}
	return errors.Join(all...)
}

func refuse(code, where, vi, en, hint string) error {
	return &lienthong.Error{Code: code, Where: where, Vi: vi, En: en, Hint: hint}
}

func roleNames(roles []stewardship.Role, language string) string {
	names := make([]string, len(roles))
	for i, role := range roles {
		word := role.Word()
		names[i] = byLanguage(language, word.Vi, word.En)
	}
	return strings.Join(names, byLanguage(language, " hoặc ", " or "))
}
