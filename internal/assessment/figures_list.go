package assessment

import (
	"math"
	"strings"

	"github.com/lienthong/lienthong"
)

// roadFigures are about the connection.
func roadFigures() []figure {
	return []figure{
		{"connected", Words{"đã kết nối nền tảng", "connected to the platform"}, YesNo, func(r *reading) Observation {
			return flag(r.Connection.Since != 0, r.Connection.Grade)
		}},
		{"connected_days", Words{"thời gian từ khi kết nối", "time since it was connected"}, Days, func(r *reading) Observation {
			return r.age(r.Connection.Since, microsPerDay, r.Connection.Grade)
		}},
		{"before_deadline", Words{"đã kết nối trước hạn", "connected before the deadline"}, YesNo, func(r *reading) Observation {
			switch {
			case r.Connection.Since != 0:
				return flag(r.Connection.Since < r.method.deadline, r.Connection.Grade)
			case r.now >= r.method.deadline:
				return flag(false, r.Connection.Grade)
			}
			return unknown()
		}},
		{"days_to_deadline", Words{"thời gian còn lại đến hạn kết nối", "time left to the deadline for connecting"}, Days, func(r *reading) Observation {
			return known(float64(r.method.deadline-r.now)/float64(microsPerDay), Measured)
		}},
		{"nodes", Words{"nút kết nối", "connected nodes"}, Count, func(r *reading) Observation {
			return known(float64(len(r.Connection.Nodes)), r.Connection.Grade)
		}},
		{"datasets", Words{"tập dữ liệu đang đồng bộ", "datasets that land"}, Count, func(r *reading) Observation {
			return known(float64(r.Connection.Connected), r.Connection.Grade)
		}},
		{"datasets_connected", Words{"tập dữ liệu đã kết nối / đã đăng ký", "datasets connected of those registered"}, Percent, func(r *reading) Observation {
			return share(r.Connection.Connected, r.Connection.Registered, r.Connection.Grade)
		}},
		{"datasets_missing", Words{"tập dữ liệu đã đăng ký chưa kết nối", "registered datasets not connected"}, Count, func(r *reading) Observation {
			if r.Connection.Registered == 0 {
				return unknown()
			}
			return known(float64(max(0, r.Connection.Registered-r.Connection.Connected)), r.Connection.Grade)
		}},
		{"automatic", Words{"tập dữ liệu lấy tự động", "datasets extracted automatically"}, Percent, func(r *reading) Observation {
			return share(r.Connection.Connected-r.Connection.ByFile, r.Connection.Connected, r.Connection.Grade)
		}},
		{"by_file", Words{"tập dữ liệu nộp bằng tệp", "datasets brought as files"}, Count, connected(func(r *reading) Observation {
			return known(float64(r.Connection.ByFile), r.Connection.Grade)
		})},
		{"rows", Words{"bản ghi tại trung tâm", "records at the hub"}, Count, connected(func(r *reading) Observation {
			return known(float64(r.Connection.LandedRows), r.Connection.Grade)
		})},
		{"quarantined", Words{"bản ghi bị cách ly", "records in quarantine"}, Count, connected(func(r *reading) Observation {
			return known(float64(r.Connection.Quarantined), r.Connection.Grade)
		})},
		{"quarantined_share", Words{"tỷ lệ bản ghi bị cách ly", "share of records in quarantine"}, Percent, connected(func(r *reading) Observation {
			return share(r.Connection.Quarantined, r.Connection.LandedRows+r.Connection.Quarantined, r.Connection.Grade)
		})},
		{"delivered", Words{"bản ghi đến trung tâm, không bị cách ly", "records that reach the hub and are not held back"}, Percent, connected(func(r *reading) Observation {
			return share(r.Connection.LandedRows, r.Connection.LandedRows+r.Connection.Quarantined, r.Connection.Grade)
		})},
		{"reconciled", Words{"tập dữ liệu đối soát khớp", "datasets that reconcile"}, Percent, func(r *reading) Observation {
			return share(r.Connection.Matching, r.Connection.Matching+r.Connection.Differing+r.Connection.Failed, Reconciled)
		}},
		{"differing", Words{"tập dữ liệu đối soát không khớp hoặc lỗi", "datasets that differ or failed to compare"}, Count, func(r *reading) Observation {
			if r.Connection.Matching+r.Connection.Differing+r.Connection.Failed == 0 {
				return unknown()
			}
			return known(float64(r.Connection.Differing+r.Connection.Failed), Reconciled)
		}},
		{"compared_age", Words{"thời gian từ lần đối soát gần nhất", "time since the last reconciliation"}, Hours, func(r *reading) Observation {
			return r.age(r.Connection.ComparedAt, microsPerHour, Reconciled)
		}},
		{"lag", Words{"độ trễ p99", "lag p99"}, Seconds, connected(func(r *reading) Observation {
			if r.Connection.LagP99 <= 0 {
				return unknown()
			}
			return known(r.Connection.LagP99.Seconds(), r.Connection.Grade)
		})},
		{"change_age", Words{"tuổi của thay đổi gần nhất", "age of the last change"}, Hours, func(r *reading) Observation {
			return r.age(r.Connection.LastChange, microsPerHour, r.Connection.Grade)
		}},
		{"overdue_update", Words{"tuổi của thay đổi gần nhất so với chu kỳ đã khai", "age of the last change as a share of the declared interval"}, Percent, func(r *reading) Observation {
			if r.Connection.LastChange == 0 || r.Connection.Interval <= 0 {
				return unknown()
			}
			return known(100*float64(r.now-r.Connection.LastChange)/float64(r.Connection.Interval.Microseconds()), r.Connection.Grade)
		}},
		{"interval", Words{"đã khai chu kỳ cập nhật", "the interval of updates is declared"}, YesNo, connected(func(r *reading) Observation {
			return flag(r.Connection.Interval > 0, r.Connection.Grade)
		})},
		{"uptime", Words{"đường truyền hoạt động trong 30 ngày", "link up in the last 30 days"}, Percent, connected(func(r *reading) Observation {
			if !r.Connection.UptimeKnown {
				return unknown()
			}
			return known(r.Connection.Uptime, r.Connection.Grade)
		})},
	}
}

