"""
What several requests come to that are decided together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from webhook.quota.fitting import Fitting, Room
from webhook.quota.limits import Limit
from webhook.quota.resources import Amount, Amounts


class Left(NamedTuple):
    """A limit, and how much of it is taken once all that is allowed is stored."""

    limit: Limit
    taken: Amount

    @property
    def free(self) -> Amount:
        """The amount left under the limit, 0 if it is exceeded."""
        return max(self.limit.hard - self.taken, 0)


class Workload(NamedTuple):
    """The copies of a workload: what they are called, how many fit, and whether a schedule makes them."""

    noun: str
    fitting: Fitting
    is_later: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What one request comes to.

    `rooms` are what each limit left for it, `adds` what it would cost more than now, pods made for it included.
    `refusals` and `notes` are what its author would be told.
    """

    rooms: tuple[Room, ...] = ()
    adds: Amounts = ()
    workload: Workload | None = None
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether it is allowed, and with it all that is made for it."""
        return not self.refusals


class Together(NamedTuple):
    """The verdict on each request, in their order, and what is left of each limit that binds any of them."""

    verdicts: tuple[Verdict, ...]
    left: tuple[Left, ...]
