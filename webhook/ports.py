"""
The protocols through which the request path uses its environment, and their errors.

Only `wiring` knows the implementations.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol, Self, TypeVar

from msgspec import Raw

from webhook.kinds.evaluator import AnyKind
from webhook.quota.decision import Decision
from webhook.quota.errors import WebhookError
from webhook.quota.missing import Bounds
from webhook.quota.objects import ObjectKey, ObjectMeta, OwnerReference, StoredVersion, UserInfo
from webhook.quota.policy import Policy
from webhook.quota.promises import MarkedEdit
from webhook.quota.reservation import Charge, Reservation
from webhook.quota.resources import ResourceList
from webhook.quota.usage import UsageView

__all__ = [
    "Ancestry",
    "READY",
    "Caller",
    "CallerRights",
    "Clock",
    "Condition",
    "FrontProxyTrust",
    "StoreRestoredError",
    "StoredPolicies",
    "StoredPolicyMap",
    "Transactions",
    "Trust",
    "Decide",
    "Denial",
    "HandoverRights",
    "LedgerStore",
    "LimitRanges",
    "Maintenance",
    "NameHolders",
    "Namespaces",
    "PodClasses",
    "UnavailableError",
    "PodsOfWorkloads",
    "PolicySource",
    "PromiseOrdering",
    "PromisesChangingError",
    "QuorumReader",
    "OpenEdits",
    "NoOpenEdits",
    "Sleep",
    "WebhookError",
]


T = TypeVar("T")


class UnavailableError(WebhookError):
    """
    No decision is possible now: a watch is behind, no policy is loaded, the API server is down, the deadline passed.

    The request is neither allowed nor denied. `reason` is a short word for metrics. `affects_all`: all replicas are
    affected, so the caller retries here; otherwise the call is sent to another replica.
    """

    def __init__(self, reason: str, message: str, *, affects_all: bool = False) -> None:
        """Record the *reason* for metrics and the *message* for users."""
        self.reason = reason
        self.affects_all = affects_all
        super().__init__(message)

    def again(self) -> Self:
        """Return a new error of the same type and content, to be raised in another waiting call."""
        copied = type(self).__new__(type(self), *self.args)
        vars(copied).update(vars(self))
        return copied


class PromisesChangingError(UnavailableError):
    """What is promised changes right now: the decision is possible in a moment."""

    def __init__(self, message: str) -> None:
        """Record the *message* for users."""
        super().__init__("promises", message, affects_all=True)


@dataclass(frozen=True, slots=True)
class Condition:
    """Whether a component is ready; if not, `reason` is one word for metrics and `message` a sentence for users."""

    ok: bool
    reason: str = ""
    message: str = ""


READY = Condition(ok=True)


class StoreRestoredError(WebhookError):
    """
    The store went back in time, e.g. it was restored from a backup.

    The state of this process belongs to a discarded history. The process must end; a new one reads everything again.
    """

    def __init__(self, evidence: str) -> None:
        """Record the *evidence* of the restore."""
        super().__init__(f"the API went back in time, as after a restore from a backup: {evidence}")


class Clock(Protocol):
    """The wall clock and the monotonic clock."""

    def now(self) -> datetime:
        """Return the wall clock time in UTC, for policy entries that end at a date."""

    def monotonic(self) -> float:
        """Return seconds that never step back, for deadlines and the age of reservations."""


class PolicySource(Protocol):
    """The policy in force."""

    def current(self) -> Policy:
        """Return the policy in force. Raises: UnavailableError before the first one is loaded."""


class Namespaces(Protocol):
    """The labels of namespaces, by which they belong to tenants, and annotations that may say who owns them."""

    def known(self, name: str) -> Mapping[str, str]:
        """Return the currently known labels of a namespace; an empty mapping for an unknown one."""

    async def labels(self, name: str) -> Mapping[str, str]:
        """Return the labels of a namespace, from the watch or by a live read. Raises: UnavailableError."""

    async def annotations(self, name: str) -> Mapping[str, str]:
        """Return the annotations of a namespace that are short enough for names. Raises: UnavailableError."""


class HandoverRights(Protocol):
    """Who may say that another owner pays for an object that exists."""

    async def may_hand_over(self, user: UserInfo, namespace: str, owner: str) -> bool:
        """
        Return whether *user* may make *owner*, or with an empty name anybody, pay for objects of *namespace*.

        Raises: UnavailableError.
        """


@dataclass(frozen=True, slots=True)
class FrontProxyTrust:
    """
    How an API server proves that it passes a request on, and where it says for whom.

    It shows a certificate of `client_ca`, PEM, whose common name is one of `names`; without any, every name will do.
    The other fields are names of headers, `extra` the beginnings of such.
    """

    client_ca: bytes
    names: frozenset[str]
    user: tuple[str, ...]
    groups: tuple[str, ...]
    extra: tuple[str, ...] = ()
    uid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """The user of a request that an API server passes on, after impersonation."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class CallerRights(Protocol):
    """What callers may do."""

    async def may(self, caller: Caller, verb: str, resource: str, *, namespace: str = "", name: str = "") -> bool:
        """
        Return whether *caller* may do *verb* to *resource*, its plural, or `PLURAL/SUBRESOURCE`, with its group.

        Without a *namespace* in the whole cluster, without a *name* to all objects. Raises: UnavailableError.
        """


