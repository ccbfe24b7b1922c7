"""
`python -m benchmarks.image LAYOUT`: the size of an image, and how soon it is ready, beside the same code outside.

LAYOUT is what `make image OUTPUT=LAYOUT` left. Both serve the example policy without a cluster, in turns, so that what
else runs on the machine slows down both. Needs root, as the image is run in a file system of its own.
"""

from __future__ import annotations

import argparse
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

from benchmarks import machine, table
from localcluster.addresses import HeldPort
from tests.image.building import ROOT, Image, in_container

_MIB = 1024 * 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.image", description=__doc__)
    parser.add_argument("layout", type=Path)
    parser.add_argument("--rounds", type=int, default=15, help="starts of each (default: %(default)s)")
    asked = parser.parse_args()
    image = Image.read(asked.layout.resolve())
    unpacked = sum(each.size for each in image.files)
    print(f"{image.compressed / _MIB:.0f} MiB compressed, {unpacked / _MIB:.0f} MiB unpacked, {len(image.files)} files")
    with tempfile.TemporaryDirectory(prefix="userquota-image-") as name:
        root = image.unpack(Path(name) / "root")
        in_image, here = [], []
        for _ in range(asked.rounds):
            in_image.append(
                _seconds_to_ready(in_container(root, "/opt/userquota/bin/userquota", files=ROOT / "examples"))
            )
            here.append(_seconds_to_ready([str(Path(sys.executable).parent / "userquota")]))
    print(f"ready after {median(in_image):.2f} s ({min(in_image):.2f} to {max(in_image):.2f}) in the image")
    print(f"ready after {median(here):.2f} s ({min(here):.2f} to {max(here):.2f}) on this machine")
    print(f"ratio {median(in_image) / median(here):.2f}, of {asked.rounds} starts each")
    print("\n".join(["", *table.origin({"versions": machine.versions({}), "machine": machine.description()})]))


def _seconds_to_ready(userquota: list[str]) -> float:
    held = HeldPort()
    listen = f"127.0.0.1:{held.number}"
    held.release()
    policy = "/tmp/policy.yaml" if "unshare" in userquota else str(ROOT / "examples/policy.yaml")
    begun = time.monotonic()
    argv = [*userquota, "serve", "--standalone", "--policy", policy, "--listen", listen]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while not _is_ready(listen):
                if time.monotonic() - begun > 60:
                    raise SystemExit("not ready within 60 s")
                time.sleep(0.01)
            return time.monotonic() - begun
        finally:
            process.kill()


def _is_ready(listen: str) -> bool:
    try:
        with urllib.request.urlopen(f"https://{listen}/readyz", context=ssl._create_unverified_context(), timeout=5):  # noqa: SLF001
            return True
    except OSError:
        return False


if __name__ == "__main__":
    main()
