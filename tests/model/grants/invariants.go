package main

// What must hold in each state. "no over-admission" and "no false denial" are properties of one step and are found where it
// is taken, in clients.go and replica.go.

const (
	overAdmission = "no over-admission"
	falseDenial   = "no false denial"
	falseRefusal  = "no false refusal of an edit"
	dominance     = "dominance"
	usable        = "all room is usable"
)

// Broken gives the first invariant that s breaks, "" if none.
func (w *World) Broken(s *State) string {
	if s.ledger.water > s.n {
		return "the watermark exists"
	}
	taken := s.ledger.reserved
	for _, r := range s.replicas[:w.replicas] {
		taken |= r.charged
	}
	if taken&w.dryRuns != 0 {
		return "dry-run purity"
	}
	if s.ledger.status != open {
		return "" // nothing is decided
	}
	for pos := s.ledger.water; pos <= s.n; pos++ {
		if !w.isCounted(s, pos) {
			return dominance
		}
	}
	if !w.isUsable(s) {
		return usable
	}
	return ""
}

// isCounted says that a replica whose watch is at a position that may decide counts all that is stored or may still be:
// what it does not know by name is within the grants.
func (w *World) isCounted(s *State, pos uint8) bool {
	_, stored := s.seen(s.n)
	_, used := s.seen(pos)
	unnamed := w.sum((stored | s.inFlight()) &^ (used | s.ledger.reserved))
	granted := Room{}
	for _, room := range s.ledger.grants[:w.holders] {
		granted = granted.plus(room)
	}
	granted = granted.less(s.ledger.credit)
	for k := range w.limits {
		if unnamed[k] > granted[k] {
			return false
		}
	}
	return true
}

// isFalseDenial says that q would fit even if all that this replica counts, all that is stored and all that may still be
// stored counted, each once. What is granted and not used does not count.
func (w *World) isFalseDenial(s *State, i int, d *Draft, q int) bool {
	_, stored := s.seen(s.n)
	sum := w.sum(d.counted | stored | s.inFlight() | only(q))
	for k, limit := range w.limitsOf(&s.replicas[i]) {
		if w.requests[q].amounts[k] > 0 && sum[k] > limit {
			return false
		}
	}
	return true
}

// leaks says what is left where nothing can happen any more but a crash or a loss.
func (w *World) leaks(s *State) string {
	if s.ledger.status != open {
		return "opened again"
	}
	l := s.ledger
	l.status, l.water, l.isNewer = 0, 0, false
	if l != (Ledger{}) {
		return "no leak"
	}
	for q, call := range s.calls[:len(w.requests)] {
		if w.requests[q].kind != remove && call.phase != done {
			return "every request ends"
		}
	}
	return ""
}
