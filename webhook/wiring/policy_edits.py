"""
What edits of the policy are compared with, and where those that are forced are told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from webhook.kube.events import ConfigMapEvent, EventWriter
from webhook.ports import Condition, UnavailableError
from webhook.quota.capacity import NodeFacts
from webhook.quota.usage import Holdings, UsageIndex
from webhook.wiring.application import devices_in_use
from webhook.wiring.watched_groups import WatchedGroups

log = structlog.get_logger(__name__)


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


def publish_forced(events: EventWriter, name: str, uid: str, message: str) -> None:
    """Publish an Event on the ConfigMap *name* of which an edit was forced."""
    log.warning("an edit of the policy was forced", name=name, why=message)
    events.publish(ConfigMapEvent(name, uid, "PolicyForced", message))
