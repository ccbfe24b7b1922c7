"""
Files, folders and standard input, as they are named on the command line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from webhook.quota.errors import WebhookError

_SUFFIXES = frozenset({".yaml", ".yml", ".json", ".jsonl"})

STANDARD_INPUT = "-"


class InputError(WebhookError):
    """An input that cannot be read. One line: which one, and why."""


class Input(NamedTuple):
    """One text, and the name to show for it."""

    source: str
    text: str


def read_inputs(names: Iterable[str]) -> Iterator[Input]:
    """
    Return the texts in the order of *names*; a folder stands for the manifests in it, sorted by name.

    Raises: InputError.
    """
    for name in names:
        if name == STANDARD_INPUT:
            yield Input("stdin", _decoded("stdin", sys.stdin.buffer.read()))
            continue
        path = Path(name)
        for file in _files(path):
            try:
                content = file.read_bytes()
            except OSError as error:
                raise InputError(f"{file}: {error.strerror}") from error
            yield Input(str(file), _decoded(str(file), content))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.iterdir() if each.suffix in _SUFFIXES)
    if not found:
        raise InputError(f"{path}: no .yaml, .yml, .json or .jsonl file in it")
    return found


def _decoded(source: str, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: not UTF-8 at byte {error.start}") from error
