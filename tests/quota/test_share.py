"""Shares of devices are read and printed exactly, as people write them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.quota import share
from webhook.quota.share import ShareError

READ = {
    "0": Fraction(0),
    "2": Fraction(2),
    "007": Fraction(7),
    "0.25": Fraction(1, 4),
    "0.000001": Fraction(1, 10**6),
    "1/7": Fraction(1, 7),
    "2/4": Fraction(1, 2),
    "9/3": Fraction(3),
    "2+3/7": Fraction(17, 7),
    "0/1": Fraction(0),
}


@pytest.mark.parametrize(("text", "number"), READ.items(), ids=READ.keys())
def test_a_share_is_read_exactly(text: str, number: Fraction) -> None:
    assert share.parse(text) == number


NO_NUMBER = "is no exact number such as 1, 1/4 or 0.25"
MISTAKES = {
    **dict.fromkeys(
        ["", " 1", "1 ", "1/3/4", "1/", "/4", "1+2", "1+1/2+1/2", "-1", "+1", ".5", "5.", "1e3"], NO_NUMBER
    ),
    **dict.fromkeys(["1 /4", "1_0", "0x1", "1/0.5", "nan", "inf", "\uff11", "\u0663/4", "1" * 19, "1\n"], NO_NUMBER),
    "1/0": "divides by zero",
    "2+1/0": "divides by zero",
    "1/1000001": "is finer than a millionth",
    "0.0000001": "is finer than a millionth",
}


@pytest.mark.parametrize(("text", "why"), MISTAKES.items(), ids=lambda text: text[:12])
def test_what_is_no_share_is_refused_with_its_reason(text: str, why: str) -> None:
    with pytest.raises(ShareError) as refused:
        share.parse(text)

    assert str(refused.value) == f"{text} {why}"
    assert refused.value.why == why


def test_a_long_text_is_cut_in_the_message() -> None:
    with pytest.raises(ShareError) as refused:
        share.parse("9" * 100)

    assert str(refused.value) == f"{'9' * 37}... {NO_NUMBER}"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (4, "4"), (Fraction(8, 2), "4"), (Fraction(1, 7), "1/7"), (Fraction(17, 7), "2+3/7")],
)
def test_a_share_is_shown_as_people_write_it(number: Fraction | int, text: str) -> None:
    assert share.show(number) == text


@given(st.integers(0, 10**18 - 1), st.integers(1, share.FINEST))
def test_what_is_shown_is_read_again(top: int, bottom: int) -> None:
    number = Fraction(top, bottom)

    assert share.parse(share.show(number)) == number
