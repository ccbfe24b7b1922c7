"""
Records when each replica worked, and starts again those that were killed.

What is killed and when: see `faults`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nemesis.records import DIED, NOT_READY, Fault, Life, Writer
from tests.replicas import Replicas

_EVERY = 0.4
_SHORTEST_LIFE = 1.5
_LONGEST_START = 15.0


class Lives:
    """The lives of the replicas. A life begins when a replica is ready and ends when it is killed."""

    def __init__(self, replicas: Replicas, *, clock: Callable[[], float], lives: Writer, faults: Writer) -> None:
        self.replicas = replicas
        self._clock = clock
        self._lives = lives
        self._faults = faults
        self._ready_since: dict[int, float] = dict.fromkeys(range(replicas.count), 0.0)
        self._started: dict[int, float] = dict.fromkeys(range(replicas.count), 0.0)
        self._births: dict[int, asyncio.Task[None]] = {}
        self.kills = 0

    def age(self, i: int) -> float:
        """Return the seconds since the start of a replica."""
        return self._clock() - self._started[i]

    def is_worth_killing(self, i: int) -> bool:
        """Whether a replica has worked for a while, or has been starting for so long that it may be stuck."""
        is_at_work = i in self._ready_since and self._clock() - self._ready_since[i] > _SHORTEST_LIFE
        return is_at_work or self.age(i) > _LONGEST_START

    def kill(self, i: int, *, down_for: float) -> None:
        """Kill -9 a replica, and start it again *down_for* seconds later."""
        self._cancel(i)
        killed = self._started[i] = self._clock()
        self.replicas.kill(i)
        self.kills += 1
        self._end(i, killed)
        self._births[i] = asyncio.create_task(self._be_born(i, killed, down_for))

    async def watch(self) -> None:
        """Start again the replicas that ended by themselves, as a kubelet does, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            for i in list(self._ready_since):
                if not self.replicas.is_running(i):
                    self._faults.write(Fault(DIED, f"userquota-{i}", self._clock(), self._clock(), self._last_words(i)))
                    self.kill(i, down_for=1.0)
                    self.kills -= 1

    async def all_ready(self) -> None:
        """Return when every replica works."""
        while any(not each.done() for each in self._births.values()) or len(self._ready_since) < self.replicas.count:
            await asyncio.sleep(_EVERY)

    def note_unready(self) -> None:
        """Record the replicas that should work by now and do not."""
        for i in set(range(self.replicas.count)) - self._ready_since.keys():
            told = self.replicas.readiness(i)
            self._faults.write(Fault(NOT_READY, f"userquota-{i}", self._clock(), self._clock(), told))

    def close(self) -> None:
        """Record the lives of the replicas that run."""
        for i in range(self.replicas.count):
            self._cancel(i)
            self._end(i, self._clock())

    async def _be_born(self, i: int, killed: float, down_for: float) -> None:
        await asyncio.sleep(down_for)
        self.replicas.start_one(i)
        self._started[i] = self._clock()
        while not (await asyncio.to_thread(self.replicas.readiness, i)).startswith("ok"):
            await asyncio.sleep(_EVERY)
            if not self.replicas.is_running(i):
                self._faults.write(Fault(DIED, f"userquota-{i}", self._clock(), self._clock(), self._last_words(i)))
                await asyncio.sleep(1.0)
                self.replicas.start_one(i)
        self._ready_since[i] = self._clock()
        self._faults.write(Fault("kill replica", f"userquota-{i}", killed, self._clock()))

    def _last_words(self, i: int) -> str:
        return self.replicas.log(i)[-2000:]

    def _cancel(self, i: int) -> None:
        birth = self._births.pop(i, None)
        if birth is not None and not birth.done():
            birth.cancel()
            self._faults.write(Fault("kill replica", f"userquota-{i}", self._clock(), self._clock(), "before ready"))

    def _end(self, i: int, at: float) -> None:
        begun = self._ready_since.pop(i, None)
        if begun is not None:
            self._lives.write(Life(f"userquota-{i}", begun, at))
