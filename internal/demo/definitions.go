package demo

import (
	"embed"
	"fmt"
	"path"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

//go:embed definitions/*.yaml
var definitionFiles embed.FS

// Definitions are the definitions of the datasets as their sources are written by
// default: SQLite and files. Declared counts are those of the default Config.
func Definitions() ([]*dictionary.Definition, error) {
	entries, err := definitionFiles.ReadDir("definitions")
	if err != nil {
		return nil, fmt.Errorf("demo: definitions: %w", err)
	}
	list := make([]*dictionary.Definition, 0, len(entries))
	for _, entry := range entries {
		name := path.Join("definitions", entry.Name())
		data, err := definitionFiles.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("demo: definitions: %w", err)
		}
		d, err := dictionary.ParseDefinition(entry.Name(), data)
		if err != nil {
			return nil, fmt.Errorf("demo: definitions: %w", err)
		}
		list = append(list, d)
	}
	return list, nil
}

// Definitions are the definitions with the counts that the owners of this world
// declare: every record once.
func (w *World) Definitions() ([]*dictionary.Definition, error) {
	list, err := Definitions()
	if err != nil {
		return nil, err
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, d := range list {
		if d.Dataset.Database != "admin_unit" {
			d.Declared = int64(w.rows(d.Dataset) - w.quota(d.Dataset, lienthong.Duplicate)/2)
		}
	}
	return list, nil
}

// rows is how many records of the dataset the sources hold.
func (w *World) rows(dataset lienthong.DatasetID) int {
	n := 0
	count := func(here bool) {
		if here {
			n++
		}
	}
	switch dataset {
	case population():
		for i := range w.people {
			count(w.people[i].flags&gone == 0)
		}
	case birthsID():
		for i := range w.births {
			count(!w.births[i].gone)
		}
	case marriagesID():
		for i := range w.marriages {
			count(!w.marriages[i].gone)
		}
	case deathsID():
		for i := range w.deaths {
			count(!w.deaths[i].gone)
		}
	case householdsID():
		for i := range w.households {
			count(!w.households[i].gone)
		}
	case parcelsID():
		for i := range w.parcels {
			count(!w.parcels[i].gone)
		}
	case communesID():
		n = len(w.places.allCommunes)
	case linksID():
		n = len(w.places.allLinks)
	}
	return n
}

// Rows is how many records of the dataset the sources hold at this moment; for
// files, as of the last drop.
func (w *World) Rows(dataset lienthong.DatasetID) int {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.rows(dataset)
}

// ForPostgres changes the definition of a dataset for a source in PostgreSQL, whose
// dates and times are not text: table "public.cong_dan", and no layouts.
func ForPostgres(d *dictionary.Definition) *dictionary.Definition {
	out := *d
	out.Table = "public." + d.Table
	out.Columns = make([]dictionary.ColumnMapping, len(d.Columns))
	for i, column := range d.Columns {
		var kept []string
		for _, transform := range column.Transforms {
			if !strings.HasPrefix(transform, "date:") && !strings.HasPrefix(transform, "timestamp:") {
				kept = append(kept, transform)
			}
		}
		column.Transforms = kept
		out.Columns[i] = column
	}
	return &out
}

// Owner is the organisation that owns the dataset and runs its source.
func Owner(dataset lienthong.DatasetID) lienthong.MemberCode {
	switch dataset.Database {
	case "population":
		return "G01" // Ministry of Public Security
	case "civil_status":
		return "G15" // Ministry of Justice
	case "admin_unit":
		return "G12" // Ministry of Finance, statistics office
	default:
		return "H12" // Cà Mau
	}
}
