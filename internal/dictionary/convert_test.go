package dictionary

import (
	"math/big"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
)

func TestLayoutsThatCannotBeToldAreRefused(t *testing.T) {
	for _, text := range []string{"", "02/01", "2/1/06", "02 Jan 2006", "Monday 2006-01-02", "2006-01-02 03:04 PM", "2006-01-02 15:04 MST", "2006-01-02-0700", "2006-01-02 04:05", "2006-01-02 2006", "2006-01-02 Z07:00", "2006-01-02 ngày", "2006-01-02 7"} {
		if l, err := compileLayout(text); err == nil {
			t.Errorf("%q became %+v", text, l)
		}
	}
}

func layoutsForFuzz() []string {
	return append(append(defaultLayouts(lienthong.Timestamp), defaultLayouts(lienthong.Date)...),
		"02/01/2006", "2/1/2006", "02-01-2006 15:04:05", "20060102", "2006-01-02T15:04:05.999999Z07:00", "15:04 02/01/2006", "2006-01-02 15:04:05-07:00")
}

// Package time is the reference: what we accept it accepts too, and it means the same
// instant; and what it writes we read.
func FuzzLayouts(f *testing.F) {
	for _, s := range []string{"15/03/1990", "1990-03-15", "2026-01-02T03:04:05.123456+07:00", "29/02/2000", "31/4/2001", "0000-01-01", "2006-01-02T24:00:00Z", "9999-12-31T23:59:59.9999999Z", "19900315"} {
		f.Add(s, int64(1_760_000_000_123_456))
	}
	f.Fuzz(func(t *testing.T, s string, at int64) {
		for _, text := range layoutsForFuzz() {
			l, err := compileLayout(text)
			if err != nil {
				t.Fatal(err)
			}
			zone := time.FixedZone("ICT", 7*3600)
			if m, ok := l.parse([]byte(s)); ok {
				offset := m.offset
				if !m.hasZone {
					offset = vietnamOffset
				}
				want, err := time.ParseInLocation(text, s, zone)
				if err != nil || want.UnixMicro() != m.days*day+m.inDay-offset {
					t.Fatalf("%q by %q: %+v, package time: %v %v", s, text, m, want, err)
				}
			}
			moment := time.UnixMicro(at % 250_000_000_000_000_000).In(zone)
			if moment.Year() < 1 || moment.Year() > 9999 {
				continue
			}
			m, ok := l.parse([]byte(moment.Format(text)))
			if !ok {
				t.Fatalf("%q by %q is not read", moment.Format(text), text)
			}
			if y, mo, d := moment.Date(); m.days != civilDays(int64(y), int64(mo), int64(d)) {
				t.Fatalf("%q by %q is day %d", moment.Format(text), text, m.days)
			}
		}
	})
}

// The canonical text of a value is read back as the same value.
func FuzzCanonicalTextRoundTrip(f *testing.F) {
	f.Add(int64(0))
	f.Add(int64(-1))
	f.Add(int64(1_760_000_000_123_456))
	f.Fuzz(func(t *testing.T, n int64) {
		layouts := map[lienthong.Kind][]layout{}
		for _, kind := range []lienthong.Kind{lienthong.Date, lienthong.Timestamp} {
			for _, text := range defaultLayouts(kind) {
				l, err := compileLayout(text)
				if err != nil {
					t.Fatal(err)
				}
				layouts[kind] = append(layouts[kind], l)
			}
		}
		const from, to = -62135596800, 253402300799 // years 1 to 9999 in seconds
		for _, kind := range []lienthong.Kind{lienthong.Integer, lienthong.Boolean, lienthong.Date, lienthong.Timestamp} {
			v := lienthong.Value{State: lienthong.Present, Int: n}
			switch kind {
			case lienthong.Boolean:
				v.Int &= 1
			case lienthong.Date:
				v.Int = n % (to / 86400)
				if v.Int < from/86400 {
					continue
				}
			case lienthong.Timestamp:
				v.Int = n % (to * second)
				if v.Int < from*second {
					continue
				}
			default:
			}
			text := v.AppendText(nil, kind)
			got, _, ok := parseText(text, kind, layouts[kind], vietnamOffset, nil)
			if !ok || got.Int != v.Int {
				t.Fatalf("%v %d is written %q and read %d %v", kind, v.Int, text, got.Int, ok)
			}
		}
	})
}

func FuzzDecimal(f *testing.F) {
	for _, s := range []string{"12.50", "-0", "+.5", "5.", "", "-", ".", "1e5", "00012", "NaN", "0x1", "1_0", "--1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := appendDecimal(nil, []byte(s))
		if !ok {
			if len(got) != 0 {
				t.Fatalf("%q left %q", s, got)
			}
			return
		}
		value, valid := new(big.Rat).SetString(s)
		canonical, again := new(big.Rat).SetString(string(got))
		if !valid || !again || value.Cmp(canonical) != 0 {
			t.Fatalf("%q became %q", s, got)
		}
		twice, ok := appendDecimal(nil, got)
		if !ok || string(twice) != string(got) {
			t.Fatalf("%q is not canonical: %q", got, twice)
		}
		if n, fits := parseInteger([]byte(s)); fits && value.Cmp(new(big.Rat).SetInt64(n)) != 0 {
			t.Fatalf("%q is not %d", s, n)
		}
	})
}

func TestCommaDecimals(t *testing.T) {
	tests := []struct {
		in, want string
		ok       bool
	}{
		{"1.234.567,89", "1234567.89", true},
		{"12,5", "12.5", true},
		{"-1.000", "-1000", true},
		{"1234,5", "1234.5", true},
		{"1234.567", "", false},
		{"1.2", "", false},
		{"1,", "", false},
		{",5", "", false},
		{"1,2,3", "", false},
		{"a,5", "", false},
		{".123", "", false},
	}
	for _, tt := range tests {
		got, ok := appendFromComma(nil, []byte(tt.in))
		if ok != tt.ok || ok && string(got) != tt.want {
			t.Errorf("%q: %q %v, want %q %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

func TestCivilDays(t *testing.T) {
	for at := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2200; at = at.AddDate(0, 0, 13) {
		if got := civilDays(int64(at.Year()), int64(at.Month()), int64(at.Day())); got != floorDiv(at.Unix(), 86400) {
			t.Fatalf("%s is day %d", at.Format(time.DateOnly), got)
		}
	}
}
