package store

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
)

// repair makes one digest bucket of a stream what the batch says it is: its
// rows replace what is stored unless that is newer, and live records of the bucket that
// the batch does not have are deleted unless they are newer than the view it shows. The
// bucket may be lienthong.AllBuckets, the whole stream: so a source says that it was emptied.
//
// It trusts nothing that it repairs: presence and counters come from reading the table.
func (a *application) repair(ctx context.Context, i int, l *layout) error {
	item := &a.items[i]
	if item.Header.Bucket == nil || *item.Header.Bucket < lienthong.AllBuckets || *item.Header.Bucket >= batch.Buckets {
		return &lienthong.Error{
			Code: "store.bucket", Where: item.Header.String() + " #" + strconv.FormatUint(item.Header.Sequence, 10),
			Vi: "lô sửa chữa không nêu nhóm", En: "the repair batch names no bucket",
			Hint: "cập nhật phần mềm của nút / update the node's software",
		}
	}
	bucket, state := *item.Header.Bucket, a.states[item.Header.Stream]
	meant := func(id []byte) bool { return bucket == lienthong.AllBuckets || batch.BucketOf(id) == bucket }
	set := newChangeSet(l)
	if err := set.read(item.Rows, int32(i), a.refuser(i)); err != nil {
		return err
	}
	view, exact := item.Version, true
	for j := range set.changes {
		if item.Version == 0 {
			view = max(view, set.changes[j].version)
		}
	}
	if view == 0 {
		// An empty bucket of an unnamed view: the position is the best there is to
		// compare with, but not a version to be stored.
		view, exact = int64(min(item.Header.Last.Order, math.MaxInt64)), false
	}
	for j := range set.records {
		set.records[j].had, set.records[j].hadVersion = absent, 0
	}
	known := len(set.records)
	state.Live, state.Held, state.Deleted = 0, 0, 0
	err := a.w.keys(ctx, l, state.No, func(id []byte, version int64, is presence) error {
		state.add(is, 1)
		if !meant(id) {
			return nil
		}
		at := set.find(id)
		r := &set.records[at]
		if int(at) >= known {
			r.id = append([]byte(nil), id...)
			if is == live && version <= view {
				gone := change{op: lienthong.Delete, version: version, at: item.Header.Sealed, record: at, item: int32(i), extra: true}
				if exact {
					gone.version = view
				}
				set.changes = append(set.changes, gone)
			}
		}
		r.had, r.hadVersion = is, version
		return nil
	})
	if err != nil {
		return fmt.Errorf("read keys of the bucket: %w", err)
	}
	// Rows of other buckets have no business here, but they are told apart by
	// version alone and do no harm when what is stored is known.
	var strangers []*record
	for j := range set.records[:known] {
		if r := &set.records[j]; !meant(r.id) {
			strangers = append(strangers, r)
		}
	}
	if len(strangers) > 0 {
		if err := a.w.existing(ctx, l, state.No, strangers); err != nil {
			return fmt.Errorf("look up records: %w", err)
		}
	}
	return a.settle(ctx, set, state, true)
}
