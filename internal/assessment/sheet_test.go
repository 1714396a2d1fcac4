package assessment

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/text/unicode/norm"
)

// sheets are the pages that all three forms are tested with.
func sheets(t *testing.T) map[string]*Sheet {
	t.Helper()
	m, d := method(t)
	land, _ := d.Database("land")
	good := fine()
	answeredAll(m, &good)
	hostile := fine()
	hostile.Database.NameVi = norm.NFD.String("CSDL <script>alert(1)</script> & \"đất đai\"\x00\u200b 🇻🇳 \t" + strings.Repeat("x", 300))
	hostile.Database.NameEn = hostile.Database.NameVi
	hostile.Register.People.Owner = "]]></w:t>" + strings.Repeat("Nguyễn ", 60)
	var trend []Snapshot
	for day := int64(10); day > 0; day-- {
		f := fine()
		f.criterion("dung").Value = float64(90 - 5*day)
		trend = append(trend, SnapshotOf(nil, m.Assess(&f, noon-day*microsPerDay)))
	}
	all := map[string]*Sheet{}
	for name, facts := range map[string]Facts{"seed": m.Seed(d, land, noon), "worst": worst(), "good": good, "hostile": hostile} {
		for _, language := range []string{"vi", "en"} {
			all[name+" "+language] = m.NewSheet(m.Assess(&facts, noon), SheetInput{People: facts.Register.People, Trend: trend, Language: language})
		}
	}
	return all
}

func TestSheet_SaysWhatTheAssessmentSays(t *testing.T) {
	for name, s := range sheets(t) {
		checks, items := 0, 0
		for _, section := range s.Checks {
			checks += len(section.Cells)
		}
		for _, section := range s.Items {
			items += len(section.Cells)
		}
		if checks != 27 || items < 35 || len(s.Criteria) != 7 || len(s.Points) != 5 || len(s.People) != 4 || len(s.Advice) > maxAdvice || len(s.Gaps) > maxGaps {
			t.Errorf("%s: %d checks, %d items, %d tiles, %d bars", name, checks, items, len(s.Criteria), len(s.Points))
		}
		if !strings.HasPrefix(name, "good") && len(s.Advice) != maxAdvice {
			t.Errorf("%s: %d recommendations", name, len(s.Advice))
		}
		if !norm.NFC.IsNormalString(s.Name) || strings.ContainsAny(s.Name, "\x00\t") {
			t.Errorf("%s: the name is %q", name, s.Name)
		}
	}
	all := sheets(t)
	if s := all["worst vi"]; s.Score.Band != "Đạt một phần" || len(s.Gates) != 4 || s.Group.ID != 2 || s.Criteria[0].Value != "38 %" || !strings.Contains(strings.Join(s.Notes, "|"), "173/400") {
		t.Errorf("the worst: %+v, gates %q, notes %q", s.Score, s.Gates, s.Notes)
	}
	if s := all["seed en"]; !strings.Contains(strings.Join(s.Notes, "|"), "over 61 million parcels") || s.Criteria[0].Value != "–" || s.Dated != "Dated 23 November 2026, method 1.0" {
		t.Errorf("the seed: notes %q, %q", s.Notes, s.Dated)
	}
	if s := all["good vi"]; s.Score.ID != 4 || !strings.HasPrefix(s.TrendEnd, "+") || s.Line() == "" {
		t.Errorf("the good one: %+v, trend %q", s.Score, s.TrendEnd)
	}
}

