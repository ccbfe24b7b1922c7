"""A ledger that is missing, damaged or not what it was: who takes it for lost, and when it is opened again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

import pytest

from tests.contracts.test_ledger_store import World
from tests.fakes import FakeLedgerObject
from tests.ledger.sharing import (
    HOLD,
    Replica,
    as_coroutine,
    create,
    fails,
    is_rebuilding,
    ledger_in,
    newest,
    reserve,
)
from webhook.ledger.codec import write_ledger
from webhook.ledger.ledger_object import StoredText, SwapConflictError
from webhook.ledger.protocol import Ledger
from webhook.ports import NoPolicies, StoreRestoredError, UnavailableError

no_policy = NoPolicies().newest_version

POD, OTHER = create("pod"), create("other")


# The first ledger, or one that was lost.


async def test_where_nobody_was_ever_asked_the_first_ledger_is_open_at_once(stored_in: FakeLedgerObject) -> None:
    replica = Replica(stored_in)
    assert not replica.stored_ledger.is_known

    await replica.stored_ledger.read()

    assert replica.stored_ledger.is_known
    replica.stored_ledger.check_open()
    assert replica.stored_ledger.condition.ok
    assert replica.world.losses == []
    assert ledger_in(stored_in).is_first


async def test_a_first_ledger_that_was_made_and_not_opened_stays_closed_for_a_while(
    stored_in: FakeLedgerObject,
) -> None:
    """Whoever made it crashed in between, or is about to open it."""
    await stored_in.create(write_ledger(Ledger.first("crashed"), uid=""))
    replica = Replica(stored_in)
    await replica.stored_ledger.read()
    assert (await fails(as_coroutine(replica.stored_ledger.check_open))).reason == "ledger-rebuilding"

    replica.world.clock.pass_by(HOLD)
    await replica.stored_ledger.open_again(newest, no_policy)

    replica.stored_ledger.check_open()
    assert replica.world.losses == []


async def test_where_somebody_was_asked_before_a_ledger_that_is_missing_was_lost(stored_in: FakeLedgerObject) -> None:
    replica = Replica(stored_in)
    replica.world.anybody_asked = True

    await replica.stored_ledger.read()

    assert is_rebuilding(stored_in)
    assert replica.world.losses == ["it was deleted"]
    with pytest.raises(UnavailableError, match="being rebuilt") as raised:
        replica.stored_ledger.check_open()
    assert raised.value.reason == "ledger-rebuilding"


async def test_where_it_is_not_known_whether_somebody_was_asked_nothing_is_made(stored_in: FakeLedgerObject) -> None:
    class Unsure(World):
        async def may_have_been_called(self) -> bool:
            raise UnavailableError("api-server", "connection refused")

    replica = Replica(stored_in, world=Unsure())

    error = await fails(replica.stored_ledger.read)

    assert (error.reason, str(error)) == ("api-server", "connection refused")
    assert stored_in.stored is None
    assert not replica.stored_ledger.is_known
    assert replica.stored_ledger.condition.message == "connection refused"


async def test_of_two_that_start_at_once_one_makes_the_ledger_and_the_other_reads_it(
    stored_in: FakeLedgerObject,
) -> None:
    replicas = [Replica(stored_in, name) for name in "abc"]

    await asyncio.gather(*(each.stored_ledger.read() for each in replicas))

    assert {each.stored_ledger.view.ledger.epoch for each in replicas} == {ledger_in(stored_in).epoch}
    assert stored_in.accesses.count("create") > 1
    assert all(each.world.losses == [] for each in replicas)


async def test_what_cannot_be_read_is_named_until_it_can(stored_in: FakeLedgerObject) -> None:
    replica = Replica(stored_in)
    assert replica.stored_ledger.condition.message == "the ledger has not been read yet"
    stored_in.trouble = "403 Forbidden"

    await fails(replica.stored_ledger.catch_up)
    assert replica.stored_ledger.condition.message == "403 Forbidden"
    assert not replica.stored_ledger.is_known

    stored_in.trouble = ""
    await replica.stored_ledger.catch_up()
    assert replica.stored_ledger.condition.ok


async def test_a_read_that_failed_once_leaves_no_trouble_behind_though_nobody_wrote_since(replica: Replica) -> None:
    replica.stored_in.trouble = "the API server is being restarted"
    await fails(replica.stored_ledger.read)
    replica.stored_in.trouble = ""

    await replica.stored_ledger.catch_up()

    assert replica.stored_ledger.condition.ok


async def test_a_write_that_failed_is_named_until_one_is_made(replica: Replica) -> None:
    replica.stored_in.trouble = "etcd is out of space"
    await fails(lambda: reserve(replica, POD))
    replica.stored_ledger.view.undo()
    replica.stored_in.trouble = ""
    await replica.stored_ledger.catch_up()
    assert replica.stored_ledger.condition.message == "etcd is out of space"  # reads go on while writes are refused

    await reserve(replica, POD)

    assert replica.stored_ledger.condition.ok


# A ledger that gets lost.


async def test_a_deletion_is_noticed_by_the_next_read(replica: Replica) -> None:
    await reserve(replica, POD)
    replica.stored_in.delete()

    await replica.stored_ledger.read()

    assert is_rebuilding(replica.stored_in)
    assert replica.world.losses == ["it was deleted"]
    assert replica.held() == []


async def test_a_deletion_that_the_watch_tells_is_noticed_without_a_write(replica: Replica) -> None:
    replica.stored_ledger.on_deleted(replica.stored_in.delete().uid)

    await replica.stored_ledger.catch_up()

    assert is_rebuilding(replica.stored_in)


async def test_the_deletion_of_an_older_one_is_old_news(replica: Replica) -> None:
    reads = replica.stored_in.accesses.count("read")

    replica.stored_ledger.on_deleted("the one before")
    await replica.stored_ledger.catch_up()

    assert replica.stored_in.accesses.count("read") == reads


async def test_a_deletion_that_is_heard_while_a_read_is_under_way_is_not_forgotten(replica: Replica) -> None:
    replica.stored_in.seconds = 0.01
    reading = asyncio.create_task(replica.stored_ledger.read())
    await asyncio.sleep(0.015)  # the answer is on its way back

    replica.stored_ledger.on_deleted(replica.stored_in.delete().uid)
    await reading
    await replica.stored_ledger.catch_up()

    assert replica.stored_in.stored is not None


async def test_a_deletion_is_noticed_by_the_next_swap_which_is_lost(replica: Replica) -> None:
    replica.stored_in.delete()

    assert not await reserve(replica, POD)
    await replica.stored_ledger.catch_up()

    assert is_rebuilding(replica.stored_in)


async def test_who_finds_a_ledger_that_another_has_begun_anew_goes_on_with_it(replica: Replica, other: Replica) -> None:
    await reserve(replica, POD)
    replica.stored_in.delete()
    await other.stored_ledger.read()

    await replica.stored_ledger.read()

    assert replica.stored_ledger.view.ledger == ledger_in(replica.stored_in)
    assert (replica.world.losses, other.world.losses) == ([], ["it was deleted"])
    assert replica.held() == []


async def test_one_made_anew_as_if_there_had_been_none_is_a_loss(replica: Replica) -> None:
    """A replica that knew nothing, while the webhook's registration was gone, too."""
    await reserve(replica, POD)
    replica.stored_in.delete()
    await Replica(replica.stored_in, "newcomer").stored_ledger.read()

    await replica.stored_ledger.read()

    assert is_rebuilding(replica.stored_in)
    assert replica.world.losses == ["it was made anew as if there had been none"]


