package push

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
)

// job is what one request has for the inbox: records that are decided and accepted together.
type job struct {
	client   string
	records  []record
	outcomes []outcome // one for each record
	done     chan struct{}

	accepted  []item // those that get an acceptance
	indexes   []int  // their places in records
	positions []byte
	number    int64
	payload   []byte
	signature string
}

// outcome is what became of a record.
type outcome struct {
	code       string
	acceptance int64 // number; 0: none
	item       int
}

// statement is what the node signs when it accepts records.
type statement struct {
	Kind       string `json:"kind"`
	Node       string `json:"node,omitempty"`
	Client     string `json:"client"`
	Acceptance string `json:"acceptance"`
	At         string `json:"at"`
	Records    []item `json:"records"`
}

// item is one accepted record.
type item struct {
	Receipt string `json:"receipt"`
	Type    string `json:"MaLoaiDuLieu"`
	ID      string `json:"IdBanGhi"`
	Version int64  `json:"PhienBan"`
	Event   Event  `json:"SuKien"`
	SHA256  string `json:"sha256"`
}

const (
	acceptanceKind = "lienthong.push.acceptance.v1"
	locationKind   = "lienthong.push.location.v1"
)

// Positions of records in the stream that have none.
const (
	positionBeforeStart = 0
	positionNoChange    = 1 << 62 // CANCEL of a record that was not there
)

func acceptanceName(no int64) string { return strconv.FormatInt(no, 36) }

func receiptName(no int64, item int) string {
	return acceptanceName(no) + "-" + strconv.Itoa(item)
}

func parseReceipt(name string) (no int64, item int, ok bool) {
	left, right, found := strings.Cut(name, "-")
	no, err1 := strconv.ParseInt(left, 36, 64)
	item, err2 := strconv.Atoi(right)
	ok = found && err1 == nil && err2 == nil && no > 0 && item >= 0 && receiptName(no, item) == name
	return no, item, ok
}

// submit hands a job to the writer. It returns at once; wait waits.
func (s *Source) submit(ctx context.Context, j *job) *refusal {
	j.done = make(chan struct{})
	j.outcomes = make([]outcome, len(j.records))
	select {
	case s.jobs <- j:
		return nil
	case <-s.closed:
		return refuse("push.closed", "")
	case <-ctx.Done():
		return refuse("push.closed", "")
	}
}

// wait returns when the job is decided and, as far as it is accepted, on disk.
func (s *Source) wait(j *job) {
	select {
	case <-j.done:
	case <-s.ended:
		select {
		case <-j.done:
		default: // it came after the writer had looked for the last time
			j.fail("push.closed")
		}
	}
}

// writer is the one goroutine that writes records. Jobs that wait while it commits go
// into its next transaction together, so that the more there are, the fewer fsyncs each costs.
type writer struct {
	source     *Source
	conn       *sql.Conn
	find       *sql.Stmt
	keep       *sql.Stmt
	exists     *sql.Stmt
	accept     *sql.Stmt
	statements map[int64]statements // by number of the record type
	base       int64                // highest acceptance before the present transaction
	pruned     time.Time
}

type statements struct {
	of             *recordType
	upsert, remove *sql.Stmt
}

// maxGroup is how many records one transaction takes at most: it bounds how long a single
// message waits behind batches.
const maxGroup = 2000

func (w *writer) prepare(ctx context.Context) (err error) {
	if w.conn, err = w.source.writes.Conn(ctx); err != nil {
		return fmt.Errorf("push: connect: %w", err)
	}
	for _, s := range []struct {
		into **sql.Stmt
		text string
	}{
		{&w.find, "SELECT version, content, acceptance, item FROM _lienthong_push_records WHERE type = ? AND id = ?"},
		{&w.keep, `INSERT INTO _lienthong_push_records (type, id, version, content, acceptance, item) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (type, id) DO UPDATE SET version = excluded.version, content = excluded.content,
			acceptance = excluded.acceptance, item = excluded.item`},
		{&w.exists, "SELECT count(*) FROM _lienthong_push_acceptances WHERE no = ?"},
		{&w.accept, "INSERT INTO _lienthong_push_acceptances (no, client, at, payload, signature, positions) VALUES (?, ?, ?, ?, ?, ?)"},
	} {
		if *s.into, err = w.conn.PrepareContext(ctx, s.text); err != nil {
			return errors.Join(fmt.Errorf("push: prepare: %w", err), w.conn.Close())
		}
	}
	return nil
}

