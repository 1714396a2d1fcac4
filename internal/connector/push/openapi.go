package push

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// jsonSchema is the part of JSON Schema 2020-12 that record types need.
type jsonSchema struct {
	Schema      string                 `json:"$schema,omitempty"`
	ID          string                 `json:"$id,omitempty"`
	Ref         string                 `json:"$ref,omitempty"`
	Title       string                 `json:"title,omitempty"`
	Description string                 `json:"description,omitempty"`
	Type        any                    `json:"type,omitempty"` // a name, or several
	Format      string                 `json:"format,omitempty"`
	Enum        []string               `json:"enum,omitempty"`
	Const       string                 `json:"const,omitempty"`
	Pattern     string                 `json:"pattern,omitempty"`
	MaxLength   int                    `json:"maxLength,omitempty"`
	MinLength   int                    `json:"minLength,omitempty"`
	Minimum     *int64                 `json:"minimum,omitempty"`
	Maximum     *int64                 `json:"maximum,omitempty"`
	Not         *jsonSchema            `json:"not,omitempty"`
	OneOf       []*jsonSchema          `json:"oneOf,omitempty"`
	Items       *jsonSchema            `json:"items,omitempty"`
	Properties  map[string]*jsonSchema `json:"properties,omitempty"`
	Required    []string               `json:"required,omitempty"`
	Additional  *bool                  `json:"additionalProperties,omitempty"`
	If          *jsonSchema            `json:"if,omitempty"`
	Then        *jsonSchema            `json:"then,omitempty"`
}

func closedObject(required []string, properties map[string]*jsonSchema) *jsonSchema {
	no := false
	return &jsonSchema{Type: "object", Properties: properties, Required: required, Additional: &no}
}

// ofField is the schema of one field.
func ofField(f *Field) *jsonSchema {
	s := &jsonSchema{Description: f.About}
	name := ""
	switch f.Format {
	case String:
		name, s.MaxLength = "string", f.Length
		if f.Required {
			s.MinLength = 1
		}
	case Int:
		least, most := int64(-1<<31), int64(1<<31-1)
		name, s.Format, s.Minimum, s.Maximum = "integer", "int32", &least, &most
	case Long:
		name, s.Format = "integer", "int64"
	case Float, Double:
		name, s.Format = "number", "double"
	case Boolean:
		name = "boolean"
	case Object:
		name = "object"
	case Date:
		name, s.Format = "string", "date"
	case DateTime:
		name = "string"
		s.Description = strings.TrimSpace(s.Description + " YYYY-MM-DDTHH:mm:ss (UTC+7), RFC 3339")
	}
	if f.Required {
		s.Type = name
	} else {
		s.Type = []string{name, "null"}
	}
	return s
}

