"""
The book of usage: what objects that exist cost (`used`) and what is held for those in flight (`reserved`).

A plain data structure: no I/O, no clock, no locks; one thread keeps it. A change costs the same however many objects
there are, and a decision reads sums. When a reservation may be dropped unseen is told by `reconcile`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from msgspec import Struct

from webhook.quota import resources
from webhook.quota.errors import WebhookError
from webhook.quota.objects import ObjectKey
from webhook.quota.reservation import PendingWrites, Reservation
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import Payer, Subject

Bind = Callable[[Payer, str], tuple[Subject, ...]]
"""Tells on whose accounts an object of a payer in a namespace is booked."""

T = TypeVar("T")

_NOTHING: dict[str, Amount] = {}

_MAX_SHARED = 65536
"""Distinct amounts and payers kept once; beyond that the table starts anew, which costs memory and nothing else."""

_MOST_GONE = 10_000
"""Uids of objects that went last. Needed for as long as a reservation of theirs may still be read somewhere."""

_MIN_ROOM = 4096
"""Payers in namespaces that are remembered before those who are gone are looked for, which walks through all rows."""


class UsageView(Protocol):
    """What a decision reads of usage: the index of a replica, a snapshot, or either with a change tried on top."""

    def used(self, subject: Subject, name: str) -> Amount:
        """Return what existing objects of *subject* cost of resource *name*."""

    def reserved(self, subject: Subject, name: str) -> Amount:
        """Return what is held for *subject* beyond `used`."""

    def allocated(self, subject: Subject, name: str) -> Amount:
        """Return `used + reserved`, in one step."""

    def held(self, key: ObjectKey, subject: Subject, name: str) -> Amount:
        """Return how much of `used + reserved` is due to *key*: the largest of all writes pending on it."""

    def subjects(self) -> Iterator[Subject]:
        """Return every subject that uses or holds something."""


class StaleListError(WebhookError):
    """A list from the API is older than what the watch has shown already: it must not move the book back."""


class Row(Struct, frozen=True, gc=False):
    """An object as last seen. There are as many as pods: small, and nothing that the garbage collector looks at."""

    uid: str
    version: int
    payer: Payer
    amounts: Amounts


class UsageIndex:
    """What every subject uses, kept up to date by sightings of objects and by reservations."""

    def __init__(self, bind: Bind) -> None:
        """Start empty. *bind* must give the same answer for the same question until rebound."""
        self._bind = bind
        self._bound: dict[str, dict[Payer, tuple[Subject, ...]]] = {}  # by namespace
        self._bound_room = _MIN_ROOM
        self._rows: dict[str, dict[str, Row]] = defaultdict(dict)
        self._claims: dict[ObjectKey, PendingWrites] = {}
        self._pending_count = 0
        self._used: dict[Subject, dict[str, Amount]] = {}
        self._reserved: dict[Subject, dict[str, Amount]] = {}
        self._listed: dict[str, set[str]] = {}
        self._position: dict[str, int] = defaultdict(int)
        self._gone: dict[str, None] = {}
        self._payers: dict[Payer, Payer] = {}
        self._amounts: dict[Amounts, Amounts] = {}

    # What a decision reads.

    def used(self, subject: Subject, name: str) -> Amount:
        """Give what existing objects of *subject* cost of resource *name*."""
        return self._used.get(subject, {}).get(name, 0)

    def reserved(self, subject: Subject, name: str) -> Amount:
        """Give what is held for *subject* beyond `used`."""
        return self._reserved.get(subject, {}).get(name, 0)

    def allocated(self, subject: Subject, name: str) -> Amount:
        """Give `used + reserved`, in one step: what nearly every decision needs, and nothing else."""
        return self._used.get(subject, _NOTHING).get(name, 0) + self._reserved.get(subject, _NOTHING).get(name, 0)

    def held(self, key: ObjectKey, subject: Subject, name: str) -> Amount:
        """Give how much of `used + reserved` is due to *key*: the largest claim on that name."""
        claims = [
            dict(amounts).get(name, 0)
            for payer, amounts in self._claimants(key)
            if subject in self._subjects(payer, key.namespace)
        ]
        return max(claims, default=0)

    def position(self, resource: str) -> int:
        """Give the highest resource version up to which changes of *resource* are known."""
        return self._position[resource]

    def row(self, key: ObjectKey) -> Row | None:
        """Give the object that was last seen under that name."""
        return self._rows[key.resource].get(_path(key))

    def rows(self, resource: str) -> int:
        """Give how many objects of *resource* are known."""
        return len(self._rows[resource])

    def snapshot(self, resource: str) -> dict[str, Row]:
        """Give a copy of all rows of *resource* by `namespace/name`, which another thread may look through."""
        return self._rows[resource].copy()

    def reservations(self) -> Iterator[Reservation]:
        """Give everything that is in flight."""
        for claims in self._claims.values():
            yield from claims

    @property
    def pending_count(self) -> int:
        """How many reservations are in flight, in constant time."""
        return self._pending_count

    def is_gone(self, uid: str) -> bool:
        """Say whether an object was seen to be gone not long ago; of those that went longer ago nothing is known."""
        return uid in self._gone

    def claims(self, key: ObjectKey) -> tuple[Reservation, ...]:
        """Give what is held on one name, the oldest first."""
        return tuple(self._claims.get(key, ()))

    def subjects(self) -> Iterator[Subject]:
        """Return every subject that uses or holds something."""
        return iter(self._used.keys() | self._reserved.keys())

    # Reservations.

    def reserve(self, reservation: Reservation) -> None:
        """Hold *reservation*, as `PendingWrites.add` does."""
        key = reservation.key
        self._book_claims(key, -1)
        claims = self._claims.setdefault(key, PendingWrites())
        self._pending_count += reservation not in claims
        claims.add(reservation)
        self._book_claims(key, 1)

    def drop(self, *reservations: Reservation) -> None:
        """Let go of *reservations* that are still held. Safe only once they can no longer be persisted unseen."""
        by_key: dict[ObjectKey, list[Reservation]] = defaultdict(list)
        for each in reservations:
            by_key[each.key].append(each)
        for key, dropped in by_key.items():
            claims = self._claims.get(key, PendingWrites())
            self._book_claims(key, -1)
            for each in dropped:
                if each in claims:
                    claims.remove(each)
                    self._pending_count -= 1
            self._book_claims(key, 1)
            if not claims:
                self._claims.pop(key, None)

    # Sightings.

    def observe(self, key: ObjectKey, row: Row) -> tuple[Reservation, ...]:
        """
        Take in that *row* exists under the name *key*; give the reservations that this settles.

        Old news (a version not above what is known) changes nothing, however often and in whatever order it comes.
        """
        path = _path(key)
        listed = self._listed.get(key.resource)
        if listed is not None:
            listed.add(path)
        elif row.version <= self._position[key.resource]:
            return ()
        rows = self._rows[key.resource]
        known = rows.get(path)
        if known is not None and row.version <= known.version:
            return ()
        if known is not None and known.amounts == row.amounts and known.payer == row.payer and key not in self._claims:
            rows[path] = Row(row.uid, row.version, known.payer, known.amounts)  # most events change nothing that counts
            return ()
        shared = Row(row.uid, row.version, _once(self._payers, row.payer), _once(self._amounts, row.amounts))
        self._replace(key, shared)
        return self._settle(key, row.uid, row.version)

    def release(self, key: ObjectKey, uid: str, version: int, amounts: Amounts) -> None:
        """Count *amounts* for an object that costs less by now, though nothing changed it since *version*."""
        row = self.row(key)
        if row is not None and (row.uid, row.version) == (uid, version):
            self._replace(key, Row(uid, version, row.payer, _once(self._amounts, amounts)))

    def forget(self, key: ObjectKey, uid: str, version: int) -> tuple[Reservation, ...]:
        """
        Take in that the object *uid* was gone, or cost nothing, at *version*; give the reservations that this settles.

        Old news changes nothing: a session that runs again stays, though an old list still shows it stopped.
        """
        if version <= self._position[key.resource] and key.resource not in self._listed:
            return ()
        known = self.row(key)
        if known is not None and known.uid == uid:
            if version < known.version:
                return ()
            self._replace(key, None)
        self._note_gone(uid)
        return self._settle(key, uid, version)

    def reached(self, resource: str, version: int) -> None:
        """Take in that all changes of *resource* up to *version* have been told."""
        self._position[resource] = max(version, self._position[resource])

    def list_started(self, resource: str) -> None:
        """Begin to compare with a full list: what is not observed until `list_finished` is gone."""
        self._listed[resource] = set()

    def list_finished(self, resource: str, version: int) -> tuple[Reservation, ...]:
        """
        Remove what the list did not show; give the reservations that this settles.

        Raises: StaleListError if the list is older than what is known. Nothing is removed then, not even what only this
        list has shown: list again.
        """
        listed = self._listed.pop(resource)
        if version < self._position[resource]:
            raise StaleListError(f"the list of {resource} is of version {version}, {self._position[resource]} was seen")
        rows = self._rows[resource]
        settled: list[Reservation] = []
        for path in [path for path, known in rows.items() if path not in listed and known.version <= version]:
            key, uid = ObjectKey(resource, *path.split("/", 1)), rows[path].uid
            self._replace(key, None)
            self._note_gone(uid)
            settled += self._settle(key, uid, version)
        self.reached(resource, version)
        return tuple(settled)

    def rebind(self, bind: Bind) -> None:
        """Use another *bind* from now on. Sums are worked out anew only if somebody's accounts changed."""
        known, self._bind = self._bound, bind
        if sum(map(len, known.values())) > self._bound_room:
            known = self._pairs_in_use()
            self._bound_room = max(_MIN_ROOM, 2 * sum(map(len, known.values())))
        self._bound = {name: self._bound_anew(name, payers) for name, payers in known.items()}
        if self._bound != known:
            self._recount()

    def rebind_namespace(self, name: str) -> None:
        """
        Bind anew what is booked in one namespace, whose labels changed, say.

        If accounts changed by that, all rows are looked through for those of the namespace: 4 ms for 20 000.
        """
        known = self._bound.get(name, {})
        bound = self._bound_anew(name, known)
        if bound == known:
            return
        rows, claimed = self._rows_in(name), [key for key in self._claims if key.namespace == name]
        self._book(rows, claimed, -1)
        self._bound[name] = bound
        self._book(rows, claimed, 1)

    # Keeping the sums.

    def _note_gone(self, uid: str) -> None:
        self._gone[uid] = None
        if len(self._gone) > _MOST_GONE:
            del self._gone[next(iter(self._gone))]

    def _replace(self, key: ObjectKey, row: Row | None) -> None:
        self._book_claims(key, -1)
        rows, path = self._rows[key.resource], _path(key)
        known = rows.pop(path, None)
        if known is not None:
            self._book_row(key, known, -1)
        if row is not None:
            rows[path] = row
            self._book_row(key, row, 1)
        self._book_claims(key, 1)

    def _settle(self, key: ObjectKey, uid: str, version: int) -> tuple[Reservation, ...]:
        claims = self._claims.get(key)
        if not claims:
            return ()
        settled = tuple(claim for claim in claims if claim.uid == uid and claim.base < version)
        self.drop(*settled)
        return settled

    def _book_row(self, key: ObjectKey, row: Row, sign: int) -> None:
        for subject in self._subjects(row.payer, key.namespace):
            _add(self._used, subject, row.amounts, sign)

    def _book_claims(self, key: ObjectKey, sign: int) -> None:
        """Book what the claims on *key* hold beyond the object that exists there."""
        claims = self._claims.get(key)
        if not claims:
            return
        row = self.row(key)
        most = claims.most()
        if row is None and len(most) == 1:  # nearly always: one create in flight
            ((payer, amounts),) = most.items()
            for subject in self._subjects(payer, key.namespace):
                _add(self._reserved, subject, amounts, sign)
            return
        by_subject: dict[Subject, list[Amounts]] = defaultdict(list)
        for payer, amounts in most.items():
            for subject in self._subjects(payer, key.namespace):
                by_subject[subject].append(amounts)
        of_row = self._subjects(row.payer, key.namespace) if row is not None else ()
        for subject, several in by_subject.items():
            seen = dict(row.amounts) if row is not None and subject in of_row else {}
            beyond = ((name, amount - seen.get(name, 0)) for name, amount in resources.most_amounts(several).items())
            _add(self._reserved, subject, tuple(each for each in beyond if each[1] > 0), sign)

    def _claimants(self, key: ObjectKey) -> Iterator[tuple[Payer, Amounts]]:
        row = self.row(key)
        if row is not None:
            yield row.payer, row.amounts
        if key in self._claims:
            yield from self._claims[key].most().items()

    def _subjects(self, payer: Payer, namespace: str) -> tuple[Subject, ...]:
        of_namespace = self._bound.get(namespace)
        if of_namespace is None:
            of_namespace = self._bound[namespace] = {}
        bound = of_namespace.get(payer)
        if bound is None:
            bound = of_namespace[payer] = self._bind(payer, namespace)
        return bound

    def _bound_anew(self, namespace: str, payers: Iterable[Payer]) -> dict[Payer, tuple[Subject, ...]]:
        return {payer: self._bind(payer, namespace) for payer in payers}

    def _pairs_in_use(self) -> dict[str, dict[Payer, tuple[Subject, ...]]]:
        """Return what is bound for the payers and namespaces of rows and reservations that are known."""
        booked = {(path.split("/", 1)[0], row.payer) for rows in self._rows.values() for path, row in rows.items()}
        booked |= {(claim.key.namespace, claim.payer) for claim in self.reservations()}
        in_use: dict[str, dict[Payer, tuple[Subject, ...]]] = defaultdict(dict)
        for namespace, payer in booked:
            in_use[namespace][payer] = self._bound[namespace][payer]
        return dict(in_use)

    def _rows_in(self, namespace: str) -> list[tuple[ObjectKey, Row]]:
        prefix = f"{namespace}/"
        return [
            (ObjectKey(resource, *path.split("/", 1)), row)
            for resource, rows in self._rows.items()
            for path, row in rows.items()
            if path.startswith(prefix)
        ]

    def _book(self, rows: Iterable[tuple[ObjectKey, Row]], claimed: Iterable[ObjectKey], sign: int) -> None:
        for key, row in rows:
            self._book_row(key, row, sign)
        for key in claimed:
            self._book_claims(key, sign)

    def _recount(self) -> None:
        self._used.clear()
        self._reserved.clear()
        for resource, rows in self._rows.items():
            for path, row in rows.items():
                self._book_row(ObjectKey(resource, *path.split("/", 1)), row, 1)
        for key in self._claims:
            self._book_claims(key, 1)


def _add(sums: dict[Subject, dict[str, Amount]], subject: Subject, amounts: Amounts, sign: int) -> None:
    """Add *amounts* to a subject's sums; what comes to zero leaves no trace, so that the past costs no memory."""
    if not amounts:
        return
    of_subject = sums.get(subject)
    if of_subject is None:
        of_subject = sums[subject] = {}
    if sign > 0:
        for name, amount in amounts:
            total = of_subject.get(name)
            of_subject[name] = total + amount if total else amount  # shares the number while there is but one object
        return
    for name, amount in amounts:
        total = of_subject[name] - amount
        if total:
            of_subject[name] = total
        else:
            del of_subject[name]
    if not of_subject:
        del sums[subject]


def _once(known: dict[T, T], value: T) -> T:
    """Give the equal value that is kept already: a hundred thousand pods share a few dozen amounts."""
    if len(known) > _MAX_SHARED:
        known.clear()
    return known.setdefault(value, value)


def _path(key: ObjectKey) -> str:
    return f"{key.namespace}/{key.name}"
