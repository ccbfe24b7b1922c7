"""
The ledger is deleted, damaged, or overwritten by another client: no limit is exceeded, and the ledger is begun anew.

All tests share one loss, because it takes 40 seconds; each checks one property of it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest

from localcluster.controlplane import ControlPlane
from tests.cluster.running import NAMESPACE
from tests.replicas import Replicas
from tests.replicated.asking import statuses
from tests.replicated.conftest import limited
from tests.replicated.loss import KEPT, LIMIT, REOPENS_WITHIN, SOON, Lost, play


@pytest.fixture(scope="module")
def lost(cluster: ControlPlane, three: Replicas) -> Iterator[Lost]:
    three.wait_until_ready()
    place = "test-ledger-loss"
    cluster.create_namespace(place)
    lost = Lost("person-loss")
    three.set_policy(limited(lost.person, pods=LIMIT))
    try:
        asyncio.run(play(lost, three, place))
        yield lost
    finally:
        cluster.kubectl("delete", "resourcequota", "no-more", "-n", NAMESPACE, "--ignore-not-found")
        cluster.kubectl("delete", "deployments,replicasets,pods", "--all", "-n", place, "--grace-period=0", "--force")
        cluster.kubectl("delete", "namespace", place, "--wait=false")


def test_without_its_ledger_no_pod_is_allowed_and_none_is_refused(lost: Lost) -> None:
    """Row 28. A denial would claim that nothing fits, which no replica knows."""
    after = [each for each in lost.load if each.asked > lost.deleted_at]
    assert set(statuses(after)) == {500}, {each.message for each in after if each.status != 500}
    assert all("failed calling webhook" in each.message for each in after)


def test_an_undecided_request_gets_the_reason(lost: Lost) -> None:
    """The API server passes on our message for at least some requests: others timed out."""
    turned_away = [each.message for each in lost.load if each.status == 500]
    assert any("the ledger was lost and is being rebuilt" in each for each in turned_away), set(turned_away)


def test_no_replica_breaks_over_it(lost: Lost, three: Replicas) -> None:
    assert [three.is_running(i) for i in range(three.count)] == [True] * 3
    assert ["internal error" in three.log(i) for i in range(three.count)] == [False] * 3


def test_before_the_loss_every_request_was_decided(lost: Lost) -> None:
    assert set(statuses(each for each in lost.load if each.came < lost.deleted_at)) == {201, 403}


def test_other_kinds_and_deletions_go_on_without_the_ledger(lost: Lost) -> None:
    assert {kind: answer.status for kind, answer in lost.others.items()} == {
        "ConfigMap": 201,
        "Deployment": 201,
        "deletion": 200,
    }


def test_a_dry_run_gets_no_verdict_either(lost: Lost) -> None:
    assert lost.dry_run is not None
    assert lost.dry_run.status == 500


def test_a_quota_that_prevents_the_ledger_is_named(lost: Lost) -> None:
    """The first replica that was called reports why the ledger could not be created."""
    assert all(each.startswith("ok\n") for each in lost.readiness_under_quota), lost.readiness_under_quota
    assert all(
        re.search("^ledger: .*exceeded quota: no-more", each, re.MULTILINE) for each in lost.readiness_under_quota
    ), lost.readiness_under_quota


def test_it_is_begun_anew_once_the_quota_is_lifted(lost: Lost) -> None:
    assert lost.before is not None
    assert lost.begun_anew is not None
    assert not lost.begun_anew.ledger.is_open
    assert lost.begun_anew.ledger.epoch != lost.before.ledger.epoch


def test_while_it_is_rebuilt_every_replica_says_so_and_stays_in_service(lost: Lost) -> None:
    reasons = [each.splitlines() for each in lost.readiness_while_rebuilt]
    assert all(lines[0] == "ok" for lines in reasons), lost.readiness_while_rebuilt
    assert all(lines[1].startswith("ledger: the ledger was lost and is being rebuilt") for lines in reasons)


def test_the_loss_is_reported_in_an_event(lost: Lost) -> None:
    assert re.search(r"LedgerLost +userquota-ledger +the ledger is begun anew: it was deleted", lost.events)


def test_one_loss_is_counted_once_by_each_replica_however_often_it_tries(lost: Lost) -> None:
    counted = [after - before for before, after in zip(lost.losses_before, lost.losses, strict=True)]
    assert sum(counted) >= 1
    assert max(counted) <= 1, f"one loss, and replicas count {counted}"


def test_whatever_is_put_in_its_place_it_is_begun_anew_at_once(lost: Lost) -> None:
    """Row 29, and 31 as far as the ledger goes."""
    assert {what: found.ledger.is_open for what, (_, found) in lost.damages.items()} == dict.fromkeys(
        lost.damages, False
    )
    epochs = [found.ledger.epoch for _, found in lost.damages.values()]
    assert len(set(epochs)) == len(epochs) == 5
    assert max(seconds for seconds, _ in lost.damages.values()) < SOON


def test_it_opens_again_when_nothing_can_be_in_flight_any_more(lost: Lost) -> None:
    assert 34 < lost.opened_after < REOPENS_WITHIN


def test_once_it_is_open_no_replica_says_otherwise(lost: Lost) -> None:
    assert lost.readiness_when_open == ["ok\n"] * 3


def test_afterwards_everything_that_exists_is_counted(lost: Lost) -> None:
    """One of the pods that existed before was deleted in the meantime."""
    stored = KEPT + sum(each.status == 201 for each in lost.load) - 1
    assert statuses(lost.afterwards) == {201: LIMIT - stored, 403: stored}
