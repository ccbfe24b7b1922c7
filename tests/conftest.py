"""Control planes and Go programs for the tests, and the marks that tell which tests need them."""

import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest
from _pytest.capture import CaptureManager
from hypothesis import HealthCheck, settings

from localcluster.binaries import Binaries, find_binaries
from localcluster.build import GO_MODULE
from localcluster.controlplane import ControlPlane
from localcluster.plan import Options
from localcluster.versions import pin_of
from tests.helm.running import Helm
from tests.kubeconfigs import connected
from tests.oracle.program import Oracle, find_oracle
from tests.overlays import Overlay
from tests.proxy import Proxy
from webhook.doctor.features import FEATURES, lacking, written
from webhook.kube.api import KubernetesApi

# No deadline: the time of one example depends on what else runs on the machine. In CI the examples are the same in each
# run, so that a change is not rejected for a failure that it did not cause; elsewhere every run tries other examples.
settings.register_profile(
    "userquota",
    deadline=None,
    derandomize="CI" in os.environ,
    # Some laws hold in few worlds only: throwing away most of the generated ones is no failure.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    print_blob=True,
)
settings.register_profile("quick", settings.get_profile("userquota"), max_examples=25)
settings.load_profile("userquota")

MARKS = {
    "chart": frozenset({"helm"}),
    "cluster": frozenset({"binaries", "control_plane", "two_servers"}),
    "go": frozenset({"oracle"}),
    "own_clusters": frozenset({"own_clusters", "stages"}),
}
"""The marks that a test gets for the fixtures it uses, directly or through another fixture."""

ONLY_WHEN_ASKED_FOR = frozenset({"chart", "debian"})
"""The marks of tests that run only where -m names the mark: each has a target of its own in the Makefile."""


@pytest.hookimpl(tryfirst=True)  # before pytest evaluates -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for mark, fixtures in MARKS.items():
            if isinstance(item, pytest.Function) and fixtures.intersection(item.fixturenames):
                item.add_marker(mark)
    version = asked_version(os.environ)
    for item in items:
        for needed in item.iter_markers("needs"):
            why = why_left_out(needed.args[0], version)
            if why:
                item.add_marker(pytest.mark.skip(why))
    for mark in ONLY_WHEN_ASKED_FOR.difference(re.findall(r"\w+", config.option.markexpr)):
        left_out = [item for item in items if item.get_closest_marker(mark)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def asked_version(environ: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the minor of the control plane that is built for tests; None where somebody else's is used."""
    if environ.get("KUBEBUILDER_ASSETS") or environ.get("USERQUOTA_KUBECONFIG"):
        return None
    major, minor = pin_of(GO_MODULE, environ.get("KUBERNETES")).minor.split(".")
    return int(major), int(minor)


def why_left_out(name: str, version: tuple[int, int] | None) -> str:
    """
    Return why a test that needs the feature *name* is left out with that version of Kubernetes; nothing if it runs.

    That the feature is not there is tested by `doctor/test_features_of_a_server.py`.
    """
    [feature] = [each for each in FEATURES if each.name == name]
    if version is None or feature not in lacking(version):
        return ""
    return f"{name}: from Kubernetes {written(feature.needed)} on; below, {feature.below}"


@pytest.fixture(scope="session")
def binaries(pytestconfig: pytest.Config) -> Binaries:
    """The first session on a machine builds them in minutes and prints the progress."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert isinstance(capture, CaptureManager)
    with capture.global_and_fixture_disabled():
        return find_binaries(os.environ)


@pytest.fixture(scope="session")
def control_plane(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One API server and the controller manager, for the whole session: each test works in its own namespace."""
    yield from run_control_plane(binaries, tmp_path_factory, Options(controller_manager=True))


@pytest.fixture(scope="session")
def two_servers(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Two API servers on one etcd, and the controller manager; not the cluster of ``control_plane``."""
    yield from run_control_plane(binaries, tmp_path_factory, Options(controller_manager=True, servers=2))


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A new namespace in ``control_plane``, with the service account that pods need."""
    name = f"test-{secrets.token_hex(4)}"
    control_plane.create_namespace(name)
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[KubernetesApi]:
    """A client of ``control_plane`` with all rights."""
    async with connected(control_plane.kubeconfig()) as client:
        yield client


@pytest.fixture
async def proxy(control_plane: ControlPlane) -> AsyncIterator[Proxy]:
    """A proxy before ``control_plane`` whose connections a test can break."""
    async with Proxy(control_plane.server_urls[0]) as between:
        yield between


def run_control_plane(
    binaries: Binaries, tmp_path_factory: pytest.TempPathFactory, options: Options
) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("control-plane") / "run"
    with ControlPlane(folder, binaries, options=options) as control_plane:
        yield control_plane
    shutil.rmtree(folder / "etcd")  # pytest keeps the rest, with the logs, for three sessions


@pytest.fixture(scope="session")
def oracle(pytestconfig: pytest.Config) -> Oracle:
    """The first session on a machine builds it: in minutes where the control plane was not built before."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert isinstance(capture, CaptureManager)
    with capture.global_and_fixture_disabled():
        return Oracle(find_oracle(os.environ))


@pytest.fixture(scope="session")
def helm(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """The first session on a machine builds it, for some minutes."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert isinstance(capture, CaptureManager)
    with capture.global_and_fixture_disabled():
        return Helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture
def overlay(tmp_path: Path) -> Overlay:
    """An overlay of kustomize that a test has yet to write."""
    return Overlay(tmp_path)
