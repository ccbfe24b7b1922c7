"""
Build pods as JSON in few words, each with its expected charge.

The charge leaves out `pods` and `count/pods`, which every pod costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

Object: TypeAlias = dict[str, Any]
"""A part of a pod, as JSON, in any form that Kubernetes may accept."""


@dataclass(frozen=True, slots=True)
class Example:
    """A pod and its charge: `requests` and `limits`, by resource name without that prefix."""

    pod: Object
    requests: dict[str, str]
    limits: dict[str, str]

    @property
    def charged(self) -> dict[str, str]:
        """Return the charge under ResourceQuota's names."""
        halves = {"requests": self.requests, "limits": self.limits}
        return {f"{half}.{name}": text for half, listed in halves.items() for name, text in listed.items()}


def app(name: str = "app", more: Object | None = None, *, limits: Object | None = None, **requests: str) -> Object:
    """Return a container with these requests; *more* has those whose name is no Python identifier."""
    asked = requests | (more or {})
    return {"name": name, "image": "example.com/image", "resources": {"requests": asked, "limits": limits or {}}}


def sidecar(name: str = "sidecar", **asked: Any) -> Object:
    """Return an init container that goes on running."""
    return app(name, **asked) | {"restartPolicy": "Always"}


def pod(*containers: Object, inits: tuple[Object, ...] = (), status: Object | None = None, **spec: Any) -> Object:
    """Return a pod of these containers."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "example"},
        "spec": {"containers": list(containers), "initContainers": list(inits), **spec},
        **({"status": status} if status else {}),
    }


def resized(*, allocated: str | None = None, actual: str | None = None, why: str | None = None, **more: Any) -> Object:
    """Return the status of a pod whose container `app` is being resized, cpu only; *why* the resize is pending."""
    container: Object = {"name": more.pop("name", "app")}
    if allocated is not None:
        container["allocatedResources"] = {"cpu": allocated}
    if actual is not None:
        container["resources"] = {"requests": {"cpu": actual}, "limits": {"cpu": actual}}
    conditions = [{"type": "PodResizePending", "status": "True", "reason": why}] if why else []
    return {"phase": "Running", more.pop("where", "containerStatuses"): [container], "conditions": conditions, **more}
