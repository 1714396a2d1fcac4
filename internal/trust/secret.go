package trust

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/durable"
)

// sealMagic starts every sealed file. The version is in it.
const sealMagic = "lienthong-sealed-1\n"

// vault reads and writes the secret files of one directory. With a seal every
// file is AES-256-GCM under a key derived from it, bound to the file's name;
// without one the file's mode is the protection.
type vault struct {
	dir  string
	seal []byte
}

func openVault(dir string, seal []byte) (vault, error) {
	if len(seal) > 0 && len(seal) < 16 {
		return vault{}, &lienthong.Error{
			Code: "trust.seal_short", Where: dir,
			Vi: "khoá niêm phong ngắn hơn 16 byte", En: "the seal is shorter than 16 bytes",
			Hint: "tạo 32 byte ngẫu nhiên / make 32 random bytes",
		}
	}
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return vault{}, err
	}
	return vault{dir: dir, seal: seal}, nil
}

func (v vault) cipher(name string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, v.seal, nil, "lienthong key file "+name, 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of %s: %w", name, err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("derive the key of %s: %w", name, err)
	}
	return cipher.NewGCM(block)
}

func (v vault) write(name string, plain []byte) error {
	data := plain
	if len(v.seal) > 0 {
		aead, err := v.cipher(name)
		if err != nil {
			return err
		}
		nonce := make([]byte, aead.NonceSize())
		if _, err := rand.Read(nonce); err != nil {
			return fmt.Errorf("seal %s: %w", name, err)
		}
		data = append([]byte(sealMagic), nonce...)
		data = aead.Seal(data, nonce, plain, []byte(name))
	}
	return durable.WriteFile(filepath.Join(v.dir, name), data, 0o600)
}

// read returns the content of a secret file. A file that others may read is
// refused: its secret has to be taken as known. A plain file is sealed when the
// vault has got a seal since.
func (v vault) read(name string) ([]byte, error) {
	path := filepath.Join(v.dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, &lienthong.Error{
			Code: "trust.key_exposed", Where: path,
			Vi:   "tệp khoá cho phép người dùng khác đọc",
			En:   "other users may read the key file",
			Hint: "chạy chmod 600, rồi thay khoá nếu máy có người dùng khác / chmod 600 it, and replace the key if others use the machine",
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	sealed, isSealed := bytes.CutPrefix(data, []byte(sealMagic))
	switch {
	case !isSealed && len(v.seal) == 0:
		return data, nil
	case !isSealed:
		return data, v.write(name, data)
	case len(v.seal) == 0:
		return nil, sealError(path, errors.New("no seal is configured"))
	}
	aead, err := v.cipher(name)
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, sealError(path, errors.New("the file is too short"))
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(name))
	if err != nil {
		return nil, sealError(path, err)
	}
	return plain, nil
}

func (v vault) exists(name string) (bool, error) {
	_, err := os.Stat(filepath.Join(v.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func sealError(path string, cause error) error {
	return &lienthong.Error{
		Code: "trust.key_sealed", Where: path,
		Vi: "không mở được niêm phong của tệp khoá", En: "the seal of the key file does not open",
		Hint: "dùng đúng khoá niêm phong đã tạo tệp này / use the seal that the file was made with", Err: cause,
	}
}
