"""
The ledger as people see it: what each object holds of the limits, and what is in flight beyond it.

A view on the usage index, made anew for each answer: nothing is stored, nothing has to be kept in step. Of the labels
of objects only those are here that a policy names as tags: the index keeps no others.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from webhook.quota import resources
from webhook.quota.catalogue import Catalogue
from webhook.quota.errors import WebhookError
from webhook.quota.expected import ExpectedPods
from webhook.quota.objects import ObjectKey
from webhook.quota.reservation import Reservation
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import CLUSTER, Account, Subject, selector_of
from webhook.quota.tags import Tags
from webhook.quota.usage import Holdings, Row
from webhook.view.label_selector import Term, selects
from webhook.view.standings import Scene


class State(Enum):
    """What an allocation is at, in words for people."""

    USED = "used"
    """The object exists, and nothing is in flight beyond it."""

    GROWING = "growing"
    """The object exists, and an update that was allowed makes it larger."""

    STARTING = "starting"
    """The object is a session, and room is held for pods that it still waits for."""

    MAY_GROW = "may grow"
    """The object is an autoscaler or a session, and room is set aside for pods that it may add."""

    ANOTHER = "another in flight"
    """The object exists, and the create of another one of its name was allowed: it replaces this one, or fails."""

    IN_FLIGHT = "in flight"
    """A write was allowed, and the object has not been seen yet."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """
    What one name in the API holds: `committed` is what its object costs, `reserved` what is in flight beyond that.

    Of several writes in flight the largest amounts count, as in the index: only one object at a time has the name.
    `uid` is empty if creates of several objects contend for the name; `other_owners` are those of further writes.
    `created` is in seconds since 1970, 0 if unknown. `tags` are those of the object that exists.
    """

    key: ObjectKey
    uid: str
    owner: str
    created: int
    state: State
    committed: Amounts
    reserved: Amounts
    other_owners: tuple[str, ...] = ()
    tags: Tags = ()
    catalogue: Catalogue = field(default_factory=dict, compare=False)
    """What the policy says of resources."""
    charged: tuple[Subject, ...] = field(default=(), compare=False)
    """In whose sums it counts."""


@dataclass(frozen=True, slots=True)
class Selection:
    """
    Which allocations are asked for: those charged to `subject`, paid by `owner`, in `namespace`, of `resource`.

    Empty is any. What is in flight for another subject or owner is left out of the amounts, too. All of `terms` have to
    hold of the tags; what is in flight has none.
    """

    subject: Subject = CLUSTER
    owner: str = ""
    namespace: str = ""
    resource: str = ""
    terms: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class Sum:
    """What all allocations of a selection hold of one resource."""

    resource: str
    committed: Amount
    reserved: Amount


@dataclass(frozen=True, slots=True)
class Page:
    """
    Some allocations, by resource, namespace and name. `rest` is the last key if there are more behind it.

    `sums` are those of the whole selection, by resource. Only the first page has them.
    """

    allocations: tuple[Allocation, ...]
    sums: tuple[Sum, ...] | None
    rest: ObjectKey | None
    catalogue: Catalogue = field(default_factory=dict, compare=False)
    """What the policy says of resources."""


class UnknownResourceError(WebhookError):
    """Nothing of the resource that is asked for is counted."""

    def __init__(self, known: Iterable[str]) -> None:
        """Name the *known* ones."""
        super().__init__(f"resource: objects of this one are not counted, expected one of {', '.join(sorted(known))}")


class UnknownTagError(WebhookError):
    """It is selected by a label that is no tag, of which nothing is known."""

    def __init__(self, key: str, known: Iterable[str]) -> None:
        """Name the *key*, and the *known* ones."""
        listed = ", ".join(known)
        super().__init__(f"selector: {key} is no tag; the policy names {listed or 'none'}, see docs/view.md#tags")


class Allocations:
    """
    Finds the allocations of a selection in a copy of all holdings.

    The sums are those of the index for the subject, at the moment of the copy, as long as its policy and the labels of
    namespaces stay the same: each amount that the index counts belongs to one key.
    """

    def __init__(self, scene: Scene, selection: Selection, *, limit: int, after: ObjectKey | None = None) -> None:
        """Keep the first *limit* allocations, or the first ones behind the key *after*."""
        self._scene = scene
        self._selection = selection
        self._limit = limit
        self._after = after
        self._last: ObjectKey | None = None
        self._found: dict[ObjectKey, Allocation] = {}
        self._sessions: list[tuple[ObjectKey, Sequence[Row | Reservation]]] = []
        self._holds = ExpectedPods()
        self._sums: dict[str, list[Amount]] = {}
        self._selectors = frozenset(("", *map(str, scene.policy.selectors)))
        """Of those by which the policy limits: pools of nodes and guarantees have others before their subjects."""
        self._selected: dict[Tags, bool] = {}
        """Whether what has these tags is asked for: most objects share them."""
        self._rows: Counter[Amounts] = Counter()
        """How many objects cost the same: 100 000 have a few dozen amounts."""

    def walk(self, holdings: Holdings) -> Iterator[None]:
        """Take in all *holdings*, once. Yields after each of very many small steps."""
        pending: dict[ObjectKey, list[Reservation]] = defaultdict(list)
        for each in holdings.reservations:
            pending[each.key].append(each)
            yield
        for resource, rows in holdings.rows.items():
            for path, row in rows.items():
                key = ObjectKey(resource, *path.split("/", 1))
                self._take(key, row, pending.pop(key, ()))
                yield
        for key, writes in pending.items():
            self._take(key, None, writes)
            yield
        for amounts, number in self._rows.items():
            self._add(self._scene.policy.devices.derive(amounts), 0, times=number)
            yield
        for key, records in self._sessions:
            self._update_hold(key, records)
            yield
        for key, records in self._sessions:
            self._add_hold(key, records)
            yield

    def result(self) -> Page:
        """Return what was found."""
        keys = self._prune()
        found = (self._found[key] for key in keys)
        shown = tuple(each for each in found if each.committed or each.reserved)
        sums = tuple(Sum(name, *both) for name, both in sorted(self._sums.items())) if self._after is None else None
        rest = keys[-1] if self._last is not None else None
        return Page(shown, sums, rest, self._scene.policy.catalogue)

    def _take(self, key: ObjectKey, row: Row | None, writes: Sequence[Reservation]) -> None:
        selection = self._selection
        if selection.namespace and key.namespace != selection.namespace:
            return
        if writes or (row is not None and (row.expected is not None or row.part_of)):
            self._note_session(key, (*writes, row) if row is not None else writes)
        if (selection.resource and key.resource != selection.resource) or not self._is_wanted(key):
            return
        stored = row if row is not None and self._is_charged(row.account, key.namespace) else None
        charged = [each for each in writes if self._is_charged(each.account, key.namespace)] if writes else []
        if selection.terms and not self._has_tags(stored):
            return
        if stored is not None:
            self._rows[stored.amounts] += 1
        if charged or (stored is not None and self._is_before_end(key)):
            found = self._allocation(key, stored, charged)
            self._add(found.reserved, 1)
            self._keep(found)

    def _allocation(self, key: ObjectKey, stored: Row | None, writes: Sequence[Reservation]) -> Allocation:
        """Return that of *key* without the room for pods. There is an object that is charged, or a write."""
        derive = self._scene.policy.devices.derive
        committed = () if stored is None else derive(stored.amounts)
        costs = dict(committed)
        most = resources.most_amounts(derive(each.amounts) for each in writes) if writes else {}
        beyond = sorted((name, amount - costs.get(name, 0)) for name, amount in most.items())
        reserved = tuple(each for each in beyond if each[1] > 0)
        records = (*(() if stored is None else (stored,)), *writes)
        owner, *others = dict.fromkeys(each.payer.owner for each in records)
        uids = {each.uid for each in writes}
        if stored is None:
            uid, created, state = uids.pop() if len(uids) == 1 else "", 0, State.IN_FLIGHT
        else:
            uid, created, state = stored.uid, stored.created, State.GROWING if reserved else State.USED
            if uids - {uid, ""}:
                state = State.ANOTHER
        catalogue = self._scene.policy.catalogue
        tags = () if stored is None else stored.tags
        charged = dict.fromkeys(
            subject
            for each in records
            for subject in self._scene.usage.subjects_of(each.account, key.namespace)
            if selector_of(subject) in self._selectors
        )
        return Allocation(
            key, uid, owner, created, state, committed, reserved, tuple(others), tags, catalogue, tuple(charged)
        )

    def _is_charged(self, account: Account, namespace: str) -> bool:
        selection = self._selection
        if selection.owner and account.payer.owner != selection.owner:
            return False
        return selection.subject in self._scene.usage.subjects_of(account, namespace)

    def _has_tags(self, stored: Row | None) -> bool:
        """Whether the object *stored*, which is charged as is asked for, has the tags that are asked for."""
        tags = () if stored is None else stored.tags
        if tags not in self._selected:
            self._selected[tags] = selects(self._selection.terms, tags)
        return self._selected[tags]

    # Rooms for pods, as `usage` computes them.

    def _note_session(self, key: ObjectKey, records: Sequence[Row | Reservation]) -> None:
        """Note *records* on *key* if one of them waits for pods or may be one of these. Pods are counted first."""
        if any(each.expected is not None for each in records):
            self._sessions.append((key, records))
        elif any(each.part_of for each in records):
            self._update_hold(key, records)

    def _update_hold(self, key: ObjectKey, records: Sequence[Row | Reservation]) -> None:
        def subjects(account: Account, namespace: str) -> tuple[Subject, ...]:
            return (self._selection.subject,) if self._is_charged(account, namespace) else ()

        self._holds.update(key, records, subjects=subjects, derive=self._scene.policy.devices.derive)

    def _add_hold(self, key: ObjectKey, records: Sequence[Row | Reservation]) -> None:
        """Add what is held for the pods of the session *key*."""
        selection = self._selection
        if selection.resource and key.resource != selection.resource:
            return
        if selection.terms:
            rows = (each for each in records if isinstance(each, Row))
            if not self._has_tags(next((row for row in rows if self._is_charged(row.account, key.namespace)), None)):
                return
        derive = self._scene.policy.devices.derive
        names = {name for each in records if each.expected is not None for name, _ in derive(each.expected.amounts)}
        held = tuple((name, self._holds.held(key, selection.subject, name)) for name in sorted(names))
        held = tuple(each for each in held if each[1])
        self._add(held, 1)
        found = self._found.get(key)
        if held and found is not None:
            is_kept = any(each.expected is not None and each.expected.is_kept for each in records)
            waits = State.MAY_GROW if is_kept else State.STARTING
            state = waits if found.state in (State.USED, State.GROWING) else found.state
            self._found[key] = replace(found, state=state, reserved=_both(found.reserved, held))

    # The page.

    def _is_wanted(self, key: ObjectKey) -> bool:
        """Whether *key* may be on the page, or in the sums."""
        return self._after is None or (key > self._after and self._is_before_end(key))

    def _is_before_end(self, key: ObjectKey) -> bool:
        return self._last is None or key <= self._last

    def _keep(self, found: Allocation) -> None:
        if self._is_before_end(found.key):
            self._found[found.key] = found
            if len(self._found) > 4 * self._limit:
                self._prune()

    def _prune(self) -> list[ObjectKey]:
        """Drop what is behind the page; return the keys on it, sorted."""
        keys = sorted(self._found)
        if len(keys) > self._limit:
            for key in keys[self._limit :]:
                del self._found[key]
            del keys[self._limit :]
            self._last = keys[-1]
        return keys

    def _add(self, amounts: Amounts, column: int, *, times: int = 1) -> None:
        for name, amount in amounts:
            self._sums.setdefault(name, [0, 0])[column] += amount * times


def _both(one: Amounts, other: Amounts) -> Amounts:
    total: dict[str, Amount] = dict(one)
    for name, amount in other:
        total[name] = total.get(name, 0) + amount
    return tuple(sorted(total.items()))
