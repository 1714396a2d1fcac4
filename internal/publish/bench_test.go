package publish

import (
	"bytes"
	"strings"
	"testing"
)

// BenchmarkFormats writes everything that is published once.
func BenchmarkFormats(b *testing.B) {
	e := testExports(b)
	def := definitions(b)[0]
	d, err := DatasetOf(e.config.Dictionary, def, 1)
	if err != nil {
		b.Fatal(err)
	}
	about := &Subject{Dataset: d, CodeList: "commune", Definition: def, Register: country(b, e)}
	for _, f := range Formats() {
		b.Run(strings.Trim(f.Path, "/"), func(b *testing.B) {
			var size int
			for b.Loop() {
				var out bytes.Buffer
				if err := f.Write(e, &out, about); err != nil {
					b.Fatal(err)
				}
				size = out.Len()
			}
			b.ReportMetric(float64(size), "bytes")
		})
	}
}

// BenchmarkReadContract reads a foreign contract, proposals for its properties included.
func BenchmarkReadContract(b *testing.B) {
	e := testExports(b)
	for b.Loop() {
		if _, err := e.ReadContract("x.yaml", []byte(foreignContract)); err != nil {
			b.Fatal(err)
		}
	}
}
