package main

// scenarios gives the small ones, which show every action, and for a full run the large ones too.
func scenarios(isFull bool) []Scenario {
	if isFull {
		return append(small, large...)
	}
	return small
}

var small = []Scenario{
	{title: "three creates for two places", replicas: 2, limit: 2, room: 1,
		requests: requests("create a1", "create b1", "create c1")},
	{title: "an update beside a status", replicas: 2, limit: 2, room: 1, existing: requests("create a1"),
		requests: requests("update a2", "status a0", "create b1")},
	{title: "a shrink makes room", replicas: 2, limit: 2, room: 1, existing: requests("create a2"),
		requests: requests("update a1", "update a2", "create b1")},
	{title: "a finished one makes room", replicas: 2, limit: 2, room: 1, existing: requests("create a2"),
		requests: requests("finished a0", "update a1", "create b2")},
	{title: "deleted and created again", replicas: 2, limit: 1, room: 1,
		requests: requests("create a1", "delete a0", "create a1", "create b1")},
	{title: "a dry-run", replicas: 2, limit: 1, room: 1, crashes: 1,
		requests: requests("dry-run a1", "create b1")},
	{title: "two updates on one base", replicas: 2, limit: 2, room: 1, existing: requests("create a1"),
		requests: requests("update a2", "update a2", "create b1")},
	{title: "a crash, and a swap that lands late", replicas: 2, limit: 1, room: 1, crashes: 1, lateSwaps: true,
		requests: requests("create a1", "create b1")},
	{title: "the ledger is lost twice", replicas: 2, limit: 1, room: 1, losses: 2,
		requests: requests("create a1", "create b1")},
	{title: "two creates for one place", replicas: 3, limit: 1, room: 1,
		requests: requests("create a1", "create b1")},
	{title: "one place is promised", replicas: 2, promised: []Terms{{has: 2, promised: Use{0, 1, 0}}},
		isExact: true, room: 1, requests: requests("create a1 X", "create b1", "create c1")},
	{title: "all is promised to two", replicas: 2, promised: []Terms{{has: 2, promised: Use{0, 1, 1}}},
		isExact: true, room: 1, requests: requests("create a1 X", "create b1 Y", "create c1")},
	{title: "two holders ask for one name", replicas: 2, promised: []Terms{{has: 2, promised: Use{0, 1, 1}}},
		isExact: true, room: 1, requests: requests("create a1 X", "create a1 Y", "create b1")},
	{title: "two creates of one name of X, one of others", replicas: 2, promised: []Terms{{has: 2, promised: Use{0, 1, 0}}},
		isExact: true, room: 1, requests: requests("create a1 X", "create a1 X", "create a1")},
	{title: "it ends for all at once", replicas: 2, promised: []Terms{{has: 2, promised: Use{0, 1, 0}}, {has: 2}},
		atOnce: true, isExact: true, withinNodes: true, room: 1, requests: requests("create a1 X", "create b2")},
	{title: "set aside, then confirmed", replicas: 2, promised: []Terms{{has: 2, ahead: 1}, {has: 2, promised: Use{0, 1, 0}}},
		isEdit: true, isExact: true, withinNodes: true, room: 1,
		requests: requests("create a1 X", "create b1", "create c1")},
	apart[0], apart[1], apart[2],
	{title: "nodes are lost", replicas: 2, promised: []Terms{{has: 2, promised: Use{0, 1, 0}}, {has: 1, promised: Use{0, 1, 0}}},
		room: 1, requests: requests("create a1 X", "create b1")},
}

// apart are changes that let more through than nodes have, where replicas learn of them at different moments.
var apart = []Scenario{
	{title: "confirmed at once", replicas: 2, promised: []Terms{{has: 2}, {has: 2, promised: Use{0, 2, 0}}},
		isEdit: true, room: 1, requests: requests("create a2 X", "create b2")},
	{title: "moved", replicas: 2, promised: []Terms{{has: 2, promised: Use{0, 2, 0}}, {has: 2, promised: Use{0, 0, 2}}},
		isEdit: true, room: 1, requests: requests("create a2 X", "create b2 Y")},
	{title: "it ends for one after the other", replicas: 2, promised: []Terms{{has: 2, promised: Use{0, 2, 0}}, {has: 2}},
		room: 1, requests: requests("create a2 X", "create b2")},
}

