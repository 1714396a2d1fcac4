package assessment

import (
	"math"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// Observation is one figure of one database.
type Observation struct {
	Value    float64 `json:"value"`
	Known    bool    `json:"known"`
	Grade    Grade   `json:"grade,omitempty"`
	Verified bool    `json:"verified,omitempty"` // of a declared one: somebody else has checked it
}

// figure is a fact that the data files can name.
type figure struct {
	name  string
	words Words
	unit  Unit
	read  func(*reading) Observation
}

// reading is what figures are read from: the facts and the method's dated choices.
type reading struct {
	*Facts
	now    int64
	method *Method
	live   []Answer // answers that count now
}

const (
	microsPerSecond = int64(time.Second / time.Microsecond)
	microsPerHour   = 3600 * microsPerSecond
	microsPerDay    = 24 * microsPerHour
)

func unknown() Observation { return Observation{} }

func known(value float64, grade Grade) Observation {
	if grade == "" || math.IsNaN(value) || math.IsInf(value, 0) {
		return unknown()
	}
	return Observation{Value: value, Known: true, Grade: grade}
}

func flag(yes bool, grade Grade) Observation {
	if yes {
		return known(1, grade)
	}
	return known(0, grade)
}

// share is part of whole in percent; not known when there is no whole.
func share[N int | int64](part, whole N, grade Grade) Observation {
	if whole <= 0 {
		return unknown()
	}
	return known(100*float64(min(part, whole))/float64(whole), grade)
}

func (r *reading) age(at, unit int64, grade Grade) Observation {
	if at == 0 {
		return unknown()
	}
	return known(math.Max(0, float64(r.now-at)/float64(unit)), grade)
}

// register gives a declared figure the weight that the entry has.
func (r *reading) register(o Observation) Observation {
	o.Verified = o.Known && o.Grade == Declared && r.Register.Verified
	return o
}

func (r *reading) protection(o Observation) Observation {
	o.Verified = o.Known && o.Grade == Declared && r.Security.Verified
	return o
}

func (r *reading) criterion(c lienthong.Criterion) (*CriterionFact, bool) {
	for i := range r.Quality.Criteria {
		if r.Quality.Criteria[i].Criterion == c {
			return &r.Quality.Criteria[i], true
		}
	}
	return nil, false
}

// index lists the five criteria of the data quality index; shared is apart.
func indexCriteria() []lienthong.Criterion { return lienthong.Criteria()[:5] }

func scoreOf(c lienthong.Criterion) func(*reading) Observation {
	return func(r *reading) Observation {
		fact, found := r.criterion(c)
		if !found || !fact.Known {
			return unknown()
		}
		return known(fact.Value, r.Quality.Grade)
	}
}

func gateOf(c lienthong.Criterion) func(*reading) Observation {
	return func(r *reading) Observation {
		fact, found := r.criterion(c)
		if !found || !fact.Known {
			return unknown()
		}
		return known(float64(fact.Gates), r.Quality.Grade)
	}
}

func coverageOf(c lienthong.Criterion) func(*reading) Observation {
	return func(r *reading) Observation {
		if r.Quality.Grade == "" {
			return unknown()
		}
		fact, found := r.criterion(c)
		if !found || !fact.Known {
			return known(0, r.Quality.Grade)
		}
		return known(fact.Coverage, r.Quality.Grade)
	}
}

func overIndex(read func(*CriterionFact) float64, join func(a, b float64) float64, first float64) func(*reading) Observation {
	return func(r *reading) Observation {
		value, some := first, false
		for _, c := range indexCriteria() {
			if fact, found := r.criterion(c); found && fact.Known {
				value, some = join(value, read(fact)), true
			}
		}
		if !some {
			return unknown()
		}
		return known(value, r.Quality.Grade)
	}
}

func person(name func(*People) string) func(*reading) Observation {
	return func(r *reading) Observation {
		return r.register(flag(strings.TrimSpace(name(&r.Register.People)) != "", r.Register.Grade))
	}
}

func state(wanted BuildingState) func(*reading) Observation {
	return func(r *reading) Observation {
		if r.Register.State == "" {
			return unknown()
		}
		now := r.Register.State
		if now == Upgrade {
			now = Built
		}
		return r.register(flag(now == wanted, r.Register.StateGrade))
	}
}

func connected(read func(*reading) Observation) func(*reading) Observation {
	return func(r *reading) Observation {
		if r.Connection.Since == 0 {
			return unknown()
		}
		return read(r)
	}
}

func (r *reading) answers(counts func(*Answer) bool) Observation {
	n := 0
	for i := range r.Answers {
		if counts(&r.Answers[i]) {
			n++
		}
	}
	return known(float64(n), Measured)
}

// figures lists every fact that checks, requirements, gates, groups and recommendations
// can name.
func figures() []figure {
	list := []figure{
		// the register entry
		{"legal_basis", Words{"có căn cứ pháp lý", "has a legal basis"}, YesNo, func(r *reading) Observation {
			if strings.TrimSpace(r.Database.LegalBasis) == "" {
				return unknown()
			}
			o := flag(true, Declared)
			switch r.Database.Confidence {
			case "A": // taken from an official text
				o.Grade = Reconciled
			case "B":
				o.Verified = true
			default:
				o.Verified = r.Register.Verified
			}
			return o
		}},
		{"official_owner", Words{"cơ quan chủ quản có mã chính thức", "the owner has an official code"}, YesNo, func(r *reading) Observation {
			return flag(r.Owner.Code != "" && r.Owner.Official, Reconciled)
		}},
		{"list_verified", Words{"tên CSDL đã kiểm chứng trong văn bản", "the name is verified in an official text"}, YesNo, func(r *reading) Observation {
			return flag(r.Database.Confidence == "A" || r.Database.Confidence == "B" || r.Register.Verified, Reconciled)
		}},
		{"register_completeness", Words{"mức đầy đủ của hồ sơ đăng ký", "completeness of the register entry"}, Percent, func(r *reading) Observation {
			return r.register(known(r.Register.Completeness, r.Register.Grade))
		}},
		{"register_confirmed", Words{"chủ quản đã xác nhận hồ sơ", "the owner has confirmed the entry"}, YesNo, func(r *reading) Observation {
			return flag(r.Register.Grade != "" && r.Register.ConfirmedAt != 0, Measured)
		}},
		{"confirmed_age", Words{"thời gian từ lần xác nhận gần nhất", "time since the last confirmation"}, Days, func(r *reading) Observation {
			return r.age(r.Register.ConfirmedAt, microsPerDay, Measured)
		}},
		{"state_built", Words{"đã xây dựng", "built"}, YesNo, state(Built)},
		{"state_building", Words{"đang xây dựng", "under construction"}, YesNo, state(Building)},
		{"state_not_built", Words{"chưa xây dựng", "not built"}, YesNo, state(NotBuilt)},
		{"state_known", Words{"tình trạng xây dựng đã rõ", "the state of construction is known"}, YesNo, func(r *reading) Observation {
			if r.Register.State == "" {
				return unknown()
			}
			return r.register(flag(true, r.Register.StateGrade))
		}},
		{"progress", Words{"tiến độ xây dựng", "progress of construction"}, Percent, func(r *reading) Observation {
			if r.Register.State == "" {
				return unknown()
			}
			return r.register(known(r.Register.Progress, r.Register.StateGrade))
		}},
		{"domain", Words{"thuộc một miền lõi", "belongs to a core domain"}, YesNo, func(r *reading) Observation {
			return r.register(flag(r.Register.Domain != "", r.Register.Grade))
		}},
		{"owner_person", Words{"có người phụ trách", "somebody is in charge"}, YesNo, person(func(p *People) string { return p.Owner })},
		{"steward", Words{"có cán bộ quản trị dữ liệu", "there is a data steward"}, YesNo, person(func(p *People) string { return p.Steward })},
		{"chief_engineers", Words{"Tổng công trình sư đã chọn (trên 2)", "chief engineers appointed (of 2)"}, Count, func(r *reading) Observation {
			n := 0.0
			for _, name := range []string{r.Register.People.ITEngineer, r.Register.People.BusinessEngineer} {
				if strings.TrimSpace(name) != "" {
					n++
				}
			}
			return r.register(known(n, r.Register.Grade))
		}},
		{"classified", Words{"tập dữ liệu đã phân loại", "datasets that are classified"}, Percent, func(r *reading) Observation {
			return r.register(share(r.Register.Classified, r.Register.Datasets, r.Register.Grade))
		}},
		{"retention", Words{"tập dữ liệu đã có thời hạn lưu trữ", "datasets with a period of retention"}, Percent, func(r *reading) Observation {
			return r.register(share(r.Register.WithPeriod, r.Register.Datasets, r.Register.Grade))
		}},
		{"open_objects", Words{"đối tượng trong danh mục dữ liệu mở", "objects in the list of open data"}, Count, func(r *reading) Observation {
			return r.objects(r.Register.Open)
		}},
		{"master_objects", Words{"đối tượng trong danh mục dữ liệu chủ", "objects in the list of master data"}, Count, func(r *reading) Observation {
			return r.objects(r.Register.Master)
		}},
		{"central", Words{"trên hạ tầng tập trung", "on central infrastructure"}, YesNo, func(r *reading) Observation {
			if r.Register.Central == nil {
				return unknown()
			}
			return r.register(flag(*r.Register.Central, r.Register.Grade))
		}},
		{"point_to_point", Words{"kết nối điểm - điểm còn chạy", "point-to-point links still running"}, Count, func(r *reading) Observation {
			if r.Register.PointToPoint == nil {
				return unknown()
			}
			return r.register(known(float64(*r.Register.PointToPoint), r.Register.Grade))
		}},
		{"onboarding", Words{"bước kết nối đã xong (trên 5)", "onboarding steps done (of 5)"}, Count, func(r *reading) Observation {
			return r.register(known(float64(r.Register.Onboarding), r.Register.Grade))
		}},
		{"overlaps", Words{"phần tử thu thập lại của CSDL khác", "elements collected again that another database holds"}, Count, func(r *reading) Observation {
			if r.Register.Overlaps == nil {
				return unknown()
			}
			return known(float64(*r.Register.Overlaps), Measured)
		}},
	}
	list = append(list, roadFigures()...)
	list = append(list, dataFigures()...)
	return append(list, useFigures()...)
}

func (r *reading) objects(n int) Observation {
	if r.Register.Objects == 0 {
		return unknown()
	}
	return r.register(known(float64(n), r.Register.Grade))
}

// criterionWords names a criterion.
func criterionWords(c lienthong.Criterion) Words {
	switch c {
	case lienthong.Correct:
		return Words{"Đúng", "Correct"}
	case lienthong.Complete:
		return Words{"Đủ", "Complete"}
	case lienthong.Clean:
		return Words{"Sạch", "Clean"}
	case lienthong.Live:
		return Words{"Sống", "Live"}
	case lienthong.Unified:
		return Words{"Thống nhất", "Unified"}
	case lienthong.Shared:
		return Words{"Dùng chung", "Shared"}
	}
	return Words{string(c), string(c)}
}
