"""Commitments that another system keeps."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from webhook.quota.commitment_sync import RETENTION, sync
from webhook.quota.commitments import Commitment, Pool, State
from webhook.quota.quantity import NANOS
from webhook.quota.subject import tenant
from webhook.quota.transfer_offer import TransferOffer, digest_of

NOW = datetime(2026, 12, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ONE = Commitment("c-1", tenant("research"), Pool("h100", "a"), {"gpu": 8 * NANOS}, ends=NOW + DAY, place="kept:4")
TWO = replace(ONE, name="c-2", place="source:7")


def test_what_is_listed_is_taken_over_and_a_second_time_changes_nothing() -> None:
    larger = replace(ONE, amounts={"gpu": 9 * NANOS}, place="source:4")
    found = sync({"c-1": ONE}, {"c-1": larger, "c-2": TWO}, NOW)
    assert found.commitments == {"c-1": replace(larger, place=""), "c-2": replace(TWO, place="")}
    assert (found.created, found.changed, found.missing, found.dropped, found.left_out) == (
        ("c-2",),
        ("c-1",),
        (),
        (),
        {},
    )
    again = sync(found.commitments, {"c-1": larger, "c-2": TWO}, NOW)
    assert (again.commitments, again.created, again.changed) == (found.commitments, (), ())


@pytest.mark.parametrize("listed", [{}, {"c-2": TWO}], ids=["nothing", "a part"])
def test_a_source_that_is_short_releases_nothing(listed: dict[str, Commitment]) -> None:
    found = sync({"c-1": ONE}, listed, NOW)
    assert found.commitments["c-1"] is ONE
    assert found.missing == ("c-1",)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (replace(ONE, pool=Pool("h100", "b")), "it is of h100 in a, not of h100 in b: class and zone stay as they are"),
        (replace(ONE, state=State.PENDING), "it is confirmed here, which pending cannot follow"),
    ],
)
def test_what_cannot_be_taken_over_is_left_out_and_the_rest_is_not(bad: Commitment, why: str) -> None:
    found = sync({"c-1": ONE}, {"c-1": bad, "c-2": TWO}, NOW)
    assert found.commitments["c-1"] is ONE
    assert (found.left_out, found.created, found.missing) == ({"c-1": why}, ("c-2",), ())


OFFER = TransferOffer(digest_of("4f1c"))


def test_what_is_offered_here_stays_so_while_the_same_is_promised_to_the_same() -> None:
    known = {"c-1": replace(ONE, offer=OFFER)}
    same = sync(known, {"c-1": replace(ONE, place="source:4")}, NOW)
    assert (same.commitments, same.changed) == (known, ())
    longer = sync(known, {"c-1": replace(ONE, ends=NOW + 2 * DAY)}, NOW)
    assert longer.commitments["c-1"].offer is OFFER
    for other in (replace(ONE, holder=tenant("ads")), replace(ONE, amounts={"gpu": NANOS})):
        assert sync(known, {"c-1": other}, NOW).commitments["c-1"].offer is None
    theirs = TransferOffer(digest_of("theirs"))
    assert sync(known, {"c-1": replace(ONE, offer=theirs)}, NOW).commitments["c-1"].offer is theirs


def test_what_was_refused_otherwise_stays_as_it_is() -> None:
    larger = replace(ONE, amounts={"gpu": 9 * NANOS})
    found = sync({"c-1": ONE}, {"c-1": larger, "c-2": TWO}, NOW, held_back={"c-1", "c-2"})
    assert (found.commitments, found.created, found.changed, found.missing) == ({"c-1": ONE}, (), (), ())


def test_what_is_over_changes_what_is_known_and_makes_nothing() -> None:
    over = replace(ONE, state=State.SUPERSEDED)
    assert sync({"c-1": ONE}, {"c-1": over}, NOW).commitments["c-1"].state is State.SUPERSEDED
    assert sync({}, {"c-1": over, "c-2": replace(TWO, ends=NOW)}, NOW).commitments == {}


def test_a_record_of_what_is_over_goes_after_a_month() -> None:
    over = replace(ONE, ends=NOW - RETENTION)
    known = {"c-1": over, "c-2": replace(TWO, ends=NOW - RETENTION + DAY)}
    found = sync(known, {"c-3": replace(over, name="c-3")}, NOW)
    assert (list(found.commitments), found.dropped, found.missing) == (["c-2"], ("c-1",), ())
    assert sync(known, {}, NOW).commitments == known  # a list with nothing in it is no list
    assert list(sync({"c-1": over}, {"c-1": over}, NOW).commitments) == ["c-1"]
