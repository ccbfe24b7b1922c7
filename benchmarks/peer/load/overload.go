package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What became of a review that a caller with a time-out sent.
const (
	decided = "decided" // the expected answer, in time
	shed    = "503"     // a valid refusal to decide, in time
	late    = "late"    // nothing within the time-out
	unsent  = "unsent"  // no caller was free: all waited for answers
	broken  = "broken"  // a connection that was cut or refused, or any other answer
)

// outcomes of one caller, or of all. Latencies are those of answers that came in time, from the intended instant.
type outcomes struct {
	counts map[string]int
	times  map[string][]time.Duration
	first  string
}

func newOutcomes() *outcomes {
	return &outcomes{counts: map[string]int{}, times: map[string][]time.Duration{}}
}

func (o *outcomes) add(class string, took time.Duration, err error) {
	o.counts[class]++
	if class == decided || class == shed {
		o.times[class] = append(o.times[class], took)
	}
	if class == broken && o.first == "" && err != nil {
		o.first = err.Error()
	}
}

// patience is how long a review waits for a free caller: an API server at its limit turns requests away at once.
const patience = 50 * time.Millisecond

// besiege sends reviews at the asked rate, whatever becomes of them. A caller behaves as the API server does: it gives
// up at its time-out, which closes the connection, and the next review then needs a new one.
func besiege(asked options, all *templates, config *tls.Config, numbers *counter) overloadSummary {
	per, warm := make([]*outcomes, asked.connections), make([]*connection, asked.connections)
	for i := range warm {
		warm[i], _ = connect(asked, config)
		if warm[i] != nil { // one that has never asked for anything is ended soon
			_, _ = warm[i].exchange(all, numbers.take())
		}
	}
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	begun := time.Now()
	turns := schedule(asked, begun)
	var group sync.WaitGroup
	for i := range per {
		per[i] = newOutcomes()
		group.Add(1)
		go func() {
			defer group.Done()
			open := warm[i]
			for intended := range turns {
				if intended.IsZero() {
					intended = time.Now()
				}
				class, err := "", error(nil)
				if time.Since(intended) > patience {
					per[i].add(unsent, 0, nil)
					continue
				}
				open, class, err = attempt(asked, open, all, config, numbers.take(), intended.Add(asked.timeout))
				per[i].add(class, time.Since(intended), err)
			}
			if open != nil {
				_ = open.socket.Close()
			}
		}()
	}
	group.Wait()
	return summariseOutcomes(per, time.Since(begun))
}

// attempt sends one review and returns the connection that can be used again, if any.
func attempt(asked options, open *connection, all *templates, config *tls.Config, request int, end time.Time) (*connection, string, error) {
	var err error
	if open == nil {
		if open, err = connectBy(asked, config, end); err != nil {
			return nil, classOf(end), err
		}
	}
	_ = open.socket.SetDeadline(end)
	status, err := open.exchange(all, request)
	if err != nil {
		_ = open.socket.Close()
		return nil, classOf(end), err
	}
	class := broken
	switch {
	case strings.HasPrefix(status, "HTTP/1.1 200 ") && bytes.Contains(open.answer, open.must):
		class = decided
	case strings.HasPrefix(status, "HTTP/1.1 503 ") && bytes.Contains(open.answer, []byte(`"kind":"Status"`)):
		class = shed
	}
	if open.closes {
		_ = open.socket.Close()
		open = nil
	}
	return open, class, nil
}

func classOf(end time.Time) string {
	if time.Until(end) <= 0 {
		return late
	}
	return broken
}

type overloadSummary struct {
	Seconds  float64                       `json:"seconds"`
	Counts   map[string]int                `json:"counts"`
	Latency  map[string]map[string]float64 `json:"latency"`
	Breakage string                        `json:"first_breakage"`
}

func summariseOutcomes(per []*outcomes, took time.Duration) overloadSummary {
	total := overloadSummary{Seconds: took.Seconds(), Counts: map[string]int{}, Latency: map[string]map[string]float64{}}
	times := map[string][]time.Duration{}
	for _, each := range per {
		for class, count := range each.counts {
			total.Counts[class] += count
		}
		for class, some := range each.times {
			times[class] = append(times[class], some...)
		}
		if total.Breakage == "" {
			total.Breakage = each.first
		}
	}
	for class, all := range times {
		slices.Sort(all)
		total.Latency[class] = quantiles(all)
	}
	return total
}

// timeoutQuery is how the API server tells how long it waits.
func timeoutQuery(timeout time.Duration) string {
	return "?timeout=" + strconv.Itoa(int(max(timeout.Seconds(), 1))) + "s"
}
