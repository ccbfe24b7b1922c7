"""When it is known that the API still has the history that was seen, and what follows if it has not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes import FakeClock
from webhook.ledger.store_revision import RevisionCheck
from webhook.ports import StoreRestoredError, UnavailableError

UNREACHED = UnavailableError("api-server", "connection refused")


class EndOfScriptError(Exception):
    """Nothing more is to be seen."""


class Script:
    """Looks that come out as written, one after the other; what was thought, and slept, after each is noted."""

    def __init__(self, *outcomes: int | UnavailableError, seen: int = 0) -> None:
        self.clock = FakeClock()
        self.seconds_per_look = 0.0
        self.thoughts: list[str] = []
        self.slept: list[float] = []
        self.troubles: list[str] = []
        self._outcomes: Iterator[int | UnavailableError] = iter(outcomes)
        self.check = RevisionCheck(
            self._look,
            seen=lambda: seen,
            monotonic=self.clock.monotonic,
            on_trouble=lambda error: self.troubles.append(error.reason),
            sleep=self._sleep,
        )

    async def play(self) -> None:
        with pytest.raises(EndOfScriptError):
            await self.check.run()

    async def _look(self) -> int:
        self.clock.pass_by(self.seconds_per_look)
        outcome = next(self._outcomes, None)
        if outcome is None:
            raise EndOfScriptError
        if isinstance(outcome, UnavailableError):
            raise outcome
        return outcome

    async def _sleep(self, seconds: float) -> None:
        self.thoughts.append(self.check.condition().message)
        self.slept.append(seconds)
        self.clock.pass_by(seconds)


async def test_before_the_first_look_nobody_knows() -> None:
    assert "was not looked at lately" in Script().check.condition().message


async def test_as_long_as_the_store_goes_on_there_is_no_trouble() -> None:
    script = Script(5, 5, 9, seen=5)
    await script.play()
    assert script.thoughts == ["", "", ""]
    assert script.slept == [10, 10, 10]


async def test_after_a_look_that_failed_nobody_knows_until_one_succeeds_soon_after() -> None:
    script = Script(5, UNREACHED, UNREACHED, 6)
    await script.play()
    assert [bool(each) for each in script.thoughts] == [False, True, True, False]
    assert "connection refused" in script.thoughts[1]
    assert script.slept == [10, 1, 1, 10]
    assert script.troubles == ["api-server"] * 2


@pytest.mark.parametrize(
    ("outcomes", "seen"),
    [
        pytest.param((5,), 9, id="behind what the watch has shown"),
        pytest.param((9, 5), 4, id="behind what it told itself, though the watch has shown less"),
        pytest.param((9, UNREACHED, 8), 4, id="after an outage"),
    ],
)
async def test_a_store_that_went_back_ends_the_process_and_nothing_is_decided_meanwhile(
    outcomes: tuple[int | UnavailableError, ...], seen: int
) -> None:
    script = Script(*outcomes, seen=seen)

    with pytest.raises(StoreRestoredError, match=r"went back in time, as after a restore.* version 9 and is at [58]$"):
        await script.check.run()

    assert "went back in time" in script.check.condition().message


async def test_who_was_stopped_does_not_believe_what_was_seen_before() -> None:
    """A machine that was suspended: the last look was good, and says nothing any more."""
    script = Script(5)
    await script.play()
    assert script.check.condition().ok

    script.clock.pass_by(11)

    assert "was not looked at lately" in script.check.condition().message


async def test_a_look_tells_of_the_time_at_which_it_began() -> None:
    script = Script(5)
    script.seconds_per_look = 21.0
    await script.play()
    assert "was not looked at lately" in script.thoughts[0]
