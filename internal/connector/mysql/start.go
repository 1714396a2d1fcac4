package mysql

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/durable"
)

// Start checks the server and the account, and finds the position to resume from: the one
// acknowledged last, while the server still has its log from there; else the present.
func (s *Source) Start(ctx context.Context, names []string) (lienthong.Position, error) {
	srv, err := s.ready(ctx)
	if err != nil {
		return lienthong.Position{}, err
	}
	if err := s.check(srv); err != nil {
		return lienthong.Position{}, err
	}
	chosen, err := s.choose(ctx, names)
	if err != nil {
		return lienthong.Position{}, err
	}
	end, err := s.logEndOf(ctx, srv)
	if err != nil {
		return lienthong.Position{}, err
	}
	if err := s.filtered(end, chosen); err != nil {
		return lienthong.Position{}, err
	}
	if err := durable.MkdirAll(s.cfg.StateDir, 0o700); err != nil {
		return lienthong.Position{}, s.stateError(s.cfg.StateDir, err)
	}
	s.stateMu.Lock()
	defer s.stateMu.Unlock()
	if err := s.loadState(); err != nil {
		return lienthong.Position{}, err
	}
	s.ackMu.Lock()
	pending := s.acked
	s.ackMu.Unlock()
	if a := s.state.Acknowledged; a != nil && a.Before(pending) {
		s.state.Acknowledged = &pending
	}
	pos, lost, err := s.resume(ctx, srv, end)
	if err != nil {
		return lienthong.Position{}, err
	}
	if err := s.remember(chosen, pos.Order, end); err != nil {
		return lienthong.Position{}, err
	}
	s.state.Acknowledged = &pos
	s.state.Highest = max(s.state.Highest, pos.Order, s.reached.Load())
	if err := s.saveState(); err != nil {
		return lienthong.Position{}, err
	}
	s.ackMu.Lock()
	s.acked, s.saved, s.released = pos, pos.Order, false
	s.ackMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tables, s.lost = chosen, lost
	clear(s.replaced)
	if lost != "" {
		for i, d := range chosen {
			s.replaced[i] = d.spelled() + " có thể thiếu thay đổi\x00" + d.spelled() + " may lack changes"
		}
	}
	s.layouts, s.announced = make([]*layout, len(chosen)), make([]*layout, len(chosen))
	for i, d := range chosen {
		s.layouts[i] = d.layoutOf(s.sets)
	}
	return pos, nil
}

// check refuses a server whose settings will not do, naming all that must be changed.
func (s *Source) check(srv *server) error {
	var vi, en, statements []string
	code := ""
	for _, r := range srv.requirements() {
		if r.OK {
			continue
		}
		if code == "" {
			code = r.Code
		}
		vi, en = append(vi, r.Vi), append(en, r.En)
		if r.Statement != "" {
			statements = append(statements, r.Statement)
		}
	}
	if code == "" {
		return nil
	}
	hint := "xem docs/connectors/mysql.md / see docs/connectors/mysql.md"
	if len(statements) > 0 {
		hint = strings.Join(statements, "\n")
	}
	return &lienthong.Error{Code: code, Where: s.cfg.Name, Vi: strings.Join(vi, "; "), En: strings.Join(en, "; "), Hint: hint}
}

