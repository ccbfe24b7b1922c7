package main

// What a replica does while the ledger is there: it watches, reads the ledger, decides, swaps, answers, settles,
// expires, and crashes. Reading, deciding and swapping are separate steps: anything may happen between them.

// content gives what replica i would base a swap on: what it has decided already, else its copy.
func (s *State) content(i int) Ledger {
	r := &s.replicas[i]
	switch {
	case r.hasSwap:
		return r.swap
	case r.isCurrent:
		return s.ledger
	default:
		return r.copy
	}
}

func (s *State) setSwap(i int, l Ledger) {
	s.replicas[i].swap, s.replicas[i].hasSwap = l, true
}

func (w *World) replica(s *State, i int) {
	r := &s.replicas[i]
	w.learn(s, i)
	if r.pos < s.n {
		t := *s
		t.replicas[i].pos++
		w.to(&t, Step{action: watches, by: i, what: -1, then: t.replicas[i].pos})
	}
	if !r.hasSwap && !(r.hasCopy && r.isCurrent) {
		w.read(s, i)
	}
	if r.hasSwap {
		w.land(s, i)
		w.stopWaiting(s, i)
	}
	for q, asked := range w.requests {
		if r.landed>>q&1 != 0 && asked.kind != edit {
			t := *s
			t.calls[q].phase = allowed
			t.replicas[i].landed &^= 1 << q
			w.to(&t, Step{action: answers, by: i, what: q})
		}
	}
	if r.hasCopy && s.content(i).status == open {
		w.settle(s, i)
		w.expire(s, i)
		w.endMarks(s, i)
	}
	if s.crashes > 0 {
		w.crash(s, i)
	}
}

func (w *World) read(s *State, i int) {
	t := *s
	r := &t.replicas[i]
	r.hasCopy, r.isCurrent = true, true
	if r.hasRead && !w.holds(&t.ledger, r.readFor) {
		r.hasRead = false
	}
	w.to(&t, Step{action: reads, by: i, what: -1})
}

// decide allows q on the copy and the index, in one step without a pause. Several decisions may go into one swap.
func (w *World) decide(s *State, i, q int, base uint8) {
	r := &s.replicas[i]
	l := s.content(i)
	if !r.hasCopy || l.status != open || (r.pos < l.water && !w.rules.noWater) || w.mustWait(s, i, &l) {
		return
	}
	if !w.fits(s, i, &l, q) {
		return
	}
	asked := w.requests[q]
	t := *s
	if asked.kind == dryCreate && !w.rules.dryRunWrites {
		t.calls[q].phase = done
		w.to(&t, Step{action: dryRunAllowed, by: i, what: q})
		return
	}
	if now, version, exists := w.object(s, asked.name, r.pos); base > 0 && exists && version > base &&
		now.uid == w.uidOf(s, q, base) {
		over := *s // etcd's compare will refuse it: it needs no reservation
		over.calls[q] = Call{allowed, base}
		w.to(&over, Step{action: baseIsOver, by: i, what: q, base: base})
	}
	l.reserve(Reservation{asked.name, asked.holder, w.uidOf(s, q, base), base, asked.amount, 1 << q}, w.roomFor)
	l.promisedAt = max(l.promisedAt, r.moment)
	t.setSwap(i, l)
	t.calls[q] = Call{decided, base}
	t.replicas[i].inSwap |= 1 << q
	w.to(&t, Step{action: decides, by: i, what: q, base: base})
}

func (w *World) uidOf(s *State, q int, base uint8) uint8 {
	if base == 0 {
		return uint8(q + 1)
	}
	return s.events[base-1].uid
}

// deny is final only on a read of the ledger that began after the request came: here, on what it holds now.
func (w *World) deny(s *State, i, q int) {
	l, r := s.ledger, &s.replicas[i]
	if w.rules.staleDeny && r.hasCopy && !r.hasSwap {
		l = s.content(i)
	}
	if l.status != open || (r.pos < l.water && !w.rules.noWater) || w.mustWait(s, i, &l) && !w.rules.deniesMarked || w.fits(s, i, &l, q) {
		return
	}
	if w.isFalseDenial(s, i, q) {
		w.violation = "no false denial"
	}
	t := *s
	t.calls[q].phase = done
	w.to(&t, Step{action: denies, by: i, what: q})
}

