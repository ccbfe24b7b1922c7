"""
What a pod costs, exactly as Kubernetes' ResourceQuota counts it, and the parts of GPUs that it cannot count.

The walk follows `PodRequests` and `PodLimits` of k8s.io/component-helpers v0.37.2 and the pod evaluator of
Kubernetes 1.37.2. `pod_defaults` has what the API server fills into a manifest first; `pods` has the time at which
a pod that is being deleted is released.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import NamedTuple

import msgspec

from webhook.kinds import pod_shared_gpu
from webhook.kinds.pod_shapes import ContainerText, Pod, PodText, Resources, text_of
from webhook.kinds.resource_lists import decoded, read_list, read_quantities
from webhook.quota import quantity, resources
from webhook.quota.quantity import Quantity
from webhook.quota.resources import Amounts, ResourceList

LONGEST_REMEMBERED = 4096
"""Bytes. Longer texts are not cached: anybody may send them, and the cache would grow by their length."""

REQUIREMENTS = msgspec.json.Decoder(Resources | None)


@dataclass(frozen=True, slots=True)
class ContainerSize:
    """
    The requests and limits of one container, and what its status says.

    `allocated`, `actual_requests` and `actual_limits` come from the status. None: the status does not have the list,
    and something else counts in its place. An empty list counts, as nothing.
    """

    requests: ResourceList
    limits: ResourceList
    is_sidecar: bool = False
    allocated: ResourceList | None = None
    actual_requests: ResourceList | None = None
    actual_limits: ResourceList | None = None

    @property
    def has_status(self) -> bool:
        """Whether the status has any of the lists."""
        return self.allocated is not None or self.actual_requests is not None or self.actual_limits is not None


@dataclass(frozen=True, slots=True)
class PodSize:
    """
    All numbers of a pod, read and checked once. `pod_requests` and `pod_limits` are the pod-level ones.

    `is_terminal` also marks a pod that is released because its deletion grace period is over. The pod-level lists of
    the status are not here: ResourceQuota does not read them (1.37.2).
    """

    containers: tuple[ContainerSize, ...]
    init_containers: tuple[ContainerSize, ...]
    pod_requests: ResourceList
    pod_limits: ResourceList
    overhead: ResourceList
    is_terminal: bool = False
    is_infeasible: bool = False
    has_status: bool = False


def amounts_of(pod: Pod, *, is_released: bool = False) -> Amounts:
    """
    Return the amounts of the `charge` of *pod*, and of the parts of GPUs that it asks for by annotations.

    Computed once for all pods with equal texts. A pod that *is_released* costs what a terminal one costs: no GPU.
    Raises: UncountableError, as `size_of`.
    """
    text = text_of(pod, is_released=is_released)
    return _remembered(text) if text.length <= LONGEST_REMEMBERED else _amounts_of(text)


def _amounts_of(text: PodText) -> Amounts:
    charged = resources.amounts(charge(read_size(text)))
    if text.shared_gpu is None or text.is_terminal:
        return charged
    return tuple(sorted((*charged, *pod_shared_gpu.amounts(text.shared_gpu))))


_remembered = lru_cache(maxsize=4096)(_amounts_of)
"""The pods of one workload have equal texts, and a cluster has far fewer workloads than pods."""


def charge(size: PodSize) -> dict[str, Quantity]:
    """
    Return what a pod of this *size* costs, under ResourceQuota's names.

    A terminal or released pod costs its `count/pods` only.
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
    Return what the scheduler sets aside for a pod, per resource.

    The larger of (sum of running containers) and (largest init step); a pod-level request replaces that for cpu,
    memory and hugepages; the overhead comes on top. A resource that no container requests is absent, not zero.
    While a resize is under way the largest of three sums counts: requested, allocated and actual; where the status of
    a container lacks a list, the sum takes the allocated amounts, then the requested ones. Requested amounts of an
    infeasible resize are not counted.
    Source: `containerAllocatedRequests` and `containerActuatedRequests` of component-helpers.
    """

    def asked(container: ContainerSize) -> ResourceList:
        return {} if size.is_infeasible else container.requests

    def allocated(container: ContainerSize) -> ResourceList:
        return asked(container) if container.allocated is None else container.allocated

    def actual(container: ContainerSize) -> ResourceList:
        return allocated(container) if container.actual_requests is None else container.actual_requests

    views = (asked, actual, allocated) if size.has_status else (asked,)
    total = reduce(resources.larger, [aggregate(size, view).total for view in views])
    total.update((name, amount) for name, amount in size.pod_requests.items() if resources.is_pod_level(name))
    resources.add_to(total, size.overhead)
    return total


def pod_limits(size: PodSize) -> dict[str, Quantity]:
    """
    Return the most a pod may use, by the walk of `pod_requests`; the overhead is added only to limits above zero.

    Where the status of a container lacks its limits, the limits of the spec count in their place.
    """

    def asked(container: ContainerSize) -> ResourceList:
        return {} if size.is_infeasible else container.limits

    def actual(container: ContainerSize) -> ResourceList:
        return asked(container) if container.actual_limits is None else container.actual_limits

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

    `peaks` has the position of the init step that needs most, for each resource of which it needs more than the
    containers that run afterwards.
    """

    total: dict[str, Quantity]
    peaks: dict[str, int]


def aggregate(size: PodSize, view: Callable[[ContainerSize], ResourceList]) -> Aggregate:
    """
    Return the sum of *view* over the containers, in the order in which they run.

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


def size_of(pod: Pod, *, is_released: bool = False) -> PodSize:
    """
    Return every number of *pod*.

    Raises: UncountableError with the field path, e.g. `spec.containers[1].resources.requests.cpu`, for a value that is
    no quantity or is negative.
    """
    return read_size(text_of(pod, is_released=is_released))


def read_size(text: PodText) -> PodSize:
    """Return every number in the *text* of a pod. See `size_of`."""
    containers, init_containers = (
        tuple(_container_size(each, f"{path}[{position}]") for position, each in enumerate(listed))
        for path, listed in (("spec.containers", text.containers), ("spec.initContainers", text.init_containers))
    )
    requests, limits = _read_requirements(text.resources, "spec.resources")
    return PodSize(
        containers,
        init_containers,
        requests or {},
        limits or {},
        overhead=read_list(text.overhead, "spec.overhead") or {},
        is_terminal=text.is_terminal,
        is_infeasible=text.is_infeasible,
        has_status=any(container.has_status for container in (*containers, *init_containers)),
    )


def _container_size(text: ContainerText, path: str) -> ContainerSize:
    requests, limits = _read_requirements(text.asked, f"{path}.resources")
    actual_requests, actual_limits = _read_requirements(text.actual, f"status of {path}: resources")
    allocated = read_list(text.allocated, f"status of {path}: allocatedResources")
    return ContainerSize(requests or {}, limits or {}, text.is_sidecar, allocated, actual_requests, actual_limits)


def _read_requirements(raw: bytes, path: str) -> tuple[ResourceList | None, ResourceList | None]:
    read = decoded(REQUIREMENTS, raw, path)
    if read is None:
        return None, None
    return read_quantities(read.requests, f"{path}.requests"), read_quantities(read.limits, f"{path}.limits")
