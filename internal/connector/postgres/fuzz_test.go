package postgres

import (
	"context"
	"encoding/binary"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// nothing is a Sink that accepts all.
type nothing struct{ rows int }

func (*nothing) Begin(lienthong.Position, int64) error { return nil }
func (n *nothing) Change(*connector.Row) error         { n.rows++; return nil }
func (*nothing) Truncate(int, int64, int64) error      { return nil }
func (*nothing) Schema(int, connector.Table) error     { return nil }
func (*nothing) Commit(lienthong.Position) error       { return nil }
func (*nothing) Idle() error                           { return nil }

func twelve() *table {
	t := &table{oid: 7, name: "t", schema: "public"}
	t.Name = "public.t"
	for i, c := range []codec{
		codecInt8, codecText, codecText, codecText, codecDate, codecText,
		codecTimestamp, codecBool, codecNumeric, codecInt4, codecText, codecTimestamp,
	} {
		t.columns = append(t.columns, column{codec: c, oid: uint32(i + 1)})
		t.Columns = append(t.Columns, lienthong.Column{Name: "c" + strconv.Itoa(i), Kind: c.kind()})
	}
	t.Key = []int{0}
	return t
}

// insertMessage is an Insert of a row of twelve().
func insertMessage(id int64) []byte {
	m := binary.BigEndian.AppendUint32([]byte{'I'}, 7)
	m = append(m, 'N', 0, 12)
	field := func(b ...byte) {
		m = append(m, 'b')
		m = binary.BigEndian.AppendUint32(m, uint32(len(b)))
		m = append(m, b...)
	}
	eight := func(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
	field(eight(id)...)
	field([]byte("001085000123")...)
	field([]byte("Nguyễn Thị Ánh Nguyệt")...)
	field([]byte("nữ")...)
	field(0, 0, 0x10, 0x20)
	field([]byte("xã Tân Thuận, tỉnh Cà Mau")...)
	field(eight(700_000_000_000_000)...)
	field(1)
	field(0, 2, 0, 0, 0, 0, 0, 2, 0, 12, 0x13, 0x88)
	field(0, 0, 0, 9)
	m = append(m, 'n')
	field(eight(700_000_000_000_001)...)
	return m
}

func testReader(t *table, sink connector.Sink) *reader {
	r := newReader(&Source{sequenceLimit: sequenceLimit}, []*table{t}, lienthong.Position{}, sink)
	r.relations[t.oid] = &relation{index: 0, table: t}
	return r
}

func FuzzLogical(f *testing.F) {
	f.Add(insertMessage(1))
	f.Add([]byte("D\x00\x00\x00\x07K\x00\x01b\x00\x00\x00\x01x"))
	f.Add([]byte("T\x00\x00\x00\x01\x00\x00\x00\x00\x07"))
	f.Add(append([]byte("B"), make([]byte, 20)...))
	f.Fuzz(func(t *testing.T, m []byte) {
		if len(m) > 0 && m[0] == 'R' {
			return // asks the catalog
		}
		sink := &nothing{}
		r := testReader(twelve(), sink)
		r.commit, r.inside = 1<<20, true
		if len(m) > 0 && m[0] == 'U' {
			return // a change of key with a large value asks the table
		}
		_ = r.logical(context.Background(), m, nil)
	})
}

// FuzzCopy: however the server cuts the copy into messages, the same rows arrive.
func FuzzCopy(f *testing.F) {
	stream := append([]byte(copyHeader), make([]byte, 8)...)
	for range 3 {
		stream = append(stream, 0, 2, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 2, 'x', 'y')
		stream = append(stream, 0, 2, 255, 255, 255, 255, 0, 0, 0, 0)
	}
	stream = append(stream, 255, 255)
	f.Add(stream, uint8(3))
	f.Add(stream[:20], uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		read := func(step int) (rows []string, failed bool) {
			p := &copyParser{columns: []column{{codec: codecInt4}, {codec: codecText}}}
			p.row.Values = make([]lienthong.Value, 2)
			p.deliver = func(row *connector.Row) error {
				rows = append(rows, show(&row.Values[0], lienthong.Integer)+"|"+show(&row.Values[1], lienthong.Text))
				return nil
			}
			for at := 0; at < len(data); at += step {
				if _, err := p.Write(data[at:min(at+step, len(data))]); err != nil {
					return rows, true
				}
			}
			return rows, !p.ended || len(p.carry) > 0
		}
		whole, failedWhole := read(max(len(data), 1))
		cut, failedCut := read(int(step)%7 + 1)
		if diff := cmp.Diff(whole, cut); diff != "" || failedWhole != failedCut {
			t.Fatalf("%v %v %s", failedWhole, failedCut, diff)
		}
	})
}

// FuzzChunk: a chunk that is read is written the same.
func FuzzChunk(f *testing.F) {
	f.Add("16384.16390.0.100")
	f.Add("1.2.3.0")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseChunk(connector.Chunk(text))
		if err == nil && string(p.chunk()) != text {
			t.Fatalf("%q became %q", text, p.chunk())
		}
	})
}

