"""
Single values of a custom object, as they are found: texts, whole numbers, quantities, each with its place.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import msgspec

from webhook.kinds.evaluator import UncountableError
from webhook.kinds.resource_lists import read_quantity
from webhook.quota.quantity import NANOS, QuantityError

_MOST_DIGITS = 19
"""Digits of a whole number: those of an `int64`."""

_LONGEST_TEXT = 1024
"""Bytes of a text that is compared with those of a preset, which are shorter."""


class FieldError(ValueError):
    """What is wrong with the value of a field."""


class Found(NamedTuple):
    """A value that is there: its place, as in `spec.groups[2].replicas`, and its JSON; empty for an object or list."""

    where: str
    raw: bytes

    @property
    def is_null(self) -> bool:
        """Whether it is null."""
        return self.raw == b"null"


def scalar(raw: bytes) -> str | int | bool | None:
    """Return a text, whole number or truth value; None for anything else, and for what no preset compares with."""
    if not raw or raw[:1] in b"{[" or len(raw) > _LONGEST_TEXT:
        return None
    try:
        read = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return read if isinstance(read, (str, int)) else None


def text(found: Found) -> str:
    """Return a text. Raises: UncountableError."""
    if not found.raw.startswith(b'"'):
        raise UncountableError(found.where, FieldError(f"expected text, not {_kind_of(found.raw)}"))
    try:
        read: str = msgspec.json.decode(found.raw, type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UncountableError(found.where, FieldError("the text is no UTF-8")) from error
    return read


def whole(found: Found) -> int:
    """Return a whole number that is not negative. Raises: UncountableError."""
    raw = found.raw
    if not raw.isdigit():
        negative = raw[:1] == b"-" and raw[1:].isdigit()
        why = f"{raw[:40].decode()} is negative" if negative else f"expected a whole number, not {_kind_of(raw)}"
        raise UncountableError(found.where, FieldError(why))
    if len(raw) > _MOST_DIGITS:
        raise UncountableError(found.where, FieldError(f"the number has more than {_MOST_DIGITS} digits"))
    return int(raw)


def quantity(found: Found) -> Fraction:
    """Return a quantity in units, as the API server reads it; null is none. Raises: UncountableError."""
    if not found.raw or found.raw[:1] not in b'"-0123456789':
        raise UncountableError(found.where, FieldError(f"expected a quantity, not {_kind_of(found.raw)}"))
    try:
        return Fraction(read_quantity(found.raw.decode(errors="replace")).nanos, NANOS)
    except QuantityError as error:
        raise UncountableError(found.where, error) from error


def _kind_of(raw: bytes) -> str:
    """Return what the JSON *raw* is, in words."""
    first = raw[:1]
    if first == b'"':
        return "a text"
    if raw in (b"true", b"false"):
        return f"the truth value {raw.decode()}"
    if raw == b"null":
        return "null"
    if first in (b"", b"{", b"["):
        return "an object or a list"
    return f"the number {raw[:40].decode()}"
