"""
Files, folders and standard input, as they are named on the command line.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from webhook.documents.object_text import RawObject, read_objects
from webhook.quota.errors import WebhookError

MANIFEST_SUFFIXES = frozenset({".yaml", ".yml", ".json", ".jsonl"})
"""Of files with manifests, as kubectl takes them."""

STANDARD_INPUT = "-"

_SAYS_SOMETHING = re.compile(r"^(?!---\s*$|\.\.\.\s*$|\s*#)[ \t]*\S", re.MULTILINE)
"""What is not a comment, nor a mark between two documents."""

MOST_TEXT = 1 << 30
"""Bytes of what kubectl has saved of a whole cluster: it may be as large as memory allows."""

MOST_WRITTEN = 32 << 20
"""Bytes of what people write: in YAML they take a minute to read, and a gigabyte of memory."""


NO_OBJECT = "no Kubernetes object in it"
"""What is wrong with an empty file."""


class InputError(WebhookError):
    """An input that cannot be read. One line: which one, and why."""


class Input(NamedTuple):
    """One text, and the name to show for it."""

    source: str
    text: str


def read_inputs(
    names: Iterable[str],
    *,
    suffixes: Collection[str] = MANIFEST_SUFFIXES,
    is_deep: bool = False,
    most: int = MOST_WRITTEN,
) -> Iterator[Input]:
    """
    Return the texts in the order of *names*; a folder stands for the files with *suffixes* in it, sorted by name.

    If it *is_deep*, also for those in the folders below, but for hidden ones. A text may have as many bytes as *most*.
    Raises: InputError.
    """
    for name in names:
        for each in input_names(name, suffixes=suffixes, is_deep=is_deep):
            yield read_input(each, most=most)


def input_names(name: str, *, suffixes: Collection[str] = MANIFEST_SUFFIXES, is_deep: bool = False) -> Sequence[str]:
    """Return *name*, or what it stands for if it is a folder. See `read_inputs`. Raises: InputError."""
    path = Path(name)
    if name == STANDARD_INPUT or not path.is_dir():
        return (name,)
    return tuple(map(str, _files(path, suffixes, is_deep=is_deep)))


def read_input(name: str, *, most: int = MOST_WRITTEN) -> Input:
    """Return the text of one file, or of standard input. Raises: InputError."""
    if name == STANDARD_INPUT:
        return Input("stdin", _decoded("stdin", sys.stdin.buffer.read(most + 1), most))
    file = Path(name)
    try:
        with file.open("rb") as opened:
            content = opened.read(most + 1)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from error
    return Input(str(file), _decoded(str(file), content, most))


def is_empty(text: str) -> bool:
    """Whether a text has nothing but comments, and marks between documents."""
    return _SAYS_SOMETHING.search(text) is None


def read_input_objects(names: Iterable[str], *, most: int = MOST_TEXT) -> list[RawObject]:
    """
    Return the objects of all files, each of as many bytes as *most*.

    Raises: InputError with every mistake, one a line; also if the files have nothing in them at all.
    """
    objects: list[RawObject] = []
    mistakes: list[str] = []
    has_text = False
    empty: list[str] = []
    for given in read_inputs(names, most=most):
        if is_empty(given.text):
            empty.append(given.source)
            continue
        has_text = True
        found, unreadable = read_objects(given.text, source=given.source, limit=MOST_TEXT)
        objects += found
        mistakes += map(str, unreadable)
    if mistakes:
        raise InputError("\n".join(mistakes))
    if empty and not has_text:
        raise InputError("\n".join(f"{source}: {NO_OBJECT}" for source in empty))
    return objects


def _files(path: Path, suffixes: Collection[str], *, is_deep: bool) -> list[Path]:
    files = (each for each in path.rglob("*") if not each.is_dir()) if is_deep else path.iterdir()
    found = sorted(each for each in files if each.suffix in suffixes and not _is_hidden(each.relative_to(path)))
    if not found:
        raise InputError(f"{path}: no {_listed(suffixes)} file in it")
    return found


def _is_hidden(below: Path) -> bool:
    """Whether a file is in a hidden folder, as those of git are, and those behind the links of a mounted ConfigMap."""
    return any(part.startswith(".") for part in below.parent.parts)


def _listed(suffixes: Collection[str]) -> str:
    *most, last = sorted(suffixes, key=[".yaml", ".yml", ".json", ".jsonl"].index)
    return f"{', '.join(most)} or {last}"


def _decoded(source: str, content: bytes, most: int) -> str:
    if len(content) > most:
        raise InputError(f"{source}: larger than {most >> 20} MiB, which is the most that is read: split it")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: not UTF-8 at byte {error.start}") from error
