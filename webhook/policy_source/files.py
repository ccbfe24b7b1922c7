"""
Policies in files.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path

from webhook.documents.policy_text import PolicyText


def read_files(paths: Iterable[Path]) -> tuple[PolicyText, ...]:
    """
    Return the texts of policy files; a folder stands for its `*.yaml`, `*.yml` and `*.json`.

    Raises: OSError with the file's name, also for a folder without any and for a file that is not UTF-8.
    """
    texts = []
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = sorted(each for each in path.iterdir() if each.suffix in (".yaml", ".yml", ".json"))
        if not inside:
            raise FileNotFoundError(errno.ENOENT, "no .yaml, .yml or .json file in it", str(path))
        texts += [PolicyText(str(each), _text_of(each)) for each in inside]
    return tuple(texts)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise OSError(errno.EILSEQ, f"not UTF-8 at byte {error.start}", str(path)) from error
