package app

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// place is somewhere that people other than the owner can look.
type place struct {
	name  string
	texts [][]byte
}

func (p *place) size() (n int) {
	for _, text := range p.texts {
		n += len(text)
	}
	return n
}

// searchEverywhere looks for every personal value that the country has or ever had in
// everything that leaves the owner's hands other than as records: logs, metrics,
// audit logs, the hub's ledger and reports, and console pages.
func searchEverywhere(ctx context.Context, t *testing.T, d *Demo, log *synced) {
	t.Helper()
	values := newNeedles(d.World.PersonalValues, publicWords(d))
	t.Logf("%d personal values", values.count)
	if values.count < testPersons {
		t.Fatalf("%d personal values of %d persons: the search would prove nothing", values.count, testPersons)
	}
	// The search must know the values as the platform writes them: records hold them.
	if found := values.in(records(ctx, t, d)); len(found) < testPersons {
		t.Fatalf("the records hold %d of the values: the search does not know their form", len(found))
	}
	example := anyPersonal(d)
	places := []place{
		{"console pages", pages(ctx, t, d)}, // first: it waits for what the others must hold
		{"logs", [][]byte{log.Bytes()}},
		{"metrics", metrics(t, d)},
		{"audit logs", auditFiles(t, d)},
		{"ledger, reports and reconciliations of the hub", controlTables(ctx, t, d)},
	}
	for _, p := range places {
		t.Run(p.name, func(t *testing.T) {
			t.Logf("%d texts, %d bytes", len(p.texts), p.size())
			for i, text := range p.texts {
				if len(text) == 0 {
					t.Errorf("text %d is empty", i)
				}
				for _, value := range values.in(text) {
					at := strings.Index(string(text), value)
					t.Errorf("text %d holds a personal value: …%s", i, around(text, at, len(value)))
				}
			}
			// The same search finds a value that somebody lets slip.
			last := p.texts[len(p.texts)-1]
			slipped := fmt.Appendf(slices.Clone(last), "\nlevel=WARN msg=\"row refused\" value=%q\n", example)
			if found := values.in(slipped); !slices.Contains(found, example) {
				t.Errorf("a planted value goes unnoticed")
			}
		})
	}
}

// around shows where a value stands, with the value itself masked: the test's own
// output is a log too.
func around(text []byte, at, length int) string {
	if at < 0 {
		return "(in another form)"
	}
	from, to := max(at-80, 0), min(at+length+40, len(text))
	return string(text[from:at]) + strings.Repeat("*", length) + string(text[at+length:to])
}

func anyPersonal(d *Demo) (example string) {
	for value := range d.World.PersonalValues {
		if len(value) == 12 {
			example = value
			break
		}
	}
	return example
}

// publicWords are the names that everybody may read: organisations, databases,
// places, titles of datasets and elements.
func publicWords(d *Demo) string {
	var b strings.Builder
	m := d.Hub.monitor
	add := func(words ...string) {
		for _, word := range words {
			b.WriteString(word)
			b.WriteByte('\n')
		}
	}
	for _, x := range append(m.words.Databases(), m.databases...) {
		add(x.NameVi, x.NameEn, x.LegalBasis)
	}
	for _, x := range m.words.Members() {
		add(x.NameVi, x.NameEn)
	}
	for _, x := range m.words.Provinces(m.now()) {
		add(x.NameVi, x.NameEn)
	}
	for _, x := range m.words.Elements() {
		add(x.NameVi, x.NameEn)
	}
	for _, x := range m.definitions {
		add(x.TitleVi, x.TitleEn)
	}
	return b.String()
}

// records is the text of what landed, for the positive control.
func records(ctx context.Context, t *testing.T, d *Demo) []byte {
	t.Helper()
	var b strings.Builder
	for _, table := range []string{"records_population_person", "records_civil_status_birth"} {
		b.Write(dump(ctx, t, d, table))
	}
	return []byte(b.String())
}

