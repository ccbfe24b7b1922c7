"""Durations as Go and people write them: exact, and nothing else is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.quota.durations import DurationError, parse, show

SECOND = 10**9
READ = {
    "8h": 8 * 3600 * SECOND,
    "1h30m": 5400 * SECOND,
    "90m": 5400 * SECOND,
    "1.5h": 5400 * SECOND,
    ".5s": SECOND // 2,
    "2.s": 2 * SECOND,
    "1m1m": 120 * SECOND,
    "100ms": SECOND // 10,
    "3us": 3000,
    "3µs": 3000,
    "7ns": 7,
    "0.1ns": 1,  # a cap is never exceeded by rounding
    "0": 0,
    "0s": 0,
    90: 90 * SECOND,
    0: 0,
    "2562047h47m16.854775807s": 2**63 - 1,
}
NONE = ["", "8", "8 h", "h", "-1h", "+1h", "1d", "PT8H", "1h-3m", "0x1h", "\u0661h", "forever", ".s", "1e3s", -1, 2**63]


@pytest.mark.parametrize(("written", "nanos"), READ.items())
def test_a_duration_is_exact(written: str | int, nanos: int) -> None:
    assert parse(written) == nanos


@pytest.mark.parametrize("written", [*NONE, "2562047h47m16.854775808s", "1h" * 40])
def test_what_is_no_duration_is_told(written: str | int) -> None:
    with pytest.raises(DurationError, match="is no duration: "):
        parse(written)


@given(st.integers(0, 2**63 - 1))
def test_what_is_shown_is_read_as_the_same(nanos: int) -> None:
    assert parse(show(nanos)) == nanos


@pytest.mark.parametrize(
    ("written", "shown"),
    [("480m", "8h"), (90, "1m30s"), ("5400s", "1h30m"), ("1500ms", "1.5s"), ("0", "0s"), ("1h0.5s", "1h0.5s")],
)
def test_a_duration_is_shown_as_people_write_it(written: str | int, shown: str) -> None:
    assert show(parse(written)) == shown
