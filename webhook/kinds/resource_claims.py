"""
ResourceClaims: the row, the fields that are decoded, and what a claim for devices costs.

What a pod pays for extended resources of its own is not here (`pod_cost`), nor what a device is worth as `gpu`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from webhook.kinds.counted import Counted
from webhook.kinds.evaluator import BaseEvaluator, CostLine, Kind, UncountableError
from webhook.quota import quantity, resources
from webhook.quota.device_choice import name_of_choice
from webhook.quota.objects import EXTENDED_CLAIM_ANNOTATION, LabelledMeta, ObjectMeta, Shape, UserInfo
from webhook.quota.quantity import NANOS, Quantity
from webhook.quota.resources import Amounts
from webhook.quota.subject import KUBE_SCHEDULER

_COUNT = "count/resourceclaims.resource.k8s.io"
_DEVICES = ".deviceclass.resource.k8s.io/devices"
_EXTENDED = "requests.deviceclass.resource.kubernetes.io/"

_ALL = 32
"""`AllocationResultsMaxSize` of Kubernetes 1.37.2: no claim can be given more devices."""

_LONGEST_REMEMBERED = 1024
"""Characters of the names in a claim whose cost is remembered, for each of 4096 claims."""

_CLASS = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", re.ASCII)


class DevicesShape(Shape, frozen=True, gc=False):
    """`ExactDeviceRequest` or `DeviceSubRequest`: devices of one class."""

    name: str | None = None
    device_class_name: str | None = None
    allocation_mode: str | None = None
    count: int | None = None


class DeviceRequest(Shape, frozen=True, gc=False):
    """A request for devices, in one of two forms. A form that is added to Kubernetes later is not decoded."""

    name: str | None = None
    exactly: DevicesShape | None = None
    first_available: tuple[DevicesShape, ...] | None = None


class DeviceClaim(Shape, frozen=True, gc=False):
    """The devices that a claim requests; it gets those of all requests."""

    requests: tuple[DeviceRequest, ...] | None = None


class ResourceClaimSpec(Shape, frozen=True, gc=False):
    """The fields of `ResourceClaimSpec` that cost something."""

    devices: DeviceClaim | None = None


class ResourceClaim(Shape, frozen=True, gc=False):
    """A ResourceClaim. Its status costs nothing: what is requested counts, whatever was allocated."""

    metadata: LabelledMeta = LabelledMeta()
    spec: ResourceClaimSpec | None = None

    @property
    def requests(self) -> tuple[DeviceRequest, ...]:
        """Return the requests; an absent or empty part of the spec has none."""
        devices = self.spec.devices if self.spec is not None else None
        return (devices.requests or ()) if devices is not None else ()


class ResourceClaimTemplateSpec(Shape, frozen=True, gc=False):
    """What a ResourceClaimTemplate makes claims of; what it writes into their metadata costs nothing."""

    spec: ResourceClaimSpec | None = None


class ResourceClaimTemplate(Shape, frozen=True, gc=False):
    """A ResourceClaimTemplate."""

    metadata: ObjectMeta = ObjectMeta()
    spec: ResourceClaimTemplateSpec = ResourceClaimTemplateSpec()

    @property
    def claim(self) -> ResourceClaim:
        """Return a claim that is made from it for a pod."""
        return ResourceClaim(spec=self.spec.spec)


class Devices(NamedTuple):
    """A number of devices that a request may be given, and where that stands, for people."""

    number: int
    source: str


Alternatives: TypeAlias = Mapping[str, Devices]
"""What a request may be given, by device class: of each class the most. With one class there is no choice."""


def is_scheduler_made(meta: ObjectMeta) -> bool:
    """
    Whether *meta* is that of a claim which the scheduler makes for the extended resources of a pod.

    Anybody can write this; `ResourceClaimEvaluator.forgery` finds who must not.
    Source: `createExtendedResourceClaimInAPI` and `getVerifiedPodUsage` of Kubernetes 1.37.2.
    """
    if meta.annotations is None or meta.annotations.extended_claim != "true":
        return False
    controller = meta.controller
    return controller is not None and controller.kind == "Pod" and controller.api_version == "v1"


def pod_of(meta: ObjectMeta) -> str | None:
    """Return the name of the pod for which a claim was made from a template; None for any other claim."""
    controller = meta.controller
    if controller is None or is_scheduler_made(meta):
        return None
    return controller.name if (controller.api_version, controller.kind) == ("v1", "Pod") else None


class ResourceClaimEvaluator(Counted[ResourceClaim]):
    """
    Charges claims as ResourceQuota does, and hidden amounts for each request, from which `gpu` is computed.

    Differences, each closed: an unknown allocation mode counts as `All`, not as nothing, and a request in an unknown
    form cannot be counted. A claim that the scheduler made costs the count and the devices of each class: its pod has
    paid for the extended resources.
    """

    def usage(self, obj: ResourceClaim, *, now: datetime | None) -> Amounts:  # noqa: ARG002 - it costs until it is gone
        """
        Return the count, the devices of each class under both of ResourceQuota's names, and the hidden amounts.

        Raises: UncountableError with the path of a field, e.g. `spec.devices.requests[0].exactly.count`.
        """
        requests, is_made = obj.requests, is_scheduler_made(obj.metadata)
        is_short = _length(requests) <= _LONGEST_REMEMBERED
        return _remembered(requests, is_made) if is_short else _amounts(requests, is_made)

    def counts(self, resource: str) -> bool:
        """Whether claims can cost *resource*: the count, devices of a class under either name, logical resources."""
        return (
            super().counts(resource)
            or resource.endswith(_DEVICES)
            or resource.startswith(_EXTENDED)
            or resource in resources.LOGICAL
        )

    def forgery(self, meta: ObjectMeta, old: ObjectMeta | None, user: UserInfo) -> str | None:
        """Return what is wrong if anybody but the scheduler marks a claim as made by it: such a claim costs less."""
        was_marked = old is not None and is_scheduler_made(old)
        if not is_scheduler_made(meta) or was_marked or user.username == KUBE_SCHEDULER:
            return None
        return f"the annotation {EXTENDED_CLAIM_ANNOTATION} of a pod's claim is for {KUBE_SCHEDULER} to write"

    def explain(self, obj: ResourceClaim) -> Mapping[str, CostLine]:
        """Return the count and the devices with the API server's defaults. Raises: UncountableError."""
        requests, is_made = _read(obj.requests), is_scheduler_made(obj.metadata)
        lines = {_COUNT: CostLine(quantity.ONE, "one object")}
        for device_class, number in _by_class(requests).items():
            source = " + ".join(each[device_class].source for each in requests if device_class in each)
            line = CostLine(Quantity(number * NANOS), source)
            lines.update(dict.fromkeys(_names(device_class, is_made=is_made), line))
        return lines


