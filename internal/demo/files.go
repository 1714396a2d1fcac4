package demo

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/xuri/excelize/v2"
)

// Drop says how the files of one dataset are to be read: what the file connector's
// configuration needs.
type Drop struct {
	Dataset   lienthong.DatasetID
	Pattern   string   // below the drop folder, as in the definition's table
	Delta     bool     // rows are changes; otherwise a file replaces what its folder gave before
	Key       []string // columns that name a row
	Operation string   // with Delta: the column that marks deleted rows; empty means the row is as it stands
	Deleted   string   // the mark
	Columns   []string // the header
}

// Drops lists the file datasets: of the communes (WriteDropFolders) and of the
// statistics office (WriteAdminUnits).
func Drops() []Drop {
	return []Drop{
		{Dataset: householdsID(), Pattern: "*/ho_dan*.xlsx", Key: householdColumns()[:1], Columns: householdColumns()},
		{Dataset: parcelsID(), Pattern: "*/thua_dat*.csv", Delta: true, Key: []string{"ma_ban_ghi"}, Operation: "thao_tac", Deleted: "X", Columns: parcelColumns()},
		{Dataset: communesID(), Pattern: "don_vi*.csv", Key: []string{"ma"}, Columns: communeColumns()},
		{Dataset: linksID(), Pattern: "lien_ket*.csv", Key: []string{"ma_lien_ket"}, Columns: linkColumns()},
	}
}

func communeColumns() []string { return []string{"ma", "ten", "loai", "ma_tinh", "ten_tinh"} }

func linkColumns() []string {
	return []string{"ma_lien_ket", "ma_moi", "ma_cu", "ten_cu", "huyen_cu", "ma_tinh_cu", "mot_phan", "muc_khop"}
}

// WriteDropFolders puts the first files into the folders of the two communes:
// households as a workbook, parcels as CSV.
func (w *World) WriteDropFolders(ctx context.Context, dir string, progress Progress) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	total := len(w.households) + len(w.parcels)
	done := 0
	step := func(n int) {
		if done += n; done%500 < n || done == total {
			progress.report(done, total)
		}
	}
	for c := range w.config.Communes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.dropHouseholds(dir, uint8(c), 0, step); err != nil {
			return err
		}
		if err := w.dropParcels(dir, uint8(c), 0, w.parcelsOf(uint8(c)), nil, step); err != nil {
			return err
		}
	}
	return nil
}

// dropName names a file by the day and the serial number of the drop.
func (w *World) dropName(dir string, commune uint8, kind string, serial int, extension string) string {
	name := kind + "_" + time.Unix(int64(w.today)*86400, 0).UTC().Format("20060102") + "_" + padded("", serial, 4) + extension
	return filepath.Join(dir, w.config.Communes[commune], name)
}

// dropHouseholds writes the whole list of a commune.
func (w *World) dropHouseholds(dir string, commune uint8, serial int, step func(int)) error {
	return place(w.dropName(dir, commune, "ho_dan", serial, ".xlsx"), func(file io.Writer) error {
		book := excelize.NewFile()
		defer func() { _ = book.Close() }()
		sheet := "Hộ dân"
		if err := book.SetSheetName("Sheet1", sheet); err != nil {
			return err
		}
		out, err := book.NewStreamWriter(sheet)
		if err != nil {
			return err
		}
		if err := out.SetColWidth(1, len(householdColumns()), 18); err != nil {
			return err
		}
		cells := make([]any, 0, len(householdColumns()))
		for _, column := range householdColumns() {
			cells = append(cells, column)
		}
		if err := out.SetRow("A1", cells); err != nil {
			return err
		}
		line, row := 1, make([]string, 0, len(cells))
		for i := range w.households {
			h := &w.households[i]
			if h.commune != commune || h.gone {
				continue
			}
			row = w.householdRow(row, i)
			cells = cells[:0]
			for n, value := range row {
				switch {
				case value == "":
					cells = append(cells, nil)
				case n == columnMembers:
					members, err := strconv.Atoi(value)
					if err != nil {
						return err
					}
					cells = append(cells, members)
				default:
					cells = append(cells, value)
				}
			}
			line++
			if err := out.SetRow("A"+strconv.Itoa(line), cells); err != nil {
				return err
			}
			step(1)
		}
		if err := out.Flush(); err != nil {
			return err
		}
		return book.Write(file)
	})
}

func (w *World) parcelsOf(commune uint8) []int {
	var list []int
	for i := range w.parcels {
		if p := &w.parcels[i]; p.commune == commune && !p.gone {
			list = append(list, i)
		}
	}
	return list
}

// dropParcels writes parcels as they stand, and marks those that are gone.
func (w *World) dropParcels(dir string, commune uint8, serial int, list, removed []int, step func(int)) error {
	return place(w.dropName(dir, commune, "thua_dat", serial, ".csv"), func(file io.Writer) error {
		out := csv.NewWriter(file)
		if err := out.Write(parcelColumns()); err != nil {
			return err
		}
		row := make([]string, 0, len(parcelColumns()))
		for _, i := range list {
			row = w.parcelRow(row, i, "")
			if err := out.Write(row); err != nil {
				return err
			}
		}
		for _, i := range removed {
			row = w.parcelRow(row, i, "X")
			if err := out.Write(row); err != nil {
				return err
			}
		}
		step(len(list) + len(removed))
		out.Flush()
		return out.Error()
	})
}

// WriteAdminUnits puts the catalogue of the communes of today and the links from
// the old ones into dir, complete and as it is.
func (w *World) WriteAdminUnits(ctx context.Context, dir string, progress Progress) error {
	total := len(w.places.allCommunes) + len(w.places.allLinks)
	day := time.Unix(int64(w.today)*86400, 0).UTC().Format("20060102")
	err := place(filepath.Join(dir, "don_vi_"+day+".csv"), func(file io.Writer) error {
		out := csv.NewWriter(file)
		if err := out.Write(communeColumns()); err != nil {
			return err
		}
		for _, c := range w.places.allCommunes {
			if err := out.Write([]string{c.code, c.name, c.kind, c.province, c.provinceName}); err != nil {
				return err
			}
		}
		out.Flush()
		return out.Error()
	})
	if err != nil {
		return err
	}
	progress.report(len(w.places.allCommunes), total)
	if err := ctx.Err(); err != nil {
		return err
	}
	err = place(filepath.Join(dir, "lien_ket_"+day+".csv"), func(file io.Writer) error {
		out := csv.NewWriter(file)
		if err := out.Write(linkColumns()); err != nil {
			return err
		}
		serial := map[string]int{} // the catalogue numbers the links of each new commune
		for _, l := range w.places.allLinks {
			serial[l.newCode]++
			partial := "0"
			if l.partial {
				partial = "1"
			}
			if err := out.Write([]string{
				padded(l.newCode+"-", serial[l.newCode], 3), l.newCode, l.oldCode, l.oldName, l.oldDistrict, l.oldProvince, partial, l.match,
			}); err != nil {
				return err
			}
		}
		out.Flush()
		return out.Error()
	})
	if err != nil {
		return err
	}
	progress.report(total, total)
	return nil
}

// place writes a file under a hidden name and renames it when it is whole, so that
// nobody reads half a file. It makes the folder when there is none.
func place(path string, write func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("demo: drop folder: %w", err)
	}
	file, err := os.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return fmt.Errorf("demo: drop file: %w", err)
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(file.Name())
			err = fmt.Errorf("demo: write %s: %w", filepath.Base(path), err)
		}
	}()
	buffered := bufio.NewWriterSize(file, 1<<16)
	if err := write(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
