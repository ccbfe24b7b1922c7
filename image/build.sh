#!/usr/bin/env bash
# Build the image with docker, podman or buildah, the first of them that works here: `make image`. Settings, all optional:
#   BUILDER            docker, podman or buildah
#   TAG                the image's name; by default the one in the manifests
#   ARCH               amd64 or arm64; by default this machine's. Another one needs qemu-user-static.
#   BASE               the base image; a release names it by its digest
#   OUTPUT             a folder in which the image is left as an OCI layout, by podman or buildah
#   SOURCE_DATE_EPOCH  the time of all files; by default that of the last commit
#   PIP_INDEX_URL, PIP_CERT  where packages come from, and the authority of that server
set -euo pipefail
cd "$(dirname "$0")/.."

builder() {
  if [ -n "${BUILDER:-}" ]; then echo "$BUILDER"
  # the client alone builds nothing
  elif docker version >/dev/null 2>&1; then echo docker
  elif podman version >/dev/null 2>&1; then echo podman
  elif command -v buildah >/dev/null; then echo buildah
  else return 1; fi
}

if ! BUILDER=$(builder); then
  echo "image: there is no docker with a daemon, no podman and no buildah here (Debian: apt-get install buildah)" >&2
  exit 1
fi
TAG=${TAG:-$(sed -n 's/^ *image: //p' manifests/deployment.yaml)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

arguments=(--file Containerfile --tag "$TAG" --build-arg "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH")
[ -z "${ARCH:-}" ] || arguments+=(--platform "linux/$ARCH")
[ -z "${BASE:-}" ] || arguments+=(--build-arg "BASE=$BASE")
[ -z "${PIP_INDEX_URL:-}" ] || arguments+=(--build-arg "PIP_INDEX_URL=$PIP_INDEX_URL")
[ -z "${PIP_CERT:-}" ] || arguments+=(--secret "id=pip-ca,src=$PIP_CERT")

case $BUILDER in
  docker) docker buildx build --load --provenance=false "${arguments[@]}" . ;;
  podman) podman build --timestamp "$SOURCE_DATE_EPOCH" "${arguments[@]}" . ;;
  buildah) buildah build --timestamp "$SOURCE_DATE_EPOCH" "${arguments[@]}" . ;;
  *) echo "image: BUILDER is docker, podman or buildah, not $BUILDER" >&2; exit 2 ;;
esac

if [ -n "${OUTPUT:-}" ]; then
  [ "$BUILDER" != docker ] || { echo "image: OUTPUT needs podman or buildah" >&2; exit 2; }
  "$BUILDER" push --quiet --format oci "$TAG" "oci:$OUTPUT:${TAG##*:}"
fi
