"""
Builds the tree of one document from the pieces a parser reports, one after the other, without recursion.

Keeps watch over keys and paths for every format. Syntax and scalars lie in ``yaml_text`` and ``json_text``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from webhook.documents.mistake import Mistake, Position, field_path, shown
from webhook.documents.tree import MAX_DEPTH, Document, Entry, Mapping, Node, Scalar, Sequence


@dataclass(slots=True)
class _OpenSequence:
    position: Position
    items: list[Node] = field(default_factory=list)
    index: int = 0  # of the item that comes next; items left out are counted, so that paths stay true


@dataclass(slots=True)
class _Key:
    key: str
    text: str
    position: Position
    is_kept: bool


@dataclass(slots=True)
class _OpenMapping:
    position: Position
    entries: list[Entry] = field(default_factory=list)
    seen: dict[str, Position] = field(default_factory=dict)
    awaits_value: bool = False
    key: _Key | None = None  # None while a value is awaited: the key could not be read


class TreeBuilder:
    """One document in the making. Not reusable: take a new one for the next document."""

    __slots__ = ("_frames", "_mistakes", "_root", "_source", "is_complete")

    def __init__(self, source: str) -> None:
        self._source = source
        self._frames: list[_OpenSequence | _OpenMapping] = []
        self._mistakes: list[Mistake] = []
        self._root: Node | None = None
        self.is_complete = False

    @property
    def is_full(self) -> bool:
        """Whether one more level would be too deep; a parser asks before it opens one."""
        return len(self._frames) >= MAX_DEPTH

    @property
    def is_in_mapping(self) -> bool:
        """Whether the innermost open node is a mapping."""
        return bool(self._frames) and isinstance(self._frames[-1], _OpenMapping)

    @property
    def awaits_key(self) -> bool:
        """Whether the next node is a key of a mapping."""
        top = self._frames[-1] if self._frames else None
        return isinstance(top, _OpenMapping) and not top.awaits_value

    def open_sequence(self, position: Position) -> None:
        """Begin a list."""
        self._frames.append(_OpenSequence(position))

    def open_mapping(self, position: Position) -> None:
        """Begin an object."""
        self._frames.append(_OpenMapping(position))

    def close(self) -> None:
        """End the innermost list or object."""
        match self._frames.pop():
            case _OpenSequence(position, items):
                self.add(Sequence(tuple(items), position))
            case _OpenMapping(position, entries):
                self.add(Mapping(tuple(entries), position))

    def add_key(self, key: str, *, text: str, position: Position) -> None:
        """Name the field whose value comes next; a key that was there already is a mistake, and the first one stays."""
        top = self._open_mapping()
        first = top.seen.setdefault(key, position)
        top.awaits_value = True
        top.key = _Key(key, text, position, is_kept=first is position)
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
        match top:
            case None:
                self._root = node
                self.is_complete = True
            case _OpenSequence():
                top.items.append(node)
                top.index += 1
            case _OpenMapping(awaits_value=False):
                self.add_mistake(f"a key must be text, not {_kind(node)}", node.position)
                self.drop_key()
            case _OpenMapping():
                if top.key is not None and top.key.is_kept:
                    top.entries.append(Entry(top.key.key, top.key.position, node, top.key.text))
                top.awaits_value = False

    def drop(self, message: str, position: Position) -> None:
        """Leave out a node that could not be read, and tell why."""
        self.add_mistake(message, position)
        top = self._frames[-1] if self._frames else None
        match top:
            case None:
                self.is_complete = True
            case _OpenSequence():
                top.index += 1
            case _OpenMapping(awaits_value=False):
                self.drop_key()
            case _OpenMapping():
                top.awaits_value = False

    def add_mistake(self, message: str, position: Position) -> None:
        """Tell what is wrong with the node that is being read."""
        self._mistakes.append(Mistake(self._source, position, field_path(self._steps()), message))

    def finish(self) -> Document:
        """Give the finished document."""
        return Document(self._root, tuple(self._mistakes))

    def break_off(self, message: str, position: Position) -> Document:
        """Give the document as one that could not be read to its end."""
        # No path: the parser is often a good deal further than the field it has last reported.
        return Document(None, (*self._mistakes, Mistake(self._source, position, "", message)))

    def _open_mapping(self) -> _OpenMapping:
        top = self._frames[-1]
        if not isinstance(top, _OpenMapping):
            raise TypeError("a key outside a mapping")
        return top

    def _steps(self) -> Iterator[str | int]:
        for frame in self._frames:
            match frame:
                case _OpenSequence():
                    yield frame.index
                case _OpenMapping(awaits_value=True, key=_Key(key=key)):
                    yield key
                case _OpenMapping():
                    pass


def _kind(node: Node) -> str:
    match node:
        case Scalar():
            return "a value"
        case Sequence():
            return "a list"
        case Mapping():
            return "a mapping"
