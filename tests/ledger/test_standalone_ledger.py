"""The ledger of a server without a cluster believes what it allowed, until it hears of the deletion."""

from __future__ import annotations

from functools import partial

import pytest

from tests.fakes import FakeClock, FakeStore
from webhook.ledger.memory import StandaloneLedger
from webhook.ports import READY, Maintenance, UnavailableError
from webhook.quota.decision import Allowed, decide
from webhook.quota.limits import Limit, LimitsInForce
from webhook.quota.objects import ObjectKey
from webhook.quota.reservation import CREATED, Charge, Prior
from webhook.quota.resources import Amount
from webhook.quota.subject import Payer, user
from webhook.quota.usage import UsageIndex

ALICE = Payer("alice")
ACCOUNT = user("alice")


class Stage:
    """A believing ledger with four places for alice."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.index = UsageIndex(lambda account, _: (user(account.payer.owner),))
        self.ledger = StandaloneLedger(
            self.index, monotonic=self.clock.monotonic, api_time=self.clock.api_time, in_step=lambda: READY
        )

    async def allows(self, charge: Charge, *, dry_run: bool = False) -> bool:
        judge = partial(decide, charge, LimitsInForce((Limit(ACCOUNT, "gpu", 4, "users.alice"),)))
        deadline = self.clock.monotonic() + 1
        return isinstance(await self.ledger.transact(charge, judge, dry_run=dry_run, deadline=deadline), Allowed)

    def used(self) -> Amount:
        return self.index.used(ACCOUNT, "gpu")


@pytest.fixture
def stage() -> Stage:
    return Stage()


def create(name: str, amount: int, *, uid: str = "") -> Charge:
    return Charge(ObjectKey("pods", "red", name), uid or f"uid-of-{name}", CREATED, ALICE, (("gpu", amount),))


def update(name: str, amount: int, *, base: int, was: int) -> Charge:
    prior = Prior(ALICE, frozenset({ACCOUNT}), (("gpu", was),))
    return Charge(ObjectKey("pods", "red", name), f"uid-of-{name}", base, ALICE, (("gpu", amount),), prior)


async def test_what_was_allowed_counts_as_used_at_once_and_for_ever(stage: Stage) -> None:
    assert await stage.allows(create("pod", 4))
    stage.clock.pass_by(1_000_000)

    assert await stage.ledger.maintain(quorum=FakeStore()) == Maintenance()

    assert (stage.used(), stage.index.reserved(ACCOUNT, "gpu")) == (4, 0)
    assert not await stage.allows(create("another", 1))


async def test_a_deletion_frees_what_the_object_used(stage: Stage) -> None:
    assert await stage.allows(create("pod", 4))

    stage.ledger.on_delete(ObjectKey("pods", "red", "pod"), "uid-of-pod")

    assert stage.used() == 0
    assert await stage.allows(create("another", 4))


async def test_a_deletion_of_an_earlier_object_of_the_name_frees_nothing(stage: Stage) -> None:
    assert await stage.allows(create("pod", 4, uid="new"))

    stage.ledger.on_delete(ObjectKey("pods", "red", "pod"), "old")

    assert stage.used() == 4


async def test_an_object_of_the_same_name_replaces_the_earlier_one(stage: Stage) -> None:
    assert await stage.allows(create("pod", 3, uid="old"))
    assert await stage.allows(create("pod", 2, uid="new"))

    assert stage.used() == 2


async def test_an_update_of_a_version_far_ahead_is_believed_and_its_deletion_too(stage: Stage) -> None:
    assert await stage.allows(create("pod", 1))
    assert await stage.allows(update("pod", 3, base=987_654, was=1))
    assert stage.used() == 3

    assert await stage.allows(create("another", 1))
    stage.ledger.on_delete(ObjectKey("pods", "red", "pod"), "uid-of-pod")

    assert stage.used() == 1


async def test_a_dry_run_is_not_believed(stage: Stage) -> None:
    assert await stage.allows(create("pod", 4), dry_run=True)

    assert stage.used() == 0


async def test_a_request_that_comes_twice_counts_once(stage: Stage) -> None:
    assert await stage.allows(create("pod", 3))
    assert await stage.allows(create("pod", 3))

    assert stage.used() == 3


async def test_after_the_deadline_nothing_is_believed(stage: Stage) -> None:
    charge = create("pod", 1)
    with pytest.raises(UnavailableError):
        await stage.ledger.transact(
            charge, lambda _: Allowed(charge.reservation()), dry_run=False, deadline=stage.clock.monotonic()
        )

    assert stage.used() == 0
