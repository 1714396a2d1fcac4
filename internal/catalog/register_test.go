package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/stewardship"
	"github.com/lienthong/lienthong/internal/store"
)

const populationYAML = `
dataset: population.person
title_vi: Công dân
title_en: Citizens
table: cong_dan
identity: [personal_number]
interval: 24h
declared: 1000
others: keep
columns:
  - {column: so_dinh_danh, element: person.number, transforms: [trim]}
  - {columns: [ho_dem, ten], element: person.full_name, transforms: [collapse]}
  - {column: ngay_sinh, element: person.birth_date, transforms: ['date:02/01/2006']}
  - {column: so_dien_thoai, element: person.phone, handling: mask, first: 3}
`

const healthYAML = `
dataset: health_record.patient
title_vi: Người bệnh
title_en: Patients
table: benh_nhan
identity: [personal_number]
columns:
  - {column: cccd, element: person.number}
  - {column: ho_ten, element: person.full_name}
  - {column: ngay_sinh, element: person.birth_date}
set_rules:
  - code: health.name.agrees
    vi: Họ tên khác CSDL dân cư
    en: The name differs from the population database
    group: reference_mismatch
    criterion: dung
    field: full_name
    match: {dataset: population.person, key: personal_number, to: personal_number, fields: {full_name: full_name}}
`

const schoolYAML = `
dataset: school.pupil
title_vi: Học sinh
title_en: Pupils
table: hoc_sinh
identity: [personal_number]
columns:
  - {column: SoCCCD, element: person.number}
  - {column: HoVaTen, element: person.full_name}
  - {column: NgaySinh, element: person.birth_date}
`

func parse(t testing.TB, texts ...string) []*dictionary.Definition {
	t.Helper()
	var list []*dictionary.Definition
	for i, text := range texts {
		def, err := dictionary.ParseDefinition(fmt.Sprintf("%d.yaml", i), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, def)
	}
	return list
}

// load reads the dictionary once for all tests: it never changes.
var load = sync.OnceValues(dictionary.Builtin)

func builtin(t testing.TB) *dictionary.Dictionary {
	t.Helper()
	d, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// livePopulation is what the connector sees of the population database.
func livePopulation() Observed {
	return Observed{
		Dataset: lienthong.DatasetID{Database: "population", Name: "person"}, Member: "G01", Node: "g01", Engine: "postgres", EngineVersion: "15.8",
		Table: "cong_dan", RowCount: 990, At: start().UnixMicro(), LastChange: start().UnixMicro(), LastQuality: start().UnixMicro(),
		Columns: []lienthong.Column{
			{Name: "so_dinh_danh", SourceType: "character(12)", Kind: lienthong.Text},
			{Name: "ho_dem", SourceType: "text", Kind: lienthong.Text, Nullable: true},
			{Name: "ten", SourceType: "text", Kind: lienthong.Text},
			{Name: "ngay_sinh", SourceType: "text", Kind: lienthong.Text, Nullable: true},
			{Name: "so_dien_thoai", SourceType: "text", Kind: lienthong.Text, Nullable: true},
			{Name: "ghi_chu", SourceType: "text", Kind: lienthong.Text, Nullable: true},
		},
	}
}

func start() time.Time { return time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC) }

