"""
`python -m benchmarks`: measures everything and prints one table. Takes about five minutes once the peers
are built.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import build, certificate, contestants, inprocess, machine, reviews, table, wire

RESULTS = Path(__file__).parent / "results"

_OF_EACH_KIND = 10_000
_TURNS = 21
_USERS = 10_000
_MEMORY_WITH = {"pods": (100_000, 0, 0), "all": (100_000, 50_000, 10_000)}
"""Pods, PersistentVolumeClaims and ResourceClaims."""


def main() -> None:
    asked = _arguments()
    if asked.show is not None:
        print(table.render(json.loads(asked.show.read_text())))
        return
    plan = wire.Plan(asked.rounds, asked.seconds, ("m", "s", "l") if asked.long else ("m",))
    raw = _measure_kinds(asked.rounds) if asked.kinds else _measure(plan, is_long=asked.long)
    now = dt.datetime.now(dt.UTC)  # noqa: TID251 - names a file
    file = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps(raw, indent=1) + "\n")
    print(table.render(raw))
    _report(f"raw numbers: {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of all contestants (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=2.5, help="of one load on one contestant (default: %(default)s)"
    )
    parser.add_argument("--long", action="store_true", help="all body sizes, and 500 000 pods")
    parser.add_argument("--kinds", action="store_true", help="measure only how the kinds compare with pods")
    parser.add_argument("--show", type=Path, metavar="JSON", help="print the table of an earlier run")
    return parser.parse_args()


def _measure(plan: wire.Plan, *, is_long: bool) -> dict[str, Any]:
    programs = build.programs(report=_report)
    raw: dict[str, Any] = {
        "plan": {"rounds": plan.rounds, "seconds": plan.seconds, "connections": wire.CONNECTIONS},
        "versions": machine.versions(build.versions(programs)),
        "machine": machine.description(),
        "body_bytes": {size: len(reviews.templates(size, stamped=True)[0]) for size in plan.sizes},
    }
    with tempfile.TemporaryDirectory(prefix="userquota-benchmark-") as name:
        folder = Path(name)
        certificate.write(folder, now=dt.datetime.now(dt.UTC))  # noqa: TID251 - a certificate has dates
        with contestants.running(programs, folder) as servers:
            raw["start_cpu_s"] = servers[contestants.OURS].start_cpu
            raw["wire"] = wire.measure(wire.Load(programs / "load", folder), servers, plan, report=_report)
    _report("the index")
    sizes = [(100_000, 10_000), *([(500_000, 50_000)] if is_long else [])]
    raw["index"] = {
        "built": [inprocess.index(pods, users) for pods, users in sizes],
        "traced": [inprocess.index(20_000, users, trace=True) for users in (20, 20_000)],
    }
    _report("decisions with few and with many pods")
    raw["decisions"] = inprocess.decisions((100, 100_000, *((500_000,) if is_long else ())))
    return raw | {"kinds": _kinds(plan.rounds)}


def _measure_kinds(rounds: int) -> dict[str, Any]:
    return {"versions": machine.versions({}), "machine": machine.description(), "kinds": _kinds(rounds)}


def _kinds(rounds: int) -> dict[str, Any]:
    """Return the time of decisions on each kind, and the memory with pods alone and with all kinds in each round."""
    _report("decisions on each kind")
    cpu = machine.cpus().server
    noise = [machine.noise(cpu, seconds=0.5)]
    raw = inprocess.kinds(_OF_EACH_KIND, _TURNS)
    noise.append(machine.noise(cpu, seconds=0.5))
    _report("memory with each kind")
    memory = [
        {name: inprocess.memory(objects, _USERS) for name, objects in _MEMORY_WITH.items()} for _ in range(rounds)
    ]
    return raw | {"noise": noise, "memory": memory}


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
