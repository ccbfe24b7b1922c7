package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"userquota.dev/model/search"
)

const wanted = 10_000_000 // states that a full run explores, for two replicas and for three

func main() {
	isFull := flag.Bool("full", false, "all scenarios: minutes; at least 10^7 states for two replicas and for three")
	flag.Bool("reduced", true, "the small scenarios, seconds; what is run without a flag")
	one := flag.String("variant", "", "only this variant, with the way to what it breaks")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "no arguments but flags are known:", flag.Args())
		os.Exit(2)
	}
	var r report
	if *one == "" {
		r.scenarios(*isFull)
		r.afterLoss()
	}
	r.variants(*one)
	for _, line := range r.unexpected {
		fmt.Println("UNEXPECTED:", line)
	}
	if len(r.unexpected) > 0 {
		os.Exit(1)
	}
	fmt.Println("everything is as expected")
}

// report prints as it goes, and remembers what should not be.
type report struct {
	unexpected []string
}

func (r *report) fail(format string, values ...any) {
	r.unexpected = append(r.unexpected, fmt.Sprintf(format, values...))
}

func (r *report) scenarios(isFull bool) {
	began := time.Now()
	states, actions := map[int]int{}, map[string]int{}
	fmt.Println("| scenario | replicas | limit | promised | used at most | states | at rest | result | seconds |\n|---|---|---|---|---|---|---|---|---|")
	for _, sc := range scenarios(isFull) {
		found := explore(sc, Rules{})
		result := "holds"
		if found.Broken != "" {
			result = "BROKEN: " + found.Broken
			r.fail("the protocol breaks %q in %q", found.Broken, sc.title)
		}
		fmt.Printf("| %s | %d | %s | %s | %d | %d | %d | %s | %.1f |\n",
			sc.title, sc.replicas, sc.limits(), sc.promises(), found.used, found.States, found.Resting, result, found.Took.Seconds())
		if found.Broken != "" {
			sc.world(Rules{}).tell(explain(sc, Rules{}, wanted, false))
		} else if found.Resting == 0 {
			r.fail("nothing ever comes to rest in %q", sc.title)
		}
		states[sc.replicas] += found.States
		for action, count := range found.actions {
			actions[action] += count
		}
	}
	fmt.Printf("\nstates: %d with two replicas, %d with three; %.0f s, at most %d MiB\n",
		states[2], states[3], time.Since(began).Seconds(), peakMemory())
	for _, action := range everyAction {
		if actions[action] == 0 {
			r.fail("%q never happened", action)
		}
	}
	if isFull && (states[2] < wanted || states[3] < wanted) {
		r.fail("fewer than %d states", wanted)
	}
}

// afterLoss tells how the loss of the ledger lets more through than nodes have.
func (r *report) afterLoss() {
	sc := lost
	sc.withinNodes = true
	found := explain(sc, Rules{}, wanted, true)
	if found.Broken == "" {
		r.fail("%q keeps within what nodes have: say so", sc.title)
	}
	fmt.Printf("\n%s: replicas may learn of the edit at different moments. A way to more than nodes have:\n", sc.title)
	sc.world(Rules{}).tell(found)
}

func (r *report) variants(only string) {
	var rows []string
	for _, v := range variants {
		if only != "" && v.name != only {
			continue
		}
		first := explain(v.scenario, v.rules, wanted, false)
		limits := explain(v.scenario, v.rules, wanted, true)
		after := fmt.Sprintf("after %d states", limits.States)
		shortest := limits
		switch {
		case first.Broken == "":
			r.fail("%s was not caught", v.name)
		case v.isSafety && limits.Broken == "":
			r.fail("%s exceeded no limit", v.name)
		case !v.isSafety && limits.Broken != "":
			r.fail("%s exceeded a limit", v.name)
		}
		if limits.Broken == "" {
			after, shortest = fmt.Sprintf("never (all %d states)", limits.States), first
		}
		fmt.Printf("\n%s: %s. A way to %q:\n", v.name, v.off, shortest.Broken)
		v.scenario.world(v.rules).tell(shortest)
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | %d | %s |", v.name, v.off, first.Broken, first.States, after))
	}
	if only != "" && len(rows) == 0 {
		r.fail("no variant is called %q", only)
	}
	fmt.Println("\n| variant | rule off | caught by | after states | a limit is exceeded |\n|---|---|---|---|---|")
	fmt.Println(strings.Join(rows, "\n"))
}

func (w *World) tell(found search.Result[Step]) {
	for k, step := range found.Trace {
		fmt.Printf("  %2d. %s\n", k+1, w.words(step))
	}
}

// peakMemory is in MiB, as Linux counts it.
func peakMemory() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return -1
	}
	return usage.Maxrss / 1024
}
