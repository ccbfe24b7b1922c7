"""
Resource names, lists of quantities, and exact amounts.

Names are those of Kubernetes' ResourceQuota, plus our own `gpu` and `accelerator`. `kinds` computes what an object
costs, `devices` the two logical resources.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import TypeAlias

from webhook.quota import durations, quantity, share
from webhook.quota.durations import TIMES
from webhook.quota.quantity import NANOS, Format, Quantity

ResourceList: TypeAlias = Mapping[str, Quantity]
"""Quantities by resource name. A resource that is not requested is absent, not zero."""

Amount: TypeAlias = int | Fraction
"""Billionths of the resource's unit. A Fraction only for logical resources: a seventh has no finite decimal."""

Amounts: TypeAlias = tuple[tuple[str, Amount], ...]
"""Amounts above zero by resource name, sorted by name: hashable, so that equal values are stored once."""

PODS = "pods"
PODS_STORED = "count/pods"
"""Every pod costs one of these until it is deleted, and one of `pods` until it has ended."""

GPU = "gpu"
"""A logical resource: a whole GPU counts 1, a slice its share of one. `devices` derives it."""

ACCELERATOR = "accelerator"
"""A logical resource: devices that compute and are no GPUs."""

LOGICAL = frozenset({GPU, ACCELERATOR})

SHORT_NAMES: Mapping[str, str] = {
    "cpu": "requests.cpu",
    "memory": "requests.memory",
    "storage": "requests.storage",
    "ephemeral-storage": "requests.ephemeral-storage",
}
"""Short names that a policy may use; `pods`, `gpu`, `accelerator` and `sessions` are already short."""

_PLAIN_NAMES = LOGICAL.union(
    {"pods", "sessions", "persistentvolumeclaims", "limits.cpu", "limits.memory", "limits.ephemeral-storage"},
    SHORT_NAMES.values(),
)
UNPARAMETERISED = _PLAIN_NAMES | {"count/pods", "count/persistentvolumeclaims", "count/resourceclaims.resource.k8s.io"}
"""The names that objects cost whatever is written in them: there are few, so that all of them can always be held."""

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_PATTERNS = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        rf"count/{_LABEL}(\.{_DOMAIN})?",
        rf"{_DOMAIN}\.storageclass\.storage\.k8s\.io/(requests\.storage|persistentvolumeclaims)",
        rf"{_DOMAIN}\.deviceclass\.resource\.k8s\.io/devices",
    )
)
COMPUTE = ("cpu", "memory", "ephemeral-storage")
"""Resources whose limit is charged in addition to their request."""

OVERCOMMITTABLE = frozenset({"cpu", "memory"})
"""Resources that a pod-level request may set, besides hugepages, and that a pod may use beyond its request."""

_DEVICE_CLASS = "deviceclass.resource.kubernetes.io/"
_EXTENDED = re.compile(rf"(?P<domain>{_DOMAIN})/[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?", re.ASCII)
_HUGEPAGES = re.compile(r"hugepages-[0-9]+[KMGTPE]i", re.ASCII)
_MISSPELT = re.compile(r"^(limits\.|count/|annotation/)|k8s\.io/", re.ASCII)
"""
Valid as extended resource names, but almost certainly misspelt: a limit on one would silently bind nothing.

What an annotation asks for can be weighed (`devices`) and not be limited: it counts in `gpu`.
"""

HUGEPAGES = "requests.hugepages-"
"""Begins the canonical names of hugepages; the size of a page follows."""

_LONGEST_DOMAIN = 253 - len("requests.")
_BYTES = frozenset({"requests.memory", "limits.memory", "requests.storage"})
_BYTES_ENDINGS = (".ephemeral-storage", ".storageclass.storage.k8s.io/requests.storage")


def canonical_name(written: str) -> str | None:
    """Return ResourceQuota's name for a policy's name (`requests.cpu` for `cpu`), None if there is no such resource."""
    name = SHORT_NAMES.get(written, written)
    if name in _PLAIN_NAMES:
        return name
    unprefixed = name.removeprefix("requests.")
    if _HUGEPAGES.fullmatch(unprefixed) or (
        is_extended(unprefixed) and (unprefixed != name or not _MISSPELT.search(name))
    ):
        return f"requests.{unprefixed}"
    return name if any(pattern.fullmatch(name) for pattern in _PATTERNS) else None


