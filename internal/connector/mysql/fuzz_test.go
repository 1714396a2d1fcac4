package mysql

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

func FuzzToken(f *testing.F) {
	f.Add("binlog.000003 4567 123456 1700000000 7 1700000001 0-1-77")
	f.Add(" 0 5 0 1 0 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7")
	f.Add("t%C3%AAn+l%E1%BA%A1.1 4 5 6 7 8  X%27666f6f%27%2CX%27%27%2C1 binlog.000001 99")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := parseToken(text)
		if err != nil {
			if lienthong.ErrorCode(err) != "mysql.position" {
				t.Fatal(err)
			}
			return
		}
		if again := token.write(); again != text {
			t.Fatalf("%q was read and written as %q", text, again)
		}
	})
}

func FuzzGTIDs(f *testing.F) {
	f.Add("0-1-77,5-2-1")
	f.Add("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7:tag:3")
	f.Fuzz(func(t *testing.T, text string) {
		g, ok := parseGTIDs(text)
		if !ok {
			return
		}
		written := g.String()
		again, ok := parseGTIDs(written)
		if !ok || again.String() != written {
			t.Fatalf("%q is written as %q, and that as %q", text, written, again.String())
		}
	})
}

func FuzzChunk(f *testing.F) {
	f.Add(`{"from":["1","a"],"to":["2","b"]}`)
	f.Add(`{}`)
	columns := []*column{{codec: codecInteger}, {codec: codecText}, {codec: codecBinary}}
	for i := range columns {
		columns[i].Name = "c`" + string(rune('a'+i))
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseChunk(connector.Chunk(text), len(columns))
		if err != nil {
			return
		}
		if p.chunk() != connector.Chunk(text) {
			t.Fatalf("%q became %q", text, p.chunk())
		}
		where, ok := p.where(columns)
		if !ok {
			return
		}
		// Whatever the text holds, it can be nothing but a value in the statement.
		r := recogniser{lexer: lexer{rest: []byte(where)}}
		for r.step(); r.at.kind != 0; r.step() {
			switch {
			case r.at.kind == 'n' && strings.HasPrefix(r.at.text, "c`"), r.at.kind == 't', strings.ContainsRune("()=<>-.", rune(r.at.kind)):
			case r.is("WHERE", "OR", "AND", "_utf8mb4"), strings.Trim(r.at.text, "0123456789") == "":
			default:
				t.Fatalf("%q: %s", r.at.text, where)
			}
		}
	})
}

func FuzzRecognise(f *testing.F) {
	for _, text := range []string{"ALTER TABLE a RENAME TO b", "/*!50000 DROP */ TABLE `a", "XA END X''", "create table t select 'a\\'", "'", "/*", "TRUNCATE"} {
		f.Add([]byte(text), uint64(0))
	}
	f.Fuzz(func(t *testing.T, text []byte, modes uint64) {
		st := recognise(text, modes)
		if st.verb == verbRename && len(st.tables) != len(st.to) {
			t.Fatalf("%q: %d tables, %d names", text, len(st.tables), len(st.to))
		}
		// Quoting a name hides nothing from us.
		if st.verb == verbTruncate && modes == 0 {
			var names []string
			for _, name := range st.tables {
				full := quote(name.name)
				if name.schema != "" {
					full = quote(name.schema) + "." + full
				}
				names = append(names, full)
			}
			again := recognise([]byte("TRUNCATE TABLE "+strings.Join(names, ",")), 0)
			if len(again.tables) != len(st.tables) {
				t.Fatalf("%q: %+v, then %+v", text, st.tables, again.tables)
			}
			for i := range st.tables {
				if again.tables[i] != st.tables[i] {
					t.Fatalf("%q: %+v, then %+v", text, st.tables, again.tables)
				}
			}
		}
		mentions(text, modes, func(tableName) bool { return false })
	})
}

// FuzzEvents: no event, however damaged, is more than an error.
func FuzzEvents(f *testing.F) {
	table, _ := hex.DecodeString("120000000000010002743100016100020f030228000100")
	f.Add(byte(eventTableMap), table, []byte{1, 2, 3})
	f.Add(byte(eventWriteV1), []byte{18, 0, 0, 0, 0, 0, 1, 0, 1, 0xff, 0xfe, 1, 0, 0, 0}, []byte{0})
	f.Add(byte(eventQuery), []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00t1\x00DROP TABLE a"), []byte{})
	sets := newCharsets(nil)
	f.Fuzz(func(t *testing.T, kind byte, body, image []byte) {
		if q, ok := parseQuery(body, nil); ok {
			recognise(q.text, q.modes)
		}
		parseRowsHead(kind, body)
		previousGTIDs(body)
		tm, ok := parseTableMap(body, kind%2 == 0)
		if !ok || len(tm.columns) > 64 {
			return
		}
		tm.named = true
		l, err := tm.layoutIn(nil, sets)
		if err != nil {
			return
		}
		has := bytes.Repeat([]byte{0xff}, (len(l.columns)+7)/8)
		for i := len(l.columns); i < 8*len(has); i++ {
			has[i/8] &^= 1 << (i % 8)
		}
		var d images
		values, keys := make([]lienthong.Value, len(l.Columns)), make([]lienthong.Value, len(l.Columns))
		rest, whole := d.read(l, image, has, all, values)
		again, only := d.read(l, image, has, keyOnly, keys)
		if whole != only || len(rest) != len(again) {
			t.Fatalf("reading all leaves %d (%t), only the key %d (%t)", len(rest), whole, len(again), only)
		}
	})
}

func FuzzGeometry(f *testing.F) {
	point, _ := hex.DecodeString("000000000101000000000000000000f03f0000000000000040")
	f.Add(point)
	f.Fuzz(func(t *testing.T, src []byte) {
		var a arena
		if v := geometryValue(src, &a); v.State == lienthong.Malformed && !bytes.Equal(v.Bytes, src) {
			t.Fatalf("%x became %x", src, v.Bytes)
		}
	})
}

func FuzzLabels(f *testing.F) {
	f.Add("a", "b'c,)")
	f.Fuzz(func(t *testing.T, one, two string) {
		quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
		labels, ok := parseLabels("enum(" + quoted(one) + "," + quoted(two) + ")")
		if !ok || len(labels) != 2 || labels[0] != one || labels[1] != two {
			t.Fatalf("%q, %q became %q", one, two, labels)
		}
	})
}

func FuzzSpell(f *testing.F) {
	f.Add("a`b")
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" || strings.ContainsRune(name, 0) {
			return
		}
		r := recogniser{lexer: lexer{rest: []byte(spell("x") + "." + spell(name))}}
		r.step()
		if got, ok := r.table(); !ok || got.schema != "x" || got.name != name {
			t.Fatalf("%q is spelled %s and read as %+v", name, spell(name), got)
		}
	})
}
