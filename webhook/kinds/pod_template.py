"""
What the pods of a template will cost once they are stored: the template itself is never filled in, its pods are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from msgspec import structs

from webhook.kinds import pod_cost, pod_defaults, pod_filling, pod_missing, pod_shared_gpu
from webhook.kinds.evaluator import NO_DEFAULTS, PodDefaults
from webhook.kinds.pod_cost import ContainerSize, PodSize
from webhook.kinds.pod_placement import scopes_of
from webhook.kinds.pod_shapes import Pod, PodStatus, PodText, text_of
from webhook.kinds.pods import PODS
from webhook.quota import resources
from webhook.quota.missing import Bounds, Undeclared
from webhook.quota.resources import OVERCOMMITTABLE, Amounts, ResourceList
from webhook.quota.scopes import Scopes


class FuturePod(NamedTuple):
    """What a pod will cost, and the scopes that it will be in."""

    amounts: Amounts
    scopes: Scopes


def future_pod(pod: Pod, defaults: PodDefaults = NO_DEFAULTS) -> FuturePod:
    """
    Return what *pod*, as a template has it, costs once it is stored, and the scopes that it is in.

    Filled in, in the order of a request: the API server's defaults, those of LimitRanges, the default PriorityClass,
    the overhead of its RuntimeClass, what is missing by the policy, and the API server's defaults once more. What other
    webhooks add is not known. Raises: UncountableError.
    """
    text, overhead = text_of(pod), _overhead(pod, defaults)
    is_plain = not (defaults.bounds or defaults.missing or overhead) and text.length <= pod_cost.LONGEST_REMEMBERED
    amounts, qos_class = _remembered(text) if is_plain else _cost(text, defaults, overhead)
    spec = pod.spec
    if not spec.priority_class_name and defaults.priority_class:
        spec = structs.replace(spec, priority_class_name=defaults.priority_class)
    stored = Pod(pod.metadata, spec, PodStatus(qos_class=qos_class))
    placed = scopes_of(stored, defaults.classes)
    scopes = PODS.evaluator.scopes(stored)
    return FuturePod(amounts, tuple(sorted((*scopes, *placed))) if placed else scopes)


def future_undeclared(pod: Pod, defaults: PodDefaults) -> Undeclared:
    """Return what *pod* will not declare once it is stored, as for `future_pod`. Raises: UncountableError."""
    return pod_missing.undeclared_of(pod, stored_size(declared_size(pod, defaults), defaults))


def _overhead(pod: Pod, defaults: PodDefaults) -> ResourceList:
    """
    Return what the RuntimeClass of *pod* adds. Nothing for one that does not exist: the API server refuses its pods.

    Source: the admission plugin RuntimeClass of Kubernetes 1.37.2.
    """
    return defaults.overheads.get(pod.spec.runtime_class_name or "", {})


def _cost(text: PodText, defaults: PodDefaults, overhead: ResourceList) -> tuple[Amounts, str]:
    """Return what a pod with this *text* costs, and its QoS class."""
    size = stored_size(_with_overhead(pod_cost.read_size(text), overhead), defaults)
    shared = pod_shared_gpu.amounts(text.shared_gpu) if text.shared_gpu is not None else ()
    amounts = tuple(sorted((*resources.amounts(pod_cost.charge(size)), *shared)))
    return amounts, qos_class(size)


@lru_cache(maxsize=4096)
def _remembered(text: PodText) -> tuple[Amounts, str]:
    """Return the `_cost` where nothing is filled in but by the API server; once for all templates with equal texts."""
    return _cost(text, NO_DEFAULTS, {})


def declared_size(pod: Pod, defaults: PodDefaults) -> PodSize:
    """Return the size of *pod* with the overhead of its RuntimeClass, and nothing else filled in."""
    return _with_overhead(pod_cost.size_of(pod), _overhead(pod, defaults))


def _with_overhead(size: PodSize, overhead: ResourceList) -> PodSize:
    """Return *size* with this *overhead*. What is written without one stays: the API server refuses it."""
    return replace(size, overhead=overhead) if overhead else size


def stored_size(size: PodSize, defaults: PodDefaults) -> PodSize:
    """Return a pod of this *size* with its overhead, and with all else that is filled in, as for `future_pod`."""
    size = _limit_ranged(pod_defaults.with_defaults(size), defaults.bounds)
    return pod_defaults.with_defaults(pod_filling.filled(size, defaults.missing, defaults.bounds))


def _limit_ranged(size: PodSize, bounds: Mapping[str, Bounds]) -> PodSize:
    """Return *size* with what LimitRanger fills in. Source: `mergePodResourceRequirements` of Kubernetes 1.37.2."""
    requests = {name: each.request for name, each in bounds.items() if each.request is not None}
    limits = {name: each.limit for name, each in bounds.items() if each.limit is not None}

    def complete(declared: ContainerSize) -> ContainerSize:
        return replace(declared, requests={**requests, **declared.requests}, limits={**limits, **declared.limits})

    return replace(
        size,
        containers=tuple(map(complete, size.containers)),
        init_containers=tuple(map(complete, size.init_containers)),
    )


def qos_class(size: PodSize) -> str:
    """Return the QoS class of a pod of this *size*, with `Burstable` for `Guaranteed`: no scope tells them apart."""
    return "BestEffort" if _is_best_effort(size) else "Burstable"


def _is_best_effort(size: PodSize) -> bool:
    lists = [size.pod_requests, size.pod_limits]
    lists += [listed for each in (*size.containers, *size.init_containers) for listed in (each.requests, each.limits)]
    return not any(amount.nanos for listed in lists for name, amount in listed.items() if name in OVERCOMMITTABLE)
