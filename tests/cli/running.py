"""The installed console script in a process of its own, as people run it; and the same within this one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from webhook.cli import group
from webhook.quota.errors import WebhookError

USERQUOTA = Path(sys.executable).parent / "userquota"


IN_A_TERMINAL = ("env", "--default-signal=INT")
"""Before a command that Ctrl-C is to end: what a script starts in the background ignores it, and hands that down."""


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


def in_process(*arguments: str) -> Ended:
    """Run the command within this process, for tests of many cases: a start takes most of a second."""
    done = CliRunner().invoke(group, arguments)
    if isinstance(done.exception, WebhookError):  # as `main` does
        return Ended(2, done.stdout, f"{done.stderr}userquota: {done.exception}\n")
    return Ended(done.exit_code, done.stdout, done.stderr)
