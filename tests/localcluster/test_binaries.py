"""Where the binaries come from."""

from pathlib import Path

import pytest

from localcluster.binaries import Binaries, cache_folder, find_binaries
from localcluster.build import GO_MODULE, build_key, this_platform
from localcluster.errors import BinariesMissingError, LocalClusterError
from localcluster.versions import Pin, pins

ENVTEST = ("etcd", "kube-apiserver", "kubectl")


def folder_with(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    return folder


def no_report(line: str) -> None:
    raise AssertionError(f"nothing is to be built, but: {line}")


def test_kubebuilder_assets_is_honoured_and_nothing_is_built(tmp_path: Path) -> None:
    assets = folder_with(tmp_path / "assets", *ENVTEST, "kube-controller-manager")

    found = find_binaries({"KUBEBUILDER_ASSETS": str(assets)}, report=no_report)

    assert found == Binaries(
        etcd=assets / "etcd",
        kube_apiserver=assets / "kube-apiserver",
        kubectl=assets / "kubectl",
        kube_controller_manager=assets / "kube-controller-manager",
    )


def test_the_assets_of_envtest_have_no_controller_manager(tmp_path: Path) -> None:
    assets = folder_with(tmp_path / "assets", *ENVTEST)

    found = find_binaries({"KUBEBUILDER_ASSETS": str(assets)}, report=no_report)

    assert found.kube_controller_manager is None


def test_assets_that_lack_a_binary_are_refused_with_its_name(tmp_path: Path) -> None:
    assets = folder_with(tmp_path / "assets", "etcd", "kubectl")

    with pytest.raises(BinariesMissingError, match="has no kube-apiserver: put it there, or unset KUBEBUILDER_ASSETS"):
        find_binaries({"KUBEBUILDER_ASSETS": str(assets)}, report=no_report)


def test_what_was_built_once_is_found_again_without_a_go(tmp_path: Path) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path), "PATH": ""}
    folder = folder_with(cache_folder(environ) / build_key(GO_MODULE, this_platform()), *ENVTEST)

    assert find_binaries(environ, report=no_report).etcd == folder / "etcd"


@pytest.mark.parametrize("pin", pins(GO_MODULE), ids=lambda pin: pin.minor)
def test_the_environment_chooses_a_version_that_is_pinned(tmp_path: Path, pin: Pin) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path), "PATH": ""}
    key = build_key(GO_MODULE, this_platform(), go_mod=pin.go_mod)
    folder = folder_with(cache_folder(environ) / key, *ENVTEST)

    for wanted in (pin.minor, pin.version):
        assert find_binaries(environ | {"KUBERNETES": wanted}, report=no_report).etcd == folder / "etcd"


@pytest.mark.parametrize("wanted", ["1.2", "v1.37", "newest"])
def test_a_version_that_is_not_pinned_is_refused_with_those_that_are(wanted: str) -> None:
    with pytest.raises(LocalClusterError, match=f"KUBERNETES={wanted} is not pinned: have 1\\.37 ") as caught:
        find_binaries({"KUBERNETES": wanted}, report=no_report)
    assert all(each.version in str(caught.value) for each in pins(GO_MODULE))


def test_a_version_has_no_effect_on_given_binaries_and_is_refused(tmp_path: Path) -> None:
    assets = folder_with(tmp_path / "assets", *ENVTEST)

    with pytest.raises(LocalClusterError, match="unset one of them"):
        find_binaries({"KUBEBUILDER_ASSETS": str(assets), "KUBERNETES": "1.36"}, report=no_report)


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        pytest.param({"XDG_CACHE_HOME": "/caches"}, Path("/caches/userquota/controlplane"), id="as XDG says"),
        pytest.param({}, Path.home() / ".cache/userquota/controlplane", id="in the home folder"),
        pytest.param({"XDG_CACHE_HOME": ""}, Path.home() / ".cache/userquota/controlplane", id="empty is unset"),
    ],
)
def test_the_cache_is(environ: dict[str, str], folder: Path) -> None:
    assert cache_folder(environ) == folder
