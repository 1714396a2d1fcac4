package assessment

import (
	"archive/zip"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The fixed parts of the package (ECMA-376, transitional).
const (
	docxTypes = xml.Header + `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/><Override PartName="/word/styles.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.styles+xml"/><Override PartName="/docProps/core.xml" ContentType="application/vnd.openxmlformats-package.core-properties+xml"/></Types>`
	docxRels  = xml.Header + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/><Relationship Id="rId2" Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties" Target="docProps/core.xml"/></Relationships>`
	docxLinks = xml.Header + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/></Relationships>`
	docxSpace = `xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"`
)

// The width of the text on an A4 page with margins of 15 mm, in twentieths of a point.
const docxWidth = 11906 - 2*850

// WriteDOCX writes the sheet as a document that people can go on writing in: real headings, paragraphs and
// tables. The same sheet gives the same bytes.
func (s *Sheet) WriteDOCX(w io.Writer) error {
	z := zip.NewWriter(w)
	for _, part := range []struct{ name, content string }{
		{"[Content_Types].xml", docxTypes},
		{"_rels/.rels", docxRels},
		{"docProps/core.xml", s.docxProperties()},
		{"word/_rels/document.xml.rels", docxLinks},
		{"word/styles.xml", docxStyles(s.Language)},
		{"word/document.xml", s.docxBody()},
	} {
		file, err := z.CreateHeader(&zip.FileHeader{Name: part.name, Method: zip.Deflate, Modified: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
		if err == nil {
			_, err = io.WriteString(file, part.content)
		}
		if err != nil {
			return fmt.Errorf("write %s of the assessment of %s: %w", part.name, s.Name, err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("write the assessment of %s as DOCX: %w", s.Name, err)
	}
	return nil
}

func (s *Sheet) docxProperties() string {
	return xml.Header + `<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>` +
		escape(s.Name+" – "+s.Label.Title) + `</dc:title><dc:subject>` + escape(s.Dated) + `</dc:subject><dc:creator>Lienthong</dc:creator><dc:language>` + s.Language + `</dc:language></cp:coreProperties>`
}

func docxStyles(language string) string {
	if language == "vi" {
		language = "vi-VN"
	} else {
		language = "en-GB"
	}
	style := func(id, name, paragraph, run string) string {
		return `<w:style w:type="paragraph" w:styleId="` + id + `"><w:name w:val="` + name + `"/><w:basedOn w:val="Normal"/><w:qFormat/><w:pPr>` + paragraph + `</w:pPr><w:rPr>` + run + `</w:rPr></w:style>`
	}
	return xml.Header + `<w:styles ` + docxSpace + `><w:docDefaults><w:rPrDefault><w:rPr><w:rFonts w:ascii="Arial" w:hAnsi="Arial" w:cs="Arial" w:eastAsia="Arial"/><w:sz w:val="16"/><w:szCs w:val="16"/><w:lang w:val="` + language + `"/></w:rPr></w:rPrDefault><w:pPrDefault><w:pPr><w:spacing w:before="0" w:after="0" w:line="240" w:lineRule="auto"/></w:pPr></w:pPrDefault></w:docDefaults>` +
		`<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/></w:style>` +
		style("Title", "Title", "", `<w:b/><w:sz w:val="28"/>`) +
		style("Heading1", "heading 1", `<w:keepNext/><w:spacing w:before="100" w:after="30"/><w:outlineLvl w:val="0"/>`, `<w:b/><w:color w:val="4D596A"/><w:sz w:val="17"/>`) +
		style("Small", "Small", "", `<w:color w:val="4D596A"/><w:sz w:val="14"/>`) +
		`<w:style w:type="table" w:default="1" w:styleId="TableNormal"><w:name w:val="Normal Table"/><w:tblPr><w:tblCellMar><w:left w:w="60" w:type="dxa"/><w:right w:w="60" w:type="dxa"/></w:tblCellMar></w:tblPr></w:style></w:styles>`
}

// docx writes WordprocessingML.
type docx struct{ b strings.Builder }

func (d *docx) raw(markup string) { d.b.WriteString(markup) }

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder does not fail
	return b.String()
}

// run is a piece of text with its looks.
type run struct {
	text   string
	bold   bool
	colour string // RRGGBB; empty for that of the style
	size   int    // half points; 0 for that of the style
}

func (d *docx) paragraph(style, align string, runs ...run) {
	d.raw(`<w:p><w:pPr>`)
	if style != "" {
		d.raw(`<w:pStyle w:val="` + style + `"/>`)
	}
	if align != "" {
		d.raw(`<w:jc w:val="` + align + `"/>`)
	}
	d.raw(`</w:pPr>`)
	for _, r := range runs {
		d.raw(`<w:r><w:rPr>`)
		if r.bold {
			d.raw(`<w:b/>`)
		}
		if r.colour != "" {
			d.raw(`<w:color w:val="` + r.colour + `"/>`)
		}
		if r.size > 0 {
			d.raw(`<w:sz w:val="` + strconv.Itoa(r.size) + `"/>`)
		}
		d.raw(`</w:rPr><w:t xml:space="preserve">` + escape(r.text) + `</w:t></w:r>`)
	}
	d.raw(`</w:p>`)
}

// column is a cell of a row to write.
type column struct {
	width int // share of the row
	fill  string
	write func()
}

// table writes rows of cells. borders: a thin line below each row.
func (d *docx) table(borders bool, rows ...[]column) {
	if len(rows) == 0 {
		return
	}
	total := 0
	for _, c := range rows[0] {
		total += c.width
	}
	d.raw(`<w:tbl><w:tblPr><w:tblW w:w="` + strconv.Itoa(docxWidth) + `" w:type="dxa"/>`)
	if borders {
		d.raw(`<w:tblBorders><w:bottom w:val="single" w:sz="4" w:color="D5DCE5"/><w:insideH w:val="single" w:sz="4" w:color="D5DCE5"/></w:tblBorders>`)
	}
	d.raw(`<w:tblLayout w:type="fixed"/></w:tblPr><w:tblGrid>`)
	for _, c := range rows[0] {
		d.raw(`<w:gridCol w:w="` + strconv.Itoa(docxWidth*c.width/total) + `"/>`)
	}
	d.raw(`</w:tblGrid>`)
	for _, row := range rows {
		d.raw(`<w:tr><w:trPr><w:cantSplit/></w:trPr>`)
		for i, c := range row {
			d.raw(`<w:tc><w:tcPr><w:tcW w:w="` + strconv.Itoa(docxWidth*rows[0][i].width/total) + `" w:type="dxa"/>`)
			if c.fill != "" {
				d.raw(`<w:shd w:val="clear" w:color="auto" w:fill="` + c.fill + `"/>`)
			}
			d.raw(`</w:tcPr>`)
			c.write()
			d.raw(`</w:tc>`)
		}
		d.raw(`</w:tr>`)
	}
	d.raw(`</w:tbl>`)
}

func rgb(c colour) string { return fmt.Sprintf("%02X%02X%02X", c.r, c.g, c.b) }

func (s *Sheet) docxBody() string {
	d := &docx{}
	d.raw(xml.Header + `<w:document ` + docxSpace + `><w:body>`)
	d.table(false, []column{
		{width: 75, write: func() {
			d.paragraph("Small", "", run{text: s.Label.Title})
			d.paragraph("Title", "", run{text: s.Name})
			d.paragraph("Small", "", run{text: s.Owner})
			d.paragraph("Small", "", run{text: s.Dated})
		}},
		{width: 25, write: func() {
			d.paragraph("", "right", run{text: s.Score.Points, bold: true, size: 44}, run{text: " " + s.Label.Of})
			d.paragraph("", "right", run{text: s.Score.Band, bold: true, size: 22, colour: rgb(bandColour(s.Score.ID))})
			d.paragraph("Small", "right", run{text: s.Score.Coverage})
		}},
	})
	group := s.Group.Name
	if s.Group.ID > 0 {
		group = strconv.Itoa(s.Group.ID) + ". " + group
	}
	d.paragraph("Heading1", "", run{text: s.Label.Group})
	d.paragraph("", "", run{text: group, bold: true}, run{text: ": " + s.Group.Why})
	for _, note := range s.Notes {
		d.paragraph("Small", "", run{text: note})
	}
	for _, gate := range s.Gates {
		d.paragraph("", "", run{text: "• " + gate, colour: rgb(poor())})
	}
	d.paragraph("Heading1", "", run{text: s.Label.Criteria})
	var tiles []column
	for _, tile := range s.Criteria {
		fill := ""
		if tile.Whole {
			fill = rgb(shaded())
		}
		tiles = append(tiles, column{width: 1, fill: fill, write: func() {
			d.paragraph("", "", run{text: tile.Name})
			d.paragraph("", "", run{text: tile.Value, bold: true, size: 22, colour: rgb(gradeColour(tile.Colour))})
			d.paragraph("Small", "", run{text: tile.Note})
		}})
	}
	d.table(true, tiles)
	d.docxChecks(s)
	d.docxAdvice(s)
	d.docxRest(s)
	d.paragraph("Small", "", run{text: s.Foot})
	d.raw(`<w:sectPr><w:pgSz w:w="11906" w:h="16838"/><w:pgMar w:top="680" w:right="850" w:bottom="567" w:left="850" w:header="0" w:footer="0" w:gutter="0"/></w:sectPr></w:body></w:document>`)
	return d.b.String()
}

// docxChecks has the checks on the left, points and frameworks on the right.
func (d *docx) docxChecks(s *Sheet) {
	d.paragraph("", "")
	left := func() {
		d.paragraph("Heading1", "", run{text: s.Label.Checks})
		for _, section := range s.Checks {
			runs := []run{{text: section.Name + " " + section.Line + ": ", bold: true}}
			for _, cell := range section.Cells {
				_, own := verdictColours(cell.Verdict)
				runs = append(runs, run{text: cell.ID + " " + s.Label.verdict(cell.Verdict) + "  ", colour: rgb(own)})
			}
			d.paragraph("", "", runs...)
		}
	}
	right := func() {
		d.paragraph("Heading1", "", run{text: s.Label.Parts})
		for _, bar := range s.Points {
			d.paragraph("", "", run{text: bar.Name + ": "}, run{text: bar.Value, bold: true})
		}
		d.paragraph("Heading1", "", run{text: s.Label.Frameworks})
		for _, section := range s.Items {
			d.paragraph("", "", run{text: section.Name + ": "}, run{text: section.Line, bold: true})
		}
	}
	d.table(false, []column{{width: 1, write: left}, {width: 1, write: right}})
}

func (d *docx) docxAdvice(s *Sheet) {
	d.paragraph("Heading1", "", run{text: s.Label.Advice})
	cell := func(width int, style, align string, runs ...run) column {
		return column{width: width, write: func() { d.paragraph(style, align, runs...) }}
	}
	rows := [][]column{{
		cell(4, "Small", "", run{text: "#"}), cell(64, "Small", "", run{text: s.Label.Do}), cell(12, "Small", "right", run{text: s.Label.Effort}),
		cell(8, "Small", "right", run{text: s.Label.Gain}), cell(12, "Small", "", run{text: s.Label.Task}),
	}}
	if len(s.Advice) == 0 {
		d.paragraph("", "", run{text: s.Label.NoAdvice})
		return
	}
	for _, advice := range s.Advice {
		first := ""
		if advice.First {
			first = rgb(poor())
		}
		rows = append(rows, []column{
			cell(4, "", "", run{text: advice.Rank, bold: true}),
			{width: 64, write: func() {
				d.paragraph("", "", run{text: advice.Do, bold: true, colour: first})
				d.paragraph("Small", "", run{text: advice.Why})
			}},
			cell(12, "", "right", run{text: advice.Effort}), cell(8, "", "right", run{text: advice.Points}), cell(12, "", "", run{text: advice.Task}),
		})
	}
	d.table(true, rows...)
}

// docxRest has gaps and trend on the left, facts and people on the right.
func (d *docx) docxRest(s *Sheet) {
	d.paragraph("", "")
	left := func() {
		d.paragraph("Heading1", "", run{text: s.Label.Gaps})
		if len(s.Gaps) == 0 {
			d.paragraph("", "", run{text: s.Label.NoGaps})
		}
		for _, gap := range s.Gaps {
			d.paragraph("", "", run{text: gap.Lost + " ", bold: true}, run{text: gap.What + ": "}, run{text: gap.Why, colour: rgb(soft())})
		}
		d.paragraph("Heading1", "", run{text: s.Label.Trend})
		d.paragraph("", "", run{text: s.TrendEnd})
		d.paragraph("Heading1", "", run{text: s.Label.Evidence})
		var parts []string
		for _, e := range s.Evidence {
			parts = append(parts, strings.TrimSpace(string(e.Grade)+" "+e.Name+" "+e.Value))
		}
		d.paragraph("", "", run{text: strings.Join(parts, "; ")})
	}
	right := func() {
		d.paragraph("Heading1", "", run{text: s.Label.Facts})
		for _, fact := range s.Facts {
			d.docxFact(fact)
		}
		d.paragraph("Heading1", "", run{text: s.Label.People})
		for _, fact := range s.People {
			d.docxFact(fact)
		}
	}
	d.table(false, []column{{width: 1, write: left}, {width: 1, write: right}})
}

func (d *docx) docxFact(fact SheetFact) {
	own := ""
	if fact.Bad {
		own = rgb(poor())
	}
	d.paragraph("", "", run{text: fact.Name + ": "}, run{text: fact.Value, bold: true, colour: own}, run{text: " " + string(fact.Grade), colour: rgb(soft()), size: 12})
}