// choose finds the named tables, and sees that they can be read.
func (s *Source) choose(ctx context.Context, names []string) ([]*described, error) {
	all, err := s.catalog(ctx)
	if err != nil {
		return nil, err
	}
	var chosen []*described
	var sets []string
	for _, name := range names {
		at := slices.IndexFunc(all, func(d *described) bool { return d.spelled() == name })
		if at < 0 {
			return nil, &lienthong.Error{
				Code: "mysql.table_missing", Where: name,
				Vi: "không có bảng này, hoặc tài khoản không được thấy", En: "there is no such table, or the account may not see it",
				Hint: "kiểm tra tên; quản trị viên chạy / check the name; an administrator runs: " + s.grantHint(ctx, name),
			}
		}
		d := all[at]
		if reason, ok := d.readable(); !ok {
			return nil, &lienthong.Error{
				Code: "mysql." + reason.Code, Where: name, Vi: reason.Vi, En: reason.En,
				Hint: "bỏ bảng này khỏi danh sách, hoặc đổi nó như đã nói / leave the table out, or change it as said",
			}
		}
		if len(d.Key) == 0 {
			return nil, &lienthong.Error{
				Code: "mysql.no_key", Where: name,
				Vi:   "bảng không có khóa chính, cũng không có chỉ mục duy nhất trên các cột NOT NULL",
				En:   "the table has no primary key, nor a unique index over NOT NULL columns",
				Hint: "ALTER TABLE " + d.quoted() + " ADD PRIMARY KEY (…);",
			}
		}
		for i := range d.Facts {
			sets = append(sets, d.Facts[i].Charset)
		}
		if err := s.selectable(ctx, d); err != nil {
			return nil, err
		}
		chosen = append(chosen, d)
	}
	if err := s.sets.load(ctx, s.db, sets); err != nil {
		return nil, s.explain(ctx, err)
	}
	return chosen, nil
}

// selectable asks for no row of a table, in all its columns.
func (s *Source) selectable(ctx context.Context, d *described) error {
	l := d.layoutOf(s.sets)
	columns := make([]string, 0, len(l.columns))
	for i := range l.columns {
		if l.columns[i].slot >= 0 {
			columns = append(columns, l.columns[i].expression())
		}
	}
	rows, err := s.db.QueryContext(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+d.quoted()+" LIMIT 0")
	if err == nil {
		err = errors.Join(rows.Err(), rows.Close())
	}
	if number, _ := serverError(err); number == 1142 || number == 1143 || number == 1044 {
		return &lienthong.Error{
			Code: "mysql.select", Where: d.spelled(),
			Vi: "tài khoản không được đọc bảng", En: "the account may not read the table",
			Hint: s.grantHint(ctx, d.spelled()),
		}
	}
	return s.explain(ctx, err)
}

// account is who we are to the server, as GRANT names it.
func (s *Source) account(ctx context.Context) string {
	var name string
	if err := s.db.QueryRowContext(ctx, "SELECT CURRENT_USER()").Scan(&name); err != nil {
		name = s.dsn.User + "@%"
	}
	at := strings.LastIndexByte(name, '@')
	if at < 0 {
		return literal(name)
	}
	return literal(name[:at]) + "@" + literal(name[at+1:])
}

// literal writes a text between quotes.
func literal(text string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), "'", "''") + "'"
}

func (s *Source) grantHint(ctx context.Context, table string) string {
	s.mu.Lock()
	srv := s.server
	s.mu.Unlock()
	schema := s.dsn.DBName
	if schema == "" {
		schema, _, _ = strings.Cut(table, ".")
		schema = strings.Trim(schema, "`")
	}
	if srv == nil {
		srv = &server{}
	}
	return srv.readGrant(schema, s.account(ctx))
}

// logEndOf finds the end of the log, and explains what the account lacks to see it.
func (s *Source) logEndOf(ctx context.Context, srv *server) (logEnd, error) {
	end, found, err := srv.logEnd(ctx, s.db)
	if number, _ := serverError(err); number == 1227 || number == 1045 {
		return end, &lienthong.Error{
			Code: "mysql.replication", Where: s.cfg.Name,
			Vi: "tài khoản không được đọc nhật ký nhị phân", En: "the account may not read the binary log",
			Hint: srv.replicationGrant(s.account(ctx)),
		}
	}
	if err != nil {
		return end, s.explain(ctx, err)
	}
	if !found {
		return end, &lienthong.Error{
			Code: "mysql.log_bin", Where: s.cfg.Name,
			Vi: "máy chủ không ghi nhật ký nhị phân", En: "the server writes no binary log",
			Hint: "log_bin = binlog, rồi khởi động lại máy chủ / then restart the server",
		}
	}
	return end, nil
}

