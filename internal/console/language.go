package console

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// Language is a language of the console.
type Language string

// The languages.
const (
	Vietnamese Language = "vi"
	English    Language = "en"
)

func parseLanguage(s string) (Language, bool) {
	language := Language(s)
	return language, language == Vietnamese || language == English
}

// words says things in one language: texts, numbers and times.
type words struct {
	language Language
	texts    map[string]Text
	now      func() time.Time
	zone     *time.Location
}

func newWords(language Language, now func() time.Time) *words {
	return &words{
		language: language, texts: catalogue(), now: now,
		// Viet Nam has one zone and no summer time; a fixed zone needs no zone files.
		zone: time.FixedZone("Asia/Ho_Chi_Minh", 7*3600),
	}
}

// functions are what templates may call.
func (w *words) functions(bundle *assets) template.FuncMap {
	return template.FuncMap{
		"t":           w.say,
		"text":        w.text,
		"number":      w.number,
		"rate":        w.rate,
		"percent":     w.percent,
		"lag":         w.duration,
		"clock":       w.clock,
		"moment":      w.moment,
		"short":       short,
		"grade":       grade,
		"word":        w.word,
		"hint":        w.hint,
		"asset":       bundle.URL,
		"language":    func() Language { return w.language },
		"spark":       sparkline,
		"share":       share,
		"six":         sixCriteria,
		"perfect":     func(parts []Part) []Part { return partsAt100(parts, true) },
		"imperfect":   func(parts []Part) []Part { return partsAt100(parts, false) },
		"weight":      w.weight,
		"instant":     instant,
		"date":        w.dateOf,
		"both":        func(vi, en string) Text { return Text{Vi: vi, En: en} },
		"next":        func(i int) int { return i + 1 },
		"input":       inputOf,
		"flagWords":   flagWords,
		"bothOf":      textOf,
		"roleWord":    func(role stewardship.Role) Text { return textOf(role.Word()) },
		"stateWord":   func(state stewardship.State) Text { return textOf(state.Word()) },
		"verdictWord": verdictWord,
		"verdicts":    stewardship.Verdicts,
		"unitChoice":  unitChoice,
		"withForm":    withForm,
		"unverified":  func(confidence string) bool { return confidence != "A" },
	}
}

// say returns a text of the catalogue with its arguments, which are already in
// the language. A key that does not exist is an error, so that a test finds it.
func (w *words) say(key string, arguments ...any) (string, error) {
	entry, ok := w.texts[key]
	if !ok {
		return "", fmt.Errorf("console: no text %q", key)
	}
	if len(arguments) == 0 {
		return w.text(entry), nil
	}
	return fmt.Sprintf(w.text(entry), arguments...), nil
}

// word says a value of one of our small vocabularies: "state.matching". An
// empty value has the text "….none".
func (w *words) word(kind string, value any) (string, error) {
	name := fmt.Sprint(value)
	switch name {
	case "":
		name = "none"
	case string(lienthong.Matches):
		name = "matches"
	case string(lienthong.Differs):
		name = "differs"
	case string(lienthong.Failed):
		name = "failed"
	}
	return w.say(kind + "." + name)
}

// text chooses the language of a bilingual text.
func (w *words) text(t Text) string {
	if (w.language == Vietnamese && t.Vi != "") || t.En == "" {
		return t.Vi
	}
	return t.En
}

// hint chooses its half of "viết thế này / write it like this", the form in
// which errors carry what to do next.
func (w *words) hint(both string) string {
	vi, en, found := strings.Cut(both, " / ")
	if !found {
		return both
	}
	return w.text(Text{Vi: vi, En: en})
}

// number groups digits: 1.234.567 in Vietnamese, 1,234,567 in English.
func (w *words) number(value any) (string, error) {
	var digits string
	switch n := value.(type) {
	case int:
		digits = strconv.Itoa(n)
	case int64:
		digits = strconv.FormatInt(n, 10)
	case uint64:
		digits = strconv.FormatUint(n, 10)
	default:
		return "", fmt.Errorf("console: %T is not a count", value)
	}
	return w.group(digits), nil
}

func (w *words) group(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	separator := byte('.')
	if w.language == English {
		separator = ','
	}
	var b strings.Builder
	b.WriteString(sign)
	for i := range len(digits) {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(separator)
		}
		b.WriteByte(digits[i])
	}
	return b.String()
}

// decimal writes a number with one digit after the mark of the language.
func (w *words) decimal(value float64) string {
	whole, fraction, _ := strings.Cut(strconv.FormatFloat(value, 'f', 1, 64), ".")
	mark := ","
	if w.language == English {
		mark = "."
	}
	return w.group(whole) + mark + fraction
}