// controlTables is everything that the hub's store keeps besides records.
func controlTables(ctx context.Context, t *testing.T, d *Demo) [][]byte {
	t.Helper()
	var texts [][]byte
	for _, table := range []string{"ledger", "reports", "reconciliations", "shapes", "streams", "nodes", "datasets"} {
		texts = append(texts, dump(ctx, t, d, table))
	}
	if !strings.Contains(string(texts[1]), `"sample":"`) {
		t.Error("no report carries a finding with a sample: the search proves nothing about them")
	}
	if !strings.Contains(string(texts[0]), `"findings"`) {
		t.Error("the ledger keeps no report")
	}
	return texts
}

// dump reads a whole table as text, past the platform's own code.
func dump(ctx context.Context, t *testing.T, d *Demo, table string) []byte {
	t.Helper()
	driver, dsn := "sqlite", "file:"+filepath.Join(d.Hub.config.Data, "records", "store.db")+"?mode=ro"
	if d.Hub.config.Postgres != "" {
		driver, dsn = "pgx", string(d.Hub.config.Postgres)
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(ctx, "SELECT * FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	values := make([]sql.NullString, len(columns))
	targets := make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	var b strings.Builder
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			b.WriteString(v.String)
			b.WriteByte('\t')
		}
		b.WriteByte('\n')
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return []byte(b.String())
}

// metrics are the pages that Prometheus and load balancers read.
func metrics(t *testing.T, d *Demo) [][]byte {
	t.Helper()
	var texts [][]byte
	read := func(h http.Handler, must string) {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		if !strings.Contains(answer.Body.String(), must) {
			t.Errorf("a page says nothing of %s", must)
		}
		texts = append(texts, answer.Body.Bytes())
	}
	read(d.Hub.meters.Handler(), "lienthong_rows_landed")
	read(d.Hub.health.Handler(), "status")
	for _, n := range d.Nodes {
		read(n.meters.Handler(), "lienthong_rows_read")
		read(n.health.Handler(), "status")
	}
	return texts
}

// auditFiles are the raw bytes of every file of every audit log.
func auditFiles(t *testing.T, d *Demo) [][]byte {
	t.Helper()
	var texts [][]byte
	leaves := false
	for _, data := range d.datas {
		err := filepath.WalkDir(filepath.Join(data, "audit"), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			leaves = leaves || strings.Contains(string(text), `"kind":"batch.landed"`)
			if len(text) > 0 {
				texts = append(texts, text)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !leaves {
		t.Error("no leaf can be read in the audit logs")
	}
	return texts
}

// pages signs in as a person does and reads every page in both languages.
func pages(ctx context.Context, t *testing.T, d *Demo) [][]byte {
	t.Helper()
	client, base := signedIn(ctx, t, d.Hub)
	// Reports go every few seconds, and a page shows them with the next look at the store.
	for !bytes.Contains(read(ctx, t, client, base+"/database/population"), []byte("***")) {
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			t.Fatalf("no page shows a masked sample, so the search would prove nothing about them: %v", err)
		}
	}
	databases := map[string]bool{}
	for _, definition := range d.Hub.monitor.definitions {
		databases[definition.Dataset.Database] = true
	}
	var texts [][]byte
	for _, language := range []string{"vi", "en"} {
		read(ctx, t, client, base+"/?lang="+language)
		texts = append(texts, asRead(read(ctx, t, client, base+"/")))
		for code := range databases {
			texts = append(texts, asRead(read(ctx, t, client, base+"/database/"+code)))
		}
	}
	return texts
}

// signedIn follows a one-time link of the administrator.
func signedIn(ctx context.Context, t *testing.T, h *Hub) (*http.Client, string) {
	t.Helper()
	link, err := h.SignInURL(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return followLink(ctx, t, h, link), h.ConsoleURL()
}

func read(ctx context.Context, t *testing.T, client *http.Client, address string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v", request.URL.Path, answer.StatusCode, err)
	}
	return body
}
