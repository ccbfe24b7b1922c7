"""
Decides when a replica should let others swap the ledger first, so that replicas under load take turns.

Hints only: a replica that ignores them, or never learns of them, wins or loses a swap like any other. Safety is in the
compare-and-swap. Without them the replica with the fastest way to the API server writes, the requests of the others
wait, and nearly every second swap is lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

from webhook.ledger.ledger_object import StoredText

LOSSES_BEFORE_REQUEST: Final = 2
"""Swaps lost in a row before a turn is requested. The request is a write too, and one loss is mere chance."""

_TURN_SECONDS: Final = 0.3
"""A replica that has not used its turn by then has crashed, or has nothing to write any more."""

_BATCH_SECONDS: Final = 0.03
"""Between two swaps of one busy replica: more requests go into each."""

_SECONDS_PER_REPLICA: Final = 0.1
"""
How long each replica in front is waited for, counted from the last swap. Deciding, writing and learning of it take 20
to 60 ms under load. A replica that needs longer, or has nothing to write, misses this round.
"""

_RECENT_SECONDS: Final = 0.5
"""Replicas that swapped nothing for longer are not waited for; contention that long ago is over."""


class _Swap(NamedTuple):
    version: int
    at: float


class SwapFairness:
    """What one replica knows of requested turns and of when each replica swapped last, its own losses included."""

    def __init__(self, replica: str, *, monotonic: Callable[[], float]) -> None:
        """Tell requests and swaps of *replica* from those of others."""
        self.replica = replica
        self._monotonic = monotonic
        self._losses = 0
        self._version = 0
        self._turn_of_another_ends = -math.inf
        self._contention_ends = -math.inf
        self._swaps: dict[str, _Swap] = {}

    def on_conflict(self) -> None:
        """Record that a swap of ours was lost."""
        self._losses += 1

    def on_stored(self, stored: StoredText) -> None:
        """
        Record what is stored, whoever wrote it. Older versions change nothing.

        A requested turn stands beside the text until the next swap, which leaves it out.
        """
        if stored.version <= self._version:
            return
        now = self._monotonic()
        self._version = stored.version
        self._turn_of_another_ends = now + _TURN_SECONDS if stored.next_writer not in ("", self.replica) else -math.inf
        if stored.is_swap:
            self._swaps = {name: each for name, each in self._swaps.items() if now - each.at < _RECENT_SECONDS}
            self._swaps[stored.writer] = _Swap(stored.version, now)
            if stored.writer == self.replica:
                self._losses = 0

    def on_contention(self) -> None:
        """Record that several requests wait at once."""
        self._contention_ends = self._monotonic() + _RECENT_SECONDS

    def seconds_to_wait(self) -> float:
        """
        Return the seconds for which other replicas should go first.

        Under contention a replica is in front of us if it swapped lately, and longer ago than we did. A client that
        sends one request after another waits for a requested turn only.
        """
        now = self._monotonic()
        ends = self._turn_of_another_ends
        ours = self._swaps.get(self.replica)
        if now < self._contention_ends and ours is not None and now - ours.at < _RECENT_SECONDS:
            recent = [each for each in self._swaps.values() if now - each.at < _RECENT_SECONDS]
            in_front = sum(each.version < ours.version for each in recent)
            last = max(each.at for each in self._swaps.values())
            ends = max(ends, ours.at + _BATCH_SECONDS, last + in_front * _SECONDS_PER_REPLICA)
        return max(ends - now, 0.0)

    @property
    def has_conflict(self) -> bool:
        """Whether a swap of ours was lost since the last one that was stored."""
        return self._losses > 0

    @property
    def should_request_turn(self) -> bool:
        """Whether it is time to request the next swap for this replica."""
        return self._losses >= LOSSES_BEFORE_REQUEST and not self.seconds_to_wait()
