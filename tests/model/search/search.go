// Package search explores every state of a model, breadth first. What a state is, and what may follow it, only the model
// knows.
package search

import (
	"sync"
	"sync/atomic"
	"time"
)

// Model is the worlds that a search may use. Each worker has its own.
type Model[State, Step any] interface {
	// Pack gives a state as bytes, the same for states that act alike; valid until the next call. With sorted, states that
	// differ only in which replica is which are the same.
	Pack(s *State, sorted bool) []byte
	Unpack(packed []byte) State
	// Expand emits every state that may follow, with the step there and the invariant that the step itself breaks, "" if
	// none. It gives whether s rests: nothing but faults can happen; and which invariant is broken by resting in it.
	Expand(s *State, emit func(next *State, step Step, broken string)) (isResting bool, broken string)
	// Broken gives the first invariant that s breaks, "" if none.
	Broken(s *State) string
	// Note is told of each state that was not known before, and of the step by which it was reached.
	Note(s *State, step Step)
}

// Result of exploring one world.
type Result[Step any] struct {
	States  int
	Resting int // states where nothing but faults can happen
	Broken  string
	Trace   []Step // what led there; only of a search for the shortest way
	Took    time.Duration
}

const (
	chunkBytes = 1 << 20
	maxPacked  = 250
)

// All explores everything that can be reached, with one worker for each model. It stops at the first violation.
func All[State, Step any](start State, models ...Model[State, Step]) Result[Step] {
	began := time.Now()
	var seen Seen
	frontier := [][]byte{entry(nil, models[0].Pack(&start, true))}
	seen.add(hash(frontier[0][1:]))
	result := Result[Step]{}
	for len(frontier) > 0 && result.Broken == "" {
		next := make([][][]byte, len(models))
		var taken atomic.Int64
		var results sync.Mutex
		var workers sync.WaitGroup
		for k, model := range models {
			workers.Add(1)
			go func() {
				defer workers.Done()
				e := explorer[State, Step]{model: model, seen: &seen}
				for c := int(taken.Add(1)) - 1; c < len(frontier) && e.broken == ""; c = int(taken.Add(1)) - 1 {
					e.expandAll(frontier[c])
					frontier[c] = nil
				}
				results.Lock()
				defer results.Unlock()
				next[k] = e.next
				result.Resting += e.resting
				if result.Broken == "" {
					result.Broken = e.broken
				}
			}()
		}
		workers.Wait()
		frontier = nil
		for _, chunks := range next {
			frontier = append(frontier, chunks...)
		}
	}
	result.States, result.Took = seen.len(), time.Since(began)
	return result
}

// explorer expands the states of one depth, and keeps those that were not seen before for the next.
type explorer[State, Step any] struct {
	model   Model[State, Step]
	seen    *Seen
	next    [][]byte
	broken  string
	resting int
}

func (e *explorer[State, Step]) expandAll(chunk []byte) {
	for len(chunk) > 0 && e.broken == "" {
		size := int(chunk[0])
		s := e.model.Unpack(chunk[1 : 1+size])
		isResting, broken := e.model.Expand(&s, e.take)
		if isResting {
			e.resting++
		}
		e.note(broken)
		chunk = chunk[1+size:]
	}
}

func (e *explorer[State, Step]) note(broken string) {
	if e.broken == "" {
		e.broken = broken
	}
}

func (e *explorer[State, Step]) take(s *State, step Step, broken string) {
	e.note(broken)
	packed := e.model.Pack(s, true)
	if !e.seen.add(hash(packed)) {
		return
	}
	e.model.Note(s, step)
	e.note(e.model.Broken(s))
	if k := len(e.next) - 1; k >= 0 && len(e.next[k])+1+len(packed) <= chunkBytes {
		e.next[k] = entry(e.next[k], packed)
	} else {
		e.next = append(e.next, entry(make([]byte, 0, min(chunkBytes, 4096<<min(len(e.next), 8))), packed))
	}
}

func entry(chunk, packed []byte) []byte {
	if len(packed) > maxPacked {
		panic("a state is too large: raise maxPacked")
	}
	return append(append(chunk, byte(len(packed))), packed...)
}
