"""
The names of amounts that stand for a choice of devices: `device/<class>`, `device/<class>*2|<other class>*1`.

A claim may take either one large device or several small ones, and only such a name can say so. No policy can limit
these amounts; what they are worth in other resources is not here.
"""

from __future__ import annotations

from collections.abc import Iterable

HIDDEN_PREFIX = "device/"
"""Begins these names. They are left out of what is derived for limits."""

_TIMES = "*"
_OR = "|"


def name_of_choice(alternatives: Iterable[tuple[str, int]]) -> str:
    """
    Return the name of an amount of which one unit is any one of *alternatives*: so many devices of a device class.

    Equal choices have equal names: classes are sorted, and of a class that is given twice the larger number counts.
    One device of one class is `device/<class>`.
    Raises: ValueError for no alternative, for less than one device, for a class that is empty or contains `*` or `|`.
    """
    most: dict[str, int] = {}
    for name, number in alternatives:
        if not name or _TIMES in name or _OR in name:
            raise ValueError(f"{name!r} is no device class")
        if number < 1:
            raise ValueError(f"{number} devices are no choice")
        most[name] = max(number, most.get(name, 0))
    if not most:
        raise ValueError("there is nothing to choose from")
    if len(most) == 1 and 1 in most.values():
        return HIDDEN_PREFIX + next(iter(most))
    return HIDDEN_PREFIX + _OR.join(f"{name}{_TIMES}{number}" for name, number in sorted(most.items()))


def alternatives_of(name: str) -> tuple[tuple[str, int], ...] | None:
    """Return the alternatives of which one unit of the amount *name* is one, sorted; None for any other name."""
    if not name.startswith(HIDDEN_PREFIX):
        return None
    alternatives = []
    for part in name.removeprefix(HIDDEN_PREFIX).split(_OR):
        device_class, times, number = part.partition(_TIMES)
        alternatives.append((device_class, number if times else "1"))
    try:
        read = tuple((device_class, int(number)) for device_class, number in alternatives)
        return read if name_of_choice(read) == name else None
    except ValueError:
        return None