func (w *writer) run(ctx context.Context) {
	s := w.source
	defer close(s.ended)
	defer func() { _ = w.conn.Close() }()
	for {
		select {
		case j := <-s.jobs:
			group := []*job{j}
			for records := len(j.records); records < maxGroup; {
				select {
				case next := <-s.jobs:
					group = append(group, next)
					records += len(next.records)
					continue
				default:
				}
				break
			}
			w.commit(ctx, group)
		case <-s.closed:
			w.refuseWaiting()
			return
		}
	}
}

// refuseWaiting answers what is still in the queue when the source closes.
func (w *writer) refuseWaiting() {
	for {
		select {
		case j := <-w.source.jobs:
			j.fail("push.closed")
		default:
			return
		}
	}
}

// reset forgets what a transaction that failed had decided.
func (j *job) reset() {
	clear(j.outcomes)
	j.accepted, j.indexes, j.positions, j.number, j.payload, j.signature = nil, nil, nil, 0, nil, ""
}

func (j *job) fail(code string) {
	for i := range j.outcomes {
		j.outcomes[i] = outcome{code: code}
	}
	close(j.done)
}

// commit decides a group of jobs in one transaction and answers them when it is on disk.
func (w *writer) commit(ctx context.Context, group []*job) {
	s := w.source
	s.writing.Lock()
	defer s.writing.Unlock()
	w.prune(ctx)
	err := w.transaction(ctx, func() error { return w.decide(ctx, group) })
	if errors.Is(err, errJob) && len(group) > 1 {
		// One job is the cause: its neighbours shall not suffer. A lock that another program
		// holds, or a disk that cannot sync, concerns them all and is not tried job by job.
		for _, j := range group {
			j.reset()
			w.commitAlone(ctx, j)
		}
	} else {
		w.answer(ctx, group, err)
	}
	if err := s.measure(ctx); err != nil {
		s.config.Log.WarnContext(ctx, "push: the inbox could not be measured", slog.Any("error", err))
	}
}

func (w *writer) commitAlone(ctx context.Context, j *job) {
	alone := []*job{j}
	w.answer(ctx, alone, w.transaction(ctx, func() error { return w.decide(ctx, alone) }))
}

// answer lets the senders know, after the commit.
func (w *writer) answer(ctx context.Context, group []*job, err error) {
	if err != nil {
		code := "push.storage"
		if errors.Is(err, errSign) {
			code = "push.sign"
		}
		w.source.config.Log.ErrorContext(ctx, "push: records could not be written, their senders were told to send again", slog.Any("error", err))
		for _, j := range group {
			j.fail(code)
		}
		return
	}
	for _, j := range group {
		close(j.done)
	}
}

var (
	errSign = errors.New("push: sign acceptance")
	errJob  = errors.New("push: write records of a request")
)

func (w *writer) transaction(ctx context.Context, work func() error) error {
	if _, err := w.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("push: begin: %w", err)
	}
	err := work()
	if err == nil {
		_, err = w.conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		if _, rollback := w.conn.ExecContext(ctx, "ROLLBACK"); rollback != nil && !strings.Contains(rollback.Error(), "no transaction") {
			err = errors.Join(err, rollback)
		}
	}
	return err
}

