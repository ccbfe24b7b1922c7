"""
The processes of a run: an etcd that keeps all revisions, two API servers with faults, a third for the record, replicas.

The faults: see `faults`.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from localcluster.binaries import find_binaries
from localcluster.controlplane import ControlPlane
from localcluster.plan import Options
from localcluster.users import ADMIN, PEOPLE_GROUP
from nemesis.accounting import CLASSES
from nemesis.records import CLAIMS, POLICY, PROBED_BEFORE, SESSION_TYPE, SESSIONS, SYSTEM_NAMESPACE
from nemesis.wishes import CONTROLLER, too_much
from nemesis.workload import NAMESPACES, USERS
from tests.cluster.running import eventually
from tests.replicas import Replicas, checked_out
from tests.running_proxy import RunningProxy

HURT = (1, 2)
"""The numbers of the API servers that clients talk to and that have faults."""

CALM = 3
"""The number of the API server that the recorder watches."""

_SERVERS = 3
_ETCD_BYTES = 16 * 2**30


class ProxiedControlPlane(ControlPlane):
    """A control plane with a proxy between the replicas and each API server, once `start_proxies` was called."""

    def start_proxies(self, folder: Path) -> None:
        self.proxies = [
            RunningProxy(f"proxy-{number}", url, folder) for number, url in enumerate(self.server_urls, start=1)
        ]
        for proxy in self.proxies:
            proxy.start()

    def kubeconfig(self, user: str = ADMIN, *, server: int = 1) -> Path:
        """Return a kubeconfig with the address of that API server's proxy."""
        original = super().kubeconfig(user, server=server)
        proxied = original.with_suffix(".proxied")
        proxied.write_text(original.read_text().replace(self.server_urls[server - 1], self.proxies[server - 1].url))
        return proxied

    def stop_proxies(self) -> None:
        for proxy in self.proxies:
            proxy.stop()


@dataclass(frozen=True, slots=True)
class Rig:
    """The processes that run."""

    cluster: ProxiedControlPlane
    replicas: Replicas
    tls: ssl.SSLContext

    def url(self, server: int) -> str:
        return self.cluster.server_urls[server - 1]

    def token(self, user: str = ADMIN) -> str:
        return self.cluster.access.token(user)

    def tell_proxy(self, replica: int, what: signal.Signals) -> None:
        """Stall, continue or reset the connections of a replica: see `proxy`."""
        self.cluster.proxies[replica % _SERVERS].send(what)

    @property
    def etcd_folder(self) -> Path:
        return self.cluster.data_dir / "etcd"

    def audit_log(self, server: int) -> Path:
        return self.cluster.audit_log(server)


@contextmanager
def running_rig(
    folder: Path, policy: str, *, replicas: int, older: str = "", options: Sequence[str] = ()
) -> Iterator[Rig]:
    """
    Start all processes, with their files in *folder*, and wait until they are ready; stop them afterwards.

    Every other start of a replica runs the code of revision *older*, if one is given. All start with *options*.
    """
    checkout = checked_out(older, folder / "older") if older else None
    with ProxiedControlPlane(folder / "control-plane", find_binaries(os.environ), options=_options(folder)) as cluster:
        cluster.start_proxies(folder)
        try:
            several = Replicas(cluster, folder, replicas, ["--log-level", "warning", *options], older=checkout)
            several.install()
            several.apply_policy(policy)
            for namespace in NAMESPACES:
                cluster.create_namespace(namespace)
            cluster.kubectl("apply", "-f", "-", stdin=_needed())
            cluster.kubectl("wait", "--for=condition=Established", f"crd/{SESSIONS}")
            with several:
                several.wait_until_ready(60)
                for server in HURT:
                    eventually(partial(_are_sessions_limited, cluster, server), within=60)
                yield Rig(cluster, several, ssl.create_default_context(cafile=str(cluster.access.ca_file)))
        finally:
            cluster.stop_proxies()


def _are_sessions_limited(cluster: ControlPlane, server: int) -> bool:
    """Whether an API server asks about sessions: their webhook is registered once the replicas have found the kind."""
    *_, session = too_much(USERS[0], NAMESPACES[0], PROBED_BEFORE)
    words = ("create", "--dry-run=server", "-n", session.namespace, "-f", "-")
    told = cluster.kubectl(*words, user=session.user, stdin=session.body, server=server, check=False)
    return "exceeded quota" in told.stderr or "larger than quota" in told.stderr


def _needed() -> str:
    """
    Return the StorageClasses, without which no claim can grow, the kind of sessions, and rights: that of people to make
    ResourceClaims and sessions, and those of the account that makes the pods of sessions.
    """
    name, controller = "nemesis-people", "nemesis-controller"
    classes = [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": each},
            "provisioner": "example.com/none",
            "allowVolumeExpansion": True,
            "volumeBindingMode": "WaitForFirstConsumer",
        }
        for each in CLASSES
    ]
    group, plural = SESSIONS.partition(".")[2], SESSIONS.partition(".")[0]
    rules = [
        {"apiGroups": ["resource.k8s.io"], "resources": ["resourceclaims"], "verbs": ["*"]},
        {"apiGroups": [group], "resources": [plural], "verbs": ["*"]},
    ]
    rights = [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": rules,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": PEOPLE_GROUP}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": controller},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": CONTROLLER}],
        },
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [_definition(group, plural), *classes, *rights]})


def _definition(group: str, plural: str) -> dict[str, object]:
    """Return the CustomResourceDefinition of sessions, in the shape of Kubeflow's without its schema."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": SESSION_TYPE["apiVersion"].partition("/")[2],
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": SESSIONS},
        "spec": {
            "group": group,
            "names": {"kind": SESSION_TYPE["kind"], "plural": plural},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


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
    """Log the writes of what is charged, and the edits of the policy, without their bodies."""
    charged = [
        {"group": "", "resources": ["pods", "pods/resize", CLAIMS, f"{CLAIMS}/status"]},
        {"group": "resource.k8s.io", "resources": ["resourceclaims"]},
        {"group": "kubeflow.org", "resources": ["notebooks"]},
    ]
    policy = {"group": "", "resources": ["configmaps"], "resourceNames": [POLICY]}
    rules = [
        {"level": "Metadata", "verbs": ["create", "update", "patch"], "resources": charged, "namespaces": NAMESPACES},
        {"level": "Metadata", "verbs": ["patch"], "resources": [policy], "namespaces": [SYSTEM_NAMESPACE]},
        {"level": "None"},
    ]
    kept = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
    return json.dumps(kept)
