#!/usr/bin/env bash
# ResourceQuota charges growth at once, but does not notice three ordinary ways to shrink.
#
# Kubernetes 1.37.2: its own evaluators, the update filter of its quota controller, and its admission check.
#
# Admission never takes anything off `status.used`: the quota controller does, by counting anew. After an update it does
# so only if a filter says so, and the filter looks at less than the charge depends on:
#   * Service: at the type. Ports taken off a NodePort Service are not seen.
#   * Pod: at the resources in the statuses of containers. A resize of a pod that has no status yet (it waits for a
#     node) is not seen, nor a resize of pod-level resources that leaves the containers alone.
# So `used` stays too high until something else makes the controller count anew, such as the deletion of a pod that the
# quota counts, or the next full resync (every 5 minutes by default). Whoever grows back meanwhile is charged twice.
#
# Seen: the charge falls from 3 to 1, and from 2 to 1, with "recount: false"; "recount: true" where the type of the
# Service or the status of the container changes. With 4 node ports allowed, a Service of 3 ports that drops 2 and takes
# them back is refused: requested 2, used 3, limited 4.
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
	"fmt"
	"os"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/resourcequota"
	quota "k8s.io/apiserver/pkg/quota/v1"
	evaluators "k8s.io/kubernetes/pkg/quota/v1/evaluator/core"
	"k8s.io/kubernetes/pkg/quota/v1/install"
	"k8s.io/utils/clock"
)

var (
	pods     = evaluators.NewPodEvaluator(nil, clock.RealClock{})
	services = evaluators.NewServiceEvaluator(nil)
	recounts = install.DefaultUpdateFilter()
	asTold   = true
)

func service(kind core.ServiceType, ports int32) *core.Service {
	built := &core.Service{ObjectMeta: meta.ObjectMeta{ResourceVersion: "1"}, Spec: core.ServiceSpec{Type: kind}}
	for port := int32(1); port <= ports; port++ {
		built.Spec.Ports = append(built.Spec.Ports, core.ServicePort{Name: fmt.Sprint("p", port), Port: port})
	}
	return built
}

func requests(cpu string) core.ResourceRequirements {
	return core.ResourceRequirements{Requests: core.ResourceList{core.ResourceCPU: resource.MustParse(cpu)}}
}

// pod has one container; an empty text leaves out the resources of the pod, or the status of the container.
func pod(ofPod, ofContainer, ofStatus string) *core.Pod {
	built := &core.Pod{Spec: core.PodSpec{Containers: []core.Container{{Name: "app", Resources: requests(ofContainer)}}}}
	if ofPod != "" {
		whole := requests(ofPod)
		built.Spec.Resources = &whole
	}
	if ofStatus != "" {
		actual := requests(ofStatus)
		built.Status.ContainerStatuses = []core.ContainerStatus{{Name: "app", Resources: &actual}}
	}
	return built
}

func charge(evaluator quota.Evaluator, object runtime.Object, name core.ResourceName) int64 {
	usage, err := evaluator.Usage(object)
	if err != nil {
		panic(err)
	}
	amount := usage[name]
	return amount.Value()
}

func shrink(what string, evaluator quota.Evaluator, name core.ResourceName, old, new runtime.Object, recounted bool) {
	before, after := charge(evaluator, old, name), charge(evaluator, new, name)
	seen := recounts(evaluator.GroupResource().WithVersion("v1"), old, new)
	fmt.Printf("%-45s %s %d -> %d, recount: %v\n", what, name, before, after, seen)
	asTold = asTold && before > after && seen == recounted
}

func admit(quotas []core.ResourceQuota, old, new *core.Service) ([]core.ResourceQuota, error) {
	request := admission.NewAttributesRecord(new, old, core.SchemeGroupVersion.WithKind("Service"), "team", "web",
		core.SchemeGroupVersion.WithResource("services"), "", admission.Update, &meta.UpdateOptions{}, false, nil)
	return resourcequota.CheckRequest(quotas, request, services, nil)
}

func main() {
	three, one := service(core.ServiceTypeNodePort, 3), service(core.ServiceTypeNodePort, 1)
	ports, cpu := core.ResourceServicesNodePorts, core.ResourceRequestsCPU
	shrink("Service, 3 node ports to 1", services, ports, three, one, false)
	shrink("Service, NodePort to ClusterIP", services, ports, three, service(core.ServiceTypeClusterIP, 3), true)
	shrink("Pod, resized before it has a status", pods, cpu, pod("", "2", ""), pod("", "1", ""), false)
	shrink("Pod, resized at pod level", pods, cpu, pod("2", "1", "1"), pod("1", "1", "1"), false)
	shrink("Pod, the status of a container follows", pods, cpu, pod("", "1", "2"), pod("", "1", "1"), true)

	quotas := []core.ResourceQuota{{ObjectMeta: meta.ObjectMeta{Name: "ports"}}}
	quotas[0].Status.Hard = core.ResourceList{ports: resource.MustParse("4")}
	quotas[0].Status.Used = core.ResourceList{ports: resource.MustParse("3")}
	quotas, err := admit(quotas, three, one)
	if err != nil {
		panic(err)
	}
	used := quotas[0].Status.Used[ports]
	_, refused := admit(quotas, one, three)
	fmt.Printf("3 node ports to 1: used is %s of 4\nback to 3: %v\n", used.String(), refused)
	if !asTold || used.Value() != 3 || refused == nil {
		fmt.Println("The behaviour has changed.")
		os.Exit(1)
	}
}
GO
go run .
