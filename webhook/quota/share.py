"""
Exact numbers as people write shares of devices: `1/7`, `2+3/7`, `0.25`.

Quantities of Kubernetes know no fractions; those are in `quantity`.
"""

from __future__ import annotations

import re
from fractions import Fraction

from webhook.quota.errors import WebhookError

FINEST = 10**6
"""The largest denominator: enough for one MiB of a card's memory. Sums of a few such shares stay short."""

_NUMBER = r"[0-9]{1,18}"
_SHARE = re.compile(rf"(?:({_NUMBER})\+)?({_NUMBER})/({_NUMBER})", re.ASCII)
_DECIMAL = re.compile(rf"{_NUMBER}(?:\.[0-9]{{1,18}})?", re.ASCII)


class ShareError(WebhookError, ValueError):
    """A text is no share. `text` is the input, cut to a readable length; `why` is the reason."""

    def __init__(self, text: str, why: str) -> None:
        """Record the input, cut to 40 characters, and the reason."""
        self.text = text if len(text) <= 40 else text[:37] + "..."
        self.why = why
        super().__init__(f"{self.text} {why}")


def parse(text: str) -> Fraction:
    """
    Return the number in *text*: whole (`2`), decimal (`0.25`), a fraction (`1/7`), or both (`2+3/7`).

    Raises: ShareError for anything else (a sign, an exponent, `.5`), for a division by zero, and for a share that is
    finer than a millionth.
    """
    if _DECIMAL.fullmatch(text):
        number = Fraction(text)
    else:
        match = _SHARE.fullmatch(text)
        if match is None:
            raise ShareError(text, "is no exact number such as 1, 1/4 or 0.25")
        whole, top, bottom = (int(digits or 0) for digits in match.groups())
        if not bottom:
            raise ShareError(text, "divides by zero")
        number = whole + Fraction(top, bottom)
    if number.denominator > FINEST:
        raise ShareError(text, "is finer than a millionth")
    return number


def show(number: Fraction | int) -> str:
    """Return *number*, which is not negative, as `parse` reads it: `2`, `1/7`, `2+3/7`."""
    whole, top = divmod(number.numerator, number.denominator)
    if not top:
        return str(whole)
    return f"{whole}+{top}/{number.denominator}" if whole else f"{top}/{number.denominator}"
