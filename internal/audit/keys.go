package audit

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/durable"
	"golang.org/x/mod/sumdb/note"
)

const (
	secretKeySuffix = ".key"
	publicKeySuffix = ".pub"
)

// openKeys reads the log's Ed25519 key, or makes it when the log is new. A log
// that exists never gets a new key silently: everyone who holds the old public
// key would see a forged log.
func openKeys(dir, origin string, mayMake bool) (note.Signer, string, error) {
	secretPath, publicPath := dir+secretKeySuffix, dir+publicKeySuffix
	there, err := exists(secretPath)
	if err != nil {
		return nil, "", fmt.Errorf("open audit key: %w", err)
	}
	if !there {
		if !mayMake {
			return nil, "", &lienthong.Error{
				Code: "audit.key_lost", Where: secretPath,
				Vi: "thiếu khoá ký của nhật ký kiểm toán", En: "the audit log's signing key is missing",
				Hint: "khôi phục tệp từ bản sao lưu; không tạo khoá mới cho nhật ký cũ / restore it from the backup; an old log gets no new key",
			}
		}
		secret, public, err := note.GenerateKey(rand.Reader, origin)
		if err != nil {
			return nil, "", fmt.Errorf("make audit key: %w", err)
		}
		// The public half first: with the secret half on disk the pair is complete.
		if err := durable.WriteFile(publicPath, []byte(public+"\n"), 0o644); err != nil {
			return nil, "", err
		}
		if err := durable.WriteFile(secretPath, []byte(secret+"\n"), 0o600); err != nil {
			return nil, "", err
		}
	}
	info, err := os.Stat(secretPath)
	if err != nil {
		return nil, "", fmt.Errorf("open audit key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, "", &lienthong.Error{
			Code: "audit.key_exposed", Where: secretPath,
			Vi: "khoá ký của nhật ký cho phép người dùng khác đọc", En: "other users may read the audit log's key",
			Hint: "chạy chmod 600 / chmod 600 it",
		}
	}
	secret, err := os.ReadFile(secretPath)
	if err != nil {
		return nil, "", fmt.Errorf("open audit key: %w", err)
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(secret)))
	if err != nil {
		return nil, "", keyBroken(secretPath, errors.New("not a note key"))
	}
	public, err := os.ReadFile(publicPath)
	if err != nil {
		return nil, "", fmt.Errorf("open audit key: %w", err)
	}
	key := strings.TrimSpace(string(public))
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return nil, "", keyBroken(publicPath, err)
	}
	if signer.Name() != origin || verifier.Name() != origin || signer.KeyHash() != verifier.KeyHash() {
		return nil, "", keyBroken(publicPath, fmt.Errorf("the keys are of another log, %s", signer.Name()))
	}
	return signer, key, nil
}

func keyBroken(where string, cause error) error {
	return &lienthong.Error{
		Code: "audit.key_broken", Where: where,
		Vi: "tệp khoá của nhật ký bị hỏng hoặc thuộc nhật ký khác", En: "the audit log's key file is damaged or of another log",
		Hint: "khôi phục tệp từ bản sao lưu / restore it from the backup", Err: cause,
	}
}
