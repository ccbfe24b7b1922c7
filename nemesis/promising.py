"""
The commitments of a run and the nodes that they are of, drawn from the seed: the pools are small, and people ask for
more than there is.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from typing import NamedTuple

from nemesis.records import CLASS_LABEL, ZONE_LABEL

Entries = Mapping[str, Mapping[str, object]]

ZONED, WHOLE = "fast", "big"
"""The classes: of the first zones are promised, of the second the class as a whole."""

ZONES = ("a", "b", "c")

_HOLDERS = (
    ("user", "alice"),
    ("user", "bob"),
    ("user", "carol"),
    ("user", "dave"),
    ("group", "ml"),
    ("group", "staff"),
    ("namespace", "nemesis-a"),
    ("tenant", "north"),
)
_BASE: Entries = {
    "base-zoned": {"tenant": "north", "nodeClass": ZONED, "zone": "a", "amounts": {"gpu": 1, "cpu": "20m"}},
    "base-whole": {"namespace": "nemesis-a", "nodeClass": WHOLE, "amounts": {"gpu": 1}},
}
"""They stay, so that each class always has some."""

_FEW, _MANY = 6, 14
_ACTIONS = {
    "confirm": 30,
    "move": 25,
    "resize": 15,
    "advance": 20,
    "end": 12,
    "withdraw": 8,
    "renew": 8,
    "break": 4,
}
_FOLLOWING = {
    "planned": ("pending", "guaranteed", "confirmed"),
    "pending": ("confirmed",),
    "guaranteed": ("confirmed",),
}
_OVER = ("superseded", "expired")


class MadeUpNode(NamedTuple):
    """A node that no kubelet runs on."""

    name: str
    node_class: str
    zone: str
    gpus: int
    cpu: int

    @property
    def labels(self) -> dict[str, str]:
        return {CLASS_LABEL: self.node_class, ZONE_LABEL: self.zone}

    def allocatable(self, share: float = 1.0) -> dict[str, str]:
        """Return what it has for pods, or a share of it."""
        return {"nvidia.com/gpu": str(int(self.gpus * share)), "cpu": f"{int(self.cpu * share)}m", "pods": "110"}


NODES = (
    *(MadeUpNode(f"fast-{zone}-{number}", ZONED, zone, 2, 50) for zone in ZONES for number in (1, 2)),
    *(MadeUpNode(f"big-{number}", WHOLE, ZONES[number], 2, 60) for number in (1, 2)),
)


class Draft(NamedTuple):
    """All commitments after an edit, and what it does in words."""

    entries: Entries
    what: str


class Book:
    """The commitments that are stored, and the next edits of them."""

    def __init__(self, seed: str) -> None:
        self.entries: Entries = _BASE
        self._random = random.Random(seed)
        self._numbers = count(1)

    def draft(self, now: float) -> Draft:
        """Return the next edit, at a time in seconds since 1970."""
        names = [name for name in self.entries if name not in _BASE]
        if len(names) > _MANY:
            over = [name for name in names if self._is_over(name, now)]
            return self._without(self._random.choice(over or names))
        what = "confirm"
        if len(names) >= _FEW:
            (what,) = self._random.choices(list(_ACTIONS), list(_ACTIONS.values()))
        if what == "confirm":
            return self._with(f"c-{next(self._numbers)}", self._made(now), "make")
        return self._changed(what, self._random.choice(names), now)

    def _changed(self, what: str, name: str, now: float) -> Draft:
        entry = dict(self.entries[name])
        match what:
            case "move":
                for kind in ("user", "group", "namespace", "tenant"):
                    entry.pop(kind, None)
                entry |= dict((self._random.choice(_HOLDERS),))
            case "resize":
                entry["amounts"] = self._amounts()
            case "advance":
                following = _FOLLOWING.get(str(entry["state"]), _OVER)
                # What is guaranteed needs a beginning. A mistake that is stored unjudged keeps all edits out of force.
                entry["state"] = self._random.choice(
                    [each for each in following if each != "guaranteed" or "from" in entry]
                )
            case "end":
                entry["until"] = _moment(max(now + self._random.uniform(2, 6), _seconds(entry.get("from"), now) + 1))
            case "renew":
                entry.pop("until", None)
            case "break":
                return self._broken(name, entry)
            case _:
                return self._without(name)
        return self._with(name, entry, what)

    def _broken(self, name: str, entry: dict[str, object]) -> Draft:
        """What no commitment may do, unless it is planned only: back to the beginning, or into another pool."""
        if "zone" in entry and self._random.random() < 0.5:
            entry["zone"] = self._random.choice(ZONES)
        else:
            entry["state"] = "pending"
        return self._with(name, entry, "break")

    def _made(self, now: float) -> dict[str, object]:
        state = self._random.choice(("confirmed", "confirmed", "confirmed", "guaranteed", "pending", "planned"))
        entry: dict[str, object] = dict((self._random.choice(_HOLDERS),))
        if self._random.random() < 0.75:
            entry |= {"nodeClass": ZONED, "zone": self._random.choice(ZONES)}
        else:
            entry |= {"nodeClass": WHOLE}
        entry |= {"amounts": self._amounts(), "state": state}
        begins = now + self._random.uniform(3, 12)
        if state == "guaranteed" or self._random.random() < 0.2:
            entry["from"] = _moment(begins)
        if self._random.random() < 0.6:
            entry["until"] = _moment(begins + self._random.uniform(4, 25))
        return entry

    def _amounts(self) -> dict[str, object]:
        amounts: dict[str, object] = {"gpu": self._random.choice((1, 1, 2, 3))}
        if self._random.random() < 0.5:
            amounts["cpu"] = f"{self._random.choice((15, 30, 45))}m"
        return amounts

    def _is_over(self, name: str, now: float) -> bool:
        entry = self.entries[name]
        return entry["state"] in _OVER or _seconds(entry.get("until"), now + 1) <= now

    def _with(self, name: str, entry: Mapping[str, object], what: str) -> Draft:
        return Draft({**self.entries, name: entry}, f"{what} {name}")

    def _without(self, name: str) -> Draft:
        return Draft({each: entry for each, entry in self.entries.items() if each != name}, f"withdraw {name}")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(moment: object, otherwise: float) -> float:
    return otherwise if moment is None else datetime.fromisoformat(str(moment)).timestamp()
