"""The binaries are built once per set of sources, by the first process that needs them."""

import shutil
import threading
from pathlib import Path

import pytest

from localcluster.build import (
    GO_MODULE,
    TARGETS,
    Platform,
    Report,
    Target,
    build_key,
    build_once,
    go_compiler,
    kubernetes_version,
)
from localcluster.errors import BuildError, LocalClusterError
from localcluster.versions import Pin, pins

LINUX = Platform(goos="linux", goarch="amd64")


class RecordingCompiler:
    """Stands in for Go: writes a file per binary, and waits for leave to do so."""

    def __init__(self) -> None:
        self.built: list[str] = []
        self.started = threading.Event()
        self.may_go_on = threading.Event()

    def __call__(self, target: Target, output: Path, _report: Report) -> None:
        self.started.set()
        assert self.may_go_on.wait(timeout=10)
        self.built.append(target.name)
        output.write_text(target.name)


class BrokenCompiler:
    """Stands in for a Go that fails at the second binary."""

    def __call__(self, target: Target, output: Path, _report: Report) -> None:
        if target != TARGETS[0]:
            raise BuildError(target.name, "no space left on device")
        output.write_text(target.name)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GO_MODULE, tmp_path / "go"))


def test_the_key_names_version_and_platform_and_stays_the_same(module: Path) -> None:
    key = build_key(module, LINUX)

    assert key.startswith("v1.37.2-linux-amd64-")
    assert build_key(module, LINUX) == key
    assert build_key(GO_MODULE, LINUX) == key, "the key tells of where the sources are"


@pytest.mark.parametrize(
    "source",
    ["go.mod", "go.sum", "tools.go", "cmd/etcd/main.go", "cmd/kubectl/main.go"],
)
def test_the_key_changes_with_every_source(module: Path, source: str) -> None:
    key = build_key(module, LINUX)

    path = module / source
    path.write_text(path.read_text() + "\n")

    assert build_key(module, LINUX) != key


def test_the_key_does_not_change_with_what_is_not_built(module: Path) -> None:
    key = build_key(module, LINUX)

    (module / "README.md").write_text("other words")

    assert build_key(module, LINUX) == key


def test_the_key_differs_between_platforms(module: Path) -> None:
    platforms = [LINUX, Platform("linux", "arm64"), Platform("darwin", "arm64")]

    assert len({build_key(module, platform) for platform in platforms}) == len(platforms)


@pytest.mark.parametrize("source", ["minors/1.36.mod", "minors/1.36.sum", "tools.go", "cmd/etcd/main.go"])
def test_the_key_of_another_minor_changes_with_its_own_sources(module: Path, source: str) -> None:
    newest, key = build_key(module, LINUX), build_key(module, LINUX, go_mod="minors/1.36.mod")
    assert key.startswith("v1.36.")

    path = module / source
    path.write_text(path.read_text() + "\n")

    assert build_key(module, LINUX, go_mod="minors/1.36.mod") != key
    assert (build_key(module, LINUX) == newest) == source.startswith("minors/")


@pytest.mark.parametrize("pin", pins(GO_MODULE), ids=lambda pin: pin.minor)
def test_every_staging_module_has_the_version_that_belongs_to_kubernetes(pin: Pin) -> None:
    staging = "v0." + kubernetes_version(GO_MODULE, pin.go_mod).removeprefix("v1.")
    lines = (GO_MODULE / pin.go_mod).read_text().splitlines()
    replaced = [line.split() for line in lines if " => " in line]

    assert len(replaced) > 30
    assert [line for line in replaced if line[0] != line[2] or line[3] != staging] == []


def test_a_go_mod_without_kubernetes_is_refused(module: Path) -> None:
    (module / "go.mod").write_text("module example.com/nothing\n\ngo 1.26.0\n")

    with pytest.raises(LocalClusterError, match=r"go\.mod does not name k8s\.io/kubernetes"):
        build_key(module, LINUX)