// world is a register with the desk that belongs to it.
type world struct {
	t         *testing.T
	ctx       context.Context
	register  *Register
	desk      *stewardship.Desk
	now       time.Time
	consumers []Consumer
	owner     stewardship.Person
	docs      *store.Store
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, ctx: t.Context(), now: start(), docs: openDocuments(t),
		owner: stewardship.Person{Name: "minh", Member: "G01", Roles: []stewardship.Role{stewardship.Owner}},
	}
	d, definitions := builtin(t), parse(t, populationYAML, healthYAML, schoolYAML)
	w.register = w.open(d, definitions)
	desk, err := stewardship.New(stewardship.Config{Documents: w.docs, Kinds: []stewardship.Kind{w.register.Kind()}, Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	w.desk = desk
	return w
}

func (w *world) open(d *dictionary.Dictionary, definitions []*dictionary.Definition) *Register {
	w.t.Helper()
	r, err := NewRegister(Config{
		Documents: w.docs, Dictionary: func() *dictionary.Dictionary { return d },
		Definitions: func() []*dictionary.Definition { return definitions },
		Consumers:   func() []Consumer { return w.consumers }, Now: func() time.Time { return w.now },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) load(code string) Record {
	w.t.Helper()
	rec, err := w.register.Load(w.ctx, code)
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}

// publish takes an open draft of a database all the way.
func (w *world) publish(item stewardship.Item) stewardship.Item {
	w.t.Helper()
	reviewer := stewardship.Person{Name: "thu", Member: "G06", Roles: []stewardship.Role{stewardship.Reviewer, stewardship.Approver}}
	var err error
	order := func(action stewardship.Action) stewardship.Order {
		return stewardship.Order{Kind: Kind, ID: item.ID, Revision: item.Revision, Action: action}
	}
	if item, err = w.desk.Submit(w.ctx, w.owner, order("")); err != nil {
		w.t.Fatal(err)
	}
	for _, action := range []stewardship.Action{stewardship.ToReview, stewardship.ToApprove} {
		if item, err = w.desk.Decide(w.ctx, reviewer, order(action)); err != nil {
			w.t.Fatal(err)
		}
	}
	if item, err = w.desk.Publish(w.ctx, reviewer, order("")); err != nil {
		w.t.Fatal(err)
	}
	return item
}

// draft saves an entry as its owner.
func (w *world) draft(e Entry) (stewardship.Item, error) {
	w.t.Helper()
	body, err := json.Marshal(e)
	if err != nil {
		w.t.Fatal(err)
	}
	p := stewardship.Proposal{Kind: Kind, ID: e.Code, Body: body}
	rec, err := w.register.Load(w.ctx, e.Code)
	if err == nil {
		p.Revision = rec.Revision
		if rec.State.Open() {
			return w.desk.Edit(w.ctx, w.owner, p)
		}
	}
	return w.desk.Draft(w.ctx, w.owner, p)
}

// ready is an entry that can be submitted.
func (w *world) ready(code string) Entry {
	w.t.Helper()
	e, err := w.register.Draft(w.ctx, code)
	if err != nil {
		w.t.Fatal(err)
	}
	e.Status.Group = Built
	e.People = []Contact{{Duty: OwnerDuty, Name: "Nguyễn Văn A", Email: "a@example.gov.vn"}}
	return e
}

func TestSeed_AllDatabasesOfTheReferenceData(t *testing.T) {
	d := builtin(t)
	entries := Seed(d)
	if len(entries) != 73 || len(entries) != len(d.Databases()) {
		t.Fatalf("%d entries of %d databases", len(entries), len(d.Databases()))
	}
	for i := range entries {
		e := &entries[i]
		for _, p := range e.Problems() {
			switch p.Where {
			case "status.group", "people.owner": // only the owner knows
			case "owner":
				if e.Class != lienthong.PoliticalDatabase {
					t.Errorf("%s: %v", e.Code, p)
				}
			default:
				t.Errorf("%s: %v", e.Code, p)
			}
		}
		if e.Confidence == "" {
			t.Errorf("%s has no confidence", e.Code)
		}
	}
	bases := legalBases("NĐ 47/2024 Phụ lục; NĐ 111/2024 -> NĐ 212/2026; QĐ 4731/QĐ-BNNMT (25 DBs total); Luật Dữ liệu 60/2024; NĐ 308/2025 Chương VIII; x")
	want := []LegalBasis{
		{Type: "decree", Number: "NĐ 47/2024", Article: "Phụ lục"},
		{Type: "decree", Number: "NĐ 212/2026"},
		{Type: "decision", Number: "QĐ 4731/QĐ-BNNMT"},
		{Type: "law", Number: "Luật Dữ liệu 60/2024"},
		{Type: "decree", Number: "NĐ 308/2025", Article: "Chương VIII"},
		{Type: "other", Number: "x"},
	}
	if diff := cmp.Diff(want, bases); diff != "" {
		t.Error(diff)
	}
}

func TestRegister_SeedsUntilTheOwnerPublishes(t *testing.T) {
	w := newWorld(t)
	rec := w.load("population")
	if rec.Origin != FromSeed || rec.ConfirmedAt != 0 || rec.Version != (stewardship.Version{}) {
		t.Fatalf("a seed: %s %d %s", rec.Origin, rec.ConfirmedAt, rec.Version)
	}
	e := w.ready("population")
	e.PurposeVi = "Quản lý dân cư thống nhất"
	item, err := w.draft(e)
	if err != nil {
		t.Fatal(err)
	}
	if rec = w.load("population"); rec.Origin != FromSeed || rec.PurposeVi != "" || rec.State != stewardship.Draft {
		t.Errorf("with a draft: %s %q %s", rec.Origin, rec.PurposeVi, rec.State)
	}
	w.publish(item)
	if rec = w.load("population"); rec.Origin != FromOwner || rec.PurposeVi != e.PurposeVi || rec.Version != (stewardship.Version{Major: 1}) || !rec.Verified() {
		t.Errorf("published: %s %q %s", rec.Origin, rec.PurposeVi, rec.Version)
	}
	// A register that starts anew has the same seeds and does not put them over it.
	again := w.open(builtin(t), nil)
	if rec, err = again.Load(w.ctx, "population"); err != nil || rec.PurposeVi != e.PurposeVi {
		t.Errorf("after a restart: %q %v", rec.PurposeVi, err)
	}
	if _, err := w.register.Load(w.ctx, "nothing"); lienthong.ErrorCode(err) != "catalog.unknown" {
		t.Errorf("an unknown database: %v", err)
	}
}

func TestRegister_IncompleteDraftIsKeptAndSubmittedLater(t *testing.T) {
	w := newWorld(t)
	item, err := w.draft(Entry{Code: "local_water", Owner: "G01"})
	if err != nil {
		t.Fatal(err)
	}
	rec := w.load("local_water")
	if rec.Origin != FromDraft || rec.NameVi != "local_water" {
		t.Errorf("a draft of something new: %s %q", rec.Origin, rec.NameVi)
	}
	view, err := w.desk.Load(w.ctx, Kind, "local_water")
	if err != nil {
		t.Fatal(err)
	}
	var where []string
	for _, p := range view.Problems {
		where = append(where, p.Where)
	}
	if diff := cmp.Diff([]string{"class", "name_vi", "people.owner", "status.group"}, where); diff != "" {
		t.Error(diff)
	}
	if _, err := w.desk.Submit(w.ctx, w.owner, stewardship.Order{Kind: Kind, ID: "local_water", Revision: item.Revision}); lienthong.ErrorCode(err) != "stewardship.incomplete" {
		t.Errorf("an incomplete entry was submitted: %v", err)
	}
	e := w.ready("local_water")
	e.NameVi, e.Class, e.Status.Group = "CSDL cấp nước", lienthong.LocalDatabase, NotBuilt
	if item, err = w.draft(e); err != nil {
		t.Fatal(err)
	}
	w.publish(item)
	if rec = w.load("local_water"); rec.Origin != FromOwner || rec.NameVi != "CSDL cấp nước" {
		t.Errorf("published: %s %q", rec.Origin, rec.NameVi)
	}
}

func TestRegister_OnlyTheOwnerWrites(t *testing.T) {
	w := newWorld(t)
	population, enterprise, party := w.ready("population"), w.ready("enterprise"), w.ready("party")
	handed := population
	handed.Owner = "G12"
	stranger := w.ready("local_water")
	stranger.Owner = "G12"
	broken := Entry{Code: "Bad Code"}
	for _, tt := range []struct {
		name   string
		member lienthong.MemberCode
		entry  Entry
		code   string
	}{
		{"the owner", "G01", population, ""},
		{"the owner hands it over", "G01", handed, ""},
		{"another names itself as the owner", "G12", handed, "catalog.foreign"},
		{"the owner of another database", "G01", enterprise, "catalog.foreign"},
		{"nobody is known to own it", "G01", party, ""},
		{"somebody without an organisation", "", enterprise, "catalog.foreign"},
		{"a new one for somebody else", "G01", stranger, "catalog.foreign"},
		{"a new one of one's own", "G12", stranger, ""},
		{"a code that cannot be", "G01", broken, "stewardship.id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fresh := newWorld(t)
			fresh.owner.Member = tt.member
			if _, err := fresh.draft(tt.entry); lienthong.ErrorCode(err) != tt.code {
				t.Errorf("%v, want %q", err, tt.code)
			}
		})
	}
}

// Who has no entry yet and is connected already belongs to whose node reads it.
func TestRegister_WhatIsConnectedBelongsToItsNode(t *testing.T) {
	w := newWorld(t)
	if err := w.register.Observe(w.ctx, Observed{Dataset: lienthong.DatasetID{Database: "local_water", Name: "meter"}, Member: "H49", Engine: "mysql", Table: "dong_ho"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.draft(Entry{Code: "local_water", Owner: "G01"}); lienthong.ErrorCode(err) != "catalog.foreign" {
		t.Errorf("another organisation registered it: %v", err)
	}
	w.owner.Member = "H49"
	if _, err := w.draft(Entry{Code: "local_water", Owner: "H49"}); err != nil {
		t.Error(err)
	}
}

func TestRegister_StaleAndAttested(t *testing.T) {
	w := newWorld(t)
	if err := w.register.Attest(w.ctx, w.owner, "population", ""); lienthong.ErrorCode(err) != "catalog.unpublished" {
		t.Errorf("a seed was attested: %v", err)
	}
	item, err := w.draft(w.ready("population"))
	if err != nil {
		t.Fatal(err)
	}
	w.publish(item)
	w.now = start().AddDate(0, 11, 30)
	if w.load("population").Stale {
		t.Error("stale within 12 months")
	}
	w.now = start().AddDate(0, 12, 1)
	if !w.load("population").Stale {
		t.Error("not stale after 12 months")
	}
	list, err := w.register.List(w.ctx, Filter{Stale: true}, "", false)
	if err != nil || len(list) != 1 || list[0].Code != "population" {
		t.Errorf("stale: %v %v", codes(list), err)
	}
	other := w.owner
	other.Member = "G12"
	if err := w.register.Attest(w.ctx, other, "population", ""); lienthong.ErrorCode(err) != "catalog.attest" {
		t.Errorf("another organisation attested: %v", err)
	}
	viewer := w.owner
	viewer.Roles = []stewardship.Role{stewardship.Steward}
	if err := w.register.Attest(w.ctx, viewer, "population", ""); lienthong.ErrorCode(err) != "catalog.attest" {
		t.Errorf("a steward attested: %v", err)
	}
	for range 2 { // a second time in a year is no conflict
		if err := w.register.Attest(w.ctx, w.owner, "population", "rà soát năm 2027"); err != nil {
			t.Fatal(err)
		}
	}
	if rec := w.load("population"); rec.Stale || rec.ConfirmedAt != w.now.UnixMicro() || rec.ConfirmedBy != "minh" {
		t.Errorf("after the attestation: stale %t at %d by %s", rec.Stale, rec.ConfirmedAt, rec.ConfirmedBy)
	}
	// A later version confirms it, too.
	w.now = w.now.AddDate(0, 1, 0)
	e := w.ready("population")
	e.PurposeVi = "Quản lý dân cư"
	if item, err = w.draft(e); err != nil {
		t.Fatal(err)
	}
	w.publish(item)
	if rec := w.load("population"); rec.ConfirmedAt != w.now.UnixMicro() || rec.ConfirmedBy != "thu" {
		t.Errorf("after the next version: at %d by %s", rec.ConfirmedAt, rec.ConfirmedBy)
	}
}

func TestRegister_DriftUntilTheShapeIsConfirmed(t *testing.T) {
	w := newWorld(t)
	live := livePopulation()
	if err := w.register.Observe(w.ctx, live); err != nil {
		t.Fatal(err)
	}
	if rec := w.load("population"); len(rec.Drift) != 1 || rec.Drift[0].Kind != Unregistered {
		t.Fatalf("drift of a seed: %+v", rec.Drift)
	}
	if _, err := w.register.ConfirmShape(w.ctx, w.desk, w.owner, live.Dataset, "lần đầu"); err != nil {
		t.Fatal(err)
	}
	entry := w.ready("population")
	if entry.Datasets[0].TitleVi != "Công dân" || len(entry.Datasets[0].Shape.Columns) != 6 || entry.Datasets[0].Shape.Columns[1].Element != "person.full_name" {
		t.Errorf("the confirmed shape: %+v", entry.Datasets[0])
	}
	if rec := w.load("population"); len(rec.Drift) != 1 {
		t.Errorf("the drift is gone before anybody approved: %+v", rec.Drift)
	}
	item, err := w.draft(entry)
	if err != nil {
		t.Fatal(err)
	}
	w.publish(item)
	if rec := w.load("population"); len(rec.Drift) != 0 {
		t.Errorf("drift after the confirmation: %+v", rec.Drift)
	}

	// The source changes: the drift stays, also through a restart, until a new version is published.
	live.Columns = slices.Delete(slices.Clone(live.Columns), 3, 4)
	if err := w.register.Observe(w.ctx, live); err != nil {
		t.Fatal(err)
	}
	w.register = w.open(builtin(t), parse(t, populationYAML))
	rec := w.load("population")
	if len(rec.Drift) != 1 || rec.Drift[0].Kind != Removed || rec.Drift[0].Column != "ngay_sinh" || !rec.Breaking() {
		t.Fatalf("drift after the change: %+v", rec.Drift)
	}
	list, err := w.register.List(w.ctx, Filter{Breaking: true}, "", false)
	if err != nil || len(list) != 1 {
		t.Errorf("databases with breaking drift: %v %v", codes(list), err)
	}
	// The owner confirms, others may not.
	stranger := w.owner
	stranger.Member = "G12"
	if _, err := w.register.ConfirmShape(w.ctx, w.desk, stranger, live.Dataset, ""); lienthong.ErrorCode(err) != "catalog.foreign" {
		t.Errorf("a stranger confirmed: %v", err)
	}
	desk, err := stewardship.New(stewardship.Config{Documents: w.docs, Kinds: []stewardship.Kind{w.register.Kind()}, Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	w.desk = desk
	if item, err = w.register.ConfirmShape(w.ctx, w.desk, w.owner, live.Dataset, "bỏ ngày sinh"); err != nil {
		t.Fatal(err)
	}
	if item.Version != (stewardship.Version{Major: 2}) {
		t.Errorf("dropping a mapped column gives version %s", item.Version)
	}
	w.publish(item)
	if rec := w.load("population"); len(rec.Drift) != 0 || rec.Version.Major != 2 {
		t.Errorf("after the second confirmation: %s %+v", rec.Version, rec.Drift)
	}
	if _, err := w.register.ConfirmShape(w.ctx, w.desk, w.owner, lienthong.DatasetID{Database: "population", Name: "nothing"}, ""); lienthong.ErrorCode(err) != "catalog.unseen" {
		t.Errorf("a shape that nobody sees was confirmed: %v", err)
	}
}

func TestRegister_FiguresAreFreshAndKeepNoHistory(t *testing.T) {
	w := newWorld(t)
	live := livePopulation()
	for n := range 3 {
		live.RowCount, live.At = int64(100*n), start().Add(time.Duration(n)*time.Hour).UnixMicro()
		if err := w.register.Observe(w.ctx, live); err != nil {
			t.Fatal(err)
		}
		if rec := w.load("population"); rec.Views[0].Seen.RowCount != live.RowCount {
			t.Errorf("rows %d, want %d", rec.Views[0].Seen.RowCount, live.RowCount)
		}
	}
	doc, _, err := w.docs.Document(w.ctx, kindObserved, "population.person")
	if err != nil || doc.Revision != 1 {
		t.Errorf("revision %d of what was seen, %v", doc.Revision, err)
	}
}

func TestRegister_Evidence(t *testing.T) {
	w := newWorld(t)
	if err := w.register.Observe(w.ctx, livePopulation()); err != nil {
		t.Fatal(err)
	}
	e := w.ready("population")
	e.Technical = Technical{Engine: "PostgreSQL", Version: "15", Rows: 5000}
	e.Datasets = []Dataset{{Name: "person", Rows: 1000}}
	item, err := w.draft(e)
	if err != nil {
		t.Fatal(err)
	}
	w.publish(item)
	got := func() map[string]string {
		m := map[string]string{}
		for _, v := range w.load("population").Evidence {
			m[strings.TrimPrefix(v.Dataset+"."+v.ID, ".")] = string(v.Standing)
		}
		return m
	}
	want := map[string]string{
		"connected": "agrees", "engine": "agrees", "rows": "differs", "datasets": "agrees",
		"change": "agrees", "quality": "agrees", "person.rows": "agrees",
	}
	if diff := cmp.Diff(want, got()); diff != "" {
		t.Error(diff)
	}
	w.now = start().AddDate(0, 2, 0)
	want["connected"], want["change"], want["quality"] = "late", "late", "late"
	if diff := cmp.Diff(want, got()); diff != "" {
		t.Error(diff)
	}
	for _, v := range w.load("enterprise").Evidence { // neither declared nor seen
		if v.Standing != Neither {
			t.Errorf("%s of what nobody knows: %s", v.ID, v.Standing)
		}
	}
}

func TestSameEngine(t *testing.T) {
	for _, tt := range []struct {
		declared, seen string
		want           bool
	}{
		{"PostgreSQL", "postgres", true},
		{"Postgre SQL", "postgres", true},
		{"MariaDB", "mysql", true},
		{"Microsoft SQL Server", "sqlserver", true},
		{"MSSQL", "sqlserver", true},
		{"Oracle Database", "oracle", true},
		{"MySQL", "postgres", false},
		{"MongoDB", "postgres", false},
	} {
		if got := sameEngine(tt.declared, tt.seen); got != tt.want {
			t.Errorf("%s, %s: %t", tt.declared, tt.seen, got)
		}
	}
}

func TestRegister_RelationsFromBothSides(t *testing.T) {
	w := newWorld(t)
	e := w.ready("population")
	e.Relations = []Relation{{Type: Uses, Code: "civil_status"}, {Type: PartOf, Code: "general"}}
	item, err := w.draft(e)
	if err != nil {
		t.Fatal(err)
	}
	w.publish(item)
	links := func(code string) []string {
		var list []string
		for _, l := range w.load(code).Links {
			list = append(list, fmt.Sprintf("%s %s %t", l.Type, l.Code, l.Declared))
		}
		return list
	}
	if diff := cmp.Diff([]string{"uses civil_status true", "part_of general true"}, links("population")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"used_by population false"}, links("civil_status")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"has_part population false"}, links("general")); diff != "" {
		t.Error(diff)
	}
	for _, r := range RelationTypes() {
		if r.Value.Opposite().Opposite() != r.Value {
			t.Errorf("%s has no opposite", r.Value)
		}
	}
}

func TestRegister_ImpactNamesWhoLosesSomething(t *testing.T) {
	w := newWorld(t)
	if err := w.register.Observe(w.ctx, livePopulation()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.register.ConfirmShape(w.ctx, w.desk, w.owner, livePopulation().Dataset, ""); err != nil {
		t.Fatal(err)
	}
	e := w.ready("population")
	e.Datasets[0].Access = SharedAccess
	item, err := w.draft(e)
	if err != nil {
		t.Fatal(err)
	}
	w.publish(item)
	w.consumers = []Consumer{
		{ID: "feed/1", Type: "feed", Name: say("Thuế", "Tax"), Member: "G12", Dataset: livePopulation().Dataset, Fields: []string{"personal_number", "birth_date"}},
		{ID: "feed/2", Type: "feed", Name: say("Y tế", "Health"), Member: "G18", Dataset: livePopulation().Dataset, Fields: []string{"full_name"}},
	}
	without := func(column string) func(*Entry) {
		return func(e *Entry) {
			s := *e.Datasets[0].Shape
			s.Columns = slices.DeleteFunc(slices.Clone(s.Columns), func(c RegisteredColumn) bool { return c.Name == column })
			e.Datasets[0].Shape = &s
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*Entry)
		broken []lienthong.MemberCode
		next   stewardship.Version
	}{
		{"a purpose", func(e *Entry) { e.PurposeVi = "x" }, nil, stewardship.Version{Major: 1, Minor: 1}},
		{"a column of one of them", without("ngay_sinh"), []lienthong.MemberCode{"G12"}, stewardship.Version{Major: 2}},
		{"a column that nobody gets", without("ghi_chu"), nil, stewardship.Version{Major: 1, Minor: 1}},
		{"private", func(e *Entry) { e.Datasets[0].Access = PrivateAccess }, []lienthong.MemberCode{"G12", "G18"}, stewardship.Version{Major: 2}},
		{"open", func(e *Entry) { e.Datasets[0].Access = OpenAccess }, nil, stewardship.Version{Major: 1, Minor: 1}},
		{"state secret", func(e *Entry) { e.Datasets[0].StateSecret = true }, []lienthong.MemberCode{"G12", "G18"}, stewardship.Version{Major: 2}},
		{"dropped", func(e *Entry) { e.Datasets = nil }, []lienthong.MemberCode{"G12", "G18"}, stewardship.Version{Major: 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := w.register.Draft(w.ctx, "population")
			if err != nil {
				t.Fatal(err)
			}
			item, _, err := w.docs.Document(w.ctx, Kind, "population")
			if err != nil {
				t.Fatal(err)
			}
			before, err := stewardship.ItemOf(item)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(before.InForce, &e); err != nil {
				t.Fatal(err)
			}
			tt.change(&e)
			saved, err := w.draft(e)
			if err != nil {
				t.Fatal(err)
			}
			view, err := w.desk.Load(w.ctx, Kind, "population")
			if err != nil {
				t.Fatal(err)
			}
			var broken []lienthong.MemberCode
			for _, use := range view.Impact.Uses {
				if use.Breaking {
					broken = append(broken, use.Owner)
				}
			}
			if diff := cmp.Diff(tt.broken, broken); diff != "" {
				t.Error(diff)
			}
			if saved.Version != tt.next {
				t.Errorf("version %s, want %s; changes %+v", saved.Version, tt.next, view.Changes)
			}
			if len(view.Impact.Uses) != 2 || view.Impact.Breaking != (len(tt.broken) > 0) {
				t.Errorf("impact: %+v", view.Impact)
			}
		})
	}
}

func codes(list []*Record) []string {
	var all []string
	for _, r := range list {
		all = append(all, r.Code)
	}
	return all
}

func TestRegister_ListFiltersAndOrders(t *testing.T) {
	w := newWorld(t)
	if err := w.register.Observe(w.ctx, Observed{Dataset: lienthong.DatasetID{Database: "ward_budget", Name: "line"}, Member: "H49", Engine: "mysql", Table: "dong"}); err != nil {
		t.Fatal(err)
	}
	e := w.ready("population")
	e.Datasets = []Dataset{{Name: "person", Access: SharedAccess}}
	item, err := w.draft(e)
	if err != nil {
		t.Fatal(err)
	}
	w.publish(item)
	count := func(f Filter) int {
		t.Helper()
		list, err := w.register.List(w.ctx, f, "", false)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	for _, tt := range []struct {
		name string
		f    Filter
		want int
	}{
		{"all", Filter{}, 74},
		{"national", Filter{Class: lienthong.NationalDatabase}, 15},
		{"owner", Filter{Owner: "G09"}, 4},
		{"seeds", Filter{Origin: FromSeed}, 72},
		{"connected and not registered", Filter{Origin: FromObserved}, 1},
		{"published", Filter{Origin: FromOwner}, 1},
		{"connected", Filter{Connected: true}, 1},
		{"drifting", Filter{Drifting: true}, 1},
		{"status", Filter{Status: Built}, 1},
		{"domain", Filter{Domain: "DOM-CADASTRAL"}, 1},
		{"shared", Filter{Access: SharedAccess}, 1},
		{"state", Filter{State: "published"}, 1},
		{"text and class", Filter{Text: "dân cư", Class: lienthong.NationalDatabase}, 1},
		{"nothing", Filter{Owner: "H99"}, 0},
	} {
		if got := count(tt.f); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	for _, order := range Orders() {
		up, err := w.register.List(w.ctx, Filter{}, order, false)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.IsSortedFunc(up, order.compare()) {
			t.Errorf("not in order of %s", order)
		}
	}
	byName, err := w.register.List(w.ctx, Filter{Class: lienthong.PoliticalDatabase}, ByName, true)
	if err != nil {
		t.Fatal(err)
	}
	// đ stands behind d: "đảng", "đoàn" behind "bản án"; here from behind.
	if diff := cmp.Diff([]string{"association", "party", "judgment"}, codes(byName)); diff != "" {
		t.Error(diff)
	}
	if _, err := w.register.List(w.ctx, Filter{}, "colour", false); lienthong.ErrorCode(err) != "catalog.order" {
		t.Errorf("an unknown order: %v", err)
	}
}

func TestRegister_SeesWhatAnotherProcessDid(t *testing.T) {
	w := newWorld(t)
	other := w.open(builtin(t), nil)
	if _, err := other.Load(w.ctx, "population"); err != nil {
		t.Fatal(err)
	}
	item, err := w.draft(w.ready("population"))
	if err != nil {
		t.Fatal(err)
	}
	w.publish(item)
	w.now = w.now.Add(31 * time.Second)
	if rec, err := other.Load(w.ctx, "population"); err != nil || rec.Origin != FromOwner {
		t.Errorf("the other process shows %s, %v", rec.Origin, err)
	}
}
