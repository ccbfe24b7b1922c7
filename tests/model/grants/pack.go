package main

import "bytes"

// A state as a short text of bytes, the same for states that act alike.

// Pack writes the state. With sorted it is the least of what it is with the replicas in any order: they are equal in all
// they do. A trace is kept without it, so that names stay.
func (w *World) Pack(s *State, sorted bool) []byte {
	w.tidy(s)
	b := w.write(s)
	if !sorted {
		return b
	}
	for _, order := range orders[w.replicas] {
		t := w.ordered(s, order)
		if other := w.write(&t); bytes.Compare(other, b) < 0 {
			b = other
		}
	}
	return b
}

var orders = map[int][][]int{
	1: nil,
	2: {{1, 0}},
	3: {{0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}},
}

func (w *World) ordered(s *State, order []int) State {
	t := *s
	turn := func(to, from *Ledger) {
		for i, was := range order {
			to.grants[i] = from.grants[was]
		}
	}
	for i, was := range order {
		t.replicas[i] = s.replicas[was]
		t.tokenAge[i] = s.tokenAge[was]
		turn(&t.replicas[i].swap, &s.replicas[was].swap)
		for holder, is := range order {
			if int(s.replicas[was].readFor) == is+1 {
				t.replicas[i].readFor = uint8(holder + 1)
			}
		}
		if int(s.orphan.writer) == was && s.orphan.isThere {
			t.orphan.writer = uint8(i)
		}
	}
	turn(&t.ledger, &s.ledger)
	turn(&t.orphan.swap, &s.orphan.swap)
	return t
}

// tidy takes out what can change nothing any more, so that states that act alike are one.
func (w *World) tidy(s *State) {
	if s.orphan.isThere && !s.orphan.isCurrent && !w.rules.noCAS {
		s.orphan = Orphan{}
	}
	held := s.ledger.reserved | s.orphan.swap.reserved
	for i := range s.replicas[:w.replicas] {
		r := &s.replicas[i]
		if r.readFor > 0 && s.ledger.grants[r.readFor-1] == (Room{}) {
			r.readFor, r.found = 0, 0
		}
		if !r.isOpen {
			r.grant, r.age = Room{}, 0
		}
		if r.swapping == landed || r.swapping == underWay && !r.isCurrent && !w.rules.noCAS {
			r.swap = Ledger{grants: ownOnly(i, r.swap.grants[i])} // nothing else of it can land any more
			r.isCurrent = false
		}
		held |= r.charged | r.swap.reserved
	}
	for q := range w.requests {
		if call := &s.calls[q]; call.phase == done && !held.has(q) {
			call.age = w.bound + 1
		}
	}
	for h, room := range s.ledger.grants {
		if room == (Room{}) {
			s.tokenAge[h] = 0
		}
	}
	if s.ledger.status != rebuilding {
		s.rebuildAge = 0
	}
	if s.ledger.recalled == 0 {
		s.recallAge = 0
	}
}

func ownOnly(i int, room Room) (grants [maxHolders]Room) {
	grants[i] = room
	return grants
}

func (w *World) write(s *State) []byte {
	b := make([]byte, 0, 160)
	w.each(s, func(part *uint8) { b = append(b, *part) })
	return b
}

func (w *World) Unpack(packed []byte) (s State) {
	w.each(&s, func(part *uint8) {
		*part = packed[0]
		packed = packed[1:]
	})
	return s
}

// each visits every part of a state that is in use, those that say what is in use before the others.
func (w *World) each(s *State, visit func(part *uint8)) {
	flag := func(is *bool) {
		b := uint8(0)
		if *is {
			b = 1
		}
		visit(&b)
		*is = b == 1
	}
	visit(&s.n)
	for v := range s.events[:s.n] {
		visit(&s.events[v].request)
		flag(&s.events[v].isDeleted)
	}
	w.eachOfLedger(&s.ledger, visit, flag)
	for h := range s.tokenAge[:w.holders] {
		visit(&s.tokenAge[h])
	}
	visit(&s.rebuildAge)
	visit(&s.recallAge)
	flag(&s.isEdited)
	visit(&s.crashed)
	visit(&s.lost)
	for q := range w.requests {
		visit(&s.calls[q].phase)
		visit(&s.calls[q].age)
	}
	flag(&s.orphan.isThere)
	if s.orphan.isThere {
		flag(&s.orphan.isCurrent)
		visit(&s.orphan.writer)
		w.eachOfLedger(&s.orphan.swap, visit, flag)
	}
	for i := range s.replicas[:w.replicas] {
		r := &s.replicas[i]
		visit(&r.pos)
		flag(&r.knows)
		visit((*uint8)(&r.charged))
		flag(&r.isOpen)
		visit(&r.age)
		for k := range w.limits {
			visit(&r.grant[k])
		}
		visit(&r.readFor)
		visit(&r.found)
		visit(&r.swapping)
		if r.swapping != noSwap {
			flag(&r.isCurrent)
			visit(&r.swapAge)
			visit((*uint8)(&r.leaving))
			visit((*uint8)(&r.deciding))
			w.eachOfLedger(&r.swap, visit, flag)
		}
	}
}

func (w *World) eachOfLedger(l *Ledger, visit func(part *uint8), flag func(is *bool)) {
	visit(&l.status)
	visit(&l.water)
	visit((*uint8)(&l.reserved))
	visit(&l.recalled)
	flag(&l.isMarked)
	flag(&l.isNewer)
	for k := range w.limits {
		visit(&l.credit[k])
		for h := range l.grants[:w.holders] {
			visit(&l.grants[h][k])
		}
	}
}
