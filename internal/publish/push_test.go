package publish

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector/push"
)

// What the XML Schema calls valid a node takes in: the two were written apart from each other. A node looks at
// the form only, so it takes in more: blank text in a required field, for one, is refused by the checks later.
func TestXSD_IsWhatANodeTakesIn(t *testing.T) {
	e := testExports(t)
	g := newGenerator(t, 5)
	g.plain = true
	d := &Dataset{Shape: &lienthong.Shape{
		Dataset: lienthong.DatasetID{Database: "generated", Name: "pushed"}, Version: 1, Identity: []int{0},
		Fields: []lienthong.Field{
			{Name: "key", Kind: lienthong.Text, MaxLength: 9},
			{Name: "note", Kind: lienthong.Text},
			{Name: "count", Kind: lienthong.Integer, Required: true},
			{Name: "share", Kind: lienthong.Real},
			{Name: "live", Kind: lienthong.Boolean},
			{Name: "born", Kind: lienthong.Date},
			{Name: "seen", Kind: lienthong.Timestamp},
		},
	}}
	declared := push.Schema{Type: d.Shape.Dataset.String()}
	for _, f := range d.Shape.Fields {
		format := map[lienthong.Kind]push.Format{
			lienthong.Text: push.String, lienthong.Integer: push.Long, lienthong.Real: push.Double, lienthong.Boolean: push.Boolean,
			lienthong.Date: push.Date, lienthong.Timestamp: push.DateTime,
		}[f.Kind]
		declared.Fields = append(declared.Fields, push.Field{Name: f.Name, Format: format, Length: f.MaxLength, Required: f.Required || f.Name == "key"})
	}
	node, err := push.Open(t.Context(), push.Config{StateDir: t.TempDir(), Signer: signer{}, Limits: push.Limits{FreeBytes: 1}, Schemas: []push.Schema{declared}})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	key, err := node.AddClient(t.Context(), push.Client{Name: "sender", Types: []string{declared.Type}})
	if err != nil {
		t.Fatal(err)
	}
	schema, _ := xsdFile(t, e, d)
	var files, bodies []string
	for i := range 40 {
		row := g.nearlyGood(checker(t, e.config.Dictionary, d), d.Shape)
		event := "NEW"
		if i%8 == 0 {
			event, row = "CANCEL", nil
		}
		body := strings.Replace(message(d.Shape, row, event, i%2 == 0), "<IdBanGhi>1<", fmt.Sprintf("<IdBanGhi>%d<", i), 1)
		switch i {
		case 9:
			body = strings.Replace(body, "</IdBanGhi>", "</IdBanGhi><other>1</other>", 1)
		case 10:
			body = strings.Replace(body, "<PhienBan>1<", "<PhienBan>0<", 1)
		case 11:
			body = strings.Replace(body, ">NEW<", ">ADD<", 1)
		case 12:
			body = strings.Replace(body, declared.Type, "another", 1)
		}
		files = append(files, file(t, filepath.Dir(schema), fmt.Sprintf("%d.xml", i), []byte(body)))
		bodies = append(bodies, body)
	}
	valid := xmllint(t, schema, files...)
	taken := 0
	for i, body := range bodies {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/push/v1/messages", strings.NewReader(body))
		request.RemoteAddr = "127.0.0.1:1" // off loopback only TLS is taken
		request.Header.Set("Content-Type", "application/xml")
		request.Header.Set("Authorization", "Bearer "+key)
		answer := httptest.NewRecorder()
		node.Handler().ServeHTTP(answer, request)
		created := answer.Code == http.StatusCreated
		if valid[files[i]] && !created || i >= 9 && i <= 12 && (valid[files[i]] || created) {
			text, _ := os.ReadFile(files[i])
			t.Errorf("valid %v, answer %d %s\n%s", valid[files[i]], answer.Code, answer.Body, text)
		}
		if created {
			taken++
		}
	}
	if taken < 10 {
		t.Errorf("%d messages were taken in", taken)
	}
}

// signer signs nothing worth anything: acceptances are not what is tested here.
type signer struct{}

func (signer) Sign([]byte) (string, error) { return "e30..AA", nil }
