package mysql

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/durable"
)

// state is what we remember for a server that remembers nothing for us.
type state struct {
	// Acknowledged is where to resume; nil before the first Start and after Release.
	Acknowledged *lienthong.Position `json:"acknowledged,omitempty"`
	// Highest is a place that has been used, or is above all that have been.
	Highest uint64 `json:"highest"`
}

// history is the layouts of the tables, by place. It is needed where the log does not name
// its columns.
type history struct {
	Tables map[string][]stretchOf `json:"tables"`
}

// stretchOf is a layout and the place from which it holds.
type stretchOf struct {
	From uint64     `json:"from"`
	Is   *described `json:"is"`
	// Until is where the log ended when information_schema was asked. A change of the table
	// before that place, and after From, makes the answer a guess.
	Until uint64 `json:"until,omitempty"`
}

// at is the layout that holds at a place: the last that begins at or before it, else the
// first.
func (h *history) at(table string, place uint64) *stretchOf {
	list := h.Tables[table]
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].From <= place {
			return &list[i]
		}
	}
	if len(list) > 0 {
		return &list[0]
	}
	return nil
}

// add says that a table has a layout from a place on. It reports whether that is news.
func (h *history) add(table string, next stretchOf) bool {
	list := h.Tables[table]
	for len(list) > 0 && list[len(list)-1].From >= next.From {
		if list[len(list)-1].From == next.From && list[len(list)-1].Is.same(next.Is) && len(list) > 0 {
			return false
		}
		list = list[:len(list)-1]
	}
	if len(list) > 0 && list[len(list)-1].Is.same(next.Is) && next.Until <= next.From {
		return false
	}
	h.Tables[table] = append(list, next)
	return true
}

// forget drops layouts that hold only before a place.
func (h *history) forget(place uint64) {
	for table, list := range h.Tables {
		for len(list) > 1 && list[1].From <= place {
			list = list[1:]
		}
		h.Tables[table] = list
	}
}

func (s *Source) statePath() string { return filepath.Join(s.cfg.StateDir, s.cfg.Name+".mysql.json") }

func (s *Source) layoutPath() string {
	return filepath.Join(s.cfg.StateDir, s.cfg.Name+".layouts.json")
}

// loadState reads both files. Missing ones are empty.
func (s *Source) loadState() error {
	s.state, s.history = state{}, history{}
	for path, into := range map[string]any{s.statePath(): &s.state, s.layoutPath(): &s.history} {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = json.Unmarshal(data, into)
		}
		if err != nil {
			return &lienthong.Error{
				Code: "mysql.state", Where: path, Err: err,
				Vi:   "không đọc được tệp ghi nhớ vị trí của nguồn",
				En:   "the file that remembers the source's position cannot be read",
				Hint: "khôi phục tệp, hoặc xóa nó để bắt đầu từ hiện tại rồi đối soát / restore the file, or delete it to begin at the present and compare",
			}
		}
	}
	if s.history.Tables == nil {
		s.history.Tables = map[string][]stretchOf{}
	}
	return nil
}

func (s *Source) saveState() error { return s.save(s.statePath(), &s.state) }

func (s *Source) saveHistory() error { return s.save(s.layoutPath(), &s.history) }

func (s *Source) save(path string, what any) error {
	data, err := json.Marshal(what)
	if err == nil {
		err = durable.WriteFile(path, append(data, '\n'), 0o600)
	}
	if err != nil {
		return s.stateError(path, err)
	}
	return nil
}

func (s *Source) stateError(path string, err error) error {
	return &lienthong.Error{
		Code: "mysql.state", Where: path, Err: fmt.Errorf("save: %w", err),
		Vi:   "không ghi được tệp ghi nhớ vị trí của nguồn",
		En:   "the file that remembers the source's position cannot be written",
		Hint: "kiểm tra quyền ghi và chỗ trống của thư mục / check the right to write in the directory and its free space",
	}
}
