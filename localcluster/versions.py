"""
The versions of Kubernetes that are pinned: the lines of ``go/versions``, newest first, one of each minor.

The Go module is built with ``go.mod`` for the first, with ``minors/MINOR.mod`` for another; ``update.sh`` writes both.
"""

from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import LocalClusterError


@dataclass(frozen=True, slots=True)
class Pin:
    """A version such as ``v1.37.2``, and the file that pins it with a sum file beside it, as a path in the module."""

    version: str
    go_mod: str

    @property
    def minor(self) -> str:
        """The version without ``v`` and patch: ``1.37``."""
        return minor_of(self.version)


def minor_of(version: str) -> str:
    """Return ``1.37`` of ``v1.37.2``."""
    return ".".join(version.removeprefix("v").split(".")[:2])


def pins(module: Path) -> tuple[Pin, ...]:
    """Return all pins of the Go module in the folder *module*; the first is what is built by default."""
    newest, *older = (module / "versions").read_text().split()
    return Pin(newest, "go.mod"), *(Pin(version, f"minors/{minor_of(version)}.mod") for version in older)


def pin_of(module: Path, wanted: str | None) -> Pin:
    """
    Return the pin of *wanted*, a minor such as ``1.36`` or a version such as ``v1.36.3``; without one the newest.

    Raises: LocalClusterError, which names what is pinned.
    """
    known = pins(module)
    if not wanted:
        return known[0]
    for each in known:
        if wanted in {each.minor, each.version}:
            return each
    raise LocalClusterError(
        f"KUBERNETES={wanted} is not pinned: have {', '.join(f'{each.minor} ({each.version})' for each in known)}"
    )