@dataclass(frozen=True, slots=True)
class Denial:
    """
    A create that was denied, of an object that something else makes for `above`, a controller in `namespace`.

    `reason` is CamelCase, `message` what was answered, cut. `owner` would have paid; empty if that is not known.
    """

    namespace: str
    above: OwnerReference
    reason: str
    message: str
    owner: str = ""


class LimitRanges(Protocol):
    """The bounds that LimitRanges set for containers."""

    async def bounds(self, namespace: str) -> Mapping[str, Bounds]:
        """Return the bounds in *namespace*, by the name that a container writes. Raises: UnavailableError."""


class PodClasses(Protocol):
    """What the classes of a cluster fill into pods."""

    async def overheads(self) -> Mapping[str, ResourceList]:
        """Return what a pod costs beside its containers, by the name of its RuntimeClass. Raises: UnavailableError."""

    async def default_priority_class(self) -> str:
        """Return the PriorityClass of pods that name none, empty if there is none. Raises: UnavailableError."""


class Ancestry(Protocol):
    """Reads the owners of objects."""

    async def read(self, kind: AnyKind, namespace: str, name: str) -> ObjectMeta | None:
        """Return the metadata of an object by a live read, None if it does not exist. Raises: UnavailableError."""

    async def read_whole(self, kind: AnyKind, namespace: str, name: str, shape: type[T]) -> T | None:
        """Return the fields of *shape* instead of the metadata. See `read`."""


class PodsOfWorkloads(Protocol):
    """Finds the pods that a workload or a session has."""

    async def names(self, namespace: str, uid: str, selector: Raw) -> tuple[str, ...]:
        """
        Return the names of the pods of the workload with this *uid*, those of its ReplicaSets included. With an empty
        *uid* those that a new workload adopts: without a controller, or of ReplicaSets without one.

        *selector* is that of its spec, as JSON. Raises: UnavailableError.
        """

    async def device_claims(self, namespace: str, pods: Collection[str]) -> tuple[str, ...]:
        """
        Return the names of the ResourceClaims that were made from templates for *pods*, by name.

        Raises: UnavailableError.
        """

    async def labelled(self, namespace: str, labels: Iterable[Sequence[tuple[str, str]]]) -> tuple[str, ...]:
        """
        Return the names of the pods that have all labels of one of the alternatives, and have not ended.

        Raises: UnavailableError.
        """


class NameHolders(Protocol):
    """Finds the object that holds a name, among objects that have to be known."""

    async def holder(self, key: ObjectKey) -> StoredVersion | None:
        """
        Return the object that holds the name *key* now; None if no object that we know of does.

        Raises: UnavailableError, also as `require_known`.
        """

    def require_known(self, resource: str, *, is_session: bool = False) -> None:
        """
        Check that all objects of *resource*, which is charged, are known, and who is in which group.

        For a session all sessions of every kind have to be known: their places are counted together.

        Raises: UnavailableError.
        """


class QuorumReader(Protocol):
    """Reads what is stored now, bypassing every cache."""

    async def version_of(self, key: ObjectKey) -> StoredVersion | None:
        """Return uid and resource version of the object stored under *key*, None if none. Raises: UnavailableError."""

    async def newest_version(self, resource: str) -> int:
        """Return the highest version of any stored object of *resource*, 0 if none. Raises: UnavailableError."""


class StoredPolicyMap(NamedTuple):
    """A ConfigMap as it is stored, and whether it is part of the policy."""

    uid: str
    version: int
    is_part: bool = True


class StoredPolicies(Protocol):
    """Reads ConfigMaps of our namespace, past every cache."""

    async def version_of(self, name: str) -> StoredPolicyMap | None:
        """Return the ConfigMap *name*, None if there is none. Raises: UnavailableError."""

    async def newest_version(self) -> int:
        """Return the highest version of any that is part of the policy, 0 if none is. Raises: UnavailableError."""


class NoPolicies:
    """Port `StoredPolicies` where the policy is in no ConfigMap."""

    async def version_of(self, name: str) -> StoredPolicyMap | None:  # noqa: ARG002
        """Return None."""
        return None

    async def newest_version(self) -> int:
        """Return 0."""
        return 0


