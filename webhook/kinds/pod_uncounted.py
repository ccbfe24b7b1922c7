"""
What a pod asks for and costs nothing, because neither ResourceQuota nor we count it.

The API server stores, of names without a domain, only those that `pod_cost` counts. With a domain it stores extended
resources, which are counted, and any name that has `kubernetes.io/` in it, such as `kubernetes.io/batch-cpu`: of these
ResourceQuota counts the ones of device classes alone.
Source: `ValidateContainerResourceName` and `podComputeUsageHelper` of Kubernetes 1.37.2.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from webhook.kinds.evaluator import UncountableError
from webhook.kinds.pod_cost import REQUIREMENTS
from webhook.kinds.pod_shapes import Pod, is_terminal
from webhook.kinds.resource_lists import decoded, read_list, read_quantities
from webhook.quota import resources
from webhook.quota.resources import ResourceList

_LONGEST_REMEMBERED = 1024
"""Bytes, for each of 4096 texts: see `pod_cost`."""

_NOTHING: frozenset[str] = frozenset()


def uncounted(pod: Pod) -> frozenset[str]:
    """
    Return the resources that *pod* asks for, by a request, a limit or its overhead, and that no row counts.

    A request of 0 asks for nothing, and so does a pod that has ended. What cannot be read is left out: `size_of` raises
    for it. It is called for every event of a watch, so that a text is decoded once: 1 µs for a pod of two containers.
    """
    if is_terminal(pod):
        return _NOTHING
    spec, found = pod.spec, _NOTHING
    for containers in (spec.containers, spec.init_containers):
        for container in containers or ():
            if names := _in_requirements(container.resources):
                found |= names
    if names := _in_requirements(spec.resources):
        found |= names
    if overhead := bytes(spec.overhead):
        found |= _of_overhead(overhead)
    return found


def _in_requirements(raw: msgspec.Raw) -> frozenset[str]:
    text = bytes(raw)
    return _remembered(text) if len(text) <= _LONGEST_REMEMBERED else _of_requirements(text)


def _of_requirements(text: bytes) -> frozenset[str]:
    try:
        read = decoded(REQUIREMENTS, text, "resources")
        if read is None:
            return _NOTHING
        listed = (read_quantities(read.requests, "requests"), read_quantities(read.limits, "limits"))
    except UncountableError:
        return _NOTHING
    return _names(listed[0]) | _names(listed[1])


_remembered = lru_cache(maxsize=4096)(_of_requirements)


@lru_cache(maxsize=256)  # of whatever length: an admin writes it, in a RuntimeClass
def _of_overhead(text: bytes) -> frozenset[str]:
    try:
        return _names(read_list(text, "overhead"))
    except UncountableError:
        return _NOTHING


def _names(listed: ResourceList | None) -> frozenset[str]:
    return frozenset(name for name, amount in (listed or {}).items() if amount.nanos and not resources.is_charged(name))