// filtered refuses databases whose changes the server leaves out of its log.
func (s *Source) filtered(end logEnd, chosen []*described) error {
	listed := func(list, schema string) bool {
		return slices.ContainsFunc(strings.Split(list, ","), func(name string) bool { return strings.EqualFold(strings.TrimSpace(name), schema) })
	}
	for _, d := range chosen {
		if end.doDB != "" && !listed(end.doDB, d.Schema) || end.ignored != "" && listed(end.ignored, d.Schema) {
			return &lienthong.Error{
				Code: "mysql.binlog_filter", Where: d.Schema,
				Vi:   "máy chủ không ghi thay đổi của cơ sở dữ liệu này vào nhật ký (binlog_do_db, binlog_ignore_db)",
				En:   "the server leaves changes of this database out of its log (binlog_do_db, binlog_ignore_db)",
				Hint: "bỏ các dòng đó trong my.cnf rồi khởi động lại máy chủ / take those lines out of my.cnf and restart the server",
			}
		}
	}
	return nil
}

// resume finds the position. Called with stateMu held. lost says why it is not the one
// that was acknowledged.
func (s *Source) resume(ctx context.Context, srv *server, end logEnd) (pos lienthong.Position, lost string, err error) {
	if s.state.Acknowledged == nil {
		pos, err = s.present(ctx, srv, end)
		return pos, "", err
	}
	acknowledged := *s.state.Acknowledged
	t, err := parseToken(acknowledged.Token)
	if err != nil {
		return pos, "", err
	}
	how, err := s.stillThere(ctx, srv, &t)
	if err != nil {
		return pos, "", err
	}
	switch how {
	case logThere:
		s.lineMu.Lock()
		if base, known := s.line.base[t.file]; t.file != "" && (!known || base != t.base) {
			s.line.begin(t.server, t.file, t.base)
		}
		s.lineMu.Unlock()
		return acknowledged, "", nil
	case logPromoted:
		pos = s.promoted(ctx, srv, &t)
		return pos, "", nil
	}
	s.cfg.Log.WarnContext(ctx, "mysql: the server no longer has its log from the acknowledged position; reading goes on from the present and both ends must be compared",
		slog.String("source", s.cfg.Name), slog.String("file", t.file), slog.Bool("another_log", how == logAnother))
	s.history = history{Tables: map[string][]stretchOf{}}
	pos, err = s.present(ctx, srv, end)
	lost = "mysql.binlog_purged"
	if how == logAnother {
		lost = "mysql.binlog_reset"
	}
	return pos, lost, err
}

// present is the position of the log's end, on a new part of the line unless the line is
// there.
func (s *Source) present(ctx context.Context, srv *server, end logEnd) (lienthong.Position, error) {
	t := token{file: end.file, pos: end.pos}
	if err := s.look(ctx, srv, &t); err != nil {
		return lienthong.Position{}, err
	}
	var err error
	if t.gtids, err = s.gtidsAt(ctx, srv, end); err != nil {
		return lienthong.Position{}, err
	}
	s.lineMu.Lock()
	defer s.lineMu.Unlock()
	place := beginning(s.cfg.Now(), max(s.state.Highest, s.reached.Load()))
	t.base = place - end.pos
	s.line.begin(t.server, t.file, t.base)
	t.at = uint32(s.cfg.Now().Unix())
	return lienthong.Position{Order: place, Token: t.write()}, nil
}

// promoted is the position on another server that has the same transactions: the next one
// that we do not have, on a new part of the line.
func (s *Source) promoted(ctx context.Context, srv *server, t *token) lienthong.Position {
	s.lineMu.Lock()
	defer s.lineMu.Unlock()
	base := beginning(s.cfg.Now(), max(s.state.Highest, s.reached.Load(), t.base))
	s.cfg.Log.WarnContext(ctx, "mysql: another server has taken over; reading goes on after the transactions that we have",
		slog.String("source", s.cfg.Name), slog.Uint64("was", uint64(t.server)), slog.Uint64("is", uint64(srv.id)))
	next := token{base: base, server: srv.id, at: t.at, gtids: t.gtids}
	s.line = lineOf{server: srv.id, base: map[string]uint64{}}
	s.state.Highest = base
	return lienthong.Position{Order: base, Token: next.write()}
}

