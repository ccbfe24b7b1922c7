"""
JSON text as the trees that ``tree`` describes: one value, or several one after the other, with exact numbers.

Stricter than most readers: a key given twice is a mistake. Which kinds of objects there are is not known here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from webhook.documents.mistake import Lines, Position, shown
from webhook.documents.tree import MAX_DEPTH, Document, Scalar
from webhook.documents.tree_builder import TreeBuilder
from webhook.quota.errors import WebhookError

# The largest 64-bit float has 309 digits before the point. Longer numbers are nobody's amounts, and slow to convert.
_MAX_NUMBER: Final = 400
# Possessive throughout: a string without its closing quote is refused in one pass.
_TOKEN: Final = re.compile(
    r'(?:("[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+")'
    r"|(-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+)"
    r"|(true|false|null)"
    r"|(NaN|-?Infinity)"
    r"|([\[\]{},:]))[ \t\r\n]*+",
)
_SPACE: Final = " \t\r\n"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_WORDS: Final = {"true": True, "false": False, "null": None}

# What may come next, in the words of the message that says it did not.
_VALUE: Final = "a value"
_FIRST_ITEM: Final = "a value or ]"
_FIRST_KEY: Final = "a key in double quotes or }"
_KEY: Final = "a key in double quotes"
_COLON: Final = "a colon"
_MORE: Final = "a comma or the closing bracket"


def read_stream(text: str, *, source: str) -> Iterator[Document]:
    """
    Give each JSON value of the text with its mistakes; the text is one value, or values with or without space between.

    The first syntax error ends the reading. ``Scalar.text`` is the number as written; where ``Scalar.value`` cannot
    hold it, that is rounded or infinite. Never raises, whatever the text.
    """
    return _Reader(text.removeprefix("\ufeff"), source).read()


class _Reader:
    """A parser without recursion: the open brackets are in its builder, and what may come next is one word."""

    __slots__ = ("_builder", "_expected", "_lines", "_source", "_text")

    def __init__(self, text: str, source: str) -> None:
        self._text: Final = text
        self._source: Final = source
        self._lines: Final = Lines(text)
        self._builder = TreeBuilder(source)
        self._expected = _VALUE

    def read(self) -> Iterator[Document]:
        text = self._text
        offset = len(text) - len(text.lstrip(_SPACE))
        is_between = True
        while offset < len(text) or not is_between:
            token = _TOKEN.match(text, offset)
            try:
                if token is None:
                    raise _SyntaxError  # noqa: TRY301 - the one place where all of them are told
                self._take(token)
            except _SyntaxError as error:
                yield self._builder.break_off(error.reason or self._unexpected(offset), self._lines.position(offset))
                return
            offset = token.end()
            is_between = self._builder.is_complete
            if is_between:
                yield self._builder.finish()
                self._builder = TreeBuilder(self._source)

    def _take(self, token: re.Match[str]) -> None:
        mark = token[5]
        if mark is not None:
            self._take_mark(mark, token.start())
            return
        string, number, word, not_finite, _ = token.groups()
        position = self._lines.position(token.start())
        if string is not None and self._expected in (_KEY, _FIRST_KEY):
            self._take_string(string, position)
            self._expected = _COLON
            return
        if self._expected not in (_VALUE, _FIRST_ITEM):
            raise _SyntaxError
        if string is not None:
            self._take_string(string, position)
        elif number is not None:
            self._take_number(number, position)
        elif word is not None:
            self._builder.add(Scalar(_WORDS[word], word, position))
        else:
            self._builder.drop(f"{not_finite} is no JSON number", position)
        self._expect_what_follows_a_value()

    def _take_mark(self, mark: str, offset: int) -> None:
        builder = self._builder
        expected = self._expected
        if mark == "," and expected == _MORE:
            self._expected = _KEY if builder.is_in_mapping else _VALUE
        elif mark == ":" and expected == _COLON:
            self._expected = _VALUE
        elif mark in "{[" and expected in (_VALUE, _FIRST_ITEM):
            if builder.is_full:
                raise _SyntaxError(f"nested deeper than {MAX_DEPTH} levels")
            self._expected = _FIRST_KEY if mark == "{" else _FIRST_ITEM
            (builder.open_mapping if mark == "{" else builder.open_sequence)(self._lines.position(offset))
        elif mark == ("}" if builder.is_in_mapping else "]") and expected in (_MORE, _FIRST_KEY, _FIRST_ITEM):
            builder.close()
            self._expect_what_follows_a_value()
        else:
            raise _SyntaxError

    def _take_string(self, string: str, position: Position) -> None:
        value = string[1:-1]
        if "\\" in value:
            try:
                value = json.loads(string)
            except json.JSONDecodeError as error:
                raise _SyntaxError(f"the string {shown(value)} has an escape that JSON does not know") from error
        if not value.isascii() and _SURROGATE.search(value):
            self._builder.drop("half of a surrogate pair is no character", position)
        elif self._builder.awaits_key:
            self._builder.add_key(value, text=value, position=position)
        else:
            self._builder.add(Scalar(value, value, position))

    def _take_number(self, number: str, position: Position) -> None:
        if len(number) > _MAX_NUMBER:
            self._builder.drop(f"a number of {len(number)} characters, at most {_MAX_NUMBER} are read", position)
            return
        is_integer = number.removeprefix("-").isdigit()
        self._builder.add(Scalar(int(number) if is_integer else float(number), number, position))

    def _expect_what_follows_a_value(self) -> None:
        self._expected = _VALUE if self._builder.is_complete else _MORE

    def _unexpected(self, offset: int) -> str:
        rest = self._text[offset : offset + 20]
        return f"expected {self._expected}, found {shown(rest) if rest else 'the end'}"


class _SyntaxError(WebhookError):
    """The text is no JSON from here on; without a reason, because something else was expected."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason: Final = reason
