package store

import (
	"context"
	"fmt"

	"github.com/lienthong/lienthong"
)

// SaveDocuments adds a revision of each document, all or none. Revision is the one that the
// writer has seen, 0 for a document that does not exist yet; when another is the latest the
// error has the code lienthong.CodeDocumentConflict. At 0 means now. The new revisions are
// returned.
func (s *Store) SaveDocuments(ctx context.Context, documents ...lienthong.Document) ([]lienthong.Document, error) {
	saved := make([]lienthong.Document, len(documents))
	err := s.transact(ctx, func(w writer) error {
		for i, d := range documents {
			seen := d.Revision
			if d.At == 0 {
				d.At = micros(s.config.Now())
			}
			d.Revision++
			if seen > 0 {
				// Concurrent writers meet at this row.
				changed, err := w.exec(ctx, "UPDATE documents SET latest = 0 WHERE kind = ? AND id = ? AND revision = ? AND latest = 1", d.Kind, d.ID, seen)
				if err != nil {
					return err
				}
				if changed == 0 {
					return documentConflict(&d)
				}
			}
			added, err := w.exec(ctx, `INSERT INTO documents (kind, id, revision, state, actor, note, at, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT (kind, id, revision) DO NOTHING`, d.Kind, d.ID, d.Revision, d.State, d.Actor, d.Note, d.At, string(d.Body))
			if err != nil {
				return err
			}
			if added == 0 {
				return documentConflict(&d)
			}
			saved[i] = d
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store: save documents: %w", err)
	}
	return saved, nil
}

func documentConflict(d *lienthong.Document) error {
	return &lienthong.Error{
		Code: lienthong.CodeDocumentConflict, Where: d.Kind + " " + d.ID,
		Vi: "đã có người lưu trước trong lúc bạn sửa", En: "somebody else has saved it meanwhile",
		Hint: "mở lại để xem bản mới nhất rồi sửa / open it again to see the newest and decide anew",
	}
}

const documentColumns = "SELECT kind, id, revision, state, actor, note, at, body FROM documents "

// Document reads the latest revision.
func (s *Store) Document(ctx context.Context, kind, id string) (lienthong.Document, bool, error) {
	list, err := s.documents(ctx, "WHERE kind = ? AND id = ? AND latest = 1", kind, id)
	if err != nil || len(list) == 0 {
		return lienthong.Document{}, false, err
	}
	return list[0], true, nil
}

// Documents lists the latest revisions of a kind in order of their ids; state limits the list
// unless it is empty.
func (s *Store) Documents(ctx context.Context, kind, state string) ([]lienthong.Document, error) {
	if state == "" {
		return s.documents(ctx, "WHERE kind = ? AND latest = 1 ORDER BY id", kind)
	}
	return s.documents(ctx, "WHERE kind = ? AND state = ? AND latest = 1 ORDER BY id", kind, state)
}

// DocumentHistory lists all revisions, oldest first.
func (s *Store) DocumentHistory(ctx context.Context, kind, id string) ([]lienthong.Document, error) {
	return s.documents(ctx, "WHERE kind = ? AND id = ? ORDER BY revision", kind, id)
}

func (s *Store) documents(ctx context.Context, where string, args ...any) ([]lienthong.Document, error) {
	var list []lienthong.Document
	err := s.engine.reader().each(ctx, documentColumns+where, args, func(scan scanFunc) error {
		var d lienthong.Document
		var body string
		err := scan(&d.Kind, &d.ID, &d.Revision, &d.State, &d.Actor, &d.Note, &d.At, &body)
		d.Body = []byte(body)
		list = append(list, d)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: read documents: %w", err)
	}
	return list, nil
}
