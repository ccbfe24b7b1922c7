"""Grants: what is right, and planted faults, each of which the judge has to find."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemesis import records
from nemesis.denials_check import ALLOWED, GRANTED
from nemesis.findings import Findings, Invariant
from nemesis.grants_check import BACK, EXPIRED, RENEWED, STORED, TAKEN, WRITES
from nemesis.judge import judge
from nemesis.ledger_text import Place
from nemesis.records import CLAIMS, DEVICE_CLAIMS, PODS, SESSIONS
from tests.nemesis.histories import (
    PODS_OF_ALICE,
    THREE_PODS,
    TWO_PODS,
    Granted,
    Held,
    History,
    begun,
    granted,
    held_claim,
    refusal,
)

I1, I2, I3 = Invariant.NO_OVER_ADMISSION, Invariant.DOMINANCE, Invariant.NOTHING_LET_GO
I4, I5, I6 = Invariant.BOUNDED_LEAK, Invariant.CONVERGENCE, Invariant.NO_FALSE_DENIAL

TEN = "version: 1\ndefaults: {user: {hard: {pods: 10}}}\n"


def judged(history: History, folder: Path) -> Findings:
    return judge(history.write_to(folder))


def found(history: History, folder: Path) -> list[Invariant]:
    return [each.invariant for each in judged(history, folder).violations]


def under_a_grant(number: int = 1, policy: str = TEN) -> History:
    """A replica was granted a number of alice's pods."""
    history = begun(policy)
    history.grant(granted("g", number))
    return history


# What is right


def test_pods_under_a_grant_need_no_reservation(tmp_path: Path) -> None:
    history = under_a_grant(2)
    history.store("a", "1")
    history.grant(granted("g2", 2), through=history.store("b", "2"))
    history.store("c", "3")
    history.give_back(through=history.store("d", "4"))

    findings = judged(history, tmp_path)

    assert findings.violations == []
    assert findings.counts[STORED.format(PODS)] == 4
    names = (WRITES, TAKEN, RENEWED, BACK, EXPIRED)
    assert [findings.counts[each] for each in names] == [2, 1, 1, 1, 0]


def test_what_is_in_flight_when_a_grant_is_given_back_is_written_down(tmp_path: Path) -> None:
    history = under_a_grant(3)
    seen = history.store("a", "1")
    history.store("b", "2")
    history.recalls = {"r": [PODS_OF_ALICE]}
    history.writer = "r2"
    history.swap()
    history.give_back("r1", Held("t2", "b", "2"), Held("t3", "c", "3"), through=seen)
    history.recalls = {}
    history.let_go("t2", "t3", through=history.store("c", "3"))

    assert found(history, tmp_path) == []


def test_what_was_deleted_needs_no_mark(tmp_path: Path) -> None:
    history = under_a_grant()
    history.store("a", "1")
    history.delete("a")
    history.give_back()

    assert found(history, tmp_path) == []


def test_the_grant_of_one_who_is_gone_is_taken_out_after_a_while(tmp_path: Path) -> None:
    history = under_a_grant(2)
    history.wait(30)
    history.store("a", "1")
    newest = history.store("b", "2")
    history.wait(20)
    history.take_out(through=newest)

    findings = judged(history, tmp_path)

    assert findings.violations == []
    assert findings.expired_grants == pytest.approx([50.3])


def test_what_was_granted_when_the_ledger_was_lost_may_be_stored_until_it_is_open(tmp_path: Path) -> None:
    history = under_a_grant(2)
    history.store("a", "1")
    history.lose_ledger()
    history.begin_anew("2")
    history.settled_through = history.store("b", "2")
    history.wait(50)
    history.swap()

    assert found(history, tmp_path) == []


def test_all_kinds_but_sessions_may_be_granted(tmp_path: Path) -> None:
    history = begun(f"version: 1\ndefaults: {{user: {{hard: {{{CLAIMS}: 9, gpu: 9, storage: 1Gi}}}}}}\n")
    keys = {("user/alice", CLAIMS): "1", ("user/alice", "gpu"): "2", ("user/alice", "requests.storage"): "10Mi"}
    history.grant(Granted("g", "r1", keys))
    history.settled[CLAIMS] = history.store_claim("a", "1", "10Mi")
    history.settled[DEVICE_CLAIMS] = history.store_devices("b", "2", 2)
    history.give_back()

    findings = judged(history, tmp_path)

    assert findings.violations == []
    assert (findings.counts[STORED.format(CLAIMS)], findings.counts[STORED.format(DEVICE_CLAIMS)]) == (1, 1)


