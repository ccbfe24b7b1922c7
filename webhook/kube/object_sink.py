"""
Count the objects of one kind as usage, as the API shows them.

The reflector reads the stream, the usage index keeps the sums, `terminating` what changes without an event,
`uncounted` what no sum has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

import structlog

from webhook.attribution.stamp import read_stamp
from webhook.kinds.evaluator import Charged, Kind, Size, UncountableError
from webhook.kube.autoscaled import AutoscaledWorkloads
from webhook.kube.reflector import Undecodable
from webhook.kube.starting import Starting
from webhook.kube.terminating import Cost, Terminating
from webhook.kube.uncounted import Uncounted
from webhook.quota.expected import Expected
from webhook.quota.objects import LabelledMeta, ObjectKey, ObjectMeta, StoredVersion
from webhook.quota.presets import Labels
from webhook.quota.reservation import Reservation
from webhook.quota.subject import NOBODY
from webhook.quota.tags import Tagging, Tags
from webhook.quota.usage import Row, UsageIndex

log = structlog.get_logger(__name__)

T = TypeVar("T", bound=Charged)

_A_MOMENT = timedelta.resolution


class OnSettled(Protocol):
    """Called with the reservations that an object has settled, shown or gone: see `LedgerStore.settled`."""

    def __call__(self, reservations: tuple[Reservation, ...], *, seen_at: int) -> None:
        """Record them as settled at version *seen_at*, 0 if their object is gone."""


def _ignore(_: object) -> None:
    """Do nothing: the caller has given no callback."""


def _of_none(_: Mapping[str, str]) -> tuple[Labels, ...]:
    """Return nothing: there are no presets, and so no pods of sessions."""
    return ()


class Unadmitted:
    """
    The uids of objects that the webhook never admitted: made without a call to it, or before it was installed.

    Objects of the first full list are not reported: they may predate this process.
    """

    def __init__(self) -> None:
        """Start without any uid."""
        self._uids: set[str] = set()
        self._listed: set[str] | None = None
        self._is_complete = False

    def __len__(self) -> int:
        return len(self._uids)

    def list_started(self) -> None:
        """Begin a full list; one that is under way is given up."""
        self._listed = set()

    def list_finished(self) -> None:
        """Drop the uids that the list did not show. From now on `seen` reports new ones."""
        if self._listed is not None:
            self._uids, self._listed = self._listed, None
        self._is_complete = True

    def seen(self, uid: str, *, is_unadmitted: bool) -> bool:
        """Record that an object exists; return whether to report it: unadmitted, and seen for the first time."""
        if not is_unadmitted:
            self.gone(uid)
            return False
        is_new = self._is_complete and uid not in self._uids
        self._uids.add(uid)
        if self._listed is not None:
            self._listed.add(uid)
        return is_new

    def gone(self, uid: str) -> None:
        """Record that an object is gone."""
        self._uids.discard(uid)
        if self._listed is not None:
            self._listed.discard(uid)


class ObjectSink(Generic[T]):
    """
    Keeps the usage index in step with the objects of one kind outside the exempt namespaces.

    An object without a stamp is counted as unattributed.
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
        sessions_of: Callable[[Mapping[str, str]], tuple[Labels, ...]] = _of_none,
        workloads: AutoscaledWorkloads | None = None,
        tagging: Tagging | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Leave out objects in *exempt* namespaces. Count at the time *now*; None: an object counts until it is gone.

        *on_settled* gets the reservations that objects have settled; *on_reached* is called whenever the position of
        the index has moved: after each event, but during a list only at its end. *on_uncountable* is called for an
        object whose cost cannot be read, *on_unadmitted* for each object without a stamp that the first full list did
        not show.

        *sessions_of* returns those labels of a pod by which it may be one of a session. Room for the pods of a session
        is held for some time by the *monotonic* clock. Of *workloads* that objects scale is known what is set aside.
        *tagging* reads the tags of objects.
        """
        self._kind = kind
        self._index = index
        self._exempt = exempt
        self._now = now
        self._terminating = Terminating(index)
        self._starting = Starting(index, monotonic)
        self._sessions_of = sessions_of
        self._workloads = AutoscaledWorkloads() if workloads is None else workloads
        self._tagging = Tagging() if tagging is None else tagging
        self._is_listing = False
        self._uncounted = Uncounted(index)
        self._on_settled = on_settled
        self._on_reached = on_reached
        self._on_uncountable = on_uncountable
        self._on_unadmitted = on_unadmitted
        self._unadmitted = Unadmitted()
        self._listing_generation = self._listed_generation = -1
        self._listing_tags: int | None = None
        self._listed_tags: int | None = None
        self._is_tagging = False

    @property
    def is_counted(self) -> bool:
        """Whether every object was counted by what the evaluator says now, and not by what it said before a list."""
        return self._listed_generation == self._kind.evaluator.generation

    @property
    def is_tagged(self) -> bool:
        """
        Whether of all objects the tags were read that are read now; true before the first list has ended.

        A kind that the API serves no more is not listed again, and has no objects.
        """
        return self._listed_tags in (None, self._tagging.generation) or not self._index.rows(self._kind.resource)

    @property
    def resource(self) -> str:
        """Return the resource whose objects are counted."""
        return self._kind.resource

    @property
    def unadmitted(self) -> int:
        """Return how many objects that cost something carry no stamp: never admitted, or older than the webhook."""
        return len(self._unadmitted)

    @property
    def terminating(self) -> int:
        """Return how many objects are being deleted and cost less after a moment."""
        return len(self._terminating)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Return the resources that stored objects ask for and that nothing counts, sorted; some if there are many."""
        return self._uncounted.names()

    def started(self) -> None:
        """Begin a full list."""
        self._unadmitted.list_started()
        self._listing_generation, self._listing_tags = self._kind.evaluator.generation, self._tagging.generation
        self._is_listing = True
        self._is_tagging = self._listed_tags != self._listing_tags and self._index.rows(self._kind.resource) > 0
        self._index.list_started(self._kind.resource)

    def seen(self, item: T) -> None:
        """Count an object as it is now."""
        meta = item.metadata
        if self._counts(meta):
            payer, cost = self._kind.evaluator.payer(item) or read_stamp(meta), self._cost(item)
            key, stored = self._key(meta), StoredVersion(meta.uid, int(meta.resource_version))
            created = _seconds(meta.creation_timestamp)
            row = Row(
                *stored,
                payer or NOBODY,
                cost.at(self._now()),
                self._kind.evaluator.scopes(item),
                self._expected(key, item, created),
                self._sessions_of(self._kind.evaluator.labels(item)),
                created,
                self._tags(meta) if self._tagging.keys else (),
            )
            self._observe(key, row)
            if self._is_tagging:  # the same version may have other tags than when it was seen
                self._index.tag(key, row)
            if not self.is_counted:  # the same version may cost something else than when it was seen
                self._index.count_anew(key, row)
            self._terminating.update(key, stored, cost)
            self._uncounted.update(key, stored, self._kind.evaluator.uncounted(item))
            self._note(meta, is_unadmitted=payer is None and not self._kind.evaluator.has_ended(item))

    def gone(self, item: T) -> None:
        """Release a deleted object."""
        meta = item.metadata
        if self._counts(meta):
            self._unadmitted.gone(meta.uid)
            self._starting.forget(self._key(meta))
            if self._kind.scales_others:
                self._workloads.forget(self._key(meta))
            self._forget(self._key(meta), meta.uid, int(meta.resource_version))

    def undecodable(self, item: Undecodable) -> None:
        """
        Count an object that does not fit the kind's struct as one, unattributed: it must not be left out.

        One without a name cannot be counted, only reported.
        """
        if item.namespace in self._exempt:
            return
        if item.is_gone and item.name:
            self._unadmitted.gone(item.uid)
            self._forget(self._key(item), item.uid, int(item.resource_version))
            return
        self._on_uncountable()
        log.error(
            "object cannot be read",
            resource=self._kind.resource,
            object=f"{item.namespace}/{item.name}",
            why=item.problem,
        )
        if item.name:
            key, version = self._key(item), int(item.resource_version)
            self._observe(key, Row(item.uid, version, NOBODY, self._kind.evaluator.unreadable))
            self._prune([key])

    def synced(self, resource_version: int) -> None:
        """End a full list. Raises: StaleListError if it is older than what was seen."""
        self._unadmitted.list_finished()
        self._listed_generation, self._listed_tags = self._listing_generation, self._listing_tags
        self._is_listing = self._is_tagging = False
        self._settle(self._index.list_finished(self._kind.resource, resource_version), seen_at=0)
        self._prune()
        self._starting.prune()
        if self._kind.scales_others:
            self._workloads.prune(lambda key: self._index.row(key) is not None)
        self._on_reached()

    def look_again(self, key: ObjectKey, item: T) -> None:
        """Hold what is set aside for the pods of *item* now: the workload that it scales has changed."""
        size = self._size(item)
        expected = None if size is None else Expected(size.amounts, size.pod_labels, size.is_kept)
        self._index.expect(key, item.metadata.uid, expected, self._kind.evaluator.payer(item))

    def reached(self, resource_version: int) -> None:
        """Record that nothing up to this version is missing."""
        self._index.reached(self._kind.resource, resource_version)
        self._on_reached()

    def recount(self) -> None:
        """
        Count the objects that are being deleted by the present time, and hold no room for pods that have not come.

        To be called every second or so.
        """
        self._terminating.recount(self._now())
        self._starting.let_go()

    def _counts(self, meta: ObjectMeta) -> bool:
        return meta.namespace not in self._exempt and not self._kind.evaluator.is_excepted(meta, None)

    def _tags(self, meta: ObjectMeta) -> Tags:
        return self._tagging.of(meta.labels) if isinstance(meta, LabelledMeta) else ()

    def _key(self, meta: ObjectMeta | Undecodable) -> ObjectKey:
        return ObjectKey(self._kind.resource, meta.namespace, meta.name)

    def _observe(self, key: ObjectKey, row: Row) -> None:
        self._settle(self._index.observe(key, row), seen_at=row.version)

    def _forget(self, key: ObjectKey, uid: str, version: int) -> None:
        self._settle(self._index.forget(key, uid, version), seen_at=0)
        self._prune([key])

    def _prune(self, keys: Iterable[ObjectKey] | None = None) -> None:
        self._terminating.prune(keys)
        self._uncounted.prune(keys)

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

    def _expected(self, key: ObjectKey, item: T, created: int) -> Expected | None:
        """Return the pods that room is held for."""
        size = self._size(item)
        if size is not None and size.scales is not None:
            self._workloads.follow(key, item, size.scales)
        elif self._kind.scales_others:
            self._workloads.forget(key)
        return self._starting.expected(key, item.metadata.uid, size, is_listed=self._is_listing, created=created)

    def _size(self, item: T) -> Size | None:
        """Return the pods of a session; None for one that cannot be read, of which `_cost` tells."""
        try:
            return self._kind.evaluator.size(item)
        except UncountableError:
            return None

    def _cost(self, item: T) -> Cost:
        evaluator = self._kind.evaluator
        try:
            before, released_at = evaluator.usage(item, now=None), evaluator.released_at(item)
            if released_at is None:
                return Cost(before)
            return Cost(before, released_at, evaluator.usage(item, now=released_at + _A_MOMENT))
        except UncountableError as error:
            # The API server has validated these fields, so we read them differently. The object still counts as one:
            # without it usage would be too low, and an error here would end the watch of all others.
            self._on_uncountable()
            log.error(  # noqa: TRY400 - no bug
                "object cannot be counted", object="/".join(self._key(item.metadata)), why=str(error)
            )
            return Cost(evaluator.unreadable)


def _seconds(timestamp: str | None) -> int:
    """Return an API server's *timestamp* in seconds since 1970, 0 for anything else."""
    try:
        return int(datetime.fromisoformat(timestamp).timestamp()) if timestamp and timestamp.endswith("Z") else 0
    except ValueError:
        return 0
