"""
The kept corpus: the fewest and smallest inputs that reach all lines of the webhook that any of them reaches.
"""

from __future__ import annotations

import gc
import hashlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import _lru_cache_wrapper, cache
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz.target import CORPUS, ROOT, Target

_WEBHOOK = str(ROOT / "webhook")

Arc = tuple[str, int, int]
"""A step from one line of a file to another."""


def keep(target: Target, folder: Path) -> str:
    """Add to the corpus of *target* what in *folder* reaches steps that it does not; return a line about it."""
    kept = CORPUS / target.name
    kept.mkdir(parents=True, exist_ok=True)
    reached: set[Arc] = set()
    for each in target.inputs():
        reached |= arcs(target, each)
    before = len(reached)
    found = sorted((path.read_bytes() for path in folder.iterdir()), key=lambda each: (len(each), each))
    added = 0
    for each in found:
        new = arcs(target, each) - reached
        if new:
            reached |= new
            added += 1
            (kept / hashlib.sha256(each).hexdigest()[:12]).write_bytes(each)
    return f"{target.name}: {before} steps, with {added} more of {len(found)} inputs {len(reached)}"


def arcs(target: Target, data: bytes) -> set[Arc]:
    """Return the steps of the webhook's code that reading *data* takes. What was read before is forgotten."""
    for each in _caches():
        each.cache_clear()
    with _traced() as found:
        target.check(data)
    return found


@cache
def _caches() -> tuple[_lru_cache_wrapper[object], ...]:
    found = [each for each in gc.get_objects() if isinstance(each, _lru_cache_wrapper)]
    return tuple(each for each in found if str(each.__module__).startswith("webhook."))


@contextmanager
def _traced() -> Iterator[set[Arc]]:
    found: set[Arc] = set()

    def enter(frame: FrameType, kind: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        if kind != "call" or not name.startswith(_WEBHOOK):
            return None
        last = 0

        def step(frame: FrameType, kind: str, _: Any) -> Any:
            nonlocal last
            if kind == "line":
                found.add((name, last, frame.f_lineno))
                last = frame.f_lineno
            return step

        return step

    former = sys.gettrace()
    sys.settrace(enter)
    try:
        yield found
    finally:
        sys.settrace(former)


def size(targets: Iterable[Target]) -> int:
    """Return the bytes of the kept corpus."""
    return sum(path.stat().st_size for each in targets for path in (CORPUS / each.name).glob("*"))
