package demo

// The events of a Changer. Each changes the world, adds the statements that do the
// same to the sources, and reports false, with nothing changed, when it found nobody
// to happen to.

// move brings somebody to another commune. The commune of before 2025 stays.
func (c *Changer) move(e *event) bool {
	w := c.world
	i := c.pick(func(p *person) bool {
		code := w.places.communes[p.commune].code
		return p.born < w.today-days(18) && code != w.config.Communes[0] && code != w.config.Communes[1]
	})
	if i < 0 {
		return false
	}
	link := w.places.drawLink(c.r, w.places.drawProvince(c.r))
	house := c.r.Uint32()
	c.updatePerson(e, i, func(p *person) {
		p.commune, p.house, p.updated = w.places.links[link].commune, house, c.minute()
	})
	return true
}

// contact gives somebody another telephone number and mail address.
func (c *Changer) contact(e *event) bool {
	i := c.pick(func(p *person) bool { return p.born < c.world.today-days(16) })
	if i < 0 {
		return false
	}
	salt := c.r.Uint32()
	wrong := c.r.Float64() < c.world.config.LiveDefects
	c.updatePerson(e, i, func(p *person) {
		p.salt, p.updated = salt, c.minute()
		if wrong {
			p.defect = personBadPhone
		}
	})
	if wrong {
		c.defects = append(c.defects, i)
	}
	return true
}

// verify checks somebody's record against the person.
func (c *Changer) verify(e *event) bool {
	i := c.pick(func(*person) bool { return true })
	if i < 0 {
		return false
	}
	c.updatePerson(e, i, func(p *person) { p.verified, p.updated = c.minute(), c.minute() })
	return true
}

// birth enters a newborn in both databases.
func (c *Changer) birth(e *event) bool {
	w := c.world
	mother := c.pick(func(p *person) bool {
		if p.male() || p.spouse < 0 || p.marital != married || p.born < w.today-days(43) || p.born > w.today-days(19) {
			return false
		}
		father := &w.people[p.spouse]
		return father.defect == clean && father.flags&(dead|gone) == 0
	})
	if mother < 0 {
		return false
	}
	father := w.people[mother].spouse
	p := person{
		father: father, mother: mother, spouse: -1, born: c.today() - 1 - c.r.Int32N(20), link: w.people[father].link,
		commune: w.people[father].commune, house: w.people[father].house, ethnic: w.people[father].ethnic, salt: c.r.Uint32(),
		verified: c.minute(), updated: c.minute(),
	}
	if chance(c.r, 52) {
		p.flags |= male
	}
	p.province = w.places.communes[p.commune].province
	if p.born < reorganisation() {
		p.province = w.places.links[p.link].province
	}
	p.surname, p.middle, p.given = w.names.name(c.r, p.ethnic, southern(w.places.links[p.link].province), p.male(), yearOf(p.born), w.people[father].surname)
	parents := [2]person{w.people[father], w.people[mother]}
	i := w.append(c.r, p)
	w.refer(father)
	w.refer(mother)
	e.undoPopulation = append(e.undoPopulation, func() {
		delete(w.numbers, w.people[i].number())
		w.people = w.people[:i]
		w.people[father], w.people[mother] = parents[0], parents[1]
	})
	e.population = append(e.population, insertOf("cong_dan", personColumns(), w.personRow(nil, int(i), c.dates())))

	refs := w.people[i].refs
	b := w.newBirth(c.r, i)
	b.registered, b.updated = c.today(), c.minute()
	w.births = append(w.births, b)
	n := len(w.births) - 1
	e.undoCivil = append(e.undoCivil, func() {
		w.births = w.births[:n]
		w.people[i].refs = refs
	})
	e.civil = append(e.civil, insertOf("khai_sinh", birthColumns(), w.birthRow(nil, n)))
	return true
}

// marry weds two single people.
func (c *Changer) marry(e *event) bool {
	w := c.world
	free := func(p *person) bool {
		return p.marital == single && p.spouse < 0 && p.born < w.today-days(21) && p.born > w.today-days(50)
	}
	husband := c.pick(func(p *person) bool { return p.male() && free(p) })
	if husband < 0 {
		return false
	}
	man := w.people[husband]
	wife := c.pick(func(p *person) bool {
		return !p.male() && free(p) && (p.father < 0 || p.father != man.father) && p.born > man.born-days(5) && p.born < man.born+days(12)
	})
	if wife < 0 {
		return false
	}
	c.updatePerson(e, husband, func(p *person) { p.marital, p.spouse, p.updated = married, wife, c.minute() })
	c.updatePerson(e, wife, func(p *person) { p.marital, p.spouse, p.updated = married, husband, c.minute() })
	refs := [2]uint8{w.people[husband].refs, w.people[wife].refs}
	m := w.newMarriage(c.r, husband, wife, c.today())
	m.registered, m.updated = c.today(), c.minute()
	w.marriages = append(w.marriages, m)
	n := len(w.marriages) - 1
	e.undoCivil = append(e.undoCivil, func() {
		w.marriages = w.marriages[:n]
		w.people[husband].refs, w.people[wife].refs = refs[0], refs[1]
	})
	e.civil = append(e.civil, insertOf("ket_hon", marriageColumns(), w.marriageRow(nil, n)))
	return true
}

