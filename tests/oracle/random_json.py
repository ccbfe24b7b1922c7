"""
JSON values that stand by chance, and quantities in every spelling: the same ones for the same seed.

The modules random_* beside this one make objects of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeAlias

Json: TypeAlias = "str | int | float | list[Json] | dict[str, Json] | None"

DECIMAL_SUFFIXES = ("", "m", "k", "M", "G")
BINARY_SUFFIXES = ("Ki", "Mi", "Gi")
RARE_SUFFIXES = ("n", "u", "T", "P", "Ti", "Pi")
ODD_QUANTITIES: tuple[Json, ...] = (
    *("0", "00", "-0", "+0", "0m", "0Ki", "0e5", ".", "+", "k", "Ki", None, 0, -0.0),
    *(" 1 ", "\u00a01", "+1", "1.", ".5", "1.500", "001", "1e4294967296", "1000m", "1024Ki", "1000000n"),
    *(1, 2.5, 1e3, 1e-3, 1e22, 1e-9, 0.1, 123456789, 9007199254740993),
    *("0.1Ki", "1.1Ki", "0.3Gi", "0.0001Ki", "1.0001Ki", "0.000001Ki", "1.00000000001Gi", "1023.9999Mi"),
    *("1e-3", "5e-1", "2.5e-4", "1e-10", "1e3", "2.5E+3", "1e19", "123e20", "1e100", "3.14e1", "15e-4"),
    *("1n", "1u", "0.0001", "0.0000000001", "1.0000000001", "1.9999999999", "999999999n", "1500u", "1.5n"),
    *("9E", "1P", "7Ei", "8Ei", "100Ei", "1.5Ei", "9223372036854775807", "9223372036854775808"),
    *("9223372036854775807k", "100000000000000000000m", "123456789012345678901234567890"),
)
"""Texts that a parser is likely to get wrong. No exact multiple of 1000E: see `webhook.quota.quantity.canonical`."""


class RandomJson:
    """Makes values from one sequence of random numbers."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  nothing secret, and the same every time

    def quantity(self) -> Json:
        """Return a quantity as it may stand in JSON, never below zero."""
        kind = self._random.random()
        if kind < 0.15:
            return self._random.choice(ODD_QUANTITIES)
        whole = str(self._random.randrange(10 ** self._random.randint(1, 4)))
        if kind < 0.4:
            return whole + self._random.choice(DECIMAL_SUFFIXES)
        if kind < 0.7:
            return whole + self._random.choice(BINARY_SUFFIXES)
        if kind < 0.8:
            return (
                f"{whole}{self._random.choice('eE')}{self._random.choice(['', '+', '-'])}{self._random.randint(0, 9)}"
            )
        fraction = f"{self._random.randrange(1000):03}"
        suffixes = (*DECIMAL_SUFFIXES, *BINARY_SUFFIXES, *RARE_SUFFIXES)
        return f"{whole}.{fraction}{self._random.choice(suffixes)}"

    def text(self) -> str:
        """Return a text that may be a quantity: a spelling from above, changed here and there, or letters at random."""
        text = str(self.quantity())
        while self._chance(0.5):
            at = self._random.randint(0, len(text))
            cut = self._random.randint(0, 2)
            text = text[:at] + self._random.choice([*"0123456789.+-eEinumkKMGTP x", "", "000", "Ki"]) + text[at + cut :]
        return text if len(text) < 60 else text[:60]

    def _maybe(self, owner: dict[str, Json], field: str, value: Callable[[], Json]) -> None:
        """Set *field* of *owner* to *value* mostly; else leave it out, or set it to null."""
        kind = self._random.random()
        if kind < 0.7:
            owner[field] = value()
        elif kind < 0.8:
            owner[field] = None

    def _chance(self, of_one: float) -> bool:
        return self._random.random() < of_one
