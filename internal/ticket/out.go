package ticket

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// WriteCSV writes corrections as CSV in UTF-8 for the owner's own system: record, key, field,
// before, correct, empty, remark. empty is true where there should be no value.
//
// Values are exact. With forSpreadsheets, texts that a spreadsheet would take for a formula get an
// apostrophe in front: use it for people, not for machines.
func WriteCSV(out io.Writer, shape *lienthong.Shape, list []Correction, forSpreadsheets bool) error {
	header := []string{"record"}
	for _, i := range shape.Identity {
		header = append(header, shape.Fields[i].Name)
	}
	if len(shape.Identity) > maxKeyCells {
		header = []string{"record", "key"}
	}
	keys := len(header) - 1
	header = append(header, "field", "before", "correct", "empty", "remark")
	w := csv.NewWriter(out)
	if err := w.Write(header); err != nil {
		return fmt.Errorf("ticket: write corrections: %w", err)
	}
	line := make([]string, 0, len(header))
	for i := range list {
		c := &list[i]
		line = append(line[:0], c.Record)
		for n := range keys {
			key := ""
			if n < len(c.Key) {
				key = c.Key[n]
			}
			line = append(line, key)
		}
		line = append(line, c.Field, c.Before, c.Text, strconv.FormatBool(c.Value.State == lienthong.Null), c.Remark)
		if forSpreadsheets {
			for n := range line {
				line[n] = defused(line[n])
			}
		}
		if err := w.Write(line); err != nil {
			return fmt.Errorf("ticket: write corrections: %w", err)
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return fmt.Errorf("ticket: write corrections: %w", err)
	}
	return nil
}

// defused is a text that no spreadsheet takes for a formula.
func defused(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}

// Target says where corrections go, for statements.
type Target struct {
	Dialect string            // postgres, mysql, sqlserver, oracle, sqlite
	Table   string            // as the source calls it, with its schema: "hotich.cong_dan"
	Columns map[string]string // field of the shape -> column of the table; identity fields too
}

// WriteSQL writes corrections as UPDATE statements, one per value, for a database administrator of
// the owner to look through and run. Nothing here runs them. Values are in the dictionary's
// form: where the source writes them otherwise (codes, dates as text), the owner adapts them.
//
// Corrections from a masked workbook, and of fields without a column, are refused: a statement that
// finds the wrong row is worse than none.
func WriteSQL(out io.Writer, shape *lienthong.Shape, list []Correction, target Target) error {
	q, err := quoterOf(target.Dialect)
	if err != nil {
		return err
	}
	where := func(field string) error {
		return &lienthong.Error{
			Code: "ticket.sql", Where: shape.Dataset.String() + ", " + field,
			Vi: "không lập được câu lệnh: thiếu tên cột hoặc khoá của bản ghi", En: "no statement can be made: a column or a key is missing",
			Hint: "khai tên cột, dùng sổ làm việc có giá trị / name the columns, use a workbook with values",
		}
	}
	table := make([]string, 0, 3)
	for name := range strings.SplitSeq(target.Table, ".") {
		table = append(table, q.name(name))
	}
	if target.Table == "" {
		return where("")
	}
	var b strings.Builder
	b.WriteString("-- Review before running. / Kiểm tra trước khi chạy.\n")
	b.WriteString("-- " + strconv.Itoa(len(list)) + " values, dataset " + shape.Dataset.String() + "\n")
	for i := range list {
		c := &list[i]
		column := target.Columns[c.Field]
		if column == "" || len(c.Key) != len(shape.Identity) || c.Kind == lienthong.Binary {
			return where(c.Field)
		}
		fmt.Fprintf(&b, "UPDATE %s SET %s = %s WHERE ", strings.Join(table, "."), q.name(column), q.value(&c.Value, c.Kind))
		for n, k := range shape.Identity {
			f := &shape.Fields[k]
			numeric := f.Kind == lienthong.Integer || f.Kind == lienthong.Decimal // in canonical form, so never ambiguous
			key, why := parseCell(&cell{text: c.Key[n], number: numeric}, f.Kind, false)
			if why != nil || key.State != lienthong.Present || target.Columns[f.Name] == "" || c.Key[n] == "" || strings.Contains(c.Key[n], "*") {
				return where(f.Name)
			}
			if f.Kind == lienthong.Text {
				key.Bytes = []byte(c.Key[n]) // a key is what it is, also with spaces at its ends
			}
			if n > 0 {
				b.WriteString(" AND ")
			}
			b.WriteString(q.name(target.Columns[f.Name]) + " = " + q.value(&key, f.Kind))
		}
		b.WriteString(";\n")
		if b.Len() > 1<<16 || i == len(list)-1 {
			if _, err := io.WriteString(out, b.String()); err != nil {
				return fmt.Errorf("ticket: write statements: %w", err)
			}
			b.Reset()
		}
	}
	return nil
}

// quoter writes names and values so that nothing in them is taken for a command.
type quoter struct {
	open, close string // of names
	backslash   bool   // a backslash in a text is an escape
	unicode     bool   // texts need N in front
	typed       bool   // dates are written with their type
	zone        bool   // times are written with their zone; otherwise they are in UTC
	stamped     bool   // so are times
	words       bool   // TRUE and FALSE exist
}

func quoterOf(dialect string) (quoter, error) {
	switch dialect {
	case "postgres":
		return quoter{open: `"`, close: `"`, typed: true, zone: true, words: true}, nil
	case "mysql":
		return quoter{open: "`", close: "`", backslash: true, words: true}, nil
	case "sqlserver":
		return quoter{open: "[", close: "]", unicode: true}, nil
	case "oracle":
		return quoter{open: `"`, close: `"`, unicode: true, typed: true, zone: true, stamped: true}, nil
	case "sqlite":
		return quoter{open: `"`, close: `"`}, nil
	}
	return quoter{}, &lienthong.Error{
		Code: "ticket.dialect", Where: dialect,
		Vi: "không có loại cơ sở dữ liệu này", En: "no such kind of database",
		Hint: "postgres, mysql, sqlserver, oracle, sqlite",
	}
}

func (q *quoter) name(name string) string {
	return q.open + strings.ReplaceAll(name, q.close, q.close+q.close) + q.close
}

func (q *quoter) text(text string) string {
	text = strings.ReplaceAll(text, "'", "''")
	if q.backslash {
		text = strings.ReplaceAll(text, `\`, `\\`)
	}
	if q.unicode {
		return "N'" + text + "'"
	}
	return "'" + text + "'"
}

func (q *quoter) value(value *lienthong.Value, kind lienthong.Kind) string {
	if value.State != lienthong.Present {
		return "NULL"
	}
	text := string(value.AppendText(nil, kind))
	switch kind {
	case lienthong.Integer, lienthong.Decimal, lienthong.Real:
		return text
	case lienthong.Boolean:
		switch {
		case q.words:
			return strings.ToUpper(text)
		case value.Int != 0:
			return "1"
		default:
			return "0"
		}
	case lienthong.Date:
		if q.typed {
			return "DATE '" + text + "'"
		}
		return "'" + text + "'"
	case lienthong.Timestamp:
		text = time.UnixMicro(value.Int).UTC().Format("2006-01-02 15:04:05.000000")
		if q.zone {
			text += "+00:00"
		}
		if q.stamped {
			return "TIMESTAMP '" + text + "'"
		}
		return "'" + text + "'"
	case lienthong.Text, lienthong.Binary:
		return q.text(text)
	}
	return q.text(text)
}
