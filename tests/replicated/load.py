"""Users that create pods at a limit continuously, and delete some, so that a place becomes free again and again."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from tests.replicated.asking import Answer, Asking, statuses

_AFTER_REFUSAL = 0.02


class Load:
    """Creates pods in *place* as *user*. With *deletes*, a denied worker deletes the oldest of its own pods."""

    def __init__(self, asking: Asking, place: str, user: str, *, deletes: bool = True) -> None:
        self._asking = asking
        self._place = place
        self._user = user
        self._deletes = deletes
        self._numbers = itertools.count()
        self._is_over = False
        self.created: list[Answer] = []

    @asynccontextmanager
    async def running(self, *, workers: int = 12) -> AsyncIterator[None]:
        """Create pods while the body runs; afterwards every request has its response."""
        tasks = [asyncio.create_task(self._work()) for _ in range(workers)]
        try:
            yield
        finally:
            self._is_over = True
            await asyncio.gather(*tasks)

    async def until(self, wanted: Mapping[int, int], *, within: float) -> None:
        """Wait, while the load runs, until each status of *wanted* was answered as often as it says."""
        end = time.monotonic() + within
        while any(statuses(self.created)[status] < count for status, count in wanted.items()):
            assert time.monotonic() < end, f"{wanted} not within {within} s: {self.summary()}"
            await asyncio.sleep(0.1)

    @property
    def uids(self) -> set[str]:
        """Return the uids of all created pods, as the API server reported them."""
        return {each.uid for each in self.created if each.status == 201}

    def summary(self) -> str:
        """Return the responses, for the message of a failing test."""
        others = {each.message[:300] for each in self.created if each.status not in (201, 403)}
        return f"{statuses(self.created)} {sorted(others)[:10]}"

    async def _work(self) -> None:
        own: deque[str] = deque()
        while not self._is_over:
            answer = await self._asking.create_pod(self._place, f"load-{next(self._numbers)}", user=self._user)
            self.created.append(answer)
            if answer.status == 201:
                own.append(answer.name)
                continue
            if answer.status == 403 and own and self._deletes:
                await self._asking.delete_pod(self._place, own.popleft(), user=self._user)
            await asyncio.sleep(_AFTER_REFUSAL)
