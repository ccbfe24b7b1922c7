"""
Periods of a calendar, as contracts name them: a year is one whether it has a leap day or not.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

from dateutil.relativedelta import relativedelta

from webhook.quota.errors import WebhookError

_UNITS = ("year", "month", "day", "hour")
_PART = re.compile(rf"([0-9]{{1,6}}) ({'|'.join(_UNITS)})s?", re.ASCII)
_LONGEST_TEXT = 100
_EXPECTED = "expected one such as 1 year, 3 months or 90 days"


class PeriodError(WebhookError, ValueError):
    """A text that is no period, or one that no calendar has an end for."""

    def __init__(self, written: str, why: str) -> None:
        """Keep what is wrong with it."""
        super().__init__(f"{written[:_LONGEST_TEXT]!r} is no period: {why}")


class Period(NamedTuple):
    """So many years and months of a calendar, and then so many days of 24 hours and hours."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0

    def after(self, moment: datetime) -> datetime:
        """
        Return when a period that begins at *moment* is over.

        A day that its month does not have is the last one of that month: a year from 29 February on ends on
        28 February. Raises: PeriodError for an end after the year 9999.
        """
        try:
            end: datetime = moment + relativedelta(**self._asdict())  # type: ignore[no-untyped-call]
        except (OverflowError, ValueError) as error:
            raise PeriodError(str(self), "it ends after the year 9999") from error
        return end

    def __str__(self) -> str:
        parts = [(number, unit) for number, unit in zip(self, _UNITS, strict=True) if number]
        return ", ".join(f"{number} {unit}{'' if number == 1 else 's'}" for number, unit in parts)


def parse(written: str) -> Period:
    """
    Return the period in a text such as `1 year, 3 months`: numbers and units, the larger before the smaller, each once.

    Raises: PeriodError.
    """
    found: dict[str, int] = {}
    for part in written.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise PeriodError(written, "it is negative" if part.strip().startswith("-") else _EXPECTED)
        unit = match[2]
        if any(_UNITS.index(each) >= _UNITS.index(unit) for each in found):
            raise PeriodError(written, f"{unit}s stand behind what is as short or shorter")
        found[unit] = int(match[1])
    if not any(found.values()):
        raise PeriodError(written, "it is over when it begins")
    return Period(*(found.get(unit, 0) for unit in _UNITS))
