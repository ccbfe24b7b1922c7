"""
Mutations of inputs, drawn by a seeded generator: of JSON by its structure, of texts by lines and words, and of bytes.

What cannot be read as JSON is mutated as text. No reader is known here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import NamedTuple

_MOST_WORDS = 2000
_DEEPEST = 1500
_WORD = re.compile(rb"[A-Za-z][A-Za-z0-9./_-]{1,60}")

_NUMBERS = (
    *("0", "-0", "1", "-1", "1.0", "1e3", "0.1", "1E-9", "1e400", "-1e400", "NaN", "Infinity", "01", "1e4294967296"),
    *(str(edge + step) for edge in (2**31, 2**53, 2**63, 2**64) for step in (-1, 0, 1)),
    *("9" * 20, "9" * 300, "9" * 5000),
)
_QUANTITIES = (
    *("1", "100m", "1.5Gi", "0", "-1", "1e3", "1E", "1Ki", "9E", "1e400", "0.0000000001", ".", "1k", "1 Gi", "+1"),
    "\N{FULLWIDTH DIGIT NINE}",
)
_TEXTS = (
    *("", " ", "\x00", "\n", "a\tb", "é", "Ünï", "\N{ARABIC-INDIC DIGIT THREE}", "\N{FULLWIDTH DIGIT ONE}"),
    *("\u2028", "\ufeff", "\N{GRINNING FACE}", "null", "true", "yes", "~", "<<", "*a", "&a"),
    *("system:nodes", "system:node:n", "system:serviceaccount:kube-system:replicaset-controller", "system:masters"),
    *("alice", "pods", "requests.cpu", "nvidia.com/gpu", "v1", "apps/v1", "2026-01-31T00:00:00Z", "mon-fri", "8h"),
    *("[]", "{}", "x" * 70, "x" * 300, "é" * 200, "a/" * 40),
)
_RAW_TEXTS = (r'"\ud800"', r'"\udc00\ud800"', r'"\u0000"', '"\\q"', '"\\u12"', '"open', '"\x01"', '"\ufffe"')
"""Texts as JSON that its encoder would not write: halves of surrogate pairs, escapes that there are not."""


class _Raw(NamedTuple):
    """JSON as it is to be written, valid or not."""

    text: str


class _Object(list[tuple[str, object]]):
    """The fields of an object in order, also those that are given twice."""


class _Unreadable(Exception):  # noqa: N818 - not an error: the input is then mutated as text
    pass


def words_of(inputs: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the names and values in *inputs*: what a reader may look for."""
    found: dict[bytes, None] = {}
    for each in inputs:
        found |= dict.fromkeys(_WORD.findall(each))
    return tuple(sorted(found))[:_MOST_WORDS]