// decide writes the records of every job, and the acceptances of those that were taken.
func (w *writer) decide(ctx context.Context, group []*job) error {
	var captured bool
	if err := w.conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = '_lienthong_changes'").Scan(&captured); err != nil {
		return fmt.Errorf("push: look for the capture: %w", err)
	}
	var number int64
	if err := w.conn.QueryRowContext(ctx, "SELECT coalesce(max(no), 0) FROM _lienthong_push_acceptances").Scan(&number); err != nil {
		return fmt.Errorf("push: number acceptances: %w", err)
	}
	if number == 0 {
		number = w.source.config.Now().UnixMicro() // names stay different when an inbox is made anew
	}
	w.base = number
	for _, j := range group {
		if err := w.decideJob(ctx, j, &number, captured); err != nil {
			return fmt.Errorf("%w: %w", errJob, err)
		}
	}
	if err := w.sign(group); err != nil {
		return err
	}
	at := w.source.config.Now().UnixMicro()
	for _, j := range group {
		if j.number == 0 {
			continue
		}
		if _, err := w.accept.ExecContext(ctx, j.number, j.client, at, string(j.payload), j.signature, j.positions); err != nil {
			return fmt.Errorf("push: keep acceptance: %w", err)
		}
	}
	return nil
}

func (w *writer) decideJob(ctx context.Context, j *job, number *int64, captured bool) error {
	var before int64
	var err error
	if captured {
		if before, err = w.newest(ctx); err != nil {
			return err
		}
	}
	changed := make([]bool, len(j.records))
	changes := int64(0)
	for i := range j.records {
		if changed[i], err = w.decideRecord(ctx, j, i, *number+1); err != nil {
			return err
		}
		if changed[i] {
			changes++
		}
	}
	if len(j.accepted) == 0 {
		return nil
	}
	*number++
	j.number = *number
	after := before
	if captured {
		if after, err = w.newest(ctx); err != nil {
			return err
		}
	}
	// Each record that changed has one change of its own, in order. Should a trigger be
	// missing, the end of the job is right for all of them.
	exact := after-before == changes
	at := before
	for _, i := range j.indexes {
		position := int64(positionNoChange)
		switch {
		case !captured:
			position = positionBeforeStart
		case changed[i] && exact:
			at++
			position = at
		case changed[i]:
			position = after
		}
		j.positions = binary.BigEndian.AppendUint64(j.positions, uint64(position))
	}
	return nil
}

func (w *writer) newest(ctx context.Context) (newest int64, err error) {
	if err = w.conn.QueryRowContext(ctx, "SELECT coalesce(max(no), 0) FROM _lienthong_changes").Scan(&newest); err != nil {
		err = fmt.Errorf("push: read position: %w", err)
	}
	return newest, err
}

// decideRecord is the rule of versions. It reports whether the record's row changed.
func (w *writer) decideRecord(ctx context.Context, j *job, i int, number int64) (changed bool, err error) {
	r, out := &j.records[i], &j.outcomes[i]
	var version, acceptance int64
	var itemNo int
	var content []byte
	err = w.find.QueryRowContext(ctx, r.of.no, r.id).Scan(&version, &content, &acceptance, &itemNo)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return false, fmt.Errorf("push: read version: %w", err)
	case r.version < version:
		out.code = "push.version_old"
		return false, nil
	case r.version == version && string(content) != string(r.content[:]):
		out.code = "push.version_conflict"
		return false, nil
	case r.version == version:
		out.code = codeRepeated
		known, err := w.acceptanceStands(ctx, acceptance)
		if err != nil {
			return false, err
		}
		if known {
			out.acceptance, out.item = acceptance, itemNo
			return false, nil
		}
		// The acceptance is older than they are kept: the record gets another.
		w.addItem(j, i, number)
		return false, w.remember(ctx, r, out)
	}
	of, err := w.statementsOf(ctx, r.of)
	if err != nil {
		return false, err
	}
	if r.event == Cancel {
		result, err := of.remove.ExecContext(ctx, r.id)
		if err != nil {
			return false, fmt.Errorf("push: remove record: %w", err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return false, fmt.Errorf("push: remove record: %w", err)
		}
		changed = n > 0
	} else {
		if _, err := of.upsert.ExecContext(ctx, r.values...); err != nil {
			return false, fmt.Errorf("push: write record: %w", err)
		}
		changed = true
	}
	out.code = codeAccepted
	w.addItem(j, i, number)
	return changed, w.remember(ctx, r, out)
}

