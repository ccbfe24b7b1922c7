"""A queue that is served again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.wiring.commitment_stage import (
    CLASSES,
    DAY,
    NOW,
    OF_AN_ADMIN,
    A,
    B,
    Store,
    StoredEvents,
    editor,
    named,
    promised,
)
from webhook.documents.kept_policy import KeptPolicy, KeptPolicyError, StoredPolicy
from webhook.kube.api import ApiError
from webhook.kube.kept_policy import NAME
from webhook.quota.commitments import Commitment, Pool, State
from webhook.wiring.commitment_events import MOST_TOLD, CommitmentEvents
from webhook.wiring.commitment_queue import CommitmentQueue

NO_JUDGE = "no replica of userquota judges edits of the policy now"


def waiting(name: str, gpus: int, pool: Pool = A, **others: object) -> Commitment:
    return promised(name, gpus, pool, State.PENDING, **others)


class Stage:
    """A queue over what a test says is stored; its Events."""

    def __init__(self, *listed: Commitment, text: str = CLASSES) -> None:
        self.store = Store(KeptPolicy(named(*listed)))
        self.stored = StoredEvents()
        edits = editor(self.store, text)
        self.queue = CommitmentQueue(edits, CommitmentEvents(edits.maps, self.stored.tell_once))

    async def logged(self, rounds: int = 1) -> Sequence[Mapping[str, Any]]:
        """Return what is logged in so many rounds."""
        with capture_logs() as logs:
            for _ in range(rounds):
                await self.queue.once()
        return logs

    @property
    def told(self) -> list[tuple[str, str]]:
        return self.stored.told


def of(event: str, logs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what log entries say beside the event and its level."""
    return [
        {key: value for key, value in each.items() if key not in ("event", "log_level")}
        for each in logs
        if each["event"] == event
    ]


async def test_who_finds_room_is_confirmed_and_it_is_logged_who_waits_for_what() -> None:
    stage = Stage(
        waiting("c-1", 5),
        waiting("c-2", 4),
        waiting("c-3", 1),
        waiting("c-4", 1, B),
        waiting("c-5", 8, B, begins=NOW - DAY / 2),
    )
    logs = await stage.logged()
    assert of("commitment confirmed", logs) == [
        {"name": "c-1", "holder": "user/alice", "state": "confirmed"},
        {"name": "c-4", "holder": "user/alice", "state": "confirmed"},
    ]
    assert of("the first of a pool waits", logs) == [
        {"name": name, "holder": "user/alice", "pool": pool, "why": f"more would be promised than nodes have: {pool}"}
        for name, pool in (("c-2", "h100 in a"), ("c-5", "h100 in b"))
    ]
    assert of("queue served", logs) == [{"confirmed": 2, "waiting": 3}]
    assert (stage.store.writes, stage.told) == (1, [])


async def test_while_nobody_finds_room_nothing_is_written_and_why_is_logged_once() -> None:
    stage = Stage(waiting("c-1", 9), promised("c-2", 1))
    logs = await stage.logged(rounds=3)
    assert len(of("the first of a pool waits", logs)) == 1
    assert of("queue served", logs) == [{"confirmed": 0, "waiting": 1}] * 3
    assert (stage.store.writes, stage.store.version, stage.told) == (0, 1, [])

    stage.store.room = 9
    assert of("queue served", await stage.logged(rounds=2)) == [{"confirmed": 0, "waiting": 1}] * 2
    stage.store.put(KeptPolicy(named(waiting("c-1", 9))))
    assert len(of("commitment confirmed", await stage.logged(rounds=2))) == 1
    assert stage.store.writes == 2  # that of the test, and one


