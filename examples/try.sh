#!/usr/bin/env bash
# Sends three reviews to `make run`, as the API server would: one fits, one does not, one only asks.
set -euo pipefail
cd "$(dirname "$0")"
URL=${1:-https://localhost:8443}
for review in allowed refused dry-run; do
    echo "--- reviews/$review.json"
    curl --silent --show-error --fail --cacert ca.crt --header 'Content-Type: application/json' \
        --data-binary "@reviews/$review.json" "$URL/validate?timeout=10s"
    echo
done
