package linkage

// Organisation is a record about an enterprise, cooperative or household business, as its
// source has it. Everything but the ID may be missing.
type Organisation struct {
	ID             string
	Name           string // with its legal form, in Vietnamese or English, abbreviated or not
	TaxCode        string // 10 digits, and 3 more for a branch
	BusinessNumber string // of the registration certificate, where it is not the tax code
	Phone          string
	Commune        string // code of today
	CommuneBefore  string // code of before 1 July 2025, used where Commune is empty
	Founded        Date
}

// organisation is a record as it is kept: 56 bytes, and shared words.
type organisation struct {
	tax, business, phone digits
	core                 uint32 // the name without what every firm's name has
	activities           uint32
	commune              uint32
	founded              packedDate
	suffix               uint16 // of the tax code of a branch, + 1
	form                 legalForm
	branch               bool
}

// The fields that organisations are compared in.
const (
	firmName = iota
	firmTax
	firmBusiness
	firmForm
	firmFounded
	firmContact
)

// The levels of a firm's name.
const (
	firmNameMissing    uint8 = iota
	firmNameSame             // to the mark, and the same activities
	firmNameWritten          // the same, written without some or all marks
	firmNameActivities       // the same, one says more about what it does
	firmNameOrder            // the same words in another order
	firmNameWord             // one lacks a word
	firmNameSlip             // one word misspelt, or words written as one
	firmNameRival            // one similar word differs, and both are in use
	firmNameElse             // the same, but doing other things
	firmNamePart             // some of it
	firmNameOther
)

// The level of a tax code beyond those of a number.
const taxBranch = numberOther + 1

func organisationFields() []field {
	tax := numberField("tax_code", "Mã số thuế", "Tax code", .02)
	tax.levels = append(tax.levels, level{id: "branch", vi: "cùng doanh nghiệp, khác mã chi nhánh", en: "the same enterprise, another branch", m: .001, u: 1e-5, most: .002})
	return []field{
		firmName: {
			id: "name", vi: "Tên", en: "Name", rarity: true,
			levels: []level{
				missing(),
				{"same", "tên riêng và ngành nghề giống hệt nhau", "proper name and activities are the same", .44, 5e-6, 1, 0},
				{"written", "tên riêng giống nhau, khác dấu", "the same proper name but for diacritics", .12, 2e-6, 1, 0},
				{"activities", "tên riêng giống nhau, một bên ghi thêm ngành nghề", "the same proper name, one says more about its activities", .20, 3e-5, 1, 0},
				{"order", "cùng các chữ, khác thứ tự", "the same words in another order", .02, 1e-5, 1, .05},
				{"word", "một bên thiếu một chữ", "one of the names lacks a word", .04, 5e-5, .6, .10},
				{"slip", "khác nhau do một chữ viết sai hoặc viết liền", "the names differ by a misspelt word or a missing space", .08, 2e-5, .5, 0},
				{"rival", "khác nhau một chữ gần giống, cả hai đều thường gặp", "one similar word differs, and both are in use", .02, 1e-3, .5, .05},
				{"else", "tên riêng giống nhau, ngành nghề khác nhau", "the same proper name, other activities", .03, 2e-4, 1, .06},
				{"part", "trùng một phần tên", "part of the name agrees", .02, 5e-2, .4, .04},
				{"other", "tên khác nhau", "the names are different", .01, .95, 0, .02},
			},
		},
		firmTax:      tax,
		firmBusiness: numberField("business_number", "Số đăng ký kinh doanh", "Business registration number", .06),
		firmForm: {
			id: "form", vi: "Loại hình", en: "Legal form",
			levels: []level{
				missing(),
				{id: "same", vi: "cùng loại hình", en: "the same legal form", m: .95, u: .5},
				{id: "other", vi: "khác loại hình", en: "another legal form", m: .05, u: .5, most: .10},
			},
		},
		firmFounded: dateField("founded", "Ngày thành lập", "Date of foundation"),
		firmContact: {
			id: "contact", vi: "Liên hệ", en: "Contact",
			levels: []level{
				missing(),
				{id: "both", vi: "trùng số điện thoại và cùng xã", en: "telephone and commune agree", m: .55, u: 1e-6},
				{id: "phone", vi: "trùng số điện thoại", en: "the telephone agrees", m: .10, u: 5e-6},
				{id: "here", vi: "chỉ trùng xã", en: "only the commune agrees", m: .20, u: 5e-4},
				{id: "none", vi: "không điểm nào trùng", en: "nothing agrees", m: .15, u: 1, most: .40},
			},
		},
	}
}

