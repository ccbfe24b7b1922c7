"""The measurements that run as programs of their own still run with the product as it is."""

from __future__ import annotations

import pytest

from benchmarks import inprocess


@pytest.mark.slow
def test_an_index_is_built_and_follows_events() -> None:
    measured = inprocess.index(1000, 10)

    assert (measured["pods"], measured["users"]) == (1000, 10)
    assert all(each > 0 for each in (measured["list_cpu_s"], measured["rss_mb"], *measured["event_us"]))


def test_decisions_are_measured_beside_each_number_of_pods() -> None:
    measured = inprocess.decisions([100, 200])["decision_us"]

    assert measured.keys() == {"100", "200"}
    assert all(each > 0 for times in measured.values() for each in times)


def test_decisions_are_measured_on_each_kind() -> None:
    measured = inprocess.kinds(50, 2)

    assert next(iter(measured["decision_us"])) == "pods"
    assert {len(times) for times in measured["decision_us"].values()} == {2}
    assert measured["body_bytes"].keys() == measured["decision_us"].keys()


def test_memory_is_measured_with_the_objects_of_each_kind() -> None:
    measured = inprocess.memory((600, 30, 20), 10)

    assert measured["objects"] == [600, 30, 20]
    assert measured["rss_mb"] > 0
