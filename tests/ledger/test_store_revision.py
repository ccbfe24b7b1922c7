"""When the store is known not to have gone back in time, and what follows if it has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes import FakeClock
from webhook.ledger.store_revision import RevisionCheck
from webhook.ports import StoreRestoredError, UnavailableError

UNREACHED = UnavailableError("api-server", "connection refused")


class EndOfScriptError(Exception):
    """The script has no more looks."""


class Script:
    """Looks with given outcomes, one after the other; records the condition and the pause after each."""

    def __init__(self, *outcomes: int | UnavailableError, seen: int = 0) -> None:
        self.clock = FakeClock()
        self.seconds_per_look = 0.0
        self.conditions: list[str] = []
        self.slept: list[float] = []
        self.errors: list[str] = []
        self._outcomes: Iterator[int | UnavailableError] = iter(outcomes)
        self.check = RevisionCheck(
            self._look,
            seen=lambda: seen,
            monotonic=self.clock.monotonic,
            on_error=lambda error: self.errors.append(error.reason),
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
        self.conditions.append(self.check.condition().message)
        self.slept.append(seconds)
        self.clock.pass_by(seconds)


async def test_before_the_first_look_nothing_may_be_decided() -> None:
    assert "it was not checked lately" in Script().check.condition().message


async def test_as_long_as_the_version_does_not_fall_the_condition_is_good() -> None:
    script = Script(5, 5, 9, seen=5)
    await script.play()
    assert script.conditions == ["", "", ""]
    assert script.slept == [10, 10, 10]


async def test_after_a_look_that_failed_nothing_may_be_decided_until_one_succeeds() -> None:
    script = Script(5, UNREACHED, UNREACHED, 6)
    await script.play()
    assert [bool(each) for each in script.conditions] == [False, True, True, False]
    assert "connection refused" in script.conditions[1]
    assert script.slept == [10, 1, 1, 10]
    assert script.errors == ["api-server"] * 2


@pytest.mark.parametrize(
    ("outcomes", "seen"),
    [
        pytest.param((5,), 9, id="behind what the watch has shown"),
        pytest.param((9, 5), 4, id="behind an earlier look, though the watch has shown less"),
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


async def test_a_process_that_was_suspended_does_not_rely_on_an_old_look() -> None:
    """The last look was good, and is too old."""
    script = Script(5)
    await script.play()
    assert script.check.condition().ok

    script.clock.pass_by(11)

    assert "it was not checked lately" in script.check.condition().message


async def test_a_look_counts_from_its_beginning() -> None:
    script = Script(5)
    script.seconds_per_look = 21.0
    await script.play()
    assert "it was not checked lately" in script.conditions[0]
