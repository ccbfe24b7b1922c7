"""
What the request path needs of the outside, as protocols with one to three methods each, and their errors.

Who implements them is known to `wiring` alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from webhook.kinds.evaluator import AnyKind
from webhook.quota.decision import Decision
from webhook.quota.errors import WebhookError
from webhook.quota.objects import ObjectKey, ObjectMeta, StoredVersion
from webhook.quota.policy import Policy
from webhook.quota.reservation import Charge, Reservation
from webhook.quota.usage import UsageView

__all__ = [
    "Ancestry",
    "READY",
    "Clock",
    "Condition",
    "StoreRestoredError",
    "Decide",
    "LedgerStore",
    "NameHolders",
    "Namespaces",
    "UnavailableError",
    "PolicySource",
    "QuorumReader",
    "Sleep",
    "WebhookError",
]


class UnavailableError(WebhookError):
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

    def again(self) -> UnavailableError:
        """Give another one that says the same, for somebody else who waits."""
        return UnavailableError(self.reason, str(self), everywhere=self.everywhere)


@dataclass(frozen=True, slots=True)
class Condition:
    """Whether something holds; if not, `reason` is one word for metrics and `message` a sentence for people."""

    ok: bool
    reason: str = ""
    message: str = ""


READY = Condition(ok=True)


class StoreRestoredError(WebhookError):
    """
    The API went back in time, as after a restore from a backup.

    What this process knows is of a history that never was. It has to end: a new one reads everything anew.
    """

    def __init__(self, evidence: str) -> None:
        """Say what shows it."""
        super().__init__(f"the API went back in time, as after a restore from a backup: {evidence}")


class Clock(Protocol):
    """Time, in its two senses."""

    def now(self) -> datetime:
        """Give the wall clock, in UTC: for policies that end at a date."""

    def monotonic(self) -> float:
        """Give seconds that never step back: for deadlines and the age of reservations."""


class PolicySource(Protocol):
    """The policy in force."""

    def current(self) -> Policy:
        """Give it. Raises: UnavailableError before the first one is loaded."""


class Namespaces(Protocol):
    """The labels of namespaces, which say what tenant they belong to."""

    def known(self, name: str) -> Mapping[str, str]:
        """Return the labels of a namespace as far as they are known now; none for one that is not."""

    async def labels(self, name: str) -> Mapping[str, str]:
        """Return the labels of a namespace, from the watch or by a live read. Raises: UnavailableError."""


class Ancestry(Protocol):
    """Objects that others belong to."""

    async def read(self, kind: AnyKind, namespace: str, name: str) -> ObjectMeta | None:
        """Give the metadata of an object by a live read, None if there is none. Raises: UnavailableError."""


class NameHolders(Protocol):
    """Which object holds a name."""

    async def holder(self, key: ObjectKey) -> StoredVersion | None:
        """
        Return the object that holds the name *key* now; None if none does, or none that we know of.

        Raises: UnavailableError.
        """


class QuorumReader(Protocol):
    """What is really stored, past every cache."""

    async def version_of(self, key: ObjectKey) -> StoredVersion | None:
        """Give uid and resource version of the object that holds the name, None if none. Raises: UnavailableError."""

    async def newest_version(self, resource: str) -> int:
        """Return the highest version of any stored object of *resource*, 0 if none. Raises: UnavailableError."""


Sleep = Callable[[float], Awaitable[None]]
"""How background tasks wait; a parameter, so that tests need not."""

Decide = Callable[[UsageView], Decision]
"""The pure decision, with everything but the usage filled in. It may be called again, with fresher usage."""


class LedgerStore(Protocol):
    """
    Where reading the book, deciding and reserving are one step.

    Any number of calls may be under way at once; no two of them are ever given the same room.
    """

    async def transact(self, charge: Charge, decide: Decide, *, dry_run: bool, deadline: float) -> Decision:
        """
        Decide on *charge* and hold what is allowed before anybody else is answered; with *dry_run* hold nothing.

        *deadline* is on the monotonic clock. Raises: UnavailableError if no answer can be given by then.
        """

    def settled(self, reservations: Iterable[Reservation], *, seen_at: int) -> None:
        """
        Hear that the watch showed objects above the base of *reservations*, which the book has dropped.

        *seen_at* is the version that was shown, 0 if it showed that they are gone.
        """

    async def maintain(self, *, quorum: QuorumReader) -> tuple[Reservation, ...]:
        """
        Do what time brings, every second; give the reservations that were let go because nothing came of them.

        Those can no longer be persisted, and a quorum read has shown that they were not. Never by age alone: see
        docs/consistency.md. Raises: UnavailableError if the quorum read fails; all stay held then.
        """
