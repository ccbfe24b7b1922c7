"""Random policies, and manifests of pods, claims, counted objects, sessions and workloads, made of one seed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

from tests.cluster.platforms import NOTEBOOKS
from tests.oracle.resource_claim_examples import exactly

Json = dict[str, Any]

PRESET = NOTEBOOKS.preset
DEVICE_CLASS = "big.example.com"
HEAD = f"version: 1\nresources: {{gpu: {{deviceclass/{DEVICE_CLASS}: 1/4}}}}\nsessions: {{presets: [{PRESET}]}}\n"

_CPU = ("100m", "0.3", "1", "1500m", "2", "1e-1", "0.0001")
_MEMORY = ("64Mi", "100M", "1Gi", "129e6", "1536Ki", "2Gi", "0.5Gi")
_GPUS = ("1", "2")
_STORAGE = ("1Gi", "500M", "10Gi", "3e9")


class Manifest(NamedTuple):
    """An object, and where it is posted."""

    path: str
    body: Json


def limits(random: Random) -> Json:
    """Return the entry of one user."""
    hard: Json = {"pods": random.randint(1, 8)}
    possible = {
        "cpu": random.choice(("1", "2500m", "6")),
        "memory": random.choice(("512Mi", "3Gi", "5e9")),
        "limits.memory": random.choice(("1Gi", "4G")),
        "storage": random.choice(("2Gi", "12Gi")),
        "count/persistentvolumeclaims": random.randint(1, 4),
        "gpu": random.choice((1, "1/2", 3)),
        "nvidia.com/gpu": random.randint(0, 3),
        "count/services": random.randint(1, 3),
        "sessions": random.randint(1, 3),
    }
    hard |= {name: amount for name, amount in possible.items() if random.random() < 0.7}
    entry: Json = {"hard": hard}
    for cap, names in {
        "perPod": {"cpu": "1500m", "memory": "1Gi"},
        "perClaim": {"storage": "5Gi"},
        "perSession": {"cpu": "1"},
        "minPerPod": {"memory": "10Mi"},
    }.items():
        if random.random() < 0.4:
            entry[cap] = names
    if random.random() < 0.2:
        entry["mode"] = "warn"
    return entry


def manifests(random: Random, place: str, number: int) -> Iterator[Manifest]:
    """Yield *number* manifests of objects in *place*."""
    of_pods = (_deployment, _stateful_set, _replica_set, _replication_controller, _daemon_set, _job, _cron_job)
    makers = (_pod, _pod, _pod, _claim, _claim, _resource_claim, _service, _notebook, *of_pods)
    for at in range(number):
        path, body = random.choice(makers)(random, f"m-{at}")
        yield Manifest(path.format(f"namespaces/{place}"), body)


def _pod(random: Random, name: str) -> tuple[str, Json]:
    return "/api/v1/{}/pods", {**_head("v1", "Pod", name), "spec": _pod_spec(random)}


def _pod_spec(random: Random) -> Json:
    spec: Json = {"containers": [_container(random, f"c-{number}") for number in range(random.randint(1, 3))]}
    if random.random() < 0.3:
        spec["initContainers"] = [_container(random, "first")]
        if random.random() < 0.5:
            spec["initContainers"][0]["restartPolicy"] = "Always"
    return spec


def _container(random: Random, name: str) -> Json:
    requests: Json = {}
    for resource, amounts in (("cpu", _CPU), ("memory", _MEMORY)):
        if random.random() < 0.8:
            requests[resource] = random.choice(amounts)
    limits: Json = {}
    if random.random() < 0.3:
        limits["memory"] = "2Gi"
    if random.random() < 0.2:
        limits["nvidia.com/gpu"] = random.choice(_GPUS)
    if random.random() < 0.1:
        requests, limits = {}, {"cpu": random.choice(_CPU), **limits}
    return {"name": name, "image": "example/image", "resources": {"requests": requests, "limits": limits}}


def _claim(random: Random, name: str) -> tuple[str, Json]:
    return "/api/v1/{}/persistentvolumeclaims", {**_head("v1", "PersistentVolumeClaim", name), "spec": _volume(random)}


def _volume(random: Random) -> Json:
    requests = {"storage": random.choice(_STORAGE)}
    return {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": requests}}


def _resource_claim(random: Random, name: str) -> tuple[str, Json]:
    requests = [exactly(DEVICE_CLASS, random.randint(1, 3)) for _ in range(random.randint(1, 2))]
    requests = [{**each, "name": f"r-{number}"} for number, each in enumerate(requests)]
    body = {**_head("resource.k8s.io/v1", "ResourceClaim", name), "spec": {"devices": {"requests": requests}}}
    return "/apis/resource.k8s.io/v1/{}/resourceclaims", body


def _service(_: Random, name: str) -> tuple[str, Json]:
    return "/api/v1/{}/services", {**_head("v1", "Service", name), "spec": {"ports": [{"port": 80}]}}


def _notebook(random: Random, name: str) -> tuple[str, Json]:
    version = f"{NOTEBOOKS.group}/{NOTEBOOKS.version}"
    body = {**_head(version, NOTEBOOKS.kind, name), "spec": {"template": {"spec": _pod_spec(random)}}}
    if random.random() < 0.2:
        body["metadata"]["annotations"] = {"kubeflow-resource-stopped": "2026-11-29T00:00:00Z"}
    return f"/apis/{version}/{{}}/{NOTEBOOKS.plural}", body


def _deployment(random: Random, name: str) -> tuple[str, Json]:
    spec = {"replicas": random.randint(0, 6), **_templated(random, name)}
    return "/apis/apps/v1/{}/deployments", {**_head("apps/v1", "Deployment", name), "spec": spec}


def _stateful_set(random: Random, name: str) -> tuple[str, Json]:
    spec = {"serviceName": name, "replicas": random.randint(1, 4), **_templated(random, name)}
    if random.random() < 0.5:
        spec["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": _volume(random)}]
    return "/apis/apps/v1/{}/statefulsets", {**_head("apps/v1", "StatefulSet", name), "spec": spec}


def _replica_set(random: Random, name: str) -> tuple[str, Json]:
    spec = {"replicas": random.randint(0, 5), **_templated(random, name)}
    return "/apis/apps/v1/{}/replicasets", {**_head("apps/v1", "ReplicaSet", name), "spec": spec}


def _replication_controller(random: Random, name: str) -> tuple[str, Json]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": _pod_spec(random)}
    spec = {"replicas": random.randint(0, 5), "selector": labels, "template": template}
    return "/api/v1/{}/replicationcontrollers", {**_head("v1", "ReplicationController", name), "spec": spec}


def _daemon_set(random: Random, name: str) -> tuple[str, Json]:
    body = {**_head("apps/v1", "DaemonSet", name), "spec": _templated(random, name)}
    return "/apis/apps/v1/{}/daemonsets", body


def _job(random: Random, name: str) -> tuple[str, Json]:
    return "/apis/batch/v1/{}/jobs", {**_head("batch/v1", "Job", name), "spec": _job_spec(random)}


def _cron_job(random: Random, name: str) -> tuple[str, Json]:
    spec = {"schedule": "0 3 * * *", "jobTemplate": {"spec": _job_spec(random)}}
    return "/apis/batch/v1/{}/cronjobs", {**_head("batch/v1", "CronJob", name), "spec": spec}


def _job_spec(random: Random) -> Json:
    template = {"spec": {**_pod_spec(random), "restartPolicy": "Never"}}
    return {"parallelism": random.randint(1, 5), "completions": 5, "template": template}


def _templated(random: Random, name: str) -> Json:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": _pod_spec(random)}
    return {"selector": {"matchLabels": labels}, "template": template}


def _head(api_version: str, kind: str, name: str) -> Json:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}