async def test_nor_is_that_believed_when_it_is_seen_before_it_is_opened(replica: Replica) -> None:
    await reserve(replica, POD)
    replica.stored_in.delete()
    first = Ledger.first("newcomer")
    made = await replica.stored_in.create(write_ledger(first, uid=""))
    await replica.stored_ledger.read()
    with suppress(SwapConflictError):
        await replica.stored_in.swap(write_ledger(first.opened({}), uid=made.uid), after=made, writer="a")

    await replica.stored_ledger.read()

    assert is_rebuilding(replica.stored_in)


async def test_a_text_that_somebody_else_put_there_is_not_believed(replica: Replica) -> None:
    """However right it is: it may be an old one, put back where nobody of us remembers a newer one."""
    await reserve(replica, POD)
    assert replica.stored_in.stored is not None
    replica.stored_in.stored = replace(replica.stored_in.stored, version=999, written_by_other="kubectl-replace")

    for each in (replica, Replica(replica.stored_in, "newcomer")):
        await each.stored_ledger.read()

    assert is_rebuilding(replica.stored_in)
    assert replica.world.losses == ["it was written by kubectl-replace"]


GARBLED: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "cut": lambda text: text[:-20],
    "edited": lambda text: text.replace("open", "Open"),
    "somebody else's": lambda _: "version: 1\n",
    "of another object": lambda _: write_ledger(Ledger("e", is_open=True, write=1), uid="another"),
}


