"""
Pods as the API shows them, booked as usage. The stream itself is the reflector's; sums are the book's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import structlog

from webhook.adapters.reflector import Undecodable
from webhook.admission.booked import is_booked
from webhook.admission.kinds import PODS
from webhook.admission.stamp import read_stamp
from webhook.quota import pod, resources
from webhook.quota.book import Book, Row
from webhook.quota.charge import Reservation, Slot
from webhook.quota.pod import PodError
from webhook.quota.podspec import ObjectMeta, Pod
from webhook.quota.subject import NOBODY
from webhook.quota.unadmitted import Unadmitted

log = structlog.get_logger(__name__)

_ONE_POD = resources.amounts(pod.charge(pod.PodSize((), (), {}, {}, {})))
"""What is booked for a pod whose numbers cannot be read: itself."""


class OnSettled(Protocol):
    """Hears what was settled: see `LedgerStore.settled`."""

    def __call__(self, reservations: tuple[Reservation, ...], *, seen_at: int) -> None:
        """Hear it."""


def _ignore(_: object) -> None:
    """Hear of something that nobody asked to be told."""


class PodSink:
    """Tells the book of every pod outside the exempt namespaces. Pods without a stamp are nobody's, and counted."""

    def __init__(  # noqa: PLR0913 - only wiring calls this
        self,
        book: Book,
        *,
        exempt: frozenset[str],
        on_settled: OnSettled,
        on_reached: Callable[[], None],
        on_uncountable: Callable[[], None],
        on_unadmitted: Callable[[Slot], None] = _ignore,
    ) -> None:
        """
        Leave out pods in *exempt* namespaces.

        *on_settled* hears which reservations the pods that were shown have settled, *on_reached* that there is news,
        *on_uncountable* of pods whose numbers cannot be read, *on_unadmitted* of each pod without a stamp that the
        first full list did not show.
        """
        self._book = book
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
        self._book.list_started(PODS)

    def seen(self, item: Pod) -> None:
        """Book a pod as it is now."""
        meta = item.metadata
        if is_booked(meta, exempt=self._exempt):
            stamp = read_stamp(meta)
            row = Row(meta.uid, int(meta.resource_version), stamp or NOBODY, self._amounts(item))
            self._observe(_slot(meta), row)
            self._note(meta, is_unadmitted=stamp is None and not _has_ended(item))

    def gone(self, item: Pod) -> None:
        """Take a deleted pod off the book."""
        meta = item.metadata
        if is_booked(meta, exempt=self._exempt):
            self._unadmitted.gone(meta.uid)
            self._forget(_slot(meta), meta.uid, int(meta.resource_version))

    def undecodable(self, item: Undecodable) -> None:
        """Book a pod of a shape that we cannot read as one pod of nobody's: it must not be invisible."""
        self._on_uncountable()
        log.error("pod cannot be read", pod=f"{item.namespace}/{item.name}", why=item.problem)
        if not item.name or item.namespace in self._exempt:
            return
        slot, version = Slot(PODS, item.namespace, item.name), int(item.resource_version)
        if item.is_gone:
            self._forget(slot, item.uid, version)
        else:
            self._observe(slot, Row(item.uid, version, NOBODY, _ONE_POD))

    def synced(self, resource_version: int) -> None:
        """End a full list. Raises: StaleListError if it is older than what was seen."""
        self._unadmitted.list_finished()
        self._settle(self._book.list_finished(PODS, resource_version), seen_at=0)
        self._on_reached()

    def reached(self, resource_version: int) -> None:
        """Know that nothing up to this version is missing."""
        self._book.reached(PODS, resource_version)
        self._on_reached()

    def _observe(self, slot: Slot, row: Row) -> None:
        self._settle(self._book.observe(slot, row), seen_at=row.version)

    def _forget(self, slot: Slot, uid: str, version: int) -> None:
        self._settle(self._book.forget(slot, uid, version), seen_at=0)

    def _settle(self, settled: tuple[Reservation, ...], *, seen_at: int) -> None:
        if settled:
            self._on_settled(settled, seen_at=seen_at)

    def _note(self, meta: ObjectMeta, *, is_unadmitted: bool) -> None:
        if self._unadmitted.seen(meta.uid, is_unadmitted=is_unadmitted):
            log.warning("pod was made past us and counts all the same", pod=f"{meta.namespace}/{meta.name}")
            self._on_unadmitted(_slot(meta))

    def _amounts(self, item: Pod) -> resources.Amounts:
        try:
            return pod.booked(item)
        except PodError as error:
            # The API server checked these numbers, so this is a disagreement between it and us. The pod still counts
            # as one; leaving it out would hide it, stopping the watch would blind us for all others.
            self._on_uncountable()
            log.error("pod cannot be counted", pod="/".join(_slot(item.metadata)), why=str(error))  # noqa: TRY400 - no bug
            return _ONE_POD


def _slot(meta: ObjectMeta) -> Slot:
    return Slot(PODS, meta.namespace, meta.name)


def _has_ended(item: Pod) -> bool:
    return item.status is not None and item.status.phase in pod.TERMINAL_PHASES
