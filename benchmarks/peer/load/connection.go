package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// connection is one kept alive, with the least of HTTP that is needed: the client must not be what is measured.
type connection struct {
	socket *tls.Conn
	reader *bufio.Reader
	head   string
	must   []byte
	buffer []byte
	answer []byte
	closes bool // whether the last answer asked to close it
}

func connect(asked options, config *tls.Config) (*connection, error) {
	return connectBy(asked, config, time.Time{})
}

// connectBy connects before an instant, or whenever that is zero.
func connectBy(asked options, config *tls.Config, end time.Time) (*connection, error) {
	socket, err := tls.DialWithDialer(&net.Dialer{Deadline: end}, "tcp", asked.address, config)
	if err != nil {
		return nil, err
	}
	wait := asked.timeout
	if wait == 0 {
		wait = 10 * time.Second
	}
	// As kube-apiserver sends it.
	head := "POST " + asked.path + timeoutQuery(wait) + " HTTP/1.1\r\nHost: " + asked.address +
		"\r\nUser-Agent: kube-apiserver-admission\r\nAccept: application/json, */*\r\nContent-Type: application/json" +
		"\r\nAccept-Encoding: gzip\r\nContent-Length: "
	return &connection{socket: socket, reader: bufio.NewReader(socket), head: head, must: []byte(asked.must)}, nil
}

// send posts one review and reads its answer. Any answer but the expected one is an error.
func (c *connection) send(all *templates, request int) error {
	status, uid, err := c.post(all, request)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(status, "HTTP/1.1 200 ") || !bytes.Contains(c.answer, []byte(uid)) || !bytes.Contains(c.answer, c.must) {
		return fmt.Errorf("review %d: %s: %.300s", request, status, c.answer)
	}
	return nil
}

// exchange posts one review and gives the status line of whatever is answered.
func (c *connection) exchange(all *templates, request int) (string, error) {
	status, _, err := c.post(all, request)
	return status, err
}

func (c *connection) post(all *templates, request int) (status, uid string, err error) {
	c.buffer = append(c.buffer[:0], c.head...)
	c.buffer = strconv.AppendInt(c.buffer, int64(all.size(request)), 10)
	c.buffer = append(c.buffer, "\r\n\r\n"...)
	c.buffer, uid = all.render(c.buffer, request)
	if _, err = c.socket.Write(c.buffer); err != nil {
		return "", uid, err
	}
	status, err = c.read()
	return status, uid, err
}

// read takes one response in: its status line, and its body into answer.
func (c *connection) read() (string, error) {
	line, err := c.line()
	if err != nil {
		return "", err
	}
	status, length := string(line), -1
	c.closes = false
	for {
		line, err = c.line()
		if err != nil {
			return "", err
		}
		if len(line) == 0 {
			break
		}
		key, value, _ := bytes.Cut(line, []byte(":"))
		switch textproto.CanonicalMIMEHeaderKey(string(key)) {
		case "Content-Length":
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return "", err
			}
		case "Connection":
			c.closes = bytes.EqualFold(bytes.TrimSpace(value), []byte("close"))
		}
	}
	if length < 0 {
		return "", fmt.Errorf("%s: an answer without Content-Length", status)
	}
	c.answer = append(c.answer[:0], make([]byte, length)...)
	_, err = io.ReadFull(c.reader, c.answer)
	return status, err
}

func (c *connection) line() ([]byte, error) {
	line, err := c.reader.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}
