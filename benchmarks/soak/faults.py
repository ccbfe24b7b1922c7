"""
What goes wrong during a run, one fault after the other in turn. The replica that is looked at is never ended.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from benchmarks.soak.people import POLICY
from nemesis.proxy import CUT, FLOW, STALL
from nemesis.rig import ProxiedControlPlane
from tests.replicas import Replicas
from webhook.ports import WebhookError
from webhook.wiring.rotation import Rotation

LOOKED_AT = 1
"""The replica that runs all the time. Its API server is the second one, which is restarted."""

_OTHERS = (0, 2)
_HURT = "kube-apiserver-2"
_STALLED = 12.0
_UNTIL_READY = 90.0


@dataclass(frozen=True, slots=True)
class Stage:
    """The processes of a run; the files of *replicas* are in *folder*."""

    cluster: ProxiedControlPlane
    replicas: Replicas
    folder: Path


class Faults:
    """Injects a fault every *between* seconds while `run` runs. `told` has their times and names."""

    def __init__(self, stage: Stage, rotation: Rotation, *, between: float, clock: Callable[[], float]) -> None:
        self._cluster = stage.cluster
        self._replicas = stage.replicas
        self._folder = stage.folder
        self._rotation = rotation
        self._between = between
        self._clock = clock
        self._turn = 0
        self._authorities: dict[bytes, None] = {}
        self.told: list[tuple[float, str]] = []
        self.failed: Counter[str] = Counter()
        self.unready: list[str] = []
        """When replicas were not ready in time after a fault, and what they told."""

    async def run(self) -> None:
        """Inject until cancelled. A rotation that cannot be done yet is counted in `failed`."""
        faults: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("kill a replica", self._kill_replica),
            ("edit the policy", self._edit_policy),
            ("cut connections", self._cut_connections),
            ("rotate an authority", self._rotate),
            ("restart an API server", self._restart_server),
            ("edit the policy", self._edit_policy),
            ("stall connections", self._stall_connections),
        ]
        for self._turn, (name, fault) in enumerate(cycle(faults)):
            await asyncio.sleep(self._between)
            self.told.append((self._clock(), name))
            await fault()

    def numbers(self) -> Iterator[str]:
        """Yield how often each fault was injected, as text."""
        for name, times in sorted(Counter(name for _, name in self.told).items()):
            yield f"{name}: {times}" + (f" ({self.failed[name]} not possible)" if self.failed[name] else "")

    async def mend(self) -> None:
        """Let all connections flow, start what does not run, and wait until all replicas are ready."""
        for proxy in self._cluster.proxies:
            proxy.send(FLOW)
        for i in _OTHERS:
            if not self._replicas.is_running(i):
                self._replicas.start_one(i)
        if not self._cluster.processes[_HURT].is_running():
            self._cluster.processes[_HURT].start()
        await self._all_ready()

    async def _kill_replica(self) -> None:
        """Kill one of the others, or end it as a rollout does."""
        i = _OTHERS[self._turn // 7 % len(_OTHERS)]
        await asyncio.to_thread(self._replicas.kill if self._turn // 14 % 2 else self._replicas.end, i)
        await asyncio.sleep(3)
        self._replicas.start_one(i)  # from this thread: it dies with the one that starts it
        await self._all_ready()

    async def _edit_policy(self) -> None:
        text = POLICY.format(cpu=1 + self._turn % 5, tenant=30 + self._turn)
        await asyncio.to_thread(self._replicas.apply_policy, text)

    async def _cut_connections(self) -> None:
        for proxy in self._cluster.proxies:
            proxy.send(CUT)

    async def _stall_connections(self) -> None:
        proxy = self._cluster.proxies[LOOKED_AT]
        proxy.send(STALL)
        try:
            await asyncio.sleep(_STALLED)
        finally:
            proxy.send(FLOW)

    async def _rotate(self) -> None:
        with self._counted("rotate an authority"):
            await self._trust()
            await self._rotation.replace_signing()
            await self._trust()

    async def _trust(self) -> None:
        """Let us trust the present authorities, too: a replica writes the file of its authority when it starts."""
        state = await self._rotation.read()
        self._authorities |= dict.fromkeys(each.certificate_pem for each in state.stored.authorities.all)
        for i in range(self._replicas.count):
            file = self._folder / f"ca-{i}.crt"
            unfinished = file.with_suffix(".unfinished")
            unfinished.write_bytes(b"".join(self._authorities))
            unfinished.replace(file)

    async def _restart_server(self) -> None:
        process = self._cluster.processes[_HURT]
        await asyncio.to_thread(process.stop)
        await asyncio.sleep(1)
        process.start()  # from this thread, as above
        await self._all_ready()

    async def _all_ready(self) -> None:
        for _ in range(int(_UNTIL_READY)):
            if all([await asyncio.to_thread(self._replicas.is_ready, i) for i in range(self._replicas.count)]):
                return
            await asyncio.sleep(1)
        told = "; ".join(f"{i}: {self._replicas.readiness(i)}" for i in range(self._replicas.count))
        self.unready.append(f"minute {self._clock() / 60:.0f}: not ready after {_UNTIL_READY:.0f} s: {told}")

    @contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        try:
            yield
        except WebhookError as error:
            self.failed[name] += 1
            print(f"{name}: {error}", file=sys.stderr, flush=True)
