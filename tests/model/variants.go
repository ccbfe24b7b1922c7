package main

// Rules are switched off one at a time, to see that the model would notice. All false is the protocol.
type Rules struct {
	noWater, noBase, noQuorum, noFoundWater, early, readEarly, byKey, noCAS, noToken, dropUnseen, settleAny, mergedSettle bool
	rebuildEarly, rebuildNoWater, rebuildOldList, noObject                                                                bool
	dryRunWrites, staleDeny, noExpiry, noMerge                                                                            bool
	unusedFree, twoHolders, nameOnce, indexAside, endsEarly, needsNodes                                                   bool
}

// Variant is the protocol with one rule off, and the smallest scenario known to show what the rule is for.
type Variant struct {
	name     string
	off      string
	rules    Rules
	isSafety bool // without the rule a limit is exceeded; else something else breaks
	scenario Scenario
}

var variants = []Variant{
	{"nowater", "a replica decides without waiting for settledThrough", Rules{noWater: true}, true,
		Scenario{replicas: 2, limit: 1, room: 1, requests: requests("create a1", "create b1")}},
	{"nobase", "any event of the uid settles, also one at or below the base", Rules{noBase: true}, true,
		Scenario{replicas: 2, limit: 2, room: 1, existing: requests("create a1"), requests: requests("update a2", "create b1")}},
	{"noquorum", "a reservation expires without a quorum read", Rules{noQuorum: true}, true,
		Scenario{replicas: 2, limit: 1, room: 1, requests: requests("create a1", "create b1")}},
	{"nofoundwater", "what the quorum read found is dropped without raising settledThrough", Rules{noFoundWater: true}, true,
		Scenario{replicas: 2, limit: 1, room: 1, requests: requests("create a1", "create b1")}},
	{"early", "a reservation expires before its bound has passed", Rules{early: true}, true,
		Scenario{replicas: 2, limit: 1, room: 1, requests: requests("create a1", "create b1")}},
	{"readearly", "the quorum read comes before the bound, the expiry after it", Rules{readEarly: true}, true,
		Scenario{replicas: 2, limit: 1, room: 1, requests: requests("create a1", "create b1")}},
	{"bykey", "a reservation that was refreshed since the quorum read expires", Rules{byKey: true}, true,
		Scenario{replicas: 2, limit: 2, room: 1, existing: requests("create a1"), requests: requests("update a2", "update a2", "create b1")}},
	{"nocas", "a swap does not compare the ledger's version", Rules{noCAS: true}, true,
		Scenario{replicas: 2, limit: 1, room: 1, requests: requests("create a1", "create b1")}},
	{"notoken", "a second update on one base is answered from the first one's reservation, whose age goes on", Rules{noToken: true}, true,
		Scenario{replicas: 2, limit: 2, room: 1, existing: requests("create a1"), requests: requests("update a2", "update a2", "create b1")}},
	{"dropunseen", "what is absent from a replica's own list is dropped", Rules{dropUnseen: true}, true,
		Scenario{replicas: 2, limit: 1, room: 1, requests: requests("create a1", "create b1")}},
	{"settleany", "any object of the name settles, whatever its uid", Rules{settleAny: true}, true,
		Scenario{replicas: 2, limit: 1, room: 2, requests: requests("create a1", "create a1", "delete a0", "create b1")}},
	{"mergedsettle", "the sight of any object of the name settles merged creates", Rules{mergedSettle: true}, true,
		Scenario{replicas: 2, limit: 1, room: 1, requests: requests("create a1", "create a1", "delete a0", "create b1")}},
	{"rebuildearly", "a lost ledger is opened before the bound has passed", Rules{rebuildEarly: true}, true,
		Scenario{replicas: 2, limit: 1, room: 1, losses: 1, requests: requests("create a1", "create b1")}},
	{"rebuildnowater", "a lost ledger is opened without settledThrough", Rules{rebuildNoWater: true}, true,
		Scenario{replicas: 2, limit: 1, room: 1, losses: 1, requests: requests("create a1", "create b1")}},
	{"rebuildoldlist", "settledThrough of a new ledger comes from a list before the bound", Rules{rebuildOldList: true}, true,
		Scenario{replicas: 2, limit: 1, room: 1, losses: 1, requests: requests("create a1", "create b1")}},
	{"noobject", "an old ledger that was put back is believed", Rules{noObject: true}, true,
		Scenario{replicas: 2, limit: 1, room: 1, losses: 1, requests: requests("create a1", "create b1")}},
	{"dryrunwrites", "a dry-run reserves", Rules{dryRunWrites: true}, false,
		Scenario{replicas: 2, limit: 1, room: 1, requests: requests("dry-run a1", "create b1")}},
	{"staledeny", "a copy read before the request came may refuse", Rules{staleDeny: true}, false,
		Scenario{replicas: 2, limit: 1, room: 1, requests: requests("create a1", "create b1")}},
	{"noexpiry", "nothing expires", Rules{noExpiry: true}, false,
		Scenario{replicas: 2, limit: 1, room: 1, requests: requests("create a1", "create b1")}},
	{"nomerge", "creates of one name are never merged", Rules{noMerge: true}, false,
		Scenario{replicas: 2, limit: 1, room: 1, requests: requests("create a1", "create a1")}},
	{"unusedfree", "what is promised and not used is free for others", Rules{unusedFree: true}, true,
		Scenario{replicas: 2, promised: []Terms{{has: 1, promised: Use{0, 1, 0}}}, isExact: true, room: 1,
			requests: requests("create a1 X", "create b1")}},
	{"twoholders", "an object that is covered by one promise takes from another one too", Rules{twoHolders: true}, true,
		Scenario{replicas: 2, promised: []Terms{{has: 2, promised: Use{0, 1, 1}}}, isExact: true, room: 1,
			requests: requests("create a1 X", "create b1", "create c1 Y")}},
	{"nameonce", "a name counts once in the pool, and for each holder who asks for it", Rules{nameOnce: true}, true,
		Scenario{replicas: 2, promised: []Terms{{has: 1, promised: Use{0, 1, 0}}}, isExact: true, room: 1,
			requests: requests("create a1 X", "create a1")}},
	{"indexaside", "a promise is used by what is stored, not by what is in flight", Rules{indexAside: true}, true,
		Scenario{replicas: 2, promised: []Terms{{has: 1, promised: Use{0, 1, 0}}}, isExact: true, room: 1,
			requests: requests("create a1 X", "create b1 X")}},
	{"endsearly", "a replica ends a promise before its time", Rules{endsEarly: true}, true,
		Scenario{replicas: 2, promised: []Terms{{has: 1, promised: Use{0, 1, 0}}, {has: 1}}, isExact: true, atOnce: true, room: 1,
			requests: requests("create a1 X", "create b1")}},
	{"needsnodes", "who was promised something is refused where nodes were lost", Rules{needsNodes: true}, false,
		Scenario{replicas: 2, promised: []Terms{{has: 1, promised: Use{0, 1, 0}}, {promised: Use{0, 1, 0}}}, isExact: true, room: 1,
			requests: requests("create a1 X", "create b1")}},
}
