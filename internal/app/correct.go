package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/audit"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/durable"
	"github.com/lienthong/lienthong/internal/quality"
	"github.com/lienthong/lienthong/internal/ticket"
)

// CorrectOrder says which rows a workbook is to hold.
type CorrectOrder struct {
	Dataset string
	Rule    string // empty: every rule that the node checks
	Field   string // empty: every field of the rule
	Ticket  string // what the workbook says that it is about
	Rows    int    // at most; 0: 100,000
	By      string // who asked for it, for the audit log
}

// CorrectExported says what a workbook of rows to correct holds.
type CorrectExported struct {
	Dataset string `json:"dataset"`
	Rule    string `json:"rule,omitempty"`
	Field   string `json:"field,omitempty"`
	Lines   int    `json:"lines"`
	More    bool   `json:"more,omitempty"` // there are more than the workbook may hold
}

// CorrectImported says what became of a workbook that was filled in.
type CorrectImported struct {
	Dataset  string `json:"dataset"`
	Lines    int    `json:"lines"`    // in the workbook
	Empty    int    `json:"empty"`    // of these, nothing was written
	Taken    int    `json:"taken"`    // right values, for the owner's system
	Rejected int    `json:"rejected"` // lines that cannot be taken
	Settled  int    `json:"settled"`  // values that the source has put right meanwhile: left out of the lists
	// Statements are the UPDATE statements, Unstated the right values for which there can be none
	// that is sure to make exactly the right record; they are in the CSV list.
	Statements int              `json:"statements"`
	Unstated   int              `json:"unstated"`
	Problems   []CorrectProblem `json:"problems,omitempty"` // the first of them
}

// CorrectProblem is a cell that cannot be taken, and why. It holds no values.
type CorrectProblem struct {
	Cell  string `json:"cell"`
	Field string `json:"field"`
	Code  string `json:"code"`
	Vi    string `json:"vi"`
	En    string `json:"en"`
}

const (
	// shownProblems is how many problems a report carries; all are marked in the answer.
	shownProblems = 100
	// maxHandedIn is how large a workbook may be that is handed in.
	maxHandedIn = 128 << 20
)

// The parts of an answer.
const (
	partBook   = "workbook"
	partAnswer = "answer"
	partCSV    = "csv"
	partSQL    = "sql"
)

// correctCommands let the owner's people at this machine get the rows that break rules, with
// their values, and hand in what is right. Values go through the socket and nowhere else.
func (n *Node) correctCommands() error {
	// What a process that died has left there are values.
	if err := os.RemoveAll(n.correctDir()); err != nil {
		return fmt.Errorf("clear the corrections' directory: %w", err)
	}
	n.local.handleRaw("GET /correct", n.correcting(func(r *http.Request, out *correctFiles) (any, error) {
		query := r.URL.Query()
		rows, _ := strconv.Atoi(query.Get("rows"))
		return n.exportRows(r.Context(), CorrectOrder{
			Dataset: query.Get("dataset"), Rule: query.Get("rule"), Field: query.Get("field"), Ticket: query.Get("ticket"), Rows: rows, By: query.Get("by"),
		}, out)
	}))
	n.local.handleRaw("POST /correct", n.correcting(func(r *http.Request, out *correctFiles) (any, error) {
		book, err := out.add("handed in")
		if err != nil {
			return nil, err
		}
		size, err := io.Copy(book, http.MaxBytesReader(nil, r.Body, maxHandedIn))
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, &lienthong.Error{
				Code: "correct.too_large", Where: strconv.Itoa(maxHandedIn>>20) + " MiB", Vi: "sổ làm việc quá lớn", En: "the workbook is too large",
				Hint: "xuất ít dòng hơn bằng --limit / export fewer lines with --limit",
			}
		}
		if err != nil {
			return nil, fmt.Errorf("keep the workbook: %w", err)
		}
		query := r.URL.Query()
		return n.importRows(r.Context(), book, size, out, query.Has(partCSV), query.Has(partSQL), query.Get("by"))
	}))
	return nil
}

