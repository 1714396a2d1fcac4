package main

import (
	"fmt"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// peopleShape is how the platform knows the file.
func peopleShape() *lienthong.Shape {
	shape := &lienthong.Shape{Dataset: lienthong.DatasetID{Database: "bench", Name: "person"}, Version: 1, Identity: []int{0}}
	for _, name := range peopleHeader() {
		kind := lienthong.Text
		switch name {
		case "birth_date":
			kind = lienthong.Date
		case "members":
			kind = lienthong.Integer
		case "updated_at":
			kind = lienthong.Timestamp
		}
		shape.Fields = append(shape.Fields, lienthong.Field{
			Element: "person." + name, Name: name, Kind: kind, LabelVi: name, LabelEn: name, Mapped: true,
		})
	}
	return shape
}

// peopleRule is one rule in the three languages: as the platform's data, and as the
// condition under which a row breaks it, in each engine's SQL. In the SQL, d is the date
// of birth and u the time of the update, null when they are not of their type.
type peopleRule struct {
	rule     dictionary.Rule // Code and Field name it; without a check it is one that every field has
	duck, pg string
}

func ethnicCodes() []string {
	codes := make([]string, 55)
	for i := range codes {
		codes[i] = fmt.Sprintf("%02d", i+1)
	}
	return codes
}

// peopleRules are the thirty rules. The first twenty are measured by themselves too.
func peopleRules(communes string) []peopleRule {
	rule := func(code, field string, check dictionary.Check, duck, pg string) peopleRule {
		return peopleRule{rule: dictionary.Rule{Code: code, Field: field, Check: check}, duck: duck, pg: pg}
	}
	both := func(code, field string, check dictionary.Check, sql string) peopleRule {
		return rule(code, field, check, sql, sql)
	}
	matches := func(code, field, pattern string, check dictionary.Check) peopleRule {
		return rule(code, field, check,
			"NOT regexp_full_match("+field+", '"+pattern+"')", field+" !~ '^("+pattern+")$'")
	}
	among := func(field string, codes []string) string {
		return field + " NOT IN ('" + strings.Join(codes, "', '") + "')"
	}
	const (
		phone     = `0[35789][0-9]{8}`
		mail      = `[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}`
		province  = `(00[1-9]|0[1-8][0-9]|09[0-6]|[1-3][0-9]{2})[0-9]*`
		structure = `(sex = 'M' AND substr(number, 4, 1) IN ('1', '3', '5', '7', '9')
			OR sex = 'F' AND substr(number, 4, 1) IN ('0', '2', '4', '6', '8')
			OR d IS NOT NULL AND (substr(number, 5, 2) <> substr(birth_date, 3, 2)
				OR substr(birth_date, 1, 2) <> CASE WHEN substr(number, 4, 1) IN ('0', '1') THEN '19' WHEN substr(number, 4, 1) IN ('2', '3') THEN '20' ELSE '' END))`
	)
	sexes, countries := []string{"M", "F", "U"}, []string{"VN", "LA", "KH", "CN", "TH"}
	marital := []string{"single", "married", "widowed", "divorced", "separated"}
	return []peopleRule{
		matches("number.digits", "number", "[0-9]{12}", dictionary.Check{Digits: 12}),
		rule("number.structure", "number", dictionary.Check{PersonNumber: &dictionary.PersonNumberCheck{BirthDate: "birth_date", Sex: "sex"}},
			"regexp_full_match(number, '[0-9]{12}') AND "+structure, "number ~ '^[0-9]{12}$' AND "+structure),
		matches("number.province", "number", province, dictionary.Check{Pattern: province}),
		both("name.required", "full_name", dictionary.Check{Required: true}, "full_name IS NULL"),
		rule("name.form", "full_name", dictionary.Check{PersonName: true},
			`NOT regexp_full_match(full_name, '\s*\p{L}[\p{L}\p{M}''-]*(\s+\p{L}[\p{L}\p{M}''-]*)+\s*')`,
			`full_name !~ '^\s*[[:alpha:]][[:alpha:]\u0300-\u036f''-]*(\s+[[:alpha:]][[:alpha:]\u0300-\u036f''-]*)+\s*$'`),
		rule("name.nfc", "full_name", dictionary.Check{NFC: true}, "nfc_normalize(full_name) <> full_name", "full_name IS NOT NFC NORMALIZED"),
		rule("name.tidy", "full_name", dictionary.Check{Tidy: true},
			`regexp_matches(full_name, '^\s|\s$|\s\s')`, `full_name ~ '^\s|\s$|\s\s'`),
		both("birth.required", "birth_date", dictionary.Check{Required: true}, "birth_date IS NULL"),
		both("type", "birth_date", dictionary.Check{}, "birth_date IS NOT NULL AND d IS NULL"),
		both("birth.range", "birth_date", dictionary.Check{Min: "1900-01-01", Max: "now"}, "d < '1900-01-01' OR d > '2026-11-23'"),
		both("sex.code", "sex", dictionary.Check{OneOf: sexes}, among("sex", sexes)),
		both("ethnicity.code", "ethnicity", dictionary.Check{OneOf: ethnicCodes()}, among("ethnicity", ethnicCodes())),
		both("nationality.code", "nationality", dictionary.Check{OneOf: countries}, among("nationality", countries)),
		both("commune.code", "commune", dictionary.Check{CodeList: communes}, "commune IS NOT NULL AND code IS NULL"),
		both("address.length", "address", dictionary.Check{MinLength: 6}, "length(address) < 6"),
		matches("phone.form", "phone", phone, dictionary.Check{Pattern: phone}),
		matches("email.form", "email", mail, dictionary.Check{Pattern: mail}),
		matches("insurance.digits", "insurance", "[0-9]{10}", dictionary.Check{Digits: 10}),
		both("members.range", "members", dictionary.Check{Min: "1", Max: "30"}, "m < 1 OR m > 30"),
		both("updated.age", "updated_at", dictionary.Check{MaxAge: "30d"}, "u < '2026-10-24T05:00:00Z'"),

		matches("father.digits", "father_number", "[0-9]{12}", dictionary.Check{Digits: 12}),
		matches("mother.digits", "mother_number", "[0-9]{12}", dictionary.Check{Digits: 12}),
		both("marital.code", "marital", dictionary.Check{OneOf: marital}, among("marital", marital)),
		rule("address.tidy", "address", dictionary.Check{Tidy: true},
			`regexp_matches(address, '^\s|\s$|\s\s')`, `address ~ '^\s|\s$|\s\s'`),
		rule("address.nfc", "address", dictionary.Check{NFC: true}, "nfc_normalize(address) <> address", "address IS NOT NFC NORMALIZED"),
		both("name.length", "full_name", dictionary.Check{MinLength: 4, MaxLength: 22}, "length(full_name) < 4 OR length(full_name) > 22"),
		both("updated.future", "updated_at", dictionary.Check{Max: "now"}, "u > '"+checkedAt+"'"),
		both("birth.age", "birth_date", dictionary.Check{Min: "now-80y"}, "d < '1946-11-23'"),
		both("phone.required", "phone", dictionary.Check{Required: true}, "phone IS NULL"),
		rule("updated.order", "updated_at", dictionary.Check{NotBefore: "birth_date"},
			"CAST(u + INTERVAL 7 HOUR AS DATE) < d", "CAST(u + INTERVAL '7 hours' AS date) < d"),
	}
}

// duckQuery counts the rows, and of them the broken ones of each rule.
func duckQuery(from string, rules []peopleRule) string {
	return counting(rules, func(r *peopleRule) string { return r.duck }) + `
FROM (SELECT *, TRY_CAST(birth_date AS DATE) AS d, TRY_CAST(updated_at AS TIMESTAMP) AS u, TRY_CAST(members AS BIGINT) AS m
	FROM ` + from + `) p LEFT JOIN codes ON code = commune`
}

// pgQuery is the same for PostgreSQL 15, which has no cast that gives null.
func pgQuery(from string, rules []peopleRule) string {
	return counting(rules, func(r *peopleRule) string { return r.pg }) + `
FROM (SELECT *, CASE WHEN birth_date ~ '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$'
		AND substr(birth_date, 9, 2) <= CASE substr(birth_date, 6, 2)
			WHEN '02' THEN CASE WHEN (substr(birth_date, 1, 4)::int % 4 = 0 AND substr(birth_date, 1, 4)::int % 100 <> 0) OR substr(birth_date, 1, 4)::int % 400 = 0 THEN '29' ELSE '28' END
			WHEN '04' THEN '30' WHEN '06' THEN '30' WHEN '09' THEN '30' WHEN '11' THEN '30' ELSE '31' END
		THEN birth_date::date END AS d, updated_at::timestamp AS u, members::bigint AS m
	FROM ` + from + `) p LEFT JOIN codes ON code = commune`
}

func counting(rules []peopleRule, condition func(*peopleRule) string) string {
	var b strings.Builder
	b.WriteString("SELECT count(*)")
	for i := range rules {
		b.WriteString(",\n\tcount(*) FILTER (WHERE " + condition(&rules[i]) + ")")
	}
	return b.String()
}
