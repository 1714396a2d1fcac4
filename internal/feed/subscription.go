package feed

import (
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// Consumer is a system that reads, and the organisation that answers for it.
type Consumer struct {
	Name   string               `json:"name"`
	Member lienthong.MemberCode `json:"member"`
}

// Delivery is a way of getting records and changes.
type Delivery string

// The deliveries.
const (
	Pull    Delivery = "pull"    // pages of changes, and snapshots, when the consumer asks
	Events  Delivery = "events"  // server-sent events
	NATS    Delivery = "nats"    // live messages, and request and reply
	Webhook Delivery = "webhook" // POST to the consumer
	Bulk    Delivery = "file"    // bulk files
)

// Deliveries lists them all.
func Deliveries() []Delivery { return []Delivery{Pull, Events, NATS, Webhook, Bulk} }

// Rows chooses records by the value of one field: exactly one of In, Prefix and
// Province. A record without a value in the field is not chosen.
type Rows struct {
	Field  string   `json:"field"`
	In     []string `json:"in,omitempty"`
	Prefix string   `json:"prefix,omitempty"`
	// Province chooses the communes of a province. Their codes are fixed in Codes when the
	// subscription is made: a later reorganisation does not move records silently.
	Province string   `json:"province,omitempty"`
	Codes    []string `json:"codes,omitempty"`
}

// Subscription says who may read what of a dataset, and how.
type Subscription struct {
	ID         string              `json:"id"`
	Consumer   Consumer            `json:"consumer"`
	Dataset    lienthong.DatasetID `json:"dataset"`
	Fields     []string            `json:"fields"`
	Rows       *Rows               `json:"rows,omitempty"`
	Deliveries []Delivery          `json:"deliveries"`
	Webhook    string              `json:"webhook,omitempty"` // URL
	CreatedBy  string              `json:"created_by"`
	CreatedAt  time.Time           `json:"created_at"`
	ValidUntil time.Time           `json:"valid_until,omitzero"`
	KeyHash    string              `json:"key_sha256,omitempty"`
	Generation int                 `json:"generation"` // of its secrets
}

// public is the subscription without its secrets.
func (r *reader) public() Subscription {
	s := r.Subscription
	s.KeyHash = ""
	return s
}

// complete checks a draft and fixes what can be left out.
func (f *Feeds) complete(s *Subscription) error {
	switch {
	case !validID(s.ID):
		return problem("feed.id", s.ID, "mã đăng ký cần 1-32 ký tự a-z, 0-9, -", "the id of a subscription is 1-32 of a-z, 0-9, -", "bhxh-dan-cu")
	case strings.TrimSpace(s.Consumer.Name) == "":
		return problem("feed.consumer", "", "thiếu tên hệ thống nhận dữ liệu", "the consuming system has no name", "--consumer")
	case s.CreatedBy == "":
		return problem("feed.created_by", "", "thiếu người lập đăng ký", "nobody is named as the one who makes the subscription", "--by")
	case len(s.Fields) == 0:
		return problem("feed.fields", s.Dataset.String(), "phải nêu rõ từng trường được cấp", "the fields must be listed one by one", "--fields full_name,born")
	case !s.ValidUntil.IsZero() && !s.ValidUntil.After(f.config.Now()):
		return problem("feed.valid_until", s.ValidUntil.Format(time.RFC3339), "thời hạn đã qua", "the end lies in the past", "")
	}
	member, err := lienthong.ParseMemberCode(string(s.Consumer.Member))
	if err != nil {
		return err
	}
	s.Consumer.Member = member
	for i, name := range s.Fields {
		if slices.Contains(s.Fields[:i], name) {
			return problem("feed.fields", name, "trường được nêu hai lần", "a field is listed twice", "")
		}
	}
	if len(s.Deliveries) == 0 {
		s.Deliveries = []Delivery{Pull, Events, Bulk}
		if s.Webhook != "" {
			s.Deliveries = append(s.Deliveries, Webhook)
		}
	}
	for _, d := range s.Deliveries {
		if !slices.Contains(Deliveries(), d) {
			return problem("feed.delivery", string(d), "không có cách nhận này", "no such delivery", strings.Join(words(Deliveries()), ", "))
		}
	}
	if wants := slices.Contains(s.Deliveries, Webhook); wants != (s.Webhook != "") {
		return problem("feed.webhook", s.ID, "webhook cần có địa chỉ, và địa chỉ cần cách nhận webhook", "the webhook delivery and its URL need each other", "--webhook https://…")
	}
	if s.Webhook != "" {
		if err := checkWebhook(s.Webhook); err != nil {
			return err
		}
	}
	return f.completeRows(s.Rows)
}

func (f *Feeds) completeRows(rows *Rows) error {
	if rows == nil {
		return nil
	}
	given := 0
	for _, yes := range []bool{len(rows.In) > 0, rows.Prefix != "", rows.Province != ""} {
		if yes {
			given++
		}
	}
	if rows.Field == "" || given != 1 {
		return problem("feed.rows", rows.Field, "bộ lọc dòng cần một trường và đúng một trong: danh sách, tiền tố, tỉnh",
			"a row filter needs a field and exactly one of: list, prefix, province", "--rows commune=31825,31828 | --rows commune^318 | --rows commune@96")
	}
	rows.Codes = nil
	if rows.Province == "" {
		return nil
	}
	known := false
	if f.config.Under != nil {
		rows.Codes, known = f.config.Under(rows.Province)
	}
	if !known {
		return problem("feed.province", rows.Province, "không có tỉnh với mã này", "no province has this code", "01, 79, 96")
	}
	return nil
}

func validID(id string) bool {
	return id != "" && len(id) <= 32 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && id[0] != '-'
}

func words(deliveries []Delivery) []string {
	all := make([]string, len(deliveries))
	for i, d := range deliveries {
		all[i] = string(d)
	}
	return all
}

// checkWebhook allows https anywhere and http on this machine. Whether the name leads
// somewhere else is checked at every connection.
func checkWebhook(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || (u.Scheme != "https" && (u.Scheme != "http" || !loopbackHost(u.Hostname()))) {
		return problem("feed.webhook", "", "địa chỉ webhook phải là https, hoặc http trên chính máy này",
			"the webhook's address must be https, or http on this machine itself", "https://may.coquan.gov.vn/lienthong")
	}
	return nil
}

func loopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// rowFilter is Rows, compiled.
type rowFilter struct {
	field  string
	at     int // of the field in the view
	kind   lienthong.Kind
	set    map[string]struct{}
	prefix string
}

func newRowFilter(rows *Rows, at int) *rowFilter {
	filter := &rowFilter{field: rows.Field, at: at, prefix: rows.Prefix}
	if rows.Prefix == "" {
		filter.set = make(map[string]struct{}, len(rows.In)+len(rows.Codes))
		for _, code := range slices.Concat(rows.In, rows.Codes) {
			filter.set[code] = struct{}{}
		}
	}
	return filter
}

func (f *rowFilter) matches(values []lienthong.Value) bool {
	v := &values[f.at]
	if v.State != lienthong.Present {
		return false
	}
	if f.kind == lienthong.Text {
		return f.matchesText(v.Bytes)
	}
	var digits [20]byte
	return f.matchesText(v.AppendText(digits[:0], f.kind))
}

func (f *rowFilter) matchesText(text []byte) bool {
	if f.set == nil {
		return strings.HasPrefix(string(text), f.prefix)
	}
	_, in := f.set[string(text)]
	return in
}
