"""
What an edit of the policy does to those who use something: whom it puts over a limit, and who loses one.

Both policies are compared over the same usage, by the limits in force for each account in each namespace: so it does
not matter which part of the policy an edit changes. A new limit, a lower one, a smaller group, another weight of a
device and a lost entry are all the same question.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import NamedTuple

from msgspec import structs

from webhook.quota import subject
from webhook.quota.capacity import NodeFacts
from webhook.quota.commitments import Commitment
from webhook.quota.exemption import Exemption
from webhook.quota.lifted import Lifted, lifted_entries, new_exemptions
from webhook.quota.limits import Limit, resolve_limits
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Mode, Policy, accounts_under
from webhook.quota.promises import Unkept, holders_of_more, illegal_changes, unkept_promises
from webhook.quota.resources import Amount, Amounts
from webhook.quota.scopes import Scopes
from webhook.quota.subject import Account, Payer, Subject
from webhook.quota.usage import Holdings, Row, UsageIndex

_PER_STEP = 50
"""Rows or accounts between two pauses: together they take about a millisecond."""

_LIMITS_PER_STEP = 500

LabelsOf = Callable[[str], Mapping[str, str]]
"""Returns the labels of a namespace."""

_Sum = tuple[Subject, str]
"""What a limit binds: a subject and a resource."""


@dataclass(frozen=True, slots=True)
class Overrun:
    """
    A limit that an edit leaves below what is allocated, further than before.

    Of that `set_aside` is guaranteed to somebody inside and not used.
    """

    limit: Limit
    allocated: Amount
    set_aside: Amount = 0

    @property
    def over(self) -> Amount:
        """Return how much more is allocated than the limit allows."""
        return self.allocated - self.limit.hard


@dataclass(frozen=True, slots=True)
class Effect:
    """
    What an edit does: the limits that it puts below what is allocated, those exceeded by the largest part first; the
    same of limits that only warn; the limits that end; what is exempt from now on; what is promised and cannot be kept,
    and changes that commitments must not make; and what could not be compared, in words.
    """

    overruns: tuple[Overrun, ...] = ()
    warned: tuple[Overrun, ...] = ()
    lifted: tuple[Lifted, ...] = ()
    exempted: tuple[Exemption, ...] = ()
    unkept: tuple[Unkept, ...] = ()
    illegal: tuple[tuple[Commitment, str], ...] = ()
    uncompared: tuple[str, ...] = ()

    @property
    def is_refused(self) -> bool:
        """Whether the edit takes a reason."""
        return bool(self.overruns or self.illegal or any(each.is_refused for each in self.unkept))


class _Held(NamedTuple):
    """A row under its key: what an object costs, or several objects that are alike."""

    key: ObjectKey
    row: Row


class Known(NamedTuple):
    """What an edit is compared over: what exists and is in flight, and the namespaces' labels; at the time `now`."""

    holdings: Holdings
    labels_of: LabelsOf
    now: datetime
    is_counted: Callable[[str], bool]
    """Whether all objects of a resource are counted already."""
    nodes: tuple[NodeFacts, ...] | None = None
    """What nodes there are; None if that is not known."""


def effect_of(before: Policy, after: Policy, known: Known) -> Generator[None, None, Effect]:
    """
    Yield after a millisecond of work or less, and return what it does that *after* takes the place of *before*.

    Limits of which nobody is told do not count. One that was exceeded before counts only if it is exceeded by more
    after.
    """
    rows = yield from _alike(known.holdings)
    was, will = _Standing(before, known), _Standing(after, known)
    for each in (was, will):
        yield from each.count(rows)
        yield from each.resolve()
    overruns = yield from _overruns(will.limits, will, was.excess)
    warned = yield from _overruns(will.warning, will, was.any_excess)
    by_entry = yield from lifted_entries(before, after, known.now)
    told = {(each.entry, each.resource) for each in by_entry}
    of_users: list[Lifted] = []
    for count, (key, limit) in enumerate(was.limits.items(), start=1):
        if key not in will.limits and not any((part, limit.resource) in told for part in limit.entry.split("+")):
            of_users.append(Lifted(str(limit.subject), limit.resource, limit.hard, limit.entry, limit.form))
        if count % _LIMITS_PER_STEP == 0:
            yield
    unkept: tuple[Unkept, ...] = ()
    if after.commitments and known.nodes is not None:
        unkept = tuple(unkept_promises((before, was.index), (after, will.index), known.nodes, known.now))
        yield
    # Their memory is given back in one go, which nothing can interrupt: 20 ms for 100 000 objects without their like.
    del was
    yield
    del will
    yield
    return Effect(
        tuple(sorted(overruns, key=_order)),
        tuple(sorted(warned, key=_order)),
        (*by_entry, *sorted(of_users)),
        new_exemptions(before, after),
        unkept,
        tuple(illegal_changes(before.commitments, after.commitments, known.now)),
        tuple(_uncompared(before, after, known)),
    )


