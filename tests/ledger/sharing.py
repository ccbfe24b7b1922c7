"""Replicas that share one ledger, each in a world of its own, in few words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest

from tests.contracts.test_ledger_store import POOL, World, create, share, update
from tests.fakes import FakeClock, FakeLedgerObject, FakeStore
from webhook.ledger.codec import read_ledger
from webhook.ledger.protocol import Ledger
from webhook.ledger.stored_ledger import StoredLedger
from webhook.ports import UnavailableError
from webhook.quota.decision import Allowed, Decision, decide
from webhook.quota.limits import Limit, LimitsInForce
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.reservation import Charge, Reservation
from webhook.quota.subject import user
from webhook.quota.usage import Row
from webhook.wiring.application import SystemClock

__all__ = [
    "HOLD",
    "RealClock",
    "Replica",
    "as_coroutine",
    "create",
    "fails",
    "is_rebuilding",
    "ledger_in",
    "newest",
    "reserve",
    "store_holding",
    "until",
    "update",
    "watching",
]

HOLD = 40.0
"""Seconds that a reservation is held, and that a lost ledger stays closed."""


class RealClock(FakeClock):
    """Time that passes, for tests of who waits how long."""

    def monotonic(self) -> float:
        return SystemClock().monotonic()


@dataclass
class Replica:
    """One replica: its world, its ledger, its keeper. It gives `limit` places to each person and `pool` to all."""

    stored_in: FakeLedgerObject
    name: str = "a"
    world: World = field(default_factory=World)
    limit: int = 15
    pool: int = 1000
    charged: Sequence[str] = ("pods",)

    def __post_init__(self) -> None:
        self.ledger = share(self.stored_in, self.world, replica=self.name, charged=self.charged)

    @property
    def stored_ledger(self) -> StoredLedger:
        return self.ledger._stored_ledger

    async def ask(self, charge: Charge, *, dry_run: bool = False, within: float = 5.0) -> Decision:
        """Ask; *within* is in seconds."""
        limits = Limit(user(charge.payer.owner), "gpu", self.limit, "users"), Limit(POOL, "gpu", self.pool, "pool")
        judge = partial(decide, charge, LimitsInForce(limits))
        deadline = self.world.clock.monotonic() + within
        return await self.ledger.transact(charge, judge, dry_run=dry_run, deadline=deadline)

    async def allows(self, charge: Charge) -> bool:
        return isinstance(await self.ask(charge), Allowed)

    async def would_allow(self, charge: Charge) -> bool:
        """Ask without taking anything."""
        return isinstance(await self.ask(charge, dry_run=True), Allowed)

    async def refusal(self, charge: Charge, *, within: float = 5.0) -> UnavailableError:
        """Ask for what cannot be decided; give why."""
        with pytest.raises(UnavailableError) as raised:
            await self.ask(charge, within=within)
        return raised.value

    def sees(self, charge: Charge, *, version: int) -> None:
        """Have the watch show what was allowed."""
        settled = self.world.index.observe(charge.key, Row(charge.uid, version, charge.payer, charge.amounts))
        self.ledger.settled(settled, seen_at=version)
        self.reaches(version, resource=charge.key.resource)

    def sees_go(self, charge: Charge, *, version: int) -> None:
        self.ledger.settled(self.world.index.forget(charge.key, charge.uid, version), seen_at=0)
        self.reaches(version)

    def reaches(self, version: int, *, resource: str = "pods") -> None:
        """Have the watch move."""
        self.world.index.reached(resource, version)
        self.ledger.watch_moved()

    def hears(self) -> None:
        """Have the watch of the ledger show what is stored."""
        assert self.stored_in.stored is not None
        self.ledger.on_event(self.stored_in.stored)

    async def maintain(self) -> tuple[Reservation, ...]:
        """Run the periodic work; raise its first failure, or give what expired."""
        done = await self.ledger.maintain(quorum=self.world.store)
        for each in done.failures:
            raise each
        return done.expired

    def held(self) -> list[str]:
        return sorted(each.uid for each in self.world.index.reservations())


@asynccontextmanager
async def watching(*replicas: Replica) -> AsyncIterator[None]:
    """Have the watches of the ledger tell all of *replicas* what happens to it, a little late."""

    async def follow(stored_in: FakeLedgerObject) -> None:
        told = stored_in.stored
        while True:
            await asyncio.sleep(0.0005)
            now = stored_in.stored
            for each in replicas:
                if told is not None and (now is None or now.uid != told.uid):
                    each.stored_ledger.on_deleted(told.uid)
                if now is not None and now != told:
                    each.ledger.on_event(now)
            told = now

    task = asyncio.create_task(follow(replicas[0].stored_in))
    try:
        yield
    finally:
        task.cancel()


async def until(claim: Callable[[], bool]) -> None:
    """Wait until something has come about that nobody tells of."""
    async with asyncio.timeout(5):
        while not claim():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)


def ledger_in(stored_in: FakeLedgerObject) -> Ledger:
    """Return the ledger that is stored."""
    assert stored_in.stored is not None
    return read_ledger(stored_in.stored.text, uid=stored_in.stored.uid)


def store_holding(*charges: Charge, version: int = 7) -> FakeStore:
    """Return a store in which the objects of *charges* are."""
    stored: dict[ObjectKey, StoredVersion] = {each.key: StoredVersion(each.uid, version) for each in charges}
    return FakeStore(stored)


async def reserve(replica: Replica, *charges: Charge) -> bool:
    """Swap reservations in, as a batch does; say whether that was first."""
    for each in charges:
        replica.stored_ledger.view.hold(each.reservation())
    is_written = await replica.stored_ledger.swap(replica.stored_ledger.view.next_version())
    if not is_written:
        replica.stored_ledger.view.undo()
    return is_written


async def fails(ask: Callable[[], Awaitable[object]]) -> UnavailableError:
    with pytest.raises(UnavailableError) as raised:
        await ask()
    return raised.value


def as_coroutine(ask: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def asked() -> None:
        ask()

    return asked


def is_rebuilding(stored_in: FakeLedgerObject) -> bool:
    return not ledger_in(stored_in).is_open


async def newest(version: int = 90) -> Mapping[str, int]:
    return {"pods": version}
