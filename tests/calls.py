"""What something costs, as a number that is the same each time, however busy the machine is."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def counted_calls() -> Iterator[Counter[str]]:
    """Give how many functions this thread has called inside, once it is over: `call` are Python's, `c_call` are C's."""
    kinds = Counter[str]()
    sys.setprofile(lambda _, kind, __: kinds.update((kind,)))
    try:
        yield kinds
    finally:
        sys.setprofile(None)