// acceptanceStands reports whether an acceptance is kept, or about to be in this transaction.
func (w *writer) acceptanceStands(ctx context.Context, acceptance int64) (bool, error) {
	if acceptance > w.base {
		return true, nil // of this transaction
	}
	var n int
	if err := w.exists.QueryRowContext(ctx, acceptance).Scan(&n); err != nil {
		return false, fmt.Errorf("push: look for acceptance: %w", err)
	}
	return n > 0, nil
}

func (w *writer) addItem(j *job, i int, number int64) {
	r, out := &j.records[i], &j.outcomes[i]
	out.acceptance, out.item = number, len(j.accepted)
	j.indexes = append(j.indexes, i)
	j.accepted = append(j.accepted, item{
		Receipt: receiptName(number, out.item), Type: r.of.Type, ID: r.id, Version: r.version, Event: r.event,
		SHA256: hex.EncodeToString(r.exact[:]),
	})
}

func (w *writer) remember(ctx context.Context, r *record, out *outcome) error {
	if _, err := w.keep.ExecContext(ctx, r.of.no, r.id, r.version, r.content[:], out.acceptance, out.item); err != nil {
		return fmt.Errorf("push: keep version: %w", err)
	}
	return nil
}

func (w *writer) statementsOf(ctx context.Context, t *recordType) (statements, error) {
	of, known := w.statements[t.no]
	if known && of.of == t {
		return of, nil
	}
	if known {
		_, _ = of.upsert.Close(), of.remove.Close()
		delete(w.statements, t.no)
	}
	upsert, err := w.conn.PrepareContext(ctx, t.upsert)
	if err != nil {
		return of, fmt.Errorf("push: prepare: %w", err)
	}
	remove, err := w.conn.PrepareContext(ctx, t.remove)
	if err != nil {
		return of, errors.Join(fmt.Errorf("push: prepare: %w", err), upsert.Close())
	}
	of = statements{t, upsert, remove}
	w.statements[t.no] = of
	return of, nil
}

// sign signs the acceptances of a group, on all processors: it costs more than writing
// a record.
func (w *writer) sign(group []*job) error {
	s := w.source
	at := string(appendTime(nil, s.config.Now()))
	var signing sync.WaitGroup
	failures := make([]error, len(group))
	for n, j := range group {
		if j.number == 0 {
			continue
		}
		signing.Go(func() {
			payload, err := json.Marshal(statement{
				Kind: acceptanceKind, Node: s.config.Node, Client: j.client,
				Acceptance: acceptanceName(j.number), At: at, Records: j.accepted,
			})
			if err == nil {
				j.payload = payload
				j.signature, err = s.config.Signer.Sign(payload)
			}
			if err != nil {
				failures[n] = fmt.Errorf("%w: %w", errSign, err)
			}
		})
	}
	signing.Wait()
	return errors.Join(failures...)
}

// prune forgets acceptances that are older than they must be kept, a few at a time.
func (w *writer) prune(ctx context.Context) {
	s := w.source
	now := s.config.Now()
	if now.Sub(w.pruned) < time.Minute && !now.Before(w.pruned) {
		return
	}
	w.pruned = now
	if _, err := w.conn.ExecContext(ctx, `DELETE FROM _lienthong_push_acceptances WHERE at < ?1 AND no IN
		(SELECT no FROM _lienthong_push_acceptances ORDER BY no LIMIT 2000)`, now.Add(-s.config.Limits.AcceptanceRetention).UnixMicro()); err != nil {
		s.config.Log.WarnContext(ctx, "push: old acceptances could not be removed", slog.Any("error", err))
	}
}

// acceptance reads one acceptance.
func (s *Source) acceptance(ctx context.Context, no int64) (client string, at time.Time, payload, signature string, positions []byte, err error) {
	var micros int64
	err = s.db.QueryRowContext(ctx, "SELECT client, at, payload, signature, positions FROM _lienthong_push_acceptances WHERE no = ?", no).
		Scan(&client, &micros, &payload, &signature, &positions)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = &lienthong.Error{Code: "push.not_found", Vi: "không có biên nhận này", En: "there is no such receipt"}
	case err != nil:
		err = fmt.Errorf("push: read acceptance: %w", err)
	}
	return client, time.UnixMicro(micros).UTC(), payload, signature, positions, err
}
