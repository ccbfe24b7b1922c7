// Command balancer stands where a Service stands in a cluster: it passes each TCP connection on to one of several
// backends, in turn, past those that do not accept. It reads nothing of what it passes on, and asks nobody for health.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"sync/atomic"
	"time"
)

// How long a backend may take to accept before the next one is tried: on loopback the kernel answers at once, unless the
// backend is stopped and its queue is full.
const patience = time.Second

var errNobody = errors.New("no backend accepts")

type balancer struct {
	backends []string
	next     atomic.Uint64
}

func main() {
	listen := flag.String("listen", "", "where to listen, HOST:PORT")
	flag.Parse()
	if err := run(*listen, flag.Args()); err != nil {
		log.Fatal(err)
	}
}

func run(listen string, backends []string) error {
	if len(backends) == 0 {
		return errors.New("usage: balancer -listen=HOST:PORT BACKEND...")
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Printf("listens on %s\n", listener.Addr())
	through := &balancer{backends: backends}
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		go through.serve(client.(*net.TCPConn))
	}
}

func (b *balancer) serve(client *net.TCPConn) {
	backend, err := b.dial()
	if err != nil {
		reset(client)
		return
	}
	asked := make(chan error, 1)
	answered := make(chan error, 1)
	go func() { asked <- pass(backend, client) }()
	go func() { answered <- pass(client, backend) }()
	select {
	case err = <-asked:
		if err == nil { // the client has said all and still listens
			err = <-answered
		}
	case err = <-answered:
	}
	// A server that ends its answers is gone: nothing it could be asked would be answered.
	if err != nil {
		reset(client, backend)
		return
	}
	client.Close()
	backend.Close()
}

func (b *balancer) dial() (*net.TCPConn, error) {
	count := uint64(len(b.backends))
	first := b.next.Add(1) - 1
	for offset := range count {
		connection, err := net.DialTimeout("tcp", b.backends[(first+offset)%count], patience)
		if err == nil {
			return connection.(*net.TCPConn), nil
		}
	}
	return nil, errNobody
}

// pass copies until the source ends, and passes the end on. The kernel moves the bytes (splice) because both ends are
// plain TCP connections.
func pass(to, from *net.TCPConn) error {
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	return to.CloseWrite()
}

// reset closes with RST, so that the other end sees a crash as a crash.
func reset(connections ...*net.TCPConn) {
	for _, connection := range connections {
		connection.SetLinger(0)
		connection.Close()
	}
}