class Kept(NamedTuple):
    """
    Which promises of an edit cannot be kept. If nodes have too little and it may be made because no more is taken than
    before, that relies on objects that exist: their uids by key.
    """

    unkept: tuple[Unkept, ...]
    relies_on: Mapping[ObjectKey, str]


def kept_promises(
    before: Policy, after: Policy, known: Known, nodes: Sequence[NodeFacts]
) -> Generator[None, None, Kept]:
    """Yield after a millisecond of work or less, and return what of *after* can be kept, while *nodes* are there."""
    rows = yield from _alike(known.holdings)
    was, will = _Standing(before, known), _Standing(after, known)
    for each in (was, will):
        yield from each.count(rows)
    compared = (before, was.index), (after, will.index), nodes, known.now
    unkept = tuple(unkept_promises(*compared))
    yield
    if next(unkept_promises(*compared, whatever_was=True), None) is None:
        return Kept(unkept, {})
    holders = holders_of_more(before.commitments, after.commitments)
    relies_on: dict[ObjectKey, str] = {}
    for resource, rows_of in known.holdings.rows.items():
        for count, (path, row) in enumerate(rows_of.items(), start=1):
            key = ObjectKey(resource, *path.split("/", 1))
            if not holders.isdisjoint(will.index.subjects_of(row.account, key.namespace)):
                relies_on[key] = row.uid
            if count % _LIMITS_PER_STEP == 0:
                yield
    return Kept(unkept, relies_on)


def only_existing(known: Known, gone: Container[ObjectKey], before: Policy, after: Policy) -> Known:
    """Return what is *known* without objects that are *gone*, and what those who rely on them have in flight."""
    bind, holders = accounts_under(after, known.labels_of), holders_of_more(before.commitments, after.commitments)
    rows = {
        resource: {path: row for path, row in each.items() if ObjectKey(resource, *path.split("/", 1)) not in gone}
        for resource, each in known.holdings.rows.items()
    }
    in_flight = (
        each for each in known.holdings.reservations if holders.isdisjoint(bind(each.account, each.key.namespace))
    )
    return known._replace(holdings=Holdings(rows, tuple(in_flight)))


def _overruns(
    limits: Mapping[_Sum, Limit], will: _Standing, excess_before: Callable[[_Sum], Amount]
) -> Generator[None, None, list[Overrun]]:
    found = []
    for count, (key, limit) in enumerate(limits.items(), start=1):
        allocated = will.allocated(key)
        if allocated - limit.hard > excess_before(key):
            found.append(Overrun(limit, allocated, will.set_aside(key)))
        if count % _LIMITS_PER_STEP == 0:
            yield
    return found


def _alike(holdings: Holdings) -> Generator[None, None, list[_Held]]:
    """
    Yield now and then, and return all rows; those of objects of one payer in one namespace that cost the same as one.

    The pods of a workload are alike, and sums do not tell them apart. A row stays by itself where its object matters:
    a write of it is in flight, it holds room for others, or others hold room for it.
    """
    busy = {each.key for each in holdings.reservations}
    found: list[_Held] = []
    count = 0
    for resource, rows in holdings.rows.items():
        numbers: dict[tuple[str, Payer, Scopes, Amounts], int] = {}
        firsts: dict[tuple[str, Payer, Scopes, Amounts], _Held] = {}
        for path, row in rows.items():
            key = ObjectKey(resource, *path.split("/", 1))
            if key in busy or row.expected is not None or row.part_of:
                found.append(_Held(key, row))
            else:
                like = (key.namespace, row.payer, row.scopes, row.amounts)
                numbers[like] = numbers.get(like, 0) + 1
                firsts.setdefault(like, _Held(key, row))
            count += 1
            if count % _LIMITS_PER_STEP == 0:
                yield
        for count, (like, number) in enumerate(numbers.items(), start=1):
            first = firsts[like]
            amounts = tuple((name, amount * number) for name, amount in first.row.amounts)
            found.append(first if number == 1 else _Held(first.key, structs.replace(first.row, amounts=amounts)))
            if count % _LIMITS_PER_STEP == 0:
                yield
    return found


