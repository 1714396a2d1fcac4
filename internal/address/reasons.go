package address

import (
	"encoding/json"
	"math/bits"
)

// Reasons say why an answer is as it is: a set, so that it costs nothing to carry.
type Reasons uint64

// The reasons.
const (
	ReasonCode         Reasons = 1 << iota // found by code
	ReasonZeros                            // leading zeros of the code were restored
	ReasonPlain                            // written without diacritics
	ReasonMarksDiffer                      // other diacritics than in the list
	ReasonTypo                             // a typing error was forgiven
	ReasonNoType                           // the type of the commune is not written
	ReasonTypeDiffers                      // another type than in the list
	ReasonNoDistrict                       // no district, though there were districts
	ReasonNoProvince                       // no province
	ReasonBoundary                         // where the name begins is not certain
	ReasonDistrictName                     // may be the name of a district
	ReasonGap                              // words between the names that are not understood
	ReasonJunk                             // words beside the names that are not understood
	ReasonOrder                            // unusual order
	ReasonMixed                            // names of both periods
	ReasonConflict                         // parts of the text contradict each other
	ReasonOldNames                         // dated since the reform, with names of before
	ReasonNewNames                         // dated before the reform, with names of today
	ReasonUndated                          // the date is not known
	ReasonBothPeriods                      // both periods lead to the same unit
	ReasonWhole                            // the unit went as a whole to one unit of today
	ReasonWords                            // the words of the resolution name the district
	ReasonToday                            // it is a unit of today
	ReasonSplit                            // the unit was split
	ReasonPartial                          // only a part is known to have gone there
	ReasonAmbiguous                        // the link may mean another unit of the same name
	ReasonUnmatched                        // the code of the unit is not known
	ReasonSeveral                          // several units fit
	ReasonNotFound                         // no unit fits
	ReasonUnreadable                       // nothing administrative in it
	ReasonRuling                           // a person has ruled
	reasonsEnd
)

// Reason is one reason in both languages.
type Reason struct {
	Code string `json:"code"`
	Vi   string `json:"vi"`
	En   string `json:"en"`
}

// List spells the reasons out, in a fixed order.
func (r Reasons) List() []Reason {
	list := make([]Reason, 0, bits.OnesCount64(uint64(r)))
	for bit := Reasons(1); bit < reasonsEnd; bit <<= 1 {
		if r&bit != 0 {
			list = append(list, bit.reason())
		}
	}
	return list
}

// MarshalJSON writes the reasons as they are read: code and words in both languages.
func (r Reasons) MarshalJSON() ([]byte, error) { return json.Marshal(r.List()) }

// reason gives the words of a single reason.
func (r Reasons) reason() Reason {
	switch r {
	case ReasonCode:
		return Reason{"code", "tra theo mã đơn vị hành chính", "found by the code of the unit"}
	case ReasonZeros:
		return Reason{"zeros", "mã thiếu số 0 ở đầu, đã hiểu là mã 5 chữ số", "the code lacked leading zeros and was read as five digits"}
	case ReasonPlain:
		return Reason{"plain", "có tên viết không dấu", "a name is written without diacritics"}
	case ReasonMarksDiffer:
		return Reason{"marks_differ", "dấu khác với danh mục", "the diacritics differ from the list"}
	case ReasonTypo:
		return Reason{"typo", "có lỗi gõ, chỉ một tên trong phạm vi này gần giống", "a typing error; only one name in this area is near"}
	case ReasonNoType:
		return Reason{"no_type", "không ghi xã, phường hay thị trấn", "the type of the commune is not written"}
	case ReasonTypeDiffers:
		return Reason{"type_differs", "loại đơn vị khác với danh mục", "the type of a unit differs from the list"}
	case ReasonNoDistrict:
		return Reason{"no_district", "không ghi cấp huyện", "no district is written"}
	case ReasonNoProvince:
		return Reason{"no_province", "không ghi cấp tỉnh", "no province is written"}
	case ReasonBoundary:
		return Reason{"boundary", "không rõ tên xã bắt đầu từ đâu", "where the commune's name begins is not certain"}
	case ReasonDistrictName:
		return Reason{"district_name", "tên này cũng có thể là tên cấp huyện", "the name may be that of a district"}
	case ReasonGap:
		return Reason{"gap", "giữa các tên có từ không hiểu được", "words between the names are not understood"}
	case ReasonJunk:
		return Reason{"junk", "ngoài các tên còn có từ không hiểu được", "words beside the names are not understood"}
	case ReasonOrder:
		return Reason{"order", "thứ tự viết khác thường", "the order is unusual"}
	case ReasonMixed:
		return Reason{"mixed", "lẫn tên trước và sau 01/7/2025", "names from before and since 1 July 2025 are mixed"}
	case ReasonConflict:
		return Reason{"conflict", "các phần của địa chỉ mâu thuẫn nhau", "parts of the address contradict each other"}
	case ReasonOldNames:
		return Reason{"old_names", "ghi sau 01/7/2025 nhưng dùng tên cũ", "dated since 1 July 2025, written with the names of before"}
	case ReasonNewNames:
		return Reason{"new_names", "ghi trước 01/7/2025 nhưng dùng tên mới", "dated before 1 July 2025, written with the names of today"}
	case ReasonUndated:
		return Reason{"undated", "không rõ thời điểm ghi", "the date of writing is not known"}
	case ReasonBothPeriods:
		return Reason{"both_periods", "hiểu theo tên cũ hay mới đều ra cùng một đơn vị hiện nay", "the old and the new meaning lead to the same unit of today"}
	case ReasonWhole:
		return Reason{"whole", "toàn bộ đơn vị cũ nhập vào một đơn vị hiện nay", "the whole old unit went to one unit of today"}
	case ReasonWords:
		return Reason{"words", "nghị quyết ghi rõ đơn vị cấp huyện", "the words of the resolution name the district"}
	case ReasonToday:
		return Reason{"today", "là đơn vị hiện nay", "it is a unit of today"}
	case ReasonSplit:
		return Reason{"split", "đơn vị cũ đã chia cho nhiều đơn vị hiện nay", "the old unit was split between several units of today"}
	case ReasonPartial:
		return Reason{"partial", "chỉ biết một phần đơn vị cũ đã nhập vào đơn vị này", "only a part of the old unit is known to have gone there"}
	case ReasonAmbiguous:
		return Reason{"ambiguous", "liên kết cũ - mới có thể chỉ một đơn vị khác cùng tên", "the link may mean another old unit of the same name"}
	case ReasonUnmatched:
		return Reason{"unmatched", "chưa biết mã của đơn vị cũ", "the code of the old unit is not known"}
	case ReasonSeveral:
		return Reason{"several", "có nhiều đơn vị phù hợp", "several units fit"}
	case ReasonNotFound:
		return Reason{"not_found", "không tìm thấy đơn vị cấp xã phù hợp", "no unit of the commune tier fits"}
	case ReasonUnreadable:
		return Reason{"unreadable", "không thấy phần địa giới hành chính nào", "no administrative part was found"}
	case ReasonRuling:
		return Reason{"ruling", "theo quyết định của người quản trị dữ liệu", "by the ruling of a data steward"}
	}
	return Reason{}
}
