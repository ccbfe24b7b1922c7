"""
Write Kubernetes Events, so that people see with kubectl what is wrong.

What is about userquota itself is attached to our ConfigMaps, in our own namespace, also where it is about a pod. What
controllers were denied is attached to what they made it for: see `denial_events`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec
import structlog

from webhook.kube.api import MERGE_PATCH, AlreadyExistsError, ApiError, ConflictError, KubernetesApi, NotFoundError
from webhook.ports import Clock
from webhook.quota.objects import OwnerReference

log = structlog.get_logger(__name__)

COMPONENT = "userquota"
"""The source of our Events, as kubectl shows it."""

_WAITING = 100
"""Events that may wait to be written; more of them at once are dropped."""

_MAX_MESSAGE = 1024
"""Characters that the API server accepts in a message."""


@dataclass(frozen=True, slots=True)
class ConfigMapEvent:
    """
    An Event on one of our ConfigMaps. `reason` is CamelCase, as kubectl shows it. One with an `identity` is stored
    once, whoever else writes it.
    """

    config_map: str
    uid: str
    reason: str
    message: str
    is_warning: bool = True
    identity: str = ""


@dataclass(frozen=True, slots=True)
class CountedEvent:
    """
    A warning on any object, `count` times from `first` to `last`. With a `name` of its own, under which it is counted.

    `labels` and `annotations` are those of the Event itself.
    """

    namespace: str
    name: str
    involved: OwnerReference
    reason: str
    message: str
    count: int
    first: datetime
    last: datetime
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


class _StoredMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str


class _Stored(msgspec.Struct, frozen=True, rename="camel"):
    metadata: _StoredMeta
    count: int | None = None
    last_timestamp: str | None = None


_NO_CHANGE = b"{}"
_TRIES = 5
"""Each replica writes an Event once a minute, so that several conflicts in a row are rare."""

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
                if event.identity:
                    await self.tell_once(event, event.identity)
                else:
                    metadata = {"generateName": f"{event.config_map[:200]}.", "namespace": self._namespace}
                    await self._api.create(f"/api/v1/namespaces/{self._namespace}/events", self._body(event, metadata))
            except ApiError as error:
                log.warning("event could not be written", reason=event.reason, why=str(error))

    async def tell_once(self, event: ConfigMapEvent, identity: str) -> bool:
        """
        Store *event* unless one of this *identity* on the ConfigMap is stored; return whether it was not.

        Every replica gives it the same name, so that the API server refuses all but the first. It keeps Events for an
        hour. Raises: ApiError.
        """
        whole = f"{event.config_map}/{event.uid}/{identity}"
        digest = hashlib.sha256(whole.encode(errors="surrogatepass")).hexdigest()
        metadata = {"name": f"{COMPONENT}.{digest[:32]}", "namespace": self._namespace}
        try:
            await self._api.create(f"/api/v1/namespaces/{self._namespace}/events", self._body(event, metadata))
        except AlreadyExistsError:
            return False
        return True

    async def add(self, event: CountedEvent) -> None:
        """
        Store *event*, or add its count to the Event of this name, which another replica may have written.

        A patch that changes nothing reads that one: so it takes no right to read Events. Raises: ApiError.
        """
        path = f"/api/v1/namespaces/{quote(event.namespace, safe='')}/events"
        for tries_left in reversed(range(_TRIES)):
            try:
                await self._add_or_create(path, event)
            except (AlreadyExistsError, ConflictError):  # another replica was first
                if not tries_left:
                    raise
            else:
                return

    async def _add_or_create(self, collection: str, event: CountedEvent) -> None:
        try:
            await self._add_to_stored(f"{collection}/{event.name}", event)
        except NotFoundError:
            await self._api.create(collection, _counted_body(event))

    async def _add_to_stored(self, path: str, event: CountedEvent) -> None:
        answer = await self._api.patch(path, _NO_CHANGE, content_type=MERGE_PATCH)
        stored = msgspec.json.decode(answer, type=_Stored)
        change = {
            "metadata": {"resourceVersion": stored.metadata.resource_version, "annotations": event.annotations},
            "message": event.message[:_MAX_MESSAGE],
            "lastTimestamp": max(_seconds(event.last), stored.last_timestamp or ""),
            "count": (stored.count or 0) + event.count,
        }
        await self._api.patch(path, msgspec.json.encode(change), content_type=MERGE_PATCH)

    def _body(self, event: ConfigMapEvent, metadata: Mapping[str, str]) -> bytes:
        now = self._clock.now()
        involved = OwnerReference("v1", "ConfigMap", event.config_map, event.uid)
        return _encoded(
            metadata,
            involved,
            reason=event.reason,
            message=event.message,
            is_warning=event.is_warning,
            first=now,
            last=now,
            count=1,
        )


def _counted_body(event: CountedEvent) -> bytes:
    return _encoded(
        {
            "name": event.name,
            "namespace": event.namespace,
            "labels": event.labels,
            "annotations": event.annotations,
        },
        event.involved,
        reason=event.reason,
        message=event.message,
        is_warning=True,
        first=event.first,
        last=event.last,
        count=event.count,
    )


def _encoded(  # noqa: PLR0913 - the fields of an Event
    metadata: Mapping[str, Any],
    involved: OwnerReference,
    *,
    reason: str,
    message: str,
    is_warning: bool,
    first: datetime,
    last: datetime,
    count: int,
) -> bytes:
    return msgspec.json.encode(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": metadata,
            "involvedObject": {
                "apiVersion": involved.api_version,
                "kind": involved.kind,
                "name": involved.name,
                "namespace": metadata["namespace"],
                "uid": involved.uid,
            },
            "type": "Warning" if is_warning else "Normal",
            "reason": reason,
            "message": message[:_MAX_MESSAGE],
            "source": {"component": COMPONENT},
            "firstTimestamp": _seconds(first),
            "lastTimestamp": _seconds(last),
            "count": count,
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


def _seconds(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
