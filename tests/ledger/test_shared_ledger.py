"""One replica with the shared ledger: what a batch costs, who gets what answer, and by when."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import time
from collections import Counter

import pytest

from tests.calls import counted_calls
from tests.contracts.test_ledger_store import World
from tests.fakes import FakeLedgerObject
from tests.ledger.sharing import HOLD, RealClock, Replica, create, ledger_in, until, update
from webhook.ledger import shared
from webhook.ledger.codec import write_ledger
from webhook.ledger.ledger_object import StoredText
from webhook.ledger.protocol import Ledger
from webhook.ledger.shared import MOST_PER_OWNER, BatchError
from webhook.ledger.text_size import MOST_BYTES, LedgerFullError
from webhook.ports import Condition, PromisesChangingError, UnavailableError
from webhook.quota.decision import Allowed, Decision, Denied
from webhook.quota.reservation import Charge
from webhook.quota.subject import user
from webhook.quota.usage import UsageView


@pytest.fixture
async def replica() -> Replica:
    """One that has read its first ledger; what it does from then on is counted."""
    replica = Replica(FakeLedgerObject())
    await replica.stored_ledger.read()
    replica.stored_in.accesses.clear()
    return replica


def pods(count: int, *, prefix: str = "pod", owner: str = "alice") -> list[Charge]:
    return [create(f"{prefix}-{number}", owner=owner) for number in range(count)]


# What a batch costs.


async def test_a_hundred_creates_that_wait_cost_one_write(replica: Replica) -> None:
    replica.limit = 100

    answers = await asyncio.gather(*map(replica.ask, pods(100)))

    assert Counter(map(type, answers)) == {Allowed: 100}
    assert replica.stored_in.accesses == ["swap"]
    assert len(ledger_in(replica.stored_in).reservations) == 100


async def test_a_hundred_denials_cost_one_read_and_no_write(replica: Replica) -> None:
    replica.limit = 0

    answers = await asyncio.gather(*map(replica.ask, pods(100)))

    assert Counter(map(type, answers)) == {Denied: 100}
    assert replica.stored_in.accesses == ["read"]


async def test_the_write_of_what_is_allowed_proves_the_denials_beside_it(replica: Replica) -> None:
    answers = await asyncio.gather(*map(replica.ask, pods(100)))

    assert Counter(map(type, answers)) == {Allowed: 15, Denied: 85}
    assert replica.stored_in.accesses == ["swap"]


async def test_very_many_are_written_in_several_batches(replica: Replica) -> None:
    replica.limit = 1000

    answers = await asyncio.gather(*map(replica.ask, pods(600)))

    assert Counter(map(type, answers)) == {Allowed: 600}
    assert replica.stored_in.accesses == ["swap"] * 3


async def test_dry_runs_cost_a_read_and_no_write(replica: Replica) -> None:
    await asyncio.gather(*(replica.ask(each, dry_run=True) for each in pods(50)))

    assert replica.stored_in.accesses == ["read"]


async def test_what_does_not_grow_passes_without_the_ledger_though_it_cannot_be_reached(replica: Replica) -> None:
    replica.stored_in.trouble = "etcd is gone"

    assert await replica.allows(update("pod", 3, base=5, was=3))
    assert replica.stored_in.accesses == []


async def test_a_retry_of_what_is_stored_by_now_costs_a_read_and_no_write(replica: Replica) -> None:
    replica.sees(create("pod"), version=7)

    assert await replica.allows(create("pod"))
    assert replica.stored_in.accesses == ["read"]


async def test_while_the_pods_are_not_known_the_ledger_is_not_asked(replica: Replica) -> None:
    replica.world.condition = Condition(ok=False, reason="not-synced", message="the pods are not all known yet")

    assert (await replica.refusal(create("pod"))).reason == "not-synced"
    assert replica.stored_in.accesses == []


async def test_places_are_given_in_the_order_of_the_requests(replica: Replica) -> None:
    answers = await asyncio.gather(*map(replica.ask, pods(40)))

    assert [isinstance(each, Allowed) for each in answers] == [True] * 15 + [False] * 25


async def test_one_that_is_too_large_is_not_in_the_way_of_small_ones(replica: Replica) -> None:
    answers = await asyncio.gather(*map(replica.ask, [create("large", 16), create("small", 15), create("last", 1)]))

    assert [type(each) for each in answers] == [Denied, Allowed, Denied]


# A denial is about now.


async def test_no_copy_of_the_ledger_that_is_older_than_the_request_denies_it(replica: Replica) -> None:
    """Another replica has made room since our last read, and our watch did not say so yet."""
    replica.limit = 1
    other = Replica(replica.stored_in, "b", limit=1)
    assert await other.allows(create("theirs"))
    assert not await replica.allows(create("ours"))
    other.stored_ledger.view.expire(next(token for token, _ in other.stored_ledger.view.live()), found=None)
    await other.maintain()

    assert await replica.allows(create("ours"))


async def test_a_denial_is_final_only_on_a_read_that_began_after_its_request_came(replica: Replica) -> None:
    replica.limit = 0
    replica.stored_in.gate = asyncio.Event()
    first = asyncio.create_task(replica.ask(create("first")))
    await until(lambda: replica.stored_in.accesses == ["read"])
    second = asyncio.create_task(replica.ask(create("second")))
    await asyncio.sleep(0)

    replica.stored_in.gate.set()
    await asyncio.gather(first, second)

    assert replica.stored_in.accesses == ["read", "read"]


# By its own deadline.


async def test_while_the_ledger_stalls_each_request_is_told_by_its_own_deadline(replica: Replica) -> None:
    replica.stored_in.gate = asyncio.Event()
    begun = time.monotonic()
    ended: list[float] = []

    async def ask(name: str, within: float) -> UnavailableError:
        error = await replica.refusal(create(name), within=within)
        ended.append(time.monotonic() - begun)
        return error

    errors = await asyncio.gather(ask("a", 0.3), ask("b", 0.1), ask("c", 0.2))

    assert [each.reason for each in errors] == ["deadline"] * 3
    for waited, within in zip(ended, (0.1, 0.2, 0.3), strict=True):
        assert within - 0.01 <= waited < within + 2


async def test_what_was_given_up_before_it_was_decided_holds_nothing(replica: Replica) -> None:
    replica.stored_in.gate = asyncio.Event()
    busy = asyncio.create_task(replica.ask(create("busy")))
    await until(lambda: bool(replica.stored_in.accesses))
    assert (await replica.refusal(create("late"), within=0.01)).reason == "deadline"

    replica.stored_in.gate.set()
    await busy

    assert replica.held() == ["uid-of-busy"]
    assert await replica.allows(create("next"))


async def test_a_refusal_does_not_wait_for_those_that_come_after_it() -> None:
    """Nothing is written for them, and each read confirms what came before it: some come during every read."""
    replica = Replica(FakeLedgerObject(), limit=1)
    assert await replica.allows(create("first"))
    replica.stored_in.seconds = 0.02
    reads = replica.stored_in.accesses.count("read")
    first = asyncio.create_task(replica.ask(create("refused")))
    others: list[asyncio.Task[Decision]] = []
    while not first.done():
        others.append(asyncio.create_task(replica.ask(create(f"refused-{len(others)}"))))
        await asyncio.sleep(0.005)

    assert isinstance(await first, Denied)
    assert replica.stored_in.accesses.count("read") - reads <= 3
    assert {type(each) for each in await asyncio.gather(*others)} == {Denied}


async def test_at_rest_nothing_is_held_that_a_lost_swap_takes_back() -> None:
    """What an edit of the policy is compared with, say: it would be refused for what nobody has."""
    replica = Replica(FakeLedgerObject())
    assert await replica.allows(create("first"))
    replica.stored_in.gate = asyncio.Event()
    lost = asyncio.create_task(replica.ask(create("second")))
    await until(lambda: len(replica.held()) == 2)
    replica.stored_in.put(replica.stored_in.stored.text if replica.stored_in.stored else "")  # another one wrote first

    async def held_at_rest() -> list[str]:
        async with replica.ledger.at_rest():
            return replica.held()

    read = asyncio.create_task(held_at_rest())
    await asyncio.sleep(0)
    assert not read.done()
    replica.stored_in.gate.set()

    assert isinstance(await lost, Allowed)  # it is decided again
    assert await read in (["uid-of-first"], ["uid-of-first", "uid-of-second"])
    assert len(ledger_in(replica.stored_in).reservations) == 2


async def test_whoever_waits_for_a_rest_in_vain_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_REST_WITHIN", 0.05)
    replica = Replica(FakeLedgerObject())
    replica.stored_in.gate = asyncio.Event()
    busy = asyncio.create_task(replica.ask(create("busy")))
    await until(lambda: bool(replica.stored_in.accesses))

    with pytest.raises(UnavailableError, match=r"^the ledger had no batch that ended within 0\.05 s$"):
        async with replica.ledger.at_rest():
            pytest.fail("it is entered during a batch")

    replica.stored_in.gate.set()
    assert isinstance(await busy, Allowed)
    async with replica.ledger.at_rest():
        assert replica.held() == ["uid-of-busy"]


async def test_of_more_than_can_be_decided_those_are_decided_that_can_be_told() -> None:
    """Otherwise those that are next have no time left: all were decided in vain, and held for forty seconds."""
    replica = Replica(FakeLedgerObject(), world=World(RealClock()), limit=100_000, pool=100_000)
    await replica.stored_ledger.read()
    replica.stored_in.seconds = 0.1
    asked: list[asyncio.Task[Decision]] = []

    for second in range(20):
        charges = [each for owner in "abcdef" for each in pods(100, prefix=f"{owner}-{second}", owner=owner)]
        asked += [asyncio.create_task(replica.ask(each, within=0.9)) for each in charges]
        await asyncio.sleep(0.2)
    answers = await asyncio.gather(*asked, return_exceptions=True)

    told = [each for each in answers if isinstance(each, Allowed)]
    late = [each for each in answers if isinstance(each, UnavailableError)]
    assert len(told) + len(late) == len(answers)
    assert {each.reason for each in late} <= {"overload", "deadline"}
    assert len(replica.held()) < 3 * len(told)  # on a busy machine more answers come late


async def test_after_batches_that_took_very_long_a_new_request_is_tried(replica: Replica) -> None:
    replica.ledger._batch_seconds = 1.0

    for number in range(10):
        assert await replica.allows(create(f"pod-{number}"))

    assert replica.ledger._batch_seconds < 0.2


async def test_one_that_will_be_late_is_told_so_before_it_is_decided(replica: Replica) -> None:
    replica.ledger._batch_seconds = 1.0

    error = await replica.refusal(create("pod"), within=0.9)

    assert (error.reason, replica.held()) == ("overload", [])
    assert "too many requests wait for the ledger" in str(error)


async def test_what_was_given_up_while_it_was_written_is_held_and_found_by_its_retry(replica: Replica) -> None:
    replica.stored_in.gate = asyncio.Event()
    assert (await replica.refusal(create("pod"), within=0.01)).reason == "deadline"

    replica.stored_in.gate.set()
    assert await replica.allows(create("pod"))

    assert [each.uid for each in ledger_in(replica.stored_in).reservations.values()] == ["uid-of-pod"]


async def test_a_request_that_is_cancelled_leaves_the_rest_alone(replica: Replica) -> None:
    replica.stored_in.gate = asyncio.Event()
    busy = asyncio.create_task(replica.ask(create("busy")))
    await until(lambda: bool(replica.stored_in.accesses))
    waiting = [asyncio.create_task(replica.ask(each)) for each in pods(10)]
    await asyncio.sleep(0)

    waiting[3].cancel()
    await asyncio.sleep(0)
    replica.stored_in.gate.set()
    answers = await asyncio.gather(busy, *waiting, return_exceptions=True)

    assert Counter(map(type, answers)) == {Allowed: 10, asyncio.CancelledError: 1}
    assert "uid-of-pod-3" not in replica.held()


async def test_the_first_of_a_batch_may_be_cancelled_while_it_is_written(replica: Replica) -> None:
    """The task that decides is nobody's own."""
    replica.stored_in.gate = asyncio.Event()
    waiting = [asyncio.create_task(replica.ask(each)) for each in pods(3)]
    await until(lambda: bool(replica.stored_in.accesses))

    waiting[0].cancel()
    await asyncio.sleep(0)
    replica.stored_in.gate.set()

    assert [type(each) for each in await asyncio.gather(*waiting[1:])] == [Allowed, Allowed]


