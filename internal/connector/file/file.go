// Package file reads a drop folder of CSV and XLSX files as a source.
//
// A table is a pattern of file names. A file that matches is accepted when it
// is whole: its rows are compared with what its folder gave before, and what
// changed is kept in a state database beside, one transaction a file. Streams
// and views read that database, never the folder, so they are exact, and a
// file that is overwritten meanwhile does no harm. When the changes of a file
// are acknowledged, it moves to done/, and a workbook in ket_qua/ answers the
// person who handed it in, with a note on each wrong cell.
//
// Invariants:
//
//   - An import is one transaction of the state database; a power cut leaves all of it
//     or nothing, and what is not acknowledged is delivered again, the same.
//   - The version of a change is the number of the import and the row's number in
//     the file, so a rejection finds its way back to the cell.
//   - A wrong row never stops its neighbours. A row without a usable key is delivered
//     with the key null or malformed, so that the caller counts and quarantines it.
//   - A file that cannot be read as a table at all changes nothing. It moves to
//     loi/ with an answer that says why.
package file

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the database/sql driver "sqlite"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// Mode says what a file means for the rows that its folder gave before.
type Mode string

// The modes.
const (
	Full  Mode = "full"  // the file is everything: rows that are missing are deleted
	Delta Mode = "delta" // the file's rows are added or replaced, others stay
)

// Hidden says what happens to hidden rows and columns of a workbook.
type Hidden string

// The treatments. A filter hides rows that are data, so they are read by default.
const (
	HiddenRead Hidden = "read"
	HiddenSkip Hidden = "skip"
)

// Table declares one pattern of files.
type Table struct {
	// Name of the table.
	Name string
	// Pattern of file paths under Root, with slashes: "*/ho_dan*.xlsx".
	Pattern string
	// Mode of the files. Default Full.
	Mode Mode
	// Key names the columns that together name a row.
	Key []string
	// Columns that a file must have, with their kinds. Empty: the header of the first
	// file decides, and everything is text.
	Columns []lienthong.Column
	// FolderColumn adds a first column with the folder of the file, so that rows of
	// communes that number alike stay apart. It may be part of Key.
	FolderColumn string
	// Operation names a column of delta files that says what to do with the row. Rows with
	// one of DeleteWords in it are deletes. With it, a file may name a row several times.
	Operation string
	// DeleteWords, in any case. Default D, DELETE, XOA, XOÁ, XÓA.
	DeleteWords []string
	// Sheet of a workbook, or of an archive's member. Default: the first that is visible, and all
	// members. A pattern ("Thôn *") makes one table of all sheets that it fits; several tables
	// with the same Pattern and different sheets make several tables of one file.
	Sheet string
	// Skip is how many rows at the top are not looked at.
	Skip int
	// HeaderRows is how many rows the headings take, from the first that is not skipped.
	// Default 0: the header is found by its names, in up to three rows.
	HeaderRows int
	// Encoding of texts, and of cells whose font does not tell it. Default EncodingAuto.
	Encoding Encoding
	// Delimiter of texts: one ASCII character. Default: found out.
	Delimiter string
	// Dates written with two numbers first are day/month, unless MonthFirst.
	MonthFirst bool
	// Decimal is the separator of decimals in declared numbers: "," or ".". Default: what a
	// number says by itself; one that could mean two things is a wrong cell.
	Decimal string
	// Hidden rows and columns are read, unless HiddenSkip.
	Hidden Hidden
	// AllowEmpty accepts a full file without rows, which deletes every row of its
	// folder. Default: such a file is refused, because it is usually a mistake.
	AllowEmpty bool
}

// forms of dates and numbers in the table's files.
func (t *Table) forms() forms {
	f := forms{monthFirst: t.MonthFirst}
	if t.Decimal != "" {
		f.decimal = t.Decimal[0]
	}
	return f
}

// Progress is where an import stands.
type Progress struct {
	File          string
	Stage         string // "reading": the file is checked; "storing": its rows are compared and kept
	Rows          int64
	EstimatedRows int64
	Bytes         int64
	TotalBytes    int64
	Done          bool // of the stage
}

// Config says where the files are and what they mean.
type Config struct {
	Root   string // the drop folder
	Tables []Table
	// StateDir holds the state database and copies of files that wait for
	// acknowledgement. It must not be inside Root.
	StateDir string
	// Interval between looks at the folder. Default 500 ms.
	Interval time.Duration
	// Settle is how old the last write must be for a file to be whole at first
	// sight; younger ones must look the same twice. Default 2 s.
	Settle time.Duration
	// MaxBytes of a file, MaxUnpacked of a workbook's parts, MaxRows of a file and
	// MaxCell bytes of a cell. Defaults 256 MiB, 1 GiB, 2,000,000 and 1 MiB.
	MaxBytes    int64
	MaxUnpacked int64
	MaxRows     int
	MaxCell     int
	// Progress is told now and then where an import stands, from the goroutine that imports.
	// Default: nobody is told; Status tells anybody who asks.
	Progress func(Progress)
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log takes what an operator should know, never a value. Default: nothing is logged.
	Log *slog.Logger
}

