package main

import (
	"sync"
	"syscall"
	"time"
)

// counter hands out numbers, each once.
type counter struct {
	mutex sync.Mutex
	next  int
}

func (c *counter) take() int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.next++
	return c.next - 1
}

// schedule gives the instants at which reviews have to be sent, until there were enough.
//
// With a rate the instants are fixed beforehand, so that what a slow answer delays is counted as delayed. Without one
// there is always a next turn, and it is now.
func schedule(asked options, begun time.Time) <-chan time.Time {
	if asked.rate == 0 {
		turns := make(chan time.Time)
		go func() {
			defer close(turns)
			for sent := 0; sent < asked.requests && time.Since(begun) < asked.limit; sent++ {
				turns <- time.Time{}
			}
		}()
		return turns
	}
	turns := make(chan time.Time, asked.requests) // never full: the schedule does not wait for the webhook
	go func() {
		defer close(turns)
		pause := time.Second / time.Duration(asked.rate)
		for sent := range asked.requests {
			intended := begun.Add(time.Duration(sent) * pause)
			if intended.Sub(begun) > asked.limit {
				return
			}
			sleepUntil(intended)
			turns <- intended
		}
	}()
	return turns
}

// sleepUntil asks the kernel itself: timers of Go's runtime are up to a millisecond late, which would hide what is measured.
func sleepUntil(instant time.Time) {
	for left := time.Until(instant); left > 0; left = time.Until(instant) {
		pause := syscall.NsecToTimespec(left.Nanoseconds())
		_ = syscall.Nanosleep(&pause, nil)
	}
}
