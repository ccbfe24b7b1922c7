package main

// Edits of what is promised. The ledger puts them in order with the decisions: an edit is marked in it before it is
// judged, and while its mark is there, a replica that has not seen what became of the edit decides nothing.

// contentOf gives what a ConfigMap says through a version of the policy.
func (w *World) contentOf(s *State, configMap, version uint8) uint8 {
	if base := s.baseOf(configMap, version); base > 0 {
		return s.policy[base-1].content
	}
	return w.policy[configMap]
}

// baseOf gives the version in which a ConfigMap was last written, 0 for the one at the start.
func (s *State) baseOf(configMap, version uint8) uint8 {
	for v := version; v > 0; v-- {
		if s.policy[v-1].configMap == configMap {
			return v
		}
	}
	return 0
}

// mustWait says that replica i may not decide on l: an edit is under way that it has not seen, or it goes by older promises
// than others have gone by.
func (w *World) mustWait(s *State, i int, l *Ledger) bool {
	if w.rules.unpromised && w.termsOf(s, i, l).aside(Use{}) == 0 {
		return false
	}
	for _, m := range l.marks[:l.marked] {
		if w.shownIn(s, m, s.replicas[i].policy) == 0 && !w.rules.decidesMarked {
			return true
		}
	}
	return s.replicas[i].policy < l.policyVersion && !w.rules.noVersion
}

// shownIn gives the first version through *through* that shows what became of a marked edit, 0 if none: its ConfigMap was
// written above its base. That is the edit, or it can never be stored.
func (w *World) shownIn(s *State, m Mark, through uint8) uint8 {
	for v := m.base + 1; v <= through; v++ {
		if s.policy[v-1].configMap == w.requests[m.edit].name {
			return v
		}
	}
	return 0
}

// edit is an edit of a ConfigMap of the policy, up to its end.
func (w *World) edit(s *State, q int) {
	switch s.calls[q].phase {
	case idle, again: // an API server takes the old object from its watch cache first, which may be late
		for v := uint8(0); v <= s.stored; v++ {
			if s.baseOf(w.requests[q].name, v) == v {
				w.review(s, q, v)
			}
		}
	case judged:
		w.markAt(s, q, s.calls[q].base)
	case reserved:
		for i := 0; i < w.replicas; i++ {
			if s.replicas[i].landed>>q&1 != 0 {
				w.judge(s, i, q)
			}
		}
	case allowed:
		w.store(s, q)
	}
	w.lost(s, q)
}

// review: an edit that changes nothing that is promised needs no mark.
func (w *World) review(s *State, q int, base uint8) {
	asked := w.requests[q]
	if w.contentOf(s, asked.name, base) == asked.amount {
		t := *s
		t.calls[q] = Call{allowed, base}
		w.to(&t, Step{action: sameAsBefore, by: -1, what: q, base: base})
		return
	}
	if !w.rules.noMark && !w.rules.judgeFirst {
		w.markAt(s, q, base)
		return
	}
	for i := 0; i < w.replicas; i++ {
		if l := s.content(i); w.mayJudge(s, i, &l) && w.accepts(s, i, &l, q, base) {
			t := *s
			t.calls[q] = Call{judged, base}
			if w.rules.noMark {
				t.calls[q].phase = allowed
			}
			w.to(&t, Step{action: judges, by: i, what: q, base: base})
		}
	}
}

// markAt: any replica puts a mark of the edit into its next swap. It knows the other ConfigMaps from its own watch, so it
// waits while another one is being edited.
func (w *World) markAt(s *State, q int, base uint8) {
	for i := 0; i < w.replicas; i++ {
		r, l := &s.replicas[i], s.content(i)
		if !w.mayJudge(s, i, &l) || r.policy < l.policyVersion && !w.rules.judgesOld {
			continue
		}
		if w.isOtherMarked(s, i, &l, q) && !w.rules.judgesBeside {
			continue
		}
		t := *s
		l.mark(Mark{uint8(q), base})
		if !w.rules.markNoTime {
			l.promisedAt = max(l.promisedAt, r.moment)
		}
		t.setSwap(i, l)
		t.calls[q] = Call{decided, base}
		t.replicas[i].inSwap |= 1 << q
		w.to(&t, Step{action: marks, by: i, what: q, base: base})
	}
}

func (w *World) mayJudge(s *State, i int, l *Ledger) bool {
	r := &s.replicas[i]
	return r.hasCopy && l.status == open && (r.pos >= l.water || w.rules.judgesBehind)
}

// isOtherMarked says that another ConfigMap is being edited, as far as replica i knows.
func (w *World) isOtherMarked(s *State, i int, l *Ledger, q int) bool {
	for _, m := range l.marks[:l.marked] {
		if w.requests[m.edit].name != w.requests[q].name && w.shownIn(s, m, s.replicas[i].policy) == 0 {
			return true
		}
	}
	return false
}

// judge comes after the mark: on the ledger as of that swap, or newer.
func (w *World) judge(s *State, i, q int) {
	l, base := s.content(i), s.calls[q].base
	if !w.mayJudge(s, i, &l) {
		return
	}
	t := *s
	t.replicas[i].landed &^= 1 << q
	if w.rules.judgeFirst || w.accepts(s, i, &l, q, base) {
		t.calls[q].phase = allowed
		w.to(&t, Step{action: accepts, by: i, what: q, base: base})
		return
	}
	t.calls[q].phase = done
	if k := l.markOf(Mark{uint8(q), base}); k >= 0 {
		l.unmark(k)
		t.setSwap(i, l)
	}
	w.to(&t, Step{action: refuses, by: i, what: q, base: base})
}

