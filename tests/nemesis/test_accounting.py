"""What pods cost and whom limits bind, by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from nemesis.accounting import UNIT, Excess, Key, Limits, as_told, cost, excesses, needs, payer_of, quantity, subjects
from nemesis.ledger_text import Payer
from nemesis.records import Container, PodRevision, SessionRevision
from tests.nemesis.histories import refusal

POLICY = """
version: 1
defaults: {user: {hard: {pods: 4, cpu: 200m}}}
users: {bob: {hard: {pods: 9}}}
groups: {ml: {pool: {hard: {pods: 6}}}}
cluster: {hard: {cpu: "1.5"}}
"""


def pod(*containers: Container, phase: str = "Running") -> PodRevision:
    named = {f"c{number}": container for number, container in enumerate(containers)}
    return PodRevision(0.0, 1, "ADDED", "n", "p", "u", "alice", ("ml",), phase, named)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", UNIT), ("250m", UNIT // 4), ("1.5", UNIT * 3 // 2), ("0.5m", UNIT // 2000), ("2k", 2000 * UNIT)],
)
def test_quantities_are_exact(text: str, expected: int) -> None:
    assert Fraction(quantity(text)) == expected


def test_an_unknown_quantity_is_an_error_and_not_nothing() -> None:
    with pytest.raises(ValueError, match="1Ti"):
        quantity("1Ti")


def test_a_pod_costs_what_its_containers_ask_for_together() -> None:
    assert cost(pod(Container({"cpu": "10m"}), Container({"cpu": "5m"}))) == {
        "pods": UNIT,
        "requests.cpu": 15 * UNIT // 1000,
    }


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_costs_nothing(phase: str) -> None:
    assert cost(pod(Container({"cpu": "10m"}), phase=phase)) == {}


def test_a_container_costs_the_largest_of_what_it_asks_for_and_has() -> None:
    shrunk = Container({"cpu": "10m"}, allocated={"cpu": "30m"}, actual={"cpu": "20m"})

    assert cost(pod(shrunk))["requests.cpu"] == quantity("30m")


def session(*, is_running: bool) -> SessionRevision:
    return SessionRevision(0.0, 1, "ADDED", "n", "desk", "u", "alice", (), "10m", is_running)


def test_a_session_costs_its_place_while_it_runs_and_nothing_of_what_its_pod_needs() -> None:
    assert cost(session(is_running=True)) == {"sessions": UNIT}
    assert needs(session(is_running=True)) == {"pods": UNIT, "requests.cpu": UNIT // 100}
    assert cost(session(is_running=False)) == needs(session(is_running=False)) == {}


def test_a_payers_pods_count_for_the_user_the_groups_and_the_cluster() -> None:
    assert subjects(Payer("alice", ("ml", "staff"))) == ("user/alice", "group/ml", "group/staff", "cluster")


@pytest.mark.parametrize(
    ("subject", "resource", "expected"),
    [
        ("user/alice", "pods", 4 * UNIT),
        ("user/bob", "pods", 9 * UNIT),
        ("user/bob", "requests.cpu", UNIT // 5),
        ("group/ml", "pods", 6 * UNIT),
        ("group/ml", "requests.cpu", None),
        ("group/staff", "pods", None),
        ("cluster", "requests.cpu", UNIT * 3 // 2),
    ],
)
def test_limits_are_those_of_the_policy(subject: str, resource: str, expected: int | None) -> None:
    assert Limits(POLICY).hard(Key(subject, resource)) == expected


@pytest.mark.parametrize(
    ("amount", "resource", "told"),
    [
        ("220m", "requests.cpu", "220m"),
        ("999999m", "requests.cpu", "999999m"),
        ("1000001m", "requests.cpu", "1001"),
        ("999999", "requests.storage", "999999"),
        ("85983239", "gold.storageclass.storage.k8s.io/requests.storage", "83969Ki"),
        ("1048576001", "requests.storage", "1001Mi"),
        ("2+3/7", "gpu", "2+3/7"),
    ],
)
def test_what_refusals_say_is_used_has_six_digits_and_is_rounded_up(amount: str, resource: str, told: str) -> None:
    assert as_told(quantity(amount), resource) == quantity(told)


def test_a_refusal_tells_every_limit_it_names() -> None:
    message = refusal(used=1, reserved=1) + "; " + refusal(used=5, limited=5, subject="cluster")

    assert excesses(message) == [
        Excess(Key("user/alice", "pods"), UNIT, UNIT, UNIT, 2 * UNIT),
        Excess(Key("cluster", "pods"), UNIT, 5 * UNIT, 0, 5 * UNIT),
    ]


def test_another_refusal_names_none() -> None:
    assert excesses('pods "a" is forbidden: User "x" cannot create resource "pods"') == []


def test_a_payer_has_the_groups_that_policies_of_this_workload_limit() -> None:
    pod = PodRevision(0.0, 1, "ADDED", "nemesis-a", "a", "uid-a", "bob", ("ml", "people"), "Pending", {})

    assert payer_of(pod) == Payer("bob", ("ml",))