// Source is a drop folder. It implements connector.Source and all its optional
// interfaces.
type Source struct {
	config Config
	db     *sql.DB

	accepting sync.Mutex      // one look at the folder at a time
	looks     map[string]look // files that may still be growing; guarded by accepting

	strays atomic.Int64 // files that no pattern fits

	mu       sync.Mutex // guards the fields below
	captured []string   // tables given to Start
	notes    map[int64][]note
	now      *Progress // of the import under way
}

type look struct {
	size  int64
	mtime int64
}

var (
	_ connector.Source         = (*Source)(nil)
	_ connector.HealthReporter = (*Source)(nil)
	_ connector.Destroyer      = (*Source)(nil)
	_ connector.Rejecter       = (*Source)(nil)
	_ connector.Inspector      = (*Source)(nil)
)

var errNotStarted = errors.New("file: Start has not been called")

// Open checks the declarations and opens the state.
func Open(ctx context.Context, config Config) (*Source, error) {
	config.setDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(config.StateDir, "incoming"), 0o700); err != nil {
		return nil, fmt.Errorf("file: state directory: %w", err)
	}
	db, err := openState(ctx, config.StateDir)
	if err != nil {
		return nil, fmt.Errorf("file: open state: %w", err)
	}
	return &Source{config: config, db: db, looks: map[string]look{}, notes: map[int64][]note{}}, nil
}

