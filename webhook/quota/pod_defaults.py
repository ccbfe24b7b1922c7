"""
What the API server fills into a pod before anything is charged: a manifest costs what the stored pod will cost.

Pods only; templates are not defaulted this way. What LimitRanges and other webhooks add is not known here.
"""

from __future__ import annotations

from dataclasses import replace

from webhook.quota import pod, resources
from webhook.quota.pod import ContainerSize, PodSize
from webhook.quota.quantity import Quantity
from webhook.quota.resources import ResourceList


def with_defaults(size: PodSize) -> PodSize:
    """
    Give *size* as the API server would store it; doing so twice changes nothing.

    Source: `SetDefaults_Pod` and `DefaultPodLevelResources` of Kubernetes 1.37.2.
    """
    size = replace(
        size,
        containers=tuple(_limits_are_requests(each) for each in size.containers),
        init_containers=tuple(_limits_are_requests(each) for each in size.init_containers),
    )
    if not size.pod_requests and not size.pod_limits:
        return size
    size = replace(size, pod_limits=_with_hugepage_limits(size))
    size = replace(size, pod_requests=_with_pod_requests(size))
    return replace(size, pod_limits=_with_pod_limits(size))


def _limits_are_requests(container: ContainerSize) -> ContainerSize:
    return replace(container, requests={**container.limits, **container.requests})


def _limits(size: PodSize) -> dict[str, Quantity]:
    return pod.aggregate(size, lambda container: container.limits)


def _with_hugepage_limits(size: PodSize) -> ResourceList:
    given = {
        name: amount
        for name, amount in _limits(size).items()
        if name.startswith("hugepages-") and name not in size.pod_requests
    }
    return {**given, **size.pod_limits}


def _with_pod_requests(size: PodSize) -> ResourceList:
    asked = pod.aggregate(size, lambda container: container.requests)
    given = {name: amount for name, amount in asked.items() if name in pod.OVERCOMMITTABLE}
    capped = {name: amount for name, amount in size.pod_limits.items() if pod.is_pod_level(name)}
    return {**capped, **given, **size.pod_requests}


def _with_pod_limits(size: PodSize) -> ResourceList:
    """A pod limit follows from the containers' where every one of them has a limit; it is never below the request."""
    everyone = (*size.containers, *size.init_containers)
    limits = _limits(size)
    missing = {
        name: amount
        for name, amount in size.pod_requests.items()
        if pod.is_pod_level(name)
        and name not in size.pod_limits
        and name in limits
        and all(name in container.limits for container in everyone)
    }
    return {**resources.larger({name: limits[name] for name in missing}, missing), **size.pod_limits}
