"""
Builds the tree of one document from the pieces a parser reports, one after the other, without recursion.

Checks keys and keeps paths for every format. Syntax and scalars are in ``yaml_text``.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from webhook.documents.mistake import Mistake, Position, field_path, shown
from webhook.documents.tree import MAX_DEPTH, Document, Field, Mapping, Node, Scalar, Sequence


class SectionField(NamedTuple):
    """One field of a section: of a mapping that a document holds under the key *section*."""

    section: str
    field: Field


@dataclass(slots=True)
class _OpenSequence:
    position: Position
    items: list[Node] = field(default_factory=list)
    index: int = 0  # of the item that comes next; items left out are counted, so that paths stay true


@dataclass(slots=True)
class _OpenMapping:
    position: Position
    section: str = ""
    fields: dict[str, Field] = field(default_factory=dict)
    seen: dict[str, Position] = field(default_factory=dict)
    awaits_value: bool = False
    # The key whose value is awaited; None if it could not be read.
    key: str | None = None
    key_text: str = ""
    key_position: Position = field(default_factory=lambda: Position(1, 1))


class TreeBuilder:
    """
    One document in the making. Not reusable: each document needs a new one.

    The fields of *sections* are handed over one by one as soon as they are whole, and left out of the tree: the tree of
    20 000 users would be large to keep, and slow to let go of.
    """

    __slots__ = ("_done", "_frames", "_mistakes", "_root", "_sections", "_source", "is_complete")

    def __init__(self, source: str, *, sections: Container[str] = ()) -> None:
        self._source = source
        self._sections = sections
        self._frames: list[_OpenSequence | _OpenMapping] = []
        self._mistakes: list[Mistake] = []
        self._done: list[SectionField] = []
        self._root: Node | None = None
        self.is_complete = False

    @property
    def is_full(self) -> bool:
        """Whether one more level would be too deep; a parser asks before it opens one."""
        return len(self._frames) >= MAX_DEPTH

    @property
    def awaits_key(self) -> bool:
        """Whether the next node is a key of a mapping."""
        if not self._frames:
            return False
        top = self._frames[-1]
        return isinstance(top, _OpenMapping) and not top.awaits_value

    def open_sequence(self, position: Position) -> None:
        """Begin a list."""
        self._frames.append(_OpenSequence(position))

    def open_mapping(self, position: Position) -> None:
        """Begin an object."""
        section = ""
        if len(self._frames) == 1:
            root = self._frames[0]
            if isinstance(root, _OpenMapping) and root.key is not None and root.key in self._sections:
                section = root.key
        self._frames.append(_OpenMapping(position, section))

    def close(self) -> None:
        """End the innermost list or object."""
        top = self._frames.pop()
        if isinstance(top, _OpenMapping):
            self.add(Mapping(top.fields, top.position))
        else:
            self.add(Sequence(tuple(top.items), top.position))

    def add_key(self, key: str, *, text: str, position: Position) -> None:
        """Name the field whose value comes next; a key that was there already is a mistake, and the first one stays."""
        top = self._open_mapping()
        first = top.seen.setdefault(key, position)
        top.awaits_value = True
        top.key, top.key_text, top.key_position = key, text, position
        if first is not position:
            message = f"the key {shown(key)} is given twice, first at line {first.line}, column {first.column}"
            self.add_mistake(message, position)

    def drop_key(self) -> None:
        """Leave out the field whose value comes next, because its key could not be read."""
        top = self._open_mapping()
        top.awaits_value = True
        top.key = None

    def add(self, node: Node) -> None:
        """Put a finished node where it belongs."""
        top = self._frames[-1] if self._frames else None
        if top is None:
            self._root = node
            self.is_complete = True
        elif isinstance(top, _OpenSequence):
            top.items.append(node)
            top.index += 1
        elif top.awaits_value:
            self._add_field(top, node)
            top.awaits_value = False
        else:
            self.add_mistake(f"a key must be text, not {_kind(node)}", node.position)
            self.drop_key()

    def drop(self, message: str, position: Position) -> None:
        """Leave out a node that could not be read, and record why."""
        self.add_mistake(message, position)
        top = self._frames[-1] if self._frames else None
        if top is None:
            self.is_complete = True
        elif isinstance(top, _OpenSequence):
            top.index += 1
        elif top.awaits_value:
            top.awaits_value = False
        else:
            self.drop_key()

    def add_mistake(self, message: str, position: Position) -> None:
        """Record what is wrong with the node that is being read."""
        self._mistakes.append(Mistake(self._source, position, field_path(self._steps()), message))

    def section_fields(self) -> tuple[SectionField, ...]:
        """Return the fields of sections that became whole since the last call."""
        done, self._done = tuple(self._done), []
        return done

    def finish(self) -> Document:
        """Return the finished document, without the fields of sections."""
        return Document(self._root, tuple(self._mistakes))

    def break_off(self, message: str, position: Position) -> Document:
        """Return the document as one that could not be read to its end."""
        # No path: the parser is often a good deal further than the field it has last reported.
        return Document(None, (*self._mistakes, Mistake(self._source, position, "", message)))

    def _add_field(self, top: _OpenMapping, value: Node) -> None:
        key = top.key
        if key is None or top.seen[key] is not top.key_position:
            return  # the key could not be read, or it was there before
        added = Field(key, top.key_position, value, top.key_text)
        if top.section:
            self._done.append(SectionField(top.section, added))
        else:
            top.fields[key] = added

    def _open_mapping(self) -> _OpenMapping:
        top = self._frames[-1]
        if not isinstance(top, _OpenMapping):
            raise TypeError("a key outside a mapping")
        return top

    def _steps(self) -> Iterator[str | int]:
        for frame in self._frames:
            if isinstance(frame, _OpenSequence):
                yield frame.index
            elif frame.awaits_value and frame.key is not None:
                yield frame.key


def _kind(node: Node) -> str:
    match node:
        case Scalar():
            return "a value"
        case Sequence():
            return "a list"
        case Mapping():
            return "a mapping"
