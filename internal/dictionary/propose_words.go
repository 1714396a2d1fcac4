package dictionary

import "strings"

// short spells an abbreviation out, likeliest first; nil: it is none.
func short(word string) []string {
	switch word {
	case "hvt", "hten":
		return []string{"ho va ten"}
	case "ht":
		return []string{"ho ten", "ho tich"}
	case "ns":
		return []string{"ngay sinh"}
	case "nsinh", "ngsinh":
		return []string{"ngay sinh"}
	case "ng":
		return []string{"ngay"}
	case "gt":
		return []string{"gioi tinh", "giay to"}
	case "gtinh":
		return []string{"gioi tinh"}
	case "gttt":
		return []string{"giay to tuy than"}
	case "dchi", "diachi", "addr", "dc":
		return []string{"dia chi"}
	case "dt":
		return []string{"dien thoai", "dien tich", "dan toc"}
	case "dthoai", "dtdd":
		return []string{"dien thoai"}
	case "sdt", "sodt":
		return []string{"so dien thoai"}
	case "dtoc":
		return []string{"dan toc"}
	case "tgiao":
		return []string{"ton giao"}
	case "qtich":
		return []string{"quoc tich"}
	case "qquan":
		return []string{"que quan"}
	case "dtich":
		return []string{"dien tich"}
	case "tthn":
		return []string{"tinh trang hon nhan"}
	case "hktt":
		return []string{"ho khau thuong tru"}
	case "mst":
		return []string{"ma so thue"}
	case "nnt":
		return []string{"nguoi nop thue"}
	case "dn":
		return []string{"doanh nghiep"}
	case "dv":
		return []string{"don vi"}
	case "xd":
		return []string{"xay dung"}
	case "msdn":
		return []string{"ma so doanh nghiep"}
	case "cty":
		return []string{"cong ty"}
	case "dkkd":
		return []string{"dang ky kinh doanh"}
	case "hkd":
		return []string{"ho kinh doanh"}
	case "lhdn":
		return []string{"loai hinh doanh nghiep"}
	case "ndd":
		return []string{"nguoi dai dien"}
	case "nddpl", "nddtpl":
		return []string{"nguoi dai dien phap luat"}
	case "ld":
		return []string{"lao dong"}
	case "hdld":
		return []string{"hop dong lao dong"}
	case "dl":
		return []string{"dieu le", "du lieu"}
	case "sx":
		return []string{"san xuat"}
	case "csd":
		return []string{"chu su dung"}
	case "mdsd":
		return []string{"muc dich su dung"}
	case "bd":
		return []string{"ban do", "ban dau"}
	case "gcn":
		return []string{"giay chung nhan"}
	case "qsdd":
		return []string{"quyen su dung dat"}
	case "gpxd":
		return []string{"giay phep xay dung"}
	case "gplx":
		return []string{"giay phep lai xe"}
	case "vs":
		return []string{"vao so"}
	case "dk":
		return []string{"dang ky"}
	case "dkbd":
		return []string{"dang ky kham chua benh ban dau"}
	case "kcb":
		return []string{"kham chua benh"}
	case "kcbbd":
		return []string{"kham chua benh ban dau"}
	case "cskcb":
		return []string{"co so kham chua benh"}
	case "bn":
		return []string{"benh nhan"}
	case "hs":
		return []string{"hoc sinh", "ho so"}
	case "sv":
		return []string{"sinh vien"}
	case "gv":
		return []string{"giao vien"}
	case "nv":
		return []string{"nhan vien"}
	case "nk":
		return []string{"nhan khau"}
	case "ks":
		return []string{"khai sinh"}
	case "kt":
		return []string{"khai tu"}
	case "nks":
		return []string{"tre"}
	case "nyc":
		return []string{"nguoi yeu cau"}
	case "cbccvc", "ccvc", "cbcc":
		return []string{"can bo"}
	case "no", "num", "nbr":
		return []string{"number"}
	case "perm":
		return []string{"permanent"}
	case "ttrang", "tthai":
		return []string{"tinh trang"}
	case "bq":
		return []string{"binh quan"}
	case "cb":
		return []string{"can bo", "co ban"}
	case "qd":
		return []string{"quyet dinh"}
	case "dvhc":
		return []string{"don vi hanh chinh"}
	case "tthc":
		return []string{"thu tuc hanh chinh"}
	case "tp":
		return []string{"thanh pho"}
	case "pl":
		return []string{"phap ly"}
	}
	return nil
}

// sideWords are words of columns that stand for no element, and of abbreviations: a name without separators
// may be made of them too.
func sideWords() []string {
	return strings.Fields("ghi chu trang thai phong ban khoa tinh huyen xa phuong thon ban to khu pho duong hoc sinh benh nhan nhan vien khach hang can bo " +
		"giay to tuy than so ma ten ngay thang nam gio noi loai nhom ket qua noi dung tai khoan vao ra nop lap nhap nguoi tao sua xoa file scan hinh anh " +
		"dai dien phap luat tru so cccd cmnd bhyt bhxh mst thua chu ho chu xe trinh do luong co ban khung may bien mau nhan hieu cho toan diem " +
		"cmt hang gcn can cuoc cong dan ban do la le phi tien don vi gia qua trinh khai tu dang ky birth date full name phone number address date code id no hoten ngaysinh gioitinh")
}

