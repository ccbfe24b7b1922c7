"""Periods of a calendar."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.quota.periods import Period, PeriodError, parse


@pytest.mark.parametrize(
    ("written", "begins", "ends"),
    [
        ("1 year, 3 months", datetime(2026, 12, 1, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC)),
        ("1 year", datetime(2028, 2, 29, tzinfo=UTC), datetime(2029, 2, 28, tzinfo=UTC)),
        ("4 years", datetime(2028, 2, 29, tzinfo=UTC), datetime(2032, 2, 29, tzinfo=UTC)),
        ("1 month", datetime(2027, 1, 31, 12, tzinfo=UTC), datetime(2027, 2, 28, 12, tzinfo=UTC)),
        ("1 month, 1 day", datetime(2027, 1, 31, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC)),
        ("90 days", datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC)),
        ("36 hours", datetime(2026, 12, 31, tzinfo=UTC), datetime(2027, 1, 1, 12, tzinfo=UTC)),
    ],
)
def test_a_period_ends_as_the_calendar_says(written: str, begins: datetime, ends: datetime) -> None:
    assert parse(written).after(begins) == ends


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("-1 month", "it is negative"),
        ("", "expected one such as 1 year, 3 months or 90 days"),
        ("1 fortnight", "expected one such as"),
        ("1.5 years", "expected one such as"),
        ("3 months, 1 year", "years stand behind what is as short or shorter"),
        ("1 year, 1 year", "years stand behind what is as short or shorter"),
        ("0 days", "it is over when it begins"),
        ("1 year 3 months", "expected one such as"),
        ("٣ days", "expected one such as"),
    ],
)
def test_a_text_that_is_no_period_is_told(written: str, why: str) -> None:
    with pytest.raises(PeriodError, match="is no period") as caught:
        parse(written)
    assert why in str(caught.value)


def test_a_period_without_an_end_is_told() -> None:
    with pytest.raises(PeriodError, match="it ends after the year 9999"):
        parse("999999 years").after(datetime(2026, 12, 1, tzinfo=UTC))


@given(st.builds(Period, *[st.integers(0, 500)] * 4).filter(any))
def test_what_is_shown_is_read_as_the_same_period(period: Period) -> None:
    assert parse(str(period)) == period
