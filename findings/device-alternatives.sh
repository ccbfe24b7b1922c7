#!/usr/bin/env bash
# ResourceQuota charges a ResourceClaim for all devices it might get, and goes on doing so when it has got fewer.
#
# Kubernetes 1.37.2: its own validation and quota evaluator of ResourceClaims (resource.k8s.io/v1), and its admission
# check.
#
# `firstAvailable` lists alternatives, of which a claim gets one. The quota takes the most of each device class, and
# charges all classes. So the list is no way to say "small ones, where the quota has no large one left": one class that
# is used up refuses the whole claim. `allocationMode: All` is charged 32 devices, as many as one claim can hold, also
# where there is only one. The allocation changes nothing: the evaluator never reads it.
#
# Seen: "1 large, else 2 small" is charged large 1 and small 2, before and after it is allocated one large device; where
# the quota allows 1 large and no small, it is refused: requested small 2, used 0, limited 0. All devices of class whole
# are charged 32, before and after the claim is allocated the one there is.
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
	api "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/resourcequota"
	"k8s.io/dynamic-resource-allocation/deviceclass/extendedresourcecache"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	internal "k8s.io/kubernetes/pkg/apis/resource"
	_ "k8s.io/kubernetes/pkg/apis/resource/install"
	"k8s.io/kubernetes/pkg/apis/resource/validation"
	evaluators "k8s.io/kubernetes/pkg/quota/v1/evaluator/core"
)

var (
	cache  = extendedresourcecache.NewExtendedResourceCache(klog.Background())
	claims = evaluators.NewResourceClaimEvaluator(nil, cache, nil, nil)
	large  = evaluators.V1ResourceByDeviceClass("large")
	small  = evaluators.V1ResourceByDeviceClass("small")
	whole  = evaluators.V1ResourceByDeviceClass("whole")
	asTold = true
)

// claimOf returns a claim with the API server's defaults, after its validation.
func claimOf(request api.DeviceRequest) *api.ResourceClaim {
	claim := &api.ResourceClaim{ObjectMeta: meta.ObjectMeta{Name: "gpu", Namespace: "team"}}
	claim.Spec.Devices.Requests = []api.DeviceRequest{request}
	legacyscheme.Scheme.Default(claim)
	stored := &internal.ResourceClaim{}
	if err := legacyscheme.Scheme.Convert(claim, stored, nil); err != nil {
		panic(err)
	}
	if faults := validation.ValidateResourceClaim(stored); len(faults) > 0 {
		panic(faults.ToAggregate())
	}
	return claim
}

// allocated returns the claim with one device, which answers the request of this name.
func allocated(claim *api.ResourceClaim, request string) *api.ResourceClaim {
	result := api.DeviceRequestAllocationResult{Request: request, Driver: "gpu.example.com", Pool: "node", Device: "gpu-0"}
	claim = claim.DeepCopy()
	claim.Status.Allocation = &api.AllocationResult{}
	claim.Status.Allocation.Devices.Results = []api.DeviceRequestAllocationResult{result}
	return claim
}

func show(what string, claim *api.ResourceClaim, expected string) {
	usage, err := claims.Usage(claim)
	if err != nil {
		panic(err)
	}
	ofLarge, ofSmall, ofWhole := usage[large], usage[small], usage[whole]
	seen := fmt.Sprintf("large %s, small %s, whole %s", ofLarge.String(), ofSmall.String(), ofWhole.String())
	fmt.Printf("%-36s charged: %s\n", what, seen)
	asTold = asTold && seen == expected
}

func main() {
	either := claimOf(api.DeviceRequest{Name: "gpu", FirstAvailable: []api.DeviceSubRequest{
		{Name: "first", DeviceClassName: "large"}, {Name: "second", DeviceClassName: "small", Count: 2},
	}})
	all := claimOf(api.DeviceRequest{Name: "gpu", Exactly: &api.ExactDeviceRequest{
		DeviceClassName: "whole", AllocationMode: api.DeviceAllocationModeAll,
	}})
	show("1 large, else 2 small", either, "large 1, small 2, whole 0")
	show("the same, allocated one large device", allocated(either, "gpu/first"), "large 1, small 2, whole 0")
	show("all of class whole", all, "large 0, small 0, whole 32")
	show("the same, allocated one device", allocated(all, "gpu"), "large 0, small 0, whole 32")

	one, none := resource.MustParse("1"), resource.MustParse("0")
	quotas := []core.ResourceQuota{{ObjectMeta: meta.ObjectMeta{Name: "devices"}, Status: core.ResourceQuotaStatus{
		Hard: core.ResourceList{large: one, small: none}, Used: core.ResourceList{large: none, small: none},
	}}}
	request := admission.NewAttributesRecord(either, nil, api.SchemeGroupVersion.WithKind("ResourceClaim"), "team", "gpu",
		api.SchemeGroupVersion.WithResource("resourceclaims"), "", admission.Create, &meta.CreateOptions{}, false, nil)
	_, refused := resourcequota.CheckRequest(quotas, request, claims, nil)
	fmt.Printf("quota of 1 large, no small: %v\n", refused)
	if !asTold || refused == nil {
		fmt.Println("The behaviour has changed.")
		os.Exit(1)
	}
}
GO
go run .
