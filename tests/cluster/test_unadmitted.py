"""Pods created without a review are counted within seconds and reported."""

from __future__ import annotations

import json
import re
import secrets
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from localcluster.addresses import HeldPort
from localcluster.controlplane import ControlPlane
from localcluster.processes import ChildProcess
from tests.cluster.running import eventually, serve_argv
from tests.kube.test_object_list import create_pod


@dataclass(frozen=True)
class Unregistered:
    """A userquota that watches a cluster whose API server does not call it, as during an outage."""

    cluster: ControlPlane
    folder: Path
    home: str
    url: str

    def metric(self, name: str) -> float | None:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        context.check_hostname = False  # it is called by the name of a Service
        with urllib.request.urlopen(f"{self.url}/metrics", context=context, timeout=2) as answer:  # noqa: S310 - ours
            body = answer.read().decode()
        found = re.search(rf"^userquota_{name} (\S+)$", body, re.MULTILINE)
        return None if found is None else float(found[1])

    def is_in_step(self) -> bool:
        return '{"resource": "pods", "resource_version"' in self.output()

    def output(self) -> str:
        return (self.folder / "userquota.log").read_text()

    def messages(self) -> list[str]:
        found = self.cluster.kubectl("get", "events", "-n", self.home, "-o", "json").stdout
        return [each["message"] for each in json.loads(found)["items"] if each["reason"] == "UnadmittedUsage"]


@pytest.fixture
def unregistered(control_plane: ControlPlane, tmp_path: Path) -> Iterator[Unregistered]:
    home = f"userquota-{secrets.token_hex(4)}"
    control_plane.kubectl("create", "namespace", home)
    held = HeldPort()
    listen, url = f"127.0.0.1:{held.number}", f"https://127.0.0.1:{held.number}"
    held.release()
    argv = serve_argv(control_plane.kubeconfig(), listen=listen, advertise_url=url, ca_out=tmp_path / "ca.crt")
    at = argv.index("--advertise-url")
    argv = [*argv[:at], *argv[at + 2 :], "--namespace", home, "--allow-no-policy"]
    process = ChildProcess("userquota", argv, log_file=tmp_path / "userquota.log")
    process.start()
    made = Unregistered(control_plane, tmp_path, home, url)
    try:
        eventually(made.is_in_step, what=made.output)
        yield made
    finally:
        process.kill()
    control_plane.kubectl("delete", "namespace", home, "--wait=false")


def test_pods_created_without_a_review_are_counted_and_reported_in_five_seconds(
    unregistered: Unregistered, control_plane: ControlPlane, namespace: str
) -> None:
    before = unregistered.metric("unadmitted_objects") or 0
    create_pod(control_plane, namespace, "past-us", {})
    create_pod(control_plane, namespace, "ours", {"userquota.dev/owner": "alice", "userquota.dev/groups": "[]"})

    eventually(lambda: unregistered.metric("unadmitted_objects") == before + 1, within=5, what=unregistered.output)
    assert unregistered.metric("unadmitted_objects_seen_total") == 1
    eventually(lambda: bool(unregistered.messages()), what=unregistered.output)
    assert unregistered.messages() == [
        f"objects created without a review by userquota, which count nonetheless: 1 ({namespace}/past-us)"
    ]
    assert f'"object": "{namespace}/past-us", "event": "object was made past the webhook' in unregistered.output()

    control_plane.kubectl("delete", "pod", "past-us", "-n", namespace, "--force", "--grace-period=0")
    eventually(lambda: unregistered.metric("unadmitted_objects") == before, within=5, what=unregistered.output)
