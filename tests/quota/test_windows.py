"""Times of the week that come again: on ordinary days, and when an hour is skipped or comes twice."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.quota.windows import Window

BERLIN = ZoneInfo("Europe/Berlin")
ALL_DAYS = frozenset(range(7))


def window(written: str, *days: int, zone: str = "Europe/Berlin") -> Window:
    """Return a window such as `20:00-06:00`; without *days* on every day."""
    begins, ends = (time.fromisoformat(each) for each in written.split("-"))
    return Window(frozenset(days) or ALL_DAYS, begins, ends, ZoneInfo(zone))


def spans(of: Window, first: str, last: str) -> list[str]:
    """Return when a window holds between two times, as UTC, looked at every five minutes."""
    now, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
    found: list[list[datetime]] = []
    was = False
    while now < end:
        holds = of.holds(now)
        if holds and not was:
            found.append([now, now])
        if holds:
            found[-1][1] = now + timedelta(minutes=5)
        was, now = holds, now + timedelta(minutes=5)
    return [f"{begin:%d %H:%M}-{until:%d %H:%M}" for begin, until in found]


MON, TUE, WED, THU, FRI, SAT, SUN = range(7)
WEEK = ("2027-06-14T00:00:00+02:00", "2027-06-21T00:00:00+02:00")
"""From a Monday, in Berlin; UTC is two hours behind."""

ORDINARY = {
    "a part of a day": (window("09:00-17:00", WED), ["16 07:00-16 15:00"]),
    "over midnight it belongs to the day on which it begins": (window("20:00-06:00", FRI), ["18 18:00-19 04:00"]),
    "a night that began in the week before": (
        window("20:00-06:00", SUN),
        ["13 22:00-14 04:00", "20 18:00-20 22:00"],
    ),
    "the same time twice is a whole day": (window("06:00-06:00", SAT), ["19 04:00-20 04:00"]),
    "until midnight": (window("22:00-00:00", TUE), ["15 20:00-15 22:00"]),
    "from midnight": (window("00:00-01:00", TUE), ["14 22:00-14 23:00"]),
    "days that follow one another": (window("00:00-00:00", SAT, SUN), ["18 22:00-20 22:00"]),
    "another zone": (window("09:00-17:00", WED, zone="Asia/Kolkata"), ["16 03:30-16 11:30"]),
    "on the other side of the date line": (
        window("00:00-00:00", MON, zone="Pacific/Kiritimati"),
        ["13 22:00-14 10:00", "20 10:00-20 22:00"],
    ),
}


@pytest.mark.parametrize(("of", "expected"), ORDINARY.values(), ids=ORDINARY)
def test_when_a_window_holds(of: Window, expected: list[str]) -> None:
    assert spans(of, *(str(datetime.fromisoformat(each).astimezone(UTC)) for each in WEEK)) == expected


SKIPPED = {
    "20:00-06:00": "27 19:00-28 04:00",
    "20:00-02:30": "27 19:00-28 01:00",
    "02:30-06:00": "28 01:00-28 04:00",
    "02:00-06:00": "28 01:00-28 04:00",
    "01:30-03:30": "28 00:30-28 01:30",
    "02:00-03:00": "",
    "02:15-02:45": "",
}
"""In Berlin at 01:00 UTC on 28 March 2027 the clock went from 02:00 to 03:00."""

TWICE = {
    "20:00-06:00": "30 18:00-31 05:00",
    "20:00-02:30": "30 18:00-31 00:30",
    "02:30-06:00": "31 00:30-31 05:00",
    "02:00-06:00": "31 00:00-31 05:00",
    "01:30-03:30": "30 23:30-31 02:30",
    "02:00-03:00": "31 00:00-31 02:00",
    "02:15-02:45": "31 00:15-31 00:45",
}
"""In Berlin at 01:00 UTC on 31 October 2027 the clock went from 03:00 to 02:00."""


@pytest.mark.parametrize(("written", "expected"), SKIPPED.items(), ids=SKIPPED)
def test_when_an_hour_is_skipped(written: str, expected: str) -> None:
    day = SAT if written.startswith("20") else SUN
    assert spans(window(written, day), "2027-03-27T12:00:00Z", "2027-03-28T12:00:00Z") == (
        [expected] if expected else []
    )


@pytest.mark.parametrize(("written", "expected"), TWICE.items(), ids=TWICE)
def test_when_an_hour_comes_twice(written: str, expected: str) -> None:
    day = SAT if written.startswith("20") else SUN
    assert spans(window(written, day), "2027-10-30T12:00:00Z", "2027-10-31T12:00:00Z") == [expected]


def test_a_clock_that_is_put_back_over_midnight_has_begun_the_next_day_already() -> None:
    """In Havana the clock went from 01:00 to 00:00 on 7 November 2027; in St. John's, in 2006, from 00:01 to 23:01."""
    havana = window("00:30-02:00", SUN, zone="America/Havana")
    assert spans(havana, "2027-11-07T00:00:00Z", "2027-11-07T12:00:00Z") == ["07 04:30-07 07:00"]
    st_johns = window("00:00-02:00", SUN, zone="America/St_Johns")
    assert spans(st_johns, "2006-10-29T00:00:00Z", "2006-10-29T12:00:00Z") == ["29 02:30-29 05:30"]


def test_a_day_that_is_left_out_has_no_window_but_what_reaches_into_the_next() -> None:
    """At 10:00 UTC on 30 December 2011 Samoa went from the end of the 29th, a Thursday, to the 31st."""
    friday = window("20:00-06:00", FRI, zone="Pacific/Apia")
    assert spans(friday, "2011-12-29T12:00:00Z", "2012-01-01T00:00:00Z") == ["30 10:00-30 16:00"]
    assert spans(window("20:00-22:00", FRI, zone="Pacific/Apia"), "2011-12-29T12:00:00Z", "2012-01-01T00:00:00Z") == []


TIMES = st.times(timezones=st.none()).map(lambda each: each.replace(second=0, microsecond=0, fold=0))
MOMENTS = st.integers(0, 8_000_000).map(lambda each: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=each))
NEAR_A_CHANGE = st.builds(
    lambda day, minutes: datetime.fromisoformat(f"{day}T12:00:00Z") + timedelta(minutes=minutes),
    st.sampled_from(["2027-03-13", "2027-03-27", "2027-04-03", "2027-10-02", "2027-10-30", "2027-11-06"]),
    st.integers(0, 24 * 60),
)
ZONES = st.sampled_from([BERLIN, ZoneInfo("America/Havana"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Asia/Kolkata")])


@given(one=TIMES, other=TIMES, now=MOMENTS | NEAR_A_CHANGE, zone=ZONES)
def test_of_two_windows_that_adjoin_one_holds_at_any_time(
    one: time, other: time, now: datetime, zone: ZoneInfo
) -> None:
    if one != other:
        assert Window(ALL_DAYS, one, other, zone).holds(now) != Window(ALL_DAYS, other, one, zone).holds(now)


def test_it_is_told_as_it_is_written() -> None:
    assert str(window("20:00-06:00", MON, FRI)) == "mon,fri 20:00-06:00 Europe/Berlin"
