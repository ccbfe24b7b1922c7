package main

import (
	"bytes"
	"fmt"
	"os"
)

// The marks and the rule by which numbers take their place are those of benchmarks/pods.py and benchmarks/reviews.py.
const (
	markWidth = 10
	firstUID  = 1_000_000_000
	stride    = 7919
	teams     = 100
)

var marks = [...]string{"@@request@", "@@@name@@@", "@@@user@@@", "@@@team@@@"}

type place struct {
	offset int
	mark   int
}

type template struct {
	text   []byte
	places []place
}

type templates struct {
	list  []template
	names int
	users int
}

func readTemplates(file string, names, users int) (*templates, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all := &templates{names: names, users: users}
	for _, line := range bytes.Split(bytes.TrimSpace(content), []byte("\n")) {
		read := template{text: line}
		for mark, text := range marks {
			for from := 0; ; {
				found := bytes.Index(line[from:], []byte(text))
				if found < 0 {
					break
				}
				read.places = append(read.places, place{from + found, mark})
				from += found + markWidth
			}
		}
		all.list = append(all.list, read)
	}
	return all, nil
}

// render appends review number request to a buffer, and says what uid it has.
func (t *templates) render(buffer []byte, request int) (body []byte, uid string) {
	name := request * stride % t.names
	user := name % t.users
	chosen := t.list[name%len(t.list)]
	start := len(buffer)
	buffer = append(buffer, chosen.text...)
	var digits [len(marks)][markWidth]byte
	for mark, number := range [...]int{firstUID + request, name, user, user % teams} {
		for position := markWidth - 1; position >= 0; position-- {
			digits[mark][position] = byte('0' + number%10)
			number /= 10
		}
	}
	for _, each := range chosen.places {
		copy(buffer[start+each.offset:], digits[each.mark][:])
	}
	return buffer, fmt.Sprintf(`"uid":"7d3e2a10-44f1-4b0c-9c55-00%s"`, digits[0][:])
}

// size gives the bytes of a review: the marks are as wide as what takes their place.
func (t *templates) size(request int) int {
	return len(t.list[request*stride%t.names%len(t.list)].text)
}
