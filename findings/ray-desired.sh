#!/usr/bin/env bash
# A RayCluster's status says how many workers are desired and how much cpu, and the two do not belong together.
#
# KubeRay 1.5.0: the functions of its operator that fill `status.desiredWorkerReplicas` and `status.desiredCPU`
# (memory, GPU and TPU likewise).
#
# The number of workers is `replicas` within `minReplicas` and `maxReplicas`: that many pods the operator makes. The
# resources are those of `replicas` as it was written. Of a pod they have the containers only: neither an init
# container that is larger, nor a sidecar, nor the overhead of its RuntimeClass, nor the autoscaler that the operator
# adds to the head. So whoever reads the status instead of the pods, a report or a quota, counts too little or too
# much. The operator itself does so for the gang schedulers: it tells them these sums as what a cluster needs to start
# (read in its source).
#
# Seen, for a head of 1 cpu and a group of workers of 2 cpu each:
#   * replicas 1, minReplicas 3: 3 workers are desired, which are 7 cpu with the head; desired cpu is 3;
#   * replicas 5, maxReplicas 2: 2 workers, 5 cpu; desired cpu is 11;
#   * replicas 2, and workers with a sidecar of 1 cpu and an init container of 8: 2 workers, 17 cpu; desired cpu is 5.
#
# The API's description of the fields says "total desired CPUs for the cluster". No issue on this was found.
#
# Exit code: 0 the behaviour is as told; else it has changed, and that is said, or Go could not build the program.
# Needs Go 1.26 or newer, and some minutes the first time.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=0

{
  printf 'module finding\n\ngo 1.26.0\n\n'
  # What the operator itself was built with.
  printf 'require k8s.io/component-helpers v0.34.1\n'
  printf 'require github.com/ray-project/kuberay/ray-operator v1.5.0\n'
} >go.mod

cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"

	ray "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	operator "github.com/ray-project/kuberay/ray-operator/controllers/ray/utils"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resources "k8s.io/component-helpers/resource"
)

var asTold = true

func container(name, cpu string) core.Container {
	requests := core.ResourceList{core.ResourceCPU: resource.MustParse(cpu)}
	return core.Container{Name: name, Image: "example/ray", Resources: core.ResourceRequirements{Requests: requests}}
}

// clusterOf returns a head of 1 cpu with a group of workers of 2 cpu each, and what their pods have besides.
func clusterOf(replicas, least, most int32, besides ...core.Container) *ray.RayCluster {
	built := &ray.RayCluster{}
	built.Spec.HeadGroupSpec.Template.Spec.Containers = []core.Container{container("head", "1")}
	group := ray.WorkerGroupSpec{
		GroupName: "workers", Replicas: &replicas, MinReplicas: &least, MaxReplicas: &most, NumOfHosts: 1,
	}
	group.Template.Spec.Containers = []core.Container{container("worker", "2")}
	group.Template.Spec.InitContainers = besides
	built.Spec.WorkerGroupSpecs = []ray.WorkerGroupSpec{group}
	return built
}

func requested(spec core.PodSpec) int64 {
	requests := resources.PodRequests(&core.Pod{Spec: spec}, resources.PodResourcesOptions{})
	return requests.Cpu().Value()
}

func show(what string, cluster *ray.RayCluster, workers int32, ofPods, ofStatus int64) {
	desired := operator.CalculateDesiredReplicas(context.Background(), cluster)
	cpu := operator.CalculateDesiredResources(cluster)
	head, worker := cluster.Spec.HeadGroupSpec.Template.Spec, cluster.Spec.WorkerGroupSpecs[0].Template.Spec
	pods := requested(head) + int64(desired)*requested(worker)
	fmt.Printf("%-39s workers %d, cpu of all pods %d, desiredCPU %s\n", what, desired, pods, cpu.Cpu())
	asTold = asTold && desired == workers && pods == ofPods && cpu.Cpu().Value() == ofStatus
}

func main() {
	always := core.ContainerRestartPolicyAlways
	sidecar := container("sidecar", "1")
	sidecar.RestartPolicy = &always
	show("replicas 2, as it should be", clusterOf(2, 0, 5), 2, 5, 5)
	show("replicas 1, minReplicas 3", clusterOf(1, 3, 5), 3, 7, 3)
	show("replicas 5, maxReplicas 2", clusterOf(5, 0, 2), 2, 5, 11)
	show("replicas 2, a sidecar, and a large init", clusterOf(2, 0, 5, container("init", "8"), sidecar), 2, 17, 5)
	if !asTold {
		fmt.Println("The behaviour has changed.")
		os.Exit(1)
	}
}
GO
go run .
