"""
Reservations of pods that were allowed but never stored.

This file runs late, so that most of their 40 seconds are over; a loss of the ledger in between would end them early.
"""

from __future__ import annotations

import asyncio
import re
import time

from tests.replicas import Replicas
from tests.replicated import ledger_object
from tests.replicated.asking import Asking, numbered, statuses
from tests.replicated.unstored import COLLEAGUE, LIMIT, POLICY, POOL, SCATTERING, Unstored

NOT_BEFORE = 34.0
"""Seconds. Until then the API server might still store them."""

RECLAIMED_WITHIN = 60.0
"""Seconds: 45 after the end of the requests, and 15 if the replicas had just started (see `ApiServerLeases`)."""


async def test_reservations_never_stored_expire_within_60_seconds(
    refused: Unstored, replicas: Replicas, asking: Asking, place: str
) -> None:
    """Rows 6, 25 and 26."""
    if (early := refused.begun + NOT_BEFORE - time.monotonic()) > 0:
        await asyncio.sleep(early)
        assert (await ledger_object.seen(asking)).pending(refused.closed)
    left = max(refused.ended + RECLAIMED_WITHIN - time.monotonic(), 0)
    await ledger_object.until(asking, lambda found: not found.pending(refused.closed), within=left)
    assert sum(expired(replicas, i) for i in range(replicas.count)) > LIMIT

    replicas.set_policy(POLICY + "# again\n")
    others = await asking.create_decided(place, numbered("free", LIMIT + 1), user=SCATTERING)
    assert statuses(others) == {201: LIMIT, 403: 1}
    his = await asking.create_decided(place, numbered("his", POOL + 1), user=COLLEAGUE)
    assert statuses(his) == {201: POOL, 403: 1}


def expired(replicas: Replicas, i: int) -> float:
    found = re.search(r"^userquota_expired_reservations_total (\S+)$", replicas.metrics(i), re.MULTILINE)
    assert found is not None
    return float(found[1])
