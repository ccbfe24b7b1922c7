"""
Something that is read live and shared: what many objects that are created together ask for is read once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_FRESH = 1.0
"""Seconds for which what was read is used: the pods of one workload, and many workloads, are created together."""

T = TypeVar("T")


class SharedRead(Generic[T]):
    """What *read* returns: calls at the same time share a read, and those of the next second its result."""

    def __init__(self, read: Callable[[], Awaitable[T]], *, monotonic: Callable[[], float]) -> None:
        """Read nothing yet."""
        self._read = read
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._known: tuple[float, T] | None = None

    async def value(self) -> T:
        """Return what was read, at most a second old. Raises: what *read* raises, which is not kept."""
        async with self._lock:
            now = self._monotonic()
            if self._known is None or now - self._known[0] > _FRESH:
                self._known = now, await self._read()
            return self._known[1]
