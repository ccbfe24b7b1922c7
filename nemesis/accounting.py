"""
What an object costs and which limits bind it, for the objects and policies of this workload only.

It shares no code with the webhook: the rules are those of docs/policy.md. Pods have no init containers, overhead or
pod-level requests, and ResourceClaims no alternatives: the workload makes none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

import yaml

from nemesis.ledger_text import Amount, Claim, Payer, Place
from nemesis.records import (
    CLAIMS,
    CLASS_LABEL,
    MIB,
    REPORTED,
    ZONE_LABEL,
    ClaimRevision,
    PodRevision,
    Revision,
    SessionRevision,
)

UNIT = 10**9
"""Amounts are billionths of the unit, as in the text of the ledger."""

_SUFFIXES = {
    "": UNIT,
    "m": UNIT // 10**3,
    "u": UNIT // 10**6,
    "n": 1,
    "k": UNIT * 10**3,
    "Ki": UNIT * 2**10,
    "Mi": UNIT * MIB,
    "Gi": UNIT * 2**30,
}
_QUANTITY = re.compile(r"(\d+)(?:\.(\d+))?([munk]|[KMG]i)?")
_SHARE = re.compile(r"(?:(\d+)\+)?(\d+)/(\d+)")
_TERMINAL = ("Succeeded", "Failed")

STORAGE, GPU, SESSION = "requests.storage", "gpu", "sessions"
CLASSES = ("gold", "plain")
"""The StorageClasses of this workload."""

DEVICE_CLASSES = ("gpu.nvidia.com", "nic.example.com")
"""Its DeviceClasses. The first one counts as a GPU, the other one as nothing else."""

_WEIGHTS = {
    "requests.nvidia.com/gpu": Fraction(1),
    "requests.nvidia.com/mig-3g.20gb": Fraction(3, 7),
    "device/gpu.nvidia.com": Fraction(1),
}
"""
What counts as `gpu`, by the names in the ledger: there `device/CLASS` is a device of a ResourceClaim, which
ResourceQuota's names for the same device do not count again.
"""

_OF_CLASS = ".storageclass.storage.k8s.io/"
_DEVICES = ".deviceclass.resource.k8s.io/devices"
_SHORT = {"cpu": "requests.cpu", "storage": STORAGE}

LIMITED_CLASSES = ("gold",)
"""The StorageClasses that every policy of this workload names."""

COUNTED = (
    "pods",
    "requests.cpu",
    GPU,
    SESSION,
    CLAIMS,
    STORAGE,
    *(f"{each}{_OF_CLASS}{name}" for each in LIMITED_CLASSES for name in (CLAIMS, STORAGE)),
    *(f"{each}{_DEVICES}" for each in DEVICE_CLASSES),
)
"""The resources that policies of this workload may limit; of the others a reservation need not hold any."""

LIMITED_GROUPS = ("ml", "staff")
"""The groups that every policy of this workload names: the only ones that a reservation has to carry."""


class Key(NamedTuple):
    """The subject and the resource of a limit."""

    subject: str
    resource: str

    def __str__(self) -> str:
        return f"{self.resource} of {self.subject}"


def quantity(text: str) -> Amount:
    """Return a quantity, or a share of devices such as 2+3/7, in billionths of the unit."""
    if (share := _SHARE.fullmatch(text)) is not None:
        whole, top, bottom = share.groups()
        return _plain((int(whole or 0) + Fraction(int(top), int(bottom))) * UNIT)
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no quantity that this workload makes")
    whole, after, suffix = found.groups()
    after = after or ""
    return int(f"{whole}{after}") * _SUFFIXES[suffix or ""] // int(f"1{'0' * len(after)}")


def _plain(amount: Amount) -> Amount:
    return amount.numerator if amount.denominator == 1 else amount


def cost(obj: Revision) -> dict[str, Amount]:
    """
    Return the charge of an object in counted resources.

    Pods: nothing once one has finished or is released, else the larger of what it requests and holds. Every deletion of
    this workload is without a grace period: there is no moment of release to wait for. Claims cost until they are gone.
    A session has a place while it runs; what its pod costs is the pod's.
    """
    if isinstance(obj, PodRevision):
        raw = _of_pod(obj)
    elif isinstance(obj, SessionRevision):
        raw = {SESSION: UNIT} if obj.is_running else {}
    elif obj.kind == CLAIMS:
        raw = _of_claim(obj)
    else:
        raw = _of_device_claim(obj)
    return counted(raw)


def counted(raw: Mapping[str, Amount]) -> dict[str, Amount]:
    """Return the resources that limits are compared with, `gpu` among them, of raw amounts as the ledger has them."""
    gpu = _plain(sum((raw.get(name, 0) * weight for name, weight in _WEIGHTS.items()), Fraction(0)))
    amounts = {name: amount for name, amount in raw.items() if name in COUNTED}
    return {**amounts, GPU: gpu} if gpu else amounts


def _of_pod(pod: PodRevision) -> dict[str, Amount]:
    if pod.phase in _TERMINAL or pod.is_released:
        return {}
    total: dict[str, Amount] = {"pods": UNIT}
    for container in pod.containers.values():
        several = (container.requests, container.allocated, container.actual)
        for name in {name for each in several for name in each}:
            most = max(quantity(each.get(name, "0")) for each in several)
            if most:
                total[f"requests.{name}"] = total.get(f"requests.{name}", 0) + most
    return total


def needs(session: SessionRevision) -> dict[str, Amount]:
    """Return what the pod of a session costs, which is to come while the session runs."""
    return {"pods": UNIT, "requests.cpu": quantity(session.cpu)} if session.is_running else {}


def _of_claim(claim: ClaimRevision) -> dict[str, Amount]:
    """The larger of what it asks for and what its status reports as set aside, in all and for its StorageClass."""
    storage = max(quantity(claim.storage or "0"), quantity(claim.allocated or "0"))
    total = {CLAIMS: UNIT, STORAGE: storage}
    if claim.storage_class:
        total |= {f"{claim.storage_class}{_OF_CLASS}{name}": amount for name, amount in total.items()}
        total = {name: amount for name, amount in total.items() if name in COUNTED}
    return total


def _of_device_claim(claim: ClaimRevision) -> dict[str, Amount]:
    total: dict[str, Amount] = {}
    for each, number in claim.devices.items():
        total |= {f"{each}{_DEVICES}": number * UNIT, f"device/{each}": number * UNIT}
    return total


def is_reported(obj: Revision) -> bool:
    """Whether what counts is what a status reported: that is never refused, and may exceed a limit."""
    return isinstance(obj, ClaimRevision) and quantity(obj.allocated or "0") > quantity(obj.storage or "0")


def is_report(claim: Claim) -> bool:
    """Whether a reservation is for a status: see `records.REPORTED`."""
    return claim.slot.kind == CLAIMS and claim.amounts.get(STORAGE, 0) % (MIB * UNIT) == REPORTED * UNIT


def payer_of(obj: Revision) -> Payer:
    """Return the payer that the stamp names, with those groups that a limit can bind."""
    return Payer(obj.owner, tuple(name for name in obj.groups if name in LIMITED_GROUPS))


def place_of(pod: PodRevision) -> Place:
    """Return where a pod may run, by its `nodeSelector`."""
    return Place(pod.selector.get(CLASS_LABEL, ""), pod.selector.get(ZONE_LABEL, ""))


class Limits:
    """The limits that one policy text sets."""

    def __init__(self, text: str) -> None:
        said = yaml.safe_load(text)
        self._of_any_user = _hard(said.get("defaults", {}).get("user", {}))
        self._of_user = {name: _hard(entry) for name, entry in said.get("users", {}).items()}
        self._of_pool = {name: _hard(entry.get("pool", {})) for name, entry in said.get("groups", {}).items()}
        self._of_cluster = _hard(said.get("cluster", {}))

    def hard(self, key: Key) -> Amount | None:
        """Return the limit on *key*, None if there is none."""
        kind, _, name = key.subject.partition("/")
        if kind == "user":
            return self._of_user.get(name, {}).get(key.resource, self._of_any_user.get(key.resource))
        if kind == "group":
            return self._of_pool.get(name, {}).get(key.resource)
        return self._of_cluster.get(key.resource)


def _hard(entry: Mapping[str, Mapping[str, object]]) -> dict[str, Amount]:
    hard = {_SHORT.get(name, name): quantity(str(amount)) for name, amount in entry.get("hard", {}).items()}
    if not hard.keys() <= set(COUNTED):
        raise ValueError(f"the judge does not count {sorted(hard.keys() - set(COUNTED))}")
    return hard


def subjects(payer: Payer) -> tuple[str, ...]:
    """
    Return the subjects with limits that a payer's objects are charged to. Policies here list no members, and their
    tenants have no limits.
    """
    return (f"user/{payer.owner}", *(f"group/{name}" for name in payer.groups), "cluster")


_CLAUSE = re.compile(
    r"(?:exceeded|larger than|also over) quota: (?P<entry>\S+), "
    r"requested: (?P<requested>\S+), used: (?P<used>\S+), limited: (?P<limited>\S+), "
    r"reserved: (?P<reserved>\S+), free: (?P<free>\S+) for (?P<subject>\[[^\]]*\] [^\s;]+|[^\s;]+)"
)


class Excess(NamedTuple):
    """One limit that a refusal names."""

    key: Key
    requested: Amount
    used: Amount
    reserved: Amount
    limited: Amount


def as_told(amount: Amount, resource: str) -> Amount:
    """Return what refusals say of what is used: of more than six digits only the first, rounded up."""
    step, base = (UNIT, 2**10) if resource.endswith(STORAGE) else (UNIT // 1000, 1000)
    if resource == GPU:
        return amount
    while amount >= step * 10**6:
        step *= base
    return math.ceil(Fraction(amount, step)) * step


def excesses(message: str) -> list[Excess]:
    """Return every limit that the text of a refusal names; none if it is not a refusal for a quota."""
    found = []
    for clause in _CLAUSE.finditer(message):
        parts = {name: _amounts(clause[name]) for name in ("requested", "used", "reserved", "limited")}
        found += [
            Excess(
                Key(clause["subject"], name),
                requested,
                parts["used"][name],
                parts["reserved"][name],
                parts["limited"][name],
            )
            for name, requested in parts["requested"].items()
        ]
    return found


def _amounts(text: str) -> dict[str, Amount]:
    return {name: quantity(amount) for name, _, amount in (each.partition("=") for each in text.split(","))}
