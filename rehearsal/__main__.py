"""
`python -m rehearsal`: installs userquota in a cluster that lives, and hands over what a leaver owns.

The exit code is 1 for a violation, 2 for a void rehearsal.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from rehearsal.report import render
from rehearsal.run import rehearse
from rehearsal.sizes import SIZES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m rehearsal", description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="full")
    parser.add_argument("--out", type=Path, default=Path("rehearsal-out"), help="folder (default: %(default)s)")
    asked = parser.parse_args()
    os.environ.setdefault("GOGC", "400")  # more memory for less time: all share the cores of one machine
    folder: Path = asked.out
    if folder.exists() and any(folder.iterdir()) and not (folder / "control-plane").is_dir():
        sys.exit(f"{folder} holds something else")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    begun = time.monotonic()

    def report(line: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {line}", file=sys.stderr, flush=True)

    done = rehearse(SIZES[asked.size], folder, report=report)
    text = render(done)
    (folder / "report.txt").write_text(text)
    print(text)
    shutil.rmtree(folder / "control-plane" / "etcd")
    if done.violations:
        return 1
    return 2 if done.void else 0


if __name__ == "__main__":
    sys.exit(main())
