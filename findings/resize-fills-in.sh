#!/usr/bin/env bash
# A resize of one container fills in the others, from a LimitRange that is younger than the pod.
#
# Kubernetes 1.37.2: its own LimitRanger, the strategy and the validation of pods/resize, and the quota evaluator of
# pods.
#
# A LimitRange does nothing to pods that exist, and an ordinary update of a pod does not ask for its defaults. A resize
# does: each container that says nothing of a resource gets the default for it, also containers that the request does
# not name. No annotation tells of it, because a resize keeps the annotations as they were. What is filled in is
# charged to the quota, and validated as if it had been asked for.
#
# Seen, for a pod of `app` (memory 1Gi) and `db` (memory 4Gi) without limits, which asks for 100m more cpu for `app`:
#   * without defaults that is all that changes;
#   * a default limit of 8Gi memory becomes the limit of both, and `limits.memory` is charged 16Gi instead of 0;
#   * one of 2Gi refuses the resize: the 4Gi of `db` are more than its new limit;
#   * one for ephemeral-storage refuses it, and any other resize of such pods: only cpu and memory may change.
#
# Kubernetes' documentation tells of defaults for new pods. That a resize also validates anew what it does not change
# is known to its authors (pull request 142171); the defaults were found in no issue.
#
# Exit code: 0 the behaviour is as told; else it has changed, and that is said, or Go could not build the program.
# Needs Go 1.26 or newer, and some minutes the first time.
set -euo pipefail

kubernetes=1.37.2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=0

# Kubernetes names its parts by folder; outside its repository each needs the version that was published with it.
published=$(go mod download -json "k8s.io/kubernetes@v$kubernetes" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
{
  printf 'module finding\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes v%s\n\n' "$kubernetes"
  awk -v version="v0.${kubernetes#*.}" '$3 ~ /^\.\/staging/ { print "replace " $1 " => " $1 " " version }' "$published"
} >go.mod

cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	internal "k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	evaluators "k8s.io/kubernetes/pkg/quota/v1/evaluator/core"
	registry "k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/plugin/pkg/admission/limitranger"
	"k8s.io/utils/clock"
)

var asTold = true

func amounts(name core.ResourceName, amount string) core.ResourceList {
	return core.ResourceList{name: resource.MustParse(amount)}
}

func container(name, memory string) core.Container {
	requests := amounts(core.ResourceMemory, memory)
	requests[core.ResourceCPU] = resource.MustParse("1")
	return core.Container{Name: name, Image: "example/image", Resources: core.ResourceRequirements{Requests: requests}}
}

// stored returns the pod as the API server keeps it, with its defaults.
func stored() *internal.Pod {
	pod := &core.Pod{ObjectMeta: meta.ObjectMeta{Name: "web", Namespace: "team", ResourceVersion: "1"}}
	kept := &internal.Pod{}
	pod.Spec.Containers = []core.Container{container("app", "1Gi"), container("db", "4Gi")}
	legacyscheme.Scheme.Default(pod)
	if err := legacyscheme.Scheme.Convert(pod, kept, nil); err != nil {
		panic(err)
	}
	return kept
}

// charge returns what a quota counts of a resource.
func charge(pod runtime.Object, name core.ResourceName) string {
	usage, err := evaluators.NewPodEvaluator(nil, clock.RealClock{}).Usage(pod)
	if err != nil {
		panic(err)
	}
	amount := usage[name]
	return amount.String()
}

// resize gives `app` 100m more cpu, as the API server does where a LimitRange has these default limits.
func resize(what string, defaults core.ResourceList, refused, ofDB, charged string) {
	limits := &core.LimitRange{ObjectMeta: meta.ObjectMeta{Name: "limits", Namespace: "team"}}
	// The API server makes the default limits the default requests, too, where there are none.
	item := core.LimitRangeItem{Type: core.LimitTypeContainer, Default: defaults, DefaultRequest: defaults}
	limits.Spec.Limits = []core.LimitRangeItem{item}
	plugin, err := limitranger.NewLimitRanger(nil)
	if err != nil {
		panic(err)
	}
	factory := informers.NewSharedInformerFactory(nil, 0)
	plugin.SetExternalKubeInformerFactory(factory)
	if err := factory.Core().V1().LimitRanges().Informer().GetIndexer().Add(limits); err != nil {
		panic(err)
	}

	before, after := stored(), stored()
	after.Spec.Containers[0].Resources.Requests[internal.ResourceCPU] = resource.MustParse("1100m")
	request := admission.NewAttributesRecord(after, before, core.SchemeGroupVersion.WithKind("Pod"), "team", "web",
		core.SchemeGroupVersion.WithResource("pods"), "resize", admission.Update, &meta.UpdateOptions{}, false, nil)
	if err := plugin.Admit(context.Background(), request, nil); err != nil {
		panic(err)
	}
	registry.ResizeStrategy.PrepareForUpdate(context.Background(), after, before)
	reason := ""
	if faults := registry.ResizeStrategy.ValidateUpdate(context.Background(), after, before); len(faults) > 0 {
		reason = faults.ToAggregate().Error()
	}
	limit := after.Spec.Containers[1].Resources.Limits[internal.ResourceMemory]
	seen := [...]string{reason, limit.String(), charge(after, core.ResourceLimitsMemory)}
	fmt.Printf("%-29s db is limited to %-4s quota: limits.memory %s -> %s, annotations %d, refused: %q\n",
		what, seen[1]+",", charge(before, core.ResourceLimitsMemory), seen[2], len(after.Annotations), reason)
	asTold = asTold && seen == [...]string{refused, ofDB, charged} && len(after.Annotations) == 0
}

func main() {
	resize("no default", nil, "", "0", "0")
	resize("default memory 8Gi", amounts(core.ResourceMemory, "8Gi"), "", "8Gi", "16Gi")
	resize("default memory 2Gi", amounts(core.ResourceMemory, "2Gi"), "spec.containers[1].resources.requests: "+
		`Invalid value: "4Gi": must be less than or equal to memory limit of 2Gi`, "2Gi", "4Gi")
	resize("default ephemeral-storage 8Gi", amounts(core.ResourceEphemeralStorage, "8Gi"),
		"spec: Forbidden: only cpu and memory resources are mutable", "0", "0")
	if !asTold {
		fmt.Println("The behaviour has changed.")
		os.Exit(1)
	}
}
GO
go run .
