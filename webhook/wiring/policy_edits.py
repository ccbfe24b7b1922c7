"""
What edits of the policy are compared with, and where they are told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import structlog

from webhook.admission.config_map_edit import ConfigMapEdit
from webhook.kube.counted_events import CountedEvents
from webhook.kube.denial_events import name_of
from webhook.kube.events import ConfigMapEvent, CountedEvent, EventWriter
from webhook.ports import Clock, Condition, Sleep, UnavailableError
from webhook.quota.capacity import NodeFacts
from webhook.quota.objects import OwnerReference
from webhook.quota.usage import Holdings, UsageIndex
from webhook.wiring.application import devices_in_use
from webhook.wiring.watched_groups import WatchedGroups

log = structlog.get_logger(__name__)

_REFUSED = "PolicyRefused"


@dataclass(frozen=True, slots=True)
class IndexedUsage:
    """Port `KnownUsage`: the usage `index`, once it shows all that exists and all `conditions` hold."""

    index: UsageIndex
    groups: WatchedGroups
    conditions: tuple[Callable[[], Condition], ...]
    counts: Callable[[str], bool]
    known_nodes: Callable[[], tuple[NodeFacts, ...] | None]

    def nodes(self) -> tuple[NodeFacts, ...] | None:
        """Return what nodes there are, None while that is not known."""
        return self.known_nodes()

    def is_counted(self, resource: str) -> bool:
        """Return whether all objects of *resource* are counted."""
        return self.counts(resource)

    def devices(self) -> frozenset[str]:
        """Return the devices that objects ask for."""
        return devices_in_use(self.index)

    def holdings(self) -> Holdings:
        """Return all that is used and reserved. Raises: UnavailableError."""
        self.groups.require_known()
        for each in self.conditions:
            if not (condition := each()).ok:
                raise UnavailableError(condition.reason, condition.message)
        return self.index.holdings()


class EditEvents:
    """
    Port `EditReports`: Events on the ConfigMap of the policy.

    An edit that is accepted may still not be stored, because of another webhook or a conflict. One that is refused is
    counted for each ConfigMap and user, as a program may try it again for ever.
    """

    def __init__(self, events: EventWriter, *, namespace: str, clock: Clock, sleep: Sleep = asyncio.sleep) -> None:
        """Write with *events* about ConfigMaps in *namespace*."""
        self._events = events
        self._namespace = namespace
        self._clock = clock
        self._refused = CountedEvents(events.add, clock=clock, sleep=sleep)

    def edited(self, edit: ConfigMapEdit, message: str) -> None:
        """Tell that *edit* was accepted: once, although several replicas may be asked about it."""
        identity = f"edit/{edit.digest}"
        self._events.publish(
            ConfigMapEvent(edit.name, edit.uid, "PolicyEdited", message, is_warning=False, identity=identity)
        )

    def forced(self, edit: ConfigMapEdit, message: str) -> None:
        """Tell that *edit* was accepted only because of its reason."""
        log.warning("an edit of the policy was forced", name=edit.name, why=message)
        self._events.publish(ConfigMapEvent(edit.name, edit.uid, "PolicyForced", message))

    def refused(self, edit: ConfigMapEdit, user: str, message: str) -> None:
        """Count that *edit* of *user* was refused."""
        now = self._clock.now()
        uid = edit.uid if edit.base else ""  # that of a creation is another one each time
        name = name_of(f"{edit.name}/{uid}/{user}", _REFUSED)
        involved = OwnerReference("v1", "ConfigMap", edit.name, uid)
        self._refused.record(CountedEvent(self._namespace, name, involved, _REFUSED, message, 1, now, now, {}, {}))

    async def run(self) -> NoReturn:
        """Write what is counted, forever."""
        await self._refused.run()
