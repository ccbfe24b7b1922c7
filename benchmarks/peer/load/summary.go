package main

import (
	"slices"
	"time"
)

// results of one connection.
type results struct {
	times    []time.Duration
	failures int
	first    string
	count    int
}

func (r *results) add(err error, intended, done time.Time) {
	r.count++
	if err != nil {
		if r.failures++; r.failures == 1 {
			r.first = err.Error()
		}
		return
	}
	if !intended.IsZero() {
		r.times = append(r.times, done.Sub(intended))
	}
}

// summary is what is printed. Latencies are in microseconds, from the intended instant; there are none without a rate.
type summary struct {
	Requests     int                `json:"requests"`
	Failures     int                `json:"failures"`
	FirstFailure string             `json:"first_failure"`
	Seconds      float64            `json:"seconds"`
	Latency      map[string]float64 `json:"latency"`
}

func summarise(all []results, took time.Duration) summary {
	total := summary{Seconds: took.Seconds(), Latency: map[string]float64{}}
	var times []time.Duration
	for _, each := range all {
		total.Requests += each.count
		total.Failures += each.failures
		if each.first != "" {
			total.FirstFailure = each.first
		}
		times = append(times, each.times...)
	}
	if len(times) == 0 {
		return total
	}
	slices.Sort(times)
	total.Latency = quantiles(times)
	return total
}

// quantiles of sorted times, in microseconds.
func quantiles(times []time.Duration) map[string]float64 {
	found := map[string]float64{}
	for name, share := range map[string]float64{"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1} {
		position := min(int(share*float64(len(times))), len(times)-1)
		found[name] = float64(times[position].Nanoseconds()) / 1000
	}
	return found
}
