package sim

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong/internal/app"
	"github.com/lienthong/lienthong/internal/audit"
)

// audited verifies both logs offline and makes sure that every batch is in both,
// with its receipt in the node's.
func (c *country) audited(blocks []block) {
	c.t.Helper()
	for data, kinds := range map[string][]audit.Kind{
		c.hubData: {audit.BatchLanded}, c.nodeData: {audit.BatchSealed, audit.Receipt},
	} {
		report, err := app.VerifyLog(c.t.Context(), data)
		if err != nil {
			c.t.Fatal(err)
		}
		if !report.Verified || report.Unsigned > 0 {
			c.t.Fatalf("audit log of %s: verified %t, %d unsigned, %v", filepath.Base(data), report.Verified, report.Unsigned, report.Problems)
		}
		entries, err := entriesOf(data)
		if err != nil {
			c.t.Fatal(err)
		}
		if uint64(len(entries)) != report.Entries {
			c.t.Fatalf("audit log of %s: %d entries read, %d verified", filepath.Base(data), len(entries), report.Entries)
		}
		digests := map[audit.Kind]map[uint64]string{}
		for _, e := range entries {
			if digests[e.Kind] == nil {
				digests[e.Kind] = map[uint64]string{}
			}
			digests[e.Kind][e.Sequence] = e.Digest
		}
		for _, b := range blocks {
			for _, kind := range kinds {
				digest, there := digests[kind][uint64(b.sequence)]
				if !there || kind != audit.Receipt && digest != b.digest {
					c.t.Fatalf("audit log of %s: no %s of batch %d", filepath.Base(data), kind, b.sequence)
				}
			}
		}
	}
}

// entriesOf reads the leaves of a log from its files, as an outsider would: bundles
// of up to 256 entries, each behind its length.
func entriesOf(data string) ([]audit.Entry, error) {
	bundles := map[uint64]string{}
	root := filepath.Join(data, "audit", "tile", "entries")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(root, path)
		index, width, ok := bundle(name)
		if ok && width >= widthOf(root, bundles[index]) {
			bundles[index] = path
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var entries []audit.Entry
	for index := range uint64(len(bundles)) {
		body, err := os.ReadFile(bundles[index])
		if err != nil {
			return nil, fmt.Errorf("bundle %d: %w", index, err)
		}
		for len(body) >= 2 {
			size := int(binary.BigEndian.Uint16(body))
			if 2+size > len(body) {
				return nil, fmt.Errorf("bundle %d is cut", index) // or being written
			}
			var e audit.Entry
			if err := json.Unmarshal(body[2:2+size], &e); err != nil {
				return nil, err
			}
			entries = append(entries, e)
			body = body[2+size:]
		}
	}
	return entries, nil
}

func widthOf(root, path string) int {
	if path == "" {
		return 0
	}
	name, _ := filepath.Rel(root, path)
	_, width, _ := bundle(name)
	return width
}

// bundle reads "x001/234" (a full bundle) and "x001/234.p/17" (one that is filling).
func bundle(name string) (index uint64, width int, ok bool) {
	number, part, partial := strings.Cut(name, ".p/")
	width = 256
	if partial {
		n, err := strconv.Atoi(part)
		if err != nil {
			return 0, 0, false
		}
		width = n
	}
	if width < 1 || width > 256 { // a file whose writing was interrupted has more digits
		return 0, 0, false
	}
	index, err := strconv.ParseUint(strings.NewReplacer("x", "", "/", "").Replace(number), 10, 64)
	return index, width, err == nil
}
