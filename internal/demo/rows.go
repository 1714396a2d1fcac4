package demo

import (
	"strconv"
	"time"
)

// A row is text, one string per column. An empty string is no value.

func personColumns() []string {
	return []string{
		"ma_ban_ghi", "so_dinh_danh", "ho_dem", "ten", "ngay_sinh", "gioi_tinh", "dan_toc", "noi_sinh",
		"tinh_trang_hon_nhan", "so_dien_thoai", "email", "so_dinh_danh_cha", "so_dinh_danh_me", "dia_chi",
		"ma_xa_cu", "ma_xa", "xac_minh_luc", "cap_nhat_luc",
	}
}

// Columns of the population table that are not text in PostgreSQL.
const (
	columnBorn     = 4
	columnVerified = 16
	columnUpdated  = 17
)

// localDate is how the older systems write dates; PostgreSQL takes time.DateOnly.
const localDate = "02/01/2006"

// personRow writes the person's row over dst.
func (w *World) personRow(dst []string, i int, dates string) []string {
	p := &w.people[i]
	number := personalNumber(p.number())
	family, given := w.familyAndMiddle(p), w.names.words[p.given]
	born, isMale := p.born, p.male()
	phone, email := w.phone(p), w.email(p)
	address, commune := w.address(p), w.places.communes[p.commune].code
	ethnic, status := twoDigits(int(p.ethnic)), maritalWord(p)
	father, mother := w.numberOf(p.father), w.numberOf(p.mother)
	switch p.defect {
	case personNoAddress:
		address = ""
	case personNoEthnicity:
		ethnic = ""
	case personNoMarital:
		status = ""
	case personShortNumber:
		number = number[:11]
	case personLetterInNumber:
		number = number[:7] + "O" + number[8:] // a letter typed for a zero
	case personBadPhone:
		phone = "84" + strconv.FormatUint(scatter(w.config.Seed, p.salt, 11)%900_000+100_000, 10)
	case personDigitInName:
		given += "1"
	case personBadEmail:
		email = w.names.plain[p.given] + strconv.Itoa(yearOf(p.born)) + "hopthu.example"
	case personNoSuchCommune:
		commune = "99" + padded("", int(scatter(w.config.Seed, p.salt, 12)%1000), 3)
	case personNoSuchFather:
		father = w.stranger(p.salt)
	case personOtherSex:
		isMale = !isMale
	case personOtherYear:
		born -= days(3) + int32(scatter(w.config.Seed, p.salt, 13)%2200)
	}
	sex := "2"
	if isMale {
		sex = "1"
	}
	return append(dst[:0],
		personKey(i), number, family, given, day(born, dates), sex, ethnic, number3(p.province), status, phone, email,
		father, mother, address, w.places.links[p.link].code, commune, moment(p.verified), moment(p.updated))
}

func birthColumns() []string {
	return []string{
		"ma_ban_ghi", "so_dang_ky", "ngay_dang_ky", "so_dinh_danh_con", "ho_ten_con", "ngay_sinh_con", "gioi_tinh_con",
		"so_dinh_danh_me", "so_dinh_danh_cha", "cap_nhat_luc",
	}
}

func (w *World) birthRow(dst []string, i int) []string {
	b := &w.births[i]
	child := &w.people[b.child]
	number, name, born, isMale := personalNumber(child.number()), w.fullName(child), child.born, child.male()
	mother, father := w.numberOf(child.mother), w.numberOf(child.father)
	registered, book := b.registered, bookNumber("KS", i, b.registered)
	salt := uint32(i)
	switch b.defect {
	case birthNoBook:
		book = ""
	case birthNoMother:
		mother = ""
	case birthRegisteredInFuture:
		registered = w.today + days(1.5) + int32(salt%400)
	case birthShortNumber:
		number = number[:11]
	case birthNoSuchMother:
		mother = w.stranger(salt)
	case birthNoSuchFather:
		father = w.stranger(salt)
	case birthRegisteredBefore:
		registered = born - 20 - int32(salt%300)
	case birthOtherSex:
		isMale = !isMale
	case birthOtherName:
		name = w.otherName(child, salt)
	case birthOtherDate:
		born -= 1 + int32(salt%30)
	}
	sex := "Nữ"
	if isMale {
		sex = "Nam"
	}
	return append(dst[:0], birthKey(i), book, day(registered, localDate), number, name, day(born, localDate), sex, mother, father, moment(b.updated))
}

func marriageColumns() []string {
	return []string{"ma_ban_ghi", "so_dang_ky", "ngay_dang_ky", "ngay_ket_hon", "so_dinh_danh_chong", "so_dinh_danh_vo", "cap_nhat_luc"}
}

