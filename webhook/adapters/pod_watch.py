"""
Pods as the API shows them, booked as usage. The stream itself is the reflector's; sums are the book's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import structlog

from webhook.adapters.reflector import Undecodable
from webhook.admission.kinds import PODS
from webhook.admission.stamp import read_stamp
from webhook.quota import pod, resources
from webhook.quota.book import Book, Row
from webhook.quota.charge import Reservation, Slot
from webhook.quota.pod import PodError
from webhook.quota.podspec import ObjectMeta, Pod
from webhook.quota.subject import NOBODY

log = structlog.get_logger(__name__)

_ONE_POD = resources.amounts(pod.charge(pod.PodSize((), (), {}, {}, {})))
"""What is booked for a pod whose numbers cannot be read: itself."""


class OnSettled(Protocol):
    """Hears what was settled: see `LedgerStore.settled`."""

    def __call__(self, reservations: tuple[Reservation, ...], *, seen_at: int) -> None:
        """Hear it."""


class PodSink:
    """Tells the book of every pod outside the exempt namespaces. Pods without a stamp are nobody's, and counted."""

    def __init__(
        self,
        book: Book,
        *,
        exempt: frozenset[str],
        on_settled: OnSettled,
        on_reached: Callable[[], None],
        on_uncountable: Callable[[], None],
    ) -> None:
        """
        Leave out pods in *exempt* namespaces.

        *on_settled* hears which reservations the pods that were shown have settled, *on_reached* that there is news,
        *on_uncountable* of pods whose numbers cannot be read.
        """
        self._book = book
        self._exempt = exempt
        self._on_settled = on_settled
        self._on_reached = on_reached
        self._on_uncountable = on_uncountable

    def started(self) -> None:
        """Begin a full list."""
        self._book.list_started(PODS)

    def seen(self, item: Pod) -> None:
        """Book a pod as it is now."""
        meta = item.metadata
        if self._is_ours(meta):
            row = Row(meta.uid, int(meta.resource_version), read_stamp(meta) or NOBODY, self._amounts(item))
            self._observe(_slot(meta), row)

    def gone(self, item: Pod) -> None:
        """Take a deleted pod off the book."""
        meta = item.metadata
        if self._is_ours(meta):
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

    def _is_ours(self, meta: ObjectMeta) -> bool:
        """A mirror pod has no stamp because no person made it; a person's imitation of one was stamped."""
        if meta.namespace in self._exempt:
            return False
        annotations = meta.annotations
        return annotations is None or annotations.mirror is None or annotations.owner is not None

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
