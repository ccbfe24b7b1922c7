"""
The faults of the processes, the ledger, the policy and the nodes, drawn from the seed.

Each kind of fault has its own track and random numbers, so that leaving one out does not move the others.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count

from nemesis import policies, promising, proxy
from nemesis.api import Api
from nemesis.lives import Lives
from nemesis.promising import Book
from nemesis.records import Edit, Fault, Writer
from nemesis.rig import HURT, Rig

_Act = Callable[[random.Random], Awaitable[None]]

_KILL_EVERY = (2.6, 3.8)
"""Seconds: some 560 kills in 30 minutes. Kills that were due while no replica could be killed are made up for."""

_FORCED = 0.12
"""How often an edit of the commitments is forced."""

_MOST_BEHIND = 30.0
_SPARE_FOR = (70.0, 100.0)
"""Seconds that a replica lives which may fall far behind."""

_PATIENCE = 60.0


class Faults:
    """Injects the faults until cancelled; `mend` repairs everything."""

    def __init__(
        self,
        rig: Rig,
        api: Api,
        lives: Lives,
        *,
        ledgers: Sequence[str],
        servers: Sequence[Api],
        journal: Writer,
        book: Book,
        edits: Writer,
        clock: Callable[[], float],
        seed: int,
        without: tuple[str, ...],
    ) -> None:
        self._rig = rig
        self._api = api
        self._servers = servers
        self._lives = lives
        self._ledgers = ledgers
        self._journal = journal
        self._book = book
        self._edits = edits
        self._numbered = count(1)
        self._limits = policies.usual()
        self._turn = asyncio.Lock()
        """One edit of the policy after the other: each is made of all that is stored."""
        self._clock = clock
        self._seed = seed
        self._without = without
        self._spared = 0
        self._stalled: int | None = None
        self._losses = 0
        self._next_kill = 0.0
        self._paused: set[str] = set()
        self._starting: set[str] = set()
        """API servers that were killed. One is not paused before it answers: replicas give up where nothing listens."""

    async def run(self) -> None:
        """Run every track until cancelled."""
        tracks = [self._track(name, *told) for name, told in self._tracks().items() if name not in self._without]
        await asyncio.gather(*tracks)

    async def mend(self) -> None:
        """Continue all that is paused, restore the usual limits, and wait until all replicas are ready."""
        for name in list(self._paused):
            self._resume(name)
        await self._set_limits(policies.usual())
        for node in promising.NODES:
            await self._bring_back(node)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._lives.all_ready()
        self._lives.note_unready()

    def _tracks(self) -> dict[str, tuple[tuple[float, float], _Act]]:
        """Return for each kind of fault the seconds between two of them, and the function that injects it."""
        return {
            "spare": (_SPARE_FOR, self._spare_another),
            "kill": ((0.2, 0.6), self._kill_one),
            "kill-all": ((100, 200), self._kill_all),
            "pause": ((25, 60), self._pause_replica),
            "stall": ((50, 100), self._stall_connections),
            "cut": ((30, 60), self._cut_connections),
            "api-kill": ((50, 110), self._kill_server),
            "api-pause": ((50, 110), self._pause_server),
            "api-freeze": ((300, 500), self._freeze_server),
            "etcd-pause": ((60, 120), self._pause_etcd),
            "ledger": ((180, 320), self._lose_ledger),
            "policy": ((8, 20), self._change_policy),
            "commitments": ((0.8, 3.5), self._change_commitments),
            "nodes": ((6, 14), self._lose_node),
        }

    async def _track(self, name: str, gap: tuple[float, float], act: _Act) -> None:
        chance = random.Random(f"{self._seed} {name}")
        wait = chance.uniform(gap[0] / 4, gap[1])  # the first may come early
        while True:
            await asyncio.sleep(wait)
            await act(chance)
            wait = chance.uniform(*gap)

    # Replicas.

    async def _spare_another(self, chance: random.Random) -> None:
        self._spared = chance.randrange(self._lives.replicas.count)

    async def _kill_one(self, chance: random.Random) -> None:
        self._next_kill = max(self._next_kill + chance.uniform(*_KILL_EVERY), self._clock() - _MOST_BEHIND)
        await asyncio.sleep(max(self._next_kill - self._clock(), 0))
        while True:
            awake = [i for i in self._numbers() if f"userquota-{i}" not in self._paused]
            longest = max(
                (i for i in awake if i not in (self._spared, self._stalled)), key=self._lives.age, default=None
            )
            if longest is not None and self._lives.is_worth_killing(longest):
                break
            await asyncio.sleep(0.3)
        self._lives.kill(longest, down_for=chance.choice((0, 0, 0, 0.5)))

    async def _kill_all(self, chance: random.Random) -> None:
        for i in self._numbers():
            self._resume(f"userquota-{i}")
            self._lives.kill(i, down_for=chance.uniform(0, 2))

    async def _pause_replica(self, chance: random.Random) -> None:
        i = chance.randrange(self._lives.replicas.count)
        seconds = chance.uniform(15, 40) if chance.random() < 0.15 else chance.uniform(2, 8)
        if self._lives.is_worth_killing(i):
            await self._pause(f"userquota-{i}", seconds)

    async def _stall_connections(self, chance: random.Random) -> None:
        """
        Stall the watches of the spared replica, then deliver everything at once.

        Once it has given up the stalled connections, which takes it some seconds, it reads and writes on.
        """
        i = self._stalled = self._spared
        with self._noted("stall connections", f"userquota-{i}"):
            self._rig.tell_proxy(i, proxy.STALL)
            try:
                await asyncio.sleep(chance.uniform(12, 30))
            finally:
                self._stalled = None
                self._rig.tell_proxy(i, proxy.FLOW)

    async def _cut_connections(self, chance: random.Random) -> None:
        i = chance.randrange(self._lives.replicas.count)
        with self._noted("cut connections", f"userquota-{i}"):
            self._rig.tell_proxy(i, proxy.CUT)

    # The control plane.

    async def _kill_server(self, chance: random.Random) -> None:
        number = chance.choice(HURT)
        name = f"kube-apiserver-{number}"
        if name in self._paused:
            return
        process = self._rig.cluster.processes[name]
        begun = self._clock()
        self._starting.add(name)
        process.kill()
        await asyncio.sleep(chance.choice((0.0, 0.0, 3.0)))
        process.start()
        while not await self._servers[number - 1].is_ready():
            await asyncio.sleep(0.3)
        self._starting.discard(name)
        self._journal.write(Fault("kill API server", name, begun, self._clock()))

    async def _pause_server(self, chance: random.Random) -> None:
        await self._pause(f"kube-apiserver-{chance.choice(HURT)}", chance.uniform(1.5, 8))

    async def _freeze_server(self, chance: random.Random) -> None:
        """Pause it for longer than a reservation is held where all API servers work."""
        await self._pause(f"kube-apiserver-{chance.choice(HURT)}", chance.uniform(45, 60))

    async def _pause_etcd(self, chance: random.Random) -> None:
        await self._pause("etcd", chance.uniform(0.5, 3))

    # The ledger and the policy.

    async def _lose_ledger(self, chance: random.Random) -> None:
        """Damage the ledger in one way after the other: each costs 40 s without decisions."""
        ways = {
            "ledger-delete": self._delete_ledger,
            "ledger-garble": self._garble_ledger,
            "ledger-old": self._restore_ledger,
        }
        possible = [name for name in ways if name not in self._without]
        if possible:
            self._losses += 1
            await ways[possible[(self._seed + self._losses) % len(possible)]](chance)

    async def _delete_ledger(self, _: random.Random) -> None:
        with self._noted("delete ledger", "userquota-ledger"):
            await self._api.delete_ledger()

    async def _garble_ledger(self, chance: random.Random) -> None:
        if self._ledgers:
            text = self._ledgers[-1]
            at = chance.randrange(len(text) - 10)
            garbled = f"{text[:at]}{chance.choice(('', '~'))}{text[at + 1 + at % 7 :]}"
            with self._noted("garble ledger", "userquota-ledger"):
                await self._api.set_ledger(garbled)

    async def _restore_ledger(self, chance: random.Random) -> None:
        if len(self._ledgers) > 1:
            text = self._ledgers[chance.randrange(len(self._ledgers) - 1)]
            with self._noted("put an old ledger back", "userquota-ledger"):
                await self._api.set_ledger(text)

    async def _change_policy(self, chance: random.Random) -> None:
        """Raise and lower limits for some seconds: while they are low nearly nothing is stored."""
        for limits, seconds in ((policies.changed(chance), chance.uniform(1, 6)), (policies.usual(), 0)):
            with self._noted("change limits", "userquota-policy"):
                await self._set_limits(limits)
            await asyncio.sleep(seconds)

    async def _set_limits(self, limits: policies.Factors) -> None:
        """Change limits by force, because people are over those that are lowered; until that is stored."""
        stored = False
        while not stored:
            async with self._turn:
                stored = await self._edit(limits, self._book.entries, "limits", is_forced=True)
                self._limits = limits if stored else self._limits
            await asyncio.sleep(0 if stored else 0.5)

    async def _change_commitments(self, chance: random.Random) -> None:
        """Make, move, change or end a commitment. Edits that nobody forces are refused where nodes have too little."""
        async with self._turn:
            draft = self._book.draft(time.time())
            if draft.entries == self._book.entries:
                return
            with self._noted("change commitments", "userquota-policy"):
                if await self._edit(self._limits, draft.entries, draft.what, is_forced=chance.random() < _FORCED):
                    self._book.entries = draft.entries

    async def _edit(self, limits: policies.Factors, entries: promising.Entries, what: str, *, is_forced: bool) -> bool:
        """Edit the policy, and record that; return whether it was stored."""
        text, number, begun = policies.text(limits, entries), next(self._numbered), self._clock()
        reason, agent = f"edit {number}" if is_forced else "", f"nemesis-edit-{number}"
        status, version, message = await self._api.edit_policy(text, reason=reason, agent=agent)
        self._edits.write(
            Edit(begun, self._clock(), status, version, is_forced, message, what=what, agent=agent, text=text)
        )
        return bool(version)

    async def _lose_node(self, chance: random.Random) -> None:
        """Take a node away for some seconds, or a part of what it has."""
        node = chance.choice(promising.NODES)
        how = chance.choice(("cordon", "cordon", "not ready", "delete", "shrink"))
        with self._noted(f"{how} a node", node.name):
            match how:
                case "cordon":
                    await self._api.cordon_node(node, is_cordoned=True)
                case "not ready":
                    await self._api.report_node(node, is_ready=False)
                case "delete":
                    await self._api.delete_node(node)
                case _:
                    await self._api.report_node(node, is_ready=True, share=0.5)
            await asyncio.sleep(chance.uniform(1, 7))
            await self._bring_back(node)

    async def _bring_back(self, node: promising.MadeUpNode) -> None:
        await self._api.make_node(node)
        await self._api.cordon_node(node, is_cordoned=False)

    # How a fault is injected.

    async def _pause(self, name: str, seconds: float) -> None:
        """Send SIGSTOP, and SIGCONT after *seconds* unless it was continued before."""
        if name in self._paused | self._starting:
            return
        kind = (
            "pause replica" if name.startswith("userquota-") else f"pause {name.removesuffix('-1').removesuffix('-2')}"
        )
        with self._noted(kind, name):
            self._paused.add(name)
            if name.startswith("userquota-"):
                self._lives.replicas.pause(int(name[-1]))
            else:
                self._rig.cluster.pause(name)
            try:
                await asyncio.sleep(seconds)
            finally:
                self._resume(name)

    def _resume(self, name: str) -> None:
        if name not in self._paused:
            return
        self._paused.discard(name)
        if name.startswith("userquota-"):
            self._lives.replicas.resume(int(name[-1]))
        else:
            self._rig.cluster.resume(name)

    @contextmanager
    def _noted(self, kind: str, target: str) -> Iterator[None]:
        begun = self._clock()
        try:
            yield
        finally:
            self._journal.write(Fault(kind, target, begun, self._clock()))

    def _numbers(self) -> range:
        return range(self._lives.replicas.count)