class _Standing:
    """
    Usage and the lowest limits under one policy, for every subject that uses or holds something: those that are
    enforced, and those that warn.
    """

    def __init__(self, policy: Policy, known: Known) -> None:
        self.index = UsageIndex(accounts_under(policy, known.labels_of), policy.devices)
        self._policy = policy
        self._known = known
        self._accounts: dict[tuple[Account, str], None] = {}
        self.limits: dict[_Sum, Limit] = {}
        self.warning: dict[_Sum, Limit] = {}

    def count(self, rows: Iterable[_Held]) -> Generator[None, None, None]:
        """Count all that is used and reserved, and what is promised; yield now and then."""
        for count, (key, account) in enumerate(self._filled(self._known.holdings, rows), start=1):
            self._accounts[account, key.namespace] = None
            if count % _PER_STEP == 0:
                yield
        self.index.promise(self._policy.promised(self._known.now))

    def resolve(self) -> Generator[None, None, None]:
        """Find the limits of all that is counted; yield now and then."""
        for count, (account, namespace) in enumerate(self._accounts, start=1):
            self._add(account, namespace)
            if count % _PER_STEP == 0:
                yield

    def allocated(self, key: _Sum) -> Amount:
        """Return what is used, reserved and guaranteed of *key*."""
        return self.index.allocated(*key) + self.set_aside(key)

    def set_aside(self, key: _Sum) -> Amount:
        """Return what is guaranteed of *key* to somebody inside who does not use it."""
        return self.index.set_aside(*key) if self._policy.guarantees.sets_aside(*key) else 0

    def excess(self, key: _Sum) -> Amount:
        """Return by how much the enforced limit of *key* is exceeded, 0 if it is not or if there is none."""
        return self._excess(key, self.limits)

    def any_excess(self, key: _Sum) -> Amount:
        """Return by how much the lowest limit of *key* is exceeded, in either mode."""
        return max(self._excess(key, self.limits), self._excess(key, self.warning))

    def _excess(self, key: _Sum, limits: Mapping[_Sum, Limit]) -> Amount:
        limit = limits.get(key)
        return 0 if limit is None else max(self.allocated(key) - limit.hard, 0)

    def _filled(self, holdings: Holdings, rows: Iterable[_Held]) -> Iterator[tuple[ObjectKey, Account]]:
        """Count everything into the index, and yield what each row and reservation is charged to."""
        for resource in holdings.rows:
            self.index.list_started(resource)
        for key, row in rows:
            self.index.observe(key, row)
            yield key, row.account
        for each in holdings.reservations:
            self.index.reserve(each)
            yield each.key, each.account

    def _add(self, account: Account, namespace: str) -> None:
        """Keep the limits that bind objects of *account*; of an exempt one only those that it shares with others."""
        policy, labels, now = self._policy, self._known.labels_of(namespace), self._known.now
        is_exempt = policy.exemptions.of(account, namespace, now) is not None
        holder = policy.holder_of(account.payer)
        for limit in resolve_limits(policy, account, namespace=namespace, labels=labels, now=now).sums:
            if limit.mode is Mode.AUDIT or (is_exempt and subject.unscoped(limit.subject) == holder):
                continue
            limits = self.limits if limit.mode is Mode.ENFORCE else self.warning
            key = (limit.subject, limit.resource)
            if key not in limits or limit.hard < limits[key].hard:
                limits[key] = limit


def _order(each: Overrun) -> tuple[object, ...]:
    """Order by the part of the limit that is exceeded; a limit of 0 first."""
    limit = each.limit
    part = Fraction(each.over) / Fraction(limit.hard) if limit.hard else Fraction(0)
    return (limit.hard != 0, -part, -each.over, limit.subject, limit.resource)


def _uncompared(before: Policy, after: Policy, known: Known) -> Iterator[str]:
    """Yield what is counted in another way, or at all, only once *after* is in force."""
    for resource in sorted(after.counted):
        if not known.is_counted(resource):
            yield f"count/{resource}"
    if (before.presets, before.session_count) != (after.presets, after.session_count):
        yield "sessions"
    if before.node_classes != after.node_classes:
        yield "pods by the classes of nodes where they run"
    if after.commitments and known.nodes is None:
        yield "what is promised of nodes, which are not known yet"
    if after.reserve - before.reserve:
        yield "what is set aside for " + " and ".join(sorted(each.value for each in after.reserve - before.reserve))
    if before.terminating != after.terminating:
        yield "pods that are being deleted"
    if after.group_objects is not None and before.group_objects is None:
        yield "the members that Group objects list"
