// Package report prints what a model found, as tables for its README, and remembers what should not be.
package report

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// Report prints as it goes.
type Report struct {
	unexpected []string
}

func (r *Report) Fail(format string, values ...any) {
	r.unexpected = append(r.unexpected, fmt.Sprintf(format, values...))
}

// Exit ends the process: 0 if everything is as expected, else 1.
func (r *Report) Exit() {
	for _, line := range r.unexpected {
		fmt.Println("UNEXPECTED:", line)
	}
	if len(r.unexpected) > 0 {
		os.Exit(1)
	}
	fmt.Println("everything is as expected")
	os.Exit(0)
}

// Actions fails for each that never happened.
func (r *Report) Actions(every []string, happened map[string]int) {
	for _, action := range every {
		if happened[action] == 0 {
			r.Fail("%q never happened", action)
		}
	}
}

// Way is the shortest way to a violation, or what was explored without finding one.
type Way struct {
	States int
	Broken string // the invariant, "" if none
	Steps  []string
}

func (w Way) Print() {
	for k, line := range w.Steps {
		fmt.Printf("  %2d. %s\n", k+1, line)
	}
}

// Variant is the protocol with one rule off. Explain finds a way to what then breaks, or to a limit that is exceeded.
type Variant struct {
	Name, Off string
	IsSafety  bool // without the rule a limit is exceeded; else something else breaks
	Explain   func(onlyLimits bool) Way
}

// Variants has each caught, or the only one that is wanted.
func (r *Report) Variants(only string, variants []Variant) {
	var rows []string
	for _, v := range variants {
		if only != "" && v.Name != only {
			continue
		}
		first, limits := v.Explain(false), v.Explain(true)
		after, shortest := fmt.Sprintf("after %d states", limits.States), limits
		switch {
		case first.Broken == "":
			r.Fail("%s was not caught", v.Name)
		case v.IsSafety && limits.Broken == "":
			r.Fail("%s exceeded no limit", v.Name)
		case !v.IsSafety && limits.Broken != "":
			r.Fail("%s exceeded a limit", v.Name)
		}
		if limits.Broken == "" {
			after, shortest = fmt.Sprintf("never (all %d states)", limits.States), first
		}
		fmt.Printf("\n%s: %s. A way to %q:\n", v.Name, v.Off, shortest.Broken)
		shortest.Print()
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | %d | %s |", v.Name, v.Off, first.Broken, first.States, after))
	}
	if only != "" && len(rows) == 0 {
		r.Fail("no variant is called %q", only)
	}
	fmt.Println("\n| variant | rule off | caught by | after states | a limit is exceeded |\n|---|---|---|---|---|")
	fmt.Println(strings.Join(rows, "\n"))
}

// PeakMemory is in MiB, as Linux counts it.
func PeakMemory() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return -1
	}
	return usage.Maxrss / 1024
}
