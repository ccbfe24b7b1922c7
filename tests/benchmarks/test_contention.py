"""The table of the contention benchmark says what its runs say. No time is asserted here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from benchmarks.contention import counters, page, rows, workloads
from benchmarks.contention.stage import ALLOW, NOTHING, OURS, QUOTA
from benchmarks.figures import Figure, Row

METRICS = """\
# HELP userquota_reviews_total Admission reviews answered, by path and verdict.
# TYPE userquota_reviews_total counter
userquota_reviews_total{path="/mutate",verdict="allowed"} 7.0
userquota_reviews_total{path="/validate",verdict="allowed"} 5.0
userquota_reviews_created{path="/validate"} 1.7e+09
userquota_reservations 0.0
apiserver_request_total{code="409",dry_run="",resource="a,b=\\"c\\"",verb="PUT"} 3
"""


def run(workload: str, contestant: str, **numbers: Any) -> dict[str, Any]:
    """A run as `rounds` records it: 100 creates in 2 s."""
    return {
        "round": 0,
        "workload": workload,
        "contestant": contestant,
        "settle_s": 0.1,
        "cpu_s": {"etcd": 0.2, "API servers": 1.0, "webhook": 0.5, "balancer": 0.0, "client": 0.3},
        "counted": {},
        "seconds": 2.0,
        "statuses": {"201": 100},
        "messages": [],
        "latency_ms": {"p50": 10.0, "p90": 20.0, "p99": 30.0, "max": 40.0},
        **numbers,
    }


def round_of(workload: str, ours: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [run(workload, OURS, **ours), *(run(workload, name) for name in (QUOTA, ALLOW, NOTHING))]


def row(runs: list[dict[str, Any]], workload: str, what: str, against: str) -> Row:
    found = [each for each in rows.rows(runs) if (each.id, each.what, each.against) == (workload, what, against)]
    assert len(found) == 1
    return found[0]


def told(raw_runs: list[dict[str, Any]]) -> str:
    return page.render(
        {
            "plan": {"rounds": 1, "replicas": 3, "ledger": "kubernetes", "servers": 2},
            "workloads": {each.name: each.creates for each in workloads.WORKLOADS},
            "versions": {"python": "3.11"},
            "machine": {"cpu": "one", "cpus": 2, "kernel": "6"},
            "noise": [{"longest_ms": 0.1, "gaps_above_1ms": 0, "lost_share": 0.0, "seconds": 1.0}],
            "runs": raw_runs,
        }
    )


def test_decisions_are_counted_inside_and_divided_by_the_time_outside() -> None:
    runs = round_of("hot", {"counted": {"decisions allowed": 600, "decisions denied": 100, "ledger written": 9}})

    assert row(runs, "hot", "decisions a second", "set").ours == Figure(350.0, "/s", 350.0, 350.0)


def test_a_figure_is_the_median_of_the_rounds_with_the_spread() -> None:
    runs = [each for seconds in (1.0, 4.0, 2.0) for each in round_of("spread", {"seconds": seconds})]

    found = row(runs, "spread", "creates a second", NOTHING)

    assert (found.ours, found.other) == (Figure(50.0, "/s", 25.0, 100.0), Figure(50.0, "/s", 50.0, 50.0))


@pytest.mark.parametrize(("written", "met"), [(100, True), (101, False)])
def test_writes_are_held_against_creates(written: int, met: bool) -> None:
    runs = round_of("hot", {"counted": {"ledger written": written}})

    assert row(runs, "hot", "ledger writes per create", "set").is_met is met


@pytest.mark.parametrize(
    ("rounds", "most", "fewest"),
    [((100, 100), True, True), ((100, 101), False, True), ((99, 100), True, False), ((99, 101), False, False)],
)
def test_one_round_with_another_number_than_there_are_places_is_enough_to_fail(
    rounds: tuple[int, ...], most: bool, fewest: bool
) -> None:
    runs = [each for count in rounds for each in round_of("rush", {"statuses": {"201": count, "403": 400}})]

    assert row(runs, "rush", "most created", "places").is_met is most
    assert row(runs, "rush", "fewest created", "places").is_met is fewest


def test_what_is_added_is_taken_within_each_round() -> None:
    runs = []
    for noise in (0.0, 100.0):
        runs += round_of("alone", {"latency_ms": {"p50": 14.0 + noise, "p99": 0.0}})
        runs[-1]["latency_ms"] = {"p50": 10.0 + noise, "p99": 0.0}

    found = row(runs, "alone", "added to the p50 of no webhook", "set")

    assert found.ours == Figure(4.0, "ms", 4.0, 4.0)
    assert found.is_met is True


def test_workloads_that_were_left_out_have_no_rows() -> None:
    assert {each.id for each in rows.rows(round_of("alone", {}))} == {"alone"}


def test_a_status_that_nobody_should_give_is_told_with_its_words() -> None:
    assert "UNEXPECTED" not in told(round_of("rush", {"statuses": {"201": 100, "403": 400}}))
    assert "UNEXPECTED in hot, userquota: {'500': 2}, such as ['why']." in told(
        round_of("hot", {"statuses": {"201": 98, "500": 2}, "messages": ["why"]})
    )
    assert "UNEXPECTED in hot, userquota: {'403': 1}" in told(round_of("hot", {"statuses": {"201": 99, "403": 1}}))


def test_where_the_cpu_time_went_is_told_per_create() -> None:
    line = "CPU ms per create, alone, userquota: etcd 1.33, API servers 6.67, webhook 3.33, client 2.00; 1.0 CPUs busy."

    assert line in told(round_of("alone", {}))


def test_samples_are_read_with_their_labels() -> None:
    assert list(counters.samples(METRICS, "userquota_reservations")) == [({}, 0.0)]
    assert list(counters.samples(METRICS, "userquota_reviews_total")) == [
        ({"path": "/mutate", "verdict": "allowed"}, 7.0),
        ({"path": "/validate", "verdict": "allowed"}, 5.0),
    ]
    ((labels, value),) = counters.samples(METRICS, "apiserver_request_total")
    assert (labels["code"], labels["verb"], value) == ("409", "PUT", 3.0)


def test_the_people_of_the_rush_share_one_limit_and_the_thousand_have_one_each() -> None:
    assert len({workloads.RUSH.creator(number) for number in range(500)}) == 1
    assert len({workloads.SPREAD.creator(number) for number in range(1000)}) == 1000
    assert len({workloads.HOT.creator(number) for number in range(600)}) == 1
