package main

import (
	"archive/zip"
	"bufio"
	"context"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lienthong/lienthong/internal/pgtest"
)

// filesRun imports files from a drop folder, beside COPY of the same rows.
type filesRun struct {
	platform
	copied *pgx.Conn // a database with the rows as COPY brought them
	suffix string
	count  int64
}

// rowsOfOneFile keeps a file below the connector's bound of 256 MiB. Each file has a
// folder of its own, as each commune has.
const rowsOfOneFile = 250_000

// moment is how the files spell a time.
const moment = "2006-01-02T15:04:05.000000Z"

func columns() []string {
	return []string{
		"id", "personal_number", "full_name", "birth_date", "sex", "ethnicity", "birth_province", "phone",
		"address_line", "commune", "verified_at", "updated_at",
	}
}

// runFiles measures CSV files and workbooks.
func runFiles(ctx context.Context, config syncConfig, target *pgtest.Server) error {
	reference := &line{}
	for _, kind := range []struct {
		suffix string
		rows   int64
	}{{"csv", config.fileRows}, {"xlsx", max(config.fileRows/5, 1)}} {
		s := &filesRun{
			platform: platform{
				syncConfig: config, name: kind.suffix, target: target,
				definition: strings.Replace(definition, "table: public.citizen", "table: citizen", 1),
			},
			suffix: kind.suffix, count: kind.rows,
		}
		if err := s.run(ctx, reference); err != nil {
			return err
		}
	}
	return nil
}

// run measures one kind of file. The first is CSV; what COPY of it costs becomes the
// reference of both.
func (s *filesRun) run(ctx context.Context, reference *line) (err error) {
	defer s.disconnect(ctx)
	if err := s.prepare(ctx); err != nil {
		return err
	}
	root := filepath.Join(s.home(), "drop")
	s.from = fmt.Sprintf(`files:
      root: %s
      tables:
        - {name: citizen, pattern: '*/citizen*.%s', key: [id], columns: [%s]}`, root, s.suffix, strings.Join(columns(), ", "))
	s.say("writing %d rows as %s", s.count, s.suffix)
	paths, err := s.write(root)
	if err != nil {
		return err
	}
	name := "copied_" + s.suffix
	if err := createDatabase(ctx, s.target, name); err != nil {
		return err
	}
	if s.copied, err = pgx.Connect(ctx, s.target.DSN(name)); err != nil {
		return err
	}
	defer func() { _ = s.copied.Close(ctx) }()
	if _, err := s.copied.Exec(ctx, tableDDL); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	native, err := s.copyAll(ctx)
	if err != nil {
		return err
	}
	s.say("import of %s through the platform", s.suffix)
	ours, err := s.firstLoad(ctx, load{
		name: "file_import_" + s.suffix, phase: "file-" + s.suffix, rows: s.count, parties: s.parties()[:1], settle: s.settle,
		ended: func(ctx context.Context) error { return gone(ctx, paths) },
	})
	if err != nil {
		return err
	}
	if ours.Equal, err = s.equal(ctx); err != nil {
		return err
	}
	if s.suffix == "csv" {
		*reference = *native
		return s.printPair(ours, reference)
	}
	ours.Ratio = ours.CPU / reference.CPU
	return s.out.print(ours)
}

func (s *filesRun) settle(ctx context.Context) error {
	_, err := s.copied.Exec(ctx, "CHECKPOINT")
	return err
}

// parties are the target cluster and this program, which sends what COPY loads.
func (s *filesRun) parties() []party {
	return []party{clusterParty("target_pg", s.target), {"client", func() (time.Duration, error) { return cpuOf(os.Getpid()) }}}
}

// copyAll loads the same rows with COPY, as CSV.
func (s *filesRun) copyAll(ctx context.Context) (*line, error) {
	paths, err := s.plain()
	if err != nil {
		return nil, err
	}
	s.say("COPY of the same rows")
	from, err := usageOf(s.parties())
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		if err := s.copyOne(ctx, path); err != nil {
			return nil, err
		}
	}
	to, err := usageOf(s.parties())
	if err != nil {
		return nil, err
	}
	return lineOf("native_copy_csv", s.count, from, to), nil
}

func (s *filesRun) copyOne(ctx context.Context, path string) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = s.copied.PgConn().CopyFrom(ctx, file, "COPY citizen FROM STDIN (FORMAT csv, HEADER)")
	return err
}

func (s *filesRun) equal(ctx context.Context) (*bool, error) {
	var counts [2]int64
	var hashes [2]string
	if err := s.copied.QueryRow(ctx, fmt.Sprintf(contentHash, "id", "citizen")).Scan(&counts[0], &hashes[0]); err != nil {
		return nil, err
	}
	if err := s.hubDB.QueryRow(ctx, fmt.Sprintf(contentHash, "_id", hubLive)).Scan(&counts[1], &hashes[1]); err != nil {
		return nil, err
	}
	same := counts[0] == counts[1] && counts[0] == s.count && hashes[0] == hashes[1]
	if !same {
		s.say("NOT EQUAL: %d rows in the files, %d landed", counts[0], counts[1])
	}
	return &same, nil
}

