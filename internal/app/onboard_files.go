package app

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/lienthong/lienthong/internal/connector/file"
)

// folderColumn names the column that keeps files of several folders apart.
const folderColumn = "thu_muc"

// lookAtFolder makes tables of the files in a folder: files whose names differ in digits only
// are one table (thang_11, thang_12), each sheet of a workbook is one, and so are files of one
// name in several folders. What has no header or nothing that could be a key is named.
func lookAtFolder(ctx context.Context, c *FilesConfig, report *DatabaseReport) error {
	digits := regexp.MustCompile(`[0-9]+`)
	seen := map[string]bool{}
	taken := map[string]bool{}
	leave := func(name, code, vi, en string) {
		report.LeftOut = append(report.LeftOut, LeftOutReport{Name: name, Code: code, Vi: vi, En: en})
	}
	err := fs.WalkDir(os.DirFS(c.Root), ".", func(at string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case entry.IsDir():
			if strings.Count(at, "/") > 0 || at != "." && strings.HasPrefix(path.Base(at), ".") || path.Base(at) == "ket_qua" {
				return fs.SkipDir
			}
			return nil
		}
		ending := strings.ToLower(path.Ext(at))
		if !slices.Contains([]string{".csv", ".txt", ".tsv", ".xlsx", ".zip", ".gz", ".xls"}, ending) || strings.HasPrefix(path.Base(at), ".") {
			return nil
		}
		base := path.Base(at)
		stem := strings.TrimSuffix(strings.TrimSuffix(base, path.Ext(base)), ".csv")
		pattern := digits.ReplaceAllString(stem, "*") + strings.TrimPrefix(base, stem)
		folder := ""
		if path.Dir(at) != "." {
			pattern, folder = "*/"+pattern, folderColumn
		}
		if seen[pattern] {
			return nil
		}
		seen[pattern] = true
		preview, err := file.Inspect(ctx, filepath.Join(c.Root, filepath.FromSlash(at)))
		if err != nil {
			leave(at, "unreadable", "không đọc được tệp", "the file cannot be read: "+err.Error())
			return nil //nolint:nilerr // the others are looked at
		}
		sheets := slices.DeleteFunc(slices.Clone(preview.Sheets), func(s file.SheetPreview) bool { return s.Hidden })
		for _, sheet := range sheets {
			where := at
			name := plainCode(strings.Trim(digits.ReplaceAllString(stem, ""), "_- "))
			if len(sheets) > 1 {
				where += ": " + sheet.Name
				name = plainCode(name + " " + sheet.Name)
			}
			switch {
			case sheet.Problem != nil:
				leave(where, sheet.Problem.Code, sheet.Problem.Vi, sheet.Problem.En)
				continue
			case len(sheet.Keys) == 0:
				leave(where, "no_key", "không cột nào có thể làm khóa: có ô trống hoặc giá trị lặp", "no column can be the key: all have gaps or repetitions")
				continue
			}
			for n := 2; taken[name]; n++ {
				name = fmt.Sprintf("%s_%d", name[:min(len(name), 36)], n)
			}
			taken[name] = true
			table := FilesTable{Name: name, Pattern: pattern, Key: []string{sheet.Keys[0]}, FolderColumn: folder}
			if folder != "" {
				table.Key = append([]string{folder}, table.Key...)
			}
			if len(sheets) > 1 {
				table.Sheet = sheet.Name
			}
			for _, column := range sheet.Columns {
				table.Columns = append(table.Columns, column.Name)
			}
			c.Tables = append(c.Tables, table)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look at folder: %w", err)
	}
	slices.SortFunc(c.Tables, func(a, b FilesTable) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}
