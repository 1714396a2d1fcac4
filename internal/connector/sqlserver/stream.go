package sqlserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// Stream delivers commits in their order, as the capture job finishes them.
func (s *Source) Stream(ctx context.Context, after lienthong.Position, sink connector.Sink) error {
	err := s.stream(ctx, after, sink)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return explain(err)
}

// flow is one table as it is streamed.
type flow struct {
	table     *table
	instance  *instance
	shown     *described // in the columns of the instance
	announced connector.Table
	looked    time.Time
}

// delivery is one Stream.
type delivery struct {
	source  *Source
	sink    connector.Sink
	at      lsn
	commits int // of the next window
	flows   []*flow
}

func (s *Source) stream(ctx context.Context, after lienthong.Position, sink connector.Sink) error {
	tables, err := s.started()
	if err != nil {
		return err
	}
	d := &delivery{source: s, sink: sink, commits: s.config.WindowCommits}
	if d.at, err = lsnAt(after); err != nil {
		return err
	}
	for _, t := range tables {
		d.flows = append(d.flows, &flow{table: t})
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for idle := false; ; {
		moved, err := d.drain(ctx)
		if err != nil {
			return err
		}
		if moved || !idle {
			idle = true
			if err := sink.Idle(); err != nil {
				return err
			}
		}
		timer.Reset(s.config.PollInterval)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// drain delivers what the capture job has finished. It reports whether the position moved.
func (d *delivery) drain(ctx context.Context) (moved bool, err error) {
	at, err := d.source.capturing(ctx)
	if err != nil {
		return false, err
	}
	for d.at.less(at.max) {
		upTo, err := d.choose(ctx, at)
		if err != nil {
			return moved, err
		}
		if err := d.window(ctx, upTo); err != nil {
			return moved, err
		}
		moved = true
	}
	return moved, nil
}

// choose finds the instance of each table that has the changes after the position, and how far
// all of them can be read: to where a newer instance takes over.
func (d *delivery) choose(ctx context.Context, at *capture) (upTo lsn, err error) {
	upTo = at.max
	for _, f := range d.flows {
		instances := at.of(f.table.name)
		if len(instances) == 0 {
			return upTo, notCaptured(f.table.name)
		}
		from, current := d.from(f), 0
		for i, candidate := range instances {
			if !from.less(candidate.start) {
				current = i
			}
		}
		if from.next().less(instances[current].low) {
			return upTo, cleanedUp(f.table.name)
		}
		if current+1 < len(instances) && instances[current+1].start.less(upTo) {
			upTo = instances[current+1].start
		}
		if err := d.use(ctx, f, instances[current], instances[len(instances)-1]); err != nil {
			return upTo, err
		}
	}
	return upTo, nil
}

// verify makes sure that the cleanup job did not come between: what was read is all there was.
func (d *delivery) verify(ctx context.Context) error {
	at, err := d.source.capturing(ctx)
	if err != nil {
		return err
	}
	for _, f := range d.flows {
		i := slices.IndexFunc(at.instances, func(i *instance) bool { return i.name == f.instance.name })
		if i < 0 || d.from(f).next().less(at.instances[i].low) {
			return cleanedUp(f.table.name)
		}
	}
	return nil
}

// from is the LSN after which the table's changes are wanted.
func (d *delivery) from(f *flow) lsn {
	if d.at.less(f.table.since) {
		return f.table.since
	}
	return d.at
}

// use reads the table from the instance. The sink knows the columns that Tables lists, which are
// those of the newest instance.
func (d *delivery) use(ctx context.Context, f *flow, current, newest *instance) error {
	s := d.source
	now := s.config.Now()
	if f.instance != nil && f.instance.name == current.name && f.instance.start == current.start && now.Sub(f.looked) < s.config.InstancesEvery {
		return nil
	}
	live, err := s.describe(ctx, f.table.name)
	if err != nil {
		return err
	}
	if err := s.detail(ctx, current); err != nil {
		return err
	}
	first := f.instance == nil
	if first {
		if newest != current {
			if err := s.detail(ctx, newest); err != nil {
				return err
			}
		}
		if shown := newest.shown(live); shown != nil {
			f.announced = shown.table()
		}
	} else if f.instance.name != current.name {
		s.config.Log.InfoContext(ctx, "sqlserver: a newer capture instance takes over",
			slog.String("table", f.table.name), slog.String("instance", current.name))
	}
	shown := current.shown(live)
	if shown == nil {
		return &lienthong.Error{
			Code: "sqlserver.key_not_captured", Where: f.table.name,
			Vi: "phiên bản CDC không có đủ cột khoá chính", En: "the capture instance does not have all columns of the primary key",
			Hint: enableTable(f.table.name, strings.ReplaceAll(f.table.name, ".", "_")+"_2"),
		}
	}
	f.instance, f.shown, f.looked = current, shown, now
	if !slices.Equal(f.announced.Columns, shown.columns) || !slices.Equal(f.announced.Key, shown.key) {
		f.announced = shown.table()
		return d.sink.Schema(f.table.index, f.announced)
	}
	return nil
}

// commit is a transaction of the source.
type commit struct {
	at  lsn
	end int64 // microseconds since 1970 UTC
}

const commitsQuery = `SELECT TOP (@p1) start_lsn, DATEDIFF_BIG(MICROSECOND, '1970-01-01', DATEADD(MINUTE, DATEDIFF(MINUTE, GETDATE(), GETUTCDATE()), tran_end_time))
FROM cdc.lsn_time_mapping WHERE start_lsn > @p2 AND start_lsn <= @p3 AND tran_id <> 0x00 ORDER BY start_lsn`

func (d *delivery) nextCommits(ctx context.Context, upTo lsn) ([]commit, error) {
	rows, err := d.source.db.QueryContext(ctx, commitsQuery, d.commits, d.at.argument(), upTo.argument())
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var commits []commit
	for rows.Next() {
		var raw []byte
		var c commit
		if err := rows.Scan(&raw, &c.end); err != nil {
			return nil, err
		}
		if c.at, err = lsnOf(raw); err != nil {
			return nil, err
		}
		commits = append(commits, c)
	}
	return commits, rows.Err()
}

// window delivers some commits, and moves on to the last of them or, when there are no more, to upTo.
func (d *delivery) window(ctx context.Context, upTo lsn) error {
	commits, err := d.nextCommits(ctx, upTo)
	if err != nil {
		return err
	}
	if len(commits) == d.commits {
		upTo = commits[len(commits)-1].at
	}
	switch len(commits) {
	case 0:
		if err := d.verify(ctx); err != nil {
			return err
		}
	case 1:
		if err := d.single(ctx, commits[0]); err != nil {
			return err
		}
	default:
		err := d.several(ctx, commits, upTo)
		if errors.Is(err, errTooLarge) {
			d.commits = max(len(commits)/4, 1)
			return nil // a smaller window from the same place
		}
		if err != nil {
			return err
		}
	}
	d.commits = min(2*d.commits, d.source.config.WindowCommits)
	if d.at.less(upTo) {
		pos, err := upTo.position()
		if err != nil {
			return err
		}
		if err := d.sink.Commit(pos); err != nil {
			return err
		}
	}
	d.moved(upTo)
	return nil
}

func (d *delivery) moved(to lsn) {
	d.at = to
	d.source.mu.Lock()
	d.source.streamed = to
	d.source.mu.Unlock()
}

// single passes one commit on as it is read, however large it is.
func (d *delivery) single(ctx context.Context, c commit) error {
	pos, err := c.at.position()
	if err != nil {
		return err
	}
	begun := false
	for _, f := range d.flows {
		err := d.changes(ctx, f, c.at, func(ch *change) error {
			if !begun {
				begun = true
				if err := d.sink.Begin(pos, c.end); err != nil {
					return err
				}
			}
			return d.sink.Change(&connector.Row{Table: f.table.index, Op: ch.op, Version: int64(pos.Order), At: c.end, Values: ch.values})
		})
		if err != nil {
			return err
		}
	}
	if err := d.verify(ctx); err != nil || !begun {
		return err
	}
	if err := d.sink.Commit(pos); err != nil {
		return err
	}
	d.moved(c.at)
	return nil
}

var errTooLarge = errors.New("sqlserver: the window is too large for memory")

// several reads a window of all tables and delivers it commit by commit.
func (d *delivery) several(ctx context.Context, commits []commit, upTo lsn) error {
	byCommit := make([][]change, len(commits))
	held := 0
	for _, f := range d.flows {
		err := d.changes(ctx, f, upTo, func(ch *change) error {
			at, found := slices.BinarySearchFunc(commits, ch.at, func(c commit, at lsn) int {
				return strings.Compare(c.at.String(), at.String())
			})
			if !found {
				return fmt.Errorf("sqlserver: a change of %s belongs to no commit that is known", f.table.name)
			}
			kept := change{at: ch.at, op: ch.op, table: f.table.index, values: slices.Clone(ch.values)}
			held += 64 + 48*len(kept.values)
			for i := range kept.values {
				held += len(kept.values[i].Bytes)
			}
			byCommit[at] = append(byCommit[at], kept)
			if held > d.source.config.WindowBytes {
				return errTooLarge
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := d.verify(ctx); err != nil {
		return err
	}
	for i, c := range commits {
		if len(byCommit[i]) == 0 {
			continue
		}
		pos, err := c.at.position()
		if err != nil {
			return err
		}
		if err := d.sink.Begin(pos, c.end); err != nil {
			return err
		}
		for n := range byCommit[i] {
			ch := &byCommit[i][n]
			if err := d.sink.Change(&connector.Row{Table: ch.table, Op: ch.op, Version: int64(pos.Order), At: c.end, Values: ch.values}); err != nil {
				return err
			}
		}
		if err := d.sink.Commit(pos); err != nil {
			return err
		}
		d.moved(c.at)
	}
	return nil
}

// change is the last state of a record in a commit. Its values are valid during the call.
type change struct {
	at     lsn
	table  int
	op     lienthong.Op
	values []lienthong.Value
}

// changesQuery reads the last state of each key in each commit. It reads the change table and not the function
// over it, because only the table has the column by which the changes of a commit are ordered. The image before an update is the
// last of its key when the update changed the key: the record with that key is gone. Keys are
// told apart by their bytes, as the hub does, not by the collation. For large columns
// it also asks whether the last update, and whether any change of the commit, wrote them.
func changesQuery(f *flow) (query string, big []int) {
	d := f.shown
	var key, bits, flags strings.Builder
	for _, i := range d.key {
		key.WriteString(", f." + quote(d.columns[i].Name))
		if isText(&d.columns[i]) {
			key.WriteString(" COLLATE Latin1_General_BIN2")
		}
	}
	partition := "OVER (PARTITION BY f.[__$start_lsn]" + key.String()
	for i := range d.columns {
		if !large(&d.columns[i]) {
			continue
		}
		big = append(big, i)
		n := strconv.Itoa(i)
		bit := "CONVERT(int, sys.fn_cdc_is_bit_set(" + strconv.Itoa(f.instance.captured[d.columns[i].Name]) + ", f.[__$update_mask]))"
		bits.WriteString(", " + bit + " AS [__$own" + n + "], MAX(" + bit + ") " + partition + ") AS [__$any" + n + "]")
		flags.WriteString(", [__$own" + n + "], [__$any" + n + "]")
	}
	query = "SELECT [__$start_lsn], [__$operation], [__$n], " + selectList(d.columns) + flags.String() +
		"\nFROM (SELECT f.*, COUNT(*) " + partition + ") AS [__$n], ROW_NUMBER() " + partition + " ORDER BY f.[__$command_id] DESC, f.[__$seqval] DESC, f.[__$operation] DESC) AS [__$last]" + bits.String() +
		"\nFROM cdc." + quote(f.instance.name+"_CT") + " f WHERE f.[__$start_lsn] >= @p1 AND f.[__$start_lsn] <= @p2) c" +
		"\nWHERE [__$last] = 1 ORDER BY [__$start_lsn], [__$command_id], [__$seqval], [__$operation]"
	return query, big
}

// changes reads the changes of one table up to an LSN.
func (d *delivery) changes(ctx context.Context, f *flow, upTo lsn, deliver func(*change) error) error {
	from := d.from(f).next()
	if upTo.less(from) {
		return nil
	}
	query, big := changesQuery(f)
	rows, err := d.source.db.QueryContext(ctx, query, from.argument(), upTo.argument())
	if err != nil {
		return fmt.Errorf("sqlserver: read changes of %s: %w", f.table.name, err)
	}
	defer func() { _ = rows.Close() }()
	var at []byte
	var operation, images int
	written := make([]struct{ own, any sql.NullInt64 }, len(big))
	var after []any
	for i := range written {
		after = append(after, &written[i].own, &written[i].any)
	}
	r := newReader([]any{&at, &operation, &images}, f.shown.columns, after)
	for rows.Next() {
		if err := r.scan(rows); err != nil {
			return fmt.Errorf("sqlserver: read changes of %s: %w", f.table.name, err)
		}
		ch := change{values: r.values}
		if ch.at, err = lsnOf(at); err != nil {
			return err
		}
		switch operation {
		case 1, 3:
			ch.op = lienthong.Delete
			for i := range ch.values {
				if !slices.Contains(f.shown.key, i) {
					ch.values[i] = lienthong.Value{State: lienthong.Unchanged}
				}
			}
		case 2:
		case 4:
			for n, i := range big {
				if ch.values[i].State != lienthong.Null || written[n].own.Int64 != 0 {
					continue
				}
				ch.values[i].State = lienthong.Unchanged
				if images != 2 || written[n].any.Int64 != 0 {
					// Something else in this commit made the record what it is: ask for it.
					if err := d.source.complete(ctx, f.shown, ch.values); err != nil {
						return err
					}
				}
			}
		default:
			return fmt.Errorf("sqlserver: change table of %s: operation %d", f.table.name, operation)
		}
		if err := deliver(&ch); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("sqlserver: read changes of %s: %w", f.table.name, err)
	}
	return nil
}

// complete fills Unchanged values from the row as it is now. That of a row that is gone is null.
func (s *Source) complete(ctx context.Context, d *described, values []lienthong.Value) error {
	fill := func(i int, v lienthong.Value) {
		if values[i].State == lienthong.Unchanged {
			values[i] = v
		}
	}
	found, err := s.current(ctx, d, values, fill)
	if err != nil {
		return fmt.Errorf("sqlserver: complete a row of %s: %w", d.name, explain(err))
	}
	if !found {
		for i := range values {
			fill(i, lienthong.Value{})
		}
	}
	return nil
}

// Complete fills what an update left out, see connector.Completer.
func (s *Source) Complete(ctx context.Context, index int, values []lienthong.Value) error {
	tables, err := s.started()
	if err != nil {
		return err
	}
	if index < 0 || index >= len(tables) {
		return fmt.Errorf("sqlserver: no table %d", index)
	}
	live, err := s.describe(ctx, tables[index].name)
	if err != nil {
		return err
	}
	at, err := s.capturing(ctx)
	if err != nil {
		return explain(err)
	}
	// The instance whose columns the row has: the stream may still read the older.
	for _, i := range slices.Backward(at.of(tables[index].name)) {
		if err := s.detail(ctx, i); err != nil {
			return explain(err)
		}
		if shown := i.shown(live); shown != nil && len(shown.columns) == len(values) {
			return s.complete(ctx, shown, values)
		}
	}
	return &lienthong.Error{
		Code: "sqlserver.schema_changed", Where: tables[index].name,
		Vi: "cột của bảng đã thay đổi trong lúc đọc", En: "the table's columns changed while it was read",
		Hint: "tự thử lại / it is tried again",
	}
}
