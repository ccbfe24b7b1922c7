"""
Who may swap next: a replica that has lost again and again claims the next swap, and the others let it go first.

A hint and nothing more. Whoever ignores it, or never hears of it, loses or wins a swap like any other; safety is the
compare's. Without it the replica with the fastest way to the API server writes, and the requests of the others wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from webhook.adapters.ledger_kubernetes.stored import Stored

PATIENCE: Final = 2
"""Swaps lost in a row before a claim. A claim is a write, too, and who loses but once has only met somebody."""

_HONOURED: Final = 0.3
"""Seconds. A claimant that has not written by then has crashed, or has nothing to write any more."""


class Turns:
    """What one replica knows of claims, its own losses among them."""

    def __init__(self, replica: str, *, monotonic: Callable[[], float]) -> None:
        """Tell the claims of *replica* from those of others."""
        self.replica = replica
        self._monotonic = monotonic
        self._losses = 0
        self._version = 0
        self._ends = -math.inf

    def won(self) -> None:
        """Hear that a swap of ours was made."""
        self._losses = 0

    def lost(self) -> None:
        """Hear that a swap of ours was lost."""
        self._losses += 1

    def note(self, stored: Stored) -> None:
        """Hear what is stored: a claim lies beside the text until the next swap, which leaves it out."""
        if stored.version <= self._version:
            return
        self._version = stored.version
        is_anothers = stored.turn not in ("", self.replica)
        self._ends = self._monotonic() + _HONOURED if is_anothers else -math.inf

    def wait(self) -> float:
        """Give the seconds for which another replica should go first."""
        return max(self._ends - self._monotonic(), 0.0)

    @property
    def has_lost(self) -> bool:
        """Whether our last swap was lost."""
        return self._losses > 0

    @property
    def is_due(self) -> bool:
        """Whether it is for us to claim the next swap."""
        return self._losses >= PATIENCE and not self.wait()
