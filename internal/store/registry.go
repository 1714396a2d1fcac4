package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/lienthong/lienthong/internal/trust"
)

// The methods from SaveToken to TakeNodes and Nodes are trust.Registry.

// SaveToken keeps a new enrolment token.
func (s *Store) SaveToken(ctx context.Context, token trust.TokenRecord) error {
	node, err := json.Marshal(token.Node)
	if err != nil {
		return fmt.Errorf("store: encode node: %w", err)
	}
	_, err = s.change(ctx, "INSERT INTO enrolment_tokens (hash, node, role, expires_at, used_at, used_by) VALUES (?, ?, ?, ?, ?, ?)",
		token.Hash, string(node), string(cmp.Or(token.Role, trust.RoleNode)), micros(token.ExpiresAt), micros(token.UsedAt), token.UsedBy)
	if err != nil {
		return fmt.Errorf("store: keep enrolment token: %w", err)
	}
	return nil
}

// FindToken looks an enrolment token up; false when there is none.
func (s *Store) FindToken(ctx context.Context, hash string) (trust.TokenRecord, bool, error) {
	token, found, err := findToken(ctx, s.engine.reader(), hash, "")
	if err != nil {
		return token, false, fmt.Errorf("store: find enrolment token: %w", err)
	}
	return token, found, nil
}

func findToken(ctx context.Context, in session, hash, lock string) (token trust.TokenRecord, found bool, err error) {
	err = in.each(ctx, "SELECT node, role, expires_at, used_at, used_by FROM enrolment_tokens WHERE hash = ?"+lock, []any{hash},
		func(scan scanFunc) error {
			var node, role string
			var expires, used int64
			if err := scan(&node, &role, &expires, &used, &token.UsedBy); err != nil {
				return err
			}
			found, token.Role = true, trust.Role(role)
			token.Hash, token.ExpiresAt, token.UsedAt = hash, fromMicros(expires), fromMicros(used)
			return json.Unmarshal([]byte(node), &token.Node)
		})
	return token, found, err
}

// Redeem marks an enrolment token used and admits the node, in one transaction. It
// returns false, and changes nothing, when the token is unknown or another key has
// used it. The key that has used it may come again: its answer may have got lost.
func (s *Store) Redeem(ctx context.Context, hash string, node trust.NodeRecord) (bool, error) {
	redeemed := false
	err := s.transact(ctx, func(w writer) error {
		redeemed = false
		token, found, err := findToken(ctx, w, hash, s.engine.types().lockRow)
		if err != nil || !found || !token.UsedAt.IsZero() && token.UsedBy != node.KeyID {
			return err
		}
		if token.UsedAt.IsZero() {
			_, err = w.exec(ctx, "UPDATE enrolment_tokens SET used_at = ?, used_by = ? WHERE hash = ?", micros(node.EnrolledAt), node.KeyID, hash)
			if err != nil {
				return err
			}
		}
		err = putNode(ctx, w, node)
		redeemed = err == nil
		return err
	})
	if err != nil {
		return false, fmt.Errorf("store: redeem enrolment token: %w", err)
	}
	return redeemed, nil
}

// putNode inserts or replaces a node under its name.
func putNode(ctx context.Context, w writer, node trust.NodeRecord) error {
	id, err := json.Marshal(node.Node)
	if err != nil {
		return err
	}
	_, err = w.exec(ctx, `INSERT INTO nodes (name, node, public_key, key_id, certificate, enrolled_at, retired_at, role, via) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET node = excluded.node, public_key = excluded.public_key, key_id = excluded.key_id,
		certificate = excluded.certificate, enrolled_at = excluded.enrolled_at, retired_at = excluded.retired_at, role = excluded.role, via = excluded.via`,
		node.Node.Node, string(id), string(node.Key), node.KeyID, node.Certificate, micros(node.EnrolledAt), micros(node.RetiredAt),
		string(cmp.Or(node.Role, trust.RoleNode)), node.Via)
	return err
}

