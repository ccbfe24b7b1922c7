#!/bin/sh
# Write go.mod and go.sum anew for one version of Kubernetes and the version of etcd that it requires.
#
#     localcluster/go/update.sh v1.37.2
#
# k8s.io/kubernetes replaces its staging modules by folders, which a module that depends on it does not get.
# They are published as k8s.io/NAME with version v0.MINOR.PATCH: go.mod names those instead.
set -eu

kubernetes=${1:?the version of k8s.io/kubernetes, for example v1.37.2}
staging=v0.${kubernetes#v1.}
cd "$(dirname "$0")"

export GOTOOLCHAIN=local GOFLAGS=-mod=mod GOWORK=off
upstream=$(mktemp)
trap 'rm -f "$upstream"' EXIT
(
    cd "${TMPDIR:-/tmp}"
    cat "$(go mod download -json "k8s.io/kubernetes@$kubernetes" | sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p')"
) >"$upstream"
etcd=$(sed -n 's|^[[:space:]]*go.etcd.io/etcd/client/v3 \([^ ]*\).*|\1|p' "$upstream")

{
    echo "module userquota.dev/controlplane"
    echo
    grep '^go ' "$upstream"
    echo
    echo "require ("
    printf '\tgo.etcd.io/etcd/server/v3 %s\n' "$etcd"
    printf '\tk8s.io/component-base %s\n' "$staging"
    printf '\tk8s.io/kubectl %s\n' "$staging"
    printf '\tk8s.io/kubernetes %s\n' "$kubernetes"
    echo ")"
    echo
    echo "replace ("
    sed -n "s|^[[:space:]]*\(k8s.io/[a-z0-9-]*\) => ./staging/src/k8s.io/.*|\t\1 => \1 $staging|p" "$upstream"
    echo ")"
} >go.mod
: >go.sum
go mod tidy
