package quality

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/lienthong/lienthong/internal/dictionary"
)

// FuzzLook compares the one look with the functions that it saves.
func FuzzLook(f *testing.F) {
	for _, text := range []string{
		"", " ", "Nguyễn Văn An", " Nguyễn", "Nguyễn ", "Lê  An", "Ng\tAn", "\t\n", "Nguye\u0302\u0303n An", "a\x00b", "\xc3", "ỹ\xe1\xba", "ẞ ẟ",
		"\u00a0An", "An\u2003", "Đặng\u1680", "Ớ ổ ỹ Ỹ", "Ỻ", "日本", "a\x1fb", "\u0085", strings.Repeat("ệ ", 20), "\xe1\xbb\xba", "\xe1\xba\x9f",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		want := utf8.Valid(text) && !strings.ContainsRune(string(text), 0)
		if got := validText(text); got != want {
			t.Errorf("validText(%q) = %v, want %v", text, got, want)
		}
		seen := look(text)
		if seen == 0 {
			return
		}
		if !want || !dictionary.IsNFC(text) {
			t.Errorf("look(%q) answers for text that is not valid or not in NFC", text)
		}
		if seen&glancedBlank != 0 != blank(text) {
			t.Errorf("look(%q): blank = %v", text, seen&glancedBlank != 0)
		}
		if seen&glancedTidy != 0 != tidy(text) {
			t.Errorf("look(%q): tidy = %v", text, seen&glancedTidy != 0)
		}
	})
}

// TestLookAnswersForVietnamese: otherwise it would only be a second look.
func TestLookAnswersForVietnamese(t *testing.T) {
	t.Parallel()
	letters := "aàảãáạăằẳẵắặâầẩẫấậbcdđeèẻẽéẹêềểễếệghiìỉĩíịklmnoòỏõóọôồổỗốộơờởỡớợpqrstuùủũúụưừửữứựvxyỳỷỹýỵ"
	for _, text := range []string{letters, strings.ToUpper(letters), "Số 12, đường Nguyễn Huệ, khóm 3"} {
		if look([]byte(text)) != glanced|glancedTidy {
			t.Errorf("look(%q) = %b", text, look([]byte(text)))
		}
	}
}

func TestDigitsOnly(t *testing.T) {
	t.Parallel()
	plain := func(text []byte) bool {
		for _, c := range text {
			if c < '0' || c > '9' {
				return false
			}
		}
		return true
	}
	text := []byte("0123456789012345678901234")
	for length := range len(text) {
		for at := range length {
			for c := range 256 {
				word := append([]byte(nil), text[:length]...)
				word[at] = byte(c)
				if digitsOnly(word) != plain(word) {
					t.Fatalf("digitsOnly(%q) = %v", word, digitsOnly(word))
				}
			}
		}
	}
}

func TestKeySet(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 5))
	word := func() string {
		b := make([]byte, 1+random.IntN(maxKey))
		for i := range b {
			b[i] = "01ab\xff"[random.IntN(5)]
		}
		return string(b)
	}
	for range 50 {
		words := make([]string, 1+random.IntN(300))
		first := map[string]int{}
		for i := range words {
			words[i] = word()
			if _, known := first[words[i]]; !known {
				first[words[i]] = i
			}
		}
		set := newKeySet(len(words), func(i int) string { return words[i] })
		for range 500 {
			asked := word()
			want, known := first[asked]
			if !known {
				want = -1
			}
			if got := set.find([]byte(asked)); got != want {
				t.Fatalf("find(%q) = %d, want %d", asked, got, want)
			}
		}
		if set.find(nil) != -1 || set.find([]byte("012345678")) != -1 {
			t.Fatal("found what fits into no key")
		}
	}
	for _, words := range [][]string{{"ok", ""}, {"123456789"}, {"a\x00"}} {
		if newKeySet(len(words), func(i int) string { return words[i] }) != nil {
			t.Errorf("a set of %q", words)
		}
	}
}

// TestFasterListIsTheList compares both at the borders of every period of the real lists.
func TestFasterListIsTheList(t *testing.T) {
	t.Parallel()
	d, err := dictionary.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	quick := 0
	for _, list := range d.CodeLists() {
		fast := faster(list)
		if fast != CodeList(list) {
			quick++
		}
		codes := list.Codes()
		for i := range codes {
			code := []byte(codes[i].Code)
			for _, at := range []int64{instant(checkedAt), codes[i].From, codes[i].From - 1, codes[i].To, codes[i].To - 1} {
				if fast.Valid(code, at) != list.Valid(code, at) {
					t.Fatalf("%s: %q at %d: %v", list.ID, code, at, fast.Valid(code, at))
				}
			}
		}
		for _, code := range []string{"", "x", "99999", "00000", "123456789"} {
			if fast.Valid([]byte(code), instant(checkedAt)) != list.Valid([]byte(code), instant(checkedAt)) {
				t.Errorf("%s: %q", list.ID, code)
			}
		}
	}
	if quick < 3 {
		t.Errorf("only %d lists became faster", quick)
	}
}