// The keys by which organisations are brought together.
const (
	byTaxHead = iota
	byTaxTail
	byBusiness
	byFirmPhone
	byCore
	byJoined
	byFoundedFirst
	byFoundedLast
	byCommuneFirst
	byCommuneLast
	firmPasses
)

func organisationBlocking() []pass {
	return []pass{
		byTaxHead:      {"tax.head", "5 chữ số đầu của mã số thuế và chữ đầu của tên riêng", "first 5 digits of the tax code and first word of the proper name"},
		byTaxTail:      {"tax.tail", "5 chữ số cuối của mã số thuế", "last 5 digits of the tax code"},
		byBusiness:     {"business_number", "số đăng ký kinh doanh", "business registration number"},
		byFirmPhone:    {"phone", "số điện thoại", "telephone number"},
		byCore:         {"name", "tên riêng không dấu, thứ tự bất kỳ", "proper name without diacritics, in any order"},
		byJoined:       {"name.joined", "tên riêng không dấu viết liền", "proper name without diacritics and spaces"},
		byFoundedFirst: {"founded.first", "ngày thành lập và chữ đầu của tên riêng", "date of foundation and first word of the proper name"},
		byFoundedLast:  {"founded.last", "ngày thành lập và chữ cuối của tên riêng", "date of foundation and last word of the proper name"},
		byCommuneFirst: {"commune.first", "xã và chữ đầu của tên riêng", "commune and first word of the proper name"},
		byCommuneLast:  {"commune.last", "xã và chữ cuối của tên riêng", "commune and last word of the proper name"},
	}
}

// Organisations is a register of organisations.
type Organisations struct {
	register
	lexicon  *lexicon
	parser   *firmParser
	communes *communes
	records  []organisation
}

// NewOrganisations makes an empty register.
func NewOrganisations(config Config) *Organisations {
	o := &Organisations{lexicon: newLexicon(), communes: newCommunes(config.Successors)}
	o.parser = newFirmParser(o.lexicon)
	o.init("organisation", config, organisationFields(), organisationBlocking(), o)
	return o
}

// Add puts a record in, or in the place of the one with the same ID.
func (o *Organisations) Add(record *Organisation) error {
	if record.ID == "" {
		return noID()
	}
	slot := o.slot([]byte(record.ID))
	if int(slot) == len(o.records) {
		o.records = append(o.records, organisation{})
	}
	o.fill(&o.records[slot], record)
	o.rekey(slot)
	return nil
}

func (o *Organisations) fill(r *organisation, record *Organisation) {
	firm := o.parser.parse(record.Name)
	*r = organisation{
		business: registrationNumber(record.BusinessNumber), phone: phoneNumber(record.Phone),
		core: firm.core, activities: firm.activities, form: firm.form, branch: firm.branch,
		commune: o.communes.number(record.Commune, record.CommuneBefore), founded: packDate(record.Founded),
	}
	r.tax, r.suffix = taxCode(record.TaxCode)
	if r.suffix != 0 {
		r.branch = true
	}
}

// taxCode reads a tax code: 10 digits, 3 more for a branch, or the 12 of a personal number.
func taxCode(text string) (code digits, suffix uint16) {
	d := parseDigits(text)
	n := d.count()
	switch n {
	case 13:
		last := d.tail(3)
		suffix = uint16(last>>8*100+last>>4&15*10+last&15) + 1
		d = digits(uint64(10)<<60 | d.head(10))
	case 9:
		if d.head(1) == 0 {
			break
		}
		d = d.padded(10)
	case 8, 10, 11, 12:
	default:
		return 0, 0
	}
	if d.placeholder() {
		return 0, 0
	}
	return d, suffix
}

// registrationNumber reads the number of a certificate, in which letters may stand: each
// character becomes four bits.
func registrationNumber(text string) digits {
	value, n, real := uint64(0), 0, 0
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= '0' && c <= '9':
			value, real = value<<4|uint64(c-'0'), real+1
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			value = value<<4 | uint64(10+(c|0x20-'a')%6)
		case c == ' ' || c == '.' || c == '-' || c == '/':
			continue
		default:
			return 0
		}
		if n++; n > 14 {
			return 0
		}
	}
	d := digits(uint64(n)<<60 | value)
	if n < 6 || real < 5 || d.placeholder() {
		return 0
	}
	return d
}

