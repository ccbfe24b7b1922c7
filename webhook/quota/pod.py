"""
What a pod costs, exactly as Kubernetes' ResourceQuota counts it.

The walk follows `PodRequests` and `PodLimits` of k8s.io/component-helpers v0.37.2 and the pod evaluator of
Kubernetes 1.37.2. What the API server fills into a manifest first lies in `pod_defaults`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from webhook.quota import quantity, resources
from webhook.quota.podspec import Container, ContainerStatus, Pod, PodStatus
from webhook.quota.quantity import Quantity, QuantityError
from webhook.quota.resources import ResourceList

TERMINAL_PHASES = frozenset({"Succeeded", "Failed"})
"""A pod in such a phase runs nothing and never will again: it keeps its place in storage and nothing else."""

_COMPUTE = ("cpu", "memory", "ephemeral-storage")
OVERCOMMITTABLE = frozenset({"cpu", "memory"})
"""What a pod may ask for as a whole, hugepages aside, and may use more of than it asked for."""
_EXTENDED_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
_DEVICE_CLASS = "deviceclass.resource.kubernetes.io/"


class PodError(QuantityError):
    """A quantity of a pod that cannot be counted. `path` is the field, e.g. `spec.overhead.cpu`."""

    def __init__(self, path: str, cause: QuantityError) -> None:
        """Keep the field beside what is wrong with it."""
        self.path = path
        super().__init__(cause.text, cause.why)
        self.args = (f"{path}: {cause}",)


@dataclass(frozen=True, slots=True)
class ContainerSize:
    """
    What one container asks for, has been given and uses.

    `allocated`, `actual_requests` and `actual_limits` come from the status; None where it says nothing.
    """

    requests: ResourceList
    limits: ResourceList
    is_sidecar: bool = False
    allocated: ResourceList | None = None
    actual_requests: ResourceList | None = None
    actual_limits: ResourceList | None = None


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
        if name in _COMPUTE or name.startswith("hugepages-") or is_extended(name):
            charged[f"requests.{name}"] = amount
    for name in _COMPUTE:
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
    asked = [] if size.is_infeasible else [aggregate(size, lambda container: container.requests)]
    if size.has_status:
        asked.append(aggregate(size, _actual_requests(size)))
        asked.append(aggregate(size, _allocated_requests(size)))
    total = _largest(asked)
    if any(is_pod_level(name) for name in size.pod_requests):
        total.update((name, amount) for name, amount in size.pod_requests.items() if is_pod_level(name))
    return resources.add(total, size.overhead)


def pod_limits(size: PodSize) -> dict[str, Quantity]:
    """Give the most a pod may use, by the walk of `pod_requests`; overhead only comes on top of a limit that exists."""
    asked = [] if size.is_infeasible else [aggregate(size, lambda container: container.limits)]
    if size.has_status:
        asked.append(aggregate(size, _actual_limits(size)))
    total = _largest(asked)
    total.update((name, amount) for name, amount in size.pod_limits.items() if is_pod_level(name))
    for name, amount in size.overhead.items():
        if name in total and total[name].nanos:
            total[name] = total[name] + amount
    return total


def aggregate(size: PodSize, view: Callable[[ContainerSize], ResourceList]) -> dict[str, Quantity]:
    """
    Give what *view* of the containers adds up to, by the order in which they run.

    Init containers run one after another, each beside the sidecars started before it; app containers run beside all
    sidecars. The pod needs the peak.
    """
    total: dict[str, Quantity] = {}
    for container in size.containers:
        total = resources.add(total, view(container))
    sidecars: dict[str, Quantity] = {}
    peak: dict[str, Quantity] = {}
    for container in size.init_containers:
        if container.is_sidecar:
            total = resources.add(total, view(container))
            sidecars = resources.add(sidecars, view(container))
            peak = resources.larger(peak, sidecars)
        else:
            peak = resources.larger(peak, resources.add(view(container), sidecars))
    return resources.larger(total, peak)


def is_pod_level(name: str) -> bool:
    """Say whether a pod-level amount of resource *name* replaces the containers' sum."""
    return name in OVERCOMMITTABLE or name.startswith("hugepages-")


def is_extended(name: str) -> bool:
    """
    Say whether *name* is an extended resource, or one that stands for a device class.

    Source: `IsExtendedResourceName` and `IsDRAExtendedResourceName` of Kubernetes 1.37.2.
    """
    if name.startswith(_DEVICE_CLASS):
        return True
    domain, slash, last = name.partition("/")
    if not slash or "kubernetes.io/" in name or name.startswith("requests."):
        return False
    return len(domain) <= 244 and _EXTENDED_NAME.fullmatch(last) is not None