func (w *World) marriageRow(dst []string, i int) []string {
	m := &w.marriages[i]
	husband, wife := w.numberOf(m.husband), w.numberOf(m.wife)
	registered, book := m.registered, bookNumber("KH", i, m.registered)
	salt := uint32(i)
	switch m.defect {
	case marriageNoBook:
		book = ""
	case marriageRegisteredInFuture:
		registered = w.today + days(1.5) + int32(salt%400)
	case marriageShortNumber:
		husband = husband[:11]
	case marriageNoSuchHusband:
		husband = w.stranger(salt)
	case marriageNoSuchWife:
		wife = w.stranger(salt)
	case marriageRegisteredBefore:
		registered = m.event - 15 - int32(salt%300)
	}
	return append(dst[:0], marriageKey(i), book, day(registered, localDate), day(m.event, localDate), husband, wife, moment(m.updated))
}

func deathColumns() []string {
	return []string{
		"ma_ban_ghi", "so_dang_ky", "ngay_dang_ky", "so_dinh_danh", "ho_ten", "ngay_sinh", "ngay_chet", "nguyen_nhan", "cap_nhat_luc",
	}
}

func (w *World) deathRow(dst []string, i int) []string {
	d := &w.deaths[i]
	p := &w.people[d.person]
	number, name := personalNumber(p.number()), w.fullName(p)
	died, registered, book, cause := d.died, d.registered, bookNumber("KT", i, d.registered), causes()[d.cause]
	salt := uint32(i)
	switch d.defect {
	case deathNoBook:
		book = ""
	case deathNoCause:
		cause = ""
	case deathRegisteredInFuture:
		registered = w.today + days(1.5) + int32(salt%400)
	case deathShortNumber:
		number = number[:11]
	case deathNoSuchPerson:
		number = w.stranger(salt)
	case deathBeforeBirth:
		died = p.born - 100 - int32(salt%700)
	case deathOtherName:
		name = w.otherName(p, salt)
	}
	return append(dst[:0], deathKey(i), book, day(registered, localDate), number, name, day(p.born, localDate), day(died, localDate), cause, moment(d.updated))
}

func causes() []string {
	return []string{
		"Tuổi già", "Đột quỵ", "Bệnh tim mạch", "Ung thư phổi", "Ung thư gan", "Bệnh phổi tắc nghẽn mạn tính", "Tai nạn giao thông",
		"Đái tháo đường", "Suy thận mạn", "Xơ gan", "Nhồi máu cơ tim", "Viêm phổi", "Tuổi già", "Đột quỵ",
	}
}

func householdColumns() []string {
	return []string{
		"Mã bản ghi", "Số hộ", "Số định danh chủ hộ", "Họ và tên chủ hộ", "Điện thoại", "Địa chỉ", "Mã xã", "Số nhân khẩu", "Diện hộ", "Ngày cập nhật",
	}
}

// columnMembers is a number in the workbook, not a text.
const columnMembers = 7

func (w *World) householdRow(dst []string, i int) []string {
	h := &w.households[i]
	p := &w.people[h.head]
	code := w.config.Communes[h.commune]
	number, name, phone := personalNumber(p.number()), w.fullName(p), w.phone(p)
	address, members, updated := w.houseLine(p), int(h.members), h.updated
	switch h.defect {
	case householdNoAddress:
		address = ""
	case householdNoMembers:
		members = 0
	case householdTooMany:
		members = 99
	case householdBadPhone:
		phone = "0290" + strconv.Itoa(int(h.serial%1000)) // a fixed line without its area's last digits
	case householdNoSuchHead:
		number = w.stranger(h.serial)
	case householdStale:
		updated = w.minute - days(4)*minutesADay - int32(h.serial%1000)*minutesADay
	case householdOtherName:
		name = w.otherName(p, h.serial)
	}
	return append(dst[:0], w.householdKey(h), padded(code+"/", int(h.number), 5), number, name, phone, address, code,
		strconv.Itoa(members), povertyWords()[h.poverty], day(updated/minutesADay, localDate))
}

func povertyWords() []string {
	return []string{"Hộ nghèo", "Hộ cận nghèo", "Hộ có mức sống trung bình", "Hộ khác"}
}

func parcelColumns() []string {
	return []string{
		"thao_tac", "ma_ban_ghi", "ma_xa", "so_to", "so_thua", "dien_tich", "loai_dat", "so_dinh_danh_chu", "ten_chu", "so_gcn", "ngay_cap_gcn", "cap_nhat_luc",
	}
}

// parcelRow writes a row of a parcel file; operation is empty for a row as it is
// now, and "X" (xoá) for one that is gone.
func (w *World) parcelRow(dst []string, i int, operation string) []string {
	p := &w.parcels[i]
	owner := &w.people[p.owner]
	number, name := personalNumber(owner.number()), w.fullName(owner)
	area := strconv.Itoa(int(p.area/10)) + "." + strconv.Itoa(int(p.area%10))
	purpose, issued, updated := purposes()[p.purpose].code, day(p.certificate, localDate), p.updated
	certificate := padded(certificateSeries(p.certificate)+" ", int(scatter(w.config.Seed, p.serial, 31+uint64(p.commune))%1_000_000), 6)
	switch p.defect {
	case parcelNoPurpose:
		purpose = ""
	case parcelNegative:
		area = "-" + area
	case parcelOldCertificate:
		issued = day(dayOf(1850, time.January, 1)+int32(p.serial%5000), localDate)
	case parcelBadCertificate:
		certificate = strconv.Itoa(int(p.serial)) + "/GCN"
	case parcelNoSuchOwner:
		number = w.stranger(p.serial)
	case parcelStale:
		updated = w.minute - days(4)*minutesADay - int32(p.serial%1000)*minutesADay
	case parcelOtherName:
		name = w.otherName(owner, p.serial)
	}
	return append(dst[:0], operation, w.parcelKey(p), w.config.Communes[p.commune], strconv.Itoa(int(p.sheet)), strconv.Itoa(int(p.number)),
		area, purpose, number, name, certificate, issued, moment(updated))
}

