"""Real control planes for the tests that talk to Kubernetes; those tests carry the mark ``cluster`` by themselves."""

import os
import secrets
import shutil
from collections.abc import Iterator

import pytest
from _pytest.capture import CaptureManager
from hypothesis import HealthCheck, settings

from localcluster.binaries import Binaries, find_binaries
from localcluster.controlplane import ControlPlane
from localcluster.plan import Options
from tests.oracle.program import Oracle, find_oracle

# How long an example takes says something about this machine's neighbours. Where a failure would stop somebody else's
# change, the examples are the same each time; here every run tries others.
settings.register_profile(
    "userquota",
    deadline=None,
    derandomize="CI" in os.environ,
    # Some laws speak of few worlds only; how many are thrown away to find them is no failure of the code.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    print_blob=True,
)
settings.load_profile("userquota")

CLUSTER_FIXTURES = frozenset({"binaries", "control_plane", "two_servers"})


@pytest.hookimpl(tryfirst=True)  # before pytest itself reads -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and CLUSTER_FIXTURES.intersection(item.fixturenames):
            item.add_marker("cluster")


@pytest.fixture(scope="session")
def binaries(pytestconfig: pytest.Config) -> Binaries:
    """The first session on a machine builds them: the minutes that takes are not spent in silence."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert isinstance(capture, CaptureManager)
    with capture.global_and_fixture_disabled():
        return find_binaries(os.environ)


@pytest.fixture(scope="session")
def control_plane(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One API server and the controller manager, for the whole session: work in a namespace of your own."""
    yield from run_control_plane(binaries, tmp_path_factory, Options(controller_manager=True))


@pytest.fixture(scope="session")
def two_servers(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Two API servers on one etcd, and the controller manager; another cluster than that of ``control_plane``."""
    yield from run_control_plane(binaries, tmp_path_factory, Options(controller_manager=True, servers=2))


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A fresh namespace in ``control_plane``, which pods can be created in."""
    name = f"test-{secrets.token_hex(4)}"
    control_plane.create_namespace(name)
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


def run_control_plane(
    binaries: Binaries, tmp_path_factory: pytest.TempPathFactory, options: Options
) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("control-plane") / "run"
    with ControlPlane(folder, binaries, options=options) as control_plane:
        yield control_plane
    shutil.rmtree(folder / "etcd")  # pytest keeps the rest, with the logs, for three sessions


@pytest.fixture(scope="session")
def oracle(pytestconfig: pytest.Config) -> Oracle:
    """The first session on a machine builds it: where the control plane was not built yet, that takes minutes."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert isinstance(capture, CaptureManager)
    with capture.global_and_fixture_disabled():
        return Oracle(find_oracle(os.environ))
