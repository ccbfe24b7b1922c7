"""
How long a session may run, and may be idle: the names, and durations as platforms and people write them, exact.

A duration is in nanoseconds, which are billionths of its unit as with every other amount.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from webhook.quota.errors import WebhookError

DURATION, IDLE = "duration", "idle"
TIMES = frozenset({DURATION, IDLE})
"""What a cap on one session may bound besides its resources."""

_SECOND = 1_000_000_000
_UNITS = {
    "h": 3600 * _SECOND,
    "m": 60 * _SECOND,
    "s": _SECOND,
    "ms": _SECOND // 1000,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ns": 1,
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|m|s|us|µs|μs|ns)", re.ASCII)
_LONGEST = 2**63 - 1
"""The longest duration that Go has, about 292 years."""
_LONGEST_TEXT = 64


class Times(NamedTuple):
    """
    The times that a session sets, by name, and those that it leaves `open`: each with its field, and what that has.

    A time that the preset has no field for is in neither.
    """

    asked: tuple[tuple[str, int], ...] = ()
    open: tuple[tuple[str, str], ...] = ()


NO_TIMES = Times()


class DurationError(WebhookError, ValueError):
    """A text or number that is no duration."""

    def __init__(self, written: str | int, why: str) -> None:
        """Keep what is wrong with it."""
        super().__init__(f"{str(written)[:_LONGEST_TEXT]!r} is no duration: {why}")


def parse(written: str | int) -> int:
    """
    Return a whole number of seconds, or a text such as `8h` or `1h30m`, in nanoseconds, rounded up.

    Texts are read as Go reads them (`time.ParseDuration`), but never as negative. Raises: DurationError.
    """
    if isinstance(written, int):
        return _bounded(written, written * _SECOND)
    if not written or len(written) > _LONGEST_TEXT:
        raise DurationError(written, "expected one such as 8h or 1h30m")
    if written == "0":
        return 0
    total, rest = Fraction(0), written
    while rest:
        found = _PART.match(rest)
        if found is None:
            raise DurationError(written, "expected one such as 8h or 1h30m")
        total += Fraction(f"0{found[1]}") * _UNITS[found[2]]
        rest = rest[found.end() :]
    return _bounded(written, -(-total.numerator // total.denominator))


def _bounded(written: str | int, nanos: int) -> int:
    if nanos < 0:
        raise DurationError(written, "it is negative")
    if nanos > _LONGEST:
        raise DurationError(written, "it is longer than 292 years")
    return nanos


def show(nanos: int) -> str:
    """Return a duration as people write it: `8h`, `1h30m`, `45s`, `1.5s`."""
    seconds, rest = divmod(nanos, _SECOND)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    parts = [f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m")) if number]
    if seconds or rest or not parts:
        parts.append(f"{seconds}{fraction}s")
    return "".join(parts)
