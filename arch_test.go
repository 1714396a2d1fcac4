package lienthong

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// packages lists every package in reading order, which is also the dependency
// order: a package may import only packages on lines above its own, and packages
// on one line never import each other. The second field names the third-party
// modules that the line owns; a package that no line owns it may not import.
//
// This list is policy. Do not reorder it to make a build pass.
var packages = []struct{ names, modules string }{
	{".", ""},
	{"internal/durable", "golang.org/x/sys"},
	{"internal/telemetry", "go.opentelemetry.io/otel github.com/prometheus/client_golang"},
	{"internal/dictionary", "go.yaml.in/yaml/v3 golang.org/x/text"},
	{"internal/trust", "github.com/go-jose/go-jose/v4"},
	{"internal/audit", "github.com/transparency-dev/tessera golang.org/x/mod k8s.io/klog/v2"},
	{"internal/batch", "github.com/klauspost/compress"},
	{"internal/bundle", ""},
	{"internal/quality", "cel.dev/cel-go golang.org/x/text"},
	{"internal/pgtest", "github.com/jackc/pgx/v5"},
	{"internal/mariadbtest", "github.com/go-sql-driver/mysql"},
	{"internal/connector", ""},
	{"internal/connector/conntest", "github.com/google/go-cmp pgregory.net/rapid"},
	{"internal/connector/postgres", "github.com/jackc/pgx/v5 github.com/jackc/pglogrepl"},
	{"internal/connector/mysql", "github.com/go-mysql-org/go-mysql github.com/go-sql-driver/mysql"},
	{"internal/connector/sqlite", "modernc.org/sqlite"},
	{"internal/connector/file", "modernc.org/sqlite github.com/xuri/excelize/v2 golang.org/x/text"},
	{"internal/connector/push", "modernc.org/sqlite github.com/xuri/excelize/v2"},
	{"internal/connector/polling", "modernc.org/sqlite"},
	{"internal/connector/sqlserver", "github.com/microsoft/go-mssqldb"},
	{"internal/connector/oracle", "github.com/sijms/go-ora/v2"},
	{"internal/capture", "golang.org/x/sync"},
	{"internal/landing", ""},
	{"internal/calendar", ""},
	{"internal/address", "golang.org/x/text"},
	{"internal/linkage", "golang.org/x/text"},
	{"internal/linkage/truth", ""},
	{"internal/stewardship", ""},
	{"internal/catalog", "golang.org/x/text"},
	{"internal/ticket", "github.com/xuri/excelize/v2 golang.org/x/text"},
	{"internal/assessment", "go.yaml.in/yaml/v3 github.com/go-pdf/fpdf golang.org/x/text"},
	{"internal/publish", "go.yaml.in/yaml/v3 github.com/xuri/excelize/v2"},
	{"internal/bus", "github.com/nats-io/nats-server/v2 github.com/nats-io/nats.go golang.org/x/sys"},
	{"internal/store", "modernc.org/sqlite github.com/jackc/pgx/v5"},
	{"internal/feed", "github.com/parquet-go/parquet-go"},
	{"internal/api", ""},
	{"internal/console", ""},
	{"internal/demo", "modernc.org/sqlite github.com/jackc/pgx/v5 github.com/xuri/excelize/v2"},
	{"internal/app", "go.yaml.in/yaml/v3 golang.org/x/sync"},
	{"internal/sim", ""},
	{"cmd/lienthong", "github.com/spf13/cobra"},
	{"bench", "github.com/jackc/pgx/v5"},
}

const module = "github.com/lienthong/lienthong"

func TestArchitecture_ImportsFollowReadingOrder(t *testing.T) {
	line := map[string]int{}
	allowed := map[string][]string{}
	for i, p := range packages {
		for _, name := range strings.Fields(p.names) {
			path := strings.TrimSuffix(module+"/"+name, "/.")
			line[path], allowed[path] = i, strings.Fields(p.modules)
		}
	}
	out, err := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,GoFiles", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
			GoFiles    []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) == 0 {
			continue
		}
		own, listed := line[p.ImportPath]
		if !listed {
			t.Errorf("%s is not in the list of packages: say where it belongs", p.ImportPath)
			continue
		}
		for _, path := range p.Imports {
			other, ours := line[path]
			switch {
			case ours && other >= own:
				t.Errorf("%s imports %s, which stands on its own line or below", p.ImportPath, path)
			case ours, !strings.Contains(strings.Split(path, "/")[0], "."):
			case strings.HasPrefix(path, module):
				t.Errorf("%s imports %s, which is not listed", p.ImportPath, path)
			case !slices.ContainsFunc(allowed[p.ImportPath], func(m string) bool {
				return path == m || strings.HasPrefix(path, m+"/")
			}):
				t.Errorf("%s imports %s, which its line does not own", p.ImportPath, path)
			}
		}
	}
}
