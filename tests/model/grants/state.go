// Command grants explores every state of the protocol of grants in small worlds and checks what has to hold in each.
//
// This file says what a state is. What may happen next is in clients.go, replica.go, swaps.go, ends.go and edits.go, what
// must hold in invariants.go and usable.go.
package main

const (
	maxReplicas = 3
	maxHolders  = maxReplicas + 2 // replicas, and processes that crashed
	maxRequests = 6
	maxKeys     = 2
	maxEvents   = 8
)

// Time passes in ticks, for all at once. A grant may be used until its swap began validFor ticks ago, a create may be
// stored until it was asked w.bound ticks ago, 0 or 1. Both are included, so what waits for one or both waits a tick more.
const validFor = 1 // T

// waits40 and waitsBoth are how long it takes until a create can surely not be stored any more: one that was asked before,
// and one that may yet be allowed under a grant.
func (w *World) waits40() uint8   { return w.bound + 1 }
func (w *World) waitsBoth() uint8 { return validFor + w.bound + 1 }

// Room is an amount for each limit key.
type Room [maxKeys]uint8

// Set is a set of requests, one bit each. Every create has an object of its own, with the number of its request as uid.
type Set uint8

func (s Set) has(q int) bool { return s>>q&1 != 0 }

func only(q int) Set { return 1 << q }

// Status of the ledger object.
const (
	absent = iota
	rebuilding
	open
)

// Ledger is the content of the ledger object. A grant of nothing is no grant.
type Ledger struct {
	status   uint8
	water    uint8 // settledThrough
	reserved Set
	recalled uint8 // one bit for each key
	isMarked bool  // the policy is being edited
	isNewer  bool  // policyVersion: who goes by the old policy decides nothing
	grants   [maxHolders]Room
	credit   Room // only in a variant: what was given back twice
}

// How far a replica's swap has come.
const (
	noSwap   = iota
	underWay // may land, or not
	landed   // it is in the ledger; its writer does not know yet
)

// Replica is one process of ours. Its index is the history up to pos.
//
// isCurrent says that the ledger object was not written since its swap was built: exactly then the swap succeeds, so that
// no version number is needed in the state.
type Replica struct {
	pos     uint8
	knows   bool  // it goes by the edited policy
	grant   Room  // what the last of its own swaps wrote of which it knows that it landed
	isOpen  bool  // it may admit under it
	age     uint8 // by its own clock, since that swap began
	charged Set   // what it admitted under its grant

	swapping  uint8
	isCurrent bool
	swap      Ledger
	swapAge   uint8
	leaving   Set // what is not charged to the grant any more if the swap lands
	deciding  Set // the requests that wait for the swap

	readFor uint8 // of a quorum read: the holder whose grant was too old, and one; 0 for none
	found   uint8 // the newest version then
}

// Orphan is a swap whose writer does not wait for it any more.
type Orphan struct {
	isThere, isCurrent bool
	writer             uint8 // as holder
	swap               Ledger
}

// Phase of a request.
const (
	idle     = iota // not begun
	begun           // begun, and without an answer: may be asked again, at any replica
	decided         // waits for a swap
	allowed         // may be stored at any time
	done            // stored, denied, or past its bound
	accepted        // of an edit: may be stored at any time
)

// Call is how far a request has come, and how long ago it began.
type Call struct {
	phase, age uint8
}

// Event is one version of the stored objects: its place in the history, counted from 1, is its resource version.
type Event struct {
	request   uint8
	isDeleted bool
}

// State is everything at one moment.
//
// The holders of grants are the replicas, by their number, and after them the processes that crashed.
type State struct {
	events     [maxEvents]Event
	n          uint8 // the newest resource version
	ledger     Ledger
	tokenAge   [maxHolders]uint8 // since the swap landed that wrote the holder's token
	rebuildAge uint8
	recallAge  uint8
	replicas   [maxReplicas]Replica
	orphan     Orphan
	calls      [maxRequests]Call
	isEdited   bool // the policy
	crashed    uint8
	lost       uint8
}

// createdAt gives the version at which the object of q was stored, as seen at a version, 0 if it was not yet.
func (s *State) createdAt(q int, version uint8) uint8 {
	for v := uint8(1); v <= version; v++ {
		if e := s.events[v-1]; int(e.request) == q && !e.isDeleted {
			return v
		}
	}
	return 0
}

// seen gives what was stored until a version, deleted or not, and used what exists at it.
func (s *State) seen(version uint8) (seen, used Set) {
	for _, e := range s.events[:version] {
		seen |= only(int(e.request))
		if e.isDeleted {
			used &^= only(int(e.request))
		} else {
			used |= only(int(e.request))
		}
	}
	return seen, used
}

// inFlight gives what was allowed and may still be stored.
func (s *State) inFlight() (all Set) {
	for q, call := range s.calls {
		if call.phase == allowed {
			all |= only(q)
		}
	}
	return all
}

// isDead says that q can never be stored any more, and for long enough that everybody may rely on it.
func (w *World) isDead(s *State, q int) bool {
	return s.calls[q].age > w.bound
}

func (s *State) setPhase(set Set, phase uint8) {
	for q := range s.calls {
		if set.has(q) {
			s.calls[q].phase = phase
		}
	}
}

// put makes l the content of the ledger object. What was read for the writer's token is over with it.
func (w *World) put(s *State, l Ledger, writer uint8) {
	for i := range s.replicas {
		r := &s.replicas[i]
		r.isCurrent = false
		if r.readFor == writer+1 && !w.rules.byHolder {
			r.readFor, r.found = 0, 0
		}
	}
	s.orphan.isCurrent = false
	if l.recalled&^s.ledger.recalled != 0 {
		s.recallAge = 0
	}
	if s.ledger.status != rebuilding {
		s.rebuildAge = 0
	}
	s.ledger = l
	s.tokenAge[writer] = 0
}
