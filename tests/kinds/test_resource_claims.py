"""
A ResourceClaim costs what ResourceQuota counts and a hidden amount for each request, and an error names what is wrong.

test_resource_claims_equal_kubernetes.py checks that Kubernetes itself charges the same for the examples.
"""

import json

import msgspec
import pytest

from tests.oracle.building import Object
from tests.oracle.resource_claim_examples import (
    LARGE,
    NIC,
    RESOURCE_CLAIMS,
    SMALL,
    ResourceClaimExample,
    asked,
    exactly,
    first_of,
    resource_claim,
)
from webhook.kinds.evaluator import CostLine, Effect, UncountableError
from webhook.kinds.resource_claims import RESOURCE_CLAIMS as KIND
from webhook.kinds.resource_claims import ResourceClaim, is_scheduler_made
from webhook.quota.device_choice import alternatives_of
from webhook.quota.objects import UserInfo
from webhook.quota.quantity import NANOS, Quantity
from webhook.quota.resources import canonical_name

COUNT = "count/resourceclaims.resource.k8s.io"
POD = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True}
MARKED = {"resource.kubernetes.io/extended-resource-claim": "true"}
CHOICE = first_of(asked(LARGE), asked(SMALL, 2), name="any")


@pytest.mark.parametrize("example", RESOURCE_CLAIMS.values(), ids=RESOURCE_CLAIMS)
def test_a_claim_costs_what_resourcequota_counts_and_a_hidden_amount_for_each_request(
    example: ResourceClaimExample,
) -> None:
    assert charged(example.claim) == {
        COUNT: 1,
        **{f"{name}.deviceclass.resource.k8s.io/devices": number for name, number in example.devices.items()},
        **{f"requests.deviceclass.resource.kubernetes.io/{name}": number for name, number in example.devices.items()},
        **{f"device/{choice}": number for choice, number in example.hidden.items()},
    }


@pytest.mark.parametrize(
    "spec", [{}, {"spec": None}, {"spec": {}}, {"spec": {"devices": None}}, {"spec": {"devices": {}}}]
)
def test_an_empty_claim_is_one_claim(spec: Object) -> None:
    assert charged({"metadata": {"name": "c"}, **spec}) == {COUNT: 1}


def test_an_unknown_allocation_mode_counts_as_all_devices() -> None:
    """ResourceQuota counts none, as it cannot know. A newer API server may store such a mode."""
    claim = resource_claim(
        exactly(NIC, 2, allocationMode="Half"), first_of(asked(NIC), asked(LARGE, allocationMode="x"))
    )

    assert charged(claim) == {
        COUNT: 1,
        f"{LARGE}.deviceclass.resource.k8s.io/devices": 32,
        f"{NIC}.deviceclass.resource.k8s.io/devices": 33,
        f"requests.deviceclass.resource.kubernetes.io/{LARGE}": 32,
        f"requests.deviceclass.resource.kubernetes.io/{NIC}": 33,
        f"device/{LARGE}*32|{NIC}*1": 1,
        f"device/{NIC}": 32,
    }


