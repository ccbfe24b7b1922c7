"""The API is compared with its own past."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import NoReturn

from webhook.ports import READY, Condition, Sleep, StoreRestoredError, UnavailableError

_BETWEEN_LOOKS = 10.0
"""Seconds. A restore takes longer, API servers stopped and started again: a look in between fails."""

_LATELY = 20.0
"""Seconds since the last good look began, until which one may decide: a look may be late by its own time-out."""

_UNTIL_ANOTHER_TRY = 1.0
"""Seconds, after a look that failed."""


class RevisionCheck:
    """
    Looks whether the API still has the history that was seen. A store that was restored from a backup has not.

    A watch cannot tell: it waits in silence for a version that is yet to come, while the book shows objects that never
    were and lacks others. So nothing may be decided by the book unless somebody has looked lately.
    """

    def __init__(
        self,
        version_now: Callable[[], Awaitable[int]],
        *,
        seen: Callable[[], int],
        monotonic: Callable[[], float],
        on_trouble: Callable[[UnavailableError], None],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """*version_now* gives what the store is at, past every cache; *seen* how far the book is."""
        self._version_now = version_now
        self._seen = seen
        self._monotonic = monotonic
        self._on_trouble = on_trouble
        self._sleep = sleep
        self._newest = 0
        self._looked_at = -math.inf
        self._condition = READY

    def condition(self) -> Condition:
        """Return whether the usage index is known to be of the history that the store has now."""
        if self._condition.ok and self._monotonic() - self._looked_at > _LATELY:
            why = "whether the API still has the history that was seen was not looked at lately"
            return Condition(ok=False, reason="history", message=why)
        return self._condition

    async def run(self) -> NoReturn:
        """
        Look until cancelled.

        Raises: StoreRestoredError, after which nothing of this process is of use.
        """
        while True:
            begun = self._monotonic()
            known = max(self._newest, self._seen())
            try:
                now = await self._version_now()
            except UnavailableError as error:
                why = f"whether the API still has the history that was seen is not known: {error}"
                self._condition = Condition(ok=False, reason=error.reason, message=why)
                self._on_trouble(error)
                await self._sleep(_UNTIL_ANOTHER_TRY)
                continue
            if now < known:
                rewritten = StoreRestoredError(f"the store was at version {known} and is at {now}")
                self._condition = Condition(ok=False, reason="history", message=str(rewritten))
                raise rewritten
            self._newest, self._looked_at, self._condition = now, begun, READY
            await self._sleep(_BETWEEN_LOOKS)
