"""
The sessions that have just started or grown, whose pods may not exist yet.

What their pods cost is the evaluator's, the room is held by the usage index; when to look again is up to `wiring`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from webhook.kinds.evaluator import Size
from webhook.quota.expected import HOLD_SECONDS, Expected
from webhook.quota.objects import ObjectKey
from webhook.quota.resources import Amounts, grown
from webhook.quota.usage import UsageIndex


class _Started(NamedTuple):
    """A session that runs: what its pods cost, and until when they are expected, on the monotonic clock."""

    uid: str
    amounts: Amounts
    until: float


class Starting:
    """
    Keeps for each session that runs until when its pods are expected.

    The time is counted from the moment at which this replica saw the session start, or grow. What a list shows has
    started when it was created: nobody knows whether it was stopped since. Replicas may differ by that; each of them
    counts the room that it holds itself, so that none of them allows more than fits. Room that is kept for as long as
    the object exists has no such time.
    """

    def __init__(
        self, index: UsageIndex, monotonic: Callable[[], float], *, wall_clock: Callable[[], float] = time.time
    ) -> None:
        """Change the rows of *index*. Ages are by *wall_clock*, in seconds since 1970."""
        self._index = index
        self._monotonic = monotonic
        self._wall_clock = wall_clock
        self._running: dict[ObjectKey, _Started] = {}
        self._until: dict[ObjectKey, float] = {}

    def expected(
        self, key: ObjectKey, uid: str, size: Size | None, *, is_listed: bool, created: int = 0
    ) -> Expected | None:
        """
        Return the pods that are expected for the session *uid*, as it is now; None for all other objects.

        *created* is when, in seconds since 1970, 0 if that is not known.
        """
        known = self._running.get(key)
        if size is None or not size.is_running:
            if known is not None:
                self.forget(key)
            return None
        now = self._monotonic()
        if known is None or known.uid != uid or grown(size.amounts, known.amounts):
            age = self._wall_clock() - created if is_listed else 0
            until = now + HOLD_SECONDS - max(age, 0)
        else:
            until = known.until
        self._running[key] = _Started(uid, size.amounts, until)
        if size.is_kept:
            self._until.pop(key, None)
            return Expected(size.amounts, size.pod_labels, is_kept=True)
        if now >= until:
            self._until.pop(key, None)
            return None
        self._until[key] = until
        return Expected(size.amounts, size.pod_labels)

    def forget(self, key: ObjectKey) -> None:
        """Record that the session is gone or has stopped."""
        self._running.pop(key, None)
        self._until.pop(key, None)

    def prune(self) -> None:
        """Forget the sessions that the index no longer shows."""
        for key in [key for key in self._running if self._index.row(key) is None]:
            self.forget(key)

    def let_go(self) -> None:
        """Hold no room any more for pods that have not come in time."""
        now = self._monotonic()
        for key in [key for key, until in self._until.items() if now >= until]:
            del self._until[key]
            self._index.expect(key, self._running[key].uid, None)
