package main

// What must hold. "no over-admission" and "no false denial" are properties of one step and are found where it is taken,
// in actions.go and replica.go.

const overAdmission = "no over-admission"

// broken gives the first invariant that s breaks, "" if none.
func (w *World) broken(s *State) string {
	if s.ledger.water > s.n || s.ledger.policyVersion > s.stored {
		return "the watermark exists"
	}
	for _, r := range s.ledger.res[:s.ledger.n] {
		if r.tokens&w.dryRuns != 0 {
			return "dry-run purity"
		}
		if s.ledger.creates(r) > w.room {
			return "bounded per name"
		}
	}
	if s.ledger.status != open {
		return "" // nothing is decided
	}
	for x := uint8(0); x < w.names; x++ {
		if !w.isCounted(s, x) {
			return "dominance: stored"
		}
	}
	for q, r := range w.requests {
		if r.kind != edit && !w.isCovered(s, q) {
			return "dominance: allowed"
		}
	}
	if w.isWhole(s) && !w.isPromiseKnown(s) {
		return "dominance: promised"
	}
	return ""
}

// isCounted says that whoever may decide counts what name holds: at every position that reaches the watermark, the
// index or a reservation shows at least as much as is stored.
func (w *World) isCounted(s *State, name uint8) bool {
	now, _, exists := w.object(s, name, s.n)
	if !exists || s.ledger.most(name, w.holderOf[now.uid]) >= now.amount {
		return true
	}
	for pos := s.ledger.water; pos <= s.n; pos++ {
		if seen, _, exists := w.object(s, name, pos); !exists || seen.amount < now.amount || w.holderOf[seen.uid] != w.holderOf[now.uid] {
			return false
		}
	}
	return true
}

// isCovered says that a write that we allowed, and that may still happen, is held in the ledger.
func (w *World) isCovered(s *State, q int) bool {
	call, asked := s.calls[q], w.requests[q]
	if call.phase != allowed && call.phase != reserved {
		return true
	}
	uid := uint8(q + 1)
	if asked.kind == update {
		now, version, exists := w.object(s, asked.name, s.n)
		if !exists || version != call.base || asked.amount <= now.amount {
			return true // etcd's compare would fail, or nothing grows
		}
		uid = now.uid
	}
	for _, r := range s.ledger.res[:s.ledger.n] {
		isHis := r.uid == uid || r.uid == mergedUID && r.name == asked.name && r.holder == asked.holder
		if isHis && r.base == call.base && r.amount >= asked.amount {
			return true
		}
	}
	return false
}

// isFalseDenial says that q would fit into what the ledger and this replica's index say, or even if all that was ever
// stored or asked for counted at once.
func (w *World) isFalseDenial(s *State, i, q int) bool {
	if w.fits(s, i, &s.ledger, q) {
		return true
	}
	var most Claims
	for _, e := range s.events[:s.n] {
		most.add(w.nameOf[e.uid], w.holderOf[e.uid], e.amount)
	}
	for other, r := range w.requests {
		if r.kind == edit {
			continue
		}
		if other == q || s.calls[other].phase != idle {
			most.add(r.name, r.holder, r.amount)
		}
	}
	policy := s.replicas[i].policy
	if w.isWhole(s) {
		policy = s.stored // no promise but the newest may refuse
	}
	return Rules{}.fits(w.terms(s, policy, w.momentOf(s, i, &s.ledger), s.replicas[i].nodes), most, most, w.requests[q])
}

// leaks says what is left where nothing can happen any more but a crash or a loss.
func (w *World) leaks(s *State) string {
	if s.ledger.status != open {
		return "opened again"
	}
	if s.ledger.n > 0 || s.ledger.marked > 0 {
		return "no leak"
	}
	for q, r := range w.requests {
		_, _, exists := w.object(s, r.name, s.n)
		mayAsk := r.kind == create || r.kind == dryCreate || r.kind == edit || r.kind == update && exists
		if s.isAlive(q) || s.calls[q].phase == idle && mayAsk {
			return "every request ends"
		}
	}
	return ""
}
