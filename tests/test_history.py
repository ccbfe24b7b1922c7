"""When it is known that the API still has the history that was seen, and what follows if it has not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from webhook.adapters.history import HistoryCheck
from webhook.adapters.kubernetes_api import ApiError, UnreachableError
from webhook.adapters.reflector import MalformedError, StoreWentBackError
from webhook.ports import HistoryRewrittenError

UNREACHED = UnreachableError("connection refused", request="GET /api/v1/pods")
WENT_BACK = StoreWentBackError("the store went back from 9 to 5", request="GET /api/v1/pods")


class EndOfScriptError(Exception):
    """Nothing more is to be seen."""


class Script:
    """Looks that come out as written, one after the other; what was thought, and slept, after each is noted."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self._outcomes: Iterator[Exception | None] = iter(outcomes)
        self.check = HistoryCheck(self._look, sleep=self._sleep)
        self.thoughts: list[str] = []
        self.slept: list[float] = []

    async def play(self) -> None:
        with pytest.raises(EndOfScriptError):
            await self.check.run()

    async def _look(self) -> None:
        outcome = next(self._outcomes, EndOfScriptError())
        if outcome is not None:
            raise outcome

    async def _sleep(self, seconds: float) -> None:
        self.thoughts.append(self.check.trouble())
        self.slept.append(seconds)
        await asyncio.sleep(0)


async def test_as_long_as_the_api_answers_as_expected_there_is_no_trouble() -> None:
    script = Script(None, None)
    await script.play()
    assert script.thoughts == ["", ""]
    assert script.slept == [10, 10]


@pytest.mark.parametrize("error", [UNREACHED, MalformedError("the answer is no list")])
async def test_after_a_look_that_failed_nobody_knows_until_one_succeeds_soon_after(
    error: ApiError | MalformedError,
) -> None:
    script = Script(None, error, error, None)
    await script.play()
    assert [bool(each) for each in script.thoughts] == [False, True, True, False]
    assert str(error) in script.thoughts[1]
    assert script.slept == [10, 1, 1, 10]


async def test_a_store_that_went_back_ends_the_process() -> None:
    script = Script(None, UNREACHED, WENT_BACK)
    with pytest.raises(HistoryRewrittenError, match=r"went back in time, as after a restore.*from 9 to 5"):
        await script.check.run()
    assert script.check.trouble()
