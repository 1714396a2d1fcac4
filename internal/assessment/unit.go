package assessment

import (
	"math"
	"strconv"
	"strings"
)

// Unit says how a figure is written.
type Unit string

// The units.
const (
	Percent Unit = "percent"
	Count   Unit = "count"
	Seconds Unit = "seconds"
	Days    Unit = "days"
	Hours   Unit = "hours"
	Months  Unit = "months"
	YesNo   Unit = "yes_no" // 1 or 0
	Level   Unit = "level"
)

// write gives a figure as people of the language write it.
func (u Unit) write(value float64, language string) string {
	switch u {
	case YesNo:
		switch {
		case value != 0 && language == "en":
			return "yes"
		case value != 0:
			return "có"
		case language == "en":
			return "no"
		}
		return "không"
	case Percent:
		if value < 100 && value > 99.9 { // one wrong record in a million is not 100 %
			value = 99.9
		}
		return writeNumber(value, 1, language) + " %"
	case Seconds:
		digits := 1
		if value >= 60 {
			digits = 0
		} else if value < 1 {
			digits = 2
		}
		return writeNumber(value, digits, language) + " " + byLanguage(language, "giây", "s")
	case Days:
		return writeNumber(math.Floor(value), 0, language) + " " + byLanguage(language, "ngày", plural(value, "day"))
	case Hours:
		if value >= 48 {
			return Days.write(value/24, language)
		}
		return writeNumber(math.Round(value), 0, language) + " " + byLanguage(language, "giờ", plural(value, "hour"))
	case Months:
		return writeNumber(value, 0, language) + " " + byLanguage(language, "tháng", plural(value, "month"))
	case Level:
		return byLanguage(language, "cấp ", "level ") + writeNumber(value, 0, language)
	case Count:
	}
	return writeNumber(value, 0, language)
}

func plural(value float64, word string) string {
	if math.Floor(value) == 1 {
		return word
	}
	return word + "s"
}

func byLanguage(language, vi, en string) string {
	if language == "en" {
		return en
	}
	return vi
}

// writeNumber groups thousands and drops a fraction of zeros: 1.234,5 in Vietnamese.
func writeNumber(value float64, digits int, language string) string {
	point, group := ",", "."
	if language == "en" {
		point, group = ".", ","
	}
	text := strconv.FormatFloat(math.Abs(value), 'f', digits, 64)
	whole, fraction, _ := strings.Cut(text, ".")
	fraction = strings.TrimRight(fraction, "0")
	var b strings.Builder
	if value < 0 && strings.Trim(whole+fraction, "0") != "" {
		b.WriteString("−")
	}
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteString(group)
		}
		b.WriteRune(digit)
	}
	if fraction != "" {
		b.WriteString(point)
		b.WriteString(fraction)
	}
	return b.String()
}
