"""
The index of one replica, built as at its start: list pages are read, decoded, priced and counted.

Runs as a program of its own, so that nothing but the index is in its memory: it reads pages from its standard input,
each after its length, and prints one JSON object. The network, TLS and the API server are not part of it.
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
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.pods import PODS
from webhook.kube.object_sink import ObjectSink
from webhook.kube.reflector.events import Added, Decoder, Modified, Undecodable
from webhook.quota.policy import Policy, accounts_under
from webhook.quota.reservation import Reservation
from webhook.quota.usage import UsageIndex
from webhook.wiring.application import SystemClock

_EVENTS = 20_000
_EVENTS_AT_ONCE = 2_000


def main() -> None:
    asked = _arguments()
    decoder, sink = Decoder(Pod), _sink()
    gc.collect()
    before, _ = machine.memory(os.getpid())
    if asked.trace:
        tracemalloc.start()
    list_cpu = _list(decoder, sink, asked.pods)
    gc.collect()
    now, peak = machine.memory(os.getpid())
    result: dict[str, Any] = {"pods": asked.pods, "users": asked.users, "list_cpu_s": list_cpu}
    result |= {"rss_before_mb": before, "rss_mb": now, "rss_peak_mb": peak}
    if asked.trace:
        result["traced_bytes"] = tracemalloc.get_traced_memory()[0]
    else:
        result["event_us"] = [_event_us(decoder, sink, asked.pods, asked.users, turn) for turn in range(5)]
    print(json.dumps(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pods", type=int, required=True)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--trace", action="store_true", help="count bytes instead of time, which slows all down")
    return parser.parse_args()


def _sink() -> ObjectSink[Pod]:
    index = UsageIndex(accounts_under(Policy(), lambda _: {}))
    return ObjectSink(
        PODS,
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
    raise AssertionError("a generated pod cannot be counted")


def _list(decoder: Decoder[Pod], sink: ObjectSink[Pod], pods: int) -> float:
    """Read all pages; return the CPU time, reading from the pipe included. No page is kept."""
    begun = time.process_time()
    sink.started()
    for body in _pages(sys.stdin.buffer):
        for item in decoder.page(body).items:
            assert not isinstance(item, Undecodable)
            sink.seen(item)
    sink.synced(10**9 + pods)
    return time.process_time() - begun


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
