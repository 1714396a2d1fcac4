package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"time"
)

// checkedAt is the moment that every engine judges the data by.
const checkedAt = "2026-11-23T05:00:00Z"

// people writes a register of persons as CSV: 16 columns, and seeded defects of every kind
// that the rules know. The same seed gives the same bytes.
type people struct {
	random     *rand.Rand
	communes   []string
	today      int64 // day
	surnames   []string
	middles    []string
	given      []string
	streets    []string
	line       []byte
	decomposed []string // names as some systems send them, in NFD
}

func newPeople(seed uint64, communes []string) (*people, error) {
	at, err := time.Parse(time.RFC3339, checkedAt)
	if err != nil {
		return nil, err
	}
	p := &people{
		random: rand.New(rand.NewPCG(seed, 214)), communes: communes, today: at.Unix() / 86400,
		decomposed: []string{"Nguye\u0302\u0303n", "Tra\u0302\u0300n", "Le\u0302", "Pha\u0323m", "Hoa\u0300ng", "Vu\u0303"},
		surnames:   []string{"Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Huỳnh", "Phan", "Vũ", "Võ", "Đặng", "Bùi", "Đỗ", "Hồ", "Ngô", "Dương", "Lý", "Nông", "Thạch"},
		middles:    []string{"Văn", "Thị", "Đức", "Ngọc", "Hữu", "Minh", "Thanh", "Xuân", "Quốc", "Thuỳ", "Kim", "Hồng", "Gia", "Bảo"},
		given:      []string{"An", "Bình", "Cường", "Dũng", "Giang", "Hà", "Hạnh", "Hoà", "Hương", "Khánh", "Lan", "Linh", "Long", "Mai", "Nam", "Nga", "Phúc", "Quân", "Sơn", "Thảo", "Thuỷ", "Trang", "Tuấn", "Vân", "Yến"},
		streets:    []string{"Nguyễn Huệ", "Lê Lợi", "Trần Hưng Đạo", "Hai Bà Trưng", "Lý Thường Kiệt", "Điện Biên Phủ", "Phan Đình Phùng", "Cách Mạng Tháng Tám"},
	}
	return p, nil
}

func peopleHeader() []string {
	return []string{
		"number", "full_name", "birth_date", "sex", "ethnicity", "nationality", "commune", "address",
		"phone", "email", "marital", "father_number", "mother_number", "insurance", "members", "updated_at",
	}
}

// write writes the header and so many rows.
func (p *people) write(out io.Writer, rows int64) error {
	w := bufio.NewWriterSize(out, 1<<20)
	for i, name := range peopleHeader() {
		if i > 0 {
			_ = w.WriteByte(',')
		}
		_, _ = w.WriteString(name)
	}
	_ = w.WriteByte('\n')
	for n := range rows {
		p.line = p.row(p.line[:0], n)
		if _, err := w.Write(p.line); err != nil {
			return err
		}
	}
	return w.Flush()
}

func (p *people) pick(words []string) string { return words[p.random.IntN(len(words))] }