def test_a_growth_of_what_was_allowed_under_a_grant_is_reserved(tmp_path: Path) -> None:
    history = under_a_grant()
    stored = history.store("a", "1", cpu="10m")
    history.reserve(Held("t", "a", "1", base=stored, cpu="20m"))
    grown = history.store("a", "1", cpu="20m")
    history.held.clear()
    history.give_back(through=grown)

    assert found(history, tmp_path) == []


def test_a_create_that_another_replica_was_asked_again_is_reserved_beside_the_grant(tmp_path: Path) -> None:
    history = under_a_grant()
    history.writer = "r2"
    history.reserve(Held("t", "a", "1"))
    stored = history.store("a", "1")
    history.let_go("t", through=stored)
    history.give_back(through=history.store("a", "1", phase="Running"))

    assert found(history, tmp_path) == []


def test_who_pays_for_what_nobody_limits_needs_a_grant_of_anything(tmp_path: Path) -> None:
    history = under_a_grant(policy="version: 1\nusers: {alice: {hard: {pods: 9}}}\n")
    stored = history.store("a", "1", owner="bob")
    history.give_back(through=stored)
    assert found(history, tmp_path) == []

    history.wait(45)
    history.store("b", "2", owner="bob")
    assert found(history, tmp_path) == [I2]


def test_a_limit_that_is_new_binds_only_what_is_decided_by_it(tmp_path: Path) -> None:
    history = under_a_grant(policy="version: 1\nusers: {alice: {hard: {pods: 9}}}\n")
    history.policy(TEN)
    history.wait(30)
    history.give_back(through=history.store("a", "1", owner="bob"))
    assert found(history, tmp_path) == []

    history.wait(40)
    history.grant(granted("g3"))
    history.give_back(through=history.store("b", "2", owner="bob"))
    assert found(history, tmp_path) == [I2]


# I2: everything that is stored and neither held nor seen fits into what is granted


def test_a_pod_beyond_the_room_is_found(tmp_path: Path) -> None:
    history = under_a_grant(2)
    for number in (1, 2, 3):
        stored = history.store(f"pod-{number}", str(number))
    history.give_back(through=stored)

    assert found(history, tmp_path) == [I2]


def test_grants_count_together_and_each_limit_by_itself(tmp_path: Path) -> None:
    history = begun("version: 1\ndefaults: {user: {hard: {pods: 10, cpu: 1}}}\n")
    cpu = ("user/alice", "requests.cpu")
    history.grant(Granted("g1", "r1", {PODS_OF_ALICE: "1", cpu: "10m"}))
    history.grant(Granted("g2", "r2", {PODS_OF_ALICE: "2", cpu: "20m"}))
    history.store("a", "1", cpu="15m")
    history.store("b", "2", cpu="15m")
    history.grant(Granted("g3", "r1", {PODS_OF_ALICE: "1", cpu: "10m"}))
    last = history.store("c", "3", cpu="5m")
    history.give_back("r1", through=last)
    history.give_back("r2")

    assert found(history, tmp_path) == [I2]


def test_a_grant_that_goes_while_something_may_be_stored_is_found(tmp_path: Path) -> None:
    history = under_a_grant()
    history.give_back()
    history.store("a", "1")

    assert found(history, tmp_path) == [I2]


def test_a_grant_that_goes_before_everybody_has_seen_a_pod_of_it_is_found(tmp_path: Path) -> None:
    history = under_a_grant(2)
    history.store("a", "1")
    history.store("b", "2")
    history.give_back()

    findings = judged(history, tmp_path)

    assert [each.invariant for each in findings.violations] == [I2]
    assert "pods of user/alice: 2 neither held nor seen, 0 granted" in findings.violations[0].told


