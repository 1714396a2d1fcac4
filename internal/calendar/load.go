package calendar

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/lienthong/lienthong"
)

// maxRows is more than a century of holidays; a longer file is not one of ours.
const maxRows = 10_000

// header is the first line of a file of holidays.
func header() []string { return []string{"date", "kind", "status", "name_vi", "name_en", "source"} }

// With is the calendar with the rows of a file over its own: what a new announcement or decree
// changes. name is for messages. All problems of the file are returned together, and then
// nothing of it is taken.
//
// The file is CSV in UTF-8 with the columns date, kind, status, name_vi, name_en, source. A row
// replaces what the calendar knew about its day. Kind is
//
//   - holiday, substitute, exchanged or makeup, as in [Entry];
//   - working: the day is what its weekday says after all, as when an announcement moves it;
//   - year, with the year alone as the date: the file knows the year. Rows of a year that
//     neither the file nor the calendar knows are refused, because the rest would be a guess.
//
// Status is official or provisional; rows need a source.
func (c *Calendar) With(name string, r io.Reader) (*Calendar, error) {
	entries := make(map[Day]Entry, len(c.entries))
	for i := range c.entries {
		entries[c.entries[i].Day] = c.entries[i]
	}
	next := &Calendar{years: maps.Clone(c.years)}
	reader := csv.NewReader(r)
	reader.FieldsPerRecord = -1
	var problems []error
	problem := func(line int, code, vi, en, hint string) {
		problems = append(problems, &lienthong.Error{Code: code, Vi: vi, En: en, Where: fmt.Sprintf("%s:%d", name, line), Hint: hint})
	}
	type located struct {
		Entry
		line int
	}
	var rows []located
	seen := map[string]bool{}
	for n := 0; ; n++ {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			if n == 0 {
				problem(1, "calendar.header", "tệp ngày nghỉ rỗng", "the file of holidays is empty", "date,kind,status,name_vi,name_en,source")
			}
			break
		}
		if err != nil {
			return nil, &lienthong.Error{
				Code: "calendar.unreadable", Where: name, Err: err,
				Vi: "không đọc được tệp ngày nghỉ", En: "the file of holidays cannot be read",
				Hint: "lưu dạng CSV UTF-8, dấu phẩy ngăn cột / save it as CSV UTF-8 with commas",
			}
		}
		line, _ := reader.FieldPos(0)
		if n == 0 {
			record[0] = trimMark(record[0])
			if !slices.Equal(record, header()) {
				problem(line, "calendar.header", "dòng đầu phải là tên các cột", "the first line must name the columns", "date,kind,status,name_vi,name_en,source")
				break
			}
			continue
		}
		if n > maxRows {
			problem(line, "calendar.too_long", "tệp quá dài", "the file is too long", "")
			break
		}
		if len(record) != len(header()) {
			problem(line, "calendar.columns", fmt.Sprintf("dòng có %d cột, cần %d", len(record), len(header())), fmt.Sprintf("the line has %d columns, not %d", len(record), len(header())), "")
			continue
		}
		date, kind, status, source := record[0], Kind(record[1]), record[2], record[5]
		if status != "official" && status != "provisional" {
			problem(line, "calendar.status", "trạng thái phải là official hoặc provisional", "status must be official or provisional", "")
		}
		if source == "" {
			problem(line, "calendar.source", "thiếu căn cứ (cột source)", "the row names no source", "số và ngày của thông báo / number and date of the announcement")
		}
		if seen[date] {
			problem(line, "calendar.twice", "ngày có hai lần trong tệp", "the date stands twice in the file", "")
		}
		seen[date] = true
		if kind == "year" {
			year, err := strconv.Atoi(date)
			if err != nil || year < 1976 || year > 2200 {
				problem(line, "calendar.date", "năm không đúng dạng", "not a year", "yyyy")
				continue
			}
			next.years[year] = yearInfo{known: true, provisional: status == "provisional"}
			continue
		}
		day, err := ParseDay(date)
		if err != nil {
			problem(line, "calendar.date", "ngày không đúng dạng", "not a date", "yyyy-mm-dd")
			continue
		}
		switch kind {
		case Holiday, Substitute, Exchanged, Makeup, "working":
			rows = append(rows, located{Entry{Day: day, Kind: kind, Provisional: status == "provisional", Vi: record[3], En: record[4], Source: source}, line})
		default:
			problem(line, "calendar.kind", "loại ngày không có", "no such kind of day", "holiday, substitute, exchanged, makeup, working, year")
		}
	}
	for _, row := range rows {
		if !next.Known(row.Day.Year()) {
			problem(row.line, "calendar.unknown_year", "năm của ngày này chưa được khai báo", "the year of this day is not declared",
				fmt.Sprintf("thêm dòng %d,year,official,… / add the row", row.Day.Year()))
			continue
		}
		if row.Kind == "working" {
			delete(entries, row.Day)
			continue
		}
		entries[row.Day] = row.Entry
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	next.entries = slices.Collect(maps.Values(entries))
	next.index()
	return next, nil
}

// trimMark drops the byte order mark that spreadsheets put in front of UTF-8.
func trimMark(s string) string {
	const mark = "\ufeff"
	if len(s) >= len(mark) && s[:len(mark)] == mark {
		return s[len(mark):]
	}
	return s
}
