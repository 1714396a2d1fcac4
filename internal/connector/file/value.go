package file

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lienthong/lienthong"
)

// convert makes a value of the kind from stored text. Bytes point to text.
func convert(state lienthong.State, text []byte, kind lienthong.Kind) lienthong.Value {
	if state != lienthong.Present {
		return lienthong.Value{State: state, Bytes: text}
	}
	switch kind {
	case lienthong.Text:
		return lienthong.Value{State: lienthong.Present, Bytes: text}
	case lienthong.Decimal:
		if isDecimal(text) {
			return lienthong.Value{State: lienthong.Present, Bytes: text}
		}
	case lienthong.Integer:
		if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return present(n)
		}
	case lienthong.Real:
		if f, err := strconv.ParseFloat(string(text), 64); err == nil {
			return present(int64(math.Float64bits(f)))
		}
	case lienthong.Boolean:
		switch strings.ToLower(string(text)) {
		case "1", "true", "x", "có":
			return present(1)
		case "0", "false", "không":
			return present(0)
		}
	case lienthong.Date:
		if t, err := time.Parse(time.DateOnly, string(text)); err == nil {
			return present(t.Unix() / 86400)
		}
	case lienthong.Timestamp:
		for _, form := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05.999999", "2006-01-02 15:04:05.999999", time.DateOnly} {
			if t, err := time.Parse(form, string(text)); err == nil {
				return present(t.UnixMicro())
			}
		}
	case lienthong.Binary:
	}
	return lienthong.Value{State: lienthong.Malformed, Bytes: text}
}

func present(n int64) lienthong.Value { return lienthong.Value{State: lienthong.Present, Int: n} }

// isDecimal accepts the canonical form only.
func isDecimal(s []byte) bool {
	whole, fraction, dotted := bytes.Cut(bytes.TrimPrefix(s, []byte("-")), []byte("."))
	digits := func(s []byte) bool {
		for _, c := range s {
			if c < '0' || c > '9' {
				return false
			}
		}
		return len(s) > 0
	}
	return digits(whole) && (len(whole) == 1 || whole[0] != '0') && (!dotted || digits(fraction))
}

// forms says how people write dates and numbers in a table's files.
type forms struct {
	monthFirst bool
	decimal    byte // ',', '.', or 0: what is not ambiguous
	era1904    bool
}

// canonical brings what people write to the form that convert reads. The
// second result is false when the text is not of the kind, or could mean two things.
func (f forms) canonical(dst, text []byte, kind lienthong.Kind) ([]byte, bool) {
	text = bytes.TrimSpace(bytes.ReplaceAll(text, []byte("\u00a0"), []byte(" ")))
	switch kind {
	case lienthong.Integer, lienthong.Decimal, lienthong.Real:
		return f.number(dst, text, kind)
	case lienthong.Boolean:
		switch strings.ToLower(string(text)) {
		case "1", "true", "x", "có", "co", "đúng", "yes", "y", "✓", "☑":
			return append(dst, "true"...), true
		case "0", "false", "không", "khong", "sai", "no", "n", "☐":
			return append(dst, "false"...), true
		}
	case lienthong.Date:
		if day, clock, ok := f.date(string(text)); ok && clock == 0 {
			return day.AppendFormat(dst, time.DateOnly), true
		}
	case lienthong.Timestamp:
		if day, clock, ok := f.date(string(text)); ok {
			return day.Add(clock).AppendFormat(dst, "2006-01-02T15:04:05.999999"), true
		}
	case lienthong.Text, lienthong.Binary:
	}
	return dst, false
}

