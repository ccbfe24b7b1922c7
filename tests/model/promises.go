package main

import (
	"fmt"
	"strings"
)

// What nodes have, and what of it was promised to whom (docs/commitments.md). A limit is the same with nothing promised.
//
// Which terms hold, and when a replica learns of them, is in terms.go.

// Who was promised something: X, Y, or nobody.
const (
	onDemand = iota
	holderX
	holderY
	holders
)

// Terms are what nodes have, and what of it is promised by all ConfigMaps of the policy together.
type Terms struct {
	has      int
	promised Use
	ahead    int // set aside for later: it covers nobody
}

// Promises are what one ConfigMap says: at first, and after each begin or end. It says nothing of what nodes have.
type Promises []Terms

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
	return w.rules.fits(w.termsOf(s, i, l), w.counted(s, i, l), w.indexed(s, r.pos), w.requests[q])
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

func (p Promises) String() string {
	texts := []string{}
	for _, t := range p {
		texts = append(texts, t.String())
	}
	return strings.Join(texts, ", then ")
}

var holderNames = [holders]string{"", "X", "Y"}
