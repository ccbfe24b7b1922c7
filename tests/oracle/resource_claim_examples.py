"""
ResourceClaims and what Kubernetes 1.37.2 charges for those that it stores: tests compare us and Kubernetes with them.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.oracle.building import Object

GIVEN = {"request": "r", "driver": "example.com", "pool": "p", "device": "d"}
LARGE, SMALL, NIC = "gpu-large.example.com", "gpu-small.example.com", "nic"


@dataclass(frozen=True, slots=True)
class ResourceClaimExample:
    """A claim, its devices by class, and our hidden amounts by the name of the choice without `device/`."""

    claim: Object
    devices: dict[str, int]
    hidden: dict[str, int]


def resource_claim(*requests: Object, **metadata: object) -> Object:
    """Return a claim with these requests."""
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "example", **metadata},
        "spec": {"devices": {"requests": list(requests)}},
    }


def asked(device_class: str, count: int | None = None, **more: object) -> Object:
    """Return what is asked of one class, as it stands in a request or in an alternative."""
    return {"deviceClassName": device_class, **({} if count is None else {"count": count}), **more}


def exactly(device_class: str, count: int | None = None, *, name: str = "r", **more: object) -> Object:
    """Return a request for devices of one class."""
    return {"name": name, "exactly": asked(device_class, count, **more)}


def first_of(*alternatives: Object, name: str = "r") -> Object:
    """Return a request for the first of *alternatives* that is available."""
    named = [{"name": f"s{position}", **each} for position, each in enumerate(alternatives)]
    return {"name": name, "firstAvailable": named}


RESOURCE_CLAIMS = {
    "a claim without requests is one claim": ResourceClaimExample(resource_claim(), {}, {}),
    "one device unless a count says more": ResourceClaimExample(resource_claim(exactly(NIC)), {NIC: 1}, {NIC: 1}),
    "a count of zero is none": ResourceClaimExample(resource_claim(exactly(NIC, 0)), {NIC: 1}, {NIC: 1}),
    "as many as are counted": ResourceClaimExample(
        resource_claim(exactly(NIC, 3, allocationMode="ExactCount")), {NIC: 3}, {NIC: 3}
    ),
    "more than a claim can be given": ResourceClaimExample(resource_claim(exactly(NIC, 33)), {NIC: 33}, {NIC: 33}),
    "all devices are as many as a claim can be given": ResourceClaimExample(
        resource_claim(exactly(NIC, allocationMode="All")), {NIC: 32}, {NIC: 32}
    ),
    "access for administration costs as much": ResourceClaimExample(
        resource_claim(exactly(NIC, 2, adminAccess=True)), {NIC: 2}, {NIC: 2}
    ),
    "requests of one class are added": ResourceClaimExample(
        resource_claim(exactly(NIC, 2), exactly(LARGE), exactly(NIC, 3)), {NIC: 5, LARGE: 1}, {NIC: 5, LARGE: 1}
    ),
    "each class of a choice counts": ResourceClaimExample(
        resource_claim(first_of(asked(LARGE), asked(SMALL, 2))),
        {LARGE: 1, SMALL: 2},
        {f"{LARGE}*1|{SMALL}*2": 1},
    ),
    "of equal classes in a choice the larger number": ResourceClaimExample(
        resource_claim(first_of(asked(SMALL, 4), asked(LARGE, 2), asked(SMALL), asked(LARGE, 3))),
        {LARGE: 3, SMALL: 4},
        {f"{LARGE}*3|{SMALL}*4": 1},
    ),
    "all devices of one class, or one of the other": ResourceClaimExample(
        resource_claim(first_of(asked(SMALL, allocationMode="All"), asked(LARGE))),
        {LARGE: 1, SMALL: 32},
        {f"{LARGE}*1|{SMALL}*32": 1},
    ),
    "equal choices are counted, in any order": ResourceClaimExample(
        resource_claim(first_of(asked(LARGE), asked(SMALL, 2)), first_of(asked(SMALL, 2), asked(LARGE))),
        {LARGE: 2, SMALL: 4},
        {f"{LARGE}*1|{SMALL}*2": 2},
    ),
    "a choice of one is no choice": ResourceClaimExample(
        resource_claim(first_of(asked(LARGE, 2)), exactly(LARGE, 3)), {LARGE: 5}, {LARGE: 5}
    ),
    "nor is a choice among numbers of one class": ResourceClaimExample(
        resource_claim(first_of(asked(LARGE, 2), asked(LARGE))), {LARGE: 2}, {LARGE: 2}
    ),
    "a choice beside a request for the same class": ResourceClaimExample(
        resource_claim(first_of(asked(LARGE), asked(SMALL, 2)), exactly(SMALL)),
        {LARGE: 1, SMALL: 3},
        {f"{LARGE}*1|{SMALL}*2": 1, SMALL: 1},
    ),
    "where both forms are given the choice counts": ResourceClaimExample(
        resource_claim(first_of(asked(LARGE)) | exactly(NIC, 7)), {LARGE: 1}, {LARGE: 1}
    ),
    "an empty choice beside a request is none": ResourceClaimExample(
        resource_claim(exactly(NIC) | {"firstAvailable": []}), {NIC: 1}, {NIC: 1}
    ),
    "null is as good as absent": ResourceClaimExample(
        resource_claim(exactly(NIC, allocationMode=None) | {"name": None, "firstAvailable": None}), {NIC: 1}, {NIC: 1}
    ),
    "the status costs nothing": ResourceClaimExample(
        resource_claim(exactly(NIC)) | {"status": {"allocation": {"devices": {"results": [GIVEN, GIVEN]}}}},
        {NIC: 1},
        {NIC: 1},
    ),
}
