"""
The charge of one request, and the reservation held while it is in flight. `usage` keeps the sums.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from msgspec import Struct

from webhook.quota import resources
from webhook.quota.devices import SHIPPED, DeviceWeights
from webhook.quota.durations import NO_TIMES, Times
from webhook.quota.expected import Expected, PodSet
from webhook.quota.objects import ObjectKey
from webhook.quota.presets import PER_SESSION, SESSIONS, Labels
from webhook.quota.resources import Amount, Amounts
from webhook.quota.scopes import Scopes
from webhook.quota.subject import Account, Payer, Subject

LONGEST_REQUEST = 34.0
"""
Seconds. The API server ends every write by then (`requestTimeoutUpperBound` of k8s.io/apiserver): an allowed object
cannot be persisted later.
"""

SLOP = 6.0
"""
Seconds for an etcd write that is in progress at LONGEST_REQUEST, and for our own delay in noticing it. Both together,
40 seconds, are the `expiry_seconds` of a ledger.
"""

CREATED = 0
"""The base of a create: every resource version of the API is above it."""


Attempt: TypeAlias = tuple[ObjectKey, str, int, Account]
"""Key, uid, base and account tell reservations apart. Two of one attempt become one, with the larger amounts."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """
    Amounts held for a write that was allowed but not seen in the watch yet.

    `base` is CREATED, or for an update the resource version it was based on. Amounts are those of the whole object,
    never a difference. The reservation is settled when the object is seen at a version above `base`.

    `expected` are the pods that will be made for a session which starts by this write. `part_of` are labels that match
    a pod to its session, one set for each preset that knows it.
    """

    key: ObjectKey
    uid: str
    base: int
    payer: Payer
    amounts: Amounts
    scopes: Scopes = ()
    expected: Expected | None = None
    part_of: tuple[Labels, ...] = ()

    @property
    def account(self) -> Account:
        """The account that it is charged to."""
        return Account(self.payer, self.scopes)

    @property
    def attempt(self) -> Attempt:
        """What tells this reservation from others."""
        return self.key, self.uid, self.base, self.account


class PendingWrites:
    """
    All reservations on one key.

    Thousands of creates may contend for one name, each with its own uid, and all but one fail. Adding one must stay
    O(1), so the largest amounts of each account are cached. They are derived ones: of two creates with different
    devices only one can be stored, and the larger of both counts, not their sum.
    """

    __slots__ = ("_by_attempt", "_counts", "_devices", "_largest")

    def __init__(self, devices: DeviceWeights = SHIPPED) -> None:
        """Start empty, and count with the weights of *devices*."""
        self._devices = devices
        self._by_attempt: dict[Attempt, Reservation] = {}
        self._counts: dict[Account, Counter[Amounts]] = defaultdict(Counter)
        self._largest: dict[Account, Amounts] = {}  # an absent account, after a removal, is recomputed on demand

    def __iter__(self) -> Iterator[Reservation]:
        return iter(self._by_attempt.values())

    def __len__(self) -> int:
        return len(self._by_attempt)

    def __contains__(self, reservation: Reservation) -> bool:
        return reservation.attempt in self._by_attempt

    def add(self, reservation: Reservation) -> bool:
        """
        Hold *reservation*; return whether none of the same attempt was held before.

        Of two of one attempt the larger amounts are kept. Two accounts on the same base are both held: an adoption and
        another update of the object are in flight, and either may be the one that is persisted.
        """
        attempt, account = reservation.attempt, reservation.account
        held = self._by_attempt.get(attempt)
        if held is not None:
            self.remove(held)
            reservation = covering(reservation, held)
        self._by_attempt[attempt] = reservation
        counts = self._counts[account]
        counts[reservation.amounts] += 1
        if account in self._largest or len(counts) == 1:  # with one value, that is the largest
            derived = self._devices.derive(reservation.amounts)
            known = self._largest.get(account)
            self._largest[account] = derived if known is None else _larger(known, derived)
        return held is None

    def remove(self, reservation: Reservation) -> None:
        """Remove the reservation of the same attempt. Raises: KeyError."""
        held = self._by_attempt.pop(reservation.attempt)
        counts = self._counts[held.account]
        counts[held.amounts] -= 1
        if not counts[held.amounts]:
            del counts[held.amounts]
            self._largest.pop(held.account, None)
        if not counts:
            del self._counts[held.account]

    def weigh(self, devices: DeviceWeights) -> None:
        """Count with the weights of *devices* from now on."""
        self._devices = devices
        self._largest.clear()

    def most(self) -> dict[Account, Amounts]:
        """Return the largest derived amounts of each account's reservations, per resource."""
        for account in self._counts.keys() - self._largest.keys():
            derived = map(self._devices.derive, self._counts[account])
            self._largest[account] = tuple(sorted(resources.most_amounts(derived).items()))
        return self._largest


def covering(one: Reservation, other: Reservation) -> Reservation:
    """Return *one* with the larger amounts of both, and with the pods that either expects."""
    expected = one.expected or other.expected
    if one.expected is not None and other.expected is not None:
        expected = Expected(_larger(one.expected.amounts, other.expected.amounts), one.expected.labels)
    return replace(one, amounts=_larger(one.amounts, other.amounts), expected=expected)


