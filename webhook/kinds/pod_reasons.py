"""
Why a pod costs what it costs: which containers and which rule, for people. `pod_cost` has the amounts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from webhook.kinds import pod_cost
from webhook.kinds.pod_cost import ContainerSize, PodSize
from webhook.kinds.pod_shapes import Container, Pod
from webhook.quota import resources
from webhook.quota.resources import ResourceList


def reasons(pod: Pod, size: PodSize, charged: Iterable[str]) -> dict[str, str]:
    """
    Return where the amount of each resource of *charged* comes from; *size* is the size of *pod*.

    While a resize is under way the amount depends on the status too, and the text says so.
    """
    return {name: _reason(pod, size, name) for name in charged}


def _reason(pod: Pod, size: PodSize, name: str) -> str:
    part, _, resource = name.partition(".")
    if part not in ("requests", "limits"):
        return "one pod" if name == "pods" else "one object"
    level = size.pod_requests if part == "requests" else size.pod_limits
    if resource in level and resources.is_pod_level(resource):
        reason = f"pod-level {part}"
    else:
        reason = _containers(pod, size, part, resource)
    if size.has_status:
        reason += ", or what the node has allocated if that is more"
    return f"{reason} + overhead" if resource in size.overhead else reason


def _containers(pod: Pod, size: PodSize, part: str, resource: str) -> str:
    """Return the names of the containers that run together, or of the init step that needs more than they do."""

    def asked(container: ContainerSize) -> ResourceList:
        return container.requests if part == "requests" else container.limits

    def asking(written: Sequence[Container] | None, sizes: Sequence[ContainerSize]) -> list[tuple[str, bool]]:
        """Return each container that requests the resource: its name, and whether it is a sidecar."""
        pairs = zip(written or (), sizes, strict=True)
        return [(each.name, of.is_sidecar) for each, of in pairs if resource in asked(of) and asked(of)[resource].nanos]

    peak = pod_cost.aggregate(size, asked).peaks.get(resource)
    if peak is not None:
        first = asking((pod.spec.init_containers or ())[:peak], size.init_containers[:peak])
        main = f"init container {(pod.spec.init_containers or ())[peak].name}"
    else:
        first = asking(pod.spec.init_containers, size.init_containers)
        main = " + ".join(name for name, _ in asking(pod.spec.containers, size.containers))
    beside = "".join(f" + sidecar {name}" for name, is_sidecar in first if is_sidecar)
    return (main + beside).removeprefix(" + ")
