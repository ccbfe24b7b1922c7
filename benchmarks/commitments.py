"""
`python -m benchmarks.commitments`: the cost of a decision beside 10 000 commitments, in proportion to one beside none.

Both decide on the same pods, which require a class of nodes and a zone, under the same limits.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from benchmarks import decisions, machine, reviews, table
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.kinds.registry import Registry
from webhook.quota.commitments import Pool
from webhook.quota.quantity import NANOS
from webhook.quota.resources import Amount
from webhook.wiring.file_kinds import kinds_under

_NUMBER = 10_000
_TURNS = 9
_OBJECTS = 2_000
_ZONES = ("a", "b", "c")
_CLASSES = 10


class _Nodes:
    """Port `Capacity`: more than anybody asks for."""

    def __init__(self) -> None:
        self._has = {"requests.cpu": 10**9 * NANOS, "requests.memory": 10**15 * NANOS}

    def of(self, pool: Pool) -> Mapping[str, Amount]:  # noqa: ARG002
        """Return the same for all."""
        return self._has


def main() -> int:
    """Print both times and their ratio."""
    times = asyncio.run(_compare())
    beside_none, beside_many = (statistics.median(each) for each in times)
    print("| commitments | microseconds a decision |\n|---|---|")
    print(f"| 0 | {beside_none:.0f} |\n| {_NUMBER} | {beside_many:.0f} |")
    print(f"\n{beside_many / beside_none:.2f} times as long, medians of {_TURNS} turns.\n")
    print("\n".join(table.origin({"versions": machine.versions({}), "machine": machine.description()})))
    return 0


async def _compare() -> tuple[list[float], list[float]]:
    small, medium = (_placed(reviews.templates(size, stamped=True)) for size in "sm")
    found: list[decisions.Cluster] = []
    with tempfile.TemporaryDirectory() as name:
        for number in (0, _NUMBER):
            file = Path(name) / f"{number}.yaml"
            file.write_text(_policy(number))
            cluster = await decisions.filled(_OBJECTS, small, policy=file, kinds=_kinds(file))
            found.append(replace(cluster, handler=replace(cluster.handler, capacity=_Nodes())))
    decisions.calm_collector()
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(_TURNS):
        for cluster, taken in zip(found, times, strict=True):
            taken.append(await decisions.measured(cluster, medium, turn=turn))
    return times


def _kinds(file: Path) -> Registry:
    reading = read_policy([PolicyText(file.name, file.read_text())])
    policy = reading.policy
    assert policy is not None, reading.mistakes[:3]
    return kinds_under(policy)


def _placed(templates: list[bytes]) -> list[bytes]:
    """Return *templates* with a class and a zone."""
    found = []
    for each in templates:
        document = json.loads(each)
        document["request"]["object"]["spec"]["nodeSelector"] = {"class": "0", "topology.kubernetes.io/zone": "a"}
        found.append(msgspec.json.encode(document))
    return found


def _policy(number: int) -> str:
    classes = {f"c{each}": {"nodes": {"matchLabels": {"class": str(each)}}} for each in range(_CLASSES)}
    promised = {
        f"p{each}": {
            "user": f"user-{each:05}",
            "nodeClass": f"c{each % _CLASSES}",
            "zone": _ZONES[each % len(_ZONES)],
            "amounts": {"cpu": 2, "memory": "4Gi"},
        }
        for each in range(number)
    }
    user = {"hard": {"cpu": 1000, "memory": "4Ti", "pods": 10000}}
    said = {"version": 1, "defaults": {"user": user}, "nodeClasses": classes, "commitments": promised}
    return json.dumps(said, separators=(",", ":"))


if __name__ == "__main__":
    sys.exit(main())
