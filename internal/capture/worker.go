package capture

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/quality"
)

// worker maps, checks and handles the rows of one dataset for one goroutine.
type worker struct {
	capture *Capture
	dataset *dataset
	columns []lienthong.Column // of the rows that it takes
	mapper  *dictionary.Mapper
	checker *quality.Checker
	shape   *lienthong.Shape // of the rows that travel
	hasher  *batch.Hasher
	rules   []quality.Rule

	handled  bool // what travels is not what is checked
	filtered bool // some rows stay at home

	checked  []lienthong.Value // the row as rules see it; change.Values when nothing is handled
	change   lienthong.Change
	verdict  quality.Verdict
	id       []byte
	plain    []byte            // buffer of plainID
	held     []lienthong.Value // all Unchanged, for Hold and Delete
	override bool              // a person let the row at hand pass
	print    string            // fingerprint of the row at hand when it broke blocking rules
}

func newWorker(c *Capture, d *dataset, columns []lienthong.Column, mapper *dictionary.Mapper, checker *quality.Checker) *worker {
	w := &worker{
		capture: c, dataset: d, columns: columns, mapper: mapper, checker: checker, shape: mapper.Shape,
		hasher: batch.NewHasher(mapper.Shape), rules: checker.Rules(),
		handled: mapper.Checked() != mapper.Shape, filtered: mapper.Filtered(),
	}
	w.change.Values = make([]lienthong.Value, len(w.shape.Fields))
	w.checked = w.change.Values
	if w.handled {
		w.checked = make([]lienthong.Value, len(mapper.Checked().Fields))
	}
	w.held = make([]lienthong.Value, len(w.shape.Fields))
	for i := range w.held {
		w.held[i].State = lienthong.Unchanged
	}
	return w
}

func (w *worker) clone() *worker {
	return newWorker(w.capture, w.dataset, w.columns, w.mapper.Clone(), w.checker.Clone())
}

// outcome is what becomes of a row.
type outcome uint8

const (
	passed  outcome = iota // goes on its way
	held                   // broke a blocking rule
	unnamed                // has no identity: nobody can be told which record it is
	outside                // does not belong to the dataset
	unsaid                 // whether it belongs cannot be seen from what the source said
)

// take maps, checks and handles a row into w.change.
func (w *worker) take(row *connector.Row) outcome {
	w.mapper.Map(row.Values, w.checked)
	if w.handled {
		w.mapper.Handle(w.checked, w.change.Values)
	}
	w.change.Version, w.change.At = row.Version, row.At
	id, named := w.shape.AppendRecordID(w.id[:0], w.change.Values)
	w.id = id
	w.change.ID = id
	w.verdict.Failed, w.verdict.Blocked = w.verdict.Failed[:0], false
	w.override, w.print = false, ""
	if row.Op == lienthong.Delete {
		w.change.Op = lienthong.Delete
		if !named {
			return unnamed
		}
		return passed
	}
	w.change.Op = lienthong.Upsert
	scope := dictionary.Inside
	if w.filtered {
		if scope = w.mapper.Scope(row.Values, w.checked); scope == dictionary.Outside {
			return outside
		}
	}
	w.checker.Check(w.checked, w.capture.Now().UnixMicro(), &w.verdict)
	switch {
	case !named:
		return unnamed
	case scope == dictionary.Unsaid:
		return unsaid
	}
	return w.judge()
}

// judge is the outcome of a row that belongs to the dataset.
func (w *worker) judge() outcome {
	if !w.verdict.Blocked {
		return passed
	}
	w.print = w.fingerprint()
	d := w.dataset
	d.mu.Lock()
	allowed, decided := d.overrides[string(w.id)]
	d.mu.Unlock()
	// A decision from before fingerprints were kept is about the values that it meets first.
	if decided && (allowed == w.print || allowed == "") {
		w.override = true
		return passed
	}
	return held
}

