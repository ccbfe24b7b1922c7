"""
Fields that are surely misspelt, of objects that cost: the API server leaves them out, or refuses them, and they would
cost nothing.

Only names are told that are one of Kubernetes' with a letter or two wrong: a newer version may have others.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

from webhook.quota.resources import is_extended

_SIMILAR: Final = 0.8

_OF_KUBERNETES: Final = "kubernetes.io/"
"""In the names of resources that nodes may have without a device plugin."""

_MOST: Final = 100
"""Unknown names of one object that are looked at: each is compared with all that are known."""


class _Amounts(NamedTuple):
    """A list of resources: those without a domain, and what to write for a name that is like none of them."""

    plain: tuple[str, ...]
    otherwise: str


class _Fields(dict[str, "_Shape"]):
    """The fields of a part of an object, or of each item of a list, with what is inside; None: nobody looks there."""


_Shape: TypeAlias = _Fields | _Amounts | None


def _fields(names: str, **inside: _Shape) -> _Fields:
    return _Fields({**dict.fromkeys(names.split()), **inside})


_METADATA: Final = _fields(
    "annotations creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generateName generation "
    "labels managedFields name namespace ownerReferences resourceVersion selfLink uid"
)


def _object(spec: _Shape) -> _Fields:
    return _fields("apiVersion kind status", metadata=_METADATA, spec=spec)


_OF_CONTAINERS: Final = _Amounts(
    ("cpu", "memory", "ephemeral-storage", "storage"), "devices are named as in nvidia.com/gpu"
)
_RESOURCES: Final = _fields("claims", requests=_OF_CONTAINERS, limits=_OF_CONTAINERS)

_OF_CLAIMS: Final = _Amounts(("storage",), "did you mean storage?")
_CLAIM: Final = _object(
    _fields(
        "accessModes dataSource dataSourceRef selector storageClassName volumeAttributesClassName volumeMode "
        "volumeName",
        resources=_fields("", requests=_OF_CLAIMS, limits=_OF_CLAIMS),
    )
)

_CONTAINER: Final = _fields(
    "args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe resizePolicy "
    "restartPolicy restartPolicyRules securityContext startupProbe stdin stdinOnce terminationMessagePath "
    "terminationMessagePolicy tty volumeDevices volumeMounts workingDir",
    resources=_RESOURCES,
)
_POD_SPEC: Final = _fields(
    "activeDeadlineSeconds affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks "
    "ephemeralContainers hostAliases hostIPC hostNetwork hostPID hostUsers hostname hostnameOverride imagePullSecrets "
    "nodeName nodeSelector os overhead preemptionPolicy priority priorityClassName readinessGates "
    "resourceClaims restartPolicy runtimeClassName schedulerName schedulingGates securityContext "
    "serviceAccount serviceAccountName setHostnameAsFQDN shareProcessNamespace subdomain "
    "terminationGracePeriodSeconds tolerations topologySpreadConstraints workloadRef",
    containers=_CONTAINER,
    initContainers=_CONTAINER,
    resources=_RESOURCES,
    volumes=_fields("name", ephemeral=_fields("", volumeClaimTemplate=_CLAIM)),
)
_POD: Final = _object(_POD_SPEC)

_REPLICAS: Final = _object(_fields("minReadySeconds replicas selector", template=_POD))
_JOB: Final = _object(
    _fields(
        "activeDeadlineSeconds backoffLimit backoffLimitPerIndex completionMode completions managedBy manualSelector "
        "maxFailedIndexes parallelism podFailurePolicy podReplacementPolicy selector successPolicy suspend "
        "ttlSecondsAfterFinished",
        template=_POD,
    )
)

_ASKED: Final = _fields("adminAccess allocationMode capacity count deviceClassName selectors tolerations")
_DEVICES: Final = _fields(
    "config constraints",
    requests=_fields("name", **_ASKED, exactly=_ASKED, firstAvailable=_fields("name", **_ASKED)),
)
_RESOURCE_CLAIM: Final = _object(_fields("", devices=_DEVICES))

_KINDS: Final[Mapping[tuple[str, str], _Fields]] = {
    ("", "Pod"): _POD,
    ("", "PersistentVolumeClaim"): _CLAIM,
    ("", "ReplicationController"): _REPLICAS,
    ("apps", "ReplicaSet"): _REPLICAS,
    ("apps", "Deployment"): _object(
        _fields(
            "minReadySeconds paused progressDeadlineSeconds replicas revisionHistoryLimit selector strategy",
            template=_POD,
        )
    ),
    ("apps", "StatefulSet"): _object(
        _fields(
            "minReadySeconds ordinals persistentVolumeClaimRetentionPolicy podManagementPolicy replicas "
            "revisionHistoryLimit selector serviceName updateStrategy",
            template=_POD,
            volumeClaimTemplates=_CLAIM,
        )
    ),
    ("apps", "DaemonSet"): _object(
        _fields("minReadySeconds revisionHistoryLimit selector updateStrategy", template=_POD)
    ),
    ("batch", "Job"): _JOB,
    ("batch", "CronJob"): _object(
        _fields(
            "concurrencyPolicy failedJobsHistoryLimit schedule startingDeadlineSeconds successfulJobsHistoryLimit "
            "suspend timeZone",
            jobTemplate=_JOB,
        )
    ),
    ("resource.k8s.io", "ResourceClaim"): _RESOURCE_CLAIM,
    ("resource.k8s.io", "ResourceClaimTemplate"): _object(_RESOURCE_CLAIM),
}

_TEMPLATES: Final = (
    ("spec",),
    ("spec", "template", "spec"),
    ("spec", "jobTemplate", "spec", "template", "spec"),
)
"""Where kinds of others have the spec of their pods."""


class _Unknown(NamedTuple):
    """A field of *found* at *path* that its shape does not have."""

    name: str
    found: Mapping[str, Any]
    shape: _Fields | _Amounts
    path: str


def misspelt_fields(document: Any) -> Iterator[str]:
    """Yield a remark on each such field of *document*, what is read of an object, for the first 100 unknown names."""
    for each in islice(_unknown(document), _MOST):
        if remark := _remark(each):
            yield remark


def _unknown(document: Any) -> Iterator[_Unknown]:
    if not isinstance(document, dict):
        return
    group = str(document.get("apiVersion")).rpartition("/")[0]
    shape = _KINDS.get((group, str(document.get("kind"))))
    if shape is not None:
        yield from _inside(document, shape, "")
        return
    for steps in _TEMPLATES:
        spec: Any = document
        for step in steps:
            spec = spec.get(step) if isinstance(spec, dict) else None
        if isinstance(spec, dict) and isinstance(spec.get("containers"), list):
            yield from _inside(spec, _POD_SPEC, ".".join(steps))
            return


def _inside(found: Any, shape: _Fields | _Amounts, path: str) -> Iterator[_Unknown]:
    if not isinstance(found, dict):
        return
    for name in found:
        if not _is_known(name, shape):
            yield _Unknown(name, found, shape, path)
    if isinstance(shape, _Amounts):
        return
    for name, value in found.items():
        inner = shape.get(name)
        if inner is None:
            continue
        place = f"{path}.{name}" if path else name
        if isinstance(value, list):
            for number, item in enumerate(value):
                yield from _inside(item, inner, f"{place}[{number}]")
        else:
            yield from _inside(value, inner, place)


def _is_known(name: str, shape: _Fields | _Amounts) -> bool:
    if isinstance(shape, _Fields):
        return name in shape
    return name in shape.plain or name.startswith("hugepages-") or _OF_KUBERNETES in name or is_extended(name)


def _remark(unknown: _Unknown) -> str:
    """Return what to say of a name; empty if it may be one of a newer version."""
    name, found, shape, path = unknown
    known = {each.lower(): each for each in (shape if isinstance(shape, _Fields) else shape.plain)}
    close = [known[each] for each in difflib.get_close_matches(name.lower(), known, n=1, cutoff=_SIMILAR)]
    place = f"{path}.{name}" if path else name
    if isinstance(shape, _Amounts):
        meant = f"did you mean {close[0]}?" if close else shape.otherwise
        return f"{place}: Kubernetes has no such resource, {meant}"
    if not close or close[0] in found:
        return ""
    return f"{place}: unknown field, did you mean {close[0]}?"