async def test_why_the_first_waits_is_logged_again_when_it_is_otherwise() -> None:
    stage = Stage(waiting("c-1", 9))
    logged = []
    for detail in (": gpu 9 used", ": gpu 10 used", ": cpu 10 used"):
        stage.store.detail = detail
        logged += of("the first of a pool waits", await stage.logged())
    assert [each["why"].rpartition(": ")[2] for each in logged] == ["gpu 9 used", "cpu 10 used"]

    stage.store.put(KeptPolicy(named(waiting("c-0", 9), waiting("c-1", 9))))
    assert [each["name"] for each in of("the first of a pool waits", await stage.logged(rounds=2))] == ["c-0"]
    stage.store.put(KeptPolicy(named(waiting("c-1", 9))))
    assert [each["name"] for each in of("the first of a pool waits", await stage.logged())] == ["c-1"]


async def test_what_an_admin_wrote_holds_back_its_pool_and_needs_no_config_map_of_commands() -> None:
    stage = Stage(text=OF_AN_ADMIN)
    [first] = of("the first of a pool waits", await stage.logged())
    assert (first["name"], "edit it there" in first["why"], stage.store.writes) == ("theirs", True, 0)


async def test_what_is_confirmed_and_begins_later_is_told_until_it_is_stored() -> None:
    """What is in force at once replicas tell: see tests/cluster."""
    names = [f"c-{number:02}" for number in range(MOST_TOLD + 2)]
    stage = Stage(waiting("begun", 1), *(waiting(name, 1, begins=NOW + DAY) for name in names))
    stage.store.room = len(names) + 1
    stage.stored.trouble = ApiError("no", request="POST", status=500)
    await stage.logged()
    assert (stage.store.writes, stage.told) == (1, [])

    stage.stored.trouble = None
    numbers = []
    for _ in range(3):
        await stage.logged()
        numbers.append(len(stage.told))
    assert numbers == [MOST_TOLD, len(names), len(names)]
    assert stage.told[0] == (
        "CommitmentConfirmed",
        (
            "commitment c-00 is confirmed, and begins later: "
            "gpu=1 of h100 in a to user/alice, confirmed from 2026-12-02T00:00:00+00:00"
        ),
    )
    assert {(each.config_map, each.uid, each.is_warning) for each in stage.stored.events} == {
        (NAME, f"uid-of-{NAME}", False)
    }


async def test_a_failure_changes_nothing_and_is_told_once_until_it_is_another_or_over() -> None:
    stage = Stage(waiting("c-1", 1))
    stage.store.is_judged = False
    logs = await stage.logged(rounds=3)
    assert [each["why"].partition(",")[0] for each in of("the queue was not served", logs)] == [NO_JUDGE] * 3
    [(reason, message)] = stage.told
    assert (reason, stage.store.writes) == ("CommitmentQueueFailed", 0)
    assert message.startswith(f"the queue of commitments is not served: {NO_JUDGE}")
    assert all(each.is_warning for each in stage.stored.events)

    stage.store.is_judged = True
    assert await stage.queue.once()
    stage.store.put(KeptPolicy(named(waiting("c-1", 1))))
    stage.store.is_judged = False
    assert not await stage.queue.once()
    assert stage.told == [(reason, message)] * 2


async def test_a_config_map_that_cannot_be_read_is_told_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read() -> StoredPolicy:
        raise KeptPolicyError("one mistake\nand another")

    stage = Stage()
    monkeypatch.setattr(stage.store, "read", read)
    assert not await stage.queue.once()
    assert stage.told == [("CommitmentQueueFailed", "the queue of commitments is not served: one mistake and another")]


async def test_it_serves_again_after_each_pause() -> None:
    stage, pauses = Stage(waiting("c-1", 9)), list[float]()

    class StopError(Exception):
        pass

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        stage.store.room += len(pauses) - 1
        if len(pauses) == 3:
            raise StopError

    stage.queue.sleep = sleep
    with pytest.raises(StopError):
        await stage.queue.run(60)
    assert (pauses, stage.store.content.commitments["c-1"].state) == ([60, 60, 60], State.CONFIRMED)