// look reads when and by which server the token's file was made. It begins to read the log,
// and so finds out whether the account may.
func (s *Source) look(ctx context.Context, srv *server, t *token) error {
	w := &walker{visit: func(*logEvent) error { return nil }}
	w.formatted = func() error {
		t.made, t.server = w.made, srv.id
		return errEnough
	}
	own, err := s.dump(ctx, srv, s.sideID(), t, w, nil)
	if errors.Is(own, errEnough) {
		return nil
	}
	if own != nil {
		return own
	}
	if number, _ := serverError(err); number == 1227 || number == 1045 {
		return &lienthong.Error{
			Code: "mysql.replication", Where: s.cfg.Name,
			Vi: "tài khoản không được đọc nhật ký nhị phân", En: "the account may not read the binary log",
			Hint: srv.replicationGrant(s.account(ctx)),
		}
	}
	return s.explain(ctx, err)
}

// logState is what became of the log of a token.
type logState uint8

const (
	logThere    logState = iota
	logPurged            // it is the same log, without the part that is needed
	logAnother           // the log was begun anew
	logPromoted          // another server has the same transactions
)

// stillThere finds out whether the log can be read on from a token.
func (s *Source) stillThere(ctx context.Context, srv *server, t *token) (logState, error) {
	if t.file == "" {
		if t.server != srv.id {
			return s.hasTransactions(ctx, srv, t)
		}
		state, err := s.hasTransactions(ctx, srv, t)
		if state == logPromoted {
			state = logThere
		}
		return state, err
	}
	if t.server != srv.id {
		return s.hasTransactions(ctx, srv, t)
	}
	now := token{file: t.file, pos: t.pos}
	err := s.look(ctx, srv, &now)
	switch {
	case lienthong.ErrorCode(err) == "mysql.binlog_purged":
		return s.whyGone(ctx, t)
	case err != nil:
		return logThere, err
	case now.made != t.made && t.made != 0:
		return logAnother, nil
	}
	files, err := binaryLogs(ctx, s.db)
	if err != nil {
		return logThere, s.explain(ctx, err)
	}
	for _, f := range files {
		if f.name == t.file && t.pos > f.size {
			return logAnother, nil // restored from before what we have read
		}
	}
	return logThere, nil
}

// whyGone tells a log that was begun anew from one that was purged: its newest file is
// before ours.
func (s *Source) whyGone(ctx context.Context, t *token) (logState, error) {
	files, err := binaryLogs(ctx, s.db)
	if err != nil {
		return logPurged, s.explain(ctx, err)
	}
	if len(files) > 0 && files[len(files)-1].name < t.file && len(files[len(files)-1].name) == len(t.file) {
		return logAnother, nil
	}
	return logPurged, nil
}

// hasTransactions asks another server to go on after the transactions that we have.
func (s *Source) hasTransactions(ctx context.Context, srv *server, t *token) (logState, error) {
	if t.gtids.empty() {
		return logAnother, nil
	}
	err := s.look(ctx, srv, &token{gtids: t.gtids})
	switch {
	case lienthong.ErrorCode(err) == "mysql.binlog_purged":
		return logAnother, nil
	case err != nil:
		return logAnother, err
	}
	return logPromoted, nil
}