func (o *Organisations) keys(slot uint32, dst []uint32) {
	r := &o.records[slot]
	hash := func(at int) uint64 { return o.lexicon.plainSet.hashes[o.lexicon.plainAt(r.core, at)] }
	if r.tax != 0 {
		if r.core != 0 {
			dst[byTaxHead] = blockKey(byTaxHead, r.tax.head(5), hash(0))
		}
		dst[byTaxTail] = blockKey(byTaxTail, r.tax.tail(5), 0)
	}
	if r.business != 0 {
		dst[byBusiness] = blockKey(byBusiness, uint64(r.business), 0)
	}
	if r.phone != 0 {
		dst[byFirmPhone] = blockKey(byFirmPhone, uint64(r.phone), 0)
	}
	if r.core == 0 {
		return
	}
	info := &o.lexicon.info[r.core]
	dst[byCore] = blockKey(byCore, uint64(info.sorted), 0)
	dst[byJoined] = blockKey(byJoined, uint64(info.joined), 0)
	if r.founded.full() {
		dst[byFoundedFirst] = blockKey(byFoundedFirst, uint64(r.founded), hash(0))
		dst[byFoundedLast] = blockKey(byFoundedLast, uint64(r.founded), hash(-1))
	}
	if r.commune != 0 {
		commune := uint64(o.communes.first(r.commune))
		dst[byCommuneFirst] = blockKey(byCommuneFirst, commune, hash(0))
		dst[byCommuneLast] = blockKey(byCommuneLast, commune, hash(-1))
	}
}

func (o *Organisations) compare(a, b uint32, v *vector) {
	x, y := &o.records[a], &o.records[b]
	*v = vector{}
	v.levels[firmName], v.rarity = o.relate(x, y)
	v.levels[firmTax] = numberLevel(compareDigits(x.tax, y.tax))
	if v.levels[firmTax] == numberSame && x.suffix != y.suffix {
		v.levels[firmTax] = taxBranch
	}
	v.levels[firmBusiness] = numberLevel(compareDigits(x.business, y.business))
	if x.form != formUnknown && y.form != formUnknown {
		v.levels[firmForm] = 1
		if x.form != y.form {
			v.levels[firmForm] = 2
		}
	}
	v.levels[firmFounded] = compareDates(x.founded, y.founded)
	phone, here := compareDigits(x.phone, y.phone), o.communes.compare(x.commune, y.commune)
	called := phone == alike || phone == slipped
	switch {
	case called && here == alike:
		v.levels[firmContact] = 1
	case called:
		v.levels[firmContact] = 2
	case here == alike:
		v.levels[firmContact] = 3
	case phone == unlike || here == unlike:
		v.levels[firmContact] = 4
	}
}

// relate compares the proper names, and what the names say about activities.
func (o *Organisations) relate(x, y *organisation) (uint8, rarity) {
	core := o.lexicon.relate(x.core, y.core)
	level := firmNameOther
	switch core.relation {
	case namesMissing:
		return firmNameMissing, 0
	case namesSame, namesUnmarked, namesMarks:
		common := x.activities & y.activities
		switch {
		case common != x.activities && common != y.activities:
			level = firmNameElse
		case x.activities != y.activities:
			level = firmNameActivities
		case core.relation == namesSame:
			level = firmNameSame
		default:
			level = firmNameWritten
		}
	case namesOrder:
		level = firmNameOrder
	case namesWord:
		level = firmNameWord
	case namesSlip:
		level = firmNameSlip
	case namesRival:
		level = firmNameRival
	case namesMiddle, namesLast, namesFirst:
		level = firmNamePart
	case namesOther:
	}
	return level, core.rarity
}

func (o *Organisations) limit(v *vector) (floor, ceiling Zone, reason Reason) {
	name, tax := v.levels[firmName], v.levels[firmTax]
	known := tax == numberSame || tax == numberMissing && v.levels[firmBusiness] == numberSame
	switch {
	case tax == taxBranch:
		return Different, Different, OtherBranch
	case name >= firmNamePart:
		if known {
			return Ask, Ask, SameNumber
		}
		return Different, Different, NamesContradict
	case tax == numberOther || tax == numberMissing && v.levels[firmBusiness] == numberOther:
		return Different, Ask, NumbersContradict
	case (name == firmNameOrder || name == firmNameRival || name == firmNameElse) && !known:
		return Different, Ask, NamesContradict
	case v.levels[firmForm] == 2 && !known:
		return Different, Ask, OtherForm
	case v.levels[firmFounded] == dateOther && !known:
		return Different, Ask, DatesContradict
	}
	return Different, Same, ByWeight
}

func (o *Organisations) names(slot uint32) uint32 { return o.records[slot].core }

func (o *Organisations) material(slot uint32, dst []byte) []byte {
	r := &o.records[slot]
	dst = o.lexicon.appendText(dst, r.core)
	for _, n := range []uint64{uint64(r.tax), uint64(r.suffix), uint64(r.business), uint64(r.founded), uint64(r.activities), uint64(r.form)} {
		dst = appendNumber(appendNumber(dst, uint32(n)), uint32(n>>32))
	}
	return dst
}

func (o *Organisations) words() *lexicon { return o.lexicon }
