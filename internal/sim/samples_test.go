package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sampleTables are the tables of three sample databases that everybody knows: a film
// rental (Sakila), a trading company (Northwind) and a music shop (Chinook), with the
// columns that those publish. The rows are made here.
//
// One line is a table; a column is its name, its type, and "key", "null", or ">table"
// for a reference.
const sampleTables = `
actor: actor_id int key, first_name varchar(45), last_name varchar(45), last_update timestamp
film_category: film_id int key >film, category_id int key >category, last_update timestamp
category: category_id int key, name varchar(25), last_update timestamp
language: language_id int key, name char(20), last_update timestamp
film: film_id int key, title varchar(128), description text null, release_year year null, language_id int >language, original_language_id int null >language, rental_duration smallint, rental_rate decimal(4,2), length smallint null, replacement_cost decimal(5,2), rating rating null, special_features features null, last_update timestamp
film_actor: actor_id int key >actor, film_id int key >film, last_update timestamp
film_text: film_id int key, title varchar(255), description text null
inventory: inventory_id int key, film_id int >film, store_id int >store, last_update timestamp
store: store_id int key, manager_staff_id int, address_id int >address, last_update timestamp
staff: staff_id int key, first_name varchar(45), last_name varchar(45), address_id int >address, picture blob null, email varchar(50) null, store_id int, active bool, username varchar(16), password varchar(40) null, last_update timestamp
customer: customer_id int key, store_id int >store, first_name varchar(45), last_name varchar(45), email varchar(50) null, address_id int >address, activebool bool, create_date date, last_update timestamp null
address: address_id int key, address varchar(50), address2 varchar(50) null, district varchar(20), city_id int >city, postal_code varchar(10) null, phone varchar(20), last_update timestamp
city: city_id int key, city varchar(50), country_id int >country, last_update timestamp
country: country_id int key, country varchar(50), last_update timestamp
rental: rental_id int key, rental_date timestamp, inventory_id int >inventory, customer_id int >customer, return_date timestamp null, staff_id int >staff, last_update timestamp
payment: payment_id int key, customer_id int >customer, staff_id int >staff, rental_id int null >rental, amount decimal(5,2), payment_date timestamp
categories: category_id int key, category_name varchar(15), description text null, picture blob null
customer_demographics: customer_type_id varchar(10) key, customer_desc text null
customers: customer_id varchar(5) key, company_name varchar(40), contact_name varchar(30) null, contact_title varchar(30) null, address varchar(60) null, city varchar(15) null, region varchar(15) null, postal_code varchar(10) null, country varchar(15) null, phone varchar(24) null, fax varchar(24) null
customer_customer_demo: customer_id varchar(5) key, customer_type_id varchar(10) key
employees: employee_id int key, last_name varchar(20), first_name varchar(10), title varchar(30) null, title_of_courtesy varchar(25) null, birth_date date null, hire_date date null, address varchar(60) null, city varchar(15) null, region varchar(15) null, postal_code varchar(10) null, country varchar(15) null, home_phone varchar(24) null, extension varchar(4) null, photo blob null, notes text null, reports_to int null, photo_path varchar(255) null
employee_territories: employee_id int key >employees, territory_id varchar(20) key
order_details: order_id int key >orders, product_id int key >products, unit_price real, quantity smallint, discount real
orders: order_id int key, customer_id varchar(5) null, employee_id int null >employees, order_date date null, required_date date null, shipped_date date null, ship_via int null, freight real null, ship_name varchar(40) null, ship_address varchar(60) null, ship_city varchar(15) null, ship_country varchar(15) null
products: product_id int key, product_name varchar(40), supplier_id int null >suppliers, category_id int null >categories, quantity_per_unit varchar(20) null, unit_price real null, units_in_stock smallint null, units_on_order smallint null, reorder_level smallint null, discontinued int
region: region_id int key, region_description char(50)
shippers: shipper_id int key, company_name varchar(40), phone varchar(24) null
suppliers: supplier_id int key, company_name varchar(40), contact_name varchar(30) null, contact_title varchar(30) null, address varchar(60) null, city varchar(15) null, country varchar(15) null, phone varchar(24) null, homepage text null
territories: territory_id varchar(20) key, territory_description char(50), region_id int >region
us_states: state_id int key, state_name varchar(100) null, state_abbr varchar(2) null, state_region varchar(50) null
Artist: ArtistId int key, Name varchar(120) null
Album: AlbumId int key, Title varchar(160), ArtistId int >Artist
Track: TrackId int key, Name varchar(200), AlbumId int null >Album, MediaTypeId int >MediaType, GenreId int null >Genre, Composer varchar(220) null, Milliseconds int, Bytes bigint null, UnitPrice decimal(10,2)
MediaType: MediaTypeId int key, Name varchar(120) null
Genre: GenreId int key, Name varchar(120) null
Playlist: PlaylistId int key, Name varchar(120) null
PlaylistTrack: PlaylistId int key >Playlist, TrackId int key >Track
Invoice: InvoiceId int key, CustomerId int, InvoiceDate timestamp, BillingAddress varchar(70) null, BillingCity varchar(40) null, Total decimal(10,2)
InvoiceLine: InvoiceLineId int key, InvoiceId int >Invoice, TrackId int >Track, UnitPrice decimal(10,2), Quantity int
`

