package lienthong

// Document is one revision of an item that people administer: a proposal for the
// dictionary, the register entry of a database, a ticket, a question in a review
// queue. Its content is JSON that only the package of its kind reads. Records of
// agencies never travel as documents.
type Document struct {
	Kind     string // "element", "database", "ticket"
	ID       string // within the kind
	Revision int64  // 1 for the first, then one more each time
	State    string // the kind's own words; lists can be limited to it
	Actor    string // who made this revision; "platform" when nobody did
	Note     string // why
	At       int64  // when, microseconds since 1970 UTC
	Body     []byte // JSON
}

// CodeDocumentConflict is the code of the error when somebody else has saved a document
// meanwhile: the reader loads it again and decides anew.
const CodeDocumentConflict = "document.conflict"
