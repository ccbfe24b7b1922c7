#!/usr/bin/env bash
# A deprecated annotation, even an empty one, hides `spec.storageClassName` from quota and volume controller.
#
# Kubernetes 1.37.2: its own validation and quota evaluator of PersistentVolumeClaims, and the function by which its
# volume controller learns the class.
#
# `volume.beta.kubernetes.io/storage-class` goes before the field and may differ from it: the API server warns that the
# annotation is deprecated, not that the two disagree, and stores both. Empty means "no class", not "unset". This is no
# way around a quota: the volume controller asks the same function, and looks for no volume of the class in the field.
# But whoever reads `spec.storageClassName` alone (a policy, a report, an accounting) counts the claim as gold, and
# Kubernetes does not.
#
# Seen, for three claims of 10Gi with `storageClassName: gold`, all valid: without the annotation the class is gold, and
# gold is charged 10Gi; with "" there is no class, and no class is charged; with "silver", silver is charged 10Gi. The
# total `requests.storage` is 10Gi each time.
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
	volumes "k8s.io/component-helpers/storage/volume"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	internal "k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	"k8s.io/kubernetes/pkg/apis/core/validation"
	evaluators "k8s.io/kubernetes/pkg/quota/v1/evaluator/core"
)

func claim(annotations map[string]string) *core.PersistentVolumeClaim {
	gold := "gold"
	return &core.PersistentVolumeClaim{
		ObjectMeta: meta.ObjectMeta{Name: "data", Namespace: "team", Annotations: annotations},
		Spec: core.PersistentVolumeClaimSpec{
			StorageClassName: &gold,
			AccessModes:      []core.PersistentVolumeAccessMode{core.ReadWriteOnce},
			Resources: core.VolumeResourceRequirements{
				Requests: core.ResourceList{core.ResourceStorage: resource.MustParse("10Gi")},
			},
		},
	}
}

// faults returns what the API server finds wrong with a new claim.
func faults(claim *core.PersistentVolumeClaim) int {
	stored, filled := &internal.PersistentVolumeClaim{}, claim.DeepCopy()
	legacyscheme.Scheme.Default(filled)
	if err := legacyscheme.Scheme.Convert(filled, stored, nil); err != nil {
		panic(err)
	}
	options := validation.ValidationOptionsForPersistentVolumeClaim(stored, nil)
	return len(validation.ValidatePersistentVolumeClaim(stored, options))
}

func main() {
	asTold := true
	show := func(what string, claim *core.PersistentVolumeClaim, class, total, gold, silver string) {
		usage, err := evaluators.NewPersistentVolumeClaimEvaluator(nil).Usage(claim)
		if err != nil {
			panic(err)
		}
		amount := func(name core.ResourceName) string {
			charged := usage[name]
			return charged.String()
		}
		seen := [...]string{
			fmt.Sprint(faults(claim)), volumes.GetPersistentVolumeClaimClass(claim), amount(core.ResourceRequestsStorage),
			amount("gold.storageclass.storage.k8s.io/requests.storage"),
			amount("silver.storageclass.storage.k8s.io/requests.storage"),
		}
		fmt.Printf("%-19s faults %s, class %-8q charged: total %s, gold %s, silver %s\n",
			what, seen[0], seen[1], seen[2], seen[3], seen[4])
		asTold = asTold && seen == [...]string{"0", class, total, gold, silver}
	}
	show("no annotation", claim(nil), "gold", "10Gi", "10Gi", "0")
	empty := map[string]string{core.BetaStorageClassAnnotation: ""}
	silver := map[string]string{core.BetaStorageClassAnnotation: "silver"}
	show(`annotation ""`, claim(empty), "", "10Gi", "0", "0")
	show(`annotation "silver"`, claim(silver), "silver", "10Gi", "0", "10Gi")
	if !asTold {
		fmt.Println("The behaviour has changed.")
		os.Exit(1)
	}
}
GO
go run .
