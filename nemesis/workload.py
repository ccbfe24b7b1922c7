"""
The load: most users ask for more than their limits all the time, and delete to make room; two have plenty.

Objects come and go under few names, so that creates meet names that are taken, just freed, or requested by others.
The requests themselves: see `wishes`.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from itertools import count

from nemesis import wishes
from nemesis.accounting import CLASSES, DEVICE_CLASSES, UNIT, quantity
from nemesis.clients import Clients, Wish
from nemesis.ledger_text import NOWHERE, Place
from nemesis.policies import ROOMY
from nemesis.promising import WHOLE, ZONED, ZONES
from nemesis.records import (
    CLAIMS,
    DEVICE_CLAIMS,
    DRY_NAME,
    MIB,
    PODS,
    SESSIONS,
    ClaimRevision,
    PodRevision,
    Request,
    Revision,
    SessionRevision,
    Slot,
)

NAMESPACES = ("nemesis-a", "nemesis-b")
USERS = ("alice", "bob", "carol", "dave", "erin")

_WEIGHTS = {user: 3 if user in ROOMY else 2 for user in USERS}
"""How often each of them asks."""

_NAMES_EACH = {PODS: 8, CLAIMS: 5, DEVICE_CLAIMS: 4, SESSIONS: 3}
"""Per user and namespace: hardly more than limits allow, so that a name whose create was lost is used again."""

_ROOMY_NAMES = 3
"""Times as many have those who have plenty of room."""

_IN_POOLS = 0.3
"""How many of the pods name a class of nodes of which something is promised."""

_PLACES = (*(Place(ZONED, zone) for zone in (*ZONES, *ZONES, "")), Place(WHOLE), Place(WHOLE, ZONES[1]), Place(WHOLE))
"""Where they may run: mostly in one zone of the first class."""

_CPU = ("5m", "10m", "15m", "20m", "25m", "30m", "40m")
_STORAGE = tuple(size * MIB for size in (10, 15, 20, 25, 30, 40, 60))
_MOST_UNDER_WAY = 60
"""Per API server: one that is paused, or that calls a paused replica, must not block the requests to the other."""

_CARELESS = 0.2
"""How often a request changes an object that another request is changing or deleting."""

_TICK = 0.01

_KINDS = {PODS: 46, CLAIMS: 26, DEVICE_CLAIMS: 13, SESSIONS: 15}

# How often each of them happens.
_SHARES = {
    PODS: {
        "create": 36,
        "generate": 4,
        "taken": 2,
        "shared": 2,
        "contend": 4,
        "dry_run": 26,
        "resize": 10,
        "dry_resize": 10,
        "delete": 12,
        "recreate": 5,
        "label": 4,
        "run": 4,
        "finish": 2,
        "update": 1,
    },
    CLAIMS: {
        "create": 32,
        "generate": 3,
        "taken": 2,
        "shared": 2,
        "dry_run": 18,
        "grow": 22,
        "shrink": 8,
        "dry_grow": 10,
        "delete": 9,
        "terminate": 2,
        "unprotect": 4,
        "recreate": 4,
        "label": 3,
        "bind": 10,
        "allocate": 5,
        "deallocate": 6,
    },
    DEVICE_CLAIMS: {
        "create": 36,
        "generate": 4,
        "taken": 2,
        "shared": 2,
        "dry_run": 26,
        "delete": 16,
        "recreate": 6,
        "label": 4,
    },
    SESSIONS: {
        "create": 24,
        "create_stopped": 6,
        "generate": 3,
        "taken": 2,
        "shared": 2,
        "dry_run": 14,
        "start": 24,
        "stop": 8,
        "change": 14,
        "dry_change": 8,
        "delete": 8,
        "recreate": 4,
        "label": 4,
    },
}


class Workload:
    """Sends *rate* requests a second; *view* holds the objects that exist, by kind."""

    def __init__(
        self, clients: Clients, view: Mapping[str, Mapping[Slot, Revision]], *, seed: str, rate: float
    ) -> None:
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
        (kind,) = self._random.choices(list(_KINDS), list(_KINDS.values()))
        shares = _SHARES[kind]
        (what,) = self._random.choices(list(shares), list(shares.values()))
        (user,) = self._random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        several = self._wishes(kind, what, user)
        for group in [[each] for each in several] if what == "contend" else [several] if several else []:
            task = asyncio.create_task(self._ask(group, server))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, several: list[Wish], server: int) -> list[Request]:
        slots = [Slot(wish.namespace, wish.name, wish.kind) for wish in several if not wish.is_dry_run]
        self._asked_for.update(slots)
        try:
            return [await self._clients.ask(wish, server) for wish in several]
        finally:
            self._asked_for.subtract(slots)

    def _wishes(self, kind: str, what: str, user: str) -> list[Wish]:
        """Return the requests of one action, in their order. Who has all that there are names for deletes something."""
        if what == "create" and user in ROOMY and not self._free_slots(kind, user):
            what = "delete"
        if what in ("create", "create_stopped", "generate", "shared", "dry_run"):
            return [self._new(kind, what, user)]
        if what == "taken":
            return self._taken(kind, user)
        if what == "contend":
            return self._contend()
        is_careless = self._random.random() < _CARELESS
        mine = [
            obj
            for obj in self._view[kind].values()
            if obj.owner == user and (is_careless or not self._asked_for[obj.slot]) and _is_for(what, obj)
        ]
        return self._changes(what, self._random.choice(mine)) if mine else []

    def _changes(self, what: str, obj: Revision) -> list[Wish]:
        """Return the requests of one action on an object that exists."""
        if what == "label":
            return [wishes.label(obj, next(self._numbers))]
        if what in ("delete", "recreate", "terminate"):
            gone = [wishes.delete(obj)]
            if obj.slot.kind == CLAIMS and what != "terminate":
                gone.append(wishes.unprotect(obj))
            return [*gone, self._create(obj.slot, obj.owner)] if what == "recreate" else gone
        if isinstance(obj, PodRevision):
            return self._of_pod(what, obj)
        return self._of_session(what, obj) if isinstance(obj, SessionRevision) else self._of_claim(what, obj)

    def _of_pod(self, what: str, pod: PodRevision) -> list[Wish]:
        cpu = self._random.choice(_CPU)
        possible = {
            "resize": [wishes.resize(pod, cpu)],
            "dry_resize": [wishes.dry_resize(pod)],
            "update": [wishes.stale_update(pod, next(self._numbers))],
            "finish": [wishes.finish(pod)],
            "run": [] if pod.phase == wishes.FINISHED else [wishes.run(pod)],
        }
        return possible[what]

    def _of_claim(self, what: str, claim: ClaimRevision) -> list[Wish]:
        known, size = int(quantity(claim.storage)) // UNIT, self._random.choice(_STORAGE)
        possible = {
            "grow": wishes.change_storage("grow", claim, known + size // MIB // 2 * MIB),
            "shrink": wishes.change_storage("shrink", claim, max(known // MIB // 2, 5) * MIB),
            "dry_grow": wishes.dry_grow(claim, known + size),
            "bind": wishes.bind(claim),
            "allocate": wishes.report_expansion(claim, known + size),
            "deallocate": wishes.report_expansion(claim, None),
            "unprotect": wishes.unprotect(claim),
        }
        return [possible[what]]

    def _of_session(self, what: str, session: SessionRevision) -> list[Wish]:
        possible = {
            "start": wishes.start(session),
            "stop": wishes.stop(session),
            "change": wishes.change_session(session, self._random.choice(_CPU)),
            "dry_change": wishes.dry_change_session(session),
        }
        return [possible[what]]

    def _new(self, kind: str, what: str, user: str) -> Wish:
        namespace = self._random.choice(NAMESPACES)
        if what == "generate":
            return self._create(Slot(namespace, "", kind), user)
        if what == "dry_run":
            return wishes.as_dry_run(self._create(Slot(namespace, f"{DRY_NAME}{next(self._numbers)}", kind), user))
        if what == "shared":
            return self._create(Slot(namespace, f"shared-{self._random.randrange(3)}", kind), user)
        slot = self._free_slot(kind, user)
        if what == "create_stopped":
            cpu = self._random.choice(_CPU)
            return wishes.create_session(user, slot.namespace, slot.name, cpu=cpu, is_stopped=True)
        return self._create(slot, user)

    def _create(self, slot: Slot, user: str) -> Wish:
        """Return the request that creates an object of some size."""
        namespace, name, kind = slot
        if kind == PODS:
            cpu, device = self._random.choice(_CPU), self._random.choice((*wishes.GPUS, "", "", ""))
            place = NOWHERE
            if self._random.random() < _IN_POOLS:
                place, device = self._random.choice(_PLACES), self._random.choice((*wishes.GPUS, "nvidia.com/gpu", ""))
            return wishes.create_pod(user, namespace, name, cpu=cpu, device=device, place=place)
        if kind == SESSIONS:
            return wishes.create_session(user, namespace, name, cpu=self._random.choice(_CPU))
        if kind == CLAIMS:
            storage, storage_class = self._random.choice(_STORAGE), self._random.choice(CLASSES)
            return wishes.create_claim(user, namespace, name, storage=storage, storage_class=storage_class)
        classes = self._random.choice((DEVICE_CLASSES[:1], DEVICE_CLASSES[1:], DEVICE_CLASSES))
        devices = {each: self._random.choice((1, 1, 2)) for each in classes}
        return wishes.create_device_claim(user, namespace, name, devices=devices)

    def _free_slot(self, kind: str, user: str) -> Slot:
        """
        Return a name that is neither taken nor requested, if there is one.

        A create that is never stored holds its name and room for 40 s: too many of them would end all progress.
        """
        return self._random.choice(self._free_slots(kind, user) or _slots(kind, user))

    def _free_slots(self, kind: str, user: str) -> list[Slot]:
        return [each for each in _slots(kind, user) if not self._is_taken(each)]

    def _contend(self) -> list[Wish]:
        """
        Let two people ask at once for one name, in one place: only one of them gets it, and only that one uses what was
        promised to whoever covers the pod.
        """
        slots = [Slot(namespace, f"shared-{number}") for namespace in NAMESPACES for number in range(3)]
        slot = self._random.choice([each for each in slots if not self._is_taken(each)] or slots)
        place = self._random.choice(_PLACES)
        return [
            wishes.create_pod(user, *slot[:2], cpu=self._random.choice(_CPU), device="nvidia.com/gpu", place=place)
            for user in self._random.sample(USERS, 2)
        ]

    def _is_taken(self, slot: Slot) -> bool:
        return slot in self._view[slot.kind] or self._asked_for[slot] > 0

    def _taken(self, kind: str, user: str) -> list[Wish]:
        """Create under a name that exists, mostly one of two: what such a create reserves outlasts the object."""
        often = [slot for slot in self._view[kind] if slot.name in ("shared-0", f"{user}-0")]
        slots = often if often and self._random.random() < 0.8 else list(self._view[kind])
        return [self._create(self._random.choice(slots), user)] if slots else []


def _slots(kind: str, user: str) -> list[Slot]:
    numbers = range(_NAMES_EACH[kind] * (_ROOMY_NAMES if user in ROOMY and kind != SESSIONS else 1))
    return [Slot(namespace, f"{user}-{number}", kind) for namespace in NAMESPACES for number in numbers]


def _is_for(what: str, obj: Revision) -> bool:
    """
    Whether an action makes sense: the API server would refuse it otherwise, or nothing would change.

    People leave the pods of sessions alone.
    """
    if isinstance(obj, PodRevision):
        return not obj.session
    if isinstance(obj, SessionRevision):
        return {"start": not obj.is_running, "stop": obj.is_running}.get(what, True)
    return obj.kind != CLAIMS or _is_for_claim(what, obj)


def _is_for_claim(what: str, claim: ClaimRevision) -> bool:
    match what:
        case "grow" | "shrink" | "dry_grow" | "allocate":
            return claim.phase == "Bound"
        case "deallocate":
            return bool(claim.allocated)
        case "bind":
            return claim.phase != "Bound"
        case "unprotect":
            return claim.is_terminating
    return True