def test_a_grant_that_is_written_anew_without_what_is_in_flight_is_found(tmp_path: Path) -> None:
    history = under_a_grant(3)
    seen = history.store("a", "1")
    history.store("b", "2")
    last = history.store("c", "3")
    history.grant(granted("g2", 1), through=seen)
    history.give_back(through=last)

    assert found(history, tmp_path) == [I2]


def test_a_recall_that_leaves_out_what_is_in_flight_is_found(tmp_path: Path) -> None:
    history = under_a_grant(2)
    history.give_back("r1", Held("t1", "a", "1"))
    history.store("a", "1")
    history.let_go("t1", through=history.store("b", "2"))

    assert I2 in found(history, tmp_path)


@pytest.mark.parametrize("what", ["update", "class", "session", "of a session"])
def test_what_is_always_decided_on_the_ledger_is_found_without_a_reservation(tmp_path: Path, what: str) -> None:
    history = under_a_grant(9, "version: 1\ndefaults: {user: {hard: {pods: 10, sessions: 9}}}\n")
    match what:
        case "update":
            history.grant(granted("g2", 9), through=history.store("a", "1", cpu="10m"))
            last = history.store("a", "1", cpu="20m")
        case "class":
            last = history.store("a", "1", place=Place("fast", "a"))
        case "session":
            history.settled[SESSIONS] = history.store_session("desk", "1")
            last = 0
        case _:
            last = history.store("desk-0", "1", session="desk")
    history.give_back(through=last or None)

    assert I2 in found(history, tmp_path)


def test_what_is_held_once_and_let_go_unseen_is_not_taken_for_granted(tmp_path: Path) -> None:
    history = under_a_grant(3)
    history.reserve(Held("t", "a", "1"))
    stored = history.store("a", "1")
    history.let_go("t", through=stored - 1)
    history.give_back(through=stored)

    assert I2 in found(history, tmp_path)


def test_a_pod_beyond_what_was_granted_at_the_loss_is_found(tmp_path: Path) -> None:
    history = under_a_grant(1)
    history.store("a", "1")
    history.lose_ledger()
    history.begin_anew("2")
    history.settled_through = history.store("b", "2")
    history.wait(50)
    history.swap()

    assert found(history, tmp_path) == [I2]


def test_a_ledger_that_is_begun_anew_with_a_grant_is_found(tmp_path: Path) -> None:
    history = under_a_grant()
    history.lose_ledger()
    history.begin_anew("2")
    history.grants = [granted("g2")]
    history.swap(is_open=False)
    history.give_back()

    assert I2 in found(history, tmp_path)


def test_two_grants_of_one_and_a_grant_by_another_are_found(tmp_path: Path) -> None:
    history = under_a_grant()
    history.grant(granted("g2"), granted("g3"))
    history.give_back()
    assert set(found(history, tmp_path)) == {I2}

    history = begun(TEN)
    history.writer = "r2"
    history.grants = [granted("g")]
    history.swap()
    history.give_back()
    assert found(history, tmp_path) == [I2]


def test_a_grant_that_changes_under_its_token_is_found(tmp_path: Path) -> None:
    history = under_a_grant(1)
    history.grant(granted("g", 2))
    history.give_back()

    assert found(history, tmp_path) == [I2]


# I3


def test_a_grant_of_another_that_is_taken_out_too_soon_is_found(tmp_path: Path) -> None:
    history = under_a_grant()
    history.wait(43)
    history.take_out()

    assert found(history, tmp_path) == [I3]


def test_a_grant_that_was_written_anew_since_it_was_old_is_found(tmp_path: Path) -> None:
    history = under_a_grant()
    history.wait(45)
    history.grant(granted("g2"))
    history.wait(5)
    history.take_out()

    assert found(history, tmp_path) == [I3]


def test_a_grant_that_is_taken_out_while_nobody_waits_for_what_is_stored_is_found(tmp_path: Path) -> None:
    """The room of another grant would be enough for the pod: but it is not of that."""
    history = under_a_grant()
    history.store("a", "1")
    history.wait(50)
    history.grant(granted("other", 2, holder="r3"))
    history.take_out()
    history.give_back("r3", through=history.version - 2)

    assert I3 in found(history, tmp_path)


