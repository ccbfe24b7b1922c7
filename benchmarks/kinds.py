"""
The cost of one decision on each kind of object, as `decisions` measures it, beside as many objects of all kinds.

Runs as a program of its own, which prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import structlog

from benchmarks import claims, decisions, reviews, sessions
from webhook.kinds.claims import PERSISTENT_VOLUME_CLAIMS
from webhook.kinds.pods import PODS
from webhook.kinds.resource_claims import RESOURCE_CLAIMS

POLICY = Path(__file__).parent / "kinds.yaml"


def creates() -> dict[str, list[bytes]]:
    """Return the stamped reviews of creates that are compared, by what is created; the pods come first."""
    others = {
        PERSISTENT_VOLUME_CLAIMS.resource: claims.VOLUMES,
        f"{RESOURCE_CLAIMS.resource}, one request": claims.DEVICES,
        f"{RESOURCE_CLAIMS.resource}, two requests, one a choice": claims.CHOICES,
        "a kind that is charged by number": claims.WIDGETS,
        "a session with such a pod": sessions.NOTEBOOKS,
    }
    return {
        PODS.resource: reviews.templates("m", stamped=True),
        **{what: reviews.creates(sort.kind, sort.variants()) for what, sort in others.items()},
    }


def judged() -> dict[str, list[bytes]]:
    """Return the stamped reviews of creates that are judged and not charged."""
    sort = sessions.DEPLOYMENTS
    return {"early verdict on a workload of such pods": reviews.creates(sort.kind, sort.variants())}


async def _compare(objects: int, turns: int) -> dict[str, Any]:
    several, advised = creates(), judged()
    cluster = await decisions.filled(objects, *several.values(), policy=POLICY, kinds=sessions.WITH_NOTEBOOKS)
    decisions.calm_collector()
    times: dict[str, list[float]] = {what: [] for what in (*several, *advised)}
    for turn in range(turns):
        for what, templates in several.items():
            times[what].append(await decisions.measured(cluster, templates, turn=turn))
        for what, templates in advised.items():
            times[what].append(await decisions.measured(cluster, templates, turn=turn, ask=cluster.advice.advise))
    sizes = {what: len(templates[0]) for what, templates in (several | advised).items()}
    return {"objects": objects, "body_bytes": sizes, "decision_us": times}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("objects", type=int, help="of each sort, each of another user")
    parser.add_argument("turns", type=int, help="of all kinds, one after the other")
    asked = parser.parse_args()
    # A warning says that the product itself has no widgets.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(json.dumps(asyncio.run(_compare(asked.objects, asked.turns))))


if __name__ == "__main__":
    main()
