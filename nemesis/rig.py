"""
The processes of a run: an etcd that keeps everything, two API servers to be hurt, a third to record from, replicas.

What is done to them is told in `faults`.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster.binaries import find_binaries
from localcluster.controlplane import ControlPlane
from localcluster.plan import Options
from localcluster.users import ADMIN
from nemesis.workload import NAMESPACES
from tests.replicas import Replicas
from tests.running_proxy import RunningProxy

HURT = (1, 2)
"""The API servers that clients talk to, by number, and that faults hit."""

CALM = 3
"""The one that everything is recorded from."""

_SERVERS = 3
_ETCD_BYTES = 16 * 2**30


class ProxiedControlPlane(ControlPlane):
    """A control plane whose API servers replicas reach through a proxy each, once `start_proxies` was called."""

    def start_proxies(self, folder: Path) -> None:
        self.proxies = [
            RunningProxy(f"proxy-{number}", url, folder) for number, url in enumerate(self.server_urls, start=1)
        ]
        for proxy in self.proxies:
            proxy.start()

    def kubeconfig(self, user: str = ADMIN, *, server: int = 1) -> Path:
        """Give a kubeconfig that goes through the proxy of that API server."""
        original = super().kubeconfig(user, server=server)
        proxied = original.with_suffix(".proxied")
        proxied.write_text(original.read_text().replace(self.server_urls[server - 1], self.proxies[server - 1].url))
        return proxied

    def stop_proxies(self) -> None:
        for proxy in self.proxies:
            proxy.stop()


@dataclass(frozen=True, slots=True)
class Rig:
    """What runs."""

    cluster: ProxiedControlPlane
    replicas: Replicas
    tls: ssl.SSLContext

    def url(self, server: int) -> str:
        return self.cluster.server_urls[server - 1]

    def token(self, user: str = ADMIN) -> str:
        return self.cluster.access.token(user)

    def tell_proxy(self, replica: int, what: signal.Signals) -> None:
        """Have the connections of a replica stand still, go on or be reset: see `proxy`."""
        self.cluster.proxies[replica % _SERVERS].send(what)

    @property
    def etcd_folder(self) -> Path:
        return self.cluster.data_dir / "etcd"

    def audit_log(self, server: int) -> Path:
        return self.cluster.audit_log(server)


@contextmanager
def running_rig(folder: Path, policy: str, *, replicas: int) -> Iterator[Rig]:
    """Have everything run and ready, with its files in *folder*; everything is stopped afterwards."""
    with ProxiedControlPlane(folder / "control-plane", find_binaries(os.environ), options=_options(folder)) as cluster:
        cluster.start_proxies(folder)
        try:
            several = Replicas(cluster, folder, replicas, ["--log-level", "warning"])
            several.install()
            several.apply_policy(policy)
            for namespace in NAMESPACES:
                cluster.create_namespace(namespace)
            with several:
                several.wait_until_ready(60)
                yield Rig(cluster, several, ssl.create_default_context(cafile=str(cluster.access.ca_file)))
        finally:
            cluster.stop_proxies()


def _options(folder: Path) -> Options:
    audit = folder / "audit-policy.yaml"
    audit.write_text(_audit_policy())
    return Options(
        servers=_SERVERS,
        own_hosts=True,
        audit_level="Metadata",
        etcd_compaction_interval="0",
        flags={
            "etcd": [f"--quota-backend-bytes={_ETCD_BYTES}"],
            "kube-apiserver": [f"--audit-policy-file={audit}", "--audit-log-maxsize=100000"],
            f"kube-apiserver-{CALM}": ["--watch-cache=false"],
        },
    )


def _audit_policy() -> str:
    """Only the writes of pods, which are judged, and only who was answered what."""
    pods = {"group": "", "resources": ["pods", "pods/resize"]}
    rules = [
        {"level": "Metadata", "verbs": ["create", "update", "patch"], "resources": [pods], "namespaces": NAMESPACES},
        {"level": "None"},
    ]
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
    return json.dumps(policy)
