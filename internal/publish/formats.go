package publish

import (
	"fmt"
	"io"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Subject is what an export is about. Each format uses the part that it needs.
type Subject struct {
	Dataset    *Dataset               // of schemas
	CodeList   string                 // of the schema of a code list
	Definition *dictionary.Definition // of contracts
	Terms      Terms                  // of contracts
	Register   []Registered           // of the catalogue: the approved entries
	Page       Page                   // of the catalogue
}

// Format is one way in which something is published.
type Format struct {
	Path      string // where it is served: "/schemas/{dataset}.json"
	MediaType string
	TitleVi   string
	TitleEn   string
	Write     func(e *Exports, w io.Writer, about *Subject) error
}

// Formats lists everything that is published. What is not in it is not published.
func Formats() []Format {
	return []Format{
		{"/catalog.ttl", "text/turtle", "Danh mục dữ liệu, DCAT-AP 3", "Data catalogue, DCAT-AP 3", func(e *Exports, w io.Writer, about *Subject) error {
			return e.Catalogue(w, about.Register, about.Page)
		}},
		{"/catalog.jsonld", "application/ld+json", "Danh mục dữ liệu, DCAT-AP 3", "Data catalogue, DCAT-AP 3", func(e *Exports, w io.Writer, about *Subject) error {
			return e.CatalogueJSON(w, about.Register, about.Page)
		}},
		{"/dictionary.csv", "text/csv; charset=utf-8; header=present", "Từ điển, bảng", "Dictionary, table", func(e *Exports, w io.Writer, _ *Subject) error { return e.DictionaryCSV(w) }},
		{"/dictionary.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "Từ điển, bảng tính", "Dictionary, workbook", func(e *Exports, w io.Writer, _ *Subject) error { return e.DictionaryXLSX(w) }},
		{"/dictionary.json", "application/json", "Từ điển và danh mục mã", "Dictionary and code lists", func(e *Exports, w io.Writer, _ *Subject) error { return e.DictionaryJSON(w) }},
		{"/dictionary.yaml", "application/yaml", "Từ điển, tệp để sửa", "Dictionary, files to edit", func(e *Exports, w io.Writer, _ *Subject) error { return e.DictionaryYAML(w) }},
		{"/dictionary.jsonld", "application/ld+json", "Từ điển và danh mục mã, SKOS", "Dictionary and code lists, SKOS", func(e *Exports, w io.Writer, _ *Subject) error { return e.DictionarySKOS(w) }},
		{"/dictionary.ttl", "text/turtle", "Từ điển và danh mục mã, SKOS", "Dictionary and code lists, SKOS", func(e *Exports, w io.Writer, _ *Subject) error { return e.DictionaryTurtle(w) }},
		{"/schemas/{dataset}.json", "application/schema+json", "Lược đồ JSON của tập dữ liệu", "JSON Schema of a dataset", func(e *Exports, w io.Writer, about *Subject) error {
			if about.Dataset == nil {
				return lacking("dataset")
			}
			return e.JSONSchema(w, about.Dataset)
		}},
		{"/schemas/{dataset}.xsd", "application/xml", "Lược đồ XML của bản tin", "XML Schema of messages", func(e *Exports, w io.Writer, about *Subject) error {
			if about.Dataset == nil {
				return lacking("dataset")
			}
			return e.XSD(w, about.Dataset)
		}},
		{"/schemas/codes/{list}.json", "application/schema+json", "Lược đồ JSON của danh mục mã", "JSON Schema of a code list", func(e *Exports, w io.Writer, about *Subject) error {
			return e.CodeListSchema(w, about.CodeList)
		}},
		{"/contracts/{dataset}.yaml", "application/yaml", "Hợp đồng dữ liệu, ODCS 3.1", "Data contract, ODCS 3.1", func(e *Exports, w io.Writer, about *Subject) error {
			if about.Definition == nil {
				return lacking("definition")
			}
			contract, err := e.Contract(about.Definition, about.Terms)
			if err != nil {
				return err
			}
			return contract.Write(w)
		}},
	}
}

// lacking is a mistake of the caller that a person may see: there is no such dataset.
func lacking(what string) error {
	return fmt.Errorf("publish: no %s: %w", what, &lienthong.Error{
		Code: "publish.unknown",
		Vi:   "không có tập dữ liệu này", En: "there is no such dataset",
	})
}