var large = []Scenario{
	{title: "three creates, a crash, a late swap", replicas: 2, limit: 2, room: 1, crashes: 1, lateSwaps: true,
		requests: requests("create a1", "create b1", "create c1")},
	{title: "three creates, a deletion, an update", replicas: 2, limit: 2, room: 1,
		requests: requests("create a1", "create b1", "create c1", "delete a0", "update b2")},
	{title: "grown, shrunk, grown", replicas: 2, limit: 2, room: 1, existing: requests("create a1"),
		requests: requests("update a2", "update a1", "update a2", "create b1")},
	{title: "two of one name, a deletion, a crash", replicas: 2, limit: 2, room: 2, crashes: 1,
		requests: requests("create a1", "create a2", "delete a0", "create b1")},
	{title: "a loss, an update, a late swap", replicas: 2, limit: 2, room: 1, losses: 1, lateSwaps: true,
		existing: requests("create a1"), requests: requests("update a2", "status a0", "create b1")},
	{title: "three creates for two places", replicas: 3, limit: 2, room: 1,
		requests: requests("create a1", "create b1", "create c1")},
	{title: "deleted and created again", replicas: 3, limit: 1, room: 1,
		requests: requests("create a1", "delete a0", "create a1", "create b1")},
	{title: "an update, a status, a loss", replicas: 3, limit: 2, room: 1, losses: 1,
		existing: requests("create a1"), requests: requests("update a2", "status a0", "create b1")},
	{title: "a loss, a crash, a late swap", replicas: 3, limit: 1, room: 1, losses: 1, crashes: 1, lateSwaps: true,
		requests: requests("create a1", "create b1")},
	{title: "two losses, a late swap", replicas: 3, limit: 1, room: 1, losses: 2, lateSwaps: true,
		requests: requests("create a1", "create b1")},
	{title: "one place is promised, four ask", replicas: 2, promised: []Terms{{has: 2, promised: Use{0, 1, 0}}},
		isExact: true, room: 1, requests: requests("create a1 X", "create b1", "delete a0", "create c1 X")},
	{title: "promised to two, one on demand", replicas: 2, promised: []Terms{{has: 3, promised: Use{0, 1, 1}}},
		isExact: true, room: 1, requests: requests("create a1 X", "create b1 Y", "create c1", "create d1")},
	{title: "all is promised to two", replicas: 3, promised: []Terms{{has: 2, promised: Use{0, 1, 1}}},
		isExact: true, room: 1, requests: requests("create a1 X", "create b1 Y", "create c1")},
	{title: "confirmed at once, three ask", replicas: 2, promised: []Terms{{has: 2}, {has: 2, promised: Use{0, 1, 0}}},
		isEdit: true, room: 1, requests: requests("create a1 X", "create b1", "create c1")},
	{title: "moved, three ask", replicas: 2, promised: []Terms{{has: 2, promised: Use{0, 1, 0}}, {has: 2, promised: Use{0, 0, 1}}},
		isEdit: true, room: 1, requests: requests("create a1 X", "create b1 Y", "create c1")},
	{title: "moved and ended, a crash", replicas: 2, crashes: 1,
		promised: []Terms{{has: 1, promised: Use{0, 1, 0}}, {has: 1, promised: Use{0, 0, 1}}, {has: 1}},
		room:     1, requests: requests("create a1 X", "create b1 Y")},
	{title: "moved, the ledger is lost", replicas: 2, isEdit: true, losses: 1,
		promised: []Terms{{has: 1, promised: Use{0, 1, 0}}, {has: 1, promised: Use{0, 0, 1}}},
		room:     1, requests: requests("create a1 X", "create b1 Y")},
	{title: "moved", replicas: 3, isEdit: true, promised: []Terms{{has: 1, promised: Use{0, 1, 0}}, {has: 1, promised: Use{0, 0, 1}}},
		room: 1, requests: requests("create a1 X", "create b1 Y")},
}
