package main

import (
	"fmt"
	"slices"
	"strings"
)

// Kinds of requests.
const (
	create    = "create"
	update    = "update"
	dryCreate = "dry-run"
	remove    = "delete"
	bump      = "status"   // another version, the same amounts
	finish    = "finished" // by status: it costs nothing any more
)

// Request is what somebody will ask for, once.
type Request struct {
	kind   string
	name   uint8
	amount uint8
	holder uint8
}

// Scenario is a small world: who will ask for what, and what may go wrong how often.
type Scenario struct {
	title     string
	replicas  int
	limit     int
	room      int // creates of one name that are kept apart before they are merged
	existing  []Request
	requests  []Request
	crashes   uint8
	losses    uint8
	lateSwaps bool

	promised    []Terms // instead of a limit: what nodes have, and what of it was promised, at first and later
	isEdit      bool    // a replica has to accept other terms
	atOnce      bool    // all replicas learn of new terms in the same instant
	isExact     bool    // what the newest terms promise is kept at every moment
	withinNodes bool    // no more is used than nodes have
}

func (sc Scenario) world(rules Rules) *World {
	w := &World{Scenario: sc, rules: rules, roomFor: sc.room}
	if w.terms = sc.promised; len(w.terms) == 0 {
		w.terms = []Terms{{has: sc.limit}}
	}
	if rules.noMerge {
		w.roomFor = maxReservations
	}
	for q, r := range sc.requests {
		w.nameOf[q+1], w.holderOf[q+1] = r.name, r.holder
		w.names = max(w.names, r.name+1)
		if r.kind == dryCreate {
			w.dryRuns |= 1 << q
		}
	}
	for k, r := range sc.existing {
		w.nameOf[firstOldUID+k], w.holderOf[firstOldUID+k] = r.name, r.holder
		w.names = max(w.names, r.name+1)
	}
	return w
}

// limits and promises are how tables tell the terms.
func (sc Scenario) limits() string {
	return sc.tell(func(t Terms) string { return fmt.Sprint(t.has) })
}

func (sc Scenario) promises() string {
	return sc.tell(Terms.String)
}

func (sc Scenario) tell(words func(Terms) string) string {
	texts := []string{}
	for _, t := range sc.world(Rules{}).terms {
		texts = append(texts, words(t))
	}
	return strings.Join(slices.Compact(texts), " → ")
}

// start: all replicas know what exists, the ledger is empty and its watermark reaches the newest.
func (sc Scenario) start() (s State) {
	for k, r := range sc.existing {
		s.write(Event{uid: uint8(firstOldUID + k), amount: r.amount})
	}
	s.ledger = Ledger{status: open, water: s.n}
	for i := 0; i < sc.replicas; i++ {
		s.replicas[i].pos = s.n
	}
	s.crashes, s.losses = sc.crashes, sc.losses
	return s
}

// requests reads "create a1", "update a2 X": a kind, a name and an amount, and whose it is.
func requests(texts ...string) (all []Request) {
	for _, text := range texts {
		words := append(strings.Fields(text), "")
		holder := slices.Index(holderNames[:], words[2])
		all = append(all, Request{words[0], words[1][0] - 'a', words[1][1] - '0', uint8(holder)})
	}
	return all
}
