#!/usr/bin/env bash
# The same pod costs more in Kubernetes 1.36 than in 1.37, while containers of it trade resources in place.
#
# k8s.io/component-helpers 0.36.6 and 0.37.2, whose sums are those of ResourceQuota and of the scheduler.
#
# While a resize is under way, a container has what it asks for (spec), what it was promised (allocated) and what it
# has (actual). 1.36 takes the most of the three for each container, and adds that up. 1.37 adds up each of the three
# over all containers, and takes the most of the sums. One container that grows while another shrinks is therefore
# growth in 1.36, and none in 1.37; limits likewise. Whoever counts in the one way is wrong beside a cluster of the
# other: the rule came with a minor version, as a mended bug (issue 140046), and nothing in the pod tells which of the
# two applies.
#
# Seen, for containers of 3 and 1 cpu that are to have 1 and 3: charged 6 by 1.36, 4 by 1.37. With a sidecar that
# shrinks from 2 to 1 besides: 8 and 6, though the pod asks for 5. Where the node says that the resize is infeasible
# both charge what the pod has, 6.
#
# Exit code: 0 the behaviour is as told; else it has changed, and that is said, or Go could not build the program.
# Needs Go 1.26 or newer, and less than a minute the first time.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=0

cat >main.go <<'GO'
package main

import (
	"fmt"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resources "k8s.io/component-helpers/resource"
)

func cpu(amount string) core.ResourceRequirements {
	list := core.ResourceList{core.ResourceCPU: resource.MustParse(amount)}
	return core.ResourceRequirements{Requests: list, Limits: list}
}

// resized returns a container that has one amount and asks for another.
func resized(name, has, asks string) (core.Container, core.ContainerStatus) {
	actual := cpu(has)
	status := core.ContainerStatus{Name: name, AllocatedResources: actual.Requests, Resources: &actual}
	return core.Container{Name: name, Resources: cpu(asks)}, status
}

func show(pod *core.Pod) {
	options := resources.PodResourcesOptions{UseStatusResources: true}
	requests, limits := resources.PodRequests(pod, options), resources.PodLimits(pod, options)
	fmt.Printf("requests.cpu %s limits.cpu %s\n", requests.Cpu(), limits.Cpu())
}

func main() {
	pod, always := &core.Pod{}, core.ContainerRestartPolicyAlways
	first, firstStatus := resized("first", "3", "1")
	second, secondStatus := resized("second", "1", "3")
	pod.Spec.Containers = []core.Container{first, second}
	pod.Status.ContainerStatuses = []core.ContainerStatus{firstStatus, secondStatus}
	show(pod)
	sidecar, sidecarStatus := resized("sidecar", "2", "1")
	sidecar.RestartPolicy = &always
	pod.Spec.InitContainers = []core.Container{sidecar}
	pod.Status.InitContainerStatuses = []core.ContainerStatus{sidecarStatus}
	show(pod)
	pod.Status.Conditions = []core.PodCondition{{Type: core.PodResizePending, Reason: core.PodReasonInfeasible}}
	show(pod)
}
GO

# charges VERSION prints what is charged for the swap, with the sidecar, and after the node has refused.
charges() {
  rm -f go.sum
  {
    printf 'module finding\n\ngo 1.26.0\n\n'
    printf 'require k8s.io/%s v'"$1"'\n' api apimachinery component-helpers
  } >go.mod
  go run .
}

told() {
  printf 'requests.cpu %s limits.cpu %s\n' "$1" "$1" "$2" "$2" "$3" "$3"
}

status=0
for case in "0.36.6 6 8 6" "0.37.2 4 6 6"; do
  read -r version swap sidecar infeasible <<<"$case"
  seen=$(charges "$version")
  printf 'component-helpers %s\n%s\n' "$version" "$seen"
  if [[ $seen != "$(told "$swap" "$sidecar" "$infeasible")" ]]; then status=1; fi
done
if ((status)); then echo "The behaviour has changed."; fi
exit "$status"
