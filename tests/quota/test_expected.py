"""The room of a session's pods is held until they come, and only they take it."""

from __future__ import annotations

import pytest
from msgspec import structs

from tests.fakes import by_payer
from tests.quota.bookings import ALICE, BOB, bind, cpu, sums
from webhook.quota.decision import Allowed, Denied, decide
from webhook.quota.devices import SHIPPED
from webhook.quota.expected import Expected
from webhook.quota.fitting import Copies, Part, fit
from webhook.quota.limits import Limit, LimitsInForce
from webhook.quota.objects import ObjectKey
from webhook.quota.presets import Labels
from webhook.quota.reservation import Charge, Pods, Reservation
from webhook.quota.resources import Amount
from webhook.quota.subject import CLUSTER, Payer, user
from webhook.quota.usage import Row, UsageIndex

NOTEBOOK = ObjectKey("notebooks.kubeflow.org", "red", "jo")
LABELS: Labels = (("notebook-name", "jo"),)
PLACE = (("sessions", 1),)


def start(amount: Amount, *, base: int = 0, payer: Payer = ALICE) -> Reservation:
    return Reservation(NOTEBOOK, "n", base, payer, PLACE, expected=Expected(cpu(amount), (LABELS,)))


def started(version: int, amount: Amount, *labels: Labels) -> Row:
    return Row("n", version, ALICE, PLACE, expected=Expected(cpu(amount), labels or (LABELS,)))


def pod(name: str, amount: Amount, *, payer: Payer = ALICE, labels: Labels = LABELS, place: str = "red") -> Charge:
    return Charge(ObjectKey("pods", place, name), name, 0, payer, cpu(amount), part_of=(labels,))


def exists(charge: Charge, version: int) -> tuple[ObjectKey, Row]:
    return charge.key, Row(charge.uid, version, charge.payer, charge.amounts, part_of=charge.part_of)


@pytest.fixture
def index() -> UsageIndex:
    return UsageIndex(by_payer(bind))


def test_the_room_is_held_from_the_start_until_the_pods_come(index: UsageIndex) -> None:
    index.reserve(start(4))
    assert sums(index) == (0, 4)
    index.observe(NOTEBOOK, started(5, 4))
    assert sums(index) == (0, 4)
    first = pod("a", 1)
    index.reserve(first.reservation())
    assert sums(index) == (0, 4)
    index.observe(*exists(first, 6))
    assert sums(index) == (1, 3)
    index.observe(*exists(pod("b", 5), 7))
    assert sums(index) == (6, 0)


def test_a_pod_that_goes_gives_its_room_back_to_the_session(index: UsageIndex) -> None:
    index.observe(NOTEBOOK, started(5, 4))
    index.observe(*exists(pod("a", 4), 6))
    index.forget(pod("a", 4).key, "a", 7)
    assert sums(index) == (0, 4)


@pytest.mark.parametrize(
    "other",
    [
        pod("x", 3, payer=BOB),
        pod("x", 3, labels=(("notebook-name", "mo"),)),
        pod("x", 3, place="blue"),
        structs.replace(pod("x", 3), part_of=()),
    ],
    ids=["of another owner", "of another session", "in another namespace", "of none"],
)
def test_other_pods_leave_it(index: UsageIndex, other: Charge) -> None:
    index.observe(NOTEBOOK, started(5, 4))
    index.observe(*exists(other, 6))
    assert sums(index) == (3, 4)


def test_it_is_held_no_longer_once_nobody_waits(index: UsageIndex) -> None:
    index.observe(NOTEBOOK, started(5, 4))
    index.expect(NOTEBOOK, "another", None)
    assert sums(index) == (0, 4)
    index.expect(NOTEBOOK, "n", None)
    assert sums(index) == (0, 0)


def test_a_session_that_is_gone_waits_for_nothing(index: UsageIndex) -> None:
    index.observe(NOTEBOOK, started(5, 4))
    index.forget(NOTEBOOK, "n", 6)
    assert sums(index) == (0, 0)


def test_a_pod_that_becomes_one_of_the_session_takes_its_room(index: UsageIndex) -> None:
    """The labels of a pod may change while its cost does not."""
    index.observe(NOTEBOOK, started(5, 4))
    key, row = exists(pod("a", 3, labels=(("notebook-name", "mo"),)), 6)
    index.observe(key, row)
    assert sums(index) == (3, 4)
    index.observe(key, structs.replace(row, version=7, part_of=(LABELS,)))
    assert sums(index) == (3, 1)


def test_a_resize_holds_the_larger_of_both_until_it_is_stored(index: UsageIndex) -> None:
    index.observe(NOTEBOOK, started(5, 4))
    index.reserve(start(6, base=5))
    assert sums(index) == (0, 6)
    index.reserve(start(7, base=5))
    assert sums(index) == (0, 7)
    index.observe(NOTEBOOK, started(6, 7))
    assert sums(index) == (0, 7)


