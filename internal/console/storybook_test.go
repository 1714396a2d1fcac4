package console

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
)

// storybook is a platform made of canned figures: every state that a page can
// be in, without an engine behind it.
type storybook struct {
	mu          sync.Mutex
	overview    Overview
	databases   map[string]DatabasePage
	failure     error
	panics      bool
	reads       int
	subscribers map[chan struct{}]bool
	sessions    map[string]User
	tokens      map[string]bool
}

func newStorybook(overview Overview, databases ...DatabasePage) *storybook {
	book := &storybook{
		overview: overview, databases: make(map[string]DatabasePage),
		subscribers: make(map[chan struct{}]bool),
		sessions:    map[string]User{"session-1": {Name: "Nguyễn Thị Ánh", Role: Text{"Người điều hành", "Operator"}}},
		tokens:      map[string]bool{"one-time": true},
	}
	for _, database := range databases {
		book.databases[database.Code] = database
	}
	return book
}

func (b *storybook) Overview(context.Context) (Overview, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads++
	if b.panics {
		panic("storybook: asked to")
	}
	return b.overview, b.failure
}

func (b *storybook) Database(_ context.Context, code string) (DatabasePage, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	page, ok := b.databases[code]
	if !ok {
		return DatabasePage{}, &lienthong.Error{
			Code: CodeUnknownDatabase, Where: code,
			Vi: "cơ sở dữ liệu không có trong danh mục", En: "the database is not in the catalogue",
		}
	}
	return page, b.failure
}

func (b *storybook) Subscribe(ctx context.Context) <-chan struct{} {
	signal := make(chan struct{}, 1)
	b.mu.Lock()
	b.subscribers[signal] = true
	b.mu.Unlock()
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.subscribers, signal)
		close(signal)
	})
	return signal
}

// change alters the figures and tells every open page.
func (b *storybook) change(alter func(*storybook)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	alter(b)
	for signal := range b.subscribers {
		select {
		case signal <- struct{}{}:
		default:
		}
	}
}

func (b *storybook) watchers() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.subscribers)
}

func (b *storybook) SignIn(_ context.Context, token string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.tokens[token] {
		return "", &lienthong.Error{
			Code: "signin.token",
			Vi:   "liên kết đã được dùng hoặc đã hết hạn", En: "the link has been used or has expired",
		}
	}
	delete(b.tokens, token)
	b.sessions["session-2"] = User{Name: "Trần Văn Bình"}
	return "session-2", nil
}

func (b *storybook) Session(_ context.Context, session string) (User, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	user, ok := b.sessions[session]
	return user, ok
}

func (b *storybook) SignOut(_ context.Context, session string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sessions, session)
	return nil
}

// storyTime is the moment at which every story is told: 16:05:07 in Viet Nam.
func storyTime() time.Time { return time.Date(2026, 11, 23, 9, 5, 7, 0, time.UTC) }

// storyProvinces are the provinces of today, with one connected.
func storyProvinces() []Province {
	names := [][3]string{
		{"01", "Hà Nội", "Hanoi"},
		{"04", "Cao Bằng", "Cao Bang"},
		{"08", "Tuyên Quang", "Tuyen Quang"},
		{"11", "Điện Biên", "Dien Bien"},
		{"12", "Lai Châu", "Lai Chau"},
		{"14", "Sơn La", "Son La"},
		{"15", "Lào Cai", "Lao Cai"},
		{"19", "Thái Nguyên", "Thai Nguyen"},
		{"20", "Lạng Sơn", "Lang Son"},
		{"22", "Quảng Ninh", "Quang Ninh"},
		{"24", "Bắc Ninh", "Bac Ninh"},
		{"25", "Phú Thọ", "Phu Tho"},
		{"31", "Hải Phòng", "Haiphong"},
		{"33", "Hưng Yên", "Hung Yen"},
		{"37", "Ninh Bình", "Ninh Binh"},
		{"38", "Thanh Hóa", "Thanh Hoa"},
		{"40", "Nghệ An", "Nghe An"},
		{"42", "Hà Tĩnh", "Ha Tinh"},
		{"44", "Quảng Trị", "Quang Tri"},
		{"46", "Huế", "Hue"},
		{"48", "Đà Nẵng", "Da Nang"},
		{"51", "Quảng Ngãi", "Quang Ngai"},
		{"52", "Gia Lai", "Gia Lai"},
		{"56", "Khánh Hòa", "Khanh Hoa"},
		{"66", "Đắk Lắk", "Dak Lak"},
		{"68", "Lâm Đồng", "Lam Dong"},
		{"75", "Đồng Nai", "Dong Nai"},
		{"79", "Hồ Chí Minh", "Ho Chi Minh City"},
		{"80", "Tây Ninh", "Tay Ninh"},
		{"82", "Đồng Tháp", "Dong Thap"},
		{"86", "Vĩnh Long", "Vinh Long"},
		{"91", "An Giang", "An Giang"},
		{"92", "Cần Thơ", "Can Tho"},
		{"96", "Cà Mau", "Ca Mau"},
	}
	provinces := make([]Province, 0, len(names))
	for _, n := range names {
		provinces = append(provinces, Province{Code: n[0], Name: Text{n[1], n[2]}})
	}
	provinces[33].State, provinces[33].Databases, provinces[33].Rows = Matching, 2, 81_234
	return provinces
}

