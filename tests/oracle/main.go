// Command oracle answers as Kubernetes itself does: what a pod is charged, and what a quantity means.
//
// One JSON value per line on standard input, one per line on standard output, in the same order:
//
//	oracle pods NOW     a pod -> {"asSent": USAGE, "asStored": USAGE}, USAGE by resource name at the time NOW (RFC 3339)
//	oracle quantities   a list of texts -> {"each": [AMOUNT or null], "sum": AMOUNT, "roundedUp": [AMOUNT or null]}
//
// It is built in the Go module of localcluster, with the versions pinned there.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"

	inf "gopkg.in/inf.v0"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	api "k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	"k8s.io/kubernetes/pkg/quota/v1/evaluator/core"
	clocktesting "k8s.io/utils/clock/testing"
	kjson "sigs.k8s.io/json"
)

// amount is a quantity in its canonical form (never the echo of its text) and in billionths.
type amount struct {
	Canonical string `json:"canonical"`
	Nanos     string `json:"nanos"`
}

type podAnswer struct {
	AsSent   map[corev1.ResourceName]amount `json:"asSent"`
	AsStored map[corev1.ResourceName]amount `json:"asStored"`
}

type quantitiesAnswer struct {
	Each      []*amount `json:"each"`
	Sum       amount    `json:"sum"`
	RoundedUp []*amount `json:"roundedUp"`
}

var evaluator quota.Evaluator

// answerOf returns the function that answers one line; nil if the arguments are wrong.
func answerOf(arguments []string) func([]byte) (any, error) {
	if len(arguments) == 1 && arguments[0] == "quantities" {
		return answerQuantities
	}
	if len(arguments) != 2 || arguments[0] != "pods" {
		return nil
	}
	now, err := time.Parse(time.RFC3339, arguments[1])
	if err != nil {
		return nil
	}
	evaluator = core.NewPodEvaluator(nil, clocktesting.NewFakeClock(now))
	return answerPod
}

func main() {
	answer := answerOf(os.Args[1:])
	if answer == nil {
		fmt.Fprintln(os.Stderr, "usage: oracle pods NOW | oracle quantities")
		os.Exit(2)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	output := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(output)
	for lines.Scan() {
		answered, err := answer(lines.Bytes())
		if err == nil {
			err = encoder.Encode(answered)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "%v in %s\n", err, lines.Bytes())
			os.Exit(1)
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := output.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func answerPod(line []byte) (any, error) {
	asSent, err := decoded(line)
	if err != nil {
		return nil, err
	}
	asStored, err := stored(line)
	if err != nil {
		return nil, err
	}
	answered := podAnswer{}
	if answered.AsSent, err = usage(asSent); err != nil {
		return nil, err
	}
	if answered.AsStored, err = usage(asStored); err != nil {
		return nil, err
	}
	return answered, nil
}

func decoded(line []byte) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	return pod, kjson.UnmarshalCaseSensitivePreserveInts(line, pod)
}

// stored fills in what the API server does when it decodes a pod and when it creates it, but keeps the status.
//
// The copy at the end parts numbers that DefaultPodLevelResources lets a request and a limit share in memory: the
// evaluator would add the overhead to such a number twice. Storage parts them as well.
func stored(line []byte) (*corev1.Pod, error) {
	pod, err := decoded(line)
	if err != nil {
		return nil, err
	}
	legacyscheme.Scheme.Default(pod)
	internal := &api.Pod{}
	if err := legacyscheme.Scheme.Convert(pod, internal, nil); err != nil {
		return nil, err
	}
	podutil.DefaultPodLevelResources(internal)
	external := &corev1.Pod{}
	if err := legacyscheme.Scheme.Convert(internal, external, nil); err != nil {
		return nil, err
	}
	return external.DeepCopy(), nil
}

func usage(pod *corev1.Pod) (map[corev1.ResourceName]amount, error) {
	charged, err := evaluator.Usage(pod)
	if err != nil {
		return nil, err
	}
	amounts := make(map[corev1.ResourceName]amount, len(charged))
	for name, quantity := range charged {
		amounts[name] = amountOf(quantity)
	}
	return amounts, nil
}

func answerQuantities(line []byte) (any, error) {
	texts := []string{}
	if err := json.Unmarshal(line, &texts); err != nil {
		return nil, err
	}
	answered := quantitiesAnswer{Each: []*amount{}, RoundedUp: []*amount{}}
	sum := resource.Quantity{}
	for _, text := range texts {
		quantity, err := resource.ParseQuantity(text)
		if err != nil {
			answered.Each = append(answered.Each, nil)
			answered.RoundedUp = append(answered.RoundedUp, nil)
			continue
		}
		each := amountOf(quantity)
		answered.Each = append(answered.Each, &each)
		sum.Add(quantity)
		rounded := quantity.DeepCopy()
		rounded.RoundUp(resource.Milli)
		roundedUp := amountOf(rounded)
		answered.RoundedUp = append(answered.RoundedUp, &roundedUp)
	}
	answered.Sum = amountOf(sum)
	return answered, nil
}

func amountOf(quantity resource.Quantity) amount {
	copied := quantity.DeepCopy()
	number, suffix := copied.CanonicalizeBytes(nil)
	nanos := new(inf.Dec).Round(copied.AsDec(), 9, inf.RoundExact)
	return amount{Canonical: string(number) + string(suffix), Nanos: nanos.UnscaledBig().String()}
}
