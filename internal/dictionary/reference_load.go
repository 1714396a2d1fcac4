package dictionary

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
	"golang.org/x/text/unicode/norm"
)

// manifest is the form of reference/manifest.yaml.
type manifest struct {
	Version string   `yaml:"version"`
	Files   []Source `yaml:"files"`
}

// loader reads the CSV files of one edition and collects what is wrong.
type loader struct {
	problems *problems
	files    map[string][]byte
}

func (d *Dictionary) loadReference(p *problems, root fs.FS) {
	data, err := fs.ReadFile(root, "reference/manifest.yaml")
	if err != nil {
		p.add(0, "reference.missing", "không đọc được bảng kê dữ liệu tham chiếu", "the manifest of the reference data cannot be read: "+err.Error(), "")
		return
	}
	var m manifest
	decodeStrict(p, data, &m)
	if len(p.list) > 0 {
		return
	}
	l := &loader{problems: p, files: map[string][]byte{}}
	for i := range m.Files {
		l.open(root, &m.Files[i])
	}
	r := d.reference
	r.version, r.sources = m.Version, m.Files
	l.provinces(r)
	l.members(r)
	l.communes(r)
	l.links(r)
	l.databases(r)
	l.smallLists(r)
	d.lists = append(d.lists, r.communeList(), r.communeBeforeList(), r.provinceList(), r.birthProvinceList())
	for _, list := range d.lists {
		if list.ID == "province" || list.ID == "birth_province" {
			d.translations[list.ID] = translationOf(list)
		}
	}
}

// open reads one file and holds it to its digest. Carriage returns do not count.
func (l *loader) open(root fs.FS, source *Source) {
	data, err := fs.ReadFile(root, path.Join("reference", path.Base(source.File)))
	if err != nil {
		l.problems.add(source.Line, "reference.missing", "không đọc được "+source.File, "cannot read "+source.File+": "+err.Error(), "")
		return
	}
	if bytes.IndexByte(data, '\r') >= 0 {
		data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	}
	digest := sha256.Sum256(data)
	if hex.EncodeToString(digest[:]) != source.SHA256 {
		l.problems.add(source.Line, "reference.digest", source.File+": nội dung không khớp mã băm trong bảng kê", source.File+": the contents do not have the digest of the manifest", "sửa bảng kê khi thay dữ liệu / update the manifest when the data changes")
	}
	l.files[source.File] = data
	if rows := bytes.Count(data, []byte("\n")) - 1; rows != source.Rows {
		l.problems.add(source.Line, "reference.rows", fmt.Sprintf("%s: có %d dòng, bảng kê ghi %d", source.File, rows, source.Rows), fmt.Sprintf("%s has %d rows, the manifest says %d", source.File, rows, source.Rows), "")
	}
}

// rows visits the rows of a file with the named columns first, in that order.
func (l *loader) rows(name string, columns []string, visit func(row []string)) {
	data, known := l.files[name]
	if !known {
		l.problems.add(0, "reference.missing", "bảng kê thiếu "+name, "the manifest lacks "+name, "")
		return
	}
	reader := csv.NewReader(bytes.NewReader(data))
	reader.ReuseRecord = true
	header, err := reader.Read()
	if err != nil {
		l.problems.add(0, "reference.csv", name+": không đọc được", name+": "+err.Error(), "")
		return
	}
	index := make([]int, len(columns))
	for i, column := range columns {
		if index[i] = slices.Index(header, column); index[i] < 0 {
			l.problems.add(0, "reference.csv", fmt.Sprintf("%s thiếu cột %s", name, column), fmt.Sprintf("%s lacks column %s", name, column), "")
			return
		}
	}
	row := make([]string, len(columns))
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			l.problems.add(0, "reference.csv", name+": dòng không đúng", name+": "+err.Error(), "")
			return
		}
		for i, at := range index {
			row[i] = nfc(record[at])
		}
		visit(row)
	}
}

// nfc composes text; the published data mixes both forms.
func nfc(s string) string {
	if classify([]byte(s)) == textClean {
		return s
	}
	return norm.NFC.String(s)
}

func (l *loader) number(file, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		l.problems.add(0, "reference.csv", file+": không phải số", fmt.Sprintf("%s: %q is no number", file, s), "")
	}
	return n
}

