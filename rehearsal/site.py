"""
The processes of a rehearsal: etcd that keeps all revisions, the API servers, one more for the record, the controllers.

Replicas of userquota are prepared, and not started: the cluster lives without them first.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster.binaries import find_binaries
from localcluster.controlplane import ControlPlane
from localcluster.plan import Options
from localcluster.users import ADMIN
from rehearsal.client import Client
from rehearsal.sizes import Size
from tests.replicas import Replicas

_ETCD_BYTES = 8 * 2**30


@dataclass(frozen=True, slots=True)
class Site:
    """The processes that run, and the folder of their files."""

    cluster: ControlPlane
    replicas: Replicas
    folder: Path
    servers: int
    tls: ssl.SSLContext

    @property
    def token(self) -> str:
        """Return the admin's token."""
        return self.cluster.access.token(ADMIN)

    @property
    def calm_url(self) -> str:
        """Return the URL of the API server that the recorder watches."""
        return self.cluster.server_urls[self.servers]

    def client(self) -> Client:
        return Client(self.cluster.server_urls[: self.servers], tls=self.tls, token=self.token)

    def audit_logs(self) -> list[Path]:
        return [self.cluster.audit_log(server) for server in range(1, self.servers + 2)]


@contextmanager
def running_site(folder: Path, size: Size) -> Iterator[Site]:
    """Start the control plane, with its files in *folder*; stop it and the replicas afterwards."""
    with ControlPlane(folder / "control-plane", find_binaries(os.environ), options=_options(folder, size)) as cluster:
        replicas = Replicas(cluster, folder, size.replicas)
        tls = ssl.create_default_context(cafile=str(cluster.access.ca_file))
        try:
            yield Site(cluster, replicas, folder, size.servers, tls)
        finally:
            replicas.stop()


def _options(folder: Path, size: Size) -> Options:
    audit = folder / "audit-policy.yaml"
    audit.write_text(json.dumps(_AUDIT_POLICY))
    flags = [f"--audit-policy-file={audit}", "--audit-log-maxsize=100000"]
    calm = f"kube-apiserver-{size.servers + 1}"
    return Options(
        servers=size.servers + 1,
        controller_manager=True,
        audit_level="Metadata",
        etcd_compaction_interval="0",
        flags={
            "etcd": [f"--quota-backend-bytes={_ETCD_BYTES}"],
            "kube-apiserver": flags,
            calm: ["--watch-cache=false"],
        },
    )


_WRITES = ["create", "update", "patch", "delete", "deletecollection"]
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "resources": [{"group": "coordination.k8s.io"}, {"group": "", "resources": ["events"]}]},
        {"level": "None", "resources": [{"group": "events.k8s.io"}]},
        {"level": "None", "namespaces": ["userquota-system", "kube-system"]},
        {"level": "Metadata", "verbs": _WRITES},
        {"level": "None"},
    ],
}
"""Every write outside the system namespaces, without bodies."""
