package publish

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

const testBase = "https://dulieu.example.gov.vn"

// testNow is a fixed day, so that what is valid does not change with the calendar.
func testNow() time.Time { return time.Date(2026, 11, 23, 3, 30, 0, 0, time.UTC) }

// loaded is the built-in dictionary, which never changes: loading it takes longer than most tests.
var loaded = sync.OnceValues(dictionary.Builtin)

func builtin(t testing.TB) *dictionary.Dictionary {
	t.Helper()
	known, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	return known
}

func testExports(t testing.TB) *Exports {
	t.Helper()
	e, err := New(Config{
		Base: testBase + "/", Dictionary: builtin(t), Now: testNow,
		Publisher: lienthong.Member{Code: "G01", NameVi: "Bộ Công an", NameEn: "Ministry of Public Security"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// definitions are those of the demo's country and of the examples in the handbook.
func definitions(t testing.TB) []*dictionary.Definition {
	t.Helper()
	var all []*dictionary.Definition
	for _, pattern := range []string{"../demo/definitions/*.yaml", "../../docs/examples/datasets/*.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("no definitions in %s: %v", pattern, err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			def, err := dictionary.ParseDefinition(filepath.Base(name), data)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, def)
		}
	}
	return all
}

func datasets(t testing.TB, known *dictionary.Dictionary) []*Dataset {
	t.Helper()
	var all []*Dataset
	for _, def := range definitions(t) {
		d, err := DatasetOf(known, def, 1)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

func written(t testing.TB, write func(*bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// needTool skips where a tool is absent and nobody promised it: in CI it must be there.
func needTool(t testing.TB, what string, found bool) {
	t.Helper()
	if found {
		return
	}
	if ci := os.Getenv("CI"); ci != "" && !strings.EqualFold(ci, "false") {
		t.Fatalf("%s is not installed: tools/packages.sh", what)
	}
	t.Skipf("%s is not installed: tools/packages.sh", what)
}