# Somebody else's mistakes.


def broken(_: UsageView) -> Decision:
    raise ZeroDivisionError


async def test_a_decision_that_fails_concerns_its_caller_alone(replica: Replica) -> None:
    deadline = replica.world.clock.monotonic() + 5
    fails = replica.ledger.transact(create("broken"), broken, dry_run=False, deadline=deadline)

    answers = await asyncio.gather(*map(replica.ask, pods(2)), fails, return_exceptions=True)

    assert [type(each) for each in answers] == [Allowed, Allowed, ZeroDivisionError]
    assert replica.held() == ["uid-of-pod-0", "uid-of-pod-1"]


async def test_a_decision_that_fails_when_nobody_waits_for_it_any_more_is_no_matter(replica: Replica) -> None:
    behind(replica)
    deadline = replica.world.clock.monotonic() + 0.01
    fails = replica.ledger.transact(create("broken"), broken, dry_run=False, deadline=deadline)
    waiting = asyncio.create_task(replica.ask(create("pod")))
    with pytest.raises(UnavailableError):
        await fails

    replica.reaches(9)

    assert isinstance(await waiting, Allowed)
    assert await replica.allows(create("next"))


async def test_each_of_a_batch_that_fails_gets_an_error_of_its_own(replica: Replica) -> None:
    """One error that several callers raise collects the tracebacks of all of them."""

    async def broken_swap(text: str, *, after: StoredText, writer: str) -> StoredText:
        raise ZeroDivisionError

    replica.stored_in.swap = broken_swap  # type: ignore[method-assign]

    answers = await asyncio.gather(*map(replica.ask, pods(3)), return_exceptions=True)

    assert [type(each.__cause__) for each in answers if isinstance(each, BatchError)] == [ZeroDivisionError] * 3
    assert len(set(map(id, answers))) == 3


