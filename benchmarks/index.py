"""
The index of one replica, built as at its start: list pages are read, decoded, priced and counted.

Runs as a program of its own, so that nothing but the index is in its memory: it reads pages from its standard input,
each after its length, a length of 0 after each list, and prints one JSON object. The network, TLS and the API server
are not part of it.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any, BinaryIO

import webhook.cli  # noqa: F401 - all that a serving process has loaded belongs to its memory
from benchmarks import machine, reviews
from webhook.kinds.claims import PERSISTENT_VOLUME_CLAIMS
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.pods import PODS
from webhook.kinds.resource_claims import RESOURCE_CLAIMS
from webhook.kube.object_sink import ObjectSink
from webhook.kube.reflector.events import Added, Decoder, Modified, Undecodable
from webhook.quota.policy import Policy, accounts_under
from webhook.quota.reservation import Reservation
from webhook.quota.usage import UsageIndex
from webhook.wiring.application import SystemClock

_EVENTS = 20_000
_EVENTS_AT_ONCE = 2_000


KINDS: tuple[AnyKind, ...] = (PODS, PERSISTENT_VOLUME_CLAIMS, RESOURCE_CLAIMS)
"""In the order in which their lists are read."""


def main() -> None:
    asked = _arguments()
    index = UsageIndex(accounts_under(Policy(), lambda _: {}))
    lists = [(Decoder(kind.shape), _sink(kind, index)) for kind in KINDS]
    gc.collect()
    before, _ = machine.memory(os.getpid())
    if asked.trace:
        tracemalloc.start()
    begun = time.process_time()
    for decoder, sink in lists:
        _list(decoder, sink)
    list_cpu = time.process_time() - begun
    gc.collect()
    now, peak = machine.memory(os.getpid())
    result: dict[str, Any] = {"objects": [index.rows(kind.resource) for kind in KINDS], "list_cpu_s": list_cpu}
    result |= {"rss_before_mb": before, "rss_mb": now, "rss_peak_mb": peak}
    if asked.trace:
        result["traced_bytes"] = tracemalloc.get_traced_memory()[0]
    if asked.events:
        pods, users = index.rows(PODS.resource), asked.events
        result["event_us"] = [_event_us(*lists[0], pods, users, turn) for turn in range(5)]
    print(json.dumps(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--events", type=int, default=0, metavar="USERS", help="measure events of pods of so many users"
    )
    parser.add_argument("--trace", action="store_true", help="count bytes instead of time, which slows all down")
    return parser.parse_args()


def _sink(kind: AnyKind, index: UsageIndex) -> ObjectSink[Any]:
    return ObjectSink(
        kind,
        index,
        exempt=frozenset(),
        now=SystemClock().now,
        on_settled=_nothing_settled,
        on_reached=_nothing,
        on_uncountable=_impossible,
    )


def _nothing() -> None:
    """Does nothing: no request waits for this watch."""


def _nothing_settled(reservations: tuple[Reservation, ...], *, seen_at: int) -> None:
    """Does nothing: there are no reservations."""


def _impossible() -> None:
    raise AssertionError("a generated object cannot be counted")


def _list(decoder: Decoder[Any], sink: ObjectSink[Any]) -> None:
    """Read all pages of one list. No page is kept."""
    sink.started()
    version = 0
    for body in _pages(sys.stdin.buffer):
        page = decoder.page(body)
        version = page.resource_version
        for item in page.items:
            assert not isinstance(item, Undecodable)
            sink.seen(item)
    sink.synced(version)


def _pages(source: BinaryIO) -> Iterator[bytes]:
    while length := int.from_bytes(source.read(8)):
        yield source.read(length)


def _event_us(decoder: Decoder[Pod], sink: ObjectSink[Pod], pods: int, users: int, turn: int) -> float:
    """Return the CPU time of one event of the watch, in microseconds: most of them do not change the cost of a pod."""
    stored = reviews.stored_pods()
    took = 0.0
    for first in range(turn * _EVENTS, (turn + 1) * _EVENTS, _EVENTS_AT_ONCE):
        lines = [
            reviews.event(stored, number * 7919 % pods, users=users, version=pods + 1 + number)
            for number in range(first, first + _EVENTS_AT_ONCE)
        ]
        begun = time.thread_time()
        for line in lines:
            change = decoder.event(line)
            assert isinstance(change, Added | Modified)
            sink.seen(change.object)
            sink.reached(int(change.object.metadata.resource_version))
        took += time.thread_time() - begun
    return took / _EVENTS * 1e6


if __name__ == "__main__":
    main()
