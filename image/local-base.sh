#!/usr/bin/env bash
# Make the base image of Debian's packages, under the name that the Containerfile asks for, in the storage of buildah and
# podman: for a machine that reaches no registry of images. The files are made once and kept; a release takes the real one.
#   ARCH               amd64 or arm64; by default this machine's. Another one needs qemu-user-static and arch-test.
set -euo pipefail
cd "$(dirname "$0")/.."
for needed in mmdebstrap buildah; do
  command -v "$needed" >/dev/null || { echo "local-base: $needed is missing (Debian: apt-get install $needed)" >&2; exit 1; }
done
ARCH=${ARCH:-$(dpkg --print-architecture)}
SUITE=$(. /etc/os-release && echo "$VERSION_CODENAME")
NAME=$(sed -n 's/^ARG BASE=//p' Containerfile)
files=${XDG_CACHE_HOME:-$HOME/.cache}/userquota/image-base/$SUITE-$ARCH.tar

if [ ! -f "$files" ]; then
  mkdir -p "$(dirname "$files")"
  SOURCE_DATE_EPOCH=0 mmdebstrap --quiet --arch="$ARCH" --variant=minbase --include=python3,python3-pip,python3-venv \
    "$SUITE" "$files.$$.tar"
  mv "$files.$$.tar" "$files"
fi
container=$(buildah from --arch "$ARCH" scratch)
trap 'buildah rm "$container" >/dev/null' EXIT
buildah add --quiet "$container" "$files" / >/dev/null
buildah commit --quiet "$container" "$NAME"
