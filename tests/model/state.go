// Command model explores every state of the ledger protocol in small scenarios and checks what has to hold in each.
//
// This file says what a state is. What may happen next is in actions.go, edits.go, replica.go and rebuild.go, what must
// hold in invariants.go.
package main

const (
	maxEvents       = 12
	maxReservations = 6
	maxReplicas     = 3
	maxRequests     = 8
	maxNames        = 4
	maxEdits        = 4
	maxMarks        = 4
	firstOldUID     = maxRequests + 1 // objects that existed from the start; a create's uid is its request's number + 1
	mergedUID       = 0               // the uid of several creates of one name that are merged
)

// Event is one version of the stored objects: its place in the history, counted from 1, is its resource version.
type Event struct {
	uid     uint8
	amount  uint8
	deleted bool
}

// Reservation is what the ledger holds for attempts that were allowed and not seen yet.
// tokens are the requests it was written or refreshed for: its age counts from the last of them.
type Reservation struct {
	name, holder, uid, base, amount, tokens uint8
}

// Text is one version of the policy: what a ConfigMap promises from then on. Its place in the history, counted from 1, is
// its version; 0 are the texts at the start. These versions are never compared with those of objects.
type Text struct {
	configMap, content uint8
}

// Mark is an edit under way, in the ledger: of which version of its ConfigMap.
type Mark struct {
	edit, base uint8
}

// Status of the ledger object.
const (
	absent = iota
	rebuilding
	open
)

// Ledger is the content of the ledger object. Reservations are kept in order, so that equal contents are equal values.
type Ledger struct {
	status uint8
	water  uint8 // settledThrough
	n      uint8
	res    [maxReservations]Reservation

	policyVersion uint8 // whoever goes by older promises decides nothing
	promisedAt    uint8 // the latest begin or end by which anybody has decided
	marked        uint8 // how many marks there are
	marks         [maxMarks]Mark
}

// Replica is one process of ours. Its index is the history up to pos.
//
// isCurrent says that the ledger object was not written since the copy was read: exactly then a swap based on the copy
// succeeds, so that no version number is needed in the state.
type Replica struct {
	pos       uint8
	policy    uint8 // through which version its watch has shown the policy; it goes by that
	moment    uint8 // how many begins and ends have passed by its clock
	nodes     uint8 // the nodes that it knows of
	hasCopy   bool
	isCurrent bool
	copy      Ledger
	hasSwap   bool // decided and on its way: not known to have landed
	swap      Ledger
	inSwap    uint8 // requests whose answer waits for the swap
	landed    uint8 // requests whose swap landed and who are not answered yet
	hasRead   bool  // of a quorum read: who it was for, and the version found, 0 for none
	readFor   Reservation
	found     uint8
}

// Phase of a request.
const (
	idle     = iota // not begun
	again           // begun, and without an answer: may be asked again, at any replica
	decided         // in a replica's swap
	reserved        // in the ledger, not answered; an edit is judged now
	allowed         // answered: may be persisted at any time
	done            // persisted, denied, lost or past its bound
	judged          // only without the rule that an edit is marked first
)

// Call is how far a request has come. base is the version that an update or an edit was last judged on.
type Call struct {
	phase, base uint8
}

// State is everything at one moment.
type State struct {
	events        [maxEvents]Event
	n             uint8 // the newest resource version
	ledger        Ledger
	replicas      [maxReplicas]Replica
	hasOrphan     bool // a swap whose writer does not wait for it any more; it may land late
	orphanCurrent bool
	orphan        Ledger
	calls         [maxRequests]Call
	crashes       uint8 // how many may still happen
	losses        uint8
	atLoss        uint8 // requests that were in flight when the ledger was lost
	stored        uint8 // the newest version of the policy
	policy        [maxEdits]Text
	nodes         uint8 // which nodes there are
	older         uint8 // requests that were in flight when the last replica learnt of them
}

// object gives what name holds at a version.
func (w *World) object(s *State, name, version uint8) (Event, uint8, bool) {
	for v := version; v > 0; v-- {
		if e := s.events[v-1]; w.nameOf[e.uid] == name {
			return e, v, !e.deleted
		}
	}
	return Event{}, 0, false
}

func (s *State) write(e Event) {
	s.events[s.n] = e
	s.n++
}

func (s *State) isAlive(request int) bool {
	return s.calls[request].phase != idle && s.calls[request].phase != done
}

// areDead says that none of the requests in mask can be persisted or asked any more.
func (s *State) areDead(mask uint8) bool {
	for q := 0; mask != 0; q, mask = q+1, mask>>1 {
		if mask&1 != 0 && s.isAlive(q) {
			return false
		}
	}
	return true
}

func (s *State) setPhase(mask, phase uint8) {
	for q := 0; mask != 0; q, mask = q+1, mask>>1 {
		if mask&1 != 0 {
			s.calls[q].phase = phase
		}
	}
}

// put makes l the content of the ledger object: every copy but the writer's own is old from then on.
func (s *State) put(l Ledger, writer int) {
	s.forgetContent()
	for i := range s.replicas {
		s.replicas[i].isCurrent = i == writer
	}
	s.orphanCurrent = false
	s.ledger = l
}

// forgetContent keeps what current copies say, before the ledger changes under them.
func (s *State) forgetContent() {
	for i := range s.replicas {
		if r := &s.replicas[i]; r.hasCopy && r.isCurrent {
			r.copy = s.ledger
		}
	}
}
