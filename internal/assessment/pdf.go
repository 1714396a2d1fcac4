package assessment

import (
	_ "embed" // the fonts
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/go-pdf/fpdf"

	"github.com/lienthong/lienthong/internal/quality"
)

// Be Vietnam Pro, reduced to Latin with Vietnamese; its licence (OFL) stands beside it.
//
//go:embed fonts/BeVietnamPro-Regular.ttf
var regularFont []byte

//go:embed fonts/BeVietnamPro-SemiBold.ttf
var boldFont []byte

type colour struct{ r, g, b int }

// The page, in millimetres: A4 upright.
const (
	pageWidth  = 210.0
	pageHeight = 297.0
	margin     = 12.0
	inner      = pageWidth - 2*margin
	gutter     = 6.0
)

func ink() colour    { return colour{26, 36, 51} }
func soft() colour   { return colour{77, 89, 106} }
func line() colour   { return colour{213, 220, 229} }
func good() colour   { return colour{29, 122, 70} }
func fair() colour   { return colour{154, 107, 0} }
func poor() colour   { return colour{179, 38, 30} }
func blue() colour   { return colour{58, 110, 165} }
func track() colour  { return colour{230, 235, 241} }
func shaded() colour { return colour{242, 245, 249} }

// pdf draws a sheet. Every block is given its height, and text that does not fit is cut with
// an ellipsis: the page is one page whatever stands on it.
type pdf struct {
	*fpdf.Fpdf
	s *Sheet
	y float64
}

// WritePDF writes the sheet as one A4 page with its fonts embedded. The same sheet gives the
// same bytes.
func (s *Sheet) WritePDF(w io.Writer) error {
	p := &pdf{Fpdf: fpdf.New("P", "mm", "A4", ""), s: s}
	p.SetMargins(margin, margin, margin)
	p.SetCellMargin(0)
	p.SetAutoPageBreak(false, 0)
	p.SetCatalogSort(true)
	p.SetTitle(s.Name+" – "+s.Label.Title, true)
	p.SetSubject(s.Dated, true)
	p.SetCreator("Lienthong", false)
	p.SetLang(s.Language)
	fixed := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) // the assessment's own date stands on the page
	p.SetCreationDate(fixed)
	p.SetModificationDate(fixed)
	p.AddUTF8FontFromBytes("text", "", regularFont)
	p.AddUTF8FontFromBytes("text", "B", boldFont)
	p.AddPage()
	p.header()
	p.state()
	p.tiles()
	p.middle()
	p.adviceTable()
	p.bottom()
	p.foot()
	if err := p.Output(w); err != nil {
		return fmt.Errorf("write the assessment of %s as PDF: %w", s.Name, err)
	}
	return nil
}

func (p *pdf) style(bold bool, size float64, c colour) {
	weight := ""
	if bold {
		weight = "B"
	}
	p.SetFont("text", weight, size)
	p.SetTextColor(c.r, c.g, c.b)
}

// fit cuts a text to a width in the present font.
func (p *pdf) fit(text string, width float64) string {
	text = plane(text)
	if p.GetStringWidth(text) <= width {
		return text
	}
	runes := []rune(text)
	for len(runes) > 0 && p.GetStringWidth(string(runes)+"…") > width {
		runes = runes[:len(runes)-1]
	}
	return strings.TrimRight(string(runes), " ,.;:(") + "…"
}

// wrap breaks a text into at most most lines of a width; the last one is cut.
func (p *pdf) wrap(text string, width float64, most int) []string {
	var lines []string
	words := strings.Fields(plane(text))
	for len(words) > 0 {
		if len(lines) == most-1 {
			return append(lines, p.fit(strings.Join(words, " "), width))
		}
		n := 1
		for n < len(words) && p.GetStringWidth(strings.Join(words[:n+1], " ")) <= width {
			n++
		}
		if first := words[0]; n == 1 && p.GetStringWidth(first) > width { // a word longer than the line
			cut := []rune(first)
			for len(cut) > 1 && p.GetStringWidth(string(cut)) > width {
				cut = cut[:len(cut)-1]
			}
			lines = append(lines, string(cut))
			words[0] = strings.TrimPrefix(first, string(cut))
			continue
		}
		lines = append(lines, strings.Join(words[:n], " "))
		words = words[n:]
	}
	return lines
}

