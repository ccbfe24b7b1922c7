"""
Build the command lines of etcd, kube-apiserver and kube-controller-manager.

Nothing is started or written here.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster.addresses import LOOPBACK
from localcluster.binaries import Binaries
from localcluster.errors import LocalClusterError
from localcluster.pki import FRONT_PROXY, Pki


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of the files of one control plane."""

    folder: Path

    @property
    def pki(self) -> Path:
        """The folder of certificates and keys."""
        return self.folder / "pki"

    @property
    def etcd(self) -> Path:
        """The folder of etcd's data: 130 MB from the start of etcd."""
        return self.folder / "etcd"

    @property
    def kubeconfigs(self) -> Path:
        """The folder of the kubeconfigs, which are written on demand."""
        return self.folder / "kubeconfigs"

    @property
    def tokens(self) -> Path:
        """The file of users that kube-apiserver reads."""
        return self.folder / "tokens.csv"

    @property
    def audit_policy(self) -> Path:
        """The policy of the audit log."""
        return self.folder / "audit-policy.yaml"

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self.folder / "logs" / f"{name}.log"

    def audit_log(self, server: int) -> Path:
        """Return the audit log of an API server: one JSON event per line."""
        return self.folder / "logs" / f"audit-{server}.jsonl"


@dataclass(frozen=True, slots=True)
class Site:
    """The programs and the files of one control plane."""

    binaries: Binaries
    layout: Layout
    pki: Pki


def etcd_argv(site: Site, *, client_port: int, peer_port: int) -> list[str]:
    """Return the command line of a single etcd that accepts clients with our certificate only."""
    pki = site.pki
    client, peer = (f"https://{LOOPBACK}:{port}" for port in (client_port, peer_port))
    return [
        str(site.binaries.etcd),
        f"--data-dir={site.layout.etcd}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        f"--cert-file={pki.certificate_file}",
        f"--key-file={pki.key_file}",
        f"--trusted-ca-file={pki.ca_file}",
        "--client-cert-auth",
        f"--peer-cert-file={pki.certificate_file}",
        f"--peer-key-file={pki.key_file}",
        f"--peer-trusted-ca-file={pki.ca_file}",
        "--peer-client-cert-auth",
        "--socket-reuse-port",  # see HeldPort
        "--unsafe-no-fsync",  # survives a crash of etcd, not one of the machine: enough for tests
        "--log-level=warn",
    ]


def apiserver_argv(site: Site, *, port: int, etcd_port: int, service_accounts: bool) -> list[str]:
    """
    Return the command line of a kube-apiserver.

    Without *service_accounts* pods need no service account: only the controller manager creates ``default``.
    """
    pki = site.pki
    argv = [
        str(site.binaries.kube_apiserver),
        f"--etcd-servers=https://{LOOPBACK}:{etcd_port}",
        f"--etcd-cafile={pki.ca_file}",
        f"--etcd-certfile={pki.certificate_file}",
        f"--etcd-keyfile={pki.key_file}",
        f"--secure-port={port}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        "--permit-port-sharing",  # see HeldPort
        f"--tls-cert-file={pki.certificate_file}",
        f"--tls-private-key-file={pki.key_file}",
        f"--client-ca-file={pki.ca_file}",
        f"--token-auth-file={site.layout.tokens}",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki.service_account_key_file}",
        f"--service-account-signing-key-file={pki.service_account_key_file}",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--endpoint-reconciler-type=none",  # the Service kubernetes cannot point to loopback
        "--allow-privileged",
        f"--requestheader-client-ca-file={pki.front_proxy_ca_file}",
        f"--requestheader-allowed-names={FRONT_PROXY}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki.front_proxy_certificate_file}",
        f"--proxy-client-key-file={pki.front_proxy_key_file}",
    ]
    return argv if service_accounts else [*argv, "--disable-admission-plugins=ServiceAccount"]


def audit_flags(layout: Layout, server: int) -> tuple[str, ...]:
    """Return the flags with which an API server writes an audit log."""
    return (f"--audit-policy-file={layout.audit_policy}", f"--audit-log-path={layout.audit_log(server)}")


def controller_manager_argv(binary: Path, pki: Pki, *, kubeconfig: Path) -> list[str]:
    """Return the command line of a kube-controller-manager whose controllers use a service account each."""
    return [
        str(binary),
        f"--kubeconfig={kubeconfig}",
        f"--root-ca-file={pki.ca_file}",
        f"--service-account-private-key-file={pki.service_account_key_file}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--authentication-skip-lookup",
        "--secure-port=0",
        # The defaults (20 and 30) make a test with some hundred pods wait for the client, not for the server.
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        # No kubelet tells that a node is well: whoever makes one says so, and it stays ready.
        "--node-monitor-grace-period=1000h",
    ]


def on_own_host(argv: Sequence[str], name: str) -> list[str]:
    """
    Return a command line that runs *argv* with the host name *name*, which no other process sees (Linux).

    A user other than root needs user namespaces for that. The process becomes *argv*: signals reach it.

    Raises: LocalClusterError where there is no `unshare`, which is part of util-linux.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        raise LocalClusterError("a host name of its own needs `unshare`, of util-linux")
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    rename = 'echo "$0" > /proc/sys/kernel/hostname && exec "$@"'
    return [unshare, *rights, "--uts", "/bin/sh", "-c", rename, name, *argv]
