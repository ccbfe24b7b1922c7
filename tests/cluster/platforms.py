"""Platforms that make sessions, as far as a cluster sees them: definitions, accounts, what their controllers make."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from localcluster.controlplane import ControlPlane
from tests.cluster.running import RunningWebhook, eventually
from tests.cluster.test_who_pays import run

Json = dict[str, Any]

DEFINITIONS = Path(__file__).parents[1] / "kinds" / "presets" / "definitions"
"""Made by us in the shape of each platform's own, with the fields that its preset reads; others are kept unseen."""


@dataclass(frozen=True)
class Platform:
    """A kind of sessions as the platform defines it, and the account of the controller that makes their pods."""

    preset: str
    controller: str

    @cached_property
    def definition(self) -> Json:
        """Return the CustomResourceDefinition that `definitions` has in the shape of the platform's own."""
        definition: Json = yaml.safe_load((DEFINITIONS / f"{self.preset}.yaml").read_text())
        return definition

    @property
    def group(self) -> str:
        return str(self.definition["spec"]["group"])

    @property
    def version(self) -> str:
        """The version that is stored."""
        return next(str(each["name"]) for each in self.definition["spec"]["versions"] if each["storage"])

    @property
    def kind(self) -> str:
        return str(self.definition["spec"]["names"]["kind"])

    @property
    def plural(self) -> str:
        return str(self.definition["spec"]["names"]["plural"])

    @property
    def resource(self) -> str:
        return f"{self.plural}.{self.group}"

    def object(self, name: str, spec: Json, **metadata: object) -> str:
        document = {"apiVersion": f"{self.group}/{self.version}", "kind": self.kind}
        return json.dumps({**document, "metadata": {"name": name, **metadata}, "spec": spec})


NOTEBOOKS = Platform("kubeflow-notebook", "system:serviceaccount:kubeflow:notebook-controller-service-account")
STREAMSPACE = Platform("streamspace", "system:serviceaccount:streamspace:streamspace-controller")
HUB = "system:serviceaccount:streamspace:api"
"""The account by which StreamSpace makes sessions for people."""

RAY = Platform("raycluster", "system:serviceaccount:ray:kuberay-operator")
DASK = Platform("dask", "system:serviceaccount:dask:dask-operator")
WORKFLOWS = Platform("argo-workflow", "system:serviceaccount:argo:argo")
TRAINJOBS = Platform("trainjob", "system:serviceaccount:kubeflow-system:kubeflow-trainer-controller-manager")


@contextmanager
def installed(cluster: ControlPlane, *platforms: Platform, others: Iterable[str] = ()) -> Iterator[None]:
    """Serve the kinds, let people, the platforms' accounts and *others* use them, and take them out again."""
    kubectl = cluster.kubectl
    definitions = [each.definition for each in platforms]
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": definitions}))
    eventually(lambda: are_served(cluster, *platforms))
    resources = ",".join(f"{each.resource}{part}" for each in platforms for part in ("", "/status", "/scale"))
    kubectl("create", "clusterrole", "platforms", f"--resource={resources}", "--verb=*")
    kubectl("create", "clusterrolebinding", "platforms", "--clusterrole=platforms", "--group=people")
    accounts = [f"--user={each}" for each in sorted({*(each.controller for each in platforms), *others})]
    kubectl("create", "clusterrolebinding", "platforms-admin", "--clusterrole=cluster-admin", *accounts)
    yield
    names = ("clusterrole/platforms", "clusterrolebinding/platforms", "clusterrolebinding/platforms-admin")
    kubectl("delete", *names, *(f"crd/{each.resource}" for each in platforms))


def are_served(cluster: ControlPlane, *platforms: Platform) -> bool:
    """Whether every API server serves the kinds of all *platforms*."""
    resources = ",".join(each.resource for each in platforms)
    servers = range(1, len(cluster.server_urls) + 1)
    return all(cluster.kubectl("get", resources, "-A", check=False, server=each).returncode == 0 for each in servers)


def are_intercepted(cluster: ControlPlane, *platforms: Platform) -> bool:
    answer = cluster.kubectl("get", "validatingwebhookconfiguration", "userquota", "-o", "json")
    rules = [rule for each in json.loads(answer.stdout)["webhooks"] for rule in each["rules"]]
    found = {f"{plural}.{group}" for rule in rules for plural in rule["resources"] for group in rule["apiGroups"]}
    return {each.resource for each in platforms} <= found


def set_policy(running: RunningWebhook, text: str, *platforms: Platform) -> None:
    """Put a policy in force, and wait until the sessions of *platforms* are known and intercepted."""
    presets = ", ".join(each.preset for each in platforms)
    running.set_policy(text.replace("PRESETS", f"[{presets}]"))
    eventually(lambda: are_intercepted(running.cluster, *platforms), what=running.output)


def makes_pods(
    running: RunningWebhook,
    place: str,
    platform: Platform,
    session: str,
    *,
    template: Json,
    labels: Json,
    replicas: int = 1,
    claims: Sequence[Json] = (),
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
        "volumeClaimTemplates": [*claims],
    }
    document = {"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": spec}
    document["metadata"] = {"name": session, "ownerReferences": [owner]}
    words = ("create", "-f", "-", f"--as={platform.controller}")
    return run(running, place, *words, user="admin", stdin=json.dumps(document))
