package main

// An edit of the policy that lowers a limit and is judged, as one that promises a part of what nodes have: the ledger puts
// it in order with the decisions (rule 11 of docs/consistency.md). A replica that admits in memory does not read the
// ledger, so a mark recalls the grants, and the edit is judged when there are none.

func (w *World) edit(s *State, q int) {
	switch s.calls[q].phase {
	case idle, begun:
		if s.calls[q].phase == begun && s.ledger.isMarked { // its swap landed without an answer
			t := *s
			t.calls[q].phase = allowed
			w.to(&t, Step{action: findsMark, by: -1, what: -1})
			return
		}
		for i := 0; i < w.replicas; i++ {
			r := &s.replicas[i]
			if r.swapping != noSwap || s.ledger.status != open || r.pos < s.ledger.water || s.ledger.isMarked {
				continue
			}
			t := *s
			d := w.draft(s, i)
			d.content.isMarked = true
			w.begin(&t, i, d, Room{})
			t.replicas[i].deciding |= only(q)
			t.calls[q].phase = decided
			w.to(&t, Step{action: marks, by: i, what: -1})
		}
	case allowed:
		for i := 0; i < w.replicas; i++ {
			w.judge(s, i, q)
		}
	case accepted:
		t := *s
		t.calls[q].phase = done
		t.isEdited = true
		w.isResting = false
		_, stored := t.seen(t.n)
		broken := ""
		if !w.within(stored, true) {
			broken = overAdmission
		}
		w.emit(&t, Step{action: storesEdit, by: -1, what: -1}, broken)
	}
}

// judge accepts if what is used, reserved and in flight here fits into the lower limit. The replica that judges is the one
// whose mark it is; here it may be any, which differs in nothing but the time that this takes.
func (w *World) judge(s *State, i, q int) {
	r := &s.replicas[i]
	if r.swapping != noSwap || s.ledger.status != open || r.pos < s.ledger.water {
		return
	}
	d := w.draft(s, i)
	sum := w.sum(d.counted)
	own := s.ledger.grants[i]
	is := true
	for k := range w.limits {
		if w.lowered[k] == w.limits[k] {
			continue
		}
		if !w.rules.judgesGranted && !w.rules.judgesFull && (d.others[k] > 0 || own[k] > 0) {
			return // it waits until they are given back
		}
		if w.rules.judgesFull {
			sum[k] += d.others[k] + own.less(w.sum(d.kept))[k]
		}
		is = is && sum[k] <= w.lowered[k]
	}
	t := *s
	if is {
		t.calls[q].phase = accepted
		w.to(&t, Step{action: accepts, by: i, what: -1})
		return
	}
	broken := ""
	if w.within(w.held(s), true) {
		broken = falseRefusal
	}
	t.calls[q].phase = done
	d.content.isMarked = false
	w.begin(&t, i, d, Room{})
	w.isResting = false
	w.emit(&t, Step{action: refuses, by: i, what: -1}, broken)
}

// isRefused says that the edit can never be stored. The replica that refuses takes the mark out at once; if that fails, any
// does once the bound has passed and a quorum read has not found it, which takes no time here.
func (w *World) isRefused(s *State) bool {
	for q, r := range w.requests {
		if r.kind == edit && s.calls[q].phase == done && !s.isEdited {
			return true
		}
	}
	return false
}

// mustWait says that a replica that goes by the old limit may not decide.
func (s *State) mustWait(i int) bool {
	return (s.ledger.isMarked || s.ledger.isNewer) && !s.replicas[i].knows
}
