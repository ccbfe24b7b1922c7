// A broker that speaks LIQUID as Limes does, built from the declarations of the protocol.
//
// It reads steps as JSON from its standard input, one object a line, and prints what came of each, one object a line.
// Requests are values of the module's types; answers are decoded into them, where a field that is not declared is an
// error, and checked by the module's own functions.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/sapcc/go-api-declarations/liquid"
)

// A step: one request, and what is in it.
type step struct {
	Do      string                    `json:"do"`
	Zones   []liquid.AvailabilityZone `json:"zones"`
	Project liquid.ProjectUUID        `json:"project"`
	// Body is decoded into the module's type of this request, or sent as it is by the step "raw".
	Body json.RawMessage `json:"body"`
	// Stale leaves infoVersion as the body has it; otherwise the version of the last info is set.
	Stale   bool              `json:"stale"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
}

// What came of a step.
type outcome struct {
	Status      int             `json:"status"`
	ContentType string          `json:"contentType"`
	RequestID   string          `json:"requestID"`
	RetryAfter  string          `json:"retryAfter"`
	Text        string          `json:"text"`
	Answer      json.RawMessage `json:"answer"`
	// Invalid is what is wrong with an answer of status 200.
	Invalid string `json:"invalid"`
	// IsQuestion is what the module says of a change of commitments.
	IsQuestion bool `json:"isQuestion"`
}

type broker struct {
	base   string
	token  string
	client *http.Client
	info   liquid.ServiceInfo
}

func main() {
	base := flag.String("base", "", "what stands before v1 in each address")
	ca := flag.String("ca", "", "file of the authority that the server's certificate is of")
	token := flag.String("token", "", "bearer token")
	cert := flag.String("cert", "", "file of a client certificate")
	key := flag.String("key", "", "file of its key")
	flag.Parse()
	if err := run(*base, *ca, *token, *cert, *key); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(base, ca, token, cert, key string) error {
	trusted := x509.NewCertPool()
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return err
		}
		if !trusted.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s: no certificate", ca)
		}
	}
	shown := &tls.Config{RootCAs: trusted}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return err
		}
		shown.Certificates = []tls.Certificate{pair}
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: shown}}
	b := &broker{base: base, token: token, client: client}
	steps, outcomes := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	steps.DisallowUnknownFields()
	for {
		var s step
		if err := steps.Decode(&s); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		found, err := b.take(s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Do, err)
		}
		if err := outcomes.Encode(found); err != nil {
			return err
		}
	}
}

func (b *broker) take(s step) (outcome, error) {
	switch s.Do {
	case "info":
		var info liquid.ServiceInfo
		found, err := b.ask(s, "GET", "/v1/info", nil, &info, func() error { return liquid.ValidateServiceInfo(info) })
		if found.Status == http.StatusOK {
			b.info = info
		}
		return found, err
	case "report-capacity":
		req := liquid.ServiceCapacityRequest{AllAZs: s.Zones}
		var report liquid.ServiceCapacityReport
		return b.ask(s, "POST", "/v1/report-capacity", req, &report, func() error {
			return liquid.ValidateCapacityReport(report, req, b.info)
		})
	case "report-usage":
		req := liquid.ServiceUsageRequest{AllAZs: s.Zones}
		var report liquid.ServiceUsageReport
		return b.ask(s, "POST", b.of(s, "report-usage"), req, &report, func() error {
			return liquid.ValidateUsageReport(report, req, b.info)
		})
	case "quota":
		var req liquid.ServiceQuotaRequest
		if err := strictly(s.Body, &req); err != nil {
			return outcome{}, err
		}
		return b.ask(s, "PUT", b.of(s, "quota"), req, nil, nil)
	case "change-commitments":
		var req liquid.CommitmentChangeRequest
		if err := strictly(s.Body, &req); err != nil {
			return outcome{}, err
		}
		if !s.Stale {
			req.InfoVersion = b.info.Version
		}
		var response liquid.CommitmentChangeResponse
		found, err := b.ask(s, "POST", "/v1/change-commitments", req, &response, func() error {
			if response.RejectionReason != "" && !req.RequiresConfirmation() {
				return errors.New("rejected what requires no confirmation")
			}
			return nil
		})
		found.IsQuestion = req.RequiresConfirmation()
		return found, err
	case "judge":
		var req liquid.CommitmentChangeRequest
		err := strictly(s.Body, &req)
		return outcome{IsQuestion: req.RequiresConfirmation()}, err
	case "raw":
		return b.send(s, s.Method, s.Path, s.Body)
	default:
		return outcome{}, errors.New("no such step")
	}
}

func (b *broker) of(s step, what string) string {
	return fmt.Sprintf("/v1/projects/%s/%s", s.Project, what)
}

// ask sends a value of the module, and reads the answer of status 200 into another one.
func (b *broker) ask(s step, method, path string, request, response any, valid func() error) (outcome, error) {
	var body []byte
	if request != nil {
		var err error
		if body, err = json.Marshal(request); err != nil {
			return outcome{}, err
		}
	}
	found, err := b.send(s, method, path, body)
	if err != nil || found.Status != http.StatusOK || response == nil {
		return found, err
	}
	if err := strictly([]byte(found.Text), response); err != nil {
		found.Invalid = err.Error()
		return found, nil
	}
	if err := valid(); err != nil {
		found.Invalid = err.Error()
	}
	found.Text = ""
	found.Answer, err = json.Marshal(response)
	return found, err
}

func (b *broker) send(s step, method, path string, body []byte) (outcome, error) {
	request, err := http.NewRequest(method, b.base+path, bytes.NewReader(body))
	if err != nil {
		return outcome{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	if b.token != "" {
		request.Header.Set("Authorization", "Bearer "+b.token)
	}
	for name, value := range s.Headers {
		request.Header.Set(name, value)
	}
	response, err := b.client.Do(request)
	if err != nil {
		return outcome{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return outcome{}, err
	}
	header := response.Header
	return outcome{
		Status:      response.StatusCode,
		ContentType: header.Get("Content-Type"),
		RequestID:   header.Get("X-Request-ID"),
		RetryAfter:  header.Get("Retry-After"),
		Text:        string(text),
	}, nil
}

// strictly decodes one value, where a field that the module does not declare is an error.
func strictly(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}
