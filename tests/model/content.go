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
	return a.base < b.base
}

// find gives where the reservation of an attempt is, -1 if nowhere.
func (l *Ledger) find(name, uid, base uint8) int {
	for k := 0; k < int(l.n); k++ {
		if r := l.res[k]; r.name == name && r.uid == uid && r.base == base {
			return k
		}
	}
	return -1
}

func (l *Ledger) creates(name uint8) (count int) {
	for _, r := range l.res[:l.n] {
		if r.name == name && r.base == 0 {
			count++
		}
	}
	return count
}

func (l *Ledger) most(name uint8) (most uint8) {
	for _, r := range l.res[:l.n] {
		if r.name == name {
			most = max(most, r.amount)
		}
	}
	return most
}

// reserve holds r: amounts are absolute, of two on one attempt the larger stays, and its age starts anew.
// A name that has room creates already gets one merged reservation for all of them.
func (l *Ledger) reserve(r Reservation, room int) {
	if k := l.find(r.name, r.uid, r.base); k >= 0 {
		l.merge(k, r)
		return
	}
	if r.base == 0 {
		if k := l.find(r.name, mergedUID, 0); k >= 0 {
			l.merge(k, r)
			return
		}
		if l.creates(r.name) >= room {
			r.uid = mergedUID
			for k := int(l.n) - 1; k >= 0; k-- {
				if old := l.res[k]; old.name == r.name && old.base == 0 {
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

// counted is the sum that is compared with the limit: each name once, as the largest of what is known to claim it.
func (w *World) counted(s *State, pos uint8, l *Ledger, name, amount uint8) (sum int) {
	for x := uint8(0); x < w.names; x++ {
		most := l.most(x)
		if e, _, exists := w.object(s, x, pos); exists {
			most = max(most, e.amount)
		}
		if x == name {
			most = max(most, amount)
		}
		sum += int(most)
	}
	return sum
}
