"""
Who may swap next, so that replicas under load write one after the other instead of against each other.

Hints and nothing more. Whoever ignores them, or never hears of them, loses or wins a swap like any other; safety is the
compare's. Without them the replica with the fastest way to the API server writes, the requests of the others wait, and
nearly every second swap is made in vain.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

from webhook.ledger.ledger_object import StoredText

LOSSES_BEFORE_REQUEST: Final = 2
"""Swaps lost in a row before a claim. A claim is a write, too, and who loses but once has only met somebody."""

_HONOURED: Final = 0.3
"""Seconds. A claimant that has not written by then has crashed, or has nothing to write any more."""

_GATHERING: Final = 0.03
"""Seconds between two swaps of one busy replica: more requests go into each."""

_PLACE: Final = 0.1
"""
Seconds that each replica in front is waited for, counted from the last swap: deciding, writing and hearing of it take
20 to 60 ms under load. Who needs longer, or has nothing to write, loses the place for once.
"""

_REMEMBERED: Final = 0.5
"""Seconds. Who has swapped nothing for that long is not waited for, and a crowd that long ago is none any more."""


class _Swap(NamedTuple):
    version: int
    at: float


class SwapFairness:
    """What one replica knows of claims and of who wrote when, its own losses among them."""

    def __init__(self, replica: str, *, monotonic: Callable[[], float]) -> None:
        """Tell the claims and swaps of *replica* from those of others."""
        self.replica = replica
        self._monotonic = monotonic
        self._losses = 0
        self._version = 0
        self._request_ends = -math.inf
        self._crowd_ends = -math.inf
        self._swaps: dict[str, _Swap] = {}

    def lost(self) -> None:
        """Hear that a swap of ours was lost."""
        self._losses += 1

    def note(self, stored: StoredText) -> None:
        """
        Hear what is stored, by whomever.

        A claim lies beside the text until the next swap, which leaves it out.
        """
        if stored.version <= self._version:
            return
        now = self._monotonic()
        self._version = stored.version
        self._request_ends = now + _HONOURED if stored.next_writer not in ("", self.replica) else -math.inf
        if stored.writer and not stored.next_writer:
            self._swaps = {name: each for name, each in self._swaps.items() if now - each.at < _REMEMBERED}
            self._swaps[stored.writer] = _Swap(stored.version, now)
        if stored.writer == self.replica and not stored.next_writer:
            self._losses = 0

    def crowd(self) -> None:
        """Hear that several requests wait at once."""
        self._crowd_ends = self._monotonic() + _REMEMBERED

    def wait(self) -> float:
        """
        Give the seconds for which others should go first.

        Where requests crowd, those go first who have not swapped for longer. One who makes one request after the other
        never waits but for a claim.
        """
        now = self._monotonic()
        ends = self._request_ends
        ours = self._swaps.get(self.replica)
        if now < self._crowd_ends and ours is not None and now - ours.at < _REMEMBERED:
            in_front = sum(each.version < ours.version for each in self._swaps.values() if now - each.at < _REMEMBERED)
            last = max(each.at for each in self._swaps.values())
            ends = max(ends, ours.at + _GATHERING, last + in_front * _PLACE)
        return max(ends - now, 0.0)

    @property
    def has_lost(self) -> bool:
        """Whether our last swap was lost."""
        return self._losses > 0

    @property
    def may_request_turn(self) -> bool:
        """Whether it is for us to claim the next swap."""
        return self._losses >= LOSSES_BEFORE_REQUEST and not self.wait()