class Mutator:
    """Draws mutations; the same *seed* draws the same."""

    def __init__(self, words: Sequence[bytes], *, seed: int, longest: int) -> None:
        self.random = Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self._words = words or (b"a",)
        self._longest = longest

    def mutated(self, data: bytes, other: bytes = b"") -> bytes:
        """Return *data* after one mutation or some; *other* is an input to take parts of."""
        for _ in range(self.random.choice((1, 1, 1, 2, 3, 6))):
            data = self._once(data, other)
        return data[: self._longest]

    def _once(self, data: bytes, other: bytes) -> bytes:
        draw = self.random.random()
        if draw < 0.6:
            try:
                return self._of_json(data, other)
            except _Unreadable:
                pass
        if draw < 0.85:
            return self._of_lines(data, other)
        return self._of_bytes(data, other)

    # Bytes.

    def _of_bytes(self, data: bytes, other: bytes) -> bytes:
        random = self.random
        start = random.randint(0, len(data))
        end = min(len(data), start + random.choice((0, 1, 1, 2, 4, 16, 200)))
        part = random.choice(
            (self._byte, self._word, self._text, lambda: self._slice(other), lambda: data[start:end] * 2)
        )
        return data[:start] + part() + data[end:] if random.random() < 0.85 else data[:start] + data[end:]

    def _byte(self) -> bytes:
        return bytes(
            [self.random.choice((self.random.randrange(256), 0, 0xFF, 0xC0, 0xED, ord('"'), ord("{"), ord("[")))]
        )

    def _word(self) -> bytes:
        return self.random.choice(self._words)

    def _text(self) -> bytes:
        return self.random.choice((*_TEXTS, *_NUMBERS, *_QUANTITIES, *_RAW_TEXTS)).encode(errors="surrogatepass")

    def _slice(self, data: bytes) -> bytes:
        start = self.random.randint(0, len(data))
        return data[start : start + self.random.randint(1, 60)]

    # Lines, as YAML has them.

    def _of_lines(self, data: bytes, other: bytes) -> bytes:
        random = self.random
        lines = data.split(b"\n")
        at = random.randrange(len(lines))
        line = lines[at]
        edits: tuple[Callable[[], list[bytes]], ...] = (
            lambda: [line, line],
            list,
            lambda: [b"  " + line],
            lambda: [line[1:]],
            lambda: [self._with_value(line)],
            lambda: [self._with_value(line)],
            lambda: [self._with_word(line)],
            lambda: [line, random.choice(other.split(b"\n"))],
            lambda: [line, line[: len(line) - len(line.lstrip())] + self._word() + b": " + self._word()],
        )
        return b"\n".join([*lines[:at], *random.choice(edits)(), *lines[at + 1 :]])

    def _with_value(self, line: bytes) -> bytes:
        name, colon, _ = line.partition(b":")
        value = self.random.choice((self._text(), self._word(), self._json_text().encode(errors="surrogatepass"), b"|"))
        return name + (colon or b":") + b" " + value

    def _with_word(self, line: bytes) -> bytes:
        found = list(_WORD.finditer(line))
        if not found:
            return line + self._word()
        one = self.random.choice(found)
        return line[: one.start()] + self.random.choice((self._word(), self._text())) + line[one.end() :]

    # JSON.

    def _of_json(self, data: bytes, other: bytes) -> bytes:
        tree, wanted = _read(data), self.random.random()
        donor = (lambda: self._part_of(other)) if wanted < 0.2 and other else self._value
        return _written(self._changed(tree, donor)).encode(errors="surrogatepass")

    def _part_of(self, other: bytes) -> object:
        try:
            tree = _read(other)
        except _Unreadable:
            return self._value()
        while isinstance(tree, list) and tree and self.random.random() < 0.8:
            item = self.random.choice(tree)
            tree = item[1] if isinstance(tree, _Object) and isinstance(item, tuple) else item
        return tree

    def _changed(self, tree: object, donor: Callable[[], object]) -> object:
        """Return *tree* with one place in it changed, on a path that is drawn."""
        random = self.random
        if not isinstance(tree, list) or not tree or random.random() < 0.2:
            return self._replaced(tree, donor)
        at = random.randrange(len(tree))
        copy = type(tree)(tree)
        if not isinstance(tree, _Object):
            copy[at] = self._changed(tree[at], donor)
            return copy
        name, value = tree[at]
        draw = random.random()
        if draw < 0.06:
            copy[at] = (random.choice((self._name(), name.upper(), name + " ", "")), value)
        elif draw < 0.12:
            copy.insert(at, (name, donor()))
        elif draw < 0.18:
            del copy[at]
        else:
            copy[at] = (name, self._changed(value, donor))
        return copy

    def _replaced(self, value: object, donor: Callable[[], object]) -> object:
        random = self.random
        draw = random.random()
        if draw < 0.5:
            return donor()
        if isinstance(value, _Object):
            return _Object([*value, (self._name(), donor())])
        if isinstance(value, list):
            return random.choice(
                (
                    lambda: [*value, donor()],
                    lambda: value * 2,
                    lambda: value[1:],
                    lambda: _Object([(str(i), each) for i, each in enumerate(value)]),
                )
            )()
        if isinstance(value, str):
            return random.choice(
                (value + random.choice(_TEXTS), value[:-1], value * 2, [value], value[::-1], random.choice(_QUANTITIES))
            )
        return random.choice((_Raw(random.choice(_NUMBERS)), [value], _Object([(self._name(), value)]), str(value)))

    def _name(self) -> str:
        return self._word().decode() if self.random.random() < 0.9 else self.random.choice(_TEXTS)

    def _json_text(self) -> str:
        return _written(self._value())

    def _value(self) -> object:
        random = self.random
        draw = random.random()
        if draw < 0.02:
            opening, closing = random.choice((("[", "]"), ('{"a":', "}")))
            depth = random.choice((40, 64, 65, 200, _DEEPEST))
            return _Raw(f"{opening * depth}1{closing * depth}")
        return random.choice(
            (
                lambda: None,
                lambda: random.random() < 0.5,
                lambda: _Raw(random.choice(_NUMBERS)),
                lambda: random.choice(_QUANTITIES),
                lambda: random.choice(_TEXTS),
                lambda: _Raw(random.choice(_RAW_TEXTS)),
                self._name,
                self._name,
                list,
                _Object,
                lambda: [self._name(), self._name()],
                lambda: _Object([(self._name(), random.choice(_QUANTITIES))]),
            )
        )()


def _read(data: bytes) -> object:
    try:
        return _DECODER.decode(data.decode())
    except (ValueError, RecursionError) as error:
        raise _Unreadable from error


_DECODER = json.JSONDecoder(object_pairs_hook=_Object, parse_float=_Raw, parse_int=_Raw, parse_constant=_Raw)


def _written(value: object) -> str:
    match value:
        case _Raw(text):
            return text
        case _Object():
            return "{" + ",".join(f"{_quoted(name)}:{_written(each)}" for name, each in value) + "}"
        case list():
            return "[" + ",".join(map(_written, value)) + "]"
        case _:
            return _quoted(value)


_quoted = json.JSONEncoder(ensure_ascii=False).encode
