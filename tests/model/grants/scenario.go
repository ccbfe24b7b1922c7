package main

import (
	"strings"

	"userquota.dev/model/report"
	"userquota.dev/model/search"
)

// Kinds of requests.
const (
	create    = "create"
	dryCreate = "dry-run"
	remove    = "delete" // of what a create of the scenario made
	edit      = "edit"   // of the policy: limits are lowered
)

// Request is what somebody will ask for, once.
type Request struct {
	kind    string
	amounts Room
	of      uint8
}

func (r Request) isCreate() bool {
	return r.kind == create || r.kind == dryCreate
}

// Scenario is a small world: who will ask for what, and what may go wrong how often.
type Scenario struct {
	title     string
	replicas  int
	limits    []uint8 // of each key
	granted   []Room  // what replicas have of each key when it begins
	shares    []Room  // what may be taken for later
	requests  []Request
	crashes   uint8
	losses    uint8
	lateSwaps bool
	bound     uint8 // how many ticks after it was asked a create may be stored
	retries   bool  // an answer may be lost on its way, so that the request is asked again
	usable    bool  // each request is tried alone wherever nothing is under way
}

func (sc Scenario) world(rules Rules) *World {
	w := &World{Scenario: sc, rules: rules, holders: sc.replicas + int(sc.crashes), alone: -1, sums: map[string]int{}}
	for q, r := range sc.requests {
		if r.kind == dryCreate {
			w.dryRuns |= only(q)
		}
	}
	w.lowered = append([]uint8(nil), sc.limits...)
	for _, r := range sc.requests {
		for k := range w.lowered {
			if r.kind == edit {
				w.lowered[k] = r.amounts[k]
			}
		}
	}
	if sc.usable {
		alone := sc
		alone.usable, alone.lateSwaps = false, false
		w.lone = alone.world(rules)
	}
	return w
}

// start: there are no objects, and nothing is in flight. Grants were written just now.
func (sc Scenario) start() (s State) {
	s.ledger.status = open
	for i, room := range sc.granted {
		s.ledger.grants[i] = room
		s.replicas[i].grant, s.replicas[i].isOpen = room, true
	}
	return s
}

// requests reads "create 1", "create 1/1" for two keys, "delete a".
func requests(texts ...string) (all []Request) {
	for _, text := range texts {
		kind, rest, _ := strings.Cut(text, " ")
		r := Request{kind: kind}
		if kind == remove {
			r.of = rest[0] - 'a'
		} else {
			for k, amount := range strings.Split(rest, "/") {
				r.amounts[k] = amount[0] - '0'
			}
		}
		all = append(all, r)
	}
	return all
}

// texts are how tables tell the limits, what is granted when it begins, and the shares.
func (sc Scenario) texts() string {
	w := sc.world(Rules{})
	limit := Room{}
	copy(limit[:], sc.limits)
	list := func(rooms []Room) string {
		each := []string{}
		for _, room := range rooms {
			each = append(each, w.amounts(room))
		}
		if len(each) == 0 {
			return "-"
		}
		return strings.Join(each, ", ")
	}
	return w.amounts(limit) + " | " + list(sc.granted) + " | " + list(sc.shares)
}

// How the search uses a world.

type result struct {
	search.Result[Step]
	used    int            // the most that was stored of the first key at once
	actions map[string]int // how many states were first reached by each
}

// explore looks at everything that can be reached, with two workers.
func explore(sc Scenario, rules Rules) result {
	a, b := sc.world(rules), sc.world(rules)
	found := result{search.All[State, Step](sc.start(), a, b), max(a.used, b.used), a.sums}
	for action, count := range b.sums {
		found.actions[action] += count
	}
	return found
}

// explain gives the shortest way to a violation. With onlyLimits nothing but an exceeded limit counts as one.
func explain(sc Scenario, rules Rules, onlyLimits bool) report.Way {
	if onlyLimits {
		sc.usable = false
	}
	w := sc.world(rules)
	found := search.Shortest[State, Step](sc.start(), w, wanted, Step{action: rests, by: -1, what: -1}, func(broken string) bool {
		return !onlyLimits || broken == overAdmission
	})
	way := report.Way{States: found.States, Broken: found.Broken}
	for _, step := range found.Trace {
		way.Steps = append(way.Steps, w.words(step))
	}
	return way
}

func (w *World) Expand(s *State, emit func(next *State, step Step, broken string)) (isResting bool, broken string) {
	w.emit = emit
	w.expand(s)
	if w.isResting {
		return true, w.leaks(s)
	}
	return false, ""
}

func (w *World) Note(s *State, step Step) {
	w.sums[step.action]++
	_, stored := s.seen(s.n)
	w.used = max(w.used, int(w.sum(stored)[0]))
}
