package search

import "time"

// The search that can tell how it came to a violation: one worker, every state kept.

type visit[Step any] struct {
	packed []byte
	parent int
	step   Step
}

// Shortest explores breadth first up to most states, and gives the shortest way to a violation that counts. rests is the
// step that is told last where a state breaks something by resting in it.
func Shortest[State comparable, Step any](start State, model Model[State, Step], most int, rests Step, counts func(broken string) bool) Result[Step] {
	began := time.Now()
	var seen Seen
	visits := []visit[Step]{}
	parent, last, found := -1, rests, ""
	note := func(broken string) {
		if found == "" && broken != "" && counts(broken) {
			found = broken
		}
	}
	emit := func(s *State, step Step, broken string) {
		if found != "" {
			return
		}
		packed := model.Pack(s, false)
		note(broken)
		last = step
		if !seen.add(hash(packed)) {
			return
		}
		note(model.Broken(s))
		if model.Unpack(packed) != *s {
			panic("a state is not what was packed")
		}
		visits = append(visits, visit[Step]{append([]byte(nil), packed...), parent, step})
	}
	emit(&start, rests, "")
	for parent = 0; parent < len(visits) && parent < most && found == ""; parent++ {
		s := model.Unpack(visits[parent].packed)
		_, broken := model.Expand(&s, emit)
		if found == "" {
			last = rests
			note(broken)
		}
		if found != "" {
			break
		}
	}
	result := Result[Step]{States: len(visits), Broken: found, Took: time.Since(began)}
	if found != "" {
		for at := parent; at > 0; at = visits[at].parent {
			result.Trace = append([]Step{visits[at].step}, result.Trace...)
		}
		result.Trace = append(result.Trace, last)
	}
	return result
}
