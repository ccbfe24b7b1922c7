"""
Who lives in the cluster goes on living: people, robots and operators, before, during and after the installation.

People take as much away as they create, so that their use does not grow with time.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager

from nemesis.records import PODS, PodRevision, Revision, Slot
from rehearsal import manifests
from rehearsal.client import ADMIN, APPLY, STRATEGIC, Answer, Client
from rehearsal.manifests import CLAIM, DEPLOYMENT, JOB, NOTEBOOK, POD, STATEFUL_SET, USER_LABEL, Document, Kind
from rehearsal.population import Member, Population

_KEPT: Mapping[Kind, int] = {DEPLOYMENT: 2, POD: 1, JOB: 1, CLAIM: 1, STATEFUL_SET: 1, NOTEBOOK: 1}
"""How many objects that come and go a person has at once."""

_RAISED = (2, 3)
"""The replicas of a Deployment that is scaled up and down."""

View = Mapping[str, Mapping[Slot, Revision]]


class Load:
    """
    The requests of people and programs, until the block of `running` ends. *view* holds what exists, by kind.

    `warned` counts the warnings that people read.
    """

    def __init__(self, client: Client, population: Population, view: View, *, pause: float) -> None:
        self._client = client
        self._population = population
        self._view = view
        self._pause = pause
        self._is_over = False
        self._numbers = itertools.count()
        self.warned = Counter[str]()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask while the body runs; afterwards every request has its answer."""
        several = self._population
        work = [
            *(self._again(self._member(each)) for each in several.members),
            *(self._again(self._robot(number)) for number in range(len(several.robots))),
            *(self._again(self._operator(number)) for number in range(len(several.operators))),
        ]
        tasks = [asyncio.create_task(each) for each in work]
        try:
            yield
        finally:
            self._is_over = True
            await asyncio.gather(*tasks)

    async def _again(self, step: Callable[[], Coroutine[object, object, None]]) -> None:
        while not self._is_over:
            await step()
            await asyncio.sleep(self._pause * random.uniform(0.5, 1.5))

    def _member(self, member: Member) -> Callable[[], Coroutine[object, object, None]]:
        held: defaultdict[Kind, deque[str]] = defaultdict(deque)
        chance = random.Random(member.name)
        actions: list[Kind | str] = [*_KEPT, *_KEPT, "image", "scale", "apply"]
        turn = itertools.cycle(chance.sample(actions, len(actions)))

        async def step() -> None:
            what = next(turn)
            if not isinstance(what, Kind):
                self._note(await self._edit(member, what, chance))
            elif len(held[what]) < _KEPT[what]:
                name = f"{member.name}-new-{next(self._numbers)}"
                answer = await self._client.create(what, member.team, _new(what, name, member), by=member.actor)
                self._note(answer)
                if answer.is_done:
                    held[what].append(name)
            else:
                await self._client.delete(what, member.team, held[what].popleft(), by=member.actor)

        return step

    async def _edit(self, member: Member, what: str, chance: random.Random) -> Answer:
        """Change a Deployment older than the installation: its image, its scale, or its replicas by an apply."""
        first, *others = member.deployments
        name = chance.choice(others or [first])
        replicas = {"spec": {"replicas": chance.choice(_RAISED)}}
        if what == "scale":
            return await self._client.change(DEPLOYMENT.path(member.team, name, "scale"), replicas, by=member.actor)
        if what == "apply":
            return await self._client.change(DEPLOYMENT.path(member.team, first), replicas, by=member.actor)
        image = {"spec": {"containers": [{"name": "main", "image": f"example/x:{next(self._numbers)}"}]}}
        changed = {"spec": {"template": image}}
        path = DEPLOYMENT.path(member.team, name)
        return await self._client.change(path, changed, by=member.actor, content=STRATEGIC)

    def _note(self, answer: Answer) -> None:
        for warning in answer.warnings:
            self.warned["over quota" if "over quota" in warning else "other"] += 1

    def _robot(self, number: int) -> Callable[[], Coroutine[object, object, None]]:
        robot = self._population.robots[number]
        mine = itertools.cycle(self._population.applied[number :: len(self._population.robots)])
        rounds = itertools.count()

        async def step() -> None:
            """Apply what a repository holds: mostly what is there already, at times another number of replicas."""
            (team, name), time = next(mine), next(rounds)
            body = manifests.deployment(name, 1 + time // 3 % 2, image=f"example/x:{time // 7}")
            path = f"{DEPLOYMENT.path(team, name)}?fieldManager=robot&force=true"
            await self._client.change(path, body, by=robot, content=APPLY)

        return step

    def _operator(self, number: int) -> Callable[[], Coroutine[object, object, None]]:
        operator = self._population.operators[number]
        count = len(self._population.operators)

        async def step() -> None:
            """Create a pod for each notebook, and delete those of notebooks that are gone."""
            for team in self._population.teams[number::count]:
                answer = await self._client.ask("GET", NOTEBOOK.path(team), by=operator)
                if not answer.is_done:  # the API server prepares a new kind for some seconds
                    return
                wanted = {each["metadata"]["name"]: each for each in answer.document["items"]}
                present = {
                    slot.name.removeprefix("notebook-")
                    for slot in self._view[PODS]
                    if slot.namespace == team and slot.name.startswith("notebook-")
                }
                for name in wanted.keys() - present:
                    await self._client.create(POD, team, _pod_of(wanted[name]), by=operator)
                for name in present - wanted.keys():
                    await self._client.delete(POD, team, f"notebook-{name}", by=operator)

        return step


async def kubelets(client: Client, view: View) -> None:
    """Report in place of nodes that pods run, and that those end which do work, until cancelled."""
    seen: dict[str, str] = {}
    conditions = [{"type": each, "status": "True"} for each in ("Ready", "ContainersReady")]

    async def report(pod: PodRevision) -> None:
        ends = "work" in pod.containers and pod.phase == "Running"
        status = {"phase": "Succeeded"} if ends else {"phase": "Running", "conditions": conditions}
        body = {"metadata": {"uid": pod.uid}, "status": status}
        await client.change(POD.path(pod.namespace, pod.name, "status"), body, by=ADMIN)

    while True:
        todo = [
            pod
            for pod in list(view[PODS].values())
            if isinstance(pod, PodRevision)
            and seen.get(pod.uid) != pod.phase
            and (pod.phase == "Pending" or ("work" in pod.containers and pod.phase == "Running"))
        ]
        for pod in todo[:20]:
            seen[pod.uid] = pod.phase
        await asyncio.gather(*map(report, todo[:20]))
        await asyncio.sleep(0.3)


def _new(kind: Kind, name: str, member: Member) -> Document:
    match kind.name:
        case "Deployment":
            return manifests.deployment(name, 2)
        case "StatefulSet":
            return manifests.stateful_set(name, 1)
        case "Job":
            return manifests.job(name)
        case "PersistentVolumeClaim":
            return manifests.claim(name)
        case "Notebook":
            return manifests.notebook(name, member.name)
        case _:
            return manifests.pod(name)


def _pod_of(notebook: Document) -> Document:
    meta = notebook["metadata"]
    reference = {
        "apiVersion": notebook["apiVersion"],
        "kind": notebook["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
    }
    labels = {USER_LABEL: notebook["spec"]["user"]}
    return manifests.pod(f"notebook-{meta['name']}", labels=labels, ownerReferences=[reference])
