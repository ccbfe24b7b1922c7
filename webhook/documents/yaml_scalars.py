"""
The meaning of unquoted words of YAML, in the dialect of kubectl (sigs.k8s.io/yaml over go-yaml v2).

That is YAML 1.1 with differences: ``0o14`` and ``1e3`` are numbers, dates and ``12:30:45`` are text. Places in the text
are not known here.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

ScalarValue: TypeAlias = str | int | float | bool | None

_TAG: Final = "tag:yaml.org,2002:"
_WORDS: Final[dict[str, float | bool | None]] = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], True),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], False),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], math.nan),
    **dict.fromkeys([".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"], math.inf),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], -math.inf),
}
_TAGGED: Final[dict[str, type]] = {
    f"{_TAG}null": type(None),
    f"{_TAG}bool": bool,
    f"{_TAG}int": int,
    f"{_TAG}float": float,
}
_INTEGER: Final = re.compile(
    r"([+-]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]([0-7]+)|0([0-7]*)|([1-9][0-9]*))",
)
_BASES: Final = (16, 2, 8, 8, 10)
# go-yaml hands what follows "0b" to ParseInt, which takes a sign of its own: "0b-11" is -3.
_SIGNED_BINARY: Final = re.compile(r"0b([+-][01]+)")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
# A number that begins with its point goes to ParseFloat as it is, which takes underscores only between digits.
_FRACTION: Final = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?")
_MAX_INT64: Final = 2**63 - 1
_MIN_INT64: Final = -(2**63)
_MAX_UINT64: Final = 2**64 - 1
# Fewer decimal digits than a 64-bit number may have: nearly all amounts, which need no second look.
_FEW_DIGITS: Final = 18
# More decimal digits than any 64-bit number has; Python refuses to convert thousands of them.
_MAX_DECIMAL_DIGITS: Final = 20


@dataclass(frozen=True, slots=True)
class Refused:
    """The scalar has no value; ``reason`` is for people."""

    reason: str


def resolve(text: str, *, tag: str | None, is_plain: bool) -> ScalarValue | Refused:
    """
    Return the value of a scalar: *text* is its content, *is_plain* is whether it had no quotes.

    Integers are exact up to 64 bits; a longer one is the nearest float, as it is for kubectl, and a float out of range
    stays text. Infinities and NaN are given as such, though JSON has none.
    """
    if tag is None:
        return _resolve_plain(text) if is_plain else text
    if tag in ("!", f"{_TAG}str"):
        return text
    return _resolve_tagged(text, tag)


def key_of(value: ScalarValue) -> str | Refused:
    """
    Return the field name that kubectl makes of a key with this value.

    ``yes`` becomes ``true``, ``012`` becomes ``10``, and a float is written with the digits of a 32-bit one.
    """
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() if _MIN_INT64 <= value <= _MAX_INT64:
            return str(value)
        case float():
            return _float32_text(value)
        case int():
            return Refused("a key must be text: put this number in quotes")
        case None:
            return Refused("a key must be text, not null: put it in quotes")


def number_json(value: float) -> str:
    """Return a finite number as Go's ``encoding/json`` writes it: integers exactly, ``1000.0`` as ``1000``."""
    if isinstance(value, int):
        return str(value)
    # Both languages print the fewest digits that name this float; they differ in when they use an exponent.
    shortest = repr(value)
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return format(Decimal(shortest), "f").removesuffix(".0")
    return shortest.replace("e-0", "e-")


def _resolve_tagged(text: str, tag: str) -> ScalarValue | Refused:
    value = _resolve_plain(text)
    if tag == f"{_TAG}float" and type(value) is int and value <= _MAX_INT64:
        value = float(value)
    name = tag.replace(_TAG, "!!")
    wanted = _TAGGED.get(tag)
    if wanted is None:
        return Refused(f"the tag {name} is not accepted")
    return value if type(value) is wanted else Refused(f"this is no value for the tag {name}")


def _resolve_plain(text: str) -> ScalarValue:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] == ".":
        return _float(text.replace("_", ""), text) if _FRACTION.fullmatch(text) else text
    if text[0] not in "+-0123456789":
        return text
    if text.isdigit() and text.isascii() and text[0] != "0" and len(text) < _FEW_DIGITS:
        return int(text)
    digits = text.replace("_", "")
    integer = _integer(digits)
    if integer is not None:
        return integer
    return _float(digits, text)


def _integer(digits: str) -> int | None:
    signed_binary = _SIGNED_BINARY.fullmatch(digits)
    if signed_binary is not None:
        value = int(signed_binary[1], 2)
        return value if _MIN_INT64 <= value <= _MAX_INT64 else None
    found = _INTEGER.fullmatch(digits)
    if found is None or len(found[6] or "") > _MAX_DECIMAL_DIGITS:
        return None
    sign, *groups = found.groups()
    value = next(int(group or "0", base) for group, base in zip(groups, _BASES, strict=True) if group is not None)
    if sign == "-":
        value = -value
    largest = _MAX_INT64 if sign else _MAX_UINT64
    return value if _MIN_INT64 <= value <= largest else None


def _float(digits: str, text: str) -> float | str:
    if _FLOAT.fullmatch(digits) is None:
        return text
    value = float(digits)
    return value if math.isfinite(value) else text


def _float32_text(value: float) -> str:
    """Return *value* as Go's ``FormatFloat(value, 'g', -1, 32)`` does: the fewest digits that name the 32-bit float."""
    rounded = _float32(value)
    if math.isnan(rounded):
        return ".nan"
    if math.isinf(rounded):
        return ".inf" if rounded > 0 else "-.inf"
    # Nine digits always suffice for 32 bits. Of some powers of two, such as 2**90, Go finds a text with one digit less;
    # as names of fields these do not occur.
    digits = next(text for text in (f"{rounded:.{places}e}" for places in range(9)) if _float32(float(text)) == rounded)
    exponent = int(digits.partition("e")[2])
    return format(Decimal(digits), "f") if -4 <= exponent < 6 else digits


def _float32(value: float) -> float:
    try:
        return float(struct.unpack(">f", struct.pack(">f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)