// plane drops characters that the fonts' tables cannot address.
func plane(text string) string {
	return strings.Map(func(r rune) rune {
		if r > 0xffff {
			return '□'
		}
		return r
	}, text)
}

// put writes one line with its top at y.
func (p *pdf) put(x, y, width, height float64, align, text string) {
	p.SetXY(x, y)
	p.CellFormat(width, height, p.fit(text, width), "", 0, align+"M", false, 0, "")
}

// paragraph writes wrapped lines and returns the y below them.
func (p *pdf) paragraph(x, y, width, height float64, most int, text string) float64 {
	for _, one := range p.wrap(text, width, most) {
		p.put(x, y, width, height, "L", one)
		y += height
	}
	return y
}

func (p *pdf) heading(x, y, width float64, text string) float64 {
	p.style(true, 8, soft())
	p.put(x, y, width, 4.4, "L", text)
	return y + 4.8
}

func (p *pdf) rule(y float64, c colour, width float64) {
	p.SetDrawColor(c.r, c.g, c.b)
	p.SetLineWidth(width)
	p.Line(margin, y, pageWidth-margin, y)
}

func (p *pdf) bar(x, y, width, height, share float64, c colour) {
	p.box(x, y, width, height, track())
	if share = math.Max(0, math.Min(1, share)); share > 0 {
		p.box(x, y, math.Max(0.4, width*share), height, c)
	}
}

func (p *pdf) box(x, y, width, height float64, c colour) {
	p.SetFillColor(c.r, c.g, c.b)
	p.Rect(x, y, width, height, "F")
}

func (p *pdf) header() {
	const right = 44.0
	left := inner - right - gutter
	p.style(false, 8, soft())
	p.put(margin, margin, left, 4, "L", p.s.Label.Title)
	size, most := 15.0, 2
	p.style(true, size, ink())
	if len(p.wrap(p.s.Name, left, 3)) > 2 {
		size = 12
		p.style(true, size, ink())
	}
	y := p.paragraph(margin, margin+4.5, left, size*0.45, most, p.s.Name)
	p.style(false, 8, soft())
	y = p.paragraph(margin, y+0.8, left, 3.8, 2, p.s.Owner)
	p.put(margin, y, left, 3.8, "L", p.s.Dated)
	y += 3.8

	x := pageWidth - margin - right
	p.style(true, 24, ink())
	number := p.s.Score.Points
	width := p.GetStringWidth(number)
	p.style(false, 8, soft())
	of := p.GetStringWidth(p.s.Label.Of) + 1.5
	p.style(true, 24, ink())
	p.put(pageWidth-margin-of-width-0.5, margin, width+0.5, 10, "R", number)
	p.style(false, 8, soft())
	p.put(pageWidth-margin-of, margin+3.2, of, 6, "R", p.s.Label.Of)
	p.style(true, 11, bandColour(p.s.Score.ID))
	p.put(x, margin+10.5, right, 5.5, "R", p.s.Score.Band)
	p.style(false, 8, soft())
	p.put(x, margin+16, right, 4, "R", p.s.Score.Coverage)
	p.y = math.Max(y, margin+20.5) + 1.5
	p.rule(p.y, ink(), 0.5)
	p.y += 2
}

func bandColour(id int) colour {
	switch id {
	case 4:
		return good()
	case 3, 2:
		return fair()
	}
	return poor()
}

