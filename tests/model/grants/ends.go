package main

// How what is held ends without the sight of its object: it is too old, or the ledger was lost.

// forget gives back to the budget what can never be stored any more: its bound has passed, and a quorum read by name after
// that has not found it.
func (w *World) forget(s *State, i int) {
	for q := range w.requests {
		isOver := w.isDead(s, q) || w.rules.forgetsEarly
		if s.replicas[i].charged.has(q) && isOver && s.createdAt(q, s.n) == 0 {
			t := *s
			t.replicas[i].charged &^= only(q)
			w.to(&t, Step{action: forgets, by: i, what: q})
		}
	}
}

// expire takes off reservations of creates that can never be stored any more, after a quorum read; and grants of others
// whose token is too old, after a quorum read in an earlier step that was made for exactly this token.
func (w *World) expire(s *State, i int) {
	if s.ledger.status != open {
		return
	}
	for q := range w.requests {
		if s.ledger.reserved.has(q) && w.isDead(s, q) {
			d := w.draft(s, i)
			d.content.reserved &^= only(q)
			if _, used := s.seen(s.n); used.has(q) {
				d.content.water = max(d.content.water, s.createdAt(q, s.n))
			}
			t := *s
			w.begin(&t, i, d, d.spare)
			w.to(&t, Step{action: expires, by: i, what: q})
		}
	}
	wait := w.waitsBoth()
	if w.rules.waits40 {
		wait = w.waits40()
	}
	if w.rules.waitsT {
		wait = validFor + 1
	}
	for h, room := range s.ledger.grants[:w.holders] {
		if h == i || room == (Room{}) || w.rules.noExpiry {
			continue
		}
		isOld := s.tokenAge[h] >= wait || w.rules.expiresEarly
		if int(s.replicas[i].readFor) != h+1 && (isOld || w.rules.readsEarly) {
			t := *s
			t.replicas[i].readFor, t.replicas[i].found = uint8(h+1), s.newest(s.n)
			if w.rules.ownWater {
				t.replicas[i].found = s.newest(s.replicas[i].pos)
			}
			w.to(&t, Step{action: quorumReads, by: i, what: -1, then: t.replicas[i].found})
		}
		if int(s.replicas[i].readFor) == h+1 && (isOld || w.rules.byHolder) {
			d := w.draft(s, i)
			d.content.grants[h] = Room{}
			if !w.rules.expiryNoWater {
				d.content.water = max(d.content.water, s.replicas[i].found)
			}
			t := *s
			t.replicas[i].readFor, t.replicas[i].found = 0, 0
			w.begin(&t, i, d, d.spare)
			w.to(&t, Step{action: expiresGrant, by: i, what: -1})
		}
	}
}

// rebuild begins a lost ledger anew, and opens it when nothing can be in flight any more that anybody allowed before or
// without knowing of the loss.
func (w *World) rebuild(s *State, i int) {
	wait := w.waitsBoth()
	if w.rules.rebuilds40 {
		wait = w.waits40()
	}
	var l Ledger
	step := Step{action: beginsAnew, by: i, what: -1}
	switch {
	case s.ledger.status == absent:
		l.status = rebuilding
	case s.ledger.status == rebuilding && s.rebuildAge >= wait:
		l.status = open
		if !w.rules.rebuildNoWater {
			l.water = s.newest(s.n)
		}
		step.action = opens
	default:
		return
	}
	t := *s
	w.begin(&t, i, Draft{content: l, leaving: s.replicas[i].charged}, Room{})
	w.to(&t, step)
}

// newest gives the highest version of what exists at a version, by a consistent list.
func (s *State) newest(version uint8) (newest uint8) {
	_, used := s.seen(version)
	for q := range s.calls {
		if used.has(q) {
			newest = max(newest, s.createdAt(q, version))
		}
	}
	return newest
}
