package truth

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/lienthong/lienthong/internal/linkage"
)

// writer writes a person's record down, with mistakes.
type writer struct {
	person linkage.Person
	words  [3]string
	plain  bool
	name   string // instead of the words
}

func (w *writer) finish() linkage.Person {
	if w.name == "" {
		w.name = strings.Join(w.words[:], " ")
	}
	if w.plain {
		w.name = plainText(w.name)
	}
	w.person.Name = w.name
	return w.person
}

// background is what often differs between two entries, whatever else does.
func (w *writer) background(r *rand.Rand) {
	if chance(r, 12) {
		w.person.Number, w.person.OldNumber = "", ""
	}
	if chance(r, 20) && w.person.Phone != "" {
		w.person.Phone = fmt.Sprintf("0%09d", newPhone(r))
	}
	if chance(r, 8) {
		w.person.Commune = communeCode(uint16(r.IntN(communesToday)))
	}
	if chance(r, 20) {
		w.person.Mother, w.person.Father = linkage.Parent{}, linkage.Parent{}
	}
	if chance(r, 5) {
		w.plain = true
	}
	if chance(r, 10) && w.person.Commune != "" {
		// Written down with the code of before.
		var today int
		if _, err := fmt.Sscanf(w.person.Commune, "%d", &today); err == nil {
			w.person.CommuneBefore = fmt.Sprintf("%05d", 10_000+3*today+r.IntN(3))
			w.person.Commune = ""
		}
	}
}

// mistake makes one slip.
func (w *writer) mistake(r *rand.Rand, slip Slip, h *human) {
	switch slip {
	case NoMarks:
		w.plain = true
	case SomeMarks:
		at := r.IntN(len(w.words))
		if chance(r, 50) {
			w.words[at] = plainText(w.words[at])
		} else {
			w.words[at] = strings.Map(otherTone, w.words[at])
		}
	case WordOrder:
		w.name = w.words[2] + " " + w.words[0] + " " + w.words[1]
		if chance(r, 50) {
			w.name = w.words[1] + " " + w.words[2] + " " + w.words[0]
		}
	case MissingWord:
		middle := strings.Fields(w.words[1])
		w.name = strings.Join(slices.Concat([]string{w.words[0]}, middle[1:], []string{w.words[2]}), " ")
	case Misspelt:
		at := r.IntN(len(w.words))
		words := strings.Fields(w.words[at])
		which := r.IntN(len(words))
		words[which] = misspell(r, words[which])
		w.words[at] = strings.Join(words, " ")
	case NumberDigit:
		w.person.Number = wrongDigit(r, w.person.Number)
		w.person.OldNumber = wrongDigit(r, w.person.OldNumber)
	case NumberSwapped:
		w.person.Number = swapDigits(r, w.person.Number)
		w.person.OldNumber = swapDigits(r, w.person.OldNumber)
	case NumberMissing:
		w.person.Number, w.person.OldNumber = "", ""
	case NumberElse:
		if w.person.Number != "" {
			w.person.Number = w.person.Number[:6] + fmt.Sprintf("%06d", 1+r.IntN(999_998))
		}
	case NumberOld:
		w.person.Number, w.person.OldNumber = oldNumber(h), ""
	case Moved:
		w.person.Phone = fmt.Sprintf("0%09d", newPhone(r))
		w.person.Commune = communeCode(uint16(r.IntN(communesToday)))
	case Two:
		kinds := []Slip{NoMarks, Misspelt, DayMonth, DateDigit, NumberDigit, NumberMissing, Moved}
		first := r.IntN(len(kinds))
		w.mistake(r, kinds[first], h)
		w.mistake(r, kinds[(first+1+r.IntN(len(kinds)-1))%len(kinds)], h)
	case DayMonth, DateDigit, YearOnly:
		w.misdate(r, slip)
	case Copied:
	}
}

func (w *writer) misdate(r *rand.Rand, slip Slip) {
	d := &w.person.Birth
	switch slip {
	case YearOnly:
		d.Month, d.Day = 0, 0
		return
	case DayMonth:
		if d.Day >= 1 && d.Day <= 12 && d.Day != d.Month {
			d.Day, d.Month = d.Month, d.Day
			return
		}
	}
	if d.Day == 0 {
		return
	}
	switch r.IntN(3) {
	case 0:
		if other := d.Day/10*10 + r.IntN(10); other >= 1 && other <= 28 {
			d.Day = other
		}
	case 1:
		if other := (d.Day + 10) % 40; other >= 1 && other <= 28 {
			d.Day = other
		}
	default:
		d.Year = d.Year/10*10 + (d.Year+1+r.IntN(8))%10
	}
}

func wrongDigit(r *rand.Rand, number string) string {
	if number == "" {
		return ""
	}
	b := []byte(number)
	at := r.IntN(len(b))
	b[at] = '0' + (b[at]-'0'+byte(1+r.IntN(9)))%10
	return string(b)
}

func swapDigits(r *rand.Rand, number string) string {
	if number == "" {
		return ""
	}
	b := []byte(number)
	start := r.IntN(len(b) - 1)
	for i := range len(b) - 1 {
		if at := (start + i) % (len(b) - 1); b[at] != b[at+1] {
			b[at], b[at+1] = b[at+1], b[at]
			break
		}
	}
	return string(b)
}
