package stewardship

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The handbook shows the life cycle as it is.
func TestHandbook_ShowsTheLifeCycle(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "catalogue.md"))
	if err != nil {
		t.Fatal(err)
	}
	yes := func(b bool) string {
		if b {
			return "yes"
		}
		return ""
	}
	rows := 0
	for _, row := range Transitions() {
		var roles []string
		for _, r := range row.Roles {
			roles = append(roles, string(r))
		}
		who, from := strings.Join(roles, ", "), string(row.From)
		if who == "" {
			who = "the platform"
		}
		if from == "" {
			from = "–"
		}
		line := fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s |", from, row.Action, row.To, who, yes(row.Own), yes(row.FourEyes), yes(row.Comment))
		if !strings.Contains(string(text), line+"\n") {
			t.Errorf("the handbook lacks:\n%s", line)
		}
		rows++
	}
	_, table, _ := strings.Cut(string(text), "| from | action | to |")
	table, _, _ = strings.Cut(table, "\n\n")
	if shown := strings.Count(table, "\n") - 1; shown != rows {
		t.Errorf("the handbook shows %d rows, the life cycle has %d", shown, rows)
	}
}
