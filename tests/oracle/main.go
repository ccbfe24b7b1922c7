// Command oracle answers as Kubernetes itself does: what an object is charged, and what a quantity means.
//
// One JSON value per line on standard input, one per line on standard output, in the same order:
//
//	oracle pods NOW        a pod -> {"asSent": USAGE, "asStored": USAGE}, USAGE by resource name at the time NOW (RFC 3339)
//	oracle volumeclaims    a PersistentVolumeClaim -> the same
//	oracle resourceclaims  a ResourceClaim of resource.k8s.io/v1 -> the same, in a cluster without pods and device classes
//	oracle quantities      a list of texts -> {"each": [AMOUNT or null], "sum": AMOUNT, "roundedUp": [AMOUNT or null]}
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
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/dynamic-resource-allocation/deviceclass/extendedresourcecache"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	api "k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/resource/install"
	"k8s.io/kubernetes/pkg/quota/v1/evaluator/core"
	clocktesting "k8s.io/utils/clock/testing"
	kjson "sigs.k8s.io/json"
)

// amount is a quantity in its canonical form (never the echo of its text) and in billionths.
type amount struct {
	Canonical string `json:"canonical"`
	Nanos     string `json:"nanos"`
}

type chargeAnswer struct {
	AsSent   map[corev1.ResourceName]amount `json:"asSent"`
	AsStored map[corev1.ResourceName]amount `json:"asStored"`
}

type quantitiesAnswer struct {
	Each      []*amount `json:"each"`
	Sum       amount    `json:"sum"`
	RoundedUp []*amount `json:"roundedUp"`
}

// charged is a kind of object: its evaluator, an empty object to decode into, and what the API server makes of it.
type charged struct {
	evaluator quota.Evaluator
	empty     func() runtime.Object
	stored    func(runtime.Object) (runtime.Object, error)
}

// answerOf returns the function that answers one line; nil if the arguments are wrong.
func answerOf(arguments []string) func([]byte) (any, error) {
	switch {
	case len(arguments) == 1 && arguments[0] == "quantities":
		return answerQuantities
	case len(arguments) == 1 && arguments[0] == "volumeclaims":
		return charged{core.NewPersistentVolumeClaimEvaluator(nil), newVolumeClaim, defaulted}.answer
	case len(arguments) == 1 && arguments[0] == "resourceclaims":
		classes := extendedresourcecache.NewExtendedResourceCache(klog.Background())
		return charged{core.NewResourceClaimEvaluator(nil, classes, nil, nil), newResourceClaim, defaulted}.answer
	case len(arguments) == 2 && arguments[0] == "pods":
		now, err := time.Parse(time.RFC3339, arguments[1])
		if err != nil {
			return nil
		}
		return charged{core.NewPodEvaluator(nil, clocktesting.NewFakeClock(now)), newPod, storedPod}.answer
	}
	return nil
}

func newPod() runtime.Object           { return &corev1.Pod{} }
func newVolumeClaim() runtime.Object   { return &corev1.PersistentVolumeClaim{} }
func newResourceClaim() runtime.Object { return &resourcev1.ResourceClaim{} }

func main() {
	answer := answerOf(os.Args[1:])
	if answer == nil {
		fmt.Fprintln(os.Stderr, "usage: oracle pods NOW | oracle volumeclaims | oracle resourceclaims | oracle quantities")
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

func (kind charged) answer(line []byte) (any, error) {
	asSent, err := kind.decoded(line)
	if err != nil {
		return nil, err
	}
	again, err := kind.decoded(line)
	if err != nil {
		return nil, err
	}
	asStored, err := kind.stored(again)
	if err != nil {
		return nil, err
	}
	answered := chargeAnswer{}
	if answered.AsSent, err = kind.usage(asSent); err != nil {
		return nil, err
	}
	if answered.AsStored, err = kind.usage(asStored); err != nil {
		return nil, err
	}
	return answered, nil
}

func (kind charged) decoded(line []byte) (runtime.Object, error) {
	object := kind.empty()
	return object, kjson.UnmarshalCaseSensitivePreserveInts(line, object)
}

func (kind charged) usage(object runtime.Object) (map[corev1.ResourceName]amount, error) {
	usage, err := kind.evaluator.Usage(object)
	if err != nil {
		return nil, err
	}
	amounts := make(map[corev1.ResourceName]amount, len(usage))
	for name, quantity := range usage {
		amounts[name] = amountOf(quantity)
	}
	return amounts, nil
}

// defaulted fills in what the API server does when it decodes an object, but keeps the status.
func defaulted(object runtime.Object) (runtime.Object, error) {
	legacyscheme.Scheme.Default(object)
	return object, nil
}

// storedPod fills in what the API server does when it decodes a pod and when it creates it, but keeps the status.
//
// The copy at the end parts numbers that DefaultPodLevelResources lets a request and a limit share in memory: the
// evaluator would add the overhead to such a number twice. Storage parts them as well.
func storedPod(pod runtime.Object) (runtime.Object, error) {
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
