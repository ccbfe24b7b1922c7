"""
Moments, and times of the week that come again, as clocks on the wall show them: some hours of a day are skipped, some
come twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""The days of the week, in the order of their numbers in Python."""

_DAY = timedelta(days=1)


def written(moment: datetime) -> str:
    """Return *moment* as a policy has it: `2027-01-31T00:00:00Z`, or with the offset of another zone."""
    return moment.isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Window:
    """
    A window on some `days` of the week, by their numbers, from `begins` to `ends`: each is a time of day in `zone`.

    It belongs to the day on which it begins. One that ends at the time at which it begins or before, ends a day later.
    Each edge is the first moment of its day at which the clock shows this time or a later one: at the end of an hour
    that is skipped, and in the first of two hours that have the same name. So two windows that adjoin neither overlap
    nor leave a gap, on any day.
    """

    days: frozenset[int]
    begins: time
    ends: time
    zone: tzinfo

    def __str__(self) -> str:
        days = ",".join(name for number, name in enumerate(DAYS) if number in self.days)
        return f"{days} {self.begins:%H:%M}-{self.ends:%H:%M} {self.zone}"

    def holds(self, now: datetime) -> bool:
        """Whether *now* is inside the window; it is no more at the very moment of its end."""
        local = now.astimezone(self.zone)
        today = local.date()
        # The clock may be put back over midnight, so that a window of tomorrow has begun already.
        return any(self._holds_from(day, local) for day in (today - _DAY, today, today + _DAY))

    def _holds_from(self, day: date, local: datetime) -> bool:
        if day.weekday() not in self.days:
            return False
        last_day = day if self.begins < self.ends else day + _DAY
        begin, end = datetime.combine(day, self.begins), datetime.combine(last_day, self.ends)
        return self._has_come(begin, local) and not self._has_come(end, local)

    def _has_come(self, shown: datetime, local: datetime) -> bool:
        """Whether the clock has shown *shown* or a later time by now, which is *local* in the zone."""
        if local.replace(tzinfo=None) >= shown:
            return True
        # It may have been put back since.
        return shown.replace(tzinfo=self.zone).astimezone(UTC) <= local.astimezone(UTC)
