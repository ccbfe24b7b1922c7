"""
The contestants, each with a control plane, and the namespaces that their pods are created in.

Two control planes of the same form: one for userquota alone, because it watches all pods of its cluster; one for the
others in turn, which are not concerned by other namespaces.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import certificate
from benchmarks.contention import counters
from benchmarks.contention.workloads import POLICY, Workload
from localcluster.binaries import find_binaries
from localcluster.controlplane import ControlPlane
from localcluster.plan import Options
from localcluster.processes import ChildProcess
from tests.balancer.running import RunningBalancer, lasting_port
from tests.cluster.running import eventually
from tests.go_programs import built_program
from tests.replicas import Replicas
from webhook.registration import manifest_files

OURS = "userquota"
QUOTA = "ResourceQuota"
ALLOW = "allow-only webhook"
NOTHING = "no webhook"

SERVERS = 2
_CONTESTANT = "benchmark/contestant"
_SLUGS = {OURS: "userquota", QUOTA: "quota", ALLOW: "allow", NOTHING: "nothing"}


@dataclass(frozen=True, slots=True)
class Contestant:
    """A contestant. Only userquota has *replicas*; *webhooks* are the processes of its webhook or of the other one."""

    name: str
    cluster: ControlPlane
    webhooks: tuple[ChildProcess, ...] = ()
    replicas: Replicas | None = None

    def namespace(self, workload: Workload, number: int) -> str:
        """Create a namespace for a run; with a ResourceQuota in it where that is the contestant."""
        slug = _SLUGS[self.name]
        name = f"{workload.name}-{slug}-{number}"
        metadata = {"name": name, "labels": {_CONTESTANT: slug}}
        _create(self.cluster, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        if self.name == QUOTA:
            _install_quota(self.cluster, name, workload.hard())
        return name

    def settle(self, *, pods: int = 0) -> float:
        """Wait until userquota has no reservations and counts *pods* pods; return the seconds that it took."""
        if self.replicas is None:
            return 0.0
        replicas = self.replicas
        return eventually(lambda: counters.is_settled(replicas, pods=pods), within=60)

    def pids(self) -> dict[str, list[int]]:
        """Return the processes that work for a create, by role."""
        several = self.cluster.processes.values()
        by_role = {
            "etcd": [each for each in several if each.name == "etcd"],
            "API servers": [each for each in several if each.name.startswith("kube-apiserver")],
            "webhook": [each for each in self.webhooks if each.name != "balancer"],
            "balancer": [each for each in self.webhooks if each.name == "balancer"],
        }
        return {role: [each.pid for each in processes] for role, processes in by_role.items()} | {
            "client": [os.getpid()]
        }


@contextlib.contextmanager
def contestants(folder: Path, *, count: int, options: Sequence[str] = ()) -> Iterator[dict[str, Contestant]]:
    """Start all processes, with *count* replicas of userquota and their *options*; stop them at the end."""
    binaries, form = find_binaries(os.environ), Options(servers=SERVERS)
    with contextlib.ExitStack() as stack:
        shared = stack.enter_context(ControlPlane(folder / "shared", binaries, options=form))
        own = stack.enter_context(ControlPlane(folder / "own", binaries, options=form))
        replicas = Replicas(own, folder, count, options)
        replicas.install()
        replicas.apply_policy(POLICY)
        stack.enter_context(replicas)
        replicas.wait_until_ready(within=120)
        allowing = stack.enter_context(_allowing(shared, folder))
        yield {
            OURS: Contestant(OURS, own, tuple(replicas.processes.values()), replicas),
            QUOTA: Contestant(QUOTA, shared),
            ALLOW: Contestant(ALLOW, shared, allowing),
            NOTHING: Contestant(NOTHING, shared),
        }


def _install_quota(cluster: ControlPlane, namespace: str, hard: Mapping[str, str]) -> None:
    """Write the status as the controller manager does: without it ResourceQuota refuses everything."""
    metadata = {"name": "quota", "namespace": namespace}
    _create(cluster, {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": hard}})
    status = json.dumps({"status": {"hard": hard, "used": dict.fromkeys(hard, "0")}})
    at = ("resourcequota", "quota", f"--namespace={namespace}", "--subresource=status", "--type=merge")
    cluster.kubectl("patch", *at, f"--patch={status}")
    time.sleep(0.5)  # both API servers have to have seen it


@contextlib.contextmanager
def _allowing(cluster: ControlPlane, folder: Path) -> Iterator[tuple[ChildProcess, ...]]:
    """Run the webhook that only allows, behind a balancer as ours are, and register it for its own namespaces."""
    trusted = certificate.write(folder, now=dt.datetime.now(dt.UTC))  # noqa: TID251 - a certificate has dates
    address = f"127.0.0.1:{lasting_port()}"
    argv = [str(built_program(Path(__file__).parent / "allow")), f"-listen={address}", f"-certificates={folder}"]
    allow = ChildProcess("allow", argv, log_file=folder / "allow.log")
    (folder / "allow").mkdir()
    balancer = RunningBalancer([address], folder / "allow")
    allow.start()
    balancer.start()
    try:
        _register(cluster, f"https://127.0.0.1:{balancer.port}", trusted.read_bytes())
        yield allow, balancer.process
    finally:
        balancer.stop()
        allow.stop()


def _register(cluster: ControlPlane, url: str, bundle: bytes) -> None:
    """Register with our own rules, conditions and timeouts, for the contestant's namespaces only."""
    trust = base64.b64encode(bundle).decode()
    for configuration in manifest_files.webhook_configurations():
        body = json.loads(json.dumps(configuration))
        body["metadata"] = {"name": "allow"}
        for webhook in body["webhooks"]:
            path = webhook["clientConfig"]["service"]["path"]
            webhook["clientConfig"] = {"url": f"{url}{path}", "caBundle": trust}
            webhook["namespaceSelector"] = {"matchLabels": {_CONTESTANT: _SLUGS[ALLOW]}}
        _create(cluster, body)


def _create(cluster: ControlPlane, body: Mapping[str, object]) -> None:
    cluster.kubectl("create", "--filename=-", stdin=json.dumps(body))
