package assessment

import (
	"sync"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

var (
	loadDictionary = sync.OnceValues(dictionary.Builtin)
	loadMethod     = sync.OnceValues(func() (*Method, error) {
		d, err := loadDictionary()
		if err != nil {
			return nil, err
		}
		return Builtin(d)
	})
)

// noon is the instant of all tests: 23 November 2026, 10:00 in Viet Nam.
var noon = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC).UnixMicro()

func method(t testing.TB) (*Method, *dictionary.Dictionary) {
	t.Helper()
	d, err := loadDictionary()
	if err != nil {
		t.Fatal(err)
	}
	m, err := loadMethod()
	if err != nil {
		t.Fatal(err)
	}
	return m, d
}

// fine is a database of which everything is known and nothing is wrong.
func fine() Facts {
	daysAgo := func(days int64) int64 { return noon - days*microsPerDay }
	no, yes, current := 0, true, true
	f := Facts{
		Database: lienthong.Database{
			Code: "enterprise", NameVi: "CSDL quốc gia về đăng ký doanh nghiệp", NameEn: "National enterprise registration database",
			Class: lienthong.NationalDatabase, Owner: "G12", LegalBasis: "NĐ 47/2024 Phụ lục", Confidence: "A",
		},
		Owner: lienthong.Member{Code: "G12", NameVi: "Bộ Tài chính", NameEn: "Ministry of Finance", Bloc: lienthong.Government, Level: "central", Official: true},
		At:    noon,
		Register: Register{
			Grade: Declared, Verified: true, Completeness: 96, ConfirmedAt: daysAgo(30), State: Built, StateGrade: Declared, Progress: 100,
			Domain: "DOM-ORG", People: People{"Nguyễn Văn An", "Trần Thị Bình", "Lê Hoàng Cường", "Phạm Thị Dung"},
			Objects: 8, Open: 2, Master: 3, Datasets: 10, Classified: 10, WithPeriod: 10, Central: &yes, PointToPoint: &no, Onboarding: 5, Overlaps: &no,
		},
		Connection: Connection{
			Grade: Measured, Since: daysAgo(200), Nodes: []string{"btc-1"}, Registered: 6, Connected: 6,
			SourceRows: 2_000_000, LandedRows: 2_000_000, LastChange: noon - microsPerHour, Interval: 24 * time.Hour,
			LagP50: 40 * time.Millisecond, LagP99: 120 * time.Millisecond, Uptime: 99.9, UptimeKnown: true,
			Matching: 6, ComparedAt: noon - microsPerHour,
		},
		Mapping: Mapping{Grade: Measured, Columns: 80, Mapped: 80, Coded: 10, CodedCurrent: 10, Datasets: 6, Shaped: 6, WithIdentity: 6, Current: &current},
		Tickets: Tickets{Grade: Measured, Timed: 40, Closed: 40, InTime: 38, Reopened: 1},
		Sharing: Sharing{Grade: Measured, Services: 3, Contracts: 3, Subscriptions: 4, Consumers: 12, Calls: 900_000},
		Security: Security{
			Grade: Measured, MutualTLS: true, SignedBatches: true, AuditVerified: true, CertificateUntil: daysAgo(-120), KeySince: daysAgo(100),
			PersonalFields: 4, SealedFields: 3, DeclaredGrade: Declared, Verified: true, Level: 4, LevelDocument: "QĐ 12/QĐ-BTC", LevelApproved: daysAgo(300),
			BackupAt: daysAgo(1), RestoreTestAt: daysAgo(60), LogMonths: 12,
		},
	}
	f.Quality = Quality{Grade: Measured, Index: 97, Known: true}
	for _, c := range lienthong.Criteria() {
		f.Quality.Criteria = append(f.Quality.Criteria, CriterionFact{Criterion: c, Value: 97, Known: true, Coverage: 95, WeakestAt: 96, Weakest: Words{"ngày thành lập", "date of foundation"}})
	}
	return f
}

