package main

// scenarios gives the small ones, which show every action, and for a full run the large ones too.
func scenarios(isFull bool) []Scenario {
	if isFull {
		return append(small, large...)
	}
	return small
}

// In the smallest worlds one replica has a grant when it begins.
var (
	onePlace = Scenario{title: "one place, two ask", replicas: 2, limits: []uint8{1}, granted: []Room{{1}}, shares: []Room{{1}},
		requests: requests("create 1", "create 1")}
	twoPlaces = Scenario{title: "two places, three ask", replicas: 2, limits: []uint8{2}, granted: []Room{{1}}, shares: []Room{{1}},
		requests: requests("create 1", "create 1", "create 1")}
)

// edited is a limit that is lowered by an edit of the policy.
var edited = Scenario{title: "the place is promised to another", replicas: 2, limits: []uint8{1}, granted: []Room{{1}}, shares: []Room{{1}},
	requests: requests("edit 0", "create 1")}

// with is the same world with more in it.
func (sc Scenario) with(titled string, changes ...func(sc *Scenario)) Scenario {
	if titled != "" {
		sc.title += ", " + titled
	}
	for _, change := range changes {
		change(&sc)
	}
	return sc
}

func late(sc *Scenario)  { sc.lateSwaps = true }
func crash(sc *Scenario) { sc.crashes++ }
func loss(sc *Scenario)  { sc.losses++ }
func retry(sc *Scenario) { sc.retries = true }
func tried(sc *Scenario) { sc.usable = true }
func slow(sc *Scenario)  { sc.bound = 1 }
func three(sc *Scenario) { sc.replicas = 3 }

func ask(texts ...string) func(*Scenario) {
	return func(sc *Scenario) {
		sc.requests = append(sc.requests[:len(sc.requests):len(sc.requests)], requests(texts...)...)
	}
}

func noShares(sc *Scenario) { sc.shares = nil }

func granted(rooms ...Room) func(*Scenario) {
	return func(sc *Scenario) { sc.granted = rooms }
}

func keys(limits []uint8, shares []Room, texts ...string) func(*Scenario) {
	return func(sc *Scenario) { sc.limits, sc.shares, sc.requests = limits, shares, requests(texts...) }
}

var small = []Scenario{
	onePlace.with("", tried),
	onePlace.with("a late swap", late, tried),
	onePlace.with("an answer is lost", retry, tried),
	onePlace.with("slow", slow, tried),
	onePlace.with("a deletion", ask("delete a")),
	onePlace.with("a dry-run", ask("dry-run 1")),
	onePlace.with("a crash", crash, tried),
	onePlace.with("a loss", loss, tried),
	bothHave,
	edited.with("a late swap", late, noShares),
	{title: "one place, one asks", replicas: 3, limits: []uint8{1}, granted: []Room{{1}}, requests: requests("create 1"), usable: true},
	{title: "two keys, both have to have room", replicas: 2, limits: []uint8{1, 1}, granted: []Room{{1, 1}}, shares: []Room{{1, 0}},
		requests: requests("create 1/1", "create 1/0"), usable: true},
}

// Two replicas want each other's grant.
var bothHave = Scenario{title: "both have a grant, two ask for all", replicas: 2, limits: []uint8{2}, granted: []Room{{1}, {1}}, shares: []Room{{1}},
	requests: requests("create 2", "create 2"), usable: true}

var large = []Scenario{
	twoPlaces.with("", tried),
	twoPlaces.with("nothing granted", granted()),
	onePlace.with("slow, a late swap, an answer is lost", slow, late, retry, tried),
	onePlace.with("slow, a crash", slow, crash, tried),
	onePlace.with("slow, a loss, an answer is lost", slow, loss, retry),
	onePlace.with("a crash, a late swap, an answer is lost", crash, late, retry, tried),
	onePlace.with("a crash, a loss", crash, loss),
	onePlace.with("two crashes", crash, crash, tried),
	onePlace.with("a loss, a late swap", loss, late),
	onePlace.with("two losses", loss, loss),
	bothHave.with("a deletion, one asks for little", keys([]uint8{2}, []Room{{1}}, "create 2", "create 1", "delete a")),
	edited.with("one of two", keys([]uint8{2}, []Room{{1}}, "edit 1", "create 1", "create 1")),
	edited.with("a late swap", late),
	onePlace.with("", three, tried),
	onePlace.with("a crash", three, crash, keys([]uint8{1}, nil, "create 1", "create 1")),
	bothHave.with("", three),
	{title: "two keys, two places of one", replicas: 2, limits: []uint8{2, 1}, granted: []Room{{1, 1}}, shares: []Room{{1, 0}},
		requests: requests("create 1/1", "create 1/0"), usable: true},
}