func storyMembers() []Member {
	given := []struct {
		code, vi, en string
		bloc         lienthong.Bloc
		state        State
	}{
		{"G01", "Bộ Công an", "Ministry of Public Security", lienthong.Government, Matching},
		{"G15", "Bộ Tư pháp", "Ministry of Justice", lienthong.Government, Syncing},
		{"G09", "Bộ Nội vụ", "Ministry of Home Affairs", lienthong.Government, NotConnected},
		{"G10", "Bộ Nông nghiệp và Môi trường", "Ministry of Agriculture and Environment", lienthong.Government, NotConnected},
		{"G12", "Bộ Tài chính", "Ministry of Finance", lienthong.Government, NotConnected},
		{"G02", "Bộ Công Thương", "Ministry of Industry and Trade", lienthong.Government, NotConnected},
		{"G03", "Bộ Giáo dục và Đào tạo", "Ministry of Education and Training", lienthong.Government, NotConnected},
		{"G06", "Bộ Khoa học và Công nghệ", "Ministry of Science and Technology", lienthong.Government, NotConnected},
		{"G18", "Bộ Y tế", "Ministry of Health", lienthong.Government, NotConnected},
		{"G22", "Văn phòng Chính phủ", "Government Office", lienthong.Government, NotConnected},
		{"VPTWD", "Văn phòng Trung ương Đảng", "Office of the Party Central Committee", lienthong.Party, NotConnected},
		{"BTCTW", "Ban Tổ chức Trung ương", "Central Organisation Commission", lienthong.Party, NotConnected},
		{"VPQH", "Văn phòng Quốc hội", "Office of the National Assembly", lienthong.Assembly, NotConnected},
		{"VPCTN", "Văn phòng Chủ tịch nước", "Office of the President", lienthong.Presidency, NotConnected},
		{"TANDTC", "Tòa án nhân dân tối cao", "Supreme People's Court", lienthong.Court, NotConnected},
		{"VKSNDTC", "Viện kiểm sát nhân dân tối cao", "Supreme People's Procuracy", lienthong.Procuracy, NotConnected},
		{"KTNN", "Kiểm toán nhà nước", "State Audit Office", lienthong.StateAudit, NotConnected},
		{"MTTQ", "Ủy ban Trung ương Mặt trận Tổ quốc Việt Nam", "Central Committee of the Vietnam Fatherland Front", lienthong.Front, NotConnected},
		{"TLDLD", "Tổng Liên đoàn Lao động Việt Nam", "Vietnam General Confederation of Labour", lienthong.SocioPolitical, NotConnected},
		{"HLHPN", "Hội Liên hiệp Phụ nữ Việt Nam", "Vietnam Women's Union", lienthong.SocioPolitical, NotConnected},
	}
	members := make([]Member, 0, len(given))
	for _, m := range given {
		members = append(members, Member{Code: lienthong.MemberCode(m.code), Name: Text{m.vi, m.en}, Bloc: m.bloc, State: m.state})
	}
	return members
}

