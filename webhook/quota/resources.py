"""
What can be counted: resource names, lists of quantities, and exact amounts.

Names are those of Kubernetes' ResourceQuota, plus our own `gpu`. What an object costs: see `pod`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import TypeAlias

from webhook.quota import quantity
from webhook.quota.quantity import Format, Quantity

ResourceList: TypeAlias = Mapping[str, Quantity]
"""Quantities by resource name. A resource nobody asks for is absent, not zero."""

Amount: TypeAlias = int | Fraction
"""Billionths of the resource's unit. A Fraction only where `gpu` is made of slices: a seventh has no end."""

Amounts: TypeAlias = tuple[tuple[str, Amount], ...]
"""Amounts above zero by resource name, sorted by name: hashable, so that equal ones are kept once."""

GPU = "gpu"
"""Our logical resource: whole devices count one each, slices their share."""

_WHOLE_GPUS = frozenset({"nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe"})
_MIG_SLICE = re.compile(r"requests\.nvidia\.com/mig-([1-7])g\.", re.ASCII)
_MIG_SLICES_PER_GPU = 7

SHORT_NAMES: Mapping[str, str] = {
    "cpu": "requests.cpu",
    "memory": "requests.memory",
    "storage": "requests.storage",
    "ephemeral-storage": "requests.ephemeral-storage",
}
"""What a policy may write for short; `pods`, `gpu` and `sessions` are short already."""

_PLAIN_NAMES = frozenset(
    {"pods", "sessions", GPU, "persistentvolumeclaims", "limits.cpu", "limits.memory", "limits.ephemeral-storage"}
    | set(SHORT_NAMES.values())
)
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
"""What has a charged limit beside its charged request."""

OVERCOMMITTABLE = frozenset({"cpu", "memory"})
"""What a pod may ask for as a whole, hugepages aside, and may use more of than it asked for."""

_DEVICE_CLASS = "deviceclass.resource.kubernetes.io/"
_EXTENDED = re.compile(rf"(?P<domain>{_DOMAIN})/[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?", re.ASCII)
_HUGEPAGES = re.compile(r"hugepages-[0-9]+[KMGTPE]i", re.ASCII)
_MISSPELT = re.compile(r"^(limits\.|count/)|k8s\.io/", re.ASCII)
"""Could be an extended resource's name, but was hardly meant as one: a limit on it would silently hold nobody."""

_LONGEST_DOMAIN = 253 - len("requests.")
_BYTES = frozenset({"requests.memory", "limits.memory", "requests.storage"})
_BYTES_ENDINGS = (".ephemeral-storage", ".storageclass.storage.k8s.io/requests.storage")


def canonical_name(written: str) -> str | None:
    """Give Kubernetes' own name for what a policy wrote (`cpu` is `requests.cpu`), or None if nothing has that name."""
    name = SHORT_NAMES.get(written, written)
    if name in _PLAIN_NAMES:
        return name
    asked = name.removeprefix("requests.")
    if _HUGEPAGES.fullmatch(asked) or (is_extended(asked) and (asked != name or not _MISSPELT.search(name))):
        return f"requests.{asked}"
    return name if any(pattern.fullmatch(name) for pattern in _PATTERNS) else None


def is_charged(name: str) -> bool:
    """Say whether a request of a container for resource *name* is charged, as `requests.` and the name."""
    return name in COMPUTE or name.startswith("hugepages-") or is_extended(name)


def is_pod_level(name: str) -> bool:
    """Say whether a pod may ask for resource *name* as a whole, which replaces the sum of its containers."""
    return name in OVERCOMMITTABLE or name.startswith("hugepages-")


def is_extended(name: str) -> bool:
    """
    Say whether a container's resource *name* is an extended one, or stands for a device class.

    Source: `IsExtendedResourceName` and `IsDRAExtendedResourceName` of Kubernetes 1.37.2.
    """
    if name.startswith(_DEVICE_CLASS):
        return True
    if "kubernetes.io/" in name or name.startswith("requests."):
        return False
    match = _EXTENDED.fullmatch(name)
    return match is not None and len(match["domain"]) <= _LONGEST_DOMAIN


def known_names() -> tuple[str, ...]:
    """Give the names without parameters, for suggestions to people who misspell one."""
    return tuple(sorted(_PLAIN_NAMES | SHORT_NAMES.keys()))


def add_to(total: dict[str, Quantity], more: ResourceList) -> None:
    """Raise *total* by *more*, per name; the format of *total* wins, as in `addResourceList` of component-helpers."""
    for name, amount in more.items():
        total[name] = total[name] + amount if name in total else amount


def larger(left: ResourceList, right: ResourceList) -> dict[str, Quantity]:
    """Give the larger quantity per name, as a new list; the left one where they are equal."""
    most = dict(left)
    for name, amount in right.items():
        if name not in most or amount.nanos > most[name].nanos:
            most[name] = amount
    return most


def amounts(charged: ResourceList) -> Amounts:
    """Give what is booked for *charged*: exact numbers without zeros, with the logical resources worked out."""
    booked: dict[str, Amount] = {name: amount.nanos for name, amount in charged.items() if amount.nanos}
    gpus = _gpus(booked)
    if gpus:
        booked[GPU] = gpus
    return tuple(sorted(booked.items()))


def most_amounts(several: Iterable[Amounts]) -> dict[str, Amount]:
    """Give the largest amount per name."""
    most: dict[str, Amount] = {}
    for booked in several:
        for name, amount in booked:
            if amount > most.get(name, 0):
                most[name] = amount
    return most


def show(name: str, amount: Amount) -> str:
    """Print *amount* of resource *name* for people: `1500m`, `8Gi`. A fraction is rounded up to a billionth."""
    whole = amount if isinstance(amount, int) else -((-amount.numerator) // amount.denominator)
    is_bytes = name in _BYTES or name.startswith("requests.hugepages-") or name.endswith(_BYTES_ENDINGS)
    form = Format.BINARY_SI if is_bytes else Format.DECIMAL_SI
    return quantity.canonical(whole, form)


def show_list(listed: Iterable[tuple[str, Amount]]) -> str:
    """Print amounts in ResourceQuota's way: `limits.cpu=2,requests.cpu=1`."""
    return ",".join(f"{name}={show(name, amount)}" for name, amount in listed)


def _gpus(booked: Mapping[str, Amount]) -> Amount:
    total: Amount = 0
    for name, amount in booked.items():
        if not name.startswith("requests."):
            continue
        if name.removeprefix("requests.") in _WHOLE_GPUS:
            total += amount
        elif slices := _MIG_SLICE.match(name):
            total += amount * Fraction(int(slices[1]), _MIG_SLICES_PER_GPU)
    return int(total) if total.denominator == 1 else total
