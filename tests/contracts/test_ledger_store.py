"""
The contract of every ledger: one suite for all implementations.

A new one only adds an entry to LEDGERS. The clock and the quorum read are fakes; the decision and the usage index are
real.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

import pytest

from tests.calls import counted_calls
from tests.fakes import FakeClock, FakeLedgerObject, FakeStore, FakeStoredPolicies, by_payer, grants_of
from webhook.ledger.codec import replica_name
from webhook.ledger.memory import MemoryLedger
from webhook.ledger.own_grant import VALID_FOR
from webhook.ledger.replica_view import ReplicaView
from webhook.ledger.shared import SharedLedger
from webhook.ledger.stored_ledger import StoredLedger
from webhook.ports import READY, Condition, LedgerStore, PromisesChangingError, StoredPolicyMap, UnavailableError
from webhook.quota.decision import Allowed, Decision, Denied, decide
from webhook.quota.limits import Limit, LimitsInForce
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.promises import MarkedEdit
from webhook.quota.reservation import CREATED, Charge, Prior, Reservation
from webhook.quota.subject import CLUSTER, Payer, Subject, group, user
from webhook.quota.usage import Row, UsageIndex, UsageView

HOLD = 34.0
"""Seconds. The API server ends a write by then: no ledger may drop a reservation earlier."""

LONG_ENOUGH = 60.0
"""Seconds. By then every ledger must drop a reservation whose object is not stored."""

POOL = group("ml")


def accounts(payer: Payer, _: str) -> tuple[Subject, ...]:
    return (user(payer.owner), POOL, CLUSTER)


@dataclass
class World:
    """The environment of one replica: its watch (the usage index), the stored objects, the time."""

    clock: FakeClock = field(default_factory=FakeClock)
    store: FakeStore = field(default_factory=FakeStore)
    index: UsageIndex = field(default_factory=lambda: UsageIndex(by_payer(accounts)))
    condition: Condition = READY
    anybody_asked: bool = False
    writes: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    policies: FakeStoredPolicies = field(default_factory=FakeStoredPolicies)

    async def may_have_been_called(self) -> bool:
        return self.anybody_asked


@asynccontextmanager
async def memory_ledger(world: World) -> AsyncIterator[LedgerStore]:
    yield MemoryLedger(
        world.index,
        monotonic=world.clock.monotonic,
        api_time=world.clock.api_time,
        in_step=lambda: world.condition,
        stored_policies=world.policies,
    )


@asynccontextmanager
async def shared_ledger(world: World) -> AsyncIterator[LedgerStore]:
    yield share(FakeLedgerObject(), world)


@asynccontextmanager
async def shared_ledger_with_grants(world: World) -> AsyncIterator[LedgerStore]:
    yield share(FakeLedgerObject(), world, grants=True)


def share(
    stored_in: FakeLedgerObject,
    world: World,
    *,
    replica: str = "a",
    charged: Sequence[str] = ("pods",),
    grants: bool = False,
) -> SharedLedger:
    """Return the ledger of one replica, which charges *charged*; its stored object may be shared with others."""
    replica = replica_name(replica)
    numbers = itertools.count()
    expiry_seconds = 40.0
    stored_ledger = StoredLedger(
        stored_in,
        ReplicaView(
            world.index,
            charged=charged,
            new_token=lambda: f"{replica}-{next(numbers)}",
            grants=grants_of(replica, world.clock, charged=charged, is_on=grants),
        ),
        replica=replica,
        rebuild_seconds=expiry_seconds + (VALID_FOR if grants else 0),
        monotonic=world.clock.monotonic,
        api_time=world.clock.api_time,
        new_epoch=lambda: f"epoch-{replica}-{next(numbers)}",
        may_have_been_called=world.may_have_been_called,
        on_access=world.writes.append,
        on_lost=world.losses.append,
    )
    return SharedLedger(
        world.index,
        stored_ledger,
        expiry_seconds=expiry_seconds,
        monotonic=world.clock.monotonic,
        in_step=lambda: world.condition,
        charged=charged,
        stored_policies=world.policies,
        on_decided_in_memory=lambda: None,
    )


LEDGERS: dict[str, Callable[[World], AbstractAsyncContextManager[LedgerStore]]] = {
    "MemoryLedger": memory_ledger,
    "SharedLedger": shared_ledger,
    "SharedLedger with grants": shared_ledger_with_grants,
}


@dataclass
class Stage:
    """A ledger in its world: `limit` places for each user and `pool` for all."""

    ledger: LedgerStore
    world: World
    limit: int = 15
    pool: int = 1000

    async def ask(self, charge: Charge, *, dry_run: bool = False, within: float = 5.0) -> Decision:
        payer = user(charge.payer.owner)
        limits = (Limit(payer, "gpu", self.limit, "users"), Limit(POOL, "gpu", self.pool, "groups.ml.pool"))
        judge = partial(decide, charge, LimitsInForce(limits))
        deadline = self.world.clock.monotonic() + within
        return await self.ledger.transact(charge, judge, dry_run=dry_run, deadline=deadline)

    async def allows(self, charge: Charge) -> bool:
        return isinstance(await self.ask(charge), Allowed)

    async def would_allow(self, charge: Charge) -> bool:
        """Return whether a dry run is allowed."""
        return isinstance(await self.ask(charge, dry_run=True), Allowed)

    def stores(self, charge: Charge, *, version: int) -> None:
        """Store the allowed object; the watch has not shown it yet."""
        self.world.store.stored[charge.key] = StoredVersion(charge.uid, version)

    def shows(self, charge: Charge, *, version: int) -> None:
        """Store the allowed object, and deliver it from the watch."""
        self.stores(charge, version=version)
        settled = self.world.index.observe(charge.key, Row(charge.uid, version, charge.payer, charge.amounts))
        self.ledger.settled(settled, seen_at=version)
        self.world.index.reached(charge.key.resource, version)

    async def maintain(self) -> tuple[Reservation, ...]:
        """Run the periodic work; raise its first failure, or give what expired."""
        done = await self.ledger.maintain(quorum=self.world.store)
        for each in done.failures:
            raise each
        return done.expired

    async def let_pass(self, seconds: float) -> list[str]:
        """Advance the time, with maintenance once a second; return the uids of the dropped reservations."""
        gone: list[str] = []
        for _ in range(int(seconds)):
            gone += [each.uid for each in await self.maintain()]
            self.world.clock.pass_by(1)
        return gone

    def held(self) -> list[str]:
        return sorted(each.uid for each in self.world.index.reservations())


@pytest.fixture(params=list(LEDGERS.values()), ids=list(LEDGERS))
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    world = World()
    async with request.param(world) as ledger:
        yield Stage(ledger, world)


def create(name: str, amount: int = 1, *, uid: str = "", owner: str = "alice") -> Charge:
    key = ObjectKey("pods", "red", name)
    return Charge(key, uid or f"uid-of-{name}", CREATED, Payer(owner), (("gpu", amount),))


def update(name: str, amount: int, *, base: int, was: int = 1, owner: str = "alice") -> Charge:
    key, payer = ObjectKey("pods", "red", name), Payer(owner)
    prior = Prior(payer, frozenset(accounts(payer, "red")), (("gpu", was),))
    return Charge(key, f"uid-of-{name}", base, payer, (("gpu", amount),), prior)


async def test_of_a_hundred_requests_at_once_for_fifteen_places_exactly_fifteen_are_allowed(stage: Stage) -> None:
    answers = await asyncio.gather(*(stage.ask(create(f"pod-{number}")) for number in range(100)))

    assert Counter(map(type, answers)) == {Allowed: 15, Denied: 85}
    assert stage.world.index.reserved(user("alice"), "gpu") == 15


async def test_concurrent_requests_of_different_sizes_never_exceed_the_limit(stage: Stage) -> None:
    sizes = random.Random(7)  # noqa: S311 - a shuffled table, not a secret
    charges = [create(f"pod-{number}", sizes.randint(1, 4)) for number in range(60)]

    answers = await asyncio.gather(*map(stage.ask, charges))

    allowed = [charge for charge, answer in zip(charges, answers, strict=True) if isinstance(answer, Allowed)]
    assert sum(dict(charge.amounts)["gpu"] for charge in allowed) == stage.world.index.reserved(user("alice"), "gpu")
    assert stage.world.index.reserved(user("alice"), "gpu") == 15  # a pod of one fits until the very end


async def test_two_users_at_once_fill_a_shared_pool_and_neither_exceeds_their_own_limit(
    stage: Stage,
) -> None:
    stage.limit, stage.pool = 10, 15
    charges = [create(f"{owner}-{number}", owner=owner) for number in range(50) for owner in ("alice", "bob")]

    answers = await asyncio.gather(*map(stage.ask, charges))

    got = Counter(
        charge.payer.owner for charge, answer in zip(charges, answers, strict=True) if isinstance(answer, Allowed)
    )
    assert got.total() == 15
    assert max(got.values()) <= 10


@pytest.mark.parametrize(("taken", "verdict"), [(14, Allowed), (15, Denied)], ids=["there is room", "it is full"])
async def test_a_dry_run_gets_the_same_decision_and_reserves_nothing(
    stage: Stage, taken: int, verdict: type[Decision]
) -> None:
    for number in range(taken):
        assert await stage.allows(create(f"pod-{number}"))

    tried = await stage.ask(create("another"), dry_run=True)

    assert "uid-of-another" not in stage.held()
    assert type(tried) is verdict
    assert await stage.ask(create("another")) == tried  # the same decision


async def test_a_request_that_comes_twice_is_held_once(stage: Stage) -> None:
    stage.limit = 1

    assert await stage.allows(create("pod"))
    assert await stage.allows(create("pod"))

    assert stage.held() == ["uid-of-pod"]
    assert not await stage.allows(create("another"))


async def test_of_a_request_that_comes_twice_with_other_amounts_the_larger_are_held(stage: Stage) -> None:
    for amount in (2, 5, 3):
        assert await stage.allows(create("pod", amount))

    assert stage.world.index.reserved(user("alice"), "gpu") == 5


async def test_creates_of_one_name_count_once_as_the_largest(stage: Stage) -> None:
    stage.limit = 3

    assert await stage.allows(create("pod", 1, uid="first"))
    assert await stage.allows(create("pod", 3, uid="second"))  # only one of them can hold the name
    assert not await stage.allows(create("another"))

    assert stage.world.index.reserved(user("alice"), "gpu") == 3


async def test_a_thousand_failing_creates_of_one_name_leave_the_rest_of_the_pool_to_others(stage: Stage) -> None:
    stage.limit = stage.pool = 2

    for number in range(1000):
        assert await stage.allows(create("pod", uid=f"attempt-{number}"))

    assert await stage.allows(create("of-bob", owner="bob"))


async def test_many_creates_of_one_name_cost_no_more_than_of_as_many_names(stage: Stage) -> None:
    """Any user that may create pods may do so in a loop under a taken name: other requests must not become slower."""
    stage.limit = stage.pool = 10**9

    async def calls(charges: Iterable[Charge]) -> int:
        with counted_calls() as made:
            for charge in charges:
                assert await stage.allows(charge)
        return made.total()

    # Of a person each, so that none is allowed under a grant, which costs a tenth.
    many = await calls(create(f"pod-{number}", number, owner=f"person-{number}") for number in range(1, 301))
    one = await calls(create("pod", number, uid=f"attempt-{number}") for number in range(1, 301))

    assert one < 5 * many


async def test_thousands_of_dead_creates_of_one_name_need_one_look_at_the_store(stage: Stage) -> None:
    for number in range(1000):
        assert await stage.allows(create("pod", uid=f"attempt-{number}"))
    await stage.maintain()
    stage.world.clock.pass_by(LONG_ENOUGH)

    gone = await stage.maintain()

    assert gone  # a shared ledger keeps apart only the last few of them
    assert stage.held() == []
    assert stage.world.store.asked == ["pod"]


async def test_of_many_creates_of_one_name_the_one_that_is_stored_stays_held(stage: Stage) -> None:
    for number in range(10):
        assert await stage.allows(create("pod", uid=f"attempt-{number}"))
    stage.stores(create("pod", uid="attempt-7"), version=9)
    await stage.maintain()
    stage.world.clock.pass_by(LONG_ENOUGH)

    await stage.maintain()

    assert stage.held() == ["attempt-7"]


async def test_a_create_settles_when_its_object_is_seen(stage: Stage) -> None:
    stage.limit = 1
    assert await stage.allows(create("pod"))

    stage.shows(create("pod"), version=7)

    assert stage.held() == []
    assert stage.world.index.used(user("alice"), "gpu") == 1
    assert not await stage.allows(create("another"))


async def test_an_object_of_the_same_name_with_another_uid_settles_nothing(stage: Stage) -> None:
    assert await stage.allows(create("pod", 3, uid="mine"))

    stage.shows(create("pod", 1, uid="another uid"), version=7)

    assert stage.held() == ["mine"]
    assert stage.world.index.used(user("alice"), "gpu") + stage.world.index.reserved(user("alice"), "gpu") == 3


async def test_an_old_event_does_not_settle_an_update(stage: Stage) -> None:
    stage.shows(create("pod"), version=5)
    assert await stage.allows(update("pod", 4, base=5))

    stage.shows(create("pod"), version=5)
    stage.shows(create("pod"), version=3)

    assert stage.held() == ["uid-of-pod"]
    assert stage.world.index.reserved(user("alice"), "gpu") == 3  # beyond the one that it uses


async def test_the_very_version_that_an_update_is_based_on_does_not_settle_it_when_it_is_seen_late(
    stage: Stage,
) -> None:
    """Our watch is behind: the API server had version 5 before us."""
    stage.limit = 4
    stage.shows(create("pod"), version=3)
    assert await stage.allows(update("pod", 4, base=5))

    stage.shows(create("pod"), version=5)

    assert stage.held() == ["uid-of-pod"]
    assert not await stage.allows(create("another"))


async def test_a_status_update_invalidates_an_update_and_its_retry_is_held_on_the_new_base(stage: Stage) -> None:
    """etcd compares the revision: an update based on 5 cannot be written after 6. The API server calls again."""
    stage.limit = 4
    stage.shows(create("pod"), version=5)
    assert await stage.allows(update("pod", 4, base=5))

    stage.shows(create("pod"), version=6)
    assert await stage.allows(update("pod", 4, base=6))
    stage.shows(create("pod"), version=6)

    assert stage.held() == ["uid-of-pod"]
    assert not await stage.allows(create("another"))
    stage.shows(update("pod", 4, base=6), version=7)
    assert stage.held() == []
    assert stage.world.index.used(user("alice"), "gpu") == 4


async def test_an_update_is_held_beside_one_on_an_older_base(stage: Stage) -> None:
    stage.shows(create("pod"), version=3)  # our watch is behind
    assert await stage.allows(update("pod", 2, base=4))
    assert await stage.allows(update("pod", 3, base=5))

    assert stage.held() == ["uid-of-pod", "uid-of-pod"]
    assert stage.world.index.reserved(user("alice"), "gpu") == 2  # the larger, beyond the one that it uses


async def test_a_shrinking_update_is_allowed_over_the_limit_and_reserves_nothing(stage: Stage) -> None:
    stage.limit = 2
    stage.shows(create("pod", 9), version=5)

    assert await stage.allows(update("pod", 8, base=5, was=9))

    assert stage.held() == []


async def test_a_denial_holds_nothing(stage: Stage) -> None:
    stage.limit = 2

    assert not await stage.allows(create("large", 3))

    assert stage.held() == []
    assert await stage.allows(create("small", 2))


async def test_objects_created_without_a_review_count(stage: Stage) -> None:
    stage.shows(create("unasked", 15), version=4)

    assert not await stage.allows(create("pod"))


async def test_a_place_is_free_again_when_its_object_is_seen_to_be_gone_and_not_before(stage: Stage) -> None:
    stage.limit = 1
    assert await stage.allows(create("pod"))
    stage.shows(create("pod"), version=7)

    assert not await stage.would_allow(create("another"))

    stage.world.index.forget(create("pod").key, "uid-of-pod", 9)
    assert await stage.allows(create("another"))


async def test_a_reservation_outlives_the_longest_request_though_its_object_is_not_stored(stage: Stage) -> None:
    stage.limit = 1
    assert await stage.allows(create("pod"))

    assert await stage.let_pass(HOLD) == []

    assert not await stage.would_allow(create("another"))


async def test_a_reservation_whose_object_is_not_stored_expires(stage: Stage) -> None:
    stage.limit = 1
    assert await stage.allows(create("pod"))

    assert await stage.let_pass(LONG_ENOUGH) == ["uid-of-pod"]

    assert await stage.allows(create("another"))


async def test_the_time_in_which_an_api_server_hangs_does_not_count(stage: Stage) -> None:
    stage.limit = 1
    assert await stage.allows(create("pod"))
    assert await stage.let_pass(HOLD) == []

    for _ in range(10):
        stage.world.clock.stood_still += LONG_ENOUGH
        assert await stage.let_pass(LONG_ENOUGH) == []
    assert not await stage.would_allow(create("another"))

    assert await stage.let_pass(LONG_ENOUGH - HOLD) == ["uid-of-pod"]


async def test_a_reservation_whose_object_is_stored_stays_held_until_the_watch_shows_it(stage: Stage) -> None:
    stage.limit = 1
    assert await stage.allows(create("pod"))
    stage.stores(create("pod"), version=7)

    await stage.let_pass(10 * LONG_ENOUGH)
    assert not await stage.would_allow(create("another"))

    stage.shows(create("pod"), version=7)
    assert stage.held() == []
    assert not await stage.would_allow(create("another"))


async def test_a_reservation_ends_if_its_object_is_stored_and_does_not_count(stage: Stage) -> None:
    """Its namespace became exempt after it was allowed: the watch passes it, and the index never shows it."""
    stage.limit = 1
    assert await stage.allows(create("pod"))
    stage.stores(create("pod"), version=7)
    stage.world.index.reached("pods", 7)

    assert await stage.let_pass(LONG_ENOUGH) == []  # it came to something

    assert stage.held() == []
    assert await stage.allows(create("another"))


async def test_so_does_an_update_of_an_object_that_counts_no_longer(stage: Stage) -> None:
    assert await stage.allows(update("pod", 4, base=5))
    stage.stores(update("pod", 4, base=5), version=6)
    stage.world.index.reached("pods", 6)

    await stage.let_pass(LONG_ENOUGH)

    assert stage.held() == []


async def test_a_reservation_expires_if_another_object_has_the_name(stage: Stage) -> None:
    assert await stage.allows(create("pod", uid="mine"))
    stage.stores(create("pod", uid="another uid"), version=7)

    assert await stage.let_pass(LONG_ENOUGH) == ["mine"]


async def test_an_update_that_was_never_written_expires(stage: Stage) -> None:
    stage.shows(create("pod"), version=5)
    assert await stage.allows(update("pod", 4, base=5))

    assert await stage.let_pass(HOLD) == []
    assert await stage.let_pass(LONG_ENOUGH) == ["uid-of-pod"]

    assert stage.world.index.used(user("alice"), "gpu") == 1


async def test_an_update_that_was_written_unseen_stays_held(stage: Stage) -> None:
    stage.limit = 4
    stage.shows(create("pod"), version=5)
    assert await stage.allows(update("pod", 4, base=5))
    stage.stores(update("pod", 4, base=5), version=6)

    await stage.let_pass(10 * LONG_ENOUGH)

    assert not await stage.would_allow(create("another"))


async def test_while_the_store_cannot_be_read_no_reservation_expires(stage: Stage) -> None:
    stage.limit = 2
    assert await stage.allows(create("one"))
    assert await stage.allows(create("two"))
    await stage.maintain()
    stage.world.clock.pass_by(LONG_ENOUGH)

    stage.world.store.trouble = "connection refused"
    with pytest.raises(UnavailableError, match="connection refused"):
        await stage.maintain()

    assert stage.held() == ["uid-of-one", "uid-of-two"]
    assert not await stage.would_allow(create("another"))
    stage.world.store.trouble = ""
    assert sorted(each.uid for each in await stage.maintain()) == ["uid-of-one", "uid-of-two"]


@dataclass
class Partly(FakeStore):
    """A store of which the names in `unreadable` cannot be read."""

    unreadable: Sequence[str] = ()

    async def version_of(self, key: ObjectKey) -> StoredVersion | None:
        if key.name in self.unreadable:
            raise UnavailableError("api-server", f"{key.name} cannot be read")
        return await super().version_of(key)


async def test_what_cannot_be_read_keeps_nothing_else_from_expiring(stage: Stage) -> None:
    """So it was where a right was missing for one kind: nothing of any kind expired, so that users were locked out."""
    stage.limit = 100
    for number in range(50):
        assert await stage.allows(create(f"pod-{number}"))
    await stage.maintain()
    stage.world.clock.pass_by(LONG_ENOUGH)

    done = await stage.ledger.maintain(quorum=Partly(unreadable=["pod-0", "pod-49"]))

    assert len(done.expired) == 48
    assert stage.held() == ["uid-of-pod-0", "uid-of-pod-49"]
    assert [each.reason for each in done.failures] == ["api-server"]  # one for each resource


@pytest.mark.parametrize("amount", [2, 4, 5], ids=["smaller", "the same", "larger"])
async def test_a_second_update_on_the_same_base_is_held_for_its_own_time(stage: Stage, amount: int) -> None:
    """The first was lost long ago; the second may still be written for 34 seconds."""
    stage.shows(create("pod"), version=5)
    assert await stage.allows(update("pod", 4, base=5))
    await stage.let_pass(HOLD - 1)
    assert await stage.allows(update("pod", amount, base=5))

    assert await stage.let_pass(HOLD) == []

    assert stage.world.index.reserved(user("alice"), "gpu") >= amount - 1
    assert await stage.let_pass(LONG_ENOUGH) == ["uid-of-pod"]


async def test_a_request_repeated_during_the_quorum_read_stays_held(stage: Stage) -> None:
    stage.limit = 4
    stage.shows(create("pod"), version=5)
    assert await stage.allows(update("pod", 4, base=5))
    await stage.maintain()
    stage.world.clock.pass_by(LONG_ENOUGH)

    class SlowStore(FakeStore):
        async def version_of(self, key: ObjectKey) -> StoredVersion | None:
            assert await stage.allows(update("pod", 4, base=5))
            return await super().version_of(key)

    await stage.ledger.maintain(quorum=SlowStore(stage.world.store.stored))

    assert not await stage.would_allow(create("another"))


async def test_after_the_deadline_the_call_raises_and_reserves_nothing(stage: Stage) -> None:
    with pytest.raises(UnavailableError) as raised:
        await stage.ask(create("pod"), within=0)

    assert raised.value.reason == "deadline"
    assert stage.held() == []


async def test_while_the_watch_is_behind_the_call_raises_and_reserves_nothing(stage: Stage) -> None:
    stage.world.condition = Condition(ok=False, reason="not-synced", message="the pods are not all known yet")

    with pytest.raises(UnavailableError, match="the pods are not all known yet"):
        await stage.ask(create("pod"))

    assert stage.held() == []
    stage.world.condition = READY
    assert await stage.allows(create("pod"))


async def test_a_decision_that_fails_holds_nothing_and_leaves_the_ledger_usable(stage: Stage) -> None:
    def broken(_: UsageView) -> Decision:
        raise ZeroDivisionError

    deadline = stage.world.clock.monotonic() + 5
    with pytest.raises(ZeroDivisionError):
        await stage.ledger.transact(create("pod"), broken, dry_run=False, deadline=deadline)

    assert stage.held() == []
    assert await stage.allows(create("pod"))


# What is promised.

EDIT = MarkedEdit("quotas", "uid-of-quotas", 5, was_part=True)
BECOMES_PART = EDIT._replace(was_part=False)
MADE = BECOMES_PART._replace(base=0)


class InOrder(Protocol):
    """A ledger in its world, with places in a pool of nodes."""

    world: World
    pool: int

    @property
    def ledger(self) -> LedgerStore: ...


def in_order(stage: InOrder, charge: Charge) -> Callable[[UsageView], Decision]:
    """Return a decision that depends on what is promised."""

    def judge(view: UsageView) -> Decision:
        stage.ledger.require_no_open_edit()
        return decide(charge, LimitsInForce((Limit(POOL, "gpu", stage.pool, "nodeClasses.fast"),)), view)

    return judge


async def ask_in_order(stage: InOrder, name: str, *, within: float = 5.0) -> Decision:
    charge = create(name)
    deadline = stage.world.clock.monotonic() + within
    return await stage.ledger.transact(charge, in_order(stage, charge), dry_run=False, deadline=deadline)


async def mark(stage: Stage, edit: MarkedEdit = EDIT) -> str:
    return await stage.ledger.mark(edit, since=None, deadline=stage.world.clock.monotonic() + 5)


def sees_policy(stage: InOrder, version: int, *, uid: str = EDIT.uid) -> None:
    stage.ledger.policy_seen({EDIT.name: StoredVersion(uid, version)}, version=version)
    stage.ledger.policy_in_force({EDIT.name: StoredVersion(uid, version)}, version=version, changed_at=version)


async def test_what_depends_on_promises_waits_for_an_edit_and_nothing_else_does(stage: Stage) -> None:
    await mark(stage)

    waiting = asyncio.create_task(ask_in_order(stage, "pod"))
    assert await stage.allows(create("another"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    sees_policy(stage, 6)

    assert isinstance(await waiting, Allowed)
    assert stage.held() == ["uid-of-another", "uid-of-pod"]


async def test_who_waits_for_an_edit_until_the_deadline_learns_why(stage: Stage) -> None:
    await mark(stage)

    with pytest.raises(PromisesChangingError, match="an edit of what is promised is being stored"):
        await ask_in_order(stage, "pod", within=0.01)

    assert stage.held() == []


async def test_an_edit_that_was_refused_holds_up_nobody(stage: Stage) -> None:
    token = await mark(stage)
    await stage.ledger.unmark(token)

    assert isinstance(await ask_in_order(stage, "pod"), Allowed)


async def test_one_edit_is_marked_at_a_time(stage: Stage) -> None:
    """Each would be judged without the other."""
    await mark(stage)
    with pytest.raises(PromisesChangingError, match="an edit of what is promised is being stored"):
        await mark(stage, MarkedEdit("others", "uid-of-others", 5, was_part=True))

    sees_policy(stage, 6)

    await mark(stage, MarkedEdit("others", "uid-of-others", 5, was_part=True))


async def test_an_edit_that_is_not_stored_holds_up_others_until_it_cannot_be_any_more(stage: Stage) -> None:
    stage.world.policies.stored[EDIT.name] = StoredPolicyMap(EDIT.uid, EDIT.base)
    await mark(stage)
    await stage.let_pass(39)
    with pytest.raises(PromisesChangingError):
        await ask_in_order(stage, "pod", within=0.01)

    await stage.let_pass(3)

    assert isinstance(await ask_in_order(stage, "pod"), Allowed)


@pytest.mark.parametrize(
    ("edit", "stored", "is_over"),
    [
        (EDIT, StoredPolicyMap(EDIT.uid, 5), True),  # as it was before
        (EDIT, StoredPolicyMap(EDIT.uid, 6), False),
        (EDIT, StoredPolicyMap(EDIT.uid, 6, is_part=False), False),  # the edit may have taken its label off
        (EDIT, StoredPolicyMap("another", 9), False),  # it may have been deleted by the edit
        (EDIT, None, False),
        (BECOMES_PART, StoredPolicyMap(EDIT.uid, 5, is_part=False), True),
        (BECOMES_PART, StoredPolicyMap(EDIT.uid, 6, is_part=False), True),  # somebody else has edited it
        (BECOMES_PART, StoredPolicyMap(EDIT.uid, 6), False),
        (BECOMES_PART, StoredPolicyMap("another", 6), True),
        (BECOMES_PART, None, True),
        (MADE, StoredPolicyMap(EDIT.uid, 6), False),
        (MADE, StoredPolicyMap("another", 6), True),
        (MADE, None, True),
    ],
)
async def test_an_edit_that_may_be_stored_holds_up_others_until_that_is_seen(
    stage: Stage, edit: MarkedEdit, stored: StoredPolicyMap | None, is_over: bool
) -> None:
    if stored is not None:
        stage.world.policies.stored[EDIT.name] = stored
    await mark(stage, edit)
    await stage.let_pass(42)

    if not is_over:
        with pytest.raises(PromisesChangingError):
            await ask_in_order(stage, "pod", within=0.01)
        sees_policy(stage, 6)
    assert isinstance(await ask_in_order(stage, "pod"), Allowed)


async def test_an_edit_of_which_nobody_can_tell_whether_it_is_stored_holds_up_others(stage: Stage) -> None:
    stage.world.policies.stored[EDIT.name] = StoredPolicyMap(EDIT.uid, EDIT.base)
    await mark(stage)
    await stage.let_pass(38)
    stage.world.policies.error = UnavailableError("policy", "ConfigMap quotas cannot be read")
    for _ in range(4):
        stage.world.clock.pass_by(1)
        failures = (await stage.ledger.maintain(quorum=stage.world.store)).failures

    assert [str(each) for each in failures] == ["ConfigMap quotas cannot be read"]
    with pytest.raises(PromisesChangingError):
        await ask_in_order(stage, "pod", within=0.01)
    stage.world.policies.error = None
    await stage.let_pass(2)
    assert isinstance(await ask_in_order(stage, "pod"), Allowed)


async def test_no_edit_is_marked_while_it_is_not_known_what_exists(stage: Stage) -> None:
    stage.world.condition = Condition(ok=False, reason="not-synced", message="the pods are not all known yet")

    with pytest.raises(UnavailableError, match="the pods are not all known yet"):
        await mark(stage)


async def test_what_has_begun_or_ended_for_one_has_for_all(stage: Stage) -> None:
    moment = datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert stage.ledger.time(moment) == moment

    await stage.ledger.mark(EDIT, since=moment, deadline=stage.world.clock.monotonic() + 5)

    assert stage.ledger.time(moment - timedelta(seconds=2)) == moment
    assert stage.ledger.time(moment + timedelta(seconds=2)) == moment + timedelta(seconds=2)