// jsonSchemaOf describes the message of a record type.
func jsonSchemaOf(t *Schema) *jsonSchema {
	text := func(about string) *jsonSchema {
		return &jsonSchema{Type: "string", Description: about, MaxLength: maxIdentifier}
	}
	data := map[string]*jsonSchema{
		columnKey:  {Type: "string", Description: "khoá duy nhất của bản ghi / names the record", MinLength: 1, MaxLength: maxIdentifier},
		columnCode: text("mã định danh dữ liệu"),
		columnDistribution: {Type: "array", Description: "tệp kèm theo / files of the record", Items: closedObject(nil, map[string]*jsonSchema{
			"Id": text(""), "TenTep": text(""), "MaLoaiDuLieu": text(""), "PhienBan": text(""), "DuongDanTaiXuong": text(""),
			"MaKiemTra": closedObject(nil, map[string]*jsonSchema{"GiaTri": text("")}),
		})},
	}
	required := []string{columnKey}
	for i := range t.Fields {
		f := &t.Fields[i]
		if f.Parent == "" {
			data[f.Name] = ofField(f)
			if f.Required {
				required = append(required, f.Name)
			}
			continue
		}
		parent := data[f.Parent]
		if parent == nil {
			parent = closedObject(nil, map[string]*jsonSchema{})
			data[f.Parent] = parent
		}
		parent.Properties[f.Name] = ofField(f)
		if f.Required {
			if len(parent.Required) == 0 {
				required = append(required, f.Parent)
			}
			parent.Required = append(parent.Required, f.Name)
		}
	}
	return &jsonSchema{
		Title: strings.TrimSpace(t.Type + " " + t.Title), Type: "object",
		Properties: map[string]*jsonSchema{
			"NguonDuLieu": closedObject([]string{"MaLoaiDuLieu"}, map[string]*jsonSchema{
				"MaLoaiDuLieu": {Const: t.Type}, columnSource: text("hệ thống nguồn / the system that it comes from"),
			}),
			"DuLieuTiepNhan": closedObject([]string{columnKey}, data),
			"TrangThaiDuLieu": closedObject([]string{"SuKien", columnVersion, columnUpdated}, map[string]*jsonSchema{
				"SuKien":      {Type: "string", Enum: []string{string(New), string(Update), string(Cancel)}},
				columnVersion: {Type: "integer", Format: "int64", Not: &jsonSchema{Minimum: new(int64), Maximum: new(int64)}, Description: "khác 0, tăng dần theo từng bản ghi / not 0, grows with each version of a record"},
				columnUpdated: {Type: "string", Description: "YYYY-MM-DDTHH:mm:ss (UTC+7), RFC 3339"},
			}),
		},
		Required: []string{"NguonDuLieu", "DuLieuTiepNhan", "TrangThaiDuLieu"},
		// CANCEL needs the identifier only.
		If: &jsonSchema{Properties: map[string]*jsonSchema{"TrangThaiDuLieu": {Properties: map[string]*jsonSchema{
			"SuKien": {Enum: []string{string(New), string(Update)}},
		}}}},
		Then: &jsonSchema{Properties: map[string]*jsonSchema{"DuLieuTiepNhan": {Required: required}}},
	}
}

// example is a message of the record type that the server accepts.
func example(t *Schema) json.RawMessage {
	data := node{name: "DuLieuTiepNhan", kind: objectNode}
	add := func(into *node, n node) { into.members = append(into.members, n) }
	add(&data, node{name: columnKey, kind: textNode, text: "VD-0001"})
	for i := range t.Fields {
		f := &t.Fields[i]
		value := node{name: f.Name, kind: literalNode}
		switch f.Format {
		case String:
			value.kind, value.text = textNode, "ví dụ"
			if f.Length > 0 && f.Length < 5 {
				value.text = strings.Repeat("1", f.Length)
			}
		case Int, Long:
			value.text = "1"
		case Float, Double:
			value.text = "1.5"
		case Boolean:
			value.text = "true"
		case Object:
			value.kind, value.members = objectNode, []node{{name: "a", kind: literalNode, text: "1"}}
		case Date:
			value.kind, value.text = textNode, "2026-11-23"
		case DateTime:
			value.kind, value.text = textNode, "2026-11-23T08:30:00"
		}
		if f.Parent == "" {
			add(&data, value)
			continue
		}
		parent, _ := data.member(f.Parent)
		if parent == nil {
			add(&data, node{name: f.Parent, kind: objectNode})
			parent = &data.members[len(data.members)-1]
		}
		add(parent, value)
	}
	text := func(name, value string) node { return node{name: name, kind: textNode, text: value} }
	root := node{kind: objectNode, members: []node{
		{name: "NguonDuLieu", kind: objectNode, members: []node{text("MaLoaiDuLieu", t.Type), text(columnSource, "he-thong-nguon")}},
		data,
		{name: "TrangThaiDuLieu", kind: objectNode, members: []node{
			text("SuKien", string(New)), {name: columnVersion, kind: literalNode, text: "1"}, text(columnUpdated, "2026-11-23T08:30:00"),
		}},
	}}
	return root.appendJSON(nil)
}

