"""
Pods as an API server writes them, in three sizes, with managedFields and all fields that a quota does not read.

They are templates: marks of fixed width stand for what differs between pods. `reviews` fills them in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import msgspec

REQUEST = "@@request@"
NAME = "@@@name@@@"
USER = "@@@user@@@"
TEAM = "@@@team@@@"
VERSION = "@@version@"
"""Only in what is stored: an event gives a pod a new version and leaves its uid."""

NAMESPACE = f"home-{USER}"
OWNER = f"user-{USER}"
GROUPS = ("staff", f"team-{TEAM}")


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a pod beside its numbers."""

    containers: int
    variables: int
    volumes: int


SIZES: Mapping[str, Size] = {"s": Size(1, 1, 0), "m": Size(2, 12, 4), "l": Size(4, 20, 8)}
"""About 3.6, 9 and 22 kB as a review; `s` is a bare notebook, `l` one with sidecars and many mounts."""

_CPUS = ("100m", "250m", "500m", "1", "1500m", "2", "3", "4")
_MEMORIES = ("128Mi", "256Mi", "512Mi", "1Gi", "1536Mi", "2Gi", "4Gi", "8Gi")


def variants(size: Size, *, stamped: bool, stored: bool = False) -> list[dict[str, Any]]:
    """Return 64 pods that differ in their requests. A *stored* one has a version, a node and a status."""
    return [_pod(size, cpu, memory, stamped, stored) for cpu, memory in product(_CPUS, _MEMORIES)]


def metadata(name: str, uid: str, spec: Mapping[str, Any], *, stamped: bool) -> dict[str, Any]:
    """Return the metadata of an object with this *spec*; its name and uid begin with *name* and *uid*."""
    known: dict[str, Any] = {
        "name": f"{name}-{NAME}",
        "namespace": NAMESPACE,
        "uid": f"{uid}-1d7a-4c3e-8a21-00{REQUEST}",
        "creationTimestamp": "2026-11-02T09:15:27Z",
        "labels": {"app": "notebook", "run": f"run-{REQUEST}"},
        "annotations": {"example.com/started-from": "portal", "example.com/ticket": f"REQ-{REQUEST}"},
    }
    if stamped:
        known["annotations"] |= {
            "userquota.dev/owner": OWNER,
            "userquota.dev/groups": msgspec.json.encode(GROUPS).decode(),
        }
    managed = {"f:metadata": _fields(_of_user(known)), "f:spec": _fields(spec)}
    known["managedFields"] = [_manager("kubectl-create", managed)]
    return known


def store(document: dict[str, Any], status: Mapping[str, Any], *, manager: str) -> None:
    """Make *document* one that is stored, with a version, and a *status* that *manager* writes."""
    document["status"] = status
    document["metadata"]["resourceVersion"] = VERSION
    document["metadata"]["managedFields"].append(_manager(manager, {"f:status": _fields(status)}))


def _pod(size: Size, cpu: str, memory: str, stamped: bool, stored: bool) -> dict[str, Any]:  # noqa: FBT001
    spec = _spec(size, cpu, memory)
    known = metadata("work", "0b5c9f4e", spec, stamped=stamped)
    pod: dict[str, Any] = {"kind": "Pod", "apiVersion": "v1", "metadata": known, "spec": spec, "status": {}}
    if stored:
        spec["nodeName"] = "node-0042"
        store(pod, _status(spec), manager="kubelet")
    return pod


def _of_user(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {key: metadata[key] for key in ("labels", "annotations")}


def _spec(size: Size, cpu: str, memory: str) -> dict[str, Any]:
    numbers = range(size.containers)
    return {
        "volumes": list(_volumes(size.volumes)),
        "containers": [_container(number, size, cpu, memory) for number in numbers],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default",
        "serviceAccount": "default",
        "securityContext": {"runAsUser": 1000, "fsGroup": 100, "runAsNonRoot": True},
        "schedulerName": "default-scheduler",
        "tolerations": [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
        ],
        "priority": 0,
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
    }


def _container(number: int, size: Size, cpu: str, memory: str) -> dict[str, Any]:
    asked = {"cpu": cpu, "memory": memory} if number == 0 else {"cpu": "50m", "memory": "64Mi"}
    return {
        "name": f"c{number}",
        "image": "registry.example.com/images/notebook:2026.11",
        "ports": [{"name": "http", "containerPort": 8888 + number, "protocol": "TCP"}],
        "env": [
            {"name": f"SETTING_NUMBER_{position}", "value": f"value-{position}-of-{USER}"}
            for position in range(size.variables)
        ],
        "resources": {"limits": asked, "requests": asked},
        "volumeMounts": [
            {"name": f"data-{position}", "mountPath": f"/mnt/data-{position}"} for position in range(size.volumes)
        ],
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"},
            "timeoutSeconds": 1,
            "periodSeconds": 10,
        },
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def _volumes(count: int) -> Iterator[dict[str, Any]]:
    for position in range(count):
        yield {"name": f"data-{position}", "persistentVolumeClaim": {"claimName": f"data-{position}-{USER}"}}


def _status(spec: Mapping[str, Any]) -> dict[str, Any]:
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    return {
        "phase": "Running",
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": "2026-11-02T09:15:31Z"} for kind in kinds
        ],
        "hostIP": "10.0.0.42",
        "podIP": "10.1.7.19",
        "startTime": "2026-11-02T09:15:27Z",
        "qosClass": "Guaranteed",
        "containerStatuses": [
            {
                "name": container["name"],
                "state": {"running": {"startedAt": "2026-11-02T09:15:30Z"}},
                "ready": True,
                "restartCount": 0,
                "image": container["image"],
                "containerID": f"containerd://{'5e' * 32}",
                "started": True,
                "allocatedResources": container["resources"]["requests"],
                "resources": container["resources"],
            }
            for container in spec["containers"]
        ],
    }


def _manager(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "manager": name,
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2026-11-02T09:15:27Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }


def _fields(value: Any) -> dict[str, Any]:
    """Return managedFields as the API server keeps them: the fields of the object without their values."""
    if isinstance(value, dict):
        return {f"f:{key}": _fields(each) for key, each in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        key = next(iter(value[0]))
        return {f'k:{{"{key}":"{each.get(key)}"}}': {".": {}, **_fields(each)} for each in value}
    return {}
