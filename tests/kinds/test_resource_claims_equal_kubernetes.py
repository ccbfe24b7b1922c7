"""
Thousands of random ResourceClaims cost exactly what Kubernetes' own evaluator charges for them.

USERQUOTA_RANDOM_CLAIMS sets how many. Different on purpose:

- an unknown allocation mode counts as `All` and not as nothing, so Kubernetes is asked about `All`;
- a request in a form that is not known cannot be counted, where Kubernetes leaves it out of the sum;
- a claim that the scheduler made does not cost the extended resources again that its pod has paid for. Kubernetes
  looks at the pod and takes off what that pod pays; no pod is known to it here, so that it takes off nothing;
- the hidden amounts are ours.
"""

import json
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import msgspec
import pytest

from tests.oracle.program import Amount, Oracle
from tests.oracle.random_resource_claims import CLASSES, UNKNOWN_MODES, RandomResourceClaims
from tests.oracle.resource_claim_examples import RESOURCE_CLAIMS
from webhook.kinds.evaluator import UncountableError
from webhook.kinds.resource_claims import RESOURCE_CLAIMS as KIND
from webhook.kinds.resource_claims import ResourceClaim
from webhook.quota.quantity import NANOS

pytestmark = pytest.mark.cluster

SEED = 1137
CLAIMS = int(os.environ.get("USERQUOTA_RANDOM_CLAIMS", "6000"))
COUNT = "count/resourceclaims.resource.k8s.io"
DEVICES = ".deviceclass.resource.k8s.io/devices"
EXTENDED = "requests.deviceclass.resource.kubernetes.io/"


Claim: TypeAlias = dict[str, Any]
Requests: TypeAlias = list[dict[str, Any]]
Charged: TypeAlias = dict[str, int | Fraction]


@dataclass(frozen=True, slots=True)
class Compared:
    """A claim, what we charge without the hidden amounts, and what Kubernetes charges once it is stored and as sent."""

    claim: Claim
    ours: Charged | None
    theirs: Charged
    sent_by_kubernetes: Charged


@pytest.fixture(scope="module")
def claims(oracle: Oracle) -> list[Compared]:
    source = RandomResourceClaims(SEED)
    generated: list[Claim] = [msgspec.convert(source.claim(), type=Claim) for _ in range(CLAIMS)]
    answers = oracle.resource_claim_charges(json.dumps(with_known_modes(claim)) for claim in generated)
    return [
        Compared(claim, charged(claim), nanos(answer["asStored"]), nanos(answer["asSent"]))
        for claim, answer in zip(generated, answers, strict=True)
    ]


def test_the_examples_say_what_kubernetes_charges(oracle: Oracle) -> None:
    answers = oracle.resource_claim_charges(json.dumps(example.claim) for example in RESOURCE_CLAIMS.values())

    assert {name: nanos(answer["asStored"]) for name, answer in zip(RESOURCE_CLAIMS, answers, strict=True)} == {
        name: {COUNT: NANOS}
        | {f"{device_class}{DEVICES}": number * NANOS for device_class, number in example.devices.items()}
        | {f"{EXTENDED}{device_class}": number * NANOS for device_class, number in example.devices.items()}
        for name, example in RESOURCE_CLAIMS.items()
    }


def test_a_claim_costs_what_resourcequota_charges(claims: list[Compared]) -> None:
    different = [each for each in claims if each.ours is not None and each.ours != expected(each)]

    assert not different, report(different)


def test_a_claim_cannot_be_counted_exactly_if_it_has_a_request_in_no_known_form(claims: list[Compared]) -> None:
    different = [each for each in claims if (each.ours is None) != any(map(is_in_no_form, requests(each.claim)))]

    assert not different, report(different)
    assert sum(each.ours is None for each in claims) > 0.02 * CLAIMS


def test_an_unknown_mode_never_costs_less_than_in_resourcequota(oracle: Oracle, claims: list[Compared]) -> None:
    unknown = [each for each in claims if with_known_modes(each.claim) != each.claim]
    answers = oracle.resource_claim_charges(json.dumps(each.claim) for each in unknown)
    charges = [nanos(answer["asStored"]) for answer in answers]
    lower = [
        theirs != each.theirs and all(amount <= each.theirs[name] for name, amount in theirs.items())
        for theirs, each in zip(charges, unknown, strict=True)
    ]

    assert len(unknown) > 0.02 * CLAIMS
    assert all(low or theirs == each.theirs for low, theirs, each in zip(lower, charges, unknown, strict=True))
    assert sum(lower) > 0.3 * len(unknown)