// die enters a death; the spouse is widowed.
func (c *Changer) die(e *event) bool {
	w := c.world
	i := c.pick(func(p *person) bool {
		return p.born < w.today-days(60) && (p.spouse < 0 || w.people[p.spouse].defect == clean)
	})
	if i < 0 {
		return false
	}
	if s := w.people[i].spouse; s >= 0 && w.people[s].flags&(dead|gone) == 0 && w.people[s].marital == married {
		c.updatePerson(e, s, func(p *person) { p.marital, p.updated = widowed, c.minute() })
	}
	before := w.people[i]
	d := w.newDeath(c.r, i, c.today()-c.r.Int32N(4), c.today())
	d.updated = c.minute()
	w.deaths = append(w.deaths, d)
	n := len(w.deaths) - 1
	e.undoCivil = append(e.undoCivil, func() {
		w.deaths = w.deaths[:n]
		w.people[i] = before
	})
	e.civil = append(e.civil, insertOf("khai_tu", deathColumns(), w.deathRow(nil, n)))
	return true
}

// remove deletes the record of somebody whom no other record names.
func (c *Changer) remove(e *event) bool {
	i := c.pick(func(p *person) bool { return p.refs == 0 && p.spouse < 0 })
	if i < 0 {
		return false
	}
	c.delete(e, i)
	return true
}

func (c *Changer) delete(e *event, i int32) {
	w := c.world
	w.people[i].flags |= gone
	e.undoPopulation = append(e.undoPopulation, func() { w.people[i].flags &^= gone })
	e.population = append(e.population, deleteOf("cong_dan", personColumns()[0], personKey(int(i))))
}

// correct puts a planted defect of the population right.
func (c *Changer) correct(e *event) bool {
	if len(c.defects) == 0 {
		return false
	}
	w := c.world
	n := c.r.IntN(len(c.defects))
	i := c.defects[n]
	if w.people[i].defect == personTwice {
		second := int32(-1)
		for j := range w.people {
			if p := &w.people[j]; p.flags&twin != 0 && p.spouse == i {
				second = int32(j)
			}
		}
		if second < 0 {
			return false
		}
		c.delete(e, second)
	}
	c.updatePerson(e, i, func(p *person) {
		switch p.defect {
		case personBornInFuture:
			delete(w.numbers, p.number())
			p.born = w.today - days(5) - c.r.Int32N(days(20))
			for {
				if _, used := w.numbers[p.number()]; !used && !placeholder(p.random) {
					break
				}
				p.random = c.r.Uint32N(1_000_000)
			}
			w.numbers[p.number()] = struct{}{}
		case personStale:
			p.verified = c.minute()
		}
		p.defect, p.updated = clean, c.minute()
	})
	list := c.defects
	c.defects = append(append([]int32(nil), list[:n]...), list[n+1:]...)
	e.undoPopulation = append(e.undoPopulation, func() { c.defects = list })
	return true
}

// work fills the column that was added to the population table.
func (c *Changer) work(e *event) bool {
	i := c.pick(func(p *person) bool { return p.born < c.world.today-days(18) && p.flags&employed == 0 })
	if i < 0 {
		return false
	}
	c.updatePerson(e, i, func(p *person) {
		p.flags |= employed
		p.updated = c.minute()
	})
	words := occupations()
	e.population = append(e.population, statement{
		"UPDATE cong_dan SET nghe_nghiep = ? WHERE ma_ban_ghi = ?", []any{words[c.r.IntN(len(words))], personKey(int(i))},
	})
	return true
}

func occupations() []string {
	return []string{"Nông dân", "Công nhân", "Giáo viên", "Buôn bán", "Lái xe", "Thợ xây", "Y sĩ", "Kế toán", "Ngư dân", "Học sinh, sinh viên", "Công chức", "Thợ may", "Kỹ sư", "Nội trợ", "Nghỉ hưu"}
}

// retype saves an entry of the births again.
func (c *Changer) retype(e *event) bool {
	w := c.world
	if len(w.births) == 0 {
		return false
	}
	i := c.r.IntN(len(w.births))
	b := &w.births[i]
	if b.gone || b.updated >= c.minute() {
		return false
	}
	before, old := *b, w.birthRow(nil, i)
	b.updated = c.minute()
	e.undoCivil = append(e.undoCivil, func() { w.births[i] = before })
	e.civil = appendUpdate(e.civil, "khai_sinh", birthColumns(), old, w.birthRow(nil, i))
	return true
}

// strike deletes a marriage that was entered by mistake.
func (c *Changer) strike(e *event) bool {
	w := c.world
	if len(w.marriages) == 0 {
		return false
	}
	i := c.r.IntN(len(w.marriages))
	if m := &w.marriages[i]; m.gone || m.defect != clean {
		return false
	}
	w.marriages[i].gone = true
	e.undoCivil = append(e.undoCivil, func() { w.marriages[i].gone = false })
	e.civil = append(e.civil, deleteOf("ket_hon", marriageColumns()[0], marriageKey(i)))
	return true
}

