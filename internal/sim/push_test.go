package sim

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/app"
	"github.com/lienthong/lienthong/internal/telemetry"
)

const pushedType = `type: KCB_G18
title: Lượt khám bệnh
fields:
  - {name: HoTen, format: string, length: 100, required: true}
  - {name: NgayKham, format: date}
  - {name: ChiPhi, format: double}
`

const pushedDefinition = `dataset: health.visit
title_vi: Lượt khám bệnh
table: KCB_G18
identity: [record_key]
others: keep
columns:
  - {column: IdBanGhi, element: record.key}
  - {column: HoTen, element: person.full_name}
`

// TestPush_FromTheCallerToTheHubsReceipt: a system that cannot be read sends records; they land,
// they follow their versions, and the caller can look up the hub's signed word for each.
func TestPush_FromTheCallerToTheHubsReceipt(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	for name, text := range map[string]string{"KCB_G18.yaml": pushedType, "visit.yaml": pushedDefinition} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hub, err := app.StartHub(ctx, &app.HubConfig{
		Name: "h00", Member: "G01", Data: filepath.Join(dir, "hub"), Links: "127.0.0.1:0", Enrol: "127.0.0.1:0", Console: "off",
	}, app.HubParts{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	token, err := hub.Invite(ctx, lienthong.Government, member, nodeName)
	if err != nil {
		t.Fatal(err)
	}
	node, err := app.StartNode(ctx, &app.NodeConfig{
		Name: nodeName, Data: filepath.Join(dir, "node"), Hub: app.HubAddress{Links: hub.LinksAddr(), Enrol: hub.EnrolURL()},
		Token: telemetry.Secret(token), ReconcileEvery: app.Duration(reconcileEvery),
		Sources: []app.SourceConfig{{
			Push:        &app.PushConfig{Listen: "127.0.0.1:0", Schemas: []string{filepath.Join(dir, "KCB_G18.yaml")}},
			Definitions: []string{filepath.Join(dir, "visit.yaml")},
		}},
	}, app.NodeParts{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	door, err := app.DialLocal(filepath.Join(dir, "node"))
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	var client app.PushClient
	if err := door.Do(ctx, "POST", "/push/clients", &app.PushClient{Name: "his", Types: []string{"KCB_G18"}}, &client); err != nil {
		t.Fatal(err)
	}
	send := func(method, path, key string, body any) (int, map[string]any) {
		t.Helper()
		encoded, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequestWithContext(ctx, method, "http://"+node.PushAddr()+path, bytes.NewReader(encoded))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+key)
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		var answer map[string]any
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, answer
	}
	defer http.DefaultClient.CloseIdleConnections()
	message := func(id, event, name string, version int) map[string]any {
		return map[string]any{
			"NguonDuLieu":     map[string]any{"MaLoaiDuLieu": "KCB_G18"},
			"DuLieuTiepNhan":  map[string]any{"IdBanGhi": id, "HoTen": name, "NgayKham": "2026-11-20", "ChiPhi": 125000},
			"TrangThaiDuLieu": map[string]any{"SuKien": event, "PhienBan": version, "ThoiGianCapNhat": "2026-11-20T09:15:00"},
		}
	}
	if status, _ := send("POST", "/push/v1/messages", "no-such-key", message("KB-0", "NEW", "Trần Thị Mẫu", 1)); status != http.StatusUnauthorized {
		t.Errorf("without a key: %d", status)
	}
	var first map[string]any
	for n := range 20 {
		status, answer := send("POST", "/push/v1/messages", client.Key, message(fmt.Sprintf("KB-%d", n), "NEW", "Trần Thị Mẫu", 1))
		if status != http.StatusCreated {
			t.Fatalf("%d %v", status, answer)
		}
		if n == 0 {
			first = answer
		}
	}
	landed := func(query string) string {
		db, err := sqliteEngine().open(filepath.Join(dir, "hub", "records", "store.db"), "query_only(1)")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		text, err := one[sql.NullString](ctx, db, query)
		if err != nil {
			return ""
		}
		return text.String
	}
	await(ctx, t, "all have landed", func() bool {
		return landed("SELECT count(*) FROM records_health_visit WHERE NOT _deleted") == "20"
	})
	if status, _ := send("POST", "/push/v1/messages", client.Key, message("KB-1", "UPDATE", "Lê Văn Mẫu", 2)); status != http.StatusCreated {
		t.Errorf("update: %d", status)
	}
	if status, _ := send("POST", "/push/v1/messages", client.Key, message("KB-1", "UPDATE", "Lê Văn Khác", 2)); status != http.StatusConflict {
		t.Errorf("the same version with other content: %d", status)
	}
	if status, _ := send("POST", "/push/v1/messages", client.Key, message("KB-2", "CANCEL", "Trần Thị Mẫu", 2)); status != http.StatusCreated {
		t.Errorf("cancel: %d", status)
	}
	await(ctx, t, "the update and the cancellation have landed", func() bool {
		return landed("SELECT full_name FROM records_health_visit WHERE _id = 'KB-1'") == "Lê Văn Mẫu" &&
			landed("SELECT count(*) FROM records_health_visit WHERE NOT _deleted") == "19"
	})
	receipt, _ := first["receipt"].(string)
	if receipt == "" {
		results, _ := first["results"].([]any)
		if len(results) > 0 {
			receipt, _ = results[0].(map[string]any)["receipt"].(string)
		}
	}
	if receipt == "" {
		t.Fatalf("no receipt in %v", first)
	}
	await(ctx, t, "the caller sees the hub's receipt", func() bool {
		status, answer := send("GET", "/push/v1/receipts/"+receipt, client.Key, nil)
		if status != http.StatusOK {
			t.Fatalf("%d %v", status, answer)
		}
		hub, _ := answer["hub"].(map[string]any)
		return answer["state"] == "landed" && hub["signature"] != "" && hub["signature"] != nil
	})
	if err := node.Reconcile(ctx); err != nil {
		t.Fatal(err)
	}
	await(ctx, t, "both ends match", func() bool {
		all := node.Databases("").Datasets
		return len(all) == 1 && all[0].Reconciled == string(lienthong.Matches) && all[0].SourceRows == 19
	})
}