// dataFigures are about the data themselves.
func dataFigures() []figure {
	list := []figure{
		{"index", Words{"chỉ số chất lượng dữ liệu", "data quality index"}, Percent, func(r *reading) Observation {
			if !r.Quality.Known {
				return unknown()
			}
			return known(r.Quality.Index, r.Quality.Grade)
		}},
		{"lowest", Words{"tiêu chí thấp nhất trong năm tiêu chí của chỉ số", "lowest of the five criteria of the index"}, Percent, overIndex(func(c *CriterionFact) float64 { return c.Value }, math.Min, 100)},
		{"gates", Words{"quy tắc định danh chưa đạt 100 %", "identifier rules below 100 %"}, Count, overIndex(func(c *CriterionFact) float64 { return float64(c.Gates) }, sum, 0)},
		{"gate_records", Words{"bản ghi vi phạm trường định danh", "records that break identifier rules"}, Count, overIndex(func(c *CriterionFact) float64 { return float64(c.Broken) }, sum, 0)},
		{"measured_criteria", Words{"tiêu chí đã đo (trên 5)", "criteria measured (of 5)"}, Count, func(r *reading) Observation {
			n := 0
			for _, c := range indexCriteria() {
				if fact, found := r.criterion(c); found && fact.Known {
					n++
				}
			}
			return known(float64(n), Measured)
		}},
		{"coverage", Words{"độ phủ thấp nhất của năm tiêu chí", "lowest coverage of the five criteria"}, Percent, func(r *reading) Observation {
			if r.Quality.Grade == "" {
				return unknown()
			}
			least := 100.0
			for _, c := range indexCriteria() {
				least = math.Min(least, coverageOf(c)(r).Value)
			}
			return known(least, r.Quality.Grade)
		}},
		{"columns", Words{"cột của nguồn", "columns of the source"}, Count, func(r *reading) Observation {
			return known(float64(r.Mapping.Columns), r.Mapping.Grade)
		}},
		{"mapped", Words{"cột đã ánh xạ vào từ điển", "columns mapped to the dictionary"}, Percent, func(r *reading) Observation {
			return share(r.Mapping.Mapped, r.Mapping.Columns, r.Mapping.Grade)
		}},
		{"unmapped", Words{"cột chưa ánh xạ", "columns not mapped"}, Count, func(r *reading) Observation {
			if r.Mapping.Columns == 0 {
				return unknown()
			}
			return known(float64(max(0, r.Mapping.Columns-r.Mapping.Mapped)), r.Mapping.Grade)
		}},
		{"coded", Words{"cột mã dùng danh mục hiện hành", "coded columns that use the code list in force"}, Percent, func(r *reading) Observation {
			return share(r.Mapping.CodedCurrent, r.Mapping.Coded, r.Mapping.Grade)
		}},
		{"shaped", Words{"tập dữ liệu có cấu trúc đã duyệt", "datasets with an approved shape"}, Percent, func(r *reading) Observation {
			return share(r.Mapping.Shaped, r.Mapping.Datasets, r.Mapping.Grade)
		}},
		{"identified", Words{"tập dữ liệu có mã định danh của từ điển", "datasets with an identifier of the dictionary"}, Percent, func(r *reading) Observation {
			return share(r.Mapping.WithIdentity, r.Mapping.Datasets, r.Mapping.Grade)
		}},
		{"drift", Words{"khác biệt giữa cấu trúc đăng ký và thực tế", "differences between registered and live shape"}, Count, func(r *reading) Observation {
			return known(float64(r.Mapping.Drift), r.Mapping.Grade)
		}},
		{"breaking", Words{"thay đổi cấu trúc làm dừng tập dữ liệu", "changes of shape that stop a dataset"}, Count, func(r *reading) Observation {
			return known(float64(r.Mapping.Breaking), r.Mapping.Grade)
		}},
		{"dictionary_current", Words{"dùng phiên bản từ điển hiện hành", "uses the dictionary edition in force"}, YesNo, func(r *reading) Observation {
			if r.Mapping.Current == nil {
				return unknown()
			}
			return flag(*r.Mapping.Current, r.Mapping.Grade)
		}},
	}
	for _, c := range lienthong.Criteria() {
		words := criterionWords(c)
		list = append(list,
			figure{string(c), Words{"tiêu chí " + strings.ToLower(words.Vi), "criterion " + strings.ToLower(words.En)}, Percent, scoreOf(c)},
			figure{"gate_" + string(c), Words{"quy tắc định danh chưa đạt của tiêu chí " + strings.ToLower(words.Vi), "identifier rules below 100 % of " + strings.ToLower(words.En)}, Count, gateOf(c)},
			figure{"coverage_" + string(c), Words{"độ phủ của tiêu chí " + strings.ToLower(words.Vi), "coverage of " + strings.ToLower(words.En)}, Percent, coverageOf(c)})
	}
	return list
}

