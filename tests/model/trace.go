package main

import "time"

// The search that can tell how it came to a violation: one worker, every state kept.

type visit struct {
	packed []byte
	parent int
	step   Step
}

// searchTrace explores breadth first up to most states, and gives the shortest way to a violation. With onlyLimits
// nothing but an exceeded limit counts as one.
func searchTrace(scenario Scenario, rules Rules, most int, onlyLimits bool) Result {
	began := time.Now()
	w := scenario.world(rules)
	var seen Seen
	var p packer
	visits := []visit{}
	parent, last, broken := -1, Step{}, ""
	w.emit = func(s *State, step Step) {
		if broken != "" {
			return
		}
		packed := p.pack(w, s)
		if !onlyLimits || w.violation == overAdmission {
			broken = w.violation
		}
		w.violation, last = "", step
		if !seen.add(hash(packed)) {
			return
		}
		if broken == "" && !onlyLimits {
			broken = w.broken(s)
		}
		if unpacker(packed).state(w) != *s {
			panic("a state is not what was packed")
		}
		visits = append(visits, visit{append([]byte(nil), packed...), parent, step})
	}
	start := scenario.start()
	w.emit(&start, Step{})
	for parent = 0; parent < len(visits) && parent < most && broken == ""; parent++ {
		s := unpacker(visits[parent].packed).state(w)
		w.expand(&s)
		if w.isResting && broken == "" && !onlyLimits {
			broken, last = w.leaks(&s), Step{action: rests, by: -1, what: -1}
		}
		if broken != "" {
			break
		}
	}
	result := Result{states: len(visits), broken: broken, took: time.Since(began)}
	if broken != "" {
		result.trace = w.tell(visits, parent, last)
	}
	return result
}

func (w *World) tell(visits []visit, at int, last Step) []string {
	trace := []string{w.words(last)}
	for ; at > 0; at = visits[at].parent {
		trace = append([]string{w.words(visits[at].step)}, trace...)
	}
	return trace
}
