"""
Tell what controllers were denied in Events on what they make it for: on the Deployment, above the ReplicaSet of a pod.

A controller asks again and again. So that neither etcd nor anybody who reads Events is flooded, there is one Event for
each object and reason. It is written once a minute at most, with the number of denials since.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import NoReturn

from webhook.kube.counted_events import CountedEvents
from webhook.kube.events import CountedEvent
from webhook.ports import Clock, Denial, Sleep

LABEL = "userquota.dev/event"
DENIAL = "denial"
"""The label of these Events, and its value: by it they are listed."""

OWNER_NOTE = "userquota.dev/charged-to"
"""The annotation that says who would have paid: whoever pays for the last one that was denied."""


class DenialEvents:
    """Counts denials into Events, which are written in the background: see `CountedEvents`."""

    def __init__(
        self, add: Callable[[CountedEvent], Awaitable[None]], *, clock: Clock, sleep: Sleep = asyncio.sleep
    ) -> None:
        """Write with *add*, which stores an Event, or adds its count to the stored one."""
        self._events = CountedEvents(add, clock=clock, sleep=sleep)
        self._clock = clock

    def record(self, denial: Denial) -> None:
        """Count *denial*. Returns at once, and never raises."""
        now = self._clock.now()
        self._events.record(
            CountedEvent(
                denial.namespace,
                name_of(denial.above.uid, denial.reason),
                denial.above,
                denial.reason,
                denial.message,
                1,
                now,
                now,
                {LABEL: DENIAL},
                {OWNER_NOTE: denial.owner} if denial.owner else {},
            )
        )

    async def run(self) -> NoReturn:
        """Write forever."""
        await self._events.run()


def name_of(uid: str, reason: str) -> str:
    """Return the name of the Event on the object with this *uid*: the same at every replica, and always a valid one."""
    return f"userquota.{hashlib.sha256(f'{uid}/{reason}'.encode()).hexdigest()[:32]}"
