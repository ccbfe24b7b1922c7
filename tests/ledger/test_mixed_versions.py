"""
Replicas of two versions share a ledger. One of format 1 knows only pods, of format 2 fewer kinds, of format 3 no order
of promises, of format 4 no grants.
"""

from __future__ import annotations

from dataclasses import dataclass
from unittest import mock

import pytest
from msgspec import structs

from tests.contracts.test_ledger_store import EDIT, World
from tests.fakes import FakeLedgerObject, FakeStore
from tests.ledger.sharing import HOLD, Replica, create, ledger_in
from tests.ledger.test_shared_ledger_grants import Granted
from webhook.ledger import codec
from webhook.ledger.codec import read_ledger
from webhook.ledger.ledger_object import StoredText
from webhook.ledger.protocol import Ledger
from webhook.ledger.validation import LedgerValidator
from webhook.ports import PromisesChangingError, UnavailableError
from webhook.quota.expected import Expected
from webhook.quota.objects import StoredVersion
from webhook.quota.reservation import Charge, Pods

WIDGETS = "widgets.example.com"


def widget(name: str = "one") -> Charge:
    charge = create(name)
    return Charge(charge.key._replace(resource=WIDGETS), charge.uid, charge.base, charge.payer, charge.amounts)


@pytest.fixture
async def older(stored_in: FakeLedgerObject) -> Replica:
    replica = Replica(stored_in, "older")
    await replica.stored_ledger.read()
    return replica


@pytest.fixture
async def newer(older: Replica) -> Replica:
    replica = Replica(older.stored_in, "newer", charged=("pods", WIDGETS))
    await replica.stored_ledger.read()
    return replica


def test_a_text_of_format_1_is_read(older: Replica) -> None:
    assert older.stored_in.stored is not None
    text = older.stored_in.stored.text

    former = text.replace("userquota-ledger 2 ", "userquota-ledger 1 ", 1)

    assert read_ledger(former, uid=older.stored_in.stored.uid) == ledger_in(older.stored_in)


async def test_only_a_ledger_with_sessions_has_their_format(older: Replica, newer: Replica) -> None:
    """Replicas of the version before go on beside ours until a session starts."""
    assert await newer.allows(create("pod"))
    assert ledger_format(newer) == 2

    expecting = Expected((("gpu", 1),))
    session = structs.replace(widget(), expected=expecting, pods=Pods(expecting.amounts, expecting.amounts))
    assert await newer.allows(session)
    assert ledger_format(newer) == 3
    await older.stored_ledger.read()
    assert [each.expected for each in older.stored_ledger.view.ledger.reservations.values()] == [None, expecting]


def ledger_format(replica: Replica) -> int:
    assert replica.stored_in.stored is not None
    return int(replica.stored_in.stored.text.split()[1])


async def test_an_older_replica_counts_what_it_does_not_charge(older: Replica, newer: Replica) -> None:
    newer.limit = older.limit = 1
    assert await newer.allows(widget())

    assert not await older.allows(create("pod"))


async def test_an_older_replica_does_not_wait_for_a_watch_that_it_does_not_have(older: Replica, newer: Replica) -> None:
    assert await newer.allows(widget())
    newer.sees(widget(), version=900)
    await newer.maintain()
    assert ledger_in(newer.stored_in).settled_through[WIDGETS] == 900

    assert await older.allows(create("pod"))


async def test_an_older_replica_expires_nothing_that_it_cannot_look_up(older: Replica, newer: Replica) -> None:
    assert await newer.allows(widget())
    older.world.clock.pass_by(2 * HOLD)
    await older.maintain()
    older.world.clock.pass_by(2 * HOLD)

    assert await older.maintain() == ()
    assert [each.key.resource for each in ledger_in(older.stored_in).reservations.values()] == [WIDGETS]
    assert older.world.store.asked == []


async def test_after_a_loss_a_newer_replica_looks_up_what_an_older_one_could_not(
    older: Replica, newer: Replica
) -> None:
    """What was in flight at the loss is stored by now; the older one opened the ledger without knowing of it."""
    gone = older.stored_in.delete()
    for each in (older, newer):
        each.stored_ledger.on_deleted(gone.uid)
    await older.maintain()
    older.world.clock.pass_by(HOLD + 1)
    await older.maintain()
    assert ledger_in(older.stored_in).is_open
    assert WIDGETS not in ledger_in(older.stored_in).settled_through

    refused = await newer.refusal(widget("two"), within=3)
    assert refused.reason == "watch-behind"
    assert WIDGETS in str(refused)

    newer.world.store.stored[widget().key] = StoredVersion("uid-of-one", 700)
    await newer.maintain()
    refused = await newer.refusal(widget("two"), within=3)
    assert "is at version 0, the ledger at 700" in str(refused)

    newer.reaches(700, resource=WIDGETS)
    assert await newer.allows(widget("two"))


class WithoutWidgets(FakeStore):
    """The right to list widgets is missing."""

    async def newest_version(self, resource: str) -> int:
        if resource == WIDGETS:
            raise UnavailableError("api-server", f"{resource} could not be listed: 403")
        return await super().newest_version(resource)


async def test_a_kind_that_cannot_be_looked_up_after_a_loss_keeps_no_other_from_expiring(
    older: Replica, newer: Replica
) -> None:
    gone = older.stored_in.delete()
    for each in (older, newer):
        each.stored_ledger.on_deleted(gone.uid)
    await older.maintain()
    older.world.clock.pass_by(HOLD + 1)
    await older.maintain()
    assert await older.allows(create("pod"))
    newer.hears()
    await newer.ledger.maintain(quorum=WithoutWidgets())
    newer.world.clock.pass_by(HOLD + 1)

    done = await newer.ledger.maintain(quorum=WithoutWidgets())

    assert [each.uid for each in done.expired] == ["uid-of-pod"]
    assert [str(each) for each in done.failures] == [f"{WIDGETS} could not be listed: 403"]


