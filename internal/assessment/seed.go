package assessment

import (
	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Seed is what is known of a database before anybody has connected it or confirmed its
// entry: the national list, what has been published, and that nothing flows yet.
func (m *Method) Seed(d *dictionary.Dictionary, database lienthong.Database, at int64) Facts {
	facts := Facts{
		Database: database, At: at,
		Connection: Connection{Grade: Measured},
		Sharing:    Sharing{Grade: Measured},
	}
	if owner, found := d.Member(string(database.Owner)); found && database.Owner != "" {
		facts.Owner = owner
	}
	if published, found := m.Published(database.Code); found {
		facts.Register.State, facts.Register.StateGrade = published.State, Declared
	}
	return facts
}

// Published is the latest of what official texts and the press have published about a database.
func (m *Method) Published(database string) (Publication, bool) {
	var latest Publication
	for _, p := range m.publication {
		if p.Database == database && p.At > latest.At {
			latest = p
		}
	}
	return latest, latest.At != ""
}