// The parts of an OpenAPI 3.1 document that this interface needs.
type (
	apiDocument struct {
		OpenAPI    string                `json:"openapi"`
		Info       apiInfo               `json:"info"`
		Servers    []apiServer           `json:"servers,omitempty"`
		Security   []map[string][]string `json:"security"`
		Paths      map[string]apiPath    `json:"paths"`
		Components apiComponents         `json:"components"`
	}
	apiInfo struct {
		Title       string `json:"title"`
		Version     string `json:"version"`
		Description string `json:"description"`
	}
	apiServer struct {
		URL string `json:"url"`
	}
	apiPath struct {
		Get  *apiOperation `json:"get,omitempty"`
		Post *apiOperation `json:"post,omitempty"`
	}
	apiOperation struct {
		OperationID string                 `json:"operationId"`
		Summary     string                 `json:"summary"`
		Parameters  []apiParameter         `json:"parameters,omitempty"`
		RequestBody *apiBody               `json:"requestBody,omitempty"`
		Responses   map[string]apiResponse `json:"responses"`
	}
	apiParameter struct {
		Name        string      `json:"name"`
		In          string      `json:"in"`
		Required    bool        `json:"required,omitempty"`
		Description string      `json:"description,omitempty"`
		Schema      *jsonSchema `json:"schema"`
	}
	apiBody struct {
		Required bool                `json:"required"`
		Content  map[string]apiMedia `json:"content"`
	}
	apiResponse struct {
		Description string              `json:"description"`
		Content     map[string]apiMedia `json:"content,omitempty"`
	}
	apiMedia struct {
		Schema   *jsonSchema           `json:"schema,omitempty"`
		Examples map[string]apiExample `json:"examples,omitempty"`
	}
	apiExample struct {
		Value json.RawMessage `json:"value"`
	}
	apiComponents struct {
		Schemas         map[string]*jsonSchema       `json:"schemas"`
		SecuritySchemes map[string]apiSecurityScheme `json:"securitySchemes"`
	}
	apiSecurityScheme struct {
		Type   string `json:"type"`
		Scheme string `json:"scheme,omitempty"`
		Name   string `json:"name,omitempty"`
		In     string `json:"in,omitempty"`
	}
)

func reference(name string) *jsonSchema { return &jsonSchema{Ref: "#/components/schemas/" + name} }

func mediaOf(schema *jsonSchema) map[string]apiMedia {
	return map[string]apiMedia{"application/json": {Schema: schema}, "application/xml": {Schema: schema}}
}

// messageComponent is the component's name of a record type's message.
func messageComponent(recordType string) string { return "message." + recordType }

// apiDocumentOf describes the interface with the record types that a client may send.
func apiDocumentOf(types []*recordType) *apiDocument {
	components := answerComponents()
	messages := &jsonSchema{}
	examples := map[string]apiExample{}
	for _, t := range types {
		components[messageComponent(t.Type)] = jsonSchemaOf(&t.Schema)
		messages.OneOf = append(messages.OneOf, reference(messageComponent(t.Type)))
		examples[t.Type] = apiExample{Value: example(&t.Schema)}
	}
	components["message"] = messages
	components["batch"] = closedObject([]string{"data"}, map[string]*jsonSchema{
		"totalRecords": {Type: "integer"}, "data": {Type: "array", Items: reference("message")},
	})
	body := &jsonSchema{OneOf: []*jsonSchema{reference("message"), reference("batch"), {Type: "array", Items: reference("message")}}}
	requestBody := &apiBody{Required: true, Content: map[string]apiMedia{
		"application/json": {Schema: body, Examples: examples},
		"application/xml":  {Schema: &jsonSchema{Description: "<Root>…</Root> hoặc / or <DanhSach><Root>…</Root>…</DanhSach>"}},
	}}
	document := &apiDocument{
		OpenAPI: "3.1.0",
		Info: apiInfo{
			Title: "Lienthong push", Version: "1",
			Description: "Tiếp nhận bản ghi theo bản tin của Thông tư 08/2025/TT-BCA. / Takes records in the message form of Circular 08/2025/TT-BCA.",
		},
		Security: []map[string][]string{{"key": {}}, {"header": {}}, {"certificate": {}}},
		Paths:    map[string]apiPath{},
		Components: apiComponents{Schemas: components, SecuritySchemes: map[string]apiSecurityScheme{
			"key": {Type: "http", Scheme: "bearer"}, "header": {Type: "apiKey", Name: "X-Api-Key", In: "header"}, "certificate": {Type: "mutualTLS"},
		}},
	}
	for _, route := range routes() {
		operation := operationOf(route.path, requestBody)
		if route.method == http.MethodPost {
			document.Paths[route.path] = apiPath{Post: operation}
		} else {
			document.Paths[route.path] = apiPath{Get: operation}
		}
	}
	return document
}

