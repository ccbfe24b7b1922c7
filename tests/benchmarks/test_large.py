"""Reviews of the largest objects at a real replica; `python -m benchmarks.large` posts a thousand of them."""

from __future__ import annotations

import pytest

from benchmarks import large


@pytest.mark.slow
def test_two_objects_of_three_mebibytes_in_each_review_are_decided_in_time_and_in_bounded_memory() -> None:
    """Row 68."""
    found = large.main(reviews=30, at_once=1)

    assert found.decided == 30, found  # a replica answers 503 when it is late
    assert found.growth < 64, found