func (l *loader) provinces(r *reference) {
	today := Reorganised()
	const file, old, history = "provinces.csv", "provinces_old63.csv", "province_history.csv"
	l.rows(file, []string{"code", "full_name_vi", "name_en", "centrally_run_city", "communes_total", "phuong", "xa", "dac_khu", "merged_from_old_codes", "h_code", "h_code_verified"}, func(row []string) {
		r.provinces = append(r.provinces, Province{
			Code: row[0], NameVi: row[1], NameEn: row[2], City: row[3] == "1",
			Communes: l.number(file, row[4]), Wards: l.number(file, row[5]), RuralCommunes: l.number(file, row[6]), SpecialZones: l.number(file, row[7]),
			MergedFrom: strings.Split(row[8], "+"), HCode: lienthong.MemberCode(row[9]), HCodeVerified: row[10] == "1",
			From: today, To: forever,
		})
	})
	l.rows(history, []string{"code", "full_name_vi", "name_en", "centrally_run_city", "valid_from", "valid_to"}, func(row []string) {
		from, okFrom := instantOf(row[4], "", always)
		to, okTo := instantOf(row[5], "", forever)
		i := slices.IndexFunc(r.provinces, func(p Province) bool { return p.Code == row[0] && p.From <= from && to < p.To })
		if i < 0 || !okFrom || !okTo {
			l.problems.add(0, "reference.csv", history+": giai đoạn của tỉnh "+row[0]+" không đúng", history+": bad period of province "+row[0], "")
			return
		}
		past := r.provinces[i]
		past.NameVi, past.NameEn, past.City, past.From, past.To = row[1], row[2], row[3] == "1", from, to
		r.provinces[i].From = to
		r.provinces = append(r.provinces, past)
	})
	l.rows(old, []string{"old_code", "full_name_vi", "new_code_since_2025_07_01", "h_code_qcvn102", "h_code_verified"}, func(row []string) {
		r.provinces = append(r.provinces, Province{
			Code: row[0], NameVi: row[1], NameEn: withoutDiacritics(withoutType(row[1])), City: strings.HasPrefix(row[1], "Thành phố "),
			MergedInto: row[2], HCode: lienthong.MemberCode(row[3]), HCodeVerified: row[4] == "1", From: always, To: today,
		})
	})
	slices.SortStableFunc(r.provinces, func(a, b Province) int {
		if order := strings.Compare(a.Code, b.Code); order != 0 {
			return order
		}
		if a.From < b.From {
			return -1
		}
		return 1
	})
}

// withoutType drops "Tỉnh" and "Thành phố".
func withoutType(name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(name, "Tỉnh "), "Thành phố ")
}