// sampleRows is the number of rows of each table before life goes on.
const sampleRows = 150

type sampleTable struct {
	name    string
	columns []sampleColumn
}

type sampleColumn struct {
	name, kind, to string
	size           int // of varchar and char
	key, null      bool
}

// samples reads sampleTables, referenced tables first.
func samples(t *testing.T) []sampleTable {
	t.Helper()
	var all []sampleTable
	for line := range strings.Lines(sampleTables) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			continue
		}
		table := sampleTable{name: name}
		// A comma inside a type's brackets has no space behind it.
		for text := range strings.SplitSeq(rest, ", ") {
			words := strings.Fields(text)
			c := sampleColumn{name: words[0], kind: words[1]}
			if open := strings.IndexByte(c.kind, '('); open > 0 && strings.Contains(c.kind, "char") {
				c.size, _ = strconv.Atoi(strings.Trim(c.kind[open:], "()"))
			}
			for _, word := range words[2:] {
				switch {
				case word == "key":
					c.key = true
				case word == "null":
					c.null = true
				case word[0] == '>':
					c.to = word[1:]
				}
			}
			table.columns = append(table.columns, c)
		}
		all = append(all, table)
	}
	var sorted []sampleTable
	for len(sorted) < len(all) {
		before := len(sorted)
		for _, table := range all {
			ready := !slices.ContainsFunc(table.columns, func(c sampleColumn) bool {
				return c.to != "" && c.to != table.name && !slices.ContainsFunc(sorted, func(s sampleTable) bool { return s.name == c.to })
			})
			known := slices.ContainsFunc(sorted, func(s sampleTable) bool { return s.name == table.name })
			if ready && !known {
				sorted = append(sorted, table)
			}
		}
		if len(sorted) == before {
			t.Fatal("references go round in a circle")
		}
	}
	return sorted
}

// dialect is what differs between the engines of the samples.
type dialect struct {
	quote   string
	types   map[string]string
	before  []string // statements before the tables
	after   []string
	literal func(kind, text string) string
	suffix  string
}

func (d *dialect) name(s string) string { return d.quote + s + d.quote }

func (d *dialect) typeOf(c *sampleColumn) string {
	if t, ok := d.types[c.kind]; ok {
		return t
	}
	return c.kind
}

func (d *dialect) create(t *sampleTable) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (", d.name(t.name))
	var keys []string
	for _, c := range t.columns {
		fmt.Fprintf(&b, "%s %s", d.name(c.name), d.typeOf(&c))
		if !c.null {
			b.WriteString(" NOT NULL")
		} else {
			b.WriteString(" NULL")
		}
		b.WriteString(", ")
		if c.key {
			keys = append(keys, d.name(c.name))
		}
	}
	fmt.Fprintf(&b, "PRIMARY KEY (%s)", strings.Join(keys, ", "))
	for _, c := range t.columns {
		if c.to != "" {
			fmt.Fprintf(&b, ", FOREIGN KEY (%s) REFERENCES %s (%s)", d.name(c.name), d.name(c.to), d.name(keyOf(c.to)))
		}
	}
	b.WriteString(")" + d.suffix)
	return b.String()
}

// keyOf names the key column of a referenced table, which has one.
func keyOf(table string) string {
	for line := range strings.Lines(sampleTables) {
		if name, rest, ok := strings.Cut(line, ": "); ok && name == table {
			return strings.Fields(rest)[0]
		}
	}
	return ""
}

