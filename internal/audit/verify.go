package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong/internal/trust"
	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/mod/sumdb/note"
)

// VerifyOptions are what a verifier may bring along.
type VerifyOptions struct {
	// Older is a signed head of the same log that was kept elsewhere (Head.Note). The
	// log must be a continuation of it. Empty: not checked.
	Older []byte
	// Countersignature verifies the ES256 signature over a head's text;
	// trust.Directory.Verify serves. nil: not checked.
	Countersignature func(head []byte, signature string) error
}

// Report is the result of checking a log.
type Report struct {
	Origin        string    `json:"origin"`
	Entries       uint64    `json:"entries"`       // under the signed head
	Root          string    `json:"root"`          // of the signed head, hexadecimal
	Unsigned      uint64    `json:"unsigned"`      // entries in the tree after the signed head
	Unfinished    int       `json:"unfinished"`    // files of writes that a crash interrupted; not part of the log
	Countersigned bool      `json:"countersigned"` // the countersignature was checked and is good
	Verified      bool      `json:"verified"`      // no problem was found
	Problems      []Problem `json:"problems,omitempty"`
}

// Problem is a place where the log is not what was signed.
type Problem struct {
	Where string `json:"where"` // the file, relative to the log
	Vi    string `json:"vi"`
	En    string `json:"en"`
}

// maxProblems bounds a report: one is enough to distrust a log.
const maxProblems = 100

// Verify checks a log offline, from its files and its public key alone: the
// signature of the head, every leaf up to the root, every tile, and that the
// log continues what was signed before. It reads the files once and keeps a few
// tiles in memory, whatever the size. An error means that it could not check; a
// problem that it could and the log is not sound.
func Verify(ctx context.Context, dir, verifierKey string, options VerifyOptions) (Report, error) {
	verifier, err := note.NewVerifier(strings.TrimSpace(verifierKey))
	if err != nil {
		return Report{}, keyBroken("", err)
	}
	if info, err := os.Stat(dir); err != nil {
		return Report{}, fmt.Errorf("verify audit log: %w", err)
	} else if !info.IsDir() {
		return Report{}, fmt.Errorf("verify audit log: %s is not a directory", dir)
	}
	c := &check{
		dir: dir, report: Report{Origin: verifier.Name()},
		roots: make(map[uint64]hash), seen: make(map[string]bool),
	}
	if err := c.run(ctx, verifier, options); err != nil {
		return c.report, fmt.Errorf("verify audit log %s: %w", dir, err)
	}
	c.report.Verified = len(c.report.Problems) == 0
	return c.report, nil
}

// check is one run of Verify.
type check struct {
	dir    string
	report Report
	roots  map[uint64]hash // at the sizes that matter; zero until reached
	seen   map[string]bool // files that have been checked

	size   uint64 // entries hashed so far
	stack  []subtree
	levels [8][]byte // hashes of the tile being filled at each level
	lastNo uint64
}

// subtree is a complete subtree of 2^height leaves on the right edge.
type subtree struct {
	height int
	root   hash
}

func (c *check) problem(where, vi, en string) {
	if len(c.report.Problems) < maxProblems {
		c.report.Problems = append(c.report.Problems, Problem{Where: where, Vi: vi, En: en})
	}
}

// claim is a signed statement about the root at a size.
type claim struct {
	head  treeHead
	where string
}

