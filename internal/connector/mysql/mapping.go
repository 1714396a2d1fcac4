package mysql

import (
	"errors"
	"strings"

	"github.com/lienthong/lienthong"
)

// mapTable takes a TABLE_MAP event: which table the rows after it are of.
func (r *reader) mapTable(ev *logEvent) error {
	c := cut{rest: ev.body}
	id := c.little(6)
	c.bytes(2)
	schema := c.bytes(int(c.byte()))
	c.byte()
	name := c.bytes(int(c.byte()))
	if c.bad {
		return damaged(r.file)
	}
	if m := r.maps[id]; m != nil && string(m.body) == string(ev.body) {
		m.event = ev.raw
		return nil
	}
	r.scrap = append(append(append(r.scrap[:0], schema...), 0), name...)
	index, ours := r.tables[string(r.scrap)]
	if !ours && r.caseless() {
		index, ours = r.tables[strings.ToLower(string(r.scrap))]
	}
	if !ours {
		r.maps[id] = &mapped{table: -1, body: ev.body}
		return nil
	}
	tm, ok := parseTableMap(ev.body, r.srv.maria)
	if !ok {
		return damaged(r.file)
	}
	m := &mapped{table: index, body: ev.body, event: ev.raw}
	for i := range tm.columns {
		m.json = m.json || tm.columns[i].kind == typeJSON
	}
	known := r.known[index]
	if r.guess[index] && !tm.named {
		return r.unknownLayout(index)
	}
	var err error
	if m.layout, err = tm.layoutIn(known, r.source.sets); err != nil {
		return r.unknownLayout(index)
	}
	if err := r.named(index, m.layout); err != nil {
		return err
	}
	for i := range m.layout.columns {
		if set := m.layout.columns[i].charset; set != nil && set.form == formAsk {
			if err := r.source.sets.learn(r.ctx, r.source.db, set.name); err != nil {
				return r.source.explain(r.ctx, err)
			}
			m.layout.columns[i].charset = r.source.sets.named(set.name)
		}
	}
	r.maps[id] = m
	return nil
}

// named sees that the rows of a layout have names. A table that has lost its key keeps the
// one that it had, as long as the columns are there.
func (r *reader) named(table int, l *layout) error {
	if len(l.Key) > 0 {
		return nil
	}
	s := r.source
	s.mu.Lock()
	before := s.layouts[table]
	if s.announced[table] != nil {
		before = s.announced[table]
	}
	s.mu.Unlock()
	names := make([]string, len(before.Key))
	for n, i := range before.Key {
		names[n] = before.Columns[i].Name
	}
	if l.finish(names); len(l.Key) > 0 {
		return nil
	}
	return &lienthong.Error{
		Code: "mysql.no_key", Where: l.Name,
		Vi: "bảng không còn khóa chính", En: "the table has lost its primary key",
		Hint: "ALTER TABLE " + l.quoted + " ADD PRIMARY KEY (…); rồi giải phóng và khởi động lại nguồn / then release and start the source again",
	}
}

// errUnknownLayout says that rows cannot be decoded without guessing.
var errUnknownLayout = errors.New("the layout is not known")

func (r *reader) unknownLayout(table int) error {
	return &lienthong.Error{
		Code: "mysql.layout_unknown", Where: r.known[table].spelled(),
		Vi:   "dòng trong nhật ký không khớp cấu trúc đã biết của bảng, và nhật ký không nói tên cột",
		En:   "rows in the log do not fit what is known of the table, and the log does not name its columns",
		Hint: "SET GLOBAL binlog_row_metadata = 'FULL'; rồi giải phóng, khởi động lại nguồn và đối soát / then release and start the source again, and compare",
	}
}