async def test_a_batch_that_fails_while_it_is_decided_leaves_nothing_held(replica: Replica) -> None:
    def unreadable(_: UsageView) -> Decision:
        return Allowed(dataclasses.replace(create("pod").reservation(), amounts=(("gpu", "many"),)))  # type: ignore[arg-type]

    deadline = replica.world.clock.monotonic() + 5
    fails = replica.ledger.transact(create("pod"), unreadable, dry_run=False, deadline=deadline)

    answers = await asyncio.gather(
        replica.ask(create("first")), replica.ask(create("pod")), fails, return_exceptions=True
    )

    assert [type(each.__cause__) for each in answers if isinstance(each, BatchError)] == [TypeError] * 3
    assert replica.held() == []
    assert await replica.allows(create("next"))
    assert replica.held() == ["uid-of-next"]


async def test_a_batch_that_fails_because_promises_change_is_decided_again(replica: Replica) -> None:
    swap, changes = replica.stored_in.swap, [PromisesChangingError("they change")]

    async def swap_once_they_do_not(text: str, *, after: StoredText, writer: str) -> StoredText:
        if changes:
            raise changes.pop()
        return await swap(text, after=after, writer=writer)

    replica.stored_in.swap = swap_once_they_do_not  # type: ignore[method-assign]

    assert [type(each) for each in await asyncio.gather(*map(replica.ask, pods(3)))] == [Allowed] * 3


