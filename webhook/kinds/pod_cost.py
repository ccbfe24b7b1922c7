"""
What a pod costs, exactly as Kubernetes' ResourceQuota counts it.

The walk follows `PodRequests` and `PodLimits` of k8s.io/component-helpers v0.37.2 and the pod evaluator of
Kubernetes 1.37.2. What the API server fills into a manifest first lies in `pod_defaults`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import NamedTuple, TypeVar

import msgspec

from webhook.kinds.evaluator import UncountableError
from webhook.kinds.pod_shapes import ContainerText, Pod, PodText, Resources, text_of
from webhook.quota import quantity, resources
from webhook.quota.quantity import Quantity, QuantityError
from webhook.quota.resources import Amounts, ResourceList

TERMINAL_PHASES = frozenset({"Succeeded", "Failed"})
"""A pod in such a phase runs nothing and never will again: it keeps its place in storage and nothing else."""

_ORDINARY = 4096
"""Bytes. What is spelled at greater length is not remembered: anybody may send it, and memory would go by it."""

_Read = TypeVar("_Read")
_REQUIREMENTS = msgspec.json.Decoder(Resources | None)
_LIST = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)


@dataclass(frozen=True, slots=True)
class ContainerSize:
    """
    What one container asks for, has been given and uses.

    `allocated`, `actual_requests` and `actual_limits` come from the status; empty where it says nothing.
    """

    requests: ResourceList
    limits: ResourceList
    is_sidecar: bool = False
    allocated: ResourceList = field(default_factory=dict)
    actual_requests: ResourceList = field(default_factory=dict)
    actual_limits: ResourceList = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PodSize:
    """All numbers of a pod, read and checked once. `pod_requests` and `pod_limits` are the pod-level ones."""

    containers: tuple[ContainerSize, ...]
    init_containers: tuple[ContainerSize, ...]
    pod_requests: ResourceList
    pod_limits: ResourceList
    overhead: ResourceList
    is_terminal: bool = False
    is_infeasible: bool = False
    has_status: bool = False


def amounts_of(pod: Pod) -> Amounts:
    """
    Give what is booked for *pod*: the amounts of its `charge`, worked out once for all pods that are spelled alike.

    Raises: UncountableError, as `size_of`.
    """
    text = text_of(pod)
    return _remembered(text) if text.length <= _ORDINARY else _amounts_of(text)


def _amounts_of(text: PodText) -> Amounts:
    return resources.amounts(charge(_size(text)))


_remembered = lru_cache(maxsize=4096)(_amounts_of)
"""The pods of one workload are spelled alike, and a cluster has far fewer workloads than pods."""


def charge(size: PodSize) -> dict[str, Quantity]:
    """
    Give what a pod of this *size* costs, under ResourceQuota's names.

    A terminal pod costs its `count/pods` only. A pod that is being deleted costs everything until it is terminal or
    gone: its containers may still run (ResourceQuota lets go after the grace period; we do not, design.md section 2).
    Units: cores for `cpu`, bytes for memory and storage, whole counts otherwise.
    """
    charged = {"count/pods": quantity.ONE}
    if size.is_terminal:
        return charged
    charged["pods"] = quantity.ONE
    requests, limits = pod_requests(size), pod_limits(size)
    for name, amount in requests.items():
        if resources.is_charged(name):
            charged[f"requests.{name}"] = amount
    for name in resources.COMPUTE:
        if name in limits:
            charged[f"limits.{name}"] = limits[name]
    return charged


def pod_requests(size: PodSize) -> dict[str, Quantity]:
    """
    Give what the scheduler sets aside for a pod, per resource.

    The larger of (sum of running containers) and (largest init step); a pod-level request replaces that for cpu,
    memory and hugepages; the overhead comes on top. A resource nobody requests is absent, not zero.
    While a resize is under way the largest of asked, allocated and actual counts; an infeasible one is not counted.
    """

    def asked(container: ContainerSize) -> ResourceList:
        return {} if size.is_infeasible else container.requests

    def allocated(container: ContainerSize) -> ResourceList:
        return container.allocated or asked(container)

    def actual(container: ContainerSize) -> ResourceList:
        return container.actual_requests or allocated(container)

    views = (asked, actual, allocated) if size.has_status else (asked,)
    total = reduce(resources.larger, [aggregate(size, view).total for view in views])
    total.update((name, amount) for name, amount in size.pod_requests.items() if resources.is_pod_level(name))
    resources.add_to(total, size.overhead)
    return total


def pod_limits(size: PodSize) -> dict[str, Quantity]:
    """Give the most a pod may use, by the walk of `pod_requests`; overhead only comes on top of a limit that exists."""

    def asked(container: ContainerSize) -> ResourceList:
        return {} if size.is_infeasible else container.limits

    def actual(container: ContainerSize) -> ResourceList:
        return container.actual_limits or asked(container)

    views = (asked, actual) if size.has_status else (asked,)
    total = reduce(resources.larger, [aggregate(size, view).total for view in views])
    total.update((name, amount) for name, amount in size.pod_limits.items() if resources.is_pod_level(name))
    for name, amount in size.overhead.items():
        if name in total and total[name].nanos:
            total[name] = total[name] + amount
    return total


class Aggregate(NamedTuple):
    """
    What the containers of a pod need together.

    `peaks` tells for which resources one init step needs more than what runs afterwards, and which: its position.
    """

    total: dict[str, Quantity]
    peaks: dict[str, int]


def aggregate(size: PodSize, view: Callable[[ContainerSize], ResourceList]) -> Aggregate:
    """
    Return what *view* of the containers adds up to, by the order in which they run.

    Init containers run one after another, each beside the sidecars started before it; app containers run beside all
    sidecars. The pod needs the peak.
    """
    total: dict[str, Quantity] = {}
    for container in size.containers:
        resources.add_to(total, view(container))
    sidecars: dict[str, Quantity] = {}
    peak: dict[str, Quantity] = {}
    reached: dict[str, int] = {}
    for position, container in enumerate(size.init_containers):
        if container.is_sidecar:
            resources.add_to(total, view(container))
            resources.add_to(sidecars, view(container))
            step = sidecars
        else:
            step = dict(view(container))
            resources.add_to(step, sidecars)
        for name, amount in step.items():
            if name not in peak or amount.nanos > peak[name].nanos:
                peak[name], reached[name] = amount, position
    peaks = {name: reached[name] for name in peak if name not in total or peak[name].nanos > total[name].nanos}
    return Aggregate(resources.larger(total, peak) if peak else total, peaks)


def size_of(pod: Pod) -> PodSize:
    """
    Read every number of *pod*.

    Raises: UncountableError with the field path, e.g. `spec.containers[1].resources.requests.cpu`, for what is no
    quantity or is negative.
    """
    return _size(text_of(pod))


def _size(text: PodText) -> PodSize:
    containers, init_containers = (
        tuple(_container_size(each, f"{path}[{position}]") for position, each in enumerate(listed))
        for path, listed in (("spec.containers", text.containers), ("spec.initContainers", text.init_containers))
    )
    requests, limits = _read_requirements(text.resources, "spec.resources")
    return PodSize(
        containers,
        init_containers,
        requests,
        limits,
        overhead=_read_list(text.overhead, "spec.overhead"),
        is_terminal=text.phase in TERMINAL_PHASES,
        is_infeasible=text.is_infeasible,
        has_status=any(
            container.allocated or container.actual_requests or container.actual_limits
            for container in (*containers, *init_containers)
        ),
    )


def _container_size(text: ContainerText, path: str) -> ContainerSize:
    requests, limits = _read_requirements(text.asked, f"{path}.resources")
    actual_requests, actual_limits = _read_requirements(text.actual, f"status of {path}: resources")
    allocated = _read_list(text.allocated, f"status of {path}: allocatedResources")
    return ContainerSize(requests, limits, text.is_sidecar, allocated, actual_requests, actual_limits)


def _read_requirements(raw: bytes, path: str) -> tuple[ResourceList, ResourceList]:
    read = _decoded(_REQUIREMENTS, raw, path)
    if read is None:
        return {}, {}
    return _quantities(read.requests, f"{path}.requests"), _quantities(read.limits, f"{path}.limits")


def _read_list(raw: bytes, path: str) -> ResourceList:
    return _quantities(_decoded(_LIST, raw, path), path)


def _decoded(decoder: msgspec.json.Decoder[_Read], raw: bytes, path: str) -> _Read | None:
    try:
        return decoder.decode(raw) if raw else None
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        given = raw.decode(errors="replace")
        raise UncountableError(path, QuantityError(given, "expected quantities by resource name")) from error


def _quantities(listed: dict[str, msgspec.Raw] | None, path: str) -> ResourceList:
    read = {}
    for name, token in (listed or {}).items():
        try:
            read[name] = _quantity(bytes(token).decode(errors="replace"))
        except QuantityError as error:
            raise UncountableError(f"{path}.{name}", error) from error
    return read


def _quantity(written: str) -> Quantity:
    """Read one JSON value as `Quantity.UnmarshalJSON` does: a string with spaces trimmed, a bare number, or null."""
    if written == "null":
        return quantity.ZERO
    if written[0] == '"':
        written = written[1:-1].strip()  # escapes stay as they are, and are refused
    elif written[0] not in "-0123456789":
        raise QuantityError(written, "expected a string or a number")
    read = quantity.parse(written)
    if read.nanos < 0:
        raise QuantityError(written, "it must not be negative")
    return read