def test_a_watermark_at_what_the_holder_cannot_have_seen_is_found(tmp_path: Path) -> None:
    history = under_a_grant()
    stored = history.store("a", "1")
    history.give_back(through=stored + 50)

    assert found(history, tmp_path) == [I3]


def test_a_watermark_at_what_was_settled_before_is_found_unless_a_grant_is_taken_out(tmp_path: Path) -> None:
    history = begun(TEN)
    history.admit("a", "1")
    history.wait(60)
    history.grant(granted("g"))
    history.wait(50)
    running = history.store("a", "1", phase="Running")
    history.take_out(through=running)
    assert found(history, tmp_path) == []

    history.grant(granted("g2"))
    history.give_back(through=history.store("a", "1", phase="Succeeded"))
    assert found(history, tmp_path) == [I3]


def test_a_ledger_that_is_opened_while_grants_may_be_unknown_to_be_lost_is_found(tmp_path: Path) -> None:
    history = under_a_grant()
    history.lose_ledger()
    history.begin_anew("2")
    history.wait(40)
    history.swap()

    assert found(history, tmp_path) == [I3]


# I4 and I5


def test_a_grant_or_recall_that_stays_is_found(tmp_path: Path) -> None:
    history = under_a_grant()
    history.wait(75)
    history.take_out()
    history.recalls = {"r": [PODS_OF_ALICE]}
    history.swap()
    history.wait(75)
    history.recalls = {}
    history.swap()
    history.life("userquota-0", 0, history.at)

    assert found(history, tmp_path) == [I4, I4]


def test_a_grant_may_stay_as_long_as_its_holder_writes_it_anew(tmp_path: Path) -> None:
    history = under_a_grant()
    for number in range(20):
        history.wait(5)
        history.grant(granted(f"g{number}"))
    history.give_back()
    history.life("userquota-0", 0, history.at)

    assert found(history, tmp_path) == []


def test_a_grant_or_recall_that_is_left_at_rest_is_found(tmp_path: Path) -> None:
    assert found(under_a_grant(), tmp_path) == [I5]

    history = begun()
    history.recalls = {"r": [PODS_OF_ALICE]}
    history.swap()
    assert found(history, tmp_path) == [I5]


# I1: a grant is taken only where it fits


def test_two_grants_above_the_limit_are_found(tmp_path: Path) -> None:
    history = begun(THREE_PODS)
    history.grant(granted("g1", 2))
    history.grant(granted("g2", 2, holder="r2"))
    history.give_back("r1")
    history.give_back("r2")

    assert found(history, tmp_path) == [I1]


def test_a_grant_counts_beside_pods_and_reservations(tmp_path: Path) -> None:
    history = begun(THREE_PODS)
    history.admit("a", "1")
    history.reserve(Held("t", "b", "2"))
    history.grant(granted("g", 1))
    history.let_go("t", through=history.store("b", "2"))
    history.give_back()
    assert found(history, tmp_path) == []

    history.admit("c", "3")
    history.grant(granted("g2", 1))
    history.give_back()
    assert found(history, tmp_path) == [I1]


def test_what_was_stored_under_a_grant_counts_once(tmp_path: Path) -> None:
    history = under_a_grant(2, THREE_PODS)
    history.store("a", "1")
    last = history.store("b", "2")
    history.grant(granted("g2", 1, holder="r2"))
    history.give_back("r1", through=last)
    assert history.grants
    history.give_back("r2")
    assert found(history, tmp_path) == []

    history.grant(granted("g3", 2, holder="r2"))
    history.give_back("r2")
    assert found(history, tmp_path) == [I1]


def test_a_grant_is_judged_by_the_limit_from_when_it_is_taken(tmp_path: Path) -> None:
    history = under_a_grant(5)
    history.policy(TWO_PODS)
    history.wait(3)
    history.grant(granted("g2", 6))
    history.give_back()
    assert found(history, tmp_path) == []

    history.wait(20)
    history.grant(granted("g3", 3))
    history.grant(granted("g4", 3))
    history.give_back()
    assert found(history, tmp_path) == [I1]


