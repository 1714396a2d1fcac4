package console

import "github.com/lienthong/lienthong"

// verdict is the platform in one sentence: what is right, and how many are not.
type verdict struct {
	State     State // colours the sentence
	Connected int   // databases
	Matching  int
	Loading   int
	Behind    int
	Wrong     int // differing or failing
}

// attention is something that a person must do something about, or know of.
type attention struct {
	State     State
	Kind      string // "state", "gate", "criterion", "shared" or "catalogue"
	Database  *DatabaseRow
	Criterion lienthong.Criterion
	Score     Score
	Count     int
}

// MaxAttention is how many lines of what needs attention the overview shows.
const MaxAttention = 6

// judge sums up the connected databases.
func judge(connected []DatabaseRow, audit AuditHead) verdict {
	v := verdict{Connected: len(connected)}
	for i := range connected {
		switch connected[i].State {
		case Matching:
			v.Matching++
		case Behind:
			v.Behind++
		case Differing, Failing:
			v.Wrong++
		case Syncing, NotConnected:
			v.Loading++
		}
	}
	switch {
	case audit.Checked && !audit.Verified:
		v.State = Failing
	case v.Wrong > 0:
		v.State = Differing
	case v.Loading > 0:
		v.State = Syncing
	case v.Behind > 0:
		v.State = Behind
	case v.Connected > 0:
		v.State = Matching
	}
	return v
}

// whatNeedsAttention lists what is wrong or late, worst first.
func whatNeedsAttention(connected []DatabaseRow, waiting int) []attention {
	var wrong, late, poor []attention
	unshared := 0
	for i := range connected {
		row := &connected[i]
		switch row.State {
		case Failing, Differing:
			wrong = append(wrong, attention{State: row.State, Kind: "state", Database: row})
		case Behind:
			late = append(late, attention{State: Behind, Kind: "state", Database: row})
		case Matching, Syncing, NotConnected:
		}
		if row.Index.Gated {
			late = append(late, attention{State: Differing, Kind: "gate", Database: row})
		}
		for _, score := range row.Criteria {
			switch {
			case !score.Score.Known || grade(score.Score) != "red":
			case score.Criterion == lienthong.Shared:
				unshared++
			default:
				poor = append(poor, attention{State: Behind, Kind: "criterion", Database: row, Criterion: score.Criterion, Score: score.Score})
			}
		}
	}
	all := append(append(wrong, late...), poor...)
	if len(all) > MaxAttention-2 {
		all = all[:MaxAttention-2]
	}
	if unshared > 0 {
		all = append(all, attention{State: Behind, Kind: "shared", Count: unshared})
	}
	if waiting > 0 {
		all = append(all, attention{Kind: "catalogue", Count: waiting})
	}
	return all
}

// shelf is the databases of one class that are in the catalogue only.
type shelf struct {
	Class     lienthong.DatabaseClass
	Databases []DatabaseRow
}

// shelves sorts the databases that are not connected by class, in the order of
// the law.
func shelves(rows []DatabaseRow) []shelf {
	var all []shelf
	for _, class := range []lienthong.DatabaseClass{
		lienthong.NationalDatabase, lienthong.SpecialisedDatabase, lienthong.PoliticalDatabase, lienthong.LocalDatabase, "",
	} {
		s := shelf{Class: class}
		for i := range rows {
			if rows[i].Class == class {
				s.Databases = append(s.Databases, rows[i])
			}
		}
		if len(s.Databases) > 0 {
			all = append(all, s)
		}
	}
	return all
}
