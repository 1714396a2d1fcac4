package linkage

import (
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Successors is what a commune of before 1 July 2025 became, by the links of the
// dictionary. One whose code is ambiguous has every commune that it may have gone to.
func Successors(d *dictionary.Dictionary) func(code string) []string {
	return func(code string) []string {
		var today []string
		for _, link := range d.Successors(code) {
			today = append(today, link.NewCode)
		}
		return today
	}
}

// column is the field of a shape that carries one of the elements in the clear, the first of them
// first; -1: the shape has none. Hashes, tokens and masked texts cannot be compared by likeness.
func column(s *lienthong.Shape, elements ...string) int {
	for _, element := range elements {
		for i := range s.Fields {
			if s.Fields[i].Element == element && (s.Fields[i].Handling == "" || s.Fields[i].Handling == "keep") {
				return i
			}
		}
	}
	return -1
}

// rowReader takes texts out of rows. All texts of a row are one string.
type rowReader struct {
	shape *lienthong.Shape
	buf   []byte
	ends  []int
}

func (r *rowReader) begin() { r.buf, r.ends = r.buf[:0], r.ends[:0] }

func (r *rowReader) take(row []lienthong.Value, column int) {
	if column >= 0 && row[column].State == lienthong.Present {
		r.buf = row[column].AppendText(r.buf, r.shape.Fields[column].Kind)
	}
	r.ends = append(r.ends, len(r.buf))
}

// texts returns what was taken, in its order.
func (r *rowReader) texts(dst []string) []string {
	all, from := string(r.buf), 0
	for _, end := range r.ends {
		dst = append(dst, all[from:end])
		from = end
	}
	return dst
}

// dateOf reads a date of any kind that has one.
func dateOf(s *lienthong.Shape, row []lienthong.Value, column int) Date {
	if column < 0 || row[column].State != lienthong.Present {
		return Date{}
	}
	switch v := &row[column]; s.Fields[column].Kind {
	case lienthong.Date:
		return DateOfDays(v.Int)
	case lienthong.Timestamp:
		const vietnam, day = 7 * 3600 * 1_000_000, 86400 * 1_000_000
		days := (v.Int + vietnam) / day
		if (v.Int+vietnam)%day < 0 {
			days--
		}
		return DateOfDays(days)
	case lienthong.Integer:
		return Date{Year: int(v.Int)} // a year of birth
	case lienthong.Text:
		return parseDate(string(v.Bytes))
	case lienthong.Decimal, lienthong.Real, lienthong.Boolean, lienthong.Binary:
	}
	return Date{}
}

// parseDate reads yyyy, mm/yyyy, dd/mm/yyyy and their ISO forms.
func parseDate(text string) Date {
	parts := strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	numbers := [3]int{}
	if len(parts) == 0 || len(parts) > 3 {
		return Date{}
	}
	for i, part := range parts {
		if len(part) > 4 {
			return Date{}
		}
		for _, c := range part {
			numbers[i] = numbers[i]*10 + int(c-'0')
		}
	}
	if len(parts[0]) == 4 {
		return Date{numbers[0], numbers[1], numbers[2]}
	}
	switch len(parts) {
	case 3:
		return Date{numbers[2], numbers[1], numbers[0]}
	case 2:
		return Date{Year: numbers[1], Month: numbers[0]}
	}
	return Date{}
}

// PersonRows reads persons out of the rows of a dataset, by the elements of the
// dictionary that its fields carry.
type PersonRows struct {
	rowReader
	columns [11]int
	birth   int
	values  []string
}

// NewPersonRows finds the fields. ok is false when the shape has neither names nor personal numbers
// in the clear: then it is not about persons, or they cannot be compared.
func NewPersonRows(shape *lienthong.Shape) (rows *PersonRows, ok bool) {
	rows = &PersonRows{
		rowReader: rowReader{shape: shape},
		columns: [11]int{
			column(shape, "person.full_name"), column(shape, "person.sex"), column(shape, "person.number"), column(shape, "person.old_identity_number"),
			column(shape, "person.phone"), column(shape, "address.commune"), column(shape, "address.commune_before"),
			column(shape, "person.mother_number"), column(shape, "person.father_number"),
			column(shape, "person.mother_name"), column(shape, "person.father_name"),
		},
		birth: column(shape, "person.birth_date"),
	}
	return rows, rows.columns[0] >= 0 && (rows.birth >= 0 || rows.columns[2] >= 0)
}

// Read fills in a person. The identity of the row is the caller's to give.
func (p *PersonRows) Read(id string, row []lienthong.Value, dst *Person) {
	p.begin()
	for _, c := range p.columns {
		p.take(row, c)
	}
	v := p.texts(p.values[:0])
	p.values = v
	*dst = Person{
		ID: id, Name: v[0], Sex: v[1], Number: v[2], OldNumber: v[3], Phone: v[4], Commune: v[5], CommuneBefore: v[6],
		Mother: Parent{Number: v[7], Name: v[9]}, Father: Parent{Number: v[8], Name: v[10]}, Birth: dateOf(p.shape, row, p.birth),
	}
}

// OrganisationRows reads organisations out of the rows of a dataset.
type OrganisationRows struct {
	rowReader
	columns [6]int
	founded int
	values  []string
}

// NewOrganisationRows finds the fields. ok is false when the shape has no names of
// organisations.
func NewOrganisationRows(shape *lienthong.Shape) (rows *OrganisationRows, ok bool) {
	rows = &OrganisationRows{
		rowReader: rowReader{shape: shape},
		columns: [6]int{
			column(shape, "enterprise.name", "business.name", "organisation.name", "tax.payer_name"), column(shape, "tax.code", "enterprise.code"),
			column(shape, "business.code"), column(shape, "organisation.phone", "person.phone"),
			column(shape, "enterprise.commune", "address.commune"), column(shape, "address.commune_before"),
		},
		founded: column(shape, "organisation.founded_on", "enterprise.registered_on", "business.started_on", "tax.registered_on"),
	}
	return rows, rows.columns[0] >= 0
}

// Read fills in an organisation. The identity of the row is the caller's to give.
func (o *OrganisationRows) Read(id string, row []lienthong.Value, dst *Organisation) {
	o.begin()
	for _, c := range o.columns {
		o.take(row, c)
	}
	v := o.texts(o.values[:0])
	o.values = v
	*dst = Organisation{
		ID: id, Name: v[0], TaxCode: v[1], BusinessNumber: v[2], Phone: v[3], Commune: v[4], CommuneBefore: v[5],
		Founded: dateOf(o.shape, row, o.founded),
	}
}
