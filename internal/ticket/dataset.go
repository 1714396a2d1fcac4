package ticket

import (
	"io"

	"github.com/lienthong/lienthong"
)

// BookDataset tells which dataset a workbook that comes back was made for. limit is how many bytes
// it may have, unpacked; 0: 256 MiB.
func BookDataset(r io.ReaderAt, size, limit int64) (lienthong.DatasetID, error) {
	if limit <= 0 {
		limit = 256 << 20
	}
	book, err := openSheets(r, size, limit)
	if err != nil {
		return lienthong.DatasetID{}, err
	}
	form, name := "", ""
	if err := book.rows(sheetData, func(_ int, cells []cell) error {
		if len(cells) > 1 {
			switch cells[0].text {
			case "form":
				form = cells[1].text
			case "dataset":
				name = cells[1].text
			}
		}
		return nil
	}); err != nil {
		return lienthong.DatasetID{}, err
	}
	dataset, err := lienthong.ParseDatasetID(name)
	if form != bookForm || err != nil {
		return lienthong.DatasetID{}, unreadable(errForm)
	}
	return dataset, nil
}