def is_charged(name: str) -> bool:
    """Whether a container's request for resource *name* is charged, as `requests.<name>`."""
    return name in COMPUTE or name.startswith("hugepages-") or is_extended(name)


def is_pod_level(name: str) -> bool:
    """Whether a pod-level request may set resource *name*, which then replaces the sum of the containers."""
    return name in OVERCOMMITTABLE or name.startswith("hugepages-")


def is_extended(name: str) -> bool:
    """
    Whether a container's resource *name* is an extended resource, or stands for a device class.

    Source: `IsExtendedResourceName` and `IsDRAExtendedResourceName` of Kubernetes 1.37.2.
    """
    if name.startswith(_DEVICE_CLASS):
        return True
    if "kubernetes.io/" in name or name.startswith("requests."):
        return False
    match = _EXTENDED.fullmatch(name)
    return match is not None and len(match["domain"]) <= _LONGEST_DOMAIN


def is_in_bytes(name: str) -> bool:
    """Whether amounts of *name*, a canonical one, are bytes."""
    return name in _BYTES or name.startswith(HUGEPAGES) or name.endswith(_BYTES_ENDINGS)


def form_of_kubernetes(name: str) -> Format:
    """Return how amounts of *name*, a canonical one, are shown where nobody says otherwise."""
    return Format.BINARY_SI if is_in_bytes(name) else Format.DECIMAL_SI


def known_names() -> tuple[str, ...]:
    """Return the names without parameters, as suggestions for a misspelt name."""
    return tuple(sorted(_PLAIN_NAMES | SHORT_NAMES.keys()))


def add_to(total: dict[str, Quantity], more: ResourceList) -> None:
    """Add *more* to *total*, per name. The format of *total* wins, as in `addResourceList` of component-helpers."""
    for name, amount in more.items():
        total[name] = total[name] + amount if name in total else amount


def larger(left: ResourceList, right: ResourceList) -> dict[str, Quantity]:
    """Return a new list with the larger quantity per name; the left one if both are equal."""
    most = dict(left)
    for name, amount in right.items():
        if name not in most or amount.nanos > most[name].nanos:
            most[name] = amount
    return most


def amounts(charged: ResourceList) -> Amounts:
    """Return the exact amounts of *charged* without zeros; `devices` adds the logical resources."""
    return tuple(sorted((name, amount.nanos) for name, amount in charged.items() if amount.nanos))


def grown(after: Iterable[tuple[str, Amount]], before: Iterable[tuple[str, Amount]]) -> frozenset[str]:
    """Return the names of which *after* has more than *before*."""
    known = dict(before)
    return frozenset([name for name, amount in after if amount > known.get(name, 0)])


def most_amounts(alternatives: Iterable[Amounts]) -> dict[str, Amount]:
    """Return the largest amount per name."""
    most: dict[str, Amount] = {}
    for each in alternatives:
        for name, amount in each:
            if amount > most.get(name, 0):
                most[name] = amount
    return most


def show(name: str, amount: Amount, form: Format | None = None) -> str:
    """
    Return *amount* of resource *name* as text for users: `1500m`, `8Gi`; of a logical resource `2+3/7`, of a time `8h`.

    A policy may say the *form* of an extended resource, and reads all of them. A fraction of any other resource is
    rounded up to a billionth.
    """
    if name in LOGICAL:
        return share.show(Fraction(amount) / NANOS)
    whole = amount if isinstance(amount, int) else -((-amount.numerator) // amount.denominator)
    if name in TIMES:
        return durations.show(whole)
    return quantity.canonical(whole, form or form_of_kubernetes(name))


def read(name: str, text: str) -> Amount:
    """
    Return the amount of resource *name* that `show` has written as *text*.

    Raises: ValueError for another text.
    """
    if name in LOGICAL:  # a sum of shares may be finer than a policy may write one
        return sum(map(Fraction, text.split("+")), Fraction()) * NANOS
    return durations.parse(text) if name in TIMES else quantity.parse(text).nanos


def show_list(listed: Iterable[tuple[str, Amount]]) -> str:
    """Return amounts as text in ResourceQuota's form: `limits.cpu=2,requests.cpu=1`."""
    return ",".join(f"{name}={show(name, amount)}" for name, amount in listed)