func storyCriteria(values ...float64) []CriterionScore {
	formulas := []Text{
		{"số phép kiểm đạt ÷ số phép kiểm", "checks passed ÷ checks made"},
		{"nửa tỷ lệ trường bắt buộc có giá trị + nửa tỷ lệ bao phủ", "half of mandatory fields filled + half of coverage"},
		{"bản ghi không trùng và đúng định dạng ÷ bản ghi", "records neither duplicated nor malformed ÷ records"},
		{"bản ghi mới trong hạn cam kết ÷ bản ghi", "records within the declared age ÷ records"},
		{"cột theo từ điển ÷ cột", "columns in the dictionary ÷ columns"},
		{"dịch vụ đã công bố có người dùng ÷ tập dữ liệu", "published services in use ÷ datasets"},
	}
	scores := make([]CriterionScore, 0, 6)
	for i, criterion := range lienthong.Criteria() {
		one := CriterionScore{Criterion: criterion, Formula: formulas[i]}
		if i < len(values) {
			one.Score = Score{Known: true, Percent: values[i]}
			one.Parts = []Part{{Label: Text{"giá trị sai", "a wrong value"}, Passed: int64(values[i] * 2000), Total: 200_000, Percent: values[i], Weight: 1, Rule: true}}
			if i == 1 {
				one.Parts = append(one.Parts, Part{Label: Text{"bao phủ so với số đã công bố", "coverage of the declared count"}, Passed: 199_812, Total: 200_000, Percent: 99.906, Weight: 3})
			}
		}
		if criterion == lienthong.Shared {
			one.Note = Text{"Chưa có dịch vụ nào được công bố.", "No service has been published yet."}
		}
		scores = append(scores, one)
	}
	return scores
}

func storyRates(n int, base float64) []float64 {
	rates := make([]float64, 0, n)
	for i := range n {
		rates = append(rates, base*(1+0.4*float64((i*7)%11)/11-0.2*float64((i*3)%5)/5))
	}
	return rates
}

// busyOverview is a working day.
func busyOverview() Overview {
	now := storyTime()
	return Overview{
		At:        now,
		Totals:    Totals{Datasets: 7, Matching: 5, SourceRows: 421_387, LandedRows: 418_902, Quarantined: 2_485, Compared: Comparison{421_387, 418_902, 2_485}, ComparedAt: now.Add(-20 * time.Second), RowsPerSecond: 1_284.4, Lag: Lag{true, 18 * time.Millisecond, 74 * time.Millisecond}},
		Audit:     AuditHead{Entries: 12_841, Root: "9f31c07be55a8d2204c7aa10b3f8e4d6", Checked: true, Verified: true, VerifiedAt: now.Add(-9 * time.Second)},
		Provinces: storyProvinces(), Members: storyMembers(),
		Databases: []DatabaseRow{
			{Code: "population", Name: Text{"CSDL quốc gia về dân cư", "National population database"}, Owner: Text{"Bộ Công an", "Ministry of Public Security"}, OwnerCode: "G01", Confidence: "A", State: Matching, SourceRows: 200_000, LandedRows: 198_764, Quarantined: 1_236, Lag: Lag{true, 16 * time.Millisecond, 61 * time.Millisecond}, RowsPerSecond: 812, Rates: storyRates(40, 700), Criteria: storyCriteria(98.37, 96.4, 99.96, 100, 92.3, 0), Index: Score{Known: true, Percent: 97.4, Gated: true}},
			{Code: "civil_status", Name: Text{"CSDL hộ tịch điện tử toàn quốc", "National civil status database"}, Owner: Text{"Bộ Tư pháp", "Ministry of Justice"}, OwnerCode: "G15", Confidence: "A", State: Syncing, SourceRows: 121_003, LandedRows: 96_112, Quarantined: 902, Lag: Lag{true, 42 * time.Millisecond, 1300 * time.Millisecond}, RowsPerSecond: 9.26, Rates: storyRates(40, 9), Criteria: storyCriteria(93.2, 88.1, 71.5, 99.1, 100, 0), Index: Score{Known: true, Percent: 90.3}},
			{Code: "land", Name: Text{"CSDL đất đai Cà Mau", "Land database of Ca Mau"}, Owner: Text{"UBND tỉnh Cà Mau", "People's Committee of Ca Mau"}, OwnerCode: "H12", Confidence: "C", State: Differing, Reason: Text{"2 phần đang gửi lại", "2 parts being resent"}, SourceRows: 81_234, LandedRows: 80_887, Quarantined: 347, Lag: Lag{}, Rates: nil, Criteria: storyCriteria(72.4, 81, 90), Index: Score{Known: true, Percent: 81.1}},
			{Code: "administrative_units", Name: Text{"Danh mục đơn vị hành chính", "Catalogue of administrative units"}, Owner: Text{"Bộ Nội vụ", "Ministry of Home Affairs"}, OwnerCode: "G09", Confidence: "A", State: Behind, SourceRows: 13_890, LandedRows: 13_890, Lag: Lag{true, 3 * time.Minute, 7 * time.Hour}, Rates: storyRates(40, 1), Criteria: storyCriteria(100, 100, 100, 76, 100, 100), Index: Score{Known: true, Percent: 96}},
			{Code: "labour", Name: Text{"CSDL người lao động và việc làm", "Labour and employment database"}, Owner: Text{"Bộ Nội vụ", "Ministry of Home Affairs"}, OwnerCode: "G09", Class: lienthong.SpecialisedDatabase, Confidence: "C"},
		},
		Work: []Work{
			{Name: Text{"Nạp lần đầu", "First load"}, Where: "civil_status.births", Done: 51_200, Total: 75_000, RowsPerSecond: 21_400},
			{Name: Text{"Sinh dữ liệu mẫu", "Generating sample data"}, Where: "land.parcels", Done: 12_000},
		},
		Events: []Event{
			{At: now.Add(-time.Second), Kind: ReceiptEvent, Where: "G01/population.persons", Text: Text{"Trung tâm xác nhận lô 1.204, 500 dòng", "The hub confirmed batch 1,204, 500 rows"}},
			{At: now.Add(-2 * time.Second), Kind: BatchEvent, Where: "G15/civil_status.births", Text: Text{"Lô 311 đã ký và gửi, 500 dòng", "Batch 311 signed and sent, 500 rows"}},
			{At: now.Add(-9 * time.Second), Kind: AuditEvent, Text: Text{"Đã kiểm tra toàn bộ nhật ký", "The whole log was verified"}},
			{At: now.Add(-14 * time.Second), Kind: QuarantineEvent, Where: "population.persons", Text: Text{"Giữ lại 3 dòng: số định danh không đủ 12 chữ số", "3 rows held back: personal number without 12 digits"}},
			{At: now.Add(-31 * time.Second), Kind: ShapeEvent, Where: "population.persons", Text: Text{"Phiên bản 2: thêm trường “điện thoại”", "Version 2: field “phone” added"}},
			{At: now.Add(-44 * time.Second), Kind: ReconcileEvent, Where: "land.parcels", Text: Text{"Không khớp: 2 phần đang gửi lại", "Mismatch: 2 parts being resent"}},
			{At: now.Add(-26 * time.Hour), Kind: AlarmEvent, Where: "H12", Text: Text{"Từ chối một lô có chữ ký giả", "A batch with a forged signature was refused"}},
		},
	}
}

