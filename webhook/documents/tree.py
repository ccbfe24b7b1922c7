"""
What a document says, as a tree whose every node knows its place in the text.

How the tree is built lies in ``tree_builder``, ``yaml_text`` and ``json_text``.

The nodes are ``msgspec`` structs that the garbage collector does not track, since a tree has no cycles: a policy of
1 MiB has 300 000 of them, and a full collection would stop everything else for as long as it looks at each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from msgspec import Struct

from webhook.documents.mistake import Mistake, Position

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"

# The deepest built-in object, a CRD with a pod template in its schema, nests about 30 levels. Within this depth
# plain recursion over a tree is safe; without a bound, a hundred thousand brackets end the process.
MAX_DEPTH: Final = 64


class Scalar(Struct, frozen=True, gc=False):
    """
    One value that contains no others.

    ``text`` is what was written (without quotes): amounts are read from it, because a ``float`` has been rounded.
    """

    value: str | int | float | bool | None
    text: str
    position: Position


class Sequence(Struct, frozen=True, gc=False):
    """A list, in order."""

    items: tuple[Node, ...]
    position: Position


class Field(Struct, frozen=True, gc=False):
    """
    One field of a mapping.

    ``key_text`` is the key as written: for an unquoted ``yes`` it is ``yes`` where ``key`` is ``true``.
    """

    key: str
    key_position: Position
    value: Node
    key_text: str


class Mapping(Struct, frozen=True, gc=False):
    """An object: its fields by key, in the order of the text."""

    fields: dict[str, Field]
    position: Position


Node: TypeAlias = Scalar | Sequence | Mapping


class Document(Struct, frozen=True, gc=False):
    """
    One document of a text, with everything that is wrong in it.

    ``root`` is ``None`` if the document could not be read to its end. If there are mistakes, what could not be read is
    left out of the tree: it serves to look for more mistakes, and must not be acted upon.
    """

    root: Node | None
    mistakes: tuple[Mistake, ...]


def plain(node: Node) -> JsonValue:
    """Return the tree as plain JSON values, without positions; numbers as in ``Scalar.value``."""
    match node:
        case Scalar():
            return node.value
        case Sequence():
            return [plain(item) for item in node.items]
        case Mapping():
            return {field.key: plain(field.value) for field in node.fields.values()}


def node_at(root: Node, steps: Iterable[str | int]) -> Node | None:
    """Return the value at *steps*, None if it is absent."""
    node: Node | None = root
    for step in steps:
        if isinstance(node, Mapping) and isinstance(step, str) and step in node.fields:
            node = node.fields[step].value
        elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
        else:
            return None
    return node


def position_of(root: Node, steps: Iterable[str | int], *, at_key: bool = False) -> Position:
    """Return where the value at *steps* is, or with *at_key* its key; the nearest node around it if it is absent."""
    node, position = root, root.position
    for step in steps:
        if isinstance(node, Mapping) and isinstance(step, str) and step in node.fields:
            field = node.fields[step]
            node = field.value
            position = field.key_position if at_key else node.position
        elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            position = node.position
        else:
            break
    return position
