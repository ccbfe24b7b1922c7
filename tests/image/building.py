"""
Builds the image without a daemon and without a registry, and reads what was built.

The base is made of Debian's packages, see image/local-base.sh. What is built is an OCI layout, a folder of blobs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_USER = 65532
EPOCH = 1_700_000_000
_PACKAGES = {"buildah": "buildah", "mmdebstrap": "mmdebstrap", "setpriv": "util-linux", "unshare": "util-linux"}


def check_packages() -> None:
    """Raise AssertionError with the names of the Debian packages that are missing."""
    missing = sorted({package for program, package in _PACKAGES.items() if shutil.which(program) is None})
    assert not missing, f"apt-get install {' '.join(missing)}"


@dataclass(frozen=True)
class Image:
    """An image for one platform in an OCI layout, and the digest of its manifest."""

    layout: Path
    digest: str

    @classmethod
    def read(cls, layout: Path) -> Image:
        (listed,) = json.loads((layout / "index.json").read_text())["manifests"]
        return cls(layout, listed["digest"])

    def blob(self, digest: str) -> Path:
        return self.layout / "blobs" / digest.replace(":", "/")

    @property
    def manifest(self) -> dict[str, Any]:
        return dict(json.loads(self.blob(self.digest).read_text()))

    @property
    def settings(self) -> dict[str, Any]:
        """What a container runtime reads: the user, the command, the environment."""
        return dict(json.loads(self.blob(self.manifest["config"]["digest"]).read_text())["config"])

    @property
    def compressed(self) -> int:
        """Bytes that a node fetches."""
        return sum(layer["size"] for layer in self.manifest["layers"])

    @cached_property
    def files(self) -> list[tarfile.TarInfo]:
        (layer,) = self.manifest["layers"]
        with tarfile.open(self.blob(layer["digest"])) as archive:
            return archive.getmembers()

    def unpack(self, folder: Path) -> Path:
        """Unpack it into a new folder as a container runtime does, with owners and modes; return the folder."""
        folder.mkdir()
        folder.chmod(0o755)
        (layer,) = self.manifest["layers"]
        with tarfile.open(self.blob(layer["digest"])) as archive:
            archive.extractall(folder, filter="fully_trusted")  # noqa: S202 - ours, as just built
        return folder


def build(checkout: Path, output: Path, *, storage: Path) -> Image:
    """Build the image of a checkout with buildah, in a storage of its own that has the base; return what was built."""
    run([checkout / "image/build.sh"], storage, BUILDER="buildah", OUTPUT=str(output), SOURCE_DATE_EPOCH=str(EPOCH))
    return Image.read(output)


def new_storage(folder: Path) -> Path:
    """Make a storage of images with nothing but the base; return its configuration."""
    folder.mkdir()
    configuration = folder / "storage.conf"
    configuration.write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{folder / "images"}"\nrunroot = "{folder / "run"}"\n'
    )
    run([ROOT / "image/local-base.sh"], configuration)
    return configuration


def run(argv: list[Path], storage: Path, **environ: str) -> None:
    """Run a script of image/. Raises AssertionError with the end of what it said."""
    own = {"CONTAINERS_STORAGE_CONF": str(storage), "BUILDAH_ISOLATION": "chroot"}
    done = subprocess.run(argv, env=os.environ | own | environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv[0].name}:\n{(done.stdout + done.stderr)[-4000:]}"


def in_container(root: Path, *argv: str, read_only: bool = True, files: Path | None = None) -> list[str]:
    """
    Return a command that runs *argv* in *root* as a container runtime would: as user 65532 without any capability.

    Where *read_only*, nothing in the root file system can be written. The folder *files* is shown as /tmp. Needs root.
    The network is that of this machine. The process ends with the one that started it.
    """
    demoted = f'setpriv --no-new-privs chroot --userspec={_USER}:{_USER} --groups={_USER} "$ROOT" "$@"'
    steps = [
        'mount --bind "$ROOT" "$ROOT"',
        'mount -t proc proc "$ROOT/proc"',
        'mount --bind /dev "$ROOT/dev"',
        *(['mount --bind "$FILES" "$ROOT/tmp"', 'mount -o remount,bind,ro "$ROOT/tmp"'] if files else []),
        *(['mount -o remount,bind,ro "$ROOT"'] if read_only else []),
        f"exec env --ignore-environment PATH={os.environ['PATH']} LANG=C.UTF-8 {demoted}",
    ]
    own = [f"ROOT={root}", f"FILES={files}"]
    shell = ["sh", "-ec", "\n".join(steps), "sh"]
    return ["env", *own, "unshare", "--mount", "--pid", "--fork", "--kill-child", *shell, *argv]
