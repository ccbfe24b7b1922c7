"""
What the containers of a pod do not declare.

A written 0 declares nothing: to the kubelet a limit of 0 is none, and for the QoS class neither counts.
"""

from __future__ import annotations

from webhook.kinds import pod_cost
from webhook.kinds.pod_cost import ContainerSize, PodSize
from webhook.kinds.pod_shapes import Pod
from webhook.quota.missing import Undeclared
from webhook.quota.resources import COMPUTE, ResourceList, is_pod_level


def undeclared(pod: Pod) -> Undeclared:
    """
    Return which containers and init containers do not declare a request or a limit, sorted by name.

    Nothing of a resource that the pod declares for all of them in `spec.resources`. ResourceQuota asks nothing of a pod
    that declares any resource there (`podEvaluator.Constraints` of Kubernetes 1.37.2).
    Raises: UncountableError.
    """
    return undeclared_of(pod, pod_cost.size_of(pod))


def undeclared_of(pod: Pod, size: PodSize) -> Undeclared:
    """Return the same of *pod* if it had this *size*, of as many containers."""
    names = [each.name for each in (*(pod.spec.containers or ()), *(pod.spec.init_containers or ()))]
    containers = tuple(zip(names, (*size.containers, *size.init_containers), strict=True))
    found: dict[str, tuple[str, ...]] = {}
    for name in COMPUTE:
        if not _declares_request(size, name):
            found[f"requests.{name}"] = _lacking(name, [(each, of.requests) for each, of in containers])
        if not (is_pod_level(name) and _has(size.pod_limits, name)):
            found[f"limits.{name}"] = _lacking(name, [(each, of.limits) for each, of in containers])
    return {name: containers for name, containers in found.items() if containers}


def _lacking(name: str, declared: list[tuple[str, ResourceList]]) -> tuple[str, ...]:
    return tuple(sorted({container for container, listed in declared if not _has(listed, name)}))


def _declares_request(size: PodSize, name: str) -> bool:
    """
    Whether the pod requests *name* for containers that do not.

    Once a pod declares any resource, the API server fills in the others with what its containers request together. Such
    a request leaves nothing for a container that requests nothing, and is not told from a written one.
    """
    if not _has(size.pod_requests, name) or not is_pod_level(name):
        return False
    requested = pod_cost.aggregate(size, _requests).total.get(name)
    return requested is None or size.pod_requests[name].nanos > requested.nanos


def _requests(container: ContainerSize) -> ResourceList:
    return container.requests


def _has(listed: ResourceList, name: str) -> bool:
    return name in listed and listed[name].nanos > 0
