package demo

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/stdlib" // also gives database/sql the driver "pgx"

	"github.com/jackc/pgx/v5"
)

// Targets are the sources that a Changer changes. Those left out stay as they are.
type Targets struct {
	Population  *sql.DB // the database with cong_dan
	Postgres    bool    // Population is PostgreSQL: use OpenPostgres
	CivilStatus *sql.DB // the database with khai_sinh, ket_hon and khai_tu
	Communes    string  // the drop folder with the folders of the two communes
	FileEvery   int     // steps between two files; default 50
}

// OpenPostgres opens a PostgreSQL database for Targets.
func OpenPostgres(dsn string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("demo: population database: %w", err)
	}
	return stdlib.OpenDB(*config), nil
}

// Changer lets life go on: each Step is one event, such as a birth, a move or a
// corrected entry, in one small transaction of each database concerned. The world
// moves with the sources, so Truth and Rows stay true. A Changer belongs to one
// goroutine.
type Changer struct {
	world    *World
	targets  Targets
	r        *rand.Rand
	steps    int
	files    int
	defects  []int32 // people with planted defects that may be put right
	personal []string
}

// Changer makes a Changer. The events are those of the world's seed, but their times
// are the clock's.
func (w *World) Changer(targets Targets) *Changer {
	if targets.FileEvery <= 0 {
		targets.FileEvery = 50
	}
	c := &Changer{world: w, targets: targets, r: w.random(5)}
	w.mu.RLock()
	defer w.mu.RUnlock()
	for i := range w.people {
		if w.people[i].defect != clean && w.people[i].flags&twin == 0 {
			c.defects = append(c.defects, int32(i))
		}
	}
	return c
}

// Steps is how many steps were done.
func (c *Changer) Steps() int { return c.steps }

// event collects what one step does: statements for both databases, and how to take the
// changes of the world back when a database refuses.
type event struct {
	population, civil         []statement
	undoPopulation, undoCivil []func()
}

type statement struct {
	query string
	args  []any
}

// Step does one event. When a database refuses, the world stays as it was there, and
// the error is returned; a later Step goes on.
func (c *Changer) Step(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := c.world
	w.mu.Lock()
	defer w.mu.Unlock()
	c.steps++
	if c.targets.Population != nil && w.config.SchemaChange > 0 && c.steps >= w.config.SchemaChange && !w.extended {
		return c.extend(ctx)
	}
	if c.targets.Communes != "" && c.steps%c.targets.FileEvery == 0 {
		return c.drop()
	}
	e := &event{}
	c.personal = c.personal[:0]
	c.draw(e)
	if err := c.run(ctx, c.targets.Population, c.targets.Postgres, e.population); err != nil {
		undo(e.undoCivil)
		undo(e.undoPopulation)
		return fmt.Errorf("demo: change the population: %w", err)
	}
	w.former = append(w.former, c.personal...)
	if err := c.run(ctx, c.targets.CivilStatus, false, e.civil); err != nil {
		undo(e.undoCivil)
		return fmt.Errorf("demo: change the civil status: %w", err)
	}
	return nil
}

func undo(list []func()) {
	for i := len(list) - 1; i >= 0; i-- {
		list[i]()
	}
}

