"""The image is built without a daemon, and run as a pod would run it: read-only, as a user that is not root."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster.addresses import HeldPort
from tests.cluster.running import eventually
from tests.image.building import EPOCH, ROOT, Image, build, check_packages, in_container, new_storage

pytestmark = pytest.mark.debian

USERQUOTA = "/opt/userquota/bin/userquota"
PYTHON = "/opt/userquota/bin/python"
UNWANTED = {"sh", "bash", "dash", "busybox", "apt", "apt-get", "dpkg", "pip", "pip3", "su", "mount", "ensurepip"}
WRITABLE = """
import os
for folder, names, files in os.walk("/"):
    names[:] = [each for each in names if f"{folder}/{each}" not in ("//proc", "//dev")]
    for path in [folder, *(os.path.join(folder, each) for each in files)]:
        if os.access(path, os.W_OK) and not os.path.islink(path):
            print(path)
"""
UNCOMPILED = """
import os, sys
import webhook.cli.serve, webhook.wiring.application
for name, module in list(sys.modules.items()):
    place = getattr(module, "__spec__", None)
    if place and place.has_location and place.origin.endswith(".py") and not os.path.exists(place.cached):
        print(name)
"""


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    check_packages()
    folder = tmp_path_factory.mktemp("images") / "storage"
    yield new_storage(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def image(storage: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build(ROOT, tmp_path_factory.mktemp("built") / "image", storage=storage)


@pytest.fixture(scope="module")
def root(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = image.unpack(tmp_path_factory.mktemp("unpacked") / "root")
    yield folder
    shutil.rmtree(folder)


def run(root: Path, *argv: str, read_only: bool = True) -> str:
    command = in_container(root, *argv, read_only=read_only)
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_same_inputs_give_the_same_bits(image: Image, storage: Path, tmp_path: Path) -> None:
    """Whatever the checkout's place, its times of files and the umask."""
    checkout = tmp_path / "elsewhere"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in reversed(listed.stdout.splitlines()):
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, checkout / name)
            (checkout / name).chmod(0o700 if (ROOT / name).stat().st_mode & 0o100 else 0o600)
    again = build(checkout, tmp_path / "again", storage=storage)
    assert again.manifest["layers"] == image.manifest["layers"]
    assert again.digest == image.digest


def test_it_has_one_owner_one_time_and_nothing_that_others_may_write(image: Image) -> None:
    files = image.files
    assert {(each.uid, each.gid) for each in files} == {(0, 0)}
    assert {each.mtime for each in files} == {EPOCH}
    assert [each.name for each in files if not each.issym() and each.mode & 0o7022] == []
    assert {"File", "Directory", "Link"} == {
        "File" if each.isreg() else "Directory" if each.isdir() else "Link" if each.issym() else each.name
        for each in files
    }


def test_there_is_no_shell_and_no_installer(image: Image) -> None:
    names = [Path(each.name) for each in image.files if not each.isdir()]
    assert len(names) > 1000
    assert [str(each) for each in names if each.name in UNWANTED] == []
    assert [str(each) for each in names if "site-packages/pip" in str(each)] == []
    programs = {str(each) for each in names if each.parent.name in {"bin", "sbin"}}
    assert {each for each in programs if "python" not in each} == {"opt/userquota/bin/userquota"}


def test_a_scanner_finds_the_packages_that_the_files_are_of(image: Image) -> None:
    names = {each.name for each in image.files}
    told = {Path(each).name for each in names if "/status.d/" in each}
    assert {"libc6", "libssl3"} <= {each.removesuffix("t64") for each in told}
    assert {each for each in ("bash", "apt", "dpkg", "coreutils") if each in told} == set()
    lock = (ROOT / "requirements/run.txt").read_text().splitlines()
    pins = [line.split(" ")[0] for line in lock if line and line[0].isalpha()]
    recorded = {Path(each).name for each in names if each.endswith(".dist-info")}
    assert recorded == {f"{pin.replace('-', '_').replace('==', '-')}.dist-info" for pin in pins}


def test_a_runtime_reads_who_runs_what(image: Image) -> None:
    assert image.settings["User"] == "65532:65532"
    assert (image.settings["Entrypoint"], image.settings["Cmd"]) == (["userquota"], ["serve"])


def test_its_user_could_write_no_file_even_if_the_root_were_writable(root: Path) -> None:
    assert run(root, PYTHON, "-c", "import os; print(os.getuid(), os.getgroups())") == "65532 [65532]\n"
    assert run(root, PYTHON, "-c", WRITABLE, read_only=False) == ""


def test_every_module_of_ours_is_compiled(root: Path) -> None:
    """A replica could not store the bytecode, and would compile at every start."""
    assert run(root, PYTHON, "-I", "-c", UNCOMPILED) == ""


def test_commands_run(root: Path) -> None:
    assert "serve" in run(root, USERQUOTA, "--help")


def test_it_serves(root: Path) -> None:
    held = HeldPort()
    listen = f"127.0.0.1:{held.number}"
    held.release()
    serve = [USERQUOTA, "serve", "--standalone", "--policy", "/tmp/policy.yaml", "--listen", listen]  # noqa: S108
    command = in_container(root, *serve, files=ROOT / "examples")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        eventually(lambda: ask(f"https://{listen}/readyz") == "ok", what=lambda: ask(f"https://{listen}/readyz"))
        review = (ROOT / "examples/reviews/refused.json").read_bytes()
        answer = json.loads(ask(f"https://{listen}/validate?timeout=10s", review))
        os.kill(first_process(process.pid), signal.SIGTERM)  # as a kubelet does; it is process 1 of the container
        said = process.communicate(timeout=20)[0]
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert answer["response"]["allowed"] is False
    assert answer["response"]["status"]["message"].startswith("larger than quota: ")


def first_process(unshare: int) -> int:
    return int(Path(f"/proc/{unshare}/task/{unshare}/children").read_text())


def ask(url: str, body: bytes | None = None) -> str:
    context = ssl._create_unverified_context()  # noqa: S323 - ours, on loopback; its authority is in its memory
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - https
    try:
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:  # noqa: S310 - https
            return str(answer.read().decode()).strip()
    except OSError as error:
        return str(error)
