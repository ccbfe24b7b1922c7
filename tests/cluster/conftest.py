"""One webhook for all tests of this folder, on a cluster used by no other folder."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from localcluster.controlplane import ControlPlane
from localcluster.plan import API_SERVER, Options
from tests.cluster.given import GivenCluster, InstalledWebhook
from tests.cluster.people import Person
from tests.cluster.platforms import HUB, installed
from tests.cluster.preset_walks import PLATFORMS, WALKS
from tests.cluster.running import NAMESPACE, RunningWebhook, eventually
from tests.conftest import run_control_plane
from tests.replicated.asking import Asking
from webhook.registration import manifest_files

UNLIMITED = "version: 1\n"
AUDITED = "audited"
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "rules": [{"level": "Metadata", "namespaces": [AUDITED], "omitStages": ["RequestReceived"]}],
}
"""The audit logs have what happens in the one namespace, for tests that read it there."""

_WORKLOADS = (
    ("apis/apps/v1", "deployments"),
    ("apis/apps/v1", "replicasets"),
    ("apis/apps/v1", "statefulsets"),
    ("apis/batch/v1", "jobs"),
    ("api/v1", "replicationcontrollers"),
)
_numbers = itertools.count()


@pytest.fixture(scope="session")
def two_servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The cluster of USERQUOTA_KUBECONFIG, for tests with the mark `given`; otherwise one as for other folders."""
    if "USERQUOTA_KUBECONFIG" in os.environ:
        yield GivenCluster(Path(os.environ["USERQUOTA_KUBECONFIG"]))
    else:
        audit = tmp_path_factory.mktemp("audit") / "policy.yaml"
        audit.write_text(json.dumps(AUDIT_POLICY))
        flags = {API_SERVER: (f"--audit-policy-file={audit}",)}
        options = Options(controller_manager=True, servers=2, audit_level="Metadata", flags=flags)
        yield from run_control_plane(request.getfixturevalue("binaries"), tmp_path_factory, options)


@pytest.fixture(scope="session")
def running(two_servers: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWebhook]:
    if isinstance(two_servers, GivenCluster):
        yield InstalledWebhook(two_servers)
        return
    webhook = RunningWebhook(two_servers, tmp_path_factory.mktemp("userquota"))
    webhook.install()
    webhook.apply_policy(UNLIMITED)
    webhook.start()
    try:
        webhook.wait_until_ready()
        yield webhook
    finally:
        webhook.stop()
        webhook.uninstall()


@pytest.fixture(scope="session")
def platforms(running: RunningWebhook) -> Iterator[None]:
    """All platforms of the shipped presets, as long as any test uses them: a kind that comes back is found slowly."""
    with installed(running.cluster, *PLATFORMS, others=[HUB, *(each.username for each in WALKS)]):
        yield


@pytest.fixture(scope="module")
def view(running: RunningWebhook) -> Iterator[None]:
    """API servers pass what is asked of the view on to the replica."""
    listed = manifest_files.view()
    api_service = next(each["spec"] for each in listed if each["kind"] == "APIService")
    api_service["caBundle"] = base64.b64encode(running.ca.read_bytes()).decode()
    api_service["service"]["port"] = running.view_port
    spec = {"type": "ExternalName", "externalName": "localhost"}
    meta = {"name": "userquota", "namespace": NAMESPACE}
    listed.append({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": listed})
    running.cluster.kubectl("apply", "-f", "-", stdin=manifest)
    for server in (1, 2):
        eventually(partial(_is_seen, running, server))
    yield
    running.cluster.kubectl("delete", "-f", "-", stdin=manifest)


def _is_seen(running: RunningWebhook, server: int) -> bool:
    path = "/apis/view.userquota.dev/v1alpha1/quotas"
    return running.cluster.kubectl("get", "--raw", path, server=server, check=False).returncode == 0


@pytest.fixture
def place(running: RunningWebhook) -> Iterator[str]:
    """A namespace for one test, emptied afterwards so that its usage does not affect the next test."""
    yield from emptied(running)


@pytest.fixture(scope="module")
def common_place(running: RunningWebhook) -> Iterator[str]:
    """A namespace for all tests of a module, each of which leaves nothing there that affects the next one."""
    yield from emptied(running)


@pytest.fixture
def person(running: RunningWebhook, common_place: str) -> Iterator[Person]:
    """Somebody whom no other test knows, in the namespace of all tests of the module, which is emptied afterwards."""
    person = Person(running, common_place, f"person-{next(_numbers)}")
    yield person
    person.leave()


@pytest.fixture
def named(running: RunningWebhook, place: str) -> Callable[[str], Person]:
    """Return people whom no other test knows, in the namespace of the test, by their first names."""
    return lambda name: Person(running, place, f"{name}-{next(_numbers)}")


@pytest.fixture
def runtime_class(running: RunningWebhook, place: str) -> Iterator[str]:
    """A RuntimeClass of which each pod costs 50m cpu more."""
    name = f"kata-of-{place}"
    body = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": name},
        "handler": "kata",
        "overhead": {"podFixed": {"cpu": "50m"}},
    }
    running.cluster.kubectl("create", "-f", "-", stdin=json.dumps(body))
    yield name
    running.cluster.kubectl("delete", "runtimeclass", name)


def emptied(running: RunningWebhook) -> Iterator[str]:
    name = new_place(running)
    yield name
    empty(running, name)


def new_place(running: RunningWebhook) -> str:
    """Create a namespace; return its name."""
    name = f"test-{secrets.token_hex(4)}"
    running.cluster.create_namespace(name)
    return name


def empty(running: RunningWebhook, name: str) -> None:
    """Delete a namespace and, at once, what is charged in it; nobody has a limit any more."""
    running.set_policy(UNLIMITED + f"# after {name}\n")
    if isinstance(running.cluster, GivenCluster):
        running.cluster.kubectl("delete", "namespace", name, "--timeout=120s", timeout=130)
        return
    asyncio.run(delete_place(running.cluster, name))


async def delete_place(cluster: ControlPlane, name: str) -> None:
    """Delete all objects of a kind in one request: kubectl deletes one by one, a minute for a thousand pods."""
    in_background = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    at_once = {**in_background, "gracePeriodSeconds": 0}
    charged = [f"/api/v1/namespaces/{name}/{resource}" for resource in ("pods", "persistentvolumeclaims")]
    async with Asking(cluster) as asking:

        async def delete(path: str, options: object) -> None:
            answer = await asking.ask("DELETE", path, body=options)
            assert answer.status == 200, answer.text

        async def are_left() -> bool:
            answers = [await asking.ask("GET", path) for path in charged]
            return any(json.loads(each.text)["items"] for each in answers)

        for group, resource in _WORKLOADS:
            await delete(f"/{group}/namespaces/{name}/{resource}", in_background)
        end = time.monotonic() + 60
        while True:
            for path in charged:
                await delete(path, at_once)
            if not await are_left():
                break
            assert time.monotonic() < end, f"{name} is not emptied within a minute"
            await asyncio.sleep(0.05)
        await delete(f"/api/v1/namespaces/{name}", in_background)
