package console

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestStorybookScreenshots writes what the pages look like at desktop and
// telephone width to the directory that CONSOLE_SCREENSHOTS names, for people to
// look at.
func TestStorybookScreenshots(t *testing.T) {
	directory := os.Getenv("CONSOLE_SCREENSHOTS")
	if directory == "" {
		t.Skip("CONSOLE_SCREENSHOTS names no directory")
	}
	browser := chromium(t)
	only := os.Getenv("CONSOLE_STORY") // one story by name; empty: all
	stories := []struct {
		name, path string
		book       *storybook
	}{
		{"overview", "/", newStorybook(busyOverview())},
		{"overview-empty", "/", newStorybook(Overview{At: storyTime()})},
		{"overview-failing", "/", newStorybook(failingOverview())},
		{"database", "/database/population", newStorybook(busyOverview(), busyDatabase())},
		{"database-empty", "/database/labour", newStorybook(busyOverview(), emptyDatabase())},
		{"missing", "/database/nothing", newStorybook(busyOverview())},
		{"signin", "/signin?token=one-time", newStorybook(busyOverview())},
	}
	for _, story := range stories {
		if only != "" && only != story.name {
			continue
		}
		c := newConsole(t, story.book, nil)
		// The browser comes without a session: this server lends it one, and its language.
		for _, language := range []string{"vi", "en"} {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/events" {
					w.WriteHeader(http.StatusNoContent) // a page that renews itself is never finished
					return
				}
				r.Header.Set("Cookie", "lienthong_session=session-1; lienthong_lang="+language)
				c.ServeHTTP(w, r)
			}))
			for _, size := range []string{"1440,2400", "390,5000", "1440,1500,dark"} {
				if language == "en" && size != "1440,2400" {
					continue
				}
				file := filepath.Join(directory, story.name+"-"+language+"-"+size+".png")
				window, dark := strings.CutSuffix(size, ",dark")
				flags := chromiumFlags(t.TempDir())
				if dark {
					flags = append(flags, "--blink-settings=preferredColorScheme=0")
				}
				arguments := append(flags, "--hide-scrollbars", "--window-size="+window, "--virtual-time-budget=3000", "--screenshot="+file, server.URL+story.path)
				if output, err := exec.CommandContext(t.Context(), browser, arguments...).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", file, err, output)
				}
			}
			server.Close()
		}
	}
}
