"""
Ledger texts written by other clients: a newer version of userquota, or a restored copy.

The last loss lasts another 40 seconds; the next test waits for its end.
"""

from __future__ import annotations

import asyncio
import re

from tests.replicas import Replicas
from tests.replicated import ledger_object
from tests.replicated.asking import Asking, numbered, statuses
from tests.replicated.conftest import limited
from tests.replicated.ledger_object import Seen

SOON = 5.0
EVERYBODY_LOOKED = 2.0
"""Seconds. Each replica checks once a second: by then all of them know."""


async def test_a_newer_format_is_left_alone_and_a_restored_copy_is_always_rejected(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    """
    Rows 75, 29 and 31.

    An older version of userquota must not overwrite the ledger of a newer one. A copy lacks what was allowed since,
    and its checksum is right.
    """
    replicas.set_policy(limited(person, pods=5))
    old = await ledger_object.seen(asking)
    assert statuses(await asking.create_pods(place, numbered("since", 2), user=person)) == {201: 2}
    await ledger_object.at_rest(asking, place)
    present = await ledger_object.seen(asking)

    newer = await ledger_object.replace(asking, re.sub(r"\A(userquota-ledger) \d ", r"\1 9 ", present.text))
    answers = await asking.create_pods(place, numbered("refused", 6), user=person)
    await asyncio.sleep(EVERYBODY_LOOKED)
    reasons = [replicas.readiness(i) for i in range(replicas.count)]
    left_alone = await ledger_object.seen(asking)

    begun_anew = [present, await put_back(asking, present.text, manager="kubectl-replace")]
    begun_anew += [await put_back(asking, old.text, manager="userquota") for _ in range(2)]

    assert set(statuses(answers)) == {500}, {each.message for each in answers}
    assert all("ledger: the ledger is of a newer version: it has format 9" in each for each in reasons), reasons
    assert left_alone.text == newer.text
    assert [each.ledger.is_open for each in begun_anew] == [True, False, False, False]
    assert len({each.ledger.epoch for each in begun_anew}) == 4


async def put_back(asking: Asking, copy: str, *, manager: str) -> Seen:
    """Write a copy under a field manager, which may be ours; return the ledger once all replicas have seen it."""
    await ledger_object.replace(asking, copy, manager=manager)
    await ledger_object.until(asking, lambda found: found.text != copy, within=SOON)
    await asyncio.sleep(EVERYBODY_LOOKED)
    return await ledger_object.seen(asking)
