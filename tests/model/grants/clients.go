package main

// What clients, API servers, time and faults do.

// World expands states of one scenario under one set of rules.
type World struct {
	Scenario
	rules   Rules
	holders int
	dryRuns Set
	lowered []uint8 // the limits after an edit of the policy, if there is one
	alone   int     // only this request is asked, at replica askedAt, and no time passes; -1 if all are
	askedAt int
	lone    *World // this world for one request alone

	emit      func(next *State, step Step, broken string)
	isResting bool // nothing but a crash or a loss can happen in the state that was expanded last
	used      int  // the most that was stored at once
	sums      map[string]int
}

func (w *World) to(next *State, step Step) {
	w.isResting = false
	w.emit(next, step, "")
}

// expand emits every state that may follow s.
func (w *World) expand(s *State) {
	w.isResting = true
	for q, r := range w.requests {
		if w.alone >= 0 && w.alone != q {
			continue
		}
		switch r.kind {
		case remove:
			w.remove(s, q)
		case edit:
			w.edit(s, q)
		default:
			w.attempt(s, q)
		}
	}
	for i := 0; i < w.replicas; i++ {
		w.replica(s, i)
	}
	w.late(s)
	if w.alone >= 0 {
		return
	}
	w.tick(s)
	if s.lost < w.losses && s.ledger.status != absent {
		w.lose(s)
	}
	for i := 0; i < w.replicas && s.crashed < w.crashes; i++ {
		w.crash(s, i)
	}
}

func (w *World) remove(s *State, q int) {
	of := int(w.requests[q].of)
	if _, used := s.seen(s.n); s.calls[q].phase == done || !used.has(of) {
		return
	}
	t := *s
	t.events[t.n] = Event{uint8(of), true}
	t.n++
	t.calls[q].phase = done
	w.to(&t, Step{action: deletes, by: -1, what: of})
}

// attempt is a create: it may be asked more than once, and is stored at most once.
func (w *World) attempt(s *State, q int) {
	switch s.calls[q].phase {
	case idle, begun:
		for i := 0; i < w.replicas; i++ {
			if w.alone < 0 || i == w.askedAt {
				w.ask(s, i, q)
			}
		}
	case allowed:
		if w.alone >= 0 {
			return
		}
		w.store(s, q)
		if w.retries {
			t := *s
			t.calls[q].phase = begun
			w.to(&t, Step{action: losesAnswer, by: -1, what: q})
		}
	}
}

func (w *World) store(s *State, q int) {
	t := *s
	t.events[t.n] = Event{request: uint8(q)}
	t.n++
	t.calls[q].phase = done
	broken := ""
	_, used := t.seen(t.n)
	if !w.within(used, s.isEdited) {
		broken = overAdmission
	}
	w.isResting = false
	w.emit(&t, Step{action: stores, by: -1, what: q, then: t.n}, broken)
}

// tick lets time pass, for all clocks. A request ends for everybody when its bound is over.
func (w *World) tick(s *State) {
	t := *s
	for q := range w.requests {
		call := &t.calls[q]
		if call.phase == idle || !w.requests[q].isCreate() {
			continue
		}
		call.age = min(call.age+1, w.bound+1)
		if call.age > w.bound {
			call.phase = done
			for i := range t.replicas {
				t.replicas[i].deciding &^= only(q)
			}
		}
	}
	for h := range t.tokenAge {
		t.tokenAge[h] = min(t.tokenAge[h]+1, w.waitsBoth())
	}
	t.rebuildAge = min(t.rebuildAge+1, w.waitsBoth())
	t.recallAge = min(t.recallAge+1, 1)
	for i := range t.replicas[:w.replicas] {
		r := &t.replicas[i]
		if !w.rules.frozenClock {
			r.age = min(r.age+1, validFor+1)
		}
		if r.swapping != noSwap {
			r.swapAge = min(r.swapAge+1, validFor+1)
		}
	}
	w.tidy(&t)
	before := *s
	w.tidy(&before)
	if t != before {
		w.to(&t, Step{action: ticks, by: -1, what: -1})
	}
}

// late is a swap that nobody waits for: it lands or not.
func (w *World) late(s *State) {
	if !s.orphan.isThere {
		return
	}
	t := *s
	t.orphan = Orphan{}
	w.to(&t, Step{action: lateFails, by: -1, what: -1})
	if s.orphan.isCurrent || w.rules.noCAS {
		t := *s
		w.put(&t, s.orphan.swap, s.orphan.writer)
		t.orphan = Orphan{}
		w.to(&t, Step{action: lateLands, by: -1, what: -1})
	}
}

// lose takes the ledger away. Nobody is told.
func (w *World) lose(s *State) {
	t := *s
	t.lost++
	w.put(&t, Ledger{}, 0)
	w.emit(&t, Step{action: loses, by: -1, what: -1}, "")
}

// crash ends a process and starts another. It is another holder; its watch begins anywhere.
func (w *World) crash(s *State, i int) {
	for pos := uint8(0); pos <= s.n; pos++ {
		for _, isLate := range []bool{false, true} {
			r := s.replicas[i]
			if isLate && (r.swapping != underWay || s.orphan.isThere || !w.lateSwaps) {
				continue
			}
			t := *s
			if isLate {
				t.orphan = Orphan{true, r.isCurrent, uint8(i), r.swap}
			}
			t.setPhase(r.deciding, begun)
			t.replicas[i] = Replica{pos: pos}
			if w.rules.believesOld {
				anew := &t.replicas[i]
				anew.grant, anew.isOpen = t.ledger.grants[i], t.ledger.grants[i] != Room{}
			} else {
				t.bury(i, w.replicas+int(t.crashed))
			}
			t.crashed++
			w.emit(&t, Step{action: crashes, by: i, what: -1, then: pos}, "")
		}
	}
}

// bury makes what the ledger says of holder i a grant of a process that is gone.
func (s *State) bury(i, dead int) {
	move := func(l *Ledger) {
		l.grants[dead], l.grants[i] = l.grants[i], Room{}
	}
	move(&s.ledger)
	s.tokenAge[dead] = s.tokenAge[i]
	for k := range s.replicas {
		r := &s.replicas[k]
		if r.swapping != noSwap {
			move(&r.swap)
		}
		if int(r.readFor) == i+1 {
			r.readFor = uint8(dead + 1)
		}
	}
	if s.orphan.isThere {
		move(&s.orphan.swap)
		if int(s.orphan.writer) == i {
			s.orphan.writer = uint8(dead)
		}
	}
}
