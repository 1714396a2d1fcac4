package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
)

//go:embed migrations
var migrations embed.FS

// migrate brings the store's own tables to this program's version: the numbered
// files of the engine's folder, in order, each in one transaction with its entry
// in schema_migrations.
func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Glob(migrations, path.Join("migrations", s.engine.name(), "*.sql"))
	if err != nil {
		return fmt.Errorf("store: list migrations: %w", err)
	}
	sort.Strings(files)
	err = s.transact(ctx, func(w writer) error {
		return w.script(ctx, s.engine.types().migrationLock+
			"CREATE TABLE IF NOT EXISTS schema_migrations (version integer PRIMARY KEY, applied_at bigint NOT NULL);")
	})
	if err != nil {
		return fmt.Errorf("store: prepare migrations: %w", err)
	}
	for number, file := range files {
		if err := s.migrateOne(ctx, file, len(files)); err != nil {
			return fmt.Errorf("store: migration %d: %w", number+1, err)
		}
	}
	return nil
}

func (s *Store) migrateOne(ctx context.Context, file string, known int) error {
	number, err := strconv.Atoi(strings.SplitN(path.Base(file), "_", 2)[0])
	if err != nil {
		return err
	}
	statements, err := migrations.ReadFile(file)
	if err != nil {
		return err
	}
	return s.transact(ctx, func(w writer) error {
		// Two programs that start together take turns.
		if err := w.script(ctx, s.engine.types().migrationLock); err != nil {
			return err
		}
		var at int64
		err := w.each(ctx, "SELECT coalesce(max(version), 0) FROM schema_migrations", nil,
			func(scan scanFunc) error { return scan(&at) })
		if err != nil {
			return err
		}
		if at > int64(known) {
			return &lienthong.Error{
				Code: "store.newer", Where: strconv.FormatInt(at, 10),
				Vi:   "kho dữ liệu do phiên bản mới hơn tạo ra",
				En:   "the store was made by a newer version of this program",
				Hint: "cài phiên bản mới hơn / install the newer version",
			}
		}
		if int64(number) <= at {
			return nil
		}
		if err := w.script(ctx, string(statements)); err != nil {
			return err
		}
		_, err = w.exec(ctx, "INSERT INTO schema_migrations (version, applied_at) VALUES (?, ?)", int64(number), micros(s.config.Now()))
		return err
	})
}
