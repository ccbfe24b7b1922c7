"""
`python -m nemesis`: injects faults into three replicas for some minutes, then judges every revision of etcd.

`python -m nemesis judge FOLDER` judges an earlier run again. The exit code is 1 for a violation, 2 for a void run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from pathlib import Path

from nemesis import report, run
from nemesis.judge import judge, read_run

_GOGC = "400"
"""More memory for less time: the API servers share two cores with all other processes."""


def main() -> int:
    if sys.argv[1:2] == ["judge"]:
        return _judge(Path(sys.argv[2]))
    asked = _arguments()
    os.environ.setdefault("GOGC", _GOGC)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    without = tuple(asked.without)
    plan = run.Plan(asked.seed, asked.minutes, asked.rate, asked.replicas, without, asked.older, asked.grants)
    try:
        run.perform(plan, _emptied(asked.out.resolve()), report=_report)
    except KeyboardInterrupt:
        _report("stopped, with all processes; nothing was judged")
        return 130
    return _judge(asked.out)


def _judge(folder: Path) -> int:
    _report("judging every revision")
    findings = judge(folder)
    text = report.render(folder, findings)
    (folder / "report.md").write_text(text)
    print(text)
    _report(f"the report is {folder / 'report.md'}")
    if findings.violations:
        return 1
    return 2 if report.is_void(read_run(folder), findings) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m nemesis", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="of load and faults (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="draws load and faults (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=200.0, help="requests per second (default: %(default)s)")
    parser.add_argument("--replicas", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument(
        "--without", action="append", default=[], metavar="TRACK", help="leave a kind of fault out, see faults.py"
    )
    parser.add_argument(
        "--grants",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="have replicas allow creates in their memory far from limits, or have all written down first",
    )
    parser.add_argument("--older", default="", metavar="REVISION", help="of every other start of a replica")
    parser.add_argument("--out", type=Path, default=Path("nemesis-out"), help="folder (default: %(default)s)")
    return parser.parse_args()


def _emptied(folder: Path) -> Path:
    """Delete the folder only if an earlier run left it."""
    if folder.exists() and any(folder.iterdir()) and not (folder / "processes").is_dir():
        sys.exit(f"{folder} holds something else")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