func sum(a, b float64) float64 { return a + b }

// useFigures are about corrections, use, protection and answers.
func useFigures() []figure {
	return []figure{
		{"tickets", Words{"phiếu lỗi đang mở", "open tickets"}, Count, func(r *reading) Observation {
			return known(float64(r.Tickets.Open), r.Tickets.Grade)
		}},
		{"tickets_overdue", Words{"phiếu lỗi quá hạn", "overdue tickets"}, Count, func(r *reading) Observation {
			return known(float64(r.Tickets.Overdue), r.Tickets.Grade)
		}},
		{"tickets_identifier", Words{"phiếu đỏ về trường định danh", "red tickets on identifiers"}, Count, func(r *reading) Observation {
			return known(float64(r.Tickets.Identifier), r.Tickets.Grade)
		}},
		{"records_to_fix", Words{"bản ghi phải sửa", "records to correct"}, Count, func(r *reading) Observation {
			return known(float64(r.Tickets.Records), r.Tickets.Grade)
		}},
		{"not_overdue", Words{"phiếu đang mở còn trong hạn", "open tickets within their time"}, Percent, connected(func(r *reading) Observation {
			if r.Tickets.Open == 0 {
				return known(100, r.Tickets.Grade)
			}
			return share(r.Tickets.Open-r.Tickets.Overdue, r.Tickets.Open, r.Tickets.Grade)
		})},
		{"in_time", Words{"phiếu đóng trong 10 ngày làm việc", "tickets closed within 10 working days"}, Percent, func(r *reading) Observation {
			return share(r.Tickets.InTime, r.Tickets.Timed, r.Tickets.Grade)
		}},
		{"reopened", Words{"phiếu mở lại", "tickets reopened"}, Percent, func(r *reading) Observation {
			return share(r.Tickets.Reopened, r.Tickets.Closed, r.Tickets.Grade)
		}},
		{"services", Words{"dịch vụ chia sẻ đã công bố", "published services"}, Count, func(r *reading) Observation {
			return known(float64(r.Sharing.Services), r.Sharing.Grade)
		}},
		{"contracts", Words{"hợp đồng dữ liệu còn hiệu lực", "data contracts in force"}, Count, func(r *reading) Observation {
			return known(float64(r.Sharing.Contracts), r.Sharing.Grade)
		}},
		{"subscriptions", Words{"đăng ký nhận dữ liệu", "subscriptions"}, Count, func(r *reading) Observation {
			return known(float64(r.Sharing.Subscriptions), r.Sharing.Grade)
		}},
		{"consumers", Words{"cơ quan đang khai thác", "agencies that use it"}, Count, func(r *reading) Observation {
			return known(float64(r.Sharing.Consumers), r.Sharing.Grade)
		}},
		{"calls", Words{"lượt khai thác trong 90 ngày", "calls in 90 days"}, Count, func(r *reading) Observation {
			return known(float64(r.Sharing.Calls), r.Sharing.Grade)
		}},
		{"mutual_tls", Words{"đường truyền xác thực hai chiều", "mutually authenticated link"}, YesNo, connected(func(r *reading) Observation {
			return flag(r.Security.MutualTLS, r.Security.Grade)
		})},
		{"signed", Words{"lô dữ liệu được ký số", "batches are signed"}, YesNo, connected(func(r *reading) Observation {
			return flag(r.Security.SignedBatches, r.Security.Grade)
		})},
		{"audit_verified", Words{"nhật ký đã kiểm chứng toàn vẹn", "the log's integrity is verified"}, YesNo, connected(func(r *reading) Observation {
			return flag(r.Security.AuditVerified, r.Security.Grade)
		})},
		{"certificate_days", Words{"thời hạn còn lại của chứng thư", "time left of the certificate"}, Days, func(r *reading) Observation {
			if r.Security.CertificateUntil == 0 {
				return unknown()
			}
			return known(float64(r.Security.CertificateUntil-r.now)/float64(microsPerDay), r.Security.Grade)
		}},
		{"key_age", Words{"tuổi khoá của nút", "age of the node's key"}, Days, func(r *reading) Observation {
			return r.age(r.Security.KeySince, microsPerDay, r.Security.Grade)
		}},
		{"sealed", Words{"trường cá nhân được che hoặc mã hoá khi gửi", "personal fields masked or sealed in transit"}, Percent, func(r *reading) Observation {
			return share(r.Security.SealedFields, r.Security.PersonalFields, r.Security.Grade)
		}},
		{"security_level", Words{"cấp độ an toàn", "security level"}, Level, func(r *reading) Observation {
			if r.Security.Level > 0 {
				return r.protection(known(float64(r.Security.Level), r.Security.DeclaredGrade))
			}
			return known(r.method.expectedLevel(r.Database.Class), Declared) // expected of the class until one is registered
		}},
		{"level_approved", Words{"hồ sơ cấp độ đã phê duyệt", "the level dossier is approved"}, YesNo, func(r *reading) Observation {
			if r.Security.DeclaredGrade == "" || r.Security.Level == 0 {
				return unknown()
			}
			return r.protection(flag(r.Security.LevelDocument != "" && r.Security.LevelApproved != 0, r.Security.DeclaredGrade))
		}},
		{"backup_age", Words{"tuổi bản sao lưu gần nhất", "age of the last backup"}, Days, func(r *reading) Observation {
			return r.protection(r.age(r.Security.BackupAt, microsPerDay, r.Security.DeclaredGrade))
		}},
		{"restore_age", Words{"thời gian từ lần thử khôi phục gần nhất", "time since the last restore test"}, Days, func(r *reading) Observation {
			return r.protection(r.age(r.Security.RestoreTestAt, microsPerDay, r.Security.DeclaredGrade))
		}},
		{"log_months", Words{"thời hạn lưu nhật ký", "retention of logs"}, Months, func(r *reading) Observation {
			if r.Security.LogMonths == 0 {
				return unknown()
			}
			return r.protection(known(float64(r.Security.LogMonths), r.Security.DeclaredGrade))
		}},
		{"answers_expired", Words{"câu trả lời hết hạn", "answers that have expired"}, Count, func(r *reading) Observation {
			return r.answers(func(a *Answer) bool { return a.State != Withdrawn && r.method.expired(a, r.now) })
		}},
		{"answers_expiring", Words{"câu trả lời sắp hết hạn", "answers that expire soon"}, Count, func(r *reading) Observation {
			return r.answers(func(a *Answer) bool { return r.method.counts(a, r.now) && r.method.expiresAt(a) < r.now+r.method.warn })
		}},
		{"answers_unverified", Words{"câu trả lời chưa thẩm định", "answers nobody has verified"}, Count, func(r *reading) Observation {
			return r.answers(func(a *Answer) bool { return a.State == Answered && !r.method.expired(a, r.now) })
		}},
		{"answers_returned", Words{"câu trả lời bị trả lại", "answers sent back"}, Count, func(r *reading) Observation {
			return r.answers(func(a *Answer) bool { return a.State == Returned })
		}},
	}
}