func (c *check) run(ctx context.Context, verifier note.Verifier, options VerifyOptions) error {
	var claims []claim
	data, err := os.ReadFile(filepath.Join(c.dir, checkpointFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.problem(checkpointFile, "thiếu đầu nhật ký đã ký", "the signed head is missing")
	case err != nil:
		return err
	default:
		_, head, err := openHead(data, verifier)
		if err != nil {
			c.problem(checkpointFile, "chữ ký của đầu nhật ký không đúng", "the head's signature is not right: "+err.Error())
			break
		}
		c.report.Entries, c.report.Root = head.size, hex.EncodeToString(head.root[:])
		claims = append(claims, claim{head, checkpointFile})
	}
	if len(options.Older) > 0 {
		if _, head, err := openHead(options.Older, verifier); err != nil {
			c.problem("older head", "chữ ký của đầu nhật ký cũ không đúng", "the older head's signature is not right: "+err.Error())
		} else {
			claims = append(claims, claim{head, "older head"})
		}
	}
	if countersigned, ok, err := c.countersignature(options); err != nil {
		return err
	} else if ok {
		claims = append(claims, claim{countersigned, countersignFile})
	}
	// The state file is not signed. It says where entries that are durable but not
	// yet under a signed head end.
	state, err := readState(c.dir)
	switch {
	case err == nil:
		claims = append(claims, claim{state, stateFile})
		if state.size >= c.report.Entries {
			c.report.Unsigned = state.size - c.report.Entries
		}
	case !errors.Is(err, fs.ErrNotExist):
		c.problem(stateFile, "tệp trạng thái bị hỏng", "the state file is damaged: "+err.Error())
	}
	end := uint64(0)
	for _, claim := range claims {
		c.roots[claim.head.size] = hash{}
		end = max(end, claim.head.size)
	}
	c.roots[0] = sha256.Sum256(nil)
	if err := c.hashAll(ctx, end, claims); err != nil {
		return err
	}
	for _, claim := range claims {
		switch {
		case claim.head.size > c.size:
			c.problem(claim.where, "nhật ký ngắn hơn đầu nhật ký: thiếu mục",
				fmt.Sprintf("it covers %d entries, only %d can be read", claim.head.size, c.size))
		case c.roots[claim.head.size] != claim.head.root:
			c.problem(claim.where, "gốc băm không khớp với các mục nhật ký",
				fmt.Sprintf("the root over %d entries is not the one in it", claim.head.size))
		}
	}
	return c.rest(ctx, end)
}

// countersignature reads the countersigned head, which may be ahead of the
// published one by the crash between the two.
func (c *check) countersignature(options VerifyOptions) (treeHead, bool, error) {
	data, err := os.ReadFile(filepath.Join(c.dir, countersignFile))
	if errors.Is(err, fs.ErrNotExist) {
		if options.Countersignature != nil {
			c.problem(countersignFile, "thiếu chữ ký đối chứng", "the countersignature is missing")
		}
		return treeHead{}, false, nil
	}
	if err != nil {
		return treeHead{}, false, err
	}
	bad := func(cause error) (treeHead, bool, error) {
		c.problem(countersignFile, "chữ ký đối chứng không đúng", "the countersignature is not right: "+cause.Error())
		return treeHead{}, false, nil
	}
	text, signature, err := trust.Detach(data)
	if err != nil {
		return bad(err)
	}
	if canonical, err := trust.Attach(text, signature); err != nil || !bytes.Equal(canonical, data) {
		return bad(errors.New("not as it was written"))
	}
	head, err := parseHead(string(text))
	if err != nil {
		return bad(err)
	}
	if head.origin != c.report.Origin {
		return bad(errors.New("of another log"))
	}
	if head.size < c.report.Entries {
		return bad(fmt.Errorf("it covers only %d entries", head.size))
	}
	if options.Countersignature != nil {
		if err := options.Countersignature(text, signature); err != nil {
			return bad(err)
		}
		c.report.Countersigned = true
	}
	return head, true, nil
}

// hashAll builds the tree from the entries and compares every tile on the way.
func (c *check) hashAll(ctx context.Context, end uint64, claims []claim) error {
	for index := uint64(0); index*tileWidth < end; index++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		width := min(end-index*tileWidth, tileWidth)
		leaves, ok, err := c.leaves(index, width, end, claims)
		if err != nil {
			return err
		}
		if !ok {
			return nil // the gap is reported; nothing after it can be placed
		}
		for i := range leaves {
			if err := c.push(leaves[i]); err != nil {
				return err
			}
		}
	}
	for level := 1; level < len(c.levels); level++ { // the right edge above the leaves
		if len(c.levels[level]) > 0 {
			if err := c.compare(uint64(level), (end>>(8*level))/tileWidth, c.levels[level]); err != nil {
				return err
			}
		}
	}
	return nil
}

// leaves returns the leaf hashes of one bundle. When the entries and the tile
// that holds their hashes disagree, the tree above says which of them is wrong.
func (c *check) leaves(index, width, end uint64, claims []claim) ([]hash, bool, error) {
	bundlePath, bundle, err := c.read(layout.EntriesPath(index, 0), width)
	if err != nil {
		return nil, false, err
	}
	tilePath, tile, err := c.read(layout.TilePath(0, index, 0), width)
	if err != nil {
		return nil, false, err
	}
	fromEntries, entriesErr := c.hashBundle(bundlePath, bundle, width)
	fromTile, tileOK := parseTile(tile, width)
	switch {
	case bundle == nil && tile == nil:
		c.problem(layout.EntriesPath(index, 0), "thiếu mục nhật ký", "entries are missing")
		return nil, false, nil
	case entriesErr == nil && tileOK && slices.Equal(fromEntries, fromTile):
		return fromEntries, true, nil
	case entriesErr != nil && !tileOK:
		c.problem(bundlePath, "các mục nhật ký bị hỏng", "the entries are damaged: "+entriesErr.Error())
		c.problem(tilePath, "ô băm bị hỏng", "the tile is damaged")
		return nil, false, nil
	case entriesErr != nil:
		c.problem(bundlePath, "các mục nhật ký bị hỏng", "the entries are damaged: "+entriesErr.Error())
		return fromTile, true, nil
	case !tileOK:
		c.problem(tilePath, "ô băm bị thiếu hoặc bị hỏng", "the tile is missing or damaged")
		return fromEntries, true, nil
	}
	if c.believes(fromTile, index, end, claims) {
		first := 0
		for fromEntries[first] == fromTile[first] {
			first++
		}
		place := index*tileWidth + uint64(first)
		c.problem(bundlePath, fmt.Sprintf("mục %d đã bị sửa", place), fmt.Sprintf("entry %d has been changed", place))
		return fromTile, true, nil
	}
	c.problem(tilePath, "ô băm không khớp với các mục nhật ký", "the tile does not match the entries")
	return fromEntries, true, nil
}