# Formats that an older replica does not read.


class OldReader(LedgerValidator):
    """Reads as a version does whose newest format is *newest*."""

    def __init__(self, newest: int) -> None:
        super().__init__()
        self._newest = newest

    def read(self, found: StoredText) -> Ledger:
        with mock.patch.object(codec, "FORMAT", self._newest):
            return super().read(found)


@dataclass
class Old(Replica):
    """A replica that reads formats up to `newest`, and takes no grants."""

    newest: int = 4

    def __post_init__(self) -> None:
        with mock.patch.object(codec, "FORMAT", self.newest):  # its name says what it reads
            super().__post_init__()
        self.stored_ledger._validator = OldReader(self.newest)

    async def leaves_it_alone(self) -> bool:
        """Ask for a pod and look after the ledger; say whether both end with the reason, and nothing is written."""
        before = self.stored_in.stored
        self.hears()
        refused = await self.refusal(create(f"{self.name}-in-vain"))
        with pytest.raises(UnavailableError) as raised:
            await self.maintain()
        assert f"this version knows {self.newest}" in str(refused)
        assert f"this version knows {self.newest}" in self.ledger.condition().message
        return refused.reason == raised.value.reason == "ledger-format" and self.stored_in.stored == before


@pytest.fixture
async def without_grants(stored_in: FakeLedgerObject) -> Old:
    replica = Old(stored_in, "old", limit=20)
    await replica.stored_ledger.read()
    return replica


@pytest.fixture
async def with_grants(without_grants: Old) -> Granted:
    """One that takes grants, more than a minute after the older one began the ledger."""
    replica = Granted(without_grants.stored_in, "new", World(without_grants.world.clock), limit=1000)
    await replica.stored_ledger.read()
    replica.world.clock.pass_by(61)
    return replica


@pytest.mark.parametrize("ends", ["its process ends", "nobody asks"])
async def test_beside_a_grant_an_older_replica_decides_nothing_and_then_counts_what_was_allowed_under_it(
    without_grants: Old, with_grants: Granted, ends: str
) -> None:
    await with_grants.warms_up()
    in_memory = [create(f"pod-{number}") for number in range(8)]
    for each in in_memory:
        assert not await with_grants.is_written(each)
    assert ledger_format(with_grants) == 5
    assert await without_grants.leaves_it_alone()

    if ends == "its process ends":
        await with_grants.ledger.give_back()
    else:
        for version, each in enumerate(in_memory, 200):
            with_grants.sees(each, version=version)
            without_grants.sees(each, version=version)
        await with_grants.lives(10)

    assert ledger_format(with_grants) == 2
    without_grants.hears()
    allowed = [await without_grants.allows(create(f"theirs-{number}")) for number in range(12)]
    assert allowed == [True] * 10 + [False] * 2  # of 20, with 10 that the newer one allowed


async def test_beside_a_recall_an_older_replica_decides_nothing_either(
    without_grants: Old, with_grants: Granted
) -> None:
    """What was granted is given back by then; five seconds later a recall goes with the next swap."""
    await with_grants.warms_up()
    other = Granted(with_grants.stored_in, "other", World(with_grants.world.clock), limit=20)
    await other.refusal(create("large", 10), within=0.05)
    await with_grants.lives(1)
    assert (with_grants.granted, len(ledger_in(other.stored_in).recalls)) == ({}, 1)
    assert await without_grants.leaves_it_alone()

    await with_grants.lives(5)

    assert ledger_format(with_grants) == 2
    without_grants.hears()
    assert await without_grants.allows(create("theirs"))


async def test_for_a_minute_after_each_swap_of_an_older_replica_no_grant_is_taken(
    without_grants: Old, with_grants: Granted
) -> None:
    for number in range(2):
        without_grants.hears()
        assert await without_grants.allows(create(f"theirs-{number}"))
        with_grants.hears()
        await with_grants.maintain()
        with_grants.world.clock.pass_by(59)
        for again in range(4):
            assert await with_grants.is_written(create(f"pod-{number}-{again}"))
        assert ledger_format(with_grants) == 2

    with_grants.world.clock.pass_by(2)
    assert await with_grants.is_written(create("pod"))
    assert ledger_format(with_grants) == 5


async def test_beside_the_mark_of_an_edit_only_a_replica_that_reads_its_format_decides(
    without_grants: Old, with_grants: Granted
) -> None:
    """One of format 3 would decide by promises that the edit changes; one of format 4 keeps to the mark."""
    without_order = Old(without_grants.stored_in, "older", World(without_grants.world.clock), newest=3)
    await without_order.stored_ledger.read()
    token = await with_grants.ledger.mark(EDIT, since=None, deadline=with_grants.world.clock.monotonic() + 5)

    assert ledger_format(with_grants) == 4
    assert await without_order.leaves_it_alone()
    without_grants.hears()
    assert await without_grants.allows(create("plain"))
    with pytest.raises(PromisesChangingError):
        without_grants.ledger.require_no_open_edit()

    with_grants.hears()
    await with_grants.ledger.unmark(token)
    assert ledger_format(with_grants) == 2
    for each in (without_order, without_grants):
        each.hears()
        assert await each.allows(create(f"{each.name}-again"))
        each.ledger.require_no_open_edit()
