"""
Kubernetes quantities as exact integers: parse, add, compare and print them as the API server does.

No floats and no rounding beyond the API server's own. `resources` and `kinds` decide which amounts are added.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import lru_cache

from webhook.quota.errors import WebhookError

NANOS = 10**9
"""The scale of an amount: the API server keeps nothing finer than a billionth of a unit."""

_FINEST = -9
_MILLI = NANOS // 1000

_MAX_TEXT = 512
"""Characters. The longest sensible quantity has about 30; arithmetic on a million digits must be impossible."""

_MAX_EXPONENT = 400
"""`1e1000000000` would need a number of a billion digits. The API server rejects no exponent here; we do, by name."""

_MAX_BINARY = (2**63 - 1) * NANOS
"""The API server caps binary quantities, and only those, at 2^63-1 (`apimachinery/pkg/api/resource/quantity.go`)."""

# ASCII on purpose: `\d` and int() accept full-width digits and underscores, the API server does not.
_GRAMMAR = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[+-]?[0-9]*)", re.ASCII)
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)", re.ASCII)


class Format(enum.Enum):
    """The notation of a quantity, which decides how it is printed."""

    DECIMAL_SI = "DecimalSI"
    BINARY_SI = "BinarySI"
    DECIMAL_EXPONENT = "DecimalExponent"


_DECIMAL_SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_SUFFIXES = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_SLOW_SUFFIXES = frozenset({"Pi", "Ei"})
"""Suffixes without a fast path in the API server, so that they need digits: `Ti` is zero, `Pi` is rejected."""

_SI_BY_EXPONENT = {exponent: suffix for suffix, exponent in _DECIMAL_SUFFIXES.items()}
_BINARY_BY_THOUSANDS = ["", *_BINARY_SUFFIXES]


class QuantityError(WebhookError, ValueError):
    """A text is not a quantity. `text` is the input, cut to a readable length; `why` is the reason."""

    def __init__(self, text: str, why: str) -> None:
        """Record the input, cut to 40 characters, and the reason."""
        self.text = text if len(text) <= 40 else text[:37] + "..."
        self.why = why
        super().__init__(f"invalid quantity {self.text!r}: {why}")


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact amount: `nanos` billionths of the resource's unit (cores, bytes, pieces), and its print format."""

    nanos: int
    format: Format = Format.DECIMAL_SI

    def __add__(self, other: Quantity) -> Quantity:
        """Return the sum. The left operand's format is kept unless it is zero, as in `Quantity.Add` of apimachinery."""
        return Quantity(self.nanos + other.nanos, other.format if self.nanos == 0 else self.format)

    def __str__(self) -> str:
        """Return the canonical form: no fraction, the largest suffix that loses nothing."""
        return canonical(self.nanos, self.format)

    def rounded_up(self) -> Quantity:
        """
        Return the amount rounded to a whole thousandth away from zero, the finest that a resource list keeps.

        Source: `SetDefaults_ResourceList` of Kubernetes 1.37.2.
        """
        thousandths = -(-abs(self.nanos) // _MILLI) * _MILLI
        return Quantity(thousandths if self.nanos > 0 else -thousandths, self.format)


ZERO = Quantity(0)
ONE = Quantity(NANOS)


@lru_cache(maxsize=8192)
def parse(text: str) -> Quantity:
    """
    Return the quantity that the API server reads in *text*.

    Digits beyond a billionth are rounded away from zero. Oddities are the API server's: `.` and `k` are zero,
    `1e4294967296` is one because the exponent wraps at 32 bits.

    Raises: QuantityError for any text its grammar rejects, and for more than 512 characters or an exponent above 400.
    Source: `ParseQuantity` of k8s.io/apimachinery v0.37; the vectors are in tests/quota/test_quantity.py.
    """
    if not text:
        raise QuantityError(text, "it is empty")
    if len(text) > _MAX_TEXT:
        raise QuantityError(text, f"it is longer than {_MAX_TEXT} characters")
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise QuantityError(text, _likely_mistake(text))
    sign, whole, fraction, suffix = match.groups(default="")
    base, exponent, form = _interpret(text, suffix)
    if not whole and not fraction and (exponent < _FINEST or suffix in _SLOW_SUFFIXES):
        raise QuantityError(text, "it has no digits")
    magnitude = _nanos(text, int((whole + fraction) or "0"), (base, exponent), len(fraction))
    if form is Format.BINARY_SI:
        if 0 < magnitude < NANOS:
            form = Format.DECIMAL_SI
        magnitude = min(magnitude, _MAX_BINARY)
    return Quantity(-magnitude if sign == "-" else magnitude, form)


def canonical(nanos: int, form: Format = Format.DECIMAL_SI) -> str:
    """
    Return *nanos* as the API server prints them: `1500m`, `1536Mi`, `10e18`.

    The binary format falls back to decimal below 1024 and for fractions. Above exa the decimal suffix stays `E`.
    """
    if nanos == 0:
        return "0"
    if form is Format.BINARY_SI and abs(nanos) >= 1024 * NANOS and nanos % NANOS == 0:
        return _binary(nanos // NANOS)
    number, exponent = nanos, -9
    while number % 1000 == 0 and (form is Format.DECIMAL_EXPONENT or exponent < 18):
        number //= 1000
        exponent += 3
    if form is Format.DECIMAL_EXPONENT:
        return f"{number}e{exponent}" if exponent else str(number)
    return f"{number}{_SI_BY_EXPONENT[exponent]}"


def _binary(number: int) -> str:
    thousands = 0
    while number % 1024 == 0 and thousands < len(_BINARY_BY_THOUSANDS) - 1:
        number //= 1024
        thousands += 1
    return f"{number}{_BINARY_BY_THOUSANDS[thousands]}"


def _interpret(text: str, suffix: str) -> tuple[int, int, Format]:
    if suffix in _DECIMAL_SUFFIXES:
        return 10, _DECIMAL_SUFFIXES[suffix], Format.DECIMAL_SI
    if suffix in _BINARY_SUFFIXES:
        return 2, _BINARY_SUFFIXES[suffix], Format.BINARY_SI
    match = _EXPONENT.fullmatch(suffix)
    if match is None:
        raise QuantityError(text, _likely_mistake(text))
    exponent = int(match[1])
    if not -(2**63) <= exponent < 2**63:
        raise QuantityError(text, "its exponent is out of range")
    return 10, (exponent + 2**31) % 2**32 - 2**31, Format.DECIMAL_EXPONENT


def _nanos(text: str, digits: int, scale: tuple[int, int], places: int) -> int:
    """Return digits * base^exponent / 10^places in billionths, rounded up."""
    base, exponent = scale
    if digits == 0:
        return 0
    if base == 2:
        return -(-((digits << exponent) * NANOS) // int(10**places))
    shift = exponent - places + 9
    if exponent > _MAX_EXPONENT:
        raise QuantityError(text, f"its exponent is above {_MAX_EXPONENT}")
    if shift >= 0:
        return digits * int(10**shift)
    if -shift > _MAX_TEXT:  # below any billionth; 10**-shift would be a needlessly long number
        return 1
    return -(-digits // int(10**-shift))


def _likely_mistake(text: str) -> str:
    """Return the likeliest mistake in *text*; the API server's own message only repeats the regular expression."""
    if text != text.strip():
        return "it has spaces around it"
    stripped = text.lstrip("+-0123456789.")
    if not text.isascii():
        return "only ASCII digits and suffixes are allowed"
    hints = {"K": "k or Ki", "ki": "Ki", "mi": "Mi", "gi": "Gi", "KB": "k", "MB": "M", "GB": "G", "Mb": "M", "g": "G"}
    if stripped in hints:
        return f"unknown suffix {stripped!r}, did you mean {hints[stripped]}?"
    return "expected a number with a suffix such as m, k, M, G, Ki, Mi, Gi or e3"
