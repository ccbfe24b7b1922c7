"""
Fields of pods that are surely misspelt: the API server leaves them out, or refuses them, and they would cost nothing.

Only names are told that are one of Kubernetes' with a letter or two wrong: a newer version may have others.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from typing import Any, Final

from webhook.quota.resources import is_extended

_SIMILAR: Final = 0.8

_LISTS: Final = ("containers", "initContainers")

_OF_POD_SPECS: Final = (
    "activeDeadlineSeconds affinity automountServiceAccountToken containers dnsConfig dnsPolicy enableServiceLinks "
    "ephemeralContainers hostAliases hostIPC hostNetwork hostPID hostUsers hostname hostnameOverride imagePullSecrets "
    "initContainers nodeName nodeSelector os overhead preemptionPolicy priority priorityClassName readinessGates "
    "resourceClaims resources restartPolicy runtimeClassName schedulerName schedulingGates securityContext "
    "serviceAccount serviceAccountName setHostnameAsFQDN shareProcessNamespace subdomain "
    "terminationGracePeriodSeconds tolerations topologySpreadConstraints volumes workloadRef"
)
_OF_CONTAINERS: Final = (
    "args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe resizePolicy "
    "resources restartPolicy restartPolicyRules securityContext startupProbe stdin stdinOnce terminationMessagePath "
    "terminationMessagePolicy tty volumeDevices volumeMounts workingDir"
)
_SPEC: Final = frozenset(_OF_POD_SPECS.split())
_CONTAINER: Final = frozenset(_OF_CONTAINERS.split())
_RESOURCES: Final = frozenset(("requests", "limits", "claims"))
_PLAIN: Final = frozenset(("cpu", "memory", "ephemeral-storage", "storage"))
"""Resources without a domain; hugepages come in many sizes."""

_TEMPLATES: Final = (
    ("spec",),
    ("spec", "template", "spec"),
    ("spec", "jobTemplate", "spec", "template", "spec"),
)


def misspelt_fields(document: Any) -> Iterator[str]:
    """Yield a remark on each such field of *document*, a pod or what makes pods by a template."""
    for steps in _TEMPLATES:
        spec = document
        for step in steps:
            spec = spec.get(step) if isinstance(spec, dict) else None
        if isinstance(spec, dict) and isinstance(spec.get("containers"), list):
            yield from _in_spec(spec, ".".join(steps))
            return


def _in_spec(spec: dict[str, Any], path: str) -> Iterator[str]:
    yield from _misspelt(spec, _SPEC, path)
    for name in _LISTS:
        listed = spec.get(name)
        for number, container in enumerate(listed if isinstance(listed, list) else ()):
            if not isinstance(container, dict):
                continue
            place = f"{path}.{name}[{number}]"
            yield from _misspelt(container, _CONTAINER, place)
            resources = container.get("resources")
            if isinstance(resources, dict):
                yield from _misspelt(resources, _RESOURCES, f"{place}.resources")
                yield from _in_resources(resources, f"{place}.resources")


def _in_resources(resources: dict[str, Any], path: str) -> Iterator[str]:
    for which in ("requests", "limits"):
        listed = resources.get(which)
        for name in listed if isinstance(listed, dict) else ():
            if name in _PLAIN or name.startswith("hugepages-") or is_extended(name):
                continue
            close = difflib.get_close_matches(name, sorted(_PLAIN), n=1, cutoff=_SIMILAR)
            meant = f"did you mean {close[0]}?" if close else "devices are named as in nvidia.com/gpu"
            yield f"{path}.{which}.{name}: Kubernetes has no such resource, {meant}"


def _misspelt(found: dict[str, Any], known: Collection[str], path: str) -> Iterator[str]:
    for name in found:
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=_SIMILAR)
            if close and close[0] not in found:
                yield f"{path}.{name}: unknown field, did you mean {close[0]}?"
