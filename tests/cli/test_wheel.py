"""The installed wheel, in which there is no `localcluster`: what the image runs."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.cli.running import Ended
from webhook.documents import preset_files

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

# Of the environment everything may be imported but a checkout, which an editable installation puts on the path.
RUN = """
import sys
from pathlib import Path

wheel, *arguments = sys.argv[1:]
sys.path[:] = [wheel, *(each for each in sys.path if not Path(each, "localcluster").is_dir())]
sys.argv[:] = ["userquota", *arguments]
import webhook.cli

assert webhook.cli.__file__.startswith(wheel)
webhook.cli.main()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unpacked wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    [path] = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def userquota(wheel: Path, *arguments: str) -> Ended:
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUN, str(wheel), *arguments],
        cwd=wheel,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def test_the_shipped_presets_are_in_it(wheel: Path) -> None:
    ended = userquota(wheel, "preset", "list", "-o", "json")

    assert (ended.code, ended.err) == (0, "")
    assert [each["name"] for each in json.loads(ended.out)["items"]] == list(preset_files.names())


@pytest.mark.parametrize("command", [(), ("serve",), ("charge",), ("get",), ("policy",)])
def test_every_command_starts(wheel: Path, command: tuple[str, ...]) -> None:
    ended = userquota(wheel, *command, "--help")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("Usage: userquota")


@pytest.mark.parametrize("command", ["up", "down"])
def test_a_local_control_plane_needs_a_checkout(wheel: Path, command: str) -> None:
    assert userquota(wheel, "local", command) == Ended(
        2,
        "",
        "userquota: `userquota local` runs from a checkout only: "
        "the package localcluster, which starts the control plane, is not installed\n",
    )


def test_the_wheel_holds_the_manifests_and_nothing_but_the_webhook(wheel: Path) -> None:
    assert {path.name.partition("-")[0] for path in wheel.iterdir()} == {"userquota", "webhook"}
    manifests = {path.name for path in (wheel / "webhook" / "manifests").iterdir()}
    assert {"kustomization.yaml", "policy.yaml"} <= manifests
    assert manifests.isdisjoint({"Chart.yaml", "values.yaml", "values.schema.json", "templates", "components"})
