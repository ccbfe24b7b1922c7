"""Platforms that make sessions, as far as a cluster sees them: definitions, accounts, what their controllers make."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from localcluster.controlplane import ControlPlane
from tests.cluster.running import RunningWebhook, eventually
from tests.cluster.test_who_pays import run

Json = dict[str, Any]


@dataclass(frozen=True)
class Platform:
    """A kind of sessions, and the account of the controller that makes their pods."""

    preset: str
    group: str
    version: str
    kind: str
    plural: str
    controller: str
    scale: str = ""
    """The field that the scale subresource sets."""

    @property
    def resource(self) -> str:
        return f"{self.plural}.{self.group}"

    def definition(self) -> Json:
        """Return a definition in the shape of the platform's own, without its schema."""
        anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
        subresources: Json = {"status": {}}
        if self.scale:
            subresources["scale"] = {"specReplicasPath": self.scale, "statusReplicasPath": ".status.replicas"}
        version = {
            "name": self.version,
            "served": True,
            "storage": True,
            "subresources": subresources,
            "schema": {"openAPIV3Schema": schema},
        }
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": self.resource},
            "spec": {
                "group": self.group,
                "names": {"kind": self.kind, "plural": self.plural},
                "scope": "Namespaced",
                "versions": [version],
            },
        }

    def object(self, name: str, spec: Json, **metadata: object) -> str:
        document = {"apiVersion": f"{self.group}/{self.version}", "kind": self.kind}
        return json.dumps({**document, "metadata": {"name": name, **metadata}, "spec": spec})


NOTEBOOKS = Platform(
    "kubeflow-notebook",
    "kubeflow.org",
    "v1",
    "Notebook",
    "notebooks",
    "system:serviceaccount:kubeflow:notebook-controller-service-account",
)
STREAMSPACE = Platform(
    "streamspace",
    "stream.space",
    "v1alpha1",
    "Session",
    "sessions",
    "system:serviceaccount:streamspace:streamspace-controller",
)
RAY = Platform("raycluster", "ray.io", "v1", "RayCluster", "rayclusters", "system:serviceaccount:ray:kuberay-operator")
DASK = Platform(
    "dask",
    "kubernetes.dask.org",
    "v1",
    "DaskCluster",
    "daskclusters",
    "system:serviceaccount:dask:dask-operator",
    scale=".spec.worker.replicas",
)
TRAINJOBS = Platform(
    "trainjob",
    "trainer.kubeflow.org",
    "v1alpha1",
    "TrainJob",
    "trainjobs",
    "system:serviceaccount:kubeflow-system:kubeflow-trainer-controller-manager",
)


@contextmanager
def installed(cluster: ControlPlane, *platforms: Platform, others: Iterable[str] = ()) -> Iterator[None]:
    """Serve the kinds, let people, the platforms' accounts and *others* use them, and take them out again."""
    kubectl = cluster.kubectl
    for each in platforms:
        kubectl("apply", "-f", "-", stdin=json.dumps(each.definition()))
        kubectl("wait", "--for=condition=Established", f"crd/{each.resource}")
    scaled = (f"{each.resource}/scale" for each in platforms if each.scale)
    statuses = (f"{each.resource}/status" for each in platforms)
    resources = ",".join([*(each.resource for each in platforms), *statuses, *scaled])
    kubectl("create", "clusterrole", "platforms", f"--resource={resources}", "--verb=*")
    kubectl("create", "clusterrolebinding", "platforms", "--clusterrole=platforms", "--group=people")
    accounts = [f"--user={each}" for each in (*(each.controller for each in platforms), *others)]
    kubectl("create", "clusterrolebinding", "platforms-admin", "--clusterrole=cluster-admin", *accounts)
    yield
    names = ("clusterrole/platforms", "clusterrolebinding/platforms", "clusterrolebinding/platforms-admin")
    kubectl("delete", *names, *(f"crd/{each.resource}" for each in platforms))


def are_intercepted(cluster: ControlPlane, *platforms: Platform) -> bool:
    answer = cluster.kubectl("get", "validatingwebhookconfiguration", "userquota", "-o", "json")
    webhooks = json.loads(answer.stdout)["webhooks"]
    found = {plural for each in webhooks for rule in each["rules"] for plural in rule["resources"]}
    return {each.plural for each in platforms} <= found


def set_policy(running: RunningWebhook, text: str, *platforms: Platform) -> None:
    """Put a policy in force, and wait until the sessions of *platforms* are known and intercepted."""
    presets = ", ".join(each.preset for each in platforms)
    running.set_policy(text.replace("PRESETS", f"[{presets}]"))
    eventually(lambda: are_intercepted(running.cluster, *platforms), within=40, what=running.output)


def makes_pods(
    running: RunningWebhook,
    place: str,
    platform: Platform,
    session: str,
    *,
    template: Json,
    labels: Json,
    replicas: int = 1,
) -> str:
    """Do what a platform's controller does for a session: make a StatefulSet that belongs to it."""
    found = json.loads(running.cluster.kubectl("get", platform.resource, session, "-n", place, "-o", "json").stdout)
    owner = {
        "apiVersion": found["apiVersion"],
        "kind": platform.kind,
        "name": session,
        "uid": found["metadata"]["uid"],
        "controller": True,
    }
    spec = {
        "replicas": replicas,
        "podManagementPolicy": "Parallel",
        "serviceName": session,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": template},
    }
    document = {"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": spec}
    document["metadata"] = {"name": session, "ownerReferences": [owner]}
    words = ("create", "-f", "-", f"--as={platform.controller}")
    return run(running, place, *words, user="admin", stdin=json.dumps(document))
