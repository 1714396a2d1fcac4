package dictionary

import (
	"fmt"
	"slices"
	"time"
)

// listFile is the form of a code list in YAML.
type listFile struct {
	ID        string     `yaml:"id"`
	NameVi    string     `yaml:"name_vi"`
	NameEn    string     `yaml:"name_en"`
	Source    string     `yaml:"source"`
	Version   string     `yaml:"version"`
	ValidFrom string     `yaml:"valid_from"`
	ValidTo   string     `yaml:"valid_to"`
	Codes     []codeFile `yaml:"codes"`
	Links     []linkFile `yaml:"links"`
	Line      int        `yaml:"-"`
}

type codeFile struct {
	Code      string   `yaml:"code"`
	Vi        string   `yaml:"vi"`
	En        string   `yaml:"en"`
	Parent    string   `yaml:"parent"`
	Aliases   []string `yaml:"aliases"`
	ValidFrom string   `yaml:"valid_from"`
	ValidTo   string   `yaml:"valid_to"`
	Line      int      `yaml:"-"`
}

// linkFile says what became of a code.
type linkFile struct {
	From    string         `yaml:"from"`
	To      string         `yaml:"to"`
	At      string         `yaml:"at"`
	Kind    SuccessionKind `yaml:"kind"`
	Partial bool           `yaml:"partial"`
	Note    string         `yaml:"note"`
	Line    int            `yaml:"-"`
}

// build checks the list and makes it ready for look-ups. It always returns a list, so
// that problems of others are found in the same go.
func (list *listFile) build(p *problems) *CodeList {
	if !plainFieldName(list.ID) || list.NameVi == "" || list.NameEn == "" || list.Source == "" || len(list.Codes) == 0 {
		p.add(list.Line, "list.incomplete", fmt.Sprintf("danh mục %q thiếu mã, tên, nguồn hoặc các mã", list.ID), fmt.Sprintf("code list %q lacks an identifier, name, source or codes", list.ID), "id: ten_danh_muc, name_vi, name_en, source, codes")
	}
	from, okFrom := instantOf(list.ValidFrom, "", always)
	to, okTo := instantOf(list.ValidTo, "", forever)
	if !okFrom || !okTo || from >= to {
		p.add(list.Line, "list.date", fmt.Sprintf("danh mục %q: ngày hiệu lực không đúng", list.ID), fmt.Sprintf("code list %q: bad dates of validity", list.ID), "yyyy-mm-dd")
	}
	codes := make([]Code, 0, len(list.Codes))
	for i := range list.Codes {
		c := &list.Codes[i]
		from, okFrom := instantOf(c.ValidFrom, list.ValidFrom, always)
		to, okTo := instantOf(c.ValidTo, list.ValidTo, forever)
		if !okFrom || !okTo || from >= to {
			p.add(c.Line, "list.date", fmt.Sprintf("mã %q: ngày hiệu lực không đúng", c.Code), fmt.Sprintf("code %q: bad dates of validity", c.Code), "yyyy-mm-dd")
		}
		if c.Code == "" || c.Vi == "" {
			p.add(c.Line, "list.incomplete", "mã thiếu code hoặc tên", "a code lacks code or name", "")
		}
		codes = append(codes, Code{Code: c.Code, NameVi: c.Vi, NameEn: c.En, From: from, To: to, Parent: c.Parent, Aliases: c.Aliases})
	}
	built := newCodeList(list.ID, list.NameVi, list.NameEn, list.Source, list.Version, codes)
	built.From, built.To = from, to
	for i := 1; i < len(built.codes); i++ {
		if a, b := &built.codes[i-1], &built.codes[i]; a.Code == b.Code && b.From < a.To {
			p.add(list.Line, "list.overlap", fmt.Sprintf("danh mục %q: mã %q có hai tên trong cùng một thời gian", list.ID, a.Code), fmt.Sprintf("code list %q: code %q stands twice at the same time", list.ID, a.Code), "valid_from, valid_to")
		}
	}
	for _, code := range built.codes {
		if _, known := built.index[code.Parent]; code.Parent != "" && (!known || code.Parent == code.Code) {
			p.add(list.Line, "list.parent", fmt.Sprintf("danh mục %q: mã cha %q của %q không có", list.ID, code.Parent, code.Code), fmt.Sprintf("code list %q: parent %q of %q does not exist", list.ID, code.Parent, code.Code), "")
		}
	}
	links := make([]CodeLink, 0, len(list.Links))
	for i := range list.Links {
		l := &list.Links[i]
		at, ok := instantOf(l.At, "", always)
		old, was := built.Lookup(l.From, at-1)
		_, is := built.Lookup(l.To, at)
		if !ok || l.At == "" || !was || old.To != at || !is || !slices.Contains(SuccessionKinds(), l.Kind) {
			p.add(l.Line, "list.link", fmt.Sprintf("danh mục %q: liên kết %q -> %q không đúng mã, ngày hoặc loại", list.ID, l.From, l.To), fmt.Sprintf("code list %q: link %q -> %q has a bad code, date or kind", list.ID, l.From, l.To), "mã cũ hết hiệu lực đúng ngày at / the old code ends on the day at; "+joined(SuccessionKinds()))
		}
		links = append(links, CodeLink{From: l.From, To: l.To, At: at, Kind: l.Kind, Partial: l.Partial, Sure: true, Note: l.Note})
	}
	built.setLinks(links)
	return built
}

// file is the counterpart of build.
func (l *CodeList) file() *listFile {
	f := &listFile{
		ID: l.ID, NameVi: l.NameVi, NameEn: l.NameEn, Source: l.Source, Version: l.Version,
		ValidFrom: dateOf(l.From), ValidTo: dateOf(l.To),
	}
	for i := range l.codes {
		c := &l.codes[i]
		code := codeFile{Code: c.Code, Vi: c.NameVi, En: c.NameEn, Parent: c.Parent, Aliases: c.Aliases}
		if c.From != l.From {
			code.ValidFrom = dateOf(c.From)
		}
		if c.To != l.To {
			code.ValidTo = dateOf(c.To)
		}
		f.Codes = append(f.Codes, code)
	}
	for _, link := range l.links {
		f.Links = append(f.Links, linkFile{From: link.From, To: link.To, At: dateOf(link.At), Kind: link.Kind, Partial: link.Partial, Note: link.Note})
	}
	return f
}

// instantOf reads a date as the instant at which it begins in Vietnam.
func instantOf(own, inherited string, none int64) (int64, bool) {
	if own == "" {
		own = inherited
	}
	if own == "" {
		return none, true
	}
	date, err := time.Parse(time.DateOnly, own)
	if err != nil {
		return 0, false
	}
	return date.UnixMicro() - vietnamOffset, true
}

// dateOf writes what instantOf reads; "" for always and forever.
func dateOf(instant int64) string {
	if instant == always || instant == forever {
		return ""
	}
	return time.UnixMicro(instant + vietnamOffset).UTC().Format(time.DateOnly)
}
