package address

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"

	"github.com/lienthong/lienthong/internal/dictionary"
)

// labelled is a generated address with the unit of today that is right for it; "" when only
// a person can know.
type labelled struct {
	text  string
	asOf  int64
	now   string
	typos int
}

// generate writes addresses of both periods, in every style, some with typing errors.
func generate(d *dictionary.Dictionary, random *rand.Rand, n int, erring float64) []labelled {
	reform := dictionary.Reorganised()
	olds := oldAddresses(d)
	provinces := map[string]string{}
	for _, p := range d.Provinces(fixed()) {
		provinces[p.Code] = p.NameVi
	}
	units := d.Communes(fixed())
	styles := spellings()
	houses := []string{"", "", "Số 12", "Số nhà 45B, ngõ 12", "123/4/5 đường Nguyễn Trãi", "Thôn 3", "ấp Tân Thạnh", "Tổ 7, khu phố 2", "Chung cư A, P.1205"}
	list := make([]labelled, 0, n)
	for len(list) < n {
		var l labelled
		var parts [3]string
		if random.IntN(10) < 7 {
			a := &olds[random.IntN(len(olds))]
			if a.district == "" || unsure(d, a) {
				continue
			}
			parts = [3]string{a.commune, a.district, a.province}
			l.asOf = []int64{reform - 1, Unknown, reform + 1}[random.IntN(3)]
			if code, whole := d.Successor(a.code); whole {
				l.now = code
			}
		} else {
			u := &units[random.IntN(len(units))]
			parts = [3]string{u.Name, "", provinces[u.Province]}
			l.now, l.asOf = u.Code, reform+1
		}
		if random.Float64() < erring {
			l.typos = 1 + random.IntN(5)/4
			for range l.typos {
				i := random.IntN(3)
				parts[i] = misspell(random, parts[i])
			}
		}
		l.text = styles[random.IntN(len(styles)-1)].write(parts[0], parts[1], parts[2])
		if house := houses[random.IntN(len(houses))]; house != "" && !strings.HasPrefix(l.text, parts[2]) {
			l.text = house + ", " + l.text
		}
		list = append(list, l)
	}
	return list
}

// unsure leaves out what the generator cannot label: units found by an ambiguous name.
func unsure(d *dictionary.Dictionary, a *oldAddress) bool {
	for _, l := range d.Successors(a.code) {
		if l.Match != dictionary.ExactMatch {
			return true
		}
	}
	return false
}

// misspell makes one typing error in the name, not in its type: a letter lost, doubled,
// changed or swapped with its neighbour.
func misspell(random *rand.Rand, s string) string {
	letters := []rune(s)
	from := 0
	for _, prefix := range [...]string{"Thành phố ", "Thị trấn ", "Thị xã ", "Phường ", "Xã ", "Quận ", "Huyện ", "Tỉnh ", "Đặc khu "} {
		if strings.HasPrefix(s, prefix) {
			from = len([]rune(prefix))
			break
		}
	}
	if len(letters)-from < 4 {
		return s
	}
	i := from + random.IntN(len(letters)-from-1)
	if !unicode.IsLetter(letters[i]) || !unicode.IsLetter(letters[i+1]) {
		return s
	}
	switch random.IntN(4) {
	case 0:
		letters = append(letters[:i], letters[i+1:]...)
	case 1:
		letters = append(letters[:i+1], letters[i:]...)
	case 2:
		letters[i] = rune('a' + random.IntN(26))
	case 3:
		letters[i], letters[i+1] = letters[i+1], letters[i]
	}
	return string(letters)
}

// Of 20,000 generated addresses with typing errors, at least 99.5 % of the answers are right.
func TestPrecisionAndRecall(t *testing.T) {
	s, d := newStandardiser(t)
	tests := []struct {
		name              string
		erring            float64
		precision, recall float64
	}{
		{"as written in the list", 0, 0.9999, 0.995},
		{"half of them misspelt", 0.5, 0.999, 0.84},
		{"all of them misspelt", 1, 0.999, 0.69},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(2025, 7))
			var resolved, right, answerable int
			for _, l := range generate(d, random, 20_000, tt.erring) {
				if l.now != "" {
					answerable++
				}
				r := s.Standardise(l.text, l.asOf)
				now, ok := r.Resolved()
				if !ok {
					continue
				}
				resolved++
				if now.Code == l.now {
					right++
				} else if resolved-right < 15 {
					t.Logf("%q of %d -> %s %s (%.2f %v), right is %q", l.text, l.asOf, now.Code, now.Name, r.Confidence, r.Method, l.now)
				}
			}
			precision, recall := float64(right)/float64(resolved), float64(right)/float64(answerable)
			t.Logf("precision %.4f, recall %.4f: %d answers, %d right, %d answerable", precision, recall, resolved, right, answerable)
			if precision < tt.precision || recall < tt.recall {
				t.Errorf("precision %.4f, recall %.4f; want %.4f, %.2f", precision, recall, tt.precision, tt.recall)
			}
		})
	}
}
