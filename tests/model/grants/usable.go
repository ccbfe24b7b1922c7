package main

// All room can be used: a request that has no answer yet can be answered before any time passes and before anybody else
// asks. It is allowed if it fits beside what is stored, in flight, or held for what was in flight, whatever is granted to
// whom. Only what processes that are gone left behind has to be old enough to be taken out.

// isUsable tries each request that has no answer yet at each replica.
func (w *World) isUsable(s *State) bool {
	if w.lone == nil {
		return true
	}
	for h, room := range s.ledger.grants[:w.holders] {
		if h >= w.replicas && room != (Room{}) && s.tokenAge[h] < w.waitsBoth() {
			return true
		}
	}
	for q := range w.requests {
		isOpen := s.calls[q].phase == idle || s.calls[q].phase == begun
		for i := 0; w.requests[q].kind == create && isOpen && i < w.replicas; i++ {
			if !w.lone.isAnswered(s, i, q) {
				return false
			}
		}
	}
	return true
}

// isAnswered says that some order of events, without time and without anybody else, gives q the answer that it should get.
func (w *World) isAnswered(s *State, i, q int) bool {
	w.alone, w.askedAt = q, i
	fits := w.within(w.held(s)|only(q), false)
	known, next := map[State]bool{*s: true}, []State{*s}
	isAnswered := false
	w.emit = func(t *State, step Step, _ string) {
		is := step.action == denies && !fits || t.calls[q].phase == allowed
		isAnswered = isAnswered || is
		w.tidy(t)
		if !known[*t] && step.action != denies {
			known[*t] = true
			next = append(next, *t)
		}
	}
	for len(next) > 0 && !isAnswered {
		last := next[len(next)-1]
		next = next[:len(next)-1]
		w.expand(&last)
	}
	return isAnswered
}

// held is what exists, what may still be stored, and what is charged as if it might.
func (w *World) held(s *State) Set {
	_, held := s.seen(s.n)
	held |= s.ledger.reserved | s.orphan.swap.reserved
	for q, call := range s.calls {
		if call.phase == decided || call.phase == allowed {
			held |= only(q)
		}
	}
	for _, r := range s.replicas[:w.replicas] {
		held |= r.charged | r.swap.reserved
	}
	return held
}