// gone waits until every file has been answered and moved away.
func gone(ctx context.Context, paths []string) error {
	deadline := time.Now().Add(patience)
	for {
		left := 0
		for _, path := range paths {
			if _, err := os.Stat(path); err == nil {
				left++
			}
		}
		switch {
		case left == 0:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%d files were not answered within %s", left, patience)
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// write puts the files into the drop folder, as if they had been there for an hour.
func (s *filesRun) write(root string) ([]string, error) {
	var paths []string
	err := s.each(func(part int, next func() []any) error {
		path := filepath.Join(root, fmt.Sprintf("xa-%d", part), "citizen."+s.suffix)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		writer := writeCSV
		if s.suffix == "xlsx" {
			writer = writeWorkbook
		}
		if err := writeFile(path, next, writer); err != nil {
			return err
		}
		paths = append(paths, path)
		before := time.Now().Add(-time.Hour)
		return os.Chtimes(path, before, before)
	})
	return paths, err
}

// plain are the rows as CSV: those of the drop folder, or for workbooks written beside.
func (s *filesRun) plain() ([]string, error) {
	var paths []string
	err := s.each(func(part int, next func() []any) error {
		path := filepath.Join(s.home(), "drop", fmt.Sprintf("xa-%d", part), "citizen.csv")
		if s.suffix != "csv" {
			path = filepath.Join(s.home(), fmt.Sprintf("plain-%d.csv", part))
			if err := writeFile(path, next, writeCSV); err != nil {
				return err
			}
		}
		paths = append(paths, path)
		return nil
	})
	return paths, err
}

// each divides the rows among files. The same numbers give the same rows.
func (s *filesRun) each(one func(part int, next func() []any) error) error {
	for part, first := 1, int64(1); first <= s.count; part, first = part+1, first+rowsOfOneFile {
		r, id, last := rand.New(rand.NewPCG(214, uint64(part))), first, min(first+rowsOfOneFile-1, s.count)
		err := one(part, func() []any {
			if id > last {
				return nil
			}
			id++
			return person(r, id-1)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path string, next func() []any, write func(io.Writer, func() []any) error) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriterSize(file, 1<<20)
	return errors.Join(write(out, next), out.Flush())
}

func writeCSV(out io.Writer, next func() []any) error {
	w := csv.NewWriter(out)
	record := columns()
	_ = w.Write(record)
	for row := next(); row != nil; row = next() {
		for i, v := range row {
			record[i] = text(i, v, moment)
		}
		_ = w.Write(record) // a failure stays, Error has it
	}
	w.Flush()
	return w.Error()
}

// The parts of a workbook that are the same in each.
const (
	sheetSpace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
	relSpace   = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
)

func workbookParts() [][2]string {
	relations := "http://schemas.openxmlformats.org/package/2006/relationships"
	types := "application/vnd.openxmlformats-officedocument.spreadsheetml."
	return [][2]string{
		{"[Content_Types].xml", `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
			`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>` +
			`<Override PartName="/xl/workbook.xml" ContentType="` + types + `sheet.main+xml"/>` +
			`<Override PartName="/xl/worksheets/sheet1.xml" ContentType="` + types + `worksheet+xml"/>` +
			`<Override PartName="/xl/sharedStrings.xml" ContentType="` + types + `sharedStrings+xml"/></Types>`},
		{"_rels/.rels", `<Relationships xmlns="` + relations + `"><Relationship Id="rId1" Type="` + relSpace + `/officeDocument" Target="xl/workbook.xml"/></Relationships>`},
		{"xl/workbook.xml", `<workbook xmlns="` + sheetSpace + `" xmlns:r="` + relSpace + `"><sheets><sheet name="citizen" sheetId="1" r:id="rId1"/></sheets></workbook>`},
		{"xl/_rels/workbook.xml.rels", `<Relationships xmlns="` + relations + `">` +
			`<Relationship Id="rId1" Type="` + relSpace + `/worksheet" Target="worksheets/sheet1.xml"/>` +
			`<Relationship Id="rId2" Type="` + relSpace + `/sharedStrings" Target="sharedStrings.xml"/></Relationships>`},
	}
}

// writeWorkbook writes a workbook as office programs do: texts once each in a table,
// cells that point to them.
func writeWorkbook(out io.Writer, next func() []any) error {
	archive := zip.NewWriter(out)
	for _, part := range workbookParts() {
		w, err := archive.Create(part[0])
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, xml.Header+part[1]); err != nil {
			return err
		}
	}
	w, err := archive.Create("xl/worksheets/sheet1.xml")
	if err != nil {
		return err
	}
	sheet := bufio.NewWriterSize(w, 1<<16)
	_, _ = sheet.WriteString(xml.Header + `<worksheet xmlns="` + sheetSpace + `"><sheetData>`)
	places, texts := map[string]int{}, []string(nil)
	row := 0
	add := func(cells []string) {
		row++
		_, _ = fmt.Fprintf(sheet, `<row r="%d">`, row)
		for i, cell := range cells {
			place, known := places[cell]
			if !known {
				place = len(texts)
				places[cell], texts = place, append(texts, cell)
			}
			_, _ = fmt.Fprintf(sheet, `<c r="%c%d" t="s"><v>%d</v></c>`, 'A'+i, row, place)
		}
		_, _ = sheet.WriteString(`</row>`)
	}
	record := columns()
	add(record)
	for values := next(); values != nil; values = next() {
		for i, v := range values {
			record[i] = text(i, v, moment)
		}
		add(record)
	}
	_, _ = sheet.WriteString(`</sheetData></worksheet>`)
	if err := sheet.Flush(); err != nil {
		return err
	}
	if w, err = archive.Create("xl/sharedStrings.xml"); err != nil {
		return err
	}
	shared := bufio.NewWriterSize(w, 1<<16)
	_, _ = shared.WriteString(xml.Header + `<sst xmlns="` + sheetSpace + `" uniqueCount="` + strconv.Itoa(len(texts)) + `">`)
	for _, t := range texts {
		_, _ = shared.WriteString(`<si><t>`)
		_ = xml.EscapeText(shared, []byte(t))
		_, _ = shared.WriteString(`</t></si>`)
	}
	_, _ = shared.WriteString(`</sst>`)
	return errors.Join(shared.Flush(), archive.Close())
}
