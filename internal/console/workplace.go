package console

import (
	"context"
	"net/http"
	"slices"

	"github.com/lienthong/lienthong/internal/address"
	"github.com/lienthong/lienthong/internal/assessment"
	"github.com/lienthong/lienthong/internal/calendar"
	"github.com/lienthong/lienthong/internal/catalog"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/linkage"
	"github.com/lienthong/lienthong/internal/quality"
	"github.com/lienthong/lienthong/internal/stewardship"
	"github.com/lienthong/lienthong/internal/ticket"
)

// Workplace is where stewards, owners and reviewers work: what is administered, and those
// who know the rules of it. The console brings people's decisions there and shows what
// became of them. Every member may be nil; the pages that need it are not there then.
type Workplace struct {
	Dictionary  func() *dictionary.Dictionary // the edition in force
	Definitions func() []*dictionary.Definition
	Editions    *stewardship.Editions
	Desk        *stewardship.Desk // elements, code lists, register entries, mappings
	Register    *catalog.Register // of databases
	Tickets     *ticket.Desk      // findings that owners put right
	// Calendar is the working days that tickets are counted by. Default: those inside the program.
	Calendar *calendar.Calendar
	// RowsCommand is what an owner types at the own node to get the workbook with the rows of a ticket,
	// because their values never come to the hub. Nil, or empty: there is no such command.
	RowsCommand func(*ticket.Ticket) string
	Addresses   *address.Queue   // questions that only people can answer
	Identities  *linkage.Queue   // likewise
	Answers     *assessment.Desk // what people say about readiness
	Assessor    Assessor         // where every database stands
	Trend       *quality.Trend   // quality by day
	// Exports serves dictionary and catalogue in other people's formats below /exports/, to those who are
	// signed in; Public serves those among them that everybody may have, below /public/.
	Exports, Public http.Handler
}

// Assessor tells where databases stand.
type Assessor interface {
	Method() *assessment.Method
	// Assessments is all of them as of now.
	Assessments(ctx context.Context) ([]*assessment.Assessment, error)
	// Assessment is one of them. A code that nobody registered is an error with code
	// CodeUnknownDatabase.
	Assessment(ctx context.Context, code string) (*assessment.Assessment, error)
	// History is what was kept of a database, oldest first.
	History(ctx context.Context, code string) ([]assessment.Snapshot, error)
	// Sheet is the one-page assessment in a language, "vi" or "en".
	Sheet(ctx context.Context, code, language string) (*assessment.Sheet, error)
}

// person is the user as the workplace knows people.
func (u User) person() stewardship.Person {
	roles := make([]stewardship.Role, len(u.Roles))
	for i, role := range u.Roles {
		roles[i] = stewardship.Role(role)
	}
	return stewardship.Person{Name: u.Account, Member: u.Member, Roles: roles}
}

// Has reports whether the user has one of the roles.
func (u User) Has(roles ...string) bool {
	return slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(u.Roles, role) })
}
