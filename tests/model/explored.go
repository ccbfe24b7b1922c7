package main

import (
	"userquota.dev/model/report"
	"userquota.dev/model/search"
)

// How the search uses a world.

type result struct {
	search.Result[Step]
	used    int            // the most that was stored at once
	actions map[string]int // how many states were first reached by each
}

// explore looks at everything that can be reached, with two workers.
func explore(sc Scenario, rules Rules) result {
	a, b := sc.world(rules), sc.world(rules)
	a.sums, b.sums = map[string]int{}, map[string]int{}
	found := result{search.All[State, Step](sc.start(), a, b), max(a.used, b.used), a.sums}
	for action, count := range b.sums {
		found.actions[action] += count
	}
	return found
}

// explain gives the shortest way to a violation. With onlyLimits nothing but an exceeded limit counts as one.
func explain(sc Scenario, rules Rules, onlyLimits bool) report.Way {
	w := sc.world(rules)
	w.sums = map[string]int{}
	found := search.Shortest[State, Step](sc.start(), w, wanted, Step{action: rests, by: -1, what: -1}, func(broken string) bool {
		return !onlyLimits || broken == overAdmission
	})
	way := report.Way{States: found.States, Broken: found.Broken}
	for _, step := range found.Trace {
		way.Steps = append(way.Steps, w.words(step))
	}
	return way
}

func (w *World) Pack(s *State, sorted bool) []byte {
	w.packer.sorted = sorted
	return w.packer.pack(w, s)
}

func (w *World) Unpack(packed []byte) State {
	return unpacker(packed).state(w)
}

func (w *World) Expand(s *State, emit func(next *State, step Step, broken string)) (isResting bool, broken string) {
	w.emit = func(next *State, step Step) {
		emit(next, step, w.violation)
		w.violation = ""
	}
	w.expand(s)
	if w.isResting {
		return true, w.leaks(s)
	}
	return false, ""
}

func (w *World) Broken(s *State) string {
	return w.broken(s)
}

func (w *World) Note(s *State, step Step) {
	w.sums[step.action]++
	if step.action == persists {
		index := w.indexed(s, s.n)
		w.used = max(w.used, index.used().sum())
	}
}
