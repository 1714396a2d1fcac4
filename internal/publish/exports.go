package publish

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Config is what the exports need to know of the place that publishes them.
type Config struct {
	// Base is the public address that identifiers and links begin with, such as
	// "https://dulieu.example.gov.vn". Required; http or https, without query or fragment.
	Base string
	// Dictionary is the edition that is published. Required.
	Dictionary *dictionary.Dictionary
	// Publisher is the member that runs the hub. Default: a nameless data centre.
	Publisher lienthong.Member
	// TitleVi and TitleEn name the catalogue. Default: Danh mục dữ liệu / Data catalogue.
	TitleVi, TitleEn string
	// Now gives the time at which codes must be valid. Default time.Now.
	Now func() time.Time
}

// Exports writes what Formats lists. It never changes and is safe for any number of goroutines.
type Exports struct {
	config Config
	base   string // without a slash at the end
}

// New checks the configuration.
func New(config Config) (*Exports, error) {
	address, err := url.Parse(config.Base)
	if err != nil || address.Scheme != "http" && address.Scheme != "https" || address.Host == "" ||
		address.RawQuery != "" || address.Fragment != "" || address.User != nil {
		return nil, &lienthong.Error{
			Code: "publish.base", Where: config.Base, Err: err,
			Vi: "địa chỉ công bố không đúng dạng", En: "not an address to publish under",
			Hint: "https://ten-mien.gov.vn",
		}
	}
	if config.Dictionary == nil {
		return nil, errors.New("publish: no dictionary")
	}
	if config.Publisher.NameVi == "" {
		config.Publisher.NameVi, config.Publisher.NameEn = "Trung tâm dữ liệu", "Data centre"
	}
	if config.Publisher.Code == "" {
		config.Publisher.Code = "HUB"
	}
	if config.TitleVi == "" {
		config.TitleVi, config.TitleEn = "Danh mục dữ liệu", "Data catalogue"
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Exports{config: config, base: strings.TrimRight(address.String(), "/")}, nil
}

// With returns exports of another edition of the dictionary.
func (e *Exports) With(edition *dictionary.Dictionary) *Exports {
	other := *e
	other.config.Dictionary = edition
	return &other
}

// The addresses of what is published. They are identifiers too, so they never change.
func (e *Exports) schemaURL(id lienthong.DatasetID) string {
	return e.base + "/schemas/" + id.String() + ".json"
}

func (e *Exports) listSchemaURL(id string) string {
	return e.base + "/schemas/codes/" + segment(id) + ".json"
}

func (e *Exports) elementURL(id string) string { return e.base + "/dictionary/elements/" + segment(id) }

func (e *Exports) listURL(id string) string { return e.base + "/dictionary/codes/" + segment(id) }

// segment makes a path segment of an identifier.
func segment(id string) string { return url.PathEscape(id) }