def _amounts(written: tuple[DeviceRequest, ...], is_made: bool) -> Amounts:  # noqa: FBT001 - a key of the cache
    """Return what a claim costs; *is_made*: by the scheduler, so that its pod has paid for some of it."""
    requests = _read(written)
    numbers = Counter({_COUNT: 1})
    for device_class, number in _by_class(requests).items():
        numbers.update(dict.fromkeys(_names(device_class, is_made=is_made), number))
    if not is_made:
        numbers.update(_hidden(requests))
    return tuple(sorted((name, number * NANOS) for name, number in numbers.items()))


_remembered = lru_cache(maxsize=4096)(_amounts)


def _length(requests: tuple[DeviceRequest, ...]) -> int:
    """Return the characters of all names, and one for each request and alternative."""
    length = 0
    for request in requests:
        length += 1 + len(request.name or "")
        for each in request.first_available or (request.exactly,):
            if each is not None:
                length += 1 + len(each.name or "") + len(each.device_class_name or "") + len(each.allocation_mode or "")
    return length


def _names(device_class: str, *, is_made: bool) -> tuple[str, ...]:
    """Return the names under which ResourceQuota charges devices of a class; the second one is the pod's to pay."""
    devices = f"{device_class}{_DEVICES}"
    return (devices,) if is_made else (devices, f"{_EXTENDED}{device_class}")


