"""One server a test; the certificate is made once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.serving.stage import Stage, started
from webhook.certificates import ServingIdentity, self_signed
from webhook.wiring.application import SystemClock


@pytest.fixture(scope="module")
def identity() -> ServingIdentity:
    return self_signed(("localhost", "127.0.0.1"), SystemClock())


@pytest.fixture
async def stage(identity: ServingIdentity) -> AsyncIterator[Stage]:
    async with started(Stage(identity)) as stage:
        yield stage
