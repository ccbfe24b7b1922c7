"""Planted faults where the ledger orders the edits of what is promised, and beside each what is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nemesis.findings import Findings, Invariant
from nemesis.judge import judge
from nemesis.pools_check import ABOVE, BY_CLOCK, BY_EDIT, BY_LOSS, BY_NODES, LET_IN
from tests.nemesis.histories import History
from tests.nemesis.promised import A, B, begun, moment, policy, promise, refusal, refused

I1, I2, I6 = Invariant.NO_OVER_ADMISSION, Invariant.DOMINANCE, Invariant.NO_FALSE_DENIAL

MORE = policy({"c-1": promise(3)})
"""One GPU more than histories begin with."""


def findings(history: History, folder: Path) -> Findings:
    return judge(history.write_to(folder))


def found(history: History, folder: Path) -> list[Invariant]:
    return [each.invariant for each in findings(history, folder).violations]


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

    assert found(history, tmp_path) == [I1]


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
