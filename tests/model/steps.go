package main

import "fmt"

// Step is one action, for the trace: what, by which replica, for which request or name, and versions.
type Step struct {
	action     string
	by         int // replica, -1 for none
	what       int // request, or ofName(name), or -1 for neither
	base, then uint8
}

// The actions, as they are told. Those that are requests themselves (delete, status, finished) have their own words.
const (
	watches       = "watch"
	reads         = "read the ledger"
	decides       = "decide: allow"
	denies        = "deny"
	dryRunAllowed = "dry-run allowed"
	baseIsOver    = "allow: its base is over"
	fromCopy      = "allow once more, from the copy"
	doesNotGrow   = "allow: does not grow"
	swapLands     = "swap lands"
	conflicts     = "swap conflicts"
	unanswered    = "give up waiting for the swap"
	lateLands     = "the swap nobody waits for lands"
	lateFails     = "the swap nobody waits for fails"
	answers       = "answer"
	persists      = "persisted"
	isLost        = "lost"
	settlesGone   = "settle, it is gone"
	settles       = "settle"
	quorumReads   = "quorum read"
	noQuorumReads = "no quorum read"
	expires       = "expire"
	crashes       = "crash, list again"
	loses         = "the ledger is lost"
	putsBack      = "an old ledger is put back"
	beginsAnew    = "begin the ledger anew"
	opens         = "open the ledger"
	marks         = "mark"
	judges        = "judge on what was known before: accept"
	accepts       = "accept"
	refuses       = "refuse, take the mark away"
	sameAsBefore  = "allow: it promises the same"
	storesEdit    = "stored"
	takesUp       = "the watch shows the next version of the policy"
	settlesMark   = "take the mark out, it was shown"
	expiresMark   = "take the mark out after a quorum read, it is not stored"
	dropsMark     = "take the mark out"
	timePasses    = "a begin or end passes by its clock"
	allTimePasses = "a begin or end passes by all clocks"
	changes       = "there are other nodes from now on"
	seesNodes     = "go by the nodes that there are"
	rests         = "nothing can happen any more"
)

// everyAction has to occur in a run, or the run says less than it seems to.
var everyAction = []string{
	watches, reads, decides, denies, dryRunAllowed, fromCopy, baseIsOver, doesNotGrow, swapLands, conflicts, unanswered, lateLands,
	lateFails, answers, persists, isLost, settles, settlesGone, quorumReads, expires, crashes, loses, beginsAnew, opens,
	remove, bump, finish, marks, accepts, refuses, sameAsBefore, storesEdit, takesUp, settlesMark, expiresMark, timePasses,
	allTimePasses, changes, seesNodes,
}

func ofName(name uint8) int {
	return -2 - int(name)
}

func (w *World) words(step Step) string {
	text := step.action
	if step.by >= 0 {
		text = fmt.Sprintf("replica %c: %s", "ABC"[step.by], text)
	}
	switch {
	case step.what >= 0 && w.requests[step.what].kind == edit:
		r := w.requests[step.what]
		text += fmt.Sprintf(" #%d edit of ConfigMap %c: %s", step.what+1, 'a'+r.name, w.contents[r.amount])
	case step.what >= 0:
		r := w.requests[step.what]
		text += fmt.Sprintf(" #%d %s %c=%d", step.what+1, r.kind, 'a'+r.name, r.amount)
		if r.holder != onDemand {
			text += " of " + holderNames[r.holder]
		}
	case step.what < -1:
		text += fmt.Sprintf(" %c", 'a'-2-step.what)
	}
	if step.base > 0 {
		text += fmt.Sprintf(" on version %d", step.base)
	}
	if step.then > 0 {
		text += fmt.Sprintf(" -> version %d", step.then)
	}
	return text
}