// busyDatabase is the population database on a working day.
func busyDatabase() DatabasePage {
	now := storyTime()
	persons := lienthong.DatasetID{Database: "population", Name: "persons"}
	page := DatabasePage{
		DatabaseRow: busyOverview().Databases[0], At: now, LegalBasis: "NĐ 47/2024/NĐ-CP", Node: "G01",
		Flow: []FlowStep{
			{Kind: SourceStep, State: Matching, Count: 200_000, PerSecond: 812, Detail: Text{"PostgreSQL 17", "PostgreSQL 17"}},
			{Kind: CaptureStep, State: Matching, Count: 241_877, PerSecond: 812},
			{Kind: CheckStep, State: Behind, Count: 241_877, PerSecond: 812, Detail: Text{"1.236 cách ly", "1,236 quarantined"}},
			{Kind: SpoolStep, State: Matching, Count: 2, Detail: Text{"chiếm 0,1 % dung lượng", "0.1 % of its space"}},
			{Kind: HubStep, State: Matching, Count: 240_641, PerSecond: 809},
			{Kind: ReceiptStep, State: Matching, Count: 1_204, Detail: Text{"mới nhất 16:05:06", "newest 16:05:06"}},
		},
		Datasets: []DatasetRow{
			{ID: persons, Title: Text{"Công dân", "Persons"}, State: Matching, SourceRows: 200_000, LandedRows: 198_764, Quarantined: 1_236, Superseded: 0, Changes: 41_877, ShapeVersion: 2, Fields: 14, MappedFields: 13, Reconciled: lienthong.Matches, ReconciledAt: now.Add(-20 * time.Second), Compared: Comparison{200_000, 198_764, 1_236}, Lag: Lag{true, 16 * time.Millisecond, 61 * time.Millisecond}, RowsPerSecond: 812},
			{ID: lienthong.DatasetID{Database: "population", Name: "moves"}, Title: Text{"Chuyển nơi ở", "Moves"}, State: Failing, Stopped: Text{"cột “ngay_chuyen” đã biến mất khỏi nguồn. Khôi phục cột hoặc sửa ánh xạ rồi chạy lại.", "column “ngay_chuyen” is gone from the source. Restore it or correct the mapping, then resume."}, SourceRows: 8_112, LandedRows: 8_112, ShapeVersion: 1, Fields: 6, MappedFields: 6},
		},
		Shapes: []ShapeChange{
			{At: now.Add(-31 * time.Second), Dataset: persons, Version: 2, Text: Text{"Thêm trường “điện thoại”, chưa ánh xạ vào từ điển", "Field “phone” added, not in the dictionary"}},
			{At: now.Add(-50 * time.Second), Dataset: lienthong.DatasetID{Database: "population", Name: "moves"}, Version: 2, Breaking: true, Text: Text{"Cột “ngay_chuyen” đã biến mất", "Column “ngay_chuyen” is gone"}},
		},
		RejectedTotal: 1_902,
		Groups: []GroupCount{
			{lienthong.WrongFormat, 811, 811},
			{lienthong.MissingMandatory, 402, 0},
			{lienthong.Duplicate, 121, 0},
			{lienthong.OutOfRange, 88, 0},
			{lienthong.Contradiction, 425, 425},
			{lienthong.BrokenReference, 55, 0},
		},
		Reconciliations: []Reconciliation{
			{At: now.Add(-20 * time.Second), Dataset: persons, Result: lienthong.Matches, SourceRows: 200_000, LandedRows: 198_764, Quarantined: 1_236, Digest: "b2c4f0a99187de10aa73"},
			{At: now.Add(-80 * time.Second), Dataset: persons, Result: lienthong.Differs, SourceRows: 199_998, LandedRows: 198_760, Quarantined: 1_236, Differing: 2, Digest: "77ac01be4421aa09cc31"},
			{At: now.Add(-140 * time.Second), Dataset: persons, Result: lienthong.Failed, SourceRows: 199_998},
		},
	}
	for i := range 60 {
		at := now.Add(time.Duration(i-60) * 5 * time.Second)
		page.LagHistory = append(page.LagHistory, LagPoint{at, time.Duration(14+(i*5)%9) * time.Millisecond, time.Duration(45+(i*13)%38) * time.Millisecond})
		page.RateHistory = append(page.RateHistory, RatePoint{at, 700 + float64((i*37)%190)})
	}
	reasons := []RejectedRow{
		{Rule: "person.number.digits", Group: lienthong.WrongFormat, Field: Text{"Số định danh cá nhân", "Personal number"}, Reason: Text{"Số định danh cá nhân phải có đúng 12 chữ số", "A personal number has exactly 12 digits"}, Sample: "0962•••••89", Blocking: true},
		{Rule: "person.number.birth", Group: lienthong.Contradiction, Field: Text{"Ngày sinh", "Date of birth"}, Reason: Text{"Năm sinh không khớp với số định danh", "The year of birth contradicts the personal number"}, Sample: "••/••/1987", Blocking: true},
		{Rule: "person.name.required", Group: lienthong.MissingMandatory, Field: Text{"Họ và tên", "Full name"}, Reason: Text{"Thiếu họ và tên", "The full name is missing"}},
		{Rule: "address.commune.known", Group: lienthong.BrokenReference, Field: Text{"Xã, phường nơi ở", "Commune of residence"}, Reason: Text{"Mã xã không tồn tại vào ngày ghi", "The commune code did not exist on that date"}, Sample: "3200•"},
	}
	for i := range 12 {
		row := reasons[i%len(reasons)]
		row.At, row.Dataset, row.Record = now.Add(-time.Duration(i*11)*time.Second), persons, fmt.Sprintf("%02x4be1907755aa%02x", i*17, i)
		page.Rejected = append(page.Rejected, row)
	}
	for i := range 8 {
		kind := lienthong.ChangesBatch
		if i == 3 {
			kind = lienthong.CheckpointBatch
		}
		page.Receipts = append(page.Receipts, Receipt{Applied: now.Add(-time.Duration(i*400) * time.Millisecond), Dataset: persons, Sequence: uint64(1_204 - i), Kind: kind, Rows: 500 - i*31, Landed: 500 - i*31, Ignored: i % 2 * 4, Digest: fmt.Sprintf("%02xa71c90be43%02xffae", 211-i, i)})
	}
	return page
}

// emptyDatabase is registered and nothing more.
func emptyDatabase() DatabasePage {
	return DatabasePage{At: storyTime(), DatabaseRow: DatabaseRow{Code: "labour", Name: Text{"CSDL người lao động và việc làm", "Labour and employment database"}, Owner: Text{"Bộ Nội vụ", "Ministry of Home Affairs"}, Confidence: "C"}}
}

// failingOverview is a bad day: nothing connected agrees and the log is broken.
func failingOverview() Overview {
	overview := busyOverview()
	overview.Audit.Verified = false
	overview.Totals.Matching = 0
	overview.Totals.Lag = Lag{}
	for i := range overview.Databases {
		overview.Databases[i].State = Failing
	}
	for i := range overview.Provinces {
		overview.Provinces[i].State = []State{Failing, Differing, Behind, Syncing, Matching}[i%5]
	}
	return overview
}
