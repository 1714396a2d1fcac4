package ticket

import (
	"encoding/hex"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/calendar"
)

// What people write for no value at all. An empty cell says nothing.
const (
	emptyVi = "(trống)"
	emptyEn = "(empty)"
)

// wrongValue is why a cell is not a value of its field.
type wrongValue struct{ code, vi, en string }

func wrong(code, vi, en string) (lienthong.Value, *wrongValue) {
	return lienthong.Value{}, &wrongValue{code, vi, en}
}

func present(n int64) lienthong.Value { return lienthong.Value{State: lienthong.Present, Int: n} }

// parseCell reads what somebody wrote as the right value of a field. Where two readings are possible it
// refuses instead of choosing: a wrong value that looks right is worse than a question.
func parseCell(c *cell, kind lienthong.Kind, date1904 bool) (lienthong.Value, *wrongValue) {
	switch {
	case c.formula:
		return wrong("ticket.formula", "ô có công thức; hãy ghi giá trị", "the cell holds a formula; write the value")
	case c.failed:
		return wrong("ticket.cell", "ô đang báo lỗi của bảng tính", "the cell shows an error of the spreadsheet")
	}
	text := tidyText(c.text)
	if folded := strings.ToLower(text); folded == emptyVi || folded == emptyEn {
		return lienthong.Value{State: lienthong.Null}, nil
	}
	switch kind {
	case lienthong.Text:
		return parseText(c, text)
	case lienthong.Integer:
		return parseWhole(c, text)
	case lienthong.Decimal:
		return parseDecimal(c, text)
	case lienthong.Real:
		return parseReal(text)
	case lienthong.Boolean:
		return parseBoolean(text)
	case lienthong.Date:
		return parseDate(c, text, date1904)
	case lienthong.Timestamp:
		return parseTimestamp(c, text, date1904)
	case lienthong.Binary:
		data, err := hex.DecodeString(text)
		if err != nil {
			return wrong("ticket.binary", "cần chuỗi thập lục phân", "hexadecimal digits are expected")
		}
		return lienthong.Value{State: lienthong.Present, Bytes: data}, nil
	}
	return wrong("ticket.cell", "không ghi được trường này bằng sổ làm việc", "this field cannot be written in a workbook")
}

// tidyText is a text in NFC without white space at its ends; spaces of other
// widths, which come from copying, become plain ones.
func tidyText(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\u200b' || r == '\ufeff':
			return -1
		case r != '\n' && r != '\t' && r != '\r' && unicode.IsSpace(r):
			return ' '
		}
		return r
	}, text)
	return norm.NFC.String(strings.TrimSpace(text))
}

func parseText(c *cell, text string) (lienthong.Value, *wrongValue) {
	if c.number && strings.ContainsAny(text, "eE") {
		return wrong("ticket.digits_lost", "bảng tính đã đổi mã số thành số dạng khoa học, mất chữ số; hãy gõ lại dạng văn bản",
			"the spreadsheet turned the code into a number in scientific form and lost digits; type it again as text")
	}
	if c.boolean {
		return wrong("ticket.cell", "ô là giá trị logic, cần văn bản", "the cell holds true or false, a text is expected")
	}
	if strings.ContainsFunc(text, unprintable) || strings.ContainsRune(text, unicode.ReplacementChar) {
		return wrong("ticket.text", "văn bản có ký tự không đọc được", "the text holds characters that cannot be read")
	}
	return lienthong.Value{State: lienthong.Present, Bytes: []byte(text)}, nil
}

// plainNumber brings a number to digits with at most one point. Separators of thousands are
// refused, because 1.234 is one and a bit to some and a thousand and more to others.
func plainNumber(c *cell, text string) (string, *wrongValue) {
	ambiguous := &wrongValue{
		"ticket.number_ambiguous", "không rõ dấu ngăn hàng nghìn hay dấu thập phân; viết không ngăn hàng nghìn, dấu thập phân là dấu chấm và thêm một số 0 ở cuối nếu có đúng ba chữ số lẻ",
		"it is not clear whether the mark separates thousands or decimals; write no separators, and a point for decimals with one more 0 when there are exactly three of them",
	}
	if c.number {
		if !strings.ContainsAny(text, "eE") {
			return text, nil
		}
		number, _, err := big.ParseFloat(text, 10, 128, big.ToNearestEven)
		if err != nil || number.IsInf() || number.MantExp(nil) > 200 || number.MantExp(nil) < -200 {
			return "", &wrongValue{"ticket.number", "không phải số", "not a number"}
		}
		return strings.TrimSuffix(strings.TrimRight(number.Text('f', 40), "0"), "."), nil
	}
	points, commas := strings.Count(text, "."), strings.Count(text, ",")
	if points+commas > 1 {
		return "", ambiguous
	}
	plain := strings.Replace(text, ",", ".", 1)
	whole, fraction, found := strings.Cut(plain, ".")
	if found && len(fraction) == 3 && len(strings.TrimLeft(whole, "+-0")) <= 3 && strings.TrimLeft(whole, "+-0") != "" {
		return "", ambiguous
	}
	return plain, nil
}

