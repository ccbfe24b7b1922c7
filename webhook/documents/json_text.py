"""
JSON text as the trees that ``tree`` describes: one value, or several one after the other, with exact numbers.

Every node of a value stands where the value begins: the standard library reports no places inside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from webhook.documents.mistake import Lines, Mistake, Position, shown
from webhook.documents.tree import MAX_DEPTH, Document, Field, Mapping, Node, Scalar, Sequence

_SPACE: Final = re.compile(r"[ \t\r\n]*+")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class _Number(str):
    """A number as written."""

    __slots__ = ()


class _Pairs(tuple[tuple[str, object], ...]):
    """The fields of an object in order, also those that are given twice."""

    __slots__ = ()


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_Pairs, parse_float=_Number, parse_int=_Number, parse_constant=_refuse
)


def read_stream(text: str, *, source: str) -> Iterator[Document]:
    """
    Yield each JSON value of the text; the text is one value, or values with or without space between.

    The first mistake ends the reading; one that is not of syntax stands where its value begins. ``Scalar.text`` is the
    number as written; where ``Scalar.value`` cannot hold it, that is rounded or infinite. Never raises, whatever the
    text.
    """
    text = text.removeprefix("\ufeff")
    lines = Lines(text)
    offset = _end_of_space(text, 0)
    while offset < len(text):
        position = lines.position(offset)
        try:
            value, offset = _decoder.raw_decode(text, offset)
            yield Document(_node(value, position, MAX_DEPTH), ())
        except json.JSONDecodeError as error:
            yield _broken(source, lines.position(error.pos), f"this is no JSON: {error.msg}")
            return
        except RecursionError:
            yield _broken(source, position, _TOO_DEEP)
            return
        except ValueError as error:
            yield _broken(source, position, str(error))
            return
        offset = _end_of_space(text, offset)


_TOO_DEEP: Final = f"nested deeper than {MAX_DEPTH} levels"


def _node(value: object, position: Position, levels: int) -> Node:
    """Return the tree of a decoded value, at most *levels* deep. Raises: ValueError."""
    match value:
        case _Pairs() | list() if levels == 0:
            raise ValueError(_TOO_DEEP)
        case _Pairs():
            fields: dict[str, Field] = {}
            for key, each in value:
                if key in fields:
                    raise ValueError(f"the key {shown(key)} is given twice")
                fields[_text(key)] = Field(key, position, _node(each, position, levels - 1), key)
            return Mapping(fields, position)
        case list():
            return Sequence(tuple(_node(each, position, levels - 1) for each in value), position)
        case _Number():
            is_integer = value.removeprefix("-").isdigit()
            return Scalar(int(value) if is_integer else float(value), str(value), position)
        case str():
            return Scalar(_text(value), value, position)
        case bool():
            return Scalar(value, "true" if value else "false", position)
        case _:
            return Scalar(None, "null", position)


def _text(text: str) -> str:
    if not text.isascii() and _SURROGATE.search(text):
        raise ValueError("half of a surrogate pair is no character")
    return text


def _broken(source: str, position: Position, message: str) -> Document:
    return Document(None, (Mistake(source, position, "", message),))


def _end_of_space(text: str, offset: int) -> int:
    found = _SPACE.match(text, offset)
    return found.end() if found else offset
