"""The rows of the restart benchmark say what was measured. No time is asserted here."""

from __future__ import annotations

from benchmarks import restart


def test_a_full_cluster_is_held_against_what_was_set_and_against_an_empty_one() -> None:
    empty = [(1.0, 50.0, 60.0), (3.0, 52.0, 62.0), (2.0, 51.0, 61.0)]
    full = [(6.0, 90.0, 300.0), (4.0, 92.0, 302.0), (4.5, 91.0, 301.0)]

    rows = list(restart._rows("20 pods of 2 users", empty, full))

    assert [(row.what.partition(",")[0], row.against, row.is_met) for row in rows] == [
        ("start to ready", "set", True),
        ("start to ready", "no pods", None),
        ("memory", "set", True),
        ("memory", "no pods", None),
        ("memory at most", "set", False),
        ("memory at most", "no pods", None),
    ]
    assert [rows[1].ours.value, rows[1].other.value] == [4.5, 2.0]
    assert [rows[1].ours.low, rows[1].ours.high] == [4.0, 6.0]


def test_pods_are_owned_as_if_they_had_been_stamped() -> None:
    assert b'"userquota.dev/owner":"alice"' in restart._pod("p", "alice")