def test_pods_are_known_by_any_of_several_labels(index: UsageIndex) -> None:
    second: Labels = (("cluster", "next"),)
    index.observe(NOTEBOOK, started(5, 4, LABELS, second))
    index.observe(*exists(pod("a", 1), 6))
    index.observe(*exists(pod("b", 1, labels=second), 7))
    assert sums(index) == (2, 2)


def test_a_pod_with_all_of_several_labels_takes_its_room_once(index: UsageIndex) -> None:
    second: Labels = (("cluster", "next"),)
    index.observe(NOTEBOOK, started(5, 4, LABELS, second))
    key, row = exists(pod("a", 1), 6)
    index.observe(key, structs.replace(row, part_of=(LABELS, second)))
    assert sums(index) == (1, 3)


def test_what_is_read_in_another_way_waits_for_what_it_says_now(index: UsageIndex) -> None:
    """After its preset has gone, for example: no event of the object would ever end the hold."""
    index.observe(NOTEBOOK, started(5, 4))
    index.count_anew(NOTEBOOK, structs.replace(started(6, 4), expected=None))
    assert sums(index) == (0, 4), "it is of another version"
    index.count_anew(NOTEBOOK, structs.replace(started(5, 4), expected=None))
    assert sums(index) == (0, 0)


def test_another_binding_moves_what_is_held(index: UsageIndex) -> None:
    index.observe(NOTEBOOK, started(5, 4))
    index.rebind(by_payer(lambda payer, _: (user(f"{payer.owner}2"), CLUSTER)), SHIPPED)
    assert sums(index, user("alice")) == (0, 0)
    assert sums(index, user("alice2")) == (0, 4)


# What is decided.


def limits(hard: Amount) -> LimitsInForce:
    return LimitsInForce((Limit(user("alice"), "requests.cpu", hard, "alice"), Limit(CLUSTER, "requests.cpu", 9, "c")))


def test_at_a_full_limit_the_pods_of_the_session_fit_and_no_others(index: UsageIndex) -> None:
    index.observe(NOTEBOOK, started(5, 4))
    assert isinstance(decide(pod("a", 4), limits(4), index), Allowed)
    assert isinstance(decide(structs.replace(pod("x", 1), part_of=()), limits(4), index), Denied)
    refused = decide(pod("a", 5), limits(4), index)
    assert isinstance(refused, Denied)
    assert [each.fits for each in refused.excesses] == [4]


def test_a_refusal_tells_how_much_is_held_for_pods_of_sessions(index: UsageIndex) -> None:
    index.observe(NOTEBOOK, started(5, 2))
    index.reserve(structs.replace(pod("a", 1), part_of=()).reservation())
    refused = decide(structs.replace(pod("x", 2), part_of=()), limits(4), index)
    assert isinstance(refused, Denied)
    assert [(each.reserved, each.held_for_pods) for each in refused.excesses] == [(3, 2)]


def test_two_pods_do_not_take_one_room(index: UsageIndex) -> None:
    index.observe(NOTEBOOK, started(5, 4))
    index.reserve(pod("a", 3).reservation())
    assert isinstance(decide(pod("b", 1), limits(4), index), Allowed)
    assert isinstance(decide(pod("b", 2), limits(4), index), Denied)


def test_a_lowered_limit_binds_the_pods_of_a_session_that_has_started(index: UsageIndex) -> None:
    index.observe(NOTEBOOK, started(5, 4))
    assert isinstance(decide(pod("a", 4), limits(3), index), Denied)


def test_nobody_takes_the_room_of_anothers_session(index: UsageIndex) -> None:
    index.observe(NOTEBOOK, started(5, 9))
    assert isinstance(decide(pod("a", 1, payer=BOB), limits(9), index), Denied)


def test_a_session_holds_its_room_only_when_it_needs_more(index: UsageIndex) -> None:
    expected = Expected(cpu(4), (LABELS,))
    stopped = Charge(NOTEBOOK, "n", 0, ALICE, PLACE, pods=Pods(cpu(4), ()), expected=expected)
    assert stopped.reservation().expected is None
    assert structs.replace(stopped, pods=Pods(cpu(4), cpu(4))).reservation().expected == expected


def test_the_workload_of_a_session_fits_in_its_room(index: UsageIndex) -> None:
    index.observe(NOTEBOOK, started(5, 4))
    part = Part(cpu(2), None, limits(4))
    assert fit(Copies(2, [part]), index).fits == 0
    of_session = tuple(pod("a", 2).pod_sets)
    assert fit(Copies(2, [part], pod_sets=of_session), index).fits == 2
    assert fit(Copies(3, [part], pod_sets=of_session), index).fits == 2
