"""
What a document says, as a tree whose every node knows its place in the text.

How the tree is built from YAML or JSON is in ``tree_builder``, ``yaml_text`` and ``json_text``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from webhook.documents.mistake import Mistake, Position

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"

# The deepest built-in object, a CRD with a pod template in its schema, nests about 30 levels. Within this depth
# plain recursion over a tree is safe; without a bound, a hundred thousand brackets end the process.
MAX_DEPTH: Final = 64


@dataclass(frozen=True, slots=True)
class Scalar:
    """
    One value that contains no others.

    ``text`` is what was written (without quotes): amounts are read from it, because a ``float`` has been rounded.
    """

    value: str | int | float | bool | None
    text: str
    position: Position


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list, in order."""

    items: tuple[Node, ...]
    position: Position


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One field of a mapping.

    ``key_text`` is the key as written: for an unquoted ``yes`` it is ``yes`` where ``key`` is ``true``.
    """

    key: str
    key_position: Position
    value: Node
    key_text: str


@dataclass(frozen=True, slots=True)
class Mapping:
    """An object: its fields in the order of the text, no key twice."""

    entries: tuple[Entry, ...]
    position: Position


Node: TypeAlias = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class Document:
    """
    One document of a text, with everything that is wrong in it.

    ``root`` is ``None`` if the document could not be read to its end. If there are mistakes, what could not be read is
    left out of the tree: it serves to look for more mistakes, and must not be acted upon.
    """

    root: Node | None
    mistakes: tuple[Mistake, ...]


def plain(node: Node) -> JsonValue:
    """Give the tree as plain JSON values, without positions; numbers as in ``Scalar.value``."""
    match node:
        case Scalar():
            return node.value
        case Sequence():
            return [plain(item) for item in node.items]
        case Mapping():
            return {entry.key: plain(entry.value) for entry in node.entries}