func withoutDiacritics(s string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(s) {
		switch {
		case r == 'đ':
			b.WriteByte('d')
		case r == 'Đ':
			b.WriteByte('D')
		case r >= 0x300 && r <= 0x36F:
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func (l *loader) members(r *reference) {
	const file = "organizations.csv"
	blocs := []lienthong.Bloc{
		lienthong.Government, lienthong.Party, lienthong.Assembly, lienthong.Presidency, lienthong.Court,
		lienthong.Procuracy, lienthong.StateAudit, lienthong.Front, lienthong.SocioPolitical,
	}
	r.memberIndex = map[lienthong.MemberCode]int{}
	add := func(member lienthong.Member) {
		if _, twice := r.memberIndex[member.Code]; twice {
			l.problems.add(0, "reference.twice", "cơ quan "+string(member.Code)+" có hai lần", "member "+string(member.Code)+" stands twice", "")
		}
		r.memberIndex[member.Code] = len(r.members)
		r.members = append(r.members, member)
	}
	l.rows(file, []string{"code", "code_official", "name_vi", "name_en", "bloc", "level"}, func(row []string) {
		code, err := lienthong.ParseMemberCode(row[0])
		if err != nil || !slices.Contains(blocs, lienthong.Bloc(row[4])) {
			l.problems.add(0, "reference.csv", file+": cơ quan không đúng mã hoặc khối", fmt.Sprintf("%s: bad code or bloc of %q", file, row[0]), "")
			return
		}
		add(lienthong.Member{Code: code, NameVi: row[2], NameEn: row[3], Bloc: lienthong.Bloc(row[4]), Level: row[5], Official: row[1] == "1"})
	})
	for i := range r.provinces {
		p := &r.provinces[i]
		if p.To != forever {
			continue
		}
		name := strings.Replace(strings.Replace(p.NameVi, "Tỉnh ", "tỉnh ", 1), "Thành phố ", "thành phố ", 1)
		add(lienthong.Member{
			Code: p.HCode, NameVi: "Ủy ban nhân dân " + name, NameEn: "People's Committee of " + p.NameEn,
			Bloc: lienthong.Government, Level: "province", Official: p.HCodeVerified,
		})
	}
}

func (l *loader) communes(r *reference) {
	today := Reorganised()
	r.today = make([]Unit, 0, bytes.Count(l.files["communes.csv"], []byte("\n")))
	l.rows("communes.csv", []string{"code", "full_name_vi", "type", "province_code"}, func(row []string) {
		r.today = append(r.today, Unit{Code: row[0], Name: row[1], Type: row[2], Province: row[3], From: today, To: forever, Sure: true})
	})
	r.todayIndex = l.index(r.today)
}

// index sorts units by code and refuses doubled ones.
func (l *loader) index(units []Unit) map[string]int32 {
	slices.SortFunc(units, func(a, b Unit) int { return strings.Compare(a.Code, b.Code) })
	index := make(map[string]int32, len(units))
	for i := range units {
		index[units[i].Code] = int32(i)
	}
	if len(index) != len(units) {
		l.problems.add(0, "reference.twice", "mã xã có hai lần", "a commune code stands twice", "")
	}
	return index
}

// links reads the links, and from them what is known of the communes of before.
func (l *loader) links(r *reference) {
	const file = "commune_mapping_old_to_new.csv"
	r.links = make([]Link, 0, bytes.Count(l.files[file], []byte("\n")))
	l.rows(file, []string{"new_code", "new_full_name", "new_province_code", "old_full_name", "old_code", "old_district", "old_province_code", "partial", "match", "source_text"}, func(row []string) {
		link := Link{
			NewCode: row[0], NewName: row[1], NewProvince: row[2], OldName: row[3], OldCode: row[4], OldDistrict: row[5],
			OldProvince: row[6], Partial: row[7] == "1", Match: LinkMatch(row[8]), Text: row[9],
		}
		codes := strings.Count(link.OldCode, "|")
		good := link.Match == ExactMatch && len(link.OldCode) == 5 ||
			link.Match == AmbiguousMatch && codes > 0 && strings.Count(link.OldDistrict, "|") == codes ||
			link.Match == NoMatch && link.OldCode == ""
		if _, known := r.todayIndex[link.NewCode]; !known || !good {
			l.problems.add(0, "reference.csv", file+": liên kết tới "+link.NewCode+" không đúng", file+": bad link to "+link.NewCode, "")
			return
		}
		r.links = append(r.links, link)
	})
	r.byOld = make([]linkKey, 0, len(r.links)+1024)
	r.byNew = make([]linkKey, 0, len(r.links))
	r.before = make([]Unit, 0, len(r.links))
	seen := make(map[string]int32, len(r.links))
	today := Reorganised()
	note := func(unit Unit) {
		unit.From, unit.To = always, today
		unit.Type = unitType(unit.Name)
		i, known := seen[unit.Code]
		switch {
		case !known:
			seen[unit.Code] = int32(len(r.before))
			r.before = append(r.before, unit)
		case r.before[i].Type == "" && unit.Type != "":
			r.before[i] = unit // a spelling with the type says more
		}
	}
	for i := range r.links {
		link := &r.links[i]
		at := int32(i)
		r.byNew = append(r.byNew, linkKey{link.NewCode, at})
		if link.Match == ExactMatch {
			r.byOld = append(r.byOld, linkKey{link.OldCode, at})
			note(Unit{Code: link.OldCode, Name: link.OldName, Province: link.OldProvince, District: link.OldDistrict, Sure: true})
		}
	}
	for i := range r.links { // what is sure has been noted; now what is not
		link := &r.links[i]
		if link.Match != AmbiguousMatch {
			continue
		}
		districts, provinces := strings.Split(link.OldDistrict, "|"), strings.Split(link.OldProvince, "|")
		for c, code := range link.Candidates() {
			r.byOld = append(r.byOld, linkKey{code, int32(i)})
			unit := Unit{Code: code, Name: link.OldName, District: districts[c]}
			if len(provinces) == 1 {
				unit.Province = provinces[0]
			}
			note(unit)
		}
	}
	order := func(a, b linkKey) int {
		if c := strings.Compare(a.code, b.code); c != 0 {
			return c
		}
		return int(a.link - b.link)
	}
	slices.SortFunc(r.byOld, order)
	slices.SortFunc(r.byNew, order)
	r.beforeIndex = l.index(r.before)
}

// unitType reads the type from a full name.
func unitType(name string) string {
	for _, known := range [...][2]string{{"Xã ", "xa"}, {"Phường ", "phuong"}, {"Thị trấn ", "thi_tran"}, {"Đặc khu ", "dac_khu"}} {
		if strings.HasPrefix(name, known[0]) {
			return known[1]
		}
	}
	return ""
}

func (l *loader) databases(r *reference) {
	codes := map[string][2]string{}
	l.rows("database_codes.csv", []string{"seq", "code", "name_en"}, func(row []string) {
		if !plainFieldName(row[1]) {
			l.problems.add(0, "reference.csv", "mã CSDL không đúng dạng", "bad database code "+row[1], "")
		}
		codes[row[0]] = [2]string{row[1], row[2]}
	})
	classes := []lienthong.DatabaseClass{lienthong.NationalDatabase, lienthong.SpecialisedDatabase, lienthong.PoliticalDatabase, lienthong.LocalDatabase}
	l.rows("databases.csv", []string{"seq", "name_vi", "class", "owner_code", "legal_basis", "confidence"}, func(row []string) {
		code, known := codes[row[0]]
		class := lienthong.DatabaseClass(row[2])
		if !known || !slices.Contains(classes, class) {
			l.problems.add(0, "reference.csv", "CSDL số "+row[0]+" thiếu mã ngắn hoặc sai loại", "database "+row[0]+" lacks a short code or has an unknown class", "")
			return
		}
		r.databases = append(r.databases, lienthong.Database{
			Code: code[0], NameVi: row[1], NameEn: code[1], Class: class,
			Owner: lienthong.MemberCode(row[3]), LegalBasis: row[4], Confidence: row[5],
		})
	})
}

func (l *loader) smallLists(r *reference) {
	l.rows("resolution_214_tasks.csv", []string{"task", "title_vi", "title_en", "owner", "due", "area"}, func(row []string) {
		r.tasks = append(r.tasks, Task{Code: row[0], TitleVi: row[1], TitleEn: row[2], Owner: row[3], Due: row[4], Area: row[5]})
	})
	const file = "readiness_criteria.csv"
	l.rows(file, []string{"criteria_id", "group", "question_vi_paraphrase"}, func(row []string) {
		r.readiness = append(r.readiness, ReadinessCriterion{ID: l.number(file, row[0]), Group: row[1], QuestionVi: row[2]})
	})
}

const (
	unitsSource = "Quyết định 19/2025/QĐ-TTg; Quyết định 124/2004/QĐ-TTg"
	linksSource = "Dữ liệu liên kết xã cũ - xã mới, trạng thái trước 01/7/2025"
)

// communeList holds the codes of both times with their dates.
func (r *reference) communeList() *CodeList {
	codes := r.communeCodes(Reorganised(), true)
	list := newCodeList("commune", "Đơn vị hành chính cấp xã", "Units of the commune tier", unitsSource, r.version, codes)
	list.reference = true
	list.setLinks(r.communeLinks())
	return list
}

// communeLinks are the links of the reference data whose old code is known, if only as one
// of several.
func (r *reference) communeLinks() []CodeLink {
	links := make([]CodeLink, 0, len(r.byOld))
	leaving, arriving := make(map[string]int, len(r.before)), make(map[string]int, len(r.today))
	for _, key := range r.byOld {
		leaving[key.code]++
		arriving[r.links[key.link].NewCode]++
	}
	for _, key := range r.byOld {
		link := &r.links[key.link]
		made := CodeLink{
			From: key.code, To: link.NewCode, At: Reorganised(), Kind: Renamed, Partial: link.Partial,
			Sure: link.Match == ExactMatch, Note: link.Text,
		}
		switch {
		case leaving[key.code] > 1 || link.Partial:
			made.Kind = Split
		case arriving[link.NewCode] > 1:
			made.Kind = Merged
		case key.code == link.NewCode && MatchKey(link.OldName) == MatchKey(link.NewName):
			made.Kind = Unchanged
		}
		links = append(links, made)
	}
	return links
}

// communeBeforeList is the state just before 1 July 2025 as a closed list: it is
// asked about values that say themselves that they are old, so it has no dates.
func (r *reference) communeBeforeList() *CodeList {
	codes := r.communeCodes(forever, false)
	list := newCodeList("commune_before", "Đơn vị hành chính cấp xã trước 01/7/2025", "Units of the commune tier before 1 July 2025", linksSource, r.version, codes)
	list.reference = true
	return list
}

// communeCodes merges the sorted units of before, valid until the instant, and those
// of today. A code of today whose unit of before is not in the links is taken to have been
// in use before as well: all but six of today's codes were, and a wrong accusation is
// worse than a missed one.
func (r *reference) communeCodes(until int64, withToday bool) []Code {
	codes := make([]Code, 0, len(r.before)+len(r.today)+100)
	b := 0
	for t := 0; t <= len(r.today); t++ {
		for b < len(r.before) && (t == len(r.today) || r.before[b].Code <= r.today[t].Code) {
			codes = append(codes, Code{Code: r.before[b].Code, NameVi: r.before[b].Name, From: always, To: until})
			b++
		}
		if t == len(r.today) {
			break
		}
		unit := &r.today[t]
		if _, known := r.beforeIndex[unit.Code]; !known {
			codes = append(codes, Code{Code: unit.Code, From: always, To: until})
		}
		if withToday {
			codes = append(codes, Code{Code: unit.Code, NameVi: unit.Name, From: unit.From, To: forever})
		}
	}
	return codes
}

func (r *reference) provinceList() *CodeList {
	codes := make([]Code, len(r.provinces))
	for i := range r.provinces {
		p := &r.provinces[i]
		codes[i] = Code{Code: p.Code, NameVi: p.NameVi, NameEn: p.NameEn, From: p.From, To: p.To}
	}
	list := newCodeList("province", "Tỉnh, thành phố", "Provinces", unitsSource, r.version, codes)
	list.reference = true
	list.setLinks(r.provinceLinks())
	return list
}

// provinceLinks: the mergers of 1 July 2025, and changes of name or type since.
func (r *reference) provinceLinks() []CodeLink {
	arriving := map[string]int{}
	for i := range r.provinces {
		arriving[r.provinces[i].MergedInto]++
	}
	var links []CodeLink
	for i := range r.provinces {
		p := &r.provinces[i]
		switch {
		case p.MergedInto != "":
			link := CodeLink{From: p.Code, To: p.MergedInto, At: p.To, Kind: Merged, Sure: true}
			if arriving[p.MergedInto] == 1 {
				link.Kind = Unchanged
			}
			links = append(links, link)
		case p.To != forever:
			links = append(links, CodeLink{From: p.Code, To: p.Code, At: p.To, Kind: Renamed, Sure: true})
		}
	}
	return links
}

// birthProvinceList holds the first three digits of personal numbers: the
// 2-digit codes of before 1 July 2025 with a zero. Numbers keep them for life.
func (r *reference) birthProvinceList() *CodeList {
	var codes []Code
	for i := range r.provinces {
		if p := &r.provinces[i]; p.MergedInto != "" {
			codes = append(codes, Code{Code: "0" + p.Code, NameVi: p.NameVi, NameEn: p.NameEn, From: always, To: forever, Aliases: []string{withoutType(p.NameVi)}})
		}
	}
	list := newCodeList("birth_province", "Mã tỉnh trong số định danh cá nhân", "Provinces in personal numbers", "Thông tư 59/2021/TT-BCA, Phụ lục I", r.version, codes)
	list.reference = true
	return list
}
