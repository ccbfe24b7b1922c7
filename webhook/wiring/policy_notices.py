"""
Tells in Events on the ConfigMaps of the policy what of it begins, ends soon, or has ended: see `quota.notices`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, NoReturn

import structlog

from webhook.documents.policy_notes import timetable_of
from webhook.documents.policy_text import PolicyReading
from webhook.kube.api import ApiError
from webhook.kube.events import ConfigMapEvent
from webhook.policy_source import CurrentPolicy
from webhook.ports import Clock
from webhook.quota.notices import KEPT, Notice, Timetable

log = structlog.get_logger(__name__)

Tell = Callable[[ConfigMapEvent, str], Awaitable[bool]]
"""Stores an Event unless one of that identity is stored; returns whether it was not. See `EventWriter.tell_once`."""

LONGEST: Final = 60.0
"""Seconds between two looks at most: the wall clock may be set. One takes microseconds if nothing is due."""

_SHORTEST: Final = 0.05
"""Seconds between two looks at least, where clocks differ by less than one tells."""


async def is_told(event: ConfigMapEvent, identity: str, tell: Tell) -> bool:
    """Write *event* with *tell*; return whether it is written, be it by somebody else. What fails is logged."""
    try:
        is_first = await tell(event, identity)
    except ApiError as error:
        log.warning("event could not be written yet", reason=event.reason, why=str(error))
        return False
    if is_first:
        log.info("told of the policy", reason=event.reason, message=event.message)
    return True


class PolicyNotices:
    """
    Has each notice written once, by whichever replica is first. One that cannot be written is tried again in a minute.

    What was told is kept in mind for as long as the policy stays, so that nothing is told again where the clock is set
    back. Belongs to one event loop.
    """

    def __init__(
        self,
        policy: CurrentPolicy,
        *,
        uid_of: Callable[[str], str],
        tell: Tell,
        clock: Clock,
    ) -> None:
        """Write with *tell*, see `EventWriter.tell_once`. *uid_of* returns the uid of a ConfigMap."""
        self._policy = policy
        self._uid_of = uid_of
        self._tell = tell
        self._clock = clock
        self._woken = asyncio.Event()
        self._read: PolicyReading | None = None
        self._timetable = Timetable()
        self._told: dict[tuple[str, str], int] = {}

    def wake(self) -> None:
        """Look again now: the policy has changed."""
        self._woken.set()

    async def run(self) -> NoReturn:
        """Tell forever."""
        while True:
            self._woken.clear()
            seconds = await self.once()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken.wait()

    async def once(self) -> float:
        """Tell what is due, and return in how many seconds to look again, if nothing changes until then."""
        await self._follow()
        now = self._clock.now()
        # In a thread, as tens of thousands of entries may end at one time.
        for notice in await asyncio.to_thread(self._due, now):
            if not await self._is_told(notice):
                return LONGEST
            self._told[notice.config_map, notice.identity] = notice.at
        # Of what has become due meanwhile nothing is told yet.
        left = self._timetable.seconds_to_next(now) - (self._clock.now() - now).total_seconds()
        return min(max(left, _SHORTEST), LONGEST)

    def _due(self, now: datetime) -> list[Notice]:
        return list(self._timetable.due(now, self._told))

    async def _follow(self) -> None:
        reading = self._policy.state.reading
        if reading is self._read:
            return
        timetable = Timetable() if reading is None else await asyncio.to_thread(timetable_of, reading)
        self._read, self._timetable = reading, timetable
        oldest = self._clock.now().timestamp() - KEPT.total_seconds()
        self._told = {key: at for key, at in self._told.items() if at > oldest}

    async def _is_told(self, notice: Notice) -> bool:
        """Write *notice*; return whether it is written, be it by somebody else."""
        uid = self._uid_of(notice.config_map)
        event = ConfigMapEvent(notice.config_map, uid, notice.reason, notice.message, is_warning=notice.is_warning)
        return await is_told(event, notice.identity, self._tell)
