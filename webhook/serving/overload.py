"""
What is not begun when more reviews arrive than can be answered.

A review that waits for longer than the API server does is answered in vain, and under a load that stays, all wait as
long. So a replica that has been busy for a while begins no more of them in one turn of its event loop than keep the
turn short, and answers 503 to the others at once: that costs a fifth of a review.
"""

from __future__ import annotations

import asyncio
import time

ROUNDS = 3
"""
Rounds of the event loop that make a turn: as many as it takes from the bytes of a review to its handler.
"""

REST = 0.05
"""
Seconds after a turn until the next one is looked at: what comes meanwhile is begun. The rounds of a turn cost some
calls of the system, which is as much as a tenth of a review if each had a turn of its own.
"""

FULL_TURN = 0.5
"""
Seconds. A turn that takes this long is full. A new connection, such as that of a health check, takes two to three turns
until it has its answer, and the manifests' readiness probe waits two seconds.
"""

PATIENCE = 3.0
"""
Seconds in which every turn has to be full before turns are kept that short: a burst that is over by then is answered.
"""

LONGEST_TURN = 1.0
"""
Seconds. Even of a burst no more is begun in one turn. A review may wait for two turns, and it has 4.5 seconds.
"""

LEAST_IN_TURN = 64
"""
Reviews that are begun in each turn, however long it takes: where the machine is slow and few ask, the wait is the
machine's, and nobody is helped by an answer of 503.
"""

LESSER_SHARE = 0.5
"""
The share of a turn for reviews whose answer binds nobody (advice, dry-runs). They are turned away first.
"""

_MOVED_AT_ONCE = 10.0
"""
Calls a second, at most, that are asked to come again over another connection, so that load moves to replicas that have
less. It costs a handshake somewhere, as much as three reviews: all of them at once would make everything worse.
"""


class Overload:
    """
    Decides what is begun in a turn of the event loop.

    A turn begins with a review and lasts for some rounds of the event loop. Belongs to one event loop.
    """

    def __init__(self) -> None:
        """Begin without load."""
        self._begun = 0.0
        self._in_turn = 0
        self._rests_until = 0.0
        self._full_since: float | None = None
        self._may_move_at = 0.0

    def admits(self, *, is_binding: bool) -> bool:
        """Whether to begin a review now; one that is not *is_binding* binds nobody by its answer."""
        now = time.monotonic()
        if not self._in_turn:
            if now < self._rests_until:
                return True
            self._begun = now
            self._come_round(ROUNDS)
        self._in_turn += 1
        if self._in_turn <= LEAST_IN_TURN:
            return True
        most = FULL_TURN if self._is_lasting(now) else LONGEST_TURN
        return now - self._begun < (most if is_binding else most * LESSER_SHARE)

    @property
    def is_near(self) -> bool:
        """Whether it matters now what a review is: until then `admits` lets any one in."""
        return self._in_turn > LEAST_IN_TURN and time.monotonic() - self._begun > FULL_TURN * LESSER_SHARE

    def may_move(self) -> bool:
        """Whether the next call that is turned away should come again over another connection."""
        now = time.monotonic()
        if now < self._may_move_at:
            return False
        self._may_move_at = now + 1 / _MOVED_AT_ONCE
        return True

    def _is_lasting(self, now: float) -> bool:
        return self._full_since is not None and now - self._full_since > PATIENCE

    def _come_round(self, more: int) -> None:
        if more:
            asyncio.get_running_loop().call_soon(self._come_round, more - 1)
            return
        self._in_turn = 0
        now = time.monotonic()
        self._rests_until = now + REST
        if now - self._begun < FULL_TURN:
            self._full_since = None
        elif self._full_since is None:
            self._full_since = self._begun