BAD_INPUT = {
    "a request in an unknown form": (
        resource_claim(exactly(NIC), {"name": "r", "anyOf": [asked(NIC)]}),
        "spec.devices.requests[1]: it has neither exactly nor firstAvailable",
    ),
    "a request in no form": (
        resource_claim({"name": "r", "exactly": None, "firstAvailable": []}),
        "spec.devices.requests[0]: it has neither exactly nor firstAvailable",
    ),
    "a request in the form of v1beta1": (
        resource_claim({"name": "r", **asked(NIC)}),
        "spec.devices.requests[0]: it has neither exactly nor firstAvailable",
    ),
    "a negative count": (
        resource_claim(exactly(NIC, -1)),
        "spec.devices.requests[0].exactly.count: it must not be negative",
    ),
    "a negative count beside a mode that has none": (
        resource_claim(exactly(NIC, -1, allocationMode="All")),
        "spec.devices.requests[0].exactly.count: it must not be negative",
    ),
    "a negative count of an alternative that is not the largest": (
        resource_claim(exactly(NIC), first_of(asked(NIC, 2), asked(NIC, -1))),
        "spec.devices.requests[1].firstAvailable[1].count: it must not be negative",
    ),
    "a request without a class": (
        resource_claim({"name": "r", "exactly": {"count": 1}}),
        "spec.devices.requests[0].exactly.deviceClassName: '' is no name of a device class",
    ),
    "a request of unknown mode without a class": (
        resource_claim(exactly("", allocationMode="Half")),
        "spec.devices.requests[0].exactly.deviceClassName: '' is no name of a device class",
    ),
    "an alternative whose class is null": (
        resource_claim(first_of(asked(NIC), {"deviceClassName": None})),
        "spec.devices.requests[0].firstAvailable[1].deviceClassName: '' is no name of a device class",
    ),
    "a class that would be read as a choice": (
        resource_claim(exactly("a*1|b")),
        "spec.devices.requests[0].exactly.deviceClassName: 'a*1|b' is no name of a device class",
    ),
}