// number reads 1.234.567,89 and 1,234,567.89 and 1 234 567. A lone separator before exactly
// three digits could mean a thousand or a decimal: only the declaration decides.
func (f forms) number(dst, text []byte, kind lienthong.Kind) ([]byte, bool) {
	start := len(dst)
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		if text[0] == '-' {
			dst = append(dst, '-')
		}
		text = text[1:]
	}
	commas, dots := bytes.Count(text, []byte(",")), bytes.Count(text, []byte("."))
	comma, dot := bytes.LastIndexByte(text, ','), bytes.LastIndexByte(text, '.')
	decimal := f.decimal
	if decimal == 0 {
		switch {
		case commas > 0 && dots > 0:
			decimal = '.'
			if comma > dot {
				decimal = ','
			}
		case commas > 1:
			decimal = '.'
		case dots > 1:
			decimal = ','
		case commas == 1:
			if len(text)-comma == 4 && comma <= 3 && text[0] != '0' {
				return dst[:start], false
			}
			decimal = ','
		case dots == 1:
			if kind == lienthong.Integer && len(text)-dot == 4 && dot <= 3 && text[0] != '0' {
				return dst[:start], false
			}
			decimal = '.'
		}
	}
	whole, fraction := text, []byte(nil)
	if at := bytes.LastIndexByte(text, decimal); decimal != 0 && at >= 0 {
		whole, fraction = text[:at], text[at+1:]
		if len(fraction) == 0 {
			return dst[:start], false
		}
	}
	thousands := byte('.')
	if decimal == '.' {
		thousands = ','
	}
	if bytes.IndexByte(whole, ' ') >= 0 {
		thousands = ' '
	}
	groups := bytes.Split(whole, []byte{thousands})
	for i, group := range groups {
		if len(groups) > 1 && (i > 0 && len(group) != 3 || i == 0 && (len(group) == 0 || len(group) > 3)) {
			return dst[:start], false
		}
		dst = append(dst, group...)
	}
	digits := start
	if digits < len(dst) && dst[digits] == '-' {
		digits++
	}
	for len(dst)-digits > 1 && dst[digits] == '0' {
		dst = append(dst[:digits], dst[digits+1:]...)
	}
	if kind == lienthong.Integer {
		if len(bytes.Trim(fraction, "0")) > 0 {
			return dst[:start], false
		}
		fraction = nil
	}
	if len(fraction) > 0 {
		dst = append(append(dst, '.'), fraction...)
	}
	return dst, isDecimal(dst[start:])
}

// date reads a day, with or without a time, in the forms that occur: 31/12/1990, 1990-12-31,
// 19901231, 31.12.1990, ngày 31 tháng 12 năm 1990, 31-Dec-1990, the serial number 33238. A year of
// two digits, and a date without its day, are refused: they could mean two days.
func (f forms) date(text string) (time.Time, time.Duration, bool) {
	var clock time.Duration
	day := text
	if at := strings.IndexAny(text, "T "); at >= 6 && strings.Contains(text[at:], ":") {
		c, ok := parseClock(strings.TrimSpace(text[strings.LastIndexAny(text[:strings.IndexByte(text, ':')], "T ")+1:]))
		if !ok {
			return time.Time{}, 0, false
		}
		clock, day = c, strings.TrimRight(text[:strings.LastIndexAny(text[:strings.IndexByte(text, ':')], "T ")], " ,")
	}
	var numbers [3]int
	var widths [3]int
	count, month := 0, 0
	for i := 0; i < len(day); {
		c := day[i]
		switch {
		case c >= '0' && c <= '9':
			from := i
			for i < len(day) && day[i] >= '0' && day[i] <= '9' {
				i++
			}
			if count == 3 || i-from > 8 {
				return time.Time{}, 0, false
			}
			numbers[count], _ = strconv.Atoi(day[from:i])
			widths[count] = i - from
			count++
		case c == '/' || c == '-' || c == '.' || c == ' ' || c == ',':
			i++
		default:
			from := i
			for i < len(day) && (day[i] >= utf8.RuneSelf || day[i]|0x20 >= 'a' && day[i]|0x20 <= 'z') {
				i++
			}
			if from == i {
				return time.Time{}, 0, false
			}
			word := strings.ToLower(day[from:i])
			if at := strings.Index(" jan feb mar apr may jun jul aug sep oct nov dec ", " "+word[:min(3, len(word))]+" "); len(word) >= 3 && at >= 0 && month == 0 {
				month = at/4 + 1
				continue
			}
			switch word {
			case "ngày", "tháng", "năm":
			default:
				return time.Time{}, 0, false
			}
		}
	}
	return f.calendar(numbers[:count], widths[:count], month, clock)
}