// fingerprint is a keyed hash of the values that broke blocking rules: it tells whether
// they are the ones that a person decided about, and nothing else.
func (w *worker) fingerprint() string {
	mac := hmac.New(sha256.New, w.capture.RecordKey)
	put := func(text []byte) {
		mac.Write(strconv.AppendInt(nil, int64(len(text)), 10))
		mac.Write([]byte{':'})
		mac.Write(text)
	}
	put([]byte(w.dataset.stream.Dataset.String()))
	put(w.id)
	for _, i := range w.verdict.Failed {
		rule := &w.rules[i]
		if !rule.Blocking {
			continue
		}
		v := &w.checked[rule.FieldIndex]
		put([]byte(rule.Code))
		put([]byte(rule.Field))
		put([]byte{byte(v.State)})
		if v.State == lienthong.Malformed {
			put(v.Bytes)
		} else {
			put(v.AppendText(nil, w.mapper.Checked().Fields[rule.FieldIndex].Kind))
		}
	}
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// plainID is the identity as the source has it; empty when it is the record's identity anyway.
func (w *worker) plainID() string {
	if !w.handled {
		return ""
	}
	plain, named := w.mapper.Checked().AppendRecordID(w.plain[:0], w.checked)
	w.plain = plain
	if !named || string(plain) == string(w.id) {
		return ""
	}
	return string(plain)
}

// append writes the change as a row. Rows that only name a record carry no
// values.
func (w *worker) append(raw []byte, o outcome) []byte {
	c := w.change
	if o == held {
		c.Op = lienthong.Hold
	}
	if c.Op != lienthong.Upsert {
		c.Values = w.held
	}
	return batch.AppendRow(raw, w.shape, &c)
}

// observation returns what to record about the row just taken; nothing when it is
// clean and was clean before.
func (w *worker) observation(o outcome) (Observation, bool) {
	d := w.dataset
	id := w.recordID(o)
	d.mu.Lock()
	opened, wasOpen := d.open[string(id)]
	if opened > w.change.Version {
		// A snapshot shows an earlier state of the record than the change that opened it.
		d.mu.Unlock()
		return Observation{}, false
	}
	gone := w.change.Op == lienthong.Delete
	failing := !gone && len(w.verdict.Failed) > 0
	switch {
	case failing:
		d.open[string(id)] = w.change.Version
	case wasOpen:
		delete(d.open, string(id))
	}
	if o == held || gone { // the values are not those that a person let pass
		delete(d.overrides, string(id))
	}
	d.mu.Unlock()
	if !failing && !wasOpen {
		return Observation{}, false
	}
	return w.observe(string(id)), true
}

// recordID is what the row just taken is known by at this node. A row without an identity
// is known by its values, so that it is known again when it is read again.
func (w *worker) recordID(o outcome) []byte {
	if o != unnamed || w.change.Op == lienthong.Delete {
		return w.id
	}
	sum := sha256.New()
	for i := range w.checked {
		v := &w.checked[i]
		w.plain = append(w.plain[:0], byte(v.State))
		if v.State == lienthong.Malformed {
			w.plain = append(w.plain, v.Bytes...)
		} else {
			w.plain = v.AppendText(w.plain, w.mapper.Checked().Fields[i].Kind)
		}
		w.plain = append(w.plain, 0)
		sum.Write(w.plain)
	}
	return append([]byte{'?'}, hex.AppendEncode(nil, sum.Sum(nil)[:12])...)
}

// observe makes the observation of the row just taken.
func (w *worker) observe(id string) Observation {
	d := w.dataset
	now := w.capture.Now().UnixMicro()
	obs := Observation{ID: id, At: now, Plain: w.plainID(), Fingerprint: w.print, Overridden: w.override}
	if w.change.Op == lienthong.Delete {
		obs.Gone = true
		return obs
	}
	obs.Findings = w.checker.Findings(nil, &w.verdict, w.checked, quality.RecordDigest(w.capture.RecordKey, d.stream.Dataset, id), now)
	for i := range obs.Findings {
		f := &obs.Findings[i]
		if w.override {
			f.Blocking = false
		}
		if f.Sample != "" && w.mapper.Handled(f.Field) {
			f.Sample = "***" // of a value that does not leave the node nothing does
		}
	}
	for i := range w.checked {
		if w.checked[i].State == lienthong.Unchanged {
			obs.Unknown = append(obs.Unknown, w.mapper.Checked().Fields[i].Name)
		}
	}
	return obs
}

// reject tells the source about a refused or wrong row, when it wants to know.
func (w *worker) reject(table int) error {
	rejecter, ok := w.capture.Source.(connector.Rejecter)
	if !ok {
		return nil
	}
	for _, i := range w.verdict.Failed {
		rule := &w.rules[i]
		if err := rejecter.Reject(table, w.change.Version, w.sourceColumn(rule.Field), rule.Vi, rule.En); err != nil {
			return fmt.Errorf("capture: answer the source: %w", err)
		}
	}
	return nil
}

// sourceColumn is the column that a field comes from, because the owner knows the
// column, not the field.
func (w *worker) sourceColumn(field string) string {
	checked := w.mapper.Checked()
	if i := checked.FieldIndex(field); i >= 0 {
		if columns := columnsOf(w.dataset.definition, &checked.Fields[i]); len(columns) > 0 {
			return columns[len(columns)-1]
		}
	}
	return field
}

// matches reports whether the row at hand lies in a range of identities.
func (w *worker) matches(keys KeyRange) bool {
	if keys == (KeyRange{}) {
		return true
	}
	checked := w.mapper.Checked()
	if len(checked.Identity) == 1 && checked.Fields[checked.Identity[0]].Kind == lienthong.Integer {
		v := &w.checked[checked.Identity[0]]
		from, fromErr := strconv.ParseInt(keys.From, 10, 64)
		to, toErr := strconv.ParseInt(keys.To, 10, 64)
		return v.State == lienthong.Present && (keys.From == "" || fromErr == nil && v.Int >= from) && (keys.To == "" || toErr == nil && v.Int <= to)
	}
	id := w.plainID()
	if id == "" {
		id = string(w.id)
	}
	return (keys.From == "" || id >= keys.From) && (keys.To == "" || id <= keys.To)
}

func hasUnchanged(values []lienthong.Value) bool {
	return slices.ContainsFunc(values, func(v lienthong.Value) bool { return v.State == lienthong.Unchanged })
}