// believes reports whether the tree above agrees with these leaves.
func (c *check) believes(leaves []hash, index, end uint64, claims []claim) bool {
	if len(leaves) == tileWidth {
		upperIndex := index / tileWidth
		upperWidth := min(end/tileWidth-upperIndex*tileWidth, tileWidth)
		if _, upper, err := c.read(layout.TilePath(1, upperIndex, 0), upperWidth); err == nil {
			if hashes, ok := parseTile(upper, upperWidth); ok {
				return hashes[index%tileWidth] == fold(nil, leaves)
			}
		}
		return false
	}
	root := fold(c.stack, leaves)
	return slices.ContainsFunc(claims, func(known claim) bool { return known.head.size == end && known.head.root == root })
}

// fold is the root over the subtrees and the leaves after them.
func fold(stack []subtree, leaves []hash) hash {
	stack = slices.Clone(stack)
	for _, leaf := range leaves {
		stack, _ = grow(stack, leaf)
	}
	return rootOf(stack)
}

// grow adds a leaf and returns the complete subtrees that it finishes, by height.
func grow(stack []subtree, leaf hash) (_ []subtree, finished []subtree) {
	node := subtree{height: 0, root: leaf}
	for {
		if node.height > 0 && node.height%8 == 0 {
			finished = append(finished, node)
		}
		last := len(stack) - 1
		if last < 0 || stack[last].height != node.height {
			return append(stack, node), finished
		}
		node = subtree{height: node.height + 1, root: join(stack[last].root, node.root)}
		stack = stack[:last]
	}
}

func rootOf(stack []subtree) hash {
	if len(stack) == 0 {
		return sha256.Sum256(nil)
	}
	root := stack[len(stack)-1].root
	for i := len(stack) - 2; i >= 0; i-- {
		root = join(stack[i].root, root)
	}
	return root
}

// join and leafHash are the hashes of RFC 6962.
func join(left, right hash) hash {
	var buffer [1 + 2*sha256.Size]byte
	buffer[0] = 1
	copy(buffer[1:], left[:])
	copy(buffer[1+sha256.Size:], right[:])
	return sha256.Sum256(buffer[:])
}

func leafHash(data []byte) hash {
	digest := sha256.New()
	digest.Write([]byte{0})
	digest.Write(data)
	return hash(digest.Sum(nil))
}

// push adds one leaf to the tree and compares each tile that it completes.
func (c *check) push(leaf hash) error {
	var finished []subtree
	c.stack, finished = grow(c.stack, leaf)
	c.size++
	if _, wanted := c.roots[c.size]; wanted {
		c.roots[c.size] = rootOf(c.stack)
	}
	for _, node := range finished {
		level := node.height / 8
		if level >= len(c.levels) {
			continue
		}
		c.levels[level] = append(c.levels[level], node.root[:]...)
		if len(c.levels[level]) == tileWidth*sha256.Size {
			index := (c.size>>(8*level))/tileWidth - 1
			if err := c.compare(uint64(level), index, c.levels[level]); err != nil {
				return err
			}
			c.levels[level] = c.levels[level][:0]
		}
	}
	return nil
}

// compare checks a tile above the leaves against what the leaves give.
func (c *check) compare(level, index uint64, want []byte) error {
	path, data, err := c.read(layout.TilePath(level, index, 0), uint64(len(want)/sha256.Size))
	if err != nil {
		return err
	}
	switch {
	case data == nil:
		c.problem(path, "thiếu ô băm", "the tile is missing")
	case !bytes.Equal(data, want):
		c.problem(path, "ô băm không khớp với các mục nhật ký", "the tile does not match the entries")
	}
	return nil
}

// read returns a tile or bundle of the width: the partial one, or, where it has
// been cleaned away, the beginning of the full one. nil data: there is none.
func (c *check) read(full string, width uint64) (path string, data []byte, err error) {
	candidates := []string{full}
	if width < tileWidth {
		candidates = []string{partialPath(full, width), full}
	}
	for _, path := range candidates {
		data, err := os.ReadFile(filepath.Join(c.dir, path))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return path, nil, err
		}
		c.seen[path] = true
		if path == full && width < tileWidth {
			data = prefix(full, data, width)
		}
		if data == nil {
			data = []byte{}
		}
		return path, data, nil
	}
	return candidates[0], nil, nil
}