// phraseTable writes equal notions alike: each line is a sign and the phrases that mean it. Longer phrases win.
func phraseTable() map[string][][2][]string {
	table := map[string][][2][]string{}
	for line := range strings.Lines(notions) {
		sign, phrases, _ := strings.Cut(strings.TrimSpace(line), ":")
		for phrase := range strings.SplitSeq(phrases, ",") {
			from := strings.Fields(phrase)
			if len(from) == 0 {
				continue
			}
			rules := table[from[0]]
			at := 0
			for at < len(rules) && len(rules[at][0]) >= len(from) {
				at++
			}
			table[from[0]] = append(rules[:at:at], append([][2][]string{{from, strings.Fields(sign)}}, rules[at:]...)...)
		}
	}
	return table
}

const notions = `
	@dinhdanh: so dinh danh ca nhan, so dinh danh, dinh danh ca nhan, ma dinh danh ca nhan, ma so dinh danh, so ddcn, ddcn, so cccd, cccd, so can cuoc cong dan, can cuoc cong dan, so can cuoc, can cuoc, so the can cuoc, the can cuoc, personal number, personal identification number, citizen id, national id, identity number, id number, id card, so giay to tuy than, giay to tuy than, identity card
	@cmnd: so chung minh nhan dan, chung minh nhan dan, so cmnd, cmnd, so cmt, cmt, chung minh thu, so chung minh thu, so chung minh nhan dan 9 so
	@hoten: ho va ten, ho ten, hoten, ho chu dem va ten, ho chu dem ten, full name, fullname, ten day du, person name
	@ngaysinh: ngay sinh, ngaysinh, ngay thang nam sinh, date of birth, dob, birth date, birthdate, birthday, birth day, sinh ngay
	@gioitinh: gioi tinh, gioitinh, sex, gender, phai, sex code
	@dienthoai: so dien thoai, dien thoai, so dien thoai di dong, dien thoai di dong, di dong, so di dong, phone number, phone, mobile, mobile number, mobile phone, telephone, tel, telephone number
	@email: thu dien tu, email, e mail, mail, email address, e mail address, hop thu
	@diachi: dia chi, diachi, address
	@cha: nguoi cha, cha, bo, father
	@me: nguoi me, me, mother
	@vochong: vo hoac chong, vo chong, spouse
	@vo: vo, wife
	@chong: chong, husband
	@con: con, tre, tre em, child
	@chuho: chu ho gia dinh, chu ho, chuho
	@hkd @chu: chu ho kinh doanh, chu hkd
	@hkd: ho kinh doanh
	@daidien: nguoi dai dien phap luat, nguoi dai dien, nguoi dai dien theo phap luat, legal representative, representative
	@giamho: nguoi giam ho, giam ho, guardian
	@khai: nguoi di dang ky, nguoi yeu cau, nguoi khai, informant
	@chet: nguoi chet, deceased
	@chuxe: chu xe, chu phuong tien, vehicle owner
	@chusd: nguoi su dung dat, chu su dung dat, chu su dung, ten chu su dung, chu dat
	@ky: nguoi ky, signer, signed by
	@mst: ma so thue, tax code, tax id
	@bhyt: bao hiem y te, bhyt, health insurance
	@bhxh: bao hiem xa hoi, bhxh, social insurance
	@gcn: giay chung nhan
	@coquan: co quan to chuc, organisation, organization
	@dantoc: dan toc, dantoc, ethnic group, ethnicity, ethnic
	@tongiao: ton giao, tongiao, religion
	@quoctich: quoc tich, nationality
	@quequan: que quan, nguyen quan, quequan, hometown, home town
	@noisinh: noi sinh, noisinh
	@nhanhieu: nhan hieu, hang xe, make, brand
	@tinhtrang: tinh trang, trang thai, status
	@ngaycap: ngay cap, issue date
	ngay @capnhat: ngay cap nhat
	@capnhat: cap nhat
	@noicap: noi cap, issue place, issuer
	@thuongtru: thuong tru, permanent, ho khau thuong tru
	@tamtru: tam tru, temporary
	@hientai: hien tai, hien nay, current
	@dientich: dien tich, area
	@sinhvien: sinh vien
	@hocsinh: hoc sinh
	@nhanvien: nhan vien
	@giaovien: giao vien
	@benhnhan: benh nhan
	@khachhang: khach hang
	@canbo: can bo
	@congchuc: cong chuc
	@doanhnghiep: doanh nghiep
	@congty: cong ty
	@donvi: don vi
	@tochuc: to chuc
	@hoso: ho so
	@quanhe: quan he, moi quan he
	@nghenghiep: nghe nghiep
	@trinhdo: trinh do
	@giayto: giay to
	@loaihinh: loai hinh
	@taisan: tai san
	@congtrinh: cong trinh
	@thuadat: thua dat
	@thutuc: thu tuc
	@vanban: van ban
	@vanbang: van bang
	@phuongtien: phuong tien
	@nhankhau: nhan khau
	@laodong: lao dong
	@hokhau: ho khau
	@giadinh: gia dinh
	@kinhdoanh: kinh doanh
	@xaydung: xay dung
	@nguoinopthue: nguoi nop thue
	@diadanh: dia danh
	@truonghoc: truong hoc
	@kethon: ket hon
	@khaisinh: khai sinh
	@khaitu: khai tu
	@lyhon: ly hon
	@hochieu: ho chieu
	@banglai: bang lai
	@dangkiem: dang kiem
	@truso: tru so
	@conlai: con lai
	@hopdong: hop dong
	@kcbbd: kham chua benh ban dau, kham benh chua benh ban dau, dang ky kham chua benh ban dau, dang ky kham benh chua benh ban dau, kcb ban dau
	@nndc: nguoi dung dau, thu truong
`
