"""
The cost of one decision with few and with many pods and users: from the bytes of a review to the bytes of its answer,
without HTTP.

Runs as a program of its own, which prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from benchmarks import reviews
from benchmarks.contestants import POLICY
from webhook.admission import review
from webhook.admission.advice import WorkloadAdvice
from webhook.admission.handler import AdmissionHandler
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.attribution.rules import Attribution
from webhook.kinds.registry import KINDS, Registry
from webhook.ledger.memory import StandaloneLedger
from webhook.policy_source import CurrentPolicy, read_files
from webhook.ports import READY
from webhook.quota.objects import AnyObject, ObjectKey
from webhook.quota.policy import Policy, accounts_under
from webhook.quota.usage import UsageIndex
from webhook.wiring.application import SystemClock
from webhook.wiring.standalone import StandaloneCluster

_AT_ONCE = 1000
_TURNS = 7


@dataclass(frozen=True, slots=True)
class Cluster:
    """A request path with *objects* objects of each kind behind it, each of another user."""

    objects: int
    handler: AdmissionHandler
    advice: WorkloadAdvice
    ledger: StandaloneLedger


async def filled(objects: int, *several: list[bytes], policy: Path = POLICY, kinds: Registry = KINDS) -> Cluster:
    """Return a cluster whose objects were all created by reviews; each of *several* has the templates of a kind."""
    cluster = _empty(objects, policy, kinds)
    for templates in several:
        for number in range(objects):
            await _decide(cluster, [reviews.fill(templates[number % len(templates)], number, name=number, user=number)])
    return cluster


def _empty(objects: int, file: Path, kinds: Registry) -> Cluster:
    clock, imagined = SystemClock(), StandaloneCluster()
    index = UsageIndex(accounts_under(Policy(), imagined.known))
    policy = CurrentPolicy(
        on_change=lambda new: index.rebind(accounts_under(new, imagined.known), new.devices), on_mistakes=lambda _: None
    )
    policy.take(read_files((file,)))
    ledger = StandaloneLedger(index, monotonic=clock.monotonic, api_time=clock.monotonic, in_step=lambda: READY)
    attribution = Attribution(imagined, imagined, policy, rights=imagined, kinds=kinds)
    handler = AdmissionHandler(
        attribution, policy, imagined, ledger, clock, imagined, imagined, imagined, imagined, imagined, kinds
    )
    advice = WorkloadAdvice(
        attribution.users, imagined, imagined, policy, imagined, ledger, clock, imagined, imagined, imagined, kinds
    )
    return Cluster(objects, handler, advice, ledger)


class Ask(Protocol):
    """Answers a request."""

    async def __call__(self, request: AdmissionRequest, *, deadline: float) -> AdmissionResponse:
        """Return the answer before *deadline*, on the monotonic clock."""


async def measured(cluster: Cluster, templates: list[bytes], *, turn: int, ask: Ask | None = None) -> float:
    """
    Return the CPU time of one decision, in microseconds. What was created is deleted again, outside the time.

    *ask* answers the reviews, by default the handler.
    """
    first = cluster.objects + turn * _AT_ONCE
    bodies = [
        reviews.fill(templates[number % len(templates)], number, name=number, user=number * 7919 % cluster.objects)
        for number in range(first, first + _AT_ONCE)
    ]
    begun = time.thread_time()
    await _decide(cluster, bodies, ask)
    took = time.thread_time() - begun
    for body in bodies:
        request = review.decode(body)
        meta = request.decode(AnyObject).metadata
        cluster.ledger.on_delete(ObjectKey(str(request.resource), meta.namespace, meta.name), meta.uid)
    return took / _AT_ONCE * 1e6


def calm_collector() -> None:
    """Set the garbage collector as a replica does, once all is there."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def _decide(cluster: Cluster, bodies: Sequence[bytes], ask: Ask | None = None) -> None:
    ask = ask or cluster.handler.validate
    for body in bodies:
        answer = await ask(review.decode(body), deadline=time.monotonic() + 10)
        assert answer.allowed, review.encode(answer)
        review.encode(answer)


async def _compare(sizes: Sequence[int]) -> dict[str, list[float]]:
    small, medium = reviews.templates("s", stamped=True), reviews.templates("m", stamped=True)
    clusters = [await filled(pods, small) for pods in sizes]
    calm_collector()
    times: dict[str, list[float]] = {str(pods): [] for pods in sizes}
    for turn in range(_TURNS):
        for cluster in clusters:
            times[str(cluster.objects)].append(await measured(cluster, medium, turn=turn))
    return times


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pods", type=int, nargs="+", help="pods, each of another user, to be compared")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print(json.dumps({"decision_us": asyncio.run(_compare(parser.parse_args().pods))}))


if __name__ == "__main__":
    main()
