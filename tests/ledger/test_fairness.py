"""
Who waits for whom: replicas a, b and c, seen from b.
"""

from __future__ import annotations

import itertools

import pytest

from tests.fakes import FakeClock
from webhook.ledger.fairness import SwapFairness
from webhook.ledger.ledger_object import StoredText

SOON = 0.001


class Scene:
    """What b hears, in versions that rise."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.fairness = SwapFairness("b", monotonic=self.clock.monotonic)
        self._versions = itertools.count(1)

    def swaps(self, *replicas: str) -> None:
        for replica in replicas:
            self.fairness.on_stored(StoredText("", "uid", next(self._versions), writer=replica))
            self.clock.pass_by(SOON)

    def claims(self, replica: str, *, after: str) -> None:
        self.fairness.on_stored(StoredText("", "uid", next(self._versions), writer=after, next_writer=replica))

    def crowded_wait(self) -> float:
        self.fairness.on_contention()
        return self.fairness.seconds_to_wait()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_who_makes_one_request_after_the_other_waits_for_nobody(scene: Scene) -> None:
    scene.swaps("a", "b", "c", "b")
    assert scene.fairness.seconds_to_wait() == 0


def test_where_requests_crowd_who_swapped_last_waits_longest(scene: Scene) -> None:
    scene.swaps("b", "a", "c")
    first = scene.crowded_wait()
    scene.swaps("b")
    last = scene.crowded_wait()
    scene.swaps("a")
    second = scene.crowded_wait()

    assert first < second < last


def test_each_swap_brings_the_next_one_nearer(scene: Scene) -> None:
    scene.swaps("a", "c", "b")
    scene.clock.pass_by(0.04)
    scene.fairness.on_contention()
    waits = [scene.fairness.seconds_to_wait()]
    for other in "ac":
        scene.swaps(other)
        waits.append(scene.fairness.seconds_to_wait())

    assert waits[0] > waits[1] > waits[2] == 0


def test_who_has_not_swapped_yet_does_not_wait(scene: Scene) -> None:
    scene.swaps("a", "c")
    assert scene.crowded_wait() == 0


def test_one_alone_gathers_for_a_moment(scene: Scene) -> None:
    scene.swaps("b")
    wait = scene.crowded_wait()

    assert 0 < wait < 0.05
    scene.clock.pass_by(wait)
    assert scene.fairness.seconds_to_wait() == 0


def test_who_does_not_use_the_place_in_front_loses_it(scene: Scene) -> None:
    scene.swaps("a", "b")
    wait = scene.crowded_wait()
    assert wait < 0.2

    scene.clock.pass_by(wait)

    assert scene.fairness.seconds_to_wait() == 0


def test_who_has_swapped_nothing_for_a_while_is_not_waited_for(scene: Scene) -> None:
    scene.swaps("a")
    scene.clock.pass_by(0.45)
    scene.swaps("b")
    behind_a = scene.crowded_wait()

    scene.clock.pass_by(0.06)

    assert behind_a > 0.05
    assert scene.crowded_wait() == 0


def test_a_crowd_is_forgotten(scene: Scene) -> None:
    scene.swaps("a", "c", "b")
    assert scene.crowded_wait() > 0

    scene.clock.pass_by(0.5)
    scene.swaps("a", "b")

    assert scene.fairness.seconds_to_wait() == 0


def test_a_claim_is_waited_for_and_is_no_swap_of_who_wrote_the_text(scene: Scene) -> None:
    scene.swaps("a", "b")
    before = scene.crowded_wait()
    scene.clock.pass_by(before)

    scene.claims("c", after="b")

    assert 0.2 < scene.fairness.seconds_to_wait() <= 0.3
    scene.swaps("c")
    scene.clock.pass_by(0.1)
    assert scene.fairness.seconds_to_wait() == 0


def test_what_was_heard_before_is_not_heard_again(scene: Scene) -> None:
    scene.swaps("a", "b", "c")
    wait = scene.crowded_wait()

    scene.fairness.on_stored(StoredText("", "uid", 1, writer="a"))

    assert scene.fairness.seconds_to_wait() == wait


def test_a_claim_is_due_after_two_losses_in_a_row(scene: Scene) -> None:
    scene.fairness.on_conflict()
    assert scene.fairness.has_conflict
    assert not scene.fairness.should_request_turn

    scene.fairness.on_conflict()
    assert scene.fairness.should_request_turn

    scene.swaps("a")
    assert scene.fairness.should_request_turn
    scene.swaps("b")
    assert not scene.fairness.has_conflict


def test_a_claim_waits_until_that_of_another_is_over(scene: Scene) -> None:
    scene.fairness.on_conflict()
    scene.fairness.on_conflict()
    scene.claims("a", after="c")
    assert not scene.fairness.should_request_turn

    scene.clock.pass_by(0.3)

    assert scene.fairness.should_request_turn
