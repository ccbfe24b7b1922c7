"""Which changes are questions: the cases that LIQUID's own tests have, written anew; the Go program judges the same."""

from __future__ import annotations

from typing import Any

import pytest

from tests.liquid.scenes import changeset, commitment, request
from webhook.liquid.confirmation import requires_confirmation
from webhook.liquid.requests import read_changes

ALIVE = ("planned", "pending", "guaranteed", "confirmed")
SET_ASIDE = ("guaranteed", "confirmed")
A, B, C = (f"{each}f4b7f06-51d5-4ca4-8f3f-6a5ef58b7f01" for each in "123")


def sums(more: dict[str, int], confirmed: int = 50, guaranteed: int = 15) -> dict[str, tuple[int, int]]:
    """Return both sums before, and with *more* by state after."""
    start = {"confirmed": confirmed, "guaranteed": guaranteed}
    return {state: (number, number + more.get(state, 0)) for state, number in start.items()}


def less(state: str) -> dict[str, tuple[int, int]]:
    return {name: each[::-1] for name, each in sums({state: 10}).items()}


def of(*changesets: dict[str, Any]) -> bytes:
    return request({f"p-{number}": {"byResource": {"r": each}} for number, each in enumerate(changesets)})


def is_question(body: bytes) -> bool:
    return requires_confirmation(read_changes(body))


def test_what_is_made_for_later_is_told_and_what_begins_at_once_is_asked() -> None:
    assert not is_question(of(changeset(commitment(newStatus="planned"), **sums({}))))
    assert not is_question(of(changeset(commitment(newStatus="pending"), **sums({}))))
    assert is_question(of(changeset(commitment(newStatus="guaranteed"), **sums({"guaranteed": 10}))))
    assert is_question(of(changeset(commitment(newStatus="confirmed"), **sums({"confirmed": 10}))))


def test_what_waits_is_told_and_what_is_confirmed_then_is_asked() -> None:
    assert not is_question(of(changeset(commitment(oldStatus="planned", newStatus="pending"), **sums({}))))
    for old in ("planned", "pending"):
        assert is_question(of(changeset(commitment(oldStatus=old), **sums({"confirmed": 10}))))


def test_what_was_guaranteed_and_begins_is_told() -> None:
    assert not is_question(
        of(changeset(commitment(oldStatus="guaranteed"), **sums({"confirmed": 10, "guaranteed": -10}, guaranteed=25)))
    )


@pytest.mark.parametrize("state", ALIVE)
def test_a_split_is_told(state: str) -> None:
    parts = (commitment(uuid=B, newStatus=state, amount=7), commitment(uuid=C, newStatus=state, amount=3))
    split = changeset(commitment(uuid=A, oldStatus=state, newStatus="superseded"), *parts, **sums({}))

    assert not is_question(of(split))


@pytest.mark.parametrize("state", ALIVE)
def test_what_moves_to_another_project_is_asked_if_it_is_set_aside(state: str) -> None:
    gone = changeset(commitment(oldStatus=state, newStatus=None), **less(state))
    come = changeset(commitment(newStatus=state), **sums({state: 10}))

    assert is_question(of(gone, come)) is (state in SET_ASIDE)
    assert is_question(of(come, gone)) is (state in SET_ASIDE)


@pytest.mark.parametrize("state", ALIVE)
def test_what_is_converted_is_asked_if_it_is_set_aside(state: str) -> None:
    gone = changeset(commitment(uuid=A, oldStatus=state, newStatus="superseded"), **less(state))
    come = changeset(commitment(uuid=B, newStatus=state, amount=20), **sums({state: 20}))

    body = request({"p": {"byResource": {"dense": gone, "sparse": come}}})
    assert is_question(body) is (state in SET_ASIDE)


@pytest.mark.parametrize("state", ALIVE)
def test_ends_and_deletions_are_told(state: str) -> None:
    for new in ("expired", None):
        assert not is_question(of(changeset(commitment(oldStatus=state, newStatus=new), **less(state))))


def test_what_takes_the_place_of_nothing_is_asked() -> None:
    """Confirmed and superseded, without others in its place: surprising, and so LIQUID says."""
    for state in SET_ASIDE:
        assert is_question(of(changeset(commitment(oldStatus=state, newStatus="superseded"), **less(state))))


@pytest.mark.parametrize("state", ALIVE)
def test_another_end_is_asked_of_what_is_set_aside(state: str) -> None:
    later = commitment(oldStatus=state, newStatus=state, oldExpiresAt="2027-06-01T00:00:00Z")

    assert is_question(of(changeset(later, **sums({})))) is (state in SET_ASIDE)


def test_nothing_is_told() -> None:
    assert not is_question(request({}))
