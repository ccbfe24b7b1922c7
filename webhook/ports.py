"""
What the request path needs of the outside, as protocols with one to three methods each, and their errors.

Who implements them is known to `wiring` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from webhook.quota.book import Book
from webhook.quota.charge import Charge, Reservation, Slot
from webhook.quota.decision import Decision
from webhook.quota.errors import WebhookError
from webhook.quota.podspec import ObjectMeta
from webhook.quota.policy import Policy

__all__ = [
    "Ancestry",
    "Clock",
    "HistoryRewrittenError",
    "Judge",
    "LedgerStore",
    "Namespaces",
    "NotReadyError",
    "ObjectKind",
    "PolicySource",
    "QuorumReader",
    "WebhookError",
]


class NotReadyError(WebhookError):
    """
    We cannot answer now: a watch is not in step, no policy is loaded, the API server does not answer, time is up.

    Never an allow and never a refusal. `reason` is a short word for metrics. Where the trouble is `everywhere` another
    replica could not answer either, so that the call is tried again where it is; otherwise it is sent to another one.
    """

    def __init__(self, reason: str, message: str, *, everywhere: bool = False) -> None:
        """Keep a word for metrics beside the sentence for people."""
        self.reason = reason
        self.everywhere = everywhere
        super().__init__(message)

    def again(self) -> NotReadyError:
        """Give another one that says the same, for somebody else who waits."""
        return NotReadyError(self.reason, str(self), everywhere=self.everywhere)


class HistoryRewrittenError(WebhookError):
    """
    The API went back in time, as after a restore from a backup.

    What this process knows is of a history that never was. It has to end: a new one reads everything anew.
    """

    def __init__(self, evidence: str) -> None:
        """Say what shows it."""
        super().__init__(f"the API went back in time, as after a restore from a backup: {evidence}")


@dataclass(frozen=True, slots=True)
class ObjectKind:
    """A kind as owner references name it."""

    api_version: str
    kind: str


class Clock(Protocol):
    """Time, in its two senses."""

    def now(self) -> datetime:
        """Give the wall clock, in UTC: for policies that end at a date."""

    def monotonic(self) -> float:
        """Give seconds that never step back: for deadlines and the age of reservations."""


class PolicySource(Protocol):
    """The policy in force."""

    def current(self) -> Policy:
        """Give it. Raises: NotReadyError before the first one is loaded."""


class Namespaces(Protocol):
    """The labels of namespaces, which say what tenant they belong to."""

    async def labels(self, name: str) -> Mapping[str, str]:
        """Give the labels of a namespace, from the watch or by a live read. Raises: NotReadyError."""


class Ancestry(Protocol):
    """Objects that others belong to."""

    async def read(self, kind: ObjectKind, namespace: str, name: str) -> ObjectMeta | None:
        """Give the metadata of an object by a live read, None if there is none. Raises: NotReadyError."""


class QuorumReader(Protocol):
    """What is really stored, past every cache."""

    async def version_of(self, slot: Slot) -> tuple[str, int] | None:
        """Give uid and resource version of the object that holds the name, None if none. Raises: NotReadyError."""

    async def newest_version(self, resource: str) -> int:
        """Give the highest resource version that an object of *resource* has now, 0 if none. Raises: NotReadyError."""


Judge = Callable[[Book], Decision]
"""The pure decision, with everything but the book filled in. It may be asked again with a fresher book."""


class LedgerStore(Protocol):
    """
    Where reading the book, deciding and reserving are one step.

    Any number of calls may be under way at once; no two of them are ever given the same room.
    """

    async def transact(self, charge: Charge, judge: Judge, *, dry_run: bool, deadline: float) -> Decision:
        """
        Decide on *charge* and hold what is allowed before anybody else is answered; with *dry_run* hold nothing.

        *deadline* is on the monotonic clock. Raises: NotReadyError if no answer can be given by then.
        """

    def deleted(self, slot: Slot, uid: str) -> None:
        """Hear that the deletion of an object was asked for. Only a ledger that sees no objects believes it."""

    def settled(self, reservations: Iterable[Reservation], *, seen_at: int) -> None:
        """
        Hear that the watch showed objects above the base of *reservations*, which the book has dropped.

        *seen_at* is the version that was shown, 0 if it showed that they are gone.
        """

    async def tend(self, *, quorum: QuorumReader) -> tuple[Reservation, ...]:
        """
        Do what time brings, every second; give the reservations that were let go because nothing came of them.

        Those can no longer be persisted, and a quorum read has shown that they were not. Never by age alone: see
        docs/consistency.md. Raises: NotReadyError if the quorum read fails; all stay held then.
        """
