// Package demo makes a small country: people with families, addresses before and
// after 1 July 2025, their civil status, the households and land of two communes,
// and the real catalogue of administrative units. It writes them into the kinds of
// sources that agencies have, and keeps changing them.
//
// It promises three things:
//
//   - The same Config gives the same country, record by record.
//   - Every defect is planted on purpose: one to a record, of a known group and rate,
//     and listed by Truth. A record that Truth does not list breaks no rule of the
//     definitions. So findings can be compared with the truth, record by record.
//   - Nobody in it exists. Names are drawn from frequency lists, numbers and phones at
//     random, and mail addresses use a top-level domain that is reserved for examples.
//
// A World holds indexes, not strings: a row's text is made when it is written. Live
// changes go through Changer, which moves the world and the sources together.
package demo

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
)

// Config says which country to make. Numbers left at zero take the defaults, scaled
// to Persons.
type Config struct {
	Seed       uint64
	Persons    int // rows of population.person; default 200,000, at most 5,000,000
	Births     int // default 40,000
	Marriages  int // default 25,000
	Deaths     int // default 10,000
	Households int // over both communes; default 8,000
	Parcels    int // over both communes; default 12,000

	// Communes are the two communes of Cà Mau that hand in lists. Default: An Xuyên
	// ward and Đất Mũi.
	Communes [2]string

	// Defects is the share of a dataset's rows that carry a planted defect of the group,
	// in each dataset that knows the group. Groups not named have the rate 0; a nil map
	// is 0.4 % of each.
	Defects map[lienthong.ErrorGroup]float64

	// LiveDefects is the share of live changes that plant a new defect. Default none.
	LiveDefects float64

	// SchemaChange is the step of live changes after which the population table gets
	// one more column. Default 200; negative: never.
	SchemaChange int

	// Now is the clock. Dates of the country are relative to it; default time.Now.
	Now func() time.Time
}

// World is a country. Its methods are safe for concurrent use.
type World struct {
	config Config
	places *places
	names  *names
	today  int32 // the day of New
	minute int32 // the minute of New

	mu         sync.RWMutex
	people     []person
	numbers    map[uint64]struct{}
	couples    []couple // all marriages of the population, registered or not
	births     []birth
	marriages  []marriage
	deaths     []death
	households []household
	parcels    []parcel
	former     []string // personal values that live changes replaced
	extended   bool     // the population table has its additional column
}

// New makes a country.
func New(config Config) (*World, error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	places, err := newPlaces()
	if err != nil {
		return nil, fmt.Errorf("demo: administrative units: %w", err)
	}
	for _, code := range config.Communes {
		if _, known := places.index[code]; !known {
			return nil, &lienthong.Error{
				Code: "demo.commune", Where: code,
				Vi: "không có xã, phường nào mang mã này", En: "no commune has this code today",
			}
		}
	}
	now := config.Now().UTC()
	w := &World{
		config: config, places: places, names: newNames(),
		today:   int32(now.Unix() / 86400),
		minute:  int32(now.Unix() / 60),
		people:  make([]person, 0, config.Persons+config.Persons/20+64),
		numbers: make(map[uint64]struct{}, config.Persons+config.Persons/20),
	}
	twins := w.quota(population(), lienthong.Duplicate) / 2
	g := &generator{w: w, r: w.random(1), limit: config.Persons - twins}
	g.populate(config.Households * 19 / 10)
	w.couples = g.couples
	w.register(w.random(2))
	w.settle(w.random(3))
	if err := w.plant(w.random(4), twins); err != nil {
		return nil, err
	}
	return w, nil
}

func (c *Config) complete() error {
	if c.Persons == 0 {
		c.Persons = 200_000
	}
	if c.Persons < 1_000 || c.Persons > 5_000_000 {
		return &lienthong.Error{
			Code: "demo.persons", Where: strconv.Itoa(c.Persons),
			Vi: "số người phải từ 1.000 đến 5.000.000", En: "between 1,000 and 5,000,000 persons",
		}
	}
	scale := func(n *int, full int) {
		if *n == 0 {
			*n = full * c.Persons / 200_000
		}
	}
	scale(&c.Births, 40_000)
	scale(&c.Marriages, 25_000)
	scale(&c.Deaths, 10_000)
	scale(&c.Households, 8_000)
	scale(&c.Parcels, 12_000)
	if c.Communes == [2]string{} {
		c.Communes = [2]string{"32002", "32248"}
	}
	if c.Defects == nil {
		c.Defects = map[lienthong.ErrorGroup]float64{}
		for _, group := range lienthong.ErrorGroups() {
			c.Defects[group] = 0.004
		}
	}
	for group, rate := range c.Defects {
		if rate < 0 || rate > 0.02 {
			return &lienthong.Error{
				Code: "demo.defects", Where: string(group),
				Vi: "tỷ lệ lỗi mỗi nhóm phải từ 0 đến 2 %", En: "the rate of each group is between 0 and 0.02",
			}
		}
	}
	if c.SchemaChange == 0 {
		c.SchemaChange = 200
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

// random is a source of its own for each part of the work, so that a change in one
// part leaves the others as they were.
func (w *World) random(part uint64) *rand.Rand {
	return rand.New(rand.NewPCG(w.config.Seed, part))
}

// scatter is a number that depends on its arguments alone: details of a row that
// need not be kept.
func scatter(seed uint64, salt uint32, purpose uint64) uint64 {
	x := seed*0x9e3779b97f4a7c15 + uint64(salt) + purpose*0xd1342543de82ef95
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// The datasets. They are functions because nothing in the package may change.
func population() lienthong.DatasetID {
	return lienthong.DatasetID{Database: "population", Name: "person"}
}

func birthsID() lienthong.DatasetID {
	return lienthong.DatasetID{Database: "civil_status", Name: "birth"}
}

func marriagesID() lienthong.DatasetID {
	return lienthong.DatasetID{Database: "civil_status", Name: "marriage"}
}

func deathsID() lienthong.DatasetID {
	return lienthong.DatasetID{Database: "civil_status", Name: "death"}
}

func householdsID() lienthong.DatasetID {
	return lienthong.DatasetID{Database: "household", Name: "household"}
}

func parcelsID() lienthong.DatasetID { return lienthong.DatasetID{Database: "land", Name: "parcel"} }

func communesID() lienthong.DatasetID {
	return lienthong.DatasetID{Database: "admin_unit", Name: "commune"}
}

func linksID() lienthong.DatasetID { return lienthong.DatasetID{Database: "admin_unit", Name: "link"} }
