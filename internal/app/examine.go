package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/address"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/linkage"
)

// Examinations read whole datasets for what no single row tells: addresses that only a
// person can place, and records that may be one person. They wait until a hub has settled, and
// then come so seldom that they take one part in examineRest of a core at most.
const (
	examineFirst = 20 * time.Second
	examineLook  = 30 * time.Second
	examineLeast = time.Hour
	examineRest  = 20
	// examinePersons is how many records a register in memory may have: 200 bytes each.
	examinePersons = 5_000_000
	// examineQuestions is how many identity questions are open at most: those that are worth most.
	examineQuestions = 2000
)

// examination is the last one of a dataset.
type examination struct {
	rows  int64 // landed when it ran
	took  time.Duration
	ended time.Time
}

// examine looks at datasets that have changed since they were looked at.
func (w *workplace) examine(ctx context.Context) error {
	done := map[lienthong.Stream]examination{}
	timer := time.NewTimer(examineFirst)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		for _, subject := range w.examinable() {
			last, before := done[subject.stream]
			now := w.hub.now()
			if before && (last.rows == subject.rows || now.Sub(last.ended) < max(examineLeast, examineRest*last.took)) {
				continue
			}
			err := w.examineOne(ctx, subject)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				w.hub.log.ErrorContext(ctx, "dataset not examined", slog.String("dataset", subject.stream.Dataset.String()), slog.Any("error", err))
			}
			ended := w.hub.now()
			done[subject.stream] = examination{rows: subject.rows, took: ended.Sub(now), ended: ended}
		}
		timer.Reset(examineLook)
	}
}

// subject is a dataset to be examined, from one node.
type subject struct {
	stream lienthong.Stream
	shape  *lienthong.Shape
	rows   int64
	live   int64
}

// examinable lists the datasets whose first load has been compared.
func (w *workplace) examinable() []subject {
	m := w.hub.monitor
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []subject
	for _, v := range m.sorted("") {
		if v.last != nil && v.last.SourceRows > 0 && v.shape != nil {
			list = append(list, subject{stream: v.stream, shape: v.shape, rows: v.landed, live: v.state.Live})
		}
	}
	return list
}

func (w *workplace) examineOne(ctx context.Context, s subject) error {
	addresses := newAddressPass(w.standardise, s)
	people, isPeople := linkage.NewPersonRows(s.shape)
	isPeople = isPeople && s.live <= examinePersons
	if addresses == nil && !isPeople {
		return nil
	}
	register := linkage.NewPersons(linkage.Config{Successors: linkage.Successors(w.hub.words)})
	frozen, err := w.hub.store.Freeze(ctx)
	if err != nil {
		return err
	}
	var person linkage.Person
	err = frozen.Records(ctx, s.stream, s.shape, func(id []byte, values []lienthong.Value) error {
		if addresses != nil {
			addresses.take(values)
		}
		if !isPeople {
			return ctx.Err()
		}
		people.Read(string(id), values, &person)
		return register.Add(&person)
	})
	if closed := frozen.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("examine %s: %w", s.stream, err)
	}
	if addresses != nil {
		if _, err := w.addresses.Ask(ctx, addresses.tally.Asked()...); err != nil {
			return err
		}
	}
	if !isPeople {
		return nil
	}
	return w.identify(ctx, s.stream.Dataset.String(), register)
}

// identify offers the pairs of records that only a person can tell apart.
func (w *workplace) identify(ctx context.Context, name string, register *linkage.Persons) error {
	answers, err := w.identities.Answers(ctx, name, register)
	if err != nil {
		return err
	}
	model, err := register.Estimate(ctx, answers)
	if err != nil {
		return err
	}
	result, err := register.Find(ctx, model, answers)
	if err != nil {
		return err
	}
	_, err = w.identities.Offer(ctx, &linkage.Offer{
		Register: name, Records: register, Model: model, Pairs: result.Pairs[:min(len(result.Pairs), examineQuestions)],
	})
	return err
}

// addressPass reads the addresses of a dataset.
type addressPass struct {
	standardise        *address.Standardiser
	tally              *address.Tally
	line, code, before int // fields, -1: none
}

// newAddressPass is nil when the shape has no address in the clear.
func newAddressPass(standardise *address.Standardiser, s subject) *addressPass {
	field := func(element string) int {
		for i := range s.shape.Fields {
			if f := &s.shape.Fields[i]; f.Element == element && (f.Handling == "" || f.Handling == "keep") {
				return i
			}
		}
		return -1
	}
	p := &addressPass{
		standardise: standardise, tally: address.NewTally(s.stream.Dataset),
		line: field("address.line"), code: field("address.commune"), before: field("address.commune_before"),
	}
	if p.line < 0 && p.before < 0 {
		return nil
	}
	return p
}

// take standardises one record. A code of today says where it is, and nothing need be asked; a code of
// before decides before the text does.
func (p *addressPass) take(values []lienthong.Value) {
	has := func(i int) bool { return i >= 0 && values[i].State == lienthong.Present }
	if has(p.code) {
		return
	}
	switch {
	case has(p.before):
		result := p.standardise.Code(string(values[p.before].Bytes), dictionary.Reorganised()-1)
		p.tally.Add(&result)
	case has(p.line):
		result := p.standardise.Standardise(string(values[p.line].Bytes), address.Unknown)
		p.tally.Add(&result)
	}
}
