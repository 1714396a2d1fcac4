package push

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/durable"
)

// AllTypes as a client's record type lets it send every type.
const AllTypes = "*"

// Client is a system that may send records.
type Client struct {
	Name  string   `json:"name"`
	Types []string `json:"types"` // the record types it may send, or AllTypes
	// Certificate is the name in the client certificate that it shows (DNS name, or common
	// name), issued by an authority that the server trusts. Empty: it has an API key.
	Certificate       string    `json:"certificate,omitempty"`
	RequestsPerSecond int       `json:"requests_per_second,omitempty"` // 0: the source's limit
	Created           time.Time `json:"created"`
}

func (c *Client) may(recordType string) bool {
	for _, allowed := range c.Types {
		if allowed == AllTypes || allowed == recordType {
			return true
		}
	}
	return false
}

// Registry is the list of those who may send. It is a file of its own, so that a command
// line program can change it beside a running node; a change holds from the next request on.
type Registry struct {
	db  *sql.DB
	now func() time.Time
}

const clientsFile = "clients.db"

// OpenRegistry opens the list in a StateDir, and makes it if it is not there.
func OpenRegistry(ctx context.Context, stateDir string, now func() time.Time) (*Registry, error) {
	if now == nil {
		now = time.Now
	}
	if err := durable.MkdirAll(stateDir, 0o700); err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	path, err := filepath.Abs(filepath.Join(stateDir, clientsFile))
	if err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	db, err := openDatabase(path)
	if err != nil {
		return nil, err
	}
	_, err = db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS clients (name TEXT PRIMARY KEY, body TEXT NOT NULL,
		key_id TEXT UNIQUE, key_hash BLOB, certificate TEXT UNIQUE)`)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("push: open the list of clients: %w", err), db.Close())
	}
	return &Registry{db: db, now: now}, nil
}

// Close releases the file.
func (c *Registry) Close() error { return c.db.Close() }

const keyPrefix = "ltp1_"

// An API key is the prefix, the key's name and its secret, 256 bits.
const (
	keyNameBytes   = 10
	keySecretBytes = 32
)

func keyEncoding() *base32.Encoding {
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
}

// AddClient adds a client. Unless it is known by its certificate, the result is its API key,
// which is shown this once: only a hash is kept.
func (c *Registry) AddClient(ctx context.Context, client Client) (key string, err error) {
	name := regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	if !name.MatchString(client.Name) || len(client.Types) == 0 || client.RequestsPerSecond < 0 || len(client.Certificate) > 255 {
		return "", &lienthong.Error{
			Code: "push.client", Where: client.Name,
			Vi: "khai báo hệ thống gửi không hợp lệ", En: "the client is declared wrongly",
			Hint: "tên gồm chữ không dấu, số, . _ -; ít nhất một loại dữ liệu hoặc * / a name of ASCII letters, digits, . _ -; at least one record type, or *",
		}
	}
	client.Created = c.now().UTC().Truncate(time.Second)
	body, err := json.Marshal(client)
	if err != nil {
		return "", fmt.Errorf("push: add client: %w", err)
	}
	var keyName, hash, certificate any
	if client.Certificate != "" {
		certificate = strings.ToLower(client.Certificate)
	} else {
		var random [keyNameBytes + keySecretBytes]byte
		if _, err := rand.Read(random[:]); err != nil {
			return "", fmt.Errorf("push: make key: %w", err)
		}
		id, secret := keyEncoding().EncodeToString(random[:keyNameBytes]), random[keyNameBytes:]
		sum := sha256.Sum256(secret)
		keyName, hash = id, sum[:]
		key = keyPrefix + id + keyEncoding().EncodeToString(secret)
	}
	result, err := c.db.ExecContext(ctx, "INSERT INTO clients (name, body, key_id, key_hash, certificate) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		client.Name, string(body), keyName, hash, certificate)
	if err != nil {
		return "", fmt.Errorf("push: add client: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return "", &lienthong.Error{
			Code: "push.client_exists", Where: client.Name, Err: err,
			Vi: "đã có hệ thống gửi với tên hoặc chứng thư này", En: "there is a client with this name or certificate",
			Hint: "xoá trước khi thêm lại để cấp khoá mới / remove it first, to give it a new key",
		}
	}
	return key, nil
}

// RemoveClient takes away a client's right to send, at once.
func (c *Registry) RemoveClient(ctx context.Context, name string) error {
	result, err := c.db.ExecContext(ctx, "DELETE FROM clients WHERE name = ?", name)
	if err != nil {
		return fmt.Errorf("push: remove client: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return &lienthong.Error{
			Code: "push.client_missing", Where: name, Err: err,
			Vi: "không có hệ thống gửi với tên này", En: "there is no client with this name",
			Hint: "xem danh sách / see the list",
		}
	}
	return nil
}

// Clients lists the clients by name.
func (c *Registry) Clients(ctx context.Context) ([]Client, error) {
	rows, err := c.db.QueryContext(ctx, "SELECT body FROM clients ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("push: list clients: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var clients []Client
	for rows.Next() {
		var body string
		if err := rows.Scan(&body); err != nil {
			return nil, fmt.Errorf("push: list clients: %w", err)
		}
		var client Client
		if err := json.Unmarshal([]byte(body), &client); err != nil {
			return nil, fmt.Errorf("push: list clients: %w", err)
		}
		clients = append(clients, client)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("push: list clients: %w", err)
	}
	return clients, nil
}

// byKey finds the client of an API key. The secret is compared in constant time, and a key
// that is not known costs as much as one that is.
func (c *Registry) byKey(ctx context.Context, key string) (client Client, known bool, err error) {
	rest, ok := strings.CutPrefix(key, keyPrefix)
	encoding := keyEncoding()
	nameLength := encoding.EncodedLen(keyNameBytes)
	if !ok || len(rest) != nameLength+encoding.EncodedLen(keySecretBytes) {
		return client, false, nil
	}
	secret, err := encoding.DecodeString(rest[nameLength:])
	if err != nil || len(secret) != keySecretBytes {
		return client, false, nil //nolint:nilerr // a key that cannot be read is one that is not known
	}
	var body string
	var hash []byte
	found := true
	err = c.db.QueryRowContext(ctx, "SELECT body, key_hash FROM clients WHERE key_id = ?", rest[:nameLength]).Scan(&body, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		found, hash, err = false, make([]byte, sha256.Size), nil
	}
	if err != nil {
		return client, false, fmt.Errorf("push: look for key: %w", err)
	}
	sum := sha256.Sum256(secret)
	if subtle.ConstantTimeCompare(sum[:], hash) != 1 || !found {
		return client, false, nil
	}
	return client, true, json.Unmarshal([]byte(body), &client)
}

// byCertificate finds the client of one of the names of a verified certificate.
func (c *Registry) byCertificate(ctx context.Context, names []string) (client Client, known bool, err error) {
	for _, name := range names {
		var body string
		err := c.db.QueryRowContext(ctx, "SELECT body FROM clients WHERE certificate = ?", strings.ToLower(name)).Scan(&body)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return client, false, fmt.Errorf("push: look for certificate: %w", err)
		}
		return client, true, json.Unmarshal([]byte(body), &client)
	}
	return client, false, nil
}