def _by_class(requests: Iterable[Alternatives]) -> Counter[str]:
    """Return the devices of each class, summed over the requests."""
    total: Counter[str] = Counter()
    for alternatives in requests:
        total.update({device_class: devices.number for device_class, devices in alternatives.items()})
    return total


def _hidden(requests: Iterable[Alternatives]) -> Counter[str]:
    """
    Return how often the claim requests each choice of devices, by the name of the choice.

    Where there is no choice each device counts by itself, so that one request for two is the same as two for one.
    """
    total: Counter[str] = Counter()
    for alternatives in requests:
        if len(alternatives) == 1:
            ((device_class, devices),) = alternatives.items()
            total[name_of_choice([(device_class, 1)])] += devices.number
        else:
            choice = [(device_class, devices.number) for device_class, devices in alternatives.items()]
            total[name_of_choice(choice)] += 1
    return total


def _read(requests: tuple[DeviceRequest, ...]) -> list[Alternatives]:
    """Return what each request may be given, as the API server stores it."""
    return [_alternatives(request, f"spec.devices.requests[{position}]") for position, request in enumerate(requests)]


def _alternatives(request: DeviceRequest, path: str) -> Alternatives:
    """
    Return what *request* may be given; of equal alternatives the first one is named.

    Where both forms are given the alternatives count, as in ResourceQuota; the API server refuses such a request.
    """
    name = request.name or ""
    if request.first_available:
        listed = [
            (each, f"{path}.firstAvailable[{position}]", f"{name}/{each.name or ''}")
            for position, each in enumerate(request.first_available)
        ]
    elif request.exactly is not None:
        listed = [(request.exactly, f"{path}.exactly", name)]
    else:
        raise UncountableError(path, ValueError("it has neither exactly nor firstAvailable"))
    most: dict[str, Devices] = {}
    for asked, place, shown in listed:
        device_class, devices = _devices(asked, place, shown)
        if device_class not in most or devices.number > most[device_class].number:
            most[device_class] = devices
    return most


def _devices(asked: DevicesShape, path: str, name: str) -> tuple[str, Devices]:
    """
    Return the class and the devices that are *asked* for, with the API server's defaults.

    Source: `SetDefaults_ExactDeviceRequest` and `SetDefaults_DeviceSubRequest` of Kubernetes 1.37.2.
    """
    device_class, mode, count = asked.device_class_name or "", asked.allocation_mode or "ExactCount", asked.count or 0
    if not _CLASS.fullmatch(device_class):
        raise UncountableError(f"{path}.deviceClassName", ValueError(f"{device_class!r} is no name of a device class"))
    if count < 0:
        raise UncountableError(f"{path}.count", ValueError("it must not be negative"))
    if mode == "ExactCount":
        return device_class, Devices(count or 1, f"request {name}: {count or 1} of class {device_class}")
    devices = "all devices" if mode == "All" else f"unknown mode {mode!r}"
    return device_class, Devices(_ALL, f"request {name}: {devices}, counted as {_ALL}")


RESOURCE_CLAIMS = Kind(
    "resourceclaims.resource.k8s.io",
    "resource.k8s.io/v1",
    "ResourceClaim",
    ResourceClaim,
    ResourceClaimEvaluator(_COUNT),
    cap="perClaim",
)

RESOURCE_CLAIM_TEMPLATES = Kind(
    "resourceclaimtemplates.resource.k8s.io",
    "resource.k8s.io/v1",
    "ResourceClaimTemplate",
    ResourceClaimTemplate,
    BaseEvaluator[ResourceClaimTemplate](),
)
"""Where templates are read. It is no row of the registry: a template costs nothing, and no owner is taken from it."""
