"""
Kubernetes Events in our own namespace, so that an admin sees with kubectl what is wrong.

They concern ConfigMaps of ours, also where they tell of a pod: we have no right to write Events anywhere else.
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
"""Events that may wait; more of them at once tell nobody more."""

_MAX_MESSAGE = 1024
"""Characters that the API server accepts in a message."""


@dataclass(frozen=True, slots=True)
class ConfigMapEvent:
    """Something to say about a ConfigMap of ours. `reason` is CamelCase, as kubectl shows it."""

    config_map: str
    uid: str
    reason: str
    message: str
    is_warning: bool = True


_GATHERING = 1.0
"""Seconds from the first thing to its event: what happens at once is summed up in one."""

_BETWEEN = 60.0
"""Seconds between two events of a digest. An outage of ours lets thousands of pods pass; etcd keeps Events an hour."""

_MOST_NAMED = 5
"""Names in one event; the log has all of them."""


class EventWriter:
    """Writes Events in the background. What cannot be written is logged and dropped: it was logged before, too."""

    def __init__(self, api: KubernetesApi, *, namespace: str, clock: Clock) -> None:
        """Write into *namespace*, which is that of the ConfigMaps."""
        self._api = api
        self._namespace = namespace
        self._clock = clock
        self._queue: asyncio.Queue[ConfigMapEvent] = asyncio.Queue(_WAITING)

    def publish(self, event: ConfigMapEvent) -> None:
        """Have *event* written soon."""
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
    """Sums up what may happen thousands of times: one event a minute at most, with a count and the first few names."""

    def __init__(
        self, tell: Callable[[int, str], None], *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Give *tell* how many things there were, and the names of the first few."""
        self._tell = tell
        self._sleep = sleep
        self._count = 0
        self._named: list[str] = []
        self._something = asyncio.Event()

    def add(self, name: str) -> None:
        """Have it told with the next event."""
        self._count += 1
        if len(self._named) < _MOST_NAMED:
            self._named.append(name)
        self._something.set()

    async def run(self) -> None:
        """Tell forever."""
        while True:
            await self._something.wait()
            await self._sleep(_GATHERING)
            names = ", ".join(self._named) + (", ..." if self._count > len(self._named) else "")
            count, self._count, self._named = self._count, 0, []
            self._something.clear()
            self._tell(count, names)
            await self._sleep(_BETWEEN)


def _micro_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
