package sim

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestFault_InboxLosesTwoSeconds gives the hub an inbox of two seconds ago, as a
// transport would be that does not sync, beside records that are of now.
func TestFault_InboxLosesTwoSeconds(t *testing.T) {
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			c := newCountry(t, e)
			c.live()
			c.startHub(nil)
			c.startNode(nil)
			for range 2 {
				c.awaitLanded(5)
				inbox, copied := filepath.Join(c.hubData, "inbox"), c.path("inbox.copy")
				c.hub.stop(t) // a copy of files that are being written would be neither of then nor of now
				if err := os.CopyFS(copied, os.DirFS(inbox)); err != nil {
					t.Fatal(err)
				}
				c.startHub(nil)
				c.awaitLanded(5)
				timer := time.NewTimer(2 * time.Second)
				<-timer.C
				c.hub.kill()
				if err := os.RemoveAll(inbox); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(copied, inbox); err != nil {
					t.Fatal(err)
				}
				c.startHub(nil)
			}
			c.awaitLanded(5)
			c.settle()
		})
	}
}