// correctCivil puts a planted defect of the deaths or births right.
func (c *Changer) correctCivil(e *event) bool {
	w := c.world
	for range 2000 {
		i := c.r.IntN(len(w.births))
		b := &w.births[i]
		if b.gone || b.defect == clean {
			continue
		}
		before, old := *b, w.birthRow(nil, i)
		if b.defect == birthTwice {
			// The other entry stays.
			for j := range w.births {
				if other := &w.births[j]; j != i && other.child == b.child && !other.gone {
					other.defect, b.gone = clean, true
					e.undoCivil = append(e.undoCivil, func() { w.births[i], w.births[j].defect = before, birthTwice })
				}
			}
			e.civil = append(e.civil, deleteOf("khai_sinh", birthColumns()[0], birthKey(i)))
			return true
		}
		w.former = append(w.former, old[3], old[4], old[7], old[8])
		b.defect, b.updated = clean, c.minute()
		e.undoCivil = append(e.undoCivil, func() { w.births[i] = before })
		e.civil = appendUpdate(e.civil, "khai_sinh", birthColumns(), old, w.birthRow(nil, i))
		return true
	}
	return false
}

// drop puts a new file into a commune's folder: by turns the whole list of households,
// and the parcels that changed.
func (c *Changer) drop() error {
	w := c.world
	c.files++
	commune := uint8(c.files / 2 % 2)
	skip := func(int) {}
	if c.files%2 == 1 {
		before := append([]household(nil), w.households...)
		people := c.changeHouseholds(commune)
		if err := w.dropHouseholds(c.targets.Communes, commune, c.files, skip); err != nil {
			w.households = before
			people()
			return err
		}
		return nil
	}
	before := append([]parcel(nil), w.parcels...)
	changed, removed, people := c.changeParcels(commune)
	if err := w.dropParcels(c.targets.Communes, commune, c.files, changed, removed, skip); err != nil {
		w.parcels = before
		people()
		return err
	}
	return nil
}

// resident draws a grown-up of a commune.
func (c *Changer) resident(commune uint8) int32 {
	w := c.world
	home := w.places.index[w.config.Communes[commune]]
	return c.pick(func(p *person) bool { return p.commune == home && p.born < w.today-days(25) })
}

// changeHouseholds makes a few changes to a commune's list and returns how to take
// back what they did to people.
func (c *Changer) changeHouseholds(commune uint8) func() {
	w := c.world
	changes := 0
	for range 400 {
		if changes == 6 || len(w.households) == 0 {
			break
		}
		h := &w.households[c.r.IntN(len(w.households))]
		if h.commune != commune || h.gone || h.defect == householdTwice {
			continue
		}
		changes++
		switch {
		case h.defect != clean && changes > 2: // two in three are put right when somebody looks at them
			name := w.fullName(&w.people[h.head])
			w.former = append(w.former, w.otherName(&w.people[h.head], h.serial), name, w.stranger(h.serial))
			h.defect = clean
		case changes == 1 && h.defect == clean:
			h.gone = true
		case changes == 2:
			h.poverty = uint8(c.r.Uint32N(3))
		case h.members < 12:
			h.members++
		default:
			h.members--
		}
		h.updated = c.minute()
	}
	head := c.resident(commune)
	if head < 0 {
		return func() {}
	}
	refs := w.people[head].refs
	h := w.newHousehold(c.r, commune, w.nextSerial(commune, true), head)
	h.updated = c.minute()
	w.households = append(w.households, h)
	return func() { w.people[head].refs = refs }
}

// changeParcels makes a few changes to a commune's parcels: those to send as they
// stand, and those that are gone.
func (c *Changer) changeParcels(commune uint8) (changed, removed []int, undo func()) {
	w := c.world
	seen := map[int]bool{}
	refs := map[int32]uint8{}
	for range 400 {
		if len(seen) == 6 || len(w.parcels) == 0 {
			break
		}
		i := c.r.IntN(len(w.parcels))
		p := &w.parcels[i]
		if p.commune != commune || p.gone || p.defect != clean || seen[i] {
			continue
		}
		seen[i] = true
		p.updated = c.minute()
		if len(seen) == 1 {
			p.gone = true
			removed = append(removed, i)
			continue
		}
		if owner := c.resident(commune); owner >= 0 {
			if _, known := refs[owner]; !known {
				refs[owner] = w.people[owner].refs
			}
			w.refer(owner)
			p.owner, p.certificate = owner, c.today()
		}
		changed = append(changed, i)
	}
	if owner := c.resident(commune); owner >= 0 {
		if _, known := refs[owner]; !known {
			refs[owner] = w.people[owner].refs
		}
		p := w.newParcel(c.r, commune, w.nextSerial(commune, false), owner)
		p.updated = c.minute()
		w.parcels = append(w.parcels, p)
		changed = append(changed, len(w.parcels)-1)
	}
	return changed, removed, func() {
		for owner, n := range refs {
			w.people[owner].refs = n
		}
	}
}
