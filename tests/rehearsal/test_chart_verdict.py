"""What a rehearsal of the chart finds wrong, of records made up here. The rehearsal itself: `make chart-rehearsal`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rehearsal.chart.kubelet import Run
from rehearsal.chart.load import CREATED, FAILED, REFUSED, Told
from rehearsal.chart.verdict import Verdict
from rehearsal.chart.walk import AFTER, BEFORE, INSTALL, POLICY, UNINSTALL, UPGRADE, Walked
from rehearsal.client import Answer
from rehearsal.judge import Judged

FIRST_READY = 115.0


def told(at: float, outcome: str) -> Told:
    return Told(at, at + 0.1, outcome, False, Answer(500 if outcome == FAILED else 201, {}))


def walked() -> Verdict:
    """Return a walk in which all is as it has to be: creates fail between 110, when it is installed, and 115."""
    began = dict(
        zip((BEFORE, INSTALL, POLICY, UPGRADE, UNINSTALL, AFTER), map(float, range(100, 160, 10)), strict=True)
    )
    runs = [Run("userquota-1", "userquota:old", "10.1.0.2", Path(), ready=FIRST_READY)]
    record = Walked(began=began, finished=160.0, doctors={INSTALL: (0, "")}, runs=runs)
    outcomes = {101: CREATED, 112: FAILED, 121: REFUSED, 131: REFUSED, 141: CREATED, 151: CREATED}
    return Verdict(record, [told(at, outcome) for at, outcome in outcomes.items()], Judged())


def test_creates_may_fail_until_a_replica_is_ready() -> None:
    found = walked()
    assert (found.violations, found.void) == ([], [])
    assert "| install | 10 | 1 | 0 | 0 | 1 | 0.10 s |" in found.text()


@pytest.mark.parametrize(
    ("more", "violation"),
    [
        (told(109.9, FAILED), "before: a create failed: 500 {}"),
        (told(118.0, FAILED), "install: a create failed: 500 {}"),
        (told(135.0, FAILED), "upgrade: a create failed: 500 {}"),
        (told(145.0, FAILED), "uninstall: a create failed: 500 {}"),
        (told(105.0, REFUSED), "before: a create was refused without userquota"),
        (told(155.0, REFUSED), "after: a create was refused without userquota"),
    ],
)
def test_at_no_other_time_and_nothing_is_refused_without_it(more: Told, violation: str) -> None:
    found = walked()
    assert replace(found, told=[*found.told, more]).violations == [violation]


def with_doctor(record: Walked) -> None:
    record.doctors[UPGRADE] = (1, "wrong")


def with_a_crash(record: Walked) -> None:
    record.runs[0].crashes.append(-9)


def with_something_left(record: Walked) -> None:
    record.left.append("clusterrole/userquota")


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        (with_doctor, "upgrade: doctor ended with 1: wrong"),
        (with_a_crash, "userquota-1 crashed: [-9]"),
        (with_something_left, "left: clusterrole/userquota"),
    ],
)
def test_what_else_must_not_be(change: Callable[[Walked], None], violation: str) -> None:
    found = walked()
    change(found.record)
    assert found.violations == [violation]


def test_sums_above_a_limit_are_violations() -> None:
    over = "version 7: takes user/person-1 pods to 6, and the limit is 5"
    assert replace(walked(), judged=Judged(violations=[over])).violations == [over]


def test_a_walk_in_which_nothing_was_refused_says_nothing() -> None:
    found = walked()
    quiet = replace(found, told=[each for each in found.told if each.outcome != REFUSED])
    assert quiet.void == ["policy: nothing was refused", "upgrade: nothing was refused"]
