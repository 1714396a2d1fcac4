package catalog

import (
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Seed makes an entry of every database of the reference data: what is publicly known
// of it, until its owner says more.
func Seed(d *dictionary.Dictionary) []Entry {
	databases := d.Databases()
	entries := make([]Entry, 0, len(databases))
	for i := range databases {
		db := &databases[i]
		e := Entry{
			Code: db.Code, NameVi: db.NameVi, NameEn: db.NameEn, Class: db.Class, Owner: db.Owner,
			LegalBases: legalBases(db.LegalBasis), Authority: authority(db.Code), Confidence: db.Confidence,
		}
		for _, claim := range e.Authority {
			prefix, _, _ := strings.Cut(claim, ".")
			if domain, known := d.DomainOfPrefix(prefix); known && !slices.Contains(e.Domains, domain.ID) {
				e.Domains = append(e.Domains, domain.ID)
			}
		}
		entries = append(entries, e)
	}
	return entries
}

// authority is what a database of the list is evidently the single source of (Decree
// 278/2025/NĐ-CP, article 5(2)): it was established by law to hold exactly that. Owners confirm or correct it.
func authority(code string) []string {
	switch code {
	case "population":
		return []string{"person.*", "residence.*", "household.*"}
	case "civil_status":
		return []string{"civil.*"}
	case "enterprise":
		return []string{"enterprise.*"}
	case "tax":
		return []string{"tax.*"}
	case "insurance":
		return []string{"insurance.*"}
	case "land":
		return []string{"parcel.*", "right.*"}
	case "vehicle":
		return []string{"vehicle.*"}
	case "public_asset":
		return []string{"asset.*"}
	}
	return nil
}

// legalBases takes the list's text apart: "NĐ 47/2024 Phụ lục; QĐ 714/2015".
func legalBases(text string) []LegalBasis {
	var bases []LegalBasis
	for part := range strings.SplitSeq(text, ";") {
		if _, later, replaced := strings.Cut(part, "->"); replaced {
			part = later
		}
		part, _, _ = strings.Cut(part, "(")
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		b := LegalBasis{Type: "other", Number: part}
		for _, form := range []struct {
			prefix string
			kind   LegalType
		}{
			{"NĐ ", "decree"}, {"QĐ ", "decision"}, {"TT ", "circular"}, {"NQ ", "resolution"}, {"KH ", "plan"}, {"Luật ", "law"},
		} {
			if strings.HasPrefix(part, form.prefix) {
				b.Type = form.kind
			}
		}
		for _, place := range []string{" Phụ lục", " Chương ", " Điều "} {
			if i := strings.Index(b.Number, place); i > 0 {
				b.Number, b.Article = b.Number[:i], strings.TrimSpace(b.Number[i:])
			}
		}
		bases = append(bases, b)
	}
	return bases
}

// unregistered is the entry of a database that is connected although nobody has registered it.
func unregistered(code string) Entry {
	return Entry{Code: code, NameVi: code, Class: lienthong.LocalDatabase, Confidence: "C"}
}
