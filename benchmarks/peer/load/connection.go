package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/textproto"
	"strconv"
	"strings"
)

// connection is one kept alive, with the least of HTTP that is needed: the client must not be what is measured.
type connection struct {
	socket *tls.Conn
	reader *bufio.Reader
	head   string
	must   []byte
	buffer []byte
	answer []byte
}

func connect(asked options, config *tls.Config) (*connection, error) {
	socket, err := tls.Dial("tcp", asked.address, config)
	if err != nil {
		return nil, err
	}
	// As kube-apiserver sends it.
	head := "POST " + asked.path + "?timeout=10s HTTP/1.1\r\nHost: " + asked.address +
		"\r\nUser-Agent: kube-apiserver-admission\r\nAccept: application/json, */*\r\nContent-Type: application/json" +
		"\r\nAccept-Encoding: gzip\r\nContent-Length: "
	return &connection{socket: socket, reader: bufio.NewReader(socket), head: head, must: []byte(asked.must)}, nil
}

// send posts one review and reads its answer. Any answer but the expected one is an error.
func (c *connection) send(all *templates, request int) error {
	c.buffer = append(c.buffer[:0], c.head...)
	c.buffer = strconv.AppendInt(c.buffer, int64(all.size(request)), 10)
	c.buffer = append(c.buffer, "\r\n\r\n"...)
	var uid string
	c.buffer, uid = all.render(c.buffer, request)
	if _, err := c.socket.Write(c.buffer); err != nil {
		return err
	}
	status, err := c.read()
	if err != nil {
		return err
	}
	if !strings.HasPrefix(status, "HTTP/1.1 200 ") || !bytes.Contains(c.answer, []byte(uid)) || !bytes.Contains(c.answer, c.must) {
		return fmt.Errorf("review %d: %s: %.300s", request, status, c.answer)
	}
	return nil
}

// read takes one response in: its status line, and its body into answer.
func (c *connection) read() (string, error) {
	line, err := c.line()
	if err != nil {
		return "", err
	}
	status, length := string(line), -1
	for {
		line, err = c.line()
		if err != nil {
			return "", err
		}
		if len(line) == 0 {
			break
		}
		key, value, _ := bytes.Cut(line, []byte(":"))
		if textproto.CanonicalMIMEHeaderKey(string(key)) == "Content-Length" {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return "", err
			}
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
