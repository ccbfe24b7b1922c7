package main

import "fmt"

// Step is one action, for the trace: what, by which replica, for which request, and a version.
type Step struct {
	action   string
	by, what int // replica and request, -1 for none
	then     uint8
	room     Room
}

// The actions, as they are told.
const (
	watches             = "watch"
	admits              = "allow in memory, under the grant:"
	fromMemory          = "allow once more, from memory:"
	fromLedger          = "allow once more, it is reserved:"
	reserves            = "decide: reserve"
	dryRunAllowed       = "dry-run allowed:"
	denies              = "deny"
	recalls             = "recall the grants of the others, for"
	renews              = "write the grant anew"
	swapLands           = "swap lands"
	learns              = "learn that the swap has landed, answer"
	conflicts           = "swap conflicts"
	conflictsWithItself = "swap lands, is sent again and conflicts"
	unanswered          = "give up waiting for the swap"
	lateLands           = "the swap nobody waits for lands"
	lateFails           = "the swap nobody waits for fails"
	forgets             = "quorum read: it can never be stored, back to the budget:"
	expires             = "expire, after a quorum read,"
	expiresGrant        = "expire the grant of another"
	quorumReads         = "quorum read, for the grant of another"
	readsGrant          = "read the ledger: the grant is there"
	beginsAnew          = "begin the ledger anew"
	opens               = "open the ledger"
	stores              = "stored:"
	deletes             = "deleted:"
	losesAnswer         = "the answer is lost:"
	ticks               = "time passes"
	loses               = "the ledger is lost"
	crashes             = "crash, list again"
	marks               = "mark an edit that lowers the limit"
	findsMark           = "ask again for the edit, its mark is there"
	accepts             = "judge the edit: accept"
	refuses             = "judge the edit: refuse, take the mark away"
	storesEdit          = "the edit is stored"
	takesUp             = "go by the edit"
	rests               = "nothing can happen any more"
)

// everyAction has to occur in a run, or the run says less than it seems to.
var everyAction = []string{
	watches, admits, fromMemory, fromLedger, reserves, dryRunAllowed, denies, recalls, renews, swapLands, learns, conflicts, conflictsWithItself,
	unanswered, lateLands, lateFails, forgets, quorumReads, expires, expiresGrant, beginsAnew, opens, stores, deletes, losesAnswer, ticks,
	loses, crashes, marks, findsMark, accepts, refuses, storesEdit, takesUp,
}

func (w *World) words(step Step) string {
	text := step.action
	if step.by >= 0 {
		text = fmt.Sprintf("replica %c: %s", "ABC"[step.by], text)
	}
	if step.what >= 0 {
		text += fmt.Sprintf(" %c=%s", 'a'+step.what, w.amounts(w.requests[step.what].amounts))
	}
	if step.action == renews {
		text += ": " + w.amounts(step.room)
	}
	if step.action == reserves && step.room != (Room{}) {
		text += " and take " + w.amounts(step.room)
	}
	if step.then > 0 {
		text += fmt.Sprintf(" -> version %d", step.then)
	}
	return text
}

func (w *World) amounts(room Room) string {
	if len(w.limits) == 1 {
		return fmt.Sprint(room[0])
	}
	return fmt.Sprintf("%d/%d", room[0], room[1])
}