async def test_each_that_a_full_ledger_has_no_room_for_gets_an_error_of_its_own(replica: Replica) -> None:
    await fill(replica, room=30)

    answers = await asyncio.gather(*map(replica.ask, pods(3)), return_exceptions=True)

    assert [each.reason for each in answers if isinstance(each, LedgerFullError)] == ["ledger-full"] * 3
    assert len(set(map(id, answers))) == 3


# A watch that is behind the ledger.


def behind(replica: Replica, *, version: int = 9) -> None:
    """Have another replica take something out that our watch has not seen."""
    ledger = Ledger(ledger_in(replica.stored_in).epoch, is_open=True, write=5, settled_through={"pods": version})
    assert replica.stored_in.stored is not None
    replica.stored_ledger.on_event(replica.stored_in.put(write_ledger(ledger, uid=replica.stored_in.stored.uid)))


async def test_who_is_behind_waits_and_goes_on_when_its_watch_has_moved_far_enough(replica: Replica) -> None:
    behind(replica)
    waiting = asyncio.create_task(replica.ask(create("pod")))

    for version in (7, 8):
        await asyncio.sleep(0.005)
        replica.reaches(version)
    await asyncio.sleep(0.005)
    assert not waiting.done()
    assert replica.stored_in.accesses == []

    replica.sees(create("their", 15), version=9)
    assert isinstance(await waiting, Denied)  # on what the watch has shown meanwhile


