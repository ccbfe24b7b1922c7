"""The installed console script in a process of its own, as people run it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

USERQUOTA = Path(sys.executable).parent / "userquota"


@dataclass(frozen=True)
class Ended:
    """How the command ended, and what it said."""

    code: int
    out: str
    err: str


def userquota(*arguments: str | Path, folder: Path, stdin: bytes = b"") -> Ended:
    """Run the command in *folder*, so that what it says of files is short."""
    done = subprocess.run(
        [USERQUOTA, *arguments], cwd=folder, input=stdin, capture_output=True, check=False, timeout=60
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