def test_of_two_builds_at_once_the_second_waits_and_builds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "key"
    compiler = RecordingCompiler()
    said: list[str] = []
    waiting = threading.Event()

    def report_of_the_second(line: str) -> None:
        said.append(line)
        waiting.set()

    first = threading.Thread(target=build_once, args=(folder,), kwargs={"compile_target": compiler, "report": print})
    first.start()
    assert compiler.started.wait(timeout=10)
    second = threading.Thread(
        target=build_once,
        args=(folder,),
        kwargs={"compile_target": compiler, "report": report_of_the_second},
    )
    second.start()
    assert waiting.wait(timeout=10)
    assert not folder.exists(), "the folder was there before it was whole"
    compiler.may_go_on.set()
    first.join(timeout=10)
    second.join(timeout=10)

    assert compiler.built == [target.name for target in TARGETS]
    assert said == ["another process is building the control plane: waiting for it"]


def test_the_folder_appears_whole_and_each_binary_is_announced(tmp_path: Path) -> None:
    compiler = RecordingCompiler()
    compiler.may_go_on.set()
    said: list[str] = []

    build_once(tmp_path / "key", compile_target=compiler, report=said.append)

    assert sorted(path.name for path in (tmp_path / "key").iterdir()) == sorted(target.name for target in TARGETS)
    assert said[1].startswith(f"building {TARGETS[1].name} (2 of {len(TARGETS)}, ")


def test_a_build_that_fails_leaves_no_folder_and_the_next_one_succeeds(tmp_path: Path) -> None:
    folder = tmp_path / "key"

    with pytest.raises(BuildError, match=f"cannot build {TARGETS[1].name}:\nno space left on device"):
        build_once(folder, compile_target=BrokenCompiler(), report=print)

    assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]
    compiler = RecordingCompiler()
    compiler.may_go_on.set()
    build_once(folder, compile_target=compiler, report=print)
    assert folder.is_dir()


def test_what_a_killed_build_left_is_not_taken_for_a_result(tmp_path: Path) -> None:
    unfinished = tmp_path / "key.unfinished"
    unfinished.mkdir()
    (unfinished / "half-an-etcd").touch()
    compiler = RecordingCompiler()
    compiler.may_go_on.set()

    build_once(tmp_path / "key", compile_target=compiler, report=print)

    assert not (tmp_path / "key" / "half-an-etcd").exists()


def test_a_failing_go_is_quoted_with_its_last_lines(tmp_path: Path) -> None:
    """The fake ``go`` answers ``version`` as Go does and fails to build anything."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(
        '#!/bin/sh\nif [ "$1" = version ]; then echo go version go9.99.0 linux/amd64; exit; fi\n'
        "seq 1 100 >&2\necho 'disk full' >&2\nexit 1\n"
    )
    go.chmod(0o755)
    compile_target = go_compiler(GO_MODULE, LINUX, environ={"PATH": f"{go.parent}:/usr/bin:/bin"})

    with pytest.raises(BuildError) as caught:
        compile_target(TARGETS[0], tmp_path / "etcd", print)

    lines = caught.value.output.splitlines()
    assert lines[-2:] == ["100", "disk full"]
    assert len(lines) == 30


def test_go_is_given_the_file_that_pins_the_version(tmp_path: Path) -> None:
    """The fake ``go`` fails, and says how it was called."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(
        '#!/bin/sh\nif [ "$1" = version ]; then echo go version go9.99.0 linux/amd64; exit; fi\necho "$@"; exit 1\n'
    )
    go.chmod(0o755)
    environ = {"PATH": f"{go.parent}:/usr/bin:/bin"}
    compile_target = go_compiler(GO_MODULE, LINUX, environ=environ, go_mod="minors/1.36.mod")

    with pytest.raises(BuildError) as caught:
        compile_target(TARGETS[0], tmp_path / "etcd", print)

    assert "-modfile=minors/1.36.mod" in caught.value.output
    version = kubernetes_version(GO_MODULE, "minors/1.36.mod")
    assert f"gitVersion={version} " in caught.value.output