func (c *Config) setDefaults() {
	if c.Interval <= 0 {
		c.Interval = 500 * time.Millisecond
	}
	if c.Settle <= 0 {
		c.Settle = 2 * time.Second
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 256 << 20
	}
	if c.MaxUnpacked <= 0 {
		c.MaxUnpacked = 1 << 30
	}
	if c.MaxRows <= 0 || c.MaxRows > 1<<23 {
		c.MaxRows = 2_000_000
	}
	if c.MaxCell <= 0 {
		c.MaxCell = 1 << 20
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Tables = slices.Clone(c.Tables)
	for i := range c.Tables {
		t := &c.Tables[i]
		if t.Mode == "" {
			t.Mode = Full
		}
		if len(t.DeleteWords) == 0 {
			t.DeleteWords = []string{"D", "DELETE", "XOA", "XOÁ", "XÓA"}
		}
		if t.Encoding == "" {
			t.Encoding = EncodingAuto
		}
		if t.Hidden == "" {
			t.Hidden = HiddenRead
		}
	}
}

func (c *Config) validate() error {
	bad := func(where, vi, en, hint string) error {
		return &lienthong.Error{Code: "file.config", Where: where, Vi: vi, En: en, Hint: hint}
	}
	if info, err := os.Stat(c.Root); err != nil || !info.IsDir() {
		return bad(c.Root, "không có thư mục nhận tệp", "there is no such drop folder", "tạo thư mục hoặc sửa đường dẫn / make the folder or correct the path")
	}
	var problems []error
	names := map[string]bool{}
	for _, t := range c.Tables {
		if _, err := path.Match(t.Pattern, ""); err != nil || t.Pattern == "" || t.Name == "" || names[t.Name] {
			problems = append(problems, bad(t.Name, "tên bảng trùng hoặc mẫu tên tệp không đúng", "a table's name is taken or its file pattern is wrong", "ví dụ / for example */ho_dan*.xlsx"))
		}
		names[t.Name] = true
		if len(t.Key) == 0 {
			problems = append(problems, bad(t.Name, "chưa khai cột khoá", "no key columns are declared", "khai các cột phân biệt từng dòng / name the columns that tell rows apart"))
		}
		for _, key := range t.Key {
			if len(t.Columns) > 0 && key != t.FolderColumn && !slices.ContainsFunc(t.Columns, func(c lienthong.Column) bool { return c.Name == key }) {
				problems = append(problems, bad(t.Name, "cột khoá không có trong danh sách cột: "+key, "a key column is not among the columns: "+key, "sửa Key hoặc Columns / correct Key or Columns"))
			}
		}
		if t.Mode != Full && t.Mode != Delta || t.Operation != "" && t.Mode != Delta {
			problems = append(problems, bad(t.Name, "chế độ phải là full hoặc delta; cột thao tác chỉ dùng với delta", "the mode is full or delta; an operation column goes with delta", "sửa Mode / correct Mode"))
		}
		if !t.Encoding.known() {
			problems = append(problems, bad(t.Name, "không có bảng mã này: "+string(t.Encoding), "no such encoding: "+string(t.Encoding), "auto, utf-8, utf-16, windows-1258, tcvn3, vni"))
		}
		if t.Skip < 0 || t.HeaderRows < 0 || t.HeaderRows > 10 || len(t.Delimiter) > 1 || t.Delimiter == "\"" || t.Delimiter == "\n" || t.Delimiter >= "\x80" ||
			t.Decimal != "" && t.Decimal != "," && t.Decimal != "." || t.Hidden != HiddenRead && t.Hidden != HiddenSkip {
			problems = append(problems, bad(t.Name, "thiết lập đọc tệp không đúng", "a setting of how files are read is wrong",
				"skip >= 0, header_rows 0-10, delimiter một ký tự ASCII / one ASCII character, decimal , hoặc / or ., hidden read|skip"))
		}
		if _, err := path.Match(t.Sheet, ""); err != nil {
			problems = append(problems, bad(t.Name, "mẫu tên trang tính không đúng", "the pattern of sheets is wrong", "ví dụ / for example Thôn *"))
		}
	}
	return errors.Join(problems...)
}

// Close closes the state. Files and state stay.
func (s *Source) Close() error { return s.db.Close() }

func (s *Source) declared(name string) *Table {
	for i := range s.config.Tables {
		if s.config.Tables[i].Name == name {
			return &s.config.Tables[i]
		}
	}
	return nil
}

// Tables lists the declared tables. Before the first file, a table without
// declared columns has only its key.
func (s *Source) Tables(ctx context.Context) ([]connector.Table, error) {
	tables := make([]connector.Table, 0, len(s.config.Tables))
	for i := range s.config.Tables {
		l, err := s.currentLayout(ctx, s.db, &s.config.Tables[i])
		if err != nil {
			return nil, fmt.Errorf("file: list tables: %w", err)
		}
		table := l.table()
		if err := s.db.QueryRowContext(ctx, "SELECT count(*) FROM rows WHERE tbl = ?", table.Name).Scan(&table.EstimatedRows); err != nil {
			return nil, fmt.Errorf("file: count rows: %w", err)
		}
		tables = append(tables, table)
	}
	return tables, nil
}

// Start returns the import acknowledged last. The first Start returns the last
// import so far: what was accepted before is shown by views, not streamed.
// Files that lie in the folder but are not accepted yet are changes to come.
func (s *Source) Start(ctx context.Context, tables []string) (lienthong.Position, error) {
	for _, name := range tables {
		if s.declared(name) == nil {
			return lienthong.Position{}, &lienthong.Error{
				Code: "file.no_table", Where: name,
				Vi: "không có bảng này trong khai báo nguồn tệp", En: "no such table is declared for the folder",
				Hint: "khai báo bảng với mẫu tên tệp / declare the table with a file pattern",
			}
		}
	}
	s.accepting.Lock()
	defer s.accepting.Unlock()
	for _, name := range tables {
		if err := s.transaction(ctx, func(tx *sql.Tx) error { return s.storeDeclaredLayout(ctx, tx, s.declared(name)) }); err != nil {
			return lienthong.Position{}, fmt.Errorf("file: start: %w", err)
		}
	}
	if _, err := s.db.ExecContext(ctx, `UPDATE meta SET started = 1,
		acknowledged = (SELECT coalesce(max(no), acknowledged) FROM imports) WHERE started = 0`); err != nil {
		return lienthong.Position{}, fmt.Errorf("file: start: %w", err)
	}
	var acknowledged int64
	if err := s.db.QueryRowContext(ctx, "SELECT acknowledged FROM meta").Scan(&acknowledged); err != nil {
		return lienthong.Position{}, fmt.Errorf("file: start: %w", err)
	}
	s.mu.Lock()
	s.captured = slices.Clone(tables)
	s.mu.Unlock()
	s.finishAnswers(ctx)
	return lienthong.Position{Order: uint64(acknowledged)}, nil
}

// Reject notes why the caller refused a row. It is kept until the file is
// answered; a row of a view cannot be traced to a cell and is only logged.
func (s *Source) Reject(table int, version int64, field, reasonVi, reasonEn string) error {
	const maxNotes = 200_000 // per import; more are counted by the caller anyway
	number := version & rowMask
	if number == rowMask {
		s.config.Log.Debug("file: a row of a view was refused", slog.Int("table", table), slog.String("field", field))
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := version >> rowBits
	if len(s.notes[key]) < maxNotes {
		s.notes[key] = append(s.notes[key], note{Row: number, Field: field, Vi: reasonVi, En: reasonEn})
	}
	return nil
}

// Acknowledge forgets the changes up to the position, answers their files and
// moves them to done/.
func (s *Source) Acknowledge(ctx context.Context, pos lienthong.Position) error {
	upTo := int64(min(pos.Order, 1<<38))
	s.accepting.Lock() // an import holds the state's write lock for as long as it takes
	defer s.accepting.Unlock()
	s.mu.Lock()
	waiting := map[int64][]note{}
	for number, notes := range s.notes {
		if number <= upTo {
			waiting[number] = notes
		}
	}
	s.mu.Unlock()
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		for number, notes := range waiting {
			for _, n := range notes {
				if err := addNote(ctx, tx, number, n); err != nil {
					return err
				}
			}
		}
		for _, statement := range []string{
			"UPDATE meta SET acknowledged = ?1 WHERE acknowledged < ?1",
			"UPDATE imports SET status = 1 WHERE no <= ?1 AND status = 0",
			// What the import under way has superseded is still shown by views.
			fmt.Sprintf(`DELETE FROM records WHERE superseded IS NOT NULL AND version < ((?1 + 1) << %d)
				AND superseded < (((SELECT coalesce(max(no), 0) FROM imports) + 1) << %[1]d)`, rowBits),
		} {
			if _, err := tx.ExecContext(ctx, statement, upTo); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("file: acknowledge: %w", err)
	}
	s.mu.Lock()
	for number := range waiting {
		delete(s.notes, number)
	}
	s.mu.Unlock()
	s.finishAnswers(ctx)
	return nil
}

// Health reports files that wait.
func (s *Source) Health(ctx context.Context) (connector.Health, error) {
	var waiting, unanswered int64
	var bytes sql.NullInt64
	err := s.db.QueryRowContext(ctx, `SELECT count(*) FILTER (WHERE status = 0), count(*) FILTER (WHERE status = 1),
		sum(size) FILTER (WHERE status < 2) FROM imports`).Scan(&waiting, &unanswered, &bytes)
	if err != nil {
		return connector.Health{}, fmt.Errorf("file: health: %w", err)
	}
	health := connector.Health{OK: true, Code: "file.ok", RetainedBytes: bytes.Int64}
	health.Vi = fmt.Sprintf("%d tệp chờ xác nhận", waiting)
	health.En = fmt.Sprintf("%d files wait for acknowledgement", waiting)
	if p, busy := s.Status(); busy {
		health.Vi += fmt.Sprintf("; đang nhận %s: %d trên khoảng %d dòng", p.File, p.Rows, p.EstimatedRows)
		health.En += fmt.Sprintf("; taking in %s: %d of about %d rows", p.File, p.Rows, p.EstimatedRows)
	}
	if n := s.strays.Load(); n > 0 {
		health.Vi += fmt.Sprintf("; %d tệp trong thư mục không khớp mẫu tên nào nên không được đọc", n)
		health.En += fmt.Sprintf("; %d files in the folder fit no pattern and are not read", n)
	}
	if _, err := os.ReadDir(s.config.Root); err != nil {
		health.OK, health.Code = false, "file.folder"
		health.Vi, health.En = "không đọc được thư mục nhận tệp", "the drop folder cannot be read"
	} else if unanswered > 0 {
		health.OK, health.Code = false, "file.unanswered"
		health.Vi = fmt.Sprintf("%d tệp đã nhận nhưng chưa trả được kết quả; kiểm tra quyền ghi", unanswered)
		health.En = fmt.Sprintf("%d accepted files could not be answered; check the right to write", unanswered)
	}
	return health, nil
}

// Status is where the import under way stands; false when there is none.
func (s *Source) Status() (Progress, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil {
		return Progress{}, false
	}
	return *s.now, true
}

func (s *Source) progress(p Progress) {
	s.mu.Lock()
	s.now = &p
	if p.Done && p.Stage == "storing" {
		s.now = nil
	}
	s.mu.Unlock()
	if s.config.Progress != nil {
		s.config.Progress(p)
	}
}

// Destroy forgets all imports. Files in the folder stay.
func (s *Source) Destroy(ctx context.Context) error {
	s.accepting.Lock()
	defer s.accepting.Unlock()
	release, err := s.exclusive(ctx, true)
	if err != nil {
		return fmt.Errorf("file: destroy: %w", err)
	}
	defer release()
	if err := s.transaction(ctx, func(tx *sql.Tx) error { return resetState(ctx, tx) }); err != nil {
		return fmt.Errorf("file: destroy: %w", err)
	}
	s.mu.Lock()
	s.captured, s.now = nil, nil
	clear(s.notes)
	s.mu.Unlock()
	if err := s.tidy(ctx, nil); err != nil {
		return fmt.Errorf("file: destroy: %w", err)
	}
	return nil
}
