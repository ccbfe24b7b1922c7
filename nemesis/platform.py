"""
The platform of the sessions: its controller makes the pod of a session that starts, and deletes it when it stops.

For some it does so at once, for others late or never, so that the room which is held for them is let go.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass

from nemesis import wishes
from nemesis.clients import Clients, Wish
from nemesis.records import PODS, SESSIONS, PodRevision, Revision, SessionRevision, Slot

_TICK = 0.02
_AT_ONCE, _LATE = 0.6, 0.2
"""Shares of the sessions; the others never get a pod."""

_LATEST = (3.0, 90.0)
"""Seconds after the start, for those that are late."""

_RETRY = 1.0
"""Seconds until it asks again where it got no verdict, as controllers do; a refusal is taken for final."""


@dataclass(slots=True)
class _Running:
    """A session that runs; with `due` its pod is to be made then."""

    uid: str
    due: float | None


class Platform:
    """Follows *view*, which holds the objects that exist, by kind."""

    def __init__(self, clients: Clients, view: Mapping[str, Mapping[Slot, Revision]], *, seed: str) -> None:
        self._clients = clients
        self._view = view
        self._random = random.Random(seed)
        self._running: dict[Slot, _Running] = {}
        self._unmade: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> None:
        """Make and delete pods for *seconds*, then wait for the answers."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while (now := loop.time()) - begun < seconds:
            self._follow(now)
            await asyncio.sleep(_TICK)
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _follow(self, now: float) -> None:
        sessions = {slot: obj for slot, obj in self._view[SESSIONS].items() if isinstance(obj, SessionRevision)}
        for slot, session in sessions.items():
            known = self._running.get(slot)
            if not session.is_running:
                self._running.pop(slot, None)
            elif known is None or known.uid != session.uid:
                self._running[slot] = _Running(session.uid, self._due(now))
            elif known.due is not None and known.due <= now:
                known.due = None
                self._do(self._make(session, known))
        for slot in self._running.keys() - sessions.keys():
            del self._running[slot]
        for pod in list(self._view[PODS].values()):
            if isinstance(pod, PodRevision) and pod.session and self._is_left(pod):
                self._unmade.add(pod.uid)
                self._do(self._unmake(pod))

    def _is_left(self, pod: PodRevision) -> bool:
        return pod.uid not in self._unmade and Slot(pod.namespace, pod.session, SESSIONS) not in self._running

    def _due(self, now: float) -> float | None:
        """Return when the pod of a session that has just started is made; None if never."""
        drawn = self._random.random()
        if drawn < _AT_ONCE:
            return now
        return now + self._random.uniform(*_LATEST) if drawn < _AT_ONCE + _LATE else None

    def _do(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make(self, session: SessionRevision, known: _Running) -> None:
        status = await self._ask(wishes.make_pod(session))
        if status not in (201, 403):  # no verdict, or the pod of an earlier session of that name is still there
            known.due = asyncio.get_running_loop().time() + _RETRY

    async def _unmake(self, pod: PodRevision) -> None:
        if await self._ask(wishes.unmake_pod(pod)) not in (200, 404):
            self._unmade.discard(pod.uid)

    async def _ask(self, wish: Wish) -> int:
        server = min((0, 1), key=lambda each: (self._clients.under_way[each], self._random.random()))
        return (await self._clients.ask(wish, server)).status
