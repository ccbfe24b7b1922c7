"""Which webhooks of other configurations concern ours."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.doctor.facts import OtherWebhooks
from webhook.registration import manifest_files
from webhook.registration.neighbours import neighbours

MANIFESTS = manifest_files.webhook_manifests()
MUTATING, VALIDATING = "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"
PODS = {"apiGroups": [""], "resources": ["pods"]}


def configuration(kind: str, called: str, /, **webhook: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": called}, "webhooks": [{"name": "w.example.com", **webhook}]}


def service(namespace: str, name: str) -> dict[str, Any]:
    return {"service": {"namespace": namespace, "name": name}}


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (configuration(VALIDATING, "a"), OtherWebhooks()),
        ({"kind": MUTATING, "metadata": {"name": "empty"}, "webhooks": None}, OtherWebhooks()),
        (
            configuration(MUTATING, "a", name="validate.userquota.dev"),
            OtherWebhooks(same_names=(f"validate.userquota.dev of {MUTATING} a",)),
        ),
        (configuration(VALIDATING, "userquota", name="validate.userquota.dev"), OtherWebhooks()),
        (
            configuration(VALIDATING, "a", clientConfig=service("quotas", "userquota")),
            OtherWebhooks(same_service=(f"w.example.com of {VALIDATING} a",)),
        ),
        (configuration(VALIDATING, "a", clientConfig=service("userquota-system", "userquota")), OtherWebhooks()),
        (configuration(VALIDATING, "a", clientConfig={"url": "https://a/"}), OtherWebhooks()),
        (
            configuration(MUTATING, "z", rules=[PODS]),
            OtherWebhooks(changing_pods=(f"w.example.com of {MUTATING} z",)),
        ),
        (
            configuration(MUTATING, "z", rules=[{"apiGroups": ["*"], "resources": ["*/*"]}]),
            OtherWebhooks(changing_pods=(f"w.example.com of {MUTATING} z",)),
        ),
        (configuration(MUTATING, "istio", rules=[PODS]), OtherWebhooks()),
        (configuration(MUTATING, "z", rules=[{"apiGroups": ["apps"], "resources": ["*"]}]), OtherWebhooks()),
        (configuration(MUTATING, "z", rules=[{"apiGroups": [""], "resources": ["pods/status"]}]), OtherWebhooks()),
        (configuration(VALIDATING, "z", rules=[PODS]), OtherWebhooks()),
    ],
)
def test_only_what_concerns_us_is_told(other: dict[str, Any], expected: OtherWebhooks) -> None:
    assert neighbours([other], MANIFESTS, namespace="quotas") == expected
