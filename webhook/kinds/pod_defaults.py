"""
What the API server fills into a pod before anything is charged, so that a manifest costs what the stored pod will cost.

Pods only; the API server does not fill in templates this way. What LimitRanges and other webhooks add is not here.
"""

from __future__ import annotations

from dataclasses import replace

from webhook.kinds import pod_cost
from webhook.kinds.pod_cost import ContainerSize, PodSize
from webhook.quota import resources
from webhook.quota.quantity import Quantity
from webhook.quota.resources import ResourceList


def with_defaults(size: PodSize) -> PodSize:
    """
    Return *size* as the API server would store it; a second call changes nothing.

    Source: `SetDefaults_Pod`, `SetDefaults_ResourceList` and `DefaultPodLevelResources` of Kubernetes 1.37.2.
    """
    size = replace(
        size,
        containers=tuple(_container(each) for each in size.containers),
        init_containers=tuple(_container(each) for each in size.init_containers),
        pod_requests=_rounded_up(size.pod_requests),
        pod_limits=_rounded_up(size.pod_limits),
        overhead=_rounded_up(size.overhead),
    )
    if not size.pod_requests and not size.pod_limits:
        return size
    size = replace(size, pod_limits=_with_hugepage_limits(size))
    size = replace(size, pod_requests=_with_pod_requests(size))
    return replace(size, pod_limits=_with_pod_limits(size))


def _container(size: ContainerSize) -> ContainerSize:
    """Return *size* with a request for each limit that has none."""
    return ContainerSize(
        requests=_rounded_up({**size.limits, **size.requests}),
        limits=_rounded_up(size.limits),
        is_sidecar=size.is_sidecar,
        allocated=_status_rounded_up(size.allocated),
        actual_requests=_status_rounded_up(size.actual_requests),
        actual_limits=_status_rounded_up(size.actual_limits),
    )


def _rounded_up(listed: ResourceList) -> ResourceList:
    return {name: amount.rounded_up() for name, amount in listed.items()}


def _status_rounded_up(listed: ResourceList | None) -> ResourceList | None:
    return None if listed is None else _rounded_up(listed)


def _limits(size: PodSize) -> dict[str, Quantity]:
    return pod_cost.aggregate(size, lambda container: container.limits).total


def _with_hugepage_limits(size: PodSize) -> ResourceList:
    given = {
        name: amount
        for name, amount in _limits(size).items()
        if name.startswith("hugepages-") and name not in size.pod_requests
    }
    return {**given, **size.pod_limits}


def _with_pod_requests(size: PodSize) -> ResourceList:
    asked = pod_cost.aggregate(size, lambda container: container.requests).total
    given = {name: amount for name, amount in asked.items() if name in resources.OVERCOMMITTABLE}
    capped = {name: amount for name, amount in size.pod_limits.items() if resources.is_pod_level(name)}
    return {**capped, **given, **size.pod_requests}


def _with_pod_limits(size: PodSize) -> ResourceList:
    """Return the pod limits: each follows from the containers' if all have it, and is never below the request."""
    everyone = (*size.containers, *size.init_containers)
    limits = _limits(size)
    missing = {
        name: amount
        for name, amount in size.pod_requests.items()
        if resources.is_pod_level(name) and name in limits and all(name in container.limits for container in everyone)
    }
    return {**resources.larger({name: limits[name] for name in missing}, missing), **size.pod_limits}
