package main

// How a reservation ends: a watch shows its object (settled), or nobody can persist it any more and a quorum read has
// told what became of it (expired).

// settle takes off what the watch has shown, and writes down through which version it was shown.
func (w *World) settle(s *State, i int) {
	l := s.content(i)
	for k := 0; k < int(l.n); k++ {
		if s.sawGone(i, l.res[k]) {
			t, changed := *s, l
			changed.remove(k)
			t.setSwap(i, changed)
			w.to(&t, Step{action: settlesGone, by: i, what: ofName(l.res[k].name), base: l.res[k].base})
		}
		version := w.sighting(s, i, l.res[k])
		if version == 0 {
			continue
		}
		t, changed := *s, l
		changed.remove(k)
		changed.water = max(changed.water, version)
		t.setSwap(i, changed)
		w.to(&t, Step{action: settles, by: i, what: ofName(l.res[k].name), base: l.res[k].base, then: version})
	}
}

// sawGone: the object was deleted. Who has not seen that counts too much rather than too little: no watermark.
func (s *State) sawGone(i int, r Reservation) bool {
	for v := r.base + 1; v <= s.replicas[i].pos; v++ {
		if e := s.events[v-1]; e.deleted && e.uid == r.uid {
			return true
		}
	}
	return false
}

// sighting gives the first version that shows what became of the attempt: an event of its uid above its base.
// First, because the lowest watermark makes others wait least. The events before a restart's list count as seen too,
// which allows more than a real replica can do.
func (w *World) sighting(s *State, i int, r Reservation) uint8 {
	from := r.base + 1
	if w.rules.noBase {
		from = 1
	}
	for v := from; v <= s.replicas[i].pos; v++ {
		e := s.events[v-1]
		if e.uid == r.uid && r.uid != mergedUID {
			return v
		}
		isNamesake := w.nameOf[e.uid] == r.name
		if isNamesake && (w.rules.settleAny || w.rules.mergedSettle && r.uid == mergedUID) {
			return v
		}
	}
	return 0
}

// expire reads by name what is stored, once the bound has passed for all that the reservation was written for, and in
// a later step takes off exactly the reservation that it read for.
func (w *World) expire(s *State, i int) {
	l, r := s.content(i), &s.replicas[i]
	for k := 0; k < int(l.n); k++ {
		e := l.res[k]
		_, _, isListed := w.object(s, e.name, r.pos)
		isPast := w.rules.early || w.rules.readEarly || s.areDead(e.tokens) || w.rules.dropUnseen && !isListed
		if !isPast || w.rules.noExpiry || r.hasRead && r.readFor == e {
			continue
		}
		t := *s
		t.replicas[i].hasRead, t.replicas[i].readFor, t.replicas[i].found = true, e, w.quorumRead(s, e)
		step := Step{action: quorumReads, by: i, what: ofName(e.name), base: e.base, then: t.replicas[i].found}
		if w.rules.noQuorum || w.rules.dropUnseen && !isListed {
			t.replicas[i].found = 0
			step.action = noQuorumReads
		}
		w.to(&t, step)
	}
	if !r.hasRead || w.rules.readEarly && !s.areDead(r.readFor.tokens) {
		return
	}
	t := *s
	t.replicas[i].hasRead, t.replicas[i].readFor, t.replicas[i].found = false, Reservation{}, 0
	if k := l.find(r.readFor); k >= 0 && w.holds(&l, r.readFor) {
		l.remove(k)
		if !w.rules.noFoundWater {
			l.water = max(l.water, r.found)
		}
		t.setSwap(i, l)
		w.to(&t, Step{action: expires, by: i, what: ofName(r.readFor.name), base: r.readFor.base, then: r.found})
	}
}

// quorumRead gives the version of what is stored under the name, if that may be the reservation's doing, else 0.
func (w *World) quorumRead(s *State, r Reservation) uint8 {
	e, version, exists := w.object(s, r.name, s.n)
	if exists && version > r.base && (r.uid == mergedUID || e.uid == r.uid) {
		return version
	}
	return 0
}

// holds says that l has exactly what was read for: were it refreshed since, more could be in flight than was then.
func (w *World) holds(l *Ledger, wanted Reservation) bool {
	k := l.find(wanted)
	return k >= 0 && (l.res[k] == wanted || w.rules.byKey)
}