func operationOf(path string, body *apiBody) *apiOperation {
	refused := apiResponse{Description: "refused", Content: mediaOf(reference("refusal"))}
	operation := &apiOperation{Responses: map[string]apiResponse{
		"401": refused, "403": refused, "405": refused, "429": refused, "500": refused,
	}}
	text := &jsonSchema{Type: "string"}
	switch path {
	case routeMessages:
		operation.OperationID, operation.Summary = "push", "Gửi một bản ghi hoặc một lô / send one record, or a batch"
		operation.Parameters = []apiParameter{
			{Name: "X-Data-Type", In: "header", Description: "thay cho MaLoaiDuLieu / instead of MaLoaiDuLieu", Schema: text},
			{Name: "Content-Encoding", In: "header", Schema: &jsonSchema{Type: "string", Enum: []string{"gzip", "identity"}}},
		}
		operation.RequestBody = body
		operation.Responses["201"] = apiResponse{"một bản ghi: đã nhận / one record: accepted", mediaOf(reference("accepted"))}
		operation.Responses["200"] = apiResponse{
			"một bản ghi: đã nhận trước đó; lô: mọi bản ghi đã nhận / one record: accepted before; batch: every record is in the inbox",
			mediaOf(&jsonSchema{OneOf: []*jsonSchema{reference("accepted"), reference("results")}}),
		}
		operation.Responses["207"] = apiResponse{"lô: kết quả từng bản ghi / batch: a result for each record", mediaOf(reference("results"))}
		for _, status := range []string{"400", "409", "413", "415", "422", "503"} {
			operation.Responses[status] = refused
		}
	case routeReceipt:
		operation.OperationID, operation.Summary = "receipt", "Bản ghi đang ở đâu / where a record is"
		operation.Parameters = []apiParameter{{Name: "id", In: "path", Required: true, Schema: text}}
		operation.Responses["200"] = apiResponse{"biên nhận / the receipt", mediaOf(reference("receipt"))}
		operation.Responses["404"] = refused
	case routeSchemas:
		operation.OperationID, operation.Summary = "schemas", "Các loại dữ liệu được gửi / record types that may be sent"
		operation.Responses["200"] = apiResponse{Description: "danh sách / the list", Content: map[string]apiMedia{"application/json": {Schema: &jsonSchema{Type: "object"}}}}
	case routeSchema:
		operation.OperationID, operation.Summary = "schema", "JSON Schema của bản tin / JSON Schema of the message"
		operation.Parameters = []apiParameter{{Name: "type", In: "path", Required: true, Schema: text}}
		operation.Responses["200"] = apiResponse{Description: "JSON Schema 2020-12", Content: map[string]apiMedia{"application/schema+json": {Schema: &jsonSchema{Type: "object"}}}}
		operation.Responses["404"] = refused
	case routeOpenAPI:
		operation.OperationID, operation.Summary = "openapi", "Tài liệu này / this document"
		operation.Responses["200"] = apiResponse{Description: "OpenAPI 3.1", Content: map[string]apiMedia{"application/json": {Schema: &jsonSchema{Type: "object"}}}}
	}
	return operation
}

