// Command load posts AdmissionReviews to a webhook on this machine and measures how long the answers take.
//
// It connects, sends a few reviews that are not measured, prints "ready" and waits for a line on its standard input;
// then it measures and prints one JSON object. Whoever started it reads the server's CPU time on both sides of that.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"sync"
	"time"
)

type options struct {
	address     string
	path        string
	rate        int
	connections int
	requests    int
	limit       time.Duration
	must        string
	timeout     time.Duration
}

func main() {
	var asked options
	flag.StringVar(&asked.address, "address", "", "host:port of the webhook")
	flag.StringVar(&asked.path, "path", "/validate", "path to post to")
	flag.IntVar(&asked.rate, "rate", 0, "reviews per second, whatever the answers take; 0: each connection sends the next at once")
	flag.IntVar(&asked.connections, "connections", 20, "connections, kept alive")
	flag.IntVar(&asked.requests, "requests", 0, "reviews at most")
	flag.DurationVar(&asked.limit, "limit", 10*time.Second, "time at most")
	flag.StringVar(&asked.must, "must", `"allowed":true`, "what every answer has to contain, beside the uid")
	flag.DurationVar(&asked.timeout, "timeout", 0, "how long a caller waits, counted from the instant at which it should have sent; 0: for ever, and every answer has to be the expected one")
	authority := flag.String("authority", "", "file with the certificate to trust")
	file := flag.String("templates", "", "file with one review per line, with marks")
	names := flag.Int("names", 50000, "pods that exist at most")
	users := flag.Int("users", 10000, "users")
	first := flag.Int("first", 0, "number of the first review")
	flag.Parse()
	all, err := readTemplates(*file, *names, *users)
	check(err)
	trusted, err := os.ReadFile(*authority)
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(trusted)
	numbers := &counter{next: *first}
	config := &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"http/1.1"}}
	if asked.timeout > 0 {
		check(json.NewEncoder(os.Stdout).Encode(besiege(asked, all, config, numbers)))
		return
	}
	connections := make([]*connection, asked.connections)
	for i := range connections {
		connections[i], err = connect(asked, config)
		check(err)
		for range 5 {
			check(connections[i].send(all, numbers.take()))
		}
	}
	fmt.Println("ready")
	if _, err = bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return // whoever started this is gone
	}
	check(json.NewEncoder(os.Stdout).Encode(measure(asked, all, connections, numbers)))
}

func measure(asked options, all *templates, connections []*connection, numbers *counter) summary {
	begun := time.Now()
	turns := schedule(asked, begun)
	results := make([]results, len(connections))
	var group sync.WaitGroup
	for i, each := range connections {
		group.Add(1)
		go func() {
			defer group.Done()
			for intended := range turns {
				results[i].add(each.send(all, numbers.take()), intended, time.Now())
			}
		}()
	}
	group.Wait()
	return summarise(results, time.Since(begun))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
