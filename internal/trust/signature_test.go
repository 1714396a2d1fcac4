package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"testing/quick"

	"github.com/google/go-cmp/cmp"
	"github.com/lienthong/lienthong"
)

// The vectors: RFC 7515 appendix A.3 (ES256), RFC 7797 section 4.2 (b64=false,
// HS256).
const (
	rfcKey       = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
	rfcHeader    = "eyJhbGciOiJFUzI1NiJ9"
	rfcPayload   = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	rfcSignature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

	hmacKey    = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
	hmacJWS    = "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19..A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY"
	hmacAmount = "$.02"
)

// independent verifies an ES256 signature with nothing but the standard library.
func independent(t *testing.T, jwk, signingInput []byte, signature string) bool {
	t.Helper()
	var key struct{ X, Y string }
	if err := json.Unmarshal(jwk, &key); err != nil {
		t.Fatal(err)
	}
	point := append([]byte{4}, append(unbase64(t, key.X), unbase64(t, key.Y)...)...)
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	raw := unbase64(t, signature)
	if len(raw) != 64 {
		t.Fatalf("signature of %d bytes", len(raw))
	}
	sum := sha256.Sum256(signingInput)
	return ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:]))
}

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func openTest(t *testing.T, name string) *Identity {
	t.Helper()
	identity, err := OpenIdentity(t.TempDir(), name, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

func directoryOf(t *testing.T, id NodeID, identity *Identity) *Directory {
	t.Helper()
	directory := NewDirectory()
	if _, err := directory.Register(Registration{Node: id, Role: RoleNode, Key: identity.PublicKey()}); err != nil {
		t.Fatal(err)
	}
	return directory
}

var population = NodeID{Bloc: lienthong.Government, Member: "G01", Node: "population"}

func TestSign_VerifiesIndependently(t *testing.T) {
	if !independent(t, []byte(rfcKey), []byte(rfcHeader+"."+rfcPayload), rfcSignature) {
		t.Fatal("the independent check does not accept the vector of RFC 7515")
	}
	mac := hmac.New(sha256.New, unbase64(t, hmacKey))
	header, value, _ := strings.Cut(hmacJWS, "..")
	mac.Write([]byte(header + "." + hmacAmount))
	if !hmac.Equal(mac.Sum(nil), unbase64(t, value)) {
		t.Fatal("our reading of the signing input is not that of RFC 7797")
	}

	identity := openTest(t, "population")
	for _, payload := range []string{"", "$.02", `{"họ tên":"…"}`, strings.Repeat("x", 1<<20), "\x00\xff.\n"} {
		signature, err := identity.Sign([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		header, value, found := strings.Cut(signature, "..")
		if !found {
			t.Fatalf("not detached: %s", signature)
		}
		if !independent(t, identity.PublicKey(), []byte(header+"."+payload), value) {
			t.Fatalf("payload of %d bytes: the signature does not verify", len(payload))
		}
		var protected struct {
			Alg  string   `json:"alg"`
			Kid  string   `json:"kid"`
			B64  *bool    `json:"b64"`
			Crit []string `json:"crit"`
		}
		if err := json.Unmarshal(unbase64(t, header), &protected); err != nil {
			t.Fatal(err)
		}
		if protected.Alg != "ES256" || protected.Kid != identity.KeyID() || protected.B64 == nil || *protected.B64 {
			t.Fatalf("header %s", unbase64(t, header))
		}
		if diff := cmp.Diff([]string{"b64"}, protected.Crit); diff != "" {
			t.Fatalf("crit: %s", diff)
		}
	}
	// The name of a key is the RFC 7638 thumbprint.
	var members map[string]string
	if err := json.Unmarshal(identity.PublicKey(), &members); err != nil {
		t.Fatal(err)
	}
	canonical := `{"crv":"P-256","kty":"EC","x":"` + members["x"] + `","y":"` + members["y"] + `"}`
	sum := sha256.Sum256([]byte(canonical))
	if want := base64.RawURLEncoding.EncodeToString(sum[:]); identity.KeyID() != want {
		t.Fatalf("key id %s, want %s", identity.KeyID(), want)
	}
}

func TestDirectory_Verify(t *testing.T) {
	identity, stranger := openTest(t, "population"), openTest(t, "stranger")
	directory := directoryOf(t, population, identity)
	payload := []byte(`{"sequence":7}`)
	sign := func(i *Identity) string {
		signature, err := i.Sign(payload)
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
	good := sign(identity)
	header, value, _ := strings.Cut(good, "..")
	forge := func(protected string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(protected)) + ".." + value
	}
	kid := identity.KeyID()
	for _, test := range []struct {
		name, signature, payload, code string
	}{
		{"genuine", good, string(payload), ""},
		{"other payload", good, `{"sequence":8}`, "trust.forged"},
		{"one byte more", good, string(payload) + " ", "trust.forged"},
		{"spare bits of the last letter", good[:len(good)-1] + nextLetter(good), string(payload), "trust.malformed"},
		{"unknown key", sign(stranger), string(payload), "trust.unknown_signer"},
		{"changed signature", header + ".." + flipLetter(value, 10), string(payload), "trust.forged"},
		{"short signature", header + ".." + value[:40], string(payload), "trust.forged"},
		{"claims to be another", forge(`{"alg":"ES256","kid":"` + stranger.KeyID() + `","b64":false,"crit":["b64"]}`), string(payload), "trust.unknown_signer"},
		{"no algorithm", forge(`{"alg":"none","kid":"` + kid + `","b64":false,"crit":["b64"]}`), string(payload), "trust.algorithm"},
		{"HS256 with the public key", forge(`{"alg":"HS256","kid":"` + kid + `","b64":false,"crit":["b64"]}`), string(payload), "trust.algorithm"},
		{"ES384", forge(`{"alg":"ES384","kid":"` + kid + `","b64":false,"crit":["b64"]}`), string(payload), "trust.algorithm"},
		{"the vector of RFC 7797", hmacJWS, hmacAmount, "trust.algorithm"},
		{"encoded payload profile", forge(`{"alg":"ES256","kid":"` + kid + `"}`), string(payload), "trust.malformed"},
		{"unknown critical header", forge(`{"alg":"ES256","kid":"` + kid + `","b64":false,"crit":["b64","exp"],"exp":1}`), string(payload), "trust.forged"},
		{"no key name", forge(`{"alg":"ES256","b64":false,"crit":["b64"]}`), string(payload), "trust.malformed"},
		{"attached", header + "." + base64.RawURLEncoding.EncodeToString(payload) + "." + value, string(payload), "trust.malformed"},
		{"white space", header + ".. " + value, string(payload), "trust.malformed"},
		{"empty", "", string(payload), "trust.malformed"},
		{"huge", strings.Repeat("A", maxSignature+1), string(payload), "trust.malformed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			signer, err := directory.Verify([]byte(test.payload), test.signature)
			if got := lienthong.ErrorCode(err); got != test.code {
				t.Fatalf("code %q (%v), want %q", got, err, test.code)
			}
			if err == nil && signer != (Signer{Node: population, Role: RoleNode, KeyID: kid}) {
				t.Fatalf("signer %+v", signer)
			}
			if err != nil && (signer != Signer{}) {
				t.Fatalf("a signer beside an error: %+v", signer)
			}
		})
	}
}

// nextLetter changes the last letter so that the decoded bytes stay the same.
func nextLetter(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, s[len(s)-1])|1])
}