async def test_who_stays_behind_is_told_so_and_so_are_the_others_of_the_batch(replica: Replica) -> None:
    behind(replica)

    errors = await asyncio.gather(*map(replica.refusal, pods(2)))

    assert [each.reason for each in errors] == ["watch-behind"] * 2
    assert str(errors[0]) == "our watch of pods is at version 0, the ledger at 9"
    replica.reaches(9)
    assert await replica.allows(create("pod"))


async def test_who_gave_up_while_we_waited_for_the_watch_gets_nothing(replica: Replica) -> None:
    behind(replica)
    waiting = asyncio.create_task(replica.ask(create("pod")))
    await replica.refusal(create("gave-up"), within=0.01)

    replica.reaches(9)
    await waiting

    assert replica.held() == ["uid-of-pod"]


# Answers that get lost.


async def test_a_swap_whose_answer_was_lost_is_counted_once_when_the_request_comes_again(replica: Replica) -> None:
    replica.limit = replica.stored_in.loses_answers = 1
    assert (await replica.refusal(create("pod"))).reason == "ledger-write"
    assert replica.held() == []  # not known; nothing is decided before it is read

    assert await replica.allows(create("pod"))

    assert replica.held() == ["uid-of-pod"]
    assert len(ledger_in(replica.stored_in).reservations) == 1


async def test_nor_is_its_repetition_under_another_uid_in_its_way(replica: Replica) -> None:
    """A client that creates again gets a new uid; only one object can hold the name."""
    replica.limit = replica.stored_in.loses_answers = 1
    await replica.refusal(create("pod", uid="first"))

    assert await replica.allows(create("pod", uid="second"))

    assert replica.world.index.reserved(user("alice"), "gpu") == 1


async def test_a_swap_whose_answer_was_lost_costs_one_place_until_it_expires(replica: Replica) -> None:
    replica.limit, replica.stored_in.loses_answers = 2, 1
    await replica.refusal(create("pod"))

    assert await replica.allows(create("one"))
    assert not await replica.allows(create("two"))

    await replica.maintain()
    replica.world.clock.pass_by(HOLD)
    await replica.maintain()
    assert await replica.allows(create("two"))


