#!/usr/bin/env bash
# Push images as one for all their architectures, sign it, attach the SBOM and the provenance, and verify all of it:
#   release.sh NAME:VERSION SBOM PROVENANCE LAYOUT...
# Needs crane and cosign, the key in COSIGN_PRIVATE_KEY and its COSIGN_PASSWORD. The public key is left in cosign.pub.
#   SIGN_OPTIONS, VERIFY_OPTIONS   further options of cosign, for a registry without TLS or no transparency log
set -euo pipefail
name=$1 sbom=$2 provenance=$3
shift 3
key=env://COSIGN_PRIVATE_KEY
repository=${name%:*}
read -ra sign_options <<<"${SIGN_OPTIONS:-}"
read -ra verify_options <<<"${VERIFY_OPTIONS:-}"

digests=() parts=()
for layout in "$@"; do
  # by digest: a tag for one architecture would only be in the way
  digest=$(sed -n 's/.*"digest":"\(sha256:[0-9a-f]*\)".*/\1/p' "$layout/index.json")
  crane push "$layout" "$repository@$digest"
  digests+=("$digest") parts+=(--manifest "$repository@$digest")
done
crane index append "${parts[@]}" --tag "$name"
index=$(crane digest "$name")

cosign sign --yes --key "$key" --recursive "${sign_options[@]}" "$repository@$index"
for digest in "$index" "${digests[@]}"; do
  cosign attest --yes --key "$key" --type cyclonedx --predicate "$sbom" "${sign_options[@]}" "$repository@$digest"
  cosign attest --yes --key "$key" --type slsaprovenance1 --predicate "$provenance" "${sign_options[@]}" "$repository@$digest"
done

cosign public-key --key "$key" >cosign.pub
for digest in "$index" "${digests[@]}"; do
  cosign verify --key cosign.pub "${verify_options[@]}" "$repository@$digest" >/dev/null
  for type in cyclonedx slsaprovenance1; do
    cosign verify-attestation --key cosign.pub --type "$type" "${verify_options[@]}" "$repository@$digest" >/dev/null
  done
done
echo "$repository@$index"
