"""
Places in a text, and mistakes at them.

Reading texts is not here, and neither is what a policy or an object must look like.
"""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

# Longer names are cut: a mistake is one line in a terminal, an Event or a denial.
_SHOWN: Final = 60
# The line breaks of YAML. JSON has only the first three; the others are so rare that they are counted there as well.
_LINE_BREAK: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_PLAIN_FIELD: Final = re.compile(r"[A-Za-z0-9_-]{1,60}")
_BRACKETED_FIELD: Final = re.compile(r"[^\[\]\"\\]{1,60}")


class Position(Struct, frozen=True, order=True, gc=False):
    """A place in a text: the line and the column (in characters), both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Mistake:
    """
    One thing that is wrong in a text, for the person who wrote it.

    ``source`` is what the reader called the text (a file name, a ConfigMap and its key); ``path`` is the field in
    Kubernetes' notation, empty if the whole text is meant. Both ``path`` and ``message`` are one line: line breaks and
    other control characters in what they quote are written as escapes.
    """

    source: str
    position: Position
    path: str
    message: str

    def __post_init__(self) -> None:
        for name, text in (("path", self.path), ("message", self.message)):
            if not text.isprintable():
                object.__setattr__(self, name, "".join(map(_visible, text)))

    def __str__(self) -> str:
        place = f"{self.source}:{self.position.line}:{self.position.column}"
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


def field_path(steps: Iterable[str | int]) -> str:
    """
    Return the path of a field as Kubernetes writes it: ``spec.containers[0].limits[nvidia.com/gpu]``.

    A name that would make the path hard to read (brackets, control characters, very long) is quoted and cut.
    """
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif _PLAIN_FIELD.fullmatch(step):
            path += f".{step}" if path else step
        elif _BRACKETED_FIELD.fullmatch(step) and step.isprintable():
            path += f"[{step}]"
        else:
            path += f"[{shown(step)}]"
    return path


def shown(text: str) -> str:
    """Return *text* in double quotes, on one line and cut to a readable length, for use in a message."""
    cut = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
    return json.dumps(cut, ensure_ascii=not cut.isprintable())


def _visible(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]


class Lines:
    """The line breaks of a text: they turn an offset (in characters, from 0) into a position."""

    __slots__ = ("_starts",)

    def __init__(self, text: str) -> None:
        self._starts: Final = [0, *(found.end() for found in _LINE_BREAK.finditer(text))]

    def position(self, offset: int) -> Position:
        """Return the position of the character at *offset*; an offset just after the end is allowed."""
        line = bisect.bisect_right(self._starts, offset)
        return Position(line, offset - self._starts[line - 1] + 1)
