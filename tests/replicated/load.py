"""People who create pods at a limit all the time, and delete some, so that there is always something to win."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.replicated.asking import Answer, Asking, statuses

_AFTER_REFUSAL = 0.02


class Load:
    """Creates in *place* as *user*. With *deletes*, whoever is refused deletes the oldest of his own pods."""

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
        """Have it go on while the body runs; every request has its answer afterwards."""
        tasks = [asyncio.create_task(self._work()) for _ in range(workers)]
        try:
            yield
        finally:
            self._is_over = True
            await asyncio.gather(*tasks)

    @property
    def uids(self) -> set[str]:
        """Of all that were created, as the API server said."""
        return {each.uid for each in self.created if each.status == 201}

    def told(self) -> str:
        """What came back, for a failing test."""
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
