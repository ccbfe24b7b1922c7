"""Replicas of two versions share a ledger: an older one of format 2 knows fewer kinds, one of format 1 only pods."""

from __future__ import annotations

import pytest
from msgspec import structs

from tests.fakes import FakeLedgerObject, FakeStore
from tests.ledger.sharing import HOLD, Replica, create, ledger_in
from webhook.ledger.codec import read_ledger
from webhook.ports import UnavailableError
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
