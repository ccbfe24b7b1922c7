"""
Pods as the API shows them, booked as usage. The stream itself is the reflector's; sums are the book's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import structlog

from webhook.attribution.stamp import read_stamp
from webhook.kinds import pod_cost
from webhook.kinds.counted_objects import is_counted_object
from webhook.kinds.pod_cost import PodError
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.registry import PODS
from webhook.kube.reflector import Undecodable
from webhook.quota import resources
from webhook.quota.objects import ObjectKey, ObjectMeta
from webhook.quota.reservation import Reservation
from webhook.quota.subject import NOBODY
from webhook.quota.usage import Row, UsageIndex

log = structlog.get_logger(__name__)

_ONE_POD = resources.amounts(pod_cost.charge(pod_cost.PodSize((), (), {}, {}, {})))
"""What is booked for a pod whose numbers cannot be read: itself."""


class OnSettled(Protocol):
    """Hears what was settled: see `LedgerStore.settled`."""

    def __call__(self, reservations: tuple[Reservation, ...], *, seen_at: int) -> None:
        """Hear it."""


def _ignore(_: object) -> None:
    """Hear of something that nobody asked to be told."""


class Unadmitted:
    """Objects by uid. Those of the first full list are no news: nobody can say when they were made past us."""

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


class ObjectSink:
    """Tells the book of every pod outside the exempt namespaces. Pods without a stamp are nobody's, and counted."""

    def __init__(  # noqa: PLR0913 - only wiring calls this
        self,
        index: UsageIndex,
        *,
        exempt: frozenset[str],
        on_settled: OnSettled,
        on_reached: Callable[[], None],
        on_uncountable: Callable[[], None],
        on_unadmitted: Callable[[ObjectKey], None] = _ignore,
    ) -> None:
        """
        Leave out pods in *exempt* namespaces.

        *on_settled* hears which reservations the pods that were shown have settled, *on_reached* that there is news,
        *on_uncountable* of pods whose numbers cannot be read, *on_unadmitted* of each pod without a stamp that the
        first full list did not show.
        """
        self._index = index
        self._exempt = exempt
        self._on_settled = on_settled
        self._on_reached = on_reached
        self._on_uncountable = on_uncountable
        self._on_unadmitted = on_unadmitted
        self._unadmitted = Unadmitted()

    @property
    def unadmitted(self) -> int:
        """How many pods that have not ended carry no stamp: made past us, or older than the installation."""
        return len(self._unadmitted)

    def started(self) -> None:
        """Begin a full list."""
        self._unadmitted.list_started()
        self._index.list_started(PODS)

    def seen(self, item: Pod) -> None:
        """Book a pod as it is now."""
        meta = item.metadata
        if is_counted_object(meta, exempt=self._exempt):
            stamp = read_stamp(meta)
            row = Row(meta.uid, int(meta.resource_version), stamp or NOBODY, self._amounts(item))
            self._observe(_key_of(meta), row)
            self._note(meta, is_unadmitted=stamp is None and not _has_ended(item))

    def gone(self, item: Pod) -> None:
        """Take a deleted pod off the book."""
        meta = item.metadata
        if is_counted_object(meta, exempt=self._exempt):
            self._unadmitted.gone(meta.uid)
            self._forget(_key_of(meta), meta.uid, int(meta.resource_version))

    def undecodable(self, item: Undecodable) -> None:
        """Book a pod of a shape that we cannot read as one pod of nobody's: it must not be invisible."""
        self._on_uncountable()
        log.error("pod cannot be read", pod=f"{item.namespace}/{item.name}", why=item.problem)
        if not item.name or item.namespace in self._exempt:
            return
        key, version = ObjectKey(PODS, item.namespace, item.name), int(item.resource_version)
        if item.is_gone:
            self._forget(key, item.uid, version)
        else:
            self._observe(key, Row(item.uid, version, NOBODY, _ONE_POD))

    def synced(self, resource_version: int) -> None:
        """End a full list. Raises: StaleListError if it is older than what was seen."""
        self._unadmitted.list_finished()
        self._settle(self._index.list_finished(PODS, resource_version), seen_at=0)
        self._on_reached()

    def reached(self, resource_version: int) -> None:
        """Know that nothing up to this version is missing."""
        self._index.reached(PODS, resource_version)
        self._on_reached()

    def _observe(self, key: ObjectKey, row: Row) -> None:
        self._settle(self._index.observe(key, row), seen_at=row.version)

    def _forget(self, key: ObjectKey, uid: str, version: int) -> None:
        self._settle(self._index.forget(key, uid, version), seen_at=0)

    def _settle(self, settled: tuple[Reservation, ...], *, seen_at: int) -> None:
        if settled:
            self._on_settled(settled, seen_at=seen_at)

    def _note(self, meta: ObjectMeta, *, is_unadmitted: bool) -> None:
        if self._unadmitted.seen(meta.uid, is_unadmitted=is_unadmitted):
            log.warning("pod was made past us and counts all the same", pod=f"{meta.namespace}/{meta.name}")
            self._on_unadmitted(_key_of(meta))

    def _amounts(self, item: Pod) -> resources.Amounts:
        try:
            return pod_cost.booked(item)
        except PodError as error:
            # The API server checked these numbers, so this is a disagreement between it and us. The pod still counts
            # as one; leaving it out would hide it, stopping the watch would blind us for all others.
            self._on_uncountable()
            log.error("pod cannot be counted", pod="/".join(_key_of(item.metadata)), why=str(error))  # noqa: TRY400 - no bug
            return _ONE_POD


def _key_of(meta: ObjectMeta) -> ObjectKey:
    return ObjectKey(PODS, meta.namespace, meta.name)


def _has_ended(item: Pod) -> bool:
    return item.status is not None and item.status.phase in pod_cost.TERMINAL_PHASES
