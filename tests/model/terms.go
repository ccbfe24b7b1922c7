package main

// Which terms there are, and by which a replica goes. Each learns of an edit of the policy, of a begin or end by the clock,
// and of nodes at its own time. How the ledger puts that in order is in edits.go, and in momentOf.

// terms are what a replica goes by that knows the policy, the time and the nodes so far: all ConfigMaps together.
func (w *World) terms(s *State, policy, moment, nodes uint8) Terms {
	t := Terms{has: w.nodes[nodes]}
	for part := range w.policy {
		t.add(w.contents[w.contentOf(s, uint8(part), policy)], moment)
	}
	return t
}

func (t *Terms) add(content Promises, moment uint8) {
	each := content[min(int(moment), len(content)-1)]
	for h, amount := range each.promised {
		t.promised[h] += amount
	}
	t.ahead += each.ahead
}

func (w *World) termsOf(s *State, i int, l *Ledger) Terms {
	r := &s.replicas[i]
	return w.terms(s, r.policy, w.momentOf(s, i, l), r.nodes)
}

// momentOf: a replica whose clock is late goes by what others have decided by already.
func (w *World) momentOf(s *State, i int, l *Ledger) uint8 {
	if w.rules.ownTime {
		return s.replicas[i].moment
	}
	return max(s.replicas[i].moment, l.promisedAt)
}

// change: nodes go. Replicas learn of it later.
func (w *World) change(s *State) {
	if int(s.nodes)+1 < len(w.nodes) {
		t := *s
		t.nodes++
		w.emit(&t, Step{action: changes, by: -1, what: -1})
	}
}

// time: a begin or an end passes by the clock of one replica, or by all clocks where a scenario says so.
func (w *World) time(s *State) {
	if w.atOnce && s.replicas[0].moment+1 < w.moments {
		t := *s
		for i := range t.replicas[:w.replicas] {
			t.replicas[i].moment = w.trueMoment(s) + 1
		}
		w.emit(&t, Step{action: allTimePasses, by: -1, what: -1})
	}
	for i := range s.replicas[:w.replicas] {
		if s.replicas[i].moment+1 < w.moments && (!w.atOnce || w.rules.endsEarly) {
			t := *s
			t.replicas[i].moment++
			w.noteInFlight(&t)
			w.emit(&t, Step{action: timePasses, by: i, what: -1})
		}
	}
}

// trueMoment is by the clock that is last: where all clocks show the same, it is what they show.
func (w *World) trueMoment(s *State) uint8 {
	first := s.replicas[0].moment
	for _, r := range s.replicas[1:w.replicas] {
		first = min(first, r.moment)
	}
	return first
}

// learn: the watches show a replica what the policy says, and what nodes there are. It goes by that from then on.
func (w *World) learn(s *State, i int) {
	if s.replicas[i].policy < s.stored {
		t := *s
		t.replicas[i].policy++
		w.noteInFlight(&t)
		w.to(&t, Step{action: takesUp, by: i, what: -1, then: t.replicas[i].policy})
	}
	if s.replicas[i].nodes < s.nodes {
		t := *s
		t.replicas[i].nodes++
		w.noteInFlight(&t)
		w.to(&t, Step{action: seesNodes, by: i, what: -1})
	}
}

// isOrdered says that nothing happened yet that the ledger does not put in order: no nodes were lost, and it was not, or
// it was opened with the newest version of the policy.
func (w *World) isOrdered(s *State) bool {
	return s.nodes == 0 && w.isWhole(s)
}

func (w *World) isWhole(s *State) bool {
	return s.losses == w.losses || w.opensWithPolicy
}

// noteInFlight keeps what is in flight at the moment at which the last replica goes by the newest terms. Where all is
// ordered nobody needs to know.
func (w *World) noteInFlight(s *State) {
	s.older = 0
	for q := range w.requests {
		if !w.isOrdered(s) && w.haveAllTerms(s) && s.isAlive(q) {
			s.older |= 1 << q
		}
	}
}

// noteReturn: a replica that crashed may go by older terms again than it did before, or by newer ones.
func (w *World) noteReturn(s, before *State, i int) {
	is, was := s.replicas[i], before.replicas[i]
	if is.policy != was.policy || is.moment != was.moment || is.nodes != was.nodes {
		w.noteInFlight(s)
	}
}

func (w *World) haveAllTerms(s *State) bool {
	for _, r := range s.replicas[:w.replicas] {
		if r.policy != s.stored || r.moment != s.replicas[0].moment || r.nodes != s.nodes {
			return false
		}
	}
	return true
}

// newest are the terms that count: of the newest stored policy, at the latest begin or end by which anybody has decided.
func (w *World) newest(s *State) Terms {
	moment := s.ledger.promisedAt
	if w.atOnce {
		moment = w.trueMoment(s)
	}
	return w.terms(s, s.stored, moment, s.nodes)
}

// exceeded says what a write breaks that takes what is stored from one use to another. A write that makes no sum larger
// breaks nothing.
func (w *World) exceeded(s *State, before, after Use) string {
	terms := w.newest(s)
	isSettled := w.haveAllTerms(s) && s.areDead(s.older)
	if sum := after.sum(); (w.isOrdered(s) || w.withinNodes) && sum > terms.has && sum > before.sum() {
		return overAdmission
	}
	bound := terms.has
	switch {
	case w.isOrdered(s) || isSettled:
	case w.isWhole(s):
		bound = w.mostNodes(s)
	default:
		terms, bound = w.allTerms(s)
	}
	if sum := terms.taken(after); sum > bound && sum > terms.taken(before) {
		return overAdmission
	}
	return ""
}

// mostNodes is what nodes had at most. After some were lost, replicas know of different ones for a while.
func (w *World) mostNodes(s *State) (most int) {
	for _, has := range w.nodes[:s.nodes+1] {
		most = max(most, has)
	}
	return most
}

// allTerms gives the most that was promised to each by any terms until now, and what may be taken of it at most.
//
// After the ledger was lost, replicas may go by different promises for a while, and each lets through what fits by its own. A
// place that is promised to one by these and to nobody by those may be taken by both. So no more may be used or be promised
// by any than the nodes of some terms have, together with what others promise beyond them.
func (w *World) allTerms(s *State) (most Terms, bound int) {
	var every []Terms
	for policy := uint8(0); policy <= s.stored; policy++ {
		for moment := uint8(0); moment < w.moments; moment++ {
			for nodes := uint8(0); nodes <= s.nodes; nodes++ {
				every = append(every, w.terms(s, policy, moment, nodes))
			}
		}
	}
	for _, t := range every {
		for h, amount := range t.promised {
			most.promised[h] = max(most.promised[h], amount)
		}
		most.ahead = max(most.ahead, t.ahead)
	}
	for _, t := range every {
		bound = max(bound, t.has+most.promised.sum()-t.promised.sum()+most.ahead-t.ahead)
	}
	return most, bound
}
