package app

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/console"
)

// The sentences that people read in the event feed, in both languages.

// sentence fills in counts, grouped as each language writes them.
func sentence(vi, en string, counts ...int64) console.Text {
	inVi, inEn := make([]any, len(counts)), make([]any, len(counts))
	for i, n := range counts {
		inVi[i], inEn[i] = grouped(n, '.'), grouped(n, ',')
	}
	return console.Text{Vi: fmt.Sprintf(vi, inVi...), En: fmt.Sprintf(en, inEn...)}
}

func grouped(n int64, mark byte) string {
	digits := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i := range len(digits) {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(mark)
		}
		b.WriteByte(digits[i])
	}
	return b.String()
}

// about puts what a sentence is about before it.
func about(title, t console.Text) console.Text {
	return console.Text{Vi: title.Vi + ": " + t.Vi, En: title.En + ": " + t.En}
}

func changesText(rows, batches int64, datasets int) console.Text {
	return sentence("%s thay đổi của %s tập dữ liệu đã về, trong %s lô", "%s changes of %s datasets landed, in %s batches", rows, int64(datasets), batches)
}

func matchesText(datasets int) console.Text {
	return sentence("%s tập dữ liệu đã so hai đầu: khớp", "%s datasets compared at both ends: match", int64(datasets))
}

func repairText(landed int) console.Text {
	return sentence("đã gửi lại phần sai lệch: %s dòng", "the differing part was sent again: %s rows", int64(landed))
}

func loadedText(title console.Text, rows int64) console.Text {
	return about(title, sentence("nạp lần đầu xong, %s dòng", "first load done, %s rows", rows))
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

func reconcileText(title console.Text, r *lienthong.Reconciliation) console.Text {
	counts := []int64{r.SourceRows, r.LandedRows, r.Quarantined}
	switch r.Result {
	case lienthong.Differs:
		return about(title, sentence("hai đầu không khớp: nguồn %s, đã về %s, cách ly %s; đang gửi lại phần lệch",
			"both ends differ: source %s, landed %s, held %s; the differing part is being sent again", counts...))
	case lienthong.Failed:
		return about(title, console.Text{Vi: "không đối soát được", En: "could not be compared"})
	case lienthong.Matches:
	}
	return about(title, sentence("khớp trở lại, nguồn %s = đã về %s + cách ly %s", "matches again, source %s = landed %s + held %s", counts...))
}

func comparison(r *lienthong.Reconciliation, digest string) console.Reconciliation {
	return console.Reconciliation{
		At: time.UnixMicro(r.At), Dataset: r.Dataset, Result: r.Result, SourceRows: r.SourceRows, LandedRows: r.LandedRows,
		Quarantined: r.Quarantined, Differing: len(r.Differing), Digest: digest,
	}
}

func quarantineText(title console.Text, added int64) console.Text {
	if added < 0 {
		return about(title, sentence("%s dòng đã sửa, ra khỏi cách ly", "%s rows corrected, out of quarantine", -added))
	}
	return about(title, sentence("giữ lại %s dòng có lỗi", "%s rows with errors held back", added))
}

// shapeText says what is new in a shape. Fields are named as the dictionary
// labels them.
func shapeText(title console.Text, before, after *lienthong.Shape) console.Text {
	if before == nil || before.Version == after.Version {
		return about(title, sentence("cấu trúc phiên bản %s, %s trường", "shape version %s, %s fields", int64(after.Version), int64(len(after.Fields))))
	}
	t := sentence("cấu trúc phiên bản %s", "shape version %s", int64(after.Version))
	list := func(of, other *lienthong.Shape, vi, en string) {
		var inVi, inEn []string
		for i := range of.Fields {
			f := &of.Fields[i]
			if other.FieldIndex(f.Name) < 0 {
				inVi = append(inVi, "“"+cmp.Or(f.LabelVi, f.Name)+"”")
				inEn = append(inEn, "“"+cmp.Or(f.LabelEn, f.Name)+"”")
			}
		}
		if len(inVi) > 0 {
			t.Vi += ", " + vi + " " + strings.Join(inVi, ", ")
			t.En += ", " + en + " " + strings.Join(inEn, ", ")
		}
	}
	list(after, before, "thêm trường", "new field")
	list(before, after, "bỏ trường", "without field")
	return about(title, t)
}

func stoppedText(code string) console.Text {
	return console.Text{
		Vi: "Đã dừng: " + code + ". Xem nhật ký của nút để biết cách tiếp tục.",
		En: "Stopped: " + code + ". The node's log says how to go on.",
	}
}

func sizeText(size int64) console.Text {
	if size < 1000 {
		return console.Text{}
	}
	unit, value := "kB", float64(size)/1e3
	if size >= 1e6 {
		unit, value = "MB", float64(size)/1e6
	}
	text := strconv.FormatFloat(value, 'f', 1, 64) + " " + unit
	return console.Text{Vi: strings.Replace(text, ".", ",", 1), En: text}
}

// silentText says since when a node has not been heard.
func silentText(node string, since time.Time) console.Text {
	if since.IsZero() {
		return console.Text{Vi: "nút " + node + " chưa lên tiếng từ khi trung tâm khởi động", En: "node " + node + " has not been heard since the hub started"}
	}
	clock := clockOf(since)
	return console.Text{Vi: "nút " + node + " im lặng từ " + clock, En: "node " + node + " silent since " + clock}
}

func lateText(p99 time.Duration) console.Text {
	seconds := int64(p99.Seconds())
	return sentence("độ trễ %s giây, quá mức cho phép", "%s s behind, more than allowed", seconds)
}

func differsText(r *lienthong.Reconciliation) console.Text {
	return sentence("hai đầu không khớp: nguồn %s, đã về %s, cách ly %s", "both ends differ: source %s, landed %s, held %s", r.SourceRows, r.LandedRows, r.Quarantined)
}

func newestText(at time.Time) console.Text {
	if at.IsZero() {
		return console.Text{}
	}
	return console.Text{Vi: "mới nhất " + clockOf(at), En: "newest " + clockOf(at)}
}

// clockOf is the time of day in Viet Nam.
func clockOf(at time.Time) string {
	return at.In(time.FixedZone("Asia/Ho_Chi_Minh", 7*3600)).Format(time.TimeOnly)
}
