package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"userquota.dev/model/report"
)

const wanted = 10_000_000 // states that a search for one trace explores at most

func main() {
	isFull := flag.Bool("full", false, "all scenarios: minutes")
	flag.Bool("reduced", true, "the small scenarios, seconds; what is run without a flag")
	one := flag.String("variant", "", "only this variant, with the way to what it breaks")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "no arguments but flags are known:", flag.Args())
		os.Exit(2)
	}
	var r report.Report
	if *one == "" {
		runScenarios(&r, *isFull)
	}
	runVariants(&r, *one)
	r.Exit()
}

func runScenarios(r *report.Report, isFull bool) {
	began := time.Now()
	states, actions := map[int]int{}, map[string]int{}
	fmt.Println("| scenario | replicas | limit | granted | shares | used at most | states | at rest | result | seconds |\n|---|---|---|---|---|---|---|---|---|---|")
	for _, sc := range scenarios(isFull) {
		found := explore(sc, Rules{})
		result := "holds"
		if found.Broken != "" {
			result = "BROKEN: " + found.Broken
			r.Fail("the protocol breaks %q in %q", found.Broken, sc.title)
		}
		fmt.Printf("| %s | %d | %s | %d | %d | %d | %s | %.1f |\n",
			sc.title, sc.replicas, sc.texts(), found.used, found.States, found.Resting, result, found.Took.Seconds())
		if found.Broken != "" {
			explain(sc, Rules{}, false).Print()
		} else if found.Resting == 0 {
			r.Fail("nothing ever comes to rest in %q", sc.title)
		}
		states[sc.replicas] += found.States
		for action, count := range found.actions {
			actions[action] += count
		}
	}
	fmt.Printf("\nstates: %d with two replicas, %d with three; %.0f s, at most %d MiB\n",
		states[2], states[3], time.Since(began).Seconds(), report.PeakMemory())
	r.Actions(everyAction, actions)
}

func runVariants(r *report.Report, only string) {
	var all []report.Variant
	for _, v := range variants {
		all = append(all, report.Variant{Name: v.name, Off: v.off, IsSafety: v.isSafety, Explain: func(onlyLimits bool) report.Way {
			return explain(v.scenario, v.rules, onlyLimits)
		}})
	}
	r.Variants(only, all)
}
