"""
PersistentVolumeClaims, ResourceClaims and widgets as an API server writes them: templates, as those of pods.

Widgets are made up: objects of a custom resource that is charged by number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from benchmarks import pods
from webhook.kinds.claims import PERSISTENT_VOLUME_CLAIMS
from webhook.kinds.counted import counted
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.registry import KINDS, Registry
from webhook.kinds.resource_claims import RESOURCE_CLAIMS

WITH_WIDGETS = Registry(*KINDS, counted("widgets.example.com", "example.com/v1", "Widget"))

Json = dict[str, Any]

_STORAGE = ("1Gi", "2Gi", "5Gi", "8Gi", "10Gi", "16Gi", "20Gi", "25Gi", "32Gi", "50Gi", "64Gi", "100Gi")
_CLASSES = ("standard", "fast", "archive", "shared")
_GPU, _PART, _CARD = "gpu.nvidia.com", "mig.nvidia.com", "nic.example.com"
_COUNTS = range(1, 9)


@dataclass(frozen=True, slots=True)
class Sort:
    """Objects of one kind that differ in their *specs*. All their names and uids begin with *name* and *uid*."""

    kind: AnyKind
    name: str
    uid: str
    specs: Sequence[Json]

    def variants(self, *, stored: bool = False) -> list[Json]:
        """Return the objects with the stamp. *stored* ones are in use."""
        return [self._document(dict(spec), stored=stored) for spec in self.specs]

    def _document(self, spec: Json, *, stored: bool) -> Json:
        known = pods.metadata(self.name, self.uid, spec, stamped=True)
        document: Json = {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": known, "spec": spec}
        if self.kind is PERSISTENT_VOLUME_CLAIMS:
            known["finalizers"] = ["kubernetes.io/pvc-protection"]
            document["status"] = {"phase": "Pending"}
        if stored:
            _USE[self.kind.resource](document)
        return document


def _volume(size: str, storage_class: str) -> Json:
    return {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
        "storageClassName": storage_class,
        "volumeMode": "Filesystem",
    }


def _bind(claim: Json) -> None:
    spec, annotations = claim["spec"], claim["metadata"]["annotations"]
    spec["volumeName"] = f"pvc-{claim['metadata']['uid']}"
    annotations |= {f"pv.kubernetes.io/{name}": "yes" for name in ("bind-completed", "bound-by-controller")}
    annotations["volume.kubernetes.io/storage-provisioner"] = "csi.example.com"
    capacity = spec["resources"]["requests"]
    status = {"phase": "Bound", "accessModes": spec["accessModes"], "capacity": capacity}
    pods.store(claim, status, manager="kube-controller-manager")


def _claim(*requests: Json) -> Json:
    return {"devices": {"requests": requests}}


def _exactly(device_class: str, count: int) -> Json:
    return {"name": device_class.partition(".")[0], "exactly": _devices(device_class, count)}


def _either(count: int) -> Json:
    whole, parts = _devices(_GPU, count), _devices(_PART, 2 * count)
    return {"name": "any", "firstAvailable": [{"name": "whole", **whole}, {"name": "parts", **parts}]}


def _devices(device_class: str, count: int) -> Json:
    selector = {"cel": {"expression": f'device.attributes["{device_class}"].generation == "five"'}}
    return {
        "deviceClassName": device_class,
        "allocationMode": "ExactCount",
        "count": count,
        "selectors": [selector],
    }


def _allocate(claim: Json) -> None:
    results = [
        {"request": each["name"], "driver": "example.com", "pool": "node-0042", "device": f"device-{position}"}
        for position, each in enumerate(claim["spec"]["devices"]["requests"])
    ]
    pod = {"resource": "pods", "name": f"work-{pods.NAME}", "uid": f"0b5c9f4e-1d7a-4c3e-8a21-00{pods.REQUEST}"}
    status = {"allocation": {"devices": {"results": results}}, "reservedFor": [pod]}
    pods.store(claim, status, manager="kube-scheduler")


_USE: Mapping[str, Callable[[Json], None]] = {
    PERSISTENT_VOLUME_CLAIMS.resource: _bind,
    RESOURCE_CLAIMS.resource: _allocate,
}

VOLUMES = Sort(
    PERSISTENT_VOLUME_CLAIMS, "data", "1c6d0a5f", [_volume(*chosen) for chosen in product(_STORAGE, _CLASSES)]
)
DEVICES = Sort(
    RESOURCE_CLAIMS, "devices", "2d7e1b60", [_claim(_exactly(*chosen)) for chosen in product((_GPU, _PART), _COUNTS)]
)
"""One request each, for devices of one class."""
CHOICES = Sort(RESOURCE_CLAIMS, "choice", "3e8f2c71", [_claim(_either(count), _exactly(_CARD, 1)) for count in _COUNTS])
"""Two requests each: for GPUs or twice as many parts of one, and for a network card."""
WIDGETS = Sort(WITH_WIDGETS.charged[-1], "widget", "4f903d82", [{"size": size, "color": "red"} for size in _COUNTS])