// certificateSeries are the two letters in front of a certificate's number; they went
// up with the years.
func certificateSeries(issued int32) string {
	y := yearOf(issued)
	first := byte('A')
	switch {
	case y >= 2020:
		return "D" + string(byte('A'+y-2020))
	case y >= 2010:
		first = 'B' + byte((y-2010)/6)
	}
	return string(first) + string(byte('A'+y%20))
}

func (w *World) familyAndMiddle(p *person) string {
	surname, middle := w.names.words[p.surname], w.names.words[p.middle]
	switch {
	case surname == "":
		return middle
	case middle == "":
		return surname
	}
	return surname + " " + middle
}

func (w *World) fullName(p *person) string {
	return w.familyAndMiddle(p) + " " + w.names.words[p.given]
}

// otherName is the person's name with another given name: what a slip of the pen in
// the book looks like.
func (w *World) otherName(p *person, salt uint32) string {
	pool := &w.names.north.givenFem[1]
	if p.male() {
		pool = &w.names.north.givenMale[1]
	}
	for n := uint64(0); ; n++ {
		if word := pool.words[scatter(w.config.Seed, salt, 70+n)%uint64(len(pool.words))]; word != p.given {
			return w.familyAndMiddle(p) + " " + w.names.words[word]
		}
	}
}

// numberOf is the personal number of somebody, or empty for nobody.
func (w *World) numberOf(i int32) string {
	if i < 0 {
		return ""
	}
	return personalNumber(w.people[i].number())
}

func personalNumber(n uint64) string {
	var digits [12]byte
	for i := 11; i >= 0; i-- {
		digits[i] = '0' + byte(n%10)
		n /= 10
	}
	return string(digits[:])
}

// phone is a mobile number of one of the operators; children have none.
func (w *World) phone(p *person) string {
	x := scatter(w.config.Seed, p.salt, 1)
	if p.born > w.today-days(14) || x%100 < 12 {
		return ""
	}
	prefixes := [...]string{
		"032", "033", "034", "035", "036", "037", "038", "039", "086", "096", "097", "098", // Viettel
		"096", "097", "098", "034", "035", "036", "070", "076", "077", "078", "079", "089", "090", "093", // MobiFone
		"090", "093", "081", "082", "083", "084", "085", "088", "091", "094", "091", "094", "056", "058", "092", "059", "099",
	}
	return padded(prefixes[x>>8%uint64(len(prefixes))], int(x>>32%10_000_000), 7)
}

func (w *World) email(p *person) string {
	x := scatter(w.config.Seed, p.salt, 2)
	if p.born > w.today-days(15) || p.born < w.today-days(66) || x%100 < 55 {
		return ""
	}
	given, rest := w.names.plain[p.given], w.names.plain[p.surname]+w.names.plain[p.middle]
	suffix := ""
	switch x >> 8 % 3 {
	case 0:
		suffix = strconv.Itoa(yearOf(p.born))
	case 1:
		suffix = twoDigits(yearOf(p.born) % 100)
	default:
		suffix = strconv.Itoa(int(x >> 16 % 1000))
	}
	if x>>40&1 == 0 {
		return given + "." + rest + suffix + "@hopthu.example"
	}
	return rest + given + suffix + "@thudientu.example"
}

// maritalWord is the word that clerks write; it goes with the sex.
func maritalWord(p *person) string {
	switch p.marital {
	case single:
		return "Chưa kết hôn"
	case married:
		return "Đã kết hôn"
	case divorced:
		return "Đã ly hôn"
	case widowed:
		if p.male() {
			return "Goá vợ"
		}
		return "Goá chồng"
	}
	return ""
}

func bookNumber(kind string, i int, registered int32) string {
	return strconv.Itoa(i%480+1) + "/" + kind + "-" + strconv.Itoa(yearOf(registered))
}

// day writes a date: localDate or time.DateOnly.
func day(d int32, layout string) string {
	return time.Unix(int64(d)*86400, 0).UTC().Format(layout)
}

// moment writes a time as Vietnamese clocks show it.
func moment(minute int32) string {
	return time.Unix(int64(minute)*60, 0).In(time.FixedZone("", 7*3600)).Format(time.RFC3339)
}

func dayInYear(d int32) int { return time.Unix(int64(d)*86400, 0).UTC().YearDay() }

func twoDigits(n int) string {
	return string([]byte{'0' + byte(n/10%10), '0' + byte(n%10)})
}

func number3(n uint8) string { return "0" + twoDigits(int(n)) }