class Trust(Protocol):
    """The certificates that the API server has to trust for this replica."""

    @property
    def ca_bundle(self) -> bytes:
        """The certificates to trust, PEM, now; empty when the caBundle is not ours to write."""
        ...

    async def refresh(self) -> None:
        """Renew or read again what is due. Raises: WebhookError."""

    def trusted(self, bundle: Collection[bytes]) -> None:
        """Record the certificates that every caBundle of ours holds now, PEM each. Raises: WebhookError."""

    def check_call(self, host: str, ca_bundle: bytes) -> None:
        """
        Check that an API server which calls *host* and trusts *ca_bundle*, PEM, accepts what is served now.

        With an empty *ca_bundle* it trusts what its machine does: then the name alone is checked. Raises: WebhookError.
        """


Sleep = Callable[[float], Awaitable[None]]
"""Waits some seconds in a background task; a parameter, so that tests need not wait."""

Decide = Callable[[UsageView], Decision]
"""
The decision with every argument bound except the usage; it reads the policy, labels and clock of the moment. The ledger
may call it again with newer usage.
"""


@dataclass(frozen=True, slots=True)
class Maintenance:
    """
    What one run of a ledger's periodic work did.

    `expired` are the reservations that were released because nothing was stored in time; of a merged one an object may
    be stored, and is counted as such. `failures` tell what could not be read or written: it stays as it is, and is
    tried again with the next run.
    """

    expired: tuple[Reservation, ...] = ()
    failures: tuple[UnavailableError, ...] = ()


class Transactions(Protocol):
    """
    Reads usage, decides and reserves in one atomic step.

    Any number of calls may run concurrently; the same free amount is never reserved by two of them.
    """

    async def transact(self, charge: Charge, decide: Decide, *, dry_run: bool, deadline: float) -> Decision:
        """
        Decide on *charge* and reserve what is allowed before any other call is decided; with *dry_run* reserve nothing.

        *decide* is called at least once before this returns, and may be called again with newer usage.
        *deadline* is on the monotonic clock. Raises: UnavailableError if no decision is possible by then.
        """


class OpenEdits(Protocol):
    """Whether an edit of what is promised is open: marked, and not yet in force at this replica."""

    def require_no_open_edit(self) -> None:
        """Check that none is, so that this replica may decide in classes of nodes. Raises: PromisesChangingError."""


class NoOpenEdits:
    """Port `OpenEdits` without a cluster."""

    def require_no_open_edit(self) -> None:
        """Do nothing."""


class PromiseOrdering(OpenEdits, Protocol):
    """Has all replicas decide by the same promises, and by none that is being edited."""

    async def mark(self, edit: MarkedEdit, *, since: datetime | None, deadline: float) -> str:
        """
        Stop all replicas from deciding in classes of nodes until *edit* is over; return the token of the mark.

        It is over for each replica that has it in force, and for all once it is unmarked or can no longer be stored. It
        is judged after this call; *since* is the last begin or end of a promise by which it is. *deadline* is on the
        monotonic clock.

        Raises: PromisesChangingError until this replica has seen that every edit marked before is stored, in force or
        not; UnavailableError.
        """

    async def unmark(self, token: str) -> None:
        """Take out the mark *token*: the edit was refused."""

    def at_rest(self) -> AbstractAsyncContextManager[None]:
        """
        Return what is entered while nothing is held of which a swap is still to tell whether it is.

        Usage that is read inside is that of a version of the ledger. Nothing may be awaited inside. Entering raises
        UnavailableError if the ledger has no rest for seconds.
        """

    def policy_seen(self, seen: Mapping[str, StoredVersion], *, version: int) -> None:
        """Record which ConfigMaps of the policy are stored as of *version*, by name, in force or not."""

    def policy_in_force(self, seen: Mapping[str, StoredVersion] | None, *, version: int, changed_at: int) -> None:
        """
        Record that the policy in force was read from the ConfigMaps *seen* as of *version*, by name.

        None if it was read from a copy, whose versions are not known. *changed_at* is the version of the last change
        among them that is known.
        """

    def time(self, now: datetime) -> datetime:
        """Return *now*, or the time up to which promises have begun and ended for other replicas if that is later."""


class LedgerStore(Transactions, PromiseOrdering, Protocol):
    """What a replica does with its ledger: transactions, and what keeps it true."""

    def settled(self, reservations: Iterable[Reservation], *, seen_at: int) -> None:
        """
        Record that the watch showed objects above the base of *reservations*, which the usage index has dropped.

        *seen_at* is the version shown by the watch, 0 if it showed that the objects are gone.
        """

    def counted_anew(self) -> None:
        """Record that from now on usage is counted for other subjects, in other amounts or under another policy."""

    async def give_back(self) -> None:
        """Take nothing for later any more, and give back what was: the process is about to end."""

    async def maintain(self, *, quorum: QuorumReader) -> Maintenance:
        """
        Run the periodic work, once per second; return what it did.

        A reservation expires when its write can no longer be persisted, and a quorum read has shown that it was not;
        never by age alone: see docs/consistency.md. Where that read fails it stays held, and all others go on.
        """