// TakeNodes takes in the nodes behind a hub below, if the list is newer than the one
// before; it returns the version of the newest.
func (s *Store) TakeNodes(ctx context.Context, hub string, version uint64, nodes []trust.NodeRecord) (kept uint64, err error) {
	err = s.transact(ctx, func(w writer) error {
		last := int64(0)
		// The row is there and locked before it is read: two lists take turns.
		if _, err := w.exec(ctx, "INSERT INTO node_lists (hub, version, taken_at) VALUES (?, 0, 0) ON CONFLICT (hub) DO NOTHING", hub); err != nil {
			return err
		}
		err := w.each(ctx, "SELECT version FROM node_lists WHERE hub = ?"+s.engine.types().lockRow, []any{hub},
			func(scan scanFunc) error { return scan(&last) })
		if err != nil {
			return err
		}
		kept = max(uint64(last), version)
		if version <= uint64(last) {
			return nil
		}
		others := map[string]bool{}
		err = w.each(ctx, "SELECT name FROM nodes WHERE via <> ?", []any{hub}, func(scan scanFunc) error {
			var name string
			err := scan(&name)
			others[name] = true
			return err
		})
		if err != nil {
			return err
		}
		for _, node := range nodes {
			node.Via = hub
			if others[node.Node.Node] {
				continue
			}
			if err := putNode(ctx, w, node); err != nil {
				return err
			}
		}
		_, err = w.exec(ctx, "UPDATE node_lists SET version = ?, taken_at = ? WHERE hub = ?", int64(version), micros(s.config.Now()), hub)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("store: take nodes behind %s: %w", hub, err)
	}
	return kept, nil
}

// Renewed replaces the certificate of an admitted node.
func (s *Store) Renewed(ctx context.Context, node trust.NodeID, certificate string) error {
	n, err := s.change(ctx, "UPDATE nodes SET certificate = ? WHERE name = ?", certificate, node.Node)
	if err == nil && n == 0 {
		err = fmt.Errorf("node %s is not enrolled", node.Node)
	}
	if err != nil {
		return fmt.Errorf("store: renew certificate: %w", err)
	}
	return nil
}

// Nodes lists every admitted node by name.
func (s *Store) Nodes(ctx context.Context) ([]trust.NodeRecord, error) {
	var nodes []trust.NodeRecord
	err := s.engine.reader().each(ctx, "SELECT node, public_key, key_id, certificate, enrolled_at, retired_at, role, via FROM nodes ORDER BY name", nil,
		func(scan scanFunc) error {
			var n trust.NodeRecord
			var id, key, role string
			var enrolled, retired int64
			if err := scan(&id, &key, &n.KeyID, &n.Certificate, &enrolled, &retired, &role, &n.Via); err != nil {
				return err
			}
			n.Role = trust.Role(role)
			n.Key, n.EnrolledAt, n.RetiredAt = []byte(key), fromMicros(enrolled), fromMicros(retired)
			if err := json.Unmarshal([]byte(id), &n.Node); err != nil {
				return err
			}
			nodes = append(nodes, n)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("store: list nodes: %w", err)
	}
	return nodes, nil
}

// RetireNode says that a node is no longer in use.
func (s *Store) RetireNode(ctx context.Context, name string, at time.Time) error {
	if _, err := s.change(ctx, "UPDATE nodes SET retired_at = ? WHERE name = ?", micros(at), name); err != nil {
		return fmt.Errorf("store: retire node: %w", err)
	}
	return nil
}

// SaveSignInToken keeps the hash of a one-time sign-in token.
func (s *Store) SaveSignInToken(ctx context.Context, hash, subject string, expires time.Time) error {
	_, err := s.change(ctx, "INSERT INTO sign_in_tokens (hash, subject, expires_at) VALUES (?, ?, ?)", hash, subject, micros(expires))
	if err != nil {
		return fmt.Errorf("store: keep sign-in token: %w", err)
	}
	return nil
}

// RedeemSignInToken exchanges a one-time token for a session, in one
// transaction. It returns false when the token is unknown, used or expired.
func (s *Store) RedeemSignInToken(ctx context.Context, hash, sessionHash string, sessionExpires time.Time) (subject string, ok bool, err error) {
	err = s.transact(ctx, func(w writer) error {
		ok = false
		now, expires := micros(s.config.Now()), int64(0)
		err := w.each(ctx, "DELETE FROM sign_in_tokens WHERE hash = ? RETURNING subject, expires_at", []any{hash},
			func(scan scanFunc) error { return scan(&subject, &expires) })
		if err != nil || expires <= now {
			return err
		}
		if _, err := w.exec(ctx, "DELETE FROM sessions WHERE expires_at <= ?", now); err != nil {
			return err
		}
		_, err = w.exec(ctx, "INSERT INTO sessions (hash, subject, expires_at) VALUES (?, ?, ?)", sessionHash, subject, micros(sessionExpires))
		ok = err == nil
		return err
	})
	if err != nil {
		return "", false, fmt.Errorf("store: redeem sign-in token: %w", err)
	}
	if !ok {
		subject = ""
	}
	return subject, ok, nil
}

// Session returns whose session it is; false when it is unknown or expired.
func (s *Store) Session(ctx context.Context, hash string) (subject string, ok bool, err error) {
	err = s.engine.reader().each(ctx, "SELECT subject FROM sessions WHERE hash = ? AND expires_at > ?", []any{hash, micros(s.config.Now())},
		func(scan scanFunc) error {
			ok = true
			return scan(&subject)
		})
	if err != nil {
		return "", false, fmt.Errorf("store: find session: %w", err)
	}
	return subject, ok, nil
}

// EndSession forgets a session.
func (s *Store) EndSession(ctx context.Context, hash string) error {
	if _, err := s.change(ctx, "DELETE FROM sessions WHERE hash = ?", hash); err != nil {
		return fmt.Errorf("store: end session: %w", err)
	}
	return nil
}

// Setting returns a setting; false when it was never set.
func (s *Store) Setting(ctx context.Context, key string) (value string, ok bool, err error) {
	err = s.engine.reader().each(ctx, "SELECT value FROM settings WHERE key = ?", []any{key}, func(scan scanFunc) error {
		ok = true
		return scan(&value)
	})
	if err != nil {
		return "", false, fmt.Errorf("store: read setting %s: %w", key, err)
	}
	return value, ok, nil
}

// SetSetting keeps a setting.
func (s *Store) SetSetting(ctx context.Context, key, value string) error {
	_, err := s.change(ctx, "INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)
	if err != nil {
		return fmt.Errorf("store: keep setting %s: %w", key, err)
	}
	return nil
}