def size_of(pod: Pod) -> PodSize:
    """
    Read every number of *pod*.

    Raises: PodError with the field path, e.g. `spec.containers[1].resources.requests.cpu`, for what is no quantity
    or is negative.
    """
    spec, status = pod.spec, pod.status or PodStatus()
    by_name = {
        each.name: each for each in (*(status.init_container_statuses or ()), *(status.container_statuses or ()))
    }
    containers = _containers(spec.containers, "spec.containers", by_name)
    init_containers = _containers(spec.init_containers, "spec.initContainers", by_name)
    level = spec.resources
    return PodSize(
        containers=containers,
        init_containers=init_containers,
        pod_requests=_read(level.requests if level else None, "spec.resources.requests"),
        pod_limits=_read(level.limits if level else None, "spec.resources.limits"),
        overhead=_read(spec.overhead, "spec.overhead"),
        is_terminal=status.phase in TERMINAL_PHASES,
        is_infeasible=_is_infeasible(status),
        has_status=any(
            container.allocated is not None
            or container.actual_requests is not None
            or container.actual_limits is not None
            for container in (*containers, *init_containers)
        ),
    )


def _is_infeasible(status: PodStatus) -> bool:
    """The first such condition decides, as in `IsPodResizeInfeasible`."""
    for condition in status.conditions or ():
        if condition.type == "PodResizePending":
            return condition.reason == "Infeasible"
    return False


def _containers(
    listed: list[Container] | None, path: str, statuses: Mapping[str, ContainerStatus]
) -> tuple[ContainerSize, ...]:
    return tuple(
        _container(container, f"{path}[{position}].resources", statuses.get(container.name))
        for position, container in enumerate(listed or ())
    )


def _container(container: Container, path: str, status: ContainerStatus | None) -> ContainerSize:
    asked = container.resources
    is_sidecar = container.restart_policy == "Always"
    requests = _read(asked.requests if asked else None, f"{path}.requests")
    limits = _read(asked.limits if asked else None, f"{path}.limits")
    if status is None or (status.allocated_resources is None and status.resources is None):
        return ContainerSize(requests, limits, is_sidecar)
    where = f"status of {container.name!r}"
    actual = status.resources
    return ContainerSize(
        requests,
        limits,
        is_sidecar,
        allocated=_read_if_given(status.allocated_resources, f"{where}: allocatedResources"),
        actual_requests=_read_if_given(actual.requests if actual else None, f"{where}: resources.requests"),
        actual_limits=_read_if_given(actual.limits if actual else None, f"{where}: resources.limits"),
    )


def _allocated_requests(size: PodSize) -> Callable[[ContainerSize], ResourceList]:
    def view(container: ContainerSize) -> ResourceList:
        if container.allocated is not None:
            return container.allocated
        return {} if size.is_infeasible else container.requests

    return view


def _actual_requests(size: PodSize) -> Callable[[ContainerSize], ResourceList]:
    allocated = _allocated_requests(size)

    def view(container: ContainerSize) -> ResourceList:
        return container.actual_requests if container.actual_requests is not None else allocated(container)

    return view


def _actual_limits(size: PodSize) -> Callable[[ContainerSize], ResourceList]:
    def view(container: ContainerSize) -> ResourceList:
        if container.actual_limits is not None:
            return container.actual_limits
        return {} if size.is_infeasible else container.limits

    return view


def _largest(several: Iterable[dict[str, Quantity]]) -> dict[str, Quantity]:
    most: dict[str, Quantity] = {}
    for each in several:
        most = resources.larger(most, each) if most else each
    return most


def _read_if_given(raw: dict[str, msgspec.Raw] | None, path: str) -> ResourceList | None:
    return None if raw is None else _read(raw, path)


def _read(raw: dict[str, msgspec.Raw] | None, path: str) -> ResourceList:
    if not raw:
        return {}
    read = {}
    for name, token in raw.items():
        try:
            read[name] = _quantity(bytes(token))
        except QuantityError as error:
            raise PodError(f"{path}.{name}", error) from error
    return read


@lru_cache(maxsize=8192)
def _quantity(token: bytes) -> Quantity:
    """Read one JSON token as `Quantity.UnmarshalJSON` does: a string with spaces trimmed, a bare number, or null."""
    if token == b"null":
        return quantity.ZERO
    if token.startswith(b'"'):
        text = msgspec.json.decode(token, type=str).strip()
    elif token[:1] in b"-0123456789":
        text = token.decode("ascii", "replace")
    else:
        raise QuantityError(token.decode("utf-8", "replace"), "expected a string or a number")
    read = quantity.parse(text)
    if read.nanos < 0:
        raise QuantityError(text, "it must not be negative")
    return read
