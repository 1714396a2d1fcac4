package trust

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// tokenPrefix names the format and its version.
const tokenPrefix = "lt1_"

const (
	tokenSecret = 32
	tokenSum    = 4
	tokenBytes  = tokenSecret + sha256.Size + 8 + tokenSum
)

// token is what a one-time token holds: the secret, the fingerprint of the
// hub's authority, by which the node knows the hub at first contact, and the
// end of its life. A check sum finds typing errors before anything is sent.
type token struct {
	secret      [tokenSecret]byte
	fingerprint [sha256.Size]byte
	expires     int64 // seconds since 1970
}

func newToken(fingerprint [sha256.Size]byte, expires time.Time) (token, error) {
	made := token{fingerprint: fingerprint, expires: expires.Unix()}
	if _, err := rand.Read(made.secret[:]); err != nil {
		return token{}, fmt.Errorf("make token: %w", err)
	}
	return made, nil
}

func tokenEncoding() *base32.Encoding {
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
}

func (t token) encode() string {
	data := make([]byte, 0, tokenBytes)
	data = append(data, t.secret[:]...)
	data = append(data, t.fingerprint[:]...)
	data = binary.BigEndian.AppendUint64(data, uint64(t.expires))
	sum := sha256.Sum256(data)
	data = append(data, sum[:tokenSum]...)
	return tokenPrefix + tokenEncoding().EncodeToString(data)
}

// hash is what the hub keeps of the token.
func (t token) hash() string {
	sum := sha256.Sum256(t.secret[:])
	return hex.EncodeToString(sum[:])
}

// parseToken reads a token. Surrounding space and upper case are forgiven,
// since tokens are copied by hand and by mail programs.
func parseToken(text string) (token, error) {
	bad := func() (token, error) {
		return token{}, &lienthong.Error{
			Code: "trust.token_malformed",
			Vi:   "mã đăng ký không đúng dạng hoặc bị chép sai", En: "not an enrolment token, or copied wrongly",
			Hint: "chép lại trọn mã, bắt đầu bằng lt1_ / copy the whole token, it starts with lt1_",
		}
	}
	body, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(text)), tokenPrefix)
	encoding := tokenEncoding()
	if !ok || len(body) != encoding.EncodedLen(tokenBytes) {
		return bad()
	}
	data, err := encoding.DecodeString(body)
	if err != nil || len(data) != tokenBytes {
		return bad()
	}
	sum := sha256.Sum256(data[:tokenBytes-tokenSum])
	if string(sum[:tokenSum]) != string(data[tokenBytes-tokenSum:]) {
		return bad()
	}
	var parsed token
	copy(parsed.secret[:], data)
	copy(parsed.fingerprint[:], data[tokenSecret:])
	parsed.expires = int64(binary.BigEndian.Uint64(data[tokenSecret+sha256.Size:]))
	return parsed, nil
}

func tokenExpired() error {
	return &lienthong.Error{
		Code: "trust.token_expired",
		Vi:   "mã đăng ký đã hết hạn", En: "the enrolment token has expired",
		Hint: "xin trung tâm cấp mã mới / ask the hub for a new one",
	}
}
