"""
People who create pods without end, try others in dry runs, and take theirs away.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from rehearsal.client import Answer, Client, person
from rehearsal.manifests import POD

CREATED, REFUSED, FAILED = "created", "refused", "failed"


class Told(NamedTuple):
    """What was answered to one create, and when, by the wall clock."""

    asked: float
    answered: float
    outcome: str
    is_dry: bool
    answer: Answer


@dataclass(slots=True)
class Load:
    """Each of *people* has up to `most` pods in *namespace*, or tries to."""

    client: Client
    namespace: str
    people: int
    most: int
    pause: float = 0.1
    told: list[Told] = field(default_factory=list)
    _is_over: bool = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask while the body runs; afterwards every request has its answer."""
        tasks = [asyncio.create_task(self._person(f"person-{number}")) for number in range(self.people)]
        try:
            yield
        finally:
            self._is_over = True
            await asyncio.gather(*tasks)

    def between(self, begin: float, end: float) -> Counter[str]:
        """Return how many creates that were asked in that time had which outcome."""
        return Counter(each.outcome for each in self.told if begin <= each.asked < end)

    def failures(self) -> list[Told]:
        return [each for each in self.told if each.outcome == FAILED]

    async def _person(self, name: str) -> None:
        chance, held = random.Random(name), list[str]()
        for number in itertools.count():
            if self._is_over:
                return
            if len(held) < self.most and chance.random() < 0.7:
                pod = f"{name}-{number}"
                if await self._create(name, pod, is_dry=chance.random() < 0.25):
                    held.append(pod)
            elif held:
                gone = await self.client.delete(POD, self.namespace, held[0], by=person(name))
                if gone.status in (200, 202, 404):
                    del held[0]
            await asyncio.sleep(self.pause * chance.uniform(0.5, 1.5))

    async def _create(self, name: str, pod: str, *, is_dry: bool) -> bool:
        """Whether a pod is there now."""
        resources = {"requests": {"cpu": "100m"}}
        body = POD.document(pod, {"containers": [{"name": "main", "image": "example/x:1", "resources": resources}]})
        path = POD.path(self.namespace) + ("?dryRun=All" if is_dry else "")
        asked = time.time()
        answer = await self.client.ask("POST", path, body, by=person(name))
        self.told.append(Told(asked, time.time(), _outcome(answer), is_dry, answer))
        return answer.is_done and not is_dry


def _outcome(answer: Answer) -> str:
    if answer.is_done:
        return CREATED
    is_ours = answer.status == 403 and "exceeded quota" in answer.document.get("message", "")
    return REFUSED if is_ours else FAILED
