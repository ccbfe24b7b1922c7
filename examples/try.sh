#!/usr/bin/env bash
# Sends three reviews to `make run`, as the API server would: one fits, one does not, one only asks.
set -euo pipefail
cd "$(dirname "$0")"
URL=${1:-https://localhost:8443}

# The answer is one line of JSON. Python, which runs userquota, is there to read it; jq may not be.
verdict='
import json, sys
response = json.load(sys.stdin)["response"]
print("allowed" if response["allowed"] else "refused")
for text in filter(None, [response.get("status", {}).get("message"), *response.get("warnings", [])]):
    print("  " + text.replace("; ", "\n  "))
'
for review in allowed refused dry-run; do
    echo "--- reviews/$review.json"
    curl --silent --show-error --fail --cacert ca.crt --header 'Content-Type: application/json' \
        --data-binary "@reviews/$review.json" "$URL/validate?timeout=10s" | "${PYTHON:-../.venv/bin/python}" -c "$verdict"
done