// answeredAll adds an answer, compared with the original, to every question that people can answer.
func answeredAll(m *Method, f *Facts) {
	for _, q := range m.Questions() {
		if q.Evidence.Vi != "" {
			f.Answers = append(f.Answers, Answer{
				Database: f.Database.Code, Question: q.ID, Verdict: Yes, Evidence: Evidence{Document: "QĐ 1/QĐ-BTC"},
				By: "an", At: noon - 30*microsPerDay, State: Verified, Original: true, VerifiedBy: "binh", VerifiedAt: noon - 20*microsPerDay,
			})
		}
	}
}

// criterion changes one criterion of the fixture.
func (f *Facts) criterion(c lienthong.Criterion) *CriterionFact {
	for i := range f.Quality.Criteria {
		if f.Quality.Criteria[i].Criterion == c {
			return &f.Quality.Criteria[i]
		}
	}
	panic("no such criterion")
}

// worst is the database with the longest texts and the most wrong.
func worst() Facts {
	f := fine()
	long := "CSDL quốc gia tổng hợp về quản lý, khai thác, vận hành, bảo trì và phát triển hạ tầng kỹ thuật dùng chung phục vụ các cơ quan trung ương và địa phương trong hệ thống chính trị giai đoạn 2026-2030"
	f.Database = lienthong.Database{
		Code: "land", NameVi: long, NameEn: long, Class: lienthong.SpecialisedDatabase, Owner: "G12", Confidence: "B",
		LegalBasis: "NĐ 111/2024/NĐ-CP ngày 06/9/2024 và NĐ 212/2026/NĐ-CP; TT 39/2026/TT-BXD; QĐ 4731/QĐ-BNNMT; QĐ 1762/QĐ-BKHCN về danh mục cơ sở dữ liệu chuyên ngành",
	}
	f.Owner.NameVi = "Ban Quản lý dự án đầu tư xây dựng cơ sở dữ liệu thuộc Văn phòng Trung ương Đảng và Ban Tổ chức Trung ương"
	f.Owner.NameEn = f.Owner.NameVi
	f.Owner.Official = false
	f.Register.People = People{Owner: "Nguyễn Phúc Hoàng Minh Quân, Phó Cục trưởng Cục Chuyển đổi số và Dữ liệu tài nguyên môi trường"}
	f.Register.Completeness = 31
	f.Connection.Matching, f.Connection.Differing, f.Connection.Failed = 12, 7, 2
	f.Connection.Registered, f.Connection.Connected, f.Connection.ByFile = 48, 21, 9
	f.Connection.LandedRows, f.Connection.Quarantined = 61_234_567, 19_000_000
	f.Connection.LagP99, f.Connection.LastChange = 5*time.Hour, noon-40*microsPerDay
	f.Connection.Uptime = 71
	f.Mapping = Mapping{Grade: Measured, Columns: 1240, Mapped: 310, Coded: 90, CodedCurrent: 20, Datasets: 48, Shaped: 20, WithIdentity: 10, Drift: 77, Breaking: 5}
	f.Tickets = Tickets{Grade: Measured, Open: 240, Overdue: 199, Identifier: 12, Records: 1_900_000, Timed: 100, Closed: 100, InTime: 10, Reopened: 60}
	f.Sharing = Sharing{Grade: Measured}
	f.Security = Security{Grade: Measured, CertificateUntil: noon - microsPerDay, KeySince: noon - 900*microsPerDay, PersonalFields: 30, SealedFields: 2}
	f.Quality.Index = 41.4
	for i := range f.Quality.Criteria {
		c := &f.Quality.Criteria[i]
		c.Value, c.Coverage, c.Gates, c.Broken = 38+float64(i), 40, 3, 120_000
		c.Weakest, c.WeakestAt = Words{"số định danh cá nhân của chủ sử dụng đất đúng cấu trúc mười hai chữ số (so_dinh_danh_chu_su_dung)", "personal number of the land user has twelve digits (so_dinh_danh_chu_su_dung)"}, 12.3
	}
	f.Samples = []Sample{{Criterion: lienthong.Correct, Checked: 400, Correct: 173, At: noon}}
	return f
}

func assess(t testing.TB, f Facts) *Assessment {
	t.Helper()
	m, _ := method(t)
	return m.Assess(&f, noon)
}

func approximately(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }
