package batch

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"

	"github.com/lienthong/lienthong"
)

var update = flag.Bool("update", false, "write golden files")

func personShape() *lienthong.Shape {
	field := func(name string, kind lienthong.Kind) lienthong.Field {
		return lienthong.Field{Element: "person." + name, Name: name, Kind: kind, Mapped: true}
	}
	return &lienthong.Shape{
		Dataset: lienthong.DatasetID{Database: "population", Name: "person"}, Version: 3,
		Fields: []lienthong.Field{
			field("key", lienthong.Text), field("full_name", lienthong.Text), field("birth_date", lienthong.Date),
			field("children", lienthong.Integer), field("income", lienthong.Decimal), field("height", lienthong.Real),
			field("alive", lienthong.Boolean), field("verified_at", lienthong.Timestamp), field("photo", lienthong.Binary),
		},
		Identity: []int{0},
	}
}

func randomChange(r *rand.Rand, shape *lienthong.Shape) lienthong.Change {
	c := lienthong.Change{
		Op: lienthong.Op(r.IntN(3)), ID: fmt.Appendf(nil, "DC%d", r.Uint64()), Version: int64(r.Uint64()), At: r.Int64(),
	}
	for _, f := range shape.Fields {
		v := lienthong.Value{State: lienthong.State(r.IntN(3))}
		if v.State == lienthong.Present {
			switch f.Kind {
			case lienthong.Text:
				v.Bytes = []byte("Nguyễn Thị Minh Khai"[:r.IntN(3)*3])
			case lienthong.Decimal:
				v.Bytes = fmt.Appendf(nil, "%d.%02d", r.Int32(), r.IntN(100))
			case lienthong.Binary:
				v.Bytes = make([]byte, r.IntN(40))
			case lienthong.Integer, lienthong.Timestamp:
				v.Int = int64(r.Uint64())
			case lienthong.Date:
				v.Int = int64(int32(r.Uint32()))
			case lienthong.Real:
				v.Int = int64(math.Float64bits(r.NormFloat64()))
			case lienthong.Boolean:
				v.Int = int64(r.IntN(2))
			}
		}
		c.Values = append(c.Values, v)
	}
	return c
}

// An independent library reads what we write, and writes it back to the same
// bytes.
func TestRow_IndependentAvroLibraryAgrees(t *testing.T) {
	shape := personShape()
	schema, err := avro.Parse(string(Schema(shape)))
	if err != nil {
		t.Fatalf("schema does not parse: %v\n%s", err, Schema(shape))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		c := randomChange(r, shape)
		ours := AppendRow(nil, shape, &c)
		var decoded any
		rest, err := schema.Decode(ours, &decoded)
		if err != nil || len(rest) != 0 {
			t.Fatalf("decode: %v, %d bytes left", err, len(rest))
		}
		theirs, err := schema.Encode(decoded)
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		if !bytes.Equal(ours, theirs) {
			t.Fatalf("the library writes\n%x, we\n%x", theirs, ours)
		}
		row, ok := decoded.(map[string]any)
		if !ok || row["id"] != string(c.ID) || row["version"] != c.Version {
			t.Fatalf("decoded %v from %+v", decoded, c)
		}
		if name := c.Values[1]; name.State == lienthong.Present && row["f_full_name"] != string(name.Bytes) {
			t.Fatalf("full_name = %v, want %s", row["f_full_name"], name.Bytes)
		}
		if name := c.Values[1]; name.State == lienthong.Null && row["f_full_name"] != nil {
			t.Fatalf("full_name = %v, want null", row["f_full_name"])
		}
	}
}

func TestRows_RoundTrip(t *testing.T) {
	shape := personShape()
	r := rand.New(rand.NewPCG(3, 4))
	var want []lienthong.Change
	var raw []byte
	for range 200 {
		c := randomChange(r, shape)
		want = append(want, c)
		raw = AppendRow(raw, shape, &c)
	}
	rows := NewRows(shape, raw, len(want))
	for i := range want {
		var got lienthong.Change
		if !rows.Next(&got) {
			t.Fatalf("row %d: %v", i, rows.Err())
		}
		for j := range got.Values { // an empty value has no bytes either way
			if len(got.Values[j].Bytes) == 0 {
				got.Values[j].Bytes, want[i].Values[j].Bytes = nil, nil
			}
		}
		if diff := cmp.Diff(want[i], got); diff != "" {
			t.Fatalf("row %d: %s", i, diff)
		}
	}
	var end lienthong.Change
	if rows.Next(&end) || rows.Err() != nil {
		t.Fatalf("after the last row: %v", rows.Err())
	}
}

func TestRows_RefusesCutAndPaddedPayloads(t *testing.T) {
	shape := personShape()
	r := rand.New(rand.NewPCG(5, 6))
	c := randomChange(r, shape)
	raw := AppendRow(nil, shape, &c)
	for cut := range raw {
		if err := readAll(NewRows(shape, raw[:cut], 1)); lienthong.ErrorCode(err) != "batch.rows" {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	if err := readAll(NewRows(shape, append(raw, 0), 1)); lienthong.ErrorCode(err) != "batch.rows" {
		t.Fatalf("padded: %v", err)
	}
}

func readAll(rows *Rows) error {
	var c lienthong.Change
	for rows.Next(&c) {
	}
	return rows.Err()
}

func FuzzRows(f *testing.F) {
	shape := personShape()
	r := rand.New(rand.NewPCG(7, 8))
	for range 5 {
		c := randomChange(r, shape)
		f.Add(AppendRow(nil, shape, &c))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var c lienthong.Change
		rows := NewRows(shape, raw, 1)
		if !rows.Next(&c) {
			return
		}
		again := AppendRow(nil, shape, &c)
		var d lienthong.Change
		second := NewRows(shape, again, 1)
		if !second.Next(&d) {
			t.Fatalf("what was read cannot be read again: %v", second.Err())
		}
		if diff := cmp.Diff(c, d); diff != "" {
			t.Fatal(diff)
		}
	})
}

// key is a signer whose signature is a keyed copy of nothing but its name: the
// cryptography is package trust's.
type key string

func (k key) Sign(payload []byte) (string, error) {
	return string(k) + ":" + hexSum(append([]byte(k), payload...)), nil
}

func (k key) VerifyNode(payload []byte, jws string) (string, error) {
	want, _ := k.Sign(payload)
	if jws != want {
		return "", errors.New("wrong signature")
	}
	return string(k), nil
}

func sealOne(t *testing.T, signer Signer) *Sealed {
	t.Helper()
	sealer, err := NewSealer(signer)
	if err != nil {
		t.Fatal(err)
	}
	shape := personShape()
	c := lienthong.Change{ID: []byte("DC1"), Version: 7, At: 8, Values: make([]lienthong.Value, len(shape.Fields))}
	c.Values[1] = lienthong.Value{State: lienthong.Present, Bytes: []byte("Lê Văn Tám")}
	sealed, err := sealer.Seal(lienthong.BatchHeader{
		Stream: lienthong.Stream{Node: "g01", Dataset: shape.Dataset}, Sequence: 1, Kind: lienthong.ChangesBatch,
		ShapeVersion: 3, Count: 1, Sealed: 1_700_000_000_000_000,
	}, AppendRow(nil, shape, &c))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestOpener_NamesWhatIsWrong(t *testing.T) {
	opener, err := NewOpener(key("g01"))
	if err != nil {
		t.Fatal(err)
	}
	defer opener.Close()
	genuine := sealOne(t, key("g01"))
	if _, err := opener.Verify(genuine.HeaderBytes, genuine.Signature, genuine.Payload); err != nil {
		t.Fatalf("the genuine batch: %v", err)
	}
	stranger := sealOne(t, key("g99"))
	for name, c := range map[string]struct {
		header    []byte
		signature string
		payload   []byte
		code      string
	}{
		"signed by another":      {stranger.HeaderBytes, stranger.Signature, stranger.Payload, "batch.forged"},
		"header changed":         {bytes.Replace(genuine.HeaderBytes, []byte(`"sequence":1`), []byte(`"sequence":2`), 1), genuine.Signature, genuine.Payload, "batch.forged"},
		"payload cut":            {genuine.HeaderBytes, genuine.Signature, genuine.Payload[:len(genuine.Payload)-1], "batch.payload"},
		"payload changed":        {genuine.HeaderBytes, genuine.Signature, append([]byte{1}, genuine.Payload...), "batch.payload"},
		"header not JSON":        {[]byte("{"), genuine.Signature, genuine.Payload, "batch.header"},
		"header spelled anew":    {append([]byte(" "), genuine.HeaderBytes...), genuine.Signature, genuine.Payload, "batch.header"},
		"payload over the limit": {genuine.HeaderBytes, genuine.Signature, make([]byte, MaxPayload+1), "batch.too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := opener.Verify(c.header, c.signature, c.payload)
			if got := lienthong.ErrorCode(err); got != c.code {
				t.Errorf("code %q (%v), want %q", got, err, c.code)
			}
		})
	}
}

// The wire format is a promise to other programs: these files may only change
// with a new version of docs/wire/batch.md.
func TestGolden(t *testing.T) {
	sealed := sealOne(t, key("g01"))
	opener, err := NewOpener(key("g01"))
	if err != nil {
		t.Fatal(err)
	}
	defer opener.Close()
	raw, err := opener.Raw(sealed, nil)
	if err != nil {
		t.Fatal(err)
	}
	var schema bytes.Buffer
	if err := json.Indent(&schema, Schema(personShape()), "", "  "); err != nil {
		t.Fatal(err)
	}
	var id lienthong.Change
	if !NewRows(personShape(), raw, 1).Next(&id) {
		t.Fatal("golden row cannot be read")
	}
	hash := NewHasher(personShape()).Row(id.ID, id.Values)
	for name, got := range map[string]string{
		"schema.json": schema.String() + "\n",
		"header.json": string(sealed.HeaderBytes) + "\n",
		"rows.hex":    hex.EncodeToString(raw) + "\n",
		"rowhash.txt": fmt.Sprintf("bucket %d sum %016x%016x\n", hash.Bucket, hash.Sum[0], hash.Sum[1]),
	} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if name == "header.json" {
			// The compressor may choose other bytes in another version; the rest may not change.
			var a, b map[string]any
			if json.Unmarshal([]byte(got), &a) != nil || json.Unmarshal(want, &b) != nil {
				t.Fatal("header is not JSON")
			}
			delete(a, "payload_sha256")
			delete(b, "payload_sha256")
			if diff := cmp.Diff(b, a); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			continue
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestDigest_FindsExactlyTheBucketsThatDiffer(t *testing.T) {
	shape := personShape()
	hasher := NewHasher(shape)
	r := rand.New(rand.NewPCG(9, 10))
	var a, b Digest
	differ := map[int]bool{}
	for range 3000 {
		c := randomChange(r, shape)
		a.Add(hasher.Row(c.ID, c.Values))
		switch r.IntN(100) {
		case 0: // lost at the other end
			differ[BucketOf(c.ID)] = true
			continue
		case 1: // changed at the other end
			c.Values[3] = lienthong.Value{State: lienthong.Present, Int: r.Int64()}
			differ[BucketOf(c.ID)] = true
		}
		b.Add(hasher.Row(c.ID, c.Values))
	}
	got := a.Differing(&b)
	if len(got) != len(differ) {
		t.Fatalf("%d buckets differ, want %d", len(got), len(differ))
	}
	for _, bucket := range got {
		if !differ[bucket] {
			t.Errorf("bucket %d does not differ", bucket)
		}
	}
	data, err := json.Marshal(&a)
	if err != nil {
		t.Fatal(err)
	}
	var again Digest
	if err := json.Unmarshal(data, &again); err != nil || len(again.Differing(&a)) != 0 || again.Rows != a.Rows {
		t.Fatalf("digest does not survive JSON: %v", err)
	}
}

func BenchmarkSeal5000Rows(b *testing.B) {
	shape := personShape()
	r := rand.New(rand.NewPCG(11, 12))
	sealer, err := NewSealer(key("g01"))
	if err != nil {
		b.Fatal(err)
	}
	changes := make([]lienthong.Change, 5000)
	for i := range changes {
		changes[i] = randomChange(r, shape)
	}
	var raw []byte
	for b.Loop() {
		raw = raw[:0]
		for i := range changes {
			raw = AppendRow(raw, shape, &changes[i])
		}
		if _, err := sealer.Seal(lienthong.BatchHeader{Count: len(changes)}, raw); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/5000, "ns/row")
}
