#!/usr/bin/env bash
# `make kind`, `make kind-test`, `make kind-down`: userquota in a kind cluster of three nodes.
#   kind.sh up     make the cluster, build and load the image, install, apply a policy, show a refused pod
#   kind.sh test   run the end-to-end tests that any cluster can run
#   kind.sh down   delete the cluster
set -euo pipefail
cd "$(dirname "$0")/.."
CLUSTER=userquota
IMAGE=docker.io/library/$(sed -n 's/^ *image: //p' manifests/deployment.yaml)
MADE=.kind
export KUBECONFIG=$PWD/$MADE/kubeconfig

if docker version >/dev/null 2>&1; then RUNTIME=docker
elif podman version >/dev/null 2>&1; then RUNTIME=podman KIND_EXPERIMENTAL_PROVIDER=podman; export KIND_EXPERIMENTAL_PROVIDER
else
  echo "kind: no container runtime answers here (docker needs its daemon); without one: userquota local up --policy examples/policy.yaml" >&2
  exit 1
fi
for needed in kind kubectl openssl; do
  command -v "$needed" >/dev/null || { echo "kind: $needed is missing" >&2; exit 1; }
done

certificate() { # an authority for the API server alone; its key signs once
  rm -rf "$MADE" && mkdir -p "$MADE/webhooks"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
    -subj /CN=userquota-clients -keyout "$MADE/client-ca.key" -out "$MADE/client-ca.crt" 2>/dev/null
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=kube-apiserver \
    -addext extendedKeyUsage=clientAuth -keyout "$MADE/webhooks/apiserver.key" -out "$MADE/apiserver.csr" 2>/dev/null
  openssl x509 -req -in "$MADE/apiserver.csr" -copy_extensions copy -CA "$MADE/client-ca.crt" -CAkey "$MADE/client-ca.key" \
    -CAcreateserial -days 365 -out "$MADE/webhooks/apiserver.crt" 2>/dev/null
  rm "$MADE/client-ca.key" "$MADE/apiserver.csr"
  cp manifests/kind/admission.yaml manifests/kind/kubeconfig.yaml "$MADE/webhooks/"
}

up() {
  # the certificates of a cluster that is there must not be replaced
  if kind get clusters 2>/dev/null | grep -qx "$CLUSTER"; then echo "kind: the cluster is there; make kind-down" >&2; exit 1; fi
  BUILDER=$RUNTIME TAG=$IMAGE image/build.sh
  certificate
  kind create cluster --config manifests/kind/cluster.yaml --wait 180s
  "$RUNTIME" save --output "$MADE/image.tar" "$IMAGE"
  kind load image-archive --name "$CLUSTER" "$MADE/image.tar"
  kubectl kustomize --load-restrictor LoadRestrictionsNone examples/kind | kubectl apply --server-side -f -
  kubectl -n userquota-system rollout status deployment/userquota --timeout=180s
  kubectl create clusterrolebinding people-edit --clusterrole=edit --group=people
  echo "As alice, a pod of three cores, where examples/kind/policy.yaml gives two:"
  refusal=$(kubectl --as=alice --as-group=people run large --image=example/large --overrides \
    '{"spec":{"containers":[{"name":"large","image":"example/large","resources":{"requests":{"cpu":"3","memory":"1Gi"}}}]}}' \
    2>&1) || true
  echo "$refusal"
  if [[ $refusal != *" quota: "* ]]; then echo "kind: that is no refusal of userquota" >&2; exit 1; fi
  echo "The cluster is in KUBECONFIG=$KUBECONFIG"
}

case ${1:-} in
  up) up ;;
  test) USERQUOTA_KUBECONFIG=$KUBECONFIG "${PYTHON:-.venv/bin/python}" -m pytest -m given tests/cluster ;;
  down) kind delete cluster --name "$CLUSTER" && rm -rf "$MADE" ;;
  *) echo "usage: kind.sh up|test|down" >&2; exit 2 ;;
esac
