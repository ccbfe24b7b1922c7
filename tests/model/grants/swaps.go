package main

// What a replica writes. Every swap of its own gives its grant a new token and takes off what its watch has shown.

// Draft is what replica i would write now, and the sums that it decides by.
type Draft struct {
	content Ledger // without a grant of its own
	leaving Set    // what its grant is not charged with any more
	kept    Set    // what its grant stays charged with
	counted Set    // used, reserved, or in flight here: each once
	others  Room   // the grants of all others, in full
	spare   Room   // what is left of its own grant
	isFar   bool   // its watch has come far enough to decide
}

// draft reads the ledger and takes off what the watch of replica i has shown, of reservations and of its own grant.
// settledThrough rises with what still exists. Of a grant that the ledger does not have any more nothing can be in flight.
func (w *World) draft(s *State, i int) Draft {
	r := &s.replicas[i]
	d := Draft{content: s.ledger, isFar: r.pos >= s.ledger.water}
	own := s.ledger.grants[i]
	seen, used := s.seen(r.pos)
	d.leaving = r.charged & (seen | s.ledger.reserved)
	if own == (Room{}) {
		d.leaving = r.charged
	}
	d.kept = r.charged &^ d.leaving
	if r.isOpen && own != (Room{}) {
		d.spare = own.less(w.sum(r.charged))
	}
	if w.rules.doubleReturn && own == (Room{}) && r.isOpen {
		d.content.credit = r.grant.less(w.sum(r.charged))
	}
	if s.recallAge > 0 {
		d.content.recalled = 0
	}
	if d.content.isMarked && (r.knows || w.isRefused(s)) {
		d.content.isMarked, d.content.isNewer = false, r.knows
	}
	w.settle(s, &d, s.ledger.reserved&seen, used)
	d.content.reserved &^= seen
	if !w.rules.noSettle {
		w.settle(s, &d, d.leaving&seen, used)
	}
	if w.isRecalled(s, i) {
		d.spare = Room{}
		if !w.rules.anonymous {
			d.content.reserved |= d.kept
			d.leaving, d.kept = r.charged, 0
		}
	}
	d.content.grants[i] = Room{}
	d.counted = used | d.content.reserved | d.kept
	for h, room := range d.content.grants[:w.holders] {
		if h != i && !w.rules.notCharged {
			d.others = d.others.plus(room)
		}
	}
	d.others = d.others.less(d.content.credit)
	return d
}

// settle raises settledThrough to what is taken off. What replica i has seen deleted needs no mark: who has not seen that
// counts too much.
func (w *World) settle(s *State, d *Draft, off, used Set) {
	for q := range w.requests {
		if off.has(q) && used.has(q) {
			d.content.water = max(d.content.water, s.createdAt(q, s.n))
		}
	}
}

// isRecalled says that a replica has to give back: then what is in flight under its grant becomes reservations, each by
// its name, and the grant is over.
func (w *World) isRecalled(s *State, i int) bool {
	for k := range w.limits {
		isMarked := s.ledger.isMarked && w.lowered[k] < w.limits[k]
		if (s.ledger.recalled>>k&1 != 0 || isMarked) && s.ledger.grants[i][k] > 0 {
			return !w.rules.deaf
		}
	}
	return false
}

// spares are what a grant may have beside what it is charged with: nothing, what is left, or a share.
func (w *World) spares(s *State, i int, d *Draft) []Room {
	spares := []Room{{}}
	add := func(spare Room) {
		for _, each := range spares {
			if each == spare {
				return
			}
		}
		spares = append(spares, spare)
	}
	add(d.spare)
	if w.alone >= 0 || !d.isFar && !w.rules.noWater || s.mustWait(i) {
		return spares
	}
	for _, share := range w.shares {
		isRecalled := false
		for k := range w.limits {
			isMarked := d.content.isMarked && w.lowered[k] < w.limits[k]
			isRecalled = isRecalled || share[k] > 0 && (d.content.recalled>>k&1 != 0 || isMarked)
		}
		if !isRecalled {
			add(share)
		}
	}
	return spares
}

// fits says that what is asked for and the spare part of the own grant fit beside everything that is counted. A part that
// the ledger has counted already is not asked for.
func (w *World) fits(s *State, d *Draft, i int, asked Set, spare Room) bool {
	sum, amounts := w.sum(d.counted|asked), w.sum(asked)
	for k, limit := range w.limitsOf(&s.replicas[i]) {
		total := sum[k] + d.others[k]
		if !w.rules.exactKeeps || asked == 0 || spare != d.spare {
			total += spare[k]
		}
		if (amounts[k] > 0 || spare[k] > 0) && total > limit {
			return false
		}
	}
	return true
}

// begin sends a swap with what is decided and the replica's own grant.
func (w *World) begin(s *State, i int, d Draft, spare Room) {
	r := &s.replicas[i]
	room := w.sum(d.kept).plus(spare)
	if w.rules.dropsInFlight {
		room, d.leaving = spare, r.charged
	}
	d.content.grants[i] = room
	r.swapping, r.isCurrent, r.swap, r.swapAge, r.leaving = underWay, true, d.content, 0, d.leaving
}

// renew writes the grant anew: without what the watch has shown, with as much to spare as before, with a share, or with
// nothing. Where nobody asks for anything any more, nothing is kept.
func (w *World) renew(s *State, i int) {
	if s.ledger.status != open {
		return
	}
	d := w.draft(s, i)
	for _, spare := range w.spares(s, i, &d) {
		if spare != (Room{}) && (w.isQuiet(s) || s.ledger.grants[i] == Room{}) || spare != d.spare && w.alone >= 0 {
			continue
		}
		if spare != d.spare && spare != (Room{}) && !w.fits(s, &d, i, 0, spare) {
			continue
		}
		t := *s
		w.begin(&t, i, d, spare)
		isNew := t.replicas[i].swap != s.ledger || d.leaving != 0
		isLonger := spare != (Room{}) && (s.replicas[i].age > 0 || !s.replicas[i].isOpen)
		if isNew || isLonger {
			w.to(&t, Step{action: renews, by: i, what: -1, room: t.replicas[i].swap.grants[i]})
		}
	}
}

// isQuiet says that nobody will ask any more.
func (w *World) isQuiet(s *State) bool {
	for q, r := range w.requests {
		if r.isCreate() && s.calls[q].phase != done {
			return false
		}
	}
	return true
}

func (w *World) sum(set Set) (sum Room) {
	for q, r := range w.requests {
		if set.has(q) && r.isCreate() {
			sum = sum.plus(r.amounts)
		}
	}
	return sum
}

func (w *World) limitsOf(r *Replica) []uint8 {
	if r.knows {
		return w.lowered
	}
	return w.limits
}

func (w *World) within(set Set, isEdited bool) bool {
	sum := w.sum(set)
	for k, limit := range w.limitsOf(&Replica{knows: isEdited}) {
		if sum[k] > limit {
			return false
		}
	}
	return true
}

func (w *World) keysOf(q int) (keys uint8) {
	for k := range w.limits {
		if w.requests[q].amounts[k] > 0 {
			keys |= 1 << k
		}
	}
	return keys
}

func (a Room) plus(b Room) Room {
	for k := range a {
		a[k] += b[k]
	}
	return a
}

// less never goes below nothing.
func (a Room) less(b Room) Room {
	for k := range a {
		a[k] -= min(a[k], b[k])
	}
	return a
}
