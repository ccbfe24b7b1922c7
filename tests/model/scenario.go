package main

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
}

func (sc Scenario) world(rules Rules) *World {
	w := &World{Scenario: sc, rules: rules, roomFor: sc.room}
	if rules.noMerge {
		w.roomFor = maxReservations
	}
	for q, r := range sc.requests {
		w.nameOf[q+1] = r.name
		w.names = max(w.names, r.name+1)
		if r.kind == dryCreate {
			w.dryRuns |= 1 << q
		}
	}
	for k, r := range sc.existing {
		w.nameOf[firstOldUID+k] = r.name
		w.names = max(w.names, r.name+1)
	}
	return w
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

// requests reads "create a1, update a2": a kind, a name and an amount each.
func requests(texts ...string) (all []Request) {
	for _, text := range texts {
		k := len(text) - 2
		all = append(all, Request{kind: text[:k-1], name: text[k] - 'a', amount: text[k+1] - '0'})
	}
	return all
}