class Late(FakeLedgerObject):
    """The next swap gets no answer and is made when somebody reads next, before or after that read is answered."""

    is_first: bool = True
    is_delayed: bool = False
    late: tuple[str, StoredText] | None = None

    async def swap(self, text: str, *, after: StoredText, writer: str) -> StoredText:
        if self.is_delayed:
            self.late, self.is_delayed = (text, after), False
            raise UnavailableError("ledger-write", "no answer within 4 s")
        return await super().swap(text, after=after, writer=writer)

    async def read(self) -> StoredText | None:
        if self.late is not None and self.is_first:
            self.land()
        found = await super().read()
        if self.late is not None:
            self.land()
        return found

    def land(self) -> None:
        assert self.late is not None
        text, after = self.late
        if self.stored == after:
            self.put(text)


@pytest.mark.parametrize("is_first", [True, False], ids=["before the next read", "after the next read"])
async def test_a_swap_that_is_made_later_is_counted_once(is_first: bool) -> None:
    late = Late()
    late.is_first = is_first
    replica = Replica(late, limit=1)
    await replica.stored_ledger.read()
    late.is_delayed = True
    await replica.refusal(create("pod"))

    assert await replica.allows(create("pod"))

    assert replica.held() == ["uid-of-pod"]
    assert len(ledger_in(late).reservations) == 1
    assert not await replica.allows(create("another"))


# No room in the ledger.


async def find_held(replica: Replica, *charges: Charge) -> None:
    """Have others hold these."""
    assert replica.stored_in.stored is not None
    held = {f"t-{number}-{len(each.key.name)}": each.reservation() for number, each in enumerate(charges)}
    ledger = Ledger(ledger_in(replica.stored_in).epoch, is_open=True, write=5, reservations=held)
    replica.stored_ledger.on_event(replica.stored_in.put(write_ledger(ledger, uid=replica.stored_in.stored.uid)))
    await replica.stored_ledger.catch_up()


async def fill(replica: Replica, *, room: int) -> Charge:
    """Have somebody hold something large, so that so many bytes are left; give it."""
    await find_held(replica, create("", uid="large", owner="bob"))
    assert replica.stored_in.stored is not None
    large = create("x" * (MOST_BYTES - room - len(replica.stored_in.stored.text)), uid="large", owner="bob")
    await find_held(replica, large)
    return large


async def test_who_has_too_many_in_flight_is_told_to_come_back_and_others_are_not(replica: Replica) -> None:
    replica.limit = replica.pool = 10**6
    await find_held(replica, *pods(MOST_PER_OWNER, prefix="held"))

    error = await replica.refusal(create("pod"))

    assert (error.reason, str(error)) == ("in-flight", "alice has 2000 requests in flight: try again later")
    assert await replica.allows(create("of-bob", owner="bob"))
    assert await replica.allows(update("held-1", 1, base=5, was=1))
    replica.sees(create("held-0"), version=7)
    assert await replica.allows(create("pod"))


async def test_nor_does_anybody_get_more_by_asking_for_it_all_at_once(replica: Replica) -> None:
    replica.limit = replica.pool = 10**6
    await find_held(replica, *pods(MOST_PER_OWNER - 10, prefix="held"))

    answers = await asyncio.gather(*map(replica.ask, pods(50)), return_exceptions=True)

    assert Counter(map(type, answers)) == {Allowed: 10, UnavailableError: 40}


async def test_a_full_ledger_takes_nothing_more_and_is_left_as_it_is(replica: Replica) -> None:
    await fill(replica, room=30)
    before = replica.stored_in.stored

    error = await replica.refusal(create("pod"))

    assert (error.reason, str(error)) == ("ledger-full", "2 reservations are in flight: no room for more")
    assert replica.stored_in.stored == before
    assert replica.held() == ["large"]


