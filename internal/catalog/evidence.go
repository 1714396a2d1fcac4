package catalog

import (
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Standing is how a declared value stands to what the platform sees.
type Standing string

// The standings.
const (
	Agrees       Standing = "agrees"
	Differs      Standing = "differs"
	DeclaredOnly Standing = "declared_only" // nothing is seen that could confirm it
	SeenOnly     Standing = "seen_only"     // the owner says nothing
	Neither      Standing = "neither"
	Late         Standing = "late" // seen, but too long ago
)

// Standings lists them with their names.
func Standings() []Choice[Standing] {
	return []Choice[Standing]{
		{Agrees, Word{Vi: "khớp", En: "agrees"}},
		{Differs, Word{Vi: "khác", En: "differs"}},
		{DeclaredOnly, Word{Vi: "chỉ kê khai", En: "declared only"}},
		{SeenOnly, Word{Vi: "chỉ quan sát", En: "seen only"}},
		{Neither, Word{Vi: "chưa có", En: "neither"}},
		{Late, Word{Vi: "đã cũ", En: "out of date"}},
	}
}

// Evidence is one line of the check that goes before every review: what is declared, what is seen.
type Evidence struct {
	ID string // "rows", "engine"
	Word
	Dataset  string // empty: of the whole database
	Declared string
	Seen     string
	At       int64 // instead of Seen, for an instant; 0: none
	Standing Standing
}

const (
	rowTolerance   = 0.05                              // declared row counts are round
	connectedLimit = int64(24 * time.Hour / 1000)      // a source that is connected is seen at least daily
	changeLimit    = int64(30 * 24 * time.Hour / 1000) // without a declared interval
	qualityLimit   = int64(30 * 24 * time.Hour / 1000) // rules run at least monthly
)

// evidence compares an entry with what is seen of its datasets.
func evidence(e *Entry, seen []Observed, defs map[lienthong.DatasetID]*dictionary.Definition, now int64) []Evidence {
	var list []Evidence
	add := func(v Evidence) { list = append(list, v) }
	engines, rows, counted := []string{}, int64(0), len(seen) > 0
	var lastSeen, lastChange, lastQuality int64
	for i := range seen {
		o := &seen[i]
		name := strings.TrimSpace(o.Engine + " " + o.EngineVersion)
		if len(engines) == 0 || engines[len(engines)-1] != name {
			engines = append(engines, name)
		}
		counted = counted && o.RowCount >= 0
		rows += max(o.RowCount, 0)
		lastSeen, lastChange, lastQuality = max(lastSeen, o.At), max(lastChange, o.LastChange), max(lastQuality, o.LastQuality)
	}
	add(instant("connected", say("kết nối", "connection"), lastSeen, now, connectedLimit))
	add(stated("engine", say("hệ quản trị CSDL", "database engine"), strings.TrimSpace(e.Technical.Engine+" "+e.Technical.Version), strings.Join(engines, ", "), func() bool {
		return e.Technical.Engine != "" && len(engines) == 1 && sameEngine(e.Technical.Engine, seen[0].Engine)
	}))
	seenRows := ""
	if counted {
		seenRows = strconv.FormatInt(rows, 10)
	}
	add(stated("rows", say("số bản ghi", "records"), positive(e.Technical.Rows), seenRows, func() bool { return near(e.Technical.Rows, rows) }))
	add(stated("datasets", say("số tập dữ liệu", "datasets"), positive(int64(len(e.Datasets))), positive(int64(len(seen))), func() bool { return len(e.Datasets) == len(seen) }))
	limit := int64(0)
	for i := range e.Datasets {
		limit = max(limit, interval(e.Datasets[i].Updated))
	}
	if limit == 0 {
		limit = changeLimit
	}
	add(instant("change", say("thay đổi gần nhất", "last change"), lastChange, now, limit))
	add(instant("quality", say("lần kiểm tra chất lượng gần nhất", "last quality run"), lastQuality, now, qualityLimit))
	for i := range seen {
		o := &seen[i]
		declared := int64(0)
		if d, registered := e.Dataset(o.Dataset.Name); registered {
			declared = d.Rows
		}
		if def := defs[o.Dataset]; declared == 0 && def != nil {
			declared = def.Declared
		}
		v := stated("rows", say("số bản ghi", "records"), positive(declared), "", nil)
		if o.RowCount >= 0 {
			v = stated("rows", say("số bản ghi", "records"), positive(declared), strconv.FormatInt(o.RowCount, 10), func() bool { return near(declared, o.RowCount) })
		}
		v.Dataset = o.Dataset.Name
		add(v)
	}
	return list
}

// stated compares two texts.
func stated(id string, name Word, declared, seen string, agree func() bool) Evidence {
	v := Evidence{ID: id, Word: name, Declared: declared, Seen: seen}
	switch {
	case declared == "" && seen == "":
		v.Standing = Neither
	case seen == "":
		v.Standing = DeclaredOnly
	case declared == "":
		v.Standing = SeenOnly
	case agree():
		v.Standing = Agrees
	default:
		v.Standing = Differs
	}
	return v
}

// instant judges when something was seen last.
func instant(id string, name Word, at, now, limit int64) Evidence {
	v := Evidence{ID: id, Word: name, At: at, Standing: Agrees}
	switch {
	case at == 0:
		v.Standing = Neither
	case now-at > limit:
		v.Standing = Late
	}
	return v
}

func positive(n int64) string {
	if n <= 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func near(declared, seen int64) bool {
	difference := declared - seen
	if difference < 0 {
		difference = -difference
	}
	return float64(difference) <= rowTolerance*float64(max(declared, seen))
}

// interval reads a declared time between updates, in microseconds; 0 when there is none.
func interval(text string) int64 {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0
	}
	return d.Microseconds()
}

// sameEngine compares what people and connectors call an engine: "PostgreSQL", "postgres".
func sameEngine(declared, seen string) bool {
	a, b := engineName(declared), engineName(seen)
	return a == b || a == "mariadb" && b == "mysql" || a == "mysql" && b == "mariadb"
}

func engineName(s string) string {
	name := strings.ReplaceAll(dictionary.PlainKey(s), " ", "")
	for _, known := range []struct{ part, name string }{
		{"postgres", "postgres"},
		{"mariadb", "mariadb"},
		{"mysql", "mysql"},
		{"sqlserver", "sqlserver"},
		{"mssql", "sqlserver"},
		{"oracle", "oracle"},
		{"sqlite", "sqlite"},
	} {
		if strings.Contains(name, known.part) {
			return known.name
		}
	}
	return name
}
