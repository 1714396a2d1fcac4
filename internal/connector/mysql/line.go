package mysql

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// A version is the place of an event on the line, and eight bits for the rows in it. So
// places have 55 bits: 36 PB of log.
const rowBits = 8

// versionAt is the version of the first row of an event at a place.
func versionAt(place uint64) int64 { return int64(place << rowBits) }

const (
	// placesPerMilli is how far the clock puts the beginning of a line apart from an earlier
	// one: a source whose state was lost begins above its earlier life unless it wrote more
	// than 32 MB of log a second, through all of it.
	placesPerMilli = 1 << 15
	// stretch is how far a new part of the line begins above the last place that is known
	// to have been used: more than what can be on its way without having been acknowledged.
	stretch = 1 << 36
)

// clockEpoch is when clocks begin to count places: 1 January 2025, in milliseconds.
const clockEpoch = 1_735_689_600_000

// beginning is the first place of a new part of the line.
func beginning(now time.Time, highest uint64) uint64 {
	place := uint64(max(now.UnixMilli()-clockEpoch, 1)) * placesPerMilli
	if highest > 0 {
		place = max(place, highest+stretch)
	}
	return place
}

// logFile is one file of the binary log, as the server lists it.
type logFile struct {
	name string
	size uint64
}

// errOffLine says that the line does not know a file, nor one before it.
var errOffLine = errors.New("the file is not on the line")

// lineOf places the server's files on our line: each begins where the one before ends.
type lineOf struct {
	server uint32
	base   map[string]uint64
}

// begin starts a part of the line with a file.
func (l *lineOf) begin(server uint32, file string, base uint64) {
	l.server = server
	l.base = map[string]uint64{file: base}
}

// extend places the listed files after, and before, those that are known.
func (l *lineOf) extend(files []logFile) {
	for i := 1; i < len(files); i++ {
		if before, known := l.base[files[i-1].name]; known {
			if _, placed := l.base[files[i].name]; !placed {
				l.base[files[i].name] = before + files[i-1].size
			}
		}
	}
	for i := len(files) - 2; i >= 0; i-- {
		if after, known := l.base[files[i+1].name]; known && after > files[i].size {
			if _, placed := l.base[files[i].name]; !placed {
				l.base[files[i].name] = after - files[i].size
			}
		}
	}
}

// prune forgets files that the server has purged, but for the one that is kept.
func (l *lineOf) prune(files []logFile, keep string) {
	there := map[string]bool{keep: true}
	for _, f := range files {
		there[f.name] = true
	}
	for name := range l.base {
		if !there[name] {
			delete(l.base, name)
		}
	}
}

// baseOf is the place of a file's first byte. It asks the server for its list when the
// file is new.
func (s *Source) baseOf(ctx context.Context, file string) (uint64, error) {
	s.lineMu.Lock()
	base, known := s.line.base[file]
	s.lineMu.Unlock()
	if known {
		return base, nil
	}
	files, err := binaryLogs(ctx, s.db)
	if err != nil {
		return 0, err
	}
	s.lineMu.Lock()
	defer s.lineMu.Unlock()
	s.line.extend(files)
	base, known = s.line.base[file]
	if !known {
		return 0, errOffLine
	}
	s.line.prune(files, file)
	return base, nil
}

// binaryLogs lists the files of the binary log, oldest first.
func binaryLogs(ctx context.Context, db querier) ([]logFile, error) {
	rows, err := db.QueryContext(ctx, "SHOW BINARY LOGS")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var files []logFile
	for rows.Next() {
		var f logFile
		into := make([]any, len(columns))
		into[0], into[1] = &f.name, &f.size
		for i := 2; i < len(into); i++ {
			into[i] = new(sql.RawBytes) // MySQL 8: whether it is encrypted
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, rows.Err()
}

// logEnd is the end of the binary log.
type logEnd struct {
	file          string
	pos           uint64
	doDB, ignored string
	gtids         string // MySQL; may lack transactions that are committing at this moment
}

func (s *server) logEnd(ctx context.Context, db querier) (logEnd, bool, error) {
	rows, err := db.QueryContext(ctx, s.masterStatus())
	if err != nil {
		return logEnd{}, false, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return logEnd{}, false, err
	}
	if !rows.Next() {
		return logEnd{}, false, rows.Err()
	}
	var e logEnd
	into := make([]any, len(columns))
	for i := range into {
		into[i] = new(sql.RawBytes)
	}
	into[0], into[1] = &e.file, &e.pos
	if len(into) > 3 {
		into[2], into[3] = &e.doDB, &e.ignored
	}
	if len(into) > 4 {
		into[4] = &e.gtids
	}
	if err := rows.Scan(into...); err != nil {
		return logEnd{}, false, err
	}
	return e, true, rows.Err()
}
