package quality

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"time"

	"github.com/lienthong/lienthong"
)

// fileWorker checks blocks of a file with a checker of its own.
type fileWorker struct {
	checker *Checker
	plan    []fileColumn
	at      int64
	broken  func(row []lienthong.Value, verdict *Verdict)

	row     []lienthong.Value
	cells   [][]byte
	verdict Verdict
	result  FileResult
}

// check judges every record of a block. It writes into the block.
func (w *fileWorker) check(b block) error {
	data := b.data
	for at := 0; at < len(data); {
		line := data[at:]
		end := bytes.IndexByte(line, '\n')
		next := len(data)
		if end >= 0 {
			line, next = line[:end], at+end+1
		}
		if bytes.IndexByte(line, '"') < 0 {
			if n := len(line); n > 0 && line[n-1] == '\r' {
				line = line[:n-1]
			}
			if len(line) > 0 {
				w.plain(line)
			}
			at = next
			continue
		}
		size := quotedRecord(data[at:])
		cells, ok := splitQuoted(w.cells[:0], data[at:at+size])
		w.cells = cells
		if !ok {
			return fileProblem(b.offset+int64(at), "dấu ngoặc kép không đúng RFC 4180", "quotes that are not as RFC 4180 has them")
		}
		w.quoted(cells)
		at += size
	}
	return nil
}

// plain judges a line without quotes, which is nearly all of them.
func (w *fileWorker) plain(line []byte) {
	plan := w.plan
	last := len(plan) - 1
	for i := range plan {
		cell := line
		if i < last {
			end := indexComma(line)
			if end < 0 {
				w.result.Unreadable++
				return
			}
			cell, line = line[:end], line[end+1:]
		} else if bytes.IndexByte(line, ',') >= 0 {
			w.result.Unreadable++
			return
		}
		if field := plan[i].field; field >= 0 {
			if len(cell) == 0 {
				w.row[field].State = lienthong.Null
			} else {
				parse(&w.row[field], cell, plan[i].kind)
			}
		}
	}
	w.judge()
}

// indexComma finds a comma near the beginning without a call, and elsewhere with one.
func indexComma(line []byte) int {
	const (
		commas = 0x2c2c2c2c2c2c2c2c
		ones   = 0x0101010101010101
		highs  = 0x8080808080808080
	)
	if len(line) >= 16 {
		word := binary.LittleEndian.Uint64(line) ^ commas
		if found := (word - ones) &^ word & highs; found != 0 {
			return trailingBytes(found)
		}
		word = binary.LittleEndian.Uint64(line[8:]) ^ commas
		if found := (word - ones) &^ word & highs; found != 0 {
			return 8 + trailingBytes(found)
		}
		if at := bytes.IndexByte(line[16:], ','); at >= 0 {
			return 16 + at
		}
		return -1
	}
	return bytes.IndexByte(line, ',')
}

// quoted judges the cells of a record with quotes.
func (w *fileWorker) quoted(cells [][]byte) {
	if len(cells) != len(w.plan) {
		w.result.Unreadable++
		return
	}
	for i, cell := range cells {
		field := w.plan[i].field
		switch {
		case field < 0:
		case cell == nil:
			w.row[field].State = lienthong.Null
		default:
			parse(&w.row[field], cell, w.plan[i].kind)
		}
	}
	w.judge()
}

func (w *fileWorker) judge() {
	w.checker.Check(w.row, w.at, &w.verdict)
	w.result.Add(&w.verdict)
	if w.broken != nil && !w.verdict.OK() {
		w.broken(w.row, &w.verdict)
	}
}

// quotedRecord returns the size of the first record with its line end.
func quotedRecord(data []byte) int {
	inside := false
	for i, c := range data {
		switch {
		case c == '"':
			inside = !inside
		case c == '\n' && !inside:
			return i + 1
		}
	}
	return len(data)
}

// splitQuoted appends the cells of one record, which may end with a line end. Doubled
// quotes are made single in place. A cell without anything is nil, one with
// quotes around nothing is empty. It is not ok when quotes stand where RFC 4180 has none.
func splitQuoted(cells [][]byte, record []byte) (split [][]byte, ok bool) {
	if n := len(record); n > 0 && record[n-1] == '\n' {
		record = record[:n-1]
	}
	if n := len(record); n > 0 && record[n-1] == '\r' {
		record = record[:n-1]
	}
	for {
		if len(record) == 0 || record[0] != '"' {
			end := bytes.IndexByte(record, ',')
			cell := record
			if end >= 0 {
				cell = record[:end]
			}
			if bytes.IndexByte(cell, '"') >= 0 {
				return cells, false
			}
			if len(cell) == 0 {
				cell = nil
			}
			cells = append(cells, cell)
			if end < 0 {
				return cells, true
			}
			record = record[end+1:]
			continue
		}
		text := record[1:]
		size := 0 // of the cell, which is packed to the front of text
		for at := 0; ; {
			quote := bytes.IndexByte(text[at:], '"')
			if quote < 0 {
				return cells, false
			}
			size += copy(text[size:], text[at:at+quote])
			at += quote + 1
			if at < len(text) && text[at] == '"' {
				text[size] = '"'
				size++
				at++
				continue
			}
			cells = append(cells, text[:size:size])
			switch {
			case at == len(text):
				return cells, true
			case text[at] != ',':
				return cells, false
			}
			record = text[at+1:]
			break
		}
	}
}