def _larger(left: Amounts, right: Amounts) -> Amounts:
    return tuple(sorted(resources.most_amounts((left, right)).items()))


class Pods(Struct, frozen=True):
    """
    What the pods cost that controllers make for an object. The object is not charged for it: pods pay for themselves.
    """

    size: Amounts
    """All of its pods, compared with caps."""
    needed: Amounts
    """Those that are made now."""
    times: Times = NO_TIMES
    """How long it may run, compared with caps as well."""
    is_partial: bool = False
    """Whether another object decides on the size too, or there is no pod."""

    @property
    def capped(self) -> Amounts:
        """The amounts that caps are compared with."""
        return (*self.size, *self.times.asked)


class Prior(Struct, frozen=True):
    """What the object of a request cost before an update, and to whom it was charged. See `Charge` for its fields."""

    payer: Payer
    subjects: frozenset[Subject]
    amounts: Amounts
    scopes: Scopes = ()
    pods: Pods | None = None
    by_spec: Amounts | None = None

    @property
    def account(self) -> Account:
        """The account that it was charged to."""
        return Account(self.payer, self.scopes)


class Charge(Struct, frozen=True):
    """
    What the object of a request would cost once it is stored.

    *Raw* amounts are those of the object itself. *Derived* ones count under the policy in force: with the weights of
    devices, and with logical resources.
    """

    key: ObjectKey
    uid: str
    base: int
    """See `Reservation`."""
    payer: Payer
    amounts: Amounts
    """Raw, of the whole object."""
    prior: Prior | None = None
    """None for a create."""
    cap: str | None = None
    """The policy field that limits one object of this kind."""
    derived: Amounts | None = None
    """What `amounts` come to; None if that is the same."""
    scopes: Scopes = ()
    pods: Pods | None = None
    """The pods that are made for it, derived; None for kinds whose caps bind what they cost themselves."""
    expected: Expected | None = None
    """Those pods, raw: reserved from now on if more are made than before."""
    part_of: tuple[Labels, ...] = ()
    """See `Reservation`."""
    by_spec: Amounts | None = None
    """What the spec alone asks for, derived; None if that is what the object costs, or if no minimum needs it."""

    @property
    def account(self) -> Account:
        """The account that it is charged to."""
        return Account(self.payer, self.scopes)

    @property
    def is_session(self) -> bool:
        """Whether it costs a place in `sessions`."""
        return any(name == SESSIONS for name, _ in self.compared)

    @property
    def caps(self) -> tuple[str | None, ...]:
        """The policy fields that limit this object: a pod that is a session is bounded as both."""
        return (self.cap, PER_SESSION) if self.is_session else (self.cap,)

    @property
    def pod_sets(self) -> Iterator[PodSet]:
        """The sets of which the object is a pod."""
        return (PodSet(self.key.namespace, self.payer.owner, labels) for labels in self.part_of)

    @property
    def capped(self) -> Amounts:
        """The amounts that caps are compared with."""
        return self.compared if self.pods is None else self.pods.capped

    @property
    def capped_before(self) -> Amounts:
        """The amounts that caps were compared with before an update."""
        if self.prior is None:
            return ()
        return self.prior.amounts if self.prior.pods is None else self.prior.pods.capped

    @property
    def asked(self) -> Amounts:
        """The amounts that minimums are compared with: what is asked for, whatever is still held."""
        return self.capped if self.by_spec is None else self.by_spec

    @property
    def asked_before(self) -> Amounts | None:
        """What minimums were compared with before an update; None for what is judged as a new object."""
        if self.prior is None:
            return None
        if self.pods is not None and (self.prior.pods is None or self.prior.pods.is_partial):
            return None
        return self.capped_before if self.prior.by_spec is None else self.prior.by_spec

    @property
    def left_open(self) -> Mapping[str, str]:
        """The times that it leaves open, each with its field; after an update without those that were open before."""
        if self.pods is None:
            return {}
        before = self.prior.pods.times if self.prior is not None and self.prior.pods is not None else NO_TIMES
        return {name: where for name, where in self.pods.times.open if name not in dict(before.open)}

    @property
    def needs_more(self) -> bool:
        """Whether more pods are made for it than before, or larger ones."""
        if self.pods is None:
            return False
        before = self.prior.pods.needed if self.prior is not None and self.prior.pods is not None else ()
        return bool(resources.grown(self.pods.needed, before))

    @property
    def compared(self) -> Amounts:
        """The amounts that limits are compared with."""
        return self.amounts if self.derived is None else self.derived

    @property
    def grows(self) -> bool:
        """Whether the account changes or any amount grows; a charge that does not grow is denied for no usage."""
        if self.prior is None or self.account != self.prior.account:
            return True
        if resources.grown(self.compared, self.prior.amounts):
            return True
        return self.needs_more or bool(resources.grown(self.capped, self.capped_before))

    def before(self, name: str, subject: Subject) -> Amount:
        """Return what *subject* was charged for resource *name* of the object before the update."""
        if self.prior is None or subject not in self.prior.subjects:
            return 0
        return next((amount for resource, amount in self.prior.amounts if resource == name), 0)

    def reservation(self) -> Reservation:
        """Return the reservation to hold if this charge is allowed."""
        expected = self.expected if self.needs_more else None
        return Reservation(self.key, self.uid, self.base, self.payer, self.amounts, self.scopes, expected, self.part_of)
