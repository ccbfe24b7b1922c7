"""How far a check looks back past faults, and how long a replica worked."""

from __future__ import annotations

import pytest

from nemesis.records import Fault, Life
from nemesis.timeline import Span, Spans, troubles, workers


@pytest.mark.parametrize(
    ("at", "seconds", "expected"),
    [
        (5, 3, 2),  # before any fault
        (30, 5, 25),  # after all of it
        (22, 5, 7),  # 2 s after, 3 s before
        (15, 5, 5),  # in the midst of it
        (31, 20, 1),  # past both
    ],
)
def test_times_of_trouble_do_not_count_when_looking_back(at: float, seconds: float, expected: float) -> None:
    assert Spans([Span(10, 20)]).before(at, seconds) == expected


def test_spans_that_touch_are_one() -> None:
    spans = Spans([Span(10, 20), Span(15, 25), Span(40, 50)])

    assert spans.before(30, 6) == 9
    assert spans.within(0, 100) == 25
    assert spans.within(18, 42) == 9


def test_kills_of_replicas_are_no_trouble_for_the_others() -> None:
    faults = [Fault("kill replica", "userquota-0", 1, 5), Fault("pause etcd", "etcd", 10, 12)]

    assert troubles(faults).within(0, 100) == 5  # 2 s, and 3 s until all are in step again


def test_work_is_what_one_life_has_without_its_own_pauses_and_those_of_the_control_plane() -> None:
    lives = [Life("userquota-0", 0, 30), Life("userquota-0", 31, 60), Life("userquota-1", 0, 60)]
    faults = [Fault("pause replica", "userquota-1", 0, 47), Fault("pause etcd", "etcd", 40, 41)]

    working = workers(lives, faults, lost=[])

    assert working.longest_work(0, 60) == 30
    assert working.longest_work(35, 60) == 21
    assert workers(lives, faults, lost=[Span(0, 55)]).longest_work(0, 60) == 5


def test_after_an_api_server_stood_still_for_long_nothing_need_be_let_go_before_its_lease_is_renewed() -> None:
    lives = [Life("userquota-0", 0, 100)]

    def work_beside(seconds: float) -> float:
        pause = Fault("pause kube-apiserver", "kube-apiserver-2", 10, 10 + seconds)
        return workers(lives, [pause], lost=[]).longest_work(0, 100)

    assert work_beside(5) == 100 - 5 - 3
    assert work_beside(50) == 100 - 50 - 16


def test_the_way_forward_leaves_out_what_overlaps_with_faults() -> None:
    faults = Spans([Span(10.0, 20.0), Span(22.0, 30.0)])

    assert faults.after(0.0, 5.0) == 5.0
    assert faults.after(8.0, 3.0) == 21.0
    assert faults.after(8.0, 5.0) == 31.0
    assert faults.after(15.0, 1.0) == 21.0
    assert faults.after(40.0, 5.0) == 45.0
