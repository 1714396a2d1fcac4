package push

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

const fuzzRecord = 4096

// read takes a body apart as a request would, and holds the decoder to its limit.
func read(t *testing.T, d decoder) (roots []node, raws []string, err error) {
	t.Helper()
	for range 1000 {
		root, raw, err := d.next()
		if err != nil {
			return roots, raws, err
		}
		if len(raw) > fuzzRecord {
			t.Fatalf("a record of %d bytes passed", len(raw))
		}
		m, bad := messageOf(root, "T")
		if bad == nil {
			if m.ID == "" || m.Version == 0 || !utf8.ValidString(m.ID) || m.Type == "" {
				t.Fatalf("accepted: %+v", m)
			}
			// Whatever is in it, preparing it does not panic.
			s := fuzzType()
			_, _ = prepare(&m, s, raw)
		} else if words(bad.code).status == 500 || strings.ContainsAny(bad.field, "<>\"\x00") {
			t.Fatalf("refused with %q at %q", bad.code, bad.field)
		}
		roots, raws = append(roots, *root), append(raws, string(raw))
	}
	return roots, raws, errors.New("endless")
}

func fuzzType() *recordType {
	return newRecordType(1, Schema{Type: "T", Key: "IdBanGhi", Fields: []Field{
		{Name: "A", Format: String}, {Name: "B", Format: Int}, {Name: "C", Parent: "O", Format: Double}, {Name: "D", Format: Object}, {Name: "E", Format: DateTime},
	}})
}

func fuzzMessage(id, value string, version int64) node {
	text := func(name, value string) node { return node{name: name, kind: textNode, text: value} }
	return node{kind: objectNode, members: []node{
		{name: "NguonDuLieu", kind: objectNode, members: []node{text("MaLoaiDuLieu", "T")}},
		{name: "DuLieuTiepNhan", kind: objectNode, members: []node{
			text("IdBanGhi", id), text("A", value), {name: "D", kind: objectNode, members: []node{text("x", value), text("y", id)}},
		}},
		{name: "TrangThaiDuLieu", kind: objectNode, members: []node{
			text("SuKien", "UPDATE"), text("PhienBan", fmt.Sprint(version)), text("ThoiGianCapNhat", "2026-11-23T08:30:00"),
		}},
	}}
}

func appendXML(b *strings.Builder, n *node) {
	b.WriteString("<" + n.name + ">")
	if n.kind == objectNode {
		for i := range n.members {
			appendXML(b, &n.members[i])
		}
	} else if err := xml.EscapeText(b, []byte(n.text)); err != nil {
		panic(err)
	}
	b.WriteString("</" + n.name + ">")
}

var nodes = cmp.AllowUnexported(node{})

