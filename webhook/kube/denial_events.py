"""
Tell what controllers were denied in Events on what they make it for: on the Deployment, above the ReplicaSet of a pod.

A controller asks again and again. So that neither etcd nor anybody who reads Events is flooded, there is one Event for
each object and reason. It is written once a minute at most, with the number of denials since.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, NoReturn

import structlog

from webhook.kube.api import UNREADABLE, ApiError
from webhook.kube.events import CountedEvent
from webhook.ports import Clock, Denial, Sleep

log = structlog.get_logger(__name__)

LABEL = "userquota.dev/event"
DENIAL = "denial"
"""The label of these Events, and its value: by it they are listed."""

OWNER_NOTE = "userquota.dev/charged-to"
"""The annotation that says who would have paid: whoever pays for the last one that was denied."""

MOST_KEPT = 1000
"""Events that are counted at once. Of more the one that was denied longest ago is forgotten, with what is not told."""

_GATHERING = 1.0
"""Seconds from the first denial to its Event: a controller asks for several pods at once."""

_BETWEEN = 60.0
"""Seconds between two writes of one Event."""

_PAUSE = 0.2
"""Seconds between any two Events: five a second at most, of up to three requests each."""


class _Key(NamedTuple):
    namespace: str
    uid: str
    reason: str


@dataclass(slots=True)
class _Told:
    """The last denial of a key, how many have not been told, since when, and from when on that may be written."""

    denial: Denial
    due: float
    first: datetime
    last: datetime
    count: int = 0


class DenialEvents:
    """
    Counts denials, and has them written in the background. What cannot be written is logged and dropped.

    Each replica counts what it has denied itself, and adds that to the Event that all share.
    """

    def __init__(
        self, add: Callable[[CountedEvent], Awaitable[None]], *, clock: Clock, sleep: Sleep = asyncio.sleep
    ) -> None:
        """Write with *add*, which stores an Event, or adds its count to the stored one."""
        self._add = add
        self._clock = clock
        self._sleep = sleep
        self._told: OrderedDict[_Key, _Told] = OrderedDict()
        self._has_untold = asyncio.Event()
        self._may_complain = 0.0

    def record(self, denial: Denial) -> None:
        """Count *denial*. Returns at once, and never raises."""
        key = _Key(denial.namespace, denial.above.uid, denial.reason)
        now = self._clock.now()
        told = self._told.get(key)
        if told is None:
            told = self._told[key] = _Told(denial, self._clock.monotonic() + _GATHERING, now, now)
            if len(self._told) > MOST_KEPT:
                self._told.popitem(last=False)
        self._told.move_to_end(key)
        if not told.count:
            told.first = now
        told.denial, told.last, told.count = denial, now, told.count + 1
        self._has_untold.set()

    async def run(self) -> NoReturn:
        """Write forever."""
        while True:
            await self._has_untold.wait()
            await self._sleep(_PAUSE)
            await self._write_next()

    async def _write_next(self) -> None:
        """Write what has been due for the longest time, if anything is."""
        untold = [(told.due, key) for key, told in self._told.items() if told.count]
        if not untold:
            self._has_untold.clear()
            return
        due, key = min(untold)
        now = self._clock.monotonic()
        if due > now:
            return
        told = self._told[key]
        event, told.count, told.due = _event(key, told), 0, now + _BETWEEN
        try:
            await self._add(event)
        except (ApiError, *UNREADABLE) as error:
            if now >= self._may_complain:
                self._may_complain = now + _BETWEEN
                log.warning("a denial could not be told in an Event", namespace=key.namespace, why=str(error))


def _event(key: _Key, told: _Told) -> CountedEvent:
    return CountedEvent(
        key.namespace,
        name_of(key.uid, key.reason),
        told.denial.above,
        key.reason,
        told.denial.message,
        told.count,
        told.first,
        told.last,
        {LABEL: DENIAL},
        {OWNER_NOTE: told.denial.owner} if told.denial.owner else {},
    )


def name_of(uid: str, reason: str) -> str:
    """Return the name of the Event on the object with this *uid*: the same at every replica, and always a valid one."""
    return f"userquota.{hashlib.sha256(f'{uid}/{reason}'.encode()).hexdigest()[:32]}"
