"""Amounts in messages: short, and rounded so that what is said stays true."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webhook.quota import resources, share
from webhook.quota.quantity import NANOS, parse
from webhook.quota.resources import Amount
from webhook.quota.rounding import at_least, at_most

CPU, MEMORY = "requests.cpu", "requests.memory"


@pytest.mark.parametrize(
    ("name", "amount", "up", "down"),
    [
        pytest.param(CPU, "0", "0", "0", id="nothing"),
        pytest.param(CPU, "1500m", "1500m", "1500m", id="exact where that is short"),
        pytest.param(CPU, "142857143n", "143m", "142m", id="billionths of a core"),
        pytest.param(CPU, "1n", "1m", "0", id="less than a thousandth of a core"),
        pytest.param(CPU, "12345678m", "12346", "12345", id="thousands of cores"),
        pytest.param(MEMORY, "8Gi", "8Gi", "8Gi", id="whole Gi"),
        pytest.param(MEMORY, "1073741825", "1025Mi", "1Gi", id="a byte more than a Gi"),
        pytest.param(MEMORY, "6G", "5723Mi", "5722Mi", id="decimal bytes"),
        pytest.param(MEMORY, "100m", "100m", "100m", id="a part of a byte, as somebody wrote it"),
        pytest.param("pods", "1234567", "1235k", "1234k", id="a million pods"),
        pytest.param(CPU, "9e300", "9e300", "9e300", id="an absurd amount"),
        pytest.param(MEMORY, "123456789e20", "12400e24", "12300e24", id="more bytes than there are suffixes"),
    ],
)
def test_an_amount_is_short_and_rounded_to_the_safe_side(name: str, amount: str, up: str, down: str) -> None:
    nanos = parse(amount).nanos
    assert (at_least(name, nanos), at_most(name, nanos)) == (up, down)


@pytest.mark.parametrize(
    ("number", "up", "down"),
    [
        (Fraction(1, 7), "1/7", "1/7"),
        (Fraction(17, 7), "2+3/7", "2+3/7"),
        (Fraction(20479, 40960), "0.5", "0.499"),
        (Fraction(2 * 999983 + 1, 999983), "2.001", "2"),
        (Fraction(40), "40", "40"),
    ],
)
def test_a_share_is_a_fraction_while_that_is_short(number: Fraction, up: str, down: str) -> None:
    assert (at_least("gpu", number * NANOS), at_most("gpu", number * NANOS)) == (up, down)


@pytest.mark.parametrize(
    ("name", "amount", "unit", "text"),
    [
        pytest.param(CPU, "1", "m", "1000m", id="in the unit that was written"),
        pytest.param(MEMORY, "1536Mi", "Gi", "1.5Gi", id="with decimals"),
        pytest.param(MEMORY, "1499Mi", "Gi", "1.46Gi", id="rounded down"),
        pytest.param(MEMORY, "6G", "G", "6G", id="decimal bytes"),
        pytest.param(MEMORY, "100Mi", "Gi", "100Mi", id="less than one of it"),
        pytest.param(MEMORY, "0", "Gi", "0", id="nothing"),
        pytest.param(MEMORY, "8Ti", "Ki", "8Ti", id="too many of it"),
        pytest.param(CPU, "142857143n", "m", "142m", id="no part of a thousandth"),
    ],
)
def test_what_would_fit_is_told_in_the_unit_that_was_written(name: str, amount: str, unit: str, text: str) -> None:
    assert at_most(name, parse(amount).nanos, unit) == text


AMOUNTS = st.one_of(
    st.integers(0, 10**30),
    st.builds(Fraction, st.integers(0, 10**20), st.integers(1, 10**6)),
)


LARGEST_READ = (2**63 - 1) * NANOS
"""A larger quantity with a binary suffix is read as this one, as Kubernetes does: 8Ei."""


def read(name: str, text: str) -> Amount:
    is_share = name in resources.LOGICAL and "e" not in text
    return share.parse(text) * NANOS if is_share and not text[-1].isalpha() else parse(text).nanos


@example(MEMORY, LARGEST_READ + 1, "m")
@given(st.sampled_from([CPU, MEMORY, "pods", "gpu", "requests.hugepages-2Mi"]), AMOUNTS, st.sampled_from("mkMG"))
def test_no_text_says_more_room_or_less_need_than_there_is(name: str, amount: Amount, unit: str) -> None:
    up, down = at_least(name, amount), at_most(name, amount)
    assert read(name, down) <= amount
    assert amount <= read(name, up) or amount > LARGEST_READ
    assert read(name, at_most(name, amount, unit)) <= amount
    assert max(len(up), len(down)) <= 12
