package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// tableDDL is a citizen as a population database keeps one: 12 columns, some 315
// bytes a row.
const tableDDL = `
CREATE TABLE citizen (
	id bigint PRIMARY KEY,
	personal_number varchar(12) NOT NULL,
	full_name varchar(100) NOT NULL,
	birth_date date NOT NULL,
	sex varchar(1) NOT NULL,
	ethnicity varchar(2) NOT NULL,
	birth_province varchar(3) NOT NULL,
	phone varchar(20),
	address_line text NOT NULL,
	commune varchar(5) NOT NULL,
	verified_at timestamptz,
	updated_at timestamptz NOT NULL
)`

// definition maps the table to the dictionary: typed elements with their rules,
// which all run, and one rule of the dataset's own.
const definition = `
dataset: bench.citizen
title_vi: Công dân
title_en: Citizens
table: public.citizen
identity: [record_key]
others: keep
columns:
  - {column: id, element: record.key}
  - {column: personal_number, element: person.number, transforms: [trim]}
  - {column: full_name, element: person.full_name}
  - {column: birth_date, element: person.birth_date}
  - {column: sex, element: person.sex}
  - {column: ethnicity, element: person.ethnicity}
  - {column: birth_province, element: person.birth_province}
  - {column: phone, element: person.phone, transforms: [trim]}
  - {column: address_line, element: address.line}
  - {column: commune, element: address.commune}
  - {column: verified_at, element: person.verified_at}
  - {column: updated_at, element: record.updated_at}
rules:
  - code: bench.citizen.number.agrees
    vi: Số định danh không khớp năm sinh hoặc giới tính
    en: The personal number does not agree with the year of birth or the sex
    group: contradiction
    criterion: dung
    field: personal_number
    check: {person_number: {birth_date: birth_date, sex: sex}}
`

// churnDDL makes single-row transactions at the source: of ten, six update, three
// insert and one deletes. Deleted rows have numbers that ten divides and are never
// updated, so that every transaction changes exactly one row.
const churnDDL = `
CREATE FUNCTION churn_one(i bigint, total bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	turn bigint := i / 10;
	like_id bigint := (((i * 104729) % (total / 10)) * 10) + 1 + (i % 9);
BEGIN
	CASE
	WHEN i % 10 = 9 THEN
		DELETE FROM citizen WHERE id = (((turn * 7919) % (total / 10)) + 1) * 10;
	WHEN i % 10 IN (2, 5, 8) THEN
		INSERT INTO citizen SELECT total + 10 + i, personal_number, full_name, birth_date, sex, ethnicity, birth_province,
			'09' || lpad((i % 100000000)::text, 8, '0'), address_line, commune, verified_at, clock_timestamp()
			FROM citizen WHERE id = like_id;
	ELSE
		UPDATE citizen SET phone = '03' || lpad((i % 100000000)::text, 8, '0'),
			address_line = 'Số ' || (i % 500) || substr(address_line, strpos(address_line, ',')), updated_at = clock_timestamp()
			WHERE id = like_id;
	END CASE;
END $$;
CREATE PROCEDURE churn(first bigint, n bigint, total bigint) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN first .. first + n - 1 LOOP
		PERFORM churn_one(i, total);
		COMMIT;
	END LOOP;
END $$`

// contentHash is a count and a hash of the content that do not depend on the order of rows,
// computed from the stored values with the same expression at each end.
const contentHash = `SELECT count(*), COALESCE(sum(hashtextextended(concat_ws(chr(31), %s::text, personal_number, full_name,
	(birth_date - '2000-01-01'::date)::text, sex, ethnicity, birth_province, phone, address_line, commune,
	(extract(epoch FROM verified_at) * 1000000)::bigint::text, (extract(epoch FROM updated_at) * 1000000)::bigint::text), 0)::numeric), 0)::text FROM %s`

const (
	hubRecords = `records_bench_citizen`
	hubLive    = hubRecords + ` WHERE NOT _deleted AND NOT _held`
	sourceName = "source"
	hubName    = "hub"
	nativeName = "native"
	nativeSlot = "bench_native"
	wrongOneIn = 500 // rows with a telephone number that breaks a rule: it is landed, and a finding
)

// fill writes the rows of the snapshot. The same numbers give the same rows.
func fill(ctx context.Context, dsn string, rows int64) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, statement := range []string{tableDDL, churnDDL} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("prepare the source: %w", err)
		}
	}
	r := rand.New(rand.NewPCG(214, 1))
	next := int64(0)
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"citizen"}, []string{
		"id", "personal_number", "full_name", "birth_date", "sex", "ethnicity", "birth_province", "phone",
		"address_line", "commune", "verified_at", "updated_at",
	}, pgx.CopyFromFunc(func() ([]any, error) {
		if next == rows {
			return nil, nil
		}
		next++
		return person(r, next), nil
	}))
	if err != nil {
		return fmt.Errorf("fill the source: %w", err)
	}
	_, err = conn.Exec(ctx, "VACUUM (FREEZE, ANALYZE) citizen")
	return err
}