// state is the status group, what has been published, and the gates.
func (p *pdf) state() {
	p.style(true, 8, soft())
	label := p.s.Label.Group + ": "
	width := p.GetStringWidth(label)
	p.put(margin, p.y, width+1, 4.4, "L", label)
	name := p.s.Group.Name
	if p.s.Group.ID > 0 {
		name = fmt.Sprintf("%d. %s", p.s.Group.ID, name)
	}
	p.style(true, 9, ink())
	p.put(margin+width+1, p.y, inner-width-1, 4.4, "L", name)
	p.y += 4.6
	p.style(false, 8, ink())
	p.y = p.paragraph(margin, p.y, inner, 3.9, 2, p.s.Group.Why)
	p.style(false, 8, soft())
	for _, note := range p.s.Notes {
		p.y = p.paragraph(margin, p.y, inner, 3.9, 2, note)
	}
	if len(p.s.Gates) > 0 {
		p.y += 1
		top := p.y
		p.style(false, 8, poor())
		for _, gate := range p.s.Gates {
			p.y = p.paragraph(margin+3, p.y, inner-3, 3.9, 2, gate)
		}
		p.box(margin, top, 0.8, p.y-top, poor())
	}
	p.y += 2
}

func gradeColour(c quality.Colour) colour {
	switch c {
	case quality.Green:
		return good()
	case quality.Yellow:
		return fair()
	case quality.Red:
		return poor()
	case quality.Grey:
	}
	return soft()
}

func (p *pdf) tiles() {
	p.y = p.heading(margin, p.y, inner, p.s.Label.Criteria)
	const gap, height = 2.0, 17.0
	width := (inner - gap*float64(len(p.s.Criteria)-1)) / float64(len(p.s.Criteria))
	for i, tile := range p.s.Criteria {
		x := margin + float64(i)*(width+gap)
		if tile.Whole {
			p.box(x, p.y, width, height, shaded())
		}
		border := line()
		p.SetDrawColor(border.r, border.g, border.b)
		p.SetLineWidth(0.2)
		p.Rect(x, p.y, width, height, "D")
		own := width - 3
		p.style(false, 7.5, ink())
		p.put(x+1.5, p.y+1, own, 3.6, "L", tile.Name)
		p.style(true, 12, gradeColour(tile.Colour))
		p.put(x+1.5, p.y+4.8, own, 5.4, "L", tile.Value)
		p.bar(x+1.5, p.y+11, own, 1.2, tile.Share, gradeColour(tile.Colour))
		p.style(false, 6, soft())
		p.put(x+1.5, p.y+12.8, own, 3.4, "L", tile.Note)
	}
	p.y += height + 3
}

func verdictColours(v Verdict) (fill, text colour) {
	switch v {
	case Yes:
		return colour{213, 236, 221}, colour{20, 83, 45}
	case Partly:
		return colour{251, 233, 189}, colour{92, 67, 0}
	case No:
		return colour{249, 215, 212}, colour{122, 24, 18}
	case Unknown:
	}
	return colour{255, 255, 255}, soft()
}

func (p *pdf) cell(x, y, width, height float64, verdict Verdict, text string) {
	fill, own := verdictColours(verdict)
	p.SetFillColor(fill.r, fill.g, fill.b)
	p.SetDrawColor(own.r, own.g, own.b)
	p.SetLineWidth(0.15)
	switch verdict { // not by colour alone
	case Unknown:
		p.SetDashPattern([]float64{0.7, 0.5}, 0)
	case No:
		p.SetLineWidth(0.5)
	case Yes, Partly:
	}
	p.Rect(x, y, width, height, "FD")
	p.SetDashPattern(nil, 0)
	if verdict == Partly {
		p.box(x, y+height-0.7, width/2, 0.7, own)
	}
	if text != "" {
		p.style(false, 6.5, own)
		p.put(x, y, width, height, "C", text)
	}
}