// FuzzJSON: what is written is read back, alone and in a list, and no input breaks the decoder.
func FuzzJSON(f *testing.F) {
	f.Add("1", "Nguyễn", int64(1), []byte(`{"totalRecords":1,"data":[{"a":[1,{}]}]}`))
	f.Add("\u2028", "\"\\\t\u0001", int64(-1), []byte(`[{"Root":{"DuLieuTiepNhan":{"PhanPhoi":[{"MaKiemTra":{"GiaTri":"\ud83d\ude00"}}]}}},`))
	f.Add("", "\x00", int64(0), []byte("\ufeff{\"data\":[1,null,\"x\"],\"totalRecords\":3}"))
	f.Fuzz(func(t *testing.T, id, value string, version int64, raw []byte) {
		_, _, err := read(t, newJSONDecoder(bytes.NewReader(raw), fuzzRecord))
		if err == nil {
			t.Fatal("no end")
		}
		if !utf8.ValidString(id) || !utf8.ValidString(value) || len(id)+len(value) > 200 {
			return
		}
		root := fuzzMessage(id, value, version)
		encoded := string(root.appendJSON(nil))
		for body, count := range map[string]int{
			encoded: 1, "[" + encoded + "," + encoded + "]": 2, `{"data":[` + encoded + `],"totalRecords":1}`: 1, " {\"Root\":" + encoded + "}\n": 1,
		} {
			roots, _, err := read(t, newJSONDecoder(strings.NewReader(body), fuzzRecord))
			if !errors.Is(err, io.EOF) || len(roots) != count {
				t.Fatalf("%d records, %v in %q", len(roots), err, body)
			}
			got := roots[count-1]
			if len(got.members) == 1 {
				got = got.members[0]
				got.name = ""
			}
			if diff := cmp.Diff(root, got, nodes); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// FuzzXML is the same for XML.
func FuzzXML(f *testing.F) {
	f.Add("1", "Nguyễn", int64(1), []byte(`<DanhSach><Root/></DanhSach>`))
	f.Add("\r\n", "]]>&<", int64(-1), []byte(`<?xml version="1.0"?><Root><DuLieuTiepNhan><PhanPhoi><Id>1</Id></PhanPhoi></DuLieuTiepNhan></Root>`))
	f.Add("", "\t", int64(0), []byte("<!DOCTYPE a [<!ENTITY b \"c\">]><Root>&b;</Root>"))
	f.Fuzz(func(t *testing.T, id, value string, version int64, raw []byte) {
		d := newXMLDecoder(bytes.NewReader(raw), fuzzRecord)
		if _, _, err := read(t, d); err == nil {
			t.Fatal("no end")
		}
		if cap(d.in.held) > 4*fuzzRecord {
			t.Fatalf("%d bytes are held", cap(d.in.held))
		}
		if !xmlText(id) || !xmlText(value) || len(id)+len(value) > 100 {
			return
		}
		root := fuzzMessage(id, value, version)
		root.name = "Root"
		var b strings.Builder
		appendXML(&b, &root)
		encoded := b.String()
		for body, count := range map[string]int{
			encoded: 1, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DanhSach>" + encoded + "\n<!-- x -->" + encoded + "</DanhSach>": 2,
		} {
			roots, raws, err := read(t, newXMLDecoder(strings.NewReader(body), fuzzRecord))
			if !errors.Is(err, io.EOF) || len(roots) != count {
				t.Fatalf("%d records, %v in %q", len(roots), err, body)
			}
			if diff := cmp.Diff(root, roots[count-1], nodes); diff != "" {
				t.Fatal(diff)
			}
			if raws[count-1] != encoded {
				t.Fatalf("bytes %q, want %q", raws[count-1], encoded)
			}
		}
	})
}

// xmlText reports whether XML can carry a text at all.
func xmlText(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || r == 0xfffe || r == 0xffff || r < 0x20 && r != '\t' && r != '\n' && r != '\r' {
			return false
		}
	}
	return utf8.ValidString(s)
}

// TestDecoders_Bounded: a batch of many records needs no more memory than one, and one record
// without an end stops at the limit.
func TestDecoders_Bounded(t *testing.T) {
	record := string(fuzzMessageJSON())
	xmlRecord := func() string {
		root := fuzzMessage("1", "x", 1)
		root.name = "Root"
		var b strings.Builder
		appendXML(&b, &root)
		return b.String()
	}()
	const count = 100_000
	for name, make := range map[string]func(body io.Reader) decoder{
		"json": func(body io.Reader) decoder { return newJSONDecoder(body, fuzzRecord) },
		"xml":  func(body io.Reader) decoder { return newXMLDecoder(body, fuzzRecord) },
	} {
		t.Run(name, func(t *testing.T) {
			begin, one, between, end := "[", record, ",", "]"
			if name == "xml" {
				begin, one, between, end = "<DanhSach>", xmlRecord, "\n", "</DanhSach>"
			}
			d := make(io.MultiReader(strings.NewReader(begin), &repeated{text: one + between, left: count - 1}, strings.NewReader(one+end)))
			for n := range count {
				if _, raw, err := d.next(); err != nil || string(raw) != one {
					t.Fatalf("record %d: %v %q", n, err, raw)
				}
			}
			if _, _, err := d.next(); !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			switch d := d.(type) {
			case *jsonDecoder:
				if cap(d.raw) > 4*fuzzRecord {
					t.Errorf("%d bytes are held", cap(d.raw))
				}
			case *xmlDecoder:
				if cap(d.in.held) > 4*fuzzRecord {
					t.Errorf("%d bytes are held", cap(d.in.held))
				}
			}
			// One that never ends.
			endless := &repeated{text: "xxxxxxxxxxxxxxxx", left: 1 << 40}
			start := `[{"a":"`
			if name == "xml" {
				start = "<DanhSach><Root><a>"
			}
			if _, _, err := make(io.MultiReader(strings.NewReader(start), endless)).next(); !errors.Is(err, errRecord) {
				t.Errorf("endless record: %v", err)
			}
			if taken := 1<<40 - endless.left; taken > 2*readAhead/16 {
				t.Errorf("%d bytes were read of an endless record", taken*16)
			}
		})
	}
}

func fuzzMessageJSON() []byte {
	root := fuzzMessage("1", "x", 1)
	return root.appendJSON(nil)
}

// repeated is a text many times over.
type repeated struct {
	text string
	left int
	rest string
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.rest == "" {
		if r.left == 0 {
			return 0, io.EOF
		}
		r.left--
		r.rest = r.text
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// FuzzSheet: no workbook breaks the import.
func FuzzSheet(f *testing.F) {
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		schema, problems, err := ImportSchema(bytes.NewReader(raw), "T")
		if err == nil && len(problems) == 0 && schema.check() != nil {
			t.Error("an import without problems that cannot be declared")
		}
	})
}
