"""Policies are read beside the event loop, in order, and the last good one outlives a restart."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from webhook.documents.policy_config_map import Fault
from webhook.documents.policy_copy import StoredCopy, decode_copy, encode_copy
from webhook.documents.policy_text import PolicyText
from webhook.policy_source import CurrentPolicy, LastGoodPolicy, PolicyReader, Submission
from webhook.policy_source.current import NO_POLICY
from webhook.ports import UnavailableError
from webhook.quota.policy import Policy

ALICE = (PolicyText("one/p", "version: 1\nusers: {alice: {hard: {cpu: 1}}}\n"),)
BOB = (PolicyText("one/p", "version: 1\nusers: {bob: {hard: {cpu: 2}}}\n"),)
BAD = (PolicyText("one/p", "version: 1\nusers: {alice: {hard: {cpu: 1K}}}\n"),)
WHY = "one/p:2:29: users.alice.hard.cpu: invalid quantity '1K': unknown suffix 'K', did you mean k or Ki?"


@dataclass
class FakePolicyCopy:
    """Port `PolicyCopy`: one object in memory. `error` makes every access fail; `rival` comes before the next write."""

    stored: StoredCopy | None = None
    error: str = ""
    rival: bytes | None = None
    accesses: list[str] = field(default_factory=list)
    versions: Iterator[int] = field(default_factory=lambda: itertools.count(1000))

    async def read(self) -> StoredCopy | None:
        self._access("read")
        return self.stored

    async def write(self, content: bytes, *, after: StoredCopy | None) -> bool:
        self._access("write")
        if self.rival is not None:
            self.put(self.rival)
            self.rival = None
        if self.stored != after:
            return False
        self.put(content)
        return True

    def put(self, content: bytes) -> None:
        self.stored = StoredCopy(content, "uid", next(self.versions))

    def texts(self) -> tuple[PolicyText, ...] | None:
        return decode_copy(self.stored.content).texts if self.stored else None

    def _access(self, kind: str) -> None:
        self.accesses.append(kind)
        if self.error:
            raise UnavailableError("policy-copy", self.error)


class Replica:
    """A policy, its reader and its copy, as one replica has them."""

    def __init__(self, copy: FakePolicyCopy) -> None:
        self.changes: list[Policy] = []
        self.faults: list[Fault] = []
        self.slept: list[float] = []
        self.policy = CurrentPolicy(on_change=self.changes.append, on_mistakes=self.faults.extend)
        self.last_good = LastGoodPolicy(copy, sleep=self._sleep)
        self.reader = PolicyReader(self.policy, self.last_good)

    def users(self) -> list[str]:
        return sorted(self.policy.current().users)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


@asynccontextmanager
async def running(copy: FakePolicyCopy) -> AsyncIterator[Replica]:
    replica = Replica(copy)
    tasks = [asyncio.create_task(replica.reader.run()), asyncio.create_task(replica.last_good.run())]
    try:
        yield replica
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - nothing else reports
            await asyncio.sleep(0.001)


@pytest.fixture
def copy() -> FakePolicyCopy:
    return FakePolicyCopy()


async def test_a_long_policy_is_read_while_other_tasks_run(copy: FakePolicyCopy) -> None:
    entries = "".join(f"  user-{number}: {{hard: {{cpu: 1}}}}\n" for number in range(2000))
    async with running(copy) as replica:
        replica.reader.submit(Submission((PolicyText("one/p", f"version: 1\nusers:\n{entries}"),)))

        turns = 0
        while not replica.changes:
            await asyncio.sleep(0)
            turns += 1

    assert turns > 100


async def test_of_texts_that_wait_the_last_ones_are_read(copy: FakePolicyCopy) -> None:
    async with running(copy) as replica:
        replica.reader.submit(Submission(ALICE))
        await asyncio.sleep(0)
        for texts in (BAD, BOB):
            replica.reader.submit(Submission(texts))
        await until(lambda: len(replica.changes) == 2)

    assert [sorted(policy.users) for policy in replica.changes] == [["alice"], ["bob"]]
    assert replica.faults == []


async def test_a_replica_that_starts_beside_a_mistake_has_the_last_good_policy(copy: FakePolicyCopy) -> None:
    """It had none, was never ready, and refused everything once it was the only one."""
    async with running(copy) as before:
        before.reader.submit(Submission(ALICE, version=7))
        await until(lambda: copy.stored)

    async with running(copy) as replica:
        replica.reader.submit(Submission(BAD, version=8))
        await until(lambda: replica.changes)

        assert replica.users() == ["alice"]
        assert replica.policy.condition().ok
        assert replica.policy.state.mistakes == (WHY,)
        assert replica.policy.state.digest == before.policy.state.digest
        assert not replica.policy.text_condition().ok
        replica.reader.submit(Submission(BOB, version=9))
        await until(lambda: copy.texts() == BOB)

    assert replica.users() == ["bob"]
    assert not replica.policy.state.mistakes


async def test_a_replica_that_starts_when_all_policies_are_deleted_has_the_last_good_one(copy: FakePolicyCopy) -> None:
    copy.put(encode_copy(ALICE, version=7))

    async with running(copy) as replica:
        replica.reader.submit(Submission((), (Fault("", NO_POLICY),), version=8))
        await until(lambda: replica.changes)

    assert replica.users() == ["alice"]
    assert replica.policy.state.mistakes == (NO_POLICY,)


async def test_a_replica_with_a_policy_leaves_the_copy_alone_beside_a_mistake(copy: FakePolicyCopy) -> None:
    async with running(copy) as replica:
        replica.reader.submit(Submission(ALICE, version=7))
        await until(lambda: copy.stored)
        accesses = list(copy.accesses)
        replica.reader.submit(Submission(BAD, version=8))
        await until(lambda: replica.faults)

    assert replica.users() == ["alice"]
    assert copy.accesses == accesses
    assert copy.texts() == ALICE


@pytest.mark.parametrize(
    "content",
    [b"", b"policy", encode_copy(ALICE, version=7)[:-9], encode_copy(BAD, version=7)],
    ids=["empty", "no gzip", "cut short", "a policy with a mistake"],
)
async def test_a_copy_that_cannot_be_read_is_no_policy_and_is_replaced(copy: FakePolicyCopy, content: bytes) -> None:
    copy.put(content)

    async with running(copy) as replica:
        replica.reader.submit(Submission(BAD, version=8))
        await until(lambda: replica.faults and "read" in copy.accesses)
        assert not replica.policy.condition().ok
        replica.reader.submit(Submission(BOB, version=9))
        await until(lambda: "write" in copy.accesses)

    assert replica.users() == ["bob"]
    assert copy.texts() == BOB


async def test_without_a_copy_there_is_no_policy_beside_a_mistake(copy: FakePolicyCopy) -> None:
    async with running(copy) as replica:
        replica.reader.submit(Submission(BAD, version=8))
        await until(lambda: copy.accesses)

    assert replica.policy.condition().message == f"the policy has mistakes, the first: {WHY}"


async def test_while_the_copy_cannot_be_read_better_texts_are_not_waited_for(copy: FakePolicyCopy) -> None:
    copy.error = "the API server does not answer"

    async with running(copy) as replica:
        replica.reader.submit(Submission(BAD, version=8))
        await until(lambda: copy.accesses)
        replica.reader.submit(Submission(BOB, version=9))
        await until(lambda: replica.changes)

        assert replica.users() == ["bob"]
        copy.error = ""
        await until(lambda: copy.texts() == BOB)


async def test_replicas_with_the_same_policy_write_it_once(copy: FakePolicyCopy) -> None:
    async with running(copy) as one, running(copy) as other:
        for replica in (one, other):
            replica.reader.submit(Submission(ALICE, version=7))
            await until(lambda: copy.accesses.count("read") > 0)
        await until(lambda: copy.accesses.count("read") == 2)

    assert copy.accesses.count("write") == 1


async def test_a_replica_that_lags_does_not_replace_the_copy_of_a_later_policy(copy: FakePolicyCopy) -> None:
    copy.put(encode_copy(BOB, version=20))

    async with running(copy) as replica:
        replica.reader.submit(Submission(ALICE, version=10))
        await until(lambda: "read" in copy.accesses)

    assert copy.texts() == BOB


async def test_of_two_replicas_that_write_at_once_the_later_policy_stays(copy: FakePolicyCopy) -> None:
    copy.rival = encode_copy(BOB, version=20)

    async with running(copy) as replica:
        replica.reader.submit(Submission(ALICE, version=10))
        await until(lambda: copy.accesses.count("read") == 2)

    assert copy.accesses == ["read", "write", "read"]
    assert copy.texts() == BOB


async def test_a_copy_from_another_cluster_is_replaced(copy: FakePolicyCopy) -> None:
    """Its version is beyond that of the object that holds it: it would stay for ever."""
    copy.put(encode_copy(BOB, version=999_999))

    async with running(copy) as replica:
        replica.reader.submit(Submission(ALICE, version=10))
        await until(lambda: copy.texts() == ALICE)


async def test_a_copy_that_cannot_be_written_is_tried_again(copy: FakePolicyCopy) -> None:
    copy.error = "the API server does not answer"

    async with running(copy) as replica:
        replica.reader.submit(Submission(ALICE, version=7))
        await until(lambda: replica.slept)
        copy.error = ""
        await until(lambda: copy.texts() == ALICE)

    assert replica.slept[0] == 10.0


async def test_a_policy_that_no_config_map_can_hold_is_in_force_and_not_copied(copy: FakePolicyCopy) -> None:
    noise = [f"# {hashlib.sha512(b'%d' % number).hexdigest()}\n" for number in range(14_000)]
    texts = (
        PolicyText(name, f"version: 1\n{''.join(lines)}") for name, lines in (("2", noise[::2]), ("3", noise[1::2]))
    )

    async with running(copy) as replica:
        replica.reader.submit(Submission((*ALICE, *texts)))
        await until(lambda: replica.changes and replica.last_good._waiting is None)

    assert replica.users() == ["alice"]
    assert copy.stored is None
