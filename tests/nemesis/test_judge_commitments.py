"""Planted faults with commitments, each of which the judge has to find; and beside them what is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nemesis.edits_check import EDITS, FORCED, UNJUDGED
from nemesis.findings import Findings, Invariant
from nemesis.judge import judge
from nemesis.pools_check import ABOVE, CONTENDED, COVERED, ON_DEMAND
from nemesis.records import PROBE
from tests.nemesis.histories import NAMESPACE, Held, History
from tests.nemesis.promised import ANY, A, B, begun, moment, policy, promise, refusal, refused

I1, I2, I5, I6, I10 = (
    Invariant.NO_OVER_ADMISSION,
    Invariant.DOMINANCE,
    Invariant.CONVERGENCE,
    Invariant.NO_FALSE_DENIAL,
    Invariant.PROMISES,
)


def findings(history: History, folder: Path) -> Findings:
    return judge(history.write_to(folder))


def found(history: History, folder: Path) -> list[Invariant]:
    return [each.invariant for each in findings(history, folder).violations]


# What is let in, I1


def test_a_holder_gets_what_was_promised_and_others_the_rest(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.admit_gpus("demand", "1", 2, owner="dave", place=A)
    history.admit_gpus("promised", "2", 2, owner="alice", place=A)
    history.admit_gpus("elsewhere", "3", 4, owner="dave", place=B)

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert (judged.counts[COVERED], judged.counts[ON_DEMAND]) == (1, 2)
    assert judged.counts["stored pods compared with nodes"] == 3


def test_a_pod_on_demand_in_a_promised_place_is_found_when_it_is_reserved_and_when_it_is_stored(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.admit_gpus("demand", "1", 3, owner="dave", place=A)

    assert found(history, tmp_path) == [I1] * 2


def test_a_reservation_in_a_promised_place_is_found_though_nothing_is_stored(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.hold_gpus("demand", "1", 3, owner="dave", place=A)
    history.wait(40)
    history.let_go("t-1")

    assert found(history, tmp_path) == [I1]


def test_a_pod_for_any_zone_in_a_promised_place_is_found(tmp_path: Path) -> None:
    history = begun(promise(2), promise(3, "b"))
    history.admit_gpus("fits", "1", 3, owner="dave", place=ANY)
    history.delete("fits")
    history.admit_gpus("too-many", "2", 4, owner="dave", place=ANY)

    assert found(history, tmp_path) == [I1] * 2


def test_a_holder_who_names_no_zone_is_not_covered(tmp_path: Path) -> None:
    history = begun(promise(4), promise(4, "b", user="bob"))
    history.admit_gpus("anywhere", "1", 1, owner="alice", place=ANY)

    assert found(history, tmp_path) == [I1] * 2


def test_what_a_holder_uses_beyond_the_promise_is_on_demand(tmp_path: Path) -> None:
    history = begun(promise(2), promise(2, user="bob"))
    history.admit_gpus("more", "1", 3, owner="alice", place=A)

    assert found(history, tmp_path) == [I1] * 2


def test_a_resize_into_a_promised_place_is_found(tmp_path: Path) -> None:
    history = begun(promise(2))
    stored = history.admit_gpus("demand", "1", 2, owner="dave", place=A)
    amounts = (("pods", "1"), ("requests.cpu", "10m"), ("requests.nvidia.com/gpu", "3"))
    history.reserve(Held("t", "demand", "1", stored, owner="dave", amounts=amounts, place=A))
    history.let_go("t", through=history.store_gpus("demand", "1", 3, owner="dave", place=A))

    assert found(history, tmp_path) == [I1] * 2


def test_room_in_one_resource_lets_no_other_through(tmp_path: Path) -> None:
    history = begun({**promise(1), "amounts": {"gpu": 1, "cpu": "995m"}})
    history.admit_gpus("demand", "1", 3, owner="dave", place=A)

    assert found(history, tmp_path) == [I1] * 2


def test_a_holder_counted_twice_is_found(tmp_path: Path) -> None:
    history = begun(promise(2), promise(2, group="ml"))
    history.admit_gpus("both", "1", 2, owner="alice", place=A, groups=("ml",))
    history.admit_gpus("demand", "2", 1, owner="dave", place=A)

    assert found(history, tmp_path) == [I1] * 2


def test_two_holders_who_ask_for_one_name_do_not_both_use_what_was_promised_to_them(tmp_path: Path) -> None:
    history = begun(promise(2), promise(2, user="bob"))
    history.hold_gpus("shared", "1", 2, owner="alice", place=A)
    history.hold_gpus("shared", "2", 2, owner="bob", place=A)
    history.hold_gpus("demand", "3", 1, owner="dave", place=A)
    history.wait(40)
    history.let_go("t-1", "t-2", "t-3")

    assert found(history, tmp_path) == [I1]


def test_a_name_counts_for_one_of_those_who_ask_for_it_and_not_for_all(tmp_path: Path) -> None:
    history = begun(promise(1), promise(1, user="bob"))
    history.hold_gpus("shared", "1", 2, owner="alice", place=A)
    history.hold_gpus("shared", "2", 2, owner="bob", place=A)
    history.hold_gpus("demand", "3", 1, owner="dave", place=A)
    history.wait(40)
    history.let_go("t-1", "t-2", "t-3")

    assert found(history, tmp_path) == []


def test_a_group_holds_what_its_members_get(tmp_path: Path) -> None:
    history = begun(promise(2, group="ml"))
    history.admit_gpus("demand", "1", 2, owner="dave", place=A)
    history.node("fast-1", A, gpus=2)
    history.wait(20)
    history.admit_gpus("member", "2", 2, owner="alice", place=A, groups=("ml",))
    history.admit_gpus("nobody", "3", 1, owner="alice", place=A)

    assert found(history, tmp_path) == [I1] * 2


def test_a_name_for_which_one_holder_asks_twice_counts_once(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.hold_gpus("same", "1", 2, owner="alice", place=A)
    history.hold_gpus("same", "2", 2, owner="alice", place=A)
    history.hold_gpus("demand", "3", 2, owner="dave", place=A)
    history.wait(40)
    history.let_go("t-1", "t-2", "t-3")

    assert found(history, tmp_path) == []


def test_a_holder_is_let_in_where_nodes_have_gone_and_others_are_not(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.admit_gpus("demand", "1", 2, owner="dave", place=A)
    history.node("fast-1", A, gpus=4, takes_pods=False)
    history.wait(20)
    history.admit_gpus("promised", "2", 2, owner="alice", place=A)

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert judged.counts[f"{ABOVE}a change of nodes"] == 1  # the other zone has room for the class
    assert judged.counts[f"{ABOVE}what was let in before"] == 0


def test_a_pod_on_demand_on_nodes_that_have_gone_is_found(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.node("fast-1", A, gpus=4, takes_pods=False)
    history.wait(20)
    history.admit_gpus("demand", "1", 1, owner="dave", place=A)

    assert found(history, tmp_path) == [I1] * 2


def test_a_replica_may_not_know_yet_that_a_node_has_gone(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.node("fast-1", A, gpus=4, takes_pods=False)
    history.wait(1)
    history.admit_gpus("demand", "1", 1, owner="dave", place=A)

    assert found(history, tmp_path) == []


# What begins and ends


def test_what_is_not_used_is_free_once_the_promise_has_ended(tmp_path: Path) -> None:
    history = begun(promise(2, until=moment(30)))
    history.wait(15)
    history.admit_gpus("demand", "1", 4, owner="dave", place=A)

    assert found(history, tmp_path) == []


def test_a_pod_in_the_place_of_a_promise_that_has_not_ended_is_found(tmp_path: Path) -> None:
    history = begun(promise(2, until=moment(30)))
    history.wait(7)
    history.admit_gpus("demand", "1", 4, owner="dave", place=A)

    assert found(history, tmp_path) == [I1] * 2


def test_a_pod_let_in_after_the_end_of_its_promise_as_if_it_were_covered_is_found(tmp_path: Path) -> None:
    history = begun(promise(2, until=moment(30)))
    history.admit_gpus("demand", "1", 2, owner="dave", place=A)
    history.node("fast-1", A, gpus=2)
    history.wait(20)
    history.admit_gpus("late", "2", 1, owner="alice", place=A)

    assert found(history, tmp_path) == [I1] * 2


def test_what_was_decided_just_before_the_end_may_be_written_just_after_it(tmp_path: Path) -> None:
    history = begun(promise(2, until=moment(30)))
    history.admit_gpus("demand", "1", 2, owner="dave", place=A)
    history.node("fast-1", A, gpus=2)
    history.wait(30 - history.at + 1)
    history.admit_gpus("in-time", "2", 2, owner="alice", place=A)

    assert found(history, tmp_path) == []


def test_what_is_set_aside_for_later_covers_nobody_before(tmp_path: Path) -> None:
    history = begun(promise(4, state="guaranteed", **{"from": moment(50)}))
    history.admit_gpus("early", "1", 1, owner="alice", place=A)

    assert found(history, tmp_path) == [I1] * 2


@pytest.mark.parametrize("state", ["planned", "pending", "superseded", "expired"])
def test_what_is_not_in_force_takes_nobodys_place(tmp_path: Path, state: str) -> None:
    history = begun(promise(4, state=state), promise(1))
    history.admit_gpus("demand", "1", 3, owner="dave", place=A)

    assert found(history, tmp_path) == []


# Edits, I10


def test_a_move_that_makes_room_is_found_where_it_is_accepted(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.admit_gpus("uses", "1", 2, owner="alice", place=A)
    history.admit_gpus("demand", "2", 2, owner="dave", place=A)
    history.wait(10)
    history.edit(policy({"c-1": promise(2, user="bob")}))

    assert found(history, tmp_path) == [I10]


def test_a_pod_that_is_let_in_where_a_move_seems_to_make_room_is_found(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.admit_gpus("uses", "1", 2, owner="alice", place=A)
    history.edit(policy({"c-1": promise(2, user="bob")}))
    history.wait(10)
    history.admit_gpus("demand", "2", 1, owner="dave", place=A)

    assert found(history, tmp_path) == [I1] * 2


def test_a_move_is_right_where_nothing_is_used_or_the_new_holder_uses_it_already(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.admit_gpus("uses", "1", 4, owner="bob", place=B)
    history.edit(policy({"c-1": promise(2, user="carol")}))
    history.edit(policy({"c-1": promise(2, user="carol"), "c-2": promise(4, "b", user="bob")}))

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert judged.counts["edits compared with nodes"] == 2


def test_a_move_that_is_forced_explains_that_more_is_taken_than_there_is(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.admit_gpus("uses", "1", 2, owner="alice", place=A)
    history.admit_gpus("demand", "2", 2, owner="dave", place=A)
    history.wait(10)
    history.edit(policy({"c-1": promise(2, user="bob")}), is_forced=True)

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert judged.counts[EDITS + FORCED] == 1
    assert judged.counts[f"{ABOVE}an edit {FORCED}"] == 1  # the other zone has room for the class


def test_so_does_one_that_no_replica_has_judged(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.edit(policy({"c-1": promise(5)}), is_unjudged=True)

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert judged.counts[EDITS + UNJUDGED] == 1


def test_more_than_nodes_have_is_found_at_a_later_time(tmp_path: Path) -> None:
    history = begun(promise(2))
    later = promise(3, user="bob", **{"from": moment(400)})
    history.edit(policy({"c-1": promise(2, until=moment(300)), "c-2": later}))
    history.edit(policy({"c-1": promise(2, until=moment(500)), "c-2": later}))

    judged = findings(history, tmp_path)

    assert [each.invariant for each in judged.violations] == [I10] * 2
    assert judged.violations[0].version < judged.violations[1].version


def test_an_edit_that_adds_nothing_is_right_where_more_is_taken_than_there_is(tmp_path: Path) -> None:
    history = begun(promise(4))
    history.node("fast-1", A, gpus=2)
    history.wait(20)
    history.edit(policy({"c-1": promise(3)}))
    history.edit(policy({"c-1": promise(3, user="bob")}))

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert judged.counts["edits compared with nodes"] == 2


def test_what_ends_before_another_one_is_confirmed_is_right(tmp_path: Path) -> None:
    history = begun(promise(2, until=moment(300)))
    history.edit(policy({"c-1": promise(2, until=moment(300)), "c-2": promise(2, user="bob")}))

    assert found(history, tmp_path) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"state": "superseded"}, {"state": "confirmed"}),
        ({"state": "confirmed"}, {"state": "pending"}),
        ({"until": moment(10)}, {"until": moment(500)}),
        ({"zone": "a"}, {"zone": "b"}),
    ],
)
def test_a_change_that_no_commitment_may_make_is_found_where_it_is_accepted(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any]
) -> None:
    history = begun({**promise(1), **before})
    history.edit(policy({"c-1": {**promise(1), **after}}))

    assert found(history, tmp_path) == [I10]


FULL = "more would be promised than nodes have: fast in a: gpu 5 used or promised"
ILLEGAL = "commitments.c-1 at policy.yaml:1:1: it was confirmed, which pending cannot follow: make another one"


def test_an_edit_that_is_refused_with_a_reason_is_right(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.edit(policy({"c-1": promise(5)}), message=FULL)
    history.edit(policy({"c-1": promise(2, state="pending")}), message=ILLEGAL)
    history.wait(5)
    history.swap()

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert judged.counts["edits compared with nodes"] == 2


def test_an_edit_that_makes_a_name_count_for_two_may_be_refused(tmp_path: Path) -> None:
    """A name is asked for in a zone and in any; it counts once before, and for alice and beside her after."""
    history = begun(promise(1, user="bob"), gpus=1)
    history.hold_gpus("shared", "1", 1, owner="alice", place=B)
    history.hold_gpus("shared", "2", 1, owner="erin", place=ANY)
    history.edit(policy({"c-1": promise(1, user="bob"), "c-2": promise(1, "b")}), message=FULL)
    history.wait(40)
    history.let_go("t-1", "t-2")

    assert found(history, tmp_path) == []


@pytest.mark.parametrize(("is_stored", "expected"), [(False, []), (True, [I10])])
def test_an_edit_may_be_refused_that_covers_only_what_is_in_flight(
    tmp_path: Path, is_stored: bool, expected: list[Invariant]
) -> None:
    history = begun(promise(4, user="bob"))
    history.node("fast-1", A, gpus=2)
    history.wait(20)
    if is_stored:
        history.store_gpus("demand", "1", 1, owner="alice", place=B)
    else:
        history.hold_gpus("demand", "1", 1, owner="alice", place=B)
    history.node("fast-2", B, gpus=0)
    history.wait(20)
    history.edit(policy({"c-1": promise(4, user="bob"), "c-2": promise(1, "b")}), message=FULL)
    history.wait(40)
    history.swap()

    assert [each for each in found(history, tmp_path) if each == I10] == expected


@pytest.mark.parametrize("message", [FULL, ILLEGAL])
def test_an_edit_that_is_refused_without_a_reason_is_found(tmp_path: Path, message: str) -> None:
    history = begun(promise(2))
    history.edit(policy({"c-1": promise(3)}), message=message)
    history.wait(5)
    history.swap()

    assert found(history, tmp_path) == [I10]


# The rest


def test_a_pod_that_is_held_for_another_zone_than_it_is_stored_for_is_found(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.hold_gpus("demand", "1", 1, owner="dave", place=B)
    history.let_go("t-1", through=history.store_gpus("demand", "1", 1, owner="dave", place=A))

    assert I2 in found(history, tmp_path)


def test_a_refusal_because_of_what_is_promised_to_others_is_right(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.admit_gpus("demand", "1", 2, owner="dave", place=A)
    refused(history, refusal(used=2))

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert judged.delays[0.0] == 1


def test_a_refusal_may_count_a_name_once_for_each_holder_who_asks_for_it(tmp_path: Path) -> None:
    history = begun(promise(1), promise(1, user="bob"))
    history.hold_gpus("shared", "1", 2, owner="alice", place=A)
    history.hold_gpus("shared", "2", 2, owner="bob", place=A)
    refused(history, refusal(used=0, reserved=2))
    history.wait(40)
    history.let_go("t-1", "t-2")

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert judged.counts[CONTENDED] == 1


def test_a_refusal_of_what_was_promised_to_who_asks_is_found(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.admit_gpus("demand", "1", 2, owner="dave", place=A)
    refused(history, refusal(used=2), user="alice")

    assert found(history, tmp_path) == [I6]


def test_a_refusal_where_there_is_room_is_found(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.admit_gpus("demand", "1", 1, owner="dave", place=A)
    refused(history, refusal(used=1))

    assert found(history, tmp_path) == [I6]


@pytest.mark.parametrize(("verb", "expected"), [("resize", []), ("create", [I6])])
def test_who_changes_a_pod_may_have_meant_one_that_was_elsewhere(
    tmp_path: Path, verb: str, expected: list[Invariant]
) -> None:
    history = begun(promise(2))
    history.admit_gpus("demand", "1", 2, owner="dave", place=A)
    refused(history, refusal(used=2), place="", verb=verb, name="demand", gpus="3")

    assert found(history, tmp_path) == expected


def test_a_refusal_by_what_nodes_never_had_is_found(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.admit_gpus("demand", "1", 2, owner="dave", place=A)
    refused(history, refusal(used=2, has=3))

    assert found(history, tmp_path) == [I6]


def test_a_refusal_of_more_than_was_asked_for_is_found(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.admit_gpus("demand", "1", 2, owner="dave", place=A)
    refused(history, refusal(used=2, requested=2))

    assert found(history, tmp_path) == [I6]


def test_a_refusal_in_the_whole_class_is_compared_with_the_whole_class(tmp_path: Path) -> None:
    history = begun(promise(2), promise(2, "b"))
    history.admit_gpus("demand", "1", 4, owner="dave", place=ANY)
    refused(history, refusal(used=4, has=8, zone=""), place="fast")

    assert found(history, tmp_path) == []


@pytest.mark.parametrize(("used", "expected"), [(2, []), (1, [I5])])
def test_a_pool_is_counted_right_at_rest(tmp_path: Path, used: int, expected: list[Invariant]) -> None:
    history = begun(promise(2))
    history.admit_gpus("demand", "1", 2, owner="dave", place=A)
    message = refusal(used=used, requested=1000)
    history.request(PROBE, "probe", status=403, message=message, user="dave", place="fast/a")

    assert found(history, tmp_path) == expected


def test_the_holder_that_comes_first_covers_a_pod(tmp_path: Path) -> None:
    """The user before the namespace, the group and the tenant."""
    everybody = [promise(1, namespace=NAMESPACE), promise(1, group="ml"), promise(1, tenant="north")]
    history = History()
    entries = {f"c-{number}": each for number, each in enumerate([promise(1), *everybody])}
    history.policy(policy(entries, tenants={"north": NAMESPACE}))
    history.node("fast-1", A, gpus=4)
    history.swap()
    history.wait(10)
    history.admit_gpus("first", "1", 1, owner="alice", place=A, groups=("ml",))
    history.admit_gpus("second", "2", 1, owner="dave", place=A)  # the namespace covers it
    history.admit_gpus("third", "3", 1, owner="dave", place=A)  # the namespace covers no more, and only that counts

    assert found(history, tmp_path) == [I1] * 2