@pytest.mark.parametrize("is_heard", [True, False], ids=["the watch tells", "it is read"])
@pytest.mark.parametrize("garble", GARBLED.values(), ids=list(GARBLED))
async def test_a_damaged_ledger_is_begun_anew_in_its_place(
    replica: Replica, garble: Callable[[str], str], is_heard: bool
) -> None:
    await reserve(replica, POD)
    before = replica.stored_in.stored
    assert before is not None
    replica.stored_in.put(garble(before.text))

    if is_heard:
        replica.hears()
        await replica.stored_ledger.catch_up()
    else:
        await replica.stored_ledger.read()

    assert is_rebuilding(replica.stored_in)
    assert replica.stored_in.stored is not None
    assert replica.stored_in.stored.uid == before.uid
    assert len(replica.world.losses) == 1
    assert replica.held() == []


async def test_a_ledger_that_is_damaged_when_a_replica_starts_is_begun_anew_as_well(
    stored_in: FakeLedgerObject,
) -> None:
    stored_in.put("damaged")
    replica = Replica(stored_in)

    await replica.stored_ledger.read()

    assert is_rebuilding(stored_in)
    assert len(replica.world.losses) == 1


@pytest.mark.parametrize("is_heard", [True, False], ids=["the watch tells", "it is read"])
async def test_of_several_that_find_it_damaged_at_once_one_begins_it_anew_and_all_go_on(
    replica: Replica, other: Replica, is_heard: bool
) -> None:
    replica.stored_in.put("damaged")
    both = [replica, other]
    for each in both:
        each.hears()

    await asyncio.gather(*(each.stored_ledger.catch_up() if is_heard else each.stored_ledger.read() for each in both))

    assert is_rebuilding(replica.stored_in)
    assert {each.stored_ledger.view.ledger.epoch for each in both} == {ledger_in(replica.stored_in).epoch}


async def test_the_late_news_of_damage_that_is_repaired_already_is_no_trouble(replica: Replica, other: Replica) -> None:
    replica.stored_in.put("damaged")
    replica.hears()
    await other.stored_ledger.read()

    await replica.stored_ledger.catch_up()

    assert replica.stored_ledger.view.ledger == ledger_in(replica.stored_in)


async def test_an_older_text_put_back_is_a_loss(replica: Replica) -> None:
    old = replica.stored_in.stored
    assert old is not None
    await reserve(replica, POD)

    replica.stored_in.put(old.text)
    await replica.stored_ledger.read()

    assert is_rebuilding(replica.stored_in)
    assert "older text" in replica.world.losses[0]


async def test_a_text_put_back_that_is_older_than_the_last_loss_is_a_loss(replica: Replica) -> None:
    await reserve(replica, POD)
    old = replica.stored_in.stored
    assert old is not None
    replica.stored_in.put("damaged")
    await replica.stored_ledger.read()
    replica.world.clock.pass_by(HOLD)
    await replica.stored_ledger.open_again(newest, no_policy)
    await reserve(replica, OTHER)

    replica.stored_in.put(old.text)
    await replica.stored_ledger.read()

    assert is_rebuilding(replica.stored_in)


async def test_the_same_text_put_back_over_itself_is_no_loss(replica: Replica) -> None:
    """Somebody set a label."""
    await reserve(replica, POD)
    assert replica.stored_in.stored is not None
    replica.stored_in.put(replica.stored_in.stored.text)

    await replica.stored_ledger.read()

    assert replica.world.losses == []
    assert replica.held() == [POD.uid]


