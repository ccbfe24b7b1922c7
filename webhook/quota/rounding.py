"""
Amounts as people read them: exact where that is short, else rounded so that what is said of them stays true.

`resources.show` has the exact text. What is asked for and what is taken is rounded up, what is left and what would fit
is rounded down: whoever adds up never finds room that is not there. Times are always exact.
"""

from __future__ import annotations

from fractions import Fraction

from webhook.quota import durations, quantity, resources, share
from webhook.quota.quantity import NANOS, Format
from webhook.quota.resources import LOGICAL, Amount

_MOST_DIGITS = 6
_MOST = 10**_MOST_DIGITS
_LARGEST_DENOMINATOR = 99
_MILLI = NANOS // 1000

_DECIMAL_UNITS = tuple(_MILLI * 1000**power for power in range(8))
_BINARY_UNITS = tuple(NANOS * 1024**power for power in range(7))


def at_least(name: str, amount: Amount, form: Format | None = None) -> str:
    """Return *amount* of resource *name*, rounded up: what is requested, used or reserved. *form* as in `show`."""
    return _text(name, amount, form, is_up=True)


def at_most(name: str, amount: Amount, unit: str = "", form: Format | None = None) -> str:
    """
    Return *amount* of resource *name*, rounded down: what is limited or free, or would fit.

    It is told in *unit*, a suffix such as `Gi` or `m`, if there is one of it. *form* as in `show`.
    """
    in_unit = _in_unit(amount, unit) if unit and name not in LOGICAL else None
    return in_unit or _text(name, amount, form, is_up=False)


def _text(name: str, amount: Amount, form: Format | None, *, is_up: bool) -> str:
    if name in durations.TIMES:
        return durations.show(int(amount))
    if name in LOGICAL and amount < _MOST * NANOS:
        return _share(Fraction(amount) / NANOS, is_up=is_up)
    form = form or resources.form_of_kubernetes(name)
    if isinstance(amount, int) and _is_short(exact := quantity.canonical(amount, form)):
        return exact
    units = _BINARY_UNITS if form is Format.BINARY_SI else _DECIMAL_UNITS
    for unit in units:
        number = _divided(amount, unit, is_up=is_up)
        if number < _MOST:
            return quantity.canonical(number * unit, form)
    digits = 10 ** (len(str(int(amount))) - 3)
    return quantity.canonical(_divided(amount, digits, is_up=is_up) * digits, Format.DECIMAL_EXPONENT)


def _share(number: Fraction, *, is_up: bool) -> str:
    if number.denominator <= _LARGEST_DENOMINATOR:
        return share.show(number)
    thousandths = _divided(number * 1000, 1, is_up=is_up)
    whole, rest = divmod(thousandths, 1000)
    return f"{whole}.{rest:03}".rstrip("0").rstrip(".")


def _in_unit(amount: Amount, unit: str) -> str | None:
    """Return *amount*, rounded down, in *unit* with two decimals at most; None if there is less than one of it."""
    scale = quantity.parse(f"1{unit}").nanos
    hundredths = _divided(amount, scale, is_up=False) * 100 if scale <= _MILLI else int(amount * 100 // scale)
    if not 100 <= hundredths < 100 * _MOST:
        return None
    whole, rest = divmod(hundredths, 100)
    return f"{whole}.{rest:02}".rstrip("0").rstrip(".") + unit


def _is_short(exact: str) -> bool:
    return not exact.endswith(("n", "u")) and sum(each.isdigit() for each in exact) <= _MOST_DIGITS


def _divided(amount: Amount, by: int, *, is_up: bool) -> int:
    return int(-(-amount // by) if is_up else amount // by)
