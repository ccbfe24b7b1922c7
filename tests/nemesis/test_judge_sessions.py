"""Planted faults with sessions, each of which the judge has to find; and beside them what is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemesis import report, started_pods
from nemesis.denials_check import HELD
from nemesis.findings import Findings, Invariant
from nemesis.judge import judge
from nemesis.records import SESSIONS
from tests.nemesis.histories import ONE_POD, TWO_PODS, Held, History, begun, held_session, refusal

I1, I2, I3 = Invariant.NO_OVER_ADMISSION, Invariant.DOMINANCE, Invariant.NOTHING_LET_GO
I5, I6, I7 = Invariant.CONVERGENCE, Invariant.NO_FALSE_DENIAL, Invariant.DRY_RUN

ONE_SESSION = "version: 1\ndefaults: {user: {hard: {sessions: 1, pods: 9}}}\n"


def findings(history: History, folder: Path) -> Findings:
    return judge(history.write_to(folder))


def found(history: History, folder: Path) -> list[Invariant]:
    return [each.invariant for each in findings(history, folder).violations]


# I1


def test_sessions_within_all_limits_are_right(tmp_path: Path) -> None:
    history = begun("version: 1\ndefaults: {user: {hard: {sessions: 1, pods: 1}}}\n")
    history.admit_session("desk", "1")
    history.admit_its_pod("desk", "2")
    stopped = history.store_session("desk", "1", is_running=False)
    history.delete("desk-0")
    history.admit_session("other", "3")
    history.delete_session("other")
    history.admit_session("desk", "1", base=stopped)

    assert found(history, tmp_path) == []


def test_a_session_too_many_is_found_when_it_is_reserved_and_when_it_is_stored(tmp_path: Path) -> None:
    history = begun(ONE_SESSION)
    history.admit_session("desk", "1")
    history.admit_session("other", "2")

    assert found(history, tmp_path) == [I1] * 2


def test_a_start_too_many_is_found(tmp_path: Path) -> None:
    history = begun(ONE_SESSION)
    stopped = history.store_session("other", "2", is_running=False)
    history.admit_session("desk", "1")
    history.admit_session("other", "2", base=stopped)

    assert found(history, tmp_path) == [I1] * 2


def test_what_is_held_for_the_pod_of_a_session_is_not_used(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.reserve(held_session("t", "desk", "1"))
    history.admit("mine", "2")
    history.let_go("t", through=history.store_session("desk", "1"), kind=SESSIONS)

    assert found(history, tmp_path) == []


def test_the_pod_of_a_session_too_many_is_found(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.admit_session("desk", "1")
    history.admit("mine", "2")
    history.admit_its_pod("desk", "3")

    assert found(history, tmp_path) == [I1] * 2


# I2, I3, I7


def test_a_session_that_starts_without_a_reservation_is_found(tmp_path: Path) -> None:
    history = begun(ONE_SESSION)
    history.store_session("desk", "1", is_running=False)
    history.store_session("desk", "1")

    assert found(history, tmp_path) == [I2]


def test_the_reservation_of_a_start_that_is_let_go_too_soon_is_found(tmp_path: Path) -> None:
    history = begun(ONE_SESSION)
    stopped = history.store_session("desk", "1", is_running=False)
    history.reserve(held_session("t", "desk", "1", base=stopped))
    history.wait(5)
    history.let_go("t")

    assert found(history, tmp_path) == [I3]


def test_a_dry_run_of_a_session_that_is_held_is_found(tmp_path: Path) -> None:
    history = begun(ONE_SESSION)
    stored = history.admit_session("desk", "1")
    history.reserve(held_session("t", "desk", "1", base=stored, cpu="37m"))
    history.let_go("t", through=history.store_session("desk", "1", cpu="15m"), kind=SESSIONS)

    assert found(history, tmp_path) == [I7]


# I6


def is_refused(history: History, *, reserved: int, requested: int = 1, used: int = 0) -> None:
    message = refusal(used=used, reserved=reserved, limited=1, requested=requested)
    history.request("create", "mine", status=403, message=message)
    history.wait(1)
    history.policy(ONE_POD)  # the history goes on, so that it is judged


def test_a_refusal_for_what_is_held_for_the_pod_of_a_session_is_right_and_counted(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.admit_session("desk", "1")
    history.wait(50)
    is_refused(history, reserved=1)

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert judged.counts[HELD] == 1


def test_one_that_the_objects_alone_explain_needs_no_hold(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.admit("a", "2")
    history.admit_session("desk", "1")
    is_refused(history, used=1, reserved=1)

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert judged.counts[HELD] == 0


def test_a_hold_that_does_not_end_is_found(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.admit_session("desk", "1")
    history.wait(80)
    is_refused(history, reserved=1)

    assert found(history, tmp_path) == [I6]


def test_a_hold_begins_when_the_last_replica_may_have_seen_the_start(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.admit_session("desk", "1")
    history.wait(20)
    history.fault("stall connections", "userquota-1", 20)
    history.wait(60)
    is_refused(history, reserved=1)

    assert found(history, tmp_path) == []


def test_a_hold_beside_the_pod_that_has_come_is_found(tmp_path: Path) -> None:
    history = begun(TWO_PODS)
    history.admit_session("desk", "1")
    history.admit_its_pod("desk", "2")
    history.wait(20)
    history.request("create", "mine", status=403, message=refusal(used=1, reserved=1))
    history.wait(1)
    history.swap()

    assert found(history, tmp_path) == [I6]


def test_a_hold_beside_the_pod_that_is_in_flight_is_found(tmp_path: Path) -> None:
    history = begun(TWO_PODS)
    history.admit_session("desk", "1")
    history.reserve(Held("t", "desk-0", "2", session="desk"))
    history.wait(20)
    history.request("create", "mine", status=403, message=refusal(used=0, reserved=2))
    history.wait(20)
    history.let_go("t")

    assert found(history, tmp_path) == [I6]


def test_a_hold_that_the_pod_of_somebody_elses_session_takes_is_still_there(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.admit_session("desk", "1")
    history.admit_its_pod("desk", "2", owner="bob")
    history.wait(20)
    is_refused(history, reserved=1)

    assert found(history, tmp_path) == []


@pytest.mark.parametrize("end", ["stopped", "deleted"])
def test_a_hold_for_a_session_that_does_not_run_any_more_is_found(tmp_path: Path, end: str) -> None:
    history = begun(ONE_POD)
    history.admit_session("desk", "1")
    if end == "stopped":
        history.store_session("desk", "1", is_running=False)
    else:
        history.delete_session("desk")
    history.wait(10)
    is_refused(history, reserved=1)

    assert found(history, tmp_path) == [I6]


def test_a_hold_above_what_the_pod_needs_is_found(tmp_path: Path) -> None:
    history = begun("version: 1\ndefaults: {user: {hard: {requests.cpu: 30m}}}\n".replace("requests.", ""))
    history.admit_session("desk", "1", cpu="10m")
    message = refusal(used=0).replace("=2", "=30m").replace("=1", "=10m")
    message = message.replace("pods", "requests.cpu").replace("reserved: requests.cpu=0", "reserved: requests.cpu=25m")
    history.request("create", "mine", status=403, cpu="10m", message=message)
    history.wait(1)
    history.swap()

    assert found(history, tmp_path) == [I6]


def test_a_hold_lasts_anew_when_the_session_grows(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    stored = history.admit_session("desk", "1", cpu="10m")
    history.wait(50)
    history.admit_session("desk", "1", base=stored, cpu="20m")
    history.wait(50)
    is_refused(history, reserved=1)

    assert found(history, tmp_path) == []


def test_one_that_shrinks_or_is_labelled_is_held_no_longer(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.admit_session("desk", "1", cpu="20m")
    history.wait(50)
    history.store_session("desk", "1", cpu="10m")
    history.wait(30)
    is_refused(history, reserved=1)

    assert found(history, tmp_path) == [I6]


def test_the_room_is_held_while_the_start_is_in_flight(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.reserve(held_session("t", "desk", "1"))
    is_refused(history, reserved=1)
    history.wait(40)
    history.let_go("t")
    history.wait(10)
    is_refused(history, reserved=1)

    assert found(history, tmp_path) == [I6]


def test_a_session_may_need_less_than_it_asks_for_where_pods_of_its_name_are_left(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.admit("mine", "1")
    asked = {"sessions": "1", "pods": "2", "requests.cpu": "10m"}
    message = refusal(used=1, limited=1)
    history.request("create", "desk", status=403, message=message, kind=SESSIONS, asked=asked)
    history.wait(1)
    history.swap()

    assert found(history, tmp_path) == []


def test_a_session_that_is_refused_for_places_it_did_not_ask_for_is_found(tmp_path: Path) -> None:
    history = begun(ONE_SESSION)
    history.admit_session("other", "1")
    message = refusal(used=1, limited=1, requested=2, of="sessions")
    history.request("create", "desk", status=403, message=message, kind=SESSIONS, asked={"sessions": "1"})
    history.wait(1)
    history.swap()

    assert found(history, tmp_path) == [I6]


@pytest.mark.parametrize(("is_deleted", "expected"), [(True, []), (False, [I6])])
def test_a_pod_is_refused_because_its_session_does_not_exist_only_where_that_is_so(
    tmp_path: Path, is_deleted: bool, expected: list[Invariant]
) -> None:
    history = begun(ONE_POD)
    history.admit_session("desk", "1")
    history.wait(10)
    if is_deleted:
        history.delete_session("desk")
    message = 'admission webhook "validate.userquota.dev" denied the request: '
    message += "Notebook desk, which this was made for, does not exist"
    history.request("create", "desk-0", status=403, message=message, session="desk")
    history.wait(1)
    history.swap()

    assert found(history, tmp_path) == expected


# I5


@pytest.mark.parametrize(("seconds", "expected"), [(1, []), (80, [I5])])
def test_at_rest_nothing_is_reserved_but_for_sessions_that_have_just_started(
    tmp_path: Path, seconds: float, expected: list[Invariant]
) -> None:
    history = begun(ONE_POD)
    history.admit_session("desk", "1")
    history.wait(seconds)
    history.request("probe", "dry-probe", status=403, message=refusal(used=0, reserved=1, limited=1, requested=9))

    assert found(history, tmp_path) == expected


# The pods of sessions that started


def makes(history: History, *, refused: bool) -> None:
    """Have the controller ask for the pod of the session."""
    message = refusal(used=1, limited=1) if refused else ""
    history.request("create", "desk-0", status=403 if refused else 201, message=message, session="desk")


def told(history: History, folder: Path) -> dict[str, int]:
    counts = findings(history, folder).counts
    names = (
        started_pods.MADE,
        started_pods.LOWERED,
        started_pods.BEGUN_ANEW,
        started_pods.BROKEN,
        started_pods.BEGUN_BEFORE,
        started_pods.REFUSED,
    )
    return {name: counts[name] for name in names if counts[name]}


def test_a_pod_that_gets_the_room_of_its_session_is_counted(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.admit_session("desk", "1")
    makes(history, refused=False)

    assert told(history, tmp_path) == {started_pods.MADE: 1}


def test_one_that_others_took_is_told(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.admit_session("desk", "1")
    history.admit("mine", "2")
    makes(history, refused=True)

    assert told(history, tmp_path) == {started_pods.MADE: 1, started_pods.REFUSED: 1}


def test_one_that_a_lowered_limit_does_not_allow_is_told_apart(tmp_path: Path) -> None:
    history = begun(TWO_PODS)
    history.admit("mine", "2")
    history.admit_session("desk", "1")
    history.policy(ONE_POD)
    makes(history, refused=True)

    assert told(history, tmp_path) == {started_pods.MADE: 1, started_pods.LOWERED: 1}


def test_one_that_a_new_replica_could_not_know_is_told_apart(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.admit_session("desk", "1")
    history.life("userquota-1", history.at + 1, history.at + 100)
    history.wait(2)
    history.admit("mine", "2")
    makes(history, refused=True)

    assert told(history, tmp_path) == {started_pods.MADE: 1, started_pods.BEGUN_ANEW: 1}


def test_one_whose_room_a_replica_without_the_holds_before_it_gave_away_is_told_apart(tmp_path: Path) -> None:
    history = begun(TWO_PODS)
    history.admit_session("other", "1")
    history.life("userquota-1", history.at + 1, history.at + 100)
    history.wait(2)
    history.admit_session("desk", "2")
    history.admit("mine", "3")
    history.request("create", "desk-0", status=403, message=refusal(used=1, reserved=2), session="desk")

    assert told(history, tmp_path) == {started_pods.MADE: 1, started_pods.BEGUN_BEFORE: 1}


def test_one_behind_a_broken_watch_is_told_apart(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.admit_session("desk", "1")
    history.wait(2)
    history.fault("cut connections", "userquota-1", 0)
    history.admit("mine", "2")
    makes(history, refused=True)

    assert told(history, tmp_path) == {started_pods.MADE: 1, started_pods.BROKEN: 1}


def test_one_that_comes_late_or_whose_room_was_not_held_is_left_out(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.admit_session("desk", "1")
    history.wait(31)
    makes(history, refused=True)
    history.delete_session("desk")
    history.reserve(Held("t", "desk", "2", kind=SESSIONS, amounts=(("sessions", "1"),)))
    history.let_go("t", through=history.store_session("desk", "2"), kind=SESSIONS)
    makes(history, refused=True)

    assert told(history, tmp_path) == {}


@pytest.mark.parametrize("change", ["stopped", "smaller", "another"])
def test_one_whose_room_was_given_back_meanwhile_is_left_out(tmp_path: Path, change: str) -> None:
    history = begun(ONE_POD)
    history.admit_session("desk", "1", cpu="10m")
    history.admit("mine", "2")
    history.at += 1
    if change == "another":
        history.delete_session("desk")
        history.admit_session("desk", "3")
    else:
        history.store_session("desk", "1", cpu="5m", is_running=change == "smaller")
    history.request("create", "desk-0", status=403, message=refusal(used=1, limited=1), session="desk", seconds=1)

    assert told(history, tmp_path) == {}


def test_the_report_tells_them(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.admit_session("desk", "1")
    history.admit("mine", "2")
    makes(history, refused=True)

    judged = findings(history, tmp_path)

    text = report.render(tmp_path, judged)
    assert "| pods of sessions made in time | 1 |" in text
    assert "| of them refused: none of these | 1 |" in text