# A store that was restored from a backup.


async def go_back(replica: Replica) -> None:
    """Have the store be as it was before the last reservation."""
    before = replica.stored_in.stored
    assert before is not None
    await reserve(replica, POD)
    replica.stored_in.stored = replace(before, version=before.version - 50)
    replica.stored_in.versions = itertools.count(before.version - 40)


async def test_a_version_that_went_back_is_a_loss(replica: Replica) -> None:
    await go_back(replica)

    await replica.stored_ledger.read()

    assert is_rebuilding(replica.stored_in)
    assert "went back" in replica.world.losses[0]


@pytest.mark.parametrize("is_there", [True, False])
async def test_who_finds_that_the_store_went_back_begins_the_ledger_anew_and_ends(
    replica: Replica, *, is_there: bool
) -> None:
    """Its index shows a history that never was: nothing may be decided by it, even when the ledger is open again."""
    await go_back(replica)
    if not is_there:
        replica.stored_in.delete()
    assert (await replica.refusal(OTHER)).reason == "history"

    with pytest.raises(StoreRestoredError, match="went back in time"):
        await replica.maintain()

    assert is_rebuilding(replica.stored_in)
    successor = Replica(replica.stored_in, "new")
    await successor.stored_ledger.read()
    successor.world.clock.pass_by(HOLD)
    await successor.stored_ledger.open_again(newest, no_policy)
    assert ledger_in(replica.stored_in).is_open
    await replica.stored_ledger.read()
    assert (await replica.refusal(OTHER)).reason == "history"
    assert "went back in time" in replica.stored_ledger.condition.message


async def test_nobody_ends_before_the_ledger_is_begun_anew(replica: Replica) -> None:
    """A new process believes what it finds."""
    await go_back(replica)
    swap = replica.stored_in.swap

    async def refuse(text: str, *, after: StoredText, writer: str) -> StoredText:
        raise UnavailableError("ledger-write", "no leader")

    replica.stored_in.swap = refuse  # type: ignore[method-assign]
    await fails(replica.stored_ledger.read)
    assert (await fails(replica.maintain)).reason == "ledger-write"

    replica.stored_in.swap = swap  # type: ignore[method-assign]
    assert await replica.maintain() == ()
    assert is_rebuilding(replica.stored_in)
    with pytest.raises(StoreRestoredError):
        await replica.maintain()


async def test_a_text_of_an_object_that_this_replica_never_knew_is_not_believed_if_the_store_went_back(
    replica: Replica,
) -> None:
    """The backup is older than a loss that came before this replica."""
    await go_back(replica)
    assert replica.stored_in.stored is not None
    version = replica.stored_in.stored.version
    text = write_ledger(Ledger.rebuilding("older").opened({}), uid="older")
    replica.stored_in.stored = StoredText(text, "older", version)

    await replica.stored_ledger.read()

    assert ledger_in(replica.stored_in).epoch != "older"
    assert is_rebuilding(replica.stored_in)


async def test_a_loss_that_cannot_be_written_down_leaves_nothing_open(replica: Replica) -> None:
    replica.stored_in.put("damaged")

    async def refuse(text: str, *, after: StoredText, writer: str) -> StoredText:
        raise UnavailableError("ledger-write", "403 Forbidden")

    replica.stored_in.swap = refuse  # type: ignore[method-assign]
    for _ in range(2):
        error = await fails(replica.stored_ledger.read)
        assert error.reason == "ledger-write"
    assert replica.stored_ledger.condition.message == "403 Forbidden"


@pytest.mark.parametrize("is_known", [True, False], ids=["after it was read", "at the start"])
async def test_a_ledger_that_is_deleted_or_damaged_again_and_again_is_named(
    stored_in: FakeLedgerObject, *, is_known: bool
) -> None:
    replica = Replica(stored_in)
    if is_known:
        await replica.stored_ledger.read()
    stored_in.put("damaged")
    travel = stored_in._travel

    async def disturbed(reason: str) -> None:
        await travel(reason)
        if reason == "ledger-write":
            stored_in.put("damaged again")

    stored_in._travel = disturbed  # type: ignore[method-assign]
    error = await fails(replica.stored_ledger.read)

    assert error.reason == "ledger-read"
    assert "see what else writes it" in str(error)
    assert replica.stored_ledger.condition.message == str(error)


