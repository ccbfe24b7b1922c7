"""The judges of a rehearsal find what is wrong, and use nothing of the webhook."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import rehearsal
from nemesis.accounting import UNIT, Key
from nemesis.records import ADDED, DELETED, MODIFIED, OBJECTS, PODS, Container, PodRevision, Writer
from rehearsal.audit import Write
from rehearsal.commands import Ended
from rehearsal.handing_over import CASES, Case, HandedOver
from rehearsal.handover_check import judge_handover
from rehearsal.installing import AFTER, AUDIT, BEFORE, ENFORCE, INSTALL, Installed
from rehearsal.judge import judge
from rehearsal.policy import NOBODY, Policy
from rehearsal.verdict import judge_writes, unexplained
from tests.nemesis.test_independence import imported

POLICY = Policy(
    user={"pods": "2"},
    account={"pods": "1"},
    unattributed={"pods": "1"},
    users={"bob": {"pods": "1"}},
    accounts={"ci/robot": {"pods": "unlimited"}},
    namespaces={"red": {"pods": "4"}},
)
NAMED = {"subject": "user/alice", "resource": "pods"}
OVER = (
    'admission webhook "validate.userquota.dev" denied the request: exceeded quota: defaults.user, requested: pods=1, '
    "used: pods=2, limited: pods=2, reserved: pods=0, free: pods=0 for user/alice"
)
REFUSED = Write(40.0, "alice", "create", "pods", "red", "web", 403, OVER, is_tolerated=False)


def recorded(folder: Path, *changes: tuple[str, str, str]) -> Path:
    """Record *changes*: event, name and owner, from version 1 on."""
    writers = {kind: Writer(folder / file) for kind, file in OBJECTS.items()}
    for version, (event, name, owner) in enumerate(changes, start=1):
        containers = {"main": Container({"cpu": "10m"})}
        told = PodRevision(0.0, version, event, "red", name, name, owner, (), "Pending", containers)
        writers[PODS].write(told)
    for writer in writers.values():
        writer.close()
    return folder


def test_a_write_above_a_limit_is_found_at_its_revision(tmp_path: Path) -> None:
    made = [(ADDED, name, "alice") for name in "abc"]

    found = judge(recorded(tmp_path, *made), POLICY, begin=1, end=9)

    key = Key("user/alice", "pods")
    text = f"version 3: red/c of alice takes {key} to {3 * UNIT}, and the limit is {2 * UNIT}"
    assert (found.violations, found.revisions, found.most[key]) == ([text], 3, 3 * UNIT)


def test_what_was_above_before_and_what_shrinks_is_none(tmp_path: Path) -> None:
    made = [(ADDED, name, "alice") for name in "abc"]

    found = judge(recorded(tmp_path, *made, (DELETED, "a", "alice"), (MODIFIED, "b", "alice")), POLICY, begin=4, end=9)

    assert (found.violations, found.revisions, found.under_limits) == ([], 5, 2)


def test_who_is_handed_too_much_is_above_their_limit(tmp_path: Path) -> None:
    made = [(ADDED, "a", "alice"), (ADDED, "b", "alice"), (MODIFIED, "a", "bob"), (MODIFIED, "b", "bob")]

    found = judge(recorded(tmp_path, *made), POLICY, begin=1, end=9)

    assert (len(found.violations), found.moved) == (1, 2)
    assert "version 4: red/b of bob takes pods of user/bob" in found.violations[0]


@pytest.mark.parametrize(
    ("owner", "count"),
    [("", 1), (NOBODY, 1), ("system:serviceaccount:ci:other", 1), ("system:serviceaccount:ci:robot", 4), ("carol", 2)],
)
def test_each_owner_has_their_own_limit_and_all_that_of_the_namespace(owner: str, count: int, tmp_path: Path) -> None:
    made = [(ADDED, f"p{number}", owner) for number in range(count)]

    assert judge(recorded(tmp_path, *made), POLICY, begin=1, end=9).violations == []
    assert len(judge(recorded(tmp_path, *made, (ADDED, "more", owner)), POLICY, begin=1, end=9).violations) == 1


def installed(*over: dict[str, str]) -> Installed:
    look = Ended(0, {"overLimits": list(over), "withoutOwner": [{"namespace": "red", "kind": "Deployment"}]})
    began = {BEFORE: 0.0, INSTALL: 10.0, AUDIT: 20.0, ENFORCE: 30.0, AFTER: 50.0}
    return Installed(POLICY, began=began, finished=60.0, looks={INSTALL: look})


def test_only_what_preflight_named_may_be_refused_and_only_when_it_is_enforced() -> None:
    verdict = judge_writes(installed(NAMED), [REFUSED])
    assert (verdict.violations, verdict.refused) == ([], {"pods of user/alice": 1})

    assert len(judge_writes(installed(), [REFUSED]).violations) == 1
    assert len(judge_writes(installed(NAMED), [replace(REFUSED, at=25.0)]).violations) == 1
    assert len(judge_writes(installed(NAMED), [replace(REFUSED, code=500, message="no answer")]).violations) == 1
    assert judge_writes(installed(), [replace(REFUSED, at=5.0), replace(REFUSED, at=61.0)]).violations == []


def test_what_was_made_for_a_deleted_object_may_be_refused() -> None:
    controller = "system:serviceaccount:kube-system:replicaset-controller"
    message = "ReplicaSet web, which this was made for, does not exist"
    refused = replace(REFUSED, user=controller, message=message)
    deleted = replace(REFUSED, at=39.0, verb="delete", kind="replicasets", code=200, message="")

    assert len(judge_writes(installed(), [refused]).violations) == 1
    assert judge_writes(installed(), [refused, deleted]).violations == []
    assert len(judge_writes(installed(), [refused, replace(deleted, at=42.0)]).violations) == 1
    assert len(judge_writes(installed(), [replace(refused, user="alice"), deleted]).violations) == 1


def test_few_writes_may_be_without_a_decision_in_time() -> None:
    late = replace(REFUSED, code=500, message='failed calling webhook "x": the time for an answer was over')
    done = [replace(REFUSED, code=201, message="")] * 999

    assert judge_writes(installed(), [late, *done]).violations == []
    assert len(judge_writes(installed(), [late, *done[1:]]).violations) == 1


def test_objects_without_the_right_stamp_may_be_refused_while_userquota_is_installed_and_later_a_few() -> None:
    message = "the request does not carry the userquota.dev annotations of who pays: alice pays (created it)"
    unstamped = replace(REFUSED, code=409, message=message, at=15.0)
    done = [replace(REFUSED, code=201, message="")] * 999

    assert judge_writes(installed(), [unstamped] * 2).in_flight == 2
    assert judge_writes(installed(), [unstamped] * 2).violations == []
    assert len(judge_writes(installed(), [replace(unstamped, at=25.0), *done]).overtaken) == 1
    assert judge_writes(installed(), [replace(unstamped, at=25.0), *done]).violations == []
    assert len(judge_writes(installed(), [replace(unstamped, at=25.0), *done[1:]]).violations) == 1


def test_scaling_what_nobody_owns_is_announced_by_the_list_of_such_workloads() -> None:
    scale = replace(REFUSED, verb="patch", kind="deployments/scale", message="nobody; take it over first: kubectl")

    assert judge_writes(installed(), [scale]).violations == []
    assert len(judge_writes(installed(), [replace(scale, namespace="blue")]).violations) == 1
    assert len(judge_writes(installed(), [replace(scale, verb="create")]).violations) == 1


def test_what_has_no_owner_is_explained_by_what_is_older() -> None:
    old = {"kind": "ReplicaSet", "metadata": {"uid": "old", "name": "web", "namespace": "red"}}
    reference = {"uid": "old", "controller": True}
    made = {"uid": "new", "name": "web-1", "namespace": "red", "ownerReferences": [reference]}
    pod = {"kind": "Pod", "metadata": made}
    alone = {"kind": "Pod", "metadata": {"uid": "alone", "name": "alone", "namespace": "red"}}
    record = installed()
    record.older, record.left = frozenset({"old"}), [old, pod, alone]
    record.objects = {"old": old, "new": pod, "alone": alone}
    record.unstamped = {"new", "alone"}

    assert unexplained(record) == ["Pod red/alone has no owner, and is not older"]
    record.unstamped = set()
    assert unexplained(record)[1:] == ["`get --drift` does not list 2 objects without a stamp"]


FITS, TAKEN = CASES[:2]


def handed_over(case: Case, code: int, owner: str, state: str) -> HandedOver:
    meta = {"uid": "u", "name": "web", "annotations": {"userquota.dev/owner": owner}}
    items = [{"uid": "u", "name": "web", "state": state}]
    return HandedOver(case, Ended(code, {"items": items}), [{"kind": "Pod", "metadata": meta}], 0)


def test_all_has_to_move_or_to_be_back_as_the_command_says() -> None:
    def wrong(done: HandedOver, first: str) -> int:
        return len(judge_handover(done, {"u": first}).violations)

    assert wrong(handed_over(FITS, 0, FITS.heir, "moved"), FITS.leaver) == 0
    assert wrong(handed_over(FITS, 1, FITS.heir, "moved"), FITS.leaver) == 1
    assert wrong(handed_over(FITS, 0, FITS.leaver, "gone"), FITS.leaver) == 1
    assert wrong(handed_over(FITS, 0, FITS.heir, "handed back"), FITS.leaver) == 1
    assert wrong(handed_over(TAKEN, 1, TAKEN.leaver, "handed back"), TAKEN.leaver) == 0
    assert wrong(handed_over(TAKEN, 1, TAKEN.heir, "stays"), TAKEN.leaver) == 1
    assert wrong(handed_over(TAKEN, 0, TAKEN.leaver, "handed back"), TAKEN.leaver) == 1
    assert wrong(handed_over(TAKEN, 0, TAKEN.heir, "moved"), TAKEN.leaver) == 0
    assert wrong(handed_over(TAKEN, 2, TAKEN.heir, "moved"), TAKEN.leaver) == 1


def test_what_was_made_for_the_heir_meanwhile_is_told_apart() -> None:
    found = judge_handover(handed_over(TAKEN, 1, TAKEN.heir, "gone"), {"u": TAKEN.heir})

    assert (found.violations, found.made_meanwhile) == ([], 1)


def test_nothing_of_the_webhook_is_used() -> None:
    packages = {name.split(".")[0] for path in Path(rehearsal.__file__).parent.glob("*.py") for name in imported(path)}

    assert "nemesis" in packages
    assert "webhook" not in packages
