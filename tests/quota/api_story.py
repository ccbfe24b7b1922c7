"""The history of an API, to be delivered late, in part, twice or in lists. It keeps no sums."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from webhook.quota.expected import Expected
from webhook.quota.objects import ObjectKey
from webhook.quota.presets import Labels
from webhook.quota.resources import Amounts
from webhook.quota.subject import Payer
from webhook.quota.usage import Row


class Verb(enum.Enum):
    """A change of an object. Pods end; sessions stop and restart."""

    UPDATE = "update"
    BUMP_STATUS = "bump status"
    STOP_OR_START = "stop or start"
    DELETE = "delete"


@dataclass(frozen=True)
class Event:
    """A change of the API. `counts` is False while the object is stopped and once it is deleted."""

    key: ObjectKey
    row: Row
    counts: bool
    deleted: bool = False


@dataclass
class Story:
    """The events of one resource, how many of them the index has received, and the list in progress."""

    events: list[Event] = field(default_factory=list)
    delivered: int = 0
    listing: list[Event] | None = None
    listed_at: int = 0

    def position(self) -> int:
        return self.events[self.delivered - 1].row.version if self.delivered else 0

    def present(self, upto: int) -> dict[ObjectKey, Event]:
        """Return what a list shows after the first *upto* events."""
        latest = {event.key: event for event in self.events[:upto]}
        return {key: event for key, event in latest.items() if not event.deleted}


Change = tuple[Verb, Payer, Amounts]
Sessions = Callable[[ObjectKey, Amounts], tuple[Expected | None, tuple[Labels, ...]]]
"""Returns what an object of these amounts expects, and of what it may be a part."""


def no_sessions(_key: ObjectKey, _amounts: Amounts) -> tuple[None, tuple[()]]:
    return None, ()


class Api:
    """All events. Versions rise over all resources, as in etcd; a uid is never used twice."""

    def __init__(self, resources: Iterable[str], sessions: Sessions = no_sessions) -> None:
        self.sessions = sessions
        self.stories = {resource: Story() for resource in resources}
        self.version = 0
        self.made: dict[ObjectKey, int] = {}

    def holder(self, key: ObjectKey) -> Event | None:
        story = self.stories[key.resource]
        return story.present(len(story.events)).get(key)

    def next_uid(self, key: ObjectKey) -> str:
        return f"{'/'.join(key)}#{self.made.get(key, 0)}"

    def change(self, key: ObjectKey, changes: Iterable[Change]) -> None:
        """Apply *changes* to the object *key*, created first if it does not exist."""
        for verb, payer, costs in changes:
            holder = self.holder(key)
            if holder is None:
                self._happen(key, self.next_uid(key), payer, costs)
                self.made[key] = self.made.get(key, 0) + 1
                continue
            same = (holder.row.payer, holder.row.amounts)
            now = (payer, costs) if verb is Verb.UPDATE else same
            counts = holder.counts is not (verb is Verb.STOP_OR_START)
            self._happen(key, holder.row.uid, *now, counts=counts, deleted=verb is Verb.DELETE)

    def _happen(
        self, key: ObjectKey, uid: str, payer: Payer, costs: Amounts, *, counts: bool = True, deleted: bool = False
    ) -> None:
        self.version += 1
        tags = (("number", str(self.version % 3)),) if self.version % 4 else ()
        row = Row(uid, self.version, payer, costs, (), *self.sessions(key, costs), tags=tags)
        event = Event(key, row, counts and not deleted, deleted)
        self.stories[key.resource].events.append(event)