func (n *Node) correctDir() string { return filepath.Join(n.config.Data, "corrections") }

// RowsCommand is what an owner types where the node runs to get the rows of a ticket. There is none
// for rules over many records: they are checked at the hub, where there are no values.
func RowsCommand(t *ticket.Ticket) string {
	if t.Source == "" {
		return ""
	}
	return "lienthong correct export --dataset " + shellWord(t.Dataset.String()) + " --rule " + shellWord(t.Rule) + " --field " + shellWord(t.Field) +
		" --ticket " + shellWord(t.ID) + " --out rows.xlsx --config node.yaml"
}

// shellWord is a text as a shell takes it for one word.
func shellWord(text string) string {
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-@+:", r)
	}) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// exportRows writes a workbook of the rows that break a rule at the source now.
func (n *Node) exportRows(ctx context.Context, order CorrectOrder, out *correctFiles) (*CorrectExported, error) {
	id, one, err := n.datasetOf(order.Dataset)
	if err != nil {
		return nil, err
	}
	rows, err := one.capture.OpenRows(ctx, id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	checker := rows.Checker()
	if err := knownRule(checker, order); err != nil {
		return nil, err
	}
	file, err := out.add(partBook)
	if err != nil {
		return nil, err
	}
	book := n.workbook(checker)
	book.Ticket, book.MaxRows = order.Ticket, order.Rows
	report := &CorrectExported{Dataset: order.Dataset, Rule: order.Rule, Field: order.Field}
	report.Lines, report.More, err = book.Write(ctx, file, func(yield func(ticket.Row, error) bool) {
		err := rows.Each(ctx, capture.RowQuery{Failing: true, Rule: order.Rule, Field: order.Field}, func(now *capture.RowNow) error {
			for _, i := range now.Failed {
				rule := &checker.Rules()[i]
				if !yield(ticket.Row{Record: now.Record, Values: now.Values, Rule: rule.Code, Field: rule.Field}, nil) {
					return capture.ErrEnough
				}
			}
			return nil
		})
		if err != nil {
			yield(ticket.Row{}, err)
		}
	})
	if err != nil {
		return nil, err
	}
	return report, n.audit.Enqueue(ctx, audit.Entry{
		Kind: audit.Disclosure, Actor: order.By, Node: n.config.Name, Dataset: order.Dataset,
		Detail: map[string]string{"event": "correct.export", "rule": order.Rule, "field": order.Field, "ticket": order.Ticket, "lines": strconv.Itoa(report.Lines)},
	})
}

func knownRule(checker *quality.Checker, order CorrectOrder) error {
	for i := range checker.Rules() {
		rule := &checker.Rules()[i]
		if (order.Rule == "" || order.Rule == rule.Code) && (order.Field == "" || order.Field == rule.Field) {
			return nil
		}
	}
	return &lienthong.Error{
		Code: "correct.rule", Where: order.Dataset + ", " + order.Rule + ", " + order.Field,
		Vi: "nút này không kiểm tra quy tắc đó trên tập dữ liệu", En: "this node does not check that rule on the dataset",
		Hint: "quy tắc trên nhiều bản ghi do trung tâm kiểm tra; bỏ --rule, --field để lấy mọi lỗi / rules over many records are checked at the hub; leave out --rule and --field for everything that is wrong",
	}
}

func (n *Node) workbook(checker *quality.Checker) *ticket.Workbook {
	membership, _ := n.identity.Membership()
	return &ticket.Workbook{Checker: checker, Owner: string(membership.Node.Member), At: n.now(), Scratch: n.correctDir()}
}

// importRows checks a workbook that was filled in against the records as they are now.
func (n *Node) importRows(ctx context.Context, book *os.File, size int64, out *correctFiles, asCSV, asSQL bool, by string) (*CorrectImported, error) {
	id, err := ticket.BookDataset(book, size, 0)
	if err != nil {
		return nil, err
	}
	one, err := n.sources.find(id)
	if err != nil {
		return nil, err
	}
	rows, err := one.capture.OpenRows(ctx, id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	kept, err := n.keepRows(ctx, rows, book, size)
	if err != nil {
		return nil, err
	}
	defer kept.close()
	w := n.workbook(rows.Checker())
	w.Current = kept.current
	result, err := w.ReadCorrections(ctx, book, size)
	if err != nil {
		return nil, err
	}
	report := &CorrectImported{Dataset: id.String(), Lines: result.Lines, Empty: result.Empty, Rejected: result.Rejected()}
	for i := range result.Problems {
		if p := &result.Problems[i]; i < shownProblems {
			report.Problems = append(report.Problems, CorrectProblem{p.Cell, p.Field, p.Code, p.Vi, p.En})
		}
	}
	list, err := kept.unsettled(w.Checker, result.List)
	if err != nil {
		return nil, err
	}
	report.Taken, report.Settled = len(list), len(result.List)-len(list)
	answer, err := out.add(partAnswer)
	if err != nil {
		return nil, err
	}
	if err := w.WriteAnswer(ctx, answer, result); err != nil {
		return nil, err
	}
	if asCSV {
		file, err := out.add(partCSV)
		if err != nil {
			return nil, err
		}
		if err := ticket.WriteCSV(file, w.Checker.Shape(), list, false); err != nil {
			return nil, err
		}
	}
	if asSQL {
		if err := n.writeSQL(one, id, rows, kept, list, out, report); err != nil {
			return nil, err
		}
	}
	return report, n.audit.Enqueue(ctx, audit.Entry{
		Kind: audit.Configuration, Actor: by, Node: n.config.Name, Dataset: id.String(),
		Detail: map[string]string{"event": "correct.import", "lines": strconv.Itoa(report.Lines), "taken": strconv.Itoa(report.Taken), "rejected": strconv.Itoa(report.Rejected)},
	})
}

// keepRows reads the records that a workbook corrects, as they are now.
func (n *Node) keepRows(ctx context.Context, rows *capture.Rows, book *os.File, size int64) (*keptRows, error) {
	first, err := n.workbook(rows.Checker()).ReadCorrections(ctx, book, size)
	if err != nil {
		return nil, err
	}
	asked := make(map[string]struct{}, len(first.List))
	for i := range first.List {
		asked[first.List[i].Record] = struct{}{}
	}
	kept, err := newKeptRows(n.correctDir(), asked, len(rows.Shape().Fields))
	if err != nil {
		return nil, err
	}
	if err := rows.Each(ctx, capture.RowQuery{Records: asked}, kept.put); err != nil {
		kept.close()
		return nil, err
	}
	return kept, nil
}

// writeSQL writes the statements that are sure to make exactly the right record of the one that
// is there now. They name rows and values in the source's own form.
func (n *Node) writeSQL(one *source, id lienthong.DatasetID, rows *capture.Rows, kept *keptRows, list []ticket.Correction, out *correctFiles, report *CorrectImported) error {
	target := ticket.Target{Dialect: one.config.dialect(), Columns: map[string]string{}}
	for _, d := range n.sources.definitions(one) {
		if d.Dataset == id {
			target.Table = d.Table
		}
	}
	if target.Dialect == "" {
		return &lienthong.Error{
			Code: "correct.no_sql", Where: id.String(), Vi: "nguồn này không phải cơ sở dữ liệu SQL", En: "this source is no SQL database",
			Hint: "dùng --csv / use --csv",
		}
	}
	shape := rows.Source()
	for i := range shape.Fields {
		target.Columns[shape.Fields[i].Name] = shape.Fields[i].Name
	}
	groups := map[string][]int{}
	for i := range list {
		groups[list[i].Record] = append(groups[list[i].Record], i)
	}
	var statements []ticket.Correction
	for i := range list {
		group := groups[list[i].Record]
		if group[0] != i {
			continue
		}
		made, err := atSource(rows, kept, list, group)
		if err != nil {
			return err
		}
		if len(made) == 0 || ticket.WriteSQL(io.Discard, shape, made, target) != nil {
			report.Unstated += len(group)
			continue
		}
		statements = append(statements, made...)
	}
	report.Statements = len(statements)
	file, err := out.add(partSQL)
	if err != nil {
		return err
	}
	if len(statements) == 0 {
		_, err := io.WriteString(file, "-- 0 values, dataset "+id.String()+"\n")
		return err
	}
	return ticket.WriteSQL(file, shape, statements, target)
}

// atSource turns the corrections of one record into those of the table's columns; none, when it
// is not sure that they make exactly the right record.
func atSource(rows *capture.Rows, kept *keptRows, list []ticket.Correction, group []int) ([]ticket.Correction, error) {
	row, found, err := kept.get(list[group[0]].Record)
	if err != nil || !found {
		return nil, err
	}
	shape, checked := rows.Source(), rows.Shape()
	fields, values := make([]int, len(group)), make([]lienthong.Value, len(group))
	for n, i := range group {
		fields[n], values[n] = checked.FieldIndex(list[i].Field), list[i].Value
	}
	columns, sure := rows.AtSource(row.source, fields, values)
	if !sure || len(shape.Identity) == 0 {
		return nil, nil
	}
	var key []string
	for _, i := range shape.Identity {
		switch shape.Fields[i].Kind {
		case lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Date:
		case lienthong.Real, lienthong.Boolean, lienthong.Timestamp, lienthong.Binary:
			return nil, nil // how a statement finds such a key is up to the engine
		}
		key = append(key, string(row.source[i].AppendText(nil, shape.Fields[i].Kind)))
	}
	var made []ticket.Correction
	for n, column := range columns {
		if len(columns) > 1 {
			for _, i := range shape.Identity {
				if i == column.Column {
					return nil, nil // the statement after it would not find the row
				}
			}
		}
		field := &shape.Fields[column.Column]
		c := list[group[n]]
		c.Key, c.Field, c.Kind, c.Value = key, field.Name, field.Kind, column.Value
		made = append(made, c)
	}
	return made, nil
}

// dialect is how statements for the source are written; empty when it knows none.
func (c *SourceConfig) dialect() string {
	switch {
	case c.Postgres != "":
		return "postgres"
	case c.MySQL != "":
		return "mysql"
	case c.SQLServer != "":
		return "sqlserver"
	case c.Oracle != "":
		return "oracle"
	case c.SQLite != "":
		return "sqlite"
	}
	return ""
}

// correctFiles are the files that a command makes before it answers, so that an answer is whole
// or is not there. They hold values, and go when the command ends.
type correctFiles struct {
	dir   string
	names []string
	files []*os.File
}

func (f *correctFiles) add(name string) (*os.File, error) {
	file, err := os.CreateTemp(f.dir, "part-*")
	if err != nil {
		return nil, fmt.Errorf("make a file for %s: %w", name, err)
	}
	f.names, f.files = append(f.names, name), append(f.files, file)
	return file, nil
}

func (f *correctFiles) close() {
	for _, file := range f.files {
		_ = file.Close()
		_ = os.Remove(file.Name())
	}
}

// correctHead begins an answer; the parts follow it one after the other.
type correctHead struct {
	Report json.RawMessage `json:"report"`
	Parts  []correctPart   `json:"parts"`
}

type correctPart struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// send writes a line of JSON, and the files that are for the command.
func (f *correctFiles) send(w io.Writer, report any) error {
	var head correctHead
	var err error
	if head.Report, err = json.Marshal(report); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	var send []*os.File
	for i, name := range f.names {
		if name != partBook && name != partAnswer && name != partCSV && name != partSQL {
			continue
		}
		size, err := f.files[i].Seek(0, io.SeekCurrent)
		if err == nil {
			_, err = f.files[i].Seek(0, io.SeekStart)
		}
		if err != nil {
			return fmt.Errorf("send %s: %w", name, err)
		}
		head.Parts = append(head.Parts, correctPart{name, size})
		send = append(send, f.files[i])
	}
	if err := json.NewEncoder(w).Encode(head); err != nil {
		return fmt.Errorf("send the report: %w", err)
	}
	for i, file := range send {
		if _, err := io.CopyN(w, file, head.Parts[i].Bytes); err != nil {
			return fmt.Errorf("send %s: %w", head.Parts[i].Name, err)
		}
	}
	return nil
}

func (n *Node) correcting(do func(r *http.Request, out *correctFiles) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		files := &correctFiles{dir: n.correctDir()}
		defer files.close()
		var report any
		err := durable.MkdirAll(files.dir, 0o700)
		if err == nil {
			report, err = do(r, files)
		}
		if err != nil {
			n.log.WarnContext(r.Context(), "command refused", slog.String("command", r.Pattern), slog.String("code", lienthong.ErrorCode(err)))
			writeLocal(w, http.StatusUnprocessableEntity, refusalOf(err))
			return
		}
		if err := files.send(w, report); err != nil {
			panic(http.ErrAbortHandler) // the command sees that it broke off
		}
	}
}

// ExportRows gets a workbook of rows to correct from a running node.
func (l *Local) ExportRows(ctx context.Context, order CorrectOrder, book io.Writer) (CorrectExported, error) {
	query := url.Values{"dataset": {order.Dataset}, "rule": {order.Rule}, "field": {order.Field}, "ticket": {order.Ticket}, "by": {order.By}, "rows": {strconv.Itoa(order.Rows)}}
	body, err := l.Stream(ctx, "GET", "/correct?"+query.Encode(), nil)
	if err != nil {
		return CorrectExported{}, err
	}
	defer func() { _ = body.Close() }()
	var report CorrectExported
	return report, receiveParts(body, &report, map[string]io.Writer{partBook: book})
}

// ImportRows hands a workbook in at a running node. answer gets the lines that cannot be taken, as a
// workbook; csv and sql, which may be nil, the right values.
func (l *Local) ImportRows(ctx context.Context, by string, book io.Reader, answer, csv, sql io.Writer) (CorrectImported, error) {
	query := url.Values{"by": {by}}
	into := map[string]io.Writer{partAnswer: answer}
	if csv != nil {
		query.Set(partCSV, "1")
		into[partCSV] = csv
	}
	if sql != nil {
		query.Set(partSQL, "1")
		into[partSQL] = sql
	}
	body, err := l.Stream(ctx, "POST", "/correct?"+query.Encode(), book)
	if err != nil {
		return CorrectImported{}, err
	}
	defer func() { _ = body.Close() }()
	var report CorrectImported
	return report, receiveParts(body, &report, into)
}

func receiveParts(body io.Reader, report any, into map[string]io.Writer) error {
	in := bufio.NewReader(body)
	line, err := in.ReadBytes('\n')
	var head correctHead
	if err == nil {
		err = json.Unmarshal(line, &head)
	}
	if err == nil {
		err = json.Unmarshal(head.Report, report)
	}
	for _, part := range head.Parts {
		to := into[part.Name]
		if err != nil || to == nil {
			err = errors.Join(err, fmt.Errorf("part %q", part.Name))
			break
		}
		_, err = io.CopyN(to, in, part.Bytes)
	}
	if err != nil {
		return &lienthong.Error{
			Code: "correct.broken_off", Vi: "nút ngắt giữa chừng", En: "the node broke off",
			Hint: "xem nhật ký của nút, kiểm tra chỗ trống trên đĩa, rồi làm lại / see the node's log, check the free disk space, try again", Err: err,
		}
	}
	return nil
}
