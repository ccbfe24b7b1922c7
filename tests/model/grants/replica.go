package main

// What a replica does on its own and for a request. Deciding, swapping and learning of it are separate steps: anything may
// happen between them.

func (w *World) replica(s *State, i int) {
	r := &s.replicas[i]
	if r.pos < s.n {
		t := *s
		t.replicas[i].pos++
		if w.rules.refills {
			t.replicas[i].charged &^= only(int(t.events[r.pos].request))
		}
		w.to(&t, Step{action: watches, by: i, what: -1, then: r.pos + 1})
	}
	if s.isEdited && !r.knows {
		t := *s
		t.replicas[i].knows = true
		w.to(&t, Step{action: takesUp, by: i, what: -1})
	}
	w.forget(s, i)
	if w.rules.readExtends && r.isOpen && r.age > 0 && s.ledger.grants[i] == r.grant {
		t := *s
		t.replicas[i].age = 0
		w.to(&t, Step{action: readsGrant, by: i, what: -1})
	}
	switch r.swapping {
	case noSwap:
		w.renew(s, i)
		w.expire(s, i)
		w.rebuild(s, i)
	case underWay:
		w.land(s, i)
	case landed:
		w.learn(s, i)
	}
	if r.swapping != noSwap && w.lateSwaps && w.alone < 0 {
		w.stopWaiting(s, i)
	}
}

// ask gives the review of q to replica i. What is answered before a swap is answered at once.
func (w *World) ask(s *State, i, q int) {
	r := &s.replicas[i]
	t := *s
	t.calls[q].phase = allowed
	if w.dryRuns.has(q) {
		t.calls[q].phase = done
	}
	switch {
	case r.charged.has(q):
		w.to(&t, Step{action: fromMemory, by: i, what: q})
		return
	case s.ledger.reserved.has(q):
		w.to(&t, Step{action: fromLedger, by: i, what: q})
		return
	case w.isInGrant(r, i, q):
		if !w.dryRuns.has(q) || w.rules.dryRunTakes {
			t.replicas[i].charged |= only(q)
		}
		w.to(&t, Step{action: admits, by: i, what: q})
		return
	}
	if r.swapping != noSwap || s.ledger.status != open || r.pos < s.ledger.water && !w.rules.noWater || s.mustWait(i) {
		return // it waits
	}
	w.reserve(s, i, q)
	if !w.deny(s, i, q) {
		w.recall(s, i, q)
	}
}

// isInGrant says that q fits into what replica i may admit in memory: into the grant that the ledger has, and, while a
// swap is under way, into the one that it will have.
func (w *World) isInGrant(r *Replica, i, q int) bool {
	if !r.isOpen || r.age > validFor && !w.rules.noBound {
		return false
	}
	fits := func(room Room, charged Set) bool {
		isAny, isAll := false, true
		sum := w.sum(charged | only(q))
		for k := range w.limits {
			if w.requests[q].amounts[k] > 0 {
				fitsKey := sum[k] <= room[k]
				isAny, isAll = isAny || fitsKey, isAll && fitsKey
			}
		}
		return isAll || isAny && w.rules.partial
	}
	if !fits(r.grant, r.charged) {
		return false
	}
	return r.swapping == noSwap || w.rules.besideSwap || fits(r.swap.grants[i], r.charged&^r.leaving)
}

// reserve decides in the exact form: q fits beside what is used, reserved and in flight here, and beside the grants of all
// others in full. The same swap may take a share for later.
func (w *World) reserve(s *State, i, q int) {
	d := w.draft(s, i)
	if w.dryRuns.has(q) {
		if w.fits(s, &d, i, only(q), Room{}) {
			t := *s
			t.calls[q].phase = done
			w.to(&t, Step{action: dryRunAllowed, by: i, what: q})
		}
		return
	}
	for _, spare := range w.spares(s, i, &d) {
		if !w.fits(s, &d, i, only(q), spare) {
			continue
		}
		t := *s
		swap := d
		swap.content.reserved |= only(q)
		swap.content.recalled &^= w.keysOf(q)
		w.begin(&t, i, swap, spare)
		t.replicas[i].deciding |= only(q)
		t.calls[q].phase = decided
		w.to(&t, Step{action: reserves, by: i, what: q, room: spare})
	}
}

