"""Splitting, merging, converting, moving, renewing and confirming commitments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from webhook.quota import commitment_changes as changes
from webhook.quota.commitment_changes import ChangeError
from webhook.quota.commitments import Commitment, Pool, State
from webhook.quota.periods import Period, PeriodError
from webhook.quota.quantity import NANOS
from webhook.quota.subject import tenant
from webhook.quota.transfer_offer import TransferOffer, digest_of

NOW = datetime(2026, 12, 1, tzinfo=UTC)
DAY = timedelta(days=1)
YEAR = NOW + 365 * DAY
RESEARCH, ADS = tenant("research"), tenant("ads")
H100, A100 = Pool("h100", "a"), Pool("a100", "a")
ALL = Commitment("c-1", RESEARCH, H100, {"gpu": 8 * NANOS, "requests.cpu": 64 * NANOS}, begins=NOW - DAY, ends=YEAR)
OTHER = Commitment("c-2", RESEARCH, H100, {"gpu": 2 * NANOS}, begins=NOW - 2 * DAY, ends=YEAR + DAY)
KNOWN = {"c-1": ALL, "c-2": OTHER}
TOKEN = "4f1c"  # noqa: S105 - it opens nothing
OFFER = TransferOffer(digest_of(TOKEN), NOW + DAY)
OVER = TransferOffer(digest_of(TOKEN), NOW)
OFFERED = {**KNOWN, "c-1": replace(ALL, offer=OFFER)}
WAS_OFFERED = {**KNOWN, "c-1": replace(ALL, offer=OVER)}


def gpus(number: int, **others: int) -> dict[str, int]:
    return {"gpu": number * NANOS, **{f"requests.{name}": amount * NANOS for name, amount in others.items()}}


def _until(end: datetime) -> dict[str, Commitment]:
    """Return one that ends before its offer."""
    return {"c-1": replace(ALL, ends=end, offer=TransferOffer(digest_of(TOKEN)))}


def worth(node_class: str) -> Mapping[str, int]:
    return {"h100": {"gpu": 4, "requests.cpu": 1}, "a100": {"gpu": 2, "requests.cpu": 1}}.get(node_class, {})


def test_a_part_is_taken_out_and_the_rest_stays() -> None:
    found = changes.split(KNOWN, "c-1", {"c-3": gpus(2, cpu=16), "c-4": gpus(1)}, NOW)
    assert found["c-1"] == replace(ALL, amounts=gpus(5, cpu=48))
    assert found["c-3"] == replace(ALL, name="c-3", amounts=gpus(2, cpu=16))
    assert found["c-4"] == replace(ALL, name="c-4", amounts=gpus(1))
    assert found["c-2"] is OTHER
    assert KNOWN["c-1"] is ALL


def test_a_resource_of_which_all_is_taken_is_gone_from_the_rest() -> None:
    assert changes.split(KNOWN, "c-1", {"c-3": gpus(8)}, NOW)["c-1"].amounts == {"requests.cpu": 64 * NANOS}


def test_several_become_one_that_ends_last_and_those_that_had_begun_stay_as_a_record() -> None:
    found = changes.merge(KNOWN, ["c-1", "c-2"], "c-3", NOW)
    assert found["c-3"] == Commitment("c-3", RESEARCH, H100, gpus(10, cpu=64), begins=NOW - DAY, ends=YEAR + DAY)
    assert found["c-1"] == replace(ALL, state=State.SUPERSEDED, ends=NOW)
    assert found["c-2"] == replace(OTHER, state=State.SUPERSEDED, ends=NOW)


def test_one_without_an_end_has_none_when_it_is_merged() -> None:
    known = {**KNOWN, "c-2": replace(OTHER, ends=None)}
    assert changes.merge(known, ["c-2", "c-1"], "c-3", NOW)["c-3"].ends is None


def test_what_had_not_begun_leaves_no_record() -> None:
    later = {name: replace(each, begins=NOW + DAY, state=State.GUARANTEED) for name, each in KNOWN.items()}
    assert list(changes.merge(later, ["c-1", "c-2"], "c-3", NOW)) == ["c-3"]


def test_it_moves_as_a_whole_or_in_part() -> None:
    assert changes.move(KNOWN, "c-1", ADS, NOW)["c-1"] == replace(ALL, holder=ADS)
    found = changes.move(KNOWN, "c-1", ADS, NOW, part=("c-3", gpus(3)))
    assert found["c-1"] == replace(ALL, amounts=gpus(5, cpu=64))
    assert found["c-3"] == replace(ALL, name="c-3", holder=ADS, amounts=gpus(3))


def test_it_is_offered_as_a_whole_or_in_part_and_promised_as_before() -> None:
    assert changes.offer(KNOWN, "c-1", OFFER, NOW) == OFFERED
    found = changes.offer(KNOWN, "c-1", OFFER, NOW, part=("c-3", gpus(3)))
    assert found["c-1"] == replace(ALL, amounts=gpus(5, cpu=64))
    assert found["c-3"] == replace(ALL, name="c-3", amounts=gpus(3), offer=OFFER)
    assert found["c-3"].covers(NOW)
    assert changes.offer(WAS_OFFERED, "c-1", OFFER, NOW) == OFFERED


def test_an_offer_is_withdrawn_be_it_over_or_not() -> None:
    assert changes.withdraw_offer(OFFERED, "c-1") == KNOWN
    assert changes.withdraw_offer(WAS_OFFERED, "c-1") == KNOWN


def test_whoever_has_the_token_accepts_and_the_offer_goes() -> None:
    assert changes.accept(OFFERED, TOKEN, ADS, NOW) == {**KNOWN, "c-1": replace(ALL, holder=ADS)}
    later = changes.offer(KNOWN, "c-2", replace(OFFER, token_digest=digest_of("other")), NOW)
    assert changes.accept({**later, "c-1": OFFERED["c-1"]}, "other", ADS, NOW)["c-1"].offer == OFFER


def test_an_admin_moves_what_is_offered_and_the_offer_goes() -> None:
    assert changes.move(OFFERED, "c-1", ADS, NOW)["c-1"] == replace(ALL, holder=ADS)


def test_an_offer_is_of_that_commitment_alone() -> None:
    assert changes.renew(OFFERED, "c-1", "c-3", None, NOW)["c-3"].offer is None
    assert changes.renew(OFFERED, "c-1", "c-3", None, NOW)["c-1"].offer is OFFER
    pending = {"c-1": replace(ALL, state=State.PENDING, offer=OFFER)}
    assert changes.confirm(pending, "c-1", NOW)["c-1"].offer is OFFER


def test_an_offer_that_is_over_is_in_nobodys_way_and_goes_with_the_next_change() -> None:
    split = changes.split(WAS_OFFERED, "c-1", {"c-3": gpus(1)}, NOW)
    merged = changes.merge(WAS_OFFERED, ["c-1", "c-2"], "c-3", NOW)
    converted = changes.convert(WAS_OFFERED, "c-1", A100, worth, NOW, into="c-3")
    assert {each.offer for found in (split, merged, converted) for each in found.values()} == {None}


def test_it_is_converted_by_what_both_are_worth() -> None:
    found = changes.convert(KNOWN, "c-1", A100, worth, NOW, into="c-3")
    assert found["c-3"] == replace(ALL, name="c-3", pool=A100, amounts=gpus(16, cpu=64))
    assert found["c-1"] == replace(ALL, state=State.SUPERSEDED, ends=NOW)
    found = changes.convert(KNOWN, "c-1", A100, worth, NOW, into="c-3", amounts=gpus(3))
    assert found["c-3"].amounts == gpus(6)
    assert found["c-1"] == replace(ALL, amounts=gpus(5, cpu=64))


def test_a_new_one_follows_when_it_ends() -> None:
    found = changes.renew(KNOWN, "c-1", "c-3", Period(years=1), NOW)
    assert found["c-1"] is ALL
    assert found["c-3"] == replace(
        ALL, name="c-3", state=State.GUARANTEED, begins=YEAR, ends=YEAR.replace(year=YEAR.year + 1)
    )
    assert changes.renew(KNOWN, "c-1", "c-3", None, NOW)["c-3"].ends is None


@pytest.mark.parametrize(
    ("state", "begins", "then"),
    [
        (State.PENDING, NOW - DAY, NOW),
        (State.PENDING, None, NOW),
        (State.PLANNED, NOW - DAY, NOW),
        (State.PLANNED, NOW + DAY, NOW + DAY),
        (State.GUARANTEED, NOW + DAY, NOW + DAY),
    ],
)
def test_what_waits_is_confirmed_from_now_on_or_from_its_beginning(
    state: State, begins: datetime | None, then: datetime
) -> None:
    known = {"c-1": replace(ALL, state=state, begins=begins)}
    assert changes.confirm(known, "c-1", NOW)["c-1"] == replace(ALL, begins=then)


def test_who_was_to_begin_first_is_served_first_in_each_pool() -> None:
    def pending(name: str, days: int, pool: Pool = H100, state: State = State.PENDING) -> Commitment:
        return replace(ALL, name=name, begins=NOW + days * DAY, pool=pool, state=state)

    listed = [
        pending("z", -3),
        pending("b", -2),
        pending("a", -2),
        pending("c", -9, A100),
        pending("d", -8, state=State.CONFIRMED),
        pending("e", -1, state=State.PLANNED),
        pending("f", 1, state=State.PLANNED),
    ]
    found = dict(changes.waiting({each.name: each for each in listed}, NOW))
    assert found == {A100: ["c"], H100: ["z", "a", "b", "e"]}


def test_what_ends_first_is_found_among_what_sets_something_aside() -> None:
    known = {
        **KNOWN,
        "c-3": replace(ALL, name="c-3", ends=NOW + DAY, state=State.PENDING),
        "c-4": replace(ALL, name="c-4", ends=NOW),
        "c-5": replace(ALL, name="c-5", ends=None),
        "c-6": replace(ALL, name="c-6", begins=NOW + DAY, ends=NOW + 2 * DAY, state=State.GUARANTEED),
    }
    assert changes.next_to_end(known, NOW) is known["c-6"]
    assert changes.next_to_end(KNOWN, NOW) is ALL
    assert changes.next_to_end({"c-5": known["c-5"]}, NOW) is None


def test_one_is_made_and_taken_away() -> None:
    new = replace(ALL, name="c-3")
    assert changes.create(KNOWN, new) == {**KNOWN, "c-3": new}
    assert changes.delete(KNOWN, "c-1") == {"c-2": OTHER}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda: changes.create(KNOWN, ALL), "there is a commitment c-1 already, or was one: choose another name"),
        (lambda: changes.delete(KNOWN, "c-9"), "there is no commitment c-9"),
        (lambda: changes.split(KNOWN, "c-1", {"c-3": gpus(9)}, NOW), "c-1 has 8 gpu, and 9 are to be taken out"),
        (lambda: changes.split(KNOWN, "c-1", {"c-3": gpus(5), "c-4": gpus(4)}, NOW), "c-1 has 3 gpu, and 4 are"),
        (lambda: changes.split(KNOWN, "c-1", {"c-3": gpus(1, memory=1)}, NOW), "c-1 has 0 requests.memory"),
        (lambda: changes.split(KNOWN, "c-1", {"c-3": gpus(0)}, NOW), "c-1: gpu: expected an amount above 0"),
        (lambda: changes.split(KNOWN, "c-1", {"c-3": {}}, NOW), "c-1: expected a part of it, not nothing"),
        (lambda: changes.split(KNOWN, "c-2", {"c-3": gpus(2)}, NOW), "c-2: expected a part of it, not all"),
        (lambda: changes.split(KNOWN, "c-1", {"c-2": gpus(2)}, NOW), "there is a commitment c-2 already"),
        (lambda: changes.split(KNOWN, "c-1", {"c-3": gpus(2)}, YEAR), "c-1 is expired: it is over"),
        (lambda: changes.merge(KNOWN, ["c-1", "c-1"], "c-3", NOW), "expected two commitments or more to merge"),
        (lambda: changes.merge(KNOWN, ["c-1", "c-2"], "c-2", NOW), "there is a commitment c-2 already, or was one"),
        (lambda: changes.move(KNOWN, "c-1", RESEARCH, NOW), "c-1 is of tenant/research already"),
        (lambda: changes.convert(KNOWN, "c-1", Pool("v100"), worth, NOW, into="c-3"), r"nodeClasses\.v100\.worth does"),
        (lambda: changes.convert(KNOWN, "c-1", A100, worth, NOW, into="c-2"), "there is a commitment c-2 already"),
        (lambda: changes.renew(KNOWN, "c-1", "c-2", None, NOW), "there is a commitment c-2 already"),
        (lambda: changes.confirm(KNOWN, "c-1", NOW), "c-1 is confirmed already"),
        (lambda: changes.offer(KNOWN, "c-9", OFFER, NOW), "there is no commitment c-9"),
        (lambda: changes.offer(KNOWN, "c-1", OFFER, YEAR), "an offer until 2026-12-02T00:00:00Z would be over already"),
        (lambda: changes.offer(KNOWN, "c-1", TransferOffer("d"), YEAR), "c-1 is expired: it is over"),
        (lambda: changes.offer(KNOWN, "c-1", OFFER, NOW, part=("c-3", gpus(9))), "c-1 has 8 gpu, and 9 are to be"),
        (lambda: changes.offer(OFFERED, "c-1", TransferOffer("d"), NOW), f"^c-1 is offered {OFFER}: withdraw the"),
        (lambda: changes.withdraw_offer(KNOWN, "c-1"), "c-1 is not offered"),
        (lambda: changes.withdraw_offer(KNOWN, "c-9"), "there is no commitment c-9"),
        (lambda: changes.accept(OFFERED, "4f1d", ADS, NOW), "nothing is offered by this token: it is another one, or"),
        (lambda: changes.accept(KNOWN, TOKEN, ADS, NOW), "nothing is offered by this token"),
        (lambda: changes.accept(OFFERED, TOKEN, ADS, NOW + DAY), f"^c-1 was offered {OFFER}: the offer is over$"),
        (lambda: changes.accept(OFFERED, TOKEN, RESEARCH, NOW), "c-1 is of tenant/research already"),
        (lambda: changes.accept(_until(YEAR), TOKEN, ADS, YEAR), "c-1 is expired: it is over"),
        (lambda: changes.split(OFFERED, "c-1", {"c-3": gpus(1)}, NOW), "c-1 is offered until .*: withdraw the offer"),
        (lambda: changes.move(OFFERED, "c-1", ADS, NOW, part=("c-3", gpus(1))), "c-1 is offered until .*: withdraw"),
        (lambda: changes.merge(OFFERED, ["c-2", "c-1"], "c-3", NOW), "c-1 is offered until .*: withdraw the offer"),
        (lambda: changes.convert(OFFERED, "c-1", A100, worth, NOW, into="c-3"), "c-1 is offered until .*: withdraw"),
    ],
)
def test_what_cannot_be_done_is_told(change: Callable[[], object], why: str) -> None:
    with pytest.raises(ChangeError, match=why):
        change()


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (replace(OTHER, holder=ADS), "differ in their holder: tenant/research and tenant/ads"),
        (replace(OTHER, pool=A100), "differ in their pool: h100 in a and a100 in a"),
        (replace(OTHER, state=State.PENDING), "differ in their state: confirmed and pending"),
    ],
)
def test_what_differs_is_not_merged(other: Commitment, why: str) -> None:
    with pytest.raises(ChangeError, match=f"c-1 and c-2 {why}"):
        changes.merge({**KNOWN, "c-2": other}, ["c-1", "c-2"], "c-3", NOW)


def test_what_begins_at_different_times_is_not_merged() -> None:
    later = {
        "c-1": replace(ALL, begins=NOW + DAY, state=State.GUARANTEED),
        "c-2": replace(OTHER, begins=NOW + 2 * DAY, state=State.GUARANTEED),
    }
    with pytest.raises(ChangeError, match="c-1, c-2 do not begin at the same time"):
        changes.merge(later, ["c-1", "c-2"], "c-3", NOW)


def test_what_does_not_come_out_whole_is_not_converted() -> None:
    known = {"c-1": replace(ALL, pool=A100, amounts=gpus(3))}
    with pytest.raises(ChangeError, match="c-1: 3 gpu of a100 are no whole number of h100: one of them is worth 2"):
        changes.convert(known, "c-1", H100, worth, NOW, into="c-3")


def test_only_what_is_promised_and_ends_is_renewed() -> None:
    with pytest.raises(ChangeError, match="c-1 has no end: there is nothing to renew"):
        changes.renew({"c-1": replace(ALL, ends=None)}, "c-1", "c-3", None, NOW)
    with pytest.raises(ChangeError, match="c-1 is pending: only what is in force or guaranteed is renewed"):
        changes.renew({"c-1": replace(ALL, state=State.PENDING)}, "c-1", "c-3", None, NOW)
    with pytest.raises(PeriodError, match="after the year 9999"):
        changes.renew(KNOWN, "c-1", "c-3", Period(years=9000), NOW)
