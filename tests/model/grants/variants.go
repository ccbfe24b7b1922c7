package main

// Rules are switched off one at a time, to see that the model would notice. All false is the protocol.
type Rules struct {
	notCharged, refills, forgetsEarly, dropsInFlight, noSettle                bool
	noBound, frozenClock, fromEnd, readExtends                                bool
	readsEarly, byHolder, believesConflict                                    bool
	expiresEarly, waitsT, waits40, expiryNoWater, ownWater, noExpiry, noWater bool
	rebuilds40, rebuildNoWater                                                bool
	partial, exactKeeps, besideSwap, lateReturn, noCAS                        bool
	doubleReturn, believesOld                                                 bool
	judgesGranted, judgesFull                                                 bool
	deaf, deniesFull, anonymous, dryRunTakes                                  bool
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
	{"notcharged", "the grants of others are not counted", Rules{notCharged: true}, true, onePlace},
	{"refills", "a pod that the watch shows goes back to the budget, without a swap", Rules{refills: true}, true, onePlace},
	{"forgetsearly", "a create goes back to the budget before it is certain that it is never stored", Rules{forgetsEarly: true}, true, onePlace},
	{"dropsinflight", "a grant that is written anew is not charged with what is in flight", Rules{dropsInFlight: true}, true, onePlace},
	{"nosettle", "what leaves a grant because the watch has shown it does not raise settledThrough", Rules{noSettle: true}, true, onePlace},
	{"nowater", "a replica decides without waiting for settledThrough", Rules{noWater: true}, true, onePlace},
	{"nobound", "a replica admits under its grant without a bound, as one that goes on after a pause", Rules{noBound: true}, true, onePlace},
	{"frozenclock", "the clock of T stands still while the machine does", Rules{frozenClock: true}, true, onePlace},
	{"fromend", "T begins when the answer to the swap arrives", Rules{fromEnd: true}, true, onePlace},
	{"readextends", "T begins anew with each read that shows the grant, while its age goes on", Rules{readExtends: true}, true, onePlace},
	{"expiresearly", "a grant expires at any age", Rules{expiresEarly: true}, true, onePlace},
	{"waitst", "a grant expires after T, though what was allowed under it may still be stored", Rules{waitsT: true}, true, onePlace.with("", slow)},
	{"waits40", "a grant expires after 40 seconds", Rules{waits40: true}, true, onePlace},
	{"expirynowater", "an expired grant does not raise settledThrough", Rules{expiryNoWater: true}, true, onePlace},
	{"ownwater", "the version for that is what the own watch has shown, not what a quorum read finds", Rules{ownWater: true}, true, onePlace},
	{"readsearly", "the quorum read comes before T and the 40 seconds have passed, the expiry after it", Rules{readsEarly: true}, true, onePlace},
	{"byholder", "a grant expires that was written anew since the quorum read", Rules{byHolder: true}, true, onePlace},
	{"noexpiry", "the grants of those who are gone never expire", Rules{noExpiry: true}, false, onePlace.with("", crash)},
	{"rebuilds40", "a lost ledger is opened after 40 seconds", Rules{rebuilds40: true}, true, onePlace.with("", loss)},
	{"rebuildnowater", "a lost ledger is opened without settledThrough", Rules{rebuildNoWater: true}, true, onePlace.with("", loss)},
	{"partial", "room in the grant of one of two keys is enough", Rules{partial: true}, true,
		Scenario{replicas: 2, limits: []uint8{2, 1}, shares: []Room{{1, 0}}, requests: requests("create 1/1", "create 1/1")}},
	{"exactkeeps", "a swap in the exact form counts what is left of the own grant as free and leaves it there", Rules{exactKeeps: true}, true,
		Scenario{replicas: 2, limits: []uint8{2}, granted: []Room{{1}}, requests: requests("create 2", "create 1")}},
	{"besideswap", "while a swap is under way that gives back, the replica admits by its old grant", Rules{besideSwap: true}, true, onePlace},
	{"latereturn", "a replica that gave up waiting for a swap goes on under the old grant", Rules{lateReturn: true}, true, onePlace.with("", late)},
	{"believesconflict", "a replica that is told of a conflict goes on under the old grant without reading", Rules{believesConflict: true}, true, onePlace.with("", late)},
	{"nocas", "a swap does not compare the ledger's version", Rules{noCAS: true}, true, onePlace},
	{"doublereturn", "the ledger has a sum of all grants, and the owner gives back what another has taken out", Rules{doubleReturn: true}, true,
		Scenario{replicas: 2, limits: []uint8{2}, granted: []Room{{1}, {1}}, requests: requests("create 2", "create 1")}},
	{"believesold", "a process that starts anew goes by the grant of the one before", Rules{believesOld: true}, true, onePlace.with("", crash)},
	{"deaf", "nobody gives back what is recalled", Rules{deaf: true}, false, onePlace.with("", tried)},
	{"deniesfull", "a refusal counts the grants of others in full", Rules{deniesFull: true}, false, onePlace},
	{"anonymous", "what is recalled and in flight stays a sum in the grant, and counts in a refusal", Rules{anonymous: true}, false,
		Scenario{replicas: 2, limits: []uint8{2}, granted: []Room{{1}}, requests: requests("create 1", "create 1")}},
	{"askedagain", "the same, where an answer was lost", Rules{anonymous: true}, false, onePlace.with("", retry)},
	{"judgesgranted", "an edit that lowers a limit is judged while others have grants", Rules{judgesGranted: true}, true, edited},
	{"judgesfull", "such an edit is judged with the grants of others in full", Rules{judgesFull: true}, false, edited},
	{"dryruntakes", "a dry-run is charged", Rules{dryRunTakes: true}, false,
		Scenario{replicas: 2, limits: []uint8{2}, shares: []Room{{1}}, requests: requests("create 1", "dry-run 1")}},
}
