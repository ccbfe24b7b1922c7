"""Work in steps: in a thread, with an end."""

from __future__ import annotations

import threading
from collections.abc import Generator

import pytest

from webhook.documents.step_by_step import in_thread


def endless() -> Generator[None, None, None]:
    while True:
        yield


def named() -> Generator[None, None, str]:
    yield
    return threading.current_thread().name


async def test_the_result_comes_from_another_thread() -> None:
    assert await in_thread(named(), within=60) != threading.current_thread().name


async def test_what_takes_too_long_ends_with_its_thread() -> None:
    with pytest.raises(TimeoutError):
        await in_thread(endless(), within=0)
