package main

import (
	"sync"
	"sync/atomic"
	"time"
)

// Result of exploring one scenario.
type Result struct {
	states  int
	resting int // states where nothing but a crash, a loss or a change of terms can happen
	used    int // the most that was stored at once
	broken  string
	trace   []string       // what led there; only of a search for traces
	actions map[string]int // how many states were first reached by each
	took    time.Duration
}

const chunkBytes = 1 << 20

// search explores breadth first, everything that can be reached, with two workers. It stops at the first violation.
func search(scenario Scenario, rules Rules) Result {
	began := time.Now()
	var seen Seen
	first := scenario.world(rules)
	start := scenario.start()
	frontier := [][]byte{entry(nil, (&packer{sorted: true}).pack(first, &start))}
	seen.add(hash(frontier[0][1:]))
	result := Result{actions: map[string]int{}}
	for len(frontier) > 0 && result.broken == "" {
		next := make([][][]byte, 2)
		var taken atomic.Int64
		var results sync.Mutex
		var workers sync.WaitGroup
		for k := range next {
			workers.Add(1)
			go func() {
				defer workers.Done()
				e := explorer{world: scenario.world(rules), seen: &seen, packer: packer{sorted: true}, actions: map[string]int{}}
				e.world.emit = e.take
				for c := int(taken.Add(1)) - 1; c < len(frontier) && e.broken == ""; c = int(taken.Add(1)) - 1 {
					e.expandAll(frontier[c])
					frontier[c] = nil
				}
				results.Lock()
				defer results.Unlock()
				next[k] = e.next
				result.add(&e)
			}()
		}
		workers.Wait()
		frontier = append(next[0], next[1]...)
	}
	result.states, result.took = seen.len(), time.Since(began)
	return result
}

func (r *Result) add(e *explorer) {
	r.resting += e.resting
	r.used = max(r.used, e.used)
	for action, count := range e.actions {
		r.actions[action] += count
	}
	if r.broken == "" {
		r.broken = e.broken
	}
}

// explorer expands the states of one depth, and keeps those that were not seen before for the next.
type explorer struct {
	world   *World
	seen    *Seen
	packer  packer
	next    [][]byte
	broken  string
	resting int
	used    int
	actions map[string]int
}

func (e *explorer) expandAll(chunk []byte) {
	for len(chunk) > 0 && e.broken == "" {
		size := int(chunk[0])
		s := unpacker(chunk[1 : 1+size]).state(e.world)
		e.world.expand(&s)
		if e.world.isResting {
			e.resting++
			e.note(e.world.leaks(&s))
		}
		chunk = chunk[1+size:]
	}
}

func (e *explorer) note(broken string) {
	if e.broken == "" {
		e.broken = broken
	}
}

func (e *explorer) take(s *State, step Step) {
	e.note(e.world.violation)
	packed := e.packer.pack(e.world, s)
	if !e.seen.add(hash(packed)) {
		return
	}
	e.actions[step.action]++
	if step.action == persists {
		index := e.world.indexed(s, s.n)
		e.used = max(e.used, index.used().sum())
	}
	e.note(e.world.broken(s))
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
