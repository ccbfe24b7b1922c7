package main

import "bytes"

// A state as a short text of bytes, the same for equal states, and its hash.

// packer writes states. With sorted it orders the replicas by their bytes: they are equal in all they do, so states that
// differ only in who is who count once. A trace is kept without it, so that names stay.
type packer struct {
	sorted bool
	out    []byte
	blocks [maxReplicas][]byte
}

func (p *packer) pack(w *World, s *State) []byte {
	w.tidy(s)
	b := append(p.out[:0], s.n, s.crashes|s.losses<<2|bit(s.hasOrphan)<<4|bit(s.orphanCurrent)<<5|s.nodes<<6, s.atLoss, s.older)
	if w.hasPromises {
		b = append(b, s.stored)
		for _, text := range s.policy[:s.stored] {
			b = append(b, text.configMap|text.content<<4)
		}
	}
	for _, e := range s.events[:s.n] {
		b = append(b, e.uid|e.amount<<4|bit(e.deleted)<<7)
	}
	for q := range w.requests {
		b = append(b, s.calls[q].phase|s.calls[q].base<<4)
	}
	b = w.packLedger(b, &s.ledger)
	if s.hasOrphan {
		b = w.packLedger(b, &s.orphan)
	}
	for i := 0; i < w.replicas; i++ {
		p.blocks[i] = w.packReplica(p.blocks[i][:0], s, i)
		for k := i; p.sorted && k > 0 && bytes.Compare(p.blocks[k], p.blocks[k-1]) < 0; k-- {
			p.blocks[k], p.blocks[k-1] = p.blocks[k-1], p.blocks[k]
		}
	}
	for i := 0; i < w.replicas; i++ {
		b = append(b, p.blocks[i]...)
	}
	p.out = b
	return b
}

// tidy takes out what can change nothing any more, so that states that act alike are one.
func (w *World) tidy(s *State) {
	if s.areDead(s.older) {
		s.older = 0
	}
	for i := range s.replicas[:w.replicas] {
		r := &s.replicas[i]
		if !r.hasCopy || r.isCurrent {
			r.copy = Ledger{} // a current copy says what the ledger says
		}
		if r.hasRead && !w.holds(&s.ledger, r.readFor) && !(s.hasOrphan && w.holds(&s.orphan, r.readFor)) {
			r.hasRead, r.readFor, r.found = false, Reservation{}, 0
		}
	}
}

func (w *World) packReplica(b []byte, s *State, i int) []byte {
	r := &s.replicas[i]
	b = append(b, r.pos, bit(r.hasCopy)|bit(r.isCurrent)<<1|bit(r.hasSwap)<<2|bit(r.hasRead)<<3|r.nodes<<4, r.inSwap, r.landed)
	if w.hasPromises {
		b = append(b, r.policy|r.moment<<4)
	}
	if r.hasCopy && !r.isCurrent {
		b = w.packLedger(b, &r.copy)
	}
	if r.hasSwap {
		b = w.packLedger(b, &r.swap)
	}
	if r.hasRead {
		b = append(packReservation(b, r.readFor), r.found)
	}
	return b
}

func (w *World) packLedger(b []byte, l *Ledger) []byte {
	b = append(b, l.status|l.n<<2, l.water)
	if w.hasPromises {
		b = append(b, l.marked|l.policyVersion<<3|l.promisedAt<<6)
		for _, m := range l.marks[:l.marked] {
			b = append(b, m.edit|m.base<<4)
		}
	}
	for _, r := range l.res[:l.n] {
		b = packReservation(b, r)
	}
	return b
}

func packReservation(b []byte, r Reservation) []byte {
	return append(b, r.uid|r.name<<4|r.holder<<6, r.base|r.amount<<4, r.tokens)
}

func bit(is bool) uint8 {
	if is {
		return 1
	}
	return 0
}

// unpacker reads what packer wrote.
type unpacker []byte

func (u *unpacker) byte() uint8 {
	b := (*u)[0]
	*u = (*u)[1:]
	return b
}

func (u unpacker) state(w *World) (s State) {
	s.n = u.byte()
	flags := u.byte()
	s.crashes, s.losses, s.hasOrphan, s.orphanCurrent = flags&3, flags>>2&3, flags>>4&1 != 0, flags>>5&1 != 0
	s.nodes, s.atLoss, s.older = flags>>6, u.byte(), u.byte()
	if w.hasPromises {
		s.stored = u.byte()
		for v := range s.policy[:s.stored] {
			b := u.byte()
			s.policy[v] = Text{b & 15, b >> 4}
		}
	}
	for v := range s.events[:s.n] {
		b := u.byte()
		s.events[v] = Event{b & 15, b >> 4 & 7, b>>7 != 0}
	}
	for q := range w.requests {
		b := u.byte()
		s.calls[q] = Call{b & 15, b >> 4}
	}
	s.ledger = u.ledger(w)
	if s.hasOrphan {
		s.orphan = u.ledger(w)
	}
	for i := 0; i < w.replicas; i++ {
		s.replicas[i] = u.replica(w)
	}
	return s
}

func (u *unpacker) replica(w *World) (r Replica) {
	r.pos = u.byte()
	flags := u.byte()
	r.hasCopy, r.isCurrent, r.hasSwap, r.hasRead = flags&1 != 0, flags>>1&1 != 0, flags>>2&1 != 0, flags>>3&1 != 0
	r.nodes, r.inSwap, r.landed = flags>>4, u.byte(), u.byte()
	if w.hasPromises {
		b := u.byte()
		r.policy, r.moment = b&15, b>>4
	}
	if r.hasCopy && !r.isCurrent {
		r.copy = u.ledger(w)
	}
	if r.hasSwap {
		r.swap = u.ledger(w)
	}
	if r.hasRead {
		r.readFor = u.reservation()
		r.found = u.byte()
	}
	return r
}

func (u *unpacker) ledger(w *World) (l Ledger) {
	b := u.byte()
	l.status, l.n, l.water = b&3, b>>2, u.byte()
	if w.hasPromises {
		b := u.byte()
		l.marked, l.policyVersion, l.promisedAt = b&7, b>>3&7, b>>6
		for k := range l.marks[:l.marked] {
			b := u.byte()
			l.marks[k] = Mark{b & 15, b >> 4}
		}
	}
	for k := range l.res[:l.n] {
		l.res[k] = u.reservation()
	}
	return l
}

func (u *unpacker) reservation() Reservation {
	a, b, tokens := u.byte(), u.byte(), u.byte()
	return Reservation{name: a >> 4 & 3, holder: a >> 6, uid: a & 15, base: b & 15, amount: b >> 4, tokens: tokens}
}
