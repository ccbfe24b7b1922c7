"""
Times without faults: how far back a check has to look, and how long a replica really worked.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from nemesis.records import Fault, Life

_AFTERMATH = 3.0
"""Seconds until watches that were cut or stalled have caught up."""

LATEST = 5.0
"""Seconds by which the watch of a replica may be late at most, outside of faults."""

_LONG = 10.0
_UNTIL_RENEWED = 16.0
"""
Seconds after an API server was paused for long, or the watches of a replica were stalled for long: no reservation ages
before each API server is seen to renew its Lease, which it does every ten seconds; a replica looks every five.
"""

_REPLICA_KINDS = ("pause replica", "stall connections", "cut connections")
_CONTROL_PLANE_KINDS = ("kill API server", "pause kube-apiserver", "pause etcd")


class Span(NamedTuple):
    """A time with a beginning and an end."""

    begun: float
    ended: float


class Spans:
    """Times that do not overlap, in order."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._spans: list[Span] = []
        for span in sorted(spans):
            if self._spans and span.begun <= self._spans[-1].ended:
                self._spans[-1] = Span(self._spans[-1].begun, max(self._spans[-1].ended, span.ended))
            else:
                self._spans.append(span)
        self._begins = [span.begun for span in self._spans]

    def before(self, at: float, seconds: float) -> float:
        """Return the time from which until *at* there are *seconds* outside of the spans."""
        for span in reversed(self._spans[: bisect_right(self._begins, at)]):
            outside = at - min(span.ended, at)
            if outside >= seconds:
                break
            seconds -= outside
            at = span.begun
        return at - seconds

    def after(self, at: float, seconds: float) -> float:
        """Return the time until which since *at* there are *seconds* outside of the spans."""
        for span in self._spans[max(bisect_right(self._begins, at) - 1, 0) :]:
            outside = max(span.begun - at, 0.0)
            if outside >= seconds:
                break
            seconds -= outside
            at = max(span.ended, at)
        return at + seconds

    def within(self, begun: float, ended: float) -> float:
        """Return the seconds of a time that lie in the spans."""
        known = self._spans[max(bisect_right(self._begins, begun) - 1, 0) : bisect_right(self._begins, ended)]
        return sum(max(min(span.ended, ended) - max(span.begun, begun), 0.0) for span in known)


def troubles(faults: Iterable[Fault]) -> Spans:
    """Return the times in which faults may have kept a replica behind."""
    kinds = (*_REPLICA_KINDS, *_CONTROL_PLANE_KINDS)
    return Spans(Span(each.begun, each.ended + _AFTERMATH) for each in faults if each.kind in kinds)


@dataclass(frozen=True, slots=True)
class Workers:
    """When the replicas worked: each life of each, without the faults of it and of the control plane."""

    lives: tuple[Life, ...]
    hindered: dict[str, Spans]

    def longest_work(self, begun: float, ended: float) -> float:
        """Return the longest time that one life of a replica worked within a time."""
        longest = 0.0
        for life in self.lives:
            start, end = max(life.begun, begun), min(life.ended, ended)
            if end - start > longest:
                longest = max(longest, end - start - self.hindered[life.replica].within(start, end))
        return longest


def workers(lives: Iterable[Life], faults: Iterable[Fault], lost: Iterable[Span]) -> Workers:
    """Return when the replicas worked; *lost* are the times without an open ledger."""
    lives, faults = tuple(lives), tuple(faults)
    common = [*lost, *(_with_aftermath(each) for each in faults if each.kind in _CONTROL_PLANE_KINDS)]
    of_replica = {
        life.replica: Spans(
            [
                *common,
                *(
                    _with_aftermath(each)
                    for each in faults
                    if each.target == life.replica and each.kind in _REPLICA_KINDS
                ),
            ]
        )
        for life in lives
    }
    return Workers(lives, of_replica)


def _with_aftermath(fault: Fault) -> Span:
    """Return the time in which a fault may keep every replica from dropping reservations."""
    is_long = fault.ended - fault.begun > _LONG
    return Span(fault.begun, fault.ended + (_UNTIL_RENEWED if is_long else _AFTERMATH))
