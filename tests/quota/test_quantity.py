"""
Quantities are read, added, compared and printed as the API server does.

test_quantity_equals_kubernetes.py compares them with Kubernetes itself.
"""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.oracle.quantity_texts import CANONICAL, REFUSED, SUMS, TOO_LARGE
from webhook.quota import quantity
from webhook.quota.quantity import NANOS, Format, Quantity, QuantityError


@pytest.mark.parametrize(("text", "printed"), CANONICAL.items())
def test_reads_and_prints_as_the_api_server_does(text: str, printed: str) -> None:
    assert str(quantity.parse(text)) == printed


@pytest.mark.parametrize(("text", "why"), (REFUSED | TOO_LARGE).items())
def test_rejects_a_text_and_names_the_mistake(text: str, why: str) -> None:
    with pytest.raises(QuantityError) as refused:
        quantity.parse(text)

    assert refused.value.why == why
    assert str(refused.value) == f"invalid quantity {text!r}: {why}"


@pytest.mark.parametrize(("left", "right", "total"), SUMS)
def test_a_sum_is_printed_in_the_format_of_its_left_side_unless_that_is_zero(left: str, right: str, total: str) -> None:
    assert str(quantity.parse(left) + quantity.parse(right)) == total


@pytest.mark.parametrize(("left", "right"), [("1000m", "1"), ("1024Mi", "1Gi"), ("1e3", "1k"), ("8Ei", "9Ei")])
def test_equal_amounts_are_equal_however_they_are_written(left: str, right: str) -> None:
    assert quantity.parse(left).nanos == quantity.parse(right).nanos


def test_a_gigabyte_is_less_than_a_gibibyte() -> None:
    assert quantity.parse("1G").nanos < quantity.parse("1Gi").nanos


@pytest.mark.parametrize(
    ("text", "rounded"),
    [
        ("1", "1"),
        ("1500m", "1500m"),
        ("1u", "1m"),
        ("1n", "1m"),
        ("-1n", "-1m"),
        ("1.0000001", "1001m"),
        ("0.0001Ki", "103m"),
        ("1.00000001Gi", "1073741834738m"),
        ("1Gi", "1Gi"),
        ("0", "0"),
        ("5e-4", "1e-3"),
    ],
)
def test_a_resource_list_holds_nothing_finer_than_a_thousandth(text: str, rounded: str) -> None:
    assert str(quantity.parse(text).rounded_up()) == rounded


def test_above_exa_the_suffix_stays() -> None:
    """Kubernetes 1.37.2 prints 1 for 1000E: it has no larger suffix and drops this one."""
    assert str(quantity.parse("1000E")) == "1000E"
    assert str(quantity.parse("999E") + quantity.parse("1E")) == "1000E"
    assert str(Quantity(1024**7 * NANOS, Format.BINARY_SI)) == "1024Ei"


def test_a_refused_text_is_shown_whole_up_to_forty_characters() -> None:
    for text, shown in (("x" * 40, "x" * 40), ("y" * 41, "y" * 37 + "...")):
        with pytest.raises(QuantityError) as refused:
            quantity.parse(text)
        assert refused.value.text == shown


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("9" * 1_000_000, "it is longer than 512 characters"),
        ("0." + "0" * 1_000_000, "it is longer than 512 characters"),
        ("1" + "k" * 1_000_000, "it is longer than 512 characters"),
        ("1e" + "9" * 400, "its exponent is out of range"),
        ("9" * 500 + "e999999999", "its exponent is above 400"),
    ],
    ids=["a million digits", "a million places", "a million suffixes", "an exponent of 400 digits", "a large exponent"],
)
def test_a_text_that_would_take_long_is_refused_before_it_is_read(text: str, why: str) -> None:
    with pytest.raises(QuantityError) as refused:
        quantity.parse(text)

    assert refused.value.why == why
    assert len(str(refused.value)) < 100, "the message is too long to read"


