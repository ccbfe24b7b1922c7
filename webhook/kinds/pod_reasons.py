"""
Why a pod costs what it costs: which containers and which rule, for people. The amounts themselves come from `pod`.
"""

from __future__ import annotations

from collections.abc import Sequence

from webhook.kinds.pod_cost import ContainerSize, PodSize
from webhook.kinds.pod_shapes import Container, Pod
from webhook.quota import resources
from webhook.quota.resources import ResourceList


def reasons(pod: Pod, size: PodSize, charged: ResourceList) -> dict[str, str]:
    """
    Give for each resource of *charged*, which *size* of *pod* costs, where its amount comes from.

    Where a resize is under way the status has a say as well, which is told in so many words.
    """
    return {name: _reason(pod, size, name) for name in charged}


def _reason(pod: Pod, size: PodSize, name: str) -> str:
    part, _, resource = name.partition(".")
    if part not in ("requests", "limits"):
        return "one pod" if name == "pods" else "one object"
    level = size.pod_requests if part == "requests" else size.pod_limits
    if resource in level and resources.is_pod_level(resource):
        told = f"pod-level {part}"
    else:
        told = _containers(pod, size, part, resource)
    if size.has_status:
        told += ", or what the node has allocated if that is more"
    return f"{told} + overhead" if resource in size.overhead else told


def _containers(pod: Pod, size: PodSize, part: str, resource: str) -> str:
    """The larger of what runs together and the largest init step, and which that is."""
    together = _asking(pod.spec.containers, size.containers, part, resource)
    running = sum(amount for _, amount in together)
    sidecars: list[tuple[str, int]] = []
    peak, told = 0, ""
    for name, amount, is_sidecar in _steps(pod.spec.init_containers, size.init_containers, part, resource):
        beside = sum(each for _, each in sidecars)
        if amount + beside > peak and not is_sidecar:
            peak, told = amount + beside, _joined(f"init container {name}", [each for each, _ in sidecars])
        if is_sidecar and amount:
            sidecars.append((name, amount))
    running += sum(amount for _, amount in sidecars)
    if peak > running:
        return told
    return _joined(" + ".join(name for name, _ in together), [name for name, _ in sidecars])


def _joined(told: str, sidecars: Sequence[str]) -> str:
    beside = "".join(f" + sidecar {name}" for name in sidecars)
    return (told + beside).removeprefix(" + ")


def _asking(
    written: Sequence[Container] | None, sizes: Sequence[ContainerSize], part: str, resource: str
) -> list[tuple[str, int]]:
    return [(name, amount) for name, amount, _ in _steps(written, sizes, part, resource) if amount]


def _steps(
    written: Sequence[Container] | None, sizes: Sequence[ContainerSize], part: str, resource: str
) -> list[tuple[str, int, bool]]:
    def asked(size: ContainerSize) -> ResourceList:
        return size.requests if part == "requests" else size.limits

    return [
        (container.name, asked(size)[resource].nanos if resource in asked(size) else 0, size.is_sidecar)
        for container, size in zip(written or (), sizes, strict=True)
    ]