func (f forms) calendar(numbers, widths []int, month int, clock time.Duration) (time.Time, time.Duration, bool) {
	var y, m, d int
	switch {
	case len(numbers) == 3 && month == 0 && widths[0] == 4:
		y, m, d = numbers[0], numbers[1], numbers[2]
	case len(numbers) == 3 && month == 0 && widths[2] == 4:
		d, m, y = numbers[0], numbers[1], numbers[2]
		if f.monthFirst {
			d, m = m, d
		}
	case len(numbers) == 2 && month > 0 && widths[1] == 4:
		d, m, y = numbers[0], month, numbers[1]
	case len(numbers) == 1 && widths[0] == 8:
		y, m, d = numbers[0]/10000, numbers[0]/100%100, numbers[0]%100
	case len(numbers) == 1 && widths[0] == 5:
		base := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
		if f.era1904 {
			base = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		return base.AddDate(0, 0, numbers[0]), clock, true
	}
	at := time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC)
	ok := y >= 1000 && m >= 1 && m <= 12 && d >= 1 && at.Day() == d
	return at, clock, ok
}

// parseClock reads 7:05, 07:05:30, 07:05:30.5, 7:05 SA, 7:05 PM.
func parseClock(text string) (time.Duration, bool) {
	text = strings.ToUpper(strings.TrimSuffix(text, "Z"))
	half := -1
	for _, mark := range [...]struct {
		text string
		half int
	}{{"SA", 0}, {"AM", 0}, {"CH", 12}, {"PM", 12}} {
		if rest, ok := strings.CutSuffix(text, mark.text); ok {
			text, half = strings.TrimSpace(rest), mark.half
		}
	}
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return 0, false
	}
	h, err1 := strconv.Atoi(parts[0])
	m, err2 := strconv.Atoi(parts[1])
	s := 0.0
	if len(parts) == 3 {
		var err error
		if s, err = strconv.ParseFloat(parts[2], 64); err != nil {
			return 0, false
		}
	}
	if half >= 0 {
		if h < 1 || h > 12 {
			return 0, false
		}
		h = h%12 + half
	}
	if err1 != nil || err2 != nil || h < 0 || h > 23 || m < 0 || m > 59 || !(s >= 0 && s < 60) {
		return 0, false
	}
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(math.Round(s*1e6))*time.Microsecond, true
}

// wrongKind is the note on a cell that is not of its column's kind: what is wrong and what to do.
func wrongKind(kind lienthong.Kind) (vi, en string) {
	switch kind {
	case lienthong.Date:
		return "giá trị không đúng kiểu ngày; ghi ngày/tháng/năm đủ 4 chữ số năm, ví dụ 31/12/1990",
			"the value is not a valid date; write day/month/year with four digits of the year, as in 31/12/1990"
	case lienthong.Timestamp:
		return "giá trị không đúng kiểu ngày giờ; ghi ví dụ 31/12/1990 14:30", "the value is not a valid timestamp; write it as 31/12/1990 14:30"
	case lienthong.Integer:
		return "giá trị không đúng kiểu số nguyên; chỉ ghi chữ số, không dấu phân cách nghìn", "the value is not a valid integer; write digits only, without thousands separators"
	case lienthong.Decimal, lienthong.Real:
		return "giá trị không đúng kiểu số, hoặc không rõ dấu phân cách là nghìn hay thập phân; ghi ví dụ 1234,5", "the value is not a valid " + kind.String() + ", or its separator could mean thousands or decimals; write it as 1234,5"
	case lienthong.Boolean:
		return "giá trị không đúng kiểu có/không; ghi Có hoặc Không", "the value is not a valid boolean; write Có or Không"
	case lienthong.Text, lienthong.Binary:
	}
	return "giá trị không đúng kiểu " + kind.String(), "the value is not a valid " + kind.String()
}

// wrongCell is the note on a cell that cannot be read at all.
func wrongCell(f fault) (vi, en string) {
	switch f {
	case faultError:
		return "ô có giá trị lỗi của công thức (#N/A, #REF!…); sửa công thức hoặc gõ giá trị", "the cell holds an error value of a formula (#N/A, #REF!…); correct the formula or type the value"
	case faultNoResult:
		return "công thức chưa có kết quả; mở tệp bằng Excel, bấm F9, lưu lại", "the formula has no stored result; open the file in Excel, press F9, save"
	case faultEncoding:
		return "chữ trong ô viết bằng bảng mã khác với phần còn lại của tệp; gõ lại bằng Unicode", "the text is in another encoding than the rest of the file; type it again in Unicode"
	case faultNone:
	}
	return "", ""
}
