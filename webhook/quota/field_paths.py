"""
Where a value lies in an object: dotted fields, list items, keys of maps. Text only; nothing is looked up here.

A path is `spec.user`, `metadata.labels["app.kubernetes.io/name"]`, `spec.groups[*].replicas` (each item of a list, or
each value of a map) or `status.conditions[type=Ready].status` (those items whose field has that text).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from webhook.quota.errors import WebhookError

_LONGEST = 256
"""Characters of one path. The longest that a real CRD needs has about 100."""
_MOST_STEPS = 24
_MOST_REPEATED = 3
"""Steps that stand for several values: each multiplies what one path may visit."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
_QUOTED = re.compile(r"\"([^\"\n]+)\"|'([^'\n]+)'")
_BARE = re.compile(r"[^\]\"'\s]+")

ROOT = "$"
"""The object itself; `$.spec` inside an item of a list is the `spec` of the object, not of the item."""


class PathError(WebhookError, ValueError):
    """A text is no path or no expression. It says at which character, counted from 1, and what is expected there."""

    def __init__(self, text: str, offset: int, why: str) -> None:
        """Keep the place (*offset* is counted from 0) and the reason."""
        self.offset = offset
        shown = text if len(text) <= 80 else f"{text[:77]}..."
        super().__init__(f"{shown!r}: {why} at character {offset + 1}")


class Name(NamedTuple):
    """A field of an object, or a key of a map."""

    name: str


class Each(NamedTuple):
    """Every item of a list, or every value of a map. `key` and `value`: only those with that text in that field."""

    key: str = ""
    value: str = ""


Step: TypeAlias = Name | Each


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path. `is_from_root`: it begins with `$`, so that it means the object also inside an item of a list."""

    text: str
    steps: tuple[Step, ...]
    is_from_root: bool = False

    def __str__(self) -> str:
        """Return it as it was written."""
        return self.text

    @property
    def is_repeated(self) -> bool:
        """Whether it can stand for several values."""
        return any(isinstance(step, Each) for step in self.steps)


def parse(text: str) -> Path:
    """Return the path in *text*. Raises: PathError."""
    path, end = scan(text, 0)
    if end != len(text):
        raise PathError(text, end, f"unexpected {text[end]!r}")
    return path


def scan(text: str, start: int) -> tuple[Path, int]:
    """Return the path that begins at *start* of *text*, and the offset of its end. Raises: PathError."""
    steps: list[Step] = []
    position = start
    is_from_root = text.startswith(ROOT, position)
    if is_from_root:
        position += len(ROOT)
    else:
        position = _name(text, position, steps)
    while position < len(text) and text[position] in ".[":
        position = _name(text, position + 1, steps) if text[position] == "." else _bracket(text, position + 1, steps)
        if len(steps) > _MOST_STEPS:
            raise PathError(text, start, f"a path has at most {_MOST_STEPS} steps; this one begins")
    if position - start > _LONGEST:
        raise PathError(text, start, f"a path has at most {_LONGEST} characters; this one begins")
    if sum(isinstance(step, Each) for step in steps) > _MOST_REPEATED:
        raise PathError(text, start, f"a path goes through at most {_MOST_REPEATED} lists; this one begins")
    return Path(text[start:position], tuple(steps), is_from_root), position


def _name(text: str, position: int, steps: list[Step]) -> int:
    found = _NAME.match(text, position)
    if found is None:
        raise PathError(text, position, 'expected the name of a field (write other keys as in labels["a.b/c"])')
    steps.append(Name(found[0]))
    return found.end()


def _bracket(text: str, position: int, steps: list[Step]) -> int:
    if text.startswith("*]", position):
        steps.append(Each())
        return position + 2
    quoted = _QUOTED.match(text, position)
    if quoted is not None:
        steps.append(Name(quoted[1] or quoted[2]))
        position = quoted.end()
    else:
        name = _NAME.match(text, position)
        if name is None or not text.startswith("=", name.end()):
            raise PathError(text, position, 'expected *, "key" or field=value')
        position = name.end() + 1
        quoted, bare = _QUOTED.match(text, position), _BARE.match(text, position)
        if quoted is not None:
            value, position = quoted[1] or quoted[2], quoted.end()
        elif bare is not None:
            value, position = bare[0], bare.end()
        else:
            raise PathError(text, position, "expected a value")
        steps.append(Each(name[0], value))
    if not text.startswith("]", position):
        raise PathError(text, position, "expected ]")
    return position + 1
