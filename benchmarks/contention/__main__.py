"""
`python -m benchmarks.contention`: measures all workloads on all contestants and prints one table. Takes some minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.contention import page, rounds, stage, workloads
from localcluster.build import GO_MODULE, kubernetes_version

RESULTS = Path(__file__).parent.parent / "results"


def main() -> None:
    asked = _arguments()
    if asked.show is not None:
        print(page.render(json.loads(asked.show.read_text())))
        return
    raw = _measure(asked)
    now = dt.datetime.now(dt.UTC)  # noqa: TID251 - names a file
    file = RESULTS / f"contention-{now:%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps(raw, indent=1) + "\n")
    print(page.render(raw))
    _report(f"raw numbers: {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contention", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of all contestants (default: %(default)s)")
    parser.add_argument("--replicas", type=int, default=3, help="of userquota (default: %(default)s)")
    parser.add_argument(
        "--ledger", default="kubernetes", help="where they keep reservations (default: %(default)s); memory is for one"
    )
    parser.add_argument("--no-grants", action="store_true", help="each decision is written down")
    parser.add_argument(
        "--only", choices=[each.name for each in workloads.WORKLOADS], nargs="+", help="some workloads (default: all)"
    )
    parser.add_argument("--show", type=Path, metavar="JSON", help="print the table of an earlier run")
    return parser.parse_args()


def _measure(asked: argparse.Namespace) -> dict[str, Any]:
    chosen = [each for each in workloads.WORKLOADS if each.name in (asked.only or {each.name})]
    ledger = f"{asked.ledger}, no grants" if asked.no_grants else asked.ledger
    description = {
        "plan": {"rounds": asked.rounds, "replicas": asked.replicas, "ledger": ledger, "servers": stage.SERVERS},
        "workloads": {each.name: each.creates for each in chosen},
        "versions": machine.versions({"kubernetes": kubernetes_version(GO_MODULE)}),
        "machine": machine.description(),
    }
    with tempfile.TemporaryDirectory(prefix="userquota-contention-") as name:
        _report("starting two control planes")
        options = ["--ledger", asked.ledger, *(["--no-grants"] if asked.no_grants else [])]
        with stage.contestants(Path(name), count=asked.replicas, options=options) as contestants:
            return {**description, **_run(rounds.measure(contestants, chosen, rounds=asked.rounds, report=_report))}


def _run(work: Any) -> dict[str, Any]:
    """Run on uvloop where it is installed: the client must not limit what is measured."""
    try:
        run = importlib.import_module("uvloop").run
    except ImportError:
        run = asyncio.run
    measured: dict[str, Any] = run(work)
    return measured


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
