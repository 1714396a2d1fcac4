package app

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lienthong/lienthong"
)

// What a hub publishes is what a node checks by when it is given the file, to the last rule.
func TestNodeDictionary(t *testing.T) {
	var published bytes.Buffer
	if err := WriteDictionary(&published, "yaml"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := &NodeConfig{path: filepath.Join(dir, "node.yaml")}
	own, err := nodeDictionary(config)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "tu-dien.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config.Dictionary = "tu-dien.yaml"
	write(published.String())
	same, err := nodeDictionary(config)
	if err != nil {
		t.Fatal(err)
	}
	if same.Edition().Version != own.Edition().Version || len(same.Elements()) != len(own.Elements()) {
		t.Errorf("the program's own dictionary makes edition %s of %d elements", same.Edition().Version, len(same.Elements()))
	}
	write(strings.Replace(published.String(), "digits: 12", "digits: 13", 1))
	other, err := nodeDictionary(config)
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for i := range other.Elements() {
		for _, rule := range other.Elements()[i].Rules {
			if rule.Check.Digits == 13 {
				changed++
			}
		}
	}
	if changed == 0 || other.Edition().Version == own.Edition().Version {
		t.Errorf("%d rules changed, edition %s", changed, other.Edition().Version)
	}
	write("elements: [{id: nothing}]")
	if _, err := nodeDictionary(config); err == nil {
		t.Error("an incomplete element is taken")
	}
	config.Dictionary = "missing.yaml"
	if _, err := nodeDictionary(config); lienthong.ErrorCode(err) != "config.dictionary" {
		t.Errorf("a missing file: %v", err)
	}
}
