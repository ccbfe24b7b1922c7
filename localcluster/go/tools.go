//go:build tools

// Package controlplane keeps in go.mod the commands of Kubernetes that are built as they are.
package controlplane

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
)
