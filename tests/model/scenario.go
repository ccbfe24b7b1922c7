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
	edit      = "edit"     // of a ConfigMap of the policy: its name, and the content that it gets
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

	nodes           []int      // instead of a limit: what nodes have, at first and later
	contents        []Promises // what a ConfigMap may promise
	policy          []uint8    // the contents at the start, of each ConfigMap; of one, the first, if that is not told
	atOnce          bool       // all clocks show the same
	opensWithPolicy bool       // a lost ledger is opened with the newest version of the policy
	withinNodes     bool       // no more is used than nodes have, whatever was lost
}

func (sc Scenario) world(rules Rules) *World {
	w := &World{Scenario: sc, rules: rules, roomFor: sc.room}
	if len(w.nodes) == 0 {
		w.nodes = []int{sc.limit}
	}
	if len(w.contents) == 0 {
		w.contents = []Promises{{{}}}
	}
	if len(w.policy) == 0 {
		w.policy = []uint8{0}
	}
	for _, content := range w.contents {
		w.moments = max(w.moments, uint8(len(content)))
	}
	w.hasPromises = len(w.contents) > 1 || w.moments > 1
	if rules.noMerge {
		w.roomFor = maxReservations
	}
	for q, r := range sc.requests {
		if r.kind == edit {
			w.edits |= 1 << q
			continue
		}
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
	texts := []string{}
	for _, has := range sc.world(Rules{}).nodes {
		texts = append(texts, fmt.Sprint(has))
	}
	return strings.Join(texts, " → ")
}

func (sc Scenario) promises() string {
	texts := []string{}
	for part, content := range sc.world(Rules{}).policy {
		text := []string{sc.world(Rules{}).contents[content].String()}
		for _, r := range sc.requests {
			if r.kind == edit && int(r.name) == part {
				text = append(text, sc.contents[r.amount].String())
			}
		}
		texts = append(texts, strings.Join(text, " → "))
	}
	return strings.Join(texts, "; ")
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