// value makes a value of row n, as text that literal writes for the engine.
func (c *sampleColumn) value(r *rand.Rand, n, of int) (text string, null bool) {
	if c.null && r.IntN(5) == 0 {
		return "", true
	}
	if c.to != "" {
		if c.key { // the keys of a table of pairs walk through all combinations
			return strconv.Itoa(1 + n%sampleRows), false
		}
		return strconv.Itoa(1 + r.IntN(sampleRows)), false
	}
	switch {
	case c.key && c.size > 0:
		return fmt.Sprintf("K%04d", of)[:min(5, c.size)], false
	case c.key:
		return strconv.Itoa(of), false
	case c.size > 0 || c.kind == "text":
		words := []string{"Hà Nội", "Nguyễn", "ACADEMY", "Müller", "東京", "O'Neil", "a\\b", "\"x\"", "café", "", "Thừa Thiên Huế"}
		text = words[r.IntN(len(words))] + strconv.Itoa(r.IntN(1000))
		if c.size > 0 {
			runes := []rune(text)
			text = string(runes[:min(len(runes), c.size)])
		}
		return text, false
	}
	switch c.kind {
	case "int", "bigint":
		return strconv.Itoa(r.IntN(1 << 30)), false
	case "smallint":
		return strconv.Itoa(r.IntN(1<<15) - 1<<14), false
	case "year":
		return strconv.Itoa(1950 + r.IntN(80)), false
	case "real":
		return strconv.FormatFloat(float64(r.IntN(100000))/8, 'f', -1, 64), false
	case "bool":
		return strconv.FormatBool(r.IntN(2) == 0), false
	case "date":
		return fmt.Sprintf("%04d-%02d-%02d", 1930+r.IntN(100), 1+r.IntN(12), 1+r.IntN(28)), false
	case "timestamp":
		return fmt.Sprintf("20%02d-%02d-%02d %02d:%02d:%02d", r.IntN(26), 1+r.IntN(12), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60)), false
	case "blob":
		bytes := make([]byte, r.IntN(300))
		for i := range bytes {
			bytes[i] = byte(r.IntN(256))
		}
		return string(bytes), false
	case "rating":
		return []string{"G", "PG", "PG-13", "R", "NC-17"}[r.IntN(5)], false
	case "features":
		return []string{"Trailers", "Commentaries", "Trailers,Deleted Scenes"}[r.IntN(3)], false
	}
	return fmt.Sprintf("%d.%02d", r.IntN(90), r.IntN(100)), false // decimal
}

// insert is one statement that makes a row. of numbers it; of a table of pairs, it names the pair.
func (d *dialect) insert(t *sampleTable, r *rand.Rand, of int) string {
	names, values := make([]string, len(t.columns)), make([]string, len(t.columns))
	keys := 0
	for i, c := range t.columns {
		names[i], values[i] = d.name(c.name), "NULL"
		n := of
		if c.key {
			if keys > 0 {
				n = of + of/sampleRows // another partner in every round
			}
			keys++
		}
		if text, null := c.value(r, n, of); !null {
			values[i] = d.literal(c.kind, text)
		}
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", d.name(t.name), strings.Join(names, ", "), strings.Join(values, ", "))
}

// where names a random row by its key.
func (d *dialect) where(t *sampleTable, r *rand.Rand) string {
	for _, c := range t.columns {
		if !c.key {
			continue
		}
		of := 1 + r.IntN(sampleRows)
		text, _ := c.value(r, of, of)
		return " WHERE " + d.name(c.name) + " = " + d.literal(c.kind, text)
	}
	return " WHERE 1 = 0"
}

// change is one statement of daily life: mostly updates, some new rows, some deletions where
// nothing refers to the table.
func (d *dialect) change(tables []sampleTable, r *rand.Rand, next map[string]int) string {
	t := &tables[r.IntN(len(tables))]
	pairs := 0
	for _, c := range t.columns {
		if c.key {
			pairs++
		}
	}
	referred := slices.ContainsFunc(tables, func(o sampleTable) bool {
		return slices.ContainsFunc(o.columns, func(c sampleColumn) bool { return c.to == t.name })
	})
	switch what := r.IntN(10); {
	case what < 2 && pairs == 1:
		next[t.name]++
		return d.insert(t, r, sampleRows+next[t.name])
	case what < 3 && !referred:
		return "DELETE FROM " + d.name(t.name) + d.where(t, r)
	}
	var free []sampleColumn
	for _, c := range t.columns {
		if !c.key && c.to == "" {
			free = append(free, c)
		}
	}
	if len(free) == 0 {
		return "DELETE FROM " + d.name(t.name) + d.where(t, r)
	}
	c := free[r.IntN(len(free))]
	value := "NULL"
	if text, null := c.value(r, 0, 0); !null {
		value = d.literal(c.kind, text)
	}
	return "UPDATE " + d.name(t.name) + " SET " + d.name(c.name) + " = " + value + d.where(t, r)
}
