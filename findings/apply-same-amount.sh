#!/usr/bin/env bash
# Two tools that apply the very same file are in conflict, if an amount in it is not written as Kubernetes stores it.
#
# Kubernetes 1.37.2 (client-go, apimachinery 0.37.2): the field manager of its API server, with the schema of pods.
#
# Server-side apply compares what the file says with what is stored, not as amounts: "0.5" is not "500m", and the
# number 1 is not the text "1". Stored is always the canonical text. So `cpu: 1`, `cpu: 0.5`, "1000m" and "1024Mi"
# differ from what they have become, for everybody but the one who owns the field, and each apply of a second tool is
# refused as if it took the field away from the first. No change was asked for, and whoever compares the two files sees
# none.
#
# Seen, for a pod that `first` applies and then `second`: "500m" and "1Gi" are taken from both; `cpu: 1`, without
# quotes, "0.5", 0.5 and "1024Mi" are a conflict with `first`, though both send the same file. `first` may repeat each
# of them.
#
# Single conflicts of the kind were reported (issue 94275 has one of an unquoted cpu); that the same file is in
# conflict with itself was found nowhere.
#
# Exit code: 0 the behaviour is as told; else it has changed, and that is said, or Go could not build the program.
# Needs Go 1.26 or newer, and a minute or two the first time.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=0

{
  printf 'module finding\n\ngo 1.26.0\n\n'
  printf 'require k8s.io/%s v0.37.2\n' api apimachinery client-go
} >go.mod

cat >main.go <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"os"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
)

// file returns a manifest of a pod that asks for an amount, which is JSON.
func file(name core.ResourceName, amount string) *unstructured.Unstructured {
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "team"}, "spec":
		{"containers": [{"name": "app", "image": "example/image", "resources": {"requests": {%q: %s}}}]}}`, name, amount)
	read := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(text), &read.Object); err != nil {
		panic(err)
	}
	return read
}

func main() {
	fields, err := managedfields.NewDefaultFieldManager(
		applyconfigurations.NewTypeConverter(scheme.Scheme), runtime.UnsafeObjectConvertor(scheme.Scheme), scheme.Scheme,
		scheme.Scheme, core.SchemeGroupVersion.WithKind("Pod"), core.SchemeGroupVersion, "", nil)
	if err != nil {
		panic(err)
	}
	asTold := true
	both := func(name core.ResourceName, amount, kept string, conflict bool) {
		stored, err := fields.Apply(&core.Pod{}, file(name, amount), "first", false)
		if err != nil {
			panic(err)
		}
		requested := stored.(*core.Pod).Spec.Containers[0].Resources.Requests[name]
		_, again := fields.Apply(stored.DeepCopyObject(), file(name, amount), "first", false)
		_, second := fields.Apply(stored.DeepCopyObject(), file(name, amount), "second", false)
		fmt.Printf("%-6s %-8s stored %-5s first again: %v, second: %v\n", name, amount, requested.String()+",", again, second)
		asTold = asTold && requested.String() == kept && again == nil && (second != nil) == conflict
	}
	both(core.ResourceCPU, `"500m"`, "500m", false)
	both(core.ResourceCPU, `"0.5"`, "500m", true)
	both(core.ResourceCPU, `0.5`, "500m", true)
	both(core.ResourceCPU, `1`, "1", true)
	both(core.ResourceCPU, `"1"`, "1", false)
	both(core.ResourceMemory, `"1024Mi"`, "1Gi", true)
	both(core.ResourceMemory, `"1Gi"`, "1Gi", false)
	if !asTold {
		fmt.Println("The behaviour has changed.")
		os.Exit(1)
	}
}
GO
go run .
