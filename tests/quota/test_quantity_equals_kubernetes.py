"""
Thousands of texts are parsed to the same billionth as by Kubernetes, or rejected as by Kubernetes.

Left out on purpose: exponents of three digits and more, which we reject above 400 and Kubernetes accepts at any size;
and the printed form of exact multiples of ``1000E`` in decimal, which Kubernetes prints without the suffix.
"""

import re

import pytest

from tests.oracle.program import Amount, Oracle
from tests.oracle.quantity_texts import CANONICAL, REFUSED, SUMS
from tests.oracle.random_json import ODD_QUANTITIES, RandomJson
from webhook.quota import quantity
from webhook.quota.quantity import Format, Quantity, QuantityError

pytestmark = pytest.mark.cluster

SEED = 731
LISTS = 8000
LONG_EXPONENT = re.compile(r"[eE][+-]?[0-9]{3}")


@pytest.fixture(scope="module")
def lists() -> list[list[str]]:
    source = RandomJson(SEED)
    odd = [[text.strip()] for text in ODD_QUANTITIES if isinstance(text, str)]
    return odd + [[text for text in (source.text() for _ in range(4)) if is_comparable(text)] for _ in range(LISTS)]


def test_the_tables_say_what_kubernetes_does(oracle: Oracle) -> None:
    texts = [text for text in CANONICAL if not text.endswith("e-2147483648")]  # Kubernetes needs minutes for it
    read, refused, *sums = oracle.quantities([texts, list(REFUSED), *([left, right] for left, right, _ in SUMS)])

    assert [each and each["canonical"] for each in read["each"]] == [CANONICAL[text] for text in texts]
    assert refused["each"] == [None] * len(REFUSED)
    assert [each["sum"]["canonical"] for each in sums] == [total for _, _, total in SUMS]


def test_every_text_is_read_added_and_printed_as_kubernetes_does(oracle: Oracle, lists: list[list[str]]) -> None:
    differences = []
    for texts, answer in zip(lists, oracle.quantities(lists), strict=True):
        read = [parsed(text) for text in texts]
        total = quantity.ZERO
        for each in read:
            total = total if each is None else total + each
        expected = [*answer["each"], answer["sum"], *answer["roundedUp"]]
        actual = [*read, total, *(each and each.rounded_up() for each in read)]
        if not all(map(agree, actual, expected)):
            differences.append((texts, expected, list(map(str, actual))))

    assert not differences, (
        f"{len(differences)} lists differ, such as {min(differences, key=lambda each: len(each[0]))}"
    )


def test_the_texts_are_a_mixture_of_right_and_wrong_ones(lists: list[list[str]]) -> None:
    read = [parsed(text) for texts in lists for text in texts]

    assert 0.4 * len(read) < sum(each is not None for each in read) < 0.9 * len(read)


def parsed(text: str) -> Quantity | None:
    try:
        return quantity.parse(text)
    except QuantityError:
        return None


def is_comparable(text: str) -> bool:
    return LONG_EXPONENT.search(text) is None


def agree(actual: Quantity | None, expected: Amount | None) -> bool:
    if actual is None or expected is None:
        return actual is None and expected is None
    lost_suffix = actual.format is Format.DECIMAL_SI and actual.nanos and actual.nanos % 10**30 == 0
    return str(actual.nanos) == expected["nanos"] and (lost_suffix or str(actual) == expected["canonical"])
