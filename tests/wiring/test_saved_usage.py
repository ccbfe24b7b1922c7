"""Objects that kubectl saved count as they count in a cluster, for who is named in their stamps."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.admission.asking import Json, pod, stamped
from webhook.documents.object_text import read_objects
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Policy
from webhook.quota.subject import NOBODY, Payer
from webhook.quota.usage import Row
from webhook.wiring.saved_usage import SavedUsage, SavedUsageError, usage_of

NOW = datetime(2026, 12, 1, tzinfo=UTC)
POLICY = "version: 1\ndefaults: {user: {hard: {cpu: 4, count/services: 1}}}\n"
RED = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "red", "labels": {"team": "research"}}}


def policy(text: str = POLICY) -> Policy:
    found = read_policy([PolicyText("p.yaml", text)]).policy
    assert found is not None
    return found


def saved(*items: Json, under: str = POLICY) -> SavedUsage:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    objects, mistakes = read_objects(text, source="saved.json")
    assert mistakes == ()
    return usage_of(objects, policy(under), NOW)


def row(found: SavedUsage, key: ObjectKey) -> Row | None:
    return found.holdings.rows.get(key.resource, {}).get(f"{key.namespace}/{key.name}")


def test_a_stamp_says_who_pays_and_nobody_pays_without_one() -> None:
    found = saved(RED, stamped(pod("a"), groups='["ml"]'), pod("b"))
    mine, nobodys = (row(found, ObjectKey("pods", "red", name)) for name in ("a", "b"))
    assert mine is not None
    assert nobodys is not None
    assert (mine.payer, nobodys.payer) == (Payer("alice", ("ml",)), NOBODY)
    assert dict(mine.amounts)["requests.cpu"] == 1_000_000_000
    assert found.labels_of("red") == {"team": "research"}
    assert found.resources == {"pods"}
    assert found.unlabelled == ()


def test_what_costs_nothing_is_left_out_and_what_the_policy_counts_is_not() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "red", "uid": "u"}}
    config = {**service, "kind": "ConfigMap"}
    found = saved(service, config)
    assert row(found, ObjectKey("services", "red", "s")) is not None
    assert found.resources == {"services"}
    assert found.unlabelled == ("red",)
    assert saved(service, under="version: 1\n").resources == frozenset()


def test_a_namespace_that_is_exempt_is_left_out() -> None:
    system: dict[str, Any] = pod("a")
    system["metadata"]["namespace"] = "kube-system"
    assert row(saved(system), ObjectKey("pods", "kube-system", "a")) is None


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (pod("a", cpu="1K"), r"saved.json:1: Pod red/a: spec.containers\[0\].resources.requests.cpu: "),
        ({**pod("a"), "spec": []}, "saved.json:1: Pod red/a: spec: expected fields, each with a value, got a list"),
        (
            {**RED, "metadata": {"name": "red", "labels": []}},
            "saved.json:1: Namespace red: metadata.labels: expected fields, each with a value, got a list",
        ),
    ],
)
def test_what_cannot_be_counted_is_an_error(item: Json, why: str) -> None:
    with pytest.raises(SavedUsageError, match=why):
        saved(item)