// middle has the checks on the left, points and frameworks on the right.
func (p *pdf) middle() {
	column := (inner - gutter) / 2
	top := p.y
	y := p.heading(margin, top, column, p.s.Label.Checks)
	for _, section := range p.s.Checks {
		p.style(false, 7.5, ink())
		p.put(margin, y, 22, 4.6, "L", section.Name)
		for i, cell := range section.Cells {
			p.cell(margin+23+float64(i)*7.4, y+0.3, 6.6, 4, cell.Verdict, cell.ID)
		}
		p.style(false, 7.5, soft())
		p.put(margin+column-16, y, 16, 4.6, "R", section.Line)
		y += 5.2
	}
	x := margin
	for _, one := range []struct {
		verdict Verdict
		text    string
	}{{Yes, p.s.Label.Yes}, {Partly, p.s.Label.Partly}, {No, p.s.Label.No}, {Unknown, p.s.Label.Unknown}} {
		p.cell(x, y+1, 3, 2.4, one.verdict, "")
		p.style(false, 6.5, soft())
		width := p.GetStringWidth(one.text) + 1
		p.put(x+4, y+0.4, width, 3.6, "L", one.text)
		x += width + 7
	}
	y += 4

	x = margin + column + gutter
	other := p.heading(x, top, column, p.s.Label.Parts)
	for _, bar := range p.s.Points {
		p.style(false, 7.5, ink())
		p.put(x, other, 45, 4, "L", bar.Name)
		p.bar(x+45, other+1.3, column-45-22, 1.5, bar.Share, blue())
		p.style(false, 7.5, soft())
		p.put(x+column-21, other, 21, 4, "R", bar.Value)
		other += 4.3
	}
	other = p.heading(x, other+0.8, column, p.s.Label.Frameworks)
	for _, section := range p.s.Items {
		p.style(false, 7.5, ink())
		p.put(x, other, 44, 3.9, "L", section.Name)
		width := math.Min(2.4, (column-45-11)/math.Max(1, float64(len(section.Cells)))-0.5)
		for i, cell := range section.Cells {
			p.cell(x+45+float64(i)*(width+0.5), other+0.8, width, 2.4, cell.Verdict, "")
		}
		p.style(false, 7.5, soft())
		p.put(x+column-12, other, 12, 3.9, "R", section.Line)
		other += 4.1
	}
	p.y = math.Max(y, other) + 2.5
}

func (p *pdf) adviceTable() {
	const effort, gain, task, rank = 20.0, 13.0, 14.0, 6.0
	text := inner - effort - gain - task - rank - 4
	p.y = p.heading(margin, p.y, inner, p.s.Label.Advice)
	p.style(false, 7, soft())
	p.put(margin+rank, p.y, text, 3.6, "L", p.s.Label.Do)
	x := margin + rank + text + 2
	p.put(x, p.y, effort, 3.6, "R", p.s.Label.Effort)
	p.put(x+effort, p.y, gain, 3.6, "R", p.s.Label.Gain)
	p.put(x+effort+gain+2, p.y, task, 3.6, "L", p.s.Label.Task)
	p.y += 4
	p.rule(p.y, line(), 0.2)
	if len(p.s.Advice) == 0 {
		p.style(false, 7.5, ink())
		p.put(margin+rank, p.y+0.5, text, 4, "L", p.s.Label.NoAdvice)
		p.y += 5
	}
	for _, advice := range p.s.Advice {
		p.y += 0.8
		top := p.y
		p.style(true, 8, ink())
		p.put(margin, top, rank, 4, "L", advice.Rank)
		do := advice.Do
		if advice.First {
			p.style(true, 8, poor())
		}
		p.y = p.paragraph(margin+rank, p.y, text, 4, 2, do)
		p.style(false, 7.5, soft())
		p.y = p.paragraph(margin+rank, p.y, text, 3.6, 2, advice.Why)
		p.style(false, 7.5, ink())
		p.put(x, top, effort, 4, "R", advice.Effort)
		p.put(x+effort, top, gain, 4, "R", advice.Points)
		p.put(x+effort+gain+2, top, task, 4, "L", advice.Task)
		p.y += 0.8
		p.rule(p.y, line(), 0.2)
	}
	p.y += 2.5
}

