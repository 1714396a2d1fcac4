package console

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/catalog"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// mappingPlace is a workplace in which mappings are administered, and what was published there.
func mappingPlace(t *testing.T, seen ...catalog.Observed) (*Workplace, *[]*dictionary.Definition) {
	t.Helper()
	place, records := newWorkplace(t)
	var published []*dictionary.Definition
	desk, err := stewardship.New(stewardship.Config{Documents: records, Kinds: append(place.Desk.Kinds(), stewardship.MappingKind(stewardship.MappingServices{
		Dictionary: place.Dictionary,
		Owner: func(database string) lienthong.MemberCode {
			if database == "population" {
				return "G01"
			}
			return ""
		},
		Published: func(_ context.Context, _ lienthong.DatasetID, def *dictionary.Definition) error {
			published = append(published, def)
			return nil
		},
	}))})
	if err != nil {
		t.Fatal(err)
	}
	place.Desk = desk
	if err := place.Register.Observe(t.Context(), seen...); err != nil {
		t.Fatal(err)
	}
	return place, &published
}

func seenPeople() catalog.Observed {
	text := func(name string) lienthong.Column {
		return lienthong.Column{Name: name, SourceType: "character varying(100)", Kind: lienthong.Text, Nullable: true}
	}
	return catalog.Observed{
		Dataset: lienthong.DatasetID{Database: "population", Name: "person"}, Member: "G01", Engine: "postgres", Table: "cong_dan",
		Columns: []lienthong.Column{text("so_dinh_danh"), text("ho_ten"), text("ngay_sinh"), text("gtinh"), text("so_dien_thoai"), text("ma_cb_nhap"), text("ghi_chu")},
	}
}

func TestMappingPages(t *testing.T) {
	place, _ := mappingPlace(t, seenPeople())
	server := workplaceServer(t, place)
	for _, language := range []string{"vi", "en"} {
		for _, as := range []string{"steward", "viewer"} {
			for _, path := range []string{"/mapping", "/mapping/population.person"} {
				status, page := getPage(t, server, as, language, path)
				if status != http.StatusOK {
					t.Errorf("%s: %d", path, status)
				}
				checkStructure(t, page)
				if as == "viewer" && strings.Contains(page, `id="save"`) {
					t.Error("somebody who may only look is offered to save")
				}
			}
		}
	}
	for _, path := range []string{"/mapping/population.nothing", "/mapping/no.such", "/mapping/Not%20one", "/mapping/population.nothing.yaml"} {
		if status, _ := getPage(t, server, "steward", "vi", path); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
	// What people agreed about before can be downloaded although nobody has worked on it here.
	status, text := getPage(t, server, "viewer", "vi", "/mapping/population.person.yaml")
	if _, err := dictionary.ParseDefinition("person.yaml", []byte(text)); err != nil || status != http.StatusOK {
		t.Errorf("%d %v\n%s", status, err, text)
	}
	empty, _ := mappingPlace(t)
	if _, page := getPage(t, workplaceServer(t, empty), "steward", "vi", "/mapping"); !strings.Contains(page, "lienthong database add") {
		t.Error("an empty page does not say what to do")
	}
}

// A steward confirms what is likely, corrects a column, and others approve; then the node's definition can be downloaded.
func TestMapping_FromProposalToDefinition(t *testing.T) {
	place, published := mappingPlace(t, seenPeople())
	server := workplaceServer(t, place)
	b := browser{t, newTab(t), server.URL}
	b.do(b.open("other", "/mapping/population.person"), b.see("#save"), chromedp.Click(chromedp.CSS("#save")), b.see(".notice.red"))
	if got := b.text(".notice.red"); !strings.Contains(got, "chỉ cơ quan chủ quản") {
		t.Errorf("another organisation is told %q", got)
	}
	b.do(b.open("steward", "/mapping"), b.see("#datasets"), chromedp.Click(chromedp.CSS(`a[href="/mapping/population.person"]`)), b.see("#counts"))
	if got := b.text("#counts"); !strings.HasPrefix(got, "3 đã ánh xạ, 2 chờ xác nhận") {
		t.Errorf("at the beginning: %q", got)
	}
	// It cannot go on with proposals that nobody has confirmed.
	b.set(`input[name=remark]`, "đã đối chiếu")
	b.do(chromedp.Click(chromedp.CSS("#submit")), b.see("#problems"))
	if got := b.text("body"); !strings.Contains(got, "còn 2 cột có đề xuất chưa ai xác nhận") {
		t.Errorf("the refusal says %q", got)
	}
	b.set("#above", "90")
	b.do(chromedp.Click(chromedp.CSS("#confirm")), b.see("#counts"), chromedp.WaitVisible(chromedp.CSS("#confirmed-4:checked")))
	if got := b.text("#counts"); !strings.HasPrefix(got, "5 đã ánh xạ, 0 chờ xác nhận") {
		t.Errorf("after confirming: %q", got)
	}
	b.set("#note", "ánh xạ thêm hai cột")
	b.do(chromedp.Click(chromedp.CSS("#submit")), b.see("#changes-title"))
	if got := b.text("body"); !strings.Contains(got, "ánh xạ cột so_dien_thoai vào person.phone") {
		t.Errorf("the changes say %q", got)
	}
	b.do(b.open("reviewer", "/item/mapping/population.person"), b.see("#step-review"), chromedp.Click(chromedp.CSS("#step-review")), b.see("#step-consult"))
	b.do(b.open("steward", "/mapping/population.person"), b.see("#columns-title"))
	if b.has("#save") {
		t.Error("a mapping under review can be changed")
	}
	b.do(b.open("approver", "/item/mapping/population.person"), b.see("#step-approve"), chromedp.Click(chromedp.CSS("#step-approve")), b.see("#step-publish"), chromedp.Click(chromedp.CSS("#step-publish")), b.see("#releases-title"))
	if len(*published) != 1 || len((*published)[0].Columns) != 5 {
		t.Fatalf("published: %+v", *published)
	}
	status, text := getPage(t, server, "viewer", "vi", "/mapping/population.person.yaml")
	def, err := dictionary.ParseDefinition("person.yaml", []byte(text))
	if err != nil || status != http.StatusOK || len(def.Columns) != 5 || def.Identity[0] != "personal_number" {
		t.Errorf("%d %v\n%s", status, err, text)
	}
}

// TestMappingScreenshots writes what the pages look like, as TestStorybookScreenshots does.
func TestMappingScreenshots(t *testing.T) {
	directory := os.Getenv("CONSOLE_SCREENSHOTS")
	if directory == "" {
		t.Skip("CONSOLE_SCREENSHOTS names no directory")
	}
	place, _ := mappingPlace(t, seenPeople())
	console := workplaceServer(t, place)
	for _, as := range []string{"steward", "viewer"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Cookie", sessionCookie+"="+as+"; "+languageCookie+"=vi")
			console.Config.Handler.ServeHTTP(w, r)
		}))
		for name, path := range map[string]string{"mapping-list": "/mapping", "mapping": "/mapping/population.person"} {
			for _, size := range []string{"1440,1700", "390,3000"} {
				file := filepath.Join(directory, name+"-"+as+"-"+size+".png")
				arguments := append(chromiumFlags(t.TempDir()), "--hide-scrollbars", "--window-size="+size, "--virtual-time-budget=3000", "--screenshot="+file, server.URL+path)
				if output, err := exec.CommandContext(t.Context(), chromium(t), arguments...).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", file, err, output)
				}
			}
		}
		server.Close()
	}
}
