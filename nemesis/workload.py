"""
The requests of the users: more than their limits all the time, with deletions that make room.

Pods come and go under few names, so that creates meet names that are taken, just freed, or requested by another user.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping
from itertools import count

from nemesis.clients import MERGE, Clients, Wish
from nemesis.records import DRY_CPU, DRY_NAME, PodRevision, Request, Slot

NAMESPACES = ("nemesis-a", "nemesis-b")
USERS = ("alice", "bob", "carol", "dave", "erin")
KUBELET = "admin"
"""Stands for the kubelets, which alone may report what a pod was allocated and that it has finished."""

_NAMES_EACH = 8
"""Per user and namespace: hardly more than limits allow, so that a name whose create was lost is used again."""

FINISHED = "Succeeded"
_CPU = ("5m", "10m", "15m", "20m", "25m", "30m", "40m")
_MOST_UNDER_WAY = 60
"""Per API server: one that is paused, or that calls a paused replica, must not block the requests to the other."""

_CARELESS = 0.2
"""How often a request changes a pod that another request is changing or deleting."""

_TICK = 0.01

# How often each of them happens.
_SHARES = {
    "create": 36,
    "generate": 4,
    "taken": 2,
    "shared": 2,
    "dry_run": 26,
    "resize": 10,
    "dry_resize": 10,
    "delete": 12,
    "recreate": 5,
    "label": 4,
    "run": 4,
    "finish": 2,
    "update": 1,
}


class Workload:
    """Sends *rate* requests a second; *view* holds the pods that exist."""

    def __init__(self, clients: Clients, view: Mapping[Slot, PodRevision], *, seed: str, rate: float) -> None:
        self._clients = clients
        self._view = view
        self._random = random.Random(seed)
        self._rate = rate
        self._numbers = count()
        self._asked_for: Counter[Slot] = Counter()
        self._tasks: set[asyncio.Task[object]] = set()
        self.skipped = 0
        """How often a request was due and no client was free."""

    async def run(self, seconds: float) -> None:
        """Send requests for *seconds*, then wait for the answers."""
        loop = asyncio.get_running_loop()
        begun, done = loop.time(), 0
        while (passed := loop.time() - begun) < seconds:
            for _ in range(min(int(passed * self._rate) - done, 50)):
                self._do_something()
            done = int(passed * self._rate)
            await asyncio.sleep(_TICK)
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _do_something(self) -> None:
        server = min((0, 1), key=lambda each: (self._clients.under_way[each], self._random.random()))
        if self._clients.under_way[server] >= _MOST_UNDER_WAY:
            self.skipped += 1
            return
        what = self._random.choices(list(_SHARES), list(_SHARES.values()))[0]
        user = self._random.choice(USERS)
        wishes = self._wishes(what, user)
        if wishes:
            task = asyncio.create_task(self._ask(wishes, server))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, wishes: list[Wish], server: int) -> list[Request]:
        slots = [Slot(wish.namespace, wish.name) for wish in wishes if not wish.is_dry_run]
        self._asked_for.update(slots)
        try:
            return [await self._clients.ask(wish, server) for wish in wishes]
        finally:
            self._asked_for.subtract(slots)

    def _wishes(self, what: str, user: str) -> list[Wish]:
        """Return the requests of one action, in their order."""
        cpu, namespace = self._random.choice(_CPU), self._random.choice(NAMESPACES)
        if what in ("create", "generate", "shared", "dry_run"):
            return [self._new(what, user, namespace, cpu)]
        if what == "taken":
            return self._taken(user, cpu)
        is_careless = self._random.random() < _CARELESS
        mine = [
            pod for pod in self._view.values() if pod.owner == user and (is_careless or not self._asked_for[pod.slot])
        ]
        return self._changes(what, self._random.choice(mine), cpu) if mine else []

    def _changes(self, what: str, pod: PodRevision, cpu: str) -> list[Wish]:
        """Return the requests of one action on a pod that exists."""
        label = {"metadata": {"labels": {"seen": str(next(self._numbers))}}}
        possible = {
            "resize": [_resize(pod, cpu)],
            "dry_resize": [_resize(pod, DRY_CPU, is_dry_run=True)],
            "delete": [_delete(pod)],
            "recreate": [_delete(pod), create(pod.owner, pod.namespace, pod.name, cpu=cpu)],
            "label": [_patch("label", pod.owner, pod, "", label)],
            "update": [self._stale_update(pod)],
            "finish": [_finish(pod)],
            "run": [] if pod.phase == FINISHED else [_run(pod)],
        }
        return possible[what]

    def _new(self, what: str, user: str, namespace: str, cpu: str) -> Wish:
        if what == "generate":
            return create(user, namespace, "", cpu=cpu)
        if what == "dry_run":
            return create(user, namespace, f"{DRY_NAME}{next(self._numbers)}", cpu=cpu, is_dry_run=True)
        if what == "shared":
            return create(user, namespace, f"shared-{self._random.randrange(3)}", cpu=cpu)
        slot = self._free_slot(user)
        return create(user, slot.namespace, slot.name, cpu=cpu)

    def _free_slot(self, user: str) -> Slot:
        """
        Return a name that is neither taken nor requested, if there is one.

        A create that is never stored holds its name and room for 40 s: too many of them would end all progress.
        """
        slots = [Slot(namespace, f"{user}-{number}") for namespace in NAMESPACES for number in range(_NAMES_EACH)]
        free = [each for each in slots if not self._is_taken(each)]
        return self._random.choice(free or slots)

    def _is_taken(self, slot: Slot) -> bool:
        return slot in self._view or self._asked_for[slot] > 0

    def _taken(self, user: str, cpu: str) -> list[Wish]:
        """Create under a name that exists, mostly one of two: what such a create reserves outlasts the pod."""
        often = [slot for slot in self._view if slot.name in ("shared-0", f"{user}-0")]
        slots = often if often and self._random.random() < 0.8 else list(self._view)
        if not slots:
            return []
        slot = self._random.choice(slots)
        return [create(user, slot.namespace, slot.name, cpu=cpu)]

    def _stale_update(self, pod: PodRevision) -> Wish:
        """Return a patch that succeeds only for the version we know, which may be old by now."""
        changed = {"metadata": {"resourceVersion": str(pod.version), "labels": {"seen": str(next(self._numbers))}}}
        return _patch("update", pod.owner, pod, "", changed)


def create(user: str, namespace: str, name: str, *, cpu: str, is_dry_run: bool = False) -> Wish:
    """Return the request that creates a pod; without a name it gets a generated one."""
    named = {"name": name} if name else {"generateName": f"{user}-any-"}
    container = {"name": "main", "image": "example/x", "resources": {"requests": {"cpu": cpu}}}
    body = json.dumps({"metadata": named, "spec": {"containers": [container]}})
    path = "?dryRun=All" if is_dry_run else ""
    return Wish("create", user, namespace, name, "POST", path, body, cpu=cpu, is_dry_run=is_dry_run)


def _delete(pod: PodRevision) -> Wish:
    return Wish("delete", pod.owner, pod.namespace, pod.name, "DELETE", f"/{pod.name}?gracePeriodSeconds=0")


def _resize(pod: PodRevision, cpu: str, *, is_dry_run: bool = False) -> Wish:
    changed = {"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]}}
    path = f"/{pod.name}/resize{'?dryRun=All' if is_dry_run else ''}"
    body = json.dumps(changed)
    return Wish(
        "resize", pod.owner, pod.namespace, pod.name, "PATCH", path, body, MERGE, cpu=cpu, is_dry_run=is_dry_run
    )


def _run(pod: PodRevision) -> Wish:
    """Report as a kubelet does that the pod has what its spec requests, if it is still the one we know."""
    given = pod.containers["main"].requests
    state = {"name": "main", "image": "example/x", "imageID": "", "ready": True, "restartCount": 0}
    has = {**state, "allocatedResources": given, "resources": {"requests": given}}
    status = {"phase": "Running", "containerStatuses": [has]}
    known = {"resourceVersion": str(pod.version)}
    return _patch("status", KUBELET, pod, "/status", {"metadata": known, "status": status})


def _finish(pod: PodRevision) -> Wish:
    return _patch("status", KUBELET, pod, "/status", {"status": {"phase": "Succeeded"}})


def _patch(verb: str, user: str, pod: PodRevision, subresource: str, changed: object) -> Wish:
    path = f"/{pod.name}{subresource}"
    return Wish(verb, user, pod.namespace, pod.name, "PATCH", path, json.dumps(changed), MERGE)
