"""Bursts: three replicas and two API servers together allow exactly what fits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.cluster.running import PATIENCE
from tests.replicas import Replicas
from tests.replicated import ledger_object
from tests.replicated.asking import CLAIMS, PODS, RESOURCE_CLAIMS, Asking, Made, numbered, statuses
from tests.replicated.conftest import limited
from tests.replicated.history import History
from tests.replicated.ledger_object import Seen

ROUNDS = 5


BURSTS = {
    "pods": (PODS, "pods"),
    "claims": (CLAIMS, "persistentvolumeclaims"),
    "resource claims": (RESOURCE_CLAIMS, "gpu"),
}


@pytest.mark.parametrize("burst", BURSTS.values(), ids=BURSTS.keys())
async def test_of_five_hundred_creates_at_once_for_a_hundred_places_exactly_a_hundred_succeed(
    replicas: Replicas, asking: Asking, place: str, person: str, burst: tuple[Made, str]
) -> None:
    """Rows 1 and 2: as many as there are places, numbers in every denial, and no conflict for any user."""
    of, resource = burst
    replicas.set_policy(f"version: 1\nusers: {{{person}: {{hard: {{{resource}: 100}}}}}}\n")
    async with History(replicas.cluster, place, of=of) as history:
        answers = await asking.create_decided(place, numbered("burst", 500), user=person, of=of, at_once=500)
        assert statuses(answers) == {201: 100, 403: 400}
        assert await history.shows({each.uid for each in answers if each.status == 201})
    assert history.most == 100
    refusals = [each.message for each in answers if each.status == 403]
    clause = f"exceeded quota: users.{person}, requested: {resource}=1, used: {resource}="
    assert all(clause in each for each in refusals)
    served = [replicas.metrics(i).count('userquota_reviews_total{path="/validate",verdict=') for i in range(3)]
    assert all(served), "a replica was never called: this proves nothing about three"


async def test_of_sixty_creates_at_once_for_one_place_exactly_one_succeeds_each_time(
    replicas: Replicas, asking: Asking, place: str, new_person: Callable[[], str]
) -> None:
    """Row 1."""
    people = [new_person() for _ in range(ROUNDS)]
    replicas.set_policy(limited(*people, pods=1))
    for each in people:
        answers = await asking.create_decided(place, numbered(f"of-{each}", 60), user=each)
        assert statuses(answers) == {201: 1, 403: 59}


async def test_two_people_of_a_pool_at_once_exceed_neither_their_own_limits_nor_the_pool(
    replicas: Replicas, asking: Asking, place: str
) -> None:
    """Row 4: the limits of user and pool are checked in one decision and one write."""
    replicas.set_policy(
        "version: 1\n"
        "users: {alice: {hard: {pods: 30}}, bob: {hard: {pods: 25}}}\n"
        "groups: {ml: {pool: {hard: {pods: 40}}}}\n"
    )
    hers, his = await asyncio.gather(
        asking.create_decided(place, numbered("hers", 80), user="alice"),
        asking.create_decided(place, numbered("his", 80), user="bob"),
    )
    assert statuses(hers) + statuses(his) == {201: 40, 403: 120}
    assert statuses(hers)[201] <= 30
    assert statuses(his)[201] <= 25


async def test_dry_runs_get_the_verdict_of_real_requests_and_no_version_of_the_ledger_is_theirs(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    """Row 37 and I7."""

    def is_still(found: Seen) -> bool:
        """Whether nothing is left that a replica would write anew by itself."""
        return not found.pending(place) and not found.ledger.grants

    replicas.set_policy(limited(person, pods=10))
    assert statuses(await asking.create_decided(place, numbered("kept", 8), user=person)) == {201: 8}
    await ledger_object.until(asking, is_still, within=PATIENCE)
    before = await ledger_object.seen(asking)

    would_fit = await asking.create_decided(place, numbered("tried", 100), user=person, dry_run=True)
    assert statuses(would_fit) == {201: 100}  # each alone would fit
    assert await ledger_object.seen(asking) == before
    assert statuses(await asking.create_decided(place, numbered("kept-too", 2), user=person)) == {201: 2}
    await ledger_object.until(asking, is_still, within=PATIENCE)
    full = await ledger_object.seen(asking)
    would_not = await asking.create_decided(place, numbered("tried", 100), user=person, dry_run=True)
    real = await asking.create_decided(place, numbered("real", 100), user=person)

    assert statuses(would_not) == statuses(real) == {403: 100}
    assert {each.message for each in would_not} == {each.message for each in real}
    assert await ledger_object.seen(asking) == full
