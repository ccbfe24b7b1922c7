"""One server a test; the certificate is made once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.serving.stage import Stage, started
from webhook.certificates import ServingIdentity, self_signed
from webhook.serving import review_connection
from webhook.wiring.application import SystemClock


@pytest.fixture(scope="module")
def identity() -> ServingIdentity:
    return self_signed(("localhost", "127.0.0.1"), SystemClock())


@pytest.fixture
def reads_by_itself() -> bool:
    """Whether httptools reads reviews; a module may say by parameters that aiohttp reads them, too."""
    return True


@pytest.fixture
async def stage(
    identity: ServingIdentity, monkeypatch: pytest.MonkeyPatch, *, reads_by_itself: bool
) -> AsyncIterator[Stage]:
    monkeypatch.setattr(review_connection, "is_available", lambda: reads_by_itself)
    async with started(Stage(identity)) as stage:
        yield stage
