"""
The ledger that replicas share: what is in flight, and how far a replica must have seen before it may decide.

A value: every write makes a new one. How it is written down: see `documents.ledger_text`; swapping: see the adapter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from webhook.quota.reservation import Reservation

_FIRST = "first-"


@dataclass(frozen=True, slots=True)
class Ledger:
    """
    One version of the shared ledger.

    `reservations` go by a token that is given once: whoever holds the same attempt anew gives it a new one, so that its
    time starts anew. `settled_through` tells, per charged resource, the highest version at which an
    object was seen whose reservation was taken out because of that: who has not seen that far would count it nowhere.

    `epoch` is new after each loss. A ledger that is not open was lost: nothing is allowed until what was in flight when
    it got lost can no longer be persisted. `write` counts the versions of an epoch.

    `age` tells for how many milliseconds this epoch has been there, at least, `waited` the same of each token; those
    that are not written yet lack it. Each replica counts on from the most that it has seen, and writes down how far it
    is. So they outlive crashes, and never run ahead of the time that has passed. A token has a count of its own: by the
    age, of which one replica may know less than another, it could seem older than it is.
    """

    epoch: str
    is_open: bool
    write: int = 0
    settled_through: Mapping[str, int] = field(default_factory=dict)
    reservations: Mapping[str, Reservation] = field(default_factory=dict)
    age: int = 0
    waited: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_first(self) -> bool:
        """Whether this epoch followed no other."""
        return self.epoch.startswith(_FIRST)

    @classmethod
    def first(cls, epoch: str) -> Ledger:
        """
        Give the ledger of an installation that has never been asked: it is opened at once.

        Not as it is made, when its text does not name the object it lies in yet: a copy of such a text is never open.
        """
        return cls(_FIRST + epoch, is_open=False)

    @classmethod
    def rebuilding(cls, epoch: str) -> Ledger:
        """Give the ledger that takes the place of one that was lost."""
        return cls(epoch, is_open=False)

    def opened(self, newest: Mapping[str, int]) -> Ledger:
        """
        Give the ledger as it is opened after a loss; *newest* is the highest version of each charged resource.

        Whoever decides has to have seen that far: what was in flight is stored by now, or never will be.
        """
        return replace(self, is_open=True, write=self.write + 1, settled_through=dict(newest))

    def aged(self, age: int, waited: Mapping[str, int]) -> Ledger:
        """Give this version with its *age* by now and what each token has *waited*: nothing if it is new."""
        return replace(
            self, age=max(age, self.age), waited={token: waited.get(token, 0) for token in self.reservations}
        )

    def followed(
        self, *, without: Mapping[str, int], replaced: Iterable[str], new: Mapping[str, Reservation]
    ) -> Ledger:
        """
        Give the next version: less what was finished or *replaced*, and with *new* reservations.

        *without* tells for each finished token at what version its object was seen, 0 where there is nothing to see.
        """
        settled_through = dict(self.settled_through)
        for token, seen_at in without.items():
            if seen_at and token in self.reservations:
                resource = self.reservations[token].key.resource
                settled_through[resource] = max(seen_at, settled_through.get(resource, 0))
        left_out = without.keys() | set(replaced)
        kept = {token: each for token, each in self.reservations.items() if token not in left_out}
        return replace(self, write=self.write + 1, settled_through=settled_through, reservations={**kept, **new})