# Opening again.


@pytest.fixture
async def lost(stored_in: FakeLedgerObject) -> Replica:
    """One that has found the ledger lost."""
    replica = Replica(stored_in)
    replica.world.anybody_asked = True
    await replica.stored_ledger.read()
    return replica


async def test_a_lost_ledger_stays_closed_as_long_as_something_may_be_persisted(lost: Replica) -> None:
    lost.world.clock.pass_by(HOLD - 0.1)

    await lost.stored_ledger.open_again(newest, no_policy)

    assert is_rebuilding(lost.stored_in)


async def test_while_it_is_closed_no_replica_can_answer(lost: Replica) -> None:
    refusal = await lost.refusal(OTHER)
    assert (refusal.reason, refusal.affects_all) == ("ledger-rebuilding", True)


async def test_then_it_opens_with_the_newest_version(lost: Replica) -> None:
    lost.world.clock.pass_by(HOLD)

    await lost.stored_ledger.open_again(newest, no_policy)

    assert ledger_in(lost.stored_in).settled_through == {"pods": 90}
    lost.stored_ledger.check_open()
    assert lost.stored_ledger.view.unreached_target() == ("pods", 90)
    assert lost.stored_ledger.condition.ok


async def test_what_another_replica_has_not_written_down_does_not_count(lost: Replica) -> None:
    lost.world.clock.pass_by(HOLD - 1)
    late = Replica(lost.stored_in, "late")
    await late.stored_ledger.read()
    late.world.clock.pass_by(2)

    await late.stored_ledger.open_again(newest, no_policy)

    assert is_rebuilding(lost.stored_in)


async def test_replicas_that_crash_every_ten_seconds_open_it_together(lost: Replica) -> None:
    for life in range(5):
        late = Replica(lost.stored_in, f"life-{life}")
        await late.stored_ledger.read()
        assert is_rebuilding(lost.stored_in) == (life < 4)
        for _ in range(10):
            late.world.clock.pass_by(1)
            await late.stored_ledger.open_again(newest, no_policy)


async def test_a_loss_upon_a_loss_counts_anew(lost: Replica) -> None:
    lost.world.clock.pass_by(HOLD - 1)
    lost.stored_in.delete()
    await lost.stored_ledger.read()
    lost.world.clock.pass_by(2)

    await lost.stored_ledger.open_again(newest, no_policy)

    assert is_rebuilding(lost.stored_in)


async def test_reading_it_again_does_not_count_anew(lost: Replica) -> None:
    for _ in range(int(HOLD)):
        lost.world.clock.pass_by(1)
        await lost.stored_ledger.read()

    await lost.stored_ledger.open_again(newest, no_policy)

    assert not is_rebuilding(lost.stored_in)


async def test_of_two_that_open_it_at_once_one_does_and_what_is_held_then_stays(lost: Replica) -> None:
    other = Replica(lost.stored_in, "b")
    await other.stored_ledger.read()
    for each in (lost, other):
        each.world.clock.pass_by(HOLD)
    await lost.stored_ledger.open_again(newest, no_policy)
    await reserve(lost, POD)

    await other.stored_ledger.open_again(newest, no_policy)
    await other.stored_ledger.catch_up()

    assert other.held() == [POD.uid]
    assert [each.uid for each in ledger_in(lost.stored_in).reservations.values()] == [POD.uid]


async def test_while_the_newest_version_cannot_be_read_it_stays_closed(lost: Replica) -> None:
    lost.world.clock.pass_by(HOLD)

    async def unknown() -> Mapping[str, int]:
        raise UnavailableError("api-server", "pods could not be listed")

    await fails(lambda: lost.stored_ledger.open_again(unknown, no_policy))

    assert is_rebuilding(lost.stored_in)


async def test_an_open_ledger_is_not_opened(replica: Replica) -> None:
    replica.world.clock.pass_by(10 * HOLD)
    before = replica.stored_in.stored

    await replica.stored_ledger.open_again(newest, no_policy)

    assert replica.stored_in.stored == before
