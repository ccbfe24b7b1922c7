"""
The amount of each name over the last minutes: a replica may have seen any of them, because its watch may be late.
"""

from __future__ import annotations

from collections import defaultdict, deque
from functools import partial

from nemesis.accounting import Key
from nemesis.ledger_text import Amount
from nemesis.records import Slot

_REMEMBERED = 240.0
"""Seconds. No look back is longer: the longest fault and the longest request together."""


class Counted:
    """The amount of each name under each key over the last minutes, and when the cost of its object changed."""

    def __init__(self) -> None:
        self._changed: defaultdict[Slot, deque[float]] = defaultdict(partial(deque, maxlen=100))
        self._now: defaultdict[Key, dict[Slot, tuple[float, Amount]]] = defaultdict(dict)
        self._past: defaultdict[Key, deque[tuple[float, float, Slot, Amount]]] = defaultdict(deque)

    def change(self, at: float, slot: Slot, key: Key, before: Amount, now: Amount) -> None:
        """Record a change: see `world.OnChange`."""
        known = self._now[key].pop(slot, None)
        if known is not None:
            past = self._past[key]
            past.append((known[0], at, slot, before))
            while past[0][1] < at - _REMEMBERED:
                past.popleft()
        if now:
            self._now[key][slot] = (at, now)

    def changed(self, at: float, slot: Slot) -> None:
        """Record that the cost of the object of that name changed, or that it was deleted."""
        self._changed[slot].append(at)

    def has_changed(self, slot: Slot, begun: float, ended: float) -> bool:
        """Whether that happened between two times."""
        return any(begun <= at <= ended for at in self._changed[slot])

    def most(self, key: Key, begun: float, ended: float) -> Amount:
        """Return the sum of the largest amount of each name at any time between two."""
        return sum(self.largest(key, begun, ended).values())

    def largest(self, key: Key, begun: float, ended: float) -> dict[Slot, Amount]:
        """Return the largest amount of each name at any time between two."""
        most = {slot: amount for slot, (since, amount) in self._now[key].items() if since <= ended}
        for since, until, slot, amount in reversed(self._past[key]):
            if until < begun:
                break
            if since <= ended:
                most[slot] = max(most.get(slot, 0), amount)
        return most