def test_what_was_allowed_before_a_limit_was_lowered_may_be_written_down_after_it(tmp_path: Path) -> None:
    """A swap takes longer than usual; but what is decided then is judged by the lower limit."""
    history = under_a_grant(3)
    history.policy(TWO_PODS)
    history.wait(8)
    history.give_back("r1", *(Held(f"t{number}", f"pod-{number}", str(number)) for number in range(3)))
    for number in range(3):
        last = history.store(f"pod-{number}", str(number))
    history.let_go("t0", "t1", "t2", through=last)
    assert found(history, tmp_path) == []

    history.reserve(Held("t", "another", "9"))
    history.wait(40)
    history.let_go("t")
    assert found(history, tmp_path) == [I1]


def test_what_a_status_has_raised_since_does_not_count_against_what_was_allowed_before(tmp_path: Path) -> None:
    history = begun(f"version: 1\ndefaults: {{user: {{hard: {{{CLAIMS}: 9, storage: 40Mi}}}}}}\n")
    stored = history.admit_claim("a", "1", "20Mi")
    history.grant(Granted("g", "r1", {("user/alice", CLAIMS): "1", ("user/alice", "requests.storage"): "10Mi"}))
    history.writer = "r2"
    history.admit_claim("a", "1", "20Mi", base=stored, allocated=str(35 * 2**20 + 7))
    history.give_back("r1", held_claim("t", "b", "2", "10Mi"))
    history.let_go("t", through=history.store_claim("b", "2", "10Mi"), kind=CLAIMS)

    assert found(history, tmp_path) == []


# I6


def later(history: History) -> History:
    """Let time pass, so that what was refused is judged."""
    history.wait(10)
    history.writer = ""
    history.swap()
    return history


def test_what_was_allowed_in_memory_and_is_stored_a_little_later_explains_a_refusal(tmp_path: Path) -> None:
    history = under_a_grant(2, TWO_PODS)
    history.store("a", "1")
    history.request("create", "c", status=403, message=refusal(used=1, reserved=1))
    history.wait(1)
    history.give_back(through=history.store("b", "2"))

    findings = judged(later(history), tmp_path)

    assert findings.violations == []
    assert (findings.counts[ALLOWED], findings.counts[GRANTED]) == (1, 0)


def test_what_was_allowed_in_memory_and_is_never_stored_explains_a_refusal(tmp_path: Path) -> None:
    history = under_a_grant(2, TWO_PODS)
    history.request("create", "c", status=403, message=refusal(used=0, reserved=2))
    history.give_back()

    findings = judged(later(history), tmp_path)

    assert findings.violations == []
    assert (findings.counts[ALLOWED], findings.counts[GRANTED]) == (0, 1)


def test_what_others_were_granted_explains_no_refusal(tmp_path: Path) -> None:
    history = begun(TWO_PODS)
    history.grant(granted("g1", 1))
    history.grant(granted("g2", 1, holder="r2"))
    history.request("create", "c", status=403, message=refusal(used=0, reserved=2))
    history.give_back("r1")
    history.give_back("r2")

    assert found(later(history), tmp_path) == [I6]


def test_a_grant_of_long_ago_and_a_pod_of_long_after_explain_no_refusal(tmp_path: Path) -> None:
    history = under_a_grant(2, TWO_PODS)
    history.give_back()
    history.wait(7)
    history.request("create", "c", status=403, message=refusal(used=0, reserved=2))
    history.wait(7)
    history.grant(granted("g2", 2))
    history.store("a", "1")
    history.give_back(through=history.store("b", "2"))

    assert found(later(history), tmp_path) == [I6]


def test_what_is_shown_of_a_ledger_has_grants_and_recalls(tmp_path: Path) -> None:
    history = under_a_grant(1)
    history.recalls = {"r": [PODS_OF_ALICE]}
    history.swap()
    history.store("a", "1")
    history.store("b", "2")
    history.recalls = {}
    history.give_back(through=history.version)

    (violation,) = judged(history, tmp_path).violations

    assert "g granted to r1: pods of user/alice=1" in violation.context
    assert "r asks back pods of user/alice" in violation.context


def test_the_writer_is_recorded(tmp_path: Path) -> None:
    history = under_a_grant()
    history.write_to(tmp_path)

    assert list(records.read(tmp_path / records.TEXTS, records.TextRevision))[-1].writer == "r1"
