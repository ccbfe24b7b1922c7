"""Planted faults where the ledger orders the edits of what is promised, and beside each what is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nemesis.edits_check import EDITS, STORED, UNJUDGED
from nemesis.findings import Findings, Invariant
from nemesis.judge import judge
from nemesis.ledger_text import Place
from nemesis.marks_check import LEFT, MARKED, UNMARKED
from nemesis.pools_check import ABOVE, BY_CLOCK, BY_EDIT, BY_LOSS, BY_NODES, LET_IN
from nemesis.records import POLICY
from tests.nemesis.histories import Held, History, held_claim
from tests.nemesis.promised import ANY, A, B, begun, moment, policy, promise, refusal, refused

I1, I2, I5, I6, I10, I11 = (
    Invariant.NO_OVER_ADMISSION,
    Invariant.DOMINANCE,
    Invariant.CONVERGENCE,
    Invariant.NO_FALSE_DENIAL,
    Invariant.PROMISES,
    Invariant.ORDER,
)

MORE = policy({"c-1": promise(3)})
"""One GPU more than histories begin with."""


def findings(history: History, folder: Path) -> Findings:
    return judge(history.write_to(folder))


def found(history: History, folder: Path) -> list[Invariant]:
    return [each.invariant for each in findings(history, folder).violations]


def held_gpus(token: str, name: str, uid: str, number: int) -> Held:
    """A reservation of a pod on demand."""
    amounts = (("pods", "1"), ("requests.cpu", "10m"), ("requests.nvidia.com/gpu", str(number)))
    return Held(token, name, uid, owner="dave", amounts=amounts, place=A)


def end(history: History, *tokens: str) -> None:
    """Let go what was never stored."""
    history.wait(40)
    history.let_go(*tokens)


# What is let in, I1: by the policies of the ledger's order


def test_a_pod_let_in_by_a_policy_that_is_older_than_the_one_of_the_ledger_is_found(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.edit_in_order(MORE)
    history.hold_gpus("demand", "1", 2, owner="dave", place=A)
    end(history, "t-1")

    assert found(history, tmp_path) == [I1]


def test_a_pod_let_in_by_the_policy_of_the_ledger_is_right(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.edit_in_order(MORE)
    history.hold_gpus("demand", "1", 1, owner="dave", place=A)
    end(history, "t-1")

    assert found(history, tmp_path) == []


def test_without_an_order_the_policy_of_seconds_ago_excuses_it(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.edit(MORE)
    history.hold_gpus("demand", "1", 2, owner="dave", place=A)
    end(history, "t-1")

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert judged.counts[ABOVE + LET_IN] == 1


@pytest.mark.parametrize("how", [{"is_unjudged": True}, {"is_forced": True}], ids=["unjudged", "forced"])
def test_an_edit_without_a_mark_that_was_forced_or_not_judged_excuses_it_for_seconds(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    history = begun(promise(2), is_ordered=True)
    history.edit(MORE, **how)
    history.hold_gpus("demand", "1", 2, owner="dave", place=A)
    end(history, "t-1")

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert judged.counts[ABOVE + BY_EDIT] == 1


def test_it_excuses_it_no_longer_than_that(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.edit(MORE, is_forced=True)
    history.wait(10)
    history.hold_gpus("demand", "1", 2, owner="dave", place=A)
    end(history, "t-1")

    assert found(history, tmp_path) == [I1]


def test_an_edit_that_was_forced_with_a_mark_is_in_the_order(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.edit_in_order(MORE, is_forced=True)
    history.hold_gpus("demand", "1", 2, owner="dave", place=A)
    end(history, "t-1")

    assert found(history, tmp_path) == [I1]


@pytest.mark.parametrize("is_seen_lost", [True, False])
def test_a_new_epoch_begins_a_new_order(tmp_path: Path, is_seen_lost: bool) -> None:
    history = begun(promise(2), is_ordered=True)
    history.edit_in_order(MORE)
    if is_seen_lost:
        history.lose_ledger()
    history.wait(1)
    history.begin_anew("second-1")
    history.wait(40)
    history.promised_at = 1
    history.swap()
    history.hold_gpus("demand", "1", 1, owner="dave", place=A)
    end(history, "t-1")

    assert found(history, tmp_path) == []


# What is let in, I1: by the time of the ledger's order


def ended_and_full(at: float = 31) -> History:
    """A promise of 2 GPUs ends after 30 seconds, 2 are used on demand, and there are no more; at a time."""
    history = begun(promise(2, until=moment(30)), is_ordered=True)
    history.admit_gpus("demand", "1", 2, owner="dave", place=A)
    history.node("fast-1", A, gpus=2)
    history.wait(at - history.at)
    return history


def test_a_pod_let_in_as_if_a_promise_had_not_ended_is_found(tmp_path: Path) -> None:
    history = ended_and_full()
    history.promised_at = 30_000_000
    history.hold_gpus("late", "2", 2, owner="alice", place=A)
    end(history, "t-2")

    assert found(history, tmp_path) == [I1]


def test_a_pod_let_in_before_the_ledger_says_that_a_promise_has_ended_is_right(tmp_path: Path) -> None:
    history = ended_and_full()
    history.promised_at = 29_999_999
    history.hold_gpus("in-time", "2", 2, owner="alice", place=A)
    history.promised_at = 30_000_000
    history.swap()
    end(history, "t-2")

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert judged.counts[ABOVE + BY_CLOCK] == 1


def test_a_pod_let_in_before_a_promise_ends_beside_one_that_fits_in_any_case_is_right(tmp_path: Path) -> None:
    history = ended_and_full(29.5)
    history.hold_gpus("elsewhere", "2", 1, owner="dave", place=B)
    history.wait(0.5)
    history.hold_gpus("in-time", "3", 2, owner="alice", place=A)
    end(history, "t-2", "t-3")

    assert found(history, tmp_path) == []


def test_a_time_of_the_ledger_that_has_not_come_holds_nevertheless(tmp_path: Path) -> None:
    history = ended_and_full(27)
    history.promised_at = 30_000_000
    history.hold_gpus("early", "2", 2, owner="alice", place=A)
    end(history, "t-2")

    assert found(history, tmp_path) == [I1, I11]


def ended(*, gpus: int = 2) -> History:
    """A promise of 2 GPUs has ended in the second before."""
    history = begun(promise(2, until=moment(30)), gpus=gpus, is_ordered=True)
    history.wait(30 - history.at + 0.5)
    return history


def test_a_place_given_away_after_the_end_of_its_promise_and_used_as_before_the_end_is_found(tmp_path: Path) -> None:
    history = ended()
    history.hold_gpus("demand", "1", 2, owner="dave", place=A)
    history.hold_gpus("promised", "2", 2, owner="alice", place=A)
    end(history, "t-1", "t-2")

    assert found(history, tmp_path) == [I1]


def test_without_an_order_the_clocks_of_replicas_excuse_it(tmp_path: Path) -> None:
    history = begun(promise(2, until=moment(30)), gpus=2)
    history.wait(30 - history.at + 0.5)
    history.hold_gpus("demand", "1", 2, owner="dave", place=A)
    history.hold_gpus("promised", "2", 2, owner="alice", place=A)
    end(history, "t-1", "t-2")

    assert found(history, tmp_path) == []


def test_one_that_is_used_before_the_end_and_not_given_away_after_it_is_right(tmp_path: Path) -> None:
    history = ended(gpus=4)
    history.hold_gpus("promised", "1", 2, owner="alice", place=A)
    history.hold_gpus("demand", "2", 2, owner="dave", place=A)
    end(history, "t-1", "t-2")

    assert found(history, tmp_path) == []


# Sums above what nodes have


def test_a_pod_let_in_by_nodes_that_have_just_gone_has_a_reason(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.node("fast-1", A, gpus=4, takes_pods=False)
    history.wait(1)
    history.admit_gpus("demand", "1", 1, owner="dave", place=A)

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert judged.counts[ABOVE + BY_NODES] == 1


def test_a_sum_that_rises_by_what_was_never_let_in_is_found(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.edit_in_order(policy({"c-1": promise(1)}))  # more than one policy: the pod by itself is not judged
    history.hold_gpus("demand", "1", 1, owner="dave", place=A)
    version = history.store_gpus("demand", "1", 4, owner="dave", place=A)
    history.let_go("t-1", through=version)

    assert found(history, tmp_path) == [I1, I2]


def test_without_an_order_it_is_counted(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.edit(policy({"c-1": promise(1)}))
    history.hold_gpus("demand", "1", 1, owner="dave", place=A)
    version = history.store_gpus("demand", "1", 4, owner="dave", place=A)
    history.let_go("t-1", through=version)

    judged = findings(history, tmp_path)

    assert [each.invariant for each in judged.violations] == [I2]
    assert judged.counts[ABOVE + LET_IN] == 1


def test_what_was_let_in_before_the_ledger_was_lost_may_be_stored_above_what_nodes_have(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.hold_gpus("demand", "1", 2, owner="dave", place=A)
    history.node("fast-1", A, gpus=2)
    history.lose_ledger()
    history.store_gpus("demand", "1", 2, owner="dave", place=A)
    history.begin_anew("second-1")
    history.wait(40)
    history.settled_through = history.version
    history.swap()

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert judged.counts[ABOVE + BY_LOSS] == 1


# Refusals, I6


def test_a_refusal_by_a_policy_that_is_older_than_the_one_of_the_ledger_is_found(tmp_path: Path) -> None:
    history = begun(promise(4), is_ordered=True)
    history.edit_in_order(policy({"c-1": promise(1)}))
    refused(history, refusal(used=0))

    assert found(history, tmp_path) == [I6]


def test_one_that_was_asked_for_before_is_right(tmp_path: Path) -> None:
    history = begun(promise(4), is_ordered=True)
    asked = history.at
    history.edit_in_order(policy({"c-1": promise(1)}))
    refused(history, refusal(used=0), seconds=history.at - asked + 0.2)

    assert found(history, tmp_path) == []


def test_a_refusal_as_if_a_promise_had_not_ended_is_found(tmp_path: Path) -> None:
    history = begun(promise(4, until=moment(30)), is_ordered=True)
    history.wait(30 - history.at)
    history.promised_at = 30_000_000
    history.swap()
    refused(history, refusal(used=0), seconds=0.05)

    assert found(history, tmp_path) == [I6]


@pytest.mark.parametrize(("promised_at", "seconds"), [(29_999_999, 0.05), (30_000_000, 0.25)])
def test_one_that_was_decided_before_the_ledger_said_that_it_had_ended_is_right(
    tmp_path: Path, promised_at: int, seconds: float
) -> None:
    history = begun(promise(4, until=moment(30)), is_ordered=True)
    history.wait(30 - history.at)
    history.promised_at = promised_at
    history.swap()
    refused(history, refusal(used=0), seconds=seconds)

    assert found(history, tmp_path) == []


# Edits, I10


def test_an_edit_that_does_not_fit_beside_what_is_in_flight_at_its_mark_is_found(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.hold_gpus("demand", "1", 2, owner="dave", place=A)
    history.edit_in_order(MORE)
    end(history, "t-1")

    assert found(history, tmp_path) == [I10]


def test_without_a_mark_what_was_known_before_excuses_it(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.hold_gpus("demand", "1", 2, owner="dave", place=A)
    history.edit(MORE)
    end(history, "t-1")

    assert found(history, tmp_path) == []


def test_an_edit_that_fits_since_something_was_let_go_after_its_mark_is_right(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.admit_gpus("demand", "1", 2, owner="dave", place=A)
    history.mark()
    history.delete("demand")
    history.edit(MORE, seconds=0.3)
    history.unmark()

    assert found(history, tmp_path) == []


def test_an_edit_may_be_judged_by_nodes_as_they_were_before_its_mark(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.node("fast-1", A, gpus=2)
    history.edit_in_order(MORE)

    assert found(history, tmp_path) == []


def test_but_not_as_they_were_long_before(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.node("fast-1", A, gpus=2)
    history.wait(10)
    history.edit_in_order(MORE)

    assert found(history, tmp_path) == [I10]


@pytest.mark.parametrize(("waits", "expected"), [(3, []), (0.5, [I10])])
def test_an_edit_that_waits_is_judged_by_the_time_that_it_has_waited_until(
    tmp_path: Path, waits: float, expected: list[Invariant]
) -> None:
    history = begun(promise(3, user="bob", until=moment(30)), is_ordered=True)
    history.wait(28 - history.at)
    history.mark()
    history.wait(waits)
    history.edit(policy({"c-1": promise(3, user="bob", until=moment(30)), "c-2": promise(3)}), seconds=waits + 0.3)
    history.unmark()

    assert found(history, tmp_path) == expected


# The marks, I11


def test_an_edit_with_a_mark_is_right(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.edit_in_order(MORE)

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert (judged.counts[EDITS + STORED], judged.counts[MARKED], judged.counts[LEFT]) == (1, 1, 0)
    assert judged.marks == [pytest.approx(0.2)]


def test_an_edit_without_a_mark_is_found(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.edit(MORE)

    assert found(history, tmp_path) == [I11]


@pytest.mark.parametrize(
    "after",
    [
        {"c-1": promise(2), "c-2": promise(2, user="bob", state="planned")},
        {"another": promise(1), "one": promise(1)},
        {"c-1": promise(2), "c-2": promise(2, until=moment(1))},
        {"c-1": promise(2, **{"from": moment(1)})},
        {"c-1": promise(2), "c-2": promise(0, user="bob")},
    ],
    ids=["planned", "split", "ended long ago", "begun long ago", "nothing"],
)
def test_an_edit_that_changes_nothing_of_what_is_promised_needs_no_mark(
    tmp_path: Path, after: dict[str, dict[str, object]]
) -> None:
    history = begun(promise(2), is_ordered=True)
    history.edit(policy(after))

    assert found(history, tmp_path) == []


@pytest.mark.parametrize(
    "after",
    [promise(1), promise(2, "b"), promise(2, user="bob"), promise(2, until=moment(400))],
    ids=["less", "another zone", "another holder", "an end"],
)
def test_an_edit_that_changes_any_of_it_does(tmp_path: Path, after: dict[str, object]) -> None:
    history = begun(promise(2), is_ordered=True)
    history.edit(policy({"c-2": after}))

    assert found(history, tmp_path) == [I11]


def test_one_that_was_forced_without_a_mark_is_counted(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.edit(MORE, is_forced=True)

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert judged.counts[UNMARKED] == 1


def test_an_edit_that_was_stored_unjudged_needs_no_mark_and_one_of_its_base_may_go(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.mark()
    history.edit(MORE, is_unjudged=True)
    history.unmark(is_in_force=False)
    history.edit(policy({"c-1": promise(2)}), is_unjudged=True)

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert (judged.counts[MARKED], judged.counts[UNMARKED]) == (0, 0)


def test_an_edit_that_no_record_explains_is_left_alone(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.edit(policy({"c-1": promise(1)}), message="no")
    history.policy(MORE)

    assert found(history, tmp_path) == []


@pytest.mark.parametrize(("is_unjudged", "expected"), [(False, [I11]), (True, [])])
def test_an_edit_whose_client_got_no_answer_is_known_by_its_text(
    tmp_path: Path, is_unjudged: bool, expected: list[Invariant]
) -> None:
    history = begun(promise(2), is_ordered=True)
    history.edit(MORE, is_answered=False, is_unjudged=is_unjudged)

    assert found(history, tmp_path) == expected


@pytest.mark.parametrize("is_of_another_version", [False, True])
def test_a_mark_that_is_gone_before_its_edit_is_stored_or_is_of_another_version_is_found(
    tmp_path: Path, is_of_another_version: bool
) -> None:
    history = begun(promise(2), is_ordered=True)
    history.hold_gpus("demand", "1", 2, owner="dave", place=A)  # the edit was right before: only its mark is wrong
    history.mark(base=1 if is_of_another_version else 0)
    if not is_of_another_version:
        history.unmark(is_in_force=False)
        history.wait(1)
    history.edit(MORE)
    if is_of_another_version:
        history.unmark()
    end(history, "t-1")

    assert found(history, tmp_path) == [I11]


@pytest.mark.parametrize("is_forced", [False, True])
def test_a_mark_taken_out_of_an_edit_in_force_without_its_version_is_found(tmp_path: Path, is_forced: bool) -> None:
    history = begun(promise(2), is_ordered=True)
    history.edit_in_order(policy({"c-1": promise(1)}))
    history.mark()
    history.edit(MORE, is_forced=is_forced)
    history.unmark(is_in_force=False)

    assert found(history, tmp_path) == [I11]


def test_a_mark_of_an_edit_that_was_refused_may_go(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.mark()
    history.unmark(is_in_force=False)

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert judged.counts[LEFT] == 1


def test_one_of_two_marks_of_an_edit_may_go(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.mark("m-1")
    history.mark("m-2")
    history.edit(MORE)
    history.unmark("m-1", is_in_force=False)
    history.unmark("m-2")

    assert found(history, tmp_path) == []


def test_the_mark_of_an_edit_that_changes_only_limits_may_go(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.mark()
    history.edit(policy({"c-1": promise(2)}), is_forced=True)
    history.unmark(is_in_force=False)

    assert found(history, tmp_path) == []


def test_a_pod_let_in_beside_a_mark_is_found(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.mark()
    history.hold_gpus("demand", "1", 1, owner="dave", place=A)
    history.unmark(is_in_force=False)
    end(history, "t-1")

    assert found(history, tmp_path) == [I11]


def test_one_beside_two_marks_is_told_once(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.mark("m-1")
    history.mark("m-2")
    history.hold_gpus("demand", "1", 1, owner="dave", place=A)
    history.unmark("m-1", is_in_force=False)
    history.unmark("m-2", is_in_force=False)
    end(history, "t-1")

    assert found(history, tmp_path) == [I11]


def test_so_is_one_between_an_edit_and_the_write_that_says_it_is_in_force(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.mark()
    history.edit(MORE)
    history.hold_gpus("demand", "1", 1, owner="dave", place=A)
    history.unmark()
    end(history, "t-1")

    assert found(history, tmp_path) == [I11]


@pytest.mark.parametrize(
    "held",
    [
        Held("t-1", "plain", "1", owner="dave"),
        Held("t-1", "other", "1", owner="dave", place=A._replace(node_class="slow")),
        Held("t-1", "cpu", "1", owner="dave", place=A),
        held_claim("t-1", "claim", "1", "1Mi"),
    ],
    ids=["no class", "another class", "another resource", "no pod"],
)
def test_what_counts_nowhere_where_something_is_promised_may_be_let_in_beside_a_mark(
    tmp_path: Path, held: Held
) -> None:
    history = begun(promise(2), is_ordered=True)
    history.mark()
    history.reserve(held)
    history.unmark(is_in_force=False)
    end(history, "t-1")

    assert found(history, tmp_path) == []


def test_nothing_is_promised_by_what_is_not_in_force(tmp_path: Path) -> None:
    history = begun(promise(2, state="pending"), promise(2, until=moment(1)), is_ordered=True)
    history.mark()
    history.hold_gpus("demand", "1", 1, owner="dave", place=A)
    history.unmark(is_in_force=False)
    end(history, "t-1")

    assert found(history, tmp_path) == []


def test_a_pod_where_only_the_policy_before_an_edit_promised_something_is_found_beside_its_mark(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.mark()
    history.edit(policy({}))
    history.hold_gpus("demand", "1", 1, owner="dave", place=A)
    history.unmark()
    end(history, "t-1")

    assert found(history, tmp_path) == [I11]


def test_a_pod_let_in_beside_the_mark_of_a_version_that_never_was_is_found(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.mark(base=1)
    history.hold_gpus("demand", "1", 1, owner="dave", place=A)
    history.unmark(is_in_force=False)
    end(history, "t-1")

    assert found(history, tmp_path) == [I11]


@pytest.mark.parametrize("place", [A, B, ANY])
def test_a_pod_where_only_the_edit_promises_something_is_found_beside_its_mark(tmp_path: Path, place: Place) -> None:
    history = begun(is_ordered=True)
    history.mark()
    history.reserve(held_gpus("t-1", "demand", "1", 1)._replace(place=place))
    history.edit(MORE, seconds=0.3)
    history.unmark()
    end(history, "t-1")

    assert found(history, tmp_path) == [I11]


def test_a_pod_may_come_with_the_mark_and_with_the_write_that_takes_it_out(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.held.append(held_gpus("t-1", "with", "1", 1))
    history.mark()
    history.edit(policy({"c-1": promise(1)}))
    history.held.append(held_gpus("t-2", "after", "2", 2))
    history.unmark()
    end(history, "t-1", "t-2")

    assert found(history, tmp_path) == []


@pytest.mark.parametrize("what", ["policy_version", "promised_at"])
def test_an_order_that_goes_back_is_found(tmp_path: Path, what: str) -> None:
    history = begun(promise(2), is_ordered=True)
    history.promised_at = 2_000_000
    history.edit_in_order(MORE)
    setattr(history, what, 1 if what == "promised_at" else 0)
    history.swap()

    assert found(history, tmp_path) == [I11]


def test_a_version_of_the_ledger_that_no_policy_has_is_found(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.policy_version = history.version
    history.swap()

    assert found(history, tmp_path) == [I11]


@pytest.mark.parametrize(("ahead", "expected"), [(0.3, []), (1.0, [I11])])
def test_a_time_of_the_ledger_that_has_not_come_is_found(
    tmp_path: Path, ahead: float, expected: list[Invariant]
) -> None:
    history = begun(promise(2), is_ordered=True)
    history.promised_at = int((history.at + 0.1 + ahead) * 1e6)
    history.swap()
    history.swap()

    assert found(history, tmp_path) == expected


@pytest.mark.parametrize(("mark", "expected"), [((1, 0), [I11]), ((0, 7), [])])
def test_a_mark_that_becomes_one_of_another_version_is_found_and_one_that_waits_is_right(
    tmp_path: Path, mark: tuple[int, int], expected: list[Invariant]
) -> None:
    history = begun(promise(2), is_ordered=True)
    history.mark()
    further, waited = mark
    history.edits["m"] = (POLICY, "ledger-uid", history.stored_policy + further, True, waited)
    history.swap()
    history.unmark(is_in_force=False)

    assert found(history, tmp_path) == expected


def test_a_mark_that_is_left_at_rest_is_found(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.mark()

    assert found(history, tmp_path) == [I5]


@pytest.mark.parametrize(("is_marked", "expected"), [(True, []), (False, [I11])])
@pytest.mark.parametrize("is_begun_anew", [False, True])
def test_an_edit_may_be_stored_after_the_ledger_with_its_mark_was_lost(
    tmp_path: Path, is_marked: bool, is_begun_anew: bool, expected: list[Invariant]
) -> None:
    history = begun(promise(2), is_ordered=True)
    if is_marked:
        history.mark()
    history.lose_ledger()
    if is_begun_anew:
        history.begin_anew("second-1")
    history.edit(MORE, seconds=0.3)
    if not is_begun_anew:
        history.begin_anew("second-1")
    history.wait(40)
    history.swap()

    assert found(history, tmp_path) == expected


def test_a_mark_that_was_lost_is_none_once_a_ledger_is_open_again(tmp_path: Path) -> None:
    history = begun(promise(2), is_ordered=True)
    history.mark()
    history.lose_ledger()
    history.wait(1)
    history.begin_anew("second-1")
    history.wait(40)
    history.swap()
    history.edit(MORE)

    assert found(history, tmp_path) == [I11]


def test_without_an_order_no_edit_needs_a_mark(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.edit(MORE)
    history.edit(policy({"c-1": promise(1)}), is_unjudged=True)

    judged = findings(history, tmp_path)

    assert judged.violations == []
    assert (judged.counts[EDITS + STORED], judged.counts[EDITS + UNJUDGED]) == (1, 1)


def test_a_text_that_no_replica_wrote_makes_no_order(tmp_path: Path) -> None:
    history = begun(promise(2))
    history.foreign_ledger(History(promised_at=1).ledger_text())
    history.begin_anew("second-1")
    history.wait(40)
    history.swap()
    history.edit(MORE)

    assert found(history, tmp_path) == []
