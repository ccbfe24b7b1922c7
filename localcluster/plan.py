"""
Prepare one control plane: its folder, its ports, its processes and their readiness probes.

Nothing is started here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from localcluster.access import ClusterAccess
from localcluster.addresses import LOOPBACK, HeldPort
from localcluster.binaries import Binaries
from localcluster.commands import (
    Layout,
    Site,
    apiserver_argv,
    audit_flags,
    controller_manager_argv,
    etcd_argv,
    on_own_host,
)
from localcluster.errors import BinariesMissingError
from localcluster.pki import create_pki, write_private
from localcluster.processes import ChildProcess
from localcluster.readiness import Probe
from localcluster.users import ADMIN, CONTROLLER_MANAGER, PEOPLE, SYSTEM_USERS, User, new_tokens, token_file

ETCD = "etcd"
API_SERVER = "kube-apiserver"
CONTROLLERS = "kube-controller-manager"


@dataclass(frozen=True, slots=True)
class Options:
    """
    The options of a control plane.

    ``people`` have tokens, as the admin has. ``audit_level`` is one of Kubernetes' audit levels, such as ``Metadata``;
    None keeps no audit log. ``etcd_compaction_interval`` is a Go duration; ``0`` keeps every revision; None is the API
    server's own default. ``flags`` are added by process name and take precedence over ours;
    ``kube-apiserver`` stands for all API servers, ``kube-apiserver-2`` for the second one. ``detached`` processes
    outlive the one that started them.
    ``own_hosts`` gives each API server a host name of its own, as on machines of their own: otherwise they share the
    Lease that each renews while it works. That needs Linux, and root or unprivileged user namespaces.
    ``addresses`` are those at which API servers are called beside loopback: name them in the flags, too.
    ``etcd_ports`` maps the number of an API server to the loopback port at which it reaches etcd, such as a proxy's.
    """

    servers: int = 1
    own_hosts: bool = False
    addresses: tuple[str, ...] = ()
    etcd_ports: Mapping[int, int] = field(default_factory=dict)
    controller_manager: bool = False
    people: tuple[User, ...] = PEOPLE
    audit_level: str | None = None
    etcd_compaction_interval: str | None = None
    flags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    detached: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """A process that can be started; ``probe`` is None where it has no endpoint for readiness."""

    process: ChildProcess
    probe: Probe | None


@dataclass(frozen=True, slots=True)
class Plan:
    """All that starting a control plane takes; the processes are in the order of their start."""

    access: ClusterAccess
    processes: Mapping[str, Planned]
    ports: tuple[HeldPort, ...]


def prepare(layout: Layout, binaries: Binaries, options: Options) -> Plan:
    """
    Create the folder with all files in it, and hold the ports.

    Raises: FileExistsError if the folder exists; BinariesMissingError.
    """
    controller_manager = _controller_manager(binaries) if options.controller_manager else None
    layout.folder.mkdir(mode=0o700, parents=True)
    pki = create_pki(layout.pki, options.addresses)
    site = Site(binaries, layout, pki)
    users = (*SYSTEM_USERS, *options.people)
    tokens = new_tokens(users)
    write_private(layout.tokens, token_file(users, tokens).encode())
    if options.audit_level is not None:
        layout.audit_policy.write_text(_audit_policy(options.audit_level))
    ports = tuple(HeldPort() for _ in range(2 + options.servers))
    client_port, peer_port, *server_ports = (port.number for port in ports)
    access = ClusterAccess(
        server_urls=tuple(f"https://{LOOPBACK}:{port}" for port in server_ports),
        ca_file=pki.ca_file,
        tokens=tokens,
        folder=layout.kubeconfigs,
        kubectl_binary=binaries.kubectl,
    )
    argv = etcd_argv(site, client_port=client_port, peer_port=peer_port)
    processes = {
        ETCD: _planned(ETCD, argv, site, options, probe=Probe(f"https://{LOOPBACK}:{client_port}/readyz", pki))
    }
    for number, port in enumerate(server_ports, start=1):
        name = f"{API_SERVER}-{number}"
        etcd_port = options.etcd_ports.get(number, client_port)
        argv = apiserver_argv(site, port=port, etcd_port=etcd_port, service_accounts=controller_manager is not None)
        argv += _server_flags(layout, options, number)
        if options.own_hosts:
            argv = on_own_host(argv, name)
        probe = Probe(f"https://{LOOPBACK}:{port}/readyz", pki, token=access.token(ADMIN))
        processes[name] = _planned(name, argv, site, options, probe=probe)
    if controller_manager is not None:
        argv = controller_manager_argv(controller_manager, pki, kubeconfig=access.kubeconfig(CONTROLLER_MANAGER))
        processes[CONTROLLERS] = _planned(CONTROLLERS, argv, site, options)
    return Plan(access, processes, ports)


def _controller_manager(binaries: Binaries) -> Path:
    if binaries.kube_controller_manager is None:
        raise BinariesMissingError(binaries.etcd.parent, ("kube-controller-manager",))
    return binaries.kube_controller_manager


def _planned(name: str, argv: Sequence[str], site: Site, options: Options, *, probe: Probe | None = None) -> Planned:
    argv = [*argv, *options.flags.get(name, ())]
    process = ChildProcess(name, argv, log_file=site.layout.log(name), detached=options.detached)
    return Planned(process, probe)


def _server_flags(layout: Layout, options: Options, number: int) -> list[str]:
    flags: list[str] = []
    if options.audit_level is not None:
        flags += audit_flags(layout, number)
    if options.etcd_compaction_interval is not None:
        flags.append(f"--etcd-compaction-interval={options.etcd_compaction_interval}")
    return [*flags, *options.flags.get(API_SERVER, ())]


def _audit_policy(level: str) -> str:
    rule = {"level": level, "omitStages": ["RequestReceived"]}
    return yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [rule]})
