"""The loop that tells what of the policy begins and ends: each once, whatever fails, and without busy waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

import pytest

from tests.fakes import NOON, FakeClock
from webhook.documents.policy_text import PolicyText
from webhook.kube.api import ServerError
from webhook.kube.events import ConfigMapEvent
from webhook.policy_source import CurrentPolicy
from webhook.quota.notices import KEPT
from webhook.wiring.policy_notices import LONGEST, PolicyNotices

CLASSES = "version: 1\nnodeClasses: {h100: {nodes: {matchLabels: {gpu: h100}}, devices: [nvidia.com/gpu]}}\n"
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def ending(*names: str, at: str = "2026-11-08T12:00:00Z") -> str:
    """Return a policy with commitments that end at a time: seven days after noon."""
    listed = (f"  {each}: {{user: bob, nodeClass: h100, amounts: {{gpu: 4}}, until: {at}}}\n" for each in names)
    return f"{CLASSES}commitments:\n{''.join(listed)}"


class Store:
    """What an API server keeps of Events, by ConfigMap, uid and identity; it fails while `trouble` is set."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, str, str], ConfigMapEvent] = {}
        self.asked = 0
        self.trouble: ServerError | None = None

    async def tell(self, event: ConfigMapEvent, identity: str) -> bool:
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        key = (event.config_map, event.uid, identity)
        is_first = key not in self.events
        self.events.setdefault(key, event)
        return is_first

    @property
    def told(self) -> list[str]:
        return [f"{each.reason} {' '.join(each.message.split()[:2])}" for each in self.events.values()]


class Replica:
    """A replica that knows the ConfigMap `limits`."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.policy = CurrentPolicy(on_change=lambda _: self.notices.wake(), on_mistakes=lambda _: None)
        self.notices = PolicyNotices(self.policy, uid_of="uid of {}".format, tell=store.tell, clock=clock)

    def write(self, text: str) -> None:
        reading = self.policy.take([PolicyText("limits/policy.yaml", text)])
        assert not reading.mistakes, reading.mistakes


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_it_tells_what_is_due_once_and_says_when_to_look_again(clock: FakeClock) -> None:
    store = Store()
    replica = Replica(store, clock)
    assert await replica.notices.once() == LONGEST  # no policy yet
    clock.wall = NOON - 10 * SECOND
    replica.write(ending("c-1"))
    assert (await replica.notices.once(), store.told) == (10.0, [])
    clock.wall = NOON
    assert await replica.notices.once() == LONGEST
    assert list(store.events) == [
        ("limits", "uid of limits", f"commitment/7 days/{int((NOON + 7 * DAY).timestamp())}/c-1")
    ]
    assert store.told == ["CommitmentEnding commitment c-1"]
    clock.wall += KEPT / 2
    await replica.notices.once()
    assert store.asked == 1


async def test_neither_another_replica_nor_one_that_starts_again_tells_it_anew(clock: FakeClock) -> None:
    store = Store()
    for _ in range(3):
        replica = Replica(store, clock)
        replica.write(ending("c-1"))
        await replica.notices.once()
        clock.wall += KEPT / 4
    assert (store.told, store.asked) == (["CommitmentEnding commitment c-1"], 3)

    store.events.clear()  # an hour later the API server has forgotten it
    clock.wall = NOON + timedelta(hours=1)
    replica = Replica(store, clock)
    replica.write(ending("c-1"))
    await replica.notices.once()
    assert store.told == []


async def test_what_cannot_be_written_is_tried_again_in_a_minute_until_it_is(clock: FakeClock) -> None:
    store = Store()
    replica = Replica(store, clock)
    replica.write(ending("c-1", "c-2"))
    store.trouble = ServerError("etcd stands still", request="POST events", status=500)
    assert await replica.notices.once() == LONGEST
    assert store.asked == 1  # it asks no more while nothing is answered
    store.trouble = None
    clock.wall += 60 * SECOND
    await replica.notices.once()
    assert store.told == ["CommitmentEnding commitment c-1", "CommitmentEnding commitment c-2"]


async def test_what_becomes_due_while_others_are_written_is_told_at_once(clock: FakeClock) -> None:
    class SlowStore(Store):
        async def tell(self, event: ConfigMapEvent, identity: str) -> bool:
            clock.wall += 5 * SECOND
            return await super().tell(event, identity)

    store = SlowStore()
    replica = Replica(store, clock)
    replica.write(ending("c-1") + "users: {ann: {hard: {pods: 1}, until: 2026-11-08T12:00:03Z}}\n")
    assert await replica.notices.once() < 0.1
    assert store.told == ["CommitmentEnding commitment c-1"]
    await replica.notices.once()
    assert len(store.told) == 2


async def test_an_edit_has_only_what_is_new_told(clock: FakeClock) -> None:
    store = Store()
    replica = Replica(store, clock)
    replica.write(ending("c-1"))
    await replica.notices.once()
    replica.write(ending("c-1", "c-2"))
    await replica.notices.once()
    assert (store.told, store.asked) == (["CommitmentEnding commitment c-1", "CommitmentEnding commitment c-2"], 2)
    replica.write(CLASSES)
    clock.wall += 7 * DAY
    await replica.notices.once()
    assert store.asked == 2


async def test_a_clock_that_is_set_back_has_nothing_told_again(clock: FakeClock) -> None:
    store = Store()
    replica = Replica(store, clock)
    replica.write(ending("c-1"))
    await replica.notices.once()
    for moved in (-DAY, timedelta(0), 3 * DAY, timedelta(0)):
        clock.wall = NOON + moved
        await replica.notices.once()
    assert store.asked == 1


async def test_entries_are_told_on_their_config_map_and_commitments_not_among_them(clock: FakeClock) -> None:
    store = Store()
    replica = Replica(store, clock)
    text = ending("c-1") + "users: {alice: {hard: {pods: 1}, until: 2026-11-08T12:00:00Z}}\n"
    replica.write(f"{text}exempt: [{{user: carol, reason: test, until: 2026-11-08T12:00:00Z}}]\n")
    await replica.notices.once()
    [message] = [each.message for each in store.events.values() if each.reason == "EntryEnding"]
    assert message == (
        "2 entries end at 2026-11-08T12:00:00Z, within 7 days: users.alice (limits/policy.yaml:5), "
        "exempt[0] (limits/policy.yaml:6)"
    )
    assert len(store.events) == 2


@asynccontextmanager
async def running(notices: PolicyNotices) -> AsyncIterator[None]:
    task = asyncio.create_task(notices.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def told(store: Store, number: int) -> None:
    async with asyncio.timeout(5):
        while len(store.events) < number:  # noqa: ASYNC110 - what is tested runs beside it
            await asyncio.sleep(0.01)


class PassingClock(FakeClock):
    """A clock that goes on by itself, and counts how often it is asked."""

    asked = 0

    def now(self) -> datetime:
        self.asked += 1
        return self.wall + SECOND * (asyncio.get_running_loop().time() - self.seconds)


async def test_it_wakes_at_the_time_and_with_a_new_policy_and_sleeps_in_between() -> None:
    store, clock = Store(), PassingClock(seconds=asyncio.get_running_loop().time())
    replica = Replica(store, clock)
    async with running(replica.notices):
        await asyncio.sleep(0.05)
        replica.write(ending("c-1"))
        await told(store, 1)
        replica.write(ending("c-1", "c-2"))
        await told(store, 2)
        replica.write(ending("c-3", at="2026-11-08T12:00:01Z"))
        await told(store, 3)
        assert clock.now() >= NOON + SECOND
        assert clock.asked < 20
