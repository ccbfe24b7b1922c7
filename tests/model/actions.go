package main

// What clients and the API server do: they ask, persist what was allowed, lose it, delete, write statuses.

// World expands states of one scenario under one set of rules.
type World struct {
	Scenario
	rules       Rules
	nameOf      [16]uint8
	holderOf    [16]uint8
	names       uint8
	dryRuns     uint8
	edits       uint8 // which requests are edits of the policy
	moments     uint8 // begins and ends by the clock, and one
	hasPromises bool
	roomFor     int // creates of one name before they are merged, as the rules have it

	emit      func(next *State, step Step)
	isResting bool   // nothing but a crash or a loss can happen in the state that was expanded last
	violation string // of an action, not of a state

	packer packer
	used   int            // the most that was stored at once
	sums   map[string]int // how many states were first reached by each action
}

func (w *World) to(next *State, step Step) {
	w.isResting = false
	w.emit(next, step)
}

// expand emits every state that may follow s.
func (w *World) expand(s *State) {
	w.isResting = true
	for q, r := range w.requests {
		switch r.kind {
		case create, update, dryCreate:
			w.attempt(s, q)
		case edit:
			w.edit(s, q)
		default:
			w.unasked(s, q)
		}
	}
	for i := 0; i < w.replicas; i++ {
		w.replica(s, i)
		w.rebuild(s, i)
	}
	w.orphan(s)
	w.change(s)
	w.time(s)
	if s.losses > 0 && s.ledger.status != absent {
		w.lose(s)
	}
}

// unasked are changes that are not ours to judge: deletions, and status writes that keep the amounts or end the cost.
func (w *World) unasked(s *State, q int) {
	r := w.requests[q]
	e, _, exists := w.object(s, r.name, s.n)
	if !exists || s.calls[q].phase == done {
		return
	}
	switch r.kind {
	case remove:
		e.deleted = true
	case finish:
		e.amount = 0
	}
	t := *s
	t.write(e)
	t.calls[q].phase = done
	w.to(&t, Step{action: r.kind, what: ofName(r.name), by: -1})
}

// attempt is a create or an update, up to its end: each may be asked more than once, and persists at most once.
func (w *World) attempt(s *State, q int) {
	call := s.calls[q]
	switch call.phase {
	case idle, again:
		if w.requests[q].kind == update {
			w.askOnAnyBase(s, q)
		} else {
			w.ask(s, q, 0)
		}
	case allowed:
		w.persistOrAskAgain(s, q)
	}
	w.lost(s, q)
}

// lost: whoever asked gave up, or the API server did.
func (w *World) lost(s *State, q int) {
	if phase := s.calls[q].phase; phase == idle || phase == done {
		return
	}
	t := *s
	t.calls[q].phase = done
	for i := range t.replicas {
		t.replicas[i].landed &^= 1 << q
		t.replicas[i].inSwap &^= 1 << q
	}
	w.to(&t, Step{action: isLost, what: q, by: -1})
}

// askOnAnyBase: an API server takes the old object from its watch cache first, which may be late.
func (w *World) askOnAnyBase(s *State, q int) {
	for v := uint8(1); v <= s.n; v++ {
		if e := s.events[v-1]; !e.deleted && w.nameOf[e.uid] == w.requests[q].name {
			w.ask(s, q, v)
		}
	}
}

// persistOrAskAgain: etcd compares the version; where it moved on, the API server asks on the new one.
func (w *World) persistOrAskAgain(s *State, q int) {
	r, base := w.requests[q], s.calls[q].base
	now, version, exists := w.object(s, r.name, s.n)
	if r.kind == create && exists || r.kind == update && !exists {
		return
	}
	if r.kind == update && version != base {
		w.ask(s, q, version)
		return
	}
	t := *s
	uid := uint8(q + 1)
	if r.kind == update {
		uid = now.uid
	}
	t.write(Event{uid: uid, amount: r.amount})
	t.calls[q].phase = done
	before, after := w.indexed(s, s.n), w.indexed(&t, t.n)
	w.violation = w.exceeded(s, before.used(), after.used())
	w.to(&t, Step{action: persists, what: q, by: -1, base: base, then: t.n})
}

// ask gives the review to any replica. What does not grow is allowed at once, and holds nothing.
func (w *World) ask(s *State, q int, base uint8) {
	r := w.requests[q]
	if base > 0 && r.amount <= s.events[base-1].amount {
		t := *s
		t.calls[q] = Call{allowed, base}
		w.to(&t, Step{action: doesNotGrow, what: q, by: -1, base: base})
		return
	}
	for i := 0; i < w.replicas; i++ {
		w.decide(s, i, q, base)
		w.deny(s, i, q)
		w.answerFromCopy(s, i, q, base)
	}
}
