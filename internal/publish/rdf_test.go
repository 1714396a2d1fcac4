package publish

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// rdfWork is what tools/rdf/check.mjs is asked.
type rdfWork struct {
	Documents []rdfDocument `json:"documents"`
	Shapes    string        `json:"shapes"`
	Schemas   []schemaWork  `json:"schemas"`
}

type rdfDocument struct {
	Name   string `json:"name"`
	Format string `json:"format"`
	File   string `json:"file"`
	SHACL  bool   `json:"shacl"`
}

type schemaWork struct {
	File      string   `json:"file"`
	Resources []string `json:"resources"`
	Records   string   `json:"records"`
}

type rdfAnswer struct {
	Documents []struct {
		Name, Error, NQuads string
		Violations          []string
	} `json:"documents"`
	Schemas []struct {
		Error string
		Valid []bool
	} `json:"schemas"`
}

// libraries installs the packages of tools/rdf once into the user's cache, exactly as its lock says.
func libraries(t testing.TB) (node, dir string) {
	t.Helper()
	node, err := exec.LookPath("node")
	needTool(t, "node", err == nil)
	npm, err := exec.LookPath("npm")
	needTool(t, "npm", err == nil)
	source, err := filepath.Abs("../../tools/rdf")
	if err != nil {
		t.Fatal(err)
	}
	lock, err := os.ReadFile(filepath.Join(source, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	sum := sha256.Sum256(lock)
	dir = filepath.Join(cache, "lienthong-rdf-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(filepath.Join(dir, "done")); err != nil {
		// Another run may be doing the same: each installs beside the place and moves it there.
		if err := os.MkdirAll(cache, 0o750); err != nil {
			t.Fatal(err)
		}
		work, err := os.MkdirTemp(cache, "lienthong-rdf-new-")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"package.json", "package-lock.json"} {
			data, err := os.ReadFile(filepath.Join(source, name))
			if err == nil {
				err = os.WriteFile(filepath.Join(work, name), data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		install := exec.CommandContext(t.Context(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		install.Dir = work
		if out, err := install.CombinedOutput(); err != nil {
			_ = os.RemoveAll(work)
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
		if err := os.WriteFile(filepath.Join(work, "done"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(work, dir); err != nil {
			_ = os.RemoveAll(work)
			if _, there := os.Stat(filepath.Join(dir, "done")); there != nil {
				t.Fatal(err)
			}
		}
	}
	script, err := os.ReadFile(filepath.Join(source, "check.mjs"))
	if err == nil {
		err = os.WriteFile(filepath.Join(t.TempDir(), "check.mjs"), script, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return node, dir
}

// ask runs the independent libraries over files.
func ask(t testing.TB, work rdfWork) rdfAnswer {
	t.Helper()
	node, dir := libraries(t)
	script, err := os.ReadFile("../../tools/rdf/check.mjs")
	if err != nil {
		t.Fatal(err)
	}
	// Packages are found beside the script.
	file, err := os.CreateTemp(dir, "check-*.mjs")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(file.Name())
	if _, err := file.Write(script); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(work)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), node, file.Name())
	command.Stdin = bytes.NewReader(input)
	var problems bytes.Buffer
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, problems.String())
	}
	var answer rdfAnswer
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return answer
}

// file writes a document into a folder of the test.
func file(t testing.TB, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// both forms of a graph, for the libraries.
func forms(t testing.TB, dir, name string, g *graph, shacl bool) []rdfDocument {
	t.Helper()
	turtle := written(t, func(b *bytes.Buffer) error { return writeTurtle(b, g) })
	jsonLD := written(t, func(b *bytes.Buffer) error { return writeJSONLD(b, g) })
	return []rdfDocument{
		{name + ".ttl", "turtle", file(t, dir, name+".ttl", turtle), shacl},
		{name + ".jsonld", "jsonld", file(t, dir, name+".jsonld", jsonLD), false},
	}
}

// statements counts what a graph says.
func (g *graph) statements() int {
	n := 0
	for _, r := range g.resources {
		n += len(r.types)
		for _, s := range r.statements {
			n += len(s.objects)
		}
	}
	return n
}

var nastyTexts = []string{
	`"`, `\`, `"""`, "\n", "\r\n", "\t", "\x00", "\x01", "\x7f", "\u0085", "\u2028", "\u200b", "\ufeff", "\ufffe", "😀", "Nguyễn Văn Ẩn", `\u0041`, "@vi", "^^xsd:int", "<http://a>", ".", ";", "# x", "{}", "a\\", "' ''",
}

// Both writers say the same, and an independent library reads back exactly the texts that were written.
func TestRDF_WritersSayTheSame(t *testing.T) {
	g := &graph{}
	for i, value := range nastyTexts {
		r := g.about(testBase+"/x/"+itoa(i)+value, "skos:Concept")
		r.add("skos:prefLabel", text(value, "vi"))
		r.add("skos:note", text(value, ""), typed(value, "xsd:string"))
		r.add("dct:relation", link("https://example.org/"+value))
	}
	dir := t.TempDir()
	answer := ask(t, rdfWork{Documents: forms(t, dir, "nasty", g, false)})
	for _, d := range answer.Documents {
		if d.Error != "" {
			t.Fatalf("%s: %s", d.Name, d.Error)
		}
	}
	if answer.Documents[0].NQuads != answer.Documents[1].NQuads {
		t.Errorf("Turtle and JSON-LD differ\n%s\n%s", answer.Documents[0].NQuads, answer.Documents[1].NQuads)
	}
	for _, value := range nastyTexts {
		// N-Quads in canonical form escape only what must be.
		canonical := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\x00", `\u0000`, "\x01", `\u0001`, "\x7f", `\u007F`, "\ufffe", `\uFFFE`).Replace(value)
		if !strings.Contains(answer.Documents[0].NQuads, `"`+canonical+`"@vi`) {
			t.Errorf("%q was not read back", value)
		}
	}
}

func TestDictionarySKOS_IsRDF(t *testing.T) {
	e := testExports(t)
	g := e.dictionaryGraph()
	if len(g.resources) < 1000 {
		t.Fatalf("%d resources", len(g.resources))
	}
	// 00004 was Phường Trúc Bạch and is Phường Ba Đình: two concepts, each with its period.
	var names []string
	for _, r := range g.resources {
		if strings.HasPrefix(r.iri, testBase+"/dictionary/codes/commune/00004") {
			names = append(names, r.objects("skos:prefLabel")[0].literal)
		}
	}
	if !slices.Equal(names, []string{"Phường Trúc Bạch", "Phường Ba Đình"}) {
		t.Errorf("00004 is %q", names)
	}
	dir := t.TempDir()
	answer := ask(t, rdfWork{Documents: forms(t, dir, "dictionary", smaller(g), false)})
	for _, d := range answer.Documents {
		if d.Error != "" {
			t.Fatalf("%s: %s", d.Name, d.Error)
		}
	}
	if answer.Documents[0].NQuads != answer.Documents[1].NQuads {
		t.Error("Turtle and JSON-LD differ")
	}
	if got, want := strings.Count(answer.Documents[0].NQuads, "\n"), smaller(g).statements(); got != want {
		t.Errorf("%d statements were read, %d written", got, want)
	}
	element, _ := e.config.Dictionary.Element("person.full_name")
	for _, want := range []string{
		`<` + testBase + `/dictionary/elements/person.full_name> <http://www.w3.org/2004/02/skos/core#prefLabel> "` + element.NameVi + `"@vi .`,
		`<` + testBase + `/dictionary/elements/person.full_name> <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <http://www.w3.org/2004/02/skos/core#Concept> .`,
		`<` + testBase + `/dictionary/codes/sex/F> <http://www.w3.org/2004/02/skos/core#inScheme> <` + testBase + `/dictionary/codes/sex> .`,
	} {
		if !strings.Contains(answer.Documents[0].NQuads, want) {
			t.Errorf("missing: %s", want)
		}
	}
	for _, alignment := range element.Alignments {
		if !strings.Contains(answer.Documents[0].NQuads, "<"+alignment.IRI()+">") {
			t.Errorf("no mapping to %s", alignment.IRI())
		}
	}
}

// smaller leaves out most codes of the lists and most elements, which are all alike.
func smaller(g *graph) *graph {
	made := &graph{}
	kept := map[string]int{}
	for _, r := range g.resources {
		family, name, _ := strings.Cut(strings.TrimPrefix(r.iri, testBase+"/dictionary/"), "/")
		if family == "codes" {
			list, _, isCode := strings.Cut(name, "/")
			family = list + strconv.FormatBool(isCode)
		}
		if kept[family]++; (kept[family] > 3 && family != "elements") || kept[family]%4 != 0 && family == "elements" && !strings.HasSuffix(r.iri, "/person.full_name") {
			continue
		}
		made.resources = append(made.resources, r)
	}
	return made
}

// An independent validator, with the regular expressions of ECMA-262, judges as the checks do.
func TestJSONSchema_MeansTheSameElsewhere(t *testing.T) {
	e := testExports(t)
	g := newGenerator(t, 3)
	dir := t.TempDir()
	var resources []string
	for _, codes := range e.config.Dictionary.CodeLists() {
		data := written(t, func(b *bytes.Buffer) error { return e.CodeListSchema(b, codes.ID) })
		resources = append(resources, file(t, dir, "codes-"+codes.ID+".json", data))
	}
	c := schemaCompiler(t, e)
	var work rdfWork
	var want [][]bool
	var records [][]string
	for number := range 12 {
		d := g.dataset(number)
		schema, data := compiled(t, c, e, d)
		check := checker(t, e.config.Dictionary, said(d, notExpressed(t, data)))
		var lines []string
		var valid []bool
		for range 60 {
			record := jsonRecord(t, d.Shape, g.nearlyGood(check, d.Shape))
			lines = append(lines, string(record))
			valid = append(valid, schema.Validate(decoded(t, record)) == nil)
		}
		want, records = append(want, valid), append(records, lines)
		name := itoa(number)
		work.Schemas = append(work.Schemas, schemaWork{
			file(t, dir, "schema-"+name+".json", data), resources,
			file(t, dir, "records-"+name+".json", []byte(strings.Join(lines, "\n"))),
		})
	}
	answer := ask(t, work)
	for i, got := range answer.Schemas {
		if got.Error != "" {
			t.Fatalf("schema %d: %s", i, got.Error)
		}
		for j := range want[i] {
			if got.Valid[j] != want[i][j] {
				t.Errorf("schema %d: valid %v elsewhere, %v here: %s", i, got.Valid[j], want[i][j], records[i][j])
			}
		}
	}
}

// Whatever the text, the literal ends where it should and gives the text back.
func FuzzTurtleText(f *testing.F) {
	for _, value := range nastyTexts {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !utf8.ValidString(value) {
			return
		}
		back, ok := readTurtleText(turtleText(value))
		if !ok || back != value {
			t.Errorf("%q became %s, read as %q", value, turtleText(value), back)
		}
		iri := safeIRI("https://example.org/" + value)
		if strings.ContainsAny(iri, "<>\"{}|^`\\ \n\r\t") || strings.ContainsFunc(iri, func(r rune) bool { return r <= ' ' }) {
			t.Errorf("%q became %q", value, iri)
		}
	})
}

// readTurtleText reads STRING_LITERAL_QUOTE of Turtle 1.1, and nothing behind it.
func readTurtleText(quoted string) (string, bool) {
	rest, ok := strings.CutPrefix(quoted, `"`)
	if !ok {
		return "", false
	}
	var b strings.Builder
	for rest != "" {
		r, size := utf8.DecodeRuneInString(rest)
		rest = rest[size:]
		switch r {
		case '"':
			return b.String(), rest == ""
		case '\n', '\r':
			return "", false
		case '\\':
			if rest == "" {
				return "", false
			}
			c := rest[0]
			rest = rest[1:]
			if c == 'u' {
				if len(rest) < 4 {
					return "", false
				}
				code, err := hex.DecodeString(rest[:4])
				if err != nil {
					return "", false
				}
				b.WriteRune(rune(code[0])<<8 | rune(code[1]))
				rest = rest[4:]
				continue
			}
			at := strings.IndexByte(`tbnrf"'\`, c)
			if at < 0 {
				return "", false
			}
			b.WriteByte("\t\b\n\r\f\"'\\"[at])
		default:
			b.WriteRune(r)
		}
	}
	return "", false
}
