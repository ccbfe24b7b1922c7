"""
Write Kubernetes Events in our own namespace, so that an admin sees with kubectl what is wrong.

They are attached to our ConfigMaps, also where they are about a pod: we have no right to write Events elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec
import structlog

from webhook.kube.api import ApiError, KubernetesApi
from webhook.ports import Clock

log = structlog.get_logger(__name__)

_WAITING = 100
"""Events that may wait to be written; more of them at once are dropped."""

_MAX_MESSAGE = 1024
"""Characters that the API server accepts in a message."""


@dataclass(frozen=True, slots=True)
class ConfigMapEvent:
    """An Event on one of our ConfigMaps. `reason` is CamelCase, as kubectl shows it."""

    config_map: str
    uid: str
    reason: str
    message: str
    is_warning: bool = True


_GATHERING = 1.0
"""Seconds from the first name to its Event: names that come at once share one."""

_BETWEEN = 60.0
"""Seconds between two Events of a digest. An outage of ours lets thousands of pods pass; etcd keeps Events an hour."""

_MOST_NAMED = 5
"""Names in one Event; the log has all of them."""


class EventWriter:
    """Writes Events in the background. One that cannot be written is logged and dropped: its cause is in the log."""

    def __init__(self, api: KubernetesApi, *, namespace: str, clock: Clock) -> None:
        """Write into *namespace*, where the ConfigMaps are."""
        self._api = api
        self._namespace = namespace
        self._clock = clock
        self._queue: asyncio.Queue[ConfigMapEvent] = asyncio.Queue(_WAITING)

    def publish(self, event: ConfigMapEvent) -> None:
        """Have *event* written soon; drop it if too many wait."""
        if not self._queue.full():
            self._queue.put_nowait(event)

    async def run(self) -> None:
        """Write forever."""
        while True:
            event = await self._queue.get()
            try:
                await self._api.create(f"/api/v1/namespaces/{self._namespace}/events", self._body(event))
            except ApiError as error:
                log.warning("event could not be written", reason=event.reason, why=str(error))

    def _body(self, event: ConfigMapEvent) -> bytes:
        now = _micro_time(self._clock.now())
        return msgspec.json.encode(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"generateName": f"{event.config_map[:200]}.", "namespace": self._namespace},
                "involvedObject": {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "name": event.config_map,
                    "namespace": self._namespace,
                    "uid": event.uid,
                },
                "type": "Warning" if event.is_warning else "Normal",
                "reason": event.reason,
                "message": event.message[:_MAX_MESSAGE],
                "source": {"component": "userquota"},
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
            }
        )


class Digest:
    """Collects names that may come by the thousand: one Event a minute at most, with their number and the first few."""

    def __init__(
        self, publish: Callable[[int, str], None], *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Call *publish* with the number of names, and the first few of them as a text."""
        self._publish = publish
        self._sleep = sleep
        self._count = 0
        self._named: list[str] = []
        self._is_due = asyncio.Event()

    def add(self, name: str) -> None:
        """Count *name* into the next Event."""
        self._count += 1
        if len(self._named) < _MOST_NAMED:
            self._named.append(name)
        self._is_due.set()

    async def run(self) -> None:
        """Publish forever."""
        while True:
            await self._is_due.wait()
            await self._sleep(_GATHERING)
            names = ", ".join(self._named) + (", ..." if self._count > len(self._named) else "")
            count, self._count, self._named = self._count, 0, []
            self._is_due.clear()
            self._publish(count, names)
            await self._sleep(_BETWEEN)


def _micro_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
