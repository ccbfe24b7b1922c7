"""
Count what happens again and again into few Events, so that neither etcd nor anybody who reads Events is flooded.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import NoReturn

import structlog

from webhook.kube.api import UNREADABLE, ApiError
from webhook.kube.events import CountedEvent
from webhook.ports import Clock, Sleep

log = structlog.get_logger(__name__)

MOST_KEPT = 1000
"""Events that are counted at once. Of more the one that happened longest ago is forgotten, with what is not told."""

_GATHERING = 1.0
"""Seconds from the first time to its Event: a controller asks for several pods at once."""

_BETWEEN = 60.0
"""Seconds between two writes of one Event."""

_PAUSE = 0.2
"""Seconds between any two Events: five a second at most, of up to three requests each."""


@dataclass(slots=True)
class _Told:
    """The last event of a name, with the count of what is not told, and from when on that may be written."""

    event: CountedEvent
    due: float


class CountedEvents:
    """
    Counts Events by namespace and name, and has them written in the background. What cannot be written is logged and
    dropped.

    Each replica counts what it saw itself, and adds that to the Event that all share.
    """

    def __init__(
        self, add: Callable[[CountedEvent], Awaitable[None]], *, clock: Clock, sleep: Sleep = asyncio.sleep
    ) -> None:
        """Write with *add*, which stores an Event, or adds its count to the stored one."""
        self._add = add
        self._clock = clock
        self._sleep = sleep
        self._told: OrderedDict[tuple[str, str], _Told] = OrderedDict()
        self._has_untold = asyncio.Event()
        self._may_complain = 0.0

    def record(self, event: CountedEvent) -> None:
        """Count *event*, whose text takes the place of the one before. Returns at once, and never raises."""
        key = (event.namespace, event.name)
        told = self._told.get(key)
        if told is None:
            self._told[key] = _Told(event, self._clock.monotonic() + _GATHERING)
            if len(self._told) > MOST_KEPT:
                self._told.popitem(last=False)
        else:
            first = told.event.first if told.event.count else event.first
            told.event = replace(event, first=first, count=told.event.count + event.count)
            self._told.move_to_end(key)
        self._has_untold.set()

    async def run(self) -> NoReturn:
        """Write forever."""
        while True:
            await self._has_untold.wait()
            await self._sleep(_PAUSE)
            await self._write_next()

    async def _write_next(self) -> None:
        """Write what has been due for the longest time, if anything is."""
        untold = [(told.due, key) for key, told in self._told.items() if told.event.count]
        if not untold:
            self._has_untold.clear()
            return
        due, key = min(untold)
        now = self._clock.monotonic()
        if due > now:
            return
        told = self._told[key]
        event, told.event, told.due = told.event, replace(told.event, count=0), now + _BETWEEN
        try:
            await self._add(event)
        except (ApiError, *UNREADABLE) as error:
            if now >= self._may_complain:
                self._may_complain = now + _BETWEEN
                log.warning("an Event could not be written", reason=event.reason, namespace=key[0], why=str(error))
