"""Sums and products over fields, exact."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.quota import expressions
from webhook.quota.expressions import Number
from webhook.quota.field_paths import Path, PathError

VALUES = {"a": 2, "b": 3, "big": 2**31 - 1, "zero": 0}


def value(text: str) -> Number | None:
    def lookup(path: Path) -> Fraction | None:
        number = VALUES.get(str(path))
        return None if number is None else Fraction(number)

    return expressions.parse(text).value(lookup)


EXPRESSIONS = {
    "7": 7,
    "a": 2,
    "a+b": 5,
    "a * b": 6,
    "a + b * 10": 32,
    "b * 10 + a": 32,
    "absent": None,
    "absent ?? 4": 4,
    "absent ?? a ?? 9": 2,
    "a ?? 9": 2,
    "zero ?? 9": 0,
    "a * absent": None,
    "a * absent ?? 5": 10,
    "absent ?? 5 * a": 10,
    "a + absent": 2,
    "absent + other": None,
    "min(a, b)": 2,
    "max(a, b)": 3,
    "min(a, absent)": 2,
    "max(absent, other)": None,
    "min(max(a, 5), b) * 2": 6,
    "absent ?? min(a, b)": 2,
    "big * big * 4": 4 * (2**31 - 1) ** 2,
    "100m * b": Fraction(3, 10),
    "1Gi + 512Mi": 1536 * 2**20,
    "1953125n * 512": 1,
    "0.1 * 3": Fraction(3, 10),
}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_an_expression_has_this_value(text: str) -> None:
    assert value(text) == EXPRESSIONS[text]


MISTAKES = {
    "": (0, "expected the name of a field"),
    "a +": (3, "expected the name of a field"),
    "a b": (2, "expected +, * or ??"),
    "a - b": (2, "expected +, * or ??"),
    "a / 2": (2, "expected +, * or ??"),
    "-1": (0, "no number is negative"),
    "a * -b": (4, "no number is negative"),
    "(a + b) * 2": (0, "expected the name of a field"),
    "min(a)": (4, "min takes two or more values"),
    "min(a, b": (8, "expected , or ) of min"),
    "2K * a": (0, "did you mean k or Ki?"),
    "a ** b": (3, "expected the name of a field"),
    "eval(a)": (4, "expected +, * or ??"),
    "spec..a + 1": (5, "expected the name of a field"),
    "min(1, " * 5 + "1" + ")" * 5: (28, "more than 4 levels"),
    "a + " * 200 + "a": (512, "longer than 512 characters"),
}


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: text[:20] or "empty")
def test_a_text_that_is_no_expression_is_told_with_its_place(text: str) -> None:
    offset, why = MISTAKES[text]

    with pytest.raises(PathError) as caught:
        expressions.parse(text)

    assert (caught.value.offset, why in str(caught.value)) == (offset, True)


def test_the_paths_of_an_expression_are_known() -> None:
    paths = expressions.parse("a.b * c ?? 1 + min(d, $.e[*].f)").paths

    assert list(map(str, paths)) == ["a.b", "c", "d", "$.e[*].f"]


@given(st.text(alphabet="ab.[*]$\"'=+?* ()min,max0123456789GiKm-", max_size=60))
def test_any_text_is_an_expression_or_a_mistake(text: str) -> None:
    try:
        found = expressions.parse(text)
    except PathError:
        return
    result = found.value(lambda _: Fraction(1))
    assert result is None or result >= 0