// rate writes a number per second: whole, except when it is small.
func (w *words) rate(perSecond float64) string {
	switch {
	case math.IsNaN(perSecond) || math.IsInf(perSecond, 0) || perSecond <= 0:
		return "0"
	case perSecond < 10:
		return w.decimal(perSecond)
	}
	return w.group(strconv.FormatFloat(math.Round(perSecond), 'f', 0, 64))
}

// percent never rounds up: 99.96 is 99.9, so that 100 means all.
func (w *words) percent(s Score) string {
	if !s.Known {
		return "–"
	}
	value := math.Floor(s.Percent*10) / 10
	if value == math.Trunc(value) {
		return strconv.FormatFloat(value, 'f', 0, 64)
	}
	return w.decimal(value)
}

// weight writes what a part counts for, unless that is the usual 1.
func (w *words) weight(weight float64) string {
	switch {
	case weight == 0 || weight == 1:
		return ""
	case weight == math.Trunc(weight):
		return w.group(strconv.FormatFloat(weight, 'f', 0, 64))
	}
	return w.decimal(weight)
}

// partsAt100 chooses the parts that score 100, or the others, worst first.
func partsAt100(parts []Part, perfect bool) []Part {
	var chosen []Part
	for _, part := range parts {
		if (part.Percent >= 100) == perfect {
			chosen = append(chosen, part)
		}
	}
	if !perfect {
		slices.SortStableFunc(chosen, func(a, b Part) int { return cmp.Compare(a.Percent, b.Percent) })
	}
	return chosen
}

// duration writes a lag in the unit that a person would use.
func (w *words) duration(d time.Duration) string {
	unit := func(value, key string) string {
		name, err := w.say("unit." + key)
		if err != nil {
			return value
		}
		return value + " " + name
	}
	switch {
	case d < time.Second:
		return unit(strconv.FormatInt(d.Milliseconds(), 10), "ms")
	case d < time.Minute:
		return unit(w.decimal(d.Seconds()), "s")
	case d < time.Hour:
		return unit(strconv.Itoa(int(d.Minutes())), "minutes")
	case d < 48*time.Hour:
		return unit(strconv.Itoa(int(d.Hours())), "hours")
	}
	return unit(strconv.Itoa(int(d.Hours()/24)), "days")
}

// clock is the time of day in Viet Nam.
func (w *words) clock(at time.Time) string {
	if at.IsZero() {
		return "–"
	}
	return at.In(w.zone).Format(time.TimeOnly)
}

// moment is the time of day, with the date when that is not today.
func (w *words) moment(at time.Time) string {
	if at.IsZero() {
		return "–"
	}
	local, today := at.In(w.zone), w.now().In(w.zone)
	if local.YearDay() == today.YearDay() && local.Year() == today.Year() {
		return local.Format(time.TimeOnly)
	}
	if w.language == English {
		return local.Format("2 Jan 2006 15:04:05")
	}
	return local.Format("02/01/2006 15:04:05")
}

// dateOf is the day in Viet Nam of an instant in microseconds; empty for the beginning and the end
// of time.
func (w *words) dateOf(at int64) string {
	if at == math.MinInt64 || at == math.MaxInt64 || at == 0 {
		return ""
	}
	if w.language == English {
		return time.UnixMicro(at).In(w.zone).Format("2 Jan 2006")
	}
	return time.UnixMicro(at).In(w.zone).Format("02/01/2006")
}

// instant is a time of the domain packages; none for 0.
func instant(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros)
}

// short shows enough of a digest to compare it by eye.
func short(digest string) string {
	if len(digest) <= 12 {
		return digest
	}
	return digest[:12] + "…"
}

// grade is the colour of a score: the limits are those of Official Letter
// 4856/BCA-TTDLQG.
func grade(s Score) string {
	switch {
	case !s.Known:
		return "unknown"
	case s.Gated:
		return "red"
	case s.Percent >= 90:
		return "green"
	case s.Percent >= 75:
		return "yellow"
	}
	return "red"
}

// share is done/total in whole percent, within 0 and 100, for bars.
func share(done, total int64) int64 {
	if total <= 0 || done <= 0 {
		return 0
	}
	if done >= total {
		return 100
	}
	return int64(float64(done) / float64(total) * 100)
}

// sixCriteria brings the scores into the order of the Resolution and fills in
// those that are missing, so that columns always line up.
func sixCriteria(given []CriterionScore) []CriterionScore {
	six := make([]CriterionScore, 0, 6)
	for _, criterion := range lienthong.Criteria() {
		one := CriterionScore{Criterion: criterion}
		for _, score := range given {
			if score.Criterion == criterion {
				one = score
			}
		}
		six = append(six, one)
	}
	return six
}