// deny is final where q does not fit even if all others had given back everything: beside what is used, reserved and in
// flight here alone. It is decided on the ledger as it is now.
func (w *World) deny(s *State, i, q int) (isDenied bool) {
	r := &s.replicas[i]
	d := w.draft(s, i)
	sum := w.sum(d.counted | only(q))
	is := false
	for k, limit := range w.limitsOf(r) {
		others := d.others[k]
		if !w.rules.deniesFull && !(w.rules.anonymous && w.areBare(s, i, k)) {
			others = 0
		}
		is = is || w.requests[q].amounts[k] > 0 && sum[k]+others > limit
	}
	if !is {
		return false
	}
	t := *s
	t.calls[q].phase = done
	broken := ""
	if w.isFalseDenial(s, i, &d, q) {
		broken = falseDenial
	}
	w.isResting = false
	w.emit(&t, Step{action: denies, by: i, what: q}, broken)
	return true
}

// recall asks the others for what they have of the keys of q. The request waits for that.
func (w *World) recall(s *State, i, q int) {
	d := w.draft(s, i)
	wanted := uint8(0)
	sum := w.sum(d.counted | only(q))
	for k, limit := range w.limitsOf(&s.replicas[i]) {
		if w.requests[q].amounts[k] > 0 && sum[k]+d.others[k] > limit && d.others[k] > 0 {
			wanted |= 1 << k
		}
	}
	if wanted&^d.content.recalled == 0 {
		return
	}
	d.content.recalled |= wanted
	t := *s
	t.calls[q].phase = begun
	w.begin(&t, i, d, d.spare)
	w.to(&t, Step{action: recalls, by: i, what: q})
}

func (w *World) land(s *State, i int) {
	t := *s
	r := &t.replicas[i]
	if r.isCurrent || w.rules.noCAS {
		r.swapping = landed
		w.put(&t, r.swap, uint8(i))
		w.to(&t, Step{action: swapLands, by: i, what: -1})
		if w.lateSwaps && w.alone < 0 {
			w.toldOfConflict(&t, i)
		}
		return
	}
	t.setPhase(r.deciding, begun)
	r.forgetSwap()
	w.to(&t, Step{action: conflicts, by: i, what: -1})
}

// toldOfConflict: the connection broke, the client sent the same swap again, and the second one conflicts with the first.
// The replica reads the ledger after a conflict: its old grant is not there, so it admits nothing.
func (w *World) toldOfConflict(t *State, i int) {
	r := &t.replicas[i]
	t.setPhase(r.deciding, begun)
	r.isOpen = r.isOpen && w.rules.believesConflict
	r.forgetSwap()
	w.to(t, Step{action: conflictsWithItself, by: i, what: -1})
}

// learn: from now on the replica goes by what its swap wrote. The time in which it may do so has run since the swap began.
func (w *World) learn(s *State, i int) {
	t := *s
	r := &t.replicas[i]
	r.grant, r.isOpen, r.age = r.swap.grants[i], true, r.swapAge
	if w.rules.fromEnd {
		r.age = 0
	}
	r.charged &^= r.leaving
	t.setPhase(r.deciding, allowed)
	r.forgetSwap()
	w.to(&t, Step{action: learns, by: i, what: -1})
}

func (r *Replica) forgetSwap() {
	r.swapping, r.isCurrent, r.swap, r.swapAge, r.leaving, r.deciding = noSwap, false, Ledger{}, 0, 0, 0
}

// stopWaiting: no answer to the swap in time. It may land yet, with less than the replica has now: until a later swap of
// its own has landed it admits nothing.
func (w *World) stopWaiting(s *State, i int) {
	r := &s.replicas[i]
	if r.swapping == underWay && s.orphan.isThere {
		return
	}
	t := *s
	if r.swapping == underWay {
		t.orphan = Orphan{true, r.isCurrent, uint8(i), r.swap}
	}
	t.setPhase(r.deciding, begun)
	t.replicas[i].isOpen = r.isOpen && w.rules.lateReturn
	t.replicas[i].forgetSwap()
	w.to(&t, Step{action: unanswered, by: i, what: -1})
}

// areBare says that all others have no more of a key than what they have in flight.
func (w *World) areBare(s *State, i, k int) bool {
	for h, room := range s.ledger.grants[:w.holders] {
		isBare := h < w.replicas && room[k] <= w.sum(s.replicas[h].charged)[k]
		if h != i && room[k] > 0 && !isBare {
			return false
		}
	}
	return true
}
