"""
What a policy fills into the containers of a new pod: requests and limits that they do not declare.

The API server and LimitRanger have filled in theirs before: the request of a container that has a limit, and the
defaults of LimitRanges. What a policy wants filled in is in `missing`, whether the result fits is up to `decision`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from webhook.kinds import pod_cost
from webhook.kinds.pod_cost import REQUIREMENTS, ContainerSize, PodSize
from webhook.kinds.pod_shapes import Container, Pod
from webhook.kinds.resource_lists import decoded
from webhook.quota.missing import NO_BOUNDS, Bounds, Filled, Filling
from webhook.quota.quantity import NANOS, Quantity
from webhook.quota.resources import COMPUTE

_MILLI = NANOS // 1000


def filled(size: PodSize, defaults: Mapping[str, Quantity], bounds: Mapping[str, Bounds]) -> PodSize:
    """Return a pod of this *size* with what `fill` adds to its containers."""
    names = _names(size)

    def complete(declared: ContainerSize) -> ContainerSize:
        added = {name: _added_to(declared, name, defaults, bounds) for name in names}
        requests = {name: each.request for name, each in added.items() if each.request is not None}
        limits = {name: each.limit for name, each in added.items() if each.limit is not None}
        return replace(declared, requests={**declared.requests, **requests}, limits={**declared.limits, **limits})

    return replace(
        size,
        containers=tuple(map(complete, size.containers)),
        init_containers=tuple(map(complete, size.init_containers)),
    )


def fill(pod: Pod, defaults: Mapping[str, Quantity], bounds: Mapping[str, Bounds]) -> Filling:
    """
    Return what *defaults* add to the containers and init containers of *pod*, within the *bounds* of LimitRanges.

    Never a number that is written, not even a 0, and nothing of a resource that the pod has in `spec.resources`: its
    containers share that, and may not exceed it. Raises: UncountableError.
    """
    size = pod_cost.size_of(pod)
    names = _names(size)
    parts, left_out = [], []
    for path, container, declared in _containers(pod, size):
        amounts: dict[str, dict[str, Quantity]] = {}
        for name in names:
            added = _added_to(declared, name, defaults, bounds)
            if added.request is not None:
                amounts.setdefault("requests", {})[name] = added.request
            if added.limit is not None:
                amounts.setdefault("limits", {})[name] = added.limit
            elif f"limits.{name}" in defaults and name not in declared.limits:
                left_out.append(
                    f"container {container.name}: the default for limits.{name} is left out, because a LimitRange "
                    f"bounds the limit by the request, and that is 0"
                )
        if amounts:
            parts.append(Filled(path, amounts, _existing(container, path)))
    return Filling(tuple(parts), tuple(left_out))


@dataclass(frozen=True, slots=True)
class _Given:
    """The request and the limit of one resource; None: there is none."""

    request: Quantity | None
    limit: Quantity | None


def _names(size: PodSize) -> list[str]:
    """Return the resources that are filled in: those that the pod does not have for all its containers."""
    return [name for name in COMPUTE if name not in size.pod_requests and name not in size.pod_limits]


def _added_to(
    declared: ContainerSize, name: str, defaults: Mapping[str, Quantity], bounds: Mapping[str, Bounds]
) -> _Given:
    """Return the request and the limit of the resource *name* that are added to what a container has *declared*."""
    given = _Given(declared.requests.get(name), declared.limits.get(name))
    wanted = _Given(defaults.get(f"requests.{name}"), defaults.get(f"limits.{name}"))
    return _added(given, wanted, bounds.get(name, NO_BOUNDS), step=_MILLI if name == "cpu" else NANOS)


def _containers(pod: Pod, size: PodSize) -> Iterator[tuple[str, Container, ContainerSize]]:
    """Yield each container with the JSON pointer of its `resources` and its numbers."""
    for field, containers, sizes in (
        ("containers", pod.spec.containers, size.containers),
        ("initContainers", pod.spec.init_containers, size.init_containers),
    ):
        for position, (container, declared) in enumerate(zip(containers or (), sizes, strict=True)):
            yield f"/spec/{field}/{position}/resources", container, declared


def _added(given: _Given, wanted: _Given, bounds: Bounds, *, step: int) -> _Given:
    """
    Return the request and the limit that are added to what is *given*; amounts are multiples of *step* billionths.

    A request is at most the limit, and a limit at least the request, or the API server would refuse the pod.
    """
    limit = given.limit or _bounded(wanted.limit, bounds)
    if given.limit is None and limit is not None and given.request is not None:
        limit = _at_least(limit, given.request.nanos)
    request = given.request or _bounded(wanted.request, bounds)
    if given.request is None and request is not None and limit is not None:
        request = _at_most(request, limit.nanos)
    if limit is not None and request is not None and bounds.ratio is not None:
        if given.request is None:
            request = _at_least(request, _up(limit.nanos / bounds.ratio, step))
            request = _at_most(request, limit.nanos)
        elif given.limit is None:
            limit = _at_most(limit, max(_down(request.nanos * bounds.ratio, step), request.nanos))
            limit = limit if limit.nanos else None
    return _Given(
        request if given.request is None else None,
        limit if given.limit is None else None,
    )


def _bounded(wanted: Quantity | None, bounds: Bounds) -> Quantity | None:
    return None if wanted is None else Quantity(bounds.within(wanted.nanos), wanted.format)


def _at_least(amount: Quantity, nanos: int) -> Quantity:
    return Quantity(max(amount.nanos, nanos), amount.format)


def _at_most(amount: Quantity, nanos: int) -> Quantity:
    return Quantity(min(amount.nanos, nanos), amount.format)


def _up(nanos: Fraction, step: int) -> int:
    return -(-nanos // step) * step


def _down(nanos: Fraction, step: int) -> int:
    return nanos // step * step


def _existing(container: Container, path: str) -> frozenset[str]:
    read = decoded(REQUIREMENTS, bytes(container.resources), path)
    if read is None:
        return frozenset()
    lists = {"requests": read.requests, "limits": read.limits}
    return frozenset({"resources", *(name for name, listed in lists.items() if listed is not None)})
