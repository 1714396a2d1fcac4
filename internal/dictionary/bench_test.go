package dictionary

import (
	"testing"

	"github.com/lienthong/lienthong"
)

func BenchmarkBuiltin(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Builtin(); err != nil {
			b.Fatal(err)
		}
	}
}

const benchDefinition = `
dataset: population.person
title_vi: Công dân
table: cong_dan
identity: [record_key]
columns:
  - {column: key, element: record.key}
  - {column: number, element: person.number}
  - {columns: [middle, given], element: person.full_name, transforms: [collapse]}
  - {column: born, element: person.birth_date, transforms: ["date:02/01/2006"]}
  - {column: sex, element: person.sex, transforms: ["code:sex"]}
  - {column: ethnicity, element: person.ethnicity}
  - {column: marital, element: person.marital_status}
  - {column: phone, element: person.phone}
  - {column: address, element: address.line}
  - {column: commune, element: address.commune}
  - {column: commune_before, element: address.commune_before}
  - {column: updated, element: record.updated_at}
`

func benchRow() ([]lienthong.Column, []lienthong.Value) {
	text := func(s string) lienthong.Value { return lienthong.Value{State: lienthong.Present, Bytes: []byte(s)} }
	columns := []lienthong.Column{
		{Name: "key"},
		{Name: "number"},
		{Name: "middle"},
		{Name: "given"},
		{Name: "born"},
		{Name: "sex"},
		{Name: "ethnicity"},
		{Name: "marital"},
		{Name: "phone"},
		{Name: "address"},
		{Name: "commune"},
		{Name: "commune_before"},
		{Name: "updated", Kind: lienthong.Timestamp},
	}
	values := []lienthong.Value{
		text("BG-0001234"), text("096190001234"), text("Nguyễn Thị"), text("Hoà"), text("15/03/1990"), text("2"), text("01"),
		text("single"), text("0912345678"), text("Số 12, đường Lê Lợi, phường 5"), text("31825"), text("31999"),
		{State: lienthong.Present, Int: 1_760_000_000_000_000},
	}
	return columns, values
}

func BenchmarkMapMixed(b *testing.B) { benchmarkMap(b, benchDefinition) }

func BenchmarkMapCopies(b *testing.B) {
	benchmarkMap(b, `
dataset: population.person
title_vi: Công dân
table: cong_dan
identity: [record_key]
columns:
  - {column: key, element: record.key}
  - {column: number, element: person.number}
  - {column: middle, element: person.full_name}
  - {column: sex, element: person.sex}
  - {column: ethnicity, element: person.ethnicity}
  - {column: marital, element: person.marital_status}
  - {column: phone, element: person.phone}
  - {column: address, element: address.line}
  - {column: commune, element: address.commune}
  - {column: commune_before, element: address.commune_before}
  - {column: updated, element: record.updated_at}
  - {column: given, element: unit.name}
`)
}

func benchmarkMap(b *testing.B, yaml string) {
	d, err := Builtin()
	if err != nil {
		b.Fatal(err)
	}
	def, err := ParseDefinition("bench.yaml", []byte(yaml))
	if err != nil {
		b.Fatal(err)
	}
	columns, src := benchRow()
	mapper, err := d.Compile(def, columns, 1)
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]lienthong.Value, len(mapper.Shape.Fields))
	b.ReportAllocs()
	for b.Loop() {
		mapper.Map(src, dst)
	}
}

func BenchmarkCodeListValid(b *testing.B) {
	d, err := Builtin()
	if err != nil {
		b.Fatal(err)
	}
	list, _ := d.CodeList("commune")
	code := []byte("31825")
	at := Reorganised() + day
	b.ReportAllocs()
	for b.Loop() {
		list.Valid(code, at)
	}
}
