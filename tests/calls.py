"""What something costs, as a number that is the same each time, however busy the machine is."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def counted_calls() -> Iterator[Counter[str]]:
    """
    Count the functions that this thread calls inside: `call` are those of Python, `c_call` those of C.

    No garbage is collected meanwhile: Hypothesis is called back then, at times that no test knows.
    """
    kinds = Counter[str]()
    is_collecting = gc.isenabled()
    gc.disable()
    sys.setprofile(lambda _, kind, __: kinds.update((kind,)))
    try:
        yield kinds
    finally:
        sys.setprofile(None)
        if is_collecting:
            gc.enable()
