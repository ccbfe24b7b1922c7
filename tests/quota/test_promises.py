"""What an edit of the commitments may not do, and what of it nodes cannot keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from webhook.documents.policy_text import PolicyText, read_policy
from webhook.documents.step_by_step import at_once
from webhook.quota import edit_message
from webhook.quota.capacity import NodeFacts
from webhook.quota.commitments import FOLLOWING, State
from webhook.quota.edits import Effect, Known, effect_of
from webhook.quota.node_classes import ZONE_LABEL
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Policy, accounts_under
from webhook.quota.promises import is_more_promised, is_promised_otherwise
from webhook.quota.quantity import NANOS
from webhook.quota.reservation import Reservation
from webhook.quota.subject import Payer
from webhook.quota.transfer_offer import digest_of
from webhook.quota.usage import Row, UsageIndex

NOW = datetime(2026, 12, 1, tzinfo=UTC)
DAY = timedelta(days=1)
H100, ANYWHERE = ("NodeClass=h100", "Zone=a"), ("NodeClass=h100", "Zone")
NODES = (
    NodeFacts({"gpu": "h100", ZONE_LABEL: "a"}, (("requests.nvidia.com/gpu", 8 * NANOS),)),
    NodeFacts({"gpu": "h100", ZONE_LABEL: "b"}, (("requests.nvidia.com/gpu", 4 * NANOS),)),
    NodeFacts({"gpu": "h100", ZONE_LABEL: "b"}, (("requests.nvidia.com/gpu", 4 * NANOS),), takes_pods=False),
)


def policy(*commitments: str, mode: str = "enforce", terms: str = "") -> Policy:
    listed = "".join(f"  {each}\n" for each in commitments)
    text = f"nodeClasses: {{h100: {{nodes: {{matchLabels: {{gpu: h100}}}}, mode: {mode}{terms}}}}}\n"
    reading = read_policy([PolicyText("p", f"version: 1\n{text}{f'commitments:{chr(10)}{listed}' if listed else ''}")])
    assert reading.policy is not None, reading.mistakes
    return reading.policy


def promised(name: str, who: str, gpus: int, zone: str = "a", **others: object) -> str:
    more = "".join(f", {key}: {value}" for key, value in others.items())
    place = f", zone: {zone}" if zone else ""
    return f"{name}: {{user: {who}, nodeClass: h100{place}, amounts: {{gpu: {gpus}}}{more}}}"


def at(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def effect(
    before: Policy, after: Policy, used: dict[str, int] | None = None, nodes: tuple[NodeFacts, ...] | None = NODES
) -> Effect:
    index = UsageIndex(accounts_under(before, lambda _: {}), before.devices)
    for number, (name, gpus) in enumerate((used or {}).items(), start=1):
        row = Row(f"u{number}", number, Payer(name), (("requests.nvidia.com/gpu", gpus * NANOS),), H100)
        index.observe(ObjectKey("pods", "red", name), row)
    return at_once(effect_of(before, after, Known(index.holdings(), lambda _: {}, NOW, lambda _: True, nodes)))


NONE = policy()


def test_as_much_may_be_promised_as_nodes_have_beside_what_others_use() -> None:
    assert not effect(NONE, policy(promised("c", "alice", 8))).is_refused
    assert not effect(NONE, policy(promised("c", "alice", 5)), {"bob": 3}).is_refused

    found = effect(NONE, policy(promised("c", "alice", 6)), {"bob": 3})

    assert found.is_refused
    assert edit_message.refusal(found) == (
        "more would be promised than nodes have: h100 in a: gpu 9 used or promised from 2026-12-01T00:00:00Z on, "
        "8 there, 1 too much"
    )


def test_what_only_covers_use_that_exists_may_be_promised_where_nodes_are_full() -> None:
    assert not effect(NONE, policy(promised("c", "alice", 7)), {"alice": 7, "bob": 9}).is_refused
    assert effect(NONE, policy(promised("c", "alice", 8)), {"alice": 7, "bob": 9}).is_refused


@pytest.mark.parametrize(("gpus", "is_refused"), [(5, False), (3, False), (6, True)])
def test_a_move_to_another_holder_is_accepted_where_nodes_are_full_and_never_makes_room(
    gpus: int, is_refused: bool
) -> None:
    """The first holder uses nothing of it. In the next test it does, and a loop of moves comes to nothing."""
    before = policy(promised("c", "alice", 5))
    after = policy(promised("c", "alice", 5, state="superseded"), promised("d", "bob", gpus))

    assert effect(before, after, {"carol": 3}).is_refused == is_refused


def test_what_the_former_holder_uses_is_not_there_for_the_next_one() -> None:
    before = policy(promised("c", "alice", 5))
    after = policy(promised("c", "alice", 5, state="superseded"), promised("d", "bob", 5))

    (unkept,) = effect(before, after, {"alice": 5}).unkept[:1]

    assert (unkept.taken, unkept.has) == (10 * NANOS, 8 * NANOS)


def test_what_begins_when_another_ends_is_kept_and_an_overlap_is_told_with_its_time() -> None:
    first = promised("c", "alice", 6, until=at(NOW + DAY))

    assert not effect(
        NONE, policy(first, promised("d", "bob", 8, **{"from": at(NOW + 2 * DAY), "state": "planned"}))
    ).unkept
    after = policy(first, promised("d", "bob", 6, **{"from": at(NOW + DAY)}))
    found = effect(NONE, after)
    assert [each.first_at for each in found.unkept] == [NOW]  # what has not begun is set aside from now on


def test_zones_are_judged_by_themselves_and_together_and_what_takes_no_pods_does_not_count() -> None:
    assert not effect(NONE, policy(promised("c", "alice", 8), promised("d", "bob", 4, zone="b"))).is_refused
    found = effect(NONE, policy(promised("c", "alice", 8), promised("d", "bob", 5, zone="b")))
    assert [str(each.pool) for each in found.unkept] == ["h100", "h100 in b"]
    assert not effect(NONE, policy(promised("c", "alice", 12, zone=""))).is_refused
    assert effect(NONE, policy(promised("c", "alice", 13, zone=""))).is_refused


def test_a_class_that_only_warns_refuses_no_edit_and_the_answer_tells() -> None:
    found = effect(NONE, policy(promised("c", "alice", 9), mode="warn"))

    assert not found.is_refused
    assert edit_message.warnings(found)[0].startswith("more is promised than nodes have: h100 in a: gpu 9 used or")


def test_what_is_full_already_may_be_made_smaller() -> None:
    before = policy(promised("c", "alice", 20))

    assert not effect(before, policy(promised("c", "alice", 19))).is_refused
    assert effect(before, policy(promised("c", "alice", 21))).is_refused


def test_while_nodes_are_not_known_nothing_is_compared_with_them_and_that_is_told() -> None:
    found = effect(NONE, policy(promised("c", "alice", 99)), nodes=None)

    assert not found.is_refused
    assert "what is promised of nodes, which are not known yet" in found.uncompared


@pytest.mark.parametrize("was", State)
@pytest.mark.parametrize("will", State)
def test_a_state_follows_only_those_that_it_may_follow(was: State, will: State) -> None:
    begins = {"from": at(NOW + DAY)}
    before, after = (policy(promised("c", "alice", 1, **begins, state=each.value)) for each in (was, will))

    found = effect(before, after)

    assert bool(found.illegal) == (will is not was and will not in FOLLOWING[was])
    assert found.is_refused == bool(found.illegal)


def test_what_is_over_by_the_clock_does_not_come_back() -> None:
    over = policy(promised("c", "alice", 1, until=at(NOW)))

    found = effect(over, policy(promised("c", "alice", 1, until=at(NOW + DAY))))

    assert edit_message.refusal(found) == (
        "commitments.c at p:4: it was expired, which confirmed cannot follow: make another one"
    )


OFFER = {"tokenDigest": digest_of("4f1c")}


def test_an_offer_does_not_outlive_a_change_of_the_holder() -> None:
    before = policy(promised("c", "alice", 1, offer=OFFER))

    assert edit_message.refusal(effect(before, policy(promised("c", "bob", 1, offer=OFFER)))) == (
        "commitments.c at p:4: user/alice offered it, and user/bob has not: take offer out where the holder changes"
    )
    assert [each.name for each, _ in effect(before, policy(promised("renamed", "bob", 1, offer=OFFER))).illegal] == [
        "renamed"
    ]
    own = {"tokenDigest": digest_of("another")}
    for after in (promised("c", "bob", 1), promised("c", "bob", 1, offer=own), promised("c", "alice", 2, offer=OFFER)):
        assert not effect(before, policy(after)).is_refused


def test_whether_it_is_offered_changes_nothing_of_what_is_promised() -> None:
    plain, offered = policy(promised("c", "alice", 1)), policy(promised("c", "alice", 1, offer=OFFER))

    for before, after in ((plain, offered), (offered, plain)):
        assert not is_promised_otherwise(before, after)
        assert not is_more_promised(before.commitments, after.commitments)
        assert not effect(before, after).is_refused
    assert is_promised_otherwise(offered, policy(promised("c", "alice", 2, offer=OFFER)))
    assert effect(NONE, policy(promised("c", "alice", 9, offer=OFFER))).unkept


def test_a_commitment_in_force_keeps_its_class_and_zone() -> None:
    before = policy(promised("c", "alice", 1))

    found = effect(before, policy(promised("c", "alice", 1, zone="b")))

    assert [why for _, why in found.illegal] == [
        "it is of h100 in a: its class and zone stay as they are, make another one"
    ]
    planned = [policy(promised("c", "alice", 1, zone=zone, state="planned")) for zone in "ab"]
    assert not effect(planned[0], planned[1]).is_refused


def test_what_is_overcommitted_may_be_promised_so_many_times() -> None:
    terms = ", overcommit: {gpu: 1.5}"
    assert not effect(NONE, policy(promised("c-1", "alice", 12), terms=terms)).unkept
    [over] = effect(NONE, policy(promised("c-1", "alice", 13), terms=terms)).unkept
    assert (over.has, over.over) == (12 * NANOS, NANOS)


def test_only_a_part_may_be_promised_and_the_rest_may_be_used() -> None:
    """Of 8 GPUs in the zone, and 12 in the class, half."""
    terms = ", committable: 50%"
    assert not effect(NONE, policy(promised("c-1", "alice", 4), terms=terms), {"bob": 4}).unkept
    found = effect(NONE, policy(promised("c-1", "alice", 5), terms=terms))
    assert edit_message.refusal(found) == (
        "more would be promised than nodes have: h100 in a: gpu 5 promised from 2026-12-01T00:00:00Z on, 4 may be "
        "(50%), 1 too much"
    )
    # What was promised before may stay, move and end; no more is added to it.
    before = policy(promised("c-1", "alice", 6, until=at(NOW + DAY)), terms=terms)
    assert not effect(before, policy(promised("c-1", "bob", 6, until=at(NOW + DAY)), terms=terms)).unkept
    later = policy(promised("c-1", "alice", 6), terms=terms)
    assert [each.first_at for each in effect(before, later).unkept] == [NOW + DAY]
    ahead = promised("c-2", "bob", 5, state="guaranteed", **{"from": at(NOW + DAY)})
    assert [each.taken for each in effect(NONE, policy(ahead, terms=terms)).unkept] == [5 * NANOS]


@pytest.mark.parametrize(("promised_to_alice", "is_refused"), [(4, False), (6, True)])
def test_a_name_that_two_ask_for_counts_for_both_until_one_has_it(promised_to_alice: int, *, is_refused: bool) -> None:
    """If bob gets the name, alice has all that is promised to her beside his four GPUs of eight."""
    before, after = NONE, policy(promised("c-1", "alice", promised_to_alice))
    index = UsageIndex(accounts_under(before, lambda _: {}), before.devices)
    for number, name in enumerate(("alice", "bob")):
        amounts = (("requests.nvidia.com/gpu", 4 * NANOS),)
        index.reserve(Reservation(ObjectKey("pods", "red", "n"), f"u{number}", 0, Payer(name), amounts, H100))
    found = at_once(effect_of(before, after, Known(index.holdings(), lambda _: {}, NOW, lambda _: True, NODES)))
    assert found.is_refused is is_refused


def test_such_a_name_holds_back_no_edit_that_promises_no_more() -> None:
    before, after = policy(promised("c-1", "alice", 6)), policy(promised("c-1", "alice", 5))
    index = UsageIndex(accounts_under(before, lambda _: {}), before.devices)
    for number, name in enumerate(("alice", "bob")):
        amounts = (("requests.nvidia.com/gpu", 4 * NANOS),)
        index.reserve(Reservation(ObjectKey("pods", "red", "n"), f"u{number}", 0, Payer(name), amounts, H100))
    for edited in (after, NONE, policy(promised("c-2", "alice", 6))):
        found = at_once(effect_of(before, edited, Known(index.holdings(), lambda _: {}, NOW, lambda _: True, NODES)))
        assert not found.is_refused