func parseWhole(c *cell, text string) (lienthong.Value, *wrongValue) {
	plain, why := plainNumber(c, text)
	if why != nil {
		return lienthong.Value{}, why
	}
	if whole, fraction, found := strings.Cut(plain, "."); found && strings.Trim(fraction, "0") == "" {
		plain = whole
	}
	n, err := strconv.ParseInt(plain, 10, 64)
	if err != nil {
		return wrong("ticket.number", "không phải số nguyên", "not a whole number")
	}
	return present(n), nil
}

func parseDecimal(c *cell, text string) (lienthong.Value, *wrongValue) {
	plain, why := plainNumber(c, text)
	if why != nil {
		return lienthong.Value{}, why
	}
	plain = strings.TrimPrefix(plain, "+")
	sign := ""
	if strings.HasPrefix(plain, "-") {
		sign, plain = "-", plain[1:]
	}
	whole, fraction, found := strings.Cut(plain, ".")
	if !allDigits(whole) || found && !allDigits(fraction) {
		return wrong("ticket.number", "không phải số", "not a number")
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	out := whole
	if fraction != "" {
		out += "." + fraction
	}
	if strings.Trim(out, "0.") != "" {
		out = sign + out
	}
	return lienthong.Value{State: lienthong.Present, Bytes: []byte(out)}, nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func parseReal(text string) (lienthong.Value, *wrongValue) {
	number, err := strconv.ParseFloat(strings.Replace(text, ",", ".", 1), 64)
	if err != nil || math.IsInf(number, 0) || math.IsNaN(number) {
		return wrong("ticket.number", "không phải số", "not a number")
	}
	return present(int64(math.Float64bits(number))), nil
}

func parseBoolean(text string) (lienthong.Value, *wrongValue) {
	switch strings.ToLower(text) {
	case "1", "true", "đúng", "có", "yes":
		return present(1), nil
	case "0", "false", "sai", "không", "no":
		return present(0), nil
	}
	return wrong("ticket.boolean", "ghi có hoặc không", "write yes or no")
}

// serialDay is the day of a number that a spreadsheet shows as a date.
func serialDay(text string, date1904 bool) (day int64, fraction float64, why *wrongValue) {
	serial, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(serial) {
		return 0, 0, &wrongValue{"ticket.date", "không phải ngày; viết dd/mm/yyyy", "not a date; write dd/mm/yyyy"}
	}
	whole := math.Floor(serial)
	if date1904 {
		whole += 1462
	}
	switch {
	case whole >= 1900 && whole <= 2100 && serial == math.Floor(serial):
		return 0, 0, &wrongValue{"ticket.date_ambiguous", "không rõ là năm hay ngày; viết đủ dd/mm/yyyy dạng văn bản", "it is not clear whether this is a year or a date; write dd/mm/yyyy as text"}
	case whole < 61 || whole > 2958465: // before 1 March 1900 spreadsheets disagree about the days
		return 0, 0, &wrongValue{"ticket.date", "không phải ngày; viết dd/mm/yyyy", "not a date; write dd/mm/yyyy"}
	}
	return int64(whole) - 25569, serial - math.Floor(serial), nil
}

// dateLayouts are the ways to write a date: day first, as in Viet Nam, or year first.
func dateLayouts() []string {
	return []string{"2/1/2006", "2-1-2006", "2.1.2006", "2006-1-2"}
}

func parseDate(c *cell, text string, date1904 bool) (lienthong.Value, *wrongValue) {
	if c.number {
		day, _, why := serialDay(text, date1904)
		if why != nil {
			return lienthong.Value{}, why
		}
		return present(day), nil
	}
	for _, layout := range dateLayouts() {
		if date, err := time.Parse(layout, text); err == nil && date.Year() > 0 {
			return present(date.Unix() / 86400), nil
		}
	}
	return wrong("ticket.date", "không phải ngày; viết dd/mm/yyyy", "not a date; write dd/mm/yyyy")
}

// parseTimestamp reads canonical timestamps, and dates with a clock of Viet Nam.
func parseTimestamp(c *cell, text string, date1904 bool) (lienthong.Value, *wrongValue) {
	if c.number {
		day, fraction, why := serialDay(text, date1904)
		if why != nil {
			return lienthong.Value{}, why
		}
		seconds := int64(math.Round(fraction * 86400))
		return present(time.Unix(day*86400+seconds, 0).Add(-7 * time.Hour).UnixMicro()), nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil && at.Year() > 0 {
		return present(at.UnixMicro()), nil
	}
	for _, layout := range dateLayouts() {
		for _, clock := range []string{" 15:04:05", " 15:04"} {
			if at, err := time.ParseInLocation(layout+clock, text, calendar.Zone()); err == nil && at.Year() > 0 {
				return present(at.UnixMicro()), nil
			}
		}
	}
	return wrong("ticket.date", "không phải thời điểm; viết dd/mm/yyyy hh:mm", "not a time; write dd/mm/yyyy hh:mm")
}