// run executes the statements in one transaction. Once begun it is finished even
// when ctx ends: a transaction whose end nobody knows would make the world untrue.
func (c *Changer) run(ctx context.Context, db *sql.DB, dollars bool, list []statement) error {
	if len(list) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // no effect after Commit
	for _, s := range list {
		query := s.query
		if dollars {
			query = numbered(query)
		}
		if _, err := tx.ExecContext(ctx, query, s.args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// numbered writes parameters as PostgreSQL wants them: $1, $2 ….
func numbered(query string) string {
	var b strings.Builder
	n := 0
	for i := range len(query) {
		if query[i] != '?' {
			b.WriteByte(query[i])
			continue
		}
		n++
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

// draw chooses an event that is possible.
func (c *Changer) draw(e *event) {
	people, civil := c.targets.Population != nil, c.targets.CivilStatus != nil
	choices := []struct {
		weight  uint32
		allowed bool
		do      func(*event) bool
	}{
		{24, people, c.move},
		{22, people, c.contact},
		{18, people, c.verify},
		{14, people && civil, c.birth},
		{8, people && civil, c.marry},
		{7, people && civil, c.die},
		{3, people, c.remove},
		{3, people, c.correct},
		{12, people && c.world.extended, c.work},
		{4, civil, c.retype},
		{1, civil, c.strike},
		{2, civil, c.correctCivil},
	}
	var sum uint32
	for _, choice := range choices {
		if choice.allowed {
			sum += choice.weight
		}
	}
	for range 20 {
		if sum == 0 {
			return
		}
		n := c.r.Uint32N(sum)
		for _, choice := range choices {
			if !choice.allowed {
				continue
			}
			if n < choice.weight {
				if choice.do(e) {
					return
				}
				break
			}
			n -= choice.weight
		}
	}
}

// pick draws somebody who is alive, has no defect and suits.
func (c *Changer) pick(suits func(p *person) bool) int32 {
	people := c.world.people
	for range 4000 {
		i := c.r.IntN(len(people))
		p := &people[i]
		if p.defect == clean && p.flags&(dead|gone|twin) == 0 && suits(p) {
			return int32(i)
		}
	}
	return -1
}

func (c *Changer) minute() int32 { return int32(c.world.config.Now().Unix() / 60) }
func (c *Changer) today() int32  { return c.minute() / minutesADay }

func (c *Changer) dates() string {
	if c.targets.Postgres {
		return time.DateOnly
	}
	return localDate
}

// updatePerson changes a person and writes the columns that are different.
func (c *Changer) updatePerson(e *event, i int32, change func(p *person)) {
	w := c.world
	before := w.people[i]
	old := w.personRow(nil, int(i), c.dates())
	change(&w.people[i])
	e.undoPopulation = append(e.undoPopulation, func() { w.people[i] = before })
	now := w.personRow(nil, int(i), c.dates())
	for _, column := range []int{1, 9, 10} { // number, phone, mail address
		if old[column] != now[column] && old[column] != "" {
			c.personal = append(c.personal, old[column])
		}
	}
	if old[2] != now[2] || old[3] != now[3] {
		c.personal = append(c.personal, old[2]+" "+old[3])
	}
	e.population = appendUpdate(e.population, "cong_dan", personColumns(), old, now)
}

// appendUpdate adds the statement that turns the old row into the new one.
func appendUpdate(list []statement, name string, columns, old, now []string) []statement {
	var set []string
	var args []any
	for i, column := range columns {
		if old[i] != now[i] {
			set = append(set, column+" = ?")
			args = appendArguments(args, now[i:i+1])
		}
	}
	if len(set) == 0 {
		return list
	}
	return append(list, statement{
		"UPDATE " + name + " SET " + strings.Join(set, ", ") + " WHERE " + columns[0] + " = ?", append(args, old[0]),
	})
}

func insertOf(name string, columns, row []string) statement {
	return statement{insertStatement(name, columns, 1), appendArguments(nil, row)}
}

func deleteOf(name, column, key string) statement {
	return statement{"DELETE FROM " + name + " WHERE " + column + " = ?", []any{key}}
}

// extend gives the population table a column that no definition knows yet.
func (c *Changer) extend(ctx context.Context) error {
	if err := c.run(ctx, c.targets.Population, c.targets.Postgres, []statement{{query: "ALTER TABLE cong_dan ADD COLUMN nghe_nghiep TEXT"}}); err != nil {
		return fmt.Errorf("demo: add a column to the population: %w", err)
	}
	c.world.extended = true
	return nil
}

// PersonalValues yields every personal value of the world: personal numbers, full
// names, telephone numbers and mail addresses, as the sources hold or ever held them.
// Values may come more than once. Nothing may be called on the world meanwhile.
func (w *World) PersonalValues(yield func(value string) bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	give := func(values ...string) bool {
		for _, value := range values {
			if value != "" && !yield(value) {
				return false
			}
		}
		return true
	}
	var row []string
	for i := range w.people {
		row = w.personRow(row, i, localDate)
		if !give(row[1], row[2]+" "+row[3], row[9], row[10], row[11], row[12]) {
			return
		}
	}
	// The others repeat what people have, except where a defect says otherwise.
	for i := range w.births {
		if w.births[i].defect != clean {
			row = w.birthRow(row, i)
			if !give(row[3], row[4], row[7], row[8]) {
				return
			}
		}
	}
	for i := range w.marriages {
		if w.marriages[i].defect != clean {
			row = w.marriageRow(row, i)
			if !give(row[4], row[5]) {
				return
			}
		}
	}
	for i := range w.deaths {
		if w.deaths[i].defect != clean {
			row = w.deathRow(row, i)
			if !give(row[3], row[4]) {
				return
			}
		}
	}
	for i := range w.households {
		if w.households[i].defect != clean {
			row = w.householdRow(row, i)
			if !give(row[2], row[3], row[4]) {
				return
			}
		}
	}
	for i := range w.parcels {
		if w.parcels[i].defect != clean {
			row = w.parcelRow(row, i, "")
			if !give(row[7], row[8]) {
				return
			}
		}
	}
	give(w.former...)
}
