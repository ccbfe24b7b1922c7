"""Five times as many reviews as can be answered, and more than are begun in one turn of the event loop."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.serving.stage import ALLOWED, Stage
from webhook.admission import review
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.serving import overload
from webhook.serving.overload import FULL_TURN, LEAST_IN_TURN, LONGEST_TURN, PATIENCE, REST, ROUNDS, Overload

COST = 0.01
"""Seconds of the event loop that a review takes: a hundred of them can be decided in a second."""

TIMEOUT = 5
LATER = "more reviews arrive than userquota can answer at this moment: try again in some seconds"


@dataclass(frozen=True)
class Call:
    status: int
    seconds: float
    dryRun: bool  # noqa: N815 - as Kubernetes writes it
    asked: float


@pytest.mark.slow
async def test_five_times_the_load_that_can_be_answered_is_turned_away_in_time_and_forgotten_at_once(
    stage: Stage, tmp_path: Path
) -> None:
    async def toil(request: AdmissionRequest, _: float) -> AdmissionResponse:
        time.sleep(COST)  # noqa: ASYNC251 - the loop is busy: that is what is measured
        return review.allowed(request.uid)

    stage.answer = toil
    (tmp_path / "ca.crt").write_bytes(stage.identity.ca_bundle)
    argv = ["-m", "tests.serving.besieging", str(stage.port), str(tmp_path / "ca.crt"), "600", "500", "6", str(TIMEOUT)]
    callers = await asyncio.create_subprocess_exec(sys.executable, *argv, stdout=asyncio.subprocess.PIPE)
    told, _ = await callers.communicate()
    begun = time.monotonic()
    after = [await stage.post() for _ in range(5)]
    recovered = time.monotonic() - begun

    calls = [Call(**json.loads(line)) for line in told.splitlines()]
    statuses = Counter(each.status for each in calls)
    assert set(statuses) == {200, 503}, statuses  # none was cut off, and none had no answer in time
    assert statuses[200] > 200, statuses  # of the 600 that can be answered in that time
    assert statuses[503] > statuses[200], statuses
    answered = {kind: [each.status for each in calls if each.dryRun is kind] for kind in (True, False)}
    share = {kind: some.count(200) / len(some) for kind, some in answered.items()}
    assert share[True] < share[False], share
    assert [reply.body for reply in after] == [ALLOWED] * 5
    assert recovered < 5
    assert await stage.errors("overload") == statuses[503]


class Turns:
    """An event loop and a clock in a test's hands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(overload, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.overload = Overload()

    async def turn(self, *costs: float, is_binding: bool = True) -> int:
        """Ask for one review after the other in one turn, each of which takes so long; return how many are begun."""
        begun = 0
        self.now += REST + 0.001
        for cost in costs:
            if self.overload.admits(is_binding=is_binding):
                begun += 1
                self.now += cost
        for _ in range(ROUNDS + 1):
            await asyncio.sleep(0)
        return begun


async def test_a_burst_is_begun_as_far_as_it_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(monkeypatch)

    assert await turns.turn(*[0.001] * 900) == 900
    assert await turns.turn(*[0.01] * 500) == pytest.approx(LONGEST_TURN / 0.01, abs=1)


async def test_when_every_turn_has_been_full_for_a_while_turns_are_kept_short(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(monkeypatch)
    end = turns.now + PATIENCE + LONGEST_TURN

    while turns.now < end:
        await turns.turn(*[0.005] * 500)
    assert await turns.turn(*[0.005] * 500) == pytest.approx(FULL_TURN / 0.005, abs=1)
    await turns.turn(0.005)  # one turn that is not full

    assert await turns.turn(*[0.005] * 500) == pytest.approx(LONGEST_TURN / 0.005, abs=1)


async def test_what_binds_nobody_has_half_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(monkeypatch)

    assert await turns.turn(*[0.004] * 500, is_binding=False) == pytest.approx(LONGEST_TURN / 2 / 0.004, abs=1)


async def test_a_few_are_begun_however_long_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(monkeypatch)

    for _ in range(10):
        assert await turns.turn(*[0.5] * LEAST_IN_TURN) == LEAST_IN_TURN


async def test_ten_a_second_are_asked_to_come_again_over_another_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(monkeypatch)
    moved = 0

    for _ in range(1000):
        moved += turns.overload.may_move()
        turns.now += 0.001

    assert 9 <= moved <= 11


async def test_who_is_turned_away_gets_a_reason_and_some_come_again_over_another_connection(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Overload, "admits", lambda _, **__: False)

    moved, stays = await stage.post(), await stage.post()

    assert (moved.status, moved.reason) == (stays.status, stays.reason) == (503, LATER)
    assert (moved.headers["retry-after"], moved.headers["connection"]) == ("1", "close")
    assert "retry-after" not in stays.headers
    assert stays.headers.get("connection") != "close"
    assert await stage.shown("/livez") == (200, "ok\n")
    assert await stage.shown("/readyz") == (200, "ok\n")


@pytest.mark.parametrize(("path", "is_binding"), [("/validate", True), ("/mutate", True), ("/advise", False)])
async def test_advice_binds_nobody(stage: Stage, monkeypatch: pytest.MonkeyPatch, path: str, is_binding: bool) -> None:
    asked: list[bool] = []

    def admits(_: Overload, *, is_binding: bool) -> bool:
        asked.append(is_binding)
        return True

    monkeypatch.setattr(Overload, "admits", admits)
    await stage.post(path=path)

    assert asked == [is_binding]


async def test_a_body_that_was_not_read_costs_no_connection(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b" " * 2**20
    await stage.post()
    monkeypatch.setattr(Overload, "may_move", lambda _: False)
    monkeypatch.setattr(Overload, "admits", lambda _, **__: False)
    async with stage.client.post("/validate", data=io.BytesIO(body)) as response:
        assert response.status == 503
    monkeypatch.undo()

    assert (await stage.post()).body == ALLOWED
