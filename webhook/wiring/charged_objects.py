"""
The watches of everything that is charged: one for each kind, which keep the usage index in step.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Container
from datetime import datetime
from typing import Any

from webhook.kinds.registry import Registry
from webhook.kube.api import KubernetesApi
from webhook.kube.events import ConfigMapEvent, Digest, EventWriter
from webhook.kube.ledger_config_map import NAME
from webhook.kube.object_sink import ObjectSink, OnSettled
from webhook.kube.reflector import Reflector
from webhook.ports import Condition
from webhook.quota.objects import ObjectKey
from webhook.quota.reservation import Reservation
from webhook.quota.usage import UsageIndex
from webhook.serving.metrics import Metrics
from webhook.wiring.application import expect


class ChargedObjects:
    """
    A reflector and a sink for each charged kind.

    `connect` has to be called before the tasks run: the ledger needs to know whether these are in step, and they tell
    the ledger what they saw.
    """

    def __init__(  # noqa: PLR0913 - only wiring calls this
        self,
        api: KubernetesApi,
        kinds: Registry,
        index: UsageIndex,
        *,
        exempt: Container[str],
        now: Callable[[], datetime | None],
        may_start: Callable[[], bool],
        metrics: Metrics,
        events: EventWriter,
    ) -> None:
        """Watch each charged kind of *kinds*, outside *exempt* namespaces, as soon as *may_start* says so."""
        self._may_start = may_start
        self._metrics = metrics
        self._events = events
        self._on_settled: OnSettled | None = None
        self._on_reached: Callable[[], None] | None = None
        self._unadmitted = Digest(self._publish_unadmitted)
        self._reflectors: dict[str, Reflector[Any]] = {}
        self._sinks: list[ObjectSink[Any]] = []
        for kind in kinds.charged:
            sink: ObjectSink[Any] = ObjectSink(
                kind,
                index,
                exempt=exempt,
                now=now,
                on_settled=self._settled,
                on_reached=self._reached,
                on_uncountable=lambda: metrics.count_error("uncountable"),
                on_unadmitted=self._note_unadmitted,
            )
            self._sinks.append(sink)
            self._reflectors[kind.resource] = Reflector(
                api,
                kind.collection,
                kind.shape,
                sink,
                resource=kind.resource,
                on_restart=lambda cause: metrics.count_error(f"watch-{cause}"),
                undecodable=sink.undecodable,
            )
        metrics.add_gauges(lambda: {"unadmitted_pods": sum(sink.unadmitted for sink in self._sinks)})
        self.tasks = (self._watch, self._release, self._freeze_when_synced, self._unadmitted.run)

    def connect(self, *, on_settled: OnSettled, on_reached: Callable[[], None]) -> None:
        """Pass settled reservations to *on_settled*; call *on_reached* after each event."""
        self._on_settled, self._on_reached = on_settled, on_reached

    def condition(self) -> Condition:
        """Return whether the index has been told of all objects of every charged kind."""
        missing = [resource for resource, each in self._reflectors.items() if not each.synced]
        return expect(not missing, "not-synced", f"the {' and '.join(missing)} are not all known yet")

    def relist(self, resource: str) -> None:
        """Have the watch of *resource* begin with a full list."""
        self._reflectors[resource].relist()

    def relist_all(self) -> None:
        """Have every watch begin with a full list, also one whose list is under way: what is exempt has changed."""
        for each in self._reflectors.values():
            each.relist(anew=True)

    def _settled(self, reservations: tuple[Reservation, ...], *, seen_at: int) -> None:
        assert self._on_settled is not None  # noqa: S101 - see `connect`
        self._on_settled(reservations, seen_at=seen_at)

    def _reached(self) -> None:
        assert self._on_reached is not None  # noqa: S101
        self._on_reached()

    def _note_unadmitted(self, key: ObjectKey) -> None:
        self._metrics.unadmitted_pod_seen()
        self._unadmitted.add(f"{key.namespace}/{key.name}")

    def _publish_unadmitted(self, count: int, names: str) -> None:
        message = f"objects made past userquota, which count all the same: {count} ({names})"
        self._events.publish(ConfigMapEvent(NAME, "", "UnadmittedUsage", message))

    async def _watch(self) -> None:
        """Begin after the namespaces: accounts worked out before their labels are known are worked out twice."""
        while not self._may_start():  # noqa: ASYNC110 - at start only
            await asyncio.sleep(0.02)
        async with asyncio.TaskGroup() as group:
            for each in self._reflectors.values():
                group.create_task(each.run())

    async def _release(self) -> None:
        """Release each second what costs less by now: the wall clock may step, so no moment is waited for."""
        while True:
            for sink in self._sinks:
                sink.release_due()
            await asyncio.sleep(1)

    async def _freeze_when_synced(self) -> None:
        """Have the garbage collector leave the index alone: with 300 000 records its pauses fall from 27 ms to 2."""
        while not self.condition().ok:  # noqa: ASYNC110 - at start only
            await asyncio.sleep(0.1)
        gc.collect()
        gc.freeze()
