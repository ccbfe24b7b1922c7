#!/bin/sh
# Pin what stands in `versions`, newest first: go.mod for the first line, minors/MINOR.mod for each other one.
#
# A file that pins its version already stays as it is, and one of a minor that is in no line is removed.
#
# k8s.io/kubernetes replaces its staging modules by folders, which a module that depends on it does not get.
# They are published as k8s.io/NAME with version v0.MINOR.PATCH: go.mod names those instead.
set -eu
cd "$(dirname "$0")"

export GOTOOLCHAIN=local GOFLAGS=-mod=mod GOWORK=off
upstream=$(mktemp)
trap 'rm -f "$upstream"' EXIT

pin() {
    file=$1 kubernetes=$2 staging=v0.${2#v1.}
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
    } >"$file.mod"
    : >"$file.sum"
    go mod tidy -modfile="$file.mod"
}

file=go
kept=
for version in $(cat versions); do
    minor=$(echo "${version#v}" | cut -d. -f1,2)
    if [ "$file" != go ]; then
        file=minors/$minor
        kept="$kept $minor"
    fi
    grep -qs "^[[:space:]]k8s.io/kubernetes $version\$" "$file.mod" || pin "$file" "$version"
    file=minors
done
for each in minors/*.mod; do
    minor=$(basename "$each" .mod)
    case " $kept " in
    *" $minor "*) ;;
    *) rm -f "minors/$minor.mod" "minors/$minor.sum" ;;
    esac
done