// gtidsAt is the set of all transactions before the end of the log. MariaDB tells it; for
// MySQL the file is read up to there, because what the server says of itself may lack
// transactions that are committing at this moment.
func (s *Source) gtidsAt(ctx context.Context, srv *server, end logEnd) (gtids, error) {
	if srv.maria {
		var text *string
		if err := s.db.QueryRowContext(ctx, "SELECT BINLOG_GTID_POS(?, ?)", end.file, end.pos).Scan(&text); err != nil {
			return gtids{}, s.explain(ctx, err)
		}
		if text == nil {
			return gtids{}, nil
		}
		g, _ := parseGTIDs(*text)
		return g, nil
	}
	if !strings.HasPrefix(strings.ToUpper(srv.settings["gtid_mode"]), "ON") {
		return gtids{}, nil
	}
	var set gtids
	known := true
	err := s.scan(ctx, srv, token{file: end.file, pos: 4}, end.file, end.pos, func(_ *walker, ev *logEvent) error {
		known = known && set.follow(ev)
		return nil
	})
	if err != nil || !known {
		return gtids{}, err
	}
	return set, nil
}

// remember makes sure that every table has a layout in the history, and drops what is no
// longer needed. Called with stateMu held.
func (s *Source) remember(chosen []*described, from uint64, end logEnd) error {
	changed := false
	place := from
	if base, known := s.placeOf(end.file); known {
		place = max(place, base+end.pos)
	}
	for _, d := range chosen {
		name := d.spelled()
		if len(s.history.Tables[name]) == 0 {
			changed = s.history.add(name, stretchOf{From: place, Is: d}) || changed
		}
	}
	before := len(s.history.Tables)
	s.history.forget(from)
	if !changed && before == len(s.history.Tables) {
		return nil
	}
	return s.saveHistory()
}

func (s *Source) placeOf(file string) (uint64, bool) {
	s.lineMu.Lock()
	defer s.lineMu.Unlock()
	base, known := s.line.base[file]
	return base, known
}

// Acknowledge remembers the position. While Stream runs the file is written beside it, once
// for any number of calls that come close together.
func (s *Source) Acknowledge(_ context.Context, pos lienthong.Position) error {
	if pos.Token == "" {
		return nil // the beginning of a transaction; its end follows
	}
	s.ackMu.Lock()
	if s.acked.Before(pos) && !s.released {
		s.acked = pos
	}
	s.ackMu.Unlock()
	if s.streaming.Load() {
		select {
		case s.wake <- struct{}{}:
		default: // one is waiting already, and will save the highest
		}
		return nil
	}
	return s.saveAcknowledged()
}

// saveAcknowledged writes the highest acknowledgement into its file.
func (s *Source) saveAcknowledged() error {
	s.stateMu.Lock()
	defer s.stateMu.Unlock()
	s.ackMu.Lock()
	pos, saved := s.acked, s.saved
	s.ackMu.Unlock()
	if pos.Token == "" || pos.Order <= saved {
		return nil
	}
	s.state.Acknowledged = &pos
	s.state.Highest = max(s.state.Highest, pos.Order)
	if err := s.saveState(); err != nil {
		return err
	}
	s.ackMu.Lock()
	s.saved = max(s.saved, pos.Order)
	s.ackMu.Unlock()
	return nil
}

// Release forgets the position. The server keeps its log for as long as it does anyway;
// what is given up is our claim to read it from there.
func (s *Source) Release(context.Context) error {
	s.stateMu.Lock()
	defer s.stateMu.Unlock()
	if s.state.Acknowledged == nil {
		if err := s.loadState(); err != nil {
			return err
		}
	}
	s.ackMu.Lock()
	highest := max(s.acked.Order, s.state.Highest, s.reached.Load())
	s.acked, s.saved, s.released = lienthong.Position{}, 0, true
	s.ackMu.Unlock()
	s.state = state{Highest: highest}
	s.history = history{Tables: map[string][]stretchOf{}}
	if highest == 0 {
		return s.removeState()
	}
	return errors.Join(s.saveState(), s.saveHistory())
}

// Destroy forgets everything. At the server there is nothing of ours.
func (s *Source) Destroy(context.Context) error {
	s.stateMu.Lock()
	defer s.stateMu.Unlock()
	s.ackMu.Lock()
	s.acked, s.saved = lienthong.Position{}, 0
	s.ackMu.Unlock()
	s.state, s.history = state{}, history{}
	s.mu.Lock()
	s.tables = nil
	s.mu.Unlock()
	return s.removeState()
}
