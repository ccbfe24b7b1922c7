"""Pods that were allowed but never stored, and names that are reused."""

from __future__ import annotations

import asyncio

from tests.replicas import Replicas
from tests.replicated import ledger_object, unstored
from tests.replicated.asking import Asking, numbered, statuses
from tests.replicated.conftest import limited
from tests.replicated.history import History
from tests.replicated.ledger_object import Seen
from tests.replicated.unstored import Unstored

PER_NAME = 8
"""Reservations for creates of a name and payer, the merged one included."""


def test_a_loop_of_creates_that_a_resourcequota_denies_holds_the_amounts_of_one(refused: Unstored) -> None:
    """Row 26: another user in the same pool still gets a place."""
    assert statuses(refused.same_name) == {403: 40}
    assert all("exceeded quota: no-pods" in each.message for each in refused.same_name)
    assert refused.ledger is not None
    assert 1 <= len([each for each in refused.ledger.pending(refused.closed) if each.slot.name == "again"]) <= PER_NAME
    assert statuses(refused.colleagues) == {201: 1, 403: 1}


def test_creates_of_many_names_that_are_never_stored_hold_at_most_their_owners_limit(
    refused: Unstored,
) -> None:
    """Row 25."""
    ours = [each for each in refused.other_names if f"users.{unstored.SCATTERING}" in each.message]
    assert len(refused.other_names) - len(ours) == unstored.LIMIT
    assert statuses(refused.other_names) == {403: 2 * unstored.LIMIT}


async def test_a_name_that_is_deleted_and_created_again_counts_once_each_time(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    """Row 23: every pod has its own uid, and the deletion of one does not affect the next."""
    replicas.set_policy(limited(person, pods=1))
    async with History(replicas.cluster, place) as history:
        for number in range(60):
            assert (await asking.create_pod(place, "phoenix", user=person)).status == 201, number
            if number % 10 == 0:
                assert (await asking.create_pod(place, "another", user=person)).status == 403
            assert (await asking.delete_pod(place, "phoenix", user=person)).status == 200
    assert history.most == 1
    assert len(history.stored) == 60
    await ledger_object.at_rest(asking, place)
    replicas.wait_until_all_know(pods=0)
    assert statuses(await asking.create_decided(place, numbered("after", 3), user=person)) == {201: 1, 403: 2}


async def test_creates_of_one_name_at_once_hold_the_room_of_one(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    """Row 26: all but one are answered that the name is taken, and keep no reservation."""
    replicas.set_policy(limited(person, pods=2))
    answers = await asking.create_pods(place, ["wanted"] * 50, user=person)
    assert statuses(answers) == {201: 1, 409: 49}  # it is the API server that says AlreadyExists
    assert all("already exists" in each.message for each in answers if each.status == 409)
    assert statuses(await asking.create_decided(place, numbered("second", 3), user=person)) == {201: 1, 403: 2}

    def few(found: Seen) -> bool:
        return len([each for each in found.pending(place) if each.slot.name == "wanted"]) <= PER_NAME

    await ledger_object.until(asking, few, within=2)


async def test_names_that_the_api_server_makes_up_are_counted_like_others(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    """Row 39."""
    replicas.set_policy(limited(person, pods=10))
    async with History(replicas.cluster, place) as history:
        creates = (asking.create_pod(place, "made-up-", user=person, generate=True) for _ in range(60))
        answers = await asyncio.gather(*creates)
        assert statuses(answers) == {201: 10, 403: 50}
        assert await history.shows({each.uid for each in answers if each.status == 201})
    assert history.most == 10
    await ledger_object.at_rest(asking, place)
