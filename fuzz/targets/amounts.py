"""
Quantities, durations, paths and expressions: compared with arithmetic that is exact in another way.
"""

from __future__ import annotations

import re
from fractions import Fraction

from fuzz.target import Target, promise
from webhook.kinds.resource_lists import read_quantity
from webhook.quota import durations, expressions, field_paths, quantity
from webhook.quota.durations import DurationError
from webhook.quota.expressions import Number
from webhook.quota.field_paths import Path, PathError
from webhook.quota.quantity import NANOS, Format, Quantity, QuantityError

_PLAIN = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([A-Za-z]*)(?:([+-]?[0-9]{1,3}))?", re.ASCII)
_POWERS = {"": 0, "n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_MOST_BINARY = 2**63 - 1
_LONGEST_REFUSAL = 800
"""Characters of an error: a person reads it, and it may hold the input only in part."""


def check_quantity(data: bytes) -> None:
    """Check one text, and the sum of both parts of one with a semicolon."""
    text = data.decode("utf-8", errors="surrogateescape")
    read = [found for part in text.split(";", 1) if (found := _quantity(part)) is not None]
    if len(read) == 2:
        total = read[0] + read[1]
        promise(total.nanos == read[0].nanos + read[1].nanos, "sum", text)
        _check_printed(total)


def _quantity(text: str) -> Quantity | None:
    try:
        read = quantity.parse(text)
    except QuantityError as error:
        promise(str(error).startswith("invalid quantity ") and len(str(error)) < _LONGEST_REFUSAL, str(error))
        return None
    exact = _exact(text)
    if exact is not None:
        nanos = exact * NANOS
        rounded = -(-abs(nanos.numerator) // nanos.denominator)
        if read.format is Format.BINARY_SI:
            rounded = min(rounded, _MOST_BINARY * NANOS)
        binary_cap = any(text.endswith(each) for each in _BINARY)
        promise(abs(read.nanos) == rounded or (binary_cap and abs(exact) > _MOST_BINARY), "amount", text, read.nanos)
        promise(read.nanos == 0 or (read.nanos < 0) is text.startswith("-"), "sign", text)
    _check_printed(read)
    thousandths = read.rounded_up().nanos
    promise(
        abs(read.nanos) <= abs(thousandths) < abs(read.nanos) + 10**6 and thousandths % 10**6 == 0, "rounding", text
    )
    try:
        listed = read_quantity(f'"{text}"')
    except QuantityError:
        promise(read.nanos < 0, "a list refuses what is a quantity", text)
    else:
        promise(listed == read, "a list reads another amount", text)
    return read


def _exact(text: str) -> Fraction | None:
    """Return what *text* says by the grammar of the documents; None for what only the API server reads."""
    found = _PLAIN.fullmatch(text)
    if found is None or not (found[2] or found[3]):
        return None
    _, whole, fraction, suffix, exponent = found.groups(default="")
    number = Fraction(int(whole or "0")) + Fraction(int(fraction or "0"), 10 ** len(fraction))
    if suffix in _BINARY and not exponent:
        return number * _power(_BINARY[suffix], 1024)
    if suffix in _POWERS and not exponent:
        return number * _power(_POWERS[suffix])
    if suffix in {"e", "E"} and exponent:
        return number * _power(int(exponent))
    return None


def _power(exponent: int, base: int = 10) -> Fraction:
    return Fraction(base**exponent) if exponent >= 0 else Fraction(1, base**-exponent)


def _check_printed(amount: Quantity) -> None:
    text = str(amount)
    if abs(amount.nanos) >= 10**400:  # it may be printed with an exponent that is refused, and by its name
        return
    again = quantity.parse(text)
    capped = again.format is Format.BINARY_SI and abs(amount.nanos) > _MOST_BINARY * NANOS
    promise(again.nanos == amount.nanos or capped, "printed", text, amount)
    promise(str(again) == text or capped or again.format is not amount.format, "printed twice", text, str(again))


def check_expression(data: bytes) -> None:
    """Check one text as a duration, a path and an expression."""
    text = data.decode("utf-8", errors="surrogateescape")
    _check_duration(text)
    try:
        path = field_paths.parse(text)
    except PathError as error:
        promise(str(error), "an error without words")
    else:
        promise(str(path) == text and (path.steps or text == "$"), "path", text)
        promise(expressions.parse(text).paths == (path,) or text.startswith(("min(", "max(")), "a path is one", text)
    try:
        expression = expressions.parse(text)
    except PathError:
        return
    values = [expression.value(lambda _: None), expression.value(lambda _: 1), expression.value(_by_length)]
    for each in values:
        promise(each is None or (type(each) in {int, Fraction} and each >= 0), "value", text, each)
    one, more = values[1:]
    promise(one is None or more is None or one <= more, "more of a field is more of the sum", text, values)


def _by_length(path: Path) -> Number:
    return 1 + len(path.text)


def _check_duration(text: str) -> None:
    try:
        nanos = durations.parse(text)
    except DurationError as error:
        promise(len(str(error)) < _LONGEST_REFUSAL, str(error))
        return
    promise(0 <= nanos < 2**63, "duration", text)
    promise(durations.parse(durations.show(nanos)) == nanos, "shown", text, durations.show(nanos))


TARGETS = (
    Target(
        "quantity",
        "`quota/quantity.py`, `kinds/resource_lists.py`",
        "the amount is that of exact fractions, rounded up once; what is printed is read as the same; sums are exact",
        check_quantity,
        longest=600,
        is_structured=False,
    ),
    Target(
        "expression",
        "`quota/expressions.py`, `field_paths.py`, `durations.py`",
        "no value is negative, more of a field is never less of the sum, a duration that is shown is read as the same",
        check_expression,
        longest=600,
        is_structured=False,
    ),
)
