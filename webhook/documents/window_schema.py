"""
The texts of a window: days of the week, times of day, and the zone of the clock that shows them.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from datetime import time
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator

from webhook.documents import json_forms
from webhook.quota.windows import DAYS

_DAY = "|".join(DAYS)
_DAYS = re.compile(rf"({_DAY})(-({_DAY}))?", re.ASCII)
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)


def _read_days(value: Any) -> frozenset[int]:
    found = _DAYS.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"expected a day or days, as in sat or mon-fri; they are {', '.join(DAYS)}")
    first = DAYS.index(found[1])
    last = DAYS.index(found[3] or found[1])
    return frozenset((first + each) % len(DAYS) for each in range((last - first) % len(DAYS) + 1))


def _read_time(value: Any) -> time:
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('expected a time of day in quotes, as in "06:00"; midnight is "00:00"')
    return time(int(found[1]), int(found[2]))


def _read_zone(value: Any) -> zoneinfo.ZoneInfo:
    if not isinstance(value, str):
        raise ValueError("expected a time zone, as in Europe/Berlin")  # noqa: TRY004 - pydantic reports a ValueError
    found = _zone(value)
    if isinstance(found, str):
        raise ValueError(found)  # noqa: TRY004 - as above
    return found


@lru_cache(maxsize=1024)
def _zone(name: str) -> zoneinfo.ZoneInfo | str:
    """Return the zone, or what is wrong: thousands of entries may have the same one, and to look for others is slow."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = zoneinfo.available_timezones()
    if not known:
        return "this machine has no data of time zones: install tzdata, of the system or of Python"
    close = difflib.get_close_matches(name, sorted(known), n=1)
    meant = f", did you mean {close[0]}?" if close else "; the names are those of IANA, as in Europe/Berlin"
    return f"there is no time zone {name}{meant}"


DayRange = Annotated[Any, BeforeValidator(_read_days), json_forms.whole(_DAYS)]
TimeOfDay = Annotated[Any, BeforeValidator(_read_time), json_forms.whole(_TIME)]
Zone = Annotated[Any, BeforeValidator(_read_zone), json_forms.NAME]
