"""
Records every revision of the pods, the claims and our ConfigMaps, from watches that begin at etcd's first revision.

Its API server has no watch cache and no faults, and etcd keeps every revision: after a broken connection the watch
continues where it was, so that nothing is missed. Nothing is judged here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import aiohttp
import msgspec
from msgspec import Struct, field

from nemesis import records
from nemesis.api import collection
from nemesis.records import (
    DELETED,
    FOREIGN,
    NODES,
    OBJECTS,
    SESSION_LABEL,
    STOPPED,
    SYSTEM_NAMESPACE,
    TEXTS,
    WRITER,
    ClaimRevision,
    Container,
    NodeRevision,
    PodRevision,
    Revision,
    SessionRevision,
    Slot,
    TextRevision,
    Writer,
)

_LARGEST_LINE = 2**23
_OWNER, _GROUPS = "userquota.dev/owner", "userquota.dev/groups"


class _Resources(Struct):
    requests: dict[str, str] = field(default_factory=dict)


class _Container(Struct, rename="camel"):
    name: str
    resources: _Resources = field(default_factory=_Resources)
    allocated_resources: dict[str, str] = field(default_factory=dict)


class _Exactly(Struct, rename="camel"):
    device_class_name: str
    count: int = 1


class _DeviceRequest(Struct):
    exactly: _Exactly


class _Devices(Struct):
    requests: list[_DeviceRequest] | None = None


class _Template(Struct):
    spec: _Spec


class _Condition(Struct):
    type: str
    status: str


class _Spec(Struct, rename="camel"):
    node_selector: dict[str, str] = field(default_factory=dict)
    unschedulable: bool = False
    containers: list[_Container] = field(default_factory=list)
    resources: _Resources = field(default_factory=_Resources)
    storage_class_name: str = ""
    devices: _Devices = field(default_factory=_Devices)
    template: _Template | None = None


class _Status(Struct, rename="camel"):
    phase: str = ""
    container_statuses: list[_Container] = field(default_factory=list)
    allocated_resources: dict[str, str] = field(default_factory=dict)
    allocatable: dict[str, str] = field(default_factory=dict)
    conditions: list[_Condition] = field(default_factory=list)


class _Meta(Struct, rename="camel"):
    resource_version: str
    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    deletion_timestamp: str = ""
    deletion_grace_period_seconds: int | None = None


class _Object(Struct):
    metadata: _Meta
    spec: _Spec = field(default_factory=_Spec)
    status: _Status = field(default_factory=_Status)
    data: dict[str, str] = field(default_factory=dict)


class _Event(Struct):
    type: str
    object: _Object


_decoder = msgspec.json.Decoder(_Event)


class Recorder:
    """
    Writes its files into *folder*, of *kinds* and the texts.

    `view` holds the objects that exist now, for the workload to choose from.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        token: str,
        tls: ssl.SSLContext,
        clock: Callable[[], float],
        namespaces: set[str],
        kinds: Iterable[str],
    ) -> None:
        self.view: dict[str, dict[Slot, Revision]] = {kind: {} for kind in kinds}
        self.ledgers: list[str] = []
        """Some earlier texts of the ledger, for the fault that restores one."""
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._tls = tls
        self._clock = clock
        self._namespaces = namespaces
        self._objects = {kind: Writer(folder / OBJECTS[kind]) for kind in self.view}
        self._texts = Writer(folder / TEXTS)
        self._nodes = Writer(folder / NODES)
        self._reached = {"configmaps": 1, "nodes": 1, **dict.fromkeys(self.view, 1)}
        self.reconnected = 0

    async def run(self) -> None:
        """Record until cancelled, then close the files."""
        connector = aiohttp.TCPConnector(ssl=self._tls)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        try:
            async with aiohttp.ClientSession(
                connector=connector, headers=self._headers, timeout=timeout, read_bufsize=_LARGEST_LINE
            ) as session:
                await asyncio.gather(
                    *(self._follow(session, kind, collection(kind), self._taking(kind)) for kind in self.view),
                    self._follow(session, "nodes", collection("nodes"), self._on_node),
                    self._follow(session, "configmaps", collection("configmaps", SYSTEM_NAMESPACE), self._on_text),
                )
        finally:
            for writer in (*self._objects.values(), self._texts, self._nodes):
                writer.close()

    async def until(self, version: int) -> None:
        """Return when every change up to *version* is recorded; an object of each kind must be written at that time."""
        while min(self._reached.values()) < version:
            await asyncio.sleep(0.05)

    @property
    def revisions(self) -> int:
        return sum(writer.count for writer in (*self._objects.values(), self._texts, self._nodes))

    async def _follow(
        self, session: aiohttp.ClientSession, kind: str, path: str, take: Callable[[_Event], None]
    ) -> None:
        while True:
            where = {"watch": "1", "resourceVersion": str(self._reached[kind]), "timeoutSeconds": "36000"}
            try:
                async with session.get(f"{self._url}{path}", params=where) as answer:
                    answer.raise_for_status()
                    async for line in answer.content:
                        event = _decoder.decode(line)
                        if event.type == "ERROR":
                            raise RuntimeError(f"the history of {kind} is lost: {line[:400]!r}")
                        take(event)
                        self._reached[kind] = int(event.object.metadata.resource_version)
            except (aiohttp.ClientError, TimeoutError):
                self.reconnected += 1
                await asyncio.sleep(0.2)

    def _taking(self, kind: str) -> Callable[[_Event], None]:
        match kind:
            case records.PODS:
                return self._on_pod
            case records.SESSIONS:
                return self._on_session
        return partial(self._on_claim, kind)

    def _on_pod(self, event: _Event) -> None:
        meta = event.object.metadata
        if meta.namespace not in self._namespaces:
            return
        told = PodRevision(
            *self._head(event.type, meta),
            event.object.status.phase,
            _containers(event.object),
            is_released=bool(meta.deletion_timestamp) and meta.deletion_grace_period_seconds == 0,
            session=meta.labels.get(SESSION_LABEL, ""),
            selector=event.object.spec.node_selector,
        )
        self._keep(told)

    def _head(self, event: str, meta: _Meta) -> tuple[float, int, str, str, str, str, str, tuple[str, ...]]:
        """Return the first fields of the revision of a pod or session: when it was seen, what it is, and whose."""
        owner = meta.annotations.get(_OWNER, "")
        version = int(meta.resource_version)
        return (self._clock(), version, event, meta.namespace, meta.name, meta.uid, owner, _groups(meta))

    def _on_claim(self, kind: str, event: _Event) -> None:
        meta, spec, status = event.object.metadata, event.object.spec, event.object.status
        if meta.namespace not in self._namespaces:
            return
        devices = Counter[str]()
        for each in spec.devices.requests or ():
            devices[each.exactly.device_class_name] += each.exactly.count
        told = ClaimRevision(
            self._clock(),
            int(meta.resource_version),
            event.type,
            kind,
            meta.namespace,
            meta.name,
            meta.uid,
            meta.annotations.get(_OWNER, ""),
            _groups(meta),
            status.phase,
            spec.resources.requests.get("storage", ""),
            status.allocated_resources.get("storage", ""),
            spec.storage_class_name,
            dict(devices),
            is_terminating=bool(meta.deletion_timestamp),
        )
        self._keep(told)

    def _on_session(self, event: _Event) -> None:
        meta, template = event.object.metadata, event.object.spec.template
        if meta.namespace not in self._namespaces or template is None:
            return
        (container,) = template.spec.containers
        told = SessionRevision(
            *self._head(event.type, meta),
            container.resources.requests["cpu"],
            is_running=STOPPED not in meta.annotations,
        )
        self._keep(told)

    def _keep(self, told: Revision) -> None:
        kind = told.slot.kind
        self._objects[kind].write(told)
        if told.event == DELETED:
            self.view[kind].pop(told.slot, None)
        else:
            self.view[kind][told.slot] = told

    def _on_node(self, event: _Event) -> None:
        meta, spec, status = event.object.metadata, event.object.spec, event.object.status
        is_ready = any(each.type == "Ready" and each.status == "True" for each in status.conditions)
        told = NodeRevision(
            self._clock(),
            int(meta.resource_version),
            event.type,
            meta.name,
            meta.labels,
            status.allocatable,
            takes_pods=is_ready and not spec.unschedulable and not meta.deletion_timestamp,
        )
        self._nodes.write(told)

    def _on_text(self, event: _Event) -> None:
        meta, data = event.object.metadata, event.object.data
        text = "".join(data.values())
        told = TextRevision(
            self._clock(),
            int(meta.resource_version),
            event.type,
            meta.name,
            meta.uid,
            text,
            FOREIGN in meta.annotations,
            meta.annotations.get(WRITER, ""),
        )
        self._texts.write(told)
        if "ledger" in data:
            self._remember(text)

    def _remember(self, text: str) -> None:
        """Keep the last few hundred texts."""
        self.ledgers.append(text)
        if len(self.ledgers) > 400:
            del self.ledgers[:200]


def _groups(meta: _Meta) -> tuple[str, ...]:
    return tuple(msgspec.json.decode(meta.annotations.get(_GROUPS, "[]"), type=list[str]))


def _containers(pod: _Object) -> dict[str, Container]:
    states = {each.name: each for each in pod.status.container_statuses}
    nothing = _Container("")
    return {
        each.name: Container(
            each.resources.requests,
            states.get(each.name, nothing).allocated_resources,
            states.get(each.name, nothing).resources.requests,
        )
        for each in pod.spec.containers
    }
