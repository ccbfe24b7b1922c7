"""
People who come and go: each makes some pods and claims in namespaces that come and go, too, and meets limits.

All names are new again and again, so that whatever is kept for each name that ever was shows.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from localcluster.users import PEOPLE_GROUP
from tests.cluster.creating import one_container
from tests.replicated.asking import CLAIMS, NO_ANSWER, PODS, Answer, Asking, Made

POLICY = """version: 1
defaults:
  user: {{hard: {{pods: 12, cpu: {cpu}, persistentvolumeclaims: 6, requests.storage: 100Gi}}, perPod: {{cpu: 4}}}}
groups:
  course-0: {{pool: {{hard: {{cpu: 60}}}}}}
tenants:
  research: {{namespaces: {{matchLabels: {{team: research}}}}, hard: {{cpu: {tenant}}}}}
"""

_AT_ONCE = 20
"""People who are active at the same time."""

_MOST_UNDER_WAY = 40
"""Acts at the same time. Where the machine is too slow for the rate there are fewer acts, and no more objects."""

_ACTS_OF_ONE = 40
"""Acts after which the next person comes, and the one who has been there longest leaves."""

_NAMESPACES = 8
_MOST_LEFT = 250
"""Objects of each kind. Whatever is beyond is deleted, the oldest first."""

_NAMESPACE_LIVES = 120.0
"""Seconds, on average."""

_UNTIL_USABLE = 2.0
"""Seconds until a namespace has its service account, without which it takes no pods."""

_DEPLOYMENTS = Made(
    "apis/apps/v1",
    "deployments",
    "Deployment",
    {
        "replicas": 15,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": one_container()},
    },
)
"""More pods than a person may have: their controller is refused again and again."""

_TOO_LARGE = Made("api/v1", "pods", "Pod", one_container(cpu="5"))


class _Left(NamedTuple):
    namespace: str
    name: str


class People:
    """Acts *rate* times a second while `run` runs. `answers` counts the status of each kind of act."""

    def __init__(self, asking: Asking, *, rate: float, seed: int) -> None:
        self._asking = asking
        self._rate = rate
        self._chance = random.Random(seed)
        self._acts = 0
        self._places: deque[str] = deque()
        self._left: dict[str, deque[_Left]] = {each.resource: deque() for each in (PODS, CLAIMS, _DEPLOYMENTS)}
        self.answers: Counter[tuple[str, int]] = Counter()
        self.namespaces = 0
        self._next_place = 0.0
        self._gate = asyncio.Semaphore(_MOST_UNDER_WAY)

    @property
    def people(self) -> int:
        """How many there were so far."""
        return self._acts // _ACTS_OF_ONE + _AT_ONCE

    @property
    def acts(self) -> int:
        """How many there were so far, deletions included."""
        return self._acts

    async def begin(self) -> None:
        """Make the first namespaces."""
        for _ in range(_NAMESPACES):
            await self._open_namespace()

    async def run(self) -> None:
        """Act until cancelled."""
        acts: Mapping[Callable[[], Awaitable[None]], int] = {
            self._create_pod: 50,
            self._create_claim: 25,
            self._ask_too_much: 15,
            self._deploy: 1,
        }
        clock = asyncio.get_running_loop().time
        self._next_place = clock()
        async with asyncio.TaskGroup() as under_way:
            while True:
                await self._gate.acquire()
                self._acts += 1
                (act,) = self._chance.choices(list(acts), list(acts.values()))
                under_way.create_task(self._all_of(act))
                if clock() >= self._next_place:
                    self._next_place += _NAMESPACE_LIVES / _NAMESPACES
                    under_way.create_task(self._move())
                await asyncio.sleep(1 / self._rate)

    async def _all_of(self, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
            await self._clean_up()
        finally:
            self._gate.release()

    async def _clean_up(self) -> None:
        for resource, left in self._left.items():
            while len(left) > (_MOST_LEFT if resource != _DEPLOYMENTS.resource else 4):
                oldest = left.popleft()
                made = next(each for each in (PODS, CLAIMS, _DEPLOYMENTS) if each.resource == resource)
                self._count("delete", await self._asking.ask("DELETE", f"{made.path(oldest.namespace)}/{oldest.name}"))

    async def _create_pod(self) -> None:
        await self._create("create a pod", PODS)

    async def _create_claim(self) -> None:
        await self._create("create a claim", CLAIMS)

    async def _deploy(self) -> None:
        await self._create("create a Deployment", _DEPLOYMENTS)

    async def _ask_too_much(self) -> None:
        """Ask three times for what is refused, as a loop does."""
        person = self._person()
        for _ in range(3):
            await self._create("ask for too much", _TOO_LARGE, person)

    async def _create(self, what: str, of: Made, person: int | None = None) -> None:
        person = self._person() if person is None else person
        namespace = self._chance.choice(self._places)
        name = f"{of.kind.lower()}-{self._acts}-{self._chance.randrange(10**6):06}"
        body = {"apiVersion": of.api_version, "kind": of.kind, "metadata": {"name": name}, "spec": of.spec}
        groups = (PEOPLE_GROUP, f"course-{person % 7}", f"year-{person}")
        answer = await self._asking.ask(
            "POST", of.path(namespace), body=body, acting_as=f"person-{person}", in_groups=groups
        )
        self._count(what, answer)
        if answer.status == 201 and of is not _TOO_LARGE:
            self._left[of.resource].append(_Left(namespace, name))

    async def _move(self) -> None:
        """Open a namespace, and delete the oldest with all that is in it."""
        await self._open_namespace()
        oldest = self._places.popleft()
        for left in self._left.values():
            kept = [each for each in left if each.namespace != oldest]
            left.clear()
            left.extend(kept)
        self._count("delete a namespace", await self._asking.ask("DELETE", f"/api/v1/namespaces/{oldest}"))

    async def _open_namespace(self) -> None:
        self.namespaces += 1
        name = f"work-{self.namespaces}"
        labels = {"team": "research" if self.namespaces % 2 else f"team-{self.namespaces}"}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        status = NO_ANSWER
        while status not in (201, 409):  # 409 after an answer that was lost
            answer = await self._asking.ask("POST", "/api/v1/namespaces", body=body)
            self._count("create a namespace", answer)
            status = answer.status
        await asyncio.sleep(_UNTIL_USABLE)
        self._places.append(name)

    def _person(self) -> int:
        return self._acts // _ACTS_OF_ONE + self._chance.randrange(_AT_ONCE)

    def _count(self, what: str, answer: Answer) -> None:
        self.answers[what, answer.status] += 1
