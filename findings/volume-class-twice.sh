#!/usr/bin/env bash
# A claim that changes its class of volume is in a quota "of gold" and in a quota "of anything but gold" at once.
#
# Kubernetes 1.37.2: its own quota evaluator of PersistentVolumeClaims.
#
# The scope VolumeAttributesClass asks for the class in the spec, for the one that the volume has (status), and for the
# one that it is being given (status, too), and matches if any of them does. With the operator In that is what one
# expects of a claim on its way from silver to gold: it counts in both. With NotIn it is the same rule: "not in [gold]"
# is true of silver, so that NotIn is not the opposite of In. Two quotas that divide a namespace both charge the claim.
# Taking the change back ends it only when the driver has answered: gold stays in the status until then.
#
# Seen, for a claim of 10Gi: in class silver it matches "not gold" alone, in gold "gold" alone; it matches both as soon
# as the spec says gold, while the volume is changed, and after the spec says silver again; without a class "not gold"
# alone.
#
# That all three places count is documented; what that means for NotIn was found nowhere.
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
	evaluators "k8s.io/kubernetes/pkg/quota/v1/evaluator/core"
)

// quota returns one that counts claims whose class is, or is not, gold.
func quota(operator core.ScopeSelectorOperator) *core.ResourceQuota {
	built := &core.ResourceQuota{}
	built.Spec.Hard = core.ResourceList{core.ResourceRequestsStorage: resource.MustParse("100Gi")}
	built.Status.Hard = built.Spec.Hard
	built.Spec.ScopeSelector = &core.ScopeSelector{MatchExpressions: []core.ScopedResourceSelectorRequirement{
		{ScopeName: core.ResourceQuotaScopeVolumeAttributesClass, Operator: operator, Values: []string{"gold"}},
	}}
	return built
}

// claim returns one of 10Gi; an empty text leaves out the class that it asks for, has, or is being given.
func claim(asks, has, given string) *core.PersistentVolumeClaim {
	built := &core.PersistentVolumeClaim{}
	built.Spec.Resources.Requests = core.ResourceList{core.ResourceStorage: resource.MustParse("10Gi")}
	if asks != "" {
		built.Spec.VolumeAttributesClassName = &asks
	}
	if has != "" {
		built.Status.CurrentVolumeAttributesClassName = &has
	}
	if given != "" {
		built.Status.ModifyVolumeStatus = &core.ModifyVolumeStatus{
			TargetVolumeAttributesClassName: given, Status: core.PersistentVolumeClaimModifyVolumeInProgress,
		}
	}
	return built
}

func main() {
	evaluator, asTold := evaluators.NewPersistentVolumeClaimEvaluator(nil), true
	show := func(what string, claim *core.PersistentVolumeClaim, expected ...bool) {
		seen := []bool{}
		for _, operator := range []core.ScopeSelectorOperator{core.ScopeSelectorOpIn, core.ScopeSelectorOpNotIn} {
			matches, err := evaluator.Matches(quota(operator), claim)
			if err != nil {
				panic(err)
			}
			seen = append(seen, matches)
		}
		fmt.Printf("%-40s gold: %-6v not gold: %v\n", what, seen[0], seen[1])
		asTold = asTold && seen[0] == expected[0] && seen[1] == expected[1]
	}
	show("no class", claim("", "", ""), false, true)
	show("silver", claim("silver", "silver", ""), false, true)
	show("asks for gold", claim("gold", "silver", ""), true, true)
	show("is given gold", claim("gold", "silver", "gold"), true, true)
	show("asks for silver again, is given gold", claim("silver", "silver", "gold"), true, true)
	show("gold", claim("gold", "gold", ""), true, false)
	if !asTold {
		fmt.Println("The behaviour has changed.")
		os.Exit(1)
	}
}
GO
go run .
