package console

import "github.com/lienthong/lienthong"

func dictionaryTexts() map[string]Text {
	return map[string]Text{
		"nav.dictionary":               {"Từ điển dữ liệu", "Dictionary"},
		"dictionary.title":             {"Từ điển dữ liệu dùng chung", "Common data dictionary"},
		"dictionary.edition":           {"ấn bản", "edition"},
		"dictionary.count":             {"%s phần tử dữ liệu", "%s data elements"},
		"dictionary.search":            {"Tìm phần tử hoặc danh mục", "Find an element or a code list"},
		"dictionary.search.example":    {"có dấu hoặc không dấu: ngay sinh", "with or without diacritics: birth"},
		"dictionary.find":              {"Tìm", "Find"},
		"dictionary.domain":            {"Miền dữ liệu", "Domain"},
		"dictionary.domain.all":        {"Tất cả các miền", "All domains"},
		"dictionary.elements":          {"Phần tử dữ liệu", "Data elements"},
		"dictionary.lists":             {"Danh mục mã", "Code lists"},
		"dictionary.none":              {"Không có phần tử nào khớp. Thử ít từ hơn, hoặc đề xuất phần tử mới.", "No element matches. Try fewer words, or propose a new element."},
		"dictionary.column.element":    {"Phần tử", "Element"},
		"dictionary.column.definition": {"Định nghĩa", "Definition"},
		"dictionary.column.kind":       {"Kiểu", "Type"},
		"dictionary.column.version":    {"Phiên bản", "Version"},
		"dictionary.column.uses":       {"Tập dữ liệu dùng", "Datasets using it"},
		"dictionary.column.list":       {"Danh mục", "Code list"},
		"dictionary.column.codes":      {"Số mã", "Codes"},
		"dictionary.pages":             {"Các trang", "Pages"},
		"dictionary.page":              {"trang %s, %s phần tử", "page %s, %s elements"},
		"dictionary.before":            {"Trang trước", "Previous page"},
		"dictionary.after":             {"Trang sau", "Next page"},
		"dictionary.identifier":        {"định danh", "identifier"},
		"dictionary.personal":          {"cá nhân", "personal"},

		"element.new":            {"Đề xuất phần tử mới", "Propose a new element"},
		"element.work":           {"Quy trình", "Workflow"},
		"element.propose":        {"Đề xuất thay đổi", "Propose a change"},
		"element.attributes":     {"25 thuộc tính", "25 attributes"},
		"element.uses":           {"Ai đang dùng", "Who uses it"},
		"element.affected":       {"%s tập dữ liệu đang dùng", "%s datasets use it"},
		"element.dependents":     {"Phần tử phụ thuộc", "Elements that depend on it"},
		"element.form.lead":      {"Bản nháp được lưu dù còn thiếu; chỉ khi gửi đề xuất mới cần đủ.", "A draft is saved even when something is missing; it must be complete only when it is submitted."},
		"element.form.business":  {"Thuộc tính nghiệp vụ", "Business attributes"},
		"element.form.technical": {"Thuộc tính kỹ thuật", "Technical attributes"},
		"element.id":             {"Mã phần tử", "Identifier"},
		"element.id.help":        {"miền.tên, chữ thường không dấu: person.passport_number", "domain.name in lower case: person.passport_number"},
		"element.kind":           {"Kiểu dữ liệu", "Data type"},
		"element.code_list":      {"Danh mục mã", "Code list"},
		"element.rules":          {"Quy tắc kiểm tra", "Validation rules"},
		"element.rules.lead":     {"Một nguồn cho tài liệu, API và kiểm tra: quy tắc ở đây chạy trên mọi bản ghi.", "One source for document, API and check: these rules run on every record."},
		"element.rule":           {"Quy tắc %s", "Rule %s"},
		"element.rule.code":      {"Mã quy tắc", "Code of the rule"},
		"element.rule.vi":        {"Sai ở đâu, tiếng Việt", "What is wrong, in Vietnamese"},
		"element.rule.en":        {"Sai ở đâu, tiếng Anh", "What is wrong, in English"},
		"element.rule.check":     {"Kiểm tra", "Check"},
		"element.rule.other":     {"khác (JSON)", "other (JSON)"},
		"element.rule.value":     {"Giá trị", "Value"},
		"element.rule.blocking":  {"Khi vi phạm", "When it is broken"},
		"element.rule.remark":    {"ghi nhận lỗi, bản ghi vẫn đi", "noted, the record goes on"},
		"element.rule.hold":      {"giữ bản ghi lại", "the record is held back"},
		"element.note":           {"Vì sao thay đổi", "Why it changes"},
		"element.save":           {"Lưu bản nháp", "Save the draft"},
		"element.submit":         {"Lưu và gửi đề xuất", "Save and submit"},

		"list.codes": {"Các mã", "Codes"},
		"list.code":  {"Mã", "Code"},
		"list.name":  {"Tên", "Name"},
		"list.from":  {"Từ ngày", "From"},
		"list.to":    {"Đến ngày", "Until"},
		"list.past":  {"không hiệu lực lúc này", "not in force now"},
	}
}

// fieldWords are the labels of the form's fields.
func fieldWords() map[string]Text {
	return map[string]Text{
		"name": {"Tên kỹ thuật", "Technical name"}, "name_vi": {"Tên tiếng Việt", "Vietnamese name"}, "name_en": {"Tên tiếng Anh", "English name"},
		"definition_vi": {"Định nghĩa", "Definition in Vietnamese"}, "definition_en": {"Định nghĩa bằng tiếng Anh", "Definition in English"},
		"context_vi": {"Ngữ cảnh sử dụng", "Usage context in Vietnamese"}, "context_en": {"Ngữ cảnh bằng tiếng Anh", "Usage context in English"},
		"object_vi": {"Thực thể", "Object class in Vietnamese"}, "object_en": {"Thực thể, tiếng Anh", "Object class in English"},
		"source": {"Căn cứ pháp lý", "Legal basis"}, "creator": {"Mã đơn vị tạo lập", "Code of the creating unit"}, "owner": {"Mã đơn vị chủ quản", "Code of the owning unit"},
		"documents": {"Văn bản liên quan, mỗi dòng một văn bản", "Related documents, one a line"}, "synonyms": {"Từ đồng nghĩa như viết trong cột, mỗi dòng một từ", "Synonyms as columns are written, one a line"},
		"related": {"Thuật ngữ liên quan, mỗi dòng một từ", "Related terms, one a line"}, "max_length": {"Độ dài tối đa", "Maximum length"},
		"format": {"Định dạng", "Format"}, "unit": {"Đơn vị đo", "Unit of measure"}, "normalise": {"Chuẩn hóa, mỗi dòng một bước", "Normalisation, one step a line"},
	}
}

// flagWords are the labels of the form's boxes.
func flagWords() map[string]Text {
	return map[string]Text{
		"personal": {"Dữ liệu cá nhân", "Personal data"}, "sensitive": {"Dữ liệu cá nhân nhạy cảm", "Sensitive personal data"},
		"required": {"Bắt buộc", "Required"}, "identifier": {"Định danh: phải đúng 100 %", "Identifier: must be 100 % right"},
	}
}

// formInput is a field of the form with its label and what is wrong with it.
type formInput struct {
	Name, Value string
	Label       Text
	Problem     *lienthong.Error
}

func inputOf(form *elementForm, name string) formInput {
	return formInput{Name: name, Value: form.Values[name], Label: fieldWords()[name], Problem: form.Problems[name]}
}