def test_the_claims_tell_a_right_walk_from_a_wrong_one(claims: list[Compared]) -> None:
    """The comparison is worth something only if wrong rules change what many of the claims cost."""
    counted = [each for each in claims if each.ours is not None]
    costs = [expected(each) for each in counted]

    assert len(counted) > 0.8 * CLAIMS
    assert sum(is_of_a_pod(each.claim["metadata"]) for each in counted) > 0.015 * CLAIMS
    assert len({tuple(sorted(cost.items())) for cost in costs}) > min(0.25 * CLAIMS, 2000)
    assert {name for cost in costs for name in cost} == {
        COUNT,
        *(f"{name}{DEVICES}" for name in CLASSES),
        *(f"{EXTENDED}{name}" for name in CLASSES),
    }
    for wrong in (first_alternatives, sums_of_alternatives, last_requests, no_admin_access, one_of_all):
        assert sum(charged(with_requests(each.claim, wrong)) != each.ours for each in counted) > 0.03 * CLAIMS, wrong
    assert sum(each.sent_by_kubernetes != each.theirs for each in counted) > 0.3 * CLAIMS


def first_alternatives(listed: Requests) -> Requests:
    return [each | {"firstAvailable": (each.get("firstAvailable") or [])[:1]} for each in listed]


def sums_of_alternatives(listed: Requests) -> Requests:
    alternatives = [each.get("firstAvailable") or [each.get("exactly")] for each in listed]
    return [{"exactly": exactly} for each in alternatives for exactly in each]


def last_requests(listed: Requests) -> Requests:
    return listed[-1:]


def no_admin_access(listed: Requests) -> Requests:
    return [each for each in listed if not (each.get("exactly") or {}).get("adminAccess")]


def one_of_all(listed: Requests) -> Requests:
    return with_modes(listed, {"All"}, "ExactCount")


def with_known_modes(claim: Claim) -> Claim:
    return with_requests(claim, lambda listed: with_modes(listed, UNKNOWN_MODES, "All"))


def with_modes(listed: Requests, modes: Collection[str], instead: str) -> Requests:
    """Return the requests with *instead* in place of *modes*, and then without a count."""

    def changed(asked: dict[str, Any]) -> dict[str, Any]:
        is_changed = asked.get("allocationMode") in modes
        return asked | {"allocationMode": instead, "count": 0} if is_changed else asked

    return [
        each
        | ({"exactly": changed(each["exactly"])} if each.get("exactly") else {})
        | ({"firstAvailable": [changed(one) for one in each["firstAvailable"]]} if each.get("firstAvailable") else {})
        for each in listed
    ]


def with_requests(claim: Claim, change: Callable[[Requests], Requests]) -> Claim:
    listed = requests(claim)
    return claim | {"spec": {"devices": {"requests": change(listed)}}} if listed else claim


def requests(claim: Claim) -> Requests:
    devices: dict[str, Any] = (claim.get("spec") or {}).get("devices") or {}
    return devices.get("requests") or []


def is_in_no_form(request: dict[str, Any]) -> bool:
    return not request.get("firstAvailable") and not request.get("exactly")


def charged(claim: Claim) -> Charged | None:
    """Return what *claim* costs without the hidden amounts; None if it cannot be counted."""
    read = msgspec.json.decode(json.dumps(claim), type=ResourceClaim)
    try:
        amounts = KIND.evaluator.usage(read, now=None)
    except UncountableError:
        return None
    return {name: amount for name, amount in amounts if not name.startswith("device/")}


def expected(each: Compared) -> Charged:
    """Return what Kubernetes charges, without what the pod pays if the scheduler made the claim."""
    if not is_of_a_pod(each.claim["metadata"]):
        return each.theirs
    return {name: amount for name, amount in each.theirs.items() if not name.startswith(EXTENDED)}


def is_of_a_pod(metadata: Claim) -> bool:
    """Whether Kubernetes would look for the pod of a claim: the rule of `is_scheduler_made`, written once more."""
    controllers = [owner for owner in metadata.get("ownerReferences", []) if owner.get("controller")]
    is_marked = metadata.get("annotations", {}).get("resource.kubernetes.io/extended-resource-claim") == "true"
    return is_marked and [(owner["apiVersion"], owner["kind"]) for owner in controllers[:1]] == [("v1", "Pod")]


def nanos(usage: dict[str, Amount]) -> Charged:
    return {name: int(amount["nanos"]) for name, amount in usage.items()}


def report(different: list[Compared]) -> str:
    return (
        f"{len(different)} of {CLAIMS} claims differ, such as {min(different, key=lambda each: len(str(each.claim)))}"
    )