@pytest.mark.parametrize(("claim", "message"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_a_claim_that_cannot_be_counted_is_an_error_with_the_place(claim: Object, message: str) -> None:
    with pytest.raises(UncountableError) as by_usage:
        charged(claim)
    with pytest.raises(UncountableError) as by_explain:
        KIND.evaluator.explain(read(claim))

    assert [str(by_usage.value), str(by_explain.value)] == [message] * 2


def test_a_claim_that_cannot_be_counted_is_one_claim() -> None:
    assert KIND.evaluator.unreadable == ((COUNT, NANOS),)


SCHEDULER_MADE = {
    "marked, and a pod controls it": ({"annotations": MARKED, "ownerReferences": [POD]}, True),
    "not marked": ({"ownerReferences": [POD]}, False),
    "with other annotations": ({"annotations": {"example.com/note": "true"}, "ownerReferences": [POD]}, False),
    "marked otherwise": ({"annotations": dict.fromkeys(MARKED, "True"), "ownerReferences": [POD]}, False),
    "no owner": ({"annotations": MARKED}, False),
    "a pod owns it and does not control it": (
        {"annotations": MARKED, "ownerReferences": [POD | {"controller": False}]},
        False,
    ),
    "something else controls it": ({"annotations": MARKED, "ownerReferences": [POD | {"kind": "Job"}]}, False),
    "a pod of another group controls it": (
        {"annotations": MARKED, "ownerReferences": [POD | {"apiVersion": "example.com/v1"}]},
        False,
    ),
    "a pod is the second of two owners": (
        {"annotations": MARKED, "ownerReferences": [POD | {"controller": None, "kind": "Job"}, POD]},
        True,
    ),
}


@pytest.mark.parametrize(("metadata", "is_made"), SCHEDULER_MADE.values(), ids=SCHEDULER_MADE)
def test_a_claim_is_the_schedulers_if_it_is_marked_and_a_pod_controls_it(metadata: Object, *, is_made: bool) -> None:
    claim = resource_claim(exactly(NIC, 2), **metadata)

    assert is_scheduler_made(read(claim).metadata) is is_made
    assert ("device/nic" not in charged(claim)) is is_made


def test_a_claim_that_the_scheduler_made_costs_the_count_and_the_devices_of_each_class() -> None:
    """Its pod has paid for the extended resources, and for the gpu that they are."""
    claim = resource_claim(exactly(NIC, 2), CHOICE, annotations=MARKED, ownerReferences=[POD])
    costs = {
        COUNT: 1,
        f"{LARGE}.deviceclass.resource.k8s.io/devices": 1,
        f"{NIC}.deviceclass.resource.k8s.io/devices": 2,
        f"{SMALL}.deviceclass.resource.k8s.io/devices": 2,
    }

    assert charged(claim) == costs
    assert KIND.evaluator.explain(read(claim)).keys() == costs.keys()


def test_the_explanation_names_requests_and_alternatives() -> None:
    claim = resource_claim(
        exactly(LARGE, 2, name="gpu"),
        exactly(NIC, name="net", allocationMode="All"),
        exactly("odd", name="some", allocationMode="Half"),
        first_of(asked(SMALL), asked(LARGE), asked(SMALL, 3), asked(SMALL, 3), name="any"),
    )
    lines = KIND.evaluator.explain(read(claim))
    large = f"request gpu: 2 of class {LARGE} + request any/s1: 1 of class {LARGE}"

    assert lines == {COUNT: CostLine(Quantity(NANOS), "one object")} | {
        name: CostLine(Quantity(number * NANOS), source)
        for device_class, number, source in (
            (LARGE, 3, large),
            (NIC, 32, "request net: all devices, counted as 32"),
            ("odd", 32, "request some: unknown mode 'Half', counted as 32"),
            (SMALL, 3, f"request any/s2: 3 of class {SMALL}"),
        )
        for name in (
            f"{device_class}.deviceclass.resource.k8s.io/devices",
            f"requests.deviceclass.resource.kubernetes.io/{device_class}",
        )
    }


@pytest.mark.parametrize("example", RESOURCE_CLAIMS.values(), ids=RESOURCE_CLAIMS)
def test_what_is_explained_is_what_is_charged_without_what_is_hidden(example: ResourceClaimExample) -> None:
    explained = {name: line.quantity.nanos for name, line in KIND.evaluator.explain(read(example.claim)).items()}
    amounts = dict(KIND.evaluator.usage(read(example.claim), now=None))

    assert explained == {name: amount for name, amount in amounts.items() if alternatives_of(name) is None}


def test_a_policy_can_limit_exactly_what_is_not_hidden() -> None:
    amounts = [name for example in RESOURCE_CLAIMS.values() for name in charged(example.claim)]

    assert {name for name in amounts if not KIND.evaluator.counts(name)} == {
        name for name in amounts if alternatives_of(name) is not None
    }
    assert KIND.evaluator.counts("gpu")
    assert all(canonical_name(name) == name for name in amounts if KIND.evaluator.counts(name))
    assert not any(map(KIND.evaluator.counts, ["requests.nvidia.com/gpu", "pods", "count/pods"]))


@pytest.mark.parametrize(
    ("operation", "subresource", "effect"),
    [
        ("CREATE", "", Effect.CHARGE),
        ("UPDATE", "", Effect.CHARGE),
        ("UPDATE", "status", Effect.KEEP_STAMP),
        ("DELETE", "", Effect.IGNORE),
        ("CONNECT", "", Effect.IGNORE),
    ],
)
def test_creates_and_updates_are_charged_and_the_status_keeps_the_stamp(
    operation: str, subresource: str, effect: Effect
) -> None:
    assert KIND.evaluator.effect(operation, subresource) is effect


def test_a_claim_costs_until_it_is_gone() -> None:
    claim = read(resource_claim(exactly(NIC), deletionTimestamp="2020-01-01T00:00:00Z"))

    assert KIND.evaluator.released_at(claim) is None
    assert not KIND.evaluator.has_ended(claim)
    assert not KIND.evaluator.is_excepted(claim.metadata, UserInfo("system:kube-scheduler"))


def charged(claim: Object) -> dict[str, int]:
    amounts = KIND.evaluator.usage(read(claim), now=None)
    assert list(amounts) == sorted(amounts)
    assert all(isinstance(amount, int) and amount % NANOS == 0 for _, amount in amounts)
    return {name: int(amount) // NANOS for name, amount in amounts}


def read(claim: Object) -> ResourceClaim:
    return msgspec.json.decode(json.dumps(claim), type=ResourceClaim)