func flipLetter(s string, at int) string {
	b := []byte(s)
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	return string(b)
}

func TestParseKey_Refuses(t *testing.T) {
	good := openTest(t, "x").PublicKey()
	for name, raw := range map[string]string{
		"private":       `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}`,
		"symmetric":     `{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ"}`,
		"off the curve": `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5b0"}`,
		"wrong name":    strings.Replace(string(good), `"kid":"`, `"kid":"x`, 1),
		"encryption":    strings.Replace(string(good), `"use":"sig"`, `"use":"enc"`, 1),
		"nothing":       ``,
		"long":          strings.Repeat(" ", 5000),
	} {
		if _, _, err := parseKey([]byte(raw)); lienthong.ErrorCode(err) != "trust.key" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := parseKey(good); err != nil {
		t.Fatal(err)
	}
}

func TestAttach_RoundTrip(t *testing.T) {
	identity := openTest(t, "population")
	directory := directoryOf(t, population, identity)
	if err := quick.Check(func(payload string) bool {
		payload = strings.ToValidUTF8(payload, "?")
		signature, err := identity.Sign([]byte(payload))
		if err != nil {
			return false
		}
		document, err := Attach([]byte(payload), signature)
		if err != nil {
			return false
		}
		gotPayload, gotSignature, err := Detach(document)
		if err != nil || string(gotPayload) != payload || gotSignature != signature {
			return false
		}
		_, err = directory.Verify(gotPayload, gotSignature)
		return err == nil
	}, &quick.Config{MaxCount: 50}); err != nil {
		t.Fatal(err)
	}
	if _, err := Attach([]byte{0xff}, "a..b"); err == nil {
		t.Fatal("attached what is not text")
	}
}

func FuzzVerify(f *testing.F) {
	identity, err := OpenIdentity(f.TempDir(), "population", Options{})
	if err != nil {
		f.Fatal(err)
	}
	directory := NewDirectory()
	if _, err := directory.Register(Registration{Node: population, Role: RoleNode, Key: identity.PublicKey()}); err != nil {
		f.Fatal(err)
	}
	payload := []byte("payload")
	good, err := identity.Sign(payload)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(hmacJWS)
	f.Add(`{"payload":"a","protected":"e30","signature":"AA"}`)
	header, _, _ := strings.Cut(good, "..")
	f.Fuzz(func(t *testing.T, signature string) {
		if document, err := Attach(payload, signature); err == nil {
			_, again, err := Detach(document)
			if err != nil || again != signature {
				t.Fatalf("%q came back as %q, %v", signature, again, err)
			}
		}
		if _, _, err := Detach([]byte(signature)); err != nil && lienthong.ErrorCode(err) != "trust.malformed" {
			t.Fatalf("Detach: %v", err)
		}
		signer, err := directory.Verify(payload, signature)
		if err == nil {
			// Only what the key has signed may pass: the same header, hence the same input.
			if got, _, _ := strings.Cut(signature, ".."); got != header || signer.Node != population {
				t.Fatalf("accepted %q", signature)
			}
			return
		}
		if !strings.HasPrefix(lienthong.ErrorCode(err), "trust.") {
			t.Fatalf("uncoded: %v", err)
		}
	})
}

func FuzzParseNodeID(f *testing.F) {
	f.Add("spiffe://government.gov.vn/G01/population")
	f.Add("spiffe://party.gov.vn/G09.20/a-1")
	f.Add("spiffe://government.gov.vn/G01/population/")
	f.Fuzz(func(t *testing.T, uri string) {
		id, err := ParseNodeID(uri)
		if err != nil {
			if lienthong.ErrorCode(err) != "trust.node_name" {
				t.Fatalf("code of %v", err)
			}
			return
		}
		if id.String() != uri {
			t.Fatalf("%q came back as %q", uri, id)
		}
	})
}

func FuzzParseToken(f *testing.F) {
	made, err := newToken([32]byte{1, 2, 3}, testTime())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(made.encode())
	f.Add("lt1_")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseToken(text)
		if err != nil {
			return
		}
		again, err := parseToken(parsed.encode())
		if err != nil || again != parsed {
			t.Fatalf("does not come back: %v", err)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	identity, err := OpenIdentity(b.TempDir(), "population", Options{})
	if err != nil {
		b.Fatal(err)
	}
	payload := bytes.Repeat([]byte("x"), 600)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := identity.Sign(payload); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	identity, err := OpenIdentity(b.TempDir(), "population", Options{})
	if err != nil {
		b.Fatal(err)
	}
	directory := NewDirectory()
	if _, err := directory.Register(Registration{Node: population, Role: RoleNode, Key: identity.PublicKey()}); err != nil {
		b.Fatal(err)
	}
	payload := bytes.Repeat([]byte("x"), 600)
	signature, err := identity.Sign(payload)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := directory.Verify(payload, signature); err != nil {
			b.Fatal(err)
		}
	}
}
