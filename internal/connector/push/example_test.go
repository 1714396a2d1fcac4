package push_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/lienthong/lienthong/internal/connector/push"
)

// A sender pushes a record and checks the acceptance with the standard library: what the
// node has signed for is what was sent.
func ExampleSource() {
	nodeKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	url, apiKey, stop := exampleNode(nodeKey)
	defer stop()

	record := `{"NguonDuLieu":{"MaLoaiDuLieu":"KCB_G18"},"DuLieuTiepNhan":{"IdBanGhi":"KB-1","HoTen":"Trần Thị Mẫu"},` +
		`"TrangThaiDuLieu":{"SuKien":"NEW","PhienBan":1,"ThoiGianCapNhat":"2026-11-20T09:15:00"}}`
	request, _ := http.NewRequest(http.MethodPost, url+"/push/v1/messages", strings.NewReader(record))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+apiKey)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	defer http.DefaultClient.CloseIdleConnections()
	var answer struct {
		Code       string `json:"code"`
		Acceptance struct{ Payload, Protected, Signature string }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(response.StatusCode, answer.Code)

	signed := sha256.Sum256([]byte(answer.Acceptance.Protected + "." + answer.Acceptance.Payload))
	signature, _ := base64.RawURLEncoding.DecodeString(answer.Acceptance.Signature)
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	fmt.Println("signed by the node:", ecdsa.Verify(&nodeKey.PublicKey, signed[:], r, s))

	var payload struct {
		Records []struct{ IdBanGhi, SHA256 string }
	}
	_ = json.Unmarshal([]byte(answer.Acceptance.Payload), &payload)
	sum := sha256.Sum256([]byte(record))
	fmt.Println("for", payload.Records[0].IdBanGhi, "as it was sent:", payload.Records[0].SHA256 == hex.EncodeToString(sum[:]))
	// Output:
	// 201 accepted
	// signed by the node: true
	// for KB-1 as it was sent: true
}

// exampleNode is the other side.
func exampleNode(key *ecdsa.PrivateKey) (url, apiKey string, stop func()) {
	dir, err := os.MkdirTemp("", "push")
	if err != nil {
		panic(err)
	}
	ctx := exampleContext()
	source, err := push.Open(ctx, push.Config{
		StateDir: dir, Signer: &signer{key: key}, Limits: push.Limits{FreeBytes: 1},
		Schemas: []push.Schema{{Type: "KCB_G18", Fields: []push.Field{{Name: "HoTen", Format: push.String}}}},
	})
	if err != nil {
		panic(err)
	}
	if apiKey, err = source.AddClient(ctx, push.Client{Name: "his-01", Types: []string{"KCB_G18"}}); err != nil {
		panic(err)
	}
	server := httptest.NewServer(source.Handler())
	return server.URL, apiKey, func() {
		server.Close()
		_ = source.Close()
		_ = os.RemoveAll(dir)
	}
}
