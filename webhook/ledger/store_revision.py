"""Check that the store has not gone back in time, as after a restore from a backup."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import NoReturn

from webhook.ports import READY, Condition, Sleep, StoreRestoredError, UnavailableError

_LOOK_PAUSE = 10.0
"""Seconds. A restore, with API servers stopped and started again, takes longer: a look in between fails."""

_GOOD_FOR = 20.0
"""Seconds after the beginning of a good look in which requests may be decided: the next may take up to its time-out."""

_RETRY_PAUSE = 1.0
"""Seconds after a look that failed."""


class RevisionCheck:
    """
    Compares the store's version with the highest that was seen. A store that was restored from a backup is behind it.

    A watch does not show this: after a restore it waits for a future version, while the index keeps objects that were
    deleted and lacks others. So nothing may be decided by the index without a recent look.
    """

    def __init__(
        self,
        version_now: Callable[[], Awaitable[int]],
        *,
        seen: Callable[[], int],
        monotonic: Callable[[], float],
        on_error: Callable[[UnavailableError], None],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Compare *version_now*, read past every cache, with *seen*, the version that the index has reached."""
        self._version_now = version_now
        self._seen = seen
        self._monotonic = monotonic
        self._on_error = on_error
        self._sleep = sleep
        self._newest = 0
        self._looked_at = -math.inf
        self._condition = READY

    def condition(self) -> Condition:
        """Return whether the store was seen lately to be at no lower version than the index."""
        if self._condition.ok and self._monotonic() - self._looked_at > _GOOD_FOR:
            why = "it was not checked lately that the store has not gone back in time"
            return Condition(ok=False, reason="history", message=why)
        return self._condition

    async def run(self) -> NoReturn:
        """
        Look until cancelled.

        Raises: StoreRestoredError. The process has to end then: it has seen what no longer exists.
        """
        while True:
            begun = self._monotonic()
            known = max(self._newest, self._seen())
            try:
                now = await self._version_now()
            except UnavailableError as error:
                why = f"it cannot be checked that the store has not gone back in time: {error}"
                self._condition = Condition(ok=False, reason=error.reason, message=why)
                self._on_error(error)
                await self._sleep(_RETRY_PAUSE)
                continue
            if now < known:
                restored = StoreRestoredError(f"the store was at version {known} and is at {now}")
                self._condition = Condition(ok=False, reason="history", message=str(restored))
                raise restored
            self._newest, self._looked_at, self._condition = now, begun, READY
            await self._sleep(_LOOK_PAUSE)