// FuzzTextDate: the text parser agrees with the standard library on every date
// that both can write.
func FuzzTextDate(f *testing.F) {
	f.Add(int64(0))
	f.Add(int64(951_782_400_000_000))
	f.Add(int64(-62_135_596_800_000_000))
	f.Fuzz(func(t *testing.T, micros int64) {
		if at := time.UnixMicro(micros).UTC(); at.Year() >= 1 && at.Year() <= 9999 {
			var v lienthong.Value
			decodeText(codecTimestamp, []byte(at.Format("2006-01-02 15:04:05.999999+00")), &v, nil)
			if v.State != lienthong.Present || v.Int != micros {
				t.Fatalf("%s: %+v, want %d", at, v, micros)
			}
			decodeText(codecDate, []byte(at.Format(time.DateOnly)), &v, nil)
			if want := at.Truncate(24*time.Hour).Unix() / 86400; v.State != lienthong.Present || v.Int != want {
				t.Fatalf("%s: %+v, want %d", at, v, want)
			}
		}
	})
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"1", "-9223372036854775808", "9223372036854775808", "2024-02-29", "0044-03-15 BC", "t", `\x0f`, "1e5", "2024-01-01 00:00:00+07:30:01 BC"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		for c := codecText; c <= codecForeign; c++ {
			var v lienthong.Value
			decodeText(c, src, &v, nil)
			if c.kind() == lienthong.Integer && v.State == lienthong.Present {
				if n, err := strconv.ParseInt(string(src), 10, 64); err != nil || n != v.Int {
					t.Fatalf("%q became %d", src, v.Int)
				}
			}
			_, _ = decodeBinary(c, src, &v, nil)
		}
	})
}

// BenchmarkChange is the cost of one captured row of 12 columns, without the
// network.
func BenchmarkChange(b *testing.B) {
	sink := &nothing{}
	r := testReader(twelve(), sink)
	m := insertMessage(1)
	begin := append([]byte{'B'}, make([]byte, 20)...)
	commit := append([]byte{'C'}, make([]byte, 25)...)
	b.ReportAllocs()
	for b.Loop() {
		_ = r.logical(context.Background(), begin, nil)
		if err := r.logical(context.Background(), m, nil); err != nil {
			b.Fatal(err)
		}
		_ = r.logical(context.Background(), commit, nil)
	}
}

// TestChangeCostsNoAllocation holds the hot path to its promise.
func TestChangeCostsNoAllocation(t *testing.T) {
	sink := &nothing{}
	r := testReader(twelve(), sink)
	m := insertMessage(1)
	r.sequence.begin()
	if n := testing.AllocsPerRun(100, func() { _ = r.logical(context.Background(), m, nil) }); n > 0 || sink.rows < 100 {
		t.Errorf("%v allocations a row, %d rows", n, sink.rows)
	}
}
