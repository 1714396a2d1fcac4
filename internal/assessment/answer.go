package assessment

// State is where an answer of people stands.
type State string

// The states.
const (
	Answered  State = "answered"  // waits for a reviewer
	Verified  State = "verified"  // a reviewer has seen the evidence
	Returned  State = "returned"  // sent back with a reason
	Withdrawn State = "withdrawn" // taken back by those who gave it
)

// Evidence is what an answer rests on. The platform keeps the digest of a file, never the file.
type Evidence struct {
	Document string `json:"document,omitempty"` // number and date: "QĐ 12/QĐ-BTC, 05/03/2026"
	Text     string `json:"text,omitempty"`
	File     string `json:"file,omitempty"`   // its name
	SHA256   string `json:"sha256,omitempty"` // hex
}

// Answer is what people say about one question of one database.
type Answer struct {
	Database   string   `json:"database"`
	Question   string   `json:"question"` // "4", "A12"
	Verdict    Verdict  `json:"verdict"`
	Percent    float64  `json:"percent,omitempty"` // when partly
	Evidence   Evidence `json:"evidence"`
	By         string   `json:"by"`
	Member     string   `json:"member"`
	At         int64    `json:"at"`
	Until      int64    `json:"until,omitempty"` // the evidence's own end; 0: none
	State      State    `json:"state"`
	VerifiedBy string   `json:"verified_by,omitempty"`
	VerifiedAt int64    `json:"verified_at,omitempty"`
	// Original says that the reviewer compared the evidence with the original at the office
	// that issued it, not only with the copy that was shown.
	Original bool   `json:"original,omitempty"`
	Note     string `json:"note,omitempty"` // the reviewer's words
	Revision int64  `json:"-"`
}

// Grade is the grade of evidence that the answer is.
func (a *Answer) Grade() Grade {
	if a.State == Verified && a.Original {
		return Reconciled
	}
	return Declared
}
