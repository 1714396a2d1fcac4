package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/lienthong/lienthong"
)

// TestWorkplaceScreenshots writes what people see at their work, with the figures of the demo, at
// desktop and telephone width, to the directory that CONSOLE_SCREENSHOTS names.
func TestWorkplaceScreenshots(t *testing.T) {
	directory := os.Getenv("CONSOLE_SCREENSHOTS")
	if directory == "" {
		t.Skip("CONSOLE_SCREENSHOTS names no directory")
	}
	d := startCountry(t, "sqlite", &synced{})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if err := d.await(ctx, "first load", func(v *streamView) bool { return v.last != nil && v.last.Result == lienthong.Matches }); err != nil {
		t.Fatal(err)
	}
	if err := d.Hub.workplace.refresh(ctx); err != nil {
		t.Fatal(err)
	}
	for _, s := range d.Hub.workplace.examinable() {
		if err := d.Hub.workplace.examineOne(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	pages := strings.Fields(os.Getenv("CONSOLE_PAGES"))
	if len(pages) == 0 {
		pages = []string{
			"/", "/dictionary", "/dictionary/element/person.birth_date", "/dictionary/element/person.number/edit", "/dictionary/list/sex", "/work", "/catalogue",
			"/catalogue/population", "/catalogue/population/edit", "/tickets", "/questions", "/assessment", "/assessment/population", "/assessment/population/checks", "/mapping",
		}
	}
	for _, account := range []string{"lan.steward"} {
		p := newPerson(t)
		link, err := d.Hub.SignInURLFor(ctx, account)
		if err != nil {
			t.Fatal(err)
		}
		p.do(chromedp.Navigate(link), chromedp.Click(chromedp.CSS("button.primary")), chromedp.WaitVisible(chromedp.CSS("nav.areas")))
		for _, path := range pages {
			for _, width := range []int64{1440, 390} {
				var picture []byte
				p.do(chromedp.EmulateViewport(width, 900), chromedp.Navigate(d.Hub.ConsoleURL()+path), chromedp.WaitReady(chromedp.CSS("footer")))
				picture, err := chromedp.Run(p.tab, chromedp.FullScreenshot(100))
				if err != nil {
					t.Fatal(err)
				}
				name := fmt.Sprintf("%s-%d.png", strings.ReplaceAll(strings.Trim(path, "/"), "/", "_"), width)
				if err := os.WriteFile(filepath.Join(directory, "work_"+name), picture, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
