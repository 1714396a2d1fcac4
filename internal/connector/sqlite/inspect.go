package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lienthong/lienthong/internal/connector"
)

var _ connector.Inspector = (*Source)(nil)

// Inspect tells what the database has, what is left out, and whether Start will be able to
// leave its triggers. It changes nothing.
func (s *Source) Inspect(ctx context.Context) (connector.Inspection, error) {
	var found connector.Inspection
	err := s.read(ctx, func(conn *sql.Conn) error {
		var version, mode string
		if err := conn.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
			return err
		}
		if err := conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
			return err
		}
		found.Engine = "SQLite " + version
		names, err := tableNames(ctx, conn)
		if err != nil {
			return err
		}
		for _, name := range names {
			l, err := introspect(ctx, conn, name)
			if err != nil {
				return err
			}
			if len(l.Key) == 0 {
				found.LeftOut = append(found.LeftOut, connector.LeftOut{
					Name: name, Code: "no_key",
					Vi: "bảng không có khóa: thêm PRIMARY KEY, hoặc chỉ mục UNIQUE trên các cột NOT NULL",
					En: "the table has no key: add a PRIMARY KEY, or a UNIQUE index on NOT NULL columns",
				})
				continue
			}
			table := l.table()
			table.EstimatedRows = estimatedRows(ctx, conn, name)
			found.Tables = append(found.Tables, table)
		}
		if err := leftOut(ctx, conn, &found); err != nil {
			return err
		}
		found.Required = append(s.access(), connector.Requirement{
			Code: "sqlite.wal", OK: true,
			Vi: "chế độ nhật ký ghi trước (WAL); đang là " + mode + ", Start sẽ bật", En: "write-ahead logging; the mode is " + mode + ", and Start switches it on",
		})
		return nil
	})
	if err != nil {
		return connector.Inspection{}, fmt.Errorf("sqlite: inspect: %w", err)
	}
	return found, nil
}

// leftOut names views and virtual tables. What a virtual table keeps its data in (shadow
// tables) is part of it.
func leftOut(ctx context.Context, conn *sql.Conn, found *connector.Inspection) error {
	rows, err := conn.QueryContext(ctx, `SELECT name, type FROM pragma_table_list
		WHERE schema = 'main' AND type IN ('view', 'virtual') AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var l connector.LeftOut
		if err := rows.Scan(&l.Name, &l.Code); err != nil {
			return err
		}
		if l.Code == "virtual" {
			l.Code, l.Vi, l.En = "virtual_table", "bảng ảo: SQLite không cho đặt trigger trên nó", "a virtual table: SQLite allows no triggers on it"
		} else {
			l.Vi, l.En = "khung nhìn (view): đọc các bảng gốc của nó", "a view: read the tables it is made of"
		}
		found.LeftOut = append(found.LeftOut, l)
	}
	return rows.Err()
}

// access asks the operating system whether file and folder can be written.
func (s *Source) access() []connector.Requirement {
	file := connector.Requirement{
		Code: "sqlite.file", OK: true,
		Vi: "quyền đọc và ghi tệp " + s.config.Path, En: "the right to read and write " + s.config.Path,
	}
	if f, err := os.OpenFile(s.config.Path, os.O_RDWR, 0); err != nil {
		file.OK, file.Statement = false, "chmod u+rw '"+s.config.Path+"'"
	} else {
		_ = f.Close()
	}
	dir := filepath.Dir(s.config.Path)
	folder := connector.Requirement{
		Code: "sqlite.folder", OK: mayCreate(dir),
		Vi: "quyền ghi thư mục " + dir + " (SQLite đặt tệp -wal và -shm ở đó)", En: "the right to write the folder " + dir + " (SQLite keeps its -wal and -shm files there)",
	}
	if !folder.OK {
		folder.Statement = "chmod u+rwx '" + dir + "'"
	}
	return []connector.Requirement{file, folder}
}
