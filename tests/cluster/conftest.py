"""One webhook for all tests of this folder, on a cluster used by no other folder."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator

import pytest

from localcluster.controlplane import ControlPlane
from tests.cluster.people import Person
from tests.cluster.running import RunningWebhook, eventually

UNLIMITED = "version: 1\n"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def running(two_servers: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWebhook]:
    webhook = RunningWebhook(two_servers, tmp_path_factory.mktemp("userquota"))
    webhook.install()
    webhook.apply_policy(UNLIMITED)
    webhook.start()
    webhook.wait_until_ready()
    yield webhook
    webhook.stop()
    webhook.uninstall()


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
    kinds = "deployments,replicasets,statefulsets,jobs,replicationcontrollers"
    running.cluster.kubectl("delete", kinds, "--all", "-n", name, "--wait=false")
    eventually(lambda: _no_pods_left(running, name), within=60)
    running.cluster.kubectl("delete", "--raw", f"/api/v1/namespaces/{name}/persistentvolumeclaims")
    eventually(lambda: running.cluster.kubectl("get", "pvc", "-n", name, "-o", "name").stdout == "", within=60)
    running.cluster.kubectl("delete", "namespace", name, "--wait=false")


def _no_pods_left(running: RunningWebhook, namespace: str) -> bool:
    """Delete all pods in one request: kubectl deletes one by one, a minute for a thousand pods."""
    running.cluster.kubectl("delete", "--raw", f"/api/v1/namespaces/{namespace}/pods?gracePeriodSeconds=0")
    return running.cluster.kubectl("get", "pods", "-n", namespace, "-o", "name").stdout == ""
