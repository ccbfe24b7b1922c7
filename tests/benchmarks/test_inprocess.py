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