// answerComponents describes the answers.
func answerComponents() map[string]*jsonSchema {
	text, whole := &jsonSchema{Type: "string"}, &jsonSchema{Type: "integer"}
	object := func(required []string, properties map[string]*jsonSchema) *jsonSchema {
		return &jsonSchema{Type: "object", Properties: properties, Required: required}
	}
	result := map[string]*jsonSchema{
		"index": whole, columnKey: text, columnVersion: whole, "code": text, "vi": text, "en": text, "where": text, "hint": text, "receipt": text,
	}
	return map[string]*jsonSchema{
		"refusal": object([]string{"code", "vi", "en"}, map[string]*jsonSchema{"code": text, "vi": text, "en": text, "where": text, "hint": text}),
		"signed":  object([]string{"payload", "protected", "signature"}, map[string]*jsonSchema{"id": text, "payload": text, "protected": text, "signature": text}),
		"result":  object([]string{"code", "vi", "en"}, result),
		"accepted": object([]string{"code", "receipt", "acceptance"}, map[string]*jsonSchema{
			columnKey: text, columnVersion: whole, "code": text, "vi": text, "en": text, "receipt": text, "acceptance": reference("signed"),
		}),
		"results": object([]string{"read", "accepted", "repeated", "refused", "results", "acceptances"}, map[string]*jsonSchema{
			"read": whole, "accepted": whole, "repeated": whole, "refused": whole, "ended": reference("refusal"),
			"results":     {Type: "array", Items: reference("result")},
			"acceptances": {Type: "array", Items: reference("signed")},
		}),
		"receipt": object([]string{"receipt", "state", "acceptance"}, map[string]*jsonSchema{
			"receipt": text, "state": {Type: "string", Enum: []string{stateAccepted, stateBatched, stateLanded, stateNothing}},
			"MaLoaiDuLieu": text, columnKey: text, columnVersion: whole, "sha256": text,
			"acceptance": reference("signed"), "location": reference("signed"), "hub": reference("signed"),
		}),
	}
}

// allowed are the record types that a client may send.
func (s *Source) allowed(client *Client) []*recordType {
	types := s.recordTypes()
	kept := types[:0]
	for _, t := range types {
		if client.may(t.Type) {
			kept = append(kept, t)
		}
	}
	return kept
}

func (s *Source) serveOpenAPI(w http.ResponseWriter, r *http.Request, client *Client) {
	s.respondJSON(w, r, "application/json; charset=utf-8", apiDocumentOf(s.allowed(client)))
}

func (s *Source) serveSchemas(w http.ResponseWriter, r *http.Request, client *Client) {
	type entry struct {
		Type   string `json:"type"`
		Title  string `json:"title,omitempty"`
		Schema string `json:"schema"`
	}
	list := struct {
		Types []entry `json:"types"`
	}{Types: []entry{}}
	for _, t := range s.allowed(client) {
		list.Types = append(list.Types, entry{t.Type, t.Title, "/push/v1/schemas/" + t.Type})
	}
	s.respondJSON(w, r, "application/json; charset=utf-8", list)
}

func (s *Source) serveSchema(w http.ResponseWriter, r *http.Request, client *Client) {
	t := s.recordType(r.PathValue("type"))
	if t == nil || !client.may(t.Type) {
		s.answerRefusal(w, r, refuse("push.not_found", ""))
		return
	}
	schema := jsonSchemaOf(&t.Schema)
	schema.Schema, schema.ID = "https://json-schema.org/draft/2020-12/schema", "/push/v1/schemas/"+t.Type
	s.respondJSON(w, r, "application/schema+json", schema)
}

func (s *Source) respondJSON(w http.ResponseWriter, r *http.Request, contentType string, value any) {
	body, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		s.internal(w, r, fmt.Errorf("push: write JSON: %w", err))
		return
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(append(body, '\n')) // the caller has gone: nothing to do
}