// bottom has gaps and trend on the left, facts and people on the right, down to the foot.
func (p *pdf) bottom() {
	column := (inner - gutter) / 2
	limit := p.footTop() - 1
	y := p.heading(margin, p.y, column, p.s.Label.Gaps)
	if len(p.s.Gaps) == 0 {
		p.style(false, 7.5, ink())
		p.put(margin, y, column, 4, "L", p.s.Label.NoGaps)
		y += 4.5
	}
	const trend = 19.0
	for _, gap := range p.s.Gaps {
		if y+7.8 > limit-trend {
			break
		}
		p.style(false, 7.5, ink())
		p.put(margin, y, column-12, 3.8, "L", gap.What)
		p.style(true, 7.5, ink())
		p.put(margin+column-11, y, 11, 3.8, "R", gap.Lost)
		p.style(false, 6.5, soft())
		p.put(margin, y+3.6, column-12, 3.4, "L", gap.Why)
		y += 7.6
	}
	y = p.heading(margin, math.Min(y+1, limit-trend), column, p.s.Label.Trend)
	p.style(false, 7.5, ink())
	p.put(margin, y-0.6, column, 4, "L", p.s.TrendEnd)
	p.spark(margin, y+4, column, 9)

	x := margin + column + gutter
	other := p.heading(x, p.y, column, p.s.Label.Facts)
	people := 4.8 + 3.9*float64(len(p.s.People))
	for _, fact := range p.s.Facts {
		if other+3.9 > limit-people {
			break
		}
		other = p.fact(x, other, column, fact)
	}
	other = p.heading(x, other+0.8, column, p.s.Label.People)
	for _, fact := range p.s.People {
		if other+3.9 > limit+1 {
			break
		}
		other = p.fact(x, other, column, fact)
	}
}

func (p *pdf) fact(x, y, width float64, fact SheetFact) float64 {
	p.style(false, 7.5, ink())
	value, own := fact.Value, ink()
	if fact.Bad {
		own = poor()
	}
	p.style(true, 7.5, own)
	space := math.Min(width/2, p.GetStringWidth(plane(value))+1)
	p.put(x+width-space-4, y, space, 3.9, "R", value)
	p.style(false, 7.5, ink())
	p.put(x, y, width-space-5, 3.9, "L", fact.Name)
	p.style(false, 6, soft())
	p.put(x+width-3.5, y, 3.5, 3.9, "R", string(fact.Grade))
	return y + 3.9
}

// spark draws the trend on a scale of 0 to 100.
func (p *pdf) spark(x, y, width, height float64) {
	if len(p.s.Trend) < 2 {
		return
	}
	base := line()
	p.SetDrawColor(base.r, base.g, base.b)
	p.SetLineWidth(0.2)
	p.Line(x, y+height, x+width, y+height)
	own := blue()
	p.SetDrawColor(own.r, own.g, own.b)
	p.SetLineWidth(0.5)
	at := func(i int) (float64, float64) {
		points := math.Max(0, math.Min(100, p.s.Trend[i].Points))
		return x + width*float64(i)/float64(len(p.s.Trend)-1), y + height*(1-points/100)
	}
	for i := 1; i < len(p.s.Trend); i++ {
		x1, y1 := at(i - 1)
		x2, y2 := at(i)
		p.Line(x1, y1, x2, y2)
	}
}

func (p *pdf) footTop() float64 { return pageHeight - margin - 11 }

func (p *pdf) foot() {
	y := p.footTop()
	p.rule(y, line(), 0.2)
	y += 1.2
	p.style(true, 7, soft())
	label := p.s.Label.Evidence + ":"
	x := margin
	width := p.GetStringWidth(label) + 2
	p.put(x, y, width, 3.6, "L", label)
	x += width
	p.style(false, 7, ink())
	for _, e := range p.s.Evidence {
		text := strings.TrimSpace(string(e.Grade) + " " + e.Name + " " + e.Value)
		width := p.GetStringWidth(text) + 4
		if x+width > pageWidth-margin {
			break
		}
		p.put(x, y, width, 3.6, "L", text)
		x += width
	}
	y += 4
	p.style(false, 6.5, soft())
	p.paragraph(margin, y, inner, 3.2, 2, p.s.Foot)
}
