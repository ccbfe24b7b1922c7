"""Each invariant has a history that breaks it and one that does not: a judge that finds nothing proves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemesis.findings import Findings, Invariant
from nemesis.judge import judge
from nemesis.records import PROBED_BEFORE
from tests.nemesis.histories import ONE_POD, THREE_PODS, TWO_PODS, Held, History, begun, refusal


def found(history: History, folder: Path) -> list[Invariant]:
    """Return the invariants that a history breaks which ends at rest."""
    return [each.invariant for each in judge(history.write_to(folder)).violations]


def findings(history: History, folder: Path) -> Findings:
    return judge(history.write_to(folder))


def test_nothing_is_found_where_everything_is_as_it_should_be(tmp_path: Path) -> None:
    history = begun()
    history.admit("a", "1")
    history.admit("b", "2")
    history.delete("a")
    history.admit("c", "3")

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert judged.counts["revisions"] == 12
    assert judged.conversions == pytest.approx([0.1, 0.1, 0.1])


# I1


def test_a_pod_too_many_is_found_when_it_is_reserved_and_when_it_is_stored(tmp_path: Path) -> None:
    history = begun(TWO_PODS)
    for number in (1, 2, 3):
        history.admit(f"pod-{number}", str(number))

    assert found(history, tmp_path) == [Invariant.NO_OVER_ADMISSION] * 2


def test_a_reservation_too_many_is_found_though_nothing_is_stored(tmp_path: Path) -> None:
    history = begun(TWO_PODS)
    history.reserve(*(Held(f"t{number}", f"pod-{number}", str(number)) for number in range(3)))
    history.wait(40)
    history.let_go("t0", "t1", "t2")

    assert found(history, tmp_path) == [Invariant.NO_OVER_ADMISSION]


def test_a_pod_that_is_deleted_without_a_grace_period_makes_room_before_it_is_gone(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.admit("a", "1")
    history.terminate("a", is_released=True)
    history.reserve(Held("t2", "b", "2"))
    history.delete("a")
    history.let_go("t2", through=history.store("b", "2"))

    assert found(history, tmp_path) == []


def test_how_soon_room_is_used_again_is_measured_from_the_beginning_of_such_a_deletion(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.admit("a", "1")
    history.terminate("a", is_released=True)
    history.reserve(Held("t2", "b", "2"))
    history.delete("a")
    history.let_go("t2", through=history.store("b", "2"))

    assert findings(history, tmp_path).freed == pytest.approx([0.1])


def test_a_pod_whose_grace_period_has_not_passed_makes_none(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.admit("a", "1")
    history.terminate("a", is_released=False)
    history.reserve(Held("t2", "b", "2"))
    history.delete("a")
    history.let_go("t2", through=history.store("b", "2"))

    assert found(history, tmp_path) == [Invariant.NO_OVER_ADMISSION]


def test_several_reservations_of_one_name_count_once(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    history.reserve(*(Held(f"t{number}", "same", str(number)) for number in range(3)))
    history.wait(40)
    history.let_go("t0", "t1", "t2")

    assert found(history, tmp_path) == []


def test_what_was_decided_under_a_higher_limit_may_be_stored_under_a_lower_one(tmp_path: Path) -> None:
    history = begun(TWO_PODS)
    history.admit("a", "1")
    history.reserve(Held("t2", "b", "2"))
    history.policy(ONE_POD)
    history.wait(20)
    history.let_go("t2", through=history.store("b", "2"))

    assert found(history, tmp_path) == []


def test_what_is_decided_long_after_a_limit_was_lowered_is_judged_by_the_lower_one(tmp_path: Path) -> None:
    history = begun(TWO_PODS)
    history.admit("a", "1")
    history.policy(ONE_POD)
    history.wait(20)
    history.admit("b", "2")

    assert set(found(history, tmp_path)) == {Invariant.NO_OVER_ADMISSION}


def test_a_lowered_limit_may_be_unknown_as_long_as_the_control_plane_stood_still(tmp_path: Path) -> None:
    history = begun(TWO_PODS)
    history.admit("a", "1")
    history.policy(ONE_POD)
    history.wait(20)
    history.fault("pause etcd", "etcd", 20)
    history.admit("b", "2")

    assert found(history, tmp_path) == []


def test_a_resize_that_brings_more_than_the_limit_is_found(tmp_path: Path) -> None:
    history = begun("version: 1\ndefaults: {user: {hard: {cpu: 50m}}}\n")
    stored = history.admit("a", "1", cpu="10m")
    history.reserve(Held("t", "a", "1", base=stored, cpu="60m"))
    history.let_go("t", through=history.store("a", "1", cpu="60m"))

    assert found(history, tmp_path) == [Invariant.NO_OVER_ADMISSION] * 2


def test_the_claim_of_an_update_that_can_never_be_stored_takes_nobodys_room(tmp_path: Path) -> None:
    history = begun(ONE_POD)
    stored = history.admit("a", "1", cpu="10m")
    history.delete("a")
    history.admit("b", "2")
    history.reserve(Held("t", "a", "1", base=stored, cpu="20m"))
    history.let_go("t")

    assert found(history, tmp_path) == []


# I2


def test_a_pod_that_nobody_reserved_is_found(tmp_path: Path) -> None:
    history = begun()
    history.store("a", "1")

    assert found(history, tmp_path) == [Invariant.DOMINANCE]


def test_a_reservation_that_leaves_before_everybody_has_seen_its_pod_is_found(tmp_path: Path) -> None:
    history = begun()
    history.reserve(Held("t", "a", "1"))
    stored = history.store("a", "1")
    history.let_go("t", through=stored - 1)

    assert Invariant.DOMINANCE in found(history, tmp_path)


def test_a_reservation_for_an_older_version_does_not_cover_a_later_resize(tmp_path: Path) -> None:
    history = begun()
    stored = history.admit("a", "1", cpu="10m")
    history.reserve(Held("t", "a", "1", base=stored, cpu="15m"))
    history.store("a", "1", cpu="20m")

    assert Invariant.DOMINANCE in found(history, tmp_path)


def test_a_resize_to_less_needs_no_reservation(tmp_path: Path) -> None:
    history = begun()
    history.admit("a", "1", cpu="20m")
    history.store("a", "1", cpu="10m")
    history.store("a", "1", cpu="10m", phase="Succeeded")

    assert found(history, tmp_path) == []


def test_many_creates_of_one_name_may_be_held_as_one_without_a_uid(tmp_path: Path) -> None:
    history = begun()
    history.reserve(Held("t1", "a", "1"))
    history.held = [Held("t2", "a", "")]
    history.swap()
    stored = history.store("a", "1")
    history.wait(40)
    history.let_go("t2", through=stored)

    assert found(history, tmp_path) == []


def test_a_ledger_that_goes_on_from_a_foreign_text_is_found(tmp_path: Path) -> None:
    history = begun()
    history.reserve(Held("t", "a", "1"))
    old = history.ledger_text()
    history.let_go("t", through=history.store("a", "1"))
    history.foreign_ledger(old)
    history.swap()

    assert Invariant.DOMINANCE in found(history, tmp_path)


def test_a_lost_ledger_that_is_begun_anew_and_opened_late_enough_is_right(tmp_path: Path) -> None:
    history = begun()
    history.reserve(Held("t", "a", "1"))
    history.lose_ledger()
    history.begin_anew("2")
    history.settled_through = history.store("a", "1")
    history.wait(40)
    history.swap()

    assert found(history, tmp_path) == []


def test_a_closed_ledger_may_be_written_to_tell_its_age(tmp_path: Path) -> None:
    history = begun()
    history.lose_ledger()
    history.begin_anew("2")
    for _ in range(20):
        history.wait(2)
        history.age += 2000
        history.swap(is_open=False)
    history.swap()

    assert found(history, tmp_path) == []


def test_a_closed_ledger_that_goes_on_as_if_it_were_open_is_found(tmp_path: Path) -> None:
    history = begun()
    history.lose_ledger()
    history.begin_anew("2")
    history.held = [Held("t", "a", "1")]
    history.swap(is_open=False)

    assert Invariant.DOMINANCE in found(history, tmp_path)


def test_a_ledger_that_closes_without_a_loss_is_found(tmp_path: Path) -> None:
    history = begun()
    history.swap(is_open=False)

    assert Invariant.DOMINANCE in found(history, tmp_path)


@pytest.mark.parametrize("age", [39_999, 90_000])
def test_an_age_that_goes_back_or_ahead_of_time_is_found(tmp_path: Path, age: int) -> None:
    history = begun()
    history.lose_ledger()
    history.begin_anew("2")
    history.wait(40)
    history.age = 40_000
    history.swap()
    history.age = age
    history.swap()

    assert found(history, tmp_path) == [Invariant.DOMINANCE]


def test_a_lost_ledger_that_is_opened_without_what_was_stored_meanwhile_is_found(tmp_path: Path) -> None:
    history = begun()
    history.reserve(Held("t", "a", "1"))
    history.lose_ledger()
    history.begin_anew("2")
    history.store("a", "1")
    history.wait(40)
    history.swap()

    assert found(history, tmp_path) == [Invariant.DOMINANCE]


def test_a_lost_ledger_that_is_replaced_by_an_open_one_is_found(tmp_path: Path) -> None:
    history = begun()
    history.lose_ledger()
    history.begin_anew("first-2", is_open=True)

    assert found(history, tmp_path) == [Invariant.DOMINANCE]


def test_the_first_ledger_may_be_opened_at_once_and_a_text_may_be_stored_twice(tmp_path: Path) -> None:
    history = History()
    history.policy(TWO_PODS)
    history.swap(is_open=False)
    history.swap()
    history.reserve(Held("t", "a", "1"))
    history.write -= 1
    history.swap()
    history.let_go("t", through=history.store("a", "1"))

    assert found(history, tmp_path) == []


# I3


def test_a_reservation_that_is_let_go_while_it_can_still_be_stored_is_found(tmp_path: Path) -> None:
    history = begun()
    history.reserve(Held("t", "a", "1"))
    history.wait(30)
    history.let_go("t")

    assert found(history, tmp_path) == [Invariant.NOTHING_LET_GO]


def test_a_ledger_that_is_opened_while_something_can_still_be_stored_is_found(tmp_path: Path) -> None:
    history = begun()
    history.lose_ledger()
    history.begin_anew("2")
    history.wait(30)
    history.swap()

    assert found(history, tmp_path) == [Invariant.NOTHING_LET_GO]


def test_a_watermark_at_what_was_not_settled_is_found(tmp_path: Path) -> None:
    history = begun()
    history.reserve(Held("t", "a", "1"))
    stored = history.store("a", "1")
    history.let_go("t", through=stored + 50)

    assert found(history, tmp_path) == [Invariant.NOTHING_LET_GO]


# I4


def test_a_reservation_that_came_to_nothing_and_stays_is_found(tmp_path: Path) -> None:
    history = begun()
    history.reserve(Held("t", "a", "1"))
    history.wait(65)
    history.let_go("t")
    history.life("userquota-0", 0, history.at)

    assert found(history, tmp_path) == [Invariant.BOUNDED_LEAK]


def test_a_reservation_may_stay_as_long_as_no_replica_lives_long_enough(tmp_path: Path) -> None:
    history = begun()
    history.reserve(Held("t", "a", "1"))
    entered = history.at
    history.wait(80)
    history.let_go("t")
    history.life("userquota-0", 0, entered + 40)
    history.life("userquota-0", entered + 40, history.at)

    assert found(history, tmp_path) == []


# I5


def test_a_ledger_that_is_not_empty_at_rest_is_found(tmp_path: Path) -> None:
    history = begun()
    history.reserve(Held("t", "a", "1"))

    assert found(history, tmp_path) == [Invariant.CONVERGENCE]


def test_a_replica_that_counts_otherwise_than_the_api_at_rest_is_found(tmp_path: Path) -> None:
    history = begun()
    history.admit("a", "1")
    history.request("probe", "dry-probe", status=403, message=refusal(used=1, requested=5))
    history.request("probe", "dry-probe", status=403, message=refusal(used=2, requested=5))

    assert found(history, tmp_path) == [Invariant.CONVERGENCE]


# I6


def test_a_refusal_of_what_fits_is_found(tmp_path: Path) -> None:
    history = begun()
    history.admit("a", "1")
    history.request("create", "b", status=403, message=refusal(used=2))

    assert found(history, tmp_path) == [Invariant.NO_FALSE_DENIAL]


def test_a_refusal_of_what_does_not_fit_is_right(tmp_path: Path) -> None:
    history = begun()
    history.admit("a", "1")
    history.reserve(Held("t", "b", "2"))
    history.request("create", "c", status=403, message=refusal(used=1, reserved=1))
    history.let_go("t", through=history.store("b", "2"))

    assert found(history, tmp_path) == []


@pytest.mark.parametrize(("seconds", "expected"), [(3, []), (8, [Invariant.NO_FALSE_DENIAL])])
def test_room_may_be_known_late_but_not_for_long(tmp_path: Path, seconds: float, expected: list[Invariant]) -> None:
    history = begun(ONE_POD)
    history.admit("a", "1")
    history.delete("a")
    history.wait(seconds)
    history.request("create", "b", status=403, message=refusal(used=1, limited=1))

    assert found(history, tmp_path) == expected


def test_a_refusal_that_names_a_limit_that_nobody_set_is_found(tmp_path: Path) -> None:
    history = begun(THREE_PODS)
    history.admit("a", "1")
    history.admit("b", "2")
    history.request("create", "c", status=403, message=refusal(used=2, limited=2))

    assert found(history, tmp_path) == [Invariant.NO_FALSE_DENIAL]


def test_a_refusal_that_does_not_add_up_is_found(tmp_path: Path) -> None:
    history = begun()
    history.admit("a", "1")
    history.admit("b", "2")
    history.request("create", "c", status=403, message=refusal(used=1))

    assert found(history, tmp_path) == [Invariant.NO_FALSE_DENIAL]


def cpu_refusal(*, requested: str, used: str) -> str:
    return refusal(used=1).replace(
        "requested: pods=1, used: pods=1, limited: pods=2, reserved: pods=0, free: pods=1",
        f"requested: requests.cpu={requested}, used: requests.cpu={used}, limited: requests.cpu=50m, "
        "reserved: requests.cpu=0, free: requests.cpu=0",
    )


def test_a_resize_is_refused_for_what_it_grows_by_unless_its_pod_has_changed_meanwhile(tmp_path: Path) -> None:
    history = begun("version: 1\ndefaults: {user: {hard: {cpu: 50m}}}\n")
    history.admit("a", "1", cpu="20m")
    history.admit("b", "2", cpu="20m")
    history.store("b", "2", cpu="15m")
    history.request("resize", "b", status=403, cpu="31m", message=cpu_refusal(requested="11m", used="35m"))
    assert found(history, tmp_path) == []

    history.wait(20)
    history.request("resize", "b", status=403, cpu="29m", message=cpu_refusal(requested="14m", used="35m"))
    assert found(history, tmp_path) == [Invariant.NO_FALSE_DENIAL] * 2  # it does not add up, and it was never full


# I7


def test_a_reservation_of_a_dry_run_is_found(tmp_path: Path) -> None:
    history = begun()
    history.reserve(Held("t", "dry-7", "1"))
    history.wait(40)
    history.let_go("t")

    assert found(history, tmp_path) == [Invariant.DRY_RUN]


# The answers to clients, and that the history is complete


def test_a_conflict_of_ours_that_reaches_a_client_is_found_and_its_own_is_not(tmp_path: Path) -> None:
    history = begun()
    own = 'Operation cannot be fulfilled on pods "a": the object has been modified'
    ours = 'Operation cannot be fulfilled on configmaps "userquota-ledger": the object has been modified'
    history.request("update", "a", status=409, reason="Conflict", message=own)
    history.request("create", "b", status=409, reason="Conflict", message=ours)

    assert found(history, tmp_path) == [Invariant.CLIENTS]


def test_a_create_that_passed_without_a_decision_is_found(tmp_path: Path) -> None:
    history = begun()
    history.audited(201, is_decided=True)
    history.audited(201, is_decided=False)
    history.audited(500, is_decided=False)
    history.audited(201, is_decided=False, name=PROBED_BEFORE)

    assert found(history, tmp_path) == [Invariant.CLIENTS]


def test_a_replica_that_ended_by_itself_is_found(tmp_path: Path) -> None:
    history = begun()
    history.fault("kill replica", "userquota-1", 1)
    history.fault("replica ended by itself", "userquota-0", 0)

    assert found(history, tmp_path) == [Invariant.ALIVE]


def test_a_history_that_misses_a_revision_is_found(tmp_path: Path) -> None:
    history = begun()
    history.admit("a", "1")
    del history.pods["a"]

    assert found(history, tmp_path) == [Invariant.HISTORY]
