#!/usr/bin/env bash
# "All devices" of a node cannot be had where a device can be divided, also if nothing is in use.
#
# Kubernetes 1.37.2: the scheduler's allocator of ResourceClaims (resource.k8s.io/v1), and the API server's validation.
#
# A driver that can divide a device (partitionable devices, such as MIG) publishes the whole and its parts side by
# side, as devices that draw on the same counters. `allocationMode: All` takes every device that matches: the whole and
# the parts, which is twice what there is. Such a claim is allocated on no node, though its quota is charged 32
# devices. A count finds a combination that fits, and so does All with a selector that tells whole devices from parts.
# adminAccess is no way out, although it may share devices that are in use: its devices draw on the counters, too.
#
# Seen, for a node with one GPU of 40Gi in two halves, all idle: 1 device is the GPU, 2 are the halves, 3 cannot be
# had; all cannot be had, nor all with adminAccess; all of type whole is the GPU; "all, else 1" is the GPU.
#
# The API says that All fails if some devices are allocated already; of devices that exclude each other it says
# nothing. That adminAccess draws on counters is known as a bug (issue 140729).
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
	"strings"

	core "k8s.io/api/core/v1"
	api "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	internal "k8s.io/kubernetes/pkg/apis/resource"
	_ "k8s.io/kubernetes/pkg/apis/resource/install"
	"k8s.io/kubernetes/pkg/apis/resource/validation"
)

const driver = "gpu.example.com"

// classes has the one class of the driver's devices.
type classes []*api.DeviceClass

func (all classes) List() ([]*api.DeviceClass, error)    { return all, nil }
func (all classes) Get(string) (*api.DeviceClass, error) { return all[0], nil }

// stored gives an object the API server's defaults, and fills its internal form.
func stored(object, form runtime.Object) {
	legacyscheme.Scheme.Default(object)
	if err := legacyscheme.Scheme.Convert(object, form, nil); err != nil {
		panic(err)
	}
}

func slice(name string, spec api.ResourceSliceSpec) *api.ResourceSlice {
	node := "node"
	spec.Driver, spec.NodeName = driver, &node
	spec.Pool = api.ResourcePool{Name: node, Generation: 1, ResourceSliceCount: 2}
	built, kept := &api.ResourceSlice{ObjectMeta: meta.ObjectMeta{Name: name}, Spec: spec}, &internal.ResourceSlice{}
	stored(built, kept)
	if faults := validation.ValidateResourceSlice(kept); len(faults) > 0 {
		panic(faults.ToAggregate())
	}
	return built
}

// device draws an amount of memory from the one GPU.
func device(name, kind, memory string) api.Device {
	drawn := map[string]api.Counter{"memory": {Value: resource.MustParse(memory)}}
	return api.Device{
		Name:             name,
		Attributes:       map[api.QualifiedName]api.DeviceAttribute{"type": {StringValue: &kind}},
		ConsumesCounters: []api.DeviceCounterConsumption{{CounterSet: "gpu", Counters: drawn}},
	}
}

func claim(request api.DeviceRequest) *api.ResourceClaim {
	built := &api.ResourceClaim{ObjectMeta: meta.ObjectMeta{Name: "gpus", Namespace: "team"}}
	kept := &internal.ResourceClaim{}
	request.Name = "gpus"
	built.Spec.Devices.Requests = []api.DeviceRequest{request}
	stored(built, kept)
	if faults := validation.ValidateResourceClaim(kept); len(faults) > 0 {
		panic(faults.ToAggregate())
	}
	return built
}

func exactly(request api.ExactDeviceRequest) *api.ResourceClaim {
	request.DeviceClassName = "gpu"
	return claim(api.DeviceRequest{Exactly: &request})
}

func count(number int64) *api.ResourceClaim {
	return exactly(api.ExactDeviceRequest{AllocationMode: api.DeviceAllocationModeExactCount, Count: number})
}

func main() {
	context, asTold := context.Background(), true
	whole := map[string]api.Counter{"memory": {Value: resource.MustParse("40Gi")}}
	slices := []*api.ResourceSlice{
		slice("counters", api.ResourceSliceSpec{SharedCounters: []api.CounterSet{{Name: "gpu", Counters: whole}}}),
		slice("devices", api.ResourceSliceSpec{Devices: []api.Device{
			device("gpu", "whole", "40Gi"), device("half-0", "half", "20Gi"), device("half-1", "half", "20Gi"),
		}}),
	}
	features := structured.Features{AdminAccess: true, PartitionableDevices: true, PrioritizedList: true}
	gpu := &api.DeviceClass{ObjectMeta: meta.ObjectMeta{Name: "gpu"}}
	allocator, err := structured.NewAllocator(context, features, structured.AllocatedState{}, classes{gpu}, slices,
		cel.NewCache(10, cel.Features{}))
	if err != nil {
		panic(err)
	}
	show := func(what string, claim *api.ResourceClaim, expected string) {
		node := &core.Node{ObjectMeta: meta.ObjectMeta{Name: "node"}}
		results, err := allocator.Allocate(context, node, []*api.ResourceClaim{claim})
		if err != nil {
			panic(err)
		}
		given := []string{}
		for _, result := range results {
			for _, each := range result.Devices.Results {
				given = append(given, each.Device)
			}
		}
		seen := strings.Join(given, " ")
		fmt.Printf("%-22s gets: %s\n", what, seen)
		asTold = asTold && seen == expected
	}

	all, admin := api.DeviceAllocationModeAll, true
	ofType := api.CELDeviceSelector{Expression: fmt.Sprintf("device.attributes[%q].type == 'whole'", driver)}
	show("1 device", count(1), "gpu")
	show("2 devices", count(2), "half-0 half-1")
	show("3 devices", count(3), "")
	show("all devices", exactly(api.ExactDeviceRequest{AllocationMode: all}), "")
	show("all of type whole", exactly(api.ExactDeviceRequest{
		AllocationMode: all, Selectors: []api.DeviceSelector{{CEL: &ofType}},
	}), "gpu")
	show("all, else 1", claim(api.DeviceRequest{FirstAvailable: []api.DeviceSubRequest{
		{Name: "all", DeviceClassName: "gpu", AllocationMode: all}, {Name: "one", DeviceClassName: "gpu", Count: 1},
	}}), "gpu")
	show("all, with adminAccess", exactly(api.ExactDeviceRequest{AllocationMode: all, AdminAccess: &admin}), "")
	if !asTold {
		fmt.Println("The behaviour has changed.")
		os.Exit(1)
	}
}
GO
go run .
