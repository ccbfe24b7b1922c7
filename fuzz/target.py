"""
What a target is: a reader, the inputs to begin with, and what has to hold whatever bytes it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
CORPUS = ROOT / "fuzz" / "corpus"


class BrokenPromiseError(AssertionError):
    """A reader has answered, and the answer is wrong."""


@dataclass(frozen=True, slots=True)
class Target:
    """
    One reader.

    `check` reads an input and returns, whatever it is: it catches the errors that the reader documents, and no others.
    `promise` says what it checks beyond that. `examples` are patterns of files of the repository to begin with, beside
    the kept corpus, and `made` returns inputs that cannot be kept as files. `longest` is the most bytes of a generated
    input. What has no structure is mutated by atheris alone, nineteen times of twenty. The tests try `mutations`.
    """

    name: str
    reader: str
    promise: str
    check: Callable[[bytes], object]
    examples: tuple[str, ...] = ()
    longest: int = 4096
    is_structured: bool = True
    mutations: int = 1000
    made: Callable[[], list[bytes]] = list

    def inputs(self) -> list[bytes]:
        """Return the inputs to begin with, in the order of their names."""
        kept = sorted((CORPUS / self.name).glob("*"))
        found = [path.read_bytes() for pattern in self.examples for path in sorted(ROOT.glob(pattern))]
        return [*found, *(path.read_bytes() for path in kept), *self.made()] or [b""]


def promise(holds: object, *facts: object) -> None:
    """Raise BrokenPromiseError with the *facts* unless something *holds*."""
    if not holds:
        raise BrokenPromiseError(*facts)