// accepts says that by what replica i counts no more is taken than nodes have, or no more than before. This has to be so
// from the moment on by which anybody may still decide, not only from what its own clock shows.
func (w *World) accepts(s *State, i int, l *Ledger, q int, base uint8) bool {
	r, asked := &s.replicas[i], w.requests[q]
	counted := w.counted(s, i, l)
	used := counted.used()
	from := l.promisedAt
	if w.rules.judgesNow {
		from = w.momentOf(s, i, l)
	}
	surely := w.indexed(s, s.n) // by a quorum read
	stored := surely.used()
	if w.rules.believesUse {
		stored = used
	}
	for moment := from; moment < w.moments; moment++ {
		before, after := Terms{has: w.nodes[r.nodes]}, Terms{has: w.nodes[r.nodes]}
		for part := range w.policy {
			was := w.contentOf(s, uint8(part), r.policy)
			will := was
			if uint8(part) == asked.name {
				was, will = w.contentOf(s, asked.name, base), asked.amount
			}
			before.add(w.contents[was], moment)
			after.add(w.contents[will], moment)
		}
		if after.taken(used) > after.has && before.mostAdded(after, stored, used) > 0 {
			return false
		}
	}
	return true
}

// mostAdded is by how much more may be taken at most after a change of terms, if each uses between least and most. Of who is
// promised more the least use counts, of who is promised less the most.
func (t Terms) mostAdded(after Terms, least, most Use) int {
	added := after.ahead - t.ahead
	for h := holderX; h < holders; h++ {
		used := least[h]
		if after.promised[h] < t.promised[h] {
			used = most[h]
		}
		added += max(after.promised[h], used) - max(t.promised[h], used)
	}
	return added
}

// store: etcd compares the version; where it moved on, the API server asks on the new one.
func (w *World) store(s *State, q int) {
	asked, base := w.requests[q], s.calls[q].base
	if now := s.baseOf(asked.name, s.stored); now != base {
		w.review(s, q, now)
		return
	}
	t := *s
	t.policy[t.stored] = Text{asked.name, asked.amount}
	t.stored++
	t.calls[q].phase = done
	w.noteInFlight(&t)
	w.violation = w.promisesTooMuch(s, &t)
	w.to(&t, Step{action: storesEdit, by: -1, what: q, base: base, then: t.stored})
}

// promisesTooMuch says what an edit breaks by which more is taken than nodes have, and more than before.
func (w *World) promisesTooMuch(before, after *State) string {
	stored := w.indexed(before, before.n)
	was, will := w.newest(before), w.newest(after)
	if sum := will.taken(stored.used()); w.isWhole(after) && sum > w.mostNodes(after) && sum > was.taken(stored.used()) {
		return overAdmission
	}
	return ""
}

// endMarks takes out the mark of an edit that the watch has shown, and of one that can no longer be stored and is not.
func (w *World) endMarks(s *State, i int) {
	l, r := s.content(i), &s.replicas[i]
	for k, m := range l.marks[:l.marked] {
		t, changed := *s, l
		changed.unmark(k)
		step := Step{by: i, what: int(m.edit), base: m.base}
		version := w.shownIn(s, m, r.policy)
		isOver := s.areDead(1<<m.edit) || w.rules.markEarly
		isStored := w.shownIn(s, m, s.stored) > 0 // by a quorum read
		switch {
		case version > 0:
			changed.policyVersion = max(changed.policyVersion, version)
			step.action, step.then = settlesMark, version
		case isOver && !isStored:
			step.action = expiresMark
		case isOver && w.rules.markNoQuorum:
			step.action = dropsMark
		default:
			continue
		}
		t.setSwap(i, changed)
		w.to(&t, step)
	}
}

// isPromiseKnown says that what is promised reaches whoever may decide: each edit that was accepted and may still be stored
// is marked, and a replica that goes by older promises than those that are stored has to wait.
func (w *World) isPromiseKnown(s *State) bool {
	for q, asked := range w.requests {
		call := s.calls[q]
		isOpen := asked.kind == edit && call.phase == allowed && s.baseOf(asked.name, s.stored) == call.base
		if isOpen && s.ledger.markOf(Mark{uint8(q), call.base}) < 0 && w.contentOf(s, asked.name, call.base) != asked.amount {
			return false
		}
	}
	for policy := s.ledger.policyVersion; policy < s.stored; policy++ {
		if !w.isMarkedAt(s, policy) && !w.isSame(s, policy, s.stored) {
			return false
		}
	}
	return true
}

// isMarkedAt says that a mark keeps whoever has seen the policy through a version from deciding.
func (w *World) isMarkedAt(s *State, policy uint8) bool {
	for _, m := range s.ledger.marks[:s.ledger.marked] {
		if w.shownIn(s, m, policy) == 0 {
			return true
		}
	}
	return false
}

func (w *World) isSame(s *State, one, other uint8) bool {
	for moment := uint8(0); moment < w.moments; moment++ {
		if w.terms(s, one, moment, 0) != w.terms(s, other, moment, 0) {
			return false
		}
	}
	return true
}