// parse reads the canonical text of a value. What cannot be read is Malformed and keeps
// its text. Text and decimal are not looked at: the checker does.
func parse(value *lienthong.Value, cell []byte, kind lienthong.Kind) {
	value.State, value.Bytes = lienthong.Present, cell
	ok := true
	switch kind {
	case lienthong.Text, lienthong.Decimal:
		return
	case lienthong.Date:
		value.Int, ok = parseDay(cell)
	case lienthong.Timestamp:
		value.Int, ok = parseMoment(cell)
	case lienthong.Integer:
		value.Int, ok = parseInteger(cell)
	case lienthong.Boolean:
		value.Int = 0
		switch string(cell) {
		case "true":
			value.Int = 1
		case "false":
		default:
			ok = false
		}
	case lienthong.Real:
		number, err := strconv.ParseFloat(string(cell), 64)
		value.Int, ok = int64(math.Float64bits(number)), err == nil // #nosec G115 -- the bits of a float
	case lienthong.Binary:
		var n int
		var err error
		n, err = base64.StdEncoding.Decode(cell, cell) // never overtakes what it reads
		value.Bytes, ok = cell[:n], err == nil
	}
	if !ok {
		value.State = lienthong.Malformed
	}
}

// parseInteger reads a whole number.
func parseInteger(text []byte) (int64, bool) {
	if len(text) == 0 || len(text) > 18 {
		number, err := strconv.ParseInt(string(text), 10, 64)
		return number, err == nil
	}
	digits := text
	if digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 {
		return 0, false
	}
	var number int64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		number = number*10 + int64(c-'0')
	}
	if text[0] == '-' {
		number = -number
	}
	return number, true
}

// parseDay reads 2006-01-02 as the number of the day. Years have four digits or
// more, and may be negative.
func parseDay(text []byte) (int64, bool) {
	if len(text) != 10 {
		return parseFarDay(text)
	}
	const (
		// What must be equal in the first eight bytes "YYYY-MM-": the dashes, and the high
		// half of each digit.
		mask = 0xfff0f0fff0f0f0f0
		want = 0x2d30302d30303030
	)
	word := binary.LittleEndian.Uint64(text)
	d1, d2 := text[8]-'0', text[9]-'0'
	low := word & 0x0f0f000f0f0f0f
	if word&mask != want || (low+0x06060006060606)&0xf0f000f0f0f0f0 != 0 || d1 > 9 || d2 > 9 {
		return parseFarDay(text)
	}
	year := int64(text[0]-'0')*1000 + int64(text[1]-'0')*100 + int64(text[2]-'0')*10 + int64(text[3]-'0')
	month := int64(text[5]-'0')*10 + int64(text[6]-'0')
	return civilDay(year, month, int64(d1)*10+int64(d2))
}

func parseFarDay(text []byte) (int64, bool) {
	dash := bytes.LastIndexByte(text, '-')
	if dash < 0 || len(text)-dash != 3 {
		return 0, false
	}
	head := text[:dash]
	second := bytes.LastIndexByte(head, '-')
	if second < 4 || len(head)-second != 3 || second > 9 || head[second-1] == '-' {
		return 0, false
	}
	digits := head[:second]
	if digits[0] == '-' {
		digits = digits[1:]
	}
	year, ok1 := parseInteger(head[:second])
	month, ok2 := twoDigits(head[second+1:])
	day, ok3 := twoDigits(text[dash+1:])
	if len(digits) < 4 || !ok1 || !ok2 || !ok3 {
		return 0, false
	}
	return civilDay(year, month, day)
}

func twoDigits(text []byte) (int64, bool) {
	a, b := text[0]-'0', text[1]-'0'
	return int64(a)*10 + int64(b), a <= 9 && b <= 9
}

// civilDay is the number of a day of the calendar, if there is such a day.
func civilDay(year, month, day int64) (int64, bool) {
	if month < 1 || month > 12 || day < 1 || day > 31 || day > 28 && day > monthDays(year, month) {
		return 0, false
	}
	// Count years from March, so that the leap day is the last of its year.
	if month <= 2 {
		year--
		month += 12
	}
	era := floorDiv(year, 400)
	ofEra := year - era*400
	return era*146097 + ofEra*365 + ofEra/4 - ofEra/100 + (153*(month-3)+2)/5 + day - 1 - 719468, true
}

func monthDays(year, month int64) int64 {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// parseMoment reads 2006-01-02T15:04:05.000000Z, and any other time of RFC 3339, in
// microseconds.
func parseMoment(text []byte) (int64, bool) {
	if len(text) == 27 && text[10] == 'T' && text[13] == ':' && text[16] == ':' && text[19] == '.' && text[26] == 'Z' {
		day, ok := parseDay(text[:10])
		hour, ok1 := twoDigits(text[11:])
		minute, ok2 := twoDigits(text[14:])
		second, ok3 := twoDigits(text[17:])
		if ok && ok1 && ok2 && ok3 && hour < 24 && minute < 60 && second < 60 {
			micros := int64(0)
			for _, c := range text[20:26] {
				if c < '0' || c > '9' {
					return 0, false
				}
				micros = micros*10 + int64(c-'0')
			}
			return day*dayMicros + (hour*3600+minute*60+second)*1e6 + micros, true
		}
		return 0, false
	}
	moment, err := time.Parse(time.RFC3339Nano, string(text))
	return moment.UnixMicro(), err == nil
}
