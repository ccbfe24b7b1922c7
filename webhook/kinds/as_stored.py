"""
What the API server writes into an object before userquota decides on it, where that changes what it costs.

For objects of files: those of a review carry all of it. Of admission plugins those that fill in pods are here, as far
as LimitRanges and classes are known; default StorageClasses are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from webhook.kinds.evaluator import NO_DEFAULTS, AnyKind, PodDefaults
from webhook.kinds.pod_cost import ContainerSize
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.pod_template import declared_size, qos_class, stored_size
from webhook.kinds.pods import PODS
from webhook.quota.resources import ResourceList

Json = dict[str, Any]

_REPLICATED = frozenset({"deployments.apps", "replicasets.apps", "statefulsets.apps", "replicationcontrollers"})
_ROLLING_UPDATE = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}


def as_stored(kind: AnyKind, document: Json, defaults: PodDefaults = NO_DEFAULTS) -> Json:
    """
    Return the object of *kind* as the API server stores it; what is filled in already stays. A pod gets the *defaults*
    as well.

    Source: `SetDefaults_Pod`, `SetDefaults_Deployment`, `SetDefaults_Job` and so on of Kubernetes 1.37.2.
    Raises: UncountableError, msgspec.MsgspecError for what the API server would refuse.
    """
    if kind.resource == PODS.resource:
        return _stored_pod(document, defaults)
    spec = document.get("spec")
    if not isinstance(spec, dict):
        return document
    given: Json = {}
    if kind.resource in _REPLICATED:
        given = {"replicas": 1}
    elif kind.resource == "jobs.batch":
        is_open = spec.get("completions") is None and spec.get("parallelism") is None
        given = {"parallelism": 1, **({"completions": 1} if is_open else {})}
    if kind.resource == "deployments.apps":
        given["strategy"] = _ROLLING_UPDATE
    filled = {name: value for name, value in given.items() if spec.get(name) is None}
    return {**document, "spec": {**spec, **filled}}


def _stored_pod(document: Json, defaults: PodDefaults) -> Json:
    """
    Return a pod with the requests that follow from limits, those of the whole pod, and its QoS class.

    What a status reports stays as it is written.
    """
    pod = msgspec.json.decode(msgspec.json.encode(document), type=Pod)
    size = stored_size(declared_size(pod, defaults), defaults)
    spec = dict(document.get("spec") or {})
    if defaults.priority_class and not pod.spec.priority_class_name:
        spec["priorityClassName"] = defaults.priority_class
    for field, sizes in (("containers", size.containers), ("initContainers", size.init_containers)):
        if spec.get(field):
            spec[field] = list(_filled(spec[field], sizes))
    if size.overhead:
        spec["overhead"] = _texts(size.overhead)
    if size.pod_requests or size.pod_limits:
        spec["resources"] = _written(spec.get("resources"), size.pod_requests, size.pod_limits)
    status = {"qosClass": qos_class(size), **(document.get("status") or {})}
    return {**document, "spec": spec, "status": status}


def _filled(containers: list[Json], sizes: tuple[ContainerSize, ...]) -> Iterator[Json]:
    for container, size in zip(containers, sizes, strict=True):
        if size.requests or size.limits:
            resources = _written(container.get("resources"), size.requests, size.limits)
            yield {**container, "resources": resources}
        else:
            yield container


def _written(resources: Mapping[str, Any] | None, requests: ResourceList, limits: ResourceList) -> Json:
    """Return *resources* with these lists; claims beside them stay."""
    lists = {"requests": requests, "limits": limits}
    return {**(resources or {}), **{name: _texts(listed) for name, listed in lists.items() if listed}}


def _texts(listed: ResourceList) -> dict[str, str]:
    return {name: str(amount) for name, amount in listed.items()}
