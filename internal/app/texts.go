package app

import (
	"fmt"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/console"
)

// The sentences that people read in the event feed, in both languages.

func batchText(h *lienthong.BatchHeader, landed int) console.Text {
	kind := console.Text{Vi: "Thay đổi", En: "Changes"}
	switch h.Kind {
	case lienthong.SnapshotBatch:
		kind = console.Text{Vi: "Nạp lần đầu", En: "First load"}
	case lienthong.RepairBatch:
		kind = console.Text{Vi: "Sửa sai lệch", En: "Repair"}
	case lienthong.ChangesBatch, lienthong.ShapeBatch, lienthong.CheckpointBatch, lienthong.DigestBatch, lienthong.ReportBatch:
	}
	return console.Text{
		Vi: fmt.Sprintf("%s, lô %d: %d dòng, %d đã ghi", kind.Vi, h.Sequence, h.Count, landed),
		En: fmt.Sprintf("%s, batch %d: %d rows, %d landed", kind.En, h.Sequence, h.Count, landed),
	}
}

func refusalText(code string, sequence uint64) console.Text {
	vi := map[string]string{
		"batch.gap": "thiếu lô trước đó, đã yêu cầu gửi lại", "batch.chain": "lô không nối với lô trước, đã yêu cầu gửi lại",
		"batch.forged": "chữ ký giả, đã từ chối", "batch.payload": "nội dung bị cắt hoặc bị sửa, đã từ chối",
	}[code]
	en := map[string]string{
		"batch.gap": "an earlier batch is missing, asked for again", "batch.chain": "does not continue the chain, asked for again",
		"batch.forged": "forged signature, refused", "batch.payload": "cut or altered, refused",
	}[code]
	if vi == "" {
		vi, en = "bị từ chối ("+code+")", "refused ("+code+")"
	}
	return console.Text{Vi: fmt.Sprintf("Lô %d: %s", sequence, vi), En: fmt.Sprintf("Batch %d: %s", sequence, en)}
}

func reconcileText(r *lienthong.Reconciliation) console.Text {
	en := map[lienthong.ReconcileWord]string{lienthong.Matches: "match", lienthong.Differs: "differ", lienthong.Failed: "could not be compared"}[r.Result]
	return console.Text{
		Vi: fmt.Sprintf("Đối soát: %s; nguồn %d = ghi %d + cách ly %d", r.Result, r.SourceRows, r.LandedRows, r.Quarantined),
		En: fmt.Sprintf("Reconciled: both ends %s; source %d = landed %d + held %d", en, r.SourceRows, r.LandedRows, r.Quarantined),
	}
}

func comparison(r *lienthong.Reconciliation, digest string) console.Reconciliation {
	return console.Reconciliation{
		At: time.UnixMicro(r.At), Dataset: r.Dataset, Result: r.Result, SourceRows: r.SourceRows, LandedRows: r.LandedRows,
		Quarantined: r.Quarantined, Differing: len(r.Differing), Digest: digest,
	}
}

func quarantineText(added int64) console.Text {
	if added < 0 {
		return console.Text{Vi: fmt.Sprintf("%d dòng được giải phóng khỏi cách ly", -added), En: fmt.Sprintf("%d rows released from quarantine", -added)}
	}
	return console.Text{Vi: fmt.Sprintf("%d dòng bị cách ly", added), En: fmt.Sprintf("%d rows held back", added)}
}

func shapeText(before, after *lienthong.Shape) console.Text {
	if before == nil || before.Version == after.Version {
		return console.Text{
			Vi: fmt.Sprintf("Cấu trúc phiên bản %d: %d trường", after.Version, len(after.Fields)),
			En: fmt.Sprintf("Shape version %d: %d fields", after.Version, len(after.Fields)),
		}
	}
	var added, gone []string
	for _, f := range after.Fields {
		if before.FieldIndex(f.Name) < 0 {
			added = append(added, f.Name)
		}
	}
	for _, f := range before.Fields {
		if after.FieldIndex(f.Name) < 0 {
			gone = append(gone, f.Name)
		}
	}
	t := console.Text{Vi: fmt.Sprintf("Cấu trúc phiên bản %d", after.Version), En: fmt.Sprintf("Shape version %d", after.Version)}
	if len(added) > 0 {
		t.Vi += ", thêm " + strings.Join(added, ", ")
		t.En += ", added " + strings.Join(added, ", ")
	}
	if len(gone) > 0 {
		t.Vi += ", bỏ " + strings.Join(gone, ", ")
		t.En += ", dropped " + strings.Join(gone, ", ")
	}
	return t
}

func stoppedText(code string) console.Text {
	return console.Text{
		Vi: "Đã dừng: " + code + ". Xem nhật ký của nút để biết cách tiếp tục.",
		En: "Stopped: " + code + ". The node's log says how to go on.",
	}
}

func sizeText(size int64) console.Text {
	s := fmt.Sprintf("%.1f MB", float64(size)/1e6)
	return console.Text{Vi: strings.Replace(s, ".", ",", 1), En: s}
}
