package file

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

var errNotXLSX = errors.New("not an XLSX workbook")

// workbook is an XLSX file of which sheets are read as streams. It is our own
// reader because number formats, which tell dates from numbers, and fonts, which tell
// old letters from Unicode, must be at hand for each cell, and because a sheet of a
// million rows must not need memory for a million rows.
type workbook struct {
	parts   map[string]*zip.File // by name in lower case
	limits  limits
	sheets  []sheetInfo
	era1904 bool

	translator *translator

	loaded  bool // styles and strings
	styles  []cellStyle
	strings stringTable
}

// limits of what one file may make us do.
type limits struct {
	unpacked int64 // bytes of one part
	cell     int   // bytes of one cell
	strings  int   // bytes of shared strings that stay in memory
	scratch  string
}

type sheetInfo struct {
	name   string
	hidden bool
	part   string
}

// cellStyle is what a number format and a font say about the meaning of a cell.
type cellStyle struct {
	date, clock bool
	digits      int // a format of zeros only, "00000": a code with leading zeros
	code        textCode
	font        bool // the font says how the letters are written
}

func openWorkbook(archive *zip.Reader, l limits) (*workbook, error) {
	b := &workbook{parts: make(map[string]*zip.File, len(archive.File)), limits: l, translator: newTranslator()}
	for _, f := range archive.File {
		b.parts[strings.ToLower(f.Name)] = f
	}
	b.strings = stringTable{dir: l.scratch, budget: l.strings}
	if err := b.readSheets(); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *workbook) close() error { return b.strings.close() }

// limited refuses to unpack more than allowed.
type limited struct {
	io.ReadCloser
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

func (b *workbook) open(name string) (io.ReadCloser, error) {
	f := b.parts[strings.ToLower(name)]
	if f == nil {
		return nil, fmt.Errorf("%w: no part %s", errNotXLSX, name)
	}
	in, err := f.Open()
	if err != nil {
		return nil, errors.Join(errNotXLSX, err)
	}
	return &limited{in, b.limits.unpacked}, nil
}

// elements calls visit for each start and end tag of a part.
func (b *workbook) elements(name string, visit func(*xmlScanner) error) error {
	in, err := b.open(name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	scanner := newXMLScanner(in, 8*b.limits.cell)
	for {
		err := scanner.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return badPart(err)
		}
		if scanner.kind != xmlText {
			if err := visit(scanner); err != nil {
				return err
			}
		}
	}
}

func badPart(err error) error {
	if errors.Is(err, errTooLarge) || errors.Is(err, errNotXLSX) {
		return err
	}
	return errors.Join(errNotXLSX, err)
}

func (b *workbook) readSheets() error {
	relations := map[string]string{}
	err := b.elements("xl/_rels/workbook.xml.rels", func(x *xmlScanner) error {
		if x.is(xmlStart, "Relationship") {
			relations[x.attributeText("Id")] = x.attributeText("Target")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return b.elements("xl/workbook.xml", func(x *xmlScanner) error {
		switch {
		case x.is(xmlStart, "workbookPr"):
			value := x.attributeText("date1904")
			b.era1904 = value == "1" || value == "true"
		case x.is(xmlStart, "sheet"):
			target := relations[x.attributeText("id")]
			if rooted, ok := strings.CutPrefix(target, "/"); ok {
				target = rooted
			} else {
				target = path.Join("xl", target)
			}
			state := x.attributeText("state")
			if strings.Contains(strings.ToLower(target), "worksheets/") || b.parts[strings.ToLower(target)] != nil {
				b.sheets = append(b.sheets, sheetInfo{name: x.attributeText("name"), hidden: state != "" && state != "visible", part: target})
			}
		}
		return nil
	})
}

// load reads what all sheets share, at the first sheet.
func (b *workbook) load() error {
	if b.loaded {
		return nil
	}
	b.loaded = true
	if b.parts["xl/styles.xml"] != nil {
		if err := b.readStyles(); err != nil {
			return err
		}
	}
	if b.parts["xl/sharedstrings.xml"] == nil {
		return nil
	}
	var text []byte
	return b.elements("xl/sharedStrings.xml", func(x *xmlScanner) error {
		if !x.is(xmlStart, "si") {
			return nil
		}
		var code textCode
		var err error
		text, code, err = richText(x, text[:0], "si", b.limits.cell, b.translator)
		if err != nil {
			return err
		}
		return b.strings.add(text, code)
	})
}

func (b *workbook) readStyles() error {
	formats := map[int]string{}
	type font struct {
		code  textCode
		known bool
	}
	var fonts []font
	inFonts, inCells := false, false
	return b.elements("xl/styles.xml", func(x *xmlScanner) error {
		switch start := x.kind == xmlStart; string(x.name) {
		case "numFmt":
			if id, err := strconv.Atoi(x.attributeText("numFmtId")); err == nil && start {
				formats[id] = x.attributeText("formatCode")
			}
		case "fonts":
			inFonts = start
		case "cellXfs":
			inCells = start
		case "font":
			if inFonts && start {
				fonts = append(fonts, font{})
			}
		case "name":
			if inFonts && start && len(fonts) > 0 {
				f := &fonts[len(fonts)-1]
				f.code, f.known = fontCode(x.attributeText("val"))
			}
		case "xf":
			if inCells && start {
				id, _ := strconv.Atoi(x.attributeText("numFmtId"))
				style := styleOf(id, formats[id])
				if n, err := strconv.Atoi(x.attributeText("fontId")); err == nil && n >= 0 && n < len(fonts) {
					style.code, style.font = fonts[n].code, fonts[n].known
				}
				b.styles = append(b.styles, style)
			}
		}
		return nil
	})
}

// styleOf reads a number format. The numbers of the built-in ones are fixed by
// the standard, with the national date formats among them.
func styleOf(id int, code string) cellStyle {
	if code == "" {
		switch {
		case id == 22:
			return cellStyle{date: true, clock: true}
		case id >= 14 && id <= 17, id >= 27 && id <= 31, id == 36, id >= 50 && id <= 54, id == 57, id == 58:
			return cellStyle{date: true}
		case id >= 18 && id <= 21, id >= 32 && id <= 35, id >= 45 && id <= 47, id == 55, id == 56:
			return cellStyle{clock: true}
		}
		return cellStyle{}
	}
	if strings.Trim(code, "0") == "" {
		return cellStyle{digits: len(code)}
	}
	code, _, _ = strings.Cut(code, ";") // the part for positive numbers
	var style cellStyle
	month := false
	for i := 0; i < len(code); i++ {
		switch c := code[i] | 0x20; {
		case code[i] == '"':
			if end := strings.IndexByte(code[i+1:], '"'); end >= 0 {
				i += end + 1
			}
		case code[i] == '\\' || code[i] == '_' || code[i] == '*':
			i++
		case code[i] == '[':
			end := strings.IndexByte(code[i:], ']')
			if end < 0 {
				return cellStyle{}
			}
			if inner := strings.ToLower(code[i+1 : i+end]); inner != "" && strings.Trim(inner, "hms") == "" {
				style.clock = true
			}
			i += end
		case c == 'y' || c == 'd':
			style.date = true
		case c == 'h' || c == 's':
			style.clock = true
		case c == 'm':
			month = true
		case c == 'g' || c == '0' || c == '#' || c == '?':
			if !style.date && !style.clock && !month {
				return cellStyle{} // General, or a number
			}
		}
	}
	style.date = style.date || month && !style.clock
	return style
}
