package main

// The ledger object is deleted, damaged or put back from an old backup: it is begun anew.

// lose takes the ledger away. A damaged or foreign text counts as none, and is replaced by a swap in the same way.
func (w *World) lose(s *State) {
	t := *s
	t.losses--
	for q := range w.requests {
		if s.isAlive(q) {
			t.atLoss |= 1 << q
		}
	}
	step := Step{action: loses, by: -1, what: -1}
	if w.rules.noObject {
		t.put(Ledger{status: open}, -1)
		step.action = putsBack
	} else {
		t.put(Ledger{}, -1)
	}
	w.emit(&t, step)
}

func (w *World) rebuild(s *State, i int) {
	r := &s.replicas[i]
	l := s.content(i)
	if !r.hasCopy || r.hasSwap || l.status == open {
		return
	}
	t := *s
	if l.status == absent {
		begun := Ledger{status: rebuilding}
		if w.rules.rebuildOldList {
			begun.water = w.newestObject(s)
		}
		t.setSwap(i, begun)
		w.to(&t, Step{action: beginsAnew, by: i, what: -1})
		return
	}
	if !s.areDead(s.atLoss) && !w.rules.rebuildEarly {
		return
	}
	l = Ledger{status: open, water: w.newestObject(s)}
	if w.opensWithPolicy {
		l.policyVersion = s.stored
	}
	if w.rules.rebuildNoWater {
		l.water = 0
	}
	if w.rules.rebuildOldList {
		l.water = s.content(i).water
	}
	t.setSwap(i, l)
	w.to(&t, Step{action: opens, by: i, what: -1, then: l.water})
}

// newestObject gives the highest version of what exists, by a consistent list.
func (w *World) newestObject(s *State) (newest uint8) {
	for x := uint8(0); x < w.names; x++ {
		if _, version, exists := w.object(s, x, s.n); exists {
			newest = max(newest, version)
		}
	}
	return newest
}