async def test_a_full_ledger_still_denies_and_lets_pass_what_does_not_grow(replica: Replica) -> None:
    await fill(replica, room=30)

    assert not await replica.allows(create("pod", 16))
    assert await replica.allows(update("pod", 3, base=5, was=3))


async def test_a_full_ledger_takes_something_again_when_something_has_settled(replica: Replica) -> None:
    large = await fill(replica, room=30)
    assert (await replica.refusal(create("pod"))).reason == "ledger-full"

    replica.sees(large, version=7)

    assert await replica.allows(create("pod"))


async def test_what_still_fits_is_taken_though_others_at_that_moment_do_not_fit(replica: Replica) -> None:
    await fill(replica, room=300)

    answers = await asyncio.gather(*map(replica.ask, pods(15)), return_exceptions=True)

    assert Allowed in map(type, answers)


async def test_while_the_ledger_is_full_a_large_batch_is_refused_soon(replica: Replica) -> None:
    """The event loop has to serve others, too: health checks, and requests that need no room."""
    replica.limit = replica.pool = 10**6
    held = [create(f"held-{n}-{'x' * 200}", uid=f"uid-{n}", owner=f"person-{n % 50}") for n in range(1000)]
    await find_held(replica, *held)
    assert replica.stored_in.stored is not None
    room = MOST_BYTES - len(replica.stored_in.stored.text)
    await find_held(replica, *held, create("y" * (room - 80), uid="large", owner="bob"))

    async def calls(count: int) -> int:
        with counted_calls() as made:
            for error in await asyncio.gather(*map(replica.refusal, pods(count))):
                assert error.reason == "ledger-full"
        return made.total()

    one = await calls(1)
    assert await calls(256) < 30 * one


# What it says about itself.


async def test_before_the_first_read_it_is_not_known_and_says_so() -> None:
    replica = Replica(FakeLedgerObject(trouble="connection refused"))
    assert not replica.ledger.is_known
    assert replica.ledger.condition().message == "the ledger has not been read yet"

    error = await replica.refusal(create("pod"))

    assert (error.reason, str(error)) == ("ledger-read", "connection refused")
    assert not replica.ledger.is_known
    assert replica.ledger.condition().message == "connection refused"


async def test_a_request_that_runs_out_of_time_is_told_what_the_ledger_suffers_from() -> None:
    replica = Replica(FakeLedgerObject(gate=asyncio.Event()))

    error = await replica.refusal(create("pod"), within=0.01)

    assert (error.reason, str(error)) == ("deadline", "the ledger has not been read yet")


async def test_without_trouble_it_is_told_that_time_was_over(replica: Replica) -> None:
    replica.stored_in.gate = asyncio.Event()

    error = await replica.refusal(create("pod"), within=0.01)

    assert str(error) == "the deadline passed before the decision was stored"


async def test_a_ledger_that_cannot_be_written_answers_each_of_a_batch(replica: Replica) -> None:
    replica.stored_in.trouble = "403 Forbidden"

    errors = await asyncio.gather(*map(replica.refusal, pods(3)))

    assert {(each.reason, str(each)) for each in errors} == {("ledger-write", "403 Forbidden")}
    assert len({id(each) for each in errors}) == 3  # each has a traceback of its own
    assert replica.held() == []
    replica.stored_in.trouble = ""
    assert await replica.allows(create("pod"))


async def test_names_that_follow_one_another_without_end_are_all_answered(replica: Replica) -> None:
    replica.limit = replica.pool = 10**6
    numbers = itertools.count()

    async def client() -> int:
        for _ in range(25):
            assert await replica.allows(create(f"pod-{next(numbers)}"))
        return 25

    assert sum(await asyncio.gather(*(client() for _ in range(8)))) == 200
    assert len(ledger_in(replica.stored_in).reservations) == 200
    assert replica.stored_in.accesses.count("swap") <= 60
