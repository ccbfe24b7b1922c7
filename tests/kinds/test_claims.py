"""What a claim costs, case by case. `test_claims_equal_kubernetes` compares thousands with Kubernetes itself."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from webhook.kinds.claims import PERSISTENT_VOLUME_CLAIMS, PersistentVolumeClaim
from webhook.kinds.evaluator import Effect, UncountableError
from webhook.quota.quantity import NANOS
from webhook.quota.resources import Amount

EVALUATOR = PERSISTENT_VOLUME_CLAIMS.evaluator
GI = 1 << 30
BASE = {"persistentvolumeclaims": 1, "count/persistentvolumeclaims": 1}


def a_claim(
    storage: object = "1Gi", *, class_name: str | None = None, annotations: dict[str, str] | None = None, **status: Any
) -> PersistentVolumeClaim:
    document = {
        "metadata": {"name": "data", "annotations": annotations},
        "spec": {"storageClassName": class_name, "resources": {"requests": {"storage": storage}}},
        "status": status,
    }
    return msgspec.json.decode(json.dumps(document), type=PersistentVolumeClaim)


def cost(claim: PersistentVolumeClaim) -> dict[str, Amount]:
    """Return the whole units that the claim costs; what is no whole unit fails."""
    amounts = EVALUATOR.usage(claim, now=None)
    assert list(amounts) == sorted(amounts)
    assert all(amount % NANOS == 0 for _, amount in amounts)
    return {name: amount // NANOS for name, amount in amounts}


@pytest.mark.parametrize(
    ("claim", "storage"),
    [
        (a_claim("1Gi"), GI),
        (a_claim("0"), None),
        (a_claim("100m"), 1),
        (a_claim("0.3Gi"), 322122548),
        (a_claim("1E"), 10**18),
        (a_claim("1G", allocatedResources={"storage": "2G"}), 2 * 10**9),
        (a_claim("2G", allocatedResources={"storage": "1G"}), 2 * 10**9),
        (a_claim("2G", allocatedResources={}), 2 * 10**9),
        (a_claim("2G", allocatedResources=None), 2 * 10**9),
        (a_claim("1G", allocatedResources={"other": "2G"}), 10**9),
        (a_claim("1", allocatedResources={"storage": "1500m"}), 2),
    ],
)
def test_a_claim_costs_the_larger_of_what_it_asks_for_and_what_is_allocated(
    claim: PersistentVolumeClaim, storage: int | None
) -> None:
    assert cost(claim) == {**BASE, **({} if storage is None else {"requests.storage": storage})}


@pytest.mark.parametrize(
    ("class_name", "annotations", "charged_to"),
    [
        ("gold", None, "gold"),
        (None, None, ""),
        ("", None, ""),
        ("gold", {"volume.beta.kubernetes.io/storage-class": "old"}, "old"),
        ("gold", {"volume.beta.kubernetes.io/storage-class": ""}, ""),
        ("g" * 253, None, "g" * 253),
    ],
)
def test_a_claim_costs_what_it_asks_for_of_its_storage_class_as_well(
    class_name: str | None, annotations: dict[str, str] | None, charged_to: str
) -> None:
    of_class = {
        f"{charged_to}.storageclass.storage.k8s.io/requests.storage": GI,
        f"{charged_to}.storageclass.storage.k8s.io/persistentvolumeclaims": 1,
    }

    charged = cost(a_claim(class_name=class_name, annotations=annotations))

    assert charged == {**BASE, "requests.storage": GI, **(of_class if charged_to else {})}
    assert all(EVALUATOR.counts(name) for name in charged)


def test_what_is_allocated_without_a_request_costs_nothing() -> None:
    claim = msgspec.json.decode(b'{"status":{"allocatedResources":{"storage":"1Gi"}}}', type=PersistentVolumeClaim)

    assert cost(claim) == BASE


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (a_claim("1X"), "spec.resources.requests.storage: invalid quantity '1X'"),
        (a_claim("-1"), "spec.resources.requests.storage: invalid quantity '-1': it must not be negative"),
        (a_claim(True), "spec.resources.requests.storage: invalid quantity 'true': expected a string or a number"),
        (a_claim(allocatedResources=[1]), "status.allocatedResources: invalid quantity '[1]'"),
        (a_claim(allocatedResources={"storage": "x"}), "status.allocatedResources.storage: invalid quantity 'x'"),
    ],
)
def test_a_field_that_cannot_be_read_is_named(claim: PersistentVolumeClaim, message: str) -> None:
    with pytest.raises(UncountableError) as raised:
        EVALUATOR.usage(claim, now=None)

    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("operation", "subresource", "effect"),
    [
        ("CREATE", "", Effect.CHARGE),
        ("UPDATE", "", Effect.CHARGE),
        ("UPDATE", "status", Effect.RECORD),
        ("DELETE", "", Effect.IGNORE),
    ],
)
def test_what_requests_mean(operation: str, subresource: str, effect: Effect) -> None:
    assert EVALUATOR.effect(operation, subresource) is effect


def test_the_cost_is_explained() -> None:
    lines = EVALUATOR.explain(a_claim("1.5Gi", class_name="gold"))

    assert {name: (str(line.quantity), line.source) for name, line in lines.items()} == {
        "persistentvolumeclaims": ("1", "one claim"),
        "count/persistentvolumeclaims": ("1", "one claim"),
        "requests.storage": ("1536Mi", "spec.resources.requests.storage"),
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": ("1", "one claim, of StorageClass gold"),
        "gold.storageclass.storage.k8s.io/requests.storage": (
            "1536Mi",
            "spec.resources.requests.storage, of StorageClass gold",
        ),
    }


def test_a_manifest_without_storage_is_refused() -> None:
    with pytest.raises(UncountableError, match=r"spec.resources.requests.storage: a claim has to request storage"):
        EVALUATOR.explain(a_claim("0"))
