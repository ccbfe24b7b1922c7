package main

// What may be done to the content of the ledger. Nothing here knows who does it, or when.

func (l *Ledger) remove(k int) {
	copy(l.res[k:], l.res[k+1:l.n])
	l.n--
	l.res[l.n] = Reservation{}
}

func (l *Ledger) insert(r Reservation) {
	k := int(l.n)
	for k > 0 && before(r, l.res[k-1]) {
		l.res[k] = l.res[k-1]
		k--
	}
	l.res[k] = r
	l.n++
}

func before(a, b Reservation) bool {
	if a.name != b.name {
		return a.name < b.name
	}
	if a.uid != b.uid {
		return a.uid < b.uid
	}
	if a.holder != b.holder {
		return a.holder < b.holder
	}
	return a.base < b.base
}

// find gives where the reservation of an attempt is, -1 if nowhere.
func (l *Ledger) find(of Reservation) int {
	for k := 0; k < int(l.n); k++ {
		if r := l.res[k]; r.name == of.name && r.holder == of.holder && r.uid == of.uid && r.base == of.base {
			return k
		}
	}
	return -1
}

// mark holds an edit, once.
func (l *Ledger) mark(m Mark) {
	k := int(l.marked)
	for k > 0 && (m.edit < l.marks[k-1].edit || m.edit == l.marks[k-1].edit && m.base <= l.marks[k-1].base) {
		k--
	}
	if k < int(l.marked) && l.marks[k] == m {
		return
	}
	copy(l.marks[k+1:], l.marks[k:l.marked])
	l.marks[k] = m
	l.marked++
}

func (l *Ledger) unmark(k int) {
	copy(l.marks[k:], l.marks[k+1:l.marked])
	l.marked--
	l.marks[l.marked] = Mark{}
}

func (l *Ledger) markOf(m Mark) int {
	for k, each := range l.marks[:l.marked] {
		if each == m {
			return k
		}
	}
	return -1
}

func (l *Ledger) creates(of Reservation) (count int) {
	for _, r := range l.res[:l.n] {
		if r.base == 0 && r.isAlike(of) {
			count++
		}
	}
	return count
}

func (r Reservation) isAlike(other Reservation) bool {
	return r.name == other.name && r.holder == other.holder
}

func (l *Ledger) most(name, holder uint8) (most uint8) {
	for _, r := range l.res[:l.n] {
		if r.name == name && r.holder == holder {
			most = max(most, r.amount)
		}
	}
	return most
}

// reserve holds r: amounts are absolute, of two on one attempt the larger stays, and its age starts anew.
// A name of which a holder has room creates already gets one merged reservation for all of them.
func (l *Ledger) reserve(r Reservation, room int) {
	if k := l.find(r); k >= 0 {
		l.merge(k, r)
		return
	}
	if r.base == 0 {
		if k := l.find(Reservation{name: r.name, holder: r.holder, uid: mergedUID}); k >= 0 {
			l.merge(k, r)
			return
		}
		if l.creates(r) >= room {
			r.uid = mergedUID
			for k := int(l.n) - 1; k >= 0; k-- {
				if old := l.res[k]; old.isAlike(r) && old.base == 0 {
					r.amount, r.tokens = max(r.amount, old.amount), r.tokens|old.tokens
					l.remove(k)
				}
			}
		}
	}
	l.insert(r)
}

func (l *Ledger) merge(k int, r Reservation) {
	l.res[k].amount = max(l.res[k].amount, r.amount)
	l.res[k].tokens |= r.tokens
}