@pytest.mark.parametrize("text", ["9" * 512, "." + "0" * 510 + "1", "9" * 508 + "e400", "1e-" + "0" * 500 + "9"])
def test_the_longest_texts_are_read_exactly(text: str) -> None:
    mantissa, _, exponent = text.partition("e")
    exact = Fraction(mantissa) * Fraction(10) ** int(exponent or 0) * NANOS

    assert quantity.parse(text).nanos == -(-exact // 1)


FORMATS = st.sampled_from(Format)
WITHIN_CAP = st.integers(-(2**63 - 1) * NANOS, (2**63 - 1) * NANOS)
"""Binary texts are capped when parsed, so a larger sum does not survive a round trip."""
QUANTITIES = st.builds(Quantity, WITHIN_CAP, FORMATS)
DIGITS = st.text("0123456789", min_size=1, max_size=30)
DECIMAL_SCALES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
SCALES = {
    **{suffix: Fraction(10) ** power for suffix, power in DECIMAL_SCALES.items()},
    **{suffix: Fraction(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
    **{f"{letter}{power}": Fraction(10) ** power for letter in "eE" for power in range(-20, 21)},
}


@given(QUANTITIES)
@example(Quantity(1, Format.BINARY_SI))
@example(Quantity(1024 * NANOS, Format.BINARY_SI))
@example(Quantity(-1024 * NANOS - 1, Format.BINARY_SI))
@example(Quantity(10**40, Format.DECIMAL_SI))
@example(Quantity(25_000 * NANOS, Format.BINARY_SI))
def test_what_is_printed_reads_as_the_same_amount(amount: Quantity) -> None:
    printed = str(amount)
    read = quantity.parse(printed)

    assert read.nanos == amount.nanos
    # A binary amount without a suffix is read as a decimal one, as in Kubernetes: 25000 is printed as 25k then.
    if amount.format is not Format.BINARY_SI or read.format is Format.BINARY_SI:
        assert str(read) == printed


@given(st.sampled_from(["", "+", "-"]), DIGITS, DIGITS, st.sampled_from(sorted(SCALES)))
def test_a_text_is_worth_its_number_times_its_suffix(sign: str, whole: str, fraction: str, suffix: str) -> None:
    exact = Fraction(f"{whole}.{fraction}") * SCALES[suffix] * NANOS
    rounded = -(-exact // 1)
    magnitude = min(rounded, (2**63 - 1) * NANOS) if suffix.endswith("i") else rounded

    assert quantity.parse(f"{sign}{whole}.{fraction}{suffix}").nanos == (-magnitude if sign == "-" else magnitude)


@given(QUANTITIES, QUANTITIES)
def test_texts_are_ordered_as_their_amounts(left: Quantity, right: Quantity) -> None:
    read_left, read_right = quantity.parse(str(left)), quantity.parse(str(right))

    assert (read_left.nanos < read_right.nanos) == (left.nanos < right.nanos)
    assert (read_left.nanos == read_right.nanos) == (left.nanos == right.nanos)


@given(QUANTITIES, QUANTITIES, QUANTITIES)
def test_sums_are_exact_in_any_order(first: Quantity, second: Quantity, third: Quantity) -> None:
    total = first.nanos + second.nanos + third.nanos

    assert (first + second + third).nanos == total
    assert (third + (second + first)).nanos == total
    assert (first + quantity.ZERO).nanos == first.nanos
    assert not first.nanos or first + quantity.ZERO == first  # a zero takes the format of what is added to it
    assert quantity.ZERO + first == first


@given(QUANTITIES)
def test_rounding_up_moves_away_from_zero_by_less_than_a_thousandth(amount: Quantity) -> None:
    rounded = amount.rounded_up()

    assert rounded.nanos % (NANOS // 1000) == 0
    assert 0 <= abs(rounded.nanos) - abs(amount.nanos) < NANOS // 1000
    assert rounded.nanos * amount.nanos >= 0
    assert rounded.rounded_up() == rounded


@given(st.text(alphabet="0123456789.+-eEinumkKMGTPx ", max_size=12) | st.text(max_size=12))
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    try:
        read = quantity.parse(text)
    except QuantityError:
        return  # any other exception fails the test

    assert quantity.parse(str(read)).nanos == read.nanos