func TestSheet_PDFIsOnePageOfText(t *testing.T) {
	for name, s := range sheets(t) {
		var first, second bytes.Buffer
		if err := s.WritePDF(&first); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := s.WritePDF(&second); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("%s: the same sheet gives two files", name)
		}
		pages := regexp.MustCompile(`/Type /Page\b[^s]`).FindAll(first.Bytes(), -1)
		if !bytes.HasPrefix(first.Bytes(), []byte("%PDF-")) || len(pages) != 1 || !bytes.Contains(first.Bytes(), []byte("/FontFile2")) {
			t.Errorf("%s: %d pages", name, len(pages))
		}
		if first.Len() > 150_000 {
			t.Errorf("%s: %d bytes", name, first.Len())
		}
		program, err := exec.LookPath("pdftotext")
		if err != nil {
			continue // the rest needs poppler
		}
		path := filepath.Join(t.TempDir(), "sheet.pdf")
		if err := os.WriteFile(path, first.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(program, "-layout", path, "-").Output()
		if err != nil {
			t.Fatalf("%s: pdftotext: %v", name, err)
		}
		text := norm.NFC.String(strings.Join(strings.Fields(string(out)), "")) // spaces are a matter of layout
		want := []string{s.Label.Title, s.Score.Points, s.Score.Band, s.Label.Checks, s.Label.Advice, s.Label.People, s.Label.Evidence, s.Dated}
		for _, advice := range s.Advice {
			want = append(want, advice.Task, advice.Effort)
		}
		for _, tile := range s.Criteria {
			want = append(want, tile.Name, tile.Value)
		}
		if name == "good vi" {
			want = append(want, "CSDL quốc gia về đăng ký doanh nghiệp", "Trần Thị Bình", "Vận hành và khắc phục lỗi")
		}
		for _, one := range want {
			if !strings.Contains(text, strings.Join(strings.Fields(one), "")) {
				t.Errorf("%s: %q is not in the text of the page", name, one)
			}
		}
	}
}

func TestSheet_DOCXIsAWellFormedPackage(t *testing.T) {
	for name, s := range sheets(t) {
		var b bytes.Buffer
		if err := s.WriteDOCX(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		parts := map[string]string{}
		for _, file := range z.File {
			r, err := file.Open()
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			parts[file.Name] = textOf(t, name+" "+file.Name, content)
			_ = r.Close()
		}
		for _, wanted := range []string{"[Content_Types].xml", "_rels/.rels", "word/document.xml", "word/styles.xml", "word/_rels/document.xml.rels", "docProps/core.xml"} {
			if _, found := parts[wanted]; !found {
				t.Errorf("%s: no part %s", name, wanted)
			}
		}
		if z.File[0].Name != "[Content_Types].xml" {
			t.Errorf("%s: the package begins with %s", name, z.File[0].Name)
		}
		want := []string{s.Name, s.Score.Band, s.Label.Advice, s.Foot}
		for _, gap := range s.Gaps {
			want = append(want, gap.What)
		}
		for _, one := range want {
			if one = strings.ReplaceAll(one, "\u200b", ""); !strings.Contains(strings.ReplaceAll(parts["word/document.xml"], "\u200b", ""), one) {
				t.Errorf("%s: %q is not in the document", name, one)
			}
		}
	}
}

// textOf parses an XML part and returns its character data.
func textOf(t *testing.T, name string, content []byte) string {
	t.Helper()
	var text strings.Builder
	decoder := xml.NewDecoder(bytes.NewReader(content))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return text.String()
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if data, ok := token.(xml.CharData); ok {
			text.Write(data)
		}
	}
}

func TestSheet_HTMLEscapesAndCarriesNoInlineStyle(t *testing.T) {
	for name, s := range sheets(t) {
		fragment, err := s.Fragment()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, forbidden := range []string{"<script", "style=", "<style", "onclick", "javascript:"} {
			if strings.Contains(string(fragment), forbidden) {
				t.Errorf("%s: the fragment has %q", name, forbidden)
			}
		}
		tree, err := html.Parse(strings.NewReader(string(fragment)))
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		open := 0
		for node := range tree.Descendants() {
			if node.Type == html.TextNode {
				text.WriteString(node.Data)
			}
			if node.Type == html.ElementNode && node.Data == "article" {
				open++
			}
		}
		if open != 1 || !strings.Contains(text.String(), s.Name) || !strings.Contains(text.String(), s.Score.Points) {
			t.Errorf("%s: %d articles, or name and points are missing", name, open)
		}
		var page bytes.Buffer
		if err := s.WriteHTML(&page); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(page.String(), "@page{size:A4") || !strings.HasPrefix(page.String(), "<!doctype html>") {
			t.Errorf("%s: the page has no print style", name)
		}
	}
}

func TestSheet_EmptyOne(t *testing.T) {
	m, _ := method(t)
	s := m.NewSheet(m.Assess(&Facts{}, noon), SheetInput{})
	var pdf, docx, page bytes.Buffer
	if err := errors.Join(s.WritePDF(&pdf), s.WriteDOCX(&docx), s.WriteHTML(&page)); err != nil {
		t.Fatal(err)
	}
	if s.Score.Points != "0,0" || s.Score.ID != 1 || s.Group.ID != 0 {
		t.Errorf("nothing known: %+v, group %d", s.Score, s.Group.ID)
	}
}
