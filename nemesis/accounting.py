"""
What a pod costs and which limits bind it, for the pods and policies of this workload only.

It shares no code with the webhook. It has no init containers, overhead or pod-level requests: the workload has none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import yaml

from nemesis.ledger_text import Amount, Payer
from nemesis.records import Container, PodRevision

UNIT = 10**9
"""Amounts are billionths of the unit, as in the text of the ledger."""

_SUFFIXES = {"": UNIT, "m": UNIT // 10**3, "u": UNIT // 10**6, "n": 1, "k": UNIT * 10**3}
_QUANTITY = re.compile(r"(\d+)(?:\.(\d+))?([munk]?)")
_TERMINAL = ("Succeeded", "Failed")
_NAMES = {"pods": "pods", "cpu": "requests.cpu"}
"""The names in a policy, and the resources that they stand for."""

COUNTED = tuple(_NAMES.values())

LIMITED_GROUPS = ("ml", "staff")
"""The groups that every policy of this workload names: the only ones that a reservation has to carry."""


class Key(NamedTuple):
    """The subject and the resource of a limit."""

    subject: str
    resource: str

    def __str__(self) -> str:
        return f"{self.resource} of {self.subject}"


def quantity(text: str) -> int:
    """Return a quantity in billionths of the unit."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no quantity that this workload makes")
    whole, after, suffix = found.groups()
    after = after or ""
    return int(f"{whole}{after}") * _SUFFIXES[suffix] // int(f"1{'0' * len(after)}")


def cost(pod: PodRevision) -> dict[str, Amount]:
    """
    Return the charge of a pod: nothing once it has finished or is released, else the larger of what it requests and
    holds.

    Every deletion of this workload is without a grace period: there is no moment of release to wait for.
    """
    if pod.phase in _TERMINAL or pod.is_released:
        return {}
    cpu = sum(_of_container(container) for container in pod.containers.values())
    return {"pods": UNIT, "requests.cpu": cpu} if cpu else {"pods": UNIT}


def _of_container(container: Container) -> int:
    several = (container.requests, container.allocated, container.actual)
    return max(quantity(each.get("cpu", "0")) for each in several)


def payer_of(pod: PodRevision) -> Payer:
    """Return the payer that the stamp names, with those groups that a limit can bind."""
    return Payer(pod.owner, tuple(name for name in pod.groups if name in LIMITED_GROUPS))


class Limits:
    """The limits that one policy text sets."""

    def __init__(self, text: str) -> None:
        said = yaml.safe_load(text)
        self._of_any_user = _hard(said.get("defaults", {}).get("user", {}))
        self._of_user = {name: _hard(entry) for name, entry in said.get("users", {}).items()}
        self._of_pool = {name: _hard(entry.get("pool", {})) for name, entry in said.get("groups", {}).items()}
        self._of_cluster = _hard(said.get("cluster", {}))

    def hard(self, key: Key) -> int | None:
        """Return the limit on *key*, None if there is none."""
        kind, _, name = key.subject.partition("/")
        if kind == "user":
            return self._of_user.get(name, {}).get(key.resource, self._of_any_user.get(key.resource))
        if kind == "group":
            return self._of_pool.get(name, {}).get(key.resource)
        return self._of_cluster.get(key.resource)


def _hard(entry: Mapping[str, Mapping[str, object]]) -> dict[str, int]:
    return {_NAMES[name]: quantity(str(amount)) for name, amount in entry.get("hard", {}).items()}


def subjects(payer: Payer) -> tuple[str, ...]:
    """Return the subjects that a payer's pods are charged to. Policies here list no members and have no tenants."""
    return (f"user/{payer.owner}", *(f"group/{name}" for name in payer.groups), "cluster")


_CLAUSE = re.compile(
    r"exceeded quota: (?P<entry>\S+), requested: (?P<requested>\S+), used: (?P<used>\S+), limited: (?P<limited>\S+), "
    r"reserved: (?P<reserved>\S+), free: (?P<free>\S+) for (?P<subject>[^\s;]+)"
)


class Excess(NamedTuple):
    """One limit that a refusal names."""

    key: Key
    requested: int
    used: int
    reserved: int
    limited: int


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


def _amounts(text: str) -> dict[str, int]:
    return {name: quantity(amount) for name, _, amount in (each.partition("=") for each in text.split(","))}
