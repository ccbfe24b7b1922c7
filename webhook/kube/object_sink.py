"""
Objects of one kind as the API shows them, counted as usage. The stream itself is the reflector's; sums are the index's.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Container
from datetime import datetime, timedelta
from typing import Generic, NamedTuple, Protocol, TypeVar

import structlog

from webhook.attribution.stamp import read_stamp
from webhook.kinds.evaluator import Charged, Kind, UncountableError
from webhook.kube.reflector import Undecodable
from webhook.quota.objects import ObjectKey, ObjectMeta
from webhook.quota.reservation import Reservation
from webhook.quota.resources import Amounts
from webhook.quota.subject import NOBODY
from webhook.quota.usage import Row, UsageIndex

log = structlog.get_logger(__name__)

T = TypeVar("T", bound=Charged)


class OnSettled(Protocol):
    """Hears what was settled: see `LedgerStore.settled`."""

    def __call__(self, reservations: tuple[Reservation, ...], *, seen_at: int) -> None:
        """Hear it."""


def _ignore(_: object) -> None:
    """Hear of something that nobody asked to be told."""


class Unadmitted:
    """
    The uids of objects that the webhook never admitted: made while it was not asked, or older than the installation.

    Objects of the first full list are not reported: they may predate this process.
    """

    def __init__(self) -> None:
        """Know of none yet."""
        self._uids: set[str] = set()
        self._listed: set[str] | None = None
        self._is_complete = False

    def __len__(self) -> int:
        return len(self._uids)

    def list_started(self) -> None:
        """Begin a full list, perhaps again before the last one was complete."""
        self._listed = set()

    def list_finished(self) -> None:
        """Forget what the list did not show. From now on whatever appears is news."""
        if self._listed is not None:
            self._uids, self._listed = self._listed, None
        self._is_complete = True

    def seen(self, uid: str, *, is_unadmitted: bool) -> bool:
        """Take in that an object exists; say whether this is the first that is heard of an unadmitted one."""
        if not is_unadmitted:
            self.gone(uid)
            return False
        is_news = self._is_complete and uid not in self._uids
        self._uids.add(uid)
        if self._listed is not None:
            self._listed.add(uid)
        return is_news

    def gone(self, uid: str) -> None:
        """Take in that an object is gone."""
        self._uids.discard(uid)
        if self._listed is not None:
            self._listed.discard(uid)


class _Release(NamedTuple):
    """When an object begins to cost less, unless another version of it has come by then."""

    at: datetime
    key: ObjectKey
    uid: str
    version: int
    amounts: Amounts


class ObjectSink(Generic[T]):
    """
    Keeps the usage index in step with the objects of one kind outside the exempt namespaces.

    An object without a stamp is nobody's, and counted.
    """

    def __init__(  # noqa: PLR0913 - only wiring calls this
        self,
        kind: Kind[T],
        index: UsageIndex,
        *,
        exempt: Container[str],
        now: Callable[[], datetime | None],
        on_settled: OnSettled,
        on_reached: Callable[[], None],
        on_uncountable: Callable[[], None],
        on_unadmitted: Callable[[ObjectKey], None] = _ignore,
    ) -> None:
        """
        Leave out objects in *exempt* namespaces. Count at the time *now*; with None an object counts until it is gone.

        *on_settled* gets the reservations that a shown object has settled; *on_reached* is called after each event,
        *on_uncountable* for an object whose cost cannot be read, *on_unadmitted* for each object without a stamp that
        the first full list did not show.
        """
        self._kind = kind
        self._index = index
        self._exempt = exempt
        self._now = now
        self._releases: list[_Release] = []
        self._on_settled = on_settled
        self._on_reached = on_reached
        self._on_uncountable = on_uncountable
        self._on_unadmitted = on_unadmitted
        self._unadmitted = Unadmitted()

    @property
    def unadmitted(self) -> int:
        """How many objects that cost something carry no stamp: made past the webhook, or older than it."""
        return len(self._unadmitted)

    def started(self) -> None:
        """Begin a full list."""
        self._unadmitted.list_started()
        self._index.list_started(self._kind.resource)

    def seen(self, item: T) -> None:
        """Count an object as it is now."""
        meta = item.metadata
        if self._counts(meta):
            stamp, amounts = read_stamp(meta), self._amounts(item)
            self._observe(self._key(meta), Row(meta.uid, int(meta.resource_version), stamp or NOBODY, amounts))
            self._plan_release(item)
            self._note(meta, is_unadmitted=stamp is None and not self._kind.evaluator.has_ended(item))

    def gone(self, item: T) -> None:
        """Release a deleted object."""
        meta = item.metadata
        if self._counts(meta):
            self._unadmitted.gone(meta.uid)
            self._forget(self._key(meta), meta.uid, int(meta.resource_version))

    def undecodable(self, item: Undecodable) -> None:
        """Count an object of a shape that we cannot read as one of nobody's: it must not be invisible."""
        self._on_uncountable()
        log.error(
            "object cannot be read",
            resource=self._kind.resource,
            object=f"{item.namespace}/{item.name}",
            why=item.problem,
        )
        if not item.name or item.namespace in self._exempt:
            return
        key, version = ObjectKey(self._kind.resource, item.namespace, item.name), int(item.resource_version)
        if item.is_gone:
            self._forget(key, item.uid, version)
        else:
            self._observe(key, Row(item.uid, version, NOBODY, self._kind.evaluator.unreadable))

    def synced(self, resource_version: int) -> None:
        """End a full list. Raises: StaleListError if it is older than what was seen."""
        self._unadmitted.list_finished()
        self._settle(self._index.list_finished(self._kind.resource, resource_version), seen_at=0)
        self._on_reached()

    def reached(self, resource_version: int) -> None:
        """Record that nothing up to this version is missing."""
        self._index.reached(self._kind.resource, resource_version)
        self._on_reached()

    def release_due(self) -> None:
        """Count less for the objects whose time has come without an event. Call it every second or so."""
        now = self._now()
        while now is not None and self._releases and self._releases[0].at < now:
            each = heapq.heappop(self._releases)
            self._index.release(each.key, each.uid, each.version, each.amounts)

    def _plan_release(self, item: T) -> None:
        try:
            at = self._kind.evaluator.released_at(item)
            if at is None or self._now() is None:
                return
            amounts = self._kind.evaluator.usage(item, now=at + timedelta(seconds=1))
        except UncountableError:
            return  # reported when it was counted
        meta = item.metadata
        release = _Release(at, self._key(meta), meta.uid, int(meta.resource_version), amounts)
        heapq.heappush(self._releases, release)

    def _counts(self, meta: ObjectMeta) -> bool:
        return meta.namespace not in self._exempt and not self._kind.evaluator.is_excepted(meta, None)

    def _key(self, meta: ObjectMeta) -> ObjectKey:
        return ObjectKey(self._kind.resource, meta.namespace, meta.name)

    def _observe(self, key: ObjectKey, row: Row) -> None:
        self._settle(self._index.observe(key, row), seen_at=row.version)

    def _forget(self, key: ObjectKey, uid: str, version: int) -> None:
        self._settle(self._index.forget(key, uid, version), seen_at=0)

    def _settle(self, settled: tuple[Reservation, ...], *, seen_at: int) -> None:
        if settled:
            self._on_settled(settled, seen_at=seen_at)

    def _note(self, meta: ObjectMeta, *, is_unadmitted: bool) -> None:
        if self._unadmitted.seen(meta.uid, is_unadmitted=is_unadmitted):
            log.warning(
                "object was made past the webhook and counts all the same",
                resource=self._kind.resource,
                object=f"{meta.namespace}/{meta.name}",
            )
            self._on_unadmitted(self._key(meta))

    def _amounts(self, item: T) -> Amounts:
        try:
            return self._kind.evaluator.usage(item, now=self._now())
        except UncountableError as error:
            # The API server checked these numbers, so this is a disagreement between it and us. The object still counts
            # as one; leaving it out would hide it, stopping the watch would blind us for all others.
            self._on_uncountable()
            log.error(  # noqa: TRY400 - no bug
                "object cannot be counted", object="/".join(self._key(item.metadata)), why=str(error)
            )
            return self._kind.evaluator.unreadable
