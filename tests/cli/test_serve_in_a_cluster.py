"""`userquota serve` with a cluster that refuses its requests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from localcluster.addresses import HeldPort
from localcluster.controlplane import ControlPlane
from tests.cli.running import userquota
from tests.cluster.running import ask, eventually, serve_argv


def refused(kubeconfig: Path, folder: Path, *options: str) -> str:
    """The one line on stderr."""
    ended = userquota("serve", "--kubeconfig", kubeconfig, "--listen", "127.0.0.1:0", *options, folder=folder)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    return ended.err


def test_missing_rights_are_named(control_plane: ControlPlane, tmp_path: Path) -> None:
    line = refused(control_plane.kubeconfig("alice"), tmp_path)
    assert 'User "alice" cannot' in line
    assert "secrets" in line


def test_a_namespace_that_is_not_there_is_named(control_plane: ControlPlane, tmp_path: Path) -> None:
    line = refused(control_plane.kubeconfig("admin"), tmp_path, "--namespace", "nowhere")
    assert 'namespaces "nowhere" not found' in line


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--namespace", "n" * 64, "no namespace has such a name: expected at most 63 letters a-z, digits and hyphens"),
        ("--namespace", "Quotas", "no namespace has such a name: expected at most 63 letters a-z, digits and hyphens"),
        ("--advertise-url", f"https://{'h' * 64}.example.com:1", "its name is too long: at most 63 characters "),
        ("--advertise-url", f"https://{'h.' * 127}hh:1", "its name is too long: at most 63 characters "),
    ],
)
def test_names_that_are_too_long_are_refused_with_their_option(
    control_plane: ControlPlane, tmp_path: Path, option: str, value: str, why: str
) -> None:
    line = refused(control_plane.kubeconfig("admin"), tmp_path, option, value)
    assert line.startswith(f"userquota: {option} {value}: {why}")


def test_without_rights_to_webhook_configurations_it_is_not_ready_says_why_and_makes_no_ledger(
    control_plane: ControlPlane, tmp_path: Path, namespace: str
) -> None:
    role = ("--namespace", namespace, "--verb=*", "--resource=configmaps,secrets")
    control_plane.kubectl("create", "role", "own", *role)
    control_plane.kubectl("create", "rolebinding", "own", "--namespace", namespace, "--role=own", "--user=dave")
    held = HeldPort()
    held.release()
    url = f"https://127.0.0.1:{held.number}"
    ca = tmp_path / "ca.crt"
    argv = serve_argv(control_plane.kubeconfig("dave"), listen=f"127.0.0.1:{held.number}", advertise_url=url, ca_out=ca)
    log = tmp_path / "log"
    with log.open("wb") as out, subprocess.Popen([*argv, "--namespace", namespace], stdout=out) as process:
        lacks = 'cannot get resource "mutatingwebhookconfigurations"'
        eventually(lambda: lacks in ask(f"{url}/readyz", ca_file=ca))
        readiness = ask(f"{url}/readyz", ca_file=ca)
        eventually(lambda: "leases" in log.read_text())
        process.terminate()

    right = 'cannot get resource \\"mutatingwebhookconfigurations\\"'
    assert "registration: the webhook configurations are not in place" in readiness
    assert lacks in readiness
    assert right in log.read_text()
    assert 'cannot list resource \\"leases\\"' in log.read_text()
    made = control_plane.kubectl("get", "configmaps,secrets", "--namespace", namespace, "--output=name").stdout.split()
    assert sorted(made) == ["configmap/kube-root-ca.crt", "secret/userquota-ca"]