func partialPath(full string, width uint64) string {
	return full + ".p/" + strconv.FormatUint(width, 10)
}

// prefix is the part of a full tile or bundle that a partial one of the width holds.
func prefix(path string, data []byte, width uint64) []byte {
	if !strings.HasPrefix(path, "tile/entries/") {
		return data[:min(width*sha256.Size, uint64(len(data)))]
	}
	rest := data
	for range width {
		if len(rest) < 2 {
			return data
		}
		length := int(binary.BigEndian.Uint16(rest))
		if len(rest) < 2+length {
			return data
		}
		rest = rest[2+length:]
	}
	return data[:len(data)-len(rest)]
}

func parseTile(data []byte, width uint64) ([]hash, bool) {
	if uint64(len(data)) != width*sha256.Size {
		return nil, false
	}
	hashes := make([]hash, width)
	for i := range hashes {
		hashes[i] = hash(data[i*sha256.Size:])
	}
	return hashes, true
}

// hashBundle reads a bundle: each entry after its length in two bytes. It also
// checks that the entries' own numbers increase.
func (c *check) hashBundle(path string, data []byte, width uint64) ([]hash, error) {
	if data == nil {
		return nil, errors.New("missing")
	}
	hashes := make([]hash, 0, width)
	last, disorder := c.lastNo, false
	for len(data) > 0 {
		if len(data) < 2 {
			return nil, errors.New("cut off")
		}
		length := int(binary.BigEndian.Uint16(data))
		if len(data) < 2+length {
			return nil, errors.New("cut off")
		}
		leaf := data[2 : 2+length]
		hashes = append(hashes, leafHash(leaf))
		var entry struct {
			No uint64 `json:"no"`
		}
		if err := json.Unmarshal(leaf, &entry); err == nil {
			disorder = disorder || entry.No <= last
			last = entry.No
		}
		data = data[2+length:]
	}
	if uint64(len(hashes)) != width {
		return nil, fmt.Errorf("%d entries instead of %d", len(hashes), width)
	}
	if disorder {
		c.problem(path, "số thứ tự của các mục không tăng dần", "the numbers of the entries do not increase")
	}
	c.lastNo = last
	return hashes, nil
}

// rest looks at the files that the tree does not need: partial tiles that have
// been outgrown must still be the beginning of what outgrew them; files past the
// end of the tree are what a crash left.
func (c *check) rest(ctx context.Context, end uint64) error {
	bad := make(map[string]bool, len(c.report.Problems))
	for _, problem := range c.report.Problems {
		bad[problem.Where] = true
	}
	return filepath.WalkDir(filepath.Join(c.dir, "tile"), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		relative, err := filepath.Rel(c.dir, path)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if entry.IsDir() || c.seen[relative] {
			return nil
		}
		full, width, level, index, ok := place(relative)
		if !ok {
			c.report.Unfinished++
			return nil
		}
		have := end >> (8 * level) // hashes or entries at the level
		if index*tileWidth+width > have {
			c.report.Unfinished++
			return nil
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // cleaned away meanwhile
		}
		if err != nil {
			return err
		}
		source, current, err := c.read(full, min(have-index*tileWidth, tileWidth))
		if err != nil {
			return err
		}
		if !bad[source] && !bytes.Equal(data, prefix(full, current, width)) {
			c.problem(relative, "tệp cũ không khớp với phần nhật ký sau nó", "the outgrown file does not match what came after it")
		}
		return nil
	})
}

// place reads the name of a tile or bundle, and accepts it only in the one way
// in which it is written.
func place(path string) (full string, width, level, index uint64, ok bool) {
	name, isTile := strings.CutPrefix(path, "tile/")
	if !isTile {
		return "", 0, 0, 0, false
	}
	kind, number, found := strings.Cut(name, "/")
	if !found {
		return "", 0, 0, 0, false
	}
	index, partial, err := layout.ParseTileIndexPartial(number)
	if err != nil {
		return "", 0, 0, 0, false
	}
	if kind == "entries" {
		full = layout.EntriesPath(index, 0)
	} else {
		level, err = layout.ParseTileLevel(kind)
		if err != nil || level > 7 {
			return "", 0, 0, 0, false
		}
		full = layout.TilePath(level, index, 0)
	}
	var written string
	width, written = tileWidth, full
	if partial > 0 {
		width, written = uint64(partial), partialPath(full, uint64(partial))
	}
	return full, width, level, index, written == path
}
