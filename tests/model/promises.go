package main

import "fmt"

// What nodes have, and what of it was promised to whom (docs/commitments.md). A limit is the same with nothing promised.
//
// Each replica learns of new terms at its own time, be it an edit of the policy, the clock, or nodes.

// Who was promised something: X, Y, or nobody.
const (
	onDemand = iota
	holderX
	holderY
	holders
)

// Terms are one version of what nodes have and of what was promised.
type Terms struct {
	has      int
	promised Use
	ahead    int // set aside for later: it covers nobody
}

// Use is an amount for each holder, and for all others.
type Use [holders]int

// Claims are the most that each of them may have under each name: as stored, or as reserved.
type Claims [maxNames]Use

// aside is what was promised and is not used.
func (t Terms) aside(used Use) (sum int) {
	for h := holderX; h < holders; h++ {
		sum += max(t.promised[h]-used[h], 0)
	}
	return sum + t.ahead
}

// taken is the sum that may not exceed what nodes have: of each holder what is used or was promised, whichever is more.
func (t Terms) taken(used Use) int {
	return used.sum() + t.aside(used)
}

func (u Use) sum() (sum int) {
	for _, amount := range u {
		sum += amount
	}
	return sum
}

func (c *Claims) used() (used Use) {
	for _, ofName := range c {
		for h, amount := range ofName {
			used[h] += amount
		}
	}
	return used
}

// add counts an attempt: of two of one name and holder, only the larger.
func (c *Claims) add(name, holder, amount uint8) {
	c[name][holder] = max(c[name][holder], int(amount))
}

// indexed is what a watch shows at pos. Of one name, no more than one object exists.
func (w *World) indexed(s *State, pos uint8) (c Claims) {
	for x := uint8(0); x < w.names; x++ {
		if e, _, exists := w.object(s, x, pos); exists {
			c.add(x, w.holderOf[e.uid], e.amount)
		}
	}
	return c
}

// fits says whether replica i may allow q on l: if nodes have enough afterwards, or if q makes the sum no larger,
// because it takes the place of what was promised to its holder.
func (w *World) fits(s *State, i int, l *Ledger, q int) bool {
	r := &s.replicas[i]
	return w.rules.fits(w.terms[r.terms], w.counted(s, i, l), w.indexed(s, r.pos), w.requests[q])
}

// counted is what replica i knows of: what its watch shows, and what is in l.
func (w *World) counted(s *State, i int, l *Ledger) Claims {
	all := w.indexed(s, s.replicas[i].pos)
	for _, each := range l.res[:l.n] {
		all.add(each.name, each.holder, each.amount)
	}
	return all
}

// fits compares the sum with what asks, and without what it has already. Under one name two holders count both, since
// either may be stored; what was asked for on demand is out of the way if a holder gets the name.
func (rules Rules) fits(t Terms, all, index Claims, asked Request) bool {
	if asked.holder != onDemand && !rules.nameOnce {
		all[asked.name][onDemand] = 0
	}
	covered := all
	if rules.indexAside {
		covered = index
	}
	most := max(t.has, rules.sum(t, all, covered, asked, false))
	if rules.needsNodes {
		most = t.has
	}
	return rules.sum(t, all, covered, asked, true) <= most
}

func (rules Rules) sum(t Terms, all, covered Claims, asked Request, isWith bool) int {
	if isWith {
		all.add(asked.name, asked.holder, asked.amount)
		covered.add(asked.name, asked.holder, asked.amount)
	} else {
		all[asked.name][asked.holder], covered[asked.name][asked.holder] = 0, 0
	}
	used, total := covered.used(), all.used().sum()
	switch {
	case rules.unusedFree:
		used = t.promised
	case rules.twoHolders:
		used[holderY] += used[holderX]
	case rules.nameOnce:
		total = 0
		for x, ofName := range all {
			if isWith || x != int(asked.name) {
				total += max(ofName[onDemand], ofName[holderX], ofName[holderY])
			}
		}
	}
	return total + t.aside(used)
}