func person(r *rand.Rand, id int64) []any {
	surnames := [...]string{"Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Huỳnh", "Võ", "Đặng", "Bùi", "Đỗ"}
	middles := [...]string{"Văn", "Thị", "Hữu", "Ngọc", "Minh", "Thanh", "Quốc", "Thuỳ", "Đức", "Xuân"}
	given := [...]string{"An", "Bình", "Châu", "Dũng", "Hạnh", "Hương", "Khánh", "Lan", "Nghĩa", "Phượng", "Quỳnh", "Tuấn"}
	streets := [...]string{"đường Trần Hưng Đạo", "đường Nguyễn Thị Minh Khai", "phố Hàng Bài", "đường Cách Mạng Tháng Tám", "đường Lê Lợi"}
	communes := [...]string{"00004", "00008"}
	female := r.IntN(2)
	born := time.Date(1930+r.IntN(95), time.Month(1+r.IntN(12)), 1+r.IntN(28), 0, 0, 0, 0, time.UTC)
	century := 0
	if born.Year() >= 2000 {
		century = 2
	}
	phone := fmt.Sprintf("09%08d", r.IntN(100_000_000))
	if id%wrongOneIn == 7 {
		phone = phone[:8]
	}
	verified := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.Int64N(int64(200 * 24 * time.Hour)))).Truncate(time.Microsecond)
	return []any{
		id,
		fmt.Sprintf("001%d%02d%06d", century+female, born.Year()%100, r.IntN(1_000_000)),
		surnames[r.IntN(len(surnames))] + " " + middles[r.IntN(len(middles))] + " " + given[r.IntN(len(given))],
		born, [...]string{"M", "F"}[female], "01", "001", phone,
		fmt.Sprintf("Số %d, ngõ %d, %s, tổ dân phố số %d, khu phố %d, phường Ba Đình, quận Ba Đình cũ, thành phố Hà Nội, Việt Nam; gửi thư tới hòm thư %07d",
			r.IntN(500), r.IntN(90), streets[r.IntN(len(streets))], r.IntN(60), r.IntN(12), r.IntN(10_000_000)),
		communes[r.IntN(len(communes))], verified, verified,
	}
}

// commit makes and commits one numbered transaction.
type commit func(ctx context.Context, i int64) error

// writer opens a connection that commits durable transactions at the source.
func (s *syncRun) writer(ctx context.Context) (commit, func(), error) {
	conn, err := pgx.Connect(ctx, s.source.DSN(sourceName))
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, i int64) error {
		_, err := conn.Exec(ctx, "SELECT churn_one($1, $2)", i, s.rows)
		return err
	}, func() { _ = conn.Close(ctx) }, nil
}

// churn commits n transactions at the source as fast as they go. Nobody measures the
// writers, so they need not wait for the disk.
func (s *syncRun) churn(ctx context.Context, first, n int64) error {
	return split(first, n, func(first, n int64) error {
		conn, err := pgx.Connect(ctx, s.source.DSN(sourceName))
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(ctx) }()
		if _, err := conn.Exec(ctx, "SET synchronous_commit = off"); err != nil {
			return err
		}
		_, err = conn.Exec(ctx, fmt.Sprintf("CALL churn(%d, %d, %d)", first, n, s.rows))
		return err
	})
}

// split gives each of two writers its part of n transactions.
func split(first, n int64, write func(first, n int64) error) error {
	const writers = 2
	done := make(chan error, writers)
	for w := range int64(writers) {
		from, to := n*w/writers, n*(w+1)/writers
		go func() {
			if from == to {
				done <- nil
				return
			}
			done <- write(first+from, to-from)
		}()
	}
	var failed error
	for range writers {
		if err := <-done; err != nil {
			failed = err
		}
	}
	return failed
}

// pace is a load that was asked for and what became of it.
type pace struct {
	n     int64
	asked int
	took  time.Duration
}

// heldFrom is the part of the rate that must have been reached for the rate to count
// as held.
const heldFrom = 0.98

// into says whether the writers could keep the rate: where they could not, the lag is
// that of a smaller load, on a machine that was full.
func (p pace) into(l *line) {
	l.Asked = float64(p.asked)
	l.Offered = float64(p.n) / p.took.Seconds()
	held := l.Offered >= heldFrom*l.Asked
	l.Held = &held
	if !held {
		l.Note = fmt.Sprintf("the writers could not commit %d transactions a second; the lag is that of the rate offered", p.asked)
	}
}

// paced commits perSecond transactions a second, durable each, for so long.
func paced(ctx context.Context, open func(context.Context) (commit, func(), error), first int64, perSecond int, length time.Duration) (pace, error) {
	const writers = 8
	n := int64(perSecond) * int64(length/time.Second)
	writes := make([]commit, writers)
	for w := range writes {
		write, closing, err := open(ctx)
		if err != nil {
			return pace{}, err
		}
		defer closing()
		writes[w] = write
	}
	start := time.Now()
	done := make(chan error, writers)
	for w, write := range writes {
		go func() {
			done <- func() error {
				for i := int64(w); i < n; i += writers {
					due := start.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
					if err := wait(ctx, time.Until(due)); err != nil {
						return err
					}
					if err := write(ctx, first+i); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	var failed error
	for range writers {
		if err := <-done; err != nil {
			failed = err
		}
	}
	// The last transaction is due a little before the end.
	return pace{n: n, asked: perSecond, took: max(time.Since(start), length)}, failed
}

// wait lets time pass, or ends with ctx.
func wait(ctx context.Context, length time.Duration) error {
	if length <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