// row appends one person. Each kind of defect hits about one row in fifty to two hundred.
func (p *people) row(b []byte, n int64) []byte {
	r := p.random
	woman := r.IntN(2)
	born := p.today - r.Int64N(90*365)
	birth := time.Unix(born*86400, 0).UTC()
	year := birth.Year()
	defect := r.IntN(40) // half of the rows have none
	is := func(kind int) bool { return defect == kind }

	number := func(sex, year int) {
		b = fmt.Appendf(b, "%03d%d%02d%06d", 1+r.IntN(96), 2*((year-1900)/100)+sex, year%100, r.IntN(1_000_000))
	}
	switch {
	case is(0): // a digit short
		start := len(b)
		number(woman, year)
		b = b[:start+11]
	case is(1): // a letter in it
		start := len(b)
		number(woman, year)
		b[start+7] = 'O'
	case is(2): // of the other sex
		number(1-woman, year)
	case is(3): // of another year
		number(woman, year-1-r.IntN(3))
	case is(4): // no such province
		start := len(b)
		number(woman, year)
		copy(b[start:], "999")
	default:
		number(woman, year)
	}

	b = append(b, ',')
	surname := r.IntN(len(p.surnames))
	switch {
	case is(5): // missing
	case is(6): // one word
		b = append(b, p.pick(p.given)...)
	case is(7): // digits
		b = append(b, p.surnames[surname]+" "+p.pick(p.middles)+" "+strconv.Itoa(r.IntN(100))...)
	case is(8): // decomposed
		b = append(b, p.pick(p.decomposed)+" "+p.pick(p.middles)+" "+p.pick(p.given)...)
	case is(9): // doubled space
		b = append(b, p.surnames[surname]+"  "+p.pick(p.middles)+" "+p.pick(p.given)...)
	case is(10): // space at the end
		b = append(b, p.surnames[surname]+" "+p.pick(p.given)+" "...)
	default:
		b = append(b, p.surnames[surname]+" "+p.pick(p.middles)+" "+p.pick(p.given)...)
	}

	b = append(b, ',')
	switch {
	case is(11):
	case is(12): // no such day, or no day at all
		b = append(b, p.pick([]string{"1990-02-30", "31/12/1990", "1990-13-01", "không rõ"})...)
	case is(13): // too early or too late
		b = append(b, p.pick([]string{"1899-12-31", "1890-05-05", "2026-11-24", "2027-01-01"})...)
	default:
		b = birth.AppendFormat(b, time.DateOnly)
	}

	b = append(b, ',')
	switch {
	case is(14):
		b = append(b, 'X')
	default:
		b = append(b, "MF"[woman])
	}
	b = append(b, ',')
	switch {
	case is(15):
		b = append(b, "99"...)
	case r.IntN(8) > 0:
		b = append(b, "01"...)
	default:
		b = fmt.Appendf(b, "%02d", 1+r.IntN(55))
	}
	b = append(b, ',')
	switch {
	case is(16):
		b = append(b, "Việt Nam"...)
	default:
		b = append(b, "VN"...)
	}
	b = append(b, ',')
	switch {
	case is(17):
		b = append(b, "00000"...)
	default:
		b = append(b, p.pick(p.communes)...)
	}
	b = append(b, ',')
	switch {
	case is(18):
		b = append(b, "Số 1"...)
	case is(19):
		b = append(b, "Số 2  đường "+p.pick(p.streets)...)
	case is(29): // decomposed
		b = append(b, "Số 7 đường Le\u0302 Lơ\u0323i"...)
	case r.IntN(10) == 0: // with a comma, as people write: in quotes
		b = append(b, `"Số `+strconv.Itoa(1+r.IntN(400))+`, đường `+p.pick(p.streets)+`"`...)
	default:
		b = append(b, "Số "+strconv.Itoa(1+r.IntN(400))+" đường "+p.pick(p.streets)...)
	}
	b = append(b, ',')
	switch {
	case is(20):
		b = fmt.Appendf(b, "01%09d", r.IntN(1_000_000_000)) // as before 2018
	case r.IntN(20) == 0:
	default:
		b = fmt.Appendf(b, "0%c%08d", "35789"[r.IntN(5)], r.IntN(100_000_000))
	}
	b = append(b, ',')
	switch {
	case is(21):
		b = append(b, "khong.co.email"...)
	case r.IntN(3) == 0:
	default:
		b = fmt.Appendf(b, "nguoi.dan%d@example.vn", n)
	}
	b = append(b, ',')
	switch {
	case is(22):
		b = append(b, "?"...)
	default:
		b = append(b, p.pick([]string{"single", "married", "widowed", "divorced"})...)
	}
	for kind := 23; kind <= 24; kind++ {
		b = append(b, ',')
		switch {
		case is(kind):
			b = append(b, "chua ro"...)
		case r.IntN(5) == 0:
		default:
			number(kind-23, year-25)
		}
	}
	b = append(b, ',')
	switch {
	case is(25):
		b = fmt.Appendf(b, "%09d", r.IntN(1_000_000_000))
	case r.IntN(6) == 0:
	default:
		b = fmt.Appendf(b, "%010d", r.Int64N(10_000_000_000))
	}
	b = append(b, ',')
	switch {
	case is(26):
		b = append(b, p.pick([]string{"0", "99", "-1"})...)
	default:
		b = strconv.AppendInt(b, int64(1+r.IntN(9)), 10)
	}
	b = append(b, ',')
	updated := p.today*86400_000_000 - r.Int64N(30*86400_000_000) + r.Int64N(4*3600_000_000)
	switch {
	case is(27):
		updated -= 400 * 86400_000_000
	case is(28):
		updated += 60 * 86400_000_000
	}
	b = time.UnixMicro(updated).UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	return append(b, '\n')
}
