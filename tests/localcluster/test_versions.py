"""The file `versions` is the list of the minors: all else that pins them is generated from it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from localcluster.build import GO_MODULE, kubernetes_version
from localcluster.versions import Pin, pins

NO_GO = "#!/bin/sh\necho go was asked: $@ >&2\nexit 1\n"


def files_of(module: Path) -> dict[str, bytes]:
    return {path.relative_to(module).as_posix(): path.read_bytes() for path in module.rglob("*") if path.is_file()}


def update(module: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run the script of a copy with a `go` that fails."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(NO_GO)
    go.chmod(0o755)
    environ = {"PATH": f"{go.parent}:{os.defpath}"}
    return subprocess.run(["sh", module / "update.sh"], env=environ, capture_output=True, text=True, check=False)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GO_MODULE, tmp_path / "go"))


@pytest.mark.parametrize("pin", pins(GO_MODULE), ids=lambda pin: pin.minor)
def test_each_version_is_pinned_by_its_file(pin: Pin) -> None:
    assert kubernetes_version(GO_MODULE, pin.go_mod) == pin.version
    assert (GO_MODULE / pin.go_mod).with_suffix(".sum").stat().st_size > 0


def test_the_minors_follow_each_other_from_the_newest_down() -> None:
    minors = [int(pin.minor.removeprefix("1.")) for pin in pins(GO_MODULE)]

    assert minors == list(range(minors[0], minors[0] - len(minors), -1))


def test_what_is_pinned_already_stays_as_it_is(module: Path, tmp_path: Path) -> None:
    before = files_of(module)

    done = update(module, tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert files_of(module) == before


def test_a_minor_that_is_in_no_line_is_removed(module: Path, tmp_path: Path) -> None:
    gone = pins(module)[-1]
    versions = module / "versions"
    versions.write_text(versions.read_text().replace(f"{gone.version}\n", ""))
    before = files_of(module)

    done = update(module, tmp_path)

    assert done.returncode == 0, done.stderr
    assert before.keys() - files_of(module).keys() == {gone.go_mod, gone.go_mod.replace(".mod", ".sum")}


def test_a_new_line_is_asked_of_go(module: Path, tmp_path: Path) -> None:
    versions = module / "versions"
    versions.write_text("v1.99.0-beta.1\n" + versions.read_text())

    done = update(module, tmp_path)

    assert done.returncode != 0
    assert "go was asked: mod download -json k8s.io/kubernetes@v1.99.0-beta.1" in done.stderr
    assert pins(module)[0] == Pin("v1.99.0-beta.1", "go.mod")
    assert pins(module)[1].go_mod == "minors/1.37.mod"
