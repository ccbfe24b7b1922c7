"""
The ledger that replicas share: what is in flight, and how far a replica must have seen before it may decide.

A value: every write makes a new one. Its text is `codec`; swapping it is `stored_ledger`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

from webhook.quota.demand import LimitKey
from webhook.quota.promises import MarkedEdit
from webhook.quota.reservation import Reservation
from webhook.quota.resources import Amount

_FIRST = "first-"

Room: TypeAlias = Mapping[LimitKey, Amount]
"""An amount above zero for each limit key."""


class SettledVersion(NamedTuple):
    """The version at which an object of `resource` was seen, or gone; 0 if there is nothing to see."""

    resource: str
    version: int


class Grant(NamedTuple):
    """
    What the replica `holder` may allow in its memory, and what it has allowed so and its watch had not shown.

    There may be objects of `resources` among that.
    """

    holder: str
    resources: tuple[str, ...]
    room: Room


@dataclass(frozen=True, slots=True)
class Ledger:
    """
    One version of the shared ledger.

    Each reservation has a token that is used once. A replica that holds the same attempt again uses a new one, so that
    its time starts again. `settled_through` is, per charged resource, the highest version at which an object was seen,
    or read by a quorum, of which nothing is here because of that: no reservation any more, and no room in a grant. A
    replica that has not seen that far would count it nowhere.

    `epoch` is new after each loss. A ledger that is not open was lost: nothing is allowed until what was in flight at
    the loss can no longer be persisted. `write` counts the versions of an epoch.

    `age` is for how many milliseconds, at least, this epoch has existed; `waited` is the same for each token, and lacks
    those that are not written yet. Each replica counts on from the highest value it has read, and writes its own. So
    ages outlive crashes, and never exceed the time that has passed. Each token has its own age: derived from the
    ledger's, of which one replica may know less than another, it could be overestimated.

    `edits`, by token, are those of what is promised; `policy_version` is that of the last one that a replica saw in
    force, and `promised_at`, in microseconds since 1970, the time up to which promises have begun and ended for all.
    See `PromiseOrder`.

    `grants`, by token, are those of replicas, one of each at most. `recalls`, by token, are the limit keys of which
    grants are to be given back. See `Grants`.
    """

    epoch: str
    is_open: bool
    write: int = 0
    settled_through: Mapping[str, int] = field(default_factory=dict)
    reservations: Mapping[str, Reservation] = field(default_factory=dict)
    age: int = 0
    waited: Mapping[str, int] = field(default_factory=dict)
    edits: Mapping[str, MarkedEdit] = field(default_factory=dict)
    policy_version: int = 0
    promised_at: int = 0
    grants: Mapping[str, Grant] = field(default_factory=dict)
    recalls: Mapping[str, tuple[LimitKey, ...]] = field(default_factory=dict)

    @property
    def tokens(self) -> Iterator[str]:
        """The tokens of all reservations, edits and grants: of what has an age."""
        yield from self.reservations
        yield from self.edits
        yield from self.grants

    @property
    def is_first(self) -> bool:
        """Whether this epoch followed no other."""
        return self.epoch.startswith(_FIRST)

    @classmethod
    def first(cls, epoch: str) -> Ledger:
        """
        Return the ledger of an installation that was never asked: it is opened at once.

        It is not open when it is created, because its text does not name its object yet: a copy of such a text must
        never be an open ledger.
        """
        return cls(_FIRST + epoch, is_open=False)

    @classmethod
    def rebuilding(cls, epoch: str) -> Ledger:
        """Return the ledger that takes the place of one that was lost."""
        return cls(epoch, is_open=False)

    def opened(self, newest: Mapping[str, int], *, policy_version: int = 0) -> Ledger:
        """
        Return the ledger as it is opened after a loss; *newest* is the highest version of each charged resource, and
        *policy_version* that of the policy.

        A replica must have seen that far before it decides: what was in flight is stored by now, or never will be.
        """
        write = self.write + 1
        return replace(self, is_open=True, write=write, settled_through=dict(newest), policy_version=policy_version)

    def aged(self, age: int, waited: Mapping[str, int]) -> Ledger:
        """Return this version with its *age* by now and what each token has *waited*: 0 if it is new."""
        return replace(self, age=max(age, self.age), waited={token: waited.get(token, 0) for token in self.tokens})

    def followed(
        self, *, without: Mapping[str, int], replaced: Iterable[str], new: Mapping[str, Reservation]
    ) -> Ledger:
        """
        Return the next version: without what was finished or *replaced*, and with *new* reservations.

        *without* maps each finished token to the version at which its object was seen, 0 if there is nothing to see.
        """
        known = self.reservations
        seen = (
            SettledVersion(known[token].key.resource, seen_at) for token, seen_at in without.items() if token in known
        )
        left_out = without.keys() | set(replaced)
        kept = {token: each for token, each in known.items() if token not in left_out}
        return replace(self.settled(*seen), write=self.write + 1, reservations={**kept, **new})

    def settled(self, *versions: SettledVersion) -> Ledger:
        """Return this version, through which a resource is settled up to each of the *versions*; 0 raises nothing."""
        settled_through = dict(self.settled_through)
        for resource, version in versions:
            if version > settled_through.get(resource, 0):
                settled_through[resource] = version
        return replace(self, settled_through=settled_through)