// answerFromCopy: a create that is asked again and found in the copy, though that may be old, needs no second write.
// It is the same request and the same time that it has left. An update may be another request on the same base: it has
// to be written anew, so that its own time counts.
func (w *World) answerFromCopy(s *State, i, q int, base uint8) {
	r := &s.replicas[i]
	l := s.content(i)
	if !r.hasCopy || r.hasSwap || l.status != open || (base > 0 && !w.rules.noToken) {
		return
	}
	asked := w.requests[q]
	k := l.find(Reservation{name: asked.name, holder: asked.holder, uid: w.uidOf(s, q, base), base: base})
	if k < 0 || l.res[k].amount < asked.amount {
		return
	}
	t := *s
	t.calls[q] = Call{allowed, base}
	w.to(&t, Step{action: fromCopy, by: i, what: q, base: base})
}

// land is the swap at the API server: it succeeds if the object was not written since the copy was read.
func (w *World) land(s *State, i int) {
	t := *s
	r := &t.replicas[i]
	swap, waiting := r.swap, r.inSwap
	r.hasSwap, r.inSwap, r.swap = false, 0, Ledger{}
	if !r.isCurrent && !w.rules.noCAS {
		t.setPhase(waiting, again)
		if w.rules.judgeFirst {
			t.setPhase(waiting&w.edits, judged)
		}
		w.to(&t, Step{action: conflicts, by: i, what: -1})
		return
	}
	r.landed |= waiting
	t.setPhase(waiting, reserved)
	t.put(swap, i)
	w.to(&t, Step{action: swapLands, by: i, what: -1})
}

// stopWaiting: no answer to the swap in time. The replica does not know, and has to read again; the swap may land yet.
func (w *World) stopWaiting(s *State, i int) {
	if s.hasOrphan || !w.lateSwaps {
		return
	}
	t := *s
	t.abandon(i)
	w.to(&t, Step{action: unanswered, by: i, what: -1})
}

func (s *State) abandon(i int) {
	r := &s.replicas[i]
	s.hasOrphan, s.orphan, s.orphanCurrent = true, r.swap, r.isCurrent
	s.setPhase(r.inSwap, again)
	r.hasSwap, r.inSwap, r.swap, r.hasCopy, r.isCurrent = false, 0, Ledger{}, false, false
}

func (w *World) orphan(s *State) {
	if !s.hasOrphan {
		return
	}
	t := *s
	t.hasOrphan, t.orphanCurrent, t.orphan = false, false, Ledger{}
	if s.orphanCurrent || w.rules.noCAS {
		landed := t
		landed.put(s.orphan, -1)
		w.to(&landed, Step{action: lateLands, by: -1, what: -1})
	}
	w.to(&t, Step{action: lateFails, by: -1, what: -1})
}

// crash loses everything in the process's memory. It lists the objects and the policy anew, from a cache that may be late
// by any amount, and its clock may be any; a swap on its way may land or not; who waited for an answer asks again.
func (w *World) crash(s *State, i int) {
	for policy := uint8(0); policy <= s.stored; policy++ {
		for nodes := uint8(0); nodes <= s.nodes; nodes++ {
			if w.atOnce {
				w.crashWith(s, i, Replica{policy: policy, nodes: nodes, moment: s.replicas[i].moment})
				continue
			}
			for moment := uint8(0); moment < w.moments; moment++ {
				w.crashWith(s, i, Replica{policy: policy, nodes: nodes, moment: moment})
			}
		}
	}
}

func (w *World) crashWith(s *State, i int, anew Replica) {
	for pos := uint8(0); pos <= s.n; pos++ {
		anew.pos = pos
		t := *s
		t.crashes--
		r := &t.replicas[i]
		t.setPhase(r.landed|r.inSwap, again)
		step := Step{action: crashes, by: i, what: -1, then: pos}
		if r.hasSwap && !s.hasOrphan && w.lateSwaps {
			late := t
			late.abandon(i)
			late.replicas[i] = anew
			w.noteReturn(&late, s, i)
			w.emit(&late, step)
		}
		*r = anew
		w.noteReturn(&t, s, i)
		w.emit(&t, step)
	}
}
