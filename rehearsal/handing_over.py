"""
Handing over what a leaver owns, under load, while a replica is killed and while somebody else takes the room.

Nothing is judged here.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass

from nemesis.records import CLAIMS, PODS
from rehearsal import manifests
from rehearsal.client import STRATEGIC, Actor, Client, person
from rehearsal.commands import Ended, userquota
from rehearsal.installing import Report
from rehearsal.load import View
from rehearsal.manifests import CLAIM, DEPLOYMENT, POD, REPLICA_SET, STATEFUL_SET, Document
from rehearsal.policy import Policy
from rehearsal.site import Site
from rehearsal.sizes import Size

_KINDS = (POD, CLAIM, DEPLOYMENT, REPLICA_SET, STATEFUL_SET)
_SPARE = 6
"""Pods that an heir may have beside those that are handed over."""


@dataclass(frozen=True, slots=True)
class Case:
    """One hand-over: whether somebody takes the room meanwhile, and whether a replica is killed meanwhile."""

    name: str
    is_room_taken: bool
    is_replica_killed: bool

    @property
    def leaver(self) -> str:
        return f"leaver-{self.name}"

    @property
    def heir(self) -> str:
        return f"heir-{self.name}"


CASES = (
    Case("fits", is_room_taken=False, is_replica_killed=True),
    Case("both", is_room_taken=True, is_replica_killed=True),
    Case("taken", is_room_taken=True, is_replica_killed=False),
)
NAMESPACES = tuple(case.name for case in CASES)


@dataclass(frozen=True, slots=True)
class HandedOver:
    """
    What became of one hand-over.

    `left` are the leaver's objects as they were afterwards, `taken` is how many pods the competitor got.
    """

    case: Case
    ended: Ended
    left: list[Document]
    taken: int

    @property
    def items(self) -> list[Document]:
        """Return what the command says of each object; nothing if it says nothing."""
        items: list[Document] = [] if self.ended.document is None else self.ended.document["items"]
        return items


def policy_for(size: Size) -> Policy:
    """Return a policy with room for a hand-over, where nobody takes it."""
    pods, claims = _charged(size)
    hard = {"pods": f"{pods + _SPARE}", "storage": f"{claims}Gi"}
    return Policy(user={"pods": "30"}, users={name: hard for case in CASES for name in (case.leaver, case.heir)})


async def hand_over_all(site: Site, client: Client, view: View, size: Size, report: Report) -> list[HandedOver]:
    """Hand over in each case; the policy is in force."""
    results = []
    for case in CASES[: size.handovers]:
        report(f"handing over {size.handed_over} objects: {case.name}")
        results.append(await _Handover(site, client, view, size, case).carry_out())
    return results


def _charged(size: Size) -> tuple[int, int]:
    return 3 * size.deployments + 2 * size.sets + size.pods, 2 * size.sets + size.claims


class _Handover:
    """One of the cases."""

    def __init__(self, site: Site, client: Client, view: View, size: Size, case: Case) -> None:
        self._site = site
        self._client = client
        self._view = view
        self._size = size
        self._case = case
        self._is_over = False
        self._numbers = itertools.count()
        self._taken = 0

    async def carry_out(self) -> HandedOver:
        case = self._case
        await self._create()
        words = ("adopt", "--all-of", case.leaver, "--to", case.heir, "-n", case.name)
        async with self._load():
            ended = await userquota(*words, kubeconfig=self._site.cluster.kubeconfig())
        await asyncio.to_thread(self._site.replicas.wait_until_ready, 60)
        found = await self._left()
        return HandedOver(case, ended, found, self._taken)

    async def _create(self) -> None:
        """Create what the leaver owns, and return when all of it is recorded."""
        name, size, leaver = self._case.name, self._size, person(self._case.leaver)
        several = [
            *((DEPLOYMENT, manifests.deployment(f"web-{number}", 3)) for number in range(size.deployments)),
            *((STATEFUL_SET, manifests.stateful_set(f"db-{number}", 2)) for number in range(size.sets)),
            *((POD, manifests.pod(f"alone-{number}")) for number in range(size.pods)),
            *((CLAIM, manifests.claim(f"files-{number}")) for number in range(size.claims)),
        ]
        await self._client.create_all((kind, name, document, leaver) for kind, document in several)
        pods, claims = _charged(size)
        async with asyncio.timeout(120):
            while (self._owned(PODS, leaver.name), self._owned(CLAIMS, leaver.name)) != (pods, claims):
                await asyncio.sleep(0.1)

    def _owned(self, kind: str, owner: str) -> int:
        return sum(slot.namespace == self._case.name and each.owner == owner for slot, each in self._view[kind].items())

    async def _left(self) -> list[Document]:
        """Return the leaver's objects as they are now, without those of colleagues and of the heir."""
        return [
            {**each, "kind": kind.name}
            for kind in _KINDS
            for each in await self._client.objects(kind, self._case.name)
            if not each["metadata"]["name"].startswith(("own-", "takes-"))
        ]

    @asynccontextmanager
    async def _load(self) -> AsyncIterator[None]:
        """Let colleagues and the heir work while the body runs, and do what the case says meanwhile."""
        colleagues = [person(f"colleague-{number}") for number in range(self._size.colleagues)]
        work: list[Coroutine[object, object, None]] = [self._colleague(each) for each in colleagues]
        if self._case.is_room_taken:
            work.append(self._when_moved(1, self._take_room))
        else:
            work.append(self._colleague(person(self._case.heir)))
        if self._case.is_replica_killed:
            work.append(self._when_moved(_charged(self._size)[0] // 3, self._kill))
        tasks = [asyncio.create_task(each) for each in work]
        try:
            yield
        finally:
            self._is_over = True
            await asyncio.gather(*tasks)

    async def _when_moved(self, pods: int, do: Callable[[], Coroutine[object, object, None]]) -> None:
        """Wait until the heir pays for so many pods, or until the end, and do it then."""
        while not self._is_over and self._owned(PODS, self._case.heir) < pods:
            await asyncio.sleep(0.01)
        await do()

    async def _kill(self) -> None:
        self._site.replicas.kill(0)
        await asyncio.sleep(1)
        self._site.replicas.start_one(0)

    async def _take_room(self) -> None:
        """Create pods as the heir, many at once and then one by one until the end, whatever is refused."""
        await asyncio.gather(*(self._take_one() for _ in range(2 * _SPARE)))
        while not self._is_over:
            await self._take_one()
            await asyncio.sleep(0.1)

    async def _take_one(self) -> None:
        pod = manifests.pod(f"takes-{next(self._numbers)}")
        answer = await self._client.create(POD, self._case.name, pod, by=person(self._case.heir))
        self._taken += answer.is_done

    async def _colleague(self, actor: Actor) -> None:
        """Again and again: create and delete a pod, change a workload of the leaver, delete a pod of it."""
        client, place = self._client, self._case.name
        while not self._is_over:
            number = next(self._numbers)
            await client.create(POD, place, manifests.pod(f"own-{number}"), by=actor)
            path = DEPLOYMENT.path(place, f"web-{number % self._size.deployments}")
            noted = {"metadata": {"annotations": {f"{manifests.GROUP}/note": f"{number}"}}}
            await client.change(path, noted, by=actor, content=STRATEGIC)
            some = [slot.name for slot in self._view[PODS] if slot.namespace == place and slot.name.startswith("web-")]
            if some and not number % 10:
                await client.delete(POD, place, some[number % len(some)], by=actor)
            await client.delete(POD, place, f"own-{number}", by=actor)
            await asyncio.sleep(self._size.pause)
