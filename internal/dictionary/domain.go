package dictionary

import (
	"fmt"
	"slices"
)

// Domain is a part of the common dictionary (miền dữ liệu). Elements belong to
// one by the prefix of their identifier, or because they say so.
type Domain struct {
	ID           string   `yaml:"id"` // "DOM-HUMAN"
	NameVi       string   `yaml:"name_vi"`
	NameEn       string   `yaml:"name_en"`
	DefinitionVi string   `yaml:"definition_vi"`
	DefinitionEn string   `yaml:"definition_en"`
	Core         bool     `yaml:"core"` // one of the six core domains of Decision 2439/QD-TTg
	Prefixes     []Prefix `yaml:"prefixes"`
	Line         int      `yaml:"-"`
}

// Prefix is a family of elements within a domain: what their identifiers begin with.
type Prefix struct {
	ID     string `yaml:"id"` // "person"
	NameVi string `yaml:"name_vi"`
	NameEn string `yaml:"name_en"`
}

// Domains returns the domains in the order of the dictionary.
func (d *Dictionary) Domains() []Domain { return d.domains }

// DomainByID finds a domain: "DOM-HUMAN".
func (d *Dictionary) DomainByID(id string) (Domain, bool) {
	i := slices.IndexFunc(d.domains, func(domain Domain) bool { return domain.ID == id })
	if i < 0 {
		return Domain{}, false
	}
	return d.domains[i], true
}

// DomainOfPrefix finds the domain of identifiers that begin with the prefix and a dot.
func (d *Dictionary) DomainOfPrefix(prefix string) (Domain, bool) {
	for _, domain := range d.domains {
		if slices.ContainsFunc(domain.Prefixes, func(p Prefix) bool { return p.ID == prefix }) {
			return domain, true
		}
	}
	return Domain{}, false
}

// takeDomain adds a domain of a file.
func (d *Dictionary) takeDomain(p *problems, domain *Domain) {
	if domain.ID == "" || domain.NameVi == "" || domain.NameEn == "" || domain.DefinitionVi == "" || domain.DefinitionEn == "" || len(domain.Prefixes) == 0 {
		p.add(domain.Line, "domain.incomplete", fmt.Sprintf("miền %q thiếu tên, định nghĩa hoặc tiền tố", domain.ID), fmt.Sprintf("domain %q lacks a name, definition or prefixes", domain.ID), "")
	}
	if _, twice := d.DomainByID(domain.ID); twice {
		p.add(domain.Line, "domain.twice", fmt.Sprintf("miền %q có hai lần", domain.ID), fmt.Sprintf("domain %q stands twice", domain.ID), "")
	}
	for _, prefix := range domain.Prefixes {
		if !plainFieldName(prefix.ID) || prefix.NameVi == "" || prefix.NameEn == "" {
			p.add(domain.Line, "domain.prefix", fmt.Sprintf("miền %q: tiền tố %q không đúng dạng hoặc thiếu tên", domain.ID, prefix.ID), fmt.Sprintf("domain %q: prefix %q is malformed or lacks a name", domain.ID, prefix.ID), "")
		}
		if _, twice := d.DomainOfPrefix(prefix.ID); twice {
			p.add(domain.Line, "domain.prefix", fmt.Sprintf("tiền tố %q thuộc hai miền", prefix.ID), fmt.Sprintf("prefix %q belongs to two domains", prefix.ID), "")
		}
	}
	d.domains = append(d.domains, *domain)
}
