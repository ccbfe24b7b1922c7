"""
Sums and products over fields, exact: `replicas ?? 1`, `100m * sockets * cores`, `min(replicas, most) * hosts`.

Literals are whole numbers and quantities. `a ?? b` is `b` where `a` is absent, and binds closer than `*`. `min` and
`max` leave out what is absent, a sum likewise, and a product with an absent factor is absent. There are no functions to
define, no loops and no divisions, so that the time it takes is bounded by the length of the text.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from operator import mul
from typing import TypeAlias

from webhook.quota import field_paths, quantity
from webhook.quota.field_paths import Path, PathError
from webhook.quota.quantity import NANOS, QuantityError

_LONGEST = 512
"""Characters of one expression."""
_DEEPEST = 4
"""Levels of `min(...)` and `max(...)` inside each other."""

_SPACE = re.compile(r"\s*+")
_LITERAL = re.compile(r"[0-9][0-9A-Za-z.]*+", re.ASCII)
_CALL = re.compile(r"(min|max)\s*\(", re.ASCII)


Number: TypeAlias = int | Fraction
"""An exact number."""


class Join(enum.Enum):
    """How the parts of an expression become one value."""

    SUM = "+"
    PRODUCT = "*"
    FIRST = "??"
    LEAST = "min"
    MOST = "max"


@dataclass(frozen=True, slots=True)
class Literal:
    """A number in the text, in units."""

    value: Number


@dataclass(frozen=True, slots=True)
class Joined:
    """Two or more parts."""

    join: Join
    parts: tuple[Term, ...]


Term: TypeAlias = Literal | Path | Joined

Lookup: TypeAlias = Callable[[Path], Number | None]
"""Returns the sum of the values at a path, None if there is none."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression."""

    text: str
    term: Term

    def __str__(self) -> str:
        """Return it as it was written."""
        return self.text

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the paths in it."""
        return tuple(_paths(self.term))

    def value(self, lookup: Lookup) -> Number | None:
        """Return the value, exact; None if the fields that it needs are absent."""
        return _value(self.term, lookup)


def parse(text: str) -> Expression:
    """Return the expression in *text*. Raises: PathError."""
    if len(text) > _LONGEST:
        raise PathError(text, _LONGEST, f"longer than {_LONGEST} characters")
    scanner = _Scanner(text)
    term = scanner.sum(0)
    scanner.skip_space()
    if scanner.position != len(text):
        raise PathError(text, scanner.position, f"expected +, * or ??, found {text[scanner.position]!r}")
    return Expression(text, term)


class _Scanner:
    """Reads one text from left to right."""

    __slots__ = ("position", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def skip_space(self) -> None:
        found = _SPACE.match(self.text, self.position)
        self.position = found.end() if found else self.position

    def takes(self, token: str) -> bool:
        self.skip_space()
        if not self.text.startswith(token, self.position):
            return False
        self.position += len(token)
        return True

    def sum(self, depth: int) -> Term:
        return self._joined(Join.SUM, lambda: self._product(depth))

    def _product(self, depth: int) -> Term:
        return self._joined(Join.PRODUCT, lambda: self._first(depth))

    def _first(self, depth: int) -> Term:
        return self._joined(Join.FIRST, lambda: self._operand(depth))

    def _joined(self, join: Join, part: Callable[[], Term]) -> Term:
        parts = [part()]
        while self.takes(join.value):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Joined(join, tuple(parts))

    def _operand(self, depth: int) -> Term:
        self.skip_space()
        call = _CALL.match(self.text, self.position)
        if call is not None:
            return self._call(Join(call[1]), call.end(), depth + 1)
        found = _LITERAL.match(self.text, self.position)
        if found is not None:
            try:
                value = Fraction(quantity.parse(found[0]).nanos, NANOS)
            except QuantityError as error:
                raise PathError(self.text, self.position, error.why) from error
            self.position = found.end()
            return Literal(value.numerator if value.denominator == 1 else value)
        if self.text.startswith("-", self.position):
            raise PathError(self.text, self.position, "nothing is subtracted, and no number is negative:")
        path, self.position = field_paths.scan(self.text, self.position)
        return path

    def _call(self, join: Join, start: int, depth: int) -> Term:
        if depth > _DEEPEST:
            raise PathError(self.text, self.position, f"more than {_DEEPEST} levels of min and max")
        self.position = start
        parts = [self.sum(depth)]
        while self.takes(","):
            parts.append(self.sum(depth))
        if not self.takes(")"):
            raise PathError(self.text, self.position, f"expected , or ) of {join.value}")
        if len(parts) == 1:
            raise PathError(self.text, start, f"{join.value} takes two or more values:")
        return Joined(join, tuple(parts))


def _paths(term: Term) -> Iterator[Path]:
    if isinstance(term, Path):
        yield term
    elif isinstance(term, Joined):
        for part in term.parts:
            yield from _paths(part)


def _value(term: Term, lookup: Lookup) -> Number | None:
    if isinstance(term, Literal):
        return term.value
    if isinstance(term, Path):
        return lookup(term)
    if term.join is Join.FIRST:
        return next((value for part in term.parts if (value := _value(part, lookup)) is not None), None)
    values = [_value(part, lookup) for part in term.parts]
    given = [value for value in values if value is not None]
    if not given or (term.join is Join.PRODUCT and len(given) < len(values)):
        return None
    return _JOINED[term.join](given)


_JOINED: Mapping[Join, Callable[[list[Number]], Number]] = {
    Join.SUM: sum,
    Join.PRODUCT: lambda values: reduce(mul, values),
    Join.LEAST: min,
    Join.MOST: max,
}