// change makes the next terms those that hold: nodes go, a time comes, or a replica accepts an edit.
func (w *World) change(s *State) {
	if int(s.terms)+1 == len(w.terms) {
		return
	}
	if !w.isEdit {
		w.changeBy(s, Step{action: changes, by: -1, what: -1})
		return
	}
	for i := 0; i < w.replicas; i++ {
		if w.accepts(s, i) {
			w.changeBy(s, Step{action: accepts, by: i, what: -1})
		}
	}
}

// accepts says that by what replica i counts, be it late, no more is taken than nodes have, or no more than before.
func (w *World) accepts(s *State, i int) bool {
	l := s.content(i)
	if !s.replicas[i].hasCopy || l.status != open {
		return false
	}
	all := w.counted(s, i, &l)
	before, after := w.terms[s.terms], w.terms[s.terms+1]
	return after.taken(all.used()) <= max(after.has, before.taken(all.used()))
}

// changeBy: replicas learn of it later, or in the same instant where a scenario says so.
func (w *World) changeBy(s *State, step Step) {
	t := *s
	t.terms++
	if w.atOnce {
		for i := range t.replicas[:w.replicas] {
			t.replicas[i].terms = t.terms
		}
	}
	w.emit(&t, step)
}

// takeUp: a replica goes by newer terms from now on.
func (w *World) takeUp(s *State, i int) {
	newest := s.terms
	if w.rules.endsEarly {
		newest = uint8(len(w.terms) - 1)
	}
	if s.replicas[i].terms < newest {
		t := *s
		t.replicas[i].terms++
		w.noteInFlight(&t)
		w.to(&t, Step{action: takesUp, by: i, what: -1})
	}
}

// noteInFlight keeps what is in flight at the moment at which the last replica goes by the newest terms.
func (w *World) noteInFlight(s *State) {
	s.older = 0
	for q := range w.requests {
		if w.haveAllTerms(s) && s.isAlive(q) {
			s.older |= 1 << q
		}
	}
}

// noteReturn: a replica that crashed may go by older terms again than it did before, or by newer ones.
func (w *World) noteReturn(s, before *State, i int) {
	if s.replicas[i].terms != before.replicas[i].terms {
		w.noteInFlight(s)
	}
}

func (w *World) haveAllTerms(s *State) bool {
	for _, r := range s.replicas[:w.replicas] {
		if r.terms != s.terms {
			return false
		}
	}
	return true
}

// exceeded says what a write breaks that takes what is stored from one use to another. A write that makes no sum larger
// breaks nothing.
//
// While replicas go by different terms, each lets through what fits by its own. A place that is promised to one by these
// and to nobody by those may be taken by both. So no more may be used or be promised by any than the nodes of some terms
// have, together with what others promise beyond them.
func (w *World) exceeded(s *State, before, after Use) string {
	newest := w.terms[s.terms]
	isSettled := w.isExact || w.haveAllTerms(s) && s.areDead(s.older)
	if sum := newest.taken(after); isSettled && sum > newest.has && sum > newest.taken(before) {
		return overAdmission
	}
	if sum := after.sum(); w.withinNodes && sum > newest.has && sum > before.sum() {
		return overAdmission
	}
	most, bound := w.allTerms(s)
	if sum := most.taken(after); sum > bound && sum > most.taken(before) {
		return overAdmission
	}
	return ""
}

// allTerms gives the most that was promised to each by any terms until now, and what may be taken of it at most.
func (w *World) allTerms(s *State) (most Terms, bound int) {
	every := w.terms[:s.terms+1]
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

// String is how the table of scenarios tells what is promised.
func (t Terms) String() (text string) {
	for h := holderX; h < holders; h++ {
		if t.promised[h] > 0 {
			text += fmt.Sprintf(" %s %d", holderNames[h], t.promised[h])
		}
	}
	if t.ahead > 0 {
		text += fmt.Sprintf(" later %d", t.ahead)
	}
	if text == "" {
		return "-"
	}
	return text[1:]
}

var holderNames = [holders]string{"", "X", "Y"}
