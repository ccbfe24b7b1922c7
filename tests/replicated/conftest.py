"""
Three replicas behind a balancer, and two API servers used by no other folder.

Each test has its own namespace and users: reservations that it leaves for 40 seconds affect no other test.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from localcluster.binaries import Binaries
from localcluster.controlplane import ControlPlane
from localcluster.plan import Options
from localcluster.users import PEOPLE, PEOPLE_GROUP, User
from tests.cluster.running import eventually
from tests.conftest import run_control_plane
from tests.replicas import Replicas
from tests.replicated import unstored
from tests.replicated.asking import Asking
from tests.replicated.unstored import Unstored

UNLIMITED = "version: 1\n"

_KNOWN = ("person-loss", unstored.LOOPING, unstored.SCATTERING, unstored.COLLEAGUE)
_NOBODY_YET = tuple(User(f"person-{number}", (PEOPLE_GROUP,)) for number in range(60))
_names = itertools.count()


@pytest.fixture(scope="package")
def cluster(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    options = Options(
        controller_manager=True,
        servers=2,
        people=(*PEOPLE, *(User(name, (PEOPLE_GROUP,)) for name in _KNOWN), *_NOBODY_YET),
    )
    yield from run_control_plane(binaries, tmp_path_factory, options)


@pytest.fixture
def own_cluster(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Two API servers for one test, without a registered webhook."""
    yield from run_control_plane(binaries, tmp_path_factory, Options(controller_manager=True, servers=2))


@pytest.fixture(scope="package")
def three(cluster: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    """The three replicas. Use `replicas`, which waits until they are ready."""
    replicas = Replicas(cluster, tmp_path_factory.mktemp("userquota"), 3)
    replicas.install()
    replicas.apply_policy(UNLIMITED)
    with replicas:
        yield replicas


@pytest.fixture
def replicas(three: Replicas) -> Replicas:
    """The three replicas, all running, ready, and without a warning such as a ledger in reconstruction."""
    for i in range(three.count):
        if not three.is_running(i):
            three.start_one(i)
    three.wait_until_ready()
    return three


@pytest.fixture
def place(cluster: ControlPlane, replicas: Replicas) -> Iterator[str]:
    """A namespace for one test, emptied afterwards."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.create_namespace(name)
    yield name
    cluster.kubectl("delete", "deployments,replicasets", "--all", "-n", name, "--wait=false")
    eventually(lambda: _no_pods_left(cluster, name))
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="package")
def refused(cluster: ControlPlane, three: Replicas) -> Iterator[Unstored]:
    """Creates that ResourceQuota denied after our review; their reservations last 40 seconds."""
    three.wait_until_ready()
    for name in (closed := "test-closed", opened := "test-opened"):
        cluster.create_namespace(name)
    yield asyncio.run(unstored.play(three, closed, opened))
    cluster.kubectl("delete", "namespace", closed, opened, "--wait=false")


@pytest.fixture
def new_person() -> Callable[[], str]:
    """Returns a user that no other test uses."""
    return lambda: _NOBODY_YET[next(_names)].name


@pytest.fixture
def person(new_person: Callable[[], str]) -> str:
    return new_person()


@pytest.fixture
async def asking(cluster: ControlPlane) -> AsyncIterator[Asking]:
    async with Asking(cluster) as asking:
        yield asking


def limited(*people: str, pods: int) -> str:
    """Return a policy with a limit of pods for each of *people*, and none for other users."""
    entries = "".join(f"  {name}: {{hard: {{pods: {pods}}}}}\n" for name in people)
    return f"version: 1\nusers:\n{entries}"


def _no_pods_left(cluster: ControlPlane, name: str) -> bool:
    cluster.kubectl("delete", "--raw", f"/api/v1/namespaces/{name}/pods?gracePeriodSeconds=0")
    return cluster.kubectl("get", "pods", "-n", name, "-o", "name").stdout == ""
