package push

import (
	"net/http"
)

// refusal is why a record or a request is not accepted: a code whose texts and HTTP status
// stand in one table, and the member that it is about. It never holds a value.
type refusal struct {
	code  string
	field string
}

func refuse(code, field string) *refusal { return &refusal{code: code, field: field} }

// wording is what a caller is told about a code.
type wording struct {
	status       int
	vi, en, hint string
}

// words are the texts of a code. Every code that an answer may hold is here.
func words(code string) wording {
	switch code {
	case codeAccepted:
		return wording{http.StatusCreated, "đã nhận và ghi bền vững", "accepted and durable", ""}
	case codeRepeated:
		return wording{http.StatusOK, "đã nhận trước đó, nội dung giống hệt", "accepted before, with the same content", ""}

	case "push.version_conflict":
		return wording{
			http.StatusConflict, "phiên bản này đã nhận với nội dung khác", "this version was accepted with another content",
			"tăng PhienBan khi nội dung thay đổi / raise PhienBan when the content changes",
		}
	case "push.version_old":
		return wording{
			http.StatusConflict, "đã có phiên bản mới hơn", "a newer version is there already",
			"gửi bản ghi hiện tại với PhienBan lớn hơn / send the record as it is now with a higher PhienBan",
		}
	case "push.version":
		return wording{http.StatusUnprocessableEntity, "PhienBan phải là số nguyên khác 0", "PhienBan must be a whole number other than 0", ""}
	case "push.event":
		return wording{http.StatusUnprocessableEntity, "SuKien phải là NEW, UPDATE hoặc CANCEL", "SuKien must be NEW, UPDATE or CANCEL", ""}
	case "push.time":
		return wording{
			http.StatusUnprocessableEntity, "thời gian không đúng dạng", "not a time of the right form",
			"2026-11-23T08:30:00 (giờ Việt Nam) hoặc RFC 3339 / 2026-11-23T08:30:00 (Vietnam time) or RFC 3339",
		}
	case "push.envelope":
		return wording{
			http.StatusUnprocessableEntity, "thiếu hoặc sai phần này của bản tin", "this part of the message is missing or not an object",
			"bản tin gồm NguonDuLieu, DuLieuTiepNhan, TrangThaiDuLieu / a message has NguonDuLieu, DuLieuTiepNhan, TrangThaiDuLieu",
		}
	case "push.type_unknown":
		return wording{
			http.StatusUnprocessableEntity, "loại dữ liệu chưa được khai báo", "the record type is not declared",
			"xem GET /push/v1/schemas / see GET /push/v1/schemas",
		}
	case "push.type_conflict":
		return wording{http.StatusUnprocessableEntity, "X-Data-Type khác MaLoaiDuLieu trong bản tin", "X-Data-Type differs from MaLoaiDuLieu in the message", ""}
	case "push.field_unknown":
		return wording{
			http.StatusUnprocessableEntity, "trường không có trong khai báo", "the field is not declared",
			"sửa tên trường, hoặc xin khai báo phiên bản mới của loại dữ liệu / correct the name, or have a newer version of the record type declared",
		}
	case "push.field_required":
		return wording{http.StatusUnprocessableEntity, "thiếu trường bắt buộc", "a required field is missing", ""}
	case "push.field_twice":
		return wording{http.StatusUnprocessableEntity, "trường xuất hiện hai lần", "the field is there twice", ""}
	case "push.field_type":
		return wording{http.StatusUnprocessableEntity, "giá trị không đúng định dạng khai báo", "the value is not of the declared format", "xem GET /push/v1/schemas/{type} / see GET /push/v1/schemas/{type}"}
	case "push.field_text":
		return wording{
			http.StatusUnprocessableEntity, "trường văn bản phải viết trong dấu ngoặc kép", "a text must be written in quotes",
			"số điện thoại, mã số viết như văn bản để giữ số 0 ở đầu / codes are texts, or leading zeros are lost",
		}
	case "push.field_long":
		return wording{http.StatusUnprocessableEntity, "giá trị dài hơn khai báo", "the value is longer than declared", ""}
	case "push.field_character":
		return wording{http.StatusUnprocessableEntity, "giá trị có ký tự không được phép", "the value has a character that is not allowed", "bỏ ký tự NUL, dùng UTF-8 / remove NUL characters, use UTF-8"}
	case "push.forbidden":
		return wording{http.StatusForbidden, "hệ thống này không được gửi loại dữ liệu này", "this client may not send this record type", "liên hệ đơn vị quản trị nút / ask the operator of the node"}
	case "push.full":
		return wording{http.StatusServiceUnavailable, "hộp nhận đang đầy, bản ghi chưa được nhận", "the inbox is full, the record was not accepted", "gửi lại sau thời gian trong Retry-After / send it again after Retry-After"}
	case "push.storage":
		return wording{http.StatusServiceUnavailable, "chưa ghi được xuống đĩa, bản ghi chưa được nhận", "it could not be written to disk, the record was not accepted", "gửi lại sau / send it again later"}
	case "push.sign":
		return wording{http.StatusServiceUnavailable, "nút chưa ký được biên nhận, bản ghi chưa được nhận", "the node could not sign the acceptance, the record was not accepted", "gửi lại sau / send it again later"}

	case "push.syntax":
		return wording{http.StatusBadRequest, "nội dung không phải JSON hoặc XML đúng cú pháp", "the body is not well-formed JSON or XML", "các bản ghi đứng trước chỗ lỗi vẫn được xử lý / records before the place were handled"}
	case "push.encoding":
		return wording{http.StatusBadRequest, "nội dung không phải UTF-8", "the body is not UTF-8", ""}
	case "push.markup":
		return wording{http.StatusBadRequest, "XML có DOCTYPE, thực thể, chỉ thị hoặc thuộc tính không được phép", "the XML has a document type, an entity, an instruction or an attribute that is not allowed", ""}
	case "push.record_too_large":
		return wording{http.StatusRequestEntityTooLarge, "bản ghi quá lớn", "the record is too large", ""}
	case "push.body_too_large":
		return wording{http.StatusRequestEntityTooLarge, "yêu cầu quá lớn, kể cả sau khi giải nén", "the request is too large, perhaps only when unpacked", "chia thành nhiều yêu cầu / divide it into several requests"}
	case "push.batch_too_long":
		return wording{http.StatusRequestEntityTooLarge, "quá nhiều bản ghi trong một yêu cầu", "too many records in one request", "chia thành nhiều yêu cầu; các bản ghi đã có kết quả không cần gửi lại / divide it; records with a result need not be sent again"}
	case "push.count":
		return wording{http.StatusBadRequest, "totalRecords khác số bản ghi nhận được", "totalRecords is not the number of records", "kiểm tra xem yêu cầu có bị cắt / check whether the request was cut"}
	case "push.media_type":
		return wording{http.StatusUnsupportedMediaType, "chỉ nhận application/json hoặc application/xml, UTF-8, có thể nén gzip", "only application/json or application/xml in UTF-8, perhaps with gzip", ""}

	case "push.unauthenticated":
		return wording{http.StatusUnauthorized, "thiếu khoá API hoặc chứng thư hợp lệ", "a valid API key or client certificate is needed", "Authorization: Bearer <khoá / key>"}
	case "push.tls_required":
		return wording{http.StatusForbidden, "chỉ nhận qua TLS", "only over TLS", ""}
	case "push.rate":
		return wording{http.StatusTooManyRequests, "quá nhiều yêu cầu", "too many requests", "gửi theo lô, và chờ theo Retry-After / send batches, and wait for Retry-After"}
	case "push.not_found":
		return wording{http.StatusNotFound, "không có", "there is no such thing", ""}
	case "push.method":
		return wording{http.StatusMethodNotAllowed, "phương thức không được hỗ trợ", "the method is not allowed", ""}
	case "push.closed":
		return wording{http.StatusServiceUnavailable, "nút đang dừng", "the node is stopping", "gửi lại sau / send it again later"}
	}
	return wording{http.StatusInternalServerError, "lỗi nội bộ, bản ghi chưa được nhận", "an internal error, the record was not accepted", "gửi lại; nếu còn lỗi, báo đơn vị quản trị nút / send it again; if it stays, tell the operator"}
}

// The codes of records that are in the inbox.
const (
	codeAccepted = "accepted"
	codeRepeated = "repeated"
)
